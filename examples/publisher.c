/* SPDX-License-Identifier: Apache-2.0 */
/* A feed handler in C: quotes and trades of two symbols into the ring of the bridge on this machine.
 *
 *   gcc -std=c11 publisher.c -ltickbridge_publisher -o publisher && ./publisher local
 *   tickbridge run --set feed.x.type=shm --set feed.x.path=local */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tickbridge_publisher.h"

static uint64_t unix_ns(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char** argv) {
  const char* ring = argc > 1 ? argv[1] : "local";
  const int rounds = argc > 2 ? atoi(argv[2]) : 1000;
  char error[512];
  tbp_publisher* publisher = tbp_open(ring, NULL, error, sizeof error);
  if (publisher == NULL) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  const int32_t mnq = tbp_declare(publisher, "MNQZ5");
  const int32_t btc = tbp_declare(publisher, "BTCUSDT");
  if (mnq < 0 || btc < 0) return 1;

  for (int i = 0; i < rounds; ++i) {
    /* 21000.00 + i ticks of 0.25, 12 lots on the bid, 7 on the ask */
    const int64_t bid = 2100000 + 25 * (i % 100);
    int sent = tbp_publish_quote(publisher, mnq, bid, bid + 25, -2, 12, 7, 0, unix_ns());
    if (sent >= 0) sent = tbp_publish_trade(publisher, btc, 9712310 + i, -2, 200, -5, unix_ns());
    if (sent >= 0) sent = tbp_heartbeat(publisher); /* a few times a second is enough */
    if (sent < 0) {
      fprintf(stderr, "not sent: %d\n", sent);
      tbp_close(publisher);
      return 1;
    }
  }

  /* Any fields: no bid in the book, the venue's own volume, trading halted. */
  tbp_tick tick = {0};
  tick.cleared = 1u << TBP_BID;
  tick.given = 1u << TBP_VOLUME;
  tick.value[TBP_VOLUME].mantissa = 12345;
  tick.has_status = 1;
  tick.status = TBP_STATUS_HALTED;
  tick.quote_time_ns = tick.trade_time_ns = unix_ns();
  if (tbp_publish(publisher, mnq, &tick) < 0) return 1;

  const tbp_field account = {"account", "PA1"};
  const char positions[] = "{\"positions\":[{\"symbol\":\"MNQZ5\",\"qty\":2}]}";
  if (tbp_publish_document(publisher, "positions", &account, 1, positions, sizeof positions - 1, 0) < 0) return 1;

  tbp_counts counts;
  tbp_get_counts(publisher, &counts);
  printf("published %" PRIu64 ", refused %" PRIu64 ", pending %" PRIu64 "\n", counts.published, counts.refused,
         counts.pending);
  tbp_close(publisher);
  return 0;
}
