// SPDX-License-Identifier: Apache-2.0
//
// When router advertisements go out, and to whom (RFC 4861 §6.2): a network made as the product
// makes it, its clock moved by hand, the frames read as the VM's host would.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "compartments/ip6_checks.h"
#include "gateway/reentry.h"
#include "gateway/router_advertiser.h"
#include "tests/support/fake_mbufs.h"
#include "tests/support/frame.h"
#include "tests/support/test_dataplane.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;

constexpr const char* kDomain = "routingDomains/contoso";
constexpr const char* kSubnet = "routingDomains/contoso/virtualSubnets/told";
constexpr const char* kVmA = "00:15:5d:00:00:0a";
constexpr const char* kVmB = "00:15:5d:00:00:0b";
constexpr const char* kVmC = "00:15:5d:00:00:0c";

TestRequest told(const std::string& advertisements, const std::string& more = "") {
  return {kSubnet,
          fmt::format(R"({{"virtualSubnetId":5001,"router":"gateway","providerNetwork":
                                    "fabric","addressPrefixes":["fd10:0:0:1::/64","10.0.1.0/24"]
                                    {}{}}})",
                      more,
                      advertisements.empty() ? "" : ",\"routerAdvertisements\":" + advertisements)};
}
TestRequest record(const std::string& ca, const std::string& mac, const std::string& pa) {
  return {fmt::format("{}/lookupRecords/{}", kSubnet, ca),
          fmt::format(R"({{"customerAddress":"{}","providerAddress":"{}","macAddress":"{}"}})", ca,
                      pa, mac)};
}
TestRequest l2(const std::string& mac, const std::string& pa) {
  return {fmt::format("{}/lookupRecords/l2-{}", kSubnet, mac),
          fmt::format(R"({{"type":"L2Only","providerAddress":"{}","macAddress":"{}"}})", pa, mac)};
}

struct Told {
  std::string vm, host, source, destination;
  unsigned lifetime = 0;
  Instant at;
};

class Rfc4861Router : public testing::Test {
 protected:
  Rfc4861Router()
      : pool_(mbufs_.pool()), advertiser_(pool_, [this](rte_mbuf* mbuf) { return take(*mbuf); }) {
    change(
        {{"providerNetworks/fabric", R"({"port":"fabric0","providerAddresses":["10.250.0.1/24"]})"},
         {kDomain, "{}"},
         told(R"({"interval":600})"),
         l2(kVmA, "10.250.0.11"),
         record("fd10:0:0:1::a", kVmA, "10.250.0.11"),
         record("fd10:0:0:1::b", kVmB, "10.250.0.12"),
         record("10.0.1.12", kVmC, "10.250.0.12")});
    network_.answer_all();
  }
  void TearDown() override { EXPECT_EQ(mbufs_.in_use(), 0U); }

