// SPDX-License-Identifier: Apache-2.0
#include "compartments/neighbors.h"

#include <cstring>

namespace hnv {

std::string_view to_string(NeighborStatus status) {
  switch (status) {
    case NeighborStatus::incomplete:
      return "incomplete";
    case NeighborStatus::reachable:
      return "reachable";
    case NeighborStatus::probe:
      return "probe";
    case NeighborStatus::failed:
      return "failed";
  }
  return "failed";
}

namespace {

// 0..1023, the same for an address every time.
int spread_of(const LinkAddress& address) {
  uint64_t words[2];
  std::memcpy(words, address.bytes().data(), sizeof words);
  return static_cast<int>(((words[0] ^ words[1]) * 0x9e3779b97f4a7c15U) >> 54);
}

}  // namespace

void Neighbors::set_status(const NeighborKey& key, Entry& entry, NeighborStatus status) {
  if (entry.status == NeighborStatus::incomplete && --incomplete_[key.link] == 0) {
    incomplete_.erase(key.link);
  }
  entry.status = status;
}

unsigned Neighbors::incomplete(LinkId link) const {
  const auto at = incomplete_.find(link);
  return at == incomplete_.end() ? 0 : at->second;
}

void Neighbors::ask(const NeighborKey& key, Entry& entry, Instant now, Actions& out) {
  const bool probing = entry.status == NeighborStatus::probe;
  out.requests.push_back({key, probing ? entry.mac : std::nullopt});
  ++entry.sent;
  entry.due = now + kRetransmit;
}

void Neighbors::resolve(const NeighborKey& key, Instant now, Actions& out) {
  const auto [at, fresh] = entries_.try_emplace(key);
  if (!fresh) return;
  ++incomplete_[key.link];
  ask(key, at->second, now, out);
}

void Neighbors::pin(const NeighborKey& key, Instant now, Actions& out) {
  resolve(key, now, out);
  ++entries_.at(key).pins;
}

void Neighbors::unpin(const NeighborKey& key) {
  const auto at = entries_.find(key);
  if (at != entries_.end() && at->second.pins > 0) --at->second.pins;
}

void Neighbors::forget(const NeighborKey& key) {
  const auto at = entries_.find(key);
  if (at != entries_.end() && at->second.pins == 0) {
    set_status(key, at->second, NeighborStatus::failed);
    entries_.erase(at);
  }
}

bool Neighbors::learn(const NeighborKey& key, const MacAddress& mac, Trust trust, Instant now,
                      Actions& out) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return false;
  Entry& entry = at->second;
  const bool asked = entry.status != NeighborStatus::reachable;
  if (!asked && trust == Trust::answers_only) return false;
  confirm(key, entry, mac, now, out);
  return true;
}

void Neighbors::confirm(const NeighborKey& key, Entry& entry, const MacAddress& mac, Instant now,
                        Actions& out) {
  const bool changed = entry.status == NeighborStatus::incomplete ||
                       entry.status == NeighborStatus::failed || entry.mac != mac;
  set_status(key, entry, NeighborStatus::reachable);
  entry.mac = mac;
  entry.sent = 0;
  entry.confirmed = now;
  // Spread over [0.5, 1.5) × kReachable by address, so that probes do not come all at once
  // (RFC 4861 §6.3.2).
  entry.due = now + kReachable / 2 + kReachable * spread_of(key.address) / 1024;
  if (changed) out.changes.push_back({key, entry.status, mac, false});
}

// What is believed of the neighbour may be wrong: asked at once, by unicast, and used meanwhile.
void Neighbors::doubt(const NeighborKey& key, Entry& entry, Instant now, Actions& out) {
  set_status(key, entry, NeighborStatus::probe);
  entry.sent = 0;
  ask(key, entry, now, out);
}

bool Neighbors::advertised(const NeighborKey& key, const Advertisement& advertisement, Trust trust,
                           Instant now, Actions& out) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return false;  // §7.2.5: no entry is made
  Entry& entry = at->second;
  const bool open = entry.status != NeighborStatus::reachable;
  if (trust == Trust::answers_only && (!open || !advertisement.solicited)) return false;
  const bool known = entry.mac && entry.status != NeighborStatus::failed;
  // §7.2.5: without an address nothing is known of an incomplete neighbour.
  if (!known && !advertisement.mac) return false;
  const MacAddress mac = advertisement.mac.value_or(entry.mac.value_or(MacAddress()));
  if (known && mac != entry.mac && !advertisement.overrides) {
    // Another address without the override flag: the one that is known is in doubt, no more.
    if (entry.status == NeighborStatus::reachable) doubt(key, entry, now, out);
    return false;
  }
  entry.router = advertisement.router;
  if (advertisement.solicited) {
    confirm(key, entry, mac, now, out);
  } else if (!known || mac != entry.mac) {
    confirm(key, entry, mac, now, out);
    doubt(key, entry, now, out);
  }
  return true;
}

void Neighbors::fail_or_ask(std::map<NeighborKey, Entry>::iterator& at, Instant now, Actions& out) {
  Entry& entry = at->second;
  if (entry.sent < kRequests) {
    ask(at->first, entry, now, out);
    ++at;
    return;
  }
  set_status(at->first, entry, NeighborStatus::failed);
  entry.due = now + kRetryFailed;
  out.changes.push_back({at->first, entry.status, entry.mac, false});
  ++at;
}

void Neighbors::tick(Instant now, Actions& out) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    if (now < entry.due) {
      ++at;
      continue;
    }
    switch (entry.status) {
      case NeighborStatus::reachable:
        doubt(at->first, entry, now, out);
        ++at;
        break;
      case NeighborStatus::incomplete:
      case NeighborStatus::probe:
        fail_or_ask(at, now, out);
        break;
      case NeighborStatus::failed:
        if (entry.pins == 0) {
          out.changes.push_back({at->first, entry.status, std::nullopt, true});
          at = entries_.erase(at);
          break;
        }
        ask(at->first, entry, now, out);  // still failed until an answer comes
        entry.due = now + kRetryFailed;
        ++at;
        break;
    }
  }
}

void Neighbors::forget_link(LinkId link, Actions& out) {
  auto at = entries_.lower_bound(NeighborKey{link, {}});
  while (at != entries_.end() && at->first.link == link) {
    out.changes.push_back({at->first, NeighborStatus::failed, std::nullopt, true});
    at = entries_.erase(at);
  }
  incomplete_.erase(link);
}

const Neighbors::Entry* Neighbors::find(const NeighborKey& key) const {
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : &at->second;
}

}  // namespace hnv
