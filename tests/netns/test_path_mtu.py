#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MTU, fragments, traceroute and congestion marks with the ordinary Linux tools.

The network is drawn in support/routed_fabric.py. Its router's leg toward host2 is made narrow (1,500
bytes where the gateway's own is 1,700), so that NVGRE packets with 1,500 bytes inside do not fit.
"""

import re
import socket
import struct
import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import checksum, ethernet, ipv4, nvgre, raw_socket
from support.routed_fabric import MTU, PAS, SERVER, TENANTS, build
from support.run import veth
from support.traffic import Receiver, datagram, ping, wait_for_ping
from support.wait import wait_for

IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE = 10, 4  # linux/in.h: no DF, whatever the path's MTU is known to be
NARROW = 1500
INNER = NARROW - 42  # what fits into it of a tenant's packet
APP2 = "10.0.2.12"


def told(space, address, size):
    """The MTU that a ping of this size with DF was told, or None."""
    answer = space("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", size, address, check=False)
    found = re.search(r"(?:mtu ?= ?)(\d+)", answer.stdout + answer.stderr)
    return int(found.group(1)) if found else None


def prove_discovery(checks, made):
    for tenant in TENANTS:
        web1 = made.vms[tenant, "web1"].space
        with checks.check(f"{tenant}: full size passes while the path is wide"):
            expect_equal(ping(web1, APP2, 3, size=1472), 3, "answers")
    made.router.ip(f"link set eth1 mtu {NARROW}")
    capture = Capture(made.switch.space, "gw-fab0", "path-mtu")
    web1 = made.vms["contoso", "web1"].space
    with checks.check("the fabric's router tells the gateway, the gateway the tenant (RFC 1191)") as note:
        wait_for(lambda: told(web1, APP2, 1472) == INNER, 10, f"told an MTU of {INNER}")
        wait_for(lambda: f"carries packets of {NARROW} bytes" in made.gateway.log(), 3, "a line in the log")
        note.text = f"fabric {NARROW}, tenant {INNER}"
    with checks.check("it comes from the gateway's address in that domain"):
        web1.ip("route flush cache")
        answer = web1("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", 1472, APP2, check=False)
        expect("From 10.0.0.2 " in answer.stdout, answer.stdout)
    with checks.check("what was told is true to the byte"):
        expect_equal(ping(web1, APP2, 3, size=INNER - 28), 3, "answers of the largest that fits")
    with checks.check("the other tenant's packets to the same host are told the same, in its own space"):
        wait_for(lambda: told(made.vms["fabrikam", "web1"].space, APP2, 1472) == INNER, 5, f"told {INNER}")
    with checks.check("the path to other hosts is as wide as before"):
        app2 = made.vms["contoso", "app2"].space
        app2.ip("route flush cache")
        expect_equal(ping(app2, SERVER, 3, size=INNER - 28), 3, "answers")
        expect_equal(ping(web1, SERVER, 3, size=1472), 3, "answers of web1's server")
    with checks.check("tracepath finds the path's MTU and one hop"):
        web1.ip("route flush cache")
        answer = web1("tracepath", "-n", "-m", 5, APP2, timeout=40)
        expect(f"pmtu {INNER}" in answer.stdout, answer.stdout)
        expect("10.0.0.2" in answer.stdout and f"{APP2}" in answer.stdout, answer.stdout)
    with checks.check("a TCP stream finds its way at once"):
        server = made.vms["contoso", "app2"].space.spawn("app2-iperf", "iperf3", "-s", "-1", "-p", 5301)
        wait_for(lambda: ":5301" in made.vms["contoso", "app2"].space("ss", "-ltn").stdout, 5, "iperf3")
        web1.ip("route flush cache")
        sent = web1("iperf3", "-c", APP2, "-p", 5301, "-n", "2M", timeout=40)
        expect("receiver" in sent.stdout, sent.stdout)
        server.wait()
    with checks.check("without DF the gateway cuts the packet, never the outer one (RFC 1812)"):
        prove_fragments(made)
    capture.stop()
    with checks.check("no outer fragment, no fault, on the fabric"):
        expect_equal(capture.count("gre && (ip.flags.mf == 1 || ip.frag_offset > 0) && !(ip.flags.df == 1)"), 0,
                     "outer fragments")
        expect_equal(capture.faults(), [], "faults")


def prove_fragments(made):
    """One way: host2's own large packets do not come back through the narrow router."""
    before = made.gateway.ledger()["consumed"]["fragmented"]
    receiver = Receiver(made.vms["contoso", "app2"].space, 9100, "contoso")
    sender = made.vms["contoso", "web1"].space.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE)
    for number in range(20):
        sender.sendto(datagram(number, "contoso", 1464), (APP2, 9100))
    try:
        expect_equal(receiver.wait_all(range(20)), [], "lost")
        expect_equal(receiver.foreign, [], "damaged")
    finally:
        receiver.close()
        sender.close()
    expect_equal(made.gateway.ledger()["consumed"]["fragmented"] - before, 20, "packets cut")


