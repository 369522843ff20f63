// SPDX-License-Identifier: Apache-2.0
#include "tests/support/dataplane_facts.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hnv {
namespace {

// VSIDs that tests use; those that are gone must be gone from the table too.
constexpr uint32_t kFirstVsid = Vsid::kMin;
constexpr uint32_t kLastVsid = 0x1fff;

template <class Bytes>
std::string hex(const Bytes& bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}
std::string text(const wire::Mac& mac) { return fmt::format("{:012x}", mac.key()); }
std::string text(uint32_t address) {
  return CaAddress(address) == CaAddress()
             ? "none"
             : IpAddress<Space::customer>(CaAddress(address)).to_string();
}

template <class Id>
std::string name_of(const std::map<std::string, Id>& ids, Id id) {
  for (const auto& [name, known] : ids) {
    if (known == id) return name;
  }
  return id.valid() ? "NOBODY" : "-";
}

class Facts {
 public:
  explicit Facts(const TestDataplane& network)
      : network_(network), plane_(network.plane()), compiled_(network.compiled()) {}

  std::vector<std::string> gather() {
    attachments();
    vsids();
    for (const auto& [name, domain] : compiled_.domains) this->domain(name, *domain);
    links();
    nat();
    for (const NextHopId id : named_) next_hop(id);
    say("{} next hops", network_.next_hops().size());
    std::sort(facts_.begin(), facts_.end());
    return std::move(facts_);
  }

 private:
  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    facts_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  // NAT: what has a number is named by what it stands for.
  void nat() {
    const NatPlan& plan = *plane_.nat;
    for (const PublicAddress& address : plan.public_addresses) {
      std::string spaces;
      for (const PortSpace& space : address.spaces) {
        spaces += fmt::format(" {} {}-{}/{}", plan.pools[space.pool.value()].name,
                              space.range.first, space.range.last, space.block_ports);
      }
      const auto& network = (*plane_.outside)[address.network.value()];
      const bool whole = address.compartment.valid();
      say("nat address {} of {} at {} ping {} own {} whole {} for {}{}",
          text(address.address.value()), network.name, place(network.attachment),
          address.respond_to_ping, address.interface_address,
          whole ? plane_.compartment(address.compartment)->name : "-", text(address.inside.value()),
          spaces);
      if (plan.at(network.attachment, address.address) == nullptr ||
          plan.find(address.address) == nullptr) {
        say("nat address {} is in no table", text(address.address.value()));
      }
    }
    for (const NatPool& pool : plan.pools) {
      if (!pool.members.empty()) {
        say("nat pool {} {}-{}/{} of {} domains, {} members", pool.name, pool.range.first,
            pool.range.last, pool.block_ports, pool.domains, pool.members.size());
      }
    }
    for (const OneToOne6& six : plan.one_to_one6) {
      say("nat address {} at {} for {} {}", hex(six.address), place(six.attachment),
          plane_.compartment(six.compartment)->name, hex(six.inside));
    }
    for (size_t i = 0; i < plan.rules.size(); ++i) {
      if (plan.rules[i] != nullptr && plan.rules[i]->enabled) nat_rules(plan, *plan.rules[i]);
    }
  }

  void nat_rules(const NatPlan& plan, const NatRules& rules) {
    const CompartmentView* view = plane_.compartment(rules.compartment);
    const std::string name = view == nullptr ? "NOBODY" : view->name;
    say("{} nat {} filtering {} refusal {} hairpin {} log {} mtu {} limits {} {} uid {}", name,
        rules.domain, static_cast<int>(rules.filtering), static_cast<int>(rules.refusal),
        rules.hairpin, rules.log_sessions, rules.inner_mtu, rules.limits.sessions_per_domain,
        rules.timeouts.udp, view != nullptr && view->uid == rules.compartment_uid);
    for (const auto& rule : rules.outbound) {
      say("{} nat rule {:08x}/{:08x} {} {}-{}", name, rule.source.network, rule.source.mask,
          plan.pools[rule.pool.value()].name, rule.range.first, rule.range.last);
    }
    for (const InsideStatic& mapping : rules.statics) {
      const auto protocol = static_cast<uint8_t>(mapping.key >> 16);
      const StaticMapping* found = plan.static_at(mapping.address, protocol, mapping.port);
      say("{} nat mapping {:x} at {}:{} inside {} remote {:x}", name, mapping.key,
          text(mapping.address.value()), mapping.port.value(),
          found == nullptr ? "NOBODY" : text(found->inside.value()),
          found == nullptr ? 0U : found->remote.mask);
    }
  }

