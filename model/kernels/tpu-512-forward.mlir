module @_forward attributes {stable_mosaic.version = 4 : i64} {
  "stable_mosaic.func.func"() ({
  ^bb0(%arg0: i32, %arg1: i32, %arg2: i32, %arg3: memref<${batch}xi32, #tpu.memory_space<smem>>, %arg4: memref<1xi32, #tpu.memory_space<smem>>, %arg5: memref<1xf32, #tpu.memory_space<smem>>, %arg6: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg7: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg8: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg9: memref<1x512x1xf32, #tpu.memory_space<vmem>>, %arg10: memref<1x512x128xbf16, #tpu.memory_space<vmem>>, %arg11: memref<1x1x2x512xf32, #tpu.memory_space<vmem>>):
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
    %41 = "stable_mosaic.vector.load"(%arg8, %38, %39, %40) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x128xbf16>
    %42 = "stable_mosaic.vector.shape_cast"(%41) : (vector<1x512x128xbf16>) -> vector<512x128xbf16>
    %43 = "stable_mosaic.arith.extf"(%42) : (vector<512x128xbf16>) -> vector<512x128xf32>
    %44 = "stable_mosaic.vector.transpose"(%43) {permutation = array<i64: 1, 0>} : (vector<512x128xf32>) -> vector<128x512xf32>
    %45 = "stable_mosaic.arith.truncf"(%44) : (vector<128x512xf32>) -> vector<128x512xbf16>
    %46 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %47 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %48 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %49 = "stable_mosaic.vector.load"(%arg6, %46, %47, %48) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %50 = "stable_mosaic.vector.shape_cast"(%49) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %51 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %52 = "stable_mosaic.vector.broadcast"(%51) : (bf16) -> vector<512x64xbf16>
    %53 = "stable_mosaic.arith.mulf"(%50, %52) {fastmath = #arith.fastmath<none>} : (vector<512x64xbf16>, vector<512x64xbf16>) -> vector<512x64xbf16>
    %54 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %55 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %56 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %57 = "stable_mosaic.vector.load"(%arg7, %54, %55, %56) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %58 = "stable_mosaic.vector.shape_cast"(%57) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %59 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x512xf32>} : () -> vector<512x512xf32>
    %60 = "stable_mosaic.tpu.matmul"(%58, %53, %59) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<512x64xbf16>, vector<512x512xf32>) -> vector<512x512xf32>
    %61 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %62 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %63 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %64 = "stable_mosaic.vector.load"(%arg9, %61, %62, %63) : (memref<1x512x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x1xf32>
    %65 = "stable_mosaic.vector.shape_cast"(%64) : (vector<1x512x1xf32>) -> vector<512x1xf32>
    %66 = "stable_mosaic.vector.broadcast"(%65) : (vector<512x1xf32>) -> vector<512x512xf32>
    %67 = "stable_mosaic.arith.addf"(%60, %66) {fastmath = #arith.fastmath<none>} : (vector<512x512xf32>, vector<512x512xf32>) -> vector<512x512xf32>
    %68 = "stable_mosaic.arith.constant"() {value = dense<0xFF800000> : vector<512xf32>} : () -> vector<512xf32>
    %69 = "stable_mosaic.vector.multi_reduction"(%67, %68) {kind = #vector.kind<maximumf>, reduction_dims = array<i64: 0>} : (vector<512x512xf32>, vector<512xf32>) -> vector<512xf32>
    %70 = "stable_mosaic.vector.shape_cast"(%69) : (vector<512xf32>) -> vector<1x512xf32>
    %71 = "stable_mosaic.vector.broadcast"(%70) : (vector<1x512xf32>) -> vector<512x512xf32>
    %72 = "stable_mosaic.arith.subf"(%67, %71) {fastmath = #arith.fastmath<none>} : (vector<512x512xf32>, vector<512x512xf32>) -> vector<512x512xf32>
    %73 = "stable_mosaic.math.exp"(%72) {fastmath = #arith.fastmath<none>} : (vector<512x512xf32>) -> vector<512x512xf32>
    %74 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512xf32>} : () -> vector<512xf32>
    %75 = "stable_mosaic.vector.multi_reduction"(%73, %74) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<512x512xf32>, vector<512xf32>) -> vector<512xf32>
    %76 = "stable_mosaic.vector.shape_cast"(%75) : (vector<512xf32>) -> vector<1x512xf32>
    %77 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %78 = "stable_mosaic.memref.load"(%arg3, %77) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %79 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %80 = "stable_mosaic.arith.muli"(%arg1, %79) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %81 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %82 = "stable_mosaic.arith.addi"(%80, %81) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %83 = "stable_mosaic.arith.constant"() {value = 512 : i32} : () -> i32
    %84 = "stable_mosaic.arith.muli"(%arg2, %83) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %85 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %86 = "stable_mosaic.arith.addi"(%84, %85) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %87 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x512xi32>
    %88 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %89 = "stable_mosaic.arith.muli"(%82, %88) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %90 = "stable_mosaic.arith.addi"(%89, %86) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %91 = "stable_mosaic.vector.broadcast"(%90) : (i32) -> vector<1x512xi32>
    %92 = "stable_mosaic.arith.addi"(%87, %91) {overflowFlags = #arith.overflow<none>} : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
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
    %108 = "stable_mosaic.vector.broadcast"(%107) : (i32) -> vector<1x512xi32>
    %109 = "stable_mosaic.arith.xori"(%108, %92) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %110 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %111 = "stable_mosaic.vector.broadcast"(%110) : (i32) -> vector<1x512xi32>
    %112 = "stable_mosaic.arith.shrui"(%109, %111) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %113 = "stable_mosaic.arith.xori"(%109, %112) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %114 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %115 = "stable_mosaic.vector.broadcast"(%114) : (i32) -> vector<1x512xi32>
    %116 = "stable_mosaic.arith.muli"(%113, %115) {overflowFlags = #arith.overflow<none>} : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %117 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %118 = "stable_mosaic.vector.broadcast"(%117) : (i32) -> vector<1x512xi32>
    %119 = "stable_mosaic.arith.shrui"(%116, %118) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %120 = "stable_mosaic.arith.xori"(%116, %119) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %121 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %122 = "stable_mosaic.vector.broadcast"(%121) : (i32) -> vector<1x512xi32>
    %123 = "stable_mosaic.arith.muli"(%120, %122) {overflowFlags = #arith.overflow<none>} : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %124 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %125 = "stable_mosaic.vector.broadcast"(%124) : (i32) -> vector<1x512xi32>
    %126 = "stable_mosaic.arith.shrui"(%123, %125) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %127 = "stable_mosaic.arith.xori"(%123, %126) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %128 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %129 = "stable_mosaic.memref.load"(%arg4, %128) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %130 = "stable_mosaic.vector.broadcast"(%127) : (vector<1x512xi32>) -> vector<512x512xi32>
    %131 = "stable_mosaic.vector.broadcast"(%37) : (vector<512x1xi32>) -> vector<512x512xi32>
    %132 = "stable_mosaic.arith.xori"(%130, %131) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %133 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %134 = "stable_mosaic.vector.broadcast"(%133) : (i32) -> vector<512x512xi32>
    %135 = "stable_mosaic.arith.muli"(%132, %134) {overflowFlags = #arith.overflow<none>} : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %136 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %137 = "stable_mosaic.vector.broadcast"(%136) : (i32) -> vector<512x512xi32>
    %138 = "stable_mosaic.arith.shrui"(%135, %137) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %139 = "stable_mosaic.arith.xori"(%135, %138) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %140 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %141 = "stable_mosaic.vector.broadcast"(%140) : (i32) -> vector<512x512xi32>
    %142 = "stable_mosaic.arith.muli"(%139, %141) {overflowFlags = #arith.overflow<none>} : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %143 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %144 = "stable_mosaic.vector.broadcast"(%143) : (i32) -> vector<512x512xi32>
    %145 = "stable_mosaic.arith.xori"(%142, %144) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %146 = "stable_mosaic.vector.broadcast"(%129) : (i32) -> vector<512x512xi32>
    %147 = "stable_mosaic.arith.cmpi"(%145, %146) {predicate = 5 : i64} : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi1>
    %148 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %149 = "stable_mosaic.vector.broadcast"(%148) : (f32) -> vector<512x512xf32>
    %150 = "stable_mosaic.arith.select"(%147, %73, %149) : (vector<512x512xi1>, vector<512x512xf32>, vector<512x512xf32>) -> vector<512x512xf32>
    %151 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [0, 0], sizes = [64, 512], strides = [1, 1]} : (vector<128x512xbf16>) -> vector<64x512xbf16>
    %152 = "stable_mosaic.arith.truncf"(%150) : (vector<512x512xf32>) -> vector<512x512xbf16>
    %153 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %154 = "stable_mosaic.tpu.matmul"(%151, %152, %153) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x512xbf16>, vector<512x512xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %155 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %156 = "stable_mosaic.memref.load"(%arg5, %155) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %157 = "stable_mosaic.vector.broadcast"(%156) : (f32) -> vector<1x512xf32>
    %158 = "stable_mosaic.arith.divf"(%157, %76) {fastmath = #arith.fastmath<none>} : (vector<1x512xf32>, vector<1x512xf32>) -> vector<1x512xf32>
    %159 = "stable_mosaic.vector.broadcast"(%158) : (vector<1x512xf32>) -> vector<64x512xf32>
    %160 = "stable_mosaic.arith.mulf"(%154, %159) {fastmath = #arith.fastmath<none>} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<64x512xf32>
    %161 = "stable_mosaic.math.log"(%76) {fastmath = #arith.fastmath<none>} : (vector<1x512xf32>) -> vector<1x512xf32>
    %162 = "stable_mosaic.arith.addf"(%70, %161) {fastmath = #arith.fastmath<none>} : (vector<1x512xf32>, vector<1x512xf32>) -> vector<1x512xf32>
    %163 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %164 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %165 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %166 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %167 = "stable_mosaic.vector.load"(%arg11, %163, %164, %165, %166) : (memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x512xf32>
    %168 = "stable_mosaic.vector.shape_cast"(%167) : (vector<1x1x1x512xf32>) -> vector<1x512xf32>
    %169 = "stable_mosaic.vector.shape_cast"(%162) : (vector<1x512xf32>) -> vector<1x1x1x512xf32>
    "stable_mosaic.tpu.vector_store"(%169, %arg11, %163, %164, %165, %166) {operandSegmentSizes = array<i32: 1, 1, 4, 0>, strides = array<i32>} : (vector<1x1x1x512xf32>, memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> ()
    %170 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %171 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %172 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %173 = "stable_mosaic.vector.load"(%arg6, %170, %171, %172) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %174 = "stable_mosaic.vector.shape_cast"(%173) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %175 = "stable_mosaic.arith.constant"() {value = 1.250000e-01 : bf16} : () -> bf16
    %176 = "stable_mosaic.vector.broadcast"(%175) : (bf16) -> vector<512x64xbf16>
    %177 = "stable_mosaic.arith.mulf"(%174, %176) {fastmath = #arith.fastmath<none>} : (vector<512x64xbf16>, vector<512x64xbf16>) -> vector<512x64xbf16>
    %178 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %179 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %180 = "stable_mosaic.arith.constant"() {value = 64 : index} : () -> index
    %181 = "stable_mosaic.vector.load"(%arg7, %178, %179, %180) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x64xbf16>
    %182 = "stable_mosaic.vector.shape_cast"(%181) : (vector<1x512x64xbf16>) -> vector<512x64xbf16>
    %183 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512x512xf32>} : () -> vector<512x512xf32>
    %184 = "stable_mosaic.tpu.matmul"(%182, %177, %183) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [1], [0], [0], [0, 0, 1, 0], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<512x64xbf16>, vector<512x64xbf16>, vector<512x512xf32>) -> vector<512x512xf32>
    %185 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %186 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %187 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %188 = "stable_mosaic.vector.load"(%arg9, %185, %186, %187) : (memref<1x512x1xf32, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x1xf32>
    %189 = "stable_mosaic.vector.shape_cast"(%188) : (vector<1x512x1xf32>) -> vector<512x1xf32>
    %190 = "stable_mosaic.vector.broadcast"(%189) : (vector<512x1xf32>) -> vector<512x512xf32>
    %191 = "stable_mosaic.arith.addf"(%184, %190) {fastmath = #arith.fastmath<none>} : (vector<512x512xf32>, vector<512x512xf32>) -> vector<512x512xf32>
    %192 = "stable_mosaic.arith.constant"() {value = dense<0xFF800000> : vector<512xf32>} : () -> vector<512xf32>
    %193 = "stable_mosaic.vector.multi_reduction"(%191, %192) {kind = #vector.kind<maximumf>, reduction_dims = array<i64: 0>} : (vector<512x512xf32>, vector<512xf32>) -> vector<512xf32>
    %194 = "stable_mosaic.vector.shape_cast"(%193) : (vector<512xf32>) -> vector<1x512xf32>
    %195 = "stable_mosaic.vector.broadcast"(%194) : (vector<1x512xf32>) -> vector<512x512xf32>
    %196 = "stable_mosaic.arith.subf"(%191, %195) {fastmath = #arith.fastmath<none>} : (vector<512x512xf32>, vector<512x512xf32>) -> vector<512x512xf32>
    %197 = "stable_mosaic.math.exp"(%196) {fastmath = #arith.fastmath<none>} : (vector<512x512xf32>) -> vector<512x512xf32>
    %198 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<512xf32>} : () -> vector<512xf32>
    %199 = "stable_mosaic.vector.multi_reduction"(%197, %198) {kind = #vector.kind<add>, reduction_dims = array<i64: 0>} : (vector<512x512xf32>, vector<512xf32>) -> vector<512xf32>
    %200 = "stable_mosaic.vector.shape_cast"(%199) : (vector<512xf32>) -> vector<1x512xf32>
    %201 = "stable_mosaic.arith.index_cast"(%arg0) : (i32) -> index
    %202 = "stable_mosaic.memref.load"(%arg3, %201) : (memref<${batch}xi32, #tpu.memory_space<smem>>, index) -> i32
    %203 = "stable_mosaic.arith.constant"() {value = 2 : i32} : () -> i32
    %204 = "stable_mosaic.arith.muli"(%arg1, %203) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %205 = "stable_mosaic.arith.constant"() {value = 1 : i32} : () -> i32
    %206 = "stable_mosaic.arith.addi"(%204, %205) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %207 = "stable_mosaic.arith.constant"() {value = 512 : i32} : () -> i32
    %208 = "stable_mosaic.arith.muli"(%arg2, %207) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %209 = "stable_mosaic.arith.constant"() {value = 0 : i32} : () -> i32
    %210 = "stable_mosaic.arith.addi"(%208, %209) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %211 = "stable_mosaic.tpu.iota"() {dimension = 1 : i32} : () -> vector<1x512xi32>
    %212 = "stable_mosaic.arith.constant"() {value = 65536 : i32} : () -> i32
    %213 = "stable_mosaic.arith.muli"(%206, %212) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %214 = "stable_mosaic.arith.addi"(%213, %210) {overflowFlags = #arith.overflow<none>} : (i32, i32) -> i32
    %215 = "stable_mosaic.vector.broadcast"(%214) : (i32) -> vector<1x512xi32>
    %216 = "stable_mosaic.arith.addi"(%211, %215) {overflowFlags = #arith.overflow<none>} : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
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
    %232 = "stable_mosaic.vector.broadcast"(%231) : (i32) -> vector<1x512xi32>
    %233 = "stable_mosaic.arith.xori"(%232, %216) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %234 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %235 = "stable_mosaic.vector.broadcast"(%234) : (i32) -> vector<1x512xi32>
    %236 = "stable_mosaic.arith.shrui"(%233, %235) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %237 = "stable_mosaic.arith.xori"(%233, %236) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %238 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %239 = "stable_mosaic.vector.broadcast"(%238) : (i32) -> vector<1x512xi32>
    %240 = "stable_mosaic.arith.muli"(%237, %239) {overflowFlags = #arith.overflow<none>} : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %241 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %242 = "stable_mosaic.vector.broadcast"(%241) : (i32) -> vector<1x512xi32>
    %243 = "stable_mosaic.arith.shrui"(%240, %242) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %244 = "stable_mosaic.arith.xori"(%240, %243) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %245 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %246 = "stable_mosaic.vector.broadcast"(%245) : (i32) -> vector<1x512xi32>
    %247 = "stable_mosaic.arith.muli"(%244, %246) {overflowFlags = #arith.overflow<none>} : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %248 = "stable_mosaic.arith.constant"() {value = 16 : i32} : () -> i32
    %249 = "stable_mosaic.vector.broadcast"(%248) : (i32) -> vector<1x512xi32>
    %250 = "stable_mosaic.arith.shrui"(%247, %249) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %251 = "stable_mosaic.arith.xori"(%247, %250) : (vector<1x512xi32>, vector<1x512xi32>) -> vector<1x512xi32>
    %252 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %253 = "stable_mosaic.memref.load"(%arg4, %252) : (memref<1xi32, #tpu.memory_space<smem>>, index) -> i32
    %254 = "stable_mosaic.vector.broadcast"(%251) : (vector<1x512xi32>) -> vector<512x512xi32>
    %255 = "stable_mosaic.vector.broadcast"(%37) : (vector<512x1xi32>) -> vector<512x512xi32>
    %256 = "stable_mosaic.arith.xori"(%254, %255) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %257 = "stable_mosaic.arith.constant"() {value = 2146121005 : i32} : () -> i32
    %258 = "stable_mosaic.vector.broadcast"(%257) : (i32) -> vector<512x512xi32>
    %259 = "stable_mosaic.arith.muli"(%256, %258) {overflowFlags = #arith.overflow<none>} : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %260 = "stable_mosaic.arith.constant"() {value = 15 : i32} : () -> i32
    %261 = "stable_mosaic.vector.broadcast"(%260) : (i32) -> vector<512x512xi32>
    %262 = "stable_mosaic.arith.shrui"(%259, %261) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %263 = "stable_mosaic.arith.xori"(%259, %262) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %264 = "stable_mosaic.arith.constant"() {value = -2073254261 : i32} : () -> i32
    %265 = "stable_mosaic.vector.broadcast"(%264) : (i32) -> vector<512x512xi32>
    %266 = "stable_mosaic.arith.muli"(%263, %265) {overflowFlags = #arith.overflow<none>} : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %267 = "stable_mosaic.arith.constant"() {value = -2147483648 : i32} : () -> i32
    %268 = "stable_mosaic.vector.broadcast"(%267) : (i32) -> vector<512x512xi32>
    %269 = "stable_mosaic.arith.xori"(%266, %268) : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi32>
    %270 = "stable_mosaic.vector.broadcast"(%253) : (i32) -> vector<512x512xi32>
    %271 = "stable_mosaic.arith.cmpi"(%269, %270) {predicate = 5 : i64} : (vector<512x512xi32>, vector<512x512xi32>) -> vector<512x512xi1>
    %272 = "stable_mosaic.arith.constant"() {value = 0.000000e+00 : f32} : () -> f32
    %273 = "stable_mosaic.vector.broadcast"(%272) : (f32) -> vector<512x512xf32>
    %274 = "stable_mosaic.arith.select"(%271, %197, %273) : (vector<512x512xi1>, vector<512x512xf32>, vector<512x512xf32>) -> vector<512x512xf32>
    %275 = "stable_mosaic.vector.extract_strided_slice"(%45) {offsets = [64, 0], sizes = [64, 512], strides = [1, 1]} : (vector<128x512xbf16>) -> vector<64x512xbf16>
    %276 = "stable_mosaic.arith.truncf"(%274) : (vector<512x512xf32>) -> vector<512x512xbf16>
    %277 = "stable_mosaic.arith.constant"() {value = dense<0.000000e+00> : vector<64x512xf32>} : () -> vector<64x512xf32>
    %278 = "stable_mosaic.tpu.matmul"(%275, %276, %277) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs = false, transpose_rhs = false} : (vector<64x512xbf16>, vector<512x512xbf16>, vector<64x512xf32>) -> vector<64x512xf32>
    %279 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %280 = "stable_mosaic.memref.load"(%arg5, %279) : (memref<1xf32, #tpu.memory_space<smem>>, index) -> f32
    %281 = "stable_mosaic.vector.broadcast"(%280) : (f32) -> vector<1x512xf32>
    %282 = "stable_mosaic.arith.divf"(%281, %200) {fastmath = #arith.fastmath<none>} : (vector<1x512xf32>, vector<1x512xf32>) -> vector<1x512xf32>
    %283 = "stable_mosaic.vector.broadcast"(%282) : (vector<1x512xf32>) -> vector<64x512xf32>
    %284 = "stable_mosaic.arith.mulf"(%278, %283) {fastmath = #arith.fastmath<none>} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<64x512xf32>
    %285 = "stable_mosaic.math.log"(%200) {fastmath = #arith.fastmath<none>} : (vector<1x512xf32>) -> vector<1x512xf32>
    %286 = "stable_mosaic.arith.addf"(%194, %285) {fastmath = #arith.fastmath<none>} : (vector<1x512xf32>, vector<1x512xf32>) -> vector<1x512xf32>
    %287 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %288 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %289 = "stable_mosaic.arith.constant"() {value = 1 : index} : () -> index
    %290 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %291 = "stable_mosaic.vector.load"(%arg11, %287, %288, %289, %290) : (memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> vector<1x1x1x512xf32>
    %292 = "stable_mosaic.vector.shape_cast"(%291) : (vector<1x1x1x512xf32>) -> vector<1x512xf32>
    %293 = "stable_mosaic.vector.shape_cast"(%286) : (vector<1x512xf32>) -> vector<1x1x1x512xf32>
    "stable_mosaic.tpu.vector_store"(%293, %arg11, %287, %288, %289, %290) {operandSegmentSizes = array<i32: 1, 1, 4, 0>, strides = array<i32>} : (vector<1x1x1x512xf32>, memref<1x1x2x512xf32, #tpu.memory_space<vmem>>, index, index, index, index) -> ()
    %294 = "stable_mosaic.tpu.concatenate"(%160, %284) {dimension = 0 : i32} : (vector<64x512xf32>, vector<64x512xf32>) -> vector<128x512xf32>
    %295 = "stable_mosaic.vector.transpose"(%294) {permutation = array<i64: 1, 0>} : (vector<128x512xf32>) -> vector<512x128xf32>
    %296 = "stable_mosaic.arith.truncf"(%295) : (vector<512x128xf32>) -> vector<512x128xbf16>
    %297 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %298 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %299 = "stable_mosaic.arith.constant"() {value = 0 : index} : () -> index
    %300 = "stable_mosaic.vector.load"(%arg10, %297, %298, %299) : (memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> vector<1x512x128xbf16>
    %301 = "stable_mosaic.vector.shape_cast"(%300) : (vector<1x512x128xbf16>) -> vector<512x128xbf16>
    %302 = "stable_mosaic.vector.shape_cast"(%296) : (vector<512x128xbf16>) -> vector<1x512x128xbf16>
    "stable_mosaic.tpu.vector_store"(%302, %arg10, %297, %298, %299) {operandSegmentSizes = array<i32: 1, 1, 3, 0>, strides = array<i32>} : (vector<1x512x128xbf16>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, index, index, index) -> ()
    "stable_mosaic.func.return"() : () -> ()
  }) {dimension_semantics = [#tpu.dimension_semantics<arbitrary>, #tpu.dimension_semantics<arbitrary>, #tpu.dimension_semantics<arbitrary>], function_type = (i32, i32, i32, memref<${batch}xi32, #tpu.memory_space<smem>>, memref<1xi32, #tpu.memory_space<smem>>, memref<1xf32, #tpu.memory_space<smem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x512x1xf32, #tpu.memory_space<vmem>>, memref<1x512x128xbf16, #tpu.memory_space<vmem>>, memref<1x1x2x512xf32, #tpu.memory_space<vmem>>) -> (), iteration_bounds = array<i64: ${batch}, ${pairs}, 1>, scalar_prefetch = 0 : i64, scratch_operands = 0 : i64, sym_name = "main", window_params = [{transform_indices = @transform_0, window_bounds = array<i64: ${batch}>}, {transform_indices = @transform_1, window_bounds = array<i64: 1>}, {transform_indices = @transform_2, window_bounds = array<i64: 1>}, {transform_indices = @transform_3, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_4, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_5, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_6, window_bounds = array<i64: 1, 512, 1>}, {transform_indices = @transform_7, window_bounds = array<i64: 1, 512, 128>}, {transform_indices = @transform_8, window_bounds = array<i64: 1, 1, 2, 512>}]} : () -> ()
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

