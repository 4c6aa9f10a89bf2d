"""What every end-to-end test stands on: a real server of its own, a client, and leak counting.

Environment (set by tests/e2e/run):
  WRENN_BIN   the program under test
  WRENN_E2E   a folder that holds templates made once (a data root whose kernels/, images/, warm/ and
              wrenn.db are copied or linked into each server's own root)

`harness.py warm` boots each of those templates once, so that no other server has to, and prints the engine's
acceleration.
"""

import contextlib
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest
import uuid

import openapi

WRENN = os.environ["WRENN_BIN"]
TEMPLATES = os.environ["WRENN_E2E"]


def wait_for(what, check, seconds=30.0):
    """Waits until check() gives something true, for events that only a look can tell."""
    end = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]


def multipart(data, **fields):
    """A form with these fields and a file: body and headers."""
    boundary = f"b-{uuid.uuid4().hex}"
    head = "".join(f"--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                   for name, value in fields.items())
    head += (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n"
             "Content-Type: application/octet-stream\r\n\r\n")
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), \
        {"Content-Type": f"multipart/form-data; boundary={boundary}"}


class Api:
    """Asks a server; every answer, and the body of each request that is accepted, is checked against
    openapi.yaml."""

    def __init__(self, port, key):
        self.port, self.key = port, key

    def connect(self, timeout=300):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def raw(self, method, path, body=None, headers=None, key=True, timeout=300):
        all_headers = dict(headers or {})
        if key:
            all_headers.setdefault("X-API-Key", self.key)
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body=body, headers=all_headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        openapi.check(method, path, answer.status, answer.headers.get("Content-Type", ""), answer.body)
        if answer.status < 300:
            openapi.check_request(method, path, all_headers.get("Content-Type", ""), body)
        return answer

    def call(self, method, path, body=None, expect=None, **more):
        data = None
        headers = more.pop("headers", {})
        if body is not None:
            data = json.dumps(body)
            headers = {"Content-Type": "application/json", **headers}
        answer = self.raw(method, path, data, headers, **more)
        if expect is not None:
            assert answer.status == expect, f"{method} {path}: {answer.status} {answer.body[:500]}"
        return answer

    def create(self, **fields):
        fields.setdefault("template", "minimal")
        return self.call("POST", "/v1/sandboxes", fields, expect=201).json()

    def exec(self, sandbox, cmd, *args, **fields):
        body = {"cmd": cmd, "args": list(args), **fields}
        return self.call("POST", f"/v1/sandboxes/{sandbox}/exec", body, expect=200).json()

    def sh(self, sandbox, script, **fields):
        return self.exec(sandbox, "/bin/sh", "-c", script, **fields)

    def write(self, sandbox, path, data, **fields):
        body, headers = multipart(data, path=path, **fields)
        answer = self.raw("POST", f"/v1/sandboxes/{sandbox}/files/write", body, headers)
        assert answer.status == 204, answer.body

    def get(self, sandbox):
        return self.call("GET", f"/v1/sandboxes/{sandbox}", expect=200).json()

    def list(self):
        return self.call("GET", "/v1/sandboxes", expect=200).json()

    def delete(self, sandbox):
        self.call("DELETE", f"/v1/sandboxes/{sandbox}", expect=204)

    def websocket(self, path):
        import checked_websocket  # its library is not in the emulated host
        return checked_websocket.connect(self.port, path, self.key)


def copy_sparse(folder, into):
    subprocess.run(["cp", "-a", "--sparse=always", folder, into], check=True)


