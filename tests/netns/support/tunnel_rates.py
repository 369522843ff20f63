# SPDX-License-Identifier: Apache-2.0
"""Real TCP through the tunnels of the lab's tenants (support/branches.py): its share of the rate, counted as the gateway
counts inner IP, and the delay of pings beside it. contoso's flows leave through its tunnel, fabrikam's come in.

What is measured is a verdict on the gateway only while the machine keeps up: with its processors all taken, or threads here that
do not run when they should, the site's ESP or the hosts' switches are what is slow. Such a measurement is made again, twice at most, and then
told without a verdict (Note.undecided). That no tunnel has more than its rate holds on any machine.
"""

import itertools
import os
import re
import threading
import time

from .branches import SITE, path
from .checks import expect, expect_equal
from .ipsec_proofs import status
from .lab_topology import TENANTS
from .wait import wait_for

RATE = 5120  # kbit/s: a tunnel's, unless told otherwise
LEAST, MOST = 0.95, 1.01
DELAY = 50  # ms above idle, at the 99th percentile
STALL, IDLE = 0.08, 0.15  # a thread of ours came so many seconds late; so little of all processors was left
TRIES = 3
SOON, TRIES_TO_READ = 0.02, 20  # seconds that an answer with counters may take, so that they are of a known moment
PORT = 5301
NUMBERS = itertools.count()
WAYS = {"contoso": "outbound", "fabrikam": "inbound"}
STATISTICS = {"outbound": "tx", "inbound": "rx"}


