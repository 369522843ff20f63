// SPDX-License-Identifier: Apache-2.0
//
// The IPsec door, outbound (RFC 4303, tunnel mode): the packet leaves its compartment through the
// tunnel of a connection.
//
//   inner IP  →  outer IP | [UDP] | ESP header | IV | inner IP, padding, trailer | ICV
//
// The tunnel's outbound SA says how. Its worker encrypts: a packet that is elsewhere is handed
// over, for a sequence number has one writer. The whole vector is decided upon first, so that a
// packet that is refused uses no number; then it is encrypted at once. What exceeds the tunnel's
// rate goes on, too, and waits before its port (vpn/shaper.h).
//
// What is too large for the tunnel is told so in its sender's own space: the outer packet is not
// fragmented here.
#include <algorithm>
#include <cstring>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"
#include "compartments/scratch.h"
#include "vpn/clamp_mss.h"
#include "vpn/ipsec_worker.h"
#include "vpn/selectors.h"

namespace hnv {
namespace {

using Out = Exit<Stage::leave_ipsec>;

constexpr uint8_t kIpv4InIpsec = 4;  // next headers of tunnel mode
constexpr uint8_t kIpv6InIpsec = 41;
constexpr uint64_t kLastSequence32 = 0xffffffff;
constexpr uint32_t kUdpChecksum = 6;

// What is known of a packet on its way out.
struct Leaving {
  PacketSlot* slot;
  const TunnelView* tunnel;
  const Sa* sa;
  const OutsideHop* way;
};

void drop(Packet<Side::inside> packet, const TunnelView& tunnel, DropReason reason, Out out) {
  TunnelCounters& mine = tunnel.drops[out.worker()];
  mine.out_dropped.add();
  mine.count(reason);
  out.drop(packet, reason);
}

// The sender is told, too.
void refuse(Packet<Side::inside> packet, const TunnelView& tunnel, DropReason reason, Out out) {
  TunnelCounters& mine = tunnel.drops[out.worker()];
  mine.out_dropped.add();
  mine.count(reason);
  out.refuse(packet, reason,
             packet.slot().family == Family::ipv4 ? IcmpError::host_unreachable()
                                                  : Icmp6Error::address_unreachable());
}

// No SA: the packet starts the tunnel and waits for it, where the operator wants that.
[[gnu::noinline]] void want(Packet<Side::inside> packet, const TunnelView& tunnel,
                            const IpsecContext& ipsec, Out out) {
  if (!tunnel.on_demand) return refuse(packet, tunnel, DropReason::ipsec_no_sa, out);
  PacketSlot& slot = packet.slot();
  ipsec.mine.tell(
      {.kind = IpsecNotice::Kind::wanted, .tunnel = tunnel.id, .tunnel_uid = tunnel.uid},
      tunnel.meters->asked_at, ipsec.now);
  slot.store();
  const Reentry waits{.mbuf = slot.mbuf,
                      .stage = Stage::route,
                      .handoffs = slot.handoffs,
                      .origin = origin_of(slot)};
  if (!ipsec.mine.waiters.add(tunnel, waits, ipsec.now)) {
    drop(packet, tunnel, DropReason::ipsec_no_sa, out);
  }
}

// Whose it is, and whether this worker may go on with it.
bool find_sa(Packet<Side::inside> packet, Leaving& leaving, const IpsecContext& ipsec, Out out) {
  const PacketSlot& slot = packet.slot();
  const TunnelView* tunnel = leaving.tunnel;
  // The view may be younger than the compartment's, for a moment.
  if (tunnel == nullptr || tunnel->compartment_uid != slot.compartment->uid) [[unlikely]] {
    out.drop(packet, DropReason::ipsec_tunnel_gone);
    return false;
  }
  if (tunnel->worker != out.worker()) {
    out.handoff<Stage::route>(packet, tunnel->worker);
    return false;
  }
  if (leaving.sa == nullptr || leaving.sa->state->keys == nullptr) [[unlikely]] {
    want(packet, *tunnel, ipsec, out);
    return false;
  }
  return true;
}

bool covered(Packet<Side::inside> packet, const Sa& sa) {
  if (packet.slot().family == Family::ipv4) {
    return sa.covers_all_ipv4 || covers(sa.spec, packet.at<wire::Ipv4>(0));
  }
  return sa.covers_all_ipv6 || covers(sa.spec, packet.at<wire::Ipv6>(0));
}

// Larger than what the tunnel carries. The packet was told so, or cut.
void too_big(Packet<Side::inside> packet, uint16_t mtu, Out out) {
  if (packet.slot().family == Family::ipv4) return out.too_big(packet, mtu);
  out.refuse(packet, DropReason::mtu_exceeded,
             Icmp6Error::packet_too_big(std::max(mtu, kIpv6MinimumMtu)));
}

void clamp(Packet<Side::inside> packet, uint16_t mtu) {
  if (packet.slot().family == Family::ipv4) {
    clamp_mss(packet.at<wire::Ipv4>(0), mtu);
  } else {
    clamp_mss(packet.at<wire::Ipv6>(0), mtu);
  }
}

// It is more than the rate at this moment. False: it is gone.
bool shape(Packet<Side::inside> packet, const TunnelView& tunnel, const IpsecContext& ipsec,
           Out out) {
  const auto verdict = ipsec.mine.shaper.shape(tunnel, SaDirection::outbound, packet.slot(),
                                               out.worker(), ipsec.now);
  if (verdict == Shaper::Verdict::goes) return true;
  tunnel.drops[out.worker()].out_rate_limited.add();
  drop(packet, tunnel, reason_of(verdict), out);
  return false;
}

// Everything that may refuse it. False: it is gone.
bool admit(Packet<Side::inside> packet, const Leaving& leaving, const IpsecContext& ipsec,
           Out out) {
  PacketSlot& slot = packet.slot();
  const TunnelView& tunnel = *leaving.tunnel;
  const Sa& sa = *leaving.sa;
  const OutsideNetwork& network = ipsec.outside[tunnel.network.value()];
  const uint16_t mtu = std::min(tunnel.largest_inner, sa.inner_mtu(network.mtu));
  if (slot.bytes > mtu) [[unlikely]] {
    too_big(packet, mtu, out);
    return false;
  }
  if (!covered(packet, sa)) [[unlikely]] {
    refuse(packet, tunnel, DropReason::ipsec_policy_mismatch, out);
    return false;
  }
  if (leaving.way == nullptr) [[unlikely]] {
    refuse(packet, tunnel, DropReason::ipsec_no_outside_route, out);
    return false;
  }
  // RFC 4303 §3.3.3: a number is never used again. charon was asked to rekey long before.
  if (!sa.extended && sa.state->sequence >= kLastSequence32) [[unlikely]] {
    ipsec.mine.tell({.kind = IpsecNotice::Kind::exhausted,
                     .tunnel = tunnel.id,
                     .tunnel_uid = tunnel.uid,
                     .sa_uid = sa.uid},
                    sa.state->told_at, ipsec.now);
    drop(packet, tunnel, DropReason::ipsec_sequence_exhausted, out);
    return false;
  }
  if (!Shaper::passes(tunnel.outbound, tunnel.meters->outbound, slot, ipsec.now) &&
      !shape(packet, tunnel, ipsec, out)) {
    return false;
  }
  clamp(packet, mtu);
  return true;
}

// RFC 4303 §2.4: padding 1, 2, 3, …, its length, the next header. Returns the bytes that are
// encrypted; 0: no room.
uint32_t write_trailer(PacketSlot& slot, const Sa& sa) {
  const uint32_t least = slot.bytes + 2;
  const uint32_t mask = sa.format.alignment - 1U;
  const uint32_t encrypted = (least + mask) & ~mask;
  const auto* end = static_cast<const uint8_t*>(slot.mbuf->buf_addr) + slot.mbuf->buf_len;
  if (slot.data + encrypted + sa.format.icv_bytes > end) [[unlikely]] {
    return 0;
  }
  uint8_t* at = slot.data + slot.bytes;
  const uint32_t padding = encrypted - least;
  for (uint32_t i = 1; i <= padding; ++i) *at++ = static_cast<uint8_t>(i);
  *at++ = static_cast<uint8_t>(padding);
  *at = slot.family == Family::ipv4 ? kIpv4InIpsec : kIpv6InIpsec;
  return encrypted;
}

void copy_header(uint8_t* front, const Sa& sa) {
  // Sizes that the compiler knows.
  constexpr size_t kIpv4 = sizeof(wire::Ipv4) + 4;
  constexpr size_t kIpv6 = sizeof(wire::Ipv6) + 4;
  if (!sa.outer_ipv6) {
    std::memcpy(front, sa.header.data(), kIpv4);
    if (sa.udp) std::memcpy(front + kIpv4, sa.header.data() + kIpv4, 8);
  } else {
    std::memcpy(front, sa.header.data(), kIpv6);
    if (sa.udp) std::memcpy(front + kIpv6, sa.header.data() + kIpv6, 8);
  }
}

void finish_ipv4(wire::Ipv4& ip, const Sa& sa, uint16_t bytes, uint8_t tos, bool dont_fragment) {
  const be16 length{bytes};
  // Unique while fragments live, should somebody on the way make some (RFC 6864).
  const be16 id{static_cast<uint16_t>(sa.state->sequence)};
  const be16 flags{dont_fragment ? wire::kDontFragment : uint16_t{0}};
  ip.total_length = length;
  ip.id = id;
  ip.fragment = flags;
  ip.tos = tos;
  ip.checksum = be16::from_raw(static_cast<uint16_t>(~checksum_fold(
      uint64_t{sa.header_sum} + length.raw() + id.raw() + flags.raw() + (uint32_t{tos} << 8))));
}

// Headers and trailer are written, the packet is ready for the cipher. False: no room, dropped.
bool wrap(Packet<Side::inside> packet, const Leaving& leaving, const IpsecContext& ipsec,
          EspJob& job, Out out) {
  PacketSlot& slot = packet.slot();
  const Sa& sa = *leaving.sa;
  const bool ipv4 = slot.family == Family::ipv4;
  const uint8_t inner_class =
      ipv4 ? packet.at<wire::Ipv4>(0).tos : packet.at<wire::Ipv6>(0).traffic_class();
  // RFC 4301 §8.1. IPv6 is never fragmented on its way.
  const bool dont_fragment = sa.copy_df && (!ipv4 || packet.at<wire::Ipv4>(0).dont_fragment());
  const uint32_t head = sa.esp_at + 8U + sa.format.iv_bytes;
  const uint32_t encrypted = write_trailer(slot, sa);
  uint8_t* front = encrypted == 0 ? nullptr : slot.prepend(head);
  if (front == nullptr) [[unlikely]] {
    drop(packet, *leaving.tunnel, DropReason::no_headroom, out);
    return false;
  }
  slot.bytes = head + encrypted + sa.format.icv_bytes;
  const uint64_t sequence = ++sa.state->sequence;
  uint8_t* esp = front + sa.esp_at;
  copy_header(front, sa);
  const be32 low{static_cast<uint32_t>(sequence)};
  std::memcpy(esp + 4, &low, sizeof low);
  if (sa.random_iv) {
    ipsec.mine.cipher.random_iv(esp + 8, sa.format.iv_bytes);
  } else {
    // RFC 4106 §3.1: never twice under a key.
    const be64 iv{sequence};
    std::memcpy(esp + 8, &iv, sizeof iv);
  }
  const auto tos = static_cast<uint8_t>(inner_class & sa.class_bits);
  if (!sa.outer_ipv6) {
    finish_ipv4(*reinterpret_cast<wire::Ipv4*>(front), sa, static_cast<uint16_t>(slot.bytes), tos,
                dont_fragment);
  } else {
    auto& ip = *reinterpret_cast<wire::Ipv6*>(front);
    ip.payload_length = be16{static_cast<uint16_t>(slot.bytes - sizeof ip)};
    ip.set_traffic_class(tos);
  }
  if (sa.udp) {
    const be16 length{static_cast<uint16_t>(slot.bytes - sa.esp_at + 8U)};
    std::memcpy(esp - 4, &length, sizeof length);
  }
  job = {.keys = sa.state->keys.get(),
         .esp = esp,
         .bytes = encrypted,
         .sequence_high = static_cast<uint32_t>(sequence >> 32)};
  return true;
}

// IPv6 wants UDP's checksum (RFC 8200 §8.1), IPv4 wants none (RFC 3948 §2.1).
void set_udp_checksum(uint8_t* front, uint32_t bytes) {
  const auto& ip = *reinterpret_cast<const wire::Ipv6*>(front);
  uint8_t* udp = front + sizeof ip;
  const auto sum = static_cast<uint16_t>(
      ~checksum_fold(checksum_sum6(ip.source, ip.destination, wire::ip_protocol::kUdp, udp,
                                   bytes - static_cast<uint32_t>(sizeof ip))));
  const be16 checksum = be16::from_raw(sum == 0 ? uint16_t{0xffff} : sum);
  std::memcpy(udp + kUdpChecksum, &checksum, sizeof checksum);
}

// It is encrypted: to the next hop outside.
void leave(const Leaving& leaving, uint32_t inner_bytes, const IpsecContext& ipsec, Out out) {
  const Packet<Side::inside> packet(*leaving.slot);
  PacketSlot& slot = *leaving.slot;
  const TunnelView& tunnel = *leaving.tunnel;
  const Sa& sa = *leaving.sa;
  const OutsideNetwork& network = ipsec.outside[tunnel.network.value()];
  if (sa.outer_ipv6 && sa.udp) set_udp_checksum(slot.data, slot.bytes);
  sa.state->count(inner_bytes, ipsec.now);
  ConnectionCounters& traffic = tunnel.traffic[out.worker()];
  traffic.out_packets.add();
  traffic.out_bytes.add(inner_bytes);
  // Outside it is nobody's: nothing that becomes of it there may reach a compartment.
  slot.attachment = network.attachment;
  slot.connection = ConnectionId();
  slot.compartment = nullptr;
  out.set_family(packet, sa.outer_ipv6 ? Family::ipv6 : Family::ipv4);
  const CaKey key = sa.outer_ipv6 ? CaKey(sa.outer_v6().destination, Family::ipv6)
                                  : CaKey(CaAddress(sa.outer_v4().destination.value()));
  const OutsideNext next = outside_next(network, *leaving.way, key, ipsec.links, ipsec.next_hops);
  if (next.ask) {
    if (sa.outer_ipv6) {
      slot.next_hop6 = &packet.at<wire::Ipv6>(0).destination;
    } else {
      slot.destination = sa.outer_v4().destination.value();
    }
    return out.punt(packet);
  }
  if (next.failed) return drop(packet, tunnel, DropReason::next_hop_failed, out);
  out.to<Stage::rewrite>(out.leave(packet, next.hop));
}

// Each packet's way to its site, all at once. Null where the network has no route there.
void find_ways(Leaving* leaving, unsigned count, const IpsecContext& ipsec) {
  Scratch<const FibRoot*, kVector> tables;
  Scratch<uint32_t, kVector> destinations;
  Scratch<Leaving*, kVector> asking;
  Scratch<HopId, kVector> hops;
  unsigned asked = 0;
  for (unsigned i = 0; i < count; ++i) {
    const OutsideNetwork& network = ipsec.outside[leaving[i].tunnel->network.value()];
    const Sa& sa = *leaving[i].sa;
    leaving[i].way = nullptr;
    if (!sa.outer_ipv6) {
      tables[asked] = &network.fib;
      destinations[asked] = sa.outer_v4().destination.value();
      asking[asked++] = &leaving[i];
    } else if (network.fib6 != nullptr) {
      const HopId hop = network.fib6->lookup(CaAddress6(sa.outer_v6().destination));
      if (hop.valid()) leaving[i].way = &network.hops6[hop.value()];
    }
  }
  lookup_bulk(tables.data(), destinations.data(), hops.data(), asked);
  for (unsigned i = 0; i < asked; ++i) {
    const OutsideNetwork& network = ipsec.outside[asking[i]->tunnel->network.value()];
    if (hops[i].valid()) asking[i]->way = &network.hops[hops[i].value()];
  }
}

// Tunnel and SA of each packet; what the next passes touch of them is fetched.
void find_tunnels(Burst<Side::inside> in, Leaving* leaving, const IpsecContext& ipsec,
                  unsigned worker) {
  const unsigned count = in.size();
  for (unsigned i = 0; i < count; ++i) {
    __builtin_prefetch(&in[i].slot().compartment->connection(in[i].slot().connection));
  }
  for (unsigned i = 0; i < count; ++i) {
    const PacketSlot& slot = in[i].slot();
    const TunnelId id = slot.compartment->connection(slot.connection).tunnel;
    __builtin_prefetch(ipsec.plan.tunnels.address(id.value()));
    __builtin_prefetch(ipsec.plan.sas.outbound.address(size_t{id.value()} + 1));
  }
  for (unsigned i = 0; i < count; ++i) {
    PacketSlot& slot = in[i].slot();
    const TunnelId id = slot.compartment->connection(slot.connection).tunnel;
    leaving[i] = {.slot = &slot,
                  .tunnel = ipsec.plan.tunnels[id.value()].get(),
                  .sa = ipsec.plan.sas.outbound[size_t{id.value()} + 1].get(),
                  .way = nullptr};
    __builtin_prefetch(leaving[i].tunnel);
    if (leaving[i].sa != nullptr) leaving[i].sa->prefetch();
  }
  for (unsigned i = 0; i < count; ++i) {
    if (leaving[i].sa != nullptr) __builtin_prefetch(leaving[i].sa->state, 1);
    if (leaving[i].tunnel == nullptr) continue;
    __builtin_prefetch(&leaving[i].tunnel->meters->outbound, 1);
    __builtin_prefetch(&leaving[i].tunnel->traffic[worker], 1);
  }
}

}  // namespace

void leave_ipsec(Burst<Side::inside> in, const IpsecContext& ipsec, Exit<Stage::leave_ipsec> out) {
  Scratch<Leaving, kVector> leaving;
  Scratch<EspJob, kVector> jobs;
  Scratch<uint32_t, kVector> inner_bytes;
  find_tunnels(in, leaving.data(), ipsec, out.worker());
  unsigned count = 0;
  for (unsigned i = 0; i < in.size(); ++i) {
    Leaving one = leaving[i];
    if (!find_sa(in[i], one, ipsec, out)) continue;
    leaving[count++] = one;
  }
  for (unsigned i = 0; i < count; ++i) __builtin_prefetch(leaving[i].sa->state->keys.get());
  find_ways(leaving.data(), count, ipsec);
  unsigned ready = 0;
  for (unsigned i = 0; i < count; ++i) {
    const Leaving one = leaving[i];
    const Packet<Side::inside> packet(*one.slot);
    if (!admit(packet, one, ipsec, out)) continue;
    inner_bytes[ready] = one.slot->bytes;
    if (!wrap(packet, one, ipsec, jobs[ready], out)) continue;
    leaving[ready++] = one;
  }
  ipsec.mine.cipher.seal(jobs.data(), ready);
  for (unsigned i = 0; i < ready; ++i) leave(leaving[i], inner_bytes[i], ipsec, out);
}

}  // namespace hnv
