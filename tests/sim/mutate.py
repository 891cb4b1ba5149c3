#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""mutate.py SOURCE_DIRECTORY [WORD…]

Breaks a copy of the engine in one way after the other (mutations.py; with words: those whose name has one of them),
builds the simulation with it and runs it until a check catches the mutation. One that survives is an error. Rules of
policy count apart from the engine and are no part of the simulation: their unit tests have to catch theirs.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from mutations import MUTATIONS  # noqa: E402

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-fno-strict-aliasing", "-w"]
# Short ones first; the last is what `./dev test` runs.
ROUNDS = [["--seeds", "200"], ["--sweep", "--stride", "7"], ["--sweep"], ["--seeds", "4000", "--from", "201"]]
SECONDS = 120


class Build:
    """A program as objects in a directory; one source at a time is replaced."""

    def __init__(self, root, directory, sources, libraries):
        self.root, self.directory = root, pathlib.Path(directory)
        self.includes = [f"-I{root}/libisolate/include", f"-I{root}/libisolate/src", f"-I{root}/tests/sim"]
        self.sources, self.libraries = sources, libraries
        self.compiler = os.environ.get("CC", "gcc")
        with_errors = [self.start(source, self.object_of(source)) for source in self.sources]
        for process in with_errors:
            if process.wait():
                sys.exit("what is to be mutated cannot be built")

    def object_of(self, source):
        return self.directory / f"{source.parent.name}-{source.stem}.o"

    def start(self, source, output):
        return subprocess.Popen([self.compiler, *FLAGS, *self.includes, "-c", str(source), "-o", str(output)])

    def with_source(self, path, text):
        """The program with `text` in the place of one source, or None when that does not compile."""
        mutant, output = self.directory / "mutant.c", self.directory / "mutant.o"
        mutant.write_text(text)
        if self.start(mutant, output).wait():
            return None
        objects = [str(output if source == path else self.object_of(source)) for source in self.sources]
        program = self.directory / "program"
        subprocess.run([self.compiler, *objects, *self.libraries, "-o", str(program)], check=True)
        return program


class Suite:
    """What has to catch a mutation: a program, and how it is run."""

    def __init__(self, root, directory, tests, libraries, rounds):
        engine = sorted(root.glob("libisolate/src/*.c"))
        pathlib.Path(directory).mkdir()
        self.build, self.rounds = Build(root, directory, engine + sorted(root.glob(tests)), libraries), rounds
        clean = self.hunt(self.build.with_source(engine[0], engine[0].read_text()))
        if clean:
            sys.exit(f"not mutated, and yet: {clean[0]} ({' '.join(clean[1])})")

    def hunt(self, program):
        """(check, arguments) of the first round that fails, or None."""
        for arguments in self.rounds:
            try:
                run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                return "does not end", arguments
            if run.returncode:
                return what_caught(run.stderr), arguments
        return None


def mutated(text, old, new):
    if text.count(old) != 1:
        return None
    return text.replace(old, new)


def what_caught(output):
    """The check's own sentence in what a failed run printed."""
    patterns = (r"Assertion `(.*)' failed", r"^(?:seed \d+|[a-z]+/\d+/[^:]+): (.*)$", r"^(this world has room .*)$",
                r"^\[FAIL\] ([^ ]*): ")
    for pattern in patterns:
        found = re.findall(pattern, output, re.M)
        if found:
            return found[-1]
    return "the program died"


def suites(root, directory):
    """Which suite mutations of a file are tried on, each built when it is first needed."""
    built = {}

    def suite_of(file):
        kind = "rules" if file.startswith("rules") else "sim"
        if kind not in built:
            tests, libraries, rounds = ("tests/unit/test_rules.c", ["-lcriterion"], [["-j1"]]) if kind == "rules" \
                else ("tests/sim/*.c", [], ROUNDS)
            built[kind] = Suite(root, f"{directory}/{kind}", tests, libraries, rounds)
        return built[kind]

    return suite_of


def try_one(suite, mutation):
    """A line that says what caught it; and whether something did."""
    name, file, old, new = mutation
    build = suite.build
    path = build.root / "libisolate/src" / file
    text = mutated(path.read_text(), old, new)
    if text is None:
        return f"STALE     {name}: its text does not stand once in {file}", False
    program = build.with_source(path, text)
    if program is None:
        return f"BROKEN    {name}: does not compile", False
    caught = suite.hunt(program)
    if caught is None:
        return f"SURVIVED  {name} ({file})", False
    return f"caught    {name}: {caught[0]} ({' '.join(caught[1])})", True


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    words = sys.argv[2:]
    chosen = [m for m in MUTATIONS if not words or any(word in m[0] or word == m[1] for word in words)]
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        suite_of = suites(root, directory)
        for mutation in chosen:
            line, caught = try_one(suite_of(mutation[1]), mutation)
            print(line, flush=True)
            failed += not caught
    print(f"{len(chosen)} mutations, {len(chosen) - failed} caught")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
