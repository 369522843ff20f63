// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/model_fixture.h"

#include <cstdio>
#include <cstdlib>
#include <limits>

#include <fmt/format.h>

#include "api/resource_json.h"

namespace hnv {
namespace {

[[noreturn]] void die(const std::string& why) {
  std::fputs((why + "\n").c_str(), stderr);
  std::abort();
}

std::vector<Resource> listed(const Model& model, const CollectionKey& collection) {
  auto found = model.list(collection, "", std::numeric_limits<size_t>::max());
  if (!found) die("a collection is missing");
  return std::move(*found);
}

void append(std::vector<Resource>& all, std::vector<Resource> some) {
  for (auto& resource : some) all.push_back(std::move(resource));
}

}  // namespace

ServerChoices test_choices() {
  ServerChoices choices;
  choices.mac_address = [n = uint8_t{0}]() mutable { return MacAddress({2, 0, 0, 0, 1, n++}); };
  choices.gateway_mac = test_gateway_mac();
  return choices;
}

Change change_of(const std::vector<Request>& requests) {
  Change change;
  for (const auto& [method, path, body] : requests) {
    const auto key = parse_resource_path(path);
    if (!key) die(fmt::format("no path: {}", path));
    if (method == "DELETE") {
      change.operations.emplace_back(Delete{*key, {}});
      continue;
    }
    const auto spec = spec_from_json(*key, body);
    if (!spec) die(fmt::format("{} {}: {}", path, spec.error().target, spec.error().message));
    change.operations.emplace_back(Put{*key, *spec, {}});
  }
  return change;
}

const std::vector<Request>& base_requests() {
  static const std::vector<Request> kRequests{
      {"PUT", "/v1/providerNetworks/fabric",
       R"({"port":"fabric0","vlanId":10,"providerAddresses":["192.0.2.1/24","192.0.2.2/24"],
           "routes":[{"destinationPrefix":"198.51.100.0/24","nextHop":"192.0.2.254"}]})"},
      {"PUT", "/v1/providerNetworks/other",
       R"({"port":"fabric0","vlanId":11,"providerAddresses":["192.0.2.1/24"]})"},
      {"PUT", "/v1/externalNetworks/campus",
       R"({"port":"wan0","vlanId":20,"ipAddresses":["203.0.113.1/24"]})"},
      {"PUT", "/v1/routingDomains/contoso",
       R"({"routingDomainId":"00000000-0000-4000-8000-000000000001"})"},
      {"PUT", "/v1/routingDomains/contoso/virtualSubnets/edge",
       R"({"virtualSubnetId":5000,"addressPrefixes":["10.0.255.0/24"],"kind":"gateway",
           "providerNetwork":"fabric"})"},
      {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web",
       R"({"virtualSubnetId":5001,"addressPrefixes":["10.0.0.0/24"],"providerNetwork":"fabric"})"},
      {"PUT", "/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/10.0.0.4",
       R"({"customerAddress":"10.0.0.4","providerAddress":"192.0.2.50",
           "macAddress":"02:00:5e:00:00:04"})"},
      {"PUT", "/v1/routingDomains/contoso/networkConnections/campus",
       R"({"connectionType":"L3","l3Configuration":{"externalNetwork":"campus",
           "ipAddresses":["172.16.0.2/24"],"peerIPAddresses":["172.16.0.1"]},
           "routes":[{"destinationPrefix":"172.20.0.0/16"}]})"},
      {"PUT", "/v1/routingDomains/contoso/customerRoutes/branch",
       R"({"destinationPrefix":"10.9.0.0/16","nextHop":"10.0.0.4"})"},
      {"PUT", "/v1/routingDomains/contoso/customerRoutes/lab",
       R"({"destinationPrefix":"10.8.0.0/16","networkConnection":"campus"})"},
      {"PUT", "/v1/routingDomains/fabrikam",
       R"({"routingDomainId":"00000000-0000-4000-8000-00000000000f"})"},
      {"PUT", "/v1/routingDomains/fabrikam/virtualSubnets/web",
       R"({"virtualSubnetId":6001,"addressPrefixes":["10.0.0.0/24"],"router":"gateway",
           "providerNetwork":"fabric","providerAddress":"192.0.2.2"})"},
      {"PUT", "/v1/routingDomains/fabrikam/virtualSubnets/web/lookupRecords/10.0.0.4",
       R"({"customerAddress":"10.0.0.4","providerAddress":"198.51.100.7",
           "macAddress":"02:00:5e:00:00:04"})"},
      {"PUT", "/v1/routingDomains/fabrikam/networkConnections/private",
       R"({"connectionType":"L3","l3Configuration":{"port":"wan1","vlanId":7,
           "ipAddresses":["172.16.0.2/24"]}})"},
  };
  return kRequests;
}

