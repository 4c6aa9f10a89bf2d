"""Guests that keep memory and a file changing and know what they must be (tests/tools/ramcheck.c)."""

import os
import subprocess
import zlib

from harness import WRENN

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
PROGRAM = os.path.join(os.path.dirname(WRENN), "ramcheck")
PAGES = 1024
FOLDER = "/var/ramcheck"


def start(api, sandbox):
    """Has it run in a sandbox, in the background."""
    with open(PROGRAM, "rb") as file:
        api.write(sandbox, "/usr/bin/ramcheck", file.read(), user="root")
    run(api, sandbox, f"chmod 755 /usr/bin/ramcheck && mkdir -p {FOLDER}")
    api.call("POST", f"/v1/sandboxes/{sandbox}/exec", {
        "cmd": "/usr/bin/ramcheck", "args": ["run", FOLDER, str(PAGES)], "user": "root",
        "background": True, "tag": "ramcheck"}, expect=202)
    run(api, sandbox, f"while ! [ -e {FOLDER}/pid ]; do usleep 10000; done")


def run(api, sandbox, script):
    result = api.sh(sandbox, script, user="root", timeout_sec=60)
    assert result["exit_code"] == 0, result
    return result["stdout"]


def check(api, sandbox):
    """Has it look at all of its pages; answers how many changes it has made."""
    last = run(api, sandbox, f"ramcheck check {FOLDER}").splitlines()[-1]
    assert last.startswith("ok "), last
    return int(last.split()[1])


def hold(api, sandbox):
    """Has it stand still; answers the seeds of its pages that are not zeros, by index."""
    lines = [line.split() for line in run(api, sandbox, f"ramcheck hold {FOLDER}").splitlines()]
    assert lines[-1][0] == "ok", lines[-1]
    return {int(line[1]): int(line[2]) for line in lines if line[0] == "page"}


def release(api, sandbox):
    run(api, sandbox, f"ramcheck release {FOLDER}")


def find_pages(ram):
    """The seeds of the whole pages of ramcheck's in a file of RAM, by index: each a set, since RAM
    keeps what was freed."""
    found = {}
    with open(ram, "rb") as file:
        while page := file.read(4096):
            if not page.startswith(b"RAMCHECK"):
                continue
            index, seed = (int.from_bytes(page[at:at + 8], "little") for at in (8, 16))
            if zlib.crc32(page[32:]) == int.from_bytes(page[24:28], "little"):
                found.setdefault(index, set()).add(seed)
    return found


def read_snapshot(folder, ram):
    """Has the independent reader check a snapshot and write its RAM."""
    subprocess.run(["/usr/bin/python3", f"{TOOLS}/read_snapshot.py", folder, "-o", ram], check=True,
                   stdout=subprocess.DEVNULL)
