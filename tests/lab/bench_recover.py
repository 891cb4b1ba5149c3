# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a recovery takes, and how much of it the manager adds to what the kernel needs.

In one boot: 1, 4 and 8 VMs on one memdev lose their port, again and again, and daxmgrd brings them back; then, without
it, the same steps are done by raw sysfs writes. Prints; judges the target but never fails on it.
"""

import argparse
import json
import os
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
from .bench_recover_rounds import BYTES, SCRIPT, ProductRounds, RawRounds
from .errors import FormatError, LabError
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


class Bench:
    def __init__(self, args, keep: Path, progress: Progress):
        self.args, self.keep, self.progress = args, keep, progress
        self.rounds = {part: {} for part in PARTS}
        topology = topology_file.parse(HERE / "topologies" / f"{TOPOLOGY}.toml")
        self.session = Session(topology, image_dir(args, args.kernel), product_dir(args), keep, progress)
        self.machine = None

    def run(self) -> dict:
        self._bring_tools()
        try:
            self.session.boot()
            self.machine = Machine(self.session.guest.host.child.pid)
            if "product" in self.args.parts:
                self._product()
            if "kernel" in self.args.parts:
                self._kernel()
        finally:
            self._keep_evidence()
            self.session.close()
        return self._result()

    def _keep_evidence(self):
        if self.machine:
            Evidence(self.session.guest, self.keep / "recover").collect(0, "product" in self.args.parts, [])

    def _bring_tools(self):
        """The guest copies what lies there at boot."""
        target = self.keep / "out" / "lab"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.args.build / JOB_TOOL, target)
        shutil.copy(HERE / "guest" / SCRIPT, target)

    def _product(self):
        rounds = ProductRounds(self.session.guest, self.machine, max(self.args.tenants))
        for tenants in self.args.tenants:
            rounds.begin(tenants)
            self._play("product", rounds, tenants)
        rounds.finish()

    def _kernel(self):
        rounds = RawRounds(self.session.guest, self.machine)
        for tenants in self.args.tenants:
            self._play("kernel", rounds, tenants)
        rounds.finish()

    def _play(self, part: str, rounds, tenants: int):
        """The first round warms caches and is thrown away; of the others the quietest are kept."""
        wanted, played = self.args.rounds, []
        while sum(r.busy <= BUSY_CPUS for r in played[1:]) < wanted and len(played) <= PATIENCE * wanted:
            folder = self.keep / "rounds" / f"{part}-{tenants}-{len(played)}"
            one = rounds.play(tenants, folder)
            (folder / "round.json").write_text(json.dumps(asdict(one), indent=1) + "\n", encoding="utf-8")
            played.append(one)
            took = one.recovered if part == "product" else one.carved
            self.progress.line(f"{part:8} {tenants} tenants  round {len(played) - 1}  {took / 1e6:6.0f} ms  "
                               f"others took {one.busy:.2f} CPUs")
        self.rounds[part][tenants] = sorted(played[1:], key=lambda r: r.busy)[:wanted]

    def _result(self) -> dict:
        results = [figures.compute(n, self.rounds["product"].get(n, []), self.rounds["kernel"].get(n, []))
                   for n in self.args.tenants]
        return {
            "benchmark": "recover", "kernel": self.session.guest.kernel, "rounds": self.args.rounds,
            "cpus": self.session.topology.cpus, "bytes": BYTES, "busy_limit_cpus": BUSY_CPUS, "results": results,
            "played": {part: {n: [asdict(r) for r in rounds] for n, rounds in by_tenants.items()}
                       for part, by_tenants in self.rounds.items()},
        }


def print_table(result: dict):
    print(f'\nrecover: {result["rounds"]} rounds of each; kernel {result["kernel"]}, {result["cpus"]} emulated CPUs; '
          f'{result["bytes"] >> 20} MiB for each tenant, all on one memdev;\n'
          "ms after the kernel's first record of the loss")
    for one in result["results"]:
        for line in figures.table(one):
            print(line)
        if one["busy_cpus"] > BUSY_CPUS:
            print(f'  this machine was busy: others took up to {one["busy_cpus"]} CPUs')
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
    print(f"Evidence in {keep}" if args.keep else "", end=os.linesep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
