# SPDX-License-Identifier: LGPL-2.1-or-later
"""Topology files: the CXL host that the lab builds."""

from dataclasses import dataclass, field
from pathlib import Path

from .errors import FormatError
from .formats import Table, format_size, load
from .matrix_regions import read_regions

UNIT = 256 << 20
MIB = 1 << 20
GRANULARITIES = [256 << shift for shift in range(7)]
FIRST_BUS = 12
LAST_BUS = 255
SERIAL_LENGTH = 20


@dataclass
class Bridge:
    name: str
    bus_nr: int
    ports: list


@dataclass
class Switch:
    name: str
    port: str
    downstream: list


@dataclass
class Memdev:
    name: str
    port: str
    serial: int
    size: int
    kind: str
    present: bool


@dataclass
class Window:
    targets: list
    size: int
    granularity: int


@dataclass
class Disk:
    """A drive of the host beside its root disk; throttle is in bytes per second, 0 for none."""
    name: str
    size: int
    throttle: int


@dataclass
class Isolation:
    """A root port whose isolation registers a model plays."""
    port: str
    link_down: bool


@dataclass
class Topology:
    path: str
    description: str
    cpus: int
    memory: int
    cpu_model: str
    bridges: list = field(default_factory=list)
    switches: list = field(default_factory=list)
    memdevs: list = field(default_factory=list)
    windows: list = field(default_factory=list)
    regions: list = field(default_factory=list)
    disks: list = field(default_factory=list)
    isolation: list = field(default_factory=list)

    def memdev(self, name: str):
        return next((m for m in self.memdevs if m.name == name), None)

    def root_ports(self) -> list:
        return [port for bridge in self.bridges for port in bridge.ports]

    def downstream_ports(self) -> list:
        return [port for switch in self.switches for port in switch.downstream]

    def describe(self) -> dict:
        """The topology as plain data, for reports."""
        return {
            "file": Path(self.path).name,
            "description": self.description,
            "host_bridges": [{"name": b.name, "root_ports": b.ports} for b in self.bridges],
            "switches": [{"name": s.name, "port": s.port, "downstream": s.downstream}
                         for s in self.switches],
            "memdevs": [{"name": m.name, "port": m.port, "serial": m.serial, "size_bytes": m.size,
                         "kind": m.kind, "present": m.present} for m in self.memdevs],
            "windows": [{"targets": w.targets, "size_bytes": w.size, "granularity": w.granularity}
                        for w in self.windows],
            "regions": [{"name": r.name, "memdevs": r.memdevs, "size_bytes": r.size, "granularity": r.granularity}
                        for r in self.regions],
            "disks": [{"name": d.name, "size_bytes": d.size, "throttle": d.throttle} for d in self.disks],
            "isolation_model": [{"port": i.port, "link_down": i.link_down} for i in self.isolation],
        }


class _Names:
    """Every name becomes a QEMU id, so all kinds share one name space."""

    def __init__(self, where: str):
        self.where = where
        self.owner = {}

    def claim(self, kind: str, name: str):
        if name in self.owner:
            raise FormatError(f'{self.where}: {kind} "{name}": the name is already used by a {self.owner[name]}')
        self.owner[name] = kind


def _positive(table: Table, key: str, value: int, unit: int) -> int:
    if value <= 0 or value % unit:
        raise table.error(f"{key} = {format_size(value)} is not a multiple of {format_size(unit)}")
    return value


