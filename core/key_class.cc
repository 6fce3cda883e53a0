// SPDX-License-Identifier: Apache-2.0
#include "core/key_class.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

absl::Status BadPattern(std::string_view pattern, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("key pattern \"", pattern, "\": ", what));
}

constexpr std::array<std::string_view, kQuoteMemberCount> kMemberNames = {
    "Last",    "Bid",     "Ask",      "Volume",   "High",       "Low",    "Timestamp",
    "BidSize", "AskSize", "LastSize", "Sequence", "ReceivedNs", "SentNs", "Status"};

}  // namespace

absl::StatusOr<KeyPattern> KeyPattern::Parse(std::string_view pattern) {
  KeyPattern result;
  result.text_ = std::string(pattern);
  int groups = 0;
  int group = 0;
  const auto append_literal = [&](char c) {
    if (result.parts_.empty() || result.parts_.back().is_field || result.parts_.back().group != group) {
      result.parts_.push_back({false, group, ""});
    }
    result.parts_.back().text.push_back(c);
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const bool doubled = i + 1 < pattern.size() && pattern[i + 1] == c;
    if ((c == '{' || c == '}') && doubled) {
      append_literal(c);
      ++i;
    } else if (c == '{') {
      const size_t end = pattern.find('}', i);
      if (end == std::string_view::npos) return BadPattern(pattern, "'{' without '}'");
      const std::string field(pattern.substr(i + 1, end - i - 1));
      if (field.empty() || field.find_first_of("{[ ]") != std::string::npos) {
        return BadPattern(pattern, "a field's name must be a word");
      }
      result.parts_.push_back({true, group, field});
      if (std::find(result.fields_.begin(), result.fields_.end(), field) == result.fields_.end()) {
        result.fields_.push_back(field);
      }
      i = end;
    } else if (c == '}') {
      return BadPattern(pattern, "'}' without '{'");
    } else if (c == '[') {
      if (group != 0) return BadPattern(pattern, "'[' inside '[ ]'");
      group = ++groups;
    } else if (c == ']') {
      if (group == 0) return BadPattern(pattern, "']' without '['");
      group = 0;
    } else {
      append_literal(c);
    }
  }
  if (group != 0) return BadPattern(pattern, "'[' without ']'");
  if (result.parts_.empty()) return BadPattern(pattern, "it is empty");
  return result;
}

bool KeyPattern::Render(std::span<const FieldValue> fields, std::string* out, std::string_view* missing) const {
  const auto find = [&](std::string_view name) {
    return std::find_if(fields.begin(), fields.end(), [&](const FieldValue& f) { return f.first == name; });
  };
  const size_t start = out->size();
  for (size_t i = 0; i < parts_.size();) {
    const int group = parts_[i].group;
    size_t end = i;
    while (end < parts_.size() && parts_[end].group == group) ++end;
    const size_t group_start = out->size();
    for (; i < end; ++i) {
      if (!parts_[i].is_field) {
        out->append(parts_[i].text);
        continue;
      }
      const auto field = find(parts_[i].text);
      if (field != fields.end()) {
        out->append(field->second);
      } else if (group != 0) {
        out->resize(group_start);
        i = end;
        break;
      } else {
        out->resize(start);
        if (missing != nullptr) *missing = parts_[i].text;
        return false;
      }
    }
  }
  return true;
}

std::optional<QuoteMember> ParseQuoteMember(std::string_view name) {
  const auto found = std::find(kMemberNames.begin(), kMemberNames.end(), name);
  if (found == kMemberNames.end()) return std::nullopt;
  return static_cast<QuoteMember>(found - kMemberNames.begin());
}

std::string_view QuoteMemberName(QuoteMember member) { return kMemberNames[static_cast<size_t>(member)]; }

std::optional<Field> FieldOf(QuoteMember member) {
  switch (member) {
    case QuoteMember::kLast:
      return Field::kLast;
    case QuoteMember::kBid:
      return Field::kBid;
    case QuoteMember::kAsk:
      return Field::kAsk;
    case QuoteMember::kVolume:
      return Field::kVolume;
    case QuoteMember::kHigh:
      return Field::kHigh;
    case QuoteMember::kLow:
      return Field::kLow;
    case QuoteMember::kBidSize:
      return Field::kBidSize;
    case QuoteMember::kAskSize:
      return Field::kAskSize;
    case QuoteMember::kLastSize:
      return Field::kLastSize;
    default:
      return std::nullopt;
  }
}

std::vector<KeyClass> DefaultKeyClasses() {
  const auto make = [](std::string_view name, std::string_view key, int64_t ttl_s) {
    KeyClass result;
    result.name = std::string(name);
    result.key = *KeyPattern::Parse(key);
    result.ttl_ns = ttl_s * kNsPerSec;
    return result;
  };
  std::vector<KeyClass> classes;
  classes.push_back(make("price", "price:{symbol}:latest", 5));
  classes.back().members = {QuoteMember::kLast, QuoteMember::kBid, QuoteMember::kAsk,      QuoteMember::kVolume,
                            QuoteMember::kHigh, QuoteMember::kLow, QuoteMember::kTimestamp};
  classes.push_back(make("positions", "hft:positions:{account}:all", 1));
  classes.push_back(make("orders", "hft:orders:pending:{account}[:{id}]", 1));
  classes.push_back(make("balances", "hft:balances:{account}:all", 2));
  classes.push_back(make("accounts", "hft:accounts:{account}", 300));
  classes.push_back(make("token", "token:{account}", 18'000));
  classes.back().raw = true;
  classes.push_back(make("feed", "feed:{name}:alive", 1));
  return classes;
}

}  // namespace tickbridge
