// SPDX-License-Identifier: Apache-2.0
//
// NAT's plan: pools, public addresses and static mappings are compiled anew whenever any
// of them changes; a domain's rules only when they do, for their serial is what sessions are
// checked by.
//
// Numbers of pools, port spaces and domains mean something to the workers' sessions. What goes
// keeps its number, at rest, until every worker has gone through its sessions once.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "gateway/compiler.h"

namespace hnv {
namespace {

template <Space S>
be32 on_wire(const IpAddress<S>& address) {
  return be32{address.v4().value()};
}

// A pool as the plan will have it, wherever it was asked for.
struct PlannedPool {
  std::string name;
  std::string network;
  std::vector<Prefix<Space::external>> addresses;
  PortRange range;
  uint16_t block_ports = 64;
  uint32_t domains = 1;
  bool respond_to_ping = false;
};

uint64_t seed_of(const Guid& guid) {
  const std::string text = guid.to_string();
  uint64_t seed = 0;
  for (const char c : text) seed = (seed ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return seed;
}

std::string rule_pool_name(const std::string& domain, const std::string& rule) {
  return "routingDomains/" + domain + "/nat/outboundRules/" + rule;
}
std::string pool_name(const std::string& pool) { return "publicIPAddresses/" + pool; }

constexpr uint8_t protocol_of(NatProtocol protocol) {
  return protocol == NatProtocol::tcp ? wire::ip_protocol::kTcp : wire::ip_protocol::kUdp;
}

std::vector<PlannedPool> planned_pools(const DesiredState& model) {
  std::vector<PlannedPool> pools;
  for (const auto& [name, pool] : model.public_address_pools) {
    const PublicAddressPoolSpec& spec = pool->spec;
    uint32_t domains = 0;
    for (auto at = model.domains_by_pool.lower_bound(PoolUse{name, ""});
         at != model.domains_by_pool.end() && at->first.pool == name; ++at) {
      ++domains;
    }
    pools.push_back({.name = pool_name(name),
                     .network = spec.external_network,
                     .addresses = spec.addresses,
                     .range = spec.port_range,
                     .block_ports = port_block_size(spec),
                     .domains = domains,
                     .respond_to_ping = spec.respond_to_ping});
  }
  // Addresses that a rule has for itself.
  std::set<std::string> seen;
  for (const auto& [ports, user] : model.public_ports) {
    const auto* owner = std::get_if<NatKey>(&user.user);
    if (owner == nullptr || !seen.insert(rule_pool_name(owner->domain, user.name)).second) continue;
    const NatSpec& spec = model.nat(owner->domain)->spec;
    for (const OutboundRuleSpec& rule : spec.outbound_rules) {
      if (rule.name != user.name || rule.pool) continue;
      const PortRange range = rule.port_range.value_or(PortRange{});
      pools.push_back({.name = rule_pool_name(owner->domain, rule.name),
                       .network = *rule.external_network,
                       .addresses = rule.public_addresses,
                       .range = range,
                       .block_ports = port_block_size(range)});
    }
  }
  return pools;
}

}  // namespace

// One compilation of the plan.
class NatCompiler {
 public:
  NatCompiler(Compiler& compiler, const CompiledNat& before, Compiled& compiled)
      : compiler_(compiler), model_(compiler.new_model()), compiled_(compiled), next_(before) {
    plan_ = *before.plan;
    ++plan_.serial;
    plan_.workers = compiler.context().workers;
  }

  void pools();
  void statics();
  void rules(const std::string& domain);
  [[nodiscard]] std::shared_ptr<const CompiledNat> finish();

