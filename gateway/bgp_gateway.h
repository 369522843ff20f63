// SPDX-License-Identifier: Apache-2.0
//
// BGP while the gateway runs: what the configuration asks is told to bgpd, what bgpd chose becomes
// routes of the domains' tables, and what those tables know is told to bgpd.
//
//   Compiled ─▶ configure ─▶ BgpControl (one for 500 domains) ═ bgpd
//   Compiled ◀─ compile_learned ◀─ take_learned ◀─ routes ──────╝
//
// A domain's BGP has a number that none other ever had, and its routes go only where that number
// says: to the domain for which it was made. Routes wait in here until they can be compiled, which
// domains with routes do side by side; when very many wait, the rest stays with bgpd.
//
// Threads: the control thread. Without a launcher there is no BGP: routers say why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "api/control.h"
#include "bgp/bgp_control.h"
#include "gateway/bgp_bfd.h"
#include "gateway/bgp_readers.h"
#include "gateway/compile.h"
#include "gateway/learned_queue.h"

namespace hnv {

// What there is to run bgpd with, made while the process was young (start_bgp).
struct BgpStart {
  std::vector<BgpdLauncher> launchers;  // one for at most kDomainsOfOne domains
  uid_t user = 0;                       // bgpd's
  std::string off = {};                 // why there is no launcher
};
struct BgpConfig;
// REQUIRES what fork_bgpd_launcher does. `runtime_directory` exists.
[[nodiscard]] BgpStart start_bgp(const std::optional<BgpConfig>& config,
                                 const std::string& runtime_directory);

class BgpGateway final : private RouteKnowledge {
 public:
  static constexpr size_t kDomainsOfOne = 500;

  struct Events {
    // A domain's BGP can be reached through this TUN; one that comes later takes its place.
    std::function<void(CompartmentId, uint64_t uid, OwnedFd tun)> tun;
    std::function<void(uint64_t uid)> tun_gone;  // by the compartment's uid
  };

  // `bfd` outlives it.
  BgpGateway(BgpStart start, BfdControl& bfd, Events events);

  // What is compiled is live, or about to be: what differs in it for BGP is told to bgpd.
  void configure(const std::shared_ptr<const Compiled>& compiled, Instant now);
  void add_to(std::vector<pollfd>& fds) const;
  void step(Instant now);

  // From here on bgpd shall not run: it says farewell to all peers, until ended(). Its routes stay.
  void stop();
  // Ends what is left of it: the kernel closes the sessions.
  void kill();
  [[nodiscard]] bool ended() const;

  // Routes that wait, some thousand at most; empty while it is better to wait for more. Those that
  // are taken have to be compiled.
  [[nodiscard]] LearnedRoutes take_learned(Instant now);
  // What `bfd` has to say of a session.
  void bfd_turned(const BfdControl::Path& path, BfdState state) { bfd_.turned(path, state); }

  // By the domain's name. nullopt: it has no BGP router.
  [[nodiscard]] std::optional<ConfigurationState> state(std::string_view domain) const;
  // What is known of a peer of the domain that is configured; nullopt: there is none.
  [[nodiscard]] std::optional<BgpPeerStatus> peer(std::string_view domain,
                                                  const std::string& name) const;
  void describe(SystemState& out) const;
  // A connection to the domain's bgpd for whoever may wait, when its turn comes. not_found: it has
  // no BGP router. unavailable: bgpd does not work.
  void open_reader(std::string_view domain, BgpReaders::Done done);

 private:
  struct Domain {
    std::string name;
    CompartmentId compartment;
    uint64_t uid = 0;
    BgpControl* control = nullptr;  // null: there is no room for it
    std::shared_ptr<const CompiledBgp> told;
    bool gone = false;  // its withdrawals are on their way
    LearnedQueue waiting{};
  };

  [[nodiscard]] std::optional<Reach> reach(uint32_t domain,
                                           const BgpAddress& address) const override;
  [[nodiscard]] std::optional<Reach> route(uint32_t domain, const BgpPrefix& prefix) const override;
  void for_each(uint32_t domain, Family family, const Visit& visit) const override;

  void configure_domain(const std::string& name, const CompiledDomain* before,
                        const CompiledDomain* after, Instant now);
  void tell_routes(uint32_t number, const RouteTable& before, const RouteTable& after);
  void add(const std::string& name, const CompiledDomain& domain);
  void remove(uint32_t number);
  void take(RouteChange&& change);
  void forget_gone();
  [[nodiscard]] const RouteTable* table_of(uint32_t domain) const;
  [[nodiscard]] const Domain* find(std::string_view name) const;
  void describe_bfd(uint32_t number, const BgpPeerSpec& peer, BgpPeerStatus& out) const;
  [[nodiscard]] std::string why_not(const Domain& domain) const;  // empty: bgpd does its work

  std::string off_;
  Events events_;
  std::shared_ptr<const Compiled> compiled_;  // as it is configured
  uint32_t next_number_ = 1;
  std::map<uint32_t, Domain> domains_;
  std::map<std::string, uint32_t, std::less<>> numbers_;  // by name, of those that are not gone
  size_t gone_ = 0;                                       // of domains_
  size_t waiting_ = 0;
  std::optional<Instant> waiting_since_;
  size_t seen_waiting_ = 0;  // at the last look
  std::optional<Instant> taken_at_;
  Duration gather_{};  // how long it is worth waiting for more
  bool started_ = false;
  Instant now_;
  BgpBfd bfd_;
  BgpReaders readers_;
  std::vector<std::unique_ptr<BgpControl>> controls_;  // last: their callbacks use what is above
};

}  // namespace hnv
