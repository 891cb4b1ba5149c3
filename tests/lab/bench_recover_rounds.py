# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rounds of `bench recover`: the product's recovery, and the same steps by raw sysfs writes."""

import json
import re
import threading
import time
from dataclasses import dataclass, field

from .demo_evidence import parse_trace
from .errors import LabError
from .guest import CODE_DIR, LAB_DIR, TRACE
from .scenario import Vm

MIB = 1 << 20
BYTES = 16 * MIB
PORT = "rp0"
SERIAL = 0x10
REGION = "r0"
USER = "daxlab-vm"
READY = f"{LAB_DIR}/raw-ready"
# The root port is lost again and again: that is no flapping here.
CONFIG = f"""
[Recovery]
FlapLosses=0

[Region {REGION}]
Memdevs={SERIAL:#x}
"""
ATTACHED_SECONDS = 60
QUIET_SECONDS = 1.5
JOB_TIME = re.compile(r" result 0 .* in ([0-9.]+) ms ")
# Besides what the lab traces anyway: when a launcher has reached the manager.
TRACE_ASKS = f"""
cd {TRACE}/events/syscalls/sys_enter_connect && echo 'common_pid > 0 && comm == "daxmgr-qemu"' > filter && echo 1 > enable
"""


def wait_until(what: str, seconds: float, look):
    """Polls until look() is true."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


@dataclass
class Step:
    """What took how long, on the clock of the kernel's first record; ns."""
    name: str
    begin: int
    end: int


@dataclass
class ProductRound:
    """All times in ns after the kernel's first record of the loss."""
    tenants: int
    kill_sent: int = 0
    exited: int = 0
    contained: int = 0
    memdev_back: int = 0
    region_live: int = 0
    restarted: dict = field(default_factory=dict)   # VM to exec of its launcher
    asked: dict = field(default_factory=dict)       # VM to its launcher's connection to the manager
    states: dict = field(default_factory=dict)      # VM to {state: when entered}
    running: dict = field(default_factory=dict)     # VM to exec of QEMU
    steps: list = field(default_factory=list)       # operations with an intent, as the store has them

    @property
    def recovered(self) -> int:
        return max(self.running.values())

    def last(self, state: str) -> int:
        return max(entered[state] for entered in self.states.values())

    def first(self, state: str) -> int:
        return min(entered[state] for entered in self.states.values())


@dataclass
class RawRound:
    """Marks in ns after the kernel's first record, and zeroing by hand, in ns, one after another."""
    tenants: int
    marks: dict
    zero: int = 0
    prove: int = 0

    @property
    def carved(self) -> int:
        return self.marks[f"carved {self.tenants}"]

    @property
    def way(self) -> str:
        return "refilled" if "region refilled" in self.marks else "made anew"


class _Rounds:
    def __init__(self, guest):
        self.guest = guest

    def _clear_trace(self):
        self.guest.channel.must(f"echo > {TRACE}/trace")

    def _trace(self) -> list:
        return parse_trace(self.guest.trace())

    @staticmethod
    def _first_record(trace: list) -> int:
        found = [r.ns for r in trace if r.event == "aer_event"]
        if not found:
            raise LabError("the kernel recorded no loss of the port")
        return min(found)


