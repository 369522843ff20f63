// SPDX-License-Identifier: Apache-2.0
#include "gateway/spread.h"

#include <algorithm>
#include <cstring>

#include "compartments/wire.h"

namespace hnv {
namespace {

// As enter_nvgre reads them: key only, version 0, bits 6 to 12 ignored (RFC 7637 §3.2, RFC 2784).
constexpr uint16_t kFlagsThatCount = 0xfc07;
constexpr uint16_t kNvgreFlags = 0x2000;
constexpr uint32_t kIpv6Bytes = 40;
constexpr uint32_t kIpv6NextHeader = 6;
constexpr uint32_t kIpv6Source = 8;
constexpr uint32_t kIpv6Destination = 24;

// What is left of the frame.
struct Rest {
  const uint8_t* at;
  uint32_t bytes;

  template <class T>
  [[nodiscard]] const T* as() const {
    return bytes >= sizeof(T) ? reinterpret_cast<const T*>(at) : nullptr;
  }
  [[nodiscard]] Rest behind(uint32_t skip) const { return {at + skip, bytes - skip}; }
};

// One side of a flow as a number.
struct Ends {
  uint64_t source = 0;
  uint64_t destination = 0;
};

uint64_t load64(const uint8_t* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t address_number(const uint8_t* ipv6) {
  return load64(ipv6) * 0x9e3779b97f4a7c15 ^ load64(ipv6 + 8) * 0xc2b2ae3d27d4eb4f;
}

void count_ports(Ends& ends, Rest rest, uint8_t protocol) {
  if (protocol != wire::ip_protocol::kTcp && protocol != wire::ip_protocol::kUdp) return;
  const auto* ports = rest.as<wire::Ports>();
  if (ports == nullptr) return;
  ends.source += uint64_t{ports->source.raw()} << 40;
  ends.destination += uint64_t{ports->destination.raw()} << 40;
}

// The smaller end first, whichever way the packet goes. Multiplications carry every bit to the
// upper half, the shifts bring it back down; the owner is chosen by the uppermost bits.
uint32_t mix(const Ends& ends, uint8_t protocol, uint32_t vsid) {
  const uint64_t low = std::min(ends.source, ends.destination);
  const uint64_t high = std::max(ends.source, ends.destination);
  uint64_t h = low * 0xa0761d6478bd642f ^ (uint64_t{vsid} << 8 | protocol) * 0xe7037ed1a0b428db;
  h = (h ^ h >> 32 ^ high) * 0x8ebc6af09c88c6e3;
  h = (h ^ h >> 32) * 0x589965cc75374cc3;
  return static_cast<uint32_t>(h >> 32);
}

std::optional<uint32_t> flow_of_ethernet(Rest rest, be16 type, uint32_t vsid);

// NVGRE behind an outer IP header; only one level deep.
std::optional<uint32_t> flow_in_nvgre(Rest rest) {
  const auto* gre = rest.as<wire::Gre>();
  if (gre == nullptr || (gre->flags.value() & kFlagsThatCount) != kNvgreFlags ||
      gre->protocol != wire::kTransparentEthernet) {
    return std::nullopt;
  }
  const uint32_t vsid = gre->key.value() >> 8;
  if (vsid == 0) return std::nullopt;  // reserved: it will be dropped, no matter where
  rest = rest.behind(sizeof(wire::Gre));
  const auto* inner = rest.as<wire::Ethernet>();
  if (inner == nullptr) return std::nullopt;
  return flow_of_ethernet(rest.behind(sizeof(wire::Ethernet)), inner->type, vsid);
}

// `vsid` is 0 outside NVGRE.
std::optional<uint32_t> flow_of_ipv4(Rest rest, uint32_t vsid) {
  const auto* ip = rest.as<wire::Ipv4>();
  if (ip == nullptr || ip->version_ihl >> 4 != 4 || ip->header_bytes() < sizeof(wire::Ipv4) ||
      ip->header_bytes() > rest.bytes) {
    return std::nullopt;
  }
  const Rest payload = rest.behind(ip->header_bytes());
  if (vsid == 0 && ip->protocol == wire::ip_protocol::kGre && !ip->is_fragment()) {
    return flow_in_nvgre(payload);
  }
  Ends ends{.source = ip->source.raw(), .destination = ip->destination.raw()};
  if (!ip->is_fragment()) count_ports(ends, payload, ip->protocol);
  return mix(ends, ip->protocol, vsid);
}

// The ports count only where they follow the fixed header: a fragment header, or anything else in
// between, makes it the flow of the two addresses.
std::optional<uint32_t> flow_of_ipv6(Rest rest, uint32_t vsid) {
  if (rest.bytes < kIpv6Bytes || rest.at[0] >> 4 != 6) return std::nullopt;
  const uint8_t next = rest.at[kIpv6NextHeader];
  const Rest payload = rest.behind(kIpv6Bytes);
  if (vsid == 0 && next == wire::ip_protocol::kGre) return flow_in_nvgre(payload);
  Ends ends{.source = address_number(rest.at + kIpv6Source),
            .destination = address_number(rest.at + kIpv6Destination)};
  const bool has_ports = next == wire::ip_protocol::kTcp || next == wire::ip_protocol::kUdp;
  count_ports(ends, payload, next);
  return mix(ends, has_ports ? next : uint8_t{0}, vsid);
}

std::optional<uint32_t> flow_of_ethernet(Rest rest, be16 type, uint32_t vsid) {
  if (type == wire::ether_type::kIpv4) return flow_of_ipv4(rest, vsid);
  if (type == wire::ether_type::kIpv6) return flow_of_ipv6(rest, vsid);
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> flow_hash_of(const uint8_t* frame, uint32_t bytes) {
  const Rest rest{frame, bytes};
  const auto* ethernet = rest.as<wire::Ethernet>();
  if (ethernet == nullptr) return std::nullopt;
  if (ethernet->type != wire::ether_type::kVlan) {
    return flow_of_ethernet(rest.behind(sizeof(wire::Ethernet)), ethernet->type, 0);
  }
  // The tag stands where the type was; the type behind it.
  constexpr uint32_t kTagged = sizeof(wire::Ethernet) + sizeof(wire::VlanTag);
  if (bytes < kTagged) return std::nullopt;
  const auto& type = *reinterpret_cast<const be16*>(frame + kTagged - sizeof(be16));
  return flow_of_ethernet(rest.behind(kTagged), type, 0);
}

}  // namespace hnv
