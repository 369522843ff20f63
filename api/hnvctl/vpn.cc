// SPDX-License-Identifier: Apache-2.0
#include "api/hnvctl/vpn.h"

#include <fmt/format.h>

#include "api/hnvctl/table.h"

namespace hnv::ctl {
namespace {

std::string path_of(const std::string& domain, const std::string& name) {
  return fmt::format("/v1/routingDomains/{}/networkConnections/{}", domain, name);
}

std::string line(const char* name, const Json& value) {
  const std::string text = cell(value);
  return text.empty() ? std::string() : fmt::format("{:<16}{}\n", name, text);
}

// The tunnels of a domain, each with its domain.
void add_tunnels(Client& client, const std::string& domain, Json& out) {
  const Json all = client.get(fmt::format("/v1/routingDomains/{}/networkConnections", domain));
  for (const Json& connection : all["value"]) {
    if (connection.value("connectionType", "") != "IPSec") continue;
    Json row = connection;
    row["routingDomain"] = domain;
    out.push_back(std::move(row));
  }
}

}  // namespace

void list_tunnels(Client& client, Output output, const std::string& domain) {
  Json list = Json::array();
  if (!domain.empty()) {
    add_tunnels(client, domain, list);
  } else {
    const Json domains = client.get("/v1/routingDomains");
    for (const Json& one : domains["value"]) {
      add_tunnels(client, one["resourceId"].get<std::string>(), list);
    }
  }
  print(output, Json{{"value", std::move(list)}}, view_tunnels);
}

void show_tunnel(Client& client, Output output, const std::string& domain,
                 const std::string& name) {
  const Json connection = client.get(path_of(domain, name));
  if (connection.value("connectionType", "") != "IPSec") {
    throw Failure(path_of(domain, name) + " is not of type IPSec");
  }
  print(output, connection, view_tunnel);
}

void act_on_tunnel(Client& client, const std::string& domain, const std::string& name,
                   const std::string& action) {
  (void)client.call("POST", path_of(domain, name) + "/" + action);
}

void diagnose_tunnel(Client& client, Output output, const std::string& domain,
                     const std::string& name) {
  print(output, client.get(path_of(domain, name) + "/doctor"), view_doctor);
}

void list_ike_faults(Client& client, Output output) {
  print(output, client.get("/v1/ikeFaults"), view_ike_faults);
}

std::string view_doctor(const Json& json) {
  std::string text = line("state", at(json, "/connectionState"));
  text += line("cause", at(json, "/cause"));
  text += line("summary", at(json, "/summary"));
  text += line("initiated by", at(json, "/initiatedBy"));
  text += line("site", at(json, "/siteAddress"));
  text += line("nat", at(json, "/nat"));
  const auto list = [&text](const Json& values, const char* none) {
    if (values.empty()) text += fmt::format("    {}\n", none);
    for (const Json& value : values) text += fmt::format("    {}\n", cell(value));
  };
  for (const Json& one : at(json, "/compared")) {
    text += fmt::format("\n{}\n  gateway\n", cell(one["what"]));
    list(one["gateway"], "(nothing)");
    text += "  site\n";
    list(one["site"], "(it does not say)");
  }
  if (const Json& changes = at(json, "/whatToChange"); !changes.empty()) {
    text += "\nwhat to change\n";
    for (const Json& change : changes) text += fmt::format("  - {}\n", cell(change));
  }
  if (const Json& attempt = at(json, "/attempt"); !attempt.empty()) {
    text += "\nthe attempt, seconds ago\n";
    for (const Json& one : attempt) {
      text += fmt::format("{:>9.1f}  {}\n", one.value("age", 0.0), cell(one["text"]));
    }
  }
  return text;
}

std::string view_ike_faults(const Json& json) {
  return table({{"FROM", "remoteAddress"},
                {"TO", "localAddress"},
                {"CLAIMS", "claimedIdentity"},
                {"ASKS FOR", "askedIdentity"},
                {"CAUSE", "cause"},
                {"TIMES", "count"},
                {"AGE", "age"},
                {"WHAT", "summary"}},
               json["value"]);
}

std::string view_tunnels(const Json& json) {
  Json rows = Json::array();
  for (const Json& tunnel : json["value"]) {
    rows.push_back({{"domain", at(tunnel, "/routingDomain")},
                    {"name", at(tunnel, "/resourceId")},
                    {"site", at(tunnel, "/ipSecConfiguration/destinationIPAddress")},
                    {"identity", at(tunnel, "/ipSecConfiguration/remoteIdentity")},
                    {"state", at(tunnel, "/status/connectionState")},
                    {"up", at(tunnel, "/status/connectionUpTime")},
                    {"in", at(tunnel, "/status/statistics/inboundBytes")},
                    {"out", at(tunnel, "/status/statistics/outboundBytes")},
                    {"reason", at(tunnel, "/status/unreachabilityReason")}});
  }
  return table({{"DOMAIN", "domain"},
                {"NAME", "name"},
                {"SITE", "site"},
                {"IDENTITY", "identity"},
                {"STATE", "state"},
                {"UP", "up"},
                {"IN", "in"},
                {"OUT", "out"},
                {"REASON", "reason"}},
               rows);
}

std::string view_tunnel(const Json& json) {
  std::string text = line("name", at(json, "/resourceRef"));
  text += line("state", at(json, "/status/connectionState"));
  text += line("reason", at(json, "/status/unreachabilityReason"));
  text += line("up", at(json, "/status/connectionUpTime"));
  text += line("from", at(json, "/ipSecConfiguration/sourceIPAddress"));
  text += line("to", at(json, "/ipSecConfiguration/destinationIPAddress"));
  text += line("seen at", at(json, "/status/ike/remoteAddress"));
  text += line("tries", at(json, "/status/ike/tries"));
  text += line("rekeys", at(json, "/status/ike/rekeys"));
  const Json statistics = at(json, "/status/statistics");
  for (const auto& [name, value] : statistics.items()) {
    if (!value.is_object()) text += fmt::format("{:<30}{}\n", name, cell(value));
  }
  text += '\n';
  text += table({{"IKE SA", "algorithms"},
                 {"LOCAL", "localAddress"},
                 {"REMOTE", "remoteAddress"},
                 {"AGE", "age"}},
                at(json, "/status/ikeSas"));
  text += '\n';
  text += table({{"CHILD SA", "spi"},
                 {"DIRECTION", "direction"},
                 {"ALGORITHMS", "algorithms"},
                 {"SOURCE", "source"},
                 {"DESTINATION", "destination"},
                 {"AGE", "age"},
                 {"PACKETS", "packets"},
                 {"BYTES", "bytes"}},
                at(json, "/status/childSas"));
  return text;
}

}  // namespace hnv::ctl
