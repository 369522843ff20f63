// SPDX-License-Identifier: Apache-2.0
//
// The FlowID byte: the same for both directions of a flow, spread over its values, blind to ports
// where not every packet of the flow has them.
#include <set>

#include <gtest/gtest.h>

#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

Frame flow(const char* from, const char* to, uint16_t source, uint16_t destination,
           uint16_t fragment = 0) {
  return Frame(ip(from, to).with([&](IpLayer& l) { l.fragment = fragment; })) /
         udp(source, destination);
}

}  // namespace

TEST(FlowId, IsTheSameInBothDirections) {
  EXPECT_EQ(flow_of(flow("10.0.1.11", "10.0.2.21", 1000, 53)),
            flow_of(flow("10.0.2.21", "10.0.1.11", 53, 1000)));
}

TEST(FlowId, IsTheSameForEveryFragment) {
  const uint8_t first = flow_of(flow("10.0.1.11", "10.0.2.21", 1000, 53, 0x2000));
  EXPECT_EQ(first, flow_of(flow("10.0.1.11", "10.0.2.21", 7, 7, 0x0010)));
  EXPECT_EQ(first, flow_of(Frame(ip("10.0.1.11", "10.0.2.21").with([](IpLayer& l) {
                             l.protocol = 17;
                             l.fragment = 0x2010;
                           })) /
                           payload(3)));
}

TEST(FlowId, ReadsNoPortsThatAreNotThere) {
  const Frame cut =
      Frame(ip("10.0.1.11", "10.0.2.21").with([](IpLayer& l) { l.protocol = 17; })) / payload(3);
  EXPECT_EQ(flow_of(cut), flow_of(flow("10.0.1.11", "10.0.2.21", 0, 0, 0x2000)));
}

TEST(FlowId, SpreadsPorts) {
  std::set<uint8_t> seen;
  for (uint16_t port = 1024; port < 2048; ++port) {
    seen.insert(flow_of(flow("10.0.1.11", "10.0.2.21", port, 443)));
  }
  EXPECT_GT(seen.size(), 200U);
}

}  // namespace hnv
