# SPDX-License-Identifier: Apache-2.0
"""What the lab and the main test prove of IPsec: each tenant reaches its own site, although both are alike."""

import re

from .branches import SITE, path
from .capture import Capture
from .checks import expect, expect_equal
from .gateway import ledger_balanced
from .lab_topology import TENANTS
from .server import http_get
from .traffic import ask, ping, wait_for_ping
from .wait import wait_for

COUNT = 10
VMS = ("web1", "app2", "legacy1")


def status(lab, tenant, name="branch"):
    return lab.gateway.api.get(path(tenant, name))["status"]


def counted(lab, tenant):
    """Packets (in, out) of a tenant's tunnel."""
    statistics = status(lab, tenant)["statistics"]
    return statistics["inboundPackets"], statistics["outboundPackets"]


def at_rest(lab, looks=1):
    """Every tenant's, once what came before (the end of a TCP connection) is over: so many looks saw no change."""
    seen, quiet_looks = [None], [0]

    def quiet():
        last, seen[0] = seen[0], {t: counted(lab, t) for t in TENANTS}
        quiet_looks[0] = quiet_looks[0] + 1 if last == seen[0] else 0
        return quiet_looks[0] >= looks
    wait_for(quiet, 20, "the tunnels' counters to come to rest", 0.15)
    return seen[0]


def is_up(lab, tenant):
    state = wait_for(lambda: status(lab, tenant)["connectionState"] == "Connected" and status(lab, tenant), 15,
                     f"{tenant}'s tunnel", tell=lambda: status(lab, tenant))
    return f"{state['ikeSas'][0]['remoteIdentity']} at {state['ike']['remoteAddress']}, {state['childSas'][0]['algorithms']}"


def reaches_its_site(lab, tenant):
    site = lab.branches.sites[tenant].space
    others = {other: seen for other, seen in at_rest(lab).items() if other != tenant}
    for name in VMS:
        space = lab.vm(tenant, name).space
        wait_for_ping(space, SITE, 15)
        before = at_rest(lab)[tenant]
        expect_equal(ping(space, SITE, COUNT, marker=tenant), COUNT, f"the site's answers to {name}")
        expect_equal(counted(lab, tenant), (before[0] + COUNT, before[1] + COUNT), f"{tenant}'s tunnel, (in, out)")
        page = http_get(space, SITE)
        expect(f"server of {tenant}'s branch," in page, f"{name} was shown: {page!r}")
    expect_equal(ping(site, "10.0.1.11", COUNT), COUNT, "web1's answers to the site")
    expect(f"server of {tenant} web1," in http_get(site, "10.0.1.11"), "the site was shown another page")
    expect_equal({other: counted(lab, other) for other in others}, others, "the other tenant's tunnel, (in, out)")
    return f"{', '.join(VMS)} and back; {page.strip()}"


def is_not_read_on_the_way(lab, tenant):
    """On the internet there is ESP, and nothing of what it says; the site, which has the key, saw it."""
    marker = f"{tenant}-secret"
    space = lab.vm(tenant, "web1").space
    outside = Capture(lab.internet.space, "eth0", f"outside-{tenant}", "udp port 4500")
    expect_equal(ask(space, SITE, marker), f"{tenant}'s branch:{marker}", "the site's echo")
    # Two packets at least; tcpdump, told to end, does not read what it has not come to.
    wait_for(lambda: outside.size() > 200, 10, "tcpdump on the internet to see packets of the tunnel", tell=outside.size)
    outside.stop()
    expect(marker.encode() not in outside.raw(), "it was read on the way")
    return f"{outside.matching('udp port 4500')} packets of UDP 4500, none of which can be read"


def ordinary_tools(lab, tenant):
    """traceroute and path MTU discovery, which know nothing of the tunnel."""
    space = lab.vm(tenant, "web1").space
    said = space("traceroute", "-n", "-q", 1, "-w", 2, "-m", 5, SITE, timeout=40).stdout
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    expect_equal([hop for hop in hops if hop != "*"], ["10.0.0.2", SITE], "hops that answer")
    space("ip", "route", "flush", "cache")
    expect_equal(ping(space, SITE, 1, size=1500 - 28), 0, "packets larger than the tunnel takes")
    route = space("ip", "route", "get", SITE).stdout
    found = re.search(r"mtu (\d+)", route)
    expect(found and int(found.group(1)) == INNER_MTU, f"web1 did not learn MTU {INNER_MTU}: {route}")
    expect_equal(ping(space, SITE, 1, size=INNER_MTU - 28), 1, "packets of just that size")
    space("ip", "route", "flush", "cache")
    return f"the gateway is one hop; MTU {INNER_MTU}"


# 1,500 less IPv4, UDP, ESP's head, AES-GCM's IV, its tag and padding to four bytes with the trailer of two.
INNER_MTU = 1438

PROOFS = [
    ("the tunnel to its site is up", is_up),
    ("VMs and the tenant's own site reach each other", reaches_its_site),
    ("nobody on the internet can read it", is_not_read_on_the_way),
    ("traceroute and path MTU discovery work into the tunnel", ordinary_tools),
]


def prove_ipsec(lab, checks):
    if lab.bgp:
        lab.bgp.pause()  # each packet of the tunnels is counted
        at_rest(lab, looks=16)  # TCP says a last word again after a second
    for what, proof in PROOFS:
        for tenant in TENANTS:
            with checks.check(f"{tenant}: {what}") as note:
                note.text = proof(lab, tenant)
    with checks.check("the gateway's ledger balances with IPsec, too") as note:
        note.text = ledger_balanced(lab.gateway)
