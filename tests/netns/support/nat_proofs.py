# SPDX-License-Identifier: Apache-2.0
"""What the lab and the main test prove of NAT: tenants with the same addresses reach the internet and are reached."""

import ipaddress
import re
import socket

from .checks import expect, expect_equal
from .gateway import ledger_balanced
from .lab_topology import LEGACY_MTU, POOL, TENANTS
from .server import http_get
from .traffic import ping, wait_for_ping

COUNT = 5


def in_pool(address):
    return ipaddress.ip_address(address) in ipaddress.ip_network(POOL)


def visitor(page):
    """Who the page says asked for it."""
    return re.search(r"you are ([0-9.]+)\.", page).group(1)


def mirrored(space, question="same", target="192.0.2.80", port=3478, sock=None, timeout=1.0):
    """What the mirror saw of us; None: no answer came."""
    sock = sock or space.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.sendto(question.encode(), (target, port))
    try:
        return sock.recv(2048).decode()
    except TimeoutError:
        return None


def fetches_a_page(lab, tenant):
    seen = []
    for name in ("web1", "web2", "app2"):
        space = lab.vm(tenant, name).space
        wait_for_ping(space, lab.internet.address, 15)
        expect_equal(ping(space, lab.internet.address, COUNT, marker=tenant), COUNT, f"answers to {name}")
        page = space("curl", "--silent", "--show-error", "--max-time", "5", f"http://{lab.internet.address}/").stdout
        expect("server of the internet" in page, f"{name} was shown: {page!r}")
        expect(in_pool(visitor(page)), f"{name} is {visitor(page)} to the internet, which is not of {POOL}")
        seen.append(f"{name} as {visitor(page)}")
    return ", ".join(seen)


def is_reached(lab, tenant):
    page = http_get(lab.internet.space, lab.published(tenant))
    expect(f"server of {tenant} web1," in page, f"the internet was shown: {page!r}")
    expect_equal(visitor(page), lab.internet.router, "whom web1 saw")
    expect_equal(ping(lab.internet.space, POOL.partition("/")[0], COUNT), COUNT, "answers of the pool's address")
    return f"{lab.published(tenant)}: {page.strip()}"


def has_an_address_for_itself(lab, tenant):
    own, legacy1 = lab.own_address(tenant), lab.vm(tenant, "legacy1").space
    wait_for_ping(legacy1, lab.internet.address, 15)
    page = legacy1("curl", "--silent", "--show-error", "--max-time", "5", f"http://{lab.internet.address}/").stdout
    expect_equal(visitor(page), own, "who legacy1 is to the internet")
    expect_equal(ping(lab.internet.space, own, COUNT), COUNT, "answers of legacy1 to the internet")
    return f"legacy1 is {own}, both ways"


def reaches_what_others_publish(lab, tenant):
    """Hairpin: its own page and the other tenant's, by their public addresses."""
    space = lab.vm(tenant, "app2").space
    for owner in TENANTS:
        page = http_get(space, lab.published(owner))
        expect(f"server of {owner} web1," in page, f"{tenant} was shown: {page!r}")
        expect(in_pool(visitor(page)), f"{owner}'s web1 saw {visitor(page)}, which is not of {POOL}")
    return "its own page and the other's, by their public addresses"


def ordinary_tools(lab, tenant):
    """traceroute and path MTU discovery, which know nothing of NAT."""
    web1, legacy1 = lab.vm(tenant, "web1").space, lab.vm(tenant, "legacy1").space
    said = web1("traceroute", "-n", "-q", 1, "-w", 2, "-m", 5, lab.internet.address, timeout=40).stdout
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    expect_equal([hop for hop in hops if hop != "*"], ["10.0.0.2", lab.internet.address], "hops that answer")
    internet = lab.internet.space
    internet("ip", "route", "flush", "cache")
    said = legacy1("iperf3", "--client", lab.internet.address, "--port", lab.internet.iperf_port, "--reverse",
                   "--bytes", "1M", timeout=40).stdout
    expect("receiver" in said, said)
    # Not TCP, whose MSS the gateway lowers: a datagram that must not be cut.
    size = 1500 - 28
    expect_equal(ping(internet, lab.own_address(tenant), 1, size=size), 0, "datagrams larger than the path")
    route = internet("ip", "route", "get", lab.own_address(tenant)).stdout
    expect(f"mtu {LEGACY_MTU}" in route, f"the internet did not learn the path's MTU through NAT: {route}")
    return f"the gateway is one hop; the internet learned MTU {LEGACY_MTU} of legacy1"


def maps_by_endpoint(lab, tenant):
    """RFC 4787 REQ-1 and REQ-8, asked of a mirror: one mapping for all remotes, and anybody may answer."""
    space = lab.vm(tenant, "web1").space
    with space.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        first = mirrored(space, sock=sock)
        expect(first is not None and in_pool(first.partition(":")[0]), f"the mirror saw {first}")
        for target in ("192.0.2.80", "192.0.2.81"):
            for port in (3478, 3479):
                expect_equal(mirrored(space, "same", target, port, sock), first, f"the mapping toward {target}:{port}")
        for question in ("port", "address"):
            expect_equal(mirrored(space, question, sock=sock), first, f"an answer from another {question}")
    return f"{first} for every remote, open to every remote"


PROOFS = [
    ("VMs fetch a page on the internet, by NAT", fetches_a_page),
    ("the internet fetches a page that a VM publishes", is_reached),
    ("a VM has a public address for itself", has_an_address_for_itself),
    ("published pages are reached from inside, too (hairpin)", reaches_what_others_publish),
    ("mappings and filters are independent of the endpoint", maps_by_endpoint),
    ("traceroute and path MTU discovery work through NAT", ordinary_tools),
]


def prove_nat(lab, checks):
    for what, proof in PROOFS:
        for tenant in TENANTS:
            with checks.check(f"{tenant}: {what}") as note:
                note.text = proof(lab, tenant)
    with checks.check("the gateway's ledger balances with NAT, too") as note:
        note.text = ledger_balanced(lab.gateway)
