// SPDX-License-Identifier: Apache-2.0
// Goal: what a RedisReader gives is what a real server has, as long as it says so, and never outlives its deadline.
//
// Method: a private redis-server, whose keys the test writes itself; a std::map is the model. The server is stopped,
// killed, restarted, cut off, emptied, and forbids this and that. What takes time is waited for with a deadline.
#include "sink/redis_reader.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

using Outcome = RedisReader::Outcome;
using Mode = RedisReader::Mode;

constexpr int64_t kLongNs = 10 * kNsPerSec;

std::string Key(std::string_view symbol) { return absl::StrCat("price:", symbol, ":latest"); }
std::string Json(int64_t last, int64_t timestamp) {
  return absl::StrCat(R"({"Last":)", last, R"(.5,"Bid":null,"Timestamp":)", timestamp, "}");
}

std::vector<std::string> Symbols(size_t count) {
  std::vector<std::string> symbols;
  for (size_t i = 0; i < count; ++i) symbols.push_back(absl::StrCat("S", i));
  return symbols;
}

RedisTarget UnixTarget(const RedisServer& server) {
  RedisTarget target;
  target.kind = RedisTarget::Kind::kUnix;
  target.unix_path = server.socket();
  return target;
}

RedisTarget TcpTarget(uint16_t port) {
  RedisTarget target;
  target.port = port;
  return target;
}

std::unique_ptr<RedisReader> Make(RedisReader::Options options, const std::vector<std::string>& symbols) {
  absl::StatusOr<std::unique_ptr<RedisReader>> reader = RedisReader::Create(std::move(options), symbols);
  EXPECT_TRUE(reader.ok()) << reader.status();
  return *std::move(reader);
}

// The Last of a symbol without its .5; nothing where no quote is given.
std::optional<int64_t> Last(const RedisReader& reader, SymbolId id, QuoteState want = QuoteState::kCurrent) {
  const Quote* quote = nullptr;
  const QuoteState state = reader.Get(id, &quote);
  EXPECT_EQ(quote != nullptr, state == QuoteState::kCurrent || state == QuoteState::kHeld);
  if (quote == nullptr || state != want) return std::nullopt;
  const Decimal last = quote->Get(Field::kLast);
  EXPECT_EQ(last.exponent, -1);
  EXPECT_FALSE(quote->Has(Field::kBid));
  return (last.mantissa - 5) / 10;
}

QuoteState StateOf(const RedisReader& reader, SymbolId id) {
  const Quote* quote = nullptr;
  return reader.Get(id, &quote);
}

bool PollUntil(RedisReader* reader, SymbolId id, QuoteState want) {
  return WaitFor([&] {
    reader->Poll(kNsPerMs);
    return StateOf(*reader, id) == want;
  });
}

// How often the server has done what a reader does to read.
int64_t ReadCommands(RedisServer* server) {
  int64_t calls = 0;
  for (const std::string_view line : absl::StrSplit(server->Call({"INFO", "commandstats"}), "\r\n")) {
    for (const std::string_view command : {"cmdstat_mget:calls=", "cmdstat_get:calls=", "cmdstat_pttl:calls="}) {
      int64_t count = 0;
      if (line.starts_with(command) &&
          absl::SimpleAtoi(line.substr(command.size(), line.find(',') - command.size()), &count)) {
        calls += count;
      }
    }
  }
  return calls;
}

// The server writes out what one turn of its loop brought, pushes too, before it takes the next command: so with
// another answer all that was told of a change before is on its way.
void Settle(RedisServer* server) { ASSERT_EQ(server->Call({"PING"}), "PONG"); }

void Set(RedisServer* server, std::string_view symbol, int64_t last, int64_t ttl_ms = 600'000,
         int64_t timestamp = 1000) {
  ASSERT_EQ(server->Call({"PSETEX", Key(symbol), absl::StrCat(ttl_ms), Json(last, timestamp)}), "OK");
  Settle(server);
}

