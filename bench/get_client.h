// SPDX-License-Identifier: Apache-2.0
// A second client, which reads while others write: GET of random keys, so many a second, and how long each took.
//
// Threading: a process of its own, which it makes a real-time one where it may: it is seldom there, and when its answer
// is, nobody is to keep it from being read. The server is what is measured.
#pragma once

#include <hiredis/hiredis.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/histogram.h"

namespace tickbridge {

inline void SleepUntil(MonoNs time) {
  const timespec at{time.value / kNsPerSec, time.value % kNsPerSec};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

// False: the server does not answer.
inline bool MeasureGets(redisContext* context, const std::vector<std::string>& keys, MonoNs begin, double seconds,
                        double rate, Histogram* latency) {
  const sched_param priority{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_FIFO, &priority);
  ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  std::minstd_rand random(1);
  const auto count = static_cast<uint64_t>(seconds * rate);
  MonoNs answered = begin;
  for (uint64_t i = 0; i < count; ++i) {
    const MonoNs due = begin + static_cast<int64_t>(static_cast<double>(i) * 1e9 / rate);
    SleepUntil(due);
    // Late because of the server: that counts. Late because it was woken late: that does not.
    const MonoNs from = answered > due ? due : SystemClock::ReadMonotonic();
    auto* const reply = static_cast<redisReply*>(redisCommand(context, "GET %s", keys[random() % keys.size()].c_str()));
    if (reply == nullptr || reply->type == REDIS_REPLY_ERROR) return false;
    freeReplyObject(reply);
    answered = SystemClock::ReadMonotonic();
    latency->Record(answered - from);
  }
  return true;
}

}  // namespace tickbridge
