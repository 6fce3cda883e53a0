// SPDX-License-Identifier: Apache-2.0
// What a program that uses the installed libraries looks like.
#include <cstdio>
#include <string_view>

#include "core/decimal.h"

int main() {
  tickbridge::Decimal price;
  if (tickbridge::ParseDecimal("21000.2500", &price) != tickbridge::DecimalError::kNone) return 1;
  char text[tickbridge::kMaxDecimalChars + tickbridge::kDecimalPrintScratch];
  const std::string_view printed(text, static_cast<size_t>(tickbridge::PrintPrice(text, price) - text));
  std::printf("%.*s\n", static_cast<int>(printed.size()), printed.data());
  return printed == "21000.25" ? 0 : 1;
}
