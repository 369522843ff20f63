// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of the outbound NAT door share: leave_nat.cc for plain packets of sessions,
// leave_nat_any.cc for everything else.
#pragma once

#include <optional>

#include "nat/hairpin.h"
#include "nat/nat_worker.h"

namespace hnv::nat_out {

using Out = Exit<Stage::leave_nat>;

inline wire::Ipv4& ip_of(Packet<Side::inside> packet) { return packet.at<wire::Ipv4>(0); }

inline IcmpError refusal_of(const NatRules& rules) {
  return rules.refusal == NatRefusal::host_prohibited ? IcmpError::host_prohibited()
                                                      : IcmpError::administratively_prohibited();
}

// The next hop outside; nothing when the packet has been refused.
inline std::optional<OutsideNext> next_hop(Packet<Side::inside> packet,
                                           const OutsideNetwork& network, HopId found,
                                           const NatContext& nat, Out out) {
  if (!found.valid()) {
    out.refuse(packet, DropReason::nat_no_outside_route, IcmpError::net_unreachable());
    return std::nullopt;
  }
  const CaKey destination(CaAddress(ip_of(packet).destination.value()));
  const OutsideNext next =
      outside_next(network, network.hops[found.value()], destination, nat.links, nat.next_hops);
  if (!next.failed) return next;
  out.refuse(packet, DropReason::next_hop_failed, IcmpError::host_unreachable());
  return std::nullopt;
}

// A TCP segment of the session. Whether it prolongs it.
inline bool track(NatSession& session, uint8_t flags) {
  const bool refreshes = outbound_refreshes(session.state, flags);
  session.state = after_segment(session.state, flags, true);
  return refreshes;
}

inline void count(NatSession& session, uint32_t bytes, bool refreshes, const NatContext& nat) {
  if (refreshes) session.last_used = nat_tick(nat.now);
  ++session.out_packets;
  session.out_bytes += bytes;
}

// Everything is decided: MTU, next hop, translation, and out. `ours`: the destination, if it is a
// public address, too.
template <class Translate>
void leave(Packet<Side::inside> packet, const NatRules& rules, const OutsideNetwork& network,
           HopId found, const PublicAddress* ours, const NatContext& nat, Out out,
           Translate&& translate) {
  PacketSlot& slot = packet.slot();
  std::optional<OutsideNext> next;
  if (ours != nullptr) {
    if (!rules.hairpin) {
      return out.refuse(packet, DropReason::nat_hairpin_off, refusal_of(rules));
    }
  } else {
    if (slot.bytes > network.mtu) [[unlikely]] {
      return out.too_big(packet, network.mtu);
    }
    next = next_hop(packet, network, found, nat, out);
    if (!next) return;
  }
  translate();
  NatCounters& counters = rules.counters[out.worker()];
  counters.out_packets.add();
  counters.out_bytes.add(slot.bytes);
  if (ours != nullptr)
    return hairpin(packet, nat.networks[ours->network.value()], wire::ether_type::kIpv4, nat, out);
  // Outside it is nobody's: nothing that becomes of it there may reach a compartment.
  slot.attachment = network.attachment;
  slot.connection = ConnectionId();
  slot.compartment = nullptr;
  if (next->ask) {
    slot.destination = ip_of(packet).destination.value();
    return out.punt(packet);
  }
  out.to<Stage::rewrite>(out.leave(packet, next->hop));
}

// Packets of every kind, in order.
void leave_any(Burst<Side::inside> in, const NatContext& nat, Out out);
// The session of a plain packet, a new one if need be. Null: refused.
[[nodiscard]] NatSession* settle_plain(Packet<Side::inside> packet, const NatRules& rules,
                                       const NatContext& nat, Out out);

}  // namespace hnv::nat_out
