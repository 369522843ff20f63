// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/bgp.h"

#include <algorithm>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "api/hnvctl/table.h"

namespace hnv::ctl {
namespace {

constexpr size_t kPage = 1'000;

std::string path_of(const std::string& domain, const std::string& what) {
  return fmt::format("/v1/routingDomains/{}/{}", domain, what);
}

std::string line(const char* name, const Json& value) {
  const std::string text = cell(value);
  return text.empty() ? std::string() : fmt::format("{:<20}{}\n", name, text);
}

// "10.0.0.0/8 le 24, 10.9.0.0/16"
std::string prefixes(const Json& list) {
  std::string text;
  for (const Json& one : list) {
    text += (text.empty() ? "" : ", ") + cell(at(one, "/prefix"));
    if (one.contains("minLength")) text += " ge " + cell(one["minLength"]);
    if (one.contains("maxLength")) text += " le " + cell(one["maxLength"]);
  }
  return text;
}

// Routes of one prefix stand together.
size_t prefixes_of(const Json& routes) {
  size_t count = 0;
  const Json* last = nullptr;
  for (const Json& route : routes) {
    count += last == nullptr || (*last)["prefix"] != route["prefix"] ? 1 : 0;
    last = &route;
  }
  return count;
}

// Every list of a match or set that has something in it, by name.
std::string words(const Json& object) {
  std::string text;
  for (const auto& [name, value] : object.items()) {
    if (value.is_array() && value.empty()) continue;
    const bool of_prefixes = name == "prefixes" || name == "ignorePrefixes";
    std::string said = of_prefixes         ? prefixes(value)
                       : value.is_string() ? cell(value)
                                           : value.dump();
    text += fmt::format("{}{} {}", text.empty() ? "" : "; ", name, said);
  }
  return text;
}

}  // namespace

void bgp_summary(Client& client, Output output, const std::string& domain) {
  Json json{{"router", client.get(path_of(domain, "bgpRouter"))},
            {"peers", client.get(path_of(domain, "bgpPeers"))["value"]}};
  print(output, json, view_bgp_summary);
}

void bgp_peer(Client& client, Output output, const std::string& domain, const std::string& name) {
  print(output, client.get(path_of(domain, "bgpPeers/" + name)), view_bgp_peer);
}

void bgp_routes(Client& client, Output output, const BgpRouteFilter& filter, size_t limit) {
  std::string query;
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value) query += fmt::format("&{}={}", name, *value);
  };
  add("type", filter.type);
  add("peer", filter.peer);
  add("prefix", filter.prefix);
  Json all{{"value", Json::array()}, {"complete", true}};
  auto& routes = all["value"].get_ref<Json::array_t&>();
  std::string after;
  size_t prefixes = 0;
  do {
    const size_t wanted = std::min(kPage, limit - prefixes);
    Json page = client.get(
        fmt::format("{}?limit={}{}{}", path_of(filter.domain, "bgpRoutes"), wanted, query, after));
    prefixes += prefixes_of(page["value"]);
    auto& more = page["value"].get_ref<Json::array_t&>();
    std::move(more.begin(), more.end(), std::back_inserter(routes));
    all["complete"] = all["complete"] == true && page["complete"] == true;
    all["nextAfter"] = page.value("nextAfter", Json());
    if (!all["nextAfter"].is_null()) after = "&after=" + all["nextAfter"].get<std::string>();
  } while (!all["nextAfter"].is_null() && prefixes < limit);
  const bool more = !all["nextAfter"].is_null();
  if (!more) all.erase("nextAfter");
  print(output, all, view_bgp_routes);
  if (output == Output::json) return;
  if (more) {
    std::cerr << fmt::format("hnvctl: there are more than {} prefixes: give --limit, or a filter\n",
                             limit);
  }
  if (all["complete"] == false) {
    std::cerr << "hnvctl: the table is large: prefixes that cannot be used are shown only with "
                 "--prefix\n";
  }
}

void bgp_policy(Client& client, Output output, const std::string& domain, const std::string& name) {
  print(output, client.get(path_of(domain, "policyMaps/" + name)), view_policy);
}

