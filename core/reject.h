// SPDX-License-Identifier: Apache-2.0
// Why a record was not accepted. Every reason is a counter of its feed, and a member of `rejected` in --json.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tickbridge {

enum class RejectReason : uint8_t {
  kMalformed,  // not one JSON object on the line
  kInvalidUtf8,
  kLineTooLong,
  kTruncated,      // a datagram that was cut, or longer than its buffer
  kMissingSymbol,  // neither symbol, class nor heartbeat
  kBadSymbol,      // length, control character or brace in a symbol
  kBadNumber,      // NaN, a word, an empty string where a number belongs
  kNumberTooLong,  // more than 18 significant digits, or out of the exponent's range
  kBadTimestamp,   // outside 1…9999999999999 ms
  kNegativePrice,  // where the class does not allow it
  kUnknownClass,
  kMissingKeyField,  // the class's key has a field that the record lacks
  kBadKeyField,      // as bad_symbol, in a field of a key
  kMissingValue,     // a document with neither value nor delete
  kBadValue,         // a raw class's value that is no string, a reset or delete that is no true, …
  kBadTtl,
  kDocumentTooLarge,
  kSymbolsFull,
  kDocumentsFull,
  kWrongOwner,
  kStale,
  kFuture,
  kEmpty,
};
inline constexpr size_t kRejectReasonCount = 23;

inline constexpr std::array<std::string_view, kRejectReasonCount> kRejectReasonNames = {"malformed",
                                                                                        "invalid_utf8",
                                                                                        "line_too_long",
                                                                                        "truncated",
                                                                                        "missing_symbol",
                                                                                        "bad_symbol",
                                                                                        "bad_number",
                                                                                        "number_too_long",
                                                                                        "bad_timestamp",
                                                                                        "negative_price",
                                                                                        "unknown_class",
                                                                                        "missing_key_field",
                                                                                        "bad_key_field",
                                                                                        "missing_value",
                                                                                        "bad_value",
                                                                                        "bad_ttl",
                                                                                        "document_too_large",
                                                                                        "symbols_full",
                                                                                        "documents_full",
                                                                                        "wrong_owner",
                                                                                        "stale",
                                                                                        "future",
                                                                                        "empty"};

constexpr std::string_view RejectReasonName(RejectReason reason) {
  return kRejectReasonNames[static_cast<size_t>(reason)];
}

}  // namespace tickbridge
