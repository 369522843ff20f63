// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hnv {

// A virtual subnet's id on the wire (RFC 7637 §3.2): 24 bits. HNV uses 4096..16777214; 0..0xFFF and
// 0xFFFFFF are reserved and cannot be held by this type.
class Vsid {
 public:
  static constexpr uint32_t kMin = 4096;
  static constexpr uint32_t kMax = 16777214;

  [[nodiscard]] static constexpr std::optional<Vsid> from(uint32_t n) {
    if (n < kMin || n > kMax) return std::nullopt;
    return Vsid(n);
  }
  [[nodiscard]] constexpr uint32_t value() const { return value_; }
  friend constexpr auto operator<=>(const Vsid&, const Vsid&) = default;

 private:
  explicit constexpr Vsid(uint32_t n) : value_(n) {}
  uint32_t value_;
};

// An IEEE 802.1Q VLAN id, 1..4094; 0 means untagged.
class VlanId {
 public:
  static constexpr uint16_t kMax = 4094;

  constexpr VlanId() = default;
  [[nodiscard]] static constexpr std::optional<VlanId> from(uint32_t n) {
    if (n > kMax) return std::nullopt;
    VlanId id;
    id.value_ = static_cast<uint16_t>(n);
    return id;
  }
  [[nodiscard]] static constexpr VlanId untagged() { return {}; }
  [[nodiscard]] constexpr uint16_t value() const { return value_; }
  [[nodiscard]] constexpr bool tagged() const { return value_ != 0; }
  friend constexpr auto operator<=>(const VlanId&, const VlanId&) = default;

 private:
  uint16_t value_ = 0;
};

// A small dense integer that names a slot in one of the dataplane's tables. Different tables have
// different types, so that an index of one cannot be used in another.
template <class Tag>
class Index {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  constexpr Index() = default;
  explicit constexpr Index(uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr uint32_t value() const { return value_; }
  [[nodiscard]] constexpr bool valid() const { return value_ != kNone; }
  friend constexpr auto operator<=>(const Index&, const Index&) = default;

 private:
  uint32_t value_ = kNone;
};

using CompartmentId = Index<struct CompartmentTag>;  // a routing domain's slot in the dataplane
using SubnetId = Index<struct SubnetTag>;            // a virtual subnet's slot in its compartment
using ConnectionId = Index<struct ConnectionTag>;  // a network connection's slot in its compartment
using AttachmentId = Index<struct AttachmentTag>;  // an outside (port, VLAN)
using LinkId = Index<struct LinkTag>;  // an Ethernet interface of ours: a network's, a connection's
using NextHopId = Index<struct NextHopTag>;  // an outside next hop (resolved or not)
using HopId = Index<struct HopTag>;          // what a FIB lookup yields, in its compartment
using OutsideNetworkId = Index<struct OutsideNetworkTag>;  // an external network
using TunnelId = Index<struct TunnelTag>;  // an IPsec tunnel; IKE's if_id is one more
using PortId = Index<struct PortTag>;      // a port as configured, and DPDK's port id

// A 128-bit GUID in its usual text form, e.g. "0c5a2a9c-6f0e-4f0c-9a43-2f9b5d5c1a11" (lower case).
class Guid {
 public:
  constexpr Guid() = default;
  // Accepts the 36-character form, with or without braces, in either case.
  [[nodiscard]] static std::optional<Guid> parse(std::string_view text);
  // A random (version 4) GUID from the operating system's generator.
  [[nodiscard]] static Guid random();
  [[nodiscard]] std::string to_string() const;
  friend constexpr auto operator<=>(const Guid&, const Guid&) = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

}  // namespace hnv
