/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher of ring_test.py: publishes as fast as it can, so that a kill finds it in the middle of something.
 *
 * usage: ring_source RING SYMBOLS FIRST
 * Symbols S0, S1, … get quotes with Bid = n, from n = FIRST on; SUM gets a reset and then trades of size 1. It says
 * "ready" once it publishes. On SIGTERM every symbol gets one more quote of the same n; when nothing waits any more it
 * says "N M", the last n and the number of trades, and goes on with heartbeats until it is killed. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tickbridge_publisher.h"

enum { SYMBOLS_MAX = 64 };

static volatile sig_atomic_t ending = 0;

static void on_signal(int number) {
  (void)number;
  ending = 1;
}

static void fail(const char* what, int code) {
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int count = atoi(argv[2]);
  int64_t n = strtoll(argv[3], NULL, 10);
  uint64_t trades = 0;
  char error[512];
  int32_t symbols[SYMBOLS_MAX];
  tbp_options options = {0};
  options.size = sizeof options;
  options.max_symbols = 256;
  options.ring_bytes = 64 * 1024; /* small, so that it is full now and then */
  tbp_publisher* publisher = tbp_open(argv[1], &options, error, sizeof error);
  if (publisher == NULL) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  for (int i = 0; i < count && i < SYMBOLS_MAX; ++i) {
    char name[16];
    snprintf(name, sizeof name, "S%d", i);
    symbols[i] = tbp_declare(publisher, name);
    if (symbols[i] < 0) fail(name, symbols[i]);
  }
  const int32_t sum = tbp_declare(publisher, "SUM");
  if (sum < 0 || tbp_reset(publisher, sum) < 0) fail("SUM", sum);
  signal(SIGTERM, on_signal);
  puts("ready");
  fflush(stdout);

  while (!ending) {
    ++n;
    const int32_t symbol = symbols[n % count];
    const int sent = tbp_publish_quote(publisher, symbol, n, n + 1, 0, 1, 2, 0, (uint64_t)n * 1000000u);
    if (sent < 0) fail("quote", sent);
    if (n % 7 == 0 && tbp_publish_trade(publisher, sum, n % 1000, 0, 1, 0, 0) >= 0) ++trades;
    if (n % 1000 == 0 && tbp_heartbeat(publisher) < 0) fail("heartbeat", -3);
  }
  ++n;
  for (int i = 0; i < count; ++i) {
    if (tbp_publish_quote(publisher, symbols[i], n, n + 1, 0, 1, 2, 0, (uint64_t)n * 1000000u) < 0) fail("last", -1);
  }
  for (int told = 0;;) {
    const struct timespec pause = {0, 5000000};
    tbp_counts counts;
    tbp_heartbeat(publisher);
    tbp_get_counts(publisher, &counts);
    if (counts.pending == 0 && !told) {
      printf("%" PRId64 " %" PRIu64 "\n", n, trades);
      fflush(stdout);
      told = 1;
    }
    nanosleep(&pause, NULL);
  }
}
