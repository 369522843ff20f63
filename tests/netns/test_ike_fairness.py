#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""IKE is shared fairly: a flood, half-open exchanges and a tunnel that goes up and down cost a neighbour nothing.

     gateway 203.0.113.1 ── wan0 ── 203.0.113.254 sites, one stock strongSwan:
                                    198.51.100.1   the neighbour, 10.200.1.1
                                    198.51.100.2   a site with 40 tunnels behind its address
                                    198.51.100.3   one that goes up and down
                                    198.51.100.66  nobody's: a flood of first messages, whose exchanges are never finished

What costs time on a busy machine is no verdict: what is counted are packets that did not arrive, and requests that had
to be sent again.
"""

import os
import socket
import struct
import sys
import threading
import time

from support.branches import ipsec_section
from support.checks import expect, expect_equal, topology
from support.gateway import Gateway, prove_end
from support.run import veth
from support.site import Site
from support.traffic import ping
from support.wait import wait_for

VIP, SITES, OURS = "203.0.113.1", "203.0.113.254", "10.0.0.2"
NEIGHBOUR, CROWD, FLAPPER, STRANGER = "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.66"
TUNNELS, PINGS = 40, 150


def first_message():
    """An IKE_SA_INIT that the gateway has to take seriously: AES-256, SHA-256, MODP-2048 (RFC 7296, 3.3). The first eight bytes
    are the exchange's own."""
    def payload(following, body):
        return struct.pack("!BBH", following, 0, 4 + len(body)) + body

    def transform(last, kind, number, attribute=b""):
        return struct.pack("!BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0, number) + attribute
    transforms = (transform(False, 1, 12, struct.pack("!HH", 0x800e, 256)) + transform(False, 2, 5) + transform(False, 3, 12)
                  + transform(True, 4, 14))
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 4) + transforms
    body = (payload(34, proposal) + payload(40, struct.pack("!HH", 14, 0) + b"\1" + os.urandom(255)) + payload(0, os.urandom(32)))
    return struct.pack("!QBBBBII", 0, 33, 0x20, 34, 0x08, 0, 28 + len(body)) + body


class Flood:
    """First messages of exchanges that end there, and what is no IKE at all, as fast as one thread can."""

    def __init__(self, space):
        self._socket = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((STRANGER, 0))
        self.sent, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        rest = first_message()
        while not self._stop.is_set():
            for number in range(64):
                message = os.urandom(8) + rest if number % 4 else b"\xff" * 60
                try:
                    self._socket.sendto(message, (VIP, 500))
                    self.sent += 1
                except OSError:
                    pass  # its own buffer is full
            self._stop.wait(0.001)

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._socket.close()


