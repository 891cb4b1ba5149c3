# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who stood still, and with whom."""

import unittest

from .samples import Samples


def samples(**counters) -> Samples:
    """A counter of each VM every 100 ms."""
    found = Samples()
    for name, values in counters.items():
        for i, value in enumerate(values):
            found.feed(f"{i * 100_000_000} {name} {value}\n".encode())
    return found


BEATS = list(range(100))
STANDS = [*range(30), *[29] * 40, *range(30, 60)]


class SamplesOfVms(unittest.TestCase):
    def test_the_longest_time_in_which_one_stood_still(self):
        self.assertEqual(samples(a=STANDS).max_gap_ns("a"), 4_100_000_000)
        self.assertEqual(samples(a=BEATS).max_gap_ns("a"), 100_000_000)

    def test_two_that_stood_still_at_once_got_no_cpu(self):
        self.assertEqual(samples(a=STANDS, b=STANDS, c=BEATS).stood_still_with("a"), ["b"])

    def test_one_alone_or_together_with_a_dead_one_is_no_excuse(self):
        self.assertEqual(samples(a=STANDS, c=BEATS).stood_still_with("a"), [])
        self.assertEqual(samples(a=STANDS, dead=[*range(30), *[29] * 70]).stood_still_with("a"), [])
        self.assertEqual(samples(a=STANDS, new=[*[0] * 70, *range(30)]).stood_still_with("a"), [])
        self.assertEqual(samples(a=STANDS, shorter=[*range(50), *[49] * 20, *range(50, 80)]).stood_still_with("a"), [])
        self.assertEqual(samples(a=[1]).stood_still_with("a"), [])


if __name__ == "__main__":
    unittest.main()
