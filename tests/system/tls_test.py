# SPDX-License-Identifier: Apache-2.0
"""TLS to a real server, with certificates of the test's own: what is right connects, what is wrong is refused and
named, and a line that is cut loses nothing."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import harness
from bridge_case import BridgeCase, Proxy, free_port, tcp_connector

PASSWORD = "tls-password-never-shown"


def missing():
    for program in ("openssl", "redis-server"):
        if shutil.which(program) is None:
            return f"no {program} here"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["redis-server", "--port", "0", "--tls-port", "1", "--tls-cert-file", "none", "--dir",
                                folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=harness.DEADLINE_S)
        # One without TLS does not know the words.
        return "this redis-server has no TLS" if b"Bad directive" in tried.stdout else None


class Authority:
    """A CA in a folder, and what it signs. Files: NAME.crt, NAME.key."""

    def __init__(self, folder):
        self.folder = folder
        self.make_authority("ca")
        self.make_authority("other-ca")
        self.sign("server", "DNS:localhost,IP:127.0.0.1")
        self.sign("expired", "DNS:localhost,IP:127.0.0.1", days=-1)
        self.sign("elsewhere", "DNS:elsewhere.example,IP:192.0.2.1")
        self.sign("strange", "DNS:localhost,IP:127.0.0.1", ca="other-ca")
        self.sign("client", "DNS:client")
        self.sign("strange-client", "DNS:client", ca="other-ca")

    def path(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=self.folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)

    def make_authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                     f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name} of the test")

    def sign(self, name, alternatives, ca="ca", days=2):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                     f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        with open(self.path(f"{name}.ext"), "w") as f:
            f.write(f"subjectAltName={alternatives}\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
                     "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.crt")


class Tls(BridgeCase):
    @classmethod
    def setUpClass(cls):
        why = missing()
        if why:
            raise unittest.SkipTest(why)
        cls.certificates = tempfile.mkdtemp(prefix="tb-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.certificates, True)
        cls.authority = Authority(cls.certificates)

    def tls_server(self, certificate="server", *arguments, clients="no", authority="ca"):
        self.port = free_port()
        path = self.authority.path
        return self.server("--tls-port", str(self.port), "--bind", "127.0.0.1", "--tls-cert-file",
                           path(f"{certificate}.crt"), "--tls-key-file", path(f"{certificate}.key"),
                           "--tls-ca-cert-file", path(f"{authority}.crt"), "--tls-auth-clients", clients, *arguments)

    def url(self, host="localhost", port=None, user=""):
        return f"rediss://{user}{host}:{port or self.port}"

    def keys(self, client=None, **more):
        keys = {"tls_ca": self.authority.path("ca.crt"), "connect_timeout": "2s", **more}
        if client:
            keys.update(tls_cert=self.authority.path(f"{client}.crt"), tls_key=self.authority.path(f"{client}.key"))
        return keys

    def secure_bridge(self, url=None, **keys):
        text = "".join(f'{name} = "{value}"\n' for name, value in keys.items())
        return self.bridge(url or self.url(), text)

    def tool(self, *arguments, url=None, **keys):
        sets = [part for name, value in keys.items() for part in ("--set", f"redis.{name}={value}")]
        return harness.run(*arguments, "--redis", url or self.url(), *sets)

    def works(self, url=None, **keys):
        bridge = self.secure_bridge(url, **keys)
        self.tick()
        self.document("A", {"big": "x" * 200_000})  # more than one record of TLS
        self.wait_model()
        self.wait_state("up")
        return bridge

    def refused(self, error, url=None, **keys):
        """By `run`, at its start, with exit code 1, and by the others."""
        bridge = self.secure_bridge(url, **keys)
        try:
            bridge.process.wait(harness.DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.fail(f"it does not end: {bridge.errors()[:2000]}")
        self.assertEqual(bridge.process.returncode, 1, bridge.errors())
        self.assertRegex(bridge.errors(), error)
        self.assertLess(bridge.errors().count("\n"), 8, bridge.errors())
        path = self.file("a.ndjson", '{"symbol":"A","Last":1}\n')
        for command in (("get", "A"), ("replay", path, "--timeout", "2s")):
            result = self.tool(*command, url=url, **keys)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertRegex(result.stderr.decode(), error)
            self.assertNotIn(b"A ", result.stdout)

    def test_by_name_and_by_address(self):
        self.tls_server()
        for host in ("localhost", "127.0.0.1"):
            bridge = self.works(self.url(host), **self.keys())
            self.stop(bridge)
            self.feeding = None

    def test_get_watch_and_replay(self):
        self.tls_server()
        path = self.file("a.ndjson", "".join(json.dumps({"symbol": f"R{i}", "Last": i}) + "\n" for i in range(5000)))
        result = self.tool("replay", path, "--json", "--set", "class.price.ttl=600s", **self.keys())
        self.assertEqual(result.returncode, 0, result.stderr)
        summary = json.loads(result.stdout)
        harness.check_sums(self, summary)
        self.assertEqual(self.redis.client.dbsize() - self.redis.client.exists("feed:replay:alive"), 5000)
        result = self.tool("get", "R7", "R8", "--json", **self.keys())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b'"Last":7.0', result.stdout)
        watch = subprocess.Popen([harness.TICKBRIDGE, "watch", "R7", "--interval", "50ms", "--redis", self.url(),
                                  "--set", f"redis.tls_ca={self.authority.path('ca.crt')}"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.addCleanup(lambda: (watch.poll() is None and watch.kill(), watch.communicate()))
        watch.stdout.readline()  # the names of the columns
        self.assertIn(b"R7", watch.stdout.readline())
        watch.send_signal(signal.SIGINT)
        watch.wait(harness.DEADLINE_S)

    def test_an_expired_certificate(self):
        self.tls_server("expired")
        self.refused("expired", **self.keys())

    def test_a_certificate_for_another_host(self):
        self.tls_server("elsewhere")
        self.refused("hostname mismatch|[Hh]ost", **self.keys())
        self.refused("IP address mismatch", self.url("127.0.0.1"), **self.keys())

    def test_an_unknown_authority(self):
        self.tls_server("strange")
        self.refused("unable to get local issuer|self-signed|unable to verify", **self.keys())

    def test_the_systems_authorities_do_not_know_the_test(self):
        self.tls_server()
        self.refused("unable to get local issuer|self-signed|unable to verify", connect_timeout="2s")

    def test_without_verification(self):
        """Works with all of these, and warns."""
        self.tls_server("strange")
        bridge = self.works(tls_verify="none")
        self.stop(bridge)
        self.assertIn("warning", bridge.errors())
        self.assertRegex(bridge.errors(), "tls_verify|not verified|verif")

    def test_client_certificates(self):
        self.tls_server(clients="yes")
        bridge = self.works(**self.keys("client"))
        self.stop(bridge)
        self.assertIn(b"S1", self.tool("get", "S1", **self.keys("client")).stdout)

    def test_without_the_client_certificate_that_is_wanted(self):
        self.tls_server(clients="yes")
        self.refused("certificate required|refused us", **self.keys())

    def test_a_client_certificate_of_another_authority(self):
        self.tls_server(clients="yes")
        self.refused("unknown ca|refused us|alert", **self.keys("strange-client"))

    def test_files_that_are_none(self):
        self.tls_server()
        for keys in ({"tls_ca": "/nope.crt"}, {**self.keys(), "tls_cert": self.authority.path("client.crt"),
                                               "tls_key": self.authority.path("server.key")},
                     {**self.keys(), "tls_cert": "/nope.crt", "tls_key": "/nope.key"}):
            bridge = self.secure_bridge(**keys)
            bridge.process.wait(harness.DEADLINE_S)
            self.assertEqual(bridge.process.returncode, 2, bridge.errors())
            self.assertIn("tls_", bridge.errors())

    def test_user_and_password(self):
        self.tls_server()
        self.redis.client.execute_command("ACL SETUSER bridge on", f">{PASSWORD}", "~*", "&*", "+@all")
        self.redis.client.execute_command("ACL SETUSER default resetpass")
        # The test's own connection stays what it is.
        keys = self.keys(password_file=self.password_file(PASSWORD))
        bridge = self.works(self.url(user="bridge@"), **keys)
        result = self.tool("get", "S1", url=self.url(user="bridge@"), **keys)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.stop(bridge)
        self.assertNotIn(PASSWORD, bridge.errors())
        keys = self.keys(password_file=self.password_file("wrong"))
        self.refused("WRONGPASS", self.url(user="bridge@"), **keys)

    def test_a_server_that_speaks_plainly(self):
        """The greeting fails: an error, and no hang; it may yet be exchanged for one that does TLS."""
        self.tcp_server()
        bridge = self.secure_bridge(**self.keys())
        self.tick()
        self.wait_state("connecting", "TLS")
        result = self.tool("get", "A", **self.keys())
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"TLS", result.stderr)
        self.assertIsNone(bridge.process.poll())
        self.assertLess(bridge.errors().count("\n"), 8, bridge.errors())

    def test_a_server_of_tls_that_is_addressed_plainly(self):
        self.tls_server()
        bridge = self.bridge(f"redis://localhost:{self.port}", 'connect_timeout = "500ms"')
        self.tick()
        self.wait_state("connecting", "")
        self.wait_lane(lambda l: l["last_error"], "an error")
        self.assertLess(bridge.errors().count("\n"), 8, bridge.errors())

    def test_a_silent_server(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            self.port = listener.getsockname()[1]
            self.secure_bridge(**self.keys(connect_timeout="200ms"))
            self.wait_state("connecting", "TLS handshake")

    def test_killed_and_restarted(self):
        self.tls_server()
        bridge = self.works(**self.keys())
        for _ in range(3):
            self.redis.kill()
            self.tick()
            self.document("A", {"n": 1})
            self.redis.start()
            self.wait_model()
        self.stop(bridge, log_lines=60)

    def test_refused_after_a_certificate_ran_out(self):
        """While it runs it does not end: it says so, and goes on when the certificate is renewed."""
        self.tls_server()
        bridge = self.works(**self.keys())
        good = list(self.redis.arguments)
        self.redis.kill()
        self.redis.arguments = [a.replace("/server.", "/expired.") for a in good]
        self.redis.start()
        self.tick()
        self.wait_state("refused", "expired")
        self.redis.kill()
        self.redis.arguments = good
        self.redis.start()
        self.wait_model()
        self.wait_state("up")
        self.stop(bridge)
        self.assert_told(bridge, "expired", 2)

    def test_cut_in_the_middle_of_records(self):
        """After so many bytes, in either direction, wherever that is in a record or in the greeting."""
        self.tls_server()

        class Cutting(Proxy):
            cut = True

            def to_server(self, link, data):
                return self.count(link, data, 700 + 977 * link.number)

            def to_client(self, link, data):
                return self.count(link, data, 700 + 977 * link.number)

            def count(self, link, data, limit):
                link.bytes = getattr(link, "bytes", 0) + len(data)
                if self.cut and link.bytes > limit:
                    link.ending = True
                    return data[:len(data) // 2]
                return data
        proxy = Cutting(tcp_connector(self.port))
        self.addCleanup(proxy.close)
        bridge = self.secure_bridge(self.url(port=proxy.address[1]), **self.keys())
        for _ in range(20):
            links = len(proxy.links)
            harness.wait_until(lambda: (self.tick(), len(proxy.links) > links)[1], "it was cut, and comes again")
        proxy.cut = False
        self.wait_model()
        self.tick()
        self.wait_model()
        self.stop(bridge, log_lines=300)

    def test_slowly_byte_by_byte(self):
        """Records that arrive in pieces."""
        self.tls_server()

        class Dripping(Proxy):
            def to_server(self, link, data):
                for i in range(0, len(data), 7):
                    link.server.sendall(data[i:i + 7])
                return b""

            def to_client(self, link, data):
                for i in range(0, len(data), 7):
                    link.client.sendall(data[i:i + 7])
                return b""
        proxy = Dripping(tcp_connector(self.port))
        self.addCleanup(proxy.close)
        bridge = self.secure_bridge(self.url(port=proxy.address[1]), **self.keys())
        for _ in range(5):
            self.tick()
        self.wait_model()
        self.stop(bridge)

    def test_fencing_by_name_works_over_tls(self):
        self.tls_server()
        bridge = self.works(**self.keys())
        for _ in range(3):
            connects = self.lane()["connects"]
            self.redis.client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
            self.tick()
            self.wait_lane(lambda l: l["connects"] > connects, "it is connected again")
        self.wait_model()
        self.assertEqual([c["name"] for c in self.redis.client.client_list()].count(self.name), 1)
        self.stop(bridge)


if __name__ == "__main__":
    why_not = missing()
    if why_not:
        print(f"skipped: {why_not}")
        sys.exit(77)
    harness.main()
