#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rate limits that TCP likes: real TCP through the tunnels of the lab's two tenants, to a stock strongSwan site of each.

The topology of the lab is drawn in support/lab_topology.py, that of the sites in support/branches.py. Both tunnels have the
default rate, 5,120 kbit/s of inner IP each way; contoso's flows leave through it, fabrikam's come in, at the same time.

What is measured is a verdict on the gateway only while the machine keeps up: with its processors all taken, or threads here that
do not run when they should, the site's ESP or the hosts' switches are what is slow. Such a measurement is made again, twice at most, and then
told without a verdict. That no tunnel has more than its rate holds on any machine.
"""

import itertools
import re
import sys
import threading
import time

from support.branches import SITE, path
from support.checks import expect, expect_equal, topology
from support.gateway import ledger_balanced
from support.ipsec_proofs import status
from support.lab_topology import TENANTS, Lab
from support.wait import wait_for

RATE = 5120  # kbit/s
LEAST, MOST = 0.95, 1.01
DELAY = 50  # ms above idle, at the 99th percentile
STALL, IDLE = 0.08, 0.15  # a thread of ours came so many seconds late; so little of all processors was left
TRIES = 3
PORT = 5301
NUMBERS = itertools.count()
# Datagrams of 1,000 bytes at a rate in kbit/s; own address, address, rate.
FLOOD = """
import select, socket, sys, time
own, address, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((own, 0))
begin, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - begin) * rate * 125 / 1000)
    if due - sent > 50:
        sent = due - 50
    while sent < due:
        try:
            sock.sendto(b"f" * 972, (address, 9))
        except OSError:
            pass
        sent += 1
    select.select([], [], [], 0.002)
"""
WAYS = {"contoso": "outbound", "fabrikam": "inbound"}
STATISTICS = {"outbound": "tx", "inbound": "rx"}


class Limited(Lab):
    def __init__(self, run, arguments):
        super().__init__(run, arguments.gateway, arguments.hnvctl)
        self.add_branches()
        self.start_gateway()
        self.gateway.api.apply(self.resources())
        self.tell_hosts()
        for tenant in TENANTS:
            self.gateway.api.put(path(tenant), self.branches.connection(tenant))
        wait_for(lambda: self.gateway.api.get("/v1/system")["ipsec"] == "up", 15, "charon")
        self.branches.connect()
        for tenant in TENANTS:
            wait_for(lambda tenant=tenant: self.idle(tenant), 15, f"{tenant}: an answer through the tunnel", tell=self.gateway.drops)
        self.at_rest = {tenant: self.idle(tenant, 40) for tenant in TENANTS}

    def ends(self, tenant):
        """(who sends, its address, who receives, its address)."""
        vm, site = self.vm(tenant, "web1"), self.branches.sites[tenant].space
        out = (vm.space, vm.ca, site, SITE)
        return out if WAYS[tenant] == "outbound" else (site, SITE, vm.space, vm.ca)

    def idle(self, tenant, count=1):
        """Median round trip in ms, or None."""
        source, own, _, address = self.ends(tenant)
        done = source("ping", "-n", "-c", count, "-i", 0.02, "-W", 1, "-I", own, address, check=False)
        times = round_trips(done.stdout)
        return sorted(times)[len(times) // 2] if times else None

    def dump(self):
        print(self.gateway.dump(), file=sys.stderr)


def build(run, arguments):
    return Limited(run, arguments)


def round_trips(text):
    return [float(ms) for ms in re.findall(r"time=([\d.]+)", text)]


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def processors():
    """(idle, all) ticks of all processors so far."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


class Watch:
    """What a measurement was worth: how late a thread of ours came at most, and what of the processors was left."""

    def __init__(self):
        self.worst, self.idle = 0.0, 1.0
        self._begin = processors()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        while True:
            begin = time.monotonic()
            if self._stop.wait(0.005):
                return
            self.worst = max(self.worst, time.monotonic() - begin - 0.005)

    def stop(self):
        self._stop.set()
        self._thread.join()
        idle, every = (now - then for now, then in zip(processors(), self._begin))
        self.idle = idle / max(1, every)
        return self

    @property
    def spoiled(self):
        return self.worst > STALL or self.idle < IDLE

    def __str__(self):
        return f"a thread came {self.worst * 1000:.0f} ms late, {self.idle:.0%} of the processors were idle"


