// SPDX-License-Identifier: Apache-2.0
//
// What every door asks of an IPv6 header, outer or inner, and how to get past extension headers.
#pragma once

#include <cstdint>
#include <cstring>

#include "compartments/wire.h"

namespace hnv {

// Version and payload length agree with the bytes there are (RFC 8200 §3). A jumbogram (payload
// length 0 with a hop-by-hop option) is not for these MTUs. REQUIRES sizeof(wire::Ipv6) readable
// bytes.
[[nodiscard]] inline bool ipv6_header_fits(const wire::Ipv6& ip, uint32_t available) {
  return ip.version() == 6 && ip.total_length() <= available;
}

// What every link carries (RFC 8200 §5).
inline constexpr uint16_t kIpv6MinimumMtu = 1280;

[[nodiscard]] inline bool is_multicast6(const wire::Address6& a) { return a[0] == 0xff; }
[[nodiscard]] inline bool is_link_local6(const wire::Address6& a) {  // fe80::/10
  return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}
[[nodiscard]] inline bool is_unspecified6(const wire::Address6& a) {
  uint64_t words[2];
  std::memcpy(words, a.data(), sizeof words);
  return (words[0] | words[1]) == 0;
}
// In ::/8 lie the unspecified and the loopback address, and IPv4 addresses in IPv6's clothes
// (mapped, RFC 4291 §2.5.5.2, and the deprecated compatible ones): none may be seen on a wire. The
// one part in use, 64:ff9b::/96 (RFC 6052), begins with 00 64.
[[nodiscard]] inline bool is_zero_block6(const wire::Address6& a) { return a[0] == 0 && a[1] == 0; }

// Never a legal source of a packet that is to be forwarded (RFC 4291 §2.7, §2.5.3, §2.5.6).
[[nodiscard]] inline bool is_martian_source6(const wire::Address6& a) {
  return a[0] == 0xff || is_zero_block6(a) || is_link_local6(a);
}
// Not forwardable as a destination. Groups are not routed here, link-local addresses never.
[[nodiscard]] inline bool is_martian_destination6(const wire::Address6& a) {
  return is_martian_source6(a);
}

// The link-local address of an interface by its MAC (RFC 4291 appendix A, RFC 2464 §4).
[[nodiscard]] inline wire::Address6 link_local_of(const wire::Mac& mac) {
  const uint8_t* m = mac.byte;
  return {0xfe, 0x80, 0,    0,    0,    0,    0,   0, static_cast<uint8_t>(m[0] ^ 2),
          m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
}
// The group that a neighbour solicitation for the address goes to (RFC 4291 §2.7.1) …
[[nodiscard]] inline wire::Address6 solicited_node_of(const wire::Address6& a) {
  return {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a[13], a[14], a[15]};
}
inline constexpr wire::Address6 kAllNodes = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
inline constexpr wire::Address6 kAllRouters = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
// … and a group's MAC address (RFC 2464 §7).
[[nodiscard]] inline wire::Mac mac_of_group(const wire::Address6& group) {
  return {{0x33, 0x33, group[12], group[13], group[14], group[15]}};
}

// What follows the extension headers of an IPv6 packet.
struct Upper6 {
  uint32_t offset = 0;    // from the IPv6 header
  uint32_t named_at = 6;  // where `protocol` stands
  uint8_t protocol =
      0;  // where an unknown header or a later fragment stops the walk: that header's
  bool fragment = false;
  bool later_fragment = false;  // its upper-layer header is in another packet
  bool whole = false;           // false: the chain runs over the packet's end, or is too long
};

// Walks the chain (RFC 8200 §4, RFC 7045): headers are skipped by their length and none is acted
// on. Bounded in steps, and every read in `bytes`, which begin at `ip`. REQUIRES ipv6_header_fits.
[[nodiscard]] inline Upper6 upper_layer_of(const wire::Ipv6& ip) {
  constexpr unsigned kMaxHeaders = 16;
  const auto* start = reinterpret_cast<const uint8_t*>(&ip);
  const uint32_t end = ip.total_length();
  Upper6 at{.offset = sizeof(wire::Ipv6), .protocol = ip.next_header, .whole = true};
  for (unsigned i = 0; i < kMaxHeaders; ++i) {
    uint32_t bytes = 0;
    switch (at.protocol) {
      case wire::ip_protocol::kHopByHop:
      case wire::ip_protocol::kRouting:
      case wire::ip_protocol::kDestinationOptions:
      case wire::ip_protocol::kMobility:
      case wire::ip_protocol::kHip:
      case wire::ip_protocol::kShim6:
      case wire::ip_protocol::kAuthentication:
      case wire::ip_protocol::kFragment:
        break;
      default:
        return at;
    }
    if (at.offset + 8 > end) {
      at.whole = false;
      return at;
    }
    const auto& header = *reinterpret_cast<const wire::Ipv6Extension*>(start + at.offset);
    if (at.protocol == wire::ip_protocol::kFragment) {
      const auto& fragment = *reinterpret_cast<const wire::Ipv6Fragment*>(start + at.offset);
      at.fragment = true;
      at.later_fragment = at.later_fragment || fragment.later();
      bytes = sizeof(wire::Ipv6Fragment);
    } else if (at.protocol == wire::ip_protocol::kAuthentication) {
      bytes = (header.length + 2U) * 4;
    } else {
      bytes = (header.length + 1U) * 8;
    }
    if (at.offset + bytes > end) {
      at.whole = false;
      return at;
    }
    at.named_at = at.offset;
    at.offset += bytes;
    at.protocol = header.next_header;
    if (at.later_fragment) return at;
  }
  at.whole = false;
  return at;
}

}  // namespace hnv
