// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgpd_config.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

constexpr std::array<Family, 2> kFamilies{Family::ipv4, Family::ipv6};

char digit_of(Family family) { return family == Family::ipv4 ? '4' : '6'; }
std::string_view ip_of(Family family) { return family == Family::ipv4 ? "ip" : "ipv6"; }

struct Statement {
  std::vector<std::string> context;
  BgpdLine line;
  std::string undo;    // with the context: what thing it is, whatever its value
  std::string parent;  // undo of the statement that this one ends with; empty: none
  bool is_peer = false;
};
using Statements = std::vector<Statement>;

// Statements in their place.
class Builder {
 protected:
  template <class... T>
  void top(std::string_view format, const T&... values) {
    std::string line = fmt::format(fmt::runtime(format), values...);
    std::string undo = "no " + line;
    out_.push_back({{}, {std::move(line)}, std::move(undo), {}, false});
  }
  // With how it is taken back; equal ways of that are one thing with several values.
  void in(std::vector<std::string> context, std::string line, std::string undo, std::string parent,
          SharedSecret secret = {}) {
    out_.push_back({std::move(context),
                    {std::move(line), std::move(secret)},
                    std::move(undo),
                    std::move(parent)});
  }
  // An entry of a route map, with the lines in it.
  void map_entry(const std::string& map, uint32_t sequence, PolicyAction action,
                 const std::vector<std::string>& lines) {
    const std::string head = fmt::format(
        "route-map {} {} {}", map, action == PolicyAction::permit ? "permit" : "deny", sequence);
    in({}, head, "no " + head, {});
    for (const std::string& line : lines) {
      in({head}, line, line.starts_with("call ") ? "no call" : "no " + line, "no " + head);
    }
  }

  Statements out_;
};

// What is alike for all domains: most of them need no map of their own, and each map more makes
// bgpd slower at every change of any (28 ms a line with 100 domains that have some).
class CommonMaps : Builder {
 public:
  Statements run() {
    top("{0} prefix-list {1} seq 5 permit 0.0.0.0/0", "ip", "all:default4");
    top("{0} prefix-list {1} seq 5 permit ::/0", "ipv6", "all:default6");
    // What has an AS in its path was learned.
    top("bgp as-path access-list {0} seq 5 deny ^$", "all:learned");
    top("bgp as-path access-list {0} seq 10 permit .*", "all:learned");
    map_entry("all:deny", 30, PolicyAction::deny, {});
    for (const Family family : kFamilies) {
      const std::string name = fmt::format("all:i{}", digit_of(family));
      map_entry(name, 30, PolicyAction::permit, into(family));
      map_entry(name + ":nodefault", 10, PolicyAction::deny, {no_default(family)});
      map_entry(name + ":nodefault", 30, PolicyAction::permit, into(family));
    }
    map_entry("all:o:transit", 30, PolicyAction::permit, {});
    map_entry("all:o", 10, PolicyAction::deny, {no_transit()});
    map_entry("all:o", 30, PolicyAction::permit, {});
    return std::move(out_);
  }

  static std::string no_default(Family family) {
    return fmt::format("match {} address prefix-list all:default{}", ip_of(family),
                       digit_of(family));
  }
  static std::string no_transit() { return "match as-path all:learned"; }
  // A link-local next hop leads nowhere on a TUN.
  static std::vector<std::string> into(Family family) {
    if (family == Family::ipv4) return {};
    return {"set ipv6 next-hop prefer-global"};
  }
};

class Rendering : Builder {
 public:
  Rendering(uint32_t domain, const BgpDomainSpec& spec)
      : name_(bgpd_name(domain)),
        spec_(spec),
        router_(fmt::format("router bgp {} vrf {}", spec.router.as_number, name_)) {}

  Statements run() {
    for (const auto& [name, map] : spec_.policy_maps) {
      for (const Family family : kFamilies) policy_map(name, map, family);
    }
    for (const auto& [name, peer] : spec_.peers) {
      for (const Family family : families_of(peer)) peer_maps(name, peer, family);
    }
    router();
    for (const auto& [name, peer] : spec_.peers) neighbor(peer);
    for (const Family family : kFamilies) address_family(family);
    return std::move(out_);
  }

 private:
  void in_router(std::string line, std::string undo) {
    in({router_}, std::move(line), std::move(undo), "no " + router_);
  }
  void in_family(Family family, std::string line, std::string undo, std::string parent = {}) {
    if (parent.empty()) parent = "no " + router_;
    in({router_, af(family)}, std::move(line), std::move(undo), std::move(parent));
  }
  static std::string af(Family family) {
    return fmt::format("address-family {} unicast", family == Family::ipv4 ? "ipv4" : "ipv6");
  }

