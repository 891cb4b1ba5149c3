# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report on coverage counts what it was given, says where the rest is, and refuses too little."""

import unittest

from tests.coverage import report


def line(number, count, *branches):
    return {"line_number": number, "count": count, "branches": [{"count": taken} for taken in branches]}


MEASURED = {"files": [
    {"file": "libisolate/src/b.c", "lines": [line(3, 5, 5, 0), line(4, 0), line(5, 0), line(9, 0, 0, 0)]},
    {"file": "libisolate/src/a.c", "lines": [line(1, 1), line(2, 1, 1, 1)]},
]}


def source(_):
    return ["\tx = 1;"] * 9


class Report(unittest.TestCase):
    def test_counts(self):
        counts, dark, half = report.count(MEASURED["files"][0], source(""))
        self.assertEqual(counts, report.Counts(4, 1, 4, 1))
        self.assertEqual((dark, half), ([4, 5, 9], [3]))

    def test_says_where_the_rest_is(self):
        text, _ = report.report(MEASURED, 0, 0, source)
        self.assertIn("never run 4-5,9", text)
        self.assertIn("one way   3", text)
        self.assertIn("3 of     6 lines   50.0 %", text.splitlines()[-3])
        self.assertLess(text.index("a.c"), text.index("b.c"))

    def test_refuses_too_few_lines(self):
        text, good = report.report(MEASURED, 50.1, 50, source)
        self.assertFalse(good)
        self.assertIn("lines: 50.00 % of at least 50.1 %  MISSED", text)
        self.assertNotIn("branches: 50.00 % of at least 50 %  MISSED", text)

    def test_refuses_too_few_branches(self):
        self.assertFalse(report.report(MEASURED, 50, 50.1, source)[1])

    def test_takes_enough(self):
        self.assertTrue(report.report(MEASURED, 50, 50, source)[1])

    def test_nothing_measured_is_not_enough(self):
        self.assertFalse(report.report({"files": []}, 0, 0, source)[1])

    def test_branches_of_assertions_are_left_out(self):
        for text, branches in (("\tassert(lease->used);", 0), ("\tif (ready) assert(lease->used);", 2),
                               ("\t_Static_assert(sizeof(x) == 4);", 2), ("\tassertion(lease);", 2)):
            counts, dark, half = report.count({"lines": [line(1, 1, 1, 0)]}, [text])
            self.assertEqual((counts.lines, counts.branches, dark), (1, branches, []), text)
            self.assertEqual(half, [1] if branches else [], text)


if __name__ == "__main__":
    unittest.main()
