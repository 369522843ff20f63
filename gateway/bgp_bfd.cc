// SPDX-License-Identifier: Apache-2.0
#include "gateway/bgp_bfd.h"

#include <algorithm>

namespace hnv {
namespace {

using std::chrono::milliseconds;

// Null: the domain has no such peer, or that has no BFD.
const BgpPeerSpec* peer_of(const CompiledBgp& bgp, const BgpAddress& address) {
  for (const auto& [name, peer] : bgp.spec.peers) {
    if (peer.peer_ip_address == address && peer.bfd) return &peer;
  }
  return nullptr;
}

bool has(const CompiledBgp& bgp, const BgpAddress& own) {
  return std::any_of(bgp.addresses.begin(), bgp.addresses.end(),
                     [&](const auto& one) { return one.address == own; });
}

// The gateway's end: as it is configured, else as bgpd says, which it does once there was a BGP
// session, else that on the peer's own network. Absent: it is not known yet.
std::optional<BgpAddress> own_end(const CompiledBgp& bgp, const BgpPeerSpec& peer,
                                  const ZapiBfdSession& asked) {
  if (peer.local_ip_address) {
    return has(bgp, *peer.local_ip_address) ? peer.local_ip_address : std::nullopt;
  }
  if (asked.source && has(bgp, *asked.source)) return asked.source;
  const InterfaceAddress<Space::customer>* best = nullptr;
  for (const auto& own : bgp.addresses) {
    if (!own.prefix().contains(asked.destination)) continue;
    if (best == nullptr || best->length < own.length) best = &own;
  }
  return best == nullptr ? std::nullopt : std::optional(best->address);
}

BfdTimers timers_of(const ZapiBfdSession& asked) {
  return {.min_transmit = milliseconds(asked.min_transmit_milliseconds),
          .min_receive = milliseconds(asked.min_receive_milliseconds),
          .multiplier = asked.multiplier};
}

ZapiBfdState zapi_state(BfdState state) {
  if (state == BfdState::up) return ZapiBfdState::up;
  return state == BfdState::admin_down ? ZapiBfdState::admin_down : ZapiBfdState::down;
}

}  // namespace

void BgpBfd::configure(uint32_t number, CompartmentId domain, uint64_t uid,
                       std::shared_ptr<const CompiledBgp> bgp) {
  Domain& at = domains_[number];
  at.compartment = domain;
  at.uid = uid;
  at.bgp = std::move(bgp);
  numbers_[uid] = number;
  unsettled_.insert(number);
}

void BgpBfd::remove(uint32_t number) {
  const auto at = domains_.find(number);
  if (at == domains_.end()) return;
  sessions_.remove_domain(at->second.uid);
  numbers_.erase(at->second.uid);
  domains_.erase(at);
  unsettled_.erase(number);
}

void BgpBfd::take(uint32_t number, const ZapiBfdSession& asked) {
  const auto at = domains_.find(number);
  if (at == domains_.end()) return;
  const Key key{asked.destination, asked.multihop};
  if (asked.change == ZapiBfdSession::Change::remove) {
    const auto request = at->second.requests.find(key);
    if (request != at->second.requests.end()) request->second.taken_back = true;
  } else {
    Request& request = at->second.requests[key];
    request.asked = asked;
    request.taken_back = false;
    request.to_tell = true;
  }
  unsettled_.insert(number);
}

void BgpBfd::step(Instant now) {
  for (const uint32_t number : std::exchange(unsettled_, {})) {
    settle(number, domains_.at(number), now);
  }
}

// What bgpd takes back, to give it anew a moment later with the session's own address, goes on:
// else it would hear of a failure. It ends when bgpd asks for the other kind instead, or by
// configuration.
void BgpBfd::settle(uint32_t number, Domain& domain, Instant now) {
  for (auto at = domain.requests.begin(); at != domain.requests.end();) {
    const auto& [peer, multihop] = at->first;
    const auto other = domain.requests.find({peer, !multihop});
    const bool replaced = at->second.taken_back && other != domain.requests.end();
    const bool over = replaced || peer_of(*domain.bgp, peer) == nullptr;
    if (over) {
      if (at->second.path) sessions_.remove(*at->second.path);
      at = domain.requests.erase(at);
    } else {
      settle(number, domain, at->second, now);
      ++at;
    }
  }
}

void BgpBfd::settle(uint32_t number, const Domain& domain, Request& request, Instant now) {
  const ZapiBfdSession& asked = request.asked;
  const BgpPeerSpec* peer = peer_of(*domain.bgp, asked.destination);
  std::optional<BfdControl::Path> wanted;
  if (peer != nullptr && peer->admin_status == BgpAdminStatus::enabled) {
    if (const auto own = own_end(*domain.bgp, *peer, asked)) {
      wanted = BfdControl::Path{
          .uid = domain.uid, .own = *own, .peer = asked.destination, .multihop = asked.multihop};
    }
  }
  if (request.path && request.path != wanted) {
    sessions_.remove(*request.path);
    // That is no failure (RFC 5882 §4.2), whatever becomes of the next one.
    tell_(number, asked, ZapiBfdState::admin_down);
    request.to_tell = true;
  }
  request.path = wanted;
  if (!wanted) return;
  sessions_.set(*wanted, domain.compartment, timers_of(asked), now);
  if (!std::exchange(request.to_tell, false)) return;
  tell_(number, asked, zapi_state(sessions_.session(*wanted)->state()));
}

void BgpBfd::turned(const BfdControl::Path& path, BfdState state) {
  const auto number = numbers_.find(path.uid);
  if (number == numbers_.end()) return;
  const Domain& domain = domains_.at(number->second);
  const auto request = domain.requests.find({path.peer, path.multihop});
  if (request == domain.requests.end() || request->second.path != path) return;
  tell_(number->second, request->second.asked, zapi_state(state));
}

const BfdSession* BgpBfd::session(uint32_t number, const BgpAddress& peer) const {
  const auto at = domains_.find(number);
  if (at == domains_.end()) return nullptr;
  for (const bool multihop : {false, true}) {
    const auto request = at->second.requests.find({peer, multihop});
    if (request == at->second.requests.end() || !request->second.path) continue;
    return sessions_.session(*request->second.path);
  }
  return nullptr;
}

}  // namespace hnv
