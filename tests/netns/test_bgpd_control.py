#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The control half of BGP: our supervised bgpd against GoBGP, BIRD and ExaBGP, and no gateway.

      bgpd (a user namespace of its own, a network without interfaces)
        │ bgp0: a TUN in each domain's namespace, 10.0.0.1 and fd00:1::1 in both
      hnv_bgpd_driver: zserv, vty, supervision; carries packets by domain and destination
        │ site0: a TUN in each peer's namespace
      contoso (7):   gobgp 10.0.0.2 AS 65101     exabgp 10.0.0.4 AS 65104
      fabrikam (8):  bird  10.0.0.2 AS 65101     gobgp  10.0.0.3 AS 65103

Both domains have the same AS, addresses, peers' addresses and prefixes.
"""

import os
import pwd
import signal
import sys
import time

from support.bgp_peers import Bird, Exabgp, Gobgp
from support.checks import expect, expect_equal, topology
from support.driver import Driver
from support.run import call
from support.wait import wait_for

CONTOSO, FABRIKAM, THIRD = 7, 8, 9
OWN, AS = "10.0.0.1", 65001
ADDRESSES = ["10.0.0.1/24", "fd00:1::1/64"]
SHARED = "192.168.10.0/24"
KEPT = (1 << 10) | (1 << 21)  # CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN


class Bgpd(Driver):
    """hnv_bgpd_driver."""

    def __init__(self, run, space, tree, user):
        super().__init__(space, f"{tree}/tests/bgp/hnv_bgpd_driver", run.path("bgp"), user)

    def domain(self, number):
        return self.state()["domains"].get(str(number), {})

    def peer(self, number, name):
        return self.domain(number).get("peers", {}).get(name, {})

    def routes(self, number):
        return self.domain(number).get("routes", {})

    def read(self, command):
        return self.ask("read", command=command)["text"]

    def wait_established(self, number, name, timeout=30):
        return wait_for(lambda: self.peer(number, name).get("state") == "Established", timeout,
                        f"domain {number}: {name} established", tell=lambda: self.domain(number))

    def wait_ready(self, number, timeout=30):
        wait_for(lambda: self.domain(number).get("phase") == "ready", timeout, f"domain {number} ready",
                 tell=self.state)


class Made:
    def __init__(self, run, arguments):
        self.run = run
        tree = os.path.dirname(os.path.dirname(os.path.abspath(arguments.gateway)))
        self.gate = run.namespace("gate")
        self.user = pwd.getpwnam("frr").pw_uid
        self.driver = Bgpd(run, self.gate, tree, self.user)
        self.specs = {d: {"as": AS, "routerId": OWN, "hold": 30, "requirePolicy": False, "networks": ["172.16.0.0/16"],
                          "peers": {}} for d in (CONTOSO, FABRIKAM)}
        self.gobgp = self.router(Gobgp, "a-gobgp", CONTOSO, "10.0.0.2/24", "fd00:1::2/64")
        self.bird = self.router(Bird, "b-bird", FABRIKAM, "10.0.0.2/24", "fd00:1::2/64")

    def router(self, kind, name, domain, *addresses):
        return kind(self.run, name, lambda netns, own: self.driver.must("wire", domain=domain, netns=netns, addresses=own),
                    list(addresses))

    def set(self, domain):
        self.driver.must("set", domain=domain, spec=self.specs[domain], addresses=ADDRESSES)

    def peer(self, domain, name, **spec):
        """Adds or replaces a peer; None takes it away."""
        self.specs[domain]["peers"][name] = spec
        self.set(domain)

    def no_peer(self, domain, name):
        del self.specs[domain]["peers"][name]
        self.set(domain)

    def dump(self):
        print("---- driver\n" + self.driver.process.output()[-6000:], file=sys.stderr)
        for router in (self.gobgp, self.bird):
            if router.process:
                print(f"---- {router.name}\n" + router.process.output()[-3000:], file=sys.stderr)


def build(run, arguments):
    return Made(run, arguments)


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def in_bgpds_mounts(pid, *argv):
    return call("nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", *argv).stdout.split()


def prove_place(checks, made):
    driver = made.driver
    with checks.check("bgpd is up and of a known release") as note:
        wait_for(lambda: driver.state()["state"] == "ready", 15, "ready", tell=driver.state)
        note.text = f"FRR {driver.state()['version']}"
    pid = driver.state()["pid"]
    with checks.check("it is nobody of importance, in a user namespace and a network of its own"):
        status = status_of(pid)
        expect_equal(set(status["Uid"].split()), {str(made.user)}, "user")
        expect_equal(status["NoNewPrivs"].strip(), "1", "no_new_privs")
        for which in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            expect(int(status[which], 16) & ~KEPT == 0, f"{which} {status[which]}")
        expect(os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"), "the host's user namespace")
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            names = {line.split(":")[0].strip() for line in file.read().splitlines()[2:]}
        expect_equal(names - {"sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip_vti0", "ip6_vti0"}, {"lo"},
                     "interfaces")
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            limits = {line[:25].strip(): line[25:].split() for line in file}
        expect_equal(limits["Max core file size"][:2], ["0", "0"], "core dumps")
        expect_equal(limits["Max open files"][:2], ["16384", "16384"], "descriptors")
    with checks.check("no namespace of the host can be seen from there"):
        expect(made.gate.id in os.listdir("/run/netns"), "the topology's are on the host")
        expect_equal(in_bgpds_mounts(pid, "ls", "/run/netns"), [], "namespaces that bgpd sees")


def prove_sessions(checks, made):
    driver = made.driver
    made.gobgp.start(65101, OWN, AS)
    made.bird.start(65101, OWN, AS, {SHARED: 77, "192.168.30.0/24": 1, "2001:db8:10::/48": 7})
    with checks.check("two domains, all alike: a session comes up in each") as note:
        begin = time.monotonic()
        made.peer(CONTOSO, "site", address="10.0.0.2", **{"as": 65101}, families=[4, 6])
        made.peer(FABRIKAM, "site", address="10.0.0.2", **{"as": 65101}, families=[4, 6])
        for domain in (CONTOSO, FABRIKAM):
            driver.must("route", domain=domain, prefix="172.16.0.0/16", on=True)
            driver.wait_established(domain, "site")
        note.text = f"{time.monotonic() - begin:.1f} s"
    with checks.check("bgpd took every line, and listens in each domain's namespace and nowhere else"):
        for domain in (CONTOSO, FABRIKAM):
            driver.wait_ready(domain)
            expect_equal(driver.domain(domain)["refused"], [], "refused lines")


def prove_routes(checks, made):
    driver, gobgp, bird = made.driver, made.gobgp, made.bird
    with checks.check("the same prefix in both: each under its domain, with its own metric"):
        gobgp.add(SHARED, "nexthop", "10.0.0.2", "med", "33")
        gobgp.add("192.168.20.0/24", "nexthop", "10.0.0.2")
        wait_for(lambda: len(driver.routes(CONTOSO)) >= 2 and len(driver.routes(FABRIKAM)) >= 3, 15, "routes",
                 tell=driver.state)
        wanted = {"distance": 15, "source": "ebgp", "nextHops": ["10.0.0.2"]}
        expect_equal(driver.routes(CONTOSO), {SHARED: {**wanted, "metric": 33},
                                              "192.168.20.0/24": {**wanted, "metric": 0}}, "contoso's routes")
        seen = driver.routes(FABRIKAM)
        expect_equal(seen.pop("2001:db8:10::/48"), {**wanted, "metric": 7, "nextHops": ["fd00:1::2"]}, "IPv6")
        expect_equal(seen, {SHARED: {**wanted, "metric": 77}, "192.168.30.0/24": {**wanted, "metric": 1}},
                     "fabrikam's routes")
    with checks.check("both are told our network, and only while the domain's table has it"):
        wait_for(lambda: "172.16.0.0/16" in gobgp.learned(), 10, "contoso", tell=gobgp.learned)
        wait_for(lambda: "172.16.0.0/16" in bird.learned(), 10, "fabrikam", tell=bird.learned)
        driver.must("route", domain=CONTOSO, prefix="172.16.0.0/16", on=False)
        wait_for(lambda: "172.16.0.0/16" not in gobgp.learned(), 10, "gone in contoso", tell=gobgp.learned)
        expect("172.16.0.0/16" in bird.learned(), "fabrikam keeps it")
        driver.must("route", domain=CONTOSO, prefix="172.16.0.0/16", on=True)
        wait_for(lambda: "172.16.0.0/16" in gobgp.learned(), 10, "back in contoso", tell=gobgp.learned)
    with checks.check("a withdrawal in one changes nothing in the other"):
        gobgp.delete(SHARED)
        wait_for(lambda: SHARED not in driver.routes(CONTOSO), 10, "withdrawn", tell=driver.state)
        expect(SHARED in driver.routes(FABRIKAM), "fabrikam's went, too")
        gobgp.add(SHARED, "nexthop", "10.0.0.2", "med", "33")
        wait_for(lambda: SHARED in driver.routes(CONTOSO), 10, "back", tell=driver.state)
    with checks.check("a default route is refused unless the domain wants one"):
        gobgp.add("0.0.0.0/0", "nexthop", "10.0.0.2")
        gobgp.add("192.168.21.0/24", "nexthop", "10.0.0.2")  # comes behind it
        wait_for(lambda: "192.168.21.0/24" in driver.routes(CONTOSO), 10, "the next one", tell=driver.state)
        expect("0.0.0.0/0" not in driver.routes(CONTOSO), "it was taken")
        gobgp.delete("0.0.0.0/0")


def prove_crash(checks, made):
    driver, gobgp = made.driver, made.gobgp
    with checks.check("kill -9 of bgpd: no route goes, the peer keeps ours, all is told anew") as note:
        before = driver.state()
        routes = {d: driver.routes(d) for d in (CONTOSO, FABRIKAM)}
        begin = time.monotonic()
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(lambda: driver.state()["pid"] not in (-1, before["pid"]), 15, "another bgpd", tell=driver.state)
        expect_equal(driver.routes(CONTOSO), routes[CONTOSO], "contoso's routes while it restarts")
        expect(driver.domain(CONTOSO)["stale"] > 0, "nothing is stale")
        expect("172.16.0.0/16" in gobgp.learned(), "the peer with graceful restart lost our route")
        for domain in (CONTOSO, FABRIKAM):
            driver.wait_established(domain, "site", 60)
        took = time.monotonic() - begin
        wait_for(lambda: not any(driver.domain(d)["stale"] for d in (CONTOSO, FABRIKAM)), 60, "nothing stale",
                 tell=driver.state)
        for domain in (CONTOSO, FABRIKAM):
            expect_equal(driver.routes(domain), routes[domain], f"domain {domain}'s routes")
            expect_equal(driver.domain(domain)["withdrawn"], before["domains"][str(domain)]["withdrawn"], "withdrawals")
            driver.wait_ready(domain)
        note.text = f"sessions after {took:.1f} s"


def prove_refusals(checks, made):
    driver = made.driver
    exabgp = made.router(Exabgp, "a-exabgp", CONTOSO, "10.0.0.4/24")
    routes = [f"10.20.{n}.0/24" for n in range(20)]
    with checks.check("a peer that is not configured gets nowhere"):
        exabgp.start(65999, OWN, AS, routes)
        turned_away = ("rejected", "closed", "lost", "reset", "refused")
        wait_for(lambda: any(w in exabgp.process.output() for w in turned_away), 20, "it is turned away",
                 tell=exabgp.process.output)
        expect("10.20.0.0/24" not in driver.routes(CONTOSO), "its route was taken")
        exabgp.stop()
    wrong = made.router(Gobgp, "a-wrong", CONTOSO, "10.0.0.5/24")
    with checks.check("a peer of another AS than configured is refused, and the state says so") as note:
        wrong.start(65999, OWN, AS)
        made.peer(CONTOSO, "wrong", address="10.0.0.5", **{"as": 65104})
        wait_for(lambda: "Bad Peer AS" in driver.peer(CONTOSO, "wrong").get("lastNotification", ""), 30, "a reason",
                 tell=lambda: driver.peer(CONTOSO, "wrong"))
        expect(driver.peer(CONTOSO, "wrong")["established"] == 0, "it was established")
        note.text = driver.peer(CONTOSO, "wrong")["lastNotification"]
        wrong.stop()
    made.no_peer(CONTOSO, "wrong")
    with checks.check("more prefixes than allowed end the session, and none of the others'") as note:
        before = driver.peer(CONTOSO, "site")["established"]
        made.peer(CONTOSO, "two", address="10.0.0.4", **{"as": 65999}, max=10)
        exabgp.start(65999, OWN, AS, routes)
        wait_for(lambda: "Maximum Number of Prefixes" in driver.peer(CONTOSO, "two")["lastNotification"], 30, "the limit",
                 tell=lambda: driver.peer(CONTOSO, "two"))
        wait_for(lambda: "10.20.0.0/24" not in driver.routes(CONTOSO), 10, "its routes gone", tell=driver.state)
        expect_equal(driver.peer(CONTOSO, "site")["established"], before, "the other session")
        note.text = driver.peer(CONTOSO, "two")["lastNotification"]
        exabgp.stop()
    made.no_peer(CONTOSO, "two")
    second = made.router(Gobgp, "b-gobgp", FABRIKAM, "10.0.0.3/24")
    with checks.check("MD5: the right password comes up, a wrong one does not"):
        second.start(65103, OWN, AS, password="swordfish")
        made.peer(FABRIKAM, "two", address="10.0.0.3", **{"as": 65103}, password="marlin")
        expect(not established_within(driver, FABRIKAM, "two", 6), "it came up with the wrong one")
        made.peer(FABRIKAM, "two", address="10.0.0.3", **{"as": 65103}, password="swordfish")
        driver.wait_established(FABRIKAM, "two", 60)
        text = driver.process.output(1 << 24)
        expect("swordfish" not in text and "marlin" not in text, "a password is in a log")
    with checks.check("no transit: what one external peer teaches is not told to another, but our network is"):
        wait_for(lambda: "172.16.0.0/16" in second.learned(), 10, "our network", tell=second.learned)
        expect(SHARED not in second.learned(), "transit")
    with checks.check("with transit it is, and two peers share a prefix"):
        made.specs[FABRIKAM].update(transit=True, ecmp=4)
        made.set(FABRIKAM)
        wait_for(lambda: SHARED in second.learned(), 15, "transit", tell=second.learned)
        second.add("192.168.30.0/24", "nexthop", "10.0.0.3", "med", "1", "origin", "igp")
        wait_for(lambda: sorted(driver.routes(FABRIKAM)["192.168.30.0/24"]["nextHops"]) == ["10.0.0.2", "10.0.0.3"], 15,
                 "two next hops", tell=lambda: driver.routes(FABRIKAM))
    second.stop()
    made.no_peer(FABRIKAM, "two")


def established_within(driver, domain, name, seconds):
    try:
        driver.wait_established(domain, name, seconds)
    except AssertionError:
        return False
    return True


def prove_policies(checks, made):
    driver, gobgp = made.driver, made.gobgp
    with checks.check("an external peer without a policy is believed nothing (RFC 8212)"):
        made.specs[CONTOSO]["requirePolicy"] = True
        made.set(CONTOSO)
        wait_for(lambda: not driver.routes(CONTOSO), 15, "no routes", tell=driver.state)
        wait_for(lambda: not gobgp.learned(), 15, "nothing told", tell=gobgp.learned)
    with checks.check("policies: what matches comes, changed as they say; the session stays up"):
        before = driver.peer(CONTOSO, "site")["established"]
        gobgp.add("10.50.1.0/24", "nexthop", "10.0.0.2", "community", "65101:100")
        gobgp.add("10.50.2.0/24", "nexthop", "10.0.0.2")
        made.specs[CONTOSO]["policies"] = {
            "in": [{"sequence": 10, "prefixes": [{"prefix": "10.50.0.0/16", "ge": 24, "le": 24}],
                    "communities": ["65101:100"], "asns": [[65000, 65200]], "med": 5, "localPreference": 300},
                   {"sequence": 20, "prefixes": [{"prefix": "192.168.0.0/16", "le": 24}],
                    "ignore": [{"prefix": "192.168.20.0/24"}], "med": 9}],
            "out": [{"sequence": 10, "med": 44, "add": ["no-export", "65001:7"], "prepend": [AS, AS]}]}
        made.specs[CONTOSO]["peers"]["site"].update({"in": "in", "out": "out"})
        made.set(CONTOSO)
        wait_for(lambda: {p: r["metric"] for p, r in driver.routes(CONTOSO).items()} ==
                 {"10.50.1.0/24": 5, SHARED: 9, "192.168.21.0/24": 9}, 15, "the policy's routes",
                 tell=lambda: driver.routes(CONTOSO))
        wait_for(lambda: gobgp.learned().get("172.16.0.0/16") == 44, 15, "the policy's MED", tell=gobgp.learned)
        expect_equal(driver.peer(CONTOSO, "site")["established"], before, "sessions")
        expect_equal(driver.domain(CONTOSO)["refused"], [], "refused lines")
    with checks.check("everything that can be asked is a line that bgpd takes, and takes back"):
        made.driver.must("set", domain=THIRD, addresses=ADDRESSES, spec=kitchen_sink())
        driver.wait_ready(THIRD)
        expect_equal(driver.domain(THIRD)["refused"], [], "refused lines")
        driver.must("set", domain=THIRD, addresses=ADDRESSES, spec={"as": 65009, "routerId": OWN})
        driver.must("set", domain=THIRD, addresses=ADDRESSES, spec=kitchen_sink())
        driver.must("set", domain=THIRD, addresses=ADDRESSES, spec={"as": 65010, "routerId": OWN})
        wait_for(lambda: "router bgp 65010 vrf d9" in driver.read("show running-config"), 15, "the last one")
        expect_equal(driver.domain(THIRD)["refused"], [], "refused lines")
        text = driver.read("show running-config")
        expect("d9:p4:all" not in text and "d9:i4:" not in text, text)


def kitchen_sink():
    entry = {"sequence": 10, "prefixes": [{"prefix": "10.0.0.0/8", "ge": 9, "le": 24}, {"prefix": "2001:db8::/32"}],
             "ignore": [{"prefix": "10.9.0.0/16", "le": 32}], "communities": ["65001:100", "no-export"],
             "asns": [[64512, 65534], [4200000000, 4294967294]], "nextHops": ["10.0.0.2", "fd00:1::2"],
             "localPreference": 200, "med": 5, "weight": 7, "add": ["65001:1"], "remove": ["65001:2", "no-peer"],
             "nextHop": "10.0.0.7", "prepend": [65009, 65009]}
    deny = {"sequence": 20, "deny": True, "ignore": [{"prefix": "10.0.0.0/8"}]}
    return {"as": 65009, "routerId": OWN, "transit": True, "defaultRoute": True, "compareMed": True, "connected": True,
            "static": True, "ecmp": 16, "clusterId": "1.2.3.4", "dampening": True, "networks": ["10.1.0.0/16", "fd01::/32"],
            "aggregates": ["10.0.0.0/8", "fd00::/16"], "policies": {"all": [entry, deny]},
            "peers": {"one": {"address": "10.0.0.9", "as": 4200000001, "local": OWN, "hold": 9, "server": True, "max": 5,
                              "weight": 3, "password": "!\"#$%&'()*+,-./?", "ttlSecurity": 1, "gracefulRestart": False,
                              "bfd": True, "families": [4, 6], "in": "all", "out": "all"},
                      "two": {"address": "fd00:1::9", "as": 65009, "client": True, "disabled": True},
                      "three": {"address": "10.7.0.1", "as": 65011, "multihop": 5}}}


def prove_missing_namespace(checks, made):
    driver = made.driver
    with checks.check("a namespace that is missing leaks nothing: bgpd is taken out of that domain"):
        driver.must("set", domain=THIRD, addresses=ADDRESSES,
                    spec={"as": AS, "routerId": OWN, "peers": {"site": {"address": "10.0.0.2", "as": 65101}}})
        driver.wait_ready(THIRD)
        pid = driver.state()["pid"]
        in_bgpds_mounts(pid, "umount", "/run/netns/d9")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: driver.domain(THIRD)["phase"] == "failed", 40, "the fault", tell=driver.state)
        expect("namespace" in driver.domain(THIRD)["fault"], driver.domain(THIRD)["fault"])
        for domain in (CONTOSO, FABRIKAM):
            driver.wait_established(domain, "site", 60)
            driver.wait_ready(domain)
        pid = driver.state()["pid"]
        listening = call("nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Hltn", "sport", "=", ":179").stdout.splitlines()
        expect_equal(len(listening), 2, f"listeners of the default instance: {listening}")
        expect(not driver.domain(THIRD)["routes"], "it has routes")
    with checks.check("removed and set again it works"):
        driver.must("remove", domain=THIRD)
        driver.must("set", domain=THIRD + 1, addresses=ADDRESSES, spec={"as": AS, "routerId": OWN})
        driver.wait_ready(THIRD + 1)
        driver.must("remove", domain=THIRD + 1)


def prove_removal(checks, made):
    driver = made.driver
    with checks.check("a domain that goes takes its routes and its namespace along, and nothing of the other's"):
        expect(driver.routes(CONTOSO), "there were none")
        theirs = driver.routes(FABRIKAM)
        driver.must("remove", domain=CONTOSO)
        wait_for(lambda: not driver.routes(CONTOSO), 15, "no routes", tell=driver.state)
        pid = driver.state()["pid"]
        wait_for(lambda: in_bgpds_mounts(pid, "ls", "/run/netns") == [f"d{FABRIKAM}"], 10, "one namespace")
        text = driver.read("show running-config")
        expect("d7" not in text, text)
        expect_equal(driver.routes(FABRIKAM), theirs, "fabrikam's routes")
        expect(driver.peer(FABRIKAM, "site")["state"] == "Established", "fabrikam's session")
    with checks.check("when the driver ends, bgpd and the launcher do"):
        made.driver.process.stop()
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10, "bgpd's end")


def prove(checks, made):
    for part in (prove_place, prove_sessions, prove_routes, prove_crash, prove_refusals, prove_policies,
                 prove_missing_namespace, prove_removal):
        part(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove, needs_gateway=False))
