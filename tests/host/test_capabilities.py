"""What the emulated host is for: wrenn's own probes and the real Firecracker find it all usable."""

import json
import os
import subprocess
import unittest

WRENN = os.environ["WRENN_BIN"]


class Capabilities(unittest.TestCase):
    def test_doctor_finds_all_usable(self):
        result = subprocess.run([WRENN, "doctor", "--json"], stdout=subprocess.PIPE,
                                env={**os.environ, "WRENN_ROOT": os.environ["WRENN_E2E"]})
        self.assertEqual(result.returncode, 0, result.stdout)
        found = {check["capability"]: check for check in json.loads(result.stdout)["checks"]}
        for capability in ("qemu", "kvm", "engine", "device-mapper", "cgroup v2", "userfaultfd",
                           "network namespaces", "tun", "nftables", "passt"):
            self.assertEqual(found[capability]["status"], "ok", found[capability])
        self.assertEqual(found["kvm"]["finding"], "KVM ran a guest")

    def test_firecracker_and_its_jailer_are_there(self):
        for program in ("firecracker", "jailer"):
            output = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True,
                                    text=True).stdout
            self.assertIn("v1.12.1", output)
