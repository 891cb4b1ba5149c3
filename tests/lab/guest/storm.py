# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a storm of cxl_poison records and looks for how long those who listen are at it.

Argument, as JSON: triggers (files; a write to each lists its device's poison), writes (how often to all of them), listeners
{name: {pid, cgroup, files}}, quiet and patience in seconds. Prints, as JSON, when the last write had returned, and of each
listener when its files last changed, the CPU that it used and what memory it has; times in seconds after the first write.
"""

import json
import os
import sys
import time

PERIOD = 0.05
IDLE_SHARE = 0.05    # of a CPU: less is housekeeping


def cpu_us(cgroup: str) -> int:
    with open(f"/sys/fs/cgroup{cgroup}/cpu.stat", encoding="ascii") as file:
        return int(file.readline().split()[1])


def changed_ns(files: list) -> int:
    """When one of the files last changed; 0 when none is there."""
    newest = 0
    for path in files:
        try:
            newest = max(newest, os.stat(path).st_mtime_ns)
        except FileNotFoundError:
            pass
    return newest


def memory(pid: int) -> dict:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file if line.startswith(("VmRSS", "VmHWM", "VmLck", "RssAnon")))
    return {key: int(value.split()[0]) * 1024 for key, value in lines.items()}


class Listener:
    def __init__(self, pid: int, cgroup: str, files: list):
        self.pid, self.cgroup, self.files = pid, cgroup, files
        self.before = memory(pid)
        self.cpu_before = self.cpu = cpu_us(cgroup)
        self.changed_before = self.changed = changed_ns(files)
        self.news = time.monotonic()

    def look(self, now: float):
        cpu, changed = cpu_us(self.cgroup), changed_ns(self.files)
        if changed != self.changed or cpu - self.cpu > IDLE_SHARE * PERIOD * 1e6:
            self.news = now
        self.cpu, self.changed = cpu, changed

    def told(self, begin_ns: int) -> dict:
        changed = self.changed != self.changed_before
        return {"last": (self.changed - begin_ns) / 1e9 if changed else None,
                "cpu_us": self.cpu - self.cpu_before, "before": self.before, "after": memory(self.pid)}


def main():
    wanted = json.loads(sys.argv[1])
    listeners = {name: Listener(**one) for name, one in wanted["listeners"].items()}
    triggers = [os.open(path, os.O_WRONLY) for path in wanted["triggers"]]
    begin_ns, begin = time.time_ns(), time.monotonic()
    for _ in range(wanted["writes"]):
        for trigger in triggers:
            os.pwrite(trigger, b"1", 0)
    written = time.monotonic() - begin
    for listener in listeners.values():
        listener.news = time.monotonic()
    while time.monotonic() - begin < wanted["patience"]:
        time.sleep(PERIOD)
        now = time.monotonic()
        for listener in listeners.values():
            listener.look(now)
        if all(now - listener.news > wanted["quiet"] for listener in listeners.values()):
            break
    json.dump({"written": written, "listeners": {name: one.told(begin_ns) for name, one in listeners.items()}}, sys.stdout)


main()
