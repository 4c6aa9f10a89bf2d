"""Many lives one after the other: none fails, and the server is the same afterwards."""

import os

from harness import ServerTest, wait_for

COUNT = int(os.environ.get("WRENN_LIVES", "40"))


class Soak(ServerTest):
    def threads(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/task"))

    def live(self):
        sandbox = self.api.create(timeout_sec=0)["id"]
        self.assertEqual(self.api.exec(sandbox, "echo", sandbox)["stdout"].strip(), sandbox)
        self.api.delete(sandbox)

    def test_lives(self):
        for _ in range(10):
            self.live()
        descriptors, threads, memory = self.server.descriptors(), self.threads(), self.server.rss_kib()
        for _ in range(COUNT):
            self.live()
        self.server.assert_nothing_left()
        wait_for("as few descriptors as before", lambda: self.server.descriptors() <= descriptors + 4, 20)
        wait_for("as few threads as before", lambda: self.threads() <= threads + 4, 20)
        # The allocator's pools take their time to reach their size: then it stays.
        self.assertLess(self.server.rss_kib() - memory, 24 << 10)
        print(f"  {COUNT} lives, server {memory >> 10} -> {self.server.rss_kib() >> 10} MiB")
