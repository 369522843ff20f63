// SPDX-License-Identifier: Apache-2.0
//
// A domain's BGP: its router, and what goes with one (peers, announced routes, aggregates); policy
// maps may be there without. What a body can be judged by alone check() of bgp/bgp_spec.h has
// judged. Whether peers' and local addresses lie anywhere is not judged: interfaces come and go
// without BGP being asked, and the peer's status says what became of it.
#include <utility>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

constexpr size_t kMaxBgpPeers = 64;    // of one domain
constexpr size_t kMaxPolicyMaps = 64;  // likewise

// What check() of a whole domain says of one resource, at its place in that one's body; what it
// says of others would be said there if it were new.
void check_whole(const DomainModel& domain, const std::string& resource, std::string_view list,
                 Faults& faults) {
  const auto whole = bgp_of(domain);
  if (!whole) return;
  for (ErrorDetail& detail : check(*whole)) {
    const bool own = detail.target == resource || detail.target.starts_with(resource + '/');
    if (own) {
      detail.target = std::string(list) + detail.target.substr(resource.size());
      detail.code = ErrorCode::unfit;
      faults.add(std::move(detail));
    } else {
      faults.add(
          {ErrorCode::conflict,
           fmt::format("does not go with {}{}: {}", resource_path(RoutingDomainKey{domain.name}),
                       detail.target, detail.message),
           std::string(list)});
    }
  }
}

void require_router(const DomainModel& domain, Faults& faults) {
  if (domain.bgp_router != nullptr) return;
  faults.add(
      ErrorCode::unfit, Place(),
      fmt::format("{} does not exist: create it first", resource_path(BgpRouterKey{domain.name})));
}

void check_room(size_t used, size_t most, std::string_view what, const DomainModel& domain,
                Faults& faults) {
  if (used < most) return;
  faults.add(ErrorCode::limit_reached, Place(),
             fmt::format("{} has {} {} already, and may not have more",
                         resource_path(RoutingDomainKey{domain.name}), used, what));
}

// What needs the router, if there is anything.
std::optional<ResourceKey> router_user(const DomainModel& domain) {
  if (!domain.bgp_peers.empty()) {
    return BgpPeerKey{domain.name, domain.bgp_peers.begin()->first};
  }
  if (domain.bgp_custom_routes != nullptr) return BgpCustomRoutesKey{domain.name};
  if (domain.bgp_aggregates != nullptr) return BgpAggregatesKey{domain.name};
  return std::nullopt;
}

template <class Spec>
Outcome outcome_of(const std::shared_ptr<const BgpModel<Spec>>& before) {
  return before != nullptr ? Outcome::replaced : Outcome::created;
}

}  // namespace

std::optional<BgpDomainSpec> bgp_of(const DomainModel& domain) {
  if (domain.bgp_router == nullptr) return std::nullopt;
  BgpDomainSpec spec;
  spec.router = domain.bgp_router->spec;
  for (const auto& [name, peer] : domain.bgp_peers) spec.peers.emplace(name, peer->spec);
  for (const auto& [name, map] : domain.policy_maps) spec.policy_maps.emplace(name, map->spec);
  if (domain.bgp_custom_routes != nullptr) {
    spec.custom_routes = domain.bgp_custom_routes->spec.routes;
  }
  if (domain.bgp_aggregates != nullptr) spec.aggregates = domain.bgp_aggregates->spec.aggregates;
  return spec;
}

Outcome ModelDraft::put(const BgpRouterKey& key, const BgpRouterSpec& spec, Faults& faults) {
  const auto before = state_.domain(key.domain)->bgp_router;
  if (before && before->spec == spec) return Outcome::replaced;
  DomainModel& domain = edit_domain(key.domain);
  domain.bgp_router = std::make_shared<const BgpModel<BgpRouterSpec>>(spec, etag_);
  check_whole(domain, "/bgpRouter", "", faults);
  return outcome_of(before);
}

Outcome ModelDraft::put(const PolicyMapKey& key, PolicyMapSpec spec, Faults& faults) {
  const auto* stored = state_.domain(key.domain)->policy_maps.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  if (before && before->spec == spec) return Outcome::replaced;
  DomainModel& domain = edit_domain(key.domain);
  if (!before) check_room(domain.policy_maps.size(), kMaxPolicyMaps, "policy maps", domain, faults);
  if (!good_bgp_name(key.name)) {
    faults.add(ErrorCode::invalid_value, Place(), "a policy map's name has 1 to 63 characters");
  }
  domain.policy_maps.insert_or_assign(
      key.name, std::make_shared<const BgpModel<PolicyMapSpec>>(std::move(spec), etag_));
  check_whole(domain, "/policyMaps/" + key.name, "", faults);
  return outcome_of(before);
}

