#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""trips.py COMPILER

Each gate must refuse what it is there to refuse, and say which line of it, and let pass what is fine.
"""

import pathlib
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent

PURITY = [
    ("fine.c", "#include <string.h>\nstatic const char *const names[] = { \"a\", \"b\" };\n"
     "const char *name(int i) { return names[i]; }\nunsigned long f(const char *s) { return strlen(s) + names[0][0]; }\n", None),
    ("clock.c", "#include <time.h>\nlong f(void) { return time(0); }\n", "calls time()"),
    ("heap.c", "#include <stdlib.h>\nvoid *f(unsigned long n) { return malloc(n); }\n", "calls malloc()"),
    ("print.c", "#include <stdio.h>\nvoid f(int n) { printf(\"%d\", n); }\n", "calls printf()"),
    ("counter.c", "int f(void) { static int calls; return ++calls; }\n", "calls"),
    ("table.c", "int table[4] = { 1, 2, 3, 4 };\n", "table is writable data"),
    ("pointer.c", "static const char *last = \"none\";\nvoid f(const char *s) { last = s; }\n"
     "const char *g(void) { return last; }\n", "last is writable data"),
]

LAYERS = [
    ("src/fine.c", "#include <string.h>\n#include <isolate/public.h>\n#include \"own.h\"\n", None),
    ("src/clock.c", "#include <time.h>\n", "src/clock.c:1: includes <time.h>"),
    ("src/system.c", "\n#include <sys/stat.h>\n", "src/system.c:2: includes <sys/stat.h>"),
    ("src/library.c", "#include <systemd/sd-event.h>\n", "includes <systemd/sd-event.h>"),
    ("src/daemon.c", "#include \"../../daxmgr/daemon.h\"\n", "which is none of its own"),
    ("src/macro.c", "#include HEADER\n", "cannot be checked"),
    ("include/isolate/leak.h", "#include <stdio.h>\n", "leak.h:1: includes <stdio.h>"),
    ("include/isolate/private.h", "#include \"own.h\"\n", "which is none of its own"),
]


def gate(*command):
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def judge(name, expected, code, output):
    if expected is None:
        good = code == 0
    else:
        good = code == 1 and expected in output
    print(f"{'ok' if good else 'NOT OK'}: {name}: {output.strip()}")
    return good


def main():
    compiler = shlex.split(" ".join(sys.argv[1:])) or ["cc"]
    good = True
    with tempfile.TemporaryDirectory() as directory:
        base = pathlib.Path(directory)
        for name, text, expected in PURITY:
            source, built = base / name, base / name.replace(".c", ".o")
            source.write_text(text)
            subprocess.run([*compiler, "-fPIC", "-O1", "-c", source, "-o", built], check=True)
            good &= judge(name, expected, *gate(HERE / "purity.py", built))
        for name, text, expected in LAYERS:
            with tempfile.TemporaryDirectory() as tree:
                root = pathlib.Path(tree)
                (root / "include/isolate").mkdir(parents=True)
                (root / "src").mkdir()
                (root / "include/isolate/public.h").write_text("#include <stdint.h>\n")
                (root / "include/isolate/own.h").write_text("")
                (root / "src/own.h").write_text("")
                (root / name).write_text(text)
                good &= judge(name, expected, *gate(HERE / "layers.py", root))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
