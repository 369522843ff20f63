// SPDX-License-Identifier: Apache-2.0
//
// What differs between two generations. Both share everything that no change in between touched, so
// walking them side by side and skipping what is one and the same costs what the changes cost.
#include "gateway/model.h"

namespace hnv {
namespace {

class DifferenceWalk {
 public:
  explicit DifferenceWalk(const Pause& pause) : pause_(pause) {}

  std::vector<Touched> run(const DesiredState& before, const DesiredState& after) {
    CowMap<std::string, std::shared_ptr<const ProviderNetworkModel>>::difference(
        before.provider_networks, after.provider_networks,
        [&](const std::string& name, const auto*, const auto*) {
          touched_.emplace_back(TouchedProviderNetwork{name});
        });
    CowMap<std::string, std::shared_ptr<const ExternalNetworkModel>>::difference(
        before.external_networks, after.external_networks,
        [&](const std::string& name, const auto*, const auto*) {
          touched_.emplace_back(TouchedExternalNetwork{name});
        });
    CowMap<std::string, std::shared_ptr<const PublicAddressPoolModel>>::difference(
        before.public_address_pools, after.public_address_pools,
        [&](const std::string& name, const auto*, const auto*) {
          touched_.emplace_back(TouchedPool{name});
        });
    CowMap<std::string, std::shared_ptr<const DomainModel>>::difference(
        before.domains, after.domains,
        [&](const std::string& name, const auto* old_domain, const auto* new_domain) {
          static const DomainModel kNone{};
          domain(name, old_domain == nullptr ? kNone : **old_domain,
                 new_domain == nullptr ? kNone : **new_domain);
        });
    return std::move(touched_);
  }

 private:
  void domain(const std::string& name, const DomainModel& before, const DomainModel& after) {
    const size_t at = touched_.size();
    bool structural = before.etag != after.etag || !(before.connections == after.connections);
    if (before.nat != after.nat) touched_.emplace_back(TouchedNat{name});
    if (before.bgp_router != after.bgp_router || !(before.policy_maps == after.policy_maps) ||
        !(before.bgp_peers == after.bgp_peers) ||
        before.bgp_custom_routes != after.bgp_custom_routes ||
        before.bgp_aggregates != after.bgp_aggregates) {
      touched_.emplace_back(TouchedBgp{name});
    }
    decltype(before.routes)::difference(before.routes, after.routes,
                                        [&](const std::string& id, const auto*, const auto*) {
                                          touched_.emplace_back(TouchedRoute{name, id});
                                        });
    CowMap<std::string, std::shared_ptr<const SubnetModel>>::difference(
        before.subnets, after.subnets,
        [&](const std::string& subnet, const auto* old_subnet, const auto* new_subnet) {
          static const SubnetModel kNone{};
          const SubnetModel& was = old_subnet == nullptr ? kNone : **old_subnet;
          const SubnetModel& is = new_subnet == nullptr ? kNone : **new_subnet;
          structural = structural || was.etag != is.etag;
          LookupRecords::difference(was.records, is.records,
                                    [&](const RecordId& id, const auto*, const auto*) {
                                      if (pause_) pause_();
                                      touched_.emplace_back(TouchedRecord{name, subnet, id});
                                    });
        });
    if (structural) {
      touched_.insert(touched_.begin() + static_cast<std::ptrdiff_t>(at), TouchedDomain{name});
    }
  }

  const Pause& pause_;
  std::vector<Touched> touched_;
};

}  // namespace

std::vector<Touched> differences(const DesiredState& before, const DesiredState& after,
                                 const Pause& pause) {
  return DifferenceWalk(pause).run(before, after);
}

}  // namespace hnv
