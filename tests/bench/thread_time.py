# SPDX-License-Identifier: Apache-2.0
"""What a thread did with the processor, in ticks of the time-stamp counter, without the time that
others had it: a peer's own count of ticks goes on while it waits for its turn."""

import os
import re


def _tsc_per_nanosecond():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        return float(re.search(r"cpu MHz\s*:\s*([\d.]+)", file.read()).group(1)) / 1000


class ThreadTime:
    """The thread of a process whose name begins with `name`."""

    def __init__(self, pid, name):
        tasks = f"/proc/{pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm", encoding="utf-8") as file:
                if file.read().startswith(name):
                    self._schedstat = f"{tasks}/{task}/schedstat"
                    break
        else:
            raise RuntimeError(f"process {pid} has no thread {name}")
        self._per_nanosecond = _tsc_per_nanosecond()

    def ticks(self):
        with open(self._schedstat, encoding="ascii") as file:
            return int(file.read().split()[0]) * self._per_nanosecond
