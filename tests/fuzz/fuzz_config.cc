// SPDX-License-Identifier: Apache-2.0
// Goal: whatever stands in the configuration, it is loaded or refused with words: no crash, no error without a message,
// no secret in a message, and nothing impossible in what is called good.
//
// Method: LoadConfig reads the input as a file. Of a configuration without errors, everything that the bridge relies on
// is looked at again. Of one with errors, the lines that they name are taken out and the rest is tried, since few
// inputs are good as they are.
//
// Input: the file. A comment "#--set KEY=VALUE" is an option as well.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/limits.h"
#include "tests/fuzz/fuzz.h"
#include "tools/config.h"
#include "tools/units.h"

namespace tickbridge::fuzz {
namespace {

constexpr std::string_view kOption = "#--set ";

// A file without a name, so that nothing is left behind.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("config", MFD_CLOEXEC)), path_(absl::StrCat("/proc/self/fd/", fd_)) {
    Require(fd_ >= 0, "memfd_create works here");
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(fd_); }

  void Write(std::string_view text) {
    Require(::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()),
            "memory can be written");
  }
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

template <class T>
bool Within(T value, int64_t min, int64_t max) {
  return static_cast<int64_t>(value) >= min && static_cast<int64_t>(value) <= max;
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void RequireGoodClasses(const Config& config) {
  Require(!config.classes.empty() && config.classes.size() <= limits::kClassesMax, "there are 1 to 64 classes");
  Require(config.classes[0].name == "price", "the first class is the price class");
  std::set<std::string> names;
  std::set<std::string> keys;
  for (const KeyClass& key_class : config.classes) {
    Require(!key_class.name.empty() && names.insert(key_class.name).second, "each class has a name of its own");
    Require(!key_class.key.text().empty() && keys.insert(key_class.key.text()).second, "each class has its own keys");
    Require(key_class.ttl_ns >= kNsPerMs, "each class has a ttl");
    Require(key_class.min_interval_ns >= 0 && key_class.min_interval_ns < key_class.ttl_ns,
            "min_interval is less than ttl");
    const std::string value(limits::kSymbolBytesMax, 'x');
    std::vector<KeyPattern::FieldValue> fields;
    for (const std::string& field : key_class.key.fields()) fields.emplace_back(field, value);
    std::string key;
    Require(key_class.key.Render(fields, &key) && key.size() <= limits::kKeyBytesMax, "every key fits");
  }
  Require(!config.classes[0].members.empty(), "a price has members");
}

void RequireGoodFeeds(const Config& config) {
  std::set<std::string> names;
  Require(config.feeds.size() <= limits::kFeedsMax, "there are at most 64 feeds");
  for (const FeedConfig& feed : config.feeds) {
    Require(!feed.name.empty() && names.insert(feed.name).second, "each feed has a name of its own");
    Require(IsOneOf(feed.type, {"file", "unix_stream", "unix_datagram", "tcp", "udp", "synth"}), "a feed has a type");
    Require(feed.type != "tcp" || !feed.address.empty(), "tcp has an address");
    Require(feed.type != "udp" || !feed.a.empty(), "udp has a line a");
    Require(IsOneOf(feed.type, {"tcp", "udp", "synth"}) || !feed.path.empty(), "files and sockets have a path");
    Require(feed.format == "ndjson", "the format is one of ours");
    const auto [before, behind] = SymbolAffixes(feed);
    Require(absl::StrCat(before, "{symbol}", behind) == feed.symbol, "symbol holds {symbol}");
    Require(before.size() + behind.size() < limits::kSymbolBytesMax, "there is room for the symbol");
    Require(Within(feed.liveness_timeout_ns, kNsPerMs, 3'600 * kNsPerSec), "liveness_timeout is in its range");
    Require(Within(feed.max_ahead_ns, 0, 24 * 3'600 * kNsPerSec), "max_ahead is in its range");
    Require(feed.socket_mode <= 0777, "socket_mode is permissions");
    Require(ParseSpeed(feed.speed).ok(), "speed is a speed");
    Require(feed.rate > 0 && feed.rate <= 1e9, "rate is in its range");
    Require(feed.symbols >= 1 && (feed.type != "synth" || feed.symbols <= config.table.max_symbols),
            "symbols have room");
  }
}

void RequireGoodRunners(const Config& config) {
  Require(!config.runners.empty() && config.runners.size() <= limits::kRunnersMax, "there are 1 to 64 runners");
  std::set<std::string> names;
  std::multiset<std::string> agents;
  for (const RunnerConfig& runner : config.runners) {
    Require(!runner.name.empty() && names.insert(runner.name).second, "each runner has a name of its own");
    Require(!runner.agents.empty(), "each runner has agents");
    Require(runner.cpu >= -1, "cpu is a CPU, or -1");
    Require(IsOneOf(runner.idle, {"spin", "yield", "backoff"}), "idle is one of ours");
    Require(Within(runner.max_park_ns, kNsPerUs, kNsPerSec), "max_park is in its range");
    for (const std::string& agent : runner.agents) {
      if (agent != "sink") {
        agents.insert(agent);
        continue;
      }
      for (uint32_t lane = 0; lane < config.redis.lanes; ++lane) agents.insert(absl::StrCat("sink.", lane));
    }
  }
  std::multiset<std::string> expected;
  for (const FeedConfig& feed : config.feeds) expected.insert("feed." + feed.name);
  for (uint32_t lane = 0; lane < config.redis.lanes; ++lane) expected.insert(absl::StrCat("sink.", lane));
  Require(agents == expected, "each agent is in one runner");
}

void RequireGood(const Config& config) {
  Require(!config.instance.empty(), "there is an instance");
  Require(Within(config.drain_timeout_ns, 0, 3'600 * kNsPerSec), "drain_timeout is in its range");
  Require(config.redis.share > 0 && config.redis.share <= 1, "share is in its range");
  Require(Within(config.redis.max_in_flight, 1, limits::kInFlightMax), "max_in_flight is in its range");
  Require(Within(config.redis.max_in_flight_bytes, 64 << 10, 1 << 30), "max_in_flight_bytes is in its range");
  Require(Within(config.redis.lanes, 1, limits::kLanesMax), "lanes are in their range");
  Require(Within(config.redis.connect_timeout_ns, kNsPerMs, 3'600 * kNsPerSec), "connect_timeout is in its range");
  Require(Within(config.redis.ack_timeout_ns, kNsPerMs, 3'600 * kNsPerSec), "ack_timeout is in its range");
  Require(Within(config.table.max_symbols, 1, limits::kSymbolsMax), "max_symbols is in its range");
  Require(Within(config.table.max_documents, 1, limits::kSymbolsMax), "max_documents is in its range");
  Require(IsOneOf(config.log_level, {"debug", "info", "warn", "error"}), "the log has a level");
  RequireGoodClasses(config);
  RequireGoodFeeds(config);
  RequireGoodRunners(config);
}

// Whether "SECRET" stands only where a password could: then no message may repeat it.
bool HidesSecret(const std::vector<std::string_view>& lines) {
  static constexpr std::array<std::string_view, 5> kPlaces = {"url = \"", "password = \"", "passwort = \"",
                                                              "#--set redis.url=", "#--set redis.password="};
  bool any = false;
  for (const std::string_view line : lines) {
    if (absl::StrContains(line, "\"\"\"") || absl::StrContains(line, "'''")) return false;  // text of several lines
    if (!absl::StrContains(line, "SECRET")) continue;
    any = true;
    if (std::none_of(kPlaces.begin(), kPlaces.end(), [&](std::string_view place) { return line.starts_with(place); })) {
      return false;
    }
  }
  return any;
}

void CheckErrors(const LoadResult& result, const std::string& path, const std::vector<std::string_view>& lines) {
  const bool hides_secret = HidesSecret(lines);
  int line_before = 0;
  for (const ConfigError& error : result.errors) {
    const std::string shown = Shown(error.ToString());
    if (error.message.empty()) Fail("every error has a message", shown);
    const int line = error.line == 0 ? static_cast<int>(lines.size()) + 1 : error.line;
    if (line < line_before) Fail("errors come in the order of the file", shown);
    line_before = line;
    if (error.line < 0 || error.line > static_cast<int>(lines.size())) Fail("a line is one of the file", shown);
    if (error.file != path && error.file != "--set") Fail("an error has its place", shown);
    if (hides_secret && absl::StrContains(error.message, "SECRET")) Fail("no message tells a secret", shown);
  }
}

// The file without the lines that were told to be wrong, and without options if one of them was.
std::string Repaired(const std::vector<std::string_view>& lines, const LoadResult& result) {
  std::set<int> wrong;
  for (const ConfigError& error : result.errors) wrong.insert(error.line);
  std::string repaired;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (wrong.contains(static_cast<int>(i) + 1) || (wrong.contains(0) && lines[i].starts_with(kOption))) continue;
    absl::StrAppend(&repaired, lines[i], "\n");
  }
  return repaired;
}

void Run(std::string_view input) {
  constexpr int kRoundsMax = 4;
  static MemoryFile* const file = new MemoryFile();
  std::string text(input);
  for (int round = 0; round < kRoundsMax; ++round) {
    file->Write(text);
    const std::vector<std::string_view> lines = absl::StrSplit(text, '\n');
    std::vector<std::string> sets;
    for (const std::string_view line : lines) {
      if (line.starts_with(kOption)) sets.emplace_back(line.substr(kOption.size()));
    }
    const LoadResult result = LoadConfig(file->path(), sets);
    CheckErrors(result, file->path(), lines);
    if (result.ok()) return RequireGood(result.config);
    text = Repaired(lines, result);
  }
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  tickbridge::fuzz::Run(tickbridge::fuzz::AsText(data, bytes));
  return 0;
}
