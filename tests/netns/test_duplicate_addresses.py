#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Somebody else has the gateway's addresses: found, said, not used, and used again (RFC 4862, 5227).

     gateway ── fab0 ──┬── switch ── rival (VLANs 60, 100): a kernel that has the gateway's addresses
             └─ wan0 ──┘             neighbor (VLAN 60): looks at what is answered

     fabric  VLAN 60: PAs fd60::1 and 10.250.0.1     datacentre  VLAN 100: fd50::1 and 192.168.50.1
"""

import sys
import time

from support.capture import Capture
from support.checks import expect, expect_equal, topology
from support.metrics import Metrics
from support.topology import Topology
from support.traffic import ping
from support.wait import wait_for

NETWORK = "/v1/providerNetworks/fabric"
CONNECTION = "/v1/routingDomains/contoso/networkConnections/datacentre"


class Rivals(Topology):
    def __init__(self, run, gateway_binary, hnvctl):
        super().__init__(run, gateway_binary, hnvctl)
        self.gateway.port(self.switch, "fabric0", "fab0", vlan=60, mtu=1700)
        self.gateway.port(self.switch, "wan0", "wan0", trunks=[100])
        self.rival, self.neighbor = run.namespace("rival"), run.namespace("neighbor")
        self.switch.connect("rival-60", self.rival, "eth0", vlan=60)
        self.switch.connect("rival-100", self.rival, "eth1", vlan=100)
        self.switch.connect("neighbor", self.neighbor, "eth0", vlan=60)
        self.neighbor.dual_stack("eth0", "fd60::11/64", "10.250.0.11/24")

    def network(self, detection="optimistic"):
        return {"port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["fd60::1/64", "10.250.0.1/24"],
                "duplicateAddressDetection": detection}

    def resources(self):
        return [
            {"path": NETWORK, "body": self.network()},
            {"path": "/v1/routingDomains/contoso", "body": {}},
            {"path": "/v1/routingDomains/contoso/virtualSubnets/gateway", "body": {
                "addressPrefixes": ["10.0.0.0/24"], "kind": "gateway", "providerNetwork": "fabric"}},
            {"path": CONNECTION, "body": {"connectionType": "L3", "l3Configuration": {
                "port": "wan0", "vlanId": 100, "ipAddresses": ["fd50::1/64", "192.168.50.1/24"]}}}]

    def take(self, interface, address):
        self.rival.dual_stack(interface, address)

    def give_back(self, interface, address):
        self.rival.ip(f"addr del {address} dev {interface}")

    def state(self, path):
        state = self.gateway.api.get(path)["configurationState"]
        return state["status"], [detail["code"] for detail in state["detailedInfo"]]

    def forget(self):
        self.neighbor("ip", "neighbor", "flush", "all")


def build(run, arguments):
    made = Rivals(run, arguments.gateway, arguments.hnvctl)
    # There before the gateway: it has to find out by itself.
    made.take("eth0", "fd60::1/64")
    made.take("eth1", "fd50::1/64")
    made.gateway.start()
    capture = Capture(made.switch.space, "gw-fab0", "detection")
    made.gateway.api.apply(made.resources())
    made.capture = capture
    return made


def prove_start(checks, made):
    mac, log = made.rival.mac("eth0"), made.gateway.log
    with checks.check("RFC 4862 §5.4.4: a duplicate is found and said: log, state, /v1/system, metrics") as note:
        wait_for(lambda: f"fd60::1 is a duplicate: {mac} has it too" in log(), 5, "a line in the log")
        wait_for(lambda: "fd50::1 is a duplicate" in log(), 5, "a line about the physical network")
        expect_equal(made.state(NETWORK), ("Failure", ["duplicateAddress"]), "the network's configurationState")
        expect_equal(made.state(CONNECTION)[0], "Failure", "the connection's")
        expect_equal(made.gateway.api.get("/v1/system")["duplicateAddresses"], 2, "duplicateAddresses")
        text = made.gateway.api.request("GET", "/metrics").text
        expect_equal(Metrics(text).get("hnv_duplicate_addresses"), 2, "the metric")
        note.text = made.gateway.api.get(NETWORK)["configurationState"]["detailedInfo"][0]["message"]
    with checks.check("RFC 4862 §5.4.5: it is not used: nobody answers for it when the rival is gone"):
        made.give_back("eth0", "fd60::1/64")
        made.forget()
        expect_equal(ping(made.neighbor, "fd60::1", 2, wait=0.5), 0, "answers of an address that is nobody's now")
        expect_equal(ping(made.neighbor, "10.250.0.1", 2), 2, "answers of the address that is no duplicate")


def prove_anew(checks, made):
    with checks.check("configured anew it is asked for anew, and used once nobody has it"):
        made.gateway.api.put(NETWORK, {**made.network(), "mtu": 1600})
        wait_for(lambda: "nobody else has fd60::1 any more" in made.gateway.log(), 6, "a line in the log")
        made.forget()
        expect_equal(ping(made.neighbor, "fd60::1", 2), 2, "answers")
        expect_equal(made.gateway.api.get("/v1/system")["duplicateAddresses"], 1, "duplicates: the connection's is left")


def prove_conflict(checks, made):
    mac = made.rival.mac("eth0")
    with checks.check("RFC 4862 §5.4.3: who wants the address later is told, and reported"):
        made.rival("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1")
        made.rival.ip("addr add fd60::1/64 dev eth0")  # with the kernel's own detection
        wait_for(lambda: "dadfailed" in made.rival("ip", "-6", "addr", "show", "dev", "eth0").stdout, 5, "dadfailed")
        wait_for(lambda: f"{mac} says that it has fd60::1, which is ours" in made.gateway.log(), 3, "a line in the log")
        expect_equal(made.state(NETWORK), ("Warning", ["addressConflict"]), "configurationState")
        expect_equal(ping(made.neighbor, "fd60::1", 2), 2, "answers: it stays ours")
        made.give_back("eth0", "fd60::1/64")
    with checks.check("RFC 5227 §2.4: an IPv4 address is defended and the conflict reported"):
        capture = Capture(made.neighbor, "eth0", "defence", "arp")
        made.rival.ip("addr add 10.250.0.1/24 dev eth0")
        made.rival("ping", "-n", "-c", 1, "-W", 1, "10.250.0.11", check=False)
        wait_for(lambda: f"{mac} says that it has 10.250.0.1, which is ours" in made.gateway.log(), 5, "a line in the log")
        gateway = made.gateway.space.mac("fab0")
        announced = f"arp.src.hw_mac == {gateway} && arp.src.proto_ipv4 == 10.250.0.1 && arp.dst.proto_ipv4 == 10.250.0.1"
        wait_for(lambda: capture.count(announced) > 0, 5, "the gateway's announcement")
        capture.stop()
        made.give_back("eth0", "10.250.0.1/24")
        expect(made.gateway.api.get("/v1/system")["addressConflicts"] >= 2, "conflicts are not counted")


def prove_off(checks, made):
    with checks.check("switched off, nobody is asked and the address is used at once"):
        made.take("eth0", "fd60::1/64")
        before = made.gateway.log().count("fd60::1 is a duplicate")
        made.gateway.api.put(NETWORK, made.network("off"))
        expect_equal(made.gateway.api.get(NETWORK)["duplicateAddressDetection"], "off", "the property")
        capture = Capture(made.switch.space, "gw-fab0", "off", "icmp6")
        end = time.monotonic() + 3
        wait_for(lambda: time.monotonic() > end, 5, "the time in which it would ask")
        capture.stop()
        expect_equal(capture.count("icmpv6.type == 135 && ipv6.src == ::"), 0, "questions")
        expect_equal(made.gateway.log().count("fd60::1 is a duplicate"), before, "lines in the log")


def prove(checks, made):
    prove_start(checks, made)
    made.capture.stop()
    with checks.check("RFC 4862 §5.4.2: it was asked for from no address, without an option"):
        expect(made.capture.count("icmpv6.type == 135 && ipv6.src == :: && icmpv6.nd.ns.target_address == fd60::1 && "
                                  "!icmpv6.opt.type") > 0, "no solicitation without source and option")
        expect(made.capture.count("arp.src.proto_ipv4 == 0.0.0.0 && arp.dst.proto_ipv4 == 10.250.0.1") >= 1, "no probe")
        expect_equal(made.capture.count("_ws.malformed || icmpv6.checksum.status == 0"), 0, "faults")
    prove_anew(checks, made)
    prove_conflict(checks, made)
    prove_off(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