  // ---- Policy maps, one for each family: a list of one family matches nothing of the other.

  [[nodiscard]] std::string policy_name(const std::string& map, Family family) const {
    return fmt::format("{}:p{}:{}", name_, digit_of(family), map);
  }

  void policy_map(const std::string& name, const PolicyMapSpec& map, Family family) {
    for (const PolicyMapEntrySpec& entry : map.policy_map_entry_list) {
      std::vector<std::string> lines;
      const std::string list =
          fmt::format("{}:l{}:{}:{}", name_, digit_of(family), name, entry.sequence);
      if (!matches(entry.match, list, family, lines)) continue;
      sets(entry.set, list, family, lines);
      map_entry(policy_name(name, family), entry.sequence, entry.action, lines);
    }
    // A map without an entry would not be there, and one that is not there is not asked.
    map_entry(policy_name(name, family), 65'535, PolicyAction::deny, {});
  }

  // False: nothing of this family can match.
  bool matches(const PolicyMatchSpec& match, const std::string& list, Family family,
               std::vector<std::string>& lines) {
    if (!match_prefixes(match, list, family, lines)) return false;
    if (!match.asn_ranges.empty()) {
      uint32_t sequence = 0;
      for (const AsnRange& asns : match.asn_ranges) {
        top("bgp as-path access-list {} seq {} permit _({})_", list, sequence += 5,
            numbers_regex(asns.first, asns.last));
      }
      lines.push_back("match as-path " + list);
    }
    if (!match.communities.empty()) {
      community_list(list, match.communities);
      lines.push_back("match community " + list);
    }
    if (match.next_hops.empty()) return true;
    uint32_t sequence = 0;
    const std::string hops = list + ":hops";
    for (const auto& hop : match.next_hops) {
      if (hop.family() != family) continue;
      top("{} prefix-list {} seq {} permit {}/{}", ip_of(family), hops, sequence += 5,
          hop.to_string(), hop.bits());
    }
    lines.push_back(fmt::format("match {} next-hop prefix-list {}", ip_of(family), hops));
    return sequence != 0;
  }

  bool match_prefixes(const PolicyMatchSpec& match, const std::string& list, Family family,
                      std::vector<std::string>& lines) {
    if (match.prefixes.empty() && match.ignore_prefixes.empty()) return true;
    uint32_t sequence = 0;
    bool some = match.prefixes.empty();
    const auto say = [&](const std::vector<PolicyPrefix>& prefixes, std::string_view action) {
      for (const PolicyPrefix& entry : prefixes) {
        if (entry.prefix.family() != family) continue;
        prefix_line(list, sequence += 5, action, entry);
        some = some || action == "permit";
      }
    };
    say(match.ignore_prefixes, "deny");
    say(match.prefixes, "permit");
    if (match.prefixes.empty()) {
      top("{} prefix-list {} seq {} permit any", ip_of(family), list, sequence + 5);
    }
    lines.push_back(fmt::format("match {} address prefix-list {}", ip_of(family), list));
    return some;
  }
  // bgpd wants lengths that are longer than the prefix, or none.
  void prefix_line(const std::string& list, uint32_t sequence, std::string_view action,
                   const PolicyPrefix& entry) {
    std::string lengths;
    const uint8_t own = entry.prefix.length();
    if (entry.min_length.value_or(own) > own) lengths += fmt::format(" ge {}", *entry.min_length);
    const uint8_t max =
        entry.max_length.value_or(entry.min_length ? entry.prefix.address().bits() : own);
    if (max > own) lengths += fmt::format(" le {}", max);
    top("{} prefix-list {} seq {} {} {}{}", ip_of(entry.prefix.family()), list, sequence, action,
        entry.prefix.to_string(), lengths);
  }
  void community_list(const std::string& list, const std::vector<std::string>& communities) {
    uint32_t sequence = 0;
    for (const std::string& community : communities) {
      top("bgp community-list standard {} seq {} permit {}", list, sequence += 5, community);
    }
  }

  void sets(const PolicySetSpec& set, const std::string& list, Family family,
            std::vector<std::string>& lines) {
    if (set.local_preference)
      lines.push_back(fmt::format("set local-preference {}", *set.local_preference));
    if (set.med) lines.push_back(fmt::format("set metric {}", *set.med));
    if (set.weight) lines.push_back(fmt::format("set weight {}", *set.weight));
    if (!set.remove_communities.empty()) {
      community_list(list + ":gone", set.remove_communities);
      lines.push_back(fmt::format("set comm-list {}:gone delete", list));
    }
    if (!set.add_communities.empty()) {
      lines.push_back(
          fmt::format("set community {} additive", fmt::join(set.add_communities, " ")));
    }
    if (!set.prepend_as_path.empty()) {
      lines.push_back(fmt::format("set as-path prepend {}", fmt::join(set.prepend_as_path, " ")));
    }
    if (set.next_hop && set.next_hop->family() == family) {
      lines.push_back(fmt::format("set {} {}",
                                  family == Family::ipv4 ? "ip next-hop" : "ipv6 next-hop global",
                                  set.next_hop->to_string()));
    }
  }

  // ---- The maps that stand in front of a peer.

  [[nodiscard]] static std::vector<Family> families_of(const BgpPeerSpec& peer) {
    if (peer.address_families.empty()) return {peer.peer_ip_address.family()};
    return peer.address_families;
  }
  [[nodiscard]] std::string peer_map(const std::string& peer, std::string_view way,
                                     Family family) const {
    return fmt::format("{}:{}{}:{}", name_, way, digit_of(family), peer);
  }

  // With a policy, one that calls it behind what always holds; without, one of all domains'.
  void peer_maps(const std::string& name, const BgpPeerSpec& peer, Family family) {
    const BgpRouterSpec& router = spec_.router;
    if (!peer.policy_map_in.empty()) {
      const std::string map = peer_map(name, "i", family);
      if (router.default_gateway_routing == BgpSwitch::disabled) {
        map_entry(map, 10, PolicyAction::deny, {CommonMaps::no_default(family)});
      }
      auto lines = CommonMaps::into(family);
      lines.push_back("call " + policy_name(peer.policy_map_in, family));
      map_entry(map, 30, PolicyAction::permit, lines);
    }
    if (peer.policy_map_out.empty()) return;
    const std::string map = peer_map(name, "o", family);
    if (is_external(router, peer) && router.transit_routing == BgpSwitch::disabled) {
      map_entry(map, 10, PolicyAction::deny, {CommonMaps::no_transit()});
    }
    map_entry(map, 30, PolicyAction::permit, {"call " + policy_name(peer.policy_map_out, family)});
  }
  [[nodiscard]] std::string map_in(const std::string& name, const BgpPeerSpec& peer,
                                   Family family) const {
    if (!peer.policy_map_in.empty()) return peer_map(name, "i", family);
    if (wants_policy(peer)) return "all:deny";
    const bool any = spec_.router.default_gateway_routing == BgpSwitch::enabled;
    return fmt::format("all:i{}{}", digit_of(family), any ? "" : ":nodefault");
  }
  [[nodiscard]] std::string map_out(const std::string& name, const BgpPeerSpec& peer,
                                    Family family) const {
    if (!peer.policy_map_out.empty()) return peer_map(name, "o", family);
    if (wants_policy(peer)) return "all:deny";
    const bool any =
        !is_external(spec_.router, peer) || spec_.router.transit_routing == BgpSwitch::enabled;
    return any ? "all:o:transit" : "all:o";
  }
  [[nodiscard]] bool wants_policy(const BgpPeerSpec& peer) const {
    return is_external(spec_.router, peer) &&
           spec_.router.ebgp_requires_policy == BgpSwitch::enabled;
  }

  // ---- The router and its neighbours.

  void router() {
    const BgpRouterSpec& router = spec_.router;
    in({}, router_, "no " + router_, {});
    in_router(fmt::format("bgp router-id {}", text(router.router_id)), "no bgp router-id");
    in_router("no bgp default ipv4-unicast", "bgp default ipv4-unicast");
    in_router("bgp graceful-restart", "no bgp graceful-restart");
    in_router("bgp graceful-restart preserve-fw-state",
              "no bgp graceful-restart preserve-fw-state");
    in_router(timers("timers bgp", router.hold_time_seconds), "no timers bgp");
    if (router.compare_med_across_asn == BgpSwitch::enabled) {
      in_router("bgp always-compare-med", "no bgp always-compare-med");
    }
    if (router.cluster_id) {
      in_router("bgp cluster-id " + text(*router.cluster_id), "no bgp cluster-id");
    }
    if (router.ecmp > 1) {
      in_router("bgp bestpath as-path multipath-relax", "no bgp bestpath as-path multipath-relax");
    }
  }
  static std::string text(CaAddress address) { return address_text::format4(address.value()); }
  static std::string timers(std::string_view what, uint32_t hold) {
    return fmt::format("{} {} {}", what, hold / 3, hold);
  }

  void neighbor(const BgpPeerSpec& peer) {
    const std::string head = "neighbor " + peer.peer_ip_address.to_string();
    const std::string parent = "no " + head;
    const auto say = [&](const std::string& what, const std::string& undo,
                         const SharedSecret& secret = {}) {
      in({router_}, fmt::format("{} {}", head, what), fmt::format("no {} {}", head, undo), parent,
         secret);
    };
    in({router_}, fmt::format("{} remote-as {}", head, peer.as_number), parent, "no " + router_);
    out_.back().is_peer = true;
    if (peer.admin_status == BgpAdminStatus::disabled) say("shutdown", "shutdown");
    if (peer.password) say("password ", "password", peer.password);
    if (peer.operation_mode == BgpOperationMode::server) say("passive", "passive");
    if (peer.local_ip_address) {
      say("update-source " + peer.local_ip_address->to_string(), "update-source");
    }
    if (peer.hold_time_seconds) say(timers("timers", *peer.hold_time_seconds), "timers");
    say("timers connect 10", "timers connect");
    if (peer.multihop) say(fmt::format("ebgp-multihop {}", *peer.multihop), "ebgp-multihop");
    if (peer.ttl_security) {
      const std::string what = fmt::format("ttl-security hops {}", *peer.ttl_security);
      say(what, what);
    }
    if (is_external(spec_.router, peer)) say("enforce-first-as", "enforce-first-as");
    if (peer.graceful_restart == BgpSwitch::disabled) {
      say("graceful-restart-disable", "graceful-restart-disable");
    }
    if (peer.bfd) {
      say(fmt::format("bfd {} {} {}", peer.bfd->multiplier, peer.bfd->min_receive_milliseconds,
                      peer.bfd->min_transmit_milliseconds),
          "bfd");
    }
  }

  void address_family(Family family) {
    const BgpRouterSpec& router = spec_.router;
    // As the route table prefers them.
    in_family(family, "distance bgp 15 200 200", "no distance bgp 15 200 200");
    if (router.ecmp > 1) {
      in_family(family, fmt::format("maximum-paths {}", router.ecmp), "no maximum-paths");
      in_family(family, fmt::format("maximum-paths ibgp {}", router.ecmp), "no maximum-paths ibgp");
    }
    if (router.redistribute_connected == BgpSwitch::enabled) {
      in_family(family, "redistribute connected", "no redistribute connected");
    }
    if (router.redistribute_static == BgpSwitch::enabled) {
      in_family(family, "redistribute static", "no redistribute static");
    }
    if (router.dampening) {
      const BgpDampeningSpec& d = *router.dampening;
      in_family(family,
                fmt::format("bgp dampening {} {} {} {}", d.half_life_minutes, d.reuse, d.suppress,
                            d.max_suppress_minutes),
                "no bgp dampening");
    }
    for (const BgpCustomRouteSpec& route : spec_.custom_routes) {
      if (route.prefix.family() != family) continue;
      const std::string line = "network " + route.prefix.to_string();
      in_family(family, line, "no " + line);
    }
    for (const BgpAggregateSpec& aggregate : spec_.aggregates) {
      if (aggregate.prefix.family() != family) continue;
      const std::string line = "aggregate-address " + aggregate.prefix.to_string();
      in_family(family,
                line + (aggregate.summary_only == BgpSwitch::enabled ? " summary-only" : ""),
                "no " + line);
    }
    for (const auto& [name, peer] : spec_.peers) {
      const auto families = families_of(peer);
      if (std::find(families.begin(), families.end(), family) != families.end()) {
        neighbor_family(name, peer, family);
      }
    }
  }

  void neighbor_family(const std::string& name, const BgpPeerSpec& peer, Family family) {
    const std::string head = "neighbor " + peer.peer_ip_address.to_string();
    const std::string parent = "no " + head;
    const auto say = [&](const std::string& what, const std::string& undo) {
      in_family(family, fmt::format("{} {}", head, what), fmt::format("no {} {}", head, undo),
                parent);
    };
    // What a peer may do comes before it may do anything.
    // Which map is taken back is nothing to bgpd, so that one replaces another.
    say(fmt::format("route-map {} in", map_in(name, peer, family)), "route-map any in");
    say(fmt::format("route-map {} out", map_out(name, peer, family)), "route-map any out");
    say(fmt::format("maximum-prefix {}", peer.max_allowed_prefix), "maximum-prefix");
    say("next-hop-self", "next-hop-self");
    if (peer.weight != 0) say(fmt::format("weight {}", peer.weight), "weight");
    if (peer.route_reflector_client == BgpSwitch::enabled) {
      say("route-reflector-client", "route-reflector-client");
    }
    say("activate", "activate");
  }

  const std::string name_;
  const BgpDomainSpec& spec_;
  const std::string router_;
};

void say(BgpdBatch& batch, const std::vector<std::string>& context, const BgpdLine& line) {
  if (batch.empty() || batch.back().context != context) batch.push_back({context, {}});
  batch.back().lines.push_back(line);
}

using ByThing = std::map<std::pair<std::string_view, std::vector<std::string>>, const Statement*>;

ByThing by_thing(const Statements& statements) {
  ByThing out;
  for (const Statement& s : statements)
    out.emplace(std::pair(std::string_view(s.undo), s.context), &s);
  return out;
}

// What leads from one list of statements to another.
BgpdBatch delta(const Statements& from, const Statements& to) {
  BgpdBatch out;
  const ByThing before = by_thing(from);
  const ByThing after = by_thing(to);
  const auto find = [](const ByThing& in, const Statement& s) -> const Statement* {
    const auto at = in.find({s.undo, s.context});
    return at == in.end() ? nullptr : at->second;
  };
  std::set<std::string> gone;  // undos that are said; what was below them goes with them
  for (const Statement& old : from) {
    if (find(after, old) == nullptr || gone.contains(old.parent)) gone.insert(old.undo);
  }
  for (auto old = from.rbegin(); old != from.rend(); ++old) {
    if (find(after, *old) != nullptr || gone.contains(old->parent)) continue;
    say(out, old->context, {old->undo});
  }
  std::vector<const Statement*> peers;
  for (const Statement& now : to) {
    const Statement* old = find(before, now);
    const bool there = old != nullptr && !gone.contains(now.parent);
    if (there && old->line == now.line) continue;
    say(out, now.context, now.line);
    if (there || !now.is_peer) continue;
    // Kept shut until all is said of it: its password, its policies, its families.
    say(out, now.context, {now.undo.substr(3) + " shutdown"});
    peers.push_back(&now);
  }
  for (const Statement* peer : peers) {
    const std::string open = peer->undo + " shutdown";
    const bool disabled = after.contains({open, peer->context});
    if (!disabled) say(out, peer->context, {open});
  }
  return out;
}

}  // namespace

