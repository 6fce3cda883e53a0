// SPDX-License-Identifier: Apache-2.0
// `tickbridge get SYMBOL…`: the latest quotes, once.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_join.h"
#include "core/clock.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/quotes.h"
#include "tools/redis_client.h"
#include "tools/session.h"
#include "tools/table_quotes.h"

namespace tickbridge {
namespace {

absl::StatusOr<std::vector<QuoteRow>> FromRedis(const Config& config, const std::vector<std::string>& symbols,
                                                bool with_ttl) {
  const absl::StatusOr<RedisTarget> target = ResolveTarget(config.redis);
  if (!target.ok()) return absl::InvalidArgumentError(target.status().message());
  absl::StatusOr<RedisClient> client = RedisClient::Connect(*target, config.redis.connect_timeout_ns);
  if (!client.ok()) return client.status();
  return FetchQuotes(&*client, config.classes[0], symbols, with_ttl);
}

absl::StatusOr<std::vector<QuoteRow>> FromTable(const Config& config, const std::vector<std::string>& symbols) {
  const std::string name = SharedTableName(config);
  if (name.empty()) return absl::InvalidArgumentError("table.shm is empty: this bridge shares no table");
  TableQuotes table(TablePath(name), config.classes[0]);
  absl::StatusOr<std::vector<QuoteRow>> rows = table.Fetch(symbols);
  if (rows.ok() && !table.alive()) std::fprintf(stderr, "tickbridge: %s\n", table.Life().c_str());
  return rows;
}

}  // namespace

int CommandGet(const GlobalOptions& global, const GetOptions& options) {
  const std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config.has_value()) return kExitUsage;
  std::vector<std::string> symbols;
  for (const std::string& symbol : options.symbols) {
    if (std::find(symbols.begin(), symbols.end(), symbol) == symbols.end()) symbols.push_back(symbol);
  }
  const absl::StatusOr<std::vector<QuoteRow>> rows =
      options.shm ? FromTable(*config, symbols) : FromRedis(*config, symbols, !global.json);
  if (!rows.ok()) return ExplainStart(rows.status());
  // On a terminal with a header; for programs each line is a symbol.
  const std::string text =
      global.json ? QuotesJson(*rows)
                  : absl::StrJoin(
                        QuoteLines(*rows, ToUnixMs(SystemClock().UnixNow()).value, ::isatty(STDOUT_FILENO) == 1), "\n");
  if (!PrintOrExplain(text + "\n")) return kExitFailed;
  return std::all_of(rows->begin(), rows->end(), [](const QuoteRow& row) { return row.present; }) ? kExitOk
                                                                                                  : kExitFailed;
}

}  // namespace tickbridge
