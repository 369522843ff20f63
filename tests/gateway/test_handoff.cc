// SPDX-License-Identifier: Apache-2.0
//
// From worker to worker: rings, boxes, stations that hand over, and the ledger over all of them.
#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "gateway/spread.h"
#include "tests/gateway/line_cases.h"
#include "tests/support/random.h"
#include "tests/support/test_workers.h"

namespace hnv {
namespace {

Frame flow_of_port(const Tenant& tenant, uint16_t port, uint16_t number = 0) {
  return from_vm(tenant,
                 Frame(ip("10.0.1.11", "10.0.1.12").with([&](IpLayer& l) { l.id = number; })) /
                     udp(port, 2000) / payload(18));
}
unsigned owner_of_frame(const Bytes& frame, unsigned workers) {
  return owner_of(*flow_hash_of(frame.data(), static_cast<uint32_t>(frame.size())), workers);
}
// A port whose flow belongs to `owner`.
uint16_t port_owned_by(unsigned owner, unsigned workers) {
  uint16_t port = 1000;
  while (owner_of_frame(flow_of_port(kContoso, port).bytes(), workers) != owner) ++port;
  return port;
}
std::vector<std::pair<unsigned, Bytes>> sorted(const std::vector<Sent>& sent) {
  std::vector<std::pair<unsigned, Bytes>> out;
  out.reserve(sent.size());
  for (const Sent& s : sent) out.emplace_back(s.port, s.frame);
  std::sort(out.begin(), out.end());
  return out;
}
std::vector<uint64_t> picture_of_all(const TestDataplane& network, const Tenant& tenant,
                                     unsigned workers) {
  std::vector<uint64_t> sum;
  for (unsigned w = 0; w < workers; ++w) {
    const auto one = picture(network.compartment(tenant.name).counters[w]);
    sum.resize(one.size());
    for (size_t i = 0; i < one.size(); ++i) sum[i] += one[i];
  }
  return sum;
}

}  // namespace

TEST(Handoff, AFlowIsItsOwnersWhoeverReceivesIt) {
  for (const unsigned receiver : {0U, 1U, 2U}) {
    TestWorkers workers(3);
    const Bytes frame = flow_of_port(kContoso, port_owned_by(1, 3)).bytes();
    workers.receive(receiver, kFabricPort, {frame});
    const auto sent = workers.settle();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(workers.line(receiver).counters().rx.value(), 1U);
    EXPECT_EQ(workers.line(1).counters().stations[size_t(Stage::enter_nvgre)].packets.value(), 1U);
    EXPECT_EQ(workers.line(1).counters().tx.value(), 1U) << "the port's queue is worker 1's";
    EXPECT_EQ(workers.network().compartment("contoso").counters[1].in_packets.value(), 1U);
    EXPECT_EQ(workers.fault(), "");
  }
}

TEST(Handoff, WhatIsNoFlowStaysWithItsReceiver) {
  TestWorkers workers(2);
  const Bytes arp = (Frame(eth("ff:ff:ff:ff:ff:ff", "02:aa:0a:fa:00:0b")) /
                     arp_request("02:aa:0a:fa:00:0b", "10.250.0.11", "10.250.0.1"))
                        .bytes();
  for (const unsigned receiver : {0U, 1U}) workers.receive(receiver, kFabricPort, {arp});
  EXPECT_EQ(workers.settle().size(), 2U);
  for (const unsigned receiver : {0U, 1U}) {
    EXPECT_EQ(
        workers.line(receiver).counters().consumed[size_t(ConsumeReason::arp_request)].value(), 1U);
  }
  EXPECT_EQ(workers.fault(), "");
}

// A worker without a queue on the port hands the whole frame to the one that has it.
TEST(Handoff, FramesForAPortGoToItsSender) {
  TestWorkers workers(2);
  const uint16_t port = port_owned_by(0, 2);
  for (uint16_t i = 0; i < 40; ++i) {
    workers.receive(0, kFabricPort, {flow_of_port(kContoso, port, i).bytes()});
  }
  const auto sent = workers.settle();
  ASSERT_EQ(sent.size(), 40U);
  for (uint16_t i = 0; i < 40; ++i) {
    EXPECT_EQ(reinterpret_cast<const wire::Ipv4*>(sent[i].frame.data() + 56)->id.value(), i);
  }
  EXPECT_EQ(workers.line(0).counters().handed_out.value(), 40U);
  EXPECT_EQ(workers.line(0).counters().tx.value(), 0U);
  EXPECT_EQ(workers.line(1).counters().tx.value(), 40U);
  EXPECT_EQ(workers.fault(), "");
}

// Every case of the line's tables, through one worker and through several: the same frames leave,
// the same reasons drop, and each tenant counts the same.
TEST(Handoff, SeveralWorkersDoWhatOneDoes) {
  for (const unsigned count : {2U, 3U, 5U}) {
    TestLine one;
    TestWorkers many(count);
    unsigned receiver = 0;
    for (const auto& table : all_case_tables()) {
      for (const LineCase& c : table) {
        for (const Tenant& tenant : kTwins) {
          const Bytes frame = c.in(tenant).bytes();
          const auto expected = sorted(one.run({{c.port, frame}}));
          many.receive(receiver++ % count, c.port, {frame});
          EXPECT_EQ(sorted(many.settle()), expected) << c.name << ", " << tenant.name;
          // So that no ICMP budget ends.
          one.network().clock().advance(std::chrono::seconds(1));
          many.network().clock().advance(std::chrono::seconds(1));
        }
      }
    }
    for (size_t i = 0; i < kDropReasons; ++i) {
      const auto reason = static_cast<DropReason>(i);
      EXPECT_EQ(many.drops(reason), one.drops(reason)) << to_string(reason);
    }
    for (const Tenant& tenant : kTwins) {
      EXPECT_EQ(picture_of_all(many.network(), tenant, count),
                picture_of_all(one.network(), tenant, 1));
    }
    EXPECT_EQ(many.fault(), "");
    EXPECT_GT(many.sum_of(&WorkerCounters::handed_in), 100U) << "or nothing was tested";
  }
}

// Random flows of both tenants in bursts at random receivers: each flow leaves in its order, and
// nothing of one tenant reaches the other.
TEST(Handoff, KeepsEveryFlowInOrder) {
  TestWorkers workers(3);
  Random random(11);
  std::map<std::pair<unsigned, uint16_t>, uint16_t> next;  // by tenant and port
  std::map<std::pair<unsigned, uint16_t>, uint16_t> seen;
  size_t received = 0;
  size_t sent_count = 0;
  const auto look = [&](const std::vector<Sent>& sent) {
    for (const Sent& s : sent) {
      const auto* at = s.frame.data();
      const uint32_t vsid = reinterpret_cast<const wire::Gre*>(at + 34)->key.value() >> 8;
      const auto& ip = *reinterpret_cast<const wire::Ipv4*>(at + 56);
      const auto port = reinterpret_cast<const wire::Ports*>(at + 76)->source.value();
      const unsigned tenant = vsid == kContoso.web ? 0 : 1;
      ASSERT_EQ(vsid, kTwins[tenant].web);
      ASSERT_EQ(ip.id.value(), (seen[{tenant, port}])++);
      ++sent_count;
    }
  };
  for (int burst = 0; burst < 600; ++burst) {
    // A port's receiver is always the same: two that share a flow could not keep its order.
    const unsigned receiver = burst % 2 == 0 ? 0 : 2;
    // Fewer than the one that sends takes in a turn, or its rings fill.
    const auto room = std::min(workers.line(receiver).room(), 16U);
    std::vector<Bytes> frames;
    for (unsigned i = 0; i < room; ++i) {
      const auto tenant = static_cast<unsigned>(random.below(2));
      const auto port = static_cast<uint16_t>((receiver == 0 ? 1000 : 2000) + random.below(20));
      frames.push_back(flow_of_port(kTwins[tenant], port, (next[{tenant, port}])++).bytes());
    }
    received += frames.size();
    workers.receive(receiver, kFabricPort, frames);
    if (random.below(2) == 0) {
      look(workers.turn());
      ASSERT_EQ(workers.fault(), "");
    }
  }
  look(workers.settle());
  EXPECT_EQ(sent_count, received);
  EXPECT_EQ(workers.drops(DropReason::handoff_full), 0U);
  EXPECT_EQ(seen, next);
  EXPECT_EQ(workers.fault(), "");
}

TEST(Handoff, CountsWhatTheRingDoesNotTake) {
  TestWorkers workers(2);
  const Bytes frame = flow_of_port(kContoso, port_owned_by(1, 2)).bytes();
  // The receiver alone breathes; its own line stays empty.
  for (unsigned i = 0; i < Handoffs::kRing + 3; ++i) workers.receive(0, kFabricPort, {frame});
  EXPECT_EQ(workers.drops(DropReason::handoff_full), 3U);
  EXPECT_EQ(workers.handoffs().waiting(), Handoffs::kRing);
  const auto sent = workers.settle();
  EXPECT_EQ(sent.size(), Handoffs::kRing);
  EXPECT_EQ(workers.fault(), "");
}

// A quarter of the room is the ports': however much others hand over.
TEST(Handoff, LeavesRoomForTheOwnPorts) {
  TestWorkers workers(2);
  const Bytes frame = flow_of_port(kContoso, port_owned_by(1, 2)).bytes();
  for (unsigned i = 0; i < 200; ++i) workers.receive(0, kFabricPort, {frame});
  Exchange exchange(workers.handoffs(), 1);
  EXPECT_EQ(exchange.take_in(workers.line(1)), kVector / 4 * 3);
  EXPECT_EQ(workers.line(1).room(), kVector / 4);
  workers.settle();
  EXPECT_EQ(workers.fault(), "");
}

// What a stateful door will do: out of the lane, over the ring, on at the owner as if it had been
// there all the time.
TEST(Handoff, APacketOfACompartmentGoesOnAtRoute) {
  TestWorkers workers(2);
  const Frame inner = vm_udp();
  WorkerCounters counters;
  Lanes lanes(counters, 0, 2);
  PacketSlot slot;
  slot.load(workers.mbufs().take(inner.bytes()));
  slot.compartment = &workers.network().compartment("contoso");
  slot.ingress = Ingress::nvgre;
  slot.inside = true;
  Exit<Stage::leave_nat>(lanes).handoff<Stage::route>(Packet<Side::inside>(slot), 1);
  const auto burst = lanes.burst<Side::outside>(Stage::handoff);
  ASSERT_EQ(burst.size(), 1U);
  EXPECT_EQ(burst[0].slot().owner, 1U);
  EXPECT_EQ(burst[0].slot().handoffs, 1U);
  const Handed handed = to_hand_over(burst[0].slot());
  EXPECT_EQ(handed.at, Stage::route);
  workers.line(0).counters().rx.add();  // as if worker 0 had received it
  workers.hand(0, 1, handed);
  const auto sent = workers.settle();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].port, kFabricPort);
  EXPECT_EQ(workers.network().compartment("contoso").counters[1].out_packets.value(), 1U);
  EXPECT_EQ(workers.fault(), "");
}

