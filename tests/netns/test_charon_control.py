#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The control half of IPsec: our supervised charon with the plugin, against an unmodified strongSwan.

      charon (its own namespace, made by the launcher)
        │ ike0: a TUN with the VPN addresses 203.0.113.1, 203.0.113.2
      hnv_charon_driver: SA channel, database, VICI; a little ESP that answers echo requests
        │ wire0: a TUN
      gate ── eth0 198.51.100.1 ─────────── 198.51.100.10 eth0 ── site
                                                (both tenants' sites: one address, told apart by identity)

The site's networks are 10.2.0.0/24 for every tenant alike; those who ask for an answer use 10.2.0.1.
"""

import os
import shutil
import signal
import sys
import time

from support.checks import expect, expect_equal, topology
from support.driver import Driver
from support.run import veth
from support.site import Authority, Site
from support.traffic import ping
from support.wait import wait_for

VIP, VIP2, SITE = "203.0.113.1", "203.0.113.2", "198.51.100.10"
USER = 65534
CONTOSO, FABRIKAM = 7, 8
PSK = {CONTOSO: "contoso-swordfish", FABRIKAM: "fabrikam-swordfish"}
ID = {CONTOSO: "site.contoso.example", FABRIKAM: "site.fabrikam.example"}
MANY = 200


class Charon(Driver):
    """hnv_charon_driver."""

    def __init__(self, run, space, tree):
        plugins = run.path("plugins", "x")[:-2]
        for file in os.listdir("/usr/lib/ipsec/plugins"):
            shutil.copy(f"/usr/lib/ipsec/plugins/{file}", plugins)
        shutil.copy(f"{tree}/vpn/charon/libstrongswan-hnv-gateway.so", plugins)
        super().__init__(space, f"{tree}/tests/vpn/hnv_charon_driver", run.path("ike"), USER, plugins)

    def tunnel(self, if_id):
        return self.state()["tunnels"][str(if_id)]

    def is_up(self, if_id):
        seen = self.tunnel(if_id)
        return seen["phase"] == "up" and seen["outbound"] == "open" and seen["inbound"] > 0 and seen

    def wait_up(self, if_id, timeout=15):
        return wait_for(lambda: self.is_up(if_id), timeout, f"tunnel {if_id} up", tell=self.state)


class Made:
    def __init__(self, run, arguments):
        self.run = run
        tree = os.path.dirname(os.path.dirname(os.path.abspath(arguments.gateway)))
        self.gate, self.outside = run.namespace("gate"), run.namespace("site")
        veth(self.gate, "eth0", self.outside, "eth0")
        self.gate.ip("addr add 198.51.100.1/24 dev eth0")
        self.outside.ip(f"addr add {SITE}/24 dev eth0", "route add 203.0.113.0/24 via 198.51.100.1",
                        "addr add 10.2.0.1/32 dev lo")
        self.gate("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
        self.driver = Charon(run, self.gate, tree)
        self.gate.ip("link set wire0 up mtu 9000", "route add 203.0.113.0/24 dev wire0")
        self.site = Site(run, self.outside, "site")
        self.driver.must("addresses", list=[VIP, VIP2])
        self.authorities = {CONTOSO: Authority(run, "contoso"), FABRIKAM: Authority(run, "fabrikam")}
        self.gateway_key, self.gateway_certificate = {}, {}
        for if_id, authority in self.authorities.items():
            self.gateway_key[if_id], self.gateway_certificate[if_id] = authority.sign(f"gw{if_id}.example")

    def psk(self, if_id, **more):
        return {"source": VIP, "destination": SITE, "remoteId": ID[if_id], "psk": PSK[if_id], **more}

    def cert(self, if_id, **more):
        return {"source": VIP, "destination": SITE, "remoteId": ID[if_id], "localId": f"gw{if_id}.example",
                "method": "Certificate", "certificate": self.gateway_certificate[if_id],
                "key": self.gateway_key[if_id], "cas": [self.authorities[if_id].certificate], "revocation": "off", **more}

    def ping(self, address, count=3):
        """How many of the site's echo requests through the tunnel are answered."""
        return ping(self.outside, address, count, source="10.2.0.1")

    def dump(self):
        print("---- driver\n" + self.driver.process.output()[-5000:], file=sys.stderr)
        print("---- site\n" + self.site.log(), file=sys.stderr)


def build(run, arguments):
    return Made(run, arguments)


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def prove_place(checks, made):
    driver = made.driver
    with checks.check("charon is up, of a known version, and its plugin has told all it has") as note:
        wait_for(lambda: driver.state()["ike"] == "ready" and driver.state()["synced"], 15, "ready", tell=driver.state)
        note.text = f"strongSwan {driver.state()['version']}"
    pid = driver.state()["pid"]
    with checks.check("it is nobody, in a network of its own, and may open low ports at most"):
        status = status_of(pid)
        expect_equal(set(status["Uid"].split()), {str(USER)}, "user")
        expect_equal(status["NoNewPrivs"].strip(), "1", "no_new_privs")
        for which in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            expect(int(status[which], 16) & ~(1 << 10) == 0, f"{which} {status[which]}")
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            names = {line.split(":")[0].strip() for line in file.read().splitlines()[2:]}
        expect_equal(names - {"sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip_vti0", "ip6_vti0"},
                     {"lo", "ike0"}, "interfaces")
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            core = next(line for line in file if line.startswith("Max core"))
        expect_equal(core.split()[4:6], ["0", "0"], "core dumps")
    with checks.check("every thread of it is as weak, the plugin's too"):
        for thread in os.listdir(f"/proc/{pid}/task"):
            effective = int(status_of(f"{pid}/task/{thread}")["CapEff"], 16)
            expect(effective & ~(1 << 10) == 0, f"thread {thread}: {effective:x}")


def prove_psk(checks, made):
    driver, site = made.driver, made.site
    for if_id, network in ((CONTOSO, "10.1.0.0/24"), (FABRIKAM, "10.3.0.0/24")):
        site.connection(f"t{if_id}", SITE, VIP, local_id=ID[if_id], remote_id=VIP, local_ts="10.2.0.0/24",
                        remote_ts=network, psk=PSK[if_id], owners=[ID[if_id]])
    with checks.check("two tenants' sites at one address, with one network: both come up with shared secrets"):
        for if_id in (CONTOSO, FABRIKAM):
            driver.must("set", ifId=if_id, spec=made.psk(if_id))
            driver.wait_up(if_id)
    with checks.check("the keys are right: the site's packets are read, and answers of ours believed") as note:
        expect_equal(made.ping("10.1.0.1"), 3, "answers for contoso")
        expect_equal(made.ping("10.3.0.1"), 3, "answers for fabrikam")
        seen = driver.state()["tunnels"]
        expect_equal([seen[str(t)]["decrypted"] for t in (CONTOSO, FABRIKAM)], [3, 3], "packets of each tenant")
        note.text = "AES-256-GCM"


def prove_rekey(checks, made):
    driver, site = made.driver, made.site
    before = driver.tunnel(CONTOSO)
    with checks.check("we rekey: a new SA is used, the old one goes, packets pass"):
        driver.must("rekey", ifId=CONTOSO)
        wait_for(lambda: driver.tunnel(CONTOSO)["spiOut"] not in (0, before["spiOut"]), 10, "a new SA")
        expect_equal(made.ping("10.1.0.1"), 3, "answers")
        wait_for(lambda: driver.tunnel(CONTOSO)["inbound"] == 1, 15, "the old inbound SA gone", tell=driver.state)
        expect_equal(driver.tunnel(CONTOSO)["rekeys"], before["rekeys"] + 1, "rekeys")
    before = driver.tunnel(CONTOSO)
    with checks.check("the site rekeys: likewise"):
        site.vici.must("rekey", {"child": f"t{CONTOSO}"})
        wait_for(lambda: driver.tunnel(CONTOSO)["spiOut"] not in (0, before["spiOut"]), 10, "a new SA")
        expect_equal(made.ping("10.1.0.1"), 3, "answers")
        wait_for(lambda: driver.tunnel(CONTOSO)["inbound"] == 1, 15, "the old inbound SA gone", tell=driver.state)
    with checks.check("what the site sees as used is what was sent (our counters)"):
        child = list(site.children(f"t{FABRIKAM}").values())
        expect_equal(len(child), 1, "children")
        expect_equal(int(child[0]["packets-in"]), 3, "packets from us")


def prove_delete(checks, made):
    driver, site = made.driver, made.site
    before = driver.tunnel(CONTOSO)
    with checks.check("the site ends the tunnel: its SAs go; it is started again"):
        site.vici.ask("terminate", {"ike": f"t{CONTOSO}", "timeout": "3000"})
        wait_for(lambda: driver.tunnel(CONTOSO)["spiOut"] not in (0, before["spiOut"]), 15, "a new one", tell=driver.state)
        expect_equal(made.ping("10.1.0.1"), 3, "answers")
    with checks.check("we disconnect: no SA is left on either side, and it stays so"):
        driver.must("disconnect", ifId=CONTOSO)
        wait_for(lambda: driver.tunnel(CONTOSO)["inbound"] == 0, 10, "no SA", tell=driver.state)
        wait_for(lambda: not site.children(f"t{CONTOSO}"), 5, "none at the site")
        expect_equal(driver.tunnel(CONTOSO)["phase"], "idle", "phase")
    with checks.check("and connect"):
        driver.must("connect", ifId=CONTOSO)
        driver.wait_up(CONTOSO)


def prove_crash(checks, made):
    driver = made.driver
    before = driver.tunnel(CONTOSO)
    pid = driver.state()["pid"]
    with checks.check("kill -9 of charon: what is up forwards on") as note:
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        wait_for(lambda: driver.state()["pid"] != pid, 5, "its end seen", interval=0.005)
        expect_equal(made.ping("10.1.0.1", 2), 2, "answers")
        note.text = "answered while it is away or comes back"
    with checks.check("it is started again and both tunnels are made anew, at once") as note:
        for if_id in (CONTOSO, FABRIKAM):
            driver.wait_up(if_id, 20)
        wait_for(lambda: driver.tunnel(CONTOSO)["spiOut"] not in (0, before["spiOut"]), 15, "a new SA", tell=driver.state)
        note.text = f"{time.monotonic() - begin:.2f} s after the crash"
        expect_equal(driver.state()["restarts"], 1, "restarts")
        expect_equal(made.ping("10.1.0.1"), 3, "answers")
    with checks.check("after the grace time only the new charon's SAs are left"):
        wait_for(lambda: driver.state()["sas"] == 4, 20, "two tunnels' SAs", tell=driver.state)
        expect_equal(made.ping("10.1.0.1"), 3, "answers")


def prove_gateway_restart(checks, made):
    driver = made.driver
    before = driver.tunnel(CONTOSO)["spiOut"]
    with checks.check("the gateway forgets its SAs: inbound is open at once, outbound closed until it is rekeyed") as note:
        begin = time.monotonic()
        driver.must("forget")
        seen = wait_for(lambda: next((t for t in [driver.tunnel(CONTOSO)] if t["inbound"]), None), 5, "replayed", interval=0.005)
        expect(seen["outbound"] == "closed" or seen["spiOut"] != before, f"an old key is in use: {seen}")
        for if_id in (CONTOSO, FABRIKAM):
            wait_for(lambda i=if_id: driver.tunnel(i)["outbound"] == "open", 15, "rekeyed", tell=driver.state)
        expect(driver.tunnel(CONTOSO)["spiOut"] != before, "the same SA again")
        note.text = f"both rekeyed {time.monotonic() - begin:.2f} s later"
        expect_equal(made.ping("10.1.0.1"), 3, "answers")


def refused(made, name, victim, **connection):
    """The site tries; it must be refused, and the victim's tunnel must have no SA."""
    site = made.site
    site.connection(name, SITE, connection.pop("vip", VIP), local_ts="10.2.0.0/24", remote_ts="10.1.0.0/24", **connection)
    position = site.log_size()
    came_up = site.initiate(name)
    saw = site.logged_since(position, "received AUTHENTICATION_FAILED notify error")  # the gateway says it
    site.forget(name)
    expect(not came_up, f"{name}: the site came up")
    expect(saw, f"{name}: it was not refused for its authentication: {site.log(1500)}")
    seen = made.driver.tunnel(victim)
    expect_equal((seen["inbound"], seen["outbound"]), (0, "none"), f"{name}: SAs of the victim")


def only_site_begins(made, spec):
    made.driver.must("set", ifId=CONTOSO, spec=spec)
    wait_for(lambda: made.driver.tunnel(CONTOSO)["inbound"] == 0, 10, "the victim is down", tell=made.driver.state)


def prove_tenants_secrets(checks, made):
    driver, site = made.driver, made.site
    for if_id in (CONTOSO, FABRIKAM):
        site.forget(f"t{if_id}")
    only_site_begins(made, made.psk(CONTOSO, initiate="never"))
    # Each tenant at a VPN address of its own.
    driver.must("set", ifId=FABRIKAM, spec=made.psk(FABRIKAM, source=VIP2, initiate="never"))
    gateway, vips = {"remote_id": VIP}, {CONTOSO: VIP, FABRIKAM: VIP2}
    with checks.check("fabrikam's secret with contoso's identity is refused"):
        refused(made, "evil1", CONTOSO, local_id=ID[CONTOSO], psk=PSK[FABRIKAM], owners=[ID[CONTOSO]], **gateway)
    with checks.check("fabrikam's secret with contoso's identity at fabrikam's VPN address is refused"):
        refused(made, "evil2", CONTOSO, vip=VIP2, local_id=ID[CONTOSO], psk=PSK[FABRIKAM], owners=[ID[CONTOSO]],
                remote_id=VIP2)
    with checks.check("fabrikam's secret with the gateway's own identity is refused"):
        refused(made, "evil3", CONTOSO, local_id=VIP, psk=PSK[FABRIKAM], owners=[VIP], **gateway)
    with checks.check("a second tunnel with a remote identity in use is refused, on another VPN address too"):
        for vip, local in ((VIP, "gwB.example"), (VIP2, "")):
            answer = driver.ask("set", ifId=9, spec=made.psk(CONTOSO, source=vip, localId=local, psk="another-secret"))
            expect("error" in answer and "certificates" in answer["error"], str(answer))
        expect("9" not in driver.state()["tunnels"], "it is there")
    with checks.check("the twin: contoso's own secret opens contoso's tunnel, fabrikam's fabrikam's"):
        for if_id in (CONTOSO, FABRIKAM):
            site.connection(f"t{if_id}", SITE, vips[if_id], local_id=ID[if_id], local_ts="10.2.0.0/24",
                            remote_ts="10.1.0.0/24", psk=PSK[if_id], owners=[ID[if_id]], remote_id=vips[if_id])
            expect(site.initiate(f"t{if_id}"), f"tunnel {if_id}: {site.log(2000)}")
            driver.wait_up(if_id)
            site.forget(f"t{if_id}")
            wait_for(lambda i=if_id: driver.tunnel(i)["inbound"] == 0, 10, "down again", tell=driver.state)


def prove_tenants_certificates(checks, made):
    driver, site = made.driver, made.site
    contoso, fabrikam = made.authorities[CONTOSO], made.authorities[FABRIKAM]
    driver.must("set", ifId=FABRIKAM, spec=made.cert(FABRIKAM, initiate="never"))
    only_site_begins(made, made.cert(CONTOSO, initiate="never"))
    forged_key, forged = fabrikam.sign(ID[CONTOSO])
    own_key, own = contoso.sign(ID[CONTOSO])
    gateway = {"remote_id": f"gw{CONTOSO}.example", "ca": contoso.certificate}
    with checks.check("a certificate with contoso's name from fabrikam's authority is refused"):
        refused(made, "evil4", CONTOSO, local_id=ID[CONTOSO], certificate=forged, key=forged_key, **gateway)
    with checks.check("a shared secret in place of contoso's certificate is refused"):
        refused(made, "evil5", CONTOSO, local_id=ID[CONTOSO], psk=PSK[FABRIKAM], owners=[ID[CONTOSO]], **gateway)
    with checks.check("contoso's certificate does not open fabrikam's tunnel"):
        site.connection("evil6", SITE, VIP, local_id=ID[CONTOSO], local_ts="10.2.0.0/24", certificate=own, key=own_key,
                        remote_id=f"gw{FABRIKAM}.example", ca=fabrikam.certificate)
        expect(not site.initiate("evil6"), "it came up")
        site.forget("evil6")
        seen = driver.tunnel(FABRIKAM)
        expect_equal((seen["inbound"], seen["outbound"]), (0, "none"), "SAs of fabrikam")
        # It may have opened its own: that is no fault. It is ended.
        driver.must("disconnect", ifId=CONTOSO)
    with checks.check("the twin: contoso's own certificate opens contoso's tunnel"):
        site.connection("cert", SITE, VIP, local_id=ID[CONTOSO], local_ts="10.2.0.0/24", remote_ts="10.1.0.0/24",
                        certificate=own, key=own_key, **gateway)
        expect(site.initiate("cert"), site.log(2000))
        driver.wait_up(CONTOSO)
        expect_equal(made.ping("10.1.0.1"), 3, "answers")
        site.forget("cert")
    with checks.check("and what is removed leaves nothing behind"):
        for if_id in (CONTOSO, FABRIKAM):
            driver.must("remove", ifId=if_id)
        wait_for(lambda: driver.state()["sas"] == 0, 10, "no SA", tell=driver.state)


def prove_many(checks, made):
    driver, site = made.driver, made.site
    numbers = range(100, 100 + MANY)
    for n in numbers:
        site.connection(f"t{n}", SITE, VIP, local_id=f"site{n}.example", remote_id=VIP, psk=f"secret-of-{n}",
                        owners=[f"site{n}.example"], local_ts="10.2.0.0/24", remote_ts=f"10.30.{n - 100}.0/24")
    with checks.check(f"{MANY} tunnels come up at the pace of a hundred a second") as note:
        begin = time.monotonic()
        for n in numbers:
            driver.must("set", ifId=n, spec={"source": VIP, "destination": SITE, "remoteId": f"site{n}.example",
                                             "psk": f"secret-of-{n}", "retry": 10})
        wait_for(lambda: all(t["phase"] == "up" and t["outbound"] == "open"
                             for t in driver.state()["tunnels"].values()), 60, "all up",
                 tell=lambda: sum(t["phase"] == "up" for t in driver.state()["tunnels"].values()))
        note.text = f"{time.monotonic() - begin:.2f} s"
    with checks.check("the gateway forgets all: every tunnel is rekeyed, none with an old key") as note:
        before = {k: t["spiOut"] for k, t in driver.state()["tunnels"].items()}
        begin = time.monotonic()
        driver.must("forget")
        wait_for(lambda: all(t["outbound"] == "open" for t in driver.state()["tunnels"].values()), 60, "rekeyed")
        after = driver.state()["tunnels"]
        expect(all(after[k]["spiOut"] != spi for k, spi in before.items()), "an old key is in use")
        note.text = f"{time.monotonic() - begin:.2f} s"
    with checks.check("kill -9 of charon: all of them are up again") as note:
        before = {k: t["spiOut"] for k, t in driver.state()["tunnels"].items()}
        begin = time.monotonic()
        os.kill(driver.state()["pid"], signal.SIGKILL)
        wait_for(lambda: all(t["phase"] == "up" and t["spiOut"] not in (0, before[k])
                             for k, t in driver.state()["tunnels"].items()), 60, "all new",
                 tell=lambda: sum(t["phase"] == "up" for t in driver.state()["tunnels"].values()))
        note.text = f"{time.monotonic() - begin:.2f} s"


def prove(checks, made):
    for part in (prove_place, prove_psk, prove_rekey, prove_delete, prove_crash, prove_gateway_restart,
                 prove_tenants_secrets, prove_tenants_certificates, prove_many):
        part(checks, made)
    with checks.check("no key is in a log"):
        text = made.driver.process.output(1 << 24)
        for secret in (*PSK.values(), "secret-of-"):
            expect(secret not in text, f"{secret} is in the log")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove, needs_gateway=False))