std::string view_bgp_summary(const Json& json) {
  const Json& router = at(json, "/router");
  std::string text = line("AS", at(router, "/asNumber"));
  text += line("router id", at(router, "/routerId"));
  text += line("state", at(router, "/configurationState/status"));
  for (const Json& detail : at(router, "/configurationState/detailedInfo")) {
    text += line("", at(detail, "/message"));
  }
  Json rows = Json::array();
  for (const Json& peer : at(json, "/peers")) {
    Json reason = at(peer, "/status/unreachabilityReason");
    if (cell(reason).empty()) reason = at(peer, "/status/note");
    if (cell(reason).empty()) reason = at(peer, "/status/lastError");
    rows.push_back({{"name", at(peer, "/resourceId")},
                    {"address", at(peer, "/peerIpAddress")},
                    {"as", at(peer, "/asNumber")},
                    {"state", at(peer, "/status/connectionState")},
                    {"up", at(peer, "/status/connectionUpTime")},
                    {"bfd", at(peer, "/status/bfd/state")},
                    {"in", at(peer, "/status/prefixesAccepted")},
                    {"out", at(peer, "/status/prefixesSent")},
                    {"reason", reason}});
  }
  return text + "\n" +
         table({{"PEER", "name"},
                {"ADDRESS", "address"},
                {"AS", "as"},
                {"STATE", "state"},
                {"UP", "up"},
                {"BFD", "bfd"},
                {"ACCEPTED", "in"},
                {"TOLD", "out"},
                {"REASON", "reason"}},
               rows);
}

std::string view_bgp_peer(const Json& json) {
  std::string text = line("name", at(json, "/resourceRef"));
  text += line("address", at(json, "/peerIpAddress"));
  text += line("AS", at(json, "/asNumber"));
  text += line("policy in", at(json, "/policyMapIn"));
  text += line("policy out", at(json, "/policyMapOut"));
  const Json status = at(json, "/status");
  for (const auto& [name, value] : status.items()) {
    if (value.is_object()) continue;
    text += line(name.c_str(), value);
  }
  if (status.contains("bfd")) text += line("BFD", at(status, "/bfd/state"));
  Json rows = Json::array();
  const Json sent = at(status, "/messagesSent");
  for (const auto& [name, value] : sent.items()) {
    rows.push_back({{"message", name},
                    {"sent", value},
                    {"received", at(status, ("/messagesReceived/" + name).c_str())}});
  }
  return text + "\n" +
         table({{"MESSAGES", "message"}, {"SENT", "sent"}, {"RECEIVED", "received"}}, rows);
}

std::string view_bgp_routes(const Json& json) {
  Json rows = Json::array();
  for (const Json& route : at(json, "/value")) {
    Json row = route;
    const bool best = route.value("best", false);
    row["state"] = best ? "best" : route.value("valid", false) ? "valid" : "unusable";
    if (cell(row["peer"]).empty()) row["peer"] = row["peerIpAddress"];
    rows.push_back(std::move(row));
  }
  return table({{"PREFIX", "prefix"},
                {"NEXT HOP", "nextHop"},
                {"PEER", "peer"},
                {"STATE", "state"},
                {"PREF", "localPref"},
                {"MED", "med"},
                {"WEIGHT", "weight"},
                {"AS PATH", "asPath"},
                {"ORIGIN", "origin"},
                {"COMMUNITIES", "communities"},
                {"AGE", "age"},
                {"REASON", "reason"}},
               rows);
}

std::string view_policy(const Json& json) {
  Json rows = Json::array();
  for (const Json& entry : at(json, "/policyMapEntryList")) {
    rows.push_back({{"sequence", at(entry, "/sequence")},
                    {"action", at(entry, "/action")},
                    {"match", words(at(entry, "/match"))},
                    {"set", words(at(entry, "/set"))}});
  }
  return table({{"SEQUENCE", "sequence"}, {"ACTION", "action"}, {"MATCH", "match"}, {"SET", "set"}},
               rows);
}

}  // namespace hnv::ctl
