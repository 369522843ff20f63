// SPDX-License-Identifier: Apache-2.0
//
// What bgpd says of a session. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "compartments/address.h"
#include "compartments/result.h"

namespace hnv {

struct BgpMessageCounts {
  uint64_t opens = 0;
  uint64_t notifications = 0;
  uint64_t updates = 0;
  uint64_t keepalives = 0;
  uint64_t route_refreshes = 0;
  friend bool operator==(const BgpMessageCounts&, const BgpMessageCounts&) = default;
};

struct BgpPeerState {
  // RFC 4271 §8.2.2: Idle, Connect, Active, OpenSent, OpenConfirm, Established; bgpd may add a
  // reason, as in "Idle (PfxCt)".
  std::string connection_state = "Idle";
  uint64_t up_milliseconds = 0;   // of a session that is established
  std::string last_reset;         // why the last one ended, in bgpd's words; empty: none did
  std::string last_notification;  // what the NOTIFICATION said, if there was one
  uint64_t established = 0;       // how often it came up
  uint64_t dropped = 0;
  BgpMessageCounts sent{};
  BgpMessageCounts received{};
  uint64_t prefixes_accepted = 0;  // both families together
  uint64_t prefixes_sent = 0;
  uint32_t hold_time_seconds = 0;  // as negotiated
  std::string bfd;                 // "Up", "Down", …; empty: none
  [[nodiscard]] bool is_established() const { return connection_state == "Established"; }
};

// The answer to `show bgp vrf NAME neighbors json`, by peer. Members that are missing read as zero;
// an error when it is no JSON object.
[[nodiscard]] Result<std::map<IpAddress<Space::customer>, BgpPeerState>> read_peer_states(
    std::string_view json);

}  // namespace hnv
