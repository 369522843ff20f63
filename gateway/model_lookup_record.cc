// SPDX-License-Identifier: Apache-2.0
//
// Lookup records: where in the fabric a VM's address lives. By far the most frequent change (a live
// migration is one), so a put costs a few lookups and copies one chunk.
#include <set>

#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;

// The id, the type and the addresses of a record must say the same.
void check_identity(const RecordId& id, const LookupRecordSpec& spec, const Place& place,
                    Faults& faults) {
  const Ca* ca = std::get_if<Ca>(&id);
  const auto* mac = std::get_if<MacAddress>(&id);
  const auto wrong_type = [&](std::string_view must) {
    faults.invalid(Place(place, "type"),
                   fmt::format("the record {} must be {}", to_string(id), must));
  };
  switch (spec.type) {
    case LookupRecordType::static_record:
    case LookupRecordType::dynamic:
      if (ca == nullptr) {
        wrong_type(mac != nullptr ? "L2Only" : "a GatewayWildcard");
      } else if (spec.customer_address && *spec.customer_address != *ca) {
        faults.invalid(Place(place, "customerAddress"),
                       fmt::format("must be {} as in the record's id", ca->to_string()));
      }
      break;
    case LookupRecordType::gateway_wildcard:
      if (ca != nullptr || mac != nullptr) {
        wrong_type(mac != nullptr ? "L2Only" : "Static or Dynamic");
      } else if (spec.customer_address && !spec.customer_address->unspecified()) {
        faults.invalid(Place(place, "customerAddress"),
                       "a GatewayWildcard record stands for every address: leave it out");
      } else if (spec.customer_address &&
                 spec.customer_address->is_v4() == std::holds_alternative<WildcardV6>(id)) {
        faults.invalid(Place(place, "customerAddress"),
                       fmt::format("{} is the other family's: leave it out",
                                   spec.customer_address->to_string()));
      }
      break;
    case LookupRecordType::l2_only:
      if (mac == nullptr) {
        wrong_type(ca != nullptr ? "Static or Dynamic" : "a GatewayWildcard");
      } else if (*mac != spec.mac_address) {
        faults.invalid(Place(place, "macAddress"),
                       fmt::format("must be {} as in the record's id", mac->to_string()));
      } else if (spec.customer_address) {
        faults.invalid(Place(place, "customerAddress"),
                       "an L2Only record is known by its MAC address: leave it out");
      }
      break;
  }
}

void check_customer_address(const VirtualSubnetKey& key, const SubnetModel& subnet, const Ca& ca,
                            const Place& place, Faults& faults) {
  const auto* prefix = subnet.prefix_of(ca);
  if (prefix == nullptr) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} lies outside the addressPrefixes of {}", ca.to_string(),
                           resource_path(key)));
  } else if (const auto why = unfit_for_host(ca, prefix->length()); !why.empty()) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} {}; it must be a host's address", ca.to_string(), why));
  } else if (subnet.owns(ca)) {
    faults.add(
        ErrorCode::conflict, place,
        fmt::format("{} is the gateway's own address in {}", ca.to_string(), resource_path(key)));
  }
}

void check_provider_address(const ProviderNetworkModel& network, const VirtualSubnetSpec& subnet,
                            const LookupRecordSpec& spec, const Place& place, Faults& faults) {
  const auto& pa = spec.provider_address;
  if (network.owns(pa)) {
    if (spec.type == LookupRecordType::gateway_wildcard) return;  // the gateway itself
    faults.add(
        ErrorCode::unfit, place,
        fmt::format("{} is the gateway's own: only a GatewayWildcard may name it", pa.to_string()));
  } else if (const auto why = unfit_for_host(pa); !why.empty()) {
    faults.invalid(place, fmt::format("{} {}; it must be a host's address", pa.to_string(), why));
  } else if (!network.reaches(pa)) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} is on no provider network of this subnet: it must be on-link or "
                           "routed in {}",
                           pa.to_string(), resource_path(ProviderNetworkKey{network.name})));
  } else if (pa.family() != subnet.provider_address->family()) {
    faults.add(ErrorCode::unfit, place,
               fmt::format("{} and the subnet's providerAddress {} must be of one family",
                           pa.to_string(), subnet.provider_address->to_string()));
  }
}

}  // namespace

Outcome ModelDraft::put(const LookupRecordKey& key, const LookupRecordSpec& spec, Faults& faults) {
  return put_record(key, spec, Place{}, faults);
}

Outcome ModelDraft::put_record(const LookupRecordKey& key, const LookupRecordSpec& spec,
                               const Place& place, Faults& faults) {
  const size_t faults_before = faults.count();
  const DomainModel* domain = state_.domain(key.domain);
  const SubnetModel& subnet = *domain->subnet(key.subnet);
  const LookupRecord* before = subnet.records.find(key.id);

  check_identity(key.id, spec, place, faults);
  check_station_mac(spec.mac_address, Place(place, "macAddress"), faults);
  if (const Ca* ca = std::get_if<Ca>(&key.id)) {
    check_customer_address({key.domain, key.subnet}, subnet, *ca, Place(place, "customerAddress"),
                           faults);
  }
  check_provider_address(*state_.provider_network(subnet.spec.provider_network), subnet.spec, spec,
                         Place(place, "providerAddress"), faults);
  if (before == nullptr && domain->record_count >= domain->spec.limits.lookup_records) {
    faults.add(ErrorCode::limit_reached, place,
               fmt::format("{} may have {} lookup records (limits.lookupRecords)",
                           resource_path(RoutingDomainKey{key.domain}),
                           domain->spec.limits.lookup_records));
  }
  if (faults.count() != faults_before) return Outcome::replaced;

  LookupRecord after{spec.provider_address, spec.mac_address, spec.type, etag_};
  if (before != nullptr) {
    after.etag = before->etag;
    if (*before == after) return Outcome::replaced;
    after.etag = etag_;
  } else {
    ++edit_domain(key.domain).record_count;
  }
  const bool created = before == nullptr;
  edit_subnet(key.domain, key.subnet).records.insert_or_assign(key.id, after);
  changed_ = true;
  return created ? Outcome::created : Outcome::replaced;
}

Result<Outcome> ModelDraft::erase(const LookupRecordKey& key) {
  const SubnetModel* subnet = state_.subnet(key.domain, key.subnet);
  if (subnet == nullptr || !subnet->records.contains(key.id)) return Outcome::already_absent;
  --edit_domain(key.domain).record_count;
  edit_subnet(key.domain, key.subnet).records.erase(key.id);
  return Outcome::deleted;
}

void ModelDraft::replace_records(const ReplaceRecords& all, Faults& faults) {
  const auto& [domain, subnet] = std::tie(all.subnet.domain, all.subnet.subnet);
  std::set<RecordId> kept;
  for (const auto& [id, spec] : all.records) kept.insert(id);
  std::vector<RecordId> gone;
  for (const auto& [id, record] : state_.subnet(domain, subnet)->records) {
    if (kept.count(id) == 0) gone.push_back(id);
  }
  for (const auto& id : gone) {
    pause();
    (void)erase(LookupRecordKey{domain, subnet, id});
  }

  const Place body;
  const Place list(body, "value");
  for (size_t i = 0; i < all.records.size(); ++i) {
    pause();
    const auto& [id, spec] = all.records[i];
    const Place place(list, i);
    const LookupRecordKey key{domain, subnet, id};
    if (kept.erase(id) == 0) {
      faults.invalid(place, fmt::format("the record {} is given twice", to_string(id)));
      continue;
    }
    (void)put_record(key, spec, place, faults);
  }
}

}  // namespace hnv
