#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""shape.py SOURCE_DIRECTORY

What git tracks there: files of at most 600 lines, functions of at most 70, the SPDX line first, no words that promise
work instead of doing it, no paths of the machine it was built on.
"""

import ast
import pathlib
import re
import subprocess
import sys

FILE_LINES, FUNCTION_LINES = 600, 70

# What is longer today: {path or path:function: lines}. It may shrink and must not grow; who shortens one takes it out.
LONGER = {}

LICENCE = "SPDX-License-Identifier: LGPL-2.1-or-later"
WORDS = re.compile(r"\b(stub|todo|fixme|xxx|hack(?!ing))s?\b", re.I)
MACHINE = re.compile(r"(?<![\w.-])/(?:work|home|root|mnt|build)/(?!\$)\w[\w.-]*/")
CODE = (".c", ".h", ".py", ".sh", ".S", ".ld", ".cmake", ".toml", ".service", ".sysusers", ".tmpfiles")
CODE_NAMES = {"CMakeLists.txt", "dev", "run", "daxmgrctl"}
# Data that tools compare byte by byte, and the licence itself.
DATA = re.compile(r"(^LICENSE$|^tests/data/|^tests/fuzz/corpus/)")
# This file has to name what it looks for.
OWN = {"tests/tidy/shape.py", "tests/tidy/shape_trips.py"}


def tracked(root):
    names = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"], check=True,
                           capture_output=True, text=True).stdout
    return [name for name in names.split("\0") if name and (root / name).is_file()]


def c_functions(lines):
    """(name, lines) in kernel layout: the body's braces stand in the first column."""
    start, name = None, ""
    for number, line in enumerate(lines):
        match = re.match(r"(?!static const|struct \w+ \{|enum |union )[A-Za-z_].*?\b(\w+)\((?!.*;$)", line)
        if match and not line.startswith("#"):
            start, name = number, match.group(1)
        elif line.startswith("}") and start is not None:
            yield name, number - start + 1
            start = None


def shell_functions(lines):
    start, name = None, ""
    for number, line in enumerate(lines):
        match = re.match(r"(\w+)\(\) \{$", line)
        if match:
            start, name = number, match.group(1)
        elif line == "}" and start is not None:
            yield name, number - start + 1
            start = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def functions(name, text):
    if name.endswith((".c", ".h")):
        return c_functions(text.splitlines())
    if name.endswith(".py"):
        return python_functions(text)
    if text.startswith("#!/bin/"):
        return shell_functions(text.splitlines())
    return ()


def is_code(name):
    path = pathlib.PurePath(name)
    return path.suffix in CODE or path.name in CODE_NAMES


def licence_is_first(lines):
    return any(LICENCE in line for line in lines[:2 if lines and lines[0].startswith("#!") else 1])


def too_long(what, lines, most):
    if lines > LONGER.get(what, most):
        return f"{what}: {lines} lines, at most {LONGER.get(what, most)}"
    if what in LONGER and lines <= most:
        return f"{what}: {lines} lines now: take it out of LONGER in tests/tidy/shape.py"
    return None


def problems_of(name, text):
    lines = text.splitlines()
    if is_code(name):
        if lines and not licence_is_first(lines):
            yield f"{name}:1: the line '{LICENCE}' is missing"
        yield too_long(name, len(lines), FILE_LINES)
        for function, length in functions(name, text):
            yield too_long(f"{name}:{function}", length, FUNCTION_LINES)
    for number, line in enumerate(lines, 1):
        word, path = WORDS.search(line), MACHINE.search(line)
        if word and name not in OWN:
            yield f"{name}:{number}: '{word.group()}'"
        if path and name not in OWN:
            yield f"{name}:{number}: {path.group()} is a path of one machine"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    names = [name for name in tracked(root) if not DATA.search(name)]
    problems = [f"{root}: git tracks nothing there"] if not names else []
    for name in names:
        problems += [problem for problem in problems_of(name, (root / name).read_text()) if problem]
    print("\n".join(problems) or f"{len(names)} files are in shape")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
