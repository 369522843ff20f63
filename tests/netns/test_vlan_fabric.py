#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tagged fabric, a second fabric subnet behind a router, and several PAs of the gateway.

                                VLAN 60: 10.250.0.0/24            VLAN 61: 10.251.0.0/24
     gateway ── fab0 (trunk 60) ──┬── router 10.250.0.254 ─ 10.251.0.254 ──┐
       PAs 10.250.0.1, .2         │   (plain kernel router)                │
                                  ├── host1 10.250.0.11                    └── host2 10.251.0.12
                                  │   tags its own traffic (trunk 60)          access port 61
     gateway ── wan0 (trunk 100, 200): the servers

     contoso:  web 5001 on PA .1, app 5002 on PA .2     fabrikam: the same with 6001, 6002
     web1 10.0.1.11 on host1, app2 10.0.2.12 on host2; hosts have only their default route, so
     all traffic between subnets crosses the gateway.
"""

import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import ethernet, ipv4, nvgre, raw_socket, udp
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from support.run import veth
from support.server import Server, http_get
from support.topology import Topology, record
from support.traffic import ping, wait_for_ping
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
MTU = 1700
SERVER = "192.168.50.10"
PAS = {"gateway": "10.250.0.1", "web": "10.250.0.1", "app": "10.250.0.2"}


class Tagged(Topology):
    def __init__(self, run, gateway_binary, hnvctl):
        super().__init__(run, gateway_binary, hnvctl)
        self.hosts = {
            "host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", tag=60, mtu=MTU, routes_to=set(),
                               gateway="10.250.0.254"),
            "host2": NvgreHost(run, self.switch, "host2", "10.251.0.12/24", vlan=61, mtu=MTU, routes_to=set(),
                               gateway="10.251.0.254")}
        router = run.namespace("router")
        self.switch.connect("router-60", router, "eth0", vlan=60, mtu=MTU)
        self.switch.connect("router-61", router, "eth1", vlan=61, mtu=MTU)
        router.ip("addr add 10.250.0.254/24 dev eth0", "addr add 10.251.0.254/24 dev eth1")
        router("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.router = router
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.servers = {}, {}, {}
        for name, (number, vsid, vlan) in TENANTS.items():
            tenant = self.tenants[name] = Tenant(name, number, [
                Subnet("web", vsid + 1, "10.0.1.0/24"), Subnet("app", vsid + 2, "10.0.2.0/24")])
            for vm_name, subnet, ca, mac, host in (
                    ("web1", "web", "10.0.1.11", "00:15:5d:01:00:11", "host1"),
                    ("app2", "app", "10.0.2.12", "00:15:5d:02:00:12", "host2")):
                vm = self.vms[name, vm_name] = Vm(run, f"{name}-{vm_name}", tenant, tenant.subnets[subnet], ca, mac)
                self.centre.add(vm, self.hosts[host])
            self.servers[name] = Server(run, self.switch, f"{name}-server", name, f"{SERVER}/24", "192.168.50.1",
                                        vlan, "02:00:00:00:50:10")
        self.gateway.port(self.switch, "fabric0", "fab0", trunks=[60, 62], mtu=MTU)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[100, 200])

    def resources(self):
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
            "port": "fabric0", "vlanId": 60, "mtu": MTU,
            "providerAddresses": ["10.250.0.1/24", "10.250.0.2/24"],
            "routes": [{"destinationPrefix": "10.251.0.0/24", "nextHop": "10.250.0.254"}]}}]
        for name, (_, vsid, vlan) in TENANTS.items():
            domain = f"/v1/routingDomains/{name}"
            out.append({"path": domain, "body": {}})
            for subnet, number, prefix, kind in (("gateway", 0, "10.0.0.0/24", "gateway"),
                                                 ("web", 1, "10.0.1.0/24", "vm"), ("app", 2, "10.0.2.0/24", "vm")):
                out.append({"path": f"{domain}/virtualSubnets/{subnet}", "body": {
                    "virtualSubnetId": vsid + number, "addressPrefixes": [prefix], "kind": kind,
                    "providerNetwork": "fabric", "providerAddress": PAS[subnet]}})
            out += [record(vm) for (t, _), vm in self.vms.items() if t == name]
            out.append({"path": f"{domain}/networkConnections/datacentre", "body": {
                "connectionType": "L3",
                "l3Configuration": {"port": "wan0", "vlanId": vlan, "ipAddresses": ["192.168.50.1/24"]}}})
        return out


def build(run, arguments):
    made = Tagged(run, arguments.gateway, arguments.hnvctl)
    made.gateway.start()
    api = made.gateway.api
    api.apply(made.resources())
    for name, tenant in made.tenants.items():
        mac = api.get(f"/v1/routingDomains/{name}/virtualSubnets/gateway")["macAddress"]
        # Packets for a VM leave the gateway from its subnet's PA, so hosts accept them from there.
        tenant.gateway = GatewaySide(TENANTS[name][1], PAS["gateway"], mac, subnet_pas=PAS)
    made.centre.publish()
    return made


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
