#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rate limits that TCP likes: real TCP through the tunnels of the lab's two tenants, to a stock strongSwan site of each.

The topology of the lab is drawn in support/lab_topology.py, that of the sites in support/branches.py. Both tunnels have the
default rate, 5,120 kbit/s of inner IP each way; contoso's flows leave through it, fabrikam's come in, at the same time.
What a measurement is worth on a busy machine is said in support/tunnel_rates.py.
"""

import sys

from support.branches import path
from support.checks import expect, topology
from support.gateway import ledger_balanced
from support.ipsec_proofs import status
from support.lab_topology import TENANTS, Lab
from support.tunnel_rates import RATE, Flows, carries_its_rate, measure, prove_another_rate, prove_rate
from support.wait import wait_for

# Times the rate. What goes beyond the rate ends at once in the gateway, which works hardly more for it; the switches in user space
# before it carry all of it, and where these get no processor the neighbour's packets wait, too. That is what Watch looks at.
FLOODED = 10
# Datagrams of 1,000 bytes at a rate in kbit/s; own address, address, rate.
FLOOD = """
import select, socket, sys, time
own, address, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((own, 0))
begin, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - begin) * rate * 125 / 1000)
    if due - sent > 50:
        sent = due - 50
    while sent < due:
        try:
            sock.sendto(b"f" * 972, (address, 9))
        except OSError:
            pass
        sent += 1
    select.select([], [], [], 0.002)
"""


class Limited(Lab):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.add_branches()
        self.start_gateway()
        self.gateway.api.apply(self.resources())
        self.tell_hosts()
        for tenant in TENANTS:
            self.gateway.api.put(path(tenant), self.branches.connection(tenant))
        wait_for(lambda: self.gateway.api.get("/v1/system")["ipsec"] == "up", 15, "charon")
        self.branches.connect()
        self.flows = Flows(self)

    def dump(self):
        print(self.gateway.dump(), file=sys.stderr)


def build(run, arguments):
    return Limited(run, arguments)


def prove_tcp(checks, lab):
    prove_rate(checks, lab.flows, 30, 5)
    kernel = lab.flows.ends("contoso")[0]("sysctl", "-n", "net.ipv4.tcp_available_congestion_control").stdout.split()
    if "bbr" in kernel:
        with checks.check("likewise one of bbr") as note:
            measure(note, lab.flows, carries_its_rate(), seconds=10, skip=3, congestion="bbr")
    with checks.check("likewise eight of cubic at once") as note:
        measure(note, lab.flows, carries_its_rate(), seconds=10, skip=3, streams=8)
    with checks.check("a flow that knows ECN is marked") as note:
        def set_ecn(value):
            for tenant in TENANTS:
                for space in lab.flows.ends(tenant)[::2]:
                    space("sysctl", "-qw", f"net.ipv4.tcp_ecn={value}")
        set_ecn(1)

        def judge(seen, told):
            carries_its_rate()(seen, told)
            expect(all(seen.marked.values()), f"nothing was marked: {told}")
        measure(note, lab.flows, judge, seconds=8, skip=3)
        set_ecn(2)  # only where it is asked for, as by default


def prove_flood(checks, lab):
    with checks.check(f"a tunnel that is flooded with {FLOODED} times its rate costs the other tenant's nothing") as note:
        source, own, _, address = lab.flows.ends("contoso")
        before = status(lab, "contoso")["statistics"]["txRateLimitedPacketsDropped"]
        flood = source.spawn("flood", sys.executable, "-c", FLOOD, own, address, FLOODED * RATE)
        try:
            measure(note, lab.flows, carries_its_rate(), seconds=8, skip=2, tenants=["fabrikam"])
            seen = status(lab, "contoso")["statistics"]
            expect(seen["txQueueBytes"] > 0, f"a queue: {seen}")
            expect(0 < seen["txQueueDelay"] < 0.05, f"its delay: {seen}")
            expect(seen["txRateLimitedPacketsDropped"] > before, seen)
        finally:
            flood.stop()
        wait_for(lambda: status(lab, "contoso")["statistics"]["txQueueBytes"] == 0, 5, "the queue's end")


def prove_end(checks, lab):
    with checks.check("the tunnel is removed while packets wait: they end under a reason, and the ledger holds") as note:
        source, own, _, address = lab.flows.ends("contoso")
        flood = source.spawn("flood-2", sys.executable, "-c", FLOOD, own, address, 4 * RATE)
        wait_for(lambda: status(lab, "contoso")["statistics"]["txQueueBytes"] > 10_000, 5, "a queue")
        lab.gateway.api.delete(path("contoso"))
        flood.stop()
        wait_for(lambda: lab.gateway.drops().get("ipsec_tunnel_gone", 0) > 0, 5, "what waited", tell=lab.gateway.drops)
        note.text = wait_for(lambda: ledger_balanced(lab.gateway), 5, "the ledger")


def prove(checks, lab):
    prove_tcp(checks, lab)
    prove_another_rate(checks, lab.flows, 10)
    for part in (prove_flood, prove_end):
        part(checks, lab)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
