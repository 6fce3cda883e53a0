# SPDX-License-Identifier: Apache-2.0
"""Where the threads and the memory of a real bridge are: read from /proc while it runs. And what it refuses."""
import contextlib
import ctypes
import json
import os
import random
import resource
import subprocess

import bridge_case
import harness

CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23
PR_CAPBSET_DROP = 24


def powerless():
    """In the child: no right to lock memory, nor to real-time priorities, also for root."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_IPC_LOCK, CAP_SYS_NICE):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails where there is nothing to give up
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def may(what):
    """Whether a child of ours may."""
    return subprocess.run(["/usr/bin/python3", "-c", what], stderr=subprocess.DEVNULL).returncode == 0


MAY_PRIORITY = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))"
MAY_LOCK = ("import ctypes, resource as r, sys; caps = [l for l in open('/proc/self/status') if l.startswith('CapEff')][0]; "
            "sys.exit(0 if int(caps.split()[1], 16) >> 14 & 1 or "
            "r.getrlimit(r.RLIMIT_MEMLOCK)[0] == r.RLIM_INFINITY else 1)")


class Threads:
    """Of a process, by name."""

    def __init__(self, pid):
        self.status, self.policy = {}, {}
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            self.status[status["Name"]] = status
            self.policy[status["Name"]] = os.sched_getscheduler(int(task)) & ~os.SCHED_RESET_ON_FORK

    def cpus(self, name):
        return self.status[name]["Cpus_allowed_list"].strip()


class Machine(bridge_case.BridgeCase):
    def setUp(self):
        super().setUp()
        self.cpus = sorted(os.sched_getaffinity(0))
        self.table = f"tickbridge-test-{os.getpid()}-{random.randrange(10**9)}"
        self.addCleanup(lambda: os.path.exists("/dev/shm/" + self.table) and os.unlink("/dev/shm/" + self.table))

    def runners(self, *runners, rest=""):
        """A bridge of one synthetic feed with these runners, once it delivers."""
        text = f'[table]\nshm = "{self.table}"\n{rest}[feed.x]\ntype = "synth"\nrate = 100\n'
        for runner in runners:
            text += "[[runner]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in runner.items())
        bridge = self.bridge(self.server().url, feeds=text)
        harness.wait_until(lambda: bridge.process.poll() is not None or "sink.0: up" in bridge.errors(), "it is up")
        self.assertIsNone(bridge.process.poll(), bridge.errors())
        return bridge

    def refused(self, *sets, child=None):
        options = [part for key in sets for part in ("--set", key)]
        return subprocess.run([harness.TICKBRIDGE, "run", "--redis", self.server().url, "--for", "1s", "--set", 'table.shm=""',
                               "--set", f"bridge.instance={self.instance}", "--set", "feed.x.type=synth", *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=child,
                              timeout=harness.DEADLINE_S)

    def test_a_pinned_runner_has_its_cpu_for_itself(self):
        if len(self.cpus) < 2:
            self.skipTest("needs two CPUs")
        cpu = self.cpus[-1]
        bridge = self.runners({"name": "pinned", "cpu": cpu, "agents": ["feed.x", "sink"]})
        threads = Threads(bridge.process.pid)
        self.assertEqual(threads.cpus("pinned"), str(cpu))
        others = set(threads.status) - {"pinned"}
        self.assertLessEqual({"tb-log", "tb-connect", "waker", "tickbridge"}, others)
        for name in others:
            self.assertNotIn(cpu, parse_list(threads.cpus(name)), name)
            self.assertEqual(threads.policy[name], os.SCHED_OTHER, name)
        self.assertNotIn("warn", bridge.errors())
        self.stop(bridge)

    def test_without_pinning_everything_is_everywhere(self):
        bridge = self.runners({"name": "free", "agents": ["feed.x", "sink"]})
        threads = Threads(bridge.process.pid)
        for name in threads.status:
            self.assertEqual(parse_list(threads.cpus(name)), self.cpus, name)
            self.assertEqual(threads.policy[name], os.SCHED_OTHER, name)
        self.stop(bridge)

    def test_a_priority_is_the_runners_alone(self):
        if not may(MAY_PRIORITY):
            self.skipTest("SCHED_FIFO is not for us")
        bridge = self.runners({"name": "fifo", "cpu": self.cpus[-1], "priority": 5, "agents": ["feed.x", "sink"]})
        threads = Threads(bridge.process.pid)
        for name, policy in threads.policy.items():
            self.assertEqual(policy, os.SCHED_FIFO if name == "fifo" else os.SCHED_OTHER, name)
        self.assertIn(f"runner.fifo: CPU {self.cpus[-1]}, priority 5", bridge.errors())
        self.stop(bridge)

    def test_it_says_what_it_refuses(self):
        absent = self.refused("runner.main.cpu=4000")
        self.assertEqual(absent.returncode, 2)
        why = ("there is no such CPU on this machine, only" if os.path.exists("/sys/devices/system/cpu/present")
               else "this process may only use the CPUs")
        self.assertIn(f"runner.main.cpu = 4000: {why}", absent.stderr)
        forbidden = self.refused("runner.main.priority=5", child=powerless)
        self.assertEqual(forbidden.returncode, 1, forbidden.stderr)
        for part in ("runner.main.priority = 5", "RLIMIT_RTPRIO", "CAP_SYS_NICE"):
            self.assertIn(part, forbidden.stderr)
        locked = self.refused("memory.lock=true", child=powerless)
        self.assertEqual(locked.returncode, 1, locked.stderr)
        for part in ("memory.lock = true", "RLIMIT_MEMLOCK is 1024 KiB", "ulimit -l unlimited"):
            self.assertIn(part, locked.stderr)
        if len(self.cpus) > 1:
            taken = self.refused(f"runner.main.cpu={self.cpus[-1]}",
                                 child=lambda: os.sched_setaffinity(0, self.cpus[:1]))
            self.assertEqual(taken.returncode, 2, taken.stderr)
            self.assertIn(f"may only use the CPUs {self.cpus[0]} (", taken.stderr)

    def test_it_warns_where_no_cpu_is_left(self):
        result = self.refused(f"runner.main.cpu={self.cpus[0]}", "runner.main.idle=spin",
                              child=lambda: os.sched_setaffinity(0, self.cpus[:1]))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("no CPU is left", result.stderr)

    def test_memory_is_locked_and_huge_where_it_may_be(self):
        lock = may(MAY_LOCK)
        bridge = self.runners({"name": "main", "agents": ["feed.x", "sink"]},
                              rest=f'[memory]\nhuge_pages = "try"\nlock = {json.dumps(lock)}\n')
        with open(f"/proc/{bridge.process.pid}/status") as f:
            locked = int(next(line for line in f if line.startswith("VmLck")).split()[1])
        memory = harness.wait_until(lambda: (self.stats() or {}).get("memory"), "the bridge says what it has")
        if lock:
            self.assertGreater(locked, 20 << 10)
            self.assertGreater(memory["locked_bytes"], 20 << 20)
        self.assertGreater(memory["resident_bytes"], 20 << 20)
        self.assertIn(f"{memory['huge_page_bytes'] >> 20} MiB of it in huge pages", bridge.errors())
        with contextlib.suppress(FileNotFoundError), open("/sys/kernel/mm/transparent_hugepage/enabled") as f:
            if "[never]" not in f.read():
                self.assertGreaterEqual(memory["huge_page_bytes"], 2 << 20)
        self.stop(bridge)


def parse_list(text):
    """0-2,5"""
    return [cpu for part in text.split(",") for ends in (part.split("-"),)
            for cpu in range(int(ends[0]), int(ends[-1]) + 1)]


if __name__ == "__main__":
    harness.main()
