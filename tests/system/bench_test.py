# SPDX-License-Identifier: Apache-2.0
"""`tickbridge bench`: every tick is counted once, from when it was due, whatever the server does meanwhile."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import harness

RATE = 10_000
FOR_S = 1.5
WARMUP_S = 0.3


def start_bench(redis, *arguments):
    return subprocess.Popen([harness.TICKBRIDGE, "bench", "--redis", redis.url, "--json", "--idle", "backoff",
                             *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    out, err = process.communicate(timeout=harness.DEADLINE_S)
    assert process.returncode == 0, (process.returncode, out, err)
    return json.loads(out)


class Bench(unittest.TestCase):
    def setUp(self):
        self.redis = harness.Redis()
        self.addCleanup(self.redis.close)

    def check_sums(self, run, sent):
        self.assertEqual(run["sent"], sent)
        self.assertEqual(run["ticks"] + run["unmeasured"], sent)
        self.assertEqual(run["unacknowledged"], 0)
        self.assertEqual(run["rejected"], 0)
        self.assertEqual(run["coarse"], 0)
        self.assertEqual(run["ack_ns"]["count"], run["ticks"])
        # Of those that ended in a write the newest is one, and all the others were superseded.
        self.assertEqual(run["writes"] - run["resent"] + run["conflated"], sent)

    def stopped(self):
        with open(f"/proc/{self.redis.process.pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"

    def test_a_stall_of_the_server_shows_in_every_percentile_that_it_must(self):
        process = start_bench(self.redis, "--rate", str(RATE), "--symbols", "100", "--for", f"{int(FOR_S * 1000)}ms",
                              "--warmup", f"{int(WARMUP_S * 1000)}ms")
        warm = int(RATE * WARMUP_S)

        def writing():
            stats = self.redis.client.info("commandstats")
            return stats.get("cmdstat_setex", {}).get("calls", 0) > warm + RATE // 20
        harness.wait_until(writing, "the measured time has begun")
        self.redis.signal(signal.SIGSTOP)
        harness.wait_until(self.stopped, "redis-server is stopped")
        begin = time.monotonic()
        time.sleep(0.2)
        stall = time.monotonic() - begin
        self.redis.signal(signal.SIGCONT)
        run = finish(process)["runs"][0]
        sent = int(RATE * (FOR_S + WARMUP_S))
        self.check_sums(run, sent)
        # A tick that was due `x` before the stall's end took longer than `x`; there are RATE · x of them.
        count = run["ticks"]
        for name, part in (("p90", 0.10), ("p99", 0.01), ("p999", 0.001), ("p9999", 0.0001), ("max", 0)):
            least = stall - (part * count + 2) / RATE
            self.assertGreaterEqual(run["ack_ns"][name] / 1e9, least, name)
        self.assertGreater(stall - 0.1 * count / RATE, 0.04, "the test shows something at p90")

    def test_a_process_and_a_reader(self):
        process = start_bench(self.redis, "--rate", "5k", "--symbols", "20", "--for", "300ms", "--warmup", "100ms",
                              "--generator", "process", "--visible", "redis,table")
        run = finish(process)["runs"][0]
        self.check_sums(run, 2000)
        self.assertGreater(run["visible_redis_ns"]["count"], 0)
        self.assertEqual(run["visible_redis_ns"]["count"], run["visible_table_ns"]["count"])
        self.assertEqual(run["unseen"], 0)
        self.assertFalse(run["watcher_overrun"])
        leftovers = [name for name in os.listdir("/dev/shm") if name.startswith(f"tickbridge-bench-{process.pid}")]
        self.assertEqual(leftovers, [])

    def test_through_a_ring(self):
        for more in ([], ["--generator", "process"]):
            process = start_bench(self.redis, "--rate", "5k", "--symbols", "20", "--for", "300ms", "--warmup", "100ms",
                                  "--ring", *more)
            self.check_sums(finish(process)["runs"][0], 2000)
            self.assertFalse(os.path.exists(f"/dev/shm/tickbridge-bench-{process.pid}.ring"))

    def test_sweeps_bursts_and_files(self):
        with tempfile.TemporaryDirectory() as folder:
            process = start_bench(self.redis, "--rates", "2k,20k", "--symbols", "1,300", "--burst", "50", "--for",
                                  "100ms", "--warmup", "50ms", "--out", folder)
            runs = finish(process)["runs"]
            self.assertEqual([(run["offered_rate"], run["symbols"]) for run in runs],
                             [(2000, 1), (20000, 1), (2000, 300), (20000, 300)])
            for run in runs:
                self.check_sums(run, int(run["offered_rate"] * 0.15))
            written = {path.name for path in pathlib.Path(folder).iterdir()}
            self.assertLessEqual({"report.html", "result.json", "1-ack.hgrm", "4-staleness.hgrm"}, written)

    def test_a_recording_at_its_own_times_and_a_baseline(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ticks.ndjson")
            made = harness.run("synth", "--symbols", "30", "--rate", "5000", "--count", "2000", "--out", path)
            self.assertEqual(made.returncode, 0, made.stderr)
            with open(path, "a") as f:
                f.write('{"heartbeat":true}\n{"symbol":"MNQZ5","reset":true}\n{"class":"positions","account":"A","value":1}\n')
            result = finish(start_bench(self.redis, "--replay", path, "--speed", "4x", "--warmup", "0s"))
        run = result["runs"][0]
        self.assertEqual(run["sent"], 2000)
        self.assertEqual(run["ticks"], 2000)
        self.assertEqual(run["unacknowledged"], 0)
        result = finish(start_bench(self.redis, "--rate", "1k", "--for", "50ms", "--warmup", "0s", "--baseline",
                                    "--rounds", "2"))
        self.assertEqual(result["baseline_ns"]["count"], 100)
        self.assertEqual(result["runs"][0]["ticks"], 100)
        self.assertGreater(result["ack_to_baseline"]["p50"], 0)

    def test_what_cannot_be_is_refused(self):
        for arguments in (["--rate", "fast"], ["--symbols", "0"], ["--replay", "/nowhere"], ["--visible", "mars"],
                          ["--replay", "/dev/null", "--visible", "redis"], ["--redis-cpu", "0"]):
            process = start_bench(self.redis, *arguments)
            process.communicate(timeout=harness.DEADLINE_S)
            self.assertIn(process.returncode, (1, 2), arguments)


if __name__ == "__main__":
    harness.main()
