"""A WebSocket whose text messages, both ways, are checked against openapi.yaml as they pass."""

import websocket

import openapi


class CheckedWebSocket(websocket.WebSocket):
    path = None

    def send(self, payload, opcode=websocket.ABNF.OPCODE_TEXT):
        if opcode == websocket.ABNF.OPCODE_TEXT:
            openapi.check_message(self.path, "client", payload)
        return super().send(payload, opcode)

    def send_wrong(self, payload):
        """A text message that openapi.yaml does not have."""
        try:
            openapi.check_message(self.path, "client", payload)
        except (AssertionError, ValueError):
            return super().send(payload)
        raise AssertionError(f"openapi.yaml has {payload!r}")

    def recv(self):
        message = super().recv()
        if isinstance(message, str) and message:  # "" is the other side's close
            openapi.check_message(self.path, "server", message)
        return message

    def close(self, **options):
        super().close(**options)
        self.shutdown()  # which it leaves out when the other side has closed


def connect(port, path, key):
    made = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", class_=CheckedWebSocket,
                                       header=[f"X-API-Key: {key}"], timeout=300)
    made.path = path
    return made
