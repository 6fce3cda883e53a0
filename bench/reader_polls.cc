// SPDX-License-Identifier: Apache-2.0
// What it costs a strategy to have the newest of 1,000 quotes from a Redis on a Unix socket, when 0, 1 or 100 % of them
// changed since it looked last:
// - GET of one after another, as a strategy without a library does it; the values are not even parsed;
// - one MGET of all by hiredis, not parsed either;
// - RedisReader polling, and RedisReader with tracking: parsed where they changed, with deadlines.
// In turn in one run. Then what CLIENT TRACKING tells in its default mode and in BCAST mode while the feed runs.
//
// usage: reader_polls [--rounds 200] [--smoke]
#include <hiredis/hiredis.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/clock.h"
#include "sink/dial.h"
#include "sink/redis_reader.h"
#include "sink/resp.h"
#include "sink/resp_scanner.h"
#include "sink/wait.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 1'000;

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "reader_polls: %s\n", what);
  std::exit(1);
}

void PinTo(pid_t pid, int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(pid, sizeof(one), &one);
}

// The feed's side, and what a strategy without a library does.
class Plain {
 public:
  explicit Plain(const RedisServer& server) : context_(redisConnectUnix(server.socket().c_str())) {}
  ~Plain() { redisFree(context_); }
  Plain(const Plain&) = delete;
  Plain& operator=(const Plain&) = delete;

  void Append(const std::vector<std::string>& words) {
    std::vector<const char*> arguments;
    std::vector<size_t> sizes;
    for (const std::string& word : words) {
      arguments.push_back(word.data());
      sizes.push_back(word.size());
    }
    redisAppendCommandArgv(context_, static_cast<int>(words.size()), arguments.data(), sizes.data());
    ++awaited_;
  }
  // Elements of the last answer.
  size_t Await() {
    size_t elements = 0;
    for (; awaited_ > 0; --awaited_) {
      void* reply = nullptr;
      Require(redisGetReply(context_, &reply) == REDIS_OK, "the server does not answer");
      elements = static_cast<redisReply*>(reply)->elements;
      freeReplyObject(reply);
    }
    return elements;
  }

 private:
  redisContext* context_;
  int awaited_ = 0;
};

struct Feed {
  explicit Feed(const RedisServer& server) : plain(server) {
    for (uint32_t i = 0; i < kSymbols; ++i) {
      symbols.push_back(absl::StrCat("SYM", i));
      keys.push_back(absl::StrCat("price:", symbols.back(), ":latest"));
      Write(i);
    }
    Settle();
  }
  void Write(uint32_t i) {
    const uint64_t cents = 2'100'000 + ++writes % 10'000;
    plain.Append(
        {"SETEX", keys[i], "60",
         absl::StrCat(R"({"Last":)", cents / 100, ".", cents % 90 + 10,
                      R"(,"Bid":21000.0,"Ask":21000.5,"Volume":12345,"High":21100.0,"Low":20950.0,"Timestamp":)",
                      1'700'000'000'000 + writes, "}")});
  }
  // All is written, and all messages about it are on their way.
  void Settle() {
    plain.Await();
    plain.Append({"PING"});
    plain.Await();
  }

  std::vector<std::string> symbols;
  std::vector<std::string> keys;
  Plain plain;
  uint64_t writes = 0;
};

struct Side {
  const char* name;
  std::vector<double> us;
  double Percentile(double p) {
    std::sort(us.begin(), us.end());
    return us[std::min(us.size() - 1, static_cast<size_t>(p * static_cast<double>(us.size())))];
  }
};

std::unique_ptr<RedisReader> MakeReader(const RedisServer& server, std::vector<std::string> symbols, bool tracking) {
  RedisReader::Options options;
  options.target.kind = RedisTarget::Kind::kUnix;
  options.target.unix_path = server.socket();
  options.tracking = tracking;
  auto reader = *RedisReader::Create(options, symbols);
  while (reader->Poll(kNsPerSec) != RedisReader::Outcome::kCurrent) continue;
  Require(reader->mode() == (tracking ? RedisReader::Mode::kTracking : RedisReader::Mode::kPolling), "the wrong mode");
  return reader;
}

