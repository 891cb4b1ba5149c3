# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the demo's faults must hit, from the topology and the scenario alone: nothing the product says enters here."""

import configparser
import re
from dataclasses import dataclass, field

from .scenario import FAULTS

HAND_ACTIONS = ("plug", "stop_vm")
PART_NAMES = {"surprise_down": "surprise down", "unplug": "unplug"}


@dataclass
class Fault:
    """One fault of the demo, as planned."""
    number: int
    kind: str
    unit: str
    step: str
    end_step: str
    victims: list
    survivors: list
    domain: list
    hand_step: str = ""
    hand_vms: list = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.kind} at {self.unit}" if self.kind == "surprise down" else f"{self.kind} of {self.unit}"


def part_of(step_name: str) -> str:
    return step_name.split(":", 1)[0]


def regions_of(config: str) -> dict:
    """Region name to serial numbers in target order, from the manager's configuration text."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(config)
    return {section.split(" ", 1)[1]: [int(serial, 0) for serial in parser[section]["memdevs"].split()]
            for section in parser.sections() if section.startswith("Region ")}


def root_port(topology, port: str) -> str:
    """The root port above a port."""
    for switch in topology.switches:
        if port in switch.downstream:
            return root_port(topology, switch.port)
    return port


def is_below(topology, port: str, unit: str) -> bool:
    while port != unit:
        above = next((s.port for s in topology.switches if port in s.downstream), None)
        if above is None:
            return False
        port = above
    return True


def lost_serials(topology, unit: str) -> set:
    """Serials of the memdevs that go with a port or memdev."""
    return {m.serial for m in topology.memdevs if m.name == unit or is_below(topology, m.port, unit)}


def domain_of(topology, regions: dict, unit: str) -> list:
    """Root ports that share fate with the unit's: the closure over interleaving."""
    ports_of = {m.serial: root_port(topology, m.port) for m in topology.memdevs}
    groups = [{ports_of[serial] for serial in serials} for serials in regions.values()]
    domain = {ports_of[serial] for serial in lost_serials(topology, unit)}
    grown = True
    while grown:
        wider = domain.union(*(group for group in groups if group & domain))
        grown, domain = wider != domain, wider
    return sorted(domain)


def plan(scenario, topology) -> list:
    """The faults in order, each with its victims and survivors."""
    regions = regions_of(scenario.config)
    faults = {}
    last_of_part = {part_of(step.name): step.name for step in scenario.steps}
    for step in scenario.steps:
        part = part_of(step.name)
        if part in faults and step.action in HAND_ACTIONS and not faults[part].hand_step:
            faults[part].hand_step = step.name
            faults[part].hand_vms = step.args.get("names", [])
        if part in faults or step.action not in FAULTS or step.action not in PART_NAMES:
            continue
        unit = step.args["ports"][0] if step.action == "surprise_down" else step.args["memdev"]
        lost = lost_serials(topology, unit)
        hit = {name for name, serials in regions.items() if lost & set(serials)}
        faults[part] = Fault(
            number=len(faults) + 1, kind=PART_NAMES[step.action], unit=unit, step=step.name,
            end_step=last_of_part[part],
            victims=[vm.name for vm in scenario.vms if vm.region in hit],
            survivors=[vm.name for vm in scenario.vms if vm.region not in hit],
            domain=domain_of(topology, regions, unit))
    return list(faults.values())


def file_name(step_name: str) -> str:
    """How a step's output is called in the evidence, without its ending."""
    return re.sub(r"[^A-Za-z0-9]+", "-", step_name).strip("-")
