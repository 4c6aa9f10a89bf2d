"""The command line as a user meets it."""

import http.server
import json
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harness import Server, ServerTest, SharedSandboxTest, TEMPLATES, WRENN, unique


class Commands(SharedSandboxTest):
    create = {"template": "minimal", "disk_mb": 2048}

    def wrenn(self, *arguments, **more):
        return self.server.wrenn(*arguments, **more)

    def test_ls_and_its_json_agree(self):
        table = self.wrenn("ls").stdout
        self.assertIn(self.id, table)
        self.assertIn("running", table)
        self.assertEqual([s["id"] for s in json.loads(self.wrenn("ls", "--json").stdout)
                          if s["id"] == self.id], [self.id])

    def test_ls_shows_what_the_disk_takes(self):
        def used():
            return next(s["disk_used_bytes"] for s in json.loads(self.wrenn("ls", "--json").stdout)
                        if s["id"] == self.id)
        before = used()
        self.wrenn("exec", self.id, "--", "sh", "-c", "head -c 20000000 /dev/urandom > /tmp/more; sync")
        self.assertGreaterEqual(used() - before, 20_000_000)
        self.assertLess(used() - before, 60_000_000)
        self.assertRegex(self.wrenn("ls").stdout, r"[0-9.]+ MiB/2\.0 GiB")

    def test_auto_resume(self):
        for flags, code in (((), 125), (("--auto-resume",), 0)):
            made = self.wrenn("create", "--template", "minimal", *flags).stdout.strip()
            try:
                self.wrenn("pause", made)
                done = self.wrenn("exec", made, "--", "echo", "hi", check=False)
                self.assertEqual(done.returncode, code, done.stderr)
            finally:
                self.wrenn("rm", made)

    def test_snapshot_rm_as_json(self):
        name = unique()
        self.wrenn("snapshot", "create", self.id, "--name", name)
        done = self.wrenn("snapshot", "rm", name, "no-such", "--json", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout), [{"name": name}])
        self.assertIn("no-such", done.stderr)

    def test_a_machine_that_was_killed(self):
        made = self.wrenn("create", "--template", "minimal").stdout.strip()
        try:
            pid, = (pid for pid, words in self.server.machines().items() if made in words)
            os.kill(int(pid), signal.SIGKILL)
            # Whoever asks first, nobody is told of sockets or that it runs.
            done = self.wrenn("exec", made, "--", "true", check=False)
            self.assertEqual(done.returncode, 125)
            self.assertIn("signal 9", done.stderr)
            self.assertNotIn("/", done.stderr.replace("'wrenn", ""))
        finally:
            self.wrenn("rm", made)

    def test_id_may_be_shortened(self):
        self.assertEqual(self.wrenn("exec", self.id[:12], "--", "echo", "hi").stdout, "hi\n")
        missing = self.wrenn("exec", "sb-zzzzzz", "--", "true", check=False)
        self.assertEqual(missing.returncode, 125)
        self.assertIn("sb-zzzzzz", missing.stderr)

    def test_create_and_rm(self):
        made = self.wrenn("create", "--template", "minimal", "-q").stdout.strip()
        self.assertRegex(made, r"^sb-[a-z0-9]{20}$")
        self.wrenn("rm", made)
        self.assertNotIn(made, self.wrenn("ls").stdout)
        self.assertNotEqual(self.wrenn("rm", made, check=False).returncode, 0)

    def test_cp_files_both_ways(self):
        with tempfile.TemporaryDirectory() as folder:
            source, back = f"{folder}/a", f"{folder}/b"
            with open(source, "wb") as file:
                file.write(os.urandom(3 << 20))
            self.wrenn("cp", source, f"{self.id}:/tmp/copied")
            self.wrenn("cp", f"{self.id}:/tmp/copied", back)
            with open(source, "rb") as a, open(back, "rb") as b:
                self.assertEqual(a.read(), b.read())
            missing = self.wrenn("cp", f"{self.id}:/no/such", f"{folder}/c", check=False)
            self.assertNotEqual(missing.returncode, 0)
            self.assertFalse(os.path.exists(f"{folder}/c"))

    def test_cp_folders_both_ways(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(f"{folder}/tree/sub/empty")
            with open(f"{folder}/tree/sub/run.sh", "w") as file:
                file.write("#!/bin/sh\necho ran\n")
            os.chmod(f"{folder}/tree/sub/run.sh", 0o755)
            os.symlink("run.sh", f"{folder}/tree/sub/link")
            self.wrenn("cp", f"{folder}/tree", f"{self.id}:/tmp/{unique()}")
            place = f"/tmp/{unique()}"
            self.wrenn("cp", f"{folder}/tree", f"{self.id}:{place}")
            self.assertEqual(self.wrenn("exec", self.id, "--", f"{place}/sub/link").stdout, "ran\n")
            self.wrenn("cp", f"{self.id}:{place}", f"{folder}/back")
            self.assertTrue(os.path.isdir(f"{folder}/back/sub/empty"))
            self.assertEqual(os.readlink(f"{folder}/back/sub/link"), "run.sh")
            self.assertTrue(os.access(f"{folder}/back/sub/run.sh", os.X_OK))

    def test_shell_is_a_terminal(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(WRENN, [WRENN, "shell", self.id], self.server.environment())
        seen = ""

        def expect(pattern, seconds=60):
            nonlocal seen
            end = time.monotonic() + seconds
            while not re.search(pattern, seen):
                if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                    raise AssertionError(f"{pattern!r} not seen in {seen!r}")
                try:
                    seen += os.read(terminal, 4096).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"{pattern!r} not seen before the end: {seen!r}") from None
            seen = ""
        expect(r"[#$] ")
        os.write(terminal, b"test -t 0 && echo is-a-$((40+2))-tty; stty size\n")
        expect(r"is-a-42-tty")
        import fcntl
        import struct
        import termios
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 43, 117, 0, 0))
        os.kill(pid, 28)  # SIGWINCH
        end = time.monotonic() + 20
        while time.monotonic() < end:
            os.write(terminal, b"stty size\n")
            try:
                expect(r"43 117", 2)
                break
            except AssertionError:
                continue
        else:
            self.fail("the new size did not arrive")
        os.write(terminal, b"sleep 100\n")
        time.sleep(0.5)
        os.write(terminal, b"\x03")
        os.write(terminal, b"exit 9\n")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 9)
        os.close(terminal)

    def test_help_and_version_and_completion(self):
        self.assertRegex(self.wrenn("version").stdout, r"\d+\.\d+")
        top = self.wrenn("--help").stdout
        for command in ("serve", "run", "create", "ls", "exec", "shell", "cp", "logs", "rm", "stop",
                        "template", "key", "doctor", "version", "completion"):
            self.assertIn(command, top)
            self.assertIn("wrenn", self.wrenn(command, "--help").stdout)
        bash = self.wrenn("completion", "bash").stdout
        self.assertEqual(subprocess.run(["bash", "-n"], input=bash, text=True).returncode, 0)
        for shell in ("zsh", "fish"):
            self.assertTrue(self.wrenn("completion", shell).stdout)

    def test_usage_errors(self):
        for arguments in (["nonsense"], ["exec"], ["ls", "--nonsense"], ["create", "--vcpus", "x"],
                          ["logs", "--json", self.id]):
            result = self.wrenn(*arguments, check=False)
            self.assertNotEqual(result.returncode, 0, arguments)
            self.assertTrue(result.stderr, arguments)

    def test_keys(self):
        made = json.loads(self.wrenn("key", "create", "--name", "ci", "--json").stdout)
        key = made["key"]
        status = lambda: self.api.call("GET", "/v1/sandboxes", key=False,
                                       headers={"X-API-Key": key}).status
        self.assertEqual(status(), 200)
        self.assertNotIn(key, self.wrenn("key", "list").stdout)
        self.wrenn("key", "revoke", made["id"])
        end = time.monotonic() + 15
        while status() == 200 and time.monotonic() < end:
            time.sleep(0.2)
        self.assertEqual(status(), 401)

    def test_doctor(self):
        report = json.loads(self.wrenn("doctor", "--json", check=False).stdout)
        text = json.dumps(report)
        for capability in ("kvm", "tun", "nftables", "device-mapper", "reflink", "cgroup",
                           "userfaultfd", "qemu", "firecracker"):
            self.assertIn(capability, text.lower())

    def test_doctor_needs_no_program_for_what_wrenn_does_itself(self):
        """The kernel's filter is asked by netlink: without the program nft nothing is lost."""
        verdict = lambda text: next(check for check in json.loads(text)["checks"]
                                    if check["capability"] == "nftables")["status"]
        bare = subprocess.run([WRENN, "doctor", "--json"], text=True, capture_output=True, timeout=120,
                              env={**self.server.environment(), "PATH": "/nonexistent"})
        self.assertEqual(verdict(bare.stdout), verdict(self.wrenn("doctor", "--json", check=False).stdout))

    def test_templates_are_listed(self):
        self.assertIn("minimal", self.wrenn("template", "ls").stdout)
        names = [t["name"] for t in json.loads(self.wrenn("template", "ls", "--json").stdout)]
        self.assertIn("minimal", names)

    def test_inspect_shows_what_a_template_is_made_of(self):
        found = json.loads(self.wrenn("template", "inspect", "minimal", "--json").stdout)
        self.assertTrue(found["image"] and found["kernel"], found)
        self.assertIn("wrenn template ls", self.wrenn("template", "inspect", "none", check=False).stderr)


