# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's journal as it arrives: service messages, kernel log, exits of units."""

import json
import re
import threading
from dataclasses import dataclass

UNIT_EXITED = "98e322203f7a4ed290d09fe03c09fe15"

# What may never stand in a guest's kernel log.
BAD_KERNEL_LINES = re.compile(
    r"WARNING:|BUG:|Oops|[Kk]ernel panic|Call Trace|refcount_t|use-after-free|general protection fault|"
    r"unable to handle|lockdep|soft lockup|hung task|blocked for more than|UBSAN|KASAN|list_add corruption|"
    r"list_del corruption|bad page state|Machine check events logged")

# What a correct run may show all the same; every entry says why.
ALLOWED_KERNEL_LINES = [
    # Only the clock watchdog of an emulated CPU on a busy machine.
    re.compile(r"clocksource: .*(watchdog|unstable|skew)", re.I),
]


@dataclass
class Record:
    """One journal record; boottime_ns is the guest's monotonic clock, which never sleeps here."""
    boottime_ns: int
    fields: dict

    @property
    def message(self) -> str:
        value = self.fields.get("MESSAGE", "")
        if isinstance(value, list):
            return bytes(value).decode(errors="replace")
        return value or ""

    @property
    def kernel(self) -> bool:
        return self.fields.get("_TRANSPORT") == "kernel"

    @property
    def unit(self) -> str:
        return self.fields.get("UNIT") or self.fields.get("_SYSTEMD_UNIT") or ""


class Journal:
    def __init__(self):
        self._lock = threading.Condition()
        self._rest = b""
        self.records = []
        self.raw = []

    def feed(self, data: bytes):
        """Takes the next bytes of journalctl -o json."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        fresh = []
        for line in lines:
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            stamp = fields.get("_SOURCE_BOOTTIME_TIMESTAMP") or \
                fields.get("_SOURCE_MONOTONIC_TIMESTAMP") or fields.get("__MONOTONIC_TIMESTAMP", 0)
            fresh.append(Record(int(stamp) * 1000, fields))
        with self._lock:
            self.raw += lines
            self.records += fresh
            self._lock.notify_all()

    def mark(self) -> int:
        """A position: what is recorded later comes at this index or after it."""
        with self._lock:
            return len(self.records)

    def since(self, mark: int) -> list:
        with self._lock:
            return self.records[mark:]

    def wait_change(self, seconds: float):
        """Returns at once when something arrives."""
        with self._lock:
            count = len(self.records)
            self._lock.wait_for(lambda: len(self.records) != count, seconds)

    def messages(self, mark: int, unit: str = "") -> list:
        return [r for r in self.since(mark) if not r.kernel and (not unit or r.unit == unit)]

    def kernel(self, mark: int = 0) -> list:
        return [r for r in self.since(mark) if r.kernel]

    def exits(self, unit: str, mark: int = 0) -> list:
        """Records of the end of a unit's process: a launcher's of its QEMU, or systemd's of what ended the unit."""
        return [r for r in self.since(mark)
                if r.fields.get("MESSAGE_ID") == UNIT_EXITED and r.unit == unit]

    def bad_kernel_records(self, mark: int = 0, allowed=()) -> list:
        patterns = [*ALLOWED_KERNEL_LINES, *(re.compile(text) for text in allowed)]
        return [r for r in self.kernel(mark) if BAD_KERNEL_LINES.search(r.message)
                and not any(p.search(r.message) for p in patterns)]
