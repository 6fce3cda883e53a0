# SPDX-License-Identifier: Apache-2.0
"""A running bridge: every transport, bad input beside good, a Redis that stops, and one that comes back empty."""
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from model import Model

TTL = '[class.price]\nttl = "600s"\n[class.positions]\nttl = "600s"\n'


def connect(path):
    """Its file is there a moment before anybody listens."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    harness.wait_until(lambda: s.connect_ex(path) == 0, f"{path} is listened on")
    return s


class Running(unittest.TestCase):
    def setUp(self):
        self.redis = harness.Redis()
        self.addCleanup(self.redis.close)
        self.feed = os.path.join(self.redis.folder, "feed.sock")
        self.instance = f"test-{os.getpid()}-{random.randrange(10**9)}"

    def bridge(self, feeds, extra=TTL):
        bridge = harness.Bridge(f'[bridge]\ninstance = "{self.instance}"\n[redis]\nurl = "{self.redis.url}"\n'
                                f'{extra}{feeds}')
        self.addCleanup(bridge.close)
        return bridge

    def stream_bridge(self, extra=TTL):
        bridge = self.bridge(f'[feed.local]\ntype = "unix_stream"\npath = "{self.feed}"\n', extra)
        harness.wait_until(lambda: os.path.exists(self.feed) or bridge.process.poll() is not None, "the feed listens")
        return bridge

    def stats(self):
        result = harness.run("stats", "--json", "--set", f"bridge.instance={self.instance}")
        return json.loads(result.stdout) if result.returncode == 0 else None

    def get(self, symbol):
        return self.redis.client.get(f"price:{symbol}:latest")

    def expect_model(self, lines):
        model = Model().replay(lines)
        for name, symbol in model.symbols.items():
            harness.wait_until(lambda: (self.get(name) or b"").decode() == symbol.text(),
                               f"{name} is {symbol.text()}, Redis has {self.get(name)}")
        return model

    def stop(self, bridge, code=0):
        returned, summary = bridge.stop()
        self.assertEqual(returned, code, bridge.errors())
        harness.check_sums(self, summary)
        return summary

    def test_lines_cut_anywhere_on_many_connections(self):
        bridge = self.stream_bridge()
        seed = random.randrange(10**9)
        rng = random.Random(seed)
        lines = {i: [json.dumps({"symbol": f"S{i}", "Bid": n, "Ask": n + 1, "Timestamp": 1700000000000 + n}).encode()
                     for n in range(300)] for i in range(8)}
        sockets = {i: connect(self.feed) for i in lines}
        rest = {i: b"\n".join(part) + b"\n" for i, part in lines.items()}
        while any(rest.values()):
            i = rng.choice([i for i in rest if rest[i]])
            n = rng.randrange(1, 200)
            sockets[i].sendall(rest[i][:n])
            rest[i] = rest[i][n:]
        for s in sockets.values():
            s.close()
        self.expect_model([line for part in lines.values() for line in part])
        summary = self.stop(bridge)
        self.assertEqual(summary["accepted"], 2400, f"seed {seed}")

    def test_tcp_udp_and_unix_datagrams(self):
        path = os.path.join(self.redis.folder, "datagram.sock")
        ports = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as s:
                s.bind(("127.0.0.1", 0))
                ports.append(s.getsockname()[1])
        bridge = self.bridge(f'[feed.t]\ntype = "tcp"\naddress = "127.0.0.1:{ports[0]}"\n'
                             f'[feed.u]\ntype = "udp"\na = "127.0.0.1:{ports[1]}"\n'
                             f'[feed.d]\ntype = "unix_datagram"\npath = "{path}"\n')
        harness.wait_until(lambda: os.path.exists(path) or bridge.process.poll() is not None, "the feeds listen")
        with socket.create_connection(("127.0.0.1", ports[0])) as s:
            s.sendall(b'{"symbol":"T","Last":1}\n')
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b'{"symbol":"U","Last":2}\n{"symbol":"U2","Last":3}', ("127.0.0.1", ports[1]))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b'{"symbol":"D","Last":4}', path)
        for symbol, last in (("T", b"1.0"), ("U", b"2.0"), ("U2", b"3.0"), ("D", b"4.0")):
            harness.wait_until(lambda: b'"Last":' + last in (self.get(symbol) or b""), symbol)
        harness.wait_until(lambda: self.redis.client.exists("feed:u:alive"), "feed:u:alive")
        self.assertEqual(self.stop(bridge)["accepted"], 4)

    def test_bad_input_is_counted_and_good_lines_arrive(self):
        bridge = self.stream_bridge()
        bad = {
            "malformed": [b'{"symbol":"A"', b"nope", b"[1]", b'{"symbol":"A","Bid":1}{"symbol":"B","Bid":1}',
                          b'{"symbol":"A","Bid":1,"x":nope}', b'{"symbol":"A","Bid":01}'],
            "missing_symbol": [b'{"Bid":1}', b"{}"],
            "bad_number": [b'{"symbol":"A","Bid":"NaN"}', b'{"symbol":"A","Bid":""}'],
            "number_too_long": [b'{"symbol":"A","Bid":1234567890123456789.5}'],
            "bad_timestamp": [b'{"symbol":"A","Bid":1,"Timestamp":0}'],
            "bad_symbol": [b'{"symbol":"","Bid":1}', b'{"symbol":"a{b}","Bid":1}', b'{"symbol":"a\\u0001","Bid":1}',
                           b'{"symbol":"' + b"x" * 65 + b'","Bid":1}'],
            "invalid_utf8": [b'{"symbol":"\xff\xfe","Bid":1}'],
            "unknown_class": [b'{"class":"nope","account":"A","value":1}'],
            "missing_key_field": [b'{"class":"positions","value":1}'],
            "missing_value": [b'{"class":"positions","account":"A"}'],
            "empty": [b'{"symbol":"A"}', b'{"symbol":"A","Timestamp":1700000000000}'],
            "line_too_long": [b'{"symbol":"' + b"y" * (1 << 21) + b'"}'],
            "future": [b'{"symbol":"A","Bid":1,"Timestamp":9999999999999}'],
        }
        good = 0
        lines = []
        for reason in sorted(bad):
            for line in bad[reason]:
                lines.append(line)
                lines.append(b'{"symbol":"GOOD%d","Bid":%d.5}' % (good, good))
                lines.append(b"  ")
                good += 1
        with connect(self.feed) as s:
            s.sendall(b"\n".join(lines) + b"\n")
            s.sendall(b'{"symbol":"MNQZ5","Bid":1,"Timestamp":1700000000001}\n'
                      b'{"symbol":"MNQZ5","Bid":2,"Timestamp":1700000000000}\n{"heartbeat":true}\n'
                      b'{"class":"token","account":"A","value":"SECRET-1"}\n'
                      b'{"class":"token","account":"A","value":SECRET-2}\n'
                      b'{"class":"positions","account":"A","value":{"a": [1,2]}}')
        for i in range(good):
            harness.wait_until(lambda: b'"Bid":%d.5' % i in (self.get(f"GOOD{i}") or b""), f"GOOD{i}")
        harness.wait_until(lambda: self.redis.client.get("hft:positions:A:all") == b'{"a": [1,2]}', "positions")
        self.assertEqual(self.redis.client.get("token:A"), b"SECRET-1")
        summary = self.stop(bridge)
        expected = {reason: len(part) for reason, part in bad.items()}
        expected["stale"] = 1
        expected["malformed"] += 1
        self.assertEqual(summary["rejected"], expected)
        self.assertEqual(summary["control"], 1)
        self.assertEqual(summary["accepted"], good + 3)
        log = bridge.errors()
        self.assertIn("malformed", log)
        self.assertNotIn("SECRET", log)
        self.assertLess(log.count("rejected"), 3 * len(bad))

    def test_a_stopped_redis_never_stops_the_feed(self):
        bridge = self.stream_bridge()
        market = harness.run("synth", "--symbols", "500", "--count", "300000", "--seed", "7").stdout
        with connect(self.feed) as s:
            s.sendall(market[:market.index(b"\n", 1 << 20) + 1])
            harness.wait_until(lambda: self.redis.client.dbsize() > 100, "the first keys")
            self.redis.signal(signal.SIGSTOP)
            before = bridge.rss_kib()
            # All of it is taken while Redis stands still: sendall would wait for a feed that waits for Redis.
            s.sendall(market[market.index(b"\n", 1 << 20) + 1:])
            harness.wait_until(lambda: self.stats()["feed"]["local"]["records"] == 300000, "the feed took all")
            self.assertLess(bridge.rss_kib() - before, 8192)
        self.redis.signal(signal.SIGCONT)
        self.expect_model(market.splitlines())
        summary = self.stop(bridge)
        self.assertEqual(summary["accepted"], 300000)

    def test_saturating_synth_against_a_stopped_redis(self):
        seconds = 10 if os.environ.get("TICKBRIDGE_LONG") else 2
        bridge = self.bridge('[feed.market]\ntype = "synth"\nsymbols = 1000\nrate = 10000000\n',
                             '[class.price]\nfields = ["Last", "ReceivedNs"]\n')
        harness.wait_until(lambda: self.redis.client.dbsize() >= 1000, "the first keys")
        self.redis.signal(signal.SIGSTOP)
        before = bridge.rss_kib()
        records = self.stats()["feed"]["market"]["records"]
        end = time.monotonic() + seconds
        harness.wait_until(lambda: time.monotonic() > end, "the stop is over")
        self.assertGreater(self.stats()["feed"]["market"]["records"], records)
        self.assertLess(bridge.rss_kib() - before, 8192)
        woken = time.time_ns()
        self.redis.signal(signal.SIGCONT)
        # Rare symbols are current when a tick of after the waking has arrived for them, too.
        def current():
            keys = [k for k in self.redis.client.keys("price:*")]
            values = [json.loads(v) for v in self.redis.client.mget(keys) if v]
            return len(values) == 1000 and all(v["ReceivedNs"] > woken for v in values)
        harness.wait_until(current, "every symbol is current")
        self.stop(bridge)

    def test_a_redis_that_comes_back_empty_is_filled_again(self):
        bridge = self.stream_bridge()
        lines = [b'{"symbol":"S%d","Bid":%d,"Ask":%d,"Timestamp":1700000000000}' % (i, i, i + 1) for i in range(2000)]
        with connect(self.feed) as s:
            s.sendall(b"\n".join(lines) + b"\n" + b'{"class":"positions","account":"A","value":[1]}\n')
            model = self.expect_model(lines)
            self.redis.kill()
            self.redis.start()
            harness.wait_until(lambda: self.redis.client.dbsize() >= 2001, "all keys are back")
            for name, symbol in model.symbols.items():
                self.assertEqual(self.get(name).decode(), symbol.text())
            self.assertEqual(self.redis.client.get("hft:positions:A:all"), b"[1]")
            self.assertGreater(self.redis.client.ttl("price:S0:latest"), 0)
        self.assertGreaterEqual(self.stop(bridge)["resent"], 2001)

    def test_it_waits_for_a_redis_that_is_down(self):
        self.redis.kill()
        bridge = self.stream_bridge()
        with connect(self.feed) as s:
            s.sendall(b'{"symbol":"A","Last":1}\n')
            harness.wait_until(lambda: (self.stats() or {}).get("feed", {}).get("local", {}).get("records") == 1, "taken")
            self.redis.start()
            harness.wait_until(lambda: self.get("A"), "the key")
        self.stop(bridge)

    def test_a_second_bridge_of_the_instance_is_refused(self):
        bridge = self.stream_bridge()
        second = self.bridge('[feed.x]\ntype = "synth"\n')
        second.process.wait(harness.DEADLINE_S)
        self.assertEqual(second.process.returncode, 1)
        self.assertIn("another bridge", second.errors())
        self.stop(bridge)

    def test_it_says_at_its_start_and_end_what_it_is(self):
        bridge = self.stream_bridge()
        harness.wait_until(lambda: "sink.0: up" in bridge.errors(), "it is up")
        self.stop(bridge)
        log = bridge.errors()
        for part in (f"instance {self.instance} starts", self.redis.url, f"feed.local: unix_stream, {self.feed}",
                     "runner.main: not pinned", f"instance {self.instance} stopped"):
            self.assertIn(part, log)
        self.assertFalse(os.path.exists(f"/dev/shm/tickbridge-{self.instance}.counters.lock"))

    def test_a_folder_that_is_missing_is_named(self):
        missing = os.path.join(self.redis.folder, "missing")
        bridge = self.bridge(f'[feed.local]\ntype = "unix_stream"\npath = "{missing}/feed.sock"\n')
        self.assertEqual(bridge.process.wait(harness.DEADLINE_S), 1)
        self.assertIn(f"the folder {missing} does not exist; create it, or change feed.local.path", bridge.errors())
        self.assertEqual(bridge.errors().count("tickbridge: feed.local: "), 1)
        self.assertNotIn("feed.local: feed.local", bridge.errors())
        self.assertFalse(os.path.exists(f"/dev/shm/tickbridge-{self.instance}.counters.lock"))

    def test_a_stop_that_cannot_deliver_says_so_and_counts_keys(self):
        bridge = self.stream_bridge()
        self.redis.kill()
        with connect(self.feed) as s:
            s.sendall(b"".join(b'{"symbol":"S%d","Last":%d}\n' % (i % 10, i) for i in range(1000)))
            s.sendall(b'{"class":"positions","account":"A","value":1}\n{"class":"positions","account":"A","value":2}\n')
            harness.wait_until(lambda: (self.stats() or {}).get("feed", {}).get("local", {}).get("records") == 1002,
                               "taken")
        bridge.process.terminate()
        harness.wait_until(lambda: "a second signal ends at once" in bridge.errors(), "it says that it stops")
        summary = self.stop(bridge, 1)
        self.assertIn("tickbridge: interrupted; 1002 records pending; sink.0: ", bridge.errors())
        self.assertEqual(summary["pending"], 11)
        self.assertEqual(summary["conflated"], 991)


class Commands(unittest.TestCase):
    """What needs no running bridge."""

    def expect(self, code, message, *arguments, **options):
        result = harness.run(*arguments, **options)
        said = result.stderr.decode()
        self.assertEqual(result.returncode, code, said)
        self.assertIn(message, said)
        return result

    def test_a_speed_is_checked_before_anything_is_started(self):
        for speed in ("fast", "0x", ""):
            result = self.expect(2, f'--speed: "{speed}" is not a speed', "replay", "-", "--speed", speed, "--redis",
                                 "embedded", "--set", "log.level=debug")
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_an_unknown_command_is_named(self):
        self.expect(2, 'unknown command "frob"\n', "frob")
        self.expect(2, 'unknown command "rplay"; did you mean replay?', "rplay", "x")
        self.assertNotIn("s3cret", self.expect(2, "unknown command", "redis://u:s3cret@h").stderr.decode())

    def test_every_command_checks_the_options_of_all(self):
        commands = (("get", "A"), ("watch", "A"), ("stats",), ("synth", "--count", "1"), ("run",), ("replay", "-"))
        for command in commands:
            self.expect(2, "/nope: cannot be read", *command, "--config", "/nope")
            result = self.expect(2, "--redis: a password in the URL is refused", *command, "--redis", "redis://:pw@x")
            self.assertEqual(result.stdout, b"")
            self.expect(2, "--redis: it must begin with redis://", *command, "--redis", "http://h")

    def expect_full(self, *command):
        """It fails where nothing can be written to stdout."""
        with open("/dev/full", "wb") as full:
            result = subprocess.run([harness.TICKBRIDGE, *command], stdin=subprocess.DEVNULL, stdout=full,
                                    stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
        self.assertEqual(result.returncode, 1, command)
        self.assertIn(b"cannot write to stdout", result.stderr, command)

    def test_a_failed_write_to_stdout_is_a_failure(self):
        redis = harness.Redis()
        self.addCleanup(redis.close)
        redis.client.set("price:A:latest", b'{"Last":1.0}')
        self.expect_full("replay", "-", "--redis", "embedded")
        self.expect_full("run", "--check-config")
        self.expect_full("run", "--redis", "embedded", "--set", "feed.x.type=synth", "--for", "50ms", "--set",
                         f"bridge.instance=full-{os.getpid()}")
        self.expect_full("synth", "--count", "1")
        self.expect_full("get", "A", "--redis", redis.url)
        self.expect_full("watch", "A", "--for", "1s", "--redis", redis.url)

    def test_watch_has_one_header_off_a_terminal(self):
        redis = harness.Redis()
        self.addCleanup(redis.close)
        redis.client.set("price:A:latest", b'{"Last":1.0}')
        out = harness.run("watch", "A", "--for", "500ms", "--interval", "100ms", "--redis", redis.url).stdout.decode()
        lines = out.splitlines()
        self.assertGreater(len(lines), 2)
        self.assertEqual(lines[0].split()[:3], ["Time", "Symbol", "Last"])
        self.assertEqual(out.count("Symbol"), 1)
        for line in lines[1:]:
            self.assertEqual(lines[0].index("Symbol"), line.index("A "))
            self.assertEqual(lines[0].index("Last"), line.index(" 1.0"))

    def test_check_config_as_json(self):
        result = harness.run("run", "--check-config", "--json", "--config",
                             str(harness.ROOT / "config/tickbridge.toml"))
        self.assertEqual(result.returncode, 0)
        self.assertEqual(json.loads(result.stdout),
                         {"ok": True, "instance": "main", "feeds": 1, "runners": 1, "classes": 7})
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as f:
            f.write('[bridge]\ninstance = "a/b"\n[redis]\nshare = 7\n')
            f.flush()
            result = harness.run("run", "--check-config", "--json", "--config", f.name)
        self.assertEqual(result.returncode, 2)
        said = json.loads(result.stdout)
        self.assertFalse(said["ok"])
        self.assertEqual([(e["file"], e["line"]) for e in said["errors"]], [(f.name, 2), (f.name, 4)])
        self.assertIn("redis.share", said["errors"][1]["message"])
        result = harness.run("run", "--check-config", "--json", "--set", "redis.password_file=/nope")
        self.assertEqual(result.returncode, 2)
        self.assertIn("/nope", json.loads(result.stdout)["errors"][0]["message"])

    def test_a_replay_that_gives_up_says_so_and_counts_keys(self):
        ticks = harness.run("synth", "--symbols", "100", "--count", "100000").stdout
        result = self.expect(1, "gave up: no progress for 300ms; 100000 records pending; sink.0: cannot connect",
                             "replay", "-", "--redis", "unix:///nope.sock", "--timeout", "300ms", "--json", input=ticks)
        summary = json.loads(result.stdout)
        harness.check_sums(self, summary)
        self.assertEqual((summary["pending"], summary["conflated"]), (100, 99900))

    def test_an_unverified_server_is_warned_of(self):
        command = ("replay", "-", "--redis", "rediss://127.0.0.1:1", "--timeout", "10ms")
        self.expect(0, 'redis.tls_verify is "none"', *command, "--set", "redis.tls_verify=none", input=b"")
        self.assertNotIn(b"tls_verify", harness.run(*command, input=b"").stderr)

    def test_an_interrupted_replay_says_so(self):
        redis = harness.Redis()
        self.addCleanup(redis.close)
        process = subprocess.Popen([harness.TICKBRIDGE, "replay", "-", "--redis", redis.url, "--json"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b'{"symbol":"A","Last":1}\n')
        process.stdin.flush()
        harness.wait_until(lambda: redis.client.get("price:A:latest"), "the key")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"interrupted", said)
        summary = json.loads(out)
        harness.check_sums(self, summary)
        self.assertEqual(summary["written"], 1)


if __name__ == "__main__":
    harness.main()
