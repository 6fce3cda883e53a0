#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Python reader of the shared table against redis-py's get and json.loads of the same quote, in turn in one run: a
private redis-server on a Unix socket, a bridge between.

usage: python_reader.py [--rounds 5] [--smoke]     TICKBRIDGE: the binary; else build/release/bin/tickbridge
"""
import glob
import json
import os
import socket
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "system"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tools", "python"))
import harness  # noqa: E402
from tickbridge import LatestTable  # noqa: E402


def seconds_each(call, count):
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def main():
    smoke = "--smoke" in sys.argv
    rounds = 1 if smoke else int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 5
    table_name = f"tickbridge-bench-{os.getpid()}"
    folder = tempfile.TemporaryDirectory()
    server = harness.Redis()
    feed = os.path.join(folder.name, "feed.sock")
    bridge = harness.Bridge(f'[bridge]\ninstance = "{table_name}"\n[redis]\nurl = "{server.url}"\n'
                            f'[class.price]\nttl = "600s"\n[table]\nmax_symbols = 1000\nshm = "{table_name}"\n'
                            f'[feed.local]\ntype = "unix_stream"\npath = "{feed}"\n')
    try:
        client = socket.socket(socket.AF_UNIX)

        def connected():
            try:
                client.connect(feed)
            except OSError:
                return False
            return True
        harness.wait_until(connected, "the feed listens")
        client.sendall(b'{"symbol":"MNQZ5","Last":21000.25,"Bid":21000.0,"Ask":21000.5,"Volume":12345,"High":21100.0,'
                       b'"Low":20950.0,"Timestamp":1700000000000}\n')
        harness.wait_until(lambda: server.client.get("price:MNQZ5:latest"), "it is in Redis")
        latest = LatestTable(table_name)
        redis = server.client

        def by_redis():
            return json.loads(redis.get("price:MNQZ5:latest"))

        def by_table():
            return latest["MNQZ5"]
        if by_redis() != by_table():
            sys.exit(f"not the same: {by_redis()} {by_table()}")
        slow, fast = [], []
        for _ in range(rounds):
            slow.append(seconds_each(by_redis, 50 if smoke else 5_000))
            fast.append(seconds_each(by_table, 500 if smoke else 100_000))
        ratios = [s / f for s, f in zip(slow, fast)]
        print(f"command: python_reader.py --rounds {rounds}; Python {sys.version.split()[0]}, one quote of seven members")
        print(f"redis-py get + json.loads  {statistics.median(slow) * 1e6:8.2f} us")
        print(f"LatestTable[symbol]        {statistics.median(fast) * 1e6:8.2f} us")
        print(f"ratio, by rounds           {statistics.median(ratios):8.1f} x (from {min(ratios):.1f} to {max(ratios):.1f})")
    finally:
        bridge.close()
        server.close()
        for path in glob.glob(f"/dev/shm/*{table_name}*"):  # its table, counters and lock
            os.unlink(path)


if __name__ == "__main__":
    main()
