// SPDX-License-Identifier: Apache-2.0
#include "tools/table_quotes.h"

#include <algorithm>

#include "core/clock.h"

namespace tickbridge {
namespace {

absl::Status Explain(TableReader::OpenResult result, const std::string& error) {
  switch (result) {
    case TableReader::OpenResult::kNotPermitted:
      return absl::PermissionDeniedError(error + " (see [table] group)");
    case TableReader::OpenResult::kNotFound:
      return absl::NotFoundError(error + "; is there a bridge with this table.shm?");
    default:
      return absl::FailedPreconditionError(error);
  }
}

std::string_view LifeWord(TableReader::Life life) {
  switch (life) {
    case TableReader::Life::kAlive:
      return "alive";
    case TableReader::Life::kSilent:
      return "silent";
    case TableReader::Life::kClosed:
      return "closed";
    case TableReader::Life::kSuperseded:
      return "superseded";
  }
  return "";
}

}  // namespace

absl::Status TableQuotes::Open() {
  const MonoNs now = SystemClock::ReadMonotonic();
  if (table_ != nullptr && table_->life(now) != TableReader::Life::kSuperseded) return absl::OkStatus();
  TableReader::OpenResult result{};
  std::string error;
  std::unique_ptr<TableReader> found = TableReader::Open(path_, &result, &error);
  if (found != nullptr) table_ = std::move(found);
  // The last values of a table that is gone are shown as such until there is another one.
  return table_ != nullptr ? absl::OkStatus() : Explain(result, error);
}

absl::StatusOr<std::vector<QuoteRow>> TableQuotes::Fetch(std::span<const std::string> symbols) {
  if (absl::Status status = Open(); !status.ok()) return status;
  const SystemClock clock;
  std::vector<QuoteRow> rows;
  rows.reserve(symbols.size());
  const std::string_view life = LifeWord(table_->life(SystemClock::ReadMonotonic()));
  std::string text(encoder_.bytes_max(), '\0');
  for (const std::string& symbol : symbols) {
    QuoteRow& row = rows.emplace_back();
    row.symbol = symbol;
    row.table.emplace();
    Quote quote;
    if (table_->LoadQuote(table_->Find(symbol), &quote) != TableReader::Load::kOk) continue;
    const MonoNs now = SystemClock::ReadMonotonic();
    row.present = true;
    row.value.assign(text.data(), encoder_.Encode(text.data(), quote, clock.ToUnix(quote.received), clock.ToUnix(now)));
    row.table->life = life;
    row.table->age_ms = TableReader::AgeNs(quote, now) / kNsPerMs;
    if (const auto age_ns = table_->SourceAgeNs(quote, now)) row.table->source_age_ms = *age_ns / kNsPerMs;
  }
  return rows;
}

absl::StatusOr<std::vector<std::string>> TableQuotes::Symbols() {
  if (absl::Status status = Open(); !status.ok()) return status;
  std::vector<std::string> symbols;
  Quote quote;
  for (uint32_t i = 0; i < table_->symbols(); ++i) {
    if (table_->LoadQuote(SymbolId{i}, &quote) != TableReader::Load::kNothing) {
      symbols.emplace_back(table_->Name(SymbolId{i}));
    }
  }
  std::sort(symbols.begin(), symbols.end());
  return symbols;
}

bool TableQuotes::alive() const {
  return table_ != nullptr && table_->life(SystemClock::ReadMonotonic()) == TableReader::Life::kAlive;
}

std::string TableQuotes::Life() const {
  if (table_ == nullptr) return "";
  switch (table_->life(SystemClock::ReadMonotonic())) {
    case TableReader::Life::kAlive:
      return path_ + ": its bridge is alive";
    case TableReader::Life::kSilent:
      return path_ + ": its bridge shows no sign of life";
    case TableReader::Life::kClosed:
      return path_ + ": its bridge has ended";
    case TableReader::Life::kSuperseded:
      return path_ + ": another table takes its place";
  }
  return "";
}

}  // namespace tickbridge
