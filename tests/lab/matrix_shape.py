# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a loss means on a host, from its topology file alone: victims, survivors, who has to leave first.

Nothing the product says enters here. Where it matters which region lies higher, the matrix compares the order
assumed here with the kernel's own addresses before it plays anything.
"""

from dataclasses import dataclass, field

from . import demo_plan
from .matrix_regions import bridge_of

MIB = 1 << 20


def vm_of(region: str) -> str:
    """Each region has one VM."""
    return f"vm-{region}"


@dataclass
class Hit:
    """The loss of a unit (or of several at once)."""
    units: list
    memdevs: list
    lost: list                                      # names of regions
    kept: list
    direct: dict = field(default_factory=dict)      # lost region to the kept ones whose tenants it waits for
    blockers: list = field(default_factory=list)    # all kept regions whose tenants have to leave

    @property
    def victims(self) -> list:
        return [vm_of(name) for name in self.lost]

    @property
    def survivors(self) -> list:
        return [vm_of(name) for name in self.kept]

    @property
    def in_the_way(self) -> list:
        return [vm_of(name) for name in self.blockers]


class Shape:
    def __init__(self, topology):
        self.topology = topology
        self.regions = topology.regions
        self._decoders = {r.name: self._decoders_of(r) for r in self.regions}

    def region(self, name: str):
        return next(r for r in self.regions if r.name == name)

    # Decoders

    def _decoders_of(self, region) -> set:
        """Everything with decoders that keep an order and that the region passes."""
        found = set(region.memdevs)
        for name in region.memdevs:
            memdev = self.topology.memdev(name)
            bridge = bridge_of(self.topology, memdev)
            if len(bridge.ports) > 1:
                found.add(bridge.name)
            found.update(s.name for s in self.topology.switches if memdev.port in s.downstream)
        return found

    def share(self, a, b) -> bool:
        return bool(self._decoders[a.name] & self._decoders[b.name])

    @staticmethod
    def place(region) -> tuple:
        """Regions lie in this order: windows in the order of the file, in each window first come, lowest."""
        return region.window, region.offset

    def addresses(self) -> list:
        """Names of the regions, lowest address first."""
        return [r.name for r in sorted(self.regions, key=self.place)]

    def _direct(self, lost: set) -> dict:
        """Lost region to the kept regions that keep it from being made while they stand.

        A decoder that went below a kept one leaves a hole, and the hole keeps everything off those decoders.
        """
        regions = {r.name: r for r in self.regions}
        kept = [r for r in self.regions if r.name not in lost]
        over_hole = {k.name for k in kept for name in lost
                     if self.share(k, regions[name]) and self.place(regions[name]) < self.place(k)}
        found = {}
        for name in sorted(lost, key=lambda n: self.place(regions[n])):
            above = [k.name for k in kept if self.share(k, regions[name]) and
                     (k.name in over_hole or self.place(k) > self.place(regions[name]))]
            if above:
                found[name] = above
        return found

    def _blockers(self, lost: set) -> list:
        """Who has to leave, counting that a region which makes way is itself away until those above it have left."""
        away = set(lost)
        while True:
            more = {name for names in self._direct(away).values() for name in names}
            if not more:
                return [r.name for r in self.regions if r.name in away - lost]
            away |= more

    # Units

    def root_port(self, port: str) -> str:
        return demo_plan.root_port(self.topology, port)

    def below(self, unit: str) -> list:
        """Names of the memdevs that go with a port or memdev."""
        lost = demo_plan.lost_serials(self.topology, unit)
        return [m.name for m in self.topology.memdevs if m.serial in lost and m.present]

    def hit(self, *units) -> Hit:
        memdevs = [name for unit in units for name in self.below(unit)]
        lost = [r.name for r in self.regions if set(r.memdevs) & set(memdevs)]
        kept = [r.name for r in self.regions if r.name not in lost]
        return Hit(list(units), memdevs, lost, kept, self._direct(set(lost)), self._blockers(set(lost)))

    def loaded_ports(self, switch: bool) -> list:
        """Root ports (or downstream ports of switches) whose loss takes a region."""
        ports = self.topology.downstream_ports() if switch else self.topology.root_ports()
        return [port for port in ports if self.hit(port).lost]

    def loaded_memdevs(self) -> list:
        return [m.name for m in self.topology.memdevs if self.hit(m.name).lost]

    def free_port(self, memdev: str):
        """An empty port on the same bridge, below the same switch if there is one; None when all are taken."""
        topology = self.topology
        device = topology.memdev(memdev)
        taken = {m.port for m in topology.memdevs if m.present} | {s.port for s in topology.switches}
        switch = next((s for s in topology.switches if device.port in s.downstream), None)
        ports = switch.downstream if switch else bridge_of(topology, device).ports
        return next((port for port in ports if port not in taken), None)

    def exchangeable(self) -> list:
        """Memdevs with a region that can be taken out for another one: QEMU leaves those below a switch in their slots."""
        downstream = self.topology.downstream_ports()
        return [name for name in self.loaded_memdevs() if self.topology.memdev(name).port not in downstream]

    def domains(self) -> int:
        """How many isolation domains there are: root ports, joined by interleaving."""
        serials = {r.name: [self.topology.memdev(m).serial for m in r.memdevs] for r in self.regions}
        groups = set()
        for port in self.topology.root_ports():
            group = demo_plan.domain_of(self.topology, serials, port)
            groups.add(tuple(group) if group else (port,))
        return len(groups)

    def vm_bytes(self, region) -> int:
        """Small where QEMU is slow: in interleaved regions, and where several one-target windows are in its way."""
        single = sum(len(w.targets) == 1 for w in self.topology.windows)
        return 2 * MIB if region.ways > 1 or single > 1 else 4 * MIB

    def config(self) -> str:
        """The manager's configuration. Cells follow each other too quickly for its notion of flapping."""
        sections = ["[Recovery]\nFlapLosses=0\n"]
        for region in self.regions:
            serials = " ".join(f"{self.topology.memdev(m).serial:#x}" for m in region.memdevs)
            lines = [f"[Region {region.name}]", f"Memdevs={serials}"]
            if region.size:
                lines.append(f"Size={region.size >> 20}M")
            if region.granularity:
                lines.append(f"Granularity={region.granularity}")
            sections.append("\n".join(lines) + "\n")
        return "\n".join(sections)
