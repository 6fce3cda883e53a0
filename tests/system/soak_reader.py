# SPDX-License-Identifier: Apache-2.0
"""Readers of the soak, on bare sockets: a client library takes longer to parse 2,000 values than Redis to give them."""
import collections
import ctypes
import multiprocessing
import multiprocessing.sharedctypes
import os
import re
import signal
import socket
import time

import soak_market

STAMP = re.compile(rb'"Timestamp":(\d+),"Sequence":(\d+)\}\r|(\$-1)\r')
VALUE = re.compile(rb'(\{[^\r]*\})\r|(\$-1)\r')
NULL = re.compile(rb'"(\w+)":null')
END = b"+PONG\r\n"
POLL_S = 0.005
EXAMPLES_MAX = 20


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Connection:
    """Asks for many keys at once. Any error ends it: `ConnectionError`, and the next request connects again."""

    def __init__(self, path, keep_waiting=lambda: True):
        self.path = path
        self.keep_waiting = keep_waiting  # asked every so often while Redis does not answer
        self.socket = None
        self.connects = 0

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def request(self, data, end):
        """Sends, and reads until the answer ends so."""
        try:
            if self.socket is None:
                self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.socket.settimeout(0.5)
                self.socket.connect(self.path)
                self.connects += 1
            rest = memoryview(data)
            while rest:
                rest = rest[self._wait(lambda: self.socket.send(rest)):]
            received = bytearray()
            while not received.endswith(end):
                part = self._wait(lambda: self.socket.recv(1 << 20))
                if not part:
                    raise ConnectionError("closed")
                received += part
            return received
        except OSError as error:
            self.close()
            raise ConnectionError(str(error)) from error

    def _wait(self, call):
        while True:
            try:
                return call()
            except TimeoutError:
                if not self.keep_waiting():
                    raise

    def mget(self, keys):
        return self.request(command(b"MGET", *keys) + command(b"PING"), END)

    def times_ms(self, keys):
        """Timestamps; -1 for what is absent."""
        return [int(stamp) if stamp else -1 for stamp, _, _ in STAMP.findall(self.mget(keys))]

    def values(self, keys):
        return [value or None for value, _ in VALUE.findall(self.mget(keys))]

    def answers(self):
        try:
            return bool(self.request(command(b"PING"), END))
        except ConnectionError:
            return False


class Seen(ctypes.Structure):
    """What the reader saw, shared with whoever started it."""
    _fields_ = [(name, ctypes.c_int64) for name in (
        "fault",         # written by the test: what it is doing, so that a violation can be put to its account
        "stop",          # written by the test
        "polls", "values", "connects", "violations", "gap_ns_max")]


class Reader:
    """A process that reads all keys all the time, as a strategy would, and remembers the newest of each for ever: also
    when Redis was killed and its keys are gone, what comes back must not be older than what was there."""

    def __init__(self, market, path):
        self.market = market
        self.path = path
        self.seen = multiprocessing.sharedctypes.RawValue(Seen)
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=self._watch, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def finish(self):
        """(count by (fault, kind of violation), examples)."""
        self.seen.stop = 1
        result = self.pipe.recv() if self.pipe.poll(30) else None
        self.close()
        if result is None:
            raise AssertionError("the reader did not end")
        return result

    def close(self):
        self.seen.stop = 1
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _watch(self, pipe):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        keys = self.market.keys
        seen = self.seen
        connection = Connection(self.path, lambda: not seen.stop)
        self.newest = [(0, 0)] * len(keys)
        self.violations = collections.Counter()
        self.examples = []
        polled_ns = time.monotonic_ns()
        parent = os.getppid()
        while not seen.stop and os.getppid() == parent:
            try:
                answer = connection.mget(keys)
            except ConnectionError:
                time.sleep(0.001)
                continue
            self._check(answer)
            now = time.monotonic_ns()
            seen.gap_ns_max = max(seen.gap_ns_max, now - polled_ns)
            polled_ns = now
            seen.polls += 1
            seen.connects = connection.connects
            time.sleep(POLL_S)
        connection.close()
        pipe.send((self.violations, self.examples))

    def _check(self, answer):
        stamps = STAMP.findall(answer)
        if len(stamps) != len(self.newest):
            return self._violation("malformed", f"{len(stamps)} values of {len(self.newest)}: {bytes(answer[:300])}")
        newest = self.newest
        for i, (stamp, sequence, absent) in enumerate(stamps):
            if absent:
                continue
            now = (int(stamp), int(sequence))
            before = newest[i]
            if now == before:
                continue
            self.seen.values += 1
            if now[0] < before[0]:
                self._violation("Timestamp back", f"{self.market.names[i]}: {before} then {now}")
            if now[1] < before[1]:
                self._violation("Sequence back", f"{self.market.names[i]}: {before} then {now}")
            newest[i] = (max(now[0], before[0]), max(now[1], before[1]))
        if b"null" in answer:
            self._check_nulls(answer)

    def _check_nulls(self, answer):
        """Every field of every symbol has been told, and none is ever cleared but by the resets of a snapshot."""
        for i, (value, _) in enumerate(VALUE.findall(answer)):
            names = {name.decode() for name in NULL.findall(value)}
            if not self.market.counts_itself[i]:
                names -= set(soak_market.TOTALS)
            if names:
                self._violation("field lost", f"{self.market.names[i]}: {value.decode()}")

    def _violation(self, kind, text):
        self.violations[self.seen.fault, kind] += 1
        self.seen.violations += 1
        if len([e for e in self.examples if e[1] == kind]) < EXAMPLES_MAX:
            self.examples.append((self.seen.fault, kind, text))
