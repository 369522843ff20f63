// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgp_spec.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

// RFC 6793, RFC 7607, RFC 7300: numbers that no router has.
bool reserved_as(uint32_t number) {
  return number == 0 || number == 23'456 || number == 65'535 || number == 0xffffffff;
}

std::optional<uint32_t> number_in(std::string_view text, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return value;
}

bool unicast(const IpAddress<Space::customer>& address) {
  if (address.unspecified()) return false;
  if (address.is_v4()) return address.v4().value() >> 28 < 14;  // below 224.0.0.0
  return address.bytes()[0] != 0xff;
}
bool link_local(const IpAddress<Space::customer>& address) {
  return !address.is_v4() && address.bytes()[0] == 0xfe && (address.bytes()[1] & 0xc0) == 0x80;
}

class Check {
 public:
  std::vector<ErrorDetail> run(const BgpRouterSpec& spec) {
    as_number(spec.as_number);
    if (spec.router_id == CaAddress()) {
      fault("/routerId", "must be an IPv4 address other than 0.0.0.0");
    }
    hold_time(spec.hold_time_seconds);
    range("/ecmp", spec.ecmp, 1, 16);
    if (spec.cluster_id == CaAddress()) fault("/clusterId", "must not be 0.0.0.0");
    if (spec.dampening) dampening(*spec.dampening);
    return std::move(faults_);
  }

