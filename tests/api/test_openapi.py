#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""api/openapi.yaml against the code: its paths and methods are the route table's, and every answer of
a walk through the API fits the schema that is promised for it.

usage: test_openapi.py FAKE_GATEWAY OPENAPI_YAML"""
import re
import subprocess
import sys
import unittest

import jsonschema
import yaml

from served import Served

METHODS = ("get", "put", "post", "patch", "delete")
SUBNET = "/v1/routingDomains/contoso/virtualSubnets/web"
RECORDS = SUBNET + "/lookupRecords"
RECORD = {"customerAddress": "10.0.0.4", "providerAddress": "192.0.2.11",
          "macAddress": "02:00:00:00:00:04"}
L3 = {"connectionType": "L3", "routes": [{"destinationPrefix": "172.16.0.0/12"}],
      "l3Configuration": {"port": "wan0", "vlanId": 300, "ipAddresses": ["172.16.0.2/30"],
                          "peerIPAddresses": ["172.16.0.1"]}}
IPSEC = {"connectionType": "IPSec", "routes": [{"destinationPrefix": "10.9.0.0/16", "persistent": True}],
         "outboundKiloBitsPerSecond": 0, "inboundBurstBytes": 20000, "adminStatus": "Enabled",
         "ipSecConfiguration": {"sourceIPAddress": "203.0.113.2", "destinationIPAddress": "198.51.100.10",
                                "sharedSecret": "swordfish", "mainMode": {"diffieHellmanGroup": "ECP384"},
                                "quickMode": {"perfectForwardSecrecy": "ECP384"},
                                "localVpnTrafficSelector": [{"ipAddressStart": "10.0.0.0", "ipAddressEnd": "10.0.0.9"}]}}
POOL = {"externalNetwork": "inet", "publicIPAddresses": ["203.0.113.4", "203.0.113.8/29"], "routingDomain": "contoso",
        "portRange": {"first": 1024, "last": 2047}, "portBlockSize": 16, "respondToPing": True}
MAPPING = {"name": "https", "externalNetwork": "inet", "protocol": "TCP", "publicAddress": "203.0.113.5",
           "publicPort": 443, "insideAddress": "10.0.0.4", "insidePort": 443, "remotePrefix": "0.0.0.0/0"}
NAT = {"excludePrefixes": ["10.0.0.0/8"], "filtering": "AddressDependent", "refusal": "HostProhibited",
       "outboundRules": [{"name": "all", "pool": "p", "portRange": {"first": 1024, "last": 1100}},
                         {"name": "own", "sourcePrefixes": ["10.0.0.0/24"], "externalNetwork": "inet",
                          "publicAddresses": ["203.0.113.6"]}],
       "staticMappings": [MAPPING], "timeouts": {"udp": 120, "portRest": 0}, "limits": {"sessionsPerDomain": 5}}
BGP = "/v1/routingDomains/contoso/"
ROUTER = {"asNumber": 65001, "routerId": "10.0.0.1", "transitRouting": "Enabled", "dampening": {"reuse": 800}}
PEER = {"peerIpAddress": "172.16.0.1", "asNumber": "0.65010", "password": "swordfish", "policyMapIn": "in",
        "addressFamilies": ["IPv4"], "ttlSecurity": 1}
POLICY = {"policyMapEntryList": [
    {"sequence": 10, "match": {"prefixes": [{"prefix": "10.0.0.0/8", "maxLength": 24}],
                               "asnRanges": [{"first": 64512, "last": 65534}], "communities": ["65001:1"]},
     "set": {"localPreference": 200, "prependAsPath": [65001, 65001]}},
    {"sequence": 20, "action": "Deny"}]}
SESSIONS = "/v1/routingDomains/contoso/natSessions"
ROUTE = {"destinationPrefix": "0.0.0.0/0", "nextHop": "192.0.2.254"}

# method, path, body, expected status
WALK = [
    ("PUT", "/v1/providerNetworks/fabric",
     {"port": "fab0", "providerAddresses": ["192.0.2.1/24"], "routes": [ROUTE], "mtu": 1700}, 201),
    ("PUT", "/v1/externalNetworks/inet",
     {"port": "wan0", "ipAddresses": ["203.0.113.2/24"]}, 201),
    ("PUT", "/v1/routingDomains/contoso", {}, 201),
    ("PUT", SUBNET, {"addressPrefixes": ["10.0.0.0/24"], "providerNetwork": "fabric"}, 201),
    ("PUT", RECORDS + "/10.0.0.4", RECORD, 201),
    ("PUT", "/v1/routingDomains/contoso/customerRoutes/office",
     {"destinationPrefix": "172.16.0.0/12", "networkConnection": "mpls"}, 201),
    ("PUT", "/v1/routingDomains/contoso/networkConnections/mpls", L3, 201),
    ("PUT", "/v1/routingDomains/contoso/networkConnections/branch", IPSEC, 201),
    ("GET", "/v1/routingDomains/contoso/networkConnections/branch", None, 200),
    ("POST", "/v1/routingDomains/contoso/networkConnections/branch/connect", None, 202),
    ("POST", "/v1/routingDomains/contoso/networkConnections/branch/disconnect", None, 202),
    ("POST", "/v1/routingDomains/contoso/networkConnections/branch/rekey", None, 202),
    ("POST", "/v1/routingDomains/contoso/networkConnections/mpls/rekey", None, 422),
    ("POST", "/v1/routingDomains/contoso/networkConnections/none/rekey", None, 404),
    ("GET", "/v1/routingDomains/contoso/networkConnections/branch/doctor", None, 200),
    ("GET", "/v1/routingDomains/contoso/networkConnections/mpls/doctor", None, 422),
    ("GET", "/v1/routingDomains/contoso/networkConnections/none/doctor", None, 404),
    ("GET", "/v1/ikeFaults", None, 200),
    ("PUT", "/v1/publicIPAddresses/p", POOL, 201),
    ("PUT", "/v1/routingDomains/contoso/nat", NAT, 201),
    ("PUT", "/v1/routingDomains/contoso/nat", {}, 200),
    ("PUT", BGP + "bgpRouter", ROUTER, 201),
    ("GET", BGP + "bgpRouter", None, 200),
    ("PUT", BGP + "policyMaps/in", POLICY, 201),
    ("GET", BGP + "policyMaps", None, 200),
    ("GET", BGP + "policyMaps/in", None, 200),
    ("PUT", BGP + "bgpPeers/site", PEER, 201),
    ("GET", BGP + "bgpPeers", None, 200),
    ("GET", BGP + "bgpRoutes", None, 200),
    ("GET", BGP + "bgpRoutes?type=best&peer=site&prefix=10.0.0.0/8&limit=1&after=10.0.0.0/16", None, 200),
    ("GET", BGP + "bgpRoutes?type=worst", None, 400),
    ("GET", "/v1/routingDomains/none/bgpRoutes", None, 404),
    ("GET", BGP + "bgpPeers/site", None, 200),
    ("PUT", BGP + "bgpPeers/site", {**PEER, "bfd": {}}, 200),
    ("PUT", BGP + "bgpPeers/site", {**PEER, "bfd": {"multiplier": 1}}, 400),
    ("PUT", BGP + "bgpCustomRoutes", {"routes": [{"prefix": "10.0.0.0/24"}]}, 201),
    ("GET", BGP + "bgpCustomRoutes", None, 200),
    ("PUT", BGP + "bgpAggregates", {"aggregates": [{"prefix": "10.0.0.0/16", "summaryOnly": "Enabled"}]}, 201),
    ("GET", BGP + "bgpAggregates", None, 200),
    ("PATCH", BGP + "bgpRouter", {"holdTimeSeconds": 30, "dampening": None}, 200),
    ("PATCH", BGP + "bgpPeers/site", {"maxAllowedPrefix": 5, "bfd": {}}, 200),
    ("PATCH", BGP + "bgpPeers/site", {"maxAllowedPrefix": "many"}, 400),
    ("PATCH", BGP + "bgpPeers/none", {}, 404),
    ("PATCH", BGP + "policyMaps/in", {"policyMapEntryList": [{"sequence": 5}]}, 200),
    ("PATCH", BGP + "policyMaps/in", {"policyMapEntryList": []}, 400),
    ("PATCH", BGP + "bgpCustomRoutes", {"routes": []}, 200),
    ("PATCH", BGP + "bgpAggregates", {"aggregates": []}, 200),
    ("PUT", RECORDS, {"value": [RECORD]}, 200),
    ("PATCH", RECORDS, [{"op": "put", "record": RECORD}, {"op": "delete", "id": "10.0.0.9"}], 200),
    ("POST", "/v1/batch", [{"method": "PUT", "path": "/v1/routingDomains/contoso", "body": {}},
                           {"method": "DELETE", "path": "/v1/routingDomains/none"}], 200),
    ("PUT", "/v1/trace", {"routingDomain": "contoso", "protocol": "tcp"}, 200),
    ("GET", "/v1/trace", None, 200),
    ("GET", "/v1/system", None, 200),
    ("GET", "/v1/ports", None, 200),
    ("GET", "/v1/statistics", None, 200),
    ("GET", "/v1/drops", None, 200),
    ("GET", "/v1/neighbors", None, 200),
    ("GET", "/metrics", None, 200),
    ("GET", "/v1/providerNetworks", None, 200),
    ("GET", "/v1/providerNetworks/fabric", None, 200),
    ("GET", "/v1/externalNetworks", None, 200),
    ("GET", "/v1/externalNetworks/inet", None, 200),
    ("GET", "/v1/routingDomains?limit=1", None, 200),
    ("GET", "/v1/routingDomains/contoso", None, 200),
    ("GET", "/v1/routingDomains/contoso/routes", None, 200),
    ("GET", "/v1/routingDomains/contoso/routes?limit=1&after=0.0.0.0/0", None, 200),
    ("GET", "/v1/routingDomains/contoso/neighbors", None, 200),
    ("GET", "/v1/routingDomains/contoso/statistics", None, 200),
    ("GET", "/v1/routingDomains/contoso/lookup?address=10.0.0.7", None, 200),
    ("GET", "/v1/routingDomains/contoso/virtualSubnets", None, 200),
    ("GET", SUBNET, None, 200),
    ("GET", RECORDS, None, 200),
    ("GET", RECORDS + "/10.0.0.4", None, 200),
    ("GET", "/v1/routingDomains/contoso/customerRoutes", None, 200),
    ("GET", "/v1/routingDomains/contoso/customerRoutes/office", None, 200),
    ("GET", "/v1/routingDomains/contoso/networkConnections", None, 200),
    ("GET", "/v1/routingDomains/contoso/networkConnections/mpls", None, 200),
    ("GET", "/v1/publicIPAddresses", None, 200),
    ("GET", "/v1/publicIPAddresses/p", None, 200),
    ("GET", "/v1/routingDomains/contoso/nat", None, 200),
    ("GET", SESSIONS, None, 200),
    ("GET", SESSIONS + "?limit=2&protocol=TCP&inside=10.0.0.0/24&outside=203.0.113.4&remotePort=443", None, 200),
    ("GET", SESSIONS + "?outsidePort=-1", None, 400),
    ("DELETE", SESSIONS, None, 400),
    ("DELETE", SESSIONS + "?inside=10.0.0.1", None, 200),
    ("DELETE", SESSIONS + "?all=true", None, 200),
    ("DELETE", "/v1/routingDomains/contoso/nat", None, 204),
    ("DELETE", BGP + "bgpAggregates", None, 204),
    ("DELETE", BGP + "bgpCustomRoutes", None, 204),
    ("DELETE", BGP + "bgpPeers/site", None, 204),
    ("DELETE", BGP + "policyMaps/in", None, 204),
    ("DELETE", BGP + "bgpRouter", None, 204),
    ("DELETE", "/v1/publicIPAddresses/p", None, 204),
    ("PUT", "/v1/routingDomains/contoso", {"x": 1, "limits": 2}, 400),
    ("GET", "/v1/routingDomains/none", None, 404),
    ("DELETE", "/v1/trace", None, 204),
    ("DELETE", RECORDS + "/10.0.0.4", None, 204),
    ("DELETE", "/v1/routingDomains/contoso/customerRoutes/office", None, 204),
    ("DELETE", "/v1/routingDomains/contoso/networkConnections/mpls", None, 204),
    ("DELETE", SUBNET, None, 204),
    ("DELETE", "/v1/routingDomains/contoso", None, 204),
    ("DELETE", "/v1/externalNetworks/inet", None, 204),
    ("DELETE", "/v1/providerNetworks/fabric", None, 204),
]


class Document:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.root = yaml.safe_load(file)

    def resolve(self, node):
        while "$ref" in node:
            target = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def strict(self, schema):
        """An OpenAPI 3.0 schema as JSON schema, with allOf merged and undeclared properties refused."""
        schema = dict(self.resolve(schema))
        nullable = schema.pop("nullable", False)
        for part in schema.pop("allOf", []):
            part = self.strict(part)
            part.pop("additionalProperties", None)
            merged = {**part.get("properties", {}), **schema.get("properties", {})}
            required = part.get("required", []) + schema.get("required", [])
            schema = {**part, **schema, "properties": merged, "required": required}
        if "properties" in schema:
            schema["properties"] = {k: self.strict(v) for k, v in schema["properties"].items()}
        if schema.get("type") == "object":
            extra = schema.get("additionalProperties", False)
            schema["additionalProperties"] = self.strict(extra) if isinstance(extra, dict) else extra
        if "items" in schema:
            schema["items"] = self.strict(schema["items"])
        if "oneOf" in schema:
            schema["oneOf"] = [self.strict(s) for s in schema["oneOf"]]
        return {"anyOf": [schema, {"type": "null"}]} if nullable else schema

    def operation(self, method, path):
        """The pattern and operation of a concrete path; literal segments win."""
        path = path.split("?")[0]
        for pattern in sorted(self.root["paths"], key=lambda p: p.count("{")):
            shape = re.sub(r"\{[^}]*\}", "[^/]+", pattern)
            if re.fullmatch(shape, path) and method.lower() in self.root["paths"][pattern]:
                return pattern, self.root["paths"][pattern][method.lower()]
        raise AssertionError(f"{method} {path} is not in openapi.yaml")


class OpenApi(unittest.TestCase):
    def test_paths_and_methods_are_the_route_tables(self):
        written = {f"{method.upper()} {path}" for path, item in DOCUMENT.root["paths"].items()
                   for method in METHODS if method in item}
        built = set(subprocess.check_output([GATEWAY, "routes"], text=True).split("\n")) - {""}
        self.assertEqual(written, built)

    def test_path_parameters_are_declared(self):
        for path, item in DOCUMENT.root["paths"].items():
            declared = [DOCUMENT.resolve(p) for p in item.get("parameters", [])]
            for method in METHODS:
                declared += [DOCUMENT.resolve(p) for p in item.get(method, {}).get("parameters", [])]
            names = [p["name"] for p in declared if p["in"] == "path"]
            self.assertEqual(names, re.findall(r"\{([^}]*)\}", path), path)

    def test_every_answer_fits_its_schema(self):
        gateway = Served(GATEWAY)
        self.addCleanup(gateway.close)
        walked = set()
        for method, path, body, expected in WALK:
            with self.subTest(f"{method} {path}"):
                status, headers, content = gateway.call(method, path, body)
                self.assertEqual(status, expected, content)
                pattern, operation = DOCUMENT.operation(method, path)
                if status < 400:
                    walked.add(f"{method} {pattern}")
                answers = operation["responses"]
                answer = DOCUMENT.resolve(answers.get(str(status), answers["default"]))
                self.assertEqual("content" in answer, content is not None)
                if content is not None:
                    media = answer["content"][headers.get_content_type()]
                    jsonschema.validate(content, DOCUMENT.strict(media["schema"]))
                if body is not None and status < 400:
                    media = DOCUMENT.resolve(operation["requestBody"])["content"]
                    jsonschema.validate(body, DOCUMENT.strict(media["application/json"]["schema"]))
        built = set(subprocess.check_output([GATEWAY, "routes"], text=True).split("\n")) - {""}
        self.assertEqual(built - walked, set(), "routes without a tested answer")


if __name__ == "__main__":
    GATEWAY = sys.argv[1]
    DOCUMENT = Document(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
