"""The real Firecracker under the whole host layer: by REST, on dm-snapshots, in slots and jails."""

import hashlib
import json
import os
import signal

from firecracker_host import FirecrackerTest, host_state, listing, vmm_of
from harness import wait_for


class Firecracker(FirecrackerTest):
    def test_life(self):
        before = self.settled()
        first = self.sandbox(timeout_sec=0)
        record = self.api.get(first)
        self.assertEqual(record["engine"], "firecracker/kvm")
        self.assertEqual(record["on_timeout"], "stop")
        self.assertEqual(self.api.sh(first, "cat /proc/mounts | grep ' / '")["stdout"].split()[:3],
                         ["/dev/vda", "/", "ext4"])
        done = self.api.sh(first, "echo out; echo err >&2; exit 3")
        self.assertEqual((done["stdout"], done["stderr"], done["exit_code"]), ("out\n", "err\n", 3))

        # Two of one base share its loop device; each has a device, a slot and a cgroup.
        second = self.sandbox(timeout_sec=0, egress=True)
        state = host_state()
        self.assertEqual(len(state["dmsetup"]), 2, state)
        bases = [name for name in state["losetup"] if "/images/" in name]
        self.assertEqual(len(bases), 1, state)
        for sandbox in (first, second):
            with open(f"{self.server.root}/sandboxes/{sandbox}/machine.json") as file:
                machine = json.load(file)
            self.assertIn(f"wrenn-{machine['slot']}", state["ip"])
            self.assertTrue([path for path in state["cgroups"] if path.endswith("/" + sandbox)])

        content = os.urandom(3 << 20)
        for sandbox in (first, second):
            self.api.write(sandbox, f"/root/{sandbox}", content, user="root")
            self.api.sh(sandbox, "sync", user="root")
        wanted = hashlib.sha256(content).hexdigest()
        for sandbox, other in ((first, second), (second, first)):
            text = self.api.sh(sandbox, f"sha256sum /root/{sandbox}; ls /root", user="root")["stdout"]
            self.assertIn(wanted, text)
            self.assertNotIn(other, text)

        # What they take is counted.
        used = self.api.call("GET", f"/v1/sandboxes/{first}/metrics", expect=200).json()
        self.assertGreater(used["host_memory_bytes"], 30 << 20)
        self.assertGreater(used["host_memory_peak_bytes"], 30 << 20)
        self.assertGreater(used["host_cpu_microseconds"], 100_000)
        self.assertGreaterEqual(used["host_disk_written_bytes"], len(content))
        self.assertEqual(used["network_sent_bytes"], 0)
        self.api.sh(second, "ping -c 1 -W 1 1.1.1.1", user="root")
        used = self.api.call("GET", f"/v1/sandboxes/{second}/metrics", expect=200).json()
        self.assertGreater(used["network_sent_bytes"], 0)

        # What cannot be had yet is refused in words, and changes nothing.
        for action in ("pause", "fork"):
            refused = self.api.call("POST", f"/v1/sandboxes/{first}/{action}", {} if action == "fork" else None)
            self.assertEqual(refused.status, 501, refused.body)
            self.assertIn("--engine qemu", refused.error()["message"])
        self.assertEqual(self.api.get(first)["status"], "running")

        # A server that is killed finds them again.
        self.server.kill()
        self.server.start()
        for sandbox in (first, second):
            self.assertEqual(self.api.get(sandbox)["status"], "running")
            self.assertIn(wanted, self.api.sh(sandbox, f"sha256sum /root/{sandbox}", user="root")["stdout"])

        # One whose VMM is killed says so.
        os.kill(vmm_of(second), 9)
        ended = wait_for("the record of its end", lambda: self.api.get(second)["status"] == "error"
                         and self.api.get(second))
        # Its status only its parent could tell, which was the server before.
        self.assertIn("VMM ended", ended["reason"])
        stopped = self.api.call("POST", f"/v1/sandboxes/{first}/stop", expect=200).json()
        self.assertEqual(stopped["status"], "stopped")
        for sandbox in (first, second):
            self.api.delete(sandbox)
        self.assert_as_before(before)

    def test_full_disk(self):
        """Before the host's disk is full what writes to it is held, and goes on when there is room."""
        sandbox = self.sandbox(timeout_sec=0, disk_mb=2048)
        ballast = os.path.join(self.server.directory, "ballast")
        self.addCleanup(lambda: os.path.exists(ballast) and os.remove(ballast))
        stat = os.statvfs(self.server.root)
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - (150 << 20))
        held = wait_for("the hold", lambda: "stands still" in self.api.get(sandbox).get("reason", "")
                        and self.api.get(sandbox))
        self.assertEqual(held["status"], "running")
        self.assertIn("almost full", held["reason"])
        refused = self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {"cmd": "true"})
        self.assertEqual(refused.status, 503, refused.body)

        os.remove(ballast)
        wait_for("the guest's going on", lambda: "reason" not in self.api.get(sandbox))
        written = self.api.sh(sandbox, "head -c 33554432 /dev/urandom >/root/x && sync && sha256sum </root/x",
                              user="root", timeout_sec=120)
        again = self.api.sh(sandbox, "echo 3 >/proc/sys/vm/drop_caches; sha256sum </root/x", user="root",
                            timeout_sec=120)
        self.assertEqual(written["stdout"], again["stdout"])

        # One that is held can be removed.
        stat = os.statvfs(self.server.root)
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - (150 << 20))
        wait_for("the hold", lambda: "stands still" in self.api.get(sandbox).get("reason", ""))
        self.api.delete(sandbox)
        self.server.assert_nothing_left()

    def test_disk_that_is_full_at_once(self):
        """Before the server could see it: what has lost its disk is ended, and says so."""
        sandbox = self.sandbox(timeout_sec=0, disk_mb=2048)
        ballast = os.path.join(self.server.directory, "ballast")
        self.addCleanup(lambda: os.path.exists(ballast) and os.remove(ballast))
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {
            "cmd": "/bin/sh", "args": ["-c", "sleep 3; cat /dev/zero >/root/x"], "background": True,
            "user": "root"}, expect=202)
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            stat = os.statvfs(self.server.root)
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - (1 << 20))
            wait_for("its disk's end", lambda: "Invalid" in listing("dmsetup", "status", f"wrenn-{sandbox}")[0], 120)
            os.remove(ballast)
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        ended = wait_for("its end", lambda: self.api.get(sandbox)["status"] == "error" and self.api.get(sandbox))
        self.assertIn("its disk failed: the disk cannot be used any more", ended["reason"])
        self.api.delete(sandbox)
        self.server.assert_nothing_left()
