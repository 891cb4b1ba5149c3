# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a recovery takes, and how much of it the manager adds to what the kernel needs.

In one boot: 1, 4 and 8 VMs on one memdev lose their port, again and again, and daxmgrd brings them back; then, without
it, a shell loop does the same by raw sysfs writes. Prints; judges the target but never fails on it.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import bench_recover_figures as figures
from . import topology as topology_file
from .__main__ import HERE, image_dir, product_dir
from .bench_machine import Machine
from .bench_recover_raw import SCRIPT, RawRounds
from .bench_recover_rounds import BYTES, ProductRound, ProductRounds, RoundLost
from .errors import FormatError, HostEnded, LabError
from .evidence import Evidence
from .runner import Progress, Session
from .scenario import KERNELS

TOPOLOGY = "pass-through"
JOB_TOOL = "tests/tools/job_tool"
PARTS = ("product", "kernel")
TENANTS_MAX = 16
ROUNDS_MAX = 100
# A round in which others took more of the machine is played again, as long as there is patience.
BUSY_CPUS = 0.2
PATIENCE = 3
BROKEN_MAX = 8


class Bench:
    def __init__(self, args, keep: Path, progress: Progress):
        self.args, self.keep, self.progress = args, keep, progress
        self.topology = topology_file.parse(HERE / "topologies" / f"{TOPOLOGY}.toml")
        self.rounds = {part: {} for part in PARTS}
        self.broken = []    # what was not counted, and why
        self.given_up = {}  # by tenants: rounds of the product whose reset the kernel gave up
        self.boots = 0
        self.kernel = ""
        self.session = self.host = None

    def run(self) -> dict:
        try:
            for part in self.args.parts:
                for tenants in self.args.tenants:
                    self._play(part, tenants)
                self._finish(part)
        finally:
            self._close()
        return self._result()

    def _boot(self):
        self.boots += 1
        folder = self.keep / f"boot{self.boots}"
        target = folder / "out" / "lab"    # the guest copies what lies there at boot
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.args.build / JOB_TOOL, target)
        shutil.copy(HERE / "guest" / SCRIPT, target)
        self.session = Session(self.topology, image_dir(self.args, self.args.kernel), product_dir(self.args), folder,
                               self.progress)
        self.session.boot()
        self.kernel = self.session.guest.kernel

    def _close(self):
        if self.session:
            if self.session.guest.channel:
                Evidence(self.session.guest, self.session.keep / "recover").collect(0, True, [])
            self.session.close()
        self.session = self.host = None

    def _prepare(self, part: str, tenants: int):
        """A guest on which so many tenants can lose their port."""
        if self.session is None:
            self._boot()
        if self.host is None:
            machine = Machine(self.session.guest.host.child.pid)
            self.host = (ProductRounds(self.session.guest, machine, max(self.args.tenants)) if part == "product"
                         else RawRounds(self.session.guest, machine))
        self.host.begin(tenants)

    def _finish(self, part: str):
        """The next part begins on the same boot, if that can be left clean."""
        try:
            self.host.finish()
            self.host = None
        except HostEnded as error:
            self._lost(part, "after its rounds", error)

    def _lost(self, part: str, when: str, why: LabError):
        """What was going on does not count, and this boot is of no use any more."""
        self.broken.append({"part": part, "when": when, "boot": self.boots, "why": str(why)})
        self.progress.line(f"{part:8} {when}  not counted: {why}")
        self._close()
        if len(self.broken) > BROKEN_MAX:
            raise why

    def _play(self, part: str, tenants: int):
        """The first round warms caches and is thrown away; of the others the quietest are kept."""
        wanted, kept, number, cold = self.args.rounds, [], 0, True
        given_up = self.given_up.setdefault(tenants, [])
        while (sum(r.busy <= BUSY_CPUS for r in kept) < wanted
               and max(len(kept), len(given_up)) < PATIENCE * wanted):
            folder = self.keep / "rounds" / f"{part}-{tenants}-{number}"
            number += 1
            one = self._round(part, tenants, folder, cold)
            if one and not cold:
                (given_up if _was_given_up(one) else kept).append(one)
            cold = one is None
        self.rounds[part][tenants] = sorted(kept, key=lambda r: r.busy)[:wanted]

    def _round(self, part: str, tenants: int, folder: Path, cold: bool):
        """One round, or None when it says nothing: then the next has another boot."""
        try:
            if cold:
                self._prepare(part, tenants)
            one = self.host.play(tenants, folder)
        except (RoundLost, HostEnded) as broke:
            self._lost(part, f"{tenants} tenants", broke)
            return None
        (folder / "round.json").write_text(json.dumps(asdict(one), indent=1) + "\n", encoding="utf-8")
        remark = "  (reset given up)" if _was_given_up(one) else ""
        self.progress.line(f"{part:8} {tenants} tenants  {one.recovered / 1e6:6.0f} ms  others took {one.busy:.2f} CPUs"
                           + remark + ("  (not counted)" if cold else ""))
        return one

    def _result(self) -> dict:
        results = [figures.compute(n, self.rounds["product"].get(n, []), self.rounds["kernel"].get(n, []),
                                   self.given_up.get(n, []))
                   for n in self.args.tenants]
        return {
            "benchmark": "recover", "kernel": self.kernel, "rounds": self.args.rounds,
            "cpus": self.topology.cpus, "bytes": BYTES, "busy_limit_cpus": BUSY_CPUS, "results": results,
            "boots": self.boots, "not_counted": self.broken,
            "played": {part: {n: [asdict(r) for r in rounds] for n, rounds in by_tenants.items()}
                       for part, by_tenants in self.rounds.items()},
        }