// Each test that does not say otherwise runs with tracking and without.
class RedisReaderBothWays : public testing::TestWithParam<bool> {
 protected:
  RedisReader::Options OptionsFor(const RedisServer& server) {
    RedisReader::Options options;
    options.target = UnixTarget(server);
    options.tracking = GetParam();
    return options;
  }
  std::unique_ptr<RedisReader> MakeReader(const RedisServer& server, const std::vector<std::string>& symbols) {
    return Make(OptionsFor(server), symbols);
  }
  Mode mode() const { return GetParam() ? Mode::kTracking : Mode::kPolling; }
};
INSTANTIATE_TEST_SUITE_P(Mode, RedisReaderBothWays, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Tracking" : "Polling"; });

TEST_P(RedisReaderBothWays, GivesWhatTheServerHas) {
  RedisServer server;
  const std::vector<std::string> symbols = Symbols(40);
  RedisReader::Options options = OptionsFor(server);
  options.batch_keys = 7;
  const std::unique_ptr<RedisReader> reader = Make(options, symbols);
  const auto seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  std::map<std::string, int64_t> model;
  std::map<std::string, bool> seen;
  std::map<std::string, std::optional<int64_t>> shown;
  for (int step = 0; step < 300; ++step) {
    for (auto writes = random() % 6; writes > 0; --writes) {
      const std::string& symbol = symbols[random() % symbols.size()];
      switch (random() % 12) {
        case 0:
          server.Call({"UNLINK", Key(symbol)});
          model.erase(symbol);
          break;
        case 1:
          if (random() % 5 != 0) break;
          server.Call({random() % 2 == 0 ? "FLUSHALL" : "FLUSHDB"});
          model.clear();
          break;
        case 2:
          server.Call({"SET", absl::StrCat("other:", symbol), "1"});
          break;
        default:
          model[symbol] = static_cast<int64_t>(random() % 4);
          Set(&server, symbol, model[symbol]);
      }
    }
    Settle(&server);
    ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent) << reader->status();
    EXPECT_EQ(reader->mode(), mode());
    std::map<std::string, bool> changed;
    for (const SymbolId id : reader->changed()) changed[symbols[Index(id)]] = true;
    for (const std::string& symbol : symbols) {
      const SymbolId id = reader->Find(symbol);
      const auto want = model.find(symbol);
      if (want != model.end()) {
        ASSERT_EQ(Last(*reader, id), want->second) << symbol << " step " << step;
        seen[symbol] = true;
      } else {
        ASSERT_EQ(StateOf(*reader, id), seen[symbol] ? QuoteState::kExpired : QuoteState::kNeverSeen) << symbol;
      }
      const std::optional<int64_t> now = Last(*reader, id);
      if (now != shown[symbol]) {
        EXPECT_TRUE(changed[symbol]) << symbol << " step " << step;
      }
      shown[symbol] = now;
    }
  }
}

