"""The disk of a sandbox that is copied again and again while it runs: its chain of layers stays short,
and whatever was merged below it reads as before, in it and in all that was made of it."""

import contextlib
import glob
import json
import os
import sqlite3

import ramcheck
from harness import ServerTest, unique, wait_for

SNAPSHOTS = 28
MOST_LAYERS = 16
KEPT = (0, SNAPSHOTS // 2, SNAPSHOTS - 1)

# Files that have their own digest in their names, so that they are right at any instant; the old ones
# go again.
WRITER = """
mkdir -p /root/written
i=0
while :; do
  head -c $((i % 7 * 60000 + 4000)) /dev/urandom > /root/new
  mv /root/new /root/written/$i.$(sha256sum < /root/new | cut -c 1-64)
  rm -f /root/written/$((i - 40)).*
  i=$((i + 1))
done
"""
CHECK = """
n=0
for file in /root/written/*; do
  sum=$(sha256sum 2>&1 < $file | cut -c 1-64)
  [ -e $file ] || continue  # the writer has removed it
  [ "$sum" = "${file##*.}" ] || { echo "bad: $file"; exit 1; }
  n=$((n + 1))
done
echo $n
"""


class DiskChain(ServerTest):
    def layers(self, sandbox):
        """Of its disk, by the record."""
        with contextlib.closing(sqlite3.connect(f"{self.server.root}/wrenn.db")) as store:
            (disk,) = store.execute("SELECT disk FROM sandboxes WHERE id = ?", (sandbox,)).fetchone()
        return json.loads(disk)["layers"]

    def check(self, sandbox):
        ramcheck.check(self.api, sandbox)
        # The page cache must not hide what the disk says.
        ramcheck.run(self.api, sandbox, "sync; echo 3 > /proc/sys/vm/drop_caches")
        self.assertGreater(int(ramcheck.run(self.api, sandbox, CHECK)), 5)

    def open_layers(self, sandbox):
        """The files of disks that its VMM has open."""
        with open(f"{self.server.root}/sandboxes/{sandbox}/machine.json", encoding="utf-8") as file:
            pid = json.load(file)["pid"]
        links = [os.readlink(link) for link in glob.glob(f"/proc/{pid}/fd/*") if os.path.islink(link)]
        return {os.path.basename(link) for link in links if "/disk-" in link}

    def snapshot(self, sandbox, name):
        self.api.call("POST", "/v1/snapshots", {"sandbox_id": sandbox, "name": name}, expect=201)

    def expect_short(self, sandbox):
        """Now, or when the merge that goes on behind the last snapshot is over."""
        folder = f"{self.server.root}/sandboxes/{sandbox}"
        def look():
            layers = self.layers(sandbox)
            files = {os.path.basename(path) for path in glob.glob(f"{folder}/disk-*")}
            return len(layers) <= MOST_LAYERS and files == set(layers)
        wait_for("a short chain", look, 30)

    def test_it_stays_short_while_it_runs(self):
        sandbox = self.api.create(timeout_sec=0)["id"]
        ramcheck.start(self.api, sandbox)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {
            "cmd": "/bin/sh", "args": ["-c", WRITER], "user": "root", "background": True}, expect=202)
        wait_for("ten files", lambda: int(ramcheck.run(
            self.api, sandbox, "ls /root/written 2>/dev/null | wc -l")) >= 10, 60)
        prefix = unique()
        most = 0
        for number in range(SNAPSHOTS):
            self.snapshot(sandbox, f"{prefix}-{number}")
            most = max(most, len(self.layers(sandbox)))
            if number % 8 == 3:
                self.check(sandbox)
            if number == SNAPSHOTS // 2:
                self.server.stop()
                self.server.start()
            if number not in KEPT and number % 2:
                self.api.call("DELETE", f"/v1/snapshots/{prefix}-{number}", expect=204)
        print(f"\n  {SNAPSHOTS} snapshots, at most {most} layers")
        self.assertLessEqual(most, MOST_LAYERS)
        self.expect_short(sandbox)
        self.assertEqual(self.open_layers(sandbox), set(self.layers(sandbox)))
        self.check(sandbox)
        for number in KEPT:
            name = f"{prefix}-{number}"
            self.assertTrue(self.api.call("POST", f"/v1/snapshots/{name}/verify", expect=200).json()["ok"])
            made = self.api.create(template=name, timeout_sec=0)["id"]
            self.check(made)
            self.api.delete(made)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", expect=200)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", expect=200)
        self.check(sandbox)
        self.api.delete(sandbox)
        for record in self.api.call("GET", "/v1/templates", expect=200).json():
            if record["name"].startswith(prefix):
                self.api.call("DELETE", f"/v1/snapshots/{record['name']}", expect=204)
        self.server.assert_nothing_left()

    def test_forks_leave_it_short_too(self):
        sandbox = self.api.create(timeout_sec=0)["id"]
        ramcheck.start(self.api, sandbox)
        for _ in range(20):
            made = self.api.call("POST", f"/v1/sandboxes/{sandbox}/fork", {"count": 1}, expect=201).json()
            for child in made["sandboxes"]:
                self.api.delete(child["id"])
        self.expect_short(sandbox)
        ramcheck.check(self.api, sandbox)
        self.api.delete(sandbox)
