"""The host's disk is full in the middle: what cannot be done says so, and nothing that was there is lost."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import unittest.mock

import harness
import ramcheck

SIZE_MB = 2000
# How much is left free, in KiB: from nothing to what all of it needs.
FREE = (0, 64, 256, 1024, 2048, 4096, 8192)


@unittest.skipUnless(os.geteuid() == 0, "a file system of its own needs root")
class OwnFileSystem(unittest.TestCase):
    """A server whose folders are on a small file system."""
    make = ["mkfs.ext4", "-q", "-m", "0"]
    env = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="wr-full-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        image, mount = f"{cls.folder}/image", f"{cls.folder}/mount"
        os.mkdir(mount)
        with open(image, "wb") as file:
            file.truncate(SIZE_MB << 20)
        subprocess.run([*cls.make, image], check=True)
        made = subprocess.run(["mount", "-o", "loop", image, mount], stderr=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise unittest.SkipTest(f"no loop mount here: {made.stderr.strip()}")
        cls.addClassCleanup(subprocess.run, ["umount", "-l", mount], check=True)
        before = os.environ.get("WRENN_E2E_TMP")
        os.environ["WRENN_E2E_TMP"] = mount
        try:
            cls.server = CopyingServer(env={"WRENN_MIN_FREE_DISK_MB": "0", **cls.env})
        finally:
            if before is None:
                del os.environ["WRENN_E2E_TMP"]
            else:
                os.environ["WRENN_E2E_TMP"] = before
        cls.addClassCleanup(cls.server.close)
        cls.mount = mount

    def fill(self, free_kib):
        """Takes all space but so much."""
        self.free()
        with open(f"{self.mount}/filler", "wb") as file:
            left = os.statvfs(self.mount)
            amount = left.f_bavail * left.f_frsize - (free_kib << 10)
            if amount > 0:
                # The file system needs some for itself: then it is full a little earlier.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, amount)

    def free(self):
        if os.path.exists(f"{self.mount}/filler"):
            os.unlink(f"{self.mount}/filler")

    def wait(self, done):
        harness.wait_for("what the record says of it", done, 180)


class DiskFull(OwnFileSystem):
    def test_nothing_is_lost(self):
        api = self.server.api
        sandbox = api.create(timeout_sec=0)["id"]
        ramcheck.start(api, sandbox)
        # Here it is wrenn's writes that find no room; a guest's own are below.
        ramcheck.hold(api, sandbox)
        ramcheck.run(api, sandbox, "sync; mount -o remount,noatime / 2>/dev/null; sync")
        refused = 0
        for what, undo in (("pause", "resume"), ("fork", None), ("snapshot", None)):
            for free in FREE:
                with self.subTest(f"{what}, {free} KiB free"):
                    self.fill(free)
                    if what == "snapshot":
                        answer = api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": "full"})
                    else:
                        answer = api.call("POST", f"/v1/sandboxes/{sandbox}/{what}", {})
                    self.free()
                    if answer.status >= 400:
                        refused += 1
                        self.assertEqual(answer.status, 429, answer.body)
                        self.assertIn("space", answer.error()["message"].lower())
                    elif what == "fork":
                        for child in answer.json()["sandboxes"]:
                            api.delete(child["id"])
                    elif what == "snapshot":
                        api.call("DELETE", "/v1/snapshots/full", expect=204)
                    if api.get(sandbox)["status"] == "paused":
                        api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
                    self.assertEqual(api.get(sandbox)["status"], "running")
        ramcheck.release(api, sandbox)
        ramcheck.check(api, sandbox)
        self.assertGreater(refused, 0, "the disk was never full")
        api.delete(sandbox)
        self.server.assert_nothing_left()

    def test_a_guest_waits_for_room(self):
        """Its writes find none: it is held, says so, and goes on with all that it wrote."""
        api = self.server.api
        sandbox = api.create(timeout_sec=0)["id"]
        write = "dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null && sha256sum /big >/sum && sync && rm /lock"
        ramcheck.run(api, sandbox, "touch /lock")
        self.fill(8 << 10)
        self.addCleanup(self.free)
        api.call("POST", f"/v1/sandboxes/{sandbox}/exec",
                 {"cmd": "sh", "args": ["-c", write], "user": "root", "background": True}, expect=202)
        self.wait(lambda: "disk is full" in api.get(sandbox).get("reason", ""))
        self.assertEqual(api.get(sandbox)["status"], "running")
        refused = api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {"cmd": "true"})
        self.assertEqual(refused.status, 503)
        self.assertIn("the host's disk is full", refused.error()["message"])
        # What needs room itself is refused and leaves it as it is; a new server finds it as it is.
        paused = api.call("POST", f"/v1/sandboxes/{sandbox}/pause", {})
        self.assertEqual(paused.status, 429, paused.body)
        self.server.kill()
        self.server.start()
        self.wait(lambda: "disk is full" in api.get(sandbox).get("reason", ""))
        self.free()
        self.wait(lambda: not api.get(sandbox).get("reason"))
        api.sh(sandbox, "while [ -e /lock ]; do usleep 10000; done; sync; echo 3 >/proc/sys/vm/drop_caches",
               user="root", timeout_sec=60)
        checked = api.sh(sandbox, "sha256sum -c /sum", user="root")
        self.assertEqual((checked["exit_code"], checked["stdout"]), (0, "/big: OK\n"), checked)
        behind = time.time() - float(api.sh(sandbox, "date +%s")["stdout"])
        self.assertLess(abs(behind), 3, "the guest's clock has stood still")
        api.delete(sandbox)
        self.server.assert_nothing_left()


def copy(source, target):
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


class CopyingServer(harness.Server):
    """On a file system of its own, to which templates cannot be linked."""

    def _take_templates(self):
        with unittest.mock.patch("os.link", copy):
            super()._take_templates()
