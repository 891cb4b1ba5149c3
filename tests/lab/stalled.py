# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a VM that no longer beats is doing: its threads as the host's kernel sees them, its CPU and interrupts as QEMU does."""

from dataclasses import dataclass

from .errors import LabError

THREADS = """
for task in /proc/{pid}/task/*; do
    read -r name <$task/comm && printf '%s: %s %s\\n' "$name" "$(sed 's/.*) \\(.\\).*/\\1/' $task/stat)" "$(cat $task/wchan)"
    sed 's/^/    /' $task/syscall $task/stack
done 2>/dev/null
"""
REGISTERS = "info registers"
QUESTIONS = ("info pic", "info irq", "info blockstats")


@dataclass
class Stalled:
    """All texts are empty where nothing could be learned."""
    name: str
    pid: int
    state: str      # QEMU's
    threads: str
    registers: str
    more: str

    def line(self) -> str:
        threads = "; ".join(t for t in self.threads.splitlines() if not t.startswith(" "))
        return f"{self.name} (pid {self.pid}) is {self.state}: {threads}"

    def text(self) -> str:
        return f"{self.line()}\n\n{self.threads}\n# {REGISTERS}\n{self.registers}{self.more}"


def find(guest, names) -> list:
    """Those of the named VMs that have a process and do not beat."""
    guest.refresh_samples()
    return [_describe(guest, name, pid) for name in names
            if (pid := guest.vm_pid(name)) and not guest.samples.beating(name)]


def _describe(guest, name: str, pid: int) -> Stalled:
    # Threads first: to be asked for registers takes the CPU's thread out of what it does.
    threads = guest.channel.run(THREADS.format(pid=pid)).out
    state = guest.vm_qmp_state(name)
    registers = _ask(guest, name, REGISTERS)
    return Stalled(name, pid, state, threads, registers,
                   "".join(f"\n# {question}\n{_ask(guest, name, question)}" for question in QUESTIONS))


def _ask(guest, name: str, question: str) -> str:
    try:
        return guest.vm_qmp(name, "human-monitor-command", {"command-line": question})
    except (LabError, ValueError):
        return ""
