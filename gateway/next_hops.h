// SPDX-License-Identifier: Apache-2.0
//
// The outside next hops, control side. A lookup record's PA and an L3 connection's peer are targets
// on a link; each target gets one NextHopId, however many records name it, and the neighbour that
// frames for it go to: itself when on-link, else the router of the most specific route. Neighbours
// that the configuration names are resolved as soon as they are known and kept resolved; those that
// tenants' packets ask for (on-link behind an L3 connection) are bounded and forgotten when they
// fall silent.
//
// Owned by the control thread. What the workers see (the NextHop array and the links' neighbour
// maps) is rebuilt from `dirty` pieces by publish_into.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "compartments/clock.h"
#include "compartments/cow_array.h"
#include "compartments/customer_map.h"
#include "compartments/neighbors.h"
#include "compartments/next_hop.h"
#include "compartments/wire.h"

namespace hnv {

// An Ethernet interface of ours: a provider or external network's, or an L3 connection's.
// Immutable; compile makes it, the control thread speaks ARP and ND through it.
struct OutLink {
  using Own = InterfaceAddress<Space::external>;
  struct Route {
    Prefix<Space::external> prefix;
    uint32_t metric = 0;
    LinkAddress next_hop;
  };
  struct FlowIdOverride {
    Prefix<Space::external> prefix;  // of PAs
    bool zero = false;
  };
  LinkId id{};
  std::string name;    // "providerNetworks/fabric": as resource paths say
  std::string domain;  // whose L3 connection it is; empty: a network's
  AttachmentId attachment{};
  PortId port{};
  VlanId vlan;
  wire::Mac mac{};
  std::vector<Own> own;
  std::vector<Route> routes;
  bool trusted = false;       // a provider network: any ARP or ND from a known neighbour counts
  bool zero_flow_id = false;  // the network's default
  std::vector<FlowIdOverride> flow_id_overrides;
  uint32_t max_neighbors = 4096;
  bool router = false;  // an L3 connection: whoever is there may send through us
  // compartments/own_addresses.h, of `own`.
  bool duplicate_detection = true;
  bool announce = true;

  // Whom frames for `target` go to; none: nobody.
  [[nodiscard]] std::optional<LinkAddress> neighbor_for(const LinkAddress& target) const;
  // Our address for requests to `neighbor`; none: we have none on that subnet.
  [[nodiscard]] std::optional<LinkAddress> source_for(const LinkAddress& neighbor) const;
  [[nodiscard]] bool zero_flow_for(const LinkAddress& target) const;
};

// As the compartment behind an L3 connection sees it.
[[nodiscard]] IpAddress<Space::customer> customer_address(const LinkAddress& a);

struct NextHopTarget {
  LinkId link{};
  LinkAddress address;
  friend auto operator<=>(const NextHopTarget&, const NextHopTarget&) = default;
};

class NextHops {
 public:
  // At most so many neighbours of a link wait for their first answer at tenants' request.
  static constexpr unsigned kMaxUnresolved = 1024;
  static constexpr Duration kPathMtuHolds = std::chrono::minutes(10);

  // --- by compile and what follows a commit ---
  // One more user of the target; its neighbour is pinned.
  NextHopId acquire(const NextHopTarget& target, Instant now, Neighbors::Actions& out);
  void release(NextHopId id, Neighbors::Actions& out);
  // The link is new, or different; its next hops find their neighbours anew.
  void set_link(std::shared_ptr<const OutLink> link, Instant now, Neighbors::Actions& out);
  void remove_link(LinkId id, Neighbors::Actions& out);

  // --- by packets ---
  // The next hop for an on-link neighbour of an L3 connection that a packet asks for. Invalid: the
  // link is gone or full, or the address is not on it.
  NextHopId demand(const NextHopTarget& target, Instant now, Neighbors::Actions& out);
  // An ARP packet that reached `link`.
  void learn(LinkId link, const LinkAddress& address, const MacAddress& mac, Instant now,
             Neighbors::Actions& out);
  // A neighbour advertisement that reached `link`.
  void advertised(LinkId link, const LinkAddress& address,
                  const Neighbors::Advertisement& advertisement, Instant now,
                  Neighbors::Actions& out);

