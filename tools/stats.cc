// SPDX-License-Identifier: Apache-2.0
// `tickbridge stats`: what a running bridge counts, read from its counters file without touching its threads.
//
// What is in the file is shown, grouped by what stands before its last part. For people the few values that belong
// together are one line: a state, and since when.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/clock.h"
#include "core/counters.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/quotes.h"
#include "tools/session.h"

namespace tickbridge {
namespace {

using Entry = CountersFile::Entry;
using Kind = CountersFile::Kind;

// The bridge beats about once a second; one that missed so many is not turning any more.
constexpr int64_t kBeatOldNs = 5 * kNsPerSec;

struct Life {
  bool alive = false;
  int64_t beat_age_ns = -1;  // -1: it has not beaten yet
  std::string state;         // for people
};

Life LifeOf(const CountersFile& file) {
  Life life;
  const int64_t started_age_ns = SystemClock().UnixNow() - file.started();
  if (file.last_beat().value != 0)
    life.beat_age_ns = std::max<int64_t>(0, SystemClock::ReadMonotonic() - file.last_beat());
  const int64_t silent_ns = life.beat_age_ns >= 0 ? life.beat_age_ns : started_age_ns;
  // EPERM is somebody else's living process.
  const bool gone = ::kill(static_cast<pid_t>(file.pid()), 0) != 0 && errno == ESRCH;
  life.alive = !gone && silent_ns < kBeatOldNs;
  life.state = gone          ? absl::StrCat("dead: process ", file.pid(), " is gone")
               : !life.alive ? absl::StrCat("not turning: no heartbeat for ", FormatAge(silent_ns / kNsPerMs))
                             : absl::StrCat("alive, up ", FormatAge(started_age_ns / kNsPerMs));
  return life;
}

// "870ns", "12.3us", "1.24s": three digits.
std::string FormatNs(int64_t ns) {
  static constexpr std::pair<int64_t, const char*> kUnits[] = {{kNsPerSec, "s"}, {kNsPerMs, "ms"}, {kNsPerUs, "us"}};
  for (const auto& [factor, unit] : kUnits) {
    if (ns < factor) continue;
    const double value = static_cast<double>(ns) / static_cast<double>(factor);
    char text[32];
    std::snprintf(text, sizeof(text), "%.*f%s", value < 10 ? 2 : value < 100 ? 1 : 0, value, unit);
    return text;
  }
  return absl::StrCat(ns, "ns");
}

std::string HistogramText(const Histogram& histogram) {
  const HistogramSummary s = Summarize(histogram);
  if (s.count == 0) return "none yet";
  return absl::StrCat("count ", s.count, "  p50 ", FormatNs(s.p50), "  p90 ", FormatNs(s.p90), "  p99 ",
                      FormatNs(s.p99), "  p99.9 ", FormatNs(s.p999), "  max ", FormatNs(s.max));
}

std::string AgeOf(int64_t unix_ns) {
  return FormatAge(std::max<int64_t>(0, SystemClock().UnixNow().value - unix_ns) / kNsPerMs);
}

std::string GaugeText(const std::string& name, int64_t value) {
  if (name == "open") return value == 0 ? "no" : "yes";
  if (name.ends_with("_unix_ns")) return value == 0 ? "-" : AgeOf(value) + " ago";
  if (value >= 0 && (name.ends_with("_ns") || name.ends_with("_ns_max"))) return FormatNs(value);
  return absl::StrCat(value);
}

std::string EntryText(const std::string& name, const Entry& entry) {
  switch (entry.kind) {
    case Kind::kCounter:
      return absl::StrCat(entry.counter);
    case Kind::kGauge:
      return GaugeText(name, entry.gauge);
    case Kind::kText:
      return entry.text.empty() ? "-" : entry.text;
    case Kind::kHistogram:
      return HistogramText(*entry.histogram);
    case Kind::kNone:
      break;
  }
  return "-";
}

// "feed.local" and "rejected.stale" of "feed.local.rejected.stale"; a name of two parts is grouped by its first.
std::pair<std::string, std::string> GroupAndName(const std::string& full) {
  const size_t first = full.find('.');
  if (first == std::string::npos) return {"bridge", full};
  const size_t second = full.find('.', first + 1);
  const size_t end = second == std::string::npos ? first : second;
  return {full.substr(0, end), full.substr(end + 1)};
}

// `NAME` becomes "up, for 3m05s" where there is a NAME_since_unix_ns, and that and NAME_code go.
std::vector<Entry> ForPeople(std::vector<Entry> entries) {
  static constexpr std::string_view kSince = "_since_unix_ns";
  static constexpr std::string_view kCode = "_code";
  std::map<std::string, int64_t, std::less<>> since;
  for (const Entry& entry : entries) {
    if (entry.name.ends_with(kSince)) since[entry.name.substr(0, entry.name.size() - kSince.size())] = entry.gauge;
  }
  std::erase_if(entries, [&](const Entry& entry) {
    for (const std::string_view suffix : {kSince, kCode}) {
      if (entry.name.ends_with(suffix) && since.contains(entry.name.substr(0, entry.name.size() - suffix.size())))
        return true;
    }
    return false;
  });
  for (Entry& entry : entries) {
    const auto found = since.find(entry.name);
    if (entry.kind == Kind::kText && found != since.end() && found->second != 0) {
      absl::StrAppend(&entry.text, ", for ", AgeOf(found->second));
    }
  }
  return entries;
}

std::string Text(const std::vector<Entry>& entries) {
  std::vector<std::string> groups;  // as the bridge added them
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> lines;
  for (const Entry& entry : entries) {
    auto [group, name] = GroupAndName(entry.name);
    if (!lines.contains(group)) groups.push_back(group);
    auto& of_group = lines[group];
    // Of a family such as the reasons of rejection only those that occurred.
    if (entry.kind == Kind::kCounter && entry.counter == 0 && absl::StrContains(name, '.')) continue;
    of_group.emplace_back(name, EntryText(name, entry));
  }
  std::string out;
  for (const std::string& group : groups) {
    size_t width = 0;
    for (const auto& [name, value] : lines[group]) width = std::max(width, name.size());
    absl::StrAppend(&out, group, "\n");
    for (const auto& [name, value] : lines[group]) {
      absl::StrAppend(&out, "  ", name, std::string(width - name.size() + 2, ' '), value, "\n");
    }
  }
  return out;
}

// The entries as a tree of objects: "lane.0.writes" is {"lane":{"0":{"writes":…}}}.
struct Node {
  std::string value;  // JSON; of a leaf
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> children;

