// SPDX-License-Identifier: Apache-2.0
//
// The one immutable root that a worker reads once per breath. A change path-copies: what did not
// change is shared with the root before.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "compartments/compartment_view.h"
#include "compartments/cow_array.h"
#include "compartments/keyed_table.h"
#include "compartments/line/reentry.h"
#include "compartments/next_hop.h"
#include "compartments/outside_network.h"
#include "compartments/wire.h"
#include "nat/nat_plan.h"
#include "vpn/ipsec_plan.h"

namespace hnv {

enum class AttachmentKind : uint8_t { none, provider, external, l3_connection };

// One (port, VLAN) and what it is for.
struct Attachment {
  AttachmentKind kind = AttachmentKind::none;
  PortId port{};
  VlanId vlan;
  LinkId link{};                          // a provider network's: by it records know their network
  bool uniform_class = false;             // the inner traffic class becomes the outer one
  wire::Mac mac{};                        // ours there (an L3 connection's own MAC is in L3Table)
  std::vector<uint32_t> own_addresses{};  // host order: PAs, or external addresses
  std::vector<wire::Address6> own_addresses6{};  // likewise, IPv6
  // Not verified yet, or somebody else's too: of the network or of L3 connections on it
  // (compartments/own_addresses.h). Empty most of the time.
  std::vector<wire::Address6> unsettled6{};
};

// Which attachment a frame belongs to, by port and VLAN.
struct AttachmentTable {
  static constexpr uint16_t kNone = 0xffff;
  using Vlans = std::array<uint16_t, 4096>;

  std::vector<Attachment> attachments;              // by AttachmentId; at most 65534
  std::vector<std::shared_ptr<const Vlans>> ports;  // by PortId; kNone where nothing is attached

  [[nodiscard]] const Attachment* find(PortId port, uint16_t vlan, AttachmentId& id) const {
    const uint16_t index = (*ports[port.value()])[vlan];
    if (index == kNone) return nullptr;
    id = AttachmentId(index);
    return &attachments[index];
  }
};

// What must be right of a frame before its VSID counts. Mostly the same for all subnets of a
// network.
struct VsidDoor {
  uint64_t mac = 0;                    // the gateway's in the virtual subnet: wire::Mac::key()
  uint32_t provider_address = 0;       // the address of ours they must come to, host order; 0: IPv6
  AttachmentId network{};              // where its packets must come in
  wire::Address6 provider_address6{};  // as above; unspecified: IPv4
  friend auto operator<=>(const VsidDoor&, const VsidDoor&) = default;
};

// What a VSID names.
struct VsidSpec {
  uint32_t vsid = 0;
  CompartmentId compartment{};
  SubnetId subnet{};
  VsidDoor door;
};

// The same as it lies in the table.
struct VsidEntry {
  uint32_t key = 0;  // the VSID
  CompartmentId compartment{};
  SubnetId subnet{};
  uint32_t door = 0;  // VsidTable::door_of
};

// All VSIDs. Built anew when one comes or goes.
class VsidTable {
 public:
  explicit VsidTable(const std::vector<VsidSpec>& specs) : entries_(numbered(specs)) {}
  void prefetch(uint32_t vsid) const { entries_.prefetch(vsid); }
  // REQUIRES vsid != 0; others that cannot be held are not found.
  [[nodiscard]] const VsidEntry* find(uint32_t vsid) const { return entries_.find(vsid); }
  [[nodiscard]] const VsidDoor& door_of(const VsidEntry& entry) const { return doors_[entry.door]; }

 private:
  std::vector<VsidEntry> numbered(const std::vector<VsidSpec>& specs) {
    std::map<VsidDoor, uint32_t> known;
    std::vector<VsidEntry> entries;
    entries.reserve(specs.size());
    for (const VsidSpec& spec : specs) {
      const auto [at, fresh] = known.try_emplace(spec.door, static_cast<uint32_t>(doors_.size()));
      if (fresh) doors_.push_back(spec.door);
      entries.push_back({spec.vsid, spec.compartment, spec.subnet, at->second});
    }
    return entries;
  }

