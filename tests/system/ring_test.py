# SPDX-License-Identifier: Apache-2.0
"""The shared-memory ring with the real binary: the examples, and whatever can happen to either end or to the file."""
import ctypes
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import unittest

import harness
from bridge_case import BridgeCase

BUILD = pathlib.Path(harness.TICKBRIDGE).parents[1]
LIBRARY = BUILD / "libtickbridge_publisher.so"
STATIC = BUILD / "libtickbridge_publisher.a"
EXAMPLES = harness.ROOT / "examples"
SYMBOLS = 20
KILLS = 1000
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Places in the header, see feed/ring.h.
VERSION_AT = 8
TAIL_AT = 256


def loads():
    """A library built with a sanitizer does not go into a foreign process."""
    return subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(LIBRARY)!r})"],
                          stderr=subprocess.DEVNULL).returncode == 0


@unittest.skipUnless(loads(), f"{LIBRARY} cannot be loaded: not built, or with a sanitizer")
class RingCase(BridgeCase):
    def setUp(self):
        super().setUp()
        self.server()
        self.ring = os.path.join(self.folder, "a.ring")
        self.addCleanup(self._remove_counters, f"/dev/shm/{self.instance}*")

    def compile(self, source, output, *arguments, compiler=("gcc", "-std=c11")):
        path = os.path.join(self.folder, output)
        subprocess.run([*compiler, *WARNINGS, "-O1", f"-I{harness.ROOT / 'feed'}", str(source), "-o", path, *arguments],
                       check=True)
        return path

    def shared(self):
        return [str(LIBRARY), f"-Wl,-rpath,{BUILD}"]

    def ring_bridge(self, feed=None, table="", options=""):
        feeds = f'[feed.ring]\ntype = "shm"\n{feed or f"path = {json.dumps(self.ring)}"}\n'
        return self.bridge(feeds=f'[table]\nmax_symbols = 1024\nshm = "{table}"\n{options}{feeds}')

    def source(self, first=1):
        """Publishes until it is killed."""
        if not hasattr(self, "program"):
            self.program = self.compile(harness.ROOT / "tests/system/ring_source.c", "source", *self.shared())
        process = subprocess.Popen([self.program, self.ring, str(SYMBOLS), str(first)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def ready(self, process):
        line = process.stdout.readline()
        self.assertEqual(line, "ready\n", None if line else process.stderr.read())
        return process

    def quiet(self, process):
        """Its last n and number of trades, when all that it had is in the ring."""
        process.send_signal(signal.SIGTERM)
        n, trades = process.stdout.readline().split()
        return int(n), int(trades)

    def value(self, symbol):
        text = self.redis.client.get(f"price:{symbol}:latest")
        return json.loads(text) if text else None

    def wait_value(self, symbol, field, value):
        seen = None

        def same():
            nonlocal seen
            seen = self.value(symbol)
            return seen and seen[field] == value
        try:
            harness.wait_until(same, f"{symbol} has {field} {value}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen}; {(self.stats() or {}).get('feed')}") from None

    def wait_log(self, bridge, text):
        try:
            harness.wait_until(lambda: text in bridge.errors(), f"the log says {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {bridge.errors()[-2000:]}") from None

    def wait_all(self, n):
        for i in range(SYMBOLS):
            self.wait_value(f"S{i}", "Bid", float(n))

    def tail(self):
        with open(self.ring, "rb") as f:
            f.seek(TAIL_AT)
            return struct.unpack("<Q", f.read(8))[0]

    def write_at(self, offset, data):
        with open(self.ring, "r+b") as f:
            f.seek(offset)
            f.write(data)


class Examples(RingCase):
    def run_example(self, *command):
        result = subprocess.run([*command, self.ring, "100"], capture_output=True, text=True,
                                env={**os.environ, "TICKBRIDGE_PUBLISHER": str(LIBRARY)})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("published", result.stdout)

    def check_c(self):
        self.wait_value("BTCUSDT", "Last", 97124.09)
        self.wait_value("MNQZ5", "Volume", 12345)
        value = self.value("MNQZ5")
        self.assertEqual((value["Bid"], value["Ask"]), (None, 21025.0))
        harness.wait_until(lambda: self.redis.client.get("hft:positions:PA1:all") ==
                           b'{"positions":[{"symbol":"MNQZ5","qty":2}]}', "the document")

    def test_c_with_the_shared_library(self):
        bridge = self.ring_bridge()
        self.run_example(self.compile(EXAMPLES / "publisher.c", "c", *self.shared()))
        self.check_c()
        self.stop(bridge)

    def test_c_with_the_static_library(self):
        bridge = self.ring_bridge()
        self.run_example(self.compile(EXAMPLES / "publisher.c", "c", str(STATIC), "-lstdc++", "-lm"))
        self.check_c()
        self.stop(bridge)

    def test_cpp(self):
        bridge = self.ring_bridge()
        self.run_example(self.compile(EXAMPLES / "publisher.cc", "cpp", *self.shared(), compiler=("g++", "-std=c++20")))
        self.wait_value("ESZ5", "Last", 5001.24)
        self.assertEqual(self.value("ESZ5")["Volume"], 100)
        self.stop(bridge)

    def test_python(self):
        bridge = self.ring_bridge()
        self.run_example(sys.executable, str(EXAMPLES / "publisher.py"))
        self.wait_value("NQZ5", "Volume", 100)
        self.assertEqual(self.value("NQZ5")["Bid"], 21024.75)
        self.stop(bridge)

    def test_synth(self):
        bridge = self.ring_bridge()
        result = harness.run("synth", "--shm", self.ring, "--symbols", "10", "--count", "2000", "--rate", "20000",
                             "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["ticks"], 2000)
        harness.wait_until(lambda: self.stats()["feed"]["ring"]["accepted"] == 2000, "all of them")
        harness.wait_until(lambda: len(self.redis.client.keys("price:*")) == 10, "every symbol")
        self.stop(bridge)

    def test_only_the_c_functions_are_visible(self):
        names = subprocess.run(["nm", "-D", "--defined-only", str(LIBRARY)], check=True, capture_output=True,
                               text=True).stdout.split("\n")
        ours = {name.split()[-1] for name in names if name and "tickbridge" in name}
        self.assertEqual(ours, set())


class Options(ctypes.Structure):
    """tbp_options, and what a later release may add to it."""
    _fields_ = [("size", ctypes.c_size_t), ("max_symbols", ctypes.c_uint32), ("guard_sigbus", ctypes.c_uint32),
                ("ring_bytes", ctypes.c_uint64), ("group", ctypes.c_char_p), ("pending_documents_max", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("later", ctypes.c_uint64)]


class Abi(RingCase):
    FULL, INVALID = -1, -2

    def setUp(self):
        super().setUp()
        self.library = ctypes.CDLL(str(LIBRARY))
        self.library.tbp_open.restype = ctypes.c_void_p

    def open(self, options=None):
        error = ctypes.create_string_buffer(512)
        handle = self.library.tbp_open(self.ring.encode(), options and ctypes.byref(options), error, len(error))
        return ctypes.c_void_p(handle), error.value.decode()

    def test_null_is_an_error_and_no_crash(self):
        library = self.library
        self.assertEqual(library.tbp_open(None, None, None, 0), None)
        handle, error = self.open()
        self.assertTrue(handle, error)
        tick = ctypes.create_string_buffer(1024)
        for publisher in (handle, None):
            symbol = library.tbp_declare(publisher, b"S")
            self.assertEqual(symbol, 0 if publisher else self.INVALID)
            self.assertEqual(library.tbp_declare(publisher, None), self.INVALID)
            self.assertEqual(library.tbp_publish(publisher, 0, None), self.INVALID)
            self.assertEqual(library.tbp_publish(publisher, -1, tick), self.INVALID)
            self.assertEqual(library.tbp_publish_document(publisher, None, None, 0, b"1", 1, 0), self.INVALID)
            self.assertEqual(library.tbp_publish_document(publisher, b"positions", None, 1, b"1", 1, 0), self.INVALID)
            library.tbp_get_counts(publisher, None)
        self.assertEqual(library.tbp_publish(None, 0, tick), self.INVALID)
        self.assertEqual(library.tbp_publish_trade(None, 0, ctypes.c_int64(1), 0, ctypes.c_int64(1), 0,
                                                   ctypes.c_uint64(0)), self.INVALID)
        self.assertEqual(library.tbp_reset(None, 0), self.INVALID)
        self.assertEqual(library.tbp_heartbeat(None), self.INVALID)
        self.assertEqual(library.tbp_publish_document(None, b"positions", None, 0, b"1", 1, 0), self.INVALID)
        self.assertEqual(library.tbp_parse_decimal(None, tick), self.INVALID)
        self.assertEqual(library.tbp_parse_decimal(b"1", None), self.INVALID)
        library.tbp_close(None)
        library.tbp_close(handle)

    def test_options_of_this_release_and_of_a_later_one(self):
        first = Options.later.offset
        for size in (first, first + 8):
            handle, error = self.open(Options(size=size, max_symbols=2, later=2**64 - 1))
            self.assertTrue(handle, error)
            self.assertEqual([self.library.tbp_declare(handle, name) for name in (b"A", b"B", b"C")],
                             [0, 1, self.FULL])
            self.library.tbp_close(handle)
        for options, what in ((Options(size=0), "size is 0"), (Options(size=first - 8), "sizeof"),
                              (Options(size=first, reserved=1), "reserved"),
                              (Options(size=first, ring_bytes=1000), "power of two"),
                              (Options(size=first, group=b"no such group"), "no such group")):
            handle, error = self.open(options)
            self.assertFalse(handle)
            self.assertIn(what, error)


class Comings(RingCase):
    def test_before_the_bridge_and_after_it(self):
        """What was published before the bridge started arrives, also when the publisher is gone by then."""
        publisher = self.ready(self.source())
        harness.wait_until(lambda: self.tail() >= 1000 * 64, "the ring is nearly full")
        publisher.send_signal(signal.SIGTERM)
        bridge = self.ring_bridge()
        n, trades = publisher.stdout.readline().split()
        self.wait_all(int(n))
        self.wait_value("SUM", "Volume", int(trades))
        self.end(publisher)
        harness.wait_until(lambda: self.stats()["feed"]["ring"]["sources"] == 0, "its source is dead")
        harness.wait_until(lambda: self.redis.client.get("feed:ring:alive") is None, "nothing says that the feed lives")
        self.stop(bridge)

    def test_a_folder_of_rings(self):
        bridge = self.ring_bridge(f"folder = {json.dumps(self.folder)}")
        for name in "abc":
            self.ring = os.path.join(self.folder, f"{name}.ring")
            n, _ = self.quiet(self.ready(self.source(first=1000)))
            if name == "a":
                self.wait_all(n)
        harness.wait_until(lambda: self.stats()["feed"]["ring"]["sources"] == 3, "three sources")
        self.stop(bridge)

    def test_two_publishers(self):
        publisher = self.ready(self.source())
        second = self.source()
        self.assertEqual(second.wait(harness.DEADLINE_S), 1)
        message = second.stderr.read()
        self.assertIn(f"another publisher has it (process {publisher.pid})", message)
        self.assertIn(self.ring, message)
        self.end(publisher)
        self.ready(self.source())

    def test_two_bridges(self):
        first = self.ring_bridge()
        n, _ = self.quiet(self.ready(self.source()))
        self.wait_all(n)
        self.instance += "-2"
        second = self.ring_bridge()
        self.wait_log(second, "another bridge reads it (process")
        self.assertEqual(second.errors().count("another bridge reads it"), 1)
        first.stop()
        self.wait_log(second, "reads the ring")
        self.stop(second)

    def test_the_name_of_a_ring(self):
        self.ring = self.instance
        self.ready(self.source())
        self.assertTrue(os.path.exists(f"/dev/shm/{self.instance}.ring"))
        bridge = self.ring_bridge()
        self.wait_log(bridge, f"/dev/shm/{self.instance}.ring")
        self.stop(bridge)


class Damage(RingCase):
    def test_another_version(self):
        self.ready(self.source())
        self.write_at(VERSION_AT, struct.pack("<I", 2))
        bridge = self.ring_bridge()
        self.wait_log(bridge, "is of layout version 2, this bridge reads version 1")
        self.stop(bridge)

    def test_truncated(self):
        """The bridge says so, lives on, and takes the ring again when the publisher has made it anew."""
        bridge = self.ring_bridge()
        publisher = self.ready(self.source())
        harness.wait_until(lambda: self.value("S0"), "it arrives")
        os.truncate(self.ring, 8192)
        self.wait_log(bridge, "truncated")
        # The publisher has no guard: it ends by SIGBUS, or sees it first.
        self.assertIn(publisher.wait(harness.DEADLINE_S), (-signal.SIGBUS, 1))
        n, _ = self.quiet(self.ready(self.source(first=10**9)))
        self.wait_all(n)
        self.stop(bridge)

    def test_scribbled_over(self):
        bridge = self.ring_bridge()
        publisher = self.ready(self.source())
        seed = random.randrange(10**9)
        rng = random.Random(seed)
        harness.wait_until(lambda: self.value("S0"), "it arrives")
        size = os.path.getsize(self.ring)
        for _ in range(300):
            self.write_at(rng.choice([TAIL_AT, TAIL_AT + 128, rng.randrange(size - 65536, size - 200)]),
                          rng.randbytes(rng.randrange(1, 200) if rng.random() < 0.5 else 8))
        n, _ = self.quiet(publisher)
        try:
            self.wait_all(n)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None
        self.assertIsNone(bridge.process.poll())
        self.stop(bridge, log_lines=1000)

    def test_something_else_in_its_place(self):
        with open(self.ring, "wb") as f:
            f.write(b"not a ring" * 1000)
        bridge = self.ring_bridge()
        self.wait_log(bridge, "is no ring")
        publisher = self.source()
        self.assertEqual(publisher.wait(harness.DEADLINE_S), 1)
        self.assertIn("there is a file that is not a ring", publisher.stderr.read())
        os.unlink(self.ring)
        n, _ = self.quiet(self.ready(self.source()))
        self.wait_all(n)
        self.stop(bridge)


class Kills(RingCase):
    def test_killed_at_random(self):
        """kill -9 of publisher and bridge, in any order. At quiet points every key equals the model; trades are summed
        up exactly where no bridge was killed meanwhile (one that is may leave a slot half written)."""
        seed = random.randrange(10**9)
        rng = random.Random(seed)
        table = f"{self.instance}-table"
        first = 1
        publisher = self.ready(self.source(first))
        bridge = self.ring_bridge(table=table)
        bridge_killed = False
        kills = 0
        times = {}
        try:
            while kills < KILLS:
                # Under way when it is killed: some of the time until then is the processes' own.
                for _ in range(rng.randrange(4)):
                    self.redis.client.ping()
                victims = rng.choice(["publisher", "bridge", "bridge", "both", "both"])
                if victims != "bridge":
                    self.end(publisher)
                if victims != "publisher":
                    bridge.process.kill()
                    bridge.close()
                    bridge_killed = True
                kills += 2 if victims == "both" else 1
                first += 10**9
                if victims == "publisher" or (victims == "both" and rng.random() < 0.5):
                    publisher = self.ready(self.source(first))
                    bridge_killed = False
                if victims != "publisher":
                    bridge = self.ring_bridge(table=table)
                if publisher.poll() is not None:
                    publisher = self.ready(self.source(first))
                    bridge_killed = False
                if rng.random() < 0.2:
                    n, trades = self.quiet(publisher)
                    self.wait_all(n)
                    if not bridge_killed and trades:
                        self.wait_value("SUM", "Volume", trades)
                    for i in range(SYMBOLS):
                        value = self.value(f"S{i}")
                        self.assertEqual((value["Ask"], value["Timestamp"]), (float(n + 1), n))
                        self.assertGreaterEqual(value["Timestamp"], times.get(i, 0))
                        times[i] = value["Timestamp"]
                    self.end(publisher)
                    first += 10**9
                    publisher = self.ready(self.source(first))
                    bridge_killed = False
            n, _ = self.quiet(publisher)
            self.wait_all(n)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {kills} kills: {error}") from None
        self.stop(bridge)


if __name__ == "__main__":
    harness.main()
