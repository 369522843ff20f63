// SPDX-License-Identifier: Apache-2.0
//
// What the two families of NVGRE's inbound door share.
#pragma once

#include <cstdint>

#include "compartments/line/exit.h"
#include "gateway/dataplane.h"

namespace hnv {

// One packet between the passes.
struct NvgreCandidate {
  PacketSlot* slot;
  const VsidDoor* door;
  uint32_t inner;        // offset of the inner Ethernet header
  uint32_t inner_bytes;  // from there
};

// RFC 2784 §2.3 and RFC 2890: discard when bits 1-5 of Reserved0 or the version are set, ignore
// bits 6-12. RFC 7637 §3.2: checksum and sequence absent, key present.
inline constexpr uint16_t kFlagsThatCount = 0xfc07;
inline constexpr uint16_t kNvgreFlags = 0x2000;

// GRE at `header` bytes behind the outer IP header, of `total` bytes in all: what may be looked up
// at all. Sets the candidate's inner frame. Returns the VSID, or 0 after a drop.
[[nodiscard, gnu::always_inline]] inline uint32_t read_gre(Packet<Side::outside> packet,
                                                           uint32_t header, uint32_t total,
                                                           NvgreCandidate& candidate,
                                                           Exit<Stage::enter_nvgre> out) {
  const uint32_t l2 = packet.slot().l2_bytes;
  if (total < header + sizeof(wire::Gre)) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_short);
    return 0;
  }
  const auto& gre = packet.at<wire::Gre>(l2 + header);
  if ((gre.flags.value() & kFlagsThatCount) != kNvgreFlags) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_bad_flags);
    return 0;
  }
  if (gre.protocol != wire::kTransparentEthernet) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_bad_protocol);
    return 0;
  }
  candidate.inner = l2 + header + static_cast<uint32_t>(sizeof(wire::Gre));
  candidate.inner_bytes = total - header - static_cast<uint32_t>(sizeof(wire::Gre));
  if (candidate.inner_bytes < sizeof(wire::Ethernet)) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_short);
    return 0;
  }
  const uint32_t vsid = gre.key.value() >> 8;
  if (vsid - Vsid::kMin > Vsid::kMax - Vsid::kMin) [[unlikely]] {
    out.drop(packet, DropReason::nvgre_reserved_vsid);
    return 0;
  }
  return vsid;
}

// The inner headers of a frame that is not IPv6. True when an IPv4 packet is left for the source
// check; else it has been dropped, or answered (ARP).
[[nodiscard]] bool read_inner(Packet<Side::outside> packet, const NvgreCandidate& candidate,
                              Exit<Stage::enter_nvgre> out);
// The L2Only record of a MAC in a virtual subnet, or null.
[[nodiscard]] const CustomerRecord* find_l2(const CompartmentView& tenant, SubnetId subnet,
                                            const wire::Mac& mac);
// The outer source, as records know PAs.
[[nodiscard]] IpAddress<Space::provider> outer_source_of(Packet<Side::outside> packet);
// No record of its own: another gateway's wildcard may vouch for it, but only for a CA that lies in
// no virtual subnet of the domain, and only from the wildcard's own PA and MAC. Slow path. True
// when one does; else `reason` is why not.
[[nodiscard]] bool wildcard_vouches(const CompartmentView& tenant, const PacketSlot& slot,
                                    const IpAddress<Space::customer>& source,
                                    const IpAddress<Space::provider>& outer, const wire::Mac& mac,
                                    DropReason& reason);

}  // namespace hnv
