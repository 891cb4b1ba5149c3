# SPDX-License-Identifier: LGPL-2.1-or-later
"""The matrix as a table: on the terminal, and as the tracked document."""

from pathlib import Path

from .matrix_cell import NotApplicable
from .matrix_losses import LOSSES
from .runner import factor

HELD, BROKEN, NOT_APPLICABLE, NOT_PLAYED = "held", "BROKEN", "n/a", ""


def _cell_text(report) -> str:
    if report is None:
        return NOT_PLAYED
    if not report["held"]:
        return BROKEN
    figures = [report["contain_ms"], report["recover_ms"]]
    return "held " + "/".join("-" if value is None else f"{value:.0f}" for value in figures)


class Matrix:
    """Everything that was planned and what came of it."""

    def __init__(self, shapes: list, kernels: list, plans: dict, reports: list, again=()):
        self.shapes, self.kernels, self.plans, self.again = shapes, kernels, plans, again
        self.reports = {(r["topology"], r["loss"], r["kernel_kind"]): r for r in reports}
        self.losses = [loss for loss in LOSSES if any((name, loss.name) in plans for name in self.topologies)]

    @property
    def topologies(self) -> list:
        return [Path(shape.topology.path).stem for shape in self.shapes]

    def text(self, topology: str, loss: str, kernel: str) -> str:
        plan = self.plans.get((topology, loss))
        if isinstance(plan, NotApplicable):
            return NOT_APPLICABLE
        return _cell_text(self.reports.get((topology, loss, kernel)))

    def rows(self, kernel: str) -> list:
        head = ["topology", *(loss.name for loss in self.losses)]
        return [head, *([name, *(self.text(name, loss.name, kernel) for loss in self.losses)] for name in self.topologies)]

    def version(self, kernel: str) -> str:
        return next((r["kernel"] for key, r in self.reports.items() if key[2] == kernel and r["held"]), "not booted")

    def counts(self) -> str:
        held = sum(r["held"] for r in self.reports.values())
        none = sum(isinstance(plan, NotApplicable) for plan in self.plans.values()) * len(self.kernels)
        return f"{held} held, {len(self.reports) - held} broken, {none} not applicable"


def _reasons(matrix: Matrix) -> list:
    """At the end of a long output, where it is found."""
    lines = [f"once more: {text}" for text in matrix.again]
    for (topology, loss, kernel), report in matrix.reports.items():
        if not report["held"]:
            broken = report.get("broken") or {}
            lines.append(f'BROKEN {topology}-{kernel} {loss}: step "{broken.get("step")}": {broken.get("expectation")}; '
                         f'last seen: {str(broken.get("last_seen"))[:300]}')
            lines += [f"    {text}" for text in report.get("account", [])]
    return lines


def terminal(matrix: Matrix) -> list:
    """Rows topologies, columns losses; held CONTAIN/RECOVER in ms."""
    lines = []
    for kernel in matrix.kernels:
        rows = matrix.rows(kernel)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines += ["", f"{kernel} ({matrix.version(kernel)}): contain/recover in ms"]
        lines += ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return [*lines, "", *_reasons(matrix), matrix.counts()]


def _markdown(rows: list) -> list:
    head, *body = rows
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in body)]


def _units(matrix: Matrix) -> list:
    rows = [["topology", "loss", "what is broken", "victims", "have to leave first"]]
    for name in matrix.topologies:
        for loss in matrix.losses:
            plan = matrix.plans.get((name, loss.name))
            if plan is not None and not isinstance(plan, NotApplicable):
                rows.append([name, loss.name, plan.what, " ".join(plan.victims), " ".join(plan.stopped) or "-"])
    return _markdown(rows)


def document(matrix: Matrix) -> str:
    """docs/lab-matrix.md."""
    lines = [
        "# The matrix, as it came out", "",
        "Made by `./dev lab matrix --table docs/lab-matrix.md`, with `--third` when most cells are empty (not played); how it is played and what must hold in each cell stands in",
        "[lab.md](lab.md). Times are milliseconds: `held CONTAIN/RECOVER`. CONTAIN is from the kernel's first record of the",
        "loss (for an unplug without one: from the command) until daxmgrd reports that the last victim is gone and nothing",
        "maps its memory; RECOVER until it reports that all regions and VMs are back, counted from the last thing that had to",
        "happen first: the second loss, the device that was plugged, the tenants that left.", "",
        f"{matrix.counts()}."
        + (f" Timeouts stretched by {factor():g}." if factor() != 1 else ""), ""]
    for kernel in matrix.kernels:
        lines += [f"## {kernel}: {matrix.version(kernel)}", "", *_markdown(matrix.rows(kernel)), ""]
    lines += ["## Topologies", "", *_markdown([["topology", "host", "regions"], *(
        [name, shape.topology.description,
         "; ".join(f"{r.name}: {' '.join(r.memdevs)}" for r in shape.regions)]
        for name, shape in zip(matrix.topologies, matrix.shapes))]), ""]
    lines += ["## Losses", "", *_markdown([["loss", "what happens"], *([l.name, l.says] for l in matrix.losses)]), ""]
    lines += ["## What is broken where", "", *_units(matrix), ""]
    reasons = [[name, loss.name, plan.why] for name in matrix.topologies for loss in matrix.losses
               if isinstance(plan := matrix.plans.get((name, loss.name)), NotApplicable)]
    if reasons:
        lines += ["## Why some cells are n/a", "", *_markdown([["topology", "loss", "why"], *reasons]), ""]
    if matrix.again:
        lines += ["## What was played once more, and why", "", *(f"* {text}" for text in matrix.again), ""]
    return "\n".join(lines)