std::string bgpd_name(uint32_t domain) { return fmt::format("d{}", domain); }

BgpdBatch bgpd_prelude() {
  // A second of patience with route maps, so that a batch is looked at as one.
  BgpdBatch out{{{}, {{"bgp route-map delay-timer 1"}, {"router bgp 65535"}}}};
  for (BgpdBlock& block : delta({}, CommonMaps().run())) out.push_back(std::move(block));
  return out;
}

BgpdBatch BgpdConfig::set(uint32_t domain, const BgpDomainSpec& spec) {
  const auto at = domains_.find(domain);
  const Statements before =
      at == domains_.end() ? Statements() : Rendering(domain, at->second).run();
  BgpdBatch out = delta(before, Rendering(domain, spec).run());
  domains_[domain] = spec;
  return out;
}

BgpdBatch BgpdConfig::remove(uint32_t domain) {
  const auto at = domains_.find(domain);
  if (at == domains_.end()) return {};
  BgpdBatch out = delta(Rendering(domain, at->second).run(), {});
  domains_.erase(at);
  return out;
}

BgpdBatch BgpdConfig::everything(uint32_t domain) const {
  const auto at = domains_.find(domain);
  if (at == domains_.end()) return {};
  return delta({}, Rendering(domain, at->second).run());
}

