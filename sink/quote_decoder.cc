// SPDX-License-Identifier: Apache-2.0
#include "sink/quote_decoder.h"

#include <simdjson.h>

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/decimal.h"
#include "core/key_class.h"
#include "core/limits.h"

namespace tickbridge {
namespace {

Status StatusOf(std::string_view text) {
  if (text == R"("halted")") return Status::kHalted;
  if (text == R"("gap")") return Status::kGap;
  if (text == R"("closed")") return Status::kClosed;
  return Status::kOk;
}

void Take(QuoteMember member, std::string_view token, Quote* quote) {
  if (member == QuoteMember::kStatus) {
    quote->status = StatusOf(token);
    return;
  }
  Decimal value;
  if (ParseDecimal(token, &value) != DecimalError::kNone) return;
  if (const std::optional<Field> field = FieldOf(member)) {
    quote->value[Index(*field)] = value;
    quote->present = static_cast<FieldMask>(quote->present | Bit(*field));
  } else if (member == QuoteMember::kTimestamp && value.exponent == 0 && value.mantissa > 0 &&
             value.mantissa <= limits::kUnixMsMax) {
    quote->timestamp = UnixMs{value.mantissa};
  } else if (member == QuoteMember::kSequence && value.exponent == 0 && value.mantissa > 0) {
    quote->sequence = static_cast<uint64_t>(value.mantissa);
  }
}

}  // namespace

bool DecodeQuote(std::string_view json, Quote* out) {
  // Whole first: the On-Demand reader below may show members of a text that is broken further on.
  const simdjson::padded_string text(json);
  simdjson::dom::parser whole;
  simdjson::dom::element element;
  if (whole.parse(text).get(element) != simdjson::SUCCESS || !element.is_object()) return false;

  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (parser.iterate(text).get(document) != simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS) {
    return false;
  }
  Quote quote;
  for (auto item : object) {
    simdjson::ondemand::field member;
    std::string_view name;
    if (std::move(item).get(member) != simdjson::SUCCESS || member.unescaped_key().get(name) != simdjson::SUCCESS)
      return false;
    const std::optional<QuoteMember> known = ParseQuoteMember(name);
    if (!known.has_value()) continue;
    Take(*known, absl::StripAsciiWhitespace(member.value().raw_json_token()), &quote);
  }
  *out = quote;
  return true;
}

}  // namespace tickbridge
