# SPDX-License-Identifier: Apache-2.0
"""Frames made by hand, for what no well-behaved peer would send."""

import socket
import struct


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, payload, kind=0x0800, vlan=None):
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    return mac(destination) + mac(source) + tag + struct.pack("!H", kind) + payload


def ipv4(source, destination, protocol, payload, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, destination, next_header, payload, hop_limit=64):
    return (struct.pack("!IHBB", 6 << 28, len(payload), next_header, hop_limit)
            + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + payload)


def icmpv6(source, destination, message, hop_limit=64):
    """An IPv6 packet with this ICMPv6 message, whose checksum is filled in."""
    pseudo = (socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
              + struct.pack("!II", len(message), 58))
    whole = message[:2] + struct.pack("!H", checksum(pseudo + message[:2] + b"\0\0" + message[4:])) + message[4:]
    return ipv6(source, destination, 58, whole, hop_limit)


def udp(source_port, destination_port, payload):
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def nvgre(vsid, inner, flow_id=0, flags=0x2000, protocol=0x6558):
    return struct.pack("!HHI", flags, protocol, vsid << 8 | flow_id) + inner


def raw_socket(space, interface):
    """Sends frames as they are out of an interface."""
    sock = space.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((interface, 0))
    return sock


def arp(operation, sender_mac, sender_ip, target_mac, target_ip):
    return (struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac(sender_mac) + socket.inet_aton(sender_ip)
            + mac(target_mac) + socket.inet_aton(target_ip))
