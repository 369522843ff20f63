// SPDX-License-Identifier: Apache-2.0
#include "compartments/spec.h"

namespace hnv {

std::optional<RecordId> parse_record_id(std::string_view text) {
  if (text == "wildcard-v4") return WildcardV4{};
  if (text == "wildcard-v6") return WildcardV6{};
  if (text.starts_with("l2-")) {
    if (const auto mac = MacAddress::parse(text.substr(3))) return *mac;
    return std::nullopt;
  }
  if (const auto address = IpAddress<Space::customer>::parse(text)) return *address;
  return std::nullopt;
}

std::string to_string(const RecordId& id) {
  struct Text {
    std::string operator()(const IpAddress<Space::customer>& a) const { return a.to_string(); }
    std::string operator()(const WildcardV4&) const { return "wildcard-v4"; }
    std::string operator()(const WildcardV6&) const { return "wildcard-v6"; }
    std::string operator()(const MacAddress& mac) const { return "l2-" + mac.to_string(); }
  };
  return std::visit(Text{}, id);
}

}  // namespace hnv
