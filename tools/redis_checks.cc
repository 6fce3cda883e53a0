// SPDX-License-Identifier: Apache-2.0
#include "tools/redis_checks.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace tickbridge {
namespace {

constexpr const char* kParameters[] = {"maxmemory",
                                       "maxmemory-policy",
                                       "save",
                                       "appendonly",
                                       "appendfsync",
                                       "io-threads",
                                       "tcp-keepalive",
                                       "timeout",
                                       "client-output-buffer-limit",
                                       "slowlog-log-slower-than",
                                       "latency-monitor-threshold",
                                       "hz",
                                       "active-expire-effort",
                                       "activedefrag",
                                       "maxclients",
                                       "unixsocket",
                                       "disable-thp"};
constexpr const char* kSlowlogMax = "128";
constexpr int64_t kForkUsMax = 1'000;
constexpr int64_t kEventMsMax = 10;
constexpr size_t kShownMax = 3;
constexpr const char* kEmptyAfterRestart =
    "after a restart of the server it is empty: the bridge sends its values again, those of other programs are gone";

int64_t ToInt(std::string_view text) {
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

// "7.0.15" is 7'000'015; what is no version is 0.
int64_t ToVersion(std::string_view text) {
  const std::vector<std::string_view> parts = absl::StrSplit(text, '.');
  int64_t version = 0;
  for (size_t i = 0; i < 3; ++i) version = version * 1000 + (i < parts.size() ? ToInt(parts[i]) : 0);
  return version;
}

// A command's name, without whatever else might stand there.
std::string CommandName(std::string_view text) {
  std::string name;
  for (const char c : text.substr(0, 24)) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '_') break;
    name += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return name.empty() ? "?" : name;
}

// "unix://…: NOPERM this user has …" is NOPERM.
std::string Reason(const absl::Status& status) {
  const std::string_view message = status.message();
  const size_t at = message.find(": ");
  return CommandName(at == std::string_view::npos ? message : message.substr(at + 2));
}

bool IsLocal(const RedisTarget& target) {
  return !target.unix_path.empty() || target.host == "localhost" || target.host == "::1" ||
         target.host.starts_with("127.");
}

class Checker {
 public:
  Checker(const RedisFacts& facts, const RedisQuestion& question) : f_(facts), q_(question), config_(*question.config) {
    for (const auto& [name, value] : f_.info) {
      if (!name.starts_with("db") || name.find_first_not_of("0123456789", 2) != std::string::npos) continue;
      int64_t expiring = 0;
      int64_t keys = 0;
      for (const std::string_view part : absl::StrSplit(value, ',')) {
        if (part.starts_with("keys=")) keys = ToInt(part.substr(5));
        if (part.starts_with("expires=")) expiring = ToInt(part.substr(8));
      }
      lasting_keys_ += keys - expiring;
    }
    may_be_lost_ = lasting_keys_ == 0 && !f_.info.empty();
  }

  Findings Run() {
    Refusals();
    Version();
    Role();
    Path();
    Cpus();
    Eviction();
    Persistence();
    Keys();
    Slow();
    Clients();
    Timers();
    return std::move(findings_);
  }

 private:
  void Refusals();
  void Version();
  void Role();
  void Path();
  void Cpus();
  void Eviction();
  void Persistence();
  void Keys();
  void Slow();
  void Clients();
  void Timers();

  std::string Info(std::string_view name) const {
    const auto found = f_.info.find(name);
    return found == f_.info.end() ? "" : found->second;
  }
  // Nothing where the server did not tell.
  std::optional<std::string> Setting(std::string_view name) const {
    const auto found = f_.config.find(name);
    if (found == f_.config.end()) return std::nullopt;
    return found->second;
  }
  Finding& Add(std::string check, Severity severity, std::string seen, std::string cost = "", std::string fix = "") {
    findings_.push_back({std::move(check), severity, std::move(seen), std::move(cost), std::move(fix)});
    return findings_.back();
  }
  // One that --apply sets.
  void AddSetting(std::string check, Severity severity, std::string seen, std::string cost,
                  const std::string& parameter, const std::string& value, std::string loses) {
    Finding& finding = Add(std::move(check), severity, std::move(seen), std::move(cost),
                           absl::StrCat("CONFIG SET ", parameter, " ", value.empty() ? "\"\"" : value));
    if (Info("role") == "slave") return;  // the bridge writes to another server
    finding.apply = {{parameter, value}};
    finding.loses = std::move(loses);
  }

