// SPDX-License-Identifier: Apache-2.0
//
// The next generation while it is being made. A draft starts as a copy of a model (which shares
// everything) and takes operations one by one; each sees what the earlier ones did. An operation
// that fails leaves the draft unusable: the change fails as a whole and the draft is dropped. So
// the code below withdraws a resource from the indexes first, checks the new one against what is
// left, and enters it, without having to undo.
//
// One file per resource: gateway/model_provider_network.cc and so on. Faults of one body are
// collected; their targets are JSON pointers into that body.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "api/json_decode.h"
#include "gateway/model.h"

namespace hnv {

class ModelDraft {
 public:
  ModelDraft(const DesiredState& base, const PortCatalog& ports, const ServerChoices& choices,
             const Pause& pause)
      : state_(base), ports_(ports), choices_(choices), pause_(pause) {}

  void pause() const {
    if (pause_) pause_();
  }

  // The etag that changed resources get, and the operation that is at work (for `finish`).
  void begin(uint64_t etag, size_t operation) {
    etag_ = etag;
    operation_ = operation;
  }

  // Creates or replaces. Notes why not in `faults`. REQUIRES that the parent exists.
  Outcome put(const ProviderNetworkKey& key, ProviderNetworkSpec spec, Faults& faults);
  Outcome put(const ExternalNetworkKey& key, ExternalNetworkSpec spec, Faults& faults);
  Outcome put(const RoutingDomainKey& key, RoutingDomainSpec spec, Faults& faults);
  Outcome put(const VirtualSubnetKey& key, VirtualSubnetSpec spec, Faults& faults);
  Outcome put(const LookupRecordKey& key, const LookupRecordSpec& spec, Faults& faults);
  Outcome put(const CustomerRouteKey& key, CustomerRouteSpec spec, Faults& faults);
  Outcome put(const NetworkConnectionKey& key, NetworkConnectionSpec spec, Faults& faults);
  Outcome put(const PublicAddressPoolKey& key, PublicAddressPoolSpec spec, Faults& faults);
  Outcome put(const NatKey& key, NatSpec spec, Faults& faults);
  Outcome put(const BgpRouterKey& key, const BgpRouterSpec& spec, Faults& faults);
  Outcome put(const PolicyMapKey& key, PolicyMapSpec spec, Faults& faults);
  Outcome put(const BgpPeerKey& key, BgpPeerSpec spec, Faults& faults);
  Outcome put(const BgpCustomRoutesKey& key, BgpCustomRoutesSpec spec, Faults& faults);
  Outcome put(const BgpAggregatesKey& key, BgpAggregatesSpec spec, Faults& faults);

  Result<Outcome> erase(const ProviderNetworkKey& key);
  Result<Outcome> erase(const ExternalNetworkKey& key);
  Result<Outcome> erase(const RoutingDomainKey& key);
  Result<Outcome> erase(const VirtualSubnetKey& key);
  Result<Outcome> erase(const LookupRecordKey& key);
  Result<Outcome> erase(const CustomerRouteKey& key);
  Result<Outcome> erase(const NetworkConnectionKey& key);
  Result<Outcome> erase(const PublicAddressPoolKey& key);
  Result<Outcome> erase(const NatKey& key);
  Result<Outcome> erase(const BgpRouterKey& key);
  Result<Outcome> erase(const PolicyMapKey& key);
  Result<Outcome> erase(const BgpPeerKey& key);
  Result<Outcome> erase(const BgpCustomRoutesKey& key);
  Result<Outcome> erase(const BgpAggregatesKey& key);

  // REQUIRES that the subnet exists. Targets are pointers "/value/INDEX/…".
  void replace_records(const ReplaceRecords& all, Faults& faults);

  // What can be said only when all operations are done. The error names its operation.
  [[nodiscard]] tl::expected<void, ChangeError> finish(const DesiredState& base) const;

  [[nodiscard]] const DesiredState& state() const { return state_; }
  [[nodiscard]] bool changed() const { return changed_; }
  [[nodiscard]] DesiredState seal(uint64_t generation) &&;

 private:
  // A domain or subnet of this draft's own, for changing; the first call copies it.
  DomainModel& edit_domain(const std::string& name);
  SubnetModel& edit_subnet(const std::string& domain, const std::string& name);

  // `place` is the object that has "port" and "vlanId".
  const PortInfo* find_port(const std::string& name, const Place& place, Faults& faults) const;
  void claim_port(const PortVlan& port, const ResourceKey& user, const Place& place,
                  Faults& faults);

