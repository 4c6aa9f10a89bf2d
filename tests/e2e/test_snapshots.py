"""Pause, resume, fork and snapshots, over the API and the command line."""

import contextlib
import glob
import json
import os
import signal
import sqlite3
import subprocess
import time

from harness import WRENN, ServerTest, unique, wait_for

# Counts from a number that only its own memory holds, in a file system that is memory too.
COUNTER = "n=$1; while :; do n=$((n+1)); echo $n > /dev/shm/count; usleep 20000 2>/dev/null || sleep 0.02; done"


class SnapshotTest(ServerTest):
    def count_from(self, sandbox, number):
        """Starts a counter in the background, and its pid when it counts."""
        started = self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec",
                                {"cmd": "sh", "args": ["-c", COUNTER, "sh", str(number)],
                                 "background": True, "tag": "counter"}, expect=202).json()
        wait_for("the counter", lambda: self.count(sandbox) > number)
        return started["pid"]

    def count(self, sandbox):
        return int(self.api.sh(sandbox, "cat /dev/shm/count 2>/dev/null || echo 0")["stdout"] or 0)

    def assert_counts_on(self, sandbox, since):
        self.assertGreaterEqual(self.count(sandbox), since)
        before = self.count(sandbox)
        wait_for("the counter to go on", lambda: self.count(sandbox) > before)

    def post(self, sandbox, action, body=None, expect=200):
        return self.api.call("POST", f"/v1/sandboxes/{sandbox}/{action}", body, expect=expect).json()

    def snapshot(self, sandbox, name, expect=201, query=""):
        answer = self.api.call("POST", f"/v1/snapshots{query}", {"sandbox_id": sandbox, "name": name},
                               expect=expect).json()
        if expect == 201:
            self.addCleanup(self.api.call, "DELETE", f"/v1/snapshots/{name}")
        return answer

    def details(self, name):
        return self.api.call("GET", f"/v1/snapshots/{name}", expect=200).json()

    def folder(self, name):
        return f"{self.server.root}/snapshots/{self.details(name)['snapshot']['id']}"


