# SPDX-License-Identifier: Apache-2.0
"""`tickbridge doctor` at real servers with bad settings: what it finds, what --apply changes, and that it changes
nothing else, nor without having asked."""
import json
import os
import pty
import subprocess

import bridge_case
import harness

BAD = ("--save", "3600 1", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--timeout", "60",
       "--active-expire-effort", "10", "--enable-debug-command", "yes", "--slowlog-log-slower-than", "1000",
       "--latency-monitor-threshold", "10", "--masterauth", "hunter2")
MENDED = {"save": "", "maxmemory-policy": "noeviction", "timeout": "0", "active-expire-effort": "1"}


class Doctor(bridge_case.BridgeCase):
    def doctor(self, *arguments, url=None, code=0, env=None):
        result = subprocess.run([harness.TICKBRIDGE, "doctor", "--json", "--redis", url or self.redis.url, *arguments],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                timeout=harness.DEADLINE_S, env={**os.environ, **(env or {})})
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout.count("\n"), 1, "one line")
        self.assertNotIn("hunter2", result.stdout + result.stderr)
        return json.loads(result.stdout), result.stderr

    def settings(self):
        """As the server has them; its password, port and the like included."""
        return self.redis.client.config_get("*")

    def checks(self, report):
        return {finding["check"]: finding for finding in report["redis"]}

    def changed(self, before):
        return {key: value for key, value in self.settings().items() if before[key] != value}

    def test_it_looks_and_changes_nothing(self):
        self.server(*BAD)
        self.redis.client.execute_command("DEBUG", "SLEEP", "0.05")
        before = self.settings()
        report, _ = self.doctor()
        checks = self.checks(report)
        for check in ("redis.save", "redis.eviction", "redis.timeout", "redis.expire_effort", "redis.slowlog"):
            self.assertEqual(checks[check]["severity"], "warn", checks[check])
            self.assertTrue(checks[check]["cost"] and checks[check]["fix"], checks[check])
        self.assertIn("DEBUG", checks["redis.slowlog"]["seen"])
        self.assertEqual({c["parameter"]: c["value"] for c in report["changes"]}, MENDED)
        self.assertEqual({c["result"] for c in report["changes"]}, {"proposed"})
        self.assertEqual(self.changed(before), {})
        machine = {finding["check"] for finding in report["machine"]}
        always = {"kernel.version", "cpu.count", "memory.swap", "shm.size"}
        if os.path.exists("/sys/devices/system/clocksource"):  # a chroot may be without
            always.add("clock.source")
        self.assertLessEqual(always, machine)
        counted = [f["severity"] for f in report["machine"] + report["redis"]]
        self.assertEqual(report["counts"], {s: counted.count(s) for s in ("bad", "warn", "info", "ok")})

    def test_apply_changes_what_it_says_and_only_that(self):
        self.server(*BAD)
        before = self.settings()
        report, log = self.doctor("--apply", code=1)
        self.assertIn("nothing was changed", log)
        self.assertEqual(self.changed(before), {})
        report, log = self.doctor("--apply", "--yes")
        self.assertEqual({c["result"] for c in report["changes"]}, {"applied"})
        self.assertTrue(all(c["loses"] for c in report["changes"]))
        self.assertIn("until that server restarts", log)
        self.assertEqual(self.changed(before), MENDED)
        report, _ = self.doctor()
        self.assertEqual(report["changes"], [])
        self.assertEqual(self.checks(report)["redis.persistence"]["severity"], "ok")

    def test_it_asks_on_a_terminal(self):
        self.server(*BAD)
        before = self.settings()
        for answer, changed in (("n", {}), ("", {}), ("y", MENDED)):
            with self.subTest(answer=answer):
                ours, theirs = pty.openpty()
                process = subprocess.Popen([harness.TICKBRIDGE, "doctor", "--apply", "--redis", self.redis.url],
                                           stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
                os.close(theirs)
                said = b""
                while b"[y/N] " not in said:
                    said += os.read(ours, 4096)
                self.assertIn(b'CONFIG SET save ""', said)
                self.assertIn(b"loses: ", said)
                os.write(ours, answer.encode() + b"\n")
                out, _ = process.communicate(timeout=harness.DEADLINE_S)
                os.close(ours)
                self.assertEqual(process.returncode, 0)
                self.assertIn(b"redis.save", out)
                self.assertEqual(self.changed(before), changed)

    def test_keys_that_are_meant_to_stay_keep_their_persistence(self):
        self.server(*BAD)
        self.redis.client.set("somebody:else", "1")
        before = self.settings()
        report, _ = self.doctor("--apply", "--yes")
        self.assertEqual(self.changed(before), {"timeout": "0", "active-expire-effort": "1"})
        self.assertEqual(self.checks(report)["redis.lasting_keys"]["severity"], "info")

    def test_a_server_that_does_not_tell_everything(self):
        self.server(*BAD)
        client = self.redis.client
        client.execute_command("ACL", "SETUSER", "reader", "on", ">hunter2", "+@read", "+info", "+ping", "~*")
        url = f"unix://reader@{self.redis.socket}"
        report, log = self.doctor("--apply", "--yes", url=url, env={"REDIS_PASSWORD": "hunter2"})
        self.assertIn("CONFIG GET (NOPERM)", self.checks(report)["redis.rights"]["seen"])
        self.assertIn("nothing that --apply would set", log)
        client.execute_command("ACL", "SETUSER", "looker", "on", ">hunter2", "+@all", "-config|set", "~*")
        url = f"unix://looker@{self.redis.socket}"
        before = self.settings()
        report, log = self.doctor("--apply", "--yes", url=url, env={"REDIS_PASSWORD": "hunter2"}, code=1)
        self.assertEqual({c["result"][:8] for c in report["changes"]}, {"refused:"})
        self.assertEqual(len(report["changes"]), len(MENDED), "it goes on after the first")
        self.assertEqual(self.changed(before), {})

    def test_renamed_commands(self):
        self.server(*BAD, "--rename-command", "CONFIG", "")
        report, _ = self.doctor()
        self.assertIn("CONFIG GET (ERR)", self.checks(report)["redis.rights"]["seen"])

    def test_no_server(self):
        report, _ = self.doctor(url=f"unix://{self.folder}/none.sock", code=1)
        self.assertEqual(self.checks(report)["redis.connection"]["severity"], "bad")
        self.assertTrue(report["machine"])

    def test_a_wrong_password(self):
        self.server().client.config_set("requirepass", "right")
        report, _ = self.doctor(code=1)
        self.assertIn("REDIS_PASSWORD", self.checks(report)["redis.connection"]["seen"])
        report, log = self.doctor(code=1, env={"REDIS_PASSWORD": "hunter2"})
        self.assertIn("redis.connection", self.checks(report))

    def test_for_people(self):
        self.server(*BAD)
        result = harness.run("doctor", "--redis", self.redis.url)
        self.assertEqual(result.returncode, 0)
        text = result.stdout.decode()
        for part in ("machine\n", "redis unix://", "warn  redis.save", "costs: ", "fix:   CONFIG SET save", " warn, "):
            self.assertIn(part, text)
        self.assertEqual(harness.run("doctor", "--yes", "--redis", self.redis.url).returncode, 2)


if __name__ == "__main__":
    harness.main()
