#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""shape_trips.py SOURCE_DIRECTORY [CLANG_FORMAT]

shape.py, format.py and documented.py must refuse what they are there to refuse, and let pass what is fine: the first two in a
small tree, the third in a copy of this one with one thing changed.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from trips import HERE, gate, judge

C = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
PY = "# SPDX-License-Identifier: LGPL-2.1-or-later\n"


def c_function(lines):
    return "int long_one(\n\tint n)\n{\n" + "\tn++;\n" * (lines - 5) + "\treturn n;\n}\n"


SHAPE = [
    ("fine.c", C + c_function(70), None),
    ("fine.h", C + "int f(void);\n", None),
    ("dev", "#!/bin/bash\n" + PY + "f() {\n\ttrue\n}\n", None),
    ("notes.md", "a hackish word is a word; /usr/bin/env and /home are places\n", None),
    ("bare.c", "int f(void);\n", "bare.c:1: the line"),
    ("late.py", '"""Text."""\n' + PY, "late.py:1: the line"),
    ("long.c", C + "int f(void);\n" * 600, "long.c: 601 lines, at most 600"),
    ("function.c", C + c_function(71), "function.c:long_one: 71 lines"),
    ("method.py", PY + "class A:\n    def b(self):\n" + "        pass\n" * 70, "method.py:b: 71 lines"),
    ("dev", "#!/bin/bash\n" + PY + "f() {\n" + "\ttrue\n" * 69 + "}\n", "dev:f: 71 lines"),
    ("later.c", C + "/* TODO: do it */\n", "later.c:2: 'TODO'"),
    ("half.py", PY + "# only a stub\n", "half.py:2: 'stub'"),
    ("where.md", "see /home/me/src/x\n", "where.md:1: /home/me/ is a path"),
]

FORMAT = [
    ("fine.c", C + "int f(int a)\n{\n\treturn a;\n}\n", None),
    ("brace.c", C + "int f(int a) {\n\treturn a;\n}\n", "brace.c:2: not as clang-format writes it"),
    ("blanks.h", C + "struct x {\n    int a;\n};\n", "blanks.h:2: not as"),
    ("notes.md", "text\n", "git tracks no C files"),
]

# (file, what is there, what it becomes, what the gate says)
DOCUMENTED = [
    ("README.md", "#", "#", None),
    ("ctl/verbs.c", '{"monitor",', '{"mourn",', "verb mourn of ctl/verbs.c is missing"),
    ("ctl/verbs.c", "  --exit-code ", "  --exit-word ", "status: options are missing: --exit-word"),
    ("ctl/verb_status.c", '{"exit-code",', '{"silent",', "option --silent of ctl/*.c is missing"),
    ("ctl/completion/daxmgrctl", "--limit --follow", "--limit", "completion: events: --follow is missing"),
    ("docs/man/daxmgrctl.1.adoc", "*workers*::", "*labour*::", "verb workers of ctl/verbs.c is missing"),
    ("docs/man/daxmgrctl.1.adoc", "[*--limit* _N_] [*--follow*", "[*--most* _N_] [*--follow*", "does not take --most"),
    ("docs/man/daxmgr-qemu.1.adoc", "*--print*::", "*--show*::", "there is no option --show"),
    ("daxmgr/main.c", '"  --check-config ', '"  --check ', "main.c: usage(): option --check-config"),
    ("daxmgr/config_values.c", '"Attempts"', '"Tries"', "key Tries of daxmgr/config_values.c is missing"),
    ("daxmgr/daxmgrd.conf", "#SettleSec=5s", "#SettleSec=6s", "SettleSec= is 5s, but daxmgr/daxmgrd.conf has 6s"),
    ("docs/man/daxmgrd.conf.5.adoc", "_Granularity=_::", "_Grain=_::", "there is no key Grain"),
    ("daxmgr/varlink_interface.c", "METHOD(WhatIf,", "METHOD(IfWhat,", "method WhatIf of daxmgr/varlink_methods.c is missing"),
    ("docs/man/daxmgrd.8.adoc", "*Recover*(port, evict)::", "*Recover* port::", "method Recover of"),
    ("docs/man/daxmgrd.8.adoc", "_Busy_::", "_Idle_::", "error Busy of"),
    ("docs/man/libisolate.3.adoc", "*iso_check*()", "*iso_chick*()", "function iso_check of libisolate/include is missing"),
    ("libisolate/src/names.c", '"quarantined")', '"forgotten")', "forgotten of iso_domain_state_name() is missing"),
    ("docs/architecture.md", "`src/rescan.c`", "`src/other.c`", "rescan.c is missing"),
    ("libisolate/include/isolate/engine.h", "UINT64_MAX: never. */", "*/ \n", "iso_next_deadline() has no comment"),
]


def trip_in_small_tree(cases, source, *command):
    good = True
    for name, text, expected in cases:
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(source / ".clang-format", directory)
            (pathlib.Path(directory) / name).write_text(text)
            for words in (("init", "-q"), ("add", name)):
                subprocess.run(["git", "-C", directory, *words], check=True, capture_output=True)
            good &= judge(name, expected, *gate(*command, directory))
    return good


def trip_documented(source):
    good = True
    with tempfile.TemporaryDirectory() as directory:
        tree = pathlib.Path(directory) / "tree"
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("build", ".git", "tests"))
        for name, old, new, expected in DOCUMENTED:
            text = (tree / name).read_text()
            if old not in text:
                print(f"NOT OK: {name} has no '{old}' to change")
                good = False
                continue
            (tree / name).write_text(text.replace(old, new, 1))
            good &= judge(f"{name}: {old}", expected, *gate(HERE / "documented.py", tree))
            (tree / name).write_text(text)
    return good


def main():
    source = pathlib.Path(sys.argv[1])
    good = trip_in_small_tree(SHAPE, source, HERE / "shape.py")
    for clang_format in sys.argv[2:]:
        good &= trip_in_small_tree(FORMAT, source, HERE / "format.py", clang_format)
    good &= trip_documented(source)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
