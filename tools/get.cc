// SPDX-License-Identifier: Apache-2.0
// `tickbridge get SYMBOL…`: the latest quotes, once.
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "core/clock.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/quotes.h"
#include "tools/redis_client.h"
#include "tools/session.h"

namespace tickbridge {

int CommandGet(const GlobalOptions& global, const GetOptions& options) {
  const std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config.has_value()) return kExitUsage;
  const absl::StatusOr<RedisTarget> target = ResolveTarget(config->redis);
  if (!target.ok()) {
    ExplainStart(target.status());
    return kExitUsage;
  }

  std::vector<std::string> symbols;
  for (const std::string& symbol : options.symbols) {
    if (std::find(symbols.begin(), symbols.end(), symbol) == symbols.end()) symbols.push_back(symbol);
  }
  absl::StatusOr<RedisClient> client = RedisClient::Connect(*target, config->redis.connect_timeout_ns);
  if (!client.ok()) return ExplainStart(client.status());
  const absl::StatusOr<std::vector<QuoteRow>> rows = FetchQuotes(&*client, config->classes[0], symbols, !global.json);
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
