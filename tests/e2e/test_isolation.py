"""What keeps a VMM from the host and from its neighbours: slot and cgroup (QEMU, as root)."""

import glob
import os
import shutil
import unittest

from harness import ServerTest, wait_for


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Slot(ServerTest):
    settings = {"env": {"WRENN_SLOTS": "on"}}

    def restart(self, slots):
        self.server.stop()
        self.server.settings["env"]["WRENN_SLOTS"] = slots
        self.server.start()
        self.addCleanup(self.server.settings["env"].update, WRENN_SLOTS="on")

    def check(self, sandbox):
        interface = self.api.sh(sandbox, "cat /sys/class/net/eth0/address /sys/class/net/eth0/carrier")
        self.assertEqual(interface["stdout"].split(), ["02:fc:00:00:00:05", "1"])
        self.assertEqual(self.api.sh(sandbox, "cat /etc/resolv.conf")["stdout"].split()[-1], "169.254.0.22")

    def test_a_network_is_a_slots(self):
        sandbox = self.sandbox(egress=True)
        self.check(sandbox)
        self.assertEqual(self.server.helpers(), {})
        self.assertEqual(len(glob.glob("/sys/class/net/wrenn-*")) > 0, True)

    def test_also_for_a_machine_of_the_pool(self):
        self.server.stop()
        self.server.settings["env"]["WRENN_WARM_POOL"] = "auto"
        self.server.start()
        for _ in range(2):  # the second one is made of what the first one left, and asks for more
            self.api.delete(self.sandbox(egress=True))
        wait_for("a machine in the pool", lambda: self.warm_machines() > 0, 60)
        sandbox = self.sandbox(egress=True)
        self.addCleanup(self.start_without_pool)
        self.assertEqual(self.api.get(sandbox)["origin"], "warm pool")
        self.check(sandbox)
        self.api.delete(sandbox)
        self.server.stop()
        self.assertEqual(glob.glob("/sys/class/net/wrenn-*"), [])
        self.server.assert_nothing_left()

    def start_without_pool(self):
        self.server.stop()
        self.server.settings["env"].pop("WRENN_WARM_POOL")
        self.server.start()

    def warm_machines(self):
        text = self.api.raw("GET", "/v1/metrics").body.decode()
        return sum(int(line.split()[-1]) for line in text.splitlines()
                   if line.startswith("wrenn_warm_machines{"))

    def test_without_egress_there_is_no_interface(self):
        sandbox = self.sandbox()
        self.assertEqual(self.api.sh(sandbox, "ls /sys/class/net")["stdout"].split(), ["lo"])

    @unittest.skipUnless(shutil.which("passt"), "needs passt")
    def test_a_snapshot_fits_slots_and_user_mode_networks(self):
        sandbox = self.sandbox(egress=True, timeout_sec=0)
        self.api.sh(sandbox, "echo kept >/dev/shm/f")
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        for slots in ("off", "on"):
            self.restart(slots)
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
            self.check(sandbox)
            self.assertEqual(self.api.sh(sandbox, "cat /dev/shm/f")["stdout"], "kept\n")
            self.assertEqual(bool(self.server.helpers()), slots == "off")
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
