#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""IPsec: nothing that another tenant's site, or a stranger, claims or offers opens a tenant's tunnel.

The topology of the lab is drawn in support/lab_topology.py, that of the sites in support/branches.py. Fabrikam's site
does what it likes with what it has: its own secret, its own authority's certificates, contoso's name.
"""

import sys

from support.branches import identity, path, secret
from support.checks import expect, expect_equal, topology
from support.ipsec_proofs import status
from support.lab_topology import TENANTS, Lab
from support.site import Authority
from support.traffic import ping
from support.wait import wait_for

VIP2 = "203.0.113.2"
GATEWAY_NAME = {tenant: f"gw.{tenant}.example" for tenant in TENANTS}


def read(file):
    with open(file, encoding="ascii") as text:
        return text.read()


class Attacked(Lab):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.add_branches()
        self.sites = self.branches.sites
        self.start_gateway()
        resources = self.resources()
        internet = next(r for r in resources if r["path"] == "/v1/externalNetworks/internet")
        internet["body"]["ipAddresses"].append(f"{VIP2}/24")
        self.gateway.api.apply(resources)
        self.tell_hosts()
        self.branches.also(VIP2)
        self.authorities = {tenant: Authority(run, tenant) for tenant in TENANTS}

    def connected(self, tenant):
        return status(self, tenant)["connectionState"] == "Connected"

    def up(self, tenant, name="branch"):
        expect(self.sites[tenant].initiate(name), f"{tenant}: {self.sites[tenant].log(2500)}")
        wait_for(lambda: self.connected(tenant), 10, f"{tenant} up", tell=lambda: status(self, tenant))

    def down(self, tenant, name="branch"):
        self.sites[tenant].forget(name)
        wait_for(lambda: not status(self, tenant)["childSas"], 10, f"{tenant} down", tell=lambda: status(self, tenant))

    def put(self, tenant, **more):
        return self.gateway.api.put(path(tenant), self.branches.connection(tenant, **more))

    def certificate_body(self, tenant, **more):
        """Turns the tenant's tunnel to certificates: ours and its site's are of the tenant's authority."""
        authority = self.authorities[tenant]
        key, certificate = authority.sign(GATEWAY_NAME[tenant])
        body = self.branches.connection(
            tenant, authenticationMethod="Certificate", localIdentity=GATEWAY_NAME[tenant],
            certificates={"certificate": read(certificate), "privateKey": read(key), "revocation": "off",
                          "certificateAuthorities": [read(authority.certificate)], **more})
        del body["ipSecConfiguration"]["sharedSecret"]
        return body

    def dump(self):
        print(self.gateway.dump(), file=sys.stderr)
        for name, site in self.sites.items():
            print(f"---- {name}'s site\n{site.log()}", file=sys.stderr)


def build(run, arguments):
    return Attacked(run, arguments)


def refused(lab, name, by="fabrikam", said="AUTHENTICATION_FAILED", victim="contoso", **what):
    """A site tries, the gateway refuses it, and the victim's tunnel stays without an SA."""
    site = lab.sites[by]
    lab.branches.load(by, name, **what)
    position = site.log_size()
    came_up = site.initiate(name)
    saw = site.logged_since(position, said)
    site.forget(name)
    expect(not came_up, "it came up")
    expect(saw, f"the site was not told {said}: {site.log(1500)}")
    expect_equal((status(lab, victim)["childSas"], lab.connected(victim)), ([], False), f"{victim}'s SAs")


def prove_twins(checks, lab):
    for tenant in TENANTS:
        with checks.check(f"{tenant}'s own secret opens {tenant}'s tunnel"):
            lab.branches.load(tenant)
            lab.up(tenant)
            lab.down(tenant)


def prove_secrets(checks, lab):
    """facts of charon: it looks for secrets by the identity that is claimed, whatever the connection."""
    contoso = identity("contoso")
    with checks.check("fabrikam's secret under contoso's name opens nothing"):
        refused(lab, "thief1", psk=secret("fabrikam"), claims=contoso)
    with checks.check("nor at another VPN address, where fabrikam's tunnel is"):
        lab.put("fabrikam", sourceIPAddress=VIP2)
        refused(lab, "thief2", psk=secret("fabrikam"), claims=contoso, vip=VIP2)
    with checks.check("nor under the gateway's own name"):
        refused(lab, "thief3", psk=secret("fabrikam"), claims=lab.branches.vip)
    with checks.check("nor where fabrikam has taken its own name and contoso's for the gateway's"):
        lab.put("fabrikam", localIdentity=contoso)
        refused(lab, "thief4", psk=secret("fabrikam"), claims=contoso, remote_id=contoso)
    with checks.check("while contoso's secret does, all that in place"):
        lab.branches.load("contoso")
        lab.up("contoso")
        lab.down("contoso")
    with checks.check("contoso's name for a tunnel of fabrikam's is refused, at another address, too; the ways out are said"):
        for more in ({}, {"sourceIPAddress": VIP2}, {"localIdentity": "other.example"}):
            body = lab.branches.connection("fabrikam", **more)
            body["ipSecConfiguration"]["remoteIdentity"] = contoso
            answer = lab.gateway.api.error_of("PUT", path("fabrikam"), body)
            expect_equal(answer.status, 409, f"{more}: status")
            expect("certificate" in answer.text and "identity" in answer.text, answer.text)
            expect("contoso" not in answer.text.replace(contoso, ""), f"it says whose it is: {answer.text}")
    lab.put("fabrikam", sourceIPAddress=lab.branches.vip)


