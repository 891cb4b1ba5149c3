# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who listens in `bench ingest`: each is started, watched, asked what it stored, and stopped."""

import time

from .errors import LabError
from .guest import DAEMON

READY_SECONDS = 30
ENABLED = "cxl/cxl_poison/enable"


def wait_until(what: str, look, seconds: float = READY_SECONDS):
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


class Listener:
    unit = ""
    files = ()

    def __init__(self, guest):
        self.guest = guest

    def start(self):
        raise NotImplementedError

    def stop(self):
        self.guest.channel.must(["systemctl", "stop", self.unit])

    def count(self) -> tuple:
        """(records, rows, lost) of the storm since start()"""
        raise NotImplementedError

    def describe(self) -> dict:
        """For guest/storm.py."""
        return {"pid": self.guest.main_pid(self.unit), "files": list(self.files),
                "cgroup": self.guest.unit_property(self.unit, "ControlGroup")}

    def _listening(self, instances: str):
        """Until the unit's tracefs instance has the event enabled."""
        command = f"cat /sys/kernel/tracing/{instances}/events/{ENABLED} | grep -q 1"
        wait_until(f"{self.unit} listens", lambda: self.guest.channel.run(command).rc == 0)


class Rasdaemon(Listener):
    unit = "bench-rasdaemon.service"
    database = "/var/lib/rasdaemon/ras-mc_event.db"
    files = (database, f"{database}-journal", f"{database}-wal")

    def start(self):
        self.guest.channel.must(f"mkdir -p /var/lib/rasdaemon; rm -f {self.database}*; "
                                f"systemd-run -q --unit={self.unit} /usr/sbin/rasdaemon -f -r")
        self._listening("instances/rasdaemon")
        wait_until("rasdaemon's database", lambda: self.guest.file_info(self.database) is not None)
        time.sleep(1)

    def count(self) -> tuple:
        out = self.guest.channel.must(["sqlite3", self.database, "select count(*) from cxl_poison_event"])
        return int(out), int(out), 0


class CxlMonitor(Listener):
    unit = "bench-cxl-monitor.service"
    log = "/var/log/bench-cxl-monitor.json"
    files = (log,)

    def start(self):
        self.guest.channel.must(f"rm -f {self.log}; systemd-run -q --unit={self.unit} /usr/bin/cxl monitor -l {self.log}")
        self._listening("instances/cxl*")
        time.sleep(1)

    def count(self) -> tuple:
        out = self.guest.channel.run(f"grep -o '\"event\":\"cxl_poison\"' {self.log} | wc -l").out
        return int(out), int(out), 0


class Daxmgrd(Listener):
    unit = DAEMON
    database = "/var/lib/daxmgr/state.db"
    files = (f"{database}-wal",)    # what a checkpoint copies into the database was durable before

    def __init__(self, guest, regions: int):
        super().__init__(guest)
        self.regions = regions
        self._before = (0, 0, 0)

    def _ready(self) -> bool:
        try:
            listed = self.guest.varlink("org.daxmgr.Manager.ListRegions", {})["regions"]
        except (LabError, OSError):
            return False
        return [region["state"] for region in listed] == ["live"] * self.regions

    def start(self):
        self.guest.daemon("start")
        wait_until("regions live", self._ready, 90)
        self._listening("instances/daxmgr")
        time.sleep(2)
        self._before = self._counted()

    def _counted(self) -> tuple:
        query = ("select coalesce(sum(count) filter (where kind <> 'gap'), 0), count(*) filter (where kind <> 'gap'), "
                 "coalesce(sum(lost), 0) from events where source = 'trace' and kind in ('cxl_poison', 'gap')")
        return tuple(int(word) for word in self.guest.channel.must(["sqlite3", self.database, query]).split("|"))

    def count(self) -> tuple:
        return tuple(after - before for after, before in zip(self._counted(), self._before))
