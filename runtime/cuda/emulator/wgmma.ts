import { matrixTypes, productDepth, sharedColumns } from '../../../ir/kernel/matrix-types.js';

const macros = sharedColumns.flatMap((columns) =>
  matrixTypes.map(
    (type) =>
      `#define wgmma_m64n${columns}k${productDepth(type)}_${type}(...) ` +
      `emulator::product<${columns / 4}, f2c::emulator::of_${type}>(__LINE__, __VA_ARGS__)`,
  ),
);

/**
 * Products by four warps from shared memory. They are computed where they are waited for, from what is in shared memory then: a
 * stage that is filled again too early, or sums that are read too early (they are NaN until then), show. Each warp has 16 of the
 * 64 rows. Layout: ir/kernel/thread.ts, `SharedMatrix`; lane maps: backends/cuda/prelude/wgmma.ts, after the PTX ISA.
 * Sums of 16-bit numbers are exact but for one rounding to f32 a product; those of 8-bit numbers lose bits as on the GPU (`add_truncated`).
 */
export const wgmmaText = String.raw`
namespace f2c {

template <bool by_depth, int block> struct SharedMatrix {
  long begin;
  int object;
};
template <bool by_depth, int block, typename T>
inline SharedMatrix<by_depth, block> shared_matrix(const Shared<T>& array, int index, int line = __builtin_LINE()) {
  return {emulator::place_in(array, index, 16, line), array.byte_offset};
}

namespace emulator {

/** Rows of a matrix in shared memory that runs along the depth, or columns of one that does not. */
struct SharedSide {
  long begin;
  int object, block;
  bool by_depth;
  /** Of a number. */
  int bytes;

  /** Byte of an element: outer is the row or column of the output, inner the place on the depth. */
  long place(int outer, int inner) const {
    const int row = by_depth ? outer : inner;
    const int along = by_depth ? inner : outer;
    const int byte = along * bytes;
    const long straight = begin / 16 + long(byte / 128) * block + row * 8 + byte % 128 / 16;
    return (straight ^ (straight >> 3 & 7)) * 16 + byte % 16;
  }
};

struct Sum {
  f32x2* target;
  f32x2 value;
  int products;
};
struct SharedProduct {
  SharedSide left, right;
  bool from_registers;
  Operands operands;
  u32x4 registers;
  int columns, group, line;
  Sum* sums[64];
};
struct ProductQueue {
  SharedProduct products[64];
  Sum sums[512];
  int count, sum_count, committed;
  /** Nothing but products has touched the registers since the fence, as far as one can see here. */
  bool fenced;
};
static ProductQueue product_queues[max_threads];

inline void forget_products() {
  for (ProductQueue& queue : product_queues) {
    queue.count = queue.sum_count = queue.committed = 0;
    queue.fenced = false;
  }
}

inline void note_side(const SharedSide& side, int outer, int group, int line) {
  const int step = side.by_depth ? 16 : side.bytes;
  for (int byte = 0; byte < 32; byte += step) {
    const long begin = side.place(outer, byte / side.bytes);
    note_read(begin, begin + step, side.object, line, Reader::matrix_unit, group);
  }
}
/** The lanes share what there is to read: a row of the warp's 16, and every 32nd row or column of the right side. */
inline void note_operands(const SharedProduct& product) {
  const int lane = current % warp_size;
  const int warp = current / warp_size % 4;
  if (!product.from_registers && lane < 16) note_side(product.left, 16 * warp + lane, product.group, product.line);
  for (int outer = lane; outer < product.columns; outer += warp_size) note_side(product.right, outer, product.group, product.line);
}

inline float element_of(const SharedSide& side, int outer, int inner, Operands operands) {
  unsigned bits = 0;
  memcpy(&bits, shared_bytes + side.place(outer, inner), size_t(side.bytes));
  return number_of(bits, operands);
}

inline float add_exactly(float start, const float* left, const float* right, int depth) {
  double total = start;
  for (int k = 0; k < depth; k++) total += double(left[k]) * double(right[k]);
  return float(total);
}
/**
 * A model of how Hopper's matrix units add products of 8-bit numbers, after what others have measured: about 14 bits are kept
 * (DeepSeek-V3 Technical Report, section 3.3.2), which is 13 behind the leading one, without rounding. Terms are the products and the sum
 * so far. Bits count down to 2^-13 of the power of two in the largest term; what is below is cut off every term, towards zero, and the
 * rest is added exactly.
 */
inline float add_truncated(float start, const float* left, const float* right, int depth) {
  double terms[33] = {double(start)};
  for (int k = 0; k < depth; k++) terms[k + 1] = double(left[k]) * double(right[k]);
  double largest = 0;
  for (int at = 0; at <= depth; at++) {
    const double magnitude = fabs(terms[at]);
    // Infinities and NaN have no bits to cut off.
    if (!(magnitude < INFINITY)) return add_exactly(start, left, right, depth);
    if (magnitude > largest) largest = magnitude;
  }
  if (largest == 0) return start;
  const double unit = ldexp(1.0, ilogb(largest) - 13);
  const double units = 1 / unit;
  long total = 0;
  for (int at = 0; at <= depth; at++) total += long(terms[at] * units);
  return float(double(total) * unit);
}

/** One product of a warp: lanes[l] is the product as lane l asked for it. */
inline void multiply_shared(int warp, void** lanes) {
  const SharedProduct& first = *static_cast<SharedProduct*>(lanes[0]);
  const Operands operands = first.operands;
  const int depth = product_depth(operands);
  float a[16][32];
  static float b[256][32];
  for (int row = 0; row < 16; row++)
    for (int k = 0; k < depth; k++) {
      if (!first.from_registers) {
        a[row][k] = element_of(first.left, 16 * warp + row, k, operands);
        continue;
      }
      // Of 16-bit numbers.
      const u32x4 words = static_cast<SharedProduct*>(lanes[row % 8 * 4 + k % 8 / 2])->registers;
      const unsigned word = row < 8 ? (k < 8 ? words.x : words.z) : (k < 8 ? words.y : words.w);
      a[row][k] = number_of_word(word, k % 2, operands);
    }
  for (int k = 0; k < depth; k++)
    for (int column = 0; column < first.columns; column++) b[column][k] = element_of(first.right, column, k, operands);
  for (int lane = 0; lane < warp_size; lane++) {
    SharedProduct& own = *static_cast<SharedProduct*>(lanes[lane]);
    for (int at = 0; at < own.columns / 2; at++) {
      const int row = lane / 4 + 8 * (at / 2 % 2);
      const int column = 8 * (at / 4) + 2 * (lane % 4) + at % 2;
      Sum& sum = *own.sums[at / 2];
      float& value = at % 2 == 0 ? sum.value.x : sum.value.y;
      const auto add = operands == of_f8e4m3 ? add_truncated : add_exactly;
      value = add(value, a[row], b[column], depth);
    }
  }
}

inline Sum* sum_of(ProductQueue& queue, f32x2* target, int line) {
  for (int at = 0; at < queue.sum_count; at++)
    if (queue.sums[at].target == target) return &queue.sums[at];
  if (queue.sum_count == 512) fail(502, line);
  Sum& sum = queue.sums[queue.sum_count++];
  sum = {target, *target, 0};
  return &sum;
}

template <typename... Sums>
inline void start_product(SharedProduct product, Sums&... sums) {
  ProductQueue& queue = product_queues[current];
  if (queue.count == 64) fail(502, product.line);
  if (!queue.fenced) fail(237, product.line);
  f32x2* const targets[] = {&sums...};
  const float poison = float_of_bits(0x7fffffff);
  for (int at = 0; at < int(sizeof...(Sums)); at++) {
    Sum* sum = sum_of(queue, targets[at], product.line);
    sum->products++;
    *targets[at] = {poison, poison};
    product.sums[at] = sum;
  }
  product.columns = 4 * int(sizeof...(Sums));
  product.group = queue.committed;
  note_operands(product);
  queue.products[queue.count++] = product;
}

inline void finish_products(int still_running, int line) {
  ProductQueue& queue = product_queues[current];
  int done = 0;
  while (done < queue.count && queue.products[done].group < queue.committed - still_running) {
    SharedProduct& product = queue.products[done++];
    note_operands(product);
    collective(multiply_shared, current / warp_size % 4, &product, line);
    for (int at = 0; at < product.columns / 4; at++) product.sums[at]->products--;
  }
  for (int at = done; at < queue.count; at++) queue.products[at - done] = queue.products[at];
  queue.count -= done;
  for (int at = 0; at < queue.sum_count; at++)
    if (queue.sums[at].products == 0) *queue.sums[at].target = queue.sums[at].value;
  if (queue.count == 0) queue.sum_count = 0;
  queue.fenced = false;
  // Their reads are done for this thread, and for those that learn of it.
  unsigned& known = knowledge[current][matrix_agent(current / warp_size)];
  const int finished = queue.committed - still_running;
  if (finished > int(known)) known = unsigned(finished);
}

}  // namespace emulator

inline void fence_proxy_async() { emulator::proxy_fences[emulator::current]++; }
template <typename... Registers> inline void wgmma_fence(const Registers&...) {
  emulator::product_queues[emulator::current].fenced = true;
}
struct FromZero {};
inline void wgmma_commit() { emulator::product_queues[emulator::current].committed++; }

namespace emulator {
template <int pairs, Operands operands, bool a_by_depth, int a_block, bool by_depth, int block, typename... Sums>
inline void product(int line, SharedMatrix<a_by_depth, a_block> a, SharedMatrix<by_depth, block> b, Sums&... sums) {
  constexpr int bytes = 4 / numbers_of_word(operands);
  static_assert(sizeof...(Sums) == pairs, "accumulators");
  static_assert(bytes == 2 || (a_by_depth && by_depth), "rows of 8-bit numbers run along the depth");
  start_product({{a.begin, a.object, a_block, a_by_depth, bytes}, {b.begin, b.object, block, by_depth, bytes},
                 false, operands, {}, 0, 0, line, {}}, sums...);
}
template <int pairs, Operands operands, bool by_depth, int block, typename... Sums>
inline void product(int line, u32x4 a, SharedMatrix<by_depth, block> b, Sums&... sums) {
  static_assert(sizeof...(Sums) == pairs, "accumulators");
  static_assert(operands != of_f8e4m3, "matrices of 8-bit numbers are in shared memory");
  start_product({{}, {b.begin, b.object, block, by_depth, 2}, true, operands, a, 0, 0, line, {}}, sums...);
}
/** Whatever the accumulators held, also nothing. */
template <int pairs, Operands operands, typename Left, typename Right, typename... Sums>
inline void product(int line, FromZero, Left a, Right b, Sums&... sums) {
  ((sums = f32x2{0.0f, 0.0f}), ...);
  product<pairs, operands>(line, a, b, sums...);
}

struct Waiting {
  int line;
  template <int still_running, typename... Sums> void wait(const Sums&...) const { finish_products(still_running, line); }
};
}  // namespace emulator

// Macros, as a parameter for the line cannot follow any number of accumulators.
#define wgmma_wait emulator::Waiting{__LINE__}.wait
${macros.join('\n')}

}  // namespace f2c
`;
