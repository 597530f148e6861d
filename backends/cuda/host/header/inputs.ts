/** A function's inputs, as `flux2c run` takes them. */
export const inputsText = String.raw`
namespace flux2c {

struct InputType {
  const char* name;
  Type type;
  int rank;
};

inline NamedTensor read_input(const Safetensors& file, const InputType& wanted) {
  const auto fail = [&](const std::string& expected, const std::string& found) {
    throw Error{"F2C705", "an input tensor cannot be used", {file.file.path, wanted.name}, expected, found};
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

/** The inputs of a function in the types it takes, by name; other tensors of the file are left alone. */
inline std::map<std::string, NamedTensor> read_inputs(const std::string& path, const std::vector<InputType>& inputs, const char* function,
                                                      const char* takes) {
  const Safetensors file(path);
  std::string missing;
  for (const InputType& wanted : inputs)
    if (file.tensors.count(wanted.name) + file.tensors.count(text("in.", wanted.name)) == 0) missing += text(missing.empty() ? "" : ", ", wanted.name);
  if (!missing.empty())
    throw Error{"F2C520", text("the inputs are not those of '", function, "'"), {path}, takes, text("inputs without ", missing)};
  std::map<std::string, NamedTensor> found;
  for (const InputType& wanted : inputs) found[wanted.name] = read_input(file, wanted);
  return found;
}

}  // namespace flux2c
`;
