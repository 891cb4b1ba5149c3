# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rounds of `bench recover`: what they have in common, and those in which the product recovers a loss."""

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .demo_evidence import parse_trace
from .errors import LabError
from .guest import SOCKET, TRACE, TRACE_LIVE
from .scenario import Vm

BYTES = 16 << 20
PORT = "rp0"
SERIAL = 0x10
REGION = "r0"
USER = "daxlab-vm"
# The same port is lost again and again: that is no flapping here.
CONFIG = f"""
[Recovery]
FlapLosses=0

[Region {REGION}]
Memdevs={SERIAL:#x}
"""
LOST_SECONDS = 90
QUIET_SECONDS = 1.5
AFTERWARDS_SECONDS = 0.5    # the last QEMU is executed soon after its attach
# Longer than any round takes that is not broken.
UNDISTURBED_SECONDS = 1
UNDISTURBED_SECONDS_EACH = 0.25
FOLLOWERS = "pgrep -x journalctl; systemctl show -P MainPID daxlab-sampler"
EVENTS_LIMIT = 500
# Beside what the lab traces anyway: the moment in which a process is gone for its parent, and with that for its pidfd
# (sched_process_exit comes before its memory is given back), and when a launcher has reached the manager.
TRACING = f"""
cd {TRACE}/events && echo 'sig == 9 || sig == 7 || (sig == 17 && (pid == 1 || comm == "daxmgr-qemu"))' > signal/signal_generate/filter || exit 1
echo 'comm == "daxmgr-qemu"' > syscalls/sys_enter_connect/filter && echo 1 > syscalls/sys_enter_connect/enable
"""
# To the manager's socket, told by the length of its address; the process has another name by the time it is printed.
CONNECT = re.compile(r"^\s*\S.*?-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): "
                     rf"sys_connect\(.* addrlen: {len(SOCKET) + 3:#x}\)$", re.M)
REALTIME_AHEAD = "python3 -c 'import time; print(time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME))'"
# Who used the guest's CPUs: the usage of each unit, and of everybody.
USAGE = ("cd /sys/fs/cgroup && "
         "grep -s usage_usec cpu.stat init.scope/cpu.stat system.slice/*/cpu.stat machine.slice/cpu.stat")
# The product has a way out of this, the loop by hand has none: such a round has no like to be compared with.
GIVEN_UP = "memdev disabled, abort error handling"
LEASE_NOTE = re.compile(r"(\S+): \S+ -> (\S+)$")


class RoundLost(LabError):
    """
    The kernel complained of itself or did not bind the memdev again, or the emulator let a VM hang: that round, and
    this boot, say nothing.
    """


def wait_until(what: str, seconds: float, look):
    """Polls until look() is true."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise RoundLost(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


@dataclass
class Operation:
    """Something done in the product with a durable intent: from the intent's wish to the deed's end."""
    kind: str
    object: str
    begin: int
    end: int


@dataclass
class Round:
    """A loss and its recovery; all times in ns after the kernel's first record of it."""
    tenants: int
    busy: float = 0.0           # CPUs that others took meanwhile
    cpu: float = 0.0            # seconds of CPU that the guest took until all VMs ran
    used: dict = field(default_factory=dict)        # by unit: ms of the guest's CPUs
    kill_sent: int = 0
    exited: dict = field(default_factory=dict)      # by VM: its process is gone
    restarted: dict = field(default_factory=dict)   # by hand: its launcher is executed
    running: dict = field(default_factory=dict)     # QEMU is executed

    @property
    def recovered(self) -> int:
        return max(self.running.values())


@dataclass
class ProductRound(Round):
    """The same with what the manager said of it."""
    given_up: bool = False      # the kernel gave up the reset, and the device was removed and found anew
    contained: int = 0
    memdev_back: int = 0        # as daxmgrd read the uevent
    region_live: int = 0
    asked: dict = field(default_factory=dict)       # by VM: its next launcher has connected to the manager
    states: dict = field(default_factory=dict)      # {state of the lease: when it was entered}
    operations: list = field(default_factory=list)

    def last(self, state: str) -> int:
        return max(entered[state] for entered in self.states.values())

    def first(self, state: str) -> int:
        return min(entered[state] for entered in self.states.values())

    def begun(self, kind: str) -> int:
        """When the last operation of a kind was wanted."""
        return max(o.begin for o in self.operations if o.kind == kind)


