/**
 * Conversions of e4m3, for nvcc, NVRTC and g++ alike. Instructions from sm_89 on: PTX ISA, "cvt", `.e4m3x2`; elsewhere the same on the
 * bits of an f32. Two at a time, as the instructions are.
 */
export const f8e4m3Text = String.raw`
namespace f2c {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
F2C_FUNCTION unsigned f8e4m3_pair(float first, float second) {
  unsigned short pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  return pair;
}
F2C_FUNCTION f32x2 f8e4m3_values(unsigned pair) {
  unsigned halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"((unsigned short)pair));
  return {f16_value((unsigned short)(halves & 0xffff)), f16_value((unsigned short)(halves >> 16))};
}
#else
F2C_FUNCTION unsigned f8e4m3_bits(float value) {
  const unsigned bits = bits_of(value);
  const unsigned exact = bits & 0x7fffffff;
  if (exact > 0x7f800000) return 0x7f;
  const unsigned sign = bits >> 24 & 0x80;
  const unsigned magnitude = exact < 0x43e00000 ? exact : 0x43e00000;
  // Below 2^-6 numbers lie 2^-9 apart: the sum with 16384, whose neighbours do too, rounds there.
  if (magnitude < 0x3c800000) return sign | (bits_of(float_of_bits(magnitude) + 16384.0f) - 0x46800000);
  return sign | (((magnitude + 0x7ffff + (magnitude >> 20 & 1)) >> 20) - 960);
}
F2C_FUNCTION float f8e4m3_value(unsigned bits) {
  const unsigned sign = (bits & 0x80) << 24;
  const unsigned code = bits & 0x7f;
  if (code == 0x7f) return float_of_bits(sign | 0x7fc00000);
  if (code < 8) return float_of_bits(sign | bits_of(float(code) * 0.001953125f));
  return float_of_bits(sign | ((code + 960) << 20));
}
F2C_FUNCTION unsigned f8e4m3_pair(float first, float second) { return f8e4m3_bits(first) | f8e4m3_bits(second) << 8; }
F2C_FUNCTION f32x2 f8e4m3_values(unsigned pair) { return {f8e4m3_value(pair & 0xff), f8e4m3_value(pair >> 8)}; }
#endif

template <> struct Element<f8e4m3> {
  using Register = float;
  F2C_FUNCTION static float widen(f8e4m3 value) { return f8e4m3_values(value.bits).x; }
  F2C_FUNCTION static f8e4m3 narrow(float value) { return {u8(f8e4m3_pair(value, 0.0f) & 0xff)}; }
};

F2C_FUNCTION f32x2 unpack(Packed<f8e4m3, 2> from) {
  return f8e4m3_values(unsigned(from.parts[0].bits) | unsigned(from.parts[1].bits) << 8);
}
F2C_FUNCTION f32x4 unpack(Packed<f8e4m3, 4> from) {
  const f32x2 low = f8e4m3_values(unsigned(from.parts[0].bits) | unsigned(from.parts[1].bits) << 8);
  const f32x2 high = f8e4m3_values(unsigned(from.parts[2].bits) | unsigned(from.parts[3].bits) << 8);
  return {low.x, low.y, high.x, high.y};
}
template <> F2C_FUNCTION Packed<f8e4m3, 2> pack<f8e4m3>(Vec<float, 2> value) {
  const unsigned pair = f8e4m3_pair(value.x, value.y);
  return {{{u8(pair & 0xff)}, {u8(pair >> 8)}}};
}
template <> F2C_FUNCTION Packed<f8e4m3, 4> pack<f8e4m3>(Vec<float, 4> value) {
  const unsigned low = f8e4m3_pair(value.x, value.y);
  const unsigned high = f8e4m3_pair(value.z, value.w);
  return {{{u8(low & 0xff)}, {u8(low >> 8)}, {u8(high & 0xff)}, {u8(high >> 8)}}};
}

}  // namespace f2c
`;
