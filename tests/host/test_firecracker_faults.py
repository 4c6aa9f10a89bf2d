"""The server, or the VMM, is killed at every step of a Firecracker sandbox's life. After a restart each
sandbox is what its record says, and the host is as it was."""

import contextlib
import http.client
import os
import signal
import threading
import time

from firecracker_host import FirecrackerTest, vmm_of, vmms
from harness import wait_for

# So many of the steps are left out between two that are tried, and before the first one.
LEFT_OUT = int(os.environ.get("WRENN_HOST_FAULTS_LEFT_OUT", "5"))
FIRST = int(os.environ.get("WRENN_HOST_FAULTS_FIRST", "0"))
# Steps below those that the server times (src/disk/dm_snapshot.cc, src/sandbox/host_share.cc).
TAKE = ["disk.changes", "disk.origin", "disk.device", "disk.table", "disk.active", "disk.node",
        "host.slot", "host.cgroup"]
GIVE_BACK = ["disk.device-gone", "disk.changes-gone", "disk.origin-gone", "host.slot-gone",
             "host.cgroup-gone"]


class FirecrackerFaults(FirecrackerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.points = 0
        # Two lives without faults tell the steps.
        api = cls.server.api
        stopped, removed = (api.create(timeout_sec=0)["id"] for _ in range(2))
        api.call("POST", f"/v1/sandboxes/{stopped}/stop", expect=200)
        api.delete(stopped)
        api.delete(removed)
        metrics = api.raw("GET", "/v1/metrics").body.decode()
        cls.steps = {transition: cls.steps_in(metrics, transition) for transition in ("create", "stop", "remove")}

    @classmethod
    def tearDownClass(cls):
        print(f"\n  {cls.points} fault points tried", flush=True)
        super().tearDownClass()

    def setUp(self):
        self.restart()
        self.before = self.settled()

    @staticmethod
    def steps_in(metrics, transition):
        """The names of a transition's steps, as the server has timed them."""
        prefix = f'wrenn_phase_seconds_count{{transition="{transition}",phase="'
        names = [line[len(prefix):].split('"')[0] for line in metrics.splitlines() if line.startswith(prefix)]
        assert names, metrics
        return [f"{transition}.{name}" for name in names if name not in ("total", "undo")]

    def made(self):
        try:
            return self.api.create(timeout_sec=0)["id"]
        except (AssertionError, OSError, http.client.HTTPException) as error:
            # One that fails meets the faults of giving back.
            raise AssertionError(f"a create failed: {error!r}\n{self.server.read_log()}") from None

    def attempt(self, method, path, body=None):
        """Asks for something that may end the server. None when there was no answer."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.api.call(method, path, body)
        self.server.process.wait(20)
        return None

    def each_fault(self, victim, steps, body):
        stride = LEFT_OUT + 1
        for step in steps[FIRST % min(stride, len(steps))::stride]:
            with self.subTest(f"{step}={victim}"):
                self.restart(f"{step}={victim}")
                type(self).points += 1
                try:
                    body(step)
                finally:
                    if "WRENN_FAULT" in self.server.settings["env"]:
                        self.restart()
                    self.remove_all()
                self.assert_as_before(self.before)

    def is_what_its_record_says(self, record):
        """Running ones answer; ended ones say why, and have no VMM."""
        if record["status"] == "running":
            self.assertEqual(self.api.sh(record["id"], "echo here")["stdout"], "here\n")
            return
        self.assertIn(record["status"], ("stopped", "error"))
        self.assertTrue(record["reason"], record)
        self.assertNotIn(record["id"], vmms().values())

    def died(self):
        """The server has ended by the fault; a new one, without one."""
        self.assertIsNotNone(self.server.process.poll(), "the fault point was not reached")
        self.restart()

    def test_create(self):
        def server(step):
            self.attempt("POST", "/v1/sandboxes", {"template": "minimal", "timeout_sec": 0})
            self.died()
            for record in self.api.list():
                self.assertEqual(record["status"], "error")
                self.assertIn("the server ended while the sandbox was starting", record["reason"])
                self.is_what_its_record_says(record)

        def vmm(step):
            answer = self.attempt("POST", "/v1/sandboxes", {"template": "minimal", "timeout_sec": 0})
            if answer.status == 201:
                made = answer.json()["id"]
                ended = wait_for("the record of its end", lambda: self.api.get(made)["status"] == "error"
                                 and self.api.get(made))
                self.assertIn("signal 9", ended["reason"])
            else:
                self.assertIn("signal 9", answer.error()["message"])
                self.assertEqual(self.api.list(), [])

        self.each_fault("server", self.steps["create"] + TAKE, server)
        self.each_fault("machine", ["create.vmm", "create.agent", "create.init"], vmm)

    def test_server_is_killed_as_soon_as_a_vmm_runs(self):
        """Before anything of it is recorded."""
        for delay in (0, 0.05, 0.2):
            with self.subTest(delay):
                type(self).points += 1
                asked = threading.Thread(target=self.attempt, args=(
                    "POST", "/v1/sandboxes", {"template": "minimal", "timeout_sec": 0}))
                asked.start()
                wait_for("a VMM", vmms)
                time.sleep(delay)
                self.server.kill()
                asked.join()
                self.restart()
                for record in self.api.list():
                    self.assertEqual(record["status"], "error")
                    self.is_what_its_record_says(record)
                self.remove_all()
                self.assert_as_before(self.before)

    def test_end_by_itself(self):
        def server(step):
            sandbox = self.made()
            os.kill(vmm_of(sandbox), signal.SIGKILL)
            self.server.process.wait(20)
            self.died()
            record = self.api.get(sandbox)
            self.assertEqual(record["status"], "error")
            self.assertIn("the machine ended while the server was away", record["reason"])
            self.is_what_its_record_says(record)

        self.each_fault("server", [*GIVE_BACK, "exit.release"], server)

    def test_stop(self):
        def server(step):
            sandbox = self.made()
            self.attempt("POST", f"/v1/sandboxes/{sandbox}/stop")
            self.died()
            record = self.api.get(sandbox)
            self.assertEqual(record["status"], "stopped")
            self.is_what_its_record_says(record)

        def vmm(step):
            sandbox = self.made()
            stopped = self.api.call("POST", f"/v1/sandboxes/{sandbox}/stop", expect=200).json()
            self.assertEqual(stopped["status"], "stopped")
            self.is_what_its_record_says(stopped)

        self.each_fault("server", self.steps["stop"] + GIVE_BACK, server)
        self.each_fault("machine", ["stop.record"], vmm)

    def test_remove(self):
        def server(step):
            sandbox = self.made()
            self.attempt("DELETE", f"/v1/sandboxes/{sandbox}")
            self.died()
            self.assertEqual(self.api.list(), [])

        def vmm(step):
            self.api.delete(self.made())
            self.assertEqual(self.api.list(), [])

        self.each_fault("server", self.steps["remove"] + GIVE_BACK, server)
        self.each_fault("machine", ["remove.record"], vmm)
