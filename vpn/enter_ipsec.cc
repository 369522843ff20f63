// SPDX-License-Identifier: Apache-2.0
//
// The IPsec door, inbound (RFC 4303, tunnel mode): a site sends to one of our VPN addresses.
//
//   outer Eth | outer IP | [UDP] | ESP header | IV | inner IP, padding, trailer | ICV   →   inner
//   IP
//
// The SPI chooses the SA, and that the tunnel and its compartment; nothing in the inner packet may
// influence that choice. SPIs are ours, so the lower half of one is a place in a table. The
// tunnel's worker decrypts: what comes up elsewhere is handed over as it came.
//
// In this order (§3.4): the window says whether the number is new, the ICV whether the packet is
// the site's, the window again takes the number; then the inner packet is looked at: padding,
// header, selectors, and whether its source is reached through this tunnel. What exceeds the
// tunnel's rate goes on, too, and waits before its port (vpn/shaper.h).
#include <algorithm>
#include <cstring>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "compartments/ip6_checks.h"
#include "compartments/ip_checks.h"
#include "compartments/reverse_path.h"
#include "compartments/scratch.h"
#include "vpn/charon/sa_protocol.h"
#include "vpn/clamp_mss.h"
#include "vpn/ipsec_worker.h"
#include "vpn/selectors.h"

