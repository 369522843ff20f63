// SPDX-License-Identifier: Apache-2.0
#include "gateway/path_mtu.h"

#include <algorithm>
#include <array>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"
#include "compartments/wire.h"

namespace hnv {
namespace {

// RFC 1191 §7: what paths there are, for routers too old to say.
uint16_t plateau_below(uint16_t length) {
  constexpr std::array<uint16_t, 8> kPlateaus = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508};
  for (const uint16_t plateau : kPlateaus) {
    if (plateau < length) return plateau;
  }
  return 296;
}

// The virtual subnet whose packet this header stands in.
const VsidDoor* subnet_of(const wire::Gre& gre, AttachmentId attachment, const VsidTable& vsids) {
  if (gre.flags != be16{0x2000} || gre.protocol != wire::kTransparentEthernet) return nullptr;
  const auto vsid = Vsid::from(gre.key.value() >> 8);
  const VsidEntry* subnet = vsid ? vsids.find(vsid->value()) : nullptr;
  if (subnet == nullptr) return nullptr;
  const VsidDoor& door = vsids.door_of(*subnet);
  return door.network == attachment ? &door : nullptr;
}

}  // namespace

std::optional<PathMtu> read_path_mtu(const wire::Ipv4& ip, AttachmentId attachment,
                                     const VsidTable& vsids) {
  constexpr unsigned kQuoted = sizeof(wire::Ipv4) + sizeof(wire::Gre);
  const unsigned bytes = ip.total_length.value() - ip.header_bytes();
  const auto* start = reinterpret_cast<const uint8_t*>(&ip) + ip.header_bytes();
  if (bytes < sizeof(wire::Icmp) + kQuoted || checksum_of(start, bytes).raw() != 0) return {};
  const auto& icmp = *reinterpret_cast<const wire::Icmp*>(start);
  const auto& quoted = *reinterpret_cast<const wire::Ipv4*>(&icmp + 1);
  if (quoted.version_ihl != 0x45 || quoted.protocol != wire::ip_protocol::kGre) return {};
  const VsidDoor* subnet =
      subnet_of(*reinterpret_cast<const wire::Gre*>(&quoted + 1), attachment, vsids);
  if (subnet == nullptr || subnet->provider_address != quoted.source.value()) return {};
  const uint16_t length = quoted.total_length.value();
  // A router older than RFC 1191 tells none (§5).
  const uint16_t told = icmp.word1.value();
  const uint16_t mtu = told != 0 ? told : plateau_below(length);
  if (mtu >= length) return {};
  return PathMtu{Ip4<Space::external>(quoted.destination.value()), std::max(mtu, kLeastPathMtu)};
}

std::optional<PathMtu> read_path_mtu(const wire::Ipv6& ip, AttachmentId attachment,
                                     const VsidTable& vsids) {
  constexpr unsigned kQuoted = sizeof(wire::Ipv6) + sizeof(wire::Gre);
  const Upper6 upper = upper_layer_of(ip);
  const uint32_t bytes = ip.total_length() - upper.offset;
  if (!upper.whole || upper.fragment || bytes < sizeof(wire::Icmp) + kQuoted) return {};
  const auto* start = reinterpret_cast<const uint8_t*>(&ip) + upper.offset;
  if (checksum_fold(checksum_sum6(ip.source, ip.destination, wire::ip_protocol::kIcmpV6, start,
                                  bytes)) != 0xffff) {
    return {};
  }
  const auto& icmp = *reinterpret_cast<const wire::Icmp*>(start);
  const auto& quoted = *reinterpret_cast<const wire::Ipv6*>(&icmp + 1);
  // We write no extension headers.
  if (icmp.type != wire::icmp6::kPacketTooBig || quoted.version() != 6 ||
      quoted.next_header != wire::ip_protocol::kGre) {
    return {};
  }
  const VsidDoor* subnet =
      subnet_of(*reinterpret_cast<const wire::Gre*>(&quoted + 1), attachment, vsids);
  if (subnet == nullptr || subnet->provider_address6 != quoted.source) return {};
  const uint32_t told = uint32_t{icmp.word0.value()} << 16 | icmp.word1.value();
  if (told >= quoted.total_length() || told < kLeastPathMtu6) return {};
  return PathMtu{Ip6<Space::external>(quoted.destination), static_cast<uint16_t>(told)};
}

}  // namespace hnv
