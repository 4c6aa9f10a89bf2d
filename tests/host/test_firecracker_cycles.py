"""Many lives of Firecracker sandboxes, two at a time, leave nothing on the host."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from firecracker_host import FirecrackerTest

CYCLES = int(os.environ.get("WRENN_HOST_CYCLES", 50))


class FirecrackerCycles(FirecrackerTest):
    def live(self, cycle):
        sandbox = self.api.create(timeout_sec=0)["id"]
        content = os.urandom(1 << 20)
        self.api.write(sandbox, "/root/file", content, user="root")
        said = self.api.sh(sandbox, "sync; wc -c </root/file", user="root")
        self.assertEqual(said["stdout"].strip(), str(len(content)), (cycle, said))
        self.api.delete(sandbox)

    def test_create_write_destroy(self):
        before = self.settled()
        begin = time.monotonic()
        with ThreadPoolExecutor(2) as lives:
            list(lives.map(self.live, range(CYCLES)))
        seconds = time.monotonic() - begin
        self.assert_as_before(before)
        print(f"\n  {CYCLES} cycles in {seconds:.0f} s, {seconds / CYCLES:.1f} s each", flush=True)
