// SPDX-License-Identifier: Apache-2.0
//
// A tunnel has one worker: what comes up at another is handed over, in both directions, and counted
// where it is sealed and opened.
#include <gtest/gtest.h>

#include "tests/support/ipsec_network.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr unsigned kOwner = 1;

class IpsecWorkers : public testing::Test {
 protected:
  // Runs it at the first line, then what that hands over at the second one; what the second sends.
  Bytes through_both(unsigned port, const Bytes& frame) {
    FakeMbufs& mbufs = net_.line().mbufs();
    first_.receive(mbufs.take(frame), PortId(port));
    first_.run(net_.network().plane(), net_.network().clock().now());
    Line::Handbox& box = first_.handbox(kOwner);
    EXPECT_EQ(box.count, 1U);
    if (box.count != 1) return {};
    second_.hand_in(box.packets[0]);
    first_.handed(kOwner, 1);
    second_.run(net_.network().plane(), net_.network().clock().now());
    Bytes sent;
    for (unsigned out = 0; out < 2; ++out) {
      Line::Outbox& outbox = second_.outbox(out);
      for (unsigned i = 0; i < outbox.count; ++i) {
        const auto bytes = bytes_of(*outbox.packets[i]);
        sent.assign(bytes.begin(), bytes.end());
        rte_pktmbuf_free(outbox.packets[i]);
      }
      second_.sent(out, outbox.count);
    }
    EXPECT_TRUE(sum(first_.counters(), first_.held()).balanced());
    EXPECT_TRUE(sum(second_.counters(), second_.held()).balanced());
    EXPECT_EQ(mbufs.in_use(), 0U);
    return sent;
  }

  IpsecNetwork net_{{.workers = 2, .owner = kOwner}};
  Line first_{0, 2, 2};
  Line second_{kOwner, 2, 2};
};

TEST_F(IpsecWorkers, SealsWhereTheTunnelIsAndLowersTheTimeToLiveOnce) {
  const auto inner =
      eth(kGatewayMac, kRouterMac).with([](EthLayer& l) { l.type = uint16_t{0x0800}; });
  const Bytes packet = udp_packet("10.0.1.11", "172.16.5.5");
  const Bytes sent =
      through_both(kFabricPort, (fabric() / gre(kContoso.gateway) / inner / raw(packet)).bytes());
  ASSERT_GT(sent.size(), 18U);
  const auto opened = net_.open(kContoso, Bytes(sent.begin() + 18, sent.end()));
  ASSERT_TRUE(opened);
  EXPECT_EQ((*opened)[8], packet[8] - 1);
  EXPECT_EQ(net_.traffic(kContoso, 0).out_packets.value(), 0U);
  EXPECT_EQ(net_.traffic(kContoso, kOwner).out_packets.value(), 1U);
}

TEST_F(IpsecWorkers, OpensWhereTheTunnelIs) {
  const auto tag = vlan(kInternetVlan).with([](VlanLayer& l) { l.type = uint16_t{0x0800}; });
  const Bytes outer = net_.seal(kFabrikam, udp_packet("172.16.5.5", "10.0.1.11"));
  const Bytes sent =
      through_both(kWanPort, (Frame(eth(kWanMac, "02:aa:cb:00:71:fe")) / tag / raw(outer)).bytes());
  EXPECT_FALSE(sent.empty());
  EXPECT_EQ(net_.inbound(kFabrikam).state->window.top(), 1U);
  EXPECT_EQ(net_.traffic(kFabrikam, 0).in_packets.value(), 0U);
  EXPECT_EQ(net_.traffic(kFabrikam, kOwner).in_packets.value(), 1U);
}

}  // namespace
}  // namespace hnv
