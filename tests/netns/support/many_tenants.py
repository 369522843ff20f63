# SPDX-License-Identifier: Apache-2.0
"""Thousands of routing domains, as a hoster's controller would load them, and frames of their VMs.

     gateway ── fab0 ────── eth0 ── stray (holds the hosts' PAs, answers ARP for them)

Every domain has the same addresses. In each virtual subnet lives VM a on an even host; VM b, in the
first one, is the router behind which the domain's customer routes lead.
"""

import concurrent.futures
import http.client
import json
import select
import socket
import struct
import sys
import time

from . import frames
from .api import Refused, Answer, _UnixConnection
from .gateway import Gateway, ledger_balanced
from .run import veth

OWN_PA = "10.250.0.1"
HOSTS = 64
FIRST_VSID = 5000
AT_ONCE = 10_000  # operations in a batch
PATIENCE = 120
_VM_PORT = 4000


def host(number):
    return f"10.250.1.{number % HOSTS + 1}"


def vm_mac(domain, number):
    return f"02:{number:02x}:00:00:{domain >> 8:02x}:{domain & 255:02x}"


class Tenants:
    """`domains` routing domains of `subnets` virtual subnets and `routes` customer routes each, two records a domain
    and one more for each further subnet."""

    def __init__(self, domains, subnets=1, routes=100, limits=None):
        self.domains, self.subnets, self.routes, self.limits = domains, subnets, routes, limits

    @staticmethod
    def domain(number):
        return f"/v1/routingDomains/tenant-{number}"

    def vsid(self, domain, subnet=0):
        return FIRST_VSID + domain * self.subnets + subnet

    def route(self, number):
        return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}/32" if self.routes > 4096 else \
            f"10.{64 + (number >> 8)}.{number & 255}.0/24"

    def record_of(self, domain, subnet, vm, at=None):
        return {"customerAddress": f"10.0.{subnet}.{vm}", "macAddress": vm_mac(domain, vm), "type": "Static",
                "providerAddress": at or host(2 * domain + vm)}

    def resources_of(self, domain):
        path = self.domain(domain)
        yield path, {"limits": self.limits} if self.limits else {}
        for subnet in range(self.subnets):
            here = f"{path}/virtualSubnets/subnet-{subnet}"
            yield here, {"virtualSubnetId": self.vsid(domain, subnet), "addressPrefixes": [f"10.0.{subnet}.0/24"],
                         "kind": "vm", "router": "gateway", "providerNetwork": "fabric"}
            for vm in (11, 12) if subnet == 0 else (11,):
                yield f"{here}/lookupRecords/10.0.{subnet}.{vm}", self.record_of(domain, subnet, vm)
        for number in range(self.routes):
            yield f"{path}/customerRoutes/route-{number}", {
                "destinationPrefix": self.route(number), "nextHop": "10.0.0.12", "metric": 1}

    def bodies(self):
        """The batches, as text: making it is not the gateway's time.

        A domain that fits lies in one of them, so that it does not matter which of two arrives first.
        """
        batch = []
        for domain in range(self.domains):
            resources = [{"method": "PUT", "path": path, "body": body} for path, body in self.resources_of(domain)]
            if len(batch) + len(resources) > AT_ONCE:
                if batch:
                    yield json.dumps(batch).encode()
                batch = []
            while len(resources) > AT_ONCE:
                yield json.dumps(resources[:AT_ONCE]).encode()
                resources = resources[AT_ONCE:]
            batch += resources
        if batch:
            yield json.dumps(batch).encode()


class Field:
    """The gateway with one port, and whoever is at its other end."""

    def __init__(self, run, gateway_binary, hnvctl):
        self.gateway = Gateway(run, gateway_binary, hnvctl)
        self.stray = run.namespace("stray")
        veth(self.gateway.space, "fab0", self.stray, "eth0", 1700)
        self.gateway.config["ports"].append({"name": "fabric0", "device": "net_af_packet0,iface=fab0", "mtu": 1700})
        self.stray.ip(*(f"addr add {host(n)}/16 dev eth0" for n in range(HOSTS)))
        self.port_mac = self.gateway.space.mac("fab0")
        self.stray_mac = self.stray.mac("eth0")
        self.sock = self.stray.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.sock.bind(("eth0", 0x0800))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        self.sock.setblocking(False)

    def start(self):
        self.gateway.start(timeout=PATIENCE)
        return self

    def provider_network(self):
        self.gateway.api.put("/v1/providerNetworks/fabric", {
            "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": [f"{OWN_PA}/16"]})

    def call(self, method, path, body=None):
        """One call; answers how long it took. The answer itself is not looked at further than its status."""
        connection = _UnixConnection(self.gateway.config["api"]["socket"], PATIENCE)
        begin = time.monotonic()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        took = time.monotonic() - begin
        if not 200 <= reply.status < 300:
            raise Refused(method, path, Answer(reply.status, reply.headers, text))
        return took

    def load(self, bodies, method="POST", path="/v1/batch", clients=2):
        """Sends these bodies through the API, and answers how long that took."""
        bodies = list(bodies)
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            for _ in pool.map(lambda body: self.call(method, path, body), bodies):
                pass
        return time.monotonic() - begin

    # -- frames

    def from_vm(self, tenants, domain, destination, number=0, subnet=0, at=None):
        """A frame from VM a: as its host sends it to the gateway."""
        inner = frames.ethernet(self.subnet_mac, vm_mac(domain, 11),
                                frames.ipv4(f"10.0.{subnet}.11", destination, 17,
                                            frames.udp(_VM_PORT, 9, struct.pack("!II", domain, number))))
        return frames.ethernet(self.port_mac, self.stray_mac,
                               frames.ipv4(at or host(2 * domain + 11), OWN_PA, 47,
                                           frames.nvgre(tenants.vsid(domain, subnet), inner)))

    def learn_mac(self):
        self.subnet_mac = self.gateway.api.get("/v1/system")["macAddress"]

    def came(self, timeout=0.0, enough=lambda: False):
        """(outer destination, domain, number) of each NVGRE frame that the gateway sent, as they come."""
        end = time.monotonic() + timeout
        while not enough():
            try:
                frame, address = self.sock.recvfrom(2048)
            except BlockingIOError:
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                    return
                continue
            if address[2] == socket.PACKET_OUTGOING or frame[12:14] != b"\x08\x00" or frame[23] != 47:
                continue
            payload = frame[14 + 20 + 8 + 14 + 20 + 8:]
            yield (socket.inet_ntoa(frame[30:34]), *struct.unpack("!II", payload[:8]))

    def dump(self):
        print(self.gateway.dump(), file=sys.stderr)

    def finish(self, checks):
        with checks.check("the ledger balances to the packet at the end") as note:
            note.text = ledger_balanced(self.gateway)

    def drain(self):
        for _ in self.came():
            pass