  std::string place(AttachmentId id) const {
    for (const auto& [place, known] : compiled_.attachment_ids) {
      if (known == id) return fmt::format("{} vlan {}", place.port, place.vlan_id.value());
    }
    return "NOWHERE";
  }
  std::string target(NextHopId id) {
    if (!id.valid()) return "-";
    named_.insert(id);
    const NextHopTarget& target = network_.next_hops().target(id);
    const OutLink* link = network_.next_hops().link(target.link);
    return fmt::format("{} on {}", target.address.to_string(),
                       link == nullptr ? "NO LINK" : link->name);
  }

  void attachments() {
    const AttachmentTable& table = *plane_.attachments;
    for (uint32_t port = 0; port < table.ports.size(); ++port) {
      for (uint16_t vlan = 0; vlan < 4096; ++vlan) {
        AttachmentId id;
        const Attachment* found = table.find(PortId(port), vlan, id);
        if (found == nullptr) continue;
        say("attachment {}: kind {} port {} vlan {} mac {} own {} link {}", place(id),
            static_cast<int>(found->kind), found->port.value(), found->vlan.value(),
            text(found->mac), fmt::join(found->own_addresses, ","), link_name(found->link));
      }
    }
  }
  std::string link_name(LinkId id) const {
    const OutLink* link = id.valid() ? network_.next_hops().link(id) : nullptr;
    return link == nullptr ? "-" : link->name;
  }

  void vsids() {
    for (uint32_t vsid = kFirstVsid; vsid <= kLastVsid; ++vsid) {
      const VsidEntry* entry = plane_.vsids->find(vsid);
      if (entry == nullptr) continue;
      const CompartmentView* view = plane_.compartment(entry->compartment);
      if (view == nullptr) {
        say("vsid {} NO COMPARTMENT", vsid);
        continue;
      }
      const CompiledDomain& domain = **compiled_.domains.find(view->name);
      const VsidDoor& door = plane_.vsids->door_of(*entry);
      say("vsid {}: {} subnet {} at {} to {} {} mac {:012x}", vsid, view->name,
          name_of(domain.subnets, entry->subnet), place(door.network), text(door.provider_address),
          address_text::format6(door.provider_address6), door.mac);
    }
  }

  void domain(const std::string& name, const CompiledDomain& domain) {
    const CompartmentView& view = *domain.view;
    if (plane_.compartment(view.id) != &view) say("{} NOT REACHED BY WORKERS", name);
    say("{}: {} icmp source {} prefixes {} counters {}", name, view.name, text(view.icmp_source),
        view.prefixes.size(), view.counters != nullptr);
    for (const auto& [subnet, id] : domain.subnets) {
      const SubnetView& s = view.subnet(id);
      std::array<uint8_t, sizeof(NvgreHeader)> header{};
      std::memcpy(header.data(), &s.header, sizeof header);
      say("{} subnet {}: header {} sum {} mtu {} vsid {} at {} pa {} icmp {} own {}", name, subnet,
          hex(header), s.header_sum, s.mtu, s.vsid, place(s.network), text(s.provider_address),
          text(s.icmp_source), s.has_own_address);
      if (s.wildcard.type != RecordType::none)
        record(name, domain, "wildcard " + subnet, s.wildcard);
    }
    for (const auto& [connection, id] : domain.connections) {
      const ConnectionView& c = view.connection(id);
      say("{} connection {}: at {} link {} mac {} mtu {} validation {} icmp {} counters {}", name,
          connection, place(c.attachment), link_name(c.link), text(c.mac), c.mtu,
          static_cast<int>(c.source_validation), text(c.icmp_source), c.counters != nullptr);
      const auto* found = plane_.l3->find(L3Table::key(c.attachment, c.mac));
      if (found == nullptr || found->compartment != view.id || found->connection != id) {
        say("{} connection {} NOT IN THE TABLE OF MACS", name, connection);
      }
    }
    for (const L2Record& l2 : view.l2_records) {
      record(name, domain, fmt::format("l2 {} {:012x}", name_of(domain.subnets, l2.subnet), l2.mac),
             l2.record);
    }
    size_t records = 0;
    view.records->for_each([&](const CustomerRecord& r) {
      ++records;
      record(name, domain, "record " + hex(r.ca), r);
    });
    say("{}: {} records, said {}", name, records, view.records->size());
    routes(name, domain);
  }

