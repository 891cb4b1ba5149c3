# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways in which the demo must fail: each takes away or adds one thing, and names the check that has to notice."""

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from .demo_plan import part_of
from .errors import LabError
from .guest import CODE_DIR
from .scenario import Step

SOURCE = Path(__file__).parent / "control" / "no_zero.c"
LIBRARY = "no_zero.so"
DROPIN_PATH = "/etc/systemd/system/daxmgrd.service.d/50-no-zero.conf"
DROPIN = f"[Service]\nEnvironment=LD_PRELOAD={CODE_DIR}/{LIBRARY}\n"
# Masked, because a VM's unit wants the daemon and would start it.
STOP_DAEMON = "systemctl mask --runtime --now daxmgrd.service"


@dataclass
class Control:
    name: str
    breaks: str
    parts: tuple
    says: str


CONTROLS = {control.name: control for control in (
    Control("no-daemon", "victims-signal-9", ("start", "2"),
            "daxmgrd is stopped before a fault: the paused VM lives on with its memory gone"),
    Control("kill-all", "nobody-else-signalled", ("start", "1"),
            "somebody kills every QEMU at a fault, not only those of the blast radius"),
    Control("no-zero", "zero-at-hand-over", ("start",),
            "neither zeroing nor its proof touches the device"),
)}


def _command(name: str, command: str) -> Step:
    return Step(name, 30.0, "run", {"command": command, "background": None, "rc": 0, "stdout": None, "stderr": None,
                                    "asserts": [], "capture": None})


def apply(control: Control, scenario):
    """The scenario with only the control's parts, and its change put in."""
    steps = [step for step in scenario.steps if part_of(step.name) in control.parts]
    fault = next((i for i, step in enumerate(steps) if step.action == "surprise_down"), None)
    if control.name == "no-daemon":
        steps.insert(fault, _command(f"{control.parts[1]}: CONTROL: daxmgrd is stopped", STOP_DAEMON))
    elif control.name == "kill-all":
        after = replace(steps[fault], name=f"{part_of(steps[fault].name)}: and now?", action="", args={},
                        expect=steps[fault].expect[2:])
        steps[fault] = replace(steps[fault], expect=steps[fault].expect[:1])
        steps[fault + 1:fault + 1] = [
            _command(f"{control.parts[1]}: CONTROL: every QEMU is killed", "pkill -KILL -x qemu-system-x86"), after]
    return replace(scenario, steps=steps)


def build_no_zero(target: Path):
    """Compiles the library into a directory the guest gets."""
    target.mkdir(parents=True, exist_ok=True)
    argv = [os.environ.get("CC", "gcc"), "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
            "-o", str(target / LIBRARY), str(SOURCE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"cannot build {LIBRARY}:\n{done.stderr}")


def install(control: Control, guest):
    """What has to be in the guest before the daemon starts."""
    if control.name != "no-zero":
        return
    guest.channel.write(DROPIN_PATH, DROPIN)
    guest.channel.must("systemctl daemon-reload")
