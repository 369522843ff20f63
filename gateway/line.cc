// SPDX-License-Identifier: Apache-2.0
#include "gateway/line.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "compartments/line/departure.h"
#include "compartments/scratch.h"
#include "gateway/respond.h"
#include "gateway/spread.h"
#include "gateway/stations.h"
#include "gateway/stations_ipv6.h"
#include "gateway/trace.h"

namespace hnv {
namespace {

// Places of a breath kept for packets that a next hop's answer sets free: some while packets wait,
// most while there are more to be let go than these, so that they leave faster than others come.
constexpr unsigned kReleaseRoom = 16;
constexpr unsigned kReleaseRoomLeftOver = 48;

// The family of the IP header at `data`; it has been checked where it came in, or is ours.
Family family_at(const uint8_t* data) { return *data >> 4 == 6 ? Family::ipv6 : Family::ipv4; }

// Hands a vector over by family, each in its order: nearly always all of it is of one.
template <Side S, class Ipv4Station, class Ipv6Station>
void by_family(const Lanes& lanes, Burst<S> in, Ipv4Station&& ipv4, Ipv6Station&& ipv6) {
  if (!lanes.has_ipv6()) [[likely]] {
    return ipv4(in);
  }
  unsigned of_ipv6 = 0;
  for (const auto packet : in) of_ipv6 += packet.slot().family == Family::ipv6 ? 1 : 0;
  if (of_ipv6 == 0) return ipv4(in);
  if (of_ipv6 == in.size()) return ipv6(in);
  std::array<PacketSlot*, kVector> slots;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const unsigned of_ipv4 = in.size() - of_ipv6;
  unsigned at[2] = {0, of_ipv4};
  for (const auto packet : in) {
    slots[at[packet.slot().family == Family::ipv6 ? 1 : 0]++] = &packet.slot();
  }
  ipv4(Burst<S>(slots.data(), of_ipv4));
  ipv6(Burst<S>(slots.data() + of_ipv4, of_ipv6));
}

// Null while no trace is on.
Tracer* tracer_of(const Dataplane& plane, unsigned worker, Instant now) {
  if (plane.trace == nullptr) [[likely]] {
    return nullptr;
  }
  WorkerTrace& trace = plane.trace->worker(worker);
  trace.set_now(now);
  return &trace;
}

unsigned release_room(const HoldTable& hold) {
  if (hold.held() == 0) return 0;
  return hold.left_over() ? kReleaseRoomLeftOver : kReleaseRoom;
}

}  // namespace

Line::Line(unsigned worker, unsigned ports, unsigned workers, uint32_t nat_sessions,
           uint32_t shaped_packets)
    : counters_(std::make_unique<WorkerCounters>()),
      lanes_(*counters_, worker, workers),
      nat_(std::make_unique<NatWorker>(worker, nat_sessions)),
      ipsec_(std::make_unique<IpsecWorker>(shaped_packets)),
      outboxes_(ports),
      handboxes_(workers) {
  for (Outbox& box : outboxes_) box.sender = worker;
}

void Line::set_sender(unsigned port, unsigned worker) { outboxes_[port].sender = worker; }

unsigned Line::returning() const { return std::min(reentry_.size(), kVector); }

unsigned Line::room() const {
  const unsigned kept =
      returning() + injected_count_ + release_room(hold_) + ipsec_->shaper.room_wanted() + used_;
  return kept >= kVector ? 0 : kVector - kept;
}

PacketSlot& Line::take_slot(rte_mbuf* mbuf) {
  assert(used_ < kVector);
  PacketSlot& slot = slots_[used_++];
  slot.load(mbuf);
  return slot;
}

void Line::receive(rte_mbuf* mbuf, PortId port) {
  mbuf->port = static_cast<uint16_t>(port.value());
  set_departure(*mbuf, {});
  ++received_;
  lanes_.push(Stage::classify, take_slot(mbuf));
}

void Line::receive_spread(rte_mbuf* const* packets, unsigned count, PortId port) {
  assert(count <= room());
  for (unsigned i = 0; i < count; ++i) {
    rte_mbuf* mbuf = packets[i];
    const auto flow = flow_hash_of(rte_pktmbuf_mtod(mbuf, const uint8_t*), mbuf->data_len);
    const unsigned owner = flow ? owner_of(*flow, lanes_.workers()) : lanes_.worker();
    if (owner == lanes_.worker()) {
      receive(mbuf, port);
      continue;
    }
    mbuf->port = static_cast<uint16_t>(port.value());
    set_departure(*mbuf, {});
    ++received_;
    Handbox& box = handboxes_[owner];
    box.packets[box.count++] = Handed{.mbuf = mbuf, .at = Stage::classify, .handoffs = 0};
  }
}

void Line::hand_in(const Handed& handed) {
  counters_->handed_in.add();
  if (handed.at == Stage::route) {
    injected_[injected_count_++] = Reentry{.mbuf = handed.mbuf,
                                           .stage = Stage::route,
                                           .handoffs = handed.handoffs,
                                           .origin = side_note(*handed.mbuf).origin};
    return;
  }
  PacketSlot& slot = take_slot(handed.mbuf);
  slot.handoffs = handed.handoffs;
  slot.complete_frame = handed.at == Stage::tx;
  if (handed.hairpin) slot.ingress = Ingress::nat;
  slot.ports_known = handed.ports_known;
  slot.ports = handed.ports;
  lanes_.push(handed.at, slot);
}

void Line::inject(rte_mbuf* mbuf) {
  counters_->injected.add();
  set_departure(*mbuf, {});
  const SideNote& note = side_note(*mbuf);
  injected_[injected_count_++] = Reentry{.mbuf = mbuf,
                                         .stage = note.at_route ? Stage::route : Stage::rewrite,
                                         .complete_frame = note.complete_frame,
                                         .origin = note.origin,
                                         .next_hop = note.next_hop,
                                         .next_hop_uid = note.next_hop_uid};
}

void Line::drop_at(Stage stage, PacketSlot& slot, DropReason reason) {
  if (stage == Stage::route) {
    Exit<Stage::route>(lanes_).drop(Packet<Side::outside>(slot), reason);
  } else {
    Exit<Stage::rewrite>(lanes_).drop(Packet<Side::outside>(slot), reason);
  }
}

void Line::re_enter(const Reentry& entry, const Dataplane& plane) {
  PacketSlot& slot = take_slot(entry.mbuf);
  if (entry.stage == Stage::classify) {
    slot.handoffs = entry.handoffs;
    if (entry.hairpin) slot.ingress = Ingress::nat;
    return lanes_.push(Stage::classify, slot);
  }
  if (entry.stage == Stage::route) {
    if (!restore_origin(slot, entry.origin, plane.compartments)) {
      return drop_at(Stage::route, slot, DropReason::compartment_gone);
    }
    slot.inside = true;
    slot.handoffs = entry.handoffs;
    lanes_.set_family(slot, family_at(slot.data));
    if (slot.family == Family::ipv4) {
      slot.destination = Packet<Side::inside>(slot).at<wire::Ipv4>(0).destination.value();
    }
    return lanes_.push(Stage::route, slot);
  }
  slot.complete_frame = entry.complete_frame;
  slot.next_hop = entry.next_hop;
  // A compartment that is gone only means that nobody can be told.
  (void)restore_origin(slot, entry.origin, plane.compartments);
  if (!entry.complete_frame && !entry.next_hop.valid()) {
    return drop_at(Stage::rewrite, slot, DropReason::neighbor_limit);
  }
  if (!entry.complete_frame && plane.next_hops[entry.next_hop.value()].uid != entry.next_hop_uid) {
    return drop_at(Stage::rewrite, slot, DropReason::next_hop_gone);
  }
  lanes_.push(Stage::rewrite, slot);
}

void Line::release_held(const Dataplane& plane) {
  if (hold_.held() == 0) return;
  std::array<HoldTable::Released, kVector> released;
  // Every answer and every injected packet has its place; room() has seen to that.
  const unsigned taken = used_ + returning() + injected_count_;
  const unsigned count = hold_.release(plane, released.data(), kVector - taken);
  for (unsigned i = 0; i < count; ++i) {
    PacketSlot& slot = take_slot(released[i].mbuf);
    slot.next_hop = released[i].next_hop;
    slot.was_held = true;
    const bool known = restore_origin(slot, released[i].origin, plane.compartments);
    if (released[i].verdict == HoldTable::Verdict::resolved) {
      lanes_.push(Stage::rewrite, slot);
    } else if (released[i].verdict == HoldTable::Verdict::gone) {
      drop_at(Stage::rewrite, slot, DropReason::next_hop_gone);
    } else if (known) {
      refuse_held(slot);
    } else {
      drop_at(Stage::rewrite, slot, DropReason::next_hop_failed);
    }
  }
}

// The next hop never answered: whoever sent the packet is told, in its own address space.
void Line::refuse_held(PacketSlot& slot) {
  slot.strip(slot.inner);
  slot.inside = true;
  lanes_.set_family(slot, family_at(slot.data));
  const IcmpError error = slot.family == Family::ipv4 ? IcmpError::host_unreachable()
                                                      : Icmp6Error::address_unreachable();
  Exit<Stage::rewrite>(lanes_).refuse(Packet<Side::inside>(slot), DropReason::next_hop_failed,
                                      error);
}

// Frames that their tunnels' rates let go now.
void Line::release_shaped(const IpsecPlan& plan, Instant now) {
  Shaper& shaper = ipsec_->shaper;
  if (shaper.held() == 0) return;
  Scratch<Shaper::Leaving, kVector> released;
  const unsigned taken = used_ + returning() + injected_count_;
  const unsigned count = shaper.release(released.data(), kVector - taken, plan, now);
  for (unsigned i = 0; i < count; ++i) {
    const Shaper::Leaving& one = released[i];
    if (one.gone) [[unlikely]] {
      drop_frame(one.mbuf, DropReason::ipsec_tunnel_gone);
    } else {
      send(one.mbuf, one.port);
    }
  }
  used_ += count;  // their places in the outboxes
}

// What comes back: held packets first, so that they stay before those that arrive now.
void Line::take_back(const Dataplane& plane, Instant now) {
  release_held(plane);
  release_shaped(*plane.ipsec, now);
  for (unsigned left = returning(); left > 0; --left) re_enter(reentry_.pop(), plane);
  for (unsigned i = 0; i < injected_count_; ++i) re_enter(injected_[i], plane);
  injected_count_ = 0;
}

template <Stage S, Side In, class Station>
void Line::station(Station&& work) {
  const Burst<In> burst = lanes_.burst<In>(S);
  if (burst.size() == 0) return;
  auto& counts = counters_->stations[static_cast<size_t>(S)];
  counts.packets.add(burst.size());
  counts.vectors.add();
  work(burst);
}

NatContext Line::nat_context(const Dataplane& plane, Instant now) {
  return {.plan = *plane.nat,
          .networks = *plane.outside,
          .compartments = plane.compartments,
          .next_hops = plane.next_hops,
          .links = plane.links,
          .mine = *nat_,
          .reentry = reentry_,
          .now = now};
}

IpsecContext Line::ipsec_context(const Dataplane& plane, Instant now) {
  return {.plan = *plane.ipsec,
          .compartments = plane.compartments,
          .outside = *plane.outside,
          .next_hops = plane.next_hops,
          .links = plane.links,
          .mine = *ipsec_,
          .reentry = reentry_,
          .now = now};
}

void Line::tend(const Dataplane& plane, Instant now) {
  tend_nat(nat_context(plane, now), lanes_);
  tend_ipsec(ipsec_context(plane, now), lanes_);
}

void Line::enter(const Dataplane& plane, const NatContext& nat, const IpsecContext& ipsec) {
  station<Stage::classify, Side::outside>(
      [&](auto in) { classify(in, plane, Exit<Stage::classify>(lanes_)); });
  station<Stage::enter_nvgre, Side::outside>([&](auto in) {
    const Exit<Stage::enter_nvgre> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { enter_nvgre(ipv4, plane, out); },
        [&](auto ipv6) { enter_nvgre_over_ipv6(ipv6, plane, out); });
  });
  station<Stage::enter_ipsec, Side::outside>(
      [&](auto in) { enter_ipsec(in, ipsec, Exit<Stage::enter_ipsec>(lanes_)); });
  station<Stage::enter_nat, Side::outside>([&](auto in) {
    const Exit<Stage::enter_nat> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { enter_nat(ipv4, nat, out); },
        [&](auto ipv6) { enter_nat_ipv6(ipv6, nat, out); });
  });
  station<Stage::enter_l3, Side::outside>([&](auto in) {
    const Exit<Stage::enter_l3> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { enter_l3(ipv4, plane, out); },
        [&](auto ipv6) { enter_l3_ipv6(ipv6, out); });
  });
}

