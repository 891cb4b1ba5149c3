# SPDX-License-Identifier: LGPL-2.1-or-later
"""Command line of the lab: run, check, list, matrix."""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from . import matrix
from . import scenario as scenario_file
from . import time_limit
from . import topology as topology_file
from .errors import FormatError, LabError
from .jobs import Job, Runner
from .runner import Progress

HERE = Path(__file__).parent


def find(kind: str, name: str) -> Path:
    """A path as given, or the name of a file of ours without its ending."""
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    ours = HERE / kind / f"{name}.toml"
    if not ours.exists():
        known = ", ".join(sorted(p.stem for p in (HERE / kind).glob("*.toml")))
        raise FormatError(f'there is no {kind[:-3] if kind == "topologies" else "scenario"}'
                          f'{"y" if kind == "topologies" else ""} "{name}" (known: {known})')
    return ours


def load_all(args) -> list:
    """Everything that is to be run, checked against each other."""
    jobs = []
    for name in args.scenario:
        scenario = scenario_file.parse(find("scenarios", name))
        topology = topology_file.parse(find("topologies", args.topology or scenario.topology))
        scenario_file.check_against(scenario, topology)
        jobs.append(Job(scenario, topology, args.kernel or scenario.kernel))
    return jobs


def image_dir(args, kernel: str) -> Path:
    base = args.image_dir or os.environ.get("LAB_IMAGES")
    if not base:
        raise LabError("no guest image: give --image-dir or set LAB_IMAGES (./dev lab does it)")
    base = Path(base)
    return base / kernel if (base / kernel).is_dir() else base


def product_dir(args) -> Path:
    base = args.product or os.environ.get("LAB_PRODUCT")
    if base and not Path(base).is_dir():
        raise LabError(f"the product's directory {base} does not exist")
    return Path(base).resolve() if base else Path(tempfile.mkdtemp(prefix="daxlab-empty-"))


def summarize(jobs: list, reports: list, keep: Path, progress: Progress):
    left_out = [job.scenario.name for job in jobs if not job.report]
    if left_out:
        progress.line(f'not played, this machine needs longer for all: {", ".join(left_out)}')
    failed = sum(not report["held"] for report in reports)
    for report in reports:
        if "played_twice" in report:
            progress.line(f'{report["scenario"]} was played once more: {report["played_twice"]}')
        if not report["held"]:
            progress.line(f'BROKEN  {report["scenario"]}, step "{report["broken"]["step"]}"')
    progress.line(f"{len(reports) - failed} passed, {failed} failed; evidence in {keep}")


def command_run(args) -> int:
    jobs = load_all(args)
    keep = Path(args.keep) if args.keep else Path(tempfile.mkdtemp(prefix="daxlab-keep-"))
    keep.mkdir(parents=True, exist_ok=True)
    progress = Progress(args.verbose)
    reports, complete = [], False
    try:
        runner = Runner(lambda kernel: image_dir(args, kernel), product_dir(args), keep.resolve(), progress)
        reports = runner.run(jobs, time_limit.from_environment())
        complete = True
    except LabError as error:
        progress.line(f"BROKEN  {error}")
        progress.line(f"evidence in {keep}")
        return 1
    finally:
        held = complete and all(report["held"] for report in reports)
        if args.json:
            Path(args.json).write_text(json.dumps({"held": held, "scenarios": reports}, indent=2) + "\n",
                                       encoding="utf-8")
    summarize(jobs, reports, keep, progress)
    return 0 if held else 1


def command_check(args) -> int:
    for name in args.file:
        text = Path(name).read_text(encoding="utf-8") if Path(name).exists() else ""
        if "[[step]]" in text:
            scenario = scenario_file.parse(name)
            topology = topology_file.parse(find("topologies", args.topology or scenario.topology))
            scenario_file.check_against(scenario, topology)
        else:
            topology_file.parse(name)
        print(f"{name}: ok")
    return 0


def command_list(_args) -> int:
    for kind, module in (("topologies", topology_file), ("scenarios", scenario_file)):
        print(f"{kind}:")
        for path in sorted((HERE / kind).glob("*.toml")):
            print(f"  {path.stem:24} {module.parse(path).description}")
    return 0


def command_matrix(args) -> int:
    return matrix.command(args, find, lambda kernel: image_dir(args, kernel), product_dir(args))


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--topology", metavar="F", help="topology file, or the name of one of ours")
    common.add_argument("--image-dir", metavar="DIR", help="disk.img, vmlinuz, initrd (or LAB_IMAGES)")
    common.add_argument("--product", metavar="DIR", help="staged install tree (or LAB_PRODUCT)")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", parents=[common], help="boot a guest and play scenarios")
    run.add_argument("--scenario", metavar="F", action="append", required=True)
    run.add_argument("--kernel", choices=scenario_file.KERNELS)
    run.add_argument("--json", metavar="OUT", help="write the report here")
    run.add_argument("--keep", metavar="DIR", help="keep the evidence here")
    run.add_argument("-v", "--verbose", action="store_true", help="tell what every expectation saw")
    run.set_defaults(handler=command_run)
    check = commands.add_parser("check", parents=[common], help="check files without booting")
    check.add_argument("file", nargs="+")
    check.set_defaults(handler=command_check)
    lister = commands.add_parser("list", parents=[common], help="list our topologies and scenarios")
    lister.set_defaults(handler=command_list)
    table = commands.add_parser("matrix", help="play every loss on every topology and print a table")
    matrix.add_arguments(table)
    table.set_defaults(handler=command_matrix)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return args.handler(args)
    except FormatError as error:
        print(error, file=sys.stderr)
        return 2
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
