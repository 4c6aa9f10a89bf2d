"""QEMU with KVM: a sandbox's whole life, with memory and files that the guest itself checks."""

import json

import ramcheck
from harness import ServerTest, unique


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
