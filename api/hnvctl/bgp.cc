// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/bgp.h"

#include <fmt/format.h>

#include "api/hnvctl/table.h"

namespace hnv::ctl {
namespace {

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

void bgp_routes(Client& client, Output output, const std::string& domain) {
  const Json table = client.get(path_of(domain, "routes"));
  Json learned = Json::array();
  for (const Json& route : table["value"]) {
    Json kept = route;
    kept["candidates"] = Json::array();
    for (const Json& candidate : route["candidates"]) {
      const std::string source = candidate.value("source", "");
      if (source == "ebgp" || source == "ibgp") kept["candidates"].push_back(candidate);
    }
    if (!kept["candidates"].empty()) learned.push_back(std::move(kept));
  }
  print(output, Json{{"value", std::move(learned)}}, view_bgp_routes);
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
    for (const Json& candidate : at(route, "/candidates")) {
      rows.push_back({{"prefix", at(route, "/destinationPrefix")},
                      {"source", at(candidate, "/source")},
                      {"nextHop", at(candidate, "/nextHop")},
                      {"metric", at(candidate, "/metric")},
                      {"best", candidate.value("best", false) ? "yes" : "no"},
                      {"age", at(candidate, "/age")},
                      {"reason", at(candidate, "/reason")}});
    }
  }
  return table({{"PREFIX", "prefix"},
                {"SOURCE", "source"},
                {"NEXT HOP", "nextHop"},
                {"METRIC", "metric"},
                {"BEST", "best"},
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
