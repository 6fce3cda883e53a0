// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share. A target is one function that libFuzzer calls with bytes, and that traps when a promise
// is broken; built without libFuzzer, replay_main.cc calls it with every file of the corpus instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

// 0, always: libFuzzer keeps other answers to itself.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes);

namespace tickbridge::fuzz {

// Says which promise was broken, and ends the process so that a fuzzer keeps the input.
[[noreturn]] inline void Fail(std::string_view promise, std::string_view detail = "") {
  std::fprintf(stderr, "fuzz: broken: %.*s\n%.*s\n", static_cast<int>(promise.size()), promise.data(),
               static_cast<int>(detail.size()), detail.data());
  std::fflush(stderr);
  __builtin_trap();
}

// For what has no more to say than that.
inline void Require(bool holds, std::string_view promise) {
  if (!holds) [[unlikely]]
    Fail(promise);
}

// The bytes as text that can be shown: one line, and nothing that a terminal would obey.
inline std::string Shown(std::string_view bytes) {
  std::string shown;
  for (const char c : bytes) {
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      shown += c;
    } else {
      char escape[5];
      std::snprintf(escape, sizeof(escape), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      shown += escape;
    }
  }
  return shown;
}

inline std::string_view AsText(const uint8_t* data, size_t bytes) {
  return bytes == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char*>(data), bytes);
}

}  // namespace tickbridge::fuzz
