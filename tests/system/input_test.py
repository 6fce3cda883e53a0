# SPDX-License-Identifier: Apache-2.0
"""Clients of a feed that are slow, many, endless or rude cost nobody else anything; full tables; who may connect."""
import os
import socket
import stat
import struct
import threading

import harness
from bridge_case import BridgeCase, free_port

CONNECTIONS_MAX = 256
LINE_MAX = 1 << 20


class InputCase(BridgeCase):
    def setUp(self):
        super().setUp()
        self.server()

    def feed_stats(self, feed="local"):
        return ((self.stats() or {}).get("feed") or {}).get(feed) or {}

    def wait_records(self, count, feed="local"):
        harness.wait_until(lambda: self.feed_stats(feed).get("records") == count,
                           f"{count} records, it has {self.feed_stats(feed)}")

    def ended(self, bridge):
        """Its exit code, where it refuses to start."""
        bridge.process.wait(harness.DEADLINE_S)
        return bridge.process.returncode


class Clients(InputCase):
    def test_as_many_as_there_is_room_for(self):
        bridge = self.bridge()
        clients = [self.connect() for _ in range(CONNECTIONS_MAX)]
        for i, client in enumerate(clients):
            client.sendall(b'{"symbol":"C%d","Last":%d}\n' % (i, i))
        self.wait_records(CONNECTIONS_MAX)
        for _ in range(20):
            rude = self.connect()
            rude.settimeout(harness.DEADLINE_S)
            try:
                rude.sendall(b'{"symbol":"NO","Last":1}\n')
                self.assertEqual(rude.recv(1), b"")
            except (BrokenPipeError, ConnectionResetError):
                pass
        self.assertEqual(self.feed_stats()["refused"], 20)
        self.assertEqual(self.feed_stats()["connections"], CONNECTIONS_MAX)
        clients[7].close()
        harness.wait_until(lambda: self.feed_stats()["connections"] == CONNECTIONS_MAX - 1, "a place is free")
        self.tick()  # on a new connection
        self.wait_model()
        for i, client in enumerate(clients):
            if i != 7:
                client.sendall(b'{"symbol":"C%d","Last":%d}\n' % (i, i + 1))
        harness.wait_until(lambda: all(b'"Last":%d.0' % (i + 1) in self.redis.client.get(f"price:C{i}:latest")
                                       for i in range(CONNECTIONS_MAX) if i != 7), "all others still work")
        self.assertFalse(self.redis.client.exists("price:NO:latest"))
        self.stop(bridge, log_lines=10)

    def test_byte_by_byte(self):
        """Each byte a packet; others do not wait for it."""
        bridge = self.bridge()
        slow = self.connect()
        line = b'{"symbol":"SLOW","Last":7.25,"Timestamp":1700000000000}\n'
        for at in range(len(line)):
            slow.sendall(line[at:at + 1])
            self.tick(4)
            self.wait_model()
            self.assertEqual(self.redis.client.exists("price:SLOW:latest"), 0, "before its line ended"
                             ) if at + 1 < len(line) else None
        harness.wait_until(lambda: self.redis.client.exists("price:SLOW:latest"), "the slow one")
        self.stop(bridge)

    def test_lines_without_an_end(self):
        """Many clients, each in the middle of a line for ever; one of them sends and sends."""
        bridge = self.bridge()
        idle = [self.connect() for _ in range(60)]
        for client in idle:
            client.sendall(b'{"symbol":"IDLE","Last":')
        before = bridge.rss_kib()
        endless = self.connect()
        ending = threading.Event()
        sent = [0]

        def pour():
            try:
                while not ending.is_set():
                    sent[0] += endless.send(b"y" * 65536)
            except OSError:
                pass
        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        for _ in range(20):
            self.tick()
            self.wait_model()
        harness.wait_until(lambda: sent[0] > 50 << 20, "much of it is sent")
        self.assertLess(bridge.rss_kib() - before, 8192)
        ending.set()
        thread.join(harness.DEADLINE_S)
        endless.sendall(b'\n{"symbol":"AFTER","Last":1}\n')
        harness.wait_until(lambda: self.redis.client.exists("price:AFTER:latest"), "its next line")
        for client in idle:
            client.close()  # its line ends where the stream does
        harness.wait_until(lambda: self.feed_stats()["rejected"]["malformed"] == 60, "what they sent is malformed")
        summary = self.stop(bridge)
        self.assertEqual(summary["rejected"], {"line_too_long": 1, "malformed": 60})

    def test_the_limit_of_a_line(self):
        bridge = self.bridge()
        client = self.connect()

        def line(symbol, size):
            head, tail = b'{"symbol":"%s","Last":1,"x":"' % symbol, b'"}'
            return head + b"z" * (size - len(head) - len(tail)) + tail
        client.sendall(line(b"FITS", LINE_MAX) + b"\n" + line(b"CRLF", LINE_MAX) + b"\r\n" +
                       line(b"LONG", LINE_MAX + 1) + b"\n" + b'{"symbol":"NEXT","Last":1}\n')
        harness.wait_until(lambda: self.redis.client.exists("price:NEXT:latest"), "the next line")
        self.assertEqual(self.redis.client.exists("price:FITS:latest", "price:CRLF:latest"), 2)
        self.assertEqual(self.redis.client.exists("price:LONG:latest"), 0)
        self.assertEqual(self.stop(bridge)["rejected"], {"line_too_long": 1})

    def test_a_stream_that_breaks_off(self):
        """A last line without its end counts where the peer closed; after a reset nobody knows, and nothing breaks."""
        port = free_port()
        bridge = self.bridge(feeds=f'[feed.t]\ntype = "tcp"\naddress = "127.0.0.1:{port}"\n')

        def connected():
            try:
                return socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                return None
        with harness.wait_until(connected, "the feed listens") as client:
            client.sendall(b'{"symbol":"A","Last":1}\n{"symbol":"B","Last":2}')
        harness.wait_until(lambda: self.redis.client.exists("price:B:latest"), "the last line")
        for n in range(50):
            client = connected()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b'{"symbol":"R","Last":%d}\n{"symbol":"R","La' % n)
            client.close()
        with connected() as client:
            client.sendall(b'{"symbol":"C","Last":3}\n')
            harness.wait_until(lambda: self.redis.client.exists("price:C:latest"), "all is well")
            harness.wait_until(lambda: self.feed_stats("t")["connections"] == 1, "the broken ones are gone")
        self.stop(bridge)

    def test_datagrams_that_are_too_long(self):
        path = os.path.join(self.folder, "d.sock")
        bridge = self.bridge(feeds=f'[feed.d]\ntype = "unix_datagram"\npath = "{path}"\n')
        harness.wait_until(lambda: os.path.exists(path) or bridge.process.poll() is not None, "the feed listens")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b'{"symbol":"A","Last":1,"x":"' + b"y" * 70_000 + b'"}', path)
            s.sendto(b"", path)
            s.sendto(b'{"symbol":"B","Last":2}', path)
        harness.wait_until(lambda: self.redis.client.exists("price:B:latest"), "the good one")
        self.assertEqual(self.stop(bridge)["rejected"], {"truncated": 1})