class Rounds:
    def __init__(self, guest, machine):
        self.guest = guest
        self.machine = machine
        guest.channel.must(TRACING)

    def unit(self, name: str) -> str:
        """The unit of a VM."""
        raise NotImplementedError

    @contextmanager
    def _undisturbed(self):
        """The lab itself holds still: what it follows would take a tenth of the guest's CPUs; it reads that afterwards."""
        pids = [word for word in self.guest.channel.must(FOLLOWERS).split() if word != "0"]
        must = self.guest.channel.must
        must(f"echo 0 > {TRACE_LIVE}/tracing_on && kill -STOP {' '.join(pids)}")
        try:
            yield
        finally:
            must(f"kill -CONT {' '.join(pids)}; echo 1 > {TRACE_LIVE}/tracing_on")

    def begin(self, tenants: int):
        """What has to be there before the first round of so many."""

    def _begin(self):
        self.guest.channel.must(f"echo > {TRACE}/trace")

    def _check_kernel(self) -> bool:
        bad = self.guest.journal.bad_kernel_records()
        if bad:
            raise RoundLost(bad[0].message)
        return False

    def _given_up(self, mark: int) -> str:
        """What the kernel said when it gave up a reset, if it did."""
        return next((r.message for r in self.guest.journal.kernel(mark) if GIVEN_UP in r.message), "")

    def _usage(self) -> dict:
        """Microseconds of CPU by unit; "all" is everybody, kernel threads too."""
        found = {}
        for line in self.guest.channel.must(USAGE).splitlines():
            path, _, value = line.partition(":usage_usec ")
            unit = path.removesuffix("cpu.stat").strip("/").rsplit("/", 1)[-1]
            found[unit or "all"] = int(value)
        return found

    @staticmethod
    def _spent(before: dict, after: dict) -> dict:
        """By unit, in ms."""
        return {unit: (usec - before.get(unit, 0)) / 1000 for unit, usec in after.items()}

    def _pids(self, names: list) -> dict:
        shown = self.guest.channel.must(["systemctl", "show", "-P", "MainPID", *(self.unit(name) for name in names)])
        return dict(zip(names, (int(word) for word in shown.split())))

    def _threads(self, names: list) -> dict:
        """By VM: all threads of its process."""
        return {name: self._threads_of(pid) for name, pid in self._pids(names).items()}

    def _threads_of(self, pid: int) -> set:
        paths = self.guest.channel.call("glob", pattern=f"/proc/{pid}/task/*")["paths"]
        return {int(path.rsplit("/", 1)[1]) for path in paths}

    @staticmethod
    def _read_ends(result, records, threads, pids, t0):
        """Ends of processes and their next beginnings; threads are those before the loss, pids those after it."""
        owner = {thread: name for name, group in threads.items() for thread in group}
        names = {pid: name for name, pid in pids.items()}
        wanted = [("exit", result.exited), ("QEMU", result.running)]
        if not isinstance(result, ProductRound):    # its launchers are there all the time
            wanted.append(("restart", result.restarted))
        for r in records:
            signal = r.number("sig") if r.event == "signal_generate" else 0
            if signal == 9 and r.number("pid") in owner:
                result.kill_sent = r.ns - t0
            elif signal == 17 and r.thread in owner:
                result.exited[owner[r.thread]] = r.ns - t0
            elif r.event == "sched_process_exec" and r.number("pid") in names:
                which = result.running if "qemu-system" in r.word("filename") else result.restarted
                which[names[r.number("pid")]] = r.ns - t0
        for what, times in wanted:
            if len(times) != result.tenants:
                raise LabError(f"the trace shows the {what} of {sorted(times)} only")

    def _trace(self, folder: Path) -> tuple:
        """(text, records, time of the loss)"""
        text = self.guest.trace()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trace.txt").write_text(text, encoding="utf-8")
        records = parse_trace(text)
        lost = [r.ns for r in records if r.event == "aer_event"]
        if not lost:
            raise LabError("the kernel recorded no loss of the port")
        return text, records, min(lost)


