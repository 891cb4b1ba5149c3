#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""layers.py DIRECTORY

The engine below DIRECTORY (libisolate) includes its own public headers, its own private ones and a few of the C
library's; public headers include public ones only.
"""

import pathlib
import re
import sys

C_LIBRARY = {"assert.h", "errno.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
             "string.h"}
PUBLIC_C_LIBRARY = {"stdbool.h", "stddef.h", "stdint.h"}
INCLUDE = re.compile(r'\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)"|(\S+))')


def problem_with(path, root, fields):
    angle, quote, computed = fields
    public = (root / "include") in path.parents
    if computed:
        return f"includes {computed}, which cannot be checked"
    if quote:
        if public or "/" in quote or not (path.parent / quote).is_file():
            return f'includes "{quote}", which is none of its own'
        return None
    if (root / "include" / angle).is_file():
        return None
    if angle not in (PUBLIC_C_LIBRARY if public else C_LIBRARY):
        return f"includes <{angle}>"
    return None


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    files = sorted(p for p in root.rglob("*.[ch]"))
    problems = []
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            problem = match and problem_with(path, root, match.groups())
            if problem:
                problems.append(f"{path.relative_to(root)}:{number}: {problem}")
    if not files:
        problems.append(f"{root}: no C files there")
    print("\n".join(problems) or f"{len(files)} files keep to their layer")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
