"""Files: both ways, any size, at constant memory; half files never under the final name."""

import concurrent.futures
import hashlib
import os
import socket
import threading

from harness import SharedSandboxTest, multipart, unique, wait_for

MIB = 1 << 20


def pattern(index):
    """A MiB that differs from its neighbours and does not compress to nothing."""
    seed = hashlib.sha256(str(index).encode()).digest()
    return (seed * (MIB // len(seed)))


class Files(SharedSandboxTest):
    create = {"template": "minimal", "disk_mb": 4096}

    def write(self, path, data, stream=False):
        body, headers = multipart(data, path=path)
        route = "files/stream/write" if stream else "files/write"
        return self.api.raw("POST", f"/v1/sandboxes/{self.id}/{route}", body, headers)

    def read(self, path, stream=False):
        route = "files/stream/read" if stream else "files/read"
        return self.api.call("POST", f"/v1/sandboxes/{self.id}/{route}", {"path": path})

    def test_round_trip(self):
        for stream in (False, True):
            for data in (b"", b"x", bytes(range(256)) * 1000):
                path = f"/tmp/{unique()}/deep/file"
                self.assertEqual(self.write(path, data, stream).status, 204)
                answer = self.read(path, stream)
                self.assertEqual((answer.status, answer.body), (200, data))

    def test_missing_file_and_folder(self):
        self.assertEqual(self.read("/no/such/file").status, 404)
        self.assertEqual(self.read("/tmp").status, 400)

    def test_names_with_anything_in_them(self):
        for name in ("with space", "ünïcode", "quote\"'", "per%20cent", "new\nline", "-dash"):
            path = f"/tmp/{unique()}/{name}"
            body = {"path": path}
            self.assertEqual(self.api.call(
                "POST", f"/v1/sandboxes/{self.id}/files/mkdir", body).status, 201, name)
            self.assertEqual(self.api.sh(self.id, 'test -d "$P"', envs={"P": path})["exit_code"], 0)

    def test_list_stat_move_remove(self):
        top = f"/tmp/{unique()}"
        self.write(f"{top}/a/one", b"1")
        self.write(f"{top}/b", b"22")
        entries = self.api.call("GET", f"/v1/sandboxes/{self.id}/files/list?path={top}&depth=2",
                                expect=200).json()
        self.assertEqual([e["path"] for e in entries], [f"{top}/a", f"{top}/a/one", f"{top}/b"])
        self.api.call("POST", f"/v1/sandboxes/{self.id}/files/move",
                      {"source": f"{top}/b", "destination": f"{top}/c/d"}, expect=200)
        stat = self.api.call("GET", f"/v1/sandboxes/{self.id}/files/stat?path={top}/c/d", expect=200)
        self.assertEqual(stat.json()["size"], 2)
        self.api.call("POST", f"/v1/sandboxes/{self.id}/files/remove", {"path": top}, expect=204)
        self.assertEqual(self.api.sh(self.id, f"test -e {top}")["exit_code"], 1)

    def test_small_route_refuses_what_is_too_large(self):
        answer = self.write(f"/tmp/{unique()}", b"x" * (40 * MIB))
        self.assertEqual(answer.status, 413)
        self.assertIn("stream", answer.error()["message"])

    def test_endless_device_fills_no_memory(self):
        connection = self.api.connect()
        connection.request("POST", f"/v1/sandboxes/{self.id}/files/stream/read",
                           '{"path":"/dev/zero"}',
                           {"X-API-Key": self.api.key, "Content-Type": "application/json"})
        response = connection.getresponse()
        before = self.server.rss_kib()
        if response.status == 200:
            for _ in range(64):
                response.read(MIB)
        else:
            self.assertEqual(response.status, 400)
        connection.close()
        self.assertLess(self.server.rss_kib() - before, 32 << 10)

    def agent_rss_kib(self):
        text = self.api.sh(self.id, "grep VmRSS /proc/1/status")["stdout"]
        return int(text.split()[1])

    def test_one_gibibyte_up_and_down_at_constant_memory(self):
        count = 1024
        path = "/root/large"
        peaks = {"server": 0, "agent": 0}
        before = {"server": self.server.rss_kib(), "agent": self.agent_rss_kib()}
        done = threading.Event()

        def watch():
            while not done.wait(0.5):
                peaks["server"] = max(peaks["server"], self.server.rss_kib())
                peaks["agent"] = max(peaks["agent"], self.agent_rss_kib())
        pool = concurrent.futures.ThreadPoolExecutor(1)
        watching = pool.submit(watch)
        try:
            sent = hashlib.sha256()
            connection = self.api.connect(timeout=1200)
            connection.putrequest("POST", f"/v1/sandboxes/{self.id}/files/stream/write?path={path}")
            connection.putheader("X-API-Key", self.api.key)
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(count * MIB))
            connection.endheaders()
            for index in range(count):
                data = pattern(index)
                sent.update(data)
                connection.send(data)
            response = connection.getresponse()
            self.assertEqual(response.status, 204, response.read())
            connection.close()

            got = hashlib.sha256()
            connection = self.api.connect(timeout=1200)
            connection.request("POST", f"/v1/sandboxes/{self.id}/files/stream/read",
                               f'{{"path":"{path}"}}',
                               {"X-API-Key": self.api.key, "Content-Type": "application/json"})
            response = connection.getresponse()
            while data := response.read(MIB):
                got.update(data)
            connection.close()
        finally:
            done.set()
            pool.shutdown()
        watching.result()  # what has ended it before its time
        self.assertEqual(got.hexdigest(), sent.hexdigest())
        for part in ("server", "agent"):
            self.assertGreater(peaks[part], 0, f"{part} was never measured")
            growth = peaks[part] - before[part]
            print(f"  {part}: {before[part]} KiB before, {growth} KiB more at the peak")
            self.assertLess(growth, 32 << 10, f"{part} grew")

    def test_a_cut_upload_leaves_no_half_file(self):
        folder = f"/tmp/{unique()}"
        path = f"{folder}/file"
        self.write(path, b"the old content")
        with socket.create_connection(("127.0.0.1", self.api.port)) as raw:
            raw.sendall((f"POST /v1/sandboxes/{self.id}/files/stream/write?path={path} HTTP/1.1\r\n"
                         f"Host: x\r\nX-API-Key: {self.api.key}\r\nContent-Length: 50000000\r\n"
                         "Content-Type: application/octet-stream\r\n\r\n").encode())
            raw.sendall(os.urandom(5 * MIB))
        wait_for("the clean-up of the cut upload",
                 lambda: self.api.sh(self.id, f"ls -A {folder}")["stdout"] == "file\n")
        self.assertEqual(self.read(path).body, b"the old content")
