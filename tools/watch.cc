// SPDX-License-Identifier: Apache-2.0
// `tickbridge watch SYMBOL…|--all`: the latest quotes, live. A table that redraws on a terminal, lines elsewhere.
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/clock.h"
#include "core/log.h"
#include "tools/commands.h"
#include "tools/log.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/quotes.h"
#include "tools/redis_client.h"
#include "tools/session.h"
#include "tools/signals.h"
#include "tools/table_quotes.h"

namespace tickbridge {
namespace {

// A SCAN walks over all keys of the server, so new symbols are looked for less often than values.
constexpr int64_t kScanEveryNs = 5 * kNsPerSec;
// A hanging server holds up Ctrl-C no longer than this.
constexpr int64_t kTimeoutNsMax = 2 * kNsPerSec;
// As wide as the times below it.
constexpr std::string_view kTimeHeader = "Time        ";

struct Screen {
  size_t rows = 0;  // 0: no terminal
  size_t columns = 0;
};

Screen ScreenSize() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) != 1) return {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {24, 80};
  return {size.ws_row, size.ws_col};
}

// The first `columns` characters of a line of UTF-8.
std::string_view CutTo(std::string_view line, size_t columns) {
  size_t seen = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if ((line[i] & 0xC0) != 0x80 && ++seen > columns) return line.substr(0, i);
  }
  return line;
}

class Watch {
 public:
  // `table_path`: of the shared table, with --shm; `target` is of no use then.
  Watch(const GlobalOptions& global, const WatchOptions& options, const KeyClass& price, const RedisTarget& target,
        int64_t timeout_ns, const std::string& table_path)
      : global_(global),
        options_(options),
        price_(price),
        target_(target),
        timeout_ns_(std::min(timeout_ns, kTimeoutNsMax)) {
    if (options.shm) table_.emplace(table_path, price);
    for (const std::string& symbol : options.symbols) {
      if (std::find(symbols_.begin(), symbols_.end(), symbol) == symbols_.end()) symbols_.push_back(symbol);
    }
  }

  int Run() {
    const int code = Loop();
    if (drawn_) Print("\r\n");  // what comes next begins below the table
    return code;
  }

 private:
  int Loop() {
    StopSignals stop;
    const MonoNs begin = SystemClock::ReadMonotonic();
    const MonoNs end = begin + options_.for_ns;
    for (MonoNs next = begin;;) {
      absl::Status status = Round();
      if (output_error_ == EPIPE) return kExitOk;  // whoever read it has had enough
      if (output_error_ != 0) return ExplainStart(absl::ErrnoToStatus(output_error_, "cannot write to stdout"));
      if (IsFinal(status)) return ExplainStart(status);
      Tell(std::move(status));
      // The next beat of the interval that has not passed yet.
      const MonoNs now = SystemClock::ReadMonotonic();
      next = next + ((now - next) / options_.interval_ns + 1) * options_.interval_ns;
      const MonoNs until = options_.for_ns > 0 ? std::min(next, end) : next;
      if (stop.Wait(std::max<int64_t>(0, until - now))) return kExitOk;
      if (options_.for_ns > 0 && end <= SystemClock::ReadMonotonic()) return answered_ ? kExitOk : kExitFailed;
    }
  }

  // Errors that no retry mends.
  static bool IsFinal(const absl::Status& status) {
    return status.code() == absl::StatusCode::kPermissionDenied || status.code() == absl::StatusCode::kUnimplemented ||
           status.code() == absl::StatusCode::kInvalidArgument;
  }

  absl::Status Round() {
    const Screen screen = ScreenSize();
    absl::StatusOr<std::vector<QuoteRow>> rows = Fetch(screen);
    if (!rows.ok()) {
      client_.reset();
      if (screen.rows > 0 && !global_.json && !IsFinal(rows.status())) Draw(screen, {}, rows.status().message());
      return rows.status();
    }
    answered_ = true;
    const int64_t now_unix_ms = ToUnixMs(SystemClock().UnixNow()).value;
    if (global_.json) {
      Write(QuotesJson(*rows) + "\n");
    } else if (screen.rows > 0) {
      Draw(screen, QuoteLines(*rows, now_unix_ms, true), "");
    } else {
      std::string text;
      // The header is laid out each time, so that the columns stay below it, and written once.
      const std::vector<std::string> lines = QuoteLines(*rows, now_unix_ms, true);
      if (!headed_ && !rows->empty()) {
        absl::StrAppend(&text, kTimeHeader, "  ", lines.front(), "\n");
        headed_ = true;
      }
      for (size_t i = 1; i < lines.size(); ++i) {
        absl::StrAppend(&text, TimeOfDay(now_unix_ms), "  ", lines[i], "\n");
      }
      Write(text);
    }
    return absl::OkStatus();
  }

  void Write(std::string_view text) {
    if (!Print(text)) output_error_ = errno;
  }

  absl::StatusOr<std::vector<QuoteRow>> Fetch(const Screen& screen) {
    if (table_.has_value()) return FetchFromTable(screen);
    if (!client_.has_value()) {
      absl::StatusOr<RedisClient> client = RedisClient::Connect(target_, timeout_ns_);
      if (!client.ok()) return client.status();
      client_ = *std::move(client);
    }
    const MonoNs now = SystemClock::ReadMonotonic();
    if (options_.all && (symbols_.empty() || now - scanned_ >= kScanEveryNs)) {
      absl::StatusOr<std::vector<std::string>> symbols = ScanSymbols(&*client_, price_);
      if (!symbols.ok()) return symbols.status();
      symbols_ = *std::move(symbols);
      scanned_ = now;
    }
    return FetchQuotes(&*client_, price_, Wanted(screen), !global_.json);
  }

