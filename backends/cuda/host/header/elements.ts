/** Element types, and their values as doubles. */
export const elementsText = String.raw`
namespace flux2c {

enum class Type { f64, f32, f16, bf16, f8e4m3, i64, i32, u32, i8, u8, boolean };

struct TypeName {
  Type type;
  /** In the IR, and in safetensors files. */
  const char *name, *in_files;
  int bytes;
};

/** In the order of Type. */
inline const TypeName type_names[] = {
    {Type::f64, "f64", "F64", 8},    {Type::f32, "f32", "F32", 4}, {Type::f16, "f16", "F16", 2},
    {Type::bf16, "bf16", "BF16", 2}, {Type::f8e4m3, "f8e4m3", "F8_E4M3", 1}, {Type::i64, "i64", "I64", 8}, {Type::i32, "i32", "I32", 4},
    {Type::u32, "u32", "U32", 4},    {Type::i8, "i8", "I8", 1},    {Type::u8, "u8", "U8", 1},
    {Type::boolean, "bool", "BOOL", 1}};

inline const TypeName& described(Type type) { return type_names[int(type)]; }
inline int bytes_of(Type type) { return described(type).bytes; }
inline const char* name_of(Type type) { return described(type).name; }
inline bool is_float(Type type) { return type <= Type::f8e4m3; }

inline unsigned f32_bits(float value) {
  unsigned bits;
  memcpy(&bits, &value, 4);
  return bits;
}
inline float f32_of(unsigned bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

/** Nearest, ties to even, as all conversions here. */
inline unsigned short bf16_of(float value) {
  const unsigned bits = f32_bits(value);
  if (value != value) return (unsigned short)(bits >> 16 | 0x40);
  return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline unsigned short f16_of(float value) {
  const unsigned bits = f32_bits(value);
  const unsigned sign = bits >> 16 & 0x8000;
  const unsigned magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= 0x477ff000) return (unsigned short)(sign | 0x7c00);
  // Below 2^-14 halves lie 2^-24 apart: the sum with 0.5, whose neighbours do too, rounds there.
  if (magnitude < 0x38800000) return (unsigned short)(sign | (f32_bits(f32_of(magnitude) + 0.5f) - 0x3f000000));
  return (unsigned short)(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}
inline float f16_value(unsigned short bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * ldexpf(float(fraction), -24) : sign * ldexpf(float(1024 + fraction), exponent - 25);
}

/** To 448 at most. */
inline unsigned char f8e4m3_of(float value) {
  const unsigned bits = f32_bits(value);
  const unsigned exact = bits & 0x7fffffff;
  if (exact > 0x7f800000) return 0x7f;
  const unsigned sign = bits >> 24 & 0x80;
  const unsigned magnitude = std::min(exact, 0x43e00000u);
  // Below 2^-6 numbers lie 2^-9 apart: the sum with 16384, whose neighbours do too, rounds there.
  if (magnitude < 0x3c800000) return (unsigned char)(sign | (f32_bits(f32_of(magnitude) + 16384.0f) - 0x46800000));
  return (unsigned char)(sign | (((magnitude + 0x7ffff + (magnitude >> 20 & 1)) >> 20) - 960));
}
inline float f8e4m3_value(unsigned char bits) {
  const float sign = (bits & 0x80) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 3 & 15;
  const int fraction = bits & 7;
  if (exponent == 15 && fraction == 7) return NAN;
  return exponent == 0 ? sign * ldexpf(float(fraction), -9) : sign * ldexpf(float(8 + fraction), exponent - 10);
}

/** What a row is divided by to be f8e4m3 numbers: ir/quantize.ts. */
inline float scale_of_row(const float* row, long long elements) {
  float largest = 0;
  for (long long at = 0; at < elements; at++) {
    const float magnitude = std::fabs(row[at]);
    // NaN stays.
    if (magnitude > largest || magnitude != magnitude) largest = magnitude;
  }
  return largest < 0x1p-100f ? 1.0f : largest / 448.0f;
}

/** Toward zero, kept within the type's range, NaN to 0. */
inline double saturate(Type type, double value) {
  if (type == Type::boolean) return value == 0 ? 0 : 1;
  if (std::isnan(value)) return 0;
  double low = 0, high = 255;
  if (type == Type::i64) low = -0x1p53, high = 0x1p53;
  if (type == Type::i32) low = -0x1p31, high = 0x1p31 - 1;
  if (type == Type::u32) high = 0x1p32 - 1;
  if (type == Type::i8) low = -128, high = 127;
  return std::min(high, std::max(low, std::trunc(value))) + 0.0;
}

inline double load_element(Type type, const unsigned char* from) {
  const auto read = [from](auto value) {
    memcpy(&value, from, sizeof value);
    return value;
  };
  switch (type) {
    case Type::f64: return read(0.0);
    case Type::f32: return read(0.0f);
    case Type::f16: return f16_value(read((unsigned short)0));
    case Type::bf16: return f32_of(unsigned(read((unsigned short)0)) << 16);
    case Type::f8e4m3: return f8e4m3_value(*from);
    case Type::i64: return double(read(0LL));
    case Type::i32: return read(0);
    case Type::u32: return read(0u);
    case Type::i8: return read((signed char)0);
    case Type::u8: return *from;
    case Type::boolean: return *from == 0 ? 0 : 1;
  }
  return 0;
}

/** Floats are rounded to the type; whole numbers must be in its range. */
inline void store_element(Type type, double value, unsigned char* to) {
  const auto write = [to](auto element) { memcpy(to, &element, sizeof element); };
  switch (type) {
    case Type::f64: return write(value);
    case Type::f32: return write(float(value));
    case Type::f16: return write(f16_of(float(value)));
    case Type::bf16: return write(bf16_of(float(value)));
    case Type::f8e4m3: return write(f8e4m3_of(float(value)));
    case Type::i64: return write((long long)value);
    case Type::i32: return write(int(value));
    case Type::u32: return write(unsigned(value));
    case Type::i8: return write((signed char)value);
    case Type::u8: return write((unsigned char)value);
    case Type::boolean: return write((unsigned char)(value == 0 ? 0 : 1));
  }
}

inline double round_to(Type type, double value) {
  unsigned char bytes[8];
  store_element(type, is_float(type) ? value : saturate(type, value), bytes);
  return load_element(type, bytes);
}

/** Elements in another type. */
inline Bytes convert(const unsigned char* from, long long elements, Type type, Type wanted) {
  const int width = bytes_of(wanted);
  Bytes out(size_t(elements) * width);
  if (type == wanted) {
    memcpy(out.data(), from, out.size());
    return out;
  }
  const bool truncates = is_float(type) && !is_float(wanted);
  for (long long at = 0; at < elements; at++) {
    const double value = load_element(type, from + at * bytes_of(type));
    store_element(wanted, truncates ? saturate(wanted, value) : value, out.data() + at * width);
  }
  return out;
}

}  // namespace flux2c
`;
