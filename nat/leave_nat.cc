// SPDX-License-Identifier: Apache-2.0
//
// The NAT door, outbound: the packet leaves its compartment for an external network, under a public
// address.
//
// The inside endpoint has one public endpoint, whoever it talks to (RFC 4787 REQ-1). Static and
// one-to-one mappings go first, then the outbound rules. The worker that the inside address belongs
// to translates; what comes elsewhere is handed over.
//
// What goes to a public address of ours comes back in by the other door, as if from outside
// (REQ-9).
#include <algorithm>

#include "compartments/scratch.h"
#include "nat/leave_parts.h"
#include "nat/prefetch_rules.h"

namespace hnv {
namespace nat_out {
namespace {

// A plain packet (is_plain) on its way.
struct Plain {
  PacketSlot* slot = nullptr;
  const NatRules* rules = nullptr;
  uint64_t addresses = 0;
  uint32_t ports = 0;
  uint8_t protocol = 0;
  uint32_t candidate = NatTable::kNone;
  uint64_t hash = 0;
  NatSession* session = nullptr;
  const OutsideNetwork* network = nullptr;
};

// How many; 0, and nothing has happened: they are not all plain, and of rules that only have
// sessions.
unsigned read_plain(Burst<Side::inside> in, const NatContext& nat, Out out,
                    Scratch<Plain, kVector>& packets) {
  unsigned count = 0;
  for (const auto packet : in) {
    const wire::Ipv4& ip = ip_of(packet);
    const uint32_t compartment = packet.slot().compartment->id.value();
    const NatRules* rules = nat.plan.rules_of(CompartmentId(compartment));
    if (!is_plain(ip) || rules == nullptr || !rules->enabled || rules->has_one_to_one ||
        nat.plan.owner_of_inside(*rules, ip.source) != out.worker()) {
      return 0;
    }
    Plain& plain = packets[count++];
    plain.slot = &packet.slot();
    plain.rules = rules;
    plain.protocol = ip.protocol;
    plain.addresses = addresses_of(ip);
    plain.ports = ports_of_plain(ip);
    plain.hash = InsideFlow::hash_of(plain.addresses, plain.ports, compartment, plain.protocol);
    nat.mine.table.prefetch_inside(plain.hash);
  }
  return count;
}

void translate_plain(Packet<Side::inside> packet, NatSession& session, const NatRules& rules,
                     uint16_t outside_mtu, const NatContext& nat) {
  wire::Ipv4& ip = ip_of(packet);
  bool refreshes = true;
  if (session.protocol == wire::ip_protocol::kTcp) {
    const uint8_t flags = tcp_of_plain(ip).flags;
    refreshes = track(session, flags);
    if ((flags & wire::tcp_flag::kSyn) != 0) [[unlikely]] {
      clamp_mss(ip, read_transport(ip), mss_of(std::min(outside_mtu, rules.inner_mtu)));
    }
  }
  count(session, packet.bytes(), refreshes, nat);
  if (!ip.dont_fragment()) set_identification(ip, nat.mine.identifications.next());
  rewrite_plain(ip, Side4::source, session.outside, session.outside_port);
}

// The network that a session's packets go to; null: nobody has its public address any more.
const OutsideNetwork* network_of(const NatRules& rules, const NatSession& session,
                                 const NatContext& nat) {
  OutsideNetworkId id = rules.network;
  if (!id.valid()) {
    const PublicAddress* address = nat.plan.find(session.outside);
    if (address == nullptr) return nullptr;
    id = address->network;
  }
  return &nat.networks[id.value()];
}

// Plain packets, in order, each in the pass that its memory has been fetched for.
void leave_plain(unsigned count, Scratch<Plain, kVector>& packets, const NatContext& nat, Out out) {
  Scratch<const FibRoot*, kVector> tables;
  Scratch<uint32_t, kVector> destinations;
  Scratch<HopId, kVector> hops;
  NatTable& table = nat.mine.table;
  for (unsigned i = 0; i < count; ++i) {
    Plain& plain = packets[i];
    plain.candidate = table.candidate_inside(plain.hash);
    if (plain.candidate == NatTable::kNone) [[unlikely]] {
      const auto& ip = ip_of(Packet<Side::inside>(*plain.slot));
      table.prefetch_open({.inside = ip.source,
                           .port = split_ports(plain.ports).source,
                           .protocol = plain.protocol,
                           .compartment = plain.slot->compartment->id});
    }
    table.prefetch_session(plain.candidate);
    prefetch_counters(*plain.rules, out.worker());
  }
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    const Plain& plain = packets[i];
    NatSession* session = plain.candidate == NatTable::kNone ? nullptr : &table.at(plain.candidate);
    if (session == nullptr ||
        !session->is_inside(plain.addresses, plain.ports, plain.slot->compartment->id.value(),
                            plain.protocol) ||
        session->rules != plain.rules->serial) [[unlikely]] {
      session = settle_plain(Packet<Side::inside>(*plain.slot), *plain.rules, nat, out);
      if (session == nullptr) continue;
    }
    Plain& kept = packets[left] = plain;
    kept.session = session;
    kept.network = network_of(*kept.rules, *session, nat);
    if (kept.network == nullptr) [[unlikely]] {
      const Packet<Side::inside> packet(*kept.slot);
      out.refuse(packet, DropReason::nat_no_rule, refusal_of(*kept.rules));
      continue;
    }
    tables[left] = &kept.network->fib;
    destinations[left] = ip_of(Packet<Side::inside>(*kept.slot)).destination.value();
    ++left;
  }
  lookup_bulk(tables.data(), destinations.data(), hops.data(), left);
  for (unsigned i = 0; i < left; ++i) {
    const Plain& plain = packets[i];
    const Packet<Side::inside> packet(*plain.slot);
    const OutsideNetwork& network = *plain.network;
    const PublicAddress* ours = nat.plan.find(ip_of(packet).destination);
    leave(packet, *plain.rules, network, hops[i], ours, nat, out,
          [&] { translate_plain(packet, *plain.session, *plain.rules, network.mtu, nat); });
  }
}

}  // namespace
}  // namespace nat_out

void leave_nat(Burst<Side::inside> in, const NatContext& nat, Exit<Stage::leave_nat> out) {
  using namespace nat_out;
  for (const auto packet : in) {
    prefetch_rules(nat.plan.rules_of(packet.slot().compartment->id));
  }
  Scratch<Plain, kVector> packets;
  const unsigned plain = read_plain(in, nat, out, packets);
  if (plain > 0) [[likely]] {
    return leave_plain(plain, packets, nat, out);
  }
  leave_any(in, nat, out);
}

}  // namespace hnv
