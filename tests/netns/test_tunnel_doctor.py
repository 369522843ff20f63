#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tunnel doctor: tunnels broken in every way that sites are, side by side, and what the gateway says of each.

     gateway 203.0.113.1 ── wan0 ── 203.0.113.254 sites ══ front
                                    198.51.100.N  one address a case, one stock strongSwan for all of them
                                                           192.0.2.40   a NAT that passes UDP 500 to the sites, and no 4500
                                                           192.0.2.50   UDP 500 open, and nobody who answers
                                                           192.0.2.99   nobody at all
"""

import socket
import sys
import threading

from support.branches import ipsec_section
from support.checks import expect, expect_equal, topology
from support.gateway import Gateway
from support.run import veth
from support.site import Authority, Site
from support.wait import wait_for

VIP2 = "203.0.113.2"  # where one tunnel's site may come from anywhere
VIP, SITES, GATEWAY_NAME = "203.0.113.1", "203.0.113.254", "gw.contoso.example"
NAT, OPEN, NOBODY = "192.0.2.40", "192.0.2.50", "192.0.2.99"
SECRET = "contoso-swordfish"


class Case:
    """A tunnel: what the gateway has, what the site has, who begins, and what the doctor must say."""

    numbers = iter(range(1, 200))

    def __init__(self, name, begins, cause, says, ours=None, site=None, address=None, compared=(), vip=VIP):
        self.name, self.begins, self.cause, self.says = name, begins, cause, says
        self.ours, self.site, self.compared, self.vip = ours or {}, site, compared, vip
        self.number = next(self.numbers)
        self.address = address or f"198.51.100.{self.number}"
        self.identity = f"site{self.number}.contoso.example"
        self.connection = f"case{self.number}"
        self.path = f"/v1/routingDomains/contoso/networkConnections/{self.connection}"
        self.network = f"10.200.{self.number}.0/24"


IKE_AES128 = {"encryptionAlgorithm": "AES128", "integrityAlgorithm": "SHA256", "diffieHellmanGroup": "Group14"}
OURS, THEIRS = [{"ipAddressStart": a, "ipAddressEnd": b} for a, b in (("10.0.0.0", "10.0.255.255"), ("10.200.0.0", "10.200.255.255"))]


def secret_cases():
    return [
        Case("nothing is wrong", "gateway", "none", ["the tunnel is up"], site={}),
        Case("another secret, we begin", "gateway", "authenticationRefused", ["sharedSecret", "localIdentity", "log"],
             site={"psk": "another-word"}),
        Case("another secret, the site begins", "site", "sharedSecret", ["Give the same sharedSecret"], site={"psk": "another-word"}),
        Case("the site calls itself something else", "site", "siteIdentity", ["Set remoteIdentity to stray.example"],
             site={"local_id": "stray.example"}, compared=["stray.example"]),
        Case("the site expects another than us", "site", "ownIdentity", ["Set localIdentity to other-gw.example"],
             site={"remote_id": "other-gw.example"}, compared=["other-gw.example"]),
        Case("the site expects another than us, we begin", "gateway", "authenticationRefused", ["localIdentity: does the site expect"],
             site={"remote_id": "other-gw.example"}),
        Case("the site comes from elsewhere", "site", "siteAddress", ["Set destinationIPAddress to 198.51.100."],
             ours={"destinationIPAddress": "198.51.100.250"}, site={}, vip=VIP2),
        Case("a site that may come from anywhere", "site", "none", ["the tunnel is up"], ours={"destinationIPAddress": None}, site={},
             vip=VIP2),
        Case("a site without a name", "site", "siteIdentity", ["Set remoteIdentity to 198.51.100."], site={"local_id": None}),
    ]


def algorithm_cases():
    return [
        Case("other IKE algorithms, the site begins", "site", "ikeProposals",
             ["mainMode.encryptionAlgorithm: the gateway has AES128, the site DES3", "mainMode.encryptionAlgorithm DES3"],
             ours={"mainMode": IKE_AES128}, site={"ike": "3des-sha256-modp2048"},
             compared=["AES128, SHA256, Group14", "DES3, SHA256, Group14"]),
        Case("another group, the site begins", "site", "ikeProposals",
             ["mainMode.diffieHellmanGroup: the gateway has Group14, the site ECP256", "mainMode.diffieHellmanGroup ECP256"],
             ours={"mainMode": IKE_AES128}, site={"ike": "aes128-sha256-ecp256"}),
        Case("a group that we do not have", "site", "ikeProposals",
             ["the site MODP_4096", "have the site offer AES128, SHA256, Group14"],
             ours={"mainMode": IKE_AES128}, site={"ike": "aes128-sha256-modp4096"}),
        Case("other IKE algorithms, we begin", "gateway", "ikeProposals", ["set mainMode to what it has"],
             ours={"mainMode": IKE_AES128}, site={"ike": "aes256-sha256-ecp256"}, compared=["AES128, SHA256, Group14"]),
        Case("the site knows nothing of us", "gateway", "ikeProposals", [f"no IKEv2 connection for {VIP}"], site=None),
        Case("other ESP algorithms, we begin", "gateway", "espProposals", ["set quickMode to what it has"],
             site={"esp": "3des-sha1"}),
        Case("other ESP algorithms, the site begins", "site", "espProposals",
             ["quickMode.cipherTransformationConstant: the gateway has", "the site DES3"],
             ours={"quickMode": {"cipherTransformationConstant": "AES256", "authenticationTransformationConstant": "SHA256128"}},
             site={"esp": "3des-sha1"}, compared=["AES256, SHA256128", "DES3, SHA196"]),
        Case("no forward secrecy at the site", "gateway", "perfectForwardSecrecy", ["quickMode.perfectForwardSecrecy"],
             ours={"quickMode": {"cipherTransformationConstant": "GCMAES256", "perfectForwardSecrecy": "ECP384"}},
             site={"esp": "aes256gcm16"}),
        Case("other networks, we begin", "gateway", "trafficSelectors", ["localVpnTrafficSelector"],
             ours={"localVpnTrafficSelector": [OURS], "remoteVpnTrafficSelector": [THEIRS]},
             site={"local_ts": "192.168.7.0/24"}, compared=["10.200.0.0 to 10.200.255.255"]),
        Case("other networks, the site begins", "site", "trafficSelectors", ["remoteVpnTrafficSelector"],
             ours={"localVpnTrafficSelector": [OURS], "remoteVpnTrafficSelector": [THEIRS]},
             site={"local_ts": "192.168.7.0/24"}, compared=["192.168.7.0/24"]),
        Case("an IKEv1 site", "site", "ikeVersion", ["IKEv2"],
             site={"version": "1", "ike": "aes256-sha256-modp2048", "esp": "aes256-sha256"}),
    ]


def silent_cases():
    return [
        Case("nobody there", "gateway", "noAnswer", ["destinationIPAddress", "UDP 500"], address=NOBODY),
        Case("UDP 500 open, no answer", "gateway", "noAnswer", ["UDP 500 and 4500"], address=OPEN),
        Case("a NAT, and no UDP 4500", "gateway", "noAnswerToAuthentication", ["UDP 4500", "NAT"], address=NAT),
    ]


def certificate_cases(made):
    """The gateway's certificate and those of the sites are of one authority but where that is the fault."""
    key, certificate = made.authority.sign(GATEWAY_NAME)
    ours = {"authenticationMethod": "Certificate", "localIdentity": GATEWAY_NAME, "certificates": {
        "certificate": read(certificate), "privateKey": read(key), "revocation": "off",
        "certificateAuthorities": [read(made.authority.certificate)]}}

    def case(name, cause, says, begins="gateway", authority=made.authority, days=2, revoked=False, **site):
        one = Case(name, begins, cause, says, ours=ours, site={"remote_id": GATEWAY_NAME, "ca": made.authority.certificate, **site})
        if "psk" not in site:
            one.site["key"], one.site["certificate"] = authority.sign(one.identity, days)
        if revoked:
            one.ours = {**ours, "certificates": {**ours["certificates"],
                                                 "revocationLists": [read(authority.revoke(one.site["certificate"]))]}}
        return one
    return [
        case("certificates, and nothing is wrong", "none", ["the tunnel is up"]),
        case("an expired certificate", "certificateExpired", ["a certificate that is valid now", "clocks"], days=0),
        case("an expired certificate, the site begins", "certificateExpired", ["a certificate that is valid now"], "site", days=0),
        case("a certificate of another authority", "certificateUntrusted", ["certificates.certificateAuthorities"],
             authority=made.stranger),
        case("a revoked certificate", "certificateRevoked", ["another certificate"], revoked=True),
        case("no certificate", "certificateMissing", ["Have the site send its certificate"], send_cert="never"),
        case("a secret in a certificate's place", "authenticationMethod", ["Set authenticationMethod to PSK"], psk=SECRET),
    ]


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