 private:
  [[nodiscard]] OutsideNetworkId network_id(const std::string& name) const {
    return compiled_.outside->ids.at(name);
  }
  [[nodiscard]] AttachmentId attachment_of(OutsideNetworkId network) const {
    return (*compiled_.outside->networks)[network.value()].attachment;
  }
  [[nodiscard]] NatPoolId pool_id(const std::string& name);
  PublicAddressId public_address(const std::string& network, be32 address);
  [[nodiscard]] PortSpace space(const NatPool& pool, NatPoolId id, be32 address);
  void add_pool(const PlannedPool& planned);
  [[nodiscard]] OneToOne6 one_to_one6(const StaticMappingSpec& spec, CompartmentId domain) const;
  void add_static(const StaticMappingSpec& spec, const CompiledDomain& domain,
                  std::vector<StaticMapping>& out);
  void disable(CompartmentId id);
  [[nodiscard]] std::shared_ptr<NatRules> rules_of(const CompiledDomain& domain,
                                                   const NatSpec& spec, const std::string& name);
  [[nodiscard]] uint16_t inner_mtu(const std::string& domain) const;
  [[nodiscard]] OutsideNetworkId only_network(const NatRules& rules, const NatSpec& spec) const;
  Compiler& compiler_;
  const DesiredState& model_;
  Compiled& compiled_;
  CompiledNat next_;
  NatPlan plan_;
  std::map<uint32_t, PublicAddressId> addresses_;
  std::vector<NatPlan::AddressEntry> by_attachment_, anywhere_;
};

NatPoolId NatCompiler::pool_id(const std::string& name) {
  if (const auto known = next_.pools.find(name); known != next_.pools.end()) return known->second;
  NatPoolId id(static_cast<uint32_t>(plan_.pools.size()));
  if (next_.free_pools.empty()) {
    plan_.pools.emplace_back();
  } else {
    id = next_.free_pools.back();
    next_.free_pools.pop_back();
  }
  next_.pools.emplace(name, id);
  return id;
}

PublicAddressId NatCompiler::public_address(const std::string& network, be32 address) {
  const auto [at, fresh] = addresses_.try_emplace(
      address.raw(), PublicAddressId(static_cast<uint32_t>(plan_.public_addresses.size())));
  if (!fresh) return at->second;
  const OutsideNetworkId id = network_id(network);
  const ExternalNetworkModel& model = *model_.external_network(network);
  PublicAddress out;
  out.address = address;
  out.network = id;
  out.interface_address = std::any_of(
      model.spec.ip_addresses.begin(), model.spec.ip_addresses.end(), [&](const auto& own) {
        return own.address.is_v4() && on_wire(own.address).raw() == address.raw();
      });
  plan_.public_addresses.push_back(out);
  by_attachment_.push_back({NatPlan::address_key(attachment_of(id), address), at->second});
  anywhere_.push_back({uint64_t{1} << 32 | address.raw(), at->second});
  return at->second;
}

// A pool's part of an address keeps its number as long as its ports are cut in the same way.
PortSpace NatCompiler::space(const NatPool& pool, NatPoolId id, be32 address) {
  const auto key = std::pair(id, address.raw());
  if (const auto known = next_.spaces.find(key); known != next_.spaces.end()) {
    PortSpace& old = plan_.spaces[known->second.value()];
    if (old.range == pool.range && old.block_ports == pool.block_ports) {
      old.leaving = false;
      return old;
    }
    next_.resting_spaces.emplace_back(known->second, plan_.serial);
    next_.spaces.erase(known);
  }
  PortSpaceId fresh(static_cast<uint32_t>(plan_.spaces.size()));
  if (next_.free_spaces.empty()) {
    plan_.spaces.emplace_back();
  } else {
    fresh = next_.free_spaces.back();
    next_.free_spaces.pop_back();
  }
  next_.spaces.emplace(key, fresh);
  PortSpace& entry = plan_.spaces[fresh.value()];
  entry = {.id = fresh,
           .stamp = next_.next_stamp++,
           .pool = id,
           .range = pool.range,
           .block_ports = pool.block_ports};
  return entry;
}

void NatCompiler::add_pool(const PlannedPool& planned) {
  const NatPoolId id = pool_id(planned.name);
  NatPool pool;
  pool.name = planned.name;
  pool.range = planned.range;
  pool.block_ports = planned.block_ports;
  pool.domains = planned.domains;
  for (const auto& prefix : planned.addresses) {
    const uint32_t first = prefix.address().v4().value();
    const uint32_t count = uint32_t{1} << (32 - prefix.length());
    for (uint32_t i = 0; i < count; ++i) {
      const be32 address{first + i};
      const PublicAddressId public_id = public_address(planned.network, address);
      PublicAddress& out = plan_.public_addresses[public_id.value()];
      out.respond_to_ping |= planned.respond_to_ping;
      const PortSpace part = space(pool, id, address);
      out.spaces.push_back(part);
      pool.members.push_back({public_id, part});
    }
  }
  NatPool& old = plan_.pools[id.value()];
  const auto same = [](const NatPool::Member& a, const NatPool::Member& b) {
    return a.space.id == b.space.id && a.space.stamp == b.space.stamp;
  };
  const bool unchanged = old.range == pool.range && old.block_ports == pool.block_ports &&
                         std::equal(old.members.begin(), old.members.end(), pool.members.begin(),
                                    pool.members.end(), same);
  pool.stamp = unchanged ? old.stamp : next_.next_stamp++;
  old = std::move(pool);
}

void NatCompiler::pools() {
  plan_.public_addresses.clear();
  std::set<std::string> names;
  for (PortSpace& part : plan_.spaces) part.leaving = true;
  for (const PlannedPool& planned : planned_pools(model_)) {
    compiler_.pause();
    names.insert(planned.name);
    add_pool(planned);
  }
  // What nobody has asked for this time goes.
  std::erase_if(next_.spaces, [&](const auto& entry) {
    if (!plan_.spaces[entry.second.value()].leaving) return false;
    next_.resting_spaces.emplace_back(entry.second, plan_.serial);
    return true;
  });
  std::erase_if(next_.pools, [&](const auto& entry) {
    if (names.contains(entry.first)) return false;
    plan_.pools[entry.second.value()].members.clear();
    next_.resting_pools.emplace_back(entry.second, plan_.serial);
    return true;
  });
}

void NatCompiler::add_static(const StaticMappingSpec& spec, const CompiledDomain& domain,
                             std::vector<StaticMapping>& out) {
  const be32 address = on_wire(spec.public_address);
  const PublicAddressId id = public_address(spec.external_network, address);
  const AddressMask remote =
      spec.remote_prefix ? AddressMask::of(*spec.remote_prefix) : AddressMask{};
  if (spec.protocol == NatProtocol::any) {
    PublicAddress& whole = plan_.public_addresses[id.value()];
    whole.compartment = domain.view->id;
    whole.inside = on_wire(spec.inside_address);
    whole.remote = remote;
    return;
  }
  out.push_back(
      {.key = StaticMapping::key_of(address, protocol_of(spec.protocol), be16{spec.public_port}),
       .compartment = domain.view->id,
       .inside = on_wire(spec.inside_address),
       .remote = remote,
       .inside_port = be16{spec.inside_port}});
}

OneToOne6 NatCompiler::one_to_one6(const StaticMappingSpec& spec, CompartmentId domain) const {
  const OutsideNetworkId network = network_id(spec.external_network);
  return {.attachment = attachment_of(network),
          .address = spec.public_address.bytes(),
          .inside = spec.inside_address.bytes(),
          .network = network,
          .compartment = domain,
          .remote = spec.remote_prefix.value_or(
              Prefix<Space::external>(IpAddress<Space::external>(Ip6<Space::external>()), 0))};
}

void NatCompiler::statics() {
  std::vector<StaticMapping> table;
  plan_.one_to_one6.clear();
  for (const auto& [key, name] : model_.static_mappings) {
    compiler_.pause();
    const auto* domain = compiled_.domains.find(name.domain);
    const NatModel* nat = model_.nat(name.domain);
    if (domain == nullptr || nat == nullptr) continue;
    const auto& all = nat->spec.static_mappings;
    const auto spec =
        std::find_if(all.begin(), all.end(),
                     [&wanted = name.name](const auto& mapping) { return mapping.name == wanted; });
    if (spec == all.end()) continue;
    if (key.address.is_v4()) {
      add_static(*spec, **domain, table);
    } else {
      plan_.one_to_one6.push_back(one_to_one6(*spec, (*domain)->view->id));
    }
  }
  std::sort(plan_.one_to_one6.begin(), plan_.one_to_one6.end(),
            [](const auto& a, const auto& b) { return a.key() < b.key(); });
  plan_.any_statics = !table.empty();
  plan_.statics = KeyedTable<StaticMapping>(table);
  plan_.addresses = KeyedTable<NatPlan::AddressEntry>(by_attachment_);
  plan_.anywhere = KeyedTable<NatPlan::AddressEntry>(anywhere_);
  std::vector<be32> addresses;
  for (const PublicAddress& one : plan_.public_addresses) addresses.push_back(one.address);
  plan_.anywhere_filter = AddressFilter(addresses);
}

uint16_t NatCompiler::inner_mtu(const std::string& domain) const {
  uint16_t least = 0xffff;
  for (const auto& [name, subnet] : model_.domain(domain)->subnets) {
    least = std::min(least, model_.inner_mtu(*subnet));
  }
  return least == 0xffff ? uint16_t{1500} : least;
}

OutsideNetworkId NatCompiler::only_network(const NatRules& rules, const NatSpec& spec) const {
  std::set<OutsideNetworkId> networks;
  for (const NatRules::Outbound& rule : rules.outbound) {
    for (const NatPool::Member& member : plan_.pools[rule.pool.value()].members) {
      networks.insert(plan_.public_addresses[member.address.value()].network);
    }
  }
  for (const StaticMappingSpec& mapping : spec.static_mappings) {
    networks.insert(network_id(mapping.external_network));
  }
  return networks.size() == 1 ? *networks.begin() : OutsideNetworkId();
}

std::shared_ptr<NatRules> NatCompiler::rules_of(const CompiledDomain& domain, const NatSpec& spec,
                                                const std::string& name) {
  auto rules = std::make_shared<NatRules>();
  rules->filtering = spec.filtering;
  rules->refusal = spec.refusal;
  rules->hairpin = spec.hairpin;
  rules->log_sessions = spec.log_sessions;
  rules->inner_mtu = inner_mtu(name);
  rules->timeouts = spec.timeouts;
  rules->limits = spec.limits;
  for (const OutboundRuleSpec& rule : spec.outbound_rules) {
    const std::string wanted = rule.pool ? pool_name(*rule.pool) : rule_pool_name(name, rule.name);
    const auto pool = next_.pools.find(wanted);
    if (pool == next_.pools.end()) continue;  // cannot be: the model has checked it
    const PortRange all = plan_.pools[pool->second.value()].range;
    const PortRange range = rule.port_range.value_or(all);
    for (const auto& prefix : rule.source_prefixes) {
      rules->outbound.push_back(
          {.source = AddressMask::of(prefix), .pool = pool->second, .range = range});
    }
  }
  std::stable_sort(rules->outbound.begin(), rules->outbound.end(),
                   [](const auto& a, const auto& b) {
                     return __builtin_popcount(a.source.mask) > __builtin_popcount(b.source.mask);
                   });
  std::vector<InsideOneToOne> whole;
  for (const StaticMappingSpec& mapping : spec.static_mappings) {
    if (!mapping.public_address.is_v4()) {
      rules->one_to_one6.push_back(one_to_one6(mapping, domain.view->id));
      continue;
    }
    const be32 address = on_wire(mapping.public_address);
    const be32 inside = on_wire(mapping.inside_address);
    if (mapping.protocol == NatProtocol::any) {
      whole.push_back({.key = inside.raw(), .address = address});
    } else {
      rules->statics.push_back({.key = InsideStatic::key_of(inside, protocol_of(mapping.protocol),
                                                            be16{mapping.inside_port}),
                                .address = address,
                                .port = be16{mapping.public_port}});
    }
  }
  std::sort(rules->statics.begin(), rules->statics.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
  std::sort(rules->one_to_one6.begin(), rules->one_to_one6.end(),
            [](const auto& a, const auto& b) { return a.inside < b.inside; });
  rules->has_one_to_one = !whole.empty();
  rules->one_to_one = KeyedTable<InsideOneToOne>(whole);
  rules->domain = name;
  rules->compartment = domain.view->id;
  rules->compartment_uid = domain.view->uid;
  rules->network = only_network(*rules, spec);
  rules->owner_seed = seed_of(*model_.domain(name)->spec.routing_domain_id);
  return rules;
}

// What it had ends; its counters stay until it has.
void NatCompiler::disable(CompartmentId id) {
  const NatRules* old = plan_.rules_of(id);
  if (old == nullptr || !old->enabled) return;
  auto off = std::make_shared<NatRules>();
  off->enabled = false;
  off->serial = next_.next_rules++;
  off->timeouts = old->timeouts;
  off->timeouts.port_rest = 0;
  off->domain = old->domain;
  off->compartment = old->compartment;
  off->compartment_uid = old->compartment_uid;
  off->log_sessions = old->log_sessions;
  off->counters_owner = old->counters_owner;
  off->counters = off->counters_owner.get();
  plan_.rules = plan_.rules.with(id.value(), off);
  next_.resting_domains.emplace_back(id, plan_.serial);
}

void NatCompiler::rules(const std::string& name) {
  const auto* found = compiled_.domains.find(name);
  const NatModel* nat = model_.nat(name);
  if (found == nullptr || nat == nullptr) {
    // By its name: the domain may be gone.
    for (size_t i = 0; i < plan_.rules.size(); ++i) {
      const CompartmentId id(static_cast<uint32_t>(i));
      const NatRules* old = plan_.rules_of(id);
      if (old == nullptr || old->domain != name) continue;
      disable(id);
    }
    return;
  }
  const CompiledDomain& domain = **found;
  auto rules = rules_of(domain, nat->spec, name);
  rules->serial = next_.next_rules++;
  const NatRules* old = plan_.rules_of(domain.view->id);
  if (old != nullptr && old->compartment_uid == rules->compartment_uid) {
    rules->counters_owner = old->counters_owner;
    std::erase_if(next_.resting_domains,
                  [&](const auto& resting) { return resting.first == domain.view->id; });
  } else {
    rules->counters_owner.reset(new NatCounters[plan_.workers]());
  }
  rules->counters = rules->counters_owner.get();
  plan_.rules = plan_.rules.with(domain.view->id.value(), rules);
}

std::shared_ptr<const CompiledNat> NatCompiler::finish() {
  next_.plan = std::make_shared<const NatPlan>(std::move(plan_));
  return std::make_shared<const CompiledNat>(std::move(next_));
}

// Whether a domain's NAT says something else of what all share: pools, public addresses, mappings.
bool Compiler::nat_tables_differ() const {
  return std::any_of(nat_of_.begin(), nat_of_.end(), [&](const std::string& name) {
    const NatModel* was = old_.nat(name);
    const NatModel* is = new_.nat(name);
    if (was == is) {
      const auto* before = before_.domains.find(name);
      const auto* now = next_.domains.find(name);
      return is != nullptr &&
             (before == nullptr || now == nullptr || (*before)->view->id != (*now)->view->id);
    }
    return was == nullptr || is == nullptr ||
           was->spec.static_mappings != is->spec.static_mappings ||
           was->spec.outbound_rules != is->spec.outbound_rules;
  });
}

void Compiler::compile_nat() {
  // Domains that have NAT, or had it, and were compiled anew: their MTU, their number.
  for (const std::string& name : structural_) {
    if (new_.nat(name) != nullptr || old_.nat(name) != nullptr) nat_of_.insert(name);
  }
  const bool used = !new_.nat_by_external_network.empty() || before_.nat->plan->serial != 0;
  if (nat_of_.empty() && !nat_touched_ && !(outside_touched_ && used)) return;
  NatCompiler compiler(*this, *before_.nat, next_);
  const bool first = before_.nat->plan->serial == 0;
  if (outside_touched_ || first || pools_touched_ || nat_tables_differ()) {
    compiler.pools();
    compiler.statics();
  }
  for (const std::string& name : nat_of_) compiler.rules(name);
  next_.nat = compiler.finish();
}

std::shared_ptr<const Compiled> with_nat_swept(const std::shared_ptr<const Compiled>& before,
                                               uint64_t swept) {
  auto nat = std::make_shared<CompiledNat>(*before->nat);
  auto plan = std::make_shared<NatPlan>(*nat->plan);
  auto next = std::make_shared<Compiled>(*before);
  const auto done = [swept](const auto& resting) { return resting.second <= swept; };
  for (const auto& resting : nat->resting_spaces) {
    if (done(resting)) nat->free_spaces.push_back(resting.first);
  }
  for (const auto& resting : nat->resting_pools) {
    if (done(resting)) nat->free_pools.push_back(resting.first);
  }
  for (const auto& resting : nat->resting_domains) {
    if (!done(resting)) continue;
    plan->rules = plan->rules.with(resting.first.value(), nullptr);
    // The domain went meanwhile, or with its NAT.
    if (next->compartments[resting.first.value()] == nullptr) {
      next->free_compartments.push_back(resting.first);
    }
  }
  std::erase_if(nat->resting_spaces, done);
  std::erase_if(nat->resting_pools, done);
  std::erase_if(nat->resting_domains, done);
  nat->plan = std::move(plan);
  next->nat = std::move(nat);
  return next;
}

}  // namespace hnv