// clang-format off
const std::vector<Request>& nat_requests() {
  static const std::vector<Request> kRequests{
  {"PUT", "/v1/externalNetworks/internet",
   R"({"port":"wan0","vlanId":30,"ipAddresses":["198.51.100.2/24"],
       "publicAddressPrefixes":["203.0.113.0/24","2001:db8:f::/48"]})"},
  {"PUT", "/v1/publicIPAddresses/shared",
   R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.0/28"],
       "portRange":{"first":1024,"last":33791}})"},
  {"PUT", "/v1/publicIPAddresses/contoso-only",
   R"({"externalNetwork":"internet","publicIPAddresses":["203.0.113.16","203.0.113.17"],
       "routingDomain":"contoso","portBlockSize":16})"},
  {"PUT", "/v1/routingDomains/contoso/nat",
   R"({"excludePrefixes":["10.0.0.0/8"],
       "outboundRules":[
         {"name":"all","pool":"shared"},
         {"name":"web","sourcePrefixes":["10.0.0.0/24"],"pool":"contoso-only"},
         {"name":"own","sourcePrefixes":["10.0.1.0/24"],"externalNetwork":"internet",
          "publicAddresses":["203.0.113.32"],"portRange":{"first":1024,"last":2047}}],
       "staticMappings":[
         {"name":"https","externalNetwork":"internet","protocol":"TCP","publicAddress":"203.0.113.1",
          "publicPort":443,"insideAddress":"10.0.0.4","insidePort":443},
         {"name":"host","externalNetwork":"internet","protocol":"All","publicAddress":"203.0.113.64",
          "insideAddress":"10.0.0.5"},
         {"name":"host6","externalNetwork":"internet","protocol":"All",
          "publicAddress":"2001:db8:f::5","insideAddress":"fd00::5"}]})"},
  {"PUT", "/v1/routingDomains/fabrikam/nat",
   R"({"excludePrefixes":["10.0.0.0/8"],
       "outboundRules":[{"name":"all","pool":"shared","portRange":{"first":1024,"last":9215}}],
       "staticMappings":[
         {"name":"https","externalNetwork":"internet","protocol":"TCP","publicAddress":"203.0.113.2",
          "publicPort":443,"insideAddress":"10.0.0.4","insidePort":443}]})"},
};
  return kRequests;
}
// clang-format on

ModelPtr base_model() { return must_apply(std::make_shared<Model>(), base_requests()); }

tl::expected<Transition, ChangeError> try_apply(const ModelPtr& base,
                                                const std::vector<Request>& requests) {
  return apply(base, change_of(requests), kTestPorts, test_choices());
}

ModelPtr must_apply(const ModelPtr& base, const std::vector<Request>& requests) {
  auto done = try_apply(base, requests);
  if (!done) {
    const auto& [error, operation] = done.error();
    die(fmt::format("operation {} ({}): {} {}", operation, requests[operation].path, error.target,
                    error.message));
  }
  return done->next;
}

std::string shown(const Model& model, std::string_view path) {
  const auto key = parse_resource_path(path);
  if (!key) die(fmt::format("no path: {}", path));
  const auto found = model.find(*key);
  return found ? spec_to_json(found->spec) : "";
}

std::vector<Resource> all_resources(const Model& model) {
  std::vector<Resource> all = listed(model, {Collection::provider_networks, "", ""});
  append(all, listed(model, {Collection::external_networks, "", ""}));
  append(all, listed(model, {Collection::public_address_pools, "", ""}));
  for (const auto& [name, domain] : model.domains) {
    all.push_back(*model.find(RoutingDomainKey{name}));
    append(all, listed(model, {Collection::virtual_subnets, name, ""}));
    for (const auto& [subnet, unused] : domain->subnets) {
      append(all, listed(model, {Collection::lookup_records, name, subnet}));
    }
    append(all, listed(model, {Collection::customer_routes, name, ""}));
    append(all, listed(model, {Collection::network_connections, name, ""}));
    if (auto nat = model.find(NatKey{name})) all.push_back(std::move(*nat));
    append(all, listed(model, {Collection::bgp_peers, name, ""}));
    append(all, listed(model, {Collection::policy_maps, name, ""}));
    const ResourceKey single[] = {BgpAggregatesKey{name}, BgpCustomRoutesKey{name},
                                  BgpRouterKey{name}};
    for (const ResourceKey& key : single) {
      if (auto one = model.find(key)) all.push_back(std::move(*one));
    }
  }
  return all;
}

