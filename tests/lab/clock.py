# SPDX-License-Identifier: LGPL-2.1-or-later
"""Relates the host's monotonic clock to the guest's CLOCK_BOOTTIME."""

import time
from dataclasses import asdict, dataclass

SAMPLES = 12


@dataclass
class ClockRelation:
    """guest = host + offset_ns, known to within half of rtt_ns."""
    offset_ns: int
    rtt_ns: int

    def to_guest(self, host_ns: int) -> int:
        return host_ns + self.offset_ns

    def to_host(self, guest_ns: int) -> int:
        return guest_ns - self.offset_ns

    def describe(self) -> dict:
        return asdict(self)


def measure(channel) -> ClockRelation:
    """The relation of the quickest of several round trips."""
    best = None
    for _ in range(SAMPLES):
        before = time.monotonic_ns()
        guest = channel.call("clock")["ns"]
        after = time.monotonic_ns()
        relation = ClockRelation(guest - (before + after) // 2, after - before)
        if best is None or relation.rtt_ns < best.rtt_ns:
            best = relation
    return best
