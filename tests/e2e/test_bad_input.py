"""Bad input gets the documented error and changes nothing."""

import json
import os
import urllib.parse

from harness import SharedSandboxTest

# What would lead elsewhere if it became a part of a path, or is no name for another reason.
NO_NAMES = ("..", "../../etc", "a/b", "/etc/x", "a/../b", "%2e%2e%2fx", ".", "A" * 300, "x\0y", "a\nb", "ü")


class BadInput(SharedSandboxTest):
    def refused(self, status, method, path, body=None, **more):
        before = self.api.list()
        answer = self.api.call(method, path, body, **more)
        self.assertEqual(answer.status, status, (method, path, body, answer.body[:300]))
        error = answer.error()
        self.assertTrue(error["code"] and error["message"])
        self.assertFalse(error["message"].endswith("."))
        self.assertNotIn(self.server.root, error["message"])
        after = self.api.list()
        self.assertEqual([s["id"] for s in before], [s["id"] for s in after])
        return error["message"]

    def test_create(self):
        create = lambda status, **body: self.refused(status, "POST", "/v1/sandboxes", body)
        self.assertIn("nonesuch", create(404, template="nonesuch"))
        self.assertIn("vcpus", create(400, vcpus=-1))
        self.assertIn("vcpus", create(400, vcpus=100000))
        self.assertIn("memory_mb", create(400, memory_mb=-512))
        self.assertIn("memory_mb", create(400, memory_mb="lots"))
        self.assertIn("timeout_sec", create(400, timeout_sec=-1))
        self.assertIn("timeout_sec", create(400, timeout_sec=1.5))
        self.assertIn("colour", create(400, colour="red"))
        self.assertIn(self.api.call("POST", "/v1/sandboxes", {"memory_mb": 1 << 40}).status, (400, 429))

    def everything(self):
        """What bad names must leave as it is: all files of the server, and what it lists."""
        files = {os.path.join(folder, name) for folder, folders, names in os.walk(self.server.directory)
                 for name in folders + names}
        # SQLite's own come and go.
        return ({name for name in files if not name.endswith(("-wal", "-shm", "-journal"))},
                self.api.call("GET", "/v1/templates", expect=200).json(),
                [one["id"] for one in self.api.list()],
                self.api.call("GET", f"/v1/sandboxes/{self.id}/processes", expect=200).json(),
                json.loads(self.server.wrenn("key", "list", "--json").stdout))

    def test_names_that_are_none(self):
        # The last uses of keys are written when they are looked at, not at each.
        without_use = lambda all_of_it: (*all_of_it[:-1], [key["id"] for key in all_of_it[-1]])
        before = without_use(self.everything())
        for name in NO_NAMES:
            with self.subTest(name=name[:20]):
                self.assertIn(self.api.call("POST", "/v1/sandboxes", {"template": name}).status, (400, 404))
                self.refused(400, "POST", "/v1/snapshots", {"sandbox_id": self.id, "name": name})
                self.refused(400, "POST", f"/v1/sandboxes/{self.id}/exec",
                             {"cmd": "sleep", "args": ["100"], "background": True, "tag": name})
                encoded = urllib.parse.quote(name, safe="")
                for method, path in (("GET", f"/v1/snapshots/{encoded}"),
                                     ("DELETE", f"/v1/snapshots/{encoded}"),
                                     ("DELETE", f"/v1/sandboxes/{self.id}/processes/{encoded}")):
                    self.assertIn(self.api.raw(method, path).status, (400, 404, 405), (method, path))
                if "\0" not in name:
                    made = self.server.wrenn("key", "create", "--name", name, check=False)
                    self.assertNotEqual(made.returncode, 0)
        self.assertIn(self.api.call("POST", "/v1/sandboxes", {"template": ""}).status, (400, 404))
        self.assertEqual(without_use(self.everything()), before)

    def test_bodies(self):
        for body in ("{", "[]", "null", '"x"', "[" * 100000, '{"template":' * 1000, "\xff\xfe"):
            answer = self.api.raw("POST", "/v1/sandboxes", body.encode("latin-1"),
                                  {"Content-Type": "application/json"})
            self.assertEqual(answer.status, 400, body[:20])
        huge = json.dumps({"template": "x" * (8 << 20)})
        self.assertEqual(self.api.raw("POST", "/v1/sandboxes", huge).status, 413)

    def test_ids_and_routes(self):
        for sandbox in ("sb-00000000000000000000", "..", "%2e%2e%2f", "x", "sb-" + "a" * 500):
            answer = self.api.raw("GET", f"/v1/sandboxes/{sandbox}")
            self.assertEqual(answer.status, 404, sandbox)
        self.refused(404, "GET", "/v1/nothing")
        self.refused(405, "PATCH", "/v1/sandboxes")
        self.refused(404, "DELETE", "/v1/sandboxes/sb-00000000000000000000")

    def test_keys(self):
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer nope"},
                        {"Authorization": "Basic " + "x" * 5000}, {"X-API-Key": ""}):
            answer = self.api.call("GET", "/v1/sandboxes", key=False, headers=headers)
            self.assertEqual(answer.status, 401)
        key = self.api.key
        self.assertEqual(self.api.call("GET", "/v1/sandboxes", key=False, headers={
            "Authorization": f"Bearer {key}"}).status, 200)

    def test_exec(self):
        path = f"/v1/sandboxes/{self.id}/exec"
        self.assertIn("cmd", self.refused(400, "POST", path, {}))
        self.assertIn("args", self.refused(400, "POST", path, {"cmd": "ls", "args": "x"}))
        self.assertIn("timeout_sec", self.refused(400, "POST", path, {"cmd": "ls", "timeout_sec": -5}))
        self.assertIn("nobody-here", self.refused(400, "POST", path,
                                                  {"cmd": "ls", "user": "nobody-here"}))
        self.assertIn("envs", self.refused(400, "POST", path, {"cmd": "ls", "envs": {"a": 1}}))

    def test_files(self):
        path = f"/v1/sandboxes/{self.id}/files"
        self.refused(400, "POST", f"{path}/read", {})
        self.refused(400, "POST", f"{path}/read", {"path": "/tmp/a\0b"})
        self.refused(404, "POST", f"{path}/read", {"path": "/../../no"})
        answer = self.api.raw("POST", f"{path}/write", b"garbage",
                              {"Content-Type": "multipart/form-data; boundary=x"})
        self.assertEqual(answer.status, 400)

    def test_the_host_is_out_of_reach_by_paths(self):
        """A path is the guest's, whatever it looks like."""
        answer = self.api.call("POST", f"/v1/sandboxes/{self.id}/files/read",
                               {"path": f"/../../../..{self.server.root}/api-key"})
        self.assertEqual(answer.status, 404)

    def test_raw_http(self):
        import socket
        for text in (b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"GET /health HTTP/1.1\n\n",
                     b"POST /v1/sandboxes HTTP/1.1\r\nContent-Length: 5\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10000 + b"\r\n"):
            with socket.create_connection(("127.0.0.1", self.api.port), timeout=10) as raw:
                try:
                    raw.sendall(text)
                    raw.shutdown(socket.SHUT_WR)
                    head = raw.recv(100)
                except ConnectionResetError:
                    continue  # refused so early that the rest of what we sent met a closed socket
                self.assertTrue(head == b"" or head.split()[1][:1] == b"4", (text[:30], head))
        self.assertEqual(self.api.call("GET", "/health", key=False).status, 200)
