// SPDX-License-Identifier: Apache-2.0
#include "tools/config_check.h"

#include <sys/un.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/file.h"
#include "core/machine.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

constexpr size_t kNameBytesMax = 32;
constexpr size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

class Checker {
 public:
  Checker(const Config& config, const ConfigReporter& report) : config_(config), report_(report) {}

  void Run() {
    CheckCounts();
    CheckTls();
    CheckOwnership();
    for (size_t i = 0; i < config_.classes.size(); ++i) CheckClass(i);
    for (size_t i = 0; i < config_.feeds.size(); ++i) CheckFeed(i);
    for (const RunnerConfig& runner : config_.runners) CheckCpu(runner);
    CheckAgents();
  }

 private:
  void CheckCounts();
  void CheckTls();
  void CheckOwnership();
  void CheckClass(size_t index);
  void CheckKeyFields(const KeyClass& key_class, const std::string& at);
  void CheckFeed(size_t index);
  void CheckAddress(const std::string& key, const std::string& address);
  void CheckCpu(const RunnerConfig& runner);
  void CheckAgents();

  const Config& config_;
  const ConfigReporter& report_;
  const std::vector<KeyClass> defaults_ = DefaultKeyClasses();
  const Cpus cpus_ = ReadCpus();
};

void Checker::CheckCounts() {
  const auto check = [&](std::string_view section, size_t count, size_t limit) {
    if (count > limit) {
      report_(std::string(section), absl::StrCat("there are ", count, " of [", section, "]; the limit is ", limit));
    }
  };
  check("class", config_.classes.size(), limits::kClassesMax);
  check("feed", config_.feeds.size(), limits::kFeedsMax);
  check("runner", config_.runners.size(), limits::kRunnersMax);
}

// The price class knows a symbol, the feed class a feed's name; documents bring fields of their own.
void Checker::CheckTls() {
  if (config_.redis.tls_cert.empty() == config_.redis.tls_key.empty()) return;
  const std::string key = config_.redis.tls_cert.empty() ? "redis.tls_key" : "redis.tls_cert";
  report_(key, absl::StrCat(key, ": tls_cert and tls_key go together"));
}

void Checker::CheckOwnership() {
  const auto check = [&](const std::string& key, const std::string& owner, const std::string& group) {
    const absl::StatusOr<Ownership> found = FindOwnership(owner, group);
    if (!found.ok()) report_(key, absl::StrCat(key, ": ", found.status().message()));
  };
  check("table.owner", config_.table.owner, "");
  check("table.group", "", config_.table.group);
}

void Checker::CheckKeyFields(const KeyClass& key_class, const std::string& at) {
  const std::string only = key_class.name == "price" ? "symbol" : key_class.name == "feed" ? "name" : "";
  const auto check = [&](const KeyPattern& pattern, const std::string& key, bool needs_field) {
    for (const std::string& field : pattern.fields()) {
      if (!only.empty() && field != only) {
        report_(key, absl::StrCat(key, ": {", field, "} is not known here, only {", only, "} is"));
        return;
      }
    }
    std::string rendered;
    if (needs_field && !only.empty() && pattern.Render({}, &rendered)) {
      report_(key, absl::StrCat(key, ": must hold {", only, "} outside [ ], or all would share one key"));
      return;
    }
    const std::string longest(limits::kSymbolBytesMax, 'x');
    std::vector<KeyPattern::FieldValue> fields;
    for (const std::string& field : pattern.fields()) fields.emplace_back(field, longest);
    rendered.clear();
    if (pattern.Render(fields, &rendered) && rendered.size() > limits::kKeyBytesMax) {
      report_(key, absl::StrCat(key, ": makes keys of up to ", rendered.size(), " bytes; the limit is ",
                                limits::kKeyBytesMax));
    }
  };
  check(key_class.key, at + ".key", true);
  if (key_class.publish.has_value()) check(*key_class.publish, at + ".publish", false);
}

void Checker::CheckClass(size_t index) {
  const KeyClass& key_class = config_.classes[index];
  const std::string at = "class." + key_class.name;
  if (key_class.key.text().empty()) {
    report_(at + ".key", absl::StrCat(at, ": a new class needs key, such as \"", key_class.name, ":{account}\""));
  } else {
    CheckKeyFields(key_class, at);
    for (size_t i = 0; i < index; ++i) {
      const KeyClass& other = config_.classes[i];
      if (other.key.text() != key_class.key.text()) continue;
      // To blame is the one that was moved there.
      const bool moved = index >= defaults_.size() || defaults_[index].key.text() != key_class.key.text();
      const std::string& name = moved ? key_class.name : other.name;
      report_(absl::StrCat("class.", name, ".key"),
              absl::StrCat("class.", name, ".key: class.", moved ? other.name : key_class.name, " has the same key"));
    }
  }
  if (key_class.ttl_ns == 0) {
    report_(at + ".ttl", absl::StrCat(at, ": a new class needs ttl, such as \"1s\""));
  } else if (key_class.min_interval_ns >= key_class.ttl_ns) {
    report_(at + ".min_interval",
            absl::StrCat(at, ".min_interval: must be less than ttl (", FormatDuration(key_class.ttl_ns),
                         "), or keys would run out between writes"));
  }
}

