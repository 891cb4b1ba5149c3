# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nested VMs whose firmware hangs in the emulator: they never ran the payload, nor touched what the manager gave them."""

import re

from .errors import LabError

PLACE = re.compile(r"\bE?IP=(\S+).*?^CS =(\S+ \S+)", re.S | re.M)


def hung(guest, vm: str, mark: int, printed: int) -> str:
    """Registers of a VM that runs and has printed nothing since its QEMU was executed; else empty.

    mark is a position in the journal, and printed how many bytes it had printed by then.
    """
    attached = f"{vm}: acquired -> attached"
    try:
        begun = sum(r.fields.get("DAXMGR_NOTE") == "lease" and r.message.endswith(attached)
                    for r in guest.journal.since(mark))
        if begun <= guest.serial(vm)[printed:].count("START") or guest.vm_qmp_state(vm) != "running":
            return ""
        return guest.vm_qmp(vm, "human-monitor-command", {"command-line": "info registers"})
    except (LabError, OSError):
        return ""


def reason(guest, mark: int, printed: dict, path) -> str:
    """Why what was played with these VMs is played once more; their registers are kept in path. Empty: no reason."""
    for vm, printed_bytes in printed.items():
        registers = hung(guest, vm, mark, printed_bytes)
        if registers:
            (path / f"{vm}-registers.txt").write_text(registers, encoding="utf-8")
            return f"the firmware of {vm} hung in the emulator {place(registers)}"
    return ""


def place(registers: str) -> str:
    found = PLACE.search(registers)
    return f"at {found[1]}, CS {found[2]}" if found else "somewhere"
