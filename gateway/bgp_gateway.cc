// SPDX-License-Identifier: Apache-2.0
#include "gateway/bgp_gateway.h"

#include <algorithm>
#include <pwd.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "gateway/bootstrap.h"

namespace hnv {
namespace {

// So many routes are compiled at once, or those that came within so long, or within as long as it
// took to compile those before: few at a time cost more than many.
constexpr size_t kLearnedAtOnce = 8192;
constexpr Duration kGather = std::chrono::milliseconds(4);
constexpr Duration kLongestGather = std::chrono::milliseconds(50);
constexpr size_t kMostWaiting = size_t{1} << 18;  // then bgpd is not read

bool of_bgp(const RouteCandidate& route) {
  return route.source == RouteSource::ebgp || route.source == RouteSource::ibgp;
}

RouteKnowledge::Reach reach_of(const RouteCandidate& route) {
  return {route.prefix, route.source, route.metric};
}

std::string word_of(BfdState state) {
  switch (state) {
    case BfdState::admin_down:
      return "AdminDown";
    case BfdState::down:
      return "Down";
    case BfdState::init:
      return "Init";
    case BfdState::up:
      return "Up";
  }
  return {};
}

// RFC 5880 §4.1.
std::string words_of(BfdDiagnostic diagnostic) {
  switch (diagnostic) {
    case BfdDiagnostic::none:
      return {};
    case BfdDiagnostic::detection_time_expired:
      return "nothing was heard of the peer for the detection time";
    case BfdDiagnostic::neighbor_signaled_down:
      return "the peer said that it is down";
    case BfdDiagnostic::administratively_down:
      return "ended by configuration";
  }
  return {};
}

}  // namespace

BgpStart start_bgp(const std::optional<BgpConfig>& config, const std::string& runtime_directory) {
  BgpStart start;
  const auto off = [](std::string why) { return BgpStart{{}, 0, std::move(why)}; };
  if (!config) return off("the bootstrap file has no \"bgp\" section");
  if (access(config->bgpd.c_str(), X_OK) != 0) {
    return off(fmt::format("{} is not there: install frr 8.4 or 8.5", config->bgpd));
  }
  const passwd* user = getpwnam(config->user.c_str());
  if (user == nullptr) return off(fmt::format("there is no user {} for bgpd", config->user));
  start.user = user->pw_uid;
  for (uint32_t i = 0; i < config->processes; ++i) {
    BgpdPlace place;
    place.folder = fmt::format("{}-{}", config->folder.value_or(runtime_directory + "/bgp"), i);
    place.user = user->pw_uid;
    place.group = user->pw_gid;
    place.binary = config->bgpd;
    auto launcher = fork_bgpd_launcher(place);
    if (!launcher) return off("bgpd cannot be started: " + launcher.error().message);
    start.launchers.push_back(std::move(*launcher));
  }
  return start;
}

BgpGateway::BgpGateway(BgpStart start, BfdControl& bfd, Events events)
    : off_(std::move(start.off)),
      events_(std::move(events)),
      bfd_(bfd, [this](uint32_t number, const ZapiBfdSession& session, ZapiBfdState state) {
        domains_.at(number).control->tell_bfd(number, session, state);
      }) {
  for (BgpdLauncher& launcher : start.launchers) {
    ZservServer::Options options;
    options.user = start.user;
    controls_.push_back(std::make_unique<BgpControl>(
        std::move(launcher), options, static_cast<const RouteKnowledge&>(*this),
        BgpControl::Events{[this](RouteChange&& change) { take(std::move(change)); },
                           [this](uint32_t number, OwnedFd tun) {
                             const auto at = domains_.find(number);
                             if (at == domains_.end() || at->second.gone || !events_.tun) return;
                             events_.tun(at->second.compartment, at->second.uid, std::move(tun));
                           },
                           [this](uint32_t number, const ZapiBfdSession& session) {
                             bfd_.take(number, session);
                           }}));
  }
}

void BgpGateway::configure(const std::shared_ptr<const Compiled>& compiled, Instant now) {
  static const Compiled kNothing;
  const std::shared_ptr<const Compiled> before = std::exchange(compiled_, compiled);
  using Domains = decltype(Compiled::domains);
  Domains::difference(before == nullptr ? kNothing.domains : before->domains, compiled->domains,
                      [&](const std::string& name, const auto* was, const auto* is) {
                        configure_domain(name, was == nullptr ? nullptr : was->get(),
                                         is == nullptr ? nullptr : is->get(), now);
                      });
}

void BgpGateway::configure_domain(const std::string& name, const CompiledDomain* before,
                                  const CompiledDomain* after, Instant now) {
  auto known = numbers_.find(name);
  if (known != numbers_.end()) {
    const uint32_t number = known->second;
    if (after == nullptr || after->bgp == nullptr || after->view->uid != domains_.at(number).uid) {
      remove(number);
      known = numbers_.end();
    }
  }
  if (after == nullptr || after->bgp == nullptr) return;
  if (known == numbers_.end()) {
    add(name, *after);
    known = numbers_.find(name);
  }
  Domain& domain = domains_.at(known->second);
  if (domain.control == nullptr) return;
  if (domain.told != after->bgp) {
    domain.told = after->bgp;
    bfd_.configure(known->second, domain.compartment, domain.uid, after->bgp);
    domain.control->set(known->second, after->bgp->spec, {after->bgp->addresses, after->bgp->mtu},
                        now);
  }
  if (before != nullptr && before->routes != after->routes) {
    tell_routes(known->second, *before->routes, *after->routes);
  }
}

void BgpGateway::add(const std::string& name, const CompiledDomain& domain) {
  const uint32_t number = next_number_++;
  Domain& added = domains_[number];
  added.name = name;
  added.compartment = domain.view->id;
  added.uid = domain.view->uid;
  numbers_.insert_or_assign(name, number);
  std::map<const BgpControl*, size_t> used;
  for (const auto& [other, one] : domains_) ++used[one.control];
  for (const auto& control : controls_) {
    const bool fewest = added.control == nullptr || used[control.get()] < used[added.control];
    if (used[control.get()] < kDomainsOfOne && fewest) added.control = control.get();
  }
  if (added.control == nullptr) {
    if (!controls_.empty()) spdlog::error("BGP: no room for {}: {}", name, why_not(added));
    return;
  }
  added.control->start();
}

void BgpGateway::remove(uint32_t number) {
  Domain& domain = domains_.at(number);
  numbers_.erase(domain.name);
  domain.gone = true;
  ++gone_;
  bfd_.remove(number);
  if (domain.control != nullptr) domain.control->remove(number);
  if (events_.tun_gone) events_.tun_gone(domain.uid);
}

// Next hops and routes that bgpd asked for may be others now.
void BgpGateway::tell_routes(uint32_t number, const RouteTable& before, const RouteTable& after) {
  const Domain& domain = domains_.at(number);
  domain.control->next_hops_changed(number);
  const BgpRouterSpec& router = domain.told->spec.router;
  if (router.redistribute_connected != BgpSwitch::enabled &&
      router.redistribute_static != BgpSwitch::enabled) {
    return;
  }
  const auto tell = [&](const Prefix<Space::customer>& prefix) {
    const RouteCandidate* was = before.best(prefix);
    const RouteCandidate* is = after.best(prefix);
    if (was != nullptr && of_bgp(*was)) was = nullptr;
    if (is != nullptr && of_bgp(*is)) is = nullptr;
    if (was != nullptr && is != nullptr && was->source == is->source && was->metric == is->metric) {
      return;
    }
    if (was != nullptr) {
      domain.control->redistribute(number, ZapiSwitch::off, reach_of(*was));
    }
    if (is != nullptr) domain.control->redistribute(number, ZapiSwitch::on, reach_of(*is));
  };
  if (before.preferences() == after.preferences()) {
    RouteTable::for_each_changed(before, after, tell);
    return;
  }
  // Every choice may be another one.
  after.for_each_best([&](const RouteCandidate& best) { tell(best.prefix); });
  before.for_each_best([&](const RouteCandidate& best) {
    if (after.best(best.prefix) == nullptr) tell(best.prefix);
  });
}

void BgpGateway::take(RouteChange&& change) {
  const auto at = domains_.find(change.domain);
  if (at == domains_.end()) return;
  at->second.waiting.push({.prefix = change.prefix,
                           .withdrawn = change.kind == RouteChange::Kind::withdrawn,
                           .source = change.source,
                           .next_hops = std::move(change.next_hops),
                           .metric = change.metric});
  ++waiting_;
  if (!waiting_since_) waiting_since_ = now_;
}

LearnedRoutes BgpGateway::take_learned(Instant now) {
  LearnedRoutes out;
  if (taken_at_) gather_ = std::clamp(now - *std::exchange(taken_at_, {}), kGather, kLongestGather);
  if (waiting_ == 0) return out;
  const bool more_come = waiting_ != std::exchange(seen_waiting_, waiting_);
  if (more_come && waiting_ < kLearnedAtOnce && now - *waiting_since_ < gather_) return out;
  // Each domain an equal share: a full table of one does not hold up the others' few.
  std::vector<Domain*> asking;
  for (auto& [number, domain] : domains_) {
    if (!domain.waiting.empty()) asking.push_back(&domain);
  }
  std::sort(asking.begin(), asking.end(),
            [](const Domain* a, const Domain* b) { return a->waiting.size() < b->waiting.size(); });
  size_t room = kLearnedAtOnce;
  for (size_t i = 0; i < asking.size() && room != 0; ++i) {
    Domain& domain = *asking[i];
    const size_t share = std::max<size_t>(room / (asking.size() - i), 1);
    const size_t before = domain.waiting.size();
    std::vector<LearnedRoute> taken = domain.waiting.take(share);
    waiting_ -= before - domain.waiting.size();
    room -= before - domain.waiting.size();
    // What is left of a domain that went, or came anew, is nobody's.
    const auto* compiled = compiled_->domains.find(domain.name);
    const bool there = compiled != nullptr && (*compiled)->view->uid == domain.uid;
    if (there) out.insert_or_assign(domain.name, std::move(taken));
  }
  seen_waiting_ = waiting_;
  waiting_since_ = waiting_ == 0 ? std::nullopt : std::optional(now);
  taken_at_ = now;
  return out;
}

// A domain's BGP that went, when its last withdrawal has been taken.
void BgpGateway::forget_gone() {
  for (auto at = domains_.begin(); at != domains_.end();) {
    const Domain& domain = at->second;
    const bool over = domain.gone && domain.waiting.empty() &&
                      (domain.control == nullptr || domain.control->count(at->first).routes == 0);
    gone_ -= over ? 1 : 0;
    at = over ? domains_.erase(at) : std::next(at);
  }
}

void BgpGateway::add_to(std::vector<pollfd>& fds) const {
  for (const auto& control : controls_) control->add_to(fds);
}

void BgpGateway::step(Instant now) {
  now_ = now;
  for (const auto& control : controls_) {
    control->read_routes(waiting_ < kMostWaiting);
    control->step(now);
  }
  bfd_.step(now);
  readers_.step(now);
  if (waiting_ == 0 && gone_ != 0) forget_gone();
}

void BgpGateway::stop() {
  for (const auto& control : controls_) control->stop();
}

void BgpGateway::kill() {
  for (const auto& control : controls_) control->kill();
}

bool BgpGateway::ended() const {
  return std::all_of(controls_.begin(), controls_.end(),
                     [](const auto& control) { return control->ended(); });
}

const RouteTable* BgpGateway::table_of(uint32_t number) const {
  const auto at = domains_.find(number);
  if (at == domains_.end() || at->second.gone || compiled_ == nullptr) return nullptr;
  const auto* domain = compiled_->domains.find(at->second.name);
  if (domain == nullptr || (*domain)->view->uid != at->second.uid) return nullptr;
  return (*domain)->routes.get();
}

std::optional<RouteKnowledge::Reach> BgpGateway::reach(uint32_t domain,
                                                       const BgpAddress& address) const {
  const RouteTable* table = table_of(domain);
  const RouteCandidate* match = table == nullptr ? nullptr : table->longest_match(address);
  if (match == nullptr) return std::nullopt;
  const Resolution found = table->resolve({.first = {RecursiveHop{address}}, .others = {}});
  if (found.hops.empty() || !found.works) return std::nullopt;
  return reach_of(*match);
}

std::optional<RouteKnowledge::Reach> BgpGateway::route(uint32_t domain,
                                                       const BgpPrefix& prefix) const {
  const RouteTable* table = table_of(domain);
  const RouteCandidate* best = table == nullptr ? nullptr : table->best(prefix);
  if (best == nullptr) return std::nullopt;
  return reach_of(*best);
}

void BgpGateway::for_each(uint32_t domain, Family family, const Visit& visit) const {
  const RouteTable* table = table_of(domain);
  if (table == nullptr) return;
  table->for_each_best([&](const RouteCandidate& best) {
    if (best.prefix.family() == family) visit(reach_of(best));
  });
}

const BgpGateway::Domain* BgpGateway::find(std::string_view name) const {
  const auto at = numbers_.find(name);
  return at == numbers_.end() ? nullptr : &domains_.at(at->second);
}

std::string BgpGateway::why_not(const Domain& domain) const {
  if (!off_.empty()) return "BGP is off: " + off_;
  if (domain.control == nullptr) {
    return fmt::format(
        "there are {} bgpd processes with {} routing domains each: raise "
        "bgp.processes in the bootstrap file",
        controls_.size(), kDomainsOfOne);
  }
  std::string fault = domain.control->fault();
  switch (domain.control->state()) {
    case BgpControl::State::away:
      return fault.empty() ? "bgpd is starting" : fault;
    case BgpControl::State::refused:
      return fault;
    case BgpControl::State::loading:
    case BgpControl::State::ready:
      break;
  }
  return {};
}

std::optional<ConfigurationState> BgpGateway::state(std::string_view name) const {
  const Domain* domain = find(name);
  if (domain == nullptr) return std::nullopt;
  const std::string source = fmt::format("routingDomains/{}/bgpRouter", name);
  ConfigurationState out;
  if (std::string why = why_not(*domain); !why.empty()) {
    out.status = "Failure";
    out.detailed_info.push_back({source, "bgpNotRunning", std::move(why)});
    return out;
  }
  const BgpDomainState* state = domain->control->domain(numbers_.find(name)->second);
  if (state == nullptr) return out;
  if (state->phase == BgpDomainState::Phase::failed) {
    out.status = "Failure";
    out.detailed_info.push_back({source, "bgpFailed", state->fault});
  } else if (state->phase != BgpDomainState::Phase::ready) {
    out.status = "Warning";
    out.detailed_info.push_back({source, "bgpStarting", "bgpd is being told of it"});
  }
  for (const std::string& line : state->refused) {
    if (out.status == "Success") out.status = "Warning";
    out.detailed_info.push_back({source, "bgpRefused", "bgpd refuses " + line});
  }
  return out;
}

void BgpGateway::open_reader(std::string_view name, BgpReaders::Done done) {
  const Domain* domain = find(name);
  if (domain == nullptr) {
    return done(fail(ErrorCode::not_found, "the routing domain has no bgpRouter"));
  }
  if (std::string why = why_not(*domain); !why.empty()) {
    return done(fail(ErrorCode::unavailable, std::move(why)));
  }
  readers_.add(*domain->control, bgpd_name(numbers_.find(name)->second), std::move(done));
}

// Ours, not what bgpd remembers of what it was told.
void BgpGateway::describe_bfd(uint32_t number, const BgpPeerSpec& peer, BgpPeerStatus& out) const {
  if (out.session) out.session->bfd.clear();
  if (!peer.bfd) return;
  if (!out.session) out.session = BgpPeerState{};
  const BfdSession* session = bfd_.session(number, peer.peer_ip_address);
  const BfdState state = session == nullptr ? BfdState::admin_down : session->state();
  out.session->bfd = word_of(state);
  if (session == nullptr || state == BfdState::up || !out.why.empty()) return;
  const std::string why = words_of(session->diagnostic());
  if (why.empty()) return;
  out.note += fmt::format("{}BFD: {}", out.note.empty() ? "" : "; ", why);
}

std::optional<BgpPeerStatus> BgpGateway::peer(std::string_view name,
                                              const std::string& peer) const {
  const Domain* domain = find(name);
  const auto* compiled =
      compiled_ == nullptr ? nullptr : compiled_->domains.find(std::string(name));
  if (domain == nullptr || compiled == nullptr || (*compiled)->bgp == nullptr) return std::nullopt;
  const CompiledBgp& bgp = *(*compiled)->bgp;
  const auto spec = bgp.spec.peers.find(peer);
  if (spec == bgp.spec.peers.end()) return std::nullopt;
  BgpPeerStatus out;
  out.why = why_not(*domain);
  if (spec->second.admin_status == BgpAdminStatus::disabled) {
    out.why = "adminStatus is disabled";
  } else if (const auto& own = spec->second.local_ip_address;
             own && std::none_of(bgp.addresses.begin(), bgp.addresses.end(),
                                 [&](const auto& one) { return one.address == *own; })) {
    out.why = fmt::format("localIPAddress {} is none of the gateway's addresses in the domain",
                          own->to_string());
  } else if (out.why.empty()) {
    const bool in = !spec->second.policy_map_in.empty();
    const bool told = !spec->second.policy_map_out.empty();
    if (is_external(bgp.spec.router, spec->second) && !(in && told) &&
        bgp.spec.router.ebgp_requires_policy == BgpSwitch::enabled) {
      out.note = fmt::format(
          "an external peer without a policy is {} (RFC 8212): give {}, or set the router's "
          "ebgpRequiresPolicy to Disabled",
          in     ? "told nothing"
          : told ? "believed nothing"
                 : "believed and told nothing",
          in     ? "policyMapOut"
          : told ? "policyMapIn"
                 : "policyMapIn and policyMapOut");
    }
  }
  const BgpPeerState* state =
      domain->control == nullptr
          ? nullptr
          : domain->control->peer(numbers_.find(name)->second, spec->second.peer_ip_address);
  if (state != nullptr) out.session = *state;
  describe_bfd(numbers_.find(name)->second, spec->second, out);
  return out;
}

void BgpGateway::describe(SystemState& out) const {
  out.bgp = "up";
  if (!off_.empty()) {
    out.bgp = "off: " + off_;
    return;
  }
  for (const auto& control : controls_) {
    out.bgp_restarts += control->restarts();
    if (numbers_.empty()) out.bgp = "idle: no routing domain has a bgpRouter";
  }
  for (const auto& [name, number] : numbers_) {
    const Domain& domain = domains_.at(number);
    if (std::string why = why_not(domain); !why.empty() && out.bgp == "up") {
      out.bgp = "down: " + why;
    }
    if (domain.told == nullptr) continue;
    for (const auto& [peer_name, peer] : domain.told->spec.peers) {
      ++out.bgp_peers;
      const BgpPeerState* state = domain.control->peer(number, peer.peer_ip_address);
      out.bgp_peers_established += state != nullptr && state->is_established() ? 1 : 0;
    }
  }
}

}  // namespace hnv
