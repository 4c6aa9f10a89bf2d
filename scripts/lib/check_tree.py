#!/usr/bin/env python3
"""Checks the rules of the tree that a compiler does not: run by scripts/lint from the top folder.

- layering: a file of src/FOLDER includes only FOLDER and what its line in CMakeLists.txt names after
  DEPS, and DEPS names only folders declared before;
- sources have at most 450 lines (tests 700), and a header begins with #pragma once;
- TODO has a reason: "TODO: what, and why not now";
- text files have no trailing blanks, and end with one newline;
- docs/architecture.md names every folder at the top and every one below src/ that has files.
"""

import os
import re
import subprocess
import sys

MAX_LINES = 450
MAX_TEST_LINES = 700
BINARY = (".png", ".jpg", ".gz", ".zst", ".xz", ".ico", ".woff2")
# Bytes as they are: inputs of fuzz targets and recorded output.
AS_IS = ("tests/fuzz/corpus/", "src/testdata/")

ARCHITECTURE = "docs/architecture.md"

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def read_layers():
    """Folder -> the folders it may include."""
    layers = {}
    with open("CMakeLists.txt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = re.match(r"wrenn_folder\((\w+)\s*(?:DEPS\s+([\w\s]+))?\)", line)
            if not match:
                continue
            folder, deps = match.group(1), (match.group(2) or "").split()
            for dep in deps:
                if dep not in layers:
                    problem("CMakeLists.txt", number,
                            f"src/{folder} depends on src/{dep}, which is not below it")
            layers[folder] = {folder, *deps}
    if not layers:
        problem("CMakeLists.txt", 1, "no wrenn_folder() found: has the layering moved?")
    return layers


def check_includes(path, lines, layers):
    folder = path.split("/")[1]
    if folder not in layers:
        return
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s+"([^/"]+)/', line)
        if match and match.group(1) in layers and match.group(1) not in layers[folder]:
            problem(path, number, f"src/{folder} may not include src/{match.group(1)} "
                                  "(see the order in CMakeLists.txt)")


def check_text(path, text, lines):
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            problem(path, number, "blanks at the end of the line")
        if re.search(r"\bTODO\b", line) and not re.search(r"\bTODO(\([^)]+\))?: .{10,}", line):
            if not path.endswith((".md", "check_tree.py", "lint")):
                problem(path, number, "a TODO without a reason")
    if text and not text.endswith("\n"):
        problem(path, len(lines), "no newline at the end")
    if text.endswith("\n\n"):
        problem(path, len(lines), "empty lines at the end")


def check_folders(paths):
    with open(ARCHITECTURE, encoding="utf-8") as file:
        named = set(re.findall(r"^\| `([^`]+)` \|", file.read(), re.MULTILINE))
    folders = {path.split("/")[0] for path in paths if "/" in path} - {"src"}
    folders |= {os.path.dirname(path) for path in paths if path.startswith("src/")} - {"src"}
    for folder in sorted(folders - named):
        problem(ARCHITECTURE, 1, f"the table of folders has no line for `{folder}`")
    for folder in sorted(named - folders):
        problem(ARCHITECTURE, 1, f"the table of folders has `{folder}`, which is not there")


def main():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            check=True, capture_output=True).stdout
    layers = read_layers()
    # What is deleted, but not committed yet, is still listed.
    paths = [path for path in sorted(filter(None, listed.decode().split("\0"))) if os.path.isfile(path)]
    check_folders(paths)
    for path in paths:
        if path.endswith(BINARY) or path.startswith(AS_IS):
            continue
        try:
            with open(path, encoding="utf-8", newline="") as file:
                text = file.read()
        except UnicodeDecodeError:
            problem(path, 1, "not UTF-8 text")
            continue
        lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
        check_text(path, text, lines)
        if path.startswith("src/") and path.endswith((".h", ".cc")):
            check_includes(path, lines, layers)
            most = MAX_TEST_LINES if path.endswith("_test.cc") else MAX_LINES
            if len(lines) > most:
                problem(path, most, f"{len(lines)} lines: split it, {most} is the most")
            if path.endswith(".h") and "#pragma once" not in text:
                problem(path, 1, "a header without #pragma once")
    for text in problems:
        print(text)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
