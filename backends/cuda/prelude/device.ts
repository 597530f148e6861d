/** What only a GPU has: the definitions behind the declarations of the other texts, as CUDA intrinsics and PTX. */
export const deviceOpeningText = String.raw`// What flux2c's kernels call, for nvcc and NVRTC; includes nothing. Needs sm_80.
#pragma once

#define F2C_FUNCTION __device__ __forceinline__
// The emulator passes on which line of a kernel an operation stands.
#define F2C_PLACE
#define F2C_HERE
#define F2C_RSQRT(value) ::rsqrtf(value)
`;

export const deviceText = String.raw`
namespace f2c {

F2C_FUNCTION unsigned bits_of(float value) { return __float_as_uint(value); }
F2C_FUNCTION float float_of_bits(unsigned bits) { return __uint_as_float(bits); }

F2C_FUNCTION unsigned short f16_bits(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
F2C_FUNCTION unsigned short bf16_bits(float value) {
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
F2C_FUNCTION float f16_value(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

F2C_FUNCTION float maximum(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
F2C_FUNCTION float minimum(float a, float b) {
  float result;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

F2C_FUNCTION float power_of_two(float a) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
  return result;
}

F2C_FUNCTION float one_over(float a) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
  return result;
}

F2C_FUNCTION int divide(int a, int b) { return a / b; }
F2C_FUNCTION unsigned divide(unsigned a, unsigned b) { return a / b; }
F2C_FUNCTION int remainder(int a, int b) { return a % b; }
F2C_FUNCTION unsigned remainder(unsigned a, unsigned b) { return a % b; }

/** The instruction saturates, to 2^31 - 1 where the largest f32 below is meant. */
F2C_FUNCTION int truncate_to_int(float value) { return value > 2147483520.0f ? 2147483520 : __float2int_rz(value); }
F2C_FUNCTION unsigned truncate_to_unsigned(float value) {
  return value > 4294967040.0f ? 4294967040u : __float2uint_rz(value);
}

F2C_FUNCTION unsigned shuffle_xor_word(unsigned word, int mask) { return __shfl_xor_sync(0xffffffffu, word, mask); }
F2C_FUNCTION unsigned broadcast_word(unsigned word, int source) { return __shfl_sync(0xffffffffu, word, source); }

template <typename Storage, int lanes> using Read = const Packed<Storage, lanes>* __restrict__;
template <typename Storage, int lanes> using Write = Packed<Storage, lanes>* __restrict__;
template <typename Storage, int lanes> using ReadWrite = Packed<Storage, lanes>* __restrict__;

template <typename Storage, int lanes> F2C_FUNCTION auto load(const Packed<Storage, lanes>* buffer, int index) {
  return unpack(buffer[index]);
}
template <typename Storage, int lanes, typename Value>
F2C_FUNCTION void store(Packed<Storage, lanes>* buffer, int index, Value value) {
  buffer[index] = pack<Storage>(value);
}

extern __shared__ __align__(1024) unsigned char shared_memory[];

/** An array in the block's shared memory. */
template <typename T> struct Shared {
  T* elements;
};
template <typename T> F2C_FUNCTION Shared<T> shared_array(int byte_offset, int) {
  return {reinterpret_cast<T*>(shared_memory + byte_offset)};
}
template <typename T> F2C_FUNCTION T load(Shared<T> array, int index) { return array.elements[index]; }
template <typename T> F2C_FUNCTION void store(Shared<T> array, int index, T value) { array.elements[index] = value; }

}  // namespace f2c
`;