  // What the control loop does with a change.
  void change(const std::vector<TestRequest>& requests) {
    const auto domain = [this] {
      const auto* found = network_.compiled().domains.find("contoso");
      return found == nullptr ? nullptr : *found;
    };
    const auto before = domain();
    const ModelPtr model = network_.model();
    const auto root = network_.root();
    network_.change(requests);
    const auto after = domain();
    advertiser_.changed(before.get(), after.get(), model->domain("contoso"), root->next_hops,
                        network_.clock().now());
  }
  // Ticks for so long; what was sent.
  std::vector<Told> run(Duration duration) {
    seen_.clear();
    for (Duration passed{0}; passed < duration; passed += 100ms) {
      network_.clock().advance(100ms);
      const size_t before = seen_.size();
      advertiser_.tick(*network_.model(), network_.compiled(), network_.plane().next_hops,
                       network_.clock().now());
      most_ = std::max(most_, seen_.size() - before);
    }
    return seen_;
  }
  bool take(rte_mbuf& mbuf) {
    EXPECT_TRUE(side_note(mbuf).complete_frame);
    const auto frame = bytes_of(mbuf);
    const auto mac_at = [&](size_t at) {
      return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", frame[at], frame[at + 1],
                         frame[at + 2], frame[at + 3], frame[at + 4], frame[at + 5]);
    };
    const auto address_at = [&](size_t at) {
      std::array<uint8_t, 16> bytes{};
      std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), 16, bytes.begin());
      return IpAddress<Space::customer>(CaAddress6(bytes)).to_string();
    };
    constexpr size_t kInner = 14 + 20 + 8;
    EXPECT_EQ(mac_at(6), kFabricMac);
    EXPECT_EQ(frame[kInner + 12], 0x86);
    EXPECT_EQ(frame[kInner + 14 + 40], 134);
    // The VSID (RFC 7637 §3.2).
    EXPECT_EQ(frame[kInner - 4] << 16 | frame[kInner - 3] << 8 | frame[kInner - 2], 5001);
    seen_.push_back({.vm = mac_at(kInner),
                     .host = fmt::format("{}.{}.{}.{}", frame[30], frame[31], frame[32], frame[33]),
                     .source = address_at(kInner + 14 + 8),
                     .destination = address_at(kInner + 14 + 24),
                     .lifetime = uint32_t{frame[kInner + 60]} << 8 | frame[kInner + 61],
                     .at = network_.clock().now()});
    rte_pktmbuf_free(&mbuf);
    return true;
  }
  // As the worker leaves it.
  void solicit(const std::string& mac, const std::string& source) {
    const Frame frame = Frame(eth("33:33:00:00:00:02", mac)) /
                        ip6(source, "ff02::2").with([](Ip6Layer& l) { l.hop_limit = 255; }) /
                        icmp6(133);
    rte_mbuf* mbuf = mbufs_.take(frame.bytes());
    const CompartmentView& view = network_.compartment("contoso");
    SideNote& note = *new (mbuf->buf_addr) SideNote;
    note.origin.compartment = view.id;
    note.origin.compartment_uid = view.uid;
    note.origin.in_subnet = network_.compiled().domains.find("contoso")->get()->subnets.at("told");
    EXPECT_TRUE(note.router_solicitation());
    advertiser_.solicited(*mbuf, network_.clock().now());
    rte_pktmbuf_free(mbuf);
  }
  static std::map<std::string, unsigned> by_vm(const std::vector<Told>& told) {
    std::map<std::string, unsigned> counts;
    for (const Told& one : told) ++counts[one.vm];
    return counts;
  }

  TestDataplane network_{{{"fabric0", kFabricMac, 1700}}};
  FakeMbufs mbufs_;
  rte_mempool& pool_;
  RouterAdvertiser advertiser_;
  std::vector<Told> seen_;
  size_t most_ = 0;  // in one tick
};

TEST_F(Rfc4861Router, TellsEachVmThatUsesIpv6Once) {
  const auto told = run(1s);
  EXPECT_EQ(by_vm(told), (std::map<std::string, unsigned>{{kVmA, 1}, {kVmB, 1}}));
  for (const Told& one : told) {
    EXPECT_EQ(one.host, one.vm == kVmA ? "10.250.0.11" : "10.250.0.12");
    EXPECT_EQ(one.source, "fe80::ff:fe00:1") << "the gateway's link-local address there";
    EXPECT_EQ(one.destination, "ff02::1");
    EXPECT_EQ(one.lifetime, 1800U) << "three intervals";
  }
}

TEST_F(Rfc4861Router, Section6_2_4_ThreeSoonThenAtRandom) {
  std::vector<Instant> times;
  for (const Told& one : run(3h)) {
    if (one.vm == kVmB) times.push_back(one.at);
  }
  ASSERT_GT(times.size(), 15U);
  std::set<int64_t> gaps;
  for (size_t i = 1; i < times.size(); ++i) {
    const Duration gap = times[i] - times[i - 1];
    if (i < RouterAdvertiser::kInitialRounds) {
      EXPECT_LE(gap, 16s + 100ms) << i;
    } else {
      EXPECT_GE(gap, 200s - 100ms) << i;
      EXPECT_LE(gap, 600s + 100ms) << i;
      gaps.insert(gap / 1s);
    }
  }
  EXPECT_GT(gaps.size(), 10U) << "not always the same";
}

TEST_F(Rfc4861Router, Section6_2_6_AnswersWhoAsks) {
  run(1s);
  for (int i = 0; i < 10; ++i) solicit(kVmA, "fe80::215:5dff:fe00:a");
  const auto answers = run(600ms);
  ASSERT_EQ(answers.size(), 1U) << "asked ten times before it was answered";
  EXPECT_EQ(answers[0].vm, kVmA);
  EXPECT_EQ(answers[0].destination, "fe80::215:5dff:fe00:a");
  solicit(kVmA, "::");
  const auto to_all = run(600ms);
  ASSERT_EQ(to_all.size(), 1U);
  EXPECT_EQ(to_all[0].destination, "ff02::1") << "who asks has no address yet";
  // Nobody vouches for this one any more when its answer is due.
  solicit(kVmC, "fe80::215:5dff:fe00:c");
  EXPECT_TRUE(run(600ms).empty());
}

