// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgp_control.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace hnv {
namespace {

using std::chrono::milliseconds;
using Phase = BgpDomainState::Phase;

constexpr Duration kLookEvery = milliseconds(100);
constexpr unsigned kLooks = 50;  // bgpd opens a VRF's sockets some time after it is told
// An instance without peers, in bgpd's own namespace: one of each family.
constexpr unsigned kLimboListeners = 2;
// State is read of one domain after the other; bgpd takes milliseconds for each.
constexpr Duration kReadEvery = milliseconds(500);
constexpr Duration kBetweenReads = milliseconds(20);

// For a session of IPv6 bgpd wants a link-local address (RFC 2545 §3): one that nobody else has.
InterfaceAddress<Space::customer> link_local() {
  Ip6<Space::customer>::Bytes bytes{0xfe, 0x80};
  bytes[15] = 1;
  return {Ip6<Space::customer>(bytes), 64};
}

}  // namespace

BgpControl::BgpControl(BgpdLauncher launcher, const ZservServer::Options& zserv,
                       const RouteKnowledge& routes, Events events)
    : events_(std::move(events)),
      zserv_(std::move(launcher.zserv), zserv, routes,
             {[this](RouteChange&& change) {
                if (events_.route) events_.route(std::move(change));
              },
              [this] { process_.kill(); },
              [this](uint32_t domain, const ZapiBfdSession& session) {
                if (events_.bfd) events_.bfd(domain, session);
              }}),
      vty_([this](const Error& why) {
        spdlog::error("bgpd's vty connection is lost: {}", why.message);
        process_.kill();
      }),
      process_(std::move(launcher.control), launcher.pid,
               {[this](OwnedFd commands, OwnedFd reads) {
                  connected(std::move(commands), std::move(reads));
                },
                [this](int) { bgpd_ended(); },
                [this](uint32_t domain, OwnedFd tun, unsigned interface) {
                  domain_added(domain, std::move(tun), interface);
                },
                [this](uint32_t number, int why) {
                  const auto at = domains_.find(number);
                  if (at == domains_.end()) return;
                  at->second.state.phase = Phase::failed;
                  at->second.state.fault = fmt::format("its namespace: {}", std::strerror(why));
                },
                [this](uint32_t domain, unsigned here, unsigned limbo) {
                  listeners(domain, here, limbo);
                },
                [this](OwnedFd reader) { take_reader(std::move(reader)); }}) {}

void BgpControl::connected(OwnedFd commands, OwnedFd reads) {
  if (vty_.attached()) vty_.detach(Error{ErrorCode::unavailable, "bgpd connected anew", {}, {}});
  vty_.attach(std::move(commands), std::move(reads));
  vty_.read("show version", [this](const Result<VtyAnswer>& answer) {
    if (answer) take_version(answer->text);
  });
}

void BgpControl::take_version(const std::string& text) {
  version_ = frr_version_in(text);
  const ZapiRelease* release = zapi_release_of(version_);
  if (release == nullptr) {
    return refuse(
        fmt::format("bgpd is FRR \"{}\", of which nothing is known; 8.4 and 8.5 are", version_));
  }
  spdlog::info("bgpd is FRR {}; it is told {} domains", version_, domains_.size());
  fault_.clear();
  state_ = State::loading;
  vty_.apply(bgpd_prelude(), [this](const Result<std::vector<VtyFault>>& faults) {
    if (!faults) return;
    for (const VtyFault& fault : *faults) {
      refuse(fmt::format("bgpd refuses \"{}\": {}", fault.line, fault.answer.text));
    }
  });
  zserv_.set_release(release);
}

void BgpControl::refuse(std::string why) {
  fault_ = std::move(why);
  state_ = State::refused;
  spdlog::error("{}", fault_);
}

std::string BgpControl::fault() const {
  return fault_.empty() && pid() > 0 ? zserv_.fault() : fault_;
}

// It would withdraw each of its routes first.
void BgpControl::stop() {
  stopping_ = true;
  zserv_.read_routes(false);
  process_.stop();
}

