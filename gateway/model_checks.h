// SPDX-License-Identifier: Apache-2.0
//
// Checks that several resources of the model share. The API's decoders have already refused what is
// malformed by itself; what is repeated here holds for every way into the model (a store's file,
// say).
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "api/json_readers.h"
#include "gateway/model.h"

namespace hnv {

// RFC 791: what every host takes; nothing forwards IPv4 with less.
inline constexpr uint16_t kMinMtu = 576;
// A fabric must carry that inside NVGRE.
inline constexpr uint16_t kMinFabricMtu = kMinMtu + nvgre_overhead(Family::ipv4);

// RFC 8200 §5: every link that carries IPv6 takes packets of this size.
inline constexpr uint16_t kMinMtu6 = 1280;

// Addresses of the gateway on one network or connection: each a host's; no prefix inside another
// (the same prefix twice is one subnet with two addresses).
template <Space S>
void check_interface_addresses(const std::vector<InterfaceAddress<S>>& addresses,
                               const Place& place, Faults& faults) {
  for (size_t i = 0; i < addresses.size(); ++i) {
    const auto& [address, length] = addresses[i];
    const Place here(place, i);
    if (const auto why = unfit_for_host(address, length); !why.empty()) {
      faults.invalid(
          here, fmt::format("{} {}; it must be a host's address", addresses[i].to_string(), why));
    }
    for (size_t j = 0; j < i; ++j) {
      const auto& other = addresses[j];
      if (other.address == address) {
        faults.invalid(here, fmt::format("{} is listed twice", address.to_string()));
      } else if (other.prefix() != addresses[i].prefix() &&
                 other.prefix().overlaps(addresses[i].prefix())) {
        faults.add(ErrorCode::unfit, here,
                   fmt::format("{} overlaps {}: on one network, prefixes must be equal or disjoint",
                               addresses[i].to_string(), other.to_string()));
      }
    }
  }
}

// A next hop must be a neighbour: on-link on one of the addresses' prefixes, and not the gateway.
template <Space S>
void check_on_link(const IpAddress<S>& next_hop, const std::vector<InterfaceAddress<S>>& addresses,
                   const Place& place, Faults& faults) {
  const auto at = std::find_if(addresses.begin(), addresses.end(),
                               [&](const auto& own) { return own.prefix().contains(next_hop); });
  if (at == addresses.end()) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} is not on-link: it must lie in a prefix of the gateway's own "
                           "addresses there",
                           next_hop.to_string()));
  } else if (const auto why = unfit_for_host(next_hop, at->length); !why.empty()) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} {}; it must be a router's address", next_hop.to_string(), why));
  } else if (std::any_of(addresses.begin(), addresses.end(),
                         [&](const auto& own) { return own.address == next_hop; })) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} is the gateway's own address; it must be another router's",
                           next_hop.to_string()));
  }
}

// Blocks that hold no host's address: this network, loopback, multicast, reserved and broadcast
// (RFC 6890); of IPv6 what is reserved at its beginning, link-local and multicast (RFC 4291 §2.4).
struct ReservedBlock {
  Family family;
  std::array<uint8_t, 4> begin;
  uint8_t length;
  std::string_view what;

  template <Space S>
  [[nodiscard]] Prefix<S> prefix() const {
    std::array<uint8_t, 16> bytes{};
    std::copy(begin.begin(), begin.end(), bytes.begin());
    if (family == Family::ipv6) return {Ip6<S>(bytes), length};
    return {Ip4<S>(uint32_t{begin[0]} << 24), length};
  }
};
inline constexpr ReservedBlock kReservedBlocks[] = {
    {Family::ipv4, {0}, 8, "0.0.0.0/8 (this network)"},
    {Family::ipv4, {127}, 8, "127.0.0.0/8 (loopback)"},
    {Family::ipv4, {224}, 4, "224.0.0.0/4 (multicast)"},
    {Family::ipv4, {240}, 4, "240.0.0.0/4 (reserved)"},
    {Family::ipv6, {0}, 16, "::/16 (unspecified, loopback, IPv4-mapped)"},
    {Family::ipv6, {0xfe, 0x80}, 10, "fe80::/10 (link-local)"},
    {Family::ipv6, {0xff}, 8, "ff00::/8 (multicast)"},
};

