// SPDX-License-Identifier: Apache-2.0
//
// How sessions come to be: limits, mappings, ports.
#include <algorithm>

#include "nat/nat_table.h"

namespace hnv {
namespace {

// What one session may have at most of the domain's tokens: those of a second.
bool take_token(NatCounters& counters, uint32_t per_second, unsigned workers, Instant now) {
  const uint32_t share = std::max(per_second / workers, 1U);
  const uint64_t passed = now.nanoseconds - counters.refilled_at;
  if (counters.refilled_at == 0 || passed >= 1'000'000'000) {
    counters.tokens = share;
    counters.refilled_at = now.nanoseconds;
  } else if (const uint64_t fresh = passed * share / 1'000'000'000; fresh > 0) {
    counters.tokens = static_cast<uint32_t>(std::min<uint64_t>(counters.tokens + fresh, share));
    counters.refilled_at += fresh * 1'000'000'000 / share;
  }
  if (counters.tokens == 0) return false;
  --counters.tokens;
  return true;
}

uint64_t sessions_of(const NatRules& rules, unsigned workers) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < workers; ++i) sum += rules.counters[i].sessions.value();
  return sum;
}

template <class Entry>
uint32_t take_place(ReservedArray<Entry>& array, uint32_t& free, uint32_t& used,
                    uint32_t Entry::*next) {
  if (free != NatTable::kNone) {
    const uint32_t taken = free;
    free = array[taken].*next;
    return taken;
  }
  return used == array.capacity() ? NatTable::kNone : used++;
}

}  // namespace

bool NatTable::sessions_full() const {
  return free_session_ == kNone && sessions_used_ == capacity_;
}

// Whether a mapping is what the rules would make now.
bool NatTable::fits(const NatPlan& plan, const NatRules& rules, const NatMapping& mapping) const {
  const InsideStatic* published =
      rules.static_for(mapping.inside, mapping.protocol, mapping.inside_port);
  if (mapping.is_static != 0) {
    // One inside endpoint may be published at several public ones: any of them is right.
    const StaticMapping* found =
        plan.static_at(mapping.outside, mapping.protocol, mapping.outside_port);
    return found != nullptr && found->compartment == rules.compartment &&
           found->inside.raw() == mapping.inside.raw() &&
           found->inside_port.raw() == mapping.inside_port.raw();
  }
  if (published != nullptr) return false;
  const NatRules::Outbound* rule = rules.outbound_for(mapping.inside);
  const PortSpace& space = plan.spaces[mapping.space];
  return rule != nullptr && !space.leaving && space.pool == rule->pool &&
         rule->range.contains(mapping.outside_port.value()) &&
         plan.static_at(mapping.outside, mapping.protocol, mapping.outside_port) == nullptr;
}

uint32_t NatTable::host_for(const NatRules& rules, be32 inside) {
  const CompartmentId compartment = rules.compartment;
  const uint32_t known = find_host(compartment, inside);
  if (known != kNone) return known;
  const uint32_t number = take_place(hosts_, free_host_, hosts_used_, &NatHost::next_free);
  if (number == kNone) return kNone;
  NatHost& host = hosts_[number];
  host = NatHost{};
  host.inside = inside;
  host.compartment = compartment.value();
  host.first_block = PortSpaces::kNone;
  host.used = 1;
  rules.counters[worker_].addresses.add();
  by_host_.insert(NatHost::hash(compartment, inside), number);
  return number;
}

bool NatTable::within_limits(const NatRules& rules, const NatHost* host, Instant now,
                             DropReason& reason) {
  const NatLimits& limits = rules.limits;
  if (limits.sessions_per_address != 0 && host != nullptr &&
      host->sessions >= limits.sessions_per_address) {
    reason = DropReason::nat_address_limit;
    return false;
  }
  if (limits.sessions_per_domain != 0 &&
      sessions_of(rules, workers_) >= limits.sessions_per_domain) {
    reason = DropReason::nat_domain_limit;
    return false;
  }
  if (limits.new_sessions_per_second != 0 &&
      !take_token(rules.counters[worker_], limits.new_sessions_per_second, workers_, now)) {
    reason = DropReason::nat_rate_limit;
    return false;
  }
  if (sessions_full()) {
    reason = DropReason::nat_table_full;
    return false;
  }
  return true;
}

