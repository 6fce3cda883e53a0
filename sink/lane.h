// SPDX-License-Identifier: Apache-2.0
// A lane: one Redis connection, its window, and the values that go through it. The sink's agent.
//
// Each duty cycle: read the answers and settle them; then, while the window has room, take what is dirty, encode it and
// write it out in one call. A Redis that is slower than the market leaves the window full: ids stay dirty, ticks
// conflate in their slots, and nothing queues.
//
// When the connection ends, everything unanswered is dirty again. When the next one finds another server process
// (`run_id`), every living value is, too. When a server stops answering for `ack_timeout`, nothing more is sent, and a
// second connection is opened beside the first: only when it answers while the first still does not is the first given
// up, fenced (sink/handshake.h) and replaced; if the first answers first, the second is.
//
// Threading: one runner. Counters, states and histograms are read by anyone through the counters file.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/agent.h"
#include "core/counters.h"
#include "core/ingest.h"
#include "core/log.h"
#include "sink/document_sink.h"
#include "sink/outbox.h"
#include "sink/pacer.h"
#include "sink/price_sink.h"
#include "sink/reply_reader.h"
#include "sink/settlement.h"
#include "sink/transport.h"

namespace tickbridge {

// A key that the lane keeps alive while `alive` says so: `feed:{name}:alive`.
struct Beacon {
  std::string feed;
  std::string key;
  int64_t ttl_ns = kNsPerSec;
  std::function<bool(MonoNs now)> alive;
};

class Lane final : public Agent {
 public:
  struct Options {
    uint32_t index = 0;
    uint32_t lanes = 1;
    uint32_t producer = 0;  // of the lane's runner, for what it marks dirty again
    uint32_t max_in_flight = limits::kInFlightDefault;
    size_t max_in_flight_bytes = limits::kInFlightBytesDefault;
    double share = 0.5;                   // of the server's time, 0 < share ≤ 1; 1: as fast as it goes
    bool fixed_window = false;            // max_in_flight, also where fewer would keep the server busy
    int64_t ack_timeout_ns = kNsPerSec;   // unanswered for longer: `stalled`, and another connection is tried
    int64_t retry_min_ns = 5 * kNsPerMs;  // between attempts to connect, doubling, with jitter
    int64_t retry_max_ns = kNsPerSec;
    bool adopted = false;             // the table holds values of an earlier process, which may not have been delivered
    uint64_t seed = 1;                // of the jitter
    Restore* restore = nullptr;       // to read keys back before their first write; null: they are not
    AckObserver* observer = nullptr;  // outlives the lane; null: nobody
    int64_t max_ahead_ns = 60 * kNsPerSec;  // the most that any feed lets venue times be ahead
    bool absolute_expiry = false;
    std::vector<Beacon> beacons;
  };

  // kUnfenced: up, but predecessors could not be ended. kRefused: the server, or we, refuse each other: credentials, a
  // certificate, another bridge of the instance.
  enum class State : int64_t { kConnecting, kUp, kStalled, kBackingOff, kRefused, kUnfenced };

  Lane(const Core& core, Options options, std::unique_ptr<Connector> connector, CountersFile* counters);
  ~Lane() override;

  int DoWork() noexcept override;
  int64_t RestNs() const noexcept override;
  std::string_view name() const override { return name_; }

  const LaneCounts& counts() const { return counts_; }
  // Keys with records that have not ended yet. Only while no runner works.
  uint64_t UnsettledKeys() const { return prices_.UnsettledKeys() + documents_.UnsettledKeys(); }
  // Any thread. Duty cycles so far, and the last of them in which something waited or was under way: a lane is quiet
  // when two cycles have passed without.
  uint64_t cycles() const { return cycles_.load(std::memory_order_acquire); }
  uint64_t busy_cycle() const { return busy_cycle_.load(std::memory_order_acquire); }
  // Any thread. True when another bridge has taken this one's place: what it wrote is not known here, and this one must
  // not write again.
  bool superseded() const { return superseded_.load(std::memory_order_acquire); }
  // Any thread. Commands sent and not yet answered.
  int64_t in_flight() const { return in_flight_->Get(); }
  // Any thread. Commands that may be: the most, or what the window has come to.
  int64_t window() const { return window_->Get(); }
  State state() const { return static_cast<State>(state_gauge_->Get()); }
  std::string last_error() const { return last_error_->Get(); }

 private:
  static constexpr int64_t kLogLinesAtOnce = 10;

  enum class Attempt : uint8_t { kNone, kConnecting, kFencing };
  // How a connection ended. A document that was first in flight at two ends in a row may be what ends them; at a
  // replacement that says nothing.
  enum class Ending : uint8_t { kClosed, kReplaced };