namespace {

// What the indexes of a model should be.
struct Indexes {
  CowMap<Vsid, VirtualSubnetKey> subnets_by_vsid;
  CowMap<Guid, std::string> domains_by_id;
  CowMap<PortVlan, ResourceKey> users_of_ports;
  CowMap<ProviderNetworkUse, VirtualSubnetKey> subnets_by_provider_network;
  CowMap<ExternalNetworkUse, NetworkConnectionKey> connections_by_external_network;
  CowMap<TunnelSource, std::monostate> tunnels_by_source;
  CowMap<NatNetworkUse, std::monostate> nat_by_external_network;
  CowMap<PoolUse, std::string> domains_by_pool;
  CowMap<PoolOwner, std::monostate> pools_by_owner;
  CowMap<PublicPorts, PublicPortsUser> public_ports;
  CowMap<PublicPort, MappingName> static_mappings;
};

// Whether nothing was there.
bool add_ports(Indexes& want, const std::vector<Prefix<Space::external>>& prefixes,
               const PortRange& ports, const PublicPortsUser& user) {
  bool fresh = true;
  for (const auto& prefix : prefixes) {
    for (const auto& [other, unused] : want.public_ports) {
      fresh = fresh && !(other.prefix.overlaps(prefix) && other.first <= ports.last &&
                         ports.first <= other.last);
    }
    want.public_ports.insert_or_assign(PublicPorts{prefix, ports.first, ports.last}, user);
  }
  return fresh;
}

std::string nat_fault(const DomainModel& domain, DomainModel& own, Indexes& want) {
  if (!domain.nat) return {};
  const NatKey key{domain.name};
  const NatSpec& spec = domain.nat->spec;
  own.route_count += spec.destination_prefixes.size() + spec.exclude_prefixes.size();
  for (const auto& rule : spec.outbound_rules) {
    if (rule.pool) {
      const PoolUse use{*rule.pool, domain.name};
      if (want.domains_by_pool.contains(use)) continue;
      want.domains_by_pool.insert_or_assign(use, rule.name);
      continue;
    }
    want.nat_by_external_network.insert_or_assign(NatNetworkUse{*rule.external_network, key}, {});
    if (!add_ports(want, rule.public_addresses, rule.port_range.value_or(PortRange{}),
                   {key, rule.name})) {
      return "public addresses twice: " + domain.name + " " + rule.name;
    }
  }
  for (const auto& mapping : spec.static_mappings) {
    want.nat_by_external_network.insert_or_assign(NatNetworkUse{mapping.external_network, key}, {});
    const PublicPort port{mapping.public_address, mapping.protocol, mapping.public_port};
    if (!want.static_mappings.insert_or_assign(port, MappingName{domain.name, mapping.name})) {
      return "public port twice: " + domain.name + " " + mapping.name;
    }
    const InsidePort inside{mapping.inside_address, mapping.protocol, mapping.inside_port};
    if (!own.mappings_by_inside.insert_or_assign(inside, mapping.name)) {
      return "inside port twice: " + domain.name + " " + mapping.name;
    }
    if (domain.owner_of(mapping.inside_address)) return "maps our own address: " + mapping.name;
    if (mapping.protocol != NatProtocol::any) continue;
    const Prefix<Space::external> alone(port.address, port.address.bits());
    if (!add_ports(want, {alone}, {0, 65535}, {key, mapping.name})) {
      return "public address twice: " + domain.name + " " + mapping.name;
    }
  }
  return {};
}

std::string domain_fault(const DomainModel& domain, Indexes& want) {
  DomainModel own;
  for (const auto& [name, subnet] : domain.subnets) {
    if (subnet->name != name) return "subnet name " + name;
    const VirtualSubnetKey key{domain.name, name};
    want.subnets_by_vsid.insert_or_assign(subnet->vsid(), key);
    want.subnets_by_provider_network.insert_or_assign(
        ProviderNetworkUse{subnet->spec.provider_network, subnet->vsid()}, key);
    for (const auto& prefix : subnet->spec.address_prefixes) {
      own.on_link.insert_or_assign(prefix.address(), OnLink{prefix, OnLink::Owner::subnet, name});
    }
    own.record_count += subnet->records.size();
    own.gateway_subnets += subnet->has_gateway() ? 1U : 0U;
  }
  own.route_count = domain.routes.size();
  for (const auto& [id, route] : domain.routes) {
    RouteVia via{{}, route->spec.destination_prefix};
    if (route->spec.next_hop) {
      via.via = *route->spec.next_hop;
    } else {
      via.via = *route->spec.network_connection;
    }
    own.routes_by_via.insert_or_assign(via, id);
  }
  for (const auto& [name, connection] : domain.connections) {
    const NetworkConnectionKey key{domain.name, name};
    const auto& l3 = connection->spec.l3;
    own.route_count += connection->spec.routes.size();
    for (const auto& address : l3.ip_addresses) {
      own.on_link.insert_or_assign(address.prefix().address(),
                                   OnLink{address.prefix(), OnLink::Owner::connection, name});
    }
    if (const auto& tunnel = connection->spec.tunnel) {
      want.tunnels_by_source.insert_or_assign(
          TunnelSource{tunnel->source_ip_address, connection->network, key}, {});
    } else if (l3.port) {
      want.users_of_ports.insert_or_assign(PortVlan{*l3.port, l3.vlan_id}, key);
    } else {
      want.connections_by_external_network.insert_or_assign(
          ExternalNetworkUse{*l3.external_network, *l3.mac_address}, key);
    }
  }
  if (auto fault = nat_fault(domain, own, want); !fault.empty()) return fault;
  if (!(own.mappings_by_inside == domain.mappings_by_inside)) {
    return "mappings_by_inside of " + domain.name;
  }
  if (!(own.on_link == domain.on_link)) return "on_link of " + domain.name;
  if (!(own.routes_by_via == domain.routes_by_via)) return "routes_by_via of " + domain.name;
  if (own.record_count != domain.record_count) return "record_count of " + domain.name;
  if (own.route_count != domain.route_count) return "route_count of " + domain.name;
  if (own.gateway_subnets != domain.gateway_subnets) return "gateway_subnets of " + domain.name;
  return {};
}

}  // namespace