void Line::leave(const Dataplane& plane, const NatContext& nat, const IpsecContext& ipsec) {
  const PuntGate gate{nat.now, punts_waiting_};
  station<Stage::route, Side::inside>([&](auto in) {
    const Exit<Stage::route> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { route(ipv4, gate, out); },
        [&](auto ipv6) { route_ipv6(ipv6, gate, out); });
  });
  station<Stage::leave_nvgre, Side::inside>([&](auto in) {
    const Exit<Stage::leave_nvgre> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { leave_nvgre(ipv4, plane, out); },
        [&](auto ipv6) { leave_nvgre_ipv6(ipv6, plane, out); });
  });
  station<Stage::leave_ipsec, Side::inside>(
      [&](auto in) { leave_ipsec(in, ipsec, Exit<Stage::leave_ipsec>(lanes_)); });
  station<Stage::leave_nat, Side::inside>([&](auto in) {
    const Exit<Stage::leave_nat> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { leave_nat(ipv4, nat, out); },
        [&](auto ipv6) { leave_nat_ipv6(ipv6, nat, out); });
  });
  station<Stage::leave_l3, Side::inside>([&](auto in) {
    const Exit<Stage::leave_l3> out(lanes_);
    by_family(
        lanes_, in, [&](auto ipv4) { leave_l3(ipv4, plane, out); },
        [&](auto ipv6) { leave_l3_ipv6(ipv6, plane, out); });
  });
}

