# SPDX-License-Identifier: LGPL-2.1-or-later
"""The state of the guest at one moment, read without the product's help, and reading it back."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError

UNIT_PROPERTIES = "Id,InvocationID,ActiveState,NRestarts,ExecMainCode,ExecMainStatus"

REGIONS = """
cd /sys/bus/cxl/devices && for r in region*; do
    [ -e $r/size ] || continue
    driver=$(readlink $r/driver) || driver=none
    echo $r size=$(cat $r/size) resource=$(cat $r/resource) commit=$(cat $r/commit) driver=${driver##*/}
done; true
"""
INSTANCES = """
cd /sys/bus/dax/devices && for d in dax*; do
    [ -e $d/size ] || continue
    driver=$(readlink $d/driver) || driver=none
    echo $d size=$(cat $d/size) dev=$(cat $d/dev 2>/dev/null) driver=${driver##*/}
done; true
"""
# The inode of a device node is new whenever the device is, whatever its name and minor.
VMS = """
for name in %(names)s; do
    launcher=$(systemctl show -P MainPID daxmgr-vm@$name.service) pid=
    [ $launcher != 0 ] && pid=$(pgrep -P $launcher)
    echo vm=$name comm=$(cat /proc/$pid/comm 2>/dev/null | tr ' ' _)
    echo Process=$pid
    systemctl show -p %(properties)s daxmgr-vm@$name.service
    echo Tasks=$(ls /proc/$pid/task 2>/dev/null | tr '\\n' ' ')
    echo Node=$(stat -L -c '%%n %%i %%t:%%T %%U %%a' /dev/daxmgr/vm/$name/mem* 2>/dev/null)
    echo Maps=$(grep -o -E '/dev/dax[0-9.]+.*' /proc/$pid/maps 2>/dev/null | sort -u | tr '\\n' ' ')
done
"""
MAPPERS = "grep -l -e ' /dev/dax[0-9]' /proc/[0-9]*/maps 2>/dev/null; true"


def take(guest, path: Path, names: list):
    """Reads everything into files below path."""
    run = guest.channel.run
    files = {
        "iomem.txt": guest.channel.read("/proc/iomem").decode(),
        "regions.txt": run(REGIONS).out,
        "instances.txt": run(INSTANCES).out,
        "vms.txt": run(VMS % {"names": " ".join(names), "properties": UNIT_PROPERTIES}).out,
        "mappers.txt": run(MAPPERS).out,
        "mounts.txt": guest.leftovers("mounts"),
    }
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf-8")


@dataclass
class IomemLine:
    depth: int
    start: int
    end: int
    name: str

    @property
    def size(self) -> int:
        return self.end - self.start + 1


def parse_iomem(text: str) -> list:
    lines = []
    for line in text.splitlines():
        match = re.match(r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)", line)
        if match:
            lines.append(IomemLine(len(match[1]) // 2, int(match[2], 16), int(match[3], 16), match[4]))
    return lines


def parse_attributes(text: str) -> dict:
    """Lines "NAME key=value …"."""
    found = {}
    for line in text.splitlines():
        name, *pairs = line.split()
        found[name] = dict(pair.split("=", 1) for pair in pairs)
    return found


@dataclass
class VmState:
    pid: int = 0
    running: bool = False
    tasks: list = field(default_factory=list)
    invocation: str = ""
    node: str = ""
    maps: str = ""


def parse_vms(text: str) -> dict:
    found, vm = {}, None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "vm":
            name, _, comm = value.partition(" comm=")
            vm = found[name] = VmState(running=comm.startswith("qemu"))
        elif key == "Process":
            vm.pid = int(value or 0)
        elif key == "Tasks":
            vm.tasks = [int(task) for task in value.split()]
        elif key == "InvocationID":
            vm.invocation = value
        elif key == "Node":
            vm.node = value
        elif key == "Maps":
            vm.maps = value
    return found


class Moment:
    """A moment read back from its files."""

    def __init__(self, path: Path):
        def text(name):
            try:
                return (path / name).read_text(encoding="utf-8")
            except FileNotFoundError as error:
                raise LabError(f"the evidence lacks {path / name}") from error
        self.iomem = parse_iomem(text("iomem.txt"))
        self.regions = parse_attributes(text("regions.txt"))
        self.instances = parse_attributes(text("instances.txt"))
        self.vms = parse_vms(text("vms.txt"))
        self.mappers = text("mappers.txt").split()
        self.new_mounts = text("mounts.txt").strip()

    def live_regions(self) -> dict:
        """Region to bytes, of regions that are committed, bound and in the host's address map."""
        mapped = {line.name: line for line in self.iomem}
        return {name: int(region["size"], 0) for name, region in self.regions.items()
                if region["commit"] == "1" and region["driver"] == "cxl_region"
                and name in mapped and mapped[name].size == int(region["size"], 0)}

    def capacity(self) -> int:
        return sum(self.live_regions().values())

    def system_ram_in_cxl(self) -> list:
        """Lines of System RAM inside a CXL window: there must be none."""
        windows = [line for line in self.iomem if line.name.startswith("CXL Window")]
        return [line.name for line in self.iomem if line.name.startswith("System RAM")
                and ("kmem" in line.name or any(w.start <= line.start <= w.end for w in windows))]

    def bound_instances(self) -> list:
        return sorted(name for name, d in self.instances.items()
                      if d["driver"] != "none" or int(d["size"], 0) != 0)


__all__ = ["Moment", "take"]
