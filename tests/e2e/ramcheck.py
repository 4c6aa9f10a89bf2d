"""Guests that keep memory and a file changing and know what they must be (tests/tools/ramcheck.c)."""

import os
import struct
import subprocess
import tempfile
import zlib

from harness import WRENN

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
PROGRAM = os.path.join(os.path.dirname(WRENN), "ramcheck")
PAGE, PAGES = 4096, 1024
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


def check_cold(api, sandbox):
    """The same when the guest must read all it needs from its disk."""
    run(api, sandbox, "sync && echo 3 > /proc/sys/vm/drop_caches")
    check(api, sandbox)


def hold(api, sandbox):
    """Has it stand still; answers its pages in memory: (index, seed, frame of RAM) of each."""
    *pages, last = [line.split() for line in run(api, sandbox, f"ramcheck hold {FOLDER}").splitlines()]
    assert last[0] == "ok", last
    assert len(pages) == PAGES, len(pages)
    return [tuple(map(int, words[1:])) for words in pages]


def release(api, sandbox):
    run(api, sandbox, f"ramcheck release {FOLDER}")


def check_snapshot(server, sandbox, pages):
    """Has the independent reader check a paused one's snapshot and write its RAM, in which each page
    must be what hold() said, at its place."""
    with tempfile.TemporaryDirectory(dir=server.directory) as directory:
        ram = f"{directory}/ram"
        while not _write_ram(server, sandbox, ram):
            pass
        with open(ram, "rb") as file:
            bad = [index for index, seed, frame in pages
                   if not _is_page(os.pread(file.fileno(), PAGE, frame * PAGE), index, seed)]
    assert bad == [], bad


def _write_ram(server, sandbox, ram):
    """False when the snapshot was tidied up meanwhile, so that its files have gone."""
    folder = server.snapshot_folder(sandbox)
    result = subprocess.run(["/usr/bin/python3", f"{TOOLS}/read_snapshot.py", folder, "-o", ram],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0 or server.snapshot_folder(sandbox) != folder, result.stderr
    return result.returncode == 0


def _is_page(data, index, seed):
    if seed == 0:
        return data == bytes(PAGE)
    return data[:24] == b"RAMCHECK" + struct.pack("<QQ", index, seed) and \
        zlib.crc32(data[32:]) == struct.unpack("<I", data[24:28])[0]
