// SPDX-License-Identifier: Apache-2.0
//
// What goes into a domain's TUN, and what may come out of it. A pair of sockets plays the TUN.
#include <algorithm>
#include <fcntl.h>
#include <map>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/terminated.h"
#include "gateway/domain_tuns.h"
#include "gateway/reentry.h"
#include "tests/support/twin_tenants.h"

namespace hnv {
namespace {

constexpr const char* kOwn = "192.168.7.1";
constexpr const char* kPeer = "192.168.7.254";
constexpr unsigned kWorkers = 2;

Frame segment(const char* from = kOwn, const char* to = kPeer, uint16_t source = 33000,
              uint16_t destination = 179) {
  return Frame(ip(from, to).with([](IpLayer& l) { l.ttl = 1; })) / tcp(source, destination);
}

class DomainTunsTest : public ::testing::Test {
 protected:
  DomainTunsTest()
      : network_(twin_dataplane(kWorkers)),
        tuns_(mbufs_.pool(), kWorkers, [this](rte_mbuf* mbuf) { return take(mbuf); }) {
    for (const Tenant& tenant : kTwins) {
      auto view = std::make_shared<CompartmentView>(network_->compartment(tenant.name));
      const auto at = [](const char* text) { return *IpAddress<Space::customer>::parse(text); };
      view->terminated =
          make_terminated({{.peer = at(kPeer), .own = at(kOwn)},
                           {.peer = at("fd10:0:0:2::21"), .own = at("fd10:0:0:2::1")},
                           {.peer = at("172.16.0.9")}},
                          kWorkers, nullptr);
      network_->replace(view);
      bgpd_[tenant.name] = add(tenant.name);
    }
  }
  void TearDown() override { EXPECT_EQ(mbufs_.in_use(), 0U); }

  // The end that bgpd's kernel has.
  OwnedFd add(const std::string& domain) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
    const CompartmentView& view = network_->compartment(domain);
    tuns_.add(view.id, view.uid, OwnedFd(ends[0]));
    return OwnedFd(ends[1]);
  }
  void says(const std::string& domain, const Bytes& packet) {
    ASSERT_EQ(write(bgpd_[domain].get(), packet.data(), packet.size()),
              static_cast<ssize_t>(packet.size()));
  }
  Bytes hears(const std::string& domain) {
    Bytes packet(2048);
    const ssize_t bytes = read(bgpd_[domain].get(), packet.data(), packet.size());
    packet.resize(bytes < 0 ? 0 : static_cast<size_t>(bytes));
    return packet;
  }
  bool take(rte_mbuf* mbuf) {
    if (full_) return false;
    const auto bytes = bytes_of(*mbuf);
    injected_.emplace_back(bytes.begin(), bytes.end());
    notes_.push_back(side_note(*mbuf));
    rte_pktmbuf_free(mbuf);
    return true;
  }
  void step() { tuns_.step(network_->plane().compartments); }

