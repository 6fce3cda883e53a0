// SPDX-License-Identifier: Apache-2.0
// One step of the hot path, run a fixed number of times on fixed data, for bench/instructions to count under callgrind.
// Only what MeasuredRound does is counted: --toggle-collect=MeasuredRound.
//
// Nothing here depends on time, on chance or on addresses: clocks stand still, and every order is fixed.
//
// usage: hot_path --list | --build | STEP
//   STEP prints how many ticks were measured. --build prints what the program was built with.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/shared_stage.h"
#include "bench/sink_stage.h"
#include "feed/line_splitter.h"
#include "feed/ndjson_decoder.h"
#include "feed/synth.h"
#include "sink/quote_encoder.h"
#include "sink/reply_reader.h"

namespace tickbridge {

// A step's round does it once for each symbol; the ticks are counted from that.
class Step {
 public:
  virtual ~Step() = default;
  virtual void Prepare() {}  // before each round, not measured
  virtual uint64_t Round() = 0;
};

}  // namespace tickbridge

// A plain name, so that callgrind finds it.
extern "C" [[gnu::noinline]] uint64_t MeasuredRound(tickbridge::Step* step) { return step->Round(); }

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 1024;
constexpr int kRoundsToWarmUp = 2;
constexpr int kRounds = 8;

// A fixed order that is not the order in memory.
SymbolId Nth(uint32_t i) { return SymbolId{i * 389 % kSymbols}; }
static_assert(kSymbols % 2 == 0, "389 is odd, so that every symbol has its turn");

Tick QuoteTick() {
  Tick tick;
  tick.Set(Field::kBid, {2'100'000, -2});
  tick.Set(Field::kAsk, {2'100'025, -2});
  tick.Set(Field::kBidSize, {12, 0});
  tick.Set(Field::kAskSize, {7, 0});
  tick.quote_time = VenueNsFromMs(1'700'000'000'000);
  return tick;
}

Tick TradeTick() {
  Tick tick;
  tick.Set(Field::kLast, {2'100'000, -2});
  tick.Set(Field::kLastSize, {3, 0});
  tick.trade_time = VenueNsFromMs(1'700'000'000'000);
  return tick;
}

// NDJSON lines → slots and dirty queue, as a feed does: split, decode, look up, merge, mark.
class Decode : public Step {
 public:
  Decode() {
    ingest_->BeginBatch(core_.sources.Open(0, core_.clock.Now()), core_.clock.Now());
    SynthMarket market({.symbols = kSymbols, .seed = 42});
    for (uint32_t i = 0; i < kSymbols; ++i) market.AppendNdjson(&text_);
  }
  void Prepare() override { core_.DrainDirty(); }
  uint64_t Round() override {
    uint64_t lines = 0;
    for (size_t at = 0; at != text_.size();) {
      const std::span<char> space = splitter_.WritableSpace();
      const size_t bytes = std::min(space.size(), text_.size() - at);
      std::copy_n(text_.data() + at, bytes, space.data());
      splitter_.Commit(bytes);
      at += bytes;
      for (LineSplitter::Line line; splitter_.Next(&line); ++lines) decoder_.Decode(line.data, line.bytes, line.offset);
    }
    return lines;
  }

 private:
  CoreFixture core_{{.symbols = kSymbols}};
  std::unique_ptr<Ingest> ingest_ = core_.MakeIngest(Ingest::Options{.feed = "bench", .replay = true});
  NdjsonDecoder decoder_{ingest_.get(), {}};
  LineSplitter splitter_;
  std::string text_;
};

