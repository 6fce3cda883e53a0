// SPDX-License-Identifier: Apache-2.0
// The whole bridge on many threads at once, against a real server: three feed runners, two lanes on runners of their
// own, readers of the table beside them. Under ThreadSanitizer this is the proof that they share nothing they should
// not; everywhere it checks that what was accepted is accounted for, and that Redis holds what the table holds.
#include "tools/bridge.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sink/quote_encoder.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

constexpr uint64_t kRecords = 200'000;

Config ThreadedConfig() {
  Config config;
  config.classes[0].ttl_ns = 600 * kNsPerSec;
  config.redis.lanes = 2;
  config.redis.share = 1.0;
  for (const char* name : {"a", "b", "c"}) {
    FeedConfig feed;
    feed.name = name;
    feed.type = "synth";
    feed.symbols = 200;
    feed.rate = 0;
    feed.symbol = std::string("{symbol}-") + name;
    config.feeds.push_back(feed);
    RunnerConfig runner;
    runner.name = name;
    runner.agents = {std::string("feed.") + name};
    config.runners.push_back(runner);
  }
  for (const char* name : {"sink.0", "sink.1"}) {
    RunnerConfig runner;
    runner.name = name;
    runner.agents = {name};
    config.runners.push_back(runner);
  }
  return config;
}

TEST(BridgeTest, RunsFeedsLanesAndReadersOnThreadsOfTheirOwn) {
  RedisServer redis;
  Bridge::Options options;
  options.config = ThreadedConfig();
  options.target.kind = RedisTarget::Kind::kUnix;
  options.target.unix_path = redis.socket();
  auto bridge = Bridge::Create(std::move(options));
  ASSERT_TRUE(bridge.ok()) << bridge.status();
  ASSERT_TRUE((*bridge)->Start().ok());

  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const Core& core = (*bridge)->core();
      std::vector<uint64_t> newest(core.table->capacity());
      while (!stop.load()) {
        for (uint32_t id = 0; id < core.symbols->size(); ++id) {
          Quote quote;
          if (!core.table->TryLoad(SymbolId{id}, &quote)) continue;
          EXPECT_GE(quote.sequence, newest[id]);
          newest[id] = quote.sequence;
          if (quote.Has(Field::kBid) && quote.Has(Field::kAsk)) {
            EXPECT_LT(quote.Get(Field::kBid), quote.Get(Field::kAsk));
          }
        }
      }
    });
  }
  EXPECT_TRUE(WaitFor(
      [&] {
        (*bridge)->Maintain();
        return (*bridge)->Summarize().records >= kRecords;
      },
      std::chrono::seconds(120)));
  (*bridge)->StopFeeds();
  EXPECT_TRUE(WaitFor(
      [&] {
        (*bridge)->Maintain();
        return (*bridge)->Summarize().pending == 0;
      },
      std::chrono::seconds(60)));
  stop = true;
  for (std::thread& reader : readers) reader.join();
  (*bridge)->Stop();

  const Summary summary = (*bridge)->Summarize();
  EXPECT_EQ(summary.records, summary.accepted + summary.rejected_total() + summary.control);
  EXPECT_EQ(summary.accepted, summary.written + summary.conflated);
  EXPECT_EQ(summary.rejected_total(), 0u);
  EXPECT_EQ(summary.symbols, 600u);
  const Core& core = (*bridge)->core();
  QuoteEncoder encoder((*core.classes)[0].members);
  std::vector<char> text(encoder.bytes_max());
  for (uint32_t id = 0; id < core.symbols->size(); ++id) {
    Quote quote;
    ASSERT_TRUE(core.table->TryLoad(SymbolId{id}, &quote));
    const char* end = encoder.Encode(text.data(), quote, {}, {});
    const std::string symbol(core.symbols->Name(SymbolId{id}));
    EXPECT_EQ(redis.Call({"GET", "price:" + symbol + ":latest"}),
              std::string(text.data(), static_cast<size_t>(end - text.data())))
        << symbol;
  }
}

// Goal: what was not delivered is told apart exactly: a key's newest record is pending, what it superseded conflated.
// Method: two lanes without a server, quotes and documents from a file, some of whose keys no lane ever takes.
TEST(BridgeTest, CountsKeysAsPendingOnceItWasStopped) {
  char folder[] = "/tmp/tickbridge-bridge-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/ticks.ndjson";
  {
    std::ofstream out(path);
    for (int i = 0; i < 1000; ++i) out << R"({"symbol":"S)" << i % 37 << R"(","Last":)" << i << "}\n";
    for (int i = 0; i < 50; ++i)
      out << R"({"class":"positions","account":"A)" << i % 7 << R"(","value":)" << i << "}\n";
    out << R"({"symbol":"ONLY_RESET","reset":true})" << "\n";
  }
  Config config;
  config.redis.lanes = 2;
  FeedConfig feed;
  feed.name = "recording";
  feed.type = "file";
  feed.path = path;
  config.feeds = {feed};
  RunnerConfig runner;
  runner.name = "main";
  runner.agents = {"feed.recording", "sink"};
  config.runners = {runner};
  Bridge::Options options;
  options.config = config;
  options.replay = true;
  options.target.kind = RedisTarget::Kind::kUnix;
  options.target.unix_path = std::string(folder) + "/none.sock";
  auto bridge = Bridge::Create(std::move(options));
  ASSERT_TRUE(bridge.ok()) << bridge.status();
  ASSERT_TRUE((*bridge)->Start().ok());
  EXPECT_TRUE(WaitFor([&] { return (*bridge)->feeds_done(); }, std::chrono::seconds(60)));
  EXPECT_EQ((*bridge)->Summarize().pending, 1050u) << "while it works, all that has not ended";
  (*bridge)->Stop();
  const Summary summary = (*bridge)->Summarize();
  EXPECT_EQ(summary.accepted, 1050u);
  EXPECT_EQ(summary.control, 1u);
  EXPECT_EQ(summary.pending, 37u + 7u);
  EXPECT_EQ(summary.conflated, 1050u - 37u - 7u);
  EXPECT_NE(summary.Text().find("tick to ack  none\n"), std::string::npos) << summary.Text();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tickbridge
