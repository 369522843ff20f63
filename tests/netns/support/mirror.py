#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Says by which address and port it was asked, in the manner of STUN (RFC 5780): over UDP on ports 3478
and 3479 of two addresses. The question says who is to answer:

    same      whoever was asked
    port      the other port of the same address
    address   the same port of the other address

Usage: mirror.py ADDRESS OTHER_ADDRESS
"""

import selectors
import socket
import sys

PORTS = (3478, 3479)


def main():
    addresses = sys.argv[1:3]
    sockets = {}
    selector = selectors.DefaultSelector()
    for address in addresses:
        for port in PORTS:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, port))
            sockets[address, port] = sock
            selector.register(sock, selectors.EVENT_READ, (address, port))
    while True:
        for key, _ in selector.select():
            address, port = key.data
            question, peer = key.fileobj.recvfrom(2048)
            if question == b"port":
                port = PORTS[1 - PORTS.index(port)]
            elif question == b"address":
                address = addresses[1 - addresses.index(address)]
            try:
                sockets[address, port].sendto(f"{peer[0]}:{peer[1]}".encode(), peer)
            except OSError as error:
                print(error, flush=True)


if __name__ == "__main__":
    main()