uint32_t NatTable::enter_mapping(const NatRules& rules, const InsideEndpoint& inside,
                                 const PublicEndpoint& outside, uint32_t host) {
  const uint32_t number =
      take_place(mappings_, free_mapping_, mappings_used_, &NatMapping::rests_since);
  if (number == kNone) return kNone;
  by_public_.prefetch(outside.hash());
  NatMapping& mapping = mappings_[number];
  mapping = NatMapping{};
  mapping.inside = inside.inside;
  mapping.outside = outside.address;
  mapping.compartment = inside.compartment.value();
  mapping.inside_port = inside.port;
  mapping.outside_port = outside.port;
  mapping.host = host;
  mapping.protocol = inside.protocol;
  mapping.used = 1;
  by_endpoint_.insert(inside.hash(), number);
  by_public_.insert(outside.hash(), number);
  rules.counters[worker_].mappings.add();
  return number;
}

uint32_t NatTable::map_static(const NatPlan& plan, const NatRules& rules,
                              const InsideEndpoint& inside, const PublicEndpoint& outside) {
  const uint32_t host = host_for(rules, inside.inside);
  if (host == kNone) return kNone;
  const uint32_t number = enter_mapping(rules, inside, outside, host);
  if (number != kNone) {
    mappings_[number].is_static = 1;
  } else {
    drop_host_if_unused(plan, host);
  }
  return number;
}

uint32_t NatTable::take_block(const NatPlan& plan, const NatRules& rules,
                              const NatRules::Outbound& rule, const PortSpace& space, NatHost& host,
                              Instant now) {
  const uint32_t block = ports_.take_block(plan, space, rule.range, rules.compartment);
  if (block == PortSpaces::kNone) return block;
  add_block(plan, space, block, host, now);
  return block;
}

void NatTable::add_block(const NatPlan& plan, const PortSpace& space, uint32_t block, NatHost& host,
                         Instant now) {
  PortSpaces::Block& fresh = ports_.block(block);
  fresh.next = host.first_block;
  fresh.host = static_cast<uint32_t>(&host - &hosts_[0]);
  fresh.since = nat_tick(now);
  host.first_block = block;
  tell_block(plan, space, block, host, host.outside, NatRecord::Kind::block_given, now);
}

// RFC 4787 REQ-2, RFC 6888 REQ-1: all mappings of an inside address have one public address. Which
// one is drawn: of four, the one with the most room.
bool NatTable::settle_host(const NatPlan& plan, const NatRules& rules,
                           const NatRules::Outbound& rule, NatHost& host, Instant now) {
  const NatPool& pool = plan.pools[rule.pool.value()];
  if (pool.members.empty()) return false;
  const NatPool::Member* best = nullptr;
  uint32_t room = 0;
  const auto look_at = [&](const NatPool::Member& member) {
    const uint32_t free = ports_.free_blocks(plan, member.space);
    if (free <= room) return;
    best = &member;
    room = free;
  };
  if (pool.members.size() <= 4) {
    for (const NatPool::Member& member : pool.members) look_at(member);
  } else {
    for (unsigned i = 0; i < 4; ++i) look_at(pool.members[random_.next() % pool.members.size()]);
    // A large pool that is nearly used up: whoever has something is good enough.
    for (size_t i = 0; i < pool.members.size() && best == nullptr; ++i) look_at(pool.members[i]);
  }
  if (best == nullptr) return false;
  host.outside = plan.public_addresses[best->address.value()].address;
  host.space = best->space.id.value();
  return take_block(plan, rules, rule, best->space, host, now) != PortSpaces::kNone;
}

