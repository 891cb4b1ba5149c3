# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cell of the matrix: a generated scenario, and what has to be true of it beyond its own expectations."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from .matrix_shape import Shape, vm_of

INTERFACE = "org.daxmgr.Manager."
BASE_STEPS = ("the regions are made", "the VMs run")


@dataclass
class NotApplicable:
    """Why a loss cannot happen on a host."""
    why: str


@dataclass
class Cell:
    """Steps that break something and bring it back; the base before them is the same for all cells of a topology."""
    loss: str
    what: str                                       # what is broken, for people
    steps: list = field(default_factory=list)
    victims: list = field(default_factory=list)     # die by SIGKILL and come back
    stopped: list = field(default_factory=list)     # leave and come back because they are in the way
    losses: list = field(default_factory=list)      # names of the steps that break something
    by_hand: list = field(default_factory=list)     # names of the steps in which a person makes recovery possible
    before: str = ""                                # the last loss has to come before the product notes this

    def step(self, name: str, action: dict | None = None, expect=(), **keys):
        self.steps.append({"name": name, **keys, **(action or {}), "expect": list(expect)})

    def lose(self, name: str, action: dict, expect=(), **keys):
        """A step that breaks something."""
        self.losses.append(name)
        self.step(name, action, expect, **keys)

    def hand(self, name: str, action: dict, expect=(), **keys):
        """A step without which recovery cannot go on."""
        self.by_hand.append(name)
        self.step(name, action, expect, **keys)


# Expectations, as in scenario files.

def call(method: str, path: str, parameters=None, **comparison) -> dict:
    inner = {"method": INTERFACE + method, "path": path, **comparison}
    if parameters:
        inner["parameters"] = parameters
    return {"call": inner}


def region_is(name: str, key: str, wanted: str) -> dict:
    return call("ListRegions", f"regions[name={name}].{key}", equals=wanted)


def died(vms: list, **keys) -> dict:
    return {"signal": {"vm": list(vms), "is": 9, **keys}}


def beating(vms: list, **keys) -> dict:
    return {"vm": {"name": list(vms), "state": "beating"}, **keys}


def reason(matches: str) -> dict:
    """What some domain says about itself."""
    return call("GetStatus", "domains[*].reason", matches=matches)


def attached(vms: list) -> list:
    return [call("ListLeases", f"leases[name={vm}].state", equals="attached") for vm in vms]


def all_live(shape: Shape) -> dict:
    return call("ListRegions", "regions[*].state", equals=["live"] * len(shape.regions))


def patience(shape: Shape) -> int:
    """Seconds a step may take; most take a tenth of it."""
    return 30 + 2 * len(shape.regions)


def all_well(shape: Shape) -> list:
    """What holds when nothing is broken."""
    vms = [vm_of(r.name) for r in shape.regions]
    return [
        all_live(shape), *attached(vms),
        call("GetStatus", "domains[*].state", equals=["healthy"] * shape.domains()),
        call("GetStatus", "incidentsOpen", equals=0),
        beating(vms),
    ]


def base_steps(shape: Shape) -> list:
    vms = [vm_of(r.name) for r in shape.regions]
    return [
        {"name": BASE_STEPS[0], "timeout": 60 + 10 * len(vms), "expect": [all_live(shape)]},
        {"name": BASE_STEPS[1], "timeout": 60 + 10 * len(vms), "start_vm": vms, "expect": all_well(shape)},
    ]


# Scenario files.

def _value(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _lines(table: dict) -> list:
    lines = []
    for key, value in table.items():
        if key in ("expect", "when") and value:
            lines += [f"{key} = [", *(f"    {_value(item)}," for item in value), "]"]
        elif value != []:
            lines.append(f"{key} = {_value(value)}")
    return lines


def scenario_text(shape: Shape, cell: Cell, kernel: str) -> str:
    """The cell as a scenario file that `./dev lab run` plays on its own."""
    base = base_steps(shape)
    topology = Path(shape.topology.path)
    ours = topology.resolve().parent == Path(__file__).parent.resolve() / "topologies"
    lines = ["# SPDX-License-Identifier: LGPL-2.1-or-later", "# Made by the matrix from the topology file.",
             *_lines({"description": f"{cell.loss}: {cell.what}",
                      "topology": topology.stem if ours else str(topology), "kernel": kernel, "timeout": 600}),
             "", "[config]", f'daxmgrd = """\n{shape.config()}"""']
    for region in shape.regions:
        vm = {"name": vm_of(region.name), "size": f"{shape.vm_bytes(region) >> 20}M", "region": region.name}
        lines += ["", "[[vm]]", *_lines(vm)]
    for step in base + cell.steps:
        lines += ["", "[[step]]", *_lines(step)]
    return "\n".join(lines) + "\n"
