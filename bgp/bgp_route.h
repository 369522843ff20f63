// SPDX-License-Identifier: Apache-2.0
//
// Routes as bgpd has them in its tables, read out of what it says of them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compartments/address.h"
#include "compartments/result.h"

namespace hnv {

// One path to a prefix (RFC 4271 §3.2). What bgpd does not say is absent or empty.
struct BgpRoute {
  Prefix<Space::customer> prefix;
  std::string next_hop{};                            // empty: this router itself
  std::optional<IpAddress<Space::customer>> peer{};  // who told it; absent: we did
  std::string as_path{};                             // "65010 65020"; empty: of this AS
  std::string origin{};                              // IGP, EGP, incomplete
  std::optional<uint32_t> local_pref{};
  std::optional<uint32_t> med{};
  uint32_t weight = 0;
  std::vector<std::string> communities{};  // RFC 1997 "65010:7", RFC 8092 "65010:1:2", "no-export"
  bool valid = false;                      // can be used at all
  bool best = false;                       // is used: the one chosen, or beside it (ECMP)
  bool stale = false;                      // of a peer that restarts (RFC 4724)
  std::string reason{};                    // why it is best, or is not valid; in words
  std::optional<uint64_t> updated{};       // seconds since 1970, by bgpd's clock
  friend bool operator==(const BgpRoute&, const BgpRoute&) = default;
};

// The answer to `show bgp vrf NAME AFI unicast PREFIX json`: the prefix's paths, the best one first
// where bgpd puts it so. Empty: bgpd has none. An error when it is no JSON object.
[[nodiscard]] Result<std::vector<BgpRoute>> read_bgp_paths(const Prefix<Space::customer>& prefix,
                                                           std::string_view json);
// A member of `advertisedRoutes`, of `show bgp … neighbors PEER advertised-routes json`. bgpd says
// neither communities nor age there. The next hop is the one in our table; the peer is told our own
// address.
[[nodiscard]] Result<BgpRoute> read_advertised(const Prefix<Space::customer>& prefix,
                                               std::string_view json);

// How large a table is, of `show bgp vrf NAME AFI unicast summary json`.
struct BgpTableSize {
  uint64_t nodes = 0;  // prefixes, and what bgpd's tree needs between them: at least the prefixes
  uint64_t told = 0;   // prefixes that the peer was told
};
[[nodiscard]] Result<BgpTableSize> read_table_size(
    const std::optional<IpAddress<Space::customer>>& peer, std::string_view json);

}  // namespace hnv
