# SPDX-License-Identifier: Apache-2.0
"""A tenant's physical server behind a VLAN: a page that names the tenant, a UDP echo, iperf3."""

import http.client
import ipaddress
import os
import socket

from .wait import wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    def __init__(self, run, switch, name, tenant, address, gateway, vlan, mac, loopback=(), mtu=1500,
                 iperf_port=5201, address6=None, gateway6=None):
        self.space = run.namespace(name)
        self.name, self.tenant, self.mac, self.iperf_port = name, tenant, mac, iperf_port
        self.address = str(ipaddress.ip_interface(address).ip)
        switch.connect(name[:15], self.space, "eth0", vlan=vlan, mtu=mtu)
        self.space.ip(f"link set eth0 address {mac}", f"addr add {address} dev eth0",
                      *(f"addr add {extra} dev lo" for extra in loopback),
                      *([f"route add default via {gateway}"] if gateway else []))
        if address6:
            self.space.dual_stack("eth0", address6)
            self.space.ip(f"route add ::/0 via {gateway6}")
        self.processes = [
            self.space.spawn(f"{name}-page", "/usr/bin/python3", f"{HERE}/tenant_server.py", tenant),
            self.space.spawn(f"{name}-iperf3", "iperf3", "--server", "--port", iperf_port)]
        wait_for(lambda: tenant in http_get(self.space, "127.0.0.1"), 10, f"{name}: its own page")
        wait_for(lambda: connects(self.space, "127.0.0.1", iperf_port), 10, f"{name}: iperf3 listening")

    @property
    def interface(self):
        return "eth0"


def connects(space, address, port, timeout=2):
    with space.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect((address, port))
        return True


def http_get(space, address, port=80, timeout=3):
    """The page at address as seen from a namespace."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    connection.sock = space.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(timeout)
        connection.sock.connect((address, port))
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
