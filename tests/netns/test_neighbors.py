#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Neighbours that are absent, late, replaced or lying: on the fabric and on physical networks.

The lab's topology (support/lab_topology.py) and, on the fabric VLAN and VLAN 100, `stray`, who
claims to be others. What waits for a neighbour is held (256 a next hop), delivered in order when it
answers, and dropped with an ICMP error when it does not.
"""

import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import arp, ethernet, raw_socket
from support.lab_proofs import warm_up
from support.lab_topology import FABRIC_MTU, FABRIC_VLAN, SERVER, SERVER_GATEWAY, Lab
from support.run import veth
from support.traffic import Receiver, Sender, ping
from support.wait import wait_for

LIAR = "02:00:00:00:00:66"
HELD = 256


def build(run, arguments):
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.stray = run.namespace("stray")
    veth(lab.switch.space, "stray", lab.stray, "eth0", FABRIC_MTU)
    lab.switch.ovs.vsctl("add-port", "br0", "stray", f"trunks={FABRIC_VLAN},100")
    lab.start_gateway()
    lab.configure()
    return lab


class Drops:
    """Drops by reason from here on."""

    def __init__(self, gateway):
        self.gateway, self.before = gateway, gateway.drops()

    def of(self, reason):
        return self.gateway.drops().get(reason, 0) - self.before.get(reason, 0)


def prove_absent(checks, lab):
    gateway, web1, server = lab.gateway, lab.vm("contoso", "web1"), lab.servers["contoso"]
    with checks.check("an absent neighbour: host unreachable, in the tenant's own space"):
        drops = Drops(gateway)
        answer = web1.space("ping", "-n", "-c", "1", "-W", "8", "192.168.50.77", check=False).stdout
        expect("From 10.0.0.2" in answer and "Destination Host Unreachable" in answer, answer)
        expect_equal(drops.of("next_hop_failed"), 1, "drops for next_hop_failed")
    with checks.check(f"what waits for an absent neighbour is bounded: {HELD} a next hop"):
        drops = Drops(gateway)
        sender = Sender(web1.space, "192.168.50.78", 9500, "contoso", rate=1000)
        sender.burst(HELD + 44)
        wait_for(lambda: drops.of("next_hop_failed") > 0, 10, "the next hop to be given up")
        wait_for(lambda: (drops.of("next_hop_queue_full"), drops.of("next_hop_failed")) == (44, HELD), 3,
                 f"44 drops as next_hop_queue_full and {HELD} as next_hop_failed",
                 tell=lambda: (drops.of("next_hop_queue_full"), drops.of("next_hop_failed"), sender.refused))
    with checks.check("a late neighbour gets all that waited, in order"):
        receiver = Receiver(server.space, 9501, "contoso")
        capture = Capture(server.space, "eth0", "late", "udp port 9501")
        numbers = Sender(web1.space, "192.168.50.66", 9501, "contoso").burst(200)
        wait_for(lambda: gateway.ledger()["ledger"]["held"] >= 200, 3, "200 packets held")
        server.space.ip("addr add 192.168.50.66/32 dev eth0")
        lost = receiver.wait_all(numbers, 5)
        receiver.close()
        capture.stop()
        expect_equal(lost, [], "lost")
        order = [int(row[0].replace(":", "")[:16], 16) for row in capture.frames("udp", "udp.payload")]
        expect_equal(order, numbers, "the order of arrival")


def prove_late_host(checks, lab):
    with checks.check("a record's host that comes up late is found without a packet that asks for it"):
        path = "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.77"
        lab.gateway.api.put(path, {"type": "Static", "customerAddress": "10.0.1.77",
                                   "providerAddress": "10.250.0.14", "macAddress": "00:15:5d:01:00:77"})
        server = lab.servers["contoso"].space
        drops = Drops(lab.gateway)
        ping(server, "10.0.1.77", 1, wait=0.1)
        wait_for(lambda: drops.of("next_hop_failed") == 1, 8, "the next hop to be given up")
        late = lab.run.namespace("late-host")
        lab.switch.connect("late-host", late, "eth0", vlan=FABRIC_VLAN, mtu=FABRIC_MTU)
        capture = Capture(late, "eth0", "late-host", "proto gre")
        late.ip("addr add 10.250.0.14/24 dev eth0")
        wait_for(lambda: (ping(server, "10.0.1.77", 1, wait=0.1), capture.count("gre && icmp"))[1] > 0, 10,
                 "NVGRE at the late host")
        capture.stop()
        lab.gateway.api.delete(path)


def prove_replaced(checks, lab):
    with checks.check("a host with a new MAC is believed at once on the fabric when it says so"):
        host, web2, new = lab.hosts["host2"], lab.vm("contoso", "web2"), "02:00:00:00:02:02"
        host.ovs.vsctl("set", "bridge", "br-phy", f'other-config:hwaddr="{new}"')
        wait_for(lambda: host.space.mac("br-phy") == new, 5, "the new MAC")
        everybody = "ff:ff:ff:ff:ff:ff"  # gratuitous ARP, as a host sends when its address comes up
        raw = raw_socket(host.space, "br-phy")
        raw.send(ethernet(everybody, new, arp(1, new, host.pa, "00:00:00:00:00:00", host.pa), kind=0x0806))
        raw.close()
        wait_for(lambda: ping(lab.servers["contoso"].space, web2.ca, 3, wait=0.3) == 3, 5, "answers through the host")


def prove_liar(checks, lab):
    """Claims to be contoso's server, or a host, without having been asked."""
    raw, api = raw_socket(lab.stray, "eth0"), lab.gateway.api
    own = api.get("/v1/routingDomains/contoso/networkConnections/datacentre")["l3Configuration"]["macAddress"]
    everybody = "ff:ff:ff:ff:ff:ff"
    with checks.check("a stranger on the fabric does not become a neighbour"):
        mac = lab.gateway.space.mac("fab0")
        raw.send(ethernet(mac, LIAR, arp(2, LIAR, "10.250.0.200", mac, "10.250.0.1"), kind=0x0806, vlan=FABRIC_VLAN))
        expect_equal(ping(lab.servers["contoso"].space, "10.0.1.11", 3), 3, "answers")
        known = str(api.get("/v1/neighbors"))
        expect("10.250.0.11" in known, f"not even host1 is known: {known}")
        expect("10.250.0.200" not in known and LIAR not in known, "the stranger is known")
    for what, destination, operation in (("a request to everybody", everybody, 1), ("an answer to everybody", everybody, 2),
                                         ("an answer that nobody asked for", own, 2)):
        with checks.check(f"a liar on a physical network changes nothing by {what}"):
            name = f"liar-{destination == own}-{operation}"
            capture = Capture(lab.stray, "eth0", name, f"ether host {LIAR} and not arp")
            for _ in range(3):
                raw.send(ethernet(destination, LIAR, arp(operation, LIAR, SERVER, own, SERVER_GATEWAY),
                                  kind=0x0806, vlan=100))
            expect_equal(ping(lab.vm("contoso", "web1").space, SERVER, 20), 20, "answers of the real server")
            capture.stop()
            expect_equal(capture.count("ip"), 0, "packets that went to the liar")
    raw.close()


def prove(checks, lab):
    with checks.check("traffic before"):
        warm_up(lab)
    prove_absent(checks, lab)
    prove_late_host(checks, lab)
    prove_replaced(checks, lab)
    prove_liar(checks, lab)
    with checks.check("neighbors tell who is known, where, and how it is"):
        rows = lab.gateway.api.get("/v1/routingDomains/contoso/neighbors")["value"]
        server = [r for r in rows if r["ipAddress"] == SERVER]
        expect_equal([(r["macAddress"], r["state"]) for r in server], [(lab.servers["contoso"].mac, "reachable")], SERVER)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