TEST(Handoff, LowersTheTtlOnceHoweverOftenItPassesRoute) {
  TestWorkers workers(2);
  PacketSlot slot;
  slot.load(workers.mbufs().take(vm_udp().bytes()));
  slot.compartment = &workers.network().compartment("contoso");
  slot.ingress = Ingress::nvgre;
  slot.inside = true;
  slot.ttl_decremented = true;  // route has seen it before the door handed it over
  workers.line(0).counters().rx.add();
  workers.hand(0, 1, to_hand_over(slot));
  const auto sent = workers.settle();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(reinterpret_cast<const wire::Ipv4*>(sent[0].frame.data() + 56)->ttl, 64);
}

TEST(Handoff, ARemovedCompartmentEndsAsGone) {
  TestWorkers workers(2);
  PacketSlot slot;
  slot.load(workers.mbufs().take(vm_udp().bytes()));
  slot.compartment = &workers.network().compartment("contoso");
  slot.inside = true;
  workers.line(0).counters().rx.add();
  workers.hand(0, 1, to_hand_over(slot));
  std::vector<TestRequest> removal;
  for (TestRequest& request : twin_requests()) {
    if (request.path.find("routingDomains/contoso") == 0) removal.push_back({request.path, ""});
  }
  std::reverse(removal.begin(), removal.end());
  workers.network().change(removal);
  EXPECT_TRUE(workers.settle().empty());
  EXPECT_EQ(workers.drops(DropReason::compartment_gone), 1U);
  EXPECT_EQ(workers.fault(), "");
}

