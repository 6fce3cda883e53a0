# SPDX-License-Identifier: Apache-2.0
"""A bridge that is killed and started again goes on where it was; and how long a value lives, come what may."""
import json
import os
import random
import signal
import threading
import time

import redis

import harness
from bridge_case import LONG_TTL, BridgeCase
from model import Model

SEQUENCED = '[class.price]\nttl = "600s"\nfields = ["Last", "Bid", "Ask", "Volume", "High", "Low", "Timestamp", ' \
            '"Sequence"]\n'
WIDE = ("Last", "Bid", "Ask", "Volume", "High", "Low", "Timestamp", "BidSize", "AskSize", "LastSize")


class Restart(BridgeCase):
    def setUp(self):
        super().setUp()
        self.server()
        self.running = None
        self.classes = LONG_TTL

    def again(self, **parts):
        """Kills the bridge, if one runs, and starts another."""
        if self.running is not None:
            self.running.process.kill()
            self.running.process.wait()
            os.unlink(self.feed)
            self.feeding = None
        self.running = self.bridge(classes=self.classes, **parts)
        return self.running

    def value(self, symbol="S"):
        text = self.redis.client.get(f"price:{symbol}:latest")
        return text and json.loads(text)

    def full(self, **more):
        self.send({"symbol": "S", "Last": 10, "LastSize": 2, "Bid": 9, "Ask": 11, "Timestamp": 1700000000100},
                  {"symbol": "S", "Last": 12, "LastSize": 3, "Timestamp": 1700000000200, **more},
                  {"symbol": "S", "Last": 8.5, "LastSize": 0.5, "Timestamp": 1700000000300})
        self.wait_model()

    def test_a_partial_quote_keeps_the_rest(self):
        self.again()
        self.full()
        self.again()
        self.send({"symbol": "S", "Bid": 9.25, "Timestamp": 1700000000400})
        self.wait_model()
        self.assertEqual(self.value(), {"Last": 8.5, "Bid": 9.25, "Ask": 11.0, "Volume": 5.5, "High": 12.0, "Low": 8.5,
                                        "Timestamp": 1700000000400})
        self.stop(self.running)

    def test_high_low_and_volume_go_on(self):
        self.again()
        self.full()
        self.again()
        self.send({"symbol": "S", "Last": 13, "LastSize": 1, "Timestamp": 1700000000400},
                  {"symbol": "S", "Last": 7, "LastSize": 1, "Timestamp": 1700000000500},
                  {"symbol": "S", "Last": 9, "LastSize": 0.25, "Timestamp": 1700000000600})
        self.wait_model()
        self.assertEqual([self.value()[k] for k in ("High", "Low", "Volume")], [13.0, 7.0, 7.75])
        self.again()
        self.send({"symbol": "S", "Last": 9.5, "LastSize": 1, "Timestamp": 1700000000700})
        self.wait_model()
        self.stop(self.running)

    def test_null_clears(self):
        self.again()
        self.full()
        self.again()
        self.send({"symbol": "S", "Ask": None, "Timestamp": 1700000000400})
        self.wait_model()
        self.assertIsNone(self.value()["Ask"])
        self.assertEqual(self.value()["Bid"], 9.0)
        self.again()
        self.send({"symbol": "S", "High": None, "Volume": None, "Timestamp": 1700000000500})
        self.wait_model()
        self.stop(self.running)

    def test_reset_before_the_first_tick(self):
        self.again()
        self.full()
        self.again()
        # Nothing to publish yet: when the value was received that stands there, nobody knows any more.
        self.send({"symbol": "S", "reset": True})
        self.send({"symbol": "S", "Last": 9, "LastSize": 1, "Timestamp": 1700000000400})
        self.wait_model()
        self.assertEqual(self.value()["Volume"], 1)
        self.stop(self.running)

    def test_an_older_time_is_stale(self):
        """As the first tick, and as a later one."""
        self.again()
        self.full()
        self.again()
        before = self.value()
        seen = []
        ending = threading.Event()

        def look():
            client = redis.Redis(unix_socket_path=self.redis.socket)
            while not ending.is_set():
                seen.append(client.get("price:S:latest"))
            client.close()
        thread = threading.Thread(target=look)
        thread.start()
        self.feeding = self.connect()
        line = b'{"symbol":"S","Bid":1,"Ask":2,"Timestamp":1700000000299}\n'
        for n in range(3):
            self.feeding.sendall(line)
            harness.wait_until(lambda: (self.stats() or {}).get("feed", {}).get("local", {}).get("records") == n + 1,
                               "the record")
            self.wait_lane(lambda l: l["writes"] >= 1, "the symbol is read back, and written")
        # A tick of another symbol, sent after it, has arrived: so this one would have.
        self.send({"symbol": "T", "Last": 1, "Timestamp": 1700000000400})
        harness.wait_until(lambda: self.value("T"), "T")
        ending.set()
        thread.join()
        self.assertEqual({json.loads(v)["Timestamp"] for v in seen}, {before["Timestamp"]})
        self.assertEqual({(json.loads(v)["Bid"], json.loads(v)["Ask"]) for v in seen}, {(before["Bid"], before["Ask"])})
        self.send({"symbol": "S", "Bid": 3, "Timestamp": 1700000000300})  # the same time is accepted
        harness.wait_until(lambda: self.value()["Bid"] == 3.0, "the next")
        summary = self.stop(self.running)
        self.assertEqual(summary["rejected"].get("stale"), 2)  # the first was merged before it could be known

    def test_an_older_trade_counts_for_nothing(self):
        """A feed that tells its last trades again after a reconnect must not raise Volume, nor High or Low."""
        self.again()
        self.full()
        self.again()
        before = self.value()
        self.feeding = self.connect()
        self.feeding.sendall(b'{"symbol":"S","Last":1,"LastSize":100,"Timestamp":1700000000100}\n'
                             b'{"symbol":"S","Last":99,"LastSize":100,"Timestamp":1700000000200}\n')
        self.send({"symbol": "T", "Last": 1, "Timestamp": 1700000000400})
        harness.wait_until(lambda: self.value("T"), "T")
        self.assertEqual(self.value(), before)
        self.stop(self.running)

    def test_time_and_sequence_grow_through_kills_under_load(self):
        self.classes = SEQUENCED
        client = redis.Redis(unix_socket_path=self.redis.socket)
        self.addCleanup(client.close)
        ending = threading.Event()
        back = []
        looks = [0]

        def look():
            newest = {}
            keys = [f"price:S{i}:latest" for i in range(50)]
            while not ending.is_set():
                for key, text in zip(keys, client.mget(keys)):
                    if text is None:
                        if key in newest:
                            back.append((key, "gone"))
                        continue
                    value = json.loads(text)
                    at = (value["Timestamp"], value["Sequence"])
                    if at[0] < newest.get(key, at)[0] or at[1] < newest.get(key, at)[1]:
                        back.append((key, newest[key], at))
                    newest[key] = at
                looks[0] += 1
        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(5):
                self.again()
                before = self.redis.client.get("price:S0:latest")
                for _ in range(30):
                    self.tick(50)
                # Somewhere in the middle of them:
                harness.wait_until(lambda: self.redis.client.get("price:S0:latest") != before, "it writes")
            self.tick(50)
            harness.wait_until(lambda: all((self.value(f"S{i}") or {}).get("Timestamp") == self.stamp
                                           for i in range(50)), "the newest arrives")
        finally:
            ending.set()
            thread.join()
        self.assertEqual(back, [])
        self.assertGreater(looks[0], 10)
        self.stop(self.running)

    def test_as_if_nothing_had_been(self):
        """Random ticks with a restart here and there: every key equals the model, which knows of no restarts."""
        seed = random.randrange(10**9)
        rng = random.Random(seed)
        self.classes = f'[class.price]\nttl = "600s"\nfields = {json.dumps(list(WIDE))}\n'
        for _ in range(12):
            self.again()
            ticked = set()
            for _ in range(rng.randrange(1, 60)):
                self.stamp += 1
                record = {"symbol": f"S{rng.randrange(12)}", "Timestamp": self.stamp}
                # One before the first tick has a test of its own.
                if rng.random() < 0.1 and record["symbol"] in ticked:
                    self.send({"symbol": record["symbol"], "reset": True})
                    continue
                for field in ("Bid", "Ask", "BidSize", "AskSize"):
                    if rng.random() < 0.4:
                        record[field] = None if rng.random() < 0.2 else rng.randrange(1, 10**6) / 100
                # Whether a symbol's own counts are the feed's is not to be seen in its key: they always are, or never.
                counted = int(record["symbol"][1:]) % 2
                if rng.random() < 0.5:
                    record.update(Last=rng.randrange(1, 10**6) / 100, LastSize=rng.randrange(1, 1000) / 10)
                    if counted:
                        record.update({field: rng.randrange(1, 10**6) / 100 for field in ("Volume", "High", "Low")})
                if len(record) > 2:
                    self.send(record)
                    ticked.add(record["symbol"])
            expected = {f"price:{name}:latest": s.text(WIDE) for name, s in self.model.symbols.items() if s.fields}
            try:
                harness.wait_until(lambda: all((self.redis.client.get(key) or b"").decode() == text
                                               for key, text in expected.items()), f"seed {seed}")
            except AssertionError as error:
                different = [(key, text, self.redis.client.get(key)) for key, text in expected.items()
                             if (self.redis.client.get(key) or b"").decode() != text]
                raise AssertionError(f"{error}: {different[:3]}") from None
        self.stop(self.running)

    def test_something_else_in_its_place(self):
        """Garbage is overwritten; of foreign JSON only what fits is kept."""
        odd = {
            "list": None, "text": "nothing like it", "empty": "", "array": "[1,2,3]", "number": "5", "null": "null",
            "half": '{"Bid":1.5,"Ask":', "twice": '{"Bid":1}{"Bid":2}', "deep": "[" * 3000, "binary": b"\xff\xfe\0{",
            "foreign": '{"price":5,"venue":"X"}', "words": '{"Bid":"abc","Ask":true,"High":[1],"Low":{"a":1}}',
            "huge": '{"Ask":1e999,"Volume":123456789012345678901234567890}',
            "future": '{"Ask":7.5,"Timestamp":9999999999999}', "past": '{"Ask":7.5,"Timestamp":-5}',
            "floating": '{"Ask":7.5,"Timestamp":1700000000000.5}', "megabyte": '{"x":"' + "y" * (2 << 20) + '"}',
        }
        for name, text in odd.items():
            if text is None:
                self.redis.client.rpush(f"price:{name}:latest", "a")
            else:
                self.redis.client.set(f"price:{name}:latest", text)
        self.again()
        self.send(*({"symbol": name, "Bid": 2, "Timestamp": 1700000000100} for name in odd))
        plain = {"Last": None, "Bid": 2.0, "Ask": None, "Volume": None, "High": None, "Low": None,
                 "Timestamp": 1700000000100}
        for name in odd:
            harness.wait_until(lambda: self.redis.client.type(f"price:{name}:latest") == b"string" and
                               b'"Bid":2.0,' in self.redis.client.get(f"price:{name}:latest"), name)
            kept = {"Ask": 7.5} if name in ("future", "past", "floating") else {}
            self.assertEqual(self.value(name), {**plain, **kept}, name)
        self.stop(self.running)

    def test_who_may_not_read_writes_all_the_same(self):
        self.redis.close()
        self.tcp_server()
        settings = self.user("~*", "&*", "+@all", "-getrange")
        self.again(**settings)
        self.tick()
        self.wait_model()
        self.again(**settings)
        self.tick()
        self.model = Model()  # nothing of before is known to it
        self.tick()
        harness.wait_until(lambda: all((self.value(f"S{i}") or {}).get("Timestamp") == self.stamp for i in range(40)),
                           "the newest arrives")
        self.stop(self.running)
        self.assert_told(self.running, "NOPERM", 1)

    def test_a_server_that_is_away_at_the_start(self):
        """The first write waits for what stands there, also when the server comes only later."""
        self.again()
        self.full()
        self.redis.signal(signal.SIGSTOP)
        self.again()
        self.send({"symbol": "S", "Bid": 9.25, "Timestamp": 1700000000400})
        harness.wait_until(lambda: (self.stats() or {}).get("feed", {}).get("local", {}).get("records") == 1, "taken")
        self.redis.signal(signal.SIGCONT)
        self.wait_model()
        self.stop(self.running)

    def test_the_line_breaks_while_it_is_read_back(self):
        """Again and again, at the start: what stood there is neither lost nor taken twice (Volume would show it)."""
        self.again()
        self.full()
        self.tick(30)
        self.wait_model()
        self.redis.client.config_set("maxmemory", 1)  # reads work, writes wait
        self.again()
        self.send({"symbol": "S", "Last": 9, "LastSize": 1, "Timestamp": 1700000000400})
        self.tick(30)
        for _ in range(5):
            connects = self.wait_lane(lambda l: l["connects"] > 0, "connected")["connects"]
            self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
            self.wait_lane(lambda l: l["connects"] > connects, "again")
        self.redis.client.config_set("maxmemory", 0)
        self.wait_model()
        self.stop(self.running, log_lines=60)


