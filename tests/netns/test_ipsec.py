#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""IPsec: the lab's two tenants and a site of each, both unmodified strongSwans, with the same networks behind one address.

The topology of the lab is drawn in support/lab_topology.py, that of the sites in support/branches.py. What one tenant
could try with another's tunnel is in test_ipsec_tenants.py.
"""

import os
import signal
import sys
import time

from support.branches import NAT, SITE, identity, path, secret
from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.gateway import ledger_balanced
from support.ipsec_proofs import INNER_MTU, status
from support.lab_topology import TENANTS, Lab
from support.server import http_get
from support.traffic import Receiver, Sender, ping
from support.wait import wait_for

SECONDS, RATE = 60, 250
# ESP in UDP: neither IKE (four zero bytes) nor a keepalive (one byte).
ESP = "udp port 4500 and udp[8:4]!=0 and udp[4:2]>20"


class Branched(Lab):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.add_branches()
        self.sites = self.branches.sites
        self.start_gateway()
        self.gateway.api.apply([r for r in self.resources() if r["path"] not in {path(t) for t in TENANTS}])
        self.tell_hosts()

    def tunnel(self, tenant, **more):
        return {**self.branches.connection(tenant, **more), "outboundKiloBitsPerSecond": 0, "inboundKiloBitsPerSecond": 0}

    def wait_state(self, tenant, state, timeout=15):
        return wait_for(lambda: status(self, tenant)["connectionState"] == state and status(self, tenant), timeout,
                        f"{tenant}: {state}", tell=lambda: status(self, tenant))

    def spis(self, tenant, direction):
        return {sa["spi"] for sa in status(self, tenant)["childSas"] if sa["direction"] == direction}

    def routes(self, tenant):
        return [r for r in self.gateway.api.get(f"/v1/routingDomains/{tenant}/routes")["value"]
                if r["destinationPrefix"] == "10.200.0.0/24"]

    def charon(self):
        """The process that the gateway's launcher started, by the gateway's log."""
        line = [line for line in self.gateway.log(1 << 20).splitlines() if "charon runs as process" in line][-1]
        return int(line.rsplit(" ", 1)[1])

    def ping(self, space, source, target, count=3):
        return ping(space, target, count, source=source)

    def dump(self):
        print(self.gateway.dump(), file=sys.stderr)
        for name, site in self.sites.items():
            print(f"---- {name}'s site\n{site.log()}", file=sys.stderr)


def build(run, arguments):
    return Branched(run, arguments)


def prove_before(checks, lab):
    api = lab.gateway.api
    with checks.check("without a tunnel there is no charon, and the gateway says why"):
        expect("no tunnel" in api.get("/v1/system")["ipsec"], api.get("/v1/system")["ipsec"])
    with checks.check("two tenants' tunnels from one address of ours are taken; secrets are never shown"):
        for tenant in TENANTS:
            answer = api.put(path(tenant), lab.tunnel(tenant))
            expect_equal(answer["ipSecConfiguration"]["sharedSecretSet"], True, "sharedSecretSet")
            expect(secret(tenant) not in str(answer) + str(api.get(path(tenant))), "a secret in an answer")
    with checks.check("a site that calls before charon knows its tunnel is not refused: it comes up"):
        lab.branches.load("contoso")
        expect(lab.sites["contoso"].initiate("branch"), lab.sites["contoso"].log(2000))
        lab.sites["contoso"].forget("branch")
        lab.wait_state("contoso", "Disconnected")
    with checks.check("a tunnel whose site has not begun says so, and has no route") as note:
        note.text = wait_for(lambda: "begun" in status(lab, "contoso")["unreachabilityReason"]
                             and status(lab, "contoso")["unreachabilityReason"], 5, "a reason",
                             tell=lambda: status(lab, "contoso"))
        expect_equal(lab.routes("contoso"), [], "routes")


def prove_up(checks, lab):
    for tenant in TENANTS:
        lab.branches.load(tenant)
        with checks.check(f"{tenant}: its site comes up from behind the NAT"):
            expect(lab.sites[tenant].initiate("branch"), "the site's charon could not initiate")
            seen = lab.wait_state(tenant, "Connected")
            expect_equal(seen["unreachabilityReason"], "", "reason")
            expect_equal(sorted(sa["direction"] for sa in seen["childSas"]), ["inbound", "outbound"], "SAs")
            expect_equal({sa["encapsulation"] for sa in seen["childSas"]}, {"udp"}, "encapsulation")
            expect_equal(seen["ikeSas"][0]["remoteIdentity"], identity(tenant), "who it is")
            expect_equal(seen["ike"]["remoteAddress"], NAT, "where it is")
    with checks.check("the routes are there while the tunnels are up, and lead into them"):
        for tenant in TENANTS:
            found = wait_for(lambda tenant=tenant: lab.routes(tenant), 5, "a route")
            expect("branch" in str(found), found)
    with checks.check("hnvctl lists and shows them"):
        text = lab.gateway.ctl("vpn", "list").stdout
        expect(text.count("Connected") == 2 and identity("fabrikam") in text, text)
        text = lab.gateway.ctl("vpn", "show", "contoso", "branch").stdout
        expect("AES-GCM-256" in text and NAT in text, text)


def prove_traffic(checks, lab):
    with checks.check("VM and site reach each other both ways, in each tenant by its own tunnel") as note:
        told = []
        for tenant in TENANTS:
            other = next(name for name in TENANTS if name != tenant)
            before = status(lab, other)["statistics"]
            vm, site = lab.vm(tenant, "web1"), lab.sites[tenant].space
            wait_for(lambda vm=vm: lab.ping(vm.space, vm.ca, SITE, 1), 5, f"{tenant}: a first answer", tell=lab.gateway.drops)
            expect_equal(lab.ping(vm.space, vm.ca, SITE, 20), 20, f"{tenant}: answers of the site")
            expect_equal(lab.ping(site, SITE, vm.ca, 20), 20, f"{tenant}: answers of web1")
            expect_equal(status(lab, other)["statistics"], before, f"{other}'s counters")
            counted = status(lab, tenant)["statistics"]
            told.append(f"{tenant} {counted['inboundPackets']} in, {counted['outboundPackets']} out")
            expect(counted["inboundPackets"] >= 41 and counted["outboundPackets"] >= 41, counted)
        note.text = "; ".join(told)
    with checks.check("what the gateway counts is what the site has counted"):
        own = status(lab, "contoso")["childSas"]
        site = next(iter(lab.sites["contoso"].children("branch").values()))
        for direction, theirs in (("inbound", "out"), ("outbound", "in")):
            ours = next(sa for sa in own if sa["direction"] == direction)
            expect_equal((ours["packets"], ours["bytes"]),
                         (int(site[f"packets-{theirs}"]), int(site[f"bytes-{theirs}"])), direction)


def prove_path_mtu(checks, lab):
    vm, site = lab.vm("contoso", "web1"), lab.sites["contoso"].space
    with checks.check("what is too large is answered in the tenant's space with the inner MTU, and just less passes") as note:
        vm.space("ip", "route", "flush", "cache")
        done = vm.space("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", 1472, SITE, check=False)
        said = done.stdout + done.stderr
        expect("From 10.0.0.2" in said and f"mtu = {INNER_MTU}" in said, said)
        expect_equal(ping(vm.space, SITE, 1, size=INNER_MTU - 28), 1, f"packets of {INNER_MTU}")
        vm.space("ip", "route", "flush", "cache")
        note.text = f"MTU {INNER_MTU} of 1500 outside"
    with checks.check("TCP's segment size is lowered to what fits, and no further") as note:
        seen = Capture(site, "ipsec0", "mss", "tcp")
        expect("server of contoso" in http_get(vm.space, SITE), "the page")
        expect("server of contoso" in http_get(site, vm.ca), "web1's page")
        seen.stop()
        sizes = seen.frames("tcp.flags.syn == 1", "ip.src", "tcp.flags.ack", "tcp.options.mss_val")
        asked = {int(size) for source, _, size in sizes if source == vm.ca}
        expect_equal(asked, {INNER_MTU - 40}, f"segment sizes of web1 as the site sees them: {sizes}")
        note.text = f"{INNER_MTU - 40} for 1460; the site's own, smaller, is left"


def prove_rebinding(checks, lab):
    site = lab.sites["contoso"].space
    vm = lab.vm("contoso", "web1")

    def places(tenant="contoso"):
        return {sa["destination"] for sa in status(lab, tenant)["childSas"] if sa["direction"] == "outbound"}
    with checks.check("the NAT forgets: as soon as the site speaks from its new port, it is answered there") as note:
        before, silent = places(), places("fabrikam")
        lab.branches.nat.rebind()
        wait_for(lambda: lab.ping(site, SITE, vm.ca, 1), 10, "an answer at the new port", tell=lambda: status(lab, "contoso"))
        expect_equal(lab.ping(vm.space, vm.ca, SITE, 10), 10, "answers of the site")
        wait_for(lambda: places().isdisjoint(before), 5, "the new place in the status", tell=places)
        note.text = f"{', '.join(before)} is {', '.join(places())} now"
    with checks.check("the other site, which has nothing to say, is found when its charon asks whether we are there") as note:
        wait_for(lambda: places("fabrikam").isdisjoint(silent), 15, "the new place", tell=lambda: status(lab, "fabrikam"))
        note.text = f"{', '.join(silent)} is {', '.join(places('fabrikam'))} now"


class BothEnds:
    """Numbered datagrams both ways between web1 and contoso's site, counted wherever they pass."""

    def __init__(self, lab, name):
        self.lab = lab
        self.vm, self.site = lab.vm("contoso", "web1"), lab.sites["contoso"].space
        self.before = status(lab, "contoso")["statistics"], self.site.counters("ipsec0")
        self.wire = Capture(lab.internet.space, "eth0", name, ESP)
        self.at = {"site": Receiver(self.site, 7001, "out", SITE), "vm": Receiver(self.vm.space, 7002, "in", self.vm.ca)}
        self.senders = {"site": Sender(self.vm.space, SITE, 7001, "out", RATE, source=self.vm.ca).start(),
                        "vm": Sender(self.site, self.vm.ca, 7002, "in", RATE, source=SITE).start()}

    def stop(self):
        """Counts (handed over, encrypted or decrypted by us, on the wire, arrived) by where they went."""
        for sender in self.senders.values():
            sender.stop()
        for name, receiver in self.at.items():
            receiver.wait_all(list(self.senders[name].sent), 3)
        self.wire.stop()
        expect_equal(self.wire.dropped_by_kernel(), 0, "packets that tcpdump missed")
        statistics, tun = status(self.lab, "contoso")["statistics"], self.site.counters("ipsec0")
        ours = {key: statistics[key] - self.before[0][key] for key in statistics if key != "drops"}
        theirs = {way: tun[way]["packets"] - self.before[1][way]["packets"] for way in ("rx", "tx")}
        for receiver in self.at.values():
            expect_equal((receiver.foreign, receiver.repeated), ([], 0), "strangers and repetitions")
            receiver.close()
        return {"out": (len(self.senders["site"].sent), ours["outboundPackets"],
                        self.wire.matching(f"src host {self.lab.branches.vip}"), theirs["rx"], len(self.at["site"].first)),
                "in": (len(self.senders["vm"].sent), theirs["tx"], self.wire.matching(f"src host {NAT}"),
                       ours["inboundPackets"], len(self.at["vm"].first)),
                "dropped": ours["txTotalPacketsDropped"] + ours["rxTotalPacketsDropped"]}


