/**
 * Asynchronous copies and matrix products of a warp. A copy's data are nowhere before its thread has waited: whoever looks
 * earlier is told so. Lane maps: backends/cuda/prelude/matrix.ts, after the PTX ISA.
 */
export const matrixText = String.raw`
namespace f2c {
namespace emulator {

struct AsyncCopy {
  long begin;
  int group;
  int line;
  unsigned char bytes[16];
};
struct CopyQueue {
  AsyncCopy* copies;
  int count, capacity, committed;
};
static CopyQueue copy_queues[max_threads];

inline void forget_copies() {
  for (CopyQueue& queue : copy_queues) queue.count = queue.committed = 0;
}
inline void start_copy(const AsyncCopy& copy) {
  CopyQueue& queue = copy_queues[current];
  if (queue.count == queue.capacity) {
    queue.capacity = queue.capacity == 0 ? 16 : 2 * queue.capacity;
    queue.copies = static_cast<AsyncCopy*>(realloc(queue.copies, size_t(queue.capacity) * sizeof(AsyncCopy)));
  }
  queue.copies[queue.count] = copy;
  queue.copies[queue.count++].group = queue.committed;
}
inline void finish_copies(int still_running) {
  CopyQueue& queue = copy_queues[current];
  int left = 0;
  for (int at = 0; at < queue.count; at++) {
    const AsyncCopy& copy = queue.copies[at];
    if (copy.group >= queue.committed - still_running) {
      queue.copies[left++] = copy;
      continue;
    }
    memcpy(shared_bytes + copy.begin, copy.bytes, 16);
    for (long place = copy.begin >> granule_shift; place <= (copy.begin + 15) >> granule_shift; place++) {
      mark_written(granules[place], stamp_with(unsigned(current)));
    }
  }
  queue.count = left;
}

inline void meet(int, void**) {
  const int warp = current / warp_size;
  warp_epochs[warp]++;
  meet_all(warp * warp_size, (warp + 1) * warp_size);
}

struct MatrixLoad {
  const unsigned char* row;
  u32x4 result;
};
inline void load_matrices(int transposed, void** lanes) {
  for (int lane = 0; lane < warp_size; lane++) {
    unsigned words[4];
    for (int matrix = 0; matrix < 4; matrix++) {
      unsigned short pair[2];
      for (int part = 0; part < 2; part++) {
        const int near = 2 * (lane % 4) + part;
        const int row = transposed ? near : lane / 4;
        const int column = transposed ? lane / 4 : near;
        memcpy(&pair[part], static_cast<MatrixLoad*>(lanes[8 * matrix + row])->row + 2 * column, 2);
      }
      words[matrix] = unsigned(pair[0]) | unsigned(pair[1]) << 16;
    }
    static_cast<MatrixLoad*>(lanes[lane])->result = {words[0], words[1], words[2], words[3]};
  }
}
template <typename T> inline u32x4 load_matrix(const Shared<T>& array, int index, bool transposed, int line) {
  const long begin = place_in(array, index, 16, line);
  note_read(begin, begin + 16, array.byte_offset, line, Reader::warp);
  MatrixLoad load = {shared_bytes + begin, {}};
  collective(load_matrices, transposed, &load, line);
  return load.result;
}

struct Product {
  u32x4 a;
  u32x2 b;
  float c[4];
};
inline float half_of(unsigned word, int part, bool is_f16) {
  const unsigned short bits = (unsigned short)(part == 0 ? word : word >> 16);
  return is_f16 ? f16_value(bits) : float_of_bits(unsigned(bits) << 16);
}
inline void multiply(int is_f16, void** lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < warp_size; lane++) {
    const Product& from = *static_cast<Product*>(lanes[lane]);
    const int group = lane / 4;
    const int near = 2 * (lane % 4);
    for (int part = 0; part < 2; part++) {
      a[group][near + part] = half_of(from.a.x, part, is_f16);
      a[group + 8][near + part] = half_of(from.a.y, part, is_f16);
      a[group][near + 8 + part] = half_of(from.a.z, part, is_f16);
      a[group + 8][near + 8 + part] = half_of(from.a.w, part, is_f16);
      b[near + part][group] = half_of(from.b.x, part, is_f16);
      b[near + 8 + part][group] = half_of(from.b.y, part, is_f16);
    }
  }
  for (int lane = 0; lane < warp_size; lane++) {
    Product& to = *static_cast<Product*>(lanes[lane]);
    for (int at = 0; at < 4; at++) {
      const int row = lane / 4 + 8 * (at / 2);
      const int column = 2 * (lane % 4) + at % 2;
      double sum = to.c[at];
      for (int k = 0; k < 16; k++) sum += double(a[row][k]) * double(b[k][column]);
      to.c[at] = float(sum);
    }
  }
}
inline void multiply_add(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b, bool is_f16, int line) {
  Product product = {a, b, {c0.x, c0.y, c1.x, c1.y}};
  collective(multiply, is_f16, &product, line);
  c0 = {product.c[0], product.c[1]};
  c1 = {product.c[2], product.c[3]};
}

}  // namespace emulator

inline void subgroup_barrier(int line = __builtin_LINE()) { emulator::collective(emulator::meet, 0, nullptr, line); }

template <typename T, typename Storage, int lanes>
inline void copy_async_16(const Shared<T>& array, int index, const Buffer<Storage, lanes>& buffer, int from, bool valid,
                          int line = __builtin_LINE()) {
  const long begin = emulator::place_in(array, index, 16, line);
  emulator::AsyncCopy copy = {begin, 0, line, {}};
  if (valid) {
    const long long length = buffer.length * long(lanes * sizeof(Storage)) / 16;
    if (from < 0 || from >= length) emulator::fail(240, line, buffer.number, from, length);
    memcpy(copy.bytes, buffer.base + 16l * from, 16);
  }
  emulator::note_write(begin, begin + 16, array.byte_offset, line, emulator::pending);
  emulator::start_copy(copy);
}
inline void copy_async_commit() { emulator::copy_queues[emulator::current].committed++; }
template <int still_running> inline void copy_async_wait() { emulator::finish_copies(still_running); }

inline unsigned pack_bf16(f32x2 pair) { return unsigned(bf16_bits(pair.x)) | unsigned(bf16_bits(pair.y)) << 16; }
inline unsigned pack_f16(f32x2 pair) { return unsigned(f16_bits(pair.x)) | unsigned(f16_bits(pair.y)) << 16; }

template <typename T> inline u32x4 load_matrix_x4(const Shared<T>& array, int index, int line = __builtin_LINE()) {
  return emulator::load_matrix(array, index, false, line);
}
template <typename T>
inline u32x4 load_matrix_x4_transposed(const Shared<T>& array, int index, int line = __builtin_LINE()) {
  return emulator::load_matrix(array, index, true, line);
}
inline void mma_m16n8k16_bf16(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b, int line = __builtin_LINE()) {
  emulator::multiply_add(c0, c1, a, b, false, line);
}
inline void mma_m16n8k16_f16(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b, int line = __builtin_LINE()) {
  emulator::multiply_add(c0, c1, a, b, true, line);
}

}  // namespace f2c
`;
