# SPDX-License-Identifier: LGPL-2.1-or-later
"""The matrix: topologies x losses x kernels, generated from the topology files."""

import argparse
import json
import tempfile
from pathlib import Path

from . import matrix_table, time_limit
from . import topology as topology_file
from .errors import FormatError
from .matrix_cell import NotApplicable
from .matrix_losses import LOSSES, loss_named
from .matrix_run import Boot, Runner
from .matrix_shape import Shape
from .runner import Progress
from .scenario import KERNELS

HERE = Path(__file__).parent


def our_topologies() -> list:
    """Paths of all topology files of ours that say which regions there shall be."""
    return [path for path in sorted((HERE / "topologies").glob("*.toml")) if topology_file.parse(path).regions]


def shape_of(path) -> Shape:
    topology = topology_file.parse(path)
    if not topology.regions:
        raise FormatError(f"{Path(path).name}: there is no [[region]], so the matrix has nothing to break")
    return Shape(topology)


def plan(shapes: list, losses: list) -> dict:
    """(topology, loss) to a cell or why there is none."""
    return {(Path(shape.topology.path).stem, loss.name): loss.build(shape) for shape in shapes for loss in losses}


def in_third(topology: int, loss: int, kernel: str) -> bool:
    """A third of all cells in half of the boots: each topology on one of the kernels, there two of three losses."""
    return KERNELS.index(kernel) == topology % len(KERNELS) and (topology // len(KERNELS) + loss) % 3 != 0


def boots(shapes: list, kernels: list, plans: dict, chosen=lambda topology, loss, kernel: True) -> list:
    found = []
    for kernel in kernels:
        for number, shape in enumerate(shapes):
            cells = []
            for index, loss in enumerate(LOSSES):
                cell = plans.get((Path(shape.topology.path).stem, loss.name))
                if cell is not None and not isinstance(cell, NotApplicable) and chosen(number, index, kernel):
                    cells.append(cell)
            if cells:
                found.append(Boot(shape, kernel, cells))
    return found


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("--topology", metavar="F", action="append", help="only this one (all of ours with [[region]])")
    parser.add_argument("--loss", metavar="NAME", action="append", help="only this one")
    parser.add_argument("--kernel", choices=(*KERNELS, "both"), default="both")
    parser.add_argument("--third", action="store_true", help="a chosen third of the cells")
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=float("inf"),
                        help="leave out cells on a machine that needs longer, and say so")
    parser.add_argument("--at-a-time", metavar="N", type=int, default=1, help="so many guests side by side")
    parser.add_argument("--json", metavar="OUT", help="write the reports here")
    parser.add_argument("--keep", metavar="DIR", help="keep the evidence here")
    parser.add_argument("--table", metavar="FILE", help="write the table here, as a document")
    parser.add_argument("--image-dir", metavar="DIR", help="disk.img, vmlinuz, initrd (or LAB_IMAGES)")
    parser.add_argument("--product", metavar="DIR", help="staged install tree (or LAB_PRODUCT)")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what every expectation saw")


def chosen_losses(names) -> list:
    for name in names or []:
        if loss_named(name) is None:
            raise FormatError(f'there is no loss "{name}" (known: {", ".join(loss.name for loss in LOSSES)})')
    return [loss for loss in LOSSES if not names or loss.name in names]


def command(args, find, image_of, product: Path) -> int:
    """find, image_of and product are how the lab's command line finds files."""
    losses = chosen_losses(args.loss)
    paths = [find("topologies", name) for name in args.topology] if args.topology else our_topologies()
    shapes = [shape_of(path) for path in paths]
    kernels = list(KERNELS) if args.kernel == "both" else [args.kernel]
    plans = plan(shapes, losses)
    wanted = boots(shapes, kernels, plans, in_third) if args.third else boots(shapes, kernels, plans)
    keep = Path(args.keep) if args.keep else Path(tempfile.mkdtemp(prefix="daxlab-matrix-"))
    keep.mkdir(parents=True, exist_ok=True)
    progress = Progress(args.verbose)
    runner = Runner(image_of, product, keep.resolve(), progress)
    limit = time_limit.from_environment()
    budget = min(args.budget, limit.left())
    reports = runner.run(wanted, args.at_a_time, budget, limit.turn)
    skipped = sum(len(boot.skipped) for boot in wanted)
    again = [text for boot in wanted for text in boot.again]
    matrix = matrix_table.Matrix(shapes, kernels, plans, reports, again)
    held = len(reports) + skipped == runner.total and all(report["held"] for report in reports)
    _write(args, matrix, reports, held)
    for line in matrix_table.terminal(matrix):
        print(line)
    if skipped:
        print(f"{skipped} of {runner.total} were not played: this machine needs longer than {budget:.0f} s for them")
    print(f"evidence in {keep}")
    return 0 if held else 1


def _write(args, matrix, reports: list, held: bool):
    if args.json:
        Path(args.json).write_text(json.dumps({"held": held, "cells": reports}, indent=2) + "\n", encoding="utf-8")
    if args.table:
        Path(args.table).write_text(matrix_table.document(matrix), encoding="utf-8")