const BgpDomainSpec* BgpdConfig::find(uint32_t domain) const {
  const auto at = domains_.find(domain);
  return at == domains_.end() ? nullptr : &at->second;
}

// Cuts the range into pieces whose numbers differ in their last digits only.
std::string numbers_regex(uint32_t first, uint32_t last) {
  std::vector<std::string> pieces;
  for (uint64_t at = first; at <= last;) {
    // The largest block of 10^n numbers that begins here, with one digit in front that varies.
    uint64_t block = 1;
    while (at % (block * 10) == 0 && at != 0 && at + block * 10 - 1 <= last) block *= 10;
    const uint64_t digit = at / block % 10;
    uint64_t digits = 1;
    while (digit + digits <= 9 && at + block * (digits + 1) - 1 <= last) ++digits;
    std::string piece = at / block / 10 != 0 ? std::to_string(at / block / 10) : std::string();
    piece +=
        digits == 1 ? std::to_string(digit) : fmt::format("[{}-{}]", digit, digit + digits - 1);
    for (uint64_t zeros = block; zeros > 1; zeros /= 10) piece += "[0-9]";
    pieces.push_back(std::move(piece));
    at += block * digits;
  }
  return fmt::format("{}", fmt::join(pieces, "|"));
}

}  // namespace hnv
