// SPDX-License-Identifier: Apache-2.0
// Where log lines go. The library decides what to say; the program decides where it ends up.
//
// Threading: Log may be called from any thread, also from runners: the handler must not block. SetLogHandler is called
// once, before the first runner starts. Without a handler, lines are dropped.
#pragma once

#include <cstdint>
#include <string_view>

namespace tickbridge {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

using LogHandler = void (*)(LogLevel level, std::string_view line);

void SetLogHandler(LogHandler handler) noexcept;
void Log(LogLevel level, std::string_view line) noexcept;

}  // namespace tickbridge
