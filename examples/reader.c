/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the latest bid and ask of a symbol, and each change of it. usage: reader TABLE SYMBOL [SECONDS] */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tickbridge_reader.h"

static void print_side(const char* name, const tbr_quote* quote, int field) {
  if (quote->present & 1 << field) {
    printf("  %s %.10g", name, tbr_to_double(quote->value[field]));
  } else {
    printf("  %s none", name);
  }
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: reader TABLE SYMBOL [SECONDS]\n");
    return 2;
  }
  const double seconds = argc > 3 ? atof(argv[3]) : 0;
  char error[256];
  tbr_reader* reader = tbr_open(argv[1], error, sizeof error);
  if (reader == NULL) {
    fprintf(stderr, "reader: %s\n", error);
    return 1;
  }
  const int64_t step_ns = 100 * 1000 * 1000;
  const double end_s = now_s() + seconds;
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
    if (seconds > 0) tbr_wait(reader, &epoch, step_ns);
  } while (now_s() < end_s);
  tbr_close(reader);
  if (seen == 0) fprintf(stderr, "reader: no quote of %s\n", argv[2]);
  return seen == 0;
}
