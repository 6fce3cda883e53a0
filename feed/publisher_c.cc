// SPDX-License-Identifier: Apache-2.0
// The C ABI: each function is the method of Publisher that it names, and lets no exception out.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "feed/publisher.h"
#include "feed/tickbridge_publisher.h"

using tickbridge::Decimal;
using tickbridge::Field;
using tickbridge::Publisher;
using tickbridge::Tick;

struct tbp_publisher {
  std::unique_ptr<Publisher> publisher;
};

// A tbp_tick is a Tick: nothing is copied.
static_assert(sizeof(tbp_decimal) == sizeof(Decimal) && offsetof(tbp_decimal, exponent) == offsetof(Decimal, exponent));
static_assert(sizeof(tbp_tick) == sizeof(Tick) && alignof(tbp_tick) == alignof(Tick));
static_assert(offsetof(tbp_tick, given) == offsetof(Tick, given));
static_assert(offsetof(tbp_tick, cleared) == offsetof(Tick, cleared));
static_assert(offsetof(tbp_tick, has_status) == offsetof(Tick, has_status));
static_assert(offsetof(tbp_tick, status) == offsetof(Tick, status));
static_assert(offsetof(tbp_tick, quote_time_ns) == offsetof(Tick, quote_time));
static_assert(offsetof(tbp_tick, trade_time_ns) == offsetof(Tick, trade_time));
static_assert(TBP_FIELDS == tickbridge::kFieldCount && TBP_LOW == tickbridge::Index(Field::kLow));
static_assert(TBP_STATUS_CLOSED == static_cast<int>(tickbridge::Status::kClosed));
static_assert(TBP_LOST == static_cast<int>(Publisher::Result::kLost));

namespace {

constexpr int kFields = (1 << TBP_FIELDS) - 1;
// What the first release with this soname had. Later ones may have more; a caller of any of them is understood.
constexpr size_t kOptionsBytesMin = offsetof(tbp_options, reserved) + sizeof(tbp_options::reserved);

bool IsExponent(int exponent) { return exponent >= tickbridge::kMinExponent && exponent <= tickbridge::kMaxExponent; }

void CopyError(const std::string& message, char* error, size_t error_bytes) {
  if (error == nullptr || error_bytes == 0) return;
  const size_t bytes = std::min(message.size(), error_bytes - 1);
  std::memcpy(error, message.data(), bytes);
  error[bytes] = '\0';
}

int Send(tbp_publisher* publisher, int32_t symbol, const Tick& tick) {
  if (publisher == nullptr) [[unlikely]]
    return TBP_INVALID;
  return static_cast<int>(publisher->publisher->Publish(static_cast<Publisher::Number>(symbol), tick));
}

}  // namespace

tbp_publisher* tbp_open(const char* ring, const tbp_options* options, char* error, size_t error_bytes) try {
  Publisher::Options wanted;
  wanted.file.ring = ring == nullptr ? "" : ring;
  if (options != nullptr) {
    if (options->size < kOptionsBytesMin) {
      CopyError("tbp_options.size is " + std::to_string(options->size) + ": set it to sizeof(tbp_options)", error,
                error_bytes);
      return nullptr;
    }
    tbp_options given{};
    std::memcpy(&given, options, std::min(options->size, sizeof(given)));
    if (given.reserved != 0) {
      CopyError("tbp_options.reserved must be 0: begin with all zeros", error, error_bytes);
      return nullptr;
    }
    if (given.max_symbols != 0) wanted.file.max_symbols = given.max_symbols;
    if (given.ring_bytes != 0) wanted.file.data_bytes = given.ring_bytes;
    if (given.group != nullptr) wanted.file.group = given.group;
    if (given.pending_documents_max != 0) wanted.pending_documents_max = given.pending_documents_max;
    wanted.guard_sigbus = given.guard_sigbus != 0;
  }
  tickbridge::RingError why;
  std::unique_ptr<Publisher> opened = Publisher::Open(wanted, &why);
  if (opened == nullptr) {
    CopyError(why.message, error, error_bytes);
    return nullptr;
  }
  return new tbp_publisher{std::move(opened)};
} catch (const std::exception& failure) {
  CopyError(failure.what(), error, error_bytes);
  return nullptr;
}

void tbp_close(tbp_publisher* publisher) { delete publisher; }