  std::unique_ptr<TestDataplane> network_;
  FakeMbufs mbufs_;
  DomainTuns tuns_;
  std::map<std::string, OwnedFd> bgpd_;
  bool full_ = false;
  std::vector<Bytes> injected_;
  std::vector<SideNote> notes_;
};

TEST_F(DomainTunsTest, SendsASessionsSegmentInItsDomain) {
  const Bytes of_ipv4 = segment().bytes();
  const Bytes of_ipv6 = (Frame(ip6("fd10:0:0:2::1", "fd10:0:0:2::21")) / tcp(179, 33000)).bytes();
  says("contoso", of_ipv4);
  says("fabrikam", of_ipv6);
  step();
  ASSERT_EQ(injected_.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const bool first = injected_[i] == of_ipv4;
    EXPECT_EQ(injected_[i], first ? of_ipv4 : of_ipv6);
    const CompartmentView& view = network_->compartment(first ? "contoso" : "fabrikam");
    EXPECT_EQ(notes_[i].origin.compartment_uid, view.uid);
    EXPECT_EQ(notes_[i].origin.compartment, view.id);
    EXPECT_EQ(notes_[i].origin.ingress, Ingress::session);
    EXPECT_TRUE(notes_[i].at_route);
    EXPECT_EQ(notes_[i].worker, view.id.value() % kWorkers);
  }
  EXPECT_EQ(tuns_.counts().sent, 2U);
}

TEST_F(DomainTunsTest, BelievesNothingElse) {
  Bytes cut = segment().bytes();
  cut.resize(cut.size() - 1);
  Bytes long_one = segment().bytes();
  long_one.push_back(0);
  const Bytes cases[] = {
      {0x45},
      cut,
      long_one,
      segment("192.168.7.2").bytes(),                // not ours
      segment(kPeer, kOwn).bytes(),                  // the peer's own address
      segment("10.0.2.1").bytes(),                   // ours, but not the one of this peer
      segment(kOwn, "192.168.7.253").bytes(),        // no peer
      segment("192.168.7.3", "172.16.0.9").bytes(),  // a peer of any own address, but not ours
      segment(kOwn, kPeer, 33000, 22).bytes(),
      (Frame(ip(kOwn, kPeer)) / udp(179, 179)).bytes(),
      (Frame(ip(kOwn, kPeer)) / icmp(3, 3)).bytes(),
      (Frame(ip(kOwn, kPeer).with([](IpLayer& l) { l.fragment = 0x2000; })) / tcp(179, 33000))
          .bytes(),
      (Frame(ip(kOwn, kPeer).with([](IpLayer& l) {
         l.options = {1, 1, 1, 1};
       })) /
       tcp(179, 33000))
          .bytes(),
      (Frame(ip6("fe80::1", "ff02::2")) / icmp6(133)).bytes(),  // a kernel's first words
      Bytes(9'600, 0x45),
  };
  uint64_t refused = 0;
  for (const Bytes& packet : cases) {
    says("contoso", packet);
    step();
    EXPECT_EQ(tuns_.counts().refused, ++refused) << "case of " << packet.size() << " bytes";
  }
  EXPECT_TRUE(injected_.empty());
  says("contoso", segment("192.168.7.1", "172.16.0.9").bytes());
  step();
  EXPECT_EQ(injected_.size(), 1U);
}

TEST_F(DomainTunsTest, ServesDomainsInTurn) {
  for (unsigned i = 0; i < 10; ++i) says("fabrikam", segment().bytes());
  unsigned flood = 0;
  const Bytes packet = segment().bytes();
  while (flood < 5 * DomainTuns::kAtOnce &&
         write(bgpd_["contoso"].get(), packet.data(), packet.size()) > 0) {
    ++flood;
  }
  ASSERT_GT(flood, DomainTuns::kTurn * 2);
  step();
  EXPECT_LE(injected_.size(), DomainTuns::kAtOnce);
  const uint64_t quiet = network_->compartment("fabrikam").uid;
  EXPECT_EQ(std::count_if(notes_.begin(), notes_.end(),
                          [&](const SideNote& n) { return n.origin.compartment_uid == quiet; }),
            10);
  // The first of the quiet one's waited for one turn of the other's at most.
  const auto first = std::find_if(notes_.begin(), notes_.end(), [&](const SideNote& n) {
    return n.origin.compartment_uid == quiet;
  });
  EXPECT_LE(first - notes_.begin(), static_cast<ptrdiff_t>(DomainTuns::kTurn));
  for (unsigned i = 0; i < 6; ++i) step();
  EXPECT_EQ(injected_.size(), flood + 10);
}

TEST_F(DomainTunsTest, GivesADomainWhatIsIts) {
  rte_mbuf* mbuf = mbufs_.take(segment(kPeer, kOwn).bytes());
  side_note(*mbuf) = SideNote{.origin = {.compartment_uid = network_->compartment("contoso").uid}};
  tuns_.give(*mbuf);
  EXPECT_EQ(hears("contoso"), segment(kPeer, kOwn).bytes());
  EXPECT_TRUE(hears("fabrikam").empty());
  EXPECT_EQ(tuns_.counts().given, 1U);
  tuns_.remove(network_->compartment("contoso").uid);
  tuns_.give(*mbuf);
  EXPECT_EQ(tuns_.counts().given_lost, 1U);
  rte_pktmbuf_free(mbuf);
}

TEST_F(DomainTunsTest, ATunInPlaceOfAnotherAndADomainThatIsGone) {
  const OwnedFd before = std::move(bgpd_["contoso"]);
  bgpd_["contoso"] = add("contoso");
  EXPECT_EQ(tuns_.size(), 2U);
  says("contoso", segment().bytes());
  step();
  EXPECT_EQ(injected_.size(), 1U);
  // Another domain has its place now.
  auto other = std::make_shared<CompartmentView>(network_->compartment("contoso"));
  other->uid += 1000;
  network_->replace(other);
  says("contoso", segment().bytes());
  step();
  EXPECT_EQ(injected_.size(), 1U);
  EXPECT_EQ(tuns_.counts().refused, 1U);
}

TEST_F(DomainTunsTest, CountsWhatTheWorkersDoNotTake) {
  full_ = true;
  says("contoso", segment().bytes());
  step();
  EXPECT_EQ(tuns_.counts().sent_lost, 1U);
  EXPECT_EQ(tuns_.counts().sent, 0U);
}

}  // namespace
}  // namespace hnv
