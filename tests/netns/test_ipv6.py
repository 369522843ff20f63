#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tagged IPv6 fabric, VMs and servers of both families: dual stack end to end.

                              VLAN 60: fd60::/64, MTU 1700
     gateway ── fab0 (trunk 60) ──┬── host1 fd60::11 (tags its own traffic)
       PA fd60::1                 └── host2 fd60::12
     gateway ── wan0 (trunk 100, 200): each tenant's server, 192.168.50.10 and fd50::10

     each tenant:  front 10.0.4.0/24 fd10:0:0:4::/64   VM on host1, .11 and ::11
                   back  10.0.5.0/24 fd10:0:0:5::/64   VM on host2, .12 and ::12
     both subnets are the gateway's (router: gateway): VMs find it by ARP and by neighbour discovery,
     inside NVGRE over IPv6. Both tenants have the same addresses and the same MACs.

The hosts know no policy but their own VMs: everything a VM says goes to the gateway's PA in its
VSID, and only what comes from there with that VSID and the VM's MAC is let in.
"""

import re
import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.nvgre_host import Subnet, Tenant
from support.ovs import Ovs
from support.run import veth
from support.server import Server
from support.topology import Topology
from support.traffic import ping, wait_for_ping
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
MTU = 1700
PA = "fd60::1"
PLACES = {"front": ("host1", 4, "11", "00:15:5d:04:00:11"), "back": ("host2", 5, "12", "00:15:5d:05:00:12")}


class Host:
    """NVGRE over IPv6 by Open vSwitch, for VMs whose router is the gateway."""

    def __init__(self, run, switch, name, pa, tag=None, vlan=None):
        self.space, self.name, self.pa = run.namespace(name), name, pa
        self.ovs = Ovs(self.space)
        switch.connect(name, self.space, "fabric0", vlan=vlan, trunks=[tag] if tag else None, mtu=MTU)
        versions = "protocols=OpenFlow10,OpenFlow13,OpenFlow14"
        self.ovs.vsctl(
            "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", versions,
            "--", "add-port", "br-phy", "fabric0",
            "--", "add-br", "br-int",
            "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail-mode=secure", versions,
            "--", "add-port", "br-int", "gre0",
            "--", "set", "interface", "gre0", "type=gre", "options:remote_ip=flow", "options:key=flow",
            *(["--", "set", "port", "br-phy", f"tag={tag}"] if tag else []))
        self.space.ip(f"link set br-phy mtu {MTU} up")
        self.space.dual_stack("br-phy", f"{pa}/64")
        self.gre, self.vms, self.flows = self._number("gre0"), 0, []

    def _number(self, interface):
        return int(self.ovs.vsctl("wait-until", "interface", interface, "ofport>0",
                                  "--", "get", "interface", interface, "ofport"))

    def add(self, vm):
        port = f"vm{self.vms}"
        self.vms += 1
        veth(self.space, port, vm.space, "eth0")
        self.ovs.vsctl("add-port", "br-int", port)
        number = self._number(port)
        self.flows += [
            f"table=0,priority=100,in_port={number},dl_src={vm.mac},actions=set_field:{vm.subnet.vsid << 8 | 1:#x}"
            f"->tun_id,set_field:{PA}->tun_ipv6_dst,output:{self.gre}",
            f"table=0,priority=100,in_port={self.gre},tun_id={vm.subnet.vsid << 8:#x}/0xffffff00,"
            f"tun_ipv6_src={PA},dl_dst={vm.mac},actions=output:{number}"]

    def publish(self):
        self.ovs.replace_flows("br-int", [*self.flows, "table=0,priority=0,actions=drop"])

    def dump(self):
        return self.ovs.ofctl("dump-flows", "br-int") + self.ovs.appctl("tnl/neigh/show")


class Vm:
    def __init__(self, run, tenant, subnet, host):
        _, number, last, self.mac = PLACES[subnet.name]
        self.tenant, self.subnet, self.host = tenant, subnet, host
        self.ca, self.ca6 = f"10.0.{number}.{last}", f"fd10:0:0:{number}::{last}"
        self.space = run.namespace(f"{tenant.name}-{subnet.name}")
        host.add(self)
        self.space.ip(f"link set eth0 address {self.mac}")
        self.space.dual_stack("eth0", f"{self.ca}/24", f"{self.ca6}/64")
        self.space.ip(f"route add default via 10.0.{number}.1", f"route add ::/0 via fd10:0:0:{number}::1")


class Ipv6Fabric(Topology):
    def __init__(self, run, gateway_binary, hnvctl):
        super().__init__(run, gateway_binary, hnvctl)
        self.hosts = {"host1": Host(run, self.switch, "host1", "fd60::11", tag=60),
                      "host2": Host(run, self.switch, "host2", "fd60::12", vlan=60)}
        self.vms, self.servers = {}, {}
        for name, (number, vsid, vlan) in TENANTS.items():
            tenant = Tenant(name, number, [Subnet("front", vsid + 4, "10.0.4.0/24", router="gateway"),
                                           Subnet("back", vsid + 5, "10.0.5.0/24", router="gateway")])
            for subnet in tenant.subnets.values():
                self.vms[name, subnet.name] = Vm(run, tenant, subnet, self.hosts[PLACES[subnet.name][0]])
            server = self.servers[name] = Server(run, self.switch, f"{name}-server", name, "192.168.50.10/24",
                                                 "192.168.50.1", vlan, "02:00:00:00:50:10",
                                                 address6="fd50::10/64", gateway6="fd50::1")
        for host in self.hosts.values():
            host.publish()
        self.gateway.port(self.switch, "fabric0", "fab0", trunks=[60], mtu=MTU)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[t[2] for t in TENANTS.values()])

    def resources(self):
        out = [{"path": "/v1/providerNetworks/six", "body": {
            "port": "fabric0", "vlanId": 60, "mtu": MTU, "providerAddresses": [f"{PA}/64"]}}]
        for name, (_, _, vlan) in TENANTS.items():
            domain = f"/v1/routingDomains/{name}"
            out.append({"path": domain, "body": {}})
            for (tenant, subnet), vm in self.vms.items():
                if tenant != name:
                    continue
                path, number = f"{domain}/virtualSubnets/{subnet}", PLACES[subnet][1]
                out.append({"path": path, "body": {
                    "virtualSubnetId": vm.subnet.vsid, "router": "gateway", "providerNetwork": "six",
                    "addressPrefixes": [f"10.0.{number}.0/24", f"fd10:0:0:{number}::/64"]}})
                out += [{"path": f"{path}/lookupRecords/{ca}", "body": {
                    "customerAddress": ca, "providerAddress": vm.host.pa, "macAddress": vm.mac}}
                        for ca in (vm.ca, vm.ca6)]
            out.append({"path": f"{domain}/networkConnections/datacentre", "body": {
                "connectionType": "L3", "l3Configuration": {
                    "port": "wan0", "vlanId": vlan, "ipAddresses": ["192.168.50.1/24", "fd50::1/64"]}}})
        return out


def build(run, arguments):
    made = Ipv6Fabric(run, arguments.gateway, arguments.hnvctl)
    made.gateway.start()
    made.gateway.api.apply(made.resources())
    return made


def hops(space, address):
    """Who answers when the hop limit is 1, 2, …: what traceroute shows, with ping's means."""
    seen = []
    for limit in range(1, 6):
        said = space("ping", "-6", "-n", "-c", 1, "-W", 2, "-t", limit, address, check=False, timeout=10).stdout
        found = re.search(r"[Ff]rom (\S+?)[: ]+icmp_seq=1", said)
        seen.append(found.group(1) if found else "*")
        if seen[-1] == address:
            break
    return seen