class Run(unittest.TestCase):
    """`wrenn run` with nothing running before it."""

    def test_stop_with_sandboxes_means_the_server_that_ends(self):
        kept = Server()
        self.addCleanup(kept.close)
        ended = Server()
        self.addCleanup(ended.close)
        for server in (kept, ended):
            server.wrenn("create", "--template", "minimal")
        paused = ended.wrenn("create", "--template", "minimal", "-q").stdout.strip()
        ended.wrenn("pause", paused)
        result = subprocess.run([WRENN, "serve", "--stop", "--sandboxes"], text=True,
                                capture_output=True, timeout=120,
                                env={**ended.environment(),
                                     "WRENN_API_URL": f"http://127.0.0.1:{kept.port}"})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(ended.machines(), {})
        self.assertEqual([box["status"] for box in json.loads(kept.wrenn("ls", "--json").stdout)],
                         ["running"])
        ended.stop()  # it has
        ended.start()
        boxes = json.loads(ended.wrenn("ls", "--all", "--json").stdout)
        self.assertEqual(sorted(box["status"] for box in boxes), ["paused", "stopped"])
        ended.wrenn("resume", paused)

    def test_another_program_on_the_port_is_no_server(self):
        """It is told as that, and not shown the root's key."""
        seen = []

        class Foreign(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(dict(self.headers))
                self.send_error(404)
            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = Server()
        self.addCleanup(server.close)
        server.stop()
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as foreign:
            threading.Thread(target=foreign.serve_forever).start()
            try:
                address = f"127.0.0.1:{foreign.server_port}"
                for words in (["ls"], ["run", "--", "true"], ["create"]):
                    result = subprocess.run(
                        [WRENN, *words], text=True, capture_output=True, timeout=60,
                        env={**server.environment(), "WRENN_API_URL": "", "WRENN_LISTEN": address})
                    self.assertNotEqual(result.returncode, 0, words)
                    self.assertIn(f"what listens at {address} does not answer as wrenn does", result.stderr)
                    self.assertIn("--listen", result.stderr)
            finally:
                foreign.shutdown()
        self.assertEqual(len(seen), 3)
        self.assertFalse([headers for headers in seen if "X-API-Key" in headers], "the key was sent")

    def test_looking_makes_no_root(self):
        with tempfile.TemporaryDirectory() as folder:
            env = {**os.environ, "WRENN_ROOT": f"{folder}/root", "WRENN_RUNTIME": f"{folder}/run",
                   "WRENN_LISTEN": "127.0.0.1:9"}
            for words in (["template", "ls"], ["key", "list"], ["ls"], ["version"],
                          ["__complete", "--", "create", "--template", ""], ["serve", "--stop"]):
                subprocess.run([WRENN, *words], env=env, capture_output=True, timeout=60)
                self.assertEqual(os.listdir(folder), [], words)

    def test_run_starts_what_it_needs_and_returns_the_exit_code(self):
        server = Server()
        self.addCleanup(server.close)
        server.stop()
        with tempfile.TemporaryDirectory() as folder:
            script = f"{folder}/job.sh"
            with open(script, "w") as file:
                file.write("read line; echo \"got $line\"; echo oops >&2; exit 5\n")
            result = server.wrenn("run", "--template", "minimal", "--", "sh", script,
                                  input="hello\n", check=False)
        self.addCleanup(server.wrenn, "serve", "--stop", check=False)
        self.assertEqual((result.returncode, result.stdout), (5, "got hello\n"), result.stderr)
        self.assertIn("oops", result.stderr)
        self.assertEqual(json.loads(server.wrenn("ls", "--json").stdout), [])


@unittest.skipUnless(os.path.exists(f"{TEMPLATES}/has-base"), "the template 'base' was not built")
class Base(ServerTest):
    def test_python_runs_as_the_user(self):
        script = ("import os,sys,json,getpass;"
                  "print(json.dumps([sys.version_info[0],getpass.getuser(),os.getcwd()]));"
                  "print('ünï')")
        sandbox = self.sandbox(template="base")
        result = self.api.exec(sandbox, "python3", "-c", script, timeout_sec=120)
        self.assertEqual(result["exit_code"], 0, result)
        first, second = result["stdout"].splitlines()
        self.assertEqual(json.loads(first), [3, "user", "/home/user"])
        self.assertEqual(second, "ünï")
        # Python finds its own way to UTF-8; others ask the locale.
        text = self.api.exec(sandbox, "bash", "-c", "locale charmap; x=ü; echo ${#x}", timeout_sec=120)
        self.assertEqual(text["stdout"].split(), ["UTF-8", "1"], text)
        tools = self.api.sh(sandbox, "sudo -n id -u; for tool in bash git curl python tput; "
                            "do command -v $tool; done",
                            timeout_sec=120)
        self.assertEqual(tools["stdout"].splitlines()[0], "0", tools)
        self.assertEqual(len(tools["stdout"].splitlines()), 6)
