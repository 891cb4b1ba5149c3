# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records durable per second, CPU and memory of daxmgrd, rasdaemon and `cxl monitor` on the same storm.

In one guest: 100 poisoned places in each memdev, whose list is read again and again; each reading makes a record per
place. Each listener is alone once, then all hear the same storm. Prints; judges the targets but never fails on them.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import bench_ingest_figures as figures
from . import topology as topology_file
from .__main__ import HERE, image_dir, product_dir
from .bench_ingest_listeners import CxlMonitor, Daxmgrd, Rasdaemon
from .bench_machine import Machine
from .errors import FormatError, LabError
from .evidence import Evidence
from .guest import CODE_DIR, TRACE_LIVE
from .runner import Progress, Session
from .scenario import KERNELS

TOPOLOGY = "two-ports"
CONFIG = """
[Region low]
Memdevs=0x10

[Region high]
Memdevs=0x11
"""
EMPTY_TOOL = "tests/tools/empty_tool"
EMPTY_UNIT = "bench-empty.service"
PLACES = 100    # QEMU aborts when a list has more than some 125
PLACE_BYTES = 64
FIRST_PLACE = 16 << 20
ROUNDS_MAX = 20
WRITES_MAX = 200
QUIET = 3.0
PATIENCE = 150
# Counts what is produced: nobody reads this ring, and it is large enough for a storm.
COUNTING = "/sys/kernel/tracing/instances/bench-count"
PREPARE = f"""
mkdir -p {COUNTING} && cd {COUNTING} && echo 16384 > buffer_size_kb && echo 1 > events/cxl/cxl_poison/enable
echo 0 > {TRACE_LIVE}/events/cxl/enable; echo 0 > {TRACE_LIVE}/../lab/events/cxl/enable; true
"""
PRODUCED = f"cat {COUNTING}/per_cpu/cpu*/stats | awk '$1 == \"entries:\" || $1 == \"overrun:\" {{ n += $2 }} END {{ print n + 0 }}'"


