// SPDX-License-Identifier: Apache-2.0
//
// The router that hosts of a virtual subnet see (RFC 4861 §6.2): what the operator asked to be told
// is told to each VM alone, since nothing in a virtual subnet reaches all of them: a unicast frame
// to all nodes (RFC 6085) or to who asked, inside NVGRE to its host.
//
//   a round  → each VM of a subnet that an L2Only record or a record with an IPv6 address names:
//              three rounds soon when the subnet is new or says something else, then at random
//              within a third of its interval and all of it
//   an answer → within half a second of the solicitation, once however often it is asked meanwhile
//   the end  → one round that says so, before the records' next hops are given back
//
// All subnets together send at most kFramesAtOnce frames a tick; a round that is larger goes on in
// the next, in turn with others'. Hosts whose next hop is not resolved are left out until the next
// round.
//
// Owned by the control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/clock.h"
#include "gateway/compile.h"
#include "gateway/dataplane.h"
#include "gateway/model.h"

namespace hnv {

class RouterAdvertiser {
 public:
  // `inject` hands one frame to a worker; false when its ring is full.
  using Inject = std::function<bool(rte_mbuf*)>;
  using Hops = CowArray<NextHop>;

  static constexpr unsigned kInitialRounds = 3;  // MAX_INITIAL_RTR_ADVERTISEMENTS
  static constexpr Duration kInitialInterval = std::chrono::seconds(16);
  static constexpr Duration kLeastInterval = std::chrono::seconds(3);    // MIN_DELAY_BETWEEN_RAS
  static constexpr Duration kMaxDelay = std::chrono::milliseconds(500);  // MAX_RA_DELAY_TIME
  static constexpr unsigned kFramesAtOnce = 256;
  static constexpr unsigned kLooksAtOnce = 1024;  // at records
  static constexpr unsigned kTurn = 32;           // records of one subnet before the next one's
  static constexpr size_t kMaxAsked = 1024;
  static constexpr size_t kMaxFinal = 4096;  // VMs of one subnet that hear of its end

  RouterAdvertiser(rte_mempool& packets, Inject inject)
      : packets_(packets), inject_(std::move(inject)) {}

  // A domain's subnets before (null: there were none, or nobody was told anything) and after (null:
  // it is gone). `model` has the records of before. Before the next hops of before are given back.
  void changed(const CompiledDomain* before, const CompiledDomain* after, const DomainModel* model,
               const Hops& hops, Instant now);
  // A router solicitation, as the worker left it (SideNote::router_solicitation).
  void solicited(const rte_mbuf& mbuf, Instant now);
  // What is due.
  void tick(const DesiredState& model, const Compiled& compiled, const Hops& hops, Instant now);

  [[nodiscard]] size_t subnets() const { return subnets_.size(); }
  [[nodiscard]] uint64_t sent() const { return sent_; }

 private:
  using Key = std::pair<uint64_t, SubnetId>;  // a compartment's uid
  struct Subnet {
    std::string domain;
    CompartmentId compartment{};
    AdvertisedSubnet what;
    unsigned initial_left = kInitialRounds;
    Instant due{};    // of the next round, or of this one's next turn
    Instant began{};  // this round
    bool under_way = false;
    std::optional<RecordId> last{};  // that had its turn in this round
  };
  struct Asked {
    Key key;
    wire::Address6 source{};
    wire::Mac mac{};
  };
  struct Final {
    std::shared_ptr<const CompartmentView> view;
    SubnetId subnet{};
    std::vector<uint8_t> packet;
    std::deque<std::pair<CustomerRecord, NextHop>> left;
  };

  void add(const Key& key, Subnet subnet);
  void remove(const Key& key);
  void end(const CompiledDomain& before, const AdvertisedSubnet& what, SubnetId id,
           const DomainModel* model, const Hops& hops);
  void answer(const Compiled& compiled, const Hops& hops, Instant now);
  void turn(const Key& key, Subnet& subnet, const DesiredState& model, const Compiled& compiled,
            const Hops& hops, Instant now);
  void finish_round(Subnet& subnet);
  bool send(const CompartmentView& view, SubnetId subnet, const CustomerRecord& record,
            const NextHop& hop, const std::vector<uint8_t>& packet);
  [[nodiscard]] Duration random_up_to(Duration most);

  rte_mempool& packets_;
  Inject inject_;
  std::map<Key, Subnet> subnets_;
  std::set<std::pair<Instant, Key>> due_;
  std::multimap<Instant, Asked> asked_;
  std::set<std::tuple<Key, uint64_t>> asking_;  // whose answer is under way, by MAC
  std::deque<Final> finals_;
  unsigned budget_ = 0;  // frames left in this tick
  unsigned looks_ = 0;   // likewise
  uint64_t random_ = 0;
  uint64_t sent_ = 0;
};

}  // namespace hnv
