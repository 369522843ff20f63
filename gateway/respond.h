// SPDX-License-Identifier: Apache-2.0
//
// The one place that answers. What a station could not let pass with a question in it (ARP, echo)
// or refused with a reason is turned, in its own buffer, into the answer, which re-enters the line
// in the next breath: at `route` in its compartment, or at `rewrite` as a whole frame.
#pragma once

#include "compartments/clock.h"
#include "compartments/line/exit.h"
#include "gateway/dataplane.h"
#include "gateway/reentry.h"

namespace hnv {

// ICMP errors of one compartment: a token bucket (RFC 1812 §4.3.2.8). Each of n workers has an n-th
// of the rate and of the burst (at least one) of its own: nothing is shared, and the compartment
// never gets more, but one whose packets are all at one worker gets less.
inline constexpr uint32_t kIcmpErrorsPerSecond = 100;
inline constexpr uint32_t kIcmpErrorBurst = 50;

void respond(Burst<Side::outside> in, const Dataplane& plane, Instant now, Lanes& lanes,
             ReentryQueue& reentry);

}  // namespace hnv
