# SPDX-License-Identifier: Apache-2.0
"""What a busy machine does to a measurement of time."""

import threading
import time


class Stalls:
    """How long this process was kept waiting, at the worst, since it was asked last."""

    def __init__(self):
        self._worst, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        last = time.monotonic()
        while not self._over.wait(0.002):
            now = time.monotonic()
            self._worst, last = max(self._worst, now - last - 0.002), now

    def worst(self):
        worst, self._worst = self._worst, 0.0
        return worst

    def close(self):
        self._over.set()
        self._thread.join()
