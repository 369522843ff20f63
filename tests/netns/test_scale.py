#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Thousands of routing domains through the API: loaded, changed while they forward, restarted with.

The topology is in support/many_tenants.py. Bounds are generous, since this is no benchmark; the
figures stand in the lines. HNV_SCALE=full adds a million lookup records and a domain with a
million customer routes, which takes some minutes.
"""

import json
import os
import random
import statistics
import sys
import threading
import time

from support.checks import expect, expect_equal, topology
from support.many_tenants import AT_ONCE, PATIENCE, Field, Tenants, host, vm_mac
from support.wait import wait_for

FULL = os.environ.get("HNV_SCALE") == "full"
DOMAINS = 4000
MILLION = 1_000_000
CHANGES = 101


def build(run, arguments):
    return Field(run, arguments.gateway, arguments.hnvctl)


def memory(field):
    """Resident, in MiB."""
    pid = field.gateway.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def forwards(field, tenants, domains, tries=20):
    """A frame of each of these domains comes to the host of its VM b, and none to another."""
    field.drain()
    wanted = {domain: host(2 * domain + 12) for domain in domains}
    missing = set(wanted)
    for number in range(tries):  # the first ones wait for the neighbours of a gateway that has just started
        for domain in sorted(missing):
            to = tenants.route(domain % tenants.routes).replace(".0/24", ".9")
            field.sock.send(field.from_vm(tenants, domain, to, number))
        for to, who, _ in field.came(0.5, lambda: not missing):
            expect_equal(to, wanted[who], f"where tenant {who}'s frame went")
            missing.discard(who)
        if not missing:
            return
    raise AssertionError(f"nothing of tenants {sorted(missing)[:10]} came ({len(missing)} in all)")


def first_packet_after_start(field, tenants, domain, destination="10.64.0.9"):
    """Starts the gateway; seconds until a frame passed it, and until it was ready."""
    arrived = []
    stop = threading.Event()

    def knock():
        number = 0
        while not stop.is_set():
            number += 1
            try:
                field.sock.send(field.from_vm(tenants, domain, destination, number))
            except OSError:  # the other end has no reader yet
                pass
            for _ in field.came(0.005):
                arrived.append(time.monotonic())
                return
    field.drain()
    thread = threading.Thread(target=knock)
    begin = time.monotonic()
    thread.start()
    try:
        field.start()
        ready = time.monotonic() - begin
        thread.join(PATIENCE)
    finally:
        stop.set()
        thread.join()
    expect(arrived, "nothing passed the gateway after its start")
    return arrived[0] - begin, ready


def change_times(field, tenants):
    """Milliseconds of each kind of change, all others loaded, at the median and the worst."""
    chance = random.Random(7)
    kinds = {"record moved": [], "route changed": [], "domain made": [], "subnet added": []}
    for number in range(CHANGES):
        domain = chance.randrange(tenants.domains)
        path = tenants.domain(domain)
        record = tenants.record_of(domain, 0, 12, at=host(number))
        kinds["record moved"].append(field.call(
            "PUT", f"{path}/virtualSubnets/subnet-0/lookupRecords/10.0.0.12", json.dumps(record).encode()))
        kinds["route changed"].append(field.call(
            "PUT", f"{path}/customerRoutes/route-{number % tenants.routes}", json.dumps(
                {"destinationPrefix": tenants.route(number % tenants.routes), "nextHop": "10.0.0.12",
                 "metric": 2 + number}).encode()))
        kinds["domain made"].append(field.call("PUT", f"/v1/routingDomains/new-{number}", b"{}"))
        kinds["subnet added"].append(field.call(
            "PUT", f"/v1/routingDomains/new-{number}/virtualSubnets/only", json.dumps(
                {"addressPrefixes": ["10.0.0.0/24"], "kind": "vm", "router": "gateway",
                 "providerNetwork": "fabric"}).encode()))
        # It is live when the answer is there: the very next frame takes the new way.
        field.drain()
        if number % 10 == 0:
            field.sock.send(field.from_vm(tenants, domain, "10.64.0.9", number))
            to = next(field.came(5), (None,))[0]
            expect_equal(to, host(number), f"the host to which tenant {domain}'s frame went after the move")
        field.call("PUT", f"{path}/virtualSubnets/subnet-0/lookupRecords/10.0.0.12",
                   json.dumps(tenants.record_of(domain, 0, 12)).encode())
    for number in range(CHANGES):
        field.call("DELETE", f"/v1/routingDomains/new-{number}/virtualSubnets/only")
        field.call("DELETE", f"/v1/routingDomains/new-{number}")
    return {kind: (1000 * statistics.median(times), 1000 * max(times)) for kind, times in kinds.items()}


def prove_tenants(checks, field, tenants):
    what = f"{tenants.domains} domains, {tenants.domains * tenants.subnets} subnets"
    chosen = random.Random(3).sample(range(tenants.domains), min(64, tenants.domains))
    with checks.check(f"{what}: loaded through the API") as note:
        fresh(field)
        bodies = list(tenants.bodies())
        before = memory(field)
        took = field.load(bodies)
        note.text = f"{took:.1f} s, {memory(field) - before:.0f} MiB more"
    with checks.check(f"{what}: every tenant's frames find their own way"):
        forwards(field, tenants, chosen)
    with checks.check(f"{what}: changes are live when answered") as note:
        times = change_times(field, tenants)
        note.text = ", ".join(f"{kind} {median:.1f} ms (worst {worst:.0f})" for kind, (median, worst) in times.items())
    with checks.check(f"{what}: restarted with them") as note:
        field.gateway.kill()
        first, ready = first_packet_after_start(field, tenants, chosen[0])
        note.text = f"first packet after {first:.2f} s, ready after {ready:.2f} s, {memory(field):.0f} MiB"
        forwards(field, tenants, chosen)


class Others:
    """How long others wait meanwhile: a question to the control thread, and a change of another domain."""

    def __init__(self, field):
        self.field, self.asked, self.changed, self.failed = field, [], [], None
        field.call("PUT", "/v1/routingDomains/other", b"{}")
        field.call("PUT", "/v1/routingDomains/other/virtualSubnets/only", json.dumps(
            {"addressPrefixes": ["10.0.0.0/24"], "kind": "vm", "router": "gateway",
             "providerNetwork": "fabric"}).encode())
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, args=w) for w in ((self._ask, self.asked), (self._change, self.changed))]

    def _ask(self, _):
        return self.field.call("GET", "/v1/routingDomains/other/neighbors")

    def _change(self, number):
        record = {"customerAddress": "10.0.0.12", "macAddress": vm_mac(number % 60000, 12), "type": "Static",
                  "providerAddress": host(number)}
        return self.field.call("PUT", "/v1/routingDomains/other/virtualSubnets/only/lookupRecords/10.0.0.12",
                               json.dumps(record).encode())

    def _loop(self, what, times):
        number = 0
        while not self._stop.wait(0.01):
            number += 1
            try:
                times.append(what(number))
            except Exception as error:  # noqa: BLE001 - told at the end
                self.failed = error
                return

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_for(lambda: self.asked and self.changed, 10, "the others' first answers", interval=0.001)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __str__(self):
        expect(self.failed is None, f"another client saw {self.failed}")
        return "; ".join(f"{name} {1000 * statistics.median(times):.1f} ms at the median, {1000 * max(times):.0f} at worst"
                         for name, times in (("questions", self.asked), ("changes", self.changed)))


def chunks(things, size=AT_ONCE):
    things = list(things)
    return [json.dumps(things[i:i + size]).encode() for i in range(0, len(things), size)]


def fresh(field):
    field.gateway.kill()
    for name in ("", "-wal", "-shm"):
        path = field.gateway.config["store"] + name
        if os.path.exists(path):
            os.unlink(path)
    field.start()
    field.provider_network()
    field.learn_mac()


def prove_million_records(checks, field):
    tenants = Tenants(1, routes=1)
    path = tenants.domain(0)
    records = f"{path}/virtualSubnets/subnet-0/lookupRecords"

    def address(number):
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    with checks.check(f"{MILLION} lookup records, {AT_ONCE} a call") as note:
        fresh(field)
        field.call("PUT", path, json.dumps({"limits": {"lookupRecords": 2 * MILLION}}).encode())
        field.call("PUT", f"{path}/virtualSubnets/subnet-0", json.dumps(
            {"virtualSubnetId": tenants.vsid(0), "addressPrefixes": ["10.0.0.0/8"], "kind": "vm", "router": "gateway",
             "providerNetwork": "fabric"}).encode())
        bodies = chunks({"op": "put", "record": {"customerAddress": address(n), "providerAddress": host(n),
                                                 "macAddress": vm_mac(n >> 8, n & 255), "type": "Static"}}
                        for n in range(11, 11 + MILLION))
        before = memory(field)
        with Others(field) as others:
            took = field.load(bodies, "PATCH", records)
        note.text = f"{took:.1f} s, {memory(field) - before:.0f} MiB more; {others}"
    with checks.check(f"{MILLION} lookup records: one moved") as note:
        times = [field.call("PUT", f"{records}/{address(n)}", json.dumps(
            {"customerAddress": address(n), "providerAddress": host(n + 1), "macAddress": vm_mac(n >> 8, n & 255),
             "type": "Static"}).encode()) for n in random.Random(1).sample(range(20, MILLION), 51)]
        note.text = f"{1000 * statistics.median(times):.1f} ms at the median, {1000 * max(times):.0f} at worst"
    with checks.check(f"{MILLION} lookup records: a structural change") as note:
        with Others(field) as others:
            took = field.call("PUT", f"{path}/virtualSubnets/more", json.dumps(
                {"addressPrefixes": ["11.0.0.0/24"], "kind": "vm", "router": "gateway",
                 "providerNetwork": "fabric"}).encode())
        note.text = f"{1000 * took:.0f} ms; {others}"
    with checks.check(f"{MILLION} lookup records: restart") as note:
        field.gateway.kill()
        first, ready = first_packet_after_start(field, tenants, 0, "10.0.0.12")
        note.text = f"first packet after {first:.2f} s, ready after {ready:.2f} s, {memory(field):.0f} MiB"


def prove_million_routes(checks, field):
    tenants = Tenants(1, routes=MILLION, limits={"routes": 2 * MILLION})
    path = tenants.domain(0)
    with checks.check(f"{MILLION} customer routes, {AT_ONCE} a call") as note:
        fresh(field)
        bodies = list(tenants.bodies())
        before = memory(field)
        with Others(field) as others:
            took = field.load(bodies, clients=1)
        note.text = f"{took:.1f} s, {memory(field) - before:.0f} MiB more; {others}"
    with checks.check(f"{MILLION} customer routes: one changed") as note:
        times = [field.call("PUT", f"{path}/customerRoutes/route-{n}", json.dumps(
            {"destinationPrefix": tenants.route(n), "nextHop": "10.0.0.11", "metric": 1}).encode())
            for n in random.Random(1).sample(range(20, MILLION), 51)]
        note.text = f"{1000 * statistics.median(times):.1f} ms at the median, {1000 * max(times):.0f} at worst"
    for what, method, body in (
            ("a subnet added", "PUT", {"addressPrefixes": ["11.0.0.0/24"], "kind": "vm", "router": "gateway",
                                       "providerNetwork": "fabric"}),
            ("a subnet removed", "DELETE", None)):
        with checks.check(f"{MILLION} customer routes: {what}") as note:
            with Others(field) as others:
                took = field.call(method, f"{path}/virtualSubnets/more", body and json.dumps(body).encode())
            note.text = f"{1000 * took:.0f} ms; {others}"
    with checks.check(f"{MILLION} customer routes: restart") as note:
        field.gateway.kill()
        first, ready = first_packet_after_start(field, tenants, 0)
        note.text = f"first packet after {first:.2f} s, ready after {ready:.2f} s, {memory(field):.0f} MiB"
    with checks.check(f"{MILLION} customer routes: {AT_ONCE} removed") as note:
        gone = [{"method": "DELETE", "path": f"{path}/customerRoutes/route-{n}"} for n in range(AT_ONCE)]
        with Others(field) as others:
            took = field.call("POST", "/v1/batch", json.dumps(gone).encode())
        note.text = f"{1000 * took:.0f} ms; {others}"


def prove(checks, field):
    field.start()
    prove_tenants(checks, field, Tenants(DOMAINS))
    if FULL:
        prove_tenants(checks, field, Tenants(DOMAINS, subnets=4, routes=8))
        prove_million_records(checks, field)
        prove_million_routes(checks, field)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
