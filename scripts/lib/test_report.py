#!/usr/bin/env python3
"""Reads what the parts of scripts/test left in a folder, and prints what came out.

    test_report.py FOLDER [--must-run FILE] [--slowest N]

In the folder: PREFIX.xml (JUnit, from ctest and pytest), beside each of them PREFIX.status (what that
program ended with), and PREFIX.part (one line "passed", "failed" or "skipped" for a part that is a
single test). What failed is shown with the end of what it printed. Ends with the line
"N passed, N failed, N skipped"; exits with 1 when a test failed, or one that must run did not, or none
ran.
"""

import argparse
import fnmatch
import glob
import os
import re
import sys
import xml.etree.ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


# Of a failed test, which is what there is of a run on a machine that nobody sees.
LINES_SHOWN = 40


def printed_by(case):
    """What a test case says, the reason of its failure last."""
    parts = [case.find("system-out")] + [case.find(kind) for kind in ("failure", "error")]
    return "\n".join(part.text for part in parts if part is not None and part.text)


def end_of(text):
    return "".join(f"\n    | {line}" for line in text.strip().splitlines()[-LINES_SHOWN:])


def read_junit(path, prefix):
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except xml.etree.ElementTree.ParseError as error:
        yield f"{prefix}.run", FAILED, 0, f"its results cannot be read: {error}"
        return
    for case in root.iter("testcase"):
        name, place = case.get("name"), case.get("classname") or ""
        # CTest names a test alike in both; pytest tells its class apart.
        name = f"{prefix}.{name if place in ('', name) else f'{place}.{name}'}"
        seconds = float(case.get("time") or 0)
        skipped = case.find("skipped")
        if skipped is not None or case.get("status") in ("disabled", "notrun"):
            output = case.findtext("system-out") or ""
            reason = re.search(r"Skipped\n(.*?)\n*\[  SKIPPED", output, re.S)
            message = (skipped.get("message") or "") if skipped is not None else ""
            yield name, SKIPPED, seconds, reason.group(1).strip() if reason else message
        elif any(case.find(kind) is not None for kind in ("failure", "error")) or \
                case.get("status") == "fail":
            yield name, FAILED, seconds, end_of(printed_by(case))
        else:
            yield name, PASSED, seconds, ""


# What pytest ends with when its filter matches no test.
NO_TESTS = "5"


def read_status(path, prefix, results):
    """What a step of many tests ended with, against what they say themselves."""
    with open(path, encoding="utf-8") as file:
        status = file.readline().strip()
    of_it = [result for result in results if result[0].startswith(prefix + ".")]
    if not os.path.exists(os.path.splitext(path)[0] + ".xml"):
        yield f"{prefix}.run", FAILED, 0, "it left no results"
    elif status == NO_TESTS and not of_it:
        return
    elif status != "0" and all(outcome != FAILED for _, outcome, _, _ in of_it):
        yield f"{prefix}.run", FAILED, 0, f"it ended with status {status}, but no test of it failed"


def read_all(folder):
    results, tests = [], []
    for path in sorted(glob.glob(f"{folder}/*")):
        prefix, kind = os.path.splitext(os.path.basename(path))
        if kind == ".xml":
            tests += read_junit(path, prefix)
        elif kind == ".part":
            with open(path, encoding="utf-8") as file:
                results.append((prefix, file.readline().strip(), 0, ""))
    statuses = sorted(glob.glob(f"{folder}/*.status"))
    for path in statuses:
        results += read_status(path, os.path.splitext(os.path.basename(path))[0], tests)
    if statuses and all(outcome == SKIPPED for _, outcome, _, _ in tests):
        results.append(("run", FAILED, 0, "no test ran: does the filter match any?"))
    return results + tests


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

    results = read_all(options.folder)
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
            print(f"  {name}{'' if why[:1] in ('', chr(10)) else ': '}{why}")
    passed = len(results) - len(skipped) - len(failed)
    print(f"\n{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
