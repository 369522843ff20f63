# SPDX-License-Identifier: Apache-2.0
"""What ran and how it went. Counts come from here and from nowhere else."""

import contextlib
import time


class Report:
    def __init__(self):
        self.suites = []
        self._suite = None

    @contextlib.contextmanager
    def suite(self, name):
        self._suite = Suite(name)
        self.suites.append(self._suite)
        print(f"== {name}", flush=True)
        begin = time.monotonic()
        try:
            yield
        finally:
            self._suite.seconds = time.monotonic() - begin

    def passed(self, count=1):
        self._suite.passed += count

    def failed(self, name, why=""):
        """One failure; `why` may have many lines."""
        self._suite.failures.append(name)
        self.say(f"not ok {name}" + (f": {why.strip()}" if why.strip() else ""))

    def say(self, text):
        print("\n".join("   " + line for line in text.splitlines()), flush=True)

    def close(self):
        """Prints the summary and the closing line; answers the exit status."""
        passed = sum(s.passed for s in self.suites)
        failures = [(s.name, f) for s in self.suites for f in s.failures]
        print("== summary")
        for suite in self.suites:
            print(f"   {suite.name:10} {suite.passed:5} passed {len(suite.failures):4} failed {suite.seconds:8.1f} s")
        for suite, name in failures:
            print(f"   FAILED  {suite}: {name}")
        if not passed and not failures:
            print("   nothing ran")
        print(f"{passed} passed, {len(failures)} failed", flush=True)
        return 0 if passed and not failures else 1


class Suite:
    def __init__(self, name):
        self.name, self.passed, self.failures, self.seconds = name, 0, [], 0.0
