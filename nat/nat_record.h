// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "compartments/byte_order.h"
#include "compartments/clock.h"
#include "compartments/ids.h"
#include "compartments/line/drop_reason.h"
#include "compartments/spsc_ring.h"
#include "nat/nat_plan.h"

namespace hnv {

// What a worker tells the control thread, which writes logs and events.
struct NatRecord {
  enum class Kind : uint8_t {
    block_given,  // an inside address got a block of ports (RFC 6888 REQ-14)
    block_returned,
    session_opened,  // where the domain logs sessions
    session_ended,
    refused,  // a new flow, under `reason`: out of something
  };
  Kind kind = Kind::block_given;
  uint8_t protocol = 0;
  DropReason reason{};             // refused; ended: why
  uint8_t from_outside = 0;        // a session that somebody outside opened
  be16 first_port{}, last_port{};  // of sessions: the public port, twice
  be16 inside_port{}, remote_port{};
  be32 inside{}, outside{}, remote{};
  CompartmentId compartment{};
  NatPoolId pool{};
  uint64_t compartment_uid = 0;
  Instant at{};       // now
  Instant started{};  // returned, ended: since when it was
};
using NatRecords = SpscRing<NatRecord, 4096>;

}  // namespace hnv
