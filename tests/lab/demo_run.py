# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plays the demo's scenario, keeps the extra evidence it needs and tells on stdout what happens."""

import json
import threading
from dataclasses import asdict

from . import demo_control, demo_moment, demo_plan
from .demo_evidence import RECORD_FILE
from .errors import LabError
from .journal import UNIT_EXITED
from .runner import Play

TOLD_NOTES = ("fault", "correlated", "kill", "exit", "contained", "domain", "region", "waiting", "recovered",
              "failed", "stranger", "guard")
EVENTS_LIMIT = 5000


class Narrator:
    """Prints what daxmgrd and the supervisors of VMs say while it happens, relative to the current fault's first record."""

    def __init__(self, journal, progress):
        self._journal = journal
        self._progress = progress
        self._next = journal.mark()
        self._base = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="narrator", daemon=True)
        self._thread.start()

    def stop(self):
        self._ended.set()
        self._thread.join(2)
        self._tell_new()

    def _follow(self):
        while not self._ended.is_set():
            self._journal.wait_change(0.2)
            self._tell_new()

    def _tell_new(self):
        records = self._journal.since(self._next)
        self._next += len(records)
        for record in records:
            self._tell(record)

    def _tell(self, record):
        note = record.fields.get("DAXMGR_NOTE")
        at = int(record.fields.get("DAXMGR_AT_NS", 0)) or record.boottime_ns
        if note == "fault":
            self._base = at
        if note in TOLD_NOTES or (note == "lease" and record.message.endswith("-> attached")):
            self._line(at, "daxmgrd", record.message)
        elif record.fields.get("MESSAGE_ID") == UNIT_EXITED and record.unit.startswith("daxmgr"):
            self._line(at, "supervisor", f'{record.unit.removesuffix(".service")}: {record.fields.get("EXIT_CODE")}, '
                                      f'status {record.fields.get("EXIT_STATUS")}')

    def _line(self, at_ns: int, who: str, text: str):
        when = f"{(at_ns - self._base) / 1e6:+10.1f} ms" if self._base else f"{at_ns / 1e9:10.3f} s "
        self._progress.line(f"      {when}  {who:8} {text}")


class DemoPlay(Play):
    def __init__(self, session, scenario, control=None):
        super().__init__(session, scenario)
        self.control = control
        self.plan = demo_plan.plan(scenario, session.topology)
        self.regions = demo_plan.regions_of(scenario.config)
        self.last_start = [s.name for s in scenario.steps if demo_plan.part_of(s.name) == "start"][-1]
        self.ends_ns = {}
        self.beating_ns = 0
        self.begun = None
        self.narrator = None

    def _prepare(self):
        if self.control:
            demo_control.install(self.control, self.guest)
        self.narrator = Narrator(self.guest.journal, self.progress)
        super()._prepare()

    def _moment(self, name: str):
        demo_moment.take(self.guest, self.path / "moments" / name, [vm.name for vm in self.scenario.vms])

    def _step(self, step, deadline, entry):
        fault = next((f for f in self.plan if f.step == step.name), None)
        if fault:
            self._moment(f"{fault.number}-before")
            self.progress.line("")
            self.progress.line(f"FAULT {fault.number} of {len(self.plan)}: {fault.title}; "
                               f"must die: {', '.join(fault.victims)}; must not notice: {', '.join(fault.survivors)}")
            self.begun = fault
        super()._step(step, deadline, entry)
        if self.begun and self.begun.end_step == step.name:
            self._fault_ends()
        elif step.name == self.last_start:
            self._moment("begin")
            self.beating_ns = self.guest.boottime_ns()
        elif demo_plan.part_of(step.name) == "end":
            self._moment("end")

    def _fault_ends(self):
        self.ends_ns[self.begun.number] = self.guest.boottime_ns()
        self._moment(f"{self.begun.number}-after")
        self.begun = None

    def _collect(self) -> list:
        problems = []
        try:
            if self.begun:
                self._fault_ends()
            events = self.guest.varlink("org.daxmgr.Manager.ListEvents", {"limit": EVENTS_LIMIT}, 20)
            (self.path / "events-all.json").write_text(json.dumps(events, indent=1) + "\n", encoding="utf-8")
        except LabError as error:
            problems.append(str(error))
        if self.narrator:
            self.narrator.stop()
        problems += super()._collect()
        self._save_record()
        return problems

    def _save_record(self):
        host = self.guest.host
        record = {
            "kernel": self.guest.kernel, "topology": self.report["topology"],
            "control": self.control.name if self.control else None,
            "boot": {"started_host_ns": host.started_ns,
                     "ready_host_ns": host.started_ns + int(self.guest.boot_seconds * 1e9)},
            "vms": [{"name": vm.name, "size": vm.size, "region": vm.region} for vm in self.scenario.vms],
            "regions": self.regions, "allow_kernel": self.scenario.allow_kernel,
            "plan": [asdict(fault) for fault in self.plan],
            "faults": self.report["faults"], "beating_ns": self.beating_ns, "ends_ns": self.ends_ns,
            "end_ns": self.guest.boottime_ns(),
            "steps": [{key: step[key] for key in ("name", "held", "boottime_ns") if key in step}
                      for step in self.report["steps"]],
            "broken": self.report.get("broken"),
        }
        (self.path / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
