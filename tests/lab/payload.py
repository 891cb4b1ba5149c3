# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the beat payload (payload/beat.c says what it does) and says how a VM runs it."""

import os
import subprocess
from pathlib import Path

from .errors import LabError

SOURCE = Path(__file__).parent / "payload"
FLAGS = ("-m32 -std=gnu17 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pie -no-pie -fno-stack-protector "
         "-fcf-protection=none -mno-sse -mno-mmx -fno-asynchronous-unwind-tables -nostdlib -static "
         "-Wl,--build-id=none,--no-warn-rwx-segments").split()
BASE_BYTES = 32 << 20
TOP_BYTES = 24 << 20
GUEST_ELF = "/usr/lib/daxmgr-lab/beat.elf"
VM_RUN_DIR = "/run/daxmgr-vm"


def build(target: Path):
    """Compiles the payload to target."""
    argv = [os.environ.get("CC", "gcc"), *FLAGS, f"-Wl,-T,{SOURCE / 'beat.ld'}", "-o", str(target),
            str(SOURCE / "beat.S"), str(SOURCE / "beat.c")]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(f"cannot build the payload: {argv[0]}: {error.strerror}") from error
    if done.returncode:
        raise LabError(f"cannot build the payload:\n{done.stderr}")


def qemu_command(name: str, size: int) -> list:
    """A nested VM whose second NUMA node is the instance; -object …,id=mem0 has to be added.

    Firmware works in the top of RAM (16 MiB of tables and a little below them), so a third node
    lies above the instance: only the payload ever touches the instance.
    """
    total = BASE_BYTES + size + TOP_BYTES
    return ["/usr/bin/qemu-system-x86_64", "-name", name, "-machine", "pc,accel=kvm:tcg",
            "-display", "none", "-nodefaults", "-m", f"{total >> 20}M",
            "-object", f"memory-backend-ram,id=base,size={BASE_BYTES}",
            "-object", f"memory-backend-ram,id=top,size={TOP_BYTES}",
            "-numa", "node,memdev=base", "-numa", "node,memdev=mem0", "-numa", "node,memdev=top",
            "-kernel", GUEST_ELF, "-append", f"start={BASE_BYTES:#x} size={size:#x}",
            "-chardev", f"file,id=serial,path={VM_RUN_DIR}/{name}.serial,append=on",
            "-serial", "chardev:serial",
            "-qmp", f"unix:{VM_RUN_DIR}/{name}.qmp,server=on,wait=off"]
