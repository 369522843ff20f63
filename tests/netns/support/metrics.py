# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format, read strictly enough to notice what a scraper would refuse."""

import re

_LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')


class Metrics:
    def __init__(self, text):
        self.values = {}  # (name, frozenset of labels) -> value
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ", 3)
                if name in self.types:
                    raise AssertionError(f"metric {name} is described twice")
                self.types[name] = kind
            elif line and not line.startswith("#"):
                match = _LINE.match(line)
                if not match:
                    raise AssertionError(f"not Prometheus text: {line!r}")
                name, labels, value = match.groups()
                key = name, frozenset(_LABEL.findall(labels or ""))
                if key in self.values:
                    raise AssertionError(f"two values of {name} {labels}")
                self.values[key] = float(value)

    def get(self, name, **labels):
        """The sum of the samples of name that carry these labels; a name nobody has is an error."""
        wanted = set(labels.items())
        found = [v for (n, have), v in self.values.items() if n == name and wanted <= have]
        if not found:
            raise AssertionError(f"no metric {name} with {labels}; names: {sorted({n for n, _ in self.values})}")
        return sum(found)
