/**
 * Boxes of a tensor that one thread has copied into shared memory, the barriers at which they arrive, and registers that warps give each
 * other: PTX ISA, "cp.async.bulk.tensor", "Parallel Synchronization and Communication Instructions: mbarrier", "setmaxnreg"
 * (sm_90a). The tensor maps are those of the driver's `cuTensorMapEncodeTiled`, made by the host.
 */

/** Where a box begins, innermost dimension first. For nvcc, NVRTC and g++ alike. */
export const coordinatesText = String.raw`
namespace f2c {

template <int rank> struct Coordinates {
  int at[rank];
};
template <typename... Ints> F2C_FUNCTION Coordinates<int(sizeof...(Ints))> coordinates(Ints... values) {
  return {{int(values)...}};
}

}  // namespace f2c
`;

const ranks = [2, 3, 4, 5] as const;

function copyText(rank: number): string {
  const places = Array.from({ length: rank }, (_, at) => at);
  return `
template <typename T>
F2C_FUNCTION void copy_tensor(Shared<T> array, int index, const TensorMap& map, Coordinates<${rank}> from, Barriers barriers, int barrier) {
  asm volatile("cp.async.bulk.tensor.${rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {${places.map((at) => `%${at + 3}`).join(', ')}}], [%2];"
               ::"r"(shared_address(array.elements + index)), "l"(&map), "r"(barriers.address(barrier)),
               ${places.map((at) => `"r"(from.at[${at}])`).join(', ')}
               : "memory");
}
`;
}

export const deviceTensorText = String.raw`
namespace f2c {

/** What cuTensorMapEncodeTiled writes; a kernel takes it as const __grid_constant__. */
struct alignas(64) TensorMap {
  unsigned long long words[16];
};

F2C_FUNCTION void prefetch_tensor_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/** Barriers of 8 bytes each in the block's shared memory. */
struct Barriers {
  unsigned start;
  int length;

  F2C_FUNCTION unsigned address(int index) const { return start + 8u * unsigned(index); }
};
F2C_FUNCTION Barriers barrier_array(int byte_offset, int length) {
  return {shared_address(shared_memory + byte_offset), length};
}

/** By one thread, before fence_barriers and a __syncthreads. */
F2C_FUNCTION void set_up_barriers(Barriers barriers, int arrivals) {
  for (int index = 0; index < barriers.length; index++)
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barriers.address(index)), "r"(arrivals) : "memory");
}
/** Other threads and the units that copy see the barriers. */
F2C_FUNCTION void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/** The phase waits for so many bytes more; then one arrival. */
F2C_FUNCTION void expect_copies(Barriers barriers, int index, int bytes) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1; }"
               ::"r"(barriers.address(index)), "r"(bytes)
               : "memory");
}
F2C_FUNCTION void arrive(Barriers barriers, int index) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(barriers.address(index)) : "memory");
}
/** Until the phase of this parity has ended; what was done before its arrivals and what its copies wrote is seen then. */
F2C_FUNCTION void wait_barrier(Barriers barriers, int index, int parity) {
  unsigned has_ended;
  do {
    // Suspends the thread for a time that the hardware sets.
    asm volatile("{ .reg .pred ended; mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2; selp.u32 %0, 1, 0, ended; }"
                 : "=r"(has_ended)
                 : "r"(barriers.address(index)), "r"(parity)
                 : "memory");
  } while (has_ended == 0);
}

/** All of a warpgroup: each thread keeps so many registers, or waits until it has so many. */
template <int count> F2C_FUNCTION void give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count)); }
template <int count> F2C_FUNCTION void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count)); }
${ranks.map(copyText).join('')}
}  // namespace f2c
`;
