#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""BGP end to end: two tenants' routers teach the gateway the same prefix, and packets follow.

     host1 ──(fabric VLAN 50)── gateway ── wan0 ──┬── VLAN 100 ── contoso's site: gobgp 192.168.50.10
       contoso-vm   10.0.1.11      │ bgpd          └── VLAN 200 ── fabrikam's site: bird  192.168.50.10
       fabrikam-vm  10.0.1.11      │                                both with 10.50.0.1 behind them

     AS 65001 here, AS 65010 there, in both domains; the same addresses, prefixes and policies.
"""

import os
import signal
import sys

from support.bgp_peers import Bird, Gobgp, bgpd_of
from support.checks import expect, expect_equal, topology
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from support.server import HERE, http_get
from support.topology import Topology, record
from support.traffic import Receiver, Sender
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
OURS, SITE, BEHIND, PREFIX = "192.168.50.1", "192.168.50.10", "10.50.0.1", "10.50.0.0/16"
OWN_AS, SITE_AS = 65001, 65010
PERMIT = {"policyMapEntryList": [{"sequence": 10, "match": {"ignorePrefixes": [{"prefix": "10.66.0.0/16"}]}}]}


def path(domain, what=""):
    return f"/v1/routingDomains/{domain}" + (f"/{what}" if what else "")


def at_switch(kind):
    """A router whose site0 is a wire to the switch, with an address and a page behind it."""
    class AtSwitch(kind):
        def __init__(self, run, switch, tenant, vlan):
            self.run, self.name, self.addresses = run, f"{tenant}-site", [f"{SITE}/24"]
            self.space = run.namespace(self.name)
            switch.connect(self.name[:15], self.space, "site0", vlan=vlan)
            self.space.ip("link set lo up", f"addr add {BEHIND}/32 dev lo", f"addr add {SITE}/24 dev site0",
                          "link set site0 up", f"route add 10.0.0.0/16 via {OURS}")
            self.page = self.space.spawn(f"{self.name}-page", "/usr/bin/python3", f"{HERE}/tenant_server.py", tenant)
            self.process = None
    return AtSwitch


class Made(Topology):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.gateway.config["bgp"] = {"user": "frr"}
        self.hosts = {"host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", vlan=50)}
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms = {}, {}
        for name, (number, vsid, _) in TENANTS.items():
            tenant = self.tenants[name] = Tenant(name, number, [Subnet("web", vsid + 1, "10.0.1.0/24")])
            vm = self.vms[name] = Vm(run, f"{name}-vm", tenant, tenant.subnets["web"], "10.0.1.11", "00:15:5d:01:00:11")
            self.centre.add(vm, self.hosts["host1"])
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[100, 200])
        self.gobgp = at_switch(Gobgp)(run, self.switch, "contoso", 100)
        self.bird = at_switch(Bird)(run, self.switch, "fabrikam", 200)
        self.gateway.start()
        self.api.apply(self.resources())
        for name, tenant in self.tenants.items():
            tenant.gateway = GatewaySide(TENANTS[name][1], "10.250.0.1",
                                         self.api.get(path(name, "virtualSubnets/gateway"))["macAddress"])
        self.centre.publish()
        self.gobgp.start(SITE_AS, OURS, OWN_AS, password="swordfish")
        self.gobgp.add(PREFIX)
        self.bird.start(SITE_AS, OURS, OWN_AS, {PREFIX: 0}, extra='password "swordfish";')

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
                {"path": path(name, "networkConnections/site"), "body": {
                    "connectionType": "L3", "l3Configuration": {
                        "port": "wan0", "vlanId": vlan, "ipAddresses": [f"{OURS}/24"], "peerIPAddresses": [SITE]}}},
                {"path": path(name, "bgpRouter"), "body": {
                    "asNumber": OWN_AS, "routerId": OURS, "redistributeConnected": "Enabled", "holdTimeSeconds": 30}},
                {"path": path(name, "policyMaps/all"), "body": PERMIT},
                {"path": path(name, "bgpPeers/site"), "body": {
                    "peerIpAddress": SITE, "asNumber": SITE_AS, "password": "swordfish",
                    "policyMapIn": "all", "policyMapOut": "all"}}]
        return out

    def status(self, domain):
        return self.api.get(path(domain, "bgpPeers/site"))["status"]

    def candidates(self, domain, prefix=PREFIX):
        routes = self.api.get(path(domain, "routes"))["value"]
        return [c for r in routes if r["destinationPrefix"] == prefix for c in r["candidates"]]

    def bgp_routes(self, domain, query="", key="prefix"):
        """Every page of bgpd's table, by prefix."""
        routes, after = [], ""
        while after is not None:
            page = self.api.get(path(domain, f"bgpRoutes?{query}{after}"))
            routes += page["value"]
            after = f"&after={page['nextAfter']}" if "nextAfter" in page else None
        return {route[key]: route for route in routes}

    def wait_established(self, domain):
        wait_for(lambda: self.status(domain)["connectionState"] == "Established", 60, f"{domain}: a session",
                 tell=lambda: self.status(domain))

    def wait_learned(self, domain, prefix=PREFIX, there=True):
        wait_for(lambda: bool(self.candidates(domain, prefix)) == there, 20, f"{domain}: {prefix} {there}",
                 tell=lambda: self.candidates(domain, prefix))

    def page(self, domain):
        return http_get(self.vms[domain].space, BEHIND)


