# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's result as people read it."""

MIB = 1 << 20


def _ms(value, digits: int = 1) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.1f} s" if value >= 2_000 else f"{value:.{digits}f} ms"


def _mib(count) -> str:
    return "-" if count is None else f"{count // MIB} MiB"


def _table(rows: list) -> list:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _killed(fault: dict) -> str:
    parts = []
    for victim in fault["victims"]:
        signal = f'signal {victim["signal"]}' if victim["signal"] is not None else "not killed"
        parts.append(f'{victim["name"]} ({signal})')
    return ", ".join(parts)


def _recovered(fault: dict) -> str:
    text = _ms(fault["recover_ms"])
    if fault["waited_until_ms"] is not None:
        text += f' ({_ms(fault["waited_until_ms"])} of it until "{fault["waited_for"]}")'
    return text


def _last(fault: dict, what: str) -> str:
    times = [v[what] for v in fault["victims"] if v[what] is not None]
    return _ms(max(times)) if times else "-"


def summary(result: dict) -> list:
    """Lines of the summary."""
    rows = [["fault", "killed", "untouched (largest gap)", "record -> last stopped", "last SIGKILL", "contained",
             "recovered", "capacity before -> after"]]
    for fault in result["faults"]:
        rows.append([
            f'{fault["kind"]} {fault["unit"]}', _killed(fault),
            f'{", ".join(fault["survivors"])} ({_ms(fault["survivor_max_gap_ms"], 0)})',
            _last(fault, "stopped_at_ms"), _last(fault, "sent_at_ms"),
            _ms(fault["contain_ms"]), _recovered(fault),
            f'{_mib(fault["capacity_before_bytes"])} -> {_mib(fault["capacity_after_bytes"])}'])
    reboot = result["summary"]["reboot_instead"]
    return [
        f'Kernel {result["kernel"]}, VMs under '
        f'{", ".join(sorted({str(word) for word in result["accelerator"].values()}))}', "",
        *_table(rows), "",
        "Times are from the kernel's first record of the fault. Stopped: it runs no more; SIGKILL follows when the kernel has",
        "taken its memory away. A survivor's gap is the longest time in which its counter did not rise; it prints every",
        "200 ms and is read every 100 ms.",
        f'A reboot instead, each time: all {reboot["vms_down"]} VMs down for at least '
        f'{reboot["measured_guest_boot_s"]:.1f} s (boot time of this guest, measured).',
    ]


def verdicts(judged: list) -> list:
    lines = []
    for verdict in judged:
        lines.append(f'{"held  " if verdict.held else "BROKEN"}  {verdict.name:22} {verdict.says}')
        lines += [f"          - {problem}" for problem in verdict.problems[:12]]
        if len(verdict.problems) > 12:
            lines.append(f"          - and {len(verdict.problems) - 12} more")
    return lines
