# SPDX-License-Identifier: Apache-2.0
"""What the lab and the main test prove of tunnels beside one another: a second one that takes over, a broken one that is
explained. What they prove of the rates is in tunnel_rates.py."""

import time

from .backups import BROKEN, OUTAGE
from .branches import SITE, secret
from .checks import expect, expect_equal
from .ipsec_proofs import status
from .lab_topology import TENANTS
from .lasting import Flow, Loss, told
from .traffic import ping
from .wait import wait_for

COUNT = 5
TUNNELS = ("branch", "backup")


def sent(lab, tenant):
    """Packets that have left through each of a tenant's two tunnels."""
    return {name: status(lab, tenant, name)["statistics"]["outboundPackets"] for name in TUNNELS}


def in_use(lab, tenant, seconds=10):
    """Which of the two packets to the site leave through now."""
    before = sent(lab, tenant)
    ping(lab.vm(tenant, "web1").space, SITE, 3, wait=0.3)

    def moved():
        now = sent(lab, tenant)
        return [name for name in TUNNELS if now[name] > before[name]]
    return wait_for(moved, seconds, f"{tenant}: packets in a tunnel", tell=lambda: (before, sent(lab, tenant)))


def expect_up(lab, tenant, name):
    wait_for(lambda: status(lab, tenant, name)["connectionState"] == "Connected", 30, f"{tenant}'s tunnel {name} up",
             tell=lambda: status(lab, tenant, name)["unreachabilityReason"])


def second_waits(lab, tenant):
    expect_up(lab, tenant, "backup")
    before = sent(lab, tenant)
    expect_equal(ping(lab.vm(tenant, "web1").space, SITE, COUNT), COUNT, "the site's answers")
    wait_for(lambda: sent(lab, tenant)["branch"] >= before["branch"] + COUNT, 5, "packets in the first tunnel")
    expect_equal(sent(lab, tenant)["backup"], before["backup"], "packets in the second tunnel")
    return "branch, metric 10, carries; backup, metric 20, is up and waits"


def doctor_names_the_fault(lab, tenant):
    _, _, cause, says = BROKEN[tenant]
    expect(status(lab, tenant, "broken")["connectionState"] != "Connected", "the broken tunnel is up")
    answer = lab.gateway.ctl_json("vpn", "doctor", tenant, "broken")
    expect_equal(answer["cause"], cause, f"the cause: {answer}")
    text = lab.gateway.ctl("vpn", "doctor", tenant, "broken").stdout
    expect(all(word in text for word in says), f"the doctor does not say {says}: {text}")
    expect(secret(tenant) not in text, "the doctor tells a secret")
    expect_equal(lab.gateway.ctl_json("vpn", "doctor", tenant, "backup")["cause"], "none", "the fault of a healthy tunnel")
    return f"{cause}: {'; '.join([answer['summary'], *answer['whatToChange']])}"


PROOFS = [
    ("of two tunnels to its site the one of the lower metric carries", second_waits),
    ("the doctor names the fault of the third tunnel, and what to change", doctor_names_the_fault),
]


def prove_tunnels(lab, checks):
    for what, proof in PROOFS:
        for tenant in TENANTS:
            with checks.check(f"{tenant}: {what}") as note:
                note.text = proof(lab, tenant)


class Watched:
    """A flow of TCP and one of datagrams of a tenant's first VM to its site, while a tunnel comes or goes."""

    def __init__(self, lab, tenant):
        self._ends = lab.vm(tenant, "web1").space, lab.branches.sites[tenant].space, SITE
        self.flow = Flow(*self._ends)

    def loss(self, marker):
        return Loss(*self._ends, marker)


def dies(lab, tenant, watched):
    """The first tunnel's end at the site is killed."""
    with watched.loss("dies") as loss:
        lab.branches.sites[tenant].kill()
        loss.wait_gap_over(time.monotonic() + 0.2, OUTAGE + 30)
        gap = loss.stop()
    watched.flow.alive()
    expect_equal(in_use(lab, tenant), ["backup"], "the tunnel in use")
    reason = status(lab, tenant)["unreachabilityReason"]
    expect(reason, "the dead tunnel does not say why")
    late = "" if gap[0] <= OUTAGE + 0.2 else f", later than the {OUTAGE} s that a site may be silent: this machine is busy"
    return f"outage: {told(gap)}{late}; TCP went on; branch: {reason}"


def start_again(lab, tenant):
    lab.branches.sites[tenant].start()
    lab.branches.connect_one(tenant)
    expect_up(lab, tenant, "branch")


def comes_back(lab, tenant, watched):
    try:
        loss = watched.loss("back")
    except AssertionError:
        start_again(lab, tenant)  # although the second one carries nothing
        raise
    with loss:
        start_again(lab, tenant)
        wait_for(lambda: in_use(lab, tenant) == ["branch"], 15, "the first tunnel to carry again")
        watched.flow.alive()
        return f"{told(loss.stop())}; TCP went on"


def prove_failover(lab, checks, tenants=TENANTS):
    """Kills the site's end of the first tunnel under traffic, and starts it again."""
    for tenant in TENANTS:
        for name in TUNNELS:
            expect_up(lab, tenant, name)
    for tenant in tenants:
        other = next(t for t in TENANTS if t != tenant)
        watched, beside = Watched(lab, tenant), Watched(lab, other)
        neighbour = beside.loss("beside")
        try:
            with checks.check(f"{tenant}: its first tunnel dies under traffic: the second one carries") as note:
                note.text = dies(lab, tenant, watched)
            with checks.check(f"{tenant}: its first tunnel is back, and carries again") as note:
                note.text = comes_back(lab, tenant, watched)
            with checks.check(f"{other}: nothing of that was seen") as note:
                beside.flow.alive()
                gap = neighbour.stop()
                expect_equal(gap[1], 0, f"datagrams lost: {told(gap)}")
                note.text = told(gap)
        finally:
            for one in (watched, beside):
                one.flow.stop()
    if lab.bgp:
        with checks.check("BGP is as before"):
            lab.bgp.wait()
