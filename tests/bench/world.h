// SPDX-License-Identifier: Apache-2.0
//
// The world that the benchmarks forward in: routing domains that all have the same addresses, made
// and changed by the product's own model and compiler, every neighbour resolved. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compartments/wire.h"
#include "gateway/compile.h"

namespace hnv {

// Ends the process: a benchmark that cannot be set up has no figures.
[[noreturn]] void stop(const std::string& why);

template <class T>
T must(std::optional<T> value) {
  if (!value) stop("a constant of the benchmark is malformed");
  return *value;
}

constexpr unsigned kHosts = 64;  // PAs of the fabric
constexpr unsigned kCustomerRoutes = 100;
constexpr PortId kFabricPort{0};
constexpr PortId kWanPort{1};
constexpr Instant kNow{1'000'000'000'000};
inline const MacAddress kFabricMac({2, 0, 0, 0, 0, 0xfa});
inline const MacAddress kWanMac({2, 0, 0, 0, 0, 0xfb});
inline const MacAddress kGatewayMac({2, 0, 0, 0, 0, 0xfe});
inline const MacAddress kPeerMac({2, 0, 0, 0, 0, 0xee});
constexpr uint32_t kOurPa = 0x0a090001;        // 10.9.0.1
constexpr uint32_t kFirstHost = 0x0a090100;    // 10.9.1.0
constexpr uint32_t kFirstVm = 0x0a000004;      // 10.0.0.4
constexpr uint32_t kServer = 0xc0a8630a;       // 192.168.99.10, behind each domain's router
constexpr uint32_t kFirstPublic = 0xc6120000;  // 198.18.0.0, of NAT

struct Size {
  unsigned compartments;
  unsigned records;              // in all
  Family family = Family::ipv4;  // of the fabric and of the tenants' packets
};

// The IPv6 world is the IPv4 one with fd10::/96 (of tenants) or fd60::/96 (of the fabric) in front.
constexpr uint8_t kTenantBlock = 0x10;
constexpr uint8_t kFabricBlock = 0x60;
[[nodiscard]] wire::Address6 wide(uint8_t block, uint32_t low);

// Record i lives on host i mod kHosts.
[[nodiscard]] uint32_t host_of(unsigned record);
[[nodiscard]] MacAddress mac_of(unsigned record);

class World {
 public:
  // Every compartment counts by worker.
  explicit World(Size size, unsigned workers = 1);

  [[nodiscard]] const Dataplane& plane() const { return plane_; }
  [[nodiscard]] Size size() const { return size_; }
  [[nodiscard]] unsigned records_per_domain() const { return size_.records / size_.compartments; }
  [[nodiscard]] Family family() const { return size_.family; }
  [[nodiscard]] static uint32_t gateway_vsid(unsigned domain) { return 4096 + 2 * domain; }
  [[nodiscard]] static uint32_t machines_vsid(unsigned domain) { return gateway_vsid(domain) + 1; }
  [[nodiscard]] wire::Mac connection_mac(unsigned domain) const {
    return plane_.compartment(CompartmentId(domain))->connection(ConnectionId(0)).mac;
  }

  // Changes to come, all in one by commit(), as ControlLoop makes one: apply, compile, the next
  // hops, then plane() is what comes to be published. What it replaces stays valid for whoever has
  // a copy of the plane before.
  void put_domain(unsigned domain);
  void remove_domain(unsigned domain);
  // The record's machine to another host, `shift` further.
  void move_record(unsigned domain, unsigned record, unsigned shift);
  // One more customer route, or one less.
  void put_route(unsigned domain, unsigned route);
  void remove_route(unsigned domain, unsigned route);
  // Every domain goes out by NAT, to wherever it has no better route, through one pool of 2^bits
  // public addresses that they share. IPv4 only.
  void put_nat(uint8_t bits);
  void commit(Instant now);

 private:
  void put(ResourceKey key, ResourceSpec spec);
  void remove(ResourceKey key);
  [[nodiscard]] IpAddress<Space::customer> ca(uint32_t low) const;
  [[nodiscard]] Prefix<Space::customer> prefix(uint32_t low, uint8_t bits) const;
  void put_networks();
  void put_subnets(const std::string& name, unsigned domain);
  void put_connection(const std::string& name, unsigned domain);
  void everybody_answers(const Neighbors::Actions& asked, Instant now);
  void forget_moves(Instant now);

  Size size_;
  PortCatalog catalog_;
  ServerChoices choices_;
  CompileContext context_;
  uint64_t uid_ = 1;
  Change change_;
  NextHops next_hops_;
  ModelPtr model_;
  std::shared_ptr<const Compiled> compiled_;
  std::deque<MovedUntil> moved_;
  Dataplane plane_;
};

}  // namespace hnv
