#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""redis-py as one client of bench/compare: SETEX for some time, one at a time or in pipelines; prints one JSON object.

usage: compare_redis_py.py SOCKET SECONDS BATCH"""
import json
import os
import sys
import time

import redis

socket, seconds, batch = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
if len(sys.argv) > 4 and int(sys.argv[4]) >= 0:
    os.sched_setaffinity(0, {int(sys.argv[4])})
client = redis.Redis(unix_socket_path=socket)
client.ping()
keys = [f"price:BENCH{i}:latest" for i in range(1000)]
value = "x" * 115
took = []
writes = 0
cpu = time.process_time()
begin = now = time.monotonic()
end = begin + seconds
while now < end:
    before = now
    if batch == 1:
        client.setex(keys[writes % 1000], 5, value)
    else:
        pipeline = client.pipeline(transaction=False)
        for i in range(batch):
            pipeline.setex(keys[(writes + i) % 1000], 5, value)
        pipeline.execute()
    writes += batch
    now = time.monotonic()
    took.append(now - before)
took.sort()
print(json.dumps({"writes": writes, "elapsed_s": now - begin, "cpu_s": time.process_time() - cpu,
                  "p50_ns": int(took[len(took) // 2] * 1e9), "p99_ns": int(took[len(took) * 99 // 100] * 1e9),
                  "count": len(took)}))