  int Turn(MonoNs now);
  bool Quiet() const;
  // Moves the attempt under way to its next step, or begins one when it is time. Returns 1 if it did something.
  int Reconnect(MonoNs now);
  void OnSession(Session session, MonoNs now);
  void OnConnectError(const absl::Status& status, MonoNs now);
  // The next attempt comes after about `interval_ns`; the wait for the one after it doubles.
  void ScheduleRetry(int64_t interval_ns, MonoNs now);
  // Everything unanswered is dirty again.
  void DropConnection(Ending ending);
  void Disconnect(std::string_view why, MonoNs now);
  // Keeps the server's clock if deadlines may be sent as its time.
  void CheckExpiry(bool has_pxat);
  State UpState() const { return fenced_ ? State::kUp : State::kUnfenced; }

  // Reads and settles answers. Returns how many; the connection may be gone after it.
  int ReadReplies(MonoNs now);
  // Settles prices that come first in the window and were answered with `+OK`, some at once. Returns how many.
  int SettleOks(MonoNs now);
  // Settles the places at the head of the window that await no answer.
  void SettleUnsent(MonoNs now);
  bool OnReply(const ServerReply& reply, MonoNs now);
  // For each key of the command whose first place was taken from the window: the others follow it there.
  template <typename Do>
  void ForEachKey(const InFlight& first, Do work);
  // The server has shown that it takes writes.
  void OnProof();
  void NoteError(std::string_view text, MonoNs now);
  void OnErrorReply(const InFlight& entry, std::string_view text, MonoNs now);
  void Settle(const InFlight& entry, LaneCounts::End end, MonoNs now);
  void Lost(const InFlight& entry, bool first_at_disconnect);

  int FillWindow(MonoNs now);
  void SendBeacons(MonoNs now);
  // A command without arguments: PING or TIME.
  void SendBare(InFlight::Kind kind, std::string_view command, MonoNs now);
  void OnServerTime(const InFlight& entry, const ServerReply& reply, MonoNs now);
  // Every deadline that was sent by the old reckoning is wrong by the jump.
  void OnClockJump(int64_t jump_ns, MonoNs now);
  // Every living value is dirty again.
  void SendAllAgain(MonoNs now);
  int WriteOut(MonoNs now);
  void WatchForStall(MonoNs now);
  // State and error are shown and logged once, when they change.
  void SetState(State state, std::string_view error);
  // Logs a state that could not be said when it changed.
  void SayState();
  // Logs; but of a server that comes and goes many times a second, only a line each second. False: not now.
  bool Say(LogLevel level, std::string_view text);

  const Core core_;
  const Options options_;
  const std::string name_;
  const std::unique_ptr<Connector> connector_;
  LaneCounts counts_;
  Gauge* state_gauge_;
  Gauge* state_since_ns_;
  Gauge* in_flight_;
  Gauge* cost_ns_;
  Gauge* window_;
  TextCell* state_text_;
  TextCell* last_error_;
  TextCell* server_;

  std::unique_ptr<Transport> transport_;
  ReplyReader replies_;
  Outbox outbox_;
  ServerClock server_clock_;  // known only with absolute expiry
  PriceSink prices_;
  DocumentSink documents_;
  Pacer pacer_;
  std::vector<MonoNs> beacon_sent_;

  std::string run_id_;  // of the server last connected to; empty: none yet, or it would not tell
  bool documents_first_ = false;
  Attempt attempt_ = Attempt::kNone;
  bool fenced_ = true;
  bool stalled_ = false;  // this connection; what is shown may still be of the one before
  std::string_view expiry_problem_;
  MonoNs asked_time_at_;
  bool awaits_time_ = false;
  bool clock_in_doubt_ = false;  // the server may have been suspended: its clock is asked for before anything is sent
  MonoNs doubted_at_;            // since when
  MonoNs retry_at_;
  int64_t retry_ns_;
  MonoNs resume_at_;  // transient errors: nothing is sent before
  int64_t back_off_ns_ = 0;
  std::map<std::string, MonoNs, std::less<>> noted_errors_;  // when an error reply of that code last came
  std::atomic<bool> superseded_{false};
  std::atomic<uint64_t> cycles_{0};
  std::atomic<uint64_t> busy_cycle_{0};
  MonoNs answered_at_;  // when the window last moved, or was empty
  MonoNs pinged_at_;
  MonoNs found_nothing_at_;  // by a read
  std::string state_error_;
  std::set<std::string, std::less<>> errors_said_;  // since the state last changed
  bool state_unsaid_ = false;
  int64_t lines_left_ = kLogLinesAtOnce;
  MonoNs lines_counted_at_;
  std::minstd_rand random_;
};

std::string_view LaneStateName(Lane::State state);

}  // namespace tickbridge
