"""What the tests of sandboxes on the real Firecracker share: the host's own listings, and a server."""

import contextlib
import glob
import hashlib
import os
import re
import signal
import subprocess

from harness import ServerTest, wait_for

READY_SLOTS = 4  # that a server keeps (net::SlotPoolOptions)


def listing(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()


def host_state():
    """What the host has of devices, mounts, networks, rules and cgroups, as its own tools list it."""
    rules = "\n".join(listing("nft", "list", "ruleset"))
    return {
        "dmsetup": sorted(line for line in listing("dmsetup", "ls") if line != "No devices found"),
        "losetup": sorted(listing("losetup", "--noheadings", "--output", "BACK-FILE")),
        "ip": sorted(line.split(":")[1].strip().split("@")[0] for line in listing("ip", "-o", "link")),
        "nft": re.findall(r"wrenn-\w+", rules),
        "mounts": sorted(line.split()[4] for line in listing("cat", "/proc/self/mountinfo")),
        "cgroups": sorted(path for path, _, _ in os.walk("/sys/fs/cgroup")),
    }


def vmms():
    """The sandboxes whose Firecracker runs, by pid."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
            if words[0] == "/firecracker":
                found[int(pid)] = words[2]
    return found


def vmm_of(sandbox):
    return next(pid for pid, name in vmms().items() if name == sandbox)


def quiet_state():
    """The state of a host with one server and no sandboxes. None as long as its pool of slots changes."""
    if vmms():
        return None
    state = host_state()
    if state != host_state():
        return None  # one made or removed between two of the listings
    if len([name for name in state["ip"] if name.startswith("wrenn-")]) != READY_SLOTS:
        return None
    # Which numbers those in the pool have is no matter.
    for key in ("ip", "nft", "mounts"):
        state[key] = sorted("slot" if "wrenn-" in line else line for line in state[key])
    return state


class FirecrackerTest(ServerTest):
    settings = {"env": {"WRENN_ENGINE": "firecracker"}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # What is left, by a failed test too, would spoil all others.
        cls.addClassCleanup(cls.end_sandboxes)
        cls.addClassCleanup(cls.assert_images_as_before, cls.image_digests())

    def run(self, result=None):
        """What the server said of a test that failed is all that there is of it afterwards."""
        bad = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad:
            print(f"the server's log:\n{self.server.read_log()}", flush=True)

    @classmethod
    def image_digests(cls):
        """Of the images that all sandboxes share, which nobody may change."""
        found = {}
        for path in glob.glob(f"{cls.server.root}/images/*/*"):
            with open(path, "rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        assert found
        return found

    @classmethod
    def assert_images_as_before(cls, before):
        assert cls.image_digests() == before, (cls.image_digests(), before)

    @classmethod
    def end_sandboxes(cls):
        """By the server, which gives back what they have of the host; that it could is a test, too."""
        try:
            if cls.server.process.poll() is not None:
                cls.server.settings = cls.settings
                cls.server.start()
            for sandbox in cls.server.api.list():
                cls.server.api.delete(sandbox["id"])
            assert not host_state()["dmsetup"], host_state()["dmsetup"]
        finally:
            for pid in vmms():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def settled(self):
        return wait_for("a quiet host", quiet_state, 60)

    def assert_as_before(self, before):
        """Waits for all that happens in the background, and compares the host's listings."""
        with contextlib.suppress(AssertionError):
            wait_for("the host as it was", lambda: quiet_state() == before, 60)
        self.maxDiff = None
        self.assertEqual(self.settled(), before)
        self.server.assert_nothing_left()

    def restart(self, fault="", **env):
        self.server.stop()
        env.update(type(self).settings["env"])
        if fault:
            env["WRENN_FAULT"] = fault
        self.server.settings = {**self.server.settings, "env": env}
        self.server.start()

    def remove_all(self):
        for sandbox in self.api.list():
            self.api.delete(sandbox["id"])
