// SPDX-License-Identifier: Apache-2.0
#include "sink/lane.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/log.h"
#include "sink/redis_error.h"
#include "sink/resp.h"
#include "sink/ttl.h"

namespace tickbridge {
namespace {

constexpr uint32_t kDocumentsPerCycle = 64;
constexpr uint32_t kPricesPerCycle = 256;
// Reads in one duty cycle: bounded, so that other agents of the runner get their turn.
constexpr int kReadsPerCycle = 4;
// Counted at once. More would be counted again and again where other commands come between prices.
constexpr size_t kOksAtOnce = 64;
// With nothing to be answered, a read can only find that the server closed the connection: not worth a call each cycle.
constexpr int64_t kIdlePollNs = kNsPerMs;
// With much under way, answers come many at a time. A read that found none is not repeated for so long: each is a call,
// and what it brings is not needed before a part of the window may be filled again.
constexpr uint32_t kManyInFlight = 64;
constexpr int64_t kManyPollNs = 4'000;
constexpr int64_t kIdlePingNs = kNsPerSec;
constexpr int64_t kBackOffMinNs = 5 * kNsPerMs;
constexpr int64_t kBackOffMaxNs = 500 * kNsPerMs;
constexpr std::string_view kPing = "*1\r\n$4\r\nPING\r\n";
constexpr std::string_view kTime = "*1\r\n$4\r\nTIME\r\n";
constexpr int64_t kAskTimeNs = kNsPerSec;
// Clocks drift apart by microseconds between two questions; more than this was somebody's doing.
constexpr int64_t kClockJumpNs = 50 * kNsPerMs;
// Where the server refuses us, or we it, somebody has to mend something first.
constexpr int64_t kRefusedRetryNs = kNsPerSec;
// An error reply that did not come for so long is news again.
constexpr int64_t kErrorForgottenNs = 60 * kNsPerSec;
constexpr size_t kNotedErrorsMax = 32;
constexpr size_t kErrorsSaidMax = 32;
constexpr std::string_view kUnfencedText =
    "CLIENT is forbidden, so that earlier connections cannot be ended: their late writes may land after newer ones";

// Whether a reply of this kind can be the answer to a command of that kind.
bool Answers(ServerReply::Kind reply, InFlight::Kind command) {
  using Reply = ServerReply::Kind;
  switch (command) {
    case InFlight::Kind::kPrice:
    case InFlight::Kind::kBeacon:
      return reply == Reply::kOk;
    case InFlight::Kind::kDocument:
      return reply == Reply::kOk || reply == Reply::kInteger;  // UNLINK counts
    case InFlight::Kind::kPublish:
      return reply == Reply::kInteger;
    case InFlight::Kind::kPing:
      return reply == Reply::kStatus;
    case InFlight::Kind::kReadBack:
      return reply == Reply::kString;
    case InFlight::Kind::kTime:
      return reply == Reply::kPair || reply == Reply::kError;
    case InFlight::Kind::kPriceExpired:
    case InFlight::Kind::kDocumentExpired:
      return false;
  }
  return false;
}

// Whether a refused MSETEX would be refused with any keys: it is unknown here, or forbidden. The other way is a key
// that may not be written. (The refusal may name the user, who may be called anything but for spaces.)
bool IsAboutTheCommand(std::string_view error) {
  return RedisErrorCode(error) != "NOPERM" || absl::StrContains(error, " to run the ");
}

}  // namespace

std::string_view LaneStateName(Lane::State state) {
  switch (state) {
    case Lane::State::kConnecting:
      return "connecting";
    case Lane::State::kUp:
      return "up";
    case Lane::State::kStalled:
      return "stalled";
    case Lane::State::kBackingOff:
      return "backing_off";
    case Lane::State::kRefused:
      return "refused";
    case Lane::State::kUnfenced:
      return "unfenced";
  }
  return "unknown";
}

Lane::Lane(const Core& core, Options options, std::unique_ptr<Connector> connector, CountersFile* counters)
    : core_(core),
      options_(std::move(options)),
      name_(absl::StrCat("sink.", options_.index)),
      connector_(std::move(connector)),
      counts_(counters, absl::StrCat("lane.", options_.index, ".")),
      outbox_(options_.max_in_flight, options_.max_in_flight_bytes),
      prices_(core,
              {.lane = options_.index,
               .lanes = options_.lanes,
               .producer = options_.producer,
               .restore = options_.restore,
               .server_clock = &server_clock_,
               .observer = options_.observer,
               .max_ahead_ns = options_.max_ahead_ns},
              &counts_),
      documents_(core, options_.index, &server_clock_, &counts_),
      pacer_(options_.share, options_.max_in_flight, options_.fixed_window),
      beacon_sent_(options_.beacons.size()),
      retry_ns_(options_.retry_min_ns),
      random_(static_cast<std::minstd_rand::result_type>(options_.seed + options_.index)) {
  const std::string prefix = absl::StrCat("lane.", options_.index, ".");
  state_gauge_ = counters->AddGauge(prefix + "state_code");
  state_since_ns_ = counters->AddGauge(prefix + "state_since_unix_ns");
  in_flight_ = counters->AddGauge(prefix + "in_flight");
  cost_ns_ = counters->AddGauge(prefix + "command_cost_ns");
  window_ = counters->AddGauge(prefix + "window");
  state_text_ = counters->AddText(prefix + "state");
  last_error_ = counters->AddText(prefix + "last_error");
  server_ = counters->AddText(prefix + "server");
  state_text_->Set(LaneStateName(State::kConnecting));
  state_since_ns_->Set(core_.clock->UnixNow().value);
}

Lane::~Lane() = default;

int Lane::DoWork() noexcept {
  SayState();
  const int work = Turn(core_.clock->Now());
  const uint64_t cycle = cycles_.load(std::memory_order_relaxed) + 1;  // only written here
  if (!Quiet()) busy_cycle_.store(cycle, std::memory_order_release);
  cycles_.store(cycle, std::memory_order_release);
  return work;
}

int64_t Lane::RestNs() const noexcept {
  if (transport_ == nullptr || stalled_ || !outbox_.Unsent().empty()) return 0;
  return pacer_.RestNs(outbox_.commands(), core_.clock->Now());
}

bool Lane::Quiet() const {
  return outbox_.empty() && prices_.Idle() && documents_.Idle() && core_.documents->Empty(options_.index) &&
         core_.dirty->Empty(options_.index);
}

int Lane::Turn(MonoNs now) {
  if (transport_ == nullptr) return Reconnect(now);
  int work = ReadReplies(now);
  if (transport_ == nullptr) return work;
  if (stalled_) {
    work += Reconnect(now);
    if (transport_ == nullptr) return work;
  } else {
    work += FillWindow(now);
  }
  work += WriteOut(now);
  documents_.Sweep(now);
  WatchForStall(now);
  in_flight_->Set(outbox_.commands());
  return work;
}

int Lane::Reconnect(MonoNs now) {
  if (attempt_ == Attempt::kNone) {
    if (now < retry_at_) return 0;
    attempt_ = Attempt::kConnecting;
    connector_->Connect();
    return 1;
  }
  const std::optional<absl::Status> outcome = connector_->Poll();
  if (!outcome.has_value()) return 0;
  if (!outcome->ok()) {
    attempt_ = Attempt::kNone;
    OnConnectError(*outcome, now);
  } else if (attempt_ == Attempt::kConnecting) {
    // A server that answers there, and not here, is not to be waited for any longer.
    if (transport_ != nullptr) DropConnection(Ending::kReplaced);
    attempt_ = Attempt::kFencing;
    connector_->Fence();
  } else {
    attempt_ = Attempt::kNone;
    OnSession(connector_->Take(), now);
  }
  return 1;
}

void Lane::OnSession(Session session, MonoNs now) {
  transport_ = std::move(session.transport);
  replies_.Reset();
  // A server that does not tell who it is may be another one each time.
  const bool connected_before = counts_.connects->Get() != 0;
  const bool other_server = connected_before && (session.server.run_id.empty() || run_id_ != session.server.run_id);
  counts_.connects->Add();
  if (connected_before) counts_.reconnects->Add();
  run_id_ = session.server.run_id;
  fenced_ = session.server.fenced;
  server_->Set(absl::StrCat(session.server.version.empty() ? "of unknown version" : session.server.version,
                            run_id_.empty() ? "" : " run_id ", run_id_));
  const int64_t jump_ns = server_clock_.GapTo(session.server.clock);
  server_clock_ = session.server.clock;
  awaits_time_ = false;
  // A greeting that took long says little of the server's clock.
  clock_in_doubt_ = server_clock_.uncertainty_ns() > kClockJumpNs;
  doubted_at_ = now;
  CheckExpiry(session.server.pxat);
  prices_.SetBatching(session.server.msetex);
  resume_at_ = MonoNs{};
  back_off_ns_ = 0;
  answered_at_ = now;
  stalled_ = false;
  if (!connected_before && options_.adopted) prices_.Resync(now);
  if (other_server) {
    Say(LogLevel::kInfo, "another server process answers: every living value is sent again");
    SendAllAgain(now);
  } else {
    OnClockJump(jump_ns, now);
  }
  // The first command measures the line.
  SendBare(InFlight::Kind::kPing, kPing, now);
  pacer_.OnSent(1, 1, now);
  // The state stays what it is until a write is answered: a server that only answers greetings would come and go.
}

void Lane::CheckExpiry(bool has_pxat) {
  if (!options_.absolute_expiry) return server_clock_.Forget();
  std::string_view why;
  if (!server_clock_.known()) {
    why = "the server does not tell its time";
  } else if (!has_pxat) {
    server_clock_.Forget();
    why = "the server is not known to be Redis 6.2 or later";
  }
  if (why != expiry_problem_ && !why.empty()) {
    Say(LogLevel::kWarn, absl::StrCat("expiry = \"absolute\" is not to be had: ", why, "; expiry is relative"));
  }
  expiry_problem_ = why;
}

void Lane::OnConnectError(const absl::Status& status, MonoNs now) {
  const bool refused =
      absl::IsPermissionDenied(status) || absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status);
  // Beside a connection that stalls this is only the second one's failure.
  if (transport_ == nullptr) SetState(refused ? State::kRefused : State::kConnecting, status.message());
  if (absl::IsAlreadyExists(status) && counts_.connects->Get() != 0) superseded_.store(true, std::memory_order_release);
  ScheduleRetry(refused ? kRefusedRetryNs : retry_ns_, now);
}

