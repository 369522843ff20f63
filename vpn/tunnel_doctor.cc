// SPDX-License-Identifier: Apache-2.0
#include "vpn/tunnel_doctor.h"

#include <algorithm>
#include <utility>

#include "vpn/charon_config.h"

namespace hnv {
namespace {

constexpr unsigned kSearchesASecond = 50;
// Of two faults the one that says more is shown, unless it is this much older.
constexpr Duration kStillTrue = std::chrono::minutes(5);

size_t slot_of(const IkeAttempt& attempt) {
  return attempt.began == IkeAttempt::Began::site ? 1 : 0;
}

// Identities are compared as the specification keeps them.
std::string plain(std::string_view identity) {
  std::string out(identity);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

bool names(std::string_view identity) { return !identity.empty() && identity != "%any"; }

}  // namespace

void TunnelDoctor::set(uint32_t if_id, const TunnelSpec& spec) {
  Known known;
  known.local_host = spec.source_ip_address.to_string();
  if (spec.destination_ip_address) known.remote_host = spec.destination_ip_address->to_string();
  known.local_id = plain(local_identity(spec));
  known.remote_id = plain(remote_identity(spec));
  known.method = spec.authentication_method;
  // Of what was tried with the specification before, nothing is true any more.
  tunnels_.insert_or_assign(if_id, std::move(known));
  new_faults_.erase(if_id);
}

void TunnelDoctor::remove(uint32_t if_id) {
  tunnels_.erase(if_id);
  new_faults_.erase(if_id);
}

void TunnelDoctor::came_up(uint32_t if_id) {
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end()) return;
  at->second.up = true;
  for (auto& attempt : at->second.failed) attempt.reset();
  for (auto& attempt : at->second.current) {
    if (attempt) attempt->fault = TunnelFault::none;
  }
  new_faults_.erase(if_id);
}

void TunnelDoctor::went_down(uint32_t if_id) {
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end()) return;
  at->second.up = false;
  // What another attempt met while the tunnel was up did not end it.
  for (auto& attempt : at->second.current) {
    if (attempt && !attempt->child_established) attempt->fault = TunnelFault::none;
  }
}

void TunnelDoctor::fell_silent(uint32_t if_id, uint32_t ike_sa, Instant now) {
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end()) return;
  for (auto& attempt : at->second.current) {
    if (!attempt || attempt->ike_sa != ike_sa) continue;
    attempt->fault = TunnelFault::no_answer;
    attempt->established = attempt->child_established = true;
    attempt->found = now;
    new_faults_.insert(if_id);
  }
}

void TunnelDoctor::charon_ended() {
  unnamed_.clear();
  for (auto& [if_id, tunnel] : tunnels_) {
    tunnel.up = false;
    for (auto& attempt : tunnel.current) {
      if (attempt) attempt->ike_sa = 0;
    }
  }
}

IkeAttempt& TunnelDoctor::unnamed(uint32_t ike_sa) {
  const auto at = std::find_if(unnamed_.begin(), unnamed_.end(),
                               [&](const IkeAttempt& one) { return one.ike_sa == ike_sa; });
  if (at != unnamed_.end()) return *at;
  if (unnamed_.size() >= kMostUnnamed) unnamed_.pop_back();
  unnamed_.emplace_front();
  unnamed_.front().ike_sa = ike_sa;
  return unnamed_.front();
}

IkeAttempt& TunnelDoctor::attempt_of(Known& tunnel, uint32_t ike_sa) {
  for (auto& attempt : tunnel.current) {
    if (attempt && attempt->ike_sa == ike_sa) return *attempt;
  }
  IkeAttempt fresh;
  fresh.ike_sa = ike_sa;
  const auto at = std::find_if(unnamed_.begin(), unnamed_.end(),
                               [&](const IkeAttempt& one) { return one.ike_sa == ike_sa; });
  if (at != unnamed_.end()) {
    fresh = std::move(*at);
    unnamed_.erase(at);
  } else if (tunnel.up) {
    // New keys of an IKE SA make it another one; an attempt of ours says so with its first line.
    fresh.init_answered = fresh.established = fresh.child_established = true;
  }
  auto& current = tunnel.current[slot_of(fresh)];
  auto& failed = tunnel.failed[slot_of(fresh)];
  if (current && current->fault != TunnelFault::none) failed = std::move(*current);
  current = std::move(fresh);
  return *current;
}

// What only the tunnel's specification tells: which of the things that charon compared at once it
// was.
void TunnelDoctor::refine(const Known& tunnel, IkeAttempt& attempt) {
  const auto is = [&attempt](TunnelFault fault, std::string_view seen, std::string_view right) {
    attempt.fault = fault;
    attempt.detail = seen;
    attempt.expected = right;
  };
  const bool itself = plain(attempt.claimed) == tunnel.remote_id;
  if (attempt.fault == TunnelFault::site_identity && itself) {
    // There was no secret for who it is: it should have had a certificate.
    if (tunnel.method == IkeAuthentication::certificate) {
      is(TunnelFault::authentication_method, "a secret", "a certificate");
    }
    return;
  }
  if (attempt.fault != TunnelFault::unknown_site || !names(attempt.claimed)) return;
  const std::string seen = attempt.claimed;
  if (!itself) {
    is(TunnelFault::site_identity, seen, tunnel.remote_id);
  } else if (!tunnel.remote_host.empty() && tunnel.remote_host != attempt.remote_host) {
    is(TunnelFault::site_address, attempt.remote_host, tunnel.remote_host);
  } else if (names(attempt.asked) && plain(attempt.asked) != tunnel.local_id) {
    is(TunnelFault::own_identity, attempt.asked, tunnel.local_id);
  }
}

