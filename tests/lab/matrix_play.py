# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plays one cell on a guest that may be warm, and judges what must hold in every cell."""

import json
import re
import threading

from . import actions, scenario as scenario_file
from .errors import LabError, StepFailed
from .evidence import FIRST_SIGNS
from .guest import LIST_MOUNTS
from .matrix_cell import BASE_STEPS, Cell, scenario_text
from .matrix_shape import Shape, vm_of
from .runner import Marks, Play, factor

MAX_GAP_NS = 2_000_000_000
SLOW_SECONDS = 8
ACCOUNT_LINES = 60
BUSY_NS = MAX_GAP_NS // 2
LAST_BEATS = 5
KERNELS_OWN_RACE = "free_pages_and_swap_cache"
SIGKILL = 9

# One line per region (device, committed, size, start, serials in target order), per bound instance, and what else
# must not change. Targets are found through the decoder's endpoint, not through what the manager says.
STATE = """
cd /sys/bus/cxl/devices
for r in region*; do
    [ -e $r/commit ] || continue
    serials=
    for n in $(seq 0 $(($(cat $r/interleave_ways) - 1))); do
        d=$(cat $r/target$n); s=-
        [ -n "$d" ] && s=$(cat $(readlink -f $d)/../uport/serial)
        serials=$serials${serials:+,}$s
    done
    echo region $r $(cat $r/commit) $(($(cat $r/size))) $(($(cat $r/resource))) $serials
done
for d in /sys/bus/dax/devices/dax*; do [ -e $d/driver ] && echo instance ${d##*/}; done
grep -q kmem /proc/iomem && echo kmem
%s | diff -q /run/daxmgr-lab/mounts - >/dev/null || echo mounts
for name in %s; do
    launcher=$(systemctl show -P MainPID daxmgr-vm@$name.service) pid=
    [ $launcher != 0 ] && pid=$(pgrep -P $launcher)
    echo vm $name ${pid:-0}
done
"""


SLOW = """
date +%T.%N; cat /proc/uptime
daxmgrctl status; daxmgrctl region list; daxmgrctl vm list; daxmgrctl workers
journalctl -u daxmgrd -n 12 -o cat
for p in /proc/[0-9]*; do
    case "$(cat $p/comm 2>/dev/null) $(cat $p/wchan)" in
    *__skb_wait_for_more_packets) continue ;;
    daxmgr*|kworker*cxl*|*qemu*) ;;
    *) grep -q '^State:.*D' $p/status 2>/dev/null || continue ;;
    esac
    echo "== ${p##*/} $(cat $p/comm) $(grep State $p/status)"; cat $p/stack
done
"""


class NotAsNew(StepFailed):
    """The cell is over and something of it is left."""


class State:
    """What the kernel and systemd show of a host."""

    def __init__(self, guest, shape: Shape):
        names = " ".join(vm_of(r.name) for r in shape.regions)
        text = guest.channel.must(STATE % (LIST_MOUNTS, names))
        lines = [line.split() for line in text.splitlines() if line]
        self.instances = [line[1] for line in lines if line[0] == "instance"]
        self.strange = [line[0] for line in lines if line[0] in ("kmem", "mounts")]
        self.regions = [(int(line[4]), line[2] == "1", int(line[3]), [int(s, 0) for s in line[5].split(",") if s != "-"])
                        for line in lines if line[0] == "region"]
        self.pids = {line[1]: int(line[2]) for line in lines if line[0] == "vm"}

    def problems(self, shape: Shape):
        """How it differs from what the topology file makes of a host on which all is well."""
        wanted = sorted((self._serials(shape, r), r.bytes) for r in shape.regions)
        seen = sorted((serials, size) for _, committed, size, serials in self.regions if committed)
        if seen != wanted:
            yield f"committed regions (serials, bytes): {seen}, wanted {wanted}"
        if len(self.regions) != len(wanted):
            yield f"{len(self.regions)} region objects, wanted {len(wanted)}"
        if len(self.instances) != len(shape.regions):
            yield f"bound instances: {', '.join(self.instances) or 'none'}, wanted one for each VM"
        for what in self.strange:
            yield {"kmem": "CXL memory became System RAM", "mounts": "mounts changed"}[what]
        for vm, pid in self.pids.items():
            if not pid:
                yield f"{vm} does not run"

    @staticmethod
    def _serials(shape: Shape, region) -> list:
        return [shape.topology.memdev(name).serial for name in region.memdevs]

    def in_order(self, shape: Shape) -> bool:
        """Whether the regions lie as the topology file says; who waits for whom follows from it."""
        seen = [serials for _, _, _, serials in sorted(self.regions)]
        return seen == [self._serials(shape, shape.region(name)) for name in shape.addresses()]


