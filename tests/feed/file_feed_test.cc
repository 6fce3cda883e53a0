// SPDX-License-Identifier: Apache-2.0
// Also plays the recordings beside the project, if they are there, against a model that reads them its own way.
#include "feed/file_feed.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/core_fixture.h"
#include "tests/feed/test_files.h"

namespace tickbridge {
namespace {

std::string TickLine(const std::string& symbol, int bid, int64_t unix_ms) {
  return "{\"symbol\":\"" + symbol + "\",\"Bid\":" + std::to_string(bid) +
         (unix_ms == 0 ? "" : ",\"Timestamp\":" + std::to_string(unix_ms)) + "}\n";
}

struct Player {
  explicit Player(FileFeed::Options options, uint32_t symbols = 1024) : core({.symbols = symbols}) {
    ingest = core.MakeIngest(Ingest::Options{.feed = "f", .replay = true});
    auto opened = FileFeed::Open(std::move(options), ingest.get(), core.counters.get());
    EXPECT_TRUE(opened.ok()) << opened.status();
    feed = *std::move(opened);
  }
  // Turns it until it is done; the longest duty cycle in lines.
  int Run() {
    int most = 0;
    EXPECT_TRUE(WaitFor([&] {
      most = std::max(most, feed->DoWork());
      return feed->done();
    }));
    return most;
  }
  // Turns it until it has taken so many lines, and then some more, in which it must take none.
  uint64_t RunWhileDue(uint64_t lines) {
    EXPECT_TRUE(WaitFor([&] {
      feed->DoWork();
      return ingest->counts().records->Get() >= lines;
    }));
    for (int i = 0; i < 100; ++i) feed->DoWork();
    return ingest->counts().records->Get();
  }

