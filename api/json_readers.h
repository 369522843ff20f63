// SPDX-License-Identifier: Apache-2.0
//
// The readers of single values that the resources share: each takes (place, json, faults, out), and
// either sets `out` or notes what was wrong and what would be right.
#pragma once

#include <array>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "api/json_decode.h"
#include "compartments/address.h"
#include "compartments/ids.h"

namespace hnv {

// A whole number in [min, max]; 5.0 and "5" are not numbers of this kind.
struct WholeNumber {
  uint64_t min = 0;
  uint64_t max = std::numeric_limits<uint32_t>::max();

  template <class T>
  void operator()(const Place& place, const Json& json, Faults& faults, T& out) const {
    if (const auto value = parse(place, json, faults)) out = static_cast<T>(*value);
  }
  [[nodiscard]] std::optional<uint64_t> parse(const Place& place, const Json& json,
                                              Faults& faults) const;
};

// The largest IP packet. RFC 791: 576 is what every host takes; RFC 791's total length ends at
// 65535.
inline constexpr WholeNumber kMtuReader{576, 65535};
inline constexpr WholeNumber kMetricReader{0, std::numeric_limits<uint32_t>::max()};

struct YesNo {  // true or false
  void operator()(const Place& place, const Json& json, Faults& faults, bool& out) const;
};
inline constexpr YesNo kYesNoReader{};

struct Text {
  size_t max = 1024;  // bytes
  void operator()(const Place& place, const Json& json, Faults& faults, std::string& out) const;
};

// Names of resources and ports: valid_resource_name of api/control.h.
struct NameReader {
  void operator()(const Place& place, const Json& json, Faults& faults, std::string& out) const;
};
inline constexpr NameReader kNameReader{};

// The text of a JSON string, or nullptr after noting that it `must` be something else.
const std::string* string_of(const Place& place, const Json& json, Faults& faults,
                             std::string_view must);
// A type with a text form: addresses, prefixes, MACs, GUIDs. `kMust` completes "must be …".
template <class T>
struct TextForm;
template <Space S>
struct TextForm<IpAddress<S>> {
  static constexpr std::string_view kMust = "an IP address such as \"10.0.0.4\" or \"2001:db8::4\"";
};
template <Space S>
struct TextForm<Prefix<S>> {
  static constexpr std::string_view kMust =
      "a prefix with no bits set behind its length, such as \"10.0.0.0/24\" or \"2001:db8::/64\"";
};
template <Space S>
struct TextForm<InterfaceAddress<S>> {
  static constexpr std::string_view kMust =
      "an IP address with its prefix length, such as \"10.0.0.4/24\" or \"2001:db8::4/64\"";
};
template <>
struct TextForm<MacAddress> {
  static constexpr std::string_view kMust = "a MAC address such as \"02:00:5e:00:00:01\"";
};
template <>
struct TextForm<Guid> {
  static constexpr std::string_view kMust =
      "a GUID such as \"0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11\"";
};

struct TextFormReader {
  template <class T>
  void operator()(const Place& place, const Json& json, Faults& faults, T& out) const {
    const std::string* text = string_of(place, json, faults, TextForm<T>::kMust);
    if (text == nullptr) return;
    const auto value = T::parse(*text);
    if (!value) {
      faults.invalid(place, fmt::format("must be {}", TextForm<T>::kMust));
    } else {
      out = *value;
    }
  }
};
inline constexpr TextFormReader kTextFormReader{};

// Why an address cannot be one host's own, or nothing: unspecified, loopback, multicast, broadcast;
// of IPv6 also link-local (every interface makes its own) and IPv4 in IPv6's clothes. Network order
// as IpAddress::bytes().
[[nodiscard]] std::string_view unfit_for_host(const std::array<uint8_t, 16>& address,
                                              Family family);
// The same with the subnet known: of IPv4 its network and broadcast addresses (RFC 3021: not in a
// /31), of IPv6 its subnet-router anycast address (RFC 4291 §2.6.1, RFC 6164: not in a /127).
[[nodiscard]] std::string_view unfit_for_host(const std::array<uint8_t, 16>& address, Family family,
                                              uint8_t length);
template <Space S>
[[nodiscard]] std::string_view unfit_for_host(const IpAddress<S>& a) {
  return unfit_for_host(a.bytes(), a.family());
}
template <Space S>
[[nodiscard]] std::string_view unfit_for_host(const IpAddress<S>& a, uint8_t length) {
  return unfit_for_host(a.bytes(), a.family(), length);
}

// An address that one host or router can own.
struct HostAddressReader {
  template <Space S>
  void operator()(const Place& place, const Json& json, Faults& faults, IpAddress<S>& out) const {
    const size_t before = faults.count();
    IpAddress<S> value;
    kTextFormReader(place, json, faults, value);
    if (faults.count() != before) return;
    if (const auto why = unfit_for_host(value); !why.empty()) {
      faults.invalid(place,
                     fmt::format("{} {}; it must be a host's address", value.to_string(), why));
    } else {
      out = value;
    }
  }
  template <Space S>
  void operator()(const Place& place, const Json& json, Faults& faults,
                  InterfaceAddress<S>& out) const {
    const size_t before = faults.count();
    InterfaceAddress<S> value;
    kTextFormReader(place, json, faults, value);
    if (faults.count() != before) return;
    if (const auto why = unfit_for_host(value.address, value.length); !why.empty()) {
      faults.invalid(place,
                     fmt::format("{} {}; it must be a host's address", value.to_string(), why));
    } else {
      out = value;
    }
  }
};
inline constexpr HostAddressReader kHostAddressReader{};

// A MAC that one station can own: not all zero, not multicast.
struct StationMacReader {
  void operator()(const Place& place, const Json& json, Faults& faults, MacAddress& out) const;
};
inline constexpr StationMacReader kStationMacReader{};

struct VlanIdReader {  // 0 = untagged
  void operator()(const Place& place, const Json& json, Faults& faults, VlanId& out) const;
};
inline constexpr VlanIdReader kVlanIdReader{};

// A list without an element twice. `max` bounds what one resource may cost.
template <class Reader>
struct ListOf {
  Reader read;
  size_t max = 1024;