void BgpControl::bgpd_ended() {
  vty_.detach(Error{ErrorCode::unavailable, "bgpd ended", {}, {}});
  zserv_.set_release(nullptr);
  state_ = State::away;
  for (auto& [number, domain] : domains_) {
    domain.told = false;
    domain.reading = false;
    domain.peers.clear();
    domain.next_look.reset();
    domain.state.refused.clear();
    if (domain.interface == 0) continue;  // what failed there failed before
    domain.state.phase = Phase::waiting;
    domain.state.fault.clear();
    if (!zserv_.knows(number)) announce(number, domain);
  }
}

void BgpControl::set(uint32_t number, const BgpDomainSpec& spec, const BgpDomainPlace& place,
                     Instant now) {
  now_ = now;
  const auto [at, fresh] = domains_.try_emplace(number);
  Domain& domain = at->second;
  domain.place = place;
  BgpdBatch batch = config_.set(number, spec);
  if (fresh) process_.add_domain(number, place.mtu);
  std::vector<IpAddress<Space::customer>> addresses;
  for (const auto& address : place.addresses) addresses.push_back(address.address);
  process_.set_addresses(number, std::move(addresses));
  if (domain.interface == 0 || domain.state.phase == Phase::failed) return;
  announce(number, domain);
  if (domain.told) apply(number, std::move(batch));
}

void BgpControl::remove(uint32_t number) {
  const auto at = domains_.find(number);
  if (at == domains_.end()) return;
  // In this order: bgpd leaves the sockets before the namespace goes.
  BgpdBatch batch = config_.remove(number);
  if (at->second.told) {
    vty_.apply(std::move(batch), [this, number](const Result<std::vector<VtyFault>>&) {
      zserv_.remove(number);
      process_.remove_domain(number);
    });
  } else {
    zserv_.remove(number);
    process_.remove_domain(number);
  }
  domains_.erase(at);
}

ZservDomain BgpControl::view_of(uint32_t number, const Domain& domain) const {
  ZservDomain out{bgpd_name(number), {kBgpTun, domain.interface, domain.place.mtu}, {}, {}};
  out.addresses = domain.place.addresses;
  out.addresses.push_back(link_local());
  if (const BgpDomainSpec* spec = config_.find(number)) out.router_id = spec->router.router_id;
  return out;
}

void BgpControl::announce(uint32_t number, const Domain& domain) {
  zserv_.set(number, view_of(number, domain));
}

void BgpControl::domain_added(uint32_t number, OwnedFd tun, unsigned interface) {
  const auto at = domains_.find(number);
  if (at == domains_.end()) return;  // removed meanwhile
  at->second.interface = interface;
  at->second.state.phase = Phase::waiting;
  announce(number, at->second);
  if (events_.tun) events_.tun(number, std::move(tun));
}

void BgpControl::tell(uint32_t number, Domain& domain) {
  domain.told = true;
  domain.state.refused.clear();
  apply(number, config_.everything(number));
}

void BgpControl::apply(uint32_t number, BgpdBatch batch) {
  vty_.apply(std::move(batch), [this, number](const Result<std::vector<VtyFault>>& faults) {
    const auto at = domains_.find(number);
    if (!faults || at == domains_.end()) return;
    Domain& domain = at->second;
    for (const VtyFault& fault : *faults) {
      domain.state.refused.push_back(
          fmt::format("{}: {}", fault.line, fault.answer.text.substr(0, 200)));
      spdlog::error("domain {}: bgpd refuses {}", number, domain.state.refused.back());
    }
    if (domain.state.phase != Phase::waiting) return;
    domain.state.phase = Phase::configured;
    domain.looks = 0;
    domain.next_look = now_;
  });
}

void BgpControl::listeners(uint32_t number, unsigned here, unsigned limbo) {
  const auto at = domains_.find(number);
  if (at == domains_.end() || at->second.state.phase != Phase::configured) return;
  Domain& domain = at->second;
  if (here != 0) {
    // Should others listen in bgpd's own, they are another domain's, which is looked at, too.
    domain.state.phase = Phase::ready;
    domain.next_look.reset();
  } else if (++domain.looks < kLooks) {
    domain.next_look = now_ + kLookEvery;
  } else {
    fail_domain(number, domain,
                limbo > kLimboListeners ? "bgpd did not reach its namespace, and listens in its own"
                                        : "bgpd does not listen in its namespace");
  }
}

