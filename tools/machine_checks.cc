// SPDX-License-Identifier: Apache-2.0
#include "tools/machine_checks.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/counters.h"
#include "core/latest_table.h"
#include "core/shared_table.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCpuFolder = "/sys/devices/system/cpu/";
// An idle state that takes longer to leave is felt by a runner that sleeps.
constexpr int64_t kExitLatencyUsMax = 10;
constexpr uint64_t kFilesMin = 1024;  // connections of feeds, and what the process itself needs
constexpr uint64_t kReceiveBufferMin = uint64_t{4} << 20;

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int> Common(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

std::vector<int> Without(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> rest;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(rest));
  return rest;
}

// The word in brackets of "always [madvise] never".
std::string Chosen(const std::string& text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']', open);
  return open == std::string::npos || close == std::string::npos ? text : text.substr(open + 1, close - open - 1);
}

// The value of a kernel parameter such as nohz_full=, "" if it was not given.
std::string KernelParameter(const std::string& command_line, std::string_view name) {
  for (const std::string_view word : absl::StrSplit(command_line, ' ', absl::SkipEmpty())) {
    if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=') {
      return std::string(word.substr(name.size() + 1));
    }
  }
  return "";
}

class Checker {
 public:
  explicit Checker(const MachineQuestion& question) : q_(question), config_(*question.config) {
    for (const RunnerConfig& runner : config_.runners) {
      if (runner.cpu >= 0) pinned_.push_back(runner.cpu);
      if (runner.idle != "backoff") ++spinning_;
    }
    std::sort(pinned_.begin(), pinned_.end());
    pinned_.erase(std::unique(pinned_.begin(), pinned_.end()), pinned_.end());
    // Where no runner is pinned, they may be anywhere.
    matter_ = pinned_.empty() ? q_.cpus.online : pinned_;
  }

  Findings Run() {
    Kernel();
    CpuCount();
    CpuQuota();
    Frequency();
    Siblings();
    Isolation();
    IdleStates();
    ClockSource();
    Limits();
    RealtimeThrottle();
    TransparentHugePages();
    ReservedHugePages();
    Swapping();
    Numa();
    Interrupts();
    Nics();
    Sockets();
    SharedMemory();
    return std::move(findings_);
  }

 private:
  void Kernel();
  void CpuCount();
  void CpuQuota();
  void Frequency();
  void Siblings();
  void Isolation();
  void IdleStates();
  void ClockSource();
  void Limits();
  void RealtimeThrottle();
  void TransparentHugePages();
  void ReservedHugePages();
  void Swapping();
  void Numa();
  void Interrupts();
  void Nics();
  void Sockets();
  void SharedMemory();

  std::string Read(const std::string& path) const { return ReadLine(q_.root + path); }
  std::optional<int64_t> Number(const std::string& path) const {
    int64_t value = 0;
    if (!absl::SimpleAtoi(Read(path), &value)) return std::nullopt;
    return value;
  }
  std::vector<int> List(const std::string& path) const { return ParseCpuList(Read(path)).value_or(std::vector<int>()); }
  // The soft limit of a line of /proc/self/limits; nothing: unlimited. `known` is false where there is no such line.
  std::optional<uint64_t> Limit(std::string_view name, bool* known) const;

  void Add(std::string check, Severity severity, std::string seen, std::string cost = "", std::string fix = "") {
    findings_.push_back({std::move(check), severity, std::move(seen), std::move(cost), std::move(fix)});
  }
  void Ok(std::string check, std::string seen) { Add(std::move(check), Severity::kOk, std::move(seen)); }
  std::string Which() const { return pinned_.empty() ? "" : " on the pinned CPUs " + FormatCpuList(pinned_); }

  const MachineQuestion& q_;
  const Config& config_;
  std::vector<int> pinned_;
  std::vector<int> matter_;
  size_t spinning_ = 0;
  Findings findings_;
};

