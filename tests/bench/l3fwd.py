# SPDX-License-Identifier: Apache-2.0
"""DPDK's own example of a router, l3fwd with its longest-prefix match: what forwarding costs without
tenants, tunnels, checks and counters. Built from Debian's dpdk-doc into the build tree."""

import json
import os
import shutil
import signal
import socket
import subprocess

from support.run import call, start_time
from support.wait import wait_for
from thread_time import ThreadTime

EXAMPLES = "/usr/share/dpdk/examples"
FLOWS = 4096  # it has 8,192 buffers, and net_pcap keeps the capture in buffers


def build(tree):
    """The program. It insists on checksums by the port, which no port without hardware has."""
    folder = os.path.join(tree, "l3fwd")
    program = os.path.join(folder, "l3fwd")
    if not os.path.exists(program):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(os.path.join(EXAMPLES, "l3fwd"), folder)
        main = os.path.join(folder, "main.c")
        with open(main, encoding="utf-8") as file:
            text = file.read()
        with open(main, "w", encoding="utf-8") as file:
            file.write(text.replace("RTE_ETH_RX_OFFLOAD_CHECKSUM", "0"))
        # The parsers of routes are included by others.
        sources = [name for name in os.listdir(folder)
                   if name.endswith(".c") and not name.endswith("_route_parse.c")]
        call("cc", "-w", "-O3", *call("pkg-config", "--cflags", "libdpdk").stdout.split(), "-march=x86-64-v3",
             "-DALLOW_EXPERIMENTAL_API", f"-I{EXAMPLES}/common", *sources, "-o", "l3fwd.new",
             *call("pkg-config", "--libs", "libdpdk").stdout.split(), cwd=folder, timeout=300)
        os.rename(os.path.join(folder, "l3fwd.new"), program)
    return program


class L3fwd:
    def __init__(self, run, tree, capture):
        prefix = f"hnv-{run.id}-l3fwd"
        program = build(tree)
        folder = os.path.dirname(program)
        self._telemetry = f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2"
        with open(run.path("l3fwd.log"), "wb") as log:
            self.popen = subprocess.Popen(
                [program, "--no-pci", "--in-memory", f"--file-prefix={prefix}", "-l", "1", "-m", "16",
                 f"--vdev=net_pcap0,rx_pcap={capture},infinite_rx=1", "--vdev=net_null1,no-rx=1", "--", "-p", "0x3",
                 "-P", "--config=(0,0,1),(1,0,1)", "--lookup=lpm", "--parse-ptype",
                 f"--rule_ipv4={folder}/lpm_default_v4.cfg", f"--rule_ipv6={folder}/lpm_default_v6.cfg"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        run.record("process", pid=self.popen.pid, started=start_time(self.popen.pid), name="l3fwd")
        wait_for(lambda: self._sent() > 0, 30, "l3fwd forwards")
        self._time = ThreadTime(self.popen.pid, "l3fwd")  # lcore 1 is its main thread

    def _sent(self):
        """Packets out of both ports: one of the two would be enough for a router that loses half."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
            asked.settimeout(5)
            asked.connect(self._telemetry)
            asked.recv(1024)
            total = 0
            for port in (0, 1):
                asked.send(f"/ethdev/stats,{port}".encode())
                total += json.loads(asked.recv(16384))["/ethdev/stats"]["opackets"]
            return total

    def picture(self):
        """Its thread's ticks and its packets so far."""
        return self._time.ticks(), self._sent()

    def stop(self):
        os.kill(self.popen.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.popen.pid, signal.SIGCONT)
