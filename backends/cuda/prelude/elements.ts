/** Elements in memory and warp reductions, for nvcc, NVRTC and g++ alike. */
export const elementsText = String.raw`
namespace f2c {

/** What one load or store of a buffer moves. */
template <typename Storage, int lanes> struct alignas(lanes * sizeof(Storage)) Packed {
  Storage parts[lanes];
};

/** An element's value in registers, and back. */
template <typename Storage> struct Element {
  using Register = Storage;
  F2C_FUNCTION static Register widen(Storage value) { return value; }
  F2C_FUNCTION static Storage narrow(Register value) { return value; }
};
template <> struct Element<f16> {
  using Register = float;
  F2C_FUNCTION static float widen(f16 value) { return float(value); }
  F2C_FUNCTION static f16 narrow(float value) { return f16(value); }
};
template <> struct Element<bf16> {
  using Register = float;
  F2C_FUNCTION static float widen(bf16 value) { return float_of_bits(unsigned(value.bits) << 16); }
  F2C_FUNCTION static bf16 narrow(float value) { return {bf16_bits(value)}; }
};
template <> struct Element<u8> {
  using Register = int;
  F2C_FUNCTION static int widen(u8 value) { return value; }
  F2C_FUNCTION static u8 narrow(int value) { return u8(value); }
};
template <> struct Element<byte_bool> {
  using Register = bool;
  F2C_FUNCTION static bool widen(byte_bool value) { return value.bits != 0; }
  F2C_FUNCTION static byte_bool narrow(bool value) { return {u8(value ? 1 : 0)}; }
};

template <typename Storage> F2C_FUNCTION auto unpack(Packed<Storage, 1> from) { return Element<Storage>::widen(from.parts[0]); }
template <typename Storage> F2C_FUNCTION auto unpack(Packed<Storage, 2> from) {
  using E = Element<Storage>;
  return vector(E::widen(from.parts[0]), E::widen(from.parts[1]));
}
template <typename Storage> F2C_FUNCTION auto unpack(Packed<Storage, 4> from) {
  using E = Element<Storage>;
  return vector(E::widen(from.parts[0]), E::widen(from.parts[1]), E::widen(from.parts[2]), E::widen(from.parts[3]));
}
template <typename Storage> F2C_FUNCTION Packed<Storage, 1> pack(typename Element<Storage>::Register value) {
  return {{Element<Storage>::narrow(value)}};
}
template <typename Storage> F2C_FUNCTION Packed<Storage, 2> pack(Vec<typename Element<Storage>::Register, 2> value) {
  using E = Element<Storage>;
  return {{E::narrow(value.x), E::narrow(value.y)}};
}
template <typename Storage> F2C_FUNCTION Packed<Storage, 4> pack(Vec<typename Element<Storage>::Register, 4> value) {
  using E = Element<Storage>;
  return {{E::narrow(value.x), E::narrow(value.y), E::narrow(value.z), E::narrow(value.w)}};
}

/** The word of lane (own lane xor mask). All 32 lanes of the warp take part. */
F2C_FUNCTION unsigned shuffle_xor_word(unsigned word, int mask F2C_PLACE);
/** The word of lane source, the same in all lanes. */
F2C_FUNCTION unsigned broadcast_word(unsigned word, int source F2C_PLACE);

template <typename T> F2C_FUNCTION T shuffle_xor(T value, int mask F2C_PLACE) {
  return Word<T>::value(shuffle_xor_word(word_of(value), mask F2C_HERE));
}
template <typename T> F2C_FUNCTION T subgroup_broadcast(T value, int source F2C_PLACE) {
  return Word<T>::value(broadcast_word(word_of(value), source F2C_HERE));
}
/** A tree: every lane gets the same bits. */
template <typename T> F2C_FUNCTION T subgroup_add(T value F2C_PLACE) {
  value = value + shuffle_xor(value, 16 F2C_HERE);
  value = value + shuffle_xor(value, 8 F2C_HERE);
  value = value + shuffle_xor(value, 4 F2C_HERE);
  value = value + shuffle_xor(value, 2 F2C_HERE);
  return value + shuffle_xor(value, 1 F2C_HERE);
}
template <typename T> F2C_FUNCTION T subgroup_max(T value F2C_PLACE) {
  value = max(value, shuffle_xor(value, 16 F2C_HERE));
  value = max(value, shuffle_xor(value, 8 F2C_HERE));
  value = max(value, shuffle_xor(value, 4 F2C_HERE));
  value = max(value, shuffle_xor(value, 2 F2C_HERE));
  return max(value, shuffle_xor(value, 1 F2C_HERE));
}

#define F2C_LANEWISE_WARP_1(name)                                                                       \
  template <typename T> F2C_FUNCTION Vec<T, 2> name(Vec<T, 2> a F2C_PLACE) {                            \
    return {name(a.x F2C_HERE), name(a.y F2C_HERE)};                                                    \
  }                                                                                                     \
  template <typename T> F2C_FUNCTION Vec<T, 4> name(Vec<T, 4> a F2C_PLACE) {                            \
    return {name(a.x F2C_HERE), name(a.y F2C_HERE), name(a.z F2C_HERE), name(a.w F2C_HERE)};            \
  }
#define F2C_LANEWISE_WARP_2(name)                                                                       \
  template <typename T> F2C_FUNCTION Vec<T, 2> name(Vec<T, 2> a, int b F2C_PLACE) {                     \
    return {name(a.x, b F2C_HERE), name(a.y, b F2C_HERE)};                                              \
  }                                                                                                     \
  template <typename T> F2C_FUNCTION Vec<T, 4> name(Vec<T, 4> a, int b F2C_PLACE) {                     \
    return {name(a.x, b F2C_HERE), name(a.y, b F2C_HERE), name(a.z, b F2C_HERE), name(a.w, b F2C_HERE)}; \
  }
F2C_LANEWISE_WARP_1(subgroup_add)
F2C_LANEWISE_WARP_1(subgroup_max)
F2C_LANEWISE_WARP_2(shuffle_xor)
F2C_LANEWISE_WARP_2(subgroup_broadcast)

}  // namespace f2c
`;
