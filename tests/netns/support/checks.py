# SPDX-License-Identifier: Apache-2.0
"""The frame of a topology script: its options, a line per check, and what is shown on failure.

    ok NAME
    not ok NAME: why

The exit status is 0 when every check held.
"""

import argparse
import contextlib
import os
import sys
import traceback

from .run import Run

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


class Checks:
    """Runs checks one after the other; a failed one does not hide those behind it."""

    def __init__(self, on_failure=lambda: None, out=sys.stdout):
        self.passed, self.failed = [], []
        self.on_failure = on_failure
        self._out = out

    def _say(self, line):
        print(line, file=self._out, flush=True)

    @contextlib.contextmanager
    def check(self, name):
        """What stands under it must hold. `note.text = …` adds a remark to the line."""
        note = Note()
        try:
            yield note
        except Exception as error:  # noqa: BLE001 - every fault of a check is its verdict
            why = str(error).strip().replace("\n", " | ") or type(error).__name__
            if not isinstance(error, AssertionError):
                why += " @ " + traceback.format_exc(limit=-2).strip().replace("\n", " | ")
            self.failed.append(name)
            self._say(f"not ok {name}: {why}")
            if len(self.failed) == 1:
                with contextlib.suppress(Exception):
                    self.on_failure()
        else:
            self.passed.append(name)
            self._say(f"ok {name}" + (f" ({note.text})" if note.text else ""))

    @property
    def all_held(self):
        return bool(self.passed) and not self.failed


class Note:
    text = ""
    undecided = False  # nothing spoke against it, but the machine was too busy to tell


def expect(condition, why):
    if not condition:
        raise AssertionError(why)


def expect_equal(seen, wanted, what):
    if seen != wanted:
        raise AssertionError(f"{what}: {seen!r}, wanted {wanted!r}")


def options(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-i", "--inspect", action="store_true", help="leave the topology up")
    parser.add_argument("--gateway", default=f"{TOP}/build/test/gateway/hnv-gateway")
    parser.add_argument("--hnvctl", default=f"{TOP}/build/test/api/hnvctl")
    parser.add_argument("--run-id", help="name of the run (namespaces hnv-ID-*); default from the pid")
    return parser.parse_args()


def topology(description, build, prove, needs_gateway=True):
    """A whole script: build(run, arguments) makes the topology, prove(checks, topology) checks it.

    What build returns may have dump() (shown once, at the first failure) and finish(checks) (the
    checks that every topology ends with).
    """
    arguments = options(description.strip().splitlines()[0])
    if needs_gateway:
        for binary in (arguments.gateway, arguments.hnvctl):
            if not os.access(binary, os.X_OK):
                print(f"not ok start: no executable {binary}; build it or give --gateway and --hnvctl")
                return 1
    with Run(arguments.run_id) as run:
        checks = Checks()
        made = None
        with checks.check("topology comes up"):
            made = build(run, arguments)
        if made is not None:
            checks.on_failure = getattr(made, "dump", lambda: None)
            with checks.check("every check ran"):
                prove(checks, made)
            if hasattr(made, "finish"):
                made.finish(checks)
        elif checks.failed:
            dump_logs(run)
        if arguments.inspect:
            run.keep()
            print(f"# left up: namespaces hnv-{run.id}-*, files in {run.folder}; "
                  f"the same script with --run-id {run.id} replaces it", file=sys.stderr)
        return 0 if checks.all_held else 1


def dump_logs(run, lines=40, name_part="", out=sys.stderr):
    """The end of every log of the run whose name has name_part in it, without what only informs."""
    for folder, _, names in sorted(os.walk(run.folder)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith(".log") or name_part not in path:
                continue
            with open(path, encoding="utf-8", errors="replace") as file:
                tail = [line for line in file.read().splitlines() if "|INFO|" not in line][-lines:]
            if tail:
                print(f"---- {path}", *tail, sep="\n", file=out)
