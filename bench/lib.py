"""What the benchmarks share: percentiles, tables, and the things measured beside wrenn."""

import argparse
import base64
import http.client
import json
import os
import platform
import re
import select
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
sys.dont_write_bytecode = True


def arguments(description, count, **more):
    """`more`: further positional arguments, and what each is."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("build", help="the build folder, e.g. build/release")
    for name, meaning in more.items():
        parser.add_argument(name, help=meaning)
    parser.add_argument("-n", type=int, default=count, help=f"how often (default {count})")
    given = parser.parse_args()
    build = os.path.abspath(given.build)
    os.environ["WRENN_BIN"] = f"{build}/wrenn"
    templates = os.environ.setdefault("WRENN_E2E", f"{build}/e2e-root")
    # Nothing to do unless the guest program has changed since.
    subprocess.run([f"{build}/wrenn", "template", "build", "minimal"], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "WRENN_ROOT": templates})
    given.init = f"{build}/wrenn-init"
    return given


def machine():
    with open("/proc/cpuinfo") as file:
        model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    load = os.getloadavg()[0]
    print(f"machine: {os.cpu_count()} x {model}, Linux {platform.release()}, load {load:.1f}")


def command_line(pid):
    """What runs a machine, as it would be outside of a jail, where program and firmware have other paths."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = [word.decode() for word in file.read().split(b"\0")[:-1]]
    if "-L" in words:
        words[0] = os.path.basename(words[0])
        del words[words.index("-L"):words.index("-L") + 2]
    return words


# A 99th percentile of fewer is one value more or less: then only the worst is told.
P99_COUNT = 1000


class Series:
    """Figures of one kind, with the runs that failed."""

    def __init__(self, name, unit="ms", p99_count=P99_COUNT):
        self.name, self.unit, self.values, self.failures = name, unit, [], 0
        self.p99_count = p99_count

    def time(self, action, since=None):
        """Calls it, and notes how long that took: from now, or from an earlier time on."""
        begin = since or time.perf_counter()
        try:
            result = action()
        except Exception as error:  # a failure is a figure too
            self.failures += 1
            print(f"  {self.name}: {error}", file=sys.stderr)
            return None
        self.values.append(1e3 * (time.perf_counter() - begin))
        return result

    def at(self, share):
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


HEADING = f"{'median':>9} {'p99':>9} {'worst':>9} {'n':>5} failed"


def figures(s):
    p99 = f"{s.at(.99):9.2f}" if len(s.values) >= s.p99_count else f"{'-':>9}"
    return f"{s.at(.5):9.2f} {p99} {s.at(1):9.2f} {len(s.values):5} {s.failures:6}"


def table(series):
    width = max(len(s.name) for s in series)
    print(f"{'':{width}}  {HEADING}")
    for s in series:
        print(f"{s.name:{width}}  {figures(s)} {s.unit}")


def comparison(ours, theirs, rows):
    """Two systems' figures side by side, each row what was measured and the series of each; the ratio
    is of the medians, ours to theirs."""
    width = max(len(name) for name, _, _ in rows)
    print(f"{'':{width}}  {ours:-^{len(HEADING)}}  {theirs:-^{len(HEADING)}}")
    print(f"{'':{width}}  {HEADING}  {HEADING} {'ratio':>6}")
    for name, one, other in rows:
        print(f"{name:{width}}  {figures(one)}  {figures(other)} {one.at(.5) / other.at(.5):6.2f} "
              f"{one.unit}")


def run(words, env=None, timeout=60):
    """Runs a program to its end and gives its output. Popen's own wait with a time limit sleeps between
    its looks, which would be part of the figures."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        pidfd = os.pidfd_open(process.pid)
        try:
            if not select.select([pidfd], [], [], timeout)[0]:
                process.kill()
        finally:
            os.close(pidfd)
        status = process.wait()
        output.seek(0)
        errors.seek(0)
        text = output.read().decode(errors="replace")
        assert status == 0, f"{words}: {status} {text} {errors.read().decode(errors='replace')}"
        return text


class Connection:
    """One connection to a server that stays open: what a request costs a program that makes many."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        self.headers = {"X-API-Key": server.api.key, "Content-Type": "application/json"}

    def ask(self, method, path, body=None, expect=200):
        self.connection.request(method, path, body and json.dumps(body), self.headers)
        response = self.connection.getresponse()
        data = response.read()
        assert response.status == expect, f"{method} {path}: {response.status} {data[:500]}"
        return json.loads(data) if data else None


def warm_machines(server):
    """How many wait in the pool of `minimal`."""
    text = server.api.raw("GET", "/v1/metrics").body.decode()
    found = re.search(r'wrenn_warm_machines\{template="minimal"\} (\d+)', text)
    return int(found.group(1)) if found else 0


def pss_mib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


class BareAgent:
    """The agent as an ordinary process on the host: what the services cost without a machine."""

    def __init__(self, init):
        self.process = subprocess.Popen([init, "--agent", "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.strip().rsplit(":", 1)[-1].split()[-1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port)

    def exec(self, cmd, *args):
        message = json.dumps({"process": {"cmd": cmd, "args": args}}).encode()
        self.connection.request(
            "POST", "/process.Process/Start", struct.pack(">BI", 0, len(message)) + message,
            {"Content-Type": "application/connect+json", "Connect-Protocol-Version": "1"})
        body = self.connection.getresponse().read()
        output = b""
        while body:
            flags, size = struct.unpack(">BI", body[:5])
            event = json.loads(body[5:5 + size])
            body = body[5 + size:]
            if flags & 2:
                assert "error" not in event, event
            elif "data" in event["event"]:
                output += base64.b64decode(event["event"]["data"].get("stdout", ""))
        return output

    def close(self):
        self.process.terminate()
        self.process.wait()
