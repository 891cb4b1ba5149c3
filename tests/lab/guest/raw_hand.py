# SPDX-License-Identifier: LGPL-2.1-or-later
"""What recover-raw.sh needs and a shell has no builtin for, in a process that is there before the loss.

Arguments: the numbers of the VMs' user and group. Reads lines:

    gone PID…         says "gone" when none of these processes is left
    give NODE FIFO    hands the node to the user, then writes its name to the fifo
"""

import os
import select
import sys


def wait_gone(pids: list):
    left = select.poll()
    files = [os.pidfd_open(pid) for pid in pids]
    for file in files:
        left.register(file, select.POLLIN)
    while files:
        for file, _ in left.poll():
            left.unregister(file)
            files.remove(file)
            os.close(file)
    print("gone", flush=True)


def give(node: str, fifo: str, owner: list):
    os.chmod(node, 0o600)
    os.chown(node, *owner)
    with open(fifo, "w", encoding="ascii") as file:
        file.write(f"{node}\n")


def main():
    owner = [int(word) for word in sys.argv[1:3]]
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "gone":
            wait_gone([int(word) for word in words])
        elif verb == "give":
            give(*words, owner)


main()