class Pause(SnapshotTest):
    def test_memory_files_and_processes_go_on(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.api.sh(sandbox, "echo on-disk > /root/mark; echo in-memory > /dev/shm/mark", user="root")
        pid = self.count_from(sandbox, 1_000_000)
        counted = self.count(sandbox)
        paused = self.post(sandbox, "pause")
        self.assertEqual(paused["status"], "paused")
        self.assertEqual(paused["reason"], "paused on request")
        self.assertEqual(self.server.machines(), {}, "its VMM has ended")
        refused = self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {"cmd": "true"}, expect=409)
        self.assertIn(f"wrenn resume {sandbox}", refused.error()["message"])

        self.assertEqual(self.post(sandbox, "resume")["status"], "running")
        self.assertEqual(len(self.server.machines()), 1)
        self.assert_counts_on(sandbox, counted)
        processes = self.api.call("GET", f"/v1/sandboxes/{sandbox}/processes").json()
        self.assertEqual([(p["pid"], p["tag"]) for p in processes], [(pid, "counter")])
        marks = self.api.sh(sandbox, "cat /root/mark /dev/shm/mark; hostname", user="root")["stdout"]
        self.assertEqual(marks.split(), ["on-disk", "in-memory", sandbox])
        clock = int(self.api.sh(sandbox, "date +%s")["stdout"])
        self.assertLess(abs(clock - time.time()), 10)

    def test_one_that_does_not_fit_any_more_boots_from_its_disk(self):
        def of_another_qemu(folder):
            with open(f"{folder}/manifest.json", encoding="utf-8") as file:
                manifest = json.load(file)
            manifest["fingerprint"]["build"] = "QEMU emulator version 0.0"
            with open(f"{folder}/manifest.json", "w", encoding="utf-8") as file:
                json.dump(manifest, file)

        def assert_booted(sandbox):
            marks = self.api.sh(sandbox, "cat /root/mark; ls /dev/shm", user="root")
            self.assertEqual(marks["stdout"], "on-disk\n")

        sandbox = self.sandbox(timeout_sec=0)
        self.api.sh(sandbox, "echo on-disk > /root/mark; echo in-memory > /dev/shm/mark", user="root")
        self.snapshot(sandbox, "other-qemu")
        of_another_qemu(self.folder("other-qemu"))
        refused = self.api.call("POST", "/v1/sandboxes", {"template": "other-qemu"}, expect=409)
        self.assertIn("--cold", refused.error()["message"])
        made = self.server.wrenn("create", "--template", "other-qemu", "--cold").stdout.strip()
        self.addCleanup(self.api.call, "DELETE", f"/v1/sandboxes/{made}")
        self.assertEqual(self.api.get(made)["origin"], "boot: without the memory of snapshot 'other-qemu'")
        assert_booted(made)

        self.post(sandbox, "pause")
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            folder, = store.execute("SELECT snapshot FROM sandboxes WHERE id = ?", (sandbox,)).fetchone()
        of_another_qemu(f"{self.server.root}/snapshots/{folder}")
        refused = self.post(sandbox, "resume", expect=409)
        self.assertIn("--cold", refused["error"]["message"])
        self.assertEqual(self.api.get(sandbox)["status"], "paused")
        self.server.wrenn("resume", "--cold", sandbox)
        self.assertEqual(self.api.get(sandbox)["origin"], "boot: resumed without its memory")
        assert_booted(sandbox)

    def test_the_second_pause_writes_little(self):
        sandbox = self.sandbox(timeout_sec=0)
        self.api.sh(sandbox, "head -c 30000000 /dev/urandom > /dev/shm/noise; md5sum /dev/shm/noise")
        wanted = self.api.sh(sandbox, "md5sum < /dev/shm/noise")["stdout"]
        for _ in range(2):
            self.post(sandbox, "pause")
            self.post(sandbox, "resume")
        events = self.api.call("GET", f"/v1/sandboxes/{sandbox}/events").json()
        first, second = [e["details"]["memory_bytes"] for e in events
                         if e["kind"] == "pause" and e["phase"] == "done"]
        self.assertGreater(first, 30_000_000)
        self.assertLess(second, 10_000_000)
        self.assertEqual(self.api.sh(sandbox, "md5sum < /dev/shm/noise")["stdout"], wanted)

    def test_wrong_states_and_unknown_ones(self):
        nobody = "sb-00000000000000000000"
        for action in ("pause", "resume", "fork"):
            self.post(nobody, action, expect=404)
        self.snapshot(nobody, "x", expect=404)
        sandbox = self.sandbox(timeout_sec=0)
        self.post(sandbox, "resume", expect=409)
        for count in (0, 101, "2"):
            self.post(sandbox, "fork", {"count": count}, expect=400)
        self.post(sandbox, "pause")
        self.post(sandbox, "pause", expect=409)
        self.post(sandbox, "resume")
        self.post(sandbox, "stop")
        for action in ("pause", "resume", "fork"):
            self.post(sandbox, action, expect=409)
        self.snapshot(sandbox, "x", expect=409)

    def test_idle_ones_are_paused_unless_they_are_to_stop(self):
        pausing = self.sandbox(timeout_sec=1)
        stopping = self.sandbox(timeout_sec=1, on_timeout="stop")
        wait_for("the pause", lambda: self.api.get(pausing)["status"] == "paused")
        wait_for("the stop", lambda: self.api.get(stopping)["status"] == "stopped")
        self.assertIn("idle", self.api.get(pausing)["reason"])

    def test_a_killed_server_finds_both(self):
        paused = self.sandbox(timeout_sec=0)
        running = self.sandbox(timeout_sec=0)
        for number, sandbox in enumerate((paused, running)):
            self.count_from(sandbox, 1_000_000 * (number + 1))
        self.post(paused, "pause")
        self.server.kill()
        self.assertEqual(len(self.server.machines()), 1)
        self.server.start()
        self.assertEqual(self.api.get(paused)["status"], "paused")
        self.assertEqual(self.api.get(running)["status"], "running")
        self.assert_counts_on(running, 2_000_000)
        self.post(paused, "resume")
        self.assert_counts_on(paused, 1_000_000)
        for sandbox in (paused, running):
            self.api.delete(sandbox)
        self.server.assert_nothing_left()


