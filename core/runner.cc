// SPDX-License-Identifier: Apache-2.0
#include "core/runner.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/machine.h"

namespace tickbridge {
namespace {

// Sleeps would last 50 us longer by default.
constexpr unsigned long kTimerSlackNs = 1;

// What a refusal of SCHED_FIFO comes from, and what helps.
absl::Status PriorityProblem(int error, const std::string& name, int priority) {
  rlimit limit{};
  ::getrlimit(RLIMIT_RTPRIO, &limit);
  return absl::ErrnoToStatus(error,
                             absl::StrCat("runner.", name, ".priority = ", priority,
                                          ": this process may set real-time priorities up to ", limit.rlim_cur,
                                          " (RLIMIT_RTPRIO); raise that (ulimit -r, LimitRTPRIO= in a systemd unit) or "
                                          "give the program CAP_SYS_NICE, or set priority = 0"));
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
  if (options_.cpu != -1) {
    Cpus cpus = ReadCpus();
    if (!options_.affinity.empty()) cpus.affinity = options_.affinity;
    if (const std::string problem = CpuProblem(cpus, options_.cpu); !problem.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("runner.", options_.name, ".cpu = ", options_.cpu, ": ", problem,
                                                     "; choose another, or -1 for none"));
    }
  }
  // Signals are for the main thread: a new thread inherits the mask. Those that a fault of the thread itself raises
  // stay, so that a crash handler sees them, and so does the profiler's.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF})
    sigdelset(&blocked, signal);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  std::promise<absl::Status> prepared;
  std::future<absl::Status> outcome = prepared.get_future();
  absl::Status status;
  try {
    thread_ = std::thread([this, &prepared] {
      const absl::Status ready = Prepare();
      prepared.set_value(ready);  // the caller's frame may be gone from here on
      if (ready.ok()) Loop();
    });
  } catch (const std::system_error& failure) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("runner ", options_.name, ": cannot start a thread: ", failure.what()));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!status.ok()) return status;
  status = outcome.get();
  if (!status.ok()) thread_.join();
  return status;
}

void Runner::Join() {
  if (thread_.joinable()) thread_.join();
}

absl::Status Runner::Prepare() const {
  pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());
  ::prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
  if (options_.cpu >= 0) {
    std::vector<cpu_set_t> one(static_cast<size_t>(options_.cpu) / CPU_SETSIZE + 1);
    CPU_SET_S(static_cast<size_t>(options_.cpu), one.size() * sizeof(cpu_set_t), one.data());
    if (const int error = pthread_setaffinity_np(pthread_self(), one.size() * sizeof(cpu_set_t), one.data());
        error != 0) {
      return absl::ErrnoToStatus(error, absl::StrCat("runner.", options_.name, ".cpu = ", options_.cpu,
                                                     ": the kernel refuses it; see the cpuset of this cgroup "
                                                     "(cpuset.cpus.effective)"));
    }
  }
  if (options_.priority > 0) {
    sched_param param{};
    param.sched_priority = options_.priority;
    // What a thread of ours starts is not to have the priority by accident.
    if (::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) != 0) {
      return PriorityProblem(errno, options_.name, options_.priority);
    }
  }
  return absl::OkStatus();
}

int64_t Runner::RestNs() const noexcept {
  int64_t rest_ns = Agent::kNoSay;
  for (const Agent* agent : agents_) rest_ns = std::min(rest_ns, agent->RestNs());
  return rest_ns == Agent::kNoSay ? 0 : rest_ns;
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
    idle.Idle(work, work == 0 && options_.idle == IdleMode::kBackoff ? RestNs() : 0);
    begin = work > 0 ? end : clock_->Now();  // a busy runner reads its clock once a cycle
  }
  for (Agent* agent : agents_) agent->OnClose();
}

}  // namespace tickbridge
