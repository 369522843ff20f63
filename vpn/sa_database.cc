// SPDX-License-Identifier: Apache-2.0
#include "vpn/sa_database.h"

#include <algorithm>

#include <fmt/format.h>

#include "vpn/charon/sa_protocol.h"

namespace hnv {

SaDatabase::Key SaDatabase::key_of(const SaName& name) {
  // The gateway chooses inbound SPIs: they are unique by themselves.
  if (name.direction == SaDirection::inbound) return {name.direction, name.spi, {}};
  return {name.direction, name.spi, name.destination};
}

namespace {

// RFC 4303 §3.3.3: sequence numbers of 32 bits must not cycle. The SA is rekeyed well before.
constexpr uint64_t kLastSequence = 0xffffffff;
constexpr uint64_t kRekeySequence = kLastSequence / 10 * 9;

void bound_sequence(SaSpec& spec) {
  if (spec.sequence == SaSequence::extended) return;
  const auto bound = [](uint64_t& limit, uint64_t most) {
    if (limit == 0 || limit > most) limit = most;
  };
  bound(spec.volumes.soft_packets, kRekeySequence);
  bound(spec.volumes.hard_packets, kLastSequence);
}

}  // namespace

SaName SaDatabase::name_of(const Sa& sa) {
  return {sa.spec.direction, sa.spec.spi, sa.spec.destination.address};
}

void SaDatabase::add_charon(CharonId charon, IndexRange range) { charons_[charon].range = range; }

void SaDatabase::remove_charon(CharonId charon) {
  flush(charon);
  charons_.erase(charon);
}

void SaDatabase::add_tunnel(uint32_t if_id, CharonId charon) {
  const auto [at, fresh] = tunnels_.try_emplace(if_id);
  if (!fresh && at->second.charon != charon) {
    erase_if([if_id](const Entry& entry) { return entry.sa->spec.if_id == if_id; });
  }
  at->second.charon = charon;
}

void SaDatabase::remove_tunnel(uint32_t if_id) {
  erase_if([if_id](const Entry& entry) { return entry.sa->spec.if_id == if_id; });
  tunnels_.erase(if_id);
}

void SaDatabase::connected(CharonId charon) {
  for (auto& [key, entry] : entries_) {
    if (entry.charon == charon) entry.confirmed = false;
  }
}

void SaDatabase::synced(CharonId charon, Instant now) {
  for (auto& [key, entry] : entries_) {
    if (entry.charon != charon || entry.confirmed || entry.stale_until) continue;
    entry.stale_until = now + grace_;
    note_deadline(entry.stale_until);
  }
}

Result<void> SaDatabase::check(CharonId charon, const SaSpec& spec, Origin origin) const {
  const auto tunnel = tunnels_.find(spec.if_id);
  const auto of = charons_.find(charon);
  if (of == charons_.end() || tunnel == tunnels_.end() || tunnel->second.charon != charon) {
    return fail(ErrorCode::unfit, fmt::format("charon {} has no tunnel {}", charon, spec.if_id));
  }
  const bool needs_keys = spec.direction == SaDirection::inbound || origin == Origin::fresh;
  if (needs_keys && spec.keys == nullptr) {
    return fail(ErrorCode::invalid_value, fmt::format("SA {:08x} comes without keys", spec.spi));
  }
  if (spec.direction == SaDirection::inbound) {
    const IndexRange& range = of->second.range;
    const uint32_t index = sa_protocol::index_of_spi(spec.spi);
    if (index < range.first || index - range.first >= range.count) {
      return fail(ErrorCode::invalid_value,
                  fmt::format("the index of SPI {:08x} must be in {}..{}", spec.spi, range.first,
                              range.first + range.count - 1));
    }
  }
  return {};
}

// The index of a new inbound SA may be that of one that nobody confirmed: that one goes.
Result<void> SaDatabase::make_room(const SaSpec& spec) {
  if (spec.direction == SaDirection::outbound) return {};
  const auto& there = table_.inbound[sa_protocol::index_of_spi(spec.spi)];
  if (there == nullptr || there->spec.spi == spec.spi) return {};
  const auto at = entries_.find(Key{SaDirection::inbound, there->spec.spi, {}});
  if (at->second.confirmed) {
    return fail(ErrorCode::conflict,
                fmt::format("the index of SPI {:08x} is that of {:08x}", spec.spi, at->first.spi));
  }
  erase(at);
  return {};
}

std::optional<SaDatabase::Added> SaDatabase::keep_replayed(const Key& key, Entry& entry,
                                                           Duration hard, Instant now) {
  entry.confirmed = true;
  entry.stale_until.reset();
  if (hard > Duration::zero()) {
    entry.until = now + hard;
    note_deadline(entry.until);
  }
  changed_tunnels_.insert(entry.sa->spec.if_id);
  return key.direction == SaDirection::outbound && entry.closed ? Added::closed : Added::open;
}

Result<SaDatabase::Added> SaDatabase::add(CharonId charon, SaSpec spec, Origin origin,
                                          Duration hard, Instant now) {
  if (auto fit = check(charon, spec, origin); !fit) return tl::make_unexpected(fit.error());
  if (auto room = make_room(spec); !room) return tl::make_unexpected(room.error());
  const Key key = key_of({spec.direction, spec.spi, spec.destination.address});
  if (const auto there = entries_.find(key); there != entries_.end()) {
    Entry& entry = there->second;
    const bool same = entry.charon == charon && entry.sa->spec.if_id == spec.if_id;
    // What is there has its sequence number and its window: it goes on.
    if (same && origin == Origin::replayed) return *keep_replayed(key, entry, hard, now);
    if (!same || entry.confirmed || spec.direction == SaDirection::outbound) {
      return fail(ErrorCode::conflict, fmt::format("SA {:08x} is there already", spec.spi));
    }
    erase(there);
  }
  Entry entry;
  entry.charon = charon;
  entry.closed = spec.direction == SaDirection::outbound && origin == Origin::replayed;
  if (entry.closed) spec.keys = nullptr;
  bound_sequence(spec);
  if (hard > Duration::zero()) entry.until = now + hard;
  const Added added = entry.closed ? Added::closed : Added::open;
  std::shared_ptr<EspKeys> keys;
  if (spec.keys != nullptr) {
    keys = EspKeys::make(spec);
    if (keys == nullptr) {
      return fail(ErrorCode::invalid_value,
                  fmt::format("the keys of SA {:08x} do not fit its algorithms", spec.spi));
    }
  }
  auto state = std::make_shared<SaState>(spec.replay_window, std::move(keys));
  entry.sa = make_sa(next_uid_++, std::move(spec), std::move(state));
  insert(key, std::move(entry));
  return added;
}

void SaDatabase::insert(const Key& key, Entry entry) {
  note_deadline(entry.until);
  const auto sa = entry.sa;
  Tunnel& tunnel = tunnels_[sa->spec.if_id];
  by_uid_.emplace(sa->uid, key);
  entries_.emplace(key, std::move(entry));
  changed_tunnels_.insert(sa->spec.if_id);
  if (key.direction == SaDirection::inbound) {
    ++tunnel.inbound;
    Charon& charon = charons_.at(tunnel.charon);
    charon.highest = sa_protocol::index_of_spi(key.spi) - charon.range.first;
    set_inbound(key.spi, sa);
  } else {
    tunnel.outbound.push_back(key);
    choose_outbound(sa->spec.if_id);
  }
}

Result<void> SaDatabase::update(CharonId charon, const SaName& name, const SaEndpoint& source,
                                const SaEndpoint& destination, SaEncapsulation encapsulation) {
  const auto at = entries_.find(key_of(name));
  if (at == entries_.end() || at->second.charon != charon) {
    return fail(ErrorCode::not_found, fmt::format("there is no SA {:08x}", name.spi));
  }
  const Sa& was = *at->second.sa;
  SaSpec spec = was.spec;
  spec.source = source;
  spec.destination = destination;
  spec.encapsulation = encapsulation;
  const auto changed = make_sa(was.uid, std::move(spec), was.state_owner);
  const Key before = at->first;
  const Key after = key_of(name_of(*changed));
  if (after != before && entries_.contains(after)) {
    return fail(ErrorCode::conflict, fmt::format("there is an SA {:08x} to {} already", name.spi,
                                                 destination.address.to_string()));
  }
  Entry entry = std::move(at->second);
  const bool forwards = !entry.hard_told;
  entry.sa = changed;
  entries_.erase(at);
  entries_.emplace(after, std::move(entry));
  by_uid_[changed->uid] = after;
  if (before.direction == SaDirection::inbound) {
    if (forwards) set_inbound(before.spi, changed);
  } else {
    auto& outbound = tunnels_[changed->spec.if_id].outbound;
    std::replace(outbound.begin(), outbound.end(), before, after);
    choose_outbound(changed->spec.if_id);
  }
  return {};
}

bool SaDatabase::remove(CharonId charon, const SaName& name) {
  const auto at = entries_.find(key_of(name));
  if (at == entries_.end() || at->second.charon != charon) return false;
  erase(at);
  return true;
}

void SaDatabase::flush(CharonId charon) {
  erase_if([charon](const Entry& entry) { return entry.charon == charon; });
}

template <class If>
void SaDatabase::erase_if(If condition) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    at = condition(at->second) ? erase(at) : std::next(at);
  }
}

