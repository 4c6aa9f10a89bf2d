"""The test console at /test, in a browser: tests/browser/console.js drives it."""

import filecmp
import os
import shutil
import subprocess
import unittest

from harness import ServerTest, WRENN

BROWSER_TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "browser")
# Beside the program under test, so that no test writes into the sources.
INSTALLED = os.path.join(os.path.dirname(WRENN), "browser")
LOCK = "package-lock.json"


def missing():
    """The first program that is not there; None when all are."""
    return next((name for name in ("node", "npm", "chromium") if not shutil.which(name)), None)


def install():
    """The packages that the lock file names, no others; nothing to do when they are there."""
    done = os.path.join(INSTALLED, "done")
    lock = os.path.join(BROWSER_TESTS, LOCK)
    if os.path.exists(done) and filecmp.cmp(done, lock, shallow=False):
        return
    os.makedirs(INSTALLED, exist_ok=True)
    for name in ("package.json", LOCK):
        shutil.copy(os.path.join(BROWSER_TESTS, name), INSTALLED)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
                   cwd=INSTALLED, check=True, timeout=300, stdout=subprocess.DEVNULL)
    shutil.copy(lock, done)


@unittest.skipIf(missing(), f"{missing()} is not installed")
class Console(ServerTest):
    def test_a_session_in_a_browser(self):
        install()
        environment = {**self.server.environment(), "WRENN_API_KEY": self.api.key,
                       "NODE_PATH": os.path.join(INSTALLED, "node_modules"),
                       "CHROMIUM": shutil.which("chromium")}
        result = subprocess.run(["node", os.path.join(BROWSER_TESTS, "console.js")], env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(self.api.list(), [])
        self.server.assert_nothing_left()