namespace hnv {
namespace {

using Out = Exit<Stage::enter_ipsec>;

constexpr uint32_t kUdpBytes = 8;
constexpr uint8_t kIpv4InIpsec = 4;  // next headers of tunnel mode
constexpr uint8_t kIpv6InIpsec = 41;
constexpr uint8_t kDummy = 59;
constexpr uint32_t kTrailer = 2;  // pad length, next header

// What is known of a packet on its way in.
struct Entering {
  PacketSlot* slot;
  const TunnelView* tunnel;
  const Sa* sa;
  uint64_t sequence;
};

void drop(Packet<Side::outside> packet, const TunnelView& tunnel, DropReason reason, Out out) {
  TunnelCounters& mine = tunnel.drops[out.worker()];
  mine.in_dropped.add();
  mine.count(reason);
  out.drop(packet, reason);
}

// From the ESP header to the end of the IP packet; what Ethernet padded is not part of it.
uint32_t esp_bytes(Packet<Side::outside> packet) {
  const PacketSlot& slot = packet.slot();
  const uint32_t total = slot.family == Family::ipv4
                             ? packet.at<wire::Ipv4>(slot.l2_bytes).total_length.value()
                             : packet.at<wire::Ipv6>(slot.l2_bytes).total_length();
  return total + slot.l2_bytes - slot.inner_at;
}

uint32_t spi_of(Packet<Side::outside> packet) {
  return packet.at<be32>(packet.slot().inner_at).value();
}

bool is_for(const Sa& sa, Packet<Side::outside> packet) {
  const PacketSlot& slot = packet.slot();
  if (sa.local.family() != slot.family) return false;
  if (slot.family == Family::ipv4) {
    return packet.at<wire::Ipv4>(slot.l2_bytes).destination.value() == sa.local.v4().value();
  }
  return packet.at<wire::Ipv6>(slot.l2_bytes).destination == sa.local.bytes();
}

// The SA, its tunnel and compartment belong together, and to where the packet came in. False: it
// has been dropped or handed over.
bool bind(Packet<Side::outside> packet, Entering& entering, const IpsecContext& ipsec, Out out) {
  PacketSlot& slot = packet.slot();
  const Sa& sa = *entering.sa;
  const TunnelView* tunnel = entering.tunnel;
  const bool known = sa.spi == spi_of(packet) && is_for(sa, packet) && sa.state->keys != nullptr;
  if (!known || (tunnel != nullptr && ipsec.outside[tunnel->network.value()].attachment !=
                                          slot.attachment)) [[unlikely]] {
    out.drop(packet, DropReason::ipsec_unknown_spi);
    return false;
  }
  const CompartmentView* tenant =
      tunnel == nullptr ? nullptr : ipsec.compartments[tunnel->compartment.value()].get();
  if (tenant == nullptr || tenant->uid != tunnel->compartment_uid) [[unlikely]] {
    out.drop(packet, DropReason::ipsec_tunnel_gone);
    return false;
  }
  if (tunnel->worker != out.worker()) {
    out.handoff<Stage::classify>(packet, tunnel->worker);
    return false;
  }
  slot.compartment = tenant;
  slot.in_connection = tunnel->connection;
  return true;
}

// Its length and number. False: it has been dropped.
bool check(Packet<Side::outside> packet, Entering& entering, EspJob& job, Out out) {
  PacketSlot& slot = packet.slot();
  const Sa& sa = *entering.sa;
  const uint32_t bytes = esp_bytes(packet);
  const uint32_t around = 8U + sa.format.iv_bytes + sa.format.icv_bytes;
  const uint32_t encrypted = bytes - around;
  if (bytes < around + kTrailer || (encrypted & (sa.format.alignment - 1U)) != 0) [[unlikely]] {
    drop(packet, *entering.tunnel, DropReason::ipsec_short, out);
    return false;
  }
  const uint32_t low = packet.at<be32>(slot.inner_at + 4U).value();
  const ReplayWindow& window = sa.state->window;
  entering.sequence = sa.extended ? window.extend(low) : low;
  if (window.check(entering.sequence) != ReplayWindow::Verdict::fresh) [[unlikely]] {
    drop(packet, *entering.tunnel, DropReason::ipsec_replayed, out);
    return false;
  }
  job = {.keys = sa.state->keys.get(),
         .esp = slot.data + slot.inner_at,
         .bytes = encrypted,
         .sequence_high = static_cast<uint32_t>(entering.sequence >> 32)};
  return true;
}

// From which port of UDP its packets are expected. REQUIRES that they come in UDP.
be16 port_of(const Sa& sa) {
  be16 port;
  std::memcpy(&port, sa.header.data() + sa.esp_at - kUdpBytes, sizeof port);
  return port;
}

// RFC 7296 §2.23: the site's NAT may give it another address or port at any time; where its newest
// authentic packet comes from is where it is now.
void note_place(Packet<Side::outside> packet, const Entering& entering, const IpsecContext& ipsec) {
  const PacketSlot& slot = packet.slot();
  const Sa& sa = *entering.sa;
  if (!sa.udp || entering.sequence != sa.state->window.top()) return;
  const bool ipv4 = slot.family == Family::ipv4;
  const uint32_t udp = slot.inner_at - kUdpBytes;
  const uint32_t ip_end =
      slot.l2_bytes + (ipv4 ? packet.at<wire::Ipv4>(slot.l2_bytes).header_bytes()
                            : static_cast<uint32_t>(sizeof(wire::Ipv6)));
  if (slot.inner_at == ip_end) return;  // it came without UDP
  const be16 port = packet.at<be16>(udp);
  const be16 expected = port_of(sa);
  const bool there = port == expected &&
                     (ipv4 ? packet.at<wire::Ipv4>(slot.l2_bytes).source == sa.outer_v4().source
                           : packet.at<wire::Ipv6>(slot.l2_bytes).source == sa.outer_v6().source);
  if (there) [[likely]] {
    return;
  }
  SaEndpoint seen;
  seen.port = port.value();
  if (ipv4) {
    seen.address = Ip4<Space::external>(packet.at<wire::Ipv4>(slot.l2_bytes).source.value());
  } else {
    seen.address = Ip6<Space::external>(packet.at<wire::Ipv6>(slot.l2_bytes).source);
  }
  ipsec.mine.tell({.kind = IpsecNotice::Kind::moved,
                   .tunnel = entering.tunnel->id,
                   .tunnel_uid = entering.tunnel->uid,
                   .sa_uid = sa.uid,
                   .remote = seen},
                  sa.state->told_at, ipsec.now);
}

// RFC 4303 §2.4: the padding that a sender writes unless its cipher says otherwise; none does.
bool padding_right(const uint8_t* behind, uint32_t count) {
  const uint8_t* at = behind - count;
  for (uint32_t i = 0; i < count; ++i) {
    if (at[i] != i + 1) return false;
  }
  return true;
}

bool ipv4_right(Packet<Side::outside> packet, uint32_t available, DropReason& reason) {
  const auto& ip = packet.at<wire::Ipv4>(0);
  if (available < sizeof ip || !ipv4_header_fits(ip, available)) {
    reason = DropReason::inner_bad_header;
  } else if (!checksum_right(ip)) {
    reason = DropReason::inner_bad_checksum;
  } else if (is_martian_source(ip.source.value())) {
    reason = DropReason::inner_bad_source;
  } else {
    return true;
  }
  return false;
}

bool ipv6_right(Packet<Side::outside> packet, uint32_t available, DropReason& reason) {
  const auto& ip = packet.at<wire::Ipv6>(0);
  if (available < sizeof ip || !ipv6_header_fits(ip, available)) {
    reason = DropReason::inner_bad_header;
  } else if (is_martian_source6(ip.source)) {
    reason = DropReason::inner_bad_source;
  } else {
    return true;
  }
  return false;
}

// RFC 6040 §4.2. False: the packet must go.
bool take_over_mark(Packet<Side::outside> packet, uint8_t outer, bool ipv4) {
  const uint8_t inner =
      ipv4 ? packet.at<wire::Ipv4>(0).tos : packet.at<wire::Ipv6>(0).traffic_class();
  const auto mark = decapsulated_ecn(outer & kEcnMask, inner & kEcnMask);
  if (!mark) return false;
  if (*mark == (inner & kEcnMask)) return true;
  const auto changed = static_cast<uint8_t>((inner & ~kEcnMask) | *mark);
  if (ipv4) {
    set_tos(packet.at<wire::Ipv4>(0), changed);
  } else {
    packet.at<wire::Ipv6>(0).set_traffic_class(changed);
  }
  return true;
}

// The decrypted packet: what is around it comes off. False: it is gone.
bool unwrap(Packet<Side::outside> packet, const Entering& entering, const EspJob& job, Out out) {
  PacketSlot& slot = packet.slot();
  const TunnelView& tunnel = *entering.tunnel;
  const Sa& sa = *entering.sa;
  const uint8_t outer_class = slot.family == Family::ipv4
                                  ? packet.at<wire::Ipv4>(slot.l2_bytes).tos
                                  : packet.at<wire::Ipv6>(slot.l2_bytes).traffic_class();
  uint8_t* payload = job.esp + 8 + sa.format.iv_bytes;
  const uint8_t* trailer = payload + job.bytes - kTrailer;
  const uint32_t padding = trailer[0];
  if (padding + kTrailer > job.bytes || !padding_right(trailer, padding)) [[unlikely]] {
    drop(packet, tunnel, DropReason::ipsec_bad_padding, out);
    return false;
  }
  if (trailer[1] == kDummy) [[unlikely]] {
    out.consume(packet, ConsumeReason::esp_dummy);
    return false;
  }
  if (trailer[1] != kIpv4InIpsec && trailer[1] != kIpv6InIpsec) [[unlikely]] {
    drop(packet, tunnel, DropReason::ipsec_next_header, out);
    return false;
  }
  const bool ipv4 = trailer[1] == kIpv4InIpsec;
  const uint32_t available = job.bytes - kTrailer - padding;
  slot.data = payload;
  slot.bytes = available;
  DropReason reason{};
  if (ipv4 ? !ipv4_right(packet, available, reason) : !ipv6_right(packet, available, reason))
      [[unlikely]] {
    drop(packet, tunnel, reason, out);
    return false;
  }
  // What lies behind the packet hides its length (§2.7).
  slot.bytes = ipv4 ? packet.at<wire::Ipv4>(0).total_length.value()
                    : packet.at<wire::Ipv6>(0).total_length();
  if (sa.copy_ecn && (outer_class & kEcnMask) != 0 && !take_over_mark(packet, outer_class, ipv4))
      [[unlikely]] {
    drop(packet, tunnel, DropReason::ecn_congestion, out);
    return false;
  }
  out.set_family(packet, ipv4 ? Family::ipv4 : Family::ipv6);
  const bool covered = ipv4 ? sa.covers_all_ipv4 || covers(sa.spec, packet.at<wire::Ipv4>(0))
                            : sa.covers_all_ipv6 || covers(sa.spec, packet.at<wire::Ipv6>(0));
  if (!covered) [[unlikely]] {
    drop(packet, tunnel, DropReason::ipsec_policy_mismatch, out);
    return false;
  }
  return true;
}

// Where the compartment would look for each source, all at once.
void find_sources(const Entering* entering, HopId* hops, unsigned count) {
  Scratch<const FibRoot*, kVector> tables;
  Scratch<uint32_t, kVector> sources;
  Scratch<unsigned, kVector> places;
  Scratch<HopId, kVector> found;
  unsigned asked = 0;
  for (unsigned i = 0; i < count; ++i) {
    const Packet<Side::outside> packet(*entering[i].slot);
    const CompartmentView& tenant = *entering[i].slot->compartment;
    if (entering[i].slot->family == Family::ipv6) {
      hops[i] = tenant.fib6->lookup(CaAddress6(packet.at<wire::Ipv6>(0).source));
      continue;
    }
    tables[asked] = &tenant.fib;
    sources[asked] = packet.at<wire::Ipv4>(0).source.value();
    places[asked++] = i;
  }
  lookup_bulk(tables.data(), sources.data(), found.data(), asked);
  for (unsigned i = 0; i < asked; ++i) hops[places[i]] = found[i];
}

// It is more than the rate at this moment. False: it is gone.
bool shape(Packet<Side::outside> packet, const TunnelView& tunnel, const IpsecContext& ipsec,
           Out out) {
  const auto verdict =
      ipsec.mine.shaper.shape(tunnel, SaDirection::inbound, packet.slot(), out.worker(), ipsec.now);
  if (verdict == Shaper::Verdict::goes) return true;
  tunnel.drops[out.worker()].in_rate_limited.add();
  drop(packet, tunnel, reason_of(verdict), out);
  return false;
}

void enter(Packet<Side::outside> packet, const Entering& entering, HopId source_hop,
           const IpsecContext& ipsec, Out out) {
  PacketSlot& slot = packet.slot();
  const TunnelView& tunnel = *entering.tunnel;
  const CompartmentView& tenant = *slot.compartment;
  if (source_hop.valid() && is_nobodys_source(tenant.hop(source_hop).kind)) [[unlikely]] {
    return drop(packet, tunnel, DropReason::inner_bad_source, out);
  }
  if (!reached_through(tenant, source_hop, tunnel.connection)) [[unlikely]] {
    return drop(packet, tunnel, DropReason::ipsec_source_not_routed, out);
  }
  const uint16_t mtu = std::min(tunnel.largest_inner,
                                entering.sa->inner_mtu(ipsec.outside[tunnel.network.value()].mtu));
  if (slot.family == Family::ipv4) {
    auto& ip = packet.at<wire::Ipv4>(0);
    slot.destination = ip.destination.value();
    clamp_mss(ip, mtu);
  } else {
    clamp_mss(packet.at<wire::Ipv6>(0), mtu);
  }
  slot.ingress = Ingress::ipsec;
  if (!Shaper::passes(tunnel.inbound, tunnel.meters->inbound, slot, ipsec.now) &&
      !shape(packet, tunnel, ipsec, out)) {
    return;
  }
  ConnectionCounters& traffic = tunnel.traffic[out.worker()];
  traffic.in_packets.add();
  traffic.in_bytes.add(slot.bytes);
  out.to<Stage::route>(out.enter(packet, tenant));
}

// The SA of each packet by its SPI, and its tunnel; what the next passes touch is fetched. Returns
// how many are left.
unsigned find_sas(Burst<Side::outside> in, Entering* entering, const IpsecContext& ipsec, Out out) {
  const auto& inbound = ipsec.plan.sas.inbound;
  for (const auto packet : in) {
    __builtin_prefetch(inbound.address(sa_protocol::index_of_spi(spi_of(packet))));
  }
  unsigned found = 0;
  for (const auto packet : in) {
    const Sa* sa = inbound[sa_protocol::index_of_spi(spi_of(packet))].get();
    if (sa == nullptr) [[unlikely]] {
      out.drop(packet, DropReason::ipsec_unknown_spi);
      continue;
    }
    sa->prefetch();
    entering[found++] = {.slot = &packet.slot(), .tunnel = nullptr, .sa = sa, .sequence = 0};
  }
  for (unsigned i = 0; i < found; ++i) {
    __builtin_prefetch(entering[i].sa->state, 1);
    __builtin_prefetch(ipsec.plan.tunnels.address(entering[i].sa->if_id - 1));
  }
  for (unsigned i = 0; i < found; ++i) {
    const TunnelView* tunnel = ipsec.plan.tunnel_of(*entering[i].sa);
    entering[i].tunnel = tunnel;
    __builtin_prefetch(tunnel);
    __builtin_prefetch(reinterpret_cast<const uint8_t*>(tunnel) + 64);
    const EspKeys* keys = entering[i].sa->state->keys.get();
    __builtin_prefetch(&entering[i].sa->state->window, 1);
    __builtin_prefetch(keys);
  }
  return found;
}

}  // namespace

void enter_ipsec(Burst<Side::outside> in, const IpsecContext& ipsec, Exit<Stage::enter_ipsec> out) {
  Scratch<Entering, kVector> entering;
  Scratch<EspJob, kVector> jobs;
  Scratch<HopId, kVector> hops;
  bool good[kVector];  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const unsigned found = find_sas(in, entering.data(), ipsec, out);
  for (unsigned i = 0; i < found; ++i) {
    const TunnelView* tunnel = entering[i].tunnel;
    if (tunnel == nullptr) continue;
    prefetch_view(ipsec.compartments[tunnel->compartment.value()].get());
    __builtin_prefetch(&tunnel->meters->inbound, 1);
    __builtin_prefetch(&tunnel->traffic[out.worker()], 1);
  }
  unsigned count = 0;
  for (unsigned i = 0; i < found; ++i) {
    Entering one = entering[i];
    const Packet<Side::outside> packet(*one.slot);
    if (!bind(packet, one, ipsec, out) || !check(packet, one, jobs[count], out)) continue;
    entering[count++] = one;
  }
  ipsec.mine.cipher.open(jobs.data(), count, good);
  unsigned left = 0;
  for (unsigned i = 0; i < count; ++i) {
    const Entering one = entering[i];
    const Packet<Side::outside> packet(*one.slot);
    if (!good[i]) [[unlikely]] {
      drop(packet, *one.tunnel, DropReason::ipsec_bad_icv, out);
      continue;
    }
    if (!one.sa->state->window.accept(one.sequence)) [[unlikely]] {
      drop(packet, *one.tunnel, DropReason::ipsec_replayed, out);
      continue;
    }
    note_place(packet, one, ipsec);
    if (!unwrap(packet, one, jobs[i], out)) continue;
    one.sa->state->count(one.slot->bytes, ipsec.now);
    entering[left++] = one;
  }
  find_sources(entering.data(), hops.data(), left);
  for (unsigned i = 0; i < left; ++i) {
    if (hops[i].valid()) __builtin_prefetch(&entering[i].slot->compartment->hop(hops[i]));
    __builtin_prefetch(&entering[i].slot->compartment->connection(entering[i].tunnel->connection));
  }
  for (unsigned i = 0; i < left; ++i) {
    enter(Packet<Side::outside>(*entering[i].slot), entering[i], hops[i], ipsec, out);
  }
}

}  // namespace hnv
