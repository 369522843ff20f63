#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tagged fabric, a second fabric subnet behind a router, and several PAs of the gateway.

The network is drawn in support/routed_fabric.py.
"""

import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import ethernet, ipv4, nvgre, raw_socket, udp
from support.routed_fabric import MTU, PAS, SERVER, TENANTS, build
from support.run import veth
from support.server import http_get
from support.traffic import ping, wait_for_ping
from support.wait import wait_for


def prove(checks, made):
    for tenant in TENANTS:
        web1, app2 = made.vms[tenant, "web1"].space, made.vms[tenant, "app2"].space
        with checks.check(f"{tenant}: neighbours are found on the tagged fabric and through its router"):
            for space in (web1, app2):
                wait_for_ping(space, SERVER, 15)
            wait_for_ping(web1, "10.0.2.12", 15)
    capture = Capture(made.switch.space, "gw-fab0", "tagged-fabric")
    routed = Capture(made.router, "eth1", "second-fabric-subnet")
    for tenant in TENANTS:
        web1, app2 = made.vms[tenant, "web1"].space, made.vms[tenant, "app2"].space
        with checks.check(f"{tenant}: VM on the tagged fabric reaches its own server"):
            expect_equal(ping(web1, SERVER, 10, marker=tenant), 10, "answers")
            expect(f"server of {tenant}," in http_get(web1, SERVER), "another tenant's page")
        with checks.check(f"{tenant}: VM behind a provider route reaches its own server"):
            expect_equal(ping(app2, SERVER, 10, marker=tenant), 10, "answers")
            expect(f"server of {tenant}," in http_get(app2, SERVER), "another tenant's page")
        with checks.check(f"{tenant}: hairpin between fabric subnets, full size"):
            expect_equal(ping(web1, "10.0.2.12", 10, size=1472), 10, "answers")
            expect_equal(ping(app2, "10.0.1.11", 10, size=1472), 10, "answers")
    capture.stop()
    routed.stop()
    with checks.check("everything on the fabric port is tagged with 60, once, and well made") as note:
        expect_equal(capture.count("gre && !(vlan.id == 60)"), 0, "frames without the tag")
        expect_equal(capture.count("gre && vlan.id == 60 && vlan.etype == 0x8100"), 0, "frames with two tags")
        expect_equal(capture.faults() + routed.faults(), [], "faults")
        note.text = f"{capture.count('gre')} frames"
    with checks.check("each subnet's packets leave from its own PA, by way of the router where needed") as note:
        sent = {(s, d, v) for s, d, v in capture.nvgre() if s.startswith("10.250.0.") and s in PAS.values()}
        wanted = {("10.250.0.1", "10.250.0.11", 5001), ("10.250.0.2", "10.251.0.12", 5002),
                  ("10.250.0.1", "10.250.0.11", 6001), ("10.250.0.2", "10.251.0.12", 6002)}
        expect_equal(sent, wanted, "(source, destination, VSID)")
        macs = {row[0] for row in capture.frames("ip.dst == 10.251.0.12", "eth.dst")}
        expect_equal({m.split(",")[0] for m in macs}, {made.router.mac("eth0")}, "next hop's MAC")
        note.text = str(sorted(sent))
    prove_wrong_places(checks, made)


def prove_wrong_places(checks, made):
    """The same frame on the right VLAN passes, on others it is dropped under its own reason."""
    gateway, port = made.gateway, made.gateway.space.mac("fab0")
    vm, own = made.vms["contoso", "web1"], made.tenants["contoso"].gateway
    inner = ethernet(own.mac, "00:15:5d:00:00:01", ipv4(vm.ca, SERVER, 17, udp(9, 9, b"contoso")))
    made.stray = made.run.namespace("stray")
    veth(made.switch.space, "stray", made.stray, "eth0", MTU)
    made.switch.ovs.vsctl("add-port", "br0", "stray", "trunks=60,62")
    raw = raw_socket(made.stray, "eth0")
    rows = [
        ("VLAN 62, which nobody uses", 62, "10.250.0.1", 5000, "vlan_unknown"),
        ("another PA of ours than the subnet's", 60, "10.250.0.2", 5000, "nvgre_wrong_pa"),
        ("a VSID that nobody has", 60, "10.250.0.1", 7000, "nvgre_unknown_vsid"),
        ("a reserved VSID", 60, "10.250.0.1", 17, "nvgre_reserved_vsid"),
    ]
    for name, vlan, pa, vsid, reason in rows:
        with checks.check(f"dropped as {reason}: {name}"):
            before = gateway.drops().get(reason, 0)
            raw.send(ethernet(port, "02:00:00:00:00:99", ipv4("10.250.0.11", pa, 47, nvgre(vsid, inner)), vlan=vlan))
            wait_for(lambda b=before, r=reason: gateway.drops().get(r, 0) == b + 1, 3, f"one drop for {reason}")
    with checks.check("and the same frame in the right place is forwarded"):
        before = gateway.api.get("/v1/routingDomains/contoso/statistics")["l3OutboundPackets"]
        raw.send(ethernet(port, "02:00:00:00:00:99", ipv4("10.250.0.11", "10.250.0.1", 47, nvgre(5000, inner)), vlan=60))
        wait_for(lambda: gateway.api.get("/v1/routingDomains/contoso/statistics")["l3OutboundPackets"] > before,
                 3, "the datagram toward the server")
    raw.close()


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
