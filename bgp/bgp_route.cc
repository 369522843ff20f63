// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgp_route.h"

#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace hnv {
namespace {

using Json = nlohmann::json;

const Json& at(const Json& in, const char* name) {
  static const Json kNone;
  const auto found = in.is_object() ? in.find(name) : in.end();
  return found == in.end() ? kNone : *found;
}
std::string text(const Json& in, const char* name) {
  const Json& value = at(in, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}
bool is_true(const Json& in, const char* name) { return at(in, name) == true; }
std::optional<uint32_t> number(const Json& in, const char* name) {
  const Json& value = at(in, name);
  if (!value.is_number_unsigned() || value > std::numeric_limits<uint32_t>::max()) {
    return std::nullopt;
  }
  return value.get<uint32_t>();
}

// bgpd writes 0.0.0.0 or :: where there is none.
std::optional<IpAddress<Space::customer>> address(const std::string& said) {
  auto out = IpAddress<Space::customer>::parse(said);
  if (out && (said == "0.0.0.0" || said == "::")) out.reset();
  return out;
}
std::string next_hop_text(const std::string& said) { return address(said) ? said : std::string(); }

void read_communities(const Json& in, std::vector<std::string>& out) {
  // As one text: in the list well-known ones have other names than in the configuration.
  const std::string all = text(in, "string");
  for (size_t from = 0; from < all.size();) {
    const size_t space = std::min(all.find(' ', from), all.size());
    if (space != from) out.push_back(all.substr(from, space - from));
    from = space + 1;
  }
}

// Several of an IPv6 route: its global and its link-local one.
const Json& used_hop(const Json& hops) {
  static const Json kNone;
  if (!hops.is_array()) return kNone;
  for (const Json& hop : hops) {
    if (is_true(hop, "used")) return hop;
  }
  return kNone;
}

BgpRoute read_path(const Prefix<Space::customer>& prefix, const Json& in) {
  BgpRoute out{prefix};
  const Json& hop = used_hop(at(in, "nexthops"));
  out.next_hop = next_hop_text(text(hop, "ip"));
  out.peer = address(text(at(in, "peer"), "peerId"));
  out.as_path = text(at(in, "aspath"), "string");
  if (out.as_path == "Local") out.as_path.clear();
  out.origin = text(in, "origin");
  out.local_pref = number(in, "locPrf");
  out.med = number(in, "metric");
  out.weight = number(in, "weight").value_or(0);
  read_communities(at(in, "community"), out.communities);
  read_communities(at(in, "largeCommunity"), out.communities);
  out.valid = is_true(in, "valid");
  const Json& choice = at(in, "bestpath");
  out.best = is_true(choice, "overall") || is_true(in, "multipath");
  out.stale = is_true(in, "stale");
  if (is_true(choice, "overall")) {
    out.reason = text(choice, "selectionReason");
  } else if (!out.valid && at(hop, "accessible") == false) {
    out.reason = fmt::format("its next hop {} cannot be reached", out.next_hop);
  } else if (is_true(in, "dampeningSuppressed")) {
    out.reason = "suppressed: it changed too often (dampening)";
  }
  const Json& epoch = at(at(in, "lastUpdate"), "epoch");
  if (epoch.is_number_unsigned()) out.updated = epoch.get<uint64_t>();
  return out;
}

tl::unexpected<Error> no_object() {
  return fail(ErrorCode::internal, "bgpd's answer about its routes is no JSON object");
}

}  // namespace

Result<std::vector<BgpRoute>> read_bgp_paths(const Prefix<Space::customer>& prefix,
                                             std::string_view json) {
  const Json all = Json::parse(json, nullptr, false);
  if (!all.is_object()) return no_object();
  std::vector<BgpRoute> out;
  const Json& paths = at(all, "paths");
  if (!paths.is_array()) return out;
  for (const Json& path : paths) out.push_back(read_path(prefix, path));
  return out;
}

Result<BgpRoute> read_advertised(const Prefix<Space::customer>& prefix, std::string_view json) {
  const Json in = Json::parse(json, nullptr, false);
  if (!in.is_object()) return no_object();
  BgpRoute out{prefix};
  for (const char* name : {"nextHop", "nextHopGlobal"}) {
    if (out.next_hop.empty()) out.next_hop = next_hop_text(text(in, name));
  }
  out.as_path = text(in, "path");
  const std::string origin = text(in, "bgpOriginCode");
  out.origin = origin == "i" ? "IGP" : origin == "e" ? "EGP" : "incomplete";
  out.local_pref = number(in, "locPrf");
  out.med = number(in, "metric");
  out.weight = number(in, "weight").value_or(0);
  const Json& symbols = at(in, "appliedStatusSymbols");
  out.valid = is_true(symbols, "*");
  out.best = is_true(symbols, ">");
  return out;
}

Result<BgpTableSize> read_table_size(const std::optional<IpAddress<Space::customer>>& peer,
                                     std::string_view json) {
  const Json in = Json::parse(json, nullptr, false);
  if (!in.is_object()) return no_object();
  BgpTableSize out;
  const Json& nodes = at(in, "ribCount");
  if (nodes.is_number_unsigned()) out.nodes = nodes.get<uint64_t>();
  if (peer) {
    out.told = number(at(at(in, "peers"), peer->to_string().c_str()), "pfxSnt").value_or(0);
  }
  return out;
}

}  // namespace hnv
