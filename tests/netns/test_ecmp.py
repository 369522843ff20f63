#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Routes that share a load over two routers, and a dearer one that stands by.

     host1 ──(fabric VLAN 50)── gateway ── wan0, VLAN 100 contoso ──┬── r1 192.168.50.11 fd50::11 ─┐
       contoso-vm   10.0.1.11                                        ├── r2          .12     ::12 ─┼─ 198.51.100.7
       fabrikam-vm  10.0.1.11                                        └── r3          .13     ::13 ─┘  2001:db8:100::7
                                          VLAN 200 fabrikam: the same, with the same addresses

     Each domain has 198.51.100.0/24 and 2001:db8:100::/48 three times: via r1 and r2 with metric 10,
     via r3 with metric 20. Who answers says its name. A router falls silent by moving to another VLAN:
     its wire stays up, and nobody but address resolution can tell.
"""

import sys

from support.checks import expect, expect_equal, topology
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm
from support.server import Server
from support.topology import Topology, records
from support.traffic import ask, wait_for_ping
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
ROUTERS = {"r1": (11, 10), "r2": (12, 10), "r3": (13, 20)}  # last part of the address, metric
FAR = {4: ("198.51.100.0/24", "198.51.100.7"), 6: ("2001:db8:100::/48", "2001:db8:100::7")}
FLOWS = range(20000, 20040)  # source ports
# A neighbour is asked again 15 to 45 s after its last answer, and three times.
SILENCE = 60


class Ecmp(Topology):
    def __init__(self, run, gateway_binary, hnvctl):
        super().__init__(run, gateway_binary, hnvctl)
        self.hosts = {"host1": NvgreHost(run, self.switch, "host1", "10.250.0.11/24", vlan=50)}
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.routers = {}, {}, {}
        for name, (number, vsid, vlan) in TENANTS.items():
            tenant = self.tenants[name] = Tenant(name, number, [
                Subnet("web", vsid + 1, "10.0.1.0/24", prefix6="fd10:0:0:1::/64")])
            vm = self.vms[name] = Vm(run, f"{name}-vm", tenant, tenant.subnets["web"], "10.0.1.11",
                                     "00:15:5d:01:00:11", ca6="fd10:0:0:1::11")
            self.centre.add(vm, self.hosts["host1"])
            for router, (last, _) in ROUTERS.items():
                server = self.routers[name, router] = Server(
                    run, self.switch, f"{name}-{router}", f"{name} {router}", f"192.168.50.{last}/24", "192.168.50.1",
                    vlan, f"02:00:00:00:50:{last}", loopback=[f"{FAR[4][1]}/32"],
                    address6=f"fd50::{last}/64", gateway6="fd50::1")
                server.space.dual_stack("lo", f"{FAR[6][1]}/128")
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[t[2] for t in TENANTS.values()])

    def resources(self):
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
            "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}}]
        for name, (_, vsid, vlan) in TENANTS.items():
            domain = f"/v1/routingDomains/{name}"
            out += [
                {"path": domain, "body": {}},
                {"path": f"{domain}/virtualSubnets/gateway", "body": {
                    "virtualSubnetId": vsid, "addressPrefixes": ["10.0.0.0/24", "fd10::/64"], "kind": "gateway",
                    "providerNetwork": "fabric"}},
                {"path": f"{domain}/virtualSubnets/web", "body": {
                    "virtualSubnetId": vsid + 1, "addressPrefixes": ["10.0.1.0/24", "fd10:0:0:1::/64"],
                    "providerNetwork": "fabric"}},
                *records(self.vms[name]),
                {"path": f"{domain}/networkConnections/datacentre", "body": {
                    "connectionType": "L3", "l3Configuration": {
                        "port": "wan0", "vlanId": vlan, "ipAddresses": ["192.168.50.1/24", "fd50::1/64"]}}}]
            for router, (last, metric) in ROUTERS.items():
                out += [{"path": f"{domain}/customerRoutes/{router}-v{version}", "body": {
                            "destinationPrefix": FAR[version][0], "nextHop": next_hop, "metric": metric}}
                        for version, next_hop in ((4, f"192.168.50.{last}"), (6, f"fd50::{last}"))]
        return out

    def silence(self, tenant, router):
        self.switch.ovs.vsctl("set", "port", f"{tenant}-{router}"[:15], "tag=999")

    def mend(self, tenant, router):
        self.switch.ovs.vsctl("set", "port", f"{tenant}-{router}"[:15], f"tag={TENANTS[tenant][2]}")

    def answer(self, tenant, version, port):
        """The router that a flow ends at; None: nobody answers."""
        said = ask(self.vms[tenant].space, FAR[version][1], "who", timeout=0.5, source_port=port)
        if said is None:
            return None
        owner, router = said.partition(":")[0].split()
        expect_equal(owner, tenant, "whose router answered")
        return router

    def ways(self, tenant, version):
        return {port: self.answer(tenant, version, port) for port in FLOWS}

    def route(self, tenant, version):
        rows = self.gateway.api.get(f"/v1/routingDomains/{tenant}/routes")["value"]
        return next(r for r in rows if r["destinationPrefix"] == FAR[version][0])


def build(run, arguments):
    made = Ecmp(run, arguments.gateway, arguments.hnvctl)
    made.gateway.start()
    api = made.gateway.api
    api.apply(made.resources())
    for name, tenant in made.tenants.items():
        base = f"/v1/routingDomains/{name}/virtualSubnets"
        macs = {s: api.get(f"{base}/{s}")["macAddress"] for s in ("gateway", "web")}
        tenant.gateway = GatewaySide(TENANTS[name][1], "10.250.0.1", macs["gateway"], macs)
    made.centre.publish()
    return made


def state_of(made, tenant, version, router):
    address = f"192.168.50.{ROUTERS[router][0]}" if version == 4 else f"fd50::{ROUTERS[router][0]}"
    rows = made.gateway.api.get(f"/v1/routingDomains/{tenant}/neighbors")["value"]
    return next(r["state"] for r in rows if r["ipAddress"] == address)


def reasons(made, tenant, version):
    """(best, reason) by router."""
    names = {last: name for name, (last, _) in ROUTERS.items()}
    found = {}
    for candidate in made.route(tenant, version)["candidates"]:
        last = int(candidate["nextHop"].replace("::", ".").rsplit(".", 1)[1])
        found[names[last]] = (candidate["best"], candidate["reason"])
    return found


def prove_sharing(checks, made):
    ways = {}
    for tenant in TENANTS:
        for version in FAR:
            with checks.check(f"{tenant}, IPv{version}: flows spread over the two routers of the lower metric") as note:
                wait_for_ping(made.vms[tenant].space, f"192.168.50.{ROUTERS['r1'][0]}", 15)
                wait_for(lambda t=tenant, v=version: None not in made.ways(t, v).values(), 20, "an answer to each flow")
                seen = ways[tenant, version] = made.ways(tenant, version)
                shares = {r: list(seen.values()).count(r) for r in ROUTERS}
                note.text = str(shares)
                expect(min(shares["r1"], shares["r2"]) >= 8, f"lopsided: {shares}")
                expect_equal(shares["r3"], 0, "flows of the dearer one")
            with checks.check(f"{tenant}, IPv{version}: each flow stays where it is"):
                expect_equal(made.ways(tenant, version), ways[tenant, version], "ways")
    return ways


def prove_failure(checks, made, before):
    tenant = "contoso"
    made.silence(tenant, "r1")
    for version in FAR:
        with checks.check(f"IPv{version}: a router that falls silent loses its flows, and only those move"):
            wait_for(lambda v=version: state_of(made, tenant, v, "r1") == "failed", SILENCE, "r1 to be given up")
            moved = {port: "r2" for port in FLOWS}
            expect_equal(made.ways(tenant, version), moved, "ways")
        with checks.check(f"IPv{version}: /routes says why"):
            seen = reasons(made, tenant, version)
            expect_equal({r: best for r, (best, _) in seen.items()}, {"r1": False, "r2": True, "r3": False}, "best")
            expect("does not answer" in seen["r1"][1], seen["r1"][1])
            expect("do not work" in seen["r2"][1], seen["r2"][1])
    made.silence(tenant, "r2")
    for version in FAR:
        with checks.check(f"IPv{version}: when both are silent the dearer route serves"):
            wait_for(lambda v=version: state_of(made, tenant, v, "r2") == "failed", SILENCE, "r2 to be given up")
            expect_equal(made.ways(tenant, version), {port: "r3" for port in FLOWS}, "ways")
            seen = reasons(made, tenant, version)
            expect_equal({r: best for r, (best, _) in seen.items()}, {"r1": False, "r2": False, "r3": True}, "best")
            expect("in working order" in seen["r3"][1], seen["r3"][1])
    with checks.check("the other tenant, with the same addresses, noticed nothing"):
        for version in FAR:
            expect_equal(made.ways("fabrikam", version), before["fabrikam", version], "ways")
    made.mend(tenant, "r2")
    made.mend(tenant, "r1")
    for version in FAR:
        with checks.check(f"IPv{version}: when they answer again each has the flows that it had"):
            wait_for(lambda v=version: made.ways(tenant, v) == before[tenant, v], 30, "the ways of before")
            expect("shares the load" in made.route(tenant, version)["candidates"][0]["reason"], "the reason")


def prove_nothing_left(checks, made):
    with checks.check("when nobody is left packets are refused, and the best route stays"):
        for router in ROUTERS:
            made.silence("contoso", router)
        wait_for(lambda: all(state_of(made, "contoso", 4, r) == "failed" for r in ROUTERS), SILENCE, "all to be given up")
        refused = made.gateway.drops().get("next_hop_failed", 0)
        expect_equal(made.answer("contoso", 4, FLOWS[0]), None, "an answer")
        wait_for(lambda: made.gateway.drops().get("next_hop_failed", 0) > refused, 3, "a drop for next_hop_failed")
        expect_equal({r: best for r, (best, _) in reasons(made, "contoso", 4).items()},
                     {"r1": True, "r2": True, "r3": False}, "best")
    with checks.check("and one that comes back serves alone"):
        made.mend("contoso", "r3")
        wait_for(lambda: set(made.ways("contoso", 4).values()) == {"r3"}, 30, "r3")


def prove(checks, made):
    before = prove_sharing(checks, made)
    prove_failure(checks, made, before)
    prove_nothing_left(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
