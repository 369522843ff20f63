#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The peers themselves, without a gateway: hosts, distributed router, switch, servers, captures.

The topology is the lab's (support/lab_topology.py) with its gateway not started. When this holds
and another topology does not, the fault is the gateway's.
"""

import struct
import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.frames import ethernet, ipv4, nvgre, raw_socket, udp
from support.lab_topology import SERVER, TENANTS, Lab
from support.nvgre_host import ROUTER_MAC
from support.server import http_get
from support.traffic import Receiver, Sender, one_way, ping, wait_for_ping
from support.wait import wait_for


def build(run, arguments):
    return Lab(run, arguments.gateway, arguments.hnvctl)


def frame_of(lab, source_mac, source_pa, vsid, source_ca):
    """A whole fabric frame with a UDP datagram inside, addressed to contoso's web2 on host2."""
    vm, host = lab.vm("contoso", "web2"), lab.hosts["host2"]

    text = struct.pack("!Q", 1) + b"contoso"
    inner = ethernet(vm.mac, source_mac, ipv4(source_ca, vm.ca, 17, udp(9, 9001, text)))
    return ethernet(host.space.mac("br-phy"), lab.hosts["host1"].space.mac("br-phy"),
                    ipv4(source_pa, host.pa, 47, nvgre(vsid, inner)))


def prove_strictness(checks, lab):
    """A host takes only what its policy vouches for; the first row shows that the frames are right."""
    vm = lab.vm("contoso", "web2")
    rows = [
        ("what the policy vouches for", ("00:15:5d:01:00:11", "10.250.0.11", 5001, "10.0.1.11"), True),
        ("routed by the source's host", (ROUTER_MAC, "10.250.0.11", 5001, "10.0.2.11"), True),
        ("another VSID", ("00:15:5d:01:00:11", "10.250.0.11", 5002, "10.0.1.11"), False),
        ("a PA that is not the record's", ("00:15:5d:01:00:11", "10.250.0.99", 5001, "10.0.1.11"), False),
        ("a MAC that is not the record's", ("00:15:5d:01:00:99", "10.250.0.11", 5001, "10.0.1.11"), False),
        ("a CA without a record", ("00:15:5d:01:00:11", "10.250.0.11", 5001, "10.0.1.77"), False),
    ]
    raw = raw_socket(lab.hosts["host1"].space, "fabric0")
    for name, what, wanted in rows:
        with checks.check(f"host accepts {name}" if wanted else f"host refuses {name}"):
            receiver = Receiver(vm.space, 9001, "contoso")
            try:
                raw.send(frame_of(lab, *what))
                if not wanted:  # a good frame behind it: when that is there, the bad one is decided
                    raw.send(frame_of(lab, *rows[0][1]))
                wait_for(lambda: receiver.first, 3, "the datagram")
                expect_equal((len(receiver.first), receiver.repeated), (1, 0), "datagrams that came")
            finally:
                receiver.close()
    raw.close()


def prove(checks, lab):
    for vm in lab.vms.values():  # the hosts find each other's MACs
        if vm.name.endswith("web1"):
            wait_for_ping(vm.space, "10.0.1.12")
    capture = Capture(lab.switch.space, "host1")
    for tenant in TENANTS:
        web1, web2, app1, app2 = (lab.vm(tenant, n) for n in ("web1", "web2", "app1", "app2"))
        for name, sender, address in (
                ("same subnet, host to host", web1, "10.0.1.12"),
                ("subnet to subnet, host to host", web2, "10.0.2.11"),
                ("subnet to subnet on one host", web1, "10.0.2.11"),
                ("the distributed router answers", web1, "10.0.1.1")):
            with checks.check(f"{tenant}: {name}"):
                expect_equal(ping(sender.space, address, count=5, marker=tenant), 5, "answers")
        with checks.check(f"{tenant}: 1,500-byte packets cross the fabric whole"):
            expect_equal(ping(web1.space, "10.0.1.12", count=3, size=1472), 3, "answers")
        with checks.check(f"{tenant}: host2 hears of web1 what it cannot answer itself"):
            expect_equal(one_way(web1.space, app2.space, "10.0.2.12", 9000, tenant), [], "lost")
            expect_equal(ping(app2.space, "10.0.1.11", count=1, wait=0.3), 0, "answers without a gateway")
        with checks.check(f"{tenant}: own server's page"):
            page = http_get(lab.servers[tenant].space, SERVER)
            expect(f"server of {tenant}," in page, page)
    prove_strictness(checks, lab)
    capture.stop()

    with checks.check("NVGRE on the wire, and tshark finds no fault in it") as note:
        frames = capture.nvgre()
        expect({v for _, _, v in frames} >= {5001, 5002, 6001, 6002}, f"VSIDs {sorted({f[2] for f in frames})}")
        heads = {tuple(f) for f in capture.frames("gre", "gre.flags_and_version", "gre.proto")}
        expect_equal(heads, {("0x2000", "0x6558")}, "GRE flags and protocol")
        expect_equal(capture.faults(), [], "faults")
        note.text = f"{len(frames)} frames"

    with checks.check("a VM moves to the other host under load and loses nothing") as note:
        vm = lab.vm("contoso", "web2")
        receiver = Receiver(vm.space, 9002, "contoso")
        sender = Sender(lab.vm("contoso", "web1").space, vm.ca, 9002, "contoso").start()
        wait_for(lambda: len(receiver.first) > 100, 5, "datagrams before the move")
        lab.centre.move_vm(vm, lab.hosts["host1"])
        seen = len(receiver.first)
        wait_for(lambda: len(receiver.first) > seen + 100, 5, "datagrams after the move")
        sent = sender.stop()
        expect_equal(receiver.wait_all(list(sent)), [], "lost")
        expect_equal(ping(vm.space, "10.0.2.11", count=3), 3, "answers after the move")
        receiver.close()
        note.text = f"{len(sent)} datagrams"


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove, needs_gateway=False))
