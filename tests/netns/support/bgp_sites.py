# SPDX-License-Identifier: Apache-2.0
"""BGP over each tenant's tunnel: its site (support/branches.py) announces what is behind it and learns the
virtual subnets.

     gateway AS 65001, 10.0.0.2 ══ IPsec ══ 10.200.0.1, AS 65010, BIRD ── 10.201.0.1: a second network of the site's

No route of the configuration leads to 10.201.0.0/24: only BGP knows it. The session is one of several hops (a
tunnel has no addresses of its own), and so is BFD's.
"""

from .bgp_peers import BirdIn, bird_session
from .branches import SITE
from .wait import wait_for

OURS, OWN_AS, SITE_AS = "10.0.0.2", 65001, 65010
LEARNED, BEHIND = "10.201.0.0/24", "10.201.0.1"
SELECTOR = "10.200.0.0/15"  # both of the site's networks
SUBNETS = {f"10.0.{number}.0/24" for number in range(4)}


def path(tenant, what):
    return f"/v1/routingDomains/{tenant}/{what}"


class BgpSites:
    """Before the gateway starts; start() when the tunnels are up."""

    def __init__(self, lab):
        self._lab, self.birds = lab, {}
        lab.gateway.config["bgp"] = {"user": "frr"}
        lab.branches.selector = SELECTOR
        for site in lab.branches.sites.values():
            site.space.ip(f"addr add {BEHIND}/32 dev lo")

    @staticmethod
    def _peer(admin_status):
        return {"peerIpAddress": SITE, "asNumber": SITE_AS, "localIPAddress": OURS, "multihop": 2, "bfd": {},
                "policyMapIn": "site", "policyMapOut": "virtual-subnets", "adminStatus": admin_status}

    def resources(self, tenant):
        return [
            {"path": path(tenant, "bgpRouter"), "body": {
                "asNumber": OWN_AS, "routerId": OURS, "redistributeConnected": "Enabled"}},
            {"path": path(tenant, "policyMaps/site"), "body": {"policyMapEntryList": [
                {"sequence": 10, "match": {"prefixes": [{"prefix": LEARNED}]}}]}},
            {"path": path(tenant, "policyMaps/virtual-subnets"), "body": {"policyMapEntryList": [
                {"sequence": 10, "match": {"prefixes": [{"prefix": "10.0.0.0/16", "maxLength": 24}]}}]}},
            {"path": path(tenant, "bgpPeers/branch"), "body": self._peer("enabled")}]

    def start(self):
        for tenant, site in self._lab.branches.sites.items():
            self.birds[tenant] = BirdIn(
                site.run, site.space, site.name, SITE, [LEARNED],
                [bird_session("gateway", SITE, SITE_AS, OURS, OWN_AS, multihop=2)], through=("ipsec0", "10.0.0.0/24"))

    def pause(self):
        """Nothing of BGP or BFD is in the tunnels any more, so that packets in them can be counted. The site ends the
        session first: once it is disabled here, nobody would answer its TCP, which asks again and again."""
        for tenant, bird in self.birds.items():
            bird.birdc("disable", "to_gateway")
            wait_for(lambda b=bird: not self._open(b), 20, f"{tenant}'s site: the end of its TCP connection",
                     tell=lambda b=bird: self._open(b))
            self._lab.gateway.api.put(path(tenant, "bgpPeers/branch"), self._peer("disabled"))

    @staticmethod
    def _open(bird):
        """TCP connections of the site's with the gateway that may still send something."""
        lines = bird.space("ss", "-tanH", "dst", OURS).stdout.splitlines()
        return [line for line in lines if not line.startswith("TIME-WAIT")]

    def resume(self):
        for tenant, bird in self.birds.items():
            self._lab.gateway.api.put(path(tenant, "bgpPeers/branch"), self._peer("enabled"))
            bird.birdc("enable", "to_gateway")
        self.wait()

    def status(self, tenant):
        return self._lab.gateway.api.get(path(tenant, "bgpPeers/branch"))["status"]

    def candidates(self, tenant, prefix=LEARNED):
        routes = self._lab.gateway.api.get(path(tenant, "routes"))["value"]
        return [c for r in routes if r["destinationPrefix"] == prefix for c in r["candidates"]]

    def wait(self):
        """Until every site and the gateway have told each other everything."""
        for tenant, bird in self.birds.items():
            wait_for(lambda t=tenant: self.candidates(t), 40, f"{tenant}: {LEARNED} by BGP", tell=lambda t=tenant: self.status(t))
            wait_for(lambda b=bird: b.learned("gateway") >= SUBNETS, 20, f"{tenant}'s site: the virtual subnets",
                     tell=lambda b=bird: b.birdc("show", "route", "all"))
