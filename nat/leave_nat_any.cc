// SPDX-License-Identifier: Apache-2.0
//
// The outbound NAT door for what is no plain packet of a session: what opens one, one-to-one
// addresses, ICMP errors and queries, fragments, and what is refused.
#include <algorithm>
#include <cstring>
#include <new>

#include "compartments/scratch.h"
#include "nat/leave_parts.h"
#include "nat/prefetch_rules.h"

namespace hnv::nat_out {
namespace {

// How a packet is to leave, once its headers say so.
struct Way {
  const NatRules* rules = nullptr;
  const PublicAddress* address = nullptr;  // under which one
  NatSession* session = nullptr;           // null: one-to-one, or an ICMP error
  be16 port;                               // the public one
  be16 id;                                 // of a fragment's datagram, from now on
  bool shares_address = false;             // others have the public address, too
  bool translated = false;                 // already: ICMP errors
};

InsideFlow flow_of(const PacketSlot& slot, const wire::Ipv4& ip, const Transport& transport) {
  return {.inside = ip.source,
          .remote = ip.destination,
          .inside_port = transport.source_port,
          .remote_port =
              transport.protocol == wire::ip_protocol::kIcmp ? be16{0} : transport.destination_port,
          .protocol = transport.protocol,
          .compartment = slot.compartment->id};
}

void translate(Packet<Side::inside> packet, const Transport& transport, const Way& way,
               uint16_t outside_mtu, const NatContext& nat) {
  wire::Ipv4& ip = ip_of(packet);
  bool refreshes = true;
  if (transport.protocol == wire::ip_protocol::kTcp && transport.kind == TransportKind::ports) {
    const auto& tcp = packet.at<wire::Tcp>(transport.offset);
    if (way.session != nullptr) refreshes = track(*way.session, tcp.flags);
    if ((tcp.flags & wire::tcp_flag::kSyn) != 0) [[unlikely]] {
      clamp_mss(ip, transport, mss_of(std::min(outside_mtu, way.rules->inner_mtu)));
    }
  }
  if (way.session != nullptr) count(*way.session, packet.bytes(), refreshes, nat);
  // RFC 6864: what may be cut, or is, needs a number that no other machine behind the address
  // uses at the same time.
  if (way.shares_address && (transport.fragment || !ip.dont_fragment())) {
    set_identification(ip, transport.fragment ? way.id : nat.mine.identifications.next());
  }
  if (!way.translated) {
    rewrite_endpoint(ip, transport, Side4::source, way.address->address, way.port);
  }
}

// RFC 5508 REQ-4, 5: an error of somebody inside about a packet that came in; it belongs to that
// packet's session. Translated here. Null session: it has been dropped or handed over.
bool translate_error(Packet<Side::inside> packet, const Transport& transport, Way& way,
                     const NatContext& nat, Out out) {
  wire::Ipv4& ip = ip_of(packet);
  const CompartmentId domain = packet.slot().compartment->id;
  Quoted quoted;
  if (!read_quoted(ip, transport, quoted) || quoted.ip->source.raw() != ip.destination.raw()) {
    out.drop(packet, DropReason::nat_icmp_unmatched);
    return false;
  }
  be32 address;
  be16 port = quoted.destination_port;
  if (way.rules->has_one_to_one) {
    const InsideOneToOne* own = way.rules->one_to_one.find(quoted.ip->destination.raw());
    if (own != nullptr) way.address = nat.plan.find(own->address);
  }
  if (way.address != nullptr) {
    address = way.address->address;
  } else {
    const unsigned owner = nat.plan.owner_of_inside(*way.rules, quoted.ip->destination);
    if (owner != out.worker()) {
      out.handoff<Stage::route>(packet, owner);
      return false;
    }
    const InsideFlow flow{
        .inside = quoted.ip->destination,
        .remote = quoted.ip->source,
        .inside_port = quoted.destination_port,
        .remote_port = quoted.protocol == wire::ip_protocol::kIcmp ? be16{0} : quoted.source_port,
        .protocol = quoted.protocol,
        .compartment = domain};
    const NatSession* session = nat.mine.table.find(flow, flow.hash());
    way.address = session == nullptr ? nullptr : nat.plan.find(session->outside);
    if (way.address == nullptr || session->rules != way.rules->serial) {
      out.drop(packet, DropReason::nat_icmp_unmatched);
      return false;
    }
    way.shares_address = true;
    address = session->outside;
    port = session->outside_port;
  }
  rewrite_quoted(ip, transport, quoted, Side4::destination, address, port);
  rewrite_endpoint(ip, transport, Side4::source, address, be16{0});
  way.translated = true;
  return true;
}

// The ports of a fragment's datagram, into `transport`, and the Identification of all its
// fragments. False: it waits for the first one, or has been dropped.
bool complete_fragment(Packet<Side::inside> packet, Transport& transport, be16& id,
                       const NatContext& nat, Out out) {
  PacketSlot& slot = packet.slot();
  const wire::Ipv4& ip = ip_of(packet);
  const DatagramKey key{.source = ip.source,
                        .destination = ip.destination,
                        .id = ip.id,
                        .protocol = ip.protocol,
                        .place = slot.compartment->id.value()};
  const auto drop = [&](rte_mbuf* mbuf) {
    out.count_lost(DropReason::nat_fragment_lost);
    rte_pktmbuf_free(mbuf);
  };
  if (transport.kind != TransportKind::later_fragment) {
    // A first one that was cut comes by again: its datagram has its number.
    const auto known = nat.mine.fragments.find_known(key, nat.now);
    id = known ? known->id : nat.mine.identifications.next();
    nat.mine.fragments.learn(
        key, {.ports = join_ports(transport.source_port, transport.destination_port), .id = id},
        nat.now, nat.reentry, drop);
    return true;
  }
  const auto known = nat.mine.fragments.find_known(key, nat.now);
  if (!known) {
    slot.store();
    const Reentry waits{.mbuf = slot.mbuf,
                        .stage = Stage::route,
                        .handoffs = slot.handoffs,
                        .origin = origin_of(slot)};
    if (!nat.mine.fragments.hold(key, waits, nat.now)) drop(slot.mbuf);
    return false;
  }
  id = known->id;
  const wire::Ports ports = split_ports(known->ports);
  transport.source_port = ports.source;
  transport.destination_port = ports.destination;
  return true;
}

// The inside address has a public one for itself.
const PublicAddress* one_to_one(const NatRules& rules, be32 inside, const NatPlan& plan) {
  if (!rules.has_one_to_one || inside.raw() == 0) return nullptr;
  const InsideOneToOne* own = rules.one_to_one.find(inside.raw());
  return own == nullptr ? nullptr : plan.find(own->address);
}

// What becomes of a packet before its session is looked for.
enum class Sorted : uint8_t { gone, session, ready };
Sorted sort_out(Packet<Side::inside> packet, Transport& transport, Way& way, const NatContext& nat,
                Out out) {
  const wire::Ipv4& ip = ip_of(packet);
  const CompartmentId domain = packet.slot().compartment->id;
  way.rules = nat.plan.rules_of(domain);
  if (way.rules == nullptr || !way.rules->enabled) [[unlikely]] {
    out.refuse(packet, DropReason::nat_no_rule, IcmpError::host_unreachable());
    return Sorted::gone;
  }
  if (ip.header_bytes() > sizeof ip && has_harmful_option(ip)) [[unlikely]] {
    out.drop(packet, DropReason::nat_ip_option);
    return Sorted::gone;
  }
  if (transport.kind == TransportKind::bad) [[unlikely]] {
    out.drop(packet, DropReason::nat_bad_header);
    return Sorted::gone;
  }
  if (transport.kind == TransportKind::icmp_error) [[unlikely]] {
    return translate_error(packet, transport, way, nat, out) ? Sorted::ready : Sorted::gone;
  }
  way.address = one_to_one(*way.rules, ip.source, nat.plan);
  if (way.address != nullptr) {
    // Identifiers and ports stay as they are.
    way.port = transport.source_port;
    return Sorted::ready;
  }
  const unsigned owner = nat.plan.owner_of_inside(*way.rules, ip.source);
  if (owner != out.worker()) {
    out.handoff<Stage::route>(packet, owner);
    return Sorted::gone;
  }
  if (transport.fragment && !complete_fragment(packet, transport, way.id, nat, out))
    return Sorted::gone;
  if (transport.kind == TransportKind::other) [[unlikely]] {
    out.refuse(packet, DropReason::nat_protocol, refusal_of(*way.rules));
    return Sorted::gone;
  }
  return Sorted::session;
}

// The session of a packet, a new one if need be. False: refused.
bool settle(Packet<Side::inside> packet, const Transport& transport, const InsideFlow& flow,
            uint64_t hash, uint32_t candidate, Way& way, const NatContext& nat, Out out) {
  NatTable& table = nat.mine.table;
  NatSession* session = table.find(flow, hash, candidate);
  if (session != nullptr && session->rules != way.rules->serial) [[unlikely]] {
    if (!table.still_right(nat.plan, way.rules, *session, nat.now)) session = nullptr;
  }
  if (session == nullptr) [[unlikely]] {
    if (transport.kind == TransportKind::later_fragment) {
      out.drop(packet, DropReason::nat_fragment_lost);
      return false;
    }
    // An answer that nobody outside has asked for opens nothing (RFC 5508 REQ-1).
    if (transport.kind == TransportKind::icmp_query && !transport.from_asker) {
      out.refuse(packet, DropReason::nat_protocol, refusal_of(*way.rules));
      return false;
    }
    const auto opened = table.open(nat.plan, *way.rules, flow, nat.now);
    if (opened.session == nullptr) {
      out.refuse(packet, opened.reason, refusal_of(*way.rules));
      return false;
    }
    session = opened.session;
  }
  way.session = session;
  way.shares_address = true;
  way.port = session->outside_port;
  way.address = nat.plan.find(session->outside);
  if (way.address == nullptr) [[unlikely]] {
    out.refuse(packet, DropReason::nat_no_rule, refusal_of(*way.rules));
    return false;
  }
  return true;
}

}  // namespace

void leave_any(Burst<Side::inside> in, const NatContext& nat, Out out) {
  Scratch<PacketSlot*, kVector> slots;
  Scratch<Transport, kVector> transports;
  Scratch<Way, kVector> ways;
  Scratch<InsideFlow, kVector> flows;
  Scratch<uint64_t, kVector> hashes;
  Scratch<uint32_t, kVector> candidates;
  Scratch<unsigned, kVector> places;  // of those that are left
  Scratch<const FibRoot*, kVector> tables;
  Scratch<uint32_t, kVector> destinations;
  Scratch<HopId, kVector> hops;
  const NatTable& table = nat.mine.table;
  unsigned count = 0;
  for (const auto packet : in) {
    // Made where they stay: a copy would wait for the stores of its members.
    Transport& transport = *new (&transports[count]) Transport();
    read_transport(ip_of(packet), transport);
    Way& way = *new (&ways[count]) Way();
    const Sorted sorted = sort_out(packet, transport, way, nat, out);
    if (sorted == Sorted::gone) continue;
    slots[count] = &packet.slot();
    prefetch_counters(*way.rules, out.worker());
    if (sorted == Sorted::session) {
      new (&flows[count]) InsideFlow(flow_of(packet.slot(), ip_of(packet), transport));
      hashes[count] = flows[count].hash();
      table.prefetch(flows[count], hashes[count]);
    }
    ++count;
  }
  for (unsigned i = 0; i < count; ++i) {
    if (ways[i].address != nullptr) continue;
    candidates[i] = table.candidate(flows[i], hashes[i]);
    table.prefetch_session(candidates[i]);
  }
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    const Packet<Side::inside> packet(*slots[i]);
    Way& way = ways[i];
    if (way.address == nullptr &&
        !settle(packet, transports[i], flows[i], hashes[i], candidates[i], way, nat, out)) {
      continue;
    }
    places[left] = i;
    tables[left] = &nat.networks[way.address->network.value()].fib;
    destinations[left] = ip_of(packet).destination.value();
    ++left;
  }
  lookup_bulk(tables.data(), destinations.data(), hops.data(), left);
  for (unsigned i = 0; i < left; ++i) {
    const unsigned place = places[i];
    const Packet<Side::inside> packet(*slots[place]);
    const PublicAddress* ours = nat.plan.find(ip_of(packet).destination);
    const Way& way = ways[place];
    const OutsideNetwork& network = nat.networks[way.address->network.value()];
    leave(packet, *way.rules, network, hops[i], ours, nat, out,
          [&] { translate(packet, transports[place], way, network.mtu, nat); });
  }
}

NatSession* settle_plain(Packet<Side::inside> packet, const NatRules& rules, const NatContext& nat,
                         Out out) {
  const Transport transport = read_transport(ip_of(packet));
  const InsideFlow flow = flow_of(packet.slot(), ip_of(packet), transport);
  Way way;
  way.rules = &rules;
  const bool settled = settle(packet, transport, flow, flow.hash(), NatTable::kNone, way, nat, out);
  return settled ? way.session : nullptr;
}

}  // namespace hnv::nat_out
