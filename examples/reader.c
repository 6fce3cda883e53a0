/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the latest bid and ask of a symbol, and each change of it. usage: reader TABLE SYMBOL [SECONDS] */
#include <stdio.h>
#include <stdlib.h>

#include "tickbridge_reader.h"

static void print_side(const char* name, const tbr_quote* quote, int field) {
  if (quote->present & 1 << field) {
    printf("  %s %.10g", name, tbr_to_double(quote->value[field]));
  } else {
    printf("  %s none", name);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: reader TABLE SYMBOL [SECONDS]\n");
    return 2;
  }
  double left_s = argc > 3 ? atof(argv[3]) : 0;
  char error[256];
  tbr_reader* reader = tbr_open(argv[1], error, sizeof error);
  if (reader == NULL) {
    fprintf(stderr, "reader: %s\n", error);
    return 1;
  }
  const int64_t step_ns = 100 * 1000 * 1000;
  uint32_t epoch = 0;
  uint64_t seen = 0;
  int64_t symbol = TBR_NO_SYMBOL;
  do {
    if (symbol == TBR_NO_SYMBOL) symbol = tbr_find(reader, argv[2]);
    tbr_quote quote;
    if (tbr_load(reader, symbol, &quote) == TBR_OK && quote.sequence != seen) {
      seen = quote.sequence;
      printf("%s", argv[2]);
      print_side("bid", &quote, TBR_BID);
      print_side("ask", &quote, TBR_ASK);
      printf("  age %.6f s\n", (double)tbr_age_ns(&quote) / 1e9);
      fflush(stdout);
    }
    if (tbr_life(reader) == TBR_SUPERSEDED) { /* another table took its place */
      tbr_reader* next = tbr_open(argv[1], error, sizeof error);
      if (next != NULL) { /* else the old one shows the last values until it can be opened */
        tbr_close(reader);
        reader = next;
        symbol = TBR_NO_SYMBOL;
        epoch = 0;
      }
    }
    if (left_s > 0) tbr_wait(reader, &epoch, step_ns);
    left_s -= 0.1;
  } while (left_s > 0);
  tbr_close(reader);
  return seen == 0;
}
