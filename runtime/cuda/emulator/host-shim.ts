/**
 * Stands for `cuda_runtime.h` when g++ compiles a host program with the emulator's `flux2c.cuh`: a GPU whose memory is the
 * processor's. Every copy must stay inside of one allocation, and memory is filled with ones before anything is written.
 */
export const hostShim = String.raw`// Stands for cuda_runtime.h when g++ compiles a host program to run on the processor.
#pragma once

#include "flux2c.cuh"

#include <stdio.h>

#include <map>
#include <tuple>
#include <utility>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorSymbolNotFound = 500,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };
enum cudaGetDriverEntryPointFlags { cudaEnableDefault = 0 };
#define CUDART_VERSION 13000
using cudaStream_t = void*;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned given_x = 1, unsigned given_y = 1, unsigned given_z = 1) : x(given_x), y(given_y), z(given_z) {}
};
// The emulator's macro would replace the member's name, too.
#undef gridDim
inline dim3 gridDim;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};
struct cudaDeviceProp {
  char name[256];
};

inline const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorSymbolNotFound: return "cudaErrorSymbolNotFound";
    default: return "cudaErrorLaunchFailure";
  }
}
inline const char* cudaGetErrorString(cudaError_t) { return "in the emulator"; }

namespace flux2c_shim {
inline std::map<unsigned char*, size_t> allocations;
inline long long allocated = 0;

/** Bytes that the environment gives the device; FLUX2C_EMULATED_BYTES. */
inline long long most_bytes() {
  const char* given = getenv("FLUX2C_EMULATED_BYTES");
  return given == nullptr ? 1LL << 40 : atoll(given);
}

/** The CUDA that the driver knows, by the environment; FLUX2C_EMULATED_DRIVER. */
inline int driver_version() {
  const char* given = getenv("FLUX2C_EMULATED_DRIVER");
  return given == nullptr ? CUDART_VERSION : atoi(given);
}

/** Bytes from a pointer to the end of its allocation; 0 outside of all. */
inline size_t room_from(const void* pointer) {
  unsigned char* begin = static_cast<unsigned char*>(const_cast<void*>(pointer));
  auto found = allocations.upper_bound(begin);
  if (found == allocations.begin()) return 0;
  --found;
  return begin < found->first + found->second ? size_t(found->first + found->second - begin) : 0;
}

/** The launch that the blocks of the emulator run. */
template <typename... Arguments> struct Call {
  static void (*kernel)(Arguments...);
  static std::tuple<Arguments...>* arguments;
  static void run() { std::apply(kernel, *arguments); }
};
template <typename... Arguments> void (*Call<Arguments...>::kernel)(Arguments...);
template <typename... Arguments> std::tuple<Arguments...>* Call<Arguments...>::arguments;

inline std::map<void*, int> allowed_shared;
}  // namespace flux2c_shim

inline cudaError_t cudaSetDevice(int number) { return number == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  snprintf(properties->name, sizeof properties->name, "the CUDA emulator");
  return cudaSuccess;
}
/** Few, so that every block walks over several tiles. */
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 3;
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = flux2c_shim::driver_version();
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (flux2c_shim::allocated + (long long)bytes > flux2c_shim::most_bytes()) return cudaErrorMemoryAllocation;
  *pointer = aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (*pointer == nullptr) return cudaErrorMemoryAllocation;
  // NaN as a float: what is read before it is written shows.
  memset(*pointer, 0xff, bytes);
  flux2c_shim::allocations[static_cast<unsigned char*>(*pointer)] = bytes;
  flux2c_shim::allocated += (long long)bytes;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* pointer) {
  const auto found = flux2c_shim::allocations.find(static_cast<unsigned char*>(pointer));
  if (found == flux2c_shim::allocations.end()) return cudaErrorInvalidValue;
  flux2c_shim::allocated -= (long long)found->second;
  flux2c_shim::allocations.erase(found);
  free(pointer);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind != cudaMemcpyDeviceToHost && flux2c_shim::room_from(to) < bytes) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyHostToDevice && flux2c_shim::room_from(from) < bytes) return cudaErrorInvalidValue;
  memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

namespace flux2c_shim {
/** cuTensorMapEncodeTiled, of memory that is allocated; 1 is CUDA_ERROR_INVALID_VALUE. */
inline int encode_tiled(void* map, int type, unsigned rank, void* address, const unsigned long long* extents,
                        const unsigned long long* byte_strides, const unsigned* boxes, const unsigned* element_strides, int interleave,
                        int swizzle, int promotion, int fill) {
  if (room_from(address) == 0) return 1;
  return f2c::emulator::encode_tensor_map(static_cast<f2c::TensorMap*>(map), type, rank, address, extents, byte_strides, boxes, element_strides,
                                          interleave, swizzle, promotion, fill);
}
}  // namespace flux2c_shim

inline cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version, unsigned long long) {
  if (strcmp(name, "cuTensorMapEncodeTiled") != 0 || int(version) > flux2c_shim::driver_version()) return cudaErrorSymbolNotFound;
  *function = reinterpret_cast<void*>(flux2c_shim::encode_tiled);
  return cudaSuccess;
}

template <typename... Arguments>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Arguments...), cudaFuncAttribute, int value) {
  flux2c_shim::allowed_shared[reinterpret_cast<void*>(kernel)] = value;
  return value <= 227 * 1024 ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename... Arguments, typename... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Arguments...), Given&&... given) {
  using Call = flux2c_shim::Call<Arguments...>;
  const int shared = int(config->dynamicSmemBytes);
  const bool fits = shared <= 48 * 1024 || flux2c_shim::allowed_shared[reinterpret_cast<void*>(kernel)] >= shared;
  const dim3 blocks = config->gridDim;
  if (!fits || blocks.x > 2147483647u || blocks.y > 65535 || blocks.z > 65535 || config->blockDim.x > 1024) return cudaErrorInvalidValue;
  std::tuple<Arguments...> arguments(std::forward<Given>(given)...);
  Call::kernel = kernel;
  Call::arguments = &arguments;
  gridDim = blocks;
  const unsigned grid[3] = {blocks.x, blocks.y, blocks.z};
  long long report[sizeof(f2c::emulator::Report) / sizeof(long long)];
  // Granules of two bytes: the narrowest that kernels share are halves.
  const int status = f2c::emulator::run_grid(grid, int(config->blockDim.x), shared, 1, Call::run, report);
  if (status == 0) return cudaSuccess;
  fprintf(stderr, "emulator: F2C%d at line %lld of the kernel, invocation %lld of block (%lld, %lld, %lld), object %lld, index %lld of %lld\n",
          status, report[1], report[2], report[3], report[4], report[5], report[6], report[7], report[8]);
  return cudaErrorLaunchFailure;
}
`;
