"""Boots under load: all succeed, and each guest keeps its fast clock."""

import concurrent.futures
import glob
import os
import subprocess
import sys
import tempfile
import time
import unittest

from harness import WRENN, ServerTest, wait_for

COUNT = int(os.environ.get("WRENN_BOOTS", "6"))


class Boot(ServerTest):
    def test_boots_with_both_cores_busy(self):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(os.cpu_count())]
        try:
            def boot(number):
                begin = time.monotonic()
                # Of a size of its own, so that there is no warm machine to restore.
                made = self.api.create(timeout_sec=0, disk_mb=2000 + number)
                self.assertEqual(made["origin"], "boot")
                sandbox = made["id"]
                took = time.monotonic() - begin
                clock = self.api.sh(sandbox, "cat /sys/devices/system/clocksource/clocksource0/"
                                    "current_clocksource")["stdout"].strip()
                self.api.delete(sandbox)
                return took, clock
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                results = list(pool.map(boot, range(COUNT)))
        finally:
            for process in busy:
                process.kill()
                process.wait()
        times = sorted(took for took, _ in results)
        print(f"  {COUNT} boots: median {times[len(times) // 2]:.2f} s, slowest {times[-1]:.2f} s")
        self.assertEqual({clock for _, clock in results}, {"tsc"})
        self.server.assert_nothing_left()

    def test_guest_looks_as_it_should(self):
        sandbox = self.sandbox(memory_mb=256, vcpus=2)
        look = lambda script: self.api.sh(sandbox, script)["stdout"].strip()
        self.assertEqual(look("nproc"), "2")
        self.assertGreater(int(look("awk '/MemTotal/{print $2}' /proc/meminfo")), 180 << 10)
        self.assertLess(abs(int(look("date +%s")) - time.time()), 5)
        self.assertEqual(look("cat /proc/1/comm"), "wrenn-init")
        self.assertIn("localhost", look("cat /etc/hosts"))
        self.assertEqual(look("cat /proc/self/oom_score_adj"), "0")
        self.assertEqual(look("echo $WRENN_SANDBOX_ID"), sandbox)
        self.assertEqual(look("ip link show 2>/dev/null | grep -c eth0"), "0")
        self.assertIn("UP", look("ip link show lo"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to mount a file system")
    def test_a_disk_frozen_after_the_boot_can_be_mounted(self):
        # The boot grows the file system, which has no journal; the machine is frozen right behind it.
        layers = lambda: set(glob.glob(f"{self.server.root}/warm/*/disk-*"))
        before = layers()
        self.sandbox(disk_mb=1700)
        wait_for("the warm machine", lambda: layers() - before)
        layer, = layers() - before
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["qemu-img", "convert", "-O", "raw", layer, f"{folder}/raw"], check=True)
            os.mkdir(f"{folder}/root")
            subprocess.run(["mount", "-o", "loop,ro", f"{folder}/raw", f"{folder}/root"], check=True)
            try:
                space = os.statvfs(f"{folder}/root")
                self.assertGreater(space.f_blocks * space.f_frsize, 1600 << 20)
            finally:
                subprocess.run(["umount", f"{folder}/root"], check=True)

    def test_the_guest_program_is_small_and_static(self):
        program = f"{os.path.dirname(WRENN)}/wrenn-init"
        self.assertLess(os.path.getsize(program), 4_000_000)
        headers = subprocess.run(["readelf", "--program-headers", program], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
        self.assertIn("LOAD", headers)
        self.assertNotIn("INTERP", headers)

    def test_two_guests_differ_where_they_must(self):
        one, two = self.sandbox(), self.sandbox()
        for what in ("cat /proc/sys/kernel/random/boot_id", "hostname", "cat /etc/machine-id",
                     "head -c 32 /dev/urandom | sha256sum"):
            a, b = (self.api.sh(s, what)["stdout"] for s in (one, two))
            self.assertTrue(a.strip())
            self.assertNotEqual(a, b, what)

    def test_agent_answers_while_the_guest_spins(self):
        vcpus, loops = 2, 8
        sandbox = self.sandbox(vcpus=vcpus)
        script = f"for _ in $(seq {loops}); do while :; do :; done & done; wait"
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec",
                      {"cmd": "/bin/sh", "args": ["-c", script], "background": True, "tag": "spin"},
                      expect=202)

        def running():  # "0.93 0.21 0.07 9/61 402"
            return int(self.api.sh(sandbox, "cat /proc/loadavg")["stdout"].split()[3].split("/")[0])
        wait_for("the loops", lambda: running() > loops, 60)
        # Prompt is seconds here: the guest's processors may be emulated, and share the host's.
        for ask in (lambda: self.api.sh(sandbox, "echo here"),
                    lambda: self.api.call("GET", f"/v1/sandboxes/{sandbox}/metrics", expect=200),
                    lambda: self.api.get(sandbox)):
            begin = time.monotonic()
            ask()
            self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(self.api.get(sandbox)["status"], "running")
        self.api.call("DELETE", f"/v1/sandboxes/{sandbox}/processes/spin", expect=204)
        wait_for("the end of the loops", lambda: running() <= vcpus, 60)

    def test_agent_survives_a_guest_out_of_memory(self):
        sandbox = self.sandbox(memory_mb=128)
        result = self.api.sh(sandbox, "tail -c 1000000000 /dev/zero", timeout_sec=120)
        self.assertNotEqual(result["exit_code"], 0)
        self.assertEqual(self.api.sh(sandbox, "echo alive")["stdout"], "alive\n")
