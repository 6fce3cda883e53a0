# SPDX-License-Identifier: Apache-2.0
"""A feed handler in Python, with ctypes: no compiler, no package.

    python3 publisher.py local          (TICKBRIDGE_PUBLISHER names the library where the system does not find it)
"""
import ctypes
import os
import sys
import time

library = ctypes.CDLL(os.environ.get("TICKBRIDGE_PUBLISHER", "libtickbridge_publisher.so.0"))
library.tbp_open.restype = ctypes.c_void_p
library.tbp_open.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
library.tbp_close.argtypes = [ctypes.c_void_p]
library.tbp_declare.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
library.tbp_heartbeat.argtypes = [ctypes.c_void_p]
library.tbp_publish_quote.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64, ctypes.c_int,
                                      ctypes.c_int64, ctypes.c_int64, ctypes.c_int, ctypes.c_uint64]
library.tbp_publish_trade.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int, ctypes.c_int64,
                                      ctypes.c_int, ctypes.c_uint64]


class Publisher:
    """One ring. One thread at a time."""

    def __init__(self, ring):
        error = ctypes.create_string_buffer(512)
        self._handle = library.tbp_open(ring.encode(), None, error, len(error))
        if not self._handle:
            raise OSError(error.value.decode())
        self._numbers = {}

    def number(self, symbol):
        if symbol not in self._numbers:
            number = library.tbp_declare(self._handle, symbol.encode())
            if number < 0:
                raise ValueError(f"symbol {symbol!r}: {number}")
            self._numbers[symbol] = number
        return self._numbers[symbol]

    @staticmethod
    def _check(result):
        if result < 0:
            raise OSError(f"not sent: {result}")

    def quote(self, symbol, bid, ask, exponent, bid_size=0, ask_size=0, time_ns=0):
        """Prices are integers, times 10**exponent; sizes are whole."""
        self._check(library.tbp_publish_quote(self._handle, self.number(symbol), bid, ask, exponent, bid_size, ask_size,
                                              0, time_ns))

    def trade(self, symbol, price, exponent, size, time_ns=0):
        self._check(library.tbp_publish_trade(self._handle, self.number(symbol), price, exponent, size, 0, time_ns))

    def heartbeat(self):
        self._check(library.tbp_heartbeat(self._handle))

    def close(self):
        library.tbp_close(self._handle)
        self._handle = None


if __name__ == "__main__":
    publisher = Publisher(sys.argv[1] if len(sys.argv) > 1 else "local")
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    for i in range(rounds):
        publisher.quote("NQZ5", 2100000 + 25 * (i % 100), 2100025 + 25 * (i % 100), -2, 12, 7, time.time_ns())
        publisher.trade("NQZ5", 2100000 + 25 * (i % 100), -2, 1, time.time_ns())
        publisher.heartbeat()
    publisher.close()
    print(f"published {rounds} quotes and trades")
