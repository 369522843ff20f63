// SPDX-License-Identifier: Apache-2.0
#include "compartments/terminated.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace hnv {
namespace {

auto place(const Terminated::Entry& e) { return std::tie(e.service, e.family, e.peer); }

}  // namespace

Terminated::Terminated(std::vector<TerminatedPeer> peers, unsigned workers)
    : peers_(std::move(peers)), meters_(std::make_unique<Meters[]>(workers)) {
  std::sort(peers_.begin(), peers_.end());
  peers_.erase(std::unique(peers_.begin(), peers_.end()), peers_.end());
  for (const TerminatedPeer& peer : peers_) {
    entries_.push_back({.peer = peer.peer.bytes(),
                        .own = peer.own ? peer.own->bytes() : Address{},
                        .number = static_cast<uint32_t>(entries_.size()),
                        .family = peer.peer.family(),
                        .service = peer.service,
                        .min_ttl = peer.min_ttl});
  }
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return place(a) < place(b); });
  for (unsigned worker = 0; worker < workers; ++worker) {
    meters_[worker].peers.resize(entries_.size());
  }
}

const Terminated::Entry* Terminated::find(TerminatedService service, Family family,
                                          const Address& peer, const Address& own) const {
  const auto wanted = std::tie(service, family, peer);
  auto at = std::lower_bound(entries_.begin(), entries_.end(), wanted,
                             [](const Entry& e, const auto& w) { return place(e) < w; });
  for (; at != entries_.end() && place(*at) == wanted; ++at) {
    if (at->own == own || at->own == Address{}) return &*at;
  }
  return nullptr;
}

bool Terminated::admit(const Entry& entry, unsigned worker, unsigned waiting, Instant now) const {
  Meters& mine = meters_[worker];
  if (waiting < kMoreUpTo && mine.more.take(kDomainMore, now)) return true;
  return waiting < kGuaranteedUpTo && mine.peers[entry.number].take(kGuaranteed, now) &&
         mine.guaranteed.take(kDomainGuaranteed, now);
}

std::shared_ptr<const Terminated> make_terminated(std::vector<TerminatedPeer> peers,
                                                  unsigned workers,
                                                  const std::shared_ptr<const Terminated>& before) {
  if (peers.empty()) return nullptr;
  auto made = std::make_shared<const Terminated>(std::move(peers), workers);
  if (before != nullptr && before->peers() == made->peers()) return before;
  return made;
}

}  // namespace hnv
