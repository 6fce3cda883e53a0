# SPDX-License-Identifier: Apache-2.0
"""The market of the soak: what is sent, the process that sends it, and what Redis must hold after it.

A round of chunks is written down once, a chunk a millisecond; only Timestamps and three digits of every price change
when the round is sent again. So a chunk costs two replacements to send, and what Redis must hold follows from three
numbers (the last snapshot, the first chunk after it, the chunk after the last), long after 200,000 ticks a second have
gone by. `soak.py` compares this short way with model.py, line by line, on a small market.

Symbols differ as those of venues do: a third gives Volume, High and Low itself; a third leaves them to the bridge; a
third does so and writes numbers as strings with eight places. One in twenty is told only in snapshots.
"""
import array
import ctypes
import decimal
import functools
import gc
import itertools
import multiprocessing
import multiprocessing.sharedctypes
import random
import signal
import socket
import time

import model

MEMBERS = ("Last", "Bid", "Ask", "Volume", "High", "Low", "BidSize", "AskSize", "LastSize", "Timestamp")
TOTALS = ("Volume", "High", "Low")
QUOTE, BID, ASK, TRADE = range(4)
TIME_MARK = b"T" * 13
PRICE_MARK = b"@@@"
PRICE_PLACES = 2
SIZE_PLACES = 8
# Sent in one call: fewer wake-ups than one a millisecond.
CHUNKS_PER_SEND = 4
CHUNKS_PER_SEND_MAX = 16
# A feed that was held up longer does not send what the market did meanwhile.
BACKLOG_CHUNKS_MAX = 100


def price_digits(chunk):
    return chunk * 7 % 1000


def decimal_of(scaled, places):
    return None if scaled is None else decimal.Decimal(scaled).scaleb(-places)


