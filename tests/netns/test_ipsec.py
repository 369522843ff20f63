#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""IPsec: the lab's two tenants and a site of each, both unmodified strongSwans, with the same networks behind one address.

The topology of the lab is drawn in support/lab_topology.py. There is added, beyond the internet's router:

     gateway 203.0.113.1 ── internet 203.0.113.254, 192.0.2.90 ══ edge ─┬─ 10.99.1.2 contoso-site   10.200.0.1
                                                                        └─ 10.99.2.2 fabrikam-site  10.200.0.1

The edge is a NAT for UDP (support/udp_nat.py): both sites are seen at 192.0.2.90, and told apart by their identities.
Each site's network is 10.200.0.0/24, and each tenant's is 10.0.0.0/16.
"""

import os
import shutil
import signal
import sys

from support.checks import expect, expect_equal, topology
from support.gateway import ledger_balanced
from support.lab_topology import TENANTS, Lab
from support.run import veth
from support.site import Authority, Site
from support.udp_nat import UdpNat
from support.wait import wait_for

NAT, SITE = "192.0.2.90", "10.200.0.1"
PSK = {name: f"{name}-swordfish" for name in TENANTS}


def identity(tenant):
    return f"site.{tenant}.example"


def read(file):
    with open(file, encoding="ascii") as text:
        return text.read()


def path(tenant):
    return f"/v1/routingDomains/{tenant}/networkConnections/branch"


class Branches(Lab):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        tree = os.path.dirname(os.path.dirname(os.path.abspath(arguments.gateway)))
        plugins = run.path("plugins", "x")[:-2]
        for file in os.listdir("/usr/lib/ipsec/plugins"):
            shutil.copy(f"/usr/lib/ipsec/plugins/{file}", plugins)
        shutil.copy(f"{tree}/vpn/charon/libstrongswan-hnv-gateway.so", plugins)
        self.gateway.config["ipsec"] = {"plugins": plugins}
        self.vip = self.internet.gateway
        self.edge = run.namespace("edge")
        self.edge.ip(f"addr add {self.vip}/32 dev lo")
        self.internet.space.ip(f"addr add {NAT}/32 dev lo")
        self.sites = {}
        for number, tenant in enumerate(TENANTS, 1):
            space = run.namespace(f"{tenant}-site")
            veth(self.edge, f"to-{tenant}", space, "eth0")
            self.edge.ip(f"addr add 10.99.{number}.1/24 dev to-{tenant}")
            space.ip(f"addr add 10.99.{number}.2/24 dev eth0", f"route add default via 10.99.{number}.1",
                     f"addr add {SITE}/32 dev lo")
            self.sites[tenant] = Site(run, space, f"{tenant}-site")
        self.nat = UdpNat(self.edge, self.internet.space, self.vip, NAT)
        self.start_gateway()
        self.configure()

    def tunnel(self, tenant, **more):
        return {"connectionType": "IPSec", "outboundKiloBitsPerSecond": 0, "inboundKiloBitsPerSecond": 0,
                "ipSecConfiguration": {"sourceIPAddress": self.vip, "initiate": "never", "remoteIdentity": identity(tenant),
                                       "sharedSecret": PSK[tenant], **more},
                "routes": [{"destinationPrefix": "10.200.0.0/24"}]}

    def site_connection(self, tenant, name="branch", psk=None, claims=None):
        number = list(TENANTS).index(tenant) + 1
        claims = claims or identity(tenant)
        self.sites[tenant].connection(name, f"10.99.{number}.2", self.vip, local_id=claims, remote_id=self.vip,
                                      local_ts="10.200.0.0/24", remote_ts="10.0.0.0/16", psk=psk or PSK[tenant],
                                      owners=[claims])

    def status(self, tenant):
        return self.gateway.api.get(path(tenant))["status"]

    def wait_state(self, tenant, state, timeout=15):
        return wait_for(lambda: self.status(tenant)["connectionState"] == state and self.status(tenant), timeout,
                        f"{tenant}: {state}", tell=lambda: self.status(tenant))

    def routes(self, tenant):
        return [r for r in self.gateway.api.get(f"/v1/routingDomains/{tenant}/routes")["value"]
                if r["destinationPrefix"] == "10.200.0.0/24"]

    def charon(self):
        """The process that the gateway's launcher started, by the gateway's log."""
        line = [line for line in self.gateway.log(1 << 20).splitlines() if "charon runs as process" in line][-1]
        return int(line.rsplit(" ", 1)[1])

    def ping(self, space, source, target, count=3):
        done = space("ping", "-n", "-c", count, "-i", 0.05, "-W", 1, "-I", source, target, check=False)
        return next((int(w.split()[0]) for w in done.stdout.split(",") if "received" in w), 0)

    def dump(self):
        print(self.gateway.dump(), file=sys.stderr)
        for name, site in self.sites.items():
            print(f"---- {name}'s site\n{site.log()}", file=sys.stderr)


def build(run, arguments):
    return Branches(run, arguments)


def prove_before(checks, lab):
    api = lab.gateway.api
    with checks.check("without a tunnel there is no charon, and the gateway says why"):
        expect("no tunnel" in api.get("/v1/system")["ipsec"], api.get("/v1/system")["ipsec"])
    with checks.check("two tenants' tunnels from one address of ours are taken; secrets are never shown"):
        for tenant in TENANTS:
            answer = api.put(path(tenant), lab.tunnel(tenant))
            expect_equal(answer["ipSecConfiguration"]["sharedSecretSet"], True, "sharedSecretSet")
            expect(PSK[tenant] not in str(answer) + str(api.get(path(tenant))), "a secret in an answer")
    with checks.check("a tunnel whose site has not begun says so, and has no route") as note:
        wait_for(lambda: api.get("/v1/system")["ipsec"] == "up", 15, "charon up")
        note.text = wait_for(lambda: "begun" in lab.status("contoso")["unreachabilityReason"]
                             and lab.status("contoso")["unreachabilityReason"], 5, "a reason",
                             tell=lambda: lab.status("contoso"))
        expect_equal(lab.routes("contoso"), [], "routes")


def prove_up(checks, lab):
    for tenant in TENANTS:
        lab.site_connection(tenant)
        with checks.check(f"{tenant}: its site comes up from behind the NAT"):
            expect(lab.sites[tenant].initiate("branch"), "the site's charon could not initiate")
            status = lab.wait_state(tenant, "Connected")
            expect_equal(status["unreachabilityReason"], "", "reason")
            expect_equal(sorted(sa["direction"] for sa in status["childSas"]), ["inbound", "outbound"], "SAs")
            expect_equal({sa["encapsulation"] for sa in status["childSas"]}, {"udp"}, "encapsulation")
            expect_equal(status["ikeSas"][0]["remoteIdentity"], identity(tenant), "who it is")
            expect(status["ike"]["remoteAddress"] == NAT, status["ike"])
    with checks.check("the routes are there while the tunnels are up, and lead into them"):
        for tenant in TENANTS:
            found = wait_for(lambda tenant=tenant: lab.routes(tenant), 5, "a route")
            expect("branch" in str(found), found)
    with checks.check("hnvctl lists and shows them"):
        text = lab.gateway.ctl("vpn", "list").stdout
        expect(text.count("Connected") == 2 and identity("fabrikam") in text, text)
        expect("10.200" not in lab.gateway.ctl("vpn", "show", "contoso", "branch").stderr, "an error")


def prove_traffic(checks, lab):
    with checks.check("VM and site reach each other both ways, in each tenant by its own tunnel") as note:
        told = []
        for tenant in TENANTS:
            other = next(name for name in TENANTS if name != tenant)
            before = lab.status(other)["statistics"]
            vm, site = lab.vm(tenant, "web1"), lab.sites[tenant].space
            wait_for(lambda vm=vm: lab.ping(vm.space, vm.ca, SITE, 1), 5, f"{tenant}: a first answer", tell=lab.gateway.drops)
            expect_equal(lab.ping(vm.space, vm.ca, SITE, 20), 20, f"{tenant}: answers of the site")
            expect_equal(lab.ping(site, SITE, vm.ca, 20), 20, f"{tenant}: answers of web1")
            expect_equal(lab.status(other)["statistics"], before, f"{other}'s counters")
            counted = lab.status(tenant)["statistics"]
            told.append(f"{tenant} {counted['inboundPackets']} in, {counted['outboundPackets']} out")
            expect(counted["inboundPackets"] >= 41 and counted["outboundPackets"] >= 41, counted)
        note.text = "; ".join(told)
    with checks.check("what the gateway counts is what the site has counted"):
        own = lab.status("contoso")["childSas"]
        site = next(iter(lab.sites["contoso"].children("branch").values()))
        for direction, theirs in (("inbound", "out"), ("outbound", "in")):
            ours = next(sa for sa in own if sa["direction"] == direction)
            expect_equal((ours["packets"], ours["bytes"]),
                         (int(site[f"packets-{theirs}"]), int(site[f"bytes-{theirs}"])), direction)


def prove_rebinding(checks, lab):
    site = lab.sites["contoso"].space
    vm = lab.vm("contoso", "web1")
    with checks.check("the NAT forgets: as soon as the site speaks from its new port, it is answered there") as note:
        before = lab.nat.ports()
        lab.nat.rebind()
        wait_for(lambda: lab.ping(site, SITE, vm.ca, 1), 10, "an answer at the new port", tell=lambda: lab.status("contoso"))
        expect_equal(lab.ping(vm.space, vm.ca, SITE, 10), 10, "answers of the site")
        expect(lab.nat.ports().isdisjoint(before), "the NAT kept its ports")
        note.text = f"{sorted(before)} to {sorted(lab.nat.ports())}"


def prove_rekey_under_traffic(checks, lab):
    """Lossless at our end: what the gateway sent is what it should have, and nothing was dropped."""
    site = lab.sites["contoso"].space
    vm = lab.vm("contoso", "web1")
    with checks.check("five rekeys under traffic lose nothing at our end") as note:
        before = lab.status("contoso")["statistics"]
        flow = vm.space.spawn("rekey-ping", "ping", "-n", "-i", "0.01", "-c", "500", "-W", "1", SITE)
        for _ in range(5):
            old = {sa["spi"] for sa in lab.status("contoso")["childSas"] if sa["direction"] == "outbound"}
            lab.gateway.ctl("vpn", "rekey", "contoso", "branch")
            wait_for(lambda old=old: {sa["spi"] for sa in lab.status("contoso")["childSas"]
                                      if sa["direction"] == "outbound"} - old, 5, "a new outbound SA")
        wait_for(lambda: not flow.alive(), 30, "the end of the flow")
        after = lab.status("contoso")["statistics"]
        line = next(line for line in flow.output().splitlines() if "transmitted" in line)
        sent, got = (int(line.split(", ")[i].split()[0]) for i in (0, 1))
        out = after["outboundPackets"] - before["outboundPackets"]
        expect_equal(out, sent, "packets that left through the tunnel")
        expect_equal(after["txTotalPacketsDropped"], before["txTotalPacketsDropped"], "dropped on the way out")
        expect_equal(after["rxTotalPacketsDropped"], before["rxTotalPacketsDropped"], "dropped on the way in")
        expect_equal(got, after["inboundPackets"] - before["inboundPackets"], "what came in reached the VM")
        note.text = f"{sent} sent and encrypted, {got} answers came and arrived; the site lost {sent - got}"
        expect(lab.ping(site, SITE, vm.ca, 3) == 3, "the site's own")


def prove_secrets(checks, lab):
    """Fabrikam's site knows its own secret, and tries to be contoso's."""
    site = lab.sites["fabrikam"]
    site.forget("branch")
    lab.wait_state("fabrikam", "Disconnected")
    with checks.check("fabrikam's secret under contoso's name opens nothing"):
        before = lab.status("contoso")
        lab.site_connection("fabrikam", "thief", claims=identity("contoso"))
        expect(not site.initiate("thief"), "it came up")
        site.forget("thief")
        expect_equal([sa["spi"] for sa in lab.status("contoso")["childSas"]], [sa["spi"] for sa in before["childSas"]],
                     "contoso's SAs")
        expect_equal(lab.status("fabrikam")["connectionState"], "Disconnected", "fabrikam's own")
    with checks.check("a wrong secret and an unknown name open nothing"):
        for name, more in (("wrong", {"psk": "another-swordfish"}), ("nobody", {"claims": "nobody.example"})):
            lab.site_connection("fabrikam", name, **more)
            expect(not site.initiate(name), f"{name} came up")
            site.forget(name)
    with checks.check("with its own name it is up again"):
        lab.site_connection("fabrikam")
        expect(site.initiate("branch"), "it did not")
        lab.wait_state("fabrikam", "Connected")


def prove_actions(checks, lab):
    with checks.check("rekey gives new SAs, and the tunnel stays up") as note:
        before = {sa["spi"] for sa in lab.status("contoso")["childSas"]}
        lab.gateway.ctl("vpn", "rekey", "contoso", "branch")
        wait_for(lambda: {s["spi"] for s in lab.status("contoso")["childSas"] if s["direction"] == "outbound"}.isdisjoint(before),
                 10, "a new outbound SA", tell=lambda: lab.status("contoso"))
        expect_equal(lab.status("contoso")["connectionState"], "Connected", "state")
        note.text = f"{lab.status('contoso')['ike']['rekeys']} rekeys"
    with checks.check("disconnect ends it, its route goes, and the site may begin again"):
        lab.gateway.ctl("vpn", "disconnect", "contoso", "branch")
        lab.wait_state("contoso", "Disconnected")
        wait_for(lambda: not lab.routes("contoso"), 5, "no route")
        expect(lab.routes("fabrikam"), "fabrikam's route")
        expect(lab.sites["contoso"].initiate("branch"), "the site could not begin")
        lab.wait_state("contoso", "Connected")
    with checks.check("connect is refused where only the site can begin"):
        done = lab.gateway.ctl("vpn", "connect", "contoso", "branch", check=False)
        expect(done.returncode != 0 and "the site has to begin" in done.stderr, done.stderr)
    with checks.check("a disabled tunnel is down and says why; enabled, it comes back"):
        lab.gateway.api.put(path("contoso"), {**lab.tunnel("contoso"), "adminStatus": "Disabled"})
        status = lab.wait_state("contoso", "Disconnected")
        expect("Disabled" in status["unreachabilityReason"], status)
        lab.gateway.api.put(path("contoso"), lab.tunnel("contoso"))
        wait_for(lambda: lab.sites["contoso"].initiate("branch"), 20, "the site up")
        lab.wait_state("contoso", "Connected")


def prove_crash(checks, lab):
    with checks.check("kill -9 of charon: another one is started, and no packet of what is up is lost") as note:
        before = lab.charon()
        flow = lab.vm("contoso", "web1").space.spawn("crash-ping", "ping", "-n", "-i", "0.01", "-c", "300", "-W", "1", SITE)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: lab.charon() != before, 10, "another charon")
        wait_for(lambda: lab.gateway.api.get("/v1/system")["ipsec"] == "up", 15, "charon ready")
        wait_for(lambda: not flow.alive(), 30, "the end of the flow")
        note.text = next(line for line in flow.output().splitlines() if "transmitted" in line)
        expect(" 0% packet loss" in note.text, note.text)
        for tenant in TENANTS:
            expect_equal(lab.status(tenant)["connectionState"], "Connected", tenant)
        expect_equal(lab.gateway.api.get("/v1/system")["ipsecRestarts"], 1, "restarts")
    with checks.check("the sites begin anew and are up with the new one"):
        for tenant in TENANTS:
            lab.sites[tenant].forget("branch")
            lab.site_connection(tenant)
            expect(lab.sites[tenant].initiate("branch"), tenant)
            lab.wait_state(tenant, "Connected")


def prove_certificates(checks, lab):
    """Contoso's tunnel by certificate; fabrikam's authority vouches for fabrikam only."""
    site = lab.sites["contoso"]
    authorities = {tenant: Authority(lab.run, tenant) for tenant in TENANTS}
    key, certificate = authorities["contoso"].sign("gw.contoso.example")
    names = {"local_id": identity("contoso"), "remote_id": "gw.contoso.example", "local_ts": "10.200.0.0/24",
             "remote_ts": "10.0.0.0/16", "ca": authorities["contoso"].certificate}
    with checks.check("a tunnel turns from a shared secret to certificates; the private key is never shown"):
        site.forget("branch")
        texts = {"certificate": read(certificate), "privateKey": read(key), "revocation": "off",
                 "certificateAuthorities": [read(authorities["contoso"].certificate)]}
        body = lab.tunnel("contoso", authenticationMethod="Certificate", certificates=texts,
                          localIdentity="gw.contoso.example")
        del body["ipSecConfiguration"]["sharedSecret"]
        answer = lab.gateway.api.put(path("contoso"), body)
        expect_equal(answer["ipSecConfiguration"]["certificates"]["privateKeySet"], True, "privateKeySet")
        expect("PRIVATE" not in str(answer), "a private key in an answer")
    with checks.check("a certificate of fabrikam's authority with contoso's name opens nothing"):
        key, certificate = authorities["fabrikam"].sign(identity("contoso"))
        site.connection("thief", "10.99.1.2", lab.vip, certificate=certificate, key=key, **names)
        expect(not site.initiate("thief"), "it came up")
        site.forget("thief")
    with checks.check("contoso's own does, and the VM reaches its site"):
        key, certificate = authorities["contoso"].sign(identity("contoso"))
        site.connection("branch", "10.99.1.2", lab.vip, certificate=certificate, key=key, **names)
        expect(site.initiate("branch"), "it did not come up")
        lab.wait_state("contoso", "Connected")
        vm = lab.vm("contoso", "web1")
        expect_equal(lab.ping(vm.space, vm.ca, SITE, 5), 5, "answers")


def prove_end(checks, lab):
    with checks.check("what is removed leaves nothing behind"):
        lab.gateway.api.delete(path("contoso"))
        expect_equal(lab.routes("contoso"), [], "routes")
        expect_equal(lab.gateway.api.get("/v1/system")["tunnels"], 1, "tunnels")
        expect_equal(lab.status("fabrikam")["connectionState"], "Connected", "fabrikam's")
    with checks.check("no secret is in a log or in an answer of the store's readers"):
        text = lab.gateway.log(1 << 24)
        for secret in PSK.values():
            expect(secret not in text, f"{secret} is in the log")
        expect_equal(os.stat(lab.gateway.config["store"]).st_mode & 0o777, 0o600, "the store's mode")
    with checks.check("the ledger holds") as note:
        note.text = wait_for(lambda: ledger_balanced(lab.gateway), 5, "the ledger")
    with checks.check("the gateway ends at once, and its charon with it"):
        charon = lab.charon()
        expect_equal(lab.gateway.stop(), 0, "exit status")
        expect(not os.path.exists(f"/proc/{charon}"), "charon is left")
    lab.nat.close()


def prove(checks, lab):
    for part in (prove_before, prove_up, prove_traffic, prove_rebinding, prove_rekey_under_traffic, prove_secrets,
                 prove_actions, prove_crash, prove_certificates, prove_end):
        part(checks, lab)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
