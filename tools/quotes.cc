// SPDX-License-Identifier: Apache-2.0
#include "tools/quotes.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tools/json.h"

namespace tickbridge {
namespace {

constexpr size_t kSymbolsPerTrip = 500;
constexpr std::array<std::string_view, 6> kColumns = {"Last", "Bid", "Ask", "Volume", "High", "Low"};

std::string KeyOf(const KeyClass& price, std::string_view symbol) {
  const KeyPattern::FieldValue field{"symbol", symbol};
  std::string key;
  price.key.Render(std::span(&field, 1), &key);
  return key;
}

// Other programs' keys may hold anything; a terminal must not obey it.
std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return out;
}

// Characters, not bytes.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// The cells of a row: symbol, the columns, age, life left.
std::vector<std::string> Cells(const QuoteRow& row, int64_t now_unix_ms) {
  std::vector<std::string> cells(kColumns.size() + 3, "-");
  cells.front() = Printable(row.symbol);
  if (!row.present) {
    cells.back() = "absent";
    return cells;
  }
  if (const auto members = JsonMembers(row.value)) {
    for (const auto& [name, text] : *members) {
      const auto column = std::find(kColumns.begin(), kColumns.end(), name);
      int64_t timestamp = 0;
      if (column != kColumns.end() && text != "null") {
        cells[1 + static_cast<size_t>(column - kColumns.begin())] = Printable(JsonPlain(text));
      } else if (name == "Timestamp" && absl::SimpleAtoi(text, &timestamp)) {
        cells[kColumns.size() + 1] = FormatAge(now_unix_ms - timestamp);
      }
    }
  } else {
    cells[1] = "(no quote)";
  }
  if (row.table.has_value()) {
    cells[kColumns.size() + 1] = FormatAge(row.table->age_ms);
    cells.back() = row.table->source_age_ms < 0 ? "dead" : FormatAge(row.table->source_age_ms);
    return cells;
  }
  if (row.ttl_ms >= 0) cells.back() = FormatAge(row.ttl_ms);
  if (row.ttl_ms == -1) cells.back() = "no expiry";
  return cells;
}

}  // namespace

