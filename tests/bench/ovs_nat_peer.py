# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch with DPDK and its connection tracker, translating as the gateway's NAT does.

    out:  net_pcap ── br-phy ── gre0 ── br-int: VSID → zone, ct(commit, nat(src)) ── p2, net_null
    back: net_pcap ── p3 ── br-int: public address → zone, ct(nat) ── gre0 ── br-phy ── p1, net_null

A zone a tenant, and a public address of its own: replies have to name their zone. What goes back
belongs to connections that the capture of what goes out has made before. It keeps the source port,
which is the only one of its tenant.
"""

from ovs_peer import OvsPeer
from support.wait import wait_for


class OvsNatPeer(OvsPeer):
    def __init__(self, run, name, captures, facts, sessions, back):
        self._sessions, self._back = sessions, back
        super().__init__(run, name, captures, facts)

    def _connect(self, captures, facts):
        outbound, inbound = captures
        self._add_port("br-phy", "p1", "net_null1,no-rx=1")
        self._add_port("br-int", "p2", "net_null2,no-rx=1")
        self._add_port("br-phy", "p0", f"net_pcap0,rx_pcap={outbound},infinite_rx=1")
        self.ovs.replace_flows("br-phy", ["in_port=p0,actions=LOCAL", "in_port=LOCAL,actions=output:p1"])
        (ours, router), = self._facts(facts, "outside")
        domains = self._facts(facts, "domain")
        flows = [f"in_port=gre0,tun_id={int(vsid) << 8:#x}/0xffffff00,ip,"
                 f"actions=ct(commit,zone={zone},nat(src={public}),table=1)" for vsid, zone, public in domains]
        flows.append(f"table=1,in_port=gre0,ip,ct_state=+trk-inv,actions=dec_ttl,mod_dl_src:{ours},mod_dl_dst:{router},"
                     "output:p2")
        if self._back:
            zone_of = {vsid: zone for vsid, zone, _ in domains}
            flows += [f"ip,nw_dst={public},actions=ct(zone={zone},nat,table=2)"
                      for _, zone, public in domains]
            flows += [f"table=2,ct_zone={zone_of[vsid]},ct_state=+trk-inv,ip,nw_dst={ca},{self._to_record(to, host, vm)},"
                      "output:gre0" for vsid, ca, to, host, vm in self._facts(facts, "record")]
        self.ovs.replace_flows("br-int", flows)
        wait_for(lambda: self.connections() >= self._sessions, 120, "Open vSwitch tracks all connections",
                 tell=self.connections)
        if self._back:
            self.ovs.vsctl("del-port", "br-phy", "p0")
            self._add_port("br-int", "p3", f"net_pcap3,rx_pcap={inbound},infinite_rx=1")

    def connections(self):
        return int(self.ovs.appctl("dpctl/ct-get-nconns").split()[-1])