class Bench:
    def __init__(self, args, keep: Path, progress: Progress):
        self.args, self.keep, self.progress = args, keep, progress
        self.topology = topology_file.parse(HERE / "topologies" / f"{TOPOLOGY}.toml")
        self.storms = []
        self.empty = {}
        self.session = self.guest = self.machine = None

    def run(self) -> dict:
        try:
            self._boot()
            self._empty_program()
            ours = Daxmgrd(self.guest, len(self.topology.memdevs))
            everybody = {figures.OURS: ours, figures.RASDAEMON: Rasdaemon(self.guest),
                         figures.MONITOR: CxlMonitor(self.guest)}
            self._make_regions(ours)
            for _ in range(self.args.rounds):
                for name, listener in everybody.items():
                    self._round({name: listener})
                self._round(everybody)
            return self._result()
        finally:
            self._close()

    def _boot(self):
        folder = self.keep / "boot"
        target = folder / "out" / "lab"    # the guest copies what lies there at boot
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.args.build / EMPTY_TOOL, target)
        self.session = Session(self.topology, image_dir(self.args, self.args.kernel), product_dir(self.args), folder,
                               self.progress)
        self.session.boot()
        self.guest = self.session.guest
        self.machine = Machine(self.guest.host.child.pid)
        self.guest.install_product(CONFIG, {})

    def _close(self):
        if self.session:
            if self.guest and self.guest.channel:
                Evidence(self.guest, self.session.keep / "ingest").collect(0, True, [])
            self.session.close()

    def _empty_program(self):
        """What the libraries alone take, locked."""
        must = self.guest.channel.must
        must(f"systemd-run -q --unit={EMPTY_UNIT} -p LimitMEMLOCK=infinity {CODE_DIR}/empty_tool && sleep 1")
        out = must(f"cat /proc/{self.guest.main_pid(EMPTY_UNIT)}/status")
        must(["systemctl", "stop", EMPTY_UNIT])
        lines = dict(line.split(":", 1) for line in out.splitlines() if line.startswith("Vm"))
        self.empty = {key: int(value.split()[0]) * 1024 for key, value in lines.items()}

    def _make_regions(self, ours: Daxmgrd):
        """Committed regions, so that records name the host's addresses; then the poison."""
        ours.start()
        ours.stop()
        for memdev in self.topology.memdevs:
            for place in range(PLACES):
                # Not side by side: neighbours would be one entry.
                self.guest.host.inject_poison(memdev.name, FIRST_PLACE + place * 4096, PLACE_BYTES)
        self.guest.channel.must(PREPARE)

    def _produced(self) -> int:
        return int(self.guest.channel.must(PRODUCED))

    def _round(self, listeners: dict):
        must = self.guest.channel.must
        must(f"echo > {COUNTING}/trace")
        for listener in listeners.values():
            listener.start()
        before = self._produced()
        wanted = {"triggers": self.guest.channel.call("glob", pattern="/sys/bus/cxl/devices/mem*/trigger_poison_list")["paths"],
                  "writes": self.args.writes, "quiet": QUIET, "patience": PATIENCE,
                  "listeners": {name: one.describe() for name, one in listeners.items()}}
        with self.machine.watch() as watch:
            told = json.loads(must(["python3", f"{CODE_DIR}/storm.py", json.dumps(wanted)], PATIENCE + 30))
        storm = figures.Storm(self._produced() - before, told["written"], watch.busy)
        for name, listener in listeners.items():
            heard = told["listeners"][name]
            records, rows, lost = listener.count()
            storm.heard[name] = figures.Heard(records, rows, lost, heard["last"], heard["cpu_us"], heard["before"],
                                              heard["after"])
            self.progress.line(f"{name:12} {'alone' if storm.alone() else 'beside others':14} {records} of {storm.produced} "
                               f"records in {heard['last'] or 0:.2f} s  others took {watch.busy:.2f} CPUs")
        for listener in listeners.values():
            listener.stop()
        self.storms.append(storm)

    def _result(self) -> dict:
        result = figures.compute(self.storms, self.empty["VmRSS"])
        return {"benchmark": "ingest", "kernel": self.guest.kernel, "cpus": self.topology.cpus, "rounds": self.args.rounds,
                "writes": self.args.writes, "places": PLACES * len(self.topology.memdevs), "empty": self.empty,
                "busy_cpus": round(max(storm.busy for storm in self.storms), 2), "result": result,
                "storms": [asdict(storm) for storm in self.storms]}


def print_table(result: dict):
    print(f'\ningest in a guest: {result["rounds"]} storms each of {result["places"] * result["writes"]} records about '
          f'{result["places"]} places; kernel {result["kernel"]}, {result["cpus"]} emulated CPUs')
    for line in figures.table(result["result"]):
        print(line)
    print(f'\n{figures.LEGEND}\nOthers took up to {result["busy_cpus"]} CPUs of this machine meanwhile.')


def _number(most: int):
    def convert(text: str) -> int:
        if not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"1 to {most}")
        return int(text)
    return convert


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="bench ingest guest", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", metavar="N", type=_number(ROUNDS_MAX), default=3, help="of each listener, and of all (3)")
    parser.add_argument("--writes", metavar="N", type=_number(WRITES_MAX), default=10,
                        help="readings of all poison lists in a storm (10: 2,000 records)")
    parser.add_argument("--kernel", choices=KERNELS, default="stock")
    parser.add_argument("--json", metavar="OUT", help="write the result here")
    parser.add_argument("--keep", metavar="DIR", help="keep the evidence here")
    parser.add_argument("--image-dir", metavar="DIR", help="disk.img, vmlinuz, initrd (or LAB_IMAGES)")
    parser.add_argument("--product", metavar="DIR", help="staged install tree (or LAB_PRODUCT)")
    parser.add_argument("--build", metavar="DIR", type=Path, default=Path("build/release"), help="of the same build")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keep = Path(args.keep or tempfile.mkdtemp(prefix="daxmgr-bench-"))
    keep.mkdir(parents=True, exist_ok=True)
    try:
        result = Bench(args, keep.resolve(), Progress()).run()
    except (FormatError, LabError) as error:
        print(f"bench ingest: {error}", file=sys.stderr)
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
