// SPDX-License-Identifier: Apache-2.0
//
// A change, operation by operation: precondition, parent, the resource's own checks; at the end
// what only the whole change can be judged by. And the way back from a store, through the same
// checks.
#include <algorithm>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

// RFC 9110 §13.1. `etag` is nullopt for a resource that does not exist.
Result<void> check_precondition(const ResourceKey& key, const Precondition& precondition,
                                const std::optional<uint64_t>& etag) {
  const auto among = [&](const std::vector<uint64_t>& etags) {
    return etag && std::find(etags.begin(), etags.end(), *etag) != etags.end();
  };
  const auto refused = [&](std::string_view header) {
    const std::string is = etag ? fmt::format("its ETag is \"{}\"", *etag) : "it does not exist";
    return fail(ErrorCode::precondition_failed,
                fmt::format("{} does not hold: {}; read it again", header, is), resource_path(key));
  };
  if (precondition.if_match_any && !etag) return refused("If-Match");
  if (precondition.if_match && !among(*precondition.if_match)) return refused("If-Match");
  if (precondition.if_none_match_any && etag) return refused("If-None-Match");
  if (precondition.if_none_match && among(*precondition.if_none_match)) {
    return refused("If-None-Match");
  }
  return {};
}

Result<void> require_domain(const DesiredState& state, const std::string& domain) {
  if (state.domain(domain) != nullptr) return {};
  return fail(ErrorCode::not_found, "this routing domain does not exist: create it first",
              resource_path(RoutingDomainKey{domain}));
}
Result<void> require_subnet(const DesiredState& state, const std::string& domain,
                            const std::string& subnet) {
  if (auto found = require_domain(state, domain); !found) return found;
  if (state.subnet(domain, subnet) != nullptr) return {};
  return fail(ErrorCode::not_found, "this virtual subnet does not exist: create it first",
              resource_path(VirtualSubnetKey{domain, subnet}));
}

// What a resource lies in must exist.
struct RequireParent {
  const DesiredState& state;

  Result<void> operator()(const ProviderNetworkKey& /*key*/) const { return {}; }
  Result<void> operator()(const ExternalNetworkKey& /*key*/) const { return {}; }
  Result<void> operator()(const RoutingDomainKey& /*key*/) const { return {}; }
  Result<void> operator()(const VirtualSubnetKey& k) const {
    return require_domain(state, k.domain);
  }
  Result<void> operator()(const LookupRecordKey& k) const {
    return require_subnet(state, k.domain, k.subnet);
  }
  Result<void> operator()(const CustomerRouteKey& k) const {
    return require_domain(state, k.domain);
  }
  Result<void> operator()(const NetworkConnectionKey& k) const {
    return require_domain(state, k.domain);
  }
  Result<void> operator()(const PublicAddressPoolKey& /*key*/) const { return {}; }
  Result<void> operator()(const NatKey& k) const { return require_domain(state, k.domain); }
  Result<void> operator()(const BgpRouterKey& k) const { return require_domain(state, k.domain); }
  Result<void> operator()(const PolicyMapKey& k) const { return require_domain(state, k.domain); }
  Result<void> operator()(const BgpPeerKey& k) const { return require_domain(state, k.domain); }
  Result<void> operator()(const BgpCustomRoutesKey& k) const {
    return require_domain(state, k.domain);
  }
  Result<void> operator()(const BgpAggregatesKey& k) const {
    return require_domain(state, k.domain);
  }
};

