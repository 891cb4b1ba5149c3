# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU's test channel: registers and configuration space of the emulated host, seen and set from outside."""

import socket

from .errors import LabError

ECAM = 0xb0000000       # where the firmware of q35 puts configuration space
CAPABILITIES, EXPRESS, LINK_STATUS = 0x34, 0x10, 0x12
DATA_LINK_ACTIVE = 1 << 13


def ask(path: str, request: str) -> str:
    """The last word of the answer to one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(request.encode() + b"\n")
        answer = connection.makefile("r").readline().split()
    if answer[:1] != ["OK"]:
        raise LabError(f"{request}: QEMU's test channel says {' '.join(answer) or 'nothing'}")
    return answer[-1]


def set_bits(path: str, address: int, bits: int):
    """Sets bits of a 32-bit register."""
    value = int(ask(path, f"readl {address:#x}"), 16)
    ask(path, f"writel {address:#x} {value | bits:#x}")


def link_is_up(path: str, bus: int, slot: int) -> bool:
    """Whether the port at bus:slot.0 says that its data link layer is active."""
    def read(width: str, offset: int) -> int:
        return int(ask(path, f"read{width} {ECAM + (bus << 20 | slot << 15) + offset:#x}"), 16)

    at = read("b", CAPABILITIES)
    while at and read("b", at) != EXPRESS:
        at = read("b", at + 1)
    if not at or at == 0xff:
        raise LabError(f"there is no PCI Express port at {bus:02x}:{slot:02x}.0")
    return bool(read("w", at + LINK_STATUS) & DATA_LINK_ACTIVE)