def prove_wrong(checks, lab):
    with checks.check("a wrong secret is refused"):
        refused(lab, "wrong", by="contoso", psk="another-swordfish")
    with checks.check("a name that nobody has is refused"):
        refused(lab, "nobody", by="contoso", claims="nobody.example")
    with checks.check("IKE algorithms that the tunnel does not want are refused"):
        refused(lab, "weak-ike", by="contoso", said="NO_PROPOSAL_CHOSEN", ike="aes128-sha1-modp1024")
    with checks.check("ESP algorithms that the tunnel does not want are refused"):
        refused(lab, "weak-esp", by="contoso", said="NO_PROPOSAL_CHOSEN", esp="3des-sha1")
    with checks.check("with the legacy profile both are taken, and packets pass"):
        lab.put("contoso", profile="rras-legacy")
        lab.branches.load("contoso", ike="aes256-sha1-modp1024", esp="aes256-sha1")
        lab.up("contoso")
        vm = lab.vm("contoso", "web1")
        wait_for(lambda: ping(vm.space, "10.200.0.1", 1) == 1, 5, "a first answer")
        expect_equal(ping(vm.space, "10.200.0.1", 5), 5, "answers")
        expect_equal({sa["algorithms"] for sa in status(lab, "contoso")["childSas"]}, {"AES-CBC-256/HMAC-SHA1-96"}, "algorithms")
        lab.down("contoso")
    lab.put("contoso", profile="modern")


def site_certificate(lab, tenant, of, name):
    """Key and certificate with the tenant's name, signed by the authority of `of`."""
    key, certificate = lab.authorities[of].sign(name)
    return {"key": key, "certificate": certificate, "remote_id": GATEWAY_NAME[tenant],
            "ca": lab.authorities[tenant].certificate}


def prove_certificates(checks, lab):
    with checks.check("tunnels turn from secrets to certificates; private keys are never shown"):
        for tenant in TENANTS:
            answer = lab.gateway.api.put(path(tenant), lab.certificate_body(tenant))
            expect_equal(answer["ipSecConfiguration"]["certificates"]["privateKeySet"], True, "privateKeySet")
            expect("PRIVATE" not in str(answer) + str(lab.gateway.api.get(path(tenant))), "a private key in an answer")
    contoso = identity("contoso")
    with checks.check("a certificate of fabrikam's authority with contoso's name is refused"):
        refused(lab, "thief5", claims=contoso, **site_certificate(lab, "contoso", "fabrikam", contoso))
    with checks.check("nor does one with fabrikam's own name open contoso's"):
        refused(lab, "thief6", **site_certificate(lab, "contoso", "fabrikam", identity("fabrikam")))
    with checks.check("a secret in the certificate's place is refused, the one of before and fabrikam's"):
        for name, psk in (("thief7", secret("contoso")), ("thief8", secret("fabrikam"))):
            refused(lab, name, claims=contoso, psk=psk, remote_id=GATEWAY_NAME["contoso"])
    with checks.check("a certificate of contoso's own authority with another name is refused"):
        refused(lab, "thief9", by="contoso", claims="another.example",
                **site_certificate(lab, "contoso", "contoso", "another.example"))
    for tenant in TENANTS:
        with checks.check(f"{tenant}'s own certificate opens {tenant}'s tunnel, and the VM reaches its site"):
            lab.branches.load(tenant, **site_certificate(lab, tenant, tenant, identity(tenant)))
            lab.up(tenant)
            vm = lab.vm(tenant, "web1")
            wait_for(lambda vm=vm: ping(vm.space, "10.200.0.1", 1) == 1, 5, "a first answer")
            expect_equal(ping(vm.space, "10.200.0.1", 5), 5, "answers")
            lab.down(tenant)


def prove_revocation(checks, lab):
    authority = lab.authorities["contoso"]
    own = site_certificate(lab, "contoso", "contoso", identity("contoso"))
    with checks.check("where a revocation list is demanded and there is none, nobody comes in"):
        lab.gateway.api.put(path("contoso"), lab.certificate_body("contoso", revocation="strict"))
        refused(lab, "unlisted", by="contoso", **own)
    with checks.check("with a list that does not name it, it does"):
        lab.gateway.api.put(path("contoso"), lab.certificate_body(
            "contoso", revocation="strict", revocationLists=[read(authority.revoke())]))
        lab.branches.load("contoso", **own)
        lab.up("contoso")
        lab.down("contoso")
    with checks.check("once it is revoked it is refused, strict or not"):
        listed = [read(authority.revoke(own["certificate"]))]
        for revocation in ("strict", "ifUri", "off"):
            lab.gateway.api.put(path("contoso"), lab.certificate_body("contoso", revocation=revocation, revocationLists=listed))
            refused(lab, f"revoked-{revocation}", by="contoso", **own)
    with checks.check("another certificate of the same name is not"):
        lab.branches.load("contoso", **site_certificate(lab, "contoso", "contoso", identity("contoso")))
        lab.up("contoso")


def prove(checks, lab):
    for part in (prove_twins, prove_secrets, prove_wrong, prove_certificates, prove_revocation):
        part(checks, lab)
    with checks.check("no secret and no key is in the log"):
        text = lab.gateway.log(1 << 24)
        for word in (*(secret(tenant) for tenant in TENANTS), "PRIVATE KEY"):
            expect(word not in text, f"{word} is in the log")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
