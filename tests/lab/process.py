# SPDX-License-Identifier: LGPL-2.1-or-later
"""Child processes that cannot outlive the runner."""

import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with(parent: int):
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def spawn(argv, **options) -> subprocess.Popen:
    """Starts argv in its own session; the kernel kills it when this thread's process goes."""
    parent = os.getpid()
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True,
                            preexec_fn=lambda: _die_with(parent), **options)


def stop(process: subprocess.Popen, patience: float = 2.0):
    """Asks a child to end, insists after the given seconds, and reaps it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
