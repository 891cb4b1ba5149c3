# SPDX-License-Identifier: LGPL-2.1-or-later
"""Model of root ports' isolation registers: a process that plays the hardware behind a shared file.

It is a model, not a device: what it does is what CXL 8.2.4.24 and 12.3 say, read for this test bed. One block of 64 KiB
for each port lies in the file, which a guest maps as a BAR. The model sees writes by polling. A write to the status
register is told from the model's own value by a bit that the specification reserves, which the model always shows and
no software writes.
"""

from functools import partial
import json
import mmap
import os
import socket
import sys
import threading
import time

from .qtest import link_is_up

BLOCK = 0x10000
REGISTERS = 0x1000
POINTER = 0x100
CAPABILITY, CONTROL, STATUS = (REGISTERS + POINTER + offset for offset in (0x0, 0x8, 0xC))

RANGES_ABCD = 0xF
TIMEOUT_ENABLE = 1 << 4
ISOLATION = 1 << 16
LINK_DOWN = 1 << 17
ERR_COR = 1 << 25
WRITABLE = 0xF | TIMEOUT_ENABLE | ISOLATION | LINK_DOWN | ERR_COR

TIMEOUT = 1 << 0
ISOLATED = 1 << 8
BY_LINK = 1 << 9
BUSY = 1 << 14
CLEARABLE = TIMEOUT | ISOLATED | BY_LINK
OWN = 1 << 31           # reserved: tells the model's value from what was written
POLL_SECONDS = 0.0002


class Port:
    """The registers of one port, in memory that is shared with who drives them."""

    def __init__(self, memory, base: int, link_is_up=None):
        """link_is_up: what asks for the link of a port that does not take it down itself; None: it does."""
        # Whole words: struct's standard sizes go byte by byte, and the other side would see, or write, half a word.
        self.words, self.base = memoryview(memory).cast("I"), base
        self.capability = RANGES_ABCD | TIMEOUT_ENABLE | ISOLATION | ERR_COR | (0 if link_is_up else LINK_DOWN)
        self.control = self.status = 0
        self.busy_until = 0.0
        self.traffic = False
        self.link_was_down = False
        self.link_is_up = link_is_up
        self.violations, self.history = [], []
        self._put(REGISTERS, 1 | 1 << 16 | 1 << 20 | 2 << 24)
        self._put(REGISTERS + 4, 2 | 1 << 16 | 0x80 << 20)
        self._put(REGISTERS + 8, 9 | 1 << 16 | POINTER << 20)
        self._show()

    def _put(self, offset: int, word: int):
        self.words[(self.base + offset) // 4] = word

    def _get(self, offset: int) -> int:
        return self.words[(self.base + offset) // 4]

    def _show(self):
        self._put(CAPABILITY, self.capability)
        self._put(CONTROL, self.control)
        self._put(STATUS, self.status | OWN)

    def _note(self, what: str):
        self.history.append(what)

    def _break(self, what: str):
        self.violations.append(what)
        self._note("violation: " + what)

    def _take_control(self, word: int):
        new = word & WRITABLE & (self.capability | 0xF)
        if (new ^ self.control) & ISOLATION:
            if self.traffic:
                self._break("isolation was toggled under traffic")
            if self.status & ISOLATED:
                self._break("isolation was toggled while isolated")
            self._note("armed" if new & ISOLATION else "disarmed")
        elif (new ^ self.control) & 0xF and self.traffic:
            self._break("the timeout was changed under traffic")
        self.control = new

    def _take_status(self, word: int):
        if word & ISOLATED and self.status & ISOLATED:
            if self.status & BUSY:
                self._break("the status was cleared while RP Busy was set: it stays")
                word &= ~ISOLATED
            elif not self._link_is_down():
                self._break("the status was cleared before the link was down")
            else:
                self._note("cleared")
        self.status &= ~(word & CLEARABLE)

    def _link_is_down(self) -> bool:
        return not self.link_is_up() if self.link_is_up else self.link_was_down

    def poll(self, now: float):
        """Takes what was written since the last look, then lets time pass."""
        control, status = self._get(CONTROL), self._get(STATUS)
        if control != self.control:
            self._take_control(control)
            if control != self.control:     # else another write may have come since, which this would undo
                self._put(CONTROL, self.control)
        if not status & OWN:
            self._take_status(status)
            self._put(STATUS, self.status | OWN)
        if self.status & BUSY and now >= self.busy_until:
            self.status &= ~BUSY
            self._note("idle")
            self._put(STATUS, self.status | OWN)

    def isolate(self, now: float, busy: float) -> bool:
        """A timeout of CXL.mem. Returns whether the port takes its link down."""
        self.status |= TIMEOUT
        if not self.control & ISOLATION:
            self._note("timeout without isolation")
            self._put(STATUS, self.status | OWN)
            return False
        self.status |= ISOLATED | BUSY
        self.busy_until = now + busy
        self.traffic = False
        self.link_was_down = bool(self.control & LINK_DOWN)
        self._note("isolated")
        self._put(STATUS, self.status | OWN)
        return self.link_was_down

    def idle(self):
        """RP Busy ends with the next look."""
        self.busy_until = 0.0

    def describe(self) -> dict:
        return {"armed": bool(self.control & ISOLATION), "isolated": bool(self.status & ISOLATED),
                "busy": bool(self.status & BUSY), "control": self.control, "status": self.status,
                "violations": self.violations, "history": self.history}


def make_memory(path: str, ports: int):
    """A file for so many ports, rounded up to a power of two: that is what a BAR can be."""
    size = max(1 << 20, 1 << (ports * BLOCK - 1).bit_length())
    with open(path, "wb") as file:
        file.truncate(size)
    descriptor = os.open(path, os.O_RDWR)
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


class Model:
    def __init__(self, path: str, ports: list):
        """ports: the link_is_up of each."""
        memory = make_memory(path, len(ports))
        self.ports = [Port(memory, index * BLOCK, ask_link) for index, ask_link in enumerate(ports)]
        self.lock = threading.Lock()

    def run(self):
        while True:
            with self.lock:
                now = time.monotonic()
                for port in self.ports:
                    port.poll(now)
            time.sleep(POLL_SECONDS)

    def answer(self, request: dict) -> dict:
        with self.lock:
            port = self.ports[request["port"]]
            port.poll(time.monotonic())
            if request["do"] == "isolate":
                return {"link_down": port.isolate(time.monotonic(), request.get("busy", 0.05))}
            if request["do"] == "traffic":
                port.traffic = request["on"]
            elif request["do"] == "idle":
                port.idle()
            return port.describe()


def serve(model: Model, path: str):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as file:
                for line in file:
                    file.write(json.dumps(model.answer(json.loads(line))) + "\n")
                    file.flush()


def ask(path: str, **request) -> dict:
    """One question to a running model."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        with connection.makefile("rw") as file:
            file.write(json.dumps(request) + "\n")
            file.flush()
            return json.loads(file.readline())


def main(argv: list) -> int:
    """FILE SOCKET QTEST PORT...: each port "self", or BUS:SLOT of one that does not take its link down itself."""
    ports = [None if word == "self" else partial(link_is_up, argv[3], *(int(part, 16) for part in word.split(":")))
             for word in argv[4:]]
    model = Model(argv[1], ports)
    threading.Thread(target=model.run, daemon=True).start()
    serve(model, argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
