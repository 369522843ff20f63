#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole gateway and bgpd with a real router beside it: how long routes take to the FIB.

    tests/bench/routers.py --tree build/bench [--only PART] --json FILE

    bird (AS 65010) ── VLAN 100 ── gateway: domain contoso, bgpd

`bgp_full_table/routes:1000000`, by the gateway's own count of routes, which grows with the change
that makes them live:

    seconds     from the first route of the table to the last one
    change_ms   one prefix more, from birdc's answer to the FIB, the table loaded (median)
    mib         resident sets of gateway and bgpd after it, gateway_mib of it the gateway's
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
from support.run import Run  # noqa: E402
from support.topology import Topology  # noqa: E402
from support.wait import wait_for  # noqa: E402

OURS, SITE, OWN_AS, SITE_AS = "192.168.50.1", "192.168.50.10", 65001, 65010
DOMAIN = "/v1/routingDomains/contoso"
ROUTES, CHANGES = 1_000_000, 20
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


class Site(Bird):
    """BIRD at the switch, without graceful restart, with prefixes that can be told one by one."""

    def __init__(self, run, switch):
        self.run, self.name, self.addresses = run, "site", [f"{SITE}/24"]
        self.space = run.namespace("site")
        switch.connect("site", self.space, "site0", vlan=100)
        self.space.ip("link set lo up", f"addr add {SITE}/24 dev site0", "link set site0 up")
        self.process = None

    def announce(self, prefixes, more=0):
        extra = "".join(f"protocol static more{i} {{ disabled; ipv4; route 9.{i}.0.0/16 blackhole; }}\n" for i in range(more))
        listed = "\n".join(f"  route {p} blackhole;" for p in prefixes)
        conf = self.write("bird.conf", f"""
router id {SITE};
log stderr all;
protocol device {{ }}
protocol static table4 {{
  ipv4;
{listed}
}}
{extra}
protocol bgp hub {{
  local {SITE} as {SITE_AS};
  neighbor {OURS} as {OWN_AS};
  connect retry time 1;
  error wait time 1, 2;
  graceful restart off;
  ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }};
}}
""")
        self.control = self.run.path(self.name, "bird.ctl")
        self.process = self.space.spawn("bird", "bird", "-f", "-c", conf, "-s", self.control, "-P", self.run.path("bird.pid"))


class World(Topology):
    def __init__(self, run, tree):
        super().__init__(run, f"{tree}/gateway/hnv-gateway", f"{tree}/api/hnvctl")
        self.gateway.config["bgp"] = {"user": "frr"}
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[100])
        self.site = Site(run, self.switch)
        self.gateway.start()
        self.gateway.api.apply([
            {"path": DOMAIN, "body": {}},
            {"path": f"{DOMAIN}/networkConnections/site", "body": {
                "connectionType": "L3", "l3Configuration": {
                    "port": "wan0", "vlanId": 100, "ipAddresses": [f"{OURS}/24"], "peerIPAddresses": [SITE]}}},
            {"path": f"{DOMAIN}/bgpRouter", "body": {
                "asNumber": OWN_AS, "routerId": OURS, "ebgpRequiresPolicy": "Disabled", "holdTimeSeconds": 180}},
            {"path": f"{DOMAIN}/bgpPeers/site", "body": {
                "peerIpAddress": SITE, "asNumber": SITE_AS, "maxAllowedPrefix": 2 * ROUTES}}])

    def routes(self):
        return self.gateway.api.get(f"{DOMAIN}/statistics")["routes"]


def mebibytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


def bgp_full_table(run, tree):
    world, table = World(run, tree), internet(ROUTES)
    before = world.routes()
    world.site.announce(table, more=CHANGES)
    wait_for(lambda: world.routes() > before, 120, "the first route", interval=0.001)
    begin = time.monotonic()
    wait_for(lambda: world.routes() >= before + ROUTES, 300, "the whole table", interval=0.01, tell=world.routes)
    seconds = time.monotonic() - begin
    changes = []
    for i in range(CHANGES):
        count = world.routes()
        world.site.birdc("enable", f"more{i}")
        begin = time.monotonic()
        wait_for(lambda c=count: world.routes() > c, 10, "one route more", interval=0)
        changes.append((time.monotonic() - begin) * 1000)
    bgpd = int(world.gateway.space("sh", "-c", f"pgrep -f {world.gateway.folder}/bgp-0/zserv").stdout.split()[0])
    ours = mebibytes(world.gateway.process.popen.pid)
    return [{"name": f"bgp_full_table/routes:{ROUTES}", "seconds": seconds, "change_ms": statistics.median(changes),
             "mib": ours + mebibytes(bgpd), "gateway_mib": ours}]


PARTS = {"bgp_full_table": bgp_full_table}


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
