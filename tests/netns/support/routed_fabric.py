# SPDX-License-Identifier: Apache-2.0
"""A network to start from: a tagged fabric, a second fabric subnet behind a router, several PAs.

                                VLAN 60: 10.250.0.0/24            VLAN 61: 10.251.0.0/24
     gateway ── fab0 (trunk 60) ──┬── router 10.250.0.254 ─ 10.251.0.254 ──┐
       PAs 10.250.0.1, .2         │   (plain kernel router)                │
                                  ├── host1 10.250.0.11                    └── host2 10.251.0.12
                                  │   tags its own traffic (trunk 60)          access port 61
     gateway ── wan0 (trunk 100, 200): the servers

     contoso:  web 5001 on PA .1, app 5002 on PA .2     fabrikam: the same with 6001, 6002
     web1 10.0.1.11 on host1, app2 10.0.2.12 on host2; hosts have only their default route, so
     all traffic between subnets crosses the gateway. Tenants are dual stack: 10.0.N.x is also
     fd10:0:0:N::x.

The fabric is of either family: where FABRIC4 has 10.250.0.x and 10.251.0.x, FABRIC6 has fd60::x and
fd61::x.
"""

from dataclasses import dataclass

from .nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from .server import Server
from .topology import Topology, records

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
MTU = 1700
SERVER = "192.168.50.10"


@dataclass(frozen=True)
class Addresses:
    near: str  # the gateway's fabric subnet, to which a last number is added
    far: str   # the one behind the router
    router: str
    length: int

    def on(self, subnet, number):
        return f"{subnet}{number}/{self.length}"

    @property
    def far_prefix(self):
        return f"{self.far}{'' if ':' in self.far else '0'}/{self.length}"

    @property
    def pas(self):
        """The gateway's, by virtual subnet."""
        first, second = f"{self.near}1", f"{self.near}2"
        return {"gateway": first, "web": first, "app": second}


FABRIC4 = Addresses("10.250.0.", "10.251.0.", "254", 24)
FABRIC6 = Addresses("fd60::", "fd61::", "fe", 64)
PAS = FABRIC4.pas


class RoutedFabric(Topology):
    def __init__(self, run, gateway_binary, hnvctl, fabric=FABRIC4):
        super().__init__(run, gateway_binary, hnvctl)
        self.fabric = fabric
        self.hosts = {
            "host1": NvgreHost(run, self.switch, "host1", fabric.on(fabric.near, 11), tag=60, mtu=MTU, routes_to=set(),
                               gateway=fabric.near + fabric.router),
            "host2": NvgreHost(run, self.switch, "host2", fabric.on(fabric.far, 12), vlan=61, mtu=MTU, routes_to=set(),
                               gateway=fabric.far + fabric.router)}
        router = run.namespace("router")
        self.switch.connect("router-60", router, "eth0", vlan=60, mtu=MTU)
        self.switch.connect("router-61", router, "eth1", vlan=61, mtu=MTU)
        for interface, subnet in (("eth0", fabric.near), ("eth1", fabric.far)):
            address = fabric.on(subnet, fabric.router)
            if fabric is FABRIC6:
                router.dual_stack(interface, address)
            else:
                router.ip(f"addr add {address} dev {interface}")
        router("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.router = router
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.servers = {}, {}, {}
        for name, (number, vsid, vlan) in TENANTS.items():
            tenant = self.tenants[name] = Tenant(name, number, [
                Subnet("web", vsid + 1, "10.0.1.0/24", prefix6="fd10:0:0:1::/64"),
                Subnet("app", vsid + 2, "10.0.2.0/24", prefix6="fd10:0:0:2::/64")])
            for vm_name, subnet, ca, mac, host in (
                    ("web1", "web", "10.0.1.11", "00:15:5d:01:00:11", "host1"),
                    ("app2", "app", "10.0.2.12", "00:15:5d:02:00:12", "host2")):
                vm = self.vms[name, vm_name] = Vm(run, f"{name}-{vm_name}", tenant, tenant.subnets[subnet], ca, mac,
                                                  ca6=f"fd10:0:0:{ca.split('.')[2]}::{ca.split('.')[3]}")
                self.centre.add(vm, self.hosts[host])
            self.servers[name] = Server(run, self.switch, f"{name}-server", name, f"{SERVER}/24", "192.168.50.1",
                                        vlan, "02:00:00:00:50:10")
        self.gateway.port(self.switch, "fabric0", "fab0", trunks=[60, 62], mtu=MTU)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[100, 200])

    def resources(self):
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
            "port": "fabric0", "vlanId": 60, "mtu": MTU,
            "providerAddresses": [self.fabric.on(self.fabric.near, n) for n in (1, 2)],
            "routes": [{"destinationPrefix": self.fabric.far_prefix,
                        "nextHop": self.fabric.near + self.fabric.router}]}}]
        for name, (_, vsid, vlan) in TENANTS.items():
            domain = f"/v1/routingDomains/{name}"
            out.append({"path": domain, "body": {}})
            for subnet, number, prefix, kind in (("gateway", 0, "10.0.0.0/24", "gateway"),
                                                 ("web", 1, "10.0.1.0/24", "vm"), ("app", 2, "10.0.2.0/24", "vm")):
                out.append({"path": f"{domain}/virtualSubnets/{subnet}", "body": {
                    "virtualSubnetId": vsid + number, "addressPrefixes": [prefix, f"fd10:0:0:{number}::/64"], "kind": kind,
                    "providerNetwork": "fabric", "providerAddress": self.fabric.pas[subnet]}})
            out += [entry for (t, _), vm in self.vms.items() if t == name for entry in records(vm)]
            out.append({"path": f"{domain}/networkConnections/datacentre", "body": {
                "connectionType": "L3",
                "l3Configuration": {"port": "wan0", "vlanId": vlan, "ipAddresses": ["192.168.50.1/24"]}}})
        return out


def build(run, arguments, fabric=FABRIC4):
    made = RoutedFabric(run, arguments.gateway, arguments.hnvctl, fabric)
    made.gateway.start()
    api = made.gateway.api
    api.apply(made.resources())
    for name, tenant in made.tenants.items():
        mac = api.get(f"/v1/routingDomains/{name}/virtualSubnets/gateway")["macAddress"]
        # Packets for a VM leave the gateway from its subnet's PA, so hosts accept them from there.
        tenant.gateway = GatewaySide(TENANTS[name][1], fabric.pas["gateway"], mac, subnet_pas=fabric.pas)
    made.centre.publish()
    return made
