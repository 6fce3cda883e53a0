// SPDX-License-Identifier: Apache-2.0
#include "sink/redis_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/key_class.h"
#include "core/limits.h"
#include "core/symbol_table.h"
#include "sink/redis_error.h"
#include "sink/resp.h"
#include "sink/wait.h"

namespace tickbridge {
namespace {

using Token = RespScanner::Token;
using Type = RespScanner::Type;

// What one call takes from the socket at most, so that a server that does not stop talking cannot hold it.
constexpr size_t kReceiveBytesMax = size_t{1} << 20;
// A helper that connects is looked at this often.
constexpr int64_t kNapNs = kNsPerMs;
// Longer lives are cut to this: a hundred years in nanoseconds still add up.
constexpr int64_t kTtlMsMax = int64_t{100} * 365 * 86'400 * 1'000;

absl::Status Bad(std::string_view what) { return absl::InvalidArgumentError(absl::StrCat("RedisReader: ", what)); }

absl::Status NotTheProtocol() { return absl::UnavailableError("what came is not the Redis protocol"); }

absl::Status Refused(std::string_view error) {
  const std::string_view code = RedisErrorCode(error);
  const std::string text = absl::StrCat("the server refused to read: ", ShownError(error));
  return code == "NOPERM" || code == "NOAUTH"
             ? absl::PermissionDeniedError(text + "; the user needs MGET and PTTL on the keys of the price class")
             : absl::UnavailableError(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RedisReader>> RedisReader::Create(Options options,
                                                                 std::span<const std::string> symbols) {
  absl::StatusOr<KeyPattern> pattern = KeyPattern::Parse(options.key);
  if (!pattern.ok()) return pattern.status();
  if (pattern->fields() != std::vector<std::string>{"symbol"}) {
    return Bad(absl::StrCat("key pattern \"", options.key, "\" must have the field {symbol}, and no other"));
  }
  if (symbols.empty() || symbols.size() > limits::kSymbolsMax) {
    return Bad(absl::StrCat(symbols.size(), " symbols; 1 to ", limits::kSymbolsMax, " can be read"));
  }
  if (options.batch_keys == 0 || options.batch_keys > RespScanner::kElementsMax) {
    return Bad(absl::StrCat("batch_keys = ", options.batch_keys, "; 1 to ", RespScanner::kElementsMax));
  }
  if (options.heartbeat_ns <= 0 || options.silence_ns <= options.heartbeat_ns) {
    return Bad("heartbeat_ns must be more than 0, and silence_ns more than that");
  }
  ReaderLink::Options where;
  where.primary = options.target;
  where.replicas = options.read_replicas;
  where.discover_replicas = options.discover_replicas;
  where.connect_timeout_ns = options.connect_timeout_ns;
  for (const RedisTarget& target : options.read_replicas) {
    if (target.kind == RedisTarget::Kind::kEmbedded) return Bad("an embedded server is the bridge's own");
  }
  if (options.target.kind == RedisTarget::Kind::kEmbedded && options.target.unix_path.empty()) {
    return Bad("an embedded server is the bridge's own");
  }
  absl::StatusOr<std::unique_ptr<ReaderLink>> link = ReaderLink::Create(std::move(where));
  if (!link.ok()) return link.status();

  std::unique_ptr<RedisReader> reader(new RedisReader(std::move(options), *std::move(link), symbols.size()));
  for (const std::string& symbol : symbols) {
    if (!SymbolTable::IsValidName(symbol)) return Bad(absl::StrCat("\"", symbol, "\" cannot be a symbol"));
    std::string key;
    const KeyPattern::FieldValue field{"symbol", symbol};
    pattern->Render({&field, 1}, &key);
    if (key.size() > limits::kKeyBytesMax) return Bad(absl::StrCat("the key of \"", symbol, "\" is too long"));
    reader->names_.push_back(symbol);
    reader->keys_.push_back(std::move(key));
  }
  // Only now: the views must not move.
  for (uint32_t i = 0; i < symbols.size(); ++i) {
    if (!reader->by_name_.emplace(reader->names_[i], i).second) {
      return Bad(absl::StrCat("\"", symbols[i], "\" is listed twice"));
    }
    reader->by_key_.emplace(reader->keys_[i], i);
  }
  return reader;
}

RedisReader::RedisReader(Options options, std::unique_ptr<ReaderLink> link, size_t symbols)
    : options_(std::move(options)),
      link_(std::move(link)),
      cache_(symbols, options_.ttl_ns),
      is_changed_(symbols),
      status_(absl::UnavailableError("not connected yet")),
      marks_(symbols) {}

RedisReader::~RedisReader() = default;

SymbolId RedisReader::Find(std::string_view symbol) const {
  const auto found = by_name_.find(symbol);
  return found == by_name_.end() ? kNoSymbol : SymbolId{found->second};
}

RedisReader::Outcome RedisReader::Poll(int64_t timeout_ns) {
  MonoNs now = SystemClock::ReadMonotonic();
  const MonoNs deadline = now + timeout_ns;
  for (const SymbolId id : changed_) is_changed_[Index(id)] = false;
  changed_.clear();

  // A round that an earlier Poll began is of then. After it, this Poll's own: with tracking, what was told until now;
  // else a sweep, and what that found. What changes meanwhile is the next Poll's: a busy symbol must not hold this one.
  int reads_left = 1;
  bool swept = false;
  while (true) {
    if (!connected()) {
      Connect(now);
      reads_left = 1;  // what this Poll has read before was another connection's
      swept = false;
    }
    if (connected() && Receive(now)) {
      if (round_ == Round::kNone && !stale_.empty() && reads_left > 0) {
        --reads_left;
        // The first read of a connection sees all there is.
        swept = swept || stale_.size() == keys_.size();
        StartRead(now);
      }
      if (round_ == Round::kNone && mode_ == Mode::kPolling && !swept) {
        swept = true;
        reads_left = 1;
        StartSweep(now);
      }
      Heartbeat(now);
      if (Send(now) && round_ == Round::kNone && now < cache_.live_until()) return Outcome::kCurrent;
    }
    if (now >= deadline) return connected() ? Outcome::kPending : Outcome::kDisconnected;
    // With bytes left to take, some may already lie in TLS, where no socket tells of them.
    if (!connected() || empty_at_ == now) Wait(deadline);
    now = SystemClock::ReadMonotonic();
  }
}

void RedisReader::Wait(MonoNs deadline) const {
  absl::Status ignored;
  if (connected() && session_.fd >= 0) {
    const MonoNs silent = heard_at_ + (options_.silence_ns + kNsPerMs);
    ignored = WaitForSocketOrTime(session_.fd, out_sent_ < out_.size(), std::min(deadline, silent), -1);
  } else {
    ignored = WaitForSocketOrTime(-1, false, std::min(deadline, SystemClock::ReadMonotonic() + kNapNs), -1);
  }
}

void RedisReader::Connect(MonoNs now) {
  std::optional<absl::StatusOr<Session>> outcome = link_->Poll(now);
  if (!outcome.has_value()) return;
  if (outcome->ok()) {
    Begin(**std::move(outcome), now);
  } else {
    status_ = outcome->status();
  }
}

void RedisReader::Begin(Session session, MonoNs now) {
  session_ = std::move(session);
  empty_at_ = said_after_ = now;
  ++counts_.connections;
  status_ = absl::OkStatus();
  // A process that may not be asked who it is counts as another one each time.
  if (session_.server.run_id.empty() || session_.server.run_id != server_id_) ++server_number_;
  server_id_ = session_.server.run_id;
  scanner_.Reset();
  out_.clear();
  out_sent_ = 0;
  expected_.clear();
  expected_at_ = 0;
  resp3_ = false;
  beating_ = false;
  in_push_ = false;
  round_ = Round::kNone;
  if (options_.tracking) {
    Expect({.asked = Asked::kHello}, now);
    resp::AppendCommand(&out_, {"HELLO", "3"});
    Expect({.asked = Asked::kTracking}, now);
    resp::AppendCommand(&out_, {"CLIENT", "TRACKING", "ON"});
  } else {
    mode_ = Mode::kPolling;
  }
  if (link_->discovers(now)) {
    Expect({.asked = Asked::kRole}, now);
    resp::AppendCommand(&out_, {"ROLE"});
  }
  MarkAllStale();
}

void RedisReader::Disconnect(absl::Status why) {
  session_ = Session();
  mode_ = Mode::kConnecting;
  round_ = Round::kNone;
  // What was told is no more than held, until its deadline.
  cache_.SetLiveUntil(MonoNs{});
  status_ = std::move(why);
}

void RedisReader::Lose(absl::Status why, MonoNs now) {
  link_->OnLost(why, now);
  Disconnect(std::move(why));
}

bool RedisReader::Send(MonoNs now) {
  while (out_sent_ < out_.size()) {
    size_t bytes = 0;
    const std::string_view left = std::string_view(out_).substr(out_sent_);
    const Transport::Result result = session_.transport->Write(left, &bytes);
    if (result == Transport::Result::kWouldBlock) return true;
    if (result == Transport::Result::kClosed) {
      Lose(absl::UnavailableError("the server closed the connection"), now);
      return false;
    }
    out_sent_ += bytes;
  }
  out_.clear();
  out_sent_ = 0;
  return true;
}

bool RedisReader::Receive(MonoNs now) {
  size_t taken = 0;
  const MonoNs came_after = empty_at_;  // what is there now
  while (taken < kReceiveBytesMax) {
    size_t bytes = 0;
    const Transport::Result result = session_.transport->Read(scanner_.WritableSpace(), &bytes);
    if (result == Transport::Result::kWouldBlock) {
      empty_at_ = now;
      break;
    }
    if (result == Transport::Result::kClosed) {
      absl::Status why = session_.transport->error();
      Lose(why.ok() ? absl::UnavailableError("the server closed the connection") : why, now);
      return false;
    }
    taken += bytes;
    scanner_.Commit(bytes);
    heard_at_ = now;
    Token token;
    RespScanner::Result scanned;
    while ((scanned = scanner_.Next(&token)) == RespScanner::Result::kToken) {
      if (absl::Status status = OnToken(token, now); !status.ok()) {
        Lose(std::move(status), now);
        return false;
      }
      if (!connected()) return false;
    }
    if (scanned == RespScanner::Result::kProtocolError) {
      Lose(NotTheProtocol(), now);
      return false;
    }
  }
  if (taken > 0) {
    said_after_ = came_after;
    cache_.SetLiveUntil(came_after + options_.silence_ns);
  } else if (expected_at_ < expected_.size() && now - heard_at_ > options_.silence_ns) {
    Lose(absl::UnavailableError(absl::StrCat("no answer for ", options_.silence_ns / kNsPerMs, " ms")), now);
    return false;
  }
  return true;
}

void RedisReader::Heartbeat(MonoNs now) {
  if (beating_ || now - said_after_ < options_.heartbeat_ns) return;
  beating_ = true;
  const bool ask_role = link_->at_replica();  // one that has lost its primary has nothing new to tell
  Expect({.asked = ask_role ? Asked::kRole : Asked::kPing}, now);
  resp::AppendCommand(&out_, {ask_role ? "ROLE" : "PING"});
}

void RedisReader::Expect(Expected expected, MonoNs now) {
  if (expected_at_ == expected_.size()) {
    expected_.clear();
    expected_at_ = 0;
    heard_at_ = now;  // nothing was owed until now
  }
  expected_.push_back(expected);
}

void RedisReader::MarkStale(uint32_t index) {
  cache_.Unconfirm(index);
  Mark& mark = marks_[index];
  mark.stale = true;
  if (mark.queued) return;
  mark.queued = true;
  stale_.push_back(index);
}

void RedisReader::MarkAllStale() {
  for (uint32_t i = 0; i < keys_.size(); ++i) MarkStale(i);
}

void RedisReader::StartRead(MonoNs now) {
  reading_.clear();
  for (const uint32_t index : stale_) {
    marks_[index].queued = false;
    // Not what an answer that came after the mark has settled already.
    if (marks_[index].stale) reading_.push_back(index);
  }
  stale_.clear();
  if (reading_.empty()) return;
  round_ = Round::kRead;
  deadlines_.assign(reading_.size(), MonoNs{});
  asked_at_ = now;
  ttl_at_ = read_at_ = 0;
  counts_.keys_read += reading_.size();
  std::vector<std::string_view> words;
  for (size_t begin = 0; begin < reading_.size(); begin += options_.batch_keys) {
    const size_t end = std::min<size_t>(begin + options_.batch_keys, reading_.size());
    const auto count = static_cast<uint32_t>(end - begin);
    words.assign(1, "MGET");
    for (size_t i = begin; i < end; ++i) {
      words.push_back(keys_[reading_[i]]);
      resp::AppendCommand(&out_, {"PTTL", words.back()});
    }
    resp::AppendCommand(&out_, words);
    Expect({.asked = Asked::kTtl, .answers = count}, now);
    Expect({.asked = Asked::kRead, .keys = count}, now);
  }
}

void RedisReader::StartSweep(MonoNs now) {
  round_ = Round::kSweep;
  read_at_ = 0;
  ++counts_.sweeps;
  std::vector<std::string_view> words;
  for (size_t begin = 0; begin < keys_.size(); begin += options_.batch_keys) {
    const size_t end = std::min<size_t>(begin + options_.batch_keys, keys_.size());
    words.assign(1, "MGET");
    words.insert(words.end(), keys_.begin() + static_cast<ptrdiff_t>(begin),
                 keys_.begin() + static_cast<ptrdiff_t>(end));
    resp::AppendCommand(&out_, words);
    Expect({.asked = Asked::kSweep, .keys = static_cast<uint32_t>(end - begin)}, now);
  }
}

// Why an invalidation cannot be missed between an answer and its being stored. The server does one thing after another,
// and puts the answers and pushes of a connection into it in the order in which they came about; we take them one after
// another in that order. A push that comes before an answer to MGET is of a change before that MGET was done, so the
// answer has the new value, and rightly clears the mark. A push that comes after it is of a later change, and sets the
// mark again. (With a second connection for invalidations, as RESP2 has it, there is no such order, and a stale value
// could be stored after its invalidation was handled.) Nor is there a time without tracking: a key is tracked from the
// moment in which the server reads it for us, also if it is absent.

absl::Status RedisReader::OnToken(const Token& token, MonoNs now) {
  if (token.depth == 0) {
    element_ = 0;
    in_push_ = token.type == Type::kPush;
    if (in_push_) is_invalidation_ = false;
  } else if (token.depth == 1) {
    ++element_;
  }
  if (in_push_) {
    OnPush(token);
    return absl::OkStatus();
  }
  if (expected_at_ == expected_.size()) {
    return absl::UnavailableError(token.type == Type::kError ? ShownError(token.text) : "an answer to nothing");
  }
  Expected& expected = expected_[expected_at_];
  absl::Status status;
  switch (expected.asked) {
    case Asked::kHello:
      // Only this answer tells: in RESP2 the server takes TRACKING ON, and then never says a word.
      if (token.depth == 0) resp3_ = token.type == Type::kMap;
      if (token.type == Type::kError) {
        status_ = absl::UnimplementedError(absl::StrCat("no HELLO 3: ", ShownError(token.text)));
      }
      break;
    case Asked::kTracking:
      OnTracking(token);
      break;
    case Asked::kPing:
      if (token.type == Type::kError) status = absl::UnavailableError(ShownError(token.text));
      beating_ = false;
      break;
    case Asked::kRole:
      OnRole(token);
      if (token.ends_reply) status = OnRoleEnd(now);
      break;
    case Asked::kTtl:
      status = OnTtl(token);
      break;
    case Asked::kRead:
    case Asked::kSweep:
      status = OnValues(token, now);
      break;
  }
  // The connection may be gone, and a role answered late must not end it twice.
  if (status.ok() && connected() && token.ends_reply && --expected.answers == 0) ++expected_at_;
  return status;
}

void RedisReader::OnPush(const Token& token) {
  if (token.depth == 1 && element_ == 1) is_invalidation_ = token.text == "invalidate";
  if (!is_invalidation_) return;
  if (token.depth == 1 && token.type == Type::kNull) {
    // FLUSHALL or FLUSHDB, of whatever database.
    ++counts_.flushes;
    for (uint32_t i = 0; i < keys_.size(); ++i) {
      if (cache_.Forget(i)) NoteChanged(i);
      marks_[i].told_since_ttl = true;
      MarkStale(i);
    }
  } else if (token.depth == 2 && token.type == Type::kString) {
    const auto key = by_key_.find(token.text);
    if (key == by_key_.end()) return;
    ++counts_.invalidations;
    marks_[key->second].told_since_ttl = true;
    MarkStale(key->second);
  }
}

void RedisReader::OnTracking(const Token& token) {
  mode_ = resp3_ && token.type == Type::kStatus ? Mode::kTracking : Mode::kPolling;
  if (mode_ == Mode::kPolling && resp3_) {
    status_ = absl::UnimplementedError(absl::StrCat("no CLIENT TRACKING: ", ShownError(token.text)));
  }
}

absl::Status RedisReader::OnTtl(const Token& token) {
  if (token.type == Type::kError) return Refused(token.text);
  if (token.type != Type::kInteger || token.depth != 0) return NotTheProtocol();
  const uint32_t index = reading_[ttl_at_];
  // −2: there is no such key; −1: it has no end. Redis rounds its clock down to the millisecond, so that what is left
  // may be one less than it says.
  MonoNs deadline;
  if (token.number == -1) deadline = QuoteCache::kNoDeadline;
  if (token.number >= 0) deadline = asked_at_ + (std::min(token.number, kTtlMsMax) - 1) * kNsPerMs;
  deadlines_[ttl_at_++] = deadline;
  marks_[index].told_since_ttl = false;
  return absl::OkStatus();
}

absl::Status RedisReader::OnValues(const Token& token, MonoNs now) {
  const Expected expected = expected_[expected_at_];
  if (token.type == Type::kError) return Refused(token.text);
  if (token.depth == 0) {
    return token.type == Type::kArray && token.number == expected.keys ? absl::OkStatus() : NotTheProtocol();
  }
  QuoteCache::Value value;
  if (token.type == Type::kString) {
    value.text = token.text;
  } else if (token.type == Type::kTooLong) {
    value.oversize = true;
  } else if (token.type != Type::kNull) {
    return NotTheProtocol();
  }
  const size_t at = read_at_++;
  if (expected.asked == Asked::kSweep) {
    const auto index = static_cast<uint32_t>(at);
    if (!cache_.IsSame(index, value, now)) MarkStale(index);
    if (read_at_ == keys_.size()) round_ = Round::kNone;
    return absl::OkStatus();
  }
  OnValue(reading_[at], value, deadlines_[at], now);
  if (read_at_ == reading_.size()) {
    round_ = Round::kNone;
    link_->OnAnswer();
  }
  return absl::OkStatus();
}

void RedisReader::OnValue(uint32_t index, const QuoteCache::Value& value, MonoNs deadline, MonoNs now) {
  Mark& mark = marks_[index];
  const bool present = value.text.has_value() || value.oversize;
  if (present && deadline == MonoNs{}) return MarkStale(index);  // written since PTTL: how long it lives is not known
  switch (cache_.Take(index, value, deadline, server_number_, now)) {
    case QuoteCache::Taken::kSame:
      break;
    case QuoteCache::Taken::kChanged:
      ++counts_.changes;
      NoteChanged(index);
      break;
    case QuoteCache::Taken::kHeldBack:
      ++counts_.held_back;
      return MarkStale(index);
  }
  // The value is the newest, but the deadline that of the one before it: once more, in the next round.
  mark.stale = mark.told_since_ttl;
}

void RedisReader::NoteChanged(uint32_t index) {
  if (is_changed_[index]) return;
  is_changed_[index] = true;
  changed_.push_back(SymbolId{index});
}

// Of a primary: "master", offset, an array of [host, port, offset]. Of a replica: "slave", host, port, state, offset.
void RedisReader::OnRole(const Token& token) {
  if (token.depth == 0) role_ = RoleAnswer();
  if (token.depth == 1 && element_ == 1) role_.is_replica = token.text == "slave";
  if (token.depth == 1 && element_ == 4) role_.linked = token.text == "connected";
  if (token.depth == 2) role_.field = 0;
  if (token.depth != 3) return;
  ++role_.field;
  int port = 0;
  if (role_.field == 1) {
    role_.host = token.text;
  } else if (role_.field == 2 && absl::SimpleAtoi(token.text, &port) && port > 0 && port <= 65'535) {
    if (role_.replicas.size() < ReaderLink::kReplicasMax) {
      role_.replicas.emplace_back(role_.host, static_cast<uint16_t>(port));
    }
  }
}

absl::Status RedisReader::OnRoleEnd(MonoNs now) {
  beating_ = false;
  if (link_->discovers(now)) {
    if (link_->OnReplicas(role_.replicas, now)) Disconnect(absl::UnavailableError("connecting to a replica"));
    return absl::OkStatus();
  }
  const bool stranded = link_->at_replica() && role_.is_replica && !role_.linked;
  return stranded ? absl::UnavailableError("the replica has lost its primary") : absl::OkStatus();
}

}  // namespace tickbridge