TEST_P(RedisReaderBothWays, ReadsMoreThanOneBatch) {
  RedisServer server;
  const std::vector<std::string> symbols = Symbols(2'000);
  const std::unique_ptr<RedisReader> reader = MakeReader(server, symbols);
  for (size_t i = 0; i < symbols.size(); ++i) Set(&server, symbols[i], static_cast<int64_t>(i));
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent) << reader->status();
  for (size_t i = 0; i < symbols.size(); ++i) {
    ASSERT_EQ(Last(*reader, reader->Find(symbols[i])), static_cast<int64_t>(i));
  }
  for (size_t i = 0; i < symbols.size(); i += 3) Set(&server, symbols[i], static_cast<int64_t>(i) + 10'000);
  // So many messages do not fit into the socket at once: the server tells of the rest when we have taken the first.
  size_t changed = 0;
  ASSERT_TRUE(WaitFor([&] {
    EXPECT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
    changed += reader->changed().size();
    return changed == (symbols.size() + 2) / 3;
  }));
  for (size_t i = 0; i < symbols.size(); ++i) {
    ASSERT_EQ(Last(*reader, reader->Find(symbols[i])), static_cast<int64_t>(i) + (i % 3 == 0 ? 10'000 : 0));
  }
  EXPECT_EQ(reader->Find("nothing"), kNoSymbol);
  EXPECT_EQ(StateOf(*reader, kNoSymbol), QuoteState::kUnknown);
}

TEST_P(RedisReaderBothWays, WorksInStepsThatDoNotWait) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A"});
  EXPECT_NE(reader->Poll(0), Outcome::kCurrent);
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kUnknown);
  for (int64_t last = 1; last < 20; ++last) {
    Set(&server, "A", last);
    ASSERT_TRUE(WaitFor([&] {
      reader->Poll(0);
      return Last(*reader, SymbolId{0}) == last;
    }));
  }
}

TEST_P(RedisReaderBothWays, KnowsTheDeadlineAndTheAge) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A", "B"});
  const MonoNs before = SystemClock::ReadMonotonic();
  Set(&server, "A", 1, 4'000);
  ASSERT_EQ(server.Call({"SET", Key("B"), Json(2, 1)}), "OK");
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  const MonoNs now = SystemClock::ReadMonotonic();
  const std::optional<MonoNs> deadline = reader->Deadline(SymbolId{0});
  ASSERT_TRUE(deadline.has_value());
  EXPECT_LE(*deadline, now + 4'000 * kNsPerMs);
  EXPECT_GE(*deadline, before + 3'998 * kNsPerMs - (now - before));
  // A second of the five was over when it was written.
  ASSERT_TRUE(reader->AgeNs(SymbolId{0}, now).has_value());
  EXPECT_GE(*reader->AgeNs(SymbolId{0}, now), kNsPerSec);
  EXPECT_LE(*reader->AgeNs(SymbolId{0}, now), kNsPerSec + 2 * (now - before) + 2 * kNsPerMs);
  // One that has no end has no age.
  EXPECT_EQ(Last(*reader, SymbolId{1}), 2);
  EXPECT_EQ(reader->Deadline(SymbolId{1}), QuoteCache::kNoDeadline);
  EXPECT_FALSE(reader->AgeNs(SymbolId{1}, now).has_value());
}

TEST_P(RedisReaderBothWays, IsAbsentInTime) {
  RedisServer server;
  // Redis looks for what has run out so seldom that it is the reader who must know.
  server.Call({"CONFIG", "SET", "hz", "1"});
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A"});
  Set(&server, "A", 1, 300);
  const MonoNs after_set = SystemClock::ReadMonotonic();
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  // Without any further Poll.
  EXPECT_TRUE(WaitFor([&] {
    const MonoNs now = SystemClock::ReadMonotonic();
    const Quote* quote = nullptr;
    const bool served = reader->Get(SymbolId{0}, now, &quote) == QuoteState::kCurrent;
    EXPECT_TRUE(!served || now < after_set + 300 * kNsPerMs);
    return !served;
  }));
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kExpired);
  EXPECT_TRUE(PollUntil(reader.get(), SymbolId{0}, QuoteState::kExpired));
  Set(&server, "A", 2);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(Last(*reader, SymbolId{0}), 2);
}

TEST_P(RedisReaderBothWays, TheSameValueWrittenAgainLivesOn) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A"});
  const MonoNs end = SystemClock::ReadMonotonic() + 1'500 * kNsPerMs;
  while (SystemClock::ReadMonotonic() < end) {
    Set(&server, "A", 7, 500);
    ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
    ASSERT_EQ(Last(*reader, SymbolId{0}), 7);
  }
}

TEST_P(RedisReaderBothWays, WhatIsNoQuoteIsInvalid) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A", "B", "C", "D"});
  server.Call({"SET", Key("A"), "not a quote"});
  server.Call({"SET", Key("B"), std::string(100'000, 'x')});
  server.Call({"RPUSH", Key("C"), "1"});
  Set(&server, "D", 4);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent) << reader->status();
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kInvalid);
  EXPECT_EQ(StateOf(*reader, SymbolId{1}), QuoteState::kInvalid);
  EXPECT_EQ(StateOf(*reader, SymbolId{2}), QuoteState::kNeverSeen);  // MGET does not tell it from an absent key
  EXPECT_EQ(Last(*reader, SymbolId{3}), 4);
  Set(&server, "B", 5);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(Last(*reader, SymbolId{1}), 5);
}

TEST_P(RedisReaderBothWays, ReadsAllAnewOnANewConnection) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A", "B"});
  Set(&server, "A", 1);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  for (int round = 2; round < 6; ++round) {
    const uint64_t connections = reader->counts().connections;
    server.Call({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    Set(&server, "A", round);  // nobody is told
    ASSERT_TRUE(WaitFor(
        [&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent && reader->counts().connections > connections; }));
    EXPECT_EQ(Last(*reader, SymbolId{0}), round);
    EXPECT_EQ(StateOf(*reader, SymbolId{1}), QuoteState::kNeverSeen);
    EXPECT_EQ(reader->mode(), mode());
  }
}

TEST_P(RedisReaderBothWays, AServerThatCameBackEmpty) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A", "B"});
  Set(&server, "A", 1, 600'000);
  Set(&server, "B", 2, 1'000);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  server.Kill();
  ASSERT_TRUE(WaitFor([&] { return reader->Poll(0) == Outcome::kDisconnected; }));
  EXPECT_FALSE(reader->status().ok());
  EXPECT_EQ(Last(*reader, SymbolId{0}, QuoteState::kHeld), 1);
  EXPECT_TRUE(PollUntil(reader.get(), SymbolId{1}, QuoteState::kUnknown)) << "its deadline has passed";
  server.Start();
  ASSERT_TRUE(WaitFor([&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent; }));
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kExpired);
  Set(&server, "A", 3);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(Last(*reader, SymbolId{0}), 3);
}

TEST_P(RedisReaderBothWays, AStoppedServerIsBelievedUntilTheDeadlineOnly) {
  RedisServer server;
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A"});
  Set(&server, "A", 1, 4'000);
  const MonoNs end = SystemClock::ReadMonotonic() + 4'000 * kNsPerMs;
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  server.Signal(SIGSTOP);
  bool held = false;
  EXPECT_TRUE(WaitFor([&] {
    reader->Poll(kNsPerMs);
    const MonoNs now = SystemClock::ReadMonotonic();
    const Quote* quote = nullptr;
    const QuoteState state = reader->Get(SymbolId{0}, now, &quote);
    EXPECT_TRUE(quote == nullptr || now < end);
    held = held || state == QuoteState::kHeld;
    return state == QuoteState::kUnknown;
  }));
  EXPECT_TRUE(held) << "a server that says nothing is not believed for long that nothing has changed";
  server.Signal(SIGCONT);
  ASSERT_TRUE(WaitFor([&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent; }));
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kExpired);
}

// An answer may lie in the socket for as long as nobody polls: it says how the server was when it came.
TEST(RedisReader, AnAnswerFromLongAgoSaysNothingOfNow) {
  RedisServer server;
  RedisReader::Options options;
  options.target = UnixTarget(server);
  options.heartbeat_ns = 20 * kNsPerMs;
  options.silence_ns = 200 * kNsPerMs;
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  Set(&server, "A", 1);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  const auto passed = [](int64_t ns) {
    return [end = SystemClock::ReadMonotonic() + ns] { return SystemClock::ReadMonotonic() >= end; };
  };
  ASSERT_TRUE(WaitFor(passed(2 * options.heartbeat_ns)));
  reader->Poll(0);  // asks for a sign of life
  Settle(&server);
  server.Signal(SIGSTOP);
  ASSERT_TRUE(WaitFor(passed(2 * options.silence_ns)));
  EXPECT_NE(reader->Poll(0), Outcome::kCurrent);
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kHeld);
  server.Signal(SIGCONT);
  EXPECT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kCurrent);
}