void Lane::ScheduleRetry(int64_t interval_ns, MonoNs now) {
  // Between half and all of the interval, so that lanes that fell together do not come back together.
  std::uniform_int_distribution<int64_t> jitter(interval_ns / 2, interval_ns);
  retry_at_ = now + jitter(random_);
  retry_ns_ = std::min(retry_ns_ * 2, options_.retry_max_ns);
}

void Lane::DropConnection(Ending ending) {
  // What never left cannot have ended anything.
  const bool sent = outbox_.Unsent().size() < outbox_.bytes_in_flight();
  transport_.reset();
  in_flight_->Set(0);
  pacer_.OnDisconnected();
  window_->Set(pacer_.window());
  outbox_.DropUnsent();
  for (bool first = ending == Ending::kClosed && sent; !outbox_.empty(); first = false) Lost(outbox_.Pop(), first);
}

void Lane::Disconnect(std::string_view why, MonoNs now) {
  DropConnection(Ending::kClosed);
  if (state() != State::kStalled || attempt_ == Attempt::kNone) SetState(State::kConnecting, why);
  // A second connection on its way is now the first.
  if (attempt_ == Attempt::kNone) ScheduleRetry(retry_ns_, now);
}

int Lane::ReadReplies(MonoNs now) {
  const int64_t pause_ns = outbox_.commands() == 0               ? kIdlePollNs
                           : outbox_.commands() >= kManyInFlight ? kManyPollNs
                                                                 : 0;
  if (now - found_nothing_at_ < pause_ns) return 0;
  const uint32_t before = outbox_.commands();
  int answered = 0;
  for (int reads = 0; reads < kReadsPerCycle; ++reads) {
    const std::span<char> space = replies_.WritableSpace();
    size_t bytes = 0;
    const Transport::Result result = transport_->Read(space, &bytes);
    if (result == Transport::Result::kWouldBlock) {
      if (reads == 0) found_nothing_at_ = now;
      break;
    }
    if (result == Transport::Result::kClosed) {
      const absl::Status why = transport_->error();
      Disconnect(why.ok() ? "the server closed the connection" : std::string(why.message()), now);
      return answered;
    }
    counts_.bytes_in->Add(bytes);
    now = core_.clock->Now();  // latencies end here, not when the cycle began
    replies_.Commit(bytes);
    ServerReply reply;
    ReplyReader::Result next;
    while (true) {
      SettleUnsent(now);
      if (const int settled = SettleOks(now); settled != 0) {
        answered += settled;
        continue;
      }
      next = replies_.Next(&reply);
      if (next != ReplyReader::Result::kReply) break;
      if (!OnReply(reply, now)) return answered;
      ++answered;
    }
    if (next == ReplyReader::Result::kProtocolError) {
      Disconnect("what came is not the Redis protocol", now);
      return answered;
    }
    if (bytes < space.size()) break;
  }
  SettleUnsent(now);
  if (answered != 0) {
    answered_at_ = now;
    stalled_ = false;
    pacer_.OnReplies(before - outbox_.commands(), before, now);
    window_->Set(pacer_.window());
    if (attempt_ != Attempt::kNone) {
      // It answers after all, before the other one did.
      connector_->Abandon();
      attempt_ = Attempt::kNone;
    }
    if (outbox_.commands() == 0) {
      pacer_.OnAnswered(now);
      cost_ns_->Set(static_cast<int64_t>(pacer_.cost_ns()));
    }
  }
  return answered;
}

