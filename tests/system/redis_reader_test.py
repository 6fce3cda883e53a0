# SPDX-License-Identifier: Apache-2.0
"""examples/redis_reader.cc, beside a real server: what it prints of a value that comes, changes and runs out."""
import pathlib
import subprocess
import unittest

import harness

EXAMPLE = pathlib.Path(harness.TICKBRIDGE).parent / "example_redis_reader"


class RedisReaderExample(unittest.TestCase):
    def lines(self, redis, *symbols):
        process = subprocess.Popen([EXAMPLE, redis.url, "60", *symbols], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return iter(process.stdout.readline, "")

    def until(self, lines, begin):
        for line in lines:
            if line.startswith(begin):
                return line
        self.fail(f"no line {begin}")

    def test_prints_what_changes(self):
        redis = harness.Redis()
        self.addCleanup(redis.close)
        lines = self.lines(redis, "MNQZ5", "ESZ5")
        self.until(lines, "tracking OK")
        self.until(lines, "ESZ5 never seen")
        redis.client.setex("price:MNQZ5:latest", 5, '{"Last":21000.25,"Bid":null}')
        self.assertIn(" s old", self.until(lines, "MNQZ5 current Last 21000.25"))
        redis.client.psetex("price:MNQZ5:latest", 300, '{"Last":21000.5}')
        self.until(lines, "MNQZ5 current Last 21000.5")
        self.until(lines, "MNQZ5 expired")
        redis.client.setex("price:MNQZ5:latest", 5, '{"Last":21001.0}')
        self.until(lines, "MNQZ5 current Last 21001.0")
        redis.kill()
        self.until(lines, "MNQZ5 held Last 21001.0")
        self.until(lines, "MNQZ5 unknown")
        redis.start()
        self.until(lines, "tracking OK")
        self.until(lines, "MNQZ5 expired")

    def test_says_that_it_polls(self):
        redis = harness.Redis()
        self.addCleanup(redis.close)
        redis.client.execute_command("ACL", "SETUSER", "default", "-client|tracking")
        lines = self.lines(redis, "MNQZ5")
        self.assertIn("CLIENT TRACKING", self.until(lines, "polling"))
        redis.client.setex("price:MNQZ5:latest", 5, '{"Last":1.5}')
        self.until(lines, "MNQZ5 current Last 1.5")


if __name__ == "__main__":
    harness.main()