class Front:
    """What UDP 500 is passed through, and UDP 4500 is not."""

    def __init__(self, space, address, site):
        self._inside = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inside.connect((site, 500))
        self._outside = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outside.bind((address, 500))
        self._client = None
        for run in (self._out, self._in):
            threading.Thread(target=run, daemon=True).start()

    def _in(self):
        while True:
            packet, self._client = self._outside.recvfrom(65536)
            self._inside.send(packet)

    def _out(self):
        while True:
            packet = self._inside.recv(65536)
            if self._client:
                self._outside.sendto(packet, self._client)


class Broken:
    def __init__(self, run, arguments):
        self.gateway = Gateway(run, arguments.gateway, arguments.hnvctl)
        self.gateway.config["ipsec"] = ipsec_section(run, arguments.gateway)
        self.outside, self.front = run.namespace("sites"), run.namespace("front")
        fabric = run.namespace("fabric")
        for name, interface, space in (("wan0", "wan0", self.outside), ("fabric0", "fab0", fabric)):
            veth(self.gateway.space, interface, space, "eth0", 1700)
            self.gateway.config["ports"].append({"name": name, "mtu": 1700, "device":
                                                 f"net_af_packet{len(self.gateway.config['ports'])},iface={interface}"})
        self.authority, self.stranger = Authority(run, "contoso"), Authority(run, "stranger")
        self.cases = secret_cases() + algorithm_cases() + silent_cases() + certificate_cases(self)
        veth(self.outside, "to-front", self.front, "eth0")
        self.outside.ip(f"addr add {SITES}/24 dev eth0", "addr add 10.99.0.1/24 dev to-front",
                        "route add 192.0.2.0/24 via 10.99.0.2", "addr add 198.51.100.251/32 dev lo",
                        *(f"addr add 10.200.{case.number}.1/32 dev lo" for case in self.cases),
                        *(f"addr add {case.address}/32 dev lo" for case in self.cases if case.address.startswith("198.")))
        self.outside("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.front.ip("addr add 10.99.0.2/24 dev eth0", "route add default via 10.99.0.1",
                      *(f"addr add {address}/32 dev lo" for address in (NAT, OPEN)))
        self.site = Site(run, self.outside, "sites")
        self.nat = Front(self.front, NAT, "10.99.0.1")
        self.open = self.front.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.open.bind((OPEN, 500))
        behind = next(case for case in self.cases if case.address == NAT)
        self.site.connection(behind.connection, "10.99.0.1", "10.99.0.2", local_id=behind.identity, remote_id=VIP, psk=SECRET,
                             owners=[behind.identity], local_ts=behind.network)
        for case in self.cases:
            if case.site is not None:
                self.load(case)
        self.gateway.start()
        self.gateway.api.apply([
            {"path": "/v1/providerNetworks/fabric", "body": {
                "port": "fabric0", "vlanId": 0, "mtu": 1700, "providerAddresses": ["10.250.0.1/24"]}},
            {"path": "/v1/externalNetworks/internet", "body": {
                "port": "wan0", "vlanId": 0, "ipAddresses": [f"{VIP}/24", f"{VIP2}/24"],
                "routes": [{"destinationPrefix": "0.0.0.0/0", "nextHop": SITES}]}},
            {"path": "/v1/routingDomains/contoso", "body": {}}])
        self.gateway.api.apply([{"path": case.path, "body": self.body(case)} for case in self.cases])

    def body(self, case):
        ours = {"sourceIPAddress": case.vip, "destinationIPAddress": case.address, "remoteIdentity": case.identity, "sharedSecret": SECRET,
                "retryIntervalSeconds": 3600, "initiate": "onStart" if case.begins == "gateway" else "never", **case.ours}
        if ours["destinationIPAddress"] is None:
            del ours["destinationIPAddress"]
        if "certificates" in ours:
            del ours["sharedSecret"]
        return {"connectionType": "IPSec", "routes": [{"destinationPrefix": case.network}], "ipSecConfiguration": ours}

    def load(self, case, **more):
        site = {"local_id": case.identity, "remote_id": case.vip, "local_ts": case.network, "remote_ts": "10.0.0.0/24", **case.site, **more}
        site["local_id"] = site["local_id"] or case.address
        if "certificate" not in site:
            site.setdefault("psk", SECRET)
            site["owners"] = [site["local_id"]]
        self.site.connection(case.connection, case.address, case.vip, **site)

    def doctor(self, case):
        return self.gateway.api.get(case.path + "/doctor")

    def faults(self):
        return self.gateway.api.get("/v1/ikeFaults")["value"]

    def dump(self):
        print(self.gateway.dump(), self.site.log(30000), file=sys.stderr)


