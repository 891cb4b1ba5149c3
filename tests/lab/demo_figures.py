# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's figures, each computed from the evidence alone."""

from .demo_evidence import DemoEvidence, Injected

UNIT_OF_DEATH = ("killed", "dumped")
SIGKILL = 9
SIGSTOP = 19
# A unit's exit record comes after the process is gone; its supervisor may be busy.
RECORD_SLACK_NS = 2_000_000_000


def ms(ns):
    return None if ns is None else round(ns / 1e6, 3)


def first_record(e: DemoEvidence, f: Injected) -> tuple:
    """(time, source) of the first thing the kernel said about a fault."""
    wanted = "aer_event" if f.plan.kind == "surprise down" else "pci_hp_event"
    found = [(r.ns, f"kernel timestamp of {r.event} in the lab's trace") for r in e.trace
             if r.event == wanted and f.inject_ns - f.clock_error_ns <= r.ns <= f.window_end_ns]
    if f.plan.kind != "surprise down":
        found += [(ns, "uevent as read by daxmgrd (the kernel gives it no timestamp)") for ns, _ in e.uevents
                  if f.inject_ns <= ns <= f.window_end_ns]
        found += [(r.ns, f"kernel timestamp of {r.event} in the lab's trace") for r in e.trace
                  if r.event.startswith("cxl_") and f.inject_ns <= r.ns <= f.window_end_ns]
    return min(found, default=(None, "no record was found"))


def sent_at(e: DemoEvidence, f: Injected, vm: str, signals=(SIGKILL,)) -> tuple:
    """(time, sender) of the first of these signals to the process that a VM had before the fault."""
    pid = f.before.vms[vm].pid
    for r in e.trace:
        if (r.event == "signal_generate" and r.number("sig") in signals and r.number("pid") == pid
                and f.inject_ns <= r.ns <= f.window_end_ns):
            return r.ns, r.task
    return None, ""


def exited_at(e: DemoEvidence, f: Injected, vm: str, since: int):
    """When the last thread of that process ended."""
    tasks = {*f.before.vms[vm].tasks, f.before.vms[vm].pid}
    ends = {}
    for r in e.trace:
        if r.event == "sched_process_exit" and r.number("pid") in tasks and since <= r.ns <= f.window_end_ns:
            ends.setdefault(r.number("pid"), r.ns)
    return max(ends.values()) if f.before.vms[vm].pid in ends else None


def exit_signal(e: DemoEvidence, f: Injected, vm: str):
    """The signal in the record of the process's end, or None when it did not end by one."""
    for record in e.exits(vm, f.inject_ns, f.window_end_ns):
        if record.fields.get("EXIT_CODE") in UNIT_OF_DEATH:
            return int(record.fields["EXIT_STATUS"])
    return None


def victim(e: DemoEvidence, f: Injected, vm: str, t0) -> dict:
    sent, sender = sent_at(e, f, vm)
    stopped, _ = sent_at(e, f, vm, (SIGSTOP, SIGKILL))
    exited = exited_at(e, f, vm, f.inject_ns)
    base = t0 or f.inject_ns
    return {"name": vm, "signal": exit_signal(e, f, vm), "sent_by": sender,
            "stopped_at_ms": ms(stopped and stopped - base), "sent_at_ms": ms(sent and sent - base), "exited_at_ms": ms(exited and exited - base)}


def note_after(e: DemoEvidence, f: Injected, kind: str, since: int):
    return next((at for at, note, _ in e.notes if note == kind and since <= at <= f.window_end_ns), None)


def contained_at(e: DemoEvidence, f: Injected, t0):
    """Last victim gone by the kernel's trace, and no mapping left by the walk over /proc that daxmgrd reports."""
    exits = [exited_at(e, f, vm, f.inject_ns) for vm in f.plan.victims]
    verified = note_after(e, f, "contained", t0 or f.inject_ns)
    return None if verified is None or None in exits else max([verified, *exits])


def back_at(e: DemoEvidence, f: Injected, vm: str):
    """When a victim's launcher, attached to its new lease, became QEMU."""
    pid = f.after.vms[vm].pid
    return next((r.ns for r in e.trace if r.event == "sched_process_exec" and r.number("pid") == pid
                 and "qemu-system" in r.word("filename") and f.inject_ns <= r.ns <= f.window_end_ns), None)


def survivor_windows(e: DemoEvidence, f: Injected) -> dict:
    """Over which time each survivor has to beat: from the end of the fault before, until it is stopped on purpose."""
    windows = {}
    for vm in f.plan.survivors:
        end = f.window_end_ns
        if vm in f.plan.hand_vms and f.hand_ns:
            end = f.hand_ns
        windows[vm] = (f.window_begin_ns, end)
    return windows


def survivor_gaps(e: DemoEvidence, f: Injected) -> dict:
    """The longest time in which a survivor's counter did not rise, in ns; None without two samples."""
    return {vm: e.samples.max_gap_ns(vm, begin, end) for vm, (begin, end) in survivor_windows(e, f).items()}


def lab_gap(e: DemoEvidence, f: Injected) -> int:
    """The longest time in which the lab's own sampler, of higher priority than everything else, did not run, in ns."""
    stamps = sorted({s.boottime_ns for vm in e.vms for s in e.samples.of(vm["name"], f.window_begin_ns,
                                                                        f.window_end_ns)})
    return max((b - a for a, b in zip(stamps, stamps[1:])), default=0)


