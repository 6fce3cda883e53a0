# SPDX-License-Identifier: Apache-2.0
"""Never back in time: bytes of a connection that was given up arrive late, or never, or another bridge lives."""
import json
import os
import signal
import subprocess
import threading
import time

import redis

import harness
from bridge_case import BridgeCase, Proxy, unix_connector

ALL_FIELDS = '[class.price]\nttl = "600s"\nfields = ["Bid", "Timestamp", "Sequence"]\n'


class Holding(Proxy):
    """Holds what the bridge sends on the connections chosen by `hold`, until `release`. Their answers pass.
    A bridge that gives a connection up does not end the server's side of it: what is held is still to come."""
    passes_ends = False

    def __init__(self, connect_server):
        self.held = {}
        super().__init__(connect_server)

    def hold(self, link):
        self.held[link.number] = b""

    def to_server(self, link, data):
        if link.number not in self.held:
            return data
        self.held[link.number] += data
        return b""

    def release(self, link):
        """To the server, as a network would that was only slow. False if the server has closed that connection."""
        data = self.held[link.number]
        try:
            link.server.sendall(data)
            return True
        except OSError:
            return False


class Watcher:
    """Looks at keys all the time, and notes each that goes back."""

    def __init__(self, client, keys):
        self.client, self.keys, self.back, self.looks, self.ending = client, keys, [], 0, False
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        newest = {}
        while not self.ending:
            try:
                values = self.client.mget(self.keys)
            except redis.exceptions.RedisError:
                continue
            self.looks += 1
            for key, value in zip(self.keys, values):
                if value is None:
                    continue
                at = json.loads(value)
                at = (at["Timestamp"], at["Sequence"])
                if at < newest.get(key, at):
                    self.back.append((key, newest[key], at))
                newest[key] = at

    def look(self):
        """Until it has looked at all keys since now."""
        looks = self.looks
        harness.wait_until(lambda: self.looks >= looks + 2, "the watcher looks")

    def close(self):
        self.ending = True
        self.thread.join(harness.DEADLINE_S)
        self.client.close()