def _was_given_up(one) -> bool:
    return isinstance(one, ProductRound) and one.given_up


def print_table(result: dict):
    print(f'\nrecover: {result["rounds"]} rounds of each; kernel {result["kernel"]}, {result["cpus"]} emulated CPUs; '
          f'{result["bytes"] >> 20} MiB for each tenant, all on one memdev;\n'
          "ms after the kernel's first record of the loss")
    for one in result["results"]:
        for line in figures.table(one):
            print(line)
        if one["busy_cpus"] > BUSY_CPUS:
            print(f'  this machine was busy: others took up to {one["busy_cpus"]} CPUs')
    for broke in result["not_counted"]:
        print(f'\nNot counted, and followed by a new boot ({broke["part"]}, {broke["when"]}): {broke["why"]}')
    print(f"\n{figures.LEGEND}")


def _numbers(text: str) -> list:
    values = [int(word) for word in text.split(",")]
    if not all(1 <= value <= TENANTS_MAX for value in values):
        raise argparse.ArgumentTypeError(f"1 to {TENANTS_MAX} each")
    return values


def _rounds(text: str) -> int:
    if not 1 <= int(text) <= ROUNDS_MAX:
        raise argparse.ArgumentTypeError(f"1 to {ROUNDS_MAX}")
    return int(text)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="bench recover", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", metavar="N", type=_rounds, default=5, help="of each kind and number (5)")
    parser.add_argument("--tenants", metavar="N[,N…]", type=_numbers, default=[1, 4, 8], help="1,4,8")
    parser.add_argument("--only", choices=PARTS, dest="parts", action="append", help="measure one of the two only")
    parser.add_argument("--kernel", choices=KERNELS, default="stock")
    parser.add_argument("--json", metavar="OUT", help="write the result here")
    parser.add_argument("--keep", metavar="DIR", help="keep the evidence here")
    parser.add_argument("--image-dir", metavar="DIR", help="disk.img, vmlinuz, initrd (or LAB_IMAGES)")
    parser.add_argument("--product", metavar="DIR", help="staged install tree (or LAB_PRODUCT)")
    parser.add_argument("--build", metavar="DIR", type=Path, default=Path("build/release"), help="of the same build")
    args = parser.parse_args(argv)
    args.parts = args.parts or PARTS
    return args


def main(argv=None) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keep = Path(args.keep or tempfile.mkdtemp(prefix="daxmgr-bench-"))
    keep.mkdir(parents=True, exist_ok=True)
    try:
        result = Bench(args, keep.resolve(), Progress()).run()
    except (FormatError, LabError) as error:
        print(f"bench recover: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print_table(result)
    print(f"Evidence in {keep}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