void Lane::SettleUnsent(MonoNs now) {
  while (!outbox_.empty() && !outbox_.Front().AwaitsReply()) Settle(outbox_.Pop(), LaneCounts::End::kExpired, now);
}

int Lane::SettleOks(MonoNs now) {
  const size_t oks = replies_.CountOks(kOksAtOnce);
  size_t settled = 0;
  while (settled < oks && !outbox_.empty() && outbox_.Front().IsOnePrice()) {
    prices_.OnSettled(outbox_.Pop(), LaneCounts::End::kWritten, now);
    ++settled;
  }
  if (settled == 0) return 0;
  replies_.SkipOks(settled);
  OnProof();
  return static_cast<int>(settled);
}

bool Lane::OnReply(const ServerReply& reply, MonoNs now) {
  if (outbox_.empty()) {
    Disconnect("the server sent an answer to nothing", now);
    return false;
  }
  const InFlight entry = outbox_.Pop();
  // That TIME is forbidden is an answer, too; that the server is busy is none.
  const bool no_time = entry.kind == InFlight::Kind::kTime && reply.kind == ServerReply::Kind::kError &&
                       ClassifyRedisError(reply.text) == RedisErrorKind::kPermanent;
  if (reply.kind == ServerReply::Kind::kError && !no_time) {
    OnErrorReply(entry, reply.text, now);
    return transport_ != nullptr;
  }
  const bool all_set = entry.keys > 1 && reply.kind == ServerReply::Kind::kInteger && reply.integer == 1;
  if (!all_set && (entry.keys > 1 || !Answers(reply.kind, entry.kind))) {
    // Whatever the rest of the replies belong to, it is not what we think.
    Lost(entry, false);
    Disconnect("the server answered something else than it was asked", now);
    return false;
  }
  // A PING that comes through says nothing of writes, unless there are none; a server that is full still deletes.
  const bool is_set = all_set || reply.kind == ServerReply::Kind::kOk;
  if (is_set || (outbox_.commands() == 0 && state() != State::kBackingOff)) OnProof();
  if (entry.kind == InFlight::Kind::kTime) {
    OnServerTime(entry, reply, now);
  } else if (entry.kind == InFlight::Kind::kReadBack) {
    prices_.OnReadBack(entry, reply.text, now);
  } else {
    ForEachKey(entry, [&](const InFlight& key) { Settle(key, LaneCounts::End::kWritten, now); });
  }
  return true;
}

