// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a feed sends, each line that is not blank is one record that is accepted, rejected or control; the
// fast path and simdjson come to the same; and no value of a raw class gets into the log.
//
// Method: four bridges without a sink get the same lines: by the fast path, each line in a block that ends with its
// padding, and the padding looks like more of the line; by simdjson alone; by simdjson because the line was written
// differently, with spaces or with a member that nobody knows; and by the fast path out of a LineSplitter's buffer, in
// pieces. What became of each line, and the state at the end, must be the same.
//
// Input: what the feed sends.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/log.h"
#include "feed/line_splitter.h"
#include "feed/ndjson_decoder.h"
#include "tests/core_fixture.h"
#include "tests/fuzz/fuzz.h"

namespace tickbridge::fuzz {
namespace {

constexpr size_t kLineBytesMax = 1024;
constexpr uint32_t kSymbols = 8;
constexpr uint32_t kDocuments = 8;

std::string* logged = nullptr;

// What is dear to make and no input can change: clock, classes, sources, and room for counters.
class Shared {
 public:
  Shared() : fixture_({.symbols = 1, .documents = 1, .classes = Classes()}) {
    source_ = fixture_.sources.Open(0, fixture_.clock.Now());
    SetLogHandler([](LogLevel, std::string_view line) { absl::StrAppend(logged, line, "\n"); });
  }
  Core core() { return fixture_.core(); }
  SourceId source() const { return source_; }
  const Clock& clock() const { return fixture_.clock; }
  // A file has room for the counters of some hundreds. The one before may still be in use.
  CountersFile* Counters() {
    if (ingests_++ % kIngestsPerFile == 0) {
      before_ = std::move(counters_);
      counters_ = *CountersFile::Create("");
    }
    return counters_.get();
  }

 private:
  static constexpr size_t kIngestsPerFile = 200;

  static std::vector<KeyClass> Classes() {
    std::vector<KeyClass> classes = DefaultKeyClasses();
    KeyClass note;
    note.name = "note";
    note.key = *KeyPattern::Parse("note:{account}[:{id}]");
    note.publish = *KeyPattern::Parse("notes.{id}");
    note.ttl_ns = kNsPerSec;
    classes.push_back(std::move(note));
    return classes;
  }

  CoreFixture fixture_;
  SourceId source_;
  size_t ingests_ = 0;
  std::unique_ptr<CountersFile> before_;
  std::unique_ptr<CountersFile> counters_;
};

// One way in, and the state that it leads to.
class Bridge {
 public:
  Bridge(Shared* shared, bool fast)
      : core_(shared->core()),
        symbols_(kSymbols),
        table_({.capacity = kSymbols, .sequence_base = 1000}),
        dirty_(&table_, 1, 1),
        documents_(kDocuments, 1, core_.sources) {
    core_.symbols = &symbols_;
    core_.table = &table_;
    core_.dirty = &dirty_;
    core_.documents = &documents_;
    ingest_ = std::make_unique<Ingest>(core_, Ingest::Options{.feed = "t"}, shared->Counters());
    decoder_ = std::make_unique<NdjsonDecoder>(ingest_.get(), NdjsonDecoder::Options{.fast_path = fast});
    ingest_->BeginBatch(shared->source(), shared->clock().Now());
  }

  // A line whose padding can be read as well. Says what became of it.
  std::string DecodePadded(const char* line, size_t bytes, uint64_t offset) {
    LineDecoder* const decoder = decoder_.get();
    decoder->Decode(line, bytes, offset);
    return Outcome();
  }
  std::string Decode(std::string_view line, uint64_t offset) {
    static constexpr std::string_view kBehind =
        "\"Bid\":1.5,\"Ask\":2.5,\"BidSize\":12345,\"AskSize\":99,\"Last\":21000.25";
    static_assert(kBehind.size() == limits::kParsePaddingBytes);
    const auto block = std::make_unique<char[]>(line.size() + kBehind.size());
    std::copy(line.begin(), line.end(), block.get());
    std::copy(kBehind.begin(), kBehind.end(), block.get() + line.size());
    return DecodePadded(block.get(), line.size(), offset);
  }
  std::string TooLong(uint64_t offset) {
    ingest_->OnReject(RejectReason::kLineTooLong, offset, {});
    return Outcome();
  }

