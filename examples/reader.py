#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the latest bid and ask of a symbol. usage: reader.py TABLE SYMBOL     (PYTHONPATH=tools/python)"""
import sys

from tickbridge import LatestTable

latest = LatestTable(sys.argv[1])
try:
    quote = latest[sys.argv[2]]
except KeyError:
    sys.exit(f"reader: no quote of {sys.argv[2]}")
print(f"{sys.argv[2]}  bid {quote['Bid']}  ask {quote['Ask']}  age {latest.age(sys.argv[2]):.6f} s")
