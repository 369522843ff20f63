// SPDX-License-Identifier: Apache-2.0
//
// What bgpd asks of BFD for twin tenants, and what it is told. Peers are one BfdPacket long.
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/bgp_bfd.h"
#include "gateway/reentry.h"
#include "tests/support/fake_mbufs.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;
using Address = IpAddress<Space::customer>;
using Change = ZapiBfdSession::Change;
using Told = std::pair<uint32_t, ZapiBfdState>;

constexpr uint32_t kContoso = 1, kFabrikam = 2;  // numbers; uids are 70 more

Address at(const char* text) { return *Address::parse(text); }

std::shared_ptr<CompiledBgp> compiled() {
  auto bgp = std::make_shared<CompiledBgp>();
  bgp->addresses = {*InterfaceAddress<Space::customer>::parse("192.168.0.1/16"),
                    *InterfaceAddress<Space::customer>::parse("192.168.7.1/24"),
                    *InterfaceAddress<Space::customer>::parse("10.0.0.2/24")};
  BgpPeerSpec peer;
  peer.peer_ip_address = at("192.168.7.254");
  peer.bfd = BgpBfdSpec{};
  bgp->spec.peers["near"] = peer;
  peer.peer_ip_address = at("172.16.0.9");
  bgp->spec.peers["far"] = peer;
  return bgp;
}

ZapiBfdSession asked(const char* peer, Change change = Change::add) {
  ZapiBfdSession session;
  session.change = change;
  session.destination = at(peer);
  session.min_receive_milliseconds = 300;
  session.min_transmit_milliseconds = 300;
  session.multiplier = 3;
  return session;
}

class BgpBfdTest : public ::testing::Test {
 protected:
  BgpBfdTest()
      : control_(
            mbufs_.pool(), 1,
            [this](rte_mbuf* mbuf) {
              sent_.push_back(*read_bfd_datagram(bytes_of(*mbuf)));
              rte_pktmbuf_free(mbuf);
              return true;
            },
            [this](const BfdControl::Path& path, BfdState state) { bfd_.turned(path, state); }),
        bfd_(control_, [this](uint32_t number, const ZapiBfdSession&, ZapiBfdState state) {
          told_.emplace_back(number, state);
        }) {
    for (const uint32_t number : {kContoso, kFabrikam}) configure(number, compiled());
  }
  void TearDown() override { EXPECT_EQ(mbufs_.in_use(), 0U); }

