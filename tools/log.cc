// SPDX-License-Identifier: Apache-2.0
#include "tools/log.h"

#include <pthread.h>
#include <signal.h>
#include <spdlog/async.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/log.h"

namespace tickbridge {
namespace {

constexpr size_t kQueuedLinesMax = 8192;

std::shared_ptr<spdlog::details::thread_pool> pool;
std::shared_ptr<spdlog::async_logger> logger;

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

void Write(LogLevel level, std::string_view line) {
  logger->log(LevelOf(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

Logging::Logging(std::string_view level) {
  // The writing thread takes no signals: they are for the main thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pool = std::make_shared<spdlog::details::thread_pool>(kQueuedLinesMax, 1,
                                                        [] { ::pthread_setname_np(::pthread_self(), "tb-log"); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);

  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
      std::getenv("NO_COLOR") == nullptr ? spdlog::color_mode::automatic : spdlog::color_mode::never);
  logger = std::make_shared<spdlog::async_logger>("tickbridge", std::move(sink), pool,
                                                  spdlog::async_overflow_policy::overrun_oldest);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %^%l%$ %v", spdlog::pattern_time_type::utc);
  SetLevel(level);
  SetLogHandler(&Write);
}

Logging::~Logging() {
  if (const size_t dropped = pool->overrun_counter(); dropped != 0) {
    Log(LogLevel::kWarn,
        std::to_string(dropped) + " log lines were dropped: they came faster than they could be written");
  }
  SetLogHandler(nullptr);
  logger->flush();
  pool.reset();  // writes what is queued, and joins
}

void Logging::SetLevel(std::string_view level) {
  // spdlog's own names, but for "warn", which it knows as "warning".
  logger->set_level(level == "debug"   ? spdlog::level::debug
                    : level == "warn"  ? spdlog::level::warn
                    : level == "error" ? spdlog::level::err
                                       : spdlog::level::info);
}

}  // namespace tickbridge
