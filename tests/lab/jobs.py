# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which scenarios share a boot, and guests side by side that play them."""

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError
from .runner import Progress, Session
from .scenario import Scenario
from .topology import Topology


@dataclass
class Job:
    scenario: Scenario
    topology: Topology
    kernel: str
    report: dict | None = None

    @property
    def host(self) -> tuple:
        return str(self.topology.path), self.kernel


@dataclass
class Group:
    """What is played on hosts of one kind, one after another."""
    jobs: list = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{Path(self.jobs[0].topology.path).stem}-{self.jobs[0].kernel}"


def group(jobs: list) -> list:
    """By the kind of host; those that want a fresh boot first, as others can go on with the boot of the last of them."""
    found = {}
    for job in jobs:
        found.setdefault(job.host, Group()).jobs.append(job)
    for one in found.values():
        one.jobs.sort(key=lambda job: not job.scenario.fresh_boot)
    return list(found.values())


class _Labelled(Progress):
    """Lines of guests side by side are told apart."""

    def __init__(self, progress: Progress, label: str):
        super().__init__(progress.verbose)
        self._progress, self._label = progress, label

    def line(self, text: str):
        self._progress.line(f"{self._label:16} {text}")


class Runner:
    """Plays jobs; image_of and product come from the command line."""

    def __init__(self, image_of, product: Path, keep: Path, progress: Progress):
        self.image_of, self.product, self.keep, self.progress = image_of, product, keep, progress
        self._boots, self._single = 0, False
        self._lock = threading.Lock()

    def run(self, jobs: list, at_a_time: int) -> list:
        """The reports in the order of the jobs. Raises LabError when a host does not boot; then the rest is not played."""
        groups, problems, self._single = group(jobs), [], len(jobs) == 1
        waiting = queue.SimpleQueue()
        for one in groups:
            waiting.put(one)
        alone = min(at_a_time, len(groups)) == 1
        threads = [threading.Thread(target=self._work, args=(waiting, problems, alone), daemon=True)
                   for _ in range(min(at_a_time, len(groups)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)    # a Ctrl-C is heard between two of these
        if problems:
            raise problems[0]
        return [job.report for job in jobs]

    def _work(self, waiting, problems: list, alone: bool):
        while not problems:
            try:
                one = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self._play_group(one, self.progress if alone else _Labelled(self.progress, one.name))
            except (LabError, OSError) as error:
                problems.append(error)

    def _play_group(self, one: Group, progress: Progress):
        session, previous = None, None
        try:
            for job in one.jobs:
                if session and not self._can_go_on(session, job, previous):
                    session.close()
                    session = None
                if session is None:
                    session = self._booted(job, progress)
                job.report, previous = session.play(job.scenario), job
                why = job.report.get("again")
                if why:
                    progress.line(f"once more: {why}")
                    session.close()
                    session = self._booted(job, progress)
                    job.report = session.play(job.scenario) | {"played_twice": why}
        finally:
            if session:
                session.close()

    @staticmethod
    def _can_go_on(session: Session, job: Job, previous: Job) -> bool:
        return not job.scenario.fresh_boot and previous.report["held"] and session.guest.reset()

    def _booted(self, job: Job, progress: Progress) -> Session:
        with self._lock:
            self._boots += 1
            folder = self.keep if self._single and self._boots == 1 else self.keep / f"boot{self._boots}"
        folder.mkdir(parents=True, exist_ok=True)
        session = Session(job.topology, self.image_of(job.kernel), self.product, folder, progress)
        session.boot()
        return session
