# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the matrix makes of topology files, without booting anything."""

import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

from . import matrix, matrix_run, matrix_table, scenario, topology
from .errors import FormatError
from .matrix_cell import NotApplicable, scenario_text
from .matrix_losses import LOSSES, port_path
from .matrix_run import share_out
from .matrix_shape import Shape
from .scenario import KERNELS

HOST = """
[[bridge]]
name = "hb0"
ports = ["rp0", "rp1"]
[[bridge]]
name = "hb1"
ports = ["rp2"]
[[switch]]
name = "sw0"
port = "rp1"
downstream = ["ds0", "ds1"]
[[memdev]]
name = "m0"
port = "rp0"
serial = 0x10
size = "512M"
[[memdev]]
name = "m1"
port = "ds0"
serial = 0x11
size = "1G"
[[memdev]]
name = "m2"
port = "rp2"
serial = 0x12
size = "512M"
[[memdev]]
name = "p0"
port = "ds1"
serial = 0x13
size = "256M"
kind = "pmem"
[[window]]
targets = ["hb0", "hb1"]
size = "2G"
[[window]]
targets = ["hb0"]
size = "1G"
"""

REGIONS = """
[[region]]
name = "pair"
memdevs = ["m1", "m2"]
size = "512M"
[[region]]
name = "rest"
memdevs = ["m1"]
[[region]]
name = "alone"
memdevs = ["m0"]
size = "256M"
"""


def parse(text: str):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.toml"
        path.write_text(text, encoding="utf-8")
        return topology.parse(path)


def named(name: str) -> Shape:
    return matrix.shape_of(matrix.HERE / "topologies" / f"{name}.toml")


class Regions(unittest.TestCase):
    def refused(self, old: str, new: str, wanted: str):
        self.assertIn(old, HOST + REGIONS)
        with self.assertRaises(FormatError) as caught:
            parse((HOST + REGIONS).replace(old, new, 1))
        self.assertIn(wanted, str(caught.exception))

    def test_sizes_and_places(self):
        regions = {r.name: r for r in parse(HOST + REGIONS).regions}
        self.assertEqual([(regions[n].bytes >> 20, regions[n].window, regions[n].offset >> 20)
                          for n in ("pair", "rest", "alone")], [(512, 0, 0), (768, 1, 0), (256, 1, 768)])

    def test_refusals(self):
        cases = [
            ('memdevs = ["m0"]', 'memdevs = ["m9"]', 'region "alone": memdev "m9" does not exist (known: '),
            ('memdevs = ["m0"]', 'memdevs = ["p0"]', 'memdev "p0" is pmem'),
            ('memdevs = ["m0"]', 'memdevs = ["m0", "m0"]', "a memdev appears twice"),
            ('memdevs = ["m0"]', "memdevs = []", "0 memdevs: a region has 1, 2, 3"),
            ('memdevs = ["m1", "m2"]', 'memdevs = ["m2", "m1"]', "no window fits: its targets must be the bridges"),
            ('memdevs = ["m1", "m2"]', 'memdevs = ["m2"]', "no window fits"),
            ('size = "512M"\n[[region]]', 'size = "256M"\n[[region]]', "size = 256M is not a multiple of 256M for each"),
            ('size = "512M"\n[[region]]', 'size = "1536M"\n[[region]]', 'memdev "m2" has only 512M left'),
            ('size = "512M"\n[[region]]', 'size = "1G"\n[[region]]', None),
            ('targets = ["hb0"]\nsize = "1G"', 'targets = ["hb0"]\nsize = "768M"', "no window has room for 256M"),
            ('name = "alone"', 'name = "pair"', "the name is already used"),
            ('name = "alone"', f'name = "{"x" * 33}"', "the name has more than 32 characters"),
            ('name = "alone"', 'name = "alone"\ngranularity = "3K"', "is not a power of two"),
            ('name = "alone"', 'name = "alone"\ncolour = 1', 'unknown key "colour"'),
            ("serial = 0x10", "serial = 0x10\npresent = false", 'memdev "m0" is not present at boot'),
        ]
        for old, new, wanted in cases:
            with self.subTest(new=new):
                if wanted is None:
                    parse((HOST + REGIONS).replace(old, new, 1))
                else:
                    self.refused(old, new, wanted)

    def test_three_ways_need_three_targets(self):
        text = "".join(f'''
[[memdev]]
name = "x{i}"
port = "rp{i}"
serial = {0x50 + i}
size = "256M"
''' for i in range(3))
        bridge = '[[bridge]]\nname = "hb0"\nports = ["rp0", "rp1", "rp2"]\n' + text
        window = '[[window]]\ntargets = ["hb0"]\nsize = "4G"\n'
        with self.assertRaises(FormatError) as caught:
            parse(bridge + window + '[[region]]\nname = "three"\nmemdevs = ["x0", "x1", "x2"]\n')
        self.assertIn("no window fits", str(caught.exception))

    def test_decoders_are_counted(self):
        ports = [f"rp{i}" for i in range(5)]
        text = f'[[bridge]]\nname = "hb0"\nports = {ports}\n[[window]]\ntargets = ["hb0"]\nsize = "4G"\n'
        for i, port in enumerate(ports):
            text += f'[[memdev]]\nname = "x{i}"\nport = "{port}"\nserial = {0x50 + i}\nsize = "256M"\n'
        regions = [f'[[region]]\nname = "r{i}"\nmemdevs = ["x{i}"]\n' for i in range(5)]
        parse(text + "".join(regions[:4]))
        with self.assertRaises(FormatError) as caught:
            parse(text + "".join(regions))
        self.assertIn("has 4 decoders", str(caught.exception))

    def test_a_bridge_that_passes_through_takes_one_region(self):
        text = HOST.replace('targets = ["hb0"]', 'targets = ["hb1"]')
        with self.assertRaises(FormatError) as caught:
            parse(text + '''
[[region]]
name = "one"
memdevs = ["m2"]
size = "256M"
[[region]]
name = "two"
memdevs = ["m2"]
''')
        self.assertIn('bridge "hb1" has a single root port and carries region "one" already', str(caught.exception))


