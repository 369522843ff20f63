// SPDX-License-Identifier: Apache-2.0
//
// Packets that wait: for a next hop's MAC address, for the control thread, for the port.
#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"
#include "tests/support/frame_text.h"

namespace hnv {
namespace {

using enum DropReason;

constexpr const char* kFabric = "providerNetworks/fabric";

// The record of 10.0.1.12 moves to a host that nobody has spoken to.
void move_vm12(TestDataplane& network, const char* to = "10.250.0.40") {
  network.change({{"routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.12",
                   std::string(R"({"customerAddress":"10.0.1.12","macAddress":")") + kVm12Mac +
                       R"(","providerAddress":")" + to + R"("})"}});
}
Frame numbered(uint16_t number) {
  return from_vm(
      kContoso,
      Frame(ip("10.0.1.11", "10.0.1.12").with([&](IpLayer& l) { l.id = number; })) / udp(1, 2));
}
uint16_t number_of(const Sent& sent) {
  return reinterpret_cast<const wire::Ipv4*>(sent.frame.data() + 56)->id.value();
}
void send_numbers(TestLine& line, uint16_t& next, unsigned count) {
  while (count-- > 0) {
    if (line.line().room() == 0) line.breathe();
    line.receive(kFabricPort, numbered(next++).bytes());
  }
  line.breathe();
}

}  // namespace

TEST(Hold, KeepsPacketsWhileTheHostIsAskedFor) {
  TestLine line;
  move_vm12(line.network());
  uint16_t next = 0;
  send_numbers(line, next, 20);
  EXPECT_EQ(line.line().held(), 20U);
  EXPECT_EQ(line.fault(), "");
  line.network().answer(kFabric, "10.250.0.40", "02:00:00:00:00:40");
  std::vector<Sent> sent;
  for (int i = 0; i < 4; ++i) {
    for (Sent& s : line.breathe()) sent.push_back(std::move(s));
  }
  ASSERT_EQ(sent.size(), 20U);
  for (uint16_t i = 0; i < 20; ++i) EXPECT_EQ(number_of(sent[i]), i);
  EXPECT_EQ(sent[0].frame[5], 0x40) << "the host's MAC";
  EXPECT_EQ(line.fault(), "");
}

// What arrives while held packets are let go stays behind them: a flow is never reordered, and
// nothing is lost however fast it comes.
TEST(Hold, LetsNoPacketOvertake) {
  TestLine line;
  move_vm12(line.network());
  uint16_t next = 0;
  send_numbers(line, next, HoldTable::kPerNextHop);
  ASSERT_EQ(line.line().held(), HoldTable::kPerNextHop);
  line.network().answer(kFabric, "10.250.0.40", "02:00:00:00:00:40");
  std::vector<Sent> sent;
  for (int breath = 0; breath < 40; ++breath) {
    for (unsigned room = line.line().room(); room > 0 && next < 1000; --room) {
      line.receive(kFabricPort, numbered(next++).bytes());
    }
    for (Sent& s : line.breathe()) sent.push_back(std::move(s));
    ASSERT_EQ(line.fault(), "");
  }
  ASSERT_EQ(sent.size(), size_t{next});
  for (uint16_t i = 0; i < next; ++i) ASSERT_EQ(number_of(sent[i]), i);
  EXPECT_EQ(line.line().held(), 0U);
}

TEST(Hold, IsBoundedForANextHop) {
  TestLine line;
  move_vm12(line.network());
  uint16_t next = 0;
  send_numbers(line, next, HoldTable::kPerNextHop + 5);
  EXPECT_EQ(line.line().held(), HoldTable::kPerNextHop);
  EXPECT_EQ(line.drops(next_hop_queue_full), 5U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Hold, DropsWhatWaitedForAHostThatDoesNotAnswer) {
  TestLine line;
  move_vm12(line.network());
  uint16_t next = 0;
  send_numbers(line, next, 3);
  line.network().let_fail(kFabric, "10.250.0.40");
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(next_hop_failed), 3U);
  EXPECT_EQ(line.network()
                .counters("contoso")
                .drops[size_t{static_cast<uint8_t>(next_hop_failed)}]
                .value(),
            3U);
  // The sender is told, of these and of those to come, and sees its own packet.
  std::vector<Sent> errors = line.breathe();
  for (Sent& sent : line.run(kFabricPort, numbered(3))) errors.push_back(std::move(sent));
  ASSERT_EQ(errors.size(), 4U);
  for (uint16_t i = 0; i < 4; ++i) {
    const Frame inner =
        Frame(ip("10.0.0.2", "10.0.1.11").with([](IpLayer& l) { l.tos = 0xc0; })) / icmp(3, 1) /
        raw((Frame(ip("10.0.1.11", "10.0.1.12").with([&](IpLayer& l) { l.id = i; })) / udp(1, 2))
                .bytes());
    const Frame expected = to_vm({.host = "10.250.0.11",
                                  .vm_mac = kVm11Mac,
                                  .vsid = kContoso.web,
                                  .flow_id = flow_of(inner)}) /
                           inner;
    EXPECT_EQ(difference(expected.bytes(), errors[i].frame), "");
  }
  EXPECT_EQ(line.drops(next_hop_failed), 4U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Hold, DropsWhatWaitedForARecordThatIsGone) {
  TestLine line;
  move_vm12(line.network());
  uint16_t next = 0;
  send_numbers(line, next, 3);
  line.network().change(
      {{"routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.12", ""}});
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(next_hop_gone), 3U);
  EXPECT_EQ(line.fault(), "");
}

// The place of the gone next hop is another's now: what waited must not go there.
TEST(Hold, KnowsANextHopFromItsPlacesNextHolder) {
  TestLine line;
  TestDataplane& network = line.network();
  move_vm12(network);
  uint16_t next = 0;
  send_numbers(line, next, 3);
  const NextHopId place =
      network.compartment("contoso").records->find(CaKey(CaAddress(ip4("10.0.1.12"))))->next_hop;
  network.change({{"routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.1.12", ""}});
  network.change({{"routingDomains/fabrikam/virtualSubnets/web/lookupRecords/10.0.1.50",
                   R"({"customerAddress":"10.0.1.50","providerAddress":"10.250.0.50",
                       "macAddress":"00:15:5d:01:00:50"})"}});
  network.answer_all();
  ASSERT_EQ(network.compartment("fabrikam")
                .records->find(CaKey(CaAddress(ip4("10.0.1.50"))))
                ->next_hop.value(),
            place.value());
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(next_hop_gone), 3U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Hold, DrainsAtTheEnd) {
  TestLine line;
  move_vm12(line.network());
  uint16_t next = 0;
  send_numbers(line, next, 9);
  line.receive(kFabricPort,
               from_vm(kContoso, Frame(ip("10.0.1.11", "10.0.0.2")) / echo_request()).bytes());
  line.breathe();
  EXPECT_EQ(line.line().held(), 10U);
  line.line().drain();
  EXPECT_EQ(line.drops(draining), 10U);
  EXPECT_EQ(line.line().held(), 0U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Hold, NeverTakesMoreThanABreathHolds) {
  TestLine line;
  // 64 answers wait: nothing is taken from outside until they are gone.
  const Bytes ping = from_vm(kContoso, Frame(ip("10.0.1.11", "10.0.0.2")) / echo_request()).bytes();
  for (unsigned i = 0; i < kVector; ++i) line.receive(kFabricPort, ping);
  EXPECT_EQ(line.line().room(), 0U);
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.line().room(), 0U);
  EXPECT_EQ(line.breathe().size(), size_t{kVector});
  EXPECT_EQ(line.line().room(), kVector);
  EXPECT_EQ(line.fault(), "");
}

TEST(Leave, AsksControlForAnUnknownNeighbourOfAConnection) {
  TestLine line;
  const Frame inner = vm_udp("10.0.1.11", "192.168.7.66");
  EXPECT_TRUE(line.run(kFabricPort, from_vm(kContoso, inner)).empty());
  ASSERT_EQ(line.notes().size(), 1U);
  const SideNote& note = line.notes()[0];
  EXPECT_TRUE(note.resolve);
  EXPECT_EQ(note.address4().value(), ip4("192.168.7.66"));
  EXPECT_EQ(note.origin.compartment_uid, line.network().compartment("contoso").uid);
  EXPECT_TRUE(note.connection.valid());

  // Control asks, keeps the packet and injects it; it waits for the answer and goes.
  TestDataplane& network = line.network();
  const std::string link = "routingDomains/contoso/networkConnections/private";
  const NextHopId id = network.demand(link, "192.168.7.66");
  ASSERT_TRUE(id.valid());
  rte_mbuf* mbuf = line.mbufs().take(line.punts()[0]);
  side_note(*mbuf) = SideNote{.next_hop = id, .next_hop_uid = network.next_hops().uid(id)};
  line.line().inject(mbuf);
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.line().held(), 1U);
  EXPECT_TRUE(line.run(kFabricPort, from_vm(kContoso, inner)).empty());
  EXPECT_EQ(line.line().held(), 2U);
  network.answer(link, "192.168.7.66", "02:00:00:00:00:66");
  const auto sent = line.breathe();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].port, kWanPort);
  EXPECT_EQ(sent[0].frame, sent[1].frame);
  EXPECT_EQ(sent[0].frame[5], 0x66);
  // Fabrikam has another neighbour of the same address, or none.
  EXPECT_TRUE(line.run(kFabricPort, from_vm(kFabrikam, inner)).empty());
  EXPECT_EQ(line.notes().size(), 2U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Inject, KnowsANextHopThatIsGone) {
  TestLine line;
  rte_mbuf* mbuf = line.mbufs().take(vm_udp().bytes());
  side_note(*mbuf) = SideNote{.next_hop = NextHopId(0), .next_hop_uid = 999};
  line.line().inject(mbuf);
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(next_hop_gone), 1U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Inject, KnowsThatNoNextHopCouldBeHad) {
  TestLine line;
  rte_mbuf* mbuf = line.mbufs().take(vm_udp().bytes());
  side_note(*mbuf) = SideNote{};
  line.line().inject(mbuf);
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(neighbor_limit), 1U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Inject, SendsAWholeFrameAsItIs) {
  TestLine line;
  const Bytes frame = (Frame(eth("ff:ff:ff:ff:ff:ff", kFabricMac)) /
                       arp_request(kFabricMac, "10.250.0.1", "10.250.0.40"))
                          .bytes();
  rte_mbuf* mbuf = line.mbufs().take(frame);
  mbuf->port = kWanPort;
  side_note(*mbuf) = SideNote{.complete_frame = true};
  line.line().inject(mbuf);
  const auto sent = line.breathe();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].port, kWanPort);
  EXPECT_EQ(sent[0].frame, frame);
  EXPECT_EQ(line.fault(), "");
}

