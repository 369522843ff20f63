# SPDX-License-Identifier: Apache-2.0
"""charon's control protocol, for the sites: one connection, one command after the other."""

import socket
import struct


def _name(text):
    raw = text.encode()
    return bytes([len(raw)]) + raw


def _value(value):
    raw = value if isinstance(value, bytes) else str(value).encode()
    return struct.pack("!H", len(raw)) + raw


def encode(section):
    out = b""
    for key, value in section.items():
        if isinstance(value, dict):
            out += b"\1" + _name(key) + encode(value) + b"\2"
        elif isinstance(value, (list, tuple)):
            out += b"\4" + _name(key) + b"".join(b"\5" + _value(one) for one in value) + b"\6"
        else:
            out += b"\3" + _name(key) + _value(value)
    return out


class _Reader:
    def __init__(self, raw):
        self._raw, self._at = raw, 0

    def take(self, size):
        self._at += size
        return self._raw[self._at - size:self._at]

    def name(self):
        return self.take(self.take(1)[0]).decode()

    def value(self):
        return self.take(struct.unpack("!H", self.take(2))[0]).decode(errors="replace")

    def section(self):
        out = {}
        while self._at < len(self._raw):
            element = self.take(1)[0]
            if element == 2:
                break
            key = self.name()
            if element == 1:
                out[key] = self.section()
            elif element == 3:
                out[key] = self.value()
            else:
                out[key] = []
                while self.take(1)[0] == 5:
                    out[key].append(self.value())
        return out


class Vici:
    def __init__(self, path, timeout=20):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(path)

    def close(self):
        self._socket.close()

    def _send(self, kind, name, message=b""):
        packet = bytes([kind]) + _name(name) + message
        self._socket.sendall(struct.pack("!I", len(packet)) + packet)

    def _exactly(self, size):
        out = b""
        while len(out) < size:
            piece = self._socket.recv(size - len(out))
            if not piece:
                raise ConnectionError("charon ended the connection")
            out += piece
        return out

    def _receive(self):
        packet = self._exactly(struct.unpack("!I", self._exactly(4))[0])
        reader = _Reader(packet[1:])
        return packet[0], reader.name() if packet[0] == 7 else "", reader

    def ask(self, command, message=None, stream=None):
        """The answer; with `stream`, the list of what that event brought."""
        seen = []
        if stream:
            self._send(3, stream)
            self._receive()
        self._send(0, command, encode(message or {}))
        while True:
            kind, _, reader = self._receive()
            if kind == 7:
                seen.append(reader.section())
                continue
            if kind == 2:
                raise ValueError(f"charon does not know {command}")
            answer = reader.section()
            break
        if not stream:
            return answer
        self._send(4, stream)
        self._receive()
        return seen

    def must(self, command, message=None):
        answer = self.ask(command, message)
        if answer.get("success") != "yes":
            raise AssertionError(f"{command}: {answer.get('errmsg', answer)}")
        return answer
