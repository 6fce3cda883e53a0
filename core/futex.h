// SPDX-License-Identifier: Apache-2.0
// Sleeping until a word of shared memory changes, and waking who does. Source: futex(2).
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

#include "core/types.h"

namespace tickbridge {

// Sleeps while the word is `expected`, `timeout_ns` at most. May return early for no reason. The word may lie in a
// mapping that is only read.
inline void FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns) noexcept {
  const timespec timeout{timeout_ns / kNsPerSec, timeout_ns % kNsPerSec};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, &timeout, nullptr, 0);
}

// Wakes everybody, in whatever process.
inline void FutexWakeAll(std::atomic<uint32_t>* word) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace tickbridge
