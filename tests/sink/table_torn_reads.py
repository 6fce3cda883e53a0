# SPDX-License-Identifier: Apache-2.0
"""Reads the symbols of tests/sink/table_processes_test.cc while another process writes them: each quote is whole, and none
is older than the one before.

usage: table_torn_reads.py PATH READS
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "python"))
from tickbridge import LatestTable  # noqa: E402

BASE_MS = 1_000_000_000_000
CHANGES_MIN = 100
DEADLINE_S = 1_000


def whole(symbol, k):
    """What the writer's quote number k looks like."""
    places = 10.0 ** (k % 5)
    price = {"Bid": k, "Ask": k + 1} if symbol != "trade" else {"Bid": None, "Ask": None}
    trade = {"Last": k + 2, "High": k + 3, "Low": -k} if symbol != "quote" else {"Last": None, "High": None, "Low": None}
    quote = {name: None if value is None else value / places for name, value in {**price, **trade}.items()}
    return {**quote, "Volume": None if symbol == "quote" else 3 * k, "Timestamp": BASE_MS + k}


def main(path, reads):
    table = LatestTable(path)
    newest = {symbol: 0 for symbol in ("both", "quote", "trade", "clock")}
    changes = done = 0
    deadline = time.monotonic() + DEADLINE_S
    while done < reads or changes < CHANGES_MIN:
        if time.monotonic() > deadline:
            sys.exit(f"only {done} reads and {changes} changes in {DEADLINE_S} s")
        for symbol in newest:
            try:
                before = table.sequence(symbol)
                quote = table[symbol]
            except BlockingIOError:  # the scheduler put the writer aside within a write
                time.sleep(0.001)
                continue
            k = quote["Timestamp"] - BASE_MS
            if quote != whole(symbol, k):
                sys.exit(f"torn: {symbol} {quote}, not {whole(symbol, k)}")
            if k < newest[symbol] or k < before - table._view.base:
                sys.exit(f"{symbol} went back: {k} after {newest[symbol]}, {before - table._view.base}")
            changes += k != newest[symbol]
            newest[symbol] = k
            done += 1


main(sys.argv[1], int(sys.argv[2]))
