// SPDX-License-Identifier: Apache-2.0
//
// Address resolution on outside networks (ARP, RFC 826; ND, RFC 4861; the states of §7.3 for both):
// which MAC address has an address on a link, whether it still answers, when to ask again. A pure
// state machine: time is passed in, requests come out as actions; the control thread owns it and
// sends. Neighbours are probed when their time is over whether packets flow or not, so there are no
// STALE and DELAY: an answer must not have to wait for the packet that finds the neighbour gone.
//
//   incomplete ─answer→ reachable ─30 s→ probe ─answer→ reachable
//       └─3 requests in vain→ failed ←─3 probes in vain─┘
//   failed: a pinned neighbour (one that the configuration names) is asked again every 5 s; another
//   one is forgotten.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "compartments/address.h"
#include "compartments/clock.h"
#include "compartments/ids.h"

namespace hnv {

// An address on an outside link, in whatever space the link's owner sees it: a PA, an external
// address or a tenant's router.
using LinkAddress = IpAddress<Space::external>;
template <Space S>
[[nodiscard]] constexpr LinkAddress link_address(const IpAddress<S>& a) {
  if (a.is_v4()) return Ip4<Space::external>(a.v4().value());
  return Ip6<Space::external>(a.bytes());
}

struct NeighborKey {
  LinkId link;
  LinkAddress address;
  friend auto operator<=>(const NeighborKey&, const NeighborKey&) = default;
};

enum class NeighborStatus : uint8_t { incomplete, reachable, probe, failed };
[[nodiscard]] std::string_view to_string(NeighborStatus status);

class Neighbors {
 public:
  static constexpr unsigned kRequests = 3;
  static constexpr Duration kRetransmit = std::chrono::seconds(1);
  static constexpr Duration kReachable = std::chrono::seconds(30);
  static constexpr Duration kRetryFailed = std::chrono::seconds(5);

  struct Entry {
    NeighborStatus status = NeighborStatus::incomplete;
    std::optional<MacAddress> mac;  // kept through probe and failed
    uint32_t pins = 0;              // next hops that the configuration names
    bool router = false;            // as its last advertisement said (RFC 4861 §4.4); ND only
    unsigned sent = 0;              // requests since the last answer
    Instant due;                    // when something happens next
    Instant confirmed;              // the last answer
  };

  // What the control thread is to do.
  struct Request {
    NeighborKey key;
    std::optional<MacAddress> to;  // unicast probe; absent: broadcast, or the solicited-node group
  };
  struct Change {  // what the dataplane must learn
    NeighborKey key;
    NeighborStatus status = NeighborStatus::incomplete;
    std::optional<MacAddress> mac;
    bool forgotten = false;
  };
  struct Actions {
    std::vector<Request> requests;
    std::vector<Change> changes;
  };

  // Makes the neighbour known; a new one is asked for at once. Pinned ones are asked for again and
  // again.
  void resolve(const NeighborKey& key, Instant now, Actions& out);
  void pin(const NeighborKey& key, Instant now, Actions& out);
  void unpin(const NeighborKey& key);
  // Nobody needs it any more; pinned ones stay.
  void forget(const NeighborKey& key);

  // Whether ARP or ND that nobody asked for may change a known neighbour: on the fabric (RFC 826's
  // merge, a host's takeover of a PA), never where tenants' machines speak.
  enum class Trust : uint8_t { answers_only, any };
  // An ARP packet from `key.address`. Takes it only for a neighbour that is known, and, unless the
  // link is trusted, only while a request of ours is open. False when nothing here wanted it.
  bool learn(const NeighborKey& key, const MacAddress& mac, Trust trust, Instant now, Actions& out);

  // A neighbour advertisement (RFC 4861 §4.4) for `key`.
  struct Advertisement {
    std::optional<MacAddress> mac{};  // the target link-layer address, when it has that option
    bool router = false, solicited = false, overrides = false;
  };
  // Takes it as RFC 4861 §7.2.5 says, where "stale" is a unicast probe at once; on a link that is
  // not trusted only the answer to an open request counts. False when nothing here wanted it.
  bool advertised(const NeighborKey& key, const Advertisement& advertisement, Trust trust,
                  Instant now, Actions& out);

  // What is due by now.
  void tick(Instant now, Actions& out);

  // The interface is gone.
  void forget_link(LinkId link, Actions& out);

  // Neighbours of the link that wait for their first answer.
  [[nodiscard]] unsigned incomplete(LinkId link) const;
  [[nodiscard]] const Entry* find(const NeighborKey& key) const;
  [[nodiscard]] const std::map<NeighborKey, Entry>& entries() const { return entries_; }

 private:
  void confirm(const NeighborKey& key, Entry& entry, const MacAddress& mac, Instant now,
               Actions& out);
  void doubt(const NeighborKey& key, Entry& entry, Instant now, Actions& out);
  void fail_or_ask(std::map<NeighborKey, Entry>::iterator& at, Instant now, Actions& out);
  void ask(const NeighborKey& key, Entry& entry, Instant now, Actions& out);

  void set_status(const NeighborKey& key, Entry& entry, NeighborStatus status);

  std::map<NeighborKey, Entry> entries_;
  std::map<LinkId, unsigned> incomplete_;
};

}  // namespace hnv