  const RedisFacts& f_;
  const RedisQuestion& q_;
  const Config& config_;
  int64_t lasting_keys_ = 0;  // without an expiry: somebody means to keep them
  bool may_be_lost_ = false;  // what the server holds: no key is known to be kept, and the server has told of its keys
  Findings findings_;
};

void Checker::Refusals() {
  if (f_.refused.empty()) return;
  const auto append = [](std::string* out, const std::pair<std::string, std::string>& refused) {
    absl::StrAppend(out, refused.first, " (", refused.second, ")");
  };
  Add("redis.rights", Severity::kInfo, absl::StrCat("the server refuses ", absl::StrJoin(f_.refused, ", ", append)),
      "what they would tell is not looked at", "ACL SETUSER NAME +info +config|get +slowlog +latency +client|list");
}

void Checker::Version() {
  const std::string valkey = Info("valkey_version");
  const std::string redis = Info("redis_version");
  if (redis.empty()) return;
  const std::string seen = absl::StrCat(valkey.empty() ? "Redis " : "Valkey ", valkey.empty() ? redis : valkey,
                                        f_.has_msetex ? ", has MSETEX" : "");
  if (ToVersion(redis) < ToVersion("6.2")) {
    Add("redis.version", config_.redis.expiry == "absolute" ? Severity::kBad : Severity::kWarn, seen,
        "no SET … PXAT: redis.expiry = \"absolute\" is not to be had, and a stalled server lets values live longer",
        "upgrade to Redis 6.2 or newer");
  } else if (!f_.has_msetex) {
    Add("redis.version", Severity::kInfo, seen,
        "no MSETEX: one command a key, which costs the server more than a batch",
        "Redis 8.4 or Valkey 9.1, where the throughput of one server thread is what limits you");
  } else {
    Add("redis.version", Severity::kOk, seen);
  }
}

void Checker::Role() {
  if (Info("loading") == "1") {
    Add("redis.loading", Severity::kBad, "the server is loading its data", "every command is refused until it is done",
        "wait, or start it empty");
  }
  const std::string role = Info("role");
  if (role == "slave") {
    Add("redis.role", Severity::kBad, "a replica", "writes are refused (READONLY)", "point redis.url at its primary");
  } else if (const int64_t replicas = ToInt(Info("connected_slaves")); replicas > 0) {
    Add("redis.role", Severity::kInfo,
        absl::StrCat(replicas, " replicas, backlog of ", Info("repl_backlog_size"), " bytes"),
        "each write is sent to each of them by the same thread; one that falls behind the backlog makes the server "
        "fork",
        "CONFIG SET repl-backlog-size 256mb, where replicas reconnect");
  }
}

void Checker::Path() {
  const RedisTarget& target = *q_.target;
  if (!IsLocal(target)) {
    return static_cast<void>(Add("redis.path", Severity::kInfo, "over the network",
                                 "each acknowledgement takes the round trip",
                                 "a server on this host, and redis.url = \"unix:///…\""));
  }
  if (!target.unix_path.empty())
    return static_cast<void>(Add("redis.path", Severity::kOk, "a Unix socket of this host"));
  const std::string socket = Setting("unixsocket").value_or("");
  Add("redis.path", Severity::kWarn, "TCP to a server on this host",
      "the network stack is passed twice each way; a Unix socket is quicker",
      socket.empty() ? "unixsocket /run/redis/redis.sock in redis.conf, restart it, and redis.url = "
                       "\"unix:///run/redis/redis.sock\""
                     : absl::StrCat("redis.url = \"unix://", socket, "\""));
}

// Only where the server is a process that we can see.
void Checker::Cpus() {
  const std::string pid = Info("process_id");
  if (!IsLocal(*q_.target) || pid.empty() || pid.find_first_not_of("0123456789") != std::string::npos) return;
  const std::string name = ReadLine(q_.root + "/proc/" + pid + "/comm");
  if (!absl::StrContains(name, "redis") && !absl::StrContains(name, "valkey")) return;
  std::vector<int> there;
  for (const std::string_view line : absl::StrSplit(ReadLine(q_.root + "/proc/" + pid + "/status"), '\n')) {
    constexpr std::string_view kName = "Cpus_allowed_list:";
    if (line.starts_with(kName)) there = ParseCpuList(line.substr(kName.size())).value_or(there);
  }
  std::vector<std::string> runners;
  std::vector<int> left = there;
  for (const RunnerConfig& runner : config_.runners) {
    if (runner.cpu < 0 || std::find(there.begin(), there.end(), runner.cpu) == there.end()) continue;
    runners.push_back(absl::StrCat("runner.", runner.name, " (CPU ", runner.cpu, ")"));
    std::erase(left, runner.cpu);
  }
  if (runners.empty())
    return static_cast<void>(
        Add("redis.cpus", Severity::kOk, absl::StrCat("the server may run on CPUs ", FormatCpuList(there))));
  Add("redis.cpus", Severity::kWarn, absl::StrCat("the server may be run on the CPU of ", absl::StrJoin(runners, ", ")),
      "the two wait for each other there",
      left.empty() ? "leave Redis a CPU of its own: pin fewer runners"
                   : absl::StrCat("taskset -apc ", FormatCpuList(left), " ", pid, ", or server_cpulist in redis.conf"));
}

void Checker::Eviction() {
  const std::optional<std::string> policy = Setting("maxmemory-policy");
  const std::optional<std::string> limit = Setting("maxmemory");
  if (!policy || !limit) return;
  if (const int64_t evicted = ToInt(Info("evicted_keys")); evicted > 0) {
    Add("redis.evicted", Severity::kBad, absl::StrCat(evicted, " keys were evicted since its start"),
        "their values are gone until their next tick", "CONFIG SET maxmemory to more");
  }
  if (*limit == "0" || *policy == "noeviction") {
    return static_cast<void>(Add("redis.eviction", Severity::kOk, absl::StrCat("maxmemory ", *limit, ", ", *policy)));
  }
  const std::string seen = absl::StrCat("maxmemory ", *limit, ", ", *policy);
  const char* const cost = "when it is full, each write first looks for keys to remove, and prices are among them";
  if (!may_be_lost_) {
    // With keys that never go, a full server would refuse our writes for ever.
    Add("redis.eviction", Severity::kWarn, seen, cost, "a server of its own for the bridge, or more maxmemory");
  } else {
    AddSetting("redis.eviction", Severity::kWarn, seen, cost, "maxmemory-policy", "noeviction",
               "when the memory is full, writes are refused until keys run out");
  }
}

void Checker::Persistence() {
  const std::optional<std::string> save = Setting("save");
  const std::optional<std::string> append = Setting("appendonly");
  if (const int64_t us = ToInt(Info("latest_fork_usec")); us > 0) {
    Add("redis.fork", us > kForkUsMax ? Severity::kWarn : Severity::kInfo,
        absl::StrCat("its last fork took ", us, " us"),
        "the server answers nobody meanwhile, and copies each page that it then writes to",
        "no persistence, or that of a replica");
  }
  if (!save || !append) return;
  if (save->empty() && *append != "yes")
    return static_cast<void>(Add("redis.persistence", Severity::kOk, "nothing is written to disk"));
  const std::string kept =
      f_.info.empty() ? "its keys are not known" : absl::StrCat(lasting_keys_, " keys have no expiry");
  const std::string loses =
      absl::StrCat(kEmptyAfterRestart, ToInt(Info("connected_slaves")) > 0 ? "; its replicas follow it in that" : "");
  if (!save->empty()) {
    const std::string seen = absl::StrCat("snapshots: save ", *save);
    const char* const cost =
        "for each the server forks: it stands still for the fork, and each write copies a page until it is done";
    if (!may_be_lost_) {
      Add("redis.save", Severity::kWarn, absl::StrCat(seen, "; ", kept), cost,
          "a server of its own for the bridge, with save \"\"");
    } else {
      AddSetting("redis.save", Severity::kWarn, seen, cost, "save", "", loses);
    }
  }
  if (*append != "yes") return;
  if (may_be_lost_) {
    AddSetting("redis.appendonly", Severity::kWarn, "appendonly yes",
               "every write goes to a file as well, which is rewritten in a fork", "appendonly", "no", loses);
  } else if (Setting("appendfsync").value_or("") == "always") {
    // Somebody may have chosen that for the keys that are kept.
    Add("redis.appendfsync", Severity::kBad, absl::StrCat("appendonly yes, appendfsync always; ", kept),
        "every turn of the server waits for the disk",
        "a server of its own for the bridge; or CONFIG SET appendfsync everysec, which may lose up to a second of "
        "writes "
        "at a crash of the host");
  } else {
    Add("redis.appendonly", Severity::kWarn, absl::StrCat("appendonly yes; ", kept),
        "every write goes to a file as well, which is rewritten in a fork", "a server of its own for the bridge");
  }
}

void Checker::Keys() {
  if (lasting_keys_ > 0) {
    Add("redis.lasting_keys", Severity::kInfo, absl::StrCat(lasting_keys_, " keys have no expiry"),
        "none of them is the bridge's: others use this server, and their commands and its persistence delay yours",
        "a server of its own for the bridge");
  }
  if (const std::string used = Info("cmdstat_keys"); !used.empty()) {
    Add("redis.keys_command", Severity::kWarn, absl::StrCat("KEYS was used: ", used.substr(0, used.find(','))),
        "it goes through all keys while everybody waits", "SCAN instead; ACL SETUSER NAME -keys");
  }
}

void Checker::Slow() {
  if (!f_.slow.empty()) {
    std::vector<RedisFacts::Slow> slow = f_.slow;
    std::sort(slow.begin(), slow.end(), [](const auto& a, const auto& b) { return a.us > b.us; });
    std::vector<std::string> shown;
    for (size_t i = 0; i < std::min(slow.size(), kShownMax); ++i) {
      shown.push_back(absl::StrFormat("%s %.1f ms", slow[i].command, static_cast<double>(slow[i].us) / 1000));
    }
    Add("redis.slowlog", Severity::kWarn,
        absl::StrCat(slow.size(), " slow commands, the slowest: ", absl::StrJoin(shown, ", ")),
        "while one of them runs, everybody waits", "SLOWLOG GET shows who sends them");
  } else if (Setting("slowlog-log-slower-than").value_or("0").starts_with('-')) {
    Add("redis.slowlog", Severity::kInfo, "slow commands are not written down",
        "nobody can tell who holds the server up", "CONFIG SET slowlog-log-slower-than 10000");
  } else if (Setting("slowlog-log-slower-than")) {
    Add("redis.slowlog", Severity::kOk, "no slow commands");
  }
  std::vector<std::string> events;
  for (const RedisFacts::Event& event : f_.events) {
    if (event.max_ms >= kEventMsMax) events.push_back(absl::StrCat(event.name, " ", event.max_ms, " ms"));
  }
  if (!events.empty()) {
    Add("redis.latency", Severity::kWarn, absl::StrCat("longest stops: ", absl::StrJoin(events, ", ")),
        "everybody waited so long", "LATENCY DOCTOR says more");
  } else if (Setting("latency-monitor-threshold").value_or("") == "0") {
    Add("redis.latency", Severity::kInfo, "the latency monitor is off",
        "stops of forks, expiry and the disk leave no trace", "CONFIG SET latency-monitor-threshold 5");
  }
}

void Checker::Clients() {
  if (!f_.monitors.empty()) {
    Add("redis.monitor", Severity::kBad, absl::StrCat(f_.monitors.size(), " clients MONITOR"),
        "each command is written to each of them as well",
        absl::StrCat("CLIENT KILL ID ", absl::StrJoin(f_.monitors, "; CLIENT KILL ID ")));
  }
  const int64_t clients = ToInt(Info("connected_clients"));
  const int64_t clients_max = ToInt(Setting("maxclients").value_or("0"));
  const int64_t rejected = ToInt(Info("rejected_connections"));
  if (rejected > 0 || (clients_max > 0 && clients > clients_max / 10 * 8)) {
    Add("redis.clients", Severity::kWarn,
        absl::StrCat(clients, " of ", clients_max, " clients, ", rejected, " were refused since its start"),
        "the bridge, or a strategy, may not get in after a disconnection", "CONFIG SET maxclients to more");
  } else if (clients_max > 0) {
    Add("redis.clients", Severity::kOk, absl::StrCat(clients, " of ", clients_max, " clients"));
  }
  const std::string buffers = Setting("client-output-buffer-limit").value_or("normal 0 0 0");
  if (buffers.starts_with("normal ") && !buffers.starts_with("normal 0 0 ")) {
    Add("redis.output_buffer", Severity::kInfo, buffers.substr(0, buffers.find(" slave")),
        "a client that reads slowly is cut off: also the bridge, when it was held up",
        "CONFIG SET client-output-buffer-limit \"normal 0 0 0\"");
  }
  if (const std::string timeout = Setting("timeout").value_or("0"); timeout != "0") {
    AddSetting("redis.timeout", Severity::kWarn, absl::StrCat("timeout ", timeout, " s"),
               "strategies that rest are cut off, and connect anew when they need a price", "timeout", "0",
               "connections of clients that died without a word stay until tcp-keepalive ends them");
  }
  if (Setting("tcp-keepalive").value_or("300") == "0") {
    Add("redis.tcp_keepalive", Severity::kInfo, "tcp-keepalive 0", "connections of dead clients are never ended",
        "CONFIG SET tcp-keepalive 300");
  }
}

void Checker::Timers() {
  if (const int64_t hz = ToInt(Setting("hz").value_or("10")); hz > 100) {
    Add("redis.hz", Severity::kInfo, absl::StrCat("hz ", hz), "its housekeeping interrupts commands that often",
        "CONFIG SET hz 10");
  }
  if (const std::string effort = Setting("active-expire-effort").value_or("1"); effort != "1") {
    AddSetting("redis.expire_effort", Severity::kWarn, absl::StrCat("active-expire-effort ", effort),
               "it looks for expired keys longer at a time, while commands wait", "active-expire-effort", "1",
               "expired keys of others take memory somewhat longer");
  }
  if (Setting("activedefrag").value_or("no") == "yes") {
    AddSetting("redis.activedefrag", Severity::kWarn, "activedefrag yes", "it moves values about between commands",
               "activedefrag", "no", "fragmented memory is not given back");
  }
  if (const int64_t threads = ToInt(Setting("io-threads").value_or("1")); threads > 1) {
    Add("redis.io_threads", Severity::kInfo, absl::StrCat("io-threads ", threads),
        "they spin under load, on CPUs that runners may want",
        "io-threads 1 in redis.conf, unless many clients read at once");
  }
  if (Setting("disable-thp").value_or("yes") == "no" && (!Info("latest_fork_usec").empty())) {
    Add("redis.thp", Severity::kWarn, "disable-thp no", "after a fork, each write to a page copies 2 MiB",
        "disable-thp yes in redis.conf, and a restart");
  }
}

}  // namespace

