# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which scenarios share a boot, and that all are played whatever their order."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

from . import jobs
from .errors import LabError
from .jobs import Job, Runner, group
from .runner import Progress


def job(name: str, topology: str = "demo", kernel: str = "stock", fresh: bool = False) -> Job:
    return Job(SimpleNamespace(name=name, fresh_boot=fresh), SimpleNamespace(path=f"{topology}.toml"), kernel)


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

    def run_all(self, wanted: list) -> tuple:
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
            reports = Runner(str, Path(folder), Path(folder), Progress()).run(wanted)
        return [(report["scenario"], report["held"]) for report in reports], said.getvalue()

    def test_groups(self):
        """One group for each kind of host, fresh boots first, else in the order given."""
        found = group([job("a"), job("b", "disks"), job("c", fresh=True), job("d", kernel="lts"), job("e")])
        self.assertEqual([[j.scenario.name for j in one] for one in found], [["c", "a", "e"], ["b"], ["d"]])

    def test_boots_are_shared(self):
        """A boot ends for a fresh one, after a broken one, and when the guest cannot be reset."""
        names = ["f1", "f2", "a", "broken", "b", "dirty", "c"]
        reports, _ = self.run_all([job(n, fresh=n.startswith("f")) for n in names])
        self.assertEqual([name for name, _ in reports], names)
        self.assertEqual(FakeSession.boots, [["f1"], ["f2", "a", "broken"], ["b", "dirty"], ["c"]])

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
