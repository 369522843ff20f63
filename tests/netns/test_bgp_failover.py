#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tenant with two IPsec tunnels and BGP over both: one dies under traffic, the other carries.

     host1 ──(fabric VLAN 50)── gateway 203.0.113.1 ── internet ══ edge ─┬─ one  10.99.1.2, BIRD 10.210.1.1 ─┐
       contoso-vm 10.0.1.11        │ bgpd, BFD                            └─ two  10.99.2.2, BIRD 10.210.2.1 ─┴─ 10.60.0.1

     Each site is a strongSwan behind the edge's NAT (support/branches.py); both announce 10.60.0.0/16, two with
     the worse MED. A tunnel dies by kill -9 of its site's charon: nothing is said to anybody. Before, it is ended by
     its site, which the gateway hears.
"""

import sys

from support.bgp_peers import BirdIn, bird_session
from support.branches import Branches, ipsec_section
from support.checks import expect, expect_equal, topology
from support.failover import Cut, judge
from support.nat_parts import Internet
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from support.topology import Topology, record
from support.traffic import wait_for_ping
from support.wait import wait_for

DOMAIN = "/v1/routingDomains/contoso"
SITES = ("one", "two")
OURS, BEHIND, PREFIX = "10.0.0.2", "10.60.0.1", "10.60.0.0/16"
OWN_AS, SITE_AS, VSID, HOLD = 65001, 65010, 5000, 9


def peer_of(site):
    return f"10.210.{SITES.index(site) + 1}.1"


class Made(Topology):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.gateway.config["bgp"] = {"user": "frr"}
        self.gateway.config["ipsec"] = ipsec_section(run, self.gateway.binary)
        self.hosts = {"host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", vlan=50)}
        self.centre = Centre(self.hosts.values())
        tenant = Tenant("contoso", 1, [Subnet("web", VSID + 1, "10.0.1.0/24")])
        self.vm = Vm(run, "contoso-vm", tenant, tenant.subnets["web"], "10.0.1.11", "00:15:5d:01:00:11")
        self.centre.add(self.vm, self.hosts["host1"])
        self.internet = Internet(run, self.switch)
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[self.internet.vlan])
        self.branches = Branches(run, self.internet, SITES)
        self.branches.selector = "10.0.0.0/8"
        self.gateway.start()
        self.api.apply(self.resources())
        tenant.gateway = GatewaySide(VSID, "10.250.0.1", self.api.get(f"{DOMAIN}/virtualSubnets/gateway")["macAddress"])
        self.centre.publish()
        self.birds = {}
        for site, one in self.branches.sites.items():
            one.space.ip(f"addr add {peer_of(site)}/32 dev lo", f"addr add {BEHIND}/32 dev lo")
            self.connect(site)
            self.birds[site] = BirdIn(run, one.space, f"{site}-router", peer_of(site), [PREFIX], [
                bird_session("gateway", peer_of(site), SITE_AS, OURS, OWN_AS, hold=HOLD, multihop=2,
                             med=100 * SITES.index(site))], through=("ipsec0", "10.0.0.0/24"))

    def connect(self, site):
        self.branches.load(site)
        expect(self.branches.sites[site].initiate("branch"), f"{site}: {self.branches.sites[site].log()}")

    @property
    def api(self):
        return self.gateway.api

    def resources(self):
        out = [
            {"path": "/v1/providerNetworks/fabric", "body": {
                "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}},
            {"path": "/v1/externalNetworks/internet", "body": {
                "port": "wan0", "vlanId": self.internet.vlan, "ipAddresses": [f"{self.internet.gateway}/24"],
                "routes": [{"destinationPrefix": "0.0.0.0/0", "nextHop": self.internet.router}]}},
            {"path": DOMAIN, "body": {}},
            {"path": f"{DOMAIN}/virtualSubnets/gateway", "body": {
                "virtualSubnetId": VSID, "addressPrefixes": ["10.0.0.0/24"], "kind": "gateway", "providerNetwork": "fabric"}},
            {"path": f"{DOMAIN}/virtualSubnets/web", "body": {
                "virtualSubnetId": VSID + 1, "addressPrefixes": ["10.0.1.0/24"], "kind": "vm", "providerNetwork": "fabric"}},
            record(self.vm),
            {"path": f"{DOMAIN}/bgpRouter", "body": {
                "asNumber": OWN_AS, "routerId": OURS, "redistributeConnected": "Enabled", "ebgpRequiresPolicy": "Disabled"}}]
        for site in SITES:
            out += [{"path": f"{DOMAIN}/networkConnections/{site}", "body": {
                **self.branches.connection(site), "outboundKiloBitsPerSecond": 0, "inboundKiloBitsPerSecond": 0,
                "routes": [{"destinationPrefix": f"{peer_of(site)}/32"}]}}]
            out += [{"path": f"{DOMAIN}/bgpPeers/{site}", "body": self.peer(site, {})}]
        return out

    @staticmethod
    def peer(site, bfd):
        body = {"peerIpAddress": peer_of(site), "asNumber": SITE_AS, "localIPAddress": OURS, "multihop": 2, "holdTimeSeconds": HOLD}
        return body if bfd is None else {**body, "bfd": bfd}

    def status(self, site):
        return self.api.get(f"{DOMAIN}/bgpPeers/{site}")["status"]

    def next_hop(self):
        routes = self.api.get(f"{DOMAIN}/routes")["value"]
        return next((c["nextHop"] for r in routes if r["destinationPrefix"] == PREFIX
                     for c in r["candidates"] if c["best"]), None)

    def cut(self, how):
        return Cut(self.vm.space, [self.branches.sites[site].space for site in SITES], BEHIND, "contoso",
                   cut=how, turned=lambda: self.next_hop() == peer_of("two"), within=HOLD * 4)

    def wait_up(self, detection):
        for site in SITES:
            def up(site=site):
                state = self.birds[site].bfd(OURS)  # first: BIRD ends a session of BGP when BFD is taken away
                if (state[0] == "Up") if detection is None else (state != ("Up", detection)):
                    return False
                status = self.status(site)
                return (self.birds[site].established("gateway") and status["connectionState"] == "Established"
                        and (detection is None or status["bfd"]["state"] == "Up"))
            wait_for(up, 60, f"BGP and BFD over {site}", tell=lambda site=site: (self.status(site), self.birds[site].birdc("show", "bfd", "sessions")))
        wait_for(lambda: self.next_hop() == peer_of("one"), 20, "the better way", tell=self.next_hop)
        wait_for_ping(self.vm.space, BEHIND)


def build(run, arguments):
    return Made(run, arguments)


def prove(checks, made):
    with checks.check("a session of BGP and one of BFD over each tunnel, both over several hops"):
        made.wait_up(900)

    with checks.check("without BFD: a tunnel that its site ends is told to bgpd at once, and another one serves") as note:
        for site in SITES:
            made.api.put(f"{DOMAIN}/bgpPeers/{site}", made.peer(site, None))
        made.wait_up(None)
        ended = made.cut(lambda: made.branches.sites["one"].forget("branch"))
        expect(ended.seconds < HOLD * 2 / 3, f"as slow as a hold time: {ended}")
        note.text = str(ended)
        made.connect("one")
        for site in SITES:
            made.api.put(f"{DOMAIN}/bgpPeers/{site}", made.peer(site, {}))
        made.wait_up(900)

    with checks.check("a tunnel dies under traffic: the other carries, 3 x 50 ms") as note:
        for site in SITES:
            made.api.put(f"{DOMAIN}/bgpPeers/{site}", made.peer(site, {"minReceiveMilliseconds": 50, "minTransmitMilliseconds": 50}))
        made.wait_up(150)
        note.text = judge(made.cut(lambda: made.branches.sites["one"].process.stop(9)), 150, HOLD)

    with checks.check("the gateway says what happened") as note:
        status = made.status("one")
        expect_equal(status["bfd"]["state"], "Down", "BFD's state")
        expect("nothing was heard" in status["note"], status)
        wait_for(lambda: made.status("one")["connectionState"] != "Established", 5, "BGP's state")
        note.text = f"{status['note']}; {made.status('one')['lastError']}"


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
