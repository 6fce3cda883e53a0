// SPDX-License-Identifier: Apache-2.0
#include "feed/ndjson_decoder.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "core/decimal.h"
#include "core/symbol_table.h"
#include "feed/chars16.h"

namespace tickbridge {
namespace {

static_assert(std::endian::native == std::endian::little, "words are compared with text, first character lowest");
static_assert(limits::kParsePaddingBytes >= simdjson::SIMDJSON_PADDING);

// The members that mean something. The first nine are the fields, by their number.
enum class Member : uint8_t {
  kSymbol = kFieldCount,
  kTimestamp,
  kClass,
  kValue,
  kTtl,
  kReset,
  kHeartbeat,
  kDelete,
  kUnknown,
};

constexpr bool IsField(Member member) { return static_cast<size_t>(member) < kFieldCount; }
constexpr Field AsField(Member member) { return static_cast<Field>(member); }
constexpr Member FieldMember(Field field) { return static_cast<Member>(field); }

struct Name {
  std::string_view text;
  Member member;
};

// Exact names first: they are the usual ones.
constexpr std::array kNames = {
    Name{"symbol", Member::kSymbol},
    Name{"Bid", FieldMember(Field::kBid)},
    Name{"Last", FieldMember(Field::kLast)},
    Name{"Ask", FieldMember(Field::kAsk)},
    Name{"BidSize", FieldMember(Field::kBidSize)},
    Name{"AskSize", FieldMember(Field::kAskSize)},
    Name{"LastSize", FieldMember(Field::kLastSize)},
    Name{"Timestamp", Member::kTimestamp},
    Name{"Volume", FieldMember(Field::kVolume)},
    Name{"High", FieldMember(Field::kHigh)},
    Name{"Low", FieldMember(Field::kLow)},
    Name{"bid", FieldMember(Field::kBid)},
    Name{"last", FieldMember(Field::kLast)},
    Name{"ask", FieldMember(Field::kAsk)},
    Name{"bidsize", FieldMember(Field::kBidSize)},
    Name{"asksize", FieldMember(Field::kAskSize)},
    Name{"lastsize", FieldMember(Field::kLastSize)},
    Name{"timestamp", Member::kTimestamp},
    Name{"volume", FieldMember(Field::kVolume)},
    Name{"high", FieldMember(Field::kHigh)},
    Name{"low", FieldMember(Field::kLow)},
    Name{"class", Member::kClass},
    Name{"value", Member::kValue},
    Name{"ttl", Member::kTtl},
    Name{"reset", Member::kReset},
    Name{"heartbeat", Member::kHeartbeat},
    Name{"delete", Member::kDelete},
};
// The names that a flat tick has are the first of them.
constexpr size_t kTickNames = 21;
static_assert(kNames[kTickNames - 1].text == "low" && kNames[kTickNames].member == Member::kClass);

Member FindMember(std::string_view key) {
  for (const Name& name : kNames) {
    if (name.text == key) return name.member;
  }
  return Member::kUnknown;
}

// ---- Values ----

constexpr int64_t kMaxTtlSeconds = int64_t{10} * 366 * 24 * 3600;

constexpr std::optional<RejectReason> ReasonOf(DecimalError error) {
  switch (error) {
    case DecimalError::kNone:
      return std::nullopt;
    case DecimalError::kSyntax:
      return RejectReason::kBadNumber;
    case DecimalError::kTooLong:
      return RejectReason::kNumberTooLong;
  }
  return RejectReason::kBadNumber;
}

// value × 10^shift, floored. Nothing where that is negative or more than `max`.
std::optional<int64_t> FloorScaled(Decimal value, int shift, int64_t max) {
  if (value.mantissa < 0) return std::nullopt;
  int64_t scaled = value.mantissa;
  for (int exponent = value.exponent + shift; exponent < 0 && scaled != 0; ++exponent) scaled /= 10;
  for (int exponent = value.exponent + shift; exponent > 0 && scaled != 0; --exponent) {
    if (scaled > max / 10) return std::nullopt;
    scaled *= 10;
  }
  if (scaled > max) return std::nullopt;
  return scaled;
}

// A venue time in Unix milliseconds; 0 where it is out of range.
int64_t UnixMsOf(Decimal value) {
  if (value.exponent == 0) [[likely]] {
    return value.mantissa >= 1 && value.mantissa <= limits::kUnixMsMax ? value.mantissa : 0;
  }
  return FloorScaled(value, 0, limits::kUnixMsMax).value_or(0);
}

// The same of the text of a number; 0 and a reason where it is none.
int64_t ParseTimestamp(std::string_view text, std::optional<RejectReason>* error) {
  Decimal value;
  DecimalError parsed = ParseDecimal(text, &value);
  // A fraction that makes it too long is cut off anyhow.
  if (const size_t point = text.find('.'); parsed == DecimalError::kTooLong && point != std::string_view::npos &&
                                           text.find_first_of("eE") == std::string_view::npos) {
    parsed = ParseDecimal(text.substr(0, point), &value);
  }
  *error = parsed == DecimalError::kSyntax ? std::optional(RejectReason::kBadNumber) : std::nullopt;
  const int64_t unix_ms = parsed == DecimalError::kNone ? UnixMsOf(value) : 0;
  if (unix_ms == 0 && !*error) *error = RejectReason::kBadTimestamp;
  return unix_ms;
}

// ---- The fast path's parts ----

// A name and the `":` that ends it, to be compared at once.
struct alignas(32) KeyText {
  std::array<char, 16> text{};
  Chars16::Mask mask = 0;
  uint8_t chars = 0;
  Member member = Member::kUnknown;