class Measurement:
    """TCP of the tenants at once, each through its own tunnel, and a ping beside it.

    change(), when there is one, comes when `skip` seconds are over; what is measured begins two seconds behind that.
    """

    def __init__(self, lab, seconds, skip, flows=1, congestion="cubic", tenants=TENANTS, change=None):
        self.rate, self.delay, self.answered, self.marked, self.dropped = {}, {}, {}, {}, {}
        watch = Watch()
        begin = time.monotonic()
        running = {tenant: self._start(lab, tenant, seconds, flows, congestion) for tenant in tenants}
        self._until(begin + skip)
        if change:
            change()
            self._until(begin + skip + 2)
        first = {tenant: self._read(lab, tenant) for tenant in tenants}
        self._until(begin + seconds - 0.3)
        last = {tenant: self._read(lab, tenant) for tenant in tenants}
        for tenant, processes in running.items():
            took, passed, self.marked[tenant], self.dropped[tenant] = (b - a for a, b in zip(first[tenant], last[tenant]))
            self.rate[tenant] = passed * 8 / took / 1000
            for process in processes:
                process.wait(30)
            times = round_trips(processes[-1].output(1 << 20))
            expect(times, f"{tenant}: no ping was answered: {processes[-1].output()}; {processes[1].output()}")
            self.answered[tenant] = len(times)
            self.delay[tenant] = percentile(times, 0.99) - lab.at_rest[tenant]
        self.watch = watch.stop()

    @staticmethod
    def _until(moment):
        wait_for(lambda: time.monotonic() >= moment, 60, "its time", 0.02)

    @staticmethod
    def _read(lab, tenant):
        """(when, inner bytes, marked, dropped) so far."""
        statistics, way = status(lab, tenant)["statistics"], STATISTICS[WAYS[tenant]]
        return (time.monotonic(), statistics[f"{WAYS[tenant]}Bytes"], statistics[f"{way}RateLimitedPacketsMarked"],
                statistics[f"{way}RateLimitedPacketsDropped"])

    @staticmethod
    def _start(lab, tenant, seconds, flows, congestion):
        source, own, sink, address = lab.ends(tenant)
        server = sink.spawn(f"{tenant}-iperf3-server", "iperf3", "-s", "-1", "-B", address, "-p", PORT)
        wait_for(lambda: f":{PORT}" in sink("ss", "-ltn").stdout, 5, f"{tenant}: iperf3 listens", tell=server.output)
        client = source.spawn(f"{tenant}-iperf3", "iperf3", "-c", address, "-B", own, "-p", PORT, "-t", seconds, "-P", flows,
                              "-C", congestion)
        ping = source.spawn(f"{tenant}-ping-{next(NUMBERS)}", "ping", "-n", "-i", 0.05, "-c", int((seconds - 1) / 0.05), "-W", 1,
                            "-I", own, address)
        return server, client, ping

    def tell(self, tenant):
        return (f"{WAYS[tenant]} {self.rate[tenant]:.0f} kbit/s, p99 of {self.answered[tenant]} pings "
                f"{self.delay[tenant]:.1f} ms above idle, {self.dropped[tenant]} dropped, {self.marked[tenant]} marked")


def measure(note, lab, judge, most=RATE, **how):
    """A measurement that judge finds right, or that the machine spoiled each time."""
    for _ in range(TRIES):
        seen = Measurement(lab, **how)
        told = "; ".join(seen.tell(tenant) for tenant in seen.rate)
        note.text += (" | " if note.text else "") + told
        for tenant, rate in seen.rate.items():  # that holds on any machine
            expect(rate <= most * MOST, f"{tenant} has more than its {most} kbit/s: {told}")
        try:
            judge(seen, told)
            return
        except AssertionError:
            if not seen.watch.spoiled:
                raise
        note.text += f"; no verdict: {seen.watch}"


