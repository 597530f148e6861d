/** Operations on small tensors that plans give to the host, by the reference semantics of ir/graph/ops: in doubles. */
export const operationsText = String.raw`
namespace flux2c {

/** Values in doubles, rounded to the type. */
struct Tensor {
  Type type;
  Shape shape;
  std::vector<double> data;
};

inline Tensor zeros(Type type, Shape shape) {
  for (const long long size : shape)
    if (size < 0) throw Error{"F2C169", "a dimension is negative for these sizes", {}, "at least 0", list(shape)};
  const size_t elements = size_t(count(shape));
  return {type, std::move(shape), std::vector<double>(elements)};
}

inline Tensor constant(Type type, Shape shape, std::initializer_list<double> values) {
  Tensor result = zeros(type, std::move(shape));
  for (size_t at = 0; at < result.data.size(); at++)
    result.data[at] = round_to(type, values.begin()[values.size() == 1 ? 0 : at]);
  return result;
}

inline Tensor iota(long long size) {
  Tensor result = zeros(Type::i32, {size});
  for (size_t at = 0; at < result.data.size(); at++) result.data[at] = double(at);
  return result;
}

inline Tensor reshape(Tensor x, Shape shape) {
  x.shape = std::move(shape);
  return x;
}

/** Float to integer keeps within the range, integer to integer wraps. */
inline Tensor cast(Tensor x, Type type) {
  const bool wraps = !is_float(type) && !is_float(x.type);
  for (double& value : x.data) {
    if (wraps && type == Type::i32) value = double(int(unsigned((long long)value)));
    else if (wraps && type == Type::u32) value = double(unsigned((long long)value));
    else if (wraps && type == Type::i8) value = double((signed char)((long long)value));
    else if (wraps && type == Type::u8) value = double((unsigned char)((long long)value));
    else if (!wraps || type != Type::i64) value = round_to(type, value);
  }
  x.type = type;
  return x;
}

/** Elements in front of and behind an axis. */
inline std::pair<long long, long long> around(const Shape& shape, int axis) {
  long long before = 1, behind = 1;
  for (int at = 0; at < int(shape.size()); at++) (at < axis ? before : behind) *= at == axis ? 1 : shape[at];
  return {before, behind};
}

inline Tensor slice(const Tensor& x, int axis, long long start, long long size) {
  if (start < 0 || size < 0 || start + size > x.shape[axis])
    throw Error{"F2C167", "slice: the slice leaves the tensor for these sizes", {"slice"},
                text("elements within 0..", x.shape[axis], " of axis ", axis), text(size, " elements from ", start)};
  Shape shape = x.shape;
  shape[axis] = size;
  Tensor result = zeros(x.type, shape);
  const auto [before, behind] = around(x.shape, axis);
  for (long long row = 0; row < before; row++)
    std::copy_n(x.data.begin() + (row * x.shape[axis] + start) * behind, size * behind, result.data.begin() + row * size * behind);
  return result;
}

inline Tensor concat(int axis, const std::vector<Tensor>& parts) {
  Shape shape = parts[0].shape;
  shape[axis] = 0;
  for (const Tensor& part : parts) shape[axis] += part.shape[axis];
  Tensor result = zeros(parts[0].type, shape);
  const auto [before, behind] = around(shape, axis);
  long long start = 0;
  for (const Tensor& part : parts) {
    const long long length = part.shape[axis] * behind;
    for (long long row = 0; row < before; row++)
      std::copy_n(part.data.begin() + row * length, length, result.data.begin() + row * shape[axis] * behind + start);
    start += length;
  }
  return result;
}

inline Tensor broadcast(const Tensor& x, const Shape& shape) {
  Tensor result = zeros(x.type, shape);
  const size_t lead = shape.size() - x.shape.size();
  for (size_t at = 0; at < result.data.size(); at++) {
    long long rest = (long long)at, place = 0, stride = 1;
    for (size_t axis = shape.size(); axis-- > lead;) {
      const long long size = x.shape[axis - lead];
      if (size != 1) place += rest % shape[axis] * stride;
      stride *= size;
      rest /= shape[axis];
    }
    result.data[at] = x.data[size_t(place)];
  }
  return result;
}

inline void check_id(double id, size_t position, long long rows, const std::string& table) {
  if (id >= 0 && id < double(rows)) return;
  throw Error{"F2C168", text("gather: the id ", id, " at position ", position, " is not in the table"), {table}, text("0..", rows - 1), text(id)};
}

/** Rows of a table; of a weight only those are read. */
inline Tensor gather_rows(Type type, const Shape& table, const std::string& name, const Tensor& ids,
                          const std::function<void(long long, double*)>& read) {
  Shape shape = ids.shape;
  shape.insert(shape.end(), table.begin() + 1, table.end());
  Tensor result = zeros(type, shape);
  const long long width = row_elements(table);
  for (size_t at = 0; at < ids.data.size(); at++) {
    check_id(ids.data[at], at, table[0], name);
    read((long long)ids.data[at], result.data.data() + at * size_t(width));
  }
  return result;
}
inline Tensor gather(const Tensor& table, const Tensor& ids) {
  return gather_rows(table.type, table.shape, "gather", ids, [&](long long row, double* to) {
    const long long width = row_elements(table.shape);
    std::copy_n(table.data.begin() + row * width, width, to);
  });
}

/** (cos, sin): angle = id of the axis * theta^(-2j / size of the axis), axes side by side. */
inline std::pair<Tensor, Tensor> rope_table(const Tensor& ids, double theta, const std::vector<int>& axis_sizes) {
  long long columns = 0;
  for (const int size : axis_sizes) columns += size / 2;
  Tensor cosines = zeros(Type::f32, {ids.shape[0], columns});
  Tensor sines = cosines;
  size_t at = 0;
  for (long long position = 0; position < ids.shape[0]; position++) {
    for (size_t axis = 0; axis < axis_sizes.size(); axis++) {
      const double id = ids.data[size_t(position) * axis_sizes.size() + axis];
      for (int i = 0; i < axis_sizes[axis]; i += 2, at++) {
        const double angle = id * (1 / std::pow(theta, double(i) / axis_sizes[axis]));
        cosines.data[at] = float(std::cos(angle));
        sines.data[at] = float(std::sin(angle));
      }
    }
  }
  return {cosines, sines};
}

/** Every step rounded to f32: the roundings are part of the function, as diffusers computes it. */
inline Tensor timestep_embedding(const Tensor& t, int size, double max_period, double scale) {
  Tensor result = zeros(Type::f32, {t.shape[0], size});
  const int half = size / 2;
  const float negative_log = float(-std::log(max_period));
  for (size_t row = 0; row < t.data.size(); row++) {
    const float scaled = float(double(float(t.data[row])) * double(float(scale)));
    for (int i = 0; i < half; i++) {
      const float exponent = float(double(float(double(negative_log) * i)) / half);
      const float argument = float(double(scaled) * double(float(std::exp(double(exponent)))));
      result.data[row * size_t(size) + i] = float(std::cos(double(argument)));
      result.data[row * size_t(size) + half + i] = float(std::sin(double(argument)));
    }
  }
  return result;
}

}  // namespace flux2c
`;
