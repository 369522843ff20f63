# SPDX-License-Identifier: Apache-2.0
"""The topology that the lab shows and the main test proves.

                          ┌────────────────────── switch ──────────────────────┐
     gateway ── fab0 ─────┤ access, fabric VLAN 50, MTU 1700                    │
        │                 │      host1 10.250.0.11   host2 10.250.0.12          │
        └────── wan0 ─────┤ trunk 100, 200, 300                                 │
                          │      VLAN 100: contoso-server   VLAN 200: fabrikam-server
                          │      VLAN 300: internet 203.0.113.254, also 192.0.2.80 and 192.0.2.81
                          └─────────────────────────────────────────────────────┘

     host1, full policy                        host2, no flows toward subnet web
       web1    10.0.1.11   (distributed)         web2  10.0.1.12
       app1    10.0.2.11   (distributed)         app2  10.0.2.12
       legacy1 10.0.3.11   (router: gateway)

     Each of the two tenants has all of this, with the same addresses and the same MACs; only the
     VSIDs differ (contoso 5000 to 5003, fabrikam 6000 to 6003). The gateway is 10.0.0.2 in each
     tenant's gateway subnet, 10.0.3.1 in legacy, and 192.168.50.1 toward each tenant's physical
     network, where the tenant's server is 192.168.50.10.

     Both go out to the internet by NAT, under 198.51.100.16 to .19, and publish web1's page: contoso at
     198.51.100.1, fabrikam at 198.51.100.2. legacy1 has 198.51.100.11 and .12 for itself.

     With add_branches() each tenant has a site over IPsec, too, both at one address; support/branches.py draws them.
     With add_backups() that site has a second tunnel, and a broken one; support/backups.py.
     With add_bgp() it speaks BGP over its tunnel; support/bgp_sites.py.

     All of it but NAT is dual stack: 10.0.N.x is also fd10:0:0:N::x, 192.168.50.x is fd50::x. Into legacy
     packets of 1,400 bytes go and no larger ones, so that there is a path MTU to discover.
"""

from .backups import Backups
from .bgp_sites import BgpSites
from .branches import Branches, ipsec_section
from .branches import path as branch_path
from .nat_parts import Internet, publish_page
from .nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from .server import Server
from .topology import Topology, records

FABRIC_VLAN = 50
FABRIC_MTU = 1700
GATEWAY_PA = "10.250.0.1"
SERVER = "192.168.50.10"
SERVER_GATEWAY = "192.168.50.1"
SERVER6 = "fd50::10"
SERVER_GATEWAY6 = "fd50::1"
LEGACY_MTU = 1400
PUBLIC_PREFIX = "198.51.100.0/24"
POOL = "198.51.100.16/30"
NOWHERE = "172.16.0.1"  # NAT leaves private networks alone, and no other route leads there
TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}  # number, first VSID, VLAN
MACS = {"web1": "00:15:5d:01:00:11", "web2": "00:15:5d:01:00:12", "app1": "00:15:5d:02:00:11",
        "app2": "00:15:5d:02:00:12", "legacy1": "00:15:5d:03:00:11"}
PLACES = {"web1": "host1", "app1": "host1", "legacy1": "host1", "web2": "host2", "app2": "host2"}