TEST_P(RedisReaderBothWays, SaysWhyItCannotRead) {
  RedisServer server;
  server.Call({"ACL", "SETUSER", "default", "-pttl"});
  const std::unique_ptr<RedisReader> reader = MakeReader(server, {"A"});
  EXPECT_TRUE(WaitFor([&] {
    reader->Poll(kNsPerMs);
    return absl::IsPermissionDenied(reader->status());
  }));
  EXPECT_NE(reader->status().message().find("PTTL"), std::string_view::npos) << reader->status();
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kUnknown);
  server.Call({"ACL", "SETUSER", "default", "+pttl"});
  EXPECT_TRUE(PollUntil(reader.get(), SymbolId{0}, QuoteState::kNeverSeen));
}

TEST_P(RedisReaderBothWays, UsesThePasswordOfItsTarget) {
  RedisServer server;
  server.Call(
      {"ACL", "SETUSER", "reader", "on", ">secret", "~price:*", "+mget", "+pttl", "+hello", "+client|tracking"});
  RedisReader::Options options = OptionsFor(server);
  options.target.user = "reader";
  options.target.password = "wrong";
  const std::unique_ptr<RedisReader> refused = Make(options, {"A"});
  EXPECT_TRUE(WaitFor([&] {
    refused->Poll(kNsPerMs);
    return absl::IsPermissionDenied(refused->status());
  }));
  EXPECT_EQ(refused->status().message().find("wrong"), std::string_view::npos);
  options.target.password = "secret";
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  Set(&server, "A", 1);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent) << reader->status();
  EXPECT_EQ(Last(*reader, SymbolId{0}), 1);
  EXPECT_EQ(reader->mode(), mode());
}

