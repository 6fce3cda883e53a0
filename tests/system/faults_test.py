# SPDX-License-Identifier: Apache-2.0
"""Every way in which a server refuses, by kind: what is written is right when it ends, `stats` shows it while it lasts,
and the log tells it once."""
import os
import socket
import threading

import redis

import harness
from bridge_case import BridgeCase, Proxy, free_port, unix_connector

SECRET = "correct-horse-battery"
SECRET_NEW = "staple-tr0ub4dor"


class Transient(BridgeCase):
    """The server says no for a while: values stay dirty, and the newest arrives afterwards."""

    def outage(self, begin, end, error, state="backing_off", url=None, errors=6, log_lines=20):
        bridge = self.bridge(url)
        self.tick()
        self.document("A", {"round": 0})
        self.wait_model()
        begin()
        for n in range(3):
            self.tick()
            self.document("A", {"round": n})
            self.document(f"new{n}", [n])
        lane = self.wait_state(state, error, self.lane()["errors"] + errors)
        self.tick()
        end()
        self.wait_model()
        after = self.wait_state("up")
        self.assertGreater(after["state_since_unix_ns"], lane["state_since_unix_ns"])
        self.tick()
        self.wait_model()
        self.stop(bridge, log_lines=log_lines)
        self.assert_told(bridge, error, 4)

    def set(self, **values):
        for name, value in values.items():
            self.redis.client.config_set(name.replace("_", "-"), value)

    def test_out_of_memory(self):
        self.server()
        self.outage(lambda: self.set(maxmemory=1), lambda: self.set(maxmemory=0), "OOM")

    def test_read_only_replica(self):
        self.server()
        self.outage(lambda: self.redis.client.replicaof("127.0.0.1", free_port()),
                    lambda: self.redis.client.replicaof("NO", "ONE"), "READONLY")

    def test_replica_without_its_master(self):
        self.server("--replica-serve-stale-data", "no")
        self.outage(lambda: self.redis.client.replicaof("127.0.0.1", free_port()),
                    lambda: self.redis.client.replicaof("NO", "ONE"), "MASTERDOWN")

    def test_too_few_replicas(self):
        self.server()
        self.outage(lambda: self.set(min_replicas_to_write=1), lambda: self.set(min_replicas_to_write=0), "NOREPLICAS")

    def test_a_disk_that_takes_no_snapshot(self):
        self.server("--stop-writes-on-bgsave-error", "yes")
        blocked = os.path.join(self.redis.folder, "dump.rdb")

        def save(status):
            self.redis.client.execute_command("BGSAVE")
            harness.wait_until(lambda: not self.redis.client.info("persistence")["rdb_bgsave_in_progress"] and
                               self.redis.client.info("persistence")["rdb_last_bgsave_status"] == status, status)

        def begin():
            os.mkdir(blocked)  # a directory where the snapshot would be renamed to
            self.set(save="3600 1")
            save("err")

        def end():
            os.rmdir(blocked)
            save("ok")
        self.outage(begin, end, "MISCONF")

    def test_a_script_that_holds_the_server(self):
        self.server("--lua-time-limit", "50")
        script = redis.Redis(unix_socket_path=self.redis.socket)

        def hold():
            try:
                script.eval("while true do end", 0)
            except redis.exceptions.ResponseError:
                pass  # killed
        holding = threading.Thread(target=hold, daemon=True)

        def begin():
            holding.start()
            harness.wait_until(self.is_busy, "the server is busy")

        def end():
            self.redis.client.script_kill()
            holding.join(harness.DEADLINE_S)
        self.outage(begin, end, "BUSY")
        script.close()

    def is_busy(self):
        try:
            self.redis.client.get("x")
            return False
        except redis.exceptions.ResponseError as error:
            return "BUSY" in str(error)

    def test_a_cluster_node_without_slots(self):
        self.tcp_server("--cluster-enabled", "yes", "--cluster-node-timeout", "500", below=55000)
        self.redis.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        harness.wait_until(lambda: self.redis.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok",
                           "the cluster is up")

        # MGET of many slots is not for a cluster.
        class ByKey:
            def __init__(self, client):
                self.client = client

            def mget(self, keys):
                return [self.client.get(key) for key in keys]
        client = ByKey(self.redis.client)
        check = self.wait_model
        self.wait_model = lambda: check(client)
        self.outage(lambda: self.redis.client.execute_command("CLUSTER DELSLOTSRANGE", 0, 16383),
                    lambda: self.redis.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383), "CLUSTERDOWN")

    def test_a_cluster_node_of_half_the_slots(self):
        """Keys of the other node fail, one by one; this node's go on."""
        self.tcp_server("--cluster-enabled", "yes", below=55000)
        here = self.redis
        port = self.port
        self.tcp_server("--cluster-enabled", "yes", below=55000)
        there, self.redis = self.redis, here
        there.client.execute_command("CLUSTER ADDSLOTSRANGE", 8192, 16383)
        here.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
        here.client.execute_command("CLUSTER MEET", "127.0.0.1", self.port)
        harness.wait_until(lambda: here.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" and
                           here.client.execute_command("CLUSTER INFO")["cluster_slots_ok"] == "16384", "one cluster")
        bridge = self.bridge(f"redis://127.0.0.1:{port}")
        ours = [i for i in range(40) if here.client.cluster("keyslot", f"price:S{i}:latest") < 8192]
        for _ in range(10):
            self.tick()
            harness.wait_until(lambda: all(
                here.client.get(f"price:S{i}:latest") == self.model.symbols[f"S{i}"].text().encode() for i in ours),
                "this node's keys")
        summary = bridge.stop()[1]
        harness.check_sums(self, summary)
        self.assertGreaterEqual(summary["failed"], 40 - len(ours))
        self.assertLess(bridge.errors().count("\n"), 20, bridge.errors()[:3000])
        self.assertIn("MOVED", bridge.errors())

    def test_deletes_that_pass_while_all_else_is_refused(self):
        """Out of memory, UNLINK still works: the lane is not up for it, and the log does not tell each one."""
        self.server()
        bridge = self.bridge()
        self.tick()
        self.wait_model()
        self.set(maxmemory=1)
        self.tick()
        self.wait_state("backing_off", "OOM", 3)
        for n in range(50):
            acks = self.lane()["acks"]
            self.feeding.sendall(b'{"class":"positions","account":"D%d","delete":true}\n' % n)
            self.wait_lane(lambda l: l["acks"] > acks, "the delete")
        self.set(maxmemory=0)
        self.wait_model()
        self.wait_state("up")
        self.stop(bridge)

    def test_two_errors_in_turn(self):
        """Out of memory for most, forbidden for one: each is told once, not one after the other for ever."""
        self.tcp_server()
        bridge = self.bridge(**self.user("~price:S*", "~hft:*", "~feed:*", "&*", "+@all"))
        self.tick(4)
        self.wait_model()
        self.set(maxmemory=1)
        self.tick(4)
        self.wait_state("backing_off", "OOM")
        failed = 0
        for n in range(30):
            before = self.lane()["failed"]
            self.feeding.sendall(b'{"symbol":"X","Last":%d}\n' % n)
            self.wait_lane(lambda l: l["failed"] > before, "the forbidden one")
            failed += 1
        self.set(maxmemory=0)
        self.wait_model(only=lambda key: "price:X:" not in key)
        self.stop(bridge, failed=failed)

    def test_an_outage_longer_than_every_value(self):
        """When the outage ends nothing is left to be written: the lane is up all the same."""
        self.server()
        bridge = self.bridge(classes='[class.price]\nttl = "200ms"\n')
        self.set(maxmemory=1)
        self.tick(4)
        self.wait_state("backing_off", "OOM")
        self.wait_lane(lambda l: l["expired"] == 4, "all are expired")
        self.set(maxmemory=0)
        self.wait_state("up")
        self.stop(bridge)