template <typename Do>
void Lane::ForEachKey(const InFlight& first, Do work) {
  work(first);
  for (uint16_t i = 1; i < first.keys; ++i) work(outbox_.Pop());
}

void Lane::OnProof() {
  back_off_ns_ = 0;
  retry_ns_ = options_.retry_min_ns;
  if (state() != UpState()) SetState(UpState(), fenced_ ? "" : kUnfencedText);
}

void Lane::NoteError(std::string_view text, MonoNs now) {
  const std::string_view code = RedisErrorCode(text);
  auto noted = noted_errors_.find(code);
  const bool is_new = noted == noted_errors_.end() || now - noted->second > kErrorForgottenNs;
  if (noted != noted_errors_.end()) {
    noted->second = now;
  } else if (noted_errors_.size() < kNotedErrorsMax) {
    noted_errors_.emplace(code, now);
  }
  if (!is_new) return;
  last_error_->Set(ShownError(text));
  Say(LogLevel::kWarn, absl::StrCat("Redis answered: ", ShownError(text)));
}

void Lane::OnErrorReply(const InFlight& entry, std::string_view text, MonoNs now) {
  counts_.errors->Add();
  const RedisErrorKind kind = ClassifyRedisError(text);
  NoteError(text, now);
  if (kind == RedisErrorKind::kPermanent) {
    if (entry.keys == 1) return Settle(entry, LaneCounts::End::kFailed, now);
    // It was all or nothing: which key it was, each finds out on its own.
    if (IsAboutTheCommand(text)) prices_.SetBatching(false);
    return ForEachKey(entry, [&](const InFlight& key) { prices_.OnBatchRefused(key); });
  }
  ForEachKey(entry, [&](const InFlight& key) { Lost(key, false); });
  if (kind == RedisErrorKind::kAuth) {
    Disconnect(ShownError(text), now);
    return;
  }
  if (now >= resume_at_) {
    back_off_ns_ = back_off_ns_ == 0 ? kBackOffMinNs : std::min(back_off_ns_ * 2, kBackOffMaxNs);
    resume_at_ = now + back_off_ns_;
    if (state() != State::kBackingOff) SetState(State::kBackingOff, ShownError(text));
  }
}

