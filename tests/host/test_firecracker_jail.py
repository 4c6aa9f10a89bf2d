"""What a Firecracker that a guest has taken over would find: its own files, and nothing to go on with."""

import ctypes
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from firecracker_host import FirecrackerTest, vmm_of

LIBC = ctypes.CDLL(None, use_errno=True)
# The namespaces that it has to itself; of users, time and control groups' views there is nothing to gain.
NAMESPACES = ("mnt", "pid", "ipc", "uts", "net", "cgroup")


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def in_place_of(pid, look):
    """What `look` answers in this process's mounts, root, user and group, without its filter."""
    status = status_of(pid)
    uid, gid = (int(status[key].split()[0]) for key in ("Uid", "Gid"))
    mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if LIBC.setns(mounts, 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.fchdir(root)
            os.chroot(".")
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            answer = look()
        except OSError as error:
            answer = f"failed: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        answer = file.read()
    os.waitpid(child, 0)
    os.close(mounts)
    os.close(root)
    return answer


def everything():
    """All paths, marked with "w" where they can be written to."""
    lines = []
    for folder, folders, files in os.walk("/"):
        for name in folders + files:
            path = os.path.join(folder, name)
            lines.append(("w " if not os.path.islink(path) and os.access(path, os.W_OK) else "- ") + path)
    return "\n".join(sorted(lines))


class FirecrackerJail(FirecrackerTest):
    """Two sandboxes for all tests, which only look."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with ThreadPoolExecutor(2) as boots:
            made = [boots.submit(cls.server.api.create, timeout_sec=0) for _ in range(2)]
        cls.first, cls.second = (boot.result()["id"] for boot in made)

    def test_has_no_rights_and_no_company(self):
        users = set()
        for pid in map(vmm_of, (self.first, self.second)):
            status = status_of(pid)
            users.add(status["Uid"])
            self.assertEqual(len(set(status["Uid"].split())), 1, status["Uid"])
            self.assertNotEqual(status["Uid"].split()[0], "0")
            self.assertEqual(status["Groups"].strip(), "")
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[kind], 16), 0, kind)
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Seccomp"], "2")  # by filters: the jail's and its own
            self.assertGreaterEqual(int(status["Seccomp_filters"]), 2)
            self.assertEqual(status["NSpid"].split()[-1], "1")  # sees no process above or beside it
            for name in NAMESPACES:
                self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{name}"),
                                    os.readlink(f"/proc/self/ns/{name}"), name)
            with open(f"/proc/{pid}/limits") as file:
                limits = file.read()
            self.assertTrue(re.search(r"Max core file size +[01] +[01] ", limits), limits)
        self.assertEqual(len(users), 2, "both are the same user")

    def test_sees_its_own_files_only(self):
        listing = in_place_of(vmm_of(self.first), everything)
        print(f"\n{listing}", flush=True)
        lines = listing.splitlines()
        paths = [line[2:] for line in lines]
        for path in paths:
            self.assertFalse(path.startswith(("/proc", "/sys", "/etc", "/root", "/home")), path)
            self.assertNotIn(self.second, path)
        self.assertIn("- /firecracker", lines)
        self.assertIn("- /boot/vmlinux", lines)
        self.assertIn("w /dev/disk", lines)
        written = {line[2:] for line in lines if line.startswith("w ")}
        self.assertEqual({path for path in written if path.startswith("/dev/")} -
                         {"/dev/kvm", "/dev/net/tun", "/dev/null", "/dev/urandom", "/dev/disk"}, set())
        self.assertFalse([path for path in written if not path.startswith(("/dev/", "/run"))])

    def test_cannot_open_its_neighbours_disk(self):
        def disks():
            """Opens all devices that there could be, by their numbers."""
            found = []
            for major in (7, 252, 253, 254):
                for minor in range(8):
                    try:
                        os.mknod(f"/run/{major}-{minor}", 0o600 | 0o060000, os.makedev(major, minor))
                        found.append(f"made {major}:{minor}")
                    except OSError:
                        pass
            return " ".join(found)
        self.assertEqual(in_place_of(vmm_of(self.first), disks), "")

    def test_holds_no_descriptor_of_the_hosts(self):
        """But of its own files, its slot's device and what the kernel makes for it."""
        pid = vmm_of(self.first)
        targets = sorted({os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")})
        print(f"\n{targets}", flush=True)
        for target in targets:
            own = rf"/.*/{self.first}/(console|messages|metrics)"  # pipes that it was started with
            self.assertTrue(re.fullmatch(
                rf"(anon_inode|socket|pipe):.*|/dev/(kvm|net/tun|null|urandom|disk)|/run/.*|/boot/.*|{own}",
                target), target)

    def test_the_host_lists_no_more_than_it_did(self):
        """The jails' mounts are theirs alone."""
        mounts = subprocess.run(["findmnt", "--noheadings", "--list", "--output", "TARGET"], check=True,
                                text=True, stdout=subprocess.PIPE).stdout
        self.assertNotIn("firecracker", mounts)
