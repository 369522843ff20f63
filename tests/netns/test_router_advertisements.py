#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""VMs that configure themselves by what the gateway advertises as their IPv6 router.

     host1 ── early   comes up before the gateway knows its subnet: hears of it
              late    comes up afterwards: asks
     host2 ── other   in the same subnet
     gateway: subnet "auto" fd10:0:0:3::/64 and 10.0.3.0/24, router: gateway, MTU 1400;
              server fd50::10 behind its L3 connection

     contoso's subnet advertises; fabrikam's, with the same addresses and MACs, does not.
     The kernels of the VMs make their addresses (EUI-64) and default routes; the hosts' policy and the
     lookup records know those addresses beforehand, as a controller that assigns MACs would.
"""

import ipaddress
import json
import sys

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.nvgre_host import Centre, GatewaySide, NvgreHost, Subnet, Tenant, Vm, link_local
from support.server import Server
from support.topology import Topology, records
from support.traffic import ping, wait_for_ping
from support.wait import wait_for

TENANTS = {"contoso": (1, 5000, 100), "fabrikam": (2, 6000, 200)}
PLACES = {"early": ("host1", 11), "late": ("host1", 12), "other": ("host2", 13)}
MTU = 1400
INTERVAL = 600


def own_address(mac):
    """What a kernel makes of the subnet's prefix and its MAC (RFC 4291, appendix A)."""
    return str(ipaddress.IPv6Address(link_local(mac).replace("fe80::", "fd10:0:0:3:")))


class AutoVm(Vm):
    """A VM that gives its interface no IPv6 address: its kernel makes them, once it is told to speak IPv6."""

    def plug(self, host, port):
        ca6, self.ca6 = self.ca6, None
        super().plug(host, port)
        self.ca6 = ca6

    def speak(self):
        here = f"net.ipv6.conf.{self.interface}"
        self.space("sysctl", "-qw", f"{here}.accept_ra=1", f"{here}.autoconf=1", f"{here}.addr_gen_mode=0",
                   f"{here}.disable_ipv6=0")

    def show(self, *what):
        return json.loads(self.space("ip", "-6", "-j", *what).stdout or "[]")

    def addresses(self):
        """Global addresses, each with its lifetimes."""
        links = self.show("addr", "show", "dev", self.interface, "scope", "global")
        return {a["local"]: a for link in links for a in link.get("addr_info", ()) if "local" in a}

    def default_routers(self):
        return [r.get("gateway") for r in self.show("route", "show", "default")]