void ComparePolls(const RedisServer& server, Feed* feed, int rounds) {
  Plain strategy(server);
  const auto polling = MakeReader(server, feed->symbols, false);
  const auto tracking = MakeReader(server, feed->symbols, true);
  std::vector<std::string> mget = {"MGET"};
  mget.insert(mget.end(), feed->keys.begin(), feed->keys.end());
  std::minstd_rand random(1);
  std::printf("%-9s %-22s %10s %10s %12s %8s\n", "changed", "way", "p50 us", "p99 us", "polls/s", "x GET");
  for (const uint32_t changed : {0U, kSymbols / 100, kSymbols}) {
    std::array<Side, 4> sides = {
        {{"GET, one at a time", {}}, {"bare MGET", {}}, {"RedisReader polling", {}}, {"RedisReader tracking", {}}}};
    for (int round = 0; round < rounds; ++round) {
      for (size_t side = 0; side < sides.size(); ++side) {
        for (uint32_t i = 0; i < changed; ++i)
          feed->Write(changed == kSymbols ? i : static_cast<uint32_t>(random() % kSymbols));
        feed->Settle();
        const MonoNs begin = SystemClock::ReadMonotonic();
        if (side == 0) {
          for (const std::string& key : feed->keys) {
            strategy.Append({"GET", key});
            strategy.Await();
          }
        } else if (side == 1) {
          strategy.Append(mget);
          Require(strategy.Await() == kSymbols, "a value is missing");
        } else {
          RedisReader& reader = side == 2 ? *polling : *tracking;
          size_t seen = 0;
          // What is told in more than the socket holds comes in parts. All sides changed the values since this one
          // looked.
          do {
            Require(reader.Poll(kNsPerSec) == RedisReader::Outcome::kCurrent, "not current");
            seen += reader.changed().size();
          } while (changed == kSymbols && seen < kSymbols);
          Require((seen == 0) == (changed == 0), "changes were not seen");
        }
        sides[side].us.push_back(static_cast<double>(SystemClock::ReadMonotonic() - begin) / 1e3);
        // For the readers only their own changes count.
        while (polling->Poll(kNsPerSec) != RedisReader::Outcome::kCurrent || !polling->changed().empty()) continue;
        while (tracking->Poll(kNsPerSec) != RedisReader::Outcome::kCurrent || !tracking->changed().empty()) continue;
      }
    }
    const double base = sides[0].Percentile(0.5);
    for (Side& side : sides) {
      const double p50 = side.Percentile(0.5);
      std::printf("%7.0f %% %-22s %10.1f %10.1f %12.0f %8.1f\n", 100.0 * changed / kSymbols, side.name, p50,
                  side.Percentile(0.99), 1e6 / p50, base / p50);
    }
  }
}

// A strategy that reads every tenth symbol and polls after each thousand writes of the feed.
void CompareModes(const RedisServer& server, Feed* feed, int polls) {
  std::vector<std::string> some;
  for (uint32_t i = 0; i < kSymbols; i += 10) some.push_back(feed->symbols[i]);
  const auto reader = MakeReader(server, some, true);
  RedisTarget target;
  target.kind = RedisTarget::Kind::kUnix;
  target.unix_path = server.socket();
  absl::StatusOr<Line> line = Dial(target, nullptr, kNsPerSec, -1);
  Require(line.ok(), "cannot connect");
  std::string hello;
  resp::AppendCommand(&hello, {"HELLO", "3"});
  resp::AppendCommand(&hello, {"CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "price:"});
  size_t bytes = 0;
  line->transport->Write(hello, &bytes);
  RespScanner scanner;
  uint64_t told = 0;
  const auto take = [&] {
    while (line->transport->Read(scanner.WritableSpace(), &bytes) == Transport::Result::kOk) {
      scanner.Commit(bytes);
      RespScanner::Token token;
      while (scanner.Next(&token) == RespScanner::Result::kToken) {
        if (token.depth == 2 && token.type == RespScanner::Type::kString && token.text.starts_with("price:")) ++told;
      }
    }
  };
  feed->Settle();
  take();
  told = 0;
  const uint64_t before = reader->counts().invalidations;
  std::minstd_rand random(2);
  for (int poll = 0; poll < polls; ++poll) {
    for (int write = 0; write < 1'000; ++write) {
      feed->Write(static_cast<uint32_t>(random() % kSymbols));
      if (write % 4 == 3) feed->plain.Await();
      if (write % 100 == 99) take();
    }
    feed->Settle();
    while (reader->Poll(kNsPerSec) != RedisReader::Outcome::kCurrent) continue;
  }
  take();
  std::printf(
      "\n%d polls, %d writes to %u symbols, %zu of them read: keys told of in default mode %llu, with BCAST %llu\n",
      polls, polls * 1'000, kSymbols, some.size(),
      static_cast<unsigned long long>(reader->counts().invalidations - before), static_cast<unsigned long long>(told));
}

int Main(int argc, char** argv) {
  int rounds = 200;
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) {
      smoke = true;
      rounds = 2;
    } else if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else {
      std::fprintf(stderr, "usage: reader_polls [--rounds 200] [--smoke]\n");
      return 2;
    }
  }
#ifndef NDEBUG
  Require(smoke, "this is a build with assertions; use the release preset");
#endif
  RedisServer server;
  if (!smoke) {
    PinTo(server.pid(), 0);
    PinTo(0, 1);
  }
  Feed feed(server);
  ComparePolls(server, &feed, rounds);
  CompareModes(server, &feed, std::max(2, rounds / 10));
  return 0;
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) { return tickbridge::Main(argc, argv); }