class ProductRounds(Rounds):
    """Rounds with daxmgrd, whose VMs are started again by their launchers."""

    def __init__(self, guest, machine, most: int):
        super().__init__(guest, machine)
        self.names = [f"t{i}" for i in range(most)]
        guest.install_product(CONFIG, {})
        for name in self.names:
            guest.write_vm(Vm(name, BYTES, REGION, USER, "", True))
        guest.daemon("start")
        self._ahead = int(guest.channel.must(REALTIME_AHEAD))

    def unit(self, name: str) -> str:
        return self.guest.vm_unit(name)

    def finish(self):
        """Leaves no region, no VM and no daemon."""
        self.guest.reset()
        left = self.guest.leftovers("regions")
        if left:
            raise LabError(f"regions are left: {left}")

    def begin(self, tenants: int):
        """So many VMs run, and nothing else is going on."""
        units = [self.unit(name) for name in self.names]
        if units[tenants:]:
            self.guest.channel.must(["systemctl", "stop", *units[tenants:]])
        self.guest.channel.must(["systemctl", "start", "--no-block", *units[:tenants]])
        self._settle(tenants, self.guest.boottime_ns())

    def play(self, tenants: int, folder: Path) -> ProductRound:
        guest, names = self.guest, self.names[:tenants]
        threads = self._threads(names)
        self._begin()
        mark, begin, before = guest.journal.mark(), guest.boottime_ns(), self._usage()
        with self.machine.watch() as watch:
            with self._undisturbed():
                guest.host.surprise_down(PORT)
                time.sleep(UNDISTURBED_SECONDS + UNDISTURBED_SECONDS_EACH * tenants)
            wait_until("all VMs attached again", LOST_SECONDS,
                       lambda: self._check_kernel() or self._attached(mark) >= tenants)
        used = self._usage()
        time.sleep(AFTERWARDS_SECONDS)
        result = ProductRound(tenants, watch.busy, watch.ours, self._spent(before, used))
        text, records, t0 = self._trace(folder)
        pids = self._pids(names)
        self._read_ends(result, records, threads, pids, t0)
        self._read_asked(result, text, super()._pids(names), t0)
        self._settle(tenants, begin)
        guest.sync_journal()
        self._check_kernel()
        result.given_up = bool(self._given_up(mark))
        self._read_notes(result, mark, t0)
        self._read_uevents(result, t0, folder)
        self._read_store(result, begin, t0)
        return result

    def _pids(self, names: list) -> dict:
        """QEMU, the launcher's child."""
        return {name: self.guest.vm_pid(name) for name in names}

    def _attached(self, mark: int) -> int:
        return sum(r.message.endswith(" -> attached") for r in self.guest.journal.messages(mark))

    def _settle(self, tenants: int, since: int):
        """All tenants attached and beating, no incident open, and then a while of nothing."""
        names = self.names[:tenants]

        def calm() -> bool:
            leases = self.guest.varlink("org.daxmgr.Manager.ListLeases", {}).get("leases", [])
            if [lease["state"] for lease in leases] != ["attached"] * tenants:
                return False
            self.guest.refresh_samples()
            return (all(self.guest.samples.beating(name, since) for name in names)
                    and not self.guest.varlink("org.daxmgr.Manager.GetStatus", {})["incidentsOpen"])
        wait_until(f"{tenants} VMs attached and beating", LOST_SECONDS, calm)
        time.sleep(QUIET_SECONDS)

    @staticmethod
    def _read_asked(result, text, pids, t0):
        names = {pid: name for name, pid in pids.items()}
        for found in CONNECT.finditer(text):
            if int(found[1]) in names:
                at = int(found[2]) * 1_000_000_000 + int(found[3]) * 1000 - t0
                result.asked.setdefault(names[int(found[1])], at)

    def _read_notes(self, result, mark, t0):
        for record in self.guest.journal.since(mark):
            note, at = record.fields.get("DAXMGR_NOTE"), int(record.fields.get("DAXMGR_AT_NS", 0)) - t0
            if note == "contained":
                result.contained = at
            elif note == "region" and record.message.endswith(" -> live"):
                result.region_live = at
            elif note == "lease" and (found := LEASE_NOTE.search(record.message)):
                result.states.setdefault(found[1], {})[found[2]] = at

    def _read_uevents(self, result, t0, folder: Path):
        events = self.guest.varlink("org.daxmgr.Manager.ListEvents", {"limit": EVENTS_LIMIT}, 20)["events"]
        lines = (f'{(e["atNs"] - t0) / 1e6:9.1f} {e["source"]} {e["kind"]} {e.get("unit", "-")} {e.get("text", "")}\n'
                 for e in sorted(events, key=lambda e: e["atNs"]) if e["atNs"] >= t0)
        (folder / "events.txt").write_text("".join(lines), encoding="utf-8")
        result.memdev_back = min(e["atNs"] - t0 for e in events if e["source"] == "uevent" and e["atNs"] > t0
                                 and e["kind"] == "bind" and re.fullmatch(r"mem\d+", e.get("unit", "")))

    def _read_store(self, result, begin: int, t0: int):
        query = ("select kind, object, begun_us, ended_us from intents where ended_us is not null "
                 f"and begun_us >= {(begin + self._ahead) // 1000} order by id")
        out = self.guest.channel.must(["sqlite3", "-json", "/var/lib/daxmgr/state.db", query])
        origin = self._ahead + t0
        result.operations = [Operation(row["kind"], row["object"], row["begun_us"] * 1000 - origin,
                                       row["ended_us"] * 1000 - origin) for row in json.loads(out or "[]")]