TEST(Handoff, EndsWhenWorkersDoNotAgree) {
  FakeMbufs mbufs(1);
  WorkerCounters counters;
  Lanes lanes(counters, 0, 2);
  PacketSlot slot;
  slot.load(mbufs.take(vm_udp().bytes()));
  slot.inside = true;
  for (unsigned i = 0; i < kMaxHandoffs; ++i) {
    Exit<Stage::leave_nat>(lanes).handoff<Stage::route>(Packet<Side::inside>(slot), 1);
    EXPECT_EQ(mbufs.in_use(), 1U);
  }
  Exit<Stage::leave_nat>(lanes).handoff<Stage::route>(Packet<Side::inside>(slot), 1);
  EXPECT_EQ(counters.drops[size_t(DropReason::handoff_loop)].value(), 1U);
  EXPECT_EQ(mbufs.in_use(), 0U);
}

// The count of handoffs crosses the ring with the packet.
TEST(Handoff, RemembersHowOftenItWasHandedOver) {
  TestWorkers workers(2);
  PacketSlot slot;
  slot.load(workers.mbufs().take(vm_udp().bytes()));
  slot.compartment = &workers.network().compartment("contoso");
  slot.inside = true;
  slot.handoffs = 3;
  EXPECT_EQ(to_hand_over(slot).handoffs, 3U);
  slot.inside = false;
  EXPECT_EQ(to_hand_over(slot).handoffs, 3U);
  EXPECT_EQ(to_hand_over(slot).at, Stage::classify);
  rte_pktmbuf_free(slot.mbuf);
}

