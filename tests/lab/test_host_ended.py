# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is said of an emulated host that vanishes, whoever notices it first."""

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from . import topology
from .channel import Channel
from .errors import HostEnded
from .qemu import Host
from .qmp import Qmp

HERE = Path(__file__).parent


class FakeQemu:
    """Listens where QEMU would, answers its QMP client, and goes when it is told to."""

    def __init__(self, folder: Path, name: str, greeting: bytes = b""):
        self._greeting = greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / name))
        self._listener.listen()
        self._connection = None
        self._accepted = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        self._connection, _ = self._listener.accept()
        self._connection.sendall(self._greeting)
        self._accepted.set()
        for line in self._connection.makefile("rb"):
            if b"qmp_capabilities" in line:
                self._connection.sendall(json.dumps({"return": {}, "id": json.loads(line)["id"]}).encode() + b"\n")

    def end(self, reason: str = ""):
        self._accepted.wait(10)
        if reason:
            event = {"event": "SHUTDOWN", "data": {"guest": True, "reason": reason}}
            self._connection.sendall(json.dumps(event).encode() + b"\n")
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._connection.close()
        self._listener.close()


class VanishedTest(unittest.TestCase):
    def setUp(self):
        self.path = Path(tempfile.mkdtemp(prefix="daxmgr-vanished-"))
        self.addCleanup(shutil.rmtree, self.path)
        self.host = Host(topology.parse(HERE / "topologies" / "pass-through.toml"), self.path, self.path, self.path, self.path)
        (self.path / "console.log").touch()
        self.qemu = FakeQemu(self.path, "qmp", b'{"QMP": {}}\n')
        self.addCleanup(self.qemu.close)
        self.host.qmp = Qmp(self.host.socket("qmp"), time.monotonic() + 10, self.host.check_alive, self.host.explain_end)
        self.addCleanup(self.host.qmp.close)

    def ends(self, reason: str):
        """The connection is closed a little before the process ends."""
        self.host.child = subprocess.Popen(["sleep", "0.1"])
        self.addCleanup(self.host.child.wait)
        self.qemu.end(reason)

    def test_a_reset_is_named(self):
        self.ends("guest-reset")
        with self.assertRaisesRegex(HostEnded, r"^the emulated host reset itself \(guest-reset\): .* code 0"):
            self.host.qmp.execute("query-status", timeout=10)
        with self.assertRaisesRegex(HostEnded, "reset itself"):
            self.host.check_alive()

    def test_a_triple_fault_is_told_from_other_resets(self):
        (self.path / "qemu-resets.txt").write_text("CPU Reset (CPU 0)\nTriple fault\n", encoding="ascii")
        self.ends("guest-reset")
        with self.assertRaisesRegex(HostEnded, r"\(guest-reset, a triple fault\)"):
            self.host.qmp.execute("query-status", timeout=10)

    def test_the_channel_says_it_too(self):
        channel_end = FakeQemu(self.path, "channel")
        self.addCleanup(channel_end.close)
        channel = Channel(self.host.socket("channel"), None, None, self.host.explain_end)
        self.addCleanup(channel.close)
        channel_end.end()
        self.ends("guest-reset")
        with self.assertRaisesRegex(HostEnded, "reset itself"):
            channel.must("true")

    def test_no_reason_known(self):
        self.ends("")
        with self.assertRaisesRegex(HostEnded, "^the guest's QEMU ended with code 0"):
            self.host.qmp.execute("query-status", timeout=10)


if __name__ == "__main__":
    unittest.main()
