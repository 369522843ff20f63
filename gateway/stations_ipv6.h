// SPDX-License-Identifier: Apache-2.0
//
// What the stations do with IPv6, each in a file beside its station's: the IPv4 loops stay as short
// as they are. The line hands a station's vector over by family (gateway/line.cc).
#pragma once

#include "compartments/clock.h"
#include "compartments/line/exit.h"
#include "gateway/dataplane.h"
#include "gateway/enter_nvgre.h"
#include "gateway/reentry.h"
#include "gateway/terminate.h"

namespace hnv {

// Outer IPv6, with neighbour discovery. MACs, tag and type are read.
void classify_ipv6(Packet<Side::outside> packet, const Attachment& attachment,
                   const Dataplane& plane, Exit<Stage::classify> out);
// NVGRE over IPv6, whatever is inside.
void enter_nvgre_over_ipv6(Burst<Side::outside> in, const Dataplane& plane,
                           Exit<Stage::enter_nvgre> out);
// Frames whose VSID is bound and whose inner type is IPv6, whatever carries them. Uses the array.
void enter_nvgre_ipv6(NvgreCandidate* candidates, unsigned count, const Dataplane& plane,
                      Exit<Stage::enter_nvgre> out);
void enter_l3_ipv6(Burst<Side::outside> in, Exit<Stage::enter_l3> out);
void route_ipv6(Burst<Side::inside> in, const PuntGate& gate, Exit<Stage::route> out);
void leave_nvgre_ipv6(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_nvgre> out);
void leave_l3_ipv6(Burst<Side::inside> in, const Dataplane& plane, Exit<Stage::leave_l3> out);
void respond_ipv6(Packet<Side::outside> packet, const Dataplane& plane, Instant now, Lanes& lanes,
                  ReentryQueue& reentry);

}  // namespace hnv
