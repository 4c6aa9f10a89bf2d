"""QEMU with KVM on dm-snapshots whose files of changes are copied by reflink (XFS), and where the host's disk is full."""

import ramcheck
from firecracker_host import listing
from test_disk_full import OwnFileSystem


class QemuDmXfs(OwnFileSystem):
    make = ["mkfs.xfs", "-q", "-m", "reflink=1"]
    env = {"WRENN_ACCEL": "kvm", "WRENN_DISK_BACKEND": "dm-snapshot"}

    def test_copies_are_independent(self):
        api = self.server.api
        parent = api.create(timeout_sec=0)["id"]
        ramcheck.run(api, parent, "head -c 30000000 /dev/urandom >/root/big; sha256sum /root/big >/root/sum; sync")
        used = self.used()
        api.call("POST", f"/v1/sandboxes/{parent}/pause", expect=200)
        self.assertEqual(listing("dmsetup", "ls"), ["No devices found"])
        api.call("POST", f"/v1/sandboxes/{parent}/resume", expect=200)
        children = [child["id"] for child in api.call(
            "POST", f"/v1/sandboxes/{parent}/fork", {"count": 2}, expect=201).json()["sandboxes"]]
        self.assertEqual(len(listing("dmsetup", "ls")), 3)
        everybody = [parent, *children]
        for sandbox in everybody:
            ramcheck.run(api, sandbox, f"echo {sandbox} >/root/own; sync")
        # Three copies of the file's 30 MB would be another 90, with the guests' memory.
        self.assertLess(self.used() - used, 60 << 20)
        for sandbox in everybody:
            text = ramcheck.run(api, sandbox, "echo 3 >/proc/sys/vm/drop_caches; cat /root/own; sha256sum -c /root/sum")
            self.assertEqual(text.split(), [sandbox, "/root/big:", "OK"])
            api.delete(sandbox)
        self.server.assert_nothing_left()

    def used(self):
        return int(listing("df", "--output=used", "-B1", self.mount)[1])

    def test_it_waits_for_room(self):
        """What the guest writes could be lost for good: it is held before, and goes on with all that it had."""
        api = self.server.api
        sandbox = api.create(timeout_sec=0)["id"]
        ramcheck.start(api, sandbox)
        self.fill(1 << 10)
        self.addCleanup(self.free)
        self.wait(lambda: "disk is almost full" in api.get(sandbox).get("reason", ""))
        for path, body in (("exec", {"cmd": "true"}), ("pause", {}), ("fork", {})):
            refused = api.call("POST", f"/v1/sandboxes/{sandbox}/{path}", body, expect=503)
            self.assertIn("room", refused.error()["message"])
        self.server.kill()
        self.server.start()
        self.wait(lambda: "disk is almost full" in api.get(sandbox).get("reason", ""))
        self.free()
        self.wait(lambda: not api.get(sandbox).get("reason"))
        ramcheck.run(api, sandbox, "sync; echo 3 >/proc/sys/vm/drop_caches")
        ramcheck.check(api, sandbox)
        api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        ramcheck.check(api, sandbox)
        api.delete(sandbox)
        self.server.assert_nothing_left()
