#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""BFD beside BGP: a way that falls silent is left at once, and no session of another tenant's with it.

     host1 ──(fabric VLAN 50)── gateway ── wan0 ── switch ─┬─ VLAN 100 ─┬─ contoso's site: bird, 192.168.50.10 and .51.10
       contoso-vm   10.0.1.11      │ bgpd                   ├─ VLAN 101 ─┘                      10.50.0.1 behind it
       fabrikam-vm  10.0.1.11      │ BFD                    └─ 200, 201 ─── fabrikam's site, with the same addresses

     Two sessions a tenant, each with BFD; the second way has the worse MED. A way is cut in the
     switch, both directions, so that neither end sees a link go.
"""

import os
import signal
import sys

from support.bgp_peers import BirdIn, bgpd_of, bird_session
from support.checks import expect, expect_equal, topology
from support.failover import Cut, judge
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from support.topology import Topology, record
from support.traffic import wait_for_ping
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
SLOW = {"minReceiveMilliseconds": 1000, "minTransmitMilliseconds": 1000}  # a busy machine is no failure for it
BFD = {"contoso": {}, "fabrikam": SLOW}
DETECTION = {"contoso": 900, "fabrikam": 3000}  # milliseconds
WAYS = {"first": 50, "second": 51}  # the third byte of their addresses
BEHIND, PREFIX = "10.50.0.1", "10.50.0.0/16"
OWN_AS, SITE_AS = 65001, 65010
HOLD = 9  # seconds, as both ends say


def path(domain, what=""):
    return f"/v1/routingDomains/{domain}" + (f"/{what}" if what else "")


def ours(way):
    return f"192.168.{WAYS[way]}.1"


def theirs(way):
    return f"192.168.{WAYS[way]}.10"


class Site:
    """A tenant's router with two ways to the gateway."""

    def __init__(self, run, switch, tenant, vlan):
        name = f"{tenant}-site"
        self.space = run.namespace(name)
        for number, way in enumerate(WAYS):
            switch.connect(f"{tenant}-{number}", self.space, f"site{number}", vlan=vlan + number)
            self.space.ip(f"addr add {theirs(way)}/24 dev site{number}", f"link set site{number} up")
        self.space.ip("link set lo up", f"addr add {BEHIND}/32 dev lo", f"route add 10.0.0.0/16 via {ours('first')}")
        self.bird = BirdIn(run, self.space, name, theirs("first"), [PREFIX], [
            bird_session(way, theirs(way), SITE_AS, ours(way), OWN_AS, hold=HOLD, med=med)
            for way, med in (("first", 0), ("second", 100))])