// Ports are short: one that rests, the first that is found, serves again.
uint32_t NatTable::reuse_resting(const NatRules& rules, const NatRules::Outbound& rule,
                                 const PortSpace& space, NatHost& host,
                                 const InsideEndpoint& inside) {
  const PortSet set = port_set_of(inside.protocol);
  for (uint32_t block = host.first_block; block != PortSpaces::kNone;
       block = ports_.block(block).next) {
    if (block / PortSpaces::kBlocksPerSpace != space.id.value()) continue;
    uint64_t taken = ports_.block(block).taken[static_cast<size_t>(set)];
    if (space.block_ports < 64) taken &= ~(~uint64_t{0} << space.block_ports);
    for (; taken != 0; taken &= taken - 1) {
      const auto port = static_cast<uint16_t>(PortSpaces::first_port_of(space, block) +
                                              static_cast<unsigned>(std::countr_zero(taken)));
      const PublicEndpoint outside{
          .address = host.outside, .port = be16{port}, .protocol = inside.protocol};
      const uint32_t rests = rule.range.contains(port) ? find_mapping(outside) : kNone;
      if (rests == kNone || mappings_[rests].sessions != 0) continue;
      forget_mapping(&rules, mappings_[rests]);  // its port stays taken, and the host's
      const uint32_t fresh =
          enter_mapping(rules, inside, outside, static_cast<uint32_t>(&host - &hosts_[0]));
      mappings_[fresh].space = static_cast<uint16_t>(space.id.value());
      return fresh;
    }
  }
  return kNone;
}

uint32_t NatTable::map_dynamic(const NatPlan& plan, const NatRules& rules,
                               const InsideEndpoint& inside, Instant now, DropReason& reason) {
  const NatRules::Outbound* rule = rules.outbound_for(inside.inside);
  const uint32_t host_number = rule == nullptr ? kNone : host_for(rules, inside.inside);
  if (host_number == kNone) {
    reason = rule == nullptr ? DropReason::nat_no_rule : DropReason::nat_table_full;
    return kNone;
  }
  NatHost& host = hosts_[host_number];
  const auto refuse = [&](DropReason why) {
    reason = why;
    return_empty_blocks(plan, host, host.outside, now);
    drop_host_if_unused(plan, host_number);
    return kNone;
  };
  const PortSpace* space = host.outside.raw() == 0 ? nullptr : &plan.spaces[host.space];
  const bool settled = space != nullptr && !space->leaving && space->pool == rule->pool;
  if (rules.limits.ports_per_address != 0 && host.mappings >= rules.limits.ports_per_address) {
    const uint32_t reused = settled ? reuse_resting(rules, *rule, *space, host, inside) : kNone;
    return reused != kNone ? reused : refuse(DropReason::nat_port_limit);
  }
  // One that has no port (any more) is bound to no address.
  if (!settled || host.mappings == 0) {
    if (!settle_host(plan, rules, *rule, host, now)) return refuse(DropReason::nat_no_port);
    space = &plan.spaces[host.space];
  }
  const PortSet set = port_set_of(inside.protocol);
  std::optional<uint16_t> port;
  const auto try_block = [&](uint32_t block) {
    // A published port is nobody's; it stays taken until the block is given back.
    do {
      port = ports_.take_port(*space, block, rule->range, set, inside.port.value());
    } while (port && plan.static_at(host.outside, inside.protocol, be16{*port}) != nullptr &&
             ports_.withhold(*space, block));
    return port.has_value();
  };
  for (uint32_t block = host.first_block; block != PortSpaces::kNone && !port;
       block = ports_.block(block).next) {
    if (block / PortSpaces::kBlocksPerSpace == space->id.value()) (void)try_block(block);
  }
  if (!port) {
    const uint32_t block = take_block(plan, rules, *rule, *space, host, now);
    if (block == PortSpaces::kNone || !try_block(block)) {
      const uint32_t reused = reuse_resting(rules, *rule, *space, host, inside);
      return reused != kNone ? reused : refuse(DropReason::nat_no_port);
    }
  }
  const PublicEndpoint outside{
      .address = host.outside, .port = be16{*port}, .protocol = inside.protocol};
  const uint32_t number = enter_mapping(rules, inside, outside, host_number);
  if (number == kNone) {
    ports_.free_port(*space, set, *port);
    return refuse(DropReason::nat_table_full);
  }
  mappings_[number].space = static_cast<uint16_t>(space->id.value());
  ++host.mappings;
  return number;
}

