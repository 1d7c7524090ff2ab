module @_forward attributes {stable_mosaic.version = 4 : i64} {
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32, %arg3: memref<${batch}xi32, #tpu.memory_space<smem>>, %arg4: memref<1xi32, #tpu.memory_space<smem>>, %arg5: memref<1xf32, #tpu.memory_space<smem>>, %arg6: memref<1x256x128xbf16, #tpu.memory_space<vmem>>, %arg7: memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, %arg8: memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, %arg9: memref<1x2048x1xf32, #tpu.memory_space<vmem>>, %arg10: memref<1x256x128xbf16, #tpu.memory_space<vmem>>, %arg11: memref<1x1x2x256xf32, #tpu.memory_space<vmem>>):
    %0 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %1 = "stable_mosaic.memref.load"(%arg3, %0) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %2 = "stable_mosaic.tpu.iota"() {dimension = 0 : i32} : () -> vector<2048x1xi32>
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
    %18 = "stable_mosaic.vector.broadcast"(%17) : (i32) -> vector<2048x1xi32>
    %19 = "stable_mosaic.arith.xori"(%18, %2) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %20 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %21 = "stable_mosaic.vector.broadcast"(%20) : (i32) -> vector<2048x1xi32>
    %22 = "stable_mosaic.arith.shrui"(%19, %21) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %23 = "stable_mosaic.arith.xori"(%19, %22) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %24 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %25 = "stable_mosaic.vector.broadcast"(%24) : (i32) -> vector<2048x1xi32>
    %26 = "stable_mosaic.arith.muli"(%23, %25) {overflowFlags = #arith.overflow<none>} : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %27 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %28 = "stable_mosaic.vector.broadcast"(%27) : (i32) -> vector<2048x1xi32>
    %29 = "stable_mosaic.arith.shrui"(%26, %28) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %30 = "stable_mosaic.arith.xori"(%26, %29) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %31 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %32 = "stable_mosaic.vector.broadcast"(%31) : (i32) -> vector<2048x1xi32>
    %33 = "stable_mosaic.arith.muli"(%30, %32) {overflowFlags = #arith.overflow<none>} : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %34 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %35 = "stable_mosaic.vector.broadcast"(%34) : (i32) -> vector<2048x1xi32>
    %36 = "stable_mosaic.arith.shrui"(%33, %35) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %37 = "stable_mosaic.arith.xori"(%33, %36) : (vector<2048x1xi32>, vector<2048x1xi32>) -> vector<2048x1xi32>
    %38 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %39 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %40 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %41 = "stable_mosaic.vector.load"(%arg8, %38, %39, %40) : (memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x128xbf16>
    %42 = "stable_mosaic.vector.shape_cast"(%41) : (vector<1x2048x128xbf16>) -> vector<2048x128xbf16>
    %43 = "stable_mosaic.arith.extf"(%42) : (vector<2048x128xbf16>) -> vector<2048x128xf32>
    %44 = "stable_mosaic.vector.transpose"(%43) {permutation = array<i64: 1, 0>} : (vector<2048x128xf32>) -> vector<128x2048xf32>
    %45 = "stable_mosaic.arith.truncf"(%44) : (vector<128x2048xf32>) -> vector<128x2048xbf16>
    %46 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %47 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %48 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %49 = "stable_mosaic.vector.load"(%arg6, %46, %47, %48) : (memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x128x64xbf16>
    %50 = "stable_mosaic.vector.shape_cast"(%49) : (vector<1x128x64xbf16>) -> vector<128x64xbf16>
    %51 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %52 = "stable_mosaic.vector.broadcast"(%51) : (bf16) -> vector<128x64xbf16>
    %53 = "stable_mosaic.arith.mulf"(%50, %52) {fastmath = #arith.fastmath<none>} : (vector<128x64xbf16>, vector<128x64xbf16>) -> vector<128x64xbf16>
    %54 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %55 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %56 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %57 = "stable_mosaic.vector.load"(%arg7, %54, %55, %56) : (memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x64xbf16>
    %58 = "stable_mosaic.vector.shape_cast"(%57) : (vector<1x2048x64xbf16>) -> vector<2048x64xbf16>
    %59 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<2048x128xf32>} : () -> vector<2048x128xf32>
    %60 = "stable_mosaic.tpu.matmul"(%58, %53, %59) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<2048x64xbf16>, vector<128x64xbf16>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %61 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %62 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %63 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %64 = "stable_mosaic.vector.load"(%arg9, %61, %62, %63) : (memref<1x2048x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x1xf32>
    %65 = "stable_mosaic.vector.shape_cast"(%64) : (vector<1x2048x1xf32>) -> vector<2048x1xf32>
    %66 = "stable_mosaic.vector.broadcast"(%65) : (vector<2048x1xf32>) -> vector<2048x128xf32>
    %67 = "stable_mosaic.arith.addf"(%60, %66) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %68 = "stable_mosaic.arith.constant"() {value = dense<0xFF800000> : vector<128xf32>} : () -> vector<128xf32>
    %69 = "stable_mosaic.vector.multi_reduction"(%67, %68) {kind = #vector.kind<maximumf>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %70 = "stable_mosaic.vector.shape_cast"(%69) : (vector<128xf32>) -> vector<1x128xf32>
    %71 = "stable_mosaic.vector.broadcast"(%70) : (vector<1x128xf32>) -> vector<2048x128xf32>
    %72 = "stable_mosaic.arith.subf"(%67, %71) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %73 = "stable_mosaic.math.exp"(%72) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>) -> vector<2048x128xf32>
    %74 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<128xf32>} : () -> vector<128xf32>
    %75 = "stable_mosaic.vector.multi_reduction"(%73, %74) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %76 = "stable_mosaic.vector.shape_cast"(%75) : (vector<128xf32>) -> vector<1x128xf32>
    %77 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %78 = "stable_mosaic.memref.load"(%arg3, %77) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %79 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %80 = "stable_mosaic.arith.muli"(%arg1, %79) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %81 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %82 = "stable_mosaic.arith.addi"(%80, %81) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %83 = "stable_mosaic.arith.constant"() {value = 256 : i32} : () -> i32
    %84 = "stable_mosaic.arith.muli"(%arg2, %83) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %85 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %86 = "stable_mosaic.arith.addi"(%84, %85) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %87 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x128xi32>
    %88 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %89 = "stable_mosaic.arith.muli"(%82, %88) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %90 = "stable_mosaic.arith.addi"(%89, %86) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %91 = "stable_mosaic.vector.broadcast"(%90) : (i32) -> vector<1x128xi32>
    %92 = "stable_mosaic.arith.addi"(%87, %91) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %93 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %94 = "stable_mosaic.arith.xori"(%78, %93) : (i32, i32) -> i32
    %95 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %96 = "stable_mosaic.arith.shrui"(%94, %95) : (i32, i32) -> i32
    %97 = "stable_mosaic.arith.xori"(%94, %96) : (i32, i32) -> i32
    %98 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %99 = "stable_mosaic.arith.muli"(%97, %98) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %100 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %101 = "stable_mosaic.arith.shrui"(%99, %100) : (i32, i32) -> i32
    %102 = "stable_mosaic.arith.xori"(%99, %101) : (i32, i32) -> i32
    %103 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %104 = "stable_mosaic.arith.muli"(%102, %103) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %105 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %106 = "stable_mosaic.arith.shrui"(%104, %105) : (i32, i32) -> i32
    %107 = "stable_mosaic.arith.xori"(%104, %106) : (i32, i32) -> i32
    %108 = "stable_mosaic.vector.broadcast"(%107) : (i32) -> vector<1x128xi32>
    %109 = "stable_mosaic.arith.xori"(%108, %92) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %110 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %111 = "stable_mosaic.vector.broadcast"(%110) : (i32) -> vector<1x128xi32>
    %112 = "stable_mosaic.arith.shrui"(%109, %111) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %113 = "stable_mosaic.arith.xori"(%109, %112) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %114 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %115 = "stable_mosaic.vector.broadcast"(%114) : (i32) -> vector<1x128xi32>
    %116 = "stable_mosaic.arith.muli"(%113, %115) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %117 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %118 = "stable_mosaic.vector.broadcast"(%117) : (i32) -> vector<1x128xi32>
    %119 = "stable_mosaic.arith.shrui"(%116, %118) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %120 = "stable_mosaic.arith.xori"(%116, %119) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %121 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %122 = "stable_mosaic.vector.broadcast"(%121) : (i32) -> vector<1x128xi32>
    %123 = "stable_mosaic.arith.muli"(%120, %122) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %124 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %125 = "stable_mosaic.vector.broadcast"(%124) : (i32) -> vector<1x128xi32>
    %126 = "stable_mosaic.arith.shrui"(%123, %125) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %127 = "stable_mosaic.arith.xori"(%123, %126) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %128 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %129 = "stable_mosaic.memref.load"(%arg4, %128) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %130 = "stable_mosaic.vector.broadcast"(%127) : (vector<1x128xi32>) -> vector<2048x128xi32>
    %131 = "stable_mosaic.vector.broadcast"(%37) : (vector<2048x1xi32>) -> vector<2048x128xi32>
    %132 = "stable_mosaic.arith.xori"(%130, %131) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %133 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %134 = "stable_mosaic.vector.broadcast"(%133) : (i32) -> vector<2048x128xi32>
    %135 = "stable_mosaic.arith.muli"(%132, %134) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %136 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %137 = "stable_mosaic.vector.broadcast"(%136) : (i32) -> vector<2048x128xi32>
    %138 = "stable_mosaic.arith.shrui"(%135, %137) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %139 = "stable_mosaic.arith.xori"(%135, %138) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %140 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %141 = "stable_mosaic.vector.broadcast"(%140) : (i32) -> vector<2048x128xi32>
    %142 = "stable_mosaic.arith.muli"(%139, %141) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %143 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %144 = "stable_mosaic.vector.broadcast"(%143) : (i32) -> vector<2048x128xi32>
    %145 = "stable_mosaic.arith.xori"(%142, %144) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %146 = "stable_mosaic.vector.broadcast"(%129) : (i32) -> vector<2048x128xi32>
    %147 = "stable_mosaic.arith.cmpi"(%145, %146) {predicate = 5 : i64} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi1>
    %148 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %149 = "stable_mosaic.vector.broadcast"(%148) : (f32) -> vector<2048x128xf32>
    %150 = "stable_mosaic.arith.select"(%147, %73, %149) : (vector<2048x128xi1>, vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %151 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [0, 0], sizes = [64, 2048], strides = [1, 1]} : (vector<128x2048xbf16>) -> vector<64x2048xbf16>
    %152 = "stable_mosaic.arith.truncf"(%150) : (vector<2048x128xf32>) -> vector<2048x128xbf16>
    %153 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x128xf32>} : () -> vector<64x128xf32>
    %154 = "stable_mosaic.tpu.matmul"(%151, %152, %153) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x2048xbf16>, vector<2048x128xbf16>, vector<64x128xf32>) -> vector<64x128xf32>
    %155 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %156 = "stable_mosaic.memref.load"(%arg5, %155) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %157 = "stable_mosaic.vector.broadcast"(%156) : (f32) -> vector<1x128xf32>
    %158 = "stable_mosaic.arith.divf"(%157, %76) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %159 = "stable_mosaic.vector.broadcast"(%158) : (vector<1x128xf32>) -> vector<64x128xf32>
    %160 = "stable_mosaic.arith.mulf"(%154, %159) {fastmath = #arith.fastmath<none>} : (vector<64x128xf32>, vector<64x128xf32>) -> vector<64x128xf32>
    %161 = "stable_mosaic.math.log"(%76) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>) -> vector<1x128xf32>
    %162 = "stable_mosaic.arith.addf"(%70, %161) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %163 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %164 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %165 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %166 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %167 = "stable_mosaic.vector.load"(%arg11, %163, %164, %165, %166) : (memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x128xf32>
    %168 = "stable_mosaic.vector.shape_cast"(%167) : (vector<1x1x1x128xf32>) -> vector<1x128xf32>
    %169 = "stable_mosaic.vector.shape_cast"(%162) : (vector<1x128xf32>) -> vector<1x1x1x128xf32>
    "stable_mosaic.tpu.vector_store"(%169, %arg11, %163, %164, %165, %166) {operandSegmentSizes = array<i32: 1, 1, 4, 0>, strides = array<i32>} : (vector<1x1x1x128xf32>, memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> ()
    %170 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %171 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %172 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %173 = "stable_mosaic.vector.load"(%arg6, %170, %171, %172) : (memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x128x64xbf16>
    %174 = "stable_mosaic.vector.shape_cast"(%173) : (vector<1x128x64xbf16>) -> vector<128x64xbf16>
    %175 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %176 = "stable_mosaic.vector.broadcast"(%175) : (bf16) -> vector<128x64xbf16>
    %177 = "stable_mosaic.arith.mulf"(%174, %176) {fastmath = #arith.fastmath<none>} : (vector<128x64xbf16>, vector<128x64xbf16>) -> vector<128x64xbf16>
    %178 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %179 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %180 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %181 = "stable_mosaic.vector.load"(%arg7, %178, %179, %180) : (memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x64xbf16>
    %182 = "stable_mosaic.vector.shape_cast"(%181) : (vector<1x2048x64xbf16>) -> vector<2048x64xbf16>
    %183 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<2048x128xf32>} : () -> vector<2048x128xf32>
    %184 = "stable_mosaic.tpu.matmul"(%182, %177, %183) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<2048x64xbf16>, vector<128x64xbf16>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %185 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %186 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %187 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %188 = "stable_mosaic.vector.load"(%arg9, %185, %186, %187) : (memref<1x2048x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x1xf32>
    %189 = "stable_mosaic.vector.shape_cast"(%188) : (vector<1x2048x1xf32>) -> vector<2048x1xf32>
    %190 = "stable_mosaic.vector.broadcast"(%189) : (vector<2048x1xf32>) -> vector<2048x128xf32>
    %191 = "stable_mosaic.arith.addf"(%184, %190) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %192 = "stable_mosaic.arith.constant"() {value = dense<0xFF800000> : vector<128xf32>} : () -> vector<128xf32>
    %193 = "stable_mosaic.vector.multi_reduction"(%191, %192) {kind = #vector.kind<maximumf>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %194 = "stable_mosaic.vector.shape_cast"(%193) : (vector<128xf32>) -> vector<1x128xf32>
    %195 = "stable_mosaic.vector.broadcast"(%194) : (vector<1x128xf32>) -> vector<2048x128xf32>
    %196 = "stable_mosaic.arith.subf"(%191, %195) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %197 = "stable_mosaic.math.exp"(%196) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>) -> vector<2048x128xf32>
    %198 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<128xf32>} : () -> vector<128xf32>
    %199 = "stable_mosaic.vector.multi_reduction"(%197, %198) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %200 = "stable_mosaic.vector.shape_cast"(%199) : (vector<128xf32>) -> vector<1x128xf32>
    %201 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %202 = "stable_mosaic.memref.load"(%arg3, %201) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %203 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %204 = "stable_mosaic.arith.muli"(%arg1, %203) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %205 = "stable_mosaic.arith.constant"() {value = 1 : i32} : () -> i32
    %206 = "stable_mosaic.arith.addi"(%204, %205) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %207 = "stable_mosaic.arith.constant"() {value = 256 : i32} : () -> i32
    %208 = "stable_mosaic.arith.muli"(%arg2, %207) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %209 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %210 = "stable_mosaic.arith.addi"(%208, %209) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %211 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x128xi32>
    %212 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %213 = "stable_mosaic.arith.muli"(%206, %212) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %214 = "stable_mosaic.arith.addi"(%213, %210) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %215 = "stable_mosaic.vector.broadcast"(%214) : (i32) -> vector<1x128xi32>
    %216 = "stable_mosaic.arith.addi"(%211, %215) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %217 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %218 = "stable_mosaic.arith.xori"(%202, %217) : (i32, i32) -> i32
    %219 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %220 = "stable_mosaic.arith.shrui"(%218, %219) : (i32, i32) -> i32
    %221 = "stable_mosaic.arith.xori"(%218, %220) : (i32, i32) -> i32
    %222 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %223 = "stable_mosaic.arith.muli"(%221, %222) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %224 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %225 = "stable_mosaic.arith.shrui"(%223, %224) : (i32, i32) -> i32
    %226 = "stable_mosaic.arith.xori"(%223, %225) : (i32, i32) -> i32
    %227 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %228 = "stable_mosaic.arith.muli"(%226, %227) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %229 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %230 = "stable_mosaic.arith.shrui"(%228, %229) : (i32, i32) -> i32
    %231 = "stable_mosaic.arith.xori"(%228, %230) : (i32, i32) -> i32
    %232 = "stable_mosaic.vector.broadcast"(%231) : (i32) -> vector<1x128xi32>
    %233 = "stable_mosaic.arith.xori"(%232, %216) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %234 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %235 = "stable_mosaic.vector.broadcast"(%234) : (i32) -> vector<1x128xi32>
    %236 = "stable_mosaic.arith.shrui"(%233, %235) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %237 = "stable_mosaic.arith.xori"(%233, %236) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %238 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %239 = "stable_mosaic.vector.broadcast"(%238) : (i32) -> vector<1x128xi32>
    %240 = "stable_mosaic.arith.muli"(%237, %239) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %241 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %242 = "stable_mosaic.vector.broadcast"(%241) : (i32) -> vector<1x128xi32>
    %243 = "stable_mosaic.arith.shrui"(%240, %242) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %244 = "stable_mosaic.arith.xori"(%240, %243) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %245 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %246 = "stable_mosaic.vector.broadcast"(%245) : (i32) -> vector<1x128xi32>
    %247 = "stable_mosaic.arith.muli"(%244, %246) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %248 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %249 = "stable_mosaic.vector.broadcast"(%248) : (i32) -> vector<1x128xi32>
    %250 = "stable_mosaic.arith.shrui"(%247, %249) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %251 = "stable_mosaic.arith.xori"(%247, %250) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %252 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %253 = "stable_mosaic.memref.load"(%arg4, %252) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %254 = "stable_mosaic.vector.broadcast"(%251) : (vector<1x128xi32>) -> vector<2048x128xi32>
    %255 = "stable_mosaic.vector.broadcast"(%37) : (vector<2048x1xi32>) -> vector<2048x128xi32>
    %256 = "stable_mosaic.arith.xori"(%254, %255) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %257 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %258 = "stable_mosaic.vector.broadcast"(%257) : (i32) -> vector<2048x128xi32>
    %259 = "stable_mosaic.arith.muli"(%256, %258) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %260 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %261 = "stable_mosaic.vector.broadcast"(%260) : (i32) -> vector<2048x128xi32>
    %262 = "stable_mosaic.arith.shrui"(%259, %261) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %263 = "stable_mosaic.arith.xori"(%259, %262) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %264 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %265 = "stable_mosaic.vector.broadcast"(%264) : (i32) -> vector<2048x128xi32>
    %266 = "stable_mosaic.arith.muli"(%263, %265) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %267 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %268 = "stable_mosaic.vector.broadcast"(%267) : (i32) -> vector<2048x128xi32>
    %269 = "stable_mosaic.arith.xori"(%266, %268) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %270 = "stable_mosaic.vector.broadcast"(%253) : (i32) -> vector<2048x128xi32>
    %271 = "stable_mosaic.arith.cmpi"(%269, %270) {predicate = 5 : i64} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi1>
    %272 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %273 = "stable_mosaic.vector.broadcast"(%272) : (f32) -> vector<2048x128xf32>
    %274 = "stable_mosaic.arith.select"(%271, %197, %273) : (vector<2048x128xi1>, vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %275 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [64, 0], sizes = [64, 2048], strides = [1, 1]} : (vector<128x2048xbf16>) -> vector<64x2048xbf16>
    %276 = "stable_mosaic.arith.truncf"(%274) : (vector<2048x128xf32>) -> vector<2048x128xbf16>
    %277 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x128xf32>} : () -> vector<64x128xf32>
    %278 = "stable_mosaic.tpu.matmul"(%275, %276, %277) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x2048xbf16>, vector<2048x128xbf16>, vector<64x128xf32>) -> vector<64x128xf32>
    %279 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %280 = "stable_mosaic.memref.load"(%arg5, %279) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %281 = "stable_mosaic.vector.broadcast"(%280) : (f32) -> vector<1x128xf32>
    %282 = "stable_mosaic.arith.divf"(%281, %200) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %283 = "stable_mosaic.vector.broadcast"(%282) : (vector<1x128xf32>) -> vector<64x128xf32>
    %284 = "stable_mosaic.arith.mulf"(%278, %283) {fastmath = #arith.fastmath<none>} : (vector<64x128xf32>, vector<64x128xf32>) -> vector<64x128xf32>
    %285 = "stable_mosaic.math.log"(%200) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>) -> vector<1x128xf32>
    %286 = "stable_mosaic.arith.addf"(%194, %285) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %287 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %288 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %289 = "stable_mosaic.arith.constant"() {value = 1 : index} : () -> index
    %290 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %291 = "stable_mosaic.vector.load"(%arg11, %287, %288, %289, %290) : (memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x128xf32>
    %292 = "stable_mosaic.vector.shape_cast"(%291) : (vector<1x1x1x128xf32>) -> vector<1x128xf32>
    %293 = "stable_mosaic.vector.shape_cast"(%286) : (vector<1x128xf32>) -> vector<1x1x1x128xf32>
    "stable_mosaic.tpu.vector_store"(%293, %arg11, %287, %288, %289, %290) {operandSegmentSizes = array<i32: 1, 1, 4, 0>, strides = array<i32>} : (vector<1x1x1x128xf32>, memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> ()
    %294 = "stable_mosaic.tpu.concatenate"(%160, %284) {dimension = 0 : i32} : (vector<64x128xf32>, vector<64x128xf32>) -> vector<128x128xf32>
    %295 = "stable_mosaic.vector.transpose"(%294) {permutation = array<i64: 1, 0>} : (vector<128x128xf32>) -> vector<128x128xf32>
    %296 = "stable_mosaic.arith.truncf"(%295) : (vector<128x128xf32>) -> vector<128x128xbf16>
    %297 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %298 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %299 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %300 = "stable_mosaic.vector.load"(%arg10, %297, %298, %299) : (memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x128x128xbf16>
    %301 = "stable_mosaic.vector.shape_cast"(%300) : (vector<1x128x128xbf16>) -> vector<128x128xbf16>
    %302 = "stable_mosaic.vector.shape_cast"(%296) : (vector<128x128xbf16>) -> vector<1x128x128xbf16>
    "stable_mosaic.tpu.vector_store"(%302, %arg10, %297, %298, %299) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x128x128xbf16>, memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    %303 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %304 = "stable_mosaic.arith.constant"() {value = 128 : index} : () -> index
    %305 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %306 = "stable_mosaic.vector.load"(%arg6, %303, %304, %305) : (memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x128x64xbf16>
    %307 = "stable_mosaic.vector.shape_cast"(%306) : (vector<1x128x64xbf16>) -> vector<128x64xbf16>
    %308 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %309 = "stable_mosaic.vector.broadcast"(%308) : (bf16) -> vector<128x64xbf16>
    %310 = "stable_mosaic.arith.mulf"(%307, %309) {fastmath = #arith.fastmath<none>} : (vector<128x64xbf16>, vector<128x64xbf16>) -> vector<128x64xbf16>
    %311 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %312 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %313 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %314 = "stable_mosaic.vector.load"(%arg7, %311, %312, %313) : (memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x64xbf16>
    %315 = "stable_mosaic.vector.shape_cast"(%314) : (vector<1x2048x64xbf16>) -> vector<2048x64xbf16>
    %316 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<2048x128xf32>} : () -> vector<2048x128xf32>
    %317 = "stable_mosaic.tpu.matmul"(%315, %310, %316) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<2048x64xbf16>, vector<128x64xbf16>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %318 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %319 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %320 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %321 = "stable_mosaic.vector.load"(%arg9, %318, %319, %320) : (memref<1x2048x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x1xf32>
    %322 = "stable_mosaic.vector.shape_cast"(%321) : (vector<1x2048x1xf32>) -> vector<2048x1xf32>
    %323 = "stable_mosaic.vector.broadcast"(%322) : (vector<2048x1xf32>) -> vector<2048x128xf32>
    %324 = "stable_mosaic.arith.addf"(%317, %323) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %325 = "stable_mosaic.arith.constant"() {value = dense<0xFF800000> : vector<128xf32>} : () -> vector<128xf32>
    %326 = "stable_mosaic.vector.multi_reduction"(%324, %325) {kind = #vector.kind<maximumf>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %327 = "stable_mosaic.vector.shape_cast"(%326) : (vector<128xf32>) -> vector<1x128xf32>
    %328 = "stable_mosaic.vector.broadcast"(%327) : (vector<1x128xf32>) -> vector<2048x128xf32>
    %329 = "stable_mosaic.arith.subf"(%324, %328) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %330 = "stable_mosaic.math.exp"(%329) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>) -> vector<2048x128xf32>
    %331 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<128xf32>} : () -> vector<128xf32>
    %332 = "stable_mosaic.vector.multi_reduction"(%330, %331) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %333 = "stable_mosaic.vector.shape_cast"(%332) : (vector<128xf32>) -> vector<1x128xf32>
    %334 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %335 = "stable_mosaic.memref.load"(%arg3, %334) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %336 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %337 = "stable_mosaic.arith.muli"(%arg1, %336) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %338 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %339 = "stable_mosaic.arith.addi"(%337, %338) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %340 = "stable_mosaic.arith.constant"() {value = 256 : i32} : () -> i32
    %341 = "stable_mosaic.arith.muli"(%arg2, %340) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %342 = "stable_mosaic.arith.constant"() {value = 128 : i32} : () -> i32
    %343 = "stable_mosaic.arith.addi"(%341, %342) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %344 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x128xi32>
    %345 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %346 = "stable_mosaic.arith.muli"(%339, %345) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %347 = "stable_mosaic.arith.addi"(%346, %343) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %348 = "stable_mosaic.vector.broadcast"(%347) : (i32) -> vector<1x128xi32>
    %349 = "stable_mosaic.arith.addi"(%344, %348) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %350 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %351 = "stable_mosaic.arith.xori"(%335, %350) : (i32, i32) -> i32
    %352 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %353 = "stable_mosaic.arith.shrui"(%351, %352) : (i32, i32) -> i32
    %354 = "stable_mosaic.arith.xori"(%351, %353) : (i32, i32) -> i32
    %355 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %356 = "stable_mosaic.arith.muli"(%354, %355) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %357 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %358 = "stable_mosaic.arith.shrui"(%356, %357) : (i32, i32) -> i32
    %359 = "stable_mosaic.arith.xori"(%356, %358) : (i32, i32) -> i32
    %360 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %361 = "stable_mosaic.arith.muli"(%359, %360) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %362 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %363 = "stable_mosaic.arith.shrui"(%361, %362) : (i32, i32) -> i32
    %364 = "stable_mosaic.arith.xori"(%361, %363) : (i32, i32) -> i32
    %365 = "stable_mosaic.vector.broadcast"(%364) : (i32) -> vector<1x128xi32>
    %366 = "stable_mosaic.arith.xori"(%365, %349) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %367 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %368 = "stable_mosaic.vector.broadcast"(%367) : (i32) -> vector<1x128xi32>
    %369 = "stable_mosaic.arith.shrui"(%366, %368) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %370 = "stable_mosaic.arith.xori"(%366, %369) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %371 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %372 = "stable_mosaic.vector.broadcast"(%371) : (i32) -> vector<1x128xi32>
    %373 = "stable_mosaic.arith.muli"(%370, %372) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %374 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %375 = "stable_mosaic.vector.broadcast"(%374) : (i32) -> vector<1x128xi32>
    %376 = "stable_mosaic.arith.shrui"(%373, %375) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %377 = "stable_mosaic.arith.xori"(%373, %376) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %378 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %379 = "stable_mosaic.vector.broadcast"(%378) : (i32) -> vector<1x128xi32>
    %380 = "stable_mosaic.arith.muli"(%377, %379) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %381 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %382 = "stable_mosaic.vector.broadcast"(%381) : (i32) -> vector<1x128xi32>
    %383 = "stable_mosaic.arith.shrui"(%380, %382) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %384 = "stable_mosaic.arith.xori"(%380, %383) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %385 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %386 = "stable_mosaic.memref.load"(%arg4, %385) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %387 = "stable_mosaic.vector.broadcast"(%384) : (vector<1x128xi32>) -> vector<2048x128xi32>
    %388 = "stable_mosaic.vector.broadcast"(%37) : (vector<2048x1xi32>) -> vector<2048x128xi32>
    %389 = "stable_mosaic.arith.xori"(%387, %388) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %390 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %391 = "stable_mosaic.vector.broadcast"(%390) : (i32) -> vector<2048x128xi32>
    %392 = "stable_mosaic.arith.muli"(%389, %391) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %393 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %394 = "stable_mosaic.vector.broadcast"(%393) : (i32) -> vector<2048x128xi32>
    %395 = "stable_mosaic.arith.shrui"(%392, %394) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %396 = "stable_mosaic.arith.xori"(%392, %395) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %397 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %398 = "stable_mosaic.vector.broadcast"(%397) : (i32) -> vector<2048x128xi32>
    %399 = "stable_mosaic.arith.muli"(%396, %398) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %400 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %401 = "stable_mosaic.vector.broadcast"(%400) : (i32) -> vector<2048x128xi32>
    %402 = "stable_mosaic.arith.xori"(%399, %401) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %403 = "stable_mosaic.vector.broadcast"(%386) : (i32) -> vector<2048x128xi32>
    %404 = "stable_mosaic.arith.cmpi"(%402, %403) {predicate = 5 : i64} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi1>
    %405 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %406 = "stable_mosaic.vector.broadcast"(%405) : (f32) -> vector<2048x128xf32>
    %407 = "stable_mosaic.arith.select"(%404, %330, %406) : (vector<2048x128xi1>, vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %408 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [0, 0], sizes = [64, 2048], strides = [1, 1]} : (vector<128x2048xbf16>) -> vector<64x2048xbf16>
    %409 = "stable_mosaic.arith.truncf"(%407) : (vector<2048x128xf32>) -> vector<2048x128xbf16>
    %410 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x128xf32>} : () -> vector<64x128xf32>
    %411 = "stable_mosaic.tpu.matmul"(%408, %409, %410) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x2048xbf16>, vector<2048x128xbf16>, vector<64x128xf32>) -> vector<64x128xf32>
    %412 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %413 = "stable_mosaic.memref.load"(%arg5, %412) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %414 = "stable_mosaic.vector.broadcast"(%413) : (f32) -> vector<1x128xf32>
    %415 = "stable_mosaic.arith.divf"(%414, %333) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %416 = "stable_mosaic.vector.broadcast"(%415) : (vector<1x128xf32>) -> vector<64x128xf32>
    %417 = "stable_mosaic.arith.mulf"(%411, %416) {fastmath = #arith.fastmath<none>} : (vector<64x128xf32>, vector<64x128xf32>) -> vector<64x128xf32>
    %418 = "stable_mosaic.math.log"(%333) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>) -> vector<1x128xf32>
    %419 = "stable_mosaic.arith.addf"(%327, %418) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %420 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %421 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %422 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %423 = "stable_mosaic.arith.constant"() {value = 128 : index} : () -> index
    %424 = "stable_mosaic.vector.load"(%arg11, %420, %421, %422, %423) : (memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x128xf32>
    %425 = "stable_mosaic.vector.shape_cast"(%424) : (vector<1x1x1x128xf32>) -> vector<1x128xf32>
    %426 = "stable_mosaic.vector.shape_cast"(%419) : (vector<1x128xf32>) -> vector<1x1x1x128xf32>
    "stable_mosaic.tpu.vector_store"(%426, %arg11, %420, %421, %422, %423) {operandSegmentSizes = array<i32: 1, 1, 4, 0>, strides = array<i32>} : (vector<1x1x1x128xf32>, memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> ()
    %427 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %428 = "stable_mosaic.arith.constant"() {value = 128 : index} : () -> index
    %429 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %430 = "stable_mosaic.vector.load"(%arg6, %427, %428, %429) : (memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x128x64xbf16>
    %431 = "stable_mosaic.vector.shape_cast"(%430) : (vector<1x128x64xbf16>) -> vector<128x64xbf16>
    %432 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %433 = "stable_mosaic.vector.broadcast"(%432) : (bf16) -> vector<128x64xbf16>
    %434 = "stable_mosaic.arith.mulf"(%431, %433) {fastmath = #arith.fastmath<none>} : (vector<128x64xbf16>, vector<128x64xbf16>) -> vector<128x64xbf16>
    %435 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %436 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %437 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %438 = "stable_mosaic.vector.load"(%arg7, %435, %436, %437) : (memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x64xbf16>
    %439 = "stable_mosaic.vector.shape_cast"(%438) : (vector<1x2048x64xbf16>) -> vector<2048x64xbf16>
    %440 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<2048x128xf32>} : () -> vector<2048x128xf32>
    %441 = "stable_mosaic.tpu.matmul"(%439, %434, %440) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<2048x64xbf16>, vector<128x64xbf16>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %442 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %443 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %444 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %445 = "stable_mosaic.vector.load"(%arg9, %442, %443, %444) : (memref<1x2048x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x2048x1xf32>
    %446 = "stable_mosaic.vector.shape_cast"(%445) : (vector<1x2048x1xf32>) -> vector<2048x1xf32>
    %447 = "stable_mosaic.vector.broadcast"(%446) : (vector<2048x1xf32>) -> vector<2048x128xf32>
    %448 = "stable_mosaic.arith.addf"(%441, %447) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %449 = "stable_mosaic.arith.constant"() {value = dense<0xFF800000> : vector<128xf32>} : () -> vector<128xf32>
    %450 = "stable_mosaic.vector.multi_reduction"(%448, %449) {kind = #vector.kind<maximumf>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %451 = "stable_mosaic.vector.shape_cast"(%450) : (vector<128xf32>) -> vector<1x128xf32>
    %452 = "stable_mosaic.vector.broadcast"(%451) : (vector<1x128xf32>) -> vector<2048x128xf32>
    %453 = "stable_mosaic.arith.subf"(%448, %452) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %454 = "stable_mosaic.math.exp"(%453) {fastmath = #arith.fastmath<none>} : (vector<2048x128xf32>) -> vector<2048x128xf32>
    %455 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<128xf32>} : () -> vector<128xf32>
    %456 = "stable_mosaic.vector.multi_reduction"(%454, %455) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<2048x128xf32>, vector<128xf32>) -> vector<128xf32>
    %457 = "stable_mosaic.vector.shape_cast"(%456) : (vector<128xf32>) -> vector<1x128xf32>
    %458 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %459 = "stable_mosaic.memref.load"(%arg3, %458) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %460 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %461 = "stable_mosaic.arith.muli"(%arg1, %460) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %462 = "stable_mosaic.arith.constant"() {value = 1 : i32} : () -> i32
    %463 = "stable_mosaic.arith.addi"(%461, %462) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %464 = "stable_mosaic.arith.constant"() {value = 256 : i32} : () -> i32
    %465 = "stable_mosaic.arith.muli"(%arg2, %464) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %466 = "stable_mosaic.arith.constant"() {value = 128 : i32} : () -> i32
    %467 = "stable_mosaic.arith.addi"(%465, %466) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %468 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x128xi32>
    %469 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %470 = "stable_mosaic.arith.muli"(%463, %469) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %471 = "stable_mosaic.arith.addi"(%470, %467) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %472 = "stable_mosaic.vector.broadcast"(%471) : (i32) -> vector<1x128xi32>
    %473 = "stable_mosaic.arith.addi"(%468, %472) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %474 = "stable_mosaic.arith.constant"() {value = -1640531527 : i32} : () -> i32
    %475 = "stable_mosaic.arith.xori"(%459, %474) : (i32, i32) -> i32
    %476 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %477 = "stable_mosaic.arith.shrui"(%475, %476) : (i32, i32) -> i32
    %478 = "stable_mosaic.arith.xori"(%475, %477) : (i32, i32) -> i32
    %479 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %480 = "stable_mosaic.arith.muli"(%478, %479) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %481 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %482 = "stable_mosaic.arith.shrui"(%480, %481) : (i32, i32) -> i32
    %483 = "stable_mosaic.arith.xori"(%480, %482) : (i32, i32) -> i32
    %484 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %485 = "stable_mosaic.arith.muli"(%483, %484) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %486 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %487 = "stable_mosaic.arith.shrui"(%485, %486) : (i32, i32) -> i32
    %488 = "stable_mosaic.arith.xori"(%485, %487) : (i32, i32) -> i32
    %489 = "stable_mosaic.vector.broadcast"(%488) : (i32) -> vector<1x128xi32>
    %490 = "stable_mosaic.arith.xori"(%489, %473) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %491 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %492 = "stable_mosaic.vector.broadcast"(%491) : (i32) -> vector<1x128xi32>
    %493 = "stable_mosaic.arith.shrui"(%490, %492) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %494 = "stable_mosaic.arith.xori"(%490, %493) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %495 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %496 = "stable_mosaic.vector.broadcast"(%495) : (i32) -> vector<1x128xi32>
    %497 = "stable_mosaic.arith.muli"(%494, %496) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %498 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %499 = "stable_mosaic.vector.broadcast"(%498) : (i32) -> vector<1x128xi32>
    %500 = "stable_mosaic.arith.shrui"(%497, %499) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %501 = "stable_mosaic.arith.xori"(%497, %500) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %502 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %503 = "stable_mosaic.vector.broadcast"(%502) : (i32) -> vector<1x128xi32>
    %504 = "stable_mosaic.arith.muli"(%501, %503) {overflowFlags = #arith.overflow<none>} : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %505 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %506 = "stable_mosaic.vector.broadcast"(%505) : (i32) -> vector<1x128xi32>
    %507 = "stable_mosaic.arith.shrui"(%504, %506) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %508 = "stable_mosaic.arith.xori"(%504, %507) : (vector<1x128xi32>, vector<1x128xi32>) -> vector<1x128xi32>
    %509 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %510 = "stable_mosaic.memref.load"(%arg4, %509) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %511 = "stable_mosaic.vector.broadcast"(%508) : (vector<1x128xi32>) -> vector<2048x128xi32>
    %512 = "stable_mosaic.vector.broadcast"(%37) : (vector<2048x1xi32>) -> vector<2048x128xi32>
    %513 = "stable_mosaic.arith.xori"(%511, %512) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %514 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %515 = "stable_mosaic.vector.broadcast"(%514) : (i32) -> vector<2048x128xi32>
    %516 = "stable_mosaic.arith.muli"(%513, %515) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %517 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %518 = "stable_mosaic.vector.broadcast"(%517) : (i32) -> vector<2048x128xi32>
    %519 = "stable_mosaic.arith.shrui"(%516, %518) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %520 = "stable_mosaic.arith.xori"(%516, %519) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %521 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %522 = "stable_mosaic.vector.broadcast"(%521) : (i32) -> vector<2048x128xi32>
    %523 = "stable_mosaic.arith.muli"(%520, %522) {overflowFlags = #arith.overflow<none>} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %524 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %525 = "stable_mosaic.vector.broadcast"(%524) : (i32) -> vector<2048x128xi32>
    %526 = "stable_mosaic.arith.xori"(%523, %525) : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi32>
    %527 = "stable_mosaic.vector.broadcast"(%510) : (i32) -> vector<2048x128xi32>
    %528 = "stable_mosaic.arith.cmpi"(%526, %527) {predicate = 5 : i64} : (vector<2048x128xi32>, vector<2048x128xi32>) -> vector<2048x128xi1>
    %529 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %530 = "stable_mosaic.vector.broadcast"(%529) : (f32) -> vector<2048x128xf32>
    %531 = "stable_mosaic.arith.select"(%528, %454, %530) : (vector<2048x128xi1>, vector<2048x128xf32>, vector<2048x128xf32>) -> vector<2048x128xf32>
    %532 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [64, 0], sizes = [64, 2048], strides = [1, 1]} : (vector<128x2048xbf16>) -> vector<64x2048xbf16>
    %533 = "stable_mosaic.arith.truncf"(%531) : (vector<2048x128xf32>) -> vector<2048x128xbf16>
    %534 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x128xf32>} : () -> vector<64x128xf32>
    %535 = "stable_mosaic.tpu.matmul"(%532, %533, %534) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x2048xbf16>, vector<2048x128xbf16>, vector<64x128xf32>) -> vector<64x128xf32>
    %536 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %537 = "stable_mosaic.memref.load"(%arg5, %536) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %538 = "stable_mosaic.vector.broadcast"(%537) : (f32) -> vector<1x128xf32>
    %539 = "stable_mosaic.arith.divf"(%538, %457) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %540 = "stable_mosaic.vector.broadcast"(%539) : (vector<1x128xf32>) -> vector<64x128xf32>
    %541 = "stable_mosaic.arith.mulf"(%535, %540) {fastmath = #arith.fastmath<none>} : (vector<64x128xf32>, vector<64x128xf32>) -> vector<64x128xf32>
    %542 = "stable_mosaic.math.log"(%457) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>) -> vector<1x128xf32>
    %543 = "stable_mosaic.arith.addf"(%451, %542) {fastmath = #arith.fastmath<none>} : (vector<1x128xf32>, vector<1x128xf32>) -> vector<1x128xf32>
    %544 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %545 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %546 = "stable_mosaic.arith.constant"() {value = 1 : index} : () -> index
    %547 = "stable_mosaic.arith.constant"() {value = 128 : index} : () -> index
    %548 = "stable_mosaic.vector.load"(%arg11, %544, %545, %546, %547) : (memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x128xf32>
    %549 = "stable_mosaic.vector.shape_cast"(%548) : (vector<1x1x1x128xf32>) -> vector<1x128xf32>
    %550 = "stable_mosaic.vector.shape_cast"(%543) : (vector<1x128xf32>) -> vector<1x1x1x128xf32>
    "stable_mosaic.tpu.vector_store"(%550, %arg11, %544, %545, %546, %547) {operandSegmentSizes = array<i32: 1, 1, 4, 0>, strides = array<i32>} : (vector<1x1x1x128xf32>, memref<1x1x2x256xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> ()
    %551 = "stable_mosaic.tpu.concatenate"(%417, %541) {dimension = 0 : i32} : (vector<64x128xf32>, vector<64x128xf32>) -> vector<128x128xf32>
    %552 = "stable_mosaic.vector.transpose"(%551) {permutation = array<i64: 1, 0>} : (vector<128x128xf32>) -> vector<128x128xf32>
    %553 = "stable_mosaic.arith.truncf"(%552) : (vector<128x128xf32>) -> vector<128x128xbf16>
    %554 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %555 = "stable_mosaic.arith.constant"() {value = 128 : index} : () -> index
    %556 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %557 = "stable_mosaic.vector.load"(%arg10, %554, %555, %556) : (memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x128x128xbf16>
    %558 = "stable_mosaic.vector.shape_cast"(%557) : (vector<1x128x128xbf16>) -> vector<128x128xbf16>
    %559 = "stable_mosaic.vector.shape_cast"(%553) : (vector<128x128xbf16>) -> vector<1x128x128xbf16>
    "stable_mosaic.tpu.vector_store"(%559, %arg10, %554, %555, %556) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x128x128xbf16>, memref<1x256x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    "stable_mosaic.func.return"() : () -> ()
  }) {dimension_semantics = [#tpu.dimension_semantics<arbitrary>, #tpu.dimension_semantics<arbitrary>, #tpu.dimension_semantics<arbitrary>], function_type = (i32, i32, i32, memref<${batch}xi32, #tpu.memory_space<smem>>, memref<1xi32, #tpu.memory_space<smem>>, memref<1xf32, #tpu.memory_space<smem>>, memref<1x256x128xbf16, #tpu.memory_space<vmem>>, memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, memref<1x2048x128xbf16, #tpu.memory_space<vmem>>, memref<1x2048x1xf32, #tpu.memory_space<vmem>>, memref<1x256x128xbf16, #tpu.memory_space<vmem>>, memref<1x1x2x256xf32, #tpu.memory_space<vmem>>) -> (), iteration_bounds = array<i64: ${batch}, ${pairs}, 8>, scalar_prefetch = 0 : i64, scratch_operands = 0 : i64, sym_name = "main", window_params = [{transform_indices = @transform_0, window_bounds = array<i64: ${batch}>}, {transform_indices = @transform_1, window_bounds = array<i64: 1>}, {transform_indices = @transform_2, window_bounds = array<i64: 1>}, {transform_indices = @transform_3, window_bounds = array<i64: 1, 256, 128>}, {transform_indices = @transform_4, window_bounds = array<i64: 1, 2048, 128>}, {transform_indices = @transform_5, window_bounds = array<i64: 1, 2048, 128>}, {transform_indices = @transform_6, window_bounds = array<i64: 1, 2048, 1>}, {transform_indices = @transform_7, window_bounds = array<i64: 1, 256, 128>}, {transform_indices = @transform_8, window_bounds = array<i64: 1, 1, 2, 256>}]} : () -> ()
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
}

