// SPDX-License-Identifier: Apache-2.0
//
// A router advertisement (RFC 4861 §4.2) as a packet. Pure; who gets it, and when, is the gateway's
// RouterAdvertiser's.
#pragma once

#include <cstdint>
#include <vector>

#include "compartments/address.h"
#include "compartments/wire.h"

namespace hnv {

struct RouterAdvertisement {
  // §4.6.2. Lifetimes in seconds; all ones: for ever.
  struct PrefixInformation {
    wire::Address6 prefix{};
    uint8_t length = 0;
    bool on_link = false;
    bool autonomous = false;
    uint32_t valid_lifetime = 0;
    uint32_t preferred_lifetime = 0;
    friend bool operator==(const PrefixInformation&, const PrefixInformation&) = default;
  };
  // So many fit into 1,280 bytes, which every link carries (RFC 8200 §5).
  static constexpr size_t kMaxPrefixes = 32;

  wire::Mac mac{};  // ours there: the source is its link-local address
  bool managed = false;
  bool other_config = false;
  uint16_t router_lifetime = 0;  // seconds; 0: no default router
  uint16_t mtu = 0;              // 0: not told
  std::vector<PrefixInformation> prefixes;
  friend bool operator==(const RouterAdvertisement& a, const RouterAdvertisement& b) {
    return a.mac.key() == b.mac.key() && a.managed == b.managed &&
           a.other_config == b.other_config && a.router_lifetime == b.router_lifetime &&
           a.mtu == b.mtu && a.prefixes == b.prefixes;
  }
};

// IPv6 header and message, to one host's link-local address or to all nodes. REQUIRES at most
// kMaxPrefixes.
[[nodiscard]] std::vector<uint8_t> packet_of(const RouterAdvertisement& advertisement,
                                             const wire::Address6& destination);

// The last one (§6.2.5): no default router any more, and nothing else.
[[nodiscard]] RouterAdvertisement final_of(const RouterAdvertisement& advertisement);

}  // namespace hnv
