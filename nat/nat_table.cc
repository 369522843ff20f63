// SPDX-License-Identifier: Apache-2.0
//
// What is there: found, ended, swept, restored. How it comes to be is in nat_open.cc.
#include "nat/nat_table.h"

#include <algorithm>

namespace hnv {
namespace {

// All of it within this time.
constexpr uint64_t kSweepNanoseconds = 4'000'000'000;
constexpr uint32_t kMostPerBreath = 4096;

uint64_t by_remote_hash(be32 address, be16 port, uint8_t protocol, be32 remote) {
  return secret_hash(uint64_t{address.raw()} | uint64_t{remote.raw()} << 32,
                     uint64_t{port.raw()} | uint64_t{protocol} << 32, 10);
}

}  // namespace

NatTable::NatTable(unsigned worker, uint32_t capacity)
    : worker_(worker),
      capacity_(capacity),
      sessions_(capacity),
      // Resting ones lie beside those in use.
      mappings_(size_t{capacity} * 2),
      hosts_(size_t{capacity}),
      by_inside_(capacity),
      by_outside_(capacity),
      by_remote_(capacity),
      by_endpoint_(capacity * 2),
      by_public_(capacity * 2),
      by_host_(capacity),
      ports_(worker),
      random_(worker + 0x100) {}

NatSession* NatTable::find(const InsideFlow& flow, uint64_t hash) {
  const uint32_t found =
      by_inside_.find(hash, [&](uint32_t entry) { return sessions_[entry].is(flow); });
  return found == kNone ? nullptr : &sessions_[found];
}

NatSession* NatTable::find(const OutsideFlow& flow, uint64_t hash) {
  const uint32_t found =
      by_outside_.find(hash, [&](uint32_t entry) { return sessions_[entry].is(flow); });
  return found == kNone ? nullptr : &sessions_[found];
}

uint32_t NatTable::find_mapping(const InsideEndpoint& endpoint) const {
  return by_endpoint_.find(endpoint.hash(), [&](uint32_t entry) {
    return mappings_[entry].is(endpoint) && mappings_[entry].replaced == 0;
  });
}

uint32_t NatTable::find_mapping(const PublicEndpoint& endpoint) const {
  return by_public_.find(endpoint.hash(),
                         [&](uint32_t entry) { return mappings_[entry].is(endpoint); });
}

uint32_t NatTable::find_host(CompartmentId compartment, be32 inside) const {
  return by_host_.find(NatHost::hash(compartment, inside), [&](uint32_t entry) {
    const NatHost& host = hosts_[entry];
    return host.used != 0 && host.inside.raw() == inside.raw() &&
           host.compartment == compartment.value();
  });
}

CompartmentId NatTable::domain_of(const NatPlan& plan, const PublicEndpoint& endpoint) const {
  const StaticMapping* published =
      plan.static_at(endpoint.address, endpoint.protocol, endpoint.port);
  if (published != nullptr) return published->compartment;
  const uint32_t mapping = find_mapping(endpoint);
  return mapping == kNone ? CompartmentId() : CompartmentId(mappings_[mapping].compartment);
}

bool NatTable::known_remote(const OutsideFlow& flow) const {
  const uint64_t hash = by_remote_hash(flow.address, flow.port, flow.protocol, flow.remote);
  return by_remote_.find(hash, [&](uint32_t entry) {
    const NatSession& s = sessions_[entry];
    return s.used() && s.outside.raw() == flow.address.raw() &&
           s.outside_port.raw() == flow.port.raw() && s.protocol == flow.protocol &&
           s.remote.raw() == flow.remote.raw();
  }) != kNone;
}

void NatTable::enter_by_remote(NatSession& session) {
  if (session.by_remote != 0) return;
  session.by_remote = 1;
  by_remote_.insert(
      by_remote_hash(session.outside, session.outside_port, session.protocol, session.remote),
      number_of(session));
}

void NatTable::index(NatSession& session) {
  const uint32_t number = number_of(session);
  by_inside_.insert(session.inside_flow().hash(), number);
  by_outside_.insert(session.outside_flow().hash(), number);
}

void NatTable::drop_host_if_unused(const NatPlan& plan, uint32_t number) {
  NatHost& host = hosts_[number];
  if (host.sessions != 0 || host.mappings != 0) return;
  const NatRules* rules = plan.rules_of(CompartmentId(host.compartment));
  if (rules != nullptr) rules->counters[worker_].addresses.add(uint64_t(-1));
  by_host_.erase(NatHost::hash(CompartmentId(host.compartment), host.inside), number);
  host.used = 0;
  host.next_free = free_host_;
  free_host_ = number;
}

void NatTable::return_empty_blocks(const NatPlan& plan, NatHost& host, be32 outside, Instant now) {
  uint32_t* link = &host.first_block;
  while (*link != PortSpaces::kNone) {
    PortSpaces::Block& block = ports_.block(*link);
    if (block.mappings != 0) {
      link = &block.next;
      continue;
    }
    const uint32_t number = *link;
    *link = block.next;
    const PortSpace& space = plan.spaces[number / PortSpaces::kBlocksPerSpace];
    ports_.give_back(plan, space, number, CompartmentId(host.compartment));
    tell_block(plan, space, number, host, outside, NatRecord::Kind::block_returned, now);
  }
}

void NatTable::tell_block(const NatPlan& plan, const PortSpace& space, uint32_t block,
                          const NatHost& host, be32 outside, NatRecord::Kind kind, Instant now) {
  const CompartmentId domain(host.compartment);
  const NatRules* rules = plan.rules_of(domain);
  const uint32_t first =
      std::max<uint32_t>(PortSpaces::first_port_of(space, block), space.range.first);
  const uint32_t last = std::min<uint32_t>(
      PortSpaces::first_port_of(space, block) + space.block_ports - 1, space.range.last);
  if (rules != nullptr) {
    const bool given = kind == NatRecord::Kind::block_given;
    rules->counters[worker_].port_blocks.add(given ? uint64_t{1} : uint64_t(-1));
  }
  tell({.kind = kind,
        .first_port = be16{static_cast<uint16_t>(first)},
        .last_port = be16{static_cast<uint16_t>(last)},
        .inside = host.inside,
        .outside = outside,
        .compartment = domain,
        .pool = space.pool,
        .compartment_uid = rules == nullptr ? 0 : rules->compartment_uid,
        .at = now,
        .started = Instant{uint64_t{ports_.block(block).since} << 27}});
}

void NatTable::forget_mapping(const NatRules* rules, NatMapping& mapping) {
  const uint32_t number = number_of(mapping);
  by_endpoint_.erase(mapping.inside_endpoint().hash(), number);
  by_public_.erase(mapping.public_endpoint().hash(), number);
  if (rules != nullptr) rules->counters[worker_].mappings.add(uint64_t(-1));
  mapping.used = 0;
  mapping.rests_since = free_mapping_;
  free_mapping_ = number;
}

// REQUIRES that no session holds it.
void NatTable::remove_mapping(const NatPlan& plan, NatMapping& mapping, Instant now) {
  const uint32_t host = mapping.host;
  if (mapping.is_static == 0) {
    const PortSpace& space = plan.spaces[mapping.space];
    ports_.free_port(space, port_set_of(mapping.protocol), mapping.outside_port.value());
    --hosts_[host].mappings;
    return_empty_blocks(plan, hosts_[host], mapping.outside, now);
  }
  forget_mapping(plan.rules_of(CompartmentId(mapping.compartment)), mapping);
  drop_host_if_unused(plan, host);
}

void NatTable::end(const NatPlan& plan, NatSession& session, DropReason why, Instant now) {
  const uint32_t number = number_of(session);
  const NatRules* rules = plan.rules_of(CompartmentId(session.compartment));
  if (rules != nullptr) {
    NatCounters& counters = rules->counters[worker_];
    counters.sessions.add(uint64_t(-1));
    counters.sessions_ended.add();
    if (rules->log_sessions) {
      tell_session(*rules, session, NatRecord::Kind::session_ended, why, now, false);
    }
  }
  by_inside_.erase(session.inside_flow().hash(), number);
  by_outside_.erase(session.outside_flow().hash(), number);
  if (session.by_remote != 0) {
    by_remote_.erase(
        by_remote_hash(session.outside, session.outside_port, session.protocol, session.remote),
        number);
  }
  NatMapping& mapping = mappings_[session.mapping];
  --hosts_[mapping.host].sessions;
  session.state = 0;
  session.last_used = free_session_;
  free_session_ = number;
  if (--mapping.sessions != 0) return;
  mapping.rests_since = nat_tick(now);
  // Nothing rests of what is not a block's; nor of what nobody may use again.
  if (mapping.is_static != 0 || mapping.replaced != 0 || plan.spaces[mapping.space].leaving) {
    remove_mapping(plan, mapping, now);
  }
}

bool NatTable::still_right(const NatPlan& plan, const NatRules* rules, NatSession& session,
                           Instant now) {
  NatMapping& mapping = mappings_[session.mapping];
  if (rules != nullptr && rules->enabled && mapping.replaced == 0 && fits(plan, *rules, mapping)) {
    session.rules = rules->serial;
    if (rules->filtering == NatFiltering::address_dependent) enter_by_remote(session);
    return true;
  }
  mapping.replaced = 1;
  end(plan, session, DropReason::nat_no_rule, now);
  return false;
}

void NatTable::sweep_session(const NatPlan& plan, NatSession& session, Instant now) {
  if (!session.used()) return;
  const NatRules* rules = plan.rules_of(CompartmentId(session.compartment));
  // Its own rules may be the same, while another domain publishes something at its port now.
  const bool published =
      !judged() && (session.state & seen::kStatic) == 0 &&
      plan.static_at(session.outside, session.protocol, session.outside_port) != nullptr;
  if (rules == nullptr || rules->serial != session.rules || published) {
    if (!still_right(plan, rules, session, now)) return;
  }
  const NatTick silent = nat_tick(now) - session.last_used;
  const uint32_t timeout = timeout_of(rules->timeouts, session.protocol, session.state);
  if (silent > nat_ticks(timeout)) end(plan, session, DropReason::nat_no_session, now);
}

void NatTable::sweep_mapping(const NatPlan& plan, NatMapping& mapping, Instant now) {
  if (mapping.used == 0 || mapping.sessions != 0) return;
  const NatRules* rules = plan.rules_of(CompartmentId(mapping.compartment));
  const NatTick rested = nat_tick(now) - mapping.rests_since;
  // Under a new plan what no longer fits goes at once: the numbers of spaces and domains that are
  // gone serve again as soon as the sweep has been here.
  if (rules == nullptr || rested > nat_ticks(rules->timeouts.port_rest) ||
      (!judged() && (!rules->enabled || !fits(plan, *rules, mapping)))) {
    remove_mapping(plan, mapping, now);
  }
}

uint32_t NatTable::sweep_due(const NatPlan& plan, Instant now) {
  const uint32_t places = std::max(sessions_used_, mappings_used_);
  const uint64_t passed = now.nanoseconds - swept_at_.nanoseconds;
  if (places == 0) {
    swept_at_ = now;
    swept_.store(plan.serial, std::memory_order_release);
    return 0;
  }
  if (swept_.load(std::memory_order_relaxed) != plan.serial) return kMostPerBreath;
  const uint64_t due =
      passed >= kSweepNanoseconds
          ? places
          : static_cast<uint64_t>(static_cast<double>(passed) / double{kSweepNanoseconds} * places);
  // Not for a few: what the loop costs to begin with is spent seldom.
  return due < 64 && passed < kSweepNanoseconds
             ? 0
             : static_cast<uint32_t>(std::min<uint64_t>(due, kMostPerBreath));
}

void NatTable::sweep(const NatPlan& plan, Instant now, uint32_t entries) {
  const uint32_t places = std::max(sessions_used_, mappings_used_);
  swept_at_ = now;
  if (sweep_at_ == 0) sweeping_ = plan.serial;
  const uint32_t end = sweep_at_ + std::min(entries, places - std::min(places, sweep_at_));
  for (; sweep_at_ < end; ++sweep_at_) {
    if (sweep_at_ + 8 < sessions_used_) __builtin_prefetch(&sessions_[sweep_at_ + 8]);
    if (sweep_at_ < sessions_used_) sweep_session(plan, sessions_[sweep_at_], now);
    if (sweep_at_ < mappings_used_) sweep_mapping(plan, mappings_[sweep_at_], now);
  }
  if (sweep_at_ < places) return;
  sweep_at_ = 0;
  swept_.store(sweeping_, std::memory_order_release);
}

void NatTable::populate(uint32_t from, uint32_t to) const {
  to = std::min(to, capacity_);
  if (from >= to) return;
  sessions_.populate(from, to - from);
  mappings_.populate(from, to - from);
  by_inside_.populate(to);
  by_outside_.populate(to);
  by_endpoint_.populate(to);
  by_public_.populate(to);
}

void NatTable::tell(const NatRecord& record) {
  if (records_.push(&record, 1) == 0) records_lost_.add();
}

void NatTable::tell_session(const NatRules& rules, const NatSession& session, NatRecord::Kind kind,
                            DropReason why, Instant now, bool from_outside) {
  tell({.kind = kind,
        .protocol = session.protocol,
        .reason = why,
        .from_outside = from_outside ? uint8_t{1} : uint8_t{0},
        .first_port = session.outside_port,
        .last_port = session.outside_port,
        .inside_port = session.inside_port,
        .remote_port = session.remote_port,
        .inside = session.inside,
        .outside = session.outside,
        .remote = session.remote,
        .compartment = rules.compartment,
        .pool = {},
        .compartment_uid = rules.compartment_uid,
        .at = now,
        .started = Instant{uint64_t{session.started} << 27}});
}

void NatTable::tell_refused(const NatRules& rules, DropReason reason, be32 inside, NatPoolId pool,
                            Instant now) {
  // One in a second says enough, and leaves the ring to what must not be lost.
  NatCounters& counters = rules.counters[worker_];
  const uint64_t second = now.nanoseconds >> 30;
  if (counters.refusal_told_at == second) return;
  counters.refusal_told_at = second;
  tell({.kind = NatRecord::Kind::refused,
        .reason = reason,
        .inside = inside,
        .compartment = rules.compartment,
        .pool = pool,
        .compartment_uid = rules.compartment_uid,
        .at = now,
        .started = now});
}

}  // namespace hnv
