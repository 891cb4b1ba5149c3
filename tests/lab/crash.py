# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon dies at a chosen system call while a port is lost, or the call fails: it must end as well as if it had not.

strace kills the release binary, whichever of its threads it is, at the n-th call of a kind after the loss was armed,
and systemd starts it again; or the call returns an error. Everything that must hold in a cell of the matrix must hold
then. One boot for all points.
"""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .__main__ import HERE, image_dir, product_dir
from .errors import FormatError, LabError, StepFailed
from .guest import LAB_DIR
from .matrix import shape_of
from .matrix_losses import loss_named
from .matrix_play import CellPlay
from .matrix_run import Boot, Runner, outcome
from .runner import Progress
from .scenario import KERNELS

TOPOLOGY = "demo"
LOSS = "port-down"
DAEMON = "daxmgrd.service"
WANTED = 40
# What the daemon waits with, asks workers with, hears from them with, kills with, and makes durable with.
NTHS = {
    "pidfd_send_signal": (1, 2),
    "epoll_wait": (1, 2, 3, 5, 8, 13, 21, 34, 55, 89),
    "recvmsg": (1, 2, 3, 5, 8, 13, 21, 34),
    "sendto": (1, 2, 3, 5, 8, 13, 21),
    "sendmsg": (1, 3, 8, 21),
    "read": (1, 3, 8, 21),
    "write": (1, 2, 5, 13),
    "pwrite64": (1, 2, 3, 5, 8, 13, 21, 34),
    "fdatasync": (1, 2, 3, 4, 5, 6, 8, 10),
    "timerfd_settime": (1, 3, 8),
}
# What the kernel may answer instead, and to which calls of the kind: the disk, uevents that were too many, a socket
# that is full, a trace that cannot be read.
ERRORS = (
    ("fdatasync", "EIO", "1"), ("fdatasync", "EIO", "1..4"), ("pwrite64", "ENOSPC", "1..8"), ("pwrite64", "EIO", "3"),
    ("recvmsg", "ENOBUFS", "1"), ("recvmsg", "EINTR", "1..3"), ("sendmsg", "EAGAIN", "1..4"), ("sendto", "EAGAIN", "1"),
    ("read", "EIO", "1"), ("epoll_wait", "EINTR", "1..5"),
)
RECORD = f"{LAB_DIR}/crash-record"
INJECTED = f"{RECORD}.injected"
# Its threads by number: with -f strace would kill the workers that it starts from then on, too.
ARM = f"""
rm -f {INJECTED}
strace -qq -o {RECORD} -e trace={{call}} -e signal=none -e inject={{call}}:{{what}}:when={{when}} \
    -p "$(ls /proc/$(systemctl show -P MainPID {DAEMON})/task)"
"""
# Or it has died already: some points lie before the loss.
ARMED = f"""
until [ -s {RECORD} ] || grep -q 'TracerPid:.[1-9]' /proc/$(systemctl show -P MainPID {DAEMON})/status; do
    sleep 0.05
