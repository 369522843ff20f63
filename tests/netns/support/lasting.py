# SPDX-License-Identifier: Apache-2.0
"""What goes on while a way breaks and another one takes over: a TCP connection, and datagrams that tell the gap."""

import socket
import threading
import time

from .checks import expect
from .traffic import Receiver, Sender
from .wait import wait_for


class Flow:
    """One TCP connection to an address of the server's, which sends back what comes: numbered lines."""

    def __init__(self, client, server, address):
        listener = server.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 7000))
        listener.listen(1)
        self._client = client.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._client.settimeout(10)
        self._client.connect((address, 7000))
        self._server, _ = listener.accept()
        listener.close()
        self.sent = self.back = 0
        self.error, self._stop = None, threading.Event()
        for run in (self._send, self._receive, self._echo):
            threading.Thread(target=run, daemon=True).start()

    def _guarded(self, what):
        try:
            what()
        except OSError as error:
            if not self._stop.is_set():
                self.error = error

    def _send(self):
        def run():
            while not self._stop.wait(0.02):
                self._client.sendall(b"%07d\n" % self.sent)
                self.sent += 1
        self._guarded(run)

    def _echo(self):
        def run():
            while piece := self._server.recv(4096):
                self._server.sendall(piece)
        self._guarded(run)

    def _receive(self):
        def run():
            self._client.settimeout(None)
            seen = b""
            while piece := self._client.recv(4096):
                seen += piece
                while len(seen) >= 8:
                    if int(seen[:7]) != self.back:
                        raise OSError(f"line {seen[:7]} for {self.back}")
                    self.back, seen = self.back + 1, seen[8:]
        self._guarded(run)

    def alive(self):
        """It goes on: what is sent from now on comes back."""
        mark = self.sent + 5
        wait_for(lambda: self.back >= mark or self.error, 40, "the TCP flow to go on", tell=lambda: (self.sent, self.back))
        expect(self.error is None, f"the TCP flow ended: {self.error}")

    def stop(self):
        self._stop.set()
        self._client.close()
        self._server.close()


class Loss:
    """Numbered datagrams while something breaks: how long nothing came, and what was lost."""

    def __init__(self, sender, receiver, address, marker, rate=100):
        self._stopped = False
        self.receiver = Receiver(receiver, 7100, marker, address)
        self.sender = Sender(sender, address, 7100, marker, rate).start()
        try:
            wait_for(lambda: len(self.receiver.first) > 20, 10, "datagrams")
        except AssertionError:
            self.stop()
            raise

    def wait_gap_over(self, since, timeout):
        """Until what was sent after `since` arrives."""
        wait_for(lambda: any(at > since + 0.3 for at in list(self.receiver.first.values())), timeout, "datagrams to arrive again")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self._stopped:
            self.stop()

    def stop(self):
        """(the longest time without packets, datagrams lost, datagrams sent)."""
        self._stopped = True
        self.sender.stop()
        missing = len(self.receiver.wait_all(list(self.sender.sent), 2))
        times = sorted(self.receiver.first.values())
        self.receiver.close()
        gap = max((b - a for a, b in zip(times, times[1:])), default=0)
        return gap, missing, len(self.sender.sent)


def told(loss):
    """What Loss.stop() answered, in words."""
    gap, missing, sent = loss
    return f"{gap:.2f} s without packets, {missing} of {sent} datagrams lost"
