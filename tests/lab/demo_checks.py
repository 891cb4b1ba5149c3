# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the demo must show. Each check has a short name and is a function of the evidence alone."""

import json
import re
from dataclasses import asdict, dataclass

from . import demo_figures as figures
from .demo_evidence import DemoEvidence

MAX_GAP_NS = 2_000_000_000
DAEMON = "daxmgrd"
LAST_BEATS = 5  # of 200 ms each


@dataclass
class Verdict:
    name: str
    says: str
    held: bool
    problems: list

    def describe(self) -> dict:
        return asdict(self)


def _where(f) -> str:
    return f"fault {f.plan.number}"


def played(e: DemoEvidence):
    """all steps were played and each one's own expectations held"""
    if e.record["broken"]:
        broken = e.record["broken"]
        seen = " ".join(str(broken["last_seen"]).split())[:200]
        yield f'step "{broken["step"]}": {broken["expectation"]} (last seen: {seen})'
    if len(e.faults) < len(e.record["plan"]):
        yield f'{len(e.faults)} of {len(e.record["plan"])} faults were injected'


def victims_signal(e: DemoEvidence):
    """every victim's QEMU ended by signal 9, as its supervisor (launcher or systemd) recorded it"""
    for f in e.faults:
        for vm in f.plan.victims:
            signal = figures.exit_signal(e, f, vm)
            if signal != figures.SIGKILL:
                how = "its process did not end by a signal" if signal is None else f"signal {signal}"
                yield f"{_where(f)}: {vm}: {how}"


def killed_by_daemon(e: DemoEvidence):
    """every victim's SIGKILL was sent by daxmgrd, as the kernel traced it"""
    for f in e.faults:
        for vm in f.plan.victims:
            ns, task = figures.sent_at(e, f, vm)
            if ns is None:
                yield f"{_where(f)}: {vm}: no SIGKILL was traced"
            elif task != DAEMON:
                yield f"{_where(f)}: {vm}: SIGKILL came from {task}"


def nobody_else(e: DemoEvidence):
    """no other VM was sent SIGKILL, SIGSTOP or SIGBUS"""
    for f in e.faults:
        pids = {f.before.vms[vm].pid: vm for vm in f.plan.survivors}
        for r in e.trace:
            if r.event == "signal_generate" and r.number("pid") in pids and \
                    f.window_begin_ns <= r.ns <= f.window_end_ns:
                yield f'{_where(f)}: {pids[r.number("pid")]} was sent signal {r.number("sig")} by {r.task}'


def survivors_beat(e: DemoEvidence):
    """every survivor's counter rises between every two points 2 s apart, and its memory keeps what was stored"""
    for f in e.faults:
        for vm, gap in figures.survivor_gaps(e, f).items():
            if gap is None:
                yield f"{_where(f)}: {vm}: no counter was read"
            elif gap > MAX_GAP_NS:
                busy = figures.lab_gap(e, f)
                why = "" if busy < MAX_GAP_NS / 2 else \
                    f" (the lab's own sampler did not run for {busy / 1e9:.1f} s: this machine is too busy)"
                yield f"{_where(f)}: {vm}: stood still for {gap / 1e9:.1f} s{why}"
    for vm in e.vms:
        if _kept_beating_on_bad_memory(e.serial(vm["name"])):
            yield f'{vm["name"]}: its memory did not keep what was stored'


def _kept_beating_on_bad_memory(serial: str) -> bool:
    """A victim may see its memory go between the fault and its end; nobody may see that and live on."""
    runs = serial.split("START")[1:]
    bad = [(number, run) for number, run in enumerate(runs, 1) if "CORRUPT" in run]
    return any(number == len(runs) or run.split("CORRUPT", 1)[1].count("BEAT") > LAST_BEATS for number, run in bad)


def victims_back(e: DemoEvidence):
    """every killed VM beats again, as a new process on a new device node"""
    for f in e.faults:
        for vm in f.plan.victims:
            before, after = f.before.vms[vm], f.after.vms[vm]
            if not after.running or after.pid == before.pid:
                yield f"{_where(f)}: {vm} does not run again"
            elif not after.node or after.node.split()[1] == before.node.split()[1]:
                yield f"{_where(f)}: {vm} runs on the old device node ({after.node or 'none'})"
            elif not _beats_since(e, f, vm):
                yield f"{_where(f)}: {vm} runs again but its counter does not rise"


def _beats_since(e: DemoEvidence, f, vm: str) -> bool:
    back = figures.back_at(e, f, vm)
    samples = [] if back is None else e.samples.of(vm, back, f.window_end_ns)
    return any(a.counter < b.counter for a, b in zip(samples, samples[1:]))


