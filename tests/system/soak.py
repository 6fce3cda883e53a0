# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong around a running bridge, again and again, while a market flows; the newest arrives, and
no reader sees a key go back. Prints a table; exits 0 only if all of it held.

  tests/system/soak.py                     50 cycles of each fault (200 CLIENT KILLs), 200,000 ticks/s, 2,000 symbols
  tests/system/soak.py --short             a few of each, as ctest runs it
  tests/system/soak.py --cycles 5 --seed 7

Four processes: redis-server, the bridge, a generator (soak_market.py) and a reader (soak_reader.py). After each fault
the feed rests at a quiet point, and every key must equal the model, value for value. At about half of them the feed
sends nothing more: all that it ever sent counts. At the others, and wherever a bridge was killed with lines in its
socket that it never accepted, the feed first tells every symbol whole. Half of the faults of Redis end while the feed
already rests, so that no later tick can mend what was lost; some symbols, told only in snapshots, never tick between.
"""
import argparse
import os
import random
import shutil
import signal
import socket
import statistics
import sys
import time
import unittest

import harness
import soak_market
import soak_reader
from model import Model

TTL = "3600s"
# How often the bridge tries to connect to a server on its own host, at the least (tools/bridge.cc).
RETRY_S = 0.020
# A quiet point or a recovery that takes longer is a failure; the soak goes on to see what else there is.
DEADLINE_S = min(harness.DEADLINE_S, 20)
FAILURES_MAX = 10
RSS_GROWTH_MAX_KIB = 4096
ALARMS = ("Sanitizer", "runtime error", "terminate called", "Assertion", "CHECK", "abort", "Segmentation")

NO_FAULT = "none"
REDIS_KILL = "Redis: kill -9, start"
REDIS_STOP = "Redis: SIGSTOP, SIGCONT"
CLIENT_KILL = "CLIENT KILL of the bridge"
BRIDGE_RETELL = "bridge: kill -9, start; feed tells all"
BRIDGE_GO_ON = "bridge: kill -9, start; feed goes on"
BRIDGE_STOP = "the same while Redis is stopped"
FAULTS = (NO_FAULT, REDIS_KILL, REDIS_STOP, CLIENT_KILL, BRIDGE_RETELL, BRIDGE_GO_ON, BRIDGE_STOP)
CLIENT_KILLS_PER_CYCLE = 4
# Of the server's time (redis.share): the default, and all of it, which leaves the most on its way when a bridge is
# killed. The long life has the default, later ones take turns.
SHARES = (0.5, 1.0)

options = None


class Record:
    """What is told of one kind of fault in the table."""

    def __init__(self):
        self.count = 0
        self.quiet = {"all that was sent": 0, "told whole": 0}
        self.recovery_s = {share: [] for share in SHARES}
        self.ratio = {share: [] for share in SHARES}
        self.bare_s = []


def skip_without_programs(test):
    for program in (harness.TICKBRIDGE, "redis-server"):
        if not shutil.which(program):
            test.skipTest(f"no {program}")


class ShortModel(unittest.TestCase):
    def setUp(self):
        skip_without_programs(self)

    def test_expects_what_the_line_by_line_model_does(self):
        market = soak_market.Market(options.seed, 60, 10000, round_chunks=64)
        sent = soak_market.Sent()
        slow = Model()
        for chunks in (1, 30, 64, 65, 500):
            sent.snapshot_ms = market.time_ms(sent.chunks, sent.snapshots)
            slow.replay(market.snapshot(sent.snapshots, sent.snapshot_ms).splitlines())
            sent.snapshots += 1
            sent.first_chunk = sent.chunks
            for chunk in range(sent.chunks, sent.chunks + chunks):
                slow.replay(market.chunk(chunk, market.time_ms(chunk, sent.snapshots)).splitlines())
            sent.chunks += chunks
            self.assertEqual([slow.symbols[name].text(soak_market.MEMBERS).encode() for name in market.names],
                             market.expected(sent))
            self.assertEqual([slow.symbols[name].timestamp for name in market.names], market.newest_times_ms(sent))
        self.assertEqual(slow.rejected, {})


class Soak(unittest.TestCase):
    def setUp(self):
        skip_without_programs(self)
        self.redis = harness.Redis()
        self.addCleanup(self.redis.close)
        self.random = random.Random(options.seed)
        self.market = soak_market.Market(options.seed, options.symbols, options.rate)
        self.instance = f"soak-{os.getpid()}"
        self.feed = os.path.join(self.redis.folder, "feed.sock")
        self.records = {name: Record() for name in FAULTS}
        self.failures = []
        self.lives = []  # of each bridge: resident KiB at its quiet points
        self.started = time.monotonic()
        self.probe = soak_reader.Connection(self.redis.socket, lambda: False)
        self.addCleanup(self.probe.close)
        self.bridge = None
        self.addCleanup(lambda: self.bridge and self.bridge.close())
        self.start_bridge()
        self.generator = soak_market.Generator(self.market, self.feed, harness.DEADLINE_S)
        self.addCleanup(self.generator.close)
        self.sent = self.generator.sent

    def note(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def fail_and_go_on(self, text):
        self.failures.append(text)
        self.note(f"FAILED: {text}")
        if len(self.failures) >= FAILURES_MAX:
            self.fail("\n".join(self.failures))

    # ---- The bridge.

    def start_bridge(self):
        self.share = SHARES[len(self.lives) % len(SHARES)]
        fields = ", ".join(f'"{member}"' for member in (*soak_market.MEMBERS, "Sequence"))
        self.bridge = harness.Bridge(
            f'[bridge]\ninstance = "{self.instance}"\n[redis]\nurl = "{self.redis.url}"\nshare = {self.share}\n'
            f'[class.price]\nttl = "{TTL}"\nfields = [{fields}]\n'
            f'[feed.local]\ntype = "unix_stream"\npath = "{self.feed}"\n')
        self.lives.append([])

    def check_alive(self):
        code = self.bridge.process.poll()
        if code is not None:
            self.fail(f"the bridge ended with {code}: {self.bridge.errors()}")
        self.assertIsNone(self.redis.process.poll(), "redis-server ended")

    def check_log(self):
        alarms = [line for line in self.bridge.errors().splitlines() if any(alarm in line for alarm in ALARMS)]
        if alarms:
            self.fail_and_go_on(f"the bridge's log: {alarms}")

    def stats(self):
        result = harness.run("stats", "--json", "--set", f"bridge.instance={self.instance}")
        return harness.json.loads(result.stdout) if result.returncode == 0 else None

    # ---- The market, and what has arrived of it.

    def flow(self, chunks_max):
        """So much more of the market, while it flows."""
        chunks = self.sent.chunks + self.random.randrange(1, chunks_max)
        harness.wait_until(lambda: self.sent.chunks >= chunks, "the bridge takes the feed")

    def recovered(self, name, since, times_ms):
        """Waits until every key has a tick of its time or a newer one; how long that took since then is noted."""
        keys = self.market.keys
        left = [i for i, stamp in enumerate(times_ms) if stamp is not None]
        while left:
            try:
                stamps = self.probe.times_ms([keys[i] for i in left])
                left = [i for i, stamp in zip(left, stamps, strict=True) if stamp < times_ms[i]]
            except ConnectionError:
                pass
            now = time.monotonic()
            if now - since > DEADLINE_S:
                self.check_alive()
                return self.fail_and_go_on(f"{name}: {len(left)} keys not current {DEADLINE_S} s after, the first "
                                           f"{keys[left[0]]}; {self.bridge.errors()[-500:]}")
        self.records[name].recovery_s[self.share].append(now - since)
        return now - since

    def quiet_point(self, name, told_whole):
        """The feed rests; every key equals the model."""
        self.generator.pause()
        if told_whole:
            self.generator.snapshot()
        expected = self.market.expected(self.sent)
        found = []

        def equal():
            try:
                found[:] = self.probe.values(self.market.keys)
            except ConnectionError:
                return False
            found[:] = [value and value[:value.rfind(b',"Sequence":')] + b"}" for value in found]
            return found == expected

        try:
            harness.wait_until(equal, "every key equals the model", DEADLINE_S)
            harness.wait_until(self.counted, "the counts add up", DEADLINE_S)
            self.assertTrue(equal(), "a key changed at a quiet point")
            self.records[name].quiet["told whole" if told_whole else "all that was sent"] += 1
        except AssertionError as error:
            wrong = [i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]]
            examples = "".join(f"\n  Redis {found[i]}\n  model {expected[i]}" for i in wrong[:3])
            self.fail_and_go_on(f"{name}, {'told whole' if told_whole else 'nothing more sent'}: {error}: {len(wrong)} "
                                f"keys differ{examples}\n  counts {self.stats()}\n  sent on this connection "
                                f"{self.sent.connection_lines}")
            self.generator.snapshot()  # what follows is exact again
        self.check_alive()
        self.lives[-1].append(self.bridge.rss_kib())
        self.generator.flow()

    def counted(self):
        """Promise 5 in a living bridge: all lines of its one connection were accepted, and each has ended."""
        stats = self.stats()
        if not stats or "local" not in stats["feed"]:
            return False
        feed = stats["feed"]["local"]
        ends = sum(lane[end] for lane in stats["lane"].values()
                   for end in ("written", "conflated", "expired", "failed"))
        return (feed["records"] == self.sent.connection_lines and feed["accepted"] + feed["control"] == feed["records"]
                and ends == feed["accepted"])

    # ---- Faults. Each ends with all symbols current again.

    def end_of_fault(self, name, rests):
        """If the feed rests, all that it sent must arrive by itself."""
        since = time.monotonic()
        if rests == "after":
            self.generator.pause()
        return self.recovered(name, since, self.market.newest_times_ms(self.sent))

    def redis_kill(self, rests):
        self.redis.kill()
        self.probe.close()
        self.generator.pause() if rests else self.flow(200)
        self.redis.spawn()
        while not self.probe.answers():
            self.assertIsNone(self.redis.process.poll(), "redis-server ended")
            time.sleep(0.0002)
        took = self.end_of_fault(REDIS_KILL, rests)
        if took is not None:
            record = self.records[REDIS_KILL]
            record.bare_s.append(self.bare_writer())
            record.ratio[self.share].append(took / (record.bare_s[-1] + RETRY_S))

    def bare_writer(self):
        """What it takes to connect and write as many values in one pipeline, with nothing else to do."""
        values = [value or b"" for value in self.probe.values(self.market.keys)]
        keys = [b"bare:" + key for key in self.market.keys]
        commands = b"".join(soak_reader.command(b"SETEX", key, b"600", value) for key, value in zip(keys, values))
        writer = soak_reader.Connection(self.redis.socket)
        since = time.monotonic()
        writer.request(commands, b"+OK\r\n" * len(keys))
        took = time.monotonic() - since
        writer.request(soak_reader.command(b"UNLINK", *keys), b":%d\r\n" % len(keys))
        writer.close()
        return took

    def redis_stop(self, rests):
        self.redis.signal(signal.SIGSTOP)
        if rests:
            self.flow(100)
            self.generator.pause()
        time.sleep(self.random.uniform(0, options.stop_s))
        self.redis.signal(signal.SIGCONT)
        self.end_of_fault(REDIS_STOP, rests)

    def client_kill(self, rests):
        for left in reversed(range(CLIENT_KILLS_PER_CYCLE)):
            if rests and not left:
                self.kill_with_commands_unread()
            else:
                harness.wait_until(self.kill_a_connection, "a connection of the bridge to kill")
            self.end_of_fault(CLIENT_KILL, None)
            self.records[CLIENT_KILL].count += left != 0
            if left:
                self.flow(50)

    def connections(self):
        return [c for c in self.redis.client.client_list() if c["name"].startswith(f"tickbridge:{self.instance}:")]

    def kill_a_connection(self):
        ours = self.connections()
        return ours and self.redis.client.client_kill_filter(_id=self.random.choice(ours)["id"])

    def kill_with_commands_unread(self):
        """The server is asked to end the connection before it sees what the bridge sends on it; the feed then rests, so
        that only the bridge itself can make up for that."""
        self.generator.pause()
        ours = harness.wait_until(self.connections, "a connection of the bridge to kill")
        self.redis.signal(signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX) as killer:
            killer.connect(self.redis.socket)
            for connection in ours:
                killer.sendall(soak_reader.command(b"CLIENT", b"KILL", b"ID", connection["id"].encode()))
            self.generator.snapshot()
            self.redis.signal(signal.SIGCONT)
            self.assertEqual(killer.recv(4), b":1\r\n")

    def bridge_kill(self, name, stopped):
        retell = name == BRIDGE_RETELL or (name == BRIDGE_STOP and self.random.random() < 0.5)
        if retell:
            self.generator.snapshot_when_connected()
        if stopped:
            self.redis.signal(signal.SIGSTOP)
            self.flow(300)
        connections, snapshots = self.sent.connections, self.sent.snapshots
        self.bridge.process.kill()
        self.assertEqual(self.bridge.process.wait(), -signal.SIGKILL, "the bridge ended by itself")
        self.check_log()
        self.bridge.close()
        self.start_bridge()
        since = time.monotonic()
        harness.wait_until(lambda: self.bridge.process.poll() is not None or self.sent.connections > connections,
                           "the feed connects again")
        self.check_alive()
        if stopped:
            time.sleep(self.random.uniform(0, options.stop_s / 5))
            self.redis.signal(signal.SIGCONT)
            since = time.monotonic()
        if retell:
            harness.wait_until(lambda: self.sent.snapshots > snapshots, "the feed tells all")
            times_ms = [self.sent.snapshot_ms] * len(self.market.keys)
        else:
            times_ms = [None if sleeping else self.sent.connection_ms for sleeping in self.market.sleeping]
        self.recovered(name, since, times_ms)

    def fault(self, name, reader):
        self.flow(300)
        reader.seen.fault = FAULTS.index(name)
        self.records[name].count += 1
        rests = self.random.random() < 0.5
        if name == NO_FAULT:
            self.end_of_fault(name, "after" if rests else None)
        elif name == REDIS_KILL:
            self.redis_kill(rests)
        elif name == REDIS_STOP:
            self.redis_stop(rests)
        elif name == CLIENT_KILL:
            self.client_kill(rests)
        else:
            self.bridge_kill(name, stopped=name == BRIDGE_STOP)
        is_bridge = name in (BRIDGE_RETELL, BRIDGE_GO_ON, BRIDGE_STOP)
        if not rests or is_bridge:
            self.flow(200)
        self.quiet_point(name, told_whole=is_bridge or (not rests and self.random.random() < 0.5))

    def schedule(self):
        """Half of the faults in one long life of a bridge, then the rest among its restarts."""
        cycles = options.cycles
        others = [name for name in (NO_FAULT, REDIS_KILL, REDIS_STOP, CLIENT_KILL) for _ in range(cycles)]
        restarts = [(BRIDGE_RETELL, BRIDGE_GO_ON, BRIDGE_STOP)[i % 3] for i in range(cycles)]
        self.random.shuffle(others)
        rest = others[len(others) // 2:] + restarts
        self.random.shuffle(rest)
        return others[:len(others) // 2] + rest

    # ---- The whole.

    def test_faults(self):
        cores = self.cores()
        self.note(f"seed {options.seed}, {options.cycles} cycles, {options.rate} ticks/s, {options.symbols} symbols, "
                  f"{self.market.round_chunks} ms a round; {harness.run('--version').stdout.decode().strip()}")
        self.generator.snapshot()
        self.generator.flow()
        self.flow(500)
        self.quiet_point(NO_FAULT, told_whole=False)
        reader = soak_reader.Reader(self.market, self.redis.socket)
        self.addCleanup(reader.close)
        try:
            self.all_faults(reader)
            self.generator.pause()
            self.stop_bridge()
        finally:
            violations, examples = reader.finish()
            self.print_table(reader.seen, violations)
        for fault, kind, text in examples:
            self.failures.append(f"the reader: {FAULTS[fault]}: {kind}: {text}")
        self.check_memory()
        self.assertEqual(self.cores(), cores, "a core was dumped")
        if self.failures:
            self.fail(f"{len(self.failures)} failures, seed {options.seed}\n" + "\n".join(self.failures[:FAILURES_MAX]))

    def all_faults(self, reader):
        schedule = self.schedule()
        for i, name in enumerate(schedule):
            self.fault(name, reader)
            if (i + 1) % 10 == 0 or i + 1 == len(schedule):
                self.note(f"{i + 1} of {len(schedule)} cycles, the reader saw {reader.seen.violations} violations")
        reader.seen.fault = FAULTS.index(NO_FAULT)
        self.flow(500)
        self.quiet_point(NO_FAULT, told_whole=False)

    def stop_bridge(self):
        code, summary = self.bridge.stop()
        self.assertEqual(code, 0, self.bridge.errors())
        harness.check_sums(self, summary)
        self.assertEqual(summary["records"], self.sent.connection_lines)
        self.assertEqual({k: v for k, v in summary["rejected"].items() if v}, {})
        for end in ("pending", "failed", "expired"):
            self.assertEqual(summary[end], 0, summary)
        self.check_log()

    def cores(self):
        return {name for name in os.listdir() if name.startswith("core")}

    def check_memory(self):
        for life, rss in enumerate(self.lives):
            if rss and rss[-1] - rss[0] > RSS_GROWTH_MAX_KIB:
                self.failures.append(f"bridge {life} grew from {rss[0]} to {rss[-1]} KiB")

    def print_table(self, seen, violations):
        def pair(values, scale=1, digits=1):
            if not values:
                return "-"
            return f"{statistics.median(values) * scale:.{digits}f} {max(values) * scale:7.{digits}f}"

        heads = "".join(f"{f'recovery ms, {share}':>18}{'ratio':>14}" for share in SHARES)
        print(f"\n{'fault':40}{'count':>6}{'quiet':>8}{heads}{'bare ms':>14}{'reader':>8}\n"
              f"{'':54}{('p50     max'.rjust(18) + 'p50    max'.rjust(14)) * 2}{'p50    max':>14}")
        for index, (name, record) in enumerate(self.records.items()):
            cells = "".join(f"{pair(record.recovery_s[share], 1000):>18}{pair(record.ratio[share], 1, 2):>14}"
                            for share in SHARES)
            quiet = "+".join(map(str, record.quiet.values()))
            seen_here = sum(n for (fault, _), n in violations.items() if fault == index)
            print(f"{name:40}{record.count:6}{quiet:>8}{cells}{pair(record.bare_s, 1000):>14}{seen_here:8}")
        print("\nquiet: every key equal to the model, nothing more sent for it + after every symbol was told whole\n"
              "recovery, by redis.share of the bridge: from the fault's end until every symbol has what was sent\n"
              "  before it; bridge killed: what is told to the new one; where the feed goes on, the rarest symbol's next\n"
              f"  tick is up to {self.market.round_chunks} ms away\n"
              "ratio: recovery ÷ (bare: connect, and as many SETEX in one pipeline + the retry interval, "
              f"{RETRY_S * 1000:.0f} ms)\n"
              "reader: how often it saw a key go back, or lose a field")
        by_kind = ", ".join(f"{kind}: {sum(n for (_, k), n in violations.items() if k == kind)}"
                            for kind in sorted({kind for _, kind in violations})) or "none"
        reached = self.sent.lines / max(self.sent.flowing_ns / 1e9, 1e-9)
        life = max(self.lives, key=len) or [0]
        print(f"feed: {self.sent.lines} lines, {self.sent.bytes / 1e6:.0f} MB, {self.sent.connections} connections, "
              f"{reached:.0f} ticks/s while it flowed ({options.rate} asked)\n"
              f"reader: {seen.polls} polls of all keys, {seen.values} new values, {seen.connects} connections, longest "
              f"gap {seen.gap_ns_max / 1e9:.1f} s; violations: {by_kind}\n"
              f"bridge: {len(self.lives)} lives; RSS of the longest {life[0]} KiB early, {life[-1]} late, "
              f"{max(life)} at most\n"
              f"took {time.monotonic() - self.started:.0f} s, seed {options.seed}", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--short", action="store_true", help="a few cycles of each, at most 40 s")
    parser.add_argument("--cycles", type=int, metavar="N", help="of each fault; four times as many CLIENT KILLs [50]")
    parser.add_argument("--rate", type=int, default=200_000, help="ticks a second [%(default)s]")
    parser.add_argument("--symbols", type=int, default=2000, help="[%(default)s]")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="every random choice follows from it")
    parser.add_argument("--stop-s", type=float, metavar="S", help="SIGSTOPs of Redis last up to so long [10]")
    parsed, rest = parser.parse_known_args()
    parsed.cycles = parsed.cycles or (3 if parsed.short else 50)
    parsed.stop_s = parsed.stop_s or (2 if parsed.short else 10)
    sys.argv[1:] = rest
    return parsed


if __name__ == "__main__":
    options = parse()
    harness.main()
