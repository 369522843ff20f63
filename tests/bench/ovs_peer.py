# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch with DPDK, forwarding the frames of a case of bench_path as the gateway does.

    net_pcap (the capture, endless) ── br-phy ── gre0 ── br-int: by VSID and inner destination
    net_null  <──────────────────────── br-phy ── gre0 <──┘ TTL - 1, MACs, VSID and host of the record

It runs in a namespace of its own, one polling thread on processor 1. It is stopped by signal while
others measure on that processor.
"""

import os
import re
import signal
import threading

from support.ovs import Ovs
from support.wait import wait_for
from thread_time import ThreadTime

VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
# Its flow caches: the exact-match one (8,192 entries), or the larger signature cache alone. Which is
# faster depends on the flows; the better one is measured.
CACHES = {"EMC": ["emc-insert-inv-prob=100", "smc-enable=false"],
          "SMC": ["emc-insert-inv-prob=0", "smc-enable=true"]}
# What it has learned stays while it is stopped.
KEEP = "max-idle=3600000"
# How often it looks whether it may have more flows: only while it learns them.
EAGER, USUAL = "max-revalidator=100", "max-revalidator=500"


class OvsPeer:
    def __init__(self, run, name, captures, facts):
        self._space = run.namespace(name)
        self.ovs = Ovs(self._space, VSWITCHD, [
            "dpdk-init=true", EAGER, KEEP, "dpdk-lcore-mask=0x1", "pmd-cpu-mask=0x2", "dpdk-socket-mem=1024",
            f'dpdk-extra="--no-pci --in-memory --file-prefix={self._space.id}"'])
        (pa, mac, self._gateway_mac), = self._facts(facts, "gateway")
        self._bridges(mac)
        self._space.ip(f"addr add {pa}/16 dev br-phy", "link set br-phy up")
        for host, mac in self._facts(facts, "host"):
            self.ovs.appctl("tnl/neigh/set", "br-phy", host, mac)
        self._connect(captures, facts)
        self._time = ThreadTime(self.ovs.pid, "pmd-c01")

    @staticmethod
    def _facts(facts, kind):
        return [line[1:] for line in facts if line[0] == kind]

    def _connect(self, captures, facts):
        capture, = captures
        self._add_port("br-phy", "p1", "net_null1,no-rx=1")
        self._add_port("br-phy", "p0", f"net_pcap0,rx_pcap={capture},infinite_rx=1")
        self.ovs.replace_flows("br-phy", ["in_port=p0,actions=LOCAL", "in_port=LOCAL,actions=output:p1"])
        self.ovs.replace_flows("br-int", [
            f"in_port=gre0,tun_id={int(vsid) << 8:#x}/0xffffff00,ip,nw_dst={ca},{self._to_record(to, host, vm)},IN_PORT"
            for vsid, ca, to, host, vm in self._facts(facts, "record")])

    def _to_record(self, vsid, host, vm):
        return (f"actions=dec_ttl,mod_dl_src:{self._gateway_mac},mod_dl_dst:{vm},"
                f"set_field:{int(vsid) << 8:#x}->tun_id,set_field:{host}->tun_dst")

    def _bridges(self, mac):
        vsctl = self.ovs.vsctl
        vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev",
              f'other-config:hwaddr="{mac}"', "protocols=OpenFlow13,OpenFlow14")
        vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail-mode=secure",
              "protocols=OpenFlow13,OpenFlow14")
        vsctl("add-port", "br-int", "gre0", "--", "set", "interface", "gre0", "type=gre",
              "options:remote_ip=flow", "options:key=flow")

    def _add_port(self, bridge, port, device):
        self.ovs.vsctl("add-port", bridge, port, "--", "set", "interface", port, "type=dpdk",
                       f'options:dpdk-devargs="{device}"')
        error = self.ovs.vsctl("get", "interface", port, "error")
        if error not in ("[]", ""):
            raise RuntimeError(f"Open vSwitch does not open {device}: {error}")

    def _set(self, *options):
        self.ovs.vsctl("set", "Open_vSwitch", ".", *(f"other_config:{option}" for option in options))

    def stop(self):
        os.kill(self.ovs.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.ovs.pid, signal.SIGCONT)

    def warm_up(self):
        """Until no packet asks for a flow any more."""
        def quiet():
            picture = self.window(0.5)
            return picture["upcalls"] == picture["lost"] == 0 and picture["sent"] > 0
        wait_for(quiet, 120, "Open vSwitch learns the flows", tell=lambda: self.window(0.2)["text"])

    def settle(self):
        """Learns the flows; answers the name of the faster cache."""
        self.warm_up()
        self._set(USUAL)
        cost = {}
        for cache, options in CACHES.items():
            self._set(*options)
            self.window(0.5)  # it fills
            cost[cache] = self.window(0.5)["tsc"]
        best = min(cost, key=cost.get)
        self._set(*CACHES[best])
        self.window(0.5)
        return best

    def window(self, seconds):
        """What its own counters say of a while, and `tsc`: its thread's cycles a packet."""
        self.ovs.appctl("dpif-netdev/pmd-stats-clear")
        begin = self._time.ticks()
        threading.Event().wait(seconds)
        end = self._time.ticks()
        text = self.ovs.appctl("dpif-netdev/pmd-perf-show")
        picture = {"text": text}
        for name, pattern in (("packets", r"Rx packets:\s+(\d+)"), ("upcalls", r"- Upcalls:\s+(\d+)"),
                              ("lost", r"- Lost upcalls:\s+(\d+)"), ("sent", r"Tx packets:\s+(\d+)")):
            hit = re.search(pattern, text)
            picture[name] = int(hit.group(1)) if hit else 0
        picture["tsc"] = (end - begin) / picture["packets"] if picture["packets"] else None
        return picture