void Line::run(const Dataplane& plane, Instant now) {
  lanes_.tracer = tracer_of(plane, lanes_.worker(), now);
  counters_->rx.add(std::exchange(received_, 0));
  const NatContext nat = nat_context(plane, now);
  const IpsecContext ipsec = ipsec_context(plane, now);
  take_back(plane, now);
  enter(plane, nat, ipsec);
  leave(plane, nat, ipsec);
  station<Stage::rewrite, Side::outside>(
      [&](auto in) { rewrite(in, plane, hold_, Exit<Stage::rewrite>(lanes_)); });
  station<Stage::respond, Side::outside>(
      [&](auto in) { respond(in, plane, now, lanes_, reentry_); });
  station<Stage::tx, Side::outside>([&](auto) { finish_tx(*plane.ipsec, now); });
  station<Stage::handoff, Side::outside>([&](auto) { finish_handoffs(); });
  station<Stage::punt, Side::outside>([&](auto) { finish_punts(now); });
  lanes_.clear();
  used_ = 0;
  tend_nat(nat, lanes_);
  tend_ipsec(ipsec, lanes_);
}

void Line::send(rte_mbuf* mbuf, uint16_t port) {
  Outbox& box = outboxes_[port];
  if (box.sender != lanes_.worker()) [[unlikely]] {
    Handbox& other = handboxes_[box.sender];
    other.packets[other.count++] = Handed{.mbuf = mbuf, .at = Stage::tx, .handoffs = 0};
    return;
  }
  box.packets[box.count++] = mbuf;
}

