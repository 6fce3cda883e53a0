// SPDX-License-Identifier: Apache-2.0
// Results on stdout.
#pragma once

#include <cstdio>
#include <string_view>

namespace tickbridge {

// Writes to stdout at once. False if that fails, as when nobody reads it any more.
inline bool Print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

}  // namespace tickbridge