// The spec that goes with each kind of key (ResourceSpec stands in the order of ResourceKey).
template <class Key>
struct SpecOf;
template <>
struct SpecOf<ProviderNetworkKey> {
  using type = ProviderNetworkSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<ExternalNetworkKey> {
  using type = ExternalNetworkSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<RoutingDomainKey> {
  using type = RoutingDomainSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<VirtualSubnetKey> {
  using type = VirtualSubnetSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<LookupRecordKey> {
  using type = LookupRecordSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<CustomerRouteKey> {
  using type = CustomerRouteSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<NetworkConnectionKey> {
  using type = NetworkConnectionSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<PublicAddressPoolKey> {
  using type = PublicAddressPoolSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<NatKey> {
  using type = NatSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<BgpRouterKey> {
  using type = BgpRouterSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<PolicyMapKey> {
  using type = PolicyMapSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<BgpPeerKey> {
  using type = BgpPeerSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<BgpCustomRoutesKey> {
  using type = BgpCustomRoutesSpec;  // NOLINT(readability-identifier-naming)
};
template <>
struct SpecOf<BgpAggregatesKey> {
  using type = BgpAggregatesSpec;  // NOLINT(readability-identifier-naming)
};

Result<Outcome> put_resource(ModelDraft& draft, const ResourceKey& key, const ResourceSpec& spec) {
  if (const auto parent = std::visit(RequireParent{draft.state()}, key); !parent) {
    return tl::make_unexpected(parent.error());
  }
  assert(key.index() == spec.index());
  Faults faults;
  const Outcome outcome = std::visit(
      [&]<class Key>(const Key& k) {
        return draft.put(k, std::get<typename SpecOf<Key>::type>(spec), faults);
      },
      key);
  if (!faults.empty()) return tl::make_unexpected(std::move(faults).to_error());
  return outcome;
}

struct ApplyOperation {
  ModelDraft& draft;

  Result<Applied::Item> operator()(const Put& put) const {
    const auto etag = draft.state().etag_of(put.key);
    if (const auto ok = check_precondition(put.key, put.precondition, etag); !ok) {
      return tl::make_unexpected(ok.error());
    }
    const auto outcome = put_resource(draft, put.key, put.spec);
    if (!outcome) return tl::make_unexpected(outcome.error());
    return Applied::Item{*outcome, draft.state().resource(put.key)};
  }

  Result<Applied::Item> operator()(const Delete& erase) const {
    const auto etag = draft.state().etag_of(erase.key);
    if (const auto ok = check_precondition(erase.key, erase.precondition, etag); !ok) {
      return tl::make_unexpected(ok.error());
    }
    const auto outcome = std::visit([&](const auto& key) { return draft.erase(key); }, erase.key);
    if (!outcome) return tl::make_unexpected(outcome.error());
    return Applied::Item{*outcome, std::nullopt};
  }

  Result<Applied::Item> operator()(const ReplaceRecords& all) const {
    const auto subnet = require_subnet(draft.state(), all.subnet.domain, all.subnet.subnet);
    if (!subnet) return tl::make_unexpected(subnet.error());
    Faults faults;
    draft.replace_records(all, faults);
    if (!faults.empty()) return tl::make_unexpected(std::move(faults).to_error());
    return Applied::Item{Outcome::replaced, std::nullopt};
  }
};

}  // namespace

tl::expected<Transition, ChangeError> apply(const ModelPtr& base, const Change& change,
                                            const PortCatalog& ports, const ServerChoices& choices,
                                            const Pause& pause) {
  const uint64_t generation = base->generation() + 1;
  ModelDraft draft(*base, ports, choices, pause);
  Applied applied;
  applied.items.reserve(change.operations.size());
  for (size_t i = 0; i < change.operations.size(); ++i) {
    draft.pause();
    draft.begin(generation, i);
    auto item = std::visit(ApplyOperation{draft}, change.operations[i]);
    if (!item) return tl::make_unexpected(ChangeError{std::move(item).error(), i});
    applied.items.push_back(std::move(*item));
  }
  if (auto whole = draft.finish(*base); !whole) return tl::make_unexpected(whole.error());

  applied.generation = draft.changed() ? generation : base->generation();
  auto next =
      draft.changed() ? std::make_shared<const Model>(std::move(draft).seal(generation)) : base;
  return Transition{std::move(next), std::move(applied)};
}

Result<ModelPtr> restore(uint64_t generation, const std::vector<Resource>& resources,
                         const PortCatalog& ports, const ServerChoices& choices) {
  // The order in which resources refer to each other: that of ResourceKey, but for routes, which
  // may lead through connections.
  constexpr size_t kKinds[] = {0, 1, 2, 3, 4, 6, 5, 7, 8, 9, 10, 11, 12, 13};
  static_assert(std::size(kKinds) == std::variant_size_v<ResourceKey>);
  std::vector<const Resource*> ordered;
  ordered.reserve(resources.size());
  for (const size_t kind : kKinds) {
    for (const auto& resource : resources) {
      if (resource.key.index() == kind) ordered.push_back(&resource);
    }
  }

  const Model nothing;
  const Pause without_pause;
  ModelDraft draft(nothing, ports, choices, without_pause);
  const auto unfit = [](const std::string& path, Error error) {
    const std::string where = error.target.empty() ? "" : " " + error.target;
    error.message = fmt::format("stored resource {}{}: {}", path, where, error.message);
    error.target = path;
    return tl::make_unexpected(std::move(error));
  };
  for (size_t i = 0; i < ordered.size(); ++i) {
    draft.begin(ordered[i]->etag, i);
    auto put = put_resource(draft, ordered[i]->key, ordered[i]->spec);
    if (!put) return unfit(resource_path(ordered[i]->key), std::move(put).error());
  }
  if (auto whole = draft.finish(nothing); !whole) {
    return unfit(resource_path(ordered[whole.error().operation]->key), whole.error().error);
  }
  return std::make_shared<const Model>(std::move(draft).seal(generation));
}

}  // namespace hnv
