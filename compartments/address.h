// SPDX-License-Identifier: Apache-2.0
//
// Addresses as types. A customer address (CA, inside one routing domain), a provider address (PA,
// on the fabric) and an external address (a physical or public network) are different types: mixing
// them does not compile. All values are held in host order or as plain bytes and are pure values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace hnv {

enum class Space : uint8_t { customer, provider, external };
enum class Family : uint8_t { ipv4, ipv6 };

template <Space S>
class Ip4 {
 public:
  constexpr Ip4() = default;
  explicit constexpr Ip4(uint32_t host_order) : value_(host_order) {}
  [[nodiscard]] constexpr uint32_t value() const { return value_; }  // host order
  friend constexpr auto operator<=>(const Ip4&, const Ip4&) = default;

 private:
  uint32_t value_ = 0;
};

template <Space S>
class Ip6 {
 public:
  using Bytes = std::array<uint8_t, 16>;
  constexpr Ip6() = default;
  explicit constexpr Ip6(const Bytes& network_order) : bytes_(network_order) {}
  [[nodiscard]] constexpr const Bytes& bytes() const { return bytes_; }
  friend constexpr auto operator<=>(const Ip6&, const Ip6&) = default;

 private:
  Bytes bytes_{};
};

using CaAddress = Ip4<Space::customer>;
using PaAddress = Ip4<Space::provider>;
using CaAddress6 = Ip6<Space::customer>;
using PaAddress6 = Ip6<Space::provider>;

namespace address_text {  // untyped text conversion, shared by all spaces
[[nodiscard]] std::optional<uint32_t> parse4(std::string_view text);
[[nodiscard]] std::optional<std::array<uint8_t, 16>> parse6(std::string_view text);
[[nodiscard]] std::string format4(uint32_t host_order);
[[nodiscard]] std::string format6(const std::array<uint8_t, 16>& bytes);
}  // namespace address_text

// An IPv4 or IPv6 address of one space. Ordered by family, then numerically.
template <Space S>
class IpAddress {
 public:
  constexpr IpAddress() = default;
  constexpr IpAddress(Ip4<S> a) : family_(Family::ipv4) {  // NOLINT(google-explicit-constructor)
    for (unsigned i = 0; i < 4; ++i) bytes_[i] = static_cast<uint8_t>(a.value() >> (24 - 8 * i));
  }
  constexpr IpAddress(const Ip6<S>& a)  // NOLINT(google-explicit-constructor)
      : family_(Family::ipv6), bytes_(a.bytes()) {}

  // Strict text forms: dotted quad without leading zeros, or RFC 4291 without a zone.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text) {
    if (const auto v4 = address_text::parse4(text)) return IpAddress(Ip4<S>(*v4));
    if (const auto v6 = address_text::parse6(text)) return IpAddress(Ip6<S>(*v6));
    return std::nullopt;
  }
  [[nodiscard]] std::string to_string() const {  // RFC 5952 for IPv6
    return is_v4() ? address_text::format4(v4().value()) : address_text::format6(bytes_);
  }

  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] constexpr bool is_v4() const { return family_ == Family::ipv4; }
  [[nodiscard]] constexpr Ip4<S> v4() const {  // REQUIRES is_v4()
    return Ip4<S>(uint32_t{bytes_[0]} << 24 | uint32_t{bytes_[1]} << 16 | uint32_t{bytes_[2]} << 8 |
                  uint32_t{bytes_[3]});
  }
  [[nodiscard]] constexpr Ip6<S> v6() const { return Ip6<S>(bytes_); }  // REQUIRES !is_v4()
  // Network order; an IPv4 address fills the first four bytes, the others are zero.
  [[nodiscard]] constexpr const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  // Bits of the family: 32 or 128.
  [[nodiscard]] constexpr uint8_t bits() const { return is_v4() ? 32 : 128; }
  [[nodiscard]] constexpr bool unspecified() const { return bytes_ == decltype(bytes_){}; }
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  Family family_ = Family::ipv4;
  std::array<uint8_t, 16> bytes_{};
};

