# SPDX-License-Identifier: Apache-2.0
"""Captures: tcpdump in a namespace, known to listen before traffic starts, read by tshark after."""

import os
import signal

from .run import call
from .wait import wait_for

# Wrong checksums are faults here: every sender of the topologies computes them.
_CHECKSUMS = [x for p in ("ip", "tcp", "udp") for x in ("-o", f"{p}.check_checksum:TRUE")]


class Capture:
    def __init__(self, space, interface, name=None, expression=""):
        self.name = name or f"{space.name}-{interface}"
        self.pcap = os.path.join(space.run.folder, f"{self.name}.pcap")
        self._process = space.spawn(
            f"{self.name}-tcpdump", "tcpdump", "-U", "-n", "-i", interface, "-w", self.pcap, "-s", "0",
            "-B", "32768", "--immediate-mode", "-Z", "root", *expression.split())
        wait_for(lambda: "listening on" in self._process.output(), 10, f"tcpdump on {self.name}", 0.01)

    def stop(self):
        """Ends the capture; tcpdump writes what it still holds."""
        self._process.stop(signal.SIGINT)
        return self

    def dropped_by_kernel(self):
        words = self._process.output().split()
        return int(words[words.index("dropped") - 2]) if "dropped" in words else 0

    def raw(self):
        with open(self.pcap, "rb") as file:
            return file.read()

    def size(self):
        return os.path.getsize(self.pcap) if os.path.exists(self.pcap) else 0

    def matching(self, expression):
        """How many frames match a tcpdump expression; quicker than tshark on long captures."""
        return len(call("tcpdump", "-n", "-t", "-r", self.pcap, *expression.split(), timeout=120).stdout.splitlines())

    def frames(self, display_filter="", *fields):
        """The frames that match, each a list of the fields asked for (repeated fields joined by ',')."""
        asked = [x for f in (fields or ("frame.number",)) for x in ("-e", f)]
        answer = call("tshark", "-n", *_CHECKSUMS, "-r", self.pcap,
                      *(["-Y", display_filter] if display_filter else []),
                      "-T", "fields", "-E", "occurrence=a", *asked, timeout=120)
        return [line.split("\t") for line in answer.stdout.splitlines()]

    def count(self, display_filter=""):
        return len(self.frames(display_filter))

    def faults(self):
        """NVGRE frames that tshark finds malformed or has an expert error about.

        Only what dissection itself finds counts: TCP's retransmissions and the like are notes and
        warnings about traffic, not about the encapsulation. A TCP segment that an ICMP error quotes
        is cut short, and tshark takes its checksum for a wrong one.
        """
        return self.frames("gre && (_ws.malformed || _ws.expert.severity >= 0x00800000) && "
                           "!((icmp.type == 3 || icmpv6.type == 2) && tcp)",
                           "frame.number", "_ws.expert.message")

    def nvgre(self, display_filter=""):
        """NVGRE frames as (outer source, outer destination, VSID)."""
        wanted = "gre.key" + (f" && ({display_filter})" if display_filter else "")
        rows = []
        for sources, destinations, protocols, key in self.frames(wanted, "ip.src", "ip.dst", "ip.proto", "gre.key"):
            if protocols.split(",")[0] == "47":  # not an ICMP error that quotes one
                rows.append((sources.split(",")[0], destinations.split(",")[0], int(key, 16) >> 8))
        return rows