std::map<std::string, std::string, std::less<>> ParseInfo(std::string_view text) {
  std::map<std::string, std::string, std::less<>> info;
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    const size_t colon = line.find(':');
    if (line.starts_with('#') || colon == std::string_view::npos) continue;
    info.emplace(line.substr(0, colon), line.substr(colon + 1));
  }
  return info;
}

absl::StatusOr<RedisFacts> CollectRedis(RedisClient* client) {
  RedisFacts facts;
  absl::Status broken;
  // The reply; nothing where the server refuses the command or the connection is gone.
  const auto ask = [&](const char* label, std::initializer_list<std::string_view> words) -> std::optional<Reply> {
    if (!broken.ok()) return std::nullopt;
    absl::StatusOr<Reply> reply = client->Command(words);
    if (reply.ok()) return *std::move(reply);
    if (reply.status().code() != absl::StatusCode::kFailedPrecondition) {
      broken = reply.status();
    } else if (*label != '\0' && (facts.refused.empty() || facts.refused.back().first != label)) {
      facts.refused.emplace_back(label, Reason(reply.status()));
    }
    return std::nullopt;
  };
  if (const auto reply = ask("INFO", {"INFO", "all"})) facts.info = ParseInfo(reply->str);
  for (const char* parameter : kParameters) {
    const auto reply = ask("CONFIG GET", {"CONFIG", "GET", parameter});
    if (reply && reply->elements.size() == 2) facts.config[parameter] = reply->elements[1].str;
  }
  if (const auto reply = ask("SLOWLOG", {"SLOWLOG", "GET", kSlowlogMax})) {
    for (const Reply& entry : reply->elements) {  // id, time, us, arguments, …
      if (entry.elements.size() < 4 || entry.elements[3].elements.empty()) continue;
      facts.slow.push_back({CommandName(entry.elements[3].elements[0].str), entry.elements[2].integer});
    }
  }
  if (const auto reply = ask("LATENCY", {"LATENCY", "LATEST"})) {
    for (const Reply& event : reply->elements) {  // name, time, latest ms, longest ms
      if (event.elements.size() >= 4)
        facts.events.push_back({CommandName(event.elements[0].str), event.elements[3].integer});
    }
  }
  if (const auto reply = ask("CLIENT LIST", {"CLIENT", "LIST"})) {
    for (const std::string_view line : absl::StrSplit(reply->str, '\n', absl::SkipEmpty())) {
      std::string_view id;
      bool monitors = false;
      for (const std::string_view word : absl::StrSplit(line, ' ')) {
        if (word.starts_with("id=")) id = word.substr(3);
        if (word.starts_with("flags=")) monitors = absl::StrContains(word.substr(6), 'O');
      }
      if (monitors) facts.monitors.emplace_back(id);
    }
  }
  if (const auto reply = ask("", {"COMMAND", "INFO", "MSETEX"})) {
    facts.has_msetex = !reply->elements.empty() && reply->elements[0].type == Reply::Type::kArray;
  }
  if (!broken.ok()) return broken;
  return facts;
}

Findings CheckRedis(const RedisFacts& facts, const RedisQuestion& question) { return Checker(facts, question).Run(); }

}  // namespace tickbridge
