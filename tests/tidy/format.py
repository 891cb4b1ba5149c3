#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""format.py CLANG_FORMAT SOURCE_DIRECTORY

Every C file that git tracks there is as clang-format with .clang-format writes it. './dev fmt' makes it so.
"""

import pathlib
import re
import subprocess
import sys

from shape import tracked


def main():
    root = pathlib.Path(sys.argv[2]).resolve()
    files = [root / name for name in tracked(root) if name.endswith((".c", ".h"))]
    if not files:
        print(f"{root}: git tracks no C files there")
        return 1
    result = subprocess.run([sys.argv[1], "--dry-run", *files], capture_output=True, text=True)
    places = re.findall(r"^(.*?:\d+):\d+: (?:warning|error): ", result.stderr, re.M)
    for place in places[:20]:
        print(f"{place.removeprefix(f'{root}/')}: not as clang-format writes it; './dev fmt' changes it")
    if len(places) > 20:
        print(f"and {len(places) - 20} more")
    if result.returncode and not places:
        print(result.stderr)
    elif not places:
        print(f"{len(files)} files are as clang-format writes them")
    return 1 if places or result.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