class Fork(SnapshotTest):
    def test_children_go_on_and_the_parent_is_unaffected(self):
        parent = self.sandbox(timeout_sec=0, metadata={"kept": "yes"})
        self.api.sh(parent, "echo before > /root/mark; echo before > /dev/shm/mark", user="root")
        pid = self.count_from(parent, 1_000_000)
        counted = self.count(parent)
        children = self.post(parent, "fork", {"count": 2}, expect=201)["sandboxes"]
        for child in children:
            self.addCleanup(self._remove, child["id"])
        ids = [child["id"] for child in children]
        self.assertEqual(len({parent, *ids}), 3)
        for child in children:
            self.assertEqual(child["origin"], f"fork of {parent}")
            self.assertEqual(child["metadata"], {"kept": "yes"})
            seen = self.api.sh(child["id"], "hostname; cat /root/mark /dev/shm/mark", user="root")
            self.assertEqual(seen["stdout"].split(), [child["id"], "before", "before"])
            self.assert_counts_on(child["id"], counted)
        # What one writes the others do not see.
        for sandbox in ids:
            self.api.sh(sandbox, f"echo {sandbox} > /root/mark; echo {sandbox} > /dev/shm/mark",
                        user="root")
        for sandbox, mark in ((parent, "before"), *zip(ids, ids)):
            seen = self.api.sh(sandbox, "cat /root/mark /dev/shm/mark", user="root")["stdout"]
            self.assertEqual(seen.split(), [mark, mark])
        self.assertEqual(self.api.get(parent)["status"], "running")
        self.assert_counts_on(parent, counted)
        processes = self.api.call("GET", f"/v1/sandboxes/{parent}/processes").json()
        self.assertEqual([p["pid"] for p in processes], [pid])
        # Each has randomness of its own.
        noise = {self.api.sh(i, "head -c 16 /dev/urandom | md5sum")["stdout"] for i in (parent, *ids)}
        self.assertEqual(len(noise), 3)
        # A child outlives its parent.
        self.api.delete(parent)
        self.assert_counts_on(ids[0], counted)


