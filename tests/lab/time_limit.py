# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a run may go on beginning what is played in turn. './dev test' sets it, so that it ends in time on slow machines."""

import os
import time
from dataclasses import dataclass


@dataclass
class TimeLimit:
    ends: float = 0.0   # on this machine's monotonic clock; 0: never
    turn: int = 0       # goes up from run to run: what was left out in one comes first in another

    def left(self) -> float:
        return max(0.0, self.ends - time.monotonic()) if self.ends else float("inf")

    def half(self) -> float:
        """The moment when half of what is left is over."""
        return time.monotonic() + self.left() / 2


def from_environment() -> TimeLimit:
    """LAB_UNTIL is in seconds since the epoch, LAB_TURN a count."""
    until = float(os.environ.get("LAB_UNTIL") or 0)
    ends = time.monotonic() + until - time.time() if until else 0.0
    return TimeLimit(ends, int(os.environ.get("LAB_TURN") or 0))
