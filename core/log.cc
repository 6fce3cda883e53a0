// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <atomic>

namespace tickbridge {
namespace {
std::atomic<LogHandler> log_handler{nullptr};
}

// Release (1) pairs with acquire (2): what the handler uses was built before it was set.
void SetLogHandler(LogHandler handler) noexcept { log_handler.store(handler, std::memory_order_release); }  // (1)

void Log(LogLevel level, std::string_view line) noexcept {
  if (const LogHandler handler = log_handler.load(std::memory_order_acquire)) handler(level, line);  // (2)
}

}  // namespace tickbridge
