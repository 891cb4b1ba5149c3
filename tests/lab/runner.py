# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plays scenarios: boots guests as needed, runs the steps, keeps the evidence."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from . import actions, emulator, expect, stalled, scenario as scenario_file
from .errors import LabError, StepFailed
from .evidence import Evidence
from .guest import Guest
from .qemu import Host

USUAL_BOOT_SECONDS = 20


def factor() -> float:
    """LAB_TIMEOUT_FACTOR stretches every timeout on slow machines."""
    return float(os.environ.get("LAB_TIMEOUT_FACTOR", "1"))


def patience(boot_seconds: float) -> float:
    """
    By how much steps are given longer on a machine that boots slowly. What an expectation says itself ("within") is not
    patience: only LAB_TIMEOUT_FACTOR stretches it.
    """
    return factor() * max(1.0, boot_seconds / USUAL_BOOT_SECONDS)


class Progress:
    """One line per step, with the time since the start."""

    def __init__(self, verbose: bool = False):
        self.begin = time.monotonic()
        self.verbose = verbose

    def line(self, text: str):
        print(f"[{time.monotonic() - self.begin:7.1f} s] {text}", flush=True)

    def detail(self, text: str):
        if self.verbose:
            self.line(f"        {text}")


class Marks:
    """Where in the journal and in the guest's time each step began."""

    def __init__(self, guest):
        self._guest = guest
        self._marks = {}
        self.now("start")

    def now(self, name: str):
        self._marks[name] = self._marks["step"] = (self._guest.journal.mark(), self._guest.boottime_ns())

    def rebooted(self):
        """The clock began anew: what is since an earlier step in time is since the boot."""
        self._marks = {name: (record, 0) for name, (record, _) in self._marks.items()}

    def journal(self, since: str) -> int:
        return self._marks[since][0]

    def guest_ns(self, since: str) -> int:
        return self._marks[since][1]


class Session:
    """A booted guest and the scenarios played on it."""

    def __init__(self, topology, image: Path, product: Path, keep: Path, progress: Progress):
        self.topology = topology
        self.keep = keep
        self.progress = progress
        self._run_dir = Path(tempfile.mkdtemp(prefix="daxlab-"))
        self.guest = Guest(Host(topology, image, self._run_dir, keep, product))
        self.used = False

    def boot(self):
        name = Path(self.topology.path).stem
        self.progress.line(f"boot    topology {name}, {self.topology.cpus} CPUs, {len(self.topology.memdevs)} memdevs")
        self.guest.boot()
        self.guest.wait_memdevs()
        self.progress.line(f"booted  kernel {self.guest.kernel} in {self.guest.boot_seconds:.1f} s")

    def close(self):
        self.guest.close()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    def play(self, scenario) -> dict:
        """Runs one scenario and returns its report; failures are in the report, not raised."""
        return Play(self, scenario).run()


