# SPDX-License-Identifier: Apache-2.0
"""A way that is cut under traffic: how long it took until the route had turned, and what was lost."""

import contextlib
import os
import time

from .checks import expect
from .stalls import Stalls
from .traffic import Receiver, Sender
from .wait import wait_for

RATE = 500  # packets a second
FULL = os.environ.get("HNV_SCALE") == "full"  # by somebody who knows how quiet the machine is


class Cut:
    """Sends from `sender` to `address`, calls cut(), and waits until turned() and until packets arrive again.
    Whichever of the `receivers` hears a packet: it arrived."""

    def __init__(self, sender, receivers, address, marker, cut, turned, within):
        stalls = Stalls()
        heard = [Receiver(space, 7001, marker) for space in receivers]
        stream = Sender(sender, address, 7001, marker, rate=RATE).start()

        def arrived(number):
            return any(number in one.first for one in heard)
        try:
            wait_for(lambda: sum(len(one.first) for one in heard) > 100, 15, "packets before the cut")
            stalls.worst()
            begin = time.monotonic()
            cut()
            wait_for(turned, within, "the other way", interval=0.005)
            self.seconds = time.monotonic() - begin
            self.stall = stalls.worst()
            back = wait_for(lambda: next((n for n in stream.after(begin + self.seconds) if arrived(n)), None), 15,
                            "packets by the other way")
            sent = stream.stop()
            with contextlib.suppress(AssertionError):  # the last one, too, may be lost
                wait_for(lambda: arrived(max(sent)), 3, "the last packet")
            self.lost = sum(not arrived(n) for n in sent)
            self.lost_after = sum(not arrived(n) for n in sent if n > back)
        finally:
            stream.stop()
            stalls.close()
            for one in heard:
                one.close()

    def __str__(self):
        later = f" ({self.lost_after} of them after the first that came by the other way)" if self.lost_after else ""
        return (f"other way after {self.seconds * 1000:.0f} ms, {self.lost} packets lost at {RATE} a second{later}; "
                f"this process was kept waiting {self.stall * 1000:.0f} ms at most")


def judge(cut, detection, hold):
    """What to say of it. BFD, and no hold time of so many seconds, has done it: that takes two thirds of itself at
    least, since there are three keepalives in it. How much sooner is judged where it is asked for."""
    expect(cut.seconds < hold * 2 / 3, f"as slow as the hold time of {hold} s: {cut}")
    if FULL:
        expect(cut.seconds < detection / 1000 * 1.5 + 0.2, f"BFD says {detection} ms: {cut}")
    return str(cut)