class CellPlay(Play):
    """Like a scenario alone, but the base is played only when the guest is not warm."""

    def __init__(self, session, shape: Shape, cell: Cell, kernel: str, warm: bool):
        self.shape, self.cell, self.warm = shape, cell, warm
        folder = session.keep / cell.loss
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{cell.loss}.toml"
        path.write_text(scenario_text(shape, cell, kernel), encoding="utf-8")
        scenario = scenario_file.parse(path)
        scenario_file.check_against(scenario, session.topology)
        super().__init__(session, scenario)
        self.report |= {"loss": cell.loss, "what": cell.what}
        self.vms = [vm.name for vm in scenario.vms]
        self.before = None
        self.serial_bytes = {}
        self.after_ordered = False
        self.slow = []

    def _prepare(self):
        if not self.warm:
            super()._prepare()
            return
        steps = self.path / "steps"
        steps.mkdir(exist_ok=True)
        self.actions = actions.Actions(self.guest, self.scenario, steps)
        self.report["faults"] = self.actions.faults
        self.marks = Marks(self.guest)

    def _steps(self):
        base = [step for step in self.scenario.steps if step.name in BASE_STEPS]
        own = [step for step in self.scenario.steps if step.name not in BASE_STEPS]
        if not self.warm:
            self._play(base)
            state = State(self.guest, self.shape)
            self._must_be_as_new(state)
            if not state.in_order(self.shape):
                raise StepFailed("regions lie in the order that follows from the topology file", str(state.regions))
        self._cell_begins()
        self._play(own)
        self._judge()

    def _step(self, step, deadline, entry):
        """What the kernel is at when a step takes long: nobody can tell afterwards."""
        timer = threading.Timer(SLOW_SECONDS * factor(), self._slow, [step.name])
        timer.daemon = True
        timer.start()
        try:
            super()._step(step, deadline, entry)
        finally:
            timer.cancel()

    def _slow(self, name: str):
        try:
            text = self.guest.channel.run(SLOW, 30).out
        except LabError as error:
            text = str(error)
        self.slow.append(text)
        (self.path / f"slow-{len(self.slow)}.txt").write_text(f"step: {name}\n{text}", encoding="utf-8")

    def _play(self, steps: list):
        self.scenario.steps = steps
        super()._steps()

    # Before

    def _cell_begins(self):
        self.before = State(self.guest, self.shape)
        self.marks.now("cell")
        self.serial_bytes = {vm: len(self.guest.serial(vm)) for vm in self.vms}
        self.serial_mark = self.marks.journal("cell")
        self.incidents_before = {item["id"] for item in self._incidents()}

    def _incidents(self) -> list:
        return self.guest.varlink("org.daxmgr.Manager.ListIncidents", {"limit": 50})["incidents"]

    # After

    def _judge(self):
        self.report["steps"].append({"name": "judgement", "held": False})
        problems = [*self._ends(), *self._signals(), *self._beats(), *self._zero()]
        if problems:
            raise StepFailed("what must hold in every cell", "; ".join(problems))
        state = State(self.guest, self.shape)
        self._must_be_as_new(state)
        if self.guest.host.plugged != {m.name: m for m in self.guest.host.topology.memdevs if m.present}:
            raise NotAsNew("the memdevs are those of the topology file", str(self.guest.host.plugged))
        self.after_ordered = state.in_order(self.shape)
        self.report |= self._times()
        self.report["steps"][-1]["held"] = True

    def _must_be_as_new(self, state: State):
        problems = list(state.problems(self.shape))
        if problems:
            raise NotAsNew("nothing is left, nothing is missing", "; ".join(problems))

    @property
    def _survivors(self) -> list:
        return [vm for vm in self.vms if vm not in self.cell.victims]

    def _ends(self):
        """Victims end by SIGKILL only, who has to leave in order, nobody else at all."""
        for vm in self.vms:
            exits = [r.fields for r in self.guest.journal.exits(self.guest.vm_unit(vm), self.marks.journal("cell"))]
            if vm in self.cell.victims:
                odd = [f for f in exits if (f.get("EXIT_CODE"), f.get("EXIT_STATUS")) != ("killed", str(SIGKILL))]
                if odd or not exits:
                    yield f"{vm} ended by {[(f.get('EXIT_CODE'), f.get('EXIT_STATUS')) for f in exits] or 'nothing'}"
            elif vm in self.cell.stopped:
                if any(f.get("EXIT_CODE") == "dumped" or f.get("EXIT_STATUS") == str(SIGKILL) for f in exits):
                    yield f"{vm}, who only had to leave, was killed"
            elif exits:
                yield f"{vm}, which survives, ended by {exits[-1].get('EXIT_CODE')} {exits[-1].get('EXIT_STATUS')}"

    def _signals(self):
        """No SIGKILL, SIGSTOP or SIGBUS to a survivor, as the kernel traced it."""
        pids = {self.before.pids[vm]: vm for vm in self._survivors}
        for line in self.guest.trace_live.since(self.marks.guest_ns("cell")):
            match = re.match(r"signal_generate: sig=(\d+) .* pid=(\d+) ", line)
            if match and int(match[2]) in pids:
                yield f"{pids[int(match[2])]} was sent signal {match[1]}"

    def _beats(self):
        """The counters of those who are not concerned never stand still."""
        self.guest.refresh_samples()
        samples, begin = self.guest.samples, self.marks.guest_ns("cell")
        for vm in self._survivors:
            if vm in self.cell.stopped:
                continue
            gap = samples.max_gap_ns(vm, begin)
            if gap is None:
                yield f"{vm}: no counter was read"
            elif gap > MAX_GAP_NS:
                busy = samples.sampler_gap_ns(begin)
                # What the sampler itself missed may be all there is to it: not held, but played once more.
                if busy > BUSY_NS or gap - busy <= MAX_GAP_NS:
                    self.report["again"] = "this machine was too busy"
                yield f"{vm} stood still for {gap / 1e9:.1f} s (the lab's sampler did not run for {busy / 1e9:.1f} s)"

    def _zero(self):
        """Whoever came back found its memory zero, and nobody lives on with memory that was changed."""
        for region in self.shape.regions:
            vm = vm_of(region.name)
            text = self.guest.serial(vm)[self.serial_bytes[vm]:]
            runs = text.split("START")
            if vm in self.cell.victims + self.cell.stopped and len(runs) < 2:
                yield f"{vm} did not start again"
            for run in runs[1:]:
                match = re.search(r"^ZERO (.*)$", run, re.M)
                if match and match[1] != f"ok {self.shape.vm_bytes(region)}" or not match and run is runs[-1]:
                    yield f"{vm}: ZERO {match[1] if match else 'was not printed'}"
            for number, run in enumerate(runs):
                if "CORRUPT" in run and (number == len(runs) - 1 or
                                         run.split("CORRUPT", 1)[1].count("BEAT") > LAST_BEATS):
                    yield f"{vm}: its memory did not keep what was stored"

    # Times

    def _times(self) -> dict:
        """From the kernel's first record of the loss until contained, and from it (or what a person did) until recovered."""
        faults = self.report["faults"]
        t0 = {fault["step"]: self._t0(fault, later) for fault, later in zip(faults, [*faults[1:], None])}
        first = t0[self.cell.losses[0]]
        last = max([t0[self.cell.losses[-1]], *(self.marks.guest_ns(name) for name in self.cell.by_hand)])
        self._in_time(t0[self.cell.losses[-1]])
        new = [item for item in self._incidents() if item["id"] not in self.incidents_before]
        self.report["incidents"] = new
        contained = [item["containedNs"] for item in new if item.get("containedNs")]
        recovered = [item["recoveredNs"] for item in new if item.get("recoveredNs")]
        return {"contain_ms": _ms(min(contained, default=None), first),
                "recover_ms": _ms(max(recovered, default=None), last),
                "incident_units": [f'{item["cause"]} at {item["unit"]}' for item in new]}

    def _in_time(self, second_ns: int):
        """A second loss that came too late says nothing: the cell is played again."""
        notes = [int(r.fields.get("DAXMGR_AT_NS", 0)) for r in self.guest.journal.since(self.marks.journal("cell"))
                 if self.cell.before and r.fields.get("DAXMGR_NOTE") == self.cell.before]
        if notes and min(notes) < second_ns:
            self.report["again"] = f"the second loss came {(second_ns - min(notes)) / 1e6:.0f} ms too late"
            raise StepFailed("the second loss comes in time", self.report["again"])

    def _t0(self, fault: dict, later) -> int:
        """The kernel's first record of a fault, else when it was commanded; what comes after the next fault is not of it."""
        begin = fault["boottime_ns"] - fault["clock_error_ns"]
        end = later["boottime_ns"] if later else self.guest.boottime_ns()
        return next((stamp for stamp, line in self.guest.trace_live.dated_since(begin)
                     if stamp < end and FIRST_SIGNS.match(line)), fault["boottime_ns"])

    # Evidence

    def _collect(self) -> list:
        if not self.report["held"]:
            self._look_for_the_kernels_own_race()
            self.report["account"] = self._account()
        if not self.report["held"] or self.slow:
            return super()._collect()
        self._keep_little()
        return []

    def _look_for_the_kernels_own_race(self):
        """docs/operations.md: an exit against the kernel's unbind; nothing that the manager does could hold after it."""
        if any(KERNELS_OWN_RACE in r.message for r in self.guest.journal.kernel(self.journal_mark)):
            self.report["again"] = f"the kernel oopsed in {KERNELS_OWN_RACE}"

    def _account(self) -> list:
        """What the kernel complained of and what all were at, for those who see the output and not the evidence."""
        lines = [record.message for record in self.guest.journal.bad_kernel_records(self.journal_mark, [])]
        if self.slow:
            lines += self.slow[-1].splitlines()
        return lines[:ACCOUNT_LINES]

    def _keep_little(self):
        """Of a cell that held: the journal and the trace of its time."""
        since = self.marks.guest_ns("cell")
        records = self.guest.journal.since(self.marks.journal("cell"))
        (self.path / "journal.json").write_text("".join(json.dumps(r.fields) + "\n" for r in records), encoding="utf-8")
        lines = self.guest.trace_live.dated_since(since)
        (self.path / "trace.txt").write_text("".join(f"{ns / 1e9:.6f} {text}\n" for ns, text in lines), encoding="utf-8")


def _ms(end, begin):
    return None if end is None else round((end - begin) / 1e6, 1)
