// SPDX-License-Identifier: Apache-2.0
#include "tools/json.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

constexpr int kDepthMax = 100;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Bytes of the UTF-8 character that `text` begins with; 0 if it is none (RFC 3629, table 3-7 of Unicode).
size_t Utf8Bytes(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto follows = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const uint8_t first = at(0);
  if (first < 0x80) return text.empty() ? 0 : 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if ((first == 0xE0 && at(1) < 0xA0) || (first == 0xED && at(1) > 0x9F)) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && at(1) < 0x90) || (first == 0xF4 && at(1) > 0x8F)) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void AppendUtf8(uint32_t code, std::string* out) {
  const auto byte = [&](uint32_t b) { out->push_back(static_cast<char>(b)); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | code >> 6), byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 0x3F)), byte(0x80 | (code >> 6 & 0x3F)),
        byte(0x80 | (code & 0x3F));
  }
}

// Walks over JSON text; every method is false at the first thing that is not JSON.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void Space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool End() const { return at_ == text_.size(); }
  size_t at() const { return at_; }

  bool Value(int depth = 0) {
    if (depth > kDepthMax) return false;
    if (Peek('{')) return List('{', '}', [&] { return String() && Colon() && Value(depth + 1); });
    if (Peek('[')) return List('[', ']', [&] { return Value(depth + 1); });
    if (Peek('"')) return String();
    return Word("true") || Word("false") || Word("null") || Number();
  }

  // `item` is called at the begin of each element, and leaves behind it.
  template <class Item>
  bool List(char open, char close, Item item) {
    if (!Take(open)) return false;
    Space();
    if (Take(close)) return true;
    while (true) {
      Space();
      if (!item()) return false;
      Space();
      if (Take(close)) return true;
      if (!Take(',')) return false;
    }
  }

  bool Colon() {
    Space();
    if (!Take(':')) return false;
    Space();
    return true;
  }

  bool String() {
    if (!Take('"')) return false;
    while (at_ < text_.size()) {
      if (Take('"')) return true;
      if (Take('\\')) {
        if (!Escape()) return false;
        continue;
      }
      const size_t bytes = Utf8Bytes(text_.substr(at_));
      if (bytes == 0 || static_cast<uint8_t>(text_[at_]) < 0x20) return false;
      at_ += bytes;
    }
    return false;
  }

 private:
  bool Peek(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool Word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool Escape() {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ >= text_.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text_[at_]))) return false;
    }
    return true;
  }
  bool Digits() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ > begin;
  }
  bool Number() {
    Take('-');
    if (!Take('0') && !Digits()) return false;
    if (Take('.') && !Digits()) return false;
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      return Digits();
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t bytes = Utf8Bytes(text);
    const auto first = static_cast<uint8_t>(text.front());
    if (bytes == 0) {
      out += kReplacement;
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += text.front();
    } else if (first < 0x20 || first == 0x7F) {
      absl::StrAppend(&out, "\\u", absl::Hex(first, absl::kZeroPad4));
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  out += '"';
  return out;
}

bool IsJson(std::string_view text) {
  Scanner scanner(text);
  scanner.Space();
  if (!scanner.Value()) return false;
  scanner.Space();
  return scanner.End();
}

std::optional<std::vector<std::pair<std::string, std::string_view>>> JsonMembers(std::string_view text) {
  std::vector<std::pair<std::string, std::string_view>> members;
  Scanner scanner(text);
  scanner.Space();
  const bool valid = scanner.List('{', '}', [&] {
    const size_t name = scanner.at();
    if (!scanner.String()) return false;
    const std::string_view name_text = text.substr(name, scanner.at() - name);
    if (!scanner.Colon()) return false;
    const size_t value = scanner.at();
    if (!scanner.Value()) return false;
    members.emplace_back(JsonPlain(name_text), text.substr(value, scanner.at() - value));
    return true;
  });
  scanner.Space();
  if (!valid || !scanner.End()) return std::nullopt;
  return members;
}

std::string JsonPlain(std::string_view text) {
  if (text.size() < 2 || text.front() != '"') return std::string(text);
  std::string out;
  text = text.substr(1, text.size() - 2);
  const auto hex = [&](size_t at) {
    uint32_t code = 0;
    return text.size() >= at + 4 && absl::SimpleHexAtoi(text.substr(at, 4), &code) ? code : 0xFFFDU;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char c = text[++i];
    static constexpr std::string_view kLetters = "bfnrt";
    if (const size_t letter = kLetters.find(c); letter != std::string_view::npos) {
      out.push_back("\b\f\n\r\t"[letter]);
    } else if (c == 'u') {
      uint32_t code = hex(i + 1);
      i += 4;
      if (code >= 0xD800 && code < 0xDC00 && text.substr(i + 1).starts_with("\\u")) {
        if (const uint32_t low = hex(i + 3); low >= 0xDC00 && low < 0xE000) {
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
          i += 6;
        }
      }
      AppendUtf8(code >= 0xD800 && code < 0xE000 ? 0xFFFD : code, &out);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace tickbridge
