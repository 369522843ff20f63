// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/nat.h"

#include <algorithm>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "api/hnvctl/table.h"

namespace hnv::ctl {
namespace {

constexpr size_t kPage = 2000;

std::string path_of(const SessionFilter& filter) {
  return fmt::format("/v1/routingDomains/{}/natSessions", filter.domain);
}

// "&inside=10.0.0.4&insidePort=80". The values hold no character that a query reserves: main checks
// what is text.
std::string query_of(const SessionFilter& filter) {
  std::string query;
  const auto add = [&](const char* name, const auto& value) {
    if (value) query += fmt::format("&{}={}", name, *value);
  };
  add("protocol", filter.protocol);
  add("inside", filter.inside);
  add("insidePort", filter.inside_port);
  add("outside", filter.outside);
  add("outsidePort", filter.outside_port);
  add("remote", filter.remote);
  add("remotePort", filter.remote_port);
  return query;
}

// "10.0.0.4:80"; IPv6 in brackets. Without a port the address alone.
std::string endpoint(const Json& row, const std::string& side) {
  std::string address = cell(row.value(side + "Address", Json()));
  const auto port = row.find(side + "Port");
  if (port == row.end()) return address;
  const bool v6 = address.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", address, v6 ? "]" : "", cell(*port));
}

std::string range_of(const Json& range) {
  if (!range.is_object()) return {};
  return fmt::format("{}-{}", cell(range.value("first", Json())),
                     cell(range.value("last", Json())));
}

std::string rules(const Json& nat) {
  Json rows = Json::array();
  for (const auto& rule : nat["outboundRules"]) {
    Json row = rule;
    row["out"] = rule.contains("pool") ? "pool " + cell(rule["pool"])
                                       : cell(rule.value("publicAddresses", Json()));
    row["ports"] = range_of(rule.value("portRange", Json()));
    rows.push_back(std::move(row));
  }
  return table({{"OUTBOUND RULE", "name"},
                {"SOURCES", "sourcePrefixes"},
                {"NETWORK", "externalNetwork"},
                {"PUBLIC", "out"},
                {"PORTS", "ports"}},
               rows);
}

}  // namespace

void show_sessions(Client& client, Output output, const SessionFilter& filter, size_t limit) {
  Json all{{"value", Json::array()}};
  auto& sessions = all["value"].get_ref<Json::array_t&>();
  std::string after;
  do {
    const size_t wanted = std::min(kPage, limit - sessions.size());
    Json page = client.get(
        fmt::format("{}?limit={}{}{}", path_of(filter), wanted, query_of(filter), after));
    auto& more = page["value"].get_ref<Json::array_t&>();
    std::move(more.begin(), more.end(), std::back_inserter(sessions));
    all["nextAfter"] = page.value("nextAfter", Json());
    if (!all["nextAfter"].is_null()) after = "&after=" + all["nextAfter"].get<std::string>();
  } while (!all["nextAfter"].is_null() && sessions.size() < limit);
  const bool more = !all["nextAfter"].is_null();
  if (!more) all.erase("nextAfter");
  print(output == Output::json ? all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                               : view_sessions(all));
  if (more && output == Output::table) {
    std::cerr << fmt::format("hnvctl: there are more than {}: give --limit, or a filter\n", limit);
  }
}

void end_sessions(Client& client, Output output, const SessionFilter& filter, bool all) {
  std::string query = query_of(filter);
  if (all) query += "&all=true";
  if (!query.empty()) query.front() = '?';
  const Json ended = client.call("DELETE", path_of(filter) + query).json();
  print(output == Output::json ? ended.dump(2) + "\n"
                               : fmt::format("{} sessions ended\n", cell(ended["ended"])));
}

std::string view_sessions(const Json& json) {
  Json rows = Json::array();
  for (const auto& session : json["value"]) {
    Json row = session;
    for (const std::string side : {"inside", "outside", "remote"}) {
      row[side] = endpoint(session, side);
    }
    rows.push_back(std::move(row));
  }
  return table({{"PROTOCOL", "protocol"},
                {"INSIDE", "inside"},
                {"OUTSIDE", "outside"},
                {"REMOTE", "remote"},
                {"STATE", "state"},
                {"MAPPING", "mapping"},
                {"AGE", "age"},
                {"IDLE", "idle"},
                {"IN", "inboundPackets"},
                {"OUT", "outboundPackets"}},
               rows);
}

std::string view_mappings(const Json& json) {
  Json rows = Json::array();
  for (const auto& mapping : json["staticMappings"]) {
    Json row = mapping;
    row["public"] = endpoint(mapping, "public");
    row["inside"] = endpoint(mapping, "inside");
    rows.push_back(std::move(row));
  }
  return rules(json) + "\n" +
         table({{"STATIC MAPPING", "name"},
                {"NETWORK", "externalNetwork"},
                {"PROTOCOL", "protocol"},
                {"PUBLIC", "public"},
                {"INSIDE", "inside"},
                {"REMOTE", "remotePrefix"}},
               rows);
}

std::string view_pools(const Json& json) {
  Json rows = Json::array();
  for (const auto& pool : json["value"]) {
    Json row = pool;
    row["ports"] = range_of(pool["portRange"]);
    rows.push_back(std::move(row));
  }
  return table({{"POOL", "resourceId"},
                {"NETWORK", "externalNetwork"},
                {"ADDRESSES", "publicIPAddresses"},
                {"PORTS", "ports"},
                {"FOR", "routingDomain"},
                {"BLOCKS", "/status/portBlocks"},
                {"IN USE", "/status/portBlocksInUse"},
                {"PORTS IN USE", "/status/portsInUse"},
                {"DOMAINS", "/status/routingDomains"}},
               rows);
}

}  // namespace hnv::ctl
