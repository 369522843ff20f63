# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: every hnv_bench_* (Google Benchmark), then the peers, as tables. tests/bench/README.md
says how to read them.

`ratio` is a path's cycles a packet by those of the bare rx/tx loop of the same run: what the line
costs on top of moving packets at all. Compare ratios, not cycles, between machines.
"""

import contextlib
import json
import os
import re
import sys
import time

import trees
from command import LOGS, TOP, run

BARE = re.compile(r"^bare")
SIZE = re.compile(r"size:(\d+)")
TIME_LIMIT = 1800
FULL_TIME_LIMIT = 7200
HUGEPAGES = "/proc/sys/vm/nr_hugepages"
HUGEPAGES_WANTED = 256  # of 2 MiB, free, while benchmarks run
HUGEPAGES_FOR_PEERS = 800
# What is to be reached in any run (issues 3 and 4): compared within it, or no matter of the machine. A
# figure by name, and what it may be at most, or has to be at least.
AT_MOST = {("memory/world", "mib"): 128, ("memory/record", "bytes_each"): 128,
           ("nat_new_session/domains:4000/sessions:2000000", "bytes_each"): 192,
           ("nat_expiry/domains:4000/sessions:2000000", "percent"): 5}
AT_LEAST = {("workers/n:2/by:port", "times_one_worker"): 1.8}
# Likewise one path's cycles by another's, of their quieter passes.
AT_4000 = "compartments:4000/records:8000/size:"
RATIOS = [(f"nvgre_to_nvgre/{AT_4000}64", "nvgre_to_nvgre/compartments:1/records:8000/size:64", 1.2),
          *((f"{path}_ipv6/{AT_4000}70", f"{path}/{AT_4000}64", 1.3)
            for path in ("nvgre_to_nvgre", "nvgre_to_l3", "l3_to_nvgre"))]
# Cycles of the quieter passes that we aim at: said, but no failure, for they are the machine's as well.
AIMS = {f"{path}/domains:4000/sessions:{sessions}/size:64": most for path in ("nvgre_to_nat", "nat_to_nvgre")
        for sessions, most in ((16000, 90), (2000000, 120), (16000000, 160))} | {
            "nat_new_session/domains:4000/sessions:2000000": 600} | {
            f"{path}/tunnels:2000/cipher:aes256gcm/size:{size}": most
            for path, size, most in (("nvgre_to_ipsec", 64, 170), ("nvgre_to_ipsec", 1420, 330),
                                     ("ipsec_to_nvgre", 64, 170), ("ipsec_to_nvgre", 1420, 320))}
# Likewise other figures of a row.
AIMS_OF = {("bgp_full_table/routes:1000000", "seconds"): 8, ("bgp_full_table/routes:1000000", "mib"): 2048,
           ("bgp_domains/domains:500/prefixes:100", "seconds"): 15,
           **{(f"rate_limit/{path}/tunnels:2000/cipher:aes256gcm/size:{size}", "times_unlimited"): 1.3
              for path in ("nvgre_to_ipsec", "ipsec_to_nvgre") for size in (64, 512, 1420)}}
# Of a row: Google Benchmark's own, and what the table has columns for.
NOT_SHOWN = {"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations",
             "real_time", "cpu_time", "ratio_to_bare_loop", "p10", "p90", "io_tsc_per_packet"}
PEERS = os.path.join(TOP, "tests", "bench", "peers.py")
ROUTERS = os.path.join(TOP, "tests", "bench", "routers.py")


def bench(report, wanted, json_file=None, full=False):
    tree = trees.bench().configure()
    names = tree.targets("hnv_bench_")
    tree.build(*names, "hnv_write_capture", "hnv-gateway", "hnvctl")
    context, rows = {}, []
    with _hugepages(HUGEPAGES_WANTED) as huge:
        report.say("packet buffers in hugepages" if huge else
                   "no hugepages: figures include misses of the TLB and are no measure of the product")
        env = {**({"HNV_BENCH_HUGEPAGES": "1"} if huge else {}), **({"HNV_BENCH_FULL": "1"} if full else {})}
        for name, binary in tree.binaries("hnv_bench_").items():
            if name in names:
                context, measured = _measure(report, name, binary, wanted, context, env)
                rows += measured
    if os.geteuid() == 0:
        rows += _script(report, "routers", ROUTERS, tree, wanted)
    with _hugepages(HUGEPAGES_FOR_PEERS) as huge:
        if os.geteuid() == 0 and huge:
            rows += _script(report, "peers", PEERS, tree, wanted)
        else:
            report.say(f"no peers: they need root and {HUGEPAGES_FOR_PEERS} free hugepages of 2 MiB")
    _table(report, [row for row in rows if "peer_tsc_per_packet" not in row])
    _peer_table(report, [row for row in rows if "peer_tsc_per_packet" in row])
    _goals(report, rows)
    if json_file and rows:
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump({"context": context, "benchmarks": rows}, file, indent=2)
        report.say(f"written to {json_file}")


@contextlib.contextmanager
def _hugepages(wanted):
    """Enough of them for the time being; True when they are there."""
    free = _free_hugepages()
    before = None
    if free < wanted and os.access(HUGEPAGES, os.W_OK):
        with open(HUGEPAGES, encoding="utf-8") as file:
            before = int(file.read())
        _set_hugepages(before + wanted - free)
        free = _free_hugepages()
    try:
        yield free >= wanted
    finally:
        if before is not None:
            _set_hugepages(before)


def _free_hugepages():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return int(re.search(r"HugePages_Free:\s+(\d+)", file.read()).group(1))


def _set_hugepages(count):
    with open(HUGEPAGES, "w", encoding="utf-8") as file:
        file.write(str(count))


def _measure(report, name, binary, wanted, context, env):
    result = _result(name)
    only = [] if not wanted or wanted in name else [f"--benchmark_filter=({wanted}|{BARE.pattern})"]
    begin = time.monotonic()
    done = run([binary, *only, f"--benchmark_out={result}", "--benchmark_out_format=json"],
               FULL_TIME_LIMIT if "HNV_BENCH_FULL" in env else TIME_LIMIT, log=os.path.join(LOGS, f"{name}.log"), env=env)
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
        # How long it was measured, and by whose clock, says nothing about what.
        row["name"] = re.sub(r"/(min_time:[\d.]+|iterations:\d+|manual_time|real_time)", "", row["name"])
        if row.get("error_occurred"):
            report.failed(f"{name} {row['name']}", row.get("error_message", ""))
        else:
            report.passed()
    _add_ratios(rows)
    report.say(f"{name:28} {len(rows):5} measured {time.monotonic() - begin:7.1f} s")
    return answer["context"], rows


def _result(name):
    path = os.path.join(LOGS, f"{name}.json")
    if os.path.exists(path):
        os.unlink(path)
    return path


def _add_ratios(rows):
    bare = {_size(row): row["tsc_per_packet"] for row in rows if BARE.match(row["name"]) and row.get("tsc_per_packet")}
    for row in rows:
        loop = bare.get(_size(row), next(iter(bare.values())) if len(bare) == 1 else None)
        if loop and "tsc_per_packet" in row:
            row["ratio_to_bare_loop"] = row["tsc_per_packet"] / loop


def _size(row):
    found = SIZE.search(row["name"])
    return found.group(1) if found else None


def _script(report, name, script, tree, wanted):
    result = _result(name)
    begin = time.monotonic()
    # It is told to clean up also when nobody can tell us to: kill -9 of tests/run.
    done = run(["setpriv", "--pdeathsig", "TERM", script, f"--tree={tree.path}", f"--json={result}", f"--only={wanted}"],
               TIME_LIMIT, log=os.path.join(LOGS, f"{name}.log"))
    if done.status is None:
        _remove(done.pid)
    if not done.ok:
        report.failed(name, f"{done.how()}\n{done.tail()}")
    rows = []
    if os.path.exists(result):
        with open(result, encoding="utf-8") as file:
            rows = json.load(file)
    report.passed(len(rows))
    if rows:
        report.say(f"{name:28} {len(rows):5} measured {time.monotonic() - begin:7.1f} s")
    return rows


def _remove(pid):
    """What had to be killed left behind; it is called after the script's pid."""
    sys.path.insert(0, os.path.join(TOP, "tests", "netns"))
    from support.run import Run  # noqa: PLC0415 - needed only here
    Run(f"b{pid}", fresh=False).remove()


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
        others = " ".join(f"{key}={value:.4g}" for key, value in row.items()
                          if key not in NOT_SHOWN and key != cycles and isinstance(value, (int, float)))
        report.say(f"{row['name']:{width}} {figure:>12} {unit:8} {spread} {ratio:>7} {others}".rstrip())


