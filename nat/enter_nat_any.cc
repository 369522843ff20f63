// SPDX-License-Identifier: Apache-2.0
//
// The inbound NAT door for what is no plain packet of a session: what opens one, one-to-one
// addresses, ICMP errors and queries, fragments, and what is refused.
#include <cstring>
#include <new>

#include "compartments/ip_checks.h"
#include "compartments/line/answer.h"
#include "compartments/scratch.h"
#include "nat/enter_parts.h"
#include "nat/prefetch_rules.h"

namespace hnv::nat_in {
namespace {

const wire::Tcp* tcp_of(const wire::Ipv4& ip, const Transport& transport) {
  if (transport.protocol != wire::ip_protocol::kTcp || transport.kind != TransportKind::ports) {
    return nullptr;
  }
  return reinterpret_cast<const wire::Tcp*>(reinterpret_cast<const uint8_t*>(&ip) +
                                            transport.offset);
}

// Null, and dropped: its domain is gone, or has other rules now. `rules`: those of today.
const CompartmentView* tenant_of_session(Packet<Side::outside> packet, NatSession& session,
                                         const NatRules* rules, const NatContext& nat, Out out) {
  const bool right = rules != nullptr && session.rules == rules->serial;
  if (!right && !nat.mine.table.still_right(nat.plan, rules, session, nat.now)) [[unlikely]] {
    out.drop(packet, DropReason::nat_no_session);
    return nullptr;
  }
  const CompartmentView* tenant = tenant_of(nat, rules);
  if (tenant == nullptr) out.drop(packet, DropReason::nat_no_session);
  return tenant;
}

// A packet of a session; `transport` is its own.
void pass(Packet<Side::outside> packet, const Transport& transport, NatSession& session,
          const NatContext& nat, Out out) {
  const NatRules* rules = nat.plan.rules_of(CompartmentId(session.compartment));
  const CompartmentView* tenant = tenant_of_session(packet, session, rules, nat, out);
  if (tenant == nullptr) [[unlikely]] {
    return;
  }
  wire::Ipv4& ip = ip_of(packet);
  if (const wire::Tcp* tcp = tcp_of(ip, transport); tcp != nullptr) {
    session.state = after_segment(session.state, tcp->flags, false);
    if ((tcp->flags & wire::tcp_flag::kSyn) != 0) [[unlikely]] {
      clamp_mss(ip, transport, mss_of(rules->inner_mtu));
    }
  }
  count(session, ip.total_length.value(), nat);
  rewrite_endpoint(ip, transport, Side4::destination, session.inside, session.inside_port);
  enter(packet, *tenant, *rules, session.inside, out);
}

// Everything of a one-to-one address is its inside address's: no session, no port.
void pass_one_to_one(Packet<Side::outside> packet, Transport transport,
                     const PublicAddress& address, const NatContext& nat, Out out) {
  const NatRules* rules = nat.plan.rules_of(address.compartment);
  const CompartmentView* tenant = tenant_of(nat, rules);
  wire::Ipv4& ip = ip_of(packet);
  if (tenant == nullptr) return out.drop(packet, DropReason::nat_no_session);
  if (!address.remote.contains(ip.source)) return out.drop(packet, DropReason::nat_filtered);
  if (!was_hairpinned(packet.slot()) && !is_routed_out(*tenant, ip.source)) {
    return out.drop(packet, DropReason::nat_spoofed);
  }
  if (transport.kind == TransportKind::icmp_error) {
    Quoted quoted;
    if (!read_quoted(ip, transport, quoted)) {
      return out.drop(packet, DropReason::nat_icmp_unmatched);
    }
    if (quoted.ip->source.raw() == address.address.raw()) {
      rewrite_quoted(ip, transport, quoted, Side4::source, address.inside, quoted.source_port);
    }
  } else if (const wire::Tcp* tcp = tcp_of(ip, transport);
             tcp != nullptr && (tcp->flags & wire::tcp_flag::kSyn) != 0) {
    clamp_mss(ip, transport, mss_of(rules->inner_mtu));
  }
  // Identifiers and ports stay as they are.
  if (transport.kind == TransportKind::icmp_query) transport.kind = TransportKind::other;
  rewrite_endpoint(ip, transport, Side4::destination, address.inside, transport.destination_port);
  enter(packet, *tenant, *rules, address.inside, out);
}

// RFC 5382 REQ-4: the refusal is made now and sent later, unless the one inside turns out to be
// opening the same connection.
void hold_refusal(Packet<Side::outside> packet, const OutsideFlow& flow, const NatContext& nat,
                  Out out) {
  PacketSlot& slot = packet.slot();
  const auto ethernet = packet.at<wire::Ethernet>(0);
  wire::VlanTag tag;
  const bool tagged = slot.l2_bytes > sizeof(wire::Ethernet);
  if (tagged) tag = packet.at<wire::VlanTag>(12);
  if (nat.mine.syns.full() || ethernet.source.multicast() || was_hairpinned(slot)) {
    return out.drop(packet, DropReason::nat_unsolicited_syn);
  }
  slot.bytes = slot.l2_bytes + ip_of(packet).total_length.value();
  slot.strip(slot.l2_bytes);
  slot.store();
  if (!may_send_icmp_error(*slot.mbuf) ||
      !make_icmp_error(*slot.mbuf, IcmpError::port_unreachable(), flow.address.value())) {
    return out.drop(packet, DropReason::nat_unsolicited_syn);
  }
  auto* front = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(slot.mbuf, slot.l2_bytes));
  if (front == nullptr) return out.drop(packet, DropReason::nat_unsolicited_syn);
  auto& back = *reinterpret_cast<wire::Ethernet*>(front);
  back.destination = ethernet.source;
  back.source = ethernet.destination;
  back.type = wire::ether_type::kIpv4;
  if (tagged) {
    std::memcpy(front + 12, &tag, sizeof tag);
    *reinterpret_cast<be16*>(front + 16) = wire::ether_type::kIpv4;
  }
  nat.mine.syns.push({.refusal = slot.mbuf, .flow = flow, .until = nat.now + HeldSyns::kHold});
}

// A sender that the tenant would look for elsewhere (one of its own machines, say) is not who it
// says: reverse path (RFC 3704).
bool is_spoofed(Packet<Side::outside> packet, const OutsideFlow& flow, const NatContext& nat) {
  if (was_hairpinned(packet.slot())) return false;
  const CompartmentId domain = nat.mine.table.domain_of(
      nat.plan, {.address = flow.address, .port = flow.port, .protocol = flow.protocol});
  const CompartmentView* tenant = domain.valid() ? nat.compartments[domain.value()].get() : nullptr;
  return tenant != nullptr && !is_routed_out(*tenant, flow.remote);
}

// No session knows it.
[[gnu::noinline]] void open(Packet<Side::outside> packet, const Transport& transport,
                            const OutsideFlow& flow, const NatContext& nat, Out out) {
  const wire::Ipv4& ip = ip_of(packet);
  const wire::Tcp* tcp = tcp_of(ip, transport);
  const bool query = transport.kind == TransportKind::icmp_query;
  // Only a request opens anything: answers, resets and the middle of connections do not.
  const bool begins =
      tcp == nullptr
          ? !query
          : (tcp->flags & (wire::tcp_flag::kSyn | wire::tcp_flag::kAck | wire::tcp_flag::kRst)) ==
                wire::tcp_flag::kSyn;
  const bool published = nat.plan.static_at(flow.address, flow.protocol, flow.port) != nullptr;
  const bool reset = tcp != nullptr && (tcp->flags & wire::tcp_flag::kRst) != 0;
  if (begins || (published && !query && !reset)) {
    if (is_spoofed(packet, flow, nat)) return out.drop(packet, DropReason::nat_spoofed);
    const auto opened = nat.mine.table.open(nat.plan, flow, nat.now);
    if (opened.session != nullptr) return pass(packet, transport, *opened.session, nat, out);
    const bool nobody =
        opened.reason == DropReason::nat_no_session || opened.reason == DropReason::nat_filtered;
    if (tcp != nullptr && begins && nobody) return hold_refusal(packet, flow, nat, out);
    return out.drop(packet, opened.reason);
  }
  if (query && transport.from_asker) {
    const PublicAddress& address = address_of(packet.slot(), nat.plan);
    const bool echo = packet.at<wire::Icmp>(packet.slot().l2_bytes + transport.offset).type == 8;
    if (echo && (address.respond_to_ping || address.interface_address) && !transport.fragment &&
        !was_hairpinned(packet.slot()) && !packet.at<wire::Ethernet>(0).source.multicast()) {
      return out.respond(packet, Answer::echo_reply_outside);
    }
  }
  out.drop(packet, DropReason::nat_no_session);
}

// RFC 5508 REQ-3 to 6: it belongs to the session of the packet it quotes, which was one of ours.
[[gnu::noinline]] void pass_icmp_error(Packet<Side::outside> packet, const Transport& transport,
                                       const NatContext& nat, Out out) {
  wire::Ipv4& ip = ip_of(packet);
  const PublicAddress& address = address_of(packet.slot(), nat.plan);
  Quoted quoted;
  if (!read_quoted(ip, transport, quoted) || quoted.ip->source.raw() != ip.destination.raw()) {
    return out.drop(packet, DropReason::nat_icmp_unmatched);
  }
  const unsigned owner =
      owner_of(nat.plan, address, quoted.protocol, quoted.source_port, out.worker());
  if (owner != out.worker()) return out.handoff<Stage::classify>(packet, owner);
  const OutsideFlow flow{.address = quoted.ip->source,
                         .remote = quoted.ip->destination,
                         .port = quoted.source_port,
                         .remote_port = quoted.protocol == wire::ip_protocol::kIcmp
                                            ? be16{0}
                                            : quoted.destination_port,
                         .protocol = quoted.protocol};
  NatSession* session = nat.mine.table.find(flow, flow.hash());
  if (session == nullptr) return out.drop(packet, DropReason::nat_icmp_unmatched);
  const NatRules* rules = nat.plan.rules_of(CompartmentId(session->compartment));
  if ((rules == nullptr || session->rules != rules->serial) &&
      !nat.mine.table.still_right(nat.plan, rules, *session, nat.now)) {
    return out.drop(packet, DropReason::nat_icmp_unmatched);
  }
  const CompartmentView* tenant = tenant_of(nat, rules);
  if (tenant == nullptr) return out.drop(packet, DropReason::nat_icmp_unmatched);
  // The session's state and time stay as they are (REQ-6; RFC 5382 REQ-9).
  const be32 inside = session->inside;
  rewrite_quoted(ip, transport, quoted, Side4::source, inside, session->inside_port);
  rewrite_endpoint(ip, transport, Side4::destination, inside, be16{0});
  enter(packet, *tenant, *rules, inside, out);
}

// Fragments go where the first one of their datagram does. All of a datagram come to one worker
// first, whoever owns the port.
[[gnu::noinline]] void pass_fragment(Packet<Side::outside> packet, Transport transport,
                                     const NatContext& nat, Out out) {
  PacketSlot& slot = packet.slot();
  const wire::Ipv4& ip = ip_of(packet);
  const DatagramKey key{.source = ip.source,
                        .destination = ip.destination,
                        .id = ip.id,
                        .protocol = ip.protocol,
                        .place = DatagramKey::outside(slot.attachment)};
  if (!slot.ports_known) {
    const auto collector = static_cast<unsigned>((key.hash() >> 32) * nat.plan.workers >> 32);
    if (collector != out.worker()) return out.handoff<Stage::classify>(packet, collector);
    const auto drop = [&](rte_mbuf* mbuf) {
      out.count_lost(DropReason::nat_fragment_lost);
      rte_pktmbuf_free(mbuf);
    };
    uint32_t ports = join_ports(transport.source_port, transport.destination_port);
    if (transport.kind == TransportKind::later_fragment) {
      const auto known = nat.mine.fragments.find_known(key, nat.now);
      if (!known) {
        slot.store();
        const Reentry waits{.mbuf = slot.mbuf,
                            .stage = Stage::classify,
                            .handoffs = slot.handoffs,
                            .hairpin = was_hairpinned(slot)};
        if (!nat.mine.fragments.hold(key, waits, nat.now)) drop(slot.mbuf);
        return;
      }
      ports = known->ports;
    } else {
      nat.mine.fragments.learn(key, {.ports = ports, .id = ip.id}, nat.now, nat.reentry, drop);
    }
    slot.ports = ports;
    slot.ports_known = true;
  }
  const wire::Ports ports = split_ports(slot.ports);
  const PublicAddress& address = address_of(slot, nat.plan);
  const unsigned owner = owner_of(nat.plan, address, ip.protocol, ports.destination, out.worker());
  if (owner != out.worker()) return out.handoff<Stage::classify>(packet, owner);
  const OutsideFlow flow{
      .address = ip.destination,
      .remote = ip.source,
      .port = ports.destination,
      .remote_port = ip.protocol == wire::ip_protocol::kIcmp ? be16{0} : ports.source,
      .protocol = ip.protocol};
  NatSession* session = nat.mine.table.find(flow, flow.hash());
  if (session != nullptr) return pass(packet, transport, *session, nat, out);
  if (transport.kind == TransportKind::later_fragment) {
    return out.drop(packet, DropReason::nat_no_session);
  }
  open(packet, transport, flow, nat, out);
}

// What is wrong with it whatever it is. False when it has been dropped.
bool sound(Packet<Side::outside> packet, const wire::Ipv4& ip, const Transport& transport,
           const NatContext& nat, Out out) {
  if (ip.header_bytes() > sizeof(wire::Ipv4) && has_harmful_option(ip)) [[unlikely]] {
    out.drop(packet, DropReason::nat_ip_option);
    return false;
  }
  if (transport.kind == TransportKind::bad) [[unlikely]] {
    out.drop(packet, DropReason::nat_bad_header);
    return false;
  }
  // A hairpinned packet has a source of ours, often the same address; nobody outside may.
  const bool hairpinned = was_hairpinned(packet.slot());
  const bool land =
      ip.source.raw() == ip.destination.raw() &&
      (!hairpinned || (transport.kind == TransportKind::ports &&
                       transport.source_port.raw() == transport.destination_port.raw()));
  if (land || (!hairpinned && nat.plan.find(ip.source) != nullptr)) [[unlikely]] {
    out.drop(packet, DropReason::nat_spoofed);
    return false;
  }
  return true;
}

// Those that are no plain packet of a session. True when it was one.
bool pass_special(Packet<Side::outside> packet, const Transport& transport, const NatContext& nat,
                  Out out) {
  const PublicAddress& address = address_of(packet.slot(), nat.plan);
  if (address.compartment.valid()) {
    pass_one_to_one(packet, transport, address, nat, out);
  } else if (transport.fragment) {
    pass_fragment(packet, transport, nat, out);
  } else if (transport.kind == TransportKind::icmp_error) {
    pass_icmp_error(packet, transport, nat, out);
  } else if (transport.kind == TransportKind::other) {
    out.drop(packet, DropReason::nat_protocol);
  } else {
    return false;
  }
  return true;
}

}  // namespace

