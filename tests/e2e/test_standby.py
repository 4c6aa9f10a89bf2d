"""A paused sandbox's machine stays in memory for a while: to go on from there is quicker, and nothing else differs."""

import os
import signal
import threading
import time

import ramcheck
from harness import ServerTest, wait_for


class StandbyTest(ServerTest):
    settings = {"env": {"WRENN_STANDBY": "60"}}

    def start(self, **fields):
        sandbox = self.sandbox(timeout_sec=0, **fields)
        ramcheck.start(self.api, sandbox)
        return sandbox

    def post(self, sandbox, action, expect=200):
        return self.api.call("POST", f"/v1/sandboxes/{sandbox}/{action}", expect=expect).json()

    def machine(self):
        (pid,) = self.server.machines()
        return pid

    def resumes(self, way):
        """How many resumes of this server have gone this way."""
        text = self.api.raw("GET", "/v1/metrics").body.decode()
        return next((int(line.split()[-1]) for line in text.splitlines()
                     if line.startswith(f'wrenn_resumes_total{{way="{way}"}}')), 0)

    def kill_machine(self, sandbox):
        """Kills the machine that stands by, and waits until the server has noticed."""
        os.kill(self.machine(), signal.SIGKILL)
        wait_for("the end of its files", lambda: not [
            name for name in os.listdir(f"{self.server.root}/sandboxes/{sandbox}") if "disk-" in name])


class Standby(StandbyTest):
    def test_ten_pauses(self):
        sandbox = self.start()
        machine, changes, before = self.machine(), 0, self.resumes("standby")
        for cycle in range(10):
            self.assertEqual(self.post(sandbox, "pause")["status"], "paused")
            self.assertEqual(self.machine(), machine)
            self.assertEqual(self.post(sandbox, "resume")["status"], "running")
            now = ramcheck.check(self.api, sandbox)
            self.assertGreater(now, changes, f"cycle {cycle}: it does not go on")
            changes = now
        self.assertEqual(self.machine(), machine)
        self.assertEqual(self.resumes("standby") - before, 10)
        # The files alone say the same.
        self.post(sandbox, "pause")
        self.kill_machine(sandbox)
        self.post(sandbox, "resume")
        self.assertGreaterEqual(ramcheck.check(self.api, sandbox), changes)

    def test_the_independent_reader_agrees(self):
        sandbox = self.start()
        for _ in range(3):
            pages = ramcheck.hold(self.api, sandbox)
            self.post(sandbox, "pause")
            ramcheck.check_snapshot(self.server, sandbox, pages)
            self.post(sandbox, "resume")
            ramcheck.release(self.api, sandbox)
            ramcheck.check(self.api, sandbox)

    def test_the_guest_is_told_what_it_is_told_after_a_restore(self):
        sandbox = self.sandbox(timeout_sec=0)
        look = "hostname; cat /etc/machine-id; head -c 16 /dev/urandom | md5sum"
        before = self.api.sh(sandbox, look, user="root")["stdout"].split("\n")
        self.post(sandbox, "pause")
        time.sleep(3)  # that the guest does not see, but for its clock
        self.post(sandbox, "resume")
        after = self.api.sh(sandbox, look, user="root")["stdout"].split("\n")
        self.assertEqual(after[0], sandbox)
        self.assertEqual(after[1], before[1])
        self.assertNotEqual(after[2], before[2])
        clock = float(self.api.sh(sandbox, "date +%s")["stdout"])
        self.assertLess(abs(clock - time.time()), 2.5)

    def test_connections_end_and_programs_go_on(self):
        sandbox = self.sandbox(timeout_sec=0)
        answers = []
        client = threading.Thread(target=lambda: answers.append(self.api.call(
            "POST", f"/v1/sandboxes/{sandbox}/exec", {"cmd": "sleep", "args": ["1000"]})))
        client.start()
        processes = f"/v1/sandboxes/{sandbox}/processes"
        (process,) = wait_for("its start", lambda: self.api.call("GET", processes, expect=200).json())
        self.post(sandbox, "pause")
        client.join(10)
        self.assertFalse(client.is_alive(), "its client still waits")
        self.assertNotEqual(answers[0].status, 200)
        self.post(sandbox, "resume")
        self.assertIn(process["pid"], [p["pid"] for p in self.api.call("GET", processes).json()])

    def test_forks_and_snapshots_of_it(self):
        sandbox = self.start()
        self.post(sandbox, "pause")
        changes = ramcheck.check(self.api, self.fork(sandbox))
        self.api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": "standing"}, expect=201)
        self.addCleanup(self.api.call, "DELETE", "/v1/snapshots/standing")
        verdict = self.api.call("POST", "/v1/snapshots/standing/verify", expect=200).json()
        self.assertTrue(verdict["ok"], verdict)
        ramcheck.check(self.api, self.sandbox(template="standing", timeout_sec=0))
        before = self.resumes("standby")
        self.post(sandbox, "resume")
        self.assertEqual(self.resumes("standby") - before, 1)
        self.assertGreater(changes, 0)
        ramcheck.check(self.api, sandbox)

    def fork(self, sandbox):
        (child,) = self.api.call("POST", f"/v1/sandboxes/{sandbox}/fork", {"count": 1},
                                 expect=201).json()["sandboxes"]
        self.addCleanup(self._remove, child["id"])
        return child["id"]

    def test_a_killed_server_leaves_a_paused_sandbox(self):
        sandbox = self.start()
        changes = ramcheck.check(self.api, sandbox)
        self.post(sandbox, "pause")
        self.server.kill()
        self.assertEqual(len(self.server.machines()), 1)
        self.server.start()
        self.assertEqual(self.api.get(sandbox)["status"], "paused")
        self.assertEqual(self.server.machines(), {})
        self.post(sandbox, "resume")
        self.assertGreaterEqual(ramcheck.check(self.api, sandbox), changes)

    def test_a_server_that_ends_leaves_none(self):
        sandbox = self.start()
        self.post(sandbox, "pause")
        self.server.stop()
        self.assertEqual(self.server.machines(), {})
        self.server.start()
        self.post(sandbox, "resume")
        ramcheck.check(self.api, sandbox)

    def test_stopped_and_removed(self):
        stopped, removed = self.sandbox(timeout_sec=0), self.sandbox(timeout_sec=0)
        for sandbox in (stopped, removed):
            self.post(sandbox, "pause")
        begin = time.monotonic()
        self.assertEqual(self.post(stopped, "stop")["status"], "stopped")
        self.assertLess(time.monotonic() - begin, 4, "it waited for a guest that stands still")
        self.api.delete(removed)
        self.assertEqual(self.server.machines(), {})
        self.api.delete(stopped)
        self.server.assert_nothing_left()


