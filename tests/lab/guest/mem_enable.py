# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clears Mem_Enable of memdevs, which a link reset clears on hardware, and binds them to their driver again.

Arguments: serial numbers; it ends when all of these memdevs are bound. The bit stands in the control register of the CXL device's DVSEC (vendor 0x1e98, id 0).
"""

import os
import sys
import time

DEVICES = "/sys/bus/cxl/devices"
DVSEC, CXL_VENDOR, CONTROL, MEM_ENABLE = 0x23, 0x1E98, 0x0C, 1 << 2
FIRST_CAPABILITY = 0x100
PATIENCE_SECONDS = 25


class Config:
    def __init__(self, path: str):
        self.file = open(path, "r+b", buffering=0)

    def read(self, at: int, size: int) -> int:
        self.file.seek(at)
        return int.from_bytes(self.file.read(size), "little")

    def write(self, at: int, size: int, value: int):
        self.file.seek(at)
        self.file.write(value.to_bytes(size, "little"))

    def find_dvsec(self, ident: int) -> int:
        at = FIRST_CAPABILITY
        while at:
            header = self.read(at, 4)
            if header & 0xFFFF == DVSEC and self.read(at + 4, 2) == CXL_VENDOR and self.read(at + 8, 2) == ident:
                return at
            at = header >> 20
        raise SystemExit("no DVSEC of a CXL device")


def find(serial: int) -> str:
    """The directory of the memdev with that serial number; empty while there is none."""
    for name in os.listdir(DEVICES):
        path = os.path.join(DEVICES, name)
        if name.startswith("mem") and name[3:].isdigit():
            with open(os.path.join(path, "serial"), encoding="utf-8") as file:
                if int(file.read(), 0) == serial:
                    return path
    return ""


def bind(path: str):
    config = Config(os.path.join(os.path.dirname(os.path.realpath(path)), "config"))
    at = config.find_dvsec(0) + CONTROL
    config.write(at, 2, config.read(at, 2) & ~MEM_ENABLE)
    with open("/sys/bus/cxl/drivers/cxl_mem/bind", "w", encoding="utf-8") as file:
        file.write(os.path.basename(path))


def bound(serial: int) -> bool:
    """One try. Somebody else may take the device away and bring it back in the midst of it."""
    try:
        path = find(serial)
        if path and not os.path.exists(os.path.join(path, "driver")):
            bind(path)
        return bool(path) and os.path.exists(os.path.join(path, "driver"))
    except OSError:
        return False


def main():
    end = time.monotonic() + PATIENCE_SECONDS
    for serial in (int(word, 0) for word in sys.argv[1:]):
        while not bound(serial):
            if time.monotonic() > end:
                raise SystemExit(f"memdev {serial:#x} does not come back")
            time.sleep(0.1)


main()
