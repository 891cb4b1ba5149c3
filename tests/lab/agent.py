# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest agent: only used to tell that the guest is up and to start the lab's own channel."""

import base64
import itertools
import json
import random
import socket
import time

from .errors import LabError

SEND_SECONDS = 10

class Agent:
    def __init__(self, path: str):
        self._path = path
        self._socket = None
        self._buffer = b""

    def _open(self):
        self.close()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(self._path)
        self._buffer = b""

    def close(self):
        if self._socket:
            self._socket.close()
        self._socket = None

    def _line(self, deadline: float):
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise LabError("the guest agent's channel was closed")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.strip(b"\xff \r")

    def _drain(self, seconds: float):
        end = time.monotonic() + seconds
        while self._line(end) is not None:
            pass

    def wait(self, deadline: float, alive):
        """Waits for the agent's first answer, then drops late answers and synchronises once."""
        self._open()
        for attempt in itertools.count(1):
            alive()
            if self._answers(attempt):
                break
            if time.monotonic() > deadline:
                raise LabError("the guest agent did not answer in time")
        self._drain(0.1)
        ident = random.randrange(1 << 20, 1 << 30)
        self._send("guest-sync", {"id": ident})
        end = time.monotonic() + 10
        while (line := self._line(end)) is not None:
            try:
                if json.loads(line).get("return") == ident:
                    return
            except ValueError:
                continue
        raise LabError("the guest agent did not synchronise")

    def _answers(self, attempt: int) -> bool:
        """One question; on a machine so busy that QEMU does not take it in time, on a new connection next time."""
        try:
            self._send("guest-sync", {"id": attempt})
            return self._line(time.monotonic() + 1) is not None
        except OSError:
            self._open()
            return False

    def _send(self, command: str, arguments=None):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._socket.settimeout(SEND_SECONDS)
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def execute(self, command: str, arguments=None, timeout: float = 30):
        self._send(command, arguments)
        line = self._line(time.monotonic() + timeout)
        if line is None:
            raise LabError(f"the guest agent did not answer {command}")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(f'guest agent: {command}: {reply["error"].get("desc")}')
        return reply["return"]

    def run(self, command: str, timeout: float = 60) -> str:
        """Runs a shell command to its end and returns its output; failure is a LabError."""
        pid = self.execute("guest-exec", {"path": "/bin/sh", "arg": ["-c", command],
                                          "capture-output": "merged"})["pid"]
        deadline = time.monotonic() + timeout
        while True:
            status = self.execute("guest-exec-status", {"pid": pid})
            if status["exited"]:
                break
            if time.monotonic() > deadline:
                raise LabError(f"guest agent: still running after {timeout:g} s: {command}")
            time.sleep(0.02)
        output = base64.b64decode(status.get("out-data", "")).decode(errors="replace")
        if status.get("exitcode") != 0:
            raise LabError(f"guest agent: failed: {command}\n{output}")
        return output
