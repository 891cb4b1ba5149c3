# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QMP client: commands from any thread, events kept with the host time of their arrival."""

import json
import socket
import threading
import time

from .errors import LabError


class QmpError(LabError):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, path: str, deadline: float, alive=lambda: None, explain=lambda: None):
        """
        Connects until the deadline; alive() may raise to end the waiting early. When QEMU has closed the connection,
        explain() may raise what is known of its end.
        """
        self._explain = explain
        self._socket = _connect(path, deadline, alive)
        self._file = self._socket.makefile("rb")
        self._changed = threading.Condition()
        self._replies = {}
        self._next_id = 0
        self._closed = False
        self.events = []
        json.loads(self._file.readline())
        threading.Thread(target=self._read, name="qmp", daemon=True).start()
        self.execute("qmp_capabilities")

    def _read(self):
        try:
            for line in self._file:
                self._sort(json.loads(line), time.monotonic_ns())
        except (OSError, ValueError):
            pass
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _sort(self, message: dict, now: int):
        with self._changed:
            if "event" in message:
                message["host_ns"] = now
                self.events.append(message)
            else:
                self._replies[message.get("id")] = message
            self._changed.notify_all()

    def execute(self, command: str, arguments=None, timeout: float = 30):
        """Runs one command and returns its value; a refusal is a QmpError in QEMU's own words."""
        try:
            reply = self._ask({"execute": command} | ({"arguments": arguments} if arguments else {}), timeout)
        except OSError as error:
            self._explain()
            raise LabError(f"QEMU is gone ({command}: {error.strerror})") from error
        if reply is None:
            if self._closed:
                self._explain()
            raise LabError(f"QEMU did not answer {command}" + (": it is gone" if self._closed else ""))
        if "error" in reply:
            raise QmpError(f'{command}: {reply["error"]["desc"]}')
        return reply["return"]

    def _ask(self, request: dict, timeout: float):
        """The answer, or None when none comes."""
        with self._changed:
            self._next_id += 1
            ident = self._next_id
            self._socket.sendall(json.dumps(request | {"id": ident}).encode() + b"\n")
            self._changed.wait_for(lambda: ident in self._replies or self._closed, timeout)
            return self._replies.pop(ident, None)

    def ended_by(self, timeout: float = 0) -> str:
        """QEMU's reason for its end ("guest-reset", "guest-shutdown", …) once it has closed the connection, or nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout)
            reasons = [event.get("data", {}).get("reason", "") for event in self.events if event["event"] == "SHUTDOWN"]
        return reasons[-1] if reasons else ""

    def monitor(self, line: str) -> str:
        """Runs a human monitor command; QEMU reports its failures as text, which is returned."""
        return self.execute("human-monitor-command", {"command-line": line})

    def wait_event(self, name: str, timeout: float, since: int = 0, **data) -> dict:
        """Waits for an event whose data has the given members, among those from index since on."""
        def find():
            for event in self.events[since:]:
                values = event.get("data", {})
                if event["event"] == name and all(values.get(k) == v for k, v in data.items()):
                    return event
            return None
        with self._changed:
            self._changed.wait_for(lambda: find() or self._closed, timeout)
            event = find()
        if event is None:
            wanted = ", ".join(f"{key}={value}" for key, value in data.items())
            raise LabError(f"QEMU sent no {name} ({wanted}) within {timeout:g} s")
        return event

    def close(self):
        self._explain = lambda: None
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def _connect(path: str, deadline: float, alive) -> socket.socket:
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except OSError as error:
            connection.close()
            alive()
            if time.monotonic() > deadline:
                raise LabError(f"cannot connect to {path}: {error.strerror}") from error
            time.sleep(0.02)
