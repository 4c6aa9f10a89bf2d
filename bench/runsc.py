"""gVisor's runsc as `bench/peer` drives it: by its command line, which is all the interface that it has."""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile

import lib

# No engine but systrap works without KVM. No network, as wrenn's sandboxes have none either; a writable
# root of each sandbox's own, kept in memory, which is the quickest that it offers.
FLAGS = ["--platform=systrap", "--network=none", "--ignore-cgroups", "--overlay2=root:memory"]


class Runsc:
    name = "runsc"

    def __init__(self, program, image):
        """`image`: the ext4 file whose contents are the sandboxes' root."""
        self.program = os.path.abspath(program)
        self.version()
        self.directory = tempfile.mkdtemp(prefix="wp-")
        self.state, self.count = f"{self.directory}/state", 0
        self.words = [self.program, f"--root={self.state}", *FLAGS]
        try:
            os.mkdir(f"{self.directory}/root")
            lib.run(["debugfs", "-R", f"rdump / {self.directory}/root", image])
            assert os.path.lexists(f"{self.directory}/root/bin/true"), f"'{image}' was not unpacked"
            self._bundle("live", "/bin/sleep", "1000000")
            self._bundle("once", "/bin/true")
        except BaseException:
            shutil.rmtree(self.directory)
            raise

    def _bundle(self, name, *command):
        """A folder with a config.json (OCI runtime specification, "Configuration")."""
        os.mkdir(f"{self.directory}/{name}")
        with open(f"{self.directory}/{name}/config.json", "w") as file:
            json.dump({
                "ociVersion": "1.0.0",
                "process": {"user": {"uid": 0, "gid": 0}, "args": command, "cwd": "/",
                            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
                "root": {"path": f"{self.directory}/root"},
                "hostname": "sandbox",
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
                "linux": {"namespaces": [{"type": kind} for kind in (
                    "pid", "ipc", "uts", "mount", "network")]},
            }, file)

    def _new(self):
        self.count += 1
        return f"s{self.count}"

    def _run(self, *words):
        return lib.run([*self.words, *words])

    def version(self):
        return lib.run([self.program, "--version"]).split("\n")[0]

    def create(self):
        sandbox = self._new()
        self._run("run", "--detach", f"--bundle={self.directory}/live", sandbox)
        return sandbox

    def check(self, sandbox):
        """Nothing: each begins in the same way."""

    def command(self, sandbox):
        self._run("exec", sandbox, "/bin/true")

    def once(self):
        self._run("run", f"--bundle={self.directory}/once", self._new())

    def pause(self, sandbox):
        folder = f"{self.directory}/image-{sandbox}"
        os.mkdir(folder)
        self._run("checkpoint", "--compression=none", f"--image-path={folder}", sandbox)

    def paused(self, sandbox):
        """What was checkpointed ends by itself, but its name must be given up before it can be restored."""
        self._run("delete", "--force", sandbox)

    def resume(self, sandbox):
        self._run("restore", "--detach", f"--bundle={self.directory}/live",
                  f"--image-path={self.directory}/image-{sandbox}", sandbox)

    def resumed(self, sandbox):
        shutil.rmtree(f"{self.directory}/image-{sandbox}")

    def delete(self, sandbox):
        self._run("delete", "--force", sandbox)

    def settle(self, alive):
        from harness import wait_for
        wait_for("the end of runsc's sandboxes", lambda: len(self.processes()) == alive)

    def processes(self):
        """The pids of each sandbox: its kernel, its file server and the processes that its programs' memory
        is in, which are the kernel's children."""
        parents, named, found = {}, {}, {}
        for path in glob.glob("/proc/[0-9]*"):
            with contextlib.suppress(OSError), open(f"{path}/stat") as stat, \
                    open(f"{path}/cmdline", "rb") as cmdline:
                pid, words = int(path.split("/")[2]), cmdline.read().decode(errors="replace").split("\0")
                parents[pid] = int(stat.read().rpartition(")")[2].split()[1])
                if f"--root={self.state}" in words:
                    named[pid] = words[-2]  # each word ends with a zero byte
        for pid in parents:
            owner = pid
            while owner and owner not in named:
                owner = parents.get(owner, 0)
            if owner:
                found.setdefault(named[owner], []).append(pid)
        return found

    def pss(self):
        """Of each sandbox, in MiB."""
        return [sum(map(lib.pss_mib, pids)) for pids in self.processes().values()]

    def close(self):
        try:
            for sandbox in self._run("list", "--quiet").split():
                self.delete(sandbox)
        finally:
            for pids in self.processes().values():
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self.settle(0)
            if os.path.exists(f"{self.state}/null-netns"):  # is mounted by --network=none, and stays so
                subprocess.run(["umount", f"{self.state}/null-netns"], check=True)
            shutil.rmtree(self.directory)
