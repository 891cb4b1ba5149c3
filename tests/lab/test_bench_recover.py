# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `bench recover` makes of its rounds, and what becomes of a round whose emulated host vanishes."""

import argparse
import contextlib
import io
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from . import bench_recover, bench_recover_figures as figures
from .bench_recover_raw import RawRound, launcher_text, unit_text
from .bench_recover_rounds import Operation, ProductRound
from .errors import HostEnded, LabError
from .runner import Progress

HERE = Path(__file__).parent
MS = 1_000_000


def product_round(recovered: int) -> ProductRound:
    """Two tenants; the last of them asked 40 ms after the other had its memory, and ran 10 ms after its attach."""
    one = ProductRound(2, kill_sent=50 * MS, contained=110 * MS, memdev_back=120 * MS, region_live=200 * MS)
    one.exited = {"t0": 90 * MS, "t1": 100 * MS}
    one.asked = {"t0": 200 * MS, "t1": (recovered - 30) * MS}
    entered = {"retracting": 105, "waiting": 110, "acquired": recovered - 70, "attached": recovered - 10}
    one.states = {name: {state: at * MS for state, at in entered.items()} for name in one.exited}
    one.running = {"t0": 300 * MS, "t1": recovered * MS}
    one.operations = [Operation("refill-region", "r0", 130 * MS, 200 * MS)]
    return one


def raw_round(carved: int, recovered: int) -> RawRound:
    one = RawRound(2, kill_sent=50 * MS, zero=60 * MS, prove=40 * MS, verify=5 * MS, observe=9 * MS)
    marks = {"processes gone": 100, "memdev back": 120, "region refilled": 130, "region committed": 140,
             "region bound": 150, "carved 1": carved - 20, "carved 2": carved, "nodes given": carved + 1}
    one.marks = {text: at * MS for text, at in marks.items()}
    one.exited = {"raw0": 90 * MS, "raw1": 100 * MS}
    one.restarted = {"raw0": 210 * MS, "raw1": 250 * MS}
    one.running = {"raw0": (recovered - 50) * MS, "raw1": recovered * MS}
    return one


class FiguresTest(unittest.TestCase):
    def compute(self, product: list, raw: list) -> dict:
        return figures.compute(2, [product_round(at) for at in product], [raw_round(*at) for at in raw])

    def test_whole_recoveries_are_judged(self):
        """Medians of both, whole recoveries, and zeroing (100 ms here) taken off."""
        result = self.compute([560, 600, 9000], [(200, 400), (200, 410), (200, 100)])
        self.assertEqual(result["added_ms"], 600 - 400 - 100)
        self.assertTrue(result["met"])
        self.assertIn("met", "\n".join(figures.table(result)))

    def test_one_tenth_more_is_missed(self):
        result = figures.compute(2, [product_round(600)], [raw_round(200, 399.9)])
        self.assertEqual(result["added_ms"], 100.1)
        self.assertFalse(result["met"])
        self.assertIn("MISSED", "\n".join(figures.table(result)))

    def test_the_restart_that_nothing_hides_is_not_what_is_judged(self):
        result = self.compute([600], [(200, 100)])
        self.assertEqual((result["restart_shown_ms"]["median"], result["rest_ms"]), (50, 600 - 50 - 200 - 100))
        self.assertEqual((result["over_ms"], result["added_ms"]), (600 - 200 - 100, 600 - 100 - 100))
        self.assertFalse(result["met"])

    def test_the_figures_beside_it_are_there(self):
        result = self.compute([600], [(200, 400)])
        for key in ("recover_ms", "contain_ms", "stages", "restart_ms", "restart_shown_ms", "way", "kernel_ms",
                    "kernel_stages", "zeroing_ms", "verify_ms", "observe_ms", "overlapped_ms", "kernel_way", "busy_cpus",
                    "over_ms", "rest_ms", "rest_overlapped_ms", "target", "met"):
            self.assertIn(key, result)
        self.assertEqual(result["kernel_ms"]["median"], 200)
        self.assertEqual(result["kernel_stages"]["carved_first"]["median"], 180)
        self.assertEqual((result["raw_recover_ms"]["median"], result["raw_restart_ms"]["median"]), (400, 150))

    def test_each_part_alone(self):
        self.assertNotIn("met", self.compute([600], []))
        self.assertNotIn("recover_ms", self.compute([], [(200, 400)]))
        figures.table(self.compute([], [(200, 400)]))


