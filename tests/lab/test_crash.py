# SPDX-License-Identifier: LGPL-2.1-or-later
"""The crash points, without booting anything."""

import tempfile
import unittest
from pathlib import Path

from . import crash, scenario
from .errors import FormatError
from .matrix import shape_of
from .matrix_cell import scenario_text

SHAPE = shape_of(crash.HERE / "topologies" / f"{crash.TOPOLOGY}.toml")


class Points(unittest.TestCase):
    def test_there_are_enough_to_reach_as_many_as_are_wanted(self):
        names = [point.name for point in crash.points()]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreaterEqual(len(crash.deaths()), crash.WANTED * 5 // 4)

    def test_a_point_is_chosen_by_its_name(self):
        self.assertEqual(crash.chosen(["fdatasync-3"]), [crash.Point("fdatasync", "3")])
        self.assertEqual(crash.chosen(["fdatasync-eio-1to4"]), [crash.Point("fdatasync", "1..4", "EIO")])
        self.assertEqual(crash.chosen(None), crash.points())
        with self.assertRaises(FormatError):
            crash.chosen(["fdatasync-7777"])

    def test_the_stop_and_the_kill_of_each_victim_are_points(self):
        victims = crash.cell_at(SHAPE, crash.points()[0]).victims
        self.assertEqual(crash.NTHS["pidfd_send_signal"], tuple(range(1, 2 * len(victims) + 1)))


class Cells(unittest.TestCase):
    def test_a_cell_is_a_scenario(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cell.toml"
            for point in crash.points():
                path.write_text(scenario_text(SHAPE, crash.cell_at(SHAPE, point), "stock"), encoding="utf-8")
                scenario.check_against(scenario.parse(path), SHAPE.topology)

    def test_death_is_armed_right_before_the_loss_and_disarmed_before_the_end(self):
        cell = crash.cell_at(SHAPE, crash.Point("pwrite64", "8"))
        names = [step["name"] for step in cell.steps]
        first = names.index(cell.losses[0])
        self.assertEqual(names[first - 2:first], ["it is armed", "strace is there"])
        self.assertIn("pwrite64:signal=KILL:when=8 ", cell.steps[first - 2]["run"])
        self.assertEqual(names[-2:], ["strace leaves", "and all is as before"])
        cell = crash.cell_at(SHAPE, crash.Point("pwrite64", "1..8", "ENOSPC"))
        self.assertIn("pwrite64:error=ENOSPC:when=1..8 ", cell.steps[first - 2]["run"])


class Table(unittest.TestCase):
    def test_what_became_of_a_point(self):
        held = {"loss": "read-1", "held": True, "reached": True, "contain_ms": 12.4, "recover_ms": None}
        missed, broken = held | {"loss": "read-3", "reached": False}, {"loss": "read-8", "held": False}
        line = next(line for line in crash.table([held, missed, broken]) if line.startswith("read "))
        self.assertEqual(line.split("  ")[-4:], ["1: 12/-", "3: not reached", "8: BROKEN", "21: not played"])


if __name__ == "__main__":
    unittest.main()
