/** Errors as flux2c prints them, and texts. */
export const openingText = String.raw`// What a host program of flux2c needs and no model changes: files, weights, sizes, memory and launches.
// For nvcc on Linux: CUDA 11.8 or newer, 12.0 where kernels are for sm_90a; C++17.
#pragma once

#include <cuda_runtime.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace flux2c {

using Bytes = std::vector<unsigned char>;
using Shape = std::vector<long long>;

/** What a user can cause. Codes are those of flux2c itself. */
struct Error {
  std::string code, message;
  std::vector<std::string> where = {};
  std::string expected = {}, found = {}, hint = {};
};

inline std::string format(const Error& error) {
  std::string text = "error " + error.code + ": " + error.message + "\n";
  for (size_t at = 0; at < error.where.size(); at++) text += (at == 0 ? "  in " : " › ") + error.where[at];
  if (!error.where.empty()) text += "\n";
  if (!error.expected.empty()) text += "  expected " + error.expected + "\n";
  if (!error.found.empty()) text += "  found    " + error.found + "\n";
  if (!error.hint.empty()) text += "  " + error.hint + "\n";
  return text;
}

/** The parts one after another, as a stream prints them. */
template <typename... Parts> std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

inline std::string list(const Shape& shape) {
  std::string out = "[";
  for (size_t at = 0; at < shape.size(); at++) out += text(at == 0 ? "" : ", ", shape[at]);
  return out + "]";
}

/** Elements of a tensor; 1 for a scalar. */
inline long long count(const Shape& shape) {
  long long product = 1;
  for (const long long size : shape) product *= size;
  return product;
}

inline long long round_up(long long value, long long multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace flux2c
`;