class Flows:
    """Whose flow goes which way through the tenants' tunnels, and how long a packet takes when nothing else is there."""

    def __init__(self, lab):
        self.lab = lab
        for tenant in TENANTS:
            wait_for(lambda tenant=tenant: self.idle(tenant), 15, f"{tenant}: an answer through the tunnel", tell=lab.gateway.drops)
        self.at_rest = {tenant: self.idle(tenant, 40) for tenant in TENANTS}

    def ends(self, tenant):
        """(who sends, its address, who receives, its address)."""
        vm, site = self.lab.vm(tenant, "web1"), self.lab.branches.sites[tenant].space
        out = (vm.space, vm.ca, site, SITE)
        return out if WAYS[tenant] == "outbound" else (site, SITE, vm.space, vm.ca)

    def idle(self, tenant, count=1):
        """Median round trip in ms, or None."""
        source, own, _, address = self.ends(tenant)
        done = source("ping", "-n", "-c", count, "-i", 0.02, "-W", 1, "-I", own, address, check=False)
        times = round_trips(done.stdout)
        return sorted(times)[len(times) // 2] if times else None


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

    def __init__(self, flows, seconds, skip, streams=1, congestion="cubic", tenants=TENANTS, change=None):
        self.rate, self.delay, self.answered, self.marked, self.dropped = {}, {}, {}, {}, {}
        self.surely = {}  # kbit/s at least, however late the counters were answered
        watch = Watch()
        begin = time.monotonic()
        running = {tenant: self._start(flows, tenant, seconds, streams, congestion) for tenant in tenants}
        self._until(begin + skip)
        if change:
            change()
            self._until(begin + skip + 2)
        first = {tenant: self._read(flows.lab, tenant) for tenant in tenants}
        self._until(begin + seconds - 0.3)
        last = {tenant: self._read(flows.lab, tenant) for tenant in tenants}
        for tenant, processes in running.items():
            _, took, passed, self.marked[tenant], self.dropped[tenant] = (b - a for a, b in zip(first[tenant], last[tenant]))
            self.rate[tenant] = passed * 8 / took / 1000
            self.surely[tenant] = passed * 8 / (last[tenant][1] - first[tenant][0]) / 1000
            for process in processes:
                process.wait(30)
            times = round_trips(processes[-1].output(1 << 20))
            expect(times, f"{tenant}: no ping was answered: {processes[-1].output()}; {processes[1].output()}")
            self.answered[tenant] = len(times)
            self.delay[tenant] = percentile(times, 0.99) - flows.at_rest[tenant]
        self.watch = watch.stop()

    @staticmethod
    def _until(moment):
        wait_for(lambda: time.monotonic() >= moment, 60, "its time", 0.02)

    @staticmethod
    def _read(lab, tenant):
        """(asked when, answered when, inner bytes, marked, dropped) so far; asked again where the answer came late."""
        for _ in range(TRIES_TO_READ):
            asked = time.monotonic()
            seen = status(lab, tenant)["statistics"]
            answered = time.monotonic()
            if answered - asked < SOON:
                break
        way = STATISTICS[WAYS[tenant]]
        return (asked, answered, seen[f"{WAYS[tenant]}Bytes"], seen[f"{way}RateLimitedPacketsMarked"],
                seen[f"{way}RateLimitedPacketsDropped"])

    @staticmethod
    def _start(flows, tenant, seconds, streams, congestion):
        source, own, sink, address = flows.ends(tenant)
        server = sink.spawn(f"{tenant}-iperf3-server", "iperf3", "-s", "-1", "-B", address, "-p", PORT)
        wait_for(lambda: f":{PORT}" in sink("ss", "-ltn").stdout, 5, f"{tenant}: iperf3 listens", tell=server.output)
        client = source.spawn(f"{tenant}-iperf3", "iperf3", "-c", address, "-B", own, "-p", PORT, "-t", seconds, "-P", streams,
                              "-C", congestion)
        ping = source.spawn(f"{tenant}-ping-{os.getpid()}-{next(NUMBERS)}", "ping", "-n", "-i", 0.05, "-c", int((seconds - 1) / 0.05), "-W", 1,
                            "-I", own, address)
        return server, client, ping

    def tell(self, tenant):
        return (f"{WAYS[tenant]} {self.rate[tenant]:.0f} kbit/s, p99 of {self.answered[tenant]} pings "
                f"{self.delay[tenant]:.1f} ms above idle, {self.dropped[tenant]} dropped, {self.marked[tenant]} marked")


def measure(note, flows, judge, most=RATE, tries=TRIES, **how):
    """A measurement that judge finds right, or that the machine spoiled each time."""
    for _ in range(tries):
        seen = Measurement(flows, **how)
        told = "; ".join(seen.tell(tenant) for tenant in seen.rate)
        note.text += (" | " if note.text else "") + told
        for tenant, rate in seen.surely.items():  # that holds on any machine
            expect(rate <= most * MOST, f"{tenant} has more than its {most} kbit/s: {told}")
        try:
            judge(seen, told)
            return
        except AssertionError:
            if not seen.watch.spoiled:
                raise
        note.text += f"; no verdict: {seen.watch}"
    note.undecided = True


def carries_its_rate(rate=RATE):
    def judge(seen, told):
        for tenant, passed in seen.rate.items():
            expect(LEAST * rate <= passed, f"{tenant} has less than {LEAST:.0%} of {rate} kbit/s: {told}")
            expect(seen.delay[tenant] < DELAY, f"{tenant} waits {DELAY} ms or longer: {told}")
    return judge


def prove_rate(checks, flows, seconds, skip, tries=TRIES):
    """That a flow has the rate of its tunnel, and no delay stands; both ways at once."""
    with checks.check(f"{seconds} s of a cubic flow, one tenant's out, the other's in: the last {seconds - skip} have the rate of "
                      f"{RATE} kbit/s of inner IP, and no delay stands") as note:
        measure(note, flows, carries_its_rate(), seconds=seconds, skip=skip, tries=tries)


def prove_another_rate(checks, flows, seconds, tries=TRIES):
    """That PUT of another rate reaches the flow that runs."""
    lab = flows.lab

    def keys():
        return {tenant: sorted(sa["spi"] for sa in status(lab, tenant)["childSas"]) for tenant in TENANTS}

    def put(rate):
        for tenant in TENANTS:
            lab.gateway.api.put(path(tenant), {**lab.branches.connection(tenant), f"{WAYS[tenant]}KiloBitsPerSecond": rate})
    with checks.check(f"PUT of {4 * RATE} kbit/s while it runs: the flow has them, and the tunnel stays as it is") as note:
        before = keys()
        try:
            measure(note, flows, carries_its_rate(4 * RATE), most=4 * RATE, seconds=seconds, skip=2, tries=tries,
                    change=lambda: put(4 * RATE))
            expect_equal(keys(), before, "SPIs")
        finally:
            put(RATE)
