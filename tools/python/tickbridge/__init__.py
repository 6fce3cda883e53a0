# SPDX-License-Identifier: Apache-2.0
"""The latest quotes of a tickbridge on the same host, read from shared memory in microseconds, without Redis.

    from tickbridge import LatestTable
    latest = LatestTable("tickbridge")     # [table] shm of the bridge
    quote = latest["MNQZ5"]                # a dict of the same members as in Redis; KeyError if it was never seen
    latest.age("MNQZ5")                    # seconds since its newest tick was received
    latest.alive                           # False: the bridge has shown no sign of life for two seconds, or has ended
    for symbol in latest: ...
    latest.wait(1.0)                       # sleeps until something changes; False after a second without

No compiler, no dependency. Layout: core/shared_table.h and core/latest_table.h, version 1.
Threading: an object may be used by several threads. The mapping is read-only.
"""
import collections.abc
import mmap
import os
import struct
import time

__all__ = ["LatestTable"]

_MAGIC = 0x31656C6261746274
_VERSION = 1
_LAYOUT = struct.Struct("=QIIQQQQQQQ40s")  # SharedTableLayout
_SEQUENCE_BASE = _LAYOUT.size
# SharedTableHeader: lines of 64 bytes behind the layout and the sequence base.
_STATE = (_SEQUENCE_BASE + 8 + 63) // 64 * 64
_SYMBOLS = _STATE + 4
_GENERATION = _STATE + 8
_PID = _STATE + 16
_BEAT = _STATE + 24
_EPOCH = _STATE + 64
_CLOSED, _SUPERSEDED = 2, 3
_NAME_BYTES = 64
_SLOT_BYTES = 192
_SOURCE_BYTES = 64
_SILENT_NS = 2_000_000_000
# A slot: version, dirty and owner, dirty since, exponents, meta, timestamp, received, sequence; quote time, 4 mantissas,
# 3 of padding; trade time, 5 mantissas.
_SLOT = struct.Struct("=QQqQQqqQ QqqqqQQQ Qqqqqq")
_ATTEMPTS = 10_000
# Place of the mantissa in _SLOT, number of the field, and whether it is a price.
_FIELDS = {"Last": (17, 4, True), "Bid": (9, 0, True), "Ask": (10, 1, True), "Volume": (19, 6, False),
           "High": (20, 7, True), "Low": (21, 8, True)}


def _number(mantissa, exponent, is_price):
    """As json.loads makes it of the value in Redis: the nearest float to the exact decimal, an int for a whole size."""
    if exponent >= 0:
        whole = mantissa * 10 ** exponent
        return float(whole) if is_price else whole
    if not is_price and mantissa % 10 ** -exponent == 0:
        return mantissa // 10 ** -exponent
    return float(f"{mantissa}e{exponent}")