def build(run, arguments):
    return Broken(run, arguments)


def begin(made):
    """Every site that begins does; the gateway has begun by itself."""
    wait_for(lambda: made.gateway.api.get("/v1/system")["ipsec"] == "up", 10, "charon")
    for case in made.cases:
        if case.begins == "site":
            made.site.vici.ask("initiate", {"child": case.connection, "ike": case.connection, "timeout": "-1"})
    needs_keys = next(case for case in made.cases if case.cause == "perfectForwardSecrecy")
    wait_for(lambda: made.doctor(needs_keys)["connectionState"] == "Connected", 15, "the tunnel without forward secrecy",
             tell=lambda: made.doctor(needs_keys))
    made.gateway.ctl("vpn", "rekey", "contoso", needs_keys.connection)


def diagnosed(made, case):
    def found():
        seen = made.doctor(case)
        return seen if seen["cause"] == case.cause and (case.cause != "none" or seen["connectionState"] == "Connected") else None
    return wait_for(found, 20, case.cause, tell=lambda: made.doctor(case))


def prove_diagnoses(checks, made):
    for case in made.cases:
        with checks.check(f"{case.name}: {case.cause}") as note:
            seen = diagnosed(made, case)
            words = " | ".join([seen["summary"], *seen["whatToChange"]])
            for text in case.says:
                expect(text in words, f"{text!r} is not in: {words}")
            for text in case.compared:
                expect(text in str(seen["compared"]), f"{text!r} is not in: {seen['compared']}")
            expect(SECRET not in str(seen) and "another-word" not in str(seen) and "PRIVATE" not in str(seen), "a secret is shown")
            if case.cause != "none":
                expect_equal(seen["initiatedBy"], case.begins, "who began")
                expect(seen["attempt"], "nothing of the attempt is shown")
            note.text = seen["summary"]
    with checks.check("the reason in the connection's status is the doctor's, and so is the log's"):
        for case in made.cases:
            status = made.gateway.api.get(case.path)["status"]
            seen = made.doctor(case)
            expect_equal(status["connectionState"], seen["connectionState"], f"{case.name}: state")
            if status["connectionState"] != "Connected":
                expect_equal(status["unreachabilityReason"], seen["summary"], f"{case.name}: reason")
                expect(f"{case.connection}: {seen['summary']}" in made.gateway.log(1 << 20), f"{case.name}: not in the log")
    with checks.check("NAT in between is said, and whose side is behind it"):
        # Without ESP in its kernel a stock site says that it is behind one; that one changes both addresses.
        for case in made.cases:
            if case.begins == "gateway" and case.address == NAT:
                expect_equal(made.doctor(case)["nat"], "both", case.name)
            elif case.cause in ("noAnswer", "espProposals"):
                expect_equal(made.doctor(case)["nat"], "none" if case.cause == "noAnswer" else "site", case.name)


