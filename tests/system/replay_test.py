# SPDX-License-Identifier: Apache-2.0
"""Replays recordings of real venues, and reads the keys back as the strategies do: with Python's redis client."""
import json
import unittest

import harness
from model import DEFAULT_MEMBERS, Model, read_lines

MEMBERS_ALL = ("Last", "Bid", "Ask", "Volume", "High", "Low", "Timestamp", "BidSize", "AskSize", "LastSize")


class Replay(unittest.TestCase):
    def setUp(self):
        self.redis = harness.Redis()
        self.addCleanup(self.redis.close)

    def replay(self, path, members=DEFAULT_MEMBERS, *arguments):
        lines = read_lines(path)
        model = Model().replay(lines)
        result = harness.run("replay", str(path), "--redis", self.redis.url, "--json", "--set", "class.price.ttl=600s",
                             "--set", "class.price.fields=" + json.dumps(list(members)), *arguments)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        summary = json.loads(result.stdout)
        harness.check_sums(self, summary)
        self.assertEqual(summary["records"], model.records)
        self.assertEqual(summary["accepted"], model.accepted)
        self.assertEqual({k: v for k, v in summary["rejected"].items() if v}, model.rejected)
        self.assertEqual(summary["symbols"], len(model.symbols))
        for name in ("pending", "failed", "expired"):
            self.assertEqual(summary[name], 0)

        keys = {f"price:{name}:latest".encode(): symbol for name, symbol in model.symbols.items()}
        self.assertEqual(set(self.redis.client.keys("*")) - {b"feed:replay:alive"}, set(keys))
        for key, symbol in keys.items():
            value = self.redis.client.get(key)
            self.assertEqual(value.decode(), symbol.text(members), key)
            self.assertEqual(tuple(json.loads(value)), tuple(members))
            self.assertTrue(590 < self.redis.client.ttl(key) <= 600)
        return summary

    def test_binance(self):
        self.replay(harness.recording("ndjson/binance_20240808.ndjson.zst"))

    def test_binance_with_sizes(self):
        self.replay(harness.recording("ndjson/binance_20240808.ndjson.zst"), MEMBERS_ALL)

    def test_us_equities(self):
        self.replay(harness.recording("ndjson/us_equities_20131008.ndjson.zst"))


if __name__ == "__main__":
    harness.main()
