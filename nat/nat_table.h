// SPDX-License-Identifier: Apache-2.0
//
// One worker's NAT: its sessions, mappings, hosts and ports. Nothing here is ever thrown out to
// make room for something else: what does not fit is refused (RFC 6888 REQ-4, 5).
//
// A session is checked again when its domain's rules are others than those it was made under: one
// that no longer fits ends, and so does a mapping that no longer fits, as soon as nothing uses it.
//
// What has been silent for too long is found by a sweep that goes through the arrays again and
// again, a little in every breath (`sweep`); a packet costs no timer anything.
#pragma once

#include <atomic>
#include <cstdint>

#include "compartments/clock.h"
#include "compartments/line/drop_reason.h"
#include "nat/flow_index.h"
#include "nat/nat_plan.h"
#include "nat/nat_record.h"
#include "nat/port_space.h"
#include "nat/reserved_array.h"
#include "nat/session.h"

namespace hnv {

// Threads: the worker's, but where said.
class NatTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // For at most `capacity` sessions.
  NatTable(unsigned worker, uint32_t capacity);

  // --- looking a session up, in passes over a vector ---
  void prefetch(const InsideFlow&, uint64_t hash) const { by_inside_.prefetch(hash); }
  void prefetch(const OutsideFlow&, uint64_t hash) const { by_outside_.prefetch(hash); }
  void prefetch_inside(uint64_t hash) const { by_inside_.prefetch(hash); }
  [[nodiscard]] uint32_t candidate_inside(uint64_t hash) const {
    return by_inside_.candidate(hash);
  }
  void prefetch_outside(uint64_t hash) const { by_outside_.prefetch(hash); }
  [[nodiscard]] uint32_t candidate_outside(uint64_t hash) const {
    return by_outside_.candidate(hash);
  }
  // What open() looks at first, for a flow that no session knows.
  void prefetch_open(const InsideEndpoint& inside) const {
    by_endpoint_.prefetch(inside.hash());
    by_host_.prefetch(NatHost::hash(inside.compartment, inside.inside));
    if (free_session_ != kNone) __builtin_prefetch(&sessions_[free_session_], 1);
  }
  // Probably the one; for fetching. kNone: there is none.
  [[nodiscard]] uint32_t candidate(const InsideFlow&, uint64_t hash) const {
    return by_inside_.candidate(hash);
  }
  [[nodiscard]] uint32_t candidate(const OutsideFlow&, uint64_t hash) const {
    return by_outside_.candidate(hash);
  }
  void prefetch_session(uint32_t number) const {
    if (number != kNone) __builtin_prefetch(&sessions_[number], 1);
  }
  [[nodiscard]] CompartmentId compartment_of(uint32_t number) const {
    return CompartmentId(sessions_[number].compartment);
  }
  // Null: there is none. `candidate` as answered before; the table may have changed since.
  template <class Flow>
  [[nodiscard]] NatSession* find(const Flow& flow, uint64_t hash, uint32_t candidate) {
    if (candidate != kNone && sessions_[candidate].is(flow)) [[likely]] {
      return &sessions_[candidate];
    }
    return find(flow, hash);
  }
  [[nodiscard]] NatSession* find(const InsideFlow& flow, uint64_t hash);
  [[nodiscard]] NatSession* find(const OutsideFlow& flow, uint64_t hash);

  // --- opening one ---
  struct Opened {
    NatSession* session = nullptr;  // null: refused
    DropReason reason{};
  };
  // A packet from inside that no session knows.
  [[nodiscard]] Opened open(const NatPlan& plan, const NatRules& rules, const InsideFlow& flow,
                            Instant now);
  // From outside: a static mapping, or one that something inside has opened, if its filter lets the
  // remote in.
  [[nodiscard]] Opened open(const NatPlan& plan, const OutsideFlow& flow, Instant now);

  // Whose a public endpoint is now; invalid: nobody's.
  [[nodiscard]] CompartmentId domain_of(const NatPlan& plan, const PublicEndpoint& endpoint) const;

  // Whether the session may go on under these rules (its domain's now, null when there are none);
  // ended if not. REQUIRES session.used().
  [[nodiscard]] bool still_right(const NatPlan& plan, const NatRules* rules, NatSession& session,
                                 Instant now);

  // Ends it; its port rests from now on. `why`: nat_no_session (silent too long), nat_no_rule
  // (rules changed), draining (an operator's wish).
  void end(const NatPlan& plan, NatSession& session, DropReason why, Instant now);

  // A part of the sweep: up to `entries` sessions and as many mappings.
  void sweep(const NatPlan& plan, Instant now, uint32_t entries);
  // How much of it is due: all of it every four seconds, at once after a new plan.
  [[nodiscard]] uint32_t sweep_due(const NatPlan& plan, Instant now);
  // The serial of a plan since which every session has been looked at; from any thread.
  [[nodiscard]] uint64_t swept() const { return swept_.load(std::memory_order_acquire); }

  // --- for lists ---
  [[nodiscard]] uint32_t places() const { return sessions_used_; }
  [[nodiscard]] NatSession& at(uint32_t place) { return sessions_[place]; }
  [[nodiscard]] const NatMapping& mapping_of(const NatSession& session) const {
    return mappings_[session.mapping];
  }
  [[nodiscard]] uint32_t size() const { return by_inside_.size(); }
  [[nodiscard]] uint32_t mappings() const { return by_public_.size(); }
  [[nodiscard]] uint32_t hosts() const { return by_host_.size(); }
  [[nodiscard]] const PortSpaces& ports() const { return ports_; }