class Standing(BridgeCase):
    """The server stands still, or is gone."""

    def faulted(self, begin, end, shown, redis_keys="", ticks=4, server=(), log_lines=20):
        self.server(*server)
        bridge = self.bridge(redis_keys=redis_keys)
        self.tick()
        self.document("A", {"round": 0})
        self.wait_model()
        begin()
        for n in range(ticks):
            self.tick()
            self.document("A", {"round": n + 1})
        self.wait_state(shown)
        end()
        self.wait_model()
        self.wait_state("up")
        return self.stop(bridge, log_lines=log_lines)

    def test_pause_of_everything(self):
        # It ends by itself: nobody is heard before.
        self.faulted(lambda: self.redis.client.execute_command("CLIENT PAUSE 1500 ALL"), lambda: None, "stalled",
                     'ack_timeout = "200ms"')

    def test_pause_of_writes(self):
        """Greetings are answered, writes are not: second connections come and go without a word in the log."""
        self.faulted(lambda: self.redis.client.execute_command("CLIENT PAUSE 60000 WRITE"),
                     lambda: (self.wait_lane(lambda l: l["connects"] >= 6, "connections were tried"),
                              self.redis.client.execute_command("CLIENT UNPAUSE")), "stalled", 'ack_timeout = "100ms"')

    def test_debug_sleep(self):
        def sleep():
            def run():
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.redis.socket)
                    s.sendall(b"DEBUG SLEEP 1.5\r\n")
                    s.recv(100)
            threading.Thread(target=run, daemon=True).start()
        self.faulted(sleep, lambda: None, "stalled", 'ack_timeout = "200ms"', server=("--enable-debug-command", "yes"))

    def test_shutdown(self):
        self.faulted(lambda: (self.redis.client.shutdown(nosave=True), self.redis.process.wait(harness.DEADLINE_S)),
                     lambda: self.redis.start(), "connecting")

    def test_client_kill_again_and_again(self):
        self.server()
        bridge = self.bridge()
        self.tick()
        self.wait_model()
        for n in range(25):
            connects = self.lane()["connects"]
            self.tick()
            self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
            self.tick()
            self.wait_lane(lambda l: l["connects"] > connects, "it is connected again")
        self.wait_model()
        # Each end is told once, with what follows.
        self.stop(bridge, log_lines=100)

    def test_a_server_that_loads_its_snapshot(self):
        self.server("--enable-debug-command", "yes")
        bridge = self.bridge()
        self.tick()
        self.document("A", [1])
        self.wait_model()
        self.redis.client.execute_command("DEBUG POPULATE 20000")
        self.redis.client.save()
        self.redis.kill()
        self.redis.arguments += ["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"]
        answers = self.redis._answers
        self.redis._answers = lambda: answers() or self.is_loading()
        self.redis.start()
        self.assertTrue(self.is_loading())
        self.tick()
        self.wait_state("backing_off", "LOADING", 4)
        self.tick()
        self.redis.client.config_set("key-load-delay", 0)
        self.wait_model()
        self.wait_state("up")
        self.stop(bridge)
        self.assert_told(bridge, "LOADING", 4)

    def is_loading(self):
        try:
            return self.redis.client.get("x") and False
        except redis.exceptions.BusyLoadingError:
            return True
        except redis.exceptions.ConnectionError:
            return False

    def test_no_place_for_another_client(self):
        self.server()
        bridge = self.bridge()
        self.tick()
        self.wait_model()
        self.redis.client.config_set("maxclients", 1)  # that is the test's own
        self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        self.tick()
        self.wait_state("connecting", "max number of clients")
        self.redis.client.config_set("maxclients", 100)
        self.wait_model()
        self.stop(bridge)
        self.assert_told(bridge, "max number", 3)


