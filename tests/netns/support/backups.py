# SPDX-License-Identifier: Apache-2.0
"""A second tunnel to each tenant's site, and a third one that is broken on purpose.

     edge ─┬─ 10.99.1.2  contoso-branch ── 10.98.0.0/30 ── contoso-backup  10.99.11.2 ─┬─ edge
           └─ 10.99.2.2 fabrikam-branch ── 10.98.0.0/30 ── fabrikam-backup 10.99.12.2 ─┘

The gateway has the site's network (support/branches.py) through `branch` with metric 10, and with metric 20 through `backup`:
the site's other router, a strongSwan of its own. The site answers through its first tunnel while that has a TUN; when its
charon is gone the kernel has only the route to the other router left.

`broken` would lead to 10.202.0.0/24. contoso's site has another secret than the gateway, fabrikam's other algorithms for ESP.
"""

from .bgp_sites import BEHIND
from .branches import SITE, TENANT_NETWORK, path, secret
from .run import veth
from .site import Site

OUTAGE = 6  # seconds that a site may be silent
ROUTER, BROKEN_NETWORK = "10.200.0.251", "10.202.0.0/24"
# What the gateway has, what the site has, the word for it in the API, what the doctor must say.
BROKEN = {
    "contoso": ({}, {"psk": "contoso-sailfish"}, "sharedSecret", ["Give the same sharedSecret"]),
    "fabrikam": ({"quickMode": {"cipherTransformationConstant": "AES256", "authenticationTransformationConstant": "SHA256128"}},
                 {"esp": "3des-sha1"}, "espProposals", ["AES256, SHA256128", "DES3, SHA196"]),
}


def identity(tenant, name):
    return f"{name}.{tenant}.example"


class Backups:
    """Before the gateway starts; connect() when the branches are."""

    def __init__(self, run, branches):
        self.branches = branches
        branches.route["metric"] = 10
        branches.more["networkOutageTimeSeconds"] = OUTAGE
        self.sites = {tenant: self._router(run, tenant, 10 + number) for tenant, number in branches.numbers.items()}

    def _router(self, run, tenant, number):
        name, edge, branch = f"{tenant}-backup", self.branches.edge, self.branches.sites[tenant].space
        space = run.namespace(name)
        space("sysctl", "-qw", "net.ipv4.ip_forward=1")
        veth(edge, f"to-{number}", space, "eth0")
        edge.ip(f"addr add 10.99.{number}.1/24 dev to-{number}")
        veth(branch, "other-router", space, "site")
        branch.ip("addr add 10.98.0.1/30 dev other-router", f"route add {TENANT_NETWORK} via 10.98.0.2 src {SITE}")
        space.ip(f"addr add {self._address(number)}/24 dev eth0", f"route add default via 10.99.{number}.1",
                 "addr add 10.98.0.2/30 dev site", f"addr add {ROUTER}/32 dev lo",
                 *(f"route add {address}/32 via 10.98.0.1" for address in (SITE, BEHIND)))
        return Site(run, space, name)

    @staticmethod
    def _address(number):
        return f"10.99.{number}.2"

    def _connection(self, tenant, name, prefix, metric, **more):
        configuration = {"sourceIPAddress": self.branches.vip, "initiate": "never", "remoteIdentity": identity(tenant, name),
                         "sharedSecret": secret(tenant), **more}
        return {"path": path(tenant, name), "body": {
            "connectionType": "IPSec", "ipSecConfiguration": configuration,
            "routes": [{"destinationPrefix": prefix, "metric": metric}]}}

    def resources(self, tenant):
        return [self._connection(tenant, "backup", self.branches.route["destinationPrefix"], 20, networkOutageTimeSeconds=OUTAGE),
                self._connection(tenant, "broken", BROKEN_NETWORK, 10, **BROKEN[tenant][0])]

    def connect(self):
        """The second tunnels come up, and the sites have tried the third ones in vain."""
        for tenant, site in self.sites.items():
            local, vip = self._address(10 + self.branches.numbers[tenant]), self.branches.vip
            for name, network, more in (("backup", self.branches.selector, {"dpd": "5s"}), ("broken", BROKEN_NETWORK, BROKEN[tenant][1])):
                claims = identity(tenant, name)
                site.connection(name, local, vip, local_id=claims, remote_id=vip, local_ts=network, remote_ts=TENANT_NETWORK,
                                **{"psk": secret(tenant), "owners": [claims], **more})
            if not site.initiate("backup"):
                raise AssertionError(f"{tenant}'s second tunnel does not come up: {site.log()}")
            if site.initiate("broken"):
                raise AssertionError(f"{tenant}'s broken tunnel came up")
            site.vici.ask("terminate", {"ike": "broken", "timeout": "2000"})
