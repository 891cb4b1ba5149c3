# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab's hand inside the guest: serves requests from a virtio-serial port.

Runs on python3-minimal, hence no json: both directions carry one Python literal per line.
A request is {"id": n, "op": name, ...}; the answer has the same id. Journal records and lines of
the live trace go out unasked, as {"id": 0, "journal": bytes} and {"id": 0, "trace": bytes}.
"""

import ast
import glob
import os
import signal
import socket
import subprocess
import sys
import threading
import time

WRITE_LOCK = threading.Lock()


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Port:
    def __init__(self, path: str):
        self.fd = os.open(path, os.O_RDWR)
        self.buffer = b""

    def lines(self):
        while True:
            data = os.read(self.fd, 1 << 16)
            if not data:
                time.sleep(0.05)
                continue
            self.buffer += data
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                yield line

    def send(self, message: dict):
        data = memoryview(repr(message).encode() + b"\n")
        with WRITE_LOCK:
            while data:
                data = data[os.write(self.fd, data[:1 << 16]):]


def op_clock(_request):
    return {"ns": now()}


def op_exec(request):
    begin = now()
    child = subprocess.Popen(request["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)
    late = False
    try:
        out, err = child.communicate(request.get("stdin", b""), request.get("patience", 60))
    except subprocess.TimeoutExpired:
        late = True
        os.killpg(child.pid, signal.SIGKILL)
        try:
            out, err = child.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            out, err = b"", b""
    code = child.returncode
    return {"rc": code if code is None or code >= 0 else 128 - code, "late": late, "out": out,
            "err": err, "begin": begin, "end": now()}


def op_read(request):
    with open(request["path"], "rb") as file:
        if request.get("offset"):
            file.seek(request["offset"])
        return {"data": file.read(request.get("limit", 1 << 24)), "ns": now()}


def op_write(request):
    mode = request.get("mode", 0o644)
    os.makedirs(os.path.dirname(request["path"]), exist_ok=True)
    with open(request["path"], "wb", opener=lambda p, f: os.open(p, f, mode)) as file:
        file.write(request["data"])
    os.chmod(request["path"], mode)
    return {}


def op_stat(request):
    info = os.stat(request["path"])
    return {"mode": info.st_mode, "uid": info.st_uid, "gid": info.st_gid, "size": info.st_size,
            "rdev": info.st_rdev}


def op_glob(request):
    return {"paths": sorted(glob.glob(request["pattern"]))}


def op_unix(request):
    """Sends bytes to a local socket, returns what came until so many terminators were seen."""
    end = time.monotonic() + request.get("patience", 5)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(request.get("patience", 5))
        connection.connect(request["path"])
        connection.sendall(request["data"])
        data = b""
        while data.count(request["until"]) < request.get("count", 1):
            connection.settimeout(max(0.01, end - time.monotonic()))
            piece = connection.recv(1 << 16)
            if not piece:
                break
            data += piece
    return {"data": data, "ns": now()}


def op_kill(request):
    begin = now()
    if request["pid"] <= 1:     # 0 would be this one's own group
        raise ValueError(f'there is no process {request["pid"]} to be killed')
    os.kill(request["pid"], request["signal"])
    return {"begin": begin, "end": now()}


def op_mark(request):
    """Writes a text to both ends of the journal: the kernel's log and the service side."""
    with open("/dev/kmsg", "wb", buffering=0) as file:
        file.write(b"<7>" + request["text"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.connect("/run/systemd/journal/socket")
        connection.send(b"PRIORITY=7\nSYSLOG_IDENTIFIER=lab\nMESSAGE=" + request["text"] + b"\n")
    return {}


OPERATIONS = {name[3:]: value for name, value in list(globals().items()) if name.startswith("op_")}


def answer(port: Port, request: dict):
    try:
        reply = OPERATIONS[request["op"]](request)
    except OSError as error:
        reply = {"errno": error.errno or 0, "error": str(error)}
    except Exception as error:  # pylint: disable=broad-except
        reply = {"errno": 0, "error": f"{type(error).__name__}: {error}"}
    reply["id"] = request["id"]
    port.send(reply)


def follow_journal(port: Port):
    """Sends every record of this boot, past and to come."""
    with subprocess.Popen(["journalctl", "-q", "-b", "-f", "-n", "all", "-o", "json"],
                          stdout=subprocess.PIPE) as child:
        while True:
            data = child.stdout.read1(1 << 16)
            if not data:
                return
            port.send({"id": 0, "journal": data})


def follow_trace(port: Port, path: str):
    """Sends every line of a trace pipe."""
    while not os.path.exists(path):
        time.sleep(0.1)
    pipe = os.open(path, os.O_RDONLY)
    while True:
        try:
            data = os.read(pipe, 1 << 16)
        except OSError:
            return
        if data:
            port.send({"id": 0, "trace": data})


def main():
    port = Port(sys.argv[1])
    threading.Thread(target=follow_journal, args=(port,), daemon=True).start()
    threading.Thread(target=follow_trace, args=(port, sys.argv[2]), daemon=True).start()
    for line in port.lines():
        request = ast.literal_eval(line.decode())
        if request["op"] in ("exec", "unix"):
            threading.Thread(target=answer, args=(port, request), daemon=True).start()
        else:
            answer(port, request)


main()
