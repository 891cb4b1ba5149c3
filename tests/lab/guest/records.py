# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes trace records, counts them independently of the daemon, and compares with what the daemon has stored.

    begin            counts cxl_poison from now on in a tracefs instance of its own
    poison N         poison at N places of the first memdev; each is a record of its own
    storm N [MS]     reads the poison list N times, with a pause of MS milliseconds; each makes as many records
    killed N TIMES   the same N times over, while the daemon is killed TIMES times at random moments
    sum SECONDS      waits that long at most until stored + counted as lost = produced, and none is there twice

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


def before() -> int:
    with open(START, encoding="ascii") as file:
        return int(file.read())


def stored() -> int:
    return query(f"SELECT coalesce(sum(count), 0) FROM events WHERE kind = 'cxl_poison' AND id > {before()}")


def rows() -> int:
    return query(f"SELECT count(*) FROM events WHERE kind = 'cxl_poison' AND id > {before()}")


def lost() -> int:
    return query(f"SELECT coalesce(sum(lost), 0) FROM events WHERE kind = 'gap' AND id > {before()}")


def twice() -> int:
    return query("SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM events WHERE kind = 'cxl_poison'"
                 f" AND id > {before()} GROUP BY boot_id, cpu, at_ns, raw)")


def begin():
    os.makedirs(COUNTER, exist_ok=True)
    write(COUNTER + "/buffer_size_kb", "512")
    write(COUNTER + "/events/cxl/cxl_poison/enable", "1")
    last = query("SELECT coalesce(max(id), 0) FROM events") if os.path.exists(DATABASE) else 0
    write(START, str(last))


def poison(n: int):
    name = os.path.basename(memdev())
    for i in range(n):
        write(f"/sys/kernel/debug/cxl/{name}/inject_poison", hex(FIRST_DPA + i * SPACING))


def storm(n: int, pause_ms: float = 0):
    trigger = os.open(memdev() + "/trigger_poison_list", os.O_WRONLY)
    for _ in range(n):
        os.pwrite(trigger, b"1", 0)
        if pause_ms:
            time.sleep(pause_ms / 1000)
    os.close(trigger)


def main_pid() -> int:
    done = subprocess.run(["systemctl", "show", "-P", "MainPID", "daxmgrd.service"], capture_output=True, text=True)
    return int(done.stdout.strip() or 0)


def kill_daemon(last: int) -> int:
    """Kills the daemon that came after process `last`, however young it is. Return: its number."""
    for _ in range(400):
        pid = main_pid()
        if pid not in (0, last):
            time.sleep(random.uniform(0, 0.8))
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
            return pid
        time.sleep(0.02)
    sys.exit("the daemon does not come back")


def killed(n: int, times: int):
    done = threading.Event()

    def produce():
        for _ in range(n):
            storm(1)
            time.sleep(random.uniform(0, 2 * times * 0.9 / n))
        done.set()

    producer = threading.Thread(target=produce)
    producer.start()
    kills = last = 0
    while kills < times:
        last = kill_daemon(last)
        kills += 1
        if done.is_set():
            storm(1)  # every kill is among records
    producer.join()
    print(f"killed {kills} times")


def compare(seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        there, kept, gone, double = produced(), stored(), lost(), twice()
        if there == kept + gone and double == 0 or time.monotonic() > end:
            break
        time.sleep(1)
    print(f"produced {there} stored {kept} in {rows()} rows lost {gone} twice {double}")
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
    elif command == "sum":
        return 0 if compare(float(arguments[0])) else 1
    return 0


sys.exit(main())
