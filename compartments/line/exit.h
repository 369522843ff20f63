// SPDX-License-Identifier: Apache-2.0
//
// A station's only way out. `Exit<From>` lets a packet go to a later station, across a door, to a
// side exit, or drops it; everything else does not compile. Lanes collect what each station will
// receive later in the same breath.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>

#include <rte_mbuf.h>

#include "compartments/line/drop_reason.h"
#include "compartments/line/ledger.h"
#include "compartments/line/packet.h"
#include "compartments/line/stage.h"
#include "compartments/wire.h"

namespace hnv {

// Sees packets move while a trace is on. gateway/trace.h implements it; called on the worker.
class Tracer {
 public:
  virtual void moved(Stage from, Stage to, const PacketSlot& slot) = 0;
  virtual void dropped(Stage from, DropReason reason, const PacketSlot& slot) = 0;

 protected:
  ~Tracer() = default;
};

// One worker's arrays between stations. Owned by the worker; emptied every breath.
class Lanes {
 public:
  Lanes(WorkerCounters& counters, unsigned worker, unsigned workers = 1)
      : counters_(counters), worker_(worker), workers_(workers) {}

  void push(Stage to, PacketSlot& slot) {
    Lane& lane = lanes_[static_cast<size_t>(to)];
    assert(lane.count < lane.slots.size());
    lane.slots[lane.count++] = &slot;
  }
  template <Side S>
  [[nodiscard]] Burst<S> burst(Stage stage) const {
    assert(side_of(stage) == S || stage >= Stage::respond);
    const Lane& lane = lanes_[static_cast<size_t>(stage)];
    return Burst<S>(lane.slots.data(), lane.count);
  }
  [[nodiscard]] unsigned size(Stage stage) const {
    return lanes_[static_cast<size_t>(stage)].count;
  }
  void clear() {
    for (Lane& lane : lanes_) lane.count = 0;
    has_ipv6_ = false;
  }
  // The packet's family; a breath without IPv6 need not be sorted by it.
  void set_family(PacketSlot& slot, Family family) {
    slot.family = family;
    if (family == Family::ipv6) has_ipv6_ = true;
  }
  [[nodiscard]] bool has_ipv6() const { return has_ipv6_; }
  [[nodiscard]] WorkerCounters& counters() { return counters_; }
  [[nodiscard]] unsigned worker() const { return worker_; }
  // How many share the work; budgets of a compartment are divided by it.
  [[nodiscard]] unsigned workers() const { return workers_; }
  // Null while no trace is on: the one branch it costs.
  Tracer* tracer = nullptr;

 private:
  struct Lane {
    unsigned count = 0;
    // Every slot of a breath can be in one lane at most once.
    std::array<PacketSlot*, kVector> slots{};
  };
  std::array<Lane, kStages> lanes_{};
  WorkerCounters& counters_;
  unsigned worker_;
  unsigned workers_;
  bool has_ipv6_ = false;  // since the last clear()
};

// A packet is handed to an owner at most so often: workers whose Dataplanes differ for a moment may
// not agree whose it is.
inline constexpr uint8_t kMaxHandoffs = 4;

// An ICMP error that refuses a packet in its sender's own address space (RFC 792, 1191).
struct IcmpError {
  uint8_t type = 0;
  uint8_t code = 0;
  uint16_t mtu = 0;

  static constexpr IcmpError net_unreachable() { return {3, 0, 0}; }
  static constexpr IcmpError host_unreachable() { return {3, 1, 0}; }
  static constexpr IcmpError protocol_unreachable() { return {3, 2, 0}; }
  static constexpr IcmpError port_unreachable() { return {3, 3, 0}; }
  static constexpr IcmpError fragmentation_needed(uint16_t mtu) { return {3, 4, mtu}; }
  static constexpr IcmpError host_prohibited() { return {3, 10, 0}; }
  static constexpr IcmpError administratively_prohibited() { return {3, 13, 0}; }
  static constexpr IcmpError time_exceeded() { return {11, 0, 0}; }
};

// The same of IPv6 (RFC 4443 §3). `mtu` is the pointer of a parameter problem.
struct Icmp6Error {
  static constexpr IcmpError no_route() { return {1, 0, 0}; }
  static constexpr IcmpError address_unreachable() { return {1, 3, 0}; }
  static constexpr IcmpError port_unreachable() { return {1, 4, 0}; }
  static constexpr IcmpError packet_too_big(uint16_t mtu) { return {2, 0, mtu}; }
  static constexpr IcmpError time_exceeded() { return {3, 0, 0}; }
  static constexpr IcmpError unknown_next_header(uint16_t pointer) { return {4, 1, pointer}; }
};

template <Stage From>
class Exit {
 public:
  explicit Exit(Lanes& lanes) : lanes_(lanes) {}

  // On to a later station, on the same side.
  template <Stage To, Side S>
  void to(Packet<S> packet) {
    static_assert(To > From, "packets only move forward");
    static_assert(side_of(To) == S, "cross at a door, not here");
    static_assert(To < Stage::respond, "side exits have functions of their own");
    moved(To, packet.slot());
    lanes_.push(To, packet.slot());
  }

