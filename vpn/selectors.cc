// SPDX-License-Identifier: Apache-2.0
#include "vpn/selectors.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "compartments/ip6_checks.h"

namespace hnv {
namespace {

bool is_whole(const SaSelector& selector, Family family) {
  const auto all_of = [](const IpAddress<Space::customer>& address, uint8_t byte) {
    const unsigned count = address.bits() / 8U;
    return std::all_of(address.bytes().begin(), address.bytes().begin() + count,
                       [byte](uint8_t b) { return b == byte; });
  };
  return selector.from.family() == family && selector.protocol == 0 && selector.from_port == 0 &&
         selector.to_port == 65535 && all_of(selector.from, 0) && all_of(selector.to, 0xff);
}

// One end of a packet. No port: a later fragment, or a protocol without ports.
struct End {
  IpAddress<Space::customer> address;
  uint8_t protocol = 0;
  std::optional<uint16_t> port;
};

// RFC 4301 §4.4.1.1: a range of ports covers only packets whose port is known.
bool matches(const SaSelector& selector, const End& end) {
  if (selector.from.family() != end.address.family() || end.address < selector.from ||
      selector.to < end.address) {
    return false;
  }
  if (selector.protocol != 0 && selector.protocol != end.protocol) return false;
  if (selector.from_port == 0 && selector.to_port == 65535) return true;
  return end.port && *end.port >= selector.from_port && *end.port <= selector.to_port;
}

bool any_matches(const std::vector<SaSelector>& selectors, const End& end) {
  return std::any_of(selectors.begin(), selectors.end(),
                     [&](const SaSelector& selector) { return matches(selector, end); });
}

// ICMP's type and code stand for both ports (RFC 7296 §3.13.1).
void read_ports(const uint8_t* upper, uint32_t bytes, End& source, End& destination) {
  const uint8_t protocol = source.protocol;
  if (bytes < sizeof(wire::Ports)) return;
  if (protocol == wire::ip_protocol::kIcmp || protocol == wire::ip_protocol::kIcmpV6) {
    source.port = static_cast<uint16_t>(upper[0] << 8 | upper[1]);
    destination.port = source.port;
    return;
  }
  constexpr uint8_t kSctp = 132;
  constexpr uint8_t kUdpLite = 136;
  if (protocol == wire::ip_protocol::kTcp || protocol == wire::ip_protocol::kUdp ||
      protocol == kSctp || protocol == kUdpLite) {
    wire::Ports ports;
    std::memcpy(&ports, upper, sizeof ports);
    source.port = ports.source.value();
    destination.port = ports.destination.value();
  }
}

bool both_match(const SaSpec& spec, const End& source, const End& destination) {
  return any_matches(spec.source_selectors, source) &&
         any_matches(spec.destination_selectors, destination);
}

}  // namespace

bool covers_all(const SaSpec& spec, Family family) {
  const auto whole = [family](const SaSelector& selector) { return is_whole(selector, family); };
  return std::any_of(spec.source_selectors.begin(), spec.source_selectors.end(), whole) &&
         std::any_of(spec.destination_selectors.begin(), spec.destination_selectors.end(), whole);
}

bool covers(const SaSpec& spec, const wire::Ipv4& ip) {
  End source{CaAddress(ip.source.value()), ip.protocol, {}};
  End destination{CaAddress(ip.destination.value()), ip.protocol, {}};
  if (!ip.is_later_fragment()) {
    read_ports(reinterpret_cast<const uint8_t*>(&ip) + ip.header_bytes(),
               ip.total_length.value() - ip.header_bytes(), source, destination);
  }
  return both_match(spec, source, destination);
}

bool covers(const SaSpec& spec, const wire::Ipv6& ip) {
  const Upper6 upper = upper_layer_of(ip);
  End source{CaAddress6(ip.source), upper.protocol, {}};
  End destination{CaAddress6(ip.destination), upper.protocol, {}};
  if (upper.whole && !upper.later_fragment) {
    read_ports(reinterpret_cast<const uint8_t*>(&ip) + upper.offset,
               ip.total_length() - upper.offset, source, destination);
  }
  return both_match(spec, source, destination);
}

}  // namespace hnv
