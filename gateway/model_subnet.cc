// SPDX-License-Identifier: Apache-2.0
//
// Virtual subnets: a VSID in a domain, its prefixes, and the gateway's own addresses there.
//
// Prefixes of one domain never overlap, so an address belongs to at most one subnet or connection;
// DomainModel::on_link says which. Domains do not know of each other: only VSIDs are shared.
#include <algorithm>

#include "compartments/router_advertisement.h"
#include "gateway/model_checks.h"
#include "gateway/model_draft.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;

// The n-th usable address of a prefix, 1 or 2; nullopt when it is too small. The first one of a
// subnet is nobody's (IPv4: the network's; IPv6: the anycast address of its routers), but of two
// addresses both count (RFC 3021, RFC 6164).
std::optional<Ca> usable_address(const Prefix<Space::customer>& prefix, uint32_t n) {
  const unsigned host_bits = prefix.address().bits() - prefix.length();
  const bool v4 = prefix.family() == Family::ipv4;
  const uint64_t nobodys = v4 ? 2 : 1;
  const uint64_t size = uint64_t{1} << std::min(host_bits, 62U);
  if (n > (size <= 2 ? size : size - nobodys)) return std::nullopt;
  const uint32_t step = size <= 2 ? n - 1 : n;
  if (v4) return CaAddress(prefix.address().v4().value() + step);
  auto bytes = prefix.address().bytes();
  bytes[15] = static_cast<uint8_t>(bytes[15] + step);
  return CaAddress6(bytes);
}

// Where the gateway stands when nobody says (api.md): as the subnet's router at the first address,
// as a neighbour of the hosts' distributed router (which has the first) at the second.
std::vector<Ca> default_gateway_addresses(const VirtualSubnetSpec& spec, Faults& faults) {
  const Place body;
  const Place list(body, "addressPrefixes");
  const uint32_t n = spec.router == SubnetRouter::gateway ? 1 : 2;
  std::vector<Ca> addresses;
  for (size_t i = 0; i < spec.address_prefixes.size(); ++i) {
    if (const auto address = usable_address(spec.address_prefixes[i], n)) {
      addresses.push_back(*address);
    } else {
      faults.add(ErrorCode::unfit, Place(list, i),
                 fmt::format("{} is too small for a gateway address: give gatewayAddresses",
                             spec.address_prefixes[i].to_string()));
    }
  }
  return addresses;
}

void check_gateway_addresses(const SubnetModel& subnet, Faults& faults) {
  const Place body;
  const Place list(body, "gatewayAddresses");
  if (!subnet.has_gateway()) {
    if (!subnet.gateway_addresses.empty()) {
      faults.add(ErrorCode::unfit, list,
                 "a vm subnet with the hosts' distributed router has no gateway address: leave it "
                 "out, or say \"router\": \"gateway\"");
    }
    return;
  }
  if (subnet.gateway_addresses.empty()) {
    faults.add(ErrorCode::unfit, list, "needs at least one address in this kind of subnet");
  }
  for (size_t i = 0; i < subnet.gateway_addresses.size(); ++i) {
    const Ca& address = subnet.gateway_addresses[i];
    const auto* prefix = subnet.prefix_of(address);
    const auto end = subnet.gateway_addresses.begin() + static_cast<std::ptrdiff_t>(i);
    if (prefix == nullptr) {
      faults.add(
          ErrorCode::unfit, Place(list, i),
          fmt::format("{} must lie in one of the subnet's addressPrefixes", address.to_string()));
    } else if (const auto why = unfit_for_host(address, prefix->length()); !why.empty()) {
      faults.add(ErrorCode::unfit, Place(list, i), fmt::format("{} {}", address.to_string(), why));
    } else if (std::find(subnet.gateway_addresses.begin(), end, address) != end) {
      faults.invalid(Place(list, i), fmt::format("{} is listed twice", address.to_string()));
    }
  }
}

// The network's first of the hosts' family, where there are records that tell it.
IpAddress<Space::provider> default_provider_address(const ProviderNetworkModel& network,
                                                    const SubnetModel* subnet) {
  const auto& own = network.spec.provider_addresses;
  if (subnet == nullptr || subnet->records.empty()) return own.front().address;
  const Family family = subnet->records.begin()->second.provider_address.family();
  const auto at = std::find_if(own.begin(), own.end(), [family](const auto& candidate) {
    return candidate.address.family() == family;
  });
  return (at == own.end() ? own.begin() : at)->address;
}

