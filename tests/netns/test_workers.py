#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two workers on ports with one queue pair each: flows are shared out, handed over, and stay in order.

The lab's topology (support/lab_topology.py). fabric0 is worker 0's to receive and to send, wan0
worker 1's: nearly every flow crosses a ring at least once. A worker is held up with ptrace, as a
debugger would, and let go again.
"""

import collections
import os
import re
import socket
import struct
import sys
import threading

from support.checks import expect, expect_equal, topology
from support.gateway import ledger_balanced, worker_lcores
from support.held_thread import HeldThread
from support.lab_proofs import warm_up
from support.lab_topology import SERVER, TENANTS, Lab
from support.metrics import Metrics
from support.traffic import ping
from support.wait import wait_for

FLOWS = 24
PACKETS = 400  # of each flow
# Of one direction. A port's ring in the kernel holds 512 frames, those of four directions at most; what
# comes while it is full the kernel drops, and nobody counts.
IN_FLIGHT = 60
PORT = 9000


def build(run, arguments):
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two workers want two processors")
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.gateway.config["lcores"]["workers"] = worker_lcores(2)
    lab.start_gateway()
    lab.configure()
    return lab


class Order:
    """A socket that notes, for every source port, the numbers in the order in which they come."""

    def __init__(self, space, port, marker):
        self._sock = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        self._sock.bind(("", port))
        self._sock.settimeout(0.1)
        self.marker, self.foreign = marker.encode(), 0
        self.numbers = collections.defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        while not self._stop.is_set():
            try:
                payload, (_, port) = self._sock.recvfrom(2048)
            except TimeoutError:
                continue
            if payload[4:] != self.marker:
                self.foreign += 1
            self.numbers[port].append(struct.unpack("!I", payload[:4])[0])

    def count(self):
        return sum(len(n) for n in self.numbers.values())

    def close(self):
        self._stop.set()
        self._thread.join()


def statistics(gateway):
    return gateway.api.get("/v1/statistics")


def send_flows(space, address, receiver, marker, first_port):
    """Interleaved packets of many flows; at most IN_FLIGHT that have not come yet."""
    socks = []
    for flow in range(FLOWS):
        sock = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", first_port + flow))
        sock.connect((address, PORT))
        socks.append(sock)
    for number in range(PACKETS):
        for sock in socks:
            sock.send(struct.pack("!I", number) + marker.encode())
        sent = (number + 1) * FLOWS
        allowed = IN_FLIGHT if number + 1 < PACKETS else 0
        wait_for(lambda n=sent - allowed: receiver.count() >= n, 20, "packets under way to come", interval=0)
    for sock in socks:
        sock.close()


def prove_sharing(checks, lab):
    gateway = lab.gateway
    with checks.check("the ports say who spreads") as note:
        ports = {p["name"]: (p["rxQueues"], p["txQueues"], p["spreading"]) for p in gateway.api.get("/v1/ports")["value"]}
        expect_equal(ports, {"fabric0": (1, 1, "software"), "wan0": (1, 1, "software")}, "(rx, tx, spreading)")
        note.text = str(ports)
    warm_up(lab)
    before = statistics(gateway)
    receivers, jobs = {}, []
    for tenant in TENANTS:
        web1, server, legacy1 = lab.vm(tenant, "web1").space, lab.servers[tenant].space, lab.vm(tenant, "legacy1").space
        receivers[tenant] = (Order(server, PORT, tenant), Order(legacy1, PORT, tenant))
        for space, address, receiver, first in ((web1, SERVER, receivers[tenant][0], 20000),
                                                (server, "10.0.3.11", receivers[tenant][1], 30000)):
            jobs.append(threading.Thread(target=send_flows, args=(space, address, receiver, tenant, first)))
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    for tenant, pair in receivers.items():
        for receiver, way in zip(pair, ("VM to server", "server to VM")):
            with checks.check(f"{tenant}, {way}: no packet of a flow overtakes another") as note:
                receiver.close()
                expect_equal(receiver.foreign, 0, "packets of the other tenant")
                expect_equal(len(receiver.numbers), FLOWS, "flows that came")
                for port, numbers in receiver.numbers.items():
                    expect_equal(numbers, sorted(set(numbers)), f"the numbers of source port {port}")
                expect_equal(receiver.count(), FLOWS * PACKETS, "packets that came")
                note.text = f"{receiver.count()} packets of {FLOWS} flows"
    with checks.check("both workers routed, and handed over") as note:
        after = statistics(gateway)
        routed = [station(a, "route") - station(b, "route") for a, b in zip(after["workers"], before["workers"])]
        handed = [a["handedOut"] - b["handedOut"] for a, b in zip(after["workers"], before["workers"])]
        expect(min(routed) > sum(routed) / 4, f"routed by worker: {routed}")
        expect(min(handed) > 1000, f"handed out by worker: {handed}")
        expect_equal(after["total"]["rxPackets"], sum(w["rxPackets"] for w in after["workers"]), "the total")
        note.text = f"routed {routed}, handed out {handed}"


def station(worker, name):
    return next(s["packets"] for s in worker["stations"] if s["station"] == name)


def prove_ledger(checks, lab):
    with checks.check("the ledger over the workers: what one handed out another has, or a ring") as note:
        def settled():
            answer = lab.gateway.api.get("/v1/drops")
            return answer["ledger"]["handedOut"] == answer["ledger"]["handedIn"] + answer["inRings"]
        wait_for(settled, 5, "handedOut to be handedIn and what the rings hold")
        ledger_balanced(lab.gateway)
        answer = lab.gateway.api.get("/v1/drops")
        expect_equal({r: n for r, n in answer["drops"].items() if r.startswith("handoff") and n}, {}, "handoff drops")
        note.text = f"{answer['ledger']['handedOut']} handed over"


def prove_stuck(checks, lab):
    gateway = lab.gateway
    held = HeldThread(gateway.process.pid, "rte-worker-2")  # DPDK counts the control thread too
    with checks.check("a worker that does not breathe is seen and said"), held:
        wait_for(lambda: gateway.api.get("/v1/system")["stuckWorkers"] == [1], 5, "worker 1 to be named")
        expect_equal([w["state"] for w in statistics(gateway)["workers"]], ["running", "stuck"], "states")
        metrics = Metrics(gateway.api.request("GET", "/metrics").text)
        expect_equal([metrics.get("hnv_worker_stuck", worker=w) for w in ("0", "1")], [0, 1], "/metrics")
        expect("worker 1 on lcore 0 is stuck" in gateway.log(), gateway.log(1000))
        expect("stuck" in gateway.ctl("statistics").stdout, "hnvctl statistics")
        # The other one goes on, and so does the API.
        gateway.api.put("/v1/routingDomains/third", {})
    with checks.check("that it breathes again is said too"):
        wait_for(lambda: gateway.api.get("/v1/system")["stuckWorkers"] == [], 5, "no worker to be stuck")
        expect(re.search(r"worker 1 on lcore 0 breathes again, after \d+ ms", gateway.log()), gateway.log(1000))
        for tenant in TENANTS:
            expect_equal(ping(lab.vm(tenant, "web1").space, SERVER, 10), 10, f"{tenant}: answers")
    prove_ledger(checks, lab)


def prove_restart(checks, lab):
    with checks.check("killed and started again, both workers forward for both tenants"):
        lab.gateway.kill()
        lab.gateway.start()
        for tenant in TENANTS:
            space = lab.vm(tenant, "web1").space
            wait_for(lambda s=space: ping(s, SERVER, 1, wait=0.5) == 1, 10, f"{tenant}: the first answer")
            expect_equal(ping(space, SERVER, 20), 20, f"{tenant}: answers")
        ledger_balanced(lab.gateway)


def prove(checks, lab):
    prove_sharing(checks, lab)
    prove_ledger(checks, lab)
    prove_stuck(checks, lab)
    prove_restart(checks, lab)
    with checks.check("the end: what one handed out another handed in") as note:
        expect_equal(lab.gateway.stop(), 0, "exit status after SIGTERM")
        last = re.search(r"ended: .*", lab.gateway.log())
        expect(last and last.group(0).endswith("ledger balanced"), lab.gateway.log(500))
        note.text = last.group(0)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
