# SPDX-License-Identifier: Apache-2.0
"""What every topology with a gateway has: the switch, the gateway, what it ends with and shows."""

import sys

from .gateway import Gateway, ledger_balanced
from .ovs import Switch


class Topology:
    def __init__(self, run, gateway_binary, hnvctl, tcp=None):
        self.run = run
        self.switch = Switch(run)
        self.gateway = Gateway(run, gateway_binary, hnvctl, tcp=tcp)
        self.hosts = {}

    def finish(self, checks):
        """What every topology ends with."""
        if self.gateway.alive():
            with checks.check("the ledger balances to the packet at the end") as note:
                note.text = ledger_balanced(self.gateway)

    def dump(self):
        """What explains a failure: counters, drops, logs, flows that packets took."""
        print(self.gateway.dump(), file=sys.stderr)
        for host in self.hosts.values():
            print(f"---- flows of {host.name} that packets took\n{host.dump()}", file=sys.stderr)
        print(f"---- switch\n{self.switch.dump()}", file=sys.stderr)


def record(vm, host=None):
    """A VM's lookup record as a resource: path and body."""
    return {"path": f"/v1/routingDomains/{vm.tenant.name}/virtualSubnets/{vm.subnet.name}/lookupRecords/{vm.ca}",
            "body": {"customerAddress": vm.ca, "providerAddress": (host or vm.host).pa,
                     "macAddress": vm.mac, "type": "Static"}}


def records(vm):
    """All of a VM's lookup records: of both families, and, where the gateway is the subnet's router,
    of its MAC, from whose link-local address the VM asks whether the gateway is still there.
    """
    out = [record(vm)]
    path, body = out[0]["path"].removesuffix(vm.ca), out[0]["body"]
    if vm.ca6:
        out.append({"path": path + vm.ca6, "body": {**body, "customerAddress": vm.ca6}})
        if vm.subnet.router == "gateway":
            out.append({"path": f"{path}l2-{vm.mac}", "body": {
                "providerAddress": vm.host.pa, "macAddress": vm.mac, "type": "L2Only"}})
    return out