TEST(Tx, CountsWhatThePortDoesNotTake) {
  TestLine line;
  for (int i = 0; i < 5; ++i) line.receive(kFabricPort, from_vm(kContoso, vm_udp()).bytes());
  EXPECT_EQ(line.breathe_taking(2).size(), 2U);
  EXPECT_EQ(line.drops(tx_full), 3U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Punt, CountsWhatControlDoesNotTake) {
  TestLine line;
  for (int i = 0; i < 3; ++i) {
    line.receive(kFabricPort, from_vm(kContoso, vm_udp("10.0.1.11", "192.168.7.66")).bytes());
  }
  line.breathe_taking(1);
  EXPECT_EQ(line.punts().size(), 1U);
  EXPECT_EQ(line.drops(punt_queue_full), 2U);
  EXPECT_EQ(line.fault(), "");
}

TEST(Leave, NeedsHeadroom) {
  TestLine line;
  // A buffer whose data begins at its very start, behind an L3 frame of 18 bytes: no room for 42.
  const Bytes frame = (private_net(kContoso) / vm_udp("192.168.7.50", "10.0.1.12")).bytes();
  rte_mbuf* mbuf = line.mbufs().take(frame);
  std::memmove(mbuf->buf_addr, rte_pktmbuf_mtod(mbuf, void*), frame.size());
  mbuf->data_off = 0;
  line.line().receive(mbuf, PortId(kWanPort));
  EXPECT_TRUE(line.breathe().empty());
  EXPECT_EQ(line.drops(no_headroom), 1U);
  EXPECT_EQ(line.fault(), "");
}

}  // namespace hnv
