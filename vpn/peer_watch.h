// SPDX-License-Identifier: Apache-2.0
//
// Which sites have fallen silent. charon asks a site that says nothing whether it is there (RFC
// 7296 §2.4) and sends every request again and again, for 42 s, since its pace is one for all
// tunnels. An operator's patience is a tunnel's own, and shorter: charon's log says when a request
// has to be sent again, and when anything authentic comes, and that is watched here.
//
// Threads: one, the control thread.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "compartments/clock.h"
#include "vpn/tunnel_spec.h"

namespace hnv {

class PeerWatch {
 public:
  // charon's `retransmit_timeout`: how long it waits before it sends a request for the second time.
  static constexpr Duration kFirstWait = std::chrono::seconds(2);

  struct Silent {
    uint32_t if_id = 0;
    uint32_t ike_sa = 0;  // charon's number
  };

  // `patience`: how long a request may be unanswered. REQUIRES kFirstWait at least.
  void set(uint32_t if_id, Duration patience);
  void remove(uint32_t if_id);
  void clear() { waiting_.clear(); }  // charon is gone

  // A line of an IKE SA's log.
  void heard(uint32_t if_id, uint32_t ike_sa, std::string_view text, Instant now);
  // Those whose patience is over; each once.
  [[nodiscard]] std::vector<Silent> take_silent(Instant now);

 private:
  std::map<uint32_t, Duration> patience_;                     // by if_id
  std::map<std::pair<uint32_t, uint32_t>, Instant> waiting_;  // (if_id, IKE SA): until when
};

// Half of networkOutageTimeSeconds, a second at least: after so long a silence charon asks, and the
// other half is for the answer, kFirstWait at least. Together they are that time, or four seconds.
[[nodiscard]] uint32_t silence_before_asking_seconds(const TunnelSpec& spec);
[[nodiscard]] Duration patience_for_answers(const TunnelSpec& spec);

}  // namespace hnv