def _bridges(top: Table, names: _Names) -> list:
    tables = top.tables("bridge", "bridge")
    if not tables:
        raise top.error("there is no [[bridge]]")
    bridges = []
    for index, table in enumerate(tables):
        name = table.name()
        names.claim("bridge", name)
        spread = FIRST_BUS + index * ((LAST_BUS + 1 - FIRST_BUS) // len(tables))
        bus_nr = table.get("bus_nr", int, spread)
        if not 1 <= bus_nr <= LAST_BUS:
            raise table.error(f"bus_nr = {bus_nr} is not between 1 and {LAST_BUS}")
        ports = table.strings("ports")
        table.finish()
        if not ports:
            raise table.error("ports is empty: a host bridge needs a root port")
        for port in ports:
            Table(table.where, {"port": port}).name("port")
            names.claim("root port", port)
        taken = next((b for b in bridges if b.bus_nr == bus_nr), None)
        if taken:
            raise table.error(f'bus_nr {bus_nr} is already used by "{taken.name}"')
        bridges.append(Bridge(name, bus_nr, ports))
    return bridges


def _switches(top: Table, names: _Names, root_ports: set) -> list:
    switches = []
    for table in top.tables("switch", "switch"):
        name = table.name()
        names.claim("switch", name)
        port = table.get("port", str)
        downstream = table.strings("downstream")
        table.finish()
        if port not in root_ports:
            raise table.error(f'port "{port}" is not a root port')
        taken = next((s for s in switches if s.port == port), None)
        if taken:
            raise table.error(f'port "{port}" is already used by switch "{taken.name}"')
        if not downstream:
            raise table.error("downstream is empty: a switch needs a downstream port")
        for item in downstream:
            Table(table.where, {"downstream": item}).name("downstream")
            names.claim("downstream port", item)
        switches.append(Switch(name, port, downstream))
    return switches


def _memdev(table: Table, ports: set, used_ports: dict, others: list) -> Memdev:
    memdev = Memdev(table.name(), table.get("port", str), table.get("serial", int),
                    table.size("size"), table.choice("kind", ("volatile", "pmem"), "volatile"),
                    table.get("present", bool, True))
    table.finish()
    _positive(table, "size", memdev.size, UNIT)
    if memdev.port not in ports:
        raise table.error(f'port "{memdev.port}" does not exist (known: {", ".join(sorted(ports))})')
    if memdev.port in used_ports:
        raise table.error(f'port "{memdev.port}" is already used by "{used_ports[memdev.port]}"')
    if not 0 < memdev.serial < 1 << 63:
        raise table.error(f"serial = {memdev.serial} is not a positive 63-bit number")
    twin = next((m for m in others if m.serial == memdev.serial), None)
    if twin:
        raise table.error(f'serial {memdev.serial:#x} is already used by "{twin.name}"')
    return memdev


def _memdevs(top: Table, names: _Names, bridges: list, switches: list) -> list:
    ports = {p for b in bridges for p in b.ports} | {p for s in switches for p in s.downstream}
    used = {s.port: s.name for s in switches}
    memdevs = []
    for table in top.tables("memdev", "memdev"):
        memdev = _memdev(table, ports, used, memdevs)
        names.claim("memdev", memdev.name)
        used[memdev.port] = memdev.name
        memdevs.append(memdev)
    return memdevs


def _windows(top: Table, bridges: list) -> list:
    known = {b.name for b in bridges}
    windows = []
    for table in top.tables("window", "window"):
        targets = table.strings("targets")
        size = _positive(table, "size", table.size("size"), UNIT * max(1, len(targets)))
        granularity = table.size("granularity", 0)
        table.finish()
        if len(targets) not in (1, 2, 3, 4, 6, 8, 12, 16):
            raise table.error(f"{len(targets)} targets: a window has 1, 2, 3, 4, 6, 8, 12 or 16")
        for target in targets:
            if target not in known:
                raise table.error(f'target "{target}" is not a bridge (known: {", ".join(sorted(known))})')
        if len(set(targets)) != len(targets):
            raise table.error("a bridge appears twice in targets")
        if granularity and granularity not in GRANULARITIES:
            raise table.error(f"granularity = {granularity} is not a power of two from 256 to 16K")
        windows.append(Window(targets, size, granularity))
    if not windows:
        raise top.error("there is no [[window]]")
    return windows


def _disks(top: Table, names: _Names) -> list:
    disks = []
    for table in top.tables("disk", "disk"):
        disk = Disk(table.name(), _positive(table, "size", table.size("size"), MIB), table.size("throttle", 0))
        table.finish()
        if len(disk.name) > SERIAL_LENGTH:
            raise table.error(f"the name has more than {SERIAL_LENGTH} characters, which is all a drive's serial number has")
        names.claim("disk", disk.name)
        disks.append(disk)
    return disks


def _isolation(top: Table, root_ports: list) -> list:
    found = []
    for table in top.tables("isolation", "isolation"):
        item = Isolation(table.get("port", str), table.get("link_down", bool, True))
        table.finish()
        if item.port not in root_ports:
            raise table.error(f'port "{item.port}" is not a root port')
        if any(other.port == item.port for other in found):
            raise table.error(f'port "{item.port}" is named twice')
        found.append(item)
    return found


def parse(path) -> Topology:
    """Reads and checks a topology file."""
    top = Table(Path(path).name, load(path))
    host = Table(f"{top.where}: host", top.get("host", dict, {}))
    topology = Topology(str(path), top.get("description", str, ""), host.get("cpus", int, 2),
                        host.size("memory", 3 << 30), host.get("cpu_model", str, "max,-hypervisor"))
    host.finish()
    if not 1 <= topology.cpus <= 64:
        raise host.error(f"cpus = {topology.cpus} is not between 1 and 64")
    if topology.memory < 1 << 30:
        raise host.error("memory must be at least 1G")
    _positive(host, "memory", topology.memory, MIB)
    names = _Names(top.where)
    topology.bridges = _bridges(top, names)
    topology.switches = _switches(top, names, set(topology.root_ports()))
    topology.memdevs = _memdevs(top, names, topology.bridges, topology.switches)
    topology.windows = _windows(top, topology.bridges)
    topology.regions = read_regions(top, topology)
    topology.disks = _disks(top, names)
    topology.isolation = _isolation(top, topology.root_ports())
    top.finish()
    return topology