class Shared:
    def __init__(self, run, arguments):
        self.gateway = Gateway(run, arguments.gateway, arguments.hnvctl)
        self.gateway.config["ipsec"] = ipsec_section(run, arguments.gateway)
        self.outside, fabric = run.namespace("sites"), run.namespace("fabric")
        for name, interface, space in (("wan0", "wan0", self.outside), ("fabric0", "fab0", fabric)):
            veth(self.gateway.space, interface, space, "eth0", 1700)
            self.gateway.config["ports"].append({"name": name, "mtu": 1700, "device":
                                                 f"net_af_packet{len(self.gateway.config['ports'])},iface={interface}"})
        self.tunnels = {"neighbour": (NEIGHBOUR, 1), "flapper": (FLAPPER, 2), **{f"crowd{n}": (CROWD, 3 + n) for n in range(TUNNELS)}}
        self.outside.ip(f"addr add {SITES}/24 dev eth0", *(f"addr add {a}/32 dev lo" for a in (NEIGHBOUR, CROWD, FLAPPER, STRANGER)),
                        *(f"addr add 10.200.{number}.1/32 dev lo" for _, number in self.tunnels.values()))
        self.site = Site(run, self.outside, "sites")
        for name in self.tunnels:
            self.load(name)
        self.gateway.start()
        self.gateway.api.apply([
            {"path": "/v1/providerNetworks/fabric", "body": {
                "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}},
            {"path": "/v1/externalNetworks/internet", "body": {
                "port": "wan0", "vlanId": 0, "ipAddresses": [f"{VIP}/24"],
                "routes": [{"destinationPrefix": "0.0.0.0/0", "nextHop": SITES}]}},
            *(resource for name, (address, number) in self.tunnels.items() for resource in (
                {"path": f"/v1/routingDomains/{name}", "body": {}},
                {"path": f"/v1/routingDomains/{name}/virtualSubnets/gateway", "body": {
                    "virtualSubnetId": 5000 + number, "addressPrefixes": ["10.0.0.0/24"], "kind": "gateway",
                    "providerNetwork": "fabric"}},
                {"path": f"/v1/routingDomains/{name}/networkConnections/branch", "body": {
                    "connectionType": "IPSec", "routes": [{"destinationPrefix": f"10.200.{number}.0/24"}],
                    "ipSecConfiguration": {"sourceIPAddress": VIP, "destinationIPAddress": address, "initiate": "never",
                                           "remoteIdentity": f"{name}.example", "sharedSecret": f"word-of-{name}"}}}))])
        wait_for(lambda: self.gateway.api.get("/v1/system")["ipsec"] == "up", 15, "charon")

    def load(self, name):
        address, number = self.tunnels[name]
        self.site.connection(name, address, VIP, local_id=f"{name}.example", remote_id=VIP, psk=f"word-of-{name}",
                             owners=[f"{name}.example"], local_ts=f"10.200.{number}.0/24", remote_ts="10.0.0.0/24")

    def lost(self):
        """Of the neighbour's packets, through its tunnel and back."""
        return PINGS - ping(self.outside, OURS, PINGS, interval=0.01, source="10.200.1.1")

    def again(self, position, names):
        """Requests of these tunnels that were sent again since."""
        lines = self.site.log_since(position)
        return sum("retransmit " in line and any(f"<{name}|" in line for name in names) for line in lines)

    def up(self):
        return self.gateway.api.get("/v1/system")["tunnelsUp"]

    def end(self, names):
        for name in names:
            self.site.vici.ask("terminate", {"ike": name, "timeout": "-1"})

    def dump(self):
        print(self.gateway.dump(), self.site.log(4000), file=sys.stderr)


def build(run, arguments):
    return Shared(run, arguments)


def neighbour_lives(made, tries=3):
    """The neighbour renews its keys, ends, begins anew and pings: how much of all that had to be done again."""
    for left in reversed(range(tries)):
        position = made.site.log_size()
        expect(made.site.vici.ask("rekey", {"child": "neighbour"}).get("success") == "yes", "it could not renew its keys")
        lost = made.lost()
        made.site.vici.ask("terminate", {"ike": "neighbour", "timeout": "5000"})
        begin = time.monotonic()
        expect(made.site.initiate("neighbour", 20000), "it could not begin anew")
        took = time.monotonic() - begin
        again = made.again(position, ["neighbour"])
        if (lost, again) == (0, 0) or left == 0:
            return lost, again, f"{lost} of {PINGS} packets lost, {again} requests repeated, begun anew in {1000 * took:.0f} ms"
        print(f"# {lost} packets lost, {again} requests repeated: the machine was busy, or we are; again")
    raise AssertionError("not reached")


def crowd_comes(made):
    """All tunnels of the one address at once."""
    crowd = [name for name in made.tunnels if name.startswith("crowd")]
    begin, position, before = time.monotonic(), made.site.log_size(), made.up()
    for name in crowd:
        made.site.vici.ask("initiate", {"child": name, "ike": name, "timeout": "-1"})
    wait_for(lambda: made.up() == before + TUNNELS, 60, "the crowd to be up", tell=made.up)
    took, again = time.monotonic() - begin, made.again(position, crowd)
    made.end(crowd)
    wait_for(lambda: made.up() == before, 30, "the crowd to be gone", tell=made.up)
    return f"{TUNNELS} tunnels of one address in {took:.1f} s, {again} requests repeated"


def prove_quiet(checks, made):
    with checks.check("with nobody else there, the neighbour's tunnel lives") as note:
        expect(made.site.initiate("neighbour", 20000), made.site.log(2000))
        lost, again, note.text = neighbour_lives(made)
        expect_equal((lost, again), (0, 0), "packets lost, requests repeated")
    with checks.check("a site with many tunnels behind one address comes up") as note:
        note.text = crowd_comes(made)


def prove_flood(checks, made):
    before = made.gateway.drops().get("punt_queue_full", 0)
    flood = Flood(made.outside)
    try:
        begin = time.monotonic()
        wait_for(lambda: made.gateway.drops().get("punt_queue_full", 0) > before, 20, "more than a sender's share",
                 tell=lambda: (flood.sent, made.gateway.drops()))
        with checks.check("under a flood of exchanges that are never finished, the neighbour's tunnel lives on") as note:
            lost, again, note.text = neighbour_lives(made)
            expect_equal((lost, again), (0, 0), "packets lost, requests repeated")
        with checks.check("and the site with many tunnels comes up") as note:
            note.text = crowd_comes(made)
        seconds = time.monotonic() - begin
    finally:
        flood.stop()
    with checks.check("what was more than a sender's share was dropped, and that was most of it") as note:
        dropped = made.gateway.drops()["punt_queue_full"] - before
        note.text = f"{flood.sent / seconds:.0f} a second were sent, {dropped} of {flood.sent} dropped"
        expect(dropped > 0, note.text)
    with checks.check("the flood is listed, once") as note:
        faults = [f for f in made.gateway.api.get("/v1/ikeFaults")["value"] if f["remoteAddress"] == STRANGER]
        expect(0 < len(faults) <= 3, made.gateway.api.get("/v1/ikeFaults"))
        note.text = "; ".join(f"{f['cause']} {f['count']} times" for f in faults)


def prove_flapping(checks, made):
    with checks.check("a tunnel that goes up and down all the time costs the neighbour nothing") as note:
        stop, count = threading.Event(), [0]

        def flap():
            vici = made.site.another_connection()  # one has one command at a time
            while not stop.is_set():
                vici.ask("initiate", {"child": "flapper", "ike": "flapper", "timeout": "5000"})
                vici.ask("terminate", {"ike": "flapper", "timeout": "5000"})
                count[0] += 1
            vici.close()
        thread = threading.Thread(target=flap, daemon=True)
        thread.start()
        try:
            wait_for(lambda: count[0] > 3, 20, "it to go up and down")
            lost, again, text = neighbour_lives(made)
        finally:
            stop.set()
            thread.join(20)
        expect_equal((lost, again), (0, 0), f"packets lost, requests repeated, while it went up and down {count[0]} times")
        note.text = f"{count[0]} times; {text}"
    prove_end(checks, made.gateway)


def prove(checks, made):
    for part in (prove_quiet, prove_flood, prove_flapping):
        part(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
