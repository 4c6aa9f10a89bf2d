"""Memory and files come through any number of pauses, snapshots and forks, and nobody's get mixed."""

import os
import threading

import ramcheck
from harness import ServerTest, unique, wait_for

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

    def pause_and_read(self, sandbox):
        """The independent reader finds in the pause's snapshot what the guest says that it has."""
        pages = ramcheck.hold(self.api, sandbox)
        self.assertIn(0, [seed for _, seed, _ in pages])
        self.pause(sandbox)
        ramcheck.check_snapshot(self.server, sandbox, pages)
        self.resume(sandbox)
        ramcheck.release(self.api, sandbox)
        ramcheck.check_cold(self.api, sandbox)

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
            if cycle == 5:
                descriptors, memory = self.server.descriptors(), self.server.rss_kib()
                self.pause_and_read(sandbox)
        # However often: neither files nor layers pile up, and the server is as it was.
        self.pause_and_read(sandbox)
        names = os.listdir(f"{self.server.root}/sandboxes/{sandbox}")
        self.assertLessEqual(sum(name.startswith("disk-") for name in names), 12, names)
        self.assertLessEqual(sum(name.startswith("memory-") for name in names), 40, names)
        self.assertLessEqual(len(names), 60)
        wait_for("as few descriptors as before", lambda: self.server.descriptors() <= descriptors + 4)
        self.assertLess(self.server.rss_kib() - memory, 24 << 10)
        self.api.delete(sandbox)
        self.server.assert_nothing_left()

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
        ramcheck.check(self.api, sandbox)
        self.api.call("DELETE", f"/v1/snapshots/{names[-1]}", expect=204)
        self.pause_and_read(again)

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
        self.pause_and_read(family[-1])
