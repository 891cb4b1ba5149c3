# SPDX-License-Identifier: LGPL-2.1-or-later
"""A topology's [[region]] tables: what daxmgrd is configured with in the matrix, and whether the host can carry it."""

from dataclasses import dataclass

from .formats import Table, format_size

UNIT = 256 << 20
WAYS = (1, 2, 3, 4, 6, 8, 12, 16)
GRANULARITIES = [256 << shift for shift in range(7)]
NAME_LIMIT = 32
DECODERS = 4  # of a host bridge, a switch and a memdev, in QEMU


@dataclass
class Region:
    """As written; bytes, window and offset are what follows for a host on which they are made in this order."""
    name: str
    memdevs: list
    size: int
    granularity: int
    bytes: int = 0
    window: int = 0
    offset: int = 0

    @property
    def ways(self) -> int:
        return len(self.memdevs)


def bridge_of(topology, memdev):
    """The host bridge above a memdev."""
    port = next((s.port for s in topology.switches if memdev.port in s.downstream), memdev.port)
    return next(b for b in topology.bridges if port in b.ports)


class _Reader:
    """Gives each region its memory, and its place as the kernel will: lowest first."""

    def __init__(self, topology):
        self.topology = topology
        self.left = {m.name: m.size for m in topology.memdevs}
        self.users = {}
        self.decoders = {}
        self.used = [0] * len(topology.windows)

    def read(self, table: Table, others: list) -> Region:
        region = Region(table.name(), table.strings("memdevs"), table.size("size", 0), table.size("granularity", 0))
        table.finish()
        if len(region.name) > NAME_LIMIT:
            raise table.error(f"the name has more than {NAME_LIMIT} characters")
        if any(other.name == region.name for other in others):
            raise table.error("the name is already used")
        if region.ways not in WAYS:
            raise table.error(f"{region.ways} memdevs: a region has {', '.join(map(str, WAYS))}")
        if region.granularity and region.granularity not in GRANULARITIES:
            raise table.error(f"granularity = {region.granularity} is not a power of two from 256 to 16K")
        self._take_memory(table, region)
        self._take_decoders(table, region)
        return region

    def place(self, tables: list, regions: list):
        """Those that fewer ports can take away lie lower; among equals the order of the file counts."""
        for table, region in sorted(zip(tables, regions), key=lambda pair: len(self._ports(pair[1]))):
            self._take_window(table, region)

    def _ports(self, region: Region) -> set:
        return {self.topology.memdev(name).port for name in region.memdevs}

    def _memdev(self, table: Table, name: str):
        memdev = self.topology.memdev(name)
        if memdev is None:
            known = ", ".join(sorted(m.name for m in self.topology.memdevs))
            raise table.error(f'memdev "{name}" does not exist (known: {known})')
        if memdev.kind != "volatile":
            raise table.error(f'memdev "{name}" is pmem: regions are made of volatile memory')
        if not memdev.present:
            raise table.error(f'memdev "{name}" is not present at boot')
        return memdev

    def _take_memory(self, table: Table, region: Region):
        for name in region.memdevs:
            self._memdev(table, name)
        if len(set(region.memdevs)) != region.ways:
            raise table.error("a memdev appears twice in memdevs")
        if region.size < 0 or region.size % (UNIT * region.ways):
            raise table.error(f"size = {format_size(region.size)} is not a multiple of 256M for each memdev")
        leg = region.size // region.ways or min(self.left[name] for name in region.memdevs)
        for name in region.memdevs:
            if leg < UNIT or leg > self.left[name]:
                raise table.error(f'memdev "{name}" has only {format_size(self.left[name])} left: '
                                  "give earlier regions a size")
            self.left[name] -= leg
        region.bytes = leg * region.ways

    def _take_decoders(self, table: Table, region: Region):
        """A bridge with a single root port passes through: its one decoder carries one region."""
        for name in {bridge_of(self.topology, self.topology.memdev(m)).name for m in region.memdevs}:
            bridge = next(b for b in self.topology.bridges if b.name == name)
            if len(bridge.ports) == 1 and name in self.users:
                raise table.error(f'bridge "{name}" has a single root port and carries region '
                                  f'"{self.users[name]}" already: it takes one')
            self.users[name] = region.name
            self.decoders[name] = self.decoders.get(name, 0) + 1
            if self.decoders[name] > DECODERS:
                raise table.error(f'bridge "{name}" has {DECODERS} decoders and carries as many regions already')

    def _order_fits(self, region: Region, targets: list) -> bool:
        bridges = [bridge_of(self.topology, self.topology.memdev(m)).name for m in region.memdevs]
        return len(targets) <= region.ways and region.ways % len(targets) == 0 and \
            (region.ways % 3 != 0 or len(targets) % 3 == 0) and \
            all(bridge == targets[i % len(targets)] for i, bridge in enumerate(bridges))

    def _take_window(self, table: Table, region: Region):
        fitting = [n for n, w in enumerate(self.topology.windows) if self._order_fits(region, w.targets)]
        if not fitting:
            raise table.error("no window fits: its targets must be the bridges of the memdevs, and the memdevs must "
                              "follow each other in the order of its targets")
        for number in fitting:
            if self.used[number] + region.bytes <= self.topology.windows[number].size:
                region.window, region.offset = number, self.used[number]
                self.used[number] += region.bytes
                return
        raise table.error(f"no window has room for {format_size(region.bytes)}")


def read_regions(top: Table, topology) -> list:
    """Reads and checks all of them."""
    reader, regions = _Reader(topology), []
    tables = top.tables("region", "region")
    for table in tables:
        regions.append(reader.read(table, regions))
    reader.place(tables, regions)
    return regions
