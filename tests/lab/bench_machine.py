# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much of this machine others take while something is measured."""

import os
import resource
import time
from contextlib import contextmanager
from pathlib import Path

BUSY_FIELDS = (0, 1, 2, 5, 6, 7)    # user, nice, system, irq, softirq, steal of /proc/stat


class Watch:
    """busy: how many CPUs others took, on average; ours: seconds of CPU that we took."""
    busy = 0.0
    ours = 0.0


class Machine:
    """pid is the QEMU that is ours; what else runs is others'."""

    def __init__(self, pid: int):
        self._stat = Path(f"/proc/{pid}/stat")
        self._tick = os.sysconf("SC_CLK_TCK")

    def _used(self) -> tuple:
        """Seconds of CPU: (everybody, we)"""
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        ours = self._stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        me = resource.getrusage(resource.RUSAGE_SELF)
        return (sum(int(words[i]) for i in BUSY_FIELDS) / self._tick,
                (int(ours[11]) + int(ours[12])) / self._tick + me.ru_utime + me.ru_stime)

    @contextmanager
    def watch(self):
        """Figures are there afterwards."""
        watch, begin, (all_before, ours_before) = Watch(), time.monotonic(), self._used()
        yield watch
        seconds, (all_after, ours_after) = time.monotonic() - begin, self._used()
        watch.ours = ours_after - ours_before
        watch.busy = max(0.0, all_after - all_before - watch.ours) / seconds
