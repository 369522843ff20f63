// SPDX-License-Identifier: Apache-2.0
//
// A worker's breath allocates nothing, whatever comes in: every scene, with and without a trace.
#include <array>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tests/pipeline/allocations.h"
#include "tests/pipeline/scene.h"

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

}  // namespace

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
