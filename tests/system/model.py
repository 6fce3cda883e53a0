# SPDX-License-Identifier: Apache-2.0
"""An independent model of what Redis must hold after a recording was replayed: a plain map, and the merge rules again,
written from the contract and not from the C++ code. Slow and obvious on purpose."""
import decimal
import gzip
import json
import subprocess

decimal.getcontext().prec = 80

QUOTE = ("Bid", "Ask", "BidSize", "AskSize")
TRADE = ("Last", "LastSize", "Volume", "High", "Low")
FIELDS = QUOTE + TRADE
PRICES = ("Bid", "Ask", "Last", "High", "Low")
DEFAULT_MEMBERS = ("Last", "Bid", "Ask", "Volume", "High", "Low", "Timestamp")


class Number(str):
    """A JSON number, kept as its text: no binary float on the way."""


def read_lines(path):
    if str(path).endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", str(path)], check=True, stdout=subprocess.PIPE).stdout.split(b"\n")
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rb") as f:
        return f.read().split(b"\n")


def to_decimal(value):
    return decimal.Decimal(str(value)).normalize() + 0  # + 0: -0 is 0


def print_decimal(value, is_price):
    if value is None:
        return "null"
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if is_price and "." not in text:
        text += ".0"
    return text


class Symbol:
    def __init__(self):
        self.fields = {}
        self.feed_counts = set()
        self.quote_time = None
        self.trade_time = None
        self.timestamp = None
        self.volume_places = 0
        self.volume_broken = False

    def merge(self, given, time, clock):
        """`given`: field -> Decimal or None (cleared). True if anything was merged."""
        merged = False
        for group, attribute in ((QUOTE, "quote_time"), (TRADE, "trade_time")):
            part = {k: v for k, v in given.items() if k in group}
            if not part:
                continue
            before = getattr(self, attribute)
            if time is not None and before is not None and time < before:
                continue
            if time is not None:
                setattr(self, attribute, time)
            merged = True
            shown = time if time is not None else clock
            if shown is not None:
                self.timestamp = shown if self.timestamp is None else max(self.timestamp, shown)
            for field in ("Volume", "High", "Low"):
                if field in part:
                    self.feed_counts.add(field)
                    if field == "Volume":
                        self.volume_broken = False
            self.fields.update(part)
            if part.get("Last") is not None:
                self.on_trade(part["Last"], part.get("LastSize"))
        return merged

    def on_trade(self, last, size):
        high, low = self.fields.get("High"), self.fields.get("Low")
        if "High" not in self.feed_counts and (high is None or last > high):
            self.fields["High"] = last
        if "Low" not in self.feed_counts and (low is None or last < low):
            self.fields["Low"] = last
        if size is None or "Volume" in self.feed_counts or self.volume_broken:
            return
        self.volume_places = max(self.volume_places, -min(size.as_tuple().exponent, 0))
        total = (self.fields.get("Volume") or decimal.Decimal(0)) + size
        if abs(total.scaleb(self.volume_places)) >= decimal.Decimal(10) ** 18:
            self.volume_broken = True
            total = None
        self.fields["Volume"] = total

    def reset(self):
        for field in ("Volume", "High", "Low"):
            self.fields[field] = None
        self.quote_time = self.trade_time = None
        self.volume_broken = False

    def text(self, members=DEFAULT_MEMBERS):
        parts = []
        for member in members:
            if member == "Timestamp":
                parts.append('"Timestamp":%s' % ("null" if self.timestamp is None else self.timestamp))
            else:
                parts.append('"%s":%s' % (member, print_decimal(self.fields.get(member), member in PRICES)))
        return "{" + ",".join(parts) + "}"


class Model:
    def __init__(self):
        self.symbols = {}
        self.documents = {}
        self.clock = None
        self.records = self.accepted = self.control = 0
        self.rejected = {}

    def reject(self, reason):
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def replay(self, lines):
        for line in lines:
            if line.strip():
                self.line(line)
        return self

    def line(self, line):
        """Well-formed records only: what is malformed has tests of its own."""
        self.records += 1
        record = json.loads(line, parse_float=Number, parse_int=Number)
        if record.get("heartbeat"):
            self.control += 1
            return
        name = record["symbol"]
        if record.get("reset"):
            self.control += 1
            if name in self.symbols:
                self.symbols[name].reset()
            return
        time = record.get("Timestamp")
        if time is not None:
            time = int(decimal.Decimal(str(time)).to_integral_value(rounding=decimal.ROUND_FLOOR))
            self.clock = time if self.clock is None else max(self.clock, time)
        given = {k: None if record[k] is None else to_decimal(record[k]) for k in FIELDS if k in record}
        if not given:
            return self.reject("empty")
        symbol = self.symbols.setdefault(name, Symbol())
        if symbol.merge(given, time, self.clock):
            self.accepted += 1
        else:
            self.reject("stale")
