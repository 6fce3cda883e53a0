# SPDX-License-Identifier: Apache-2.0
"""The latest quotes of a tickbridge on the same host, read from shared memory in microseconds, without Redis.

    from tickbridge import LatestTable
    latest = LatestTable("tickbridge")     # [table] shm of the bridge
    quote = latest["MNQZ5"]                # a dict of the same members as in Redis; KeyError if it was never seen
    latest.age("MNQZ5")                    # seconds since its newest tick was received
    latest.alive                           # False: the bridge has shown no sign of life for two seconds, or has ended
    for symbol in latest: ...
    latest.wait(1.0)                       # sleeps until something changes; False after a second without

No compiler, no dependency. Layout: core/shared_table.h and core/latest_table.h, version 2 (x86-64).
Threading: an object may be used by several threads, refresh() included: each call works with one table from its begin to
its end, the old one or the new one. A symbol of the old one need not be in the new one (KeyError). The mapping is read-only.
"""
import collections.abc
import mmap
import os
import stat
import struct
import threading
import time

__all__ = ["LatestTable"]

_MAGIC = 0x31656C6261746274
_VERSION = 2
_LAYOUT = struct.Struct("=QIIQQQQQQQQ40s")  # SharedTableLayout
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
_MASK = (1 << 64) - 1
# A slot, and its snapshot: version, quote meta, received, quote time, 4 mantissas; clock, 56 bytes that are not ours;
# trade time, 5 mantissas, trade meta, sequence offset.
_SLOT = struct.Struct("=QQqQ4q q56x Q5qQQ")
_WORD = struct.Struct("=Q")
_ATTEMPTS = 10_000
_EXACT = 1 << 53  # up to here an integer is a float, and so is 10^22: one division of both is rounded once
_POWERS = [float(10 ** n) for n in range(23)]


def _number(mantissa, bits, is_price):
    """As json.loads makes it of the value in Redis: the nearest float to the exact decimal, an int for a whole size.
    `bits`: the exponent + 18."""
    if bits >= 18:
        whole = mantissa * 10 ** (bits - 18)
        return float(whole) if is_price else whole
    if not is_price and mantissa % 10 ** (18 - bits) == 0:
        return mantissa // 10 ** (18 - bits)
    if -_EXACT <= mantissa <= _EXACT:
        return mantissa / _POWERS[18 - bits]
    return float(f"{mantissa}e{bits - 18}")


