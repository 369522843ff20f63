// SPDX-License-Identifier: Apache-2.0
#include "gateway/compile.h"

#include <algorithm>
#include <utility>

#include "compartments/ip6_checks.h"
#include "gateway/compiler.h"

namespace hnv {
namespace {

template <Space S>
Prefix<Space::external> link_prefix(const Prefix<S>& prefix) {
  return {link_address(prefix.address()), prefix.length()};
}

template <Space S>
OutLink::Own own_of(const InterfaceAddress<S>& address) {
  return {link_address(address.address), address.length};
}

template <Space S>
void add_own(Attachment& attachment, const IpAddress<S>& own) {
  if (own.is_v4()) {
    attachment.own_addresses.push_back(own.v4().value());
  } else {
    attachment.own_addresses6.push_back(own.bytes());
  }
}

template <Space S>
OutLink::Route route_of(const RouteSpec<S>& route) {
  return {.prefix = link_prefix(route.destination_prefix),
          .metric = route.metric,
          .next_hop = link_address(route.next_hop)};
}

}  // namespace

std::string provider_link_name(const std::string& network) { return "providerNetworks/" + network; }
std::string external_link_name(const std::string& network) { return "externalNetworks/" + network; }
std::string connection_link_name(const std::string& domain, const std::string& connection) {
  return "routingDomains/" + domain + "/networkConnections/" + connection;
}

LinkId Compiler::link_of(const std::string& name) {
  const auto [at, fresh] = next_.link_ids.try_emplace(name);
  if (fresh) {
    if (next_.free_links.empty()) {
      at->second = LinkId(next_.link_count++);
    } else {
      at->second = next_.free_links.back();
      next_.free_links.pop_back();
    }
  }
  return at->second;
}

void Compiler::give_up_link(const std::string& name) {
  const auto at = next_.link_ids.find(name);
  if (at == next_.link_ids.end()) return;
  out_.gone_links.push_back(at->second);
  next_.link_ids.erase(at);
}

AttachmentId Compiler::attachment_at(const std::string& port, VlanId vlan) const {
  const auto at = next_.attachment_ids.find(PortVlan{port, vlan});
  return at == next_.attachment_ids.end() ? AttachmentId() : at->second;
}

NextHopId Compiler::acquire(LinkId link, const LinkAddress& address) {
  const NextHopId id = next_hops_.acquire({link, address}, now_, out_.actions);
  out_.acquired.push_back(id);
  return id;
}

// Which (port, VLAN) is whose. Numbers of those that stay do not change.
void Compiler::compile_attachments() {
  std::map<PortVlan, AttachmentId> ids;
  std::set<uint32_t> used;
  for (const auto& [place, user] : new_.users_of_ports) {
    if (const auto old = before_.attachment_ids.find(place); old != before_.attachment_ids.end()) {
      ids.emplace(place, old->second);
      used.insert(old->second.value());
    }
  }
  uint32_t next_free = 0;
  auto table = std::make_shared<AttachmentTable>();
  std::vector<std::shared_ptr<AttachmentTable::Vlans>> ports(context_.ports.size());
  for (auto& vlans : ports) {
    vlans = std::make_shared<AttachmentTable::Vlans>();
    vlans->fill(AttachmentTable::kNone);
  }
  for (const auto& [place, user] : new_.users_of_ports) {
    const auto [at, fresh] = ids.try_emplace(place);
    if (fresh) {
      while (used.contains(next_free)) ++next_free;
      used.insert(next_free);
      at->second = AttachmentId(next_free);
    }
    const auto& port = context_.ports.at(place.port);
    Attachment attachment{.port = port.id, .vlan = place.vlan_id, .mac = port.mac};
    if (const auto* provider = std::get_if<ProviderNetworkKey>(&user)) {
      attachment.kind = AttachmentKind::provider;
      attachment.link = link_of(provider_link_name(provider->name));
      attachment.uniform_class =
          new_.provider_network(provider->name)->spec.dscp == DscpMode::uniform;
      for (const auto& own : new_.provider_network(provider->name)->spec.provider_addresses) {
        add_own(attachment, own.address);
      }
    } else if (const auto* external = std::get_if<ExternalNetworkKey>(&user)) {
      attachment.kind = AttachmentKind::external;
      for (const auto& own : new_.external_network(external->name)->spec.ip_addresses) {
        add_own(attachment, own.address);
      }
    } else {
      attachment.kind = AttachmentKind::l3_connection;
      attachment.mac = wire::Mac{};  // only the connection's own counts
    }
    const uint32_t index = at->second.value();
    if (table->attachments.size() <= index) table->attachments.resize(index + 1);
    table->attachments[index] = std::move(attachment);
    (*ports[port.id.value()])[place.vlan_id.value()] = static_cast<uint16_t>(index);
  }
  table->ports.assign(ports.begin(), ports.end());
  next_.attachment_ids = std::move(ids);
  next_.attachments = std::move(table);
}

// What a provider and an external network have in common as an interface of ours.
template <class Spec>
OutLink Compiler::network_link(const std::string& name, const Spec& spec) {
  OutLink link;
  link.name = name;
  link.id = link_of(name);
  const auto& port = context_.ports.at(spec.port);
  link.attachment = attachment_at(spec.port, spec.vlan_id);
  link.port = port.id;
  link.mac = port.mac;
  link.vlan = spec.vlan_id;
  for (const auto& route : spec.routes) link.routes.push_back(route_of(route));
  link.duplicate_detection = spec.duplicate_address_detection == DuplicateDetection::optimistic;
  next_.network_links.emplace(link.attachment, link.id);
  return link;
}

void Compiler::add_network_links() {
  std::set<std::string> names;
  next_.network_links.clear();
  const auto add = [&](OutLink link) {
    names.insert(link.name);
    out_.new_links.push_back(std::make_shared<const OutLink>(std::move(link)));
  };
  for (const auto& [name, network] : new_.provider_networks) {
    const ProviderNetworkSpec& spec = network->spec;
    OutLink link = network_link(provider_link_name(name), spec);
    link.trusted = true;
    link.zero_flow_id = spec.flow_id == FlowIdMode::zero;
    for (const auto& own : spec.provider_addresses) link.own.push_back(own_of(own));
    for (const auto& entry : spec.provider_address_overrides) {
      const auto& prefix = entry.provider_address_prefix;
      link.flow_id_overrides.push_back({link_prefix(prefix), entry.flow_id == FlowIdMode::zero});
    }
    add(std::move(link));
  }
  for (const auto& [name, network] : new_.external_networks) {
    OutLink link = network_link(external_link_name(name), network->spec);
    for (const auto& own : network->spec.ip_addresses) link.own.push_back(own_of(own));
    add(std::move(link));
  }
  for (const auto& [name, network] : old_.provider_networks) {
    if (!names.contains(provider_link_name(name))) give_up_link(provider_link_name(name));
  }
  for (const auto& [name, network] : old_.external_networks) {
    if (!names.contains(external_link_name(name))) give_up_link(external_link_name(name));
  }
}

void Compiler::compile_l3_table() {
  std::vector<L3Table::Entry> entries;
  std::vector<L3Table::Address> addresses;
  std::vector<L3Table::Address6> addresses6;
  for (const auto& [name, domain] : next_.domains) {
    for (const auto& [connection_name, id] : domain->connections) {
      const ConnectionView& view = domain->view->connection(id);
      if (view.tunnel.valid()) continue;
      entries.push_back({L3Table::key(view.attachment, view.mac), domain->view->id, id});
      const ConnectionModel* model = new_.domain(name)->connection(connection_name);
      for (const auto& own : model->spec.l3.ip_addresses) {
        if (own.address.is_v4()) {
          addresses.push_back({L3Table::address_key(view.attachment, own.address.v4().value()),
                               domain->view->id, id});
        } else {
          addresses6.push_back({view.attachment, own.address.bytes(), domain->view->id, id});
        }
      }
      if (!is_unspecified6(view.icmp_source6)) {
        addresses6.push_back({view.attachment, link_local_of(view.mac), domain->view->id, id});
      }
    }
  }
  next_.l3 = std::make_shared<const L3Table>(entries, addresses, addresses6);
}

void Compiler::compile_vsids() {
  std::vector<VsidSpec> entries;
  entries.reserve(new_.subnets_by_vsid.size());
  for (const auto& [name, domain] : next_.domains) {
    entries.insert(entries.end(), domain->vsids.begin(), domain->vsids.end());
  }
  next_.vsids = std::make_shared<const VsidTable>(entries);
}

void Compiler::remove_domain(const std::string& name) {
  const auto* found = before_.domains.find(name);
  if (found == nullptr) return;
  const CompiledDomain& domain = **found;
  domain.view->records->for_each([this](const CustomerRecord& record) {
    if (record.type != RecordType::own) release(record.next_hop);
  });
  for (const SubnetView& subnet : *domain.view->subnets_owner) {
    if (subnet.wildcard.type != RecordType::none) release(subnet.wildcard.next_hop);
    if (subnet.wildcard6.type != RecordType::none) release(subnet.wildcard6.next_hop);
  }
  for (const L2Record& l2 : domain.view->l2_records) release(l2.record.next_hop);
  domain.hops.for_each_next_hop([this](NextHopId id) { release(id); });
  for (const auto& [connection, id] : domain.connections) {
    give_up_link(connection_link_name(name, connection));
  }
  connections_touched_ |= !domain.connections.empty();
  vsids_touched_ = true;
  next_.compartments = next_.compartments.with(domain.view->id.value(), nullptr);
  // Where NAT has known it, its number rests.
  if (before_.nat->plan->rules_of(domain.view->id) == nullptr) {
    next_.free_compartments.push_back(domain.view->id);
  }
  next_.domains.erase(name);
}

void Compiler::compile_domain(const std::string& name, bool structural,
                              const TouchedInDomain& touched) {
  if (new_.domain(name) == nullptr) return remove_domain(name);
  const auto* found = before_.domains.find(name);
  const std::shared_ptr<const CompiledDomain> before = found == nullptr ? nullptr : *found;
  CompartmentId id;
  if (before != nullptr) {
    id = before->view->id;
  } else if (!next_.free_compartments.empty()) {
    id = next_.free_compartments.back();
    next_.free_compartments.pop_back();
  } else {
    id = CompartmentId(static_cast<uint32_t>(next_.compartments.size()));
  }
  DomainCompiler domain(*this, name, before.get(), id);
  if (structural) domain.structure();
  if (structural || touched.bgp) domain.bgp();
  domain.routes(touched);
  for (const TouchedRecord* record : touched.records) {
    pause();
    domain.record(*record);
  }
  const auto after = domain.finish();
  if (structural) {
    vsids_touched_ = true;
    connections_touched_ |=
        !after->connections.empty() || (before != nullptr && !before->connections.empty());
  }
  next_.compartments = next_.compartments.with(id.value(), after->view);
  next_.domains.insert_or_assign(name, after);
}

// Which domains are concerned, and how.
void Compiler::sort_out(const std::vector<Touched>& touched) {
  for (const Touched& thing : touched) {
    if (const auto* provider = std::get_if<TouchedProviderNetwork>(&thing)) {
      networks_touched_ = true;
      for (const DesiredState* model : {&old_, &new_}) {
        const auto& uses = model->subnets_by_provider_network;
        for (auto at =
                 uses.lower_bound(ProviderNetworkUse{provider->name, *Vsid::from(Vsid::kMin)});
             at != uses.end() && at->first.network == provider->name; ++at) {
          structural_.insert(at->second.domain);
        }
      }
    } else if (const auto* external = std::get_if<TouchedExternalNetwork>(&thing)) {
      networks_touched_ = true;
      outside_touched_ = true;
      for (const DesiredState* model : {&old_, &new_}) {
        const auto& uses = model->connections_by_external_network;
        for (auto at = uses.lower_bound(ExternalNetworkUse{external->name, MacAddress()});
             at != uses.end() && at->first.network == external->name; ++at) {
          structural_.insert(at->second.domain);
        }
      }
    } else if (const auto* domain = std::get_if<TouchedDomain>(&thing)) {
      structural_.insert(domain->name);
    } else if (const auto* route = std::get_if<TouchedRoute>(&thing)) {
      inside_[route->domain].routes.push_back(route->id);
    } else if (const auto* record = std::get_if<TouchedRecord>(&thing)) {
      inside_[record->domain].records.push_back(record);
    } else if (const auto* nat = std::get_if<TouchedNat>(&thing)) {
      inside_[nat->domain].nat = true;
      nat_touched_ = true;
      nat_of_.insert(nat->domain);
    } else if (const auto* bgp = std::get_if<TouchedBgp>(&thing)) {
      inside_[bgp->domain].bgp = true;
    } else if (const auto* pool = std::get_if<TouchedPool>(&thing)) {
      nat_touched_ = true;
      pools_touched_ = true;
      for (const DesiredState* model : {&old_, &new_}) {
        const auto& uses = model->domains_by_pool;
        for (auto at = uses.lower_bound(PoolUse{pool->name, ""});
             at != uses.end() && at->first.pool == pool->name; ++at) {
          nat_of_.insert(at->first.domain);
        }
      }
    }
  }
}

Compilation Compiler::run(const std::vector<Touched>& touched) {
  next_.generation = new_.generation;
  sort_out(touched);
  const auto has_connections = [](const DesiredState& model, const std::string& name) {
    const DomainModel* domain = model.domain(name);
    return domain != nullptr && !domain->connections.empty();
  };
  const bool attachments_touched =
      networks_touched_ || std::any_of(structural_.begin(), structural_.end(), [&](const auto& d) {
        return has_connections(old_, d) || has_connections(new_, d);
      });
  if (attachments_touched) compile_attachments();
  if (networks_touched_) add_network_links();
  static const TouchedInDomain kNone;
  out_.structural.assign(structural_.begin(), structural_.end());
  for (const std::string& name : structural_) {
    const auto touched_inside = inside_.find(name);
    compile_domain(name, true, touched_inside == inside_.end() ? kNone : touched_inside->second);
  }
  for (const auto& [name, touched_inside] : inside_) {
    if (!structural_.contains(name)) compile_domain(name, false, touched_inside);
  }
  if (connections_touched_ || networks_touched_) compile_l3_table();
  if (vsids_touched_) compile_vsids();
  compile_outside();
  compile_nat();
  compile_ipsec();
  for (const LinkId link : out_.gone_links) next_.free_links.push_back(link);
  out_.next = std::make_shared<const Compiled>(std::move(next_));
  return std::move(out_);
}

Compilation Compiler::turn(const TurnedTunnels& turned) {
  turned_ = &turned;
  auto ipsec = std::make_shared<CompiledIpsec>(*before_.ipsec);
  for (const auto& [id, up] : turned) {
    const CompiledTunnel* tunnel = ipsec->tunnels.find(id);
    if (tunnel == nullptr || tunnel->up == up) continue;
    inside_[tunnel->domain].tunnels = true;
    CompiledTunnel after = *tunnel;
    after.up = up;
    ipsec->tunnels.insert_or_assign(id, std::move(after));
  }
  next_.ipsec = std::move(ipsec);
  for (const auto& [name, touched] : inside_) compile_domain(name, false, touched);
  out_.next = std::make_shared<const Compiled>(std::move(next_));
  return std::move(out_);
}

Compilation compile_turned(const std::shared_ptr<const Compiled>& before, const DesiredState& model,
                           const TurnedTunnels& turned, const CompileContext& context,
                           NextHops& next_hops, Instant now) {
  return Compiler(before, model, model, context, next_hops, now).turn(turned);
}

Compilation compile(const std::shared_ptr<const Compiled>& before, const DesiredState& old_model,
                    const DesiredState& new_model, const std::vector<Touched>& touched,
                    const CompileContext& context, NextHops& next_hops, Instant now) {
  return Compiler(before, old_model, new_model, context, next_hops, now).run(touched);
}

void copy_tables(const Compiled& compiled, Dataplane& plane) {
  plane.generation = compiled.generation;
  plane.compartments = compiled.compartments;
  plane.vsids = compiled.vsids;
  plane.l3 = compiled.l3;
  plane.attachments = compiled.attachments;
  plane.outside = compiled.outside->networks;
  plane.nat = compiled.nat->plan;
  plane.ipsec = plan_of(*compiled.ipsec, SaTable(plane.ipsec->sas));
}

std::shared_ptr<const Compiled> compile_nothing(const CompileContext& context) {
  auto compiled = std::make_shared<Compiled>();
  compiled->vsids = std::make_shared<const VsidTable>(std::vector<VsidSpec>{});
  compiled->l3 = std::make_shared<const L3Table>(std::vector<L3Table::Entry>{},
                                                 std::vector<L3Table::Address>{},
                                                 std::vector<L3Table::Address6>{});
  auto attachments = std::make_shared<AttachmentTable>();
  auto vlans = std::make_shared<AttachmentTable::Vlans>();
  vlans->fill(AttachmentTable::kNone);
  attachments->ports.assign(context.ports.size(), vlans);
  compiled->attachments = std::move(attachments);
  return compiled;
}

std::shared_ptr<const Compiled> with_moved(const std::shared_ptr<const Compiled>& before,
                                           const std::set<std::string>& domains,
                                           const std::deque<MovedUntil>& moved) {
  std::map<uint64_t, std::vector<MovedRecord>> records;  // by the compartment's uid
  for (const MovedUntil& one : moved) {
    if (domains.contains(one.domain)) records[one.compartment_uid].push_back(one.record);
  }
  auto next = std::make_shared<Compiled>(*before);
  for (const std::string& name : domains) {
    const auto* found = before->domains.find(name);
    if (found == nullptr) continue;
    auto view = std::make_shared<CompartmentView>(*(*found)->view);
    const auto at = records.find(view->uid);
    view->moved = at == records.end() ? nullptr : std::make_shared<const MovedRecords>(at->second);
    auto after = std::make_shared<CompiledDomain>(**found);
    after->view = view;
    next->compartments = next->compartments.with(view->id.value(), view);
    next->domains.insert_or_assign(name, std::move(after));
  }
  return next;
}

}  // namespace hnv