class Shapes(unittest.TestCase):
    def test_blast_radius(self):
        shape = Shape(parse(HOST + REGIONS))
        self.assertEqual(shape.hit("ds1").lost, [])
        self.assertEqual(shape.hit("rp2").lost, ["pair"])
        self.assertEqual(shape.hit("rp1").lost, ["pair", "rest"])
        self.assertEqual(shape.hit("rp0", "m2").lost, ["pair", "alone"])
        self.assertEqual(shape.hit("m0").kept, ["pair", "rest"])
        self.assertEqual(shape.domains(), 2)

    def test_who_has_to_leave(self):
        demo = named("demo")
        self.assertEqual(demo.hit("rp0").direct, {"low": ["high"]})
        self.assertEqual(demo.hit("rp1").direct, {})
        self.assertEqual(demo.hit("rp2").direct, {}, "single root ports keep no order")
        switch = named("switch")
        self.assertEqual(switch.hit("ds0").direct, {"left": ["right", "beside"]})
        self.assertEqual(switch.hit("ds1").direct, {"right": ["beside"]})
        self.assertEqual(switch.hit("rp0").blockers, ["beside"])
        shared = named("shared-port")
        self.assertEqual(shared.hit("rp0").direct, {}, "what one port alone can take away lies lower")
        self.assertEqual(shared.hit("rp1").direct, {})

    def test_a_hole_keeps_all_regions_off(self):
        switch = named("switch")
        hit = switch.hit("m0", "m2")
        self.assertEqual(hit.direct, {"left": ["right"], "beside": ["right"]})

    def test_who_makes_way_may_be_kept_away_by_others(self):
        sizes = named("sizes")
        self.assertEqual(sizes.addresses(), ["pair", "rest", "large"])
        self.assertEqual(sizes.hit("m0").blockers, ["rest", "large"])
        self.assertEqual(sizes.hit("m2").blockers, [])

    def test_ports(self):
        switches = named("switches")
        self.assertEqual(port_path(switches, "rp1"), "hb12/01.0")
        self.assertEqual(port_path(switches, "ds3"), "hb12/01.0/00.0/01.0")
        self.assertEqual(switches.free_port("m2"), "ds4")
        self.assertEqual(switches.exchangeable(), ["m4"])
        self.assertIsNone(named("two-ports").free_port("m0"))

    def test_config(self):
        self.assertEqual(named("shared-port").config(), "[Recovery]\nFlapLosses=0\n\n[Region pair]\nMemdevs=0x10 0x11\nSize=1024M\n\n"
                                                        "[Region own]\nMemdevs=0x11\nSize=512M\n")


