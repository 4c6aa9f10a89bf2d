"""What the tests of faults stand on: a server, or a machine, that is killed at a step of a transition.

The steps are those that the server itself times (src/sandbox/phases.h); $WRENN_FAULT names one."""

import contextlib
import http.client
import sqlite3

import ramcheck
from harness import ServerTest, wait_for

SEED = "seed"  # a snapshot of a sandbox in which ramcheck runs
PASSING = ("starting", "pausing", "resuming", "stopping")


class FaultTest(ServerTest):
    environment = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        api = cls.server.api
        sandbox = api.create(timeout_sec=0)["id"]
        ramcheck.start(api, sandbox)
        api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": SEED}, expect=201)
        api.delete(sandbox)
        cls.points = 0

    @classmethod
    def tearDownClass(cls):
        print(f"\n  {cls.points} fault points tried")
        super().tearDownClass()

    def restart(self, fault="", **environment):
        self.server.stop()
        self.server.settings["env"] = {**self.environment, **environment, "WRENN_FAULT": fault}
        self.server.start()

    def steps(self, transition):
        """The names of a transition's steps, as the server has timed them."""
        text = self.api.raw("GET", "/v1/metrics").body.decode()
        prefix = f'wrenn_phase_seconds_count{{transition="{transition}",phase="'
        names = [line[len(prefix):].split('"')[0] for line in text.splitlines() if line.startswith(prefix)]
        assert names, text
        return [name for name in names if name not in ("total", "undo")]

    def has_ended(self, transition, step):
        with contextlib.suppress(AssertionError):
            return step in self.steps(transition)

    def seeded(self):
        return self.api.create(template=SEED, timeout_sec=0)["id"]

    def attempt(self, method, path, body=None):
        """Asks for something that may end the server. None when there was no answer."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.api.call(method, path, body)
        self.server.process.wait(20)
        return None

    def record(self, sandbox):
        return self.api.get(sandbox)

    def settle(self, sandbox):
        """Waits until a sandbox is in no transition; answers its record."""
        def look():
            record = self.record(sandbox)
            return record if record["status"] not in PASSING else None
        return wait_for("the end of a transition", look, 60)

    def outcome(self, sandbox):
        """What has become of one whose machine may have been killed: that is noticed a moment later."""
        def look():
            record = self.settle(sandbox)
            if record["status"] == "running":
                try:
                    ramcheck.check(self.api, sandbox)
                except AssertionError:
                    return None
            return record
        return wait_for("the end, or an answer", look, 20)["status"]

    def is_whole(self, sandbox):
        """Its memory and files are right, whether it runs or is paused; answers how often they have
        changed."""
        if self.record(sandbox)["status"] == "paused":
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        self.assertEqual(self.record(sandbox)["status"], "running")
        return ramcheck.check(self.api, sandbox)

    def each_fault(self, transition, steps, body, prepare=lambda: None, victims=("server", "machine"),
                   **environment):
        """Calls body(victim, step, what prepare() has made) for each fault, on a server that it will
        happen to; prepare() is called before."""
        for victim in victims:
            for step in steps:
                fault = f"{transition}.{step}={victim}"
                with self.subTest(fault):
                    try:
                        prepared = prepare()
                        self.restart(fault, **environment)
                        type(self).points += 1
                        body(victim, step, prepared)
                    finally:
                        self.clean_up()

    def clean_up(self):
        self.revive()
        for sandbox in self.api.list():
            self.api.delete(sandbox["id"])
        self.server.assert_nothing_left()
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            self.assertEqual(store.execute("SELECT count(*) FROM sandboxes").fetchone()[0], 0)

    def revive(self):
        """After a fault: has a server run without one, and waits for all transitions. One that was
        not killed has cleared up itself."""
        env, alive = self.server.settings.get("env", {}), self.server.process.poll() is None
        if alive and not env.get("WRENN_FAULT"):
            return
        if alive and "WRENN_WARM_POOL" not in env:
            self.server.assert_nothing_left(self.settle_all())
        self.restart()
        self.settle_all()

    def settle_all(self):
        def look():
            found = self.api.list()
            return None if any(one["status"] in PASSING for one in found) else (found,)
        return wait_for("the end of all transitions", look, 60)[0]

    def pauses(self):
        sandbox = self.seeded()
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        steps = self.steps("pause")
        self.api.delete(sandbox)

        def body(victim, step, _):
            sandbox = self.seeded()
            changes = ramcheck.check(self.api, sandbox)
            answer = self.attempt("POST", f"/v1/sandboxes/{sandbox}/pause")
            self.revive()
            status = self.outcome(sandbox)
            if answer is not None and answer.status == 200:
                self.assertEqual(status, "paused")
            if victim == "server":
                self.assertIn(status, ("running", "paused"))
            elif status == "error":
                # Whoever kills a machine before its snapshot is there ends the sandbox, and no other.
                self.assertNotIn(step, ("commit", "standby", "vmm", "release"))
                self.assertIn("signal 9", self.record(sandbox)["reason"])
                return
            self.assertGreaterEqual(self.is_whole(sandbox), changes)

        self.each_fault("pause", steps, body)

    def resumes(self):
        sandbox = self.seeded()
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        steps = self.steps("resume")
        self.api.delete(sandbox)

        def body(victim, step, _):
            sandbox = self.seeded()
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
            answer = self.attempt("POST", f"/v1/sandboxes/{sandbox}/resume")
            self.revive()
            status = self.outcome(sandbox)
            if answer is None or answer.status != 200:
                # Nothing is lost: it is paused as it was, or has come up all the same.
                self.assertIn(status, ("paused", "running"))
                self.is_whole(sandbox)
            elif status == "error":
                self.assertEqual(victim, "machine")  # killed when it ran already
            else:
                self.is_whole(sandbox)

        self.each_fault("resume", steps, body)
