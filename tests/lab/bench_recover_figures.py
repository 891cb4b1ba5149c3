# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rounds of `bench recover` say: figures, the arithmetic of the target, and the table."""

from statistics import median

TARGET_MS = 100
MIB = 1 << 20
# What ends when, in order: the product's way through a recovery.
STAGES = (
    ("killed", "last SIGKILL sent", lambda r: r.kill_sent),
    ("gone", "last process gone", lambda r: max(r.exited.values())),
    ("unmapped", "nobody maps the last instance (walk of /proc)", lambda r: r.last("retracting")),
    ("taken_back", "last node taken back", lambda r: r.last("waiting")),
    ("memdev_back", "memdev bound again (the kernel)", lambda r: r.memdev_back),
    ("remake_wanted", "remaking the region wanted (observed, settled)", lambda r: remaking(r).begin),
    ("region_live", "region live", lambda r: r.region_live),
    ("asked", "last launcher has asked", lambda r: max(r.asked.values())),
    ("acquired", "last lease acquired (carved, zeroed, handed over)", lambda r: r.last("acquired")),
    ("attached", "last lease attached (launcher looked at)", lambda r: r.last("attached")),
    ("running", "last QEMU executed", lambda r: r.recovered),
)


def remaking(r):
    """The operation that made the region live."""
    return [o for o in r.operations if o.kind in ("refill-region", "create-region")][-1]


def ms(ns: float) -> float:
    return round(ns / 1e6, 1)


def figure(values) -> dict:
    values = [ms(value) for value in values]
    return {"median": round(median(values), 1), "min": min(values), "max": max(values)}


# The same by hand.
RAW_STAGES = (
    ("killed", "last SIGKILL sent", lambda r: r.kill_sent),
    ("gone", "last process gone", lambda r: r.marks["processes gone"]),
    ("memdev_back", "memdev bound again (the kernel)", lambda r: r.marks["memdev back"]),
    ("committed", "region committed", lambda r: r.marks["region committed"]),
    ("bound", "region bound", lambda r: r.marks["region bound"]),
    ("carved_first", "first instance carved", lambda r: r.marks["carved 1"]),
    ("carved", "last instance carved (kernel_ms, the kernel's own part)", lambda r: r.carved),
    ("restarted", "last launcher executed", lambda r: max(r.restarted.values())),
    ("given", "last node given", lambda r: r.marks["nodes given"]),
    ("running", "last QEMU executed", lambda r: r.recovered),
)


def shown_restart(r) -> int:
    """What the restart of the VMs adds where nothing else goes on: the wait for the last launcher, and its exec."""
    return max(0, max(r.asked.values()) - r.last("acquired")) + r.recovered - r.last("attached")


def restart(r) -> int:
    """From a process gone to its launcher asking again, the longest."""
    return max(r.asked[name] - r.exited[name] for name in r.exited)


def overlapped(r) -> float:
    """When the last instance would be proved zero if one were zeroed while the next is carved."""
    each, done = (r.zero + r.prove) / r.tenants, 0
    for i in range(r.tenants):
        done = max(done, r.marks[f"carved {i + 1}"]) + each
    return done


def raw_restart(r) -> int:
    """From a process gone to its unit's next launcher executed, the longest."""
    return max(r.restarted[name] - r.exited[name] for name in r.exited)


def compute(tenants: int, product: list, raw: list, given_up=()) -> dict:
    """The figures of one number of tenants, all in ms; given_up are rounds of the product that have no like by hand."""
    result = {"tenants": tenants}
    if given_up:
        result |= {"given_up": len(given_up), "given_up_recover_ms": figure([r.recovered for r in given_up])}
    if product:
        result |= {
            "recover_ms": figure([r.recovered for r in product]),
            "contain_ms": figure([r.contained for r in product]),
            "stages": {key: figure([at(r) for r in product]) for key, _, at in STAGES},
            "restart_ms": figure([restart(r) for r in product]),
            "restart_shown_ms": figure([shown_restart(r) for r in product]),
            "way": sorted({remaking(r).kind for r in product}),
        }
    if raw:
        result |= {
            "kernel_ms": figure([r.carved for r in raw]),
            "raw_recover_ms": figure([r.recovered for r in raw]),
            "raw_restart_ms": figure([raw_restart(r) for r in raw]),
            "kernel_stages": {key: figure([at(r) for r in raw]) for key, _, at in RAW_STAGES},
            "zeroing_ms": figure([r.zero + r.prove for r in raw]),
            "verify_ms": figure([r.verify for r in raw]),
            "observe_ms": figure([r.observe for r in raw]),
            "overlapped_ms": figure([overlapped(r) for r in raw]),
            "kernel_way": sorted({"refill-region" if r.refilled else "create-region" for r in raw}),
        }
    result["busy_cpus"] = round(max((r.busy for r in [*product, *raw]), default=0), 2)
    if product and raw:
        result |= judge(result, product)
    return result