void enter_any(Burst<Side::outside> in, const NatContext& nat, Out out) {
  Scratch<PacketSlot*, kVector> slots;
  Scratch<Transport, kVector> transports;
  Scratch<OutsideFlow, kVector> flows;
  Scratch<uint64_t, kVector> hashes;
  Scratch<uint32_t, kVector> candidates;
  Scratch<const NatRules*, kVector> rules;
  const NatTable& table = nat.mine.table;
  unsigned count = 0;
  for (const auto packet : in) {
    const wire::Ipv4& ip = ip_of(packet);
    // Made where they stay: a copy would wait for the stores of its members.
    Transport& transport = *new (&transports[count]) Transport();
    read_transport(ip, transport);
    if (!sound(packet, ip, transport, nat, out)) continue;
    if (pass_special(packet, transport, nat, out)) continue;
    const OutsideFlow& flow = *new (&flows[count]) OutsideFlow(flow_of(ip, transport));
    const unsigned owner = owner_of(nat.plan, address_of(packet.slot(), nat.plan), flow.protocol,
                                    flow.port, out.worker());
    if (owner != out.worker()) {
      out.handoff<Stage::classify>(packet, owner);
      continue;
    }
    slots[count] = &packet.slot();
    hashes[count] = flow.hash();
    table.prefetch(flow, hashes[count]);
    ++count;
  }
  for (unsigned i = 0; i < count; ++i) {
    candidates[i] = table.candidate(flows[i], hashes[i]);
    table.prefetch_session(candidates[i]);
  }
  for (unsigned i = 0; i < count; ++i) {
    rules[i] = nullptr;
    if (candidates[i] == NatTable::kNone) continue;
    const CompartmentId domain = table.compartment_of(candidates[i]);
    prefetch_view(nat.compartments[domain.value()].get());
    rules[i] = nat.plan.rules_of(domain);
    prefetch_rules(rules[i]);
  }
  for (unsigned i = 0; i < count; ++i) {
    if (rules[i] != nullptr) prefetch_counters(*rules[i], out.worker());
  }
  for (unsigned i = 0; i < count; ++i) {
    const Packet<Side::outside> packet(*slots[i]);
    NatSession* session = nat.mine.table.find(flows[i], hashes[i], candidates[i]);
    if (session != nullptr) [[likely]] {
      pass(packet, transports[i], *session, nat, out);
    } else {
      open(packet, transports[i], flows[i], nat, out);
    }
  }
}

void enter_one(Packet<Side::outside> packet, const NatContext& nat, Out out) {
  const Transport transport = read_transport(ip_of(packet));
  const OutsideFlow flow = flow_of(ip_of(packet), transport);
  NatSession* session = nat.mine.table.find(flow, flow.hash());
  if (session != nullptr) return pass(packet, transport, *session, nat, out);
  open(packet, transport, flow, nat, out);
}

}  // namespace hnv::nat_in
