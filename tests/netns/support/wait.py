# SPDX-License-Identifier: Apache-2.0
"""Waiting for events, always with an end. No topology sleeps in place of an event."""

import threading
import time


class Timeout(AssertionError):
    """What was waited for did not happen in time."""


_pause = threading.Event()


def wait_for(predicate, timeout, what, interval=0.05, tell=None):
    """Polls predicate until it answers something true, and returns that.

    An exception of the predicate counts as "not yet". When time is up, the last answer is told, or
    what `tell` knows.
    """
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = predicate()
            if value:
                return value
            last = value
        except Exception as error:  # noqa: BLE001 - told below
            last = error
        if time.monotonic() >= end:
            raise Timeout(f"{what}: not within {timeout} s (last: {tell() if tell else last!r})")
        _pause.wait(interval)
