#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""report.py BUILD_DIRECTORY [--lines PERCENT] [--branches PERCENT]

What the tests that ran in a coverage build have executed of the engine: lines and branches per file and in all, and where
the rest is. Judges the sums. Of the branches, those of the macro assert() are left out and nothing else: the other side of
an assertion that holds cannot be taken. Markers in the source count for nothing.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import subprocess
import sys

SOURCES = "libisolate/src/"
ASSERTION = re.compile(r"\s*assert\(")
LINES, BRANCHES = 95.0, 85.0
WHERE_CHARACTERS = 60


@dataclasses.dataclass
class Counts:
    lines: int = 0
    lines_taken: int = 0
    branches: int = 0
    branches_taken: int = 0

    def __iadd__(self, other):
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self


def percent(taken, total):
    """A file without branches lacks none of them."""
    return 100.0 * taken / total if total else 100.0


def measure(build):
    """gcovr's own JSON of all object files below the build directory."""
    command = ["gcovr", "--root", ".", "--filter", SOURCES, "--no-markers", "--json", "-", build]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def count(file, source):
    """Counts of one file, the lines that were never executed, and those with a branch that was never taken."""
    counts, dark, half = Counts(), [], []
    for line in file["lines"]:
        is_assertion = ASSERTION.match(source[line["line_number"] - 1])
        branches = [] if is_assertion else line.get("branches", [])
        taken = sum(branch["count"] > 0 for branch in branches)
        counts += Counts(1, line["count"] > 0, len(branches), taken)
        if not line["count"]:
            dark.append(line["line_number"])
        elif taken < len(branches):
            half.append(line["line_number"])
    return counts, dark, half


def ranges(numbers):
    """[1, 2, 3, 7] as '1-3,7'."""
    found = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def wrapped(title, text):
    """Lines of text below a file's row, broken at commas."""
    rows, row = [], ""
    for piece in text.split(","):
        if row and len(row) + len(piece) >= WHERE_CHARACTERS:
            rows.append(row)
            row = ""
        row += ("," if row else "") + piece
    return [f"    {title if not i else '':<9} {row}" for i, row in enumerate([*rows, row])] if text else []


def row_of(name, counts):
    return (f"{name:<28} {counts.lines_taken:>5} of {counts.lines:>5} lines {percent(counts.lines_taken, counts.lines):6.1f} %"
            f"   {counts.branches_taken:>5} of {counts.branches:>5} branches"
            f" {percent(counts.branches_taken, counts.branches):6.1f} %")


def source_lines(name):
    return pathlib.Path(name).read_text().splitlines()


def report(measured, lines, branches, source_of=source_lines):
    """Return: the text, and whether both sums are at least what is asked for."""
    total, text = Counts(), []
    for file in sorted(measured["files"], key=lambda file: file["file"]):
        counts, dark, half = count(file, source_of(file["file"]))
        total += counts
        text.append(row_of(file["file"].removeprefix(SOURCES), counts))
        text += wrapped("never run", ranges(dark)) + wrapped("one way", ranges(half))
    text.append(row_of("all", total))
    good = total.lines > 0
    for what, is_percent, asked in (("lines", percent(total.lines_taken, total.lines), lines),
                                    ("branches", percent(total.branches_taken, total.branches), branches)):
        enough = is_percent >= asked
        good = good and enough
        text.append(f"{what}: {is_percent:.2f} % of at least {asked:g} %{'' if enough else '  MISSED'}")
    return "\n".join(text), good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("build")
    parser.add_argument("--lines", type=float, default=LINES, help="percent that must be reached (%(default)s)")
    parser.add_argument("--branches", type=float, default=BRANCHES, help="percent that must be reached (%(default)s)")
    options = parser.parse_args()
    text, good = report(measure(options.build), options.lines, options.branches)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