class ProductRounds(_Rounds):
    def __init__(self, guest, most: int):
        super().__init__(guest)
        self.names = [f"t{i}" for i in range(most)]
        guest.install_product(CONFIG, {})
        for name in self.names:
            guest.write_vm(Vm(name, BYTES, REGION, USER, "", True))
        guest.channel.must(TRACE_ASKS)
        guest.daemon("start")
        self._ahead = int(guest.channel.must(
            "python3 -c 'import time; print(time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME))'"))

    def finish(self):
        """Leaves no region, no VM and no daemon."""
        self.guest.reset()

    def begin(self, tenants: int):
        """So many VMs run, and nothing else is going on."""
        units = [self.guest.vm_unit(name) for name in self.names]
        self.guest.channel.must(["systemctl", "start", "--no-block", *units[:tenants]])
        if units[tenants:]:
            self.guest.channel.must(["systemctl", "stop", *units[tenants:]])
        self._settle(tenants, self.guest.boottime_ns())

    def round(self, tenants: int) -> ProductRound:
        guest, names = self.guest, self.names[:tenants]
        self._clear_trace()
        mark, before = guest.journal.mark(), self._pids(names)
        threads = {pid: self._threads(pid) for pid in before.values()}
        begin = guest.boottime_ns()
        guest.host.surprise_down(PORT)
        wait_until("all VMs on new leases", ATTACHED_SECONDS, lambda: self._all_new(names, before))
        self._settle(tenants, begin)
        return self._read(names, threads, mark, begin)

    def _pids(self, names: list) -> dict:
        shown = self.guest.channel.must(["systemctl", "show", "-P", "MainPID", *(self.guest.vm_unit(n) for n in names)])
        return dict(zip(names, (int(word) for word in shown.split())))

    def _threads(self, pid: int) -> set:
        paths = self.guest.channel.call("glob", pattern=f"/proc/{pid}/task/*")["paths"]
        return {int(path.rsplit("/", 1)[1]) for path in paths}

    def _comm(self, pid: int) -> bytes:
        return self.guest.channel.read_or_empty(f"/proc/{pid}/comm").strip() if pid else b""

    def _all_new(self, names: list, before: dict) -> bool:
        return all(pid not in (0, before[name]) and self._comm(pid).startswith(b"qemu-system")
                   for name, pid in self._pids(names).items())

    def _settle(self, tenants: int, since: int):
        """All tenants attached and beating, no incident open, and a while of nothing."""
        def calm():
            leases = self.guest.varlink("org.daxmgr.Manager.ListLeases", {}).get("leases", [])
            status = self.guest.varlink("org.daxmgr.Manager.GetStatus", {})
            self.guest.refresh_samples()
            return ([lease["state"] for lease in leases] == ["attached"] * tenants and not status["incidentsOpen"]
                    and all(self.guest.samples.beating(name, since) for name in self.names[:tenants]))
        wait_until(f"{tenants} VMs attached and beating", ATTACHED_SECONDS, calm)
        time.sleep(QUIET_SECONDS)

    def _read(self, names: list, threads: dict, mark: int, begin: int) -> ProductRound:
        self.guest.sync_journal()
        trace = self._trace()
        t0 = self._first_record(trace)
        result = ProductRound(len(names))
        self._read_trace(result, trace, threads, self._pids(names), t0)
        self._read_notes(result, mark, t0)
        self._read_uevents(result, t0)
        result.steps = self._read_store(begin, t0)
        return result

    @staticmethod
    def _read_trace(result, trace, threads, pids, t0):
        dying = {thread for group in threads.values() for thread in group}
        result.kill_sent = max(r.ns for r in trace if r.event == "signal_generate" and r.number("sig") == 9
                               and r.number("pid") in threads) - t0
        result.exited = max(r.ns for r in trace if r.event == "sched_process_exit" and r.number("pid") in dying) - t0
        for name, pid in pids.items():
            for r in trace:
                if r.event == "sched_process_exec" and r.number("pid") == pid:
                    which = result.running if "qemu-system" in r.word("filename") else result.restarted
                    which[name] = r.ns - t0
                elif r.event == "sys_connect" and r.thread == pid:
                    result.asked[name] = r.ns - t0

    def _read_notes(self, result, mark, t0):
        for record in self.guest.journal.since(mark):
            note, at = record.fields.get("DAXMGR_NOTE"), int(record.fields.get("DAXMGR_AT_NS", 0)) - t0
            if note == "contained":
                result.contained = at
            elif note == "region" and record.message.endswith("-> live"):
                result.region_live = at
            elif note == "lease" and (found := re.search(r"(\S+): \S+ -> (\S+)$", record.message)):
                result.states.setdefault(found[1], {})[found[2]] = at

    def _read_uevents(self, result, t0):
        events = self.guest.varlink("org.daxmgr.Manager.ListEvents", {"limit": 2000}, 20)["events"]
        self.events = [e for e in events if e["source"] == "uevent" and e["atNs"] >= t0]
        back = [e["atNs"] - t0 for e in self.events if "bind" == e["kind"] and re.search(r"/mem\d+\b", e["text"])]
        result.memdev_back = min(back, default=0)

    def _read_store(self, begin: int, t0: int) -> list:
        query = f"select kind, object, begun_us, ended_us from intents where begun_us >= {(begin + self._ahead) // 1000}"
        out = self.guest.channel.must(["sqlite3", "-json", "/var/lib/daxmgr/state.db", query])
        return [Step(f'{row["kind"]} {row["object"]}', row["begun_us"] * 1000 - self._ahead - t0,
                     (row["ended_us"] or 0) * 1000 - self._ahead - t0) for row in json.loads(out or "[]")]


class RawRounds(_Rounds):
    """The daemon does not run and nothing of it is left."""

    def _script(self, *words) -> list:
        return ["bash", f"{CODE_DIR}/recover-raw.sh", words[0], str(SERIAL), *(str(word) for word in words[1:])]

    def round(self, tenants: int) -> RawRound:
        box = {}

        def play():
            try:
                box["out"] = self.guest.channel.must(self._script("round", tenants, BYTES, READY,
                                                                  f"{TRACE}/trace_marker"), 120)
            except LabError as error:
                box["error"] = error
        self.guest.channel.must(f"rm -f {READY}")
        self._clear_trace()
        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        wait_until("the raw round is ready", 90, lambda: "error" in box or self.guest.file_info(READY))
        if "error" not in box:
            time.sleep(QUIET_SECONDS)
            self.guest.host.surprise_down(PORT)
        thread.join(150)
        if "out" not in box:
            raise box.get("error") or LabError("the raw round does not end")
        return self._read(tenants, box["out"].split())

    def _read(self, tenants: int, instances: list) -> RawRound:
        trace = self._trace()
        t0 = self._first_record(trace)
        marks = {r.text.removeprefix("raw "): r.ns - t0 for r in trace if r.event == "tracing_mark_write"}
        result = RawRound(tenants, marks)
        result.zero = sum(self._job("zero", name) for name in instances)
        result.prove = sum(self._job("prove", name) for name in instances)
        return result

    def _job(self, verb: str, name: str) -> int:
        number = self.guest.channel.must(["cat", f"/sys/bus/dax/devices/{name}/dev"]).strip()
        said = self.guest.channel.must([f"{CODE_DIR}/job_tool", verb, name.removeprefix("dax"), number, str(BYTES)])
        found = JOB_TIME.search(said)
        if not found:
            raise LabError(f"job_tool said: {said}")
        return int(float(found[1]) * 1e6)

    def finish(self):
        self.guest.channel.must(self._script("clear"))