  void record(const std::string& name, const CompiledDomain& domain, const std::string& what,
              const CustomerRecord& r) {
    say("{} {}: pa {} mac {} sum {} type {} subnet {} via {}", name, what, hex(r.pa),
        r.mac.to_string(), r.header_sum, static_cast<int>(r.type),
        name_of(domain.subnets, r.subnet), target(r.next_hop));
  }

  void routes(const std::string& name, const CompiledDomain& domain) {
    std::vector<Prefix<Space::customer>> prefixes;
    domain.routes->for_each_best(
        [&](const RouteCandidate& best) { prefixes.push_back(best.prefix); });
    std::set<uint32_t> probes{0, 0xffffffff};
    for (const auto& prefix : prefixes) {
      for (const RouteExplanation& e : domain.routes->explain(prefix)) {
        say("{} route {}: {} metric {} preference {} best {} {} {}", name, prefix.to_string(),
            to_string(e.candidate.source), e.candidate.metric, e.preference, e.best,
            to_string(e.candidate.hop), e.reason);
      }
      if (!prefix.address().is_v4()) continue;
      const uint32_t first = prefix.address().v4().value();
      const uint32_t last =
          first | (prefix.length() == 0 ? ~0U : ~0U >> 1 >> (prefix.length() - 1));
      for (const uint32_t a : {first - 1, first, first + 1, first + 4, last - 1, last, last + 1}) {
        probes.insert(a);
      }
    }
    for (const uint32_t probe : probes) {
      const HopId hop = domain.view->fib_owner->lookup(probe);
      say("{} fib {}: {}", name, text(probe),
          hop.valid() ? hop_text(domain, domain.view->hop(hop)) : "no route");
    }
  }

  std::string hop_text(const CompiledDomain& domain, const Hop& hop) {
    return fmt::format("kind {} via {} subnet {} connection {} to {}", static_cast<int>(hop.kind),
                       text(hop.via.v4()), name_of(domain.subnets, hop.subnet),
                       name_of(domain.connections, hop.connection), target(hop.next_hop));
  }

  void links() {
    for (const auto& [name, id] : compiled_.link_ids) {
      const OutLink* link = network_.next_hops().link(id);
      if (link == nullptr || link->id != id || link->name != name) {
        say("link {} NOT KNOWN TO THE NEXT HOPS", name);
        continue;
      }
      std::vector<std::string> own;
      for (const auto& address : link->own) own.push_back(address.to_string());
      std::vector<std::string> routes;
      for (const auto& route : link->routes) {
        routes.push_back(fmt::format("{} metric {} to {}", route.prefix.to_string(), route.metric,
                                     route.next_hop.to_string()));
      }
      say("link {}: at {} port {} vlan {} mac {} own {} routes {} trusted {} zero flow {} "
          "overrides "
          "{} neighbors {}",
          name, place(link->attachment), link->port.value(), link->vlan.value(), text(link->mac),
          fmt::join(own, ","), fmt::join(routes, ","), link->trusted, link->zero_flow_id,
          link->flow_id_overrides.size(), link->max_neighbors);
    }
  }

  void next_hop(NextHopId id) {
    const NextHop& hop = plane_.next_hops[id.value()];
    say("next hop {}: state {} header {} zero flow at {} port {} uid {}", target(id),
        static_cast<int>(hop.state), hex(hop.header), hop.zero_flow_id_at, hop.port.value(),
        hop.uid == network_.next_hops().uid(id));
  }

  const TestDataplane& network_;
  const Dataplane& plane_;
  const Compiled& compiled_;
  std::vector<std::string> facts_;
  std::set<NextHopId> named_;
};

}  // namespace

std::vector<std::string> facts(const TestDataplane& network) { return Facts(network).gather(); }

std::vector<std::string> facts_of(const TestDataplane& network, const std::string& domain) {
  std::vector<std::string> found = facts(network);
  std::erase_if(found, [&](const auto& fact) { return fact.find(domain) == std::string::npos; });
  return found;
}

std::string difference(const std::vector<std::string>& wanted,
                       const std::vector<std::string>& found) {
  std::string text;
  std::vector<std::string> only;
  std::set_difference(wanted.begin(), wanted.end(), found.begin(), found.end(),
                      std::back_inserter(only));
  for (const auto& fact : only) text += "\n  wanted " + fact;
  only.clear();
  std::set_difference(found.begin(), found.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(only));
  for (const auto& fact : only) text += "\n  found  " + fact;
  return text;
}

}  // namespace hnv