done
"""
DISARM = f"""
pkill -x strace; while pgrep -x strace >/dev/null; do sleep 0.05; done
if grep -qs '(INJECTED)' {RECORD}; then touch {INJECTED}; fi; rm -f {RECORD}
"""


@dataclass(frozen=True)
class Point:
    call: str
    when: str
    error: str = ""     # what the call returns; the daemon dies when it is empty

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.call, self.error.lower(), self.when.replace("..", "to")) if part)

    @property
    def what(self) -> str:
        return f"{self.error} for" if self.error else "daxmgrd dies at"

    @property
    def inject(self) -> str:
        return f"error={self.error}" if self.error else "signal=KILL"


def deaths() -> list:
    return [Point(call, str(nth)) for call, nths in NTHS.items() for nth in nths]


def points() -> list:
    return [*deaths(), *(Point(call, when, error) for call, error, when in ERRORS)]


def cell_at(shape, point: Point):
    """The loss, with a death of the daemon, or an error that it gets, armed before it."""
    cell = loss_named(LOSS).build(shape)
    cell.loss = point.name
    cell.what = f"{cell.what}; {point.what} {point.call} {point.when}"
    arm = ARM.format(call=point.call, what=point.inject, when=point.when)
    first = next(i for i, step in enumerate(cell.steps) if step["name"] in cell.losses)
    cell.steps[first:first] = [
        {"name": "it is armed", "run": arm, "background": "strace", "expect": []},
        {"name": "strace is there", "run": ARMED, "timeout": 20, "expect": []},
    ]
    well = cell.steps[-1]
    cell.step("strace leaves", {"run": DISARM}, timeout=20)
    cell.step("and all is as before", None, well["expect"], timeout=60)
    return cell


class CrashPlay(CellPlay):
    """A cell that knows whether the daemon came to where it was to die or to get an error."""

    def _judge(self):
        super()._judge()
        exits = self.guest.journal.exits(DAEMON, self.marks.journal("cell"))
        died = any(r.fields.get("EXIT_STATUS") in ("9", "KILL") for r in exits)
        injected = self.guest.file_info(INJECTED) is not None
        self.report |= {"died": died, "reached": died or injected}
        if injected and exits:
            raise StepFailed("an error ends no daemon", str([r.message for r in exits]))


def table(reports: list) -> list:
    """Rows calls, columns the number of the call: contain/recover in ms."""
    by_name = {report["loss"]: report for report in reports}
    lines = []
    for call, nths in NTHS.items():
        cells = [f"{nth}: {_text(by_name.get(Point(call, str(nth)).name))}" for nth in nths]
        lines.append(f"{call:18}  " + "  ".join(cells))
    lines.append("errors")
    for call, error, when in ERRORS:
        lines.append(f"{call:18}  {error} {when}: {_text(by_name.get(Point(call, when, error).name))}")
    return lines


def _text(report) -> str:
    if report is None:
        return "not played"
    if not report["held"]:
        return "BROKEN"
    if not report.get("reached"):
        return "not reached"
    return "/".join("-" if report[key] is None else f"{report[key]:.0f}" for key in ("contain_ms", "recover_ms"))


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="crash", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", metavar="CALL-N", action="append", help="only this one, as fdatasync-3")
    parser.add_argument("--kernel", choices=KERNELS, default="stock")
    parser.add_argument("--json", metavar="OUT", help="write the reports here")
    parser.add_argument("--keep", metavar="DIR", help="keep the evidence here")
    parser.add_argument("--image-dir", metavar="DIR", help="disk.img, vmlinuz, initrd (or LAB_IMAGES)")
    parser.add_argument("--product", metavar="DIR", help="staged install tree (or LAB_PRODUCT)")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what every expectation saw")
    return parser.parse_args(argv)


def chosen(names) -> list:
    known = points()
    for name in names or []:
        if name not in [point.name for point in known]:
            raise FormatError(f'there is no point "{name}" (known: {", ".join(p.name for p in known)})')
    return [point for point in known if not names or point.name in names]


def play(args, keep: Path) -> list:
    wanted = chosen(args.point)
    shape = shape_of(HERE / "topologies" / f"{TOPOLOGY}.toml")
    boot = Boot(shape, args.kernel, [cell_at(shape, point) for point in wanted], play=CrashPlay)
    return Runner(lambda kernel: image_dir(args, kernel), product_dir(args), keep, Progress(args.verbose)).run([boot], 1)


def judge(args, reports: list) -> bool:
    broken = [report for report in reports if not report["held"]]
    reached = sum(bool(report.get("died")) for report in reports)
    errors = sum(bool(report.get("reached")) for report in reports) - reached
    print(f"\nthe daemon died at a system call while a port was lost; contain/recover in ms ({TOPOLOGY}, {args.kernel})")
    for line in table(reports):
        print(line)
    print(f"{reached} crash points and {errors} errors reached, {len(reports) - len(broken)} of {len(reports)} ended well")
    for report in broken:
        print(f'{report["loss"]}: {outcome(report)}')
    if not args.point and reached < WANTED:
        print(f"at least {WANTED} were to be reached")
    return not broken and (bool(args.point) or reached >= WANTED)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keep = Path(args.keep or tempfile.mkdtemp(prefix="daxmgr-crash-"))
    keep.mkdir(parents=True, exist_ok=True)
    try:
        reports = play(args, keep.resolve())
    except (FormatError, LabError) as error:
        print(f"crash: {error}", file=sys.stderr)
        return 2
    held = judge(args, reports)
    if args.json:
        Path(args.json).write_text(json.dumps({"held": held, "points": reports}, indent=1) + "\n", encoding="utf-8")
    print(f"evidence in {keep}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
