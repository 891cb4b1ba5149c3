# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes trace records, counts them independently of the daemon, and compares with what the daemon has stored.

    begin            counts cxl_poison from now on in a tracefs instance of its own; the daemon has to run
    poison N         poison at N places of the first memdev; each is a record of its own
    storm N [MS]     reads the poison list N times, with a pause of MS milliseconds; each makes as many records
    killed N TIMES   the same N times over, while the daemon is killed TIMES times at random moments
    sum SECONDS      waits that long at most until stored + counted as lost = produced, and none is there twice
    end              takes away what begin and poison made

The json and sqlite3 modules are not part of python3-minimal.
"""

import glob
import os
import random
import subprocess
import sys
import threading
import time

COUNTER = "/sys/kernel/tracing/instances/counted"
DATABASE = "/var/lib/daxmgr/state.db"
START = "/run/daxmgr-lab/records-start"
POISONED = "/run/daxmgr-lab/poisoned"    # the lab's own sign that memdevs are not as they were at boot
LAB_ENABLE = "/sys/kernel/tracing/instances/lab*/events/cxl/cxl_poison/enable"
DEBUG = "/sys/kernel/debug/cxl"
MODPROBE = "modprobe@device_dax.service"
SPACING = 0x1000
FIRST_DPA = 0x100000


def memdev() -> str:
    return sorted(glob.glob("/sys/bus/cxl/devices/mem*"), key=lambda path: int(open(path + "/serial").read(), 0))[0]


def write(path: str, text: str):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def produced() -> int:
    total = 0
    for path in glob.glob(COUNTER + "/per_cpu/cpu*/stats"):
        with open(path, encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name in ("entries", "overrun", "commit overrun", "dropped events"):
                    total += int(value)
    return total


def query(sql: str) -> int:
    for _ in range(50):
        done = subprocess.run(["sqlite3", "-readonly", DATABASE, sql], capture_output=True, text=True)
        if done.returncode == 0:
            return int(done.stdout.strip() or 0)
        time.sleep(0.1)
    sys.exit(f"{DATABASE}: {done.stderr.strip()}")


def before() -> list:
    """What there was at the begin: produced, stored, lost, and the newest row."""
    with open(START, encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


# Sums and not rows behind a number: a row from before the begin may have grown since.
def stored() -> int:
    return query("SELECT coalesce(sum(count), 0) FROM events WHERE kind = 'cxl_poison'")


def lost() -> int:
    return query("SELECT coalesce(sum(lost), 0) FROM events WHERE source = 'trace' AND kind = 'gap'")


def rows(last: int) -> int:
    return query(f"SELECT count(*) FROM events WHERE kind = 'cxl_poison' AND id > {last}")


def twice(last: int) -> int:
    return query("SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM events WHERE kind = 'cxl_poison'"
                 f" AND id > {last} GROUP BY boot_id, cpu, at_ns, raw)")


def last_row() -> int:
    return query("SELECT coalesce(max(id), 0) FROM events")


def listen(on: bool):
    """The lab's own trace goes as text to the other end of a slow channel: it is spared a storm."""
    for path in glob.glob(LAB_ENABLE):
        write(path, str(int(on)))


def begin():
    listen(False)
    os.makedirs(COUNTER, exist_ok=True)
    write(COUNTER + "/buffer_size_kb", "512")
    write(COUNTER + "/events/cxl/cxl_poison/enable", "1")
    # What was on its way to the database at that moment is there once nothing moves any more.
    seen = None
    for _ in range(30):
        now = [produced(), stored(), lost()]
        if now == seen:
            break
        seen = now
        time.sleep(1)
    else:
        sys.exit(f"records do not stop to come: {seen}")
    write(START, " ".join(str(value) for value in [*seen, last_row()]))


def poison(n: int):
    name = os.path.basename(memdev())
    write(POISONED, str(n))
    for i in range(n):
        write(f"{DEBUG}/{name}/inject_poison", hex(FIRST_DPA + i * SPACING))