class Play:
    """One scenario on one guest."""

    def __init__(self, session: Session, scenario):
        self.guest = session.guest
        self.scenario = scenario
        self.progress = session.progress
        self.path = session.keep / scenario.name
        self.evidence = Evidence(self.guest, self.path)
        self.journal_mark = self.guest.journal.mark() if session.used else 0
        self.report = {"scenario": scenario.name, "description": scenario.description,
                       "kernel": self.guest.kernel, "topology": session.topology.describe(),
                       "held": False, "steps": [], "faults": [], "evidence": str(self.path)}
        self.checker = None
        self.reboots = 0
        self.serial_mark = self.journal_mark  # the place in the journal where serial_bytes were counted
        self.serial_bytes = {}
        session.used = True

    def run(self) -> dict:
        begin = time.monotonic()
        self.progress.line(f"play    {self.scenario.name}: {self.scenario.description}")
        try:
            self.evidence.iomem("before")
            self._prepare()
            self._steps()
            if not self.guest.panicked:
                self._no_warnings()
            self.report["held"] = True
            self.progress.line(f"held    {self.scenario.name}")
        except StepFailed as failure:
            self._failed(failure.what, failure.last)
        except LabError as error:
            self._failed(str(error), None)
        finally:
            problems = self._collect()
        self.report["seconds"] = round(time.monotonic() - begin, 3)
        if problems:
            self.report["evidence_problems"] = problems
        return self.report

    def _before_reboot(self):
        """What lies in memory only is saved while it is there."""
        self.reboots += 1
        evidence = Evidence(self.guest, self.path / f"before-reboot-{self.reboots}")
        evidence.collect(self.journal_mark, self.scenario.product, self._faults_of_this_boot())
        for fault in self.report["faults"]:
            fault["before_reboot"] = True

    def _rebooted(self):
        self.marks.rebooted()
        self.serial_mark = self.guest.journal.mark()
        self.serial_bytes = dict.fromkeys(self.serial_bytes, 0)

    def _faults_of_this_boot(self) -> list:
        return [fault for fault in self.report["faults"] if not fault.get("before_reboot")]

    def _collect(self) -> list:
        if self.guest.panicked:
            self.evidence.journal(self.journal_mark)
            return []
        if not self.report["held"]:
            self._blame(emulator.host_reason(self.guest.host.console()))
        try:
            self.guest.host.check_alive()
        except LabError as error:
            self._blame(emulator.ended_reason(str(error), self.report["faults"]))
            return [str(error)]
        frozen = "" if self.report["held"] else self._look_at_frozen_host()
        if frozen:
            return [frozen]
        if not self.report["held"]:
            self._blame_machine()
        problems = [] if self.report["held"] else self._look_at_stalled()
        return problems + self.evidence.collect(self.journal_mark, self.scenario.product, self._faults_of_this_boot())

    def _look_at_frozen_host(self) -> str:
        """What the CPUs of a host are at that answers nobody; it is not asked for evidence."""
        if self.guest.answers():
            return ""
        registers = self.guest.host.registers()
        (self.path / "host-frozen.txt").write_text("\n".join(registers), encoding="utf-8")
        self._blame(emulator.frozen_reason(registers, self.report["faults"]))
        return "the emulated host does not answer any more; host-frozen.txt tells what its CPUs are at"

    def _look_at_stalled(self) -> list:
        """What VMs that stand still are at; returns what could not be learned."""
        try:
            found = stalled.find(self.guest, self.serial_bytes)
            for vm in found:
                (self.path / f"{vm.name}-stalled.txt").write_text(vm.text(), encoding="utf-8")
                self.progress.line(f"        {vm.line()}")
            self._blame(emulator.reset_reason(self.guest, self.serial_bytes, self.serial_mark, self.serial_bytes))
            self._blame(emulator.reason(self.guest, found, self.serial_mark, self.serial_bytes))
        except (LabError, OSError) as error:
            return [f"what the VMs are at: {error}"]
        return []

    def _blame_machine(self):
        """VMs that had nothing to do with each other and stood still at once got no CPU: this machine was too busy."""
        for name, begin in self.checker.too_still if self.checker else []:
            others = self.guest.samples.stood_still_with(name, begin)
            if others:
                self._blame(f"this machine was too busy: {', '.join([name, *others])} stood still at once")

    def _blame(self, why: str):
        """What only the emulator or this machine is to blame for is played once more."""
        if why:
            self.report["again"] = why

    def _failed(self, what: str, last):
        step = self.report["steps"][-1]["name"] if self.report["steps"] else "preparation"
        self.report["broken"] = {"step": step, "expectation": what, "last_seen": last}
        if self.report["steps"]:
            self.report["steps"][-1]["held"] = False
        self.progress.line(f'BROKEN  step "{step}": {what}')
        if last is not None:
            self.progress.line(f"        last seen: {last}")

    def _prepare(self):
        scenario, guest = self.scenario, self.guest
        steps_dir = self.path / "steps"
        steps_dir.mkdir(exist_ok=True)
        self.actions = actions.Actions(guest, scenario, steps_dir)
        self.report["faults"] = self.actions.faults
        if scenario.product:
            guest.install_product(scenario.config, scenario.dropins)
        for vm in scenario.vms:
            self.actions.variables[f"qemu.{vm.name}"] = guest.write_vm(vm)
            self.serial_bytes[vm.name] = len(guest.serial(vm.name))
        self.marks = Marks(guest)
        self.actions.before_reboot, self.actions.after_reboot = self._before_reboot, self._rebooted
        if scenario.start_daemon:
            guest.daemon("start")

    def _steps(self):
        longer = patience(self.guest.boot_seconds)
        end = time.monotonic() + self.scenario.timeout * longer
        self.checker = expect.Checker(self.guest, self.marks)
        for step in self.scenario.steps:
            begin = time.monotonic()
            entry = {"name": step.name, "held": False}
            self.report["steps"].append(entry)
            entry["boottime_ns"] = self.guest.boottime_ns()
            self.marks.now(step.name)
            self._step(step, min(end, begin + step.timeout * longer), entry)
            entry["seconds"] = round(time.monotonic() - begin, 3)
            entry["held"] = True
            self.progress.line(f"ok      {step.name} ({entry['seconds']:.1f} s)")

    def _step(self, step, deadline: float, entry: dict):
        self.actions.prepare(step)
        for item in step.when:
            expect.wait_for(self.checker, self._filled(item), deadline, poll=0.001)
        if step.action:
            self.progress.detail(f"{step.action} {step.args}")
            entry |= self.actions.perform(step)
        entry["seen"] = []
        for item in step.expect:
            item = self._filled(item)
            limit = deadline if item.within is None else time.monotonic() + item.within * factor()
            seen = expect.wait_for(self.checker, item, limit)
            entry["seen"].append({"expectation": item.text, "seen": seen})
            self.progress.detail(f"{item.text}: {seen}")

    def _filled(self, item):
        return scenario_file.Expectation(item.kind, self.actions.substitute(item.args), item.within,
                                         item.hold, item.text)

    def _no_warnings(self):
        self.guest.sync_journal()
        bad = self.guest.journal.bad_kernel_records(self.journal_mark, self.scenario.allow_kernel)
        if bad:
            raise StepFailed("no warning in the guest's kernel log", bad[0].message)
