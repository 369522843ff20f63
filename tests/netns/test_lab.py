#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The main job on real hosts: everything the lab proves, isolation under load, agreeing views.

The topology is drawn in support/lab_topology.py.
"""

import os
import re
import sys

from support.bgp_proofs import prove_bgp
from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.gateway import ledger_balanced
from support.ipsec_proofs import prove_ipsec
from support.lab_proofs import Moved, prove_all
from support.lab_topology import GATEWAY_PA, NOWHERE, SERVER, TENANTS, Lab
from support.metrics import Metrics
from support.nat_proofs import prove_nat
from support.server import connects
from support.traffic import ping
from support.tunnel_proofs import prove_failover, prove_tunnels
from support.tunnel_rates import Flows, prove_another_rate, prove_rate
from support.wait import wait_for

SECONDS = 4
BITRATE = "8M"
FULL = os.environ.get("HNV_SCALE") == "full"  # everything as long as `packaging/lab rates` and `failover` do it


def build(run, arguments):
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.add_branches()
    lab.add_backups()
    lab.add_bgp()
    lab.start_gateway()
    lab.configure()
    lab.branches.connect()
    lab.backups.connect()
    lab.bgp.start()
    lab.bgp.wait()
    return lab


def prove_isolation_under_load(checks, lab):
    """iperf3 of both tenants at once, watched at every VM and server.

    Same addresses, same MACs: what tells the tenants apart on a wire is what they say (each
    tenant's streams carry its name) and iperf3's port (5201 contoso, 5202 fabrikam).
    """
    places = {(t, n): vm for (t, n), vm in lab.vms.items()}
    places |= {(t, "server"): server for t, server in lab.servers.items()}
    captures = {key: Capture(place.space, place.interface, f"load-{place.name}") for key, place in places.items()}
    fabric = Capture(lab.switch.space, "gw-fab0", "load-fabric")
    jobs = []
    for tenant, (number, _, _) in TENANTS.items():
        port = 5200 + number
        text = lab.run.path(f"{tenant}.text")
        with open(text, "wb") as file:
            file.write(f"{tenant}-says-hello ".encode() * (1 << 20))
        for name in ("web1", "legacy1"):
            vm = lab.vm(tenant, name)
            vm.space.spawn(f"{vm.name}-iperf3", "iperf3", "--server", "--port", port)
            wait_for(lambda vm=vm: connects(vm.space, "127.0.0.1", port), 10, f"iperf3 on {vm.name}")
        for place, address in (("web1", SERVER), ("server", "10.0.3.11"), ("app2", "10.0.1.11")):
            sender = places[tenant, place]
            jobs.append((f"{tenant} {place} to {address}", sender.space.spawn(
                f"{sender.name}-load", "iperf3", "--client", address, "--port", port, "--time", SECONDS,
                "--bitrate", BITRATE, "--file", text)))
    for name, job in jobs:
        with checks.check(f"under load: {name}") as note:
            expect_equal(job.wait(SECONDS + 20), 0, f"iperf3's status; it said {job.output(500)}")
            received = re.findall(r"([\d.]+) MBytes .*receiver", job.output())
            expect(received and float(received[-1]) > 1, f"hardly anything came: {job.output(800)}")
            note.text = f"{received[-1]} MB received"
    for capture in (*captures.values(), fabric):
        capture.stop()
    with checks.check("under load: the captures are whole"):
        expect_equal({c.name: c.dropped_by_kernel() for c in captures.values() if c.dropped_by_kernel()}, {},
                     "frames that tcpdump missed")
    for (tenant, name), capture in captures.items():
        other = next(t for t in TENANTS if t != tenant)
        own_port, other_port = 5200 + TENANTS[tenant][0], 5200 + TENANTS[other][0]
        with checks.check(f"no packet of {other} at {tenant}'s {name}") as note:
            raw = capture.raw()
            expect_equal(raw.count(f"{other}-says".encode()), 0, f"sayings of {other}")
            expect_equal(capture.matching(f"port {other_port}"), 0, f"packets of {other}'s iperf3")
            own = capture.matching(f"port {own_port}")
            if name in ("web1", "legacy1", "app2", "server"):  # the check is able to see what it looks for
                expect(own > 100 and f"{tenant}-says".encode() in raw, f"only {own} packets of its own")
            note.text = f"{own} packets of its own"
    with checks.check("tshark finds no fault in any encapsulated frame under load") as note:
        vsids = {v for _, _, v in fabric.nvgre()}
        expect({5000, 5001, 5003, 6000, 6001, 6003} <= vsids, f"VSIDs seen: {sorted(vsids)}")
        expect_equal(fabric.faults(), [], "faults")
        note.text = f"{fabric.matching('proto gre')} frames"


def prove_answers_of_the_gateway(checks, lab):
    """What the gateway itself says, in each tenant's address space."""
    for tenant in TENANTS:
        web1, legacy1 = lab.vm(tenant, "web1"), lab.vm(tenant, "legacy1")
        server = lab.servers[tenant].space
        with checks.check(f"{tenant}: the gateway answers ping on its own addresses"):
            for space, address in ((web1.space, "10.0.0.2"), (legacy1.space, "10.0.3.1"),
                                   (server, "192.168.50.1"), (server, "10.0.0.2")):
                expect_equal(ping(space, address, 3), 3, f"answers of {address} to {space.name}")
        with checks.check(f"{tenant}: TTL exceeded comes from the gateway's own address"):
            answer = web1.space("ping", "-n", "-c", "1", "-W", "2", "-t", "2", SERVER, check=False).stdout
            expect("From 10.0.0.2" in answer and "Time to live exceeded" in answer, answer)
        with checks.check(f"{tenant}: no route is said to be unreachable"):
            answer = web1.space("ping", "-n", "-c", "1", "-W", "2", NOWHERE, check=False).stdout
            expect("From 10.0.0.2" in answer and "Unreachable" in answer, answer)
        with checks.check(f"{tenant}: a CA without a record is said to be unreachable"):
            answer = server("ping", "-n", "-c", "1", "-W", "2", "10.0.1.200", check=False).stdout
            expect("From 192.168.50.1" in answer and "Unreachable" in answer, answer)
        with checks.check(f"{tenant}: fragmentation needed, with the MTU behind the door"):
            host, port = web1.host, web1.wires[web1.host][1]
            host.space.ip(f"link set {port} mtu 1600")
            web1.space.ip(f"link set {web1.interface} mtu 1600")
            answer = web1.space("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1540", SERVER, check=False)
            said = answer.stdout + answer.stderr
            expect("Frag needed" in said and "mtu = 1500" in said, said)
            web1.space.ip(f"link set {web1.interface} mtu 1500", "route flush cache")


def prove_agreement(checks, lab):
    """hnvctl, REST, /metrics and what is on the wire tell the same story."""
    gateway = lab.gateway
    capture = Capture(lab.switch.space, "gw-fab0", "agree-fabric")
    moved = Moved(lab)
    metrics = read_metrics(gateway)
    drops = gateway.drops()
    for tenant, count in (("contoso", 7), ("fabrikam", 11)):
        ping(lab.vm(tenant, "web1").space, SERVER, count)
        ping(lab.vm(tenant, "app2").space, "10.0.1.11", count)
        ping(lab.vm(tenant, "web1").space, NOWHERE, count, wait=0.2)  # no route
    for tenant, count in (("contoso", 7), ("fabrikam", 11)):
        wait_for(lambda t=tenant, c=count: moved.of(t)[0] == 3 * c, 3, f"{tenant}'s counters")
    capture.stop()
    frames = capture.nvgre("not arp")
    after = read_metrics(gateway)
    for tenant, (_, vsid, _) in TENANTS.items():
        with checks.check(f"{tenant}: REST, /metrics and the fabric's capture count the same") as note:
            mine = [f for f in frames if vsid <= f[2] < vsid + 10]
            wire = (sum(f[1] == GATEWAY_PA for f in mine), sum(f[0] == GATEWAY_PA for f in mine))
            rest = moved.of(tenant)[:2]
            told = tuple(int(after[tenant][i] - metrics[tenant][i]) for i in (0, 1))
            expect_equal((rest, told), (wire, wire), "(in, out) as REST and /metrics say")
            note.text = f"{wire[0]} in, {wire[1]} out"
    with checks.check("hnvctl drops, REST and /metrics count the same drops") as note:
        rest = gateway.drops()
        ctl = gateway.ctl_json("drops")
        expect_equal({r: n for r, n in ctl["drops"].items() if n}, rest, "hnvctl drops")
        expect_equal({r: int(n) for r, n in after["drops"].items() if n}, rest, "/metrics")
        expect_equal(rest.get("route_unreachable", 0) - drops.get("route_unreachable", 0), 18,
                     "drops for route_unreachable")
        table = gateway.ctl("drops").stdout
        expect(re.search(rf"route_unreachable\s.*\b{rest['route_unreachable']}\b", table), f"hnvctl's table:\n{table}")
        note.text = ", ".join(f"{r} {n}" for r, n in sorted(rest.items()))
    for tenant, (_, vsid, _) in TENANTS.items():
        with checks.check(f"{tenant}: hnvctl routes and lookup say where the packets went"):
            prove_lookup(gateway, tenant, vsid, frames)


def prove_lookup(gateway, tenant, vsid, frames):
    routes = gateway.ctl("routes", tenant).stdout
    for prefix in ("10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "192.168.50.0/24"):
        expect(prefix in routes, f"hnvctl routes has no {prefix}:\n{routes}")
    answer = gateway.ctl_json("lookup", tenant, "10.0.1.11")
    expect_equal((answer["providerAddress"], answer["virtualSubnetId"]), ("10.250.0.11", vsid + 1), "lookup")
    expect(("10.250.0.1", answer["providerAddress"], answer["virtualSubnetId"]) in frames,
           "no frame on the wire went where lookup says")
    text = gateway.ctl("lookup", tenant, SERVER).stdout
    expect("datacentre" in text, f"hnvctl lookup of the server: {text}")
    refused = gateway.ctl("routes", "nobody", check=False)
    expect(refused.returncode != 0 and "nobody" in refused.stderr, f"{refused.returncode}: {refused.stderr}")


def read_metrics(gateway):
    """Per tenant (in, out) by NVGRE, and drops by reason, as Prometheus is told."""
    answer = gateway.api.request("GET", "/metrics")
    expect_equal(answer.status, 200, "status of /metrics")
    metrics = Metrics(answer.text)
    out = {t: tuple(metrics.get(f"hnv_domain_{way}_packets_total", domain=t) for way in ("inbound", "outbound"))
           for t in TENANTS}
    out["drops"] = {dict(labels)["reason"]: v for (name, labels), v in metrics.values.items()
                    if name == "hnv_drops_total"}
    return out


def prove(checks, lab):
    prove_all(lab, checks)
    prove_nat(lab, checks)
    prove_ipsec(lab, checks)
    prove_bgp(lab, checks)
    prove_tunnels(lab, checks)
    prove_failover(lab, checks, TENANTS if FULL else ["contoso"])
    flows = Flows(lab)
    tries = 3 if FULL else 1  # the verdict is test_rate_limits'
    prove_rate(checks, flows, *((30, 5) if FULL else (8, 3)), tries=tries)
    prove_another_rate(checks, flows, 15 if FULL else 8, tries=tries)
    prove_answers_of_the_gateway(checks, lab)
    prove_agreement(checks, lab)
    prove_isolation_under_load(checks, lab)
    with checks.check("the gateway ends by itself when told to"):
        ledger_balanced(lab.gateway)
        expect_equal(lab.gateway.stop(), 0, "exit status after SIGTERM")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