class LateBytes(BridgeCase):
    KEYS = 20

    def send_round(self):
        self.stamp += 1
        self.send(*({"symbol": f"S{i}", "Bid": self.stamp % 100000, "Timestamp": self.stamp} for i in range(self.KEYS)))

    def shows(self, stamp):
        values = self.redis.client.mget([f"price:S{i}:latest" for i in range(self.KEYS)])
        return all(v and json.loads(v)["Timestamp"] == stamp for v in values)

    def wait_round(self):
        harness.wait_until(lambda: self.shows(self.stamp), f"every key is of round {self.stamp}: {self.lane()}")

    def hold_a_round(self, proxy):
        """The bytes of connection 0 stay with the proxy from here on, newer values among them. Returns a watcher that
        has seen what was there before, and the connection."""
        self.send_round()
        self.wait_round()
        watcher = Watcher(redis.Redis(unix_socket_path=self.redis.socket), [f"price:S{i}:latest" for i in
                                                                              range(self.KEYS)])
        self.addCleanup(watcher.close)
        first = proxy.links[0]
        proxy.hold(first)
        self.send_round()
        harness.wait_until(lambda: b"SETEX" in proxy.held[0], "late bytes are on their way")
        return watcher, first

    def late(self, bridge, proxy):
        """The bytes of connection 0 are held until a second one has written newer values, and come then. Returns what
        went back in time, and whether the server took the late bytes."""
        watcher, first = self.hold_a_round(proxy)
        self.wait_lane(lambda l: l["connects"] == 2, "a second connection")
        self.send_round()
        self.wait_round()
        watcher.look()
        taken = proxy.release(first)
        if taken:
            # The server reads what it was sent before it answers another one: the late bytes have had their effect.
            for _ in range(3):
                self.redis.client.ping()
        watcher.look()
        return watcher

    def test_with_fencing_nothing_goes_back(self):
        self.server()
        proxy = Holding(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url, 'ack_timeout = "200ms"\nmax_in_flight = 1000', classes=ALL_FIELDS)
        watcher = self.late(bridge, proxy)
        self.send_round()
        self.wait_round()
        watcher.look()
        self.assertEqual(watcher.back, [])
        self.assertEqual([c["name"] for c in self.redis.client.client_list()].count(self.name), 1)
        self.stop(bridge)

    def test_without_fencing_it_does(self):
        """Shows that the test above sees what it looks for, and that `unfenced` is true to its name."""
        self.tcp_server()
        settings = self.user("~*", "&*", "+@all", "-client")
        proxy = Holding(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url.replace("redis://", "redis://bridge@"),
                             settings["redis_keys"] + 'ack_timeout = "200ms"\nfence_wait = "10ms"', classes=ALL_FIELDS)
        watcher = self.late(bridge, proxy)
        self.wait_lane(lambda l: l["state"] == "unfenced", "unfenced")
        self.assertNotEqual(watcher.back, [])
        self.send_round()  # mended by the next tick
        self.wait_round()
        self.stop(bridge)

    def test_again_and_again(self):
        """Each connection in turn is held, and let go only when the next has written."""
        self.server()
        proxy = Holding(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url, 'ack_timeout = "100ms"', classes=ALL_FIELDS)
        self.send_round()
        self.wait_round()
        watcher = Watcher(redis.Redis(unix_socket_path=self.redis.socket), [f"price:S{i}:latest" for i in
                                                                              range(self.KEYS)])
        self.addCleanup(watcher.close)
        for _ in range(8):
            connects = self.lane()["connects"]
            link = proxy.links[-1]
            proxy.hold(link)
            self.send_round()
            self.wait_lane(lambda l: l["connects"] > connects, "the next connection")
            self.send_round()
            proxy.release(link)
            self.wait_round()
        watcher.look()
        self.assertEqual(watcher.back, [])
        self.stop(bridge, log_lines=80)

    def test_a_restarted_bridge_fences_its_predecessor(self):
        self.server()
        proxy = Holding(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url, classes=ALL_FIELDS)
        watcher, first = self.hold_a_round(proxy)
        bridge.process.kill()
        bridge.process.wait()
        self.feeding.close()
        self.feeding = None
        self.assertIn(self.name, [c["name"] for c in self.redis.client.client_list()])
        os.unlink(self.feed)
        again = self.bridge(proxy.url, classes=ALL_FIELDS)
        self.send_round()
        self.wait_round()
        watcher.look()
        proxy.release(first)
        for _ in range(3):
            self.redis.client.ping()
        watcher.look()
        self.assertEqual(watcher.back, [])
        self.assertEqual([c["name"] for c in self.redis.client.client_list()].count(self.name), 1)
        self.stop(again)


class Swallowing(Proxy):
    """Half open: what is sent on connection 0 is gone once `begin` was called, and nothing comes back."""
    swallow = False

    def to_server(self, link, data):
        return b"" if self.swallow and link.number == 0 else data

    def to_client(self, link, data):
        return b"" if self.swallow and link.number == 0 else data


class AckTimeout(BridgeCase):
    def test_a_server_that_stalls_keeps_its_connection(self):
        """It wakes, and answers the first connection first: nothing is sent twice."""
        self.server()
        bridge = self.bridge(redis_keys='ack_timeout = "300ms"\n')
        self.tick()
        self.wait_model()
        before = self.lane()
        self.redis.signal(signal.SIGSTOP)
        self.tick()
        self.wait_state("stalled")
        end = time.monotonic() + 3
        harness.wait_until(lambda: time.monotonic() > end, "the stop is over")
        self.redis.signal(signal.SIGCONT)
        self.wait_model()
        lane = self.wait_state("up")
        self.assertEqual(lane["connects"], before["connects"])
        self.assertEqual(lane["resent"], before["resent"])
        self.tick()
        self.wait_model()
        harness.wait_until(lambda: [c["name"] for c in self.redis.client.client_list()].count(self.name) == 1,
                           "the second connection is gone")
        self.stop(bridge)

    def test_a_half_open_connection_is_replaced(self):
        self.server()
        proxy = Swallowing(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url)
        self.tick()
        self.wait_model()
        proxy.swallow = True
        began = time.monotonic()
        self.tick()
        self.document("A", [1])
        self.wait_model()
        # ack_timeout is one second; the rest is for a machine that is busy with something else.
        self.assertLess(time.monotonic() - began, 1 + 4)
        lane = self.wait_state("up")
        self.assertEqual(lane["connects"], 2)
        self.assertEqual([c["name"] for c in self.redis.client.client_list()].count(self.name), 1)
        self.stop(bridge)

    def test_a_half_open_connection_of_an_idle_bridge(self):
        """Its PINGs find it out: the first tick afterwards does not wait."""
        self.server()
        proxy = Swallowing(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url, 'ack_timeout = "200ms"')
        self.tick()
        self.wait_model()
        proxy.swallow = True
        self.wait_lane(lambda l: l["connects"] == 2 and l["state"] == "up", "it was replaced")
        self.tick()
        self.wait_model()
        self.stop(bridge)


