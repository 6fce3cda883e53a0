// SPDX-License-Identifier: Apache-2.0
#include "tools/signals.h"

#include <signal.h>
#include <time.h>

#include "core/types.h"

namespace tickbridge {
namespace {
sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}
}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // Writing to a closed pipe is an error where it happens, not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
}

bool StopSignals::Wait(int64_t ns) {
  const sigset_t set = StopSet();
  const timespec timeout{ns / kNsPerSec, static_cast<long>(ns % kNsPerSec)};
  if (::sigtimedwait(&set, nullptr, &timeout) > 0) came_ = true;
  return came_;
}

}  // namespace tickbridge
