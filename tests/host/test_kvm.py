"""QEMU with KVM: a sandbox's whole life, with memory and files that the guest itself checks."""

import json
import os

import ramcheck
from harness import ServerTest, unique, wait_for


class Kvm(ServerTest):
    # That "auto" comes to the same by a guest of its own is tested with the doctor (test_capabilities.py).
    settings = {"env": {"WRENN_ACCEL": "kvm"}}

    def post(self, sandbox, action, body=None, expect=200):
        return self.api.call("POST", f"/v1/sandboxes/{sandbox}/{action}", body, expect=expect).json()

    def accelerations(self, sandboxes):
        found = []
        for sandbox in sandboxes:
            with open(f"{self.server.root}/sandboxes/{sandbox}/machine.json") as file:
                found.append(json.load(file)["acceleration"])
        return found

    def test_a_life(self):
        parent = self.sandbox(timeout_sec=0)
        self.assertEqual(self.api.sh(parent, "uname -s")["stdout"], "Linux\n")
        ramcheck.start(self.api, parent)
        changes = ramcheck.check(self.api, parent)

        for _ in range(2):
            self.post(parent, "pause")
            self.assertEqual(self.server.machines(), {})
            self.post(parent, "resume")
            now = ramcheck.check(self.api, parent)
            self.assertGreater(now, changes)
            changes = now

        name = unique("kvm")
        self.api.call("POST", "/v1/snapshots", {"sandbox_id": parent, "name": name}, expect=201)
        forks = self.post(parent, "fork", {"count": 1}, expect=201)["sandboxes"]
        self.addCleanup(self._remove, forks[0]["id"])
        family = [parent, forks[0]["id"], self.sandbox(template=name, timeout_sec=0)]
        for sandbox in family:
            self.assertGreaterEqual(ramcheck.check(self.api, sandbox), changes)
        self.assertEqual(self.accelerations(family), ["kvm"] * 3)

        for sandbox in family:
            self.api.delete(sandbox)
        self.api.call("DELETE", f"/v1/snapshots/{name}", expect=204)
        self.server.assert_nothing_left()


class Isolated(ServerTest):
    """What a VMM has of the host where the host has it all."""

    settings = {"env": {"WRENN_ACCEL": "kvm", "WRENN_JAIL": "on", "WRENN_SLOTS": "on", "WRENN_CGROUPS": "on"}}

    def cgroup(self, sandbox):
        pid = next(pid for pid, text in self.server.machines().items() if sandbox in text)
        with open(f"/proc/{pid}/cgroup") as file:
            return pid, "/sys/fs/cgroup" + file.read().strip().partition("::")[2]

    def test_a_vmm_has_a_jail_a_slot_and_limits(self):
        isolation = self.api.call("GET", "/health", expect=200).json()["isolation"]
        self.assertEqual(isolation, {"jail": True, "slots": True, "cgroups": True})
        first = self.sandbox(timeout_sec=0, egress=True)
        second = self.sandbox(timeout_sec=0, egress=True)  # restored from the template's warm machine
        for sandbox in (first, second):
            pid, cgroup = self.cgroup(sandbox)
            self.assertEqual(os.path.basename(cgroup), sandbox)
            record = self.api.get(sandbox)
            limits = {}
            for name in ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"):
                with open(f"{cgroup}/{name}") as file:
                    limits[name] = file.read().strip()
            self.assertEqual(limits, {
                "memory.max": str((record["memory_mb"] + 256) << 20), "memory.swap.max": "0",
                "cpu.max": f"{record['vcpus'] * 100000 + 25000} 100000",
                "cpu.weight": str(record["vcpus"] * 100),
                "pids.max": str(record["vcpus"] + 96)})
            self.assertEqual(sorted(os.listdir(f"/proc/{pid}/root/dev")), ["kvm", "null", "urandom"])
            self.assertEqual(self.api.sh(sandbox, "cat /sys/class/net/eth0/carrier")["stdout"], "1\n")
            used = self.api.call("GET", f"/v1/sandboxes/{sandbox}/metrics", expect=200).json()
            self.assertGreater(used["host_cpu_microseconds"], 0)
            self.assertGreater(used["host_memory_peak_bytes"], 30 << 20)
            self.api.delete(sandbox)
            self.assertFalse(os.path.exists(cgroup))
        self.server.assert_nothing_left()

    def test_one_that_needs_too_much_memory_says_so(self):
        sandbox = self.sandbox(timeout_sec=0)
        _, cgroup = self.cgroup(sandbox)
        with open(f"{cgroup}/memory.max", "w") as file:
            file.write(str(24 << 20))
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec",
                      {"cmd": "/bin/sh", "args": ["-c", "head -c 60000000 /dev/zero >/dev/shm/f"]})
        ended = wait_for("its end", lambda: (record := self.api.get(sandbox))["status"] == "error" and record)
        self.assertEqual(ended["reason"], "its VMM needed more memory than it may and was killed")
        self.assertFalse(os.path.exists(cgroup))