class Made(Topology):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.gateway.config["bgp"] = {"user": "frr"}
        self.hosts = {"host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", vlan=50)}
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.sites = {}, {}, {}
        for name, (number, vsid, _) in TENANTS.items():
            tenant = self.tenants[name] = Tenant(name, number, [Subnet("web", vsid + 1, "10.0.1.0/24")])
            vm = self.vms[name] = Vm(run, f"{name}-vm", tenant, tenant.subnets["web"], "10.0.1.11", "00:15:5d:01:00:11")
            self.centre.add(vm, self.hosts["host1"])
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[100, 101, 200, 201])
        for name, (_, _, vlan) in TENANTS.items():
            self.sites[name] = Site(run, self.switch, name, vlan)
        self.gateway.start()
        self.api.apply(self.resources())
        for name, tenant in self.tenants.items():
            tenant.gateway = GatewaySide(TENANTS[name][1], "10.250.0.1",
                                         self.api.get(path(name, "virtualSubnets/gateway"))["macAddress"])
        self.centre.publish()

    @property
    def api(self):
        return self.gateway.api

    def resources(self):
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
            "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}}]
        for name, (_, vsid, vlan) in TENANTS.items():
            out += [
                {"path": path(name), "body": {}},
                {"path": path(name, "virtualSubnets/gateway"), "body": {
                    "virtualSubnetId": vsid, "addressPrefixes": ["10.0.0.0/24"], "kind": "gateway",
                    "providerNetwork": "fabric"}},
                {"path": path(name, "virtualSubnets/web"), "body": {
                    "virtualSubnetId": vsid + 1, "addressPrefixes": ["10.0.1.0/24"], "kind": "vm",
                    "providerNetwork": "fabric"}},
                record(self.vms[name]),
                {"path": path(name, "bgpRouter"), "body": {
                    "asNumber": OWN_AS, "routerId": ours("first"), "redistributeConnected": "Enabled",
                    "ebgpRequiresPolicy": "Disabled", "holdTimeSeconds": HOLD}}]
            for number, way in enumerate(WAYS):
                out += [{"path": path(name, f"networkConnections/{way}"), "body": {
                    "connectionType": "L3", "l3Configuration": {
                        "port": "wan0", "vlanId": vlan + number, "ipAddresses": [f"{ours(way)}/24"],
                        "peerIPAddresses": [theirs(way)]}}}]
                out += [self.peer(name, way, BFD[name])]
        return out

    @staticmethod
    def peer(domain, way, bfd):
        body = {"peerIpAddress": theirs(way), "asNumber": SITE_AS}
        return {"path": path(domain, f"bgpPeers/{way}"), "body": body if bfd is None else {**body, "bfd": bfd}}

    def set_bfd(self, domain, bfd):
        for way in WAYS:
            made = self.peer(domain, way, bfd)
            self.api.put(made["path"], made["body"])

    def status(self, domain, way):
        return self.api.get(path(domain, f"bgpPeers/{way}"))["status"]

    def next_hop(self, domain):
        """Of the prefix behind the site, as it is now; None: there is no route."""
        routes = self.api.get(path(domain, "routes"))["value"]
        return next((c["nextHop"] for r in routes if r["destinationPrefix"] == PREFIX
                     for c in r["candidates"] if c["best"]), None)

    def is_up(self, domain, way, detection):
        """BIRD ends a session of BGP when BFD is taken away, and begins anew: BFD is looked at first."""
        bird = self.sites[domain].bird
        state = bird.bfd(ours(way))
        if (state[0] == "Up") if detection is None else (state != ("Up", detection)):
            return False
        status = self.status(domain, way)
        return (bird.established(way) and status["connectionState"] == "Established"
                and (detection is None or status["bfd"]["state"] == "Up"))

    def wait_up(self, domain, detection):
        """BGP over both ways, and BFD that takes so long to notice silence; None: without BFD."""
        for way in WAYS:
            wait_for(lambda w=way: self.is_up(domain, w, detection), 60, f"{domain}: {way}: BGP, and BFD of {detection} ms",
                     tell=lambda w=way: (self.sites[domain].bird.birdc("show", "bfd", "sessions"), self.status(domain, w)))
        wait_for(lambda: self.next_hop(domain) == theirs("first"), 20, f"{domain}: the better way", tell=lambda: self.next_hop(domain))

    def cut(self, domain, way):
        """Both directions of a way, in the switch."""
        number = list(WAYS).index(way)
        for match in (f"in_port={domain}-{number}", f"in_port=gw-wan0,dl_vlan={TENANTS[domain][2] + number}"):
            self.switch.ovs.ofctl("add-flow", "br0", f"priority=100,{match},actions=drop", "--names")

    def mend(self):
        self.switch.ovs.ofctl("del-flows", "br0")
        self.switch.ovs.ofctl("add-flow", "br0", "priority=0,actions=normal")


def cut(made, domain, turned):
    return Cut(made.vms[domain].space, [made.sites[domain].space], BEHIND, domain,
               cut=lambda: made.cut(domain, "first"), turned=turned, within=HOLD * 4)


def failover(made, domain, detection):
    made.wait_up(domain, detection)
    measured = cut(made, domain, lambda: made.next_hop(domain) == theirs("second"))
    status = made.status(domain, "first")
    made.mend()
    expect_equal(status["bfd"]["state"], "Down", "BFD's state")
    expect("nothing was heard" in status["note"], status)
    return judge(measured, detection, HOLD)


def build(run, arguments):
    return Made(run, arguments)