  uint64_t records() const { return ingest_->counts().records->Get(); }

  // All that a sink or a reader could see of it. Takes what is dirty.
  std::string State() {
    std::string state;
    for (uint32_t i = 0; i < symbols_.size(); ++i) {
      const SymbolId id{i};
      Quote quote;
      Require(table_.TryLoad(id, &quote), "nobody else writes");
      absl::StrAppend(&state, Shown(symbols_.Name(id)), " #", quote.sequence, " @", quote.timestamp.value, " ",
                      quote.quote_time.value, " ", quote.trade_time.value);
      for (size_t field = 0; field < kFieldCount; ++field) {
        if (!quote.Has(static_cast<Field>(field))) continue;
        const Decimal value = quote.value[field];
        absl::StrAppend(&state, " ", field, "=", value.mantissa, "e", int{value.exponent});
      }
      state += '\n';
    }
    std::array<SymbolId, kSymbols + 1> ids{};
    size_t dirty = 0;
    while (const size_t count = dirty_.Take(0, ids)) {
      for (size_t i = 0; i < count; ++i) dirty_.Begin(ids[i]);
      dirty += count;
    }
    Require(dirty <= symbols_.size(), "a dirty id waits once");
    std::vector<DocumentTable::Taken> taken;
    documents_.Take(0, documents_.capacity(), &taken);
    for (const DocumentTable::Taken& item : taken) {
      const Document& document = *item.document;
      absl::StrAppend(&state, Shown(document.key), " #", document.sequence, document.deleted ? " deleted " : " ",
                      document.ttl_ns, " ", document.deadline.value - document.received.value, " ",
                      Shown(document.channel), " ", Shown(document.value), "\n");
    }
    return absl::StrCat(state, dirty, " dirty, ", taken.size(), " documents\n");
  }

 private:
  // What was counted since the last call: "" for nothing.
  std::string Outcome() {
    const Ingest::Counts& counts = ingest_->counts();
    std::string outcome;
    uint64_t sum = 0;
    const auto take = [&](const Counter* counter, std::string_view name, uint64_t* before) {
      const uint64_t now = counter->Get();
      sum += now;
      if (now != *before) absl::StrAppend(&outcome, name, " ", now - *before, " ");
      *before = now;
    };
    take(counts.accepted, "accepted", &accepted_);
    take(counts.control, "control", &control_);
    for (size_t i = 0; i < kRejectReasonCount; ++i) take(counts.rejected[i], kRejectReasonNames[i], &rejected_[i]);
    if (sum != records()) Fail("records = accepted + rejected + control", absl::StrCat(records(), " and ", sum));
    return outcome;
  }