class Full(InputCase):
    def test_symbols(self):
        bridge = self.bridge(
            feeds=f'[table]\nmax_symbols = 10\n[feed.local]\ntype = "unix_stream"\npath = "{self.feed}"\n')
        harness.wait_until(lambda: os.path.exists(self.feed), "the feed listens")
        for _ in range(50):
            self.stamp += 1
            self.send(*({"symbol": f"S{i}", "Last": self.stamp % 1000, "Timestamp": self.stamp} for i in range(15)))
        self.wait_records(50 * 15)
        self.wait_model(only=lambda key: int(key.split(":")[1][1:]) < 10)
        self.assertEqual(len(self.redis.client.keys("price:*")), 10)
        summary = self.stop(bridge, log_lines=10)
        self.assertEqual((summary["symbols"], summary["rejected"]), (10, {"symbols_full": 50 * 5}))
        self.assertIn("symbols_full", bridge.errors())

    def test_documents(self):
        """What has run out gives its place to another."""
        bridge = self.bridge(
            classes='[class.positions]\nttl = "600s"\n[class.orders]\nttl = "300ms"\n',
            feeds=f'[table]\nmax_documents = 4\n[feed.local]\ntype = "unix_stream"\npath = "{self.feed}"\n')
        harness.wait_until(lambda: os.path.exists(self.feed), "the feed listens")
        feed = self.connect()
        for account in "ABC":
            self.document(account, {"n": account})
        feed.sendall(b'{"class":"orders","account":"O","value":1}\n')
        self.wait_records(4)
        for n in range(20):
            feed.sendall(b'{"class":"positions","account":"Z%d","value":1}\n' % n)
        self.wait_records(24)
        self.assertEqual(self.feed_stats()["rejected"]["documents_full"], 20)
        for account in "ABC":
            self.document(account, {"again": account})
        self.wait_model()
        records = 27

        def taken():
            nonlocal records
            feed.sendall(b'{"class":"positions","account":"NEW","value":1}\n')
            records += 1
            self.wait_records(records)
            return self.redis.client.exists("hft:positions:NEW:all")
        harness.wait_until(taken, "the place of the one that ran out")
        self.assertLess(self.stop(bridge, log_lines=80)["documents"], 5)


