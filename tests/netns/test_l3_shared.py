#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two tenants on one shared external network, told apart by the gateway's MAC alone.

     host1 ──(fabric VLAN 50)── gateway ── wan0, VLAN 300 "shared" ──┬── contoso-server  192.168.60.10
       contoso-vm   10.0.1.11                contoso   192.168.60.1 │     + 198.51.100.10
       fabrikam-vm  10.0.1.11                fabrikam  192.168.60.1 └── fabrikam-server 192.168.60.20
                                                                          + 198.51.100.10

     Both connections have the same address; each server knows its tenant's by MAC (a permanent
     neighbour). Behind each server is the same prefix 198.51.100.0/24, routed by its connection.
"""

import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import ethernet, ipv4, raw_socket, udp
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from support.server import Server, http_get
from support.topology import Topology, record
from support.traffic import Receiver, Sender, ask, ping, wait_for_ping
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, "192.168.60.10"), "fabrikam": (2, 6000, "192.168.60.20")}
OURS, BEHIND = "192.168.60.1", "198.51.100.10"


class Shared(Topology):
    def __init__(self, run, gateway_binary, hnvctl):
        super().__init__(run, gateway_binary, hnvctl)
        self.hosts = {"host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", vlan=50)}
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.servers, self.macs = {}, {}, {}, {}
        for name, (number, vsid, address) in TENANTS.items():
            tenant = self.tenants[name] = Tenant(name, number, [Subnet("web", vsid + 1, "10.0.1.0/24")])
            vm = self.vms[name] = Vm(run, f"{name}-vm", tenant, tenant.subnets["web"], "10.0.1.11", "00:15:5d:01:00:11")
            self.centre.add(vm, self.hosts["host1"])
            self.servers[name] = Server(run, self.switch, f"{name}-server", name, f"{address}/24", None, 300,
                                        f"02:00:00:00:60:{number:02x}", loopback=[f"{BEHIND}/32"])
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[300])

    def resources(self):
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
                    "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}},
               {"path": "/v1/externalNetworks/shared", "body": {
                   "port": "wan0", "vlanId": 300, "ipAddresses": ["192.168.60.254/24"]}}]
        for name, (_, vsid, server) in TENANTS.items():
            domain = f"/v1/routingDomains/{name}"
            out += [
                {"path": domain, "body": {}},
                {"path": f"{domain}/virtualSubnets/gateway", "body": {
                    "virtualSubnetId": vsid, "addressPrefixes": ["10.0.0.0/24"], "kind": "gateway",
                    "providerNetwork": "fabric"}},
                {"path": f"{domain}/virtualSubnets/web", "body": {
                    "virtualSubnetId": vsid + 1, "addressPrefixes": ["10.0.1.0/24"], "kind": "vm",
                    "providerNetwork": "fabric"}},
                record(self.vms[name]),
                {"path": f"{domain}/networkConnections/datacentre", "body": {
                    "connectionType": "L3", "routes": [{"destinationPrefix": "198.51.100.0/24", "metric": 10}],
                    "l3Configuration": {"externalNetwork": "shared", "ipAddresses": [f"{OURS}/24"],
                                        "peerIPAddresses": [server]}}}]
        return out


def build(run, arguments):
    made = Shared(run, arguments.gateway, arguments.hnvctl)
    made.gateway.start()
    api = made.gateway.api
    api.apply(made.resources())
    for name, tenant in made.tenants.items():
        domain = f"/v1/routingDomains/{name}"
        tenant.gateway = GatewaySide(TENANTS[name][1], "10.250.0.1",
                                     api.get(f"{domain}/virtualSubnets/gateway")["macAddress"])
        made.macs[name] = api.get(f"{domain}/networkConnections/datacentre")["l3Configuration"]["macAddress"]
        made.servers[name].space.ip(f"neighbor replace {OURS} lladdr {made.macs[name]} dev eth0 nud permanent",
                                    f"route add 10.0.0.0/16 via {OURS}")
    made.centre.publish()
    return made


def drops_of(made, reason):
    return made.gateway.drops().get(reason, 0)


def prove(checks, made):
    with checks.check("each connection has a MAC of its own"):
        expect_equal(len(set(made.macs.values())), 2, f"different MACs in {made.macs}")
    for name, (_, _, address) in TENANTS.items():
        vm, server = made.vms[name].space, made.servers[name].space
        with checks.check(f"{name}: VM to the server on the shared network and behind it"):
            wait_for_ping(vm, address, 15)
            expect_equal(ping(vm, address, 10, marker=name), 10, f"answers of {address}")
            expect_equal(ping(vm, BEHIND, 10, marker=name), 10, f"answers of {BEHIND}")
            expect(f"server of {name}," in http_get(vm, BEHIND), "another tenant's page")
            expect_equal(ask(vm, BEHIND, "who"), f"{name}:who", "the echo")
        with checks.check(f"{name}: server to VM, from both of its addresses"):
            expect_equal(ping(server, "10.0.1.11", 10), 10, "answers")
            expect_equal(ping(server, "10.0.1.11", 3, source=BEHIND), 3, f"answers to {BEHIND}")
    prove_isolation(checks, made)
    prove_source_validation(checks, made)
    with checks.check("the gateway answers ARP for its own addresses only, with its own MACs"):
        prove_arp(made)


def prove_isolation(checks, made):
    """A server's packets go to the tenant whose MAC they carry, and to nobody else."""
    for name, (number, _, _) in TENANTS.items():
        other = next(t for t in TENANTS if t != name)
        with checks.check(f"what {name}'s server sends is seen at {name}'s VM only"):
            mine = Receiver(made.vms[name].space, 9400 + number, name)
            theirs = Capture(made.vms[other].space, made.vms[other].interface, f"isolation-{other}")
            sender = Sender(made.servers[name].space, "10.0.1.11", 9400 + number, name)
            expect_equal(mine.wait_all(sender.burst(200)), [], "lost")
            theirs.stop()
            mine.close()
            expect_equal(theirs.matching(f"udp port {9400 + number}"), 0, f"packets at {other}'s VM")


