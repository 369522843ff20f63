# SPDX-License-Identifier: Apache-2.0
"""The gateway with two ports and nobody there but a namespace that can send anything anywhere.

     gateway ── fab0 (trunk 0, 60) ──┬── switch ──┬── stray (sees every VLAN)
             └─ wan0 (trunk) ────────┘            ┘

For topologies about the API and about wrong input, where no host has to answer.
"""

from .run import veth
from .topology import Topology

TRUNKS = [50, 60, 100, 200, 300, 400]


class Plain(Topology):
    def __init__(self, run, gateway_binary, hnvctl, tcp=None):
        super().__init__(run, gateway_binary, hnvctl, tcp=tcp)
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=TRUNKS[2:])
        self.stray = run.namespace("stray")
        veth(self.switch.space, "stray", self.stray, "eth0", 1700)
        self.switch.ovs.vsctl("add-port", "br0", "stray", f"trunks={','.join(map(str, TRUNKS))}")

    def start(self, resources=()):
        self.gateway.start()
        if resources:
            self.gateway.api.apply(resources)
        return self


def two_domains():
    """A small valid state: contoso and fabrikam with the same addresses."""
    out = [{"path": "/v1/providerNetworks/fabric", "body": {
                "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}},
           {"path": "/v1/externalNetworks/internet", "body": {
               "port": "wan0", "vlanId": 300, "ipAddresses": ["192.0.2.1/24"]}}]
    for name, vsid, vlan in (("contoso", 5000, 100), ("fabrikam", 6000, 200)):
        domain = f"/v1/routingDomains/{name}"
        out += [
            {"path": domain, "body": {"description": name}},
            {"path": f"{domain}/virtualSubnets/gateway", "body": {
                "virtualSubnetId": vsid, "addressPrefixes": ["10.0.0.0/24"], "kind": "gateway",
                "providerNetwork": "fabric"}},
            {"path": f"{domain}/virtualSubnets/web", "body": {
                "virtualSubnetId": vsid + 1, "addressPrefixes": ["10.0.1.0/24"], "kind": "vm",
                "providerNetwork": "fabric"}},
            {"path": f"{domain}/virtualSubnets/web/lookupRecords/10.0.1.11", "body": {
                "customerAddress": "10.0.1.11", "providerAddress": "10.250.0.11",
                "macAddress": "00:15:5d:01:00:11", "type": "Static"}},
            {"path": f"{domain}/networkConnections/datacentre", "body": {
                "connectionType": "L3", "l3Configuration": {
                    "port": "wan0", "vlanId": vlan, "ipAddresses": ["192.168.50.1/24"],
                    "peerIPAddresses": ["192.168.50.10"]}}}]
    return out
