# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which scenarios share a boot, which are left out where time is short, and their playing."""

import time
from dataclasses import dataclass
from pathlib import Path

from .runner import Progress, Session
from .time_limit import TimeLimit
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


def group(jobs: list) -> list:
    """
    By the kind of host. Those that want a fresh boot first, as others can go on with the boot of the last of them, and
    those that spoil theirs last.
    """
    found = {}
    for job in jobs:
        found.setdefault(job.host, []).append(job)
    return [sorted(one, key=lambda job: (job.scenario.spoils_boot, not job.scenario.fresh_boot)) for one in found.values()]


def in_turn(jobs: list, turn: int) -> tuple:
    """Those that are played each time, and the others in the order of this turn, so that each comes first some day."""
    always = [job for job in jobs if not job.scenario.in_turn]
    others = [job for job in jobs if job.scenario.in_turn]
    first = turn % len(others) if others else 0
    return always, others[first:] + others[:first]


class Runner:
    """Plays jobs; image_of and product come from the command line."""

    def __init__(self, image_of, product: Path, keep: Path, progress: Progress):
        self.image_of, self.product, self.keep, self.progress = image_of, product, keep, progress
        self._boots, self._single = 0, False
        self._played_in_turn = False    # one of those is played however late it is

    def run(self, jobs: list, limit: TimeLimit) -> list:
        """
        The reports in the order of the jobs, of those that were played. Raises LabError when a host does not boot; then
        the rest is not played.
        """
        self._single = len(jobs) == 1
        always, others = in_turn(jobs, limit.turn) if limit.ends else (jobs, [])
        for one in group(always):
            self._play_group(one)
        until = limit.half()
        for one in group(others):
            self._play_group(one, until)
        return [job.report for job in jobs if job.report]

    def _play_group(self, jobs: list, until: float = float("inf")):
        session, previous = None, None
        try:
            for job in jobs:
                if self._played_in_turn and time.monotonic() > until:
                    return
                self._played_in_turn |= job.scenario.in_turn
                if session and not self._can_go_on(session, job, previous):
                    session.close()
                    session = None
                if session is None:
                    session = self._booted(job)
                job.report, previous = session.play(job.scenario), job
                why = job.report.get("again")
                if why:
                    self.progress.line(f"once more: {why}")
                    session.close()
                    session = self._booted(job)
                    job.report = session.play(job.scenario) | {"played_twice": why}
        finally:
            if session:
                session.close()

    @staticmethod
    def _can_go_on(session: Session, job: Job, previous: Job) -> bool:
        return not job.scenario.fresh_boot and previous.report["held"] and session.guest.reset()

    def _booted(self, job: Job) -> Session:
        self._boots += 1
        folder = self.keep if self._single and self._boots == 1 else self.keep / f"boot{self._boots}"
        folder.mkdir(parents=True, exist_ok=True)
        session = Session(job.topology, self.image_of(job.kernel), self.product, folder, self.progress)
        session.boot()
        return session
