"""Guests of the real Firecracker that take all they can get: their neighbour and the server go on."""

import glob
import os
import statistics
import time

from firecracker_host import FirecrackerTest
from harness import WRENN, wait_for

FLOOD = os.path.join(os.path.dirname(WRENN), "flood")
LOOKS = 5


class Hostile(FirecrackerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = cls.server.api.create(timeout_sec=0)["id"]

    def start(self, sandbox, script):
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {
            "cmd": "/bin/sh", "args": ["-c", script], "background": True, "user": "root"}, expect=202)

    def latency(self):
        """Of a command in the neighbour, in ms, and of a question to the server alone: the medians."""
        commands, questions = [], []
        for _ in range(LOOKS):
            begin = time.monotonic()
            self.assertEqual(self.api.sh(self.neighbour, "echo alive", timeout_sec=60)["stdout"], "alive\n")
            commands.append(time.monotonic() - begin)
            begin = time.monotonic()
            self.api.get(self.neighbour)
            questions.append(time.monotonic() - begin)
        return statistics.median(commands) * 1000, statistics.median(questions) * 1000

    def beside(self, what, hostile, **fields):
        """Starts what a guest does, and prints what its neighbour has of it."""
        sandbox = self.sandbox(timeout_sec=0, memory_mb=128, vcpus=1, **fields)
        command, question = self.latency()
        hostile(sandbox)
        cpu, begin = self.used(sandbox)["host_cpu_microseconds"], time.monotonic()
        command_then, question_then = self.latency()
        cpu = (self.used(sandbox)["host_cpu_microseconds"] - cpu) / 1e4 / (time.monotonic() - begin)
        print(f"\n  {what} ({cpu:.0f} % of a processor): neighbour's command {command:.0f} -> {command_then:.0f} ms, "
              f"server {question:.1f} -> {question_then:.1f} ms", flush=True)
        return sandbox

    def remove(self, sandbox):
        self.api.delete(sandbox)
        self.assertEqual(self.api.get(self.neighbour)["status"], "running")

    def test_eats_memory(self):
        sandbox = self.beside("memory", lambda name: self.start(
            name, "mount -t tmpfs -o size=1g none /mnt; while :; do cat /dev/zero >/mnt/x; tail /dev/zero; done"))
        # Its own kernel has ended what ate it; what answers for it is protected from that.
        self.assertEqual(self.api.sh(sandbox, "echo alive", timeout_sec=60)["stdout"], "alive\n")
        self.assertEqual(self.api.get(sandbox)["status"], "running")
        self.remove(sandbox)

    def test_needs_more_than_it_may(self):
        """A VMM that its cgroup's limit ends is recorded as that."""
        sandbox = self.sandbox(timeout_sec=0)
        [cgroup] = glob.glob(f"/sys/fs/cgroup/**/{sandbox}", recursive=True)
        with open(f"{cgroup}/memory.max", "w") as file:
            file.write(str(24 << 20))  # less than it has already
        ended = wait_for("its end", lambda: self.api.get(sandbox)["status"] == "error" and self.api.get(sandbox), 60)
        self.assertIn("needed more memory than it may", ended["reason"])
        self.assertEqual(self.api.sh(self.neighbour, "echo alive")["stdout"], "alive\n")

    def test_forks_without_end(self):
        sandbox = self.beside("forks", lambda name: self.start(name, "f() { f | f & }; f; f; sleep 1000"))
        self.remove(sandbox)

    def test_fills_its_disk(self):
        sandbox = self.beside("disk", lambda name: self.start(name, "cat /dev/zero >/root/x; sync; touch /tmp/full"))
        wait_for("its disk to be full", lambda: self.api.sh(sandbox, "test -e /tmp/full")["exit_code"] == 0, 300)
        record = self.api.get(sandbox)
        self.assertEqual(record["status"], "running")
        self.assertNotIn("reason", record)
        self.assertNotEqual(self.api.sh(sandbox, "echo more >/root/y", user="root")["exit_code"], 0)
        # Its file is no larger than what it may have, with the metadata of all its chunks.
        [changes] = glob.glob(f"{self.server.root}/sandboxes/{sandbox}/disk-*.cow")
        self.assertLess(os.stat(changes).st_blocks * 512, record["disk_mb"] * 1.01 * (1 << 20) + (2 << 20))
        self.api.write(self.neighbour, "/root/file", b"x" * (1 << 20), user="root")
        self.remove(sandbox)

    def test_floods_the_network(self):
        with open(FLOOD, "rb") as file:
            program = file.read()

        def flood(sandbox):
            self.api.write(sandbox, "/tmp/flood", program, user="root")
            self.start(sandbox, "chmod 755 /tmp/flood; /tmp/flood 1.1.1.1 1000")
            wait_for("the flood", lambda: self.sent(sandbox) > 100_000)

        sandbox = self.beside("flood", flood, egress=True)
        so_far = self.sent(sandbox)
        wait_for("more of the flood", lambda: self.sent(sandbox) > so_far + 100_000)
        self.remove(sandbox)

    def sent(self, sandbox):
        return self.used(sandbox)["network_sent_bytes"]

    def used(self, sandbox):
        return self.api.call("GET", f"/v1/sandboxes/{sandbox}/metrics", expect=200).json()