class Snapshots(SnapshotTest):
    def test_a_snapshot_is_a_template(self):
        sandbox = self.sandbox(timeout_sec=0)
        name = unique()
        self.api.sh(sandbox, "echo one > /dev/shm/mark")
        self.count_from(sandbox, 1_000_000)
        made = self.snapshot(sandbox, name)
        self.assertEqual((made["name"], made["type"]), (name, "snapshot"))
        self.assertEqual(self.api.get(sandbox)["status"], "running")
        listed = self.api.call("GET", "/v1/snapshots?type=snapshot", expect=200).json()
        self.assertEqual([t["name"] for t in listed], [name])
        details = self.details(name)
        self.assertEqual(details["snapshot"]["sandbox"], sandbox)
        self.assertGreater(details["snapshot"]["memory_bytes"], 1 << 20)
        self.assertNotIn("agent_token", json.dumps(details))

        first = self.sandbox(template=name, timeout_sec=0)
        self.assertEqual(self.api.get(first)["origin"], f"snapshot '{name}'")
        self.assertEqual(self.api.sh(first, "cat /dev/shm/mark; hostname")["stdout"].split(),
                         ["one", first])
        self.assert_counts_on(first, 1_000_000)

        self.assertEqual(self.snapshot(sandbox, name, expect=409)["error"]["code"], "already_exists")
        self.assertEqual(self.snapshot(sandbox, "minimal", expect=409, query="?overwrite=true")
                         ["error"]["code"], "already_exists")
        self.api.sh(sandbox, "echo two > /dev/shm/mark")
        self.snapshot(sandbox, name, query="?overwrite=true")
        second = self.sandbox(template=name, timeout_sec=0)
        self.assertEqual(self.api.sh(second, "cat /dev/shm/mark")["stdout"], "two\n")
        self.assertEqual(self.api.sh(first, "cat /dev/shm/mark")["stdout"], "one\n")

        # Those that were made of it have all they need of it.
        self.api.call("DELETE", f"/v1/snapshots/{name}", expect=204)
        self.api.call("GET", f"/v1/snapshots/{name}", expect=404)
        self.api.call("POST", "/v1/sandboxes", {"template": name}, expect=404)
        self.post(second, "pause")
        self.post(second, "resume")
        self.assertEqual(self.api.sh(second, "cat /dev/shm/mark")["stdout"], "two\n")

    def test_a_snapshot_of_a_paused_one(self):
        sandbox = self.sandbox(timeout_sec=0)
        name = unique()
        self.api.sh(sandbox, "echo kept > /dev/shm/mark")
        self.post(sandbox, "pause")
        self.snapshot(sandbox, name)
        self.assertEqual(self.api.get(sandbox)["status"], "paused")
        made = self.sandbox(template=name, timeout_sec=0)
        self.assertEqual(self.api.sh(made, "cat /dev/shm/mark")["stdout"], "kept\n")

    def test_those_made_of_one_share_much_memory(self):
        sandbox = self.sandbox(timeout_sec=0, memory_mb=256)
        name = unique()
        look = "md5sum /dev/shm/much"
        digest = self.api.sh(sandbox, f"head -c 50000000 /dev/urandom > /dev/shm/much; {look}")["stdout"]
        self.snapshot(sandbox, name)
        self.assertEqual(self.details(name)["snapshot"]["memory_files"], 1)
        made = self.sandbox(template=name, timeout_sec=0)
        self.assertEqual(self.api.sh(made, look)["stdout"], digest)

        def done(of, kind):
            events = self.api.call("GET", f"/v1/sandboxes/{of}/events").json()
            (details,) = (e["details"] for e in events if (e["kind"], e["phase"]) == (kind, "done"))
            return details
        self.assertLess(done(made, "create")["filled_bytes"], 1 << 20)
        # The first one is as it was, and what it has not written since is not written again.
        self.post(sandbox, "pause")
        self.assertLess(done(sandbox, "pause")["memory_bytes"], 20_000_000)
        self.post(sandbox, "resume")
        self.assertEqual(self.api.sh(sandbox, look)["stdout"], digest)

    def test_the_image_below_sandboxes_is_not_removed(self):
        sandbox = self.sandbox(timeout_sec=0)
        refused = self.api.call("DELETE", "/v1/snapshots/minimal", expect=409)
        self.assertIn(sandbox, refused.error()["message"])

    def test_verify_finds_a_flipped_byte(self):
        sandbox = self.sandbox(timeout_sec=0)
        name = unique()
        self.api.sh(sandbox, "head -c 3000000 /dev/urandom > /dev/shm/noise")
        self.api.sh(sandbox, "head -c 3000000 /dev/urandom > /root/noise; sync")
        self.snapshot(sandbox, name)
        verify = f"/v1/snapshots/{name}/verify"
        whole = self.api.call("POST", verify, expect=200).json()
        self.assertTrue(whole["ok"], whole)
        self.assertGreater(whole["bytes"], 6_000_000)
        self.assertEqual(whole["unchecked"], 0)
        self.assertIn("is whole", self.server.wrenn("snapshot", "verify", name).stdout)
        folder = self.folder(name)
        # Not the one that the template's warm machine has too.
        warm = {os.path.basename(f) for f in glob.glob(f"{self.server.root}/warm/*/memory-*")}
        memory = next(f for f in glob.glob(f"{folder}/memory-*") if os.path.basename(f) not in warm)
        with open(f"{folder}/manifest.json", encoding="utf-8") as file:
            layer = f"{folder}/{json.load(file)['layers'][0]}"
        for path, offset, told_as in (
                (memory, os.path.getsize(memory) // 2, os.path.basename(memory)),
                (layer, os.path.getsize(layer) // 2, os.path.basename(layer)),
                (f"{folder}/state", 1000, "machine state")):
            with open(path, "r+b") as file:
                byte = os.pread(file.fileno(), 1, offset)
                os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), offset)
                damaged = self.api.call("POST", verify, expect=200).json()
                self.assertFalse(damaged["ok"])
                self.assertEqual(len(damaged["problems"]), 1, damaged)
                self.assertIn(told_as, damaged["problems"][0])
                told = self.server.wrenn("snapshot", "verify", name, check=False)
                self.assertEqual(told.returncode, 1)
                self.assertIn(damaged["problems"][0], told.stderr)
                os.pwrite(file.fileno(), byte, offset)
        self.assertTrue(self.api.call("POST", verify, expect=200).json()["ok"])
        self.assertTrue(self.api.call("POST", "/v1/snapshots/minimal/verify", expect=200).json()["ok"])
        self.api.call("POST", "/v1/snapshots/nonesuch/verify", expect=404)


