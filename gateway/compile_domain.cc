// SPDX-License-Identifier: Apache-2.0
//
// One domain's view: its subnets, connections and lookup records. The routes are in
// compile_routes.cc.
#include <algorithm>
#include <tuple>
#include <utility>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"
#include "gateway/compiler.h"

namespace hnv {
namespace {

constexpr uint8_t kOuterTtl = 64;

const CompartmentView* fresh_base() {
  static const CompartmentView kNothing = [] {
    CompartmentView view;
    view.set_records(std::make_shared<const CustomerMap>());
    view.set_fib(Fib4::build({}));
    view.set_fib6(Fib6::build({}));
    view.subnets_owner = std::make_shared<const std::vector<SubnetView>>();
    view.connections_owner = std::make_shared<const std::vector<ConnectionView>>();
    HopTable().show_in(view);
    return view;
  }();
  return &kNothing;
}

VsidDoor door_of(const SubnetView& subnet) {
  return {.mac = subnet.mac().key(),
          .provider_address = subnet.provider_address,
          .network = subnet.network,
          .provider_address6 = subnet.outer_ipv6 ? subnet.header6.ip.source : wire::Address6{}};
}

RecordType type_of(LookupRecordType type) {
  switch (type) {
    case LookupRecordType::static_record:
      return RecordType::static_record;
    case LookupRecordType::dynamic:
      return RecordType::dynamic;
    case LookupRecordType::gateway_wildcard:
      return RecordType::gateway_wildcard;
    case LookupRecordType::l2_only:
      return RecordType::l2_only;
  }
  return RecordType::none;
}

// Numbers for names: those that stay keep theirs, new ones take the lowest that was free before, so
// that a number never changes its meaning within one compilation.
template <class Id, class Children>
void number(const std::map<std::string, Id>& before, const Children& children,
            std::map<std::string, Id>& out) {
  std::set<uint32_t> used;
  for (const auto& [name, id] : before) used.insert(id.value());
  for (const auto& [name, child] : children) {
    if (const auto old = before.find(name); old != before.end()) out.emplace(name, old->second);
  }
  uint32_t free = 0;
  for (const auto& [name, child] : children) {
    if (out.contains(name)) continue;
    while (used.contains(free)) ++free;
    used.insert(free);
    out.emplace(name, Id(free));
  }
}

// The first address of each family; zero where there is none.
std::pair<uint32_t, wire::Address6> first_of_each(
    const std::vector<IpAddress<Space::customer>>& addresses) {
  std::pair<uint32_t, wire::Address6> first{};
  for (const auto& address : addresses) {
    if (address.is_v4() && first.first == 0) first.first = address.v4().value();
    if (!address.is_v4() && is_unspecified6(first.second)) first.second = address.bytes();
  }
  return first;
}

template <class Id>
size_t table_size(const std::map<std::string, Id>& ids) {
  size_t size = 0;
  for (const auto& [name, id] : ids) size = std::max<size_t>(size, id.value() + 1);
  return size;
}

}  // namespace

DomainCompiler::DomainCompiler(Compiler& compiler, const std::string& name,
                               const CompiledDomain* before, CompartmentId id)
    : compiler_(compiler),
      name_(name),
      before_(before),
      model_(*compiler.new_model().domain(name)),
      view_(std::make_shared<CompartmentView>(before != nullptr ? *before->view : *fresh_base())),
      next_(before != nullptr ? *before : CompiledDomain{}),
      records_(*view_->records) {
  if (before != nullptr) return;
  view_->id = id;
  view_->uid = (*compiler.context().next_uid)++;
  view_->name = name;
  const unsigned workers = compiler.context().workers;
  view_->counters_owner.reset(new CompartmentCounters[workers]());
  view_->counters = view_->counters_owner.get();
  next_.routes = std::make_shared<const RouteTable>(model_.spec.route_preferences);
}

void DomainCompiler::structure() {
  next_.subnets.clear();
  next_.connections.clear();
  static const std::map<std::string, SubnetId> kNoSubnets;
  static const std::map<std::string, ConnectionId> kNoConnections;
  number(before_ != nullptr ? before_->subnets : kNoSubnets, model_.subnets, next_.subnets);
  number(before_ != nullptr ? before_->connections : kNoConnections, model_.connections,
         next_.connections);
  connections();
  subnets();
  own_addresses();
  structural_ = true;
}

// What the outer IP header of a subnet's packets says before any packet is known.
void DomainCompiler::outer_header(const IpAddress<Space::provider>& own, SubnetView& view) {
  view.outer_ipv6 = !own.is_v4();
  if (view.outer_ipv6) {
    view.header6.ip = wire::Ipv6{.version_class_flow = be32{wire::kIpv6Version},
                                 .payload_length = be16{0},
                                 .next_header = wire::ip_protocol::kGre,
                                 .hop_limit = kOuterTtl,
                                 .source = own.bytes()};
    return;
  }
  view.provider_address = own.v4().value();
  view.header.ip = wire::Ipv4{.version_ihl = 0x45,
                              .tos = 0,
                              .total_length = be16{0},
                              .id = be16{0},
                              .fragment = be16{wire::kDontFragment},
                              .ttl = kOuterTtl,
                              .protocol = wire::ip_protocol::kGre,
                              .checksum = be16{0},
                              .source = be32{view.provider_address},
                              .destination = be32{0}};
  view.header_sum = checksum_fold(checksum_sum(view.header.ip));
}

SubnetView DomainCompiler::subnet_view(const SubnetModel& subnet) const {
  const auto& network = *compiler_.new_model().provider_network(subnet.spec.provider_network);
  SubnetView view;
  view.vsid = subnet.vsid().value();
  view.mtu = compiler_.new_model().inner_mtu(subnet);
  view.network = compiler_.attachment_at(network.spec.port, network.spec.vlan_id);
  outer_header(*subnet.spec.provider_address, view);
  view.header.gre = wire::Gre{
      .flags = be16{0x2000}, .protocol = wire::kTransparentEthernet, .key = be32{view.vsid << 8}};
  view.header.inner.source = wire::Mac::of(*subnet.spec.mac_address);
  view.header.inner.type = wire::ether_type::kIpv4;
  view.class_bits = copied_class_bits(network.spec.dscp == DscpMode::uniform);
  view.header6.gre = view.header.gre;
  view.header6.inner = view.header.inner;
  view.has_own_address = !subnet.gateway_addresses.empty();
  const auto [v4, v6] = first_of_each(subnet.gateway_addresses);
  view.icmp_source = v4;
  view.icmp_source6 = v6;
  const auto& advertisements = subnet.spec.router_advertisements;
  view.advertises = advertisements && advertisements->enabled;
  return view;
}

AdvertisedSubnet DomainCompiler::advertised(const SubnetModel& subnet, uint16_t mtu) {
  const RouterAdvertisementsSpec& spec = *subnet.spec.router_advertisements;
  AdvertisedSubnet out{.name = subnet.name,
                       .advertisement = {.mac = wire::Mac::of(*subnet.spec.mac_address),
                                         .managed = spec.managed,
                                         .other_config = spec.other_config,
                                         .router_lifetime = spec.lifetime(),
                                         .mtu = spec.mtu ? mtu : uint16_t{0},
                                         .prefixes = {}},
                       .interval = std::chrono::seconds(spec.interval)};
  for (const auto& prefix : subnet.spec.address_prefixes) {
    if (prefix.family() == Family::ipv4) continue;
    out.advertisement.prefixes.push_back({.prefix = prefix.address().bytes(),
                                          .length = prefix.length(),
                                          .on_link = spec.on_link,
                                          .autonomous = spec.autonomous && prefix.length() == 64,
                                          .valid_lifetime = spec.valid_lifetime,
                                          .preferred_lifetime = spec.preferred_lifetime});
  }
  return out;
}

void DomainCompiler::subnets() {
  // Tables are rebuilt whole: what they held is given back, what they hold is taken anew.
  auto table = std::make_shared<std::vector<SubnetView>>(table_size(next_.subnets));
  next_.vsids.clear();
  next_.advertised.clear();
  view_->prefixes.clear();
  view_->icmp_source = 0;
  view_->icmp_source6 = {};
  for (const auto& [name, subnet] : model_.subnets) {
    const SubnetId id = next_.subnets.at(name);
    (*table)[id.value()] = subnet_view(*subnet);
    const SubnetView& view = (*table)[id.value()];
    next_.vsids.push_back({view.vsid, view_->id, id, door_of(view)});
    if (view.advertises) next_.advertised.emplace(id, advertised(*subnet, view.mtu));
    const auto& prefixes = subnet->spec.address_prefixes;
    view_->prefixes.insert(view_->prefixes.end(), prefixes.begin(), prefixes.end());
    const bool gateway = subnet->spec.kind == SubnetKind::gateway;
    if (view.icmp_source != 0 && (view_->icmp_source == 0 || gateway)) {
      view_->icmp_source = view.icmp_source;
    }
    if (!is_unspecified6(view.icmp_source6) && (is_unspecified6(view_->icmp_source6) || gateway)) {
      view_->icmp_source6 = view.icmp_source6;
    }
  }
  for (const SubnetView& old : *view_->subnets_owner) {
    if (old.wildcard.type != RecordType::none) compiler_.release(old.wildcard.next_hop);
    if (old.wildcard6.type != RecordType::none) compiler_.release(old.wildcard6.next_hop);
  }
  view_->subnets_owner = table;
  view_->subnets = table->data();
  children_touched_ = true;
  // A subnet that moved to another provider network: its records' next hops are others.
  for (const auto& [name, subnet] : model_.subnets) {
    const SubnetModel* old = compiler_.old_model().subnet(name_, name);
    if (old != nullptr && old->spec.provider_network != subnet->spec.provider_network) {
      reput_records_of(*subnet);
    }
  }
}

// A number of the tunnel's own as long as it is there; what it has of the outside is in the plan.
ConnectionView DomainCompiler::tunnel_view(const ConnectionModel& connection,
                                           const ConnectionView* before) {
  ConnectionView view;
  view.tunnel =
      before != nullptr && before->tunnel.valid() ? before->tunnel : compiler_.new_tunnel();
  view.mtu = compiler_.new_model().external_network(connection.network)->mtu;
  // A site's networks are those that routes lead to through its tunnel.
  view.source_validation = SourceValidation::strict;
  return view;
}

ConnectionView DomainCompiler::connection_view(const ConnectionModel& connection) {
  const L3ConnectionSpec& l3 = connection.spec.l3;
  const ConnectionView* before = nullptr;
  if (before_ != nullptr) {
    const auto old = before_->connections.find(connection.name);
    if (old != before_->connections.end()) before = &before_->view->connection(old->second);
  }
  ConnectionView view;
  if (before != nullptr) {
    view.counters = before->counters;
  } else {
    view.counters.reset(new ConnectionCounters[compiler_.context().workers]());
  }
  if (connection.spec.tunnel) {
    const auto counters = view.counters;
    view = tunnel_view(connection, before);
    view.counters = counters;
    return view;
  }
  view.link = compiler_.link_of(connection_link_name(name_, connection.name));
  if (l3.external_network) {
    const auto& network = *compiler_.new_model().external_network(*l3.external_network);
    view.attachment = compiler_.attachment_at(network.spec.port, network.spec.vlan_id);
    view.mtu = network.mtu;
  } else {
    view.attachment = compiler_.attachment_at(*l3.port, l3.vlan_id);
    view.mtu = compiler_.context().ports.at(*l3.port).mtu;
  }
  view.mac = wire::Mac::of(*l3.mac_address);
  view.source_validation = l3.source_validation;
  std::vector<IpAddress<Space::customer>> own;
  for (const auto& address : l3.ip_addresses) own.push_back(address.address);
  std::tie(view.icmp_source, view.icmp_source6) = first_of_each(own);
  return view;
}

std::shared_ptr<const OutLink> DomainCompiler::connection_link(const ConnectionModel& connection,
                                                               const ConnectionView& view) const {
  const L3ConnectionSpec& l3 = connection.spec.l3;
  auto link = std::make_shared<OutLink>();
  link->id = view.link;
  link->name = connection_link_name(name_, connection.name);
  link->domain = name_;
  link->attachment = view.attachment;
  const std::string* port = l3.port ? &*l3.port : nullptr;
  link->vlan = l3.vlan_id;
  if (l3.external_network) {
    const auto& network = *compiler_.new_model().external_network(*l3.external_network);
    port = &network.spec.port;
    link->vlan = network.spec.vlan_id;
  }
  link->port = compiler_.context().ports.at(*port).id;
  link->mac = view.mac;
  link->max_neighbors = model_.spec.limits.neighbors;
  link->router = true;
  link->duplicate_detection = l3.duplicate_address_detection == DuplicateDetection::optimistic;
  link->announce = !l3.external_network;
  for (const auto& own : l3.ip_addresses) {
    link->own.push_back({link_address(own.address), own.length});
  }
  return link;
}

void DomainCompiler::connections() {
  auto table = std::make_shared<std::vector<ConnectionView>>(table_size(next_.connections));
  for (const auto& [name, connection] : model_.connections) {
    const ConnectionView view = connection_view(*connection);
    if (!view.tunnel.valid()) {
      compiler_.out().new_links.push_back(connection_link(*connection, view));
    }
    (*table)[next_.connections.at(name).value()] = view;
  }
  if (before_ != nullptr) {
    for (const auto& [name, id] : before_->connections) {
      const ConnectionModel* stays = model_.connection(name);
      if (stays == nullptr || stays->spec.tunnel) {
        compiler_.give_up_link(connection_link_name(name_, name));
      }
    }
  }
  view_->connections_owner = table;
  view_->connections = table->data();
}

// The gateway's own addresses stand among the records, so that nobody else can have them as a
// source and ARP requests for them are found by the lookup that is made anyway.
void DomainCompiler::own_addresses() {
  for (const CaKey& key : next_.own) records_.erase(key);
  next_.own.clear();
  const auto add = [this](const IpAddress<Space::customer>& address, SubnetId subnet) {
    CustomerRecord record;
    record.set_ca(address);
    record.type = RecordType::own;
    record.subnet = subnet;
    // It may have been a machine's until this very change, whose record goes with it.
    const CustomerRecord* before = records_.find(record.key());
    if (before != nullptr && before->type != RecordType::own) compiler_.release(before->next_hop);
    records_.put(record);
    next_.own.push_back(record.key());
  };
  for (const auto& [name, subnet] : model_.subnets) {
    for (const auto& address : subnet->gateway_addresses) add(address, next_.subnets.at(name));
  }
  for (const auto& [name, connection] : model_.connections) {
    for (const auto& own : connection->spec.l3.ip_addresses) add(own.address, SubnetId());
  }
  records_touched_ = true;
}

CustomerRecord DomainCompiler::filled(const SubnetModel& subnet, const LookupRecord& record) {
  CustomerRecord out;
  out.set_pa(record.provider_address);
  out.mac = record.mac_address;
  if (out.pa_family == Family::ipv4) {  // an outer IPv6 header has no checksum
    out.header_sum = checksum_fold(checksum_sum(out.pa.data(), 4));
  }
  out.link = compiler_.link_of(provider_link_name(subnet.spec.provider_network));
  out.next_hop = compiler_.acquire(out.link, link_address(record.provider_address));
  out.subnet = next_.subnets.at(subnet.name);
  out.type = type_of(record.type);
  return out;
}

void DomainCompiler::put_record(const SubnetModel& subnet, const IpAddress<Space::customer>& ca,
                                const LookupRecord& record) {
  CustomerRecord fresh = filled(subnet, record);
  fresh.set_ca(ca);
  if (const CustomerRecord* old = records_.find(fresh.key()); old != nullptr) {
    compiler_.release(old->next_hop);
    if (old->pa != fresh.pa && old->subnet == fresh.subnet) {
      // Live migration: frames that are still under way from the old host are good for a second.
      moved_.push_back({ca, old->provider_address()});
    }
  }
  records_.put(fresh);
  records_touched_ = true;
}

void DomainCompiler::erase_record(const IpAddress<Space::customer>& ca, SubnetId subnet) {
  const CustomerRecord* old = records_.find(CaKey(ca));
  // Its address may have become another subnet's, or our own, in the same change.
  if (old == nullptr || old->type == RecordType::own || old->subnet != subnet) return;
  compiler_.release(old->next_hop);
  records_.erase(CaKey(ca));
  records_touched_ = true;
}

void DomainCompiler::reput_records_of(const SubnetModel& subnet) {
  for (const auto& [id, record] : subnet.records) {
    if (const auto* ca = std::get_if<IpAddress<Space::customer>>(&id)) {
      compiler_.pause();
      put_record(subnet, *ca, record);
    }
  }
}

void DomainCompiler::record(const TouchedRecord& touched) {
  const auto* ca = std::get_if<IpAddress<Space::customer>>(&touched.id);
  if (ca == nullptr) {
    children_touched_ = true;
    return;
  }
  const SubnetModel* subnet = compiler_.new_model().subnet(name_, touched.subnet);
  if (subnet != nullptr) {
    if (const LookupRecord* record = subnet->records.find(touched.id); record != nullptr) {
      return put_record(*subnet, *ca, *record);
    }
  }
  if (before_ == nullptr) return;
  const auto id = before_->subnets.find(touched.subnet);
  if (id != before_->subnets.end()) erase_record(*ca, id->second);
}

// Wildcards lie in the subnets' table, L2Only records in a list of their own: both are few.
void DomainCompiler::wildcards_and_l2() {
  auto table = std::make_shared<std::vector<SubnetView>>(*view_->subnets_owner);
  for (SubnetView& subnet : *table) {
    for (CustomerRecord* wildcard : {&subnet.wildcard, &subnet.wildcard6}) {
      if (wildcard->type != RecordType::none) compiler_.release(wildcard->next_hop);
      *wildcard = CustomerRecord{};
    }
  }
  for (const L2Record& old : view_->l2_records) compiler_.release(old.record.next_hop);
  view_->l2_records.clear();
  for (const auto& [name, subnet] : model_.subnets) {
    const auto& network = *compiler_.new_model().provider_network(subnet->spec.provider_network);
    const SubnetId id = next_.subnets.at(name);
    const auto fill = [this, &network, &model = *subnet](const RecordId& which,
                                                         CustomerRecord& out) {
      const LookupRecord* wildcard = model.records.find(which);
      // A wildcard that names the gateway itself is the hosts' view of us: nothing to send to.
      if (wildcard == nullptr || network.owns(wildcard->provider_address)) return;
      out = filled(model, *wildcard);
    };
    fill(WildcardV4{}, (*table)[id.value()].wildcard);
    fill(WildcardV6{}, (*table)[id.value()].wildcard6);
    for (auto at = subnet->records.lower_bound(RecordId(MacAddress())); at != subnet->records.end();
         ++at) {
      view_->l2_records.push_back(
          {id, wire::mac_key(std::get<MacAddress>(at->first)), filled(*subnet, at->second)});
    }
  }
  std::sort(view_->l2_records.begin(), view_->l2_records.end(), l2_before);
  view_->subnets_owner = table;
  view_->subnets = table->data();
}

std::shared_ptr<const CompiledDomain> DomainCompiler::finish() {
  if (children_touched_) wildcards_and_l2();
  if (records_touched_) {
    view_->set_records(std::move(records_).finish());
  }
  if (!moved_.empty()) {
    for (const MovedRecord& moved : moved_) {
      compiler_.out().moved.push_back({Instant{}, name_, view_->uid, moved});
    }
    if (view_->moved != nullptr) {
      moved_.insert(moved_.end(), view_->moved->all().begin(), view_->moved->all().end());
    }
    view_->moved = std::make_shared<const MovedRecords>(moved_);
  }
  next_.view = view_;
  return std::make_shared<const CompiledDomain>(std::move(next_));
}

}  // namespace hnv