  // The only place where a packet gains a compartment. The caller has checked that it may, and has
  // stripped what was in front of the inner IP header.
  [[nodiscard]] Packet<Side::inside> enter(Packet<Side::outside> packet,
                                           const CompartmentView& compartment) {
    static_assert(is_enter_door(From), "only an enter door gives a packet a compartment");
    packet.slot().compartment = &compartment;
    packet.slot().inside = true;
    return Packet<Side::inside>(packet.slot());
  }
  // The only place where it loses one. The outer headers behind Ethernet are written.
  [[nodiscard]] Packet<Side::outside> leave(Packet<Side::inside> packet, NextHopId next_hop) {
    static_assert(is_leave_door(From), "only a leave door takes a packet out of its compartment");
    packet.slot().next_hop = next_hop;
    packet.slot().inside = false;
    return Packet<Side::outside>(packet.slot());
  }

  template <Side S>
  void drop(Packet<S> packet, DropReason reason) {
    count_drop(packet.slot(), reason);
    rte_pktmbuf_free(packet.mbuf());
  }
  // Drops under `reason` and tells the sender: `respond` turns the packet into the error, if the
  // RFCs and the rate limit allow one.
  void refuse(Packet<Side::inside> packet, DropReason reason, IcmpError error) {
    PacketSlot& slot = packet.slot();
    count_drop(slot, reason);
    slot.answer = Answer::icmp_error;
    slot.icmp_type = error.type;
    slot.icmp_code = error.code;
    slot.icmp_mtu = error.mtu;
    slot.store();
    lanes_.push(Stage::respond, slot);
  }
  // The packet is a request that we answer; `respond` counts it as consumed.
  template <Side S>
  void respond(Packet<S> packet, Answer answer) {
    packet.slot().answer = answer;
    packet.slot().store();
    moved(Stage::respond, packet.slot());
    lanes_.push(Stage::respond, packet.slot());
  }
  // To the worker that owns the packet's state, another than this. There it comes back in one of
  // the next breaths, at the station that is named: from outside at `classify`, so it must still be
  // the frame as received; from inside at `route`, in its compartment (or dropped, if that is
  // gone), its TTL lowered once however often it passes there.
  template <Stage At, Side S>
  void handoff(Packet<S> packet, unsigned owner) {
    static_assert(From <= Stage::leave_l3 && side_of(From) == S, "before rewrite, on its own side");
    static_assert(At == (S == Side::outside ? Stage::classify : Stage::route),
                  "outside packets come back at classify, those of a compartment at route");
    assert(owner < lanes_.workers() && owner != lanes_.worker());
    PacketSlot& slot = packet.slot();
    if (slot.handoffs >= kMaxHandoffs) return drop(packet, DropReason::handoff_loop);
    ++slot.handoffs;
    slot.owner = static_cast<uint8_t>(owner);
    slot.store();
    moved(Stage::handoff, slot);
    lanes_.push(Stage::handoff, slot);
  }
  // The packet is larger than `mtu`, the largest behind the door it was sent to: cut into fragments
  // that are routed in the next breath, or refused when its sender forbids that (RFC 1812
  // §4.2.2.7).
  void too_big(Packet<Side::inside> packet, uint16_t mtu) {
    if (packet.at<wire::Ipv4>(0).dont_fragment()) {
      return refuse(packet, DropReason::mtu_exceeded, IcmpError::fragmentation_needed(mtu));
    }
    packet.slot().icmp_mtu = mtu;
    respond(packet, Answer::fragment);
  }
  // The packet has done what it was for.
  template <Side S>
  void consume(Packet<S> packet, ConsumeReason reason) {
    moved(Stage::respond, packet.slot());
    lanes_.counters().consumed[static_cast<size_t>(reason)].add();
    rte_pktmbuf_free(packet.mbuf());
  }
  // The packet ends here and goes on as another, which the caller has brought under way.
  template <Side S>
  void become(Packet<S> packet, ConsumeReason as_consumed, OriginReason as_originated) {
    moved(Stage::respond, packet.slot());
    lanes_.counters().consumed[static_cast<size_t>(as_consumed)].add();
    lanes_.counters().originated[static_cast<size_t>(as_originated)].add();
  }
  // To the control thread.
  template <Side S>
  void punt(Packet<S> packet) {
    packet.slot().store();
    moved(Stage::punt, packet.slot());
    lanes_.push(Stage::punt, packet.slot());
  }

  // A packet that had left the lanes, and is gone now.
  void count_lost(DropReason reason) { lanes_.counters().drops[static_cast<size_t>(reason)].add(); }

  // The packet's family from here on.
  template <Side S>
  void set_family(Packet<S> packet, Family family) {
    lanes_.set_family(packet.slot(), family);
  }
  [[nodiscard]] CompartmentCounters& counters(const CompartmentView& compartment) const {
    return compartment.counters[lanes_.worker()];
  }
  [[nodiscard]] unsigned worker() const { return lanes_.worker(); }

 private:
  void moved(Stage to, const PacketSlot& slot) {
    if (lanes_.tracer != nullptr) [[unlikely]] {
      lanes_.tracer->moved(From, to, slot);
    }
  }
  void count_drop(const PacketSlot& slot, DropReason reason) {
    lanes_.counters().drops[static_cast<size_t>(reason)].add();
    if (slot.compartment != nullptr) {
      counters(*slot.compartment).drops[static_cast<size_t>(reason)].add();
    }
    if (lanes_.tracer != nullptr) [[unlikely]] {
      lanes_.tracer->dropped(From, reason, slot);
    }
  }

  Lanes& lanes_;
};

}  // namespace hnv
