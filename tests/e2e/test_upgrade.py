"""QEMU is replaced by another build: no state of one is ever loaded by the other."""

import os
import shutil
import tempfile
import unittest

from harness import ServerTest

# A program of that name whose version is not what it starts: what a server sees that was started with
# one build and starts machines with another.
ANOTHER = f"""#!/bin/sh
[ "$1" = --version ] && exec echo 'QEMU emulator version 7.2.99 (another)'
exec {shutil.which("qemu-system-x86_64")} "$@"
"""


class Upgrade(ServerTest):
    def replace_qemu(self, **env):
        self.server.stop()
        self.server.settings = {"env": env}
        self.server.start()

    def refused(self, target, body, *words):
        answer = self.api.call("POST", target, body)
        self.assertEqual(answer.status, 409, answer.body)
        for word in words:
            self.assertIn(word, answer.json()["error"]["message"])

    def test_states_of_two_builds_do_not_meet(self):
        sandbox = self.sandbox(timeout_sec=0)
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "qemu-system-x86_64")
            with open(program, "w") as file:
                file.write(ANOTHER)
            os.chmod(program, 0o755)
            # A script cannot be jailed.
            self.replace_qemu(PATH=f"{folder}:{os.environ['PATH']}", WRENN_JAIL="off")
            for target, body in ((f"/v1/sandboxes/{sandbox}/pause", {}), (f"/v1/sandboxes/{sandbox}/fork", {}),
                                 ("/v1/snapshots", {"sandbox_id": sandbox, "name": "kept"})):
                self.refused(target, body, sandbox, "another QEMU", "stop it")
            self.assertEqual(self.api.sh(sandbox, "echo on")["stdout"], "on\n")
            self.refused("/v1/sandboxes", {"template": "minimal"}, "restart the server")
            self.assertEqual(len(self.server.machines()), 1)
        self.replace_qemu()
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/pause", {}, expect=200)
        self.api.call("POST", f"/v1/sandboxes/{sandbox}/resume", {}, expect=200)
        self.assertEqual(self.api.sh(sandbox, "echo back")["stdout"], "back\n")


if __name__ == "__main__":
    unittest.main()