TEST(RedisReader, AnUnchangedSymbolCostsNoCommand) {
  RedisServer server;
  const std::vector<std::string> symbols = Symbols(50);
  RedisReader::Options options;
  options.target = UnixTarget(server);
  const std::unique_ptr<RedisReader> reader = Make(options, symbols);
  for (const std::string& symbol : symbols) Set(&server, symbol, 1);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  ASSERT_EQ(reader->mode(), Mode::kTracking) << reader->status();
  const int64_t before = ReadCommands(&server);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(ReadCommands(&server), before);
  // One that changed, however often, costs its own PTTL and MGET.
  for (int i = 0; i < 100; ++i) Set(&server, "S7", i);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(Last(*reader, reader->Find("S7")), 99);
  EXPECT_EQ(ReadCommands(&server), before + 2);
  EXPECT_EQ(reader->counts().invalidations, 1u);
  EXPECT_EQ(reader->changed().size(), 1u);
}

TEST(RedisReader, AFlushDropsEverything) {
  RedisServer server;
  RedisReader::Options options;
  options.target = UnixTarget(server);
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  Set(&server, "A", 1);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  server.Call({"FLUSHALL"});
  // Without the time to ask.
  ASSERT_TRUE(WaitFor([&] {
    reader->Poll(0);
    return reader->counts().flushes == 1;
  }));
  EXPECT_NE(StateOf(*reader, SymbolId{0}), QuoteState::kCurrent);
  EXPECT_NE(StateOf(*reader, SymbolId{0}), QuoteState::kHeld);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(StateOf(*reader, SymbolId{0}), QuoteState::kExpired);
}

// What a server may forbid, and still be polled. (HELLO is not a right: no ACL can take it.)
class RedisReaderFallBack : public testing::TestWithParam<std::vector<std::string>> {};
INSTANTIATE_TEST_SUITE_P(Forbidden, RedisReaderFallBack,
                         testing::Values(std::vector<std::string>{"-client|tracking"},
                                         std::vector<std::string>{"-client"},
                                         std::vector<std::string>{"-client", "-info", "-time", "-role"}));

TEST_P(RedisReaderFallBack, PollsWhereTrackingIsRefused) {
  RedisServer server;
  std::vector<std::string> acl = {"ACL", "SETUSER", "strategy", "on", "nopass", "~*", "+@all"};
  acl.insert(acl.end(), GetParam().begin(), GetParam().end());
  ASSERT_EQ(server.Call(acl), "OK");
  RedisReader::Options options;
  options.target = UnixTarget(server);
  options.target.user = "strategy";
  options.target.password = "any";
  const std::unique_ptr<RedisReader> reader = Make(options, {"A", "B"});
  for (int64_t last = 1; last < 10; ++last) {
    Set(&server, "A", last);
    ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent) << reader->status();
    ASSERT_EQ(Last(*reader, SymbolId{0}), last);
    ASSERT_EQ(reader->mode(), Mode::kPolling);
    ASSERT_FALSE(reader->status().ok()) << "it says why";
  }
  EXPECT_EQ(reader->counts().connections, 1u);
}

