# SPDX-License-Identifier: LGPL-2.1-or-later
"""The VMs' counters over time, as guest/sampler.py writes them."""

from dataclasses import dataclass


NEAR_NS = 500_000_000


@dataclass
class Sample:
    boottime_ns: int
    counter: int


class Samples:
    def __init__(self):
        self.by_vm = {}
        self._rest = ""
        self.bytes_read = 0

    def feed(self, data: bytes):
        self.bytes_read += len(data)
        lines = (self._rest + data.decode()).split("\n")
        self._rest = lines.pop()
        for line in lines:
            stamp, name, counter = line.split(" ")
            self.by_vm.setdefault(name, []).append(Sample(int(stamp), int(counter)))

    def of(self, name: str, begin_ns: int = 0, end_ns: int = 1 << 62) -> list:
        return [s for s in self.by_vm.get(name, []) if begin_ns <= s.boottime_ns <= end_ns]

    def beating(self, name: str, begin_ns: int = 0, window_ns: int = 1_500_000_000) -> bool:
        """Whether the counter rose within the newest stretch of samples, not before begin_ns."""
        samples = self.of(name, begin_ns)
        if len(samples) < 2:
            return False
        newest = samples[-1]
        for sample in reversed(samples):
            if newest.boottime_ns - sample.boottime_ns > window_ns:
                return False
            if sample.counter < newest.counter:
                return True
        return False

    def sampler_gap_ns(self, begin_ns: int = 0) -> int:
        """The longest time in which the sampler itself, of higher priority than all else, did not run."""
        stamps = sorted(s.boottime_ns for samples in self.by_vm.values() for s in samples if s.boottime_ns >= begin_ns)
        return max((b - a for a, b in zip(stamps, stamps[1:])), default=0)

    def _rises(self, name: str, begin_ns: int) -> list:
        samples = self.of(name, begin_ns)
        return [b.boottime_ns for a, b in zip(samples, samples[1:]) if b.counter > a.counter]

    def stood_still_with(self, name: str, begin_ns: int = 0) -> list:
        """Other VMs that beat just before and just after the longest time in which this one did not, and not within it."""
        rises = self._rises(name, begin_ns)
        if len(rises) < 2:
            return []
        begin, end = max(zip(rises, rises[1:]), key=lambda pair: pair[1] - pair[0])
        near = NEAR_NS
        found = []
        for other in self.by_vm:
            theirs = self._rises(other, begin_ns)
            if other != name and any(begin - near <= t <= begin + near for t in theirs) and \
                    any(end - near <= t <= end + near for t in theirs) and \
                    not any(begin + near < t < end - near for t in theirs):
                found.append(other)
        return found

    def max_gap_ns(self, name: str, begin_ns: int = 0, end_ns: int = 1 << 62):
        """The longest time in which the counter did not rise, or None without two samples."""
        samples = self.of(name, begin_ns, end_ns)
        if len(samples) < 2:
            return None
        gap, last = 0, samples[0]
        for sample in samples[1:]:
            gap = max(gap, sample.boottime_ns - last.boottime_ns)
            if sample.counter > last.counter:
                last = sample
            elif sample.counter < last.counter:
                last = sample
        return gap