class CommandLine(SnapshotTest):
    def test_pause_fork_snapshot(self):
        # Without WRENN_API_URL: the root's pid file says where its server is.
        environment = self.server.environment()
        del environment["WRENN_API_URL"]

        def wrenn(*arguments, code=0):
            done = subprocess.run([WRENN, *arguments], env=environment, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=120)
            self.assertEqual(done.returncode, code, (arguments, done.stdout, done.stderr))
            return done.stdout if code == 0 else done.stderr

        sandbox = wrenn("create", "-t", "minimal", "--timeout", "0", "--on-timeout", "stop").strip()
        self.addCleanup(self._remove, sandbox)
        self.assertEqual(wrenn("pause", sandbox[:8]).strip(), sandbox)
        self.assertIn("paused", wrenn("ls"))
        for code, *words in ((125, "exec", sandbox, "--", "true"),
                             (1, "cp", f"{sandbox}:/etc/passwd", "-")):
            self.assertIn(f"wrenn resume {sandbox}", wrenn(*words, code=code))
        (resumed,) = json.loads(wrenn("resume", sandbox, "--json"))
        self.assertEqual((resumed["status"], resumed["on_timeout"]), ("running", "stop"))
        self.assertIn("not paused", wrenn("resume", sandbox, code=1))
        children = wrenn("fork", sandbox, "-n", "2").split()
        self.assertEqual(len(children), 2)
        for child in children:
            self.addCleanup(self._remove, child)
        name = unique()
        self.assertEqual(wrenn("snapshot", "create", sandbox, "--name", name).strip(), name)
        self.assertIn("overwrite", wrenn("snapshot", "create", sandbox, "--name", name, code=1))
        wrenn("snapshot", "create", sandbox, "--name", name, "--overwrite")
        self.assertIn(name, wrenn("snapshot", "ls"))
        self.assertNotIn("minimal", wrenn("snapshot", "ls"))
        told = wrenn("snapshot", "inspect", name)
        self.assertIn(sandbox, told)
        self.assertRegex(told, r"PARENT +sn-[a-z0-9]{20}\n")
        self.assertRegex(told, r"WHEN MADE +[0-9.]+ MiB of memory, ")
        found = json.loads(wrenn("snapshot", "inspect", name, "--json"))["snapshot"]
        self.assertEqual(found["sizes"], {part: found[f"{part}_bytes"] for part in found["sizes"]})
        self.assertEqual(wrenn("run", "-t", name, "--", "echo", "hello"), "hello\n")
        self.assertEqual(wrenn("snapshot", "rm", name).strip(), name)

    def test_the_third_interrupt_ends_a_run_that_nobody_reads(self):
        before = {s["id"] for s in self.api.list()}
        run = subprocess.Popen([WRENN, "run", "-t", "minimal", "--", "yes"],
                               env=self.server.environment(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
        try:
            # The pipe is full, so it waits for its reader.
            def stuck():
                with open(f"/proc/{run.pid}/wchan") as file, open(f"/proc/{run.pid}/syscall") as call:
                    return "pipe" in file.read() or call.read().startswith("1 0x1 ")
            wait_for("a full pipe", stuck)
            for _ in range(3):
                run.send_signal(signal.SIGINT)
                time.sleep(0.2)  # signals that come at once are one
            self.assertEqual(run.wait(30), 128 + signal.SIGINT)
        finally:
            run.kill()
            run.wait()
            run.stdout.close()
        self.assertEqual({s["id"] for s in self.api.list()}, before)
