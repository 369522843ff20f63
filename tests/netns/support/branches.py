# SPDX-License-Identifier: Apache-2.0
"""A site of each tenant's over IPsec: unmodified strongSwans with the same network, behind one address.

     gateway 203.0.113.1 ── internet 203.0.113.254, 192.0.2.90 ══ edge ─┬─ 10.99.1.2 contoso-branch   10.200.0.1
                                                                        └─ 10.99.2.2 fabrikam-branch  10.200.0.1

The edge is a NAT for UDP (udp_nat.py): both sites are seen at 192.0.2.90, and told apart by their identities.
Each site's network is 10.200.0.0/24, and each tenant's is 10.0.0.0/16. A site has a page that names its tenant.
"""

import os
import shutil

from .nat_parts import publish_page
from .run import veth
from .site import Site
from .udp_nat import UdpNat

NAT, SITE, NETWORK, TENANT_NETWORK = "192.0.2.90", "10.200.0.1", "10.200.0.0/24", "10.0.0.0/16"


def identity(tenant):
    return f"site.{tenant}.example"


def secret(tenant):
    return f"{tenant}-swordfish"


def path(tenant, name="branch"):
    return f"/v1/routingDomains/{tenant}/networkConnections/{name}"


def ipsec_section(run, gateway_binary):
    """What a bootstrap file needs for a plugin that is not installed: charon's plugins with the tree's own."""
    tree = os.path.dirname(os.path.dirname(os.path.abspath(gateway_binary)))
    folder = os.path.dirname(run.path("plugins", "x"))
    for file in os.listdir("/usr/lib/ipsec/plugins"):
        shutil.copy(f"/usr/lib/ipsec/plugins/{file}", folder)
    shutil.copy(f"{tree}/vpn/charon/libstrongswan-hnv-gateway.so", folder)
    return {"plugins": folder}


class Branches:
    selector = NETWORK  # what a site says is behind it

    def __init__(self, run, internet, tenants):
        self.vip = internet.gateway
        self.route, self.more = {"destinationPrefix": NETWORK}, {}  # of every branch's connection
        self.edge = run.namespace("edge")
        self.edge.ip(f"addr add {self.vip}/32 dev lo")
        internet.space.ip(f"addr add {NAT}/32 dev lo")
        self.sites, self.numbers = {}, {tenant: number for number, tenant in enumerate(tenants, 1)}
        for tenant, number in self.numbers.items():
            name = f"{tenant}-branch"
            space = run.namespace(name)
            veth(self.edge, f"to-{number}", space, "eth0")
            self.edge.ip(f"addr add 10.99.{number}.1/24 dev to-{number}")
            space.ip(f"addr add 10.99.{number}.2/24 dev eth0", f"route add default via 10.99.{number}.1",
                     f"addr add {SITE}/32 dev lo")
            self.sites[tenant] = Site(run, space, name)
            publish_page(self.sites[tenant], f"{tenant}'s branch")
        self.nat = UdpNat(self.edge, internet.space, self.vip, NAT)
        self._internet = internet

    def also(self, vip):
        """Another VPN address of the gateway's, which the sites reach likewise."""
        self.edge.ip(f"addr add {vip}/32 dev lo")
        UdpNat(self.edge, self._internet.space, vip, NAT)

    def address(self, tenant):
        """The site's own, behind the NAT."""
        return f"10.99.{self.numbers[tenant]}.2"

    def connection(self, tenant, **more):
        """The network connection as the API takes it; `more` is of its ipSecConfiguration. The rates are the defaults."""
        return {"connectionType": "IPSec",
                "ipSecConfiguration": {"sourceIPAddress": self.vip, "initiate": "never",
                                       "remoteIdentity": identity(tenant), "sharedSecret": secret(tenant), **self.more, **more},
                "routes": [self.route]}

    def load(self, tenant, name="branch", psk=None, claims=None, vip=None, **more):
        """The site's side of it: what its charon will claim and offer."""
        claims = claims or identity(tenant)
        if not more.get("certificate"):
            more |= {"psk": psk or secret(tenant), "owners": [claims]}
        more = {"remote_id": vip or self.vip, "dpd": "5s", "local_ts": self.selector, "remote_ts": TENANT_NETWORK, **more}
        self.sites[tenant].connection(name, self.address(tenant), vip or self.vip, local_id=claims, **more)

    def connect(self):
        """Every site begins."""
        for tenant in self.sites:
            self.connect_one(tenant)

    def connect_one(self, tenant):
        self.load(tenant)
        if not self.sites[tenant].initiate("branch"):
            raise AssertionError(f"{tenant}'s site does not come up: {self.sites[tenant].log()}")