class Lookup : public Step {
 public:
  uint64_t Round() override {
    uint64_t found = 0;
    for (uint32_t i = 0; i < kSymbols; ++i) {
      found += symbols_.Find(names_[Index(Nth(i))]) != kNoSymbol;
    }
    return found;
  }
  Lookup() {
    for (uint32_t i = 0; i < kSymbols; ++i) {
      names_.push_back("S" + std::to_string(100'000 + i));
      symbols_.Insert(names_.back());
    }
  }

 private:
  SymbolTable symbols_{kSymbols};
  std::vector<std::string> names_;
};

template <Tick (*kMake)()>
class Merge : public Step {
 public:
  uint64_t Round() override {
    tick_.quote_time.value += tick_.quote_time.value != 0;
    tick_.trade_time.value += tick_.trade_time.value != 0;
    uint64_t merged = 0;
    for (uint32_t i = 0; i < kSymbols; ++i) merged += table_.Merge(Nth(i), tick_, context_) == MergeResult::kMerged;
    return merged;
  }

 private:
  LatestTable table_{{.capacity = kSymbols}};
  Tick tick_ = kMake();
  const TickContext context_{MonoNs{1}, UnixMs{1}, kNoSource};
};

// The hand-off: both sides.
class Queue : public Step {
 public:
  uint64_t Round() override {
    for (uint32_t i = 0; i < kSymbols; ++i) dirty_.Mark(0, Nth(i), MonoNs{1});
    uint64_t taken = 0;
    while (const size_t count = dirty_.Take(0, ids_)) {
      for (size_t i = 0; i < count; ++i) dirty_.Begin(ids_[i]);
      taken += count;
    }
    return taken;
  }

 private:
  LatestTable table_{{.capacity = kSymbols}};
  DirtyQueue dirty_{&table_, 1, 1};
  std::array<SymbolId, 64> ids_{};  // as many as the sink takes at once
};

// A tick of a symbol that is dirty already.
class Conflate : public Step {
 public:
  Conflate() {
    for (uint32_t i = 0; i < kSymbols; ++i) dirty_.Mark(0, SymbolId{i}, MonoNs{1});
  }
  uint64_t Round() override {
    ++tick_.quote_time.value;
    uint64_t merged = 0;
    for (uint32_t i = 0; i < kSymbols; ++i) {
      merged += table_.Merge(Nth(i), tick_, context_) == MergeResult::kMerged;
      dirty_.Mark(0, Nth(i), context_.received);
    }
    return merged;
  }

 private:
  LatestTable table_{{.capacity = kSymbols}};
  DirtyQueue dirty_{&table_, 1, 1};
  Tick tick_ = QuoteTick();
  const TickContext context_{MonoNs{1}, UnixMs{1}, kNoSource};
};

// Quote → JSON.
class Encode : public Step {
 public:
  Encode() {
    LatestTable table({.capacity = 1});
    table.Merge(SymbolId{0}, FullTick(1), {MonoNs{1}, UnixMs{1}, kNoSource});
    table.TryLoad(SymbolId{0}, &quote_);
  }
  uint64_t Round() override {
    uint64_t encoded = 0;
    for (uint32_t i = 0; i < kSymbols; ++i) {
      ++quote_.timestamp.value;
      encoded += encoder_.Encode(buffer_.data(), quote_, {}, {}) != buffer_.data();
    }
    return encoded;
  }

 private:
  QuoteEncoder encoder_{DefaultKeyClasses()[0].members};
  std::vector<char> buffer_ = std::vector<char>(encoder_.bytes_max());
  Quote quote_;
};

// Dirty ids → commands: take, begin, load, encode, RESP.
template <bool msetex>
class Fill : public Step {
 public:
  void Prepare() override {
    stage_.SettleAll();
    stage_.core().TickAll();
  }
  uint64_t Round() override { return stage_.FillAll(); }

 private:
  SinkStage stage_{kSymbols, msetex};
};

// The reply parser alone.
class Replies : public Step {
 public:
  Replies() {
    for (uint32_t i = 0; i < kSymbols; ++i) text_ += "+OK\r\n";
  }
  uint64_t Round() override {
    const std::span<char> space = reader_.WritableSpace();
    std::copy(text_.begin(), text_.end(), space.begin());
    reader_.Commit(text_.size());
    uint64_t replies = 0;
    for (ServerReply reply; reader_.Next(&reply) == ReplyReader::Result::kReply;) ++replies;
    return replies;
  }

 private:
  ReplyReader reader_;
  std::string text_;
};

// All that the sink does for a tick: duty cycles of a lane, from dirty ids to settled answers.
class Deliver : public Step {
 public:
  void Prepare() override { stage_.core().TickAll(); }
  uint64_t Round() override { return stage_.DeliverAll(); }

 private:
  LaneStage stage_{kSymbols};
};

// A strategy's load from the shared table.
class TableRead : public Step {
 public:
  uint64_t Round() override {
    uint64_t loaded = 0;
    Quote quote;
    for (uint32_t i = 0; i < kSymbols; ++i) loaded += stage_.reader().TryLoad(Nth(i), &quote) == TableReader::Load::kOk;
    return loaded;
  }

 private:
  SharedStage stage_{kSymbols};
};

template <typename S>
std::unique_ptr<Step> Make() {
  return std::make_unique<S>();
}

struct NamedStep {
  std::string_view name;
  std::unique_ptr<Step> (*make)();
};
// In the order of a tick's way.
constexpr std::array kSteps = {
    NamedStep{"decode", Make<Decode>},
    NamedStep{"lookup", Make<Lookup>},
    NamedStep{"merge_quote", Make<Merge<QuoteTick>>},
    NamedStep{"merge_trade", Make<Merge<TradeTick>>},
    NamedStep{"conflate", Make<Conflate>},
    NamedStep{"queue", Make<Queue>},
    NamedStep{"encode", Make<Encode>},
    NamedStep{"fill_setex", Make<Fill<false>>},
    NamedStep{"fill_msetex", Make<Fill<true>>},
    NamedStep{"replies", Make<Replies>},
    NamedStep{"deliver", Make<Deliver>},
    NamedStep{"table_read", Make<TableRead>},
};

int Run(const NamedStep& named) {
  const std::unique_ptr<Step> step = named.make();
  for (int i = 0; i < kRoundsToWarmUp; ++i) {
    step->Prepare();
    step->Round();
  }
  uint64_t ticks = 0;
  for (int i = 0; i < kRounds; ++i) {
    step->Prepare();
    ticks += MeasuredRound(step.get());
  }
  if (ticks != uint64_t{kRounds} * kSymbols) {
    std::fprintf(stderr, "%s did %llu of %u ticks\n", named.name.data(), static_cast<unsigned long long>(ticks),
                 kRounds * kSymbols);
    return 1;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(ticks));
  return 0;
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) {
  using namespace tickbridge;
  const std::string_view wanted = argc == 2 ? argv[1] : "";
  if (wanted == "--build") {
    std::printf("%s\n", TICKBRIDGE_BUILT_WITH);
    return 0;
  }
  for (const NamedStep& step : kSteps) {
    if (wanted == "--list") std::printf("%s\n", step.name.data());
    if (wanted == step.name) return Run(step);
  }
  if (wanted == "--list") return 0;
  std::fprintf(stderr, "usage: hot_path --list | --build | STEP\n");
  return 2;
}