  void configure(uint32_t number, std::shared_ptr<const CompiledBgp> bgp) {
    bfd_.configure(number, CompartmentId(number), number + 70, std::move(bgp));
    bfd_.step(now_);
  }
  void ask(uint32_t number, const ZapiBfdSession& session) {
    bfd_.take(number, session);
    bfd_.step(now_);
  }
  // The near peer says that it is so.
  void hear(uint32_t number, BfdState state) {
    const BfdPacket packet{.state = state,
                           .my_discriminator = 9,
                           .your_discriminator = bfd_.session(number, near_)->discriminator(),
                           .desired_min_transmit = 300'000,
                           .required_min_receive = 300'000};
    rte_mbuf* mbuf =
        mbufs_.take(write_bfd_datagram({near_, at("192.168.7.1"), false}, 50'000, packet));
    side_note(*mbuf) = SideNote{.origin = {.compartment_uid = number + 70}};
    EXPECT_TRUE(control_.take(*mbuf, now_));
    rte_pktmbuf_free(mbuf);
  }
  void bring_up(uint32_t number) {
    hear(number, BfdState::init);
    ASSERT_EQ(bfd_.session(number, near_)->state(), BfdState::up);
  }
  std::vector<Told> told() { return std::exchange(told_, {}); }

  FakeMbufs mbufs_;
  std::vector<BfdDatagram> sent_;
  std::vector<Told> told_;
  Address near_ = at("192.168.7.254");
  Instant now_{1'000'000'000'000};
  BfdControl control_;
  BgpBfd bfd_;
};

TEST_F(BgpBfdTest, MakesWhatIsAskedAndTellsItsDomainOnly) {
  EXPECT_EQ(bfd_.session(kContoso, near_), nullptr);
  ask(kContoso, asked("192.168.7.254"));
  ask(kFabrikam, asked("192.168.7.254"));
  EXPECT_EQ(told(),
            (std::vector<Told>{{kContoso, ZapiBfdState::down}, {kFabrikam, ZapiBfdState::down}}));
  bring_up(kContoso);
  EXPECT_EQ(told(), (std::vector<Told>{{kContoso, ZapiBfdState::up}}));
  EXPECT_EQ(bfd_.session(kFabrikam, near_)->state(), BfdState::down);
  hear(kContoso, BfdState::down);
  EXPECT_EQ(told(), (std::vector<Told>{{kContoso, ZapiBfdState::down}}));
  bring_up(kContoso);
  hear(kContoso, BfdState::admin_down);
  EXPECT_EQ(told().back(), Told(kContoso, ZapiBfdState::admin_down));
}

TEST_F(BgpBfdTest, TakesTheAddressOnThePeersNetwork) {
  ask(kContoso, asked("192.168.7.254"));
  control_.step(now_ + 2s);
  ASSERT_FALSE(sent_.empty());
  EXPECT_EQ(sent_[0].ends.source, at("192.168.7.1"));
  EXPECT_FALSE(sent_[0].ends.multihop);
}

TEST_F(BgpBfdTest, WaitsForBgpdToSayWhichAddressOtherwise) {
  auto far = asked("172.16.0.9");
  far.multihop = true;
  ask(kContoso, far);
  EXPECT_EQ(control_.size(), 0U);
  far.source = at("10.9.9.9");
  ask(kContoso, far);
  EXPECT_EQ(control_.size(), 0U) << "none of ours";
  far.source = at("10.0.0.2");
  ask(kContoso, far);
  EXPECT_EQ(control_.size(), 1U);
  control_.step(now_ + 2s);
  ASSERT_FALSE(sent_.empty());
  EXPECT_TRUE(sent_[0].ends.multihop);
}

// bgpd takes a registration back and gives it anew when it knows the session's own address.
TEST_F(BgpBfdTest, KeepsASessionThatIsGivenAnew) {
  ask(kContoso, asked("192.168.7.254"));
  bring_up(kContoso);
  (void)told();
  sent_.clear();
  ask(kContoso, asked("192.168.7.254", Change::remove));
  EXPECT_TRUE(sent_.empty()) << "no farewell";
  auto again = asked("192.168.7.254");
  again.source = at("192.168.7.1");
  ask(kContoso, again);
  EXPECT_TRUE(sent_.empty()) << "no farewell";
  EXPECT_EQ(told(), (std::vector<Told>{{kContoso, ZapiBfdState::up}}));
}

TEST_F(BgpBfdTest, MakesAnotherKindInsteadOfTheOneBefore) {
  ask(kContoso, asked("192.168.7.254"));
  bring_up(kContoso);
  ask(kContoso, asked("192.168.7.254", Change::remove));
  sent_.clear();
  auto far = asked("192.168.7.254");
  far.multihop = true;
  ask(kContoso, far);
  EXPECT_EQ(control_.size(), 1U);
  ASSERT_FALSE(sent_.empty());
  EXPECT_EQ(sent_[0].packet.state, BfdState::admin_down);
  EXPECT_FALSE(sent_[0].ends.multihop);
  EXPECT_EQ(bfd_.session(kContoso, near_)->state(), BfdState::down);
}

TEST_F(BgpBfdTest, DoesAsConfiguredWhateverIsAsked) {
  ask(kContoso, asked("10.1.1.1"));
  EXPECT_EQ(control_.size(), 0U) << "no such peer";
  ask(kContoso, asked("192.168.7.254"));
  bring_up(kContoso);
  (void)told();
  auto changed = compiled();
  changed->spec.peers["near"].admin_status = BgpAdminStatus::disabled;
  configure(kContoso, changed);
  EXPECT_EQ(control_.size(), 0U);
  EXPECT_EQ(told(), (std::vector<Told>{{kContoso, ZapiBfdState::admin_down}})) << "no failure";
  configure(kContoso, compiled());
  EXPECT_EQ(control_.size(), 1U);
  changed = compiled();
  changed->spec.peers["near"].bfd.reset();
  configure(kContoso, changed);
  EXPECT_EQ(control_.size(), 0U);
  configure(kContoso, compiled());
  EXPECT_EQ(control_.size(), 0U) << "bgpd has to ask again";
}

TEST_F(BgpBfdTest, EndsWithItsDomain) {
  ask(kContoso, asked("192.168.7.254"));
  ask(kFabrikam, asked("192.168.7.254"));
  bfd_.remove(kContoso);
  bfd_.remove(kContoso);
  EXPECT_EQ(control_.size(), 1U);
  ask(kContoso, asked("192.168.7.254"));
  EXPECT_EQ(control_.size(), 1U) << "what comes late is nobody's";
}

}  // namespace
}  // namespace hnv
