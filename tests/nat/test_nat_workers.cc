// SPDX-License-Identifier: Apache-2.0
//
// NAT with several workers: whatever arrives wherever, the worker that owns the flow translates it.
#include <map>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/nat_network.h"
#include "tests/support/test_workers.h"

namespace hnv {
namespace {

constexpr const char* kServer = "192.0.2.80";
constexpr unsigned kWorkers = 3;
constexpr unsigned kFirstVm = 20, kLastVm = 49;

std::string vm(unsigned i) { return fmt::format("10.0.1.{}", i); }

struct Out {
  std::string where;
  NatPacket packet;
};

class NatWorkers : public testing::Test {
 protected:
  NatWorkers() {
    network().change(
        {{"externalNetworks/internet",
          R"({"port":"wan0","vlanId":40,"ipAddresses":["203.0.113.1/24"],
              "routes":[{"destinationPrefix":"0.0.0.0/0","nextHop":"203.0.113.254"}],
              "publicAddressPrefixes":["198.51.100.0/24"]})"},
         {"publicIPAddresses/shared",
          R"({"externalNetwork":"internet","publicIPAddresses":["198.51.100.4/31"]})"}});
    std::vector<TestRequest> requests;
    for (const Tenant& tenant : kTwins) {
      requests.push_back({"routingDomains/" + tenant.name + "/nat", NatNetwork::rules()});
      for (unsigned i = kFirstVm; i <= kLastVm; ++i) {
        requests.push_back({fmt::format("routingDomains/{}/virtualSubnets/web/lookupRecords/{}",
                                        tenant.name, vm(i)),
                            fmt::format(R"({{"customerAddress":"{}","providerAddress":"10.250.0.11",
                              "macAddress":"00:15:5d:01:01:{:02x}","type":"Static"}})",
                                        vm(i), i)});
      }
    }
    network().change(requests);
    network().answer_all();
  }

  TestDataplane& network() { return workers_.network(); }

  std::vector<Out> from_vm(unsigned worker, const Tenant& tenant, const NatPacket& packet) {
    const auto inner =
        eth(kGatewayMac, kRouterMac).with([](EthLayer& l) { l.type = uint16_t{0x0800}; });
    workers_.receive(worker, kFabricPort,
                     {(fabric() / gre(tenant.gateway) / inner / raw(packet.bytes())).bytes()});
    return settle();
  }
  std::vector<Out> from_internet(unsigned worker, const NatPacket& packet) {
    const auto tag = vlan(kInternetVlan).with([](VlanLayer& l) { l.type = uint16_t{0x0800}; });
    workers_.receive(
        worker, kWanPort,
        {(Frame(eth(kWanMac, "02:aa:cb:00:71:fe")) / tag / raw(packet.bytes())).bytes()});
    return settle();
  }
  std::vector<Out> settle() {
    std::vector<Out> out;
    for (const auto& [port, frame] : workers_.settle()) {
      const bool wan = port == kWanPort;
      std::string fault;
      const ptrdiff_t header = wan ? 18 : 14 + 20 + 8 + 14;
      Out one{.where = "internet",
              .packet = parse_packet({frame.begin() + header, frame.end()}, fault)};
      EXPECT_EQ(fault, "");
      if (!wan) {
        const unsigned vsid = unsigned{frame[38]} << 16 | unsigned{frame[39]} << 8 | frame[40];
        one.where = vsid / 1000 == 5 ? "contoso" : "fabrikam";
      }
      out.push_back(one);
    }
    return out;
  }
  NatPacket one_out(unsigned worker, const Tenant& tenant, const NatPacket& packet) {
    const auto out = from_vm(worker, tenant, packet);
    if (out.size() == 1 && out[0].where == "internet") return out[0].packet;
    ADD_FAILURE() << out.size() << " packets";
    return packet;
  }

  TestWorkers workers_{kWorkers};
};

TEST_F(NatWorkers, OwnPortsOfTheirOwn) {
  std::set<std::pair<std::string, uint16_t>> seen;
  unsigned flows = 0;
  for (const Tenant& tenant : kTwins) {
    for (unsigned i = kFirstVm; i <= kLastVm; ++i) {
      for (uint16_t port = 2000; port < 2010; ++port, ++flows) {
        const NatPacket out = one_out(flows % kWorkers, tenant, nat_udp(vm(i), port, kServer, 53));
        EXPECT_TRUE(seen.insert({out.from, out.from_port}).second);
      }
    }
  }
  const NatPlan& plan = *network().plane().nat;
  EXPECT_EQ(plan.workers, kWorkers);
  uint32_t sessions = 0;
  for (unsigned w = 0; w < kWorkers; ++w) {
    NatTable& table = workers_.line(w).nat().table;
    EXPECT_GT(table.size(), 50U);  // of 600
    sessions += table.size();
    for (uint32_t place = 0; place < table.places(); ++place) {
      const NatSession& session = table.at(place);
      const PublicAddress* address = plan.find(session.outside);
      ASSERT_NE(address, nullptr);
      const PortSpace* space = address->space_of(session.outside_port.value());
      ASSERT_NE(space, nullptr);
      EXPECT_EQ(plan.owner_of_port(*space, session.outside_port.value()), w);
    }
  }
  EXPECT_EQ(sessions, flows);
  EXPECT_GT(workers_.sum_of(&WorkerCounters::handed_out), 0U);
  EXPECT_EQ(workers_.fault(), "");
}