  // --- for a planned restart ---
  // Enters a session as it was; ages become those of now. False: it does not fit (any more).
  [[nodiscard]] bool restore(const NatPlan& plan, const NatRules& rules, const NatSession& saved,
                             Instant now);

  // Any thread: how many places sessions have taken at most, and makes memory present up to
  // `places` of them, so that no packet waits for it.
  [[nodiscard]] uint32_t high_water() const { return high_water_.load(std::memory_order_relaxed); }
  void populate(uint32_t from, uint32_t to) const;

  // What the control thread is to hear of; it pops.
  [[nodiscard]] NatRecords& records() { return records_; }
  [[nodiscard]] uint64_t records_lost() const { return records_lost_.value(); }

 private:
  [[nodiscard]] uint32_t number_of(const NatSession& s) const {
    return static_cast<uint32_t>(&s - &sessions_[0]);
  }
  [[nodiscard]] uint32_t number_of(const NatMapping& m) const {
    return static_cast<uint32_t>(&m - &mappings_[0]);
  }
  [[nodiscard]] bool sessions_full() const;
  [[nodiscard]] uint32_t find_mapping(const InsideEndpoint& endpoint) const;
  [[nodiscard]] uint32_t find_mapping(const PublicEndpoint& endpoint) const;
  [[nodiscard]] uint32_t find_host(CompartmentId compartment, be32 inside) const;
  [[nodiscard]] uint32_t host_for(const NatRules& rules, be32 inside);
  void drop_host_if_unused(const NatPlan& plan, uint32_t host);
  [[nodiscard]] bool fits(const NatPlan& plan, const NatRules& rules,
                          const NatMapping& mapping) const;
  [[nodiscard]] bool within_limits(const NatRules& rules, const NatHost* host, Instant now,
                                   DropReason& reason);
  [[nodiscard]] uint32_t map_static(const NatPlan& plan, const NatRules& rules,
                                    const InsideEndpoint& inside, const PublicEndpoint& outside);
  [[nodiscard]] uint32_t map_dynamic(const NatPlan& plan, const NatRules& rules,
                                     const InsideEndpoint& inside, Instant now, DropReason& reason);
  [[nodiscard]] bool settle_host(const NatPlan& plan, const NatRules& rules,
                                 const NatRules::Outbound& rule, NatHost& host, Instant now);
  [[nodiscard]] uint32_t take_block(const NatPlan& plan, const NatRules& rules,
                                    const NatRules::Outbound& rule, const PortSpace& space,
                                    NatHost& host, Instant now);
  void add_block(const NatPlan& plan, const PortSpace& space, uint32_t block, NatHost& host,
                 Instant now);
  [[nodiscard]] uint32_t map_again(const NatPlan& plan, const NatRules& rules,
                                   const InsideEndpoint& inside, const PublicEndpoint& outside,
                                   Instant now);
  [[nodiscard]] uint32_t reuse_resting(const NatRules& rules, const NatRules::Outbound& rule,
                                       const PortSpace& space, NatHost& host,
                                       const InsideEndpoint& inside);
  uint32_t enter_mapping(const NatRules& rules, const InsideEndpoint& inside,
                         const PublicEndpoint& outside, uint32_t host);
  void forget_mapping(const NatRules* rules, NatMapping& mapping);
  // Whether this round of the sweep is not the first under its plan.
  [[nodiscard]] bool judged() const { return swept_.load(std::memory_order_relaxed) == sweeping_; }
  void remove_mapping(const NatPlan& plan, NatMapping& mapping, Instant now);
  // `outside`: their public address; the host may have another one by now.
  void return_empty_blocks(const NatPlan& plan, NatHost& host, be32 outside, Instant now);
  void tell_block(const NatPlan& plan, const PortSpace& space, uint32_t block, const NatHost& host,
                  be32 outside, NatRecord::Kind kind, Instant now);
  NatSession& enter_session(const NatRules& rules, NatMapping& mapping, be32 remote,
                            be16 remote_port, Instant now, bool from_outside);
  void enter_by_remote(NatSession& session);
  void index(NatSession& session);
  [[nodiscard]] bool known_remote(const OutsideFlow& flow) const;
  void sweep_session(const NatPlan& plan, NatSession& session, Instant now);
  void sweep_mapping(const NatPlan& plan, NatMapping& mapping, Instant now);
  void tell(const NatRecord& record);
  void tell_session(const NatRules& rules, const NatSession& session, NatRecord::Kind kind,
                    DropReason why, Instant now, bool from_outside);
  void tell_refused(const NatRules& rules, DropReason reason, be32 inside, NatPoolId pool,
                    Instant now);

  unsigned worker_;
  uint32_t capacity_;
  ReservedArray<NatSession> sessions_;
  ReservedArray<NatMapping> mappings_;
  ReservedArray<NatHost> hosts_;
  FlowIndex by_inside_, by_outside_;   // sessions
  FlowIndex by_remote_;                // sessions, by public endpoint and remote address
  FlowIndex by_endpoint_, by_public_;  // mappings
  FlowIndex by_host_;
  PortSpaces ports_;
  SecretNumbers random_;
  uint32_t sessions_used_ = 0, free_session_ = kNone;
  uint32_t mappings_used_ = 0, free_mapping_ = kNone;
  uint32_t hosts_used_ = 0, free_host_ = kNone;
  std::atomic<uint32_t> high_water_{0};

  unsigned workers_ = 1;

  uint32_t sweep_at_ = 0;
  Instant swept_at_{};     // when the sweep last went on
  uint64_t sweeping_ = 0;  // the plan at the beginning of this round
  std::atomic<uint64_t> swept_{0};

  NatRecords records_;
  Counter records_lost_;
};

}  // namespace hnv