class Market:
    def __init__(self, seed, symbols, rate, round_chunks=512):
        self.seed = seed
        self.names = [f"S{i:05}" for i in range(symbols)]
        self.keys = [f"price:{name}:latest".encode() for name in self.names]
        self.sleeping = [i % 20 == 19 for i in range(symbols)]
        self.counts_itself = [i % 3 == 0 for i in range(symbols)]
        self.round_chunks = round_chunks
        self.started_ms = time.time_ns() // 1_000_000
        rng = random.Random(seed)
        self.prefix = [rng.randrange(1, 100) for _ in self.names]
        self._make_round(rng, rate)
        self._make_ages()

    # ---- What is sent.

    def _make_round(self, rng, rate):
        awake = [i for i, sleeping in enumerate(self.sleeping) if not sleeping]
        size = rate // 1000
        if not 1 <= size <= len(awake):
            raise SystemExit(f"--rate must give 1 to {len(awake)} ticks a millisecond to {len(self.names)} symbols")
        # A few symbols have most of the ticks; within a chunk each is told once, so that every tick has a newer time.
        order = rng.sample(awake, len(awake))
        weights = list(itertools.accumulate(1 / (rank + 20) for rank in range(len(order))))
        chosen = []
        for _ in range(self.round_chunks):
            chunk = {}
            while len(chunk) < size:
                chunk.update(dict.fromkeys(rng.choices(order, cum_weights=weights, k=size - len(chunk))))
            chosen.append(chunk)
        told = set().union(*chosen)
        for symbol in awake:
            if symbol not in told:
                rng.choice(chosen)[symbol] = None
        self.ticks = [[self._tick(rng, symbol) for symbol in chunk] for chunk in chosen]
        self.texts = [b"".join(map(self._text, chunk)) for chunk in self.ticks]

    def _tick(self, rng, symbol):
        kind = rng.choices((QUOTE, BID, ASK, TRADE), (55, 10, 10, 25))[0]
        sizes = [rng.randrange(1, 10**9) if symbol % 3 == 2 else rng.randrange(1, 500) * 10**SIZE_PLACES for _ in "ab"]
        return symbol, kind, rng.randrange(50), rng.randrange(50, 100), sizes[0], sizes[1]

    def _price(self, symbol, cents, digits):
        text = f"{self.prefix[symbol]}{digits}.{cents:0{PRICE_PLACES}}"
        return f'"{text}000000"' if symbol % 3 == 2 else text

    def _size(self, symbol, size):
        whole, rest = divmod(size, 10**SIZE_PLACES)
        return f'"{whole}.{rest:0{SIZE_PLACES}}"' if symbol % 3 == 2 else f"{whole}"

    def _fields(self, tick, digits):
        symbol, kind, low, high, size, other = tick
        bid = f'"Bid":{self._price(symbol, low, digits)},"BidSize":{self._size(symbol, size)}'
        ask = f'"Ask":{self._price(symbol, high, digits)},"AskSize":{self._size(symbol, other)}'
        last = f'"Last":{self._price(symbol, low, digits)},"LastSize":{self._size(symbol, size)}'
        return {QUOTE: f"{bid},{ask}", BID: bid, ASK: ask, TRADE: last}[kind]

    def _text(self, tick):
        fields = self._fields(tick, PRICE_MARK.decode())
        return f'{{"symbol":"{self.names[tick[0]]}",{fields},"Timestamp":{TIME_MARK.decode()}}}\n'.encode()

    def chunk(self, chunk, time_ms):
        text = self.texts[chunk % self.round_chunks]
        return text.replace(TIME_MARK, b"%d" % time_ms).replace(PRICE_MARK, b"%03d" % price_digits(chunk))

    def chunk_lines(self, chunk):
        return len(self.ticks[chunk % self.round_chunks])

    def snapshot(self, number, time_ms):
        """Every field of every symbol: whatever was told, lost or half-known before, the value is exact after it. Where
        the bridge counts Volume, High and Low, a reset before it makes those the trade's own."""
        return self.snapshot_text(number).replace(TIME_MARK, b"%d" % time_ms)

    @functools.lru_cache(1)
    def snapshot_text(self, number):
        rng = random.Random(f"{self.seed}/{number}")
        lines = []
        for symbol, name in enumerate(self.names):
            tick = self._tick(rng, symbol)
            digits = f"{rng.randrange(1000):03}"
            quote, trade = (self._fields((symbol, kind, *tick[2:]), digits) for kind in (QUOTE, TRADE))
            totals = ""
            if self.counts_itself[symbol]:
                totals = f',"Volume":{rng.randrange(10**9)},"High":{self.prefix[symbol] + 1}000.5,"Low":0.25'
            else:
                lines.append(f'{{"symbol":"{name}","reset":true}}')
            lines.append(f'{{"symbol":"{name}",{quote},{trade}{totals},"Timestamp":{TIME_MARK.decode()}}}')
        return ("\n".join(lines) + "\n").encode()

    def snapshot_lines(self):
        return len(self.names) + self.counts_itself.count(False)

    # ---- What Redis must hold.

    def time_ms(self, chunk, snapshots):
        """Of the chunk, or of the snapshot before it, after so many snapshots: newer than all that was sent before."""
        return self.started_ms + chunk + snapshots

    def expected(self, sent):
        """The value of each symbol, without Sequence, after the last snapshot and all chunks since."""
        symbols = self._after_snapshot(sent)
        sides = self._newest_sides(sent)
        totals = self._totals(sent)
        for symbol, state in enumerate(symbols):
            for price, size, (cents, amount, stamp) in sides[symbol]:
                state.fields[price] = decimal_of(cents, PRICE_PLACES)
                state.fields[size] = decimal_of(amount, SIZE_PLACES)
                state.timestamp = max(state.timestamp, stamp)
            if symbol in totals:
                high, low, volume = totals[symbol]
                state.fields["High"] = max(state.fields["High"], decimal_of(high, PRICE_PLACES))
                state.fields["Low"] = min(state.fields["Low"], decimal_of(low, PRICE_PLACES))
                state.fields["Volume"] += decimal_of(volume, SIZE_PLACES)
        return [state.text(MEMBERS).encode() for state in symbols]

    def _after_snapshot(self, sent):
        replayed = model.Model().replay(self.snapshot(sent.snapshots - 1, sent.snapshot_ms).splitlines())
        return [replayed.symbols[name] for name in self.names]

    def _cents(self, symbol, chunk, cents):
        return (self.prefix[symbol] * 1000 + price_digits(chunk)) * 100 + cents

    def _newest_sides(self, sent):
        """Per symbol: its newest bid, ask and trade."""
        newest = [{} for _ in self.names]
        for chunk in range(max(sent.first_chunk, sent.chunks - self.round_chunks), sent.chunks):
            stamp = self.time_ms(chunk, sent.snapshots)
            for symbol, kind, low, high, size, other in self.ticks[chunk % self.round_chunks]:
                if kind in (QUOTE, BID):
                    newest[symbol]["Bid", "BidSize"] = (chunk, low, size, stamp)
                if kind in (QUOTE, ASK):
                    newest[symbol]["Ask", "AskSize"] = (chunk, high, other, stamp)
                if kind == TRADE:
                    newest[symbol]["Last", "LastSize"] = (chunk, low, size, stamp)
        return [[(*names, (self._cents(symbol, chunk, cents), size, stamp))
                 for names, (chunk, cents, size, stamp) in sides.items()] for symbol, sides in enumerate(newest)]

    def _totals(self, sent):
        """Per symbol whose trades the bridge counts: the highest and lowest price, and the sum of sizes."""
        sendings = [[] for _ in range(self.round_chunks)]
        for chunk in range(sent.first_chunk, sent.chunks):
            sendings[chunk % self.round_chunks].append(price_digits(chunk))
        totals = {}
        for ticks, digits in zip(self.ticks, sendings):
            if not digits:
                continue
            highest, lowest = max(digits), min(digits)
            for symbol, kind, cents, _, size, _ in ticks:
                if kind != TRADE or self.counts_itself[symbol]:
                    continue
                base = self.prefix[symbol] * 1000
                high, low, volume = totals.get(symbol, (0, 1 << 62, 0))
                totals[symbol] = (max(high, (base + highest) * 100 + cents), min(low, (base + lowest) * 100 + cents),
                                  volume + size * len(digits))
        return totals

    def _make_ages(self):
        """How many chunks ago each symbol was last told, for each place in the round."""
        never = 1 << 40
        last = [-never] * len(self.names)
        self.ages = [None] * self.round_chunks
        for chunk in range(2 * self.round_chunks):
            for tick in self.ticks[chunk % self.round_chunks]:
                last[tick[0]] = chunk
            if chunk >= self.round_chunks:
                self.ages[(chunk + 1) % self.round_chunks] = array.array("q", (chunk - seen for seen in last))

    def newest_times_ms(self, sent):
        """Of each symbol: the time of the last tick that was sent."""
        newest = self.time_ms(sent.chunks - 1, sent.snapshots)
        return [max(sent.snapshot_ms, newest - age) for age in self.ages[sent.chunks % self.round_chunks]]


