#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a NAT does with UDP, in user space: hosts behind it reach one far address, which sees them all at one address
of the NAT's, each of their flows at a port of its own. SIGHUP makes it forget its flows.

Usage: udp_nat.py OUTSIDE FAR ADDRESS; in the namespace inside, which has FAR for itself, so that what is sent there
ends here. OUTSIDE is the namespace that has ADDRESS.
"""

import ctypes
import os
import selectors
import signal
import socket
import sys

PORTS = (500, 4500)
_CLONE_NEWNET = 0x40000000


class UdpNat:
    """The process, as a topology has it."""

    def __init__(self, inside, outside, far, address):
        self.process = inside.spawn(f"udp-nat-{far}", "/usr/bin/python3", os.path.abspath(__file__), outside.id, far, address)

    def rebind(self):
        """It forgets what it knew: every flow gets another port."""
        self.process.send(signal.SIGHUP)


class _Flows:
    def __init__(self, outside, far, address):
        self._far, self._address = far, address
        self._selector = selectors.DefaultSelector()
        self._inside = {}
        for port in PORTS:
            self._inside[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._inside[port].bind((far, port))
            self._selector.register(self._inside[port], selectors.EVENT_READ, (None, port))
        with open(f"/run/netns/{outside}", "rb") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {outside}")
        self._outside = {}

    def run(self):
        waking, woken = socket.socketpair()
        waking.setblocking(False)
        self._selector.register(woken, selectors.EVENT_READ, (None, None))
        signal.signal(signal.SIGHUP, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno())
        while True:
            for key, _ in self._selector.select():
                client, port = key.data
                if port is None:
                    key.fileobj.recv(64)
                    self._forget()
                    break  # what select said is of flows that are gone
                self._pass(key.fileobj, client, port)

    def _pass(self, sock, client, port):
        try:
            if client is None:
                packet, client = sock.recvfrom(65536)
                self._way(client, port).send(packet)
            else:
                self._inside[port].sendto(sock.recv(65536), client)
        except OSError as error:
            print(error, flush=True)  # nobody listens there now: a NAT does not mind

    def _way(self, client, port):
        if (client, port) not in self._outside:
            sock = self._outside[client, port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((self._address, 0))
            sock.connect((self._far, port))
            self._selector.register(sock, selectors.EVENT_READ, (client, port))
        return self._outside[client, port]

    def _forget(self):
        for sock in self._outside.values():
            self._selector.unregister(sock)
            sock.close()
        self._outside.clear()


if __name__ == "__main__":
    _Flows(*sys.argv[1:4]).run()