void Checker::Kernel() {
  const std::vector<std::string> words = absl::StrSplit(Read("/proc/version"), ' ');
  const std::string version = words.size() > 2 ? words[2] : "unknown";
  const bool realtime = Read("/sys/kernel/realtime") == "1";
  Ok("kernel.version", absl::StrCat("Linux ", version, realtime ? ", PREEMPT_RT" : ""));
  std::ifstream in(q_.root + "/proc/cpuinfo");
  bool virtual_machine = false;
  for (std::string line; !virtual_machine && std::getline(in, line);) {
    virtual_machine = line.starts_with("flags") && absl::StrContains(line, " hypervisor");
  }
  if (!virtual_machine) return Ok("kernel.virtual", "no virtual machine");
  // cpu user nice system idle iowait irq softirq steal
  const std::vector<std::string> all = absl::StrSplit(Read("/proc/stat"), '\n');
  const std::vector<std::string> fields = absl::StrSplit(all.front(), ' ', absl::SkipEmpty());
  uint64_t total = 0;
  uint64_t stolen = 0;
  for (size_t i = 1; i < std::min<size_t>(fields.size(), 9); ++i) {
    uint64_t ticks = 0;
    if (!absl::SimpleAtoi(fields[i], &ticks)) continue;
    total += ticks;
    if (i == 8) stolen = ticks;
  }
  Add("kernel.virtual", Severity::kWarn,
      absl::StrCat("a virtual machine; ", total == 0 ? 0 : stolen * 100 / total,
                   " % of its time since boot was taken by the host"),
      "the host may stop any CPU at any moment, and pinning holds only inside",
      "use a physical host, or CPUs dedicated to this guest");
}

void Checker::CpuCount() {
  const std::string seen = absl::StrCat(q_.cpus.online.size(), " CPUs online, ", q_.cpus.affinity.size(),
                                        " for this process, ", spinning_, " runners that never sleep");
  if (spinning_ >= std::max<size_t>(q_.cpus.affinity.size(), 1)) {
    Add("cpu.count", Severity::kBad, seen, "they leave no CPU to Redis, the kernel and the other threads",
        "fewer [[runner]], or idle = \"backoff\"");
  } else if (spinning_ > 0 && pinned_.empty()) {
    Add("cpu.count", Severity::kWarn, seen, "runners that never sleep and have no CPU of their own are moved about",
        "set runner.NAME.cpu");
  } else {
    Ok("cpu.count", seen);
  }
}

// What the cgroup of this process, or one above it, may use of each period (version 2: "200000 100000" is two CPUs).
void Checker::CpuQuota() {
  const std::vector<std::string> lines = absl::StrSplit(Read("/proc/self/cgroup"), '\n');
  const auto own =
      std::find_if(lines.begin(), lines.end(), [](const std::string& line) { return line.starts_with("0::/"); });
  if (own == lines.end()) return;
  const fs::path top = "/sys/fs/cgroup";
  for (fs::path folder = top / own->substr(4);; folder = folder.parent_path()) {
    const std::string file = folder / "cpu.max";
    const std::vector<std::string> words = absl::StrSplit(Read(file), ' ');
    int64_t quota_us = 0;
    if (words.size() == 2 && absl::SimpleAtoi(words.front(), &quota_us)) {
      return Add(
          "cpu.quota", spinning_ > 0 ? Severity::kBad : Severity::kWarn,
          absl::StrCat(file, ": ", quota_us, " us of each ", words.back(), " us"),
          "once they are used up, every thread stands still until the period ends",
          absl::StrCat("echo max > ", file, "; a container without a CPU limit, a systemd unit without CPUQuota="));
    }
    if (folder == top || !folder.has_relative_path()) break;
  }
  Ok("cpu.quota", "no quota of the cgroup");
}