  // What a router said of the path to a target: IP packets of at most `mtu` bytes get there. Holds
  // for kPathMtuHolds (RFC 1191 §6.3). False: there is no such next hop, or a smaller one is known.
  bool learn_path_mtu(const NextHopTarget& target, uint16_t mtu, Instant now);
  [[nodiscard]] std::optional<uint16_t> path_mtu_of(const NextHopTarget& target) const;

  // --- by the loop ---
  void tick(Instant now, Neighbors::Actions& out);
  // Takes over what changed. Call with every Actions before the next publish.
  void apply(const std::vector<Neighbors::Change>& changes);
  // Next hops of the configuration that failed or recovered since they were asked for last, at most
  // so many; the rest is for the next time. Whether they work now, has_failed() says.
  [[nodiscard]] std::vector<NextHopTarget> take_turned(size_t most);
  [[nodiscard]] bool dirty() const { return !dirty_hops_.empty() || !dirty_links_.empty(); }
  // What the workers are to see now.
  void publish_into(CowArray<NextHop>& hops, CowArray<std::shared_ptr<const CustomerMap>>& links);

  [[nodiscard]] const OutLink* link(LinkId id) const;
  // REQUIRES a next hop that has users.
  [[nodiscard]] const NextHopTarget& target(NextHopId id) const { return hops_[id.value()].target; }
  [[nodiscard]] uint64_t uid(NextHopId id) const { return hops_[id.value()].uid; }
  // Its neighbour was asked in vain, and has not answered since. One that is still asked for the
  // first time has not failed.
  [[nodiscard]] bool has_failed(NextHopId id) const;
  [[nodiscard]] bool has_failed(const NextHopTarget& target) const;
  [[nodiscard]] const Neighbors& neighbors() const { return neighbors_; }
  [[nodiscard]] size_t size() const { return by_target_.size(); }
  // The neighbour behind a target, for explanations.
  [[nodiscard]] std::optional<LinkAddress> neighbor_of(const NextHopTarget& target) const;

 private:
  struct Hop {
    NextHopTarget target{};
    uint32_t users = 0;                     // of the configuration
    bool demanded = false;                  // by packets
    std::optional<LinkAddress> neighbor{};  // none: nobody on this link
    bool failed = false;                    // as noted last
    uint64_t uid = 0;                       // 0: free
    std::optional<uint16_t> path_mtu{};     // as learned
  };
  struct LinkState {
    std::shared_ptr<const OutLink> link;
    std::set<LinkAddress> targets;  // every next hop's address
    std::shared_ptr<const CustomerMap> demanded;
    unsigned demanded_count = 0;
  };
  NextHopId make(const NextHopTarget& target);
  void drop_if_unused(NextHopId id, Neighbors::Actions& out);
  void find_neighbor(NextHopId id, Instant now, Neighbors::Actions& out);
  void note_failure(NextHopId id);
  void put_demanded(LinkState& state, NextHopId id);
  void erase_demanded(LinkState& state, NextHopId id);
  [[nodiscard]] NextHop view(const Hop& hop) const;

  Neighbors neighbors_;
  std::vector<Hop> hops_;  // by NextHopId
  std::vector<NextHopId> free_;
  std::map<NextHopTarget, NextHopId> by_target_;
  std::map<NeighborKey, std::set<NextHopId>> by_neighbor_;
  std::unordered_map<uint32_t, LinkState> links_;                     // by LinkId
  std::multimap<Instant, std::pair<NextHopId, uint64_t>> path_mtus_;  // when each is forgotten
  std::set<NextHopId> dirty_hops_;
  std::set<LinkId> dirty_links_;
  std::set<NextHopTarget> turned_;
  uint64_t next_uid_ = 1;
};

}  // namespace hnv
