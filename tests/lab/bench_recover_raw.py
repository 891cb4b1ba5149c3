# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rounds of `bench recover` by hand: guest/recover-raw.sh, with VMs that systemd restarts as it restarts the product's."""

import re
import shlex
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import payload
from .bench_recover_rounds import (BYTES, LOST_SECONDS, PORT, QUIET_SECONDS, SERIAL, UNDISTURBED_SECONDS,
                                   UNDISTURBED_SECONDS_EACH, USER, RoundLost, Round, Rounds, wait_until)
from .errors import LabError
from .guest import CODE_DIR, LAB_DIR, TRACE

SCRIPT = "recover-raw.sh"
READY = f"{LAB_DIR}/raw-ready"
LAUNCHER = f"{LAB_DIR}/raw-launch"
UNIT = "daxlab-raw"
UNIT_FILE = f"/run/systemd/system/{UNIT}@.service"
PRODUCT_UNIT = "daxmgr-vm@.service"
# All else in the product's unit is the same here: above all what systemd does when the process has ended.
NOT_TAKEN = ("Description", "Documentation", "Wants", "After", "Environment", "EnvironmentFile", "ExecStart")
JOB_SAID = re.compile(r" result 0 .* in ([0-9.]+) ms ")


@dataclass
class RawRound(Round):
    """A loss and its recovery by hand: marks in ns after the kernel's first record; zeroing one instance after another."""
    marks: dict = field(default_factory=dict)
    zero: int = 0
    prove: int = 0
    verify: int = 0     # one walk of /proc
    observe: int = 0    # one look at the host

    @property
    def carved(self) -> int:
        return self.marks[f"carved {self.tenants}"]

    @property
    def refilled(self) -> bool:
        return "region refilled" in self.marks


def unit_text(product: str) -> str:
    """
    The unit of a VM by hand, from the text of the product's. Started with all privileges, too; but the product's
    launcher then changes its user, which a shell cannot.
    """
    lines = []
    for line in product.split("[Install]")[0].splitlines():
        if line.startswith("#") or line.split("=", 1)[0] in NOT_TAKEN:
            continue
        lines.append(line)
        if line == "[Service]":
            lines.append(f"ExecStart=+/bin/sh {LAUNCHER} %i")
    return "\n".join(lines).strip() + "\n"


def launcher_text() -> str:
    """Waits, at no cost, for the name of a node, then is the QEMU that daxmgr-qemu would execute."""
    command = shlex.join(payload.qemu_command("@NAME@", BYTES)).replace("@NAME@", '"$1"')
    return (f'read -r node <{LAB_DIR}/"$1".fifo || exit 0\n'
            f'exec {command} -object memory-backend-file,id=mem0,mem-path="$node",'
            f"size={BYTES},align=2M,share=on,prealloc=off\n")


def product_unit(product: Path) -> str:
    found = sorted(product.rglob(PRODUCT_UNIT))
    if not found:
        raise LabError(f"{product} holds no {PRODUCT_UNIT}, whose settings the VMs by hand are to have")
    return found[0].read_text(encoding="utf-8")


class RawRounds(Rounds):
    """No daxmgrd runs and nothing of it is left."""

    def __init__(self, guest, machine):
        super().__init__(guest, machine)
        guest.channel.write(UNIT_FILE, unit_text(product_unit(guest.host.product)))
        guest.channel.write(LAUNCHER, launcher_text())
        guest.channel.must("systemctl daemon-reload")

    def unit(self, name: str) -> str:
        return f"{UNIT}@{name}.service"

    def _script(self, *words) -> list:
        return ["bash", f"{CODE_DIR}/{SCRIPT}", words[0], str(SERIAL), *(str(word) for word in words[1:])]

    def play(self, tenants: int, folder: Path) -> RawRound:
        guest, names = self.guest, [f"raw{i}" for i in range(tenants)]
        thread, box = self._start(tenants)
        wait_until("the raw round is ready", LOST_SECONDS, lambda: box or guest.file_info(READY))
        time.sleep(QUIET_SECONDS)
        threads = {} if box else self._threads(names)
        self._begin()
        mark, before = guest.journal.mark(), self._usage()
        with self.machine.watch() as watch, self._undisturbed():
            if not box:
                guest.host.surprise_down(PORT)
            time.sleep(UNDISTURBED_SECONDS + UNDISTURBED_SECONDS_EACH * tenants)
        used = self._usage()
        thread.join(LOST_SECONDS)
        guest.sync_journal()
        self._check_kernel()
        given_up = self._given_up(mark)
        if given_up:
            raise RoundLost(given_up)
        if "error" in box:
            raise box["error"]
        if thread.is_alive():
            raise RoundLost(f"all VMs beat again: not within {LOST_SECONDS} s")
        result = RawRound(tenants, watch.busy, watch.ours, self._spent(before, used))
        _, records, t0 = self._trace(folder)
        result.marks = {r.text.removeprefix("raw "): r.ns - t0 for r in records if r.event == "tracing_mark_write"}
        self._read_ends(result, records, threads, self._pids(names), t0)
        self._measure_jobs(result, names, box["out"].split())
        return result

    def _start(self, tenants: int) -> tuple:
        """The script's thread, and where its end will be found."""
        box = {}

        def run():
            try:
                box["out"] = self.guest.channel.must(
                    self._script("round", tenants, BYTES, READY, f"{TRACE}/trace_marker", UNIT, USER), 4 * LOST_SECONDS)
            except LabError as error:
                box["error"] = error
        self.guest.channel.must(f"rm -f {READY}")
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread, box

    def _measure_jobs(self, result: RawRound, names: list, instances: list):
        """On the instances that were carved; nobody uses them any more."""
        self.guest.channel.must(["systemctl", "stop", *(self.unit(name) for name in names)])
        result.zero = sum(self._job("zero", *self._device(name), str(BYTES)) for name in instances)
        result.prove = sum(self._job("prove", *self._device(name), str(BYTES)) for name in instances)
        result.verify = self._job("verify", *self._device(instances[0]))
        result.observe = self._job("observe")

    def _device(self, name: str) -> list:
        number = self.guest.channel.read(f"/sys/bus/dax/devices/{name}/dev").decode().strip()
        return [name.removeprefix("dax"), number]

    def _job(self, *words) -> int:
        """A job of the product's workers in a process of its own; how long the work took in it, in ns."""
        said = self.guest.channel.must([f"{CODE_DIR}/job_tool", *words])
        found = JOB_SAID.search(said)
        if not found:
            raise LabError(f"job_tool said: {said}")
        return int(float(found[1]) * 1e6)

    def finish(self):
        self.guest.channel.must(self._script("clear", UNIT))
        self.guest.channel.must(f"rm -f {UNIT_FILE} && systemctl daemon-reload")