  std::vector<VsidDoor> doors_;  // before entries_, which numbers them
  KeyedTable<VsidEntry> entries_;
};

// Which L3 connection a destination MAC on an attachment names.
class L3Table {
 public:
  struct Entry {
    uint64_t key = 0;  // attachment << 48 | MAC; 0: free
    CompartmentId compartment;
    ConnectionId connection;
  };
  [[nodiscard]] static uint64_t key(AttachmentId attachment, const wire::Mac& mac) {
    return (uint64_t{attachment.value()} + 1) << 48 | mac.key();
  }
  // An own address of a connection on an attachment, for the ARP requests that ask for it. An
  // invalid connection: several of them have it, on a network that their tenants share.
  struct Address {
    uint64_t key = 0;  // attachment << 32 | address in host order; 0: free
    CompartmentId compartment;
    ConnectionId connection;
  };
  [[nodiscard]] static uint64_t address_key(AttachmentId attachment, uint32_t address) {
    return (uint64_t{attachment.value()} + 1) << 32 | address;
  }
  // The same of IPv6, for neighbour solicitations. Seldom asked: a sorted list is enough.
  struct Address6 {
    AttachmentId attachment;
    wire::Address6 address{};
    CompartmentId compartment;
    ConnectionId connection;
    [[nodiscard]] auto key() const { return std::pair(attachment.value(), address); }
  };
  L3Table(const std::vector<Entry>& entries, std::vector<Address> addresses,
          std::vector<Address6> addresses6)
      : macs_(entries),
        addresses_(without_doubles(std::move(addresses))),
        addresses6_(std::move(addresses6)) {
    std::sort(addresses6_.begin(), addresses6_.end(),
              [](const Address6& a, const Address6& b) { return a.key() < b.key(); });
  }
  // The same table, where nobody has these IPv6 addresses.
  [[nodiscard]] L3Table without(
      const std::vector<std::pair<AttachmentId, wire::Address6>>& addresses) const {
    L3Table copy = *this;
    for (const auto& [attachment, address] : addresses) {
      std::erase_if(copy.addresses6_, [key = std::pair(attachment.value(), address)](
                                          const Address6& a) { return a.key() == key; });
    }
    return copy;
  }
  void prefetch(uint64_t key) const { macs_.prefetch(key); }
  [[nodiscard]] const Entry* find(uint64_t key) const { return macs_.find(key); }
  [[nodiscard]] const Address* find_address(uint64_t key) const { return addresses_.find(key); }
  // The connections that have the address there.
  [[nodiscard]] std::span<const Address6> find_address6(AttachmentId attachment,
                                                        const wire::Address6& address) const {
    const auto wanted = std::pair(attachment.value(), address);
    const auto first =
        std::lower_bound(addresses6_.begin(), addresses6_.end(), wanted,
                         [](const Address6& a, const auto& b) { return a.key() < b; });
    auto last = first;
    while (last != addresses6_.end() && last->key() == wanted) ++last;
    return {first, last};
  }

 private:
  [[nodiscard]] static std::vector<Address> without_doubles(std::vector<Address> addresses) {
    std::sort(addresses.begin(), addresses.end(),
              [](const Address& a, const Address& b) { return a.key < b.key; });
    for (size_t i = 1; i < addresses.size(); ++i) {
      if (addresses[i].key != addresses[i - 1].key) continue;
      for (Address* shared : {&addresses[i - 1], &addresses[i]}) {
        *shared = Address{.key = shared->key, .compartment = {}, .connection = {}};
      }
    }
    return addresses;
  }

  KeyedTable<Entry> macs_;
  KeyedTable<Address> addresses_;
  std::vector<Address6> addresses6_;
};

class PacketTrace;

struct Dataplane {
  uint64_t serial = 0;        // counts publishes
  uint64_t generation = 0;    // of the desired state it was compiled from
  Compartments compartments;  // by CompartmentId
  std::shared_ptr<const VsidTable> vsids;
  std::shared_ptr<const L3Table> l3;
  std::shared_ptr<const AttachmentTable> attachments;
  CowArray<NextHop> next_hops;                         // by NextHopId
  CowArray<std::shared_ptr<const CustomerMap>> links;  // neighbours by LinkId
  std::shared_ptr<const OutsideNetworks> outside;
  std::shared_ptr<const NatPlan> nat = NatPlan::nothing();
  std::shared_ptr<const IpsecPlan> ipsec = IpsecPlan::nothing();
  std::shared_ptr<PacketTrace> trace;  // null while no trace is on

  [[nodiscard]] const CompartmentView* compartment(CompartmentId id) const {
    return compartments[id.value()].get();
  }
};

}  // namespace hnv