def _goals(report, rows):
    known = {row["name"]: row for row in rows if not row.get("error_occurred")}
    found = []  # name, figure, limit, whether it is reached
    for (name, key), most in AT_MOST.items():
        if key in known.get(name, {}):
            found.append((f"{name} {key}", known[name][key], f"at most {most}", known[name][key] <= most))
    for (name, key), least in AT_LEAST.items():
        if key in known.get(name, {}):
            found.append((f"{name} {key}", known[name][key], f"at least {least}", known[name][key] >= least))
    for name, base, most in RATIOS:
        if name in known and base in known:
            ratio = known[name]["p10"] / known[base]["p10"]
            found.append((f"{name} by {base}", ratio, f"at most {most}", ratio <= most))
    for row in rows:
        if row.get("most"):
            found.append((f"{row['name']} by the peer", row["ratio_to_peer"], f"at most {row['most']}",
                          row["ratio_to_peer"] <= row["most"]))
    for name, most in AIMS.items():
        if name in known:
            figure = known[name]["p10"]
            report.say(f"aim: {name}: {figure:.0f} cycles, {most}{'' if figure <= most else ', missed'}")
    for (name, key), most in AIMS_OF.items():
        if key in known.get(name, {}):
            figure = known[name][key]
            report.say(f"aim: {name} {key}: {figure:.2f}, {most}{'' if figure <= most else ', missed'}")
    for name, figure, limit, good in found:
        report.say(f"goal: {name}: {figure:.2f}, {limit}")
        if good:
            report.passed()
        else:
            report.failed(f"goal {name}", f"{figure:.2f}, {limit}")


def _peer_table(report, rows):
    if not rows:
        return
    width = max(len(row["name"]) for row in rows)
    report.say(f"{'in turn with a peer':{width}} {'ours':>7} {'peer':>7} {'its I/O':>7} {'ratio':>7}")
    for row in rows:
        report.say(f"{row['name']:{width}} {row['tsc_per_packet']:7.1f} {row['peer_tsc_per_packet']:7.1f} "
                   f"{row['io_tsc_per_packet']:7.1f} {row['ratio_to_peer']:7.3f} {row['peer']}")