  absl::StatusOr<std::vector<QuoteRow>> FetchFromTable(const Screen& screen) {
    if (options_.all) {
      absl::StatusOr<std::vector<std::string>> symbols = table_->Symbols();
      if (!symbols.ok()) return symbols.status();
      symbols_ = *std::move(symbols);
    }
    absl::StatusOr<std::vector<QuoteRow>> rows = table_->Fetch(Wanted(screen));
    // Whether somebody writes it: said when it changes, or at the foot of a table on a terminal.
    if (std::string life = table_->Life(); life != life_) {
      if ((screen.rows == 0 || global_.json) && (!life_.empty() || !table_->alive())) {
        Log(table_->alive() ? LogLevel::kInfo : LogLevel::kWarn, life);
      }
      life_ = std::move(life);
    }
    return rows;
  }

  // What does not fit on the screen is not asked for either.
  std::span<const std::string> Wanted(const Screen& screen) const {
    const std::span<const std::string> all = symbols_;
    return screen.rows > 0 && !global_.json ? all.first(std::min(all.size(), RowsFor(screen))) : all;
  }

  // Beside the header and the line at the foot.
  static size_t RowsFor(const Screen& screen) { return screen.rows > 3 ? screen.rows - 2 : 1; }

  void Draw(const Screen& screen, const std::vector<std::string>& lines, std::string_view problem) {
    std::string foot = std::string(problem);
    if (!foot.empty()) {
      foot += "; trying again; ";
    } else if (symbols_.size() > RowsFor(screen)) {
      foot = absl::StrCat("… and ", symbols_.size() - RowsFor(screen), " more; ");
    } else if (symbols_.empty() && table_.has_value()) {
      foot = "no symbol yet; ";
    } else if (symbols_.empty()) {
      foot = absl::StrCat("no keys of the form ", price_.key.text(), "; ");
    }
    if (!life_.empty()) absl::StrAppend(&foot, life_, "; ");
    foot += "Ctrl-C ends";
    // From the top; each line clears what it covers, so that nothing flickers. A problem leaves the last quotes
    // standing.
    std::string text = drawn_ ? "\x1b[H" : "\x1b[H\x1b[2J";
    drawn_ = true;
    if (!problem.empty()) absl::StrAppend(&text, "\x1b[", screen.rows, ";1H");
    for (const std::string& line : lines) absl::StrAppend(&text, CutTo(line, screen.columns), "\x1b[K\r\n");
    absl::StrAppend(&text, CutTo(foot, screen.columns), "\x1b[K", problem.empty() ? "\x1b[J" : "");
    Write(text);
  }

  // Says it once when Redis goes away, and once when it is back. On a terminal the foot of the table says it.
  void Tell(absl::Status status) {
    if (drawn_) return;
    if (!status.ok() && last_.ok()) Log(LogLevel::kWarn, absl::StrCat(status.message(), "; trying again"));
    if (status.ok() && !last_.ok())
      Log(LogLevel::kInfo, absl::StrCat(table_.has_value() ? "the shared table" : target_.Display(), " answers again"));
    last_ = std::move(status);
  }

  static std::string TimeOfDay(int64_t unix_ms) {
    const time_t seconds = unix_ms / 1000;
    tm parts{};
    ::localtime_r(&seconds, &parts);
    char text[32];
    std::snprintf(text, sizeof(text), "%02d:%02d:%02d.%03d", parts.tm_hour, parts.tm_min, parts.tm_sec,
                  static_cast<int>(unix_ms % 1000));
    return text;
  }

  const GlobalOptions& global_;
  const WatchOptions& options_;
  const KeyClass& price_;
  const RedisTarget& target_;
  const int64_t timeout_ns_;
  std::vector<std::string> symbols_;
  std::optional<RedisClient> client_;
  std::optional<TableQuotes> table_;  // instead, with --shm
  std::string life_;                  // of it, as last said
  MonoNs scanned_;
  absl::Status last_;
  bool answered_ = false;
  bool drawn_ = false;
  bool headed_ = false;   // the lines have their header
  int output_error_ = 0;  // errno
};

}  // namespace

int CommandWatch(const GlobalOptions& global, const WatchOptions& options) {
  const std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config.has_value()) return kExitUsage;
  RedisTarget target;
  std::string table_path;
  if (options.shm) {
    const std::string name = SharedTableName(*config);
    if (name.empty()) {
      ExplainStart(absl::InvalidArgumentError("table.shm is empty: this bridge shares no table"));
      return kExitUsage;
    }
    table_path = TablePath(name);
  } else {
    absl::StatusOr<RedisTarget> resolved = ResolveTarget(config->redis);
    if (!resolved.ok()) {
      ExplainStart(resolved.status());
      return kExitUsage;
    }
    target = *std::move(resolved);
  }
  const Logging logging(config->log_level);
  return Watch(global, options, config->classes[0], target, config->redis.connect_timeout_ns, table_path).Run();
}

}  // namespace tickbridge
