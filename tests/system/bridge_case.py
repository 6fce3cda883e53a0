# SPDX-License-Identifier: Apache-2.0
"""What tests of a running bridge share: one feed, the model of what it was fed, and a proxy that misbehaves."""
import contextlib
import glob
import json
import os
import random
import shutil
import socket
import tempfile
import threading
import unittest

import redis

import harness
from model import Model

LONG_TTL = '[class.price]\nttl = "600s"\n[class.positions]\nttl = "600s"\n'
BEGIN_MS = 1700000000000
# What a fault that lasts may cost in lines of the log: each change of state, and each error, once or twice.
LOG_LINES_MAX = 25


def free_port(below=65536):
    """Of this host; somebody else may take it before it is used, which nobody here does."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            if s.getsockname()[1] < below:
                return s.getsockname()[1]


class BridgeCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tb-case-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.feed = os.path.join(self.folder, "feed.sock")
        self.instance = f"test-{os.getpid()}-{random.randrange(10**9)}"
        self.addCleanup(self._remove_counters, f"/dev/shm/tickbridge-{self.instance}*")
        self.name = f"tickbridge:{self.instance}:0"
        self.model = Model()
        self.documents = {}
        self.feeding = None
        self.stamp = BEGIN_MS

    @staticmethod
    def _remove_counters(pattern):
        """A bridge that was killed leaves its counters, and every one its lock."""
        for path in glob.glob(pattern):
            os.unlink(path)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def server(self, *arguments):
        server = harness.Redis(*arguments)
        self.addCleanup(server.close)
        self.redis = server
        return server

    def tcp_server(self, *arguments, below=65536):
        """One that also listens at 127.0.0.1:`self.port`."""
        self.port = free_port(below)
        return self.server("--port", str(self.port), "--bind", "127.0.0.1", *arguments)

    def config(self, url, redis_keys="", classes=LONG_TTL, feeds=None):
        if feeds is None:
            feeds = f'[feed.local]\ntype = "unix_stream"\npath = "{self.feed}"\n'
        return f'[bridge]\ninstance = "{self.instance}"\n[redis]\nurl = "{url}"\n{redis_keys}\n{classes}{feeds}'

    def bridge(self, url=None, redis_keys="", **parts):
        bridge = harness.Bridge(self.config(url or self.redis.url, redis_keys, **parts))
        self.addCleanup(bridge.close)
        if "feeds" not in parts:
            harness.wait_until(lambda: os.path.exists(self.feed) or bridge.process.poll() is not None,
                               "the feed listens")
        return bridge

    # ---- what goes in ----

    def connect(self):
        """To the feed, which is there a moment before it listens."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(s.close)
        harness.wait_until(lambda: s.connect_ex(self.feed) == 0, "the feed listens")
        return s

    def send(self, *lines):
        """To the bridge and to the model."""
        if self.feeding is None:
            self.feeding = self.connect()
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        for line in lines:
            self.model.line(line)
        self.feeding.sendall(b"\n".join(lines) + b"\n")

    def tick(self, symbols=40, prefix="S"):
        """One new quote of each symbol."""
        self.stamp += 1
        n = self.stamp - BEGIN_MS
        self.send(*({"symbol": f"{prefix}{i}", "Bid": n + i / 4, "Ask": n + 1 + i / 4, "Last": n, "LastSize": 1,
                     "Timestamp": self.stamp} for i in range(symbols)))

    def document(self, account, value, size=None):
        if self.feeding is None:
            self.feeding = self.connect()
        text = json.dumps(value) if size is None else '"' + "x" * size + '"'
        self.documents[f"hft:positions:{account}:all"] = text.encode()
        self.feeding.sendall(b'{"class":"positions","account":"%s","value":%s}\n' % (account.encode(), text.encode()))

    # ---- what comes out ----

    def stats(self):
        result = harness.run("stats", "--json", "--set", f"bridge.instance={self.instance}")
        return json.loads(result.stdout) if result.stdout.strip() else None

    def lane(self):
        """Its counters and state; None while the bridge is only being put together."""
        lane = ((self.stats() or {}).get("lane") or {}).get("0")
        return lane if lane and "server" in lane else None

    def wait_lane(self, condition, what):
        lane = None

        def met():
            nonlocal lane
            lane = self.lane()
            return lane and condition(lane)
        try:
            harness.wait_until(met, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the lane: {lane}") from None
        return lane

    def wait_state(self, state, error=None, errors=0):
        """Until the lane shows this state and error, and has had so many error replies."""
        return self.wait_lane(lambda l: l["state"] == state and (error is None or error in l["last_error"]) and
                              l["errors"] >= errors, f"state {state}, error {error}, {errors} error replies")

    def user(self, *rules, password="bridge-password"):
        """An ACL user for the bridge: what stands in its configuration for it."""
        self.redis.client.execute_command("ACL SETUSER bridge on", f">{password}", *rules)
        return {"url": f"redis://bridge@127.0.0.1:{self.port}",
                "redis_keys": f'password_file = "{self.password_file(password)}"\n'}

    def password_file(self, text):
        path = self.file("password", text)
        os.chmod(path, 0o600)
        return path

    def differences(self, client=None, only=lambda key: True):
        """Keys that are not as the model has them."""
        expected = {f"price:{name}:latest": s.text().encode() for name, s in self.model.symbols.items()}
        expected.update(self.documents)
        expected = {key: value for key, value in expected.items() if only(key)}
        try:
            found = (client or self.redis.client).mget(list(expected))
        except redis.exceptions.RedisError as error:
            return [str(error)]
        return [(key, expected[key][:120], value and value[:120]) for key, value in zip(expected, found)
                if value != expected[key]]

    def wait_model(self, client=None, only=lambda key: True):
        left = None

        def same():
            nonlocal left
            left = self.differences(client, only)
            return not left
        try:
            harness.wait_until(same, "every key equals the model")
        except AssertionError as error:
            raise AssertionError(f"{error}: {left[:3]}; the lane: {self.lane()}") from None

    def stop(self, bridge, code=0, failed=0, log_lines=LOG_LINES_MAX):
        returned, summary = bridge.stop()
        log = bridge.errors()
        self.assertEqual(returned, code, log[-3000:])
        harness.check_sums(self, summary)
        self.assertEqual(summary["failed"], failed, log[-3000:])
        self.assertLess(log.count("\n"), log_lines, log[:5000])
        return summary

    def assert_told(self, bridge, text, times_max):
        """In the log, but not again and again."""
        log = bridge.errors()
        self.assertIn(text, log, log[:5000])
        self.assertLessEqual(log.count(text), times_max, log[:5000])


class Proxy:
    """Between a bridge and its server, a thread a connection and direction. Subclasses say what passes."""
    passes_ends = True

    def __init__(self, connect_server, listen=None):
        self.connect_server = connect_server
        if listen is None:
            self.listener = socket.socket()
            self.listener.bind(("127.0.0.1", 0))
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(listen)
        self.listener.listen(64)
        self.address = self.listener.getsockname()
        self.links = []
        self.closing = False
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.address[1]}" if isinstance(self.address, tuple) else f"unix://{self.address}"

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.closing:
                client.close()
                return
            link = Link(self, len(self.links), client)
            self.links.append(link)
            self.on_link(link)

    def on_link(self, link):
        """Called for each new connection."""
        link.start()

    def to_server(self, link, data):
        """What goes on of what the bridge sent. None: the connection ends."""
        return data

    def to_client(self, link, data):
        return data

    def close(self):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in list(self.links):
            link.close()
        for thread in self.threads:
            thread.join(harness.DEADLINE_S)


class Link:
    """A connection through a proxy."""

    def __init__(self, proxy, number, client):
        self.proxy, self.number, self.client, self.server = proxy, number, client, None
        self.ending = False  # what is on its way arrives, and nothing after it

    def start(self):
        try:
            self.server = self.proxy.connect_server()
        except OSError:
            return self.close()
        for source, target, passing in ((self.client, self.server, self.proxy.to_server),
                                        (self.server, self.client, self.proxy.to_client)):
            thread = threading.Thread(target=self._pump, args=(source, target, passing), daemon=True)
            self.proxy.threads.append(thread)
            thread.start()

    def _pump(self, source, target, passing):
        with contextlib.suppress(OSError):
            while not self.ending and (data := source.recv(65536)):
                data = passing(self, data)
                if data is None:
                    return self.close()
                if data:
                    target.sendall(data)
            if self.proxy.passes_ends:
                # Of this direction only, so that nothing under way is lost.
                target.shutdown(socket.SHUT_WR)

    def close(self):
        for s in (self.client, self.server):
            if s is not None:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
                s.close()


def unix_connector(path):
    def connect():
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        return s
    return connect


def tcp_connector(port):
    return lambda: socket.create_connection(("127.0.0.1", port))