def build(run, arguments):
    return Made(run, arguments)


def own_page(made, domain):
    wait_for(lambda: domain in made.page(domain), 15, f"{domain}: its own site's page")


def prove(checks, made):
    with checks.check("both tenants' routers have a session, with a password"):
        for domain in TENANTS:
            made.wait_established(domain)
            made.wait_learned(domain)
        expect_equal(made.api.get("/v1/system")["bgpPeersEstablished"], 2, "sessions")

    with checks.check("a learned route is eBGP's, and says so"):
        for domain in TENANTS:
            found = made.candidates(domain)[0]
            expect_equal((found["source"], found["preference"], found["nextHop"], found["best"]),
                         ("ebgp", 15, SITE, True), domain)

    with checks.check("each tenant's packets follow it to its own site"):
        for domain in TENANTS:
            own_page(made, domain)

    with checks.check("the sites learn the virtual subnets"):
        wait_for(lambda: {"10.0.0.0/24", "10.0.1.0/24"} <= set(made.gobgp.learned()), 20, "gobgp's table", tell=made.gobgp.learned)
        wait_for(lambda: {"10.0.0.0/24", "10.0.1.0/24"} <= made.bird.learned(), 20, "bird's table", tell=made.bird.learned)

    with checks.check("a policy keeps a prefix out"):
        made.gobgp.add("10.66.0.0/16")
        made.gobgp.add("10.67.0.0/16")
        made.wait_learned("contoso", "10.67.0.0/16")
        expect_equal(made.candidates("contoso", "10.66.0.0/16"), [], "what is denied")

    with checks.check("bgpd's table can be read: all, best, received, told, by prefix and page"):
        made.gobgp.add("10.68.0.0/16", "nexthop", "203.0.113.9")
        made.gobgp.add("10.69.0.0/16", "community", "65010:7,no-export", "med", "30")
        made.wait_learned("contoso", "10.69.0.0/16")
        wait_for(lambda: "10.68.0.0/16" in made.bgp_routes("contoso"), 20, "a route whose next hop is nowhere",
                 tell=lambda: made.bgp_routes("contoso"))
        everything = made.bgp_routes("contoso")
        expect_equal({p for p, r in everything.items() if r["peer"] == "site"},
                     {PREFIX, "10.67.0.0/16", "10.68.0.0/16", "10.69.0.0/16"}, "what the site told")
        kept = everything["10.69.0.0/16"]
        expect_equal((kept["communities"], kept["med"], kept["asPath"], kept["nextHop"], kept["peerIpAddress"], kept["best"]),
                     (["65010:7", "no-export"], 30, str(SITE_AS), SITE, SITE, True), "a route")
        expect(0 <= kept["age"] < 600, kept["age"])
        lost = everything["10.68.0.0/16"]
        expect_equal((lost["valid"], lost["best"]), (False, False), "a next hop that cannot be reached")
        expect("203.0.113.9 cannot be reached" in lost["reason"], lost["reason"])
        expect_equal(list(made.bgp_routes("contoso", "limit=1")), list(everything), "page by page")
        expect_equal(set(everything) - set(made.bgp_routes("contoso", "type=best")), {"10.68.0.0/16"}, "not best")
        expect_equal(set(made.bgp_routes("contoso", f"type=received&peer={SITE}")), set(made.bgp_routes("contoso", "type=received&peer=site")), "a peer")
        expect_equal(set(made.bgp_routes("contoso", "prefix=10.68.0.0/15")), {"10.68.0.0/16", "10.69.0.0/16"}, "within a prefix")
        told = made.bgp_routes("contoso", "type=advertised&peer=site")
        expect({"10.0.0.0/24", "10.0.1.0/24"} <= set(told) and PREFIX not in told, told)
        text = made.gateway.ctl("bgp", "routes", "contoso", "--type", "received", "--peer", "site").stdout
        expect("10.69.0.0/16" in text and "65010:7" in text, text)
        made.gobgp.delete("10.68.0.0/16")
        made.gobgp.delete("10.69.0.0/16")
        made.wait_learned("contoso", "10.69.0.0/16", there=False)

    with checks.check("each tenant sees its own of bgpd's routes only"):
        expect_equal({p for p, r in made.bgp_routes("fabrikam").items() if r["peer"]}, {PREFIX}, "fabrikam's")
        for domain in TENANTS:
            one = made.bgp_routes(domain, f"prefix={PREFIX}")
            expect_equal((list(one), one[PREFIX]["peer"]), ([PREFIX], "site"), domain)
        reply = made.api.request("GET", path("fabrikam", "bgpRoutes?peer=192.168.50.99"))
        expect_equal(reply.status, 422, "no peer of this domain")

    with checks.check("a customer route beats what BGP learned, and gives way again"):
        made.api.put(path("contoso", "customerRoutes/own"), {"destinationPrefix": PREFIX, "nextHop": "10.0.1.11"})
        best, other = made.candidates("contoso")
        expect_equal((best["source"], other["source"]), ("static", "ebgp"), "sources")
        expect("15" in other["reason"], other["reason"])
        made.api.delete(path("contoso", "customerRoutes/own"))
        own_page(made, "contoso")

    with checks.check("what a tenant announces of everything harms nobody"):
        before = made.api.get(path("fabrikam", "routes"))["value"]
        for prefix in ("0.0.0.0/0", "10.0.0.2/32", f"{OURS}/32", "10.250.0.1/32", "10.0.1.0/25"):
            made.gobgp.add(prefix)
        made.wait_learned("contoso", "10.250.0.1/32")
        expect_equal(made.candidates("contoso", "0.0.0.0/0"), [], "a default route that nobody asked for")
        expect_equal(made.candidates("contoso", "10.0.0.2/32")[0]["source"], "local", "the gateway's own address")
        after = made.api.get(path("fabrikam", "routes"))["value"]
        expect_equal([r["destinationPrefix"] for r in after], [r["destinationPrefix"] for r in before], "fabrikam's routes")
        own_page(made, "fabrikam")  # contoso has led its VM's own packets away
        for domain in TENANTS:
            expect_equal(made.status(domain)["connectionState"], "Established", f"{domain}'s session")
        for prefix in ("0.0.0.0/0", "10.0.0.2/32", f"{OURS}/32", "10.250.0.1/32", "10.0.1.0/25"):
            made.gobgp.delete(prefix)
        made.wait_learned("contoso", "10.0.1.0/25", there=False)
        own_page(made, "contoso")

    with checks.check("a PATCH changes what it names: the password stays, and the session"):
        made.api.patch(path("contoso", "bgpPeers/site"), {"maxAllowedPrefix": 500, "weight": 7})
        peer = made.api.get(path("contoso", "bgpPeers/site"))
        expect_equal((peer["maxAllowedPrefix"], peer["passwordSet"], peer["policyMapIn"]), (500, True, "all"), "the peer")
        wait_for(lambda: made.bgp_routes("contoso", f"prefix={PREFIX}")[PREFIX]["weight"] == 7, 20, "the weight of its routes",
                 tell=lambda: made.bgp_routes("contoso", f"prefix={PREFIX}"))
        expect_equal(peer["status"]["timesEstablished"], 1, "sessions")

    with checks.check("kill -9 of bgpd loses no packet") as note:
        receiver = Receiver(made.gobgp.space, 7001, "kept")
        sender = Sender(made.vms["contoso"].space, BEHIND, 7001, "kept", rate=500).start()
        wait_for(lambda: len(receiver.first) > 100, 5, "packets before")
        os.kill(bgpd_of(made), signal.SIGKILL)
        wait_for(lambda: made.api.get("/v1/system")["bgpRestarts"] == 1, 20, "a new bgpd")
        for domain in TENANTS:
            made.wait_established(domain)
        sent = sender.stop()
        lost = receiver.wait_all(list(sent))
        receiver.close()
        expect_equal(lost, [], f"lost of {len(sent)}")
        note.text = f"{len(sent)} packets"

    with checks.check("a withdrawn prefix is gone"):
        made.gobgp.delete(PREFIX)
        made.wait_learned("contoso", there=False)
        own_page(made, "fabrikam")
        made.gobgp.add(PREFIX)
        made.wait_learned("contoso")

    with checks.check("a peer that is disabled is let go, and comes back"):
        peer = {"peerIpAddress": SITE, "asNumber": SITE_AS, "policyMapIn": "all", "policyMapOut": "all"}
        made.api.put(path("contoso", "bgpPeers/site"), {**peer, "adminStatus": "disabled"})
        made.wait_learned("contoso", there=False)
        expect_equal(made.status("contoso")["unreachabilityReason"], "adminStatus is disabled", "reason")
        made.api.put(path("contoso", "bgpPeers/site"), peer)
        made.wait_established("contoso")
        made.wait_learned("contoso")

    with checks.check("a gateway that stops tells its peers"):
        expect(made.bird.established(), "a session before")
        expect_equal(made.gateway.stop(), 0, "exit status")
        # The hold time is three times that.
        wait_for(lambda: not made.bird.established(), 10, "the session's end at BIRD")

    with checks.check("after a restart of the gateway the sessions and routes are there again"):
        made.gateway.start()
        for domain in TENANTS:
            made.wait_established(domain)
            made.wait_learned(domain)
            own_page(made, domain)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
