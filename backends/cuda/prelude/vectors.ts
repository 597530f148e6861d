/**
 * Register types, in C++ that nvcc, NVRTC and g++ compile alike: `F2C_FUNCTION` stands before every function. Needs nothing
 * but the conversions of `f2c::f16`, which are instructions on a GPU.
 */
export const vectorsText = String.raw`
namespace f2c {

using u8 = unsigned char;

F2C_FUNCTION unsigned bits_of(float value);
F2C_FUNCTION float float_of_bits(unsigned bits);
/** Rounds to nearest even; NaN stays a quiet NaN. */
F2C_FUNCTION unsigned short f16_bits(float value);
F2C_FUNCTION unsigned short bf16_bits(float value);
F2C_FUNCTION float f16_value(unsigned short bits);

/** Half precision in registers and memory. Every operation rounds its f32 result: the same bits as half arithmetic. */
struct f16 {
  unsigned short bits;

  f16() = default;
  F2C_FUNCTION explicit f16(float value) : bits(f16_bits(value)) {}
  F2C_FUNCTION explicit operator float() const { return f16_value(bits); }
};

F2C_FUNCTION f16 operator+(f16 a, f16 b) { return f16(float(a) + float(b)); }
F2C_FUNCTION f16 operator-(f16 a, f16 b) { return f16(float(a) - float(b)); }
F2C_FUNCTION f16 operator*(f16 a, f16 b) { return f16(float(a) * float(b)); }
F2C_FUNCTION f16 operator/(f16 a, f16 b) { return f16(float(a) / float(b)); }
F2C_FUNCTION f16 operator-(f16 a) { return f16(-float(a)); }
F2C_FUNCTION bool operator==(f16 a, f16 b) { return float(a) == float(b); }
F2C_FUNCTION bool operator<(f16 a, f16 b) { return float(a) < float(b); }
F2C_FUNCTION bool operator<=(f16 a, f16 b) { return float(a) <= float(b); }

/** Upper half of an f32. Memory only: registers are f32. */
struct bf16 {
  unsigned short bits;
};

/** A sign, 4 bits of exponent, 3 of fraction. Memory only: registers are f32. */
struct f8e4m3 {
  unsigned char bits;
};

/** A bool in memory: one byte, true unless 0. */
struct byte_bool {
  unsigned char bits;
};

template <typename T, int lanes> struct Vec;
template <typename T> struct alignas(2 * sizeof(T)) Vec<T, 2> {
  T x, y;
};
template <typename T> struct alignas(4 * sizeof(T)) Vec<T, 4> {
  T x, y, z, w;
};

using f32x2 = Vec<float, 2>;
using f32x4 = Vec<float, 4>;
using f16x2 = Vec<f16, 2>;
using f16x4 = Vec<f16, 4>;
using i32x2 = Vec<int, 2>;
using i32x4 = Vec<int, 4>;
using u32x2 = Vec<unsigned, 2>;
using u32x4 = Vec<unsigned, 4>;
using boolx2 = Vec<bool, 2>;
using boolx4 = Vec<bool, 4>;

/** Lane of a vector, known when the kernel is compiled. */
template <int lane, typename T> F2C_FUNCTION T get(const Vec<T, 2>& value) { return lane == 0 ? value.x : value.y; }
template <int lane, typename T> F2C_FUNCTION T get(const Vec<T, 4>& value) {
  return lane == 0 ? value.x : lane == 1 ? value.y : lane == 2 ? value.z : value.w;
}

template <int lanes, typename T> struct Splat;
template <typename T> struct Splat<2, T> {
  F2C_FUNCTION static Vec<T, 2> of(T value) { return {value, value}; }
};
template <typename T> struct Splat<4, T> {
  F2C_FUNCTION static Vec<T, 4> of(T value) { return {value, value, value, value}; }
};
template <int lanes, typename T> F2C_FUNCTION Vec<T, lanes> splat(T value) { return Splat<lanes, T>::of(value); }

template <typename T> F2C_FUNCTION Vec<T, 2> vector(T x, T y) { return {x, y}; }
template <typename T> F2C_FUNCTION Vec<T, 4> vector(T x, T y, T z, T w) { return {x, y, z, w}; }
template <typename T> F2C_FUNCTION Vec<T, 4> vector(Vec<T, 2> xy, Vec<T, 2> zw) { return {xy.x, xy.y, zw.x, zw.y}; }
template <typename T> F2C_FUNCTION Vec<T, 4> vector(Vec<T, 2> xy, T z, T w) { return {xy.x, xy.y, z, w}; }
template <typename T> F2C_FUNCTION Vec<T, 4> vector(T x, Vec<T, 2> yz, T w) { return {x, yz.x, yz.y, w}; }
template <typename T> F2C_FUNCTION Vec<T, 4> vector(T x, T y, Vec<T, 2> zw) { return {x, y, zw.x, zw.y}; }
template <typename T, int lanes> F2C_FUNCTION Vec<T, lanes> vector(Vec<T, lanes> whole) { return whole; }

template <int a, int b, typename T, int lanes> F2C_FUNCTION Vec<T, 2> shuffle(Vec<T, lanes> value) {
  return {get<a>(value), get<b>(value)};
}
template <int a, int b, int c, int d, typename T, int lanes> F2C_FUNCTION Vec<T, 4> shuffle(Vec<T, lanes> value) {
  return {get<a>(value), get<b>(value), get<c>(value), get<d>(value)};
}

/** Calls of a scalar function for every lane. */
#define F2C_LANEWISE_1(name)                                                                                   \
  template <typename T> F2C_FUNCTION auto name(Vec<T, 2> a)->Vec<decltype(name(a.x)), 2> {                     \
    return {name(a.x), name(a.y)};                                                                             \
  }                                                                                                            \
  template <typename T> F2C_FUNCTION auto name(Vec<T, 4> a)->Vec<decltype(name(a.x)), 4> {                     \
    return {name(a.x), name(a.y), name(a.z), name(a.w)};                                                       \
  }
#define F2C_LANEWISE_2(name)                                                                                   \
  template <typename T> F2C_FUNCTION Vec<T, 2> name(Vec<T, 2> a, Vec<T, 2> b) {                                \
    return {name(a.x, b.x), name(a.y, b.y)};                                                                   \
  }                                                                                                            \
  template <typename T> F2C_FUNCTION Vec<T, 4> name(Vec<T, 4> a, Vec<T, 4> b) {                                \
    return {name(a.x, b.x), name(a.y, b.y), name(a.z, b.z), name(a.w, b.w)};                                   \
  }
#define F2C_LANEWISE_OPERATOR(sign, result)                                                                    \
  template <typename T> F2C_FUNCTION Vec<result, 2> operator sign(Vec<T, 2> a, Vec<T, 2> b) {                  \
    return {result(a.x sign b.x), result(a.y sign b.y)};                                                       \
  }                                                                                                            \
  template <typename T> F2C_FUNCTION Vec<result, 4> operator sign(Vec<T, 4> a, Vec<T, 4> b) {                  \
    return {result(a.x sign b.x), result(a.y sign b.y), result(a.z sign b.z), result(a.w sign b.w)};           \
  }
#define F2C_LANEWISE_SIGN(sign)                                                                                \
  template <typename T> F2C_FUNCTION Vec<T, 2> operator sign(Vec<T, 2> a) { return {sign a.x, sign a.y}; }     \
  template <typename T> F2C_FUNCTION Vec<T, 4> operator sign(Vec<T, 4> a) {                                    \
    return {sign a.x, sign a.y, sign a.z, sign a.w};                                                           \
  }

F2C_LANEWISE_OPERATOR(+, T)
F2C_LANEWISE_OPERATOR(-, T)
F2C_LANEWISE_OPERATOR(*, T)
F2C_LANEWISE_OPERATOR(/, T)
F2C_LANEWISE_OPERATOR(%, T)
F2C_LANEWISE_OPERATOR(&, T)
F2C_LANEWISE_OPERATOR(|, T)
F2C_LANEWISE_OPERATOR(^, T)
F2C_LANEWISE_OPERATOR(<<, T)
F2C_LANEWISE_OPERATOR(>>, T)
F2C_LANEWISE_OPERATOR(==, bool)
F2C_LANEWISE_OPERATOR(<, bool)
F2C_LANEWISE_OPERATOR(<=, bool)
F2C_LANEWISE_SIGN(-)
F2C_LANEWISE_SIGN(!)
F2C_LANEWISE_SIGN(~)

}  // namespace f2c
`;
