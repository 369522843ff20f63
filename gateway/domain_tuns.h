// SPDX-License-Identifier: Apache-2.0
//
// Sessions that end in the gateway, between the line and bgpd: each routing domain that speaks BGP
// has a TUN in a network namespace of its own, behind which the kernel's TCP and bgpd are.
//
//   route ─ punt ─▶ give ─▶ TUN ═ TCP, bgpd ═ TUN ─▶ step ─▶ inject ─ route ─ a leave door
//
// What comes out of a TUN is believed no more than what comes in by a door: it must be a segment of
// BGP from an address that the gateway has in this very domain to one of the domain's peers. It is
// routed there as any packet, but for its TTL, which stays (an external session's is 1, or 255).
//
// Domains are served in turn, kTurn packets at a time, and kAtOnce in one step: what waits longer
// waits in its own TUN, and TCP hears of it.
//
// Threads: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <poll.h>
#include <span>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/line/reentry.h"
#include "compartments/owned_fd.h"

namespace hnv {

class DomainTuns {
 public:
  // Hands one packet with its SideNote to the worker that this names; false when its ring is full.
  using Inject = std::function<bool(rte_mbuf*)>;

  static constexpr unsigned kTurn = 16;
  static constexpr unsigned kAtOnce = 256;

  struct Counts {
    uint64_t given = 0;       // into TUNs
    uint64_t given_lost = 0;  // the domain has no TUN (any more), or that took no more
    uint64_t sent = 0;        // out of TUNs
    uint64_t refused = 0;     // out of TUNs, and no segment of a session that may be
    uint64_t sent_lost = 0;   // no buffer, or the worker's ring was full
  };

  // Throws std::runtime_error when the kernel gives no epoll.
  DomainTuns(rte_mempool& packets, unsigned workers, Inject inject);

  // The TUN of a domain, non-blocking; in place of the one before, if there was one. `uid` is its
  // CompartmentView's.
  void add(CompartmentId domain, uint64_t uid, OwnedFd tun);
  // Harmless when there is none.
  void remove(uint64_t uid);

  // A punted packet (PuntFor::terminated). The buffer stays the caller's.
  void give(const rte_mbuf& packet);

  void add_to(std::vector<pollfd>& fds) const;
  // Sends what bgpd and TCP have to say. What is left makes poll() return at once.
  void step(const Compartments& compartments);

  [[nodiscard]] size_t size() const { return tuns_.size(); }
  [[nodiscard]] const Counts& counts() const { return counts_; }
  // Out of TUNs, whatever became of it.
  [[nodiscard]] uint64_t taken() const {
    return counts_.sent + counts_.refused + counts_.sent_lost;
  }

 private:
  struct Tun {
    OwnedFd fd;
    CompartmentId domain{};
  };

  // Up to kTurn packets; how many there were.
  unsigned drain(uint64_t uid, Tun& tun, const Compartments& compartments);
  void send(const CompartmentView& domain, std::span<const uint8_t> packet);

  rte_mempool& packets_;
  unsigned workers_;
  Inject inject_;
  OwnedFd epoll_;
  std::map<uint64_t, Tun> tuns_;  // by uid
  Counts counts_;
};

}  // namespace hnv