def prove_nothing_lost(counts):
    """At our end, that is: what a stock site loses while it changes keys is its own. Answers a sentence."""
    handed, encrypted, wire, decrypted, arrived = counts["out"]
    expect_equal((encrypted, wire), (handed, handed), f"out: encrypted, on the wire; {counts}")
    sent, tunnelled, came, ours, reached = counts["in"]
    expect_equal((ours, reached), (came, came), f"in: decrypted, at the VM; {counts}")
    expect_equal(counts["dropped"], 0, "dropped")
    return (f"out: {handed} handed over, {encrypted} encrypted, {wire} on the wire, the site decrypted {decrypted}, {arrived} arrived; "
            f"in: {sent} sent, {tunnelled} into the site's tunnel, {came} on the wire, {ours} decrypted, {reached} at the VM")


def prove_rekey_under_traffic(checks, lab):
    site = lab.sites["contoso"]

    def changed(what, change):
        old = what()
        change()
        wait_for(lambda: what() and what() != old, 10, "new keys", tell=lambda: status(lab, "contoso"))

    def outbound():
        return lab.spis("contoso", "outbound")

    def ike_sas():
        return {name for event in site.vici.ask("list-sas", {"ike": "branch"}, stream="list-sa")
                for name in [event["branch"]["uniqueid"]]}
    with checks.check("one minute of traffic over ten rekeys and two of IKE: nothing is lost at our end") as note:
        begin = time.monotonic()
        ends = BothEnds(lab, "rekeys")
        for number in range(12):
            wait_for(lambda n=number: time.monotonic() - begin > (n + 1) * SECONDS / 13, SECONDS, "its turn")
            if number % 6 == 5:
                changed(ike_sas, lambda: site.vici.must("rekey", {"ike": "branch"}))
            elif number % 2:
                changed(outbound, lambda: site.vici.must("rekey", {"child": "branch"}))
            else:
                changed(outbound, lambda: lab.gateway.ctl("vpn", "rekey", "contoso", "branch"))
        wait_for(lambda: time.monotonic() - begin > SECONDS, SECONDS, "the minute's end")
        note.text = prove_nothing_lost(ends.stop())
        wait_for(lambda: len(lab.spis("contoso", "inbound")) == 1, 10, "the old SAs' end", tell=lambda: status(lab, "contoso"))


