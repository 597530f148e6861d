/** The command line of a host program. */
export const mainText = String.raw`
namespace flux2c {

inline std::string usage(const Program& program) {
  std::string out = "usage: host FUNCTION --inputs FILE --outputs FILE [options]\n\nFunctions:\n";
  for (const Function& function : program.functions)
    out += text("  ", function.name, "\n    takes ", function.takes, "\n    gives ", function.gives, "\n");
  return out +
         "\nInputs are named NAME or in.NAME, results are written as out.NAME.\n\n"
         "Options:\n"
         "  --inputs FILE     safetensors with the inputs\n"
         "  --outputs FILE    safetensors to write the results to\n"
         "  --artifact DIR    the artifact whose weights to load (default: the folder of this program)\n"
         "  --device NUMBER   which GPU (default: 0)\n"
         "  --check-launches  wait for every launch, so that a failure names it\n"
         "  --quiet           no figures and no progress\n"
         "  --help            this text\n";
}

inline std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

inline std::string own_folder(const char* started_as) {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return folder_of(length > 0 && length < ssize_t(sizeof path) ? std::string(path, size_t(length)) : started_as);
}

inline Options read_options(int count, char** arguments) {
  Options options;
  const auto fail = [](const std::string& message, const std::string& found) {
    throw Error{"F2C701", message, {}, "", found, "See --help."};
  };
  for (int at = 1; at < count; at++) {
    const std::string name = arguments[at];
    const auto value = [&]() -> std::string {
      if (at + 1 >= count) fail("the option needs a value", name);
      return arguments[++at];
    };
    if (name == "--inputs") options.inputs = value();
    else if (name == "--outputs") options.outputs = value();
    else if (name == "--artifact") options.artifact = value();
    else if (name == "--quiet") options.is_quiet = true;
    else if (name == "--check-launches") options.checks_launches = true;
    else if (name == "--device") {
      const std::string number = value();
      char* end = nullptr;
      options.device = int(strtol(number.c_str(), &end, 10));
      if (number.empty() || *end != 0 || options.device < 0) fail("--device needs a number", number);
    } else if (name.rfind("--", 0) == 0) fail("unknown option", name);
    else if (!options.function.empty()) fail("more than one function", name);
    else options.function = name;
  }
  if (options.artifact.empty()) options.artifact = own_folder(arguments[0]);
  if (options.inputs.empty()) fail("--inputs is missing", "none");
  if (options.outputs.empty()) fail("--outputs is missing", "none");
  return options;
}

inline const Function& find_function(const Program& program, const std::string& name) {
  std::string known;
  for (const Function& function : program.functions) {
    if (name == function.name) return function;
    known += text(known.empty() ? "" : ", ", function.name);
  }
  throw Error{"F2C618", "the artifact has no such function", {}, known, name.empty() ? "none" : name, "See --help."};
}

inline int main(int count, char** arguments, const Program& program) {
  for (int at = 1; at < count; at++) {
    if (strcmp(arguments[at], "--help") != 0) continue;
    fputs(usage(program).c_str(), stdout);
    return 0;
  }
  try {
    const Options options = read_options(count, arguments);
    const Function& function = find_function(program, options.function);
    struct stat status;
    if (stat(folder_of(options.outputs).c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
      throw Error{"F2C707", "the folder of the output does not exist", {options.outputs}};
    Run run(program, function, options);
    function.run(run);
    run.finish();
    return 0;
  } catch (const Error& error) {
    fputs(format(error).c_str(), stderr);
  } catch (const std::bad_alloc&) {
    fputs(format({"F2C501", "the computer is out of memory"}).c_str(), stderr);
  }
  return 1;
}

}  // namespace flux2c
`;
