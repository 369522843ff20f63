# SPDX-License-Identifier: Apache-2.0
"""Traffic from inside namespaces: ping, numbered UDP in one direction, UDP that asks for an echo.

Payloads carry a marker (the tenant's name), so that tenants with the same addresses and MACs can
be told apart wherever a packet is seen.
"""

import random
import socket
import struct
import threading
import time

from .wait import wait_for

SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it, nor for those of linux/in.h
_RECVERR, _MTU_DISCOVER, _NEVER_FRAGMENT = (11, 25), (10, 23), 2  # IPv4's, IPv6's


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ping(space, address, count=3, wait=4.0, interval=0.02, size=None, marker=None, source=None):
    """Pings and returns how many answers came; `size` bytes of data that must not be fragmented.

    Not ping(8): once it has an answer it gives the last ones two round trips and no more, which on a
    busy machine is not enough.
    """
    six = family_of(address) == socket.AF_INET6
    ask, answer = (128, 129) if six else (8, 0)
    data = ((marker or "ping").encode() * 4096)[:56 if size is None else size]
    ident = random.getrandbits(16)
    waiting, refused, sent = set(), 0, 0
    with space.socket(family_of(address), socket.SOCK_RAW,
                      socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP) as sock:
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        sock.setsockopt(level, _RECVERR[six], 1)
        if source:
            sock.bind((source, 0))
        if size is not None:
            sock.setsockopt(level, _MTU_DISCOVER[six], _NEVER_FRAGMENT)
        begin = time.monotonic()
        while True:
            now = time.monotonic()
            try:
                if sent < count and now >= begin + sent * interval:
                    waiting.add(sent)
                    sent += 1
                    sock.connect((address, 0))
                    sock.send(_echo(ask, ident, sent - 1, data, six))
                if sent == count and (len(waiting) <= refused or now > begin + (count - 1) * interval + wait):
                    return sent - len(waiting)
                sock.settimeout(max(0.001, begin + sent * interval - now) if sent < count else 0.02)
                packet = sock.recv(65536)
                message = packet if six else packet[(packet[0] & 15) * 4:]
                if message[:1] == bytes([answer]) and message[4:6] == struct.pack("!H", ident) and message[8:] == data:
                    waiting.discard(struct.unpack("!H", message[6:8])[0])
            except TimeoutError:
                continue
            except OSError:  # an ICMP error of one of them, or the kernel has no way
                refused += 1


def _echo(kind, ident, number, data, six):
    message = struct.pack("!BBHHH", kind, 0, 0, ident, number) + data
    return message if six else message[:2] + struct.pack("!H", _checksum(message)) + message[4:]


def _checksum(data):
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def wait_for_ping(space, address, timeout=10):
    wait_for(lambda: ping(space, address, count=1, wait=0.5) == 1, timeout, f"{space.name}: ping {address}")


class Receiver:
    """Counts numbered datagrams: which numbers came, when each came first, and how often."""

    def __init__(self, space, port, marker, address=""):
        self._sock = space.socket(family_of(address), socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._sock.bind((address, port))
        self._sock.settimeout(0.2)
        self.marker = marker.encode()
        self.first = {}     # number -> when it came first
        self.repeated = 0
        self.foreign = []   # payloads that do not carry our marker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        while not self._stop.is_set():
            try:
                payload = self._sock.recv(2048)
            except TimeoutError:
                continue
            now = time.monotonic()
            if payload[8:8 + len(self.marker)] != self.marker:
                self.foreign.append(payload[:64])
                continue
            number = struct.unpack("!Q", payload[:8])[0]
            if number in self.first:
                self.repeated += 1
            else:
                self.first[number] = now

    def has(self, numbers):
        return all(n in self.first for n in numbers)

    def wait_all(self, numbers, timeout=3):
        """Waits until all these numbers came; answers those that did not."""
        try:
            wait_for(lambda: self.has(numbers), timeout, "datagrams")
        except AssertionError:
            pass
        return [n for n in numbers if n not in self.first]

    def close(self):
        self._stop.set()
        self._thread.join()
        self._sock.close()


def datagram(number, marker, size=100):
    return struct.pack("!Q", number) + (marker.encode() * (size // len(marker) + 1))[:size]


class Sender:
    """Numbered datagrams at a steady rate until stopped; remembers when each was handed over."""

    def __init__(self, space, address, port, marker, rate=500, source=None, size=100):
        self._sock = space.socket(family_of(address), socket.SOCK_DGRAM)
        if source:
            self._sock.bind((source, 0))
        self._to = (address, port)
        self.marker, self.rate, self.size = marker, rate, size
        self.sent = {}  # number -> when
        self.refused = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _loop(self):
        begin, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, begin + number / self.rate - time.monotonic())):
            self.send(number)
            number += 1

    def send(self, number):
        self.sent[number] = time.monotonic()
        try:
            self._sock.sendto(datagram(number, self.marker, self.size), self._to)
        except OSError:  # an ICMP error of before comes back here
            self.refused += 1

    def burst(self, count):
        """count datagrams at the rate, without the thread; answers their numbers.

        Never all at once: a host's sockets hold about 200 packets.
        """
        begin = time.monotonic()
        for number in range(count):
            self._stop.wait(max(0.0, begin + number / self.rate - time.monotonic()))
            self.send(number)
        return list(range(count))

    def stop(self):
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        return self.sent

    def after(self, moment):
        return [n for n, when in list(self.sent.items()) if when > moment]


def ask(space, address, text, port=7, timeout=2, source_port=0):
    """What the UDP echo at address says to text, or None."""
    with space.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.bind(("", source_port))
        sock.sendto(text.encode(), (address, port))
        try:
            return sock.recv(2048).decode(errors="replace")
        except (TimeoutError, OSError):
            return None


def one_way(sender_space, receiver_space, address, port, marker, count=50):
    """count datagrams in one direction only; the numbers that did not arrive."""
    receiver = Receiver(receiver_space, port, marker, address)
    try:
        sender = Sender(sender_space, address, port, marker)
        return receiver.wait_all(sender.burst(count))
    finally:
        receiver.close()
