# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clears Mem_Enable of memdevs, which a link reset clears on hardware, and binds them to their driver again.

Arguments: serial numbers. The bit stands in the control register of the CXL device's DVSEC (vendor 0x1e98, id 0).
"""

import os
import sys

DEVICES = "/sys/bus/cxl/devices"
DVSEC, CXL_VENDOR, CONTROL, MEM_ENABLE = 0x23, 0x1E98, 0x0C, 1 << 2
FIRST_CAPABILITY = 0x100


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


def main():
    wanted = {int(word, 0) for word in sys.argv[1:]}
    for name in os.listdir(DEVICES):
        path = os.path.join(DEVICES, name)
        if not name.startswith("mem") or not name[3:].isdigit():
            continue
        with open(os.path.join(path, "serial"), encoding="utf-8") as file:
            if int(file.read(), 0) not in wanted:
                continue
        if os.path.exists(os.path.join(path, "driver")):
            continue
        config = Config(os.path.join(os.path.dirname(os.path.realpath(path)), "config"))
        at = config.find_dvsec(0) + CONTROL
        config.write(at, 2, config.read(at, 2) & ~MEM_ENABLE)
        with open("/sys/bus/cxl/drivers/cxl_mem/bind", "w", encoding="utf-8") as file:
            file.write(name)


main()
