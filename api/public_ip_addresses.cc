// SPDX-License-Identifier: Apache-2.0
#include "api/public_ip_addresses.h"

#include <bit>

namespace hnv {
namespace {

constexpr uint16_t kMinPortBlock = 4;
constexpr uint16_t kMaxPortBlock = 64;

// An address alone is a prefix with all its bits.
struct PublicAddressReader {
  void operator()(const Place& place, const Json& json, Faults& faults,
                  Prefix<Space::external>& out) const {
    constexpr std::string_view kMust =
        "an IPv4 address or a prefix with no bits set behind its length, such as \"203.0.113.4\" "
        "or \"203.0.113.0/28\"";
    const std::string* text = string_of(place, json, faults, kMust);
    if (text == nullptr) return;
    auto prefix = Prefix<Space::external>::parse(*text);
    if (const auto address = IpAddress<Space::external>::parse(*text)) {
      prefix = Prefix<Space::external>(*address, address->bits());
    }
    if (!prefix || prefix->family() != Family::ipv4) {
      faults.invalid(place, fmt::format("must be {}", kMust));
      return;
    }
    if (const auto why = unfit_for_host(prefix->address()); !why.empty()) {
      faults.invalid(place, fmt::format("{} {}; it must be a public address", *text, why));
      return;
    }
    out = *prefix;
  }
};

uint64_t addresses_of(const std::vector<Prefix<Space::external>>& prefixes) {
  uint64_t count = 0;
  for (const auto& prefix : prefixes) count += uint64_t{1} << (32 - prefix.length());
  return count;
}

struct PortBlockReader {
  void operator()(const Place& place, const Json& json, Faults& faults, uint16_t& out) const {
    const WholeNumber number{kMinPortBlock, kMaxPortBlock};
    const auto value = number.parse(place, json, faults);
    if (!value) return;
    if (!std::has_single_bit(*value)) {
      faults.invalid(place, "must be a power of two: 4, 8, 16, 32 or 64");
    } else {
      out = static_cast<uint16_t>(*value);
    }
  }
};

}  // namespace

void PortRangeReader::operator()(const Place& place, const Json& json, Faults& faults,
                                 PortRange& out) const {
  const WholeNumber port{1, 65535};
  const size_t before = faults.count();
  PortRange range;
  ObjectReader in(place, json, faults);
  in.required("first", range.first, port);
  in.required("last", range.last, port);
  in.finish();
  if (faults.count() != before) return;
  if (range.first > range.last) {
    faults.invalid(place,
                   fmt::format("\"first\" {} is behind \"last\" {}", range.first, range.last));
  } else if (range.size() < kMinPortBlock) {
    faults.invalid(place, fmt::format("has {} ports; an inside address gets at least {} at once",
                                      range.size(), kMinPortBlock));
  } else {
    out = range;
  }
}

Json port_range_json(const PortRange& range) {
  return {{"first", range.first}, {"last", range.last}};
}

void PublicAddressesReader::operator()(const Place& place, const Json& json, Faults& faults,
                                       std::vector<Prefix<Space::external>>& out) const {
  const size_t before = faults.count();
  std::vector<Prefix<Space::external>> list;
  ListOf{PublicAddressReader{}, kMaxPublicAddresses}(place, json, faults, list);
  if (faults.count() != before) return;
  if (list.empty()) return faults.invalid(place, "needs at least one address");
  if (const auto count = addresses_of(list); count > kMaxPublicAddresses) {
    return faults.invalid(place,
                          fmt::format("has {} addresses; at most {}", count, kMaxPublicAddresses));
  }
  auto sorted = list;
  std::sort(sorted.begin(), sorted.end());
  const auto overlap = std::adjacent_find(
      sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.overlaps(b); });
  if (overlap != sorted.end()) {
    return faults.invalid(place,
                          fmt::format("{} overlaps {}: list each address once",
                                      std::next(overlap)->to_string(), overlap->to_string()));
  }
  out = std::move(list);
}

Json public_addresses_json(const std::vector<Prefix<Space::external>>& addresses) {
  Json list = Json::array();
  for (const auto& prefix : addresses) {
    const bool single = prefix.length() == prefix.address().bits();
    list.push_back(single ? prefix.address().to_string() : prefix.to_string());
  }
  return list;
}

PublicAddressPoolSpec decode_public_address_pool(const Place& place, const Json& json,
                                                 Faults& faults) {
  PublicAddressPoolSpec spec;
  ObjectReader in(place, json, faults);
  in.required("externalNetwork", spec.external_network, kNameReader);
  in.required("publicIPAddresses", spec.addresses, kPublicAddressesReader);
  in.optional("portRange", spec.port_range, kPortRangeReader);
  in.optional("portBlockSize", spec.port_block_size, PortBlockReader{});
  in.optional("routingDomain", spec.routing_domain, kNameReader);
  in.optional("respondToPing", spec.respond_to_ping, kYesNoReader);
  ignore_answer_properties(in);
  in.finish();
  if (spec.port_block_size && *spec.port_block_size > spec.port_range.size()) {
    in.invalid("portBlockSize", fmt::format("{} is more than the {} ports of portRange",
                                            *spec.port_block_size, spec.port_range.size()));
  }
  return spec;
}

Json encode(const PublicAddressPoolSpec& spec) {
  Json json{{"externalNetwork", spec.external_network},
            {"publicIPAddresses", public_addresses_json(spec.addresses)},
            {"portRange", port_range_json(spec.port_range)},
            {"respondToPing", spec.respond_to_ping}};
  if (spec.port_block_size) json["portBlockSize"] = *spec.port_block_size;
  if (spec.routing_domain) json["routingDomain"] = *spec.routing_domain;
  return json;
}

}  // namespace hnv
