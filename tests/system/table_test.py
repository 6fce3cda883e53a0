# SPDX-License-Identifier: Apache-2.0
"""The shared table: what the Python package reads from it beside what stands in Redis; bridges that end, die, and are
killed while others read."""
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import bridge_case
import harness

sys.path.insert(0, str(harness.ROOT / "tools" / "python"))
import tickbridge  # noqa: E402
from tickbridge import LatestTable  # noqa: E402


class Table(bridge_case.BridgeCase):
    def setUp(self):
        super().setUp()
        self.redis = self.server()
        self.table = f"tickbridge-test-{os.getpid()}-{random.randrange(10**9)}"
        self.addCleanup(lambda: os.path.exists(self.path()) and os.unlink(self.path()))

    def path(self):
        return "/dev/shm/" + self.table

    def launch(self, feed="feed.sock", max_symbols=1000):
        feed = os.path.join(self.folder, feed)
        bridge = harness.Bridge(f'[bridge]\ninstance = "{self.instance}"\n[redis]\nurl = "{self.redis.url}"\n'
                                f'[class.price]\nttl = "600s"\n'
                                f'[table]\nmax_symbols = {max_symbols}\nshm = "{self.table}"\n'
                                f'[feed.local]\ntype = "unix_stream"\npath = "{feed}"\n')
        self.addCleanup(bridge.close)
        return bridge, feed

    def start(self, max_symbols=1000):
        bridge, feed = self.launch(max_symbols=max_symbols)

        def connect():
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(feed)
            except OSError:
                client.close()
                return None
            return client
        client = harness.wait_until(connect, "the feed listens")
        self.addCleanup(client.close)
        return bridge, client

    def send(self, client, *records):
        client.sendall(b"".join(json.dumps(r).encode() + b"\n" for r in records))

    def in_redis(self, symbol):
        value = self.redis.client.get(f"price:{symbol}:latest")
        return json.loads(value) if value else None

    def closed_table(self):
        """Of a bridge that has ended: A at 1, B at 2."""
        bridge, client = self.start()
        self.send(client, {"symbol": "A", "Last": 1}, {"symbol": "B", "Last": 3}, {"symbol": "B", "Last": 2})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "B" in table and table["B"]["Last"] == 2.0, "both came")
        bridge.stop()
        return table

    def replace(self):
        """Puts another table in the place of ours, without a word to it. The first two symbols have changed places."""
        data = bytearray(pathlib.Path(self.path()).read_bytes())
        names, _, slots, snapshots = struct.unpack_from("=4Q", data, 40)  # SharedTableLayout
        for at, size in ((names, 64), (slots, 192), (snapshots, 192)):
            data[at:at + 2 * size] = data[at + size:at + 2 * size] + data[at:at + size]
        pathlib.Path(self.path() + ".new").write_bytes(data)
        os.rename(self.path() + ".new", self.path())

    def test_it_shows_what_redis_shows(self):
        bridge, client = self.start()
        rng = random.Random(5)
        for n in range(2000):
            record = {"symbol": f"S{rng.randrange(50)}", "Timestamp": 1700000000000 + n}
            for field in ("Last", "Bid", "Ask", "High", "Low", "Volume"):
                choice = rng.random()
                if choice < 0.6:
                    record[field] = rng.choice([f"{rng.randrange(10**9)}.{rng.randrange(10**6):06}", rng.randrange(10**6),
                                                f"-0.{rng.randrange(10**15):015}", "123456789012345.678", "1e18"])
                elif choice < 0.7:
                    record[field] = None
            self.send(client, record)
        table = LatestTable(self.table)
        harness.wait_until(lambda: max((table[s]["Timestamp"] for s in table), default=0) == 1700000001999, "all came")
        symbols = sorted(table)
        self.assertEqual(len(symbols), 50)
        for symbol in symbols:
            harness.wait_until(lambda: self.in_redis(symbol) == table[symbol], f"{symbol}: {table[symbol]}")
            self.assertEqual(list(table[symbol]), ["Last", "Bid", "Ask", "Volume", "High", "Low", "Timestamp"])
            self.assertEqual({k: type(v) for k, v in table[symbol].items()},
                             {k: type(v) for k, v in self.in_redis(symbol).items()})
        self.assertNotIn("NEVER", table)
        with self.assertRaises(KeyError):
            table["NEVER"]
        self.assertTrue(table.alive)
        self.assertLess(table.age(symbols[0]), 60)
        self.assertIsNotNone(table.source_age(symbols[0]))
        client.close()
        harness.wait_until(lambda: table.source_age(symbols[0]) is None, "its source is dead")
        self.assertEqual(bridge.stop()[0], 0)
        self.assertFalse(table.alive)
        self.assertEqual(table[symbols[0]], self.in_redis(symbols[0]), "the last values stay")

    def test_it_wakes_who_waits(self):
        bridge, client = self.start()
        table = LatestTable(self.table)
        while table.wait(0.2):
            pass
        self.send(client, {"symbol": "A", "Last": 1})
        self.assertTrue(table.wait(harness.DEADLINE_S))
        bridge.stop()

    def test_a_restarted_bridge_goes_on_where_it_was(self):
        for kill in (False, True):
            with self.subTest(kill=kill):
                self.redis.client.flushall()
                bridge, client = self.start()
                self.send(client, {"symbol": "A", "Last": 1, "LastSize": 5, "Bid": 1, "Ask": 2, "Timestamp": 1700000000000})
                table = LatestTable(self.table)
                harness.wait_until(lambda: "A" in table and table["A"]["Ask"] == 2.0, "it came")
                sequence, generation = table.sequence("A"), table.generation
                if kill:
                    bridge.process.send_signal(signal.SIGKILL)
                    bridge.process.wait()
                    harness.wait_until(lambda: not table.alive, "its death shows")
                else:
                    bridge.stop()
                self.redis.client.flushall()
                bridge, client = self.start()
                # Delivered again without a word from the feed, and gone on with.
                harness.wait_until(lambda: (self.in_redis("A") or {}).get("Ask") == 2.0, "it is in Redis again")
                self.assertFalse(table.refresh())
                self.assertTrue(table.alive)
                self.assertGreater(table.generation, generation)
                self.send(client, {"symbol": "A", "Bid": 7, "Timestamp": 1700000000001},
                          {"symbol": "A", "Bid": 6, "Timestamp": 1699999999999})
                harness.wait_until(lambda: table["A"]["Bid"] == 7.0, "the next tick")
                self.assertEqual(table["A"]["Ask"], 2.0)
                self.assertEqual(table.sequence("A"), sequence + 1)
                code, summary = bridge.stop()
                self.assertEqual(code, 0, bridge.errors())
                harness.check_sums(self, summary)
                self.assertEqual(summary["accepted"], 1)
                os.unlink(self.path())

    def test_another_layout_supersedes_it(self):
        bridge, client = self.start(max_symbols=1000)
        self.send(client, {"symbol": "A", "Last": 1, "Bid": 5})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "A" in table, "it came")
        harness.wait_until(lambda: self.in_redis("A"), "also in Redis")
        bridge.stop()
        bridge, client = self.start(max_symbols=2000)
        self.assertFalse(table.alive)
        self.assertTrue(table.refresh())
        self.assertNotIn("A", table)
        self.send(client, {"symbol": "A", "Last": 2})
        harness.wait_until(lambda: "A" in table and table["A"]["Bid"] == 5.0, "read back from Redis instead")
        self.assertFalse(table.refresh())
        bridge.stop()
        os.unlink(self.path())
        self.assertFalse(table.refresh(), "there is no other one")
        bridge, client = self.start(max_symbols=2000)
        self.assertTrue(table.refresh())
        harness.wait_until(lambda: table.alive, "its bridge lives")
        bridge.stop()

    def test_nothing_is_shown_while_the_first_tick_is_written(self):
        table = self.closed_table()
        with open(self.path(), "r+b") as f:
            f.seek(table._view.slots)
            f.write(struct.pack("=Q", 1))
        with self.assertRaises(BlockingIOError):
            table["A"]

    def test_who_waits_is_woken_when_the_bridge_ends(self):
        bridge, client = self.start()
        self.send(client, {"symbol": "A", "Last": 1})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "A" in table and not table.wait(0), "all is quiet")
        begin = time.monotonic()
        bridge.process.terminate()
        self.assertTrue(table.wait(60))
        self.assertLess(time.monotonic() - begin, 30)
        self.assertFalse(table.alive)
        bridge.stop()

    def test_who_waits_is_woken_by_what_was_read_back(self):
        self.redis.client.set("price:A:latest", '{"Last":1,"Bid":2,"Ask":3,"Volume":4,"High":5,"Low":0.5,'
                                                '"Timestamp":1700000000000}', ex=600)
        bridge, client = self.start()
        self.redis.client.execute_command("CLIENT", "PAUSE", 1000, "ALL")
        self.send(client, {"symbol": "A", "Bid": 7})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "A" in table and table["A"]["Bid"] == 7.0, "the tick is in the table")
        end = time.monotonic() + harness.DEADLINE_S
        while table["A"]["Last"] is None:
            self.assertLess(time.monotonic(), end)
            self.assertTrue(table.wait(harness.DEADLINE_S), "what was read back wakes")
        self.assertEqual(table["A"]["Last"], 1.0)
        bridge.stop()

    def test_a_table_that_was_replaced_without_a_word(self):
        table = self.closed_table()
        self.assertEqual(table.life, "closed")
        moved = self.path() + ".moved"
        self.addCleanup(lambda: os.path.exists(moved) and os.unlink(moved))
        os.rename(self.path(), moved)
        self.assertEqual((table.life, table.refresh()), ("closed", False), "there is no other one")
        os.rename(moved, self.path())
        self.replace()
        self.assertEqual(table.life, "superseded")
        self.assertTrue(table.refresh())
        self.assertEqual((table.life, table["A"]["Last"], table["B"]["Last"]), ("closed", 1.0, 2.0))

    def test_a_refresh_beside_reads(self):
        """What another thread may do between any two lines of a call, a trace function does there: the call that is
        interrupted, and the one that comes between, show each symbol's own numbers."""
        table = self.closed_table()

        def read():
            return table["A"]["Last"], table["B"]["Last"], table.sequence("A"), table.source_age("B"), sorted(table)

        def interrupt(call, between):
            def trace(frame, event, _):
                if event == "line" and frame.f_code.co_filename == tickbridge.__file__:
                    between()
                return trace
            sys.settrace(trace)
            try:
                return call()
            finally:
                sys.settrace(None)

        expected, seen = read(), []
        self.replace()
        self.assertTrue(interrupt(table.refresh, lambda: seen.append(read())))
        self.assertGreater(len(seen), 10)
        for got in seen:
            self.assertEqual(got, expected)
        for line in itertools.count():
            lines = itertools.count()
            refreshed = []

            def refresh():
                if next(lines) == line:
                    self.replace()
                    refreshed.append(table.refresh())
            self.assertEqual(interrupt(read, refresh), expected, f"refreshed before line {line}")
            if not refreshed:
                break
            self.assertEqual(refreshed, [True])
        self.assertGreater(line, 20)

    def test_the_first_change_of_the_next_table_is_not_missed(self):
        table = self.closed_table()
        self.assertTrue(table.wait(0))
        self.assertFalse(table.wait(0))
        self.replace()  # it has counted as far as ours
        self.assertTrue(table.refresh())
        self.assertTrue(table.wait(0))
        self.assertFalse(table.wait(0))
        woken = []
        other = threading.Thread(target=lambda: woken.append(table.wait(0)))
        other.start()
        other.join()
        self.assertEqual(woken, [True], "what one thread has seen, another has not")

    def test_two_bridges_of_one_table(self):
        bridge, client = self.start()
        second = harness.Bridge(f'[bridge]\ninstance = "{self.instance}-2"\n[redis]\nurl = "{self.redis.url}"\n'
                                f'[table]\nmax_symbols = 1000\nshm = "{self.table}"\n[feed.x]\ntype = "synth"\n')
        self.addCleanup(second.close)
        second.process.wait(harness.DEADLINE_S)
        self.assertEqual(second.process.returncode, 1)
        self.assertIn("another bridge writes the shared table", second.errors())
        bridge.stop()

    def test_the_examples_in_three_languages(self):
        """As a user of the installed package would build and run them."""
        build = os.path.dirname(os.path.dirname(harness.TICKBRIDGE))
        examples = harness.ROOT / "examples"
        bridge, client = self.start()
        self.send(client, {"symbol": "A", "Bid": "21000.25", "Ask": "21000.5"})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "A" in table, "it came")
        shared, static = os.path.join(self.folder, "shared"), os.path.join(self.folder, "static")
        compile_c = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", str(harness.ROOT / "sink")]
        binary = pathlib.Path(harness.TICKBRIDGE).read_bytes()
        if b"__tsan_init" not in binary and b"__asan_init" not in binary:  # which C programs would have to link as well
            subprocess.run([*compile_c, str(examples / "reader.c"), "-o", shared, "-L", build, "-ltickbridge_reader",
                            f"-Wl,-rpath,{build}"], check=True)
            subprocess.run([*compile_c, str(examples / "reader.c"), "-o", static,
                            os.path.join(build, "libtickbridge_reader.a"), "-lstdc++", "-lm"], check=True)
            for program in (shared, static):
                out = subprocess.run([program, self.table, "A"], capture_output=True, text=True, check=True).stdout
                self.assertRegex(out, r"^A  bid 21000.25  ask 21000.5  age [0-9.]+ s$")
                self.assertEqual(subprocess.run([program, self.table, "B"], capture_output=True).returncode, 1)
                failed = subprocess.run([program, "no-such-table", "A"], capture_output=True, text=True)
                self.assertEqual(failed.returncode, 1)
                self.assertIn("No such file", failed.stderr)
            symbols = subprocess.run(["nm", "-D", "--defined-only", os.path.join(build, "libtickbridge_reader.so")],
                                     capture_output=True, text=True, check=True).stdout.split("\n")
            ours = {line.split()[-1] for line in symbols if "tickbridge" in line or "tbr_" in line}
            self.assertTrue(ours and all(name.startswith("tbr_") for name in ours), ours)
        python = subprocess.run([sys.executable, str(examples / "reader.py"), self.table, "A"], capture_output=True, text=True,
                                check=True, env={"PYTHONPATH": str(harness.ROOT / "tools" / "python")}).stdout
        self.assertRegex(python, r"^A  bid 21000.25  ask 21000.5  age [0-9.]+ s$")
        bridge.stop()

    def test_get_and_watch_from_the_table(self):
        bridge, client = self.start()
        self.send(client, {"symbol": "A", "Bid": "21000.25", "Ask": "21000.5", "Timestamp": 1700000000000})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "A" in table, "it came")
        shm = f"table.shm={self.table}"
        got = harness.run("get", "A", "--shm", "--json", "--set", shm)
        self.assertEqual(got.returncode, 0, got.stderr)
        quote = json.loads(got.stdout)["A"]
        self.assertEqual(list(quote)[-3:], ["age_ms", "source_age_ms", "table"])
        self.assertEqual((quote.pop("age_ms") >= 0, quote.pop("source_age_ms") >= 0, quote.pop("table")), (True, True, "alive"))
        self.assertEqual(quote, table["A"])
        self.assertEqual(harness.run("get", "A", "B", "--shm", "--set", shm).returncode, 1)
        watched = harness.run("watch", "--all", "--shm", "--for", "50ms", "--interval", "20ms", "--set", shm)
        self.assertEqual(watched.returncode, 0, watched.stderr)
        lines = watched.stdout.decode().splitlines()
        self.assertEqual(lines[0].split()[-2:], ["Age", "Source"])
        self.assertIn("21000.25", lines[1])
        bridge.stop()
        ended = harness.run("get", "A", "--shm", "--set", shm)
        self.assertEqual(ended.returncode, 0)
        self.assertIn("its bridge has ended", ended.stderr.decode())
        missing = harness.run("get", "A", "--shm", "--set", shm + "-none")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("is there a bridge with this table.shm", missing.stderr.decode())

    def test_a_watch_follows_the_bridges_that_come_and_go(self):
        bridge, client = self.start()
        self.send(client, {"symbol": "A", "Bid": 1, "Ask": 9})
        harness.wait_until(lambda: self.in_redis("A"), "also in Redis")
        seen = os.path.join(self.folder, "seen")
        with open(seen, "wb") as out, open(seen + ".err", "wb") as err:
            watch = subprocess.Popen([harness.TICKBRIDGE, "watch", "A", "--shm", "--json", "--interval", "20ms", "--set",
                                      f"table.shm={self.table}"], stdout=out, stderr=err)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)

        def last():
            lines = pathlib.Path(seen).read_text().split("\n")[:-1]
            quote = json.loads(lines[-1])["A"] if lines else None
            return quote and (quote["Bid"], quote["source_age_ms"] is None, quote["table"])

        def shows(*expected):
            harness.wait_until(lambda: last() == expected, f"watch shows {expected}")
        shows(1.0, False, "alive")
        # Restarted, of the same layout: the same table goes on.
        bridge.stop()
        shows(1.0, True, "closed")
        bridge, client = self.start()
        shows(1.0, True, "alive")
        self.send(client, {"symbol": "A", "Bid": 2})
        shows(2.0, False, "alive")
        # Of another layout: another table takes its place.
        bridge.stop()
        bridge, client = self.start(max_symbols=2000)
        self.send(client, {"symbol": "A", "Bid": 3})
        shows(3.0, False, "alive")
        # Killed, and its file removed: nobody marks that one.
        bridge.process.send_signal(signal.SIGKILL)
        bridge.process.wait()
        os.unlink(self.path())
        shows(3.0, False, "silent")
        bridge, client = self.start(max_symbols=2000)
        self.send(client, {"symbol": "A", "Bid": 4})
        shows(4.0, False, "alive")
        self.assertIsNone(watch.poll())
        said = pathlib.Path(seen + ".err").read_text()
        self.assertIn("its bridge has ended", said)
        self.assertIn("its bridge shows no sign of life", said)
        self.assertIn("its bridge is alive", said)
        bridge.stop()

    def test_a_file_that_everybody_may_write_is_refused(self):
        table = self.closed_table()
        os.chmod(self.path(), 0o666)
        with self.assertRaisesRegex(ValueError, "everybody may write it"):
            LatestTable(self.table)
        got = harness.run("get", "A", "--shm", "--set", f"table.shm={self.table}")
        self.assertEqual(got.returncode, 1)
        self.assertIn("everybody may write it", got.stderr.decode())
        # Nor is it taken instead of the old one.
        self.replace()
        os.chmod(self.path(), 0o666)
        with self.assertRaisesRegex(ValueError, "everybody may write it"):
            table.refresh()
        self.assertEqual((table.life, table["A"]["Last"]), ("superseded", 1.0))
        os.chmod(self.path(), 0o640)
        self.assertTrue(table.refresh())

    def test_what_is_no_table_or_makes_no_sense(self):
        # Somebody else's file is left alone; one that is empty, or was a table once, is replaced.
        for content in (b"tb", b"x" * 5000, os.urandom(1 << 20)):
            with open(self.path(), "wb") as f:
                f.write(content)
            with self.assertRaises(ValueError):
                LatestTable(self.table)
            bridge, _ = self.launch()
            bridge.process.wait(harness.DEADLINE_S)
            self.assertEqual(bridge.process.returncode, 1)
            self.assertIn("is a file that is not a shared table; remove it", bridge.errors())
            with open(self.path(), "rb") as f:
                self.assertEqual(f.read(), content)
        for content in (b"", b"tbtable1" + os.urandom(5000)):
            with open(self.path(), "wb") as f:
                f.write(content)
            with self.assertRaises(ValueError):
                LatestTable(self.table)
            bridge, client = self.start()
            self.send(client, {"symbol": "A", "Last": 1})
            table = LatestTable(self.table)
            harness.wait_until(lambda: "A" in table, "a new one took its place")
            bridge.stop()
        # Names, index and slots that another process scribbled over are not gone on with.
        with open(self.path(), "r+b") as f:
            size = os.fstat(f.fileno()).st_size
            for _ in range(200):
                f.seek(random.randrange(4096, size - 64))
                f.write(os.urandom(64))
        bridge, client = self.start()
        self.send(client, {"symbol": "B", "Last": 2})
        table = LatestTable(self.table)
        harness.wait_until(lambda: "B" in table and table["B"]["Last"] == 2.0, "it goes on")
        harness.wait_until(lambda: self.in_redis("B"), "also in Redis")
        bridge.stop()

    def test_killed_in_the_middle_of_writing(self):
        symbols = 20
        newest = {}
        for life in range(20):
            bridge, client = self.start()
            base = 1700000000000 + life * 1000000
            data = b"".join(b'{"symbol":"S%d","Bid":%d,"Ask":%d,"Timestamp":%d}\n' % (i % symbols, n, n + 1, base + n)
                            for n in range(20000) for i in (n,))
            client.settimeout(harness.DEADLINE_S)
            client.sendall(data[:random.randrange(len(data))])
            time_left = random.random() * 0.02
            end = time.monotonic() + time_left
            while time.monotonic() < end:
                pass
            bridge.process.send_signal(signal.SIGKILL)
            bridge.process.wait()
            client.close()
            table = LatestTable(self.table)
            for symbol in table:
                quote = table[symbol]
                self.assertEqual(quote["Bid"] + 1, quote["Ask"], "a torn quote")
                self.assertGreaterEqual(quote["Timestamp"], newest.get(symbol, 0))
                newest[symbol] = quote["Timestamp"]
        bridge, client = self.start()
        table = LatestTable(self.table)
        for i in range(symbols):
            self.send(client, {"symbol": f"S{i}", "Last": 1})
        for i in range(symbols):
            harness.wait_until(lambda: table[f"S{i}"]["Last"] == 1.0 and self.in_redis(f"S{i}") == table[f"S{i}"], f"S{i}")
            self.assertGreaterEqual(table[f"S{i}"]["Timestamp"], newest.get(f"S{i}", 0))
        bridge.stop()


if __name__ == "__main__":
    harness.main()