void Checker::Frequency() {
  std::vector<int> saving;
  std::vector<int> varying;
  std::string governor;
  std::string driver;
  for (const int cpu : matter_) {
    const std::string folder = absl::StrCat(kCpuFolder, "cpu", cpu, "/cpufreq/");
    const std::string now = Read(folder + "scaling_governor");
    if (now.empty()) continue;
    driver = Read(folder + "scaling_driver");
    if (now != "performance" || governor.empty()) governor = now;
    if (now != "performance") saving.push_back(cpu);
    if (Read(folder + "scaling_min_freq") != Read(folder + "scaling_max_freq")) varying.push_back(cpu);
  }
  if (governor.empty())
    return Add("cpu.governor", Severity::kInfo, "no frequency scaling to be seen (a host or firmware decides)");
  if (!saving.empty()) {
    Add("cpu.governor", Severity::kBad,
        absl::StrCat("governor ", governor, " (", driver, ") on CPUs ", FormatCpuList(saving)),
        "a CPU that was idle is slow for its first ticks", "cpupower frequency-set -g performance");
  } else {
    Ok("cpu.governor", absl::StrCat("governor performance (", driver, ")", Which()));
  }
  if (!varying.empty()) {
    Add("cpu.frequency", Severity::kInfo, absl::StrCat("the frequency may change on CPUs ", FormatCpuList(varying)),
        "each change stops the CPU for a moment",
        "cpupower frequency-set -d FREQUENCY -u FREQUENCY, at one it can hold");
  }
  const std::string no_turbo = Read(absl::StrCat(kCpuFolder, "intel_pstate/no_turbo"));
  const std::string boost = Read(absl::StrCat(kCpuFolder, "cpufreq/boost"));
  if (no_turbo == "0" || boost == "1") {
    Add("cpu.boost", Severity::kInfo, "turbo is on", "faster on average, less even: it depends on what other cores do",
        no_turbo == "0" ? "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo"
                        : "echo 0 > /sys/devices/system/cpu/cpufreq/boost");
  }
}

void Checker::Siblings() {
  std::vector<std::string> shared;
  for (const int cpu : pinned_) {
    const std::vector<int> others = Without(
        Common(List(absl::StrCat(kCpuFolder, "cpu", cpu, "/topology/thread_siblings_list")), q_.cpus.online), {cpu});
    if (!others.empty()) shared.push_back(absl::StrCat(cpu, " with ", FormatCpuList(others)));
  }
  if (pinned_.empty()) return;
  if (shared.empty()) return Ok("cpu.siblings", "the pinned CPUs have a core each: " + FormatCpuList(pinned_));
  Add("cpu.siblings", Severity::kWarn, absl::StrCat("pinned CPUs share their core: ", absl::StrJoin(shared, ", ")),
      "whatever runs on the sibling takes a part of the core and of its caches",
      "echo 0 > /sys/devices/system/cpu/cpuN/online for the siblings, or nosmt at boot");
}

void Checker::Isolation() {
  if (pinned_.empty()) {
    return Add("cpu.isolation", Severity::kInfo, "no runner is pinned",
               "the scheduler moves runners, and puts others beside them", "set runner.NAME.cpu to an isolated CPU");
  }
  const std::string command_line = Read("/proc/cmdline");
  const std::vector<int> full = List(absl::StrCat(kCpuFolder, "nohz_full"));
  const std::vector<int> callbacks =
      ParseCpuList(KernelParameter(command_line, "rcu_nocbs")).value_or(std::vector<int>());
  const std::string list = FormatCpuList(pinned_);
  const auto judge = [&](const char* check, const std::vector<int>& there, Severity severity, const char* cost,
                         std::string fix) {
    const std::vector<int> missing = Without(pinned_, there);
    if (missing.empty()) return Ok(check, "so for the pinned CPUs " + FormatCpuList(pinned_));
    Add(check, severity, absl::StrCat("not so for the pinned CPUs ", FormatCpuList(missing)), cost, std::move(fix));
  };
  const std::string boot =
      absl::StrCat("kernel parameters: isolcpus=managed_irq,domain,", list, " nohz_full=", list, " rcu_nocbs=", list);
  judge("cpu.isolation", q_.cpus.isolated, Severity::kWarn,
        "other programs, Redis too, may be run there, and a tick waits behind them", boot);
  judge("cpu.nohz_full", full, Severity::kInfo, "a timer interrupts the runner 100 to 1000 times a second", boot);
  // nohz_full brings it along.
  std::vector<int> either = full;
  either.insert(either.end(), callbacks.begin(), callbacks.end());
  std::sort(either.begin(), either.end());
  judge("cpu.rcu_nocbs", either, Severity::kInfo, "the kernel tidies up after others there", boot);
}

