# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saves what happened, independent of what the product says about itself."""

import json
import re
from pathlib import Path

from .errors import LabError
from .guest import LAB_DIR, TRACE
from .trace import trace_lines

COMMANDS = {
    "events.json": ["daxmgrctl", "events", "--json"],
    "incidents.json": ["daxmgrctl", "incidents", "--json"],
    "status.json": ["daxmgrctl", "status", "--json"],
    "topology.json": ["daxmgrctl", "topology", "--json"],
    "vms.json": ["daxmgrctl", "vm", "list", "--json"],
}


FIRST_SIGNS = re.compile(r"(aer_event|pci_hp_event|cxl_\w+|memory_failure_event|mce_record): ")


def first_record(trace: str, begin_ns: int):
    """(boottime in ns, text) of the first hardware record at or after a time, or None."""
    for stamp, text in trace_lines(trace):
        if stamp >= begin_ns and FIRST_SIGNS.match(text):
            return stamp, text
    return None


def date_faults(faults: list, trace: str):
    """Adds to each fault the kernel's first record of it and the time between."""
    for index, fault in enumerate(faults):
        found = first_record(trace, fault["boottime_ns"] - fault["clock_error_ns"])
        later = faults[index + 1]["boottime_ns"] if index + 1 < len(faults) else None
        if found is None or (later is not None and found[0] >= later):
            continue
        fault["first_record_ns"], fault["first_record"] = found
        fault["inject_to_record_ms"] = round((found[0] - fault["boottime_ns"]) / 1e6, 3)


class Evidence:
    """One directory of evidence about one scenario."""

    def __init__(self, guest, path: Path):
        self.guest = guest
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def _write(self, name: str, data):
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())

    def copy(self, name: str, source: str):
        """Copies a file of the guest; what does not exist is left out."""
        data = self.guest.channel.read_or_empty(source)
        if data:
            self._write(name, data)

    def iomem(self, when: str):
        self.copy(f"iomem-{when}.txt", "/proc/iomem")

    def collect(self, mark: int, product: bool, faults: list) -> list:
        """Saves everything from a journal position on; returns what could not be saved."""
        problems = []
        jobs = [self._lab, lambda: date_faults(faults, self.guest.trace()), lambda: self.journal(mark)]
        if product:
            jobs.append(self._product)
        for work in jobs:
            try:
                work()
            except (LabError, OSError, ValueError) as error:
                problems.append(str(error))
        return problems

    def journal(self, mark: int):
        journal = self.guest.journal
        records = journal.since(mark)
        self._write("journal.json", b"".join(json.dumps(r.fields).encode() + b"\n" for r in records))
        self._write("kernel.log", "".join(f"[{r.boottime_ns / 1e9:12.6f}] {r.message}\n"
                                          for r in records if r.kernel))

    def _lab(self):
        channel = self.guest.channel
        self.iomem("after")
        self.copy("trace.txt", f"{TRACE}/trace")
        self.copy("samples.txt", f"{LAB_DIR}/samples.txt")
        for path in channel.call("glob", pattern=f"{LAB_DIR}/serial/*.serial")["paths"]:
            self.copy(f"serial/{Path(path).name}", path)
        self._write("guest.txt", channel.run(
            "cat /proc/cmdline; uname -a; systemctl list-units --all 'daxmgr*'; ls -l /dev/dax* /dev/daxmgr 2>&1; "
            "grep . /sys/bus/cxl/devices/region*/{size,commit,resource,mode} 2>/dev/null; cat /proc/meminfo").out)

    def _product(self):
        for name, argv in COMMANDS.items():
            result = self.guest.channel.run(argv, 15)
            if result.rc == 0:
                self._write(name, result.out)
        self.guest.channel.run("rm -f /run/daxmgr-lab/state.db; [ -e /var/lib/daxmgr/state.db ] && "
                               "sqlite3 /var/lib/daxmgr/state.db '.backup /run/daxmgr-lab/state.db'")
        self.copy("state.db", f"{LAB_DIR}/state.db")