SaDatabase::Entries::iterator SaDatabase::erase(Entries::iterator at) {
  const Key key = at->first;
  const auto sa = at->second.sa;
  if (const auto charon = charons_.find(at->second.charon); charon != charons_.end()) {
    charon->second.used.erase(sa->uid);
  }
  const bool forwarded = !at->second.closed && !at->second.hard_told;
  by_uid_.erase(sa->uid);
  const auto next = entries_.erase(at);
  Tunnel& tunnel = tunnels_[sa->spec.if_id];
  changed_tunnels_.insert(sa->spec.if_id);
  if (key.direction == SaDirection::inbound) {
    --tunnel.inbound;
    if (forwarded) set_inbound(key.spi, nullptr);
  } else {
    std::erase(tunnel.outbound, key);
    choose_outbound(sa->spec.if_id);
  }
  return next;
}

void SaDatabase::set_inbound(uint32_t spi, const std::shared_ptr<const Sa>& sa) {
  table_.inbound = table_.inbound.with(sa_protocol::index_of_spi(spi), sa);
  ++table_.generation;
}

void SaDatabase::choose_outbound(uint32_t if_id) {
  std::shared_ptr<const Sa> chosen;
  const auto& outbound = tunnels_[if_id].outbound;
  for (auto key = outbound.rbegin(); key != outbound.rend() && chosen == nullptr; ++key) {
    const Entry& entry = entries_.at(*key);
    if (!entry.closed && !entry.hard_told) chosen = entry.sa;
  }
  if (table_.outbound[if_id] == chosen) return;
  table_.outbound = table_.outbound.with(if_id, chosen);
  ++table_.generation;
}