def prove_actions(checks, lab):
    with checks.check("rekey gives new SAs, and the tunnel stays up") as note:
        before = lab.spis("contoso", "outbound")
        lab.gateway.ctl("vpn", "rekey", "contoso", "branch")
        wait_for(lambda: lab.spis("contoso", "outbound").isdisjoint(before), 10, "a new outbound SA",
                 tell=lambda: status(lab, "contoso"))
        expect_equal(status(lab, "contoso")["connectionState"], "Connected", "state")
        note.text = f"{status(lab, 'contoso')['ike']['rekeys']} rekeys"
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
        seen = lab.wait_state("contoso", "Disconnected")
        expect("Disabled" in seen["unreachabilityReason"], seen)
        lab.gateway.api.put(path("contoso"), lab.tunnel("contoso"))
        wait_for(lambda: lab.sites["contoso"].initiate("branch"), 20, "the site up")
        lab.wait_state("contoso", "Connected")


def prove_rate(checks, lab):
    """Who says no rate has RRAS's 5,120 kbit/s of inner IP bytes each way, 50 ms of that at once, and 40 more that wait."""
    seconds, rate, size = 3, 1200, 1000
    vm, site = lab.vm("contoso", "web1"), lab.sites["contoso"].space
    body = lab.branches.connection("contoso")
    with checks.check("the default rate is taken without a break"):
        answer = lab.gateway.api.put(path("contoso"), body)
        expect_equal((answer["outboundKiloBitsPerSecond"], answer["inboundKiloBitsPerSecond"]), (5120, 5120), "rates")
        expect_equal(status(lab, "contoso")["connectionState"], "Connected", "state")
    # Open until the end: to what has waited and comes late, a closed port's host would answer.
    receivers = [Receiver(target, 7003, "rate", there) for target, there in ((site, SITE), (vm.space, vm.ca))]
    for way, other, (source, address), there in (
            ("outbound", "tx", (vm.space, vm.ca), SITE), ("inbound", "rx", (site, SITE), vm.ca)):
        with checks.check(f"{way}: 5,120 kbit/s pass of twice as much, the rest is counted") as note:
            before, begin = status(lab, "contoso")["statistics"], time.monotonic()
            sender = Sender(source, there, 7003, "rate", rate, source=address, size=size)
            sent = sender.burst(seconds * rate)
            took = time.monotonic() - begin
            keys = f"{way}Packets", f"{other}RateLimitedPacketsDropped"

            def counted(keys=keys, before=before):
                now = status(lab, "contoso")["statistics"]
                return [now[key] - before[key] for key in keys]
            wait_for(lambda: sum(counted()) == len(sent), 3, "passed and refused", tell=counted)
            passed, refused = counted()
            wait_for(lambda key=f"{other}QueueBytes": status(lab, "contoso")["statistics"][key] == 0, 3, "the queue's end")
            packet = size + 8 + 28
            allowed = ((0.050 + 0.040 + took) * 640_000) / packet
            expect(abs(passed - allowed) < 0.03 * allowed, f"{passed} passed in {took:.2f} s, {allowed:.0f} may")
            note.text = f"{len(sent)} packets of {packet} bytes in {took:.2f} s: {passed} passed, {refused} refused; {allowed:.0f} may pass"
    for receiver in receivers:
        receiver.close()
    lab.gateway.api.put(path("contoso"), lab.tunnel("contoso"))


