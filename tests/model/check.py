#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check.py [--two-faults] DIRECTORY

Searches all states of recovery.pml with spin, in DIRECTORY: no assertion fails, every run comes to rest, nobody is starved.
Then each seeded mistake must be found; a model that finds nothing proves nothing.
"""

import argparse
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys

MODEL = pathlib.Path(__file__).with_name("recovery.pml")
MEBIBYTES = 3000
DEPTH = 200000


@dataclasses.dataclass(frozen=True)
class Search:
    """One search of all states: of assertions and where runs end, or of a temporal property under weak fairness."""
    name: str
    defines: tuple
    property: str = ""
    options: tuple = ()


ONE = ("-DFAULTS=1",)
ODD = ("-DFAULTS=1", "-DODD_VMS")
LEAVE = ("-DFAULTS=1", "-DTENANTS_LEAVE")
SEARCHES = [
    Search("one fault, VMs of all kinds", ODD),
    Search("one fault, comes to rest", ONE, "comes_to_rest"),
    Search("one fault, lower one is not starved", LEAVE, "lower_is_not_starved"),
]
TWO_FAULTS = [Search("two faults", ("-DFAULTS=2",))]

# {number in recovery.pml: what is wrong, and the search that finds it}
MISTAKES = {
    1: Search("what a VM had is removed without looking who maps it", ODD),
    2: Search("memory is revoked although pages are pinned", ODD),
    3: Search("a lost region takes leases", ONE),
    4: Search("a region in the way goes on taking tenants", LEAVE, "lower_is_not_starved"),
    5: Search("the order of decoders is ignored", ONE),
    6: Search("the deed comes before its intent", ONE),
    # The other way round through the transitions: the first that is found is not far down there.
    7: Search("a completion is taken for that of another operation", ("-DFAULTS=2", "-DODD_VMS"), options=("-DT_REVERSE",)),
    8: Search("what was refused is not tried again", ODD),
    9: Search("an observation that an operation overlapped is believed", ONE, "comes_to_rest"),
    10: Search("a fault does not void a grant", ONE),
}


def run(command, directory, what):
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{what}: {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def verify(search, directory, mistake=0):
    """Return: states, errors, and the first line that tells of one."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    run(["spin", *search.defines, f"-DMISTAKE={mistake}", "-a", MODEL], directory, "spin")
    kind = ["-DNFAIR=4"] if search.property else ["-DSAFETY", "-DNOCLAIM"]
    # Most mistakes are found sooner than the compiler has optimised.
    level = "-O2" if not mistake else "-O1" if "-DODD_VMS" in search.defines else "-O0"
    run(["gcc", level, "-w", "-DCOLLAPSE", f"-DMEMLIM={MEBIBYTES}", *kind, *search.options, "-o", "pan", "pan.c"],
        directory, "gcc")
    output = run(["./pan", f"-m{DEPTH}", *(["-a", "-f", "-N", search.property] if search.property else [])], directory, "pan")
    errors, states = re.search(r"errors: (\d+)", output), re.search(r"(\d+(?:\.\d+e\+\d+)?) states, stored", output)
    # Too deep, too big: not all was seen.
    if not errors or not states or "max search depth too small" in output or "out of memory" in output:
        sys.exit(f"{search.name}: the search did not end\n{output}")
    told = re.search(r"^pan:\d+: (.*)", output, re.M)
    return int(float(states.group(1))), int(errors.group(1)), told.group(1) if told else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--two-faults", action="store_true", help="only the long search, with two faults in one run")
    options = parser.parse_args()
    good = True
    for search in TWO_FAULTS if options.two_faults else SEARCHES:
        states, errors, told = verify(search, options.directory / "search")
        print(f"{states:>9} states, {errors} errors: {search.name}{': ' + told if told else ''}", flush=True)
        good = good and not errors
    for number, search in {} if options.two_faults else MISTAKES.items():
        states, errors, told = verify(search, options.directory / "mistake", number)
        print(f"{states:>9} states, {'found' if errors else 'NOT FOUND'}: {search.name}: {told[:70]}", flush=True)
        good = good and errors > 0
    if good:
        shutil.rmtree(options.directory)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