class Lab(Topology):
    """The topology without and, after start_gateway() and configure(), with the gateway."""

    def __init__(self, run, gateway_binary, hnvctl, tell=None):
        self._tell = tell
        tell = self.tell
        tell("switch and gateway: namespaces and wires")
        super().__init__(run, gateway_binary, hnvctl)
        tell("hosts: host1 (full policy) and host2 (partial policy)")
        self.hosts = {
            "host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", vlan=FABRIC_VLAN, mtu=FABRIC_MTU),
            "host2": NvgreHost(run, self.switch, "host2", "10.250.0.12/24", vlan=FABRIC_VLAN, mtu=FABRIC_MTU,
                               routes_to={"app"}),
        }
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.servers = {}, {}, {}
        self.branches = self.backups = self.bgp = None
        for name, (number, vsid, vlan) in TENANTS.items():
            tell(f"tenant {name}: VMs {', '.join(MACS)}; a physical server on VLAN {vlan}")
            self._tenant(name, number, vsid, vlan)
        tell("the internet: a server behind a router")
        self.internet = Internet(run, self.switch)
        self.centre.publish()
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=FABRIC_VLAN, mtu=FABRIC_MTU)
        self.gateway.port(self.switch, "wan0", "wan0",
                          trunks=[*(t[2] for t in TENANTS.values()), self.internet.vlan])

    def _tenant(self, name, number, vsid, vlan):
        subnets = [Subnet("web", vsid + 1, "10.0.1.0/24", prefix6="fd10:0:0:1::/64"),
                   Subnet("app", vsid + 2, "10.0.2.0/24", prefix6="fd10:0:0:2::/64"),
                   Subnet("legacy", vsid + 3, "10.0.3.0/24", router="gateway", prefix6="fd10:0:0:3::/64")]
        tenant = self.tenants[name] = Tenant(name, number, subnets)
        for vm_name, mac in MACS.items():
            subnet = tenant.subnets[vm_name[:-1]]
            ca = f"{subnet.prefix.rsplit('.', 1)[0]}.1{vm_name[-1]}"
            vm = self.vms[name, vm_name] = Vm(self.run, f"{name}-{vm_name}", tenant, subnet, ca, mac,
                                              ca6=f"{subnet.prefix6.partition('/')[0]}1{vm_name[-1]}")
            self.centre.add(vm, self.hosts[PLACES[vm_name]])
        publish_page(self.vms[name, "web1"], f"{name} web1")
        self.servers[name] = Server(self.run, self.switch, f"{name}-server", name, f"{SERVER}/24",
                                    SERVER_GATEWAY, vlan, "02:00:00:00:50:10", iperf_port=5200 + number,
                                    address6=f"{SERVER6}/64", gateway6=SERVER_GATEWAY6)

    def tell(self, line):
        if self._tell:
            self._tell(line)

    @staticmethod
    def published(tenant):
        """Where a tenant's web1 is reached from outside."""
        return f"198.51.100.{TENANTS[tenant][0]}"

    @staticmethod
    def own_address(tenant):
        """The public address that a tenant's legacy1 has for itself."""
        return f"198.51.100.{10 + TENANTS[tenant][0]}"

    def vm(self, tenant, name):
        return self.vms[tenant, name]

    def add_branches(self):
        """Before the gateway starts. branches.connect() when it is configured."""
        self.tell("a site of each tenant's over IPsec: strongSwan, one network, one address, behind a NAT")
        self.branches = Branches(self.run, self.internet, TENANTS)
        self.gateway.config["ipsec"] = ipsec_section(self.run, self.gateway.binary)

    def add_backups(self):
        """After add_branches(). backups.connect() when the branches are connected."""
        self.tell("a second tunnel to each site, over its other router; a third one, broken on purpose")
        self.backups = Backups(self.run, self.branches)

    def add_bgp(self):
        """After add_branches(). bgp.start() when the branches are connected."""
        self.tell("BGP over each tunnel: BIRD at the site, bgpd beside the gateway")
        self.bgp = BgpSites(self)

    # -- the gateway

    def resources(self):
        """The desired state, as `hnvctl apply` takes it."""
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
            "port": "fabric0", "vlanId": 0, "providerAddresses": [f"{GATEWAY_PA}/24"], "mtu": FABRIC_MTU}},
            {"path": "/v1/externalNetworks/internet", "body": {
                "port": "wan0", "vlanId": self.internet.vlan, "ipAddresses": [f"{self.internet.gateway}/24"],
                "routes": [{"destinationPrefix": "0.0.0.0/0", "nextHop": self.internet.router}],
                "publicAddressPrefixes": [PUBLIC_PREFIX]}},
            {"path": "/v1/publicIPAddresses/shared", "body": {
                "externalNetwork": "internet", "publicIPAddresses": [POOL], "respondToPing": True}}]
        for name, tenant in self.tenants.items():
            out += self._domain(f"/v1/routingDomains/{name}", name, tenant)
        return out

    def _domain(self, domain, name, tenant):
        _, vsid, vlan = TENANTS[name]
        out = [{"path": domain, "body": {"description": f"the network of {name}"}},
               {"path": f"{domain}/virtualSubnets/gateway", "body": {
                   "virtualSubnetId": vsid, "addressPrefixes": ["10.0.0.0/24", "fd10::/64"], "kind": "gateway",
                   "providerNetwork": "fabric"}}]
        for subnet in tenant.subnets.values():
            out.append({"path": f"{domain}/virtualSubnets/{subnet.name}", "body": {
                "virtualSubnetId": subnet.vsid, "addressPrefixes": [subnet.prefix, subnet.prefix6], "kind": "vm",
                "router": subnet.router, "providerNetwork": "fabric",
                **({"mtu": LEGACY_MTU} if subnet.name == "legacy" else {})}})
        for vm in self.centre.vms:
            if vm.tenant is tenant:
                out += records(vm)
        out.append({"path": f"{domain}/networkConnections/datacentre", "body": {
            "connectionType": "L3",
            "l3Configuration": {"port": "wan0", "vlanId": vlan,
                                "ipAddresses": [f"{SERVER_GATEWAY}/24", f"{SERVER_GATEWAY6}/64"]}}})
        out.append({"path": f"{domain}/nat", "body": {
            "excludePrefixes": ["172.16.0.0/12"],
            "outboundRules": [{"name": "vms", "sourcePrefixes": ["10.0.0.0/16"], "pool": "shared"}],
            "staticMappings": [
                {"name": "page", "externalNetwork": "internet", "protocol": "TCP",
                 "publicAddress": self.published(name), "publicPort": 80,
                 "insideAddress": "10.0.1.11", "insidePort": 80},
                {"name": "legacy1", "externalNetwork": "internet", "protocol": "All",
                 "publicAddress": self.own_address(name), "insideAddress": "10.0.3.11"}]}})
        if self.branches:
            out.append({"path": branch_path(name), "body": self.branches.connection(name)})
        if self.backups:
            out += self.backups.resources(name)
        if self.bgp:
            out += self.bgp.resources(name)
        return out

    def start_gateway(self):
        self.tell("gateway: starting")
        self.gateway.start()
        self.tell(f"gateway: ready after {self.gateway.ready_after:.2f} s")

    def configure(self):
        """One transaction for all tenants; then the hosts are told of the gateway, as VMM does."""
        self.gateway.api.apply(self.resources())
        self.tell_hosts()

    def tell_hosts(self):
        for name, tenant in self.tenants.items():
            base = f"/v1/routingDomains/{name}/virtualSubnets"
            macs = {s: self.gateway.api.get(f"{base}/{s}")["macAddress"]
                    for s in ["gateway", *tenant.subnets]}
            tenant.gateway = GatewaySide(TENANTS[name][1], GATEWAY_PA, macs["gateway"], macs)
        self.centre.publish()