void check_router_advertisements(const VirtualSubnetSpec& spec, Faults& faults) {
  if (!spec.router_advertisements) return;
  const Place body;
  const Place place(body, "routerAdvertisements");
  if (spec.router != SubnetRouter::gateway) {
    faults.add(ErrorCode::unfit, place,
               "the gateway is not this subnet's router: say \"router\": \"gateway\", or leave it "
               "out");
  }
  const auto ipv6 = static_cast<size_t>(
      std::count_if(spec.address_prefixes.begin(), spec.address_prefixes.end(),
                    [](const auto& prefix) { return prefix.family() == Family::ipv6; }));
  if (ipv6 == 0) {
    faults.add(ErrorCode::unfit, place, "needs an IPv6 prefix among addressPrefixes");
  } else if (ipv6 > RouterAdvertisement::kMaxPrefixes) {
    faults.add(ErrorCode::unfit, Place(body, "addressPrefixes"),
               fmt::format("{} IPv6 prefixes do not fit into a router advertisement: at most {}",
                           ipv6, RouterAdvertisement::kMaxPrefixes));
  }
}

ResourceKey owner_key(const DomainModel& domain, const OnLink& on_link) {
  if (on_link.owner == OnLink::Owner::subnet) return VirtualSubnetKey{domain.name, on_link.name};
  return NetworkConnectionKey{domain.name, on_link.name};
}

void check_prefixes(const DomainModel& domain, const VirtualSubnetSpec& spec, Faults& faults) {
  const Place body;
  const Place list(body, "addressPrefixes");
  const auto& prefixes = spec.address_prefixes;
  if (prefixes.empty()) faults.invalid(list, "needs at least one prefix");
  for (size_t i = 0; i < prefixes.size(); ++i) {
    const Place here(list, i);
    for (const auto& block : kReservedBlocks) {
      if (!block.prefix<Space::customer>().overlaps(prefixes[i])) continue;
      faults.add(ErrorCode::unfit, here,
                 fmt::format("{} overlaps {}", prefixes[i].to_string(), block.what));
    }
    for (size_t j = 0; j < i; ++j) {
      if (!prefixes[i].overlaps(prefixes[j])) continue;
      faults.add(ErrorCode::unfit, here,
                 fmt::format("{} overlaps {}: a subnet's prefixes must be disjoint",
                             prefixes[i].to_string(), prefixes[j].to_string()));
    }
    if (const auto* other = domain.on_link_overlapping(prefixes[i])) {
      faults.add(ErrorCode::conflict, here,
                 fmt::format("{} overlaps {} of {}: a domain's prefixes must be disjoint",
                             prefixes[i].to_string(), other->prefix.to_string(),
                             resource_path(owner_key(domain, *other))));
    }
  }
}

// The last address of a prefix.
Ca last_of(const Prefix<Space::customer>& prefix) {
  auto bytes = prefix.address().bytes();
  const unsigned bits = prefix.address().bits();
  for (unsigned i = 0; i < bits / 8; ++i) {
    const unsigned from = i * 8;
    if (from + 8 <= prefix.length()) continue;
    bytes[i] = static_cast<uint8_t>(
        bytes[i] | (from >= prefix.length() ? 0xffU : 0xffU >> (prefix.length() - from)));
  }
  if (bits == 128) return CaAddress6(bytes);
  return CaAddress(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
                   bytes[3]);
}

// The first record whose CA lies in no prefix of the subnet. Steps from prefix to prefix.
const RecordId* record_outside(const SubnetModel& subnet) {
  auto at = subnet.records.begin();
  while (at != subnet.records.end()) {
    const Ca* ca = std::get_if<Ca>(&at->first);
    if (ca == nullptr) return nullptr;  // wildcards and MACs stand behind the addresses
    const auto* prefix = subnet.prefix_of(*ca);
    if (prefix == nullptr) return &at->first;
    const Ca last = last_of(*prefix);
    at = subnet.records.lower_bound(RecordId(last));
    if (at != subnet.records.end() && at->first == RecordId(last)) ++at;
  }
  return nullptr;
}

}  // namespace