def killed(e: DemoEvidence, f: Injected) -> list:
    """All VMs whose process ended by a signal, whoever sent it, as its supervisor recorded it."""
    return [vm["name"] for vm in e.vms if exit_signal(e, f, vm["name"]) is not None]


def fault_figures(e: DemoEvidence, f: Injected) -> dict:
    t0, source = first_record(e, f)
    contained = contained_at(e, f, t0)
    back = [back_at(e, f, vm) for vm in f.plan.victims]
    gaps = [gap for gap in survivor_gaps(e, f).values() if gap is not None]
    return {
        "kind": f.plan.kind, "unit": f.plan.unit, "domain": f.plan.domain,
        "t0_source": source,
        "victims": [victim(e, f, vm, t0) for vm in f.plan.victims],
        "killed": killed(e, f), "survivors": f.plan.survivors,
        "survivor_max_gap_ms": ms(max(gaps)) if gaps else None,
        "inject_to_record_ms": ms(t0 and t0 - f.inject_ns),
        "contain_ms": ms(contained and t0 and contained - t0),
        "recover_ms": ms(max(back) - t0) if t0 and None not in back else None,
        "waited_for": hand_text(f),
        "waited_until_ms": ms(f.hand_ns - t0) if t0 and f.hand_ns else None,
        "capacity_before_bytes": f.before.capacity(), "capacity_after_bytes": f.after.capacity(),
        "timeline": timeline(e, f, t0 or f.inject_ns),
    }


def hand_text(f: Injected):
    """What a person did in between, as part of the demo; None where nobody had to."""
    return f.plan.hand_step.split(": ", 1)[1] if f.hand_ns else None


def timeline(e: DemoEvidence, f: Injected, t0: int) -> list:
    """Everything said about a fault by the lab, the kernel, the supervisors of VMs and daxmgrd, in order."""
    def inside(ns):
        return f.inject_ns <= ns <= f.window_end_ns
    entries = [(f.inject_ns, "lab", f"{f.plan.title} injected")]
    if f.hand_ns:
        entries.append((f.hand_ns, "lab", hand_text(f)))
    entries += [(r.ns, "kernel", text) for r in e.trace if inside(r.ns) and (text := trace_text(e, f, r))]
    entries += [(at, "daxmgrd", text) for at, _, text in e.notes if inside(at)]
    for vm in e.vms:
        for r in e.exits(vm["name"], f.inject_ns, f.window_end_ns):
            entries.append((r.boottime_ns, "supervisor",
                            f'{vm["name"]}: main process {r.fields.get("EXIT_CODE")}, '
                            f'status {r.fields.get("EXIT_STATUS")}'))
    entries.sort(key=lambda entry: entry[0])
    return [{"at_ms": ms(ns - t0), "source": source, "text": text} for ns, source, text in entries]


def trace_text(e: DemoEvidence, f: Injected, r):
    """What a trace record means for people; None for what does not concern the fault."""
    names = {state.pid: vm for moment in (f.before, f.after) for vm, state in moment.vms.items() if state.pid}
    name = names.get(r.number("pid"))
    if r.event in ("aer_event", "pci_hp_event"):
        return f"{r.event} {r.text}"
    if r.event == "signal_generate" and name:
        return f'signal {r.number("sig")} to {name} (process {r.number("pid")}) from {r.task}'
    if r.event == "sched_process_exit" and name:
        return f'{name}: process {r.number("pid")} ends'
    if r.event == "sched_process_exec" and name and "qemu-system" in r.word("filename"):
        return f'{name}: QEMU runs as process {r.number("pid")}'
    return None


def boot_seconds(e: DemoEvidence) -> float:
    return round((e.record["boot"]["ready_host_ns"] - e.record["boot"]["started_host_ns"]) / 1e9, 3)


def accelerators(e: DemoEvidence) -> dict:
    """What executed each VM, as its payload found out."""
    found = {}
    for vm in e.vms:
        words = [line.split()[1] for line in e.serial(vm["name"]).splitlines() if line.startswith("ACCEL ")]
        found[vm["name"]] = words[-1] if words else None
    return found


def compute(e: DemoEvidence) -> dict:
    """All that is said in out.json but the verdicts."""
    faults = [fault_figures(e, f) for f in e.faults]
    gaps = [f["survivor_max_gap_ms"] for f in faults if f["survivor_max_gap_ms"] is not None]
    return {
        "kernel": e.record["kernel"], "topology": e.record["topology"], "accelerator": accelerators(e),
        "faults": faults,
        "summary": {
            "faults": len(faults), "kills": sum(len(f["killed"]) for f in faults),
            "survivor_max_gap_ms": max(gaps) if gaps else None,
            "capacity_before_bytes": faults[0]["capacity_before_bytes"] if faults else None,
            "capacity_after_bytes": faults[-1]["capacity_after_bytes"] if faults else None,
            "reboot_instead": {
                "vms_down": len(e.vms),
                "measured_guest_boot_s": boot_seconds(e),
                "what": "measured: power-on of this guest until its first command ran; no VM runs before that",
            },
        },
    }
