"""What a Firecracker sandbox needs is missing or something else: the error says what to do, what was
there stays, and nothing is left on the host."""

import contextlib
import glob
import os
import shutil
import subprocess

from firecracker_host import FirecrackerTest, listing, vmm_of, vmms
from harness import WRENN, wait_for


class FirecrackerWrong(FirecrackerTest):
    def setUp(self):
        self.before = self.settled()

    def program(self, name, text):
        path = f"{self.server.directory}/{name}"
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def refused_to_serve(self, binary):
        """What `wrenn serve` says on this server's root, with this program."""
        ended = subprocess.run(
            [WRENN, "serve", "--listen", f"127.0.0.1:{self.server.port}", "--engine", "firecracker",
             "--firecracker", binary],
            env=self.server.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, timeout=60)
        self.assertNotEqual(ended.returncode, 0, ended.stdout)
        print(f"\n  serve: {ended.stdout.strip().splitlines()[-1]}", flush=True)
        return ended.stdout

    def test_server_with_a_wrong_program(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.api.write(sandbox, "/root/kept", b"kept", user="root")
        self.server.kill()
        for binary, words in (
                ("/nowhere/firecracker", ["not installed", "--firecracker"]),
                ("/usr/bin/env", ["does not say that it is Firecracker", "--firecracker"]),
                ("/etc/hostname", ["--firecracker"]),
                (self.program("old", "#!/bin/sh\necho 'Firecracker v1.4.1'\n"), ["1.4.1", "1.12", "--firecracker"])):
            with self.subTest(binary):
                said = self.refused_to_serve(binary)
                for word in words:
                    self.assertIn(word, said)
        # Nothing of that has touched what runs.
        self.server.start()
        self.assertEqual(self.api.get(sandbox)["status"], "running")
        self.assertEqual(self.api.sh(sandbox, "cat /root/kept", user="root")["stdout"], "kept")
        self.api.delete(sandbox)
        self.assert_as_before(self.before)

    def refused(self, *words):
        """The error of a create, which leaves nothing."""
        answer = self.api.call("POST", "/v1/sandboxes", {"template": "minimal", "timeout_sec": 0})
        self.assertGreaterEqual(answer.status, 400, answer.body)
        message = answer.error()["message"]
        print(f"\n  create: {answer.status} {message}", flush=True)
        for word in words:
            self.assertIn(word, message)
        for hidden in (self.server.root, self.server.runtime):
            self.assertNotIn(hidden, message)
        by_cli = self.server.wrenn("create", "--template", "minimal", check=False)
        self.assertNotEqual(by_cli.returncode, 0, by_cli.stdout)
        for word in words:
            self.assertIn(word, by_cli.stderr)
        self.assertEqual([one["id"] for one in self.api.list() if one["status"] != "running"], [])

    def refused_while_spoilt(self, path, *spoilings):
        """For each (content, words): creates are refused while that, or nothing, is in the place of a file of
        the server's root. One that runs goes on, and later ones come up."""
        neighbour = self.sandbox(timeout_sec=0)
        kept = f"{path}.kept"
        for content, words in spoilings:
            os.rename(path, kept)
            try:
                if content is not None:
                    with open(path, "wb") as file:
                        file.write(content)
                    os.chmod(path, os.stat(kept).st_mode)
                self.refused(*words)
                self.assertEqual(self.api.sh(neighbour, "echo here")["stdout"], "here\n")
            finally:
                os.rename(kept, path)
        self.assertEqual(self.api.sh(self.sandbox(timeout_sec=0), "echo here")["stdout"], "here\n")
        self.remove_all()
        self.assert_as_before(self.before)

    def test_program_that_vanishes_under_the_server(self):
        own = f"{self.server.directory}/firecracker"
        shutil.copy(shutil.which("firecracker"), own)
        self.restart(WRENN_FIRECRACKER=own)
        try:
            self.refused_while_spoilt(
                own, (None, ["vanished", "--firecracker"]),
                (b"#!/bin/sh\necho I am another program\nexit 1\n", ["what --firecracker names does not start"]))
        finally:
            self.restart()

    def test_kernel_that_is_no_elf(self):
        (kernel,) = glob.glob(f"{self.server.root}/kernels/*/vmlinux")
        self.refused_while_spoilt(kernel, (b"no kernel\n" * 1000, ["kernel", "wrenn template build"]),
                                  (None, ["vanished", "wrenn template build"]))

    def test_base_image_that_vanished(self):
        (image,) = glob.glob(f"{self.server.root}/images/*/rootfs")
        self.refused_while_spoilt(image, (None, ["vanished", "wrenn template build"]))

    def test_base_image_that_vanished_below_one_that_runs(self):
        """It runs on, also beyond a restart of the server, or says why not."""
        sandbox = self.sandbox(timeout_sec=0)
        (image,) = glob.glob(f"{self.server.root}/images/*/rootfs")
        os.rename(image, f"{image}.kept")
        try:
            self.server.kill()
            self.server.start()
            record = self.api.get(sandbox)
            print(f"\n  after the restart: {record['status']} {record['reason']}", flush=True)
            if record["status"] == "running":
                self.assertEqual(self.api.sh(sandbox, "echo here")["stdout"], "here\n")
            else:
                self.assertIn("what the machine stands on has gone", record["reason"])
        finally:
            os.rename(f"{image}.kept", image)
        self.remove_all()
        self.assert_as_before(self.before)

    def slots(self):
        """Where the namespaces of the pool's slots are mounted."""
        found = [line.split()[4] for line in listing("cat", "/proc/self/mountinfo")
                 if line.split()[4].startswith(f"{self.server.runtime}/slots/")]
        self.assertTrue(found)
        return found

    def served_all_the_same(self):
        """A slot that is not whole is thrown away, and one that is takes its place."""
        self.assertEqual(self.api.sh(self.sandbox(timeout_sec=0), "echo here")["stdout"], "here\n")
        self.remove_all()
        self.assert_as_before(self.before)

    def test_namespaces_that_have_gone(self):
        for path in self.slots():
            subprocess.run(["umount", path], check=True)
        self.served_all_the_same()

    def test_taps_that_have_gone(self):
        for path in self.slots():
            subprocess.run(["nsenter", f"--net={path}", "ip", "link", "del", "tap0"], check=True)
        self.served_all_the_same()

    def test_what_has_gone_while_the_server_was_away(self):
        """After a power cut, say: its VMM, its device, its slot and its cgroup."""
        sandbox = self.sandbox(timeout_sec=0)
        self.server.kill()
        os.kill(vmm_of(sandbox), 9)
        wait_for("its end", lambda: not vmms())
        wait_for("its device", lambda: subprocess.run(
            ["dmsetup", "remove", "--noudevsync", f"wrenn-{sandbox}"], stderr=subprocess.DEVNULL).returncode == 0)
        for path in self.slots():
            subprocess.run(["umount", path], check=True)
        self.server.start()
        record = self.api.get(sandbox)
        print(f"\n  after the restart: {record['status']} {record['reason']}", flush=True)
        self.assertEqual(record["status"], "error")
        self.assertIn("the machine ended while the server was away", record["reason"])
        self.remove_all()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/dev/mapper/wrenn-{sandbox}")
        self.assert_as_before(self.before)
