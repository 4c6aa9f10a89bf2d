"""The server, or the machine, is killed at every step of every transition. Afterwards each sandbox is
what its record says, what it held is there, and nothing is left over.

The steps are those that the server itself times (src/sandbox/phases.h); $WRENN_FAULT names one."""

import contextlib
import http.client
import itertools
import json
import os
import sqlite3

import ramcheck
from harness import ServerTest, unique, wait_for

SEED = "seed"  # a snapshot of a sandbox in which ramcheck runs


class FaultTest(ServerTest):
    standby = "off"

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

    def restart(self, fault=""):
        self.server.stop()
        self.server.settings["env"] = {"WRENN_STANDBY": self.standby, "WRENN_FAULT": fault}
        self.server.start()

    def steps(self, transition):
        """The names of a transition's steps, as the server has timed them."""
        text = self.api.raw("GET", "/v1/metrics").body.decode()
        prefix = f'wrenn_phase_seconds_count{{transition="{transition}",phase="'
        names = [line[len(prefix):].split('"')[0] for line in text.splitlines() if line.startswith(prefix)]
        assert names, text
        return [name for name in names if name not in ("total", "undo")]

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
        passing = ("starting", "pausing", "resuming", "stopping")
        return wait_for("the end of a transition", lambda: self._steady(sandbox, passing), 60)

    def _steady(self, sandbox, passing):
        record = self.record(sandbox)
        return record if record["status"] not in passing else None

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
        """Its memory and files are right, whether it runs or is paused."""
        if self.record(sandbox)["status"] == "paused":
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        self.assertEqual(self.record(sandbox)["status"], "running")
        ramcheck.check(self.api, sandbox)

    def each_fault(self, transition, steps, body):
        """Calls body(victim, step) for each fault, on a server that it will happen to."""
        for victim in ("server", "machine"):
            for step in steps:
                fault = f"{transition}.{step}={victim}"
                with self.subTest(fault):
                    self.restart(fault)
                    type(self).points += 1
                    body(victim, step)
                    self.clean_up()

    def clean_up(self):
        self.restart()
        for sandbox in self.api.list():
            self.settle(sandbox["id"])
            self.api.delete(sandbox["id"])
        self.server.assert_nothing_left()
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            self.assertEqual(store.execute("SELECT count(*) FROM sandboxes").fetchone()[0], 0)
        self.assertEqual([name for name in os.listdir(f"{self.server.root}/snapshots")
                          if "draft" in name], [])

    def revive(self):
        """After a fault: has a server run without one, and waits for all transitions."""
        self.restart()
        for sandbox in self.api.list():
            self.settle(sandbox["id"])

    def pauses(self):
        sandbox = self.seeded()
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        steps = self.steps("pause")
        self.api.delete(sandbox)
        def body(victim, step):
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
            self.is_whole(sandbox)
            self.assertGreaterEqual(ramcheck.check(self.api, sandbox), changes)

        self.each_fault("pause", steps, body)

    def resumes(self):
        sandbox = self.seeded()
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        steps = self.steps("resume")
        self.api.delete(sandbox)
        def body(victim, step):
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