def judge(result: dict, product: list) -> dict:
    """
    added_ms is what is judged: both parts of it end with the last QEMU, under the same conditions. The others compare
    with the kernel's own part, which ends before any VM starts.
    """
    kernel, zeroing = result["kernel_ms"]["median"], result["zeroing_ms"]["median"]
    own = median(ms(r.recovered - shown_restart(r)) for r in product)
    added = result["recover_ms"]["median"] - result["raw_recover_ms"]["median"] - zeroing
    return {
        "added_ms": round(added, 1),
        "over_ms": round(result["recover_ms"]["median"] - kernel - zeroing, 1),
        "rest_ms": round(own - kernel - zeroing, 1),
        "rest_overlapped_ms": round(own - result["overlapped_ms"]["median"], 1),
        "target": f"at most {TARGET_MS} ms",
        "met": round(added, 1) <= TARGET_MS,
    }


# --- as people read it ----------------------------------------------------------------------------

def _line(text: str, f: dict) -> str:
    return f'{text:<66}{f["median"]:>8.0f}{f["min"]:>8.0f}{f["max"]:>8.0f}'


def _product_lines(result: dict) -> list:
    lines = [_line("daxmgr: to the last VM on its new lease (recover_ms)", result["recover_ms"])]
    for key, text, _ in STAGES:
        lines.append(_line(f"  {text}", result["stages"][key]))
    lines.append(_line("  contained: no process, no mapping (contain_ms)", result["contain_ms"]))
    lines.append(_line("restart by the launcher: process gone to its asking", result["restart_ms"]))
    lines.append(_line("  of it hidden by nothing, with the launcher's last steps", result["restart_shown_ms"]))
    return lines


def _raw_lines(result: dict) -> list:
    lines = [_line("by hand: to the last VM on its new instance, not zeroed", result["raw_recover_ms"])]
    for key, text, _ in RAW_STAGES:
        lines.append(_line(f"  {text}", result["kernel_stages"][key]))
    return lines + [
        _line("restart by systemd: process gone to launcher executed", result["raw_restart_ms"]),
        _line("zeroing and proof by hand, one instance after another", result["zeroing_ms"]),
        _line("one walk of /proc by hand (who maps an instance)", result["verify_ms"]),
        _line("one observation of the host by hand", result["observe_ms"]),
    ]


def table(result: dict) -> list:
    n = result["tenants"]
    lines = ["", f'{f"{n} tenant" + ("s" if n > 1 else ""):<66}{"median":>8}{"min":>8}{"max":>8}']
    if "recover_ms" in result:
        lines += _product_lines(result)
    if "given_up" in result:
        lines.append(_line(f'not in it: {result["given_up"]} more, whose reset the kernel gave up', result["given_up_recover_ms"]))
    if "kernel_ms" in result:
        lines += _raw_lines(result)
    if "met" in result:
        lines += [
            f'  recover - by hand - zeroing: {result["added_ms"]:.0f} ms; target: {result["target"]}: '
            f'{"met" if result["met"] else "MISSED"}',
            f'  beside the kernel\'s own part only: recover - kernel - zeroing: {result["over_ms"]:.0f} ms; without the '
            f'restart that nothing hides: {result["rest_ms"]:.0f} ms',
            f'  and with zeroing and carving overlapped: {result["rest_overlapped_ms"]:.0f} ms',
        ]
    return lines


LEGEND = """\
By hand is guest/recover-raw.sh, a shell loop that does the whole job: the same VMs in units with the settings of the
product's, which systemd restarts by itself meanwhile, on the same CPUs. They are stopped as soon as the memdev is gone and
killed when the kernel has let go of their instances; when they are gone and the memdev is bound again, the region object
that the kernel kept is refilled (mode, dpa_size, target0, commit, bind; deleted and made anew where the kernel wants
that), then each instance is created, sized, bound (new_id) and its id removed, one after another, and its node given to a
VM. A launcher by hand is a shell that waits for the name of its node; it asks nobody. Nothing is forked in the loop.

The product's VMs are run again by their launchers, which outlive them.

Rounds in which the kernel gave up the slot's reset ("memdev disabled, abort error handling": its own detaching of the
memdev was still pending) are told apart: the product removes the function and finds it anew, the loop cannot.

What is judged is the first difference: both end with the last QEMU executed, so that the restart is in both of them, with
what it takes from everybody else. The kernel's own part ends with the last instance carved, before any VM starts. What is
left beside it, also without the restart that nothing hides (the wait for the last launcher when the memory is ready, and
its exec of QEMU), holds the rest of what the restart costs."""