class LatestTable(collections.abc.Mapping):
    """A mapping of symbols to their latest quotes."""

    def __init__(self, name="tickbridge"):
        """`name`: as table.shm of the bridge has it, or a path. FileNotFoundError, PermissionError; ValueError: it is no
        table of this version, or of before this host was started."""
        self._path = name if "/" in name else "/dev/shm/" + name
        self._map = None
        self._open()

    def _open(self):
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = os.fstat(descriptor).st_size
            if size < 4096:
                raise ValueError(f"{self._path} is not a shared table")
            memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
        finally:
            os.close(descriptor)
        (magic, version, capacity, file_bytes, _, _, names, lengths, slots, sources, boot) = _LAYOUT.unpack_from(memory)
        if magic != _MAGIC or version != _VERSION or file_bytes != size or max(
                names + capacity * _NAME_BYTES, lengths + capacity, slots + capacity * _SLOT_BYTES,
                sources + 65536 * _SOURCE_BYTES) > size:
            raise ValueError(f"{self._path} is not a shared table of version {_VERSION}")
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            if boot.rstrip(b"\0") != file.read().strip()[:39]:
                raise ValueError(f"{self._path} was written before this host was started")
        self._map, self._capacity, self._names, self._lengths = memory, capacity, names, lengths
        self._slots, self._sources = slots, sources
        self._base = struct.unpack_from("=Q", memory, _SEQUENCE_BASE)[0]
        self._ids = {}

    def refresh(self):
        """Opens the table anew if another bridge has put another one in its place. True if it did."""
        if self._word("=I", _STATE) != _SUPERSEDED:
            return False
        self._open()
        return True

    def _word(self, form, offset):
        return struct.unpack_from(form, self._map, offset)[0]

    def _learn(self):
        for index in range(len(self._ids), min(self._word("=I", _SYMBOLS), self._capacity)):
            at = self._names + index * _NAME_BYTES
            length = min(self._map[self._lengths + index], _NAME_BYTES)
            self._ids[self._map[at:at + length].decode("utf-8", "replace")] = index

    def _slot(self, symbol):
        index = self._ids.get(symbol)
        if index is None:
            self._learn()
            index = self._ids[symbol]
        at = self._slots + index * _SLOT_BYTES
        for _ in range(_ATTEMPTS):
            version = self._word("=Q", at)
            if version & 1 == 0:
                words = _SLOT.unpack_from(self._map, at)
                # x86 and CPython read in program order; the version after the copy tells whether a write overlapped.
                if words[0] == version and self._word("=Q", at) == version:
                    if words[7] == self._base:
                        raise KeyError(symbol)
                    return words
        raise BlockingIOError(f"{symbol}: its writer is in the middle of it"
                              + ("" if self.alive else ", and has shown no sign of life"))

    def __getitem__(self, symbol):
        words = self._slot(symbol)
        exponents, meta = words[3], words[4]
        present = meta >> 8 & 0x1FF
        quote = {}
        for name, (place, field, is_price) in _FIELDS.items():
            if present >> field & 1 == 0:
                quote[name] = None
                continue
            byte = meta & 0xFF if field == 8 else exponents >> 8 * field & 0xFF
            quote[name] = _number(words[place], byte - 256 if byte > 127 else byte, is_price)
        quote["Timestamp"] = words[5] or None
        return quote

    def __iter__(self):
        self._learn()
        for symbol in list(self._ids):
            try:
                self._slot(symbol)
            except (KeyError, BlockingIOError):
                continue
            yield symbol

    def __len__(self):
        return sum(1 for _ in self)

    def __contains__(self, symbol):
        try:
            self._slot(symbol)
        except KeyError:
            return False
        except BlockingIOError:
            pass
        return True

    def sequence(self, symbol):
        """Counts the symbol's ticks; grows across restarts of the bridge."""
        return self._slot(symbol)[7]

    def age(self, symbol):
        """Seconds since the symbol's newest tick was received."""
        return (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - self._slot(symbol)[6]) / 1e9

    def source_age(self, symbol):
        """Seconds since the source of its newest tick was heard of; None if that source is dead."""
        source = self._slot(symbol)[4] >> 32
        at = self._sources + (source & 0xFFFF) * _SOURCE_BYTES
        life, liveness, generation = struct.unpack_from("=qqH", self._map, at)
        if source == 0 or generation != source >> 16:
            return None
        return 0.0 if liveness == 0 else (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - life) / 1e9

    @property
    def generation(self):
        """Of the bridge that writes the table: another one after each restart."""
        return self._word("=Q", _GENERATION)

    @property
    def alive(self):
        """Whether the bridge that writes it showed a sign of life in the last two seconds, and has not ended."""
        beat = self._word("=q", _BEAT)
        return (self._word("=I", _STATE) not in (_CLOSED, _SUPERSEDED)
                and time.clock_gettime_ns(time.CLOCK_MONOTONIC) - beat <= _SILENT_NS)

    def wait(self, timeout):
        """Until some quote has changed since the last call, `timeout` seconds at most. True if one has. (It looks every
        half a millisecond: CPython has no futex.)"""
        deadline = time.monotonic() + timeout
        while True:
            epoch = self._word("=I", _EPOCH)
            if epoch != getattr(self, "_seen", None):
                self._seen = epoch
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.0005)
