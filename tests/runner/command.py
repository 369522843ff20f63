# SPDX-License-Identifier: Apache-2.0
"""Runs commands: without stdin, with an end, in a process group of their own.

A command that takes too long, or one that runs when we are told to stop, gets SIGTERM for its whole
group, time to clean up, then SIGKILL. Only groups that were started here are ever signalled.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LOGS = os.path.join(TOP, "build", "test-logs")
GRACE = 60.0  # a topology removes its namespaces in that time


class Interrupted(Exception):
    """SIGTERM, SIGINT or SIGHUP came."""


class Done:
    """How a command ended. `status` is None when it took too long."""

    def __init__(self, pid, status, output):
        self.pid, self.status, self.output = pid, status, output

    @property
    def ok(self):
        return self.status == 0

    def how(self):
        if self.status is None:
            return "took too long"
        return f"killed by {signal.Signals(-self.status).name}" if self.status < 0 else f"status {self.status}"

    def tail(self, lines=40):
        return "\n".join(self.output.splitlines()[-lines:])


_running = set()
_lock = threading.Lock()
_stopping = False


def run(argv, timeout, log=None, env=None, on_line=None):
    """Runs argv in the top folder. Output goes to `log` (or a temporary file), each line to on_line."""
    with open(log, "wb+") if log else tempfile.TemporaryFile() as out:
        with _lock:
            if _stopping:
                raise Interrupted
            popen = subprocess.Popen([str(a) for a in argv], cwd=TOP, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, start_new_session=True,
                                     env={**os.environ, **(env or {})})
            _running.add(popen)
        lines = _Lines(out.fileno(), on_line)
        try:
            finished = _wait(popen, timeout, lines)
            if not finished:
                _end(popen)
        finally:
            # Also after an exception: what is still running is ours and ends with us.
            if popen.poll() is None:
                _end(popen)
            with _lock:
                _running.discard(popen)
        lines.read()
        return Done(popen.pid, popen.returncode if finished else None, os.pread(
            out.fileno(), os.fstat(out.fileno()).st_size, 0).decode(errors="replace"))


def stop_everything():
    """Ends every command of every thread; no new one starts. For the end after a signal."""
    global _stopping
    with _lock:
        _stopping = True
        running = list(_running)
    for popen in running:
        _signal(popen, signal.SIGTERM)
    for popen in running:
        _end(popen)


def _wait(popen, timeout, lines):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            popen.wait(min(0.2 if lines.wanted else 5.0, max(0.0, end - time.monotonic())))
            return True
        except subprocess.TimeoutExpired:
            lines.read()
    return False


def _end(popen):
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(popen, number)
        try:
            popen.wait(GRACE)
            break
        except subprocess.TimeoutExpired:
            continue
    _signal(popen, signal.SIGKILL)  # what the leader left behind in its group


def _signal(popen, number):
    try:
        os.killpg(popen.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


class _Lines:
    """Hands on the whole lines that have been written so far."""

    def __init__(self, descriptor, on_line):
        self._descriptor, self._on_line, self._at, self._rest = descriptor, on_line, 0, b""
        self.wanted = on_line is not None

    def read(self):
        if not self.wanted:
            return
        while True:
            new = os.pread(self._descriptor, 1 << 16, self._at)
            if not new:
                return
            self._at += len(new)
            *whole, self._rest = (self._rest + new).split(b"\n")
            for line in whole:
                self._on_line(line.decode(errors="replace"))
