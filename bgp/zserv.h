// SPDX-License-Identifier: Apache-2.0
//
// The server that bgpd takes for zebra. It has no thread: the control loop polls its descriptors
// and calls step(), which does a bounded amount of work.
//
//   bgpd ── HELLO, BFD_CLIENT_REGISTER ──▶ the release is what it was taken for: VRFs are announced
//        ◀─ VRF, interface, addresses, router id, routes to redistribute, where next hops lead
//        ── routes ──▶ RouteChange
//
// A bgpd that lost this connection does not tell its routes again when it connects anew. So a loss
// is told to the owner, who ends bgpd, and a new one tells everything. Meanwhile its routes stay:
// what the new one has not told some seconds after its End-of-RIB (RFC 4724 §4.1), or by a timer,
// is withdrawn. Seconds, since it says so while it still asks where next hops lead.
//
// Threads: one, the control thread. Callbacks are called from step(), set() and remove(), and must
// not call anything here but next_hops_changed() and redistribute().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <poll.h>
#include <set>
#include <string>
#include <sys/types.h>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bgp/route_ages.h"
#include "bgp/zapi_codec.h"
#include "compartments/clock.h"
#include "compartments/owned_fd.h"
#include "compartments/route_table.h"

namespace hnv {

// A route as bgpd chose it. Withdrawn: only domain and prefix mean something.
struct RouteChange {
  enum class Kind : uint8_t { announced, withdrawn };
  Kind kind = Kind::announced;
  uint32_t domain = 0;
  BgpPrefix prefix;
  RouteSource source = RouteSource::ebgp;  // or ibgp; aggregates are ibgp
  std::vector<BgpAddress> next_hops{};     // found in the domain's table; empty: discarded
  uint8_t distance = 0;
  uint32_t metric = 0;
  friend bool operator==(const RouteChange&, const RouteChange&) = default;
};

// What bgpd may know of the route tables. Implemented by who owns them.
class RouteKnowledge {
 public:
  struct Reach {
    BgpPrefix through;  // of the route
    RouteSource source = RouteSource::connected;
    uint32_t metric = 0;
  };
  RouteKnowledge() = default;
  RouteKnowledge(const RouteKnowledge&) = delete;
  RouteKnowledge& operator=(const RouteKnowledge&) = delete;
  virtual ~RouteKnowledge() = default;
  // The best route to the address, whose next hop works; nothing: unreachable.
  [[nodiscard]] virtual std::optional<Reach> reach(uint32_t domain,
                                                   const BgpAddress& address) const = 0;
  // The best route of exactly this prefix.
  [[nodiscard]] virtual std::optional<Reach> route(uint32_t domain,
                                                   const BgpPrefix& prefix) const = 0;
  // Calls visit for every best route of the family.
  using Visit = std::function<void(const Reach&)>;
  virtual void for_each(uint32_t domain, Family family, const Visit& visit) const = 0;
};

// A routing domain as bgpd sees it: a VRF with one interface, which has the gateway's addresses.
struct ZservDomain {
  std::string name;  // of the VRF and, in bgpd's mounts, of its namespace; at most 35 bytes
  ZapiInterface interface;
  std::vector<InterfaceAddress<Space::customer>> addresses;
  CaAddress router_id;
};

class ZservServer {
 public:
  struct Options {
    uid_t user = 0;                                 // bgpd's; others are not let in
    Duration stale_time = std::chrono::minutes(2);  // how long routes outlive their bgpd
    uint32_t multipath = kMaxSharing;
  };
  struct Events {
    std::function<void(RouteChange&&)> route;
    // bgpd's connection ended: bgpd has to be started anew.
    std::function<void()> lost;
    // bgpd wants a BFD session, other values of one, or none any more.
    std::function<void(uint32_t domain, const ZapiBfdSession&)> bfd;
  };
  enum class State : uint8_t {
    away,     // no bgpd
    waiting,  // for HELLO, for its release, for the rest of its greeting
    ready,
    refused,  // it speaks another ZAPI than its version says
  };

  // Takes a listening, non-blocking Unix socket.
  ZservServer(OwnedFd listener, const Options& options, const RouteKnowledge& routes,
              Events events);

