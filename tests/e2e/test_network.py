"""What a sandbox may reach, as far as it can be said without network slots: what is wrong is refused with
the reason, by REST and by the command line, and changes nothing. tests/host has the rest."""

import json

from harness import ServerTest

NOTHING = {"allow_internet_access": False, "allow_out": [], "deny_out": []}
WRONG = [
    ({"allow_internet_access": "yes"}, "allow_internet_access must be true or false"),
    ({"allow_out": "1.1.1.1"}, "allow_out must be a list"),
    ({"allow_out": [1]}, "allow_out must be a list of strings"),
    ({"allow_out": ["example.com"]}, "allow_out: 'example.com' is neither an IP address nor a network"),
    ({"allow_out": ["192.168.0.0/16"]}, "'192.168.0.0/16' cannot be allowed"),
    ({"allow_out": ["fe80::1"]}, "'fe80::1' cannot be allowed"),
    ({"allow_out": ["1.1.1.1\0"]}, "is neither"),
    ({"deny_out": ["1.2.3.0/33"]}, "deny_out: '1.2.3.0/33' is neither"),
    ({"deny_out": ["1.2.3.4/24"]}, "write 1.2.3.0/24 for the network, or 1.2.3.4 for the address"),
    ({"deny_out": ["1.1.1.1"] * 1001}, "deny_out: a list of 1001 networks is too long, 1000 is the most"),
    ({"upload_kbps": -1}, "upload_kbps must be between 0 and 1000000000, not -1"),
    ({"download_kbps": 0.5}, "download_kbps must be a whole number"),
    ({"download_kbps": "8"}, "download_kbps must be a whole number"),
    ({"max_connections": -1}, "max_connections must be between 0 and"),
    ({"rules": {}}, "unknown field"),
    ([], "must be an object"),
]


class Network(ServerTest):
    settings = {"env": {"WRENN_SLOTS": "off"}}

    def test_what_is_wrong_makes_no_sandbox(self):
        for network, why in WRONG:
            answer = self.api.call("POST", "/v1/sandboxes", {"template": "minimal", "network": network})
            self.assertEqual(answer.status, 400, answer.body)
            self.assertIn(why, answer.error()["message"])
        both = self.api.call("POST", "/v1/sandboxes", {"template": "minimal", "egress": True,
                                                       "network": {"allow_internet_access": False}})
        self.assertEqual(both.status, 400)
        self.assertIn("contradict each other", both.error()["message"])
        self.assertEqual(self.api.list(), [])

    def test_what_needs_a_slot_is_refused_with_the_remedy(self):
        for network in ({"allow_out": ["1.1.1.1"]}, {"deny_out": ["1.1.1.1"], "allow_internet_access": True},
                        {"upload_kbps": 1}, {"max_connections": 5}):
            answer = self.api.call("POST", "/v1/sandboxes", {"template": "minimal", "network": network})
            self.assertEqual(answer.status, 409, answer.body)
            self.assertIn("need a network slot", answer.error()["message"])
            self.assertIn("--slots off", answer.error()["message"])
        self.assertEqual(self.api.list(), [])

    def test_a_change_that_is_refused_changes_nothing(self):
        sandbox = self.sandbox(network={"allow_internet_access": False, "allow_out": []})
        path = f"/v1/sandboxes/{sandbox}"
        self.assertEqual(self.api.get(sandbox)["network"], NOTHING)
        for network, why in WRONG[:-1]:
            answer = self.api.call("PATCH", f"{path}/network", network)
            self.assertEqual(answer.status, 400, answer.body)
            self.assertIn(why, answer.error()["message"])
        for change in ({"allow_internet_access": True}, {"allow_out": ["1.1.1.1"]}):
            answer = self.api.call("PATCH", f"{path}/network", change)
            self.assertEqual(answer.status, 409, answer.body)
        record = self.api.get(sandbox)
        self.assertEqual((record["network"], record["egress"]), (NOTHING, False))
        self.assertFalse([event for event in self.api.call("GET", f"{path}/events").json()
                          if event["kind"] == "network"])
        absent = self.api.call("PATCH", "/v1/sandboxes/sb-00000000000000000000/network", {})
        self.assertEqual(absent.status, 404)

        # What is said without a slot goes on into pauses and forks.
        self.api.call("POST", f"{path}/pause", expect=200)
        self.assertEqual(self.api.call("PATCH", f"{path}/network", {}).status, 409)
        child = self.api.call("POST", f"{path}/fork", {}, expect=201).json()["sandboxes"][0]
        self.assertEqual(child["network"], NOTHING)
        self.api.delete(child["id"])

    def test_command_line(self):
        def wrenn(*arguments):
            return self.server.wrenn(*arguments, check=False)
        sandbox = self.sandbox()
        self.assertIn("INTERNET     no", wrenn("network", sandbox).stdout)
        self.assertEqual(json.loads(wrenn("network", sandbox, "--json").stdout), NOTHING)
        for arguments, why in (
                (("network", sandbox, "--allow-out", "10.0.0.1"), "'10.0.0.1' cannot be allowed"),
                (("network", sandbox, "--egress"), "--slots off"),
                (("create", "--template", "minimal", "--upload-kbps", "8"), "need a network slot")):
            refused = wrenn(*arguments)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(why, refused.stderr)
        self.assertEqual(wrenn("network", sandbox, "--upload-kbps", "x").returncode, 2)
        self.assertEqual(len(self.api.list()), 1)
