# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: every hnv_bench_* (Google Benchmark), as a table.

`ratio` is a path's cycles a packet by those of the bare rx/tx loop of the same run and packet size:
what the line costs on top of moving packets at all. Compare ratios, not cycles, between machines.
"""

import contextlib
import json
import os
import re
import time

import trees
from command import LOGS, run

BARE = re.compile(r"^bare")
SIZE = re.compile(r"size:(\d+)")
TIME_LIMIT = 1800
HUGEPAGES = "/proc/sys/vm/nr_hugepages"
HUGEPAGES_WANTED = 256  # of 2 MiB, free, while benchmarks run


def bench(report, wanted, json_file=None):
    tree = trees.bench().configure()
    names = tree.targets("hnv_bench_")
    tree.build(*names)
    context, rows = {}, []
    with _hugepages() as huge:
        report.say("packet buffers in hugepages" if huge else
                   "no hugepages: figures include misses of the TLB and are no measure of the product")
        for name, binary in tree.binaries("hnv_bench_").items():
            if name in names:
                context, measured = _measure(report, name, binary, wanted, context, huge)
                rows += measured
    _table(report, rows)
    if json_file and rows:
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump({"context": context, "benchmarks": rows}, file, indent=2)
        report.say(f"written to {json_file}")


@contextlib.contextmanager
def _hugepages():
    """Enough of them for the time being; True when they are there."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        free = int(re.search(r"HugePages_Free:\s+(\d+)", file.read()).group(1))
    before = None
    if free < HUGEPAGES_WANTED and os.access(HUGEPAGES, os.W_OK):
        with open(HUGEPAGES, encoding="utf-8") as file:
            before = int(file.read())
        _set_hugepages(before + HUGEPAGES_WANTED - free)
        with open("/proc/meminfo", encoding="utf-8") as file:
            free = int(re.search(r"HugePages_Free:\s+(\d+)", file.read()).group(1))
    try:
        yield free >= HUGEPAGES_WANTED
    finally:
        if before is not None:
            _set_hugepages(before)


def _set_hugepages(count):
    with open(HUGEPAGES, "w", encoding="utf-8") as file:
        file.write(str(count))


def _measure(report, name, binary, wanted, context, huge):
    result = os.path.join(LOGS, f"{name}.json")
    if os.path.exists(result):
        os.unlink(result)
    only = [] if not wanted or wanted in name else [f"--benchmark_filter=({wanted}|{BARE.pattern})"]
    begin = time.monotonic()
    done = run([binary, *only, f"--benchmark_out={result}", "--benchmark_out_format=json"], TIME_LIMIT,
               log=os.path.join(LOGS, f"{name}.log"), env={"HNV_BENCH_HUGEPAGES": "1"} if huge else None)
    if not done.ok:
        report.failed(name, f"{done.how()}\n{done.tail()}")
        return context, []
    try:
        with open(result, encoding="utf-8") as file:
            answer = json.load(file)
    except (FileNotFoundError, ValueError):
        return context, []  # nothing in this binary has such a name
    rows = [row for row in answer["benchmarks"] if row.get("run_type") != "aggregate"
            or row.get("aggregate_name") == "median"]
    if only and all(BARE.match(row["name"]) for row in rows):
        return context, []
    for row in rows:
        row["binary"] = name
        if row.get("error_occurred"):
            report.failed(f"{name} {row['name']}", row.get("error_message", ""))
        else:
            report.passed()
    _add_ratios(rows)
    report.say(f"{name:28} {len(rows):5} measured {time.monotonic() - begin:7.1f} s")
    return answer["context"], rows


def _add_ratios(rows):
    bare = {_size(row): row["tsc_per_packet"] for row in rows if BARE.match(row["name"]) and row.get("tsc_per_packet")}
    for row in rows:
        loop = bare.get(_size(row), next(iter(bare.values())) if len(bare) == 1 else None)
        if loop and "tsc_per_packet" in row:
            row["ratio_to_bare_loop"] = row["tsc_per_packet"] / loop


def _size(row):
    found = SIZE.search(row["name"])
    return found.group(1) if found else None


def _table(report, rows):
    if not rows:
        return
    width = max(len(row["name"]) for row in rows)
    report.say(f"{'benchmark':{width}} {'TSC cycles':>12} {'a':8} {'p10':>7} {'p90':>7} {'ratio':>7}")
    for row in rows:
        cycles = next((k for k in ("tsc_per_packet", *sorted(row)) if k.startswith("tsc_per_") and k in row), None)
        figure, unit = (f"{row[cycles]:.1f}", cycles[8:]) if cycles else ("-", "")
        ratio = f"{row['ratio_to_bare_loop']:.2f}" if "ratio_to_bare_loop" in row else "-"
        spread = " ".join(f"{row[p]:7.1f}" if p in row else f"{'-':>7}" for p in ("p10", "p90"))
        report.say(f"{row['name']:{width}} {figure:>12} {unit:8} {spread} {ratio:>7}")