// An address prefix in canonical form: bits behind the length are zero.
template <Space S>
class Prefix {
 public:
  constexpr Prefix() = default;  // 0.0.0.0/0
  // Masks the host bits away. REQUIRES length <= address.bits().
  constexpr Prefix(const IpAddress<S>& address, uint8_t length) : length_(length) {
    auto bytes = address.bytes();
    for (unsigned i = 0; i < 16; ++i) {
      const unsigned from = i * 8;
      if (from >= length) {
        bytes[i] = 0;
      } else if (from + 8 > length) {
        bytes[i] = static_cast<uint8_t>(bytes[i] & (0xff00U >> (length - from)));
      }
    }
    if (address.is_v4()) {
      address_ = Ip4<S>(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
                        uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]});
    } else {
      address_ = Ip6<S>(bytes);
    }
  }

  // "10.0.0.0/8" or "2001:db8::/32". Host bits set are refused: nullopt, as for any malformed text.
  [[nodiscard]] static std::optional<Prefix> parse(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = IpAddress<S>::parse(text.substr(0, slash));
    const auto length = parse_length(text.substr(slash + 1));
    if (!address || !length || *length > address->bits()) return std::nullopt;
    const Prefix prefix(*address, *length);
    if (prefix.address() != *address) return std::nullopt;
    return prefix;
  }
  [[nodiscard]] std::string to_string() const {
    return address_.to_string() + "/" + std::to_string(length_);
  }

  [[nodiscard]] constexpr const IpAddress<S>& address() const { return address_; }
  [[nodiscard]] constexpr uint8_t length() const { return length_; }
  [[nodiscard]] constexpr Family family() const { return address_.family(); }
  [[nodiscard]] constexpr bool contains(const IpAddress<S>& a) const {
    return a.family() == family() && Prefix(a, length_).address_ == address_;
  }
  [[nodiscard]] constexpr bool overlaps(const Prefix& other) const {
    if (family() != other.family()) return false;
    return length_ <= other.length_ ? contains(other.address_) : other.contains(address_);
  }
  friend constexpr auto operator<=>(const Prefix&, const Prefix&) = default;

  // A decimal length 0..128 without sign or leading zeros.
  [[nodiscard]] static constexpr std::optional<uint8_t> parse_length(std::string_view text) {
    if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    unsigned value = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + static_cast<unsigned>(c - '0');
    }
    if (value > 128) return std::nullopt;
    return static_cast<uint8_t>(value);
  }

 private:
  IpAddress<S> address_;
  uint8_t length_ = 0;
};

// An interface's own address together with the length of the prefix that is on-link there:
// "10.1.0.2/24" keeps its host bits.
template <Space S>
struct InterfaceAddress {
  IpAddress<S> address;
  uint8_t length = 0;

  [[nodiscard]] constexpr Prefix<S> prefix() const { return Prefix<S>(address, length); }
  [[nodiscard]] static std::optional<InterfaceAddress> parse(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = IpAddress<S>::parse(text.substr(0, slash));
    const auto length = Prefix<S>::parse_length(text.substr(slash + 1));
    if (!address || !length || *length > address->bits()) return std::nullopt;
    return InterfaceAddress{*address, *length};
  }
  [[nodiscard]] std::string to_string() const {
    return address.to_string() + "/" + std::to_string(length);
  }
  friend constexpr auto operator<=>(const InterfaceAddress&, const InterfaceAddress&) = default;
};

// An IEEE 802 MAC address. Text form "02:00:5e:00:00:01"; '-' or no separator is accepted too.
class MacAddress {
 public:
  using Bytes = std::array<uint8_t, 6>;
  constexpr MacAddress() = default;
  explicit constexpr MacAddress(const Bytes& bytes) : bytes_(bytes) {}
  [[nodiscard]] static constexpr MacAddress broadcast() {
    return MacAddress({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  }
  [[nodiscard]] static std::optional<MacAddress> parse(std::string_view text);
  // A random locally administered unicast address.
  [[nodiscard]] static MacAddress random_local();
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] constexpr const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] constexpr bool multicast() const { return (bytes_[0] & 1) != 0; }
  [[nodiscard]] constexpr bool zero() const { return bytes_ == Bytes{}; }
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;

 private:
  Bytes bytes_{};
};

}  // namespace hnv
