#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole gateway and bgpd with a real router beside it: how long routes take to the FIB.

    tests/bench/routers.py --tree build/bench [--only PART] --json FILE

    bird (AS 65010) ── a VLAN for each domain ── gateway, bgpd
    one ── another domain ── other: datagrams, while the table loads

`bgp_full_table/routes:1000000`, by the gateway's own count of routes, which grows with the change
that makes them live:

    seconds     from the first route of the table to the last one
    change_ms   one prefix more, from birdc's answer to the FIB, the table loaded (median); in it are
                the 50 ms that bgpd waits for more
    mib         resident sets of gateway and bgpd after it, gateway_mib of it the gateway's
    lost        of 500 datagrams a second through another domain while it loads; drops are the gateway's

`bgp_domains/domains:500/prefixes:100`: BIRD has a session with each of 500 domains, each on a VLAN
of its own, and announces the same 100 prefixes in all of them.

    seconds     from the start of the gateway with this state until all routes are there; BIRD runs
                all the time, and was told when the gateway stopped
"""

import argparse
import json
import os
import random
import re
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))

from support.bgp_peers import Bird  # noqa: E402
from support.metrics import Metrics  # noqa: E402
from support.run import Run  # noqa: E402
from support.topology import Topology  # noqa: E402
from support.traffic import Receiver, Sender, wait_for_ping  # noqa: E402
from support.wait import wait_for  # noqa: E402

OURS, SITE, OWN_AS, SITE_AS = "192.168.50.1", "192.168.50.10", 65001, 65010
DOMAIN = "/v1/routingDomains/contoso"
ROUTES, CHANGES = 1_000_000, 20
DOMAINS, PREFIXES = 500, 100
# How long the internet's prefixes are, of 102.
LENGTHS = ((24, 59), (23, 10), (22, 12), (21, 5), (20, 5), (19, 4), (18, 3), (17, 2), (16, 2))


def internet(count):
    """So many prefixes, with the lengths of the internet's, none of them a martian."""
    drawn, lengths, seen = random.Random(7), [length for length, share in LENGTHS for _ in range(share)], set()
    while len(seen) < count:
        length = drawn.choice(lengths)
        address = drawn.randrange(11 << 24, 223 << 24) & (0xffffffff << (32 - length))
        if address >> 24 != 127:
            seen.add((address, length))
    return [f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}/{length}" for a, length in sorted(seen)]


def configuration(sessions, tables):
    """bird's; `sessions` as (name, own address, the gateway's), `tables` as (name, prefixes, option)."""
    statics = "".join(f"protocol static {name} {{\n  ipv4;\n{option}" +
                      "".join(f"  route {p} blackhole;\n" for p in prefixes) + "}\n" for name, prefixes, option in tables)
    peers = "".join(f"""protocol bgp {name} {{
  local {own} as {SITE_AS};
  neighbor {ours} as {OWN_AS};
  connect delay time 1;
  connect retry time 5;
  error wait time 1, 2;
  graceful restart off;
  ipv4 {{ import none; export where source = RTS_STATIC; next hop self; }};
}}
""" for name, own, ours in sessions)
    return f"router id {SITE};\nlog stderr all;\nprotocol device {{ }}\n{statics}{peers}"


class Site(Bird):
    """BIRD in a namespace, without graceful restart."""

    def __init__(self, run, switch, addresses, **port):
        self.run, self.name, self.addresses = run, "site", addresses
        self.space = run.namespace("site")
        switch.connect("site", self.space, "site0", **port)
        self.space.ip("link set lo up", *(f"addr add {a} dev site0" for a in addresses), "link set site0 up")
        self.control = self.run.path("bird.ctl")

    def start(self, text):
        conf = self.write("bird.conf", text)
        self.process = self.space.spawn("bird", "bird", "-f", "-c", conf, "-s", self.control, "-P", self.run.path("bird.pid"))


def domain(name, vlan, ours, site):
    """The resources of a domain whose site is a VLAN of the port wan0."""
    path = f"/v1/routingDomains/{name}"
    return [{"path": path, "body": {}},
            {"path": f"{path}/networkConnections/site", "body": {
                "connectionType": "L3", "l3Configuration": {
                    "port": "wan0", "vlanId": vlan, "ipAddresses": [ours], "peerIPAddresses": [site]}}},
            {"path": f"{path}/bgpRouter", "body": {
                "asNumber": OWN_AS, "routerId": OURS, "ebgpRequiresPolicy": "Disabled", "holdTimeSeconds": 180}},
            {"path": f"{path}/bgpPeers/site", "body": {
                "peerIpAddress": site, "asNumber": SITE_AS, "maxAllowedPrefix": 2 * ROUTES}}]


class Others:
    """Two machines on L3 connections of a domain of their own, one sending to the other."""

    def __init__(self, run, switch):
        self.spaces = []
        for name, vlan, own, ours, net in (("one", 201, "10.1.0.10", "10.1.0.1", "10.2.0.0/24"),
                                           ("other", 202, "10.2.0.10", "10.2.0.1", "10.1.0.0/24")):
            space = run.namespace(name)
            switch.connect(name, space, "eth0", vlan=vlan)
            space.ip("link set lo up", f"addr add {own}/24 dev eth0", "link set eth0 up", f"route add {net} via {ours}")
            self.spaces.append(space)
        self.receiver = Receiver(self.spaces[1], 7, "others")

    def start(self):
        wait_for_ping(self.spaces[0], "10.2.0.10")
        self.sender = Sender(self.spaces[0], "10.2.0.10", 7, "others").start()

    def stop(self):
        """How many were lost."""
        lost = len(self.receiver.wait_all(range(len(self.sender.stop()))))
        self.receiver.close()
        return lost

    @staticmethod
    def resources():
        path = "/v1/routingDomains/others"
        return [{"path": path, "body": {}},
                *({"path": f"{path}/networkConnections/{name}", "body": {
                    "connectionType": "L3", "l3Configuration": {
                        "port": "wan0", "vlanId": vlan, "ipAddresses": [ours], "peerIPAddresses": [peer]}}}
                  for name, vlan, ours, peer in (("one", 201, "10.1.0.1/24", "10.1.0.10"),
                                                 ("other", 202, "10.2.0.1/24", "10.2.0.10")))]


