# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fake evidence of a demo that went well: what a guest would have left behind, on an invented clock. For tests."""

import json
from dataclasses import asdict
from pathlib import Path

from . import demo_plan
from .demo_evidence import RECORD_FILE, SCENARIO

SECOND = 1_000_000_000
MS = 1_000_000
FIRST_FAULT_NS = 60 * SECOND
FAULT_NS = 20 * SECOND
MIB = 1 << 20


def boot_stamp(ns: int) -> str:
    return f"{ns // SECOND}.{ns % SECOND // 1000:06d}"


class FakeRun:
    """Plays the plan of a scenario on paper; tests spoil a part of it before write()."""

    def __init__(self, scenario, topology):
        self.scenario = scenario
        self.plan = demo_plan.plan(scenario, topology)
        self.regions = demo_plan.regions_of(scenario.config)
        self.pids = {vm.name: 100 + 10 * i for i, vm in enumerate(scenario.vms)}
        self.inodes = {vm.name: 1000 + i for i, vm in enumerate(scenario.vms)}
        self.trace, self.journal, self.uevents, self.steps, self.faults = [], [], [], [], []
        self.moments, self.outputs, self.ends = {}, {}, {}
        self.serial = {vm.name: self._run(vm) * 2 for vm in scenario.vms}
        self.stops = {vm.name: [] for vm in scenario.vms}
        self.next_pid = 500
        for index, fault in enumerate(self.plan):
            self._fault(fault, FIRST_FAULT_NS + index * FAULT_NS)
        self.end_ns = FIRST_FAULT_NS + len(self.plan) * FAULT_NS + 5 * SECOND
        self.moments["end"] = self._moment(end=True)

    @staticmethod
    def _run(vm) -> str:
        return f"\nSTART\nACCEL kvm\nZERO ok {vm.size}\nCHECK ms 20\nBEAT 10\nBEAT 20\n"

    def traced(self, ns: int, task: str, event: str, text: str):
        self.trace.append((ns, f"  {task}-77  [001] d..1. {boot_stamp(ns)}: {event}: {text}"))

    def note(self, ns: int, kind: str, text: str, incident: int):
        self.journal.append((ns, {"_SOURCE_BOOTTIME_TIMESTAMP": str((ns + 2 * MS) // 1000), "DAXMGR_NOTE": kind,
                                  "DAXMGR_AT_NS": str(ns), "MESSAGE": f"incident {incident}: {text}",
                                  "_SYSTEMD_UNIT": "daxmgrd.service"}))

    def exit_record(self, ns: int, vm: str, code: str = "killed", status: int = 9):
        self.journal.append((ns, {"_SOURCE_BOOTTIME_TIMESTAMP": str(ns // 1000), "UNIT": f"daxmgr-vm@{vm}.service",
                                  "MESSAGE_ID": "98e322203f7a4ed290d09fe03c09fe15", "EXIT_CODE": code,
                                  "EXIT_STATUS": str(status), "MESSAGE": "Main process exited"}))

    def _fault(self, fault, begin: int):
        t0 = begin + 3 * MS
        self.moments[f"{fault.number}-before"] = self._moment()
        self.faults.append({"step": fault.step, "boottime_ns": begin, "clock_error_ns": MS})
        if fault.kind == "surprise down":
            self.traced(t0, "irq/26-aerdrv", "aer_event", "0000:0c:01.0 CXL Bus Error: severity=Fatal, Surprise Down Error")
        else:
            self.uevents.append({"atNs": t0, "source": "uevent", "kind": "remove", "text": "mem1"})
        self.note(t0, "fault", f"{fault.unit}: fault", fault.number)
        self.note(t0 + MS, "domain", "domain hb12: healthy -> containing", fault.number)
        for vm in fault.victims:
            self._dies(vm, t0)
        self.note(t0 + 40 * MS, "contained", "contained, no mapping left", fault.number)
        self._steps(fault, begin)
        back = t0 + 8 * SECOND
        for vm in fault.victims:
            self._comes_back(vm, back)
        self.note(back + SECOND, "domain", "domain hb12: recovering -> healthy", fault.number)
        self.note(back + SECOND, "recovered", "recovered", fault.number)
        if fault.hand_vms:
            for vm in fault.hand_vms:
                self._stopped(vm, begin + 5 * SECOND, back)
        self.ends[str(fault.number)] = begin + 15 * SECOND
        self.moments[f"{fault.number}-after"] = self._moment()

    def _dies(self, vm: str, t0: int):
        pid = self.pids[vm]
        self.traced(t0 + 1 * MS, "daxmgrd", "signal_generate",
                    f"sig=19 errno=0 code=0 comm=qemu-system-x86 pid={pid} grp=1 res=0")
        self.traced(t0 + 2 * MS, "daxmgrd", "signal_generate",
                    f"sig=9 errno=0 code=0 comm=qemu-system-x86 pid={pid} grp=1 res=0")
        for task in (pid + 1, pid):
            self.traced(t0 + 20 * MS + task, "qemu-system-x86", "sched_process_exit",
                        f"comm=qemu-system-x86 pid={task} prio=120 group_dead=false")
        self.exit_record(t0 + 30 * MS, vm)
        self.stops[vm].append((t0, t0 + 8 * SECOND + 2 * SECOND))

    def _comes_back(self, vm: str, ns: int):
        self.next_pid += 10
        self.pids[vm] = self.next_pid
        self.inodes[vm] += 100
        self.traced(ns, "daxmgr-qemu", "sched_process_exec",
                    f"filename=/usr/bin/qemu-system-x86_64 pid={self.next_pid} old_pid={self.next_pid}")
        self.serial[vm] += self._run(self.scenario.vm(vm))

    def _stopped(self, vm: str, begin: int, back: int):
        self.stops[vm].append((begin, back + 3 * SECOND))
        self._comes_back(vm, back + SECOND)

    def _steps(self, fault, begin: int):
        part = demo_plan.part_of(fault.step)
        names = [step.name for step in self.scenario.steps if demo_plan.part_of(step.name) == part]
        for name in names:
            at = begin + 5 * SECOND if name == fault.hand_step else begin
            self.steps.append({"name": name, "held": True, "boottime_ns": at})
            if fault.hand_vms and "shown" in name:
                reason = f"region low waits for tenants above it: {' '.join(fault.hand_vms)}"
                self.outputs[name] = json.dumps({"domains": [{"domain": "hb12", "state": "waiting", "reason": reason}]})

    def _moment(self, end: bool = False) -> dict:
        regions, iomem, start = "", "00100000-bfffffff : System RAM\n100000000-3ffffffff : CXL Window 0\n", 0x100000000
        for number, serials in enumerate(self.regions.values()):
            size = 512 * MIB * len(serials)
            regions += f"region{number} size={size:#x} resource={start:#x} commit=1 driver=cxl_region\n"
            iomem += f"  {start:08x}-{start + size - 1:08x} : region{number}\n"
            start += size
        vms = ""
        for vm, pid in self.pids.items():
            node = f"/dev/daxmgr/vm/{vm}/mem0 {self.inodes[vm]} fc:1 daxlab-vm 600"
            vms += (f"vm={vm} comm=\nProcess=\nTasks=\nNode=\nMaps=\n" if end else
                    f"vm={vm} comm=qemu-system-x86\nProcess={pid}\nTasks={pid} {pid + 1}\nNode={node}\nMaps=\n")
        return {"iomem.txt": iomem, "regions.txt": regions, "instances.txt": "dax0.0 size=0 dev=252:0 driver=none\n",
                "vms.txt": vms, "mappers.txt": "", "mounts.txt": ""}

    def samples(self) -> str:
        """Every VM's counter, which stands still and begins again where it was stopped."""
        lines, counters = [], dict.fromkeys(self.pids, 0)
        for ns in range(50 * SECOND, self.end_ns, 100 * MS):
            for vm, stops in self.stops.items():
                if any(begin <= ns < end for begin, end in stops):
                    counters[vm] = 0
                else:
                    counters[vm] += 5
                lines.append(f"{ns} {vm} {counters[vm]}\n")
        return "".join(lines)

    def write(self, path: Path):
        base = Path(path) / SCENARIO
        for directory in ("serial", "steps", *(f"moments/{name}" for name in self.moments)):
            (base / directory).mkdir(parents=True, exist_ok=True)
        files = {f"moments/{name}/{file}": text for name, m in self.moments.items() for file, text in m.items()}
        files |= {f"serial/{vm}.serial": text for vm, text in self.serial.items()}
        files |= {f"steps/{demo_plan.file_name(name)}.out": text for name, text in self.outputs.items()}
        files["trace.txt"] = "# tracer: nop\n" + "\n".join(line for _, line in sorted(self.trace)) + "\n"
        files["journal.json"] = "".join(json.dumps(fields) + "\n" for _, fields in self.journal)
        files["samples.txt"] = self.samples()
        files["events-all.json"] = json.dumps({"events": self.uevents})
        files[RECORD_FILE] = json.dumps(self.record())
        for name, text in files.items():
            (base / name).write_text(text, encoding="utf-8")

    def record(self) -> dict:
        return {"kernel": "0.0-fake", "topology": {}, "control": None,
                "boot": {"started_host_ns": 0, "ready_host_ns": 20 * SECOND},
                "vms": [{"name": vm.name, "size": vm.size, "region": vm.region} for vm in self.scenario.vms],
                "regions": self.regions, "allow_kernel": [], "plan": [asdict(f) for f in self.plan],
                "faults": self.faults, "beating_ns": 55 * SECOND, "ends_ns": self.ends, "end_ns": self.end_ns,
                "steps": self.steps, "broken": None}
