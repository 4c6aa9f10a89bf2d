"""Guests that take what they can get: their neighbour and the server go on answering."""

import contextlib
import http.client
import os
import threading
import time

from firecracker_host import FirecrackerTest, host_state, vmms
from harness import WRENN, wait_for

FLOOD = os.path.join(os.path.dirname(WRENN), "flood")

SECONDS = 12.0  # of each attack
# Of one answer meanwhile. Both guests and the server share two emulated processors.
LIMIT = 20.0


class FirecrackerHostile(FirecrackerTest):
    def setUp(self):
        self.before = self.settled()
        self.neighbour = self.sandbox(timeout_sec=0)
        self.victim = self.sandbox(timeout_sec=0, egress=True, memory_mb=256)

    def tearDown(self):
        self.remove_all()
        self.assert_as_before(self.before)

    def measure(self, seconds):
        """The longest times of an exec in the neighbour and of an answer of the server, and how many."""
        longest = {"neighbour": 0.0, "server": 0.0}
        count = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            self.assertEqual(self.api.sh(self.neighbour, "echo here", timeout_sec=60)["stdout"], "here\n")
            middle = time.monotonic()
            self.api.call("GET", "/health", expect=200)
            longest["neighbour"] = max(longest["neighbour"], middle - begin)
            longest["server"] = max(longest["server"], time.monotonic() - middle)
            count += 1
        return longest, count

    def attack(self, name, script, seconds=SECONDS):
        calm, _ = self.measure(3)
        answer = {}

        def run():
            with contextlib.suppress(OSError, http.client.HTTPException):
                reply = self.api.call("POST", f"/v1/sandboxes/{self.victim}/exec", {
                    "cmd": "/bin/sh", "args": ["-c", script], "user": "root", "timeout_sec": int(seconds)})
                answer.update(reply.json())
        attacker = threading.Thread(target=run)
        attacker.start()
        longest, count = self.measure(seconds)
        attacker.join(120)
        self.assertFalse(attacker.is_alive())
        record = self.api.get(self.victim)
        print(f"\n  {name}: {count} rounds; neighbour at most {longest['neighbour']:.2f} s "
              f"(calm {calm['neighbour']:.2f}), server {longest['server']:.2f} s (calm {calm['server']:.2f}); "
              f"{record['status']} {record['reason']}", flush=True)
        self.assertLess(longest["neighbour"], LIMIT)
        self.assertLess(longest["server"], LIMIT)
        self.assertEqual(self.api.get(self.neighbour)["status"], "running")
        if record["status"] == "running":
            self.assertIn(self.victim, vmms().values())
        else:
            self.assertTrue(record["reason"])
        return answer, record

    def test_forks_without_end(self):
        self.attack("forks", "f() { f | f & }; f; sleep 60")

    def test_eats_memory(self):
        answer, record = self.attack(
            "memory", "x=0123456789abcdef; while :; do x=$x$x; done")
        if record["status"] == "running":
            self.assertNotEqual(answer.get("exit_code"), 0, answer)

    def test_fills_its_disk(self):
        answer, record = self.attack("disk", "cat /dev/zero >/root/full; sync; df /", 15 * SECONDS)
        self.assertEqual(record["status"], "running")
        self.assertIn("No space left", answer.get("stderr", "") + answer.get("stdout", ""))
        # Full, not broken.
        said = self.api.sh(self.victim, "rm /root/full; echo fine >/root/file; cat /root/file", user="root")
        self.assertEqual(said["stdout"], "fine\n", said)

    def test_floods_the_network(self):
        with open(FLOOD, "rb") as file:
            self.api.write(self.victim, "/usr/bin/flood", file.read(), user="root")
        self.api.sh(self.victim, "chmod 755 /usr/bin/flood", user="root")
        # The gateway, which is another slot's too, what is denied, and what is let out.
        answer, record = self.attack(
            "network", f"flood {int(SECONDS) - 2} 1400 169.254.0 10.0.0 & "
                       f"flood {int(SECONDS) - 2} 16 203.0.113 198.18.0; wait")
        self.assertEqual(record["status"], "running")
        self.assertIn("packets sent", answer.get("stdout", ""), answer)
        print(f"  {' and '.join(answer['stdout'].splitlines())}", flush=True)

    def test_needs_more_memory_than_its_cgroup_may(self):
        """The kernel ends it, and its record says so."""
        (path,) = [path for path in host_state()["cgroups"] if path.endswith("/" + self.victim)]
        with open(f"{path}/memory.max", "w") as file:
            file.write(str(100 << 20))
        with contextlib.suppress(OSError, AssertionError):
            self.api.sh(self.victim, "dd if=/dev/zero of=/dev/shm/x bs=1M count=200", user="root", timeout_sec=60)
        record = wait_for("its end", lambda: self.api.get(self.victim)["status"] == "error"
                          and self.api.get(self.victim), 30)
        self.assertIn("needed more memory than it may", record["reason"])
        self.assertEqual(self.api.sh(self.neighbour, "echo here")["stdout"], "here\n")
