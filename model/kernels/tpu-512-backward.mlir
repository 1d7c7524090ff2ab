module @_backward attributes {stable_mosaic.version = 4 : i64} {
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32, %arg3: memref<${batch}xi32, #tpu.memory_space<smem>>, %arg4: memref<1xi32, #tpu.memory_space<smem>>, %arg5: memref<1xf32, #tpu.memory_space<smem>>, %arg6: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg7: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg8: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg9: memref<1x512x1xf32, #tpu.memory_space<vmem>>, %arg10: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg11: memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, %arg12: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg13: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg14: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg15: memref<1x512x128xbf16, #tpu.memory_space<vmem>>):
    %0 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %1 = "stable_mosaic.memref.load"(%arg3, %0) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %2 = "stable_mosaic.tpu.iota"() {dimension = 0 : i32} : () -> vector<512x1xi32>
    %3 = "stable_mosaic.arith.constant"() {value = -2048144789 : i32} : () -> i32
    %4 = "stable_mosaic.arith.xori"(%1, %3) : (i32, i32) -> i32
    %5 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %6 = "stable_mosaic.arith.shrui"(%4, %5) : (i32, i32) -> i32
    %7 = "stable_mosaic.arith.xori"(%4, %6) : (i32, i32) -> i32
    %8 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %9 = "stable_mosaic.arith.muli"(%7, %8) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %10 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %11 = "stable_mosaic.arith.shrui"(%9, %10) : (i32, i32) -> i32
    %12 = "stable_mosaic.arith.xori"(%9, %11) : (i32, i32) -> i32
    %13 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %14 = "stable_mosaic.arith.muli"(%12, %13) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %15 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %16 = "stable_mosaic.arith.shrui"(%14, %15) : (i32, i32) -> i32
    %17 = "stable_mosaic.arith.xori"(%14, %16) : (i32, i32) -> i32
    %18 = "stable_mosaic.vector.broadcast"(%17) : (i32) -> vector<512x1xi32>
    %19 = "stable_mosaic.arith.xori"(%18, %2) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %20 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %21 = "stable_mosaic.vector.broadcast"(%20) : (i32) -> vector<512x1xi32>
    %22 = "stable_mosaic.arith.shrui"(%19, %21) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %23 = "stable_mosaic.arith.xori"(%19, %22) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %24 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %25 = "stable_mosaic.vector.broadcast"(%24) : (i32) -> vector<512x1xi32>
    %26 = "stable_mosaic.arith.muli"(%23, %25) {overflowFlags = #arith.overflow<none>} : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %27 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %28 = "stable_mosaic.vector.broadcast"(%27) : (i32) -> vector<512x1xi32>
    %29 = "stable_mosaic.arith.shrui"(%26, %28) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %30 = "stable_mosaic.arith.xori"(%26, %29) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %31 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %32 = "stable_mosaic.vector.broadcast"(%31) : (i32) -> vector<512x1xi32>
    %33 = "stable_mosaic.arith.muli"(%30, %32) {overflowFlags = #arith.overflow<none>} : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %34 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %35 = "stable_mosaic.vector.broadcast"(%34) : (i32) -> vector<512x1xi32>
    %36 = "stable_mosaic.arith.shrui"(%33, %35) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %37 = "stable_mosaic.arith.xori"(%33, %36) : (vector<512x1xi32>, vector<512x1xi32>) -> vector<512x1xi32>
    %38 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %39 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %40 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %41 = "stable_mosaic.vector.load"(%arg7, %38, %39, %40) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x128xbf16>
    %42 = "stable_mosaic.vector.shape_cast"(%41) : (vector<1x512x128xbf16>) -> vector<512x128xbf16>
    %43 = "stable_mosaic.arith.extf"(%42) : (vector<512x128xbf16>) -> vector<512x128xf32>
    %44 = "stable_mosaic.vector.transpose"(%43) {permutation = array<i64: 1, 0>} : (vector<512x128xf32>) -> vector<128x512xf32>
    %45 = "stable_mosaic.arith.truncf"(%44) : (vector<128x512xf32>) -> vector<128x512xbf16>
    %46 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %47 = "stable_mosaic.memref.load"(%arg5, %46) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %48 = "stable_mosaic.arith.constant"() {value = 1.000000e+00 : f32} : () -> f32
    %49 = "stable_mosaic.arith.divf"(%48, %47) {fastmath = #arith.fastmath<none>} : (f32, f32) -> f32
    %50 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %51 = "stable_mosaic.vector.broadcast"(%50) : (f32) -> vector<128x512xf32>
    %52 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %53 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %54 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %55 = "stable_mosaic.vector.load"(%arg12, %52, %53, %54) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %56 = "stable_mosaic.vector.shape_cast"(%55) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %57 = "stable_mosaic.arith.extf"(%56) : (vector<256x128xbf16>) -> vector<256x128xf32>
    %58 = "stable_mosaic.vector.transpose"(%57) {permutation = array<i64: 1, 0>} : (vector<256x128xf32>) -> vector<128x256xf32>
    %59 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %60 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %61 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %62 = "stable_mosaic.vector.load"(%arg10, %59, %60, %61) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %63 = "stable_mosaic.vector.shape_cast"(%62) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %64 = "stable_mosaic.arith.extf"(%63) : (vector<256x128xbf16>) -> vector<256x128xf32>
    %65 = "stable_mosaic.vector.transpose"(%64) {permutation = array<i64: 1, 0>} : (vector<256x128xf32>) -> vector<128x256xf32>
    %66 = "stable_mosaic.arith.mulf"(%58, %65) {fastmath = #arith.fastmath<none>} : (vector<128x256xf32>, vector<128x256xf32>) -> vector<128x256xf32>
    %67 = "stable_mosaic.arith.truncf"(%58) : (vector<128x256xf32>) -> vector<128x256xbf16>
    %68 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %69 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %70 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %71 = "stable_mosaic.vector.load"(%arg6, %68, %69, %70) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %72 = "stable_mosaic.vector.shape_cast"(%71) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %73 = "stable_mosaic.arith.extf"(%72) : (vector<256x128xbf16>) -> vector<256x128xf32>
    %74 = "stable_mosaic.vector.transpose"(%73) {permutation = array<i64: 1, 0>} : (vector<256x128xf32>) -> vector<128x256xf32>
    %75 = "stable_mosaic.arith.truncf"(%74) : (vector<128x256xf32>) -> vector<128x256xbf16>
    %76 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %77 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %78 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %79 = "stable_mosaic.vector.load"(%arg6, %76, %77, %78) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %80 = "stable_mosaic.vector.shape_cast"(%79) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %81 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %82 = "stable_mosaic.vector.broadcast"(%81) : (bf16) -> vector<256x64xbf16>
    %83 = "stable_mosaic.arith.mulf"(%80, %82) {fastmath = #arith.fastmath<none>} : (vector<256x64xbf16>, vector<256x64xbf16>) -> vector<256x64xbf16>
    %84 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %85 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %86 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %87 = "stable_mosaic.vector.load"(%arg7, %84, %85, %86) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %88 = "stable_mosaic.vector.shape_cast"(%87) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %89 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %90 = "stable_mosaic.tpu.matmul"(%88, %83, %89) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %91 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %92 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %93 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %94 = "stable_mosaic.vector.load"(%arg9, %91, %92, %93) : (memref<1x512x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x1xf32>
    %95 = "stable_mosaic.vector.shape_cast"(%94) : (vector<1x512x1xf32>) -> vector<512x1xf32>
    %96 = "stable_mosaic.vector.broadcast"(%95) : (vector<512x1xf32>) -> vector<512x256xf32>
    %97 = "stable_mosaic.arith.addf"(%90, %96) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %98 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %99 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %100 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %101 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %102 = "stable_mosaic.vector.load"(%arg11, %98, %99, %100, %101) : (memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x256xf32>
    %103 = "stable_mosaic.vector.shape_cast"(%102) : (vector<1x1x1x256xf32>) -> vector<1x256xf32>
    %104 = "stable_mosaic.vector.broadcast"(%103) : (vector<1x256xf32>) -> vector<512x256xf32>
    %105 = "stable_mosaic.arith.subf"(%97, %104) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %106 = "stable_mosaic.math.exp"(%105) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>) -> vector<512x256xf32>
    %107 = "stable_mosaic.vector.extract_strided_slice"(%66) {offsets = [0, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xf32>) -> vector<64x256xf32>
    %108 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<256xf32>} : () -> vector<256xf32>
    %109 = "stable_mosaic.vector.multi_reduction"(%107, %108) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<64x256xf32>, vector<256xf32>) -> vector<256xf32>
    %110 = "stable_mosaic.vector.shape_cast"(%109) : (vector<256xf32>) -> vector<1x256xf32>
    %111 = "stable_mosaic.vector.broadcast"(%49) : (f32) -> vector<1x256xf32>
    %112 = "stable_mosaic.arith.mulf"(%110, %111) {fastmath = #arith.fastmath<none>} : (vector<1x256xf32>, vector<1x256xf32>) -> vector<1x256xf32>
    %113 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %114 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %115 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %116 = "stable_mosaic.vector.load"(%arg8, %113, %114, %115) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %117 = "stable_mosaic.vector.shape_cast"(%116) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %118 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %119 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %120 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %121 = "stable_mosaic.vector.load"(%arg12, %118, %119, %120) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %122 = "stable_mosaic.vector.shape_cast"(%121) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %123 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %124 = "stable_mosaic.tpu.matmul"(%117, %122, %123) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %125 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %126 = "stable_mosaic.memref.load"(%arg3, %125) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %127 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %128 = "stable_mosaic.arith.muli"(%arg1, %127) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %129 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %130 = "stable_mosaic.arith.addi"(%128, %129) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %131 = "stable_mosaic.arith.constant"() {value = 512 : i32} : () -> i32
    %132 = "stable_mosaic.arith.muli"(%arg2, %131) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %133 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %134 = "stable_mosaic.arith.addi"(%132, %133) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %135 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x256xi32>
    %136 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %137 = "stable_mosaic.arith.muli"(%130, %136) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %138 = "stable_mosaic.arith.addi"(%137, %134) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %139 = "stable_mosaic.vector.broadcast"(%138) : (i32) -> vector<1x256xi32>
    %140 = "stable_mosaic.arith.addi"(%135, %139) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %141 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %142 = "stable_mosaic.arith.xori"(%126, %141) : (i32, i32) -> i32
    %143 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %144 = "stable_mosaic.arith.shrui"(%142, %143) : (i32, i32) -> i32
    %145 = "stable_mosaic.arith.xori"(%142, %144) : (i32, i32) -> i32
    %146 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %147 = "stable_mosaic.arith.muli"(%145, %146) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %148 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %149 = "stable_mosaic.arith.shrui"(%147, %148) : (i32, i32) -> i32
    %150 = "stable_mosaic.arith.xori"(%147, %149) : (i32, i32) -> i32
    %151 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %152 = "stable_mosaic.arith.muli"(%150, %151) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %153 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %154 = "stable_mosaic.arith.shrui"(%152, %153) : (i32, i32) -> i32
    %155 = "stable_mosaic.arith.xori"(%152, %154) : (i32, i32) -> i32
    %156 = "stable_mosaic.vector.broadcast"(%155) : (i32) -> vector<1x256xi32>
    %157 = "stable_mosaic.arith.xori"(%156, %140) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %158 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %159 = "stable_mosaic.vector.broadcast"(%158) : (i32) -> vector<1x256xi32>
    %160 = "stable_mosaic.arith.shrui"(%157, %159) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %161 = "stable_mosaic.arith.xori"(%157, %160) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %162 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %163 = "stable_mosaic.vector.broadcast"(%162) : (i32) -> vector<1x256xi32>
    %164 = "stable_mosaic.arith.muli"(%161, %163) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %165 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %166 = "stable_mosaic.vector.broadcast"(%165) : (i32) -> vector<1x256xi32>
    %167 = "stable_mosaic.arith.shrui"(%164, %166) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %168 = "stable_mosaic.arith.xori"(%164, %167) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %169 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %170 = "stable_mosaic.vector.broadcast"(%169) : (i32) -> vector<1x256xi32>
    %171 = "stable_mosaic.arith.muli"(%168, %170) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %172 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %173 = "stable_mosaic.vector.broadcast"(%172) : (i32) -> vector<1x256xi32>
    %174 = "stable_mosaic.arith.shrui"(%171, %173) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %175 = "stable_mosaic.arith.xori"(%171, %174) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %176 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %177 = "stable_mosaic.memref.load"(%arg4, %176) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %178 = "stable_mosaic.vector.broadcast"(%175) : (vector<1x256xi32>) -> vector<512x256xi32>
    %179 = "stable_mosaic.vector.broadcast"(%37) : (vector<512x1xi32>) -> vector<512x256xi32>
    %180 = "stable_mosaic.arith.xori"(%178, %179) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %181 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %182 = "stable_mosaic.vector.broadcast"(%181) : (i32) -> vector<512x256xi32>
    %183 = "stable_mosaic.arith.muli"(%180, %182) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %184 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %185 = "stable_mosaic.vector.broadcast"(%184) : (i32) -> vector<512x256xi32>
    %186 = "stable_mosaic.arith.shrui"(%183, %185) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %187 = "stable_mosaic.arith.xori"(%183, %186) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %188 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %189 = "stable_mosaic.vector.broadcast"(%188) : (i32) -> vector<512x256xi32>
    %190 = "stable_mosaic.arith.muli"(%187, %189) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %191 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %192 = "stable_mosaic.vector.broadcast"(%191) : (i32) -> vector<512x256xi32>
    %193 = "stable_mosaic.arith.xori"(%190, %192) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %194 = "stable_mosaic.vector.broadcast"(%177) : (i32) -> vector<512x256xi32>
    %195 = "stable_mosaic.arith.cmpi"(%193, %194) {predicate = 5 : i64} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi1>
    %196 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %197 = "stable_mosaic.vector.broadcast"(%196) : (f32) -> vector<512x256xf32>
    %198 = "stable_mosaic.arith.select"(%195, %106, %197) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %199 = "stable_mosaic.arith.truncf"(%198) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %200 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %201 = "stable_mosaic.vector.broadcast"(%200) : (f32) -> vector<512x256xf32>
    %202 = "stable_mosaic.arith.select"(%195, %124, %201) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %203 = "stable_mosaic.vector.broadcast"(%112) : (vector<1x256xf32>) -> vector<512x256xf32>
    %204 = "stable_mosaic.arith.subf"(%202, %203) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %205 = "stable_mosaic.arith.mulf"(%106, %204) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %206 = "stable_mosaic.arith.truncf"(%205) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %207 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [0, 0], sizes = [64, 512], strides = [1, 1]} : (vector<128x512xbf16>) -> vector<64x512xbf16>
    %208 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x256xf32>} : () -> vector<64x256xf32>
    %209 = "stable_mosaic.tpu.matmul"(%207, %206, %208) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x512xbf16>, vector<512x256xbf16>, vector<64x256xf32>) -> vector<64x256xf32>
    %210 = "stable_mosaic.vector.extract_strided_slice"(%75) {offsets = [0, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %211 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %212 = "stable_mosaic.tpu.matmul"(%210, %206, %211) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %213 = "stable_mosaic.vector.extract_strided_slice"(%67) {offsets = [0, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %214 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %215 = "stable_mosaic.tpu.matmul"(%213, %199, %214) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %216 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %217 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %218 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %219 = "stable_mosaic.vector.load"(%arg6, %216, %217, %218) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %220 = "stable_mosaic.vector.shape_cast"(%219) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %221 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %222 = "stable_mosaic.vector.broadcast"(%221) : (bf16) -> vector<256x64xbf16>
    %223 = "stable_mosaic.arith.mulf"(%220, %222) {fastmath = #arith.fastmath<none>} : (vector<256x64xbf16>, vector<256x64xbf16>) -> vector<256x64xbf16>
    %224 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %225 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %226 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %227 = "stable_mosaic.vector.load"(%arg7, %224, %225, %226) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %228 = "stable_mosaic.vector.shape_cast"(%227) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %229 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %230 = "stable_mosaic.tpu.matmul"(%228, %223, %229) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %231 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %232 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %233 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %234 = "stable_mosaic.vector.load"(%arg9, %231, %232, %233) : (memref<1x512x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x1xf32>
    %235 = "stable_mosaic.vector.shape_cast"(%234) : (vector<1x512x1xf32>) -> vector<512x1xf32>
    %236 = "stable_mosaic.vector.broadcast"(%235) : (vector<512x1xf32>) -> vector<512x256xf32>
    %237 = "stable_mosaic.arith.addf"(%230, %236) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %238 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %239 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %240 = "stable_mosaic.arith.constant"() {value = 1 : index} : () -> index
    %241 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %242 = "stable_mosaic.vector.load"(%arg11, %238, %239, %240, %241) : (memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x256xf32>
    %243 = "stable_mosaic.vector.shape_cast"(%242) : (vector<1x1x1x256xf32>) -> vector<1x256xf32>
    %244 = "stable_mosaic.vector.broadcast"(%243) : (vector<1x256xf32>) -> vector<512x256xf32>
    %245 = "stable_mosaic.arith.subf"(%237, %244) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %246 = "stable_mosaic.math.exp"(%245) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>) -> vector<512x256xf32>
    %247 = "stable_mosaic.vector.extract_strided_slice"(%66) {offsets = [64, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xf32>) -> vector<64x256xf32>
    %248 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<256xf32>} : () -> vector<256xf32>
    %249 = "stable_mosaic.vector.multi_reduction"(%247, %248) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<64x256xf32>, vector<256xf32>) -> vector<256xf32>
    %250 = "stable_mosaic.vector.shape_cast"(%249) : (vector<256xf32>) -> vector<1x256xf32>
    %251 = "stable_mosaic.vector.broadcast"(%49) : (f32) -> vector<1x256xf32>
    %252 = "stable_mosaic.arith.mulf"(%250, %251) {fastmath = #arith.fastmath<none>} : (vector<1x256xf32>, vector<1x256xf32>) -> vector<1x256xf32>
    %253 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %254 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %255 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %256 = "stable_mosaic.vector.load"(%arg8, %253, %254, %255) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %257 = "stable_mosaic.vector.shape_cast"(%256) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %258 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %259 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %260 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %261 = "stable_mosaic.vector.load"(%arg12, %258, %259, %260) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %262 = "stable_mosaic.vector.shape_cast"(%261) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %263 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %264 = "stable_mosaic.tpu.matmul"(%257, %262, %263) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %265 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %266 = "stable_mosaic.memref.load"(%arg3, %265) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %267 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %268 = "stable_mosaic.arith.muli"(%arg1, %267) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %269 = "stable_mosaic.arith.constant"() {value = 1 : i32} : () -> i32
    %270 = "stable_mosaic.arith.addi"(%268, %269) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %271 = "stable_mosaic.arith.constant"() {value = 512 : i32} : () -> i32
    %272 = "stable_mosaic.arith.muli"(%arg2, %271) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %273 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %274 = "stable_mosaic.arith.addi"(%272, %273) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %275 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x256xi32>
    %276 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %277 = "stable_mosaic.arith.muli"(%270, %276) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %278 = "stable_mosaic.arith.addi"(%277, %274) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %279 = "stable_mosaic.vector.broadcast"(%278) : (i32) -> vector<1x256xi32>
    %280 = "stable_mosaic.arith.addi"(%275, %279) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %281 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %282 = "stable_mosaic.arith.xori"(%266, %281) : (i32, i32) -> i32
    %283 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %284 = "stable_mosaic.arith.shrui"(%282, %283) : (i32, i32) -> i32
    %285 = "stable_mosaic.arith.xori"(%282, %284) : (i32, i32) -> i32
    %286 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %287 = "stable_mosaic.arith.muli"(%285, %286) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %288 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %289 = "stable_mosaic.arith.shrui"(%287, %288) : (i32, i32) -> i32
    %290 = "stable_mosaic.arith.xori"(%287, %289) : (i32, i32) -> i32
    %291 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %292 = "stable_mosaic.arith.muli"(%290, %291) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %293 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %294 = "stable_mosaic.arith.shrui"(%292, %293) : (i32, i32) -> i32
    %295 = "stable_mosaic.arith.xori"(%292, %294) : (i32, i32) -> i32
    %296 = "stable_mosaic.vector.broadcast"(%295) : (i32) -> vector<1x256xi32>
    %297 = "stable_mosaic.arith.xori"(%296, %280) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %298 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %299 = "stable_mosaic.vector.broadcast"(%298) : (i32) -> vector<1x256xi32>
    %300 = "stable_mosaic.arith.shrui"(%297, %299) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %301 = "stable_mosaic.arith.xori"(%297, %300) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %302 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %303 = "stable_mosaic.vector.broadcast"(%302) : (i32) -> vector<1x256xi32>
    %304 = "stable_mosaic.arith.muli"(%301, %303) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %305 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %306 = "stable_mosaic.vector.broadcast"(%305) : (i32) -> vector<1x256xi32>
    %307 = "stable_mosaic.arith.shrui"(%304, %306) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %308 = "stable_mosaic.arith.xori"(%304, %307) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %309 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %310 = "stable_mosaic.vector.broadcast"(%309) : (i32) -> vector<1x256xi32>
    %311 = "stable_mosaic.arith.muli"(%308, %310) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %312 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %313 = "stable_mosaic.vector.broadcast"(%312) : (i32) -> vector<1x256xi32>
    %314 = "stable_mosaic.arith.shrui"(%311, %313) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %315 = "stable_mosaic.arith.xori"(%311, %314) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %316 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %317 = "stable_mosaic.memref.load"(%arg4, %316) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %318 = "stable_mosaic.vector.broadcast"(%315) : (vector<1x256xi32>) -> vector<512x256xi32>
    %319 = "stable_mosaic.vector.broadcast"(%37) : (vector<512x1xi32>) -> vector<512x256xi32>
    %320 = "stable_mosaic.arith.xori"(%318, %319) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %321 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %322 = "stable_mosaic.vector.broadcast"(%321) : (i32) -> vector<512x256xi32>
    %323 = "stable_mosaic.arith.muli"(%320, %322) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %324 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %325 = "stable_mosaic.vector.broadcast"(%324) : (i32) -> vector<512x256xi32>
    %326 = "stable_mosaic.arith.shrui"(%323, %325) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %327 = "stable_mosaic.arith.xori"(%323, %326) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %328 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %329 = "stable_mosaic.vector.broadcast"(%328) : (i32) -> vector<512x256xi32>
    %330 = "stable_mosaic.arith.muli"(%327, %329) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %331 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %332 = "stable_mosaic.vector.broadcast"(%331) : (i32) -> vector<512x256xi32>
    %333 = "stable_mosaic.arith.xori"(%330, %332) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %334 = "stable_mosaic.vector.broadcast"(%317) : (i32) -> vector<512x256xi32>
    %335 = "stable_mosaic.arith.cmpi"(%333, %334) {predicate = 5 : i64} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi1>
    %336 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %337 = "stable_mosaic.vector.broadcast"(%336) : (f32) -> vector<512x256xf32>
    %338 = "stable_mosaic.arith.select"(%335, %246, %337) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %339 = "stable_mosaic.arith.truncf"(%338) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %340 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %341 = "stable_mosaic.vector.broadcast"(%340) : (f32) -> vector<512x256xf32>
    %342 = "stable_mosaic.arith.select"(%335, %264, %341) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %343 = "stable_mosaic.vector.broadcast"(%252) : (vector<1x256xf32>) -> vector<512x256xf32>
    %344 = "stable_mosaic.arith.subf"(%342, %343) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %345 = "stable_mosaic.arith.mulf"(%246, %344) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %346 = "stable_mosaic.arith.truncf"(%345) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %347 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [64, 0], sizes = [64, 512], strides = [1, 1]} : (vector<128x512xbf16>) -> vector<64x512xbf16>
    %348 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x256xf32>} : () -> vector<64x256xf32>
    %349 = "stable_mosaic.tpu.matmul"(%347, %346, %348) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x512xbf16>, vector<512x256xbf16>, vector<64x256xf32>) -> vector<64x256xf32>
    %350 = "stable_mosaic.vector.extract_strided_slice"(%75) {offsets = [64, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %351 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %352 = "stable_mosaic.tpu.matmul"(%350, %346, %351) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %353 = "stable_mosaic.vector.extract_strided_slice"(%67) {offsets = [64, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %354 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %355 = "stable_mosaic.tpu.matmul"(%353, %339, %354) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %356 = "stable_mosaic.tpu.concatenate"(%209, %349) {dimension = 0 : i32} : (vector<64x256xf32>, vector<64x256xf32>) -> vector<128x256xf32>
    %357 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %358 = "stable_mosaic.memref.load"(%arg5, %357) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %359 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : f32} : () -> f32
    %360 = "stable_mosaic.arith.mulf"(%358, %359) {fastmath = #arith.fastmath<none>} : (f32, f32) -> f32
    %361 = "stable_mosaic.vector.broadcast"(%360) : (f32) -> vector<128x256xf32>
    %362 = "stable_mosaic.arith.mulf"(%356, %361) {fastmath = #arith.fastmath<none>} : (vector<128x256xf32>, vector<128x256xf32>) -> vector<128x256xf32>
    %363 = "stable_mosaic.vector.transpose"(%362) {permutation = array<i64: 1, 0>} : (vector<128x256xf32>) -> vector<256x128xf32>
    %364 = "stable_mosaic.arith.truncf"(%363) : (vector<256x128xf32>) -> vector<256x128xbf16>
    %365 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %366 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %367 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %368 = "stable_mosaic.vector.load"(%arg13, %365, %366, %367) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %369 = "stable_mosaic.vector.shape_cast"(%368) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %370 = "stable_mosaic.vector.shape_cast"(%364) : (vector<256x128xbf16>) -> vector<1x256x128xbf16>
    "stable_mosaic.tpu.vector_store"(%370, %arg13, %365, %366, %367) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x256x128xbf16>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    %371 = "stable_mosaic.tpu.concatenate"(%212, %352) {dimension = 0 : i32} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<128x512xf32>
    %372 = "stable_mosaic.arith.addf"(%51, %371) {fastmath = #arith.fastmath<none>} : (vector<128x512xf32>, vector<128x512xf32>) -> vector<128x512xf32>
    %373 = "stable_mosaic.tpu.concatenate"(%215, %355) {dimension = 0 : i32} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<128x512xf32>
    %374 = "stable_mosaic.arith.addf"(%51, %373) {fastmath = #arith.fastmath<none>} : (vector<128x512xf32>, vector<128x512xf32>) -> vector<128x512xf32>
    %375 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %376 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %377 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %378 = "stable_mosaic.vector.load"(%arg12, %375, %376, %377) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %379 = "stable_mosaic.vector.shape_cast"(%378) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %380 = "stable_mosaic.arith.extf"(%379) : (vector<256x128xbf16>) -> vector<256x128xf32>
    %381 = "stable_mosaic.vector.transpose"(%380) {permutation = array<i64: 1, 0>} : (vector<256x128xf32>) -> vector<128x256xf32>
    %382 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %383 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %384 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %385 = "stable_mosaic.vector.load"(%arg10, %382, %383, %384) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %386 = "stable_mosaic.vector.shape_cast"(%385) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %387 = "stable_mosaic.arith.extf"(%386) : (vector<256x128xbf16>) -> vector<256x128xf32>
    %388 = "stable_mosaic.vector.transpose"(%387) {permutation = array<i64: 1, 0>} : (vector<256x128xf32>) -> vector<128x256xf32>
    %389 = "stable_mosaic.arith.mulf"(%381, %388) {fastmath = #arith.fastmath<none>} : (vector<128x256xf32>, vector<128x256xf32>) -> vector<128x256xf32>
    %390 = "stable_mosaic.arith.truncf"(%381) : (vector<128x256xf32>) -> vector<128x256xbf16>
    %391 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %392 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %393 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %394 = "stable_mosaic.vector.load"(%arg6, %391, %392, %393) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %395 = "stable_mosaic.vector.shape_cast"(%394) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %396 = "stable_mosaic.arith.extf"(%395) : (vector<256x128xbf16>) -> vector<256x128xf32>
    %397 = "stable_mosaic.vector.transpose"(%396) {permutation = array<i64: 1, 0>} : (vector<256x128xf32>) -> vector<128x256xf32>
    %398 = "stable_mosaic.arith.truncf"(%397) : (vector<128x256xf32>) -> vector<128x256xbf16>
    %399 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %400 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %401 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %402 = "stable_mosaic.vector.load"(%arg6, %399, %400, %401) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %403 = "stable_mosaic.vector.shape_cast"(%402) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %404 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %405 = "stable_mosaic.vector.broadcast"(%404) : (bf16) -> vector<256x64xbf16>
    %406 = "stable_mosaic.arith.mulf"(%403, %405) {fastmath = #arith.fastmath<none>} : (vector<256x64xbf16>, vector<256x64xbf16>) -> vector<256x64xbf16>
    %407 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %408 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %409 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %410 = "stable_mosaic.vector.load"(%arg7, %407, %408, %409) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %411 = "stable_mosaic.vector.shape_cast"(%410) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %412 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %413 = "stable_mosaic.tpu.matmul"(%411, %406, %412) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %414 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %415 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %416 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %417 = "stable_mosaic.vector.load"(%arg9, %414, %415, %416) : (memref<1x512x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x1xf32>
    %418 = "stable_mosaic.vector.shape_cast"(%417) : (vector<1x512x1xf32>) -> vector<512x1xf32>
    %419 = "stable_mosaic.vector.broadcast"(%418) : (vector<512x1xf32>) -> vector<512x256xf32>
    %420 = "stable_mosaic.arith.addf"(%413, %419) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %421 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %422 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %423 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %424 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %425 = "stable_mosaic.vector.load"(%arg11, %421, %422, %423, %424) : (memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x256xf32>
    %426 = "stable_mosaic.vector.shape_cast"(%425) : (vector<1x1x1x256xf32>) -> vector<1x256xf32>
    %427 = "stable_mosaic.vector.broadcast"(%426) : (vector<1x256xf32>) -> vector<512x256xf32>
    %428 = "stable_mosaic.arith.subf"(%420, %427) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %429 = "stable_mosaic.math.exp"(%428) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>) -> vector<512x256xf32>
    %430 = "stable_mosaic.vector.extract_strided_slice"(%389) {offsets = [0, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xf32>) -> vector<64x256xf32>
    %431 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<256xf32>} : () -> vector<256xf32>
    %432 = "stable_mosaic.vector.multi_reduction"(%430, %431) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<64x256xf32>, vector<256xf32>) -> vector<256xf32>
    %433 = "stable_mosaic.vector.shape_cast"(%432) : (vector<256xf32>) -> vector<1x256xf32>
    %434 = "stable_mosaic.vector.broadcast"(%49) : (f32) -> vector<1x256xf32>
    %435 = "stable_mosaic.arith.mulf"(%433, %434) {fastmath = #arith.fastmath<none>} : (vector<1x256xf32>, vector<1x256xf32>) -> vector<1x256xf32>
    %436 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %437 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %438 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %439 = "stable_mosaic.vector.load"(%arg8, %436, %437, %438) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %440 = "stable_mosaic.vector.shape_cast"(%439) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %441 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %442 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %443 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %444 = "stable_mosaic.vector.load"(%arg12, %441, %442, %443) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %445 = "stable_mosaic.vector.shape_cast"(%444) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %446 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %447 = "stable_mosaic.tpu.matmul"(%440, %445, %446) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %448 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %449 = "stable_mosaic.memref.load"(%arg3, %448) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %450 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %451 = "stable_mosaic.arith.muli"(%arg1, %450) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %452 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %453 = "stable_mosaic.arith.addi"(%451, %452) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %454 = "stable_mosaic.arith.constant"() {value = 512 : i32} : () -> i32
    %455 = "stable_mosaic.arith.muli"(%arg2, %454) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %456 = "stable_mosaic.arith.constant"() {value = 256 : i32} : () -> i32
    %457 = "stable_mosaic.arith.addi"(%455, %456) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %458 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x256xi32>
    %459 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %460 = "stable_mosaic.arith.muli"(%453, %459) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %461 = "stable_mosaic.arith.addi"(%460, %457) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %462 = "stable_mosaic.vector.broadcast"(%461) : (i32) -> vector<1x256xi32>
    %463 = "stable_mosaic.arith.addi"(%458, %462) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %464 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %465 = "stable_mosaic.arith.xori"(%449, %464) : (i32, i32) -> i32
    %466 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %467 = "stable_mosaic.arith.shrui"(%465, %466) : (i32, i32) -> i32
    %468 = "stable_mosaic.arith.xori"(%465, %467) : (i32, i32) -> i32
    %469 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %470 = "stable_mosaic.arith.muli"(%468, %469) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %471 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %472 = "stable_mosaic.arith.shrui"(%470, %471) : (i32, i32) -> i32
    %473 = "stable_mosaic.arith.xori"(%470, %472) : (i32, i32) -> i32
    %474 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %475 = "stable_mosaic.arith.muli"(%473, %474) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %476 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %477 = "stable_mosaic.arith.shrui"(%475, %476) : (i32, i32) -> i32
    %478 = "stable_mosaic.arith.xori"(%475, %477) : (i32, i32) -> i32
    %479 = "stable_mosaic.vector.broadcast"(%478) : (i32) -> vector<1x256xi32>
    %480 = "stable_mosaic.arith.xori"(%479, %463) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %481 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %482 = "stable_mosaic.vector.broadcast"(%481) : (i32) -> vector<1x256xi32>
    %483 = "stable_mosaic.arith.shrui"(%480, %482) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %484 = "stable_mosaic.arith.xori"(%480, %483) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %485 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %486 = "stable_mosaic.vector.broadcast"(%485) : (i32) -> vector<1x256xi32>
    %487 = "stable_mosaic.arith.muli"(%484, %486) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %488 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %489 = "stable_mosaic.vector.broadcast"(%488) : (i32) -> vector<1x256xi32>
    %490 = "stable_mosaic.arith.shrui"(%487, %489) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %491 = "stable_mosaic.arith.xori"(%487, %490) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %492 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %493 = "stable_mosaic.vector.broadcast"(%492) : (i32) -> vector<1x256xi32>
    %494 = "stable_mosaic.arith.muli"(%491, %493) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %495 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %496 = "stable_mosaic.vector.broadcast"(%495) : (i32) -> vector<1x256xi32>
    %497 = "stable_mosaic.arith.shrui"(%494, %496) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %498 = "stable_mosaic.arith.xori"(%494, %497) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %499 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %500 = "stable_mosaic.memref.load"(%arg4, %499) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %501 = "stable_mosaic.vector.broadcast"(%498) : (vector<1x256xi32>) -> vector<512x256xi32>
    %502 = "stable_mosaic.vector.broadcast"(%37) : (vector<512x1xi32>) -> vector<512x256xi32>
    %503 = "stable_mosaic.arith.xori"(%501, %502) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %504 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %505 = "stable_mosaic.vector.broadcast"(%504) : (i32) -> vector<512x256xi32>
    %506 = "stable_mosaic.arith.muli"(%503, %505) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %507 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %508 = "stable_mosaic.vector.broadcast"(%507) : (i32) -> vector<512x256xi32>
    %509 = "stable_mosaic.arith.shrui"(%506, %508) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %510 = "stable_mosaic.arith.xori"(%506, %509) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %511 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %512 = "stable_mosaic.vector.broadcast"(%511) : (i32) -> vector<512x256xi32>
    %513 = "stable_mosaic.arith.muli"(%510, %512) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %514 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %515 = "stable_mosaic.vector.broadcast"(%514) : (i32) -> vector<512x256xi32>
    %516 = "stable_mosaic.arith.xori"(%513, %515) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %517 = "stable_mosaic.vector.broadcast"(%500) : (i32) -> vector<512x256xi32>
    %518 = "stable_mosaic.arith.cmpi"(%516, %517) {predicate = 5 : i64} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi1>
    %519 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %520 = "stable_mosaic.vector.broadcast"(%519) : (f32) -> vector<512x256xf32>
    %521 = "stable_mosaic.arith.select"(%518, %429, %520) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %522 = "stable_mosaic.arith.truncf"(%521) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %523 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %524 = "stable_mosaic.vector.broadcast"(%523) : (f32) -> vector<512x256xf32>
    %525 = "stable_mosaic.arith.select"(%518, %447, %524) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %526 = "stable_mosaic.vector.broadcast"(%435) : (vector<1x256xf32>) -> vector<512x256xf32>
    %527 = "stable_mosaic.arith.subf"(%525, %526) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %528 = "stable_mosaic.arith.mulf"(%429, %527) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %529 = "stable_mosaic.arith.truncf"(%528) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %530 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [0, 0], sizes = [64, 512], strides = [1, 1]} : (vector<128x512xbf16>) -> vector<64x512xbf16>
    %531 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x256xf32>} : () -> vector<64x256xf32>
    %532 = "stable_mosaic.tpu.matmul"(%530, %529, %531) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x512xbf16>, vector<512x256xbf16>, vector<64x256xf32>) -> vector<64x256xf32>
    %533 = "stable_mosaic.vector.extract_strided_slice"(%398) {offsets = [0, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %534 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %535 = "stable_mosaic.tpu.matmul"(%533, %529, %534) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %536 = "stable_mosaic.vector.extract_strided_slice"(%390) {offsets = [0, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %537 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %538 = "stable_mosaic.tpu.matmul"(%536, %522, %537) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %539 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %540 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %541 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %542 = "stable_mosaic.vector.load"(%arg6, %539, %540, %541) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %543 = "stable_mosaic.vector.shape_cast"(%542) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %544 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %545 = "stable_mosaic.vector.broadcast"(%544) : (bf16) -> vector<256x64xbf16>
    %546 = "stable_mosaic.arith.mulf"(%543, %545) {fastmath = #arith.fastmath<none>} : (vector<256x64xbf16>, vector<256x64xbf16>) -> vector<256x64xbf16>
    %547 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %548 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %549 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %550 = "stable_mosaic.vector.load"(%arg7, %547, %548, %549) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %551 = "stable_mosaic.vector.shape_cast"(%550) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %552 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %553 = "stable_mosaic.tpu.matmul"(%551, %546, %552) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %554 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %555 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %556 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %557 = "stable_mosaic.vector.load"(%arg9, %554, %555, %556) : (memref<1x512x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x1xf32>
    %558 = "stable_mosaic.vector.shape_cast"(%557) : (vector<1x512x1xf32>) -> vector<512x1xf32>
    %559 = "stable_mosaic.vector.broadcast"(%558) : (vector<512x1xf32>) -> vector<512x256xf32>
    %560 = "stable_mosaic.arith.addf"(%553, %559) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %561 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %562 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %563 = "stable_mosaic.arith.constant"() {value = 1 : index} : () -> index
    %564 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %565 = "stable_mosaic.vector.load"(%arg11, %561, %562, %563, %564) : (memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x256xf32>
    %566 = "stable_mosaic.vector.shape_cast"(%565) : (vector<1x1x1x256xf32>) -> vector<1x256xf32>
    %567 = "stable_mosaic.vector.broadcast"(%566) : (vector<1x256xf32>) -> vector<512x256xf32>
    %568 = "stable_mosaic.arith.subf"(%560, %567) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %569 = "stable_mosaic.math.exp"(%568) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>) -> vector<512x256xf32>
    %570 = "stable_mosaic.vector.extract_strided_slice"(%389) {offsets = [64, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xf32>) -> vector<64x256xf32>
    %571 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<256xf32>} : () -> vector<256xf32>
    %572 = "stable_mosaic.vector.multi_reduction"(%570, %571) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<64x256xf32>, vector<256xf32>) -> vector<256xf32>
    %573 = "stable_mosaic.vector.shape_cast"(%572) : (vector<256xf32>) -> vector<1x256xf32>
    %574 = "stable_mosaic.vector.broadcast"(%49) : (f32) -> vector<1x256xf32>
    %575 = "stable_mosaic.arith.mulf"(%573, %574) {fastmath = #arith.fastmath<none>} : (vector<1x256xf32>, vector<1x256xf32>) -> vector<1x256xf32>
    %576 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %577 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %578 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %579 = "stable_mosaic.vector.load"(%arg8, %576, %577, %578) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %580 = "stable_mosaic.vector.shape_cast"(%579) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %581 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %582 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %583 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %584 = "stable_mosaic.vector.load"(%arg12, %581, %582, %583) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x64xbf16>
    %585 = "stable_mosaic.vector.shape_cast"(%584) : (vector<1x256x64xbf16>) -> vector<256x64xbf16>
    %586 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x256xf32>} : () -> vector<512x256xf32>
    %587 = "stable_mosaic.tpu.matmul"(%580, %585, %586) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<256x64xbf16>, vector<512x256xf32>) -> vector<512x256xf32>
    %588 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %589 = "stable_mosaic.memref.load"(%arg3, %588) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %590 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %591 = "stable_mosaic.arith.muli"(%arg1, %590) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %592 = "stable_mosaic.arith.constant"() {value = 1 : i32} : () -> i32
    %593 = "stable_mosaic.arith.addi"(%591, %592) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %594 = "stable_mosaic.arith.constant"() {value = 512 : i32} : () -> i32
    %595 = "stable_mosaic.arith.muli"(%arg2, %594) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %596 = "stable_mosaic.arith.constant"() {value = 256 : i32} : () -> i32
    %597 = "stable_mosaic.arith.addi"(%595, %596) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %598 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x256xi32>
    %599 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %600 = "stable_mosaic.arith.muli"(%593, %599) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %601 = "stable_mosaic.arith.addi"(%600, %597) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %602 = "stable_mosaic.vector.broadcast"(%601) : (i32) -> vector<1x256xi32>
    %603 = "stable_mosaic.arith.addi"(%598, %602) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %604 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %605 = "stable_mosaic.arith.xori"(%589, %604) : (i32, i32) -> i32
    %606 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %607 = "stable_mosaic.arith.shrui"(%605, %606) : (i32, i32) -> i32
    %608 = "stable_mosaic.arith.xori"(%605, %607) : (i32, i32) -> i32
    %609 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %610 = "stable_mosaic.arith.muli"(%608, %609) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %611 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %612 = "stable_mosaic.arith.shrui"(%610, %611) : (i32, i32) -> i32
    %613 = "stable_mosaic.arith.xori"(%610, %612) : (i32, i32) -> i32
    %614 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %615 = "stable_mosaic.arith.muli"(%613, %614) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %616 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %617 = "stable_mosaic.arith.shrui"(%615, %616) : (i32, i32) -> i32
    %618 = "stable_mosaic.arith.xori"(%615, %617) : (i32, i32) -> i32
    %619 = "stable_mosaic.vector.broadcast"(%618) : (i32) -> vector<1x256xi32>
    %620 = "stable_mosaic.arith.xori"(%619, %603) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %621 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %622 = "stable_mosaic.vector.broadcast"(%621) : (i32) -> vector<1x256xi32>
    %623 = "stable_mosaic.arith.shrui"(%620, %622) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %624 = "stable_mosaic.arith.xori"(%620, %623) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %625 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %626 = "stable_mosaic.vector.broadcast"(%625) : (i32) -> vector<1x256xi32>
    %627 = "stable_mosaic.arith.muli"(%624, %626) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %628 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %629 = "stable_mosaic.vector.broadcast"(%628) : (i32) -> vector<1x256xi32>
    %630 = "stable_mosaic.arith.shrui"(%627, %629) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %631 = "stable_mosaic.arith.xori"(%627, %630) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %632 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %633 = "stable_mosaic.vector.broadcast"(%632) : (i32) -> vector<1x256xi32>
    %634 = "stable_mosaic.arith.muli"(%631, %633) {overflowFlags = #arith.overflow<none>} : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %635 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %636 = "stable_mosaic.vector.broadcast"(%635) : (i32) -> vector<1x256xi32>
    %637 = "stable_mosaic.arith.shrui"(%634, %636) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %638 = "stable_mosaic.arith.xori"(%634, %637) : (vector<1x256xi32>, vector<1x256xi32>) -> vector<1x256xi32>
    %639 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %640 = "stable_mosaic.memref.load"(%arg4, %639) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %641 = "stable_mosaic.vector.broadcast"(%638) : (vector<1x256xi32>) -> vector<512x256xi32>
    %642 = "stable_mosaic.vector.broadcast"(%37) : (vector<512x1xi32>) -> vector<512x256xi32>
    %643 = "stable_mosaic.arith.xori"(%641, %642) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %644 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %645 = "stable_mosaic.vector.broadcast"(%644) : (i32) -> vector<512x256xi32>
    %646 = "stable_mosaic.arith.muli"(%643, %645) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %647 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %648 = "stable_mosaic.vector.broadcast"(%647) : (i32) -> vector<512x256xi32>
    %649 = "stable_mosaic.arith.shrui"(%646, %648) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %650 = "stable_mosaic.arith.xori"(%646, %649) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %651 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %652 = "stable_mosaic.vector.broadcast"(%651) : (i32) -> vector<512x256xi32>
    %653 = "stable_mosaic.arith.muli"(%650, %652) {overflowFlags = #arith.overflow<none>} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %654 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %655 = "stable_mosaic.vector.broadcast"(%654) : (i32) -> vector<512x256xi32>
    %656 = "stable_mosaic.arith.xori"(%653, %655) : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi32>
    %657 = "stable_mosaic.vector.broadcast"(%640) : (i32) -> vector<512x256xi32>
    %658 = "stable_mosaic.arith.cmpi"(%656, %657) {predicate = 5 : i64} : (vector<512x256xi32>, vector<512x256xi32>) -> vector<512x256xi1>
    %659 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %660 = "stable_mosaic.vector.broadcast"(%659) : (f32) -> vector<512x256xf32>
    %661 = "stable_mosaic.arith.select"(%658, %569, %660) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %662 = "stable_mosaic.arith.truncf"(%661) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %663 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %664 = "stable_mosaic.vector.broadcast"(%663) : (f32) -> vector<512x256xf32>
    %665 = "stable_mosaic.arith.select"(%658, %587, %664) : (vector<512x256xi1>, vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %666 = "stable_mosaic.vector.broadcast"(%575) : (vector<1x256xf32>) -> vector<512x256xf32>
    %667 = "stable_mosaic.arith.subf"(%665, %666) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %668 = "stable_mosaic.arith.mulf"(%569, %667) {fastmath = #arith.fastmath<none>} : (vector<512x256xf32>, vector<512x256xf32>) -> vector<512x256xf32>
    %669 = "stable_mosaic.arith.truncf"(%668) : (vector<512x256xf32>) -> vector<512x256xbf16>
    %670 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [64, 0], sizes = [64, 512], strides = [1, 1]} : (vector<128x512xbf16>) -> vector<64x512xbf16>
    %671 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x256xf32>} : () -> vector<64x256xf32>
    %672 = "stable_mosaic.tpu.matmul"(%670, %669, %671) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x512xbf16>, vector<512x256xbf16>, vector<64x256xf32>) -> vector<64x256xf32>
    %673 = "stable_mosaic.vector.extract_strided_slice"(%398) {offsets = [64, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %674 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %675 = "stable_mosaic.tpu.matmul"(%673, %669, %674) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %676 = "stable_mosaic.vector.extract_strided_slice"(%390) {offsets = [64, 0], sizes = [64, 256], strides = [1, 1]} : (vector<128x256xbf16>) -> vector<64x256xbf16>
    %677 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %678 = "stable_mosaic.tpu.matmul"(%676, %662, %677) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x256xbf16>, vector<512x256xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %679 = "stable_mosaic.tpu.concatenate"(%532, %672) {dimension = 0 : i32} : (vector<64x256xf32>, vector<64x256xf32>) -> vector<128x256xf32>
    %680 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %681 = "stable_mosaic.memref.load"(%arg5, %680) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %682 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : f32} : () -> f32
    %683 = "stable_mosaic.arith.mulf"(%681, %682) {fastmath = #arith.fastmath<none>} : (f32, f32) -> f32
    %684 = "stable_mosaic.vector.broadcast"(%683) : (f32) -> vector<128x256xf32>
    %685 = "stable_mosaic.arith.mulf"(%679, %684) {fastmath = #arith.fastmath<none>} : (vector<128x256xf32>, vector<128x256xf32>) -> vector<128x256xf32>
    %686 = "stable_mosaic.vector.transpose"(%685) {permutation = array<i64: 1, 0>} : (vector<128x256xf32>) -> vector<256x128xf32>
    %687 = "stable_mosaic.arith.truncf"(%686) : (vector<256x128xf32>) -> vector<256x128xbf16>
    %688 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %689 = "stable_mosaic.arith.constant"() {value = 256 : index} : () -> index
    %690 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %691 = "stable_mosaic.vector.load"(%arg13, %688, %689, %690) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x256x128xbf16>
    %692 = "stable_mosaic.vector.shape_cast"(%691) : (vector<1x256x128xbf16>) -> vector<256x128xbf16>
    %693 = "stable_mosaic.vector.shape_cast"(%687) : (vector<256x128xbf16>) -> vector<1x256x128xbf16>
    "stable_mosaic.tpu.vector_store"(%693, %arg13, %688, %689, %690) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x256x128xbf16>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    %694 = "stable_mosaic.tpu.concatenate"(%535, %675) {dimension = 0 : i32} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<128x512xf32>
    %695 = "stable_mosaic.arith.addf"(%372, %694) {fastmath = #arith.fastmath<none>} : (vector<128x512xf32>, vector<128x512xf32>) -> vector<128x512xf32>
    %696 = "stable_mosaic.tpu.concatenate"(%538, %678) {dimension = 0 : i32} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<128x512xf32>
    %697 = "stable_mosaic.arith.addf"(%374, %696) {fastmath = #arith.fastmath<none>} : (vector<128x512xf32>, vector<128x512xf32>) -> vector<128x512xf32>
    %698 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %699 = "stable_mosaic.memref.load"(%arg5, %698) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %700 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : f32} : () -> f32
    %701 = "stable_mosaic.arith.mulf"(%699, %700) {fastmath = #arith.fastmath<none>} : (f32, f32) -> f32
    %702 = "stable_mosaic.vector.broadcast"(%701) : (f32) -> vector<128x512xf32>
    %703 = "stable_mosaic.arith.mulf"(%695, %702) {fastmath = #arith.fastmath<none>} : (vector<128x512xf32>, vector<128x512xf32>) -> vector<128x512xf32>
    %704 = "stable_mosaic.vector.transpose"(%703) {permutation = array<i64: 1, 0>} : (vector<128x512xf32>) -> vector<512x128xf32>
    %705 = "stable_mosaic.arith.truncf"(%704) : (vector<512x128xf32>) -> vector<512x128xbf16>
    %706 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %707 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %708 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %709 = "stable_mosaic.vector.load"(%arg14, %706, %707, %708) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x128xbf16>
    %710 = "stable_mosaic.vector.shape_cast"(%709) : (vector<1x512x128xbf16>) -> vector<512x128xbf16>
    %711 = "stable_mosaic.vector.shape_cast"(%705) : (vector<512x128xbf16>) -> vector<1x512x128xbf16>
    "stable_mosaic.tpu.vector_store"(%711, %arg14, %706, %707, %708) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x512x128xbf16>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    %712 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %713 = "stable_mosaic.memref.load"(%arg5, %712) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %714 = "stable_mosaic.vector.broadcast"(%713) : (f32) -> vector<128x512xf32>
    %715 = "stable_mosaic.arith.mulf"(%697, %714) {fastmath = #arith.fastmath<none>} : (vector<128x512xf32>, vector<128x512xf32>) -> vector<128x512xf32>
    %716 = "stable_mosaic.vector.transpose"(%715) {permutation = array<i64: 1, 0>} : (vector<128x512xf32>) -> vector<512x128xf32>
    %717 = "stable_mosaic.arith.truncf"(%716) : (vector<512x128xf32>) -> vector<512x128xbf16>
    %718 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %719 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %720 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %721 = "stable_mosaic.vector.load"(%arg15, %718, %719, %720) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x128xbf16>
    %722 = "stable_mosaic.vector.shape_cast"(%721) : (vector<1x512x128xbf16>) -> vector<512x128xbf16>
    %723 = "stable_mosaic.vector.shape_cast"(%717) : (vector<512x128xbf16>) -> vector<1x512x128xbf16>
    "stable_mosaic.tpu.vector_store"(%723, %arg15, %718, %719, %720) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x512x128xbf16>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    "stable_mosaic.func.return"() : () -> ()
  }) {dimension_semantics = [#tpu.dimension_semantics<arbitrary>, #tpu.dimension_semantics<arbitrary>, #tpu.dimension_semantics<arbitrary>], function_type = (i32, i32, i32, memref<${batch}xi32, #tpu.memory_space<smem>>, memref<1xi32, #tpu.memory_space<smem>>, memref<1xf32, #tpu.memory_space<smem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x1xf32, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>) -> (), iteration_bounds = array<i64: ${batch}, ${pairs}, 1>, scalar_prefetch = 0 : i64, scratch_operands = 0 : i64, sym_name = "main", window_params = [{transform_indices = @transform_0, window_bounds = array<i64: ${batch}>}, {transform_indices = @transform_1, window_bounds = array<i64: 1>}, {transform_indices = @transform_2, window_bounds = array<i64: 1>}, {transform_indices = @transform_3, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_4, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_5, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_6, window_bounds = array<i64: 1, 512, 1>}, {transform_indices = @transform_7, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_8, window_bounds = array<i64: 1, 1, 2, 512>}, {transform_indices = @transform_9, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_10, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_11, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_12, window_bounds = array<i64: 1, 512, 128>}]} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%0) : (i32) -> ()
  }) {function_type = (i32, i32, i32) -> i32, sym_name = "transform_0"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%0) : (i32) -> ()
  }) {function_type = (i32, i32, i32) -> i32, sym_name = "transform_1"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%0) : (i32) -> ()
  }) {function_type = (i32, i32, i32) -> i32, sym_name = "transform_2"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %arg2, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_3"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %0, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_4"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %0, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_5"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %2 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %0, %1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_6"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %arg2, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_7"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %arg1, %0, %arg2) : (i32, i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32, i32), sym_name = "transform_8"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %arg2, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_9"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %arg2, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_10"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %0, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_11"} : () -> ()
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32):
    %0 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %1 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    "stable_mosaic.func.return"(%arg0, %0, %arg1) : (i32, i32, i32) -> ()
  }) {function_type = (i32, i32, i32) -> (i32, i32, i32), sym_name = "transform_12"} : () -> ()
}