  std::vector<ErrorDetail> run(const BgpPeerSpec& spec) {
    addresses(spec);
    as_number(spec.as_number);
    if (spec.hold_time_seconds) hold_time(*spec.hold_time_seconds);
    range("/maxAllowedPrefix", spec.max_allowed_prefix, 1, 0xffffffff);
    range("/weight", spec.weight, 0, 65'535);
    if (spec.password) password(*spec.password);
    if (spec.ttl_security) range("/ttlSecurity", *spec.ttl_security, 1, 254);
    if (spec.multihop) range("/multihop", *spec.multihop, 2, 255);
    if (spec.ttl_security && spec.multihop) {
      fault("/ttlSecurity", "excludes multihop: it says itself how many hops there may be");
    }
    if (spec.bfd) bfd(*spec.bfd);
    name("/policyMapIn", spec.policy_map_in);
    name("/policyMapOut", spec.policy_map_out);
    return std::move(faults_);
  }

  std::vector<ErrorDetail> run(const PolicyMapSpec& spec) {
    const auto& entries = spec.policy_map_entry_list;
    if (entries.empty()) fault("/policyMapEntryList", "must have an entry: without, all is denied");
    if (entries.size() > 1'000) {
      fault("/policyMapEntryList", fmt::format("has {} entries; at most 1000", entries.size()));
    }
    std::set<uint32_t> sequences;
    for (size_t i = 0; i < entries.size(); ++i) {
      where_ = fmt::format("/policyMapEntryList/{}", i);
      range("/sequence", entries[i].sequence, 1, 65'535);
      if (!sequences.insert(entries[i].sequence).second) {
        fault("/sequence", fmt::format("{} is another entry's, too", entries[i].sequence));
      }
      match(entries[i].match);
      set(entries[i]);
    }
    return std::move(faults_);
  }

 private:
  void fault(std::string_view at, std::string what) {
    faults_.push_back({ErrorCode::invalid_value, std::move(what), where_ + std::string(at)});
  }
  void range(std::string_view at, uint32_t value, uint32_t min, uint32_t max) {
    if (value >= min && value <= max) return;
    fault(at, fmt::format("{} is outside of {} to {}", value, min, max));
  }
  void as_number(uint32_t number) {
    if (!reserved_as(number)) return;
    fault("/asNumber",
          fmt::format("{} is reserved; use 1 to 4294967294 but 23456 and 65535", number));
  }
  // RFC 4271 §4.2: zero or at least three. Zero would keep a dead peer for ever.
  void hold_time(uint32_t seconds) { range("/holdTimeSeconds", seconds, 3, 65'535); }
  void name(std::string_view at, const std::string& text) {
    if (text.empty() || good_bgp_name(text)) return;
    fault(at, "must have 1 to 63 letters, digits, '-', '_' or '.'");
  }

  void dampening(const BgpDampeningSpec& spec) {
    range("/dampening/halfLifeMinutes", spec.half_life_minutes, 1, 45);
    range("/dampening/reuse", spec.reuse, 1, 20'000);
    range("/dampening/suppress", spec.suppress, 1, 50'000);
    range("/dampening/maxSuppressMinutes", spec.max_suppress_minutes, 1, 255);
    if (spec.suppress <= spec.reuse) fault("/dampening/suppress", "must be above reuse");
    if (spec.max_suppress_minutes < spec.half_life_minutes) {
      fault("/dampening/maxSuppressMinutes", "must not be below halfLifeMinutes");
    }
  }

  void addresses(const BgpPeerSpec& spec) {
    if (!unicast(spec.peer_ip_address)) {
      fault("/peerIpAddress", "must be the peer's unicast address");
    } else if (link_local(spec.peer_ip_address)) {
      fault("/peerIpAddress", "must not be link-local");
    }
    if (!spec.local_ip_address) return;
    if (spec.local_ip_address->family() != spec.peer_ip_address.family()) {
      fault("/localIPAddress", "must be of the same family as peerIpAddress");
    } else if (*spec.local_ip_address == spec.peer_ip_address) {
      fault("/localIPAddress", "is the peer's address");
    } else if (!unicast(*spec.local_ip_address)) {
      fault("/localIPAddress", "must be one of the gateway's addresses in the domain");
    }
  }

  // What would end a line of bgpd's configuration, or be cut from it.
  void password(const SecretBytes& secret) {
    const std::string_view text = secret.reveal_text();
    const bool good =
        std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
    if (text.empty() || text.size() > 80 || !good) {
      fault("/password", "must have 1 to 80 printable ASCII characters without spaces (RFC 2385)");
    }
  }
  void bfd(const BgpBfdSpec& spec) {
    range("/bfd/minReceiveMilliseconds", spec.min_receive_milliseconds, 50, 60'000);
    range("/bfd/minTransmitMilliseconds", spec.min_transmit_milliseconds, 50, 60'000);
    range("/bfd/multiplier", spec.multiplier, 2, 255);
  }

  void prefixes(std::string_view at, const std::vector<PolicyPrefix>& list) {
    for (size_t i = 0; i < list.size(); ++i) {
      const PolicyPrefix& entry = list[i];
      const uint8_t most = entry.prefix.address().bits();
      const uint8_t min = entry.min_length.value_or(entry.prefix.length());
      const uint8_t max = entry.max_length.value_or(entry.min_length ? most : min);
      if (min < entry.prefix.length() || max > most || min > max) {
        fault(fmt::format("{}/{}", at, i),
              fmt::format("lengths must go up from {} to at most {}", entry.prefix.length(), most));
      }
    }
  }
  void communities(std::string_view at, const std::vector<std::string>& list) {
    if (list.size() > 32) fault(at, fmt::format("has {} entries; at most 32", list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
      if (good_community(list[i])) continue;
      fault(fmt::format("{}/{}", at, i),
            "must be \"A:B\" with numbers of 0 to 65535, or a well-known community");
    }
  }
  void match(const PolicyMatchSpec& spec) {
    prefixes("/match/prefixes", spec.prefixes);
    prefixes("/match/ignorePrefixes", spec.ignore_prefixes);
    communities("/match/communities", spec.communities);
    for (size_t i = 0; i < spec.asn_ranges.size(); ++i) {
      const AsnRange& asns = spec.asn_ranges[i];
      if (asns.first != 0 && asns.first <= asns.last) continue;
      fault(fmt::format("/match/asnRanges/{}", i), "must go up, from 1 on");
    }
    for (size_t i = 0; i < spec.next_hops.size(); ++i) {
      if (unicast(spec.next_hops[i])) continue;
      fault(fmt::format("/match/nextHops/{}", i), "must be a unicast address");
    }
  }
  void set(const PolicyMapEntrySpec& entry) {
    const PolicySetSpec& spec = entry.set;
    if (entry.action == PolicyAction::deny && spec != PolicySetSpec{}) {
      fault("/set", "belongs to action \"Permit\"");
    }
    communities("/set/addCommunities", spec.add_communities);
    communities("/set/removeCommunities", spec.remove_communities);
    if (spec.weight) range("/set/weight", *spec.weight, 0, 65'535);
    if (spec.next_hop && (!unicast(*spec.next_hop) || link_local(*spec.next_hop))) {
      fault("/set/nextHop", "must be a unicast address that is not link-local");
    }
    if (spec.prepend_as_path.size() > 16) {
      fault("/set/prependAsPath",
            fmt::format("has {} entries; at most 16", spec.prepend_as_path.size()));
    }
    for (size_t i = 0; i < spec.prepend_as_path.size(); ++i) {
      if (!reserved_as(spec.prepend_as_path[i])) continue;
      fault(fmt::format("/set/prependAsPath/{}", i), "is reserved");
    }
  }

  std::string where_;
  std::vector<ErrorDetail> faults_;
};

class DomainCheck {
 public:
  explicit DomainCheck(const BgpDomainSpec& spec) : spec_(spec) {}

  std::vector<ErrorDetail> run() {
    take("/bgpRouter", check(spec_.router));
    std::map<IpAddress<Space::customer>, std::string> seen;
    for (const auto& [name, peer] : spec_.peers) {
      const std::string where = "/bgpPeers/" + name;
      named(where, name);
      take(where, check(peer));
      const auto [at, fresh] = seen.emplace(peer.peer_ip_address, name);
      if (!fresh) fault(where + "/peerIpAddress", "is the address of " + at->second + ", too");
      between(where, peer);
    }
    for (const auto& [name, map] : spec_.policy_maps) {
      named("/policyMaps/" + name, name);
      take("/policyMaps/" + name, check(map));
    }
    unique("/bgpCustomRoutes", spec_.custom_routes);
    unique("/bgpAggregates", spec_.aggregates);
    return std::move(faults_);
  }

 private:
  void fault(std::string where, std::string what) {
    faults_.push_back({ErrorCode::invalid_value, std::move(what), std::move(where)});
  }
  void take(const std::string& where, std::vector<ErrorDetail> faults) {
    for (ErrorDetail& detail : faults) {
      detail.target = where + detail.target;
      faults_.push_back(std::move(detail));
    }
  }
  void named(const std::string& where, const std::string& name) {
    if (!good_bgp_name(name)) {
      fault(where, "a name has 1 to 63 letters, digits, '-', '_' or '.'");
    }
  }
  void between(const std::string& where, const BgpPeerSpec& peer) {
    const auto map = [&](std::string_view property, const std::string& name) {
      if (!name.empty() && !spec_.policy_maps.contains(name)) {
        fault(fmt::format("{}/{}", where, property), "there is no policy map " + name);
      }
    };
    map("policyMapIn", peer.policy_map_in);
    map("policyMapOut", peer.policy_map_out);
    const bool external = is_external(spec_.router, peer);
    if (external && peer.route_reflector_client == BgpSwitch::enabled) {
      fault(where + "/routeReflectorClient", "needs a peer of our own AS");
    }
    if (!external && peer.multihop) fault(where + "/multihop", "is for peers of another AS");
  }
  template <class List>
  void unique(const std::string& where, const List& list) {
    std::set<Prefix<Space::customer>> seen;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!seen.insert(list[i].prefix).second) {
        fault(fmt::format("{}/{}/prefix", where, i),
              list[i].prefix.to_string() + " is there twice");
      }
    }
  }

  const BgpDomainSpec& spec_;
  std::vector<ErrorDetail> faults_;
};

}  // namespace

std::optional<uint32_t> parse_as_number(std::string_view text) {
  const size_t dot = text.find('.');
  std::optional<uint32_t> out;
  if (dot == std::string_view::npos) {
    out = number_in(text, 0xffffffff);
  } else {
    const auto high = number_in(text.substr(0, dot), 0xffff);
    const auto low = number_in(text.substr(dot + 1), 0xffff);
    if (high && low) out = *high << 16 | *low;
  }
  return out && !reserved_as(*out) ? out : std::nullopt;
}

bool good_bgp_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
}

bool good_community(std::string_view text) {
  constexpr std::array<std::string_view, 6> kWellKnown{"internet", "no-export", "no-advertise",
                                                       "local-AS", "no-peer",   "blackhole"};
  if (std::find(kWellKnown.begin(), kWellKnown.end(), text) != kWellKnown.end()) return true;
  const size_t colon = text.find(':');
  return colon != std::string_view::npos && number_in(text.substr(0, colon), 65'535) &&
         number_in(text.substr(colon + 1), 65'535);
}

bool is_external(const BgpRouterSpec& router, const BgpPeerSpec& peer) {
  return router.as_number != peer.as_number;
}

std::vector<ErrorDetail> check(const BgpRouterSpec& spec) { return Check().run(spec); }
std::vector<ErrorDetail> check(const BgpPeerSpec& spec) { return Check().run(spec); }
std::vector<ErrorDetail> check(const PolicyMapSpec& spec) { return Check().run(spec); }
std::vector<ErrorDetail> check(const BgpDomainSpec& spec) { return DomainCheck(spec).run(); }

}  // namespace hnv
