// SPDX-License-Identifier: Apache-2.0
//
// What the gateway wants of one bgpd, kept true: namespaces, VRFs, configuration and the state of
// peers; and all of it again for a bgpd that was started anew.
//
//   set(domain) ─▶ namespace and TUN ─▶ VRF (zserv) ─▶ configuration (vty) ─▶ do its sockets listen
//                                                                            where they should?
//
// Which release bgpd is of is asked first, and nothing is told to one that is not known. When
// either connection to it is lost it is ended and started again: it would not tell its routes a
// second time.
//
// Threads: one, the control thread, which polls the descriptors and calls step(). Callbacks are
// called from step(), set() and remove(); those of routes must not call set() or remove().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <poll.h>
#include <string>
#include <vector>

#include "bgp/bgpd_config.h"
#include "bgp/bgpd_process.h"
#include "bgp/peer_state.h"
#include "bgp/vty_client.h"
#include "bgp/zserv.h"

namespace hnv {

// What bgpd needs to know of a routing domain besides BGP.
struct BgpDomainPlace {
  std::vector<InterfaceAddress<Space::customer>> addresses;  // the gateway's in the domain
  uint16_t mtu = 1500;                                       // of the TUN; not changed later
};

struct BgpDomainState {
  enum class Phase : uint8_t {
    waiting,     // for bgpd, or its namespace
    configured,  // told everything; not looked at yet
    ready,       // its sockets listen where they should
    failed,      // `fault` says why
  };
  Phase phase = Phase::waiting;
  std::string fault;                 // why it failed
  std::vector<std::string> refused;  // lines of its configuration, each with bgpd's reason
};

class BgpControl {
 public:
  struct Events {
    std::function<void(RouteChange&&)> route;
    // The TUN of a domain: what comes out is the domain's to route, what goes in is for bgpd.
    std::function<void(uint32_t domain, OwnedFd tun)> tun;
    std::function<void(uint32_t domain, const ZapiBfdSession&)> bfd;
  };
  enum class State : uint8_t {
    away,     // bgpd does not run, or does not answer yet
    loading,  // its release is known, its greeting or the configuration is under way
    ready,
    refused,  // fault() says why
  };

  // bgpd's user is `zserv.user`.
  BgpControl(BgpdLauncher launcher, const ZservServer::Options& zserv, const RouteKnowledge& routes,
             Events events);

  // From here on bgpd shall run.
  void start() { process_.start(); }
  // From here on it shall not: it says farewell to its peers and ends. Its routes stay as they are.
  void stop();
  // Does not wait for the rest of the farewell: the kernel ends the sessions.
  void kill() { process_.kill(); }
  [[nodiscard]] bool ended() const { return process_.ended(); }

  // A domain as it shall be from now on. REQUIRES check(spec).empty(), and a number that no other
  // domain ever had.
  void set(uint32_t domain, const BgpDomainSpec& spec, const BgpDomainPlace& place, Instant now);
  // Its routes are withdrawn in steps to come.
  void remove(uint32_t domain);

  // As ZservServer's.
  void next_hops_changed(uint32_t domain) { zserv_.next_hops_changed(domain); }
  void redistribute(uint32_t domain, ZapiSwitch change, const RouteKnowledge::Reach& reach) {
    zserv_.redistribute(domain, change, reach);
  }
  void tell_bfd(uint32_t domain, const ZapiBfdSession& session, ZapiBfdState state) {
    zserv_.tell_bfd(domain, session, state);
  }

  // A `show … json` of the owner's; answered with an error at once when bgpd is not connected.
  void read(std::string command, VtyClient::Read done) {
    vty_.read(std::move(command), std::move(done));
  }
  // One more connection to bgpd, for a VtyReader; the answer comes in a step to come.
  void open_reader(std::function<void(Result<OwnedFd>)> done);
  // Asks the peer for all of its routes again, or tells it all of ours (RFC 2918).
  void clear(uint32_t domain, const IpAddress<Space::customer>& peer);

  // As ZservServer's.
  void read_routes(bool on) { zserv_.read_routes(on && !stopping_); }

  void add_to(std::vector<pollfd>& fds) const;
  void step(Instant now);
  [[nodiscard]] bool busy() const { return zserv_.busy(); }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::string fault() const;
  [[nodiscard]] const std::string& version() const { return version_; }
  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] unsigned restarts() const { return process_.restarts(); }
  [[nodiscard]] ZservServer::State zserv_state() const { return zserv_.state(); }
  [[nodiscard]] ZservServer::Count count(uint32_t domain) const { return zserv_.count(domain); }
  // Null: there is no such domain. Pointers hold until the next call.
  [[nodiscard]] const BgpDomainState* domain(uint32_t domain) const;
  // As bgpd last said: half a second ago, or with n domains n / 50 s. Null: it said nothing yet.
  [[nodiscard]] const BgpPeerState* peer(uint32_t domain,
                                         const IpAddress<Space::customer>& address) const;

 private:
  struct Domain {
    BgpDomainPlace place;
    unsigned interface = 0;  // 0: no namespace yet
    bool told = false;       // to this bgpd
    BgpDomainState state{};
    unsigned looks = 0;
    std::optional<Instant> next_look{};
    std::map<IpAddress<Space::customer>, BgpPeerState> peers{};
    bool reading = false;
    Instant next_read{};
  };

  void connected(OwnedFd commands, OwnedFd reads);
  void bgpd_ended();
  void take_version(const std::string& text);
  void domain_added(uint32_t number, OwnedFd tun, unsigned interface);
  void listeners(uint32_t number, unsigned here, unsigned limbo);
  void take_reader(OwnedFd reader);
  void refuse(std::string why);
  void announce(uint32_t number, const Domain& domain);
  void tell(uint32_t number, Domain& domain);
  void apply(uint32_t number, BgpdBatch batch);
  void fail_domain(uint32_t number, Domain& domain, std::string why);
  void step_domain(uint32_t number, Domain& domain);
  void read_some();
  void read_peers(uint32_t number, Domain& domain);
  [[nodiscard]] ZservDomain view_of(uint32_t number, const Domain& domain) const;

  Events events_;
  BgpdConfig config_;
  std::map<uint32_t, Domain> domains_;
  State state_ = State::away;
  bool stopping_ = false;
  std::string fault_;
  std::string version_;
  Instant now_;
  Instant next_read_;
  uint32_t last_read_ = 0;
  std::deque<std::function<void(Result<OwnedFd>)>> readers_;  // asked for, in this order
  // Last: their callbacks use what stands above.
  ZservServer zserv_;
  VtyClient vty_;
  BgpdProcess process_;
};

}  // namespace hnv
