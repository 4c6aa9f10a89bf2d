"""The server, or the machine, is killed at every step of every transition. Afterwards each sandbox is
what its record says, what it held is there, and nothing is left over."""

import contextlib
import itertools
import json
import os
import sqlite3
import threading

import ramcheck
from faults import SEED, FaultTest
from harness import unique, wait_for


class Faults(FaultTest):
    def test_create(self):
        self.api.delete(self.seeded())
        self.each_fault("create", self.steps("create"), lambda *_: self.check_made(self.make()))

    def make(self):
        return self.attempt("POST", "/v1/sandboxes", {"template": SEED, "timeout_sec": 0})

    def check_made(self, answer):
        self.revive()
        listed = {record["id"]: self.outcome(record["id"]) for record in self.api.list()}
        if answer is not None and answer.status == 201:
            self.assertIn(answer.json()["id"], listed)
        for sandbox, status in listed.items():
            # It may have come up though its caller was told nothing; or it tells what happened.
            if status != "running":
                self.assert_ended(sandbox)

    def assert_ended(self, sandbox):
        record = self.record(sandbox)
        self.assertEqual(record["status"], "error")
        self.assertTrue(record["reason"])

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

        def body(victim, step, _):
            create()
            self.revive()
            for record in self.api.list():
                if record["status"] == "running":
                    self.assertEqual(self.api.sh(record["id"], "echo here")["stdout"], "here\n")
                else:
                    self.assert_ended(record["id"])
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

        def body(victim, step, _):
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
        """Faults of the parent, whose snapshot is none that stays, and of the children."""
        self.restart()
        parent = self.seeded()
        self.api.call("POST", f"/v1/sandboxes/{parent}/fork", {"count": 2}, expect=201)
        steps = {transition: self.steps(transition) for transition in ("snapshot", "create")}
        self.assertIn("switch", steps["snapshot"])
        self.assertNotIn("digests", steps["snapshot"])
        steps["create"].remove("record")
        self.clean_up()
        for transition in steps:
            def body(victim, step, parent):
                answer = self.attempt("POST", f"/v1/sandboxes/{parent}/fork", {"count": 2})
                self.revive()
                if victim == "machine" and transition == "snapshot":
                    self.assertEqual(self.outcome(parent), "error")
                else:
                    self.is_whole(parent)
                children = self.children(parent)
                if answer is not None and answer.status == 201:
                    self.assertEqual(children, {child["id"] for child in answer.json()["sandboxes"]})
                elif answer is not None:
                    self.assertEqual(children, set())
                for child in children:
                    if self.outcome(child) != "running":
                        self.assert_ended(child)

            self.each_fault(transition, steps[transition], body, self.seeded)

    def children(self, parent):
        return {record["id"] for record in self.api.list() if record["origin"] == f"fork of {parent}"}

    def test_between_two_children(self):
        """Who gets no answer, since the server was killed, finds of the children what there is."""
        self.restart(WRENN_MAX_PARALLEL_STARTS="1")
        parent = self.seeded()
        client = threading.Thread(target=self.attempt, args=(
            "POST", f"/v1/sandboxes/{parent}/fork", {"count": 3}))
        client.start()
        wait_for("a first child", lambda: any(
            self.record(child)["status"] == "running" for child in self.children(parent)))
        self.server.kill()
        client.join()
        self.revive()
        self.is_whole(parent)
        states = [self.outcome(child) for child in self.children(parent)]
        self.assertIn("running", states)  # outcome() has it checked
        self.assertLess(states.count("running"), 3)
        self.clean_up()

    def test_claim_from_the_pool(self):
        environment = {"WRENN_WARM_POOL": f"{SEED}=1"}
        self.restart(**environment)
        self.wait_for_the_pool()
        self.api.delete(self.seeded())
        steps = self.steps("create")
        self.assertNotIn("state", steps)

        def body(*_):
            self.wait_for_the_pool()
            self.check_made(self.make())
        self.each_fault("create", steps, body, **environment)

    def wait_for_the_pool(self):
        line = f'wrenn_warm_machines{{template="{SEED}"}} 1'
        wait_for("the pool", lambda: line in self.api.raw("GET", "/v1/metrics").body.decode())

    def test_a_machine_for_the_pool(self):
        environment = {"WRENN_WARM_POOL": "auto"}
        self.restart(**environment)
        self.api.delete(self.seeded())
        self.wait_for_the_pool()
        steps = self.steps("pool")
        self.assertIn("exercise", steps)

        def body(victim, step, _):
            answer = self.make()  # behind which one is made for the pool, or beside it
            if victim == "server":
                self.server.process.wait(20)
            else:
                wait_for("the end of a machine", lambda: self.has_ended("pool", step))
                self.assertEqual(self.outcome(self.seeded()), "running")  # of another one
            self.check_made(answer)

        self.each_fault("pool", steps, body, victims=("server",), **environment)
        self.each_fault("pool", ["exercise"], body, victims=("machine",), **environment)

    def test_tidy(self):
        """Behind a pause, small layers and files of memory are merged."""
        def cycle(sandbox):
            self.attempt("POST", f"/v1/sandboxes/{sandbox}/pause")
            return self.attempt("POST", f"/v1/sandboxes/{sandbox}/resume")  # when it is tidied up
        sandbox = self.seeded()
        count = 0
        while not self.has_ended("tidy", "commit"):
            cycle(sandbox)
            count += 1
        steps = self.steps("tidy")
        for _ in range(count - 2):
            cycle(sandbox)
        nearly = unique("s")
        self.api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": nearly}, expect=201)
        self.api.delete(sandbox)

        def body(victim, step, sandbox):
            for _ in range(count):
                if cycle(sandbox) is None:
                    break
            self.assertIsNotNone(self.server.process.poll())
            self.revive()
            self.is_whole(sandbox)

        self.each_fault("tidy", steps, body, victims=("server",),
                        prepare=lambda: self.api.create(template=nearly, timeout_sec=0)["id"])
        self.api.call("DELETE", f"/v1/snapshots/{nearly}", expect=204)

    def test_shorten(self):
        """While many snapshots of it are taken, the layers of its disk are merged."""
        def snapshots(sandbox, count):
            for _ in range(count):
                if self.attempt("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": unique("s")}) is None:
                    return
        sandbox = self.seeded()
        snapshots(sandbox, 12)
        wait_for("a merge", lambda: self.has_ended("shorten", "remove"))
        steps = self.steps("shorten")
        self.api.delete(sandbox)

        def body(victim, step, _):
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

    def layers(self, sandbox):
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            (disk,) = store.execute("SELECT disk FROM sandboxes WHERE id = ?", (sandbox,)).fetchone()
        return set(json.loads(disk)["layers"])


class StandbyFaults(FaultTest):
    """The same where a paused sandbox's machine stands by."""

    environment = {"WRENN_STANDBY": "60"}

    def test_pause(self):
        self.restart()
        self.pauses()

    def test_resume(self):
        self.restart()
        self.resumes()

    def test_its_end(self):
        self.environment = {"WRENN_STANDBY": "1"}

        def paused():
            sandbox = self.seeded()
            self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
            return sandbox
        self.restart()
        sandbox = paused()
        wait_for("its end", lambda: self.has_ended("standby", "release"))
        steps = self.steps("standby")
        self.api.delete(sandbox)

        def body(victim, step, _):
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
