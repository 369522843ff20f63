// SPDX-License-Identifier: Apache-2.0
//
// An SA that is in use: what was negotiated, immutable, and what changes with every packet.
#pragma once

#include <cstdint>
#include <memory>

#include "compartments/counter.h"
#include "vpn/replay_window.h"
#include "vpn/sa_spec.h"

namespace hnv {

// What changes with every packet of one SA. Made with it, shared by all its later versions, so that
// neither a sequence number nor a place in the window is ever used twice. Owner: the worker of the
// tunnel; the counters may be read by any thread.
struct alignas(64) SaState {
  explicit SaState(uint32_t replay_packets) : window(replay_packets) {}

  Counter packets;
  Counter bytes;          // of inner packets
  Counter last;           // nanoseconds of the Instant of the latest packet; 0: none yet
  uint64_t sequence = 0;  // outbound: the latest that was used
  uint64_t told_at = 0;   // nanoseconds: when the control thread was last told something of it
  alignas(64) ReplayWindow window;  // inbound

  [[nodiscard]] SaUse use() const {
    return {.bytes = bytes.value(), .packets = packets.value(), .last = {last.value()}};
  }
};

// `uid` names it for good, across changes of the endpoints.
struct Sa {
  uint64_t uid = 0;
  SaSpec spec;
  std::shared_ptr<SaState> state;  // never null in an SaTable
};

}  // namespace hnv