def prove_crash(checks, lab):
    with checks.check("kill -9 of charon: another one is started, and no packet of what is up is lost") as note:
        before = lab.charon()
        ends = BothEnds(lab, "crash")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: lab.charon() != before, 10, "another charon")
        wait_for(lambda: lab.gateway.api.get("/v1/system")["ipsec"] == "up", 15, "charon ready")
        wait_for(lambda: len(ends.senders["site"].sent) > 4 * RATE, 10, "four seconds of traffic")
        note.text = prove_nothing_lost(ends.stop())
        for tenant in TENANTS:
            expect_equal(status(lab, tenant)["connectionState"], "Connected", tenant)
        expect_equal(lab.gateway.api.get("/v1/system")["ipsecRestarts"], 1, "restarts")
    with checks.check("the sites begin anew and are up with the new one"):
        for tenant in TENANTS:
            lab.sites[tenant].forget("branch", force="yes")
            lab.branches.load(tenant)
            expect(lab.sites[tenant].initiate("branch"), tenant)
            lab.wait_state(tenant, "Connected")


def prove_end(checks, lab):
    with checks.check("what is removed leaves nothing behind"):
        lab.gateway.api.delete(path("contoso"))
        expect_equal(lab.routes("contoso"), [], "routes")
        expect_equal(lab.gateway.api.get("/v1/system")["tunnels"], 1, "tunnels")
        expect_equal(status(lab, "fabrikam")["connectionState"], "Connected", "fabrikam's")
    with checks.check("no secret is in the log, and the store is for the gateway's eyes"):
        text = lab.gateway.log(1 << 24)
        for tenant in TENANTS:
            expect(secret(tenant) not in text, f"{tenant}'s secret is in the log")
        expect_equal(os.stat(lab.gateway.config["store"]).st_mode & 0o777, 0o600, "the store's mode")
    with checks.check("the ledger holds") as note:
        note.text = wait_for(lambda: ledger_balanced(lab.gateway), 5, "the ledger")
    with checks.check("the gateway ends at once, and its charon with it; the site is told"):
        charon, position = lab.charon(), lab.sites["fabrikam"].log_size()
        expect_equal(lab.gateway.stop(), 0, "exit status")
        expect(not os.path.exists(f"/proc/{charon}"), "charon is left")
        wait_for(lambda: lab.sites["fabrikam"].logged_since(position, "received DELETE for IKE_SA"), 5, "the site to hear of it")


def prove(checks, lab):
    for part in (prove_before, prove_up, prove_traffic, prove_path_mtu, prove_rebinding, prove_rekey_under_traffic,
                 prove_actions, prove_rate, prove_crash, prove_end):
        part(checks, lab)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