// False: not now, or not at all.
bool Line::may_leave(rte_mbuf& frame, const IpsecPlan& plan, Instant now) {
  switch (ipsec_->shaper.park(frame, plan, now)) {
    case Shaper::Parked::goes:
      return true;
    case Shaper::Parked::waits:
      return false;
    case Shaper::Parked::full:
      drop_frame(&frame, DropReason::ipsec_rate_limited);
      return false;
    case Shaper::Parked::gone:
      drop_frame(&frame, DropReason::ipsec_tunnel_gone);
      return false;
  }
  return true;
}

// Of nobody's counters but the worker's: it is through.
void Line::drop_frame(rte_mbuf* frame, DropReason reason) {
  counters_->drops[static_cast<size_t>(reason)].add();
  rte_pktmbuf_free(frame);
}

void Line::finish_tx(const IpsecPlan& plan, Instant now) {
  for (const auto packet : lanes_.burst<Side::outside>(Stage::tx)) {
    rte_mbuf* mbuf = packet.mbuf();
    if (departure_of(*mbuf).meter != 0 && !may_leave(*mbuf, plan, now)) continue;
    send(mbuf, mbuf->port);
  }
}

void Line::finish_handoffs() {
  for (const auto packet : lanes_.burst<Side::outside>(Stage::handoff)) {
    Handbox& box = handboxes_[packet.slot().owner];
    box.packets[box.count++] = to_hand_over(packet.slot());
  }
}