TEST(RedisReader, PollsWhereHelloIsUnknown) {
  RedisServer server({"--rename-command", "HELLO", ""});
  RedisReader::Options options;
  options.target = UnixTarget(server);
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  Set(&server, "A", 1);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  Set(&server, "A", 2);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(Last(*reader, SymbolId{0}), 2);
  EXPECT_EQ(reader->mode(), Mode::kPolling);
  EXPECT_NE(reader->status().message().find("HELLO"), std::string_view::npos) << reader->status();
}

// Installed, or where bench/build_valkey leaves it; empty: there is none.
std::string ValkeyServer() {
  if (std::system("command -v valkey-server >/dev/null") == 0) return "valkey-server";
  const auto env = [](const char* name) { return std::string(std::getenv(name) == nullptr ? "" : std::getenv(name)); };
  std::string prefix = env("TICKBRIDGE_VALKEY");
  if (prefix.empty()) {
    const std::string cache = env("XDG_CACHE_HOME");
    prefix = (cache.empty() ? env("HOME") + "/.cache" : cache) + "/tickbridge/valkey";
  }
  const std::string program = prefix + "/bin/valkey-server";
  return ::access(program.c_str(), X_OK) == 0 ? program : "";
}

TEST(RedisReader, WorksWithValkey) {
  const std::string program = ValkeyServer();
  if (program.empty()) GTEST_SKIP() << "no valkey-server, neither installed nor made by bench/build_valkey";
  RedisServer server({}, program);
  RedisReader::Options options;
  options.target = UnixTarget(server);
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  for (int64_t last = 1; last < 10; ++last) {
    Set(&server, "A", last);
    ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
    ASSERT_EQ(Last(*reader, SymbolId{0}), last);
  }
  EXPECT_EQ(reader->mode(), Mode::kTracking);
}