def prove(checks, made):
    capture = Capture(made.switch.space, "gw-fab0", "ipv6-fabric")
    for tenant in TENANTS:
        front, back = made.vms[tenant, "front"], made.vms[tenant, "back"]
        with checks.check(f"{tenant}: VMs find the gateway by ND and ARP, over the IPv6 fabric"):
            wait_for_ping(front.space, "fd10:0:0:4::1", 15)
            wait_for_ping(front.space, "10.0.4.1", 15)
        with checks.check(f"{tenant}: VM to VM on the other host, both families, full size"):
            wait_for_ping(front.space, back.ca6, 15)
            expect_equal(ping(front.space, back.ca6, 10, marker=tenant, size=1452), 10, "IPv6 answers")
            wait_for_ping(front.space, back.ca, 15)
            expect_equal(ping(front.space, back.ca, 10, marker=tenant, size=1472), 10, "IPv4 answers")
        with checks.check(f"{tenant}: VM to its own physical server and back"):
            wait_for_ping(back.space, "fd50::10", 15)
            expect_equal(ping(back.space, "fd50::10", 10, marker=tenant), 10, "IPv6 answers")
            wait_for_ping(back.space, "192.168.50.10", 15)
            expect_equal(ping(made.servers[tenant].space, front.ca6, 10, marker=tenant), 10, "answers to the server")
        with checks.check(f"{tenant}: the gateway is one hop, with its address in that domain") as note:
            seen = hops(front.space, back.ca6)
            expect_equal(seen, ["fd10:0:0:4::1", back.ca6], "hops to the VM")
            note.text = str(seen)
            expect_equal(hops(made.servers[tenant].space, front.ca6), ["fd50::1", front.ca6], "hops from the server")
        with checks.check(f"{tenant}: nobody there is told so, in ICMPv6"):
            answer = front.space("ping", "-6", "-n", "-c", 1, "-W", 2, "2001:db8::1", check=False, timeout=10)
            expect("No route" in answer.stdout + answer.stderr, "no ICMPv6 error:\n" + answer.stdout)
    prove_mtu(checks, made)
    capture.stop()
    with checks.check("the fabric saw well made NVGRE over IPv6 and the tag only") as note:
        expect_equal(capture.count("gre && !ipv6.version == 6"), 0, "NVGRE over something else")
        expect_equal(capture.count("gre && !(vlan.id == 60)"), 0, "frames without the tag")
        expect_equal(capture.faults(), [], "faults")
        expect(capture.count("gre && icmpv6.type == 136") > 0, "no advertisement inside NVGRE")
        note.text = f"{capture.count('gre')} frames"
    with checks.check("what hosts say to groups is dropped under its own name") as note:
        # One more address, whose group the VM's kernel joins.
        made.vms["contoso", "front"].space.ip("addr add fd10:0:0:4::77/128 dev eth0 nodad")
        wait_for(lambda: made.gateway.drops().get("mld_ignored", 0) > 0, 10, "MLD, counted under its own name")
        drops = made.gateway.drops()
        note.text = str({k: n for k, n in drops.items() if n})


def prove_mtu(checks, made):
    with checks.check("a packet too big for the physical network is answered with its MTU, and sent smaller"):
        front = made.vms["contoso", "front"]
        front.space.ip("link set eth0 mtu 1600")
        made.hosts["host1"].space.ip("link set vm0 mtu 1600")
        answer = front.space("ping", "-6", "-n", "-M", "do", "-c", 2, "-W", 2, "-s", 1540, "fd50::10",
                             check=False, timeout=15)
        expect("1500" in answer.stdout + answer.stderr, "no MTU of 1500 was told:\n" + answer.stdout + answer.stderr)
        route = front.space("ip", "-6", "route", "get", "fd50::10").stdout
        expect("mtu 1500" in route, "the kernel did not take it: " + route)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