  void choose_for_subnet(const VirtualSubnetKey& key, VirtualSubnetSpec& spec,
                         const SubnetModel* before, Faults& faults);
  void choose_vsid(const VirtualSubnetKey& key, VirtualSubnetSpec& spec, const SubnetModel* before,
                   Faults& faults);
  std::optional<Vsid> free_vsid();
  void withdraw_subnet(DomainModel& domain, const SubnetModel& subnet);
  void enter_subnet(DomainModel& domain, const std::shared_ptr<SubnetModel>& subnet);
  void check_subnet_contents(const DomainModel& domain, const SubnetModel& before,
                             const SubnetModel& after, Faults& faults) const;
  void check_subnets_on(const ProviderNetworkModel& before, const ProviderNetworkModel& after,
                        Faults& faults) const;
  Outcome put_record(const LookupRecordKey& key, const LookupRecordSpec& spec, const Place& place,
                     Faults& faults);
  void attach_connection(const NetworkConnectionKey& key, L3ConnectionSpec& l3, const Place& place,
                         Faults& faults);
  void withdraw_connection(DomainModel& domain, const ConnectionModel& connection);
  void check_connection_routes(const DomainModel& domain, const NetworkConnectionSpec& spec,
                               Faults& faults) const;
  Outcome put_tunnel(const NetworkConnectionKey& key, NetworkConnectionSpec spec,
                     const std::shared_ptr<const ConnectionModel>& before, Faults& faults);
  // The external network that has the address as its only one; notes when there is none. `place` is
  // the address.
  std::string find_vpn_network(const IpAddress<Space::external>& source, const Place& place,
                               Faults& faults) const;
  void withdraw_tunnel(const NetworkConnectionKey& key, const ConnectionModel& connection);
  // Tunnels whose address the network does not have afterwards (nullptr: it goes).
  void check_tunnels_on(const std::string& network, const ExternalNetworkSpec& before,
                        const ExternalNetworkSpec* after, const Place& place, Faults& faults) const;
  // Ports for NAT that a tunnel's IKE has.
  void check_no_ike(const PublicPorts& wanted, const Place& place, Faults& faults) const;

  // The network that public addresses are of; notes when there is none. `place` is the object that
  // has "externalNetwork".
  const ExternalNetworkModel* find_public_network(const std::string& name, const Place& place,
                                                  Faults& faults) const;
  // Enters `wanted` for `user`. Notes what of it others have. Where it is for `domain` alone, other
  // domains' static mappings in it are refused; nullptr: any may lie in it.
  void claim_public_ports(const PublicPorts& wanted, const PublicPortsUser& user,
                          const std::string* domain, const Place& place, Faults& faults);
  void check_foreign_mappings(const PublicPorts& wanted, const std::string& domain,
                              const Place& place, Faults& faults) const;
  void withdraw_pool(const PublicAddressPoolSpec& spec, const PublicAddressPoolKey& key);
  void check_users_of(const PublicAddressPoolModel& after, Faults& faults) const;
  void check_public_users(const ExternalNetworkModel& before, const ExternalNetworkModel& after,
                          Faults& faults) const;
  void enter_rule(const NatKey& key, const OutboundRuleSpec& rule, const Place& place,
                  Faults& faults);
  void enter_mapping(DomainModel& domain, const StaticMappingSpec& mapping, const Place& place,
                     Faults& faults);
  void claim_mapping(const DomainModel& domain, const StaticMappingSpec& mapping,
                     const Place& place, Faults& faults);
  void check_owner_of_port(const std::string& domain, const PublicPorts& port, const Place& place,
                           Faults& faults) const;
  void withdraw_nat(DomainModel& domain);

  DesiredState state_;
  const PortCatalog& ports_;
  const ServerChoices& choices_;
  const Pause& pause_;
  uint64_t etag_ = 0;
  size_t operation_ = 0;
  bool changed_ = false;
  uint32_t next_vsid_ = Vsid::kMin;  // where the search for a free one goes on
  // What this draft may change in place. Held by state_ too.
  std::map<std::string, std::shared_ptr<DomainModel>> own_domains_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<SubnetModel>> own_subnets_;
  // Domains whose gateway subnets need a look at the end: the operations that took one away, and
  // that put a subnet which needs one.
  struct GatewayWatch {
    std::optional<size_t> removed_by, needed_by;
  };
  std::map<std::string, GatewayWatch> gateway_watch_;
};

}  // namespace hnv