Outcome ModelDraft::put(const VirtualSubnetKey& key, VirtualSubnetSpec spec, Faults& faults) {
  const auto* stored = state_.domain(key.domain)->subnets.find(key.name);
  const auto before = stored == nullptr ? nullptr : *stored;
  choose_for_subnet(key, spec, before.get(), faults);
  if (!faults.empty()) return Outcome::replaced;
  if (before && before->spec == spec) return Outcome::replaced;

  DomainModel& domain = edit_domain(key.domain);
  if (before) withdraw_subnet(domain, *before);
  auto after = std::make_shared<SubnetModel>();
  after->name = key.name;
  after->etag = etag_;
  after->spec = std::move(spec);
  if (before) after->records = before->records;
  if (after->spec.gateway_addresses) {
    after->gateway_addresses = *after->spec.gateway_addresses;
  } else if (after->has_gateway()) {
    after->gateway_addresses = default_gateway_addresses(after->spec, faults);
  }
  check_prefixes(domain, after->spec, faults);
  check_router_advertisements(after->spec, faults);
  if (faults.empty()) check_gateway_addresses(*after, faults);
  if (before && faults.empty()) check_subnet_contents(domain, *before, *after, faults);
  if (faults.empty()) {
    const Place body;
    for (const auto& prefix : after->spec.address_prefixes) {
      check_next_hops_in(
          domain, prefix, [&](const Ca& a) { return after->owns(a); },
          Place(body, "addressPrefixes"), faults);
    }
    for (const auto& own : after->gateway_addresses) {
      check_not_mapped(domain, own, Place(body, "gatewayAddresses"), faults);
    }
  }

  auto& watch = gateway_watch_[key.domain];
  if (before && before->has_gateway() && !after->has_gateway()) watch.removed_by = operation_;
  if (!after->has_gateway()) watch.needed_by = operation_;
  enter_subnet(domain, after);
  return before ? Outcome::replaced : Outcome::created;
}

// Fills in what the body left out and checks what it said.
void ModelDraft::choose_for_subnet(const VirtualSubnetKey& key, VirtualSubnetSpec& spec,
                                   const SubnetModel* before, Faults& faults) {
  choose_vsid(key, spec, before, faults);
  const Place body;
  if (!spec.mac_address) {
    spec.mac_address = before != nullptr ? before->spec.mac_address : choices_.gateway_mac;
  }
  check_station_mac(*spec.mac_address, Place(body, "macAddress"), faults);

  const auto* network = state_.provider_network(spec.provider_network);
  if (network == nullptr) {
    faults.add(ErrorCode::unfit, Place(body, "providerNetwork"),
               fmt::format("{} does not exist: create it first",
                           resource_path(ProviderNetworkKey{spec.provider_network})));
    return;
  }
  if (!spec.provider_address) {
    // A subnet keeps its PA: the hosts' policy names it.
    const bool stays = before != nullptr && before->spec.provider_network == network->name;
    spec.provider_address =
        stays ? *before->spec.provider_address : default_provider_address(*network, before);
  } else if (!network->owns(*spec.provider_address)) {
    faults.add(
        ErrorCode::unfit, Place(body, "providerAddress"),
        fmt::format("{} is not one of {}'s providerAddresses", spec.provider_address->to_string(),
                    resource_path(ProviderNetworkKey{network->name})));
  }
  const int room = network->mtu - nvgre_overhead(spec.provider_address->family());
  const bool ipv6 = std::any_of(spec.address_prefixes.begin(), spec.address_prefixes.end(),
                                [](const auto& prefix) { return prefix.family() == Family::ipv6; });
  const int least = ipv6 ? kMinMtu6 : kMinMtu;
  if (room < least) {
    faults.add(ErrorCode::unfit, Place(body, "providerNetwork"),
               fmt::format("its MTU {} leaves {} inside NVGRE; a subnet with {} needs {}",
                           network->mtu, room, ipv6 ? "an IPv6 prefix" : "IPv4", least));
  } else if (spec.mtu && (*spec.mtu < least || *spec.mtu > room)) {
    faults.add(
        ErrorCode::unfit, Place(body, "mtu"),
        fmt::format("{} must be {} to {}: the fabric's {} less the encapsulation{}", *spec.mtu,
                    least, room, network->mtu, ipv6 ? ", and what IPv6 needs" : ""));
  }
}

