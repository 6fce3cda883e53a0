// SPDX-License-Identifier: Apache-2.0
#include "core/runner.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include <cerrno>
#include <future>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

// Sleeps would last 50 us longer by default.
constexpr unsigned long kTimerSlackNs = 1;

std::string CpuList(const cpu_set_t& set) {
  std::string list;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) absl::StrAppend(&list, list.empty() ? "" : ",", cpu);
  }
  return list;
}

}  // namespace

Runner::Runner(Options options, std::vector<Agent*> agents, const Clock* clock)
    : options_(std::move(options)), agents_(std::move(agents)), clock_(clock) {}

Runner::~Runner() {
  Stop();
  Join();
}

absl::Status Runner::Start() {
  if (thread_.joinable())
    return absl::FailedPreconditionError(absl::StrCat("runner ", options_.name, " was started before"));
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("runner.", options_.name, ": cannot find out which CPUs may be used"));
  }
  if (options_.cpu < -1 || options_.cpu >= CPU_SETSIZE ||
      (options_.cpu >= 0 && !CPU_ISSET(static_cast<size_t>(options_.cpu), &allowed))) {
    return absl::InvalidArgumentError(absl::StrCat("runner.", options_.name, ".cpu = ", options_.cpu,
                                                   ": this process may use the CPUs ", CpuList(allowed),
                                                   "; choose one of them, or -1 for none"));
  }
  // Signals are for the main thread: a new thread inherits the mask. Those that a fault of the thread itself raises
  // stay, so that a crash handler sees them, and so does the profiler's.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF})
    sigdelset(&blocked, signal);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  std::promise<int> prepared;
  std::future<int> error = prepared.get_future();
  absl::Status status;
  try {
    thread_ = std::thread([this, &prepared] {
      const int failure = Prepare();
      prepared.set_value(failure);  // the caller's frame may be gone from here on
      if (failure == 0) Loop();
    });
  } catch (const std::system_error& failure) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("runner ", options_.name, ": cannot start a thread: ", failure.what()));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!status.ok()) return status;
  if (const int failure = error.get(); failure != 0) {
    thread_.join();
    return absl::ErrnoToStatus(
        failure, absl::StrCat("runner.", options_.name, ".cpu = ", options_.cpu, ": cannot be pinned there"));
  }
  return absl::OkStatus();
}

void Runner::Join() {
  if (thread_.joinable()) thread_.join();
}

int Runner::Prepare() noexcept {
  pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());
  ::prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
  if (options_.cpu < 0) return 0;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(options_.cpu), &one);
  return pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

void Runner::Loop() noexcept {
  for (Agent* agent : agents_) agent->OnStart();
  IdleStrategy idle(options_.idle, options_.max_park_ns);
  uint64_t cycles = 0;
  int64_t cycle_ns_max = 0;
  MonoNs begin = clock_->Now();
  while (!stopping_.load(std::memory_order_acquire)) {  // pairs with (1)
    int work = 0;
    for (Agent* agent : agents_) work += agent->DoWork();
    const MonoNs end = clock_->Now();
    if (end - begin > cycle_ns_max) [[unlikely]] {
      cycle_ns_max = end - begin;
      cycle_ns_max_.store(cycle_ns_max, std::memory_order_relaxed);
    }
    cycles_.store(++cycles, std::memory_order_relaxed);
    idle.Idle(work);
    begin = work > 0 ? end : clock_->Now();  // a busy runner reads its clock once a cycle
  }
  for (Agent* agent : agents_) agent->OnClose();
}

}  // namespace tickbridge
