# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asks daxmgrd to attach processes to leases and prints one line per answer.

Arguments: SOCKET, then any number of NAME=WHO, each asked on a connection of its own. WHO is self, child (a sleeping
child that goes on living for 3 s after the last answer), direct (this process, which holds a file open with O_DIRECT
from then on), a process number, thread (of this process), file (a file that is no pidfd), nothing (says that an fd comes along, sends none), or number:PID (a parameter that the API does not have).
The json module is not part of python3-minimal: requests are put together by hand.
"""

import os
import re
import socket
import sys
import threading
import time

PIDFD_THREAD = os.O_EXCL
CHILD_SECONDS = 3


def start_child() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    return pid


def open_who(who: str, child: int):
    """The file to send along, or None."""
    if who == "child":
        return os.pidfd_open(child)
    if who == "direct":
        os.open("/usr/lib/os-release", os.O_RDONLY | os.O_DIRECT)
    if who == "file":
        return os.open("/dev/null", os.O_RDONLY)
    if who == "thread":
        thread = threading.Thread(target=time.sleep, args=(CHILD_SECONDS,), daemon=True)
        thread.start()
        return os.pidfd_open(thread.native_id, PIDFD_THREAD)
    return os.pidfd_open(int(who)) if who.isdigit() else None


def ask(path: str, name: str, who: str, child: int) -> str:
    fd = open_who(who, child)
    extra = ""
    if fd is not None or who == "nothing":
        extra = ',"pidfd":0'
    elif who.startswith("number:"):
        extra = f',"pid":{who[7:]}'
    request = f'{{"method":"org.daxmgr.Manager.Attach","parameters":{{"name":"{name}"{extra}}}}}\0'.encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        if fd is None:
            connection.sendall(request)
        else:
            socket.send_fds(connection, [request], [fd])
        answer = b""
        while not answer.endswith(b"\0"):
            data = connection.recv(4096)
            if not data:
                return "closed the connection"
            answer += data
    text = answer[:-1].decode()
    error = re.search(r'"error":"([^"]*)"', text)
    said = re.search(r'"text":"([^"]*)"', text)
    return f'{error[1]} {said[1] if said else ""}'.strip() if error else f"attached {text}"


def main():
    path, *wishes = sys.argv[1:]
    child = start_child() if any(wish.endswith("=child") for wish in wishes) else 0
    for wish in wishes:
        name, who = wish.split("=", 1)
        try:
            print(f"{wish}: {ask(path, name, who, child)}", flush=True)
        except OSError as error:
            print(f"{wish}: {error.strerror or error}", flush=True)
    if child:
        time.sleep(CHILD_SECONDS)
        os.kill(child, 9)


main()
