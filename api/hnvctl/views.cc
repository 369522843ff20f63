// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/views.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "api/hnvctl/bgp.h"
#include "api/hnvctl/nat.h"
#include "api/hnvctl/table.h"

namespace hnv::ctl {
namespace {

// {"reason": 3, …} as rows, without the zeros.
Json count_rows(const Json& counts) {
  Json rows = Json::array();
  for (const auto& entry : counts.items()) {
    if (entry.value() != 0) rows.push_back({{"name", entry.key()}, {"count", entry.value()}});
  }
  return rows;
}

std::string count_table(const char* heading, const Json& counts) {
  const Json rows = count_rows(counts);
  if (rows.empty()) return {};
  return fmt::format("\n{}", table({{heading, "name"}, {"PACKETS", "count"}}, rows));
}

}  // namespace

View view_of(std::string_view path) {
  // "*" stands for one name.
  static constexpr std::pair<std::string_view, View> kViews[] = {
      {"/v1/system", properties},
      {"/v1/ports", view_ports},
      {"/v1/drops", view_drops},
      {"/v1/neighbors", view_neighbors},
      {"/v1/statistics", view_statistics},
      {"/v1/publicIPAddresses", view_pools},
      {"/v1/routingDomains/*/natSessions", view_sessions},
      {"/v1/routingDomains/*/bgpRoutes", view_bgp_routes},
      {"/v1/routingDomains/*/routes", view_routes},
      {"/v1/routingDomains/*/lookup", view_lookup},
      {"/v1/routingDomains/*/neighbors", view_neighbors},
      {"/v1/routingDomains/*/statistics", view_domain_statistics},
      {"/v1/routingDomains/*/virtualSubnets/*/lookupRecords", view_records},
  };
  std::string pattern;
  for (size_t part = 0; part <= 6 && !path.empty(); ++part) {  // names are parts 3 and 5
    const size_t end = std::min(path.find('/', 1), path.find('?'));
    const bool name = part == 2 || part == 4;
    pattern += name ? "/*" : path.substr(0, end);
    path.remove_prefix(std::min(end, path.size()));
    if (path.starts_with('?')) break;
  }
  for (const auto& [known, view] : kViews) {
    if (known == pattern) return view;
  }
  return by_shape;
}

std::string view_ports(const Json& json) {
  std::string text = table({{"PORT", "name"},
                            {"DRIVER", "driver"},
                            {"MAC", "macAddress"},
                            {"LINK", "linkUp"},
                            {"MTU", "mtu"},
                            {"RXQ", "rxQueues"},
                            {"TXQ", "txQueues"},
                            {"SPREADING", "spreading"},
                            {"RX", "rxPackets"},
                            {"TX", "txPackets"},
                            {"MISSED", "rxMissed"},
                            {"RX-ERR", "rxErrors"},
                            {"TX-ERR", "txErrors"}},
                           json["value"]);
  for (const auto& port : json["value"]) {
    for (const auto& limitation : port["limitations"]) {
      text += fmt::format("{}: {}\n", cell(port["name"]), cell(limitation));
    }
  }
  return text;
}

std::string view_drops(const Json& json) {
  const Json& ledger = json["ledger"];
  const auto term = [&](const char* name) { return cell(ledger.value(name, Json(0))); };
  std::string text = fmt::format(
      "rx {} + handed in {} + injected {} + originated {}\n= tx {} + drops {} + punts {} + "
      "consumed "
      "{} + handed out {} + held {}: {}\n",
      term("rx"), term("handedIn"), term("injected"), term("originated"), term("tx"), term("drops"),
      term("punts"), term("consumed"), term("handedOut"), term("held"),
      ledger.value("balanced", false) ? "balanced" : "NOT BALANCED");
  if (json.value("inRings", 0) > 0)
    text += fmt::format("{} between workers\n", cell(json["inRings"]));
  text += count_table("DROPPED BECAUSE", json["drops"]);
  text += count_table("ORIGINATED AS", json["originated"]);
  text += count_table("CONSUMED AS", json["consumed"]);
  return text;
}

std::string view_routes(const Json& json) {
  Json rows = Json::array();
  for (const auto& route : json["value"]) {
    for (const auto& candidate : route["candidates"]) {
      Json row = candidate;
      row["prefix"] = route["destinationPrefix"];
      row["mark"] = candidate.value("best", false) ? "*" : "";
      if (row["nextHop"] == "") row["nextHop"] = "on-link";
      rows.push_back(std::move(row));
    }
  }
  return table({{"BEST", "mark"},
                {"PREFIX", "prefix"},
                {"SOURCE", "source"},
                {"PREF", "preference"},
                {"METRIC", "metric"},
                {"NEXT HOP", "nextHop"},
                {"INTERFACE", "interface"},
                {"AGE", "age"},
                {"WHY", "reason"}},
               rows);
}

// Why the candidate that serves does so.
std::string reason_of_best(const Json& lookup) {
  const auto route = lookup.find("route");
  if (route == lookup.end() || !route->is_object()) return {};
  for (const auto& candidate : (*route)["candidates"]) {
    if (candidate.value("best", false)) return candidate.value("reason", "");
  }
  return {};
}

std::string view_lookup(const Json& json) {
  const auto line = [](std::string_view name, const std::string& value) {
    return value.empty() ? std::string() : fmt::format("{:<17} {}\n", name, value);
  };
  const auto at = [&](const char* pointer) {
    const Json::json_pointer where(pointer);
    return json.contains(where) ? cell(json.at(where)) : std::string();
  };
  std::string text = line("destination", at("/destination"));
  text += line("route", at("/route/destinationPrefix"));
  text += line("through", at("/route/fib"));
  text += line("because", reason_of_best(json));
  text += line("record", at("/lookupRecord"));
  text += line("record type", at("/lookupRecordType"));
  text += line("provider address", at("/providerAddress"));
  text += line("MAC", at("/macAddress"));
  text += line("VSID", at("/virtualSubnetId"));
  if (!at("/nextHop/ipAddress").empty()) {
    text += line("next hop",
                 fmt::format("{} on {}, {}, {}", at("/nextHop/ipAddress"), at("/nextHop/network"),
                             at("/nextHop/macAddress"), at("/nextHop/state")));
  }
  return text + line("verdict", at("/verdict"));
}

std::string view_neighbors(const Json& json) {
  return table({{"NETWORK", "network"},
                {"ADDRESS", "ipAddress"},
                {"MAC", "macAddress"},
                {"STATE", "state"},
                {"AGE", "age"}},
               json["value"]);
}

std::string view_statistics(const Json& json) {
  Json rows = Json::array();
  for (const auto& worker : json["workers"]) {
    for (const auto& station : worker["stations"]) {
      Json row = station;
      row["worker"] = worker["worker"];
      rows.push_back(std::move(row));
    }
  }
  std::string text = table({{"WORKER", "worker"},
                            {"LCORE", "lcore"},
                            {"STATE", "state"},
                            {"RX", "rxPackets"},
                            {"TX", "txPackets"},
                            {"DROPS", "drops"},
                            {"HANDED IN", "handedIn"},
                            {"HANDED OUT", "handedOut"},
                            {"QUEUED", "queued"},
                            {"HELD", "held"},
                            {"BREATHS", "breaths"},
                            {"IDLE", "idleBreaths"},
                            {"SLEEPS", "sleeps"}},
                           json["workers"]);
  text += "\n";
  text += table({{"WORKER", "worker"},
                 {"STATION", "station"},
                 {"PACKETS", "packets"},
                 {"VECTORS", "vectors"}},
                rows);
  text += "\n";
  text += table({{"DOMAIN", "routingDomain"},
                 {"IN", "inboundPackets"},
                 {"OUT", "outboundPackets"},
                 {"L3 IN", "l3InboundPackets"},
                 {"L3 OUT", "l3OutboundPackets"},
                 {"ORIGINATED", "originatedPackets"},
                 {"MOVED", "movedRecordPackets"},
                 {"ROUTES", "routes"}},
                json["routingDomains"]);
  return text;
}

std::string view_domain_statistics(const Json& json) {
  Json plain = json;
  plain.erase("drops");
  return properties(plain) + count_table("DROPPED BECAUSE", json["drops"]);
}

std::string view_records(const Json& json) {
  return table({{"RECORD", "resourceId"},
                {"TYPE", "type"},
                {"PROVIDER ADDRESS", "providerAddress"},
                {"MAC", "macAddress"},
                {"ETAG", "etag"}},
               json["value"]);
}

std::string view_batch(const Json& json) {
  static const std::map<int, const char*> kWords{
      {200, "replaced"}, {201, "created"}, {204, "deleted"}};
  std::string text;
  for (const auto& item : json) {
    const auto word = kWords.find(item.value("status", 0));
    text += fmt::format("{:<9} {}\n", word == kWords.end() ? "done" : word->second,
                        item.value("path", ""));
  }
  return text;
}

std::string view_trace_event(const Json& event) {
  return fmt::format("{:>12.6f}  worker {}  {:<14} -> {:<24} {}\n", event.value("time", 0.0),
                     event.value("worker", 0), event.value("station", ""), event.value("next", ""),
                     event.value("packet", ""));
}

}  // namespace hnv::ctl
