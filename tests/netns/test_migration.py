#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Live migration under load: a record's move by REST loses nothing that arrives after its answer.

    contoso-server ──(VLAN 100)── gateway ──(fabric)──┬── host2: web2 ┐
        numbered UDP, both ways                       └── host3:      ┘ web2 moves

The lab's topology plus host3, whose MAC the gateway has never asked for: the first move goes to an
unresolved next hop under load. While it moves, web2 has a wire to both hosts, as a real VM is at
both for a moment; each wire's capture says which host delivered what.
"""

import struct
import sys
import time

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.lab_topology import FABRIC_MTU, FABRIC_VLAN, GATEWAY_PA, SERVER, Lab
from support.nvgre_host import NvgreHost
from support.topology import record
from support.traffic import Receiver, Sender, wait_for_ping
from support.wait import wait_for

DOWN, UP = 9100, 9200  # UDP ports: toward the VM, from the VM
GRACE = 1.0            # seconds that frames from the old PA stay good
TRIES = 5              # a machine that needs longer than the grace to cut over proves nothing


class TooLate(Exception):
    """The cut-over came when the grace was over: what was lost is no fault."""


def build(run, arguments):
    lab = Lab(run, arguments.gateway, arguments.hnvctl)
    lab.hosts["host3"] = NvgreHost(run, lab.switch, "host3", "10.250.0.13/24", vlan=FABRIC_VLAN, mtu=FABRIC_MTU)
    lab.centre.hosts.append(lab.hosts["host3"])
    lab.start_gateway()
    lab.configure()
    # Open vSwitch drops the packet for which it asks the gateway's MAC; that loss would not be the
    # gateway's. So host3 is told, and the gateway still has never heard of host3.
    lab.hosts["host3"].ovs.appctl("tnl/neigh/set", "br-phy", GATEWAY_PA, lab.gateway.space.mac("fab0"))
    return lab


class Load:
    """Numbered datagrams to and from the VM, and who got them."""

    def __init__(self, lab, vm, rate=1000):
        self.server = lab.servers["contoso"]
        self.down_receiver = Receiver(vm.space, DOWN, "contoso")
        self.up_receiver = Receiver(self.server.space, UP, "contoso")
        self.down = Sender(self.server.space, vm.ca, DOWN, "contoso", rate).start()
        self.up = Sender(vm.space, SERVER, UP, "contoso", rate // 2).start()
        try:
            self.flows()
        except BaseException:
            self.close()
            raise

    def flows(self, count=100, seconds=10):
        """Both directions carry packets now."""
        before = len(self.down_receiver.first), len(self.up_receiver.first)
        wait_for(lambda: len(self.down_receiver.first) > before[0] + count
                 and len(self.up_receiver.first) > before[1] + count / 2, seconds, "traffic in both directions")

    def stop(self):
        self.down.stop()
        self.up.stop()

    def close(self):
        self.stop()
        self.down_receiver.close()
        self.up_receiver.close()


def numbers_on(capture, port):
    """The numbers of the datagrams to this port that a wire saw."""
    rows = capture.frames(f"udp.dstport == {port}", "udp.payload")
    return {struct.unpack("!Q", bytes.fromhex(row[0].replace(":", ""))[:8])[0] for row in rows}


def move(lab, vm, to, how):
    """One migration under load that was done within the grace; answers what the check reports."""
    for _ in range(TRIES):
        old = vm.host
        try:
            return try_to_move(lab, vm, to, how)
        except TooLate:
            to = old
    raise AssertionError(f"{TRIES} cut-overs all came later than {GRACE} s after the answer")


def try_to_move(lab, vm, to, how):
    old = vm.host
    load = Load(lab, vm)
    statistics = "/v1/routingDomains/contoso/statistics"
    moved_before = lab.gateway.api.get(statistics)["movedRecordPackets"]
    try:
        lab.centre.prepare_move(vm, to)
        new_wire = Capture(vm.space, vm.wires[to][0], f"new-{to.name}-{time.monotonic_ns()}")
        begin = time.monotonic()
        how(record(vm, to))
        answered = time.monotonic()
        try:
            load.flows(seconds=GRACE)  # the VM still speaks through the old host
        except AssertionError:
            pass  # judged by the clock
        lab.centre.cut_over(vm, to)
        in_time = time.monotonic() < begin + GRACE
        load.flows()
        load.stop()
        if not in_time:
            new_wire.stop()
            lab.centre.finish_move(vm, old)
            raise TooLate
        lost_down = load.down_receiver.wait_all(list(load.down.sent))
        lost_up = load.up_receiver.wait_all(list(load.up.sent))
        new_wire.stop()
        after = load.down.after(answered)
        expect(len(after) > 100, f"only {len(after)} datagrams after the answer")
        expect_equal([n for n in lost_down if n in set(after)], [], "lost of those sent after the answer")
        expect_equal(sorted(set(after) - numbers_on(new_wire, DOWN)), [], "sent after the answer, not by the new host")
        expect_equal(lost_down, [], "lost of all toward the VM")
        expect_equal(lost_up, [], "lost of all from the VM")
        expect_equal((load.down_receiver.repeated, load.up_receiver.repeated), (0, 0), "datagrams that came twice")
        moved = lab.gateway.api.get(statistics)["movedRecordPackets"] - moved_before
        expect(moved > 0, "no packet from the old PA was counted as such")
        lab.centre.finish_move(vm, old)
        return (f"answer after {(answered - begin) * 1000:.1f} ms; {len(after)} of {len(load.down.sent)} datagrams "
                f"after it, all by {to.name}; {moved} packets from the old PA in its grace")
    finally:
        load.close()


def prove_grace_ends(lab, vm, to):
    """What the old PA still sends after the grace is dropped under its own reason."""
    load = Load(lab, vm, rate=400)
    reason = "nvgre_wrong_source_pa"
    try:
        before = lab.gateway.drops().get(reason, 0)
        lab.centre.prepare_move(vm, to)
        lab.gateway.api.put(**record(vm, to))
        answered = time.monotonic()
        wait_for(lambda: lab.gateway.drops().get(reason, 0) > before + 50, 5, f"drops for {reason}")
        lab.centre.cut_over(vm, to)
        load.flows()
        load.stop()
        lost = load.up_receiver.wait_all(list(load.up.sent))
        early = [n for n in lost if load.up.sent[n] < answered + GRACE]
        expect_equal(early, [], "lost within the grace")
        expect(lost, "nothing was lost although the old PA went on sending")
        first = min(load.up.sent[n] for n in lost) - answered
        expect(first < GRACE + 0.5, f"the old PA was good for {first:.2f} s")
        dropped = lab.gateway.drops()[reason] - before
        expect_equal(dropped, len(lost), "drops counted, against datagrams lost")
        expect_equal(load.down_receiver.wait_all(list(load.down.sent)), [], "lost toward the VM")
        return f"the old PA was good for {first:.2f} s, then {dropped} dropped as {reason}"
    finally:
        load.close()


def prove(checks, lab):
    vm, api = lab.vm("contoso", "web2"), lab.gateway.api
    with checks.check("traffic before"):
        wait_for_ping(lab.servers["contoso"].space, vm.ca, 15)

    def by_patch(resource):
        collection = resource["path"].rsplit("/", 1)[0]
        api.patch(collection, [{"op": "put", "record": resource["body"]}])

    with checks.check("move to a host whose MAC the gateway does not know, by PUT") as note:
        before = api.get("/v1/routingDomains/contoso/neighbors")
        expect("10.250.0.13" not in str(before), f"host3 is known already: {before}")
        note.text = move(lab, vm, lab.hosts["host3"], lambda r: api.put(**r))
    with checks.check("move back to a known host, by PATCH of the collection") as note:
        note.text = move(lab, vm, lab.hosts["host2"], by_patch)
    for number in range(3):
        with checks.check(f"move again and again, {number + 1}") as note:
            to = lab.hosts["host2" if vm.host is lab.hosts["host1"] else "host1"]
            note.text = move(lab, vm, to, lambda r: api.put(**r))
    with checks.check("the old PA's grace ends after one second") as note:
        note.text = prove_grace_ends(lab, vm, lab.hosts["host3"])
    with checks.check("the twin tenant's VM with the same address did not move"):
        lookup = lab.gateway.ctl_json("lookup", "fabrikam", vm.ca)
        expect_equal(lookup["providerAddress"], "10.250.0.12", "fabrikam's PA")
        wait_for_ping(lab.vm("fabrikam", "web1").space, SERVER)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
