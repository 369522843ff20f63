# SPDX-License-Identifier: Apache-2.0
"""dpdk-testpmd, told what to do line by line: what moving packets costs without any forwarding
plane. It has a processor only between `start` and `stop`."""

import os
import pty
import re
import select
import subprocess
import threading
import time
import tty

from support.run import start_time
from thread_time import ThreadTime

PATIENCE = 60


class Testpmd:
    def __init__(self, run, name, devices, burst, buffers=20000):
        self._log = open(run.path(f"{name}.log"), "wb")
        self._seen = b""
        # A terminal: into a pipe it would not say what it did until much later.
        self._terminal, end = pty.openpty()
        tty.setraw(end)
        self.popen = subprocess.Popen(
            ["dpdk-testpmd", "--no-pci", "--in-memory", f"--file-prefix=hnv-{run.id}-{name}", "-l", "0,1", "-m", "16",
             *(f"--vdev={device}" for device in devices), "--", "-i", f"--burst={burst}", "--nb-cores=1",
             f"--total-num-mbufs={buffers}", "--no-lsc-interrupt"],
            stdin=end, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        run.record("process", pid=self.popen.pid, started=start_time(self.popen.pid), name=name)
        self._until(rb"testpmd> ")
        self._time = ThreadTime(self.popen.pid, "rte-worker-1")

    def tell(self, line):
        os.write(self._terminal, line.encode() + b"\n")

    def window(self, seconds, start="start"):
        """Cycles a packet while it forwarded."""
        begin = self._time.ticks()
        self.tell(start)
        self._until(rb"packet forwarding")
        threading.Event().wait(seconds)
        self.tell("stop")
        text = self._until(rb"Done\.")
        found = re.search(rb"Accumulated forward statistics.*?RX-packets:\s*(\d+)", text, re.DOTALL)
        if not found or int(found.group(1)) == 0:
            raise RuntimeError(f"dpdk-testpmd forwarded nothing: {text.decode(errors='replace')[-2000:]}")
        return (self._time.ticks() - begin) / int(found.group(1))

    def close(self):
        self.tell("quit")
        self._until(rb"Bye")
        self.popen.wait(PATIENCE)
        os.close(self._terminal)
        self._log.close()

    def _until(self, pattern):
        """What it says up to there."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self._seen)
            if found:
                said, self._seen = self._seen[:found.end()], self._seen[found.end():]
                return said
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            new = os.read(self._terminal, 1 << 16) if ready else b""
            if not new:
                raise RuntimeError(f"dpdk-testpmd says no more: {self._seen.decode(errors='replace')[-2000:]}")
            self._log.write(new)
            self._seen += new
