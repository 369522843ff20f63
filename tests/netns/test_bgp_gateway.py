#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""BGP in the gateway, as far as no packet is needed: bgpd beside it, told what the API is told.

     gateway ── fab0, wan0 ── switch ── stray        (support/plain_topology.py)
        └── bgpd, in a user namespace of its own

contoso and fabrikam have the same addresses, AS, peers and aggregates. An aggregate exists while one
of its parts does: from the table to bgpd by redistribution, and back as a route.
"""

import os
import signal
import sys

from support.checks import expect, expect_equal, topology
from support.plain_topology import Plain, two_domains
from support.wait import wait_for

TENANTS = ("contoso", "fabrikam")
ROUTER = {"asNumber": 65001, "routerId": "10.0.0.2", "redistributeConnected": "Enabled"}
PEER = {"peerIpAddress": "192.168.50.10", "asNumber": "0.65010", "password": "swordfish"}
AGGREGATE = "10.0.0.0/16"


def path(domain, what):
    return f"/v1/routingDomains/{domain}/{what}"


def bgp():
    out = []
    for domain in TENANTS:
        out += [{"path": path(domain, "bgpRouter"), "body": ROUTER},
                {"path": path(domain, "policyMaps/in"), "body": {"policyMapEntryList": [
                    {"sequence": 10, "match": {"prefixes": [{"prefix": "10.50.0.0/16", "maxLength": 24}]},
                     "set": {"localPreference": 200}}]}},
                {"path": path(domain, "bgpPeers/site"), "body": {**PEER, "policyMapIn": "in"}},
                {"path": path(domain, "bgpAggregates"), "body": {"aggregates": [{"prefix": AGGREGATE}]}}]
    return out


class Made(Plain):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.gateway.config["bgp"] = {"user": "frr"}
        self.start(two_domains())

    @property
    def api(self):
        return self.gateway.api

    def system(self):
        return self.api.get("/v1/system")

    def state(self, domain):
        return self.api.get(path(domain, "bgpRouter"))["configurationState"]

    def status(self, domain):
        return self.api.get(path(domain, "bgpPeers/site"))["status"]

    def candidates(self, domain, prefix=AGGREGATE):
        routes = self.api.get(path(domain, "routes"))["value"]
        return [c for r in routes if r["destinationPrefix"] == prefix for c in r["candidates"]]

    def wait_ready(self, domain):
        wait_for(lambda: self.state(domain)["status"] == "Success", 30, f"{domain}: bgpd has it", tell=lambda: self.state(domain))

    def wait_aggregate(self, domain, there=True):
        wait_for(lambda: bool(self.candidates(domain)) == there, 20, f"{domain}: {AGGREGATE} {'comes' if there else 'goes'}",
                 tell=lambda: self.candidates(domain))


def build(run, arguments):
    return Made(run, arguments)


def bgpd_of(made):
    """bgpd's process: a grandchild of the gateway's."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(rest.split()[1]), []).append((int(pid), name))
    below = [(made.gateway.process.popen.pid, "")]
    for pid, name in below:
        below += children.get(pid, [])
        if name == "bgpd":
            return pid
    return None


