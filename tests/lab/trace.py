# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lines of the guest's trace, from a file or as they arrive."""

import re
import threading

_LINE = re.compile(r"^\s*\S.*?-\d+\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (.*)$")


def trace_lines(text: str) -> list:
    """(boottime in ns, "event: fields") of every line of a trace with the boot clock."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            found.append((int(match[1]) * 1_000_000_000 + int(match[2]) * 1000, match[3]))
    return found


class LiveTrace:
    def __init__(self):
        self._lock = threading.Lock()
        self._rest = ""
        self._lines = []

    def feed(self, data: bytes):
        """Takes the next bytes of a trace pipe."""
        text = self._rest + data.decode(errors="replace")
        cut = text.rfind("\n") + 1
        self._rest = text[cut:]
        with self._lock:
            self._lines += trace_lines(text[:cut])

    def since(self, begin_ns: int) -> list:
        return [line for _, line in self.dated_since(begin_ns)]

    def dated_since(self, begin_ns: int) -> list:
        """(boottime in ns, line) of what came at or after a time."""
        with self._lock:
            return [(stamp, line) for stamp, line in self._lines if stamp >= begin_ns]
