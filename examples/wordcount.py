#!/usr/bin/env python3
"""Counts the words and lines of a text, prints a table, and writes the result to files.

    wordcount.py TEXT [--top N] [--json FILE] [--csv FILE]
"""

import argparse
import collections
import csv
import json
import platform
import re
import statistics
import time


def analyse(path, top):
    begin = time.perf_counter()
    words = collections.Counter()
    lengths = []
    with open(path, encoding="utf-8", errors="replace") as text:
        for line in text:
            lengths.append(len(line.rstrip("\n")))
            words.update(re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", line.lower()))
    full = [length for length in lengths if length]
    return {
        "file": path,
        "lines": len(lengths),
        "empty_lines": len(lengths) - len(full),
        "words": sum(words.values()),
        "different_words": len(words),
        "longest_line": max(lengths, default=0),
        "mean_line": round(statistics.mean(full), 1) if full else 0,
        "median_line": statistics.median(full) if full else 0,
        "seconds": round(time.perf_counter() - begin, 3),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()}, host name {platform.node()}",
        "top": dict(words.most_common(top)),
    }


def print_table(result):
    print(f"{'word':<16}{'count':>8}{'share':>9}")
    widest = max(result["top"].values(), default=1)
    for word, count in result["top"].items():
        bar = "#" * round(30 * count / widest)
        print(f"{word:<16}{count:>8}{count / result['words']:>9.2%}  {bar}")
    print()
    for key in ("lines", "empty_lines", "words", "different_words", "longest_line", "mean_line",
                "median_line", "seconds"):
        print(f"{key.replace('_', ' '):<16}{result[key]:>8}")
    print(f"\nPython {result['python']} on {result['machine']}")


def main():
    parser = argparse.ArgumentParser(description="Counts the words and lines of a text.")
    parser.add_argument("text")
    parser.add_argument("--top", type=int, default=12, help="how many words to show (default 12)")
    parser.add_argument("--json", help="write the result to this file")
    parser.add_argument("--csv", help="write the words and their counts to this file")
    options = parser.parse_args()

    result = analyse(options.text, options.top)
    print_table(result)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump(result, out, indent=1, ensure_ascii=False)
            out.write("\n")
    if options.csv:
        with open(options.csv, "w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("word", "count"), *result["top"].items()])


if __name__ == "__main__":
    main()