void Checker::CheckAddress(const std::string& key, const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string_view host = std::string_view(address).substr(0, colon == std::string::npos ? 0 : colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (absl::StrContains(host, ':')) {
    host = "";
  }
  int port = 0;
  if (host.empty() || !absl::SimpleAtoi(std::string_view(address).substr(colon + 1), &port) || port < 1 ||
      port > 65'535) {
    report_(key,
            absl::StrCat(key, ": must be host:port or [IPv6]:port with a port from 1 to 65535, not \"", address, "\""));
  }
}

void Checker::CheckFeed(size_t index) {
  const FeedConfig& feed = config_.feeds[index];
  const std::string at = "feed." + feed.name;
  const auto needs = [&](const std::string& value, std::string_view key, std::string_view example) {
    if (value.empty()) {
      report_(absl::StrCat(at, ".", key),
              absl::StrCat(at, ": type ", feed.type, " needs ", key, ", such as \"", example, "\""));
    }
    return !value.empty();
  };
  const auto taken = [&](std::string FeedConfig::* member, std::string_view key) {
    for (size_t i = 0; i < index; ++i) {
      if (config_.feeds[i].type == feed.type && config_.feeds[i].*member == feed.*member) {
        report_(absl::StrCat(at, ".", key),
                absl::StrCat(at, ".", key, ": feed.", config_.feeds[i].name, " reads it already"));
      }
    }
  };
  if (feed.type.empty()) {
    report_(at + ".type", absl::StrCat(at, ": needs type: file, unix_stream, unix_datagram, tcp, udp, shm or synth"));
  } else if (feed.type == "file") {
    if (needs(feed.path, "path", "/data/ticks.ndjson")) taken(&FeedConfig::path, "path");
  } else if (feed.type.starts_with("unix_")) {
    if (!needs(feed.path, "path", "/run/tickbridge/feed.sock")) return;
    taken(&FeedConfig::path, "path");
    if (feed.path.size() > kUnixPathBytesMax) {
      report_(at + ".path", absl::StrCat(at, ".path: is ", feed.path.size(),
                                         " bytes long; the system's limit for a socket is ", kUnixPathBytesMax));
    }
  } else if (feed.type == "tcp") {
    if (!needs(feed.address, "address", "127.0.0.1:9471")) return;
    taken(&FeedConfig::address, "address");
    CheckAddress(at + ".address", feed.address);
  } else if (feed.type == "udp") {
    if (!needs(feed.a, "a", "233.215.21.4:10378")) return;
    taken(&FeedConfig::a, "a");
    CheckAddress(at + ".a", feed.a);
  } else if (feed.type == "shm") {
    if (feed.folder.empty()) {
      if (needs(feed.path, "path", "local\" (of /dev/shm/local.ring), or folder, such as \"/dev/shm")) {
        taken(&FeedConfig::path, "path");
      }
    } else if (!feed.path.empty()) {
      report_(at + ".folder", absl::StrCat(at, ".folder: type shm takes either path or folder"));
    } else {
      taken(&FeedConfig::folder, "folder");
    }
  } else if (feed.type == "synth" && feed.symbols > config_.table.max_symbols) {
    report_(at + ".symbols", absl::StrCat(at, ".symbols: ", feed.symbols, " are more than table.max_symbols (",
                                          config_.table.max_symbols, ")"));
  }
}

void Checker::CheckCpu(const RunnerConfig& runner) {
  if (runner.cpu < 0) return;
  if (const std::string problem = CpuProblem(cpus_, runner.cpu); !problem.empty()) {
    const std::string key = absl::StrCat("runner.", runner.name, ".cpu");
    report_(key, absl::StrCat(key, " = ", runner.cpu, ": ", problem));
  }
}

void Checker::CheckAgents() {
  std::map<std::string, std::string> runner_of;  // of "feed.NAME" and "sink.N"; "" until one is found
  std::vector<std::string> names = AllAgents(config_);
  for (const FeedConfig& feed : config_.feeds) runner_of["feed." + feed.name];
  for (uint32_t lane = 0; lane < config_.redis.lanes; ++lane) {
    names.push_back(absl::StrCat("sink.", lane));
    runner_of[names.back()];
  }
  for (const RunnerConfig& runner : config_.runners) {
    const std::string at = absl::StrCat("runner.", runner.name, ".agents");
    if (runner.agents.empty()) report_(at, absl::StrCat(at, ": is empty: this runner would do nothing"));
    for (size_t i = 0; i < runner.agents.size(); ++i) {
      const std::string& agent = runner.agents[i];
      const std::string key = absl::StrCat(at, "[", i, "]");
      if (std::find(names.begin(), names.end(), agent) == names.end()) {
        const std::string_view nearest = Nearest(agent, names);
        report_(key,
                absl::StrCat(at, ": unknown agent \"", agent, "\"",
                             nearest.empty() ? absl::StrCat("; there are ", absl::StrJoin(AllAgents(config_), ", "))
                                             : absl::StrCat("; did you mean \"", nearest, "\"?")));
        continue;
      }
      for (auto& [name, owner] : runner_of) {
        if (name != agent && !(agent == "sink" && name.starts_with("sink."))) continue;
        if (owner.empty()) {
          owner = runner.name;
        } else {
          report_(key, absl::StrCat(at, ": ", name, " is in runner \"", owner, "\" already; an agent has one runner"));
        }
      }
    }
  }
  for (const auto& [name, owner] : runner_of) {
    if (!owner.empty()) continue;
    report_(name.starts_with("sink.") ? "runner" : name,
            absl::StrCat(name, ": is in no runner; add \"",
                         name == "sink.0" && config_.redis.lanes == 1 ? "sink" : name, "\" to the agents of one"));
  }
}

}  // namespace

void CheckConfig(const Config& config, const ConfigReporter& report) { Checker(config, report).Run(); }

std::string NameProblem(std::string_view name) {
  const bool well_formed =
      !name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
      });
  return well_formed ? "" : absl::StrCat("a name is 1 to ", kNameBytesMax, " letters, digits, '_' or '-'");
}

}  // namespace tickbridge