class UnitTest(unittest.TestCase):
    def test_a_vm_by_hand_is_restarted_as_the_products(self):
        product = (HERE.parent.parent / "qemu-hooks" / "daxmgr-vm@.service").read_text(encoding="utf-8")
        lines = unit_text(product).splitlines()
        for line in ("Restart=on-failure", "RestartSec=100ms", "Slice=machine.slice", "Type=exec", "StartLimitIntervalSec=0"):
            self.assertIn(line, product.splitlines())
            self.assertIn(line, lines)
        self.assertIn("ExecStart=+/bin/sh /run/daxmgr-lab/raw-launch %i", lines)
        self.assertNotIn("daxmgr-qemu", "\n".join(lines))
        self.assertNotIn("daxmgrd", "\n".join(lines))

    def test_launcher_waits_for_a_name(self):
        """It is one more shell script, and it executes nothing without the name of a node."""
        text = launcher_text()
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        with tempfile.TemporaryDirectory() as folder:
            text = text.replace("/run/daxmgr-lab", folder).replace("exec /usr/bin/qemu-system-x86_64", "exec echo")
            Path(folder, "a.fifo").touch()
            self.assertEqual(subprocess.run(["sh", "-c", text, "sh", "a"], capture_output=True, check=True).stdout, b"")
            Path(folder, "a.fifo").write_text("/dev/dax0.1\n", encoding="ascii")
            said = subprocess.run(["sh", "-c", text, "sh", "a"], capture_output=True, text=True, check=True).stdout
        self.assertIn("path=/run/daxmgr-vm/a.serial,", said)
        self.assertIn("mem-path=/dev/dax0.1,", said)


class FakeRounds:
    """The second round's host vanishes; so do all of a bad one's. In odd rounds the kernel may give up a reset."""

    def __init__(self, bad: bool = False, gives_up: bool = False):
        self.played, self.begun, self.bad, self.gives_up = 0, 0, bad, gives_up

    def begin(self, _tenants: int):
        self.begun += 1

    def play(self, _tenants: int, folder: Path) -> ProductRound:
        folder.mkdir(parents=True, exist_ok=True)
        self.played += 1
        if self.bad or self.played == 2 and not self.gives_up:
            raise HostEnded("the emulated host reset itself (guest-reset)")
        one = product_round(600)
        one.given_up = self.gives_up and self.played % 2 == 1
        return one

    def finish(self):
        pass


class BenchTest(unittest.TestCase):
    def bench(self, rounds: FakeRounds) -> bench_recover.Bench:
        folder = Path(tempfile.mkdtemp(prefix="daxmgr-bench-test-"))
        self.addCleanup(shutil.rmtree, folder)
        args = argparse.Namespace(parts=["product"], tenants=[2], rounds=2)
        bench = bench_recover.Bench(args, folder, Progress())

        def prepare(_part, tenants):
            bench.boots += bench.host is None
            bench.host = rounds
            rounds.begin(tenants)
        bench._prepare = prepare
        return bench

    def test_a_vanished_host_is_a_lost_round(self):
        rounds, said = FakeRounds(), io.StringIO()
        with contextlib.redirect_stdout(said):
            result = self.bench(rounds).run()
            bench_recover.print_table(result)
        self.assertEqual([(b["boot"], b["why"]) for b in result["not_counted"]],
                         [(1, "the emulated host reset itself (guest-reset)")])
        self.assertEqual((result["boots"], rounds.begun), (2, 2))
        # One before and one after the loss are cold.
        self.assertEqual((rounds.played, len(result["played"]["product"][2])), (5, 2))
        self.assertIn("Not counted, and followed by a new boot (product, 2 tenants): the emulated host reset itself",
                      said.getvalue())

    def test_a_reset_given_up_is_told_apart(self):
        rounds, said = FakeRounds(gives_up=True), io.StringIO()
        with contextlib.redirect_stdout(said):
            result = self.bench(rounds).run()
            bench_recover.print_table(result)
        self.assertEqual((result["boots"], result["not_counted"], rounds.played), (1, [], 4))
        self.assertEqual((len(result["played"]["product"][2]), result["results"][0]["given_up"]), (2, 1))
        self.assertIn("not in it: 1 more, whose reset the kernel gave up", said.getvalue())

    def test_there_is_an_end_to_it(self):
        rounds = FakeRounds(bad=True)
        with contextlib.redirect_stdout(io.StringIO()), self.assertRaises(LabError):
            self.bench(rounds).run()
        self.assertEqual(rounds.played, bench_recover.BROKEN_MAX + 1)


if __name__ == "__main__":
    unittest.main()