void SaDatabase::note_deadline(std::optional<Instant> at) {
  if (at && (!next_deadline_ || *at < *next_deadline_)) next_deadline_ = at;
}

void SaDatabase::tick(Instant now) {
  if (!next_deadline_ || now < *next_deadline_) return;
  next_deadline_.reset();
  for (auto at = entries_.begin(); at != entries_.end();) {
    const Entry& entry = at->second;
    const bool dead =
        (entry.until && *entry.until <= now) || (entry.stale_until && *entry.stale_until <= now);
    if (dead) {
      at = erase(at);
      continue;
    }
    note_deadline(entry.until);
    note_deadline(entry.stale_until);
    ++at;
  }
}

// Volume is used up: charon is told and deletes it; until then nothing passes.
void SaDatabase::close(Entries::iterator at) {
  at->second.hard_told = true;
  const Sa& sa = *at->second.sa;
  charons_.at(at->second.charon).expiries.push_back({name_of(sa), SaExpiry::Kind::hard});
  changed_tunnels_.insert(sa.spec.if_id);
  if (at->first.direction == SaDirection::inbound) {
    set_inbound(at->first.spi, nullptr);
  } else {
    choose_outbound(sa.spec.if_id);
  }
}

void SaDatabase::count(uint64_t uid, const SaUse& use) {
  const auto key = by_uid_.find(uid);
  if (key == by_uid_.end()) return;  // deleted meanwhile
  const auto at = entries_.find(key->second);
  Entry& entry = at->second;
  if (use.packets != entry.use.packets || use.bytes != entry.use.bytes) {
    charons_.at(entry.charon).used.insert(uid);
  }
  entry.use = use;
  const SaVolumes& limits = entry.sa->spec.volumes;
  const auto reached = [](uint64_t value, uint64_t limit) { return limit != 0 && value >= limit; };
  if (!entry.hard_told &&
      (reached(use.bytes, limits.hard_bytes) || reached(use.packets, limits.hard_packets))) {
    close(at);
  } else if (!entry.soft_told && !entry.hard_told &&
             (reached(use.bytes, limits.soft_bytes) || reached(use.packets, limits.soft_packets))) {
    entry.soft_told = true;
    charons_.at(entry.charon).expiries.push_back({name_of(*entry.sa), SaExpiry::Kind::soft});
  }
}

void SaDatabase::count_all() {
  for (const auto& [key, entry] : entries_) count(entry.sa->uid, entry.sa->state->use());
}

TunnelSas SaDatabase::tunnel(uint32_t if_id) const {
  TunnelSas state;
  const auto tunnel = tunnels_.find(if_id);
  if (tunnel == tunnels_.end()) return state;
  state.inbound = tunnel->second.inbound;
  if (table_.outbound[if_id] != nullptr) {
    state.outbound = TunnelSas::Outbound::open;
  } else if (!tunnel->second.outbound.empty()) {
    state.outbound = TunnelSas::Outbound::closed;
  }
  return state;
}

const SaUse* SaDatabase::use_of(uint64_t uid) const {
  const auto key = by_uid_.find(uid);
  return key == by_uid_.end() ? nullptr : &entries_.at(key->second).use;
}

uint32_t SaDatabase::next_index(CharonId charon) const {
  const Charon& of = charons_.at(charon);
  return of.range.first + (of.highest + 1) % of.range.count;
}

std::vector<SaExpiry> SaDatabase::take_expiries(CharonId charon) {
  return std::exchange(charons_.at(charon).expiries, {});
}

std::vector<SaReport> SaDatabase::take_reports(CharonId charon) {
  std::vector<SaReport> reports;
  for (const uint64_t uid : std::exchange(charons_.at(charon).used, {})) {
    const Entry& entry = entries_.at(by_uid_.at(uid));
    reports.push_back({name_of(*entry.sa), entry.use});
  }
  return reports;
}

std::set<uint32_t> SaDatabase::take_changed_tunnels() {
  return std::exchange(changed_tunnels_, {});
}

}  // namespace hnv
