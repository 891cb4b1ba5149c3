# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds what runs in the guest (payload/beat.c and the C files of guest/ say what it does) and says how a VM runs it."""

import os
import subprocess
from pathlib import Path

from .errors import LabError

SOURCE = Path(__file__).parent / "payload"
SOURCES = ("beat.S", "beat.c", "disk.c")
FLAGS = ("-m32 -std=gnu17 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pie -no-pie -fno-stack-protector "
         "-fcf-protection=none -mno-sse -mno-mmx -fno-asynchronous-unwind-tables -nostdlib -static "
         "-Wl,--build-id=none,--no-warn-rwx-segments").split()
BASE_BYTES = 32 << 20
TOP_BYTES = 24 << 20
GUEST_ELF = "/usr/lib/daxmgr-lab/beat.elf"
VM_RUN_DIR = "/run/daxmgr-vm"
DISK_IO = ("none", "read", "write", "flush")  # the payload's disk= is the index


def build(target: Path):
    """Compiles the payload to target."""
    _compile([*FLAGS, f"-Wl,-T,{SOURCE / 'beat.ld'}", "-o", str(target), *(str(SOURCE / name) for name in SOURCES)])


def build_tools(directory: Path):
    """Compiles the guest's own programs, without need of its libraries."""
    for source in (SOURCE.parent / "guest").glob("*.c"):
        _compile(["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", str(directory / source.stem),
                  str(source)])


def _compile(arguments: list):
    argv = [os.environ.get("CC", "gcc"), *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(f"cannot build what runs in the guest: {argv[0]}: {error.strerror}") from error
    if done.returncode:
        raise LabError(f"cannot build what runs in the guest:\n{done.stderr}")


def _disk_arguments(disk) -> list:
    """A drive on a drive of the host; a legacy device, which is all that the payload drives."""
    return ["-drive", f"if=none,id=disk,file=/dev/disk/by-id/virtio-{disk.device},format=raw,cache={disk.cache},"
                      f"aio={disk.aio}",
            "-device", "virtio-blk-pci,drive=disk,disable-modern=on"]


def qemu_command(name: str, size: int, disk=None, serial: str = "") -> list:
    """A nested VM whose second NUMA node is the instance; -object …,id=mem0 has to be added.

    Firmware works in the top of RAM (16 MiB of tables and a little below them), so a third node
    lies above the instance: only the payload ever touches the instance.
    """
    total = BASE_BYTES + size + TOP_BYTES
    work = f" disk={DISK_IO.index(disk.io)}" if disk else ""
    return ["/usr/bin/qemu-system-x86_64", "-name", name, "-machine", "pc,accel=kvm:tcg",
            "-display", "none", "-nodefaults", "-m", f"{total >> 20}M",
            "-object", f"memory-backend-ram,id=base,size={BASE_BYTES}",
            "-object", f"memory-backend-ram,id=top,size={TOP_BYTES}",
            "-numa", "node,memdev=base", "-numa", "node,memdev=mem0", "-numa", "node,memdev=top",
            "-kernel", GUEST_ELF, "-append", f"start={BASE_BYTES:#x} size={size:#x}{work}",
            "-chardev", f"file,id=serial,path={serial or f'{VM_RUN_DIR}/{name}.serial'},append=on",
            "-serial", "chardev:serial",
            "-qmp", f"unix:{VM_RUN_DIR}/{name}.qmp,server=on,wait=off",
            *(_disk_arguments(disk) if disk else [])]
