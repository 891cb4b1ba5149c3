# SPDX-License-Identifier: LGPL-2.1-or-later
"""Paths such as regions[name=r0].instances[0].state into decoded JSON."""

import re

from .errors import FormatError

ABSENT = object()
_TOKEN = re.compile(r"\.?(?:([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+|-1)\]|\[([A-Za-z_][A-Za-z0-9_-]*)=([^\]]*)\]|\[(\*)\])")
_SHAPE = re.compile(rf"(?:{_TOKEN.pattern})*")


def check(where: str, path: str):
    if not _SHAPE.fullmatch(path):
        raise FormatError(f'{where}: path "{path}" is not valid; write e.g. a.b[0].c[name=x].state or list[*].name')


def _pick(value, key: str, wanted: str):
    if not isinstance(value, list):
        return ABSENT
    for item in value:
        if isinstance(item, dict) and key in item and _text(item[key]) == wanted:
            return item
    return ABSENT


def _text(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def look_up(value, path: str):
    """The value at the path, or ABSENT; [*] makes a list of what its items give."""
    position = 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        key, index, name, wanted, star = match.groups()
        position = match.end()
        if star:
            if not isinstance(value, list):
                return ABSENT
            found = (look_up(item, path[position:].lstrip(".")) for item in value)
            return [item for item in found if item is not ABSENT]
        if key is not None:
            value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
        elif index is not None:
            inside = isinstance(value, list) and -len(value) <= int(index) < len(value)
            value = value[int(index)] if inside else ABSENT
        else:
            value = _pick(value, name, wanted)
        if value is ABSENT:
            return ABSENT
    return value
