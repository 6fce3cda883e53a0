// SPDX-License-Identifier: Apache-2.0
// The latest quotes as they stand in Redis or in the shared table, and how people and programs get to see them. For
// `get` and `watch`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/key_class.h"
#include "tools/redis_client.h"

namespace tickbridge {

struct TableState {
  int64_t age_ms = 0;          // since the newest tick was received
  int64_t source_age_ms = -1;  // since its source showed a sign of life; -1: that source is dead
  std::string_view life = {};  // of the table: "alive", "silent", "closed" or "superseded"
};

struct QuoteRow {
  std::string symbol;
  bool present = false;
  std::string value;                     // as in Redis
  int64_t ttl_ms = -2;                   // left; -1: the key never expires, -2: not known
  std::optional<TableState> table = {};  // of a row that came from the shared table
};

// One row a symbol, in their order: MGET and, `with_ttl`, PTTL of each, some hundred to a round trip.
absl::StatusOr<std::vector<QuoteRow>> FetchQuotes(RedisClient* client, const KeyClass& price,
                                                  std::span<const std::string> symbols, bool with_ttl);

// All symbols that have a key now, sorted. By SCAN, so one that comes or goes meanwhile may be missed.
absl::StatusOr<std::vector<std::string>> ScanSymbols(RedisClient* client, const KeyClass& price);

// The glob that SCAN takes for all keys of the class, and the symbol of a key; "" if the key is none of the class.
std::string KeyGlob(const KeyClass& price);
std::string SymbolOfKey(const KeyClass& price, std::string_view key);

// Aligned lines: symbol, Last, Bid, Ask, Volume, High, Low, age of the Timestamp, life left. Of rows of the
// shared table: age of the newest tick, age of its source.
std::vector<std::string> QuoteLines(std::span<const QuoteRow> rows, int64_t now_unix_ms, bool with_header);

// {"MNQZ5":{…},"NOPE":null} on one line. A value that is no JSON is given as a string. A quote of the shared table has
// three members more: "age_ms", "source_age_ms" (null: that source is dead), and "table", which is the table's life.
std::string QuotesJson(std::span<const QuoteRow> rows);

// "12ms", "1.5s", "2m05s", "3h05m", "2d03h".
std::string FormatAge(int64_t ms);

}  // namespace tickbridge