bool Line::lets_through(const PacketSlot& ike, Instant now) {
  const uint32_t bytes = rte_pktmbuf_data_len(ike.mbuf);
  if (bytes <= ike.l2_bytes) return false;
  const auto* frame = rte_pktmbuf_mtod(ike.mbuf, const uint8_t*);
  return ike_gate_.admit({frame + ike.l2_bytes, bytes - ike.l2_bytes},
                         punts_waiting_ + punts_.count, now);
}

// What the control thread needs to know of a packet goes with it.
void Line::finish_punts(Instant now) {
  for (const auto packet : lanes_.burst<Side::outside>(Stage::punt)) {
    const PacketSlot& slot = packet.slot();
    if (slot.punt_for == PuntFor::charon && !lets_through(slot, now)) {
      counters_->drops[static_cast<size_t>(DropReason::punt_queue_full)].add(1);
      rte_pktmbuf_free(slot.mbuf);
      continue;
    }
    SideNote note;
    note.origin = origin_of(slot);
    note.attachment = slot.attachment;
    note.worker = static_cast<uint8_t>(lanes_.worker());
    note.l2_bytes = slot.l2_bytes;
    note.family = slot.family;
    note.punt_for = slot.punt_for;
    if (slot.inside && slot.punt_for == PuntFor::resolver) {
      if (slot.family == Family::ipv4) {
        const be32 destination{slot.destination};
        std::memcpy(note.address.data(), &destination, sizeof destination);
      } else {
        note.address = *slot.next_hop6;
      }
      note.connection = slot.connection;
      note.resolve = true;
    }
    side_note(*slot.mbuf) = note;
    punts_.packets[punts_.count++] = slot.mbuf;
  }
}

void Line::sent(unsigned port, unsigned taken) {
  Outbox& box = outboxes_[port];
  counters_->tx.add(taken);
  counters_->drops[static_cast<size_t>(DropReason::tx_full)].add(box.count - taken);
  for (unsigned i = taken; i < box.count; ++i) rte_pktmbuf_free(box.packets[i]);
  box.count = 0;
}

void Line::punted(unsigned taken) {
  counters_->punts.add(taken);
  counters_->drops[static_cast<size_t>(DropReason::punt_queue_full)].add(punts_.count - taken);
  for (unsigned i = taken; i < punts_.count; ++i) rte_pktmbuf_free(punts_.packets[i]);
  punts_.count = 0;
}

void Line::handed(unsigned worker, unsigned taken) {
  Handbox& box = handboxes_[worker];
  counters_->handed_out.add(taken);
  counters_->drops[static_cast<size_t>(DropReason::handoff_full)].add(box.count - taken);
  for (unsigned i = taken; i < box.count; ++i) rte_pktmbuf_free(box.packets[i].mbuf);
  box.count = 0;
}

void Line::drain(const Handed& handed) {
  counters_->handed_in.add();
  counters_->drops[static_cast<size_t>(DropReason::draining)].add();
  rte_pktmbuf_free(handed.mbuf);
}

void Line::drain() {
  const auto drop = [this](rte_mbuf* mbuf) {
    counters_->drops[static_cast<size_t>(DropReason::draining)].add();
    rte_pktmbuf_free(mbuf);
  };
  hold_.clear(drop);
  while (reentry_.size() > 0) drop(reentry_.pop().mbuf);
  for (unsigned i = 0; i < injected_count_; ++i) drop(injected_[i].mbuf);
  injected_count_ = 0;
  drain_nat(*nat_, *counters_);
  drain_ipsec(*ipsec_, *counters_);
}

}  // namespace hnv
