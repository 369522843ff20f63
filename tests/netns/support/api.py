# SPDX-License-Identifier: Apache-2.0
"""The REST API as a client sees it, over the Unix socket or TCP.

Every answer is checked against api/openapi.yaml where that describes it: a route, a status or a
property that the description does not know is a failure of whatever test asked.
"""

import http.client
import json
import os
import re
import socket

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


class Refused(AssertionError):
    """The API answered with an error."""

    def __init__(self, method, path, answer):
        super().__init__(f"{method} {path}: {answer.status} {answer.text[:1000]}")
        self.answer = answer


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode(errors="replace")
        self.json = None
        if "json" in (headers.get("Content-Type") or "") and body:
            self.json = json.loads(body)

    @property
    def etag(self):
        return self.headers.get("ETag")

    @property
    def code(self):
        """The error's code, or None."""
        return (self.json or {}).get("error", {}).get("code")

    def targets(self):
        """Every place that the error names."""
        error = (self.json or {}).get("error", {})
        return [t for t in [error.get("target"), *(d.get("target") for d in error.get("details", []))] if t]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Description:
    """api/openapi.yaml, asked whether an answer is one that it describes."""

    _one = None

    def __init__(self, path):
        import jsonschema  # Debian's python3-jsonschema and python3-yaml
        import yaml
        with open(path, encoding="utf-8") as file:
            self.document = self._as_json_schema(yaml.safe_load(file))
        self._resolver = jsonschema.RefResolver("", self.document)
        self._validator = jsonschema.Draft4Validator
        self.routes = [(re.compile("^" + re.sub(r"\\?\{[^}]*\}", "[^/]+", template) + "$"), template)
                       for template in sorted(self.document["paths"], key=lambda t: t.count("{"))]

    @classmethod
    def load(cls):
        path = f"{TOP}/api/openapi.yaml"
        if cls._one is None and os.path.exists(path):
            cls._one = cls(path)
        return cls._one

    @classmethod
    def _as_json_schema(cls, node):
        """OpenAPI 3.0 says nullable where JSON Schema says type null."""
        if isinstance(node, list):
            return [cls._as_json_schema(n) for n in node]
        if not isinstance(node, dict):
            return node
        out = {k: cls._as_json_schema(v) for k, v in node.items()}
        if out.get("nullable") is True:
            out.pop("nullable")
            return {"anyOf": [out, {"type": "null"}]}
        return out

    def _resolve(self, node):
        while "$ref" in node:
            node = self._resolver.resolve(node["$ref"])[1]
        return node

    def check(self, method, path, answer):
        bare = path.split("?")[0]
        template = next((t for pattern, t in self.routes if pattern.match(bare)), None)
        if template is None:
            if answer.status == 404:
                return
            raise AssertionError(f"openapi.yaml has no path for {bare}")
        operation = self.document["paths"][template].get(method.lower())
        if operation is None:
            if answer.status == 405:
                return
            raise AssertionError(f"openapi.yaml has no {method} of {template}")
        responses = operation["responses"]
        found = responses.get(str(answer.status), responses.get(f"{answer.status // 100}XX", responses.get("default")))
        if found is None:
            raise AssertionError(f"openapi.yaml: {method} {template} does not answer {answer.status}")
        schema = self._resolve(found).get("content", {}).get("application/json", {}).get("schema")
        if schema is None or answer.json is None:
            return
        validator = self._validator(schema, resolver=self._resolver)
        faults = [f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}"
                  for e in validator.iter_errors(answer.json)]
        if faults:
            raise AssertionError(f"{method} {path} answered {answer.status} not as openapi.yaml says: "
                                 + "; ".join(faults[:5]))


class Api:
    def __init__(self, socket_path, timeout=20):
        self.socket_path, self.timeout = socket_path, timeout
        self.answers = 0

    def request(self, method, path, body=None, headers=None, raw=None, connection=None):
        """One request; the answer whatever its status."""
        connection = connection or _UnixConnection(self.socket_path, self.timeout)
        headers = dict(headers or {})
        payload = raw
        if body is not None:
            payload = json.dumps(body).encode()
        if payload is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, payload, headers)
            reply = connection.getresponse()
            answer = Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()
        self.answers += 1
        description = Description.load()
        if description and path.startswith("/v1"):
            description.check(method, path, answer)
        return answer

    def _must(self, method, path, body=None, headers=None):
        answer = self.request(method, path, body, headers)
        if not 200 <= answer.status < 300:
            raise Refused(method, path, answer)
        return answer.json

    def get(self, path):
        return self._must("GET", path)

    def put(self, path, body, headers=None):
        return self._must("PUT", path, body, headers)

    def patch(self, path, body, headers=None):
        return self._must("PATCH", path, body, headers)

    def delete(self, path, headers=None):
        return self._must("DELETE", path, headers=headers)

    def batch(self, requests):
        return self._must("POST", "/v1/batch", requests)

    def apply(self, resources):
        """What `hnvctl apply` sends: every resource as a PUT, one transaction."""
        return self.batch([{"method": "PUT", "path": r["path"], "body": r["body"]} for r in resources])

    def error_of(self, method, path, body=None, **options):
        """The answer to a request that has to be refused."""
        answer = self.request(method, path, body, **options)
        if answer.status < 400:
            raise AssertionError(f"{method} {path} was accepted with {answer.status}: {answer.text[:300]}")
        return answer

    def all_of(self, collection):
        """Every resource of a collection, as desired state: without what only tells how it fares."""
        return [{k: v for k, v in resource.items() if k not in ("status", "configurationState")}
                for resource in self.get(f"/v1/{collection}?limit=10000")["value"]]

    def everything(self):
        """The whole desired state and its generation; two of these differ when anything changed."""
        state = {"generation": self.get("/v1/system")["generation"]}
        for collection in ("providerNetworks", "externalNetworks", "routingDomains"):
            state[collection] = self.all_of(collection)
        for domain in (d["resourceId"] for d in state["routingDomains"]):
            for collection in ("virtualSubnets", "customerRoutes", "networkConnections"):
                path = f"routingDomains/{domain}/{collection}"
                state[path] = self.all_of(path)
            for subnet in (s["resourceId"] for s in state[f"routingDomains/{domain}/virtualSubnets"]):
                path = f"routingDomains/{domain}/virtualSubnets/{subnet}/lookupRecords"
                state[path] = self.all_of(path)
        return state