  // The release of the bgpd that runs now; nothing is read from it before. Null: none runs, or it
  // is one that is not known.
  void set_release(const ZapiRelease* release);

  // A domain as it shall be from now on. Names and interface do not change while it is there.
  void set(uint32_t domain, const ZservDomain& wanted);
  // Its routes are withdrawn in steps to come.
  void remove(uint32_t domain);
  [[nodiscard]] bool knows(uint32_t domain) const;

  // Routes or next hops of the domain changed: what bgpd watches is looked at again.
  void next_hops_changed(uint32_t domain);
  // The best route of a prefix changed; `reach` is the route, or the one that is no more.
  void redistribute(uint32_t domain, ZapiSwitch change, const RouteKnowledge::Reach& reach);
  void tell_bfd(uint32_t domain, const ZapiBfdSession& session, ZapiBfdState state);

  // Off: what bgpd says waits in the socket and with bgpd, which goes on with its work. Its end is
  // not seen either until then.
  void read_routes(bool on) { reads_ = on; }

  void add_to(std::vector<pollfd>& fds) const;
  void step(Instant now);
  // Whether there is work left that no descriptor tells of: step() again soon.
  [[nodiscard]] bool busy() const { return sweeping_; }

  [[nodiscard]] State state() const { return state_; }
  // Why refused or lost, or which message was skipped.
  [[nodiscard]] const std::string& fault() const { return fault_; }
  // Routes of the domain, and how many of them are left of a bgpd that is gone.
  struct Count {
    size_t routes = 0;
    size_t stale = 0;
  };
  [[nodiscard]] Count count(uint32_t domain) const;

 private:
  struct Routes {  // of one family
    RouteAges generations{};
    uint32_t generation = 1;
    size_t stale = 0;  // of older generations
    std::optional<Instant> sweep_at{};
    bool told = false;  // bgpd says that it told all
    size_t place = 0;   // how far a sweep has come
    size_t places = 0;
  };
  struct Domain {
    std::optional<ZservDomain> wanted{};
    uint32_t vrf = 0;  // 0: bgpd does not know it
    std::set<std::pair<Family, uint8_t>> redistributed{};
    std::map<ZapiWatch, ZapiReach> watches{};
    std::array<Routes, 2> routes{};
  };
  struct Connection {
    enum class Role : uint8_t { unknown, main, other, ended };
    OwnedFd fd;
    ZapiStream in{};
    Role role = Role::unknown;
    std::deque<ZapiBytes> out{};
    size_t sent = 0;  // of the first
    size_t waiting = 0;
  };
  struct Handler;

  void accept_some();
  void read(Connection& connection);
  void flush(Connection& connection);
  void take(Connection& connection, const ZapiFrame& frame);
  void greet(Connection& connection, const ZapiHello& hello);
  void refuse(std::string why);
  void lose(std::string why);
  void send(ZapiBytes bytes);
  void announce(Domain& domain);
  void withdraw_vrf(Domain& domain);
  void tell_interface(const Domain& domain);
  void tell_routes(uint32_t number, const Domain& domain, Family family, uint8_t type);
  [[nodiscard]] std::optional<uint8_t> type_of(RouteSource source) const;
  [[nodiscard]] ZapiReach reach_of(uint32_t number, const Domain& domain,
                                   const ZapiWatch& watch) const;
  [[nodiscard]] std::pair<const uint32_t, Domain>* by_vrf(uint32_t vrf);
  void take_route(uint32_t number, Domain& domain, const ZapiRoute& route);
  static void age(Routes& routes, Instant sweep_at);
  void sweep();
  // Whether there is more to do.
  bool sweep(uint32_t number, Routes& routes, size_t& budget);

  OwnedFd listener_;
  const Options options_;
  const RouteKnowledge& routes_;
  Events events_;
  const ZapiRelease* release_ = nullptr;
  State state_ = State::away;
  bool reads_ = true;
  std::string fault_;
  uint32_t next_vrf_ = 1;
  std::map<uint32_t, Domain> domains_;
  std::unordered_map<uint32_t, uint32_t> numbers_;  // by VRF
  std::list<Connection> connections_;
  Connection* main_ = nullptr;
  bool sweeping_ = false;
  Instant now_;
};

}  // namespace hnv
