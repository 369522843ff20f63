// SPDX-License-Identifier: Apache-2.0
//
// Duplicate address detection for the outside links: what compartments/own_addresses.h decides
// becomes frames, lines in the log, and what the dataplane and the next hops may use. An IPv6
// address that somebody else has is not answered for, takes no packets, and nobody is asked from
// it; where it was the link's only one in its prefix, nothing is sent there either.
//
// Virtual subnets have none: the hosts' policy says who has an address there, and the model refuses
// two.
//
// Owned by the control thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/own_addresses.h"
#include "gateway/dataplane.h"
#include "gateway/next_hops.h"

namespace hnv {

// An own address that is not valid (yet).
struct Unsettled {
  AttachmentId attachment{};
  LinkAddress address;
  AddressStatus status = AddressStatus::optimistic;
};

// The two tables as long as these addresses are what they are: duplicates are gone from them, and
// attachments know their unsettled ones.
struct AddressTables {
  std::shared_ptr<const AttachmentTable> attachments;
  std::shared_ptr<const L3Table> l3;
};
[[nodiscard]] AddressTables without_duplicates(const AddressTables& configured,
                                               const std::vector<Unsettled>& unsettled);

class AddressWatch {
 public:
  // `inject` hands one frame to a worker; false when its ring is full.
  using Inject = std::function<bool(rte_mbuf*)>;
  AddressWatch(NextHops& next_hops, rte_mempool& packets, Inject inject)
      : next_hops_(next_hops), packets_(packets), inject_(std::move(inject)) {}

  // As NextHops::set_link and remove_link, which they call.
  void set_link(std::shared_ptr<const OutLink> link, Instant now, Neighbors::Actions& out);
  void remove_link(LinkId id, Neighbors::Actions& out);

  // See OwnAddresses::claimed.
  void claimed(AttachmentId attachment, const LinkAddress& address, const MacAddress& other,
               OwnAddresses::Claim how, Instant now, Neighbors::Actions& out);
  void tick(Instant now, Neighbors::Actions& out);

  [[nodiscard]] const OwnAddresses& addresses() const { return own_; }
  // Counts the changes of what the dataplane may use.
  [[nodiscard]] uint64_t version() const { return version_; }
  // The configured tables as they are to be published.
  [[nodiscard]] AddressTables usable(const AddressTables& configured);

 private:
  void act(const OwnAddresses::Actions& actions, Instant now, Neighbors::Actions& out);
  [[nodiscard]] std::shared_ptr<const OutLink> usable_link(LinkId id) const;
  void say(const OwnAddresses::News& news) const;

  NextHops& next_hops_;
  rte_mempool& packets_;
  Inject inject_;
  OwnAddresses own_;
  std::map<LinkId, std::shared_ptr<const OutLink>> links_;  // as configured
  uint64_t version_ = 0;
  struct {
    uint64_t version = 0;
    AddressTables configured, usable;
  } last_;
};

}  // namespace hnv
