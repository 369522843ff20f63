// SPDX-License-Identifier: Apache-2.0
//
// What the answers of both families share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "compartments/line/exit.h"
#include "gateway/reentry.h"
#include "gateway/respond.h"

namespace hnv {

inline void count(Lanes& lanes, const PacketSlot& slot, OriginReason reason) {
  lanes.counters().originated[static_cast<size_t>(reason)].add();
  if (slot.compartment != nullptr) slot.compartment->counters[lanes.worker()].originated.add();
}
inline void count(Lanes& lanes, ConsumeReason reason) {
  lanes.counters().consumed[static_cast<size_t>(reason)].add();
}

// Each of `workers` has its share of a compartment's budget.
[[nodiscard]] inline bool take_icmp_token(CompartmentCounters& counters, unsigned workers,
                                          Instant now) {
  const uint64_t interval = uint64_t{1'000'000'000} / kIcmpErrorsPerSecond * workers;
  const uint32_t burst = std::max(kIcmpErrorBurst / workers, 1U);
  const uint64_t since = now.nanoseconds - counters.icmp_refilled_at;
  if (counters.icmp_refilled_at == 0 || since >= interval * burst) {
    counters.icmp_tokens = burst;
    counters.icmp_refilled_at = now.nanoseconds;
  } else if (since >= interval) {
    const auto fresh = static_cast<uint32_t>(since / interval);
    counters.icmp_tokens = std::min(counters.icmp_tokens + fresh, burst);
    counters.icmp_refilled_at += uint64_t{fresh} * interval;
  }
  if (counters.icmp_tokens == 0) return false;
  --counters.icmp_tokens;
  return true;
}

[[nodiscard]] inline Reentry inside(const PacketSlot& slot) {
  return Reentry{.mbuf = slot.mbuf,
                 .stage = Stage::route,
                 .origin = {.compartment_uid = slot.compartment->uid,
                            .compartment = slot.compartment->id,
                            .ingress = Ingress::self}};
}
[[nodiscard]] inline Reentry whole_frame(const PacketSlot& slot) {
  return Reentry{.mbuf = slot.mbuf, .stage = Stage::rewrite, .complete_frame = true};
}

[[nodiscard]] inline const wire::Mac& own_mac(const PacketSlot& slot, const Dataplane& plane) {
  if (slot.in_connection.valid()) return slot.compartment->connection(slot.in_connection).mac;
  return plane.attachments->attachments[slot.attachment.value()].mac;
}

}  // namespace hnv
