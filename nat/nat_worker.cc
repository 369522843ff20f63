// SPDX-License-Identifier: Apache-2.0
#include "nat/nat_worker.h"

namespace hnv {
namespace {

constexpr uint32_t kPlacesPerBreath = 2048;
constexpr unsigned kSynsPerBreath = 16;

void count_drop(WorkerCounters& counters, DropReason reason) {
  counters.drops[static_cast<size_t>(reason)].add();
}

// Those whose six seconds are over: refused, unless the connection has come about.
void release_syns(const NatContext& nat, Lanes& lanes) {
  for (unsigned i = 0; i < kSynsPerBreath && nat.mine.syns.due(nat.now); ++i) {
    const HeldSyns::Held held = nat.mine.syns.pop();
    WorkerCounters& counters = lanes.counters();
    count_drop(counters, DropReason::nat_unsolicited_syn);
    if (nat.mine.table.find(held.flow, held.flow.hash()) != nullptr ||
        nat.reentry.room() <= kVector) {
      rte_pktmbuf_free(held.refusal);
      continue;
    }
    counters.originated[static_cast<size_t>(OriginReason::unreachable)].add();
    nat.reentry.push({.mbuf = held.refusal, .stage = Stage::rewrite, .complete_frame = true});
  }
}

void serve(NatRequest& request, const NatContext& nat) {
  NatTable& table = nat.mine.table;
  const uint32_t end = std::min(table.places(), request.place + kPlacesPerBreath);
  for (; request.place < end; ++request.place) {
    NatSession& session = table.at(request.place);
    if (!session.used() || !request.filter.matches(session)) continue;
    if (request.what == NatRequest::What::end) {
      table.end(nat.plan, session, DropReason::draining, nat.now);
      ++request.count;
      continue;
    }
    if (request.count == request.found.size()) break;
    request.found[request.count++] = {.session = session,
                                      .is_static = table.mapping_of(session).is_static != 0,
                                      .now = nat_tick(nat.now)};
  }
  const bool full = request.what == NatRequest::What::list && request.count == request.found.size();
  request.more = request.place < table.places();
  if (request.more && !full) return;
  nat.mine.request.store(nullptr, std::memory_order_relaxed);
  request.done.store(true, std::memory_order_release);
}

}  // namespace

void tend_nat(const NatContext& nat, Lanes& lanes) {
  NatTable& table = nat.mine.table;
  if (const uint32_t due = table.sweep_due(nat.plan, nat.now); due > 0) {
    table.sweep(nat.plan, nat.now, due);
  }
  release_syns(nat, lanes);
  nat.mine.fragments.expire(nat.now, [&](rte_mbuf* mbuf) {
    count_drop(lanes.counters(), DropReason::nat_fragment_lost);
    rte_pktmbuf_free(mbuf);
  });
  NatRequest* request = nat.mine.request.load(std::memory_order_acquire);
  if (request != nullptr) [[unlikely]] {
    serve(*request, nat);
  }
}

bool is_routed_out(const CompartmentView& tenant, be32 remote) {
  const HopId hop = tenant.fib_owner->lookup(remote.value());
  return hop.valid() && !is_on_link(hop) && tenant.hop(hop).kind == HopKind::nat;
}

bool is_routed_out(const CompartmentView& tenant, const wire::Address6& remote) {
  const HopId hop = tenant.fib6_owner->lookup(CaAddress6(remote));
  return hop.valid() && !is_on_link(hop) && tenant.hop(hop).kind == HopKind::nat;
}

void drain_nat(NatWorker& mine, WorkerCounters& counters) {
  const auto drop = [&](rte_mbuf* mbuf) {
    count_drop(counters, DropReason::draining);
    rte_pktmbuf_free(mbuf);
  };
  mine.fragments.clear(drop);
  while (mine.syns.held() > 0) drop(mine.syns.pop().refusal);
}

}  // namespace hnv
