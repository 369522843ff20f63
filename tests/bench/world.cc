// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/world.h"

#include <cstdlib>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

constexpr uint32_t kFirstMachine = 0x0a000000;  // 10.0.0.0/12
constexpr uint32_t kPeer = 0xc0a8320a;          // 192.168.50.10, each domain's router
constexpr uint32_t kOutside = 0xc0a83201;       // 192.168.50.1, the router of the network outside
constexpr Duration kMovedGrace = std::chrono::seconds(1);

template <Space S>
IpAddress<S> address(Family family, uint32_t low) {
  if (family == Family::ipv4) return Ip4<S>(low);
  return Ip6<S>(wide(S == Space::customer ? kTenantBlock : kFabricBlock, low));
}
uint8_t length(Family family, uint8_t bits) {
  return family == Family::ipv4 ? bits : static_cast<uint8_t>(bits + 96);
}
std::string name_of(unsigned domain) { return fmt::format("d{}", domain); }

}  // namespace

void stop(const std::string& why) {
  fmt::print(stderr, "benchmark: {}\n", why);
  std::exit(1);
}

wire::Address6 wide(uint8_t block, uint32_t low) {
  wire::Address6 bytes{0xfd, block};
  for (unsigned i = 0; i < 4; ++i) bytes[12 + i] = static_cast<uint8_t>(low >> (24 - 8 * i));
  return bytes;
}

uint32_t host_of(unsigned record) { return kFirstHost + record % kHosts; }
MacAddress mac_of(unsigned record) {
  return MacAddress({2, 1, 0, static_cast<uint8_t>(record >> 16), static_cast<uint8_t>(record >> 8),
                     static_cast<uint8_t>(record)});
}

World::World(Size size, unsigned workers) : size_(size), model_(std::make_shared<const Model>()) {
  for (const auto& [name, id, mac] :
       {std::tuple{"fabric0", kFabricPort, kFabricMac}, std::tuple{"wan0", kWanPort, kWanMac}}) {
    catalog_.push_back({name, 9000, mac});
    context_.ports.emplace(name, CompileContext::PortFacts{id, wire::Mac::of(mac), 9000});
  }
  context_.workers = workers;
  context_.next_uid = &uid_;
  choices_.gateway_mac = kGatewayMac;
  compiled_ = compile_nothing(context_);
  put_networks();
  for (unsigned domain = 0; domain < size_.compartments; ++domain) put_domain(domain);
  commit(kNow);
}

void World::put(ResourceKey key, ResourceSpec spec) {
  change_.operations.push_back(Put{std::move(key), std::move(spec), {}});
}
void World::remove(ResourceKey key) { change_.operations.push_back(Delete{std::move(key), {}}); }
IpAddress<Space::customer> World::ca(uint32_t low) const {
  return address<Space::customer>(size_.family, low);
}
Prefix<Space::customer> World::prefix(uint32_t low, uint8_t bits) const {
  return {ca(low), length(size_.family, bits)};
}

void World::put_networks() {
  ProviderNetworkSpec fabric;
  fabric.port = "fabric0";
  fabric.provider_addresses = {
      {address<Space::provider>(size_.family, kOurPa), length(size_.family, 16)}};
  put(ProviderNetworkKey{"fabric"}, fabric);
  ExternalNetworkSpec shared;
  shared.port = "wan0";
  shared.ip_addresses = {{Ip4<Space::external>(0xc0a832fe), 24}};
  put(ExternalNetworkKey{"shared"}, shared);
}

void World::put_subnets(const std::string& name, unsigned domain) {
  VirtualSubnetSpec gateway;
  gateway.virtual_subnet_id = Vsid::from(gateway_vsid(domain));
  gateway.address_prefixes = {prefix(0x0aff0000, 24)};
  gateway.kind = SubnetKind::gateway;
  gateway.provider_network = "fabric";
  put(VirtualSubnetKey{name, "gateway"}, gateway);
  VirtualSubnetSpec machines;
  machines.virtual_subnet_id = Vsid::from(machines_vsid(domain));
  machines.address_prefixes = {prefix(kFirstMachine, 12)};
  machines.provider_network = "fabric";
  put(VirtualSubnetKey{name, "vms"}, machines);
}

void World::put_connection(const std::string& name, unsigned domain) {
  NetworkConnectionSpec connection;
  connection.l3.external_network = "shared";
  connection.l3.ip_addresses = {{ca(0xc0a83201), length(size_.family, 24)}};
  connection.l3.mac_address =
      MacAddress({2, 2, 0, 0, static_cast<uint8_t>(domain >> 8), static_cast<uint8_t>(domain)});
  connection.l3.peer_ip_addresses = {ca(kPeer)};
  connection.routes = {{prefix(0xc0a80000, 16), 1}};
  put(NetworkConnectionKey{name, "datacentre"}, connection);
}

