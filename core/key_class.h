// SPDX-License-Identifier: Apache-2.0
// Key classes: what a key is called, how long it lives, and what else happens when it is written.
//
// Immutable after start, so any thread may read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tick.h"

namespace tickbridge {

// A pattern such as `hft:orders:pending:{account}[:{id}]`. A part in [ ] is left out when its field is absent; `{{` and
// `}}` are literal braces.
class KeyPattern {
 public:
  // One field's name and value. An absent field is not listed.
  using FieldValue = std::pair<std::string_view, std::string_view>;

  // Errors name the pattern and what is wrong with it.
  static absl::StatusOr<KeyPattern> Parse(std::string_view pattern);

  // Appends the key. False, with `out` unchanged, when a field outside [ ] is absent; `missing` then names it.
  bool Render(std::span<const FieldValue> fields, std::string* out, std::string_view* missing = nullptr) const;

  // The distinct fields, in order of appearance.
  const std::vector<std::string>& fields() const { return fields_; }
  const std::string& text() const { return text_; }

 private:
  struct Part {
    bool is_field = false;
    int group = 0;  // 0: always; else the number of its [ ]
    std::string text;
  };

  std::string text_;
  std::vector<Part> parts_;
  std::vector<std::string> fields_;
};

// The members of a published quote, in the order of the configuration.
enum class QuoteMember : uint8_t {
  kLast,
  kBid,
  kAsk,
  kVolume,
  kHigh,
  kLow,
  kTimestamp,
  kBidSize,
  kAskSize,
  kLastSize,
  kSequence,
  kReceivedNs,
  kSentNs,
  kStatus,
};
inline constexpr size_t kQuoteMemberCount = 14;
// The member of a name as in the configuration (`BidSize`), and back.
std::optional<QuoteMember> ParseQuoteMember(std::string_view name);
std::string_view QuoteMemberName(QuoteMember member);
// The field of the quote that a member shows, if it shows one.
std::optional<Field> FieldOf(QuoteMember member);

struct KeyClass {
  std::string name;
  KeyPattern key;
  int64_t ttl_ns = 0;
  bool raw = false;                   // stores the content of a JSON string; never logged
  std::optional<KeyPattern> publish;  // channel that the value is published to after its set
  int64_t min_interval_ns = 0;        // between two writes of one key; 0: none
  // The price class only:
  bool refresh = false;
  bool allow_negative = true;
  std::vector<QuoteMember> members;
};

// A class of the configuration. Index 0 is the price class; `token` and the rest are documents.
enum class ClassId : uint16_t {};
inline constexpr ClassId kPriceClass{0};

// The classes of the design with their default keys and lifetimes; `price` first.
std::vector<KeyClass> DefaultKeyClasses();

}  // namespace tickbridge