def lie(made, quoted_source, vsid, mtu):
    """Fragmentation needed about a packet that the gateway may or may not have sent."""
    inner = ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", b"x" * 1500)
    quoted = ipv4(quoted_source, "10.250.0.11", 47, nvgre(vsid, inner))[:28]
    body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quoted
    icmp = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ethernet(made.gateway.space.mac("fab0"), "02:00:00:00:00:99",
                    ipv4("10.250.0.254", PAS["web"], 1, icmp), vlan=60)


def prove_lies(checks, made):
    stray = made.run.namespace("stray")
    veth(made.switch.space, "stray", stray, "eth0", MTU)
    made.switch.ovs.vsctl("add-port", "br0", "stray", "trunks=60")
    raw = raw_socket(stray, "eth0")
    path = "the path to 10.250.0.11 carries packets"
    for name, source, vsid in (("a VSID that nobody has", PAS["web"], 7001),
                               ("a PA that is not that subnet's", PAS["app"], 5001)):
        with checks.check(f"a lie about {name} changes nothing"):
            punts = made.gateway.ledger()["ledger"]["punts"]
            raw.send(lie(made, source, vsid, 900))
            wait_for(lambda p=punts: made.gateway.ledger()["ledger"]["punts"] > p, 3, "the message at the control thread")
            expect_equal(ping(made.vms["contoso", "app2"].space, "10.0.1.11", 3, size=INNER - 28), 3, "answers")
            expect(path not in made.gateway.log(), "it was believed")
    with checks.check("and the same message about a packet of ours is believed, no lower than 576"):
        raw.send(lie(made, PAS["web"], 5001, 100))
        wait_for(lambda: f"{path} of 576 bytes" in made.gateway.log(), 3, "a line in the log")
    raw.close()


def prove(checks, made):
    for tenant in TENANTS:
        for vm in ("web1", "app2"):
            wait_for_ping(made.vms[tenant, vm].space, SERVER, 15)
        wait_for_ping(made.vms[tenant, "web1"].space, APP2, 15)
    # Before it comes the host's distributed router, which keeps silent.
    with checks.check("traceroute shows the gateway as one hop, with its address in that domain"):
        for tenant in TENANTS:
            answer = made.vms[tenant, "web1"].space("traceroute", "-n", "-q", 1, "-w", 2, "-m", 5, SERVER, timeout=40)
            hops = [line.split()[1] for line in answer.stdout.splitlines()[1:]]
            expect_equal([hop for hop in hops if hop != "*"], ["10.0.0.2", SERVER], "hops that answer")
    with checks.check("a tenant's ECN field passes the tunnel unchanged (RFC 6040)"):
        web1, app2 = made.vms["contoso", "web1"].space, made.vms["contoso", "app2"].space
        capture = Capture(web1, "eth0", "ecn", "icmp")
        wait_for(lambda: ping(app2, "10.0.1.11", 1) == 1, 5, "a ping")
        app2("ping", "-n", "-c", 3, "-i", 0.02, "-W", 1, "-Q", "0x02", "10.0.1.11")
        capture.stop()
        marks = {row[0] for row in capture.frames("icmp.type == 8", "ip.dsfield.ecn")}
        expect("2" in marks, f"ECN fields {marks}")
    prove_discovery(checks, made)
    prove_lies(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
