# SPDX-License-Identifier: Apache-2.0
"""A program that stands in for the gateway: a line of JSON for a line of JSON, on its own stdin and stdout."""

import json
import os
import select
import time

from support.checks import expect


class Driver:
    def __init__(self, space, *command):
        reading, self._write = os.pipe()
        self._read, writing = os.pipe()
        self._rest = b""
        # The rest of its life is the run's.
        self.process = space.spawn("driver", "/bin/sh", "-c", f"exec \"$@\" <&{reading} >&{writing}", "sh", *command,
                                   pass_fds=(reading, writing))
        os.close(reading)
        os.close(writing)
        expect(self._line(15).get("ready"), "the driver comes up")

    def _line(self, timeout):
        end = time.monotonic() + timeout
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise AssertionError(f"the driver is silent: {self.process.output()[-2000:]}")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise AssertionError(f"the driver ended: {self.process.output()[-2000:]}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def ask(self, what, **arguments):
        os.write(self._write, json.dumps({"do": what, **arguments}).encode() + b"\n")
        return self._line(20)

    def must(self, what, **arguments):
        answer = self.ask(what, **arguments)
        expect(answer.get("ok"), f"{what}: {answer}")

    def state(self):
        return self.ask("state")