// Nothing of it stays in bgpd.
void BgpControl::fail_domain(uint32_t number, Domain& domain, std::string why) {
  spdlog::error("domain {}: {}", number, why);
  domain.state.phase = Phase::failed;
  domain.state.fault = std::move(why);
  domain.next_look.reset();
  domain.told = false;
  domain.peers.clear();
  if (const BgpDomainSpec* spec = config_.find(number)) {
    BgpdConfig gone;
    (void)gone.set(number, *spec);
    vty_.apply(gone.remove(number), {});
  }
  zserv_.remove(number);
}

void BgpControl::open_reader(std::function<void(Result<OwnedFd>)> done) {
  readers_.push_back(std::move(done));
  process_.connect_reader();
}

void BgpControl::take_reader(OwnedFd reader) {
  if (readers_.empty()) return;
  const auto done = std::move(readers_.front());
  readers_.pop_front();
  if (reader) return done(std::move(reader));
  done(fail(ErrorCode::unavailable, "bgpd does not answer: it may be starting; try again later"));
}

void BgpControl::clear(uint32_t number, const IpAddress<Space::customer>& peer) {
  const std::string head =
      fmt::format("clear bgp vrf {} {} soft", bgpd_name(number), peer.to_string());
  vty_.read(head, [](const Result<VtyAnswer>&) {});
}

void BgpControl::read_peers(uint32_t number, Domain& domain) {
  domain.reading = true;
  next_read_ = now_ + kBetweenReads;
  vty_.read(fmt::format("show bgp vrf {} neighbors json", bgpd_name(number)),
            [this, number](const Result<VtyAnswer>& answer) {
              const auto at = domains_.find(number);
              if (at == domains_.end()) return;
              at->second.reading = false;
              at->second.next_read = now_ + kReadEvery;
              if (!answer || answer->code != 0) return;
              auto states = read_peer_states(answer->text);
              if (states) at->second.peers = std::move(*states);
            });
}

void BgpControl::step_domain(uint32_t number, Domain& domain) {
  if (domain.interface == 0 || domain.state.phase == Phase::failed) return;
  if (!domain.told) return tell(number, domain);
  if (domain.next_look && now_ >= *domain.next_look) {
    domain.next_look.reset();
    process_.look(number);
  }
}

// One domain's at a time, each in its turn: with many the first are due again before the last had
// one.
void BgpControl::read_some() {
  // The configuration comes first: bgpd does one thing at a time.
  if (vty_.batches_waiting() != 0 || now_ < next_read_) return;
  auto at = domains_.upper_bound(last_read_);
  for (size_t i = 0; i < domains_.size(); ++i, ++at) {
    if (at == domains_.end()) at = domains_.begin();
    Domain& domain = at->second;
    const bool known = domain.told && domain.state.phase != Phase::failed;
    if (!known || domain.reading || now_ < domain.next_read) continue;
    last_read_ = at->first;
    return read_peers(at->first, domain);
  }
}

void BgpControl::add_to(std::vector<pollfd>& fds) const {
  process_.add_to(fds);
  zserv_.add_to(fds);
  vty_.add_to(fds);
}

void BgpControl::step(Instant now) {
  now_ = now;
  process_.step(now);
  zserv_.step(now);
  if (state_ == State::loading && zserv_.state() == ZservServer::State::ready) {
    state_ = State::ready;
  }
  if (zserv_.state() == ZservServer::State::refused) state_ = State::refused;
  if (state_ == State::ready && vty_.attached()) {
    for (auto& [number, domain] : domains_) step_domain(number, domain);
    read_some();
  }
  vty_.step(now);
}

const BgpDomainState* BgpControl::domain(uint32_t number) const {
  const auto at = domains_.find(number);
  return at == domains_.end() ? nullptr : &at->second.state;
}

const BgpPeerState* BgpControl::peer(uint32_t number,
                                     const IpAddress<Space::customer>& address) const {
  const auto domain = domains_.find(number);
  if (domain == domains_.end()) return nullptr;
  const auto at = domain->second.peers.find(address);
  return at == domain->second.peers.end() ? nullptr : &at->second;
}

}  // namespace hnv
