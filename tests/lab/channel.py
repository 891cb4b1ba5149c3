# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host's end of the lab's own channel into the guest (guest/labd.py is the other)."""

import ast
import errno
import socket
import threading
from dataclasses import dataclass

from .errors import LabError


class GuestOsError(LabError):
    """An operation in the guest failed with an errno."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.errno = code


@dataclass
class Result:
    """What a command in the guest did; begin and end are the guest's CLOCK_BOOTTIME in ns."""
    rc: int
    out: str
    err: str
    late: bool
    begin: int
    end: int


class Channel:
    def __init__(self, path: str, on_journal, on_trace, explain=lambda: None):
        """When QEMU has closed the connection, explain() may raise what is known of its end."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file = self._socket.makefile("rb")
        self._changed = threading.Condition()
        self._replies = {}
        self._next_id = 0
        self._closed = False
        self._explain = explain
        self._on_journal = on_journal
        self._on_trace = on_trace
        threading.Thread(target=self._read, name="channel", daemon=True).start()

    def _read(self):
        try:
            for line in self._file:
                message = ast.literal_eval(line.decode())
                if "journal" in message:
                    self._on_journal(message["journal"])
                    continue
                if "trace" in message:
                    self._on_trace(message["trace"])
                    continue
                with self._changed:
                    self._replies[message["id"]] = message
                    self._changed.notify_all()
        except (OSError, ValueError, SyntaxError):
            pass
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def call(self, op: str, timeout: float = 30, **arguments) -> dict:
        try:
            reply = self._ask({"op": op, **arguments}, timeout)
        except OSError as error:
            self._explain()
            raise LabError(f"the guest's channel is gone: {error.strerror}") from error
        if reply is None:
            if self._closed:
                self._explain()
            why = "the channel is closed" if self._closed else f"no answer within {timeout:g} s"
            raise LabError(f"guest: {op}: {why}")
        if "error" in reply:
            raise GuestOsError(f'guest: {op}: {reply["error"]}', reply["errno"])
        return reply

    def _ask(self, request: dict, timeout: float):
        """The answer, or None when none comes."""
        with self._changed:
            self._next_id += 1
            ident = self._next_id
            self._socket.sendall(repr({"id": ident, **request}).encode() + b"\n")
            self._changed.wait_for(lambda: ident in self._replies or self._closed, timeout)
            return self._replies.pop(ident, None)

    def run(self, command, timeout: float = 60, stdin: bytes = b"") -> Result:
        """Runs an argument list, or a text through sh -c; a non-zero exit is not an error here."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        reply = self.call("exec", timeout + 10, argv=argv, patience=timeout, stdin=stdin)
        return Result(reply["rc"], reply["out"].decode(errors="replace"),
                      reply["err"].decode(errors="replace"), reply["late"], reply["begin"],
                      reply["end"])

    def must(self, command, timeout: float = 60) -> str:
        """Like run, but anything other than exit code 0 is a LabError with the output."""
        result = self.run(command, timeout)
        if result.rc != 0 or result.late:
            text = command if isinstance(command, str) else " ".join(command)
            how = "timed out" if result.late else f"exit code {result.rc}"
            raise LabError(f"guest: {text}: {how}\n{result.out}{result.err}".rstrip())
        return result.out

    def read(self, path: str, offset: int = 0) -> bytes:
        return self.call("read", path=path, offset=offset)["data"]

    def read_or_empty(self, path: str, offset: int = 0) -> bytes:
        try:
            return self.read(path, offset)
        except GuestOsError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
                return b""
            raise

    def write(self, path: str, data, mode: int = 0o644):
        self.call("write", path=path, data=data.encode() if isinstance(data, str) else data, mode=mode)

    def close(self):
        self._explain = lambda: None
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