class Expiry(BridgeCase):
    TTL_S = 1

    def start(self, expiry, ttl="1s"):
        self.server()
        return self.bridge(redis_keys=f'expiry = "{expiry}"\n', classes=f'[class.price]\nttl = "{ttl}"\n'
                           f'fields = ["Bid", "Timestamp", "ReceivedNs"]\n[class.positions]\nttl = "{ttl}"\n')

    def stopped_with_commands_in_its_buffer(self):
        """The server sleeps for longer than every value lives, with newer ones in its socket, while the feed dies."""
        def given():
            self.stamp += 1
            self.send(*({"symbol": f"S{i}", "Bid": self.stamp % 1000, "Timestamp": self.stamp} for i in range(20)))
            self.feeding.sendall(b'{"class":"positions","account":"A","value":%d}\n' % self.stamp)
        keys = [f"price:S{i}:latest" for i in range(20)] + ["hft:positions:A:all"]
        given()
        harness.wait_until(lambda: all(self.redis.client.mget(keys)), "the first values")
        sent = self.lane()["bytes_out"]
        self.redis.signal(signal.SIGSTOP)
        given()
        # Not all of them need be: a lane that shares the server's time sends in turns.
        self.wait_lane(lambda l: l["bytes_out"] > sent + 100, "they are in its buffer")
        self.feeding.close()
        self.feeding = None
        fed = time.monotonic()
        harness.wait_until(lambda: time.monotonic() > fed + 2.2 * self.TTL_S, "their time is over")
        looker = redis.Redis(unix_socket_path=self.redis.socket)
        self.addCleanup(looker.close)
        woken = time.monotonic()
        self.redis.signal(signal.SIGCONT)
        seen = []
        while time.monotonic() < woken + 1.5 * self.TTL_S:
            at = time.monotonic()
            seen.append((at - woken, [v for v in looker.mget(keys) if v is not None]))
        return seen

    def test_absolute_shows_nothing_stale(self):
        bridge = self.start("absolute")
        seen = self.stopped_with_commands_in_its_buffer()
        self.assertEqual([s for s in seen if s[1]], [])
        self.assertGreater(len(seen), 20)
        # And it goes on.
        self.send({"symbol": "S0", "Bid": 5, "Timestamp": self.stamp + 1})
        harness.wait_until(lambda: self.redis.client.get("price:S0:latest"), "a new value")
        bridge.stop()

    def test_relative_adds_the_stall(self):
        """What DESIGN says, no more: the values live their TTL from when the server woke, and are gone then."""
        bridge = self.start("relative")
        seen = self.stopped_with_commands_in_its_buffer()
        self.assertGreater(max(len(values) for _, values in seen), 0)
        self.assertTrue(all(json.loads(v)["Timestamp"] == self.stamp for _, values in seen for v in values
                            if v.startswith(b"{")))
        harness.wait_until(lambda: not self.redis.client.keys("price:*"), "they run out")
        bridge.stop()

    def deadlines(self, bridge, late_by_ms):
        """When each key runs out, against when its tick was received."""
        self.tick(20)
        harness.wait_until(lambda: self.redis.client.dbsize() >= 20, "written")
        for i in range(20):
            value = json.loads(self.redis.client.get(f"price:S{i}:latest"))
            lives = self.redis.client.execute_command("PEXPIRETIME", f"price:S{i}:latest") - value["ReceivedNs"] / 1e6
            self.assertGreater(lives, 60_000 - 1000)
            self.assertLess(lives, 60_000 + late_by_ms)
        self.assertEqual(self.stop(bridge)["expired"], 0)

    def test_deadlines_of_absolute(self):
        self.deadlines(self.start("absolute", "60s"), 20)  # never late, but for the clocks' own steps

    def test_deadlines_of_relative(self):
        self.deadlines(self.start("relative", "60s"), 1000)

    def test_deadlines_after_an_outage(self):
        """A late write gets the rest of the life, in either mode."""
        for expiry in ("absolute", "relative"):
            with self.subTest(expiry):
                bridge = self.start(expiry, "60s")
                self.redis.client.config_set("maxmemory", 1)
                began = time.monotonic()
                self.tick(20)
                self.wait_state("backing_off", "OOM")
                harness.wait_until(lambda: time.monotonic() > began + 1.2, "an outage of a second")
                self.redis.client.config_set("maxmemory", 0)
                harness.wait_until(lambda: self.redis.client.dbsize() >= 20, "written")
                for i in range(20):
                    key = f"price:S{i}:latest"
                    value = json.loads(self.redis.client.get(key))
                    lives = self.redis.client.execute_command("PEXPIRETIME", key) - value["ReceivedNs"] / 1e6
                    self.assertLess(lives, 60_000 + 500)
                    self.assertGreater(lives, 60_000 - 1000)
                self.stop(bridge)
                self.feeding = None


if __name__ == "__main__":
    harness.main()