void Lane::Settle(const InFlight& entry, LaneCounts::End end, MonoNs now) {
  switch (entry.kind) {
    case InFlight::Kind::kPrice:
    case InFlight::Kind::kPriceExpired:
      return prices_.OnSettled(entry, end, now);
    case InFlight::Kind::kDocument:
    case InFlight::Kind::kDocumentExpired:
      return documents_.OnSettled(entry, end, now);
    case InFlight::Kind::kReadBack:
      // The key may not be read, or is of another type, which a write replaces.
      return prices_.OnReadBack(entry, {}, now);
    case InFlight::Kind::kPublish:
    case InFlight::Kind::kBeacon:
    case InFlight::Kind::kPing:
    case InFlight::Kind::kTime:
      return;
  }
}

void Lane::Lost(const InFlight& entry, bool first_at_disconnect) {
  switch (entry.kind) {
    case InFlight::Kind::kPrice:
    case InFlight::Kind::kPriceExpired:
    case InFlight::Kind::kReadBack:
      return prices_.OnLost(entry);
    case InFlight::Kind::kDocument:
    case InFlight::Kind::kDocumentExpired:
      return documents_.OnLost(entry, first_at_disconnect);
    case InFlight::Kind::kPublish:
    case InFlight::Kind::kBeacon:
    case InFlight::Kind::kPing:
      return;
    case InFlight::Kind::kTime:
      awaits_time_ = false;
      return;
  }
}