def prove_source_validation(checks, made):
    raw = raw_socket(made.servers["contoso"].space, "eth0")
    vm = Capture(made.vms["contoso"].space, made.vms["contoso"].interface, "spoofed")
    rows = [("a VM's own address", "10.0.1.99", "l3_source_not_routed"),
            ("a prefix that is not routed here", "203.0.113.9", "l3_source_not_routed"),
            ("loopback", "127.0.0.1", "inner_bad_source"),
            ("multicast", "224.0.0.5", "inner_bad_source"),
            ("the gateway's own address", OURS, "inner_bad_source")]
    for what, source, reason in rows:
        with checks.check(f"spoofed source is dropped as {reason}: {what}"):
            before = drops_of(made, reason)
            frame = ipv4(source, "10.0.1.11", 17, udp(9, 9999, b"spoofed"))
            raw.send(ethernet(made.macs["contoso"], "02:00:00:00:60:01", frame))
            wait_for(lambda b=before, r=reason: drops_of(made, r) == b + 1, 3, f"one drop for {reason}")
    with checks.check("and the same packet with a routed source passes"):
        frame = ipv4("198.51.100.77", "10.0.1.11", 17, udp(9, 9998, b"honest"))
        raw.send(ethernet(made.macs["contoso"], "02:00:00:00:60:01", frame))
        wait_for(lambda: vm.matching("udp port 9998") == 1, 5, "the honest packet at the VM")
    vm.stop()
    with checks.check("no spoofed packet reached the VM"):
        expect_equal(vm.matching("udp port 9999"), 0, "spoofed packets")
    with checks.check("loose validation lets a source pass that is routed elsewhere in the domain"):
        path = "/v1/routingDomains/contoso/networkConnections/datacentre"
        body = next(r["body"] for r in made.resources() if r["path"] == path)
        loose = {**body, "l3Configuration": {**body["l3Configuration"], "sourceValidation": "loose"}}
        made.gateway.api.put(path, loose)
        try:
            statistics = "/v1/routingDomains/contoso/statistics"
            before = made.gateway.api.get(statistics)["l3InboundPackets"]
            dropped = drops_of(made, "l3_source_not_routed")
            raw.send(ethernet(made.macs["contoso"], "02:00:00:00:60:01",
                              ipv4("10.0.1.99", "10.0.1.11", 17, udp(9, 9997, b"loose"))))
            wait_for(lambda: made.gateway.api.get(statistics)["l3InboundPackets"] == before + 1, 3, "the packet")
            expect_equal(drops_of(made, "l3_source_not_routed"), dropped, "drops")
        finally:
            made.gateway.api.put(path, body)
    raw.close()


def prove_arp(made):
    """Asks on the shared network as a third party; every answer is kept."""
    asker = made.run.namespace("asker")
    made.switch.connect("asker", asker, "eth0", vlan=300)
    asker.ip("addr add 192.168.60.99/24 dev eth0")
    capture = Capture(asker, "eth0", "arp")
    wait_for_ping(asker, "192.168.60.254")  # the network's own address answers
    ping(asker, OURS, 1, wait=1)
    ping(asker, "192.168.60.77", 1, wait=1)  # nobody has it
    ping(asker, "10.0.0.2", 1, wait=0.2)
    capture.stop()
    answers = {(ip, mac) for ip, mac in capture.frames("arp.opcode == 2", "arp.src.proto_ipv4", "arp.src.hw_mac")
               if ip in (OURS, "192.168.60.77", "192.168.60.254")}
    macs = {ip: {m for i, m in answers if i == ip} for ip in (OURS, "192.168.60.77", "192.168.60.254")}
    # Both connections have this address: an answer to all could bring one tenant's packets to the other.
    expect_equal(macs[OURS], set(), f"MACs that claim {OURS} when anybody may be meant")
    expect_equal(macs["192.168.60.77"], set(), "MACs that claim an address nobody has")
    expect_equal(len(macs["192.168.60.254"]), 1, "MACs that claim the network's own address")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
