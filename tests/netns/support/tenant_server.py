#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tenant's server: a web page on port 80 and a UDP echo on port 7, both naming the tenant, over
IPv4 and IPv6.

Usage: tenant_server.py TENANT
"""

import http.server
import socket
import sys
import threading


def page(tenant):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the base class's name
            peer = self.client_address[0].removeprefix("::ffff:")
            body = f"This is the server of {tenant}, and you are {peer}.\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    return Page


class BothFamilies(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def echo(tenant):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 7))
    while True:
        payload, peer = sock.recvfrom(65535)
        try:
            sock.sendto(tenant.encode() + b":" + payload, peer)
        except OSError as error:  # a route that is gone for a moment must not end the server
            print(error, flush=True)


def main():
    tenant = sys.argv[1]
    threading.Thread(target=echo, args=(tenant,), daemon=True).start()
    BothFamilies(("::", 80), page(tenant)).serve_forever()


if __name__ == "__main__":
    main()
