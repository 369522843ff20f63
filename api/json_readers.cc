// SPDX-License-Identifier: Apache-2.0
#include "api/json_readers.h"

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

void note_ipv6(const Place& place, Faults& faults) {
  faults.add(ErrorCode::not_supported, place, "IPv6 is not built yet; only IPv4 values are taken");
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

std::string_view unfit_for_host(uint32_t address) {
  if (address >> 24 == 0) return "lies in 0.0.0.0/8 (RFC 1122: this network)";
  if (address >> 24 == 127) return "is a loopback address";
  if (address >> 28 == 0xe) return "is a multicast address";
  if (address >> 28 == 0xf) return "lies in 240.0.0.0/4 (reserved, or broadcast)";
  return {};
}

std::string_view unfit_for_host(uint32_t address, uint8_t length) {
  if (const auto why = unfit_for_host(address); !why.empty()) return why;
  if (length == 0) return "has prefix length 0";
  if (length >= 31) return {};
  const uint32_t host_bits = 0xffffffffU >> length;
  if ((address & host_bits) == 0) return "is the network address of its subnet";
  if ((address & host_bits) == host_bits) return "is the broadcast address of its subnet";
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
