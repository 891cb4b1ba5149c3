# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `bench ingest` makes of its storms."""

import unittest

from . import bench_ingest_figures as figures
from .bench_ingest_figures import MONITOR, OURS, RASDAEMON, Heard, Storm

MIB = 1 << 20


def heard(records: int, seconds: float, rows: int = 0, lost: int = 0, rss: int = 20) -> Heard:
    return Heard(records, rows or records, lost, seconds, records * 100, {}, {"VmRSS": rss * MIB, "VmLck": rss * MIB})


def storm(**by_name) -> Storm:
    names = {"ours": OURS, "rasdaemon": RASDAEMON, "monitor": MONITOR}
    return Storm(2000, 0.1, heard={names[name]: one for name, one in by_name.items()})


class FiguresTest(unittest.TestCase):
    def test_medians_of_rates_and_their_ratio(self):
        """2,000 in 0.2 s beside 2,000 in 15 s: 75 times; a slow outlier does not count."""
        storms = [storm(ours=heard(2000, seconds)) for seconds in (0.2, 0.2, 9)]
        storms += [storm(rasdaemon=heard(2000, 15)) for _ in range(3)]
        result = figures.compute(storms, 12 * MIB)
        self.assertEqual(result["alone"]["ratio"], 75)
        self.assertEqual(result["together"], {})
        self.assertIn("75.0 x rasdaemon; target at least 50 x: met", "\n".join(figures.table(result)))

    def test_a_row_counts_for_as_many_as_it_says(self):
        result = figures.compute([storm(ours=heard(2000, 1, rows=200))], 0)
        self.assertEqual(result["alone"][OURS]["records_per_second"], 2000)
        self.assertEqual(result["alone"][OURS]["rows_per_second"], 200)
        self.assertTrue(result["all_stored"])

    def test_rows_that_account_for_less_are_told(self):
        result = figures.compute([storm(ours=heard(1999, 1, rows=200))], 0)
        self.assertFalse(result["all_stored"])
        text = "\n".join(figures.table(result))
        self.assertIn("1 missing", text)
        self.assertIn("all records stored: MISSED", text)

    def test_what_is_counted_as_lost_is_not_stored(self):
        result = figures.compute([storm(ours=heard(1900, 1, lost=100))], 0)
        self.assertFalse(result["all_stored"])
        self.assertNotIn("missing", "\n".join(figures.table(result)))

    def test_together_is_judged_apart(self):
        everybody = storm(ours=heard(2000, 1), rasdaemon=heard(1995, 20), monitor=heard(2000, 4))
        result = figures.compute([storm(ours=heard(2000, 0.1)), everybody], 0)
        self.assertEqual(result["alone"][OURS]["records_per_second"], 20000)
        self.assertEqual(result["together"][OURS]["records_per_second"], 2000)
        self.assertAlmostEqual(result["together"]["ratio"], 2000 / (1995 / 20), delta=0.1)

    def test_own_memory_is_what_the_libraries_do_not_take(self):
        storms = [storm(ours=heard(2000, 1, rss=19)), storm(ours=heard(2000, 1, rss=20))]
        result = figures.compute(storms, 12 * MIB)
        self.assertEqual(result["own_bytes"], 8 * MIB)
        self.assertIn("own part 8.0 MiB; target at most 8 MiB: met", "\n".join(figures.table(result)))

    def test_nothing_stored_is_no_rate(self):
        result = figures.compute([storm(rasdaemon=heard(0, None))], 0)
        self.assertEqual(result["alone"][RASDAEMON]["records_per_second"], 0)


if __name__ == "__main__":
    unittest.main()