  Node* Child(std::string_view name) {
    for (auto& [known, child] : children) {
      if (known == name) return child.get();
    }
    children.emplace_back(name, std::make_unique<Node>());
    return children.back().second.get();
  }
  std::string Json() const {
    if (children.empty()) return value.empty() ? "{}" : value;
    std::vector<std::string> members;
    if (!value.empty()) members.push_back("\"value\":" + value);  // a name that is also the beginning of others
    for (const auto& [name, child] : children) members.push_back(absl::StrCat(JsonString(name), ":", child->Json()));
    return absl::StrCat("{", absl::StrJoin(members, ","), "}");
  }
};

std::string ValueJson(const Entry& entry) {
  switch (entry.kind) {
    case Kind::kCounter:
      return absl::StrCat(entry.counter);
    case Kind::kGauge:
      return absl::StrCat(entry.gauge);
    case Kind::kText:
      return JsonString(entry.text);
    case Kind::kHistogram: {
      const HistogramSummary s = Summarize(*entry.histogram);
      return absl::StrCat("{\"count\":", s.count, ",\"p50\":", s.p50, ",\"p90\":", s.p90, ",\"p99\":", s.p99,
                          ",\"p999\":", s.p999, ",\"max\":", s.max, "}");
    }
    case Kind::kNone:
      break;
  }
  return "null";
}

std::string Json(const std::string& instance, const CountersFile& file, const Life& life,
                 const std::vector<Entry>& entries) {
  Node root;
  root.Child("instance")->value = JsonString(instance);
  root.Child("pid")->value = absl::StrCat(file.pid());
  root.Child("alive")->value = life.alive ? "true" : "false";
  root.Child("state")->value = JsonString(life.state);
  root.Child("started_ms")->value = absl::StrCat(ToUnixMs(file.started()).value);
  root.Child("heartbeat_age_ns")->value = life.beat_age_ns < 0 ? "null" : absl::StrCat(life.beat_age_ns);
  for (const Entry& entry : entries) {
    Node* node = &root;
    for (const std::string_view part : absl::StrSplit(entry.name, '.')) node = node->Child(part);
    node->value = ValueJson(entry);
  }
  return root.Json();
}

}  // namespace

int CommandStats(const GlobalOptions& global) {
  const std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config.has_value()) return kExitUsage;
  const std::string path = CountersPath(config->instance);
  const auto file = CountersFile::OpenReadOnly(path);
  if (absl::IsNotFound(file.status())) {
    return ExplainStart(absl::NotFoundError(
        absl::StrCat("no bridge of instance \"", config->instance, "\" is running here: there is no ", path)));
  }
  if (!file.ok()) {
    ExplainStart(file.status());
    return kExitFailed;
  }
  const Life life = LifeOf(**file);
  const std::vector<Entry> entries = (*file)->Entries();
  const std::string text = global.json ? Json(config->instance, **file, life, entries) + "\n"
                                       : absl::StrCat("instance ", config->instance, ", process ", (*file)->pid(), ", ",
                                                      life.state, "\n", Text(ForPeople(entries)));
  if (!PrintOrExplain(text)) return kExitFailed;
  if (life.alive) return kExitOk;
  return ExplainStart(
      absl::UnavailableError(absl::StrCat("the bridge of instance \"", config->instance, "\" is ", life.state)));
}

}  // namespace tickbridge
