# SPDX-License-Identifier: Apache-2.0
"""Real servers and the real binary, for the system tests. Everything started here is stopped here."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
TICKBRIDGE = os.environ.get("TICKBRIDGE", str(ROOT / "build/release/bin/tickbridge"))
# Sanitizers slow everything down; a deadline is no assertion about speed.
DEADLINE_S = float(os.environ.get("TICKBRIDGE_TEST_DEADLINE", "60"))


def recording(name):
    """A recording beside the project, or the test is skipped."""
    path = SHARED / "data" / name
    if not path.exists():
        raise unittest.SkipTest(f"no {path}: recordings of real venues are not part of the project")
    return path


def wait_until(condition, what, deadline_s=None):
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within the deadline: {what}")
        time.sleep(0.005)


class Redis:
    """A private redis-server on a Unix socket."""

    def __init__(self, *arguments, program="redis-server"):
        self.folder = tempfile.mkdtemp(prefix="tb-redis-")
        self.socket = os.path.join(self.folder, "redis.sock")
        self.url = f"unix://{self.socket}"
        self.arguments = [shutil.which(program) or program, "--port", "0", "--unixsocket", self.socket, "--save", "",
                          "--appendonly", "no", "--dir", self.folder, *arguments]
        self.process = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def spawn(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self.arguments, stdout=log, stderr=log)
        self.client = redis.Redis(unix_socket_path=self.socket)

    def start(self):
        self.spawn()
        wait_until(self._answers, "redis-server answers")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"redis-server ended with {self.process.returncode}")
        try:
            return self.client.ping()
        except redis.exceptions.BusyLoadingError:
            return False
        except redis.exceptions.ConnectionError:
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.socket):
            os.unlink(self.socket)

    def close(self):
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bridge:
    """A running `tickbridge run`."""

    def __init__(self, config, *arguments):
        self.folder = tempfile.mkdtemp(prefix="tb-run-")
        path = os.path.join(self.folder, "tickbridge.toml")
        with open(path, "w") as f:
            f.write(config)
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        # A shared table stays in place for the next bridge; a test that wants one says so.
        table = [] if "shm =" in config else ["--set", 'table.shm=""']
        self.process = subprocess.Popen([TICKBRIDGE, "run", "--config", path, "--json", *table, *arguments],
                                        stdout=subprocess.PIPE, stderr=self.log)

    def stop(self):
        """SIGTERM; the exit code and the summary."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, json.loads(out.decode().strip().splitlines()[-1]) if out.strip() else None

    def errors(self):
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(*arguments, input=None):
    return subprocess.run([TICKBRIDGE, *arguments], input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=10 * DEADLINE_S)


def check_sums(test, summary):
    """Promise 5: everything is counted."""
    rejected = sum(summary["rejected"].values())
    test.assertEqual(summary["records"], summary["accepted"] + rejected + summary["control"], summary)
    ends = sum(summary[k] for k in ("written", "conflated", "expired", "failed", "pending"))
    test.assertEqual(summary["accepted"], ends, summary)


def main():
    """unittest's own, but a run in which every test was skipped says so to ctest."""
    result = unittest.main(exit=False, verbosity=2).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) == result.testsRun else 0)