class Faults(FaultTest):
    def test_create(self):
        sandbox = self.seeded()
        self.api.delete(sandbox)
        def body(victim, step):
            self.attempt("POST", "/v1/sandboxes", {"template": SEED, "timeout_sec": 0})
            self.revive()
            for record in self.api.list():
                # Its caller was told nothing; it may have come up, or tells what happened.
                if self.outcome(record["id"]) != "running":
                    self.assertEqual(self.record(record["id"])["status"], "error")
                    self.assertTrue(self.record(record["id"])["reason"])

        self.each_fault("create", self.steps("create"), body)

    def test_boot(self):
        """The steps that a create has only where the template's machine was never booted so."""
        self.restart()
        self.api.delete(self.seeded())
        others = self.steps("create")
        sizes = itertools.count(2000)  # of their disks: one that is new is booted

        def create():
            return self.attempt("POST", "/v1/sandboxes", {
                "template": "minimal", "timeout_sec": 0, "disk_mb": next(sizes)})
        self.api.delete(create().json()["id"])
        steps = [step for step in self.steps("create") if step not in others]
        self.assertIn("warm", steps)

        def body(victim, step):
            create()
            self.revive()
            for record in self.api.list():
                if record["status"] == "running":
                    self.assertEqual(self.api.sh(record["id"], "echo here")["stdout"], "here\n")
                else:
                    self.assertEqual(record["status"], "error")
                    self.assertTrue(record["reason"])
        self.each_fault("create", steps, body)
        # What was left of a machine that was to be kept warm harms nobody.
        self.assertEqual(self.api.get(self.sandbox(disk_mb=2001))["status"], "running")

    def test_pause(self):
        self.pauses()

    def test_resume(self):
        self.resumes()

    def test_snapshot(self):
        sandbox = self.seeded()
        self.api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": unique("s")}, expect=201)
        steps = self.steps("snapshot")
        self.api.delete(sandbox)
        def body(victim, step):
            sandbox = self.seeded()
            name = unique("s")
            answer = self.attempt("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": name})
            self.revive()
            if victim == "server":
                self.is_whole(sandbox)
            else:
                self.assertEqual(self.outcome(sandbox), "error")
            there = self.api.call("GET", f"/v1/snapshots/{name}").status == 200
            if answer is not None and answer.status == 201:
                self.assertTrue(there)
            if there:
                verdict = self.api.call("POST", f"/v1/snapshots/{name}/verify", expect=200).json()
                self.assertTrue(verdict["ok"], verdict)
                child = self.api.create(template=name, timeout_sec=0)["id"]
                ramcheck.check(self.api, child)
                self.api.call("DELETE", f"/v1/snapshots/{name}", expect=204)

        self.each_fault("snapshot", steps, body)

    def test_fork(self):
        """Faults in the children; those of the parent's snapshot are the ones of test_snapshot."""
        sandbox = self.seeded()
        steps = self.steps("create")
        self.api.delete(sandbox)
        def body(victim, step):
            # The parent must not meet the fault itself.
            self.restart()
            parent = self.seeded()
            self.restart(f"create.{step}={victim}")
            answer = self.attempt("POST", f"/v1/sandboxes/{parent}/fork", {"count": 2})
            self.revive()
            self.is_whole(parent)
            if answer is not None and answer.status == 201:
                for child in answer.json()["sandboxes"]:
                    self.assertIn(self.outcome(child["id"]), ("running", "error"))

        self.each_fault("create", [step for step in steps if step != "record"], body)

    def test_shorten(self):
        """While many snapshots of it are taken, the layers of its disk are merged."""
        def snapshots(sandbox, count):
            for _ in range(count):
                if self.attempt("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": unique("s")}) is None:
                    return
        sandbox = self.seeded()
        snapshots(sandbox, 12)
        steps = wait_for("a merge", lambda: self.shorten_steps(), 20)
        self.api.delete(sandbox)
        def body(victim, step):
            sandbox = self.seeded()
            # The merge goes on behind one of them, and the fault hits in it or at the next.
            snapshots(sandbox, 8)
            if victim == "server":
                self.server.process.wait(20)
            self.revive()
            if victim == "machine":
                self.assertEqual(self.outcome(sandbox), "error")
            else:
                self.is_whole(sandbox)
                folder = f"{self.server.root}/sandboxes/{sandbox}"
                files = {name for name in os.listdir(folder) if name.startswith("disk-")}
                self.assertEqual(files, self.layers(sandbox))
                # All of it comes back from the disk.
                self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
                self.is_whole(sandbox)
            for record in self.api.call("GET", "/v1/templates", expect=200).json():
                if record["type"] == "snapshot" and record["name"] != SEED:
                    self.api.call("DELETE", f"/v1/snapshots/{record['name']}", expect=204)

        self.each_fault("shorten", steps, body)

    def shorten_steps(self):
        """The steps of a merge, when there has been a whole one."""
        with contextlib.suppress(AssertionError):
            steps = self.steps("shorten")
            return steps if "remove" in steps else None

    def layers(self, sandbox):
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            (disk,) = store.execute("SELECT disk FROM sandboxes WHERE id = ?", (sandbox,)).fetchone()
        return set(json.loads(disk)["layers"])


class StandbyFaults(FaultTest):
    """The same where a paused sandbox's machine stands by."""

    standby = "60"

    def test_pause(self):
        self.restart()
        self.pauses()

    def test_resume(self):
        self.restart()
        self.resumes()

    def test_its_end(self):
        self.standby = "1"
        def paused():
            sandbox = self.seeded()
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
            return sandbox
        self.restart()
        sandbox = paused()
        steps = wait_for("its end", lambda: self.ended_steps(), 20)
        self.api.delete(sandbox)
        def body(victim, step):
            sandbox = paused()
            if victim == "server":
                self.server.process.wait(20)
            else:
                wait_for("the machine's end", lambda: not self.server.machines(), 20)
            self.revive()
            self.assertEqual(self.server.machines(), {})
            self.assertEqual(self.record(sandbox)["status"], "paused")
            self.is_whole(sandbox)

        self.each_fault("standby", steps, body)

    def ended_steps(self):
        with contextlib.suppress(AssertionError):
            steps = self.steps("standby")
            return steps if "release" in steps else None
