// SPDX-License-Identifier: Apache-2.0
#include "vpn/peer_watch.h"

#include <algorithm>

namespace hnv {

void PeerWatch::set(uint32_t if_id, Duration patience) { patience_[if_id] = patience; }

void PeerWatch::remove(uint32_t if_id) {
  patience_.erase(if_id);
  std::erase_if(waiting_, [&](const auto& one) { return one.first.first == if_id; });
}

void PeerWatch::heard(uint32_t if_id, uint32_t ike_sa, std::string_view text, Instant now) {
  // Only what was decrypted is "parsed" of an IKE SA that is established.
  if (text.starts_with("parsed ") || text.starts_with("giving up after ")) {
    waiting_.erase({if_id, ike_sa});
  } else if (text.starts_with("retransmit ")) {
    const auto patience = patience_.find(if_id);
    if (patience == patience_.end()) return;
    waiting_.try_emplace({if_id, ike_sa}, now + patience->second - kFirstWait);
  }
}

std::vector<PeerWatch::Silent> PeerWatch::take_silent(Instant now) {
  std::vector<Silent> out;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (now < at->second) {
      ++at;
      continue;
    }
    out.push_back({at->first.first, at->first.second});
    at = waiting_.erase(at);
  }
  return out;
}

uint32_t silence_before_asking_seconds(const TunnelSpec& spec) {
  return std::max<uint32_t>(1, spec.network_outage_time_seconds / 2);
}

Duration patience_for_answers(const TunnelSpec& spec) {
  constexpr uint32_t kCharonsClock = 1;  // it counts whole seconds
  const uint32_t asked = silence_before_asking_seconds(spec) + kCharonsClock;
  const uint32_t left =
      spec.network_outage_time_seconds - std::min(spec.network_outage_time_seconds, asked);
  return std::max<Duration>(std::chrono::seconds(left), PeerWatch::kFirstWait);
}

}  // namespace hnv
