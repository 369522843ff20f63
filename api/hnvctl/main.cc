// SPDX-License-Identifier: Apache-2.0
//
// hnvctl: the REST API for people and scripts. Verbs map one to one on resources; exit status 0
// only on success.
#include <functional>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "api/hnvctl/bgp.h"
#include "api/hnvctl/commands.h"
#include "api/hnvctl/nat.h"
#include "api/hnvctl/table.h"
#include "api/hnvctl/views.h"
#include "api/hnvctl/vpn.h"

namespace {

using namespace hnv::ctl;

// What the command line said; CLI11 fills it, one callback uses it.
struct Arguments {
  Endpoint endpoint;
  std::string format = "table";
  Output output = Output::table;
  std::string path, file = "-", domain, subnet, address, connection;
  double interval = 2;
  TraceRequest trace;
  SessionFilter sessions;
  BgpRouteFilter bgp_routes;
  size_t limit = 1000;
  bool all = false;
};

// Runs after parsing, so that options may stand behind the verb.
using Action = std::function<void(Client&)>;

void add_connection(CLI::App& app, Arguments& args) {
  app.add_option("--socket", args.endpoint.socket, "The gateway's Unix socket")
      ->envname("HNV_SOCKET")
      ->capture_default_str();
  auto* url = app.add_option("--url", args.endpoint.url, "https://host:port instead of the socket");
  app.add_option("--token-file", args.endpoint.token_file, "File with the bearer token")
      ->needs(url);
  app.add_option("--ca-file", args.endpoint.ca_file, "Certificates to trust (PEM)")->needs(url);
  app.add_option("--timeout", args.endpoint.timeout_seconds, "Seconds to wait for an answer")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app.add_option("-o,--output", args.format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

void add_resource_verbs(CLI::App& app, Arguments& args, Action& action) {
  auto* get = app.add_subcommand("get", "Read a resource or a collection");
  get->add_option("path", args.path, "e.g. routingDomains/contoso")->required();
  get->callback([&] {
    action = [&](Client& c) {
      const std::string path = full_path(args.path);
      show(c, args.output, path, view_of(path));
    };
  });
  auto* put_verb = app.add_subcommand("put", "Create or replace a resource");
  put_verb->add_option("path", args.path)->required();
  put_verb->add_option("-f,--file", args.file, "JSON; - is stdin")->capture_default_str();
  put_verb->callback(
      [&] { action = [&](Client& c) { put(c, args.output, full_path(args.path), args.file); }; });
  auto* remove = app.add_subcommand("delete", "Remove a resource");
  remove->add_option("path", args.path)->required();
  remove->callback([&] { action = [&](Client& c) { erase(c, full_path(args.path)); }; });
  auto* apply_verb = app.add_subcommand("apply", "Put many resources at once, all or nothing");
  apply_verb->add_option("-f,--file", args.file, R"({"resources":[{"path","body"}]}; - is stdin)")
      ->required();
  apply_verb->callback([&] { action = [&](Client& c) { apply(c, args.output, args.file); }; });
  auto* watch_verb = app.add_subcommand("watch", "Read a resource again and again");
  watch_verb->add_option("path", args.path)->required();
  watch_verb->add_option("-n,--interval", args.interval, "Seconds")->check(CLI::Range(0.1, 3600.0));
  watch_verb->callback([&] {
    action = [&](Client& c) { watch(c, args.output, full_path(args.path), args.interval); };
  });
}

std::string in_domain(const Arguments& args, std::string_view what) {
  return fmt::format("/v1/routingDomains/{}/{}", args.domain, what);
}

void add_appliance_verbs(CLI::App& app, Arguments& args, Action& action) {
  const auto add = [&](const char* name, const char* about, const char* path, View view) {
    app.add_subcommand(name, about)->callback([&args, &action, path, view] {
      action = [&args, path, view](Client& c) { show(c, args.output, path, view); };
    });
  };
  add("system", "Version, uptime, memory", "/v1/system", properties);
  add("ports", "Ports and their counters", "/v1/ports", view_ports);
  add("drops", "The ledger and drops by reason", "/v1/drops", view_drops);
  auto* neighbors = app.add_subcommand("neighbors", "ARP: outside, or of a domain");
  neighbors->add_option("domain", args.domain);
  neighbors->callback([&] {
    action = [&](Client& c) {
      show(c, args.output, args.domain.empty() ? "/v1/neighbors" : in_domain(args, "neighbors"),
           view_neighbors);
    };
  });
  auto* statistics = app.add_subcommand("statistics", "Counters by station, or of a domain");
  statistics->add_option("domain", args.domain);
  statistics->callback([&] {
    action = [&](Client& c) {
      const bool all = args.domain.empty();
      show(c, args.output, all ? "/v1/statistics" : in_domain(args, "statistics"),
           all ? view_statistics : view_domain_statistics);
    };
  });
}

// What goes into a query must have nothing in it that a query reserves.
CLI::Validator made_of(const char* characters, const char* what) {
  return {[characters, what](const std::string& text) {
            const bool plain = text.find_first_not_of(characters) == std::string::npos;
            return plain ? std::string() : fmt::format("must be {}", what);
          },
          ""};
}

void add_domain_verbs(CLI::App& app, Arguments& args, Action& action) {
  auto* routes = app.add_subcommand("routes", "A domain's routes and why the best one won");
  routes->add_option("domain", args.domain)->required();
  routes->callback([&] {
    action = [&](Client& c) { show(c, args.output, in_domain(args, "routes"), view_routes); };
  });
  auto* lookup = app.add_subcommand("lookup", "Where a packet of a domain goes, and why");
  lookup->add_option("domain", args.domain)->required();
  lookup->add_option("address", args.address)
      ->required()
      ->check(made_of("0123456789abcdefABCDEF.:", "an IP address"));
  lookup->callback([&] {
    action = [&](Client& c) {
      show(c, args.output, in_domain(args, "lookup?address=" + args.address), view_lookup);
    };
  });
  auto* records = app.add_subcommand("records", "A virtual subnet's lookup records");
  records->add_option("domain", args.domain)->required();
  records->add_option("subnet", args.subnet)->required();
  records->callback([&] {
    action = [&](Client& c) {
      show(c, args.output, in_domain(args, "virtualSubnets/" + args.subnet + "/lookupRecords"),
           view_records);
    };
  });
}

void add_session_filter(CLI::App& verb, SessionFilter& filter) {
  const auto address = made_of("0123456789abcdefABCDEF.:/", "an IP address or prefix");
  verb.add_option("domain", filter.domain)->required();
  verb.add_option("--protocol", filter.protocol, "TCP, UDP, ICMP or a number")
      ->check(made_of("0123456789TCPUDIM", "TCP, UDP, ICMP or a number"));
  verb.add_option("--inside", filter.inside, "Address or prefix")->check(address);
  verb.add_option("--inside-port", filter.inside_port);
  verb.add_option("--outside", filter.outside, "Public address or prefix")->check(address);
  verb.add_option("--outside-port", filter.outside_port);
  verb.add_option("--remote", filter.remote, "Address or prefix")->check(address);
  verb.add_option("--remote-port", filter.remote_port);
}

void add_nat_verbs(CLI::App& app, Arguments& args, Action& action) {
  auto* nat = app.add_subcommand("nat", "What NAT does for a domain");
  nat->require_subcommand(1);
  auto* sessions = nat->add_subcommand("sessions", "A domain's sessions");
  add_session_filter(*sessions, args.sessions);
  sessions->add_option("--limit", args.limit, "At most so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sessions->callback([&] {
    action = [&](Client& c) { show_sessions(c, args.output, args.sessions, args.limit); };
  });
  auto* end = nat->add_subcommand("end", "End a domain's sessions: those that fit, or all");
  add_session_filter(*end, args.sessions);
  end->add_flag("--all", args.all, "Every session");
  end->callback(
      [&] { action = [&](Client& c) { end_sessions(c, args.output, args.sessions, args.all); }; });
  auto* mappings = nat->add_subcommand("mappings", "A domain's outbound rules and static mappings");
  mappings->add_option("domain", args.domain)->required();
  mappings->callback([&] {
    action = [&](Client& c) { show(c, args.output, in_domain(args, "nat"), view_mappings); };
  });
  nat->add_subcommand("pools", "Pools of public addresses and their use")->callback([&] {
    action = [&](Client& c) { show(c, args.output, "/v1/publicIPAddresses", view_pools); };
  });
}

void add_vpn_verbs(CLI::App& app, Arguments& args, Action& action) {
  auto* vpn = app.add_subcommand("vpn", "IPSec connections");
  vpn->require_subcommand(1);
  auto* list = vpn->add_subcommand("list", "Tunnels and how they are: a domain's, or all");
  list->add_option("domain", args.domain);
  list->callback([&] { action = [&](Client& c) { list_tunnels(c, args.output, args.domain); }; });
  auto* show_verb = vpn->add_subcommand("show", "One tunnel, with its SAs");
  show_verb->add_option("domain", args.domain)->required();
  show_verb->add_option("name", args.connection)->required();
  show_verb->callback([&] {
    action = [&](Client& c) { show_tunnel(c, args.output, args.domain, args.connection); };
  });
  auto* doctor = vpn->add_subcommand(
      "doctor", "Why a tunnel is not up; without a name: IKE that belongs to no tunnel");
  auto* of_domain = doctor->add_option("domain", args.domain);
  doctor->add_option("name", args.connection)->needs(of_domain);
  doctor->callback([&] {
    if (!args.domain.empty() && args.connection.empty()) {
      throw CLI::RequiredError("name");
    }
    action = [&](Client& c) {
      if (args.domain.empty()) return list_ike_faults(c, args.output);
      diagnose_tunnel(c, args.output, args.domain, args.connection);
    };
  });
  constexpr std::pair<const char*, const char*> kActions[] = {
      {"connect", "Start a tunnel"},
      {"disconnect", "End a tunnel until it is started again"},
      {"rekey", "Give a tunnel new keys"}};
  for (const auto& one : kActions) {
    const char* name = one.first;
    auto* verb = vpn->add_subcommand(name, one.second);
    verb->add_option("domain", args.domain)->required();
    verb->add_option("name", args.connection)->required();
    verb->callback([&, name] {
      action = [&, name](Client& c) { act_on_tunnel(c, args.domain, args.connection, name); };
    });
  }
}

constexpr const char* kNameCharacters =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-:";

void add_bgp_routes_verb(CLI::App& bgp, Arguments& args, Action& action) {
  auto* routes = bgp.add_subcommand("routes", "A domain's BGP routes, as bgpd has them");
  routes->add_option("domain", args.bgp_routes.domain)->required();
  routes->add_option("--type", args.bgp_routes.type, "all, best, received, advertised")
      ->check(CLI::IsMember({"all", "best", "received", "advertised"}));
  routes->add_option("--peer", args.bgp_routes.peer, "A peer's name or address")
      ->check(made_of(kNameCharacters, "a name or an IP address"));
  routes->add_option("--prefix", args.bgp_routes.prefix, "This prefix and what lies in it")
      ->check(made_of("0123456789abcdefABCDEF.:/", "a prefix or an IP address"));
  routes->add_option("--limit", args.limit, "At most so many prefixes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  routes->callback([&] {
    action = [&](Client& c) { bgp_routes(c, args.output, args.bgp_routes, args.limit); };
  });
}

void add_bgp_verbs(CLI::App& app, Arguments& args, Action& action) {
  auto* bgp = app.add_subcommand("bgp", "BGP of a routing domain");
  bgp->require_subcommand(1);
  using Show = void (*)(Client&, Output, const std::string&);
  const auto add = [&](const char* name, const char* what, Show show_it) {
    auto* verb = bgp->add_subcommand(name, what);
    verb->add_option("domain", args.domain)->required();
    verb->callback([&, show_it] {
      action = [&, show_it](Client& c) { show_it(c, args.output, args.domain); };
    });
  };
  add("summary", "The router, and a line for each peer", bgp_summary);
  using ShowOne = void (*)(Client&, Output, const std::string&, const std::string&);
  const auto add_one = [&](const char* name, const char* what, ShowOne show_it) {
    auto* verb = bgp->add_subcommand(name, what);
    verb->add_option("domain", args.domain)->required();
    verb->add_option("name", args.connection)->required();
    verb->callback([&, show_it] {
      action = [&, show_it](Client& c) { show_it(c, args.output, args.domain, args.connection); };
    });
  };
  add_bgp_routes_verb(*bgp, args, action);
  add_one("peers", "One peer, with its messages", bgp_peer);
  add_one("policy", "A policy map", bgp_policy);
}

void add_trace_verb(CLI::App& app, Arguments& args, Action& action) {
  auto* trace_verb = app.add_subcommand("trace", "Show a domain's packets on their way");
  trace_verb->add_option("domain", args.trace.domain)->required();
  trace_verb->add_option("--source", args.trace.source, "Address");
  trace_verb->add_option("--destination", args.trace.destination, "Address");
  trace_verb->add_option("--protocol", args.trace.protocol, "icmp, tcp, udp or a number");
  trace_verb->add_option("--source-port", args.trace.source_port);
  trace_verb->add_option("--destination-port", args.trace.destination_port);
  trace_verb->add_option("--limit", args.trace.limit, "Events, then stop");
  trace_verb->add_option("--seconds", args.trace.seconds, "Stop after so long");
  trace_verb->callback([&] { action = [&](Client& c) { trace(c, args.output, args.trace); }; });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Reads and changes a running hnv-gateway"};
  app.require_subcommand(1);
  app.fallthrough();
  Arguments args;
  Action action;
  add_connection(app, args);
  add_resource_verbs(app, args, action);
  add_appliance_verbs(app, args, action);
  add_domain_verbs(app, args, action);
  add_nat_verbs(app, args, action);
  add_vpn_verbs(app, args, action);
  add_bgp_verbs(app, args, action);
  add_trace_verb(app, args, action);
  CLI11_PARSE(app, argc, argv);
  if (args.format == "json") args.output = Output::json;
  try {
    Client client(args.endpoint);
    action(client);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "hnvctl: " << e.what() << "\n";
    return 1;
  }
}
