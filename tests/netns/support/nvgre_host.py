# SPDX-License-Identifier: Apache-2.0
"""Hyper-V hosts as HNV makes them, played by Open vSwitch: NVGRE, policy and distributed router.

    VM ── br-int (policy as flows) ── gre0 ── br-phy (holds the PA) ── fabric

A Centre holds the policy, as VMM does: which VM has which customer address and MAC, and on which
host it lives. Hosts never learn: publish() writes the whole policy into each host's flows.

What a host does, table by table of br-int:

  0   who sends: a local VM with its own MAC and CA (anything else is spoofed), or the fabric
      (IPv6: also a solicitation from the link-local address of its MAC, and of a router from none)
  10  from the fabric, accept only: VSID of the VM's subnet, and the source CA's own host as outer
      source with that VM's MAC (same subnet) or the router's (routed), or the gateway's PA and MAC
  20  from a VM: ARP and neighbour solicitations are answered from policy, never flooded; same subnet goes to the record's host;
      what is for the router's MAC is routed here (TTL, MACs, VSID of the destination's subnet), by
      default to the gateway: its CA's MAC and PA, and the VSID of the *gateway subnet*

A host with a partial policy (`routes_to`) accepts as any other, but routes only to the subnets
named; all else takes its default route. Subnets and VMs have IPv6 addresses beside those of IPv4
where their maker gives them some.
"""

import ipaddress
from dataclasses import dataclass, field

from .ovs import Ovs
from .run import veth

# Every host has the same one, so that a VM's neighbour entry for .1 stays right when it moves.
ROUTER_MAC = "00:15:5d:00:00:01"
_NA_FLAGS = "0xe0000000"  # router, solicited, override


def link_local(mac):
    """The address that the kernel gives an interface with this MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    host = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + host))


@dataclass(frozen=True)
class Subnet:
    name: str
    vsid: int
    prefix: str
    router: str = "distributed"  # or "gateway": no distributed router, VMs ask the gateway
    prefix6: str = ""

    @property
    def router_address(self):
        return str(next(ipaddress.ip_network(self.prefix).hosts()))

    @property
    def router_address6(self):
        return str(next(ipaddress.ip_network(self.prefix6).hosts()))


@dataclass
class GatewaySide:
    """What the centre knows of a tenant's gateway: the default route of every host."""
    vsid: int
    pa: str
    mac: str
    subnet_macs: dict = field(default_factory=dict)  # subnet name -> the gateway's MAC there
    subnet_pas: dict = field(default_factory=dict)   # subnet name -> the gateway's PA for it

    def pa_in(self, subnet):
        return self.subnet_pas.get(subnet.name, self.pa)

    def mac_in(self, subnet):
        return self.subnet_macs.get(subnet.name, self.mac)


class Tenant:
    def __init__(self, name, number, subnets):
        self.name, self.number = name, number
        self.subnets = {s.name: s for s in subnets}
        self.gateway = None  # a GatewaySide, when there is one


class Vm:
    """A VM: a namespace with a wire to its host, and to two hosts while it moves."""

    def __init__(self, run, name, tenant, subnet, ca, mac, mtu=1500, ca6=None):
        self.space = run.namespace(name)
        self.name, self.tenant, self.subnet, self.ca, self.mac, self.ca6 = name, tenant, subnet, ca, mac, ca6
        self.mtu = mtu
        self.host = None
        self.wires = {}  # host -> (interface of the VM, port of br-int)
        self._count = 0

    def plug(self, host, port):
        interface = f"eth{self._count}"
        self._count += 1
        veth(host.space, port, self.space, interface)
        self.space.ip(f"link set {interface} address {self.mac} mtu {self.mtu}",
                      f"addr add {self.ca}/32 dev {interface}")
        if self.ca6:
            self.space.dual_stack(interface, f"{self.ca6}/128")
        self.wires[host] = (interface, port)
        if self.host is None:
            self.send_through(host)

    def send_through(self, host):
        """From here on the VM sends through this host; its connections keep their addresses."""
        interface = self.wires[host][0]
        self.space.ip(f"route replace {self.subnet.prefix} dev {interface} src {self.ca}",
                      f"route replace default via {self.subnet.router_address} dev {interface} src {self.ca}")
        if self.ca6:
            self.space.ip(f"route replace {self.subnet.prefix6} dev {interface} src {self.ca6}",
                          f"route replace ::/0 via {self.subnet.router_address6} dev {interface} src {self.ca6}")
        self.host = host

    @property
    def interface(self):
        return self.wires[self.host][0]

    def __repr__(self):
        return self.name


