"""Limits are kept by reserving before starting; a full disk is said and survived."""

import concurrent.futures
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import Server, ServerTest


class Limits(ServerTest):
    settings = {"arguments": ["--max-sandboxes", "3"]}

    def test_parallel_creates_cannot_overshoot(self):
        def create(_):
            return self.api.call("POST", "/v1/sandboxes", {"template": "minimal", "memory_mb": 128})
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(create, range(12)))
        made = [a.json()["id"] for a in answers if a.status == 201]
        self.assertEqual(len(made), 3)
        self.assertEqual({a.status for a in answers}, {201, 429})
        self.assertEqual(len(self.server.machines()), 3)
        for sandbox in made:
            self.api.delete(sandbox)
        again = create(0)
        self.assertEqual(again.status, 201)
        self.api.delete(again.json()["id"])
        self.server.assert_nothing_left()


class DiskRate(ServerTest):
    settings = {"env": {"WRENN_DISK_MB_PER_SEC": "4"}}

    def test_reads_take_their_time(self):
        booted = self.sandbox(disk_mb=2048)  # no warm machine has a disk of that size
        for sandbox in (booted, self.sandbox()):
            begin = time.monotonic()
            self.api.sh(sandbox, "echo 3 >/proc/sys/vm/drop_caches; head -c 20971520 /dev/vda >/dev/null",
                        user="root", timeout_sec=120)
            self.assertGreater(time.monotonic() - begin, 2.5, self.api.get(sandbox)["origin"])


class FullDisk(unittest.TestCase):
    """The data root on a small file system of its own."""

    @unittest.skipUnless(os.geteuid() == 0, "needs root to mount a file system")
    def test_full_disk_is_said_and_nothing_is_left(self):
        folder = tempfile.mkdtemp(prefix="wr-full-")
        self.addCleanup(os.rmdir, folder)
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200m", "none", folder])
        if mount.returncode != 0:
            self.skipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder])
        server = self.server_on(folder)
        self.addCleanup(server.close)
        filler = f"{folder}/filler"
        # Unbuffered: what found no place would be written once more when it is closed.
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65536)
        answer = server.api.call("POST", "/v1/sandboxes", {"template": "minimal"})
        self.assertGreaterEqual(answer.status, 400)
        self.assertIn("space", answer.error()["message"].lower())
        self.assertEqual(server.api.call("GET", "/v1/sandboxes", expect=200).json(), [])
        os.unlink(filler)
        made = server.api.create()
        self.assertEqual(server.api.sh(made["id"], "echo fine")["stdout"], "fine\n")
        server.api.delete(made["id"])
        server.assert_nothing_left()

    @staticmethod
    def server_on(folder):
        """A server whose root is there; links do not cross file systems, so the templates are copied."""
        link, os.environ["WRENN_E2E_TMP"] = os.link, folder
        os.link = lambda a, b: subprocess.run(["cp", "--sparse=always", a, b], check=True)
        try:
            return Server()
        finally:
            os.link = link
            del os.environ["WRENN_E2E_TMP"]


class Missing(unittest.TestCase):
    def test_without_qemu_the_remedy_is_named(self):
        server = Server()
        self.addCleanup(server.close)
        server.stop()
        with tempfile.TemporaryDirectory() as empty:
            server.settings = {"env": {"PATH": empty}}
            result = server.wrenn("serve", "--listen", f"127.0.0.1:{server.port}", check=False,
                                  timeout=60)
            server.settings = {}
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("qemu-system-x86", result.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "drops root, so needs it")
    def test_without_root_it_runs_as_well(self):
        with tempfile.TemporaryDirectory(prefix="wr-user-") as folder:
            os.chmod(folder, 0o777)
            server = Server()
            self.addCleanup(server.close)
            server.stop()
            subprocess.run(["chown", "-R", "65534:65534", server.directory], check=True)
            # The build may be below root's home, which nobody else can enter.
            for program in ("wrenn", "wrenn-init", "wrenn-egress"):
                shutil.copy(os.path.join(os.path.dirname(os.environ["WRENN_BIN"]), program), folder)
            run = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
                 f"{folder}/wrenn", "run", "--template", "minimal", "--", "echo", "as nobody"],
                env=server.environment(), text=True, capture_output=True, timeout=300, cwd=folder)
            subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
                            f"{folder}/wrenn", "serve", "--stop"], env=server.environment())
            self.assertEqual((run.returncode, run.stdout), (0, "as nobody\n"), run.stderr)