void Checker::IdleStates() {
  std::string deepest;
  int64_t latency_us_max = 0;
  for (const int cpu : matter_) {
    const std::string folder = absl::StrCat(kCpuFolder, "cpu", cpu, "/cpuidle/");
    for (const std::string& state : Names(q_.root + folder)) {
      const int64_t latency_us = Number(absl::StrCat(folder, state, "/latency")).value_or(0);
      if (Number(absl::StrCat(folder, state, "/disable")).value_or(0) == 0 && latency_us > latency_us_max) {
        latency_us_max = latency_us;
        deepest = Read(absl::StrCat(folder, state, "/name"));
      }
    }
  }
  // Binary: what the strictest of those who hold the file open allows, in us.
  int32_t allowed_us = 2'000'000'000;
  std::ifstream request(q_.root + "/dev/cpu_dma_latency", std::ios::binary);
  char bytes[sizeof(allowed_us)];
  if (request.read(bytes, sizeof(bytes))) std::memcpy(&allowed_us, bytes, sizeof(bytes));
  if (allowed_us >= 0 && allowed_us <= kExitLatencyUsMax) {
    return Ok("cpu.idle_states", absl::StrCat("/dev/cpu_dma_latency keeps them within ", allowed_us, " us"));
  }
  if (latency_us_max <= kExitLatencyUsMax) {
    return Ok("cpu.idle_states",
              deepest.empty() ? "none to be seen, or none that takes long to leave"
                              : absl::StrCat("the deepest, ", deepest, ", is left within ", latency_us_max, " us"));
  }
  const bool never_sleeps = spinning_ == config_.runners.size();
  Add("cpu.idle_states", never_sleeps ? Severity::kInfo : Severity::kWarn,
      absl::StrCat("state ", deepest, " takes ", latency_us_max, " us to leave"),
      never_sleeps ? "runners that spin never enter it; Redis and the kernel's network threads do"
                   : "a runner that sleeps, and Redis, wake so much later",
      absl::StrCat("cpupower idle-set -D ", kExitLatencyUsMax, ", or runner.NAME.idle = \"spin\""));
}

