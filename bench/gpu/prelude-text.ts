import { cudaPrelude } from '../../backends/cuda/prelude/prelude.js';

/**
 * What kernels include as `flux2c.cuh`. One place, so that every compilation of the measurements uses the same text.
 *
 * Matrix fragments and asynchronous copies are printed by kernels before the prelude has them; until then they are appended
 * here. Once `cudaPrelude` defines `copy_async_16`, this is `cudaPrelude` and `pendingText` can go.
 */
export function preludeText(): string {
  return cudaPrelude.includes('copy_async_16') ? cudaPrelude : cudaPrelude + pendingText;
}

const pendingText = String.raw`
namespace f2c {

template <typename Storage, int lanes>
F2C_FUNCTION void copy_async_16(Shared<u32x4> array, int index, const Packed<Storage, lanes>* buffer, int from, bool valid) {
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(array.elements + index));
  const u32x4* source = reinterpret_cast<const u32x4*>(buffer) + from;
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(source), "r"(valid ? 16 : 0) : "memory");
}
F2C_FUNCTION void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending> F2C_FUNCTION void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#define F2C_PENDING_LOAD_MATRIX(name, instruction)                                                    \
  F2C_FUNCTION u32x4 name(Shared<u32x4> array, int index) {                                           \
    u32x4 r;                                                                                          \
    const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(array.elements + index));      \
    asm volatile(instruction " {%0, %1, %2, %3}, [%4];"                                               \
                 : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)                                         \
                 : "r"(at)                                                                            \
                 : "memory");                                                                         \
    return r;                                                                                         \
  }
F2C_PENDING_LOAD_MATRIX(load_matrix_x4, "ldmatrix.sync.aligned.m8n8.x4.shared.b16")
F2C_PENDING_LOAD_MATRIX(load_matrix_x4_transposed, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16")

#define F2C_PENDING_MULTIPLY(type)                                                                              \
  F2C_FUNCTION void mma_m16n8k16_##type(f32x2& upper, f32x2& lower, u32x4 a, u32x2 b) {                         \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." #type "." #type                                       \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                         \
                 : "+f"(upper.x), "+f"(upper.y), "+f"(lower.x), "+f"(lower.y)                                   \
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));                                 \
  }                                                                                                             \
  F2C_FUNCTION unsigned pack_##type(f32x2 value) {                                                              \
    unsigned result;                                                                                            \
    asm("cvt.rn." #type "x2.f32 %0, %1, %2;" : "=r"(result) : "f"(value.y), "f"(value.x));                      \
    return result;                                                                                              \
  }
F2C_PENDING_MULTIPLY(bf16)
F2C_PENDING_MULTIPLY(f16)

}  // namespace f2c
`;
