/** Tensor maps: what kernels copy boxes of, as the driver encodes it. */
export const tensorMapsText = String.raw`
namespace flux2c {

/** A rectangle of a buffer; dimensions innermost first. */
struct TensorMap {
  const char* name;
  size_t buffer;
  Type type;
  /** Elements from the start of the view to the first of the rectangle. */
  long long offset;
  /** Elements. */
  std::vector<long long> extents, strides;
  std::vector<unsigned> boxes;
};

/** For kernels without any. */
inline const std::array<TensorMap, 0> no_maps = {};

/** cuTensorMapEncodeTiled: declared here, so that neither cuda.h nor libcuda is needed to build a program. */
using EncodeTiled = int (*)(void* map, int type, unsigned rank, void* address, const unsigned long long* extents,
                            const unsigned long long* byte_strides, const unsigned* boxes, const unsigned* element_strides,
                            int interleave, int swizzle, int promotion, int fill);

/** Null where the driver lacks it: before CUDA 12.0. */
inline EncodeTiled find_encode_tiled() {
  static const EncodeTiled found = [] {
    const char* name = "cuTensorMapEncodeTiled";
    void* function = nullptr;
#if CUDART_VERSION >= 12050
    const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault);
#else
    const cudaError_t status = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault);
#endif
    return status == cudaSuccess ? reinterpret_cast<EncodeTiled>(function) : nullptr;
  }();
  return found;
}

/** CUtensorMapDataType of cuda.h. */
inline int map_type_of(Type type) {
  switch (type) {
    case Type::f16: return 6;
    case Type::bf16: return 9;
    case Type::f32: return 7;
    case Type::i32: return 3;
    case Type::u32: return 2;
    default: return 0;
  }
}

/** A kernel's argument for a map of the view at an address. */
template <typename Argument>
Argument encode(const TensorMap& map, unsigned char* view, std::vector<std::string> where) {
  where.push_back(text("tensor map ", map.name));
  const EncodeTiled encode_tiled = find_encode_tiled();
  if (encode_tiled == nullptr) {
    int version = 0;
    cudaDriverGetVersion(&version);
    throw Error{"F2C543", "the NVIDIA driver is too old for kernels that copy by tensor maps", where, "a driver that knows CUDA 12.0 or newer",
                text("one that knows CUDA ", version / 1000, ".", version % 1000 / 10), "Update the NVIDIA driver."};
  }
  const int width = bytes_of(map.type);
  std::vector<unsigned long long> extents, byte_strides;
  for (const long long extent : map.extents) extents.push_back((unsigned long long)extent);
  for (size_t at = 1; at < map.strides.size(); at++) byte_strides.push_back((unsigned long long)(map.strides[at] * width));
  const std::vector<unsigned> element_strides(map.extents.size(), 1);
  // As in runtime/cuda/tensor-map-values.ts: not interleaved, swizzled in rows of 128 bytes, 256 bytes into the L2 cache, zeros outside.
  Argument made;
  const int status = encode_tiled(&made, map_type_of(map.type), unsigned(extents.size()), view + map.offset * width, extents.data(),
                                  byte_strides.data(), map.boxes.data(), element_strides.data(), 0, 3, 3, 0);
  if (status == 0) return made;
  where.push_back("cuTensorMapEncodeTiled");
  throw Error{"F2C540", "a CUDA call failed", where, "extents of 1 or more, an address and strides that 16 bytes divide",
              text("CUresult ", status, " for ", list(map.extents), ", strides ", list(map.strides), ", offset ", map.offset)};
}

}  // namespace flux2c
`;
