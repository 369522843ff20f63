#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whom the gateway believes: every kind of lookup record and every rule of the NVGRE door.

     stray ── (tags VLAN 50) ── switch ── (access 50) ── fab0 ── gateway      (support/plain_topology.py)

No row has an outer fragment: DPDK's af_packet driver lets the kernel put fragments together first, so
the gateway never sees one here (tests/pipeline does). One frame a row, made by hand: it either enters the compartment (the domain's inboundPackets moves
by one) or is dropped under exactly the reason named. contoso and fabrikam use the same addresses.
"""

import sys

from support.checks import expect_equal, topology
from support.frames import ethernet, ipv4, nvgre, raw_socket, udp
from support.plain_topology import Plain, two_domains
from support.wait import wait_for

CONTOSO = "/v1/routingDomains/contoso"
ROUTER, VM, OTHER_GATEWAY, STRANGER = "00:15:5d:00:00:01", "00:15:5d:01:00:11", "02:00:00:00:00:77", "02:00:00:00:00:99"
PA = "10.250.0.1"
ENTERED = None


def resources():
    out = two_domains()
    for resource in out:  # the same CA as contoso's, on another host
        if resource["path"] == "/v1/routingDomains/fabrikam/virtualSubnets/web/lookupRecords/10.0.1.11":
            resource["body"] = {**resource["body"], "providerAddress": "10.250.0.12"}
    web = f"{CONTOSO}/virtualSubnets/web/lookupRecords"
    return out + [
        {"path": f"{web}/10.0.1.20", "body": {"type": "Dynamic", "customerAddress": "10.0.1.20",
                                              "providerAddress": "10.250.0.12", "macAddress": "00:15:5d:01:00:20"}},
        {"path": f"{web}/l2-00:15:5d:01:00:33", "body": {"type": "L2Only", "providerAddress": "10.250.0.11",
                                                         "macAddress": "00:15:5d:01:00:33"}},
        {"path": f"{web}/wildcard-v4", "body": {"type": "GatewayWildcard", "providerAddress": PA,
                                                "macAddress": "02:00:00:00:00:01"}},
        {"path": f"{CONTOSO}/virtualSubnets/gateway/lookupRecords/wildcard-v4", "body": {
            "type": "GatewayWildcard", "providerAddress": "10.250.0.77", "macAddress": OTHER_GATEWAY}}]


def build(run, arguments):
    made = Plain(run, arguments.gateway, arguments.hnvctl).start(resources())
    made.macs = {s["virtualSubnetId"]: s["macAddress"] for d in ("contoso", "fabrikam")
                 for s in made.gateway.api.all_of(f"routingDomains/{d}/virtualSubnets")}
    made.raw = raw_socket(made.stray, "eth0")
    return made


def frame(made, source_pa="10.250.0.11", vsid=5000, inner_source=ROUTER, ca="10.0.1.11", inner_destination=None,
          flags=0x2000, protocol=0x6558, inner_vlan=None, destination_pa=PA, spoil=lambda outer: outer):
    """A frame that is right in everything that is not given otherwise."""
    packet = ipv4(ca, "10.0.0.2", 17, udp(9, 9, b"hello"))  # nothing is served there: it ends at once
    inner = ethernet(inner_destination or made.macs.get(vsid, STRANGER), inner_source, packet, vlan=inner_vlan)
    outer = ipv4(source_pa, destination_pa, 47, nvgre(vsid, inner, flow_id=7, flags=flags, protocol=protocol))
    return ethernet(made.gateway.space.mac("fab0"), STRANGER, spoil(outer), vlan=50)


def bad_checksum(outer):
    return outer[:10] + bytes([outer[10] ^ 0x55]) + outer[11:]


ROWS = [
    ("routed by its host, from its record's PA", {}, ENTERED),
    ("not routed, with its record's MAC", {"vsid": 5001, "inner_source": VM}, ENTERED),
    ("not routed, with another MAC", {"vsid": 5001, "inner_source": STRANGER}, "nvgre_wrong_source_mac"),
    ("from another PA than its record's", {"source_pa": "10.250.0.12"}, "nvgre_wrong_source_pa"),
    ("of a CA that has no record", {"ca": "10.0.1.99"}, "nvgre_unknown_source"),
    ("of a Dynamic record", {"ca": "10.0.1.20", "source_pa": "10.250.0.12"}, ENTERED),
    ("of a MAC that has only an L2Only record", {"ca": "10.0.1.33", "vsid": 5001, "inner_source": "00:15:5d:01:00:33"},
     "nvgre_no_record"),
    ("from behind another gateway, its PA and MAC",
     {"ca": "172.16.9.9", "source_pa": "10.250.0.77", "inner_source": OTHER_GATEWAY}, ENTERED),
    ("from behind another gateway, another MAC",
     {"ca": "172.16.9.9", "source_pa": "10.250.0.77", "inner_source": STRANGER}, "nvgre_unknown_source"),
    ("from behind another gateway, another PA",
     {"ca": "172.16.9.9", "source_pa": "10.250.0.78", "inner_source": OTHER_GATEWAY}, "nvgre_unknown_source"),
    ("another gateway speaking for a CA of a virtual subnet",
     {"ca": "10.0.1.98", "source_pa": "10.250.0.77", "inner_source": OTHER_GATEWAY}, "nvgre_unknown_source"),
    ("another gateway speaking for a VM with a record",
     {"source_pa": "10.250.0.77", "inner_source": OTHER_GATEWAY}, "nvgre_wrong_source_pa"),
    ("the gateway's own address as the source", {"ca": "10.0.0.2"}, "inner_bad_source"),
    ("loopback as the source", {"ca": "127.0.0.1"}, "inner_bad_source"),
    ("our own PA as the outer source", {"source_pa": PA, "ca": "172.16.9.9"}, "outer_bad_source"),
    ("to a PA that is not ours", {"destination_pa": "10.250.0.200"}, "outer_not_ours"),
    ("the twin's VSID, from contoso's host", {"vsid": 6000}, "nvgre_wrong_source_pa"),
    ("to another MAC than the gateway's", {"inner_destination": STRANGER}, "nvgre_inner_mac"),
    ("tagged inside", {"inner_vlan": 7}, "nvgre_inner_vlan"),
    ("VSID that nobody has", {"vsid": 9999}, "nvgre_unknown_vsid"),
    ("VSID 0xFFF", {"vsid": 0xFFF}, "nvgre_reserved_vsid"),
    ("VSID 0xFFFFFF", {"vsid": 0xFFFFFF}, "nvgre_reserved_vsid"),
    ("GRE that carries IPv4", {"protocol": 0x0800}, "nvgre_bad_protocol"),
    ("reserved bits 6 to 12 set", {"flags": 0x23F8}, ENTERED),
    *((f"GRE flags {flags:#06x}", {"flags": flags}, "nvgre_bad_flags")
      for flags in (0x0000, 0xA000, 0x3000, 0x2001, 0x6000, 0x2800, 0x2400)),
    ("a wrong outer checksum", {"spoil": bad_checksum}, "outer_bad_checksum"),
]


def one_frame(made, what, reason):
    """Sends it; the ledger has to show exactly this and nothing else."""
    api, tenant = made.gateway.api, "fabrikam" if what.get("vsid") == 6000 else "contoso"

    def seen():
        return (api.get(f"/v1/routingDomains/{tenant}/statistics")["inboundPackets"], made.gateway.drops())
    entered, drops = seen()
    made.raw.send(frame(made, **what))
    wanted = reason or "local_not_served"  # what enters ends at the gateway's own address
    wait_for(lambda: seen()[1].get(wanted, 0) > drops.get(wanted, 0), 3, f"a drop for {wanted}")
    now_entered, now = seen()
    moved = {r: n - drops.get(r, 0) for r, n in now.items() if n != drops.get(r, 0)}
    for fate_of_an_answer in ("next_hop_failed", "no_route"):  # ICMP errors, to hosts that are not there
        moved.pop(fate_of_an_answer, None)
    expect_equal((moved, now_entered - entered), ({wanted: 1}, 0 if reason else 1), "drops, and packets that entered")


def prove(checks, made):
    for name, what, reason in ROWS:
        with checks.check(f"{name}: {reason or 'enters'}"):
            one_frame(made, what, reason)
    with checks.check("an L2Only VM enters once it has a Dynamic record, and no longer than that"):
        path = f"{CONTOSO}/virtualSubnets/web/lookupRecords/10.0.1.33"
        what = {"ca": "10.0.1.33", "vsid": 5001, "inner_source": "00:15:5d:01:00:33"}
        made.gateway.api.put(path, {"type": "Dynamic", "customerAddress": "10.0.1.33",
                                    "providerAddress": "10.250.0.11", "macAddress": "00:15:5d:01:00:33"})
        one_frame(made, what, ENTERED)
        made.gateway.api.delete(path)
        one_frame(made, what, "nvgre_no_record")
    with checks.check("a frame of one byte less than its headers say"):
        drops = made.gateway.drops().get("outer_bad_header", 0)
        made.raw.send(frame(made)[:-1])
        wait_for(lambda: made.gateway.drops().get("outer_bad_header", 0) == drops + 1, 3, "one drop")
    made.raw.close()


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