class Server:
    """A wrenn server on a root and a port of its own."""

    def __init__(self, **settings):
        self.settings = settings
        self.directory = tempfile.mkdtemp(prefix="wr-", dir=os.environ.get("WRENN_E2E_TMP", "/tmp"))
        self.root = os.path.join(self.directory, "root")
        self.runtime = os.path.join(self.directory, "run")
        os.mkdir(self.root, 0o700)
        self._take_templates()
        self.port = self._free_port()
        self.process = None
        self.recorded = set()  # pid and start time of every helper that was seen in a record
        self.log = os.path.join(self.directory, "server.out")
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def _take_templates(self):
        """Links the immutable files and copies the records, so that no test spoils another's."""
        for folder in ("kernels", "images"):
            for source in glob.glob(f"{TEMPLATES}/{folder}/*/*"):
                target = os.path.join(self.root, os.path.relpath(source, TEMPLATES))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.link(source, target)
        if os.path.exists(f"{TEMPLATES}/warm"):
            copy_sparse(f"{TEMPLATES}/warm", self.root)
        with contextlib.closing(sqlite3.connect(f"{TEMPLATES}/wrenn.db")) as old, \
                contextlib.closing(sqlite3.connect(f"{self.root}/wrenn.db")) as new:
            old.backup(new)
        os.chmod(f"{self.root}/wrenn.db", 0o600)

    @staticmethod
    def _free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def environment(self):
        # The tests write little: small hosts take them all the same. Machines that wait in the pool, or
        # stand by, would be counted as leaks; their own tests turn them on.
        return {**os.environ, "WRENN_MAX_DISK_MB": "0", "WRENN_WARM_POOL": "off", "WRENN_STANDBY": "off",
                "WRENN_ROOT": self.root, "WRENN_RUNTIME": self.runtime,
                "WRENN_API_URL": f"http://127.0.0.1:{self.port}", **self.settings.get("env", {})}

    def start(self):
        """Starts it and waits until it answers."""
        arguments = [WRENN, "serve", "--listen", f"127.0.0.1:{self.port}",
                     *self.settings.get("arguments", [])]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.environment())

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended at its start:\n{self.read_log()}")
            try:
                return Api(self.port, "").raw("GET", "/health", key=False).status == 200
            except OSError:
                return False
        wait_for("the server's answer", answers, 60)
        with open(f"{self.root}/api-key") as file:
            self.api = Api(self.port, file.read().strip())

    def kill(self):
        """Ends the server as a crash would; its sandboxes go on."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=60):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            finally:
                if self.process.poll() is None:
                    self.kill()

    def read_log(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-4000:]

    def wrenn(self, *arguments, input=None, check=True, timeout=300, text=True):
        """Runs the command line against this server."""
        result = subprocess.run([WRENN, *arguments], env=self.environment(), input=input, text=text,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        if check and result.returncode != 0:
            raise AssertionError(f"wrenn {arguments}: {result.returncode}\n{result.stderr}")
        return result

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def machines(self):
        """The VMM processes that belong to this server: command line by pid."""
        found = {}
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            text = b" ".join(words).decode(errors="replace")
            if "qemu-system" in text and (self.runtime in text or self.root in text):
                found[int(path.split("/")[2])] = text
        return found

    def helpers(self):
        """The processes of its sandboxes' networks: name by pid. Nothing in their arguments tells whose
        they are, but their stderr is their machine's pipe, also when that is removed."""
        found = {}
        for path in glob.glob("/proc/[0-9]*/fd/2"):
            try:
                if not os.readlink(path).startswith(self.runtime + "/"):
                    continue
                with open(f"{os.path.dirname(os.path.dirname(path))}/comm") as file:
                    name = file.read().strip()
            except OSError:
                continue
            if not name.startswith("qemu"):
                found[int(path.split("/")[2])] = name
        # A passt that is not root's hides its descriptors from its own user.
        for record in glob.glob(f"{self.root}/sandboxes/*/machine.json"):
            with contextlib.suppress(OSError, ValueError), open(record) as file:
                self.recorded |= {(helper["pid"], helper["start_time"])
                                  for helper in json.load(file).get("helpers", [])}
        for pid, start_time in self.recorded:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
                head, _, rest = file.read().rpartition(")")
                fields = rest.split()
                if int(fields[19]) == start_time and fields[0] != "Z":
                    found[pid] = head.partition("(")[2]
        return found

    def leftovers(self, sandboxes=()):
        """What a server must not have beside these sandboxes: VMMs and their helpers, folders, sockets,
        drafts. Slots and cgroups are looked at in the emulated host (tests/host/firecracker_host.py)."""
        listed = {one["id"] for one in sandboxes}
        standby = self.environment()["WRENN_STANDBY"] != "off"
        live = {one["id"] for one in sandboxes
                if one["status"] == "running" or standby and one["status"] == "paused"}

        def others(names, known):
            return sorted(name for name in names if not any(one in str(name) for one in known))

        def names(folder):
            return os.listdir(f"{self.root}/{folder}") if os.path.isdir(f"{self.root}/{folder}") else []
        return {
            "processes": others({**self.machines(), **self.helpers()}.items(), live),
            "folders": others(names("sandboxes"), listed),
            "sockets": others(glob.glob(f"{self.runtime}/sb/*"), live),
            # The catalogue's lock is a file that stays.
            "temporary": sorted({*names("tmp")} - {"catalogue.lock"}),
            "snapshots": self.unnamed_snapshots(),
            "warm drafts": sorted(name for name in names("warm") if name.endswith(".draft")),
        }

    def snapshot_folder(self, sandbox):
        """Where a paused one's snapshot is, until it is tidied up."""
        with contextlib.closing(sqlite3.connect(f"{self.root}/wrenn.db")) as store:
            (name,) = store.execute("SELECT snapshot FROM sandboxes WHERE id = ?", (sandbox,)).fetchone()
        return f"{self.root}/snapshots/{name}"

    def unnamed_snapshots(self):
        """Folders of snapshots that no sandbox and no template has."""
        with contextlib.closing(sqlite3.connect(f"{self.root}/wrenn.db")) as store:
            named = {row[0] for table in ("sandboxes", "templates")
                     for row in store.execute(f"SELECT snapshot FROM {table}")}
        return sorted(set(os.listdir(f"{self.root}/snapshots")) - named)

    def assert_nothing_left(self, sandboxes=()):
        try:
            wait_for("removal of everything", lambda: not any(self.leftovers(sandboxes).values()), 20)
        except AssertionError:
            raise AssertionError(f"left behind: {self.leftovers(sandboxes)}") from None

    def close(self):
        try:
            self.stop()
        finally:
            for pid in {**self.machines(), **self.helpers()}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_for("the end of the VMMs", lambda: not self.machines() and not self.helpers(), 20)
            shutil.rmtree(self.directory, ignore_errors=True)