class Cells(unittest.TestCase):
    def setUp(self):
        self.shapes = [matrix.shape_of(path) for path in matrix.our_topologies()]
        self.plans = matrix.plan(self.shapes, LOSSES)

    def test_there_are_enough(self):
        self.assertGreaterEqual(len(self.shapes), 12)
        self.assertGreaterEqual(len(LOSSES), 12)
        for loss in LOSSES:
            played = [name for (name, other), plan in self.plans.items()
                      if other == loss.name and not isinstance(plan, NotApplicable)]
            self.assertGreaterEqual(len(played), 3, loss.name)

    def test_each_is_a_scenario_that_plays_alone(self):
        for shape in self.shapes:
            self.check_scenarios(shape)

    def check_scenarios(self, shape: Shape):
        for loss in LOSSES:
            cell = loss.build(shape)
            if isinstance(cell, NotApplicable):
                self.assertTrue(cell.why)
                continue
            with self.subTest(topology=shape.topology.path, loss=loss.name), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "cell.toml"
                path.write_text(scenario_text(shape, cell, "lts"), encoding="utf-8")
                parsed = scenario.parse(path)
                scenario.check_against(parsed, shape.topology)
                self.assertEqual(parsed.kernel, "lts")
                self.assertTrue(cell.victims)
                steps = [step.name for step in parsed.steps]
                self.assertTrue({*cell.losses, *cell.by_hand} <= {*steps})
                self.assertFalse(set(cell.victims) & set(cell.stopped))

    def test_other_hosts(self):
        eight = "".join(f'''
[[bridge]]
name = "hb{n}"
ports = ["a{n}", "b{n}"]
[[memdev]]
name = "ma{n}"
port = "a{n}"
serial = {n + 100}
size = "256M"
[[memdev]]
name = "mb{n}"
port = "b{n}"
serial = {n + 200}
size = "512M"
[[window]]
targets = ["hb{n}"]
size = "1G"
[[region]]
name = "one{n}"
memdevs = ["ma{n}"]
[[region]]
name = "two{n}"
memdevs = ["mb{n}"]
''' for n in range(8))
        for text in (eight, HOST + REGIONS):
            self.check_scenarios(Shape(parse(text)))

    def test_the_third(self):
        chosen = matrix.boots(self.shapes, list(KERNELS), self.plans, matrix.in_third)
        everything = matrix.boots(self.shapes, list(KERNELS), self.plans)
        self.assertEqual({boot.shape.topology.path for boot in chosen}, {s.topology.path for s in self.shapes})
        self.assertEqual({cell.loss for boot in chosen for cell in boot.cells}, {loss.name for loss in LOSSES})
        self.assertEqual({boot.kernel for boot in chosen}, set(KERNELS))
        share = sum(len(b.cells) for b in chosen) / sum(len(b.cells) for b in everything)
        self.assertTrue(0.3 < share < 0.37, share)

    def test_a_budget_leaves_out_other_losses_on_each_host(self):
        chosen = matrix.boots(self.shapes, list(KERNELS), self.plans, matrix.in_third)
        losses = [{cell.loss for cell in boot.cells} for boot in chosen]
        share_out(chosen, 0.001)
        for boot in chosen:
            boot.until, boot.skipped = 0, []    # all boots, late as it is
        played = []

        def play(_host, cell):
            played.append(cell.loss)
            return {"held": True, "loss": cell.loss}
        self.addCleanup(setattr, matrix_run, "_play", matrix_run._play)
        matrix_run._play = play
        for boot in chosen:
            matrix_run._play_boot(boot, SimpleNamespace(session=None, warm=False), lambda *_: None)
        self.assertEqual(len(played), len(chosen))      # one on each, late as it is
        self.assertGreater(len(set(played)), len(chosen) // 3)
        for boot, all_of_it in zip(chosen, losses):
            self.assertEqual({report["loss"] for report in boot.reports} | {cell.loss for cell in boot.skipped}, all_of_it)

    def test_a_small_budget_leaves_out_other_hosts_in_each_turn(self):
        everything, played = matrix.boots(self.shapes, list(KERNELS), self.plans, matrix.in_third), set()
        for turn in range(len(everything)):
            boots = matrix.boots(self.shapes, list(KERNELS), self.plans, matrix.in_third)
            chosen = share_out(boots, 1, turn)
            self.assertEqual(len(chosen), matrix_run.FEWEST_BOOTS)
            self.assertEqual({boot.kernel for boot in chosen}, set(KERNELS))
            for boot in boots:
                self.assertEqual(boot.skipped, [] if boot in chosen else boot.cells)
            played |= {boot.name for boot in chosen}
        self.assertEqual(played, {boot.name for boot in everything})
        self.assertEqual(share_out(everything, 1300), everything)

    def test_a_topology_without_regions_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bare.toml"
            path.write_text(HOST, encoding="utf-8")
            with self.assertRaises(FormatError):
                matrix.shape_of(path)

    def test_table(self):
        shapes = [named("pass-through"), named("two-ports")]
        plans = matrix.plan(shapes, LOSSES)
        reports = [
            {"topology": "two-ports", "loss": "port-down", "kernel_kind": "stock", "kernel": "9.9", "held": True,
             "contain_ms": 12.3, "recover_ms": 456.7},
            {"topology": "two-ports", "loss": "replug", "kernel_kind": "stock", "kernel": "9.9", "held": False,
             "broken": {"step": "it comes back", "expectation": "beating", "last_seen": "silent"},
             "account": ["region a: clearing"]}]
        table = matrix_table.Matrix(shapes, ["stock"], plans, reports, ["host-stock port-down: too busy"])
        self.assertEqual(table.text("two-ports", "port-down", "stock"), "held 12/457")
        self.assertEqual(table.text("two-ports", "replug", "stock"), "BROKEN")
        self.assertEqual(table.text("pass-through", "two-ports", "stock"), "n/a")
        self.assertEqual(table.text("pass-through", "replug", "stock"), "")
        text = matrix_table.document(table)
        self.assertIn("| two-ports | held 12/457 |", text)
        self.assertIn("| pass-through | two-ports | only one port has memory below it |", text)
        self.assertIn('BROKEN two-ports-stock replug: step "it comes back": beating; last seen: silent',
                      matrix_table.terminal(table))
        self.assertIn("    region a: clearing", matrix_table.terminal(table))


if __name__ == "__main__":
    unittest.main()
