// SPDX-License-Identifier: Apache-2.0
//
// The BFD sessions of all routing domains: what peers send comes from the workers as punted
// packets, what is due goes back to them and leaves at `route`, with TTL 255 as it is.
//
//   route ─ punt ─▶ take ─▶ BfdSession ─▶ step ─▶ inject ─ route ─ a leave door
//
// A packet belongs to a session by its domain and its two addresses, never by its discriminator
// alone: a tenant can name only sessions of its own.
//
// Decision: on the control thread, which looks at its rings every millisecond and makes changes in
// stretches of a millisecond, so that 3 × 50 ms leaves fifty of those for a packet to be late.
//
// Threads: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include <rte_mbuf.h>

#include "bgp/bfd_session.h"
#include "compartments/line/reentry.h"
#include "gateway/bfd_datagram.h"

namespace hnv {

class BfdControl {
 public:
  // A session, by whom it is with. `uid` is that of the domain's CompartmentView.
  struct Path {
    uint64_t uid = 0;
    IpAddress<Space::customer> own, peer;
    bool multihop = false;
    friend auto operator<=>(const Path&, const Path&) = default;
  };
  // Hands one packet with its SideNote to the worker that this names; false when its ring is full.
  using Inject = std::function<bool(rte_mbuf*)>;
  // up; down: the peer is lost; admin_down: the peer has ended BFD, which says nothing of the path
  // (RFC 5882 §4.2).
  using Tell = std::function<void(const Path&, BfdState)>;

  struct Counts {
    uint64_t received = 0;
    uint64_t discarded = 0;  // of no session, or RFC 5880 §6.8.6 says so
    uint64_t sent = 0;
    uint64_t sent_lost = 0;  // no buffer, or the worker's ring was full
  };

  // `tell` is called from take() and step(), and must not call back.
  BfdControl(rte_mempool& packets, unsigned workers, Inject inject, Tell tell);

  // A session that shall be, or with other values. `domain` is the place of its CompartmentView.
  void set(const Path& path, CompartmentId domain, const BfdTimers& timers, Instant now);
  // Says farewell to the peer. Harmless when there is none.
  void remove(const Path& path);
  void remove_domain(uint64_t uid);

  // A punted packet (PuntFor::terminated). False: it is no UDP, and somebody else's. The buffer
  // stays the caller's.
  bool take(const rte_mbuf& packet, Instant now);
  // Everything that is due.
  void step(Instant now);

  // Null: there is no such session.
  [[nodiscard]] const BfdSession* session(const Path& path) const;
  [[nodiscard]] size_t size() const { return sessions_.size(); }
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  struct Entry {
    CompartmentId domain{};
    BfdSession session;
    uint16_t source_port = 0;
    bool up = false;  // as it was told
    Instant due{};    // its place in due_
  };
  using Sessions = std::map<Path, Entry>;

  [[nodiscard]] uint32_t fresh_discriminator();
  Sessions::iterator end(Sessions::iterator at);
  void plan(const Path& path, Entry& entry);
  void tell_news(const Path& path, Entry& entry);
  void send(const Path& path, const Entry& entry, const BfdPacket& packet);

  rte_mempool& packets_;
  unsigned workers_;
  Inject inject_;
  Tell tell_;
  std::mt19937 random_{std::random_device{}()};
  Sessions sessions_;
  std::set<std::pair<Instant, Path>> due_;
  std::set<uint32_t> discriminators_;
  uint16_t ports_ = 0;
  Counts counts_;
};

}  // namespace hnv
