#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""purity.py [--nm NM] [--objdump OBJDUMP] OBJECT…

The engine reads no clock, does no I/O, allocates nothing and keeps no state of its own: its objects may ask the C
library only for what is listed here, and may hold no writable data.
"""

import argparse
import re
import subprocess
import sys

ALLOWED = re.compile(
    r"mem(cpy|move|set|cmp|chr)|str(len|nlen|cmp|ncmp|chr|rchr|str)"
    r"|v?snprintf|strtoull|__isoc23_strtoull"
    r"|__(mem(cpy|move|set)|v?snprintf|str(cpy|ncpy|cat))_chk"
    r"|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_"
    # what the presets' instrumentation adds
    r"|__(asan|ubsan|sanitizer|lsan|gcov|sancov|llvm|start|stop)_.*"
)

# Tables of pointers lie in .data.rel.ro: constant once they are relocated.
WRITABLE = re.compile(r"(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*|COMMON)")
INSTRUMENTATION = re.compile(r"\*?\.L|[._]*L?_*(ASAN|asan|odr_asan|ubsan|gcov|sancov|llvm)")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def undefined_symbols(nm, objects):
    """Symbols that some object wants and none of them has, with the object that wants them."""
    wanted, defined = {}, set()
    for line in run(nm, "--print-file-name", *objects).splitlines():
        fields = re.match(r"(.*?):\s*(?:[0-9a-f]+\s+)?([A-Za-z?-])\s+(\S+)", line)
        if not fields:
            continue
        where, kind, name = fields.groups()
        name = name.split("@")[0]
        if kind in "Uw":
            wanted.setdefault(name, where)
        else:
            defined.add(name)
    return {name: where for name, where in wanted.items() if name not in defined}


def writable_symbols(objdump, objects):
    where = ""
    for line in run(objdump, "--syms", *objects).splitlines():
        if "file format" in line:
            where = line.split(":")[0]
        fields = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(?:\.hidden )?(.+)", line)
        if not fields:
            continue
        flags, section, size, name = fields.groups()
        if int(size, 16) == 0 or "d" in flags[5] or not WRITABLE.match(section):
            continue
        if not INSTRUMENTATION.match(name):
            yield where, name, section


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()
    problems = []
    for name, where in sorted(undefined_symbols(arguments.nm, arguments.objects).items()):
        if not ALLOWED.fullmatch(name):
            problems.append(f"{where}: calls {name}(), which the engine may not")
    for where, name, section in writable_symbols(arguments.objdump, arguments.objects):
        problems.append(f"{where}: {name} is writable data (in {section}): state belongs to struct iso_engine")
    print("\n".join(problems) or f"{len(arguments.objects)} objects are pure")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