// A primary and its replica, connected.
struct Pair {
  Pair()
      : primary_port(FreePort()),
        replica_port(FreePort()),
        primary({"--port", absl::StrCat(primary_port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"}),
        replica({"--port", absl::StrCat(replica_port), "--bind", "127.0.0.1", "--replicaof",
                 absl::StrCat("127.0.0.1 ", primary_port)}) {
    if (!WaitFor([this] { return Linked(); })) throw std::runtime_error("the replica does not sync");
  }
  bool Linked() { return replica.Call({"INFO", "replication"}).find("master_link_status:up") != std::string::npos; }
  bool Known() { return primary.Call({"INFO", "replication"}).find("state=online") != std::string::npos; }

  uint16_t primary_port;
  uint16_t replica_port;
  RedisServer primary;
  RedisServer replica;
};

TEST_P(RedisReaderBothWays, ReadsAReplicaAndGoesBackToThePrimary) {
  Pair pair;
  RedisReader::Options options;
  options.tracking = GetParam();
  options.target = TcpTarget(pair.primary_port);
  options.read_replicas = {TcpTarget(pair.replica_port)};
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  for (int64_t last = 1; last < 10; ++last) {
    Set(&pair.primary, "A", last);
    ASSERT_TRUE(
        WaitFor([&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent && Last(*reader, SymbolId{0}) == last; }));
    EXPECT_TRUE(reader->at_replica());
    EXPECT_EQ(reader->mode(), mode());
  }
  pair.replica.Kill();
  Set(&pair.primary, "A", 20);
  ASSERT_TRUE(WaitFor([&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent && !reader->at_replica(); }));
  EXPECT_EQ(Last(*reader, SymbolId{0}), 20);
}

TEST(RedisReader, DiscoversReplicas) {
  Pair pair;
  ASSERT_TRUE(WaitFor([&] { return pair.Known(); }));
  RedisReader::Options options;
  options.target = TcpTarget(pair.primary_port);
  options.discover_replicas = true;
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  Set(&pair.primary, "A", 1);
  ASSERT_EQ(pair.primary.Call({"WAIT", "1", "10000"}), "1");
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_TRUE(reader->at_replica());
  EXPECT_EQ(reader->server().port, pair.replica_port);
  EXPECT_EQ(Last(*reader, SymbolId{0}), 1) << "read from the replica, since it is what is connected to";
}

TEST(RedisReader, APrimaryWithoutReplicasIsReadItself) {
  RedisServer server;
  RedisReader::Options options;
  options.target = UnixTarget(server);
  options.discover_replicas = true;
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_FALSE(reader->at_replica());
  EXPECT_EQ(reader->counts().connections, 1u);
}

TEST(RedisReader, LeavesAReplicaThatHasLostItsPrimary) {
  Pair pair;
  RedisReader::Options options;
  options.target = TcpTarget(pair.primary_port);
  options.read_replicas = {TcpTarget(pair.replica_port)};
  options.heartbeat_ns = 20 * kNsPerMs;
  const std::unique_ptr<RedisReader> reader = Make(options, {"A"});
  ASSERT_TRUE(WaitFor([&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent && reader->at_replica(); }));
  pair.replica.Call({"REPLICAOF", "127.0.0.1", absl::StrCat(FreePort())});
  EXPECT_TRUE(WaitFor([&] { return reader->Poll(kNsPerMs) == Outcome::kCurrent && !reader->at_replica(); }));
}

TEST_P(RedisReaderBothWays, AServerThatLagsDoesNotStepBackInTime) {
  RedisServer ahead;
  RedisServer behind;
  Set(&ahead, "A", 5, 3'000, 2000);
  Set(&behind, "A", 4, 2'500, 1000);
  Set(&ahead, "B", 6, 600'000, 2000);
  Set(&behind, "B", 7, 600'000, 3000);
  RedisReader::Options options;
  options.tracking = GetParam();
  options.target = UnixTarget(behind);
  options.read_replicas = {UnixTarget(ahead)};
  const std::unique_ptr<RedisReader> reader = Make(options, {"A", "B"});
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  ASSERT_EQ(Last(*reader, SymbolId{0}), 5);
  ahead.Kill();
  ASSERT_TRUE(WaitFor([&] {
    reader->Poll(kNsPerMs);
    return Last(*reader, SymbolId{1}) == 7;
  }));
  bool held = false;
  EXPECT_TRUE(WaitFor([&] {
    reader->Poll(kNsPerMs);
    held = held || Last(*reader, SymbolId{0}, QuoteState::kHeld) == 5;
    const std::optional<int64_t> last = Last(*reader, SymbolId{0});
    EXPECT_FALSE(last.has_value()) << "the older " << *last << " was shown";
    return StateOf(*reader, SymbolId{0}) == QuoteState::kExpired;
  }));
  EXPECT_TRUE(held);
  EXPECT_GT(reader->counts().held_back, 0u);
  Set(&behind, "A", 8, 600'000, 2001);
  ASSERT_EQ(reader->Poll(kLongNs), Outcome::kCurrent);
  EXPECT_EQ(Last(*reader, SymbolId{0}), 8);
}

TEST(RedisReader, RefusesWhatCannotBe) {
  const auto refused = [](RedisReader::Options options, const std::vector<std::string>& symbols) {
    const auto reader = RedisReader::Create(std::move(options), symbols);
    return !reader.ok() && absl::IsInvalidArgument(reader.status());
  };
  EXPECT_TRUE(refused({}, {}));
  EXPECT_TRUE(refused({}, {"A", "A"}));
  EXPECT_TRUE(refused({}, {"{"}));
  EXPECT_TRUE(refused({.key = "price:latest"}, {"A"}));
  EXPECT_TRUE(refused({.key = "price:{symbol}:{venue}"}, {"A"}));
  EXPECT_TRUE(refused({.batch_keys = 0}, {"A"}));
  EXPECT_TRUE(refused({.silence_ns = 1}, {"A"}));
}

}  // namespace
}  // namespace tickbridge
