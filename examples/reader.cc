// SPDX-License-Identifier: Apache-2.0
// Prints the latest bid and ask of a symbol, by the C++ header. usage: reader TABLE SYMBOL
// Links tickbridge::sink (find_package(tickbridge)).
#include <cstdio>
#include <string>

#include "core/clock.h"
#include "core/decimal.h"
#include "sink/table_reader.h"

namespace {

std::string Text(const tickbridge::Quote& quote, tickbridge::Field field) {
  if (!quote.Has(field)) return "none";
  char text[tickbridge::kMaxDecimalChars + tickbridge::kDecimalPrintScratch];
  return std::string(text, tickbridge::PrintPrice(text, quote.Get(field)));
}

}  // namespace

int main(int argc, char** argv) {
  using tickbridge::TableReader;
  if (argc < 3) {
    std::fprintf(stderr, "usage: reader TABLE SYMBOL\n");
    return 2;
  }
  std::string error;
  const auto reader = TableReader::Open(argv[1], nullptr, &error);
  if (reader == nullptr) {
    std::fprintf(stderr, "reader: %s\n", error.c_str());
    return 1;
  }
  const tickbridge::SymbolId id = reader->Find(argv[2]);
  tickbridge::Quote quote;
  if (reader->LoadQuote(id, &quote) != TableReader::Load::kOk) {
    std::fprintf(stderr, "reader: no quote of %s\n", argv[2]);
    return 1;
  }
  const int64_t age_ns = TableReader::AgeNs(quote, tickbridge::SystemClock::ReadMonotonic());
  std::printf("%s  bid %s  ask %s  age %.6f s\n", argv[2], Text(quote, tickbridge::Field::kBid).c_str(),
              Text(quote, tickbridge::Field::kAsk).c_str(), static_cast<double>(age_ns) / 1e9);
  return 0;
}
