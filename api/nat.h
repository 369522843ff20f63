// SPDX-License-Identifier: Apache-2.0
//
// A routing domain's NAT in JSON.
#pragma once

#include "api/json_decode.h"
#include "nat/nat_spec.h"

namespace hnv {

// Notes what is wrong in `faults`; the spec counts only when nothing was noted. What the body can
// be judged by alone is judged here; other resources are the model's matter (gateway/model_nat.cc).
[[nodiscard]] NatSpec decode_nat(const Place& place, const Json& json, Faults& faults);
[[nodiscard]] Json encode(const NatSpec& spec);

}  // namespace hnv
