/** One run of a function: what the generated code calls. */
export const runText = String.raw`
namespace flux2c {

struct InputType {
  const char* name;
  Type type;
  int rank;
};

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
  /** Null when the artifact was compiled from a configuration alone. */
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
        reader(given_options.artifact, given_program.files, given_program.tensors) {
    read_inputs();
  }

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
  std::map<std::string, NamedTensor> inputs;
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

  void read_inputs() {
    const Safetensors file(options.inputs);
    std::string missing;
    for (const InputType& wanted : function.inputs)
      if (file.tensors.count(wanted.name) + file.tensors.count(text("in.", wanted.name)) == 0) missing += text(missing.empty() ? "" : ", ", wanted.name);
    if (!missing.empty())
      throw Error{"F2C520", text("the inputs are not those of '", function.name, "'"), {options.inputs}, function.takes, text("inputs without ", missing)};
    for (const InputType& wanted : function.inputs) inputs[wanted.name] = read_input(file, wanted);
  }

  NamedTensor read_input(const Safetensors& file, const InputType& wanted) const {
    const auto fail = [&](const std::string& expected, const std::string& found) {
      throw Error{"F2C705", "an input tensor cannot be used", {options.inputs, wanted.name}, expected, found};
    };
    const std::string prefixed = text("in.", wanted.name);
    const bool has_both = file.tensors.count(prefixed) != 0 && file.tensors.count(wanted.name) != 0;
    if (has_both) fail("one tensor of this name", text("both ", prefixed, " and ", wanted.name));
    const FileTensor& found = file.tensors.at(file.tensors.count(prefixed) != 0 ? prefixed : wanted.name);
    const TypeName* type = std::find_if(std::begin(type_names), std::end(type_names), [&](const TypeName& name) { return found.type == name.in_files; });
    if (type == std::end(type_names)) fail("floating-point numbers or integers", found.type);
    NamedTensor tensor = {wanted.name, type->type, found.shape, Bytes(size_t(found.bytes))};
    file.file.read(found.offset, found.bytes, tensor.bytes.data());
    const std::string name = wanted.name;
    const bool are_ids = name.size() > 4 && name.compare(name.size() - 4, 4, "_ids") == 0;
    if (are_ids && int(tensor.shape.size()) == wanted.rank + 1 && tensor.shape[0] > 0) {
      // Position ids with a batch: all rows of it must be the same, one is taken.
      const size_t row = tensor.bytes.size() / size_t(tensor.shape[0]);
      for (size_t at = row; at < tensor.bytes.size(); at++)
        if (tensor.bytes[at] != tensor.bytes[at % row]) fail("the same ids in every row of the batch", text("another id at index ", at / bytes_of(tensor.type)));
      tensor.bytes.resize(row);
      tensor.shape.erase(tensor.shape.begin());
    }
    if (int(tensor.shape.size()) != wanted.rank) fail(text(wanted.rank, " dimensions"), list(tensor.shape));
    const long long elements = count(tensor.shape);
    if (!is_float(wanted.type)) {
      for (long long at = 0; at < elements; at++) {
        const double value = load_element(tensor.type, tensor.bytes.data() + at * bytes_of(tensor.type));
        if (saturate(wanted.type, value) != value) fail(text("integers of type ", name_of(wanted.type)), text(value, " at index ", at, " of ", found.type));
      }
    }
    tensor.bytes = convert(tensor.bytes.data(), elements, tensor.type, wanted.type);
    tensor.type = wanted.type;
    return tensor;
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
      const Bytes bytes = convert(reader.read(weight, row, here).data(), here * width, weight.type, weight.storage);
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

inline void Run::launch(const Kernel& kernel, const char* label, std::initializer_list<Axis> grid, std::initializer_list<View> views,
                        std::initializer_list<long long> sizes) {
  long long blocks[3];
  for (int axis = 0; axis < 3; axis++) {
    const auto [extent, tile] = grid.begin()[axis];
    if (extent < 0) throw Error{"F2C310", "the grid of a launch is not a size", {function.name, label}, "at least 0", text(extent)};
    blocks[axis] = (extent + tile - 1) / tile;
  }
  if (blocks[0] == 0 || blocks[1] == 0 || blocks[2] == 0) return;
  last_launch = label;
  std::vector<Binding> bindings;
  std::vector<int> bases, parameters;
  for (const View& view : views) {
    const Place& place = places[view.storage];
    const long long width = bytes_of(storages[view.storage].type);
    const long long span = std::max(0LL, view.span);
    if (view.offset < 0) throw Error{"F2C310", "the offset of a view is not a size", {function.name, label}, "at least 0", text(view.offset)};
    index_of(span, label, storages[view.storage].label);
    // A view of nothing, as of no reference pictures, still needs something bound.
    const long long first = std::min(view.offset, std::max(0LL, storages[view.storage].elements - 1));
    const long long begin = first * width / alignment * alignment;
    const long long end = std::min(place.bytes, std::max(begin + 16, round_up((view.offset + span) * width, 16)));
    bindings.push_back({place.pointer + begin, end - begin});
    bases.push_back(index_of(view.offset - begin / width, label, "a base"));
  }
  for (const long long size : sizes) parameters.push_back(index_of(size, label, "a size"));
  static constexpr long long most[3] = FLUX2C_MOST_BLOCKS;
  for (int axis = 0; axis < 3; axis++)
    if (blocks[axis] > most[axis] && !kernel.can_split[axis])
      throw Error{"F2C312", "a launch does not fit the device and cannot be cut", {function.name, label, kernel.name},
                  text("at most ", most[axis], " blocks along ", "xyz"[axis]), text(blocks[axis])};
  for (long long z = 0; z < blocks[2]; z += most[2])
    for (long long y = 0; y < blocks[1]; y += most[1])
      for (long long x = 0; x < blocks[0]; x += most[0]) {
        const Piece piece = {kernel.name, label,
            {unsigned(std::min(most[0], blocks[0] - x)), unsigned(std::min(most[1], blocks[1] - y)), unsigned(std::min(most[2], blocks[2] - z))},
            {index_of(x, label, "origin x"), index_of(y, label, "origin y"), index_of(z, label, "origin z")},
            bindings, bases, parameters};
        kernel.start(piece);
        if (options.checks_launches) wait();
      }
}

}  // namespace flux2c
`;