def carries_its_rate(rate=RATE):
    def judge(seen, told):
        for tenant, passed in seen.rate.items():
            expect(LEAST * rate <= passed, f"{tenant} has less than {LEAST:.0%} of {rate} kbit/s: {told}")
            expect(seen.delay[tenant] < DELAY, f"{tenant} waits {DELAY} ms or longer: {told}")
    return judge


def prove_tcp(checks, lab):
    with checks.check("30 s of a cubic flow, one tenant's out, the other's in: the last 25 have the rate, and no delay stands") as note:
        measure(note, lab, carries_its_rate(), seconds=30, skip=5)
    kernel = lab.ends("contoso")[0]("sysctl", "-n", "net.ipv4.tcp_available_congestion_control").stdout.split()
    if "bbr" in kernel:
        with checks.check("likewise one of bbr") as note:
            measure(note, lab, carries_its_rate(), seconds=10, skip=3, congestion="bbr")
    with checks.check("likewise eight of cubic at once") as note:
        measure(note, lab, carries_its_rate(), seconds=10, skip=3, flows=8)
    with checks.check("a flow that knows ECN is marked") as note:
        def set_ecn(value):
            for tenant in TENANTS:
                for space in lab.ends(tenant)[::2]:
                    space("sysctl", "-qw", f"net.ipv4.tcp_ecn={value}")
        set_ecn(1)

        def judge(seen, told):
            carries_its_rate()(seen, told)
            expect(all(seen.marked.values()), f"nothing was marked: {told}")
        measure(note, lab, judge, seconds=8, skip=3)
        set_ecn(2)  # only where it is asked for, as by default


def prove_change(checks, lab):
    with checks.check("20,480 kbit/s while it runs: the flow has them, and the tunnel stays as it is") as note:
        def spis():
            return sorted(sa["spi"] for sa in status(lab, "contoso")["childSas"])

        def four_times():
            body = lab.branches.connection("contoso")
            lab.gateway.api.put(path("contoso"), {**body, "outboundKiloBitsPerSecond": 4 * RATE})
        before = spis()
        measure(note, lab, carries_its_rate(4 * RATE), most=4 * RATE, seconds=10, skip=2, tenants=["contoso"], change=four_times)
        expect_equal(spis(), before, "SAs")
        lab.gateway.api.put(path("contoso"), lab.branches.connection("contoso"))


def prove_flood(checks, lab):
    with checks.check("a tunnel that is flooded with four times its rate costs the other tenant's nothing") as note:
        source, own, _, address = lab.ends("contoso")
        before = status(lab, "contoso")["statistics"]["txRateLimitedPacketsDropped"]
        flood = source.spawn("flood", sys.executable, "-c", FLOOD, own, address, 4 * RATE)
        try:
            measure(note, lab, carries_its_rate(), seconds=8, skip=2, tenants=["fabrikam"])
            seen = status(lab, "contoso")["statistics"]
            expect(seen["txQueueBytes"] > 0, f"a queue: {seen}")
            expect(0 < seen["txQueueDelay"] < 0.05, f"its delay: {seen}")
            expect(seen["txRateLimitedPacketsDropped"] > before, seen)
        finally:
            flood.stop()
        wait_for(lambda: status(lab, "contoso")["statistics"]["txQueueBytes"] == 0, 5, "the queue's end")


def prove_end(checks, lab):
    with checks.check("the tunnel is removed while packets wait: they end under a reason, and the ledger holds") as note:
        source, own, _, address = lab.ends("contoso")
        flood = source.spawn("flood-2", sys.executable, "-c", FLOOD, own, address, 4 * RATE)
        wait_for(lambda: status(lab, "contoso")["statistics"]["txQueueBytes"] > 10_000, 5, "a queue")
        lab.gateway.api.delete(path("contoso"))
        flood.stop()
        wait_for(lambda: lab.gateway.drops().get("ipsec_tunnel_gone", 0) > 0, 5, "what waited", tell=lab.gateway.drops)
        note.text = wait_for(lambda: ledger_balanced(lab.gateway), 5, "the ledger")


def prove(checks, lab):
    for part in (prove_tcp, prove_change, prove_flood, prove_end):
        part(checks, lab)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
