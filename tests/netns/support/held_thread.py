# SPDX-License-Identifier: Apache-2.0
"""One thread of a process, held up for a while as a debugger would: it exists and does not run."""

import ctypes
import os
import re

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_LIBC.ptrace.restype = ctypes.c_long
_SEIZE, _INTERRUPT, _DETACH, _WALL = 0x4206, 0x4207, 17, 0x40000000


def _ptrace(request, tid):
    if _LIBC.ptrace(request, tid, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of thread {tid}")


class HeldThread:
    """`with HeldThread(pid, name):` — the thread whose name matches stands still inside."""

    def __init__(self, pid, name):
        self.tids, names = [], []
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as file:
                names.append(file.read().strip())
            if re.fullmatch(name, names[-1]):
                self.tids.append(int(tid))
        if len(self.tids) != 1:
            raise AssertionError(f"of {pid}'s threads {names} not one alone is called {name}")

    def __enter__(self):
        _ptrace(_SEIZE, self.tids[0])
        _ptrace(_INTERRUPT, self.tids[0])
        os.waitpid(self.tids[0], _WALL)
        return self

    def __exit__(self, *_):
        _ptrace(_DETACH, self.tids[0])
