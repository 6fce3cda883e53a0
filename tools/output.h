// SPDX-License-Identifier: Apache-2.0
// Results on stdout.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace tickbridge {

// Writes to stdout at once. False, with errno, if that fails, as when nobody reads it any more.
inline bool Print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

// The same, and says on stderr if it fails.
inline bool PrintOrExplain(std::string_view text) {
  if (Print(text)) return true;
  std::fprintf(stderr, "tickbridge: cannot write to stdout: %s\n", std::strerror(errno));
  return false;
}

}  // namespace tickbridge
