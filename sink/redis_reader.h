// SPDX-License-Identifier: Apache-2.0
// A near cache of quotes for a strategy on another host: poll, then get. Each quote is parsed once for each change, and
// a symbol that did not change costs no round trip where the server tracks what we read.
//
//   auto reader = RedisReader::Create({.target = *ParseRedisUrl("redis://10.0.0.5:6379/0")}, symbols);
//   const SymbolId mnq = (*reader)->Find("MNQZ5");
//   while (trading) {
//     (*reader)->Poll(200 * kNsPerUs);
//     const Quote* quote = nullptr;
//     if ((*reader)->Get(mnq, &quote) == QuoteState::kCurrent) Trade(*quote);
//   }
//
// Tracking (`HELLO 3`, `CLIENT TRACKING ON`, Redis ≥ 6): the server remembers what this connection has read, and says
// once when a key of it changes; the next Poll reads those keys again, all in one round trip. A Poll when nothing
// changed is one look at the socket. Why the default mode: it tells of a key once and then not again until it was read,
// so that a symbol which changes ten thousand times between two Polls costs one message; BCAST would send all ten
// thousand, and those of symbols that we do not read, however slowly we poll. OPTIN would say before each read that
// this one counts, and here every one does. Where tracking is refused (an old server, an ACL): polling.
//
// Polling: each Poll reads all keys by MGET, and those that differ from what is held once more, with their deadlines.
// mode() says which it is, and status() why.
//
// Fresh or absent: MGET does not tell how long a value may live, so PTTL of each key is asked right before it. What is
// left counts from when we asked: a value is served too short by a round trip and 1 ms at most, never too long. (PTTL,
// not PEXPIRETIME: it needs no common clock, and is in every version.) PTTL and MGET are not one step for the server;
// if the key is written between them, the deadline is that of the value before, which no writer of ours ends later.
// With tracking the server tells of it, and the key is read again at the next Poll. Only somebody who gives a key a
// shorter life than before could have his value served longer, until the next Poll.
//
// A deadline holds whatever happens: a server that is stopped, cut off or gone cannot tell of a change, and what it
// last said is served as kHeld until its deadline, then as kUnknown. What is told by silence is believed for
// `silence_ns` after the server was last heard of; an idle connection is asked each `heartbeat_ns`, without waiting.
// What lies in the socket for want of a Poll counts as heard when it may have come, not when it was taken: who polls
// more seldom than `silence_ns` must give Poll the time of a round trip.
//
// With every new connection all is read again: nobody knows what was missed. FLUSHALL drops everything at once.
//
// Replicas: on demand, see Options. A replica lags, so that a switch could step back in time: see sink/quote_cache.h.
// One that has lost its primary is left. Its keys end when its own clock says so.
//
// Threading: one thread calls; a helper thread of its own connects. No call but Create and the destructor blocks for
// longer than the time-out that it was given; the destructor waits for a connecting under way, `connect_timeout_ns`.
// Memory: about 400 bytes a symbol and the text of its value, all bounded; none taken by Get.
// Rights that the user needs: MGET and PTTL on the keys; better also HELLO, CLIENT, INFO, TIME; ROLE for replicas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/clock.h"
#include "core/types.h"
#include "sink/quote_cache.h"
#include "sink/reader_link.h"
#include "sink/redis_target.h"
#include "sink/resp_scanner.h"
#include "sink/transport.h"

namespace tickbridge {

class RedisReader {
 public:
  enum class Mode : uint8_t { kConnecting, kPolling, kTracking };
  enum class Outcome : uint8_t {
    // Every symbol was read since Poll was called, or, with tracking, since the server last told of it. What it tells
    // of meanwhile is read by the next Poll; until then Get says kHeld. (A change that is already confirmed to its
    // writer may still be on its way to us.)
    kCurrent,
    kPending,       // the time was over before all had been read; go on with the next Poll
    kDisconnected,  // status() says why
  };

  struct Options {
    RedisTarget target{};                       // user, password and TLS too
    std::string key = "price:{symbol}:latest";  // of the price class
    int64_t ttl_ns = 5 * kNsPerSec;             // of the price class, for AgeNs; 0: not known
    bool tracking = true;                       // false: polling
    // Read these, in this order, and the target only when none of them can be had.
    std::vector<RedisTarget> read_replicas{};
    // The same with the replicas that the target itself knows (`ROLE`); user, password, database and TLS are the
    // target's.
    bool discover_replicas = false;
    // Keys of one MGET: the server does nothing else meanwhile. All batches go out at once.
    uint32_t batch_keys = 256;
    int64_t connect_timeout_ns = kNsPerSec;
    int64_t heartbeat_ns = 200 * kNsPerMs;
    int64_t silence_ns = kNsPerSec;  // a server that owes an answer for longer is given up
  };

  // What has happened since the start.
  struct Counts {
    uint64_t connections = 0;
    uint64_t sweeps = 0;         // polling: all keys looked at
    uint64_t keys_read = 0;      // with their deadline
    uint64_t changes = 0;        // of values, or of their being there
    uint64_t invalidations = 0;  // keys that the server told us of
    uint64_t flushes = 0;
    uint64_t held_back = 0;  // older values of another server
  };

  // Connects at the first Poll. Each symbol once; at most limits::kSymbolsMax.
  // Errors: kInvalidArgument: the pattern, the symbols, the target, or TLS's files.
  static absl::StatusOr<std::unique_ptr<RedisReader>> Create(Options options, std::span<const std::string> symbols);
  RedisReader(const RedisReader&) = delete;
  RedisReader& operator=(const RedisReader&) = delete;
  ~RedisReader();

  // kNoSymbol if it is not one of ours. Ids count from 0 in the order given to Create.
  SymbolId Find(std::string_view symbol) const;
  uint32_t symbols() const noexcept { return static_cast<uint32_t>(keys_.size()); }