TEST_F(NatWorkers, BringRepliesAndErrorsToTheOwner) {
  for (unsigned i = kFirstVm; i <= kLastVm; ++i) {
    const Tenant& tenant = kTwins[i % 2];
    for (const NatPacket& sent :
         {nat_udp(vm(i), 2000, kServer, 53), nat_tcp(vm(i), 2001, kServer, 80),
          nat_echo(vm(i), kServer, 700)}) {
      const NatPacket out = one_out(i % kWorkers, tenant, sent);
      for (unsigned worker = 0; worker < kWorkers; ++worker) {
        const auto back = from_internet(worker, reply_to(out));
        ASSERT_EQ(back.size(), 1U);
        EXPECT_EQ(back[0].where, tenant.name);
        EXPECT_EQ(back[0].packet.to, vm(i));
        const auto error = from_internet(worker, error_about(out, "192.0.2.1", 3, 1));
        ASSERT_EQ(error.size(), 1U);
        EXPECT_EQ(error[0].where, tenant.name);
        EXPECT_EQ(error[0].packet.to, vm(i));
        const auto told = from_vm(worker, tenant, error_about(back[0].packet, vm(i), 3, 3));
        ASSERT_EQ(told.size(), 1U);
        EXPECT_EQ(told[0].packet.from, out.from);
      }
    }
  }
  EXPECT_EQ(workers_.drops(DropReason::handoff_loop), 0U);
  EXPECT_EQ(workers_.fault(), "");
}

TEST_F(NatWorkers, BringFragmentsTogether) {
  uint16_t id = 1;
  for (unsigned i = kFirstVm; i <= kLastVm; ++i) {
    const Tenant& tenant = kTwins[i % 2];
    const NatPacket out = one_out(i % kWorkers, tenant, nat_udp(vm(i), 2000, kServer, 53));
    for (unsigned worker = 0; worker < kWorkers; ++worker, ++id) {
      NatPacket first = reply_to(out);
      first.id = id;
      NatPacket later = first;
      first.fragment = 0x2000;
      first.payload = Bytes(24, 1);
      later.fragment = 4;
      later.payload = Bytes(33, 2);
      // The later one first, each at another worker.
      EXPECT_TRUE(from_internet(worker, later).empty());
      const auto back = from_internet((worker + 1) % kWorkers, first);
      ASSERT_EQ(back.size(), 2U);
      for (const Out& one : back) {
        EXPECT_EQ(one.where, tenant.name);
        EXPECT_EQ(one.packet.to, vm(i));
      }
      // And outward.
      NatPacket out_first = nat_udp(vm(i), 2000, kServer, 53);
      out_first.id = id;
      out_first.fragment = 0x2000;
      out_first.payload = Bytes(24, 1);
      NatPacket out_later = out_first;
      out_later.fragment = 4;
      EXPECT_TRUE(from_vm(worker, tenant, out_later).empty());
      const auto both = from_vm((worker + 1) % kWorkers, tenant, out_first);
      ASSERT_EQ(both.size(), 2U);
      for (const Out& one : both) EXPECT_EQ(one.packet.from, out.from);
    }
  }
  EXPECT_EQ(workers_.fault(), "");
}

TEST_F(NatWorkers, HairpinFromWorkerToWorker) {
  for (unsigned i = kFirstVm; i < kLastVm; ++i) {
    const Tenant& a = kTwins[i % 2];
    const Tenant& b = kTwins[i / 2 % 2];
    const NatPacket of_b = one_out(i % kWorkers, b, nat_udp(vm(i + 1), 7000, kServer, 53));
    const auto seen =
        from_vm((i + 1) % kWorkers, a, nat_udp(vm(i), 6000, of_b.from, of_b.from_port));
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].where, b.name);
    EXPECT_EQ(seen[0].packet.to, vm(i + 1));
    const auto back = from_vm(i % kWorkers, b, reply_to(seen[0].packet));
    ASSERT_EQ(back.size(), 1U);
    EXPECT_EQ(back[0].where, a.name);
    EXPECT_EQ(back[0].packet.to_port, 6000);
    const auto error = from_vm(0, b, error_about(seen[0].packet, vm(i + 1), 3, 3));
    ASSERT_EQ(error.size(), 1U);
    EXPECT_EQ(error[0].packet.to, vm(i));
  }
  EXPECT_EQ(workers_.fault(), "");
}

}  // namespace
}  // namespace hnv