class World(Topology):
    def __init__(self, run, tree, vlans):
        super().__init__(run, f"{tree}/gateway/hnv-gateway", f"{tree}/api/hnvctl")
        self.gateway.config["bgp"] = {"user": "frr"}
        self.gateway.port(self.switch, "wan0", "wan0", trunks=vlans)

    def routes(self):
        return self.gateway.api.get(f"{DOMAIN}/statistics")["routes"]

    def all_routes(self):
        return int(Metrics(self.gateway.api.request("GET", "/metrics").text).get("hnv_domain_routes"))


def mebibytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


def change_one(world, site, name):
    """Seconds from birdc's answer until one prefix more is there."""
    count = world.routes()
    site.birdc("enable", name)
    begin = time.monotonic()
    wait_for(lambda: world.routes() > count, 10, "one route more", interval=0)
    return time.monotonic() - begin


def bgp_full_table(run, tree):
    world, table = World(run, tree, [100, 201, 202]), internet(ROUTES)
    site, others = Site(run, world.switch, [f"{SITE}/24"], vlan=100), Others(run, world.switch)
    world.gateway.start()
    world.gateway.api.apply(domain("contoso", 100, f"{OURS}/24", SITE) + Others.resources())
    pid, before = world.gateway.process.popen.pid, world.routes()
    others.start()
    site.start(configuration([("hub", SITE, OURS)], [("table4", table, ""), *(
        (f"more{i}", [f"9.{i}.0.0/16"], "  disabled;\n") for i in range(CHANGES))]))
    wait_for(lambda: world.routes() > before, 120, "the first route", interval=0.001)
    begin = time.monotonic()
    wait_for(lambda: world.routes() >= before + ROUTES, 300, "the whole table", interval=0.01, tell=world.routes)
    seconds = time.monotonic() - begin
    lost, drops = others.stop(), sum(world.gateway.drops().values())
    changes = [change_one(world, site, f"more{i}") for i in range(CHANGES)]
    bgpd = int(world.gateway.space("sh", "-c", f"pgrep -f {world.gateway.folder}/bgp-0/zserv").stdout.split()[0])
    ours = mebibytes(pid)
    return [{"name": f"bgp_full_table/routes:{ROUTES}", "seconds": seconds,
             "change_ms": statistics.median(changes) * 1000,
             "mib": ours + mebibytes(bgpd), "gateway_mib": ours,
             "lost": lost, "drops": drops}]


def bgp_domains(run, tree):
    places = [(i + 1, f"172.16.{i // 64}.{i % 64 * 4 + 1}", f"172.16.{i // 64}.{i % 64 * 4 + 2}") for i in range(DOMAINS)]
    world = World(run, tree, [vlan for vlan, _, _ in places])
    site = Site(run, world.switch, [f"{theirs}/30" for _, _, theirs in places])
    to_site, to_gateway = (world.switch.ovs.vsctl("get", "interface", name, "ofport") for name in ("site", "gw-wan0"))
    tagged = [f"in_port={to_site},{what}={ours},actions=push_vlan:0x8100,set_field:{4096 + vlan}->vlan_vid,output:{to_gateway}"
              for vlan, ours, _ in places for what in ("arp,arp_tpa", "ip,nw_dst")]
    world.switch.ovs.replace_flows("br0", [
        *tagged, f"in_port={to_gateway},vlan_tci=0x1000/0x1000,actions=pop_vlan,output:{to_site}"])
    world.gateway.start()
    world.gateway.api.apply([one for i, (vlan, ours, theirs) in enumerate(places)
                             for one in domain(f"tenant{i}", vlan, f"{ours}/30", theirs)])
    own = world.all_routes()
    site.start(configuration([(f"hub{vlan}", theirs, ours) for vlan, ours, theirs in places],
                             [("table4", internet(PREFIXES), "")]))
    all_there = own + DOMAINS * PREFIXES
    wait_for(lambda: world.all_routes() >= all_there, 120, "all routes", interval=0.1, tell=world.all_routes)
    world.gateway.stop(30)
    begin = time.monotonic()
    world.gateway.start()
    ready = time.monotonic() - begin
    wait_for(lambda: world.all_routes() >= all_there, 120, "all routes again", interval=0.05, tell=world.all_routes)
    return [{"name": f"bgp_domains/domains:{DOMAINS}/prefixes:{PREFIXES}", "seconds": time.monotonic() - begin,
             "ready_seconds": ready}]


PARTS = {"bgp_full_table": bgp_full_table, "bgp_domains": bgp_domains}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    rows = []
    for name, measure in PARTS.items():
        if re.search(chosen.only, name):
            with Run(f"b{os.getpid()}") as run:
                rows += measure(run, os.path.abspath(chosen.tree))
                with open(chosen.json, "w", encoding="utf-8") as file:
                    json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
