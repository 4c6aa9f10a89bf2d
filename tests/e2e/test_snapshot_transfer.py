"""Snapshots from one host to another: two servers, the second of which has neither image nor kernel."""

import json
import os
import socket
import stat
import subprocess
import unittest

from harness import Server, unique, wait_for


class FreshServer(Server):
    """A server on a root where nothing was ever built."""

    def _take_templates(self):
        pass


class SnapshotTransfer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.here = Server()
        cls.addClassCleanup(cls.here.close)
        cls.id = cls.here.api.create(timeout_sec=0)["id"]
        # A process that counts, whose count is nowhere but in its memory, and a file on the disk.
        made = cls.here.api.sh(cls.id, """
            set -e; echo on the disk > ~/kept; sync
            (n=0; trap 'echo $n > /tmp/count' USR1; while :; do n=$((n+1)); sleep 0.1; done) \
                > /dev/null 2>&1 < /dev/null & echo $!""")
        assert made["exit_code"] == 0, made
        cls.pid = made["stdout"].strip()
        cls.frozen_count = cls.count(cls.here, cls.id)
        cls.snapshot = unique("snap")
        cls.here.api.call("POST", "/v1/snapshots", {"sandbox_id": cls.id, "name": cls.snapshot}, expect=201)
        cls.file = os.path.join(cls.here.directory, "packed.tar.zst")
        cls.here.wrenn("snapshot", "export", cls.snapshot, cls.file)

    @classmethod
    def count(cls, server, sandbox):
        script = f"rm -f /tmp/count; kill -USR1 {cls.pid}; until [ -s /tmp/count ]; do sleep 0.05; done; cat /tmp/count"
        return int(server.api.sh(sandbox, script)["stdout"])

    def fresh(self, **settings):
        server = FreshServer(**settings)
        self.addCleanup(server.close)
        return server

    def assert_empty(self, server):
        """That nothing of an import is there."""
        def left():
            found = {folder: os.listdir(f"{server.root}/{folder}")
                     for folder in ("images", "kernels", "snapshots", "tmp")}
            found["tmp"] = [name for name in found["tmp"] if name != "catalogue.lock"]
            return {folder: names for folder, names in found.items() if names}
        try:
            wait_for("removal of everything", lambda: not left(), 20)
        except AssertionError:
            self.fail(f"left behind: {left()}")
        self.assertEqual(server.api.call("GET", "/v1/templates", expect=200).json(), [])

    def test_goes_on_where_it_was_on_another_host(self):
        there = self.fresh()
        imported = json.loads(there.wrenn("snapshot", "import", self.file, "--json").stdout)
        self.assertEqual(imported["name"], self.snapshot)
        self.assertEqual(imported["type"], "snapshot")
        made = there.api.create(template=self.snapshot, timeout_sec=0)
        self.assertEqual(there.api.sh(made["id"], "cat ~/kept")["stdout"], "on the disk\n")
        count = self.count(there, made["id"])
        # It went on counting, and was not begun anew.
        self.assertGreaterEqual(count, self.frozen_count)
        wait_for("more of the count", lambda: self.count(there, made["id"]) > count)
        # It also boots, with the kernel that came along.
        larger = there.api.create(template=self.snapshot, memory_mb=192, timeout_sec=0)
        self.assertEqual(there.api.sh(larger["id"], "cat ~/kept")["stdout"], "on the disk\n")

    def test_goes_through_pipes_and_over_another_name(self):
        there = self.fresh()
        packed = self.here.wrenn("snapshot", "export", self.snapshot, "-", text=False).stdout
        with open(self.file, "rb") as file:
            self.assertEqual(packed, file.read())
        there.wrenn("snapshot", "import", "-", "--name", "renamed", input=packed, text=False)
        again = there.wrenn("snapshot", "import", "-", "--name", "renamed", input=packed, text=False, check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn(b"there is a template 'renamed' already", again.stderr)
        there.wrenn("snapshot", "import", "-", "--name", "renamed", "--overwrite", input=packed, text=False)
        self.assertEqual([one["name"] for one in there.api.call("GET", "/v1/templates").json()], ["renamed"])
        self.assertEqual(len(os.listdir(f"{there.root}/snapshots")), 1)
        made = there.api.create(template="renamed")
        self.assertEqual(there.api.sh(made["id"], "cat ~/kept")["stdout"], "on the disk\n")

    def test_the_file_is_private_and_ordinary_tools_read_it(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        with open(os.path.join(self.here.directory, "old"), "w") as old:
            os.fchmod(old.fileno(), 0o644)
        self.here.wrenn("snapshot", "export", self.snapshot, old.name)
        self.assertEqual(stat.S_IMODE(os.stat(old.name).st_mode), 0o600)
        names = subprocess.run(["tar", "--zstd", "-tf", self.file], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        self.assertEqual(names[:4], ["wrenn-snapshot.json", "manifest.json", "memory.map", "state"])
        self.assertIn("image/rootfs", names)
        # Far less than the memory and the image would be without their holes.
        self.assertLess(os.stat(self.file).st_size, 100 << 20)

    def test_no_half_file_stays(self):
        target = os.path.join(self.here.directory, "missing.tar.zst")
        failed = self.here.wrenn("snapshot", "export", "nothing", target, check=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("no template 'nothing'", failed.stderr)
        failed = self.here.wrenn("snapshot", "export", "minimal", target, check=False)
        self.assertEqual(failed.returncode, 1)
        self.assertEqual([name for name in os.listdir(self.here.directory) if "missing" in name], [])

    def test_damage_is_refused(self):
        there = self.fresh()
        with open(self.file, "rb") as file:
            packed = bytearray(file.read())
        packed[len(packed) // 2] ^= 0xFF
        damaged = os.path.join(there.directory, "damaged")
        with open(damaged, "wb") as file:
            file.write(packed)
        failed = there.wrenn("snapshot", "import", damaged, check=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("the packed snapshot is damaged", failed.stderr)
        self.assert_empty(there)
        self.assertEqual(there.api.raw("POST", "/v1/snapshots/import", b"nonsense").status, 400)
        self.assert_empty(there)

    def upload_half(self, server):
        """A connection on which half of the file has been sent."""
        with open(self.file, "rb") as file:
            packed = file.read()
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.addCleanup(connection.close)
        connection.sendall((f"POST /v1/snapshots/import HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.api.key}\r\n"
                            f"Content-Length: {len(packed)}\r\n\r\n").encode())
        connection.sendall(packed[:len(packed) // 2])
        wait_for("the beginning of the import", lambda: any(
            name.startswith("build-") for name in os.listdir(f"{server.root}/tmp")))
        return connection

    def test_a_cut_upload_leaves_nothing(self):
        there = self.fresh()
        self.upload_half(there).close()
        self.assert_empty(there)

    def test_a_killed_server_leaves_nothing(self):
        there = self.fresh()
        self.upload_half(there)
        there.kill()
        self.assertNotEqual(os.listdir(f"{there.root}/tmp"), [])
        there.start()
        self.assert_empty(there)
        there.wrenn("snapshot", "import", self.file)
        self.assertEqual(len(there.api.call("GET", "/v1/templates").json()), 1)

    def test_a_stopping_server_waits_for_no_upload(self):
        there = self.fresh()
        self.upload_half(there)
        there.stop(timeout=20)
        there.start()
        self.assert_empty(there)

    def test_no_room_is_told_before_anything_is_written(self):
        there = self.fresh(env={"WRENN_MIN_FREE_DISK_MB": str((1 << 31) - 1)})
        failed = there.wrenn("snapshot", "import", self.file, check=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("MiB of disk are free", failed.stderr)
        self.assert_empty(there)


if __name__ == "__main__":
    unittest.main()
