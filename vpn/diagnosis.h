// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a tunnel, in an operator's words: what both sides offered, and which of our
// properties, or what at the site, to change. Names properties as the API does
// (`ipSecConfiguration`). Pure, and never a secret: it does not look at any.
#pragma once

#include <string>
#include <vector>

#include "vpn/ike_attempt.h"
#include "vpn/tunnel_doctor.h"
#include "vpn/tunnel_spec.h"

namespace hnv {

struct Diagnosis {
  struct Compared {
    std::string what;
    std::vector<std::string> gateway, site;  // empty: it did not say
  };
  std::string summary;  // one sentence
  std::vector<Compared> compared;
  std::vector<std::string> what_to_change;
};

// REQUIRES attempt.fault != none.
[[nodiscard]] Diagnosis diagnose(const TunnelSpec& spec, const IkeAttempt& attempt);
[[nodiscard]] Diagnosis diagnose(const StrangerFault& fault);

}  // namespace hnv
