"""What keeps a VMM from the host and from its neighbours: jail, slot and cgroup (QEMU, as root)."""

import contextlib
import functools
import glob
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import unittest

from harness import ServerTest, wait_for


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def limits_of(pid):
    """What it may have, by name: the soft limits."""
    with open(f"/proc/{pid}/limits") as file:
        return {line[:26].strip(): line[26:].split()[0] for line in file}


def writable_files(pid):
    """The regular files that a process has open for writing."""
    found = set()
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with open(path.replace("/fd/", "/fdinfo/")) as file:
            flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
        if flags & os.O_ACCMODE != os.O_RDONLY and stat.S_ISREG(os.stat(path).st_mode):
            found.add(os.path.basename(os.readlink(path)))
    return found


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Jail(ServerTest):
    settings = {"env": {"WRENN_JAIL": "on"}}

    def vmm(self, sandbox):
        found = [pid for pid, text in self.server.machines().items() if sandbox in text]
        self.assertEqual(len(found), 1)
        return found[0]

    def top_layer(self, sandbox):
        """The one layer that belongs to the VMM's user."""
        folder = f"{self.server.root}/sandboxes/{sandbox}"
        user = int(status_of(self.vmm(sandbox))["Uid"].split()[0])
        own = [name for name in os.listdir(folder) if os.stat(f"{folder}/{name}").st_uid == user]
        self.assertEqual(len(own), 1, own)
        return own[0]

    def check(self, sandbox):
        pid = self.vmm(sandbox)
        status = status_of(pid)
        users = status["Uid"].split() + status["Gid"].split()
        self.assertEqual(len(set(users)), 1)
        self.assertGreaterEqual(int(users[0]), 0x70000000)
        self.assertEqual(status["Groups"].strip(), "")
        for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[which], 16), 0, which)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        limits = limits_of(pid)
        self.assertEqual((limits["Max core file size"], limits["Max open files"]), ("1", "1024"))
        self.assertEqual(status["NSpid"].split()[1:], ["1"])
        for kind in ("mnt", "pid", "ipc", "uts", "net", "cgroup"):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/self/ns/{kind}"))

        root = f"/proc/{pid}/root"
        top = self.server.root.split("/")[1]
        expected = {"dev", "firmware", "lib", "lib64", "modules", "qemu-system-x86_64",
                    "readonly-memory.so", top}
        self.assertLessEqual(set(os.listdir(root)), expected)
        self.assertLessEqual(set(os.listdir(f"{root}/dev")), {"null", "urandom", "kvm"})
        inside = f"{root}{self.server.root}"
        self.assertLessEqual(set(os.listdir(inside)), {"sandboxes", "images", "kernels"})
        self.assertEqual(os.listdir(f"{inside}/sandboxes"), [sandbox])
        # Nothing but its folder can be written to at all, and there only its disk's top layer.
        with open(f"/proc/{pid}/mountinfo") as file:
            mounts = [line.split() for line in file]
        writable = {fields[4] for fields in mounts if "ro" not in fields[5].split(",")}
        self.assertEqual(writable, {"/", f"{self.server.root}/sandboxes/{sandbox}"})
        self.assertEqual(writable_files(pid), {self.top_layer(sandbox)})
        return users[0]

    def test_a_vmm_has_its_own_files_and_nothing_else(self):
        self.assertTrue(self.api.call("GET", "/health").json()["isolation"]["jail"])
        one, two = self.sandbox(), self.sandbox()
        self.assertNotEqual(self.check(one), self.check(two))

    def test_also_after_a_fork_a_pause_and_a_restart_of_the_server(self):
        one = self.sandbox()
        self.api.sh(one, "echo before >/f; sync", user="root")
        child = self.api.call("POST", f"/v1/sandboxes/{one}/fork", {}, expect=201).json()["sandboxes"][0]["id"]
        self.addCleanup(self._remove, child)
        self.check(one)
        self.check(child)
        self.server.kill()
        self.server.start()
        self.api.call("POST", f"/v1/sandboxes/{one}/pause", expect=200)
        self.api.call("POST", f"/v1/sandboxes/{one}/resume", expect=200)
        self.assertNotEqual(self.check(one), self.check(child))
        for sandbox in (one, child):
            self.assertEqual(self.api.sh(sandbox, "cat /f; echo more >>/f", user="root")["stdout"], "before\n")


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
        self.assertEqual(self.api.get(sandbox)["origin"], "warm pool")
        self.check(sandbox)
        # It was given its names when it was made ready.
        names = self.api.sh(sandbox, "hostname; cat /etc/hostname; sed -n 's/^127.0.1.1 \\([^ ]*\\).*/\\1/p' /etc/hosts")
        self.assertEqual(names["stdout"].split(), [sandbox] * 3)
        # What it may reach is said to a slot that was made before.
        restored = self.sandbox(egress=True, disk_mb=2048)
        self.assertNotEqual(self.api.get(restored)["origin"], "warm pool")
        self.assertEqual(self.rules(sandbox), self.rules(restored))
        self.api.delete(restored)
        self.addCleanup(self.start_without_pool)
        self.api.delete(sandbox)
        self.server.stop()
        self.assertEqual(glob.glob("/sys/class/net/wrenn-*"), [])
        self.server.assert_nothing_left()

    def rules(self, sandbox):
        """The packet rules of its slot, without what they have counted."""
        with open(f"{self.server.root}/sandboxes/{sandbox}/machine.json") as file:
            slot = json.load(file)["slot"]
        rules = subprocess.run(
            ["nsenter", f"--net={self.server.runtime}/slots/wrenn-{slot}", "nft", "list", "ruleset"],
            check=True, text=True, stdout=subprocess.PIPE).stdout
        return re.sub(r"packets \d+ bytes \d+", "", rules)

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