class Sockets(InputCase):
    def test_modes(self):
        """As configured, whatever the umask; by default the owner and its group."""
        for kind in ("unix_stream", "unix_datagram"):
            for setting, wanted in (("", 0o660), ('socket_mode = "0600"\n', 0o600), ('socket_mode = "0666"\n', 0o666)):
                with self.subTest(kind=kind, setting=setting):
                    before = os.umask(0o077)
                    try:
                        bridge = self.bridge(feeds=f'[feed.local]\ntype = "{kind}"\npath = "{self.feed}"\n{setting}')
                    finally:
                        os.umask(before)
                    harness.wait_until(lambda: self.feed_stats(), "it runs")
                    mode = os.lstat(self.feed).st_mode
                    self.assertTrue(stat.S_ISSOCK(mode))
                    self.assertEqual(oct(stat.S_IMODE(mode)), oct(wanted))
                    self.stop(bridge)
                    self.assertFalse(os.path.exists(self.feed), "it takes its socket away")

    def test_modes_that_are_none(self):
        for mode in ("rw-rw----", "0999", "", "01777777"):
            bridge = self.bridge(feeds=f'[feed.local]\ntype = "unix_stream"\npath = "{self.feed}"\n'
                                       f'socket_mode = "{mode}"\n')
            self.assertEqual(self.ended(bridge), 2, mode)
            self.assertIn("socket_mode", bridge.errors())

    def test_what_lies_at_the_path(self):
        """A socket that nobody listens at is replaced; a living one, or a file, is not."""
        left = socket.socket(socket.AF_UNIX)
        left.bind(self.feed)
        left.close()
        bridge = self.bridge()
        harness.wait_until(lambda: self.feed_stats(), "it runs")
        self.tick()
        self.wait_model()
        instance, self.instance = self.instance, self.instance + "-2"
        second = self.bridge()
        self.assertEqual(self.ended(second), 1, second.errors())
        self.assertIn("another process uses it", second.errors())
        file = self.file("plain", "precious")
        third = self.bridge(feeds=f'[feed.local]\ntype = "unix_stream"\npath = "{file}"\n')
        self.assertEqual(self.ended(third), 1)
        with open(file) as f:
            self.assertEqual(f.read(), "precious")
        self.instance = instance
        self.tick()
        self.wait_model()
        self.stop(bridge)

    def bound(self, port, kinds):
        """The local addresses at which this host has that port open, as /proc tells them."""
        found = []
        for kind in kinds:
            with open(f"/proc/net/{kind}") as f:
                for line in f.readlines()[1:]:
                    address, at = line.split()[1].split(":")
                    if int(at, 16) == port:
                        found.append(address)
        return found

    def loopback(self, feed, port, kinds):
        """It is refused, or only this host can reach it."""
        bridge = self.bridge(feeds=feed)
        harness.wait_until(lambda: self.bound(port, kinds) or bridge.process.poll() is not None, "it starts")
        addresses = self.bound(port, kinds)
        if bridge.process.poll() is None:
            bridge.stop()
        else:
            self.assertIn(bridge.process.returncode, (1, 2))
            self.assertRegex(bridge.errors(), "host:port|address")
        for address in addresses:
            self.assertIn(address, ("0100007F", "00000000000000000000000001000000"))
        return addresses

    def test_tcp_where_it_is_told(self):
        port = free_port()
        feed = f'[feed.t]\ntype = "tcp"\naddress = "127.0.0.1:{port}"\n'
        self.assertEqual(self.loopback(feed, port, ("tcp", "tcp6")), ["0100007F"])

    def test_udp_where_it_is_told(self):
        port = free_port()
        self.assertEqual(self.loopback(f'[feed.u]\ntype = "udp"\na = "127.0.0.1:{port}"\n', port, ("udp", "udp6")),
                         ["0100007F"])

    def test_tcp_without_a_host(self):
        for form in (":{}", "{}"):
            with self.subTest(form):
                port = free_port()
                self.loopback(f'[feed.t]\ntype = "tcp"\naddress = "{form.format(port)}"\n', port, ("tcp", "tcp6"))

    def test_udp_without_a_host(self):
        for form in (":{}", "{}"):
            with self.subTest(form):
                port = free_port()
                self.loopback(f'[feed.u]\ntype = "udp"\na = "{form.format(port)}"\n', port, ("udp", "udp6"))


if __name__ == "__main__":
    harness.main()
