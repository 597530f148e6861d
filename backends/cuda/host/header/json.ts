/** Strict JSON: what the header of a safetensors file may be. */
export const jsonText = String.raw`
namespace flux2c {

struct Json {
  enum Kind { null, boolean, number, string, array, object } kind = null;
  double value = 0;
  std::string string_value;
  std::vector<Json> items;
  /** In the order of the text; never a name twice. */
  std::vector<std::pair<std::string, Json>> members;

  const Json* find(const char* name) const {
    for (const auto& [key, member] : members)
      if (key == name) return &member;
    return nullptr;
  }
};

class JsonReader {
 public:
  JsonReader(const std::string& given_text, const std::string& given_file) : input(given_text), file(given_file) {}

  Json read() {
    const Json whole = read_value(0);
    skip_spaces();
    if (at != input.size()) fail("the end of the text");
    return whole;
  }

 private:
  const std::string& input;
  const std::string& file;
  size_t at = 0;
  static constexpr int deepest = 4;

  [[noreturn]] void fail(const std::string& expected) const {
    throw Error{"F2C411", "the header is not valid JSON", {file}, expected, text("byte ", at, " of the header")};
  }
  void skip_spaces() {
    while (at < input.size() && strchr(" \t\r\n", input[at]) != nullptr && input[at] != 0) at++;
  }
  bool take(char wanted) {
    skip_spaces();
    if (at >= input.size() || input[at] != wanted) return false;
    at++;
    return true;
  }
  bool take_word(const char* word) {
    if (input.compare(at, strlen(word), word) != 0) return false;
    at += strlen(word);
    return true;
  }

  Json read_value(int depth) {
    skip_spaces();
    if (depth > deepest) fail("less nesting");
    Json json;
    if (at >= input.size()) fail("a value");
    if (input[at] == '{') return read_object(depth);
    if (input[at] == '[') return read_array(depth);
    if (input[at] == '"') {
      json.kind = Json::string;
      json.string_value = read_string();
    } else if (take_word("null")) {
      json.kind = Json::null;
    } else if (take_word("true") || take_word("false")) {
      json.kind = Json::boolean;
    } else {
      json.kind = Json::number;
      json.value = read_number();
    }
    return json;
  }

  Json read_object(int depth) {
    Json json;
    json.kind = Json::object;
    std::set<std::string> names;
    at++;
    if (take('}')) return json;
    do {
      skip_spaces();
      if (at >= input.size() || input[at] != '"') fail("a name");
      std::string name = read_string();
      if (!names.insert(name).second) fail("the name \"" + name + "\" once");
      if (!take(':')) fail("\":\"");
      json.members.emplace_back(std::move(name), read_value(depth + 1));
    } while (take(','));
    if (!take('}')) fail("\",\" or \"}\"");
    return json;
  }

  Json read_array(int depth) {
    Json json;
    json.kind = Json::array;
    at++;
    if (take(']')) return json;
    do json.items.push_back(read_value(depth + 1));
    while (take(','));
    if (!take(']')) fail("\",\" or \"]\"");
    return json;
  }

  double read_number() {
    const size_t start = at;
    const auto digits = [this] {
      const size_t first = at;
      while (at < input.size() && input[at] >= '0' && input[at] <= '9') at++;
      if (at == first) fail("a value");
    };
    if (input[at] == '-') at++;
    const size_t whole = at;
    digits();
    if (input[whole] == '0' && at > whole + 1) fail("a number without leading zeros");
    if (at < input.size() && input[at] == '.') at++, digits();
    if (at < input.size() && (input[at] == 'e' || input[at] == 'E')) {
      at++;
      if (at < input.size() && (input[at] == '+' || input[at] == '-')) at++;
      digits();
    }
    return strtod(input.substr(start, at - start).c_str(), nullptr);
  }

  unsigned read_hex() {
    unsigned value = 0;
    for (int digit = 0; digit < 4; digit++, at++) {
      const char letter = at < input.size() ? input[at] : 0;
      const char* hex = "0123456789abcdef";
      const char* found = letter == 0 ? nullptr : strchr(hex, letter >= 'A' && letter <= 'F' ? letter + 32 : letter);
      if (found == nullptr) fail("four hexadecimal digits");
      value = value * 16 + unsigned(found - hex);
    }
    return value;
  }

  std::string read_string() {
    std::string out;
    at++;
    for (;;) {
      if (at >= input.size() || (unsigned char)input[at] < 0x20) fail("the end of a string");
      const char letter = input[at++];
      if (letter == '"') return out;
      if (letter != '\\') {
        out += letter;
        continue;
      }
      const char escape = at < input.size() ? input[at++] : 0;
      const char* plain = "\"\\/bfnrt";
      const char* place = escape == 0 ? nullptr : strchr(plain, escape);
      if (place != nullptr) {
        out += "\"\\/\b\f\n\r\t"[place - plain];
        continue;
      }
      if (escape != 'u') fail("valid escapes");
      unsigned point = read_hex();
      if (point >= 0xd800 && point < 0xdc00 && input.compare(at, 2, "\\u") == 0) {
        at += 2;
        point = 0x10000 + ((point - 0xd800) << 10) + (read_hex() - 0xdc00);
      }
      append_utf8(out, point);
    }
  }

  static void append_utf8(std::string& out, unsigned point) {
    if (point < 0x80) {
      out += char(point);
      return;
    }
    const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    out += char((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | point >> (6 * more));
    for (int left = more - 1; left >= 0; left--) out += char(0x80 | (point >> (6 * left) & 0x3f));
  }
};

}  // namespace flux2c
`;
