"""Memory and files come through any number of pauses, snapshots and forks, and nobody's get mixed."""

import os
import tempfile
import threading

import ramcheck
from harness import ServerTest, unique

CYCLES = int(os.environ.get("WRENN_CYCLES", "50"))


class Integrity(ServerTest):
    def start(self):
        sandbox = self.sandbox(timeout_sec=0)
        ramcheck.start(self.api, sandbox)
        return sandbox

    def pause(self, sandbox):
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)

    def resume(self, sandbox):
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)

    def events(self, sandbox):
        return self.api.call("GET", f"/v1/sandboxes/{sandbox}/events", expect=200).json()

    def snapshot_folder(self, sandbox):
        import contextlib
        import sqlite3
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            row = store.execute("SELECT snapshot FROM sandboxes WHERE id = ?", (sandbox,)).fetchone()
        return f"{self.server.root}/snapshots/{row[0]}"

    def test_pauses(self):
        sandbox = self.start()
        changes = 0
        for cycle in range(CYCLES):
            self.pause(sandbox)
            self.assertEqual(self.server.machines(), {})
            self.resume(sandbox)
            now = ramcheck.check(self.api, sandbox)
            self.assertGreater(now, changes, f"cycle {cycle}: it does not go on")
            changes = now
        # However often: neither files nor layers pile up.
        self.pause(sandbox)
        names = os.listdir(self.snapshot_folder(sandbox))
        self.assertLessEqual(sum(name.startswith("disk-") for name in names), 12, names)
        self.assertLessEqual(sum(name.startswith("memory-") for name in names), 40, names)
        self.resume(sandbox)
        ramcheck.check(self.api, sandbox)

    def test_the_independent_reader_agrees(self):
        sandbox = self.start()
        for _ in range(3):
            seeds = ramcheck.hold(self.api, sandbox)
            self.pause(sandbox)
            with tempfile.TemporaryDirectory(dir=self.server.directory) as folder:
                ram = f"{folder}/ram"
                ramcheck.read_snapshot(self.snapshot_folder(sandbox), ram)
                found = ramcheck.find_pages(ram)
            self.assertGreater(len(seeds), ramcheck.PAGES // 8)
            missing = {index for index, seed in seeds.items() if seed not in found.get(index, ())}
            self.assertEqual(missing, set())
            self.resume(sandbox)
            ramcheck.release(self.api, sandbox)
            ramcheck.check(self.api, sandbox)

    def test_generations_of_snapshots(self):
        sandbox = self.start()
        names = []
        for generation in range(20):
            name = unique("generation")
            self.api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": name}, expect=201)
            names.append(name)
            ramcheck.check(self.api, sandbox)  # the parent is as it was
            child = self.sandbox(template=name, timeout_sec=0)
            ramcheck.check(self.api, child)
            self.api.delete(sandbox)
            sandbox = child
        for name in names[:-1]:
            self.api.call("DELETE", f"/v1/snapshots/{name}", expect=204)
        again = self.sandbox(template=names[-1], timeout_sec=0)
        ramcheck.check(self.api, again)
        ramcheck.check(self.api, sandbox)
        self.api.call("DELETE", f"/v1/snapshots/{names[-1]}", expect=204)
        ramcheck.check(self.api, again)

    def test_a_tree_of_forks(self):
        """Five deep; all go on writing while the next ones are forked."""
        family = [self.start()]
        for depth in range(5):
            made = self.api.call("POST", f"/v1/sandboxes/{family[-1]}/fork", {"count": 2},
                                 expect=201).json()["sandboxes"]
            for child in made:
                self.addCleanup(self._remove, child["id"])
                family.append(child["id"])
        failures = []

        def look(sandbox):
            try:
                first = ramcheck.check(self.api, sandbox)
                name = self.api.exec(sandbox, "hostname")["stdout"].strip()
                if name != sandbox or ramcheck.check(self.api, sandbox) < first:
                    failures.append((sandbox, name))
            except AssertionError as error:
                failures.append((sandbox, error))

        threads = [threading.Thread(target=look, args=(sandbox,)) for sandbox in family]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(self.server.machines()), len(family))
