/**
 * Buffers that know their length, and shared memory that knows who used it. Between two `__syncthreads` a granule of shared memory
 * may be read by many threads or used by one, nothing else; lanes of one warp may also meet at a warp barrier. In blocks with
 * `mbarrier`s the order is that of ordering.ts.
 */
export const memoryText = String.raw`
namespace f2c {
namespace emulator {

constexpr int max_shared_bytes = 256 * 1024;

/** A thread's use of a granule: epoch, epoch of its warp, and who. */
using Stamp = unsigned long long;
constexpr unsigned several_lanes = 0x4000;
constexpr unsigned several_warps = 0x8000;
/** A copy to here is under way. */
constexpr unsigned pending = 0x2000;
constexpr unsigned agent_bits = 0x1fff;

struct Granule {
  Stamp written, read;
  int written_line, read_line;
  /** Of the writer, when it wrote. */
  unsigned fences;
  /** Of the writing agent, in blocks with barriers; there the low half of read is the first of the granule's notes. */
  unsigned count;
};

alignas(1024) static unsigned char shared_bytes[max_shared_bytes];
static Granule granules[max_shared_bytes];
/** Bytes of a granule as a power of two: the kernel's narrowest shared element, at most a word. */
static int granule_shift;
static int shared_length;

inline unsigned epoch_of(Stamp stamp) { return unsigned(stamp >> 32); }
inline unsigned who_of(Stamp stamp) { return unsigned(stamp) & 0xffff; }
inline Stamp stamp_with(unsigned who) {
  return Stamp(epoch) << 32 | Stamp(warp_epochs[current / warp_size]) << 16 | who;
}
/** Threads of a several_lanes stamp are lanes of this warp. */
inline int warp_of(unsigned who) {
  return (who & several_lanes) != 0 ? int(who & agent_bits) : int(who & agent_bits) / warp_size;
}
/** Whether this thread has not waited for the other's use since. */
inline bool is_concurrent(Stamp other) {
  if (epoch_of(other) != epoch) return false;
  const unsigned who = who_of(other);
  if (who == unsigned(current)) return false;
  if ((who & several_warps) != 0 || warp_of(who) != current / warp_size) return true;
  return unsigned(other >> 16 & 0xffff) == warp_epochs[current / warp_size];
}
/** -1: several; -2: a copy that has arrived at a barrier. */
inline int thread_of(unsigned who) {
  if ((who & several_warps) != 0) return -1;
  const int agent = int(who & agent_bits);
  if (agent >= barrier_agent(0)) return -2;
  if (agent >= block_size) return (agent - matrix_agent(0)) * warp_size;
  return (who & several_lanes) != 0 ? agent * warp_size : agent;
}
inline bool has_happened(int agent, unsigned count) { return knowledge[current][agent] >= count; }
/** Whether this thread does not know yet that the granule is written. */
inline bool is_unknown_write(const Granule& granule) {
  if (barrier_count == 0) return is_concurrent(granule.written);
  return epoch_of(granule.written) >= barrier_epoch &&
         !has_happened(int(who_of(granule.written) & agent_bits), granule.count);
}
/** Whether the other lanes know that this one has written the granule. */
inline bool has_warp_met(const Granule& granule, Stamp own) {
  if (barrier_count == 0) return (granule.written >> 16) != (own >> 16);
  const int first = current / warp_size * warp_size;
  for (int lane = first; lane < first + warp_size; lane++)
    if (knowledge[lane][current] < granule.count) return false;
  return true;
}
inline void mark_written(Granule& granule, Stamp stamp) {
  granule.written = stamp;
  granule.fences = proxy_fences[current];
  granule.count = knowledge[current][current];
}

/** Two uses, one of them a write, between which the threads did not meet. */
[[noreturn]] __attribute__((noinline, cold)) inline void report_race(int code, long byte, long object, int line, Stamp other, int other_line) {
  fail(code, line, object, byte, 0, thread_of(who_of(other)), other_line);
}

/** Who gets the data: the others of a warp need to have met this lane, too, and matrix units need a fence of who wrote. */
enum class Reader { thread, warp, matrix_unit };

/** Remembers a read since the last barrier of all. */
inline void mark_read(Granule& granule, Stamp own, int line) {
  granule.read_line = line;
  if (granule.read == own) return;
  const unsigned who = who_of(granule.read);
  const bool is_first = epoch_of(granule.read) != epoch;
  if (is_first || who == unsigned(current)) {
    granule.read = own;
    return;
  }
  const bool apart = (who & several_warps) != 0 || warp_of(who) != current / warp_size;
  granule.read = stamp_with(apart ? several_warps : several_lanes | unsigned(current / warp_size));
}

inline int first_note(const Granule& granule) {
  return epoch_of(granule.read) >= barrier_epoch ? int(granule.read & 0xffffffff) : -1;
}
/** Remembers a read in a block with barriers. */
inline void note_reader(Granule& granule, int agent, unsigned count, int line) {
  const int first = first_note(granule);
  for (int place = first; place >= 0; place = read_notes[place].next) {
    ReadNote& note = read_notes[place];
    if (note.agent != agent) continue;
    note.count = count;
    note.line = line;
    return;
  }
  granule.read = Stamp(epoch) << 32 | unsigned(take_note({agent, count, line, first}));
}
/** Reports a read that this thread does not know of, and forgets the others. */
inline void forget_readers(Granule& granule, long byte, long object, int line) {
  int place = first_note(granule);
  while (place >= 0) {
    ReadNote& note = read_notes[place];
    if (!has_happened(note.agent, note.count))
      report_race(244, byte, object, line, Stamp(note.agent), note.line);
    const int next = note.next;
    note.next = free_note;
    free_note = place;
    place = next;
  }
  granule.read = 0;
}

/** "group": of the products that read, with a matrix unit. */
__attribute__((noinline)) inline void note_read(long begin, long end, long object, int line, Reader reader = Reader::thread,
                                                int group = 0) {
  const Stamp own = stamp_with(unsigned(current));
  const bool by_unit = reader == Reader::matrix_unit;
  for (long at = begin >> granule_shift; at <= (end - 1) >> granule_shift; at++) {
    Granule& granule = granules[at];
    const Stamp written = granule.written;
    if (epoch_of(written) < block_epoch) fail(248, line, object, at << granule_shift);
    if ((who_of(written) & pending) != 0) report_race(249, at << granule_shift, object, line, written, granule.written_line);
    const bool unseen = reader != Reader::thread && who_of(written) == unsigned(current) && !has_warp_met(granule, own);
    if (is_unknown_write(granule) || unseen)
      report_race(244, at << granule_shift, object, line, written, granule.written_line);
    const int writer = thread_of(who_of(written));
    if (by_unit && writer >= 0 && published_fences[writer] <= granule.fences)
      report_race(238, at << granule_shift, object, line, written, granule.written_line);
    if (barrier_count == 0) {
      mark_read(granule, own, line);
    } else if (by_unit) {
      note_reader(granule, matrix_agent(current / warp_size), unsigned(group) + 1, line);
    } else {
      note_reader(granule, current, knowledge[current][current], line);
    }
  }
}

__attribute__((noinline)) inline void note_write(long begin, long end, long object, int line, unsigned mark = 0) {
  const Stamp own = stamp_with(unsigned(current) | mark);
  for (long at = begin >> granule_shift; at <= (end - 1) >> granule_shift; at++) {
    Granule& granule = granules[at];
    const bool under_way = epoch_of(granule.written) >= block_epoch && (who_of(granule.written) & pending) != 0;
    if (under_way) report_race(249, at << granule_shift, object, line, granule.written, granule.written_line);
    if (is_unknown_write(granule))
      report_race(244, at << granule_shift, object, line, granule.written, granule.written_line);
    if (barrier_count != 0) {
      forget_readers(granule, at << granule_shift, object, line);
    } else if (is_concurrent(granule.read)) {
      report_race(244, at << granule_shift, object, line, granule.read, granule.read_line);
    }
    mark_written(granule, own);
    granule.written_line = line;
  }
}

/** A binding of the launch, in the order of the kernel's arguments. */
struct Argument {
  unsigned char* base;
  long long bytes;
  int number;
};

}  // namespace emulator

template <typename Storage, int lanes> struct Buffer {
  unsigned char* base;
  /** In units of lanes. */
  long long length;
  int number;

  Buffer(emulator::Argument argument)
      : base(argument.base), length(argument.bytes / long(lanes * sizeof(Storage))), number(argument.number) {}
};
template <typename Storage, int lanes> using Read = Buffer<Storage, lanes>;
template <typename Storage, int lanes> using Write = Buffer<Storage, lanes>;
template <typename Storage, int lanes> using ReadWrite = Buffer<Storage, lanes>;

template <typename Storage, int lanes>
inline auto load(const Buffer<Storage, lanes>& buffer, int index, int line = __builtin_LINE()) {
  if (index < 0 || index >= buffer.length) emulator::fail(240, line, buffer.number, index, buffer.length);
  Packed<Storage, lanes> packed;
  __builtin_memcpy(&packed, buffer.base + long(index) * long(sizeof packed), sizeof packed);
  return unpack(packed);
}
template <typename Storage, int lanes, typename Value>
inline void store(const Buffer<Storage, lanes>& buffer, int index, Value value, int line = __builtin_LINE()) {
  if (index < 0 || index >= buffer.length) emulator::fail(241, line, buffer.number, index, buffer.length);
  const Packed<Storage, lanes> packed = pack<Storage>(value);
  __builtin_memcpy(buffer.base + long(index) * long(sizeof packed), &packed, sizeof packed);
}

template <typename T> struct Shared {
  int byte_offset;
  int length;
};
template <typename T> inline Shared<T> shared_array(int byte_offset, int length) { return {byte_offset, length}; }

namespace emulator {
/** Byte of an element, after checking that bytes from it on are in the array. */
template <typename T> inline long place_in(const Shared<T>& array, int index, long bytes, int line) {
  const bool inside = index >= 0 && index < array.length && index * long(sizeof(T)) + bytes <= array.length * long(sizeof(T));
  if (!inside) fail(242, line, array.byte_offset, index, array.length);
  const long begin = array.byte_offset + index * long(sizeof(T));
  // The launch gave the block fewer bytes than the kernel uses.
  if (begin + bytes > shared_length) fail(242, line, array.byte_offset, index, array.length);
  if (begin % (bytes < 16 ? bytes : 16) != 0) fail(239, line, array.byte_offset, index, begin);
  return begin;
}
}  // namespace emulator

template <typename T> inline T load(const Shared<T>& array, int index, int line = __builtin_LINE()) {
  const long begin = emulator::place_in(array, index, sizeof(T), line);
  emulator::note_read(begin, begin + long(sizeof(T)), array.byte_offset, line);
  T value;
  __builtin_memcpy(&value, emulator::shared_bytes + begin, sizeof(T));
  return value;
}
template <typename T> inline void store(const Shared<T>& array, int index, T value, int line = __builtin_LINE()) {
  const long begin = emulator::place_in(array, index, sizeof(T), line);
  emulator::note_write(begin, begin + long(sizeof(T)), array.byte_offset, line);
  __builtin_memcpy(emulator::shared_bytes + begin, &value, sizeof(T));
}

}  // namespace f2c
`;
