/** Weights: which files, and how packed ones are put together while they are read. */
export const weightsText = String.raw`
namespace flux2c {

/** As the artifact's manifest says. */
struct WeightFile {
  /** Absolute, or relative to the artifact. */
  const char* path;
  long long bytes;
  /** Milliseconds since 1970; 0 for files inside the artifact, which may be copied. */
  long long modified;
  /** Of length field and header. */
  const char* header_sha256;
};

struct FileRange {
  int file;
  long long offset, bytes;
};

/** A tensor of a checkpoint: ranges of files, one after another. */
struct StoredTensor {
  const char* name;
  Type type;
  Shape shape;
  std::vector<FileRange> parts;
};

/** Where a weight's numbers come from: a stored tensor, others packed, or what rows are quantised to. Rows are indices of the first axis. */
struct Source {
  enum Kind { stored, concat, interleave, sliced, permuted, upsampled, quantized, scales } kind;
  Shape shape;
  int tensor = -1;
  std::vector<Source> parts = {};
  /** Rows taken in turn; of a slice, the first one. */
  long long group = 0;
  std::vector<int> permutation = {};
};

inline Source tensor(Shape shape, int index) { return {Source::stored, std::move(shape), index}; }
/** The parts' rows one after another. */
inline Source concat_rows(Shape shape, std::vector<Source> parts) {
  return {Source::concat, std::move(shape), -1, std::move(parts)};
}
/** Rows taken in turn, group from each part. */
inline Source interleave_rows(Shape shape, long long group, std::vector<Source> parts) {
  return {Source::interleave, std::move(shape), -1, std::move(parts), group};
}
/** Rows of another source from start on. */
inline Source slice_rows(Shape shape, long long start, Source of) {
  return {Source::sliced, std::move(shape), -1, {std::move(of)}, start};
}
inline Source permute(Shape shape, std::vector<int> permutation, Source of) {
  return {Source::permuted, std::move(shape), -1, {std::move(of)}, 0, std::move(permutation)};
}

/** Filters of 2 x 2 for each of four positions in turn, sums of those of 3 x 3. */
inline Source upsampled_filters(Shape shape, Source of) { return {Source::upsampled, std::move(shape), -1, {std::move(of)}}; }
/** Rows in f8e4m3, and what they were divided by. */
inline Source quantize_rows(Shape shape, Source of) { return {Source::quantized, std::move(shape), -1, {std::move(of)}}; }
inline Source row_scales(Shape shape, Source of) { return {Source::scales, std::move(shape), -1, {std::move(of)}}; }

struct Weight {
  const char* name;
  /** As declared, and as kernels read it. */
  Type type, storage;
  Source source;
};

inline long long rows_of(const Shape& shape) { return shape.empty() ? 1 : shape[0]; }
inline long long row_elements(const Shape& shape) {
  long long product = 1;
  for (size_t axis = 1; axis < shape.size(); axis++) product *= shape[axis];
  return product;
}
/** Whether reading a row takes reading all of them. */
inline bool moves_rows(const Source& source) {
  if (source.kind == Source::permuted && source.permutation[0] != 0) return true;
  return std::any_of(source.parts.begin(), source.parts.end(), moves_rows);
}

/** A row-major array of shape from, its axes in another order. */
inline void permute_elements(const unsigned char* from, const Shape& shape, const std::vector<int>& permutation, int width,
                             unsigned char* to) {
  const size_t rank = shape.size();
  Shape strides(rank, 1), sizes(rank), steps(rank), index(rank, 0);
  for (size_t axis = rank; axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  for (size_t axis = 0; axis < rank; axis++) {
    sizes[axis] = shape[permutation[axis]];
    steps[axis] = strides[permutation[axis]];
  }
  const long long elements = count(shape);
  long long place = 0;
  for (long long at = 0; at < elements; at++) {
    memcpy(to + at * width, from + place * width, size_t(width));
    for (size_t axis = rank; axis-- > 0;) {
      place += steps[axis];
      if (++index[axis] < sizes[axis]) break;
      place -= steps[axis] * sizes[axis];
      index[axis] = 0;
    }
  }
}

/** Reads weights out of the artifact's files, which are checked when they are first needed. */
class WeightReader {
 public:
  WeightReader(const std::string& given_folder, const std::vector<WeightFile>& given_files, const std::vector<StoredTensor>& given_tensors)
      : folder(given_folder), files(given_files), tensors(given_tensors), open_files(given_files.size()) {}

  /** Opens and checks every file that the weight is in. */
  void check(const Source& source) {
    if (source.kind == Source::stored)
      for (const FileRange& part : tensors[source.tensor].parts) file_of(part, tensors[source.tensor]);
    for (const Source& part : source.parts) check(part);
  }

  /** Rows of a weight in its declared type. */
  Bytes read(const Weight& weight, long long first, long long rows) {
    Bytes out(size_t(rows * row_elements(weight.source.shape)) * bytes_of(weight.type));
    read_rows(weight.source, weight.type, first, rows, out.data());
    return out;
  }

 private:
  const std::string folder;
  const std::vector<WeightFile>& files;
  const std::vector<StoredTensor>& tensors;
  std::vector<std::unique_ptr<File>> open_files;

  const File& file_of(const FileRange& part, const StoredTensor& stored) {
    std::unique_ptr<File>& file = open_files[part.file];
    if (file == nullptr) file = open_checked(files[part.file], stored.name);
    return *file;
  }

  std::unique_ptr<File> open_checked(const WeightFile& described, const char* wanted) const {
    const std::string path = described.path[0] == '/' ? described.path : folder + "/" + described.path;
    const auto fail = [&](const std::string& expected, const std::string& found) {
      throw Error{"F2C535", "a file with weights is missing or has changed since the artifact was compiled", {path, wanted}, expected,
                  found, "Compile the model again, or with --pack-weights to make the artifact independent of other files."};
    };
    std::unique_ptr<File> file;
    try {
      file = std::make_unique<File>(path);
    } catch (const Error& error) {
      fail(text(described.bytes, " bytes"), error.found);
    }
    if (file->size != described.bytes) fail(text(described.bytes, " bytes"), text(file->size, " bytes"));
    // Node.js rounds times as doubles.
    if (described.modified != 0 && std::abs(file->modified - described.modified) > 1)
      fail(text("a file last written at ", described.modified, " ms since 1970"), text(file->modified, " ms"));
    std::string found = "no safetensors header";
    try {
      found = sha256(read_header_bytes(*file));
    } catch (const Error&) {
    }
    if (found != described.header_sha256)
      fail(text("a header with the SHA-256 ", std::string(described.header_sha256).substr(0, 12), "..."), found);
    return file;
  }

  void read_rows(const Source& source, Type type, long long first, long long rows, unsigned char* to) {
    const long long row_bytes = row_elements(source.shape) * bytes_of(type);
    switch (source.kind) {
      case Source::quantized:
      case Source::scales: return read_quantized(source, first, rows, to);
      case Source::upsampled: return read_upsampled(source, type, first, rows, to);
      case Source::stored: return read_stored(source, type, first, rows, to);
      case Source::concat: {
        long long start = 0;
        for (const Source& part : source.parts) {
          const long long here = rows_of(part.shape);
          const long long from = std::max(first, start), end = std::min(first + rows, start + here);
          if (from < end) read_rows(part, type, from - start, end - from, to + (from - first) * row_bytes);
          start += here;
        }
        return;
      }
      case Source::interleave: {
        const long long turn = source.group * (long long)source.parts.size();
        for (long long row = first; row < first + rows;) {
          const long long in_turn = row % turn;
          const long long in_group = in_turn % source.group;
          const long long here = std::min(source.group - in_group, first + rows - row);
          const Source& part = source.parts[size_t(in_turn / source.group)];
          read_rows(part, type, row / turn * source.group + in_group, here, to + (row - first) * row_bytes);
          row += here;
        }
        return;
      }
      case Source::sliced: return read_rows(source.parts[0], type, source.group + first, rows, to);
      case Source::permuted: {
        const Source& of = source.parts[0];
        const bool keeps_rows = source.permutation[0] == 0;
        Shape shape = of.shape;
        if (keeps_rows) shape[0] = rows;
        Bytes whole(size_t(count(shape)) * bytes_of(type)), moved(whole.size());
        read_rows(of, type, keeps_rows ? first : 0, shape[0], whole.data());
        permute_elements(whole.data(), shape, source.permutation, bytes_of(type), moved.data());
        memcpy(to, moved.data() + (keeps_rows ? 0 : first * row_bytes), size_t(rows * row_bytes));
      }
    }
  }

  /** Filter by filter: taps of 3 x 3 that fall on one pixel of 2 x 2, added up in double precision. */
  void read_upsampled(const Source& source, Type type, long long first, long long rows, unsigned char* to) {
    static const int first_tap[2][2] = {{0, 1}, {0, 2}}, last_tap[2][2] = {{0, 2}, {1, 2}};
    const Source& of = source.parts[0];
    const long long filters = rows_of(of.shape), channels = of.shape[3];
    std::vector<float> taps(size_t(9 * channels)), sums(size_t(4 * channels));
    for (long long row = first; row < first + rows; row++) {
      const int phase = int(row / filters);
      read_rows(of, Type::f32, row % filters, 1, reinterpret_cast<unsigned char*>(taps.data()));
      for (int place = 0; place < 4; place++) {
        for (long long channel = 0; channel < channels; channel++) {
          double sum = 0;
          for (int dy = first_tap[phase >> 1][place >> 1]; dy <= last_tap[phase >> 1][place >> 1]; dy++)
            for (int dx = first_tap[phase & 1][place & 1]; dx <= last_tap[phase & 1][place & 1]; dx++)
              sum += taps[size_t((3 * dy + dx) * channels + channel)];
          sums[size_t(place * channels + channel)] = float(sum);
        }
      }
      const long long row_bytes = 4 * channels * bytes_of(type);
      unsigned char* out = to + (row - first) * row_bytes;
      if (type == Type::f32) memcpy(out, sums.data(), size_t(row_bytes));
      else memcpy(out, convert(reinterpret_cast<unsigned char*>(sums.data()), 4 * channels, Type::f32, type).data(), size_t(row_bytes));
    }
  }

  /** A piece at a time: what is quantised takes four bytes an element. */
  void read_quantized(const Source& source, long long first, long long rows, unsigned char* to) {
    const Source& of = source.parts[0];
    const long long size = row_elements(of.shape);
    const long long fitting = std::max(1LL, (64LL << 20) / std::max(1LL, 4 * size));
    const long long step = moves_rows(of) ? rows : fitting;
    for (long long start = 0; start < rows; start += step) {
      const long long here = std::min(step, rows - start);
      std::vector<float> numbers(size_t(here * size));
      read_rows(of, Type::f32, first + start, here, reinterpret_cast<unsigned char*>(numbers.data()));
      for (long long row = 0; row < here; row++) {
        const float* elements = numbers.data() + row * size;
        const float scale = scale_of_row(elements, size);
        if (source.kind == Source::scales) {
          memcpy(to + 4 * (start + row), &scale, 4);
          continue;
        }
        for (long long at = 0; at < size; at++) to[(start + row) * size + at] = f8e4m3_of(elements[at] / scale);
      }
    }
  }

  void read_stored(const Source& source, Type type, long long first, long long rows, unsigned char* to) {
    const StoredTensor& stored = tensors[source.tensor];
    const long long width = bytes_of(stored.type) * row_elements(source.shape);
    Bytes raw(type == stored.type ? 0 : size_t(rows * width));
    unsigned char* into = type == stored.type ? to : raw.data();
    const long long begin = first * width, end = begin + rows * width;
    long long start = 0;
    for (const FileRange& part : stored.parts) {
      const long long from = std::max(begin, start), till = std::min(end, start + part.bytes);
      if (from < till) file_of(part, stored).read(part.offset + from - start, till - from, into + (from - begin));
      start += part.bytes;
    }
    if (type == stored.type) return;
    const Bytes converted = convert(raw.data(), rows * row_elements(source.shape), stored.type, type);
    memcpy(to, converted.data(), converted.size());
  }
};

}  // namespace flux2c
`;
