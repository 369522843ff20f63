#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Changes of one domain do not touch another's traffic; a domain may go and come back under load.

The lab's topology. Numbered traffic of both tenants flows through the gateway all the time, while
fabrikam is filled with records, emptied, removed and made again.
"""

import sys
import time

from support.checks import expect, expect_equal, topology
from support.lab_proofs import warm_up
from support.lab_topology import SERVER, Lab
from support.traffic import Receiver, Sender, ping
from support.wait import wait_for

RATE = 200
FABRIKAM = "/v1/routingDomains/fabrikam"


def build(run, arguments):
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.start_gateway()
    lab.configure()
    return lab


class Streams:
    """A tenant's streams from a VM to its server and back, and through the hairpin."""

    def __init__(self, lab, tenant):
        server, web2, app2 = lab.servers[tenant], lab.vm(tenant, "web2"), lab.vm(tenant, "app2")
        web1 = lab.vm(tenant, "web1")
        self.pairs = []
        for sender, receiver, address, port in ((web2, server, SERVER, 9601), (server, web2, web2.ca, 9602),
                                                (app2, web1, web1.ca, 9603)):
            inlet = Receiver(receiver.space, port, tenant)
            self.pairs.append((Sender(sender.space, address, port, tenant, RATE).start(), inlet))

    def flow(self, timeout=10):
        before = [len(r.first) for _, r in self.pairs]
        wait_for(lambda: all(len(r.first) > b + 30 for (_, r), b in zip(self.pairs, before)), timeout,
                 "every stream to flow")

    def stop(self):
        """Ends the streams; answers (sent, lost, repeated, foreign)."""
        sent = lost = repeated = 0
        foreign = []
        for sender, receiver in self.pairs:
            numbers = list(sender.stop())
            sent += len(numbers)
            lost += len(receiver.wait_all(numbers))
            repeated += receiver.repeated
            foreign += receiver.foreign
            receiver.close()
        return sent, lost, repeated, foreign


def fill_and_empty(api):
    """10,000 records in one transaction, then gone again in one."""
    records = [{"type": "Static", "customerAddress": f"10.65.{n // 250}.{n % 250 + 1}", "providerAddress": "10.250.0.11",
                "macAddress": f"00:15:5d:65:{n // 250:02x}:{n % 250:02x}"} for n in range(10000)]
    path = f"{FABRIKAM}/virtualSubnets/many"
    api.put(path, {"addressPrefixes": ["10.65.0.0/16"], "kind": "vm", "providerNetwork": "fabric"})
    api.patch(f"{path}/lookupRecords", [{"op": "put", "record": r} for r in records])
    api.put(f"{path}/lookupRecords", {"value": []})
    api.delete(path)


def remove_domain(lab):
    """All of fabrikam in one transaction, children first."""
    paths = [r["path"] for r in lab.resources() if r["path"].startswith(FABRIKAM)]
    lab.gateway.api.batch([{"method": "DELETE", "path": p} for p in reversed(paths)])


def make_domain(lab):
    lab.gateway.api.apply([r for r in lab.resources() if r["path"].startswith(FABRIKAM)])
    lab.tell_hosts()


def prove(checks, lab):
    api = lab.gateway.api
    with checks.check("traffic before"):
        warm_up(lab)
    contoso, fabrikam = Streams(lab, "contoso"), Streams(lab, "fabrikam")
    try:
        with checks.check("both tenants' streams flow"):
            contoso.flow()
            fabrikam.flow()
        with checks.check("fabrikam: 200 records moved and 10,000 put and removed, with traffic of both") as note:
            begin = time.monotonic()
            for number in range(200):
                api.put(f"{FABRIKAM}/virtualSubnets/web/lookupRecords/10.0.1.{100 + number % 50}", {
                    "type": "Static", "customerAddress": f"10.0.1.{100 + number % 50}",
                    "providerAddress": f"10.250.0.{11 + number % 2}", "macAddress": "00:15:5d:01:00:99"})
            fill_and_empty(api)
            note.text = f"{time.monotonic() - begin:.1f} s"
        with checks.check("fabrikam lost nothing by changes that do not concern its streams") as note:
            fabrikam.flow()
            sent, lost, repeated, foreign = fabrikam.stop()
            expect_equal((lost, repeated, foreign), (0, 0, []), "lost, repeated, foreign")
            note.text = f"{sent} datagrams"
        fabrikam = Streams(lab, "fabrikam")
        for round_number in range(5):
            with checks.check(f"fabrikam goes and comes back under its own load, {round_number + 1}") as note:
                fabrikam.flow()
                unknown = lab.gateway.drops().get("nvgre_unknown_vsid", 0)
                remove_domain(lab)
                wait_for(lambda u=unknown: lab.gateway.drops().get("nvgre_unknown_vsid", 0) > u + 20, 5,
                         "drops for nvgre_unknown_vsid")
                expect_equal(api.request("GET", FABRIKAM).status, 404, "status of the removed domain")
                make_domain(lab)
                begin = time.monotonic()
                fabrikam.flow()
                note.text = f"flows {time.monotonic() - begin:.2f} s after it is back"
        with checks.check("nothing of another tenant came to fabrikam"):
            expect_equal(fabrikam.stop()[3], [], "foreign payloads")
            fabrikam = None
        with checks.check("contoso lost nothing through all of it") as note:
            contoso.flow()
            sent, lost, repeated, foreign = contoso.stop()
            contoso = None
            expect_equal((lost, repeated, foreign), (0, 0, []), "lost, repeated, foreign")
            note.text = f"{sent} datagrams"
    finally:
        for streams in (contoso, fabrikam):
            if streams:
                streams.stop()
    with checks.check("old dataplanes are freed"):
        wait_for(lambda: api.get("/v1/statistics")["rootsWaiting"] <= 1, 5, "the grace period")
    with checks.check("buffers are back: nothing leaks") as note:
        system = api.get("/v1/system")
        held = system["packetBuffers"] - system["packetBuffersFree"]
        ping(lab.vm("contoso", "web1").space, SERVER, 50)
        after = api.get("/v1/system")
        now = after["packetBuffers"] - after["packetBuffersFree"]
        expect(abs(now - held) < 64, f"{held} buffers in use before 50 pings, {now} after")
        note.text = f"{now} of {after['packetBuffers']} in use"


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
