#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 and restart under load: what was acknowledged is there, traffic flows without a human.

The lab's topology. While numbered traffic flows both ways through the gateway, a client changes
the desired state in transactions of two records each, and remembers which were acknowledged. Then
the gateway is killed, in the middle of whatever it does, and started again.
"""

import http.client
import os
import sys
import threading
import time

from support.api import Api
from support.checks import expect, expect_equal, topology
from support.lab_proofs import warm_up
from support.lab_topology import SERVER, Lab
from support.traffic import Receiver, Sender, ping
from support.wait import wait_for

ROUNDS = 4
RECORDS = "/v1/routingDomains/contoso/virtualSubnets/app/lookupRecords"


def build(run, arguments):
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.start_gateway()
    lab.configure()
    return lab


def record_of(number):
    """The record that step `number` of the client writes: 64 addresses, in turn, new values each time."""
    return {"customerAddress": f"10.0.2.{100 + number % 64}", "providerAddress": f"10.250.0.{20 + number % 200}",
            "macAddress": f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
            "type": "Static"}


class Changes:
    """A client that changes two records a transaction until the gateway is gone."""

    def __init__(self, api_socket, first):
        self.api = Api(api_socket, timeout=5)
        self.acknowledged = first  # steps below this one were answered
        self.attempted = first     # and this one may have been asked for
        self.unexpected = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        while not self._stop.is_set():
            step = self.acknowledged
            self.attempted = step + 1
            pair = [record_of(2 * step), record_of(2 * step + 1)]
            try:
                answer = self.api.request("PATCH", RECORDS, [{"op": "put", "record": r} for r in pair])
            except (OSError, http.client.HTTPException):
                return  # killed; whether this step counts is open
            if not 200 <= answer.status < 300:
                self.unexpected = f"{answer.status} {answer.text[:300]}"
                return
            self.acknowledged = step + 1

    def ended(self):
        self._thread.join(10)
        return not self._thread.is_alive()


def expected_records(steps):
    """What the store has to hold after this many steps: address -> MAC."""
    return {r["customerAddress"]: r["macAddress"] for r in map(record_of, range(max(0, 2 * steps - 64), 2 * steps))}


def stored_records(api):
    answer = api.get(f"{RECORDS}?limit=10000")
    return {r["customerAddress"]: r["macAddress"] for r in answer["value"]
            if ":" not in r["customerAddress"] and int(r["customerAddress"].rsplit(".", 1)[1]) >= 100}


def everything_else(api):
    """All that the client does not change."""
    state = api.everything()
    del state["generation"], state[RECORDS.removeprefix("/v1/")]
    return state


def files_of_dpdk(pid):
    """What a process of DPDK would leave behind under /run/dpdk: what it maps or holds open there, or calls its own."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        found = {line.split(maxsplit=5)[-1].strip() for line in maps}
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            continue
    if os.path.isdir("/run/dpdk"):
        found.update(f"/run/dpdk/{name}" for name in os.listdir("/run/dpdk") if str(pid) in name)
    return sorted(name for name in found if name.startswith("/run/dpdk/"))


def round_of_death(lab, number, steps, receiver, sender):
    """One kill and restart; answers the steps that are now in the store, and a report."""
    gateway = lab.gateway
    before = everything_else(gateway.api)
    changes = Changes(gateway.config["api"]["socket"], steps)
    wait_for(lambda: changes.acknowledged >= steps + 20 + 13 * number, 20, "acknowledged changes under load")
    generation = gateway.api.get("/v1/system")["generation"]
    expect_equal(files_of_dpdk(gateway.process.pid), [], "what nobody would remove after kill -9")
    gateway.kill()
    expect(changes.ended() and changes.unexpected is None, f"the client saw {changes.unexpected}")
    killed = time.monotonic()
    last = max(receiver.first)
    gateway.start()
    wait_for(lambda: max(receiver.first) > last + 50, 15, "traffic after the restart")
    first = min(when for when in receiver.first.values() if when > killed + 0.05)

    stored = stored_records(gateway.api)
    wanted = {steps: expected_records(steps) for steps in (changes.acknowledged, changes.attempted)}
    found = [s for s, records in wanted.items() if records == stored]
    expect(found, f"the store holds neither step {changes.acknowledged} nor {changes.attempted} whole: "
                  f"{set(stored.items()) ^ set(wanted[changes.acknowledged].items())}")
    expect_equal(everything_else(gateway.api), before, "what nobody changed")
    expect(gateway.api.get("/v1/system")["generation"] >= generation, "the generation went backwards")
    fate = "whole" if found[0] == changes.attempted != changes.acknowledged else "not at all"
    return found[0], (f"{changes.acknowledged - steps} transactions acknowledged, the open one {fate}; ready after "
                      f"{gateway.ready_after:.2f} s, first packet {first - killed:.2f} s after the kill")


def prove(checks, lab):
    server = lab.servers["contoso"]
    with checks.check("traffic before"):
        warm_up(lab)  # Open vSwitch drops what it asks a neighbour's MAC for; none of that below
    receiver = Receiver(server.space, 9300, "contoso")
    sender = Sender(lab.vm("contoso", "web2").space, SERVER, 9300, "contoso", rate=500).start()
    back = Receiver(lab.vm("contoso", "web2").space, 9301, "contoso")
    answers = Sender(server.space, "10.0.1.12", 9301, "contoso", rate=500).start()
    steps = 0
    try:
        wait_for(lambda: len(receiver.first) > 50 and len(back.first) > 50, 10, "traffic both ways")
        for number in range(ROUNDS):
            with checks.check(f"kill -9 under load, {number + 1}") as note:
                seen = len(back.first)
                steps, note.text = round_of_death(lab, number, steps, receiver, sender)
                wait_for(lambda s=seen: len(back.first) > s + 50, 10, "traffic toward the VM")
        for tenant in lab.tenants:
            with checks.check(f"{tenant}: hosts and servers go on without being touched"):
                # Streams of a thousand packets a second run beside; Open vSwitch may lose one of five.
                wait_for(lambda t=tenant: ping(lab.vm(t, "app2").space, "10.0.1.11", 5) == 5, 10,
                         "five answers of five (hairpin)")
                wait_for(lambda t=tenant: ping(lab.vm(t, "web1").space, "10.0.3.11", 5) == 5, 10,
                         "five answers of five (legacy)")
        with checks.check("SIGTERM under load: ends with 0, starts again, nothing is lost of the state") as note:
            before = stored_records(lab.gateway.api), everything_else(lab.gateway.api)
            expect_equal(lab.gateway.stop(), 0, "exit status")
            lab.gateway.start()
            expect_equal((stored_records(lab.gateway.api), everything_else(lab.gateway.api)), before, "the state")
            seen = len(receiver.first)
            wait_for(lambda: len(receiver.first) > seen + 50, 10, "traffic after the restart")
            note.text = f"ready after {lab.gateway.ready_after:.2f} s"
    finally:
        sender.stop()
        answers.stop()
        receiver.close()
        back.close()


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
