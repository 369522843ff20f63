#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gateway/DROPS.md: the manual of drop reasons, made from compartments/line/drop_reason.h.

    tests/lint/drop_manual.py            print it
    tests/lint/drop_manual.py --write    write it; `tests/run lint` checks that it is current
"""

import os
import re
import sys

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
HEADER = os.path.join(TOP, "compartments", "line", "drop_reason.h")
MANUAL = os.path.join(TOP, "gateway", "DROPS.md")

HEAD = """\
# Drop reasons

Every packet that ends in the gateway ends under one of these. The name is the same in `hnvctl drops`, in `/v1/drops`, as the
label of `hnv_drops_total` in `/metrics`, and in a trace. `hnvctl drops` shows the sentence too.

Made from `compartments/line/drop_reason.h` by `tests/lint/drop_manual.py --write`; change it there.
"""


def table():
    """[(station, [(reason, sentence)])] in the header's order."""
    with open(HEADER, encoding="utf-8") as file:
        macro = re.search(r"#define HNV_DROP_REASONS\(X\)(.*?)// clang-format on", file.read(), re.S).group(1)
    out = []
    for comment, reason, sentence in re.findall(r'/\*\s*(.*?)\s*\*/|X\((\w+),\s*((?:"[^"]*"[\s\\]*)+)\)', macro):
        if comment:
            out.append((comment, []))
        else:
            out[-1][1].append((reason, "".join(re.findall(r'"([^"]*)"', sentence))))
    return out


def manual():
    parts = [HEAD]
    for station, reasons in table():
        parts.append(f"\n## {station}\n\n| reason | what it means |\n|---|---|\n")
        parts += [f"| `{reason}` | {sentence} |\n" for reason, sentence in reasons]
    return "".join(parts)


def faults(_files=None):
    try:
        with open(MANUAL, encoding="utf-8") as file:
            current = file.read() == manual()
    except FileNotFoundError:
        current = False
    return [] if current else ["gateway/DROPS.md: not what drop_reason.h says: tests/lint/drop_manual.py --write"]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        with open(MANUAL, "w", encoding="utf-8") as out:
            out.write(manual())
    elif not sys.argv[1:]:
        sys.stdout.write(manual())
    else:
        sys.exit(__doc__)
