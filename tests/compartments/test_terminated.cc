// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include <gtest/gtest.h>

#include "compartments/terminated.h"

namespace hnv {
namespace {

using Address = IpAddress<Space::customer>;
using Service = TerminatedService;

Address at(std::string_view text) { return *Address::parse(text); }

const Terminated::Entry* find(const Terminated& t, Service service, std::string_view peer,
                              std::string_view own) {
  const Address from = at(peer);
  return t.find(service, from.family(), from.bytes(), at(own).bytes());
}

constexpr Instant kBegin{1'000'000'000};

// How many of `tries` packets are let through, at one moment.
unsigned admitted(const Terminated& t, const Terminated::Entry& entry, unsigned tries,
                  unsigned waiting, Instant now, unsigned worker = 0) {
  unsigned count = 0;
  for (unsigned i = 0; i < tries; ++i) count += t.admit(entry, worker, waiting, now) ? 1 : 0;
  return count;
}

TEST(Terminated, FindsExactlyWhoMaySpeakToWhom) {
  const Terminated t({{.peer = at("10.0.0.2"), .own = at("10.0.0.1")},
                      {.peer = at("10.0.0.3")},
                      {.peer = at("10.0.0.2"), .own = at("10.0.0.9"), .min_ttl = 255},
                      {.peer = at("fd00::2"), .own = at("fd00::1")},
                      {.peer = at("10.0.0.4"), .service = Service::bfd_single_hop}},
                     1);
  struct Case {
    std::string_view peer, own;
    Service service;
    bool found;
  };
  const Case cases[] = {
      {"10.0.0.2", "10.0.0.1", Service::bgp, true},
      {"10.0.0.2", "10.0.0.9", Service::bgp, true},
      {"10.0.0.2", "10.0.0.8", Service::bgp, false},  // another own address
      {"10.0.0.1", "10.0.0.2", Service::bgp, false},  // the wrong way round
      {"10.0.0.5", "10.0.0.1", Service::bgp, false},
      {"10.0.0.3", "10.0.0.1", Service::bgp, true},  // any own address
      {"10.0.0.3", "172.16.0.1", Service::bgp, true},
      {"10.0.0.3", "10.0.0.1", Service::bfd_single_hop, false},
      {"10.0.0.4", "10.0.0.1", Service::bfd_single_hop, true},
      {"10.0.0.4", "10.0.0.1", Service::bgp, false},
      {"fd00::2", "fd00::1", Service::bgp, true},
      {"fd00::2", "fd00::3", Service::bgp, false},
      {"a00:2::", "a00:1::", Service::bgp, false},  // 10.0.0.2's bytes in the other family
  };
  for (const Case& c : cases) {
    EXPECT_EQ(find(t, c.service, c.peer, c.own) != nullptr, c.found) << c.peer << " " << c.own;
  }
  EXPECT_EQ(find(t, Service::bgp, "10.0.0.2", "10.0.0.9")->min_ttl, 255);
  EXPECT_EQ(find(t, Service::bgp, "10.0.0.2", "10.0.0.1")->min_ttl, 0);
}

TEST(Terminated, AFloodLeavesOtherPeersOfTheDomainWhatIsGuaranteed) {
  const Terminated t({{.peer = at("10.0.0.2")}, {.peer = at("10.0.0.3")}}, 2);
  const auto& flooding = *find(t, Service::bgp, "10.0.0.2", "10.0.0.1");
  const auto& quiet = *find(t, Service::bgp, "10.0.0.3", "10.0.0.1");
  // The flooding one gets all there is for both, and its own.
  EXPECT_EQ(admitted(t, flooding, 10'000, 0, kBegin),
            Terminated::kDomainMore.burst + Terminated::kGuaranteed.burst);
  EXPECT_EQ(admitted(t, quiet, 10'000, 0, kBegin), Terminated::kGuaranteed.burst);
  // A second on, still flooding: the quiet one's two hundred a second are there.
  const Instant later = kBegin + std::chrono::seconds(1);
  EXPECT_EQ(admitted(t, flooding, 10'000, 0, later),
            Terminated::kDomainMore.burst + Terminated::kGuaranteed.burst);
  EXPECT_EQ(admitted(t, quiet, 10'000, 0, later), Terminated::kGuaranteed.burst);
  // The other worker has its own.
  EXPECT_EQ(admitted(t, quiet, 10, 0, kBegin, 1), 10U);
}

TEST(Terminated, ADomainOfManyFloodingPeersIsLimitedAsAWhole) {
  std::vector<TerminatedPeer> peers;
  for (unsigned i = 1; i <= 100; ++i) peers.push_back({.peer = CaAddress(0x0a000000 + i)});
  const Terminated t(peers, 1);
  unsigned count = 0;
  for (const TerminatedPeer& peer : peers) {
    count +=
        admitted(t, *t.find(Service::bgp, Family::ipv4, peer.peer.bytes(), {}), 1'000, 0, kBegin);
  }
  EXPECT_EQ(count, Terminated::kDomainMore.burst + Terminated::kDomainGuaranteed.burst);
}

TEST(Terminated, WhenTheControlThreadIsBehindNobodyHasMoreThanTheGuarantee) {
  const Terminated t({{.peer = at("10.0.0.2")}}, 1);
  const auto& entry = *find(t, Service::bgp, "10.0.0.2", "10.0.0.1");
  EXPECT_EQ(admitted(t, entry, 1'000, Terminated::kGuaranteedUpTo, kBegin), 0U);
  EXPECT_EQ(admitted(t, entry, 1'000, Terminated::kMoreUpTo, kBegin),
            Terminated::kGuaranteed.burst);
  EXPECT_EQ(admitted(t, entry, 1'000, Terminated::kMoreUpTo - 1, kBegin),
            Terminated::kDomainMore.burst);
}

TEST(Terminated, MetersGoOnWhileTheSamePeersAreThere) {
  const std::vector<TerminatedPeer> peers{{.peer = at("10.0.0.3")}, {.peer = at("10.0.0.2")}};
  const auto before = make_terminated(peers, 1, nullptr);
  EXPECT_EQ(make_terminated({peers[1], peers[0], peers[0]}, 1, before), before);
  const auto after = make_terminated({peers[0]}, 1, before);
  EXPECT_NE(after, before);
  EXPECT_EQ(find(*after, Service::bgp, "10.0.0.2", "10.0.0.1"), nullptr);
  EXPECT_EQ(make_terminated({}, 1, before), nullptr);
}

TEST(PacketMeter, RefillsOverTimeUpToItsBurst) {
  constexpr PacketRate kRate{.per_second = 100, .burst = 3};
  PacketMeter bucket;
  Instant now = kBegin;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(kRate, now));
  EXPECT_FALSE(bucket.take(kRate, now));
  now = now + std::chrono::milliseconds(9);
  EXPECT_FALSE(bucket.take(kRate, now));
  now = now + std::chrono::milliseconds(1);
  EXPECT_TRUE(bucket.take(kRate, now));
  EXPECT_FALSE(bucket.take(kRate, now));
  now = now + std::chrono::hours(1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(kRate, now));
  EXPECT_FALSE(bucket.take(kRate, now));
}

}  // namespace
}  // namespace hnv
