# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the storms of `bench ingest` say: figures, targets and the table."""

from dataclasses import dataclass, field
from statistics import median

TARGET_RATIO = 50
TARGET_OWN_BYTES = 8 << 20
MIB = 1 << 20
OURS, RASDAEMON, MONITOR = "daxmgrd", "rasdaemon", "cxl monitor"
LISTENERS = (OURS, RASDAEMON, MONITOR)


@dataclass
class Heard:
    """What one listener made of one storm."""
    records: int        # that what it stored stands for
    rows: int           # what it stored them as
    lost: int           # that it says itself were lost
    seconds: float      # from the first write to the last change of its files; None: nothing was stored
    cpu_us: int
    before: dict        # VmRSS, VmLck, … before and after
    after: dict

    def rate(self) -> float:
        return self.records / self.seconds if self.seconds else 0.0


@dataclass
class Storm:
    produced: int
    written: float      # seconds until the last write had returned
    busy: float = 0.0   # CPUs that others took of this machine
    heard: dict = field(default_factory=dict)

    def alone(self) -> bool:
        return len(self.heard) == 1


def _of(name: str, storms: list) -> dict:
    heard = [storm.heard[name] for storm in storms]
    produced = sum(storm.produced for storm in storms)
    return {
        "produced": produced,
        "records": sum(h.records for h in heard),
        "rows": sum(h.rows for h in heard),
        "lost": sum(h.lost for h in heard),
        "all_stored": all(h.records + h.lost == s.produced and not h.lost for h, s in zip(heard, storms)),
        "records_per_second": round(median(h.rate() for h in heard), 1),
        "rows_per_second": round(median(h.rows / h.seconds if h.seconds else 0 for h in heard), 1),
        "seconds": round(median(h.seconds or 0 for h in heard), 3),
        "cpu_us": round(sum(h.cpu_us for h in heard) / max(1, sum(h.records for h in heard)), 1),
        "rss_bytes": max(h.after.get("VmRSS", 0) for h in heard),
        "locked_bytes": max(h.after.get("VmLck", 0) for h in heard),
    }


def compute(storms: list, empty_bytes: int) -> dict:
    """Sums and medians, each listener alone and all together."""
    result = {"alone": {}, "together": {}}
    for name in LISTENERS:
        alone = [s for s in storms if s.alone() and name in s.heard]
        together = [s for s in storms if not s.alone() and name in s.heard]
        if alone:
            result["alone"][name] = _of(name, alone)
        if together:
            result["together"][name] = _of(name, together)
    result["empty_bytes"] = empty_bytes
    for how in ("alone", "together"):
        ours, theirs = result[how].get(OURS), result[how].get(RASDAEMON)
        if ours and theirs and theirs["records_per_second"]:
            result[how]["ratio"] = round(ours["records_per_second"] / theirs["records_per_second"], 1)
    ours = [part[OURS] for part in (result["alone"], result["together"]) if OURS in part]
    if ours:
        result["own_bytes"] = max(one["rss_bytes"] for one in ours) - empty_bytes
        result["all_stored"] = all(one["all_stored"] for one in ours)
    return result


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def table(result: dict) -> list:
    lines = []
    for how in ("alone", "together"):
        if not result[how]:
            continue
        lines.append(f'\n{"each alone" if how == "alone" else "all together":14}{"records/s":>12}{"rows/s":>10}{"seconds":>9}'
                     f'{"us CPU each":>13}{"RSS MiB":>9}   produced = stored (rows) + lost')
        for name in LISTENERS:
            one = result[how].get(name)
            if not one:
                continue
            missing = one["produced"] - one["records"] - one["lost"]
            lines.append(f'{name:14}{one["records_per_second"]:12.0f}{one["rows_per_second"]:10.0f}{one["seconds"]:9.2f}'
                         f'{one["cpu_us"]:13.1f}{one["rss_bytes"] / MIB:9.1f}   {one["produced"]} = {one["records"]} '
                         f'({one["rows"]}) + {one["lost"]}' + (f", {missing} missing" if missing else ""))
        if "ratio" in result[how]:
            ratio = result[how]["ratio"]
            lines.append(f"  {ratio:.1f} x rasdaemon; target at least {TARGET_RATIO} x: {_verdict(ratio >= TARGET_RATIO)}")
    if "own_bytes" in result:
        lines.append(f'\n  all records stored: {_verdict(result["all_stored"])}')
        lines.append(f'  memory: {(result["own_bytes"] + result["empty_bytes"]) / MIB:.1f} MiB locked, an empty program with the '
                     f'same libraries {result["empty_bytes"] / MIB:.1f} MiB; own part {result["own_bytes"] / MIB:.1f} MiB; '
                     f'target at most {TARGET_OWN_BYTES / MIB:.0f} MiB: {_verdict(result["own_bytes"] <= TARGET_OWN_BYTES)}')
    return lines


LEGEND = """\
records/s: from the first write to the moment when the listener's files last changed, as file times tell; nobody reads them
           meanwhile. A record counts as stored only if rows account for it: a row that stands for several says how many.
us CPU:    of the listener's control group, workers too, divided by the records stored."""
