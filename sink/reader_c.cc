// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/tick.h"
#include "sink/table_reader.h"
#include "sink/tickbridge_reader.h"

struct tbr_reader {
  std::unique_ptr<tickbridge::TableReader> table;
};

namespace {

using tickbridge::Field;
using tickbridge::MonoNs;
using tickbridge::Quote;
using tickbridge::Status;
using tickbridge::SymbolId;
using tickbridge::SystemClock;
using tickbridge::TableReader;

static_assert(TBR_FIELDS == tickbridge::kFieldCount && TBR_LOW == static_cast<int>(Field::kLow));
static_assert(TBR_STATUS_CLOSED == static_cast<int>(Status::kClosed));
static_assert(TBR_SUPERSEDED == static_cast<int>(TableReader::Life::kSuperseded));
static_assert(sizeof(tbr_decimal) == 16 && sizeof(tbr_quote) == 16 * TBR_FIELDS + 48);

// Cut to `bytes`, with a zero behind.
void CopyText(std::string_view text, char* to, size_t bytes) {
  if (to == nullptr || bytes == 0) return;
  to[text.copy(to, bytes - 1)] = '\0';
}

// An id that is none of the table's, for a number that is no id at all.
SymbolId IdOf(int64_t symbol) {
  return symbol < 0 || symbol > UINT32_MAX ? tickbridge::kNoSymbol : SymbolId{static_cast<uint32_t>(symbol)};
}

}  // namespace

extern "C" {

tbr_reader* tbr_open(const char* table, char* error, size_t error_bytes) {
  try {
    std::string text;
    auto reader = std::make_unique<tbr_reader>();
    reader->table = TableReader::Open(table == nullptr ? "" : table, nullptr, &text);
    if (reader->table != nullptr) return reader.release();
    CopyText(text, error, error_bytes);
  } catch (...) {
    CopyText("no memory", error, error_bytes);
  }
  return nullptr;
}

void tbr_close(tbr_reader* reader) { delete reader; }

int64_t tbr_find(const tbr_reader* reader, const char* symbol) {
  if (reader == nullptr || symbol == nullptr) return TBR_NO_SYMBOL;
  const SymbolId id = reader->table->Find(symbol);
  if (id == tickbridge::kNoSymbol) return TBR_NO_SYMBOL;
  return Index(id);
}

uint32_t tbr_symbols(const tbr_reader* reader) { return reader == nullptr ? 0 : reader->table->symbols(); }

int tbr_name(const tbr_reader* reader, int64_t symbol, char* name, size_t name_bytes) {
  const std::string_view text = reader == nullptr ? std::string_view() : reader->table->Name(IdOf(symbol));
  CopyText(text, name, name_bytes);
  return text.empty() ? -1 : static_cast<int>(text.size());
}

int tbr_load(const tbr_reader* reader, int64_t symbol, tbr_quote* quote) {
  if (reader == nullptr || quote == nullptr) [[unlikely]]
    return TBR_INVALID;
  Quote loaded;
  switch (reader->table->LoadQuote(IdOf(symbol), &loaded)) {
    case TableReader::Load::kOk:
      break;
    case TableReader::Load::kNothing:
      return TBR_NOTHING;
    case TableReader::Load::kBusy:
      return TBR_BUSY;
    case TableReader::Load::kInvalid:
      return TBR_INVALID;
  }
  for (size_t field = 0; field < TBR_FIELDS; ++field) {
    quote->value[field] = {loaded.value[field].mantissa, loaded.value[field].exponent, {}};
  }
  quote->present = loaded.present;
  quote->status = static_cast<uint8_t>(loaded.status);
  quote->reserved = 0;
  quote->source = static_cast<uint32_t>(loaded.source);
  quote->timestamp_ms = loaded.timestamp.value;
  quote->received_ns = loaded.received.value;
  quote->sequence = loaded.sequence;
  quote->quote_time_ns = loaded.quote_time.value;
  quote->trade_time_ns = loaded.trade_time.value;
  return TBR_OK;
}

double tbr_to_double(tbr_decimal value) {
  constexpr int64_t kExactMax = int64_t{1} << 53;
  constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
  // Both are exact then, and one division of them is rounded once.
  if (value.exponent <= 0 && value.exponent >= -18 && value.mantissa <= kExactMax && value.mantissa >= -kExactMax) {
    return static_cast<double>(value.mantissa) / kPowers[-value.exponent];
  }
  char text[40];  // "-9223372036854775808e-128"
  const int length =
      std::snprintf(text, sizeof(text), "%lldE%d", static_cast<long long>(value.mantissa), value.exponent);
  double result = 0;
  std::from_chars(text, text + length, result);
  return result;
}

int64_t tbr_age_ns(const tbr_quote* quote) {
  if (quote == nullptr) return INT64_MAX;
  return SystemClock::ReadMonotonic() - MonoNs{quote->received_ns};
}

int64_t tbr_source_age_ns(const tbr_reader* reader, const tbr_quote* quote) {
  if (reader == nullptr || quote == nullptr) return -1;
  Quote of_source;
  of_source.source = tickbridge::SourceId{quote->source};
  return reader->table->SourceAgeNs(of_source, SystemClock::ReadMonotonic()).value_or(-1);
}

int tbr_life(const tbr_reader* reader) {
  if (reader == nullptr) return TBR_INVALID;
  return static_cast<int>(reader->table->life(SystemClock::ReadMonotonic()));
}

uint64_t tbr_generation(const tbr_reader* reader) { return reader == nullptr ? 0 : reader->table->generation(); }

int tbr_wait(const tbr_reader* reader, uint32_t* epoch, int64_t timeout_ns) {
  if (reader == nullptr || epoch == nullptr) return 0;
  return reader->table->WaitForChange(epoch, timeout_ns) ? 1 : 0;
}

}  // extern "C"
