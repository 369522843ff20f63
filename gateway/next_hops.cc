// SPDX-License-Identifier: Apache-2.0
#include "gateway/next_hops.h"

#include <cstring>

namespace hnv {
namespace {

Neighbors::Trust trust_on(const OutLink& link) {
  return link.trusted ? Neighbors::Trust::any : Neighbors::Trust::answers_only;
}

}  // namespace

IpAddress<Space::customer> customer_address(const LinkAddress& a) {
  if (a.is_v4()) return CaAddress(a.v4().value());
  return CaAddress6(a.bytes());
}

std::optional<LinkAddress> OutLink::neighbor_for(const LinkAddress& target) const {
  for (const Own& mine : own) {
    if (mine.prefix().contains(target)) return target;
  }
  const Route* best = nullptr;
  for (const Route& route : routes) {
    if (!route.prefix.contains(target)) continue;
    if (best == nullptr || route.prefix.length() > best->prefix.length() ||
        (route.prefix.length() == best->prefix.length() && route.metric < best->metric)) {
      best = &route;
    }
  }
  if (best == nullptr) return std::nullopt;
  return best->next_hop;
}

std::optional<LinkAddress> OutLink::source_for(const LinkAddress& neighbor) const {
  for (const Own& mine : own) {
    if (mine.prefix().contains(neighbor)) return mine.address;
  }
  return std::nullopt;
}

bool OutLink::zero_flow_for(const LinkAddress& target) const {
  bool zero = zero_flow_id;
  int length = -1;
  for (const FlowIdOverride& entry : flow_id_overrides) {
    if (entry.prefix.length() > length && entry.prefix.contains(target)) {
      zero = entry.zero;
      length = entry.prefix.length();
    }
  }
  return zero;
}

NextHopId NextHops::make(const NextHopTarget& target) {
  const auto [at, fresh] = by_target_.try_emplace(target);
  if (!fresh) return at->second;
  if (free_.empty()) {
    at->second = NextHopId(static_cast<uint32_t>(hops_.size()));
    hops_.emplace_back();
  } else {
    at->second = free_.back();
    free_.pop_back();
  }
  Hop& hop = hops_[at->second.value()];
  hop = Hop{.target = target, .uid = next_uid_++};
  if (const auto link = links_.find(target.link.value()); link != links_.end()) {
    link->second.targets.insert(target.address);
  }
  dirty_hops_.insert(at->second);
  return at->second;
}

// Attaches the next hop to its neighbour; the configuration's are pinned.
void NextHops::find_neighbor(NextHopId id, Instant now, Neighbors::Actions& out) {
  Hop& hop = hops_[id.value()];
  const auto state = links_.find(hop.target.link.value());
  const auto neighbor =
      state == links_.end() ? std::nullopt : state->second.link->neighbor_for(hop.target.address);
  if (neighbor == hop.neighbor) return;
  if (hop.neighbor) {
    const NeighborKey old{hop.target.link, *hop.neighbor};
    if (hop.users > 0) neighbors_.unpin(old);
    by_neighbor_[old].erase(id);
    if (by_neighbor_[old].empty()) {
      by_neighbor_.erase(old);
      neighbors_.forget(old);
    }
  }
  hop.neighbor = neighbor;
  dirty_hops_.insert(id);
  if (!neighbor) return;
  const NeighborKey key{hop.target.link, *neighbor};
  by_neighbor_[key].insert(id);
  if (hop.users > 0) {
    neighbors_.pin(key, now, out);
  } else {
    neighbors_.resolve(key, now, out);
  }
  note_failure(id);
}

bool NextHops::has_failed(NextHopId id) const {
  const Hop& hop = hops_[id.value()];
  if (!hop.neighbor) return false;
  const Neighbors::Entry* entry = neighbors_.find({hop.target.link, *hop.neighbor});
  return entry != nullptr && entry->status == NeighborStatus::failed;
}

bool NextHops::has_failed(const NextHopTarget& target) const {
  const auto at = by_target_.find(target);
  return at != by_target_.end() && has_failed(at->second);
}

void NextHops::note_failure(NextHopId id) {
  Hop& hop = hops_[id.value()];
  if (hop.failed == has_failed(id)) return;
  hop.failed = !hop.failed;
  if (hop.users > 0) turned_.insert(hop.target);
}

std::vector<NextHopTarget> NextHops::take_turned(size_t most) {
  std::vector<NextHopTarget> taken;
  while (!turned_.empty() && taken.size() < most) {
    taken.push_back(turned_.extract(turned_.begin()).value());
  }
  return taken;
}

NextHopId NextHops::acquire(const NextHopTarget& target, Instant now, Neighbors::Actions& out) {
  const NextHopId id = make(target);
  Hop& hop = hops_[id.value()];
  if (++hop.users > 1) return id;
  if (hop.neighbor) {
    neighbors_.pin({target.link, *hop.neighbor}, now, out);
  } else {
    find_neighbor(id, now, out);
  }
  return id;
}

void NextHops::release(NextHopId id, Neighbors::Actions& out) {
  Hop& hop = hops_[id.value()];
  if (--hop.users > 0) return;
  if (hop.neighbor) neighbors_.unpin({hop.target.link, *hop.neighbor});
  drop_if_unused(id, out);
}

void NextHops::drop_if_unused(NextHopId id, Neighbors::Actions&) {
  Hop& hop = hops_[id.value()];
  if (hop.users > 0 || hop.demanded) return;
  if (hop.neighbor) {
    const NeighborKey key{hop.target.link, *hop.neighbor};
    auto& users = by_neighbor_[key];
    users.erase(id);
    if (users.empty()) {
      by_neighbor_.erase(key);
      neighbors_.forget(key);
    }
  }
  if (const auto link = links_.find(hop.target.link.value()); link != links_.end()) {
    link->second.targets.erase(hop.target.address);
  }
  by_target_.erase(hop.target);
  hop = Hop{};
  free_.push_back(id);
  dirty_hops_.insert(id);
}

void NextHops::set_link(std::shared_ptr<const OutLink> link, Instant now, Neighbors::Actions& out) {
  LinkState& state = links_[link->id.value()];
  const LinkId id = link->id;
  state.link = std::move(link);
  if (state.targets.empty()) {  // next hops made before their link was known
    for (auto at = by_target_.lower_bound({id, {}}); at != by_target_.end() && at->first.link == id;
         ++at) {
      state.targets.insert(at->first.address);
    }
  }
  const std::vector<LinkAddress> targets(state.targets.begin(), state.targets.end());
  for (const LinkAddress& target : targets) {
    const NextHopId hop = by_target_.at({id, target});
    find_neighbor(hop, now, out);
    dirty_hops_.insert(hop);  // MAC, VLAN or FlowID may differ
  }
}

void NextHops::remove_link(LinkId id, Neighbors::Actions& out) {
  const auto at = links_.find(id.value());
  if (at == links_.end()) return;
  const std::vector<LinkAddress> targets(at->second.targets.begin(), at->second.targets.end());
  for (const LinkAddress& target : targets) {
    const NextHopId hop = by_target_.at({id, target});
    hops_[hop.value()].demanded = false;
    drop_if_unused(hop, out);
  }
  dirty_links_.insert(id);
  links_.erase(id.value());
}

NextHopId NextHops::demand(const NextHopTarget& target, Instant now, Neighbors::Actions& out) {
  const auto at = links_.find(target.link.value());
  if (at == links_.end()) return {};
  LinkState& state = at->second;
  const auto known = by_target_.find(target);
  if (known != by_target_.end() && hops_[known->second.value()].demanded) return known->second;
  if (!state.link->source_for(target.address) ||
      state.demanded_count >= state.link->max_neighbors) {
    return {};
  }
  if (neighbors_.incomplete(target.link) >= kMaxUnresolved) return {};
  const NextHopId id = make(target);
  hops_[id.value()].demanded = true;
  if (!hops_[id.value()].neighbor) find_neighbor(id, now, out);
  put_demanded(state, id);
  return id;
}

void NextHops::put_demanded(LinkState& state, NextHopId id) {
  static const auto kEmpty = std::make_shared<const CustomerMap>();
  CustomerRecord record;
  record.set_ca(customer_address(hops_[id.value()].target.address));
  record.type = RecordType::neighbor;
  record.next_hop = id;
  CustomerMap::Editor editor(state.demanded ? *state.demanded : *kEmpty);
  editor.put(record);
  state.demanded = std::move(editor).finish();
  ++state.demanded_count;
  dirty_links_.insert(hops_[id.value()].target.link);
}

void NextHops::erase_demanded(LinkState& state, NextHopId id) {
  CustomerMap::Editor editor(*state.demanded);
  editor.erase(CaKey(customer_address(hops_[id.value()].target.address)));
  state.demanded = std::move(editor).finish();
  --state.demanded_count;
  dirty_links_.insert(hops_[id.value()].target.link);
}

void NextHops::learn(LinkId link, const LinkAddress& address, const MacAddress& mac, Instant now,
                     Neighbors::Actions& out) {
  const OutLink* known = this->link(link);
  if (known != nullptr) neighbors_.learn({link, address}, mac, trust_on(*known), now, out);
}

void NextHops::advertised(LinkId link, const LinkAddress& address,
                          const Neighbors::Advertisement& advertisement, Instant now,
                          Neighbors::Actions& out) {
  const OutLink* known = this->link(link);
  if (known != nullptr) {
    neighbors_.advertised({link, address}, advertisement, trust_on(*known), now, out);
  }
}

void NextHops::apply(const std::vector<Neighbors::Change>& changes) {
  for (const Neighbors::Change& change : changes) {
    const auto users = by_neighbor_.find(change.key);
    if (users == by_neighbor_.end()) continue;
    const std::vector<NextHopId> ids(users->second.begin(), users->second.end());
    for (const NextHopId id : ids) {
      dirty_hops_.insert(id);
      note_failure(id);
      Hop& hop = hops_[id.value()];
      if (!change.forgotten || !hop.demanded) continue;
      hop.demanded = false;
      erase_demanded(links_.at(hop.target.link.value()), id);
      Neighbors::Actions none;
      drop_if_unused(id, none);
    }
  }
}

bool NextHops::learn_path_mtu(const NextHopTarget& target, uint16_t mtu, Instant now) {
  const auto at = by_target_.find(target);
  if (at == by_target_.end()) return false;
  Hop& hop = hops_[at->second.value()];
  if (hop.path_mtu && *hop.path_mtu <= mtu) return false;
  hop.path_mtu = mtu;
  path_mtus_.emplace(now + kPathMtuHolds, std::pair{at->second, hop.uid});
  dirty_hops_.insert(at->second);
  return true;
}

std::optional<uint16_t> NextHops::path_mtu_of(const NextHopTarget& target) const {
  const auto at = by_target_.find(target);
  return at == by_target_.end() ? std::nullopt : hops_[at->second.value()].path_mtu;
}

void NextHops::tick(Instant now, Neighbors::Actions& out) {
  neighbors_.tick(now, out);
  while (!path_mtus_.empty() && path_mtus_.begin()->first <= now) {
    const auto [id, uid] = path_mtus_.begin()->second;
    path_mtus_.erase(path_mtus_.begin());
    // One that was lowered again meanwhile is tried anew a little early, which does no harm.
    if (hops_[id.value()].uid != uid) continue;
    hops_[id.value()].path_mtu.reset();
    dirty_hops_.insert(id);
  }
}

NextHop NextHops::view(const Hop& hop) const {
  NextHop out;
  out.uid = hop.uid;
  const auto state = links_.find(hop.target.link.value());
  if (hop.uid == 0 || state == links_.end()) return out;
  const OutLink& link = *state->second.link;
  out.port = link.port;
  const bool v4 = hop.target.address.is_v4();
  if (hop.path_mtu) {
    out.largest_inner =
        static_cast<uint16_t>(*hop.path_mtu - (v4 ? wire::kNvgreOverIpv4 : wire::kNvgreOverIpv6));
  }
  if (link.zero_flow_for(hop.target.address)) {
    out.zero_flow_id_at = v4 ? wire::kFlowIdBehindIpv4 : wire::kFlowIdBehindIpv6;
  }
  out.state = NextHopState::failed;
  const Neighbors::Entry* neighbor =
      hop.neighbor ? neighbors_.find({hop.target.link, *hop.neighbor}) : nullptr;
  if (neighbor == nullptr) return out;
  if (neighbor->status == NeighborStatus::incomplete) out.state = NextHopState::resolving;
  if (neighbor->status == NeighborStatus::failed || !neighbor->mac) return out;
  out.state = NextHopState::resolved;
  uint8_t* at = out.header.data();
  std::memcpy(at, neighbor->mac->bytes().data(), 6);
  std::memcpy(at + 6, link.mac.byte, 6);
  at += 12;
  if (link.vlan.tagged()) {
    const wire::VlanTag tag{wire::ether_type::kVlan, be16{link.vlan.value()}};
    std::memcpy(at, &tag, sizeof tag);
    at += sizeof tag;
  }
  // The packets' family is the target's, whoever the neighbour on the way to it is.
  std::memcpy(at, v4 ? &wire::ether_type::kIpv4 : &wire::ether_type::kIpv6, 2);
  out.header_bytes = link.vlan.tagged() ? 18 : 14;
  return out;
}

void NextHops::publish_into(CowArray<NextHop>& hops,
                            CowArray<std::shared_ptr<const CustomerMap>>& links) {
  if (!dirty_hops_.empty()) {
    CowArray<NextHop>::Editor editor(hops);
    for (const NextHopId id : dirty_hops_) editor.set(id.value(), view(hops_[id.value()]));
    hops = std::move(editor).finish();
    dirty_hops_.clear();
  }
  if (!dirty_links_.empty()) {
    CowArray<std::shared_ptr<const CustomerMap>>::Editor editor(links);
    for (const LinkId id : dirty_links_) {
      const auto state = links_.find(id.value());
      editor.set(id.value(), state == links_.end() ? nullptr : state->second.demanded);
    }
    links = std::move(editor).finish();
    dirty_links_.clear();
  }
}

const OutLink* NextHops::link(LinkId id) const {
  const auto at = links_.find(id.value());
  return at == links_.end() ? nullptr : at->second.link.get();
}

std::optional<LinkAddress> NextHops::neighbor_of(const NextHopTarget& target) const {
  const auto at = by_target_.find(target);
  if (at == by_target_.end()) return std::nullopt;
  return hops_[at->second.value()].neighbor;
}

}  // namespace hnv
