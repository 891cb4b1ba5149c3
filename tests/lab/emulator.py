# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Failures of the emulator, which executes KVM in the emulated host: what was played then says nothing of the product, and
is played once more. All but the hang in firmware were seen with two VMs that beat and use their disks, nothing being lost.

Each pattern ties its lines together: what stands in another trace further down is no evidence.
"""

import re

PLACE = re.compile(r"\bE?IP=(\S+).*?^CS =(\S+ \S+)", re.S | re.M)
CR0 = re.compile(r"^CR0=([0-9a-fA-F]+)", re.M)
CR0_PAGING = 1 << 31
# The mark at the end of a kernel stack, found to be changed; the thread is the one that the panic itself names.
PANIC = re.compile(r"Kernel panic - not syncing: (corrupted stack end detected inside scheduler)\n"
                   r".*\bCPU: \d+ .*\bComm: CPU \d+/KVM\b")
# Where an interrupt of a device or of the timer came: the kernel prints these registers just below the name of its entry.
INTERRUPTED = re.compile(r"\basm_(?:common_interrupt|sysvec_\w+)\+\S+\n"
                         r".*\bRIP: 0010:(\S+)\n(?:.*\bCode: .*\n)?.*\bRSP: \S+ EFLAGS: ([0-9a-f]{8})\b")
EFLAGS_INTERRUPTS = 1 << 9


def begun(guest, vm: str, mark: int) -> int:
    """How often since a position in the journal it was given its memory."""
    attached = f"{vm}: acquired -> attached"
    return sum(r.fields.get("DAXMGR_NOTE") == "lease" and r.message.endswith(attached) for r in guest.journal.since(mark))


def hung_in_firmware(guest, stalled, mark: int, printed: int) -> bool:
    """
    Whether a VM runs and has not said its first word: it never ran the payload, nor touched what the manager gave it.

    mark is a position in the journal, and printed how many bytes it had printed by then.
    """
    if stalled.state != "running" or not stalled.registers:
        return False
    return begun(guest, stalled.name, mark) > guest.serial(stalled.name)[printed:].count("START")


def started_itself_again(guest, vm: str, mark: int, printed: int) -> bool:
    """
    Whether a VM's CPU was reset in a process that goes on, its memory left as the VM had it: its payload never resets, and
    what the manager does to a VM is to end its process. Memory that anybody cleared begins with zeros.
    """
    said = guest.serial(vm)[printed:]
    attached = re.compile(rf"(?:^|\s){re.escape(vm)}: \S+ -> attached$")
    given = sum(r.fields.get("DAXMGR_NOTE") == "lease" and bool(attached.search(r.message)) for r in guest.journal.since(mark))
    again = said.rpartition("START")[2]
    return said.count("START") > given > 0 and "CORRUPT" not in said and "ZERO bad 0x00000000 " in again


def has_hosts_registers(registers: str) -> bool:
    """Whether paging is on in a VM: neither firmware nor payload ever turn it on, the host's kernel has it on."""
    found = CR0.search(registers)
    return bool(found) and bool(int(found[1], 16) & CR0_PAGING)


def reason(guest, stalled: list, mark: int, printed: dict) -> str:
    """Why what was played with these VMs, which stand still, is played once more. Empty: no reason."""
    for vm in stalled:
        if has_hosts_registers(vm.registers):
            return f"the emulator gave {vm.name} the registers of the host's kernel, {place(vm.registers)}"
        if hung_in_firmware(guest, vm, mark, printed.get(vm.name, 0)):
            return f"the firmware of {vm.name} hung in the emulator {place(vm.registers)}"
    return ""


def reset_reason(guest, vms, mark: int, printed: dict) -> str:
    """The same of VMs that need not stand still."""
    for vm in vms:
        if started_itself_again(guest, vm, mark, printed.get(vm, 0)):
            return f"the emulator reset {vm}'s CPU, in a process and memory that went on"
    return ""


def host_reason(console: str) -> str:
    """The same for the emulated host, from what its kernel printed on its console."""
    found = PANIC.search(console)
    if found:
        return f"the emulator changed the host kernel's own stack: {found[1]}"
    for place_of, flags in INTERRUPTED.findall(console):
        if not int(flags, 16) & EFLAGS_INTERRUPTS:
            return f"the emulator interrupted the host's kernel where interrupts are off, at {place_of}"
    return ""


def ended_reason(why: str, faults: list) -> str:
    """The same for a host that is not there any more: a triple fault, as long as nothing was broken in it."""
    return "" if faults or "a triple fault" not in why else "the emulated host had a triple fault before anything was broken in it"


def frozen_reason(registers: list, faults: list) -> str:
    """The same for a host that answers nobody, from several looks at its CPUs: as long as nothing was broken in it."""
    if faults:
        return ""
    return f"the emulated host froze before anything was broken in it, {place(registers[-1] if registers else '')}"


def place(registers: str) -> str:
    found = PLACE.search(registers)
    return f"at {found[1]}, CS {found[2]}" if found else "somewhere"
