/** The GPU: memory, where temporaries lie in it, launches. */
export const deviceText = String.raw`
// A grid may have so many blocks: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
#ifndef FLUX2C_MOST_BLOCKS
#define FLUX2C_MOST_BLOCKS {2147483647, 65535, 65535}
#endif

namespace flux2c {

inline void check(cudaError_t status, const std::string& call, std::vector<std::string> where = {}) {
  if (status == cudaSuccess) return;
  const std::string found = text(cudaGetErrorName(status), ": ", cudaGetErrorString(status));
  where.push_back(call);
  if (status == cudaErrorMemoryAllocation)
    throw Error{"F2C502", "the device is out of memory", where, "", found, "Use a smaller picture, fewer reference pictures or a larger GPU."};
  throw Error{"F2C540", "a CUDA call failed", where, "", found};
}

/** Memory of one or more values. Temporaries share an allocation and live from their first to their last step. */
struct Storage {
  enum Kind { input, result, host, weight, temporary } kind;
  Type type;
  long long elements;
  const char* label;
  /** Steps of the function, both included; -1 where the device does not need it. */
  int first, last;
  /** In the program's table. */
  int weight_index = -1;
};

struct Place {
  unsigned char* pointer = nullptr;
  long long bytes = 0;
};

/** Whole vectors of 16 bytes, and never nothing. */
inline long long padded_bytes(const Storage& storage) {
  return std::max(16LL, round_up(storage.elements * bytes_of(storage.type), 16));
}

constexpr long long alignment = 256;

struct Request {
  int storage;
  long long bytes;
  int first, last;
  long long offset = 0;
};

/** The largest sum of bytes, in whole multiples of the alignment, that live at one time. */
inline long long least_bytes(const std::vector<Request>& requests) {
  std::map<int, long long> changes;
  for (const Request& request : requests) {
    changes[request.first] += round_up(request.bytes, alignment);
    changes[request.last + 1] -= round_up(request.bytes, alignment);
  }
  long long live = 0, most = 0;
  for (const auto& [step, change] : changes) most = std::max(most, live += change);
  return most;
}

struct Placed {
  std::vector<Request> requests;
  long long bytes = 0;
  /** The first request that ends behind what would be enough, or as many as there are. */
  size_t excessive = 0;
};

/** Greedy: in the order given, each at the lowest offset where it meets nothing that lives at the same time. */
inline Placed place_in_order(std::vector<Request> requests, long long enough) {
  std::vector<const Request*> placed;
  long long end = 0;
  size_t excessive = requests.size();
  for (size_t at = 0; at < requests.size(); at++) {
    Request& request = requests[at];
    long long offset = 0;
    for (const Request* other : placed) {
      if (other->last < request.first || request.last < other->first) continue;
      if (offset + request.bytes <= other->offset) break;
      offset = std::max(offset, round_up(other->offset + other->bytes, alignment));
    }
    request.offset = offset;
    end = std::max(end, offset + request.bytes);
    if (end > enough) excessive = std::min(excessive, at);
    const auto behind = [&](const Request* other) { return other->offset > offset; };
    placed.insert(std::find_if(placed.begin(), placed.end(), behind), &request);
  }
  return {std::move(requests), end, excessive};
}

/**
 * Places temporaries; of three orders the one that needs the least memory. While that is more than what is live at one
 * time, the request that found no room goes first. Returns the bytes of all.
 */
inline long long place_temporaries(std::vector<Request>& requests) {
  const auto steps = [](const Request& request) { return double(request.last - request.first + 1); };
  const auto size = [](const Request& request) { return double(request.bytes); };
  const std::function<double(const Request&)> keys[] = {
      size, [&](const Request& request) { return size(request) * steps(request); }, steps};
  const long long enough = least_bytes(requests);
  Placed best;
  for (const auto& key : keys) {
    std::vector<Request> ordered = requests;
    std::stable_sort(ordered.begin(), ordered.end(), [&](const Request& a, const Request& b) {
      if (key(a) != key(b)) return key(a) > key(b);
      return a.bytes != b.bytes ? a.bytes > b.bytes : a.first < b.first;
    });
    Placed placed = place_in_order(std::move(ordered), enough);
    if (best.requests.empty() || placed.bytes < best.bytes) best = std::move(placed);
  }
  Placed current = best;
  for (int repairs = 0; repairs < 64 && current.excessive < current.requests.size(); repairs++) {
    const auto first = current.requests.begin();
    std::rotate(first, first + std::ptrdiff_t(current.excessive), first + std::ptrdiff_t(current.excessive) + 1);
    current = place_in_order(std::move(current.requests), enough);
    if (current.bytes < best.bytes) best = current;
  }
  requests = std::move(best.requests);
  return best.bytes;
}

class Device {
 public:
  explicit Device(int number) {
    check(cudaSetDevice(number), text("cudaSetDevice(", number, ")"));
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, number), "cudaGetDeviceProperties");
    name = properties.name;
    check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, number), "cudaDeviceGetAttribute");
  }
  ~Device() {
    for (unsigned char* pointer : allocations) cudaFree(pointer);
  }
  Device(const Device&) = delete;

  unsigned char* allocate(long long bytes, const std::string& label) {
    void* pointer = nullptr;
    check(cudaMalloc(&pointer, size_t(bytes)), text("cudaMalloc of ", bytes, " bytes after ", allocated), {label});
    allocations.push_back(static_cast<unsigned char*>(pointer));
    allocated += bytes;
    return allocations.back();
  }

  std::string name;
  int multiprocessors = 0;
  long long allocated = 0;

 private:
  std::vector<unsigned char*> allocations;
};

/** What a launch may touch of a storage, in elements. */
struct View {
  int storage;
  long long offset, span;
};

struct Axis {
  /** Coordinates to cover, and those of one block. */
  long long extent, tile;
};

struct Binding {
  unsigned char* pointer;
  long long bytes;
};

/** A launch of at most so many blocks as a grid may have. */
struct Piece {
  const char *kernel, *label;
  /** That the grid would have, and that it has: fewer, in one dimension, where blocks walk over tiles. */
  int blocks[3];
  unsigned grid[3];
  /** First block, where a launch is cut. */
  int origin[3];
  const std::vector<Binding>& bindings;
  /** Elements before each view in its binding. */
  const std::vector<int>& bases;
  const std::vector<int>& sizes;

  /** Where the view of a map's buffer begins. */
  unsigned char* view(const TensorMap& map) const {
    return bindings[map.buffer].pointer + (long long)bases[map.buffer] * bytes_of(map.type);
  }

  void require_no_base(size_t buffer) const {
    if (bases[buffer] == 0) return;
    throw Error{"F2C514", "internal: a view does not begin where the kernel expects it", {label, kernel}, "an aligned offset", text(bases[buffer])};
  }
};

struct Kernel {
  const char* name;
  /** Whether it can begin in the middle of x, y, z. */
  bool can_split[3];
  /** Whether its blocks walk over tiles: then one for each multiprocessor does. */
  bool walks;
  void (*start)(const Piece& piece);
};

/** A kernel's argument for a buffer. The emulator's buffers know how long they are, a GPU's are pointers. */
template <typename Argument> Argument argument_for(const Binding& binding, size_t number) {
  if constexpr (std::is_pointer_v<Argument>) {
    return reinterpret_cast<Argument>(binding.pointer);
  } else {
    return Argument({binding.pointer, binding.bytes, int(number)});
  }
}

template <typename... Arguments, size_t... buffers, size_t... maps, typename... Parameters>
cudaError_t start_with(const cudaLaunchConfig_t& config, void (*kernel)(Arguments...), const Piece& piece, const TensorMap* described,
                       const std::vector<std::string>& where, std::index_sequence<buffers...>, std::index_sequence<maps...>,
                       const Parameters&... parameters) {
  using All = std::tuple<Arguments...>;
  return cudaLaunchKernelEx(
      &config, kernel, argument_for<std::tuple_element_t<buffers, All>>(piece.bindings[buffers], buffers)...,
      encode<std::tuple_element_t<sizeof...(buffers) + maps, All>>(described[maps], piece.view(described[maps]), where)..., parameters...);
}

/** Starts a piece of a launch; parameters are the kernel's structure, if it has one. */
template <typename... Arguments, size_t count, typename... Parameters>
void start(const Piece& piece, void (*kernel)(Arguments...), int threads, int shared, const std::array<TensorMap, count>& maps,
           const Parameters&... parameters) {
  const std::vector<std::string> where = {text("launch ", piece.label), text("kernel ", piece.kernel)};
  if (shared > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared), text("cudaFuncSetAttribute for ", shared, " bytes of shared memory"), where);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(piece.grid[0], piece.grid[1], piece.grid[2]);
  config.blockDim = dim3(unsigned(threads), 1, 1);
  config.dynamicSmemBytes = size_t(shared);
  constexpr size_t buffers = sizeof...(Arguments) - count - sizeof...(Parameters);
  check(start_with(config, kernel, piece, maps.data(), where, std::make_index_sequence<buffers>(), std::make_index_sequence<count>(), parameters...),
        "cudaLaunchKernelEx", where);
}

}  // namespace flux2c
`;