NatSession& NatTable::enter_session(const NatRules& rules, NatMapping& mapping, be32 remote,
                                    be16 remote_port, Instant now, bool from_outside) {
  by_outside_.prefetch(OutsideFlow{.address = mapping.outside,
                                   .remote = remote,
                                   .port = mapping.outside_port,
                                   .remote_port = remote_port,
                                   .protocol = mapping.protocol}
                           .hash());
  const uint32_t number =
      take_place(sessions_, free_session_, sessions_used_, &NatSession::last_used);
  high_water_.store(std::max(sessions_used_, mappings_used_), std::memory_order_relaxed);
  NatSession& session = sessions_[number];
  session = NatSession{};
  session.inside = mapping.inside;
  session.remote = remote;
  session.compartment = mapping.compartment;
  session.inside_port = mapping.inside_port;
  session.remote_port = remote_port;
  session.outside = mapping.outside;
  session.outside_port = mapping.outside_port;
  session.protocol = mapping.protocol;
  session.state = static_cast<uint8_t>(seen::kUsed | (mapping.is_static != 0 ? seen::kStatic : 0));
  session.last_used = nat_tick(now);
  session.started = nat_tick(now);
  session.rules = rules.serial;
  session.mapping = number_of(mapping);
  ++mapping.sessions;
  ++hosts_[mapping.host].sessions;
  index(session);
  if (rules.filtering == NatFiltering::address_dependent) enter_by_remote(session);
  NatCounters& counters = rules.counters[worker_];
  counters.sessions.add();
  counters.sessions_opened.add();
  if (rules.log_sessions) {
    tell_session(rules, session, NatRecord::Kind::session_opened, {}, now, from_outside);
  }
  return session;
}

NatTable::Opened NatTable::open(const NatPlan& plan, const NatRules& rules, const InsideFlow& flow,
                                Instant now) {
  workers_ = plan.workers;
  const auto refuse = [&](DropReason reason) {
    const NatRules::Outbound* rule = rules.outbound_for(flow.inside);
    tell_refused(rules, reason, flow.inside, rule == nullptr ? NatPoolId() : rule->pool, now);
    return Opened{nullptr, reason};
  };
  const InsideEndpoint inside{.inside = flow.inside,
                              .port = flow.inside_port,
                              .protocol = flow.protocol,
                              .compartment = flow.compartment};
  uint32_t mapping = find_mapping(inside);
  if (mapping != kNone && !fits(plan, rules, mappings_[mapping])) {
    NatMapping& old = mappings_[mapping];
    if (old.sessions == 0) {
      remove_mapping(plan, old, now);
    } else {
      old.replaced = 1;
    }
    mapping = kNone;
  }
  const uint32_t host = find_host(flow.compartment, flow.inside);
  DropReason reason{};
  if (!within_limits(rules, host == kNone ? nullptr : &hosts_[host], now, reason)) {
    return refuse(reason);
  }
  if (mapping == kNone) {
    const InsideStatic* published = rules.static_for(flow.inside, flow.protocol, flow.inside_port);
    if (published != nullptr) {
      reason = DropReason::nat_table_full;
      mapping = map_static(
          plan, rules, inside,
          {.address = published->address, .port = published->port, .protocol = flow.protocol});
    } else {
      mapping = map_dynamic(plan, rules, inside, now, reason);
    }
    if (mapping == kNone) return refuse(reason);
  }
  return {&enter_session(rules, mappings_[mapping], flow.remote, flow.remote_port, now, false), {}};
}

NatTable::Opened NatTable::open(const NatPlan& plan, const OutsideFlow& flow, Instant now) {
  workers_ = plan.workers;
  const PublicEndpoint outside{
      .address = flow.address, .port = flow.port, .protocol = flow.protocol};
  const StaticMapping* published = plan.static_at(flow.address, flow.protocol, flow.port);
  // A dynamic mapping may have the port that is published now: until its sessions have ended.
  uint32_t mapping = by_public_.find(outside.hash(), [&](uint32_t entry) {
    const NatMapping& m = mappings_[entry];
    return m.is(outside) && m.replaced == 0 && (published == nullptr || m.is_static != 0);
  });
  const CompartmentId domain = published != nullptr ? published->compartment
                               : mapping != kNone   ? CompartmentId(mappings_[mapping].compartment)
                                                    : CompartmentId();
  const NatRules* rules = domain.valid() ? plan.rules_of(domain) : nullptr;
  if (rules == nullptr || !rules->enabled) return {nullptr, DropReason::nat_no_session};
  if (published != nullptr) {
    if (!published->remote.contains(flow.remote)) return {nullptr, DropReason::nat_filtered};
  } else {
    const NatMapping& opened = mappings_[mapping];
    if (opened.sessions == 0 || !fits(plan, *rules, opened)) {
      return {nullptr, DropReason::nat_no_session};
    }
    const bool allowed =
        rules->filtering == NatFiltering::endpoint_independent ||
        (rules->filtering == NatFiltering::address_dependent && known_remote(flow));
    if (!allowed) return {nullptr, DropReason::nat_filtered};
  }
  const be32 inside = published != nullptr ? published->inside : mappings_[mapping].inside;
  const uint32_t host = find_host(domain, inside);
  DropReason reason{};
  if (!within_limits(*rules, host == kNone ? nullptr : &hosts_[host], now, reason)) {
    tell_refused(*rules, reason, inside, {}, now);
    return {nullptr, reason};
  }
  if (mapping != kNone && !fits(plan, *rules, mappings_[mapping])) {
    mappings_[mapping].replaced = 1;  // published otherwise before
    mapping = kNone;
  }
  if (mapping == kNone) {
    mapping = map_static(plan, *rules,
                         {.inside = published->inside,
                          .port = published->inside_port,
                          .protocol = flow.protocol,
                          .compartment = domain},
                         outside);
    if (mapping == kNone) return {nullptr, DropReason::nat_table_full};
  }
  return {&enter_session(*rules, mappings_[mapping], flow.remote, flow.remote_port, now, true), {}};
}

