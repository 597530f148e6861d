/**
 * Copies into shared memory that run beside the computation, and matrix products of a warp: PTX ISA, "Data Movement and
 * Conversion Instructions: cp.async", "Warp Level Matrix Multiply-Accumulate Instructions". Lane maps:
 *
 * - `load_matrix_x4`: four matrices of 8 x 8 numbers of 16 bits. Lane l gives the place of row l % 8 of matrix l / 8 (16 bytes,
 *   aligned). Register j of lane l has, of matrix j, columns 2 (l % 4) and 2 (l % 4) + 1 of row l / 4; transposed: rows
 *   2 (l % 4) and 2 (l % 4) + 1 of column l / 4.
 * - `mma_m16n8k16`: c (16 x 8) += a (16 x 16) b (16 x 8). With g = l / 4 and t = l % 4, lane l has
 *   a: rows g, g + 8, g, g + 8 at columns 2t, 2t, 2t + 8, 2t + 8, each with the column behind it;
 *   b: rows 2t and 2t + 8, each with the row behind it, of column g;
 *   c0: row g, columns 2t and 2t + 1; c1: row g + 8. Loads of w[n][k] give b without transposing.
 * - `mma_m16n8k32` (numbers of 8 bits, sm_89 and later): a is 16 x 32, b 32 x 8. Lane l has
 *   a: rows g, g + 8, g, g + 8 at columns 4t, 4t, 4t + 16, 4t + 16, each with the three columns behind it;
 *   b: rows 4t and 4t + 16, each with the three rows behind it, of column g; c0 and c1 as above.
 *   So a register has the same bytes as with 16 bits, and `load_matrix_x4` loads both.
 *
 * Products of 8-bit numbers are exact, but they are added with fewer bits than f32 has, though c is f32: Hopper's tensor cores keep about
 * 14 of a sum (DeepSeek-V3 Technical Report, 3.3.2).
 */
export const deviceMatrixText = String.raw`
namespace f2c {

F2C_FUNCTION unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/** All lanes of the warp meet and see what the others wrote to shared memory. */
F2C_FUNCTION void subgroup_barrier() { __syncwarp(); }

/** Sixteen bytes number "from" of a buffer to element "index" of an array and on; zeros, and nothing is read, unless valid. */
template <typename T, typename Storage, int lanes>
F2C_FUNCTION void copy_async_16(Shared<T> array, int index, const Packed<Storage, lanes>* buffer, int from, bool valid) {
  const char* source = reinterpret_cast<const char*>(buffer) + 16ll * from;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(array.elements + index)),
               "l"(__cvta_generic_to_global(source)), "r"(valid ? 16 : 0));
}
/** Closes the group of the copies since the last one. */
F2C_FUNCTION void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/** Waits for this thread's groups but the last still_running. Others see the data after a barrier. */
template <int still_running> F2C_FUNCTION void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(still_running) : "memory");
}

/** Two numbers of 16 bits in a word, the first in the low half. */
F2C_FUNCTION unsigned pack_bf16(f32x2 pair) {
  unsigned word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(pair.y), "f"(pair.x));
  return word;
}
F2C_FUNCTION unsigned pack_f16(f32x2 pair) {
  unsigned word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(pair.y), "f"(pair.x));
  return word;
}

template <typename T> F2C_FUNCTION u32x4 load_matrix_x4(Shared<T> array, int index) {
  u32x4 result;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(result.x), "=r"(result.y), "=r"(result.z), "=r"(result.w)
               : "r"(shared_address(array.elements + index)));
  return result;
}
template <typename T> F2C_FUNCTION u32x4 load_matrix_x4_transposed(Shared<T> array, int index) {
  u32x4 result;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(result.x), "=r"(result.y), "=r"(result.z), "=r"(result.w)
               : "r"(shared_address(array.elements + index)));
  return result;
}

#define F2C_MMA(name, shape, type)                                                                              \
  F2C_FUNCTION void name(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b) {                                              \
    asm volatile("mma.sync.aligned." shape ".row.col.f32." type "." type ".f32 "                                \
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                              \
                 : "+f"(c0.x), "+f"(c0.y), "+f"(c1.x), "+f"(c1.y)                                               \
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));                                 \
  }
F2C_MMA(mma_m16n8k16_bf16, "m16n8k16", "bf16")
F2C_MMA(mma_m16n8k16_f16, "m16n8k16", "f16")
F2C_MMA(mma_m16n8k32_f8e4m3, "m16n8k32", "e4m3")

}  // namespace f2c
`;
