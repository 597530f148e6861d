/** One run of a function: what the generated code calls. */
export const runText = String.raw`
namespace flux2c {

class Run;

struct Function {
  const char* name;
  /** For people. */
  const char* takes;
  const char* gives;
  std::vector<InputType> inputs;
  void (*run)(Run& run);
};

struct Program {
  std::vector<Function> functions;
  /** False when the artifact was compiled from a configuration alone. */
  bool has_weights;
  std::vector<WeightFile> files;
  std::vector<StoredTensor> tensors;
  std::vector<Weight> weights;
};

struct Options {
  std::string function, inputs, outputs, artifact;
  int device = 0;
  bool is_quiet = false;
  /** Waits for every launch, so that a failure names it. */
  bool checks_launches = false;
};

class Run {
 public:
  Run(const Program& given_program, const Function& given_function, const Options& given_options)
      : program(given_program), function(given_function), options(given_options),
        reader(given_options.artifact, given_program.files, given_program.tensors),
        inputs(read_inputs(given_options.inputs, given_function.inputs, given_function.name, given_function.takes)) {}

  // Sizes.

  /** The size s of an input's axis that is rest + factor * s long. */
  long long solve(const char* input, int axis, const char* dimension, long long rest, long long factor) const {
    const long long size = inputs.at(input).shape[axis];
    if (factor == 0 || (size - rest) % factor != 0 || (size - rest) / factor < 0) reject_size(input, axis, dimension, "a whole number", size);
    return (size - rest) / factor;
  }
  void expect(const char* input, int axis, const char* dimension, long long wanted) const {
    const long long size = inputs.at(input).shape[axis];
    if (size != wanted) reject_size(input, axis, dimension, text(wanted), size);
  }

  // What the host computes.

  Tensor at(int storage, Shape shape) const { return reshape(values.at(storage), std::move(shape)); }
  void keep(int storage, Tensor value) { values[storage] = std::move(value); }
  void keep(int storage, int next, std::pair<Tensor, Tensor> both) {
    values[storage] = std::move(both.first);
    values[next] = std::move(both.second);
  }
  void keep_input(int storage, const char* name) {
    const NamedTensor& input = inputs.at(name);
    values[storage] = {input.type, input.shape, decode(input)};
  }
  Tensor weight(int index) {
    const Weight& weight = known_weight(index);
    return {weight.type, weight.source.shape, decode({weight.name, weight.type, weight.source.shape, reader.read(weight, 0, rows_of(weight.source.shape))})};
  }
  Tensor gather_weight(int index, const Tensor& ids) {
    const Weight& weight = known_weight(index);
    return gather_rows(weight.type, weight.source.shape, weight.name, ids, [&](long long row, double* to) {
      const Bytes bytes = reader.read(weight, row, 1);
      for (size_t at = 0; at * bytes_of(weight.type) < bytes.size(); at++)
        to[at] = load_element(weight.type, bytes.data() + at * bytes_of(weight.type));
    });
  }

  // What the device does.

  /** Makes room for the storages, loads weights, and uploads what is known. */
  void prepare(std::vector<Storage> given, std::initializer_list<std::pair<int, const char*>> input_storages) {
    storages = std::move(given);
    for (const Storage& storage : storages) {
      if (storage.elements < 0) throw Error{"F2C310", "the size of a tensor is not a size", {function.name, storage.label}, "at least 0", text(storage.elements)};
      if (storage.first >= 0 && storage.kind == Storage::weight) reader.check(known_weight(storage.weight_index).source);
    }
    device = std::make_unique<Device>(options.device);
    const auto began = std::chrono::steady_clock::now();
    allocate();
    for (size_t id = 0; id < storages.size(); id++) {
      if (places[id].pointer == nullptr) continue;
      if (storages[id].kind == Storage::weight) upload_weight(storages[id], places[id]);
      if (storages[id].kind == Storage::host) upload(int(id), encode(values.at(int(id)), storages[id].type));
    }
    for (const auto& [id, name] : input_storages) {
      passed_through[id] = name;
      if (places[id].pointer != nullptr) upload(id, inputs.at(name).bytes);
    }
    load_seconds = seconds_since(began);
    began_run = std::chrono::steady_clock::now();
  }

  void launch(const Kernel& kernel, const char* label, std::initializer_list<Axis> grid, std::initializer_list<View> views,
              std::initializer_list<long long> sizes);

  void copy(const char* label, int from, long long from_offset, int to, long long to_offset, long long elements) {
    if (elements == 0) return;
    const long long width = bytes_of(storages[from].type);
    if (from_offset < 0 || to_offset < 0 || elements < 0 || from_offset + elements > storages[from].elements || to_offset + elements > storages[to].elements)
      throw Error{"F2C310", "a copy leaves its storage", {function.name, label}, "", text(elements, " elements")};
    check(cudaMemcpyAsync(places[to].pointer + to_offset * width, places[from].pointer + from_offset * width, size_t(elements * width),
                          cudaMemcpyDeviceToDevice, nullptr), "cudaMemcpyAsync", {function.name, label});
  }

  /** After an iteration of a loop. */
  void progress(const char* symbol, long long index, long long of) {
    if (options.is_quiet || isatty(2) == 0) return;
    wait();
    fprintf(stderr, "\r%s %lld/%lld%s", symbol, index + 1, of, index + 1 == of ? "\n" : "");
  }

  void result(const char* name, int storage, Type type, Shape shape) {
    NamedTensor tensor = {text("out.", name), type, std::move(shape), {}};
    const long long elements = count(tensor.shape);
    if (places[storage].pointer != nullptr) {
      wait();
      Bytes bytes(size_t(elements) * bytes_of(storages[storage].type));
      check(cudaMemcpy(bytes.data(), places[storage].pointer, bytes.size(), cudaMemcpyDeviceToHost), "cudaMemcpy from the device", {function.name, name});
      tensor.bytes = convert(bytes.data(), elements, storages[storage].type, type);
    } else if (values.count(storage) != 0) {
      tensor.bytes = encode(values.at(storage), type);
    } else if (passed_through.count(storage) != 0) {
      tensor.bytes = inputs.at(passed_through.at(storage)).bytes;
    } else if (elements != 0) {
      throw Error{"F2C514", "internal: nothing makes a result", {function.name, name}};
    }
    results.push_back(std::move(tensor));
  }

  void finish() {
    wait();
    run_seconds = seconds_since(began_run);
    // Wider types first and otherwise by name, so that every tensor is aligned.
    std::sort(results.begin(), results.end(), [](const NamedTensor& a, const NamedTensor& b) {
      return bytes_of(a.type) != bytes_of(b.type) ? bytes_of(a.type) > bytes_of(b.type) : a.name < b.name;
    });
    write_safetensors(options.outputs, results);
    if (options.is_quiet) return;
    std::string line;
    for (const NamedTensor& tensor : results) line += text(line.empty() ? "" : ", ", tensor.name, " ", list(tensor.shape));
    fprintf(stderr, "%s on %s: weights in %.2f s, run in %.3f s, %.1f MB on the device\n", line.c_str(), device->name.c_str(), load_seconds,
            run_seconds, double(device->allocated) / 1e6);
  }

 private:
  const Program& program;
  const Function& function;
  const Options& options;
  WeightReader reader;
  const std::map<std::string, NamedTensor> inputs;
  std::map<int, const char*> passed_through;
  std::map<int, Tensor> values;
  std::vector<Storage> storages;
  std::vector<Place> places;
  std::vector<NamedTensor> results;
  std::unique_ptr<Device> device;
  std::string last_launch;
  std::chrono::steady_clock::time_point began_run;
  double load_seconds = 0, run_seconds = 0;

  static double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  [[noreturn]] void reject_size(const char* input, int axis, const char* dimension, const std::string& wanted, long long found) const {
    throw Error{"F2C162", text("axis ", axis, " of the input '", input, "' does not fit the other sizes"), {options.inputs, input},
                text(dimension, " = ", wanted), text(found)};
  }

  const Weight& known_weight(int index) const {
    if (program.has_weights) return program.weights[size_t(index)];
    throw Error{"F2C534", "the artifact has no weights", {options.artifact}, "", "", "It was compiled from a configuration. Compile the checkpoint itself to run it."};
  }

  static std::vector<double> decode(const NamedTensor& tensor) {
    std::vector<double> data(size_t(count(tensor.shape)));
    for (size_t at = 0; at < data.size(); at++) data[at] = load_element(tensor.type, tensor.bytes.data() + at * bytes_of(tensor.type));
    return data;
  }
  static Bytes encode(const Tensor& tensor, Type type) {
    Bytes bytes(tensor.data.size() * bytes_of(type));
    for (size_t at = 0; at < tensor.data.size(); at++) store_element(type, tensor.data[at], bytes.data() + at * bytes_of(type));
    return bytes;
  }

  void allocate() {
    places.assign(storages.size(), {});
    std::vector<Request> temporaries;
    for (size_t id = 0; id < storages.size(); id++) {
      const Storage& storage = storages[id];
      if (storage.first < 0) continue;
      if (storage.kind == Storage::temporary) temporaries.push_back({int(id), padded_bytes(storage), storage.first, storage.last});
      else places[id] = {device->allocate(padded_bytes(storage), storage.label), padded_bytes(storage)};
    }
    if (temporaries.empty()) return;
    unsigned char* arena = device->allocate(place_temporaries(temporaries), "temporaries");
    for (const Request& request : temporaries) places[size_t(request.storage)] = {arena + request.offset, request.bytes};
  }

  void upload_weight(const Storage& storage, const Place& place) {
    const Weight& weight = known_weight(storage.weight_index);
    const long long rows = rows_of(weight.source.shape), width = row_elements(weight.source.shape);
    const long long fitting = std::max(1LL, (64LL << 20) / std::max(1LL, width * bytes_of(weight.type)));
    const long long step = moves_rows(weight.source) ? rows : fitting;
    for (long long row = 0; row < rows; row += step) {
      const long long here = std::min(step, rows - row);
      Bytes bytes = reader.read(weight, row, here);
      if (weight.type != weight.storage) bytes = convert(bytes.data(), here * width, weight.type, weight.storage);
      unsigned char* to = place.pointer + row * width * bytes_of(weight.storage);
      check(cudaMemcpy(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy to the device", {weight.name});
    }
  }

  void upload(int storage, const Bytes& bytes) {
    if (bytes.empty()) return;
    check(cudaMemcpy(places[storage].pointer, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy to the device", {storages[storage].label});
  }

  /** Launches run beside the host: what went wrong in one shows here. */
  void wait() const {
    const std::string hint = options.checks_launches ? "" : " or before it; --check-launches tells which one";
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize", {function.name, text("launch ", last_launch, hint)});
  }

  int index_of(long long value, const char* label, const char* what) const {
    if (value <= 2147483647LL && value >= -2147483647LL) return int(value);
    throw Error{"F2C313", "an index of a launch does not fit 32 bits", {function.name, label, what}, "at most 2147483647", text(value),
                "Use a smaller picture or fewer reference pictures."};
  }
};

}  // namespace flux2c
`;
