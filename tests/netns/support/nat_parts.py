# SPDX-License-Identifier: Apache-2.0
"""What NAT needs beside a tenant's network: an internet, and pages that VMs publish."""

import os

from .server import Server, http_get
from .wait import wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


class Internet(Server):
    """Behind the router 203.0.113.254: a server with two addresses. What it answers says by whom it was asked.

    It has a route to the gateway's public addresses, and none to any tenant's.
    """
    vlan = 300
    gateway, router = "203.0.113.1", "203.0.113.254"
    address, other_address = "192.0.2.80", "192.0.2.81"

    def __init__(self, run, switch, public_prefix="198.51.100.0/24"):
        super().__init__(run, switch, "internet", "the internet", f"{self.router}/24", None, self.vlan,
                         "02:00:00:00:03:fe", loopback=[f"{self.address}/32", f"{self.other_address}/32"],
                         iperf_port=5300)
        self.address = Internet.address
        self.space.ip(f"route add {public_prefix} via {self.gateway}")
        self.processes.append(self.space.spawn(
            "internet-mirror", "/usr/bin/python3", f"{HERE}/mirror.py", self.address, self.other_address))


def publish_page(vm, text):
    """A VM's own page on port 80."""
    process = vm.space.spawn(f"{vm.name}-page", "/usr/bin/python3", f"{HERE}/tenant_server.py", text)
    wait_for(lambda: text in http_get(vm.space, "127.0.0.1"), 10, f"{vm.name}: its own page")
    return process
