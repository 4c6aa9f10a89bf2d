#!/usr/bin/env python3
"""Whatever goes wrong in a step, test_report.py must not call it passed."""

import contextlib
import io
import os
import tempfile
import unittest
from unittest import mock

import test_report

PYTEST = '<testcase classname="test_x.X" name="{}">{}</testcase>'


def junit(cases):
    return f"<testsuite>{cases}</testsuite>"


class Report(unittest.TestCase):
    def report(self, **files):
        """Exit status and text for these files, "unit_xml" standing for unit.xml."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"build_part": "passed\n", **files}.items():
                with open(os.path.join(folder, name.replace("_", ".")), "w", encoding="utf-8") as file:
                    file.write(text)
            out = io.StringIO()
            with mock.patch("sys.argv", ["test_report.py", folder]), contextlib.redirect_stdout(out):
                return test_report.main(), out.getvalue()

    def test_all_is_well(self):
        status, text = self.report(
            unit_xml=junit('<testcase name="a" classname="a"/>'), unit_status="0\n",
            e2e_xml=junit(PYTEST.format("test_a", "")), e2e_status="0\n")
        self.assertIn("3 passed, 0 failed, 0 skipped", text)
        self.assertEqual(status, 0)

    def test_every_kind_of_failure_counts(self):
        for case in (PYTEST.format("test_b", "<failure/>"), PYTEST.format("test_b", "<error/>"),
                     '<testcase classname="test_x.X.test_b" name="test_x.X.test_b" status="fail"/>'):
            status, text = self.report(e2e_xml=junit(PYTEST.format("test_a", "") + case),
                                       e2e_status="1\n")
            self.assertIn("2 passed, 1 failed", text)
            self.assertIn("e2e.test_x.X.test_b", text)
            self.assertEqual(status, 1)

    def test_what_failed_is_shown_with_the_end_of_what_it_printed(self):
        _, text = self.report(
            e2e_xml=junit(PYTEST.format("test_b", "<system-out>said\n</system-out>"
                                        "<failure>first\n" + "line\n" * 60 + "1 is not 2</failure>")),
            host_xml=junit('<testcase name="c" status="fail"><system-out>Traceback</system-out></testcase>'),
            e2e_status="1\n", host_status="8\n")
        self.assertIn("e2e.test_x.X.test_b\n    | line\n", text)
        self.assertIn("    | 1 is not 2\n", text)
        self.assertIn("host.c\n    | Traceback\n", text)
        self.assertNotIn("first", text)

    def test_what_is_skipped_says_why(self):
        status, text = self.report(
            e2e_xml=junit(PYTEST.format("test_b", '<skipped message="no KVM"/>') +
                          PYTEST.format("test_a", "")), e2e_status="0\n")
        self.assertIn("e2e.test_x.X.test_b: no KVM", text)
        self.assertEqual(status, 0)

    def test_a_step_that_fails_without_a_failed_test(self):
        status, text = self.report(unit_xml=junit('<testcase name="a"/>'), unit_status="8\n")
        self.assertIn("unit.run: it ended with status 8", text)
        self.assertEqual(status, 1)

    def test_results_that_are_cut_or_missing(self):
        for files in ({"unit_xml": "<testsuite><testcase"}, {}):
            status, text = self.report(unit_status="0\n", e2e_status="0\n",
                                       e2e_xml=junit(PYTEST.format("test_a", "")), **files)
            self.assertIn("1 failed", text)
            self.assertEqual(status, 1)

    def test_a_filter_that_matches_nothing(self):
        ended, text = self.report(unit_xml=junit(""), unit_status="0\n", e2e_xml=junit(""),
                                  e2e_status="5\n")
        self.assertIn("no test ran", text)
        self.assertEqual(ended, 1)
        ended, _ = self.report(unit_xml=junit('<testcase name="a"/>'), unit_status="0\n",
                               e2e_xml=junit(""), e2e_status="5\n")
        self.assertEqual(ended, 0)


if __name__ == "__main__":
    unittest.main()
