// SPDX-License-Identifier: Apache-2.0
//
// Reasons to refuse that no RFC's test brings about.
#include <initializer_list>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kVm = "10.0.1.11";
constexpr const char* kServer = "192.0.2.80";

// Whoever is refused inside is told by ICMP, and nothing leaves.
void expect_told(const std::vector<NatSeen>& seen, uint8_t code) {
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].where, "contoso");
  EXPECT_EQ(seen[0].fault, "");
  EXPECT_EQ(seen[0].packet.icmp_type, 3);
  EXPECT_EQ(seen[0].packet.icmp_code, code);
}

TEST(NatRefusals, NoRuleForTheSource) {
  NatNetwork net;
  net.nat(kContoso, R"({"outboundRules":[{"name":"some","sourcePrefixes":["10.0.2.0/24"],
                                          "pool":"shared"}]})");
  expect_told(net.from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53)), 13);
  EXPECT_EQ(net.drops(DropReason::nat_no_rule), 1U);
  EXPECT_EQ(net.one_from_vm(kContoso, nat_udp("10.0.2.21", 5000, kServer, 53)).to, kServer);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatRefusals, HairpinOff) {
  NatNetwork net;
  const NatPacket b = net.one_from_vm(kContoso, nat_udp("10.0.1.12", 7000, kServer, 53));
  net.nat(kContoso, NatNetwork::rules(R"("hairpin":false)"));
  expect_told(net.from_vm(kContoso, nat_udp(kVm, 6000, b.from, b.from_port)), 13);
  EXPECT_EQ(net.drops(DropReason::nat_hairpin_off), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatRefusals, NoRouteOutside) {
  NatNetwork net;
  net.change({{"externalNetworks/internet",
               R"({"port":"wan0","vlanId":40,"ipAddresses":["203.0.113.1/24"],
                   "routes":[{"destinationPrefix":"192.0.2.0/25","nextHop":"203.0.113.254"}],
                   "publicAddressPrefixes":["198.51.100.0/24","203.0.113.128/25"]})"}});
  net.network().answer_all();
  EXPECT_EQ(net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53)).to, kServer);
  expect_told(net.from_vm(kContoso, nat_udp(kVm, 5000, "192.0.2.200", 53)), 0);
  EXPECT_EQ(net.drops(DropReason::nat_no_outside_route), 1U);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatRefusals, OptionsThatShouldNotTravel) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  uint64_t dropped = 0;
  for (const uint8_t option : std::initializer_list<uint8_t>{7, 68, 131, 137}) {
    NatPacket in = reply_to(out);
    in.options = {option, 7, 4, 1, 2, 3, 4, 0};
    EXPECT_TRUE(net.from_internet(in).empty());
    EXPECT_EQ(net.drops(DropReason::nat_ip_option), ++dropped) << int{option};
  }
  NatPacket harmless = reply_to(out);
  harmless.options = {148, 4, 0, 0};  // router alert
  EXPECT_EQ(net.one_from_internet(harmless).options, harmless.options);
  NatPacket sent = nat_udp(kVm, 5000, kServer, 53);
  sent.options = {131, 7, 4, 1, 2, 3, 4, 0};
  EXPECT_TRUE(net.from_vm(kContoso, sent).empty());
  EXPECT_EQ(net.drops(DropReason::nat_ip_option) + net.drops(DropReason::nat_bad_header),
            dropped + 1);
  EXPECT_EQ(net.fault(), "");
}

TEST(NatRefusals, FullTable) {
  NatNetwork net;
  const NatPlan& plan = *net.network().plane().nat;
  const CompartmentId domain = net.network().compartment("contoso").id;
  const NatRules& rules = *plan.rules_of(domain);
  NatTable table(0, 100);
  const Instant now = net.network().clock().now();
  const auto open = [&](uint32_t i) {
    return table.open(plan, rules,
                      {.inside = be32{0x0a000100 + i % 50},
                       .remote = be32{0xc0000250},
                       .inside_port = be16{static_cast<uint16_t>(1000 + i)},
                       .remote_port = be16{53},
                       .protocol = wire::ip_protocol::kUdp,
                       .compartment = domain},
                      now);
  };
  for (uint32_t i = 0; i < 100; ++i) EXPECT_NE(open(i).session, nullptr);
  const auto refused = open(100);
  EXPECT_EQ(refused.session, nullptr);
  EXPECT_EQ(refused.reason, DropReason::nat_table_full);
  EXPECT_EQ(table.size(), 100U);
  for (uint32_t i = 0; i < 100; ++i) table.end(plan, table.at(i), DropReason::draining, now);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_NE(open(100).session, nullptr);
}

TEST(NatRefusals, PortZeroAndPacketsCutShort) {
  NatNetwork net;
  const NatPacket out = net.one_from_vm(kContoso, nat_udp(kVm, 5000, kServer, 53));
  NatPacket zero = reply_to(out);
  zero.from_port = 0;
  EXPECT_TRUE(net.from_internet(zero).empty());
  Bytes cut = reply_to(out).bytes();
  cut.resize(27);
  cut[3] = 27;
  cut[10] = cut[11] = 0;
  set_checksum(*reinterpret_cast<wire::Ipv4*>(cut.data()));
  EXPECT_TRUE(net.bytes_from_internet(cut).empty());
  EXPECT_EQ(net.drops(DropReason::nat_bad_header), 2U);
  EXPECT_EQ(net.fault(), "");
}

}  // namespace
}  // namespace hnv