  bool Matches(const char* p) const noexcept { return (~Chars16(p).Equal(Chars16(text.data())) & mask) == 0; }
};

constexpr std::array<KeyText, kTickNames> kKeys = [] {
  std::array<KeyText, kTickNames> keys;
  for (size_t i = 0; i < kTickNames; ++i) {
    KeyText& key = keys[i];
    const std::string_view name = kNames[i].text;
    key.member = kNames[i].member;
    std::copy(name.begin(), name.end(), key.text.begin());
    key.text[name.size()] = '"';
    key.text[name.size() + 1] = ':';
    key.chars = static_cast<uint8_t>(name.size() + 2);
    key.mask = Chars16::FirstChars(key.chars);
  }
  return keys;
}();
constexpr size_t kKeyCharsMax = std::max_element(kKeys.begin(), kKeys.end(), [](const KeyText& a, const KeyText& b) {
                                  return a.chars < b.chars;
                                })->chars;
static_assert(kKeyCharsMax <= 16);
constexpr uint8_t kBeforeFirstKey = kTickNames;
constexpr uint8_t kNoKey = 0xff;

uint8_t FindKey(const char* p) noexcept {
  for (uint8_t i = 0; i < kTickNames; ++i) {
    if (kKeys[i].Matches(p)) return i;
  }
  return kNoKey;
}

// Where a number ends: at the first of two characters. nullptr where that is more than kNumberCharsMax away, which it
// is for no usual number. The usual ones cost no branch on their length, which would be hard to predict.
constexpr size_t kNumberCharsMax = 32;

const char* EndOfNumber(const char* p, char end, char other_end) noexcept {
  const Chars16::Mask first = Chars16(p).EqualEither(end, other_end);
  if (first != 0) [[likely]]
    return p + Chars16::First(first);
  const Chars16::Mask second = Chars16(p + 16).EqualEither(end, other_end);
  return second != 0 ? p + 16 + Chars16::First(second) : nullptr;
}

uint64_t LoadWord(const char* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

constexpr uint64_t kOnes = 0x0101'0101'0101'0101;
constexpr uint64_t kHighBits = kOnes * 0x80;

// Up to eight digits, the first in the lowest byte, to their number. False unless all are digits.
bool DigitsOf(uint64_t digits, uint64_t* number) noexcept {
  const uint64_t bad = ((digits + kOnes * (0x80 - 10)) | digits) & kHighBits;
  digits = digits * 10 + (digits >> 8U);
  constexpr uint64_t kPairs = 0x0000'00FF'0000'00FF;
  *number =
      (((digits & kPairs) * (100 + (1'000'000ULL << 32U))) + (((digits >> 16U) & kPairs) * (1 + (10'000ULL << 32U)))) >>
      32U;
  return bad == 0;
}

// Thirteen digits, not beginning with 0: a time between 2001 and 2286. 0 where it is not that.
int64_t UnixMsOf13Digits(const char* p) noexcept {
  constexpr uint64_t kZeros = kOnes * '0';
  uint64_t first;
  uint64_t last;
  if (!DigitsOf(LoadWord(p) ^ kZeros, &first) || !DigitsOf((LoadWord(p + 8) ^ kZeros) << 24U, &last)) return 0;
  return *p == '0' ? 0 : static_cast<int64_t>(first * 100'000 + last);
}

// A round of the fast path begins inside the line, and whatever it meets there, it reads no further than the padding.
static_assert(1 + kKeyCharsMax + 2 + kNumberCharsMax + kDecimalParsePadding <= limits::kParsePaddingBytes);

// ---- Text that is known to be JSON ----

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

const char* SkipSpace(const char* p) {
  while (IsSpace(*p)) ++p;
  return p;
}

// From the opening quote to behind the closing one.
const char* SkipString(const char* p) {
  for (++p; *p != '"'; ++p) {
    if (*p == '\\') ++p;
  }
  return p + 1;
}

const char* SkipValue(const char* p) {
  if (*p == '"') return SkipString(p);
  if (*p != '{' && *p != '[') {
    while (*p != ',' && *p != '}' && *p != ']' && !IsSpace(*p)) ++p;
    return p;
  }
  size_t depth = 0;
  do {
    if (*p == '"') {
      p = SkipString(p);
      continue;
    }
    if (*p == '{' || *p == '[') ++depth;
    if (*p == '}' || *p == ']') --depth;
    ++p;
  } while (depth != 0);
  return p;
}

// The members of an object, as written. The text must be a valid JSON object.
class RawMembers {
 public:
  explicit RawMembers(std::string_view object) : p_(SkipSpace(object.data()) + 1) {}
  // The text of the next member's value. There must be one.
  std::string_view NextValue() {
    p_ = SkipSpace(p_);
    if (*p_ == ',') p_ = SkipSpace(p_ + 1);
    p_ = SkipSpace(SkipString(p_)) + 1;  // the key and its ':'
    const char* const begin = SkipSpace(p_);
    p_ = SkipValue(begin);
    return {begin, static_cast<size_t>(p_ - begin)};
  }

 private:
  const char* p_;
};

bool IsNumberChar(char c) { return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; }

bool IsInteger(std::string_view number) { return number.find_first_of(".eE") == std::string_view::npos; }

// npos where it is not in it.
size_t FindIgnoringCase(std::string_view text, std::string_view word) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  const auto* const found = std::search(text.begin(), text.end(), word.begin(), word.end(),
                                        [&](char a, char b) { return lower(a) == lower(b); });
  return found == text.end() ? std::string_view::npos : static_cast<size_t>(found - text.begin());
}

// ---- What of a bad line is shown ----

// More than this is cut from a log line anyway.
constexpr size_t kExcerptBytesEnough = 128;
// Longer words could be a token, or a part of one.
constexpr size_t kShownWordBytesMax = 8;
constexpr std::string_view kHidden = "...";
constexpr size_t kClassNameBytesMax = 32;

bool IsLetterOrDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// What tokens are made of, in base64, base64url and hexadecimal, or in anything that is not ASCII.
bool IsOfAWord(char c) {
  return IsLetterOrDigit(c) || c == '+' || c == '/' || c == '=' || c == '_' || c == '-' || (c & 0x80) != 0;
}

// As the configuration names classes.
bool IsPlainName(std::string_view text) {
  return !text.empty() && text.size() <= kClassNameBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsLetterOrDigit(c) || c == '_' || c == '-'; });
}

enum class Switch : uint8_t { kAbsent, kOn, kBad };

}  // namespace

// What the members of a line came to.
struct NdjsonDecoder::Record {
  enum class Text : uint8_t { kAbsent, kGiven, kBad };

  explicit Record(Tick* t) : tick(*t) { tick.Reset(); }

  void Take(Member member, simdjson::dom::element value, std::string_view raw);

  Tick& tick;
  std::array<std::optional<RejectReason>, kFieldCount> field_error;
  std::optional<RejectReason> timestamp_error;
  int64_t unix_ms = 0;
  Text has_symbol = Text::kAbsent;
  std::string_view symbol;
  Text has_class = Text::kAbsent;
  std::string_view key_class;
  bool has_value = false;
  std::string_view value_raw;
  bool value_is_string = false;
  std::string_view value_text;
  Switch reset = Switch::kAbsent;
  Switch heartbeat = Switch::kAbsent;
  Switch deleted = Switch::kAbsent;
  bool ttl_bad = false;
  int64_t ttl_ns = 0;

 private:
  void TakeField(Field field, simdjson::dom::element value, std::string_view raw);
};

// The parser, and what is used again from line to line.
struct NdjsonDecoder::Json {
  // Checks the line and parses it.
  simdjson::error_code Parse(std::string_view line, simdjson::dom::object* object);

  simdjson::dom::parser parser;
  std::string masked;                                                                // a copy of a line, see Parse
  std::vector<std::pair<std::string_view, std::optional<std::string_view>>> fields;  // could be fields of a key
  std::vector<KeyPattern::FieldValue> key_fields;

 private:
  bool MaskNumbers(std::string_view line);
};

simdjson::error_code NdjsonDecoder::Json::Parse(std::string_view line, simdjson::dom::object* object) {
  simdjson::error_code error = parser.parse(line.data(), line.size(), false).get(*object);
  // simdjson has no number that does not fit a machine word, JSON has: a longer one is no error. It is checked apart,
  // and replaced in a copy. Nothing takes a number from the parser: numbers are read from the text.
  if (error == simdjson::NUMBER_ERROR && MaskNumbers(line)) {
    error = parser.parse(masked.data(), line.size(), false).get(*object);
  }
  return error;
}

// Copies the line with each number as a 0 and spaces. False if one of them is not a JSON number.
bool NdjsonDecoder::Json::MaskNumbers(std::string_view line) {
  masked.assign(line);
  masked.append(limits::kParsePaddingBytes, ' ');
  char* p = masked.data();
  char* const end = p + line.size();
  while (p < end) {
    if (*p == '"') {
      for (++p; p < end && *p != '"'; ++p) {
        if (*p == '\\') ++p;
      }
      ++p;
    } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
      char* const begin = p;
      while (p < end && IsNumberChar(*p)) ++p;
      Decimal ignored;
      if (ParseDecimal({begin, static_cast<size_t>(p - begin)}, &ignored) == DecimalError::kSyntax) return false;
      std::fill(begin, p, ' ');
      *begin = '0';
    } else {
      ++p;
    }
  }
  return true;
}

namespace {

std::string_view StringOf(simdjson::dom::element value) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return {};
  return text;
}

// The text of a JSON number, or of a string that should hold one; nothing for every other type.
std::optional<std::string_view> NumberText(simdjson::dom::element value, std::string_view raw) {
  if (value.is_string()) return StringOf(value);
  if (value.is_number()) return raw;
  return std::nullopt;
}

Switch SwitchOf(simdjson::dom::element value) {
  if (value.is_null()) return Switch::kAbsent;
  bool on = false;
  if (value.get(on) != simdjson::SUCCESS) return Switch::kBad;
  return on ? Switch::kOn : Switch::kAbsent;
}

}  // namespace

void NdjsonDecoder::Record::TakeField(Field field, simdjson::dom::element value, std::string_view raw) {
  std::optional<RejectReason>& error = field_error[Index(field)];
  error.reset();
  if (value.is_null()) {
    tick.Clear(field);
    return;
  }
  Decimal decimal;
  const std::optional<std::string_view> text = NumberText(value, raw);
  error = text ? ReasonOf(ParseDecimal(*text, &decimal)) : RejectReason::kBadNumber;
  if (!error) tick.Set(field, decimal);
}

void NdjsonDecoder::Record::Take(Member member, simdjson::dom::element value, std::string_view raw) {
  const auto text_state = [&] {
    return value.is_null() ? Text::kAbsent : value.is_string() ? Text::kGiven : Text::kBad;
  };
  switch (member) {
    case Member::kSymbol:
      has_symbol = text_state();
      symbol = StringOf(value);
      return;
    case Member::kTimestamp:
      timestamp_error.reset();
      unix_ms = 0;
      if (value.is_null()) return;
      if (const auto text = NumberText(value, raw)) {
        unix_ms = ParseTimestamp(*text, &timestamp_error);
      } else {
        timestamp_error = RejectReason::kBadNumber;
      }
      return;
    case Member::kClass:
      has_class = text_state();
      key_class = StringOf(value);
      return;
    case Member::kValue:
      has_value = true;
      value_raw = raw;
      value_is_string = value.is_string();
      value_text = StringOf(value);
      return;
    case Member::kTtl: {
      ttl_bad = false;
      ttl_ns = 0;
      if (value.is_null()) return;
      Decimal seconds;
      const auto text = NumberText(value, raw);
      if (text && ParseDecimal(*text, &seconds) == DecimalError::kNone) {
        ttl_ns = FloorScaled(seconds, 9, kMaxTtlSeconds * kNsPerSec).value_or(0);
      }
      ttl_bad = ttl_ns == 0;
      return;
    }
    case Member::kReset:
      reset = SwitchOf(value);
      return;
    case Member::kHeartbeat:
      heartbeat = SwitchOf(value);
      return;
    case Member::kDelete:
      deleted = SwitchOf(value);
      return;
    case Member::kUnknown:
      return;
    default:
      return TakeField(AsField(member), value, raw);
  }
}

NdjsonDecoder::NdjsonDecoder(Ingest* ingest, const Options& options)
    : ingest_(ingest), fast_path_(options.fast_path), json_(std::make_unique<Json>()) {
  static_assert(kTickNames < std::tuple_size_v<decltype(successor_)>);
  for (const KeyClass& key_class : *ingest->core().classes) {
    if (key_class.raw) raw_classes_.push_back(key_class.name);
  }
  constexpr size_t kUsualLineBytes = size_t{16} << 10;
  // Taken here, so that the usual line takes nothing.
  if (json_->parser.allocate(kUsualLineBytes) != simdjson::SUCCESS) throw std::bad_alloc();
}

NdjsonDecoder::~NdjsonDecoder() = default;

void NdjsonDecoder::Decode(const char* line, size_t bytes, uint64_t offset) {
  if (fast_path_ && DecodeFast(line, line + bytes, offset)) [[likely]]
    return;
  std::string_view text(line, bytes);
  if (offset == 0 && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (std::all_of(text.begin(), text.end(), IsSpace)) return;
  DecodeAny(text, offset);
}

bool NdjsonDecoder::DecodeFast(const char* p, const char* end, uint64_t offset) {
  if (p == end || *p != '{') return false;
  ++p;
  std::string_view symbol;
  bool has_symbol = false;
  int64_t unix_ms = 0;
  uint8_t key = kBeforeFirstKey;
  tick_.Reset();
  for (;;) {
    // What lies behind the line may look like more of it, so every round begins inside.
    if (p >= end || *p != '"') return false;
    ++p;
    uint8_t next = successor_[key];
    if (!kKeys[next].Matches(p)) [[unlikely]] {
      next = FindKey(p);
      if (next == kNoKey) return false;
      successor_[key] = next;
    }
    key = next;
    p += kKeys[key].chars;
    if (*p == ' ') [[unlikely]]
      ++p;
    const Member member = kKeys[key].member;

    if (member == Member::kSymbol) {
      if (*p != '"') return false;
      const char* const begin = ++p;
      for (;; p += 16) {
        if (p >= end) return false;
        const Chars16 text(p);
        const Chars16::Mask stops = text.EqualEither('"', '\\') | text.ControlOrNotAscii();
        if (stops == 0) [[unlikely]]
          continue;
        p += Chars16::First(stops);
        break;
      }
      if (*p != '"') return false;
      symbol = {begin, static_cast<size_t>(p - begin)};
      has_symbol = true;
      ++p;
    } else if (*p == 'n') [[unlikely]] {
      if (std::memcmp(p, "null", 4) != 0) return false;
      p += 4;
      if (IsField(member)) {
        tick_.Clear(AsField(member));
      } else {
        unix_ms = 0;
      }
    } else {
      const bool quoted = *p == '"';
      const char* const begin = p + quoted;
      if (!IsField(member) && !quoted && (begin[13] == ',' || begin[13] == '}')) [[likely]] {
        unix_ms = UnixMsOf13Digits(begin);
        if (unix_ms == 0) return false;
        p = begin + 13;
      } else {
        const char* const number_end = EndOfNumber(begin, quoted ? '"' : ',', quoted ? '"' : '}');
        if (number_end == nullptr) return false;
        if (IsField(member)) {
          // Straight into its place: a copy would wait for the two stores of its parts.
          Decimal* const value = &tick_.value[static_cast<size_t>(member)];
          if (ParseDecimalPadded(begin, number_end, value) != DecimalError::kNone) return false;
          tick_.given = static_cast<FieldMask>(tick_.given | Bit(AsField(member)));
          tick_.cleared = static_cast<FieldMask>(tick_.cleared & ~Bit(AsField(member)));
        } else {
          Decimal time;
          if (ParseDecimalPadded(begin, number_end, &time) != DecimalError::kNone) return false;
          unix_ms = UnixMsOf(time);
          if (unix_ms == 0) return false;
        }
        p = number_end + quoted;
      }
    }

    if (*p == ',') [[likely]] {
      ++p;
      if (*p == ' ') [[unlikely]]
        ++p;
    } else {
      if (*p != '}' || p + 1 != end) return false;
      break;
    }
  }
  if (!has_symbol) return false;
  if (unix_ms != 0) tick_.quote_time = tick_.trade_time = VenueNsFromMs(unix_ms);
  ingest_->SetOffset(offset);
  ingest_->OnTick(symbol, tick_);
  return true;
}

void NdjsonDecoder::DecodeAny(std::string_view line, uint64_t offset) {
  simdjson::dom::object object;
  if (json_->Parse(line, &object) != simdjson::SUCCESS) {
    const bool utf8 = simdjson::validate_utf8(line);
    return Reject(utf8 ? RejectReason::kMalformed : RejectReason::kInvalidUtf8, line, offset);
  }
  Record record(&tick_);
  RawMembers raw_members(line);
  json_->fields.clear();
  for (const auto& [key, value] : object) {
    const std::string_view raw = raw_members.NextValue();
    const Member member = FindMember(key);
    record.Take(member, value, raw);
    if (member == Member::kValue) continue;
    // Whether it belongs to a key is known when the class is.
    std::optional<std::string_view> field;
    if (value.is_string()) field = StringOf(value);
    if (value.is_number() && IsInteger(raw)) field = raw;
    json_->fields.emplace_back(key, field);
  }
  HandOver(record, line, offset);
}

void NdjsonDecoder::HandOver(const Record& record, std::string_view line, uint64_t offset) {
  if (record.has_class != Record::Text::kAbsent) return HandOverDocument(record, line, offset);
  if (record.has_symbol == Record::Text::kAbsent) {
    if (record.heartbeat == Switch::kBad) return Reject(RejectReason::kBadValue, line, offset);
    if (record.heartbeat == Switch::kAbsent) return Reject(RejectReason::kMissingSymbol, line, offset);
    ingest_->SetOffset(offset);
    return ingest_->OnHeartbeat();
  }
  if (record.has_symbol == Record::Text::kBad) return Reject(RejectReason::kBadSymbol, line, offset);
  if (record.reset == Switch::kBad) return Reject(RejectReason::kBadValue, line, offset);
  if (record.reset == Switch::kOn) {
    ingest_->SetOffset(offset);
    return ingest_->OnReset(record.symbol);
  }
  for (const auto& error : record.field_error) {
    if (error) return Reject(*error, line, offset);
  }
  if (record.timestamp_error) return Reject(*record.timestamp_error, line, offset);
  if (record.unix_ms != 0) record.tick.quote_time = record.tick.trade_time = VenueNsFromMs(record.unix_ms);
  ingest_->SetOffset(offset);
  ingest_->OnTick(record.symbol, record.tick);
}

void NdjsonDecoder::HandOverDocument(const Record& record, std::string_view line, uint64_t offset) {
  const KeyClass* const key_class =
      record.has_class == Record::Text::kGiven ? ingest_->FindClass(record.key_class) : nullptr;
  if (key_class == nullptr) {
    const bool plain =
        record.has_class == Record::Text::kGiven && HidesNoRawClass(line) && IsPlainName(record.key_class);
    return ingest_->OnReject(RejectReason::kUnknownClass, offset, plain ? record.key_class : Excerpt(line));
  }
  const bool secret = key_class->raw || !HidesNoRawClass(line);
  const std::string_view text = secret ? std::string_view() : line;
  const auto reject = [&](RejectReason reason) { ingest_->OnReject(reason, offset, text); };

  if (record.deleted == Switch::kBad) return reject(RejectReason::kBadValue);
  DocumentRecord document;
  document.key_class = record.key_class;
  document.deleted = record.deleted == Switch::kOn;
  document.secret = secret;
  if (!document.deleted) {
    if (!record.has_value) return reject(RejectReason::kMissingValue);
    if (key_class->raw && !record.value_is_string) return reject(RejectReason::kBadValue);
    document.value = key_class->raw ? record.value_text : record.value_raw;
  }
  if (record.ttl_bad) return reject(RejectReason::kBadTtl);
  document.ttl_ns = record.ttl_ns;

  // Only the fields that the class asks for, however many members the line has.
  json_->key_fields.clear();
  const auto add = [&](const std::string& name) {
    const auto& all = json_->fields;
    const auto last = std::find_if(all.rbegin(), all.rend(), [&](const auto& field) { return field.first == name; });
    if (last != all.rend() && last->second) json_->key_fields.emplace_back(last->first, *last->second);
  };
  for (const std::string& name : key_class->key.fields()) add(name);
  if (key_class->publish) {
    for (const std::string& name : key_class->publish->fields()) {
      const auto& known = key_class->key.fields();
      if (std::find(known.begin(), known.end(), name) == known.end()) add(name);
    }
  }
  document.fields = json_->key_fields;
  ingest_->SetOffset(offset);
  ingest_->OnDocument(document);
}

void NdjsonDecoder::Reject(RejectReason reason, std::string_view line, uint64_t offset) {
  ingest_->OnReject(reason, offset, Excerpt(line));
}

// A line that could not be read as a document might yet be meant as one: of a raw class, misspelt, or torn. So an
// object is shown as it is only where it holds nothing that a document has; else without its value, and, like what is
// no object, without anything as long as a token. What could be the end of a torn string is not shown at all.
std::string_view NdjsonDecoder::Excerpt(std::string_view line) {
  const auto first = std::find_if_not(line.begin(), line.end(), IsSpace);
  if (first == line.end() || !HidesNoRawClass(line)) return {};
  const size_t value = FindIgnoringCase(line, "value");
  if (*first == '{' && value == std::string_view::npos && FindIgnoringCase(line, "class") == value) return line;
  if (*first != '{' && *first != '[' && line.find('"') != std::string_view::npos) return {};
  excerpt_.clear();
  for (std::string_view rest = line.substr(0, value); !rest.empty() && excerpt_.size() < kExcerptBytesEnough;) {
    const auto* const end = std::find_if_not(rest.begin(), rest.end(), IsOfAWord);
    const std::string_view word = rest.substr(0, static_cast<size_t>(end - rest.begin()));
    const bool shown = word.size() <= kShownWordBytesMax || FindMember(word) != Member::kUnknown ||
                       ingest_->FindClass(word) != nullptr;
    excerpt_.append(shown ? word : kHidden);
    rest.remove_prefix(word.size());
    if (rest.empty()) break;
    excerpt_.push_back(rest.front());
    rest.remove_prefix(1);
  }
  if (value != std::string_view::npos) excerpt_.append(kHidden);
  return excerpt_;
}

// Neither a raw class's name is in it, nor an escape, in which one could hide.
bool NdjsonDecoder::HidesNoRawClass(std::string_view line) const {
  return line.find('\\') == std::string_view::npos && !NamesRawClass(line);
}

bool NdjsonDecoder::NamesRawClass(std::string_view line) const {
  return std::any_of(raw_classes_.begin(), raw_classes_.end(),
                     [&](const std::string& name) { return FindIgnoringCase(line, name) != std::string_view::npos; });
}

}  // namespace tickbridge