TEST_F(Rfc4861Router, BoundsHowManyWaitForAnAnswer) {
  run(1s);
  for (unsigned i = 0; i < 2 * RouterAdvertiser::kMaxAsked; ++i) {
    solicit(fmt::format("00:15:5d:77:{:02x}:{:02x}", i >> 8, i & 255), "fe80::1");
  }
  solicit(kVmA, "fe80::215:5dff:fe00:a");
  EXPECT_TRUE(run(600ms).empty()) << "too many others wait";
  solicit(kVmA, "fe80::215:5dff:fe00:a");
  EXPECT_EQ(run(600ms).size(), 1U);
}

TEST_F(Rfc4861Router, Section6_2_5_TheEndIsSaid) {
  const std::vector<std::vector<TestRequest>> ends = {
      {told("")},
      {told(R"({"enabled":false})")},
      {{fmt::format("{}/lookupRecords/fd10:0:0:1::a", kSubnet), ""},
       {fmt::format("{}/lookupRecords/fd10:0:0:1::b", kSubnet), ""},
       {fmt::format("{}/lookupRecords/10.0.1.12", kSubnet), ""},
       {fmt::format("{}/lookupRecords/l2-{}", kSubnet, kVmA), ""},
       {kSubnet, ""}},
  };
  for (const auto& end : ends) {
    change({told(R"({"interval":600})")});
    run(60s);
    change(end);
    const auto last = run(1h);
    EXPECT_EQ(by_vm(last), (std::map<std::string, unsigned>{{kVmA, 1}, {kVmB, 1}}));
    for (const Told& one : last) EXPECT_EQ(one.lifetime, 0U);
    EXPECT_EQ(advertiser_.subnets(), 0U);
  }
}

TEST_F(Rfc4861Router, WhatChangesIsToldSoonAndAnotherMacIsAnotherRouter) {
  run(10min);
  change({told(R"({"interval":600,"routerLifetime":900})")});
  auto soon = run(40s);
  EXPECT_EQ(by_vm(soon), (std::map<std::string, unsigned>{{kVmA, 3}, {kVmB, 3}}));
  for (const Told& one : soon) EXPECT_EQ(one.lifetime, 900U) << "nobody's default router ended";
  change(
      {told(R"({"interval":600,"routerLifetime":900})", R"(,"macAddress":"02:00:00:00:00:99")")});
  soon = run(1s);
  std::set<std::pair<std::string, unsigned>> routers;
  for (const Told& one : soon) routers.insert({one.source, one.lifetime});
  EXPECT_EQ(routers, (std::set<std::pair<std::string, unsigned>>{{"fe80::ff:fe00:1", 0},
                                                                 {"fe80::ff:fe00:99", 900}}));
  // What concerns others starts nothing.
  run(60s);
  change(
      {{"routingDomains/contoso/virtualSubnets/other",
        R"({"addressPrefixes":["10.0.9.0/24"],"router":"gateway","providerNetwork":"fabric"})"}});
  EXPECT_TRUE(run(60s).empty());
}

TEST_F(Rfc4861Router, PassesOverHostsThatCannotBeReachedYet) {
  network_.let_fail("providerNetworks/fabric", "10.250.0.12");
  EXPECT_EQ(by_vm(run(1s)), (std::map<std::string, unsigned>{{kVmA, 1}}));
  network_.answer_all();
  EXPECT_EQ(by_vm(run(17s))[kVmB], 1U);
}

TEST_F(Rfc4861Router, SendsManyInTurnsAndNeverTooManyAtOnce) {
  constexpr unsigned kVms = 2000;
  std::vector<TestRequest> requests;
  for (unsigned i = 0; i < kVms; ++i) {
    requests.push_back(record(fmt::format("fd10:0:0:1::1:{:x}", i + 1),
                              fmt::format("00:15:5d:10:{:02x}:{:02x}", i >> 8, i & 255),
                              fmt::format("10.250.0.{}", 20 + i % 100)));
  }
  change(requests);
  network_.answer_all();
  const auto told = run(10s);
  EXPECT_EQ(told.size(), kVms + 2);
  EXPECT_EQ(by_vm(told).size(), kVms + 2);
  EXPECT_LE(most_, size_t{RouterAdvertiser::kFramesAtOnce});
  EXPECT_GT(most_, size_t{RouterAdvertiser::kTurn});
}

}  // namespace
}  // namespace hnv
