// SPDX-License-Identifier: Apache-2.0
//
// One worker's line: its slots, its lanes and the run through all stations, once per breath. It
// knows no port: the worker (or a test, or a benchmark) puts packets in, runs it and takes them out
// at the other end, port by port.
//
//   line.receive(mbuf, port) … line.run(plane, now) … line.sent(port) …
//
// With other workers beside it, it also sorts out what is theirs, into a box for each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "compartments/clock.h"
#include "compartments/line/exit.h"
#include "compartments/line/ledger.h"
#include "gateway/dataplane.h"
#include "gateway/handoff.h"
#include "gateway/hold.h"
#include "gateway/ike_gate.h"
#include "gateway/reentry.h"
#include "nat/nat_worker.h"
#include "vpn/ipsec_worker.h"

namespace hnv {

class Line {
 public:
  // NAT sessions where nobody says how many: for tests of other things.
  static constexpr uint32_t kFewSessions = 1U << 16;

  // `worker` of `workers` indexes every per-worker counter; `ports` is the number of ports.
  // `shaped_packets` may wait for the rates of their tunnels.
  Line(unsigned worker, unsigned ports, unsigned workers = 1, uint32_t nat_sessions = kFewSessions,
       uint32_t shaped_packets = Shaper::kPackets);
  // Frames for `port` go to this worker, who has the queue for it. Unless told: this one.
  void set_sender(unsigned port, unsigned worker);

  // How many packets this breath still takes from outside.
  [[nodiscard]] unsigned room() const;
  // A packet from a port; room() must have been > 0.
  void receive(rte_mbuf* mbuf, PortId port);
  // Up to kVector packets from a port whose flows are shared among the workers (gateway/spread.h):
  // takes this worker's as `receive` does and puts the others into their boxes, which must be
  // empty. room() must have been >= count.
  void receive_spread(rte_mbuf* const* packets, unsigned count, PortId port);
  // A packet from another worker; room() must have been > 0.
  void hand_in(const Handed& handed);
  // A packet from the control thread, with its SideNote.
  void inject(rte_mbuf* mbuf);

  // All stations, once, over what was received and what came back from the breath before.
  void run(const Dataplane& plane, Instant now);

  // A breath without packets: what is due by the time alone. Answers of it come with the next run,
  // which is due when something is held.
  void tend(const Dataplane& plane, Instant now);

  // What is to be sent on a port, in order. The worker counts what the port took with `sent` and
  // drops the rest, which counts as tx_full.
  struct Outbox {
    std::array<rte_mbuf*, kVector> packets{};
    unsigned count = 0;
    unsigned sender = 0;  // a port's: the worker that has the queue
  };
  [[nodiscard]] Outbox& outbox(unsigned port) { return outboxes_[port]; }
  void sent(unsigned port, unsigned taken);
  // What goes to the control thread. Empties like an outbox: `punted` of them were taken.
  [[nodiscard]] Outbox& punts() { return punts_; }
  void punted(unsigned taken);
  // How many of them the control thread has not taken yet, before a run.
  void set_punts_waiting(unsigned waiting) { punts_waiting_ = waiting; }

  // What goes to another worker, in order. `taken` of them found room in its ring; the rest is
  // dropped as handoff_full.
  struct Handbox {
    std::array<Handed, kVector> packets{};
    unsigned count = 0;
  };
  [[nodiscard]] Handbox& handbox(unsigned worker) { return handboxes_[worker]; }
  void handed(unsigned worker, unsigned taken);

  // Drops everything that waits, as `draining`. For the end.
  void drain();
  // Likewise what another worker handed over too late.
  void drain(const Handed& handed);

  [[nodiscard]] WorkerCounters& counters() { return *counters_; }
  // Packets inside the worker between two breaths.
  [[nodiscard]] uint64_t held() const {
    return hold_.held() + reentry_.size() + nat_->held() + ipsec_->held();
  }
  [[nodiscard]] NatWorker& nat() { return *nat_; }
  [[nodiscard]] const NatWorker& nat() const { return *nat_; }
  [[nodiscard]] IpsecWorker& ipsec() { return *ipsec_; }

 private:
  [[nodiscard]] unsigned returning() const;
  PacketSlot& take_slot(rte_mbuf* mbuf);
  void take_back(const Dataplane& plane, Instant now);
  void re_enter(const Reentry& entry, const Dataplane& plane);
  void release_held(const Dataplane& plane);
  void release_shaped(const IpsecPlan& plan, Instant now);
  // From the wire through the doors into the compartments, and through them out again.
  void enter(const Dataplane& plane, const NatContext& nat, const IpsecContext& ipsec);
  void leave(const Dataplane& plane, const NatContext& nat, const IpsecContext& ipsec);
  void finish_tx(const IpsecPlan& plan, Instant now);
  void send(rte_mbuf* mbuf, uint16_t port);
  [[nodiscard]] bool may_leave(rte_mbuf& frame, const IpsecPlan& plan, Instant now);
  void drop_frame(rte_mbuf* frame, DropReason reason);
  void finish_handoffs();
  [[nodiscard]] bool lets_through(const PacketSlot& ike, Instant now);
  void finish_punts(Instant now);
  void refuse_held(PacketSlot& slot);
  [[nodiscard]] NatContext nat_context(const Dataplane& plane, Instant now);
  [[nodiscard]] IpsecContext ipsec_context(const Dataplane& plane, Instant now);
  void drop_at(Stage stage, PacketSlot& slot, DropReason reason);
  template <Stage S, Side In, class Station>
  void station(Station&& work);

  std::unique_ptr<WorkerCounters> counters_;
  Lanes lanes_;
  std::array<PacketSlot, kVector> slots_{};
  unsigned used_ = 0;
  unsigned received_ = 0;  // since the last run
  std::array<Reentry, kVector> injected_{};
  unsigned injected_count_ = 0;
  ReentryQueue reentry_;
  HoldTable hold_;
  std::unique_ptr<NatWorker> nat_;
  std::unique_ptr<IpsecWorker> ipsec_;
  std::vector<Outbox> outboxes_;
  std::vector<Handbox> handboxes_;  // by worker
  Outbox punts_;
  IkeGate ike_gate_;
  unsigned punts_waiting_ = 0;
};

}  // namespace hnv
