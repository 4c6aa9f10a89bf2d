#!/usr/bin/env python3
"""Whatever goes wrong in a step, test_report.py must not call it passed."""

import contextlib
import io
import os
import tempfile
import unittest
from unittest import mock

import test_report

OK = "test_a (test_x.X.test_a) ... ok\n"
RULE = "=" * 70
FAILURE = f"\n{RULE}\nFAIL: test_b (test_x.X.test_b)\n{'-' * 70}\nTraceback\n"


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
            unit_xml=junit('<testcase name="a"/>'), unit_status="0\n",
            e2e_log=OK + "\nRan 1 test in 1.0s\n\nOK\n", e2e_status="0\n")
        self.assertIn("3 passed, 0 failed, 0 skipped", text)
        self.assertEqual(status, 0)

    def test_what_a_test_prints_is_not_its_result(self):
        log = OK + "test_b (test_x.X.test_b) ... ok\nok\nFAIL\n" + FAILURE
        status, text = self.report(e2e_log=log + "\nRan 2 tests in 1s\n\nFAILED (failures=1)\n",
                                   e2e_status="1\n")
        self.assertIn("2 passed, 1 failed", text)
        self.assertIn("e2e.test_x.X.test_b", text)
        self.assertEqual(status, 1)

    def test_a_failure_in_a_subtest_or_a_setup_counts_once(self):
        log = ("test_b (test_x.X.test_b) ... \n  test_b (test_x.X.test_b) (i=1) ... FAIL\n"
               "setUpClass (test_y.Y) ... ERROR\n" +
               FAILURE.replace("X.test_b)", "X.test_b) (i=1)") +
               f"\n{RULE}\nERROR: setUpClass (test_y.Y)\n")
        status, text = self.report(
            e2e_log=log + "\nRan 1 test in 1s\n\nFAILED (failures=1, errors=1)\n", e2e_status="1\n")
        self.assertIn("1 passed, 2 failed", text)
        self.assertEqual(status, 1)

    def test_a_trailer_that_counts_more(self):
        status, text = self.report(e2e_log=OK + "\nRan 1 test in 1s\n\nFAILED (errors=1)\n",
                                   e2e_status="1\n")
        self.assertIn("it counts more", text)
        self.assertEqual(status, 1)

    def test_a_step_that_fails_without_a_failed_test(self):
        for files in ({"unit_xml": junit('<testcase name="a"/>')}, {}):
            status, text = self.report(unit_status="8\n", e2e_log=OK + "\nRan 1 test in 1s\n\nOK\n",
                                       e2e_status="0\n", **files)
            self.assertIn("unit.run: it ended with status 8", text)
            self.assertEqual(status, 1)

    def test_results_that_are_cut_or_missing(self):
        for files in ({"unit_xml": "<testsuite><testcase"}, {}):
            status, text = self.report(unit_status="0\n", e2e_log=OK + "\nRan 1 test in 1s\n\nOK\n",
                                       e2e_status="0\n", **files)
            self.assertIn("1 failed", text)
            self.assertEqual(status, 1)

    def test_a_filter_that_matches_nothing(self):
        for status, log in (("0\n", "\nRan 0 tests in 0s\n\nOK\n"),
                            ("5\n", "\nRan 0 tests in 0s\n\nNO TESTS RAN\n")):
            ended, text = self.report(unit_xml=junit(""), unit_status="0\n", e2e_log=log,
                                      e2e_status=status)
            self.assertIn("no test ran", text)
            self.assertEqual(ended, 1)
            ended, _ = self.report(unit_xml=junit('<testcase name="a"/>'), unit_status="0\n",
                                   e2e_log=log, e2e_status=status)
            self.assertEqual(ended, 0)


if __name__ == "__main__":
    unittest.main()