int Lane::FillWindow(MonoNs now) {
  if (now < resume_at_) {
    pacer_.OnFeedLimited();  // it is we who hold back: that says nothing of what the server can take
    return 0;
  }
  if (server_clock_.known() && !awaits_time_ && (clock_in_doubt_ || now - asked_time_at_ > kAskTimeNs)) {
    asked_time_at_ = now;
    awaits_time_ = true;
    SendBare(InFlight::Kind::kTime, kTime, now);
  }
  if (server_clock_.known() && clock_in_doubt_) return 0;
  if (outbox_.commands() == 0 && pacer_.WantsProbe(now)) {
    SendBare(InFlight::Kind::kPing, kPing, now);
    pacer_.OnSent(1, 1, now);
    return 1;
  }
  const uint32_t allowance = pacer_.Allowance(outbox_.commands(), now);
  if (allowance == 0) return 0;
  const uint32_t before = outbox_.commands();
  SendBeacons(now);
  // They take turns at being first, so that neither keeps the other waiting.
  documents_first_ = !documents_first_;
  // Before the dirty ones, of which there may be more than there is room, time and again.
  int work = prices_.Refresh(&outbox_, now);
  bool ran_out = true;  // of both
  for (const bool documents : {documents_first_, !documents_first_}) {
    const auto left = static_cast<uint32_t>(std::max<int64_t>(int64_t{allowance} - work, 0));
    const uint32_t most = std::min(left, documents ? kDocumentsPerCycle : kPricesPerCycle);
    const int taken = documents ? documents_.Fill(&outbox_, most, now) : prices_.Fill(&outbox_, most, now);
    ran_out = ran_out && static_cast<uint32_t>(taken) < most;
    work += taken;
  }
  SettleUnsent(now);
  if (outbox_.commands() == 0 && now - pinged_at_ > kIdlePingNs) SendBare(InFlight::Kind::kPing, kPing, now);
  const uint32_t sent = outbox_.commands() - before;
  if (sent != 0) pacer_.OnSent(sent, allowance, now);
  if (ran_out && outbox_.HasRoom()) pacer_.OnFeedLimited();
  return work;
}

void Lane::SendBeacons(MonoNs now) {
  for (size_t i = 0; i < options_.beacons.size(); ++i) {
    const Beacon& beacon = options_.beacons[i];
    if (now - beacon_sent_[i] < beacon.ttl_ns / 3 || !outbox_.HasRoom() || !beacon.alive(now)) continue;
    beacon_sent_[i] = now;
    const std::string value =
        absl::StrCat("{\"feed\":\"", beacon.feed, "\",\"Timestamp\":", ToUnixMs(core_.clock->ToUnix(now)).value, "}");
    const Lifetime lifetime = LifetimeOf(beacon.ttl_ns, 0, &server_clock_, now);
    std::string command;
    if (lifetime.kind == Lifetime::Kind::kDeadline) {
      resp::AppendCommand(&command, {"SET", beacon.key, value, "PXAT", absl::StrCat(lifetime.deadline.value)});
    } else {
      resp::AppendCommand(&command, {"PSETEX", beacon.key, absl::StrCat(lifetime.ms), value});
    }
    InFlight entry;
    entry.kind = InFlight::Kind::kBeacon;
    entry.sent = now;
    outbox_.Put(entry, command);
    counts_.beacons->Add();
  }
}

void Lane::SendBare(InFlight::Kind kind, std::string_view command, MonoNs now) {
  InFlight entry;
  entry.kind = kind;
  entry.sent = now;
  outbox_.Put(entry, command);
  pinged_at_ = now;
}

