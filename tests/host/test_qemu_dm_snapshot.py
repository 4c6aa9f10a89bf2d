"""QEMU with KVM on dm-snapshots: a sandbox's whole life, with memory and files that the guest itself checks."""

import hashlib
import os

import ramcheck
from firecracker_host import listing
from harness import ServerTest, unique, wait_for

KVM = {"WRENN_ACCEL": "kvm", "WRENN_DISK_BACKEND": "dm-snapshot"}


class QemuDmSnapshot(ServerTest):
    settings = {"env": KVM}

    def post(self, sandbox, action, body=None, expect=200):
        return self.api.call("POST", f"/v1/sandboxes/{sandbox}/{action}", body, expect=expect).json()

    def devices(self):
        """The sandboxes that have a device."""
        return sorted(line.split()[0].removeprefix("wrenn-") for line in listing("dmsetup", "ls")
                      if line != "No devices found")

    def loops(self):
        return sorted(os.path.basename(line.split(" (deleted)")[0]) for line in
                      listing("losetup", "--noheadings", "--output", "BACK-FILE"))

    def image(self):
        """The digest of what has data of the image that all disks are over; zeros take minutes here."""
        images = os.listdir(f"{self.server.root}/images")
        self.assertEqual(len(images), 1, images)
        digest = hashlib.sha256()
        with open(f"{self.server.root}/images/{images[0]}/rootfs", "rb") as file:
            end = 0
            while True:
                try:
                    begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
                except OSError:  # nothing but a hole follows
                    return digest.hexdigest()
                end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
                digest.update(f"{begin} {end} ".encode())
                digest.update(os.pread(file.fileno(), end - begin, begin))

    def last_event(self, sandbox, kind):
        events = self.api.call("GET", f"/v1/sandboxes/{sandbox}/events", expect=200).json()
        return next(event for event in reversed(events)
                    if event["kind"] == kind and event["details"].get("total_ms"))["details"]

    def assert_taken_down_in_order(self, details):
        """The VMM first, then the device, then its loop devices: phases are told as they end."""
        names = [name for name in details if name in ("vmm_ms", "device_ms", "loops_ms", "release_ms")]
        self.assertEqual(names, ["vmm_ms", "device_ms", "loops_ms", "release_ms"], details)

    def put(self, sandbox, name):
        """Writes a file, which stays in the guest's caches; answers its digest."""
        content = os.urandom(2 << 20)
        self.api.write(sandbox, f"/root/{name}", content, user="root")
        return hashlib.sha256(content).hexdigest()

    def assert_has(self, sandbox, files):
        """That it has these files, read from its disk, and no others; and its memory is right."""
        text = ramcheck.run(self.api, sandbox, "sync; echo 3 >/proc/sys/vm/drop_caches; cd /root; sha256sum *")
        self.assertEqual(dict(reversed(line.split()) for line in text.splitlines()), files)
        ramcheck.check(self.api, sandbox)

    def assert_on_devices(self, *sandboxes):
        self.assertEqual(self.devices(), sorted(sandboxes))
        self.assertEqual([name for name in self.loops() if name == "rootfs"], ["rootfs"])  # shared
        self.assertEqual(len([name for name in self.loops() if name.endswith(".cow")]), len(sandboxes))
        for sandbox in sandboxes:
            pid = next(pid for pid, text in self.server.machines().items() if sandbox in text)
            self.assertEqual(os.listdir(f"/proc/{pid}/root/dev/mapper"), [f"wrenn-{sandbox}"])
            self.assertEqual([name for name in os.listdir(f"{self.server.root}/sandboxes/{sandbox}")
                              if name.startswith("disk-") and not name.endswith(".cow")], [])

    def test_a_life(self):
        image = self.image()
        parent = self.sandbox(timeout_sec=0)
        ramcheck.start(self.api, parent)
        files = {"first": self.put(parent, "first")}
        self.assert_on_devices(parent)

        # A pause takes all down, in order; a resume has a device of its own again.
        self.post(parent, "pause")
        self.assertEqual((self.server.machines(), self.devices(), self.loops()), ({}, [], []))
        self.assert_taken_down_in_order(self.last_event(parent, "pause"))
        self.post(parent, "resume")
        self.assert_on_devices(parent)
        self.assert_has(parent, files)

        # What parent, fork and sandbox of a snapshot write is their own.
        files["second"] = self.put(parent, "second")
        fork = self.post(parent, "fork", {"count": 1}, expect=201)["sandboxes"][0]["id"]
        self.addCleanup(self._remove, fork)
        name = unique("dm")
        self.api.call("POST", "/v1/snapshots", {"sandbox_id": fork, "name": name}, expect=201)
        child = self.sandbox(template=name, timeout_sec=0)
        family = {sandbox: {**files, sandbox: self.put(sandbox, sandbox)} for sandbox in (parent, fork, child)}
        self.assert_on_devices(*family)

        # A server that is killed finds them again, and lets one stand by from now on.
        self.server.kill()
        self.server.settings = {"env": {**KVM, "WRENN_STANDBY": "60"}}
        self.server.start()
        self.assert_on_devices(*family)
        for sandbox, wanted in family.items():
            self.assertEqual(self.api.get(sandbox)["status"], "running")
            self.assert_has(sandbox, wanted)

        # Its snapshot is not what it goes on writing to.
        self.post(parent, "pause")
        self.assert_on_devices(*family)
        snapshots = f"{self.server.root}/snapshots"
        disks = [f"{snapshots}/{folder}/{file}" for folder in os.listdir(snapshots)
                 for file in os.listdir(f"{snapshots}/{folder}") if file.startswith("disk-")]
        self.assertEqual(len(disks), 2)
        self.assertEqual([os.stat(disk).st_nlink for disk in disks], [1, 1])
        self.post(parent, "resume")
        self.assertEqual(self.last_event(parent, "resume")["way"], "standby")
        family[parent]["third"] = self.put(parent, "third")
        self.assert_has(parent, family[parent])

        # Ended in any way, nothing is left of them but the log, which tells the order.
        self.post(parent, "stop")
        self.assert_taken_down_in_order(self.last_event(parent, "stop"))
        os.kill(next(pid for pid, text in self.server.machines().items() if fork in text), 9)
        wait_for("the record of its end", lambda: self.api.get(fork)["status"] == "error")
        self.assert_taken_down_in_order(self.last_event(fork, "exit"))
        self.assertEqual(self.devices(), [child])
        self.api.delete(child)
        self.assertEqual((self.server.machines(), self.devices(), self.loops()), ({}, [], []))

        # A snapshot is worth the same where there are no block devices: its disk is flattened.
        self.server.stop()
        self.server.settings = {"env": {"WRENN_ACCEL": "kvm"}}
        self.server.start()
        elsewhere = self.sandbox(template=name, timeout_sec=0)
        self.assertEqual((self.devices(), self.loops()), ([], []))
        self.assert_has(elsewhere, files)

        for sandbox in (parent, fork, elsewhere):
            self.api.delete(sandbox)
        self.api.call("DELETE", f"/v1/snapshots/{name}", expect=204)
        self.assertEqual(self.image(), image)
        self.server.assert_nothing_left()