class NvgreHost:
    """A host on the fabric. `tag`: the host tags its fabric traffic itself, on a trunk."""

    def __init__(self, run, switch, name, pa, vlan=None, tag=None, routes_to=None, mtu=1700, gateway=None):
        self.space = run.namespace(name)
        self.name, self.pa, self.routes_to = name, str(ipaddress.ip_interface(pa).ip), routes_to
        self.ovs = Ovs(self.space)
        switch.connect(name, self.space, "fabric0", vlan=vlan, trunks=[tag] if tag else None, mtu=mtu)
        versions = "protocols=OpenFlow10,OpenFlow13,OpenFlow14"
        self.ovs.vsctl(
            "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", versions,
            "--", "add-port", "br-phy", "fabric0",
            "--", "add-br", "br-int",
            "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail-mode=secure", versions,
            "--", "add-port", "br-int", "gre0",
            "--", "set", "interface", "gre0", "type=gre", "options:remote_ip=flow", "options:key=flow",
            *(["--", "set", "port", "br-phy", f"tag={tag}"] if tag else []))
        # How OpenFlow calls the tunnel's ends, by the fabric's family.
        self.ends = ("tun_ipv6_src", "tun_ipv6_dst") if ":" in pa else ("tun_src", "tun_dst")
        self.space.ip(f"link set br-phy mtu {mtu} up")
        if ":" in pa:
            self.space.dual_stack("br-phy", pa)
        else:
            self.space.ip(f"addr add {pa} dev br-phy")
        if gateway:
            self.space.ip(f"route add {'::/0' if ':' in gateway else 'default'} via {gateway}")
        self.gre = self._number("gre0")
        self.vms = {}  # Vm -> OpenFlow port
        self._count = 0

    def _number(self, interface):
        return int(self.ovs.vsctl("wait-until", "interface", interface, "ofport>0",
                                  "--", "get", "interface", interface, "ofport"))

    def attach(self, vm):
        port = f"vm{self._count}"
        self._count += 1
        vm.plug(self, port)
        self.ovs.vsctl("add-port", "br-int", port)
        self.vms[vm] = self._number(port)

    def detach(self, vm):
        interface, port = vm.wires.pop(self)
        del self.vms[vm]
        self.ovs.vsctl("del-port", "br-int", port)
        vm.space.ip(f"link del {interface}")

    # -- policy as flows

    def _deliver(self, vm, vsid):
        """The packet, already written, to the VM: a local port, or its host over NVGRE."""
        if vm.host is self:
            return f"output:{self.vms[vm]}"
        return self._tunnel(vsid, vm.host.pa, vm.ca)

    def _tunnel(self, vsid, pa, entropy=None):
        flow_id = int(str(entropy).rsplit(".", 1)[1]) & 0xFF if entropy else 1
        return f"set_field:{vsid << 8 | flow_id:#x}->tun_id,set_field:{pa}->{self.ends[1]},output:{self.gre}"

    @staticmethod
    def _nd_answer(address, mac):
        """The solicitation becomes its advertisement; its option is turned around in table 30."""
        return ("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:" + mac + "->eth_src,"
                "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:" + address + "->ipv6_src,"
                "set_field:136->icmpv6_type,resubmit(,30)")

    @staticmethod
    def _arp_answer(address, mac):
        return ("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:" + mac + "->eth_src,"
                "set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],"
                "set_field:" + mac + "->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
                "set_field:" + address + "->arp_spa,in_port")

    def _may_route(self, subnet):
        return subnet.router == "distributed" and (self.routes_to is None or subnet.name in self.routes_to)

    def flows(self, centre):
        lines = [f"table=0,priority=100,in_port={self.gre},actions=resubmit(,10)"]
        lines += [f"table={t},priority=0,actions=drop" for t in (0, 10, 20, 30)]
        lines.append(f"table=30,icmp6,icmp_type=136,actions=set_field:2->nd_options_type,set_field:{_NA_FLAGS}->"
                     "nd_reserved,move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[],in_port")
        for tenant in {vm.tenant.name: vm.tenant for vm in self.vms}.values():
            others = [vm for vm in centre.vms if vm.tenant is tenant]
            for vm, port in self.vms.items():
                if vm.tenant is tenant:
                    lines += self._from_vm(vm, port) + self._to_vm(vm, port, others)
            for subnet in {vm.subnet.name: vm.subnet for vm in self.vms if vm.tenant is tenant}.values():
                lines += self._in_subnet(tenant, subnet, others)
            lines += self._routed(tenant, others)
        return lines

    @staticmethod
    def _from_vm(vm, port):
        who = f"load:{vm.tenant.number}->NXM_NX_REG0[],load:{vm.subnet.vsid}->NXM_NX_REG1[],resubmit(,20)"
        here = f"table=0,priority=100,in_port={port},dl_src={vm.mac}"
        lines = [f"{here},ip,nw_src={vm.ca},actions={who}",
                 f"{here},arp,arp_spa={vm.ca},arp_sha={vm.mac},actions={who}"]
        if vm.ca6:
            lines += [f"{here},ipv6,ipv6_src={vm.ca6},actions={who}",
                      f"{here},icmp6,icmp_type=135,ipv6_src={link_local(vm.mac)},actions={who}"]
            if vm.subnet.router == "gateway":
                lines += [f"{here},icmp6,icmp_type=133,ipv6_src={source},actions={who}"
                          for source in ("::", link_local(vm.mac))]
        return lines

    def _to_vm(self, vm, port, others):
        source_pa, own_pa = self.ends
        here = f"tun_id={vm.subnet.vsid << 8:#x}/0xffffff00,{own_pa}={self.pa}"
        lines = []
        for peer in others:
            if peer.host is self or peer.host is None:
                continue
            if peer.subnet is vm.subnet:
                source = peer.mac
            elif peer.subnet.router == vm.subnet.router == "distributed":
                source = ROUTER_MAC
            else:
                continue
            lines.append(f"table=10,priority=100,{here},{source_pa}={peer.host.pa},ip,dl_src={source},"
                         f"dl_dst={vm.mac},nw_src={peer.ca},nw_dst={vm.ca},actions=output:{port}")
            if peer.ca6 and vm.ca6:
                lines.append(f"table=10,priority=100,{here},{source_pa}={peer.host.pa},ipv6,dl_src={source},"
                             f"dl_dst={vm.mac},ipv6_src={peer.ca6},ipv6_dst={vm.ca6},actions=output:{port}")
        if vm.tenant.gateway:
            gateway = vm.tenant.gateway
            mac, pa = gateway.mac_in(vm.subnet), gateway.pa_in(vm.subnet)
            lines.append(f"table=10,priority=90,{here},{source_pa}={pa},ip,dl_src={mac},"
                         f"dl_dst={vm.mac},nw_dst={vm.ca},actions=output:{port}")
            if vm.subnet.router == "gateway":
                lines.append(f"table=10,priority=90,{here},{source_pa}={pa},arp,arp_op=2,dl_src={mac},"
                             f"dl_dst={vm.mac},arp_tpa={vm.ca},actions=output:{port}")
            if vm.ca6:
                lines += [f"table=10,priority=90,{here},{source_pa}={pa},{what},dl_src={mac},dl_dst={vm.mac},"
                          f"actions=output:{port}" for what in (
                              f"ipv6,ipv6_dst={vm.ca6}",
                              f"icmp6,icmp_type=136,ipv6_dst={link_local(vm.mac)}",
                              *(["icmp6,icmp_type=134"] if vm.subnet.router == "gateway" else []))]
        return lines

    def _in_subnet(self, tenant, subnet, others):
        here, router = f"table=20,reg1={subnet.vsid}", subnet.router_address
        lines = []
        for vm in others:
            if vm.subnet is subnet and vm.host:
                lines.append(f"{here},priority=100,arp,arp_op=1,arp_tpa={vm.ca},"
                             f"actions={self._arp_answer(vm.ca, vm.mac)}")
                lines.append(f"{here},priority=90,ip,dl_dst={vm.mac},nw_dst={vm.ca},"
                             f"actions={self._deliver(vm, subnet.vsid)}")
                if vm.ca6:
                    lines.append(f"{here},priority=100,icmp6,icmp_type=135,nd_target={vm.ca6},"
                                 f"actions={self._nd_answer(vm.ca6, vm.mac)}")
                    lines.append(f"{here},priority=90,ipv6,dl_dst={vm.mac},ipv6_dst={vm.ca6},"
                                 f"actions={self._deliver(vm, subnet.vsid)}")
        if subnet.prefix6:
            lines += self._router6(tenant, subnet)
        if subnet.router == "distributed":
            lines.append(f"{here},priority=100,arp,arp_op=1,arp_tpa={router},"
                         f"actions={self._arp_answer(router, ROUTER_MAC)}")
            lines.append(f"{here},priority=90,icmp,icmp_type=8,dl_dst={ROUTER_MAC},nw_dst={router},"
                         f"actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{ROUTER_MAC}->eth_src,"
                         f"move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:{router}->ip_src,"
                         "set_field:0->icmp_type,in_port")
        elif tenant.gateway:
            gateway = tenant.gateway
            there = self._tunnel(subnet.vsid, gateway.pa_in(subnet))
            lines.append(f"{here},priority=100,arp,arp_op=1,arp_tpa={router},actions={there}")
            lines.append(f"{here},priority=80,ip,dl_dst={gateway.mac_in(subnet)},actions={there}")
        return lines

    def _router6(self, tenant, subnet):
        here, router = f"table=20,reg1={subnet.vsid}", subnet.router_address6
        asked = f"{here},priority=100,icmp6,icmp_type=135,nd_target={router}"
        if subnet.router == "distributed":
            return [f"{asked},actions={self._nd_answer(router, ROUTER_MAC)}",
                    f"{here},priority=90,icmp6,icmp_type=128,dl_dst={ROUTER_MAC},ipv6_dst={router},"
                    f"actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{ROUTER_MAC}->eth_src,"
                    f"move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:{router}->ipv6_src,"
                    "set_field:129->icmpv6_type,in_port"]
        if not tenant.gateway:
            return []
        there = self._tunnel(subnet.vsid, tenant.gateway.pa_in(subnet))
        return [f"{asked},actions={there}",
                f"{here},priority=100,icmp6,icmp_type=133,actions={there}",
                f"{here},priority=80,ipv6,dl_dst={tenant.gateway.mac_in(subnet)},actions={there}"]

    def _routed(self, tenant, others):
        to_router = f"table=20,reg0={tenant.number},%s,dl_dst={ROUTER_MAC}"
        here, here6 = to_router % "ip", to_router % "ipv6"
        rewrite = f"dec_ttl,set_field:{ROUTER_MAC}->eth_src,set_field:%s->eth_dst"
        lines = [f"{here},priority=80,nw_dst={vm.ca},actions={rewrite % vm.mac},"
                 f"{self._deliver(vm, vm.subnet.vsid)}"
                 for vm in others if vm.host and self._may_route(vm.subnet)]
        lines += [f"{here6},priority=80,ipv6_dst={vm.ca6},actions={rewrite % vm.mac},"
                  f"{self._deliver(vm, vm.subnet.vsid)}"
                  for vm in others if vm.host and vm.ca6 and self._may_route(vm.subnet)]
        if tenant.gateway:
            gateway = tenant.gateway
            lines += [f"{family},priority=10,actions={rewrite % gateway.mac},"
                      f"{self._tunnel(gateway.vsid, gateway.pa)}" for family in (here, here6)]
        return lines

    def dump(self):
        """The flows that packets took, and the outer neighbours."""
        flows = self.ovs.ofctl("dump-flows", "br-int").splitlines()
        return "\n".join([f for f in flows if "n_packets=0," not in f] + [self.ovs.appctl("tnl/neigh/show")])


class Centre:
    """The policy of all tenants and the hosts that hold it."""

    def __init__(self, hosts):
        self.hosts = list(hosts)
        self.vms = []

    def add(self, vm, host):
        host.attach(vm)
        self.vms.append(vm)

    def remove(self, vm):
        self.vms.remove(vm)
        for host in list(vm.wires):
            host.detach(vm)
        vm.host = None

    def publish(self):
        for host in self.hosts:
            host.ovs.replace_flows("br-int", host.flows(self))

    # Live migration, in the steps in which a hypervisor does it. Between prepare and finish the VM
    # hears both hosts; from cut_over on it speaks through the new one.

    def prepare_move(self, vm, to):
        to.attach(vm)
        self.publish()

    def cut_over(self, vm, to):
        vm.send_through(to)
        self.publish()

    def finish_move(self, vm, old):
        old.detach(vm)
        self.publish()

    def move_vm(self, vm, to, when_ready=lambda: None):
        """Moves vm; when_ready runs when the new host can take its packets (the gateway's record)."""
        old = vm.host
        self.prepare_move(vm, to)
        when_ready()
        self.cut_over(vm, to)
        self.finish_move(vm, old)
