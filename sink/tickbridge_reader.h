/* SPDX-License-Identifier: Apache-2.0 */
/* tickbridge_reader.h: the latest quotes of a tickbridge on the same machine, from shared memory, in nanoseconds.
 *
 * Link libtickbridge_reader.so, or libtickbridge_reader.a and the C++ runtime (-lstdc++ -lm).
 *
 *   char error[256];
 *   tbr_reader* r = tbr_open("tickbridge", error, sizeof error);        the bridge: [table] shm = "tickbridge"
 *   int64_t mnq = tbr_find(r, "MNQZ5");                                 once, and again while it is TBR_NO_SYMBOL
 *   tbr_quote quote;
 *   if (tbr_load(r, mnq, &quote) == TBR_OK && quote.present & 1 << TBR_BID) use(tbr_to_double(quote.value[TBR_BID]));
 *   if (tbr_life(r) == TBR_SUPERSEDED) ...                              now and then: close, and open anew
 *   tbr_close(r);
 *
 * Units: prices and sizes are exact decimals, mantissa * 10^exponent. `received_ns` is CLOCK_MONOTONIC of this machine.
 * Threading: all calls but tbr_close, by any number of threads at once. Readers never wait for each other.
 * Errors: codes. Nothing throws, nothing blocks but tbr_wait, and nothing allocates but tbr_open. A NULL that is not
 * allowed, also as the reader, is no crash: TBR_INVALID, TBR_NO_SYMBOL, or what each call says.
 * Memory: the table is mapped read-only; a reader can never write. What stands there is checked before it is believed.
 * ABI: the functions and structs of this header do not change within soname version 0.
 */
#ifndef TICKBRIDGE_READER_H_
#define TICKBRIDGE_READER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TBR_API __attribute__((visibility("default")))
#else
#define TBR_API
#endif

typedef struct tbr_reader tbr_reader;

enum {
  TBR_OK = 0,
  TBR_NOTHING = 1,  /* no tick of this symbol was merged yet */
  TBR_BUSY = -1,    /* its writer stayed within one write: put aside by the scheduler, or dead. See tbr_life */
  TBR_INVALID = -2, /* no such symbol, or what stands there cannot be */
};

enum {
  TBR_ALIVE = 0,
  TBR_SILENT = 1,    /* the bridge has shown no sign of life for two seconds: dead, stopped, or stalled */
  TBR_CLOSED = 2,    /* it ended; the next one takes the table over */
  TBR_SUPERSEDED = 3 /* another table took its place: close, and open anew */
};

enum { TBR_NO_SYMBOL = -1 };

/* Fields of a quote; bit (1 << field) of `present`. The numbers are those of tickbridge_publisher.h. */
enum {
  TBR_BID,
  TBR_ASK,
  TBR_BID_SIZE,
  TBR_ASK_SIZE,
  TBR_LAST,
  TBR_LAST_SIZE,
  TBR_VOLUME,
  TBR_HIGH,
  TBR_LOW,
  TBR_FIELDS
};

enum { TBR_STATUS_OK, TBR_STATUS_HALTED, TBR_STATUS_GAP, TBR_STATUS_CLOSED };

typedef struct tbr_decimal {
  int64_t mantissa;
  int8_t exponent;
  int8_t reserved[7];
} tbr_decimal;

typedef struct tbr_quote {
  tbr_decimal value[TBR_FIELDS]; /* looked at only where `present` has the bit */
  uint16_t present;
  uint8_t status;
  uint8_t reserved;
  uint32_t source;        /* of the newest tick */
  int64_t timestamp_ms;   /* Unix; 0: none */
  int64_t received_ns;    /* when the newest tick came in, CLOCK_MONOTONIC */
  uint64_t sequence;      /* counts the symbol's ticks; grows across restarts of the bridge, but begins
                              anew where one was killed in the middle of a write */
  uint64_t quote_time_ns; /* the venue's, Unix; 0: none */
  uint64_t trade_time_ns;
} tbr_quote;

/* `table`: a name below /dev/shm, or a path with a slash. A file that everybody may write is refused: anybody could say
 * a price. NULL on an error, whose text is then in `error` (may be NULL), cut to `error_bytes`. */
TBR_API tbr_reader* tbr_open(const char* table, char* error, size_t error_bytes);
/* NULL is allowed. */
TBR_API void tbr_close(tbr_reader* reader);

/* The number of a symbol, the same while the reader is open; TBR_NO_SYMBOL if it has none yet. */
TBR_API int64_t tbr_find(const tbr_reader* reader, const char* symbol);
/* Symbols are numbered from 0 to tbr_symbols - 1. 0 of NULL. */
TBR_API uint32_t tbr_symbols(const tbr_reader* reader);
/* The name of a symbol, cut to `name_bytes` with its zero byte; 65 hold any. Its length, -1 if there is no such symbol.
 */
TBR_API int tbr_name(const tbr_reader* reader, int64_t symbol, char* name, size_t name_bytes);

/* Never torn, and never older than what any call showed before. TBR_OK, TBR_NOTHING, TBR_BUSY or TBR_INVALID; `quote`
 * is meaningful only with TBR_OK. */
TBR_API int tbr_load(const tbr_reader* reader, int64_t symbol, tbr_quote* quote);

/* The nearest double. */
TBR_API double tbr_to_double(tbr_decimal value);

/* Nanoseconds since the newest tick was received; INT64_MAX of NULL. */
TBR_API int64_t tbr_age_ns(const tbr_quote* quote);
/* Nanoseconds since its source showed a sign of life; -1 where that source is dead, and of NULL. */
TBR_API int64_t tbr_source_age_ns(const tbr_reader* reader, const tbr_quote* quote);

/* TBR_ALIVE, TBR_SILENT, TBR_CLOSED or TBR_SUPERSEDED; TBR_INVALID of NULL. Nanoseconds while the bridge lives; else it
 * also looks, by a system call, whether another file has the table's path by now: nobody marks a table whose bridge was
 * killed. */
TBR_API int tbr_life(const tbr_reader* reader);
/* Another number with each bridge that writes the table; 0 of NULL. */
TBR_API uint64_t tbr_generation(const tbr_reader* reader);

/* Sleeps until some quote has changed since `*epoch` (0 at first), `timeout_ns` at most (0 and below: does not sleep;
 * INT64_MAX: for ever). 1 if one has: `*epoch` then stands for now; 0 if not, and at once where a pointer is NULL. */
TBR_API int tbr_wait(const tbr_reader* reader, uint32_t* epoch, int64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif /* TICKBRIDGE_READER_H_ */
