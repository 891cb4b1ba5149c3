# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's evidence directory, read back. Everything the demo says is computed from here."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .demo_moment import Moment
from .demo_plan import Fault, file_name
from .errors import LabError
from .journal import Journal
from .samples import Samples

SCENARIO = "demo"
RECORD_FILE = "demo-run.json"
RESULT_FILE = "demo-result.json"
_INCIDENT = re.compile(r"^incident \d+: ")
_TRACE_LINE = re.compile(r"^\s*(\S.*?)-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (\w+): (.*)$")


@dataclass
class TraceRecord:
    """One line of the lab's own trace; task and thread are who ran when the kernel recorded it."""
    ns: int
    task: str
    event: str
    text: str
    thread: int

    def number(self, key: str) -> int:
        match = re.search(rf"\b{key}=(-?\d+)", self.text)
        return int(match[1]) if match else -1

    def word(self, key: str) -> str:
        match = re.search(rf"\b{key}=(\S+)", self.text)
        return match[1] if match else ""


def parse_trace(text: str) -> list:
    found = []
    for line in text.splitlines():
        match = _TRACE_LINE.match(line)
        if match:
            found.append(TraceRecord(int(match[3]) * 1_000_000_000 + int(match[4]) * 1000, match[1], match[5],
                                     match[6], int(match[2])))
    return found


@dataclass
class Injected:
    """A fault as it was injected: its plan, and when on the guest's clock."""
    plan: Fault
    inject_ns: int
    clock_error_ns: int
    window_begin_ns: int
    window_end_ns: int
    before: Moment
    after: Moment
    hand_ns: int


class DemoEvidence:
    def __init__(self, path):
        path = Path(path)
        self.path = path / SCENARIO if (path / SCENARIO / RECORD_FILE).exists() else path
        if not (self.path / RECORD_FILE).exists():
            raise LabError(f"{path} holds no evidence of a demo ({RECORD_FILE} is missing)")
        self.record = json.loads(self._text(RECORD_FILE))

    def _text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError as error:
            raise LabError(f"{self.path}: the evidence lacks {name}") from error

    @cached_property
    def journal(self) -> Journal:
        journal = Journal()
        journal.feed(self._text("journal.json").encode())
        return journal

    @cached_property
    def samples(self) -> Samples:
        samples = Samples()
        samples.feed(self._text("samples.txt").encode())
        return samples

    @cached_property
    def trace(self) -> list:
        return parse_trace(self._text("trace.txt"))

    @cached_property
    def notes(self) -> list:
        """What daxmgrd wrote to the journal: (ns of the fact, kind, text)."""
        found = []
        for record in self.journal.records:
            if record.fields.get("DAXMGR_NOTE"):
                at = record.fields.get("DAXMGR_AT_NS")
                found.append((int(at) if at else record.boottime_ns, record.fields["DAXMGR_NOTE"],
                              _INCIDENT.sub("", record.message)))
        return sorted(found, key=lambda note: note[0])

    @cached_property
    def uevents(self) -> list:
        """(ns, text) of the uevents daxmgrd stored."""
        path = self.path / "events-all.json"
        if not path.exists():
            return []
        events = json.loads(path.read_text(encoding="utf-8")).get("events", [])
        return sorted((event["atNs"], f'{event["kind"]} {event["text"]}') for event in events
                      if event["source"] == "uevent")

    @property
    def vms(self) -> list:
        return self.record["vms"]

    def serial(self, vm: str) -> str:
        path = self.path / "serial" / f"{vm}.serial"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def moment(self, name: str) -> Moment:
        return Moment(self.path / "moments" / name)

    def moments(self) -> list:
        return sorted(path.parent.name for path in (self.path / "moments").glob("*/iomem.txt"))

    def step_ns(self, name: str) -> int:
        """When a step began, 0 when it was not reached."""
        return next((s["boottime_ns"] for s in self.record["steps"] if s["name"] == name), 0)

    def step_output(self, name: str) -> str:
        path = self.path / "steps" / f"{file_name(name)}.out"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @cached_property
    def faults(self) -> list:
        """The faults that were injected, in order."""
        found, begin = [], self.record["beating_ns"]
        for planned in self.record["plan"]:
            plan = Fault(**planned)
            raw = next((f for f in self.record["faults"] if f["step"] == plan.step), None)
            if raw is None:
                break
            end = self.record["ends_ns"].get(str(plan.number), self.record["end_ns"])
            found.append(Injected(
                plan=plan, inject_ns=raw["boottime_ns"], clock_error_ns=raw["clock_error_ns"],
                window_begin_ns=begin, window_end_ns=end, before=self.moment(f"{plan.number}-before"),
                after=self.moment(f"{plan.number}-after"), hand_ns=self.step_ns(plan.hand_step)))
            begin = end
        return found

    def exits(self, vm: str, begin_ns: int, end_ns: int) -> list:
        """Records of a VM's launcher, or systemd's, of the ends of a VM's process."""
        return [r for r in self.journal.exits(f"daxmgr-vm@{vm}.service") if begin_ns <= r.boottime_ns <= end_ns]