class ShortStandby(StandbyTest):
    settings = {"env": {"WRENN_STANDBY": "1"}}

    def test_it_ends_in_its_time(self):
        sandbox = self.start()
        changes = ramcheck.check(self.api, sandbox)
        self.post(sandbox, "pause")
        wait_for("the machine's end", lambda: not self.server.machines(), 10)
        self.assertEqual(self.api.get(sandbox)["status"], "paused")
        self.post(sandbox, "resume")
        self.assertEqual(self.resumes("restore"), 1)
        self.assertGreaterEqual(ramcheck.check(self.api, sandbox), changes)


class LittleMemory(StandbyTest):
    settings = {"env": {"WRENN_STANDBY": "60", "WRENN_MAX_MEMORY_MB": "512"}}

    def test_a_create_that_needs_its_memory_gets_it(self):
        first = self.start(memory_mb=128)
        self.post(first, "pause")
        machine = self.machine()
        running = [self.sandbox(timeout_sec=0, memory_mb=128) for _ in range(4)]
        self.assertEqual(len(self.server.machines()), 4)
        self.assertNotIn(machine, self.server.machines())
        for sandbox in running:
            self.api.sh(sandbox, "true")
        self.assertEqual(self.api.get(first)["status"], "paused")
        self.post(first, "resume", expect=429)
        self.api.delete(running[0])
        self.post(first, "resume")
        ramcheck.check(self.api, first)