  CoreFixture core;
  std::unique_ptr<Ingest> ingest;
  std::unique_ptr<FileFeed> feed;
};

TEST(FileFeed, PlaysAFileToItsEnd) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += TickLine("S" + std::to_string(i % 100), i, 1'700'000'000'000 + i);
  text += "bad\n\n" + std::string(limits::kLineBytesMax + 1, 'x') + "\n" + R"({"symbol":"last","Bid":1})";
  for (const std::string& bytes : {text, GzipOf(text), ZstdOf(text)}) {
    Player player({.name = "f", .path = dir.Write("file", bytes), .lines_per_cycle = 100});
    EXPECT_EQ(player.feed->name(), "feed.f");
    EXPECT_FALSE(player.feed->IsAlive(player.core.clock.Now()));
    player.feed->DoWork();
    EXPECT_TRUE(player.feed->IsAlive(player.core.clock.Now()));
    EXPECT_LE(player.Run(), 100);
    EXPECT_TRUE(player.feed->status().ok()) << player.feed->status();
    EXPECT_FALSE(player.feed->IsAlive(player.core.clock.Now()));
    EXPECT_EQ(player.ingest->counts().accepted->Get(), 5001U);
    EXPECT_EQ(player.ingest->counts().records->Get(), 5003U);
    EXPECT_EQ(player.ingest->counts().bytes->Get(), text.size());
    EXPECT_EQ(player.ingest->counts().rejected[static_cast<size_t>(RejectReason::kLineTooLong)]->Get(), 1U);
    EXPECT_EQ(FieldText(*player.core.Find("S99"), Field::kBid), "4999");
    // The recording is the clock.
    EXPECT_EQ(player.core.Find("last")->timestamp.value, 1'700'000'004'999);
    // Its source is dead, so its symbols are given up.
    EXPECT_FALSE(player.core.sources.IsAlive(player.core.Find("last")->source, player.core.clock.Now()));
  }
}

TEST(FileFeed, KeepsItsSourceIfAsked) {
  const TempDir dir;
  Player player({.name = "f", .path = dir.Write("file", TickLine("A", 1, 5)), .keep_source = true});
  player.Run();
  const SourceId source = player.core.Find("A")->source;
  EXPECT_TRUE(player.core.sources.IsAlive(source, player.core.clock.Now()));
  player.feed->OnClose();
  EXPECT_FALSE(player.core.sources.IsAlive(source, player.core.clock.Now()));
  EXPECT_TRUE(player.feed->status().ok());
}

TEST(FileFeed, SaysHowItFailed) {
  const TempDir dir;
  const std::string whole = GzipOf(TickLine("A", 1, 5) + std::string(100'000, ' '));
  Player player({.name = "f", .path = dir.Write("cut.gz", whole.substr(0, whole.size() - 9))});
  player.Run();
  EXPECT_EQ(player.feed->status().code(), absl::StatusCode::kDataLoss) << player.feed->status();
  EXPECT_EQ(player.ingest->counts().accepted->Get(), 1U);
  EXPECT_FALSE(FileFeed::Open({.path = dir.Path("none")}, player.ingest.get(), player.core.counters.get()).ok());
  EXPECT_FALSE(
      FileFeed::Open({.path = dir.Path("cut.gz"), .speed = -1}, player.ingest.get(), player.core.counters.get()).ok());
}

TEST(FileFeed, KeepsThePaceOfTheRecording) {
  const TempDir dir;
  const int64_t t = 1'700'000'000'000;
  const std::string text = TickLine("A", 1, t) + TickLine("A", 2, 0) + TickLine("A", 3, t + 1000) +
                           "{\"heartbeat\":true}\n" + TickLine("B", 4, t + 500) + TickLine("A", 5, t + 3000);
  Player player({.name = "f", .path = dir.Write("file", text), .speed = 2});
  EXPECT_EQ(player.RunWhileDue(2), 2U);  // the second line has no time of its own
  player.core.clock.Advance(499 * kNsPerMs);
  EXPECT_EQ(player.RunWhileDue(2), 2U);
  player.core.clock.Advance(1 * kNsPerMs);
  EXPECT_EQ(player.RunWhileDue(5), 5U);  // the fifth is older than the third
  EXPECT_FALSE(player.feed->done());
  player.core.clock.Advance(1000 * kNsPerMs);
  player.Run();
  EXPECT_EQ(player.ingest->counts().accepted->Get(), 5U);
}

// ---- The recordings ----

// The last value of each field of each symbol, read by looking for `"Name":` and the comma. Good enough for lines of
// these recordings, and nothing of it is the decoder's.
class PlainModel {
 public:
  void Take(std::string_view line) {
    const std::string symbol = std::string(Value(line, "symbol"));
    const std::string_view time = Value(line, "Timestamp");
    const int64_t unix_ms = time.empty() ? 0 : std::stoll(std::string(time));
    auto& state = symbols_[symbol];
    TakeGroup(line, {"Bid", "Ask", "BidSize", "AskSize"}, unix_ms, &state);
    TakeGroup(line, {"Last", "LastSize"}, unix_ms, &state);
    ++lines_;
  }
  uint64_t lines() const { return lines_; }
  uint64_t stale() const { return stale_; }
  struct Symbol {
    std::map<std::string, std::string> fields;
    std::map<std::string, int64_t> group_ms;
  };
  const std::map<std::string, Symbol>& symbols() const { return symbols_; }

 private:
  static std::string_view Value(std::string_view line, std::string_view name) {
    const std::string key = "\"" + std::string(name) + "\":";
    const size_t at = line.find(key);
    if (at == std::string_view::npos) return {};
    std::string_view rest = line.substr(at + key.size());
    rest = rest.substr(0, rest.find_first_of(",}"));
    if (rest.starts_with('"')) rest = rest.substr(1, rest.size() - 2);
    return rest;
  }
  static std::string Shortest(std::string_view number) {
    std::string text(number);
    if (text.find('.') != std::string::npos) {
      while (text.ends_with('0')) text.pop_back();
      if (text.ends_with('.')) text.pop_back();
    }
    return text;
  }
  void TakeGroup(std::string_view line, std::initializer_list<const char*> names, int64_t unix_ms, Symbol* symbol) {
    const std::string group = *names.begin();
    bool present = false;
    for (const char* name : names) present |= !Value(line, name).empty();
    if (!present) return;
    if (unix_ms != 0 && unix_ms < symbol->group_ms[group]) {
      ++stale_;
      return;
    }
    if (unix_ms != 0) symbol->group_ms[group] = unix_ms;
    for (const char* name : names) {
      const std::string_view value = Value(line, name);
      if (!value.empty()) symbol->fields[name] = value == "null" ? "null" : Shortest(value);
    }
  }

  std::map<std::string, Symbol> symbols_;
  uint64_t lines_ = 0;
  uint64_t stale_ = 0;
};

class FileFeedRecording : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Shared, FileFeedRecording, testing::Values("binance_20240808", "us_equities_20131008"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(FileFeedRecording, MatchesAPlainModel) {
  const std::string path = std::string(TICKBRIDGE_SOURCE_DIR) + "/../shared/data/ndjson/" + GetParam() + ".ndjson.zst";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "the recording " << path << " is not on this machine";

  // The head of the recording, as a file of its own.
  constexpr size_t kBytes = size_t{16} << 20;
  auto reader = FileReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::string text;
  ASSERT_TRUE(WaitFor([&] {
    std::span<const char> chunk;
    const FileReader::Take took = (*reader)->TryTake(&chunk);
    if (took == FileReader::Take::kChunk) {
      text.append(chunk.data(), chunk.size());
      (*reader)->Release();
    }
    return took == FileReader::Take::kEnd || text.size() >= kBytes;
  }));
  text.resize(text.rfind('\n') + 1);
  PlainModel model;
  for (size_t at = 0; at < text.size();) {
    const size_t newline = text.find('\n', at);
    model.Take(std::string_view(text).substr(at, newline - at));
    at = newline + 1;
  }

  const TempDir dir;
  Player player({.name = "f", .path = dir.Write("head.zst", ZstdOf(text))}, 16'384);
  player.Run();
  EXPECT_TRUE(player.feed->status().ok());
  EXPECT_GT(model.lines(), 50'000U);
  EXPECT_EQ(player.ingest->counts().records->Get(), model.lines());
  EXPECT_EQ(player.ingest->counts().accepted->Get(), model.lines() - model.stale());
  EXPECT_EQ(player.core.symbols.size(), model.symbols().size());
  for (const auto& [symbol, state] : model.symbols()) {
    const auto quote = player.core.Find(symbol);
    ASSERT_TRUE(quote.has_value()) << symbol;
    for (const auto& [name, field] : std::map<std::string, Field>{{"Bid", Field::kBid},
                                                                  {"Ask", Field::kAsk},
                                                                  {"BidSize", Field::kBidSize},
                                                                  {"AskSize", Field::kAskSize},
                                                                  {"Last", Field::kLast},
                                                                  {"LastSize", Field::kLastSize}}) {
      const auto found = state.fields.find(name);
      ASSERT_EQ(FieldText(*quote, field), found == state.fields.end() ? "null" : found->second)
          << symbol << " " << name;
    }
  }
}

}  // namespace
}  // namespace tickbridge
