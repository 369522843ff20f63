// SPDX-License-Identifier: Apache-2.0
//
// The difference of two models as rows. Stored is what was asked for (and what the server chose for
// good), not what follows from other resources: that is derived again when the store is loaded.
#include "api/resource_json.h"
#include "gateway/store.h"

namespace hnv {
namespace {

class WriteWalk {
 public:
  std::vector<StoreWrite> run(const DesiredState& before, const DesiredState& after) {
    rows("providerNetworks", before.provider_networks, after.provider_networks,
         [](const std::string& name) { return ProviderNetworkKey{name}; });
    rows("externalNetworks", before.external_networks, after.external_networks,
         [](const std::string& name) { return ExternalNetworkKey{name}; });
    rows("publicIPAddresses", before.public_address_pools, after.public_address_pools,
         [](const std::string& name) { return PublicAddressPoolKey{name}; });
    difference(before.domains, after.domains,
               [&](const std::string& name, const DomainModel* was, const DomainModel* is) {
                 domain(name, was, is);
               });
    return std::move(writes_);
  }

 private:
  // CowMap::difference with the pointers followed; nullptr where there is no value.
  template <class Map, class Differs>
  static void difference(const Map& before, const Map& after, const Differs& differs) {
    Map::difference(before, after, [&](const std::string& name, const auto* was, const auto* is) {
      differs(name, was == nullptr ? nullptr : was->get(), is == nullptr ? nullptr : is->get());
    });
  }

  template <class Map, class KeyOf>
  void rows(std::string_view kind, const Map& before, const Map& after, const KeyOf& key_of) {
    difference(before, after, [&](const std::string& name, const auto* was, const auto* is) {
      row(kind, key_of(name), was, is);
    });
  }

  // A resource's own row, when the resource itself differs (and not only what lies below it).
  template <class Value>
  void row(std::string_view kind, const ResourceKey& key, const Value* was, const Value* is) {
    if (is == nullptr) {
      writes_.emplace_back(DeleteResourceRow{resource_path(key)});
    } else if (was == nullptr || was->etag != is->etag) {
      writes_.emplace_back(
          PutResourceRow{resource_path(key), std::string(kind), spec_to_json(is->spec), is->etag});
    }
  }

  void domain(const std::string& name, const DomainModel* was, const DomainModel* is) {
    static const DomainModel kNone{};
    const DomainModel& before = was == nullptr ? kNone : *was;
    const DomainModel& after = is == nullptr ? kNone : *is;
    row("routingDomains", RoutingDomainKey{name}, was, is);
    difference(before.subnets, after.subnets,
               [&](const std::string& subnet, const SubnetModel* old_subnet,
                   const SubnetModel* new_subnet) {
                 row("virtualSubnets", VirtualSubnetKey{name, subnet}, old_subnet, new_subnet);
                 records(name, subnet, old_subnet, new_subnet);
               });
    rows("customerRoutes", before.routes, after.routes, [&](const std::string& id) {
      return CustomerRouteKey{name, id};
    });
    rows("networkConnections", before.connections, after.connections, [&](const std::string& id) {
      return NetworkConnectionKey{name, id};
    });
    if (before.nat != after.nat) row("nat", NatKey{name}, before.nat.get(), after.nat.get());
    bgp(name, before, after);
  }

  void bgp(const std::string& name, const DomainModel& before, const DomainModel& after) {
    const auto one = [&](std::string_view kind, const ResourceKey& key, const auto& was,
                         const auto& is) {
      if (was != is) row(kind, key, was.get(), is.get());
    };
    one("bgpRouter", BgpRouterKey{name}, before.bgp_router, after.bgp_router);
    rows("policyMaps", before.policy_maps, after.policy_maps, [&](const std::string& id) {
      return PolicyMapKey{name, id};
    });
    rows("bgpPeers", before.bgp_peers, after.bgp_peers, [&](const std::string& id) {
      return BgpPeerKey{name, id};
    });
    one("bgpCustomRoutes", BgpCustomRoutesKey{name}, before.bgp_custom_routes,
        after.bgp_custom_routes);
    one("bgpAggregates", BgpAggregatesKey{name}, before.bgp_aggregates, after.bgp_aggregates);
  }

  void records(const std::string& domain, const std::string& subnet, const SubnetModel* was,
               const SubnetModel* is) {
    static const LookupRecords kNone;
    LookupRecords::difference(
        was == nullptr ? kNone : was->records, is == nullptr ? kNone : is->records,
        [&](const RecordId& id, const LookupRecord*, const LookupRecord* record) {
          if (record == nullptr) {
            writes_.emplace_back(DeleteRecordRow{domain, subnet, id});
          } else {
            writes_.emplace_back(PutRecordRow{domain, subnet, id, *record});
          }
        });
  }

  std::vector<StoreWrite> writes_;
};

}  // namespace

std::vector<StoreWrite> store_writes(const DesiredState& before, const DesiredState& after) {
  return WriteWalk{}.run(before, after);
}

}  // namespace hnv