bool NatTable::restore(const NatPlan& plan, const NatRules& rules, const NatSession& saved,
                       Instant now) {
  workers_ = plan.workers;
  const InsideEndpoint inside{.inside = saved.inside,
                              .port = saved.inside_port,
                              .protocol = saved.protocol,
                              .compartment = rules.compartment};
  const PublicEndpoint outside{
      .address = saved.outside, .port = saved.outside_port, .protocol = saved.protocol};
  if (sessions_full()) return false;
  uint32_t mapping = find_mapping(inside);
  const bool same = mapping != kNone && mappings_[mapping].is(outside);
  if (mapping != kNone && !same) return false;
  if (mapping == kNone) {
    mapping = (saved.state & seen::kStatic) != 0 ? map_static(plan, rules, inside, outside)
                                                 : map_again(plan, rules, inside, outside, now);
  }
  if (mapping == kNone || !fits(plan, rules, mappings_[mapping])) return false;
  NatSession& session =
      enter_session(rules, mappings_[mapping], saved.remote, saved.remote_port, now, false);
  session.state = saved.state;
  session.last_used = saved.last_used;
  session.started = saved.started;
  session.out_packets = saved.out_packets;
  session.in_packets = saved.in_packets;
  session.out_bytes = saved.out_bytes;
  session.in_bytes = saved.in_bytes;
  return true;
}

// A mapping as it was before: this very port, of the host's block or of a block that is free.
uint32_t NatTable::map_again(const NatPlan& plan, const NatRules& rules,
                             const InsideEndpoint& inside, const PublicEndpoint& outside,
                             Instant now) {
  const PublicAddress* address = plan.find(outside.address);
  const PortSpace* space = address == nullptr ? nullptr : address->space_of(outside.port.value());
  const NatRules::Outbound* rule = rules.outbound_for(inside.inside);
  if (space == nullptr || rule == nullptr || rule->pool != space->pool) return kNone;
  const uint32_t host_number = host_for(rules, inside.inside);
  if (host_number == kNone) return kNone;
  NatHost& host = hosts_[host_number];
  const uint16_t port = outside.port.value();
  const uint32_t block = PortSpaces::block_of(*space, port);
  uint32_t at = host.first_block;
  while (at != PortSpaces::kNone && at != block) at = ports_.block(at).next;
  if (at == PortSpaces::kNone) {
    if (ports_.take_this_block(plan, *space, port, rules.compartment) == PortSpaces::kNone) {
      drop_host_if_unused(plan, host_number);
      return kNone;
    }
    host.outside = outside.address;
    host.space = space->id.value();
    add_block(plan, *space, block, host, now);
  }
  const bool taken = ports_.take_this(*space, block, port_set_of(inside.protocol), port);
  const uint32_t number =
      taken ? enter_mapping(rules, inside, outside, host_number) : uint32_t{kNone};
  if (number != kNone) {
    mappings_[number].space = static_cast<uint16_t>(space->id.value());
    ++host.mappings;
  }
  return_empty_blocks(plan, host, host.outside, now);
  drop_host_if_unused(plan, host_number);
  return number;
}

}  // namespace hnv