def prove(checks, made):
    with checks.check("nothing of BGP runs before a domain asks for it"):
        expect(made.system()["bgp"].startswith("idle"), made.system()["bgp"])
        expect_equal(bgpd_of(made), None, "bgpd")

    with checks.check("two tenants with the same of everything are told to bgpd"):
        made.api.apply(bgp())
        for domain in TENANTS:
            made.wait_ready(domain)
        expect_equal(made.system()["bgp"], "up", "bgp")
        expect_equal(made.system()["bgpPeers"], 2, "peers")

    with checks.check("a peer that nobody answers for says how it is"):
        for domain in TENANTS:
            wait_for(lambda: made.status(domain)["connectionState"] in ("Active", "Connect"), 20, "the peer's state",
                     tell=lambda: made.status(domain))
            status = made.status(domain)
            expect_equal(status["unreachabilityReason"], "", "reason")
            expect("RFC 8212" in status["note"] and "policyMapOut" in status["note"], status["note"])

    with checks.check("connected routes go to bgpd, and an aggregate of them comes back"):
        for domain in TENANTS:
            made.wait_aggregate(domain)
            found = made.candidates(domain)[0]
            expect_equal((found["source"], found["preference"], found["best"]), ("ibgp", 200, True), "candidate")

    with checks.check("the table says why a customer route beats it"):
        made.api.put(path("contoso", "customerRoutes/own"), {"destinationPrefix": AGGREGATE, "nextHop": "10.0.1.11"})
        best, other = made.candidates("contoso")
        expect_equal((best["source"], other["source"]), ("static", "ibgp"), "sources")
        expect("200" in other["reason"] and "3" in other["reason"], other["reason"])
        expect_equal(len(made.candidates("fabrikam")), 1, "fabrikam's candidates")
        made.api.delete(path("contoso", "customerRoutes/own"))
        expect_equal([c["source"] for c in made.candidates("contoso")], ["ibgp"], "what is left")

    with checks.check("a change of the domain leaves what BGP brought"):
        made.api.put(path("contoso", "virtualSubnets/more"), {
            "virtualSubnetId": 5009, "addressPrefixes": ["10.9.0.0/24"], "providerNetwork": "fabric"})
        expect_equal([c["source"] for c in made.candidates("contoso")], ["ibgp"], "candidates")

    with checks.check("an aggregate goes with its resource, and only there"):
        made.api.delete(path("contoso", "bgpAggregates"))
        made.wait_aggregate("contoso", there=False)
        expect_equal(len(made.candidates("fabrikam")), 1, "fabrikam's")

    with checks.check("kill -9 of bgpd: routes stay, and a new one is told everything") as note:
        before = made.candidates("fabrikam")[0]["age"]
        pid = bgpd_of(made)
        os.kill(pid, signal.SIGKILL)
        seen = []

        def is_back():
            seen.append(len(made.candidates("fabrikam")))
            return bgpd_of(made) not in (None, pid) and made.system()["bgp"] == "up"
        wait_for(is_back, 30, "a new bgpd", tell=made.system)
        for domain in TENANTS:
            made.wait_ready(domain)
        expect_equal(min(seen), 1, "candidates all the time")
        expect(made.candidates("fabrikam")[0]["age"] >= before, "the route is the one of before")
        expect_equal(made.system()["bgpRestarts"], 1, "restarts")
        note.text = f"looked {len(seen)} times"

    with checks.check("a peer's local address that is none of ours is said"):
        made.api.put(path("contoso", "bgpPeers/site"), {**PEER, "localIPAddress": "192.168.50.77", "policyMapIn": "in"})
        expect("192.168.50.77" in made.status("contoso")["unreachabilityReason"], made.status("contoso"))
        made.api.put(path("contoso", "bgpPeers/site"), {**PEER, "policyMapIn": "in"})

    with checks.check("hnvctl shows router, peer and policy"):
        def ctl(*words):
            return made.gateway.ctl(*words).stdout
        for word in ("65001", "site", "192.168.50.10", "RFC 8212"):
            expect(word in ctl("bgp", "summary", "contoso"), f"{word} in the summary")
        expect("keepAlives" in ctl("bgp", "peers", "contoso", "site"), "messages")
        expect("10.50.0.0/16 le 24" in ctl("bgp", "policy", "contoso", "in"), "policy")
        expect(AGGREGATE in ctl("bgp", "routes", "fabrikam"), "routes")

    with checks.check("a restart of the gateway brings all of it back"):
        made.gateway.stop()
        made.gateway.start()
        for domain in TENANTS:
            made.wait_ready(domain)
        made.wait_aggregate("fabrikam")
        expect_equal(made.candidates("contoso"), [], "contoso's aggregate")

    with checks.check("without its router a domain has nothing of BGP left"):
        for domain in TENANTS:
            for what in ("bgpPeers/site", "bgpAggregates", "bgpRouter"):
                made.api.delete(path(domain, what))
        made.wait_aggregate("fabrikam", there=False)
        expect(made.system()["bgp"].startswith("idle"), made.system()["bgp"])

    with checks.check("it ends with the gateway"):
        pid = bgpd_of(made)
        expect_equal(made.gateway.stop(), 0, "exit status")
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10, "bgpd's end")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