void World::put_domain(unsigned domain) {
  const std::string name = name_of(domain);
  put(RoutingDomainKey{name}, RoutingDomainSpec{});
  put_subnets(name, domain);
  for (unsigned i = 0; i < records_per_domain(); ++i) move_record(domain, i, 0);
  for (unsigned i = 0; i < kCustomerRoutes; ++i) put_route(domain, i);
  put_connection(name, domain);
}

// A domain has to be empty before it can go.
void World::remove_domain(unsigned domain) {
  const std::string name = name_of(domain);
  remove(NetworkConnectionKey{name, "datacentre"});
  for (unsigned i = 0; i < kCustomerRoutes; ++i) remove_route(domain, i);
  for (unsigned i = 0; i < records_per_domain(); ++i) {
    remove(LookupRecordKey{name, "vms", ca(kFirstVm + i)});
  }
  remove(VirtualSubnetKey{name, "vms"});
  remove(VirtualSubnetKey{name, "gateway"});
  remove(RoutingDomainKey{name});
}

void World::move_record(unsigned domain, unsigned record, unsigned shift) {
  LookupRecordSpec spec;
  spec.customer_address = ca(kFirstVm + record);
  spec.provider_address = address<Space::provider>(size_.family, host_of(record + shift));
  spec.mac_address = mac_of(record);
  put(LookupRecordKey{name_of(domain), "vms", *spec.customer_address}, spec);
}

void World::put_route(unsigned domain, unsigned route) {
  CustomerRouteSpec spec;
  spec.destination_prefix = prefix(0xac100000 + (route << 8), 24);
  spec.next_hop = ca(0x0aff0009);
  put(CustomerRouteKey{name_of(domain), fmt::format("r{}", route)}, spec);
}
void World::remove_route(unsigned domain, unsigned route) {
  remove(CustomerRouteKey{name_of(domain), fmt::format("r{}", route)});
}

void World::put_nat(uint8_t bits) {
  const Prefix<Space::external> addresses(Ip4<Space::external>(kFirstPublic),
                                          static_cast<uint8_t>(32 - bits));
  ExternalNetworkSpec shared = model_->external_network("shared")->spec;
  shared.public_address_prefixes = {addresses};
  shared.routes = {
      {Prefix<Space::external>(Ip4<Space::external>(0), 0), Ip4<Space::external>(kOutside)}};
  put(ExternalNetworkKey{"shared"}, shared);
  PublicAddressPoolSpec pool;
  pool.external_network = "shared";
  pool.addresses = {addresses};
  put(PublicAddressPoolKey{"outside"}, pool);
  const Prefix<Space::customer> everywhere(Ip4<Space::customer>(0), 0);
  NatSpec nat;
  nat.destination_prefixes = {everywhere};
  OutboundRuleSpec all;
  all.name = "all";
  all.source_prefixes = {everywhere};
  all.pool = "outside";
  nat.outbound_rules = {all};
  for (unsigned domain = 0; domain < size_.compartments; ++domain)
    put(NatKey{name_of(domain)}, nat);
}

void World::everybody_answers(const Neighbors::Actions& asked, Instant now) {
  Neighbors::Actions answers;
  for (const auto& request : asked.requests) {
    const auto& bytes = request.key.address.bytes();
    uint32_t low = 0;
    std::memcpy(&low, bytes.data() + (request.key.address.is_v4() ? 0 : 12), sizeof low);
    const unsigned host = __builtin_bswap32(low) - kFirstHost;
    next_hops_.learn(request.key.link, request.key.address, host < kHosts ? mac_of(host) : kPeerMac,
                     now, answers);
  }
  next_hops_.apply(asked.changes);
  next_hops_.apply(answers.changes);
}

// A migration's second is over.
void World::forget_moves(Instant now) {
  std::set<std::string> over;
  while (!moved_.empty() && moved_.front().until <= now) {
    over.insert(moved_.front().domain);
    moved_.pop_front();
  }
  if (!over.empty()) compiled_ = with_moved(compiled_, over, moved_);
}

void World::commit(Instant now) {
  forget_moves(now);
  const auto applied = apply(model_, std::exchange(change_, {}), catalog_, choices_);
  if (!applied) stop(applied.error().error.message);
  Compilation done = compile(compiled_, *model_, *applied->next,
                             differences(*model_, *applied->next), context_, next_hops_, now);
  model_ = applied->next;
  compiled_ = done.next;
  Neighbors::Actions actions = std::move(done.actions);
  for (const auto& link : done.new_links) next_hops_.set_link(link, now, actions);
  for (const NextHopId id : done.released) next_hops_.release(id, actions);
  for (const LinkId link : done.gone_links) next_hops_.remove_link(link, actions);
  everybody_answers(actions, now);
  for (MovedUntil& moved : done.moved) {
    moved.until = now + kMovedGrace;
    moved_.push_back(std::move(moved));
  }
  next_hops_.publish_into(plane_.next_hops, plane_.links);
  ++plane_.serial;
  copy_tables(*compiled_, plane_);
}

}  // namespace hnv