class ServerTest(unittest.TestCase):
    """Tests on one server per class; each test removes its sandboxes."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(**cls.settings)
        # Not tearDownClass: that is not called when a subclass's set-up fails.
        cls.addClassCleanup(cls.server.close)

    @property
    def api(self):
        return self.server.api

    def sandbox(self, **fields):
        made = self.api.create(**fields)
        self.addCleanup(self._remove, made["id"])
        return made["id"]

    def _remove(self, sandbox):
        self.api.call("DELETE", f"/v1/sandboxes/{sandbox}")


class SharedSandboxTest(ServerTest):
    """Tests that can share one sandbox, since a boot takes seconds under emulation."""

    create = {"template": "minimal"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.id = cls.server.api.create(timeout_sec=0, **cls.create)["id"]


def unique(prefix="t"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def warm():
    shutil.rmtree(f"{TEMPLATES}/warm", ignore_errors=True)
    server = Server()
    try:
        for template in server.api.call("GET", "/v1/templates", expect=200).json():
            made = server.api.create(template=template["name"], timeout_sec=0)
            engine = server.api.get(made["id"])["engine"]
            server.api.delete(made["id"])
        copy_sparse(f"{server.root}/warm", TEMPLATES)
    finally:
        server.close()
    return engine.partition("/")[2]


if __name__ == "__main__":
    print(warm())