class Sent(ctypes.Structure):
    """What the generator has sent, shared with whoever started it. One writer: the generator."""
    _fields_ = [(name, ctypes.c_int64) for name in (
        "chunks",             # sent, or lost with a connection: the next one has this number
        "snapshots",
        "snapshot_ms",        # of the last snapshot: its Timestamp
        "first_chunk",        # after the last snapshot
        "connections",
        "connection_ms",      # Timestamp of the first chunk or snapshot on this connection
        "connection_lines",   # sent whole on this connection
        "lines",
        "bytes",
        "flowing_ns",         # how long it was connected and told to send
    )]


class Generator:
    """The process that sends the market to the bridge, and connects again when that is gone."""

    def __init__(self, market, path, deadline_s):
        self.market = market
        self.path = path
        self.deadline_s = deadline_s
        self.sent = multiprocessing.sharedctypes.RawValue(Sent)
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=self._serve, args=(theirs, self.pipe), daemon=True)
        self.process.start()
        theirs.close()

    # ---- The side of the test. Each call returns when the generator has done it.

    def _call(self, command):
        self.pipe.send(command)
        if not self.pipe.poll(self.deadline_s):
            raise AssertionError(f"the generator did not {command} within {self.deadline_s} s: the feed takes nothing")
        return self.pipe.recv()

    def flow(self):
        self._call("flow")

    def pause(self):
        self._call("pause")

    def snapshot(self):
        """Between two chunks, on a living connection."""
        self._call("snapshot")

    def snapshot_when_connected(self):
        """The next connection begins with a snapshot."""
        self._call("snapshot when connected")

    def close(self):
        self.pipe.close()
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    # ---- The process.

    def _serve(self, pipe, theirs):
        theirs.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()
        self.socket = None
        self.snapshot_first = False
        flowing = False
        try:
            while True:
                if not flowing or pipe.poll():
                    command = pipe.recv()
                    if command == "snapshot when connected":
                        self.snapshot_first = True
                        self.market.snapshot_text(self.sent.snapshots)  # now, not when the bridge is back
                    elif command == "snapshot":
                        self._snapshot()
                    else:
                        flowing = command == "flow"
                    self._anchor()
                    pipe.send("done")
                elif self.socket is None and not self._connect():
                    time.sleep(0.001)
                else:
                    self._step()
        except (EOFError, BrokenPipeError):
            pass  # whoever started us is done

    def _anchor(self):
        self.anchor_ns = self.stepped_ns = time.monotonic_ns()
        self.due_chunk = self.sent.chunks

    def _connect(self):
        attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            attempt.connect(self.path)
        except OSError:
            attempt.close()
            return False
        self.socket = attempt
        self.sent.connection_lines = 0
        self.sent.connection_ms = self.market.time_ms(self.sent.chunks, self.sent.snapshots)
        self.sent.connections += 1
        if self.snapshot_first:
            self.snapshot_first = False
            self._snapshot()
        self._anchor()
        return True

    def _send(self, data, lines):
        try:
            self.socket.sendall(data)
        except OSError:
            self.socket.close()
            self.socket = None
            return False
        self.sent.lines += lines
        self.sent.connection_lines += lines
        self.sent.bytes += len(data)
        return True

    def _snapshot(self):
        sent = self.sent
        while True:
            if self.socket is None and not self._connect():
                time.sleep(0.001)
                continue
            stamp = self.market.time_ms(sent.chunks, sent.snapshots)
            if self._send(self.market.snapshot(sent.snapshots, stamp), self.market.snapshot_lines()):
                break
        sent.first_chunk = sent.chunks
        sent.snapshot_ms = stamp
        sent.snapshots += 1

    def _step(self):
        now = time.monotonic_ns()
        due = self.due_chunk + (now - self.anchor_ns) // 1_000_000 - self.sent.chunks
        if due > BACKLOG_CHUNKS_MAX:
            self.due_chunk -= due - BACKLOG_CHUNKS_MAX
        if due < CHUNKS_PER_SEND:
            time.sleep((CHUNKS_PER_SEND - due) / 1000)
        else:
            chunks = range(self.sent.chunks, self.sent.chunks + min(due, CHUNKS_PER_SEND_MAX))
            data = [self.market.chunk(c, self.market.time_ms(c, self.sent.snapshots)) for c in chunks]
            self._send(b"".join(data), sum(map(self.market.chunk_lines, chunks)))
            self.sent.chunks = chunks.stop
        now = time.monotonic_ns()
        self.sent.flowing_ns += now - self.stepped_ns
        self.stepped_ns = now
