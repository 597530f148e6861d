/**
 * Copies of boxes of a tensor: PTX ISA, "cp.async.bulk.tensor", tile mode, 128-byte swizzle. What a copy brings is in shared memory when
 * threads wait for its barrier and nothing else can go on, sixteen bytes after the other; until then whoever looks is told so.
 */
export const tensorText = String.raw`
namespace f2c {

/** What a launch binds, with the bytes of the buffer that may be read; sizes are those of cuTensorMapEncodeTiled. */
struct alignas(64) TensorMap {
  unsigned char* start;
  unsigned char* begin;
  unsigned char* end;
  /** Bytes of an outer dimension, from the second on. */
  long long strides[4];
  unsigned extents[5];
  int buffer;
  unsigned short boxes[5];
  unsigned char rank, element_bytes;
};
static_assert(sizeof(TensorMap) == 128, "as on a GPU");

inline void prefetch_tensor_map(const TensorMap&) {}

namespace emulator {

/** From the launch's numbers (translation-unit.ts), which the runtime has checked; steps to the next map. */
inline TensorMap read_tensor_map(const long long*& numbers, const Argument* bindings, int element_bytes) {
  TensorMap map = {};
  const Argument& binding = bindings[*numbers++];
  map.rank = (unsigned char)*numbers++;
  map.start = binding.base + *numbers++;
  map.begin = binding.base;
  map.end = binding.base + binding.bytes;
  map.buffer = binding.number;
  map.element_bytes = (unsigned char)element_bytes;
  for (int at = 0; at < map.rank; at++) map.extents[at] = unsigned(*numbers++);
  for (int at = 0; at < map.rank - 1; at++) map.strides[at] = *numbers++;
  for (int at = 0; at < map.rank; at++) map.boxes[at] = (unsigned short)*numbers++;
  return map;
}

/**
 * For host programs: the parameters of cuTensorMapEncodeTiled with enumerations as numbers; 0, or 1 (CUDA_ERROR_INVALID_VALUE) for
 * what it refuses and for what kernels of flux2c do not use. What lies in the extents may be read.
 */
template <typename Wide, typename Narrow>
inline int encode_tensor_map(TensorMap* out, int data_type, unsigned rank, void* address, const Wide* extents, const Wide* byte_strides,
                             const Narrow* boxes, const Narrow* element_strides, int interleave, int swizzle, int, int fill) {
  // Of CUtensorMapDataType: UINT8, UINT16, UINT32, INT32, UINT64, INT64, FLOAT16, FLOAT32, FLOAT64, BFLOAT16.
  constexpr int bytes_of_type[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2};
  if (data_type < 0 || data_type > 9 || rank < 2 || rank > 5 || interleave != 0 || swizzle != 3 || fill != 0) return 1;
  TensorMap map = {};
  map.start = map.begin = static_cast<unsigned char*>(address);
  map.rank = (unsigned char)rank;
  map.element_bytes = (unsigned char)bytes_of_type[data_type];
  map.buffer = -1;
  if (reinterpret_cast<unsigned long>(address) % 16 != 0 || boxes[0] * map.element_bytes != 128) return 1;
  map.end = map.begin + (long long)extents[0] * map.element_bytes;
  for (unsigned at = 0; at < rank; at++) {
    if (extents[at] < 1 || extents[at] > 0xffffffffu || boxes[at] < 1 || boxes[at] > 256 || element_strides[at] != 1) return 1;
    map.extents[at] = unsigned(extents[at]);
    map.boxes[at] = (unsigned short)boxes[at];
    if (at == 0) continue;
    const Wide stride = byte_strides[at - 1];
    if (stride % 16 != 0 || stride >= Wide(1) << 40) return 1;
    map.strides[at - 1] = (long long)stride;
    map.end += (long long)stride * ((long long)extents[at] - 1);
  }
  *out = map;
  return 0;
}

struct TensorCopy {
  int barrier;
  long begin, bytes, landed;
  int object, thread, line;
  unsigned char* data;
};
/** Oldest first. */
static TensorCopy* tensor_copies;
static int tensor_copy_count, tensor_copy_capacity;

inline void forget_tensor_copies() {
  for (int at = 0; at < tensor_copy_count; at++) free(tensor_copies[at].data);
  tensor_copy_count = 0;
}

/** Reads a box as it lies in shared memory: row by row, pieces exchanged; zeros outside of the extents. */
inline void read_box(const TensorMap& map, const int* from, unsigned char* to, int line) {
  int rows = 1;
  for (int at = 1; at < map.rank; at++) rows *= map.boxes[at];
  for (int row = 0; row < rows; row++) {
    unsigned char* const target = to + 128L * row;
    memset(target, 0, 128);
    unsigned char* source = map.start;
    bool is_inside = true;
    for (int at = 1, rest = row; at < map.rank; rest /= map.boxes[at++]) {
      const long long place = (long long)from[at] + rest % map.boxes[at];
      is_inside &= place >= 0 && place < (long long)map.extents[at];
      source += place * map.strides[at - 1];
    }
    if (!is_inside) continue;
    for (int column = 0; column < map.boxes[0]; column++) {
      const long long place = (long long)from[0] + column;
      if (place < 0 || place >= (long long)map.extents[0]) continue;
      const unsigned char* element = source + place * map.element_bytes;
      if (element < map.begin || element + map.element_bytes > map.end)
        fail(240, line, map.buffer, element - map.begin, map.end - map.begin);
      const int byte = column * map.element_bytes;
      memcpy(target + ((byte / 16 ^ row % 8) * 16 + byte % 16), element, map.element_bytes);
    }
  }
}

inline void start_tensor_copy(const TensorCopy& copy) {
  if (tensor_copy_count == tensor_copy_capacity) {
    tensor_copy_capacity = tensor_copy_capacity == 0 ? 16 : 2 * tensor_copy_capacity;
    tensor_copies = static_cast<TensorCopy*>(realloc(tensor_copies, size_t(tensor_copy_capacity) * sizeof(TensorCopy)));
  }
  tensor_copies[tensor_copy_count++] = copy;
}

/** Copies write by another way than threads: what a thread wrote there before must be fenced, too. */
inline void check_fences(long begin, long bytes, long object, int line) {
  for (long at = begin >> granule_shift; at <= (begin + bytes - 1) >> granule_shift; at++) {
    const Granule& granule = granules[at];
    const unsigned who = who_of(granule.written);
    const int writer = thread_of(who);
    // What is worse than a missing fence, note_write reports.
    if (epoch_of(granule.written) < block_epoch || writer < 0 || (who & pending) != 0 || is_unknown_write(granule)) continue;
    if ((writer == current ? proxy_fences : published_fences)[writer] <= granule.fences)
      report_race(238, at << granule_shift, object, line, granule.written, granule.written_line);
  }
}

/** Until the phase of the copy's barrier ends or all is there. */
inline void land(TensorCopy& copy) {
  Barrier& barrier = barriers[copy.barrier];
  const unsigned phase = barrier.phase;
  const int agent = barrier_agent(copy.barrier);
  while (copy.landed < copy.bytes && barrier.phase == phase) {
    const long begin = copy.begin + copy.landed;
    memcpy(shared_bytes + begin, copy.data + copy.landed, 16);
    for (long at = begin >> granule_shift; at <= (begin + 15) >> granule_shift; at++) {
      granules[at].written = Stamp(epoch) << 32 | unsigned(agent);
      granules[at].count = phase + 1;
    }
    copy.landed += 16;
    barrier.bytes -= 16;
    barrier.arriving[agent] = phase + 1;
    settle(copy.barrier);
  }
}

/** Copies to a barrier that somebody waits for, until they can go on; false when no such copy is on its way. */
inline bool land_copies() {
  for (int thread = 0; thread < block_size; thread++) {
    if (threads[thread].state != State::at_phase) continue;
    const int wanted = threads[thread].phase.barrier;
    for (int at = 0; at < tensor_copy_count && threads[thread].state == State::at_phase; at++)
      if (tensor_copies[at].barrier == wanted) land(tensor_copies[at]);
    if (threads[thread].state == State::at_phase) continue;
    int left = 0;
    for (int at = 0; at < tensor_copy_count; at++) {
      if (tensor_copies[at].landed < tensor_copies[at].bytes) tensor_copies[left++] = tensor_copies[at];
      else free(tensor_copies[at].data);
    }
    tensor_copy_count = left;
    return true;
  }
  return false;
}

/** The block's memory is gone when it ends; copies must not come after. */
inline void report_left_copies() {
  for (int at = 0; at < tensor_copy_count; at++) {
    const TensorCopy& copy = tensor_copies[at];
    if (copy.landed == copy.bytes) continue;
    report = {249, copy.line, copy.thread, block_index[0], block_index[1], block_index[2], copy.object, copy.begin + copy.landed, 0, copy.thread, 0, 0, {}};
    return;
  }
}

}  // namespace emulator

template <typename T, int rank>
inline void copy_tensor(const Shared<T>& array, int index, const TensorMap& map, Coordinates<rank> from, const Barriers& barriers, int barrier,
                        int line = __builtin_LINE()) {
  using namespace emulator;
  const int number = find_barrier(barriers, barrier, line);
  if (number >= fenced_barriers) fail(235, line, barriers.byte_offset, barrier, 4);
  if (map.rank != rank) fail(234, line, map.buffer, rank, map.rank);
  long bytes = map.element_bytes;
  for (int at = 0; at < rank; at++) bytes *= map.boxes[at];
  const long begin = place_in(array, index, bytes, line);
  if (begin % 1024 != 0) fail(239, line, array.byte_offset, index, begin);
  check_fences(begin, bytes, array.byte_offset, line);
  note_write(begin, begin + bytes, array.byte_offset, line, pending);
  TensorCopy copy = {number, begin, bytes, 0, array.byte_offset, current, line, static_cast<unsigned char*>(malloc(size_t(bytes)))};
  start_tensor_copy(copy);
  read_box(map, from.at, copy.data, line);
}

}  // namespace f2c
`;
