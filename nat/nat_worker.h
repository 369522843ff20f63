// SPDX-License-Identifier: Apache-2.0
//
// NAT as one worker has it, and what its stations are given.
#pragma once

#include <atomic>
#include <cstdint>

#include "compartments/line/exit.h"
#include "compartments/line/reentry.h"
#include "compartments/next_hop.h"
#include "nat/fragments.h"
#include "nat/held_syns.h"
#include "nat/nat_plan.h"
#include "nat/nat_request.h"
#include "nat/nat_table.h"

namespace hnv {

struct NatWorker;

// What the stations see in one breath.
struct NatContext {
  const NatPlan& plan;
  const OutsideNetworks& networks;
  const Compartments& compartments;
  const CowArray<NextHop>& next_hops;
  const CowArray<std::shared_ptr<const CustomerMap>>& links;
  NatWorker& mine;
  ReentryQueue& reentry;
  Instant now;
};

// Numbers for datagrams under shared public addresses: in turn, each as long as possible after its
// last use. Workers begin far apart.
class Identifications {
 public:
  explicit Identifications(unsigned worker) : next_(static_cast<uint16_t>(worker * kStep)) {}
  [[nodiscard]] be16 next() { return be16{next_++}; }

 private:
  // RFC 6864 wants two minutes between two uses, which 65,536 numbers cannot give at speed.
  static constexpr unsigned kStep = 2048;
  uint16_t next_;
};

// Owned by one worker, but for what NatTable says of other threads.
struct NatWorker {
  NatWorker(unsigned worker, uint32_t sessions)
      : table(worker, sessions), identifications(worker) {}

  NatTable table;
  FragmentTable fragments;
  HeldSyns syns;
  Identifications identifications;
  // From any thread; one at a time, null in between.
  std::atomic<NatRequest*> request{nullptr};

  // Packets that wait here.
  [[nodiscard]] uint64_t held() const { return fragments.held() + syns.held(); }
};

// Once a breath, also without packets: what has fallen silent ends, what has waited long enough
// goes or is given up, and requests are served.
void tend_nat(const NatContext& nat, Lanes& lanes);
// Everything that waits ends, as `draining`.
void drain_nat(NatWorker& mine, WorkerCounters& counters);

// NAT in: from an external network to one of our public addresses.
void enter_nat(Burst<Side::outside> in, const NatContext& nat, Exit<Stage::enter_nat> out);
// NAT out: from inside to an external network, or back in by another public address.
void leave_nat(Burst<Side::inside> in, const NatContext& nat, Exit<Stage::leave_nat> out);

// The same of IPv6: one-to-one addresses only.
void enter_nat_ipv6(Burst<Side::outside> in, const NatContext& nat, Exit<Stage::enter_nat> out);
void leave_nat_ipv6(Burst<Side::inside> in, const NatContext& nat, Exit<Stage::leave_nat> out);

// Whether a domain sends packets for this remote out by NAT: only then may the remote come in by
// it.
[[nodiscard]] bool is_routed_out(const CompartmentView& tenant, be32 remote);
[[nodiscard]] bool is_routed_out(const CompartmentView& tenant, const wire::Address6& remote);

}  // namespace hnv
