# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what the VMs' payloads print, ten times a second, and keeps all of it.

Writes lines "boottime_ns vm counter" to samples.txt, and a copy of each serial file that
survives the removal of the original. A counter of 0 says that the payload (re)started.
Arguments: the directory of the serial files, the directory to write to.
"""

import os
import sys
import time

PERIOD_NS = 100_000_000


class Serial:
    def __init__(self, path: str, copy_path: str):
        self.path = path
        self.copy = open(copy_path, "ab", buffering=0)
        self.inode = 0
        self.offset = 0
        self.rest = b""
        self.counter = None

    def poll(self) -> bool:
        """Reads what is new; true when the payload has ever said something."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                info = os.fstat(file.fileno())
                if info.st_ino != self.inode or info.st_size < self.offset:
                    self.inode, self.offset, self.rest = info.st_ino, 0, b""
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return self.counter is not None
        self.offset += len(data)
        if data:
            self.copy.write(data)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if line.strip() == b"START":
                self.counter = 0
            elif line.startswith(b"BEAT ") and line[5:].strip().isdigit():  # a killed VM leaves half a line
                self.counter = int(line[5:])
        return self.counter is not None


def main():
    source, target = sys.argv[1:3]
    os.makedirs(os.path.join(target, "serial"), exist_ok=True)
    serials = {}
    with open(os.path.join(target, "samples.txt"), "a", buffering=1) as out:
        due = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        while True:
            names = os.listdir(source) if os.path.isdir(source) else []
            for name in names:
                if name.endswith(".serial") and name not in serials:
                    serials[name] = Serial(os.path.join(source, name),
                                           os.path.join(target, "serial", name))
            text = ""
            for name, serial in serials.items():
                stamp = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                if serial.poll():
                    text += f"{stamp} {name[:-7]} {serial.counter}\n"
            if text:
                out.write(text)
            due += PERIOD_NS
            left = due - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if left > 0:
                time.sleep(left / 1e9)
            else:
                due -= left


main()