class _View:
    """One table file, as it was opened. Nothing of it changes but `ids`, which only grows, by whatever thread, to the same."""
    __slots__ = ("path", "map", "capacity", "names", "lengths", "slots", "snapshots", "sources", "base", "ids", "file", "mark")

    def __init__(self, path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            size = status.st_size
            if size < 4096:
                raise ValueError(f"{path} is not a shared table")
            if status.st_mode & stat.S_IWOTH:
                raise ValueError(f"{path}: everybody may write it, so anybody could say a price; its mode must be 0640")
            memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
        finally:
            os.close(descriptor)
        (magic, version, capacity, file_bytes, _, _, names, lengths, slots, snapshots, sources, boot) = _LAYOUT.unpack_from(memory)
        if magic != _MAGIC or version != _VERSION or file_bytes != size or max(
                names + capacity * _NAME_BYTES, lengths + capacity, slots + capacity * _SLOT_BYTES,
                snapshots + capacity * _SLOT_BYTES, sources + 65536 * _SOURCE_BYTES) > size:
            raise ValueError(f"{path} is not a shared table of version {_VERSION}")
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            if boot.rstrip(b"\0") != file.read().strip()[:39]:
                raise ValueError(f"{path} was written before this host was started")
        self.path, self.map, self.capacity, self.names, self.lengths = path, memory, capacity, names, lengths
        self.slots, self.snapshots, self.sources = slots, snapshots, sources
        self.base = self.word("=Q", _SEQUENCE_BASE)
        self.ids = {}
        self.file = status.st_dev, status.st_ino
        self.mark = object()  # tells it from every other view, without keeping its mapping

    def word(self, form, offset):
        return struct.unpack_from(form, self.map, offset)[0]

    def is_replaced(self):
        """Whether its path names another file. Its own number is not given away while it is mapped."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) != self.file

    def life(self):
        state = self.word("=I", _STATE)
        if state == _SUPERSEDED:
            return "superseded"
        beat = self.word("=q", _BEAT)
        if state != _CLOSED and time.clock_gettime_ns(time.CLOCK_MONOTONIC) - beat <= _SILENT_NS:
            return "alive"
        # A bridge that was killed before it could mark this table, or whose file somebody removed: nobody says so here.
        return "superseded" if self.is_replaced() else "closed" if state == _CLOSED else "silent"

    def learn(self):
        for index in range(len(self.ids), min(self.word("=I", _SYMBOLS), self.capacity)):
            at = self.names + index * _NAME_BYTES
            length = min(self.map[self.lengths + index], _NAME_BYTES)
            self.ids[self.map[at:at + length].decode("utf-8", "replace")] = index

    def slot(self, symbol):
        """The words of the symbol's slot, never torn: CPython on x86-64 reads in program order, so the same even version
        before and after them says that no write overlapped."""
        index = self.ids.get(symbol)
        if index is None:
            self.learn()
            index = self.ids[symbol]
        at = self.slots + index * _SLOT_BYTES
        words = _SLOT.unpack_from(self.map, at)
        version = words[0]
        if version & 1 or _WORD.unpack_from(self.map, at)[0] != version:
            words = self.contended(symbol, index)
            version = words[0]
        if words[16] + (version >> 1) & _MASK == self.base:
            raise KeyError(symbol)
        return words

    def contended(self, symbol, index):
        """The slot, or its snapshot if one was taken and is no older than the slot is now: see core/latest_table.h."""
        snapshot, slot = self.snapshots + index * _SLOT_BYTES, self.slots + index * _SLOT_BYTES
        newest = _WORD.unpack_from(self.map, slot)[0] & ~1
        for _ in range(_ATTEMPTS):
            for at, least in (snapshot, max(newest, 2)), (slot, newest):
                words = _SLOT.unpack_from(self.map, at)
                version = words[0]
                if version >= least and version & 1 == 0 and _WORD.unpack_from(self.map, at)[0] == version:
                    return words
        raise BlockingIOError(f"{symbol}: its writer is in the middle of it"
                              + ("" if self.life() == "alive" else ", and has shown no sign of life"))


class LatestTable(collections.abc.Mapping):
    """A mapping of symbols to their latest quotes."""

    def __init__(self, name="tickbridge"):
        """`name`: as table.shm of the bridge has it, or a path. FileNotFoundError, PermissionError; ValueError: it is no
        table of this version, or of before this host was started, or everybody may write it."""
        # Put in place by one assignment; who reads takes it once.
        self._view = _View(name if "/" in name else "/dev/shm/" + name)
        self._refreshing = threading.Lock()
        self._seen = threading.local()

    def refresh(self):
        """Opens the table anew if there is another one in its place (`life` is "superseded"): the next bridge made it, or
        somebody had removed the file. True if it did. Errors: as those of LatestTable(); the old table stays then."""
        with self._refreshing:  # or the slower of two threads could put the older table in place
            view = self._view
            if view.life() != "superseded":
                return False
            self._view = _View(view.path)
            return True

    def __getitem__(self, symbol):
        (_, quote_meta, _, quote_time, bid, ask, _, _, clock,
         trade_time, last, _, volume, high, low, trade_meta, _) = self._view.slot(symbol)
        if quote_meta & 0x10000000 == 0:
            clock = (quote_time if quote_time > trade_time else trade_time) // 1_000_000
        # The exponents take six bits each; the lowest bits say which fields are there.
        return {"Last": _number(last, trade_meta >> 5 & 63, True) if trade_meta & 1 else None,
                "Bid": _number(bid, quote_meta >> 4 & 63, True) if quote_meta & 1 else None,
                "Ask": _number(ask, quote_meta >> 10 & 63, True) if quote_meta & 2 else None,
                "Volume": _number(volume, trade_meta >> 17 & 63, False) if trade_meta & 4 else None,
                "High": _number(high, trade_meta >> 23 & 63, True) if trade_meta & 8 else None,
                "Low": _number(low, trade_meta >> 29 & 63, True) if trade_meta & 16 else None,
                "Timestamp": clock or None}

    def __iter__(self):
        view = self._view
        view.learn()
        for symbol in list(view.ids):
            try:
                view.slot(symbol)
            except (KeyError, BlockingIOError):
                continue
            yield symbol

    def __len__(self):
        return sum(1 for _ in self)

    def __contains__(self, symbol):
        try:
            self._view.slot(symbol)
        except KeyError:
            return False
        except BlockingIOError:
            pass
        return True

    def sequence(self, symbol):
        """Counts the symbol's ticks. Grows across restarts of the bridge, but begins anew where one was killed in
        the middle of a write."""
        words = self._view.slot(symbol)
        return words[16] + (words[0] >> 1) & _MASK

    def age(self, symbol):
        """Seconds since the symbol's newest tick was received."""
        return (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - self._view.slot(symbol)[2]) / 1e9

    def source_age(self, symbol):
        """Seconds since the source of its newest tick was heard of; None if that source is dead."""
        view = self._view
        source = view.slot(symbol)[1] >> 32
        at = view.sources + (source & 0xFFFF) * _SOURCE_BYTES
        life, liveness, generation = struct.unpack_from("=qqH", view.map, at)
        if source == 0 or generation != source >> 16:
            return None
        return 0.0 if liveness == 0 else (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - life) / 1e9

    @property
    def generation(self):
        """Of the bridge that writes the table: another one after each restart."""
        return self._view.word("=Q", _GENERATION)

    @property
    def life(self):
        """"alive"; "silent": no sign of life for two seconds; "closed": its bridge has ended, and the next one takes the
        table over; "superseded": another table took its place, refresh(). Looks at the file's path while it is not alive."""
        return self._view.life()

    @property
    def alive(self):
        """Whether the bridge that writes it showed a sign of life in the last two seconds, and has not ended."""
        return self.life == "alive"

    def wait(self, timeout):
        """Until some quote has changed since this thread's last call, `timeout` seconds at most. True if one has: also at
        the first call, and at the first one after another table took its place. (It looks every half a millisecond: CPython
        has no futex.)"""
        deadline = time.monotonic() + timeout
        while True:
            view = self._view
            # Two tables may have counted as far: an epoch stands for its own table only.
            now = view.mark, view.word("=I", _EPOCH)
            if now != getattr(self._seen, "epoch", None):
                self._seen.epoch = now
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.0005)