class Auto(Topology):
    def __init__(self, run, gateway_binary, hnvctl):
        super().__init__(run, gateway_binary, hnvctl)
        self.hosts = {name: NvgreHost(run, self.switch, name, pa, vlan=50)
                      for name, pa in (("host1", "10.250.0.11/24"), ("host2", "10.250.0.12/24"))}
        self.centre = Centre(self.hosts.values())
        self.tenants, self.vms, self.servers = {}, {}, {}
        for name, (number, vsid, vlan) in TENANTS.items():
            subnet = Subnet("auto", vsid + 3, "10.0.3.0/24", router="gateway", prefix6="fd10:0:0:3::/64")
            tenant = self.tenants[name] = Tenant(name, number, [subnet])
            for vm_name, (host, last) in PLACES.items():
                mac = f"00:15:5d:03:00:{last}"
                vm = self.vms[name, vm_name] = AutoVm(run, f"{name}-{vm_name}", tenant, subnet, f"10.0.3.{last}", mac,
                                                      ca6=own_address(mac))
                self.centre.add(vm, self.hosts[host])
            self.servers[name] = Server(run, self.switch, f"{name}-server", name, "192.168.50.10/24", "192.168.50.1", vlan,
                                        "02:00:00:00:50:10", address6="fd50::10/64", gateway6="fd50::1")
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=50, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[t[2] for t in TENANTS.values()])

    def subnet(self, name, advertisements):
        _, vsid, _ = TENANTS[name]
        return {"path": f"/v1/routingDomains/{name}/virtualSubnets/auto", "body": {
            "virtualSubnetId": vsid + 3, "addressPrefixes": ["fd10:0:0:3::/64", "10.0.3.0/24"], "router": "gateway",
            "providerNetwork": "fabric", "mtu": MTU,
            **({"routerAdvertisements": advertisements} if advertisements is not None else {})}}

    def resources(self):
        out = [{"path": "/v1/providerNetworks/fabric", "body": {
            "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}}]
        for name, (_, _, vlan) in TENANTS.items():
            domain = f"/v1/routingDomains/{name}"
            out += [{"path": domain, "body": {}},
                    self.subnet(name, {"interval": INTERVAL} if name == "contoso" else None),
                    *(r for (tenant, _), vm in self.vms.items() if tenant == name for r in records(vm)),
                    {"path": f"{domain}/networkConnections/datacentre", "body": {
                        "connectionType": "L3", "l3Configuration": {
                            "port": "wan0", "vlanId": vlan, "ipAddresses": ["192.168.50.1/24", "fd50::1/64"]}}}]
        return out

    def advertise(self, advertisements):
        resource = self.subnet("contoso", advertisements)
        self.gateway.api.put(resource["path"], resource["body"])


def build(run, arguments):
    made = Auto(run, arguments.gateway, arguments.hnvctl)
    made.gateway.start()
    return made


def configure(made):
    api = made.gateway.api
    api.apply(made.resources())
    for name, tenant in made.tenants.items():
        mac = api.get(f"/v1/routingDomains/{name}/virtualSubnets/auto")["macAddress"]
        tenant.gateway = GatewaySide(TENANTS[name][1], "10.250.0.1", mac, {"auto": mac})
    made.centre.publish()


def configured(made, vm):
    router = link_local(vm.tenant.gateway.mac)
    return vm.ca6 in vm.addresses() and vm.default_routers() == [router]


def prove(checks, made):
    early, late, other = (made.vms["contoso", n] for n in ("early", "late", "other"))
    quiet = made.vms["fabrikam", "early"]
    foreign = Capture(quiet.space, quiet.interface, "fabrikam-early", "icmp6")
    for vm in (early, other, quiet):
        vm.speak()
    with checks.check("a VM that is there before its router hears of it, and configures itself"):
        configure(made)
        wait_for(lambda: configured(made, early), 40, "address and default route", tell=lambda: (
            early.addresses(), early.default_routers()))
        seen = early.addresses()[early.ca6]
        expect(seen["preferred_life_time"] <= 604800 and seen["preferred_life_time"] > 604000, f"lifetimes: {seen}")
        route = early.show("route", "show", "default")[0]
        expect_equal(route["protocol"], "ra", "whose default route")
        expect(0 < route.get("expires", 0) <= 3 * INTERVAL, f"its lifetime: {route}")
        expect_equal(early.space("sysctl", "-n", f"net.ipv6.conf.{early.interface}.mtu").stdout.strip(), str(MTU),
                     "the MTU that the kernel took")
    with checks.check("and reaches the gateway, a VM on the other host, and the physical server"):
        wait_for(lambda: configured(made, other), 40, "the other VM")
        for address in ("fd10:0:0:3::1", other.ca6, "fd50::10"):
            wait_for_ping(early.space, address, 15)
            expect_equal(ping(early.space, address, 5, marker="contoso"), 5, f"answers of {address}")
    with checks.check("a VM that comes later asks, and is answered alone") as note:
        capture = Capture(late.space, late.interface, "late", "icmp6")
        late.speak()
        wait_for(lambda: configured(made, late), 8, "address and default route")
        capture.stop()
        answers = capture.frames(f"icmpv6.type == 134 && ipv6.dst == {link_local(late.mac)}", "ipv6.src", "ipv6.hlim",
                                 "icmpv6.opt.prefix", "eth.dst")
        expect(answers, "no advertisement to the VM's own address")
        expect_equal(answers[0], [link_local(late.tenant.gateway.mac), "255", "fd10:0:0:3::", late.mac], "the answer")
        expect_equal(capture.frames("_ws.malformed || icmpv6.checksum.status == \"Bad\""), [], "faults")
        wait_for_ping(late.space, early.ca6, 15)
        note.text = f"{len(answers)} answers"
    with checks.check("what changes is told at once: a prefix that is not preferred any more"):
        made.advertise({"interval": INTERVAL, "preferredLifetime": 0})
        wait_for(lambda: all(vm.addresses()[vm.ca6].get("deprecated") for vm in (early, late, other)), 10,
                 "deprecated addresses")
        made.advertise({"interval": INTERVAL})
        wait_for(lambda: not any(vm.addresses()[vm.ca6].get("deprecated") for vm in (early, late, other)), 10,
                 "preferred addresses again")
    with checks.check("the end is said: nobody keeps the gateway as default router"):
        made.advertise(None)
        wait_for(lambda: not any(vm.default_routers() for vm in (early, late, other)), 10, "default routes to go")
        expect(all(vm.ca6 in vm.addresses() for vm in (early, late, other)), "an address is gone too")
    with checks.check("the other tenant, with the same addresses and MACs, heard nothing"):
        foreign.stop()
        expect(foreign.count("icmpv6.type == 133") > 0, "its VM did not even ask")
        expect_equal(foreign.count("icmpv6.type == 134"), 0, "advertisements")
        expect_equal((quiet.addresses(), quiet.default_routers()), ({}, []), "addresses and default routes")
        expect(made.gateway.drops().get("nd_not_ours", 0) > 0, "its solicitation was not even dropped")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
