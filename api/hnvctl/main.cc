// SPDX-License-Identifier: Apache-2.0
//
// hnvctl: the REST API for people and scripts. Verbs map one to one on resources; exit status 0
// only on success.
#include <functional>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "api/hnvctl/commands.h"
#include "api/hnvctl/table.h"
#include "api/hnvctl/views.h"

namespace {

using namespace hnv::ctl;

// What the command line said; CLI11 fills it, one callback uses it.
struct Arguments {
  Endpoint endpoint;
  std::string format = "table";
  Output output = Output::table;
  std::string path, file = "-", domain, subnet, address;
  double interval = 2;
  TraceRequest trace;
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
      ->check(CLI::Validator(
          [](const std::string& text) {
            const bool plain =
                text.find_first_not_of("0123456789abcdefABCDEF.:") == std::string::npos;
            return plain ? std::string() : "must be an IP address";
          },
          "ADDRESS"));
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