def zero_at_hand_over(e: DemoEvidence):
    """each time a VM got memory, its payload found every byte zero"""
    for vm in e.vms:
        runs = e.serial(vm["name"]).split("START")[1:]
        if not runs:
            yield f'{vm["name"]}: its payload never started'
        for number, text in enumerate(runs, 1):
            match = re.search(r"^ZERO (.*)$", text, re.M)
            if not match or match[1] != f'ok {vm["size"]}':
                yield f'{vm["name"]}, run {number}: ZERO {match[1] if match else "was not printed"}'


def domain_healthy(e: DemoEvidence):
    """after each fault daxmgrd says that its domain is healthy and the incident recovered"""
    for f in e.faults:
        t0, _ = figures.first_record(e, f)
        since = t0 or f.inject_ns
        if figures.note_after(e, f, "recovered", since) is None:
            yield f"{_where(f)}: the incident was not closed"
        states = [text for at, _, text in e.notes
                  if text.startswith("domain ") and since <= at <= f.window_end_ns]
        last = {text.split()[1]: text for text in states}
        for text in last.values():
            if "-> healthy" not in text:
                yield f"{_where(f)}: {text}"
        if not states:
            yield f"{_where(f)}: no change of a domain was recorded"


def capacity_back(e: DemoEvidence):
    """the host's address map holds as much live CXL memory after each fault as before"""
    for f in e.faults:
        before, after = f.before.capacity(), f.after.capacity()
        if before != after or not before:
            yield f"{_where(f)}: {before} bytes before, {after} after"


def waiting_shown(e: DemoEvidence):
    """what has to wait for tenants above it is shown as waiting, with their names"""
    for f in e.faults:
        if not f.plan.hand_vms:
            continue
        reasons = []
        for step in e.record["steps"]:
            output = e.step_output(step["name"]) if step["name"].startswith(f"{f.plan.step.split(':')[0]}:") else ""
            if output.startswith("{"):
                reasons += [d.get("reason", "") for d in json.loads(output).get("domains", [])
                            if d["state"] == "waiting"]
        for vm in f.plan.hand_vms:
            if not any(re.search(rf"\b{vm}\b", reason.split(":")[-1]) for reason in reasons):
                yield f"{_where(f)}: {vm} was not named (shown: {reasons or 'nothing'})"


def never_system_ram(e: DemoEvidence):
    """no CXL memory ever became System RAM"""
    for name in e.moments():
        for line in e.moment(name).system_ram_in_cxl():
            yield f"{name}: {line}"


def nothing_left(e: DemoEvidence):
    """when all is over: the configured regions, no instance, mapping, process, mount or stale region"""
    if "end" not in e.moments():
        yield "the end was not reached"
        return
    end = e.moment("end")
    live = end.live_regions()
    if len(live) != len(e.record["regions"]):
        yield f'{len(live)} regions live, {len(e.record["regions"])} are configured'
    stale = sorted(set(end.regions) - set(live))
    if stale:
        yield f"stale regions: {', '.join(stale)}"
    if end.bound_instances():
        yield f"instances: {', '.join(end.bound_instances())}"
    if end.mappers:
        yield f"mappings: {', '.join(end.mappers)}"
    if end.new_mounts:
        yield f"mounts: {end.new_mounts}"
    running = [name for name, vm in end.vms.items() if vm.pid]
    if running:
        yield f"processes: {', '.join(running)}"


def kernel_log_clean(e: DemoEvidence):
    """no warning, oops or call trace in the guest's kernel log"""
    for record in e.journal.bad_kernel_records(0, e.record["allow_kernel"]):
        yield record.message


CHECKS = {
    "played-to-the-end": played,
    "victims-signal-9": victims_signal,
    "killed-by-daxmgrd": killed_by_daemon,
    "nobody-else-signalled": nobody_else,
    "survivors-beat": survivors_beat,
    "victims-back": victims_back,
    "zero-at-hand-over": zero_at_hand_over,
    "domain-healthy": domain_healthy,
    "capacity-back": capacity_back,
    "waiting-shown": waiting_shown,
    "never-system-ram": never_system_ram,
    "nothing-left": nothing_left,
    "kernel-log-clean": kernel_log_clean,
}


def applies(e: DemoEvidence, name: str) -> bool:
    """Whether a run had what a check is about: a control plays only a part of the demo."""
    if name == "nothing-left":
        return not e.record["control"]
    if name == "waiting-shown":
        return any(f.plan.hand_vms for f in e.faults) or not e.record["control"]
    return bool(e.faults) or not e.record["control"] or name in ("played-to-the-end", "zero-at-hand-over",
                                                                 "never-system-ram", "kernel-log-clean")


def judge(e: DemoEvidence) -> list:
    """A verdict for every check that applies."""
    verdicts = []
    for name, check in CHECKS.items():
        if applies(e, name):
            problems = list(check(e))
            verdicts.append(Verdict(name, check.__doc__, not problems, problems))
    return verdicts
