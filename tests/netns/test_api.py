#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The API's rules as a client meets them: tags, repeats, batches, bulk, paging, who may call.

     gateway ── fab0, wan0 ── switch ── stray        (support/plain_topology.py)

     Unix socket: this script.      127.0.0.1:8080 in the gateway's namespace: with a bearer token.
"""

import copy
import http.client
import os
import socket
import ssl
import statistics
import sys
import threading
import time

from support.checks import expect, expect_equal, topology
from support.metrics import Metrics
from support.plain_topology import Plain, two_domains
from support.run import call

CONTOSO = "/v1/routingDomains/contoso"
RECORDS = f"{CONTOSO}/virtualSubnets/large/lookupRecords"
TOKEN = "correct horse battery staple"


def build(run, arguments):
    token_file = os.path.join(run.folder, "token")
    with open(os.open(token_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(TOKEN + "\n")
    made = Plain(run, arguments.gateway, arguments.hnvctl, tcp={
        "address": "127.0.0.1", "port": 8080, "tokenFile": token_file, "allowedHosts": ["localhost"]})
    large = {"path": f"{CONTOSO}/virtualSubnets/large", "body": {
        "virtualSubnetId": 5010, "addressPrefixes": ["10.64.0.0/16"], "kind": "vm", "providerNetwork": "fabric"}}
    made.start([*two_domains(), large])
    return made


def record(number, pa="10.250.0.11"):
    high, low = divmod(number + 16, 256)
    return {"customerAddress": f"10.64.{high}.{low}", "providerAddress": pa,
            "macAddress": f"00:15:5d:40:{high:02x}:{low:02x}", "type": "Static"}


def prove_tags(checks, api):
    path, body = f"{CONTOSO}/customerRoutes/tagged", {"destinationPrefix": "172.20.0.0/16",
                                                      "networkConnection": "datacentre"}
    with checks.check("PUT answers 201, then 200; the ETag is the resource's"):
        first = api.request("PUT", path, body)
        expect_equal(first.status, 201, "status of the first")
        second = api.request("PUT", path, {**body, "metric": 7})
        expect_equal(second.status, 200, "status of the second")
        read = api.request("GET", path)
        expect_equal(read.etag, second.etag, "ETag of GET")
        expect_equal(read.etag.strip('"'), read.json["etag"].strip('"'), "etag in the body")
        expect(first.etag != second.etag, "a change did not change the ETag")
        expect_equal(read.json["metric"], 7, "metric")
    with checks.check("a stale If-Match is refused with 412 and changes nothing; the right one is taken"):
        for method, new in (("PUT", {**body, "metric": 9}), ("DELETE", None)):
            answer = api.error_of(method, path, new, headers={"If-Match": first.etag})
            expect_equal((answer.status, answer.code), (412, "preconditionFailed"), method)
        expect_equal(api.get(path)["metric"], 7, "metric")
        expect_equal(api.request("PUT", path, {**body, "metric": 9}, {"If-Match": second.etag}).status, 200, "status")
    with checks.check("If-None-Match: * creates only; a matching one answers GET with 304"):
        answer = api.error_of("PUT", path, body, headers={"If-None-Match": "*"})
        expect_equal(answer.status, 412, "status of PUT")
        etag = api.request("GET", path).etag
        answer = api.request("GET", path, headers={"If-None-Match": etag})
        expect_equal((answer.status, answer.text), (304, ""), "GET")
    with checks.check("DELETE answers 204, also for what is not there"):
        expect_equal([api.request("DELETE", path).status for _ in range(2)], [204, 204], "statuses")
        expect_equal(api.request("GET", path).status, 404, "status of GET")
        expect_equal(api.request("PUT", path, body, {"If-Match": "*"}).status, 412, "If-Match: * on a missing one")
    with checks.check("PUT keeps what the server chose"):
        path = "/v1/routingDomains/chosen"
        made = api.put(path, {"description": "one"})
        again = api.put(path, {"description": "two"})
        expect_equal(again["routingDomainId"], made["routingDomainId"], "routingDomainId")
        subnet = {"addressPrefixes": ["10.9.0.0/24"], "kind": "gateway", "providerNetwork": "fabric"}
        made = api.put(f"{path}/virtualSubnets/a", subnet)
        again = api.put(f"{path}/virtualSubnets/a", subnet)
        expect(4096 <= made["virtualSubnetId"] <= 16777214, f"VSID {made['virtualSubnetId']}")
        for name in ("virtualSubnetId", "macAddress", "gatewayAddresses"):
            expect_equal(again[name], made[name], name)
        expect_equal(made["gatewayAddresses"], ["10.9.0.2"], "the second usable address of a gateway subnet")
        api.delete(f"{path}/virtualSubnets/a")
        api.delete(path)


def prove_repeats(checks, api):
    path = f"{CONTOSO}/customerRoutes/repeated"
    body = {"destinationPrefix": "172.21.0.0/16", "networkConnection": "datacentre"}
    headers = {"x-ms-client-request-id": "0b6a1d3e-repeat"}
    with checks.check("a repeated x-ms-client-request-id gives the first answer and does nothing more"):
        first = api.request("PUT", path, body, headers)
        generation = api.get("/v1/system")["generation"]
        second = api.request("PUT", path, body, headers)
        expect_equal((first.status, second.status), (201, 201), "statuses")
        expect_equal((second.json, second.etag), (first.json, first.etag), "the answer")
        expect_equal(api.get("/v1/system")["generation"], generation, "the generation")
    with checks.check("the same id with another body is 409"):
        answer = api.error_of("PUT", path, {**body, "metric": 3}, headers=headers)
        expect_equal(answer.status, 409, "status")
        api.delete(path)


def prove_batches(checks, api):
    route = {"destinationPrefix": "172.22.0.0/16", "networkConnection": "datacentre"}
    with checks.check("a batch is one transaction with one generation"):
        before = api.get("/v1/system")["generation"]
        answers = api.batch([{"method": "PUT", "path": f"{CONTOSO}/customerRoutes/b{n}",
                              "body": {**route, "destinationPrefix": f"172.2{n}.0.0/16"}} for n in range(2, 6)])
        expect_equal(api.get("/v1/system")["generation"], before + 1, "generation")
        expect(answers, "no answer")
    with checks.check("a batch whose third request is stale changes nothing at all"):
        state = api.everything()
        answer = api.error_of("POST", "/v1/batch", [
            {"method": "DELETE", "path": f"{CONTOSO}/customerRoutes/b2"},
            {"method": "PUT", "path": f"{CONTOSO}/customerRoutes/b6", "body": {**route, "destinationPrefix": "172.26.0.0/16"}},
            {"method": "PUT", "path": f"{CONTOSO}/customerRoutes/b3", "ifMatch": '"1"', "body": {
                **route, "destinationPrefix": "172.27.0.0/16"}}])
        expect_equal(answer.status, 412, f"status of {answer.text[:300]}")
        expect_equal(api.everything(), state, "the desired state")
    with checks.check("a batch may remove what an earlier request of it used"):
        api.batch([{"method": "DELETE", "path": f"{CONTOSO}/customerRoutes/b{n}"} for n in range(2, 6)])
        expect_equal(api.all_of("routingDomains/contoso/customerRoutes"), [], "customer routes")


def prove_bulk(checks, api):
    with checks.check("10,000 records in one PATCH") as note:
        begin = time.monotonic()
        api.patch(RECORDS, [{"op": "put", "record": record(n)} for n in range(10000)])
        note.text = f"{time.monotonic() - begin:.2f} s"
    with checks.check("8,000 and more records in one answer, and the same ones in pages") as note:
        begin = time.monotonic()
        whole = api.get(f"{RECORDS}?limit=10000")["value"]
        note.text = f"{time.monotonic() - begin:.2f} s"
        expect_equal(len(whole), 10000, "records")
        paged, after = [], ""
        for _ in range(100):
            answer = api.get(f"{RECORDS}?limit=777&after={after}")
            expect(len(answer["value"]) <= 777, f"a page of {len(answer['value'])}")
            paged += answer["value"]
            if "nextAfter" not in answer:
                break
            after = answer["nextAfter"]
        expect_equal(paged, whole, "the pages, put together")
    with checks.check("the hosts of 200 records are neighbours, in pages as in one answer"):
        api.patch(RECORDS, [{"op": "put", "record": record(n, pa=f"10.250.0.{20 + n}")} for n in range(200)])
        whole = api.get("/v1/neighbors?limit=10000")["value"]
        hosts = [r["ipAddress"] for r in whole if r["network"] == "providerNetworks/fabric"]
        expect(len(hosts) >= 200, f"{len(hosts)} neighbours on the fabric")
        paged, after = [], ""
        for _ in range(100):
            answer = api.get(f"/v1/neighbors?limit=7{after}")
            paged += answer["value"]
            if "nextAfter" not in answer:
                break
            after = f"&after={answer['nextAfter']}"
        place = [(r["network"], r["ipAddress"]) for r in whole]
        expect_equal([(r["network"], r["ipAddress"]) for r in paged], place, "the pages, put together")
    with checks.check("a wrong operation among 5,000 is named, and nothing of them happens"):
        good = [{"op": "put", "record": record(n, pa="10.250.0.12")} for n in range(5000)]
        before = api.get(f"{RECORDS}?limit=10000")["value"]
        for wrong, status, target in (
                ({**record(7), "customerAddress": "10.99.0.1"}, 422, "customerAddress"),
                ({**record(7), "providerAddress": "203.0.113.9"}, 422, "providerAddress"),
                ({**record(7), "providerAddress": "fd60::11"}, 422, "providerAddress"),
                ({**record(7), "macAddress": "ff:ff:ff:ff:ff:ff"}, 400, "macAddress")):
            for place in (0, 2500, 5000):
                body = [*good[:place], {"op": "put", "record": wrong}, *good[place:]]
                answer = api.error_of("PATCH", RECORDS, body)
                expect_equal((answer.status, answer.json["error"]["target"]), (status, f"/{place}/record/{target}"),
                             "status and target")
        expect_equal(api.get(f"{RECORDS}?limit=10000")["value"], before, "the records")
    with checks.check("a PATCH with one wrong operation changes nothing"):
        state = api.get("/v1/system")["generation"]
        wrong = [{"op": "delete", "id": record(1)["customerAddress"]}, {"op": "put", "record": record(3, pa="nonsense")}]
        expect_equal(api.error_of("PATCH", RECORDS, wrong).status, 400, "status")
        wrong[1] = {"op": "put", "record": {**record(3), "customerAddress": "10.99.0.1"}}
        expect_equal(api.error_of("PATCH", RECORDS, wrong).status, 422, "status")
        expect_equal(api.get("/v1/system")["generation"], state, "generation")
        expect_equal(api.get(f"{RECORDS}/{record(1)['customerAddress']}")["macAddress"], record(1)["macAddress"], "MAC")
    with checks.check("more than 10,000 operations are refused"):
        answer = api.error_of("PATCH", RECORDS, [{"op": "put", "record": record(n)} for n in range(10001)])
        expect(answer.status in (400, 413), f"status {answer.status}")
    with checks.check("PUT of the collection replaces all of it"):
        api.put(RECORDS, {"value": [record(n, pa="10.250.0.12") for n in range(5, 8)]})
        left = api.get(f"{RECORDS}?limit=10000")["value"]
        expect_equal([r["customerAddress"] for r in left], [record(n)["customerAddress"] for n in range(5, 8)], "records")
        expect_equal({r["providerAddress"] for r in left}, {"10.250.0.12"}, "PAs")


def prove_concurrency(checks, api):
    with checks.check("eight clients at once: every acknowledged change is there") as note:
        faults, times = [], []

        def client(which):
            for n in range(25):
                body = record(1000 * which + n)
                begin = time.monotonic()
                answer = api.request("PUT", f"{RECORDS}/{body['customerAddress']}", body)
                times.append(time.monotonic() - begin)
                if answer.status != 201:
                    faults.append(answer.text)
        threads = [threading.Thread(target=client, args=(w,)) for w in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        expect_equal(faults, [], "refused")
        have = {r["customerAddress"] for r in api.get(f"{RECORDS}?limit=10000")["value"]}
        missing = {record(1000 * w + n)["customerAddress"] for w in range(1, 9) for n in range(25)} - have
        expect_equal(missing, set(), "missing")
        note.text = f"median {statistics.median(times) * 1000:.1f} ms with eight at once"
    with checks.check("one client: how soon a change is durable and live") as note:
        times = []
        for n in range(200):
            body = record(20000 + n % 10, pa=f"10.250.0.{11 + n % 2}")
            begin = time.monotonic()
            api.put(f"{RECORDS}/{body['customerAddress']}", body)
            times.append(time.monotonic() - begin)
        note.text = f"median {statistics.median(times) * 1000:.2f} ms, worst {max(times) * 1000:.1f} ms"


def prove_paths(checks, api):
    with checks.check("unknown paths are 404, unknown methods 405, and both say so as JSON"):
        for method, path, status in (("GET", "/v1/nothing", 404), ("GET", f"{CONTOSO}/virtualSubnets/none", 404),
                                     ("GET", "/v2/system", 404), ("POST", "/v1/system", 405),
                                     ("DELETE", "/v1/drops", 405)):
            answer = api.error_of(method, path)
            expect_equal(answer.status, status, f"{method} {path}")
            expect(answer.code, f"{method} {path}: no error in {answer.text[:200]}")
    with checks.check("state is readable: system, ports, statistics, drops, routes, neighbors"):
        for path in ("system", "ports", "statistics", "drops", "routingDomains/contoso/routes",
                     "routingDomains/contoso/neighbors", "routingDomains/contoso/statistics"):
            api.get(f"/v1/{path}")
        expect_equal({p["name"] for p in api.get("/v1/ports")["value"]}, {"fabric0", "wan0"}, "ports")
    with checks.check("routes tell every candidate and why the best one won"):
        api.put(f"{CONTOSO}/customerRoutes/low", {"destinationPrefix": "172.30.0.0/16", "metric": 5,
                                                  "networkConnection": "datacentre"})
        api.put(f"{CONTOSO}/customerRoutes/high", {"destinationPrefix": "172.30.0.0/16", "metric": 9,
                                                   "nextHop": "10.0.1.11"})
        rows = api.get(f"{CONTOSO}/routes")["value"]
        row = next(r for r in rows if r["destinationPrefix"] == "172.30.0.0/16")
        best = [c for c in row["candidates"] if c["best"]]
        expect_equal([c["metric"] for c in best], [5], "the best one's metric")
        expect_equal(len(row["candidates"]), 2, "candidates")
        expect(all(c["reason"] for c in row["candidates"]), f"a candidate without a reason: {row}")
        api.delete(f"{CONTOSO}/customerRoutes/low")
        api.delete(f"{CONTOSO}/customerRoutes/high")
    with checks.check("/metrics is Prometheus text with bounded labels") as note:
        answer = api.request("GET", "/metrics")
        expect_equal(answer.status, 200, "status")
        expect(answer.headers["Content-Type"].startswith("text/plain"), answer.headers["Content-Type"])
        metrics = Metrics(answer.text)
        for name, labels in metrics.values:
            for label, value in labels:
                expect("10.64." not in value and "00:15:5d" not in value, f"{name} has the label {label}={value}")
        note.text = f"{len(metrics.values)} samples"


def prove_hnvctl(checks, gateway):
    with checks.check("hnvctl: put, get, apply, delete; tables and -o json; status 0 only on success"):
        path = f"{CONTOSO}/customerRoutes/byhand"
        gateway.ctl("put", path, text_input='{"destinationPrefix": "172.31.0.0/16", "networkConnection": "datacentre"}')
        expect_equal(gateway.ctl_json("get", path)["destinationPrefix"], "172.31.0.0/16", "prefix")
        expect("172.31.0.0/16" in gateway.ctl("get", f"{CONTOSO}/customerRoutes").stdout, "the table")
        gateway.ctl("delete", path)
        done = gateway.ctl("get", path, check=False)
        expect(done.returncode != 0 and done.stderr and not done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}")
        for argv in (("get", "/v1/system"), ("get", "/v1/ports"), ("drops",), ("routes", "contoso"),
                     ("lookup", "contoso", "10.0.1.11")):
            expect(gateway.ctl(*argv).stdout.strip(), f"hnvctl {' '.join(argv)} says nothing")
            gateway.ctl_json(*argv)


def tcp(made, headers, method="GET", path="/v1/system", body=None, tls=None):
    """A request over TCP with exactly these headers; the status."""
    connection = http.client.HTTPConnection("localhost", 8080, timeout=10)
    connection.sock = made.gateway.space.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.sock.settimeout(10)
    connection.sock.connect(("127.0.0.1", 8080))
    if tls:
        connection.sock = tls.wrap_socket(connection.sock, server_hostname="localhost")
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def prove_tcp(checks, made):
    good = {"Host": "localhost:8080", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = b'{"destinationPrefix": "172.28.0.0/16", "networkConnection": "datacentre"}'
    path = f"{CONTOSO}/customerRoutes/tcp"

    def without(*names, **change):
        return {k: v for k, v in good.items() if k not in names} | change
    rows = [
        ("with token, host and type: taken", good, "PUT", 201),
        ("without a token", without("Authorization"), "PUT", 401),
        ("with a wrong token", without(Authorization="Bearer wrong horse battery staple"), "PUT", 401),
        ("with a shorter token", without(Authorization=f"Bearer {TOKEN[:-1]}"), "PUT", 401),
        ("with another scheme", without(Authorization=f"Basic {TOKEN}"), "PUT", 401),
        ("for a host that is not allowed", without(Host="attacker.example"), "PUT", 403),
        ("with a form's type", without(**{"Content-Type": "application/x-www-form-urlencoded"}), "PUT", 415),
        ("a GET without a token", without("Authorization"), "GET", 401),
        ("a GET with it", good, "GET", 200),
    ]
    for what, headers, method, status in rows:
        with checks.check(f"TCP {what}: {status}"):
            made.gateway.api.delete(path)
            if method == "GET":
                made.gateway.api.put(path, {"destinationPrefix": "172.28.0.0/16", "networkConnection": "datacentre"})
            expect_equal(tcp(made, headers, method, path, body if method == "PUT" else None), status, "status")
            there = made.gateway.api.request("GET", path).status == 200
            expect_equal(there, method == "GET" or status < 300, "whether the route is there")
    made.gateway.api.delete(path)
    with checks.check("beyond loopback TCP without TLS is refused at start"):
        config = copy.deepcopy(made.gateway.config)
        config["api"]["tcp"]["address"] = "0.0.0.0"
        wrong = made.gateway.write_config(config, made.run.path("beyond-loopback.json"))
        done = made.gateway.space(made.gateway.binary, "--check", wrong, check=False)
        expect(done.returncode != 0 and "tls" in (done.stdout + done.stderr).lower(),
               f"{done.returncode}: {done.stdout} {done.stderr}")


def prove_tls(checks, made):
    """Restarts the gateway with a certificate and a listener beyond loopback."""
    certificate, key = made.run.path("certificate.pem"), made.run.path("key.pem")
    call("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
    with checks.check("beyond loopback with TLS: starts, speaks TLS with its certificate, and nothing else"):
        made.gateway.stop()
        made.gateway.config["api"]["tcp"] |= {"address": "0.0.0.0", "tlsCertificateFile": certificate,
                                              "tlsKeyFile": key}
        made.gateway.start()
        headers = {"Host": "localhost:8080", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        trust = ssl.create_default_context(cafile=certificate)
        expect_equal(tcp(made, headers, tls=trust), 200, "status with the token")
        headers["Authorization"] = "Bearer wrong"
        expect_equal(tcp(made, headers, tls=trust), 401, "status with a wrong token")
        try:
            status = tcp(made, headers)
        except (OSError, http.client.HTTPException):
            status = None
        expect(status is None or status >= 400, f"plain HTTP was answered with {status}")


def prove_files(checks, made):
    with checks.check("the socket is 0660, the store 0600"):
        config = made.gateway.config
        modes = {name: oct(os.stat(path).st_mode & 0o777)
                 for name, path in (("socket", config["api"]["socket"]), ("store", config["store"]))}
        expect_equal(modes, {"socket": "0o660", "store": "0o600"}, "modes")


def prove(checks, made):
    api = made.gateway.api
    prove_tags(checks, api)
    prove_repeats(checks, api)
    prove_batches(checks, api)
    prove_bulk(checks, api)
    prove_concurrency(checks, api)
    prove_paths(checks, api)
    prove_hnvctl(checks, made.gateway)
    prove_tcp(checks, made)
    prove_files(checks, made)
    with checks.check("all of it survives a restart"):
        before = api.everything()
        expect_equal(made.gateway.stop(), 0, "exit status")
        made.gateway.start()
        expect_equal(api.everything(), before, "the desired state")
    prove_tls(checks, made)


if __name__ == "__main__":
    sys.exit(topology(__doc__, build, prove))
