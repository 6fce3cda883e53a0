// SPDX-License-Identifier: Apache-2.0
// A mutator for text that is made of tokens: members, values, lines. libFuzzer's own work on bytes, and seldom write
// the same member twice or give two keys one value. So half of the time some tokens are copied to another place,
// instead of what stands there or before it, or are dropped.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/fuzz/fuzz.h"

// libFuzzer's.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t bytes, size_t bytes_max);

namespace tickbridge::fuzz {
namespace {

using Random = std::minstd_rand;

size_t Below(size_t limit, Random* random) { return std::uniform_int_distribution<size_t>(0, limit - 1)(*random); }

// Where the tokens begin, and the end. A delimiter is a token by itself.
std::vector<size_t> Bounds(std::string_view text) {
  constexpr std::string_view kDelimiters = ",:=\n{}[]";
  std::vector<size_t> bounds = {0};
  for (size_t i = 0; i < text.size(); ++i) {
    if (kDelimiters.find(text[i]) == std::string_view::npos) continue;
    if (i != bounds.back()) bounds.push_back(i);
    bounds.push_back(i + 1);
  }
  if (bounds.back() != text.size()) bounds.push_back(text.size());
  return bounds;
}

// A few neighbouring tokens, mostly one, or a member with what separates it.
std::pair<size_t, size_t> Some(const std::vector<size_t>& bounds, Random* random) {
  constexpr size_t kTokensMax = 6;
  const size_t first = Below(bounds.size() - 1, random);
  const size_t count = Below(2, random) == 0 ? 1 : 1 + Below(kTokensMax, random);
  return {bounds[first], bounds[std::min(first + count, bounds.size() - 1)]};
}

// Some of `text` is dropped, or tokens of `other` come before it or in its place. Both have at least one.
std::string Mutated(std::string_view text, std::string_view other, Random* random) {
  const auto [from, from_end] = Some(Bounds(other), random);
  const auto [to, to_end] = Some(Bounds(text), random);
  std::string result(text);
  switch (Below(5, random)) {
    case 0:
      return result.erase(to, to_end - to);
    case 1:
      return result.insert(to, other.substr(from, from_end - from));
    default:
      return result.replace(to, to_end - to, other.substr(from, from_end - from));
  }
}

// At most `bytes_max` of it.
size_t Give(std::string_view text, uint8_t* out, size_t bytes_max) {
  const size_t bytes = std::min(text.size(), bytes_max);
  std::copy_n(text.begin(), bytes, out);
  return bytes;
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t bytes, size_t bytes_max, unsigned seed) {
  namespace fuzz = tickbridge::fuzz;
  fuzz::Random random(seed);
  if (bytes == 0 || fuzz::Below(2, &random) == 0) return LLVMFuzzerMutate(data, bytes, bytes_max);
  const std::string_view text = fuzz::AsText(data, bytes);
  return fuzz::Give(fuzz::Mutated(text, text, &random), data, bytes_max);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data, size_t bytes, const uint8_t* other, size_t other_bytes,
                                            uint8_t* out, size_t bytes_max, unsigned seed) {
  namespace fuzz = tickbridge::fuzz;
  fuzz::Random random(seed);
  const std::string_view text = fuzz::AsText(data, bytes);
  if (bytes == 0 || other_bytes == 0) return fuzz::Give(text, out, bytes_max);
  return fuzz::Give(fuzz::Mutated(text, fuzz::AsText(other, other_bytes), &random), out, bytes_max);
}