void Checker::ClockSource() {
  const std::string source = Read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  if (source.empty()) return;
  static constexpr std::string_view kQuick[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"};
  if (std::find(std::begin(kQuick), std::end(kQuick), source) != std::end(kQuick)) {
    return Ok("clock.source", absl::StrCat(source, ", read without a system call"));
  }
  Add("clock.source", Severity::kBad, source, "each look at the clock is a system call, and slow: several a tick",
      "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource; if it is refused, see dmesg for "
      "why the TSC was given up");
}

std::optional<uint64_t> Checker::Limit(std::string_view name, bool* known) const {
  *known = false;
  std::ifstream in(q_.root + "/proc/self/limits");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    *known = true;
    const std::vector<std::string_view> words =
        absl::StrSplit(std::string_view(line).substr(name.size()), ' ', absl::SkipEmpty());
    uint64_t value = 0;
    if (words.empty() || !absl::SimpleAtoi(words.front(), &value)) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

void Checker::Limits() {
  const auto text = [](std::optional<uint64_t> value) { return value ? absl::StrCat(*value) : "unlimited"; };
  bool known = false;
  const std::optional<uint64_t> files = Limit("Max open files", &known);
  if (known) {
    const bool few = files.has_value() && *files < kFilesMin;
    Add("limit.nofile", few ? Severity::kWarn : Severity::kOk, absl::StrCat("open files: ", text(files)),
        few ? "a feed has up to 256 connections; beyond the limit they are refused" : "",
        few ? "LimitNOFILE=65536 in the systemd unit, or ulimit -n 65536" : "");
  }
  const std::optional<uint64_t> locked = Limit("Max locked memory", &known);
  if (known) {
    const bool short_of = locked.has_value();
    Add("limit.memlock",
        !short_of             ? Severity::kOk
        : config_.memory.lock ? Severity::kBad
                              : Severity::kInfo,
        absl::StrCat("locked memory: ", text(locked), short_of ? " bytes" : "",
                     config_.memory.lock ? ", memory.lock = true" : ""),
        !short_of             ? ""
        : config_.memory.lock ? "the bridge does not start, unless it has CAP_IPC_LOCK"
                              : "memory.lock = true would be refused, but for a program with CAP_IPC_LOCK",
        short_of ? "LimitMEMLOCK=infinity in the systemd unit, or ulimit -l unlimited" : "");
  }
  const std::optional<uint64_t> priority = Limit("Max realtime priority", &known);
  if (known) {
    int wished = 0;
    for (const RunnerConfig& runner : config_.runners) wished = std::max(wished, runner.priority);
    const bool short_of = priority.has_value() && *priority < static_cast<uint64_t>(wished);
    Add("limit.rtprio", short_of ? Severity::kBad : Severity::kOk,
        absl::StrCat("real-time priority: ", text(priority), wished > 0 ? absl::StrCat(", wished for ", wished) : ""),
        short_of ? "the bridge does not start, unless it has CAP_SYS_NICE" : "",
        short_of ? absl::StrCat("LimitRTPRIO=", wished, " in the systemd unit, or ulimit -r ", wished) : "");
  }
}

void Checker::RealtimeThrottle() {
  const bool spins = std::any_of(config_.runners.begin(), config_.runners.end(),
                                 [](const RunnerConfig& r) { return r.priority > 0 && r.idle != "backoff"; });
  const int percent = RealtimeThrottlePercent(q_.root);
  const std::string seen = percent == 0 ? "nothing is kept from real-time threads"
                                        : absl::StrCat(percent, " % of each period is kept from real-time threads");
  if (spins && percent > 0) {
    Add("scheduler.rt_throttling", Severity::kWarn, seen,
        "a runner with a priority that never sleeps is stopped for so long, at a stretch",
        "priority = 0 on an isolated CPU, or sysctl kernel.sched_rt_runtime_us=-1");
  } else {
    Ok("scheduler.rt_throttling", seen);
  }
}

void Checker::TransparentHugePages() {
  const std::string enabled = Chosen(Read("/sys/kernel/mm/transparent_hugepage/enabled"));
  if (enabled.empty()) return;
  if (enabled == "always") {
    Add("memory.thp", Severity::kWarn, "transparent huge pages: always",
        "a Redis that does not opt out copies 2 MiB for each page it writes to after a fork; the kernel joins pages "
        "while programs run",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  } else if (enabled == "never" && config_.memory.huge_pages == "try") {
    Add("memory.thp", Severity::kWarn, "transparent huge pages: never, memory.huge_pages = \"try\"",
        "without reserved ones the bridge's tables are in plain pages",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  } else {
    Ok("memory.thp", "transparent huge pages: " + enabled);
  }
}

void Checker::ReservedHugePages() {
  if (config_.memory.huge_pages != "try") return;
  const std::string folder = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  const int64_t free_pages = Number(folder + "free_hugepages").value_or(0);
  const uint64_t slots = uint64_t{config_.table.max_symbols} * LatestTable::kSlotBytes;
  const auto needed = static_cast<int64_t>(slots / (uint64_t{2} << 20) + 1);
  Add("memory.hugetlb", Severity::kInfo,
      absl::StrCat(free_pages, " reserved huge pages are free; the slots alone are ", needed),
      free_pages < needed ? "transparent ones are tried instead, of which the kernel may have none in one piece" : "",
      free_pages < needed ? absl::StrCat("sysctl vm.nr_hugepages=", needed * 2) : "");
}

void Checker::Swapping() {
  const std::vector<std::string> swaps = absl::StrSplit(Read("/proc/swaps"), '\n', absl::SkipEmpty());
  const int64_t swappiness = Number("/proc/sys/vm/swappiness").value_or(-1);
  if (swaps.size() < 2) return Ok("memory.swap", "there is no swap");
  const std::string seen = absl::StrCat("there is swap, vm.swappiness = ", swappiness,
                                        ", memory.lock = ", config_.memory.lock ? "true" : "false");
  if (swappiness > 1) {
    Add("memory.swap", Severity::kWarn, seen,
        "a page that was written out is milliseconds away when a tick needs it, in Redis too",
        config_.memory.lock ? "sysctl vm.swappiness=1, for Redis"
                            : "memory.lock = true, and sysctl vm.swappiness=1 for Redis");
  } else {
    Ok("memory.swap", seen);
  }
}

void Checker::Numa() {
  const int nodes = NodeCount(q_.root);
  if (nodes < 2) return Ok("numa.nodes", "one memory node");
  Add("numa.nodes", Severity::kInfo, absl::StrCat(nodes, " memory nodes"), "memory of another node is slower",
      "put runners, Redis and the network card on one node (numactl --hardware)");
  if (Number("/proc/sys/kernel/numa_balancing").value_or(0) != 0) {
    Add("numa.balancing", Severity::kWarn, "automatic NUMA balancing is on",
        "the kernel unmaps pages to see who uses them: a page fault on the hot path", "sysctl kernel.numa_balancing=0");
  }
  if (Number("/proc/sys/vm/zone_reclaim_mode").value_or(0) != 0) {
    Add("numa.zone_reclaim", Severity::kWarn, "vm.zone_reclaim_mode is on",
        "an allocation may first clean up its own node", "sysctl vm.zone_reclaim_mode=0");
  }
}

void Checker::Interrupts() {
  bool balanced = false;
  for (const std::string& name : Names(q_.root + "/proc")) {
    if (name.find_first_not_of("0123456789") == std::string::npos && Read("/proc/" + name + "/comm") == "irqbalance")
      balanced = true;
  }
  if (balanced && !pinned_.empty()) {
    Add("irq.balance", Severity::kWarn, "irqbalance is running", "it may move interrupts onto pinned CPUs",
        absl::StrCat("IRQBALANCE_BANNED_CPULIST=", FormatCpuList(pinned_),
                     " in /etc/default/irqbalance, or systemctl disable --now irqbalance"));
  } else {
    Ok("irq.balance", balanced ? "irqbalance is running" : "irqbalance is not running");
  }
  if (pinned_.empty()) return;
  std::vector<std::string> here;
  for (const std::string& irq : Names(q_.root + "/proc/irq")) {
    if (irq.find_first_not_of("0123456789") != std::string::npos) continue;
    std::vector<int> cpus = List("/proc/irq/" + irq + "/effective_affinity_list");
    if (cpus.empty()) cpus = List("/proc/irq/" + irq + "/smp_affinity_list");
    if (Common(cpus, pinned_).empty()) continue;
    std::string device;
    for (const std::string& name : Names(q_.root + "/proc/irq/" + irq)) {
      if (fs::is_directory(absl::StrCat(q_.root, "/proc/irq/", irq, "/", name))) device = absl::StrCat(" (", name, ")");
    }
    // Interrupts of nobody do not come.
    if (!device.empty()) here.push_back(irq + device);
  }
  if (here.empty()) return Ok("irq.affinity", absl::StrCat("none is taken", Which()));
  const size_t shown = std::min<size_t>(here.size(), 8);
  Add("irq.affinity", Severity::kWarn,
      absl::StrCat(here.size(), " interrupts may be taken", Which(), ": ",
                   absl::StrJoin(here.begin(), here.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                   here.size() > shown ? ", …" : ""),
      "each stops the runner while it is handled",
      absl::StrCat("echo ", FormatCpuList(Without(q_.cpus.online, pinned_)), " > /proc/irq/N/smp_affinity_list"));
}

void Checker::Nics() {
  for (const std::string& name : Names(q_.root + "/sys/class/net")) {
    if (name == "lo" || Read("/sys/class/net/" + name + "/operstate") == "down") continue;
    size_t queues = 0;
    for (const std::string& queue : Names(q_.root + "/sys/class/net/" + name + "/queues"))
      queues += queue.starts_with("rx-") ? 1 : 0;
    const auto found = q_.nics.find(name);
    const NicSettings nic = found == q_.nics.end() ? NicSettings() : found->second;
    const std::string seen = absl::StrCat(
        name, ": ", queues, queues == 1 ? " receive queue" : " receive queues",
        nic.rx_ring < 0 ? "" : absl::StrCat(", ring ", nic.rx_ring, " of ", nic.rx_ring_max),
        nic.rx_usecs < 0 ? "" : absl::StrCat(", rx-usecs ", nic.rx_usecs), nic.adaptive_rx ? ", adaptive-rx" : "");
    if (nic.rx_usecs > 0 || nic.adaptive_rx) {
      Add("nic.coalescing", Severity::kWarn, seen, "the card holds packets back to save interrupts",
          absl::StrCat("ethtool -C ", name, " adaptive-rx off rx-usecs 0"));
    } else if (nic.rx_ring >= 0 && nic.rx_ring < nic.rx_ring_max) {
      Add("nic.ring", Severity::kInfo, seen, "a burst may overflow the ring: datagrams are lost",
          absl::StrCat("ethtool -G ", name, " rx ", nic.rx_ring_max));
    } else {
      Ok("nic.queues", seen);
    }
  }
}

void Checker::Sockets() {
  size_t datagrams = 0;
  size_t buffer = 0;
  for (const FeedConfig& feed : config_.feeds) {
    datagrams += feed.type == "udp" ? 1 : 0;
    buffer = std::max(buffer, feed.receive_buffer);
  }
  if (const std::optional<int64_t> most = Number("/proc/sys/net/core/rmem_max")) {
    const uint64_t wished = std::max<uint64_t>(buffer, datagrams > 0 ? kReceiveBufferMin : 0);
    const bool small = static_cast<uint64_t>(*most) < wished;
    Add("net.rmem_max", small ? Severity::kWarn : Severity::kOk, absl::StrCat("net.core.rmem_max = ", *most),
        small ? "a feed's socket gets less than it asks for: a burst is lost while the runner is held up" : "",
        small ? absl::StrCat("sysctl net.core.rmem_max=", wished) : "");
  }
  if (const std::optional<int64_t> backlog = Number("/proc/sys/net/core/somaxconn")) {
    const bool small = *backlog < 128;
    Add("net.somaxconn", small ? Severity::kWarn : Severity::kOk, absl::StrCat("net.core.somaxconn = ", *backlog),
        small ? "when all clients of Redis or a feed connect at once, some wait a second" : "",
        small ? "sysctl net.core.somaxconn=4096" : "");
  }
  if (const std::optional<int64_t> poll = Number("/proc/sys/net/core/busy_read"); poll.has_value() && datagrams > 0) {
    Add("net.busy_poll", *poll > 0 ? Severity::kOk : Severity::kInfo, absl::StrCat("net.core.busy_read = ", *poll),
        *poll > 0 ? "" : "a datagram waits for the card's interrupt before the runner sees it",
        *poll > 0 ? "" : "sysctl net.core.busy_read=50 net.core.busy_poll=50");
  }
}

void Checker::SharedMemory() {
  struct statvfs info{};
  if (::statvfs((q_.root + "/dev/shm").c_str(), &info) != 0) {
    return Add("shm.size", Severity::kBad, "there is no /dev/shm",
               "the bridge cannot keep its counters there, and does not start", "mount -t tmpfs tmpfs /dev/shm");
  }
  const uint64_t free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  const uint64_t table_bytes = SharedTableName(config_).empty() ? 0 : SharedTable::FileBytes(config_.table.max_symbols);
  const uint64_t needed_bytes = table_bytes + CountersFile::kFileBytes;
  const bool small = free_bytes < needed_bytes;
  constexpr uint64_t kMiB = 1 << 20;
  Add("shm.size", small ? Severity::kWarn : Severity::kOk,
      absl::StrCat("/dev/shm has ", FormatSize(free_bytes / kMiB * kMiB),
                   " free; the shared table and the counters take ",
                   FormatSize((needed_bytes + kMiB - 1) / kMiB * kMiB)),
      small ? "a new table of table.max_symbols symbols may not fit: the bridge does not start" : "",
      small ? "mount -o remount,size=1G /dev/shm, or a smaller table.max_symbols" : "");
}

}  // namespace

std::map<std::string, NicSettings> ReadNics() {
  std::map<std::string, NicSettings> nics;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return nics;
  for (const std::string& name : Names("/sys/class/net")) {
    ifreq request{};
    if (name == "lo" || name.size() >= sizeof(request.ifr_name)) continue;
    std::memcpy(request.ifr_name, name.data(), name.size());
    NicSettings nic;
    ethtool_ringparam ring{};
    ring.cmd = ETHTOOL_GRINGPARAM;
    request.ifr_data = reinterpret_cast<char*>(&ring);
    if (::ioctl(fd, SIOCETHTOOL, &request) == 0) {
      nic.rx_ring = static_cast<int>(ring.rx_pending);
      nic.rx_ring_max = static_cast<int>(ring.rx_max_pending);
    }
    ethtool_coalesce coalesce{};
    coalesce.cmd = ETHTOOL_GCOALESCE;
    request.ifr_data = reinterpret_cast<char*>(&coalesce);
    if (::ioctl(fd, SIOCETHTOOL, &request) == 0) {
      nic.rx_usecs = static_cast<int>(coalesce.rx_coalesce_usecs);
      nic.adaptive_rx = coalesce.use_adaptive_rx_coalesce != 0;
    }
    nics.emplace(name, nic);
  }
  ::close(fd);
  return nics;
}

Findings CheckMachine(const MachineQuestion& question) { return Checker(question).Run(); }

}  // namespace tickbridge