class TwoBridges(BridgeCase):
    def second(self):
        """The same instance, where no file tells of the first: another host, as far as it can see."""
        config = self.file("second.toml", self.config(
            self.redis.url, feeds=f'[feed.local]\ntype = "unix_stream"\npath = "{self.folder}/second.sock"\n'))
        script = 'mount -t tmpfs tmpfs /dev/shm && exec "$0" "$@"'
        process = subprocess.Popen(["unshare", "-m", "sh", "-c", script, harness.TICKBRIDGE, "run", "--config", config],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.addCleanup(end)
        return process

    def need_unshare(self):
        try:
            tried = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"],
                                   stderr=subprocess.PIPE)
        except FileNotFoundError:
            self.skipTest("no unshare here")
        if tried.returncode != 0:
            self.skipTest(f"no mount namespaces here: {tried.stderr.decode().strip()}")

    def test_on_one_host(self):
        self.server()
        bridge = self.bridge()
        second = self.bridge(feeds='[feed.x]\ntype = "synth"\n')
        second.process.wait(harness.DEADLINE_S)
        self.assertEqual(second.process.returncode, 1)
        self.assertIn("another bridge", second.errors())
        self.tick()
        self.wait_model()
        self.assertEqual(self.lane()["connects"], 1)
        self.stop(bridge)

    def refused(self, ticking):
        self.need_unshare()
        self.server()
        bridge = self.bridge()
        self.tick()
        self.wait_model()
        second = self.second()
        harness.wait_until(lambda: (ticking and self.tick(4), second.poll() is not None)[1], "it is refused", 20)
        _, errors = second.communicate()
        self.assertEqual(second.returncode, 1, errors.decode())
        self.assertIn("another living bridge", errors.decode())
        self.wait_model()
        lane = self.lane()
        self.assertEqual((lane["connects"], lane["resent"]), (1, 0))
        self.tick()
        self.wait_model()
        self.stop(bridge)

    def test_a_second_host_is_refused(self):
        self.refused(True)

    def test_a_second_host_is_refused_by_a_quiet_one(self):
        self.refused(False)

    def test_one_that_was_frozen_wakes(self):
        """Its place was taken meanwhile, rightly. Whichever stays, they do not end each other for ever."""
        self.need_unshare()
        self.server()
        bridge = self.bridge()
        self.tick()
        self.wait_model()
        bridge.process.send_signal(signal.SIGSTOP)
        self.second()

        def connections():
            return {c["id"] for c in self.redis.client.client_list() if c["name"] == self.name}
        frozen = connections()
        harness.wait_until(lambda: connections() - frozen and not connections() & frozen, "the other takes its place")
        bridge.process.send_signal(signal.SIGCONT)
        began = time.monotonic()
        stable = [began, connections()]

        def at_peace():
            now = connections()
            if now != stable[1] or not now:
                stable[:] = [time.monotonic(), now]
            return time.monotonic() - stable[0] > 2
        try:
            harness.wait_until(at_peace, "one of them gives way", 12)
        except AssertionError as error:
            count = self.redis.client.info("stats")["total_connections_received"]
            raise AssertionError(f"{error}: {count} connections in {time.monotonic() - began:.0f} s") from None
        self.assertLess(bridge.errors().count("\n"), 40, bridge.errors()[:2000])

    def test_a_successor_may_begin(self):
        self.need_unshare()
        self.server()
        bridge = self.bridge()
        self.tick()
        self.wait_model()
        self.stop(bridge)
        second = self.second()
        harness.wait_until(lambda: self.name in [c["name"] for c in self.redis.client.client_list()],
                           "the successor is connected")
        self.assertIsNone(second.poll())
        second.send_signal(signal.SIGTERM)
        _, errors = second.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(second.returncode, 0, errors.decode())


if __name__ == "__main__":
    harness.main()
