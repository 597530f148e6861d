/** Files: reading ranges, SHA-256, safetensors in both directions. */
export const filesText = String.raw`
namespace flux2c {

class File {
 public:
  explicit File(const std::string& given_path) : path(given_path) {
    descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
      const std::string why = descriptor < 0 ? strerror(errno) : "not a file";
      if (descriptor >= 0) close(descriptor);
      throw Error{"F2C401", "the file cannot be opened", {path}, "", why};
    }
    size = status.st_size;
    modified = (long long)status.st_mtim.tv_sec * 1000 + (status.st_mtim.tv_nsec + 500000) / 1000000;
  }
  ~File() { close(descriptor); }
  File(const File&) = delete;

  void read(long long offset, long long length, void* to) const {
    for (long long done = 0; done < length;) {
      const size_t wanted = size_t(std::min(length - done, 1LL << 30));
      const ssize_t got = pread(descriptor, static_cast<char*>(to) + done, wanted, offset + done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Error{"F2C401", "the file cannot be read", {path}, "", strerror(errno)};
      if (got == 0)
        throw Error{"F2C402", "the file ends early", {path}, text(offset + length, " bytes"), text(offset + done, " bytes")};
      done += got;
    }
  }

  std::string path;
  long long size = 0;
  /** Milliseconds since 1970. */
  long long modified = 0;

 private:
  int descriptor = -1;
};

/** FIPS 180-4, in hexadecimal digits. */
inline std::string sha256(Bytes message) {
  static const unsigned k[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
      0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
      0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
      0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
      0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
      0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  unsigned state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const unsigned long long bits = message.size() * 8ull;
  message.push_back(0x80);
  while (message.size() % 64 != 56) message.push_back(0);
  for (int shift = 56; shift >= 0; shift -= 8) message.push_back((unsigned char)(bits >> shift));
  const auto turn = [](unsigned value, int by) { return value >> by | value << (32 - by); };
  for (size_t block = 0; block < message.size(); block += 64) {
    unsigned w[64];
    for (int i = 0; i < 16; i++) {
      const unsigned char* word = message.data() + block + 4 * i;
      w[i] = unsigned(word[0]) << 24 | unsigned(word[1]) << 16 | unsigned(word[2]) << 8 | word[3];
    }
    for (int i = 16; i < 64; i++) {
      const unsigned a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3;
      const unsigned b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    unsigned s[8];
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
      const unsigned e = turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25);
      const unsigned first = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
      const unsigned a = turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22);
      const unsigned second = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      for (int j = 7; j > 0; j--) s[j] = s[j - 1];
      s[4] += first;
      s[0] = first + second;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
  }
  char out[65];
  for (int i = 0; i < 8; i++) snprintf(out + 8 * i, 9, "%08x", state[i]);
  return out;
}

/** A tensor of a safetensors file. */
struct FileTensor {
  std::string type;
  Shape shape;
  /** From the beginning of the file. */
  long long offset = 0, bytes = 0;
};

/** Bits of an element; 0 for a type that the format does not have. */
inline int file_bits(const std::string& type) {
  static const std::map<std::string, int> bits = {
      {"BOOL", 8},    {"U8", 8},      {"I8", 8},   {"F8_E5M2", 8},     {"F8_E4M3", 8},     {"F8_E8M0", 8},
      {"F4", 4},      {"F6_E2M3", 6}, {"I16", 16}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F6_E3M2", 6},
      {"U16", 16},    {"F16", 16},    {"I32", 32}, {"BF16", 16},       {"U32", 32},        {"F32", 32},
      {"I64", 64},    {"U64", 64},    {"F64", 64}, {"C64", 64}};
  const auto found = bits.find(type);
  return found == bits.end() ? 0 : found->second;
}

constexpr long long longest_header = 100000000;

/** Length field and header, as they are in the file. */
inline Bytes read_header_bytes(const File& file) {
  const auto fail = [&](const std::string& message, const std::string& expected, const std::string& found) {
    throw Error{"F2C410", message, {file.path}, expected, found, "Check that the file is a complete safetensors file."};
  };
  if (file.size < 8) fail("the file is too short for a safetensors file", "at least 8 bytes", text(file.size, " bytes"));
  unsigned long long length = 0;
  file.read(0, 8, &length);
  if (length > (unsigned long long)(file.size - 8))
    fail("the header is longer than the file", text("at most ", file.size - 8, " bytes of header"), text(length, " bytes"));
  if (length > (unsigned long long)longest_header)
    fail("the header is too long", text("at most ", longest_header, " bytes of header"), text(length, " bytes"));
  if (length < 2) fail("the header is empty", "a JSON object", text(length, " bytes of header"));
  Bytes bytes(size_t(length) + 8);
  file.read(0, (long long)bytes.size(), bytes.data());
  return bytes;
}

/** The tensors of a file. Nothing of the file is trusted: ranges must cover its data without holes or overlaps. */
class Safetensors {
 public:
  explicit Safetensors(const std::string& path) : file(path) {
    const Bytes bytes = read_header_bytes(file);
    data_start = (long long)bytes.size();
    const std::string header_text(bytes.begin() + 8, bytes.end());
    const Json header = JsonReader(header_text, file.path).read();
    if (header.kind != Json::object)
      throw Error{"F2C411", "the header is not a JSON object", {path}, "a safetensors header: {\"name\": {\"dtype\", \"shape\", \"data_offsets\"}, ...}"};
    for (const auto& [name, entry] : header.members)
      if (name != "__metadata__") tensors[name] = read_entry(name, entry);
    check_coverage();
  }

  File file;
  std::map<std::string, FileTensor> tensors;

 private:
  long long data_start = 0;

  /** A whole number from 0 on that a double holds exactly, otherwise -1. */
  static long long size_of(const Json& json) {
    const bool whole = json.kind == Json::number && json.value >= 0 && json.value < 0x1p53 && std::trunc(json.value) == json.value;
    return whole ? (long long)json.value : -1;
  }
  static bool read_sizes(const Json* json, Shape& out) {
    if (json == nullptr || json->kind != Json::array || json->items.size() > 64) return false;
    for (const Json& item : json->items) {
      out.push_back(size_of(item));
      if (out.back() < 0) return false;
    }
    return true;
  }

  FileTensor read_entry(const std::string& name, const Json& entry) const {
    const auto fail = [&](const char* code, const std::string& message, const std::string& expected, const std::string& found = "") {
      throw Error{code, message, {file.path, name}, expected, found};
    };
    FileTensor tensor;
    Shape range;
    const Json* type = entry.find("dtype");
    if (type == nullptr || type->kind != Json::string) fail("F2C412", "the element type is malformed", "a string");
    tensor.type = type->string_value;
    const int bits = file_bits(tensor.type);
    if (bits == 0) fail("F2C412", "the element type is not known", "a type of the format, such as BF16", tensor.type);
    if (!read_sizes(entry.find("shape"), tensor.shape))
      fail("F2C412", "the shape is malformed", "at most 64 integers, none negative");
    if (!read_sizes(entry.find("data_offsets"), range) || range.size() != 2)
      fail("F2C412", "the data offsets are malformed", "two integers, none negative");
    const long long room = file.size - data_start;
    if (range[0] > range[1] || range[1] > room)
      fail("F2C413", "the data are not inside the file", text("a range within 0 .. ", room), text(range[0], " .. ", range[1]));
    double wanted = bits;
    for (const long long size : tensor.shape) {
      wanted *= double(size);
      if (wanted >= 0x1p53) fail("F2C412", "the shape is too large", "fewer than 2^53 bits", list(tensor.shape));
    }
    if (wanted != double(range[1] - range[0]) * 8)
      fail("F2C413", "the length of the data does not match type and shape",
           text((long long)(wanted / 8), " bytes for ", tensor.type, " ", list(tensor.shape)), text(range[1] - range[0], " bytes"));
    tensor.offset = data_start + range[0];
    tensor.bytes = range[1] - range[0];
    return tensor;
  }

  void check_coverage() const {
    std::vector<std::tuple<long long, long long, std::string>> ranges;
    for (const auto& [name, tensor] : tensors) ranges.emplace_back(tensor.offset, tensor.bytes, name);
    std::sort(ranges.begin(), ranges.end());
    long long covered = data_start;
    for (const auto& [offset, bytes, name] : ranges) {
      if (offset != covered)
        throw Error{"F2C413", "the data of a tensor leave a hole or overlap", {file.path, name},
                    text("data from offset ", covered - data_start, " on"), text("offset ", offset - data_start)};
      covered += bytes;
    }
    if (covered != file.size)
      throw Error{"F2C413", "the file has bytes that belong to no tensor", {file.path}, text(covered, " bytes"), text(file.size, " bytes")};
  }
};

/** A tensor with its bytes, row-major. */
struct NamedTensor {
  std::string name;
  Type type;
  Shape shape;
  Bytes bytes;
};

/** Writes a file beside the path, which takes the name when it is whole. */
inline void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  std::string header = "{";
  long long end = 0;
  for (const auto& [name, type, shape, bytes] : tensors) {
    std::string sizes = list(shape);
    sizes.erase(std::remove(sizes.begin(), sizes.end(), ' '), sizes.end());
    const long long begin = end;
    end += (long long)bytes.size();
    header += text(header.size() == 1 ? "" : ",", "\"", name, "\":{\"dtype\":\"", described(type).in_files, "\",\"shape\":", sizes,
                   ",\"data_offsets\":[", begin, ",", end, "]}");
  }
  header += "}";
  header.resize(size_t(round_up((long long)header.size(), 8)), ' ');
  const std::string temporary = text(path, ".", getpid(), ".tmp");
  FILE* out = fopen(temporary.c_str(), "wbx");
  const unsigned long long length = header.size();
  bool good = out != nullptr && fwrite(&length, 8, 1, out) == 1 && fwrite(header.data(), header.size(), 1, out) == 1;
  for (const NamedTensor& tensor : tensors)
    good = good && (tensor.bytes.empty() || fwrite(tensor.bytes.data(), tensor.bytes.size(), 1, out) == 1);
  good = good && fflush(out) == 0 && fsync(fileno(out)) == 0;
  const int reason = errno;
  if (out != nullptr) good = fclose(out) == 0 && good;
  if (good && rename(temporary.c_str(), path.c_str()) == 0) return;
  const std::string why = strerror(good ? errno : reason);
  if (out != nullptr) unlink(temporary.c_str());
  throw Error{"F2C401", "the file cannot be written", {path}, "", why};
}

}  // namespace flux2c
`;