def end():
    name = os.path.basename(memdev())
    if os.path.exists(POISONED):
        with open(POISONED, encoding="ascii") as file:
            n = int(file.read())
        for i in range(n):
            write(f"{DEBUG}/{name}/clear_poison", hex(FIRST_DPA + i * SPACING))
        os.unlink(POISONED)
    os.rmdir(COUNTER)
    os.unlink(START)
    listen(True)


def storm(n: int, pause_ms: float = 0):
    trigger = os.open(memdev() + "/trigger_poison_list", os.O_WRONLY)
    for _ in range(n):
        os.pwrite(trigger, b"1", 0)
        if pause_ms:
            time.sleep(pause_ms / 1000)
    os.close(trigger)


def daemon_state() -> tuple:
    """(number of the main process, whether it is ready)"""
    done = subprocess.run(["systemctl", "show", "-p", "MainPID,ActiveState", "daxmgrd.service"], capture_output=True,
                          text=True)
    said = dict(line.split("=", 1) for line in done.stdout.split() if "=" in line)
    return int(said.get("MainPID", "0")), said.get("ActiveState") == "active"


def wait_daemon(last: int, ready: bool) -> int:
    """Waits for the daemon that came after process `last`, or until that is ready. Return: its number."""
    end_at = time.monotonic() + 60
    while time.monotonic() < end_at:
        pid, is_ready = daemon_state()
        if pid not in (0, last) and (is_ready or not ready):
            return pid
        time.sleep(0.02)
    sys.exit("the daemon does not come back")


class Killer:
    """Daemons die at any moment of their start, where they read what others left, and some once they are ready."""

    READY_EACH = 5          # so that the ring never holds more than some lives' records
    LIFE_MAX = 3.0

    def __init__(self):
        self.kills = 0
        self.start_seconds = 1.0

    def kill(self, last: int) -> int:
        pid = wait_daemon(last, False)
        born = time.monotonic()
        if self.kills % self.READY_EACH == 0:
            pid = wait_daemon(last, True)
            if last:    # the first one has been there for long
                self.start_seconds = min(time.monotonic() - born, self.LIFE_MAX)
            time.sleep(random.uniform(0, 0.5))
        else:
            time.sleep(random.uniform(0, 1.2 * self.start_seconds))
        try:
            os.kill(pid, 9)
            self.kills += 1
        except ProcessLookupError:
            pass    # it was not us who ended it: it counts for nothing
        return pid


def killed(n: int, times: int):
    """Each death has its share of the records, as far as that can be: they come as fast as daemons do."""
    killer, over = Killer(), threading.Event()

    def produce():
        for i in range(n):
            while i * times >= n * (killer.kills + 1) and not over.is_set():
                time.sleep(0.01)
            storm(1)
            if not over.is_set():
                time.sleep(random.uniform(0, 0.2))

    # A restart runs modprobe for a module that is there; under emulation that alone takes longer than a life.
    subprocess.run(["systemctl", "mask", "--runtime", "-q", MODPROBE], check=True)
    producer = threading.Thread(target=produce)
    producer.start()
    last = 0
    try:
        while killer.kills < times:
            last = killer.kill(last)
    finally:
        over.set()
        producer.join()
        subprocess.run(["systemctl", "unmask", "--runtime", "-q", MODPROBE], check=True)
    print(f"killed {killer.kills} times")


def compare(seconds: float) -> bool:
    produced_before, stored_before, lost_before, last = before()
    end_at = time.monotonic() + seconds
    while True:
        there, kept, gone = produced() - produced_before, stored() - stored_before, lost() - lost_before
        double = twice(last)
        if there == kept + gone and double == 0 or time.monotonic() > end_at:
            break
        time.sleep(0.5)
    print(f"produced {there} stored {kept} in {rows(last)} rows lost {gone} twice {double}")
    return there == kept + gone and double == 0


def main() -> int:
    command, *arguments = sys.argv[1:]
    if command == "begin":
        begin()
    elif command == "poison":
        poison(int(arguments[0]))
    elif command == "storm":
        storm(int(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 0)
    elif command == "killed":
        killed(int(arguments[0]), int(arguments[1]))
    elif command == "end":
        end()
    elif command == "sum":
        return 0 if compare(float(arguments[0])) else 1
    return 0


sys.exit(main())