class Credentials(BridgeCase):
    def refused_at_start(self, keys, url=None):
        bridge = self.bridge(url, keys)
        bridge.process.wait(harness.DEADLINE_S)
        self.assertEqual(bridge.process.returncode, 1, bridge.errors())
        self.assertNotIn(SECRET, bridge.errors() + bridge.process.stdout.read().decode())
        return bridge.errors()

    def test_wrong_or_missing_at_start(self):
        self.server()
        self.redis.client.config_set("requirepass", "something-else")
        path = self.password_file(SECRET)
        self.assertIn("WRONGPASS", self.refused_at_start(f'password_file = "{path}"'))
        self.assertIn("NOAUTH", self.refused_at_start(""))
        result = harness.run("replay", "/dev/null", "--redis", self.redis.url, "--timeout", "10s", "--set",
                             f"redis.password_file={path}")
        self.assertNotIn(SECRET, (result.stdout + result.stderr).decode())

    def test_a_password_for_a_server_without_one(self):
        self.server()
        path = self.password_file(SECRET)
        self.assertIn("none set", self.refused_at_start(f'password_file = "{path}"'))

    def test_changed_while_running(self):
        self.server()
        self.redis.client.config_set("requirepass", SECRET)
        self.redis.client = redis.Redis(unix_socket_path=self.redis.socket, password=SECRET)
        path = self.password_file(SECRET + "\n")
        bridge = self.bridge(redis_keys=f'password_file = "{path}"')
        self.tick()
        self.wait_model()
        self.redis.client.config_set("requirepass", SECRET_NEW)
        self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        self.tick()
        lane = self.wait_state("refused", "WRONGPASS")
        self.assertIsNone(bridge.process.poll())
        self.password_file(SECRET_NEW)
        self.wait_model()
        self.assertGreater(self.wait_state("up")["state_since_unix_ns"], lane["state_since_unix_ns"])
        shown = harness.run("stats", "--set", f"bridge.instance={self.instance}").stdout.decode() + str(self.stats())
        with open(f"/proc/{bridge.process.pid}/cmdline") as f:
            shown += f.read()
        self.stop(bridge)
        shown += bridge.errors()
        self.assert_told(bridge, "WRONGPASS", 2)
        for secret in (SECRET, SECRET_NEW):
            self.assertNotIn(secret, shown)

    def test_a_key_without_rights(self):
        """That write fails; all others go on."""
        self.tcp_server()
        bridge = self.bridge(**self.user("~price:S*", "~hft:*", "~feed:*", "&*", "+@all"))
        for n in range(20):
            failed = self.lane()["failed"]
            self.send({"symbol": "X", "Last": n})
            self.tick()
            self.document("A", n)
            self.wait_lane(lambda l: l["failed"] > failed, "the forbidden one")
        lane = self.wait_state("up", "NOPERM")
        self.wait_model(only=lambda key: "price:X:" not in key)
        self.assertIsNone(self.redis.client.get("price:X:latest"))
        self.stop(bridge, failed=20, log_lines=10)
        self.assert_told(bridge, "NOPERM", 1)
        self.assertGreaterEqual(lane["errors"], 20)

    def test_a_user_without_a_password(self):
        """Who is named in the URL is who it connects as, or it does not connect; never silently as somebody else."""
        self.tcp_server()
        self.redis.client.execute_command("ACL SETUSER bridge on nopass ~price:* &* +@all")
        bridge = self.bridge(f"redis://bridge@127.0.0.1:{self.port}")

        def users():
            return {c["user"] for c in self.redis.client.client_list() if c["name"] == self.name}
        harness.wait_until(lambda: bridge.process.poll() is not None or users(), "it connects, or refuses")
        self.assertLessEqual(users(), {"bridge"}, bridge.errors())

    def bridge_with_password(self):
        """A bridge that has delivered to a server with a password, and its password file."""
        self.server()
        self.redis.client.config_set("requirepass", SECRET)
        self.redis.client = redis.Redis(unix_socket_path=self.redis.socket, password=SECRET)
        path = self.password_file(SECRET)
        bridge = self.bridge(redis_keys=f'password_file = "{path}"')
        self.tick()
        self.wait_model()
        return bridge, path

    def test_a_password_file_that_comes_and_goes(self):
        """Gone while it runs: it says so, and goes on when it is there again."""
        bridge, path = self.bridge_with_password()
        os.unlink(path)
        self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        self.tick()
        self.wait_lane(lambda l: l["state"] in ("connecting", "refused") and path in l["last_error"], "it says so")
        self.password_file("")
        self.wait_lane(lambda l: l["state"] in ("connecting", "refused") and "open" not in l["last_error"], "empty")
        self.password_file(SECRET)
        self.wait_model()
        self.stop(bridge)

    def test_a_server_that_drops_its_password(self):
        bridge, _ = self.bridge_with_password()
        self.redis.client.config_set("requirepass", "")
        self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
        self.tick()
        self.wait_state("refused", "none set")
        self.redis.client.config_set("requirepass", SECRET)
        self.wait_model()
        self.stop(bridge)
        self.assert_told(bridge, "none set", 2)
        self.assertNotIn(SECRET, bridge.errors())

    def test_rights_taken_away_and_given_back(self):
        self.tcp_server()
        bridge = self.bridge(**self.user("~*", "&*", "+@all"))
        self.tick()
        self.wait_model()
        self.redis.client.execute_command("ACL SETUSER bridge off")
        self.redis.client.execute_command("CLIENT KILL USER bridge")
        self.tick()
        self.wait_lane(lambda l: l["state"] in ("refused", "connecting"), "it is refused")
        self.redis.client.execute_command("ACL SETUSER bridge on")
        self.wait_model()
        self.stop(bridge)

    def test_client_forbidden(self):
        """It cannot fence, waits `fence_wait`, says so, and writes."""
        self.tcp_server()
        settings = self.user("~*", "&*", "+@all", "-client")
        bridge = self.bridge(settings["url"], settings["redis_keys"] + 'fence_wait = "100ms"')
        self.tick()
        self.wait_model()
        self.wait_state("unfenced", "CLIENT")
        self.redis.client.execute_command("CLIENT KILL USER bridge")
        self.tick()
        self.wait_model()
        self.wait_state("unfenced", "CLIENT")
        self.stop(bridge)

    def test_keys_of_another_type(self):
        """A write replaces them; only the reading back before it stumbles."""
        self.server()
        for i in range(40):
            self.redis.client.lpush(f"price:S{i}:latest", "a")
        self.redis.client.sadd("hft:positions:A:all", "b")
        bridge = self.bridge()
        self.tick()
        self.document("A", {"a": 1})
        self.wait_model()
        self.wait_state("up")
        self.stop(bridge, log_lines=10)
        self.assert_told(bridge, "WRONGTYPE", 1)


