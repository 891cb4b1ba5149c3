# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which scenarios share a boot, and that all are played whatever their order."""

import contextlib
import io
import tempfile
import time
import unittest
from pathlib import Path
from types import SimpleNamespace

from . import jobs
from .errors import LabError
from .jobs import Job, Runner, group
from .runner import Progress
from .time_limit import TimeLimit


def job(name: str, topology: str = "demo", kernel: str = "stock", fresh: bool = False, spoils: bool = False,
        in_turn: bool = False) -> Job:
    return Job(SimpleNamespace(name=name, fresh_boot=fresh, spoils_boot=spoils, in_turn=in_turn),
               SimpleNamespace(path=f"{topology}.toml"), kernel)


class FakeSession:
    """Boots, and which scenarios were played on each; one named "broken" breaks, one named "again" does once."""

    boots = []

    def __init__(self, topology, image, _product, _folder, progress):
        self.topology, self.image, self.progress, self.played = topology, image, progress, []
        self.guest = SimpleNamespace(reset=lambda: "dirty" not in self.played)

    def boot(self):
        if self.topology.path == "dead.toml":
            raise LabError("it does not boot")
        FakeSession.boots.append(self.played)

    def play(self, scenario) -> dict:
        self.played.append(scenario.name)
        again = scenario.name == "again" and len(self.played) > 1
        return {"scenario": scenario.name, "held": scenario.name != "broken" and not again,
                **({"again": "the emulator"} if again else {})}

    def close(self):
        pass


class JobsTest(unittest.TestCase):
    def setUp(self):
        FakeSession.boots = []
        self.addCleanup(setattr, jobs, "Session", jobs.Session)
        jobs.Session = FakeSession

    def run_all(self, wanted: list, limit: TimeLimit = TimeLimit()) -> tuple:
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
            reports = Runner(str, Path(folder), Path(folder), Progress()).run(wanted, limit)
        return [(report["scenario"], report["held"]) for report in reports], said.getvalue()

    def test_groups(self):
        """One group for each kind of host, fresh boots first, those that spoil theirs last, else in the order given."""
        found = group([job("s", spoils=True), job("a"), job("b", "disks"), job("c", fresh=True), job("d", kernel="lts"),
                       job("e"), job("f", fresh=True, spoils=True)])
        self.assertEqual([[j.scenario.name for j in one] for one in found], [["c", "a", "e", "f", "s"], ["b"], ["d"]])

    def test_boots_are_shared(self):
        """A boot ends for a fresh one, after a broken one, and when the guest cannot be reset."""
        names = ["f1", "f2", "a", "broken", "b", "dirty", "c"]
        reports, _ = self.run_all([job(n, fresh=n.startswith("f")) for n in names])
        self.assertEqual([name for name, _ in reports], names)
        self.assertEqual(FakeSession.boots, [["f1"], ["f2", "a", "broken"], ["b", "dirty"], ["c"]])

    def test_in_turn_where_time_is_short(self):
        """What is always played is; of the others one, another one each time. Without a limit all share their boots."""
        def wanted():
            return [job("a"), job("t0", in_turn=True), job("b", "disks"), job("t1", "disks", in_turn=True)]
        over = time.monotonic() - 1
        for turn, names in ((0, ["a", "t0", "b"]), (1, ["a", "b", "t1"]), (2, ["a", "t0", "b"])):
            FakeSession.boots = []
            reports, _ = self.run_all(wanted(), TimeLimit(over, turn))
            self.assertEqual([name for name, _ in reports], names)
            self.assertEqual(len(FakeSession.boots), 3)
        FakeSession.boots = []
        self.assertEqual(len(self.run_all(wanted(), TimeLimit(over + 1000))[0]), 4)
        FakeSession.boots = []
        self.assertEqual(len(self.run_all(wanted())[0]), 4)
        self.assertEqual(FakeSession.boots, [["a", "t0"], ["b", "t1"]])

    def test_once_more(self):
        reports, said = self.run_all([job("a"), job("again")])
        self.assertEqual(reports, [("a", True), ("again", True)])
        self.assertEqual(FakeSession.boots, [["a", "again"], ["again"]])
        self.assertIn("once more: the emulator", said)

    def test_reports_come_in_the_order_asked_for(self):
        names = [f"s{i}" for i in range(12)]
        reports, _ = self.run_all([job(n, f"t{i % 3}") for i, n in enumerate(names)])
        self.assertEqual(reports, [(name, True) for name in names])
        self.assertEqual(len(FakeSession.boots), 3)

    def test_a_host_that_does_not_boot(self):
        with self.assertRaises(LabError):
            self.run_all([job("a"), job("b", "dead")])
