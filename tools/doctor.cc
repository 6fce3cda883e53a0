// SPDX-License-Identifier: Apache-2.0
// `tickbridge doctor`: what about this machine and about Redis costs latency, and how to change it.
//
// Exit code: 0 when it could look at both, whatever it found, and did what it was asked to; 1 when it could not.
// JSON: {"machine":[FINDING…],"redis":[FINDING…],"server":URL,"counts":{"bad":N,"warn":N,"info":N,"ok":N},
// "changes":[CHANGE…]}. FINDING: {"check","severity","seen","cost","fix"}, all strings. CHANGE: {"check","parameter",
// "value","loses","result"}; result is proposed, applied, declined, or "refused: REASON".
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/machine_checks.h"
#include "tools/output.h"
#include "tools/redis_checks.h"
#include "tools/session.h"

namespace tickbridge {
namespace {

constexpr int64_t kTimeoutNs = 5 * kNsPerSec;
constexpr std::array<const char*, 4> kSeverityNames = {"ok", "info", "warn", "bad"};

const char* Name(Severity severity) { return kSeverityNames[static_cast<size_t>(severity)]; }

struct Change {
  std::string check;
  std::string parameter;
  std::string value;
  std::string loses;
  std::string result = "proposed";

  std::string Text() const {
    return absl::StrCat("CONFIG SET ", parameter, " ", value.empty() ? "\"\"" : value,
                        loses.empty() ? "" : absl::StrCat("   (loses: ", loses, ")"));
  }
};

struct Report {
  std::string server;
  Findings machine;
  Findings redis;
  std::vector<Change> changes;

  std::array<size_t, 4> Counts() const {
    std::array<size_t, 4> counts{};
    for (const Findings* findings : {&machine, &redis}) {
      for (const Finding& finding : *findings) ++counts[static_cast<size_t>(finding.severity)];
    }
    return counts;
  }
};

// The worst first.
std::string SectionText(const std::string& title, const Findings& findings) {
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  const std::string indent(width + 10, ' ');
  std::string text = title + "\n";
  for (const Severity severity : {Severity::kBad, Severity::kWarn, Severity::kInfo, Severity::kOk}) {
    const std::string word = Name(severity);
    for (const Finding& finding : findings) {
      if (finding.severity != severity) continue;
      absl::StrAppend(&text, "  ", word, std::string(6 - word.size(), ' '), finding.check,
                      std::string(width - finding.check.size() + 2, ' '), finding.seen, "\n");
      if (!finding.cost.empty()) absl::StrAppend(&text, indent, "costs: ", finding.cost, "\n");
      if (!finding.fix.empty()) absl::StrAppend(&text, indent, "fix:   ", finding.fix, "\n");
    }
  }
  return text;
}

std::string Text(const Report& report) {
  std::string text = SectionText("machine", report.machine) + SectionText("redis " + report.server, report.redis);
  const std::array<size_t, 4> counts = report.Counts();
  absl::StrAppend(&text, counts[3], " bad, ", counts[2], " warn, ", counts[1], " info, ", counts[0], " ok\n");
  return text;
}

std::string FindingsJson(const Findings& findings) {
  return absl::StrCat("[",
                      absl::StrJoin(findings, ",",
                                    [](std::string* out, const Finding& finding) {
                                      absl::StrAppend(out, "{\"check\":", JsonString(finding.check), ",\"severity\":\"",
                                                      Name(finding.severity), "\",\"seen\":", JsonString(finding.seen),
                                                      ",\"cost\":", JsonString(finding.cost),
                                                      ",\"fix\":", JsonString(finding.fix), "}");
                                    }),
                      "]");
}

std::string Json(const Report& report) {
  const std::array<size_t, 4> counts = report.Counts();
  const auto change_json = [](std::string* out, const Change& change) {
    absl::StrAppend(out, "{\"check\":", JsonString(change.check), ",\"parameter\":", JsonString(change.parameter),
                    ",\"value\":", JsonString(change.value), ",\"loses\":", JsonString(change.loses),
                    ",\"result\":", JsonString(change.result), "}");
  };
  return absl::StrCat("{\"machine\":", FindingsJson(report.machine), ",\"redis\":", FindingsJson(report.redis),
                      ",\"server\":", JsonString(report.server), ",\"counts\":{\"bad\":", counts[3],
                      ",\"warn\":", counts[2], ",\"info\":", counts[1], ",\"ok\":", counts[0], "},\"changes\":[",
                      absl::StrJoin(report.changes, ",", change_json), "]}\n");
}

void Say(std::string_view line) { std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data()); }

// Whether the changes are to be made: asks on a terminal, unless `yes`. Nothing: there is nobody to ask.
std::optional<bool> Agreed(const std::vector<Change>& changes, const std::string& server, bool yes) {
  Say(absl::StrCat("to be set on ", server, ", until that server restarts (redis.conf stays as it is):"));
  for (const Change& change : changes) Say("  " + change.Text());
  if (yes) return true;
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) return std::nullopt;
  std::fputs("Set them? [y/N] ", stderr);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

// True if all that was to be done was done.
bool Apply(RedisClient* client, const DoctorOptions& options, Report* report) {
  if (report->changes.empty()) {
    Say("there is nothing that --apply would set");
    return true;
  }
  const std::optional<bool> agreed = Agreed(report->changes, report->server, options.yes);
  if (!agreed.has_value()) {
    Say("nothing was changed: there is no terminal to ask at; --yes says yes");
    return false;
  }
  bool all = true;
  for (Change& change : report->changes) {
    if (!*agreed) {
      change.result = "declined";
      continue;
    }
    const absl::Status status = client->Command({"CONFIG", "SET", change.parameter, change.value}).status();
    change.result = status.ok() ? "applied" : absl::StrCat("refused: ", status.message());
    all = all && status.ok();
    Say(absl::StrCat(change.result, status.ok() ? ": " : " — ", "CONFIG SET ", change.parameter));
  }
  return all;
}

}  // namespace

int CommandDoctor(const GlobalOptions& global, const DoctorOptions& options) {
  const std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config) return kExitUsage;
  const Cpus cpus = ReadCpus();
  const std::optional<RedisPlace> place = ResolveRedisOrExplain(*config);
  if (!place) return kExitUsage;
  Report report;
  report.server = place->target.Display();
  report.machine = CheckMachine({&*config, cpus, ReadNics(), ""});

  bool looked = false;
  absl::StatusOr<RedisClient> client = RedisClient::Connect(place->target, kTimeoutNs);
  absl::Status reached = client.status();
  if (reached.ok()) {
    const absl::StatusOr<RedisFacts> facts = CollectRedis(&*client);
    reached = facts.status();
    if (facts.ok()) {
      looked = true;
      report.redis = CheckRedis(*facts, {&*config, &place->target, cpus, ""});
    }
  }
  if (!looked) {
    report.redis.push_back({"redis.connection", Severity::kBad, std::string(reached.message()), "nothing is delivered",
                            "see redis.url, and whether the server runs"});
  }
  for (const Finding& finding : report.redis) {
    for (const auto& [parameter, value] : finding.apply)
      report.changes.push_back({finding.check, parameter, value, finding.loses});
  }
  // People read what was found before they are asked; a program reads one line at the end.
  if (!global.json && !PrintOrExplain(Text(report))) return kExitFailed;
  const bool done = !options.apply || (looked && Apply(&*client, options, &report));
  if (global.json && !PrintOrExplain(Json(report))) return kExitFailed;
  return looked && done ? kExitOk : kExitFailed;
}

}  // namespace tickbridge
