# SPDX-License-Identifier: LGPL-2.1-or-later
"""Strict reading of TOML tables: every key is known, typed and used, every error names its place."""

import re
import tomllib
from pathlib import Path

from .errors import FormatError

REQUIRED = object()
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
TYPE_NAMES = {str: "a string", int: "a whole number", bool: "true or false", float: "a number",
              list: "a list", dict: "a table"}


def load(path) -> dict:
    """Reads a TOML file; syntax errors come back as FormatError with file and line."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"{path}: cannot read it: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not valid TOML: {error}") from error


def parse_size(where: str, key: str, value) -> int:
    """Bytes from a number or from text such as "512M"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", value, re.I) if isinstance(value, str) else None
    if not match:
        raise FormatError(f'{where}: {key} = {value!r} is not a size; write bytes or text like "512M"')
    return int(match[1]) * SUFFIXES[match[2].upper()]


def format_size(count: int) -> str:
    """The shortest exact text for a number of bytes."""
    for suffix in "TGMK":
        if count and count % SUFFIXES[suffix] == 0:
            return f"{count // SUFFIXES[suffix]}{suffix}"
    return str(count)


def close_match(word, known) -> str:
    known = ", ".join(sorted(known))
    return f"(known: {known})"


class Table:
    """One TOML table being read; finish() complains about keys nobody asked for."""

    def __init__(self, where: str, data):
        if not isinstance(data, dict):
            raise FormatError(f"{where}: expected a table, found {data!r}")
        self.where = where
        self.data = dict(data)
        self.known = set()

    def error(self, text: str) -> FormatError:
        return FormatError(f"{self.where}: {text}")

    def has(self, key: str) -> bool:
        return key in self.data

    def raw(self, key: str, default=REQUIRED):
        self.known.add(key)
        if key in self.data:
            return self.data.pop(key)
        if default is REQUIRED:
            raise self.error(f'key "{key}" is missing')
        return default

    def get(self, key: str, kind: type, default=REQUIRED):
        missing = key not in self.data
        value = self.raw(key, default)
        if missing:
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(f"{key} = {value!r} must be {TYPE_NAMES[kind]}")
        return value

    def strings(self, key: str, default=REQUIRED) -> list:
        missing = key not in self.data
        value = self.raw(key, default)
        if missing:
            return value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"{key} = {value!r} must be a list of strings")
        return value

    def names(self, key: str, default=REQUIRED) -> list:
        """One name or a list of names."""
        if isinstance(self.data.get(key), str):
            return [self.raw(key)]
        return self.strings(key, default)

    def size(self, key: str, default=REQUIRED) -> int:
        missing = key not in self.data
        value = self.raw(key, default)
        return value if missing else parse_size(self.where, key, value)

    def name(self, key: str = "name", default=REQUIRED) -> str:
        value = self.get(key, str, default)
        if value is not default and not NAME.fullmatch(value):
            raise self.error(f'{key} "{value}" is not a name: a letter, then letters, digits, "_", "." or "-"')
        return value

    def seconds(self, key: str, default=REQUIRED):
        value = self.get(key, float, default)
        if isinstance(value, float) and value < 0:
            raise self.error(f"{key} = {value} must not be negative")
        return value

    def regex(self, key: str, default=REQUIRED):
        value = self.get(key, str, default)
        if isinstance(value, str):
            check_regex(self.where, key, value)
        return value

    def choice(self, key: str, allowed, default=REQUIRED):
        value = self.raw(key, default)
        if value is not default and value not in allowed:
            raise self.error(f"{key} = {value!r} is not one of {', '.join(map(str, allowed))}")
        return value

    def tables(self, key: str, label: str) -> list:
        """The tables of an array, each labelled by its name when it has one."""
        items = self.get(key, list, [])
        result = []
        for index, item in enumerate(items):
            name = item.get("name") if isinstance(item, dict) else None
            tag = f'"{name}"' if isinstance(name, str) else f"{index + 1}"
            result.append(Table(f"{self.where}: {label} {tag}", item))
        return result

    def finish(self):
        if self.data:
            key = sorted(self.data)[0]
            raise self.error(f'unknown key "{key}" {close_match(key, self.known)}')


def check_regex(where: str, key: str, value: str):
    try:
        re.compile(value)
    except re.error as error:
        raise FormatError(f"{where}: {key} = {value!r} is not a regular expression: {error}") from error
