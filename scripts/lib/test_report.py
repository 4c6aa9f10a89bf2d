#!/usr/bin/env python3
"""Reads what the parts of scripts/test left in a folder, and prints what came out.

    test_report.py FOLDER [--must-run FILE] [--slowest N]

In the folder: PREFIX.xml (JUnit, from ctest), PREFIX.log (from python3 -m unittest -v) and PREFIX.part
(one line "passed", "failed" or "skipped" for a part that is a single test). Ends with the line
"N passed, N failed, N skipped"; exits with 1 when a test failed, or one that must run did not.
"""

import argparse
import fnmatch
import glob
import os
import re
import sys
import xml.etree.ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def read_junit(path, prefix):
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name, seconds = f"{prefix}.{case.get('name')}", float(case.get("time") or 0)
        if case.find("skipped") is not None or case.get("status") in ("disabled", "notrun"):
            output = case.findtext("system-out") or ""
            reason = re.search(r"Skipped\n(.*?)\n*\[  SKIPPED", output, re.S)
            why = reason.group(1).strip() if reason else (case.find("skipped").get("message") or "")
            yield name, SKIPPED, seconds, why
        elif case.find("failure") is not None or case.get("status") == "fail":
            yield name, FAILED, seconds, ""
        else:
            yield name, PASSED, seconds, ""


def read_unittest(path, prefix):
    """Lines as "test_x (test_exec.Exec.test_x) ... ok"; output may stand between name and result."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    pending = None
    for line in text.splitlines():
        begin = re.match(r"(\w+) \(([\w.]+)\)", line)
        if begin:
            name = begin.group(2)
            if not name.endswith("." + begin.group(1)):
                name += "." + begin.group(1)
            if pending and " ... " in line:
                yield pending, FAILED, 0, "no result"
            pending = f"{prefix}.{name}"
        result = re.search(r"(?:\.\.\. |^)(ok|FAIL|ERROR|expected failure|skipped '?(.*?)'?)$", line)
        if pending and result:
            word = result.group(1)
            outcome = PASSED if word in ("ok", "expected failure") else (
                SKIPPED if word.startswith("skipped") else FAILED)
            yield pending, outcome, 0, result.group(2) or ""
            pending = None
    if pending:
        yield pending, FAILED, 0, "no result"
    if not re.search(r"^Ran \d+ tests? in ", text, re.M):
        yield f"{prefix}.run", FAILED, 0, "it ended before its tests did"


def read_all(folder):
    for path in sorted(glob.glob(f"{folder}/*")):
        prefix, kind = os.path.splitext(os.path.basename(path))
        if kind == ".xml":
            yield from read_junit(path, prefix)
        elif kind == ".log" and prefix == "e2e":
            yield from read_unittest(path, prefix)
        elif kind == ".part":
            with open(path, encoding="utf-8") as file:
                yield prefix, file.readline().strip(), 0, ""


def check_must_run(path, results):
    with open(path, encoding="utf-8") as file:
        patterns = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    for pattern in patterns:
        matching = [result for result in results if fnmatch.fnmatchcase(result[0], pattern)]
        if not matching:
            yield pattern, FAILED, 0, "must run, but no test has such a name"
        for name, outcome, _, why in matching:
            if outcome == SKIPPED:
                yield name, FAILED, 0, f"must run, but was skipped: {why}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--must-run")
    parser.add_argument("--slowest", type=int, default=0)
    options = parser.parse_args()

    results = list(read_all(options.folder))
    if options.must_run:
        faults = list(check_must_run(options.must_run, results))
        skipped = {name for name, *_ in faults}
        results = [result for result in results if result[0] not in skipped] + faults

    skipped = [result for result in results if result[1] == SKIPPED]
    failed = [result for result in results if result[1] not in (PASSED, SKIPPED)]
    if options.slowest:
        print("\nslowest tests:")
        for name, _, seconds, _ in sorted(results, key=lambda r: -r[2])[:options.slowest]:
            print(f"  {seconds:8.1f} s  {name}")
    if skipped:
        print("\nskipped:")
        for name, _, _, why in skipped:
            print(f"  {name}{': ' + why.splitlines()[-1].strip() if why else ''}")
    if failed:
        print("\nfailed:")
        for name, _, _, why in failed:
            print(f"  {name}{': ' + why if why else ''}")
    passed = len(results) - len(skipped) - len(failed)
    print(f"\n{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
