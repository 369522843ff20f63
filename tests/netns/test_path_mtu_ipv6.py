#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The path MTU of an IPv6 fabric (RFC 8201), learned from its router and handed on to the tenants.

The network is that of support/routed_fabric.py with IPv6 addresses outside. The router's leg toward
host2 is made narrow (1,500 bytes where the gateway's own is 1,700); tenants speak both families.
"""

import re
import struct
import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import ethernet, icmpv6, ipv6, nvgre, raw_socket
from support.routed_fabric import FABRIC6, MTU, TENANTS, build
from support.run import veth
from support.traffic import ping, wait_for_ping
from support.wait import wait_for

NARROW = 1500
INNER = NARROW - 62  # what fits into it of a tenant's packet
APP2 = {"IPv4": "10.0.2.12", "IPv6": "fd10:0:0:2::12"}
GATEWAY = {"IPv4": "10.0.0.2", "IPv6": "fd10::2"}
HEADERS = {"IPv4": 28, "IPv6": 48}  # of a ping
PATH = "the path to {} carries packets of {} bytes"


def told(space, address, size):
    """The MTU that a ping of this size with DF was told, or None."""
    answer = space("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", size, address, check=False)
    found = re.search(r"(?:mtu ?[=:] ?)(\d+)", answer.stdout + answer.stderr)
    return int(found.group(1)) if found else None


def forget(space):
    for family in ("-4", "-6"):
        space("ip", family, "route", "flush", "cache")


def prove_discovery(checks, made):
    web1, app2 = made.vms["contoso", "web1"].space, made.vms["contoso", "app2"].space
    for family, address in APP2.items():
        with checks.check(f"{family}: full size passes while the path is wide"):
            expect_equal(ping(web1, address, 3, size=1500 - HEADERS[family]), 3, "answers")
    made.router.ip(f"link set eth1 mtu {NARROW}")
    capture = Capture(made.switch.space, "gw-fab0", "path-mtu-ipv6")
    with checks.check("the fabric's router tells the gateway, the gateway the tenant (RFC 8201 §4)") as note:
        wait_for(lambda: told(web1, APP2["IPv6"], 1452) == INNER, 10, f"told an MTU of {INNER}")
        wait_for(lambda: PATH.format("fd61::12", NARROW) in made.gateway.log(), 3, "a line in the log")
        note.text = f"fabric {NARROW}, tenant {INNER}"
    for tenant in TENANTS:
        for family, address in APP2.items():
            with checks.check(f"{tenant}, {family}: the same for all who send there, from its own gateway address"):
                space = made.vms[tenant, "web1"].space
                forget(space)
                said = space("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", 1500 - HEADERS[family], address,
                             check=False).stdout
                expect(f"From {GATEWAY[family]} " in said and str(INNER) in said, said)
                expect_equal(ping(space, address, 3, size=INNER - HEADERS[family]), 3, "answers of the largest")
    with checks.check("the path to the other host is as wide as before"):
        for family, address in (("IPv4", "10.0.1.11"), ("IPv6", "fd10:0:0:1::11")):
            expect_equal(ping(app2, address, 3, size=INNER - HEADERS[family]), 3, "answers")
        expect("the path to fd60::11" not in made.gateway.log(), "host1 was meant too")
    for family, address in APP2.items():
        with checks.check(f"{family}: tracepath finds the path's MTU and one hop"):
            forget(web1)
            said = web1("tracepath", "-n", "-m", 5, address, timeout=40).stdout
            expect(f"pmtu {INNER}" in said and f"{GATEWAY[family]} " in said and address in said, said)
        with checks.check(f"{family}: a TCP stream finds its way at once"):
            server = app2.spawn(f"app2-iperf-{family}", "iperf3", "-s", "-1", "-p", 5301)
            wait_for(lambda: ":5301" in app2("ss", "-ltn").stdout, 5, "iperf3")
            forget(web1)
            said = web1("iperf3", "-c", address, "-p", 5301, "-n", "2M", timeout=40).stdout
            expect("receiver" in said, said)
            server.wait()
            expect(f"mtu {INNER}" in web1("ip", "route", "get", address).stdout, "TCP did not learn the MTU")
    capture.stop()
    with checks.check("no outer fragment, no fault, on the fabric"):
        expect_equal(capture.count("ipv6.nxt == 44"), 0, "outer fragments")
        expect_equal(capture.faults(), [], "faults")
        expect(capture.count("icmpv6.type == 2 && gre") > 0, "the router's word was not even seen")


def lie(made, vsid, source, mtu):
    """Packet too big about a packet that the gateway may or may not have sent."""
    inner = ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", b"x" * 1500)
    quoted = ipv6(source, "fd60::11", 47, nvgre(vsid, inner))[:48]
    message = struct.pack("!BBHI", 2, 0, 0, mtu) + quoted
    return ethernet(made.gateway.space.mac("fab0"), "02:00:00:00:00:99",
                    icmpv6("fd60::fe", FABRIC6.pas["web"], message), kind=0x86DD, vlan=60)


def prove_lies(checks, made):
    stray = made.run.namespace("stray")
    veth(made.switch.space, "stray", stray, "eth0", MTU)
    made.switch.ovs.vsctl("add-port", "br0", "stray", "trunks=60")
    raw = raw_socket(stray, "eth0")
    web, app = FABRIC6.pas["web"], FABRIC6.pas["app"]
    for name, vsid, source, mtu in (("a VSID that nobody has", 7001, web, 1400),
                                    ("a PA that is not that subnet's", 5001, app, 1400),
                                    ("less than 1,280 bytes", 5001, web, 1279)):
        with checks.check(f"a lie about {name} changes nothing"):
            punts = made.gateway.ledger()["ledger"]["punts"]
            raw.send(lie(made, vsid, source, mtu))
            wait_for(lambda p=punts: made.gateway.ledger()["ledger"]["punts"] > p, 3, "the message at the control thread")
            expect_equal(ping(made.vms["contoso", "app2"].space, "fd10:0:0:1::11", 3, size=INNER - 48), 3, "answers")
            expect("the path to fd60::11" not in made.gateway.log(), "it was believed")
    with checks.check("and the same message about a packet of ours is believed, and said to be too narrow for IPv6"):
        raw.send(lie(made, 5001, web, 1280))
        wait_for(lambda: PATH.format("fd60::11", 1280) in made.gateway.log(), 3, "a line in the log")
        expect("the path to fd60::11 is too narrow for tenants' IPv6" in made.gateway.log(), made.gateway.log())
    with checks.check("tenants are never told less than 1,280 (RFC 8201 §4)"):
        app2 = made.vms["contoso", "app2"].space
        forget(app2)
        expect_equal(told(app2, "fd10:0:0:1::11", 1400 - 48), 1280, "the MTU that was told")
    raw.close()


def prove(checks, made):
    with checks.check("neighbours are found"):
        for tenant in TENANTS:
            for address in APP2.values():
                wait_for_ping(made.vms[tenant, "web1"].space, address, 20)
    prove_discovery(checks, made)
    prove_lies(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, lambda run, arguments: build(run, arguments, FABRIC6), prove))
