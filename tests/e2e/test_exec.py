"""Commands: output, exit codes, signals, input, deadlines, many at once."""

import base64
import concurrent.futures
import hashlib
import json
import os
import subprocess
import time

from harness import SharedSandboxTest, WRENN, unique, wait_for


class Exec(SharedSandboxTest):
    def test_output_streams_and_exit_code(self):
        result = self.api.sh(self.id, "echo out; echo err >&2; exit 3")
        self.assertEqual((result["stdout"], result["stderr"], result["exit_code"]),
                         ("out\n", "err\n", 3))
        self.assertEqual(result["encoding"], "utf-8")
        self.assertGreaterEqual(result["duration_ms"], 0)

    def test_signal_ends_with_minus_one(self):
        self.assertEqual(self.api.sh(self.id, "kill -9 $$")["exit_code"], -1)

    def test_binary_output_comes_as_base64(self):
        result = self.api.sh(self.id, r"printf '\377\000\376'; printf 'plain' >&2")
        self.assertEqual(result["encoding"], "base64")
        self.assertEqual(base64.b64decode(result["stdout"]), b"\xff\x00\xfe")
        self.assertEqual(base64.b64decode(result["stderr"]), b"plain")

    def test_environment_and_folder(self):
        result = self.api.sh(self.id, "echo $GREETING; pwd", envs={"GREETING": "hé"}, cwd="/tmp")
        self.assertEqual(result["stdout"], "hé\n/tmp\n")

    def test_unknown_command_says_so(self):
        answer = self.api.call("POST", f"/v1/sandboxes/{self.id}/exec", {"cmd": "no-such-command"})
        self.assertIn(answer.status, (400, 404))
        self.assertIn("no-such-command", answer.error()["message"])

    def test_missing_folder_says_so(self):
        answer = self.api.call("POST", f"/v1/sandboxes/{self.id}/exec",
                               {"cmd": "pwd", "cwd": "/no/such"})
        self.assertEqual(answer.status, 400)
        self.assertIn("/no/such", answer.error()["message"])

    def test_deadline_kills_the_children_too(self):
        begin = time.monotonic()
        # A child, one in a session of its own whose parent is gone, and a child's child.
        script = ("sleep 91001 & (setsid sleep 91002 &) ; sh -c 'sleep 91003; true' & "
                  "until [ \"$(ps -o args | grep -c '^sleep 9100[123]$')\" = 3 ]; do sleep 0.1; done; "
                  "echo all live; sleep 91004")
        result = self.api.sh(self.id, script, timeout_sec=10)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertNotEqual(result["exit_code"], 0)
        self.assertTrue(result["timed_out"])
        self.assertEqual(result["stdout"], "all live\n")
        wait_for("the end of the children", lambda: self.api.sh(
            self.id, "ps -o args | grep '^sleep 9100'; true")["stdout"] == "")

    def test_fifty_at_once(self):
        def run(number):
            return self.api.sh(self.id, f"echo {number}; cat /proc/sys/kernel/random/uuid >&2")
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            results = list(pool.map(run, range(50)))
        self.assertEqual([r["stdout"] for r in results], [f"{n}\n" for n in range(50)])
        self.assertEqual(len({r["stderr"] for r in results}), 50)

    def test_background_process_is_listed_and_killed(self):
        tag = unique("bg")
        started = self.api.call("POST", f"/v1/sandboxes/{self.id}/exec",
                                {"cmd": "sleep", "args": ["500"], "background": True, "tag": tag})
        self.assertIn(started.status, (201, 202))
        pid = started.json()["pid"]
        listed = self.api.call("GET", f"/v1/sandboxes/{self.id}/processes", expect=200).json()
        self.assertIn((pid, tag), [(p["pid"], p.get("tag")) for p in listed])
        self.api.call("DELETE", f"/v1/sandboxes/{self.id}/processes/{pid}", expect=204)
        wait_for("the end of the process", lambda: pid not in [
            p["pid"] for p in self.api.call("GET", f"/v1/sandboxes/{self.id}/processes").json()])

    def test_a_vanished_client_leaves_the_process_running(self):
        tag = unique("gone")
        socket = self.api.websocket(f"/v1/sandboxes/{self.id}/exec/stream")
        socket.send(json.dumps({"type": "start", "cmd": "/bin/sh", "tag": tag,
                                "args": ["-c", "while :; do echo tick; sleep 0.2; done"]}))
        self.assertEqual(json.loads(socket.recv())["type"], "start")
        socket.sock.close()
        again = self.api.websocket(f"/v1/sandboxes/{self.id}/exec/stream")
        again.send(json.dumps({"type": "attach", "tag": tag}))
        messages = [json.loads(again.recv()) for _ in range(2)]
        self.assertEqual(messages[0]["type"], "start")
        self.assertEqual((messages[1]["type"], messages[1]["data"]), ("stdout", "tick\n"))
        again.send(json.dumps({"type": "stop"}))
        while (last := json.loads(again.recv()))["type"] != "exit":
            pass
        self.assertEqual(last["exit_code"], -1)
        again.close()


class ExecByCommandLine(SharedSandboxTest):
    def run_bytes(self, *arguments, **more):
        return self.server.wrenn("exec", *arguments, text=False, **more)

    def test_exit_code_and_streams(self):
        result = self.server.wrenn("exec", self.id, "--", "sh", "-c", "echo o; echo e >&2; exit 7",
                                   check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "o\n", "e\n"))

    def test_a_hundred_megabytes_of_output_are_intact(self):
        # One block numbered again and again: nothing can be lost, mixed up or doubled, and the guest,
        # which may be emulated, need not make so much.
        block = os.urandom(1 << 20)
        self.api.write(self.id, "/tmp/block", block)
        script = "for i in $(seq 100); do cat /tmp/block; echo $i; done; rm /tmp/block"
        with subprocess.Popen([WRENN, "exec", self.id, "--", "sh", "-c", script],
                              env=self.server.environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            for number in range(1, 101):
                expected = block + f"{number}\n".encode()
                self.assertTrue(process.stdout.read(len(expected)) == expected, number)
            self.assertEqual(process.stdout.read(), b"")
            error = process.stderr.read().decode()
        self.assertEqual((process.returncode, error), (0, ""))

    def test_ten_megabytes_of_input_are_intact(self):
        data = bytes(range(256)) * 40960
        result = self.run_bytes("-i", self.id, "--", "sha256sum", input=data)
        self.assertEqual(result.stdout.split()[0].decode(), hashlib.sha256(data).hexdigest())

    def test_input_to_a_program_that_reads_nothing(self):
        result = self.run_bytes("-i", self.id, "--", "true", input=b"x" * 1000000)
        self.assertEqual(result.returncode, 0)
