// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the inbound NAT door share: enter_nat.cc for plain packets of sessions,
// enter_nat_any.cc for everything else.
#pragma once

#include <cassert>

#include "nat/nat_worker.h"

namespace hnv::nat_in {

using Out = Exit<Stage::enter_nat>;

inline wire::Ipv4& ip_of(Packet<Side::outside> packet) {
  return packet.at<wire::Ipv4>(packet.slot().l2_bytes);
}

inline bool was_hairpinned(const PacketSlot& slot) { return slot.ingress == Ingress::nat; }

inline const PublicAddress& address_of(const PacketSlot& slot, const NatPlan& plan) {
  return plan.public_addresses[slot.public_address];
}

inline OutsideFlow flow_of(const wire::Ipv4& ip, const Transport& transport) {
  return {
      .address = ip.destination,
      .remote = ip.source,
      .port = transport.destination_port,
      .remote_port = transport.kind == TransportKind::icmp_query ? be16{0} : transport.source_port,
      .protocol = transport.protocol};
}

// The headers are rewritten; into the compartment.
inline void enter(Packet<Side::outside> packet, const CompartmentView& tenant,
                  const NatRules& rules, be32 inside, Out out) {
  PacketSlot& slot = packet.slot();
  const uint16_t length = ip_of(packet).total_length.value();
  slot.destination = inside.value();
  slot.ingress = Ingress::nat;
  slot.strip(slot.l2_bytes);
  slot.bytes = length;
  NatCounters& counters = rules.counters[out.worker()];
  counters.in_packets.add();
  counters.in_bytes.add(length);
  out.to<Stage::route>(out.enter(packet, tenant));
}

inline const CompartmentView* tenant_of(const NatContext& nat, const NatRules* rules) {
  if (rules == nullptr || !rules->enabled) return nullptr;
  const CompartmentView* view = nat.compartments[rules->compartment.value()].get();
  // Rules are compiled with their domain: its number is not another one's while they are enabled.
  assert(view != nullptr && view->uid == rules->compartment_uid);
  return view;
}

inline void count(NatSession& session, uint32_t bytes, const NatContext& nat) {
  if (inbound_refreshes(session.protocol, session.state)) session.last_used = nat_tick(nat.now);
  ++session.in_packets;
  session.in_bytes += bytes;
}

// The worker that must see it: the owner of what is published, or of the port.
[[nodiscard]] inline unsigned owner_of(const NatPlan& plan, const PublicAddress& address,
                                       uint8_t protocol, be16 port, unsigned mine) {
  if (plan.workers == 1) return mine;
  if (const StaticMapping* published = plan.static_at(address.address, protocol, port)) {
    const NatRules* rules = plan.rules_of(published->compartment);
    return rules == nullptr ? mine : plan.owner_of_inside(*rules, published->inside);
  }
  const PortSpace* space = address.space_of(port.value());
  return space == nullptr ? mine : plan.owner_of_port(*space, port.value());
}

// Packets of every kind, in order.
void enter_any(Burst<Side::outside> in, const NatContext& nat, Out out);
// A plain packet whose session has to be looked for, or made.
void enter_one(Packet<Side::outside> packet, const NatContext& nat, Out out);

}  // namespace hnv::nat_in
