# SPDX-License-Identifier: Apache-2.0
"""A fake gateway (tests/api/fake_gateway.cc) for one test run, and HTTP over its Unix socket."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class Served:
    """`tcp` are the further arguments of fake_gateway: a token file, a certificate and its key."""

    def __init__(self, binary, tcp=()):
        self.folder = tempfile.mkdtemp(prefix="hnv-api-")
        self.socket = os.path.join(self.folder, "api.sock")
        self._argv = [binary, "serve", self.socket, *tcp]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = next((line for line in self.process.stdout if line.startswith("ready ")), None)
        assert ready, "did not start"
        self.port = int(ready.split()[1])

    def call(self, method, path, body=None, headers=None):
        """(status, headers, JSON or text or None)"""
        connection = UnixConnection(self.socket)
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        connection.request(method, path, body=text, headers=headers or {})
        response = connection.getresponse()
        content = response.read().decode()
        if content and response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        connection.close()
        return response.status, response.headers, content or None

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder)
