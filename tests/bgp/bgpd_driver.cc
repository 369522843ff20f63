// SPDX-License-Identifier: Apache-2.0
//
// The control half of BGP without a gateway around it, for tests/netns/test_bgpd_control.py: the
// supervised bgpd, zserv, the vty client, and a "dataplane" that carries packets between the
// domains' TUNs and those of their peers, by destination address.
//
//   bgpd ═ bgp0 (TUN, the domain's namespace) ─ this process ─ site0 (TUN, the peer's namespace)
//
// Commands come as lines of JSON on standard input, answers go to standard output.
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <linux/if_tun.h>
#include <map>
#include <net/if.h>
#include <optional>
#include <poll.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "bgp/bgp_control.h"

namespace hnv {
namespace {

using Json = nlohmann::json;

Instant clock_now() {
  return Instant{static_cast<uint64_t>(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())
          .count())};
}

// Asked to end: the launcher and bgpd end before.
volatile std::sig_atomic_t g_ended = 0;

[[noreturn]] void give_up(const std::string& why) {
  std::cerr << "hnv_bgpd_driver: " << why << "\n";
  std::exit(1);
}

BgpAddress address_of(const Json& text) {
  const auto address = BgpAddress::parse(text.get<std::string>());
  if (!address) give_up("no address: " + text.dump());
  return *address;
}
BgpPrefix prefix_of(const Json& text) {
  const auto prefix = BgpPrefix::parse(text.get<std::string>());
  if (!prefix) give_up("no prefix: " + text.dump());
  return *prefix;
}
BgpSwitch switch_of(const Json& in, const char* name, BgpSwitch otherwise) {
  if (!in.contains(name)) return otherwise;
  return in[name].get<bool>() ? BgpSwitch::enabled : BgpSwitch::disabled;
}

BgpPeerSpec peer_of(const Json& in) {
  BgpPeerSpec out;
  out.peer_ip_address = address_of(in.at("address"));
  out.as_number = in.at("as");
  if (in.contains("local")) out.local_ip_address = address_of(in["local"]);
  if (in.contains("hold")) out.hold_time_seconds = in["hold"].get<uint32_t>();
  if (in.value("server", false)) out.operation_mode = BgpOperationMode::server;
  out.max_allowed_prefix = in.value("max", out.max_allowed_prefix);
  out.weight = in.value("weight", 0U);
  out.route_reflector_client = switch_of(in, "client", BgpSwitch::disabled);
  if (in.contains("password")) {
    out.password = SharedSecret(SecretBytes::of(in["password"].get<std::string>()));
  }
  if (in.contains("ttlSecurity")) out.ttl_security = in["ttlSecurity"].get<uint32_t>();
  if (in.contains("multihop")) out.multihop = in["multihop"].get<uint32_t>();
  out.graceful_restart = switch_of(in, "gracefulRestart", BgpSwitch::enabled);
  if (in.value("bfd", false)) out.bfd = BgpBfdSpec{};
  for (const Json& family : in.value("families", Json::array())) {
    out.address_families.push_back(family == 4 ? Family::ipv4 : Family::ipv6);
  }
  out.policy_map_in = in.value("in", "");
  out.policy_map_out = in.value("out", "");
  if (in.value("disabled", false)) out.admin_status = BgpAdminStatus::disabled;
  return out;
}

std::vector<PolicyPrefix> policy_prefixes(const Json& in, const char* name) {
  std::vector<PolicyPrefix> out;
  for (const Json& one : in.value(name, Json::array())) {
    PolicyPrefix prefix{prefix_of(one.at("prefix"))};
    if (one.contains("ge")) prefix.min_length = one["ge"].get<uint8_t>();
    if (one.contains("le")) prefix.max_length = one["le"].get<uint8_t>();
    out.push_back(prefix);
  }
  return out;
}

PolicyMapEntrySpec entry_of(const Json& in) {
  PolicyMapEntrySpec out;
  out.sequence = in.at("sequence");
  if (in.value("deny", false)) out.action = PolicyAction::deny;
  out.match.prefixes = policy_prefixes(in, "prefixes");
  out.match.ignore_prefixes = policy_prefixes(in, "ignore");
  out.match.communities = in.value("communities", std::vector<std::string>());
  for (const Json& asns : in.value("asns", Json::array())) {
    out.match.asn_ranges.push_back({asns.at(0), asns.at(1)});
  }
  for (const Json& hop : in.value("nextHops", Json::array())) {
    out.match.next_hops.push_back(address_of(hop));
  }
  if (in.contains("localPreference"))
    out.set.local_preference = in["localPreference"].get<uint32_t>();
  if (in.contains("med")) out.set.med = in["med"].get<uint32_t>();
  if (in.contains("weight")) out.set.weight = in["weight"].get<uint32_t>();
  out.set.add_communities = in.value("add", std::vector<std::string>());
  out.set.remove_communities = in.value("remove", std::vector<std::string>());
  if (in.contains("nextHop")) out.set.next_hop = address_of(in["nextHop"]);
  out.set.prepend_as_path = in.value("prepend", std::vector<uint32_t>());
  return out;
}

BgpDomainSpec spec_of(const Json& in) {
  BgpDomainSpec out;
  out.router.as_number = in.at("as");
  out.router.router_id = address_of(in.at("routerId")).v4();
  out.router.hold_time_seconds = in.value("hold", 90U);
  out.router.ebgp_requires_policy = switch_of(in, "requirePolicy", BgpSwitch::enabled);
  out.router.transit_routing = switch_of(in, "transit", BgpSwitch::disabled);
  out.router.default_gateway_routing = switch_of(in, "defaultRoute", BgpSwitch::disabled);
  out.router.compare_med_across_asn = switch_of(in, "compareMed", BgpSwitch::disabled);
  out.router.redistribute_connected = switch_of(in, "connected", BgpSwitch::disabled);
  out.router.redistribute_static = switch_of(in, "static", BgpSwitch::disabled);
  out.router.ecmp = in.value("ecmp", 1U);
  if (in.contains("clusterId")) out.router.cluster_id = address_of(in["clusterId"]).v4();
  if (in.value("dampening", false)) out.router.dampening = BgpDampeningSpec{};
  const Json none = Json::object();
  const Json peers = in.value("peers", none);
  for (const auto& [name, peer] : peers.items()) out.peers[name] = peer_of(peer);
  for (const Json& route : in.value("networks", Json::array())) {
    out.custom_routes.push_back({prefix_of(route)});
  }
  for (const Json& aggregate : in.value("aggregates", Json::array())) {
    out.aggregates.push_back({prefix_of(aggregate), BgpSwitch::enabled});
  }
  const Json policies = in.value("policies", none);
  for (const auto& [name, map] : policies.items()) {
    for (const Json& entry : map) {
      out.policy_maps[name].policy_map_entry_list.push_back(entry_of(entry));
    }
  }
  return out;
}

// Each domain's own routes, as the test says; what BGP brings is only recorded.
class Tables : public RouteKnowledge {
 public:
  [[nodiscard]] std::optional<Reach> reach(uint32_t domain,
                                           const BgpAddress& address) const override {
    std::optional<Reach> best;
    const auto at = routes.find(domain);
    if (at == routes.end()) return best;
    for (const auto& [prefix, route] : at->second) {
      if (!prefix.contains(address)) continue;
      if (!best || prefix.length() > best->through.length()) best = route;
    }
    return best;
  }
  [[nodiscard]] std::optional<Reach> route(uint32_t domain,
                                           const BgpPrefix& prefix) const override {
    const auto at = routes.find(domain);
    if (at == routes.end()) return std::nullopt;
    const auto route = at->second.find(prefix);
    return route == at->second.end() ? std::nullopt : std::optional(route->second);
  }
  void for_each(uint32_t domain, Family family, const Visit& visit) const override {
    const auto at = routes.find(domain);
    if (at == routes.end()) return;
    for (const auto& [prefix, route] : at->second) {
      if (prefix.family() == family) visit(route);
    }
  }
  std::map<uint32_t, std::map<BgpPrefix, Reach>> routes;
};

// A TUN in another namespace; addresses on it are the test's to give.
OwnedFd tun_in(const std::string& netns, const std::string& name) {
  const OwnedFd home(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const OwnedFd there(open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there || setns(there.get(), CLONE_NEWNET) != 0) give_up("no namespace " + netns);
  OwnedFd tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  const bool made = ioctl(tun.get(), TUNSETIFF, &request) == 0;
  if (setns(home.get(), CLONE_NEWNET) != 0 || !made) give_up("no TUN in " + netns);
  return tun;
}

class Driver {
 public:
  Driver(BgpdLauncher launcher, const ZservServer::Options& options)
      : control_(std::move(launcher), options, tables_,
                 {[this](const RouteChange& change) { take(change); },
                  [this](uint32_t domain, OwnedFd tun) { tuns_[domain] = std::move(tun); },
                  [this](uint32_t domain, const ZapiBfdSession& session) {
                    if (session.change != ZapiBfdSession::Change::remove) {
                      bfd_[domain] = session;
                    }
                  }}) {
    control_.start();
  }

  void run() {
    while (!stop_ && !g_ended) {
      std::vector<pollfd> fds{{STDIN_FILENO, POLLIN, 0}};
      for (const auto& [domain, tun] : tuns_) fds.push_back({tun.get(), POLLIN, 0});
      for (const auto& [key, tun] : wires_) fds.push_back({tun.get(), POLLIN, 0});
      control_.add_to(fds);
      (void)poll(fds.data(), fds.size(), control_.busy() ? 0 : 5);
      if (fds[0].revents != 0) read_commands();
      pump();
      control_.step(clock_now());
    }
  }

 private:
  using Packet = std::array<uint8_t, 65'536>;
  static constexpr int kPacketsAtOnce = 256;

  void take(const RouteChange& change) {
    auto& routes = routes_[change.domain];
    if (change.kind == RouteChange::Kind::withdrawn) {
      routes.erase(change.prefix);
      ++withdrawn_[change.domain];
      return;
    }
    routes[change.prefix] = change;
  }

  static std::optional<BgpAddress> destination_of(const Packet& packet, ssize_t size) {
    if (size >= 20 && packet[0] >> 4 == 4) {
      return BgpAddress(CaAddress(uint32_t{packet[16]} << 24 | uint32_t{packet[17]} << 16 |
                                  uint32_t{packet[18]} << 8 | packet[19]));
    }
    if (size < 40 || packet[0] >> 4 != 6) return std::nullopt;
    CaAddress6::Bytes bytes{};
    std::memcpy(bytes.data(), &packet[24], bytes.size());
    return BgpAddress(CaAddress6(bytes));
  }

  void pump() {
    Packet packet;
    for (const auto& [domain, tun] : tuns_) {
      for (int i = 0; i < kPacketsAtOnce; ++i) {
        const ssize_t n = read(tun.get(), packet.data(), packet.size());
        if (n <= 0) break;
        const auto to = destination_of(packet, n);
        const auto wire = to ? wires_.find({domain, *to}) : wires_.end();
        if (wire == wires_.end()) continue;
        (void)!write(wire->second.get(), packet.data(), static_cast<size_t>(n));
      }
    }
    for (const auto& [key, wire] : wires_) {
      const auto tun = tuns_.find(key.first);
      for (int i = 0; i < kPacketsAtOnce; ++i) {
        const ssize_t n = read(wire.get(), packet.data(), packet.size());
        if (n <= 0) break;
        if (tun == tuns_.end()) continue;
        (void)!write(tun->second.get(), packet.data(), static_cast<size_t>(n));
      }
    }
  }

  void read_commands() {
    std::array<char, 65'536> bytes{};
    const ssize_t n = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n <= 0) {
      stop_ = true;
      return;
    }
    input_.append(bytes.data(), static_cast<size_t>(n));
    for (size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      const Json answer = obey(Json::parse(input_.substr(0, end)));
      input_.erase(0, end + 1);
      if (!answer.is_null()) std::cout << answer.dump() << std::endl;
    }
  }

  Json obey(const Json& command) {
    const std::string what = command.at("do");
    const uint32_t domain = command.value("domain", 0U);
    if (what == "wire") {
      OwnedFd tun = tun_in(command.at("netns"), "site0");
      for (const Json& address : command.at("addresses")) {
        wires_[{domain, address_of(address)}] = OwnedFd(dup(tun.get()));
      }
    } else if (what == "set") {
      return set(domain, command);
    } else if (what == "remove") {
      control_.remove(domain);
      tuns_.erase(domain);
    } else if (what == "route") {
      change_route(domain, command);
    } else if (what == "bfd") {
      control_.tell_bfd(domain, bfd_.at(domain),
                        command.at("up") ? ZapiBfdState::up : ZapiBfdState::down);
    } else if (what == "read") {
      control_.read(command.at("command"), [](const Result<VtyAnswer>& answer) {
        std::cout << Json{{"text", answer ? answer->text : answer.error().message}}.dump()
                  << std::endl;
      });
      return {};  // answered later
    } else if (what == "state") {
      return state();
    } else {
      return {{"error", "unknown: " + what}};
    }
    return {{"ok", true}};
  }

  Json set(uint32_t domain, const Json& command) {
    const BgpDomainSpec spec = spec_of(command.at("spec"));
    for (const ErrorDetail& fault : check(spec)) {
      return {{"error", fault.message}, {"target", fault.target}};
    }
    BgpDomainPlace place;
    for (const Json& text : command.at("addresses")) {
      place.addresses.push_back(
          InterfaceAddress<Space::customer>::parse(text.get<std::string>()).value());
      const BgpPrefix prefix = place.addresses.back().prefix();
      tables_.routes[domain][prefix] = {prefix, RouteSource::connected, 0};
    }
    control_.set(domain, spec, place, clock_now());
    specs_[domain] = spec;
    return {{"ok", true}};
  }

  void change_route(uint32_t domain, const Json& command) {
    const RouteKnowledge::Reach route{prefix_of(command.at("prefix")), RouteSource::static_route,
                                      command.value("metric", 1U)};
    const bool on = command.at("on");
    if (on) {
      tables_.routes[domain][route.through] = route;
    } else {
      tables_.routes[domain].erase(route.through);
    }
    control_.next_hops_changed(domain);
    control_.redistribute(domain, on ? ZapiSwitch::on : ZapiSwitch::off, route);
  }

  Json routes_of(uint32_t domain) const {
    Json out = Json::object();
    const auto at = routes_.find(domain);
    if (at == routes_.end()) return out;
    for (const auto& [prefix, route] : at->second) {
      Json hops = Json::array();
      for (const BgpAddress& hop : route.next_hops) hops.push_back(hop.to_string());
      out[prefix.to_string()] = {{"nextHops", hops},
                                 {"metric", route.metric},
                                 {"distance", route.distance},
                                 {"source", to_string(route.source)}};
    }
    return out;
  }

  Json peers_of(uint32_t domain, const BgpDomainSpec& spec) const {
    Json out = Json::object();
    for (const auto& [name, peer] : spec.peers) {
      const BgpPeerState* state = control_.peer(domain, peer.peer_ip_address);
      if (state == nullptr) continue;
      out[name] = {{"state", state->connection_state},
                   {"accepted", state->prefixes_accepted},
                   {"sent", state->prefixes_sent},
                   {"established", state->established},
                   {"updates", state->received.updates},
                   {"upMilliseconds", state->up_milliseconds},
                   {"hold", state->hold_time_seconds},
                   {"lastReset", state->last_reset},
                   {"lastNotification", state->last_notification},
                   {"bfd", state->bfd}};
    }
    return out;
  }

  Json state() const {
    constexpr const char* kPhases[] = {"waiting", "configured", "ready", "failed"};
    constexpr const char* kStates[] = {"away", "loading", "ready", "refused"};
    Json domains = Json::object();
    for (const auto& [number, spec] : specs_) {
      const BgpDomainState* state = control_.domain(number);
      const auto withdrawn = withdrawn_.find(number);
      domains[std::to_string(number)] = {
          {"phase", state != nullptr ? kPhases[static_cast<size_t>(state->phase)] : "gone"},
          {"fault", state != nullptr ? state->fault : ""},
          {"refused", state != nullptr ? state->refused : std::vector<std::string>()},
          {"routes", routes_of(number)},
          {"stale", control_.count(number).stale},
          {"withdrawn", withdrawn != withdrawn_.end() ? withdrawn->second : 0},
          {"bfd", bfd_.contains(number)},
          {"peers", peers_of(number, spec)}};
    }
    return {{"domains", domains},
            {"pid", control_.pid()},
            {"restarts", control_.restarts()},
            {"version", control_.version()},
            {"fault", control_.fault()},
            {"state", kStates[static_cast<size_t>(control_.state())]}};
  }

  Tables tables_;
  std::map<uint32_t, OwnedFd> tuns_;
  std::map<std::pair<uint32_t, BgpAddress>, OwnedFd> wires_;
  std::map<uint32_t, BgpDomainSpec> specs_;
  std::map<uint32_t, std::map<BgpPrefix, RouteChange>> routes_;
  std::map<uint32_t, uint64_t> withdrawn_;
  std::map<uint32_t, ZapiBfdSession> bfd_;
  std::string input_;
  bool stop_ = false;
  BgpControl control_;  // last: its callbacks use what stands above
};

int drive(int argc, char** argv) {
  if (argc != 3) give_up("usage: hnv_bgpd_driver FOLDER USER");
  BgpdPlace place;
  place.folder = argv[1];
  place.user = static_cast<uid_t>(std::stoul(argv[2]));
  place.group = place.user;
  spdlog::set_default_logger(spdlog::stderr_logger_mt("driver"));
  auto launcher = fork_bgpd_launcher(place);
  if (!launcher) give_up(launcher.error().message);
  (void)std::signal(SIGTERM, [](int) { g_ended = 1; });
  std::cout << Json{{"ready", true}}.dump() << std::endl;
  ZservServer::Options options;
  options.user = place.user;
  options.stale_time = std::chrono::seconds(30);
  Driver(std::move(*launcher), options).run();
  return 0;
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) { return hnv::drive(argc, argv); }
