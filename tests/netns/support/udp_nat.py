# SPDX-License-Identifier: Apache-2.0
"""What a NAT does with UDP, in user space: hosts behind it reach one far address, which sees them all at one address
of the NAT's, each of their flows at a port of its own."""

import select
import socket
import threading

PORTS = (500, 4500)


class UdpNat:
    """`inside` has the far address for itself, so that what is sent there ends here."""

    def __init__(self, inside, outside, far, address):
        self._outside, self._far, self._address = outside, far, address
        self._lock = threading.Lock()
        self._listening, self._ways, self._clients = {}, {}, {}
        for port in PORTS:
            sock = inside.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((far, port))
            self._listening[sock] = port
        self._wake, self._woken = socket.socketpair()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _way(self, client, port):
        if (client, port) not in self._ways:
            sock = self._outside.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((self._address, 0))
            sock.connect((self._far, port))
            self._ways[client, port] = sock
            self._clients[sock] = (client, port)
        return self._ways[client, port]

    def _run(self):
        while not self._ended:
            with self._lock:
                watched = [*self._listening, *self._clients, self._woken]
            for sock in select.select(watched, [], [])[0]:
                with self._lock:
                    self._pass(sock)

    def _pass(self, sock):
        try:
            if sock is self._woken:
                sock.recv(1)
            elif sock in self._listening:
                packet, client = sock.recvfrom(65536)
                self._way(client, self._listening[sock]).send(packet)
            elif sock in self._clients:
                client, port = self._clients[sock]
                packet = sock.recv(65536)
                next(s for s, p in self._listening.items() if p == port).sendto(packet, client)
        except OSError:
            pass  # nobody listens there now: a NAT does not mind

    def rebind(self):
        """Forgets what it knew: every flow gets another port."""
        with self._lock:
            for sock in self._clients:
                sock.close()
            self._ways, self._clients = {}, {}
        self._wake.send(b"x")

    def ports(self):
        with self._lock:
            return {sock.getsockname()[1] for sock in self._clients}

    def close(self):
        self._ended = True
        self._wake.send(b"x")
        self._thread.join(5)
