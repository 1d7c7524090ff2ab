module @_forward {
  tt.func public @_forward(%arg0: !tt.ptr<i32> {tt.divisibility = 32 : i32}, %arg1: !tt.ptr<i32> {tt.divisibility = 32 : i32}, %arg2: !tt.ptr<f32> {tt.divisibility = 32 : i32}, %arg3: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg4: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg5: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg6: !tt.ptr<f32> {tt.divisibility = 32 : i32}, %arg7: !tt.ptr<bf16> {tt.divisibility = 32 : i32}, %arg8: !tt.ptr<f32> {tt.divisibility = 32 : i32}) {
    %0 = tt.get_program_id x : i32
    %c0 = arith.constant 16 : i32
    %1 = arith.remui %0, %c0 : i32
    %2 = arith.divui %0, %c0 : i32
    %3 = tt.get_program_id y : i32
    %4 = tt.get_program_id z : i32
    %c1 = arith.constant 0 : i32
    %c2 = arith.constant 0 : i32
    %c3 = arith.constant 128 : i32
    %5 = arith.muli %1, %c3 : i32
    %c4 = arith.constant 64 : i32
    %6 = arith.muli %3, %c4 : i32
    %c5 = arith.constant 0 : i32
    %c6 = arith.constant 2048 : i32
    %7 = arith.muli %c5, %c6 : i32
    %c7 = arith.constant 64 : i32
    %8 = arith.muli %3, %c7 : i32
    %c8 = arith.constant 0 : i32
    %c9 = arith.constant 2048 : i32
    %9 = arith.muli %c8, %c9 : i32
    %c10 = arith.constant 64 : i32
    %10 = arith.muli %3, %c10 : i32
    %c11 = arith.constant 0 : i32
    %c12 = arith.constant 2048 : i32
    %11 = arith.muli %c11, %c12 : i32
    %c13 = arith.constant 128 : i32
    %12 = arith.muli %1, %c13 : i32
    %c14 = arith.constant 64 : i32
    %13 = arith.muli %3, %c14 : i32
    %c15 = arith.constant 128 : i32
    %14 = arith.muli %1, %c15 : i32
    %c16 = arith.constant 0 : i32
    %15 = tt.splat %c16 : i32 -> tensor<128x64xi32>
    %c17 = arith.constant 0 : i32
    %16 = tt.splat %c17 : i32 -> tensor<128x64xi32>
    %17 = tt.splat %4 : i32 -> tensor<128x64xi32>
    %18 = arith.addi %16, %17 : tensor<128x64xi32>
    %c18 = arith.constant ${sequence} : i32
    %19 = tt.splat %c18 : i32 -> tensor<128x64xi32>
    %20 = arith.muli %18, %19 : tensor<128x64xi32>
    %21 = arith.addi %15, %20 : tensor<128x64xi32>
    %22 = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32>
    %23 = tt.expand_dims %22 {axis = 1 : i32} : tensor<128xi32> -> tensor<128x1xi32>
    %24 = tt.broadcast %23 : tensor<128x1xi32> -> tensor<128x64xi32>
    %25 = tt.splat %5 : i32 -> tensor<128x64xi32>
    %26 = arith.addi %24, %25 : tensor<128x64xi32>
    %c19 = arith.constant ${hidden} : i32
    %27 = tt.splat %c19 : i32 -> tensor<128x64xi32>
    %28 = arith.muli %26, %27 : tensor<128x64xi32>
    %29 = arith.addi %21, %28 : tensor<128x64xi32>
    %30 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %31 = tt.expand_dims %30 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
    %32 = tt.broadcast %31 : tensor<1x64xi32> -> tensor<128x64xi32>
    %33 = tt.splat %6 : i32 -> tensor<128x64xi32>
    %34 = arith.addi %32, %33 : tensor<128x64xi32>
    %c20 = arith.constant 1 : i32
    %35 = tt.splat %c20 : i32 -> tensor<128x64xi32>
    %36 = arith.muli %34, %35 : tensor<128x64xi32>
    %37 = arith.addi %29, %36 : tensor<128x64xi32>
    %38 = tt.splat %arg3 : !tt.ptr<bf16> -> tensor<128x64x!tt.ptr<bf16>>
    %39 = tt.addptr %38, %37 : tensor<128x64x!tt.ptr<bf16>>, tensor<128x64xi32>
    %40 = tt.load %39 : tensor<128x64x!tt.ptr<bf16>>
    %c21 = arith.constant 1.250000e-01 : bf16
    %41 = tt.splat %c21 : bf16 -> tensor<128x64xbf16>
    %42 = arith.mulf %40, %41 : tensor<128x64xbf16>
    %c22 = arith.constant 0 : i32
    %c23 = arith.constant 0 : i32
    %43 = arith.addi %c23, %4 : i32
    %c24 = arith.constant 1 : i32
    %44 = arith.muli %43, %c24 : i32
    %45 = arith.addi %c22, %44 : i32
    %46 = tt.addptr %arg0, %45 : !tt.ptr<i32>, i32
    %47 = tt.load %46 : !tt.ptr<i32>
    %c25 = arith.constant 128 : i32
    %48 = arith.muli %1, %c25 : i32
    %c26 = arith.constant -1640531527 : i32
    %49 = arith.xori %47, %c26 : i32
    %c27 = arith.constant 16 : i32
    %50 = arith.shrui %49, %c27 : i32
    %51 = arith.xori %49, %50 : i32
    %c28 = arith.constant 2146121005 : i32
    %52 = arith.muli %51, %c28 : i32
    %c29 = arith.constant 15 : i32
    %53 = arith.shrui %52, %c29 : i32
    %54 = arith.xori %52, %53 : i32
    %c30 = arith.constant -2073254261 : i32
    %55 = arith.muli %54, %c30 : i32
    %c31 = arith.constant 16 : i32
    %56 = arith.shrui %55, %c31 : i32
    %57 = arith.xori %55, %56 : i32
    %c32 = arith.constant 65536 : i32
    %58 = arith.muli %3, %c32 : i32
    %59 = arith.addi %48, %58 : i32
    %60 = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32>
    %61 = tt.splat %59 : i32 -> tensor<128xi32>
    %62 = arith.addi %61, %60 : tensor<128xi32>
    %63 = tt.splat %57 : i32 -> tensor<128xi32>
    %64 = arith.xori %63, %62 : tensor<128xi32>
    %c33 = arith.constant 16 : i32
    %65 = tt.splat %c33 : i32 -> tensor<128xi32>
    %66 = arith.shrui %64, %65 : tensor<128xi32>
    %67 = arith.xori %64, %66 : tensor<128xi32>
    %c34 = arith.constant 2146121005 : i32
    %68 = tt.splat %c34 : i32 -> tensor<128xi32>
    %69 = arith.muli %67, %68 : tensor<128xi32>
    %c35 = arith.constant 15 : i32
    %70 = tt.splat %c35 : i32 -> tensor<128xi32>
    %71 = arith.shrui %69, %70 : tensor<128xi32>
    %72 = arith.xori %69, %71 : tensor<128xi32>
    %c36 = arith.constant -2073254261 : i32
    %73 = tt.splat %c36 : i32 -> tensor<128xi32>
    %74 = arith.muli %72, %73 : tensor<128xi32>
    %c37 = arith.constant 16 : i32
    %75 = tt.splat %c37 : i32 -> tensor<128xi32>
    %76 = arith.shrui %74, %75 : tensor<128xi32>
    %77 = arith.xori %74, %76 : tensor<128xi32>
    %78 = tt.expand_dims %77 {axis = 1 : i32} : tensor<128xi32> -> tensor<128x1xi32>
    %c38 = arith.constant 0.000000e+00 : f32
    %79 = tt.splat %c38 : f32 -> tensor<128xf32>
    %c39 = arith.constant 0.000000e+00 : f32
    %80 = tt.splat %c39 : f32 -> tensor<128x64xf32>
    %c40 = arith.constant 1.000000e+30 : f32
    %81 = tt.splat %c40 : f32 -> tensor<128xf32>
    %82 = arith.subf %79, %81 : tensor<128xf32>
    %c41 = arith.constant 0 : i32
    %c42 = arith.constant 32 : i32
    %83 = arith.addi %c41, %c42 : i32
    %c43 = arith.constant 1 : i32
    %84:3 = scf.for %arg9 = %c41 to %83 step %c43 iter_args(%arg10 = %80, %arg11 = %82, %arg12 = %79) -> (tensor<128x64xf32>, tensor<128xf32>, tensor<128xf32>)  : i32 {
      %c44 = arith.constant 64 : i32
      %146 = arith.muli %arg9, %c44 : i32
      %c45 = arith.constant 0 : i32
      %147 = tt.splat %c45 : i32 -> tensor<64x64xi32>
      %c46 = arith.constant 0 : i32
      %148 = tt.splat %c46 : i32 -> tensor<64x64xi32>
      %149 = tt.splat %4 : i32 -> tensor<64x64xi32>
      %150 = arith.addi %148, %149 : tensor<64x64xi32>
      %c47 = arith.constant ${sequence} : i32
      %151 = tt.splat %c47 : i32 -> tensor<64x64xi32>
      %152 = arith.muli %150, %151 : tensor<64x64xi32>
      %153 = arith.addi %147, %152 : tensor<64x64xi32>
      %154 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %155 = tt.splat %146 : i32 -> tensor<64xi32>
      %156 = arith.addi %155, %154 : tensor<64xi32>
      %157 = tt.expand_dims %156 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
      %158 = tt.broadcast %157 : tensor<64x1xi32> -> tensor<64x64xi32>
      %159 = tt.splat %7 : i32 -> tensor<64x64xi32>
      %160 = arith.addi %158, %159 : tensor<64x64xi32>
      %c48 = arith.constant ${hidden} : i32
      %161 = tt.splat %c48 : i32 -> tensor<64x64xi32>
      %162 = arith.muli %160, %161 : tensor<64x64xi32>
      %163 = arith.addi %153, %162 : tensor<64x64xi32>
      %164 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %165 = tt.expand_dims %164 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
      %166 = tt.broadcast %165 : tensor<1x64xi32> -> tensor<64x64xi32>
      %167 = tt.splat %8 : i32 -> tensor<64x64xi32>
      %168 = arith.addi %166, %167 : tensor<64x64xi32>
      %c49 = arith.constant 1 : i32
      %169 = tt.splat %c49 : i32 -> tensor<64x64xi32>
      %170 = arith.muli %168, %169 : tensor<64x64xi32>
      %171 = arith.addi %163, %170 : tensor<64x64xi32>
      %172 = tt.splat %arg4 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
      %173 = tt.addptr %172, %171 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
      %174 = tt.load %173 : tensor<64x64x!tt.ptr<bf16>>
      %175 = tt.trans %174 {order = array<i32: 1, 0>} : tensor<64x64xbf16> -> tensor<64x64xbf16>
      %c50 = arith.constant 0.000000e+00 : f32
      %176 = tt.splat %c50 : f32 -> tensor<128x64xf32>
      %177 = tt.dot %42, %175, %176, inputPrecision = tf32 : tensor<128x64xbf16> * tensor<64x64xbf16> -> tensor<128x64xf32>
      %c51 = arith.constant 0 : i32
      %178 = tt.splat %c51 : i32 -> tensor<64xi32>
      %c52 = arith.constant 0 : i32
      %179 = tt.splat %c52 : i32 -> tensor<64xi32>
      %180 = tt.splat %4 : i32 -> tensor<64xi32>
      %181 = arith.addi %179, %180 : tensor<64xi32>
      %c53 = arith.constant 2048 : i32
      %182 = tt.splat %c53 : i32 -> tensor<64xi32>
      %183 = arith.muli %181, %182 : tensor<64xi32>
      %184 = arith.addi %178, %183 : tensor<64xi32>
      %185 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %186 = tt.splat %146 : i32 -> tensor<64xi32>
      %187 = arith.addi %186, %185 : tensor<64xi32>
      %188 = tt.splat %11 : i32 -> tensor<64xi32>
      %189 = arith.addi %187, %188 : tensor<64xi32>
      %c54 = arith.constant 1 : i32
      %190 = tt.splat %c54 : i32 -> tensor<64xi32>
      %191 = arith.muli %189, %190 : tensor<64xi32>
      %192 = arith.addi %184, %191 : tensor<64xi32>
      %193 = tt.splat %arg6 : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>>
      %194 = tt.addptr %193, %192 : tensor<64x!tt.ptr<f32>>, tensor<64xi32>
      %195 = tt.load %194 : tensor<64x!tt.ptr<f32>>
      %196 = tt.expand_dims %195 {axis = 0 : i32} : tensor<64xf32> -> tensor<1x64xf32>
      %197 = tt.broadcast %196 : tensor<1x64xf32> -> tensor<128x64xf32>
      %198 = arith.addf %177, %197 : tensor<128x64xf32>
      %199 = "tt.reduce"(%198) <{axis = 1 : i32}> ({
      ^bb0(%arg13: f32, %arg14: f32):
        %298 = arith.maxnumf %arg13, %arg14 : f32
        tt.reduce.return %298 : f32
      }) : (tensor<128x64xf32>) -> tensor<128xf32>
      %200 = arith.maxnumf %arg11, %199 : tensor<128xf32>
      %201 = arith.subf %arg11, %200 : tensor<128xf32>
      %202 = tt.extern_elementwise %201 {libname = "", libpath = "", pure = true, symbol = "__nv_expf"} : (tensor<128xf32>) -> tensor<128xf32>
      %203 = tt.expand_dims %200 {axis = 1 : i32} : tensor<128xf32> -> tensor<128x1xf32>
      %204 = tt.broadcast %203 : tensor<128x1xf32> -> tensor<128x64xf32>
      %205 = arith.subf %198, %204 : tensor<128x64xf32>
      %206 = tt.extern_elementwise %205 {libname = "", libpath = "", pure = true, symbol = "__nv_expf"} : (tensor<128x64xf32>) -> tensor<128x64xf32>
      %207 = arith.mulf %arg12, %202 : tensor<128xf32>
      %208 = "tt.reduce"(%206) <{axis = 1 : i32}> ({
      ^bb0(%arg13: f32, %arg14: f32):
        %298 = arith.addf %arg13, %arg14 : f32
        tt.reduce.return %298 : f32
      }) : (tensor<128x64xf32>) -> tensor<128xf32>
      %209 = arith.addf %207, %208 : tensor<128xf32>
      %c55 = arith.constant 0 : i32
      %c56 = arith.constant 0 : i32
      %210 = arith.addi %c56, %4 : i32
      %c57 = arith.constant 1 : i32
      %211 = arith.muli %210, %c57 : i32
      %212 = arith.addi %c55, %211 : i32
      %213 = tt.addptr %arg0, %212 : !tt.ptr<i32>, i32
      %214 = tt.load %213 : !tt.ptr<i32>
      %c58 = arith.constant 64 : i32
      %215 = arith.muli %arg9, %c58 : i32
      %c59 = arith.constant -2048144789 : i32
      %216 = arith.xori %214, %c59 : i32
      %c60 = arith.constant 16 : i32
      %217 = arith.shrui %216, %c60 : i32
      %218 = arith.xori %216, %217 : i32
      %c61 = arith.constant 2146121005 : i32
      %219 = arith.muli %218, %c61 : i32
      %c62 = arith.constant 15 : i32
      %220 = arith.shrui %219, %c62 : i32
      %221 = arith.xori %219, %220 : i32
      %c63 = arith.constant -2073254261 : i32
      %222 = arith.muli %221, %c63 : i32
      %c64 = arith.constant 16 : i32
      %223 = arith.shrui %222, %c64 : i32
      %224 = arith.xori %222, %223 : i32
      %225 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %226 = tt.splat %215 : i32 -> tensor<64xi32>
      %227 = arith.addi %226, %225 : tensor<64xi32>
      %228 = tt.splat %224 : i32 -> tensor<64xi32>
      %229 = arith.xori %228, %227 : tensor<64xi32>
      %c65 = arith.constant 16 : i32
      %230 = tt.splat %c65 : i32 -> tensor<64xi32>
      %231 = arith.shrui %229, %230 : tensor<64xi32>
      %232 = arith.xori %229, %231 : tensor<64xi32>
      %c66 = arith.constant 2146121005 : i32
      %233 = tt.splat %c66 : i32 -> tensor<64xi32>
      %234 = arith.muli %232, %233 : tensor<64xi32>
      %c67 = arith.constant 15 : i32
      %235 = tt.splat %c67 : i32 -> tensor<64xi32>
      %236 = arith.shrui %234, %235 : tensor<64xi32>
      %237 = arith.xori %234, %236 : tensor<64xi32>
      %c68 = arith.constant -2073254261 : i32
      %238 = tt.splat %c68 : i32 -> tensor<64xi32>
      %239 = arith.muli %237, %238 : tensor<64xi32>
      %c69 = arith.constant 16 : i32
      %240 = tt.splat %c69 : i32 -> tensor<64xi32>
      %241 = arith.shrui %239, %240 : tensor<64xi32>
      %242 = arith.xori %239, %241 : tensor<64xi32>
      %243 = tt.expand_dims %242 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
      %c70 = arith.constant 0 : i32
      %c71 = arith.constant 0 : i32
      %244 = arith.addi %c71, %c1 : i32
      %c72 = arith.constant 1 : i32
      %245 = arith.muli %244, %c72 : i32
      %246 = arith.addi %c70, %245 : i32
      %247 = tt.addptr %arg1, %246 : !tt.ptr<i32>, i32
      %248 = tt.load %247 : !tt.ptr<i32>
      %249 = tt.broadcast %78 : tensor<128x1xi32> -> tensor<128x64xi32>
      %250 = tt.broadcast %243 : tensor<1x64xi32> -> tensor<128x64xi32>
      %251 = arith.xori %249, %250 : tensor<128x64xi32>
      %c73 = arith.constant 2146121005 : i32
      %252 = tt.splat %c73 : i32 -> tensor<128x64xi32>
      %253 = arith.muli %251, %252 : tensor<128x64xi32>
      %c74 = arith.constant 15 : i32
      %254 = tt.splat %c74 : i32 -> tensor<128x64xi32>
      %255 = arith.shrui %253, %254 : tensor<128x64xi32>
      %256 = arith.xori %253, %255 : tensor<128x64xi32>
      %c75 = arith.constant -2073254261 : i32
      %257 = tt.splat %c75 : i32 -> tensor<128x64xi32>
      %258 = arith.muli %256, %257 : tensor<128x64xi32>
      %259 = tt.splat %248 : i32 -> tensor<128x64xi32>
      %260 = arith.cmpi uge, %258, %259 : tensor<128x64xi32>
      %c76 = arith.constant 0.000000e+00 : f32
      %261 = tt.splat %c76 : f32 -> tensor<128x64xf32>
      %262 = arith.select %260, %206, %261 : tensor<128x64xi1>, tensor<128x64xf32>
      %263 = tt.expand_dims %202 {axis = 1 : i32} : tensor<128xf32> -> tensor<128x1xf32>
      %264 = tt.broadcast %263 : tensor<128x1xf32> -> tensor<128x64xf32>
      %265 = arith.mulf %arg10, %264 : tensor<128x64xf32>
      %266 = arith.truncf %262 : tensor<128x64xf32> to tensor<128x64xbf16>
      %c77 = arith.constant 0 : i32
      %267 = tt.splat %c77 : i32 -> tensor<64x64xi32>
      %c78 = arith.constant 0 : i32
      %268 = tt.splat %c78 : i32 -> tensor<64x64xi32>
      %269 = tt.splat %4 : i32 -> tensor<64x64xi32>
      %270 = arith.addi %268, %269 : tensor<64x64xi32>
      %c79 = arith.constant ${sequence} : i32
      %271 = tt.splat %c79 : i32 -> tensor<64x64xi32>
      %272 = arith.muli %270, %271 : tensor<64x64xi32>
      %273 = arith.addi %267, %272 : tensor<64x64xi32>
      %274 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %275 = tt.splat %146 : i32 -> tensor<64xi32>
      %276 = arith.addi %275, %274 : tensor<64xi32>
      %277 = tt.expand_dims %276 {axis = 1 : i32} : tensor<64xi32> -> tensor<64x1xi32>
      %278 = tt.broadcast %277 : tensor<64x1xi32> -> tensor<64x64xi32>
      %279 = tt.splat %9 : i32 -> tensor<64x64xi32>
      %280 = arith.addi %278, %279 : tensor<64x64xi32>
      %c80 = arith.constant ${hidden} : i32
      %281 = tt.splat %c80 : i32 -> tensor<64x64xi32>
      %282 = arith.muli %280, %281 : tensor<64x64xi32>
      %283 = arith.addi %273, %282 : tensor<64x64xi32>
      %284 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
      %285 = tt.expand_dims %284 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
      %286 = tt.broadcast %285 : tensor<1x64xi32> -> tensor<64x64xi32>
      %287 = tt.splat %10 : i32 -> tensor<64x64xi32>
      %288 = arith.addi %286, %287 : tensor<64x64xi32>
      %c81 = arith.constant 1 : i32
      %289 = tt.splat %c81 : i32 -> tensor<64x64xi32>
      %290 = arith.muli %288, %289 : tensor<64x64xi32>
      %291 = arith.addi %283, %290 : tensor<64x64xi32>
      %292 = tt.splat %arg5 : !tt.ptr<bf16> -> tensor<64x64x!tt.ptr<bf16>>
      %293 = tt.addptr %292, %291 : tensor<64x64x!tt.ptr<bf16>>, tensor<64x64xi32>
      %294 = tt.load %293 : tensor<64x64x!tt.ptr<bf16>>
      %c82 = arith.constant 0.000000e+00 : f32
      %295 = tt.splat %c82 : f32 -> tensor<128x64xf32>
      %296 = tt.dot %266, %294, %295, inputPrecision = tf32 : tensor<128x64xbf16> * tensor<64x64xbf16> -> tensor<128x64xf32>
      %297 = arith.addf %265, %296 : tensor<128x64xf32>
      scf.yield %297, %200, %209 : tensor<128x64xf32>, tensor<128xf32>, tensor<128xf32>
    }
    %c83 = arith.constant 0 : i32
    %c84 = arith.constant 0 : i32
    %85 = arith.addi %c84, %c2 : i32
    %c85 = arith.constant 1 : i32
    %86 = arith.muli %85, %c85 : i32
    %87 = arith.addi %c83, %86 : i32
    %88 = tt.addptr %arg2, %87 : !tt.ptr<f32>, i32
    %89 = tt.load %88 : !tt.ptr<f32>
    %90 = tt.splat %89 : f32 -> tensor<128xf32>
    %91 = arith.divf %90, %84#2 : tensor<128xf32>
    %92 = tt.expand_dims %91 {axis = 1 : i32} : tensor<128xf32> -> tensor<128x1xf32>
    %93 = tt.broadcast %92 : tensor<128x1xf32> -> tensor<128x64xf32>
    %94 = arith.mulf %84#0, %93 : tensor<128x64xf32>
    %95 = arith.truncf %94 : tensor<128x64xf32> to tensor<128x64xbf16>
    %c86 = arith.constant 0 : i32
    %96 = tt.splat %c86 : i32 -> tensor<128x64xi32>
    %c87 = arith.constant 0 : i32
    %97 = tt.splat %c87 : i32 -> tensor<128x64xi32>
    %98 = tt.splat %4 : i32 -> tensor<128x64xi32>
    %99 = arith.addi %97, %98 : tensor<128x64xi32>
    %c88 = arith.constant ${sequence} : i32
    %100 = tt.splat %c88 : i32 -> tensor<128x64xi32>
    %101 = arith.muli %99, %100 : tensor<128x64xi32>
    %102 = arith.addi %96, %101 : tensor<128x64xi32>
    %103 = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32>
    %104 = tt.expand_dims %103 {axis = 1 : i32} : tensor<128xi32> -> tensor<128x1xi32>
    %105 = tt.broadcast %104 : tensor<128x1xi32> -> tensor<128x64xi32>
    %106 = tt.splat %12 : i32 -> tensor<128x64xi32>
    %107 = arith.addi %105, %106 : tensor<128x64xi32>
    %c89 = arith.constant ${hidden} : i32
    %108 = tt.splat %c89 : i32 -> tensor<128x64xi32>
    %109 = arith.muli %107, %108 : tensor<128x64xi32>
    %110 = arith.addi %102, %109 : tensor<128x64xi32>
    %111 = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>
    %112 = tt.expand_dims %111 {axis = 0 : i32} : tensor<64xi32> -> tensor<1x64xi32>
    %113 = tt.broadcast %112 : tensor<1x64xi32> -> tensor<128x64xi32>
    %114 = tt.splat %13 : i32 -> tensor<128x64xi32>
    %115 = arith.addi %113, %114 : tensor<128x64xi32>
    %c90 = arith.constant 1 : i32
    %116 = tt.splat %c90 : i32 -> tensor<128x64xi32>
    %117 = arith.muli %115, %116 : tensor<128x64xi32>
    %118 = arith.addi %110, %117 : tensor<128x64xi32>
    %119 = tt.splat %arg7 : !tt.ptr<bf16> -> tensor<128x64x!tt.ptr<bf16>>
    %120 = tt.addptr %119, %118 : tensor<128x64x!tt.ptr<bf16>>, tensor<128x64xi32>
    %121 = tt.load %120 : tensor<128x64x!tt.ptr<bf16>>
    tt.store %120, %95 : tensor<128x64x!tt.ptr<bf16>>
    %122 = tt.extern_elementwise %84#2 {libname = "", libpath = "", pure = true, symbol = "__nv_logf"} : (tensor<128xf32>) -> tensor<128xf32>
    %123 = arith.addf %84#1, %122 : tensor<128xf32>
    %c91 = arith.constant 0 : i32
    %124 = tt.splat %c91 : i32 -> tensor<128xi32>
    %c92 = arith.constant 0 : i32
    %125 = tt.splat %c92 : i32 -> tensor<128xi32>
    %126 = tt.splat %4 : i32 -> tensor<128xi32>
    %127 = arith.addi %125, %126 : tensor<128xi32>
    %c93 = arith.constant ${statistics} : i32
    %128 = tt.splat %c93 : i32 -> tensor<128xi32>
    %129 = arith.muli %127, %128 : tensor<128xi32>
    %130 = arith.addi %124, %129 : tensor<128xi32>
    %c94 = arith.constant 0 : i32
    %131 = tt.splat %c94 : i32 -> tensor<128xi32>
    %132 = tt.splat %3 : i32 -> tensor<128xi32>
    %133 = arith.addi %131, %132 : tensor<128xi32>
    %c95 = arith.constant 2048 : i32
    %134 = tt.splat %c95 : i32 -> tensor<128xi32>
    %135 = arith.muli %133, %134 : tensor<128xi32>
    %136 = arith.addi %130, %135 : tensor<128xi32>
    %137 = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32>
    %138 = tt.splat %14 : i32 -> tensor<128xi32>
    %139 = arith.addi %137, %138 : tensor<128xi32>
    %c96 = arith.constant 1 : i32
    %140 = tt.splat %c96 : i32 -> tensor<128xi32>
    %141 = arith.muli %139, %140 : tensor<128xi32>
    %142 = arith.addi %136, %141 : tensor<128xi32>
    %143 = tt.splat %arg8 : !tt.ptr<f32> -> tensor<128x!tt.ptr<f32>>
    %144 = tt.addptr %143, %142 : tensor<128x!tt.ptr<f32>>, tensor<128xi32>
    %145 = tt.load %144 : tensor<128x!tt.ptr<f32>>
    tt.store %144, %123 : tensor<128x!tt.ptr<f32>>
    tt.return
  }
}