void Lane::OnServerTime(const InFlight& entry, const ServerReply& reply, MonoNs now) {
  awaits_time_ = false;
  // What was asked before the server stopped answering, and is answered now, says little of where its clock is.
  if (entry.sent >= doubted_at_) clock_in_doubt_ = false;
  if (reply.kind != ServerReply::Kind::kPair) {
    server_clock_.Forget();
    Say(LogLevel::kWarn, "the server does not tell its time any more; expiry is relative");
    return;
  }
  const int64_t jump_ns = server_clock_.OnTime(entry.sent, now, reply.pair[0] * 1'000'000 + reply.pair[1]);
  OnClockJump(jump_ns, now);
}

void Lane::OnClockJump(int64_t jump_ns, MonoNs now) {
  if (jump_ns <= kClockJumpNs && jump_ns >= -kClockJumpNs) return;
  Say(LogLevel::kWarn, absl::StrCat("the server's clock jumped by ", jump_ns / kNsPerMs,
                                    " ms beside ours: every living value is sent again"));
  SendAllAgain(now);
}

void Lane::SendAllAgain(MonoNs now) {
  prices_.Resync(now);
  documents_.Resync(now);
}

int Lane::WriteOut(MonoNs now) {
  const std::span<const char> unsent = outbox_.Unsent();
  if (unsent.empty()) return 0;
  size_t bytes = 0;
  switch (transport_->Write(unsent, &bytes)) {
    case Transport::Result::kOk:
      outbox_.MarkSent(bytes);
      counts_.bytes_out->Add(bytes);
      pinged_at_ = now;
      return 1;
    case Transport::Result::kWouldBlock:
      return 0;
    case Transport::Result::kClosed:
      // What the server answered before it went is still to be read; the read that finds the end drops the connection.
      return ReadReplies(now);
  }
  return 0;
}

void Lane::WatchForStall(MonoNs now) {
  if (outbox_.commands() == 0) {
    answered_at_ = now;
  } else if (!stalled_ && now - answered_at_ > options_.ack_timeout_ns) {
    stalled_ = clock_in_doubt_ = true;
    retry_at_ = doubted_at_ = now;
    SetState(State::kStalled, absl::StrCat("no answer for more than ", options_.ack_timeout_ns / kNsPerMs, " ms"));
  }
}

void Lane::SetState(State state, std::string_view error) {
  const bool changed = this->state() != state;
  if (!error.empty()) last_error_->Set(error);
  if (changed) {
    errors_said_.clear();
    state_gauge_->Set(static_cast<int64_t>(state));
    state_text_->Set(LaneStateName(state));
    state_since_ns_->Set(core_.clock->ToUnix(core_.clock->Now()).value);
  }
  // Of errors that take turns each is said once.
  const bool is_new = !error.empty() && errors_said_.size() < kErrorsSaidMax && errors_said_.emplace(error).second;
  if (!changed && !is_new) return;
  state_error_ = error;
  state_unsaid_ = true;
  SayState();
}

void Lane::SayState() {
  if (!state_unsaid_) return;
  const bool up = state() == State::kUp;
  state_unsaid_ = !Say(up ? LogLevel::kInfo : LogLevel::kWarn,
                       absl::StrCat(LaneStateName(state()), state_error_.empty() ? "" : ": ", state_error_));
}

bool Lane::Say(LogLevel level, std::string_view text) {
  const MonoNs now = core_.clock->Now();
  if (const int64_t seconds = (now - lines_counted_at_) / kNsPerSec; seconds > 0) {
    lines_left_ = std::min(lines_left_ + seconds, kLogLinesAtOnce);
    lines_counted_at_ = now;
  }
  if (lines_left_ == 0) return false;
  --lines_left_;
  Log(level, absl::StrCat(name_, ": ", text));
  return true;
}

}  // namespace tickbridge
