// SPDX-License-Identifier: Apache-2.0
#include "bench/watcher.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bench/schedule.h"
#include "bench/session.h"
#include "core/clock.h"
#include "sink/reply_reader.h"
#include "sink/resp.h"

namespace tickbridge {
namespace {

constexpr int64_t kAnswerWithinNs = 10 * kNsPerSec;

uint64_t NumberOf(int64_t timestamp_ms) {
  return timestamp_ms > Schedule::kTimeBaseMs ? static_cast<uint64_t>(timestamp_ms - Schedule::kTimeBaseMs) : 0;
}

class RedisLookout final : public Lookout {
 public:
  RedisLookout(std::unique_ptr<Transport> transport, const std::vector<std::string>& keys)
      : transport_(std::move(transport)) {
    for (const std::string& key : keys) {
      resp::AppendCommand(&commands_.emplace_back(), {"GET", key});
    }
  }

  uint64_t Look(uint32_t watched) noexcept override {
    if (broken_) return 0;
    std::string_view unsent = commands_[watched];
    const MonoNs deadline = SystemClock::ReadMonotonic() + kAnswerWithinNs;
    ServerReply reply;
    ReplyReader::Result next;
    while ((next = replies_.Next(&reply)) != ReplyReader::Result::kReply) {
      size_t bytes = 0;
      if (next == ReplyReader::Result::kProtocolError || SystemClock::ReadMonotonic() > deadline) broken_ = true;
      if (broken_) return 0;
      if (!unsent.empty()) {
        const Transport::Result wrote = transport_->Write(unsent, &bytes);
        broken_ = wrote == Transport::Result::kClosed;
        if (wrote == Transport::Result::kOk) unsent.remove_prefix(bytes);
        continue;
      }
      const Transport::Result read = transport_->Read(replies_.WritableSpace(), &bytes);
      if (read == Transport::Result::kClosed) {
        broken_ = true;
      } else if (read == Transport::Result::kOk) {
        replies_.Commit(bytes);
      } else {
        ::sched_yield();  // the server may need this CPU to answer
      }
    }
    if (reply.kind != ServerReply::Kind::kString) return 0;
    static constexpr std::string_view kName = "\"Timestamp\":";
    const size_t at = reply.text.find(kName);
    if (at == std::string_view::npos) return 0;
    const std::string_view rest = reply.text.substr(at + kName.size());
    int64_t timestamp_ms = 0;
    if (!absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")), &timestamp_ms)) return 0;
    return NumberOf(timestamp_ms);
  }

 private:
  const std::unique_ptr<Transport> transport_;
  std::vector<std::string> commands_;
  ReplyReader replies_;
  bool broken_ = false;  // gone, or out of step: nothing is seen any more
};

class TableLookout final : public Lookout {
 public:
  TableLookout(std::unique_ptr<TableReader> table, std::vector<std::string> symbols)
      : table_(std::move(table)), symbols_(std::move(symbols)), ids_(symbols_.size(), kNoSymbol) {}

  uint64_t Look(uint32_t watched) noexcept override {
    SymbolId& id = ids_[watched];
    if (id == kNoSymbol) id = table_->Find(symbols_[watched]);
    Quote quote;
    if (id == kNoSymbol || table_->LoadQuote(id, &quote) != TableReader::Load::kOk) return 0;
    return NumberOf(quote.timestamp.value);
  }

 private:
  const std::unique_ptr<TableReader> table_;
  const std::vector<std::string> symbols_;
  std::vector<SymbolId> ids_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Lookout>> OpenRedisLookout(const RedisTarget& target,
                                                          const std::vector<std::string>& keys) {
  absl::StatusOr<std::unique_ptr<Transport>> transport = OpenTransport(target, "watcher");
  if (!transport.ok()) return transport.status();
  return std::make_unique<RedisLookout>(*std::move(transport), keys);
}

absl::StatusOr<std::unique_ptr<Lookout>> OpenTableLookout(const std::string& table, std::vector<std::string> symbols) {
  std::string error;
  std::unique_ptr<TableReader> reader = TableReader::Open(table, nullptr, &error);
  if (reader == nullptr) return absl::UnavailableError(error);
  return std::make_unique<TableLookout>(std::move(reader), std::move(symbols));
}

Watcher::Watcher(uint32_t watched, int cpu)
    : watched_(watched), cpu_(cpu), coverage_(watched, static_cast<uint32_t>(kRing)), seen_(watched), ring_(kRing) {}

Watcher::~Watcher() { Stop(0); }

void Watcher::Start(std::unique_ptr<Lookout> lookout, MeasuredTime measured) {
  lookout_ = std::move(lookout);
  measured_ = measured;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "watcher");
    if (cpu_ >= 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<size_t>(cpu_), &one);
      pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    }
    Loop();
  });
}

void Watcher::Stop(int64_t patience_ns) {
  if (!thread_.joinable()) return;
  give_up_ns_.store((SystemClock::ReadMonotonic() + patience_ns).value, std::memory_order_relaxed);
  stopping_.store(true, std::memory_order_release);  // (3)
  thread_.join();
}

void Watcher::Drain() noexcept {
  const uint64_t head = head_.load(std::memory_order_acquire);  // pairs with (1)
  uint64_t tail = tail_.load(std::memory_order_relaxed);        // our own
  for (; tail != head; ++tail) {
    const Entry& entry = ring_[tail % kRing];
    coverage_.Send(entry.symbol, entry.due);
  }
  tail_.store(tail, std::memory_order_release);  // (2)
}

void Watcher::Loop() noexcept {
  while (true) {
    const bool stopping = stopping_.load(std::memory_order_acquire);  // pairs with (3)
    Drain();
    if (stopping && (coverage_.waiting() == 0 ||
                     SystemClock::ReadMonotonic().value > give_up_ns_.load(std::memory_order_relaxed))) {
      return;
    }
    bool looked = false;
    for (uint32_t symbol = 0; symbol < watched_; ++symbol) {
      if (coverage_.sent(symbol) == seen_[symbol]) continue;
      looked = true;
      ++looks_;
      const uint64_t number = lookout_->Look(symbol);
      const MonoNs now = SystemClock::ReadMonotonic();
      if (number <= seen_[symbol]) continue;
      Drain();  // a tick is announced before it can be seen
      seen_[symbol] = number;
      coverage_.Cover(symbol, number, [&](MonoNs due, uint32_t ticks) {
        if (measured_.Has(due)) latency_->RecordN(now - due, ticks);
      });
    }
    if (!looked || cpu_ >= 0) ::sched_yield();  // on its CPU the server may be waiting
  }
}

}  // namespace tickbridge