  // Takes what the server has told, reads again what that makes necessary, and waits for it `timeout_ns` at most;
  // 0: not at all, then the answers are taken by the next Poll.
  Outcome Poll(int64_t timeout_ns);

  // See QuoteCache. `now` by SystemClock::ReadMonotonic, read once for many symbols.
  QuoteState Get(SymbolId id, MonoNs now, const Quote** quote) const noexcept { return cache_.Get(id, now, quote); }
  QuoteState Get(SymbolId id, const Quote** quote) const noexcept {
    return cache_.Get(id, SystemClock::ReadMonotonic(), quote);
  }
  std::optional<int64_t> AgeNs(SymbolId id, MonoNs now) const noexcept { return cache_.AgeNs(id, now); }
  std::optional<MonoNs> Deadline(SymbolId id) const noexcept { return cache_.Deadline(id); }

  // Those whose value, or its being there, changed in the last Poll; a deadline that passes is not told here. Lives
  // until the next Poll.
  std::span<const SymbolId> changed() const noexcept { return changed_; }

  Mode mode() const noexcept { return mode_; }
  // Not connected: why. Polling though tracking was wanted: why. Else OK.
  const absl::Status& status() const noexcept { return status_; }
  const RedisTarget& server() const noexcept { return link_->target(); }
  bool at_replica() const noexcept { return link_->at_replica(); }
  const Counts& counts() const noexcept { return counts_; }
  // For an event loop: readable when the server has sent something; -1: not connected. Poll without it, too: each
  // `heartbeat_ns`, and at once when the last Poll did not return kCurrent or left a symbol as kHeld.
  int fd() const noexcept { return session_.fd; }

 private:
  // What the next answer of the server is to.
  enum class Asked : uint8_t { kHello, kTracking, kPing, kRole, kTtl, kRead, kSweep };
  struct Expected {
    Asked asked;
    uint32_t answers = 1;
    uint32_t keys = 0;  // of a MGET
  };
  // Reading goes on in rounds: all keys to be read, in batches, in one go; the next when all of them were answered.
  enum class Round : uint8_t { kNone, kSweep, kRead };
  struct Mark {
    bool stale = false;           // to be read
    bool queued = false;          // in stale_
    bool told_since_ttl = false;  // the server told of it after it had told its PTTL
  };
  struct RoleAnswer {
    bool is_replica = false;
    bool linked = true;  // a replica to its primary
    int field = 0;       // of the replica that is being scanned
    std::string host;
    std::vector<std::pair<std::string, uint16_t>> replicas;
  };

  RedisReader(Options options, std::unique_ptr<ReaderLink> link, size_t symbols);
  bool connected() const noexcept { return session_.transport != nullptr; }

  void Connect(MonoNs now);
  void Begin(Session session, MonoNs now);
  void Disconnect(absl::Status why);
  // The same, and on to the next server, or this one again, after a while.
  void Lose(absl::Status why, MonoNs now);
  void Wait(MonoNs deadline) const;

  void MarkStale(uint32_t index);
  void MarkAllStale();
  void StartRead(MonoNs now);
  void StartSweep(MonoNs now);
  void Expect(Expected expected, MonoNs now);
  void Heartbeat(MonoNs now);
  // False: the connection is no more.
  bool Send(MonoNs now);
  bool Receive(MonoNs now);

  // OK, or why the connection is of no use.
  absl::Status OnToken(const RespScanner::Token& token, MonoNs now);
  void OnPush(const RespScanner::Token& token);
  absl::Status OnTtl(const RespScanner::Token& token);
  absl::Status OnValues(const RespScanner::Token& token, MonoNs now);
  void OnRole(const RespScanner::Token& token);
  absl::Status OnRoleEnd(MonoNs now);
  void OnTracking(const RespScanner::Token& token);
  void OnValue(uint32_t index, const QuoteCache::Value& value, MonoNs deadline, MonoNs now);
  void NoteChanged(uint32_t index);

  const Options options_;
  const std::unique_ptr<ReaderLink> link_;
  std::vector<std::string> names_;
  std::vector<std::string> keys_;
  std::unordered_map<std::string_view, uint32_t> by_name_;  // views into names_
  std::unordered_map<std::string_view, uint32_t> by_key_;   // views into keys_
  QuoteCache cache_;
  Counts counts_;
  std::vector<SymbolId> changed_;
  std::vector<bool> is_changed_;

  // Of the connection.
  Session session_;
  RespScanner scanner_;
  Mode mode_ = Mode::kConnecting;
  absl::Status status_;
  std::string server_id_;  // its run_id
  uint32_t server_number_ = 0;
  bool resp3_ = false;
  std::string out_;
  size_t out_sent_ = 0;
  std::vector<Expected> expected_;
  size_t expected_at_ = 0;
  MonoNs heard_at_;    // or asked, if nothing was owed then
  MonoNs empty_at_;    // when there was last nothing to receive
  MonoNs said_after_;  // what was received last came after that, at whatever time it was taken
  bool beating_ = false;
  // The push or answer that is being scanned.
  bool in_push_ = false;
  bool is_invalidation_ = false;
  uint32_t element_ = 0;
  RoleAnswer role_;

  // Of the reading.
  Round round_ = Round::kNone;
  std::vector<Mark> marks_;
  std::vector<uint32_t> stale_;    // to be read in the next round, each once
  std::vector<uint32_t> reading_;  // in this round, in order
  std::vector<MonoNs> deadlines_;  // of reading_
  MonoNs asked_at_;
  size_t ttl_at_ = 0;   // of reading_, answered so far
  size_t read_at_ = 0;  // of reading_, or of all keys in a sweep
};

}  // namespace tickbridge
