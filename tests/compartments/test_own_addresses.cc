// SPDX-License-Identifier: Apache-2.0
//
// Duplicate addresses, clause by clause: RFC 4862 (IPv6), RFC 4429 (optimistic), RFC 5227 (IPv4).
#include <algorithm>

#include <gtest/gtest.h>

#include "compartments/own_addresses.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;
using Kind = OwnAddresses::Message::Kind;
using Claim = OwnAddresses::Claim;

constexpr LinkId kFabric{3};
constexpr AttachmentId kPlace{1};
const MacAddress kOurs({2, 0, 0, 0, 0, 1});
const MacAddress kOthers({2, 0, 0, 0, 0, 9});
constexpr Instant kNow{1'000'000'000'000};

LinkAddress six(uint8_t last) {
  return Ip6<Space::external>({0xfd, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
}
LinkAddress four(uint8_t last) { return Ip4<Space::external>(0x0afa0000U + last); }

class OwnAddressesTest : public ::testing::Test {
 protected:
  static OwnAddresses::Link link(std::vector<LinkAddress> addresses) {
    return {.id = kFabric, .attachment = kPlace, .mac = kOurs, .addresses = std::move(addresses)};
  }
  OwnAddresses::Actions set(std::vector<LinkAddress> addresses) {
    OwnAddresses::Actions out;
    own_.set(link(std::move(addresses)), now_, out);
    return out;
  }
  OwnAddresses::Actions claim(const LinkAddress& address, const MacAddress& by = kOthers,
                              Claim how = Claim::statement) {
    OwnAddresses::Actions out;
    own_.claimed(kPlace, address, by, how, now_, out);
    return out;
  }
  // Everything sent in that time.
  OwnAddresses::Actions run_for(Duration duration) {
    OwnAddresses::Actions out;
    for (const Instant end = now_ + duration; now_ < end; now_ = now_ + 100ms) own_.tick(now_, out);
    return out;
  }
  AddressStatus status(const LinkAddress& address) { return own_.find({kFabric, address})->status; }
  static size_t count(const OwnAddresses::Actions& actions, Kind kind) {
    return static_cast<size_t>(
        std::count_if(actions.messages.begin(), actions.messages.end(),
                      [&](const auto& message) { return message.kind == kind; }));
  }

  OwnAddresses own_;
  Instant now_ = kNow;
};

using Rfc4862 = OwnAddressesTest;
using Rfc4429 = OwnAddressesTest;
using Rfc5227 = OwnAddressesTest;

TEST_F(Rfc4862, S542OneSolicitationAfterARandomDelayAndTheAddressIsValid) {
  const auto set = this->set({six(1)});
  EXPECT_TRUE(set.messages.empty());  // not at once: many start together
  EXPECT_EQ(set.changed, std::vector{kFabric});
  const auto first = run_for(OwnAddresses::kMaxDelay);
  EXPECT_EQ(count(first, Kind::probe), 1U);
  const auto then = run_for(3s);
  EXPECT_EQ(count(then, Kind::probe), 0U);
  EXPECT_EQ(status(six(1)), AddressStatus::valid);
  EXPECT_EQ(own_.unsettled(), 0U);
  EXPECT_EQ(then.changed, std::vector{kFabric});
  EXPECT_TRUE(then.news.empty());
}

TEST_F(Rfc4429, S31TheAddressIsUsedWhileItIsAskedFor) {
  set({six(1)});
  EXPECT_TRUE(own_.is_optimistic({kFabric, six(1)}));
  EXPECT_FALSE(own_.is_duplicate({kFabric, six(1)}));
  run_for(3s);
  EXPECT_FALSE(own_.is_optimistic({kFabric, six(1)}));
}

TEST_F(Rfc4862, S544AnAnswerMakesItADuplicate) {
  set({six(1), six(2)});
  run_for(OwnAddresses::kMaxDelay);
  const auto claimed = claim(six(1));
  ASSERT_EQ(claimed.news.size(), 1U);
  EXPECT_EQ(claimed.news[0].status, AddressStatus::duplicate);
  EXPECT_EQ(claimed.news[0].other, kOthers);
  EXPECT_EQ(claimed.changed, std::vector{kFabric});
  EXPECT_EQ(count(claimed, Kind::defence), 0U);
  EXPECT_TRUE(own_.is_duplicate({kFabric, six(1)}));
  run_for(5s);
  EXPECT_TRUE(own_.is_duplicate({kFabric, six(1)}));
  EXPECT_EQ(status(six(2)), AddressStatus::valid);  // the others are not concerned
  EXPECT_EQ(own_.duplicates(), 1U);
}

TEST_F(Rfc4862, S545ADuplicateStaysOneWhileSomebodyAnswersAndIsTakenBackAfter) {
  set({six(1)});
  claim(six(1));
  for (int minute = 0; minute < 2; ++minute) {
    const auto retry = run_for(OwnAddresses::kRetryDuplicate + 200ms);
    EXPECT_EQ(count(retry, Kind::probe), 1U);
    EXPECT_TRUE(retry.news.empty());
    claim(six(1));
    EXPECT_TRUE(own_.is_duplicate({kFabric, six(1)}));
  }
  const auto last = run_for(OwnAddresses::kRetryDuplicate + 3s);
  EXPECT_EQ(status(six(1)), AddressStatus::valid);
  ASSERT_EQ(last.news.size(), 1U);
  EXPECT_TRUE(last.news[0].taken_back);
  EXPECT_EQ(own_.duplicates(), 0U);
  EXPECT_EQ(claim(six(1)).news.size(), 1U);  // who comes again is news
}

TEST_F(Rfc4862, S54ConfiguringItAnewAsksAnew) {
  set({six(1)});
  claim(six(1));
  run_for(5s);
  set({six(1)});
  EXPECT_TRUE(own_.is_duplicate({kFabric, six(1)}));  // not used before nobody answers
  EXPECT_EQ(count(run_for(OwnAddresses::kMaxDelay), Kind::probe), 1U);
  run_for(2s);
  EXPECT_EQ(status(six(1)), AddressStatus::valid);
}

TEST_F(Rfc4862, S544AClaimOfAVerifiedAddressIsReportedAndDefended) {
  set({six(1)});
  run_for(10s);
  const auto claimed = claim(six(1));
  EXPECT_EQ(status(six(1)), AddressStatus::valid);
  ASSERT_EQ(claimed.news.size(), 1U);
  EXPECT_EQ(claimed.news[0].status, AddressStatus::valid);
  EXPECT_EQ(count(claimed, Kind::defence), 1U);
  EXPECT_EQ(own_.conflicts(), 1U);
  // Not every claim is a line in the log, nor a packet.
  const auto again = claim(six(1));
  EXPECT_TRUE(again.news.empty());
  EXPECT_TRUE(again.messages.empty());
  EXPECT_EQ(own_.conflicts(), 2U);
}

TEST_F(Rfc4862, S543WhatWeSayOurselvesIsNoConflict) {
  set({six(1)});
  const auto claimed = claim(six(1), kOurs);
  EXPECT_TRUE(claimed.news.empty());
  EXPECT_EQ(status(six(1)), AddressStatus::optimistic);
  EXPECT_TRUE(claim(six(7)).news.empty());  // nor what concerns others
}

TEST_F(Rfc5227, S211ThreeProbesThenS23TwoAnnouncements) {
  set({four(1)});
  const auto sent = run_for(12s);
  ASSERT_EQ(sent.messages.size(), 5U);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(sent.messages[i].kind, Kind::probe);
  for (size_t i = 3; i < 5; ++i) EXPECT_EQ(sent.messages[i].kind, Kind::announcement);
}

TEST_F(Rfc5227, S24ARouterDefendsItsAddressOnceInTenSeconds) {
  set({four(1)});
  auto claimed = claim(four(1));
  EXPECT_NE(status(four(1)), AddressStatus::duplicate);
  EXPECT_EQ(claimed.news.size(), 1U);
  EXPECT_EQ(count(claimed, Kind::defence), 1U);
  now_ = now_ + 9s;
  EXPECT_EQ(count(claim(four(1)), Kind::defence), 0U);
  now_ = now_ + 1s;
  EXPECT_EQ(count(claim(four(1)), Kind::defence), 1U);
}

TEST_F(Rfc4862, S543WhoAsksForAVerifiedAddressIsAlwaysTold) {
  set({six(1)});
  run_for(10s);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(count(claim(six(1), kOthers, Claim::question), Kind::defence), 1U);
  }
}

TEST_F(Rfc4862, S543TwoThatAskAtOnceBothHaveADuplicate) {
  set({six(1)});
  const auto claimed = claim(six(1), kOthers, Claim::question);
  EXPECT_TRUE(claimed.messages.empty());
  EXPECT_TRUE(own_.is_duplicate({kFabric, six(1)}));
}

TEST_F(OwnAddressesTest, SwitchedOffItIsUsedAtOnceAndNobodyIsAsked) {
  set({six(1)});
  claim(six(1));
  OwnAddresses::Actions out;
  auto off = link({six(1), four(1)});
  off.detect = false;
  own_.set(off, now_, out);
  EXPECT_EQ(status(six(1)), AddressStatus::valid);
  EXPECT_EQ(own_.unsettled(), 0U);
  EXPECT_TRUE(run_for(100s).messages.empty());
}

TEST_F(OwnAddressesTest, TwoTenantsWithOneAddressAreNotEachOthersDuplicate) {
  OwnAddresses::Actions out;
  OwnAddresses::Link other{.id = LinkId(4),
                           .attachment = kPlace,
                           .mac = MacAddress({2, 0, 0, 0, 0, 2}),
                           .addresses = {six(1)},
                           .announce = false};
  set({six(1)});
  own_.set(other, now_, out);
  EXPECT_TRUE(claim(six(1), other.mac).news.empty());
  // A third one concerns both.
  EXPECT_EQ(claim(six(1)).news.size(), 2U);
  EXPECT_EQ(own_.duplicates(), 2U);
}

TEST_F(OwnAddressesTest, AnAddressThatGoesIsForgottenAndOneThatComesIsAskedFor) {
  set({six(1)});
  claim(six(1));
  set({six(2)});
  EXPECT_EQ(own_.find({kFabric, six(1)}), nullptr);
  EXPECT_EQ(own_.duplicates(), 0U);
  EXPECT_TRUE(own_.is_optimistic({kFabric, six(2)}));
  own_.remove(kFabric);
  EXPECT_TRUE(own_.entries().empty());
  EXPECT_EQ(own_.unsettled(), 0U);
  EXPECT_TRUE(run_for(5s).messages.empty());
}

TEST_F(OwnAddressesTest, AnotherMacIsAskedForAnew) {
  set({six(1)});
  run_for(10s);
  OwnAddresses::Actions out;
  auto changed = link({six(1)});
  changed.mac = MacAddress({2, 0, 0, 0, 0, 3});
  own_.set(changed, now_, out);
  EXPECT_TRUE(own_.is_optimistic({kFabric, six(1)}));
}

}  // namespace
}  // namespace hnv
