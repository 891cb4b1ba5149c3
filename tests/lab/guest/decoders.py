# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints the addresses of the control registers of the HDM decoders that serve memdevs, one per line.

Arguments: serial numbers. Of the endpoint and of every port above it those decoders count that are committed for a
region of the memdev. What the kernel has claimed of a port's registers stands in /proc/iomem under the port's name: the
block of its decoders is the one that holds a header of 16 bytes and 32 for each decoder.
"""

import os
import re
import sys

DEVICES = "/sys/bus/cxl/devices"
HEADER, EACH, CONTROL = 0x10, 0x20, 0x20


def read(*parts) -> str:
    with open(os.path.join(DEVICES, *parts), encoding="utf-8") as file:
        return file.read().strip()


def decoder_blocks() -> dict:
    """Port name -> where its decoders' registers begin."""
    blocks = {}
    with open("/proc/iomem", encoding="utf-8") as file:
        for line in file:
            match = re.match(r"\s*([0-9a-f]+)-([0-9a-f]+) : ((?:port|endpoint)\d+)$", line)
            if match and (int(match[2], 16) - int(match[1], 16) + 1 - HEADER) % EACH == 0:
                blocks[match[3]] = int(match[1], 16)
    return blocks


def chain(serials: set):
    """The endpoints of the memdevs, each with the ports above it."""
    for name in os.listdir(DEVICES):
        if not name.startswith("endpoint"):
            continue
        memdev = os.path.basename(os.path.realpath(os.path.join(DEVICES, name, "uport")))
        if int(read(memdev, "serial"), 0) in serials:
            path = os.path.realpath(os.path.join(DEVICES, name)).split("/")
            yield [part for part in path if re.fullmatch(r"(port|endpoint)\d+", part)]


def decoders(port: str):
    """(number, region) of each committed decoder of a port."""
    number = re.sub(r"\D", "", port)
    for name in os.listdir(os.path.join(DEVICES, port)):
        match = re.fullmatch(rf"decoder{number}\.(\d+)", name)
        if match and int(read(name, "size"), 0) and read(name, "region"):
            yield int(match[1]), read(name, "region")


def main():
    blocks, found = decoder_blocks(), set()
    for ports in chain({int(word, 0) for word in sys.argv[1:]}):
        regions = {region for _, region in decoders(ports[-1])}
        for port in ports:
            found |= {blocks[port] + CONTROL + EACH * number for number, region in decoders(port)
                      if region in regions and port in blocks}
    for address in sorted(found):
        print(f"{address:#x}")


main()