  Core core_;
  SymbolTable symbols_;
  LatestTable table_;
  DirtyQueue dirty_;
  DocumentTable documents_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<NdjsonDecoder> decoder_;
  uint64_t accepted_ = 0;
  uint64_t control_ = 0;
  std::array<uint64_t, kRejectReasonCount> rejected_{};
};

bool IsBlank(std::string_view line, uint64_t offset) {
  if (offset == 0 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// The same record in a form that the fast path does not take. `line` holds an object with at least one member.
std::string Rewritten(std::string_view line) {
  static constexpr std::array<std::string_view, 4> kAdded = {
      "\t", R"("zz":null,)", R"("zz":123456789012345678901234567890,)", R"( "\u007az" : [1e999, {"symbol":"}{"}] , )"};
  std::string rewritten(line);
  const size_t brace = rewritten.find('{');
  Require(brace != std::string::npos, "what is accepted is an object");
  return rewritten.insert(brace + 1, kAdded[line.size() % kAdded.size()]);
}

// Surely a document of the class `token` if it is a record at all, whose text is not to be seen in a log.
bool HoldsSecret(std::string_view line) {
  const size_t key_class = line.find(R"("class":"token")");
  return key_class != std::string_view::npos && absl::StrContains(line, "SECRET") &&
         !absl::StrContainsIgnoreCase(line.substr(key_class + 2), "class") &&
         !absl::StrContainsIgnoreCase(line.substr(0, key_class), "class") &&
         !absl::StrContainsIgnoreCase(line, "symbol") && !absl::StrContains(line, '\\');
}

struct Line {
  std::string_view text;
  uint64_t offset;
};

std::vector<Line> LinesOf(std::string_view input) {
  std::vector<Line> lines;
  for (size_t begin = 0; begin < input.size();) {
    const size_t end = std::min(input.find('\n', begin), input.size());
    std::string_view text = input.substr(begin, end - begin);
    if (text.ends_with('\r')) text.remove_suffix(1);
    lines.push_back({text, begin});
    begin = end + 1;
  }
  return lines;
}

// The lines as a stream's feed takes them, in pieces whose lengths are anything.
std::vector<std::string> DecodeStream(std::string_view input, Bridge* bridge) {
  std::vector<std::string> outcomes;
  LineSplitter splitter({.line_bytes_max = kLineBytesMax, .first_buffer_bytes = 64});
  const auto take = [&](const LineSplitter::Line& line) {
    outcomes.push_back(line.too_long ? bridge->TooLong(line.offset)
                                     : bridge->DecodePadded(line.data, line.bytes, line.offset));
  };
  LineSplitter::Line line;
  while (!input.empty()) {
    const std::span<char> space = splitter.WritableSpace();
    Require(!space.empty(), "there is always room for more");
    const size_t wanted = 1 + static_cast<unsigned char>(input[0]) * size_t{7} % 113;
    const size_t piece = std::min({wanted, space.size(), input.size()});
    std::memcpy(space.data(), input.data(), piece);
    splitter.Commit(piece);
    input.remove_prefix(piece);
    while (splitter.Next(&line)) take(line);
  }
  if (splitter.Finish(&line)) take(line);
  return outcomes;
}

void RequireSame(std::string_view promise, std::string_view line, std::string_view a, std::string_view b) {
  if (a != b) Fail(promise, absl::StrCat(Shown(line), "\n", a, "\n---\n", b));
}

void Run(std::string_view input) {
  static Shared* const shared = new Shared();
  std::string log;
  logged = &log;
  Bridge fast(shared, true);
  Bridge slow(shared, false);
  Bridge rewritten(shared, true);
  Bridge stream(shared, true);

  const std::vector<Line> lines = LinesOf(input);
  std::vector<std::string> outcomes;
  for (const auto& [line, offset] : lines) {
    log.clear();
    const uint64_t before = fast.records();
    if (line.size() > kLineBytesMax) {
      outcomes.push_back(fast.TooLong(offset));
      slow.TooLong(offset);
      rewritten.TooLong(offset);
      continue;
    }
    const std::string outcome = fast.Decode(line, offset);
    if (fast.records() - before != (IsBlank(line, offset) ? 0U : 1U)) {
      Fail("a line is one record, a blank one none", Shown(line));
    }
    RequireSame("both ways come to the same", line, outcome, slow.Decode(line, offset));
    const bool good = outcome.starts_with("accepted") || outcome.starts_with("control");
    const std::string other = good ? Rewritten(line) : std::string(line);
    RequireSame("what nobody knows does not matter", other, outcome, rewritten.Decode(other, offset));
    if (HoldsSecret(line) && absl::StrContains(log, "SECRET")) Fail("no secret is logged", log);
    outcomes.push_back(outcome);
  }
  if (DecodeStream(input, &stream) != outcomes) Fail("a stream's pieces do not matter");

  const std::string state = fast.State();
  RequireSame("both ways come to the same state", "", state, slow.State());
  RequireSame("what nobody knows does not change the state", "", state, rewritten.State());
  RequireSame("a stream's pieces do not change the state", "", state, stream.State());
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  tickbridge::fuzz::Run(tickbridge::fuzz::AsText(data, bytes));
  return 0;
}
