// SPDX-License-Identifier: Apache-2.0
//
// Why a packet goes where it goes: the same tables that the workers read, asked on the http thread.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/compiler.h"
#include "gateway/control_loop.h"

namespace hnv {
namespace {

template <class Id>
std::string name_of(const std::map<std::string, Id>& names, Id id) {
  for (const auto& [name, known] : names) {
    if (known == id) return name;
  }
  return "?";
}

std::string interface_of(const CompiledDomain& domain, const RouteHop& hop) {
  struct Name {
    const CompiledDomain& domain;
    [[nodiscard]] std::string subnet(SubnetId id) const {
      return "virtualSubnets/" + name_of(domain.subnets, id);
    }
    [[nodiscard]] std::string connection(ConnectionId id) const {
      return "networkConnections/" + name_of(domain.connections, id);
    }
    std::string operator()(const LocalHop&) const { return "local"; }
    std::string operator()(const SubnetHop& h) const { return subnet(h.subnet); }
    std::string operator()(const SubnetViaHop& h) const { return subnet(h.subnet); }
    std::string operator()(const ConnectionHop& h) const { return connection(h.connection); }
    std::string operator()(const ConnectionViaHop& h) const { return connection(h.connection); }
    std::string operator()(const TunnelHop& h) const { return connection(h.connection); }
    std::string operator()(const RecursiveHop&) const { return "none"; }
    std::string operator()(const NatHop&) const { return "nat"; }
    std::string operator()(const ExceptNatHop&) const { return "none"; }
    std::string operator()(const BroadcastHop&) const { return "none"; }
    std::string operator()(const UnreachableHop&) const { return "none"; }
  };
  return std::visit(Name{domain}, hop);
}

// The next hop's address: that of the hop's family, which is its table's.
IpAddress<Space::customer> via_of(const Hop& hop, Family family) {
  if (family == Family::ipv4) return CaAddress(hop.via.v4());
  return CaAddress6(hop.via.v6());
}

std::string one_hop_text(const CompiledDomain& domain, const Hop& hop, Family family) {
  switch (hop.kind) {
    case HopKind::local:
      return "local";
    case HopKind::subnet:
      return fmt::format("vsid {} on-link", domain.view->subnet(hop.subnet).vsid);
    case HopKind::subnet_via:
      return fmt::format("vsid {} via {}", domain.view->subnet(hop.subnet).vsid,
                         via_of(hop, family).to_string());
    case HopKind::connection:
      return fmt::format("{} on-link", name_of(domain.connections, hop.connection));
    case HopKind::connection_via:
      return fmt::format("{} via {}", name_of(domain.connections, hop.connection),
                         via_of(hop, family).to_string());
    case HopKind::ipsec:
      return fmt::format("{} by IPsec", name_of(domain.connections, hop.connection));
    case HopKind::nat:
      return "NAT";
    case HopKind::directed_broadcast:
      return "drop: directed_broadcast";
    case HopKind::none:
      return "no route";
    case HopKind::unreachable:
      return "unreachable";
  }
  return "unreachable";
}

HopId look_up(const CompartmentView& view, const IpAddress<Space::customer>& address) {
  return address.is_v4() ? view.fib_owner->lookup(address.v4().value())
                         : view.fib6->lookup(address.v6());
}

// The `step`th of 64 addresses spread over a prefix, from the first to the last.
IpAddress<Space::customer> sample_of(const Prefix<Space::customer>& prefix, unsigned step) {
  using Wide = unsigned __int128;
  auto bytes = prefix.address().bytes();
  const unsigned size = prefix.address().bits() / 8;
  const unsigned host_bits = prefix.address().bits() - prefix.length();
  const Wide span = host_bits == 0 ? 0 : ~Wide{0} >> (128 - host_bits);
  Wide offset = step == 63 ? span : span / 63 * step;
  for (unsigned i = size; i-- > 0; offset >>= 8) {
    bytes[i] = static_cast<uint8_t>(bytes[i] | static_cast<uint8_t>(offset));
  }
  if (size == 16) return CaAddress6(bytes);
  return CaAddress(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
                   bytes[3]);
}

// What the dataplane does with a packet that this hop is for; of hops that share the load, each
// with the share of flows that it has.
std::string hop_text(const CompiledDomain& domain, const Hop& hop, Family family) {
  if (hop.group == 0) return one_hop_text(domain, hop, family);
  const HopGroup& group = domain.view->groups[hop.group - 1];
  std::string text;
  for (const HopId member : group.members) {
    if (!member.valid()) break;
    const auto buckets = std::count(group.bucket.begin(), group.bucket.end(), member);
    text += fmt::format("{}{} ({} of {} flows)", text.empty() ? "shared: " : ", ",
                        one_hop_text(domain, domain.view->hop(member), family), buckets,
                        HopGroup::kBuckets);
  }
  return text;
}

// The hop that the FIB holds for the prefix itself: an address in it that no longer prefix covers.
// The first and the last are often covered (broadcast addresses), so a few others are asked as
// well.
std::optional<Hop> hop_in_fib(const CompiledDomain& domain, const Prefix<Space::customer>& prefix) {
  const CompartmentView& view = *domain.view;
  for (unsigned step = 0; step < 64; ++step) {
    const auto address = sample_of(prefix, step);
    const RouteCandidate* match = domain.routes->longest_match(address);
    if (match == nullptr || match->prefix != prefix) continue;
    const HopId id = look_up(view, address);
    return id.valid() ? view.hop(id) : Hop{};
  }
  return std::nullopt;
}

RouteState route_state(const CompiledDomain& domain, const Prefix<Space::customer>& prefix,
                       Instant now) {
  RouteState state;
  state.prefix = prefix;
  const std::optional<Hop> held = hop_in_fib(domain, prefix);
  state.fib = held ? hop_text(domain, *held, prefix.family()) : "covered by longer prefixes";
  for (const RouteExplanation& found : domain.routes->explain(prefix)) {
    RouteCandidateState candidate;
    candidate.source = to_string(found.candidate.source);
    candidate.preference = found.preference;
    candidate.metric = found.candidate.metric;
    if (const auto via = via_of(found.candidate.hop)) candidate.next_hop = via->to_string();
    candidate.interface = interface_of(domain, found.candidate.hop);
    candidate.age_seconds = in_seconds(now - found.candidate.installed_at);
    candidate.best = found.best;
    candidate.reason = found.reason;
    state.candidates.push_back(std::move(candidate));
  }
  return state;
}

std::string_view type_text(RecordType type) {
  switch (type) {
    case RecordType::static_record:
      return "Static";
    case RecordType::dynamic:
      return "Dynamic";
    case RecordType::gateway_wildcard:
      return "GatewayWildcard";
    case RecordType::l2_only:
      return "L2Only";
    case RecordType::none:
    case RecordType::neighbor:
    case RecordType::own:
      break;
  }
  return "";
}

}  // namespace

std::optional<RouteTableState> ControlLoop::routes(std::string_view domain,
                                                   const RoutePage& page) const {
  const auto current = compiled();
  const auto* found = current->domains.find(std::string(domain));
  if (found == nullptr) return std::nullopt;
  const CompiledDomain& compiled_domain = **found;
  RouteTableState state;
  const Instant at = now();
  compiled_domain.routes->for_each_best_behind(page.after, [&](const RouteCandidate& best) {
    state.more = state.routes.size() == page.limit;
    if (!state.more) state.routes.push_back(route_state(compiled_domain, best.prefix, at));
    return !state.more;
  });
  state.fib_bytes = compiled_domain.view->fib_owner->bytes();
  state.fib_ranges = compiled_domain.view->fib_owner->ranges();
  return state;
}

std::optional<NeighborState> ControlLoop::neighbor_toward(const NextHopTarget& target) const {
  const auto neighbor = ask([&] { return next_hops_.neighbor_of(target); });
  if (!neighbor) return std::nullopt;
  const std::string wanted = neighbor->to_string();
  for (NeighborState& state : neighbors_on(target.link)) {
    if (state.ip_address == wanted) return std::move(state);
  }
  return std::nullopt;
}

void ControlLoop::explain_subnet(LookupExplanation& out, const CompiledDomain& domain,
                                 const Hop& hop,
                                 const IpAddress<Space::customer>& destination) const {
  const CompartmentView& view = *domain.view;
  const SubnetView& subnet = view.subnet(hop.subnet);
  const std::string name = name_of(domain.subnets, hop.subnet);
  const auto next =
      hop.kind == HopKind::subnet_via ? via_of(hop, destination.family()) : destination;
  const CustomerRecord& wildcard = next.is_v4() ? subnet.wildcard : subnet.wildcard6;
  const std::string records =
      fmt::format("/v1/routingDomains/{}/virtualSubnets/{}/lookupRecords/", view.name, name);
  out.virtual_subnet_id = subnet.vsid;
  const CustomerRecord* record = view.records->find(CaKey(next));
  if (record != nullptr && record->subnet == hop.subnet && record->type != RecordType::own) {
    out.record = records + next.to_string();
  } else if (wildcard.type == RecordType::gateway_wildcard) {
    record = &wildcard;
    out.record = records + (next.is_v4() ? "wildcard-v4" : "wildcard-v6");
  } else {
    out.verdict = fmt::format(
        "dropped as record_missing: virtual subnet {} has no lookup record or wildcard for {}",
        name, next.to_string());
    return;
  }
  out.record_type = type_text(record->type);
  out.provider_address = record->provider_address().to_string();
  out.mac_address = record->mac.to_string();
  const auto network = compiled()->network_links.find(subnet.network);
  if (network != compiled()->network_links.end()) {
    out.next_hop = neighbor_toward({network->second, link_address(record->provider_address())});
  }
  out.verdict = fmt::format("sent by NVGRE with VSID {} to {}, inner MAC {}", subnet.vsid,
                            out.provider_address, out.mac_address);
}

void ControlLoop::explain_connection(LookupExplanation& out, const CompiledDomain& domain,
                                     const Hop& hop,
                                     const IpAddress<Space::customer>& destination) const {
  const auto next =
      hop.kind == HopKind::connection_via ? via_of(hop, destination.family()) : destination;
  const ConnectionView& connection = domain.view->connection(hop.connection);
  out.next_hop = neighbor_toward({connection.link, link_address(next)});
  if (out.next_hop && out.next_hop->mac_address) {
    out.mac_address = out.next_hop->mac_address->to_string();
  }
  out.verdict = fmt::format("sent on network connection {} to {}",
                            name_of(domain.connections, hop.connection), next.to_string());
}

Result<LookupExplanation> ControlLoop::explain(
    std::string_view domain, const IpAddress<Space::customer>& destination) const {
  const auto current = compiled();
  const auto* found = current->domains.find(std::string(domain));
  if (found == nullptr) {
    return fail(ErrorCode::not_found, fmt::format("no such routing domain: {}", domain),
                fmt::format("/v1/routingDomains/{}", domain));
  }
  const CompiledDomain& compiled_domain = **found;
  LookupExplanation out;
  out.destination = destination.to_string();
  const RouteCandidate* best = compiled_domain.routes->longest_match(destination);
  if (best != nullptr) out.route = route_state(compiled_domain, best->prefix, now());
  const HopId id = look_up(*compiled_domain.view, destination);
  const Hop hop = id.valid() ? compiled_domain.view->hop(id) : Hop{};
  if (out.route) out.route->fib = hop_text(compiled_domain, hop, destination.family());
  if (hop.group != 0) {
    out.verdict = "by its flow sent one of the ways that share the load: " +
                  hop_text(compiled_domain, hop, destination.family());
    return out;
  }
  switch (hop.kind) {
    case HopKind::subnet:
    case HopKind::subnet_via:
      explain_subnet(out, compiled_domain, hop, destination);
      break;
    case HopKind::connection:
    case HopKind::connection_via:
      explain_connection(out, compiled_domain, hop, destination);
      break;
    case HopKind::local:
      out.verdict = "delivered to the gateway itself";
      break;
    case HopKind::ipsec:
      out.verdict = fmt::format("sent through the tunnel of network connection {}",
                                name_of(compiled_domain.connections, hop.connection));
      break;
    case HopKind::nat:
      out.verdict = "out through NAT";
      break;
    case HopKind::directed_broadcast:
      out.verdict = "dropped as directed_broadcast";
      break;
    case HopKind::none:
      out.verdict = "dropped as no_route";
      break;
    case HopKind::unreachable:
      out.verdict = "dropped as route_unreachable";
      break;
  }
  return out;
}

}  // namespace hnv