void ModelDraft::choose_vsid(const VirtualSubnetKey& key, VirtualSubnetSpec& spec,
                             const SubnetModel* before, Faults& faults) {
  const Place body;
  const Place place(body, "virtualSubnetId");
  auto& vsid = spec.virtual_subnet_id;
  if (before != nullptr) {
    if (vsid && *vsid != before->vsid()) {
      faults.add(ErrorCode::immutable, place,
                 fmt::format("cannot change; it is {}, or leave it out", before->vsid().value()));
    }
    vsid = before->vsid();
    return;
  }
  if (!vsid) {
    vsid = free_vsid();
    if (!vsid) faults.add(ErrorCode::limit_reached, place, "every virtual subnet id is in use");
  } else if (const auto* owner = state_.subnets_by_vsid.find(*vsid);
             owner != nullptr && *owner != key) {
    faults.add(ErrorCode::conflict, place,
               fmt::format("{} belongs to {}: ids are unique, leave it out to get a free one",
                           vsid->value(), resource_path(*owner)));
  }
}

// The lowest free VSID. The search goes on where the draft's last one ended.
std::optional<Vsid> ModelDraft::free_vsid() {
  const auto& used = state_.subnets_by_vsid;
  auto candidate = Vsid::from(next_vsid_);
  if (!candidate) return std::nullopt;
  for (auto at = used.lower_bound(*candidate); at != used.end() && at->first == *candidate; ++at) {
    candidate = Vsid::from(candidate->value() + 1);
    if (!candidate) return std::nullopt;
  }
  next_vsid_ = candidate->value() + 1;
  return candidate;
}

void ModelDraft::withdraw_subnet(DomainModel& domain, const SubnetModel& subnet) {
  state_.subnets_by_vsid.erase(subnet.vsid());
  state_.subnets_by_provider_network.erase(
      ProviderNetworkUse{subnet.spec.provider_network, subnet.vsid()});
  for (const auto& prefix : subnet.spec.address_prefixes) domain.on_link.erase(prefix.address());
  if (subnet.has_gateway()) --domain.gateway_subnets;
  domain.record_count -= subnet.records.size();
  domain.subnets.erase(subnet.name);
  own_subnets_.erase({domain.name, subnet.name});
}

void ModelDraft::enter_subnet(DomainModel& domain, const std::shared_ptr<SubnetModel>& subnet) {
  const VirtualSubnetKey key{domain.name, subnet->name};
  state_.subnets_by_vsid.insert_or_assign(subnet->vsid(), key);
  state_.subnets_by_provider_network.insert_or_assign(
      ProviderNetworkUse{subnet->spec.provider_network, subnet->vsid()}, key);
  for (const auto& prefix : subnet->spec.address_prefixes) {
    domain.on_link.insert_or_assign(prefix.address(),
                                    OnLink{prefix, OnLink::Owner::subnet, subnet->name});
  }
  if (subnet->has_gateway()) ++domain.gateway_subnets;
  domain.record_count += subnet->records.size();
  domain.subnets.insert_or_assign(subnet->name, subnet);
  own_subnets_[{domain.name, subnet->name}] = subnet;
}

