// SPDX-License-Identifier: Apache-2.0
// Native records: one JSON object a line. The format, with examples, is in README.md, "Input records".
//
// A record is decoded wholly before any of it is handed to the Ingest, so a late syntax error leaves no trace. Every
// line that is not blank becomes exactly one call of Ingest::OnXxx.
//
// What a record is, by its members: `class` → a document; else `symbol` → a reset or a tick; else `heartbeat`. Where a
// key comes twice the last one counts, and what the first held does not matter as long as it is JSON.
// A byte order mark is skipped at offset 0, and malformed elsewhere.
//
// Two ways lead through it, with the same result for every line (a test compares them). Flat ticks in plain ASCII are
// read in one pass over the bytes; at the first byte that such a line would not have, that way gives up and the other
// begins anew: simdjson checks the whole line, and the members are then read from the text.
//
// Secrets: of a line that names a raw class, or has an escape, nothing is shown to the log; of others that might have
// been meant as a document, or that cannot be read, nothing that could be a value.
// Threading: one thread. Cost: no allocation for ticks and control records of up to 16 KiB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/ingest.h"
#include "core/limits.h"
#include "core/reject.h"
#include "core/tick.h"
#include "feed/decoder.h"

namespace tickbridge {

class NdjsonDecoder final : public LineDecoder {
 public:
  struct Options {
    bool fast_path = true;  // off: simdjson alone, to compare
  };

  // `ingest` outlives the decoder.
  explicit NdjsonDecoder(Ingest* ingest) : NdjsonDecoder(ingest, Options{}) {}
  NdjsonDecoder(Ingest* ingest, const Options& options);
  ~NdjsonDecoder() override;

  void Decode(const char* line, size_t bytes, uint64_t offset) override;

 private:
  struct Record;
  struct Json;

  // One pass over a flat tick. False: not such a line, and nothing was handed over.
  bool DecodeFast(const char* p, const char* end, uint64_t offset);
  void DecodeAny(std::string_view line, uint64_t offset);

  void HandOver(const Record& record, std::string_view line, uint64_t offset);
  void HandOverDocument(const Record& record, std::string_view line, uint64_t offset);
  // Rejects with as much of the line as may be logged.
  void Reject(RejectReason reason, std::string_view line, uint64_t offset);
  // As much of a line as may be logged. Lives until the next one is asked for.
  std::string_view Excerpt(std::string_view line);
  bool HidesNoRawClass(std::string_view line) const;
  bool NamesRawClass(std::string_view line) const;

  Ingest* const ingest_;
  const bool fast_path_;
  std::vector<std::string> raw_classes_;
  std::unique_ptr<Json> json_;
  Tick tick_;
  std::string excerpt_;
  // The key that came after each key in an earlier line: a producer keeps its order, so it is tried first.
  std::array<uint8_t, 32> successor_{};
};

}  // namespace tickbridge