// Where a route may lead: not to something inside a reserved block. (The default route and other
// large prefixes contain one; that does no harm.)
template <Space S>
void check_destination(const Prefix<S>& prefix, const Place& place, Faults& faults) {
  for (const auto& block : kReservedBlocks) {
    const auto reserved = block.prefix<S>();
    if (prefix.length() >= block.length && reserved.contains(prefix.address())) {
      faults.add(
          ErrorCode::unfit, place,
          fmt::format("{} lies in {}; no route leads there", prefix.to_string(), block.what));
    }
  }
}

// A next hop carries packets of its own family.
template <Space S>
void check_family(const Prefix<S>& destination, const IpAddress<S>& next_hop, const Place& place,
                  Faults& faults) {
  if (destination.family() == next_hop.family()) return;
  faults.add(
      ErrorCode::unfit, place,
      fmt::format("{} cannot be the next hop of {}: it must be {}", next_hop.to_string(),
                  destination.to_string(),
                  destination.family() == Family::ipv4 ? "an IPv4 address" : "an IPv6 address"));
}

template <Space S>
[[nodiscard]] bool any_ipv6(const std::vector<InterfaceAddress<S>>& addresses) {
  return std::any_of(addresses.begin(), addresses.end(),
                     [](const auto& own) { return !own.address.is_v4(); });
}

template <Space S>
void check_outside_routes(const std::vector<RouteSpec<S>>& routes,
                          const std::vector<InterfaceAddress<S>>& addresses, Faults& faults) {
  const Place body;
  const Place list(body, "routes");
  std::vector<std::pair<Prefix<S>, IpAddress<S>>> seen;
  seen.reserve(routes.size());
  for (size_t i = 0; i < routes.size(); ++i) {
    const Place route(list, i);
    check_destination(routes[i].destination_prefix, Place(route, "destinationPrefix"), faults);
    check_family(routes[i].destination_prefix, routes[i].next_hop, Place(route, "nextHop"), faults);
    check_on_link(routes[i].next_hop, addresses, Place(route, "nextHop"), faults);
    seen.emplace_back(routes[i].destination_prefix, routes[i].next_hop);
  }
  std::sort(seen.begin(), seen.end());
  if (const auto twice = std::adjacent_find(seen.begin(), seen.end()); twice != seen.end()) {
    faults.add(ErrorCode::unfit, list,
               fmt::format("{} through {} is listed twice", twice->first.to_string(),
                           twice->second.to_string()));
  }
}

// The MTU that holds: what was asked for, or the port's. Notes what does not fit.
uint16_t outside_mtu(const std::optional<uint16_t>& asked, const PortInfo& port, uint16_t min,
                     Faults& faults);

// A MAC that one station can own.
void check_station_mac(const MacAddress& mac, const Place& place, Faults& faults);

// The next hops of customer routes that lie in `prefix`, which is on-link by this change: each must
// be a host's address there, and none for which `is_own` holds.
void check_next_hops_in(const DomainModel& domain, const Prefix<Space::customer>& prefix,
                        const std::function<bool(const IpAddress<Space::customer>&)>& is_own,
                        const Place& place, Faults& faults);

// An address or prefix must lie in one of the network's publicAddressPrefixes.
void check_public_address(const ExternalNetworkModel& network,
                          const Prefix<Space::external>& wanted, const Place& place,
                          Faults& faults);

// What ports of a pool must be and these are not ("must lie in …"), or nothing.
[[nodiscard]] std::string unfit_port_range(const PortRange& range,
                                           const PublicAddressPoolSpec& pool);

// An address that the gateway gets in the domain must be no static mapping's inside address.
void check_not_mapped(const DomainModel& domain, const IpAddress<Space::customer>& own,
                      const Place& place, Faults& faults);

}  // namespace hnv
