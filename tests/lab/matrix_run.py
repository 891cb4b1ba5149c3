# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots hosts for the matrix and plays the cells, several per boot, one or two boots at a time."""

import queue
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError
from .matrix_play import CellPlay
from .matrix_shape import Shape, vm_of
from .runner import Progress, Session
from .scenario import CLEAN

RETRIES = 2
FEWEST_BOOTS = 3
BOOT_SECONDS = 90   # a boot and its first cells, where both take long


@dataclass
class Boot:
    """A topology on a kernel, and the cells that share its boot while all is well."""
    shape: Shape
    kernel: str
    cells: list
    reports: list = field(default_factory=list)
    play: type = CellPlay
    again: list = field(default_factory=list)   # what was played once more, and why
    until: float = float("inf")                 # no cell but the first begins later, on this machine's clock
    skipped: list = field(default_factory=list) # cells for which no time was left

    @property
    def name(self) -> str:
        return f"{Path(self.shape.topology.path).stem}-{self.kernel}"


class _Steps(Progress):
    """What a scenario says while it is played: only for those who want to know."""

    def __init__(self, progress: Progress, who: str):
        super().__init__(progress.verbose)
        self._progress, self._who = progress, who

    def line(self, text: str):
        if self.verbose:
            self._progress.line(f"{self._who:24} {text}")


class _Host:
    """The guest of a boot, started when it is needed, and started anew after a broken cell."""

    def __init__(self, boot: Boot, image: Path, product: Path, keep: Path, progress: Progress):
        self.boot, self.image, self.product, self.keep, self.progress = boot, image, product, keep, progress
        self.session, self.warm, self.number = None, False, 0

    def get(self) -> Session:
        if self.session is None:
            self.number += 1
            folder = self.keep / f"{self.boot.name}.{self.number}"
            folder.mkdir(parents=True, exist_ok=True)
            self.session = Session(self.boot.shape.topology, self.image, self.product, folder,
                                   _Steps(self.progress, self.boot.name))
            self.session.boot()
            self.warm = False
        return self.session

    def drop(self):
        if self.session:
            self.session.close()
        self.session, self.warm = None, False

    def reset(self):
        """Regions lie in another order now: the same guest, but everything made anew."""
        self.warm = False
        if self.session and not self.session.guest.reset():
            self.drop()

    def leave(self) -> str:
        """Stops the VMs; what is left then, as text."""
        guest = self.session.guest
        units = [guest.vm_unit(vm_of(r.name)) for r in self.boot.shape.regions]
        guest.channel.must(["systemctl", "stop", *units], 60)
        deadline, left = time.monotonic() + 20, None
        while left is None or left and time.monotonic() < deadline:
            left = {kind: text for kind in CLEAN if kind != "regions" and (text := guest.leftovers(kind))}
        return "; ".join(f"{kind} left: {text}" for kind, text in left.items())


def _broken_report(boot: Boot, cell, step: str, what: str, seen=None) -> dict:
    return {"loss": cell.loss, "what": cell.what, "held": False, "kernel": boot.kernel, "steps": [], "faults": [],
            "broken": {"step": step, "expectation": what, "last_seen": seen}}


def _play(host: _Host, cell) -> dict:
    boot = host.boot
    try:
        play = boot.play(host.get(), boot.shape, cell, boot.kernel, host.warm)
        report = play.run()
    except (LabError, OSError) as error:
        host.drop()
        return _broken_report(boot, cell, "boot", str(error))
    if not report["held"]:
        host.drop()
    elif play.after_ordered:
        host.warm = True
    else:
        host.reset()
    return report


def _play_boot(boot: Boot, host: _Host, say):
    for number, cell in enumerate(boot.cells):
        if number and time.monotonic() > boot.until:
            boot.skipped = boot.cells[number:]
            break
        for attempt in range(RETRIES + 1):
            report = _play(host, cell)
            report["topology"], report["kernel_kind"] = Path(boot.shape.topology.path).stem, boot.kernel
            if not report.get("again") or attempt == RETRIES:
                break
            boot.again.append(f'{boot.name} {report["loss"]}: {report["again"]}')
            say(boot, report, f'once more: {report["again"]}')
        boot.reports.append(report)
        say(boot, report, None)
    if host.session and host.warm:
        left = host.leave()
        if left:
            boot.reports[-1] |= {"held": False, "broken": {
                "step": "all VMs leave", "expectation": "nothing is left", "last_seen": left}}
            say(boot, boot.reports[-1], None)


def outcome(report: dict) -> str:
    if not report["held"]:
        broken = report["broken"]
        return f'BROKEN  step "{broken["step"]}": {broken["expectation"]} (last seen: {broken["last_seen"]})'
    return f'held    contain {_figure(report["contain_ms"])}, recover {_figure(report["recover_ms"])}'


def _figure(value) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def share_out(boots: list, budget: float, turn: int = 0) -> list:
    """
    The boots for which there is time, others in each turn; all cells of the rest are left out. Each may go on until its
    share of the time is over. They begin with different losses: other cells are left out on each.
    """
    begin = time.monotonic()
    count = min(len(boots), max(FEWEST_BOOTS, int(budget / BOOT_SECONDS)))
    chosen = [(turn + number * len(boots) // count) % len(boots) for number in range(count)]
    for number, boot in enumerate(boots):
        start = (number * 4 + turn) % len(boot.cells)
        boot.cells = boot.cells[start:] + boot.cells[:start]
        if number not in chosen:
            boot.skipped = boot.cells
    for place, number in enumerate(chosen):
        boots[number].until = begin + budget * (place + 1) / count
    return [boots[number] for number in chosen]


class Runner:
    """Plays boots; image_of and product come from the command line."""

    def __init__(self, image_of, product: Path, keep: Path, progress: Progress):
        self.image_of, self.product, self.keep, self.progress = image_of, product, keep, progress
        self.done, self.total = 0, 0
        self._lock = threading.Lock()

    def run(self, boots: list, at_a_time: int, budget: float = float("inf"), turn: int = 0) -> list:
        """The reports of all cells, in the order of the boots; with a budget in seconds of those for which there was time."""
        self.total = sum(len(boot.cells) for boot in boots)
        waiting = queue.SimpleQueue()
        for boot in boots if budget == float("inf") else share_out(boots, budget, turn):
            waiting.put(boot)
        threads = [threading.Thread(target=self._work, args=(waiting,), daemon=True) for _ in range(at_a_time)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)    # a Ctrl-C is heard between two of these
        return [report for boot in boots for report in boot.reports]

    def _work(self, waiting):
        while True:
            try:
                boot = waiting.get_nowait()
            except queue.Empty:
                return
            host = _Host(boot, self.image_of(boot.kernel), self.product, self.keep, self.progress)
            try:
                _play_boot(boot, host, self._say)
            except LabError as error:
                self._lost(boot, str(error))
            finally:
                host.drop()

    def _lost(self, boot: Boot, why: str):
        for cell in boot.cells[len(boot.reports):]:
            report = _broken_report(boot, cell, "boot", why)
            report["topology"], report["kernel_kind"] = Path(boot.shape.topology.path).stem, boot.kernel
            boot.reports.append(report)
            self._say(boot, report, None)

    def _say(self, boot: Boot, report: dict, remark):
        with self._lock:
            if remark is None:
                self.done += 1
            seconds = f'{report.get("seconds", 0):5.1f} s'
            self.progress.line(f'{self.done:3}/{self.total} {boot.name:22} {report["loss"]:18} {seconds}  '
                               f"{remark or outcome(report)}")