TEST(Handoff, TheRestAtTheEndIsCountedAsDraining) {
  TestWorkers workers(2);
  const Bytes frame = flow_of_port(kContoso, port_owned_by(1, 2)).bytes();
  workers.receive(0, kFabricPort, {frame, frame, frame});
  workers.turn();  // worker 0, then worker 1, which takes them and sends
  workers.receive(0, kFabricPort, {frame, frame});
  workers.line(0).run(workers.network().plane(), workers.network().clock().now());
  for (const unsigned w : {0U, 1U}) {
    workers.line(w).drain();
    Exchange(workers.handoffs(), w).drain(workers.line(w));
  }
  EXPECT_EQ(workers.drops(DropReason::draining), 2U);
  EXPECT_EQ(workers.handoffs().waiting(), 0U);
  EXPECT_EQ(workers.fault(), "");
  EXPECT_EQ(workers.mbufs().in_use(), 0U);
}

// A compartment's ICMP errors are divided: with four workers it gets no more than with one.
TEST(Handoff, WorkersShareTheIcmpBudget) {
  TestWorkers workers(4);
  for (uint16_t port = 1; port <= 800; ++port) {
    const Bytes frame =
        from_vm(kContoso, Frame(ip("10.0.1.11", "203.0.113.1")) / udp(port, 2000)).bytes();
    workers.receive(port % 4, kFabricPort, {frame});
    workers.turn();
  }
  workers.settle();
  uint64_t errors = 0;
  for (unsigned w = 0; w < 4; ++w) {
    errors += workers.line(w).counters().originated[size_t(OriginReason::unreachable)].value();
  }
  EXPECT_LE(errors, 50U);
  EXPECT_GE(errors, 40U);
  EXPECT_EQ(workers.fault(), "");
}

}  // namespace hnv
