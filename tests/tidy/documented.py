#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""documented.py SOURCE_DIRECTORY

Every verb, option, configuration key, API method and API error stands in its manual page, in the program's own help and
in the completion; every function of libisolate's headers has a comment and stands in libisolate(3); states and source files
stand in the guides. And the other way round: nothing is documented that is not there.
"""

import fnmatch
import pathlib
import re
import sys

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
DEFINED_OPTION = re.compile(r'\{[\s\\]*"([a-z-]+)",\s*(?:no|required|optional)_argument\b')
FUNCTION = re.compile(r"^(?!\s|struct \w+ \{|enum (?:\w+ )?\{|static |typedef |#|/?\*)[\w *]+?\b(\w+)\(", re.M)
# --worker is how the daemon starts itself; nobody else may.
INTERNAL_OPTIONS = {"--worker"}


def strings(text):
    return "".join(STRING.findall(text)).replace("\\n", "\n")


class Verb:
    """An entry of the table in ctl/verbs.c."""

    def __init__(self, entry, asks):
        fields = [part for part in re.split(r",\s*(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", entry)]
        self.name, self.usage = strings(fields[0]), strings(fields[1])
        self.help = asks if fields[3].strip() == "ASKS" else strings(fields[3])
        self.options = set(OPTION.findall(self.usage + self.help))


def verbs_of(text):
    asks = strings(text.split("#define ASKS", 1)[1].split("\n\n", 1)[0])
    table = text.split("verbs[] = {", 1)[1].split("{NULL", 1)[0]
    for name, words in re.findall(r"^#define (\w+)[ \\]*\n(.*?)\n\n", text, re.M | re.S):
        if name != "ASKS":
            table = re.sub(rf"\b{name}\b", lambda _, words=words: words.replace("\\\n", "\n"), table)
    return [Verb(entry, asks) for entry in re.split(r"\n\t\{", table)[1:]]


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.problems = []

    def read(self, path):
        return (self.root / path).read_text()

    def need(self, true, problem):
        if not true:
            self.problems.append(problem)

    def same(self, here, there, what):
        """Both ways: (words, where) and (words, where)."""
        for word in sorted(here[0] - there[0]):
            self.problems.append(f"{there[1]}: {what} {word} of {here[1]} is missing")
        for word in sorted(there[0] - here[0]):
            self.problems.append(f"{there[1]}: there is no {what} {word} in {here[1]}")

    # daxmgrctl

    def manual_entries(self, page):
        """{verb: text} of the section VERBS; one entry may be for several verbs."""
        section = page.split("\n== VERBS\n", 1)[1].split("\n== ", 1)[0]
        entries = {}
        for heading, text in re.findall(r"^(\*.*?)::\n(.*?)(?=^\*.*?::\n|\Z)", section, re.M | re.S):
            for form in heading.split(", *"):
                words = re.match(r"\*?([a-z][a-z -]*?)\*", form)
                if words:
                    entries[words.group(1)] = heading + text
        return entries

    def check_ctl(self):
        page_path, verbs_path = "docs/man/daxmgrctl.1.adoc", "ctl/verbs.c"
        page, completion = self.read(page_path), self.read("ctl/completion/daxmgrctl")
        verbs = verbs_of(self.read(verbs_path))
        entries = self.manual_entries(page)
        self.same(({verb.name for verb in verbs}, verbs_path), (set(entries), page_path), "verb")
        common = set(OPTION.findall(page.split("\n== OPTIONS\n", 1)[1].split("\n== ", 1)[0]))
        for verb in verbs:
            documented = set(OPTION.findall(entries.get(verb.name, "")))
            self.need(verb.options - common <= documented, f"{page_path}: {verb.name}: options are missing: "
                      + " ".join(sorted(verb.options - common - documented)))
            self.need(documented <= verb.options, f"{page_path}: {verb.name}: does not take "
                      + " ".join(sorted(documented - verb.options)))
            for word in verb.name.split():
                self.need(re.search(rf"(?<![\w-]){word}(?![\w-])", completion), f"completion: verb {word} is missing")
            for option in verb.options:
                self.need(f"{option} " in completion or f'{option}"' in completion,
                          f"completion: {verb.name}: {option} is missing")
        defined = self.options_of(*sorted(path.relative_to(self.root) for path in self.root.glob("ctl/*.c")))
        told = set().union(*(verb.options for verb in verbs)) | set(OPTION.findall(self.read("ctl/options.c")))
        self.same((defined, "ctl/*.c"), (told, "ctl/verbs.c and ctl/options.c"), "option")
        self.same((defined | {"--version"}, "ctl/*.c"), (set(OPTION.findall(page)), page_path), "option")

    # the other programs

    def options_of(self, *paths):
        return {"--" + name for path in paths for name in DEFINED_OPTION.findall(self.read(path))}

    def check_program(self, source, page_path):
        text, page = self.read(source), self.read(page_path)
        defined = self.options_of(source)
        usage = strings(text.split("void usage(", 1)[1].split("\n}", 1)[0])
        self.same((defined, source), (set(OPTION.findall(usage)), f"{source}: usage()"), "option")
        own = re.sub(r"\*daxmgrctl[^*]*\*", "", page)
        self.same((defined - INTERNAL_OPTIONS, source), (set(OPTION.findall(own)), page_path), "option")

    # configuration

    def check_configuration(self):
        page_path, shipped_path = "docs/man/daxmgrd.conf.5.adoc", "daxmgr/daxmgrd.conf"
        page, shipped = self.read(page_path), self.read(shipped_path)
        keys = set(re.findall(r'strcmp\(key, "(\w+)"\)',
                              self.read("daxmgr/config_values.c") + self.read("daxmgr/config_isolation.c")))
        documented = set(re.findall(r"^_(\w+)=_::", page, re.M))
        self.same((keys, "daxmgr/config_values.c"), (documented, page_path), "key")
        values = dict(re.findall(r"^#(\w+)=(.*)$", shipped, re.M))
        optional = {"Ways"}  # follows from Memdevs=
        self.same((keys - optional, "daxmgr/config_values.c"), (set(values), shipped_path), "key")
        for key, default in re.findall(r"^_(\w+)=_::(?:(?!^_\w+=_::|^==).)*?\(_([^_]+)_\)\.", page, re.M | re.S):
            self.need(values.get(key) == default, f"{page_path}: {key}= is {default}, but {shipped_path} has "
                      f"{values.get(key)}")

    # the API

    def check_api(self):
        page_path, page = "docs/man/daxmgrd.8.adoc", self.read("docs/man/daxmgrd.8.adoc")
        interface = self.read("daxmgr/varlink_interface.c")
        methods = set(re.findall(r"DEFINE_METHOD(?:_FULL)?\(\s*(\w+)", self.read("daxmgr/varlink_methods.c")))
        self.same((methods, "daxmgr/varlink_methods.c"), (set(re.findall(r"\bMETHOD\((\w+)", interface)) - {"name"},
                                                          "daxmgr/varlink_interface.c"), "method")
        documented = set(re.findall(r"^\*(\w+)\*\(.*\)::", page, re.M))
        self.same((methods, "daxmgr/varlink_methods.c"), (documented, page_path), "method")
        errors = set(re.findall(r"\bERROR_WITH_TEXT\((\w+)\)", interface)) - {"name"}
        documented = set(re.findall(r"^_(\w+)_::", page, re.M))
        self.same((errors, "daxmgr/varlink_interface.c"), (documented, page_path), "error")

    # libisolate

    def check_library(self):
        page_path = "docs/man/libisolate.3.adoc"
        page, functions = self.read(page_path), set()
        for path in sorted((self.root / "libisolate/include/isolate").glob("*.h")):
            text = path.read_text()
            for match in FUNCTION.finditer(text):
                functions.add(match.group(1))
                above = text[:match.start()].rstrip(" ")
                self.need(above.endswith("*/\n"),
                          f"{path.relative_to(self.root)}: {match.group(1)}() has no comment of its own")
        self.same((functions, "libisolate/include"), (set(re.findall(r"\*(iso_\w+)\*\(\)", page)), page_path),
                  "function")

    # the guides

    def check_guides(self):
        guide = self.read("docs/operations.md") + self.read("docs/architecture.md")
        for table, words in re.findall(r"NAME_TABLE\((iso_\w*(?:state|wait)_name),(.*?)\)\n", self.read(
                "libisolate/src/names.c"), re.S):
            for word in set(STRING.findall(words)) - {"nothing"}:
                self.need(f"`{word}`" in guide, f"docs/operations.md: {word} of {table}() is missing")
        patterns = re.findall(r"`([\w./*-]+)`", self.read("docs/architecture.md"))
        for path in [*self.root.glob("libisolate/src/*.c"), *self.root.glob("daxmgr/*.c")]:
            self.need(any(fnmatch.fnmatch(str(path), f"*/{pattern}") or fnmatch.fnmatch(path.name, f"{pattern}*.c")
                          for pattern in patterns), f"docs/architecture.md: {path.name} is missing")

    def check(self):
        self.check_ctl()
        self.check_program("daxmgr/main.c", "docs/man/daxmgrd.8.adoc")
        self.check_program("qemu-hooks/daxmgr-qemu.c", "docs/man/daxmgr-qemu.1.adoc")
        self.check_configuration()
        self.check_api()
        self.check_library()
        self.check_guides()
        return self.problems


def main():
    problems = Tree(sys.argv[1]).check()
    print("\n".join(problems) or "all is documented")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
