// SPDX-License-Identifier: Apache-2.0
#include "gateway/bfd_datagram.h"

#include <cstring>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"
#include "compartments/ip_checks.h"
#include "compartments/wire.h"

namespace hnv {
namespace {

constexpr be16 kSingleHop{3784};
constexpr be16 kMultihop{4784};
constexpr uint8_t kFarthest = 255;
constexpr uint8_t kControlClass = 0xc0;  // CS6, as routing protocols have

struct Udp {
  wire::Ports ports;
  be16 length, checksum;
};
static_assert(sizeof(Udp) == 8);

// Over UDP and its pseudo header, which sums up alike in both families.
uint64_t udp_sum(const BfdEnds& ends, std::span<const uint8_t> udp) {
  return checksum_sum6(ends.source.bytes(), ends.destination.bytes(), wire::ip_protocol::kUdp,
                       udp.data(), static_cast<uint32_t>(udp.size()));
}

// The ends, and how long the headers are in front of UDP. Fragments, options and extension headers
// are nothing that a BFD packet needs.
struct IpPart {
  BfdEnds ends;
  uint8_t ttl = 0;
  size_t header = 0;
  size_t total = 0;
};
std::optional<IpPart> read_ip(std::span<const uint8_t> packet) {
  if (packet.size() >= sizeof(wire::Ipv4) && packet[0] >> 4 == 4) {
    wire::Ipv4 ip;
    std::memcpy(&ip, packet.data(), sizeof ip);
    if (!ipv4_header_fits(ip, static_cast<uint32_t>(packet.size())) ||
        ip.header_bytes() != sizeof ip || ip.is_fragment() ||
        ip.protocol != wire::ip_protocol::kUdp) {
      return std::nullopt;
    }
    return IpPart{{CaAddress(ip.source.value()), CaAddress(ip.destination.value())},
                  ip.ttl,
                  sizeof ip,
                  ip.total_length.value()};
  }
  if (packet.size() < sizeof(wire::Ipv6) || packet[0] >> 4 != 6) return std::nullopt;
  wire::Ipv6 ip;
  std::memcpy(&ip, packet.data(), sizeof ip);
  if (!ipv6_header_fits(ip, static_cast<uint32_t>(packet.size())) ||
      ip.next_header != wire::ip_protocol::kUdp) {
    return std::nullopt;
  }
  return IpPart{{CaAddress6(ip.source), CaAddress6(ip.destination)},
                ip.hop_limit,
                sizeof ip,
                ip.total_length()};
}

// Writes the IP header in front of `udp_bytes`; returns its length.
size_t write_ip(std::vector<uint8_t>& out, const BfdEnds& ends, size_t udp_bytes) {
  if (ends.source.is_v4()) {
    wire::Ipv4 ip;
    ip.version_ihl = 0x45;
    ip.tos = kControlClass;
    ip.total_length = be16(static_cast<uint16_t>(sizeof ip + udp_bytes));
    ip.fragment = be16(0x4000);  // not to be cut, and so without a number (RFC 6864)
    ip.ttl = kFarthest;
    ip.protocol = wire::ip_protocol::kUdp;
    ip.source = be32(ends.source.v4().value());
    ip.destination = be32(ends.destination.v4().value());
    set_checksum(ip);
    out.resize(sizeof ip + udp_bytes);
    std::memcpy(out.data(), &ip, sizeof ip);
    return sizeof ip;
  }
  wire::Ipv6 ip;
  ip.version_class_flow = be32(0x60000000U | uint32_t{kControlClass} << 20);
  ip.payload_length = be16(static_cast<uint16_t>(udp_bytes));
  ip.next_header = wire::ip_protocol::kUdp;
  ip.hop_limit = kFarthest;
  ip.source = ends.source.bytes();
  ip.destination = ends.destination.bytes();
  out.resize(sizeof ip + udp_bytes);
  std::memcpy(out.data(), &ip, sizeof ip);
  return sizeof ip;
}

}  // namespace

std::optional<BfdDatagram> read_bfd_datagram(std::span<const uint8_t> ip) {
  const auto part = read_ip(ip);
  if (!part || part->total < part->header + sizeof(Udp)) return std::nullopt;
  BfdDatagram out{.ends = part->ends, .ttl = part->ttl};
  const std::span<const uint8_t> rest = ip.subspan(part->header, part->total - part->header);
  Udp udp;
  std::memcpy(&udp, rest.data(), sizeof udp);
  out.ends.multihop = udp.ports.destination == kMultihop;
  if (!out.ends.multihop && (udp.ports.destination != kSingleHop || out.ttl != kFarthest)) {
    return std::nullopt;
  }
  const size_t length = udp.length.value();
  if (length < sizeof udp || length > rest.size()) return std::nullopt;
  // RFC 768: none at all is allowed over IPv4 only (RFC 8200 §8.1).
  const bool summed = udp.checksum.raw() != 0 || !part->ends.source.is_v4();
  if (summed && checksum_fold(udp_sum(out.ends, rest.first(length))) != 0xffff) {
    return std::nullopt;
  }
  const auto packet = read_bfd(rest.subspan(sizeof udp, length - sizeof udp));
  if (!packet) return std::nullopt;
  out.packet = *packet;
  return out;
}

std::vector<uint8_t> write_bfd_datagram(const BfdEnds& ends, uint16_t source_port,
                                        const BfdPacket& packet) {
  constexpr size_t kUdpBytes = sizeof(Udp) + BfdPacket::kBytes;
  std::vector<uint8_t> out;
  const size_t at = write_ip(out, ends, kUdpBytes);
  const auto control = write_bfd(packet);
  Udp udp{.ports = {be16(source_port), ends.multihop ? kMultihop : kSingleHop},
          .length = be16(kUdpBytes),
          .checksum = {}};
  std::memcpy(out.data() + at, &udp, sizeof udp);
  std::memcpy(out.data() + at + sizeof udp, control.data(), control.size());
  const auto sum =
      static_cast<uint16_t>(~checksum_fold(udp_sum(ends, std::span(out).subspan(at, kUdpBytes))));
  udp.checksum = be16::from_raw(sum == 0 ? 0xffff : sum);
  std::memcpy(out.data() + at, &udp, sizeof udp);
  return out;
}

}  // namespace hnv