int32_t tbp_declare(tbp_publisher* publisher, const char* symbol) try {
  if (publisher == nullptr || symbol == nullptr || !tickbridge::IsValidRingSymbol(symbol)) return TBP_INVALID;
  const Publisher::Number number = publisher->publisher->Declare(symbol);
  return number == Publisher::kNoNumber ? TBP_FULL : static_cast<int32_t>(number);
} catch (const std::exception&) {
  return TBP_FULL;  // no memory
}

int tbp_publish(tbp_publisher* publisher, int32_t symbol, const tbp_tick* tick) {
  if (tick == nullptr) return TBP_INVALID;
  if (((tick->given | tick->cleared) & ~kFields) != 0 || (tick->given & tick->cleared) != 0 || tick->has_status > 1 ||
      tick->status > TBP_STATUS_CLOSED) {
    return TBP_INVALID;
  }
  return Send(publisher, symbol, *reinterpret_cast<const Tick*>(tick));
}

int tbp_publish_quote(tbp_publisher* publisher, int32_t symbol, int64_t bid, int64_t ask, int price_exponent,
                      int64_t bid_size, int64_t ask_size, int size_exponent, uint64_t time_ns) {
  if (!IsExponent(price_exponent) || !IsExponent(size_exponent)) return TBP_INVALID;
  const auto price = static_cast<int8_t>(price_exponent);
  const auto size = static_cast<int8_t>(size_exponent);
  Tick tick;
  tick.value[TBP_BID] = {bid, price};
  tick.value[TBP_ASK] = {ask, price};
  tick.value[TBP_BID_SIZE] = {bid_size, size};
  tick.value[TBP_ASK_SIZE] = {ask_size, size};
  tick.given = tickbridge::kQuoteFields;
  tick.quote_time.value = time_ns;
  return Send(publisher, symbol, tick);
}

int tbp_publish_trade(tbp_publisher* publisher, int32_t symbol, int64_t price, int price_exponent, int64_t size,
                      int size_exponent, uint64_t time_ns) {
  if (!IsExponent(price_exponent) || !IsExponent(size_exponent)) return TBP_INVALID;
  Tick tick;
  tick.Set(Field::kLast, {price, static_cast<int8_t>(price_exponent)});
  tick.Set(Field::kLastSize, {size, static_cast<int8_t>(size_exponent)});
  tick.trade_time.value = time_ns;
  return Send(publisher, symbol, tick);
}

int tbp_reset(tbp_publisher* publisher, int32_t symbol) {
  if (publisher == nullptr) return TBP_INVALID;
  return static_cast<int>(publisher->publisher->Reset(static_cast<Publisher::Number>(symbol)));
}

int tbp_publish_document(tbp_publisher* publisher, const char* key_class, const tbp_field* fields, size_t field_count,
                         const char* value, size_t value_bytes, int64_t ttl_ns) try {
  if (publisher == nullptr || key_class == nullptr || (fields == nullptr && field_count != 0)) return TBP_INVALID;
  std::vector<std::pair<std::string_view, std::string_view>> views;
  for (size_t i = 0; i < field_count; ++i) {
    if (fields[i].name == nullptr || fields[i].value == nullptr) return TBP_INVALID;
    views.emplace_back(fields[i].name, fields[i].value);
  }
  Publisher::Document document;
  document.key_class = key_class;
  document.fields = views;
  document.deleted = value == nullptr;
  if (value != nullptr) document.value = {value, value_bytes};
  document.ttl_ns = ttl_ns;
  return static_cast<int>(publisher->publisher->PublishDocument(document));
} catch (const std::exception&) {
  return TBP_FULL;  // no memory
}

int tbp_heartbeat(tbp_publisher* publisher) {
  if (publisher == nullptr) return TBP_INVALID;
  return static_cast<int>(publisher->publisher->Heartbeat());
}

void tbp_get_counts(const tbp_publisher* publisher, tbp_counts* counts) {
  if (counts == nullptr) return;
  *counts = {};
  if (publisher == nullptr) return;
  const Publisher::Counts now = publisher->publisher->counts();
  *counts = {now.published, now.refused, now.late, now.conflated, now.pending};
}

int tbp_parse_decimal(const char* text, tbp_decimal* decimal) {
  Decimal parsed;
  if (text == nullptr || decimal == nullptr ||
      tickbridge::ParseDecimal(text, &parsed) != tickbridge::DecimalError::kNone)
    return TBP_INVALID;
  *decimal = {parsed.mantissa, parsed.exponent, {}};
  return 0;
}
