#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Peers in the same run as the product: Open vSwitch with DPDK, dpdk-testpmd, DPDK's l3fwd.

    tests/bench/peers.py --tree build/bench [--only PART] [--rounds N] --json FILE

Everything runs on processor 1 in turn: ours, the peer, its port I/O alone, ours, the peer, … A row
holds the medians of the rounds. The peer's figure is what its thread needed for a packet less what
testpmd needs to move the same capture between the same devices; ours has no port I/O in it.
"""

import argparse
import glob
import json
import os
import re
import shutil
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))

from l3fwd import FLOWS, L3fwd  # noqa: E402
from ovs_nat_peer import OvsNatPeer  # noqa: E402
from ovs_peer import OvsPeer  # noqa: E402
from support.run import Run, call  # noqa: E402
from testpmd import Testpmd  # noqa: E402

WINDOW = 1.0  # seconds
PCAP_BUFFERS = 140000  # net_pcap keeps the whole capture in buffers


class Case:
    """A case of bench_path, and whether the capture has FlowIDs of its own per flow."""

    def __init__(self, compartments, records, flows=65536, flow_ids="random", most=None):
        self.compartments, self.records, self.flows, self.flow_ids, self.most = (
            compartments, records, flows, flow_ids, most)
        self.ours = (f"nvgre_to_nvgre/compartments:{compartments}/records:{records}/size:64" +
                     (f"/flows:{flows}" if flows != 65536 else ""))
        self.name = f"peer_ovs_dpdk/{self.ours}" + ("/flow_id:zero" if flow_ids == "zero" else "")


# `most`: what our share of the peer's cycles may be at most.
CASES = [Case(1, 64, flows=64), Case(1, 64), Case(1000, 8000), Case(4000, 8000, most=0.3),
         Case(4000, 8000, flow_ids="zero")]


class NatCase:
    """Both directions of a case of bench_nat."""

    def __init__(self, path, domains, sessions, most=None):
        self.domains, self.sessions, self.back, self.most = domains, sessions, path == "nat_to_nvgre", most
        self.ours = f"{path}/domains:{domains}/sessions:{sessions}/size:64"
        self.name = f"peer_ovs_dpdk/{self.ours}"


NAT_CASES = [NatCase(path, *size) for size in ((1, 16000), (4000, 64000, 0.3))
             for path in ("nvgre_to_nat", "nat_to_nvgre")]


class Ours:
    def __init__(self, run, tree, binary):
        self._run, self._binary = run, os.path.join(tree, "tests", "bench", binary)

    def measure(self, name):
        out = self._run.path("ours.json")
        call(self._binary, f"--benchmark_filter=^{re.escape(name)}/min_time", f"--benchmark_out={out}",
             "--benchmark_out_format=json", timeout=300, env={**os.environ, "HNV_BENCH_HUGEPAGES": "1"})
        with open(out, encoding="utf-8") as file:
            row, = json.load(file)["benchmarks"]
        if row.get("error_occurred"):
            raise RuntimeError(f"{name}: {row.get('error_message')}")
        return row["tsc_per_packet"]


def ovs(run, tree, case, rounds):
    capture = run.path("nvgre.pcap")
    facts = write_capture(tree, "nvgre", capture, case.compartments, case.records, 64, case.flows, case.flow_ids)
    return take_turns(run, Ours(run, tree, "hnv_bench_path"), OvsPeer(run, "peer", [capture], facts), capture, case,
                      rounds)


def ovs_nat(run, tree, case, rounds):
    captures = [run.path("out.pcap"), run.path("back.pcap")]
    facts = write_capture(tree, "nat", *captures, case.domains, case.sessions, 64)
    peer = OvsNatPeer(run, "peer", captures, facts, case.sessions, case.back)
    row = take_turns(run, Ours(run, tree, "hnv_bench_nat"), peer, captures[case.back], case, rounds)
    peer.go_on()
    if peer.connections() != case.sessions:
        raise RuntimeError(f"Open vSwitch has {peer.connections()} connections for {case.sessions} sessions")
    return row


def write_capture(tree, *arguments):
    done = call(os.path.join(tree, "tests", "bench", "hnv_write_capture"), *arguments)
    return [line.split() for line in done.stdout.splitlines()]


def take_turns(run, ours, peer, capture, case, rounds):
    floor = Testpmd(run, "floor", [f"net_pcap0,rx_pcap={capture},infinite_rx=1", "net_null1,no-rx=1"], 32, PCAP_BUFFERS)
    cache = peer.settle()
    peer.stop()
    figures = {"ours": [], "peer": [], "io": []}
    for _ in range(rounds):
        figures["ours"].append(ours.measure(case.ours))
        peer.go_on()
        peer.warm_up()  # its caches are cold, and its timers behind
        picture = peer.window(WINDOW)
        peer.stop()
        if picture["upcalls"] or picture["sent"] < 0.99 * picture["packets"]:
            raise RuntimeError(f"Open vSwitch did not forward it all:\n{picture['text']}")
        figures["peer"].append(picture["tsc"])
        figures["io"].append(floor.window(WINDOW / 2))
    floor.close()
    middle = {name: statistics.median(values) for name, values in figures.items()}
    return {"name": case.name, "tsc_per_packet": middle["ours"], "peer": f"Open vSwitch with DPDK, {cache}",
            "peer_tsc_per_packet": middle["peer"] - middle["io"], "peer_tsc_with_io": middle["peer"],
            "io_tsc_per_packet": middle["io"], "ratio_to_peer": middle["ours"] / (middle["peer"] - middle["io"]),
            "most": case.most, "rounds": figures}


def testpmd(run, rounds):
    """What moving packets costs at all: rings, bursts of 64."""
    ring = Testpmd(run, "ring", ["net_ring0", "net_ring1"], 64)
    figures = {"io": [], "macswap": []}
    for _ in range(rounds):
        for mode, values in figures.items():
            ring.tell(f"set fwd {mode}")
            values.append(ring.window(WINDOW / 2, "start tx_first 8"))
    ring.close()
    return [{"name": f"floor_testpmd_{mode}", "tsc_per_packet": statistics.median(values), "rounds": values}
            for mode, values in figures.items()]


def l3fwd(run, tree, rounds):
    """A router without tenants, on plain IPv4; its port I/O by testpmd likewise."""
    capture = run.path("ipv4.pcap")
    call(os.path.join(tree, "tests", "bench", "hnv_write_capture"), "ipv4", capture, 2, FLOWS)
    floor = Testpmd(run, "floor", [f"net_pcap0,rx_pcap={capture},infinite_rx=1", "net_null1,no-rx=1"], 32)
    router = L3fwd(run, tree, capture)
    router.stop()
    figures = {"l3fwd": [], "io": []}
    for _ in range(rounds):
        router.go_on()
        begin = router.picture()
        threading.Event().wait(WINDOW)
        end = router.picture()
        router.stop()
        figures["l3fwd"].append((end[0] - begin[0]) / (end[1] - begin[1]))
        figures["io"].append(floor.window(WINDOW / 2))
    floor.close()
    middle = {name: statistics.median(values) for name, values in figures.items()}
    return [{"name": "floor_l3fwd_lpm", "tsc_per_packet": middle["l3fwd"] - middle["io"],
             "io_tsc_per_packet": middle["io"], "rounds": figures}]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    tree, rows = os.path.abspath(chosen.tree), []

    def keep(new):
        rows.extend(new)
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)

    parts = [("floor_testpmd", lambda run: testpmd(run, chosen.rounds)),
             ("floor_l3fwd_lpm", lambda run: l3fwd(run, tree, chosen.rounds)),
             *((case.name, lambda run, case=case: [ovs(run, tree, case, chosen.rounds)]) for case in CASES),
             *((case.name, lambda run, case=case: [ovs_nat(run, tree, case, chosen.rounds)]) for case in NAT_CASES)]
    for name, measure in parts:
        if re.search(chosen.only, name):
            begin = time.monotonic()
            run = Run(f"b{os.getpid()}")
            try:
                with run:
                    keep(measure(run))
            finally:
                for left in glob.glob(f"/var/run/dpdk/hnv-{run.id}-*"):
                    shutil.rmtree(left, ignore_errors=True)
            print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
