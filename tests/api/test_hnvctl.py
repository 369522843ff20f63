#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""hnvctl against the API of a fake gateway: what it prints, where, and its exit status.

usage: test_hnvctl.py FAKE_GATEWAY HNVCTL"""
import json
import os
import pty
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from served import Served

RESOURCES = {"resources": [
    {"path": "/v1/routingDomains/contoso", "body": {}},
    {"path": "routingDomains/contoso/virtualSubnets/web",
     "body": {"addressPrefixes": ["10.0.0.0/24"], "providerNetwork": "fabric"}},
    {"path": "routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4",
     "body": {"customerAddress": "10.0.0.4", "providerAddress": "192.0.2.11",
              "macAddress": "02:00:00:00:00:04"}},
    {"path": "routingDomains/contoso/bgpRouter", "body": {"asNumber": 65001, "routerId": "10.0.0.1"}},
    {"path": "publicIPAddresses/shared",
     "body": {"externalNetwork": "inet", "publicIPAddresses": ["203.0.113.4/31"],
              "portRange": {"first": 2000, "last": 3023}}},
    {"path": "routingDomains/contoso/nat",
     "body": {"outboundRules": [{"name": "all", "pool": "shared", "portRange": {"first": 2000, "last": 2100}},
                                {"name": "own", "sourcePrefixes": ["10.9.0.0/16"], "externalNetwork": "inet",
                                 "publicAddresses": ["203.0.113.9"]}],
              "staticMappings": [
                  {"name": "https", "externalNetwork": "inet", "protocol": "TCP", "publicAddress": "203.0.113.7",
                   "publicPort": 443, "insideAddress": "10.0.0.4", "insidePort": 8443},
                  {"name": "host6", "externalNetwork": "inet", "protocol": "All", "publicAddress": "2001:db8::7",
                   "insideAddress": "fd00::7"}]}},
]}


class Hnvctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Served(GATEWAY)
        cls.run_ok("apply", "-f", "-", stdin=json.dumps(RESOURCES))

    @classmethod
    def tearDownClass(cls):
        cls.gateway.close()

    @classmethod
    def run_ctl(cls, *args, stdin=None, socket=None):
        return subprocess.run([HNVCTL, *args], input=stdin, capture_output=True, text=True, timeout=20,
                              env={**os.environ, "HNV_SOCKET": socket or cls.gateway.socket})

    @classmethod
    def run_ok(cls, *args, stdin=None):
        result = cls.run_ctl(*args, stdin=stdin)
        assert result.returncode == 0 and result.stderr == "", (args, result)
        return result.stdout

    def test_apply_says_what_it_did(self):
        text = self.run_ok("apply", "-f", "-", stdin=json.dumps(RESOURCES))
        self.assertEqual(text.splitlines()[0], "replaced  /v1/routingDomains/contoso")

    def test_apply_names_the_faulty_resource_and_changes_nothing(self):
        bad = {"resources": [{"path": "routingDomains/fabrikam", "body": {}},
                             {"path": "routingDomains/fabrikam2", "body": {"colour": "red"}}]}
        result = self.run_ctl("apply", "-f", "-", stdin=json.dumps(bad))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertIn('unknownProperty: unknown property "colour" (/1/body/colour)', result.stderr)
        self.assertNotEqual(self.run_ctl("get", "routingDomains/fabrikam").returncode, 0)

    def test_tables(self):
        for args, expected in [
                (("get", "routingDomains"), "NAME"),
                (("get", "/v1/routingDomains/contoso"), "routingDomain"),
                (("system",), "0.1.0"), (("ports",), "fab0"), (("drops",), "nvgre_unknown_vsid"),
                (("routes", "contoso"), "*     10.0.0.0/24    connected"),
                (("lookup", "contoso", "10.0.0.7"), "dropped: no_route"),
                (("neighbors",), "192.0.2.254"), (("neighbors", "contoso"), "NETWORK"),
                (("statistics",), "classify"), (("statistics", "contoso"), "no_route"),
                (("records", "contoso", "web"), "192.0.2.11"),
                (("get", "metrics"), "hnv_drops_total"),
                (("nat", "sessions", "contoso"), "10.0.0.2:1002"),
                (("get", "routingDomains/contoso/natSessions"), "10.0.0.2:1002"),
                (("bgp", "routes", "contoso"), "65010:7"), (("get", "routingDomains/contoso/bgpRoutes"), "65010 65020"),
                (("nat", "mappings", "contoso"), "203.0.113.7:443"),
                (("nat", "pools"), "203.0.113.4/31"), (("get", "publicIPAddresses"), "2000-3023"),
                (("trace", "contoso", "--seconds", "0.1", "--protocol", "tcp"), "enter_nvgre")]:
            with self.subTest(args):
                if args[-1] == "/v1/routingDomains/contoso":
                    expected = "resourceId"
                self.assertIn(expected, self.run_ok(*args))

    def test_nat_sessions_by_filter_and_page(self):
        gateway = Served(GATEWAY)
        self.addCleanup(gateway.close)

        def nat(*args):
            done = self.run_ctl("nat", *args, socket=gateway.socket)
            return done.returncode, done.stdout, done.stderr
        code, text, _ = nat("sessions", "contoso", "--protocol", "UDP")
        self.assertEqual((code, [line.split()[1] for line in text.splitlines()]),
                         (0, ["INSIDE", "10.0.0.2:1002", "10.0.0.4:1004"]))
        self.assertEqual(text.splitlines()[1].split()[2:4], ["203.0.113.4:2002", "198.51.100.7:443"])
        code, text, errors = nat("sessions", "contoso", "--limit", "2")
        self.assertEqual((code, len(text.splitlines())), (0, 3))
        self.assertIn("more than 2", errors)
        page = json.loads(nat("sessions", "contoso", "--limit", "2", "-o", "json")[1])
        self.assertEqual((len(page["value"]), page["nextAfter"]), (2, "2"))
        for args, count in ((("--inside", "10.0.0.3"), 1), (("--inside", "10.0.0.4/30"), 2),
                            (("--outside-port", "2001"), 1), (("--remote", "192.0.2.1"), 0),
                            (("--inside-port", "1005", "--remote-port", "443"), 1)):
            self.assertEqual(len(nat("sessions", "contoso", *args)[1].splitlines()) - 1, count, args)
        code, _, errors = nat("end", "contoso")
        self.assertEqual(code, 1)
        self.assertIn("give a filter", errors)
        self.assertEqual(nat("end", "contoso", "--inside", "10.0.0.3"), (0, "1 sessions ended\n", ""))
        self.assertEqual(nat("end", "contoso", "--all"), (0, "4 sessions ended\n", ""))
        self.assertIn("no NAT", nat("sessions", "fabrikam")[2])
        for args in (("sessions",), ("sessions", "contoso", "--inside", "10.0.0.4&all=true"), (),
                     ("end", "contoso", "--protocol", "TCP&x"), ("sessions", "contoso", "--limit", "0")):
            self.assertNotEqual(nat(*args)[0], 0, args)

    def test_bgp_routes_by_filter_and_page(self):
        def prefixes(*args):
            done = self.run_ctl("bgp", "routes", "contoso", *args)
            self.assertEqual(done.returncode, 0, done.stderr)
            return [line.split()[0] for line in done.stdout.splitlines()[1:]], done.stderr
        everything = ["10.1.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "2001:db8::/48"]
        self.assertEqual(prefixes(), (everything, ""))
        self.assertEqual(prefixes("--type", "best")[0], ["10.1.0.0/16", "10.2.0.0/16", "2001:db8::/48"])
        self.assertEqual(prefixes("--type", "received", "--peer", "site")[0], ["10.1.0.0/16", "2001:db8::/48"])
        self.assertEqual(prefixes("--prefix", "10.2.0.0/16")[0], ["10.2.0.0/16"])
        some, errors = prefixes("--limit", "2")
        self.assertEqual(some, everything[:3])
        self.assertIn("more than 2 prefixes", errors)
        for args in (("--type", "worst"), ("--type", "advertised"), ("--peer", "a&b"), ("--prefix", "x")):
            self.assertNotEqual(self.run_ctl("bgp", "routes", "contoso", *args).returncode, 0, args)

    def test_nat_mappings_and_pools(self):
        lines = self.run_ok("nat", "mappings", "contoso").splitlines()
        self.assertEqual(lines[1].split(), ["all", "0.0.0.0/0", "-", "pool", "shared", "2000-2100"])
        self.assertEqual(lines[2].split(), ["own", "10.9.0.0/16", "inet", "203.0.113.9", "-"])
        self.assertEqual(lines[5].split(), ["https", "inet", "TCP", "203.0.113.7:443", "10.0.0.4:8443", "-"])
        self.assertEqual(lines[6].split(), ["host6", "inet", "All", "2001:db8::7", "fd00::7", "-"])
        lines = self.run_ok("nat", "pools").splitlines()
        self.assertEqual(lines[1].split(), ["shared", "inet", "203.0.113.4/31", "2000-3023", "-", "256", "1", "5", "1"])

    def test_drops_leaves_out_what_did_not_happen(self):
        self.assertNotIn("ttl_exceeded", self.run_ok("drops"))
        self.assertIn("balanced", self.run_ok("drops"))

    def test_json_is_what_the_api_said(self):
        for args, path in [(("system",), "/v1/system"), (("drops",), "/v1/drops"),
                           (("get", "routingDomains"), "/v1/routingDomains"),
                           (("records", "contoso", "web"),
                            "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords")]:
            said = json.loads(self.run_ok("-o", "json", *args))
            self.assertEqual(said, self.gateway.call("GET", path)[2])
            self.assertEqual(said, json.loads(self.run_ok(*args, "-o", "json")))

    def test_long_lists_come_page_by_page(self):
        domains = [{"path": f"routingDomains/many-{number}", "body": {}} for number in range(2001)]
        self.run_ok("apply", "-f", "-", stdin=json.dumps({"resources": domains}))
        try:
            known = [d["resourceId"] for d in self.gateway.call("GET", "/v1/routingDomains")[2]["value"]]
            self.assertGreater(len(known), 2000)
            said = json.loads(self.run_ok("get", "routingDomains", "-o", "json"))
            self.assertEqual([d["resourceId"] for d in said["value"]], known)
            self.assertNotIn("nextAfter", said)
            page = json.loads(self.run_ok("get", "routingDomains?limit=5", "-o", "json"))
            self.assertEqual(len(page["value"]), 5)
            self.assertEqual(page["nextAfter"], known[4])
        finally:
            gone = [{"method": "DELETE", "path": "/v1/" + domain["path"]} for domain in domains]
            self.gateway.call("POST", "/v1/batch", gone)

    def test_put_and_delete(self):
        self.run_ok("put", "routingDomains/a", "-f", "-", stdin='{"description":"x"}')
        self.assertEqual(self.run_ok("delete", "routingDomains/a"), "")
        result = self.run_ctl("get", "routingDomains/a")
        self.assertEqual(result.returncode, 1)
        self.assertIn("notFound", result.stderr)
        self.assertIn("/v1/routingDomains/a", result.stderr)

    def test_all_faults_are_listed(self):
        result = self.run_ctl("put", "routingDomains/a", "-f", "-", stdin='{"x":1,"y":2}')
        self.assertEqual(len(result.stderr.splitlines()), 3)

    def test_a_missing_gateway_says_what_to_do(self):
        result = self.run_ctl("system", socket="/nonexistent/api.sock")
        self.assertEqual(result.returncode, 1)
        self.assertIn("not running", result.stderr)
        self.assertIn("systemctl start hnv-gateway", result.stderr)

    def test_wrong_usage_is_refused(self):
        for args in ([], ["frobnicate"], ["get"], ["-o", "xml", "system"],
                     ["lookup", "contoso", "10.0.0.1&x"], ["apply", "-f", "/nonexistent"]):
            self.assertNotEqual(self.run_ctl(*args).returncode, 0, args)


class Watch(unittest.TestCase):
    """hnvctl watch, until SIGINT; every wait has an end."""

    def setUp(self):
        self.gateway = Served(GATEWAY)
        self.addCleanup(self.gateway.close)
        self.said = queue.Queue()

    def start(self, *args, output=subprocess.PIPE):
        process = subprocess.Popen([HNVCTL, "--socket", self.gateway.socket, "watch", "-n", "0.1", *args],
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.kill)
        for name in ("stdout", "stderr"):
            if getattr(process, name) is not None:
                threading.Thread(target=self._read, args=(name, getattr(process, name)), daemon=True).start()
        return process

    def _read(self, name, stream):
        with stream:
            for line in stream:
                self.said.put((name, line.rstrip("\n")))

    def wait_for(self, part, stream="stdout"):
        """The next line of the stream that contains this."""
        end = time.monotonic() + 10
        while True:
            name, line = self.said.get(timeout=max(0.01, end - time.monotonic()))
            if name == stream and part in line:
                return line

    def interrupt(self, process, number=signal.SIGINT):
        process.send_signal(number)
        self.assertEqual(process.wait(timeout=10), 0)

    def test_shows_what_changes_until_it_is_interrupted(self):
        self.gateway.call("PUT", "/v1/routingDomains/contoso", {"description": "before"})
        process = self.start("routingDomains/contoso")
        self.wait_for("before")
        self.wait_for("before")
        self.gateway.call("PUT", "/v1/routingDomains/contoso", {"description": "after"})
        self.wait_for("after")
        self.interrupt(process)

    def test_shows_tables_as_the_verbs_do(self):
        process = self.start("drops")
        self.wait_for("balanced")
        self.wait_for("DROPPED BECAUSE")
        self.interrupt(process, signal.SIGTERM)

    def test_json_is_one_document_after_another(self):
        process = self.start("routingDomains", "-o", "json")
        for _ in range(3):
            self.assertEqual(self.wait_for("{"), "{")
            self.wait_for("}")
        self.interrupt(process)

    def test_waits_for_a_gateway_that_restarts(self):
        process = self.start("system")
        self.wait_for("version")
        self.gateway.stop()
        self.wait_for("not running", "stderr")
        self.gateway.start()
        self.wait_for("version")
        self.interrupt(process)

    def test_ends_when_there_is_nothing_to_watch(self):
        for path, why in (("routingDomains/none", "notFound"), ("frobnicate", "notFound")):
            process = self.start(path)
            self.wait_for(why, "stderr")
            self.assertEqual(process.wait(timeout=10), 1)
        self.gateway.stop()
        process = self.start("system")
        self.wait_for("not running", "stderr")
        self.assertEqual(process.wait(timeout=10), 1)
        self.gateway.start()

    def test_a_terminal_is_cleared_before_each_answer(self):
        ours, theirs = pty.openpty()
        process = self.start("system", output=theirs)
        os.close(theirs)
        text, end = "", time.monotonic() + 10
        while text.count("\033[H\033[2J") < 3 and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                text += os.read(ours, 4096).decode()
        self.interrupt(process)
        os.close(ours)
        self.assertTrue(text.startswith("\033[H\033[2J"), text[:100])
        self.assertGreaterEqual(text.count("version"), 2)


def make_certificate(folder, name, names, ca=None):
    """NAME.pem and NAME.key, signed by `ca` or by itself."""
    key, certificate = f"{folder}/{name}.key", f"{folder}/{name}.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", key, "-out", certificate]
    if names:
        argv += ["-addext", "subjectAltName=" + names]
    if ca:
        argv += ["-CA", f"{folder}/{ca}.pem", "-CAkey", f"{folder}/{ca}.key",
                 "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(argv, check=True, capture_output=True, timeout=20)
    return certificate, key


class Url(unittest.TestCase):
    """hnvctl --url: over TLS with a token and a certificate that is checked, and plain on loopback."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hnv-tls-")
        cls.token = cls.write("token", "a-token-of-some-length\n")
        cls.other_token = cls.write("other", "another-token-of-some-length\n")
        cls.ca = make_certificate(cls.folder, "ca", None)[0]
        cls.other_ca = make_certificate(cls.folder, "other-ca", None)[0]
        pair = make_certificate(cls.folder, "gateway", "DNS:localhost,IP:127.0.0.1", ca="ca")
        stranger = make_certificate(cls.folder, "stranger", "DNS:gw.example", ca="ca")
        cls.tls = Served(GATEWAY, (cls.token, *pair))
        cls.misnamed = Served(GATEWAY, (cls.token, *stranger))
        cls.plain = Served(GATEWAY, (cls.token,))

    @classmethod
    def tearDownClass(cls):
        for gateway in (cls.tls, cls.misnamed, cls.plain):
            gateway.close()
        shutil.rmtree(cls.folder)

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.folder, name)
        with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(text)
        return path

    def run_ctl(self, url, *args, token=None, ca=None, stdin=None):
        argv = [HNVCTL, "--url", url, "--token-file", token or self.token]
        if ca:
            argv += ["--ca-file", ca]
        return subprocess.run([*argv, *args], input=stdin, capture_output=True, text=True, timeout=20)

    def https(self, *args, host="localhost", gateway=None, **options):
        return self.run_ctl(f"https://{host}:{(gateway or self.tls).port}", *args, **options)

    def refused(self, done, *words):
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_reads_and_changes(self):
        for host in ("localhost", "127.0.0.1"):
            done = self.https("system", host=host, ca=self.ca)
            self.assertEqual((done.returncode, done.stderr), (0, ""), host)
            self.assertIn("0.1.0", done.stdout)
        done = self.https("apply", "-f", "-", ca=self.ca, stdin=json.dumps(RESOURCES))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("created   /v1/routingDomains/contoso", done.stdout)
        self.assertIn("192.0.2.11", self.https("records", "contoso", "web", ca=self.ca).stdout)

    def test_checks_the_certificate(self):
        self.refused(self.https("system"), "not trusted", "--ca-file")
        self.refused(self.https("system", ca=self.other_ca), "not trusted", "--ca-file")
        self.refused(self.https("system", ca=self.ca, gateway=self.misnamed), "for another name")
        self.refused(self.https("system", ca="/nonexistent.pem"), "/nonexistent.pem")
        self.refused(self.https("system", ca=self.token), "no certificates", self.token)

    def test_wants_the_right_token(self):
        self.refused(self.https("system", ca=self.ca, token=self.other_token), "unauthorized: a bearer token")
        self.refused(self.https("system", ca=self.ca, token="/nonexistent"), "cannot read the token file /nonexistent")

    def test_guesses_too_often(self):
        gateway = Served(GATEWAY, (self.token,))
        self.addCleanup(gateway.close)
        url = f"http://127.0.0.1:{gateway.port}"
        for _ in range(10):
            self.refused(self.run_ctl(url, "system", token=self.other_token), "unauthorized")
        self.refused(self.run_ctl(url, "system", token=self.other_token), "tooManyRequests", "seconds")

    def test_in_the_clear_on_loopback_only(self):
        for host in ("localhost", "127.0.0.1"):
            self.assertIn("0.1.0", self.run_ctl(f"http://{host}:{self.plain.port}", "system").stdout)
        # The token must not be sent over a network in the clear, not even once.
        self.refused(self.run_ctl("http://192.0.2.1:8443", "system"), "https://")
        self.refused(self.run_ctl("http://gw.example:8443", "system"), "https://")

    def test_says_when_the_other_side_speaks_something_else(self):
        self.refused(self.run_ctl(f"http://127.0.0.1:{self.tls.port}", "system"), f":{self.tls.port}")
        self.refused(self.run_ctl(f"https://127.0.0.1:{self.plain.port}", "system", ca=self.ca), f":{self.plain.port}")
        self.refused(self.run_ctl("gw.example:8443", "system"), "gw.example:8443", "https://")
        self.refused(self.run_ctl("ftp://gw.example", "system"), "https://")

    def test_token_and_ca_are_refused_without_url(self):
        done = subprocess.run([HNVCTL, "--token-file", self.token, "system"], capture_output=True, text=True, timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--url", done.stderr)


if __name__ == "__main__":
    GATEWAY, HNVCTL = sys.argv[1], sys.argv[2]
    unittest.main(argv=sys.argv[:1])