# Answers each connection with one line.
ANSWERING = """
import socketserver, sys
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"reached\\n")
socketserver.TCPServer((sys.argv[1], 8000), Answer).serve_forever()
"""
HOST, OUTSIDE = "5.5.5.2", "5.5.5.1"


@contextlib.contextmanager
def internet():
    """A network namespace at OUTSIDE, a public address, to which the host has a way by HOST; both answer."""
    name, outside = "wrenn-e2e", "wr-e2e"
    def run(command):
        subprocess.run(command.split(), check=True)
    with contextlib.ExitStack() as end:
        run(f"ip netns add {name}")
        end.callback(run, f"ip netns del {name}")
        run(f"ip link add {outside} type veth peer name eth0 netns {name}")
        end.callback(run, f"ip link del {outside}")
        run(f"ip address add {HOST}/30 dev {outside}")
        run(f"ip link set {outside} up")
        run(f"ip -n {name} address add {OUTSIDE}/30 dev eth0")
        run(f"ip -n {name} link set eth0 up")
        for address, prefix in ((HOST, []), (OUTSIDE, ["ip", "netns", "exec", name])):
            server = end.enter_context(subprocess.Popen([*prefix, sys.executable, "-c", ANSWERING, address]))
            end.callback(server.kill)
            wait_for(f"{address} to answer", functools.partial(answers, address))
        yield


def answers(address):
    with contextlib.suppress(OSError), socket.create_connection((address, 8000), 5) as connection:
        return connection.recv(100) == b"reached\n"


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class SlotPackets(ServerTest):
    """What a guest of QEMU reaches by its slot, whatever its machine was made of."""

    settings = {"env": {"WRENN_SLOTS": "on"}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(internet())

    def reaches(self, sandbox, address):
        return self.api.sh(sandbox, f"nc -w 5 {address} 8000 </dev/null")["stdout"] == "reached\n"

    def test_the_internet_and_not_the_host(self):
        sandbox = self.sandbox(egress=True, timeout_sec=0)
        wait_for("the internet", lambda: self.reaches(sandbox, OUTSIDE))
        self.assertFalse(self.reaches(sandbox, HOST))
        family = [sandbox, self.api.call("POST", f"/v1/sandboxes/{sandbox}/fork", {},
                                         expect=201).json()["sandboxes"][0]["id"]]
        self.addCleanup(self._remove, family[1])
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        for one in family:
            self.assertTrue(self.reaches(one, OUTSIDE), one)
        self.api.call("PATCH", f"/v1/sandboxes/{sandbox}/network", {"allow_internet_access": False}, expect=200)
        self.assertEqual([self.reaches(one, OUTSIDE) for one in family], [False, True])


class Without(ServerTest):
    settings = {"env": {"WRENN_JAIL": "off", "WRENN_SLOTS": "off", "WRENN_CGROUPS": "off"}}

    def test_all_can_be_switched_off(self):
        isolation = self.api.call("GET", "/health").json()["isolation"]
        self.assertEqual(isolation, {"jail": False, "slots": False, "cgroups": False})
        sandbox = self.sandbox()
        pid = next(iter(self.server.machines()))
        self.assertEqual(status_of(pid)["Uid"].split()[0], str(os.geteuid()))
        limits = limits_of(pid)
        self.assertEqual((limits["Max core file size"], limits["Max open files"]), ("0", "1024"))
        self.assertEqual(self.api.sh(sandbox, "echo here")["stdout"], "here\n")
        for what in ("jailed", "slots are switched off", "limited"):
            self.assertIn(what, self.server.read_log())