def prove(checks, made):
    with checks.check("both ways of both tenants have a session of BGP and one of BFD"):
        for domain in TENANTS:
            made.wait_up(domain, DETECTION[domain])
        expect_equal(made.api.get("/v1/system")["bgpPeersEstablished"], 4, "sessions")
        for domain in TENANTS:
            wait_for_ping(made.vms[domain].space, BEHIND)
        before = {way: made.status("fabrikam", way)["timesDropped"] for way in WAYS}

    with checks.check("a way that falls silent is left, 3 x 300 ms") as note:
        note.text = failover(made, "contoso", 900)

    with checks.check("other times take hold while the sessions stay up"):
        made.wait_up("contoso", 900)
        dropped = made.status("contoso", "second")["timesDropped"]
        made.set_bfd("contoso", {"minReceiveMilliseconds": 400, "minTransmitMilliseconds": 400})
        made.wait_up("contoso", 1200)
        expect_equal(made.status("contoso", "second")["timesDropped"], dropped, "sessions that ended")

    with checks.check("a way that falls silent is left, 3 x 50 ms") as note:
        made.set_bfd("contoso", {"minReceiveMilliseconds": 50, "minTransmitMilliseconds": 50})
        note.text = failover(made, "contoso", 150)

    with checks.check("without BFD it takes the hold time") as note:
        made.set_bfd("contoso", None)
        made.wait_up("contoso", None)
        expect("bfd" not in made.status("contoso", "first"), made.status("contoso", "first"))
        for way in WAYS:
            expect(made.sites["contoso"].bird.bfd(ours(way))[0] != "Up", "BIRD has a session still")
        # The route may turn sooner: a neighbour that answers no ARP takes it away in 3 s, when it is asked.
        measured = cut(made, "contoso", lambda: made.status("contoso", "first")["connectionState"] != "Established")
        made.mend()
        expect(measured.seconds > HOLD / 2, f"who noticed so soon? {measured}")
        note.text = f"the session ended after {measured.seconds:.1f} s"

    with checks.check("the other tenant's sessions, with the same addresses, saw nothing of it"):
        for way in WAYS:
            status = made.status("fabrikam", way)
            expect_equal((status["connectionState"], status["bfd"]["state"], status["timesDropped"]),
                         ("Established", "Up", before[way]), f"fabrikam's {way}")

    with checks.check("a peer that is disabled ends BFD with a word, and comes back"):
        made.set_bfd("contoso", {})
        made.wait_up("contoso", 900)
        body = made.peer("contoso", "first", {})["body"]
        made.api.put(path("contoso", "bgpPeers/first"), {**body, "adminStatus": "disabled"})
        wait_for(lambda: made.status("contoso", "first")["bfd"]["state"] == "AdminDown", 10, "its BFD session's end")
        wait_for(lambda: made.next_hop("contoso") == theirs("second"), 10, "the other way")
        made.api.put(path("contoso", "bgpPeers/first"), body)
        made.wait_up("contoso", 900)

    with checks.check("kill -9 of bgpd: no BFD session hears of it, and the next one is told how they are"):
        for domain in TENANTS:
            made.wait_up(domain, DETECTION[domain])
        before = {(domain, way): made.sites[domain].bird.bfd_since(ours(way)) for domain in TENANTS for way in WAYS}
        os.kill(bgpd_of(made), signal.SIGKILL)
        wait_for(lambda: made.api.get("/v1/system")["bgpRestarts"] == 1, 20, "a new bgpd")
        for domain in TENANTS:
            made.wait_up(domain, DETECTION[domain])
        after = {(domain, way): made.sites[domain].bird.bfd_since(ours(way)) for domain, way in before}
        expect_equal(after, before, "since when BIRD's sessions are up")

    with checks.check("hnvctl shows BFD beside BGP"):
        wait_for(lambda: "Up" in made.gateway.ctl("bgp", "summary", "contoso").stdout, 10, "BFD is up")
        text = made.gateway.ctl("bgp", "peers", "contoso", "first").stdout
        expect(any(line.split() == ["BFD", "Up"] for line in text.splitlines()), text)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