absl::StatusOr<std::vector<QuoteRow>> FetchQuotes(RedisClient* client, const KeyClass& price,
                                                  std::span<const std::string> symbols, bool with_ttl) {
  std::vector<QuoteRow> rows;
  rows.reserve(symbols.size());
  while (!symbols.empty()) {
    const std::span<const std::string> part = symbols.first(std::min(symbols.size(), kSymbolsPerTrip));
    symbols = symbols.subspan(part.size());
    std::vector<std::vector<std::string>> commands = {{"MGET"}};
    for (const std::string& symbol : part) {
      commands[0].push_back(KeyOf(price, symbol));
      if (with_ttl) commands.push_back({"PTTL", commands[0].back()});
    }
    absl::StatusOr<std::vector<Reply>> replies = client->Pipeline(commands);
    if (!replies.ok()) return replies.status();
    for (size_t i = 0; i < part.size(); ++i) {
      QuoteRow row;
      row.symbol = part[i];
      Reply& value = replies->front().elements.at(i);
      row.present = value.type == Reply::Type::kString;
      row.value = std::move(value.str);
      if (with_ttl) row.ttl_ms = replies->at(1 + i).integer;
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string KeyGlob(const KeyClass& price) {
  // A byte that no name holds stands for the symbol until the rest is escaped.
  std::string glob;
  for (const char c : KeyOf(price, "\n")) {
    if (c == '\n') {
      glob += '*';
      continue;
    }
    if (std::string_view("*?[]\\^-").find(c) != std::string_view::npos) glob += '\\';
    glob += c;
  }
  return glob;
}

std::string SymbolOfKey(const KeyClass& price, std::string_view key) {
  const std::string marked = KeyOf(price, "\n");
  const auto times = static_cast<size_t>(std::count(marked.begin(), marked.end(), '\n'));
  const size_t literal = marked.size() - times;
  if (times == 0 || key.size() <= literal) return "";
  const std::string_view symbol = key.substr(marked.find('\n'), (key.size() - literal) / times);
  return KeyOf(price, symbol) == key ? std::string(symbol) : "";
}

absl::StatusOr<std::vector<std::string>> ScanSymbols(RedisClient* client, const KeyClass& price) {
  const std::string glob = KeyGlob(price);
  std::set<std::string> symbols;
  std::string cursor = "0";
  do {
    absl::StatusOr<Reply> reply = client->Command({"SCAN", cursor, "MATCH", glob, "COUNT", "1000"});
    if (!reply.ok()) return reply.status();
    if (reply->elements.size() != 2) return absl::InternalError("SCAN gave something else than a cursor and keys");
    cursor = reply->elements[0].str;
    for (const Reply& key : reply->elements[1].elements) {
      if (std::string symbol = SymbolOfKey(price, key.str); !symbol.empty()) symbols.insert(std::move(symbol));
    }
  } while (cursor != "0");
  return std::vector<std::string>(symbols.begin(), symbols.end());
}

std::vector<std::string> QuoteLines(std::span<const QuoteRow> rows, int64_t now_unix_ms, bool with_header) {
  std::vector<std::vector<std::string>> table;
  if (with_header) {
    table.push_back({"Symbol"});
    table.back().insert(table.back().end(), kColumns.begin(), kColumns.end());
    table.back().insert(table.back().end(), {"Age", rows.empty() || !rows.front().table ? "TTL" : "Source"});
  }
  for (const QuoteRow& row : rows) table.push_back(Cells(row, now_unix_ms));
  std::vector<size_t> widths(kColumns.size() + 3, 0);
  for (const auto& cells : table) {
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], Width(cells[i]));
  }
  std::vector<std::string> lines;
  for (const auto& cells : table) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string pad(widths[i] - Width(cells[i]), ' ');
      absl::StrAppend(&line, i == 0 ? "" : "  ", i == 0 ? "" : pad, cells[i], i == 0 ? pad : "");
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string QuotesJson(std::span<const QuoteRow> rows) {
  std::string out = "{";
  for (const QuoteRow& row : rows) {
    if (out.size() > 1) out += ',';
    out += JsonString(row.symbol);
    out += ':';
    if (!row.present) {
      out += "null";
    } else if (!IsJson(row.value)) {
      out += JsonString(row.value);
    } else {
      // Line breaks of valid JSON are white space.
      std::string value = row.value;
      std::replace_if(value.begin(), value.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
      if (row.table.has_value() && value.size() > 2 && value.back() == '}') {
        value.pop_back();
        absl::StrAppend(&value, ",\"age_ms\":", row.table->age_ms, ",\"source_age_ms\":");
        if (row.table->source_age_ms < 0) {
          value += "null";
        } else {
          absl::StrAppend(&value, row.table->source_age_ms);
        }
        absl::StrAppend(&value, ",\"table\":", JsonString(row.table->life), "}");
      }
      out += value;
    }
  }
  return out + "}";
}

std::string FormatAge(int64_t ms) {
  if (ms < 0) return "-" + FormatAge(-ms);
  char text[32];
  const auto two = [&](int64_t big, char big_unit, int64_t small, char small_unit) {
    std::snprintf(text, sizeof(text), "%lld%c%02lld%c", static_cast<long long>(big), big_unit,
                  static_cast<long long>(small), small_unit);
    return std::string(text);
  };
  const int64_t s = ms / 1000;
  if (ms < 1000) return absl::StrCat(ms, "ms");
  if (s < 60) {
    std::snprintf(text, sizeof(text), "%lld.%llds", static_cast<long long>(s), static_cast<long long>(ms % 1000 / 100));
    return text;
  }
  if (s < 3'600) return two(s / 60, 'm', s % 60, 's');
  if (s < 86'400) return two(s / 3'600, 'h', s % 3'600 / 60, 'm');
  return two(s / 86'400, 'd', s % 86'400 / 3'600, 'h');
}

}  // namespace tickbridge
