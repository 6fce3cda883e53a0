// SPDX-License-Identifier: Apache-2.0
// What a program that uses the installed libraries looks like.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "core/decimal.h"
#include "sink/redis_reader.h"

int main() {
  tickbridge::Decimal price;
  if (tickbridge::ParseDecimal("21000.2500", &price) != tickbridge::DecimalError::kNone) return 1;
  char text[tickbridge::kMaxDecimalChars + tickbridge::kDecimalPrintScratch];
  const std::string_view printed(text, static_cast<size_t>(tickbridge::PrintPrice(text, price) - text));
  std::printf("%.*s\n", static_cast<int>(printed.size()), printed.data());
  const std::vector<std::string> symbols = {"MNQZ5"};
  const auto reader = tickbridge::RedisReader::Create({}, symbols);
  const tickbridge::Quote* quote = nullptr;
  if (!reader.ok() || (*reader)->Get((*reader)->Find("MNQZ5"), &quote) != tickbridge::QuoteState::kUnknown) return 1;
  return printed == "21000.25" ? 0 : 1;
}
