#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""NAT under two workers: what the lab shows, and what happens when it is changed, used up, moved, ended and killed.

The topology is the lab's, drawn in support/lab_topology.py. With two workers most flows come to one that does not
own them, and are handed over.
"""

import ipaddress
import json
import socket
import sys

from support.checks import expect, expect_equal, topology
from support.gateway import worker_lcores
from support.lab_proofs import warm_up
from support.lab_topology import POOL, TENANTS, Lab
from support.nat_proofs import mirrored, prove_nat
from support.nvgre_host import NvgreHost
from support.server import http_get
from support.topology import record
from support.wait import wait_for

SCARCE = "198.51.100.40"
OTHER = "198.51.100.41"
PORTS = 64


def build(run, arguments):
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.gateway.config["lcores"]["workers"] = worker_lcores(2)
    lab.nat_log = f"{lab.gateway.folder}/nat.log"
    lab.gateway.config["nat"] = {"log": {"file": lab.nat_log}}
    lab.start_gateway()
    lab.configure()
    return lab


def sessions(lab, tenant, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return lab.gateway.api.get(f"/v1/routingDomains/{tenant}/natSessions?{query}")["value"]


def udp(space):
    return space.socket(socket.AF_INET, socket.SOCK_DGRAM)


def log_lines(lab):
    with open(lab.nat_log, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def prove_lists(checks, lab):
    space = lab.vm("contoso", "web1").space
    with udp(space) as sock:
        seen = mirrored(space, sock=sock)
        public, _, port = seen.partition(":")
        inside_port = sock.getsockname()[1]
        with checks.check("a session is listed with all three of its ends") as note:
            found = sessions(lab, "contoso", inside="10.0.1.11", insidePort=inside_port)
            expect_equal(len(found), 1, "sessions of that endpoint")
            expect_equal((found[0]["outsideAddress"], found[0]["outsidePort"]), (public, int(port)), "its public end")
            expect_equal(sessions(lab, "fabrikam", inside="10.0.1.11", insidePort=inside_port), [], "the other tenant's")
            note.text = seen
        with checks.check("an operator ends it, and nothing comes in any more"):
            ended = lab.gateway.api.delete(f"/v1/routingDomains/contoso/natSessions?insidePort={inside_port}")
            expect_equal(ended, {"ended": 1}, "what DELETE says")
            expect_equal(sessions(lab, "contoso", insidePort=inside_port), [], "sessions")
    with checks.check("hnvctl lists sessions and pools"):
        with udp(space) as sock:
            mirrored(space, sock=sock)
            text = lab.gateway.ctl("nat", "sessions", "contoso").stdout
            expect("10.0.1.11" in text and "192.0.2.80" in text, text)
        expect("shared" in lab.gateway.ctl("nat", "pools").stdout, "no pool in hnvctl nat pools")


def prove_log(checks, lab):
    with checks.check("the log says whose a public port is (RFC 6888 REQ-14: a record a block)") as note:
        for tenant in TENANTS:
            space = lab.vm(tenant, "web2").space
            public, _, port = mirrored(space).partition(":")

            def owners(public=public, port=int(port)):
                return [line for line in log_lines(lab) if line["event"] == "portBlockAllocated"
                        and line["publicAddress"] == public and line["firstPort"] <= port <= line["lastPort"]]
            wait_for(owners, 5, f"a record of {public}:{port}")
            expect_equal({(line["routingDomain"], line["insideAddress"]) for line in owners()},
                         {(tenant, "10.0.1.12")}, f"owners of {public}:{port}")
        note.text = f"{len(log_lines(lab))} records"


def prove_moves(checks, lab):
    """A VM moves to a host that the gateway has never heard of; its mapping stays."""
    lab.hosts["host3"] = NvgreHost(lab.run, lab.switch, "host3", "10.250.0.13/24", vlan=50, mtu=1700)
    lab.centre.hosts.append(lab.hosts["host3"])
    vm = lab.vm("contoso", "web2")
    with checks.check("a VM that moves keeps its mapping, and its TCP connection") as note:
        with udp(vm.space) as sock, Connection(lab, vm.space, 7001) as connection:
            before = mirrored(vm.space, sock=sock)
            old = vm.host
            lab.centre.prepare_move(vm, lab.hosts["host3"])
            lab.gateway.api.put(**record(vm, lab.hosts["host3"]))
            lab.centre.cut_over(vm, lab.hosts["host3"])
            lab.centre.finish_move(vm, old)
            wait_for(lambda: mirrored(vm.space, sock=sock), 10, "an answer at the new host")
            expect_equal(mirrored(vm.space, sock=sock), before, "the mapping after the move")
            connection.speaks()
            note.text = before


class Connection:
    """A TCP connection from a VM to the internet, both ends in our hands."""

    def __init__(self, lab, space, port):
        self.listener = lab.internet.space.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("", port))
        self.listener.listen()
        self.inside = space.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.inside.settimeout(10)
        self.inside.connect((lab.internet.address, port))
        self.outside, self.peer = self.listener.accept()
        self.outside.settimeout(10)

    def speaks(self):
        self.inside.sendall(b"out")
        expect_equal(self.outside.recv(100), b"out", "what the internet heard")
        self.outside.sendall(b"back")
        expect_equal(self.inside.recv(100), b"back", "what the VM heard")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self.inside, self.outside, self.listener):
            sock.close()


def prove_restart(checks, lab):
    vm = lab.vm("fabrikam", "web1")
    with udp(vm.space) as sock, Connection(lab, vm.space, 7002) as connection:
        before = mirrored(vm.space, sock=sock)
        connection.speaks()
        with checks.check("a planned restart keeps sessions") as note:
            expect_equal(lab.gateway.stop(), 0, "exit status")
            lab.gateway.start()
            expect("sessions go on" in lab.gateway.log(), "the log does not say that sessions go on")
            wait_for(lambda: mirrored(vm.space, sock=sock), 10, "an answer after the restart")
            expect_equal(mirrored(vm.space, sock=sock), before, "the mapping after the restart")
            connection.speaks()
            note.text = before
    with checks.check("after a kill they are gone, and that is said"):
        lab.gateway.kill()
        lab.gateway.start()
        expect("no sessions were kept" in lab.gateway.log(), lab.gateway.log(3000))
        wait_for(lambda: mirrored(vm.space), 10, "a new mapping")


def prove_scarcity(checks, lab):
    """One public address with 64 ports for both tenants."""
    api = lab.gateway.api
    api.put("/v1/publicIPAddresses/scarce", {
        "externalNetwork": "internet", "publicIPAddresses": [f"{SCARCE}/32"],
        "portRange": {"first": 20000, "last": 20000 + PORTS - 1}})
    for tenant in TENANTS:
        body = api.get(f"/v1/routingDomains/{tenant}/nat")
        body = {k: body[k] for k in ("excludePrefixes", "staticMappings", "outboundRules")}
        body["outboundRules"] = [{"name": "vms", "sourcePrefixes": ["10.0.0.0/16"], "pool": "scarce"}]
        api.put(f"/v1/routingDomains/{tenant}/nat", body)
    ours, theirs = lab.vm("fabrikam", "web1").space, lab.vm("contoso", "web1").space
    kept = udp(ours)
    with checks.check("one tenant asks for 2,000 flows: it gets what there is, the rest is refused and told so") as note:
        mine = mirrored(ours, sock=kept)
        expect_equal(mine.partition(":")[0], SCARCE, "the other tenant's public address")
        flows, refused = [], 0
        for _ in range(2000):
            sock = udp(theirs)
            sock.settimeout(0.5)
            sock.connect((lab.internet.address, 3478))
            try:
                sock.send(b"same")
                flows.append((sock, sock.recv(100).decode()))
            except OSError as error:
                refused += isinstance(error, ConnectionError) or error.errno == 113  # EHOSTUNREACH: ICMP 3/13
                sock.close()
                if refused > 200:
                    break
        expect(16 <= len(flows) <= PORTS, f"{len(flows)} flows of {PORTS} ports")
        expect(refused > 100, f"only {refused} were told")
        expect_equal(len({seen for _, seen in flows}), len(flows), "different public ports")
        note.text = f"{len(flows)} flows, {refused} refusals heard"
    with checks.check("the other tenant's flow goes on, and it can open more"):
        expect_equal(mirrored(ours, sock=kept), mine, "its mapping")
        more = [udp(ours) for _ in range(3)]
        for sock in more:
            expect(mirrored(ours, sock=sock), "a new flow of the other tenant has no answer")
            sock.close()
    with checks.check("no session was thrown out for another"):
        for sock, seen in flows:
            sock.send(b"same")
            expect_equal(sock.recv(100).decode(), seen, "an old flow's mapping")
            sock.close()
    with checks.check("the operator is told which domain and pool") as note:
        statistics = api.get("/v1/routingDomains/contoso/nat")["status"]
        lines = [line for line in lab.gateway.log().splitlines() if "NAT refuses new flows" in line]
        expect(lines and "contoso" in lines[0] and "scarce" in lines[0], f"{lines}")
        expect(len(lines) <= 2, f"{len(lines)} lines in a few seconds")
        note.text = json.dumps(statistics)
    kept.close()


def prove_changes(checks, lab):
    """What still fits the rules stays, the rest ends."""
    api = lab.gateway.api
    space = lab.vm("contoso", "web1").space
    path = "/v1/routingDomains/contoso/nat"
    body = {k: v for k, v in api.get(path).items() if k in ("excludePrefixes", "staticMappings")}
    rules = [{"name": "vms", "sourcePrefixes": ["10.0.0.0/16"], "pool": "shared"}]
    api.put(path, {**body, "outboundRules": rules})
    with udp(space) as sock:
        with checks.check("a change of what a session does not depend on leaves it alone"):
            before = mirrored(space, sock=sock)
            expect(ipaddress.ip_address(before.partition(":")[0]) in ipaddress.ip_network(POOL), before)
            api.put(path, {**body, "outboundRules": rules, "timeouts": {"udp": 600}})
            expect_equal(mirrored(space, sock=sock), before, "the mapping")
        with checks.check("a session whose address is taken away ends, and the flow gets another"):
            api.put("/v1/publicIPAddresses/other", {"externalNetwork": "internet", "publicIPAddresses": [f"{OTHER}/32"]})
            api.put(path, {**body, "outboundRules": [{**rules[0], "pool": "other"}]})
            expect_equal(mirrored(space, sock=sock).partition(":")[0], OTHER, "the new public address")
    with checks.check("NAT that is removed leaves nothing behind"):
        api.delete(path)
        with udp(space) as sock:
            expect_equal(mirrored(space, sock=sock), None, "an answer without NAT")
        expect_equal(api.error_of("GET", path).status, 404, "status of GET")
        api.put(path, {**body, "outboundRules": rules})
        expect("server of the internet" in http_get(space, lab.internet.address), "no page after it is back")


def prove(checks, lab):
    with checks.check("neighbours are found"):
        warm_up(lab)
    prove_nat(lab, checks)
    prove_lists(checks, lab)
    prove_log(checks, lab)
    prove_moves(checks, lab)
    prove_restart(checks, lab)
    prove_scarcity(checks, lab)
    prove_changes(checks, lab)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