void TunnelDoctor::heard(const IkeLogLine& line, Instant now) {
  if (line.ike_sa == 0) return take_unowned(line.text, now);
  const auto if_id = if_id_of(line.connection);
  if (const auto at = if_id ? tunnels_.find(*if_id) : tunnels_.end(); at != tunnels_.end()) {
    IkeAttempt& attempt = attempt_of(at->second, line.ike_sa);
    if (!attempt.take(line.group, line.text, now)) return;
    refine(at->second, attempt);
    new_faults_.insert(*if_id);
    return;
  }
  IkeAttempt& attempt = unnamed(line.ike_sa);
  if (attempt.take(line.group, line.text, now)) attribute(attempt, now);
}

void TunnelDoctor::take_unowned(std::string_view text, Instant now) {
  const IkeSaid said = read_ike_log(text);
  StrangerFault stranger;
  if (said.fact == IkeFact::half_open_limit) {
    stranger.fault = TunnelFault::setups_limited;
  } else if (said.fact == IkeFact::garbage) {
    stranger.fault = TunnelFault::garbage;
  } else {
    return;
  }
  stranger.remote_address = shown(said.gaps[0]);
  note_stranger(std::move(stranger), now);
}

TunnelDoctor::Match TunnelDoctor::match(const IkeAttempt& attempt) const {
  Match by_identity;
  Match by_address;
  const auto note = [](Match& match, uint32_t if_id) {
    match.tunnel = ++match.possible == 1 ? std::optional(if_id) : std::nullopt;
  };
  const std::string claimed = plain(attempt.claimed);
  for (const auto& [if_id, tunnel] : tunnels_) {
    if (tunnel.local_host != attempt.local_host) continue;
    if (names(claimed) && tunnel.remote_id == claimed) note(by_identity, if_id);
    if (!tunnel.up && tunnel.remote_host == attempt.remote_host) note(by_address, if_id);
  }
  return by_identity.possible != 0 ? by_identity : by_address;
}

// Whose the failure of a site is that did not get as far as to be told apart.
void TunnelDoctor::attribute(IkeAttempt attempt, Instant now) {
  if (now - searches_since_ >= std::chrono::seconds(1)) {
    searches_since_ = now;
    searches_ = 0;
  }
  if (++searches_ > kSearchesASecond) return;
  const Match found = match(attempt);
  if (!found.tunnel) return note_stranger(attempt, found.possible, now);
  Known& tunnel = tunnels_.at(*found.tunnel);
  refine(tunnel, attempt);
  if (tunnel.up) return;  // it has what it needs: somebody else tries
  auto& failed = tunnel.failed[1];
  const bool other = !failed || failed->fault != attempt.fault;
  failed = std::move(attempt);
  if (other) new_faults_.insert(*found.tunnel);
}

void TunnelDoctor::note_stranger(const IkeAttempt& attempt, unsigned possible, Instant now) {
  StrangerFault stranger;
  stranger.fault = attempt.fault;
  stranger.remote_address = attempt.remote_host;
  stranger.local_address = attempt.local_host;
  stranger.claimed = attempt.claimed;
  stranger.asked = attempt.asked;
  stranger.possible = possible;
  note_stranger(std::move(stranger), now);
}

void TunnelDoctor::note_stranger(StrangerFault fault, Instant now) {
  const auto same = [&](const StrangerFault& one) {
    if (one.fault != fault.fault) return false;
    // Garbage needs no true sender: all of it is one.
    return fault.fault == TunnelFault::garbage ||
           (one.remote_address == fault.remote_address && one.claimed == fault.claimed &&
            one.local_address == fault.local_address);
  };
  const auto at = std::find_if(strangers_.begin(), strangers_.end(), same);
  fault.count = 1;
  fault.last = now;
  if (at != strangers_.end()) {
    fault.count += at->count;
    strangers_.erase(at);
  } else if (strangers_.size() >= kMostStrangers) {
    strangers_.pop_back();
  }
  strangers_.push_front(std::move(fault));
}

const IkeAttempt* TunnelDoctor::fault_of(uint32_t if_id) const {
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end()) return nullptr;
  const Known& tunnel = at->second;
  std::vector<const IkeAttempt*> faults;
  const auto add = [&](const std::optional<IkeAttempt>& attempt) {
    if (!attempt || attempt->fault == TunnelFault::none) return false;
    if (tunnel.up && !attempt->child_established) return false;
    faults.push_back(&*attempt);
    return true;
  };
  // The attempt before counts until this one has failed, too; a site's may fail without a name.
  if (!add(tunnel.current[0])) add(tunnel.failed[0]);
  add(tunnel.current[1]);
  add(tunnel.failed[1]);
  if (faults.empty()) return nullptr;
  const IkeAttempt* newest = faults.front();
  for (const IkeAttempt* one : faults) {
    if (one->found > newest->found) newest = one;
  }
  const IkeAttempt* best = newest;
  for (const IkeAttempt* one : faults) {
    if (one->fault > best->fault && newest->found - one->found < kStillTrue) best = one;
  }
  return best;
}

const IkeAttempt* TunnelDoctor::last_of(uint32_t if_id) const {
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end()) return nullptr;
  const IkeAttempt* last = nullptr;
  for (const auto& attempt : at->second.current) {
    if (!attempt || attempt->lines.empty()) continue;
    if (last == nullptr || attempt->lines.back().at > last->lines.back().at) last = &*attempt;
  }
  return last;
}

}  // namespace hnv
