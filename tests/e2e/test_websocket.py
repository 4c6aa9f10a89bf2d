"""Every message of the two WebSockets, each checked against openapi.yaml by the client of the tests."""

import base64
import json

from harness import SharedSandboxTest, unique


def say(socket, kind, **fields):
    socket.send(json.dumps({"type": kind, **fields}))


def hear(socket, kind):
    """The next text message, which is of that kind."""
    message = json.loads(socket.recv())
    assert message["type"] == kind, message
    return message


class ExecStream(SharedSandboxTest):
    def setUp(self):
        self.socket = self.api.websocket(f"/v1/sandboxes/{self.id}/exec/stream")
        self.addCleanup(self.socket.close)

    def said(self, count):
        """So many bytes of the command's output."""
        data = b""
        while len(data) < count:
            message = hear(self.socket, "stdout")
            text = message["data"]
            data += base64.b64decode(text) if "encoding" in message else text.encode()
        return data

    def test_input_of_every_form_comes_back(self):
        say(self.socket, "start", cmd="/bin/cat", stdin=True, envs={"A": "b"}, cwd="/tmp", user="root",
            tag=unique("cat"), timeout_sec=60)
        self.assertGreater(hear(self.socket, "start")["pid"], 1)
        say(self.socket, "stdin", data="texté")
        self.assertEqual(self.said(6), "texté".encode())
        say(self.socket, "stdin", data=base64.b64encode(b"\xff\xfe").decode(), encoding="base64")
        self.socket.send_binary(b"\xfd")
        self.assertEqual(self.said(3), b"\xff\xfe\xfd")
        say(self.socket, "stdin_close")
        ended = hear(self.socket, "exit")
        self.assertEqual((ended["exit_code"], ended["timed_out"]), (0, False))

    def test_signal_is_caught(self):
        say(self.socket, "start", cmd="/bin/sh", args=["-c", "trap 'exit 7' USR1; echo; while :; do sleep 0.1; done"])
        hear(self.socket, "start")
        self.said(1)
        say(self.socket, "signal", signal="SIGUSR1")
        self.assertEqual(hear(self.socket, "exit")["exit_code"], 7)

    def test_attached_by_pid_and_stopped(self):
        say(self.socket, "start", cmd="sleep", args=["500"])
        pid = hear(self.socket, "start")["pid"]
        other = self.api.websocket(f"/v1/sandboxes/{self.id}/exec/stream")
        self.addCleanup(other.close)
        say(other, "attach", pid=pid)
        self.assertEqual(hear(other, "start")["pid"], pid)
        say(other, "stop")
        for socket in (other, self.socket):
            self.assertEqual(hear(socket, "exit")["exit_code"], -1)

    def test_what_is_not_specified_is_refused(self):
        say(self.socket, "start", cmd="/bin/cat", stdin=True)
        hear(self.socket, "start")
        for wrong in ("no JSON", '"stdin"', "{}", '{"type":"nonesuch"}', '{"type":"stdin","data":1}',
                      '{"type":"stdin","data":"x","encoding":"latin-1"}', '{"type":"stdin_close","more":1}',
                      '{"type":"signal","signal":"SIGSEGV"}', '{"type":"resize","cols":1,"rows":1}',
                      '{"type":"stop","signal":"SIGTERM"}'):
            with self.subTest(wrong):
                self.socket.send_wrong(wrong)
                self.assertEqual(hear(self.socket, "error")["code"], "invalid_argument")
        say(self.socket, "stdin", data="still here")
        self.assertEqual(self.said(10), b"still here")
        say(self.socket, "stop")
        hear(self.socket, "exit")

    def test_wrong_first_message_ends_it(self):
        for wrong in ('{"type":"start"}', '{"type":"start","cmd":"true","more":1}', '{"type":"attach","more":1}',
                      '{"type":"start","cmd":"true","timeout_sec":-1}', '{"type":"start","cmd":"true","cols":80}'):
            with self.subTest(wrong):
                socket = self.api.websocket(f"/v1/sandboxes/{self.id}/exec/stream")
                self.addCleanup(socket.close)
                socket.send_wrong(wrong)
                self.assertEqual(hear(socket, "error")["code"], "invalid_argument")
                self.assertEqual(socket.recv(), "")


class Pty(SharedSandboxTest):
    def open(self, kind, **fields):
        socket = self.api.websocket(f"/v1/sandboxes/{self.id}/pty")
        self.addCleanup(socket.close)
        say(socket, kind, **fields)
        return socket, hear(socket, "start")["pid"]

    def until(self, socket, text):
        """Reads the terminal until it has said this."""
        screen = b""
        while text not in screen:
            message = socket.recv()
            assert isinstance(message, bytes), message
            screen += message

    def test_size_signals_and_ends(self):
        socket, pid = self.open("start", cols=91, rows=31, cmd="/bin/sh", args=["-i"], envs={"A": "b"}, cwd="/tmp",
                                user="root", tag=unique("pty"), timeout_sec=60)
        socket.send_binary(b"stty size\n")
        self.until(socket, b"31 91")
        say(socket, "resize", cols=92, rows=32)
        socket.send_binary(b"stty size\n")
        self.until(socket, b"32 92")
        other, same = self.open("attach", pid=pid, cols=93, rows=33)
        self.assertEqual(same, pid)
        other.send_binary(b"trap 'echo caught $((40 + 2))' USR1; stty size\n")
        self.until(other, b"33 93")
        say(other, "signal", signal="USR1")
        other.send_binary(b"\n")
        self.until(other, b"caught 42")
        say(other, "stop")
        message = other.recv()
        while isinstance(message, bytes):
            message = other.recv()
        self.assertEqual(json.loads(message)["exit_code"], -1)

    def test_what_is_not_specified_is_refused(self):
        socket, _ = self.open("start", cmd="/bin/cat")
        for wrong in ('{"type":"resize","cols":0,"rows":1}', '{"type":"resize","cols":5000,"rows":1}',
                      '{"type":"resize"}', '{"type":"stdin","data":"x"}', '{"type":"stdin_close"}', "[]"):
            with self.subTest(wrong):
                socket.send_wrong(wrong)
                self.assertEqual(hear(socket, "error")["code"], "invalid_argument")
        say(socket, "stop")
        hear(socket, "exit")
