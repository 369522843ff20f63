// SPDX-License-Identifier: Apache-2.0
//
// Which flow a frame belongs to: the same for all its packets and both directions, whatever stands
// in front; and nothing is read that is not there.
#include <array>
#include <set>

#include <gtest/gtest.h>

#include "gateway/spread.h"
#include "tests/support/random.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

std::optional<uint32_t> flow(const Frame& frame) {
  const Bytes bytes = frame.bytes();
  return flow_hash_of(bytes.data(), static_cast<uint32_t>(bytes.size()));
}

Frame inner_udp(const std::string& from, const std::string& to, uint16_t source,
                uint16_t destination, uint16_t fragment = 0) {
  return Frame(ip(from, to).with([&](IpLayer& l) { l.fragment = fragment; })) /
         udp(source, destination) / payload(40);
}
Frame in_nvgre(uint32_t vsid, const Frame& inner) { return fabric() / nvgre(vsid) / inner; }

// An IPv6 header and what follows it.
Bytes ipv6(uint8_t from, uint8_t to, uint8_t next_header, const Bytes& rest) {
  Bytes out = {0x60, 0, 0, 0, 0, static_cast<uint8_t>(rest.size()), next_header, 64};
  for (const uint8_t last : {from, to}) {
    out.insert(out.end(), {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
  }
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}
Frame ethernet_of_type(uint16_t type) {
  return Frame(eth(kGatewayMac, kVm11Mac).with([&](EthLayer& l) { l.type = type; }));
}
Bytes two_ports(uint8_t source, uint8_t destination) {
  return {0x10, source, 0x10, destination, 0, 0, 0, 0};
}

}  // namespace

TEST(Spread, BothDirectionsAreOneFlow) {
  const auto there = flow(in_nvgre(5001, inner_udp("10.0.1.11", "10.0.2.21", 1000, 53)));
  ASSERT_TRUE(there);
  EXPECT_EQ(there, flow(in_nvgre(5001, inner_udp("10.0.2.21", "10.0.1.11", 53, 1000))));
  EXPECT_NE(there, flow(in_nvgre(5001, inner_udp("10.0.1.11", "10.0.2.21", 53, 1000))));
  EXPECT_NE(there, flow(in_nvgre(5001, inner_udp("10.0.1.11", "10.0.2.21", 1001, 53))));
  EXPECT_NE(there, flow(in_nvgre(5001, inner_udp("10.0.1.12", "10.0.2.21", 1000, 53))));
}

TEST(Spread, TwinsWithTheSameAddressesAreTwoFlows) {
  const Frame inner = inner_udp("10.0.1.11", "10.0.1.12", 1, 2);
  EXPECT_NE(flow(in_nvgre(5001, inner)), flow(in_nvgre(6001, inner)));
}

TEST(Spread, WhatCarriesThePacketDoesNotCount) {
  const Frame inner = inner_udp("10.0.1.11", "10.0.1.12", 1, 2);
  const auto plain = flow(in_nvgre(5001, inner));
  EXPECT_EQ(plain, flow(fabric("10.250.0.77", "10.250.0.2") / nvgre(5001) / inner));
  EXPECT_EQ(plain, flow(tagged_fabric() / nvgre(5001) / inner));
  // FlowID and the reserved bits that a receiver ignores.
  EXPECT_EQ(plain,
            flow(fabric() / Frame(gre(5001, 0x11).with([](GreLayer& l) { l.flags = 0x2010; })) /
                 eth(kGatewayMac, kVm11Mac) / inner));
}

TEST(Spread, AnL3PacketIsItsOwnFlow) {
  const auto there = flow(private_net(kContoso) / inner_udp("172.16.0.1", "10.0.1.11", 7, 9));
  ASSERT_TRUE(there);
  EXPECT_EQ(there, flow(private_net(kFabrikam) / inner_udp("10.0.1.11", "172.16.0.1", 9, 7)));
  EXPECT_EQ(there,
            flow(Frame(eth(kPrivateMac, kPeerMac)) / inner_udp("10.0.1.11", "172.16.0.1", 9, 7)));
}

TEST(Spread, AllFragmentsOfADatagramStayTogether) {
  const auto fragment = [](uint16_t flags_and_offset, uint16_t source) {
    return flow(in_nvgre(5001, inner_udp("10.0.1.11", "10.0.1.12", source, 2, flags_and_offset)));
  };
  const auto first = fragment(0x2000, 1);
  ASSERT_TRUE(first);
  // What stands where the ports would be is payload.
  EXPECT_EQ(first, fragment(0x2001, 77));
  EXPECT_EQ(first, fragment(0x0100, 1234));
  EXPECT_NE(first, flow(in_nvgre(5001, inner_udp("10.0.1.11", "10.0.1.13", 1, 2, 0x2000))));
}

TEST(Spread, Ipv6InsideAndOutside) {
  const auto of = [](const Bytes& packet) {
    return flow(fabric() / Frame(gre(5001)) / ethernet_of_type(0x86dd) / raw(packet));
  };
  const auto there = of(ipv6(1, 2, 17, two_ports(5, 6)));
  ASSERT_TRUE(there);
  EXPECT_EQ(there, of(ipv6(2, 1, 17, two_ports(6, 5))));
  EXPECT_NE(there, of(ipv6(1, 3, 17, two_ports(5, 6))));
  EXPECT_NE(there, of(ipv6(1, 2, 17, two_ports(5, 7))));
  // A fragment header: the addresses alone.
  EXPECT_EQ(of(ipv6(1, 2, 44, two_ports(5, 6))), of(ipv6(1, 2, 44, two_ports(9, 9))));
  // On an IPv6 fabric the inner packet decides as well.
  const Frame inner = inner_udp("10.0.1.11", "10.0.1.12", 1, 2);
  const Bytes behind = (Frame(gre(5001)) / eth(kGatewayMac, kVm11Mac) / inner).bytes();
  EXPECT_EQ(flow(ethernet_of_type(0x86dd) / raw(ipv6(1, 2, 47, behind))),
            flow(in_nvgre(5001, inner)));
}

TEST(Spread, WhatIsNoFlowStaysWhereItIs) {
  const Frame inner = inner_udp("10.0.1.11", "10.0.1.12", 1, 2);
  EXPECT_FALSE(
      flow(Frame(eth(kFabricMac, kPeerMac)) / arp_request(kPeerMac, "10.250.0.11", "10.250.0.1")));
  EXPECT_FALSE(flow(fabric() / nvgre(5001) / arp_request(kVm11Mac, "10.0.1.11", "10.0.1.1")));
  EXPECT_FALSE(flow(ethernet_of_type(0x88cc) / raw({1, 2, 3, 4})));
  EXPECT_FALSE(flow(fabric() / nvgre(0) / inner)) << "a reserved VSID";
  EXPECT_FALSE(flow(fabric() / Frame(gre(5001).with([](GreLayer& l) { l.flags = 0xa000; })) /
                    eth(kGatewayMac, kVm11Mac) / inner))
      << "not NVGRE's flags";
  EXPECT_FALSE(flow(fabric() / nvgre(5001) / vlan(7) / inner));
}

// Every prefix of a frame, in a buffer of exactly its size (ASan watches its end): no flow, or one.
TEST(Spread, ReadsNothingBehindTheEnd) {
  const Bytes frames[] = {
      in_nvgre(5001, inner_udp("10.0.1.11", "10.0.1.12", 1, 2)).bytes(),
      (tagged_fabric() / nvgre(5003) / inner_udp("10.0.3.31", "10.0.1.12", 1, 2)).bytes(),
      (ethernet_of_type(0x86dd) / raw(ipv6(1, 2, 6, two_ports(1, 2)))).bytes()};
  for (const Bytes& frame : frames) {
    for (size_t size = 0; size <= frame.size(); ++size) {
      const std::vector<uint8_t> cut(frame.begin(), frame.begin() + static_cast<long>(size));
      const auto hash = flow_hash_of(cut.data(), static_cast<uint32_t>(size));
      EXPECT_TRUE(size >= 14 || !hash) << size;
    }
  }
  Random random(3);
  for (int i = 0; i < 20'000; ++i) {
    Bytes frame = frames[random.below(3)];
    for (int change = 0; change < 3; ++change) {
      frame[random.below(frame.size())] = static_cast<uint8_t>(random.below(256));
    }
    frame.resize(random.below(frame.size() + 1));
    frame.shrink_to_fit();
    (void)flow_hash_of(frame.data(), static_cast<uint32_t>(frame.size()));
  }
}

// Neighbouring addresses and ports, as tenants have them, and few flows: no worker gets less than
// four fifths or more than six fifths of its share.
TEST(Spread, SharesOutEvenly) {
  for (const unsigned workers : {2U, 3U, 4U, 8U}) {
    std::array<unsigned, 8> flows{};
    unsigned count = 0;
    for (unsigned vm = 0; vm < 64; ++vm) {
      for (uint16_t port = 1024; port < 1088; ++port, ++count) {
        const Frame frame = in_nvgre(
            5001 + vm / 32, inner_udp("10.0.1." + std::to_string(vm + 1), "10.0.2.21", port, 80));
        ++flows[owner_of(*flow(frame), workers)];
      }
    }
    for (unsigned w = 0; w < workers; ++w) {
      EXPECT_GT(flows[w] * workers * 5, count * 4) << w << " of " << workers;
      EXPECT_LT(flows[w] * workers * 5, count * 6) << w << " of " << workers;
    }
  }
}

// Each of 4,000 tenants has one flow, the same in all of them.
TEST(Spread, SharesOutTwins) {
  std::array<unsigned, 4> flows{};
  for (uint32_t vsid = 4096; vsid < 8096; ++vsid) {
    ++flows[owner_of(*flow(in_nvgre(vsid, inner_udp("10.0.1.11", "10.0.1.12", 1, 2))), 4)];
  }
  for (const unsigned n : flows) EXPECT_GT(n, 800U);
}

}  // namespace hnv
