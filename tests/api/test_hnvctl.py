#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""hnvctl against the API of a fake gateway: what it prints, where, and its exit status.

usage: test_hnvctl.py FAKE_GATEWAY HNVCTL"""
import json
import os
import subprocess
import sys
import unittest

from served import Served

RESOURCES = {"resources": [
    {"path": "/v1/routingDomains/contoso", "body": {}},
    {"path": "routingDomains/contoso/virtualSubnets/web",
     "body": {"addressPrefixes": ["10.0.0.0/24"], "providerNetwork": "fabric"}},
    {"path": "routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4",
     "body": {"customerAddress": "10.0.0.4", "providerAddress": "192.0.2.11",
              "macAddress": "02:00:00:00:00:04"}},
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
                (("routes", "contoso"), "*     10.0.0.0/24  connected"),
                (("lookup", "contoso", "10.0.0.7"), "dropped: no_route"),
                (("neighbors",), "192.0.2.254"), (("neighbors", "contoso"), "NETWORK"),
                (("statistics",), "classify"), (("statistics", "contoso"), "no_route"),
                (("records", "contoso", "web"), "192.0.2.11"),
                (("get", "metrics"), "hnv_drops_total"),
                (("trace", "contoso", "--seconds", "0.1", "--protocol", "tcp"), "enter_nvgre")]:
            with self.subTest(args):
                if args[-1] == "/v1/routingDomains/contoso":
                    expected = "resourceId"
                self.assertIn(expected, self.run_ok(*args))

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


if __name__ == "__main__":
    GATEWAY, HNVCTL = sys.argv[1], sys.argv[2]
    unittest.main(argv=sys.argv[:1])