// What the subnet holds, and what refers to it, must still fit.
void ModelDraft::check_subnet_contents(const DomainModel& domain, const SubnetModel& before,
                                       const SubnetModel& after, Faults& faults) const {
  const Place body;
  const auto record_path = [&](const RecordId& id) {
    return resource_path(LookupRecordKey{domain.name, after.name, id});
  };
  if (const RecordId* outside = record_outside(after)) {
    faults.add(ErrorCode::conflict, Place(body, "addressPrefixes"),
               fmt::format("{} would lie outside: delete it first, or keep its prefix",
                           record_path(*outside)));
  }
  for (const auto& own : after.gateway_addresses) {
    if (after.records.contains(RecordId(own))) {
      faults.add(ErrorCode::conflict, Place(body, "gatewayAddresses"),
                 fmt::format("{} belongs to a VM: {}", own.to_string(), record_path(own)));
    }
  }
  for (const auto& prefix : before.spec.address_prefixes) {
    auto at = domain.routes_by_via.lower_bound(RouteVia{prefix.address(), {}});
    for (; at != domain.routes_by_via.end(); ++at) {
      const Ca* next_hop = std::get_if<Ca>(&at->first.via);
      if (next_hop == nullptr || !prefix.contains(*next_hop)) break;
      if (after.prefix_of(*next_hop) != nullptr && !after.owns(*next_hop)) continue;
      faults.add(ErrorCode::conflict, Place(body, "addressPrefixes"),
                 fmt::format("{} is the next hop of {}: it must stay a host's address of this "
                             "subnet",
                             next_hop->to_string(),
                             resource_path(CustomerRouteKey{domain.name, at->second})));
      return;
    }
  }
  if (before.spec.provider_address->family() != after.spec.provider_address->family()) {
    for (const auto& [id, record] : after.records) {
      if (record.provider_address.family() == after.spec.provider_address->family()) continue;
      faults.add(ErrorCode::conflict, Place(body, "providerAddress"),
                 fmt::format("{} and the providerAddress {} of {} must be of one family",
                             after.spec.provider_address->to_string(),
                             record.provider_address.to_string(), record_path(id)));
      return;
    }
  }
  if (before.spec.provider_network == after.spec.provider_network) return;
  const auto& network = *state_.provider_network(after.spec.provider_network);
  for (const auto& [id, record] : after.records) {
    if (network.reaches(record.provider_address) && !network.owns(record.provider_address))
      continue;
    if (network.owns(record.provider_address) &&
        record.type == LookupRecordType::gateway_wildcard) {
      continue;
    }
    faults.add(ErrorCode::conflict, Place(body, "providerNetwork"),
               fmt::format("{} has providerAddress {}, which is no host's on {}", record_path(id),
                           record.provider_address.to_string(),
                           resource_path(ProviderNetworkKey{network.name})));
    return;
  }
}

Result<Outcome> ModelDraft::erase(const VirtualSubnetKey& key) {
  const auto* domain = state_.domain(key.domain);
  const auto* stored = domain == nullptr ? nullptr : domain->subnets.find(key.name);
  if (stored == nullptr) return Outcome::already_absent;
  const auto subnet = *stored;
  for (const auto& prefix : subnet->spec.address_prefixes) {
    const auto at = domain->routes_by_via.lower_bound(RouteVia{prefix.address(), {}});
    if (at == domain->routes_by_via.end()) continue;
    const Ca* next_hop = std::get_if<Ca>(&at->first.via);
    if (next_hop == nullptr || !prefix.contains(*next_hop)) continue;
    return fail(ErrorCode::conflict,
                fmt::format("{} leads through this subnet: delete it first",
                            resource_path(CustomerRouteKey{key.domain, at->second})),
                resource_path(key));
  }
  if (subnet->has_gateway()) gateway_watch_[key.domain].removed_by = operation_;
  withdraw_subnet(edit_domain(key.domain), *subnet);
  return Outcome::deleted;
}

// A VM subnet without a router of its own needs the gateway to stand somewhere in the domain.
tl::expected<void, ChangeError> ModelDraft::finish(const DesiredState& base) const {
  for (const auto& [name, watch] : gateway_watch_) {
    const DomainModel* domain = state_.domain(name);
    if (domain == nullptr || domain->subnets.empty() || domain->gateway_subnets > 0) continue;
    const std::string path = resource_path(VirtualSubnetKey{name, domain->subnets.begin()->first});
    const DomainModel* before = base.domain(name);
    if (watch.removed_by && before != nullptr && before->gateway_subnets > 0) {
      return tl::make_unexpected(ChangeError{
          {ErrorCode::conflict,
           fmt::format("{} needs a gateway subnet in its domain: delete it first, or keep one",
                       path),
           path,
           {}},
          *watch.removed_by});
    }
    return tl::make_unexpected(ChangeError{
        {ErrorCode::unfit,
         fmt::format("{}: a domain whose subnets all have the distributed router needs a subnet "
                     "with \"kind\": \"gateway\": create that first, or in the same batch",
                     path),
         "/router",
         {}},
        watch.needed_by.value_or(0)});
  }
  return {};
}

}  // namespace hnv
