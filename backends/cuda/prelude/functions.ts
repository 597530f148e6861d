/**
 * What kernels compute with, for nvcc, NVRTC and g++ alike. Semantics are those of ir/kernel/thread-interpret-operators.ts;
 * nothing but exp2 and reciprocal is approximate unless the compiler is told so.
 */
export const functionsText = String.raw`
namespace f2c {

/** NaN when either is; +0 is above -0. */
F2C_FUNCTION float maximum(float a, float b);
F2C_FUNCTION float minimum(float a, float b);
/** 2 to the power of a, up to 2 ulp off; subnormal results may be 0. */
F2C_FUNCTION float power_of_two(float a);
/** 1 / a, up to 1 ulp off; subnormal results may be 0. */
F2C_FUNCTION float one_over(float a);
/** Truncating; the divisor is not 0. */
F2C_FUNCTION int divide(int a, int b F2C_PLACE);
F2C_FUNCTION unsigned divide(unsigned a, unsigned b F2C_PLACE);
F2C_FUNCTION int remainder(int a, int b F2C_PLACE);
F2C_FUNCTION unsigned remainder(unsigned a, unsigned b F2C_PLACE);
/** Truncating and saturating, to 0 from NaN. */
F2C_FUNCTION int truncate_to_int(float value);
F2C_FUNCTION unsigned truncate_to_unsigned(float value);

F2C_FUNCTION float infinity() { return float_of_bits(0x7f800000u); }
F2C_FUNCTION float not_a_number() { return float_of_bits(0x7fc00000u); }

#define F2C_FLOAT_FUNCTION_1(name, result)                              \
  F2C_FUNCTION float name(float a) { return result; }                   \
  F2C_FUNCTION f16 name(f16 a) { return f16(name(float(a))); }          \
  F2C_LANEWISE_1(name)
F2C_FLOAT_FUNCTION_1(exp, ::expf(a))
F2C_FLOAT_FUNCTION_1(exp2, power_of_two(a))
F2C_FLOAT_FUNCTION_1(reciprocal, one_over(a))
F2C_FLOAT_FUNCTION_1(log, ::logf(a))
F2C_FLOAT_FUNCTION_1(sqrt, ::sqrtf(a))
F2C_FLOAT_FUNCTION_1(rsqrt, F2C_RSQRT(a))
F2C_FLOAT_FUNCTION_1(sin, ::sinf(a))
F2C_FLOAT_FUNCTION_1(cos, ::cosf(a))
F2C_FLOAT_FUNCTION_1(tanh, ::tanhf(a))
F2C_FLOAT_FUNCTION_1(floor, ::floorf(a))

F2C_FUNCTION float abs(float a) { return ::fabsf(a); }
F2C_FUNCTION f16 abs(f16 a) { return f16(::fabsf(float(a))); }
F2C_FUNCTION int abs(int a) { return a < 0 ? -a : a; }
F2C_LANEWISE_1(abs)

F2C_FUNCTION float max(float a, float b) { return maximum(a, b); }
F2C_FUNCTION float min(float a, float b) { return minimum(a, b); }
F2C_FUNCTION f16 max(f16 a, f16 b) { return f16(maximum(float(a), float(b))); }
F2C_FUNCTION f16 min(f16 a, f16 b) { return f16(minimum(float(a), float(b))); }
F2C_FUNCTION int max(int a, int b) { return a < b ? b : a; }
F2C_FUNCTION int min(int a, int b) { return a < b ? a : b; }
F2C_FUNCTION unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
F2C_FUNCTION unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
F2C_LANEWISE_2(max)
F2C_LANEWISE_2(min)

/** NaN for a negative base, as devices compute it from a logarithm, and where JavaScript's is. */
F2C_FUNCTION float pow(float a, float b) {
  const bool undefined = a < 0.0f || b != b || (a == 1.0f && b - b != 0.0f);
  return undefined ? not_a_number() : ::powf(a, b);
}
F2C_FUNCTION f16 pow(f16 a, f16 b) { return f16(pow(float(a), float(b))); }
F2C_LANEWISE_2(pow)

F2C_FUNCTION float remainder(float a, float b F2C_PLACE) { return ::fmodf(a, b); }
F2C_FUNCTION f16 remainder(f16 a, f16 b F2C_PLACE) { return f16(::fmodf(float(a), float(b))); }
#define F2C_LANEWISE_DIVISION(name)                                                             \
  template <typename T> F2C_FUNCTION Vec<T, 2> name(Vec<T, 2> a, Vec<T, 2> b F2C_PLACE) {       \
    return {name(a.x, b.x F2C_HERE), name(a.y, b.y F2C_HERE)};                                  \
  }                                                                                             \
  template <typename T> F2C_FUNCTION Vec<T, 4> name(Vec<T, 4> a, Vec<T, 4> b F2C_PLACE) {       \
    return {name(a.x, b.x F2C_HERE), name(a.y, b.y F2C_HERE), name(a.z, b.z F2C_HERE),          \
            name(a.w, b.w F2C_HERE)};                                                           \
  }
F2C_LANEWISE_DIVISION(divide)
F2C_LANEWISE_DIVISION(remainder)

F2C_FUNCTION float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
F2C_FUNCTION f16 fma(f16 a, f16 b, f16 c) { return f16(::fmaf(float(a), float(b), float(c))); }
template <typename T> F2C_FUNCTION Vec<T, 2> fma(Vec<T, 2> a, Vec<T, 2> b, Vec<T, 2> c) {
  return {fma(a.x, b.x, c.x), fma(a.y, b.y, c.y)};
}
template <typename T> F2C_FUNCTION Vec<T, 4> fma(Vec<T, 4> a, Vec<T, 4> b, Vec<T, 4> c) {
  return {fma(a.x, b.x, c.x), fma(a.y, b.y, c.y), fma(a.z, b.z, c.z), fma(a.w, b.w, c.w)};
}

/** Summed from +0 on, so it is never -0. */
F2C_FUNCTION float dot(f32x2 a, f32x2 b) { return ::fmaf(a.y, b.y, ::fmaf(a.x, b.x, 0.0f)); }
F2C_FUNCTION float dot(f32x4 a, f32x4 b) {
  return ::fmaf(a.w, b.w, ::fmaf(a.z, b.z, ::fmaf(a.y, b.y, ::fmaf(a.x, b.x, 0.0f))));
}

/** One condition for all lanes, or one for each. */
template <typename T> F2C_FUNCTION T select(bool condition, T yes, T no) { return condition ? yes : no; }
template <typename T> F2C_FUNCTION Vec<T, 2> select(bool condition, Vec<T, 2> yes, Vec<T, 2> no) {
  return {condition ? yes.x : no.x, condition ? yes.y : no.y};
}
template <typename T> F2C_FUNCTION Vec<T, 4> select(bool condition, Vec<T, 4> yes, Vec<T, 4> no) {
  return {condition ? yes.x : no.x, condition ? yes.y : no.y, condition ? yes.z : no.z, condition ? yes.w : no.w};
}
template <typename T> F2C_FUNCTION Vec<T, 2> select(boolx2 condition, Vec<T, 2> yes, Vec<T, 2> no) {
  return {condition.x ? yes.x : no.x, condition.y ? yes.y : no.y};
}
template <typename T> F2C_FUNCTION Vec<T, 4> select(boolx4 condition, Vec<T, 4> yes, Vec<T, 4> no) {
  return {condition.x ? yes.x : no.x, condition.y ? yes.y : no.y, condition.z ? yes.z : no.z,
          condition.w ? yes.w : no.w};
}

/** One of 16 numbers, by selects: a table in memory would be a load. */
F2C_FUNCTION float lookup(unsigned index, float v0, float v1, float v2, float v3, float v4, float v5, float v6, float v7,
                          float v8, float v9, float v10, float v11, float v12, float v13, float v14, float v15) {
  const bool b0 = index & 1u, b1 = index & 2u, b2 = index & 4u, b3 = index & 8u;
  const float p0 = b0 ? v1 : v0, p1 = b0 ? v3 : v2, p2 = b0 ? v5 : v4, p3 = b0 ? v7 : v6;
  const float p4 = b0 ? v9 : v8, p5 = b0 ? v11 : v10, p6 = b0 ? v13 : v12, p7 = b0 ? v15 : v14;
  const float q0 = b1 ? p1 : p0, q1 = b1 ? p3 : p2, q2 = b1 ? p5 : p4, q3 = b1 ? p7 : p6;
  const float r0 = b2 ? q1 : q0, r1 = b2 ? q3 : q2;
  return b3 ? r1 : r0;
}
template <typename... Values> F2C_FUNCTION Vec<float, 2> lookup(Vec<unsigned, 2> index, Values... values) {
  return {lookup(index.x, values...), lookup(index.y, values...)};
}
template <typename... Values> F2C_FUNCTION Vec<float, 4> lookup(Vec<unsigned, 4> index, Values... values) {
  return {lookup(index.x, values...), lookup(index.y, values...), lookup(index.z, values...), lookup(index.w, values...)};
}

template <typename To> struct Conversion {
  template <typename From> F2C_FUNCTION static To from(From value) { return To(value); }
  F2C_FUNCTION static To from(f16 value) { return To(float(value)); }
};
template <> struct Conversion<f16> {
  template <typename From> F2C_FUNCTION static f16 from(From value) { return f16(float(value)); }
};
template <> struct Conversion<bool> {
  template <typename From> F2C_FUNCTION static bool from(From value) { return value != From(0); }
  F2C_FUNCTION static bool from(f16 value) { return float(value) != 0.0f; }
};
template <> struct Conversion<int> {
  template <typename From> F2C_FUNCTION static int from(From value) { return int(value); }
  F2C_FUNCTION static int from(float value) { return truncate_to_int(value); }
  F2C_FUNCTION static int from(f16 value) { return truncate_to_int(float(value)); }
};
template <> struct Conversion<unsigned> {
  template <typename From> F2C_FUNCTION static unsigned from(From value) { return unsigned(value); }
  F2C_FUNCTION static unsigned from(float value) { return truncate_to_unsigned(value); }
  F2C_FUNCTION static unsigned from(f16 value) { return truncate_to_unsigned(float(value)); }
};
template <typename To, typename From> F2C_FUNCTION To convert(From value) { return Conversion<To>::from(value); }
template <typename To, typename From> F2C_FUNCTION Vec<To, 2> convert(Vec<From, 2> value) {
  return {convert<To>(value.x), convert<To>(value.y)};
}
template <typename To, typename From> F2C_FUNCTION Vec<To, 4> convert(Vec<From, 4> value) {
  return {convert<To>(value.x), convert<To>(value.y), convert<To>(value.z), convert<To>(value.w)};
}

F2C_FUNCTION unsigned word_of(float value) { return bits_of(value); }
F2C_FUNCTION unsigned word_of(int value) { return unsigned(value); }
F2C_FUNCTION unsigned word_of(unsigned value) { return value; }
F2C_FUNCTION unsigned word_of(f16 value) { return value.bits; }
template <typename T> struct Word {
  F2C_FUNCTION static T value(unsigned bits) { return T(bits); }
};
template <> struct Word<float> {
  F2C_FUNCTION static float value(unsigned bits) { return float_of_bits(bits); }
};
template <> struct Word<f16> {
  F2C_FUNCTION static f16 value(unsigned bits) {
    f16 result;
    result.bits = static_cast<unsigned short>(bits);
    return result;
  }
};
template <typename To, typename From> F2C_FUNCTION To bitcast(From value) { return Word<To>::value(word_of(value)); }
template <typename To, typename From> F2C_FUNCTION Vec<To, 2> bitcast(Vec<From, 2> value) {
  return {bitcast<To>(value.x), bitcast<To>(value.y)};
}
template <typename To, typename From> F2C_FUNCTION Vec<To, 4> bitcast(Vec<From, 4> value) {
  return {bitcast<To>(value.x), bitcast<To>(value.y), bitcast<To>(value.z), bitcast<To>(value.w)};
}

}  // namespace f2c
`;
