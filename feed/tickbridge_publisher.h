/* SPDX-License-Identifier: Apache-2.0 */
/* tickbridge_publisher.h: sends ticks to a tickbridge on the same machine, through a ring in shared memory.
 *
 * Link libtickbridge_publisher.so, or libtickbridge_publisher.a and the C++ runtime (-lstdc++).
 *
 *   // the bridge has [feed.x] type = "shm", path = "local"
 *   char error[256];
 *   tbp_publisher* p = tbp_open("local", NULL, error, sizeof error);
 *   int32_t mnq = tbp_declare(p, "MNQZ5");
 *   // 21000.00 x 12 at 21000.50 x 7
 *   tbp_publish_quote(p, mnq, 2100000, 2100050, -2, 12, 7, 0, 0);
 *   // a few times a second
 *   tbp_heartbeat(p);
 *   tbp_close(p);
 *
 * Units: prices and sizes are exact decimals, mantissa * 10^exponent, at most 18 digits, exponents -18 to 18. Venue
 * times are Unix nanoseconds, 0 where the venue gave none.
 * Threading: one thread at a time a publisher. After a fork the child must not use it.
 * Errors: the calls that send return TBP_PUBLISHED or TBP_KEPT (both fine), or a negative code; TBP_INVALID also for a
 * NULL that is not allowed. Nothing throws, blocks or ends the process, but see guard_sigbus.
 * Full ring: ticks are kept, conflated, and sent first when there is room, by the next call. Nothing has to be sent
 * again.
 * ABI: the functions and structs of this header do not change within soname version 0.
 */
#ifndef TICKBRIDGE_PUBLISHER_H_
#define TICKBRIDGE_PUBLISHER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TBP_API __attribute__((visibility("default")))
#else
#define TBP_API
#endif

typedef struct tbp_publisher tbp_publisher;

enum {
  TBP_PUBLISHED = 0, /* it is in the ring */
  TBP_KEPT = 1,      /* the ring is full: it waits, conflated with what waits already, and is sent later */
  TBP_FULL = -1,     /* a document: the ring is full, and so is what may wait. It was not taken */
  TBP_INVALID = -2,  /* a number never declared, a value out of range, a document that cannot be. It was not taken */
  TBP_LOST = -3      /* tbp_heartbeat saw the file truncated, removed, or replaced by another publisher: close, and
                        open anew. From then on nothing is taken */
};

/* Fields of a tick; bit (1 << field) of `given` and `cleared`. */
enum {
  TBP_BID,
  TBP_ASK,
  TBP_BID_SIZE,
  TBP_ASK_SIZE,
  TBP_LAST,
  TBP_LAST_SIZE,
  TBP_VOLUME,
  TBP_HIGH,
  TBP_LOW,
  TBP_FIELDS
};

enum { TBP_STATUS_OK, TBP_STATUS_HALTED, TBP_STATUS_GAP, TBP_STATUS_CLOSED };

typedef struct tbp_decimal {
  int64_t mantissa;
  int8_t exponent;
  int8_t reserved[7];
} tbp_decimal;

/* Any fields at once. One given takes the place of the one before; one cleared becomes null (no bid in the book); the
 * others stay as they were. Set it to zeros first. */
typedef struct tbp_tick {
  tbp_decimal value[TBP_FIELDS]; /* looked at only where `given` has the bit */
  uint16_t given;
  uint16_t cleared;
  uint8_t has_status; /* 0 or 1 */
  uint8_t status;
  uint8_t reserved[2];
  uint64_t quote_time_ns; /* of bid, ask and their sizes */
  uint64_t trade_time_ns; /* of last, its size, volume, high and low */
} tbp_tick;

typedef struct tbp_options {
  size_t size;           /* sizeof(tbp_options): later releases may add to it */
  uint32_t max_symbols;  /* 0: 16384 */
  uint32_t guard_sigbus; /* 1: a truncated file is caught by a SIGBUS handler of the process, and TBP_LOST comes of
                            it; 0: the process's own handler, or its end */
  uint64_t ring_bytes;   /* of the data, a power of two from 64 KiB to 1 GiB; 0: 4 MiB, room for 65536 ticks */
  const char* group;     /* whose members may run the bridge (mode 0660); NULL: this user only (mode 0640) */
  uint32_t pending_documents_max; /* refused documents that are kept; 0: 1024 */
  uint32_t reserved;              /* 0 */
} tbp_options;

typedef struct tbp_counts {
  uint64_t published; /* went into the ring at once */
  uint64_t refused;   /* found it full; refused = late + conflated + pending */
  uint64_t late;      /* symbols and documents that waited and went in then */
  uint64_t conflated; /* superseded while they waited */
  uint64_t pending;   /* symbols and documents that wait now */
} tbp_counts;

/* A field of a document's key, such as {"account", "PA1"}. */
typedef struct tbp_field {
  const char* name;
  const char* value;
} tbp_field;

/* Makes the ring, or goes on with the one that is there. `ring`: a name, for /dev/shm/<name>.ring, or a path with a
 * slash. `options` may be NULL. NULL on an error, whose text is then in `error` (may be NULL), cut to `error_bytes`. */
TBP_API tbp_publisher* tbp_open(const char* ring, const tbp_options* options, char* error, size_t error_bytes);

/* Sends what waits as far as there is room, and says that this feed has ended. NULL is allowed. */
TBP_API void tbp_close(tbp_publisher* publisher);

/* The number of a symbol: 1 to 64 bytes of UTF-8 without control characters and braces. The same name always has the
 * same number, also after a restart. Negative: TBP_INVALID, not such a name; TBP_FULL, max_symbols are declared,
 * or the ring is lost. */
TBP_API int32_t tbp_declare(tbp_publisher* publisher, const char* symbol);

TBP_API int tbp_publish(tbp_publisher* publisher, int32_t symbol, const tbp_tick* tick);

/* The common cases: both prices and both sizes; a trade, which also raises high, lowers low and adds to volume, unless
 * this feed gives those itself. `time_ns`: the venue's, or 0. */
TBP_API int tbp_publish_quote(tbp_publisher* publisher, int32_t symbol, int64_t bid, int64_t ask, int price_exponent,
                              int64_t bid_size, int64_t ask_size, int size_exponent, uint64_t time_ns);
TBP_API int tbp_publish_trade(tbp_publisher* publisher, int32_t symbol, int64_t price, int price_exponent, int64_t size,
                              int size_exponent, uint64_t time_ns);

/* A new session: clears volume, high, low and the venue times of the symbol. */
TBP_API int tbp_reset(tbp_publisher* publisher, int32_t symbol);

/* A document: the newest value of its key wins. `value`: JSON text, one value (that it is sound in itself is checked by
 * the bridge); NULL deletes the key. `ttl_ns`: 0 for the class's. The line that it makes may have 1 MiB, or a quarter
 * of the ring. Allocates. */
TBP_API int tbp_publish_document(tbp_publisher* publisher, const char* key_class, const tbp_field* fields,
                                 size_t field_count, const char* value, size_t value_bytes, int64_t ttl_ns);

/* A sign of life, and sends what waits. Call it four times within the bridge's liveness_timeout (2 s) or more often;
 * it costs some 50 ns, and a system call ten times a second. */
TBP_API int tbp_heartbeat(tbp_publisher* publisher);

TBP_API void tbp_get_counts(const tbp_publisher* publisher, tbp_counts* counts);

/* Reads "21000.25". 0, or TBP_INVALID where it is no JSON number of up to 18 digits. */
TBP_API int tbp_parse_decimal(const char* text, tbp_decimal* decimal);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TICKBRIDGE_PUBLISHER_H_ */
