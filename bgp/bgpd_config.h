// SPDX-License-Identifier: Apache-2.0
//
// What bgpd is told: each routing domain as lines of its configuration, by deltas. Pure. A domain
// is rendered into statements; what is in the new list and not in the old one is said, what is only
// in the old one is taken back. A statement that replaces another of the same kind takes nothing
// back, so that a session survives what need not end it.
//
// bgpd's route maps and lists are the same for all its VRFs. So every name of a domain's begins
// with its number, and has nothing of another tenant's; what begins with "all:" is common to all.
//
// A new peer is kept shut until all is said of it. Every peer has a map in either direction, in
// which what always holds comes first: no default route, no transit, and nothing at all for an
// external peer without a policy (RFC 8212). Without a policy it is a common one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bgp/bgp_spec.h"

namespace hnv {

struct BgpdLine {
  std::string text;
  SharedSecret secret{};  // what follows the text, or nothing; never in a log
  friend bool operator==(const BgpdLine&, const BgpdLine&) = default;
};

// Lines that stand in one place: `context` are the commands that lead there from the
// configuration's top. When one of those fails, the lines must not be said: they would be taken for
// something else.
struct BgpdBlock {
  std::vector<std::string> context;
  std::vector<BgpdLine> lines;
  friend bool operator==(const BgpdBlock&, const BgpdBlock&) = default;
};
using BgpdBatch = std::vector<BgpdBlock>;

// The name of a domain's VRF in bgpd, and of its namespace there: "d7".
[[nodiscard]] std::string bgpd_name(uint32_t domain);

// Comes before anything else: the maps of all domains, and an instance without peers, which is
// found first and makes every lookup of bgpd's short.
[[nodiscard]] BgpdBatch bgpd_prelude();

class BgpdConfig {
 public:
  // A domain as it shall be from now on. REQUIRES check(spec).empty().
  [[nodiscard]] BgpdBatch set(uint32_t domain, const BgpDomainSpec& spec);
  [[nodiscard]] BgpdBatch remove(uint32_t domain);
  // All of it, for a bgpd that has nothing of the domain.
  [[nodiscard]] BgpdBatch everything(uint32_t domain) const;
  [[nodiscard]] const BgpDomainSpec* find(uint32_t domain) const;
  [[nodiscard]] const std::map<uint32_t, BgpDomainSpec>& domains() const { return domains_; }

 private:
  std::map<uint32_t, BgpDomainSpec> domains_;
};

// A regular expression of bgpd's for the numbers from first to last, both included.
[[nodiscard]] std::string numbers_regex(uint32_t first, uint32_t last);

}  // namespace hnv
