// SPDX-License-Identifier: Apache-2.0
#include "api/json_readers.h"

#include <algorithm>

#include "api/control.h"

namespace hnv {

std::optional<uint64_t> WholeNumber::parse(const Place& place, const Json& json,
                                           Faults& faults) const {
  if (json.is_number_unsigned() || (json.is_number_integer() && json.get<int64_t>() >= 0)) {
    const auto value = json.get<uint64_t>();
    if (value >= min && value <= max) return value;
  }
  faults.invalid(place, fmt::format("must be a whole number from {} to {}", min, max));
  return std::nullopt;
}

const std::string* string_of(const Place& place, const Json& json, Faults& faults,
                             std::string_view must) {
  const auto* text = json.get_ptr<const std::string*>();
  if (text == nullptr) faults.invalid(place, fmt::format("must be {}", must));
  return text;
}

void YesNo::operator()(const Place& place, const Json& json, Faults& faults, bool& out) const {
  if (json.is_boolean()) {
    out = json.get<bool>();
  } else {
    faults.invalid(place, "must be true or false");
  }
}

void Text::operator()(const Place& place, const Json& json, Faults& faults,
                      std::string& out) const {
  const std::string* text = string_of(place, json, faults, "a string");
  if (text == nullptr) return;
  if (text->size() > max) {
    faults.invalid(place, fmt::format("has {} bytes; at most {}", text->size(), max));
  } else {
    out = *text;
  }
}

void NameReader::operator()(const Place& place, const Json& json, Faults& faults,
                            std::string& out) const {
  constexpr std::string_view kMust =
      "a name: 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit";
  const std::string* text = string_of(place, json, faults, kMust);
  if (text == nullptr) return;
  if (valid_resource_name(*text)) {
    out = *text;
  } else {
    faults.invalid(place, fmt::format("must be {}", kMust));
  }
}

namespace {

std::string_view unfit_for_host4(uint32_t address) {
  if (address >> 24 == 0) return "lies in 0.0.0.0/8 (RFC 1122: this network)";
  if (address >> 24 == 127) return "is a loopback address";
  if (address >> 28 == 0xe) return "is a multicast address";
  if (address >> 28 == 0xf) return "lies in 240.0.0.0/4 (reserved, or broadcast)";
  return {};
}

std::string_view unfit_for_host6(const std::array<uint8_t, 16>& a) {
  const auto zero = [&](size_t from, size_t to) {
    return std::all_of(a.begin() + static_cast<std::ptrdiff_t>(from),
                       a.begin() + static_cast<std::ptrdiff_t>(to),
                       [](uint8_t byte) { return byte == 0; });
  };
  if (zero(0, 16)) return "is the unspecified address";
  if (zero(0, 15) && a[15] == 1) return "is the loopback address";
  if (zero(0, 10) && a[10] == 0xff && a[11] == 0xff) {
    return "is an IPv4-mapped address (RFC 4291 2.5.5.2): write the IPv4 address";
  }
  if (zero(0, 2)) return "lies in ::/16 (reserved)";
  if (a[0] == 0xff) return "is a multicast address";
  if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) {
    return "is a link-local address: every interface has its own, give one that is routed";
  }
  return {};
}

uint32_t host_order4(const std::array<uint8_t, 16>& a) {
  return uint32_t{a[0]} << 24 | uint32_t{a[1]} << 16 | uint32_t{a[2]} << 8 | a[3];
}

}  // namespace

std::string_view unfit_for_host(const std::array<uint8_t, 16>& address, Family family) {
  return family == Family::ipv4 ? unfit_for_host4(host_order4(address)) : unfit_for_host6(address);
}

std::string_view unfit_for_host(const std::array<uint8_t, 16>& address, Family family,
                                uint8_t length) {
  if (const auto why = unfit_for_host(address, family); !why.empty()) return why;
  if (length == 0) return "has prefix length 0";
  if (family == Family::ipv6) {
    const CaAddress6 host(address);
    if (length < 127 && Prefix<Space::customer>(host, length).address().bytes() == address) {
      return "is the subnet-router anycast address of its prefix";
    }
    return {};
  }
  if (length >= 31) return {};
  const uint32_t host_bits = 0xffffffffU >> length;
  if ((host_order4(address) & host_bits) == 0) return "is the network address of its subnet";
  if ((host_order4(address) & host_bits) == host_bits) {
    return "is the broadcast address of its subnet";
  }
  return {};
}

void StationMacReader::operator()(const Place& place, const Json& json, Faults& faults,
                                  MacAddress& out) const {
  const size_t before = faults.count();
  MacAddress value;
  kTextFormReader(place, json, faults, value);
  if (faults.count() != before) return;
  if (value.zero() || value.multicast()) {
    faults.invalid(place, "must be one station's MAC address, not zero, multicast or broadcast");
  } else {
    out = value;
  }
}

void VlanIdReader::operator()(const Place& place, const Json& json, Faults& faults,
                              VlanId& out) const {
  const WholeNumber number{0, VlanId::kMax};
  if (const auto value = number.parse(place, json, faults)) {
    out = *VlanId::from(static_cast<uint32_t>(*value));
  }
}

}  // namespace hnv
