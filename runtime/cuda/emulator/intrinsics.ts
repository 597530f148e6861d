/** What the portable part of the prelude leaves to whoever compiles it, on a processor. */
export const emulatorOpeningText = String.raw`// Stands for flux2c.cuh when g++ compiles kernels to run on the processor.
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define F2C_FUNCTION inline
#define F2C_PLACE , int line = __builtin_LINE()
#define F2C_HERE , line
#define F2C_RSQRT(value) (1.0f / ::sqrtf(value))
#define threadIdx (f2c::emulator::thread_index())
#define blockIdx (f2c::emulator::block_number())
#define gridDim (f2c::emulator::grid_dimensions())
#define __syncthreads() f2c::emulator::barrier(__LINE__)
`;

export const intrinsicsText = String.raw`
namespace f2c {

inline unsigned bits_of(float value) {
  unsigned bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}
inline float float_of_bits(unsigned bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

inline unsigned short bf16_bits(float value) {
  const unsigned bits = bits_of(value);
  if (value != value) return (unsigned short)(bits >> 16 | 0x40);
  return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline unsigned short f16_bits(float value) {
  const unsigned bits = bits_of(value);
  const unsigned sign = bits >> 16 & 0x8000;
  const unsigned magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (unsigned short)(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return (unsigned short)(sign | 0x7c00);
  // Below 2^-14 halves lie 2^-24 apart: the sum with 0.5, whose neighbours do too, rounds there.
  if (magnitude < 0x38800000) return (unsigned short)(sign | (bits_of(float_of_bits(magnitude) + 0.5f) - 0x3f000000));
  return (unsigned short)(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}
inline float f16_value(unsigned short bits) {
  const unsigned sign = unsigned(bits & 0x8000) << 16;
  const unsigned magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) return float_of_bits(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  if (magnitude < 0x400) return float_of_bits(sign | bits_of(float(magnitude) * 0x1p-24f));
  return float_of_bits(sign | (magnitude + 0x1c000) << 13);
}

inline float maximum(float a, float b) {
  if (a != a || b != b) return float_of_bits(0x7fffffff);
  if (a == b) return bits_of(a) >> 31 != 0 ? b : a;
  return a < b ? b : a;
}
inline float minimum(float a, float b) {
  if (a != a || b != b) return float_of_bits(0x7fffffff);
  if (a == b) return bits_of(a) >> 31 != 0 ? a : b;
  return a < b ? a : b;
}

inline float power_of_two(float a) { return ::exp2f(a); }
inline float one_over(float a) { return 1.0f / a; }

inline int divide(int a, int b, int line) {
  if (b == 0) emulator::fail(246, line);
  return int(static_cast<long long>(a) / b);
}
inline unsigned divide(unsigned a, unsigned b, int line) {
  if (b == 0) emulator::fail(246, line);
  return a / b;
}
inline int remainder(int a, int b, int line) {
  if (b == 0) emulator::fail(246, line);
  return int(static_cast<long long>(a) % b);
}
inline unsigned remainder(unsigned a, unsigned b, int line) {
  if (b == 0) emulator::fail(246, line);
  return a % b;
}

inline int truncate_to_int(float value) {
  if (value != value) return 0;
  if (value > 2147483520.0f) return 2147483520;
  return value <= -2147483648.0f ? -2147483647 - 1 : int(value);
}
inline unsigned truncate_to_unsigned(float value) {
  if (!(value > 0.0f)) return 0;
  return value > 4294967040.0f ? 4294967040u : unsigned(value);
}

namespace emulator {
struct WordExchange {
  unsigned given, taken;
};
inline void exchange_xor(int mask, void** lanes) {
  for (int lane = 0; lane < warp_size; lane++)
    static_cast<WordExchange*>(lanes[lane])->taken = static_cast<WordExchange*>(lanes[(lane ^ mask) & 31])->given;
}
inline void exchange_broadcast(int source, void** lanes) {
  for (int lane = 0; lane < warp_size; lane++)
    static_cast<WordExchange*>(lanes[lane])->taken = static_cast<WordExchange*>(lanes[source & 31])->given;
}
}  // namespace emulator

inline unsigned shuffle_xor_word(unsigned word, int mask, int line) {
  emulator::WordExchange exchange = {word, 0};
  emulator::collective(emulator::exchange_xor, mask, &exchange, line);
  return exchange.taken;
}
inline unsigned broadcast_word(unsigned word, int source, int line) {
  emulator::WordExchange exchange = {word, 0};
  emulator::collective(emulator::exchange_broadcast, source, &exchange, line);
  return exchange.taken;
}

}  // namespace f2c
`;
