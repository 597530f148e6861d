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

/** What matrices are of. Sums of a warp's products are exact here but for one rounding to f32, also of 8-bit numbers. */
enum Operands { of_bf16, of_f16, of_f8e4m3 };
/** Numbers in a word, the first in the low bits. */
constexpr int numbers_of_word(int operands) { return operands == of_f8e4m3 ? 4 : 2; }
/** Numbers along the depth of one product: 32 bytes. */
constexpr int product_depth(int operands) { return 8 * numbers_of_word(operands); }
inline float number_of(unsigned bits, int operands) {
  if (operands == of_f8e4m3) return f8e4m3_value(bits & 0xff);
  return operands == of_f16 ? f16_value((unsigned short)bits) : float_of_bits(bits << 16);
}
inline float number_of_word(unsigned word, int part, int operands) {
  return number_of(word >> 32 / numbers_of_word(operands) * part, operands);
}

struct Product {
  u32x4 a;
  u32x2 b;
  float c[4];
};
inline void multiply(int operands, void** lanes) {
  float a[16][32], b[32][8];
  const int numbers = numbers_of_word(operands);
  for (int lane = 0; lane < warp_size; lane++) {
    const Product& from = *static_cast<Product*>(lanes[lane]);
    const unsigned left[4] = {from.a.x, from.a.y, from.a.z, from.a.w};
    const unsigned right[2] = {from.b.x, from.b.y};
    const int group = lane / 4;
    for (int part = 0; part < numbers; part++) {
      const int near = numbers * (lane % 4) + part;
      for (int word = 0; word < 4; word++)
        a[group + word % 2 * 8][near + word / 2 * 4 * numbers] = number_of_word(left[word], part, operands);
      for (int word = 0; word < 2; word++) b[near + word * 4 * numbers][group] = number_of_word(right[word], part, operands);
    }
  }
  for (int lane = 0; lane < warp_size; lane++) {
    Product& to = *static_cast<Product*>(lanes[lane]);
    for (int at = 0; at < 4; at++) {
      const int row = lane / 4 + 8 * (at / 2);
      const int column = 2 * (lane % 4) + at % 2;
      double sum = to.c[at];
      for (int k = 0; k < product_depth(operands); k++) sum += double(a[row][k]) * double(b[k][column]);
      to.c[at] = float(sum);
    }
  }
}
inline void multiply_add(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b, Operands operands, int line) {
  Product product = {a, b, {c0.x, c0.y, c1.x, c1.y}};
  collective(multiply, operands, &product, line);
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
  emulator::multiply_add(c0, c1, a, b, emulator::of_bf16, line);
}
inline void mma_m16n8k16_f16(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b, int line = __builtin_LINE()) {
  emulator::multiply_add(c0, c1, a, b, emulator::of_f16, line);
}
inline void mma_m16n8k32_f8e4m3(f32x2& c0, f32x2& c1, u32x4 a, u32x2 b, int line = __builtin_LINE()) {
  emulator::multiply_add(c0, c1, a, b, emulator::of_f8e4m3, line);
}

}  // namespace f2c
`;
