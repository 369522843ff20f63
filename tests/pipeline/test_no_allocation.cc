// SPDX-License-Identifier: Apache-2.0
//
// A worker's breath allocates nothing, whatever comes in: every scene, with and without a trace.
#include <array>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tests/pipeline/allocations.h"
#include "tests/pipeline/scene.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

// The bare Line: the test's own bookkeeping may allocate, it may not.
size_t allocations_of(const std::vector<PcapRecord>& in, TestDataplane& network) {
  FakeMbufs mbufs;
  Line line(0, 2);
  size_t count = 0;
  size_t next = 0;
  for (unsigned quiet = 0; quiet < 3;) {
    quiet = next == in.size() ? quiet + 1 : 0;
    std::array<rte_mbuf*, kVector> packets{};
    std::array<uint32_t, kVector> ports{};
    unsigned taken = 0;
    for (const unsigned room = line.room(); taken < room && next < in.size(); ++next, ++taken) {
      packets[taken] = mbufs.take(in[next].frame);
      ports[taken] = in[next].port;
    }
    count_allocations();
    for (unsigned i = 0; i < taken; ++i) line.receive(packets[i], PortId(ports[i]));
    line.run(network.plane(), network.clock().now());
    for (unsigned port = 0; port < 2; ++port) line.sent(port, line.outbox(port).count / 2);
    line.punted(0);
    count += allocations();
  }
  return count;
}

// What opens sessions, ends up in every table of NAT's, is refused, held, comes back in.
std::vector<PcapRecord> nat_frames() {
  std::vector<PcapRecord> out;
  const auto from_vm = [&](const Tenant& tenant, const NatPacket& packet) {
    const auto inner =
        eth(kGatewayMac, kRouterMac).with([](EthLayer& l) { l.type = uint16_t{0x0800}; });
    out.push_back(
        {0, kFabricPort, (fabric() / gre(tenant.gateway) / inner / raw(packet.bytes())).bytes()});
  };
  const auto from_internet = [&](const NatPacket& packet) {
    const auto tag = vlan(kInternetVlan).with([](VlanLayer& l) { l.type = uint16_t{0x0800}; });
    out.push_back(
        {0, kWanPort, (Frame(eth(kWanMac, kVm12Mac)) / tag / raw(packet.bytes())).bytes()});
  };
  for (uint16_t i = 0; i < 2000; ++i) {
    const Tenant& tenant = kTwins[i % 2];
    const auto port = static_cast<uint16_t>(2000 + i);
    from_vm(tenant, nat_udp("10.0.1.11", port, "192.0.2.80", 53));
    from_vm(tenant, nat_tcp("10.0.1.11", port, "192.0.2.80", 80));
    from_vm(tenant, nat_echo("10.0.1.11", "192.0.2.80", port));
    from_vm(tenant, nat_udp("10.0.1.11", port, "198.51.100.5", 4000));
    from_internet(nat_tcp("192.0.2.81", port, "198.51.100.6", port));
    from_internet(nat_udp("192.0.2.81", port, "198.51.100.6", port));
    NatPacket fragment = nat_udp("10.0.1.11", port, "192.0.2.80", 53);
    fragment.id = i;
    fragment.fragment = 0x2004;
    from_vm(tenant, fragment);  // before its first one
    if (i % 4 == 0) {
      fragment.fragment = 0x2000;
      from_vm(tenant, fragment);
    }
  }
  return out;
}

}  // namespace

TEST(NoAllocation, InABreathOfNat) {
  const auto frames = nat_frames();
  NatNetwork net;
  EXPECT_EQ(allocations_of(frames, net.network()), 0U);
}

TEST(NoAllocation, TheHooksCount) {
  count_allocations();
  auto something = std::make_unique<std::vector<int>>(100);
  ASSERT_NE(something, nullptr);
  EXPECT_GE(allocations(), 2U);
}

TEST(NoAllocation, InABreath) {
  for (const char* scene : kScenes) {
    const auto in = read_pcap(golden(scene, "in.pcap"));
    TestDataplane network(twin_ports());
    network.change(twin_requests());  // nobody has answered: packets are held
    EXPECT_EQ(allocations_of(in, network), 0U) << scene << ", unresolved";
    network.answer_all();
    EXPECT_EQ(allocations_of(in, network), 0U) << scene;
    TraceMatch match;
    match.compartment_uid = network.compartment("contoso").uid;
    network.set_trace(std::make_shared<PacketTrace>(match, 100'000, 1));
    EXPECT_EQ(allocations_of(in, network), 0U) << scene << ", traced";
  }
}

}  // namespace hnv