std::string index_fault(const Model& model) {
  Indexes want;
  for (const auto& [name, network] : model.provider_networks) {
    want.users_of_ports.insert_or_assign(PortVlan{network->spec.port, network->spec.vlan_id},
                                         ProviderNetworkKey{name});
  }
  for (const auto& [name, network] : model.external_networks) {
    want.users_of_ports.insert_or_assign(PortVlan{network->spec.port, network->spec.vlan_id},
                                         ExternalNetworkKey{name});
  }
  for (const auto& [name, pool] : model.public_address_pools) {
    if (pool->name != name) return "pool name " + name;
    const PublicAddressPoolKey key{name};
    want.nat_by_external_network.insert_or_assign(NatNetworkUse{pool->spec.external_network, key},
                                                  {});
    if (pool->spec.routing_domain) {
      want.pools_by_owner.insert_or_assign(PoolOwner{*pool->spec.routing_domain, name}, {});
    }
    if (!add_ports(want, pool->spec.addresses, pool->spec.port_range, {key, {}})) {
      return "public addresses twice: pool " + name;
    }
  }
  for (const auto& [name, domain] : model.domains) {
    if (domain->name != name) return "domain name " + name;
    want.domains_by_id.insert_or_assign(*domain->spec.routing_domain_id, name);
    if (auto fault = domain_fault(*domain, want); !fault.empty()) return fault;
  }
  if (!(want.subnets_by_vsid == model.subnets_by_vsid)) return "subnets_by_vsid";
  if (!(want.domains_by_id == model.domains_by_id)) return "domains_by_id";
  if (!(want.users_of_ports == model.users_of_ports)) return "users_of_ports";
  if (!(want.subnets_by_provider_network == model.subnets_by_provider_network)) {
    return "subnets_by_provider_network";
  }
  if (!(want.connections_by_external_network == model.connections_by_external_network)) {
    return "connections_by_external_network";
  }
  if (!(want.tunnels_by_source == model.tunnels_by_source)) return "tunnels_by_source";
  if (!(want.nat_by_external_network == model.nat_by_external_network)) {
    return "nat_by_external_network";
  }
  if (!(want.domains_by_pool == model.domains_by_pool)) return "domains_by_pool";
  if (!(want.pools_by_owner == model.pools_by_owner)) return "pools_by_owner";
  if (!(want.public_ports == model.public_ports)) return "public_ports";
  if (!(want.static_mappings == model.static_mappings)) return "static_mappings";
  return {};
}

}  // namespace hnv
