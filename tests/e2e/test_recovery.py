"""The server is killed, the sandboxes go on; nothing is leaked when they are removed."""

import glob
import os
import shutil
import signal
import unittest

from harness import Server, ServerTest, wait_for


class Recovery(ServerTest):
    def test_killed_server_adopts_its_sandboxes(self):
        # As root each has a slot, which is to be found again and given back too.
        ids = [self.api.create(timeout_sec=0, egress=os.geteuid() == 0)["id"] for _ in range(5)]
        for number, sandbox in enumerate(ids):
            self.api.sh(sandbox, f"echo {number} > /tmp/mark")
        self.api.call("POST", f"/v1/sandboxes/{ids[0]}/exec",
                      {"cmd": "sleep", "args": ["900"], "background": True, "tag": "survivor"})
        self.server.kill()
        self.assertEqual(len(self.server.machines()), 5)
        self.server.start()
        if os.geteuid() == 0:
            for place in ("/sys/class/net/wrenn-*", f"{self.server.runtime}/slots/wrenn-*"):
                self.assertGreaterEqual(len(glob.glob(place)), 5, place)
        listed = self.server.wrenn("ls").stdout
        for number, sandbox in enumerate(ids):
            self.assertIn(sandbox, listed)
            self.assertEqual(self.api.get(sandbox)["status"], "running")
            self.assertEqual(self.api.sh(sandbox, "cat /tmp/mark")["stdout"], f"{number}\n")
        processes = self.api.call("GET", f"/v1/sandboxes/{ids[0]}/processes").json()
        self.assertIn("survivor", [p.get("tag") for p in processes])
        for sandbox in ids:
            self.api.delete(sandbox)
        self.server.assert_nothing_left()
        if os.geteuid() == 0:
            self.addCleanup(self.server.start)
            self.server.stop()  # which has slots ready
            self.assertEqual(glob.glob("/sys/class/net/wrenn-*"), [])
            self.assertEqual(glob.glob(f"{self.server.runtime}/slots/wrenn-*"), [])

    def test_a_vmm_that_dies_is_recorded_with_its_reason(self):
        sandbox = self.sandbox(timeout_sec=0)
        (pid,) = self.server.machines()
        os.kill(pid, signal.SIGKILL)
        ended = wait_for("the record of the end", lambda: self.api.get(sandbox)["status"] == "error"
                         and self.api.get(sandbox))
        self.assertIn("signal 9", ended["reason"])
        answer = self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {"cmd": "true"})
        self.assertEqual(answer.status, 409)

    def test_a_vmm_that_dies_while_the_server_is_down(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.server.kill()
        (pid,) = self.server.machines()
        os.kill(pid, signal.SIGKILL)
        self.server.start()
        record = self.api.get(sandbox)
        self.assertEqual(record["status"], "error")
        self.assertTrue(record["reason"])

    def test_guest_that_powers_off_is_stopped_not_failed(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.server.wrenn("exec", "--user", "root", sandbox, "--", "kill", "-TERM", "1", check=False)
        ended = wait_for("the end", lambda: self.api.get(sandbox)["status"] != "running"
                         and self.api.get(sandbox), 60)
        self.assertEqual(ended["status"], "stopped", ended)

    def test_stop_keeps_the_record_and_the_console(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.api.sh(sandbox, "echo a line for the console > /dev/ttyS0", user="root")
        stopped = self.api.call("POST", f"/v1/sandboxes/{sandbox}/stop", expect=200).json()
        self.assertEqual(stopped["status"], "stopped")
        self.assertIn("a line for the console", self.server.wrenn("logs", sandbox).stdout)
        self.assertEqual(self.server.machines(), {})

    def test_idle_sandbox_ends_and_a_busy_one_does_not(self):
        stops = self.sandbox(timeout_sec=3, on_timeout="stop")
        pauses = self.sandbox(timeout_sec=3)
        busy = self.sandbox(timeout_sec=3)

        def ended():
            self.api.sh(busy, "true")
            return [self.api.get(one)["status"] for one in (stops, pauses)] == ["stopped", "paused"]
        wait_for("the end of the idle sandboxes", ended, 60)
        for idle in (stops, pauses):
            self.assertIn("idle", self.api.get(idle)["reason"])
        self.assertEqual(self.api.get(busy)["status"], "running")

    def test_a_background_command_keeps_awake_and_a_look_does_not(self):
        looked_at = self.sandbox(timeout_sec=3, auto_resume=True)
        works = self.sandbox(timeout_sec=3)
        self.api.call("POST", f"/v1/sandboxes/{works}/exec", {
            "cmd": "sh", "args": ["-c", "until [ -e /tmp/over ]; do sleep 0.1; done"],
            "background": True}, expect=202)

        def paused():
            for what in ("metrics", "processes"):
                self.api.call("GET", f"/v1/sandboxes/{looked_at}/{what}")
            return self.api.get(looked_at)["status"] == "paused"
        wait_for("the pause of one that is only looked at", paused, 60)
        self.api.call("GET", f"/v1/sandboxes/{looked_at}/metrics", expect=409)
        self.assertEqual(self.api.get(looked_at)["status"], "paused")
        self.assertEqual(self.api.get(works)["status"], "running")
        self.api.sh(works, "touch /tmp/over")
        wait_for("the pause of one whose work is done",
                 lambda: self.api.get(works)["status"] == "paused", 60)

    def test_kill_at_many_moments_of_a_create(self):
        """Whenever the server dies, the next one knows what is and leaves nothing else."""
        import threading
        for delay in (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0):
            def create():
                try:
                    self.api.call("POST", "/v1/sandboxes", {"template": "minimal"})
                except OSError:
                    pass
            thread = threading.Thread(target=create)
            thread.start()
            thread.join(delay)
            self.server.kill()
            thread.join()
            self.server.start()
            running = set()
            for record in self.api.list():
                if record["status"] == "running":
                    self.assertEqual(self.api.sh(record["id"], "echo yes")["stdout"], "yes\n")
                    running.add(record["id"])
            self.assertEqual(len(self.server.machines()), len(running))
            for record in self.api.list():
                self.api.delete(record["id"])
            self.server.assert_nothing_left()


class Network(ServerTest):
    settings = {"env": {"WRENN_SLOTS": "off"}}  # the user-mode network

    @unittest.skipUnless(shutil.which("passt"), "needs passt")
    def test_helpers_live_and_end_with_their_machine(self):
        sandbox = self.sandbox(timeout_sec=0, egress=True)
        helpers = self.server.helpers()
        self.assertEqual(sorted(name.partition(".")[0] for name in helpers.values()),
                         ["passt", "wrenn-egress"])
        self.server.kill()
        self.assertEqual(self.server.helpers(), helpers)
        self.server.start()
        self.assertEqual(self.api.sh(sandbox, "echo here")["stdout"], "here\n")
        self.assertEqual(self.server.helpers(), helpers)
        self.api.delete(sandbox)
        self.server.assert_nothing_left()


class Shutdown(ServerTest):
    def test_orderly_stop_keeps_sandboxes_for_the_next_start(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.server.stop()
        self.assertEqual(len(self.server.machines()), 1)
        self.server.start()
        self.assertEqual(self.api.sh(sandbox, "echo here")["stdout"], "here\n")


class Port(ServerTest):
    def test_taken_port_names_the_remedy(self):
        second = Server.__new__(Server)
        second.settings, second.directory = {}, self.server.directory + "-2"
        second.root, second.runtime = second.directory + "/root", second.directory + "/run"
        second.port = self.server.port
        for more in ([], ["--detach"]):
            result = second.wrenn("serve", "--listen", f"127.0.0.1:{self.server.port}", *more, check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("--listen", result.stderr)
            self.assertFalse(os.path.exists(second.directory), "a root was begun")
        self.assertEqual(self.api.call("GET", "/v1/sandboxes", expect=200).json(), [])