class Strangers(BridgeCase):
    """What answers is no Redis, or does not like a document."""

    def stranger(self, behave):
        """A listener that does `behave(connection)` on each connection, and counts them. Returns what ends it."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.port = listener.getsockname()[1]
        self.visits = 0
        kept = []

        def loop():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                self.visits += 1
                kept.append(connection)
                try:
                    behave(connection)
                except OSError:
                    pass
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()

        def close():
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
            thread.join(harness.DEADLINE_S)
            for connection in kept:
                connection.close()
        self.addCleanup(close)
        return close

    def until_a_redis_stands_there(self, behave, error, redis_keys="", visits=5):
        close = self.stranger(behave)
        bridge = self.bridge(f"redis://127.0.0.1:{self.port}", redis_keys)
        self.tick()
        self.wait_state("connecting", error)
        harness.wait_until(lambda: self.visits >= visits, "it tries again")
        self.tick()
        close()
        self.server("--port", str(self.port), "--bind", "127.0.0.1")
        self.wait_model()
        self.wait_state("up")
        self.stop(bridge)
        if error is not None:
            self.assert_told(bridge, error, 2)

    def test_another_protocol(self):
        self.until_a_redis_stands_there(
            lambda c: (c.recv(10), c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>"), c.close()),
            "not the Redis protocol")

    def test_two_problems_in_turn(self):
        """A name that leads now here, now there: two errors are not told for ever, one after the other."""
        def behave(connection):
            if self.visits % 2:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()
        self.until_a_redis_stands_there(behave, None, visits=40)

    def test_noise(self):
        self.until_a_redis_stands_there(lambda c: (c.sendall(b"\0" + os.urandom(100) + b"\r\n"), c.close()), None)

    def test_silence(self):
        self.until_a_redis_stands_there(lambda c: None, "no answer to the handshake", 'connect_timeout = "100ms"')

    def test_a_hang_up_at_once(self):
        self.until_a_redis_stands_there(lambda c: c.close(), "closed the connection")

    def test_numbers_for_answers(self):
        self.until_a_redis_stands_there(lambda c: (c.recv(10), c.sendall(b":1\r\n" * 20), c.close()), None)

    def test_since_when_of_a_server_that_was_never_there(self):
        self.stranger(lambda c: c.close())
        self.bridge(f"redis://127.0.0.1:{self.port}")
        self.assertGreater(self.wait_state("connecting", "closed")["state_since_unix_ns"], 0)

    def test_a_name_that_is_none(self):
        bridge = self.bridge("redis://nope.invalid:6379")
        self.tick()
        self.wait_state("connecting", "nope.invalid")
        self.assertIsNone(bridge.process.poll())
        returned, summary = bridge.stop()
        self.assertEqual(returned, 1)  # something was left
        harness.check_sums(self, summary)
        self.assertEqual(summary["pending"], 40)
        self.assertLess(bridge.errors().count("\n"), 10, bridge.errors())
        path = self.file("a.ndjson", '{"symbol":"A","Last":1}\n')
        result = harness.run("replay", path, "--redis", "redis://nope.invalid:6379", "--timeout", "500ms", "--json")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"nope.invalid", result.stderr)

    def test_a_document_that_makes_the_server_hang_up(self):
        """A client that takes more memory than it may is thrown out: by one document, each time it is written."""
        self.server("--maxmemory-clients", "512kb")
        bridge = self.bridge()
        self.tick()
        self.document("A", [1])
        self.wait_model()
        self.document("poison", None, size=900_000)
        self.tick()
        self.document("B", [2])
        self.wait_lane(lambda l: l["failed"] == 1, "it is given up")
        self.tick()
        self.wait_model(only=lambda key: "poison" not in key)
        self.wait_state("up")
        self.stop(bridge, failed=1)

    def test_a_document_at_which_the_line_breaks(self):
        """The same, where whatever stands between cuts the connection, whichever piece the document arrives in."""
        self.server()

        class Cutting(Proxy):
            def to_server(self, link, data):
                before, poison, _ = data.partition(b"POISON")
                link.ending = bool(poison)  # what stands before it is answered
                return before
        proxy = Cutting(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url)
        self.tick()
        self.wait_model()
        for n in range(5):
            self.document(f"bad{n}", "POISON")
            self.document(f"good{n}", n)
            self.tick()
        self.wait_lane(lambda l: l["failed"] == 5, "the bad ones are given up")
        self.wait_model(only=lambda key: "bad" not in key)
        self.tick()
        self.wait_model(only=lambda key: "bad" not in key)
        self.stop(bridge, failed=5, log_lines=60)

    def test_a_line_that_breaks_at_every_write(self):
        """Greetings pass, and every write ends the connection: tried less and less often, and not told each time."""
        self.server()

        class Cutting(Proxy):
            cut = True

            def to_server(self, link, data):
                before, setex, after = data.partition(b"SETEX")
                link.ending = self.cut and bool(setex)
                return before if link.ending else data
        proxy = Cutting(unix_connector(self.redis.socket))
        self.addCleanup(proxy.close)
        bridge = self.bridge(proxy.url)
        self.tick()
        harness.wait_until(lambda: len(proxy.links) >= 40, "it tries again and again")
        proxy.cut = False
        self.wait_model()
        self.stop(bridge)


if __name__ == "__main__":
    harness.main()
