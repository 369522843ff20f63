#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong input gets the documented error and changes nothing.

     gateway ── fab0, wan0 ── switch ── stray        (support/plain_topology.py)

Before and after each row the whole desired state and its generation are read and compared.
"""

import copy
import os
import sys

from support.checks import expect, expect_equal, topology
from support.frames import ethernet, ipv4, nvgre, raw_socket, udp
from support.plain_topology import Plain, two_domains
from support.wait import wait_for

CONTOSO = "/v1/routingDomains/contoso"
WEB = f"{CONTOSO}/virtualSubnets/web"


def subnet(**change):
    body = {"virtualSubnetId": 5007, "addressPrefixes": ["10.0.7.0/24"], "kind": "vm", "providerNetwork": "fabric"}
    return {k: v for k, v in (body | change).items() if v is not None}


def record(**change):
    body = {"customerAddress": "10.0.1.12", "providerAddress": "10.250.0.12", "macAddress": "00:15:5d:01:00:12",
            "type": "Static"}
    return {k: v for k, v in (body | change).items() if v is not None}


def connection(**change):
    body = {"connectionType": "L3",
            "l3Configuration": {"port": "wan0", "vlanId": 400, "ipAddresses": ["192.168.70.1/24"]}}
    return body | change


NEW = f"{CONTOSO}/virtualSubnets/new"
# what, method, path, body, status, code, where (part of one of the targets)
ROWS = [
    ("VSID below 4096", "PUT", NEW, subnet(virtualSubnetId=17), 400, "invalidValue", "virtualSubnetId"),
    ("VSID 0xFFFFFF", "PUT", NEW, subnet(virtualSubnetId=0xFFFFFF), 400, "invalidValue", "virtualSubnetId"),
    ("VSID above 24 bits", "PUT", NEW, subnet(virtualSubnetId=1 << 24), 400, "invalidValue", "virtualSubnetId"),
    ("VSID as text", "PUT", NEW, subnet(virtualSubnetId="5007"), 400, "invalidValue", "virtualSubnetId"),
    ("VSID of another domain", "PUT", NEW, subnet(virtualSubnetId=6001), 409, "conflict", "virtualSubnetId"),
    ("VSID of another subnet of the domain", "PUT", NEW,
     subnet(virtualSubnetId=5001), 409, "conflict", "virtualSubnetId"),
    ("another VSID for a subnet that has one", "PUT", WEB,
     subnet(virtualSubnetId=5008, addressPrefixes=["10.0.1.0/24"]), 409, "immutable", "virtualSubnetId"),
    ("the same prefix twice in a domain", "PUT", NEW,
     subnet(addressPrefixes=["10.0.1.0/24"]), 409, "conflict", "addressPrefixes"),
    ("a prefix that covers another of the domain", "PUT", NEW,
     subnet(addressPrefixes=["10.0.0.0/16"]), 409, "conflict", "addressPrefixes"),
    ("a prefix inside another of the domain", "PUT", NEW,
     subnet(addressPrefixes=["10.0.1.128/25"]), 409, "conflict", "addressPrefixes"),
    ("a prefix with host bits", "PUT", NEW,
     subnet(addressPrefixes=["10.0.7.1/24"]), 400, "invalidValue", "addressPrefixes"),
    ("a link-local prefix", "PUT", NEW, subnet(addressPrefixes=["fe80::/64"]), 422, "unfit", "addressPrefixes"),
    ("a provider network that does not exist", "PUT", NEW,
     subnet(providerNetwork="nowhere"), 422, "unfit", "providerNetwork"),
    ("a provider address that is not the network's", "PUT", NEW,
     subnet(providerAddress="10.250.0.9"), 422, "unfit", "providerAddress"),
    ("a subnet without a prefix", "PUT", NEW, subnet(addressPrefixes=None), 400, "invalidValue", "addressPrefixes"),
    ("an unknown property", "PUT", NEW, subnet(colour="blue"), 400, "unknownProperty", "colour"),
    ("an unknown property inside", "PUT", f"{CONTOSO}/networkConnections/new",
     connection(l3Configuration={"port": "wan0", "vlanId": 400, "ipAddresses": ["192.168.70.1/24"], "colour": 1}),
     400, "unknownProperty", "l3Configuration/colour"),
    ("a record outside its subnet", "PUT", f"{WEB}/lookupRecords/10.0.2.12", record(customerAddress="10.0.2.12"),
     422, "unfit", "customerAddress"),
    ("a record whose PA is on no provider network", "PUT", f"{WEB}/lookupRecords/10.0.1.12",
     record(providerAddress="172.31.0.1"), 422, "unfit", "providerAddress"),
    ("a record under another's name", "PUT", f"{WEB}/lookupRecords/10.0.1.13",
     record(), 400, "invalidValue", "customerAddress"),
    ("a record with a multicast MAC", "PUT", f"{WEB}/lookupRecords/10.0.1.12", record(macAddress="01:00:5e:00:00:01"),
     400, "invalidValue", "macAddress"),
    ("a record in a subnet that does not exist", "PUT", f"{CONTOSO}/virtualSubnets/none/lookupRecords/10.0.1.12",
     record(), 404, "notFound", ""),
    ("a subnet in a domain that does not exist", "PUT", "/v1/routingDomains/nobody/virtualSubnets/new",
     subnet(), 404, "notFound", ""),
    ("a route to a connection that does not exist", "PUT", f"{CONTOSO}/customerRoutes/r1",
     {"destinationPrefix": "172.20.0.0/16", "networkConnection": "none"}, 422, "unfit", "networkConnection"),
    ("a route with a next hop that is no host", "PUT", f"{CONTOSO}/customerRoutes/r1",
     {"destinationPrefix": "172.20.0.0/16", "nextHop": "224.0.0.5"}, 400, "invalidValue", "nextHop"),
    ("a VLAN of another tenant's private connection", "PUT", f"{CONTOSO}/networkConnections/new",
     connection(l3Configuration={"port": "wan0", "vlanId": 200, "ipAddresses": ["192.168.70.1/24"]}), 409, "conflict", "vlanId"),
    ("a VLAN of an external network", "PUT", f"{CONTOSO}/networkConnections/new",
     connection(l3Configuration={"port": "wan0", "vlanId": 300, "ipAddresses": ["192.168.70.1/24"]}), 409, "conflict", "vlanId"),
    ("a port that the gateway does not have", "PUT", f"{CONTOSO}/networkConnections/new",
     connection(l3Configuration={"port": "wan7", "vlanId": 400, "ipAddresses": ["192.168.70.1/24"]}), 422, "unfit", "port"),
    ("a connection of type GRE", "PUT", f"{CONTOSO}/networkConnections/new", connection(connectionType="GRE"),
     422, "notSupported", "connectionType"),
    ("a provider network on a VLAN in use", "PUT", "/v1/providerNetworks/second",
     {"port": "wan0", "vlanId": 300, "providerAddresses": ["10.249.0.1/24"]}, 409, "conflict", "vlanId"),
    ("removing a provider network in use", "DELETE", "/v1/providerNetworks/fabric", None, 409, "conflict", ""),
    ("a body that is not an object", "PUT", NEW, [1, 2], 400, "invalidValue", ""),
    ("a name with a blank", "PUT", f"{CONTOSO}/virtualSubnets/a%20b", subnet(), 400, "invalidValue", ""),
    ("a route to a connection that has no peer", "PUT", f"{CONTOSO}/customerRoutes/r1",
     {"destinationPrefix": "172.20.0.0/16", "networkConnection": "peerless"}, 422, "unfit", "networkConnection"),
]


def refused_and_unchanged(gateway, before, method, path, body, status, code, where):
    answer = gateway.api.error_of(method, path, body)
    expect_equal((answer.status, answer.code), (status, code), f"status and code of {answer.text[:400]}")
    expect(not where or any(where in t for t in answer.targets()), f"no target names {where}: {answer.text[:400]}")
    expect(answer.json["error"]["message"], "the error says nothing")
    expect_equal(gateway.api.everything(), before, "the desired state")


def prove_rows(checks, gateway, before):
    for what, method, path, body, status, code, where in ROWS:
        with checks.check(f"{what}: {status} {code}"):
            refused_and_unchanged(gateway, before, method, path, body, status, code, where)
    with checks.check("not JSON at all: 400"):
        answer = gateway.api.error_of("PUT", NEW, raw=b'{"kind": "vm", ')
        expect_equal((answer.status, answer.code), (400, "invalidValue"), "status and code")
        expect_equal(gateway.api.everything(), before, "the desired state")
    with checks.check("all faults of a body at once"):
        answer = gateway.api.error_of("PUT", NEW, subnet(virtualSubnetId=1, addressPrefixes=["x"], colour=1))
        for where in ("virtualSubnetId", "addressPrefixes", "colour"):
            expect(any(where in t for t in answer.targets()), f"{where} is not named: {answer.text[:600]}")
    with checks.check("one wrong request of a batch: nothing of the batch happens"):
        good = {"method": "PUT", "path": f"{WEB}/lookupRecords/10.0.1.12", "body": record()}
        bad = {"method": "PUT", "path": f"{WEB}/lookupRecords/10.0.9.9", "body": record(customerAddress="10.0.9.9")}
        answer = gateway.api.error_of("POST", "/v1/batch", [good, bad])
        expect_equal((answer.status, answer.code), (422, "unfit"), f"status and code of {answer.text[:300]}")
        expect_equal(gateway.api.everything(), before, "the desired state")
    with checks.check("two domains that claim one VSID in one batch: nothing happens"):
        batch = [{"method": "PUT", "path": f"/v1/routingDomains/{d}/virtualSubnets/new",
                  "body": subnet(virtualSubnetId=7777)} for d in ("contoso", "fabrikam")]
        answer = gateway.api.error_of("POST", "/v1/batch", batch)
        expect_equal((answer.status, answer.code), (409, "conflict"), f"status and code of {answer.text[:300]}")
        expect_equal(gateway.api.everything(), before, "the desired state")
    with checks.check("hnvctl says what the API says, on stderr, with a status"):
        done = gateway.ctl("put", NEW, text_input='{"addressPrefixes": ["10.0.1.0/24"], "providerNetwork": "fabric"}',
                           check=False)
        expect(done.returncode != 0 and "10.0.1.0/24" in done.stderr, f"{done.returncode}: {done.stdout} {done.stderr}")
        expect_equal(gateway.api.everything(), before, "the desired state")


def prove_second_gateway(checks, made, before):
    """A second gateway on the same port or store is refused, and the first does not notice."""
    gateway = made.gateway
    other = f"{gateway.folder}-second"
    os.makedirs(other)

    def second(**change):
        config = copy.deepcopy(gateway.config)
        config |= {"store": f"{other}/store.db", "runtimeDirectory": other, "api": {"socket": f"{other}/api.sock"}}
        return gateway.write_config(config | change, f"{other}/gateway.json")

    spare = [{"name": "spare0", "device": "net_af_packet0,iface=spare0"}]
    made.switch.connect("spare", gateway.space, "spare0", vlan=400)
    rows = [
        ("the same port", {}, "fab0"),
        ("the same store", {"store": gateway.config["store"], "ports": spare}, "store.db"),
        ("a device that does not exist", {"ports": [{"name": "wan9", "device": "net_af_packet0,iface=wan9"}]}, "wan9"),
    ]
    for what, change, word in rows:
        with checks.check(f"a gateway on {what} is refused") as note:
            process = gateway.launch(second(**change), name=f"second-{word}")
            try:
                status = process.wait(20)
            finally:
                process.stop()
            said = [line for line in process.output().splitlines() if word in line]
            expect(status not in (0, None) and status > 0, f"status {status}: {process.output(600)}")
            expect(said, f"nothing that it said names {word}: {process.output(600)}")
            note.text = said[-1][-160:]
            expect(gateway.alive(), "the first gateway ended")
            expect_equal(gateway.api.everything(), before, "the desired state")
    with checks.check("a bootstrap file with an unknown property is refused by --check"):
        path = second(colour="blue")
        done = gateway.space(gateway.binary, "--check", path, check=False)
        expect(done.returncode != 0 and "colour" in done.stderr + done.stdout, f"{done.returncode} {done.stderr}")
        done = gateway.space(gateway.binary, "--check", gateway.config_path, check=False)
        expect_equal(done.returncode, 0, f"--check of the good one: {done.stderr}")


def prove_gre_elsewhere(checks, made, before):
    """GRE, well-formed and for a known VSID, on networks that are not the fabric."""
    gateway, port = made.gateway, made.gateway.space.mac("wan0")
    raw = raw_socket(made.stray, "eth0")
    inner = ethernet("02:00:00:00:00:01", "00:15:5d:00:00:01", ipv4("10.0.1.11", "192.168.50.10", 17, udp(9, 9, b"x")))
    rows = [("an external network, to its own address", 300, "192.0.2.1", port, "gre_not_on_fabric"),
            ("an external network, to the fabric's PA", 300, "10.250.0.1", port, "gre_not_on_fabric"),
            ("a private connection's VLAN", 100, "192.168.50.1", gateway.api.get(
                f"{CONTOSO}/networkConnections/datacentre")["l3Configuration"]["macAddress"], "gre_not_on_fabric")]
    for what, vlan, address, mac, reason in rows:
        with checks.check(f"GRE on {what} is dropped as {reason}"):
            counted = gateway.drops().get(reason, 0)
            domain = gateway.api.get(f"{CONTOSO}/statistics")["inboundPackets"]
            packet = ipv4("192.0.2.77" if vlan == 300 else "192.168.50.10", address, 47, nvgre(5000, inner))
            raw.send(ethernet(mac, "02:00:00:00:00:99", packet, vlan=vlan))
            wait_for(lambda c=counted, r=reason: gateway.drops().get(r, 0) == c + 1, 3, "one such drop")
            expect_equal(gateway.api.get(f"{CONTOSO}/statistics")["inboundPackets"], domain, "entered by NVGRE")
            expect_equal(gateway.api.everything(), before, "the desired state")
    raw.close()


def build(run, arguments):
    peerless = {"path": f"{CONTOSO}/networkConnections/peerless", "body": connection(
        l3Configuration={"port": "wan0", "vlanId": 401, "ipAddresses": ["192.168.71.1/24"]})}
    return Plain(run, arguments.gateway, arguments.hnvctl).start([*two_domains(), peerless])


def prove(checks, made):
    before = made.gateway.api.everything()
    prove_rows(checks, made.gateway, before)
    prove_second_gateway(checks, made, before)
    prove_gre_elsewhere(checks, made, before)
    with checks.check("and right input is still taken"):
        made.gateway.api.put(NEW, subnet())
        made.gateway.api.put(f"{WEB}/lookupRecords/10.0.1.12", record())
        after = made.gateway.api.everything()
        expect(after["generation"] > before["generation"], "the generation did not move")
        expect_equal(len(after["routingDomains/contoso/virtualSubnets"]),
                     len(before["routingDomains/contoso/virtualSubnets"]) + 1, "subnets")


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