  template <class T>
  void operator()(const Place& place, const Json& json, Faults& faults, std::vector<T>& out) const {
    if (!json.is_array()) return faults.invalid(place, "must be a list");
    if (json.size() > max) {
      return faults.invalid(place, fmt::format("has {} entries; at most {}", json.size(), max));
    }
    std::set<std::string> seen;
    out.clear();
    out.reserve(json.size());
    for (size_t i = 0; i < json.size(); ++i) {
      const Place element(place, i);
      T value{};
      read(element, json[i], faults, value);
      if (json[i].is_string() && !seen.insert(json[i].get_ref<const std::string&>()).second) {
        faults.invalid(element, "is listed twice");
      }
      out.push_back(std::move(value));
    }
  }
};
template <class Reader>
ListOf(Reader) -> ListOf<Reader>;
template <class Reader>
ListOf(Reader, size_t) -> ListOf<Reader>;

// An enumerator's name in JSON, for reading and writing.
template <class E, size_t N>
using Words = std::array<std::pair<std::string_view, E>, N>;

template <class E, size_t N>
[[nodiscard]] constexpr std::string_view word_of(const Words<E, N>& words, E value) {
  for (const auto& [word, meaning] : words) {
    if (meaning == value) return word;
  }
  return {};
}

template <class E, size_t N>
struct OneOf {
  const Words<E, N>& words;

  void operator()(const Place& place, const Json& json, Faults& faults, E& out) const {
    std::string must = "one of";
    for (const auto& word : words) must += fmt::format(" \"{}\"", word.first);
    const std::string* text = string_of(place, json, faults, must);
    if (text == nullptr) return;
    for (const auto& word : words) {
      if (word.first == *text) {
        out = word.second;
        return;
      }
    }
    faults.invalid(place, "must be " + must);
  }
};
template <class E, size_t N>
OneOf(const Words<E, N>&) -> OneOf<E, N>;

// Writing: a list of what has to_string().
template <class T>
[[nodiscard]] Json text_list(const std::vector<T>& values) {
  Json list = Json::array();
  for (const auto& value : values) list.push_back(value.to_string());
  return list;
}

}  // namespace hnv