def prove_tools(checks, made):
    with checks.check("hnvctl says it whole: both sides, what to change, what was tried") as note:
        case = next(case for case in made.cases if case.name.startswith("other IKE algorithms, the site"))
        text = made.gateway.ctl("vpn", "doctor", "contoso", case.connection).stdout
        for word in ("ikeProposals", "AES128, SHA256, Group14", "DES3, SHA256, Group14", "what to change", "received proposals"):
            expect(word in text, f"{word!r} is not in: {text}")
        note.text = "\n" + text
    with checks.check("a connection that is not there has no doctor"):
        answer = made.gateway.api.error_of("GET", "/v1/routingDomains/contoso/networkConnections/nothing/doctor")
        expect_equal(answer.status, 404, "status")


def prove_strangers(checks, made):
    with checks.check("a site that no tunnel is for is nobody's fault but listed") as note:
        made.site.connection("stray", "198.51.100.251", VIP, local_id="nobody.example", remote_id=VIP, psk="stray-word",
                             owners=["nobody.example"], local_ts="10.1.0.0/16")
        made.site.vici.ask("initiate", {"child": "stray", "ike": "stray", "timeout": "-1"})
        seen = wait_for(lambda: [f for f in made.faults() if f["remoteAddress"] == "198.51.100.251"], 10, "the fault", tell=made.faults)
        expect_equal(seen[0]["cause"], "unknownSite", "cause")
        note.text = seen[0]["summary"]
    with checks.check("what is no IKE is one line, however much of it comes"):
        sock = made.outside.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(300):
            sock.sendto(bytes([number % 256]) * 40, (VIP, 500))
        sock.close()
        seen = wait_for(lambda: [f for f in made.faults() if f["cause"] == "garbage"], 10, "garbage", tell=made.faults)
        expect_equal(len(seen), 1, "lines")
        expect("garbage" in made.gateway.ctl("vpn", "doctor").stdout, "hnvctl")
        expect("word" not in str(made.faults()), "a secret is shown")


def prove_cure(checks, made):
    case = next(case for case in made.cases if case.name == "another secret, the site begins")
    with checks.check("once it is put right the tunnel comes up, and nothing is wrong with it"):
        made.site.forget(case.connection)
        made.load(case, psk=SECRET)
        expect(made.site.initiate(case.connection), "it does not come up")
        wait_for(lambda: made.doctor(case)["cause"] == "none" and made.doctor(case)["connectionState"] == "Connected", 10, "no fault",
                 tell=lambda: made.doctor(case))
    with checks.check("the gateway ends"):
        expect_equal(made.gateway.stop(), 0, "exit status")


def prove(checks, made):
    begin(made)
    for part in (prove_diagnoses, prove_tools, prove_strangers, prove_cure):
        part(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
