# SPDX-License-Identifier: Apache-2.0
"""What the lab and the main test prove of BGP: routes learned over each tenant's own tunnel, and packets by them."""

from .bgp_sites import BEHIND, LEARNED, SUBNETS
from .branches import SITE
from .checks import expect, expect_equal
from .lab_topology import TENANTS
from .server import http_get
from .traffic import ping, wait_for_ping
from .wait import wait_for


def has_a_session(lab, tenant):
    def up():
        status = lab.bgp.status(tenant)
        return status["connectionState"] == "Established" and status["bfd"]["state"] == "Up" and status
    status = wait_for(up, 30, f"{tenant}: BGP and BFD", tell=lambda: lab.bgp.status(tenant))
    return f"established for {status['connectionUpTime']:.1f} s, BFD up"


def learns_routes(lab, tenant):
    found = lab.bgp.candidates(tenant)
    expect_equal([(c["source"], c["nextHop"], c["best"]) for c in found], [("ebgp", SITE, True)], LEARNED)
    told = lab.bgp.birds[tenant].learned("gateway")
    expect_equal(told, SUBNETS, "what the site learned")
    return f"learned {LEARNED} via {SITE}; told {', '.join(sorted(told))}"


def packets_follow(lab, tenant):
    site, web1 = lab.branches.sites[tenant].space, lab.vm(tenant, "web1").space
    wait_for_ping(web1, BEHIND, 15)
    expect_equal(ping(site, "10.0.1.11", 5, marker=tenant), 5, "web1's answers to the site")
    expect_equal(ping(site, "10.0.2.12", 3, source=BEHIND), 3, f"app2's answers to {BEHIND}")
    page = http_get(web1, BEHIND)
    expect(f"server of {tenant}'s branch," in page, f"web1 was shown: {page!r}")
    return f"web1 and app2 with {BEHIND}, both ways: {page.strip()}"


PROOFS = [
    ("a session of BGP with its own site, over the tunnel", has_a_session),
    ("routes learned over the tunnel, and the virtual subnets told", learns_routes),
    ("packets follow what was learned", packets_follow),
]


def prove_bgp(lab, checks):
    with checks.check("BGP comes up again after it was disabled at both ends"):
        lab.bgp.resume()
    for what, proof in PROOFS:
        for tenant in TENANTS:
            with checks.check(f"{tenant}: {what}") as note:
                note.text = proof(lab, tenant)
