module @_backward_keys {
  tt.func public @_backward_keys(%arg0: !tt.ptr<i32> {tt.divisibility = 32 : i32}, %arg1: !tt.ptr<i32> {tt.divisibility = 32 : i32}, %arg2: !tt.ptr<f32> {tt.divisibility = 32 : i32}, %arg3: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg4: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg5: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg6: !tt.ptr<f32> {tt.divisibility = 32 : i32}, %arg7: !tt.ptr<f32> {tt.divisibility = 32 : i32}, %arg8: !tt.ptr<f32> {tt.divisibility = 32 : i32}, %arg9: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg10: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg11: !tt.ptr<bf16> {tt.divisibility = 32 : i32}) {
    %0 = tt.get_program_id x : i32
    %c0 = arith.constant 8 : i32
    %1 = arith.remui %0, %c0 : i32
    %2 = arith.divui %0, %c0 : i32
    %3 = tt.get_program_id y : i32
    %4 = tt.get_program_id z : i32
    %c1 = arith.constant 0 : i32
    %c2 = arith.constant 0 : i32
    %c3 = arith.constant 0 : i32
    %c4 = arith.constant 512 : i32
    %5 = arith.muli %c3, %c4 : i32
    %c5 = arith.constant 64 : i32
    %6 = arith.muli %3, %c5 : i32
    %c6 = arith.constant 64 : i32
    %7 = arith.muli %1, %c6 : i32
    %c7 = arith.constant 64 : i32
    %8 = arith.muli %3, %c7 : i32
    %c8 = arith.constant 64 : i32
    %9 = arith.muli %1, %c8 : i32
    %c9 = arith.constant 64 : i32
    %10 = arith.muli %3, %c9 : i32
    %c10 = arith.constant 64 : i32
    %11 = arith.muli %1, %c10 : i32
    %c11 = arith.constant 0 : i32
    %c12 = arith.constant 512 : i32
    %12 = arith.muli %c11, %c12 : i32
    %c13 = arith.constant 0 : i32
    %c14 = arith.constant 512 : i32
    %13 = arith.muli %c13, %c14 : i32
    %c15 = arith.constant 0 : i32
    %c16 = arith.constant 512 : i32
    %14 = arith.muli %c15, %c16 : i32
    %c17 = arith.constant 64 : i32
    %15 = arith.muli %3, %c17 : i32
    %c18 = arith.constant 64 : i32
    %16 = arith.muli %1, %c18 : i32
    %c19 = arith.constant 64 : i32
    %17 = arith.muli %3, %c19 : i32
    %c20 = arith.constant 64 : i32
    %18 = arith.muli %1, %c20 : i32
    %c21 = arith.constant 64 : i32
    %19 = arith.muli %3, %c21 : i32
    %c22 = arith.constant 0 : i32
    %20 = tt.splat %c22 : i32 -> tensor<64x64xi32>
    %c23 = arith.constant 0 : i32
    %21 = tt.splat %c23 : i32 -> tensor<64x64xi32>
    %22 = tt.splat %4 : i32 -> tensor<64x64xi32>
    %23 = arith.addi %21, %22 : tensor<64x64xi32>
    %c24 = arith.constant ${sequence} : i32
    %24 = tt.splat %c24 : i32 -> tensor<64x64xi32>
    %25 = arith.muli %23, %24 : tensor<64x64xi32>
    %26 = arith.addi %20, %25 : tensor<64x64xi32>
    %27 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %28 = tt.expand_dims %27 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
    %29 = tt.broadcast %28 : tensor<64x1xi32> -> tensor<64x64xi32>
    %30 = tt.splat %7 : i32 -> tensor<64x64xi32>
    %31 = arith.addi %29, %30 : tensor<64x64xi32>
    %c25 = arith.constant ${hidden} : i32
    %32 = tt.splat %c25 : i32 -> tensor<64x64xi32>
    %33 = arith.muli %31, %32 : tensor<64x64xi32>
    %34 = arith.addi %26, %33 : tensor<64x64xi32>
    %35 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %36 = tt.expand_dims %35 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
    %37 = tt.broadcast %36 : tensor<1x64xi32> -> tensor<64x64xi32>
    %38 = tt.splat %8 : i32 -> tensor<64x64xi32>
    %39 = arith.addi %37, %38 : tensor<64x64xi32>
    %c26 = arith.constant 1 : i32
    %40 = tt.splat %c26 : i32 -> tensor<64x64xi32>
    %41 = arith.muli %39, %40 : tensor<64x64xi32>
    %42 = arith.addi %34, %41 : tensor<64x64xi32>
    %43 = tt.splat %arg4 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
    %44 = tt.addptr %43, %42 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
    %45 = tt.load %44 : tensor<64x64x!tt.ptr<bf16>>
    %c27 = arith.constant 0 : i32
    %46 = tt.splat %c27 : i32 -> tensor<64x64xi32>
    %c28 = arith.constant 0 : i32
    %47 = tt.splat %c28 : i32 -> tensor<64x64xi32>
    %48 = tt.splat %4 : i32 -> tensor<64x64xi32>
    %49 = arith.addi %47, %48 : tensor<64x64xi32>
    %c29 = arith.constant ${sequence} : i32
    %50 = tt.splat %c29 : i32 -> tensor<64x64xi32>
    %51 = arith.muli %49, %50 : tensor<64x64xi32>
    %52 = arith.addi %46, %51 : tensor<64x64xi32>
    %53 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %54 = tt.expand_dims %53 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
    %55 = tt.broadcast %54 : tensor<64x1xi32> -> tensor<64x64xi32>
    %56 = tt.splat %9 : i32 -> tensor<64x64xi32>
    %57 = arith.addi %55, %56 : tensor<64x64xi32>
    %c30 = arith.constant ${hidden} : i32
    %58 = tt.splat %c30 : i32 -> tensor<64x64xi32>
    %59 = arith.muli %57, %58 : tensor<64x64xi32>
    %60 = arith.addi %52, %59 : tensor<64x64xi32>
    %61 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %62 = tt.expand_dims %61 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
    %63 = tt.broadcast %62 : tensor<1x64xi32> -> tensor<64x64xi32>
    %64 = tt.splat %10 : i32 -> tensor<64x64xi32>
    %65 = arith.addi %63, %64 : tensor<64x64xi32>
    %c31 = arith.constant 1 : i32
    %66 = tt.splat %c31 : i32 -> tensor<64x64xi32>
    %67 = arith.muli %65, %66 : tensor<64x64xi32>
    %68 = arith.addi %60, %67 : tensor<64x64xi32>
    %69 = tt.splat %arg5 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
    %70 = tt.addptr %69, %68 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
    %71 = tt.load %70 : tensor<64x64x!tt.ptr<bf16>>
    %c32 = arith.constant 0 : i32
    %72 = tt.splat %c32 : i32 -> tensor<64xi32>
    %c33 = arith.constant 0 : i32
    %73 = tt.splat %c33 : i32 -> tensor<64xi32>
    %74 = tt.splat %4 : i32 -> tensor<64xi32>
    %75 = arith.addi %73, %74 : tensor<64xi32>
    %c34 = arith.constant 512 : i32
    %76 = tt.splat %c34 : i32 -> tensor<64xi32>
    %77 = arith.muli %75, %76 : tensor<64xi32>
    %78 = arith.addi %72, %77 : tensor<64xi32>
    %79 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %80 = tt.splat %11 : i32 -> tensor<64xi32>
    %81 = arith.addi %79, %80 : tensor<64xi32>
    %c35 = arith.constant 1 : i32
    %82 = tt.splat %c35 : i32 -> tensor<64xi32>
    %83 = arith.muli %81, %82 : tensor<64xi32>
    %84 = arith.addi %78, %83 : tensor<64xi32>
    %85 = tt.splat %arg6 : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>>
    %86 = tt.addptr %85, %84 : tensor<64x!tt.ptr<f32>>, tensor<64xi32>
    %87 = tt.load %86 : tensor<64x!tt.ptr<f32>>
    %88 = tt.expand_dims %87 {axis = 1 : i32} : tensor<64xf32> -> tensor<64x1xf32>
    %c36 = arith.constant 1.250000e-01 : bf16
    %89 = tt.splat %c36 : bf16 -> tensor<64x64xbf16>
    %90 = arith.mulf %45, %89 : tensor<64x64xbf16>
    %c37 = arith.constant 0 : i32
    %c38 = arith.constant 0 : i32
    %91 = arith.addi %c38, %4 : i32
    %c39 = arith.constant 1 : i32
    %92 = arith.muli %91, %c39 : i32
    %93 = arith.addi %c37, %92 : i32
    %94 = tt.addptr %arg0, %93 : !tt.ptr<i32>, i32
    %95 = tt.load %94 : !tt.ptr<i32>
    %c40 = arith.constant 64 : i32
    %96 = arith.muli %1, %c40 : i32
    %c41 = arith.constant -2048144789 : i32
    %97 = arith.xori %95, %c41 : i32
    %c42 = arith.constant 16 : i32
    %98 = arith.shrui %97, %c42 : i32
    %99 = arith.xori %97, %98 : i32
    %c43 = arith.constant 2146121005 : i32
    %100 = arith.muli %99, %c43 : i32
    %c44 = arith.constant 15 : i32
    %101 = arith.shrui %100, %c44 : i32
    %102 = arith.xori %100, %101 : i32
    %c45 = arith.constant -2073254261 : i32
    %103 = arith.muli %102, %c45 : i32
    %c46 = arith.constant 16 : i32
    %104 = arith.shrui %103, %c46 : i32
    %105 = arith.xori %103, %104 : i32
    %106 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %107 = tt.splat %96 : i32 -> tensor<64xi32>
    %108 = arith.addi %107, %106 : tensor<64xi32>
    %109 = tt.splat %105 : i32 -> tensor<64xi32>
    %110 = arith.xori %109, %108 : tensor<64xi32>
    %c47 = arith.constant 16 : i32
    %111 = tt.splat %c47 : i32 -> tensor<64xi32>
    %112 = arith.shrui %110, %111 : tensor<64xi32>
    %113 = arith.xori %110, %112 : tensor<64xi32>
    %c48 = arith.constant 2146121005 : i32
    %114 = tt.splat %c48 : i32 -> tensor<64xi32>
    %115 = arith.muli %113, %114 : tensor<64xi32>
    %c49 = arith.constant 15 : i32
    %116 = tt.splat %c49 : i32 -> tensor<64xi32>
    %117 = arith.shrui %115, %116 : tensor<64xi32>
    %118 = arith.xori %115, %117 : tensor<64xi32>
    %c50 = arith.constant -2073254261 : i32
    %119 = tt.splat %c50 : i32 -> tensor<64xi32>
    %120 = arith.muli %118, %119 : tensor<64xi32>
    %c51 = arith.constant 16 : i32
    %121 = tt.splat %c51 : i32 -> tensor<64xi32>
    %122 = arith.shrui %120, %121 : tensor<64xi32>
    %123 = arith.xori %120, %122 : tensor<64xi32>
    %124 = tt.expand_dims %123 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
    %c52 = arith.constant 0.000000e+00 : f32
    %125 = tt.splat %c52 : f32 -> tensor<64x64xf32>
    %c53 = arith.constant 0 : i32
    %c54 = arith.constant 8 : i32
    %126 = arith.addi %c53, %c54 : i32
    %c55 = arith.constant 1 : i32
    %127:2 = scf.for %arg12 = %c53 to %126 step %c55 iter_args(%arg13 = %125, %arg14 = %125) -> (tensor<64x64xf32>, tensor<64x64xf32>)  : i32 {
      %c56 = arith.constant 64 : i32
      %197 = arith.muli %arg12, %c56 : i32
      %c57 = arith.constant 0 : i32
      %198 = tt.splat %c57 : i32 -> tensor<64x64xi32>
      %c58 = arith.constant 0 : i32
      %199 = tt.splat %c58 : i32 -> tensor<64x64xi32>
      %200 = tt.splat %4 : i32 -> tensor<64x64xi32>
      %201 = arith.addi %199, %200 : tensor<64x64xi32>
      %c59 = arith.constant ${sequence} : i32
      %202 = tt.splat %c59 : i32 -> tensor<64x64xi32>
      %203 = arith.muli %201, %202 : tensor<64x64xi32>
      %204 = arith.addi %198, %203 : tensor<64x64xi32>
      %205 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %206 = tt.splat %197 : i32 -> tensor<64xi32>
      %207 = arith.addi %206, %205 : tensor<64xi32>
      %208 = tt.expand_dims %207 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
      %209 = tt.broadcast %208 : tensor<64x1xi32> -> tensor<64x64xi32>
      %210 = tt.splat %5 : i32 -> tensor<64x64xi32>
      %211 = arith.addi %209, %210 : tensor<64x64xi32>
      %c60 = arith.constant ${hidden} : i32
      %212 = tt.splat %c60 : i32 -> tensor<64x64xi32>
      %213 = arith.muli %211, %212 : tensor<64x64xi32>
      %214 = arith.addi %204, %213 : tensor<64x64xi32>
      %215 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %216 = tt.expand_dims %215 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
      %217 = tt.broadcast %216 : tensor<1x64xi32> -> tensor<64x64xi32>
      %218 = tt.splat %6 : i32 -> tensor<64x64xi32>
      %219 = arith.addi %217, %218 : tensor<64x64xi32>
      %c61 = arith.constant 1 : i32
      %220 = tt.splat %c61 : i32 -> tensor<64x64xi32>
      %221 = arith.muli %219, %220 : tensor<64x64xi32>
      %222 = arith.addi %214, %221 : tensor<64x64xi32>
      %223 = tt.splat %arg3 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
      %224 = tt.addptr %223, %222 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
      %225 = tt.load %224 : tensor<64x64x!tt.ptr<bf16>>
      %c62 = arith.constant 0 : i32
      %226 = tt.splat %c62 : i32 -> tensor<64x64xi32>
      %c63 = arith.constant 0 : i32
      %227 = tt.splat %c63 : i32 -> tensor<64x64xi32>
      %228 = tt.splat %4 : i32 -> tensor<64x64xi32>
      %229 = arith.addi %227, %228 : tensor<64x64xi32>
      %c64 = arith.constant ${sequence} : i32
      %230 = tt.splat %c64 : i32 -> tensor<64x64xi32>
      %231 = arith.muli %229, %230 : tensor<64x64xi32>
      %232 = arith.addi %226, %231 : tensor<64x64xi32>
      %233 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %234 = tt.splat %197 : i32 -> tensor<64xi32>
      %235 = arith.addi %234, %233 : tensor<64xi32>
      %236 = tt.expand_dims %235 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
      %237 = tt.broadcast %236 : tensor<64x1xi32> -> tensor<64x64xi32>
      %238 = tt.splat %14 : i32 -> tensor<64x64xi32>
      %239 = arith.addi %237, %238 : tensor<64x64xi32>
      %c65 = arith.constant ${hidden} : i32
      %240 = tt.splat %c65 : i32 -> tensor<64x64xi32>
      %241 = arith.muli %239, %240 : tensor<64x64xi32>
      %242 = arith.addi %232, %241 : tensor<64x64xi32>
      %243 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %244 = tt.expand_dims %243 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
      %245 = tt.broadcast %244 : tensor<1x64xi32> -> tensor<64x64xi32>
      %246 = tt.splat %15 : i32 -> tensor<64x64xi32>
      %247 = arith.addi %245, %246 : tensor<64x64xi32>
      %c66 = arith.constant 1 : i32
      %248 = tt.splat %c66 : i32 -> tensor<64x64xi32>
      %249 = arith.muli %247, %248 : tensor<64x64xi32>
      %250 = arith.addi %242, %249 : tensor<64x64xi32>
      %251 = tt.splat %arg9 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
      %252 = tt.addptr %251, %250 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
      %253 = tt.load %252 : tensor<64x64x!tt.ptr<bf16>>
      %254 = tt.trans %225 {order = array<i32: 1, 0>} : tensor<64x64xbf16> -> tensor<64x64xbf16>
      %c67 = arith.constant 0.000000e+00 : f32
      %255 = tt.splat %c67 : f32 -> tensor<64x64xf32>
      %256 = tt.dot %90, %254, %255, inputPrecision = tf32 : tensor<64x64xbf16> * tensor<64x64xbf16> -> tensor<64x64xf32>
      %257 = tt.broadcast %88 : tensor<64x1xf32> -> tensor<64x64xf32>
      %258 = arith.addf %256, %257 : tensor<64x64xf32>
      %c68 = arith.constant 0 : i32
      %259 = tt.splat %c68 : i32 -> tensor<64xi32>
      %c69 = arith.constant 0 : i32
      %260 = tt.splat %c69 : i32 -> tensor<64xi32>
      %261 = tt.splat %4 : i32 -> tensor<64xi32>
      %262 = arith.addi %260, %261 : tensor<64xi32>
      %c70 = arith.constant ${statistics} : i32
      %263 = tt.splat %c70 : i32 -> tensor<64xi32>
      %264 = arith.muli %262, %263 : tensor<64xi32>
      %265 = arith.addi %259, %264 : tensor<64xi32>
      %c71 = arith.constant 0 : i32
      %266 = tt.splat %c71 : i32 -> tensor<64xi32>
      %267 = tt.splat %3 : i32 -> tensor<64xi32>
      %268 = arith.addi %266, %267 : tensor<64xi32>
      %c72 = arith.constant 512 : i32
      %269 = tt.splat %c72 : i32 -> tensor<64xi32>
      %270 = arith.muli %268, %269 : tensor<64xi32>
      %271 = arith.addi %265, %270 : tensor<64xi32>
      %272 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %273 = tt.splat %197 : i32 -> tensor<64xi32>
      %274 = arith.addi %273, %272 : tensor<64xi32>
      %275 = tt.splat %12 : i32 -> tensor<64xi32>
      %276 = arith.addi %274, %275 : tensor<64xi32>
      %c73 = arith.constant 1 : i32
      %277 = tt.splat %c73 : i32 -> tensor<64xi32>
      %278 = arith.muli %276, %277 : tensor<64xi32>
      %279 = arith.addi %271, %278 : tensor<64xi32>
      %280 = tt.splat %arg7 : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>>
      %281 = tt.addptr %280, %279 : tensor<64x!tt.ptr<f32>>, tensor<64xi32>
      %282 = tt.load %281 : tensor<64x!tt.ptr<f32>>
      %283 = tt.expand_dims %282 {axis = 0 : i32} : tensor<64xf32> -> tensor<1x64xf32>
      %284 = tt.broadcast %283 : tensor<1x64xf32> -> tensor<64x64xf32>
      %285 = arith.subf %258, %284 : tensor<64x64xf32>
      %286 = tt.extern_elementwise %285 {libname = "", libpath = "", pure = true, symbol = "__nv_expf"} : (tensor<64x64xf32>) -> tensor<64x64xf32>
      %c74 = arith.constant 0 : i32
      %c75 = arith.constant 0 : i32
      %287 = arith.addi %c75, %4 : i32
      %c76 = arith.constant 1 : i32
      %288 = arith.muli %287, %c76 : i32
      %289 = arith.addi %c74, %288 : i32
      %290 = tt.addptr %arg0, %289 : !tt.ptr<i32>, i32
      %291 = tt.load %290 : !tt.ptr<i32>
      %c77 = arith.constant 64 : i32
      %292 = arith.muli %arg12, %c77 : i32
      %c78 = arith.constant -1640531527 : i32
      %293 = arith.xori %291, %c78 : i32
      %c79 = arith.constant 16 : i32
      %294 = arith.shrui %293, %c79 : i32
      %295 = arith.xori %293, %294 : i32
      %c80 = arith.constant 2146121005 : i32
      %296 = arith.muli %295, %c80 : i32
      %c81 = arith.constant 15 : i32
      %297 = arith.shrui %296, %c81 : i32
      %298 = arith.xori %296, %297 : i32
      %c82 = arith.constant -2073254261 : i32
      %299 = arith.muli %298, %c82 : i32
      %c83 = arith.constant 16 : i32
      %300 = arith.shrui %299, %c83 : i32
      %301 = arith.xori %299, %300 : i32
      %c84 = arith.constant 65536 : i32
      %302 = arith.muli %3, %c84 : i32
      %303 = arith.addi %292, %302 : i32
      %304 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %305 = tt.splat %303 : i32 -> tensor<64xi32>
      %306 = arith.addi %305, %304 : tensor<64xi32>
      %307 = tt.splat %301 : i32 -> tensor<64xi32>
      %308 = arith.xori %307, %306 : tensor<64xi32>
      %c85 = arith.constant 16 : i32
      %309 = tt.splat %c85 : i32 -> tensor<64xi32>
      %310 = arith.shrui %308, %309 : tensor<64xi32>
      %311 = arith.xori %308, %310 : tensor<64xi32>
      %c86 = arith.constant 2146121005 : i32
      %312 = tt.splat %c86 : i32 -> tensor<64xi32>
      %313 = arith.muli %311, %312 : tensor<64xi32>
      %c87 = arith.constant 15 : i32
      %314 = tt.splat %c87 : i32 -> tensor<64xi32>
      %315 = arith.shrui %313, %314 : tensor<64xi32>
      %316 = arith.xori %313, %315 : tensor<64xi32>
      %c88 = arith.constant -2073254261 : i32
      %317 = tt.splat %c88 : i32 -> tensor<64xi32>
      %318 = arith.muli %316, %317 : tensor<64xi32>
      %c89 = arith.constant 16 : i32
      %319 = tt.splat %c89 : i32 -> tensor<64xi32>
      %320 = arith.shrui %318, %319 : tensor<64xi32>
      %321 = arith.xori %318, %320 : tensor<64xi32>
      %322 = tt.expand_dims %321 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
      %c90 = arith.constant 0 : i32
      %c91 = arith.constant 0 : i32
      %323 = arith.addi %c91, %c1 : i32
      %c92 = arith.constant 1 : i32
      %324 = arith.muli %323, %c92 : i32
      %325 = arith.addi %c90, %324 : i32
      %326 = tt.addptr %arg1, %325 : !tt.ptr<i32>, i32
      %327 = tt.load %326 : !tt.ptr<i32>
      %328 = tt.broadcast %322 : tensor<1x64xi32> -> tensor<64x64xi32>
      %329 = tt.broadcast %124 : tensor<64x1xi32> -> tensor<64x64xi32>
      %330 = arith.xori %328, %329 : tensor<64x64xi32>
      %c93 = arith.constant 2146121005 : i32
      %331 = tt.splat %c93 : i32 -> tensor<64x64xi32>
      %332 = arith.muli %330, %331 : tensor<64x64xi32>
      %c94 = arith.constant 15 : i32
      %333 = tt.splat %c94 : i32 -> tensor<64x64xi32>
      %334 = arith.shrui %332, %333 : tensor<64x64xi32>
      %335 = arith.xori %332, %334 : tensor<64x64xi32>
      %c95 = arith.constant -2073254261 : i32
      %336 = tt.splat %c95 : i32 -> tensor<64x64xi32>
      %337 = arith.muli %335, %336 : tensor<64x64xi32>
      %338 = tt.splat %327 : i32 -> tensor<64x64xi32>
      %339 = arith.cmpi uge, %337, %338 : tensor<64x64xi32>
      %c96 = arith.constant 0.000000e+00 : f32
      %340 = tt.splat %c96 : f32 -> tensor<64x64xf32>
      %341 = arith.select %339, %286, %340 : tensor<64x64xi1>, tensor<64x64xf32>
      %342 = arith.truncf %341 : tensor<64x64xf32> to tensor<64x64xbf16>
      %c97 = arith.constant 0.000000e+00 : f32
      %343 = tt.splat %c97 : f32 -> tensor<64x64xf32>
      %344 = tt.dot %342, %253, %343, inputPrecision = tf32 : tensor<64x64xbf16> * tensor<64x64xbf16> -> tensor<64x64xf32>
      %345 = arith.addf %arg14, %344 : tensor<64x64xf32>
      %346 = tt.trans %253 {order = array<i32: 1, 0>} : tensor<64x64xbf16> -> tensor<64x64xbf16>
      %c98 = arith.constant 0.000000e+00 : f32
      %347 = tt.splat %c98 : f32 -> tensor<64x64xf32>
      %348 = tt.dot %71, %346, %347, inputPrecision = tf32 : tensor<64x64xbf16> * tensor<64x64xbf16> -> tensor<64x64xf32>
      %c99 = arith.constant 0.000000e+00 : f32
      %349 = tt.splat %c99 : f32 -> tensor<64x64xf32>
      %350 = arith.select %339, %348, %349 : tensor<64x64xi1>, tensor<64x64xf32>
      %c100 = arith.constant 0 : i32
      %351 = tt.splat %c100 : i32 -> tensor<64xi32>
      %c101 = arith.constant 0 : i32
      %352 = tt.splat %c101 : i32 -> tensor<64xi32>
      %353 = tt.splat %4 : i32 -> tensor<64xi32>
      %354 = arith.addi %352, %353 : tensor<64xi32>
      %c102 = arith.constant ${statistics} : i32
      %355 = tt.splat %c102 : i32 -> tensor<64xi32>
      %356 = arith.muli %354, %355 : tensor<64xi32>
      %357 = arith.addi %351, %356 : tensor<64xi32>
      %c103 = arith.constant 0 : i32
      %358 = tt.splat %c103 : i32 -> tensor<64xi32>
      %359 = tt.splat %3 : i32 -> tensor<64xi32>
      %360 = arith.addi %358, %359 : tensor<64xi32>
      %c104 = arith.constant 512 : i32
      %361 = tt.splat %c104 : i32 -> tensor<64xi32>
      %362 = arith.muli %360, %361 : tensor<64xi32>
      %363 = arith.addi %357, %362 : tensor<64xi32>
      %364 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %365 = tt.splat %197 : i32 -> tensor<64xi32>
      %366 = arith.addi %365, %364 : tensor<64xi32>
      %367 = tt.splat %13 : i32 -> tensor<64xi32>
      %368 = arith.addi %366, %367 : tensor<64xi32>
      %c105 = arith.constant 1 : i32
      %369 = tt.splat %c105 : i32 -> tensor<64xi32>
      %370 = arith.muli %368, %369 : tensor<64xi32>
      %371 = arith.addi %363, %370 : tensor<64xi32>
      %372 = tt.splat %arg8 : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>>
      %373 = tt.addptr %372, %371 : tensor<64x!tt.ptr<f32>>, tensor<64xi32>
      %374 = tt.load %373 : tensor<64x!tt.ptr<f32>>
      %c106 = arith.constant 0 : i32
      %c107 = arith.constant 0 : i32
      %375 = arith.addi %c107, %c2 : i32
      %c108 = arith.constant 1 : i32
      %376 = arith.muli %375, %c108 : i32
      %377 = arith.addi %c106, %376 : i32
      %378 = tt.addptr %arg2, %377 : !tt.ptr<f32>, i32
      %379 = tt.load %378 : !tt.ptr<f32>
      %380 = tt.splat %379 : f32 -> tensor<64xf32>
      %381 = arith.divf %374, %380 : tensor<64xf32>
      %382 = tt.expand_dims %381 {axis = 0 : i32} : tensor<64xf32> -> tensor<1x64xf32>
      %383 = tt.broadcast %382 : tensor<1x64xf32> -> tensor<64x64xf32>
      %384 = arith.subf %350, %383 : tensor<64x64xf32>
      %385 = arith.mulf %286, %384 : tensor<64x64xf32>
      %386 = arith.truncf %385 : tensor<64x64xf32> to tensor<64x64xbf16>
      %c109 = arith.constant 0.000000e+00 : f32
      %387 = tt.splat %c109 : f32 -> tensor<64x64xf32>
      %388 = tt.dot %386, %225, %387, inputPrecision = tf32 : tensor<64x64xbf16> * tensor<64x64xbf16> -> tensor<64x64xf32>
      %389 = arith.addf %arg13, %388 : tensor<64x64xf32>
      scf.yield %389, %345 : tensor<64x64xf32>, tensor<64x64xf32>
    }
    %c110 = arith.constant 0 : i32
    %c111 = arith.constant 0 : i32
    %128 = arith.addi %c111, %c2 : i32
    %c112 = arith.constant 1 : i32
    %129 = arith.muli %128, %c112 : i32
    %130 = arith.addi %c110, %129 : i32
    %131 = tt.addptr %arg2, %130 : !tt.ptr<f32>, i32
    %132 = tt.load %131 : !tt.ptr<f32>
    %c113 = arith.constant 1.250000e-01 : f32
    %133 = arith.mulf %132, %c113 : f32
    %134 = tt.splat %133 : f32 -> tensor<64x64xf32>
    %135 = arith.mulf %127#0, %134 : tensor<64x64xf32>
    %136 = arith.truncf %135 : tensor<64x64xf32> to tensor<64x64xbf16>
    %c114 = arith.constant 0 : i32
    %137 = tt.splat %c114 : i32 -> tensor<64x64xi32>
    %c115 = arith.constant 0 : i32
    %138 = tt.splat %c115 : i32 -> tensor<64x64xi32>
    %139 = tt.splat %4 : i32 -> tensor<64x64xi32>
    %140 = arith.addi %138, %139 : tensor<64x64xi32>
    %c116 = arith.constant ${sequence} : i32
    %141 = tt.splat %c116 : i32 -> tensor<64x64xi32>
    %142 = arith.muli %140, %141 : tensor<64x64xi32>
    %143 = arith.addi %137, %142 : tensor<64x64xi32>
    %144 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %145 = tt.expand_dims %144 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
    %146 = tt.broadcast %145 : tensor<64x1xi32> -> tensor<64x64xi32>
    %147 = tt.splat %16 : i32 -> tensor<64x64xi32>
    %148 = arith.addi %146, %147 : tensor<64x64xi32>
    %c117 = arith.constant ${hidden} : i32
    %149 = tt.splat %c117 : i32 -> tensor<64x64xi32>
    %150 = arith.muli %148, %149 : tensor<64x64xi32>
    %151 = arith.addi %143, %150 : tensor<64x64xi32>
    %152 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %153 = tt.expand_dims %152 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
    %154 = tt.broadcast %153 : tensor<1x64xi32> -> tensor<64x64xi32>
    %155 = tt.splat %17 : i32 -> tensor<64x64xi32>
    %156 = arith.addi %154, %155 : tensor<64x64xi32>
    %c118 = arith.constant 1 : i32
    %157 = tt.splat %c118 : i32 -> tensor<64x64xi32>
    %158 = arith.muli %156, %157 : tensor<64x64xi32>
    %159 = arith.addi %151, %158 : tensor<64x64xi32>
    %160 = tt.splat %arg10 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
    %161 = tt.addptr %160, %159 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
    %162 = tt.load %161 : tensor<64x64x!tt.ptr<bf16>>
    tt.store %161, %136 : tensor<64x64x!tt.ptr<bf16>>
    %c119 = arith.constant 0 : i32
    %c120 = arith.constant 0 : i32
    %163 = arith.addi %c120, %c2 : i32
    %c121 = arith.constant 1 : i32
    %164 = arith.muli %163, %c121 : i32
    %165 = arith.addi %c119, %164 : i32
    %166 = tt.addptr %arg2, %165 : !tt.ptr<f32>, i32
    %167 = tt.load %166 : !tt.ptr<f32>
    %168 = tt.splat %167 : f32 -> tensor<64x64xf32>
    %169 = arith.mulf %127#1, %168 : tensor<64x64xf32>
    %170 = arith.truncf %169 : tensor<64x64xf32> to tensor<64x64xbf16>
    %c122 = arith.constant 0 : i32
    %171 = tt.splat %c122 : i32 -> tensor<64x64xi32>
    %c123 = arith.constant 0 : i32
    %172 = tt.splat %c123 : i32 -> tensor<64x64xi32>
    %173 = tt.splat %4 : i32 -> tensor<64x64xi32>
    %174 = arith.addi %172, %173 : tensor<64x64xi32>
    %c124 = arith.constant ${sequence} : i32
    %175 = tt.splat %c124 : i32 -> tensor<64x64xi32>
    %176 = arith.muli %174, %175 : tensor<64x64xi32>
    %177 = arith.addi %171, %176 : tensor<64x64xi32>
    %178 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %179 = tt.expand_dims %178 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
    %180 = tt.broadcast %179 : tensor<64x1xi32> -> tensor<64x64xi32>
    %181 = tt.splat %18 : i32 -> tensor<64x64xi32>
    %182 = arith.addi %180, %181 : tensor<64x64xi32>
    %c125 = arith.constant ${hidden} : i32
    %183 = tt.splat %c125 : i32 -> tensor<64x64xi32>
    %184 = arith.muli %182, %183 : tensor<64x64xi32>
    %185 = arith.addi %177, %184 : tensor<64x64xi32>
    %186 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %187 = tt.expand_dims %186 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
    %188 = tt.broadcast %187 : tensor<1x64xi32> -> tensor<64x64xi32>
    %189 = tt.splat %19 : i32 -> tensor<64x64xi32>
    %190 = arith.addi %188, %189 : tensor<64x64xi32>
    %c126 = arith.constant 1 : i32
    %191 = tt.splat %c126 : i32 -> tensor<64x64xi32>
    %192 = arith.muli %190, %191 : tensor<64x64xi32>
    %193 = arith.addi %185, %192 : tensor<64x64xi32>
    %194 = tt.splat %arg11 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
    %195 = tt.addptr %194, %193 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
    %196 = tt.load %195 : tensor<64x64x!tt.ptr<bf16>>
    tt.store %195, %170 : tensor<64x64x!tt.ptr<bf16>>
    tt.return
  }
}

