// SPDX-License-Identifier: Apache-2.0
//
// The traffic class through the tunnel: congestion marks (RFC 6040) and code points (RFC 2983).
#include <optional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "tests/gateway/line_cases.h"

namespace hnv {
namespace {

constexpr size_t kOuterIp = 14;   // of an untagged frame
constexpr size_t kTaggedIp = 18;  // of the private network's
constexpr size_t kInnerIp = 14 + 42;

wire::Ipv4& ip_at(Bytes& frame, size_t offset) {
  return *reinterpret_cast<wire::Ipv4*>(frame.data() + offset);
}

Frame inner(uint8_t tos, const char* from, const char* to) {
  return Frame(ip(from, to).with([&](IpLayer& l) { l.tos = tos; })) / udp(1000, 2000) / payload(18);
}

// From a VM to the physical network: the tenant's packet as it comes out, or none.
std::optional<wire::Ipv4> decapsulated(TestLine& line, const Tenant& t, uint8_t outer_tos,
                                       uint8_t inner_tos) {
  Bytes frame = from_vm(t, inner(inner_tos, "10.0.1.11", "172.16.4.4")).bytes();
  set_tos(ip_at(frame, kOuterIp), outer_tos);
  auto sent = line.run({{kFabricPort, frame}});
  EXPECT_EQ(line.fault(), "");
  if (sent.empty()) return std::nullopt;
  return ip_at(sent[0].frame, kTaggedIp);
}

// From the physical network to a VM: the frame as it leaves.
Bytes encapsulated(TestLine& line, const Tenant& t, uint8_t inner_tos) {
  const auto sent =
      line.run(kWanPort, private_net(t) / inner(inner_tos, "172.16.4.4", "10.0.1.12"));
  EXPECT_EQ(line.fault(), "");
  return sent.empty() ? Bytes(kInnerIp + sizeof(wire::Ipv4)) : sent[0].frame;
}

// The twins' network with the fabric in the uniform model.
void make_uniform(TestDataplane& network) {
  for (const TestRequest& request : twin_requests()) {
    if (request.path != "providerNetworks/fabric") continue;
    auto body = nlohmann::json::parse(request.body);
    body["dscp"] = "uniform";
    return network.change({{request.path, body.dump()}});
  }
  FAIL() << "no provider network fabric";
}

TEST(Rfc6040, HandsCongestionMarksOn) {
  // Figure 4. Rows: what came inside; columns: Not-ECT, ECT(1), ECT(0), CE outside; 9: dropped.
  constexpr uint8_t kDropped = 9;
  constexpr uint8_t kFigure[4][4] = {{0, 0, 0, kDropped}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (const Tenant& t : kTwins) {
    TestLine line;
    for (uint8_t arriving = 0; arriving < 4; ++arriving) {
      for (uint8_t outer = 0; outer < 4; ++outer) {
        const uint64_t drops = line.drops(DropReason::ecn_congestion);
        const auto out = decapsulated(line, t, outer, 0x28 | arriving);
        const uint8_t wanted = kFigure[arriving][outer];
        ASSERT_EQ(out.has_value(), wanted != kDropped) << int{arriving} << " in " << int{outer};
        EXPECT_EQ(line.drops(DropReason::ecn_congestion) - drops, wanted == kDropped ? 1U : 0U);
        if (!out) continue;
        EXPECT_EQ(out->tos, 0x28 | wanted) << int{arriving} << " in " << int{outer};
        EXPECT_TRUE(checksum_right(*out));
      }
    }
  }
}

TEST(Rfc6040, TheOuterHeaderCarriesTheInnerMark) {
  TestLine line;
  for (uint8_t mark = 0; mark < 4; ++mark) {
    Bytes frame = encapsulated(line, kContoso, 0xb8 | mark);
    EXPECT_EQ(ip_at(frame, kOuterIp).tos, mark);  // and no code point
    EXPECT_TRUE(checksum_right(ip_at(frame, kOuterIp)));
    EXPECT_EQ(ip_at(frame, kInnerIp).tos, 0xb8 | mark);
  }
}

TEST(Rfc2983, ThePipeModelKeepsCodePointsApart) {
  TestLine line;
  const auto out = decapsulated(line, kContoso, 0xb8, 0x28);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->tos, 0x28);
}

TEST(Rfc2983, TheUniformModelHasOneCodePoint) {
  TestLine line;
  make_uniform(line.network());
  for (const Tenant& t : kTwins) {
    const auto out = decapsulated(line, t, 0xb8, 0x28 | kEcnCapable0);
    ASSERT_TRUE(out);
    EXPECT_EQ(out->tos, 0xb8 | kEcnCapable0);
    EXPECT_TRUE(checksum_right(*out));
    Bytes frame = encapsulated(line, t, 0x68 | kEcnCongestion);
    EXPECT_EQ(ip_at(frame, kOuterIp).tos, 0x68 | kEcnCongestion);
    EXPECT_TRUE(checksum_right(ip_at(frame, kOuterIp)));
  }
}

TEST(Rfc1624, AnotherClassKeepsTheChecksumRight) {
  for (unsigned before = 0; before < 256; before += 3) {
    for (unsigned after = 0; after < 256; ++after) {
      for (const unsigned id : {0U, 1U, 0xfffeU, 0xffffU}) {
        wire::Ipv4 header;
        header.version_ihl = 0x45;
        header.tos = static_cast<uint8_t>(before);
        header.total_length = be16{100};
        header.id = be16{static_cast<uint16_t>(id)};
        header.ttl = 64;
        header.source = be32{0x0a000001};
        header.destination = be32{0x0a000002};
        set_checksum(header);
        set_tos(header, static_cast<uint8_t>(after));
        ASSERT_TRUE(checksum_right(header)) << before << " to " << after;
        wire::Ipv4 anew = header;
        set_checksum(anew);
        ASSERT_EQ(header.checksum, anew.checksum) << before << " to " << after;
      }
    }
  }
}

}  // namespace
}  // namespace hnv
