/**
 * Barriers in workgroup memory: PTX ISA, "mbarrier". A phase ends when all arrivals have come and as many bytes as were expected. What a
 * thread knew when it arrived, those who wait know afterwards.
 */
export const barriersText = String.raw`
namespace f2c {

struct Barriers {
  int byte_offset, length;
};
inline Barriers barrier_array(int byte_offset, int length) { return {byte_offset, length}; }

namespace emulator {

struct Barrier {
  /** Byte of the array's first barrier, and the number in the array. */
  int object, index;
  int arrivals;
  /** Arrivals, and bytes, without which the phase does not end; bytes that came before they were expected are below 0. */
  int missing;
  long long bytes;
  unsigned phase;
  int set_up_by, set_up_line;
  unsigned set_up_count;
  /** What those who arrived in this phase know, and those who arrived before. */
  unsigned arriving[max_agents], arrived[max_agents];
};
static Barrier barriers[max_barriers];
/** By byte / 8: number of a barrier, counted from 1. */
static short barrier_numbers[max_shared_bytes / 8];
/** Barriers that others and copies may see. */
static int fenced_barriers;

inline void forget_barriers() {
  for (int number = 0; number < barrier_count; number++) barrier_numbers[barriers[number].object / 8 + barriers[number].index] = 0;
  barrier_count = fenced_barriers = 0;
  forget_notes();
}

inline long place_of(const Barriers& array, int index, int line) {
  const long byte = array.byte_offset + 8L * index;
  if (index < 0 || index >= array.length || byte + 8 > shared_length) fail(242, line, array.byte_offset, index, array.length);
  return byte / 8;
}

inline void set_up_barrier(const Barriers& array, int index, int arrivals, int line) {
  const long place = place_of(array, index, line);
  if (barrier_count == max_barriers) fail(502, line);
  if (barrier_numbers[place] != 0) fail(235, line, array.byte_offset, index, 0);
  if (barrier_count == 0) start_ordering();
  Barrier& barrier = barriers[barrier_count++];
  barrier_numbers[place] = short(barrier_count);
  barrier = {array.byte_offset, index, arrivals, arrivals, 0, 0, current, line, knowledge[current][current], {}, {}};
}

/** Number of a barrier that this thread may use. */
inline int find_barrier(const Barriers& array, int index, int line) {
  const int number = barrier_numbers[place_of(array, index, line)] - 1;
  if (number < 0) fail(235, line, array.byte_offset, index, 1);
  const Barrier& barrier = barriers[number];
  if (!has_happened(barrier.set_up_by, barrier.set_up_count))
    fail(244, line, array.byte_offset, array.byte_offset + 8 * index, 0, barrier.set_up_by, barrier.set_up_line);
  return number;
}

/** Ends the phase if nothing is missing. */
inline void settle(int number) {
  Barrier& barrier = barriers[number];
  if (barrier.missing != 0 || barrier.bytes != 0) return;
  learn(barrier.arrived, barrier.arriving);
  memset(barrier.arriving, 0, sizeof barrier.arriving);
  barrier.phase++;
  barrier.missing = barrier.arrivals;
  for (int thread = 0; thread < block_size; thread++)
    if (threads[thread].state == State::at_phase && threads[thread].phase.barrier == number) threads[thread].state = State::ready;
}

inline void arrive_at(int number, int line) {
  Barrier& barrier = barriers[number];
  if (barrier.missing == 0) fail(235, line, barrier.object, barrier.index, 2);
  learn(barrier.arriving, knowledge[current]);
  knowledge[current][current]++;
  published_fences[current] = proxy_fences[current];
  barrier.missing--;
  settle(number);
}

inline void wait_for_phase(int number, int parity, int line) {
  Barrier& barrier = barriers[number];
  if (parity != 0 && parity != 1) fail(235, line, barrier.object, barrier.index, 3);
  while (int(barrier.phase % 2) == parity) {
    threads[current].phase = {number, parity, line};
    wait_as(State::at_phase);
  }
  learn(knowledge[current], barrier.arrived);
}

inline void change_registers(int, void**) {}

}  // namespace emulator

inline void set_up_barriers(const Barriers& array, int arrivals, int line = __builtin_LINE()) {
  for (int index = 0; index < array.length; index++) emulator::set_up_barrier(array, index, arrivals, line);
}
inline void fence_barriers() { emulator::fenced_barriers = emulator::barrier_count; }
inline void expect_copies(const Barriers& array, int index, int bytes, int line = __builtin_LINE()) {
  const int number = emulator::find_barrier(array, index, line);
  emulator::barriers[number].bytes += bytes;
  emulator::arrive_at(number, line);
}
inline void arrive(const Barriers& array, int index, int line = __builtin_LINE()) {
  emulator::arrive_at(emulator::find_barrier(array, index, line), line);
}
inline void wait_barrier(const Barriers& array, int index, int parity, int line = __builtin_LINE()) {
  emulator::wait_for_phase(emulator::find_barrier(array, index, line), parity, line);
}
// Here threads have no registers; but all of a warp must come.
template <int count> inline void give_registers(int line = __builtin_LINE()) {
  emulator::collective(emulator::change_registers, count, nullptr, line);
}
template <int count> inline void take_registers(int line = __builtin_LINE()) {
  emulator::collective(emulator::change_registers, count, nullptr, line);
}

}  // namespace f2c
`;