Outcome ModelDraft::put(const BgpPeerKey& key, BgpPeerSpec spec, Faults& faults) {
  const auto* stored = state_.domain(key.domain)->bgp_peers.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  if (!spec.password) {
    if (before) spec.password = before->spec.password;
  } else if (spec.password->empty()) {
    spec.password = SharedSecret();
  }
  if (before && before->spec == spec) return Outcome::replaced;
  DomainModel& domain = edit_domain(key.domain);
  require_router(domain, faults);
  if (!before) check_room(domain.bgp_peers.size(), kMaxBgpPeers, "peers", domain, faults);
  domain.bgp_peers.insert_or_assign(
      key.name, std::make_shared<const BgpModel<BgpPeerSpec>>(std::move(spec), etag_));
  check_whole(domain, "/bgpPeers/" + key.name, "", faults);
  return outcome_of(before);
}

Outcome ModelDraft::put(const BgpCustomRoutesKey& key, BgpCustomRoutesSpec spec, Faults& faults) {
  const auto before = state_.domain(key.domain)->bgp_custom_routes;
  if (before && before->spec == spec) return Outcome::replaced;
  DomainModel& domain = edit_domain(key.domain);
  require_router(domain, faults);
  domain.bgp_custom_routes =
      std::make_shared<const BgpModel<BgpCustomRoutesSpec>>(std::move(spec), etag_);
  check_whole(domain, "/bgpCustomRoutes", "/routes", faults);
  return outcome_of(before);
}

Outcome ModelDraft::put(const BgpAggregatesKey& key, BgpAggregatesSpec spec, Faults& faults) {
  const auto before = state_.domain(key.domain)->bgp_aggregates;
  if (before && before->spec == spec) return Outcome::replaced;
  DomainModel& domain = edit_domain(key.domain);
  require_router(domain, faults);
  domain.bgp_aggregates =
      std::make_shared<const BgpModel<BgpAggregatesSpec>>(std::move(spec), etag_);
  check_whole(domain, "/bgpAggregates", "/aggregates", faults);
  return outcome_of(before);
}

Result<Outcome> ModelDraft::erase(const BgpRouterKey& key) {
  const DomainModel* domain = state_.domain(key.domain);
  if (domain == nullptr || domain->bgp_router == nullptr) return Outcome::already_absent;
  if (const auto user = router_user(*domain)) {
    return fail(ErrorCode::conflict,
                fmt::format("{} needs it: delete that first", resource_path(*user)),
                resource_path(key));
  }
  edit_domain(key.domain).bgp_router = nullptr;
  return Outcome::deleted;
}

Result<Outcome> ModelDraft::erase(const PolicyMapKey& key) {
  const DomainModel* domain = state_.domain(key.domain);
  if (domain == nullptr || !domain->policy_maps.contains(key.name)) return Outcome::already_absent;
  for (const auto& [name, peer] : domain->bgp_peers) {
    if (peer->spec.policy_map_in != key.name && peer->spec.policy_map_out != key.name) continue;
    return fail(ErrorCode::conflict,
                fmt::format("{} names it: delete or change that first",
                            resource_path(BgpPeerKey{key.domain, name})),
                resource_path(key));
  }
  edit_domain(key.domain).policy_maps.erase(key.name);
  return Outcome::deleted;
}

Result<Outcome> ModelDraft::erase(const BgpPeerKey& key) {
  const DomainModel* domain = state_.domain(key.domain);
  if (domain == nullptr || !domain->bgp_peers.contains(key.name)) return Outcome::already_absent;
  edit_domain(key.domain).bgp_peers.erase(key.name);
  return Outcome::deleted;
}

Result<Outcome> ModelDraft::erase(const BgpCustomRoutesKey& key) {
  const DomainModel* domain = state_.domain(key.domain);
  if (domain == nullptr || domain->bgp_custom_routes == nullptr) return Outcome::already_absent;
  edit_domain(key.domain).bgp_custom_routes = nullptr;
  return Outcome::deleted;
}

Result<Outcome> ModelDraft::erase(const BgpAggregatesKey& key) {
  const DomainModel* domain = state_.domain(key.domain);
  if (domain == nullptr || domain->bgp_aggregates == nullptr) return Outcome::already_absent;
  edit_domain(key.domain).bgp_aggregates = nullptr;
  return Outcome::deleted;
}

}  // namespace hnv
