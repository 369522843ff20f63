// SPDX-License-Identifier: Apache-2.0
//
// NAT as the workers read it: what operators asked for, compiled (gateway/compile_nat.cc) and
// immutable, a part of the Dataplane.
//
//   addresses   (attachment, IPv4 address) → PublicAddress, for what comes from outside
//   pools       public addresses with a range of ports each, cut into blocks
//   statics     (public address, protocol, port) → what is published there
//   rules       by CompartmentId: a domain's own
//
// A public address belongs to one external network, and is known by that name only: no two networks
// have the same one. A pool's part of one address is a port space; each worker owns every n-th
// block of each, so that a port names its owner.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compartments/byte_order.h"
#include "compartments/counter.h"
#include "compartments/cow_array.h"
#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "compartments/ids.h"
#include "compartments/keyed_table.h"
#include "compartments/outside_network.h"
#include "compartments/secret_hash.h"
#include "compartments/wire.h"
#include "nat/nat_spec.h"

namespace hnv {

using PublicAddressId = Index<struct PublicAddressTag>;
using PortSpaceId = Index<struct PortSpaceTag>;
using NatPoolId = Index<struct NatPoolTag>;

// A mask over addresses in network order, as they lie in packets.
struct AddressMask {
  uint32_t network = 0;
  uint32_t mask = 0;  // 0: everything
  // REQUIRES an IPv4 prefix.
  template <Space S>
  [[nodiscard]] static AddressMask of(const Prefix<S>& prefix) {
    const uint32_t bits = prefix.length() == 0 ? 0 : ~uint32_t{0} << (32 - prefix.length());
    return {.network = be32{prefix.address().v4().value()}.raw(), .mask = be32{bits}.raw()};
  }
  [[nodiscard]] bool contains(be32 address) const { return (address.raw() & mask) == network; }
};

// Whether an address may be one of some: mostly a no, for one bit that is likely at hand.
class AddressFilter {
 public:
  AddressFilter() : AddressFilter(std::vector<be32>{}) {}
  explicit AddressFilter(const std::vector<be32>& addresses)
      : bits_(std::bit_ceil(addresses.size() / 4 + kLeastWords)),
        shift_(64 - 6 - static_cast<unsigned>(std::countr_zero(bits_.size()))) {
    for (const be32 address : addresses) {
      const uint64_t bit = bit_of(address);
      bits_[bit / 64] |= uint64_t{1} << bit % 64;
    }
  }
  [[nodiscard]] bool may_hold(be32 address) const {
    const uint64_t bit = bit_of(address);
    return (bits_[bit / 64] >> bit % 64 & 1) != 0;
  }

 private:
  static constexpr size_t kLeastWords = 8;
  [[nodiscard]] uint64_t bit_of(be32 address) const {
    return address.raw() * uint64_t{0x9e3779b97f4a7c15} >> shift_;
  }
  std::vector<uint64_t> bits_;  // 16 an address, or more
  unsigned shift_;
};

// A pool's part of a public address.
struct PortSpace {
  PortSpaceId id{};
  uint32_t stamp = 0;  // tells it from an earlier one with this id; never 0
  NatPoolId pool{};
  PortRange range;
  uint16_t block_ports = 64;
  bool leaving = false;  // nothing new; there until every worker has ended what it had there
};

struct PublicAddress {
  be32 address;
  OutsideNetworkId network{};
  bool respond_to_ping = false;
  bool interface_address = false;  // the gateway's own there, too
  // One-to-one: all of it is this inside address's.
  CompartmentId compartment{};  // invalid: not one-to-one
  be32 inside;
  AddressMask remote;
  std::vector<PortSpace> spaces;  // by range; disjoint

  [[nodiscard]] const PortSpace* space_of(uint16_t port) const {
    for (const PortSpace& space : spaces) {
      if (space.range.contains(port)) return &space;
    }
    return nullptr;
  }
};

// An IPv6 address that is an inside one's alone (RFC 6296's aim by plain substitution: ports stay).
struct OneToOne6 {
  AttachmentId attachment{};
  wire::Address6 address{};
  wire::Address6 inside{};
  OutsideNetworkId network{};
  CompartmentId compartment{};
  Prefix<Space::external> remote;  // who may come in; ::/0: everybody
  [[nodiscard]] auto key() const { return std::pair(attachment.value(), address); }
};

struct NatPool {
  std::string name;  // "publicIPAddresses/web", or the rule that has it alone
  PortRange range;
  uint16_t block_ports = 64;
  uint32_t stamp = 0;    // tells it from an earlier one with this id, or with other members
  uint32_t domains = 1;  // that use it
  struct Member {
    PublicAddressId address;
    PortSpace space;
  };
  std::vector<Member> members;  // empty: no such pool (any more)
};

// Something published. As it is found from outside.
struct StaticMapping {
  uint64_t key = 0;
  CompartmentId compartment{};
  be32 inside;
  AddressMask remote;
  be16 inside_port;
  [[nodiscard]] static uint64_t key_of(be32 address, uint8_t protocol, be16 port) {
    return uint64_t{1} << 63 | uint64_t{address.raw()} << 24 | uint64_t{protocol} << 16 |
           port.raw();
  }
};
static_assert(sizeof(StaticMapping) <= 32);

// The same as it is found from inside, in its domain.
struct InsideStatic {
  uint64_t key = 0;
  be32 address;
  be16 port;
  [[nodiscard]] static uint64_t key_of(be32 inside, uint8_t protocol, be16 port) {
    return StaticMapping::key_of(inside, protocol, port);
  }
};
struct InsideOneToOne {
  uint64_t key = 0;  // the inside address, raw
  be32 address;
};

// One worker's counts for one domain's NAT. Written by that worker, read by anybody.
struct alignas(64) NatCounters {
  Counter in_packets, in_bytes, out_packets, out_bytes;
  // What there is now, and was in all.
  Counter sessions, mappings, addresses, port_blocks;
  Counter sessions_opened, sessions_ended;
  // Token bucket for new sessions: the worker's own, not a statistic.
  uint64_t refilled_at = 0;  // nanoseconds
  uint32_t tokens = 0;
  uint64_t refusal_told_at = 0;  // likewise
};

struct alignas(64) NatRules {
  // The line that every packet reads.
  // What sessions are made under: another one, and they are checked anew.
  uint32_t serial = 0;  // never 0
  bool enabled = true;  // false: NAT or the domain is gone; what it had ends
  bool has_one_to_one = false;
  bool hairpin = true;
  NatRefusal refusal = NatRefusal::administratively_prohibited;
  NatCounters* counters = nullptr;  // by worker
  uint64_t compartment_uid = 0;
  // From the domain's GUID: what chooses owners must be the same after a restart.
  uint64_t owner_seed = 0;
  CompartmentId compartment{};
  // Of all its public addresses; invalid: they are of several.
  OutsideNetworkId network{};
  uint16_t inner_mtu = 1500;  // the least of the domain's virtual subnets
  NatFiltering filtering = NatFiltering::endpoint_independent;
  bool log_sessions = false;
  // For what opens sessions, and ends them.
  NatTimeouts timeouts;
  NatLimits limits;

  struct Outbound {
    AddressMask source;
    NatPoolId pool{};
    PortRange range;
  };
  std::vector<Outbound> outbound;     // the longest source prefix first
  std::vector<InsideStatic> statics;  // sorted by key
  KeyedTable<InsideOneToOne> one_to_one{{}};
  std::vector<OneToOne6> one_to_one6;  // sorted by inside address
  std::string domain;
  std::shared_ptr<NatCounters[]> counters_owner;

  [[nodiscard]] const Outbound* outbound_for(be32 inside) const {
    for (const Outbound& rule : outbound) {
      if (rule.source.contains(inside)) return &rule;
    }
    return nullptr;
  }
  [[nodiscard]] const OneToOne6* one_to_one6_for(const wire::Address6& inside) const {
    const auto at =
        std::lower_bound(one_to_one6.begin(), one_to_one6.end(), inside,
                         [](const OneToOne6& a, const auto& b) { return a.inside < b; });
    return at != one_to_one6.end() && at->inside == inside ? &*at : nullptr;
  }
  [[nodiscard]] const InsideStatic* static_for(be32 inside, uint8_t protocol, be16 port) const {
    const uint64_t key = InsideStatic::key_of(inside, protocol, port);
    const auto at = std::lower_bound(statics.begin(), statics.end(), key,
                                     [](const InsideStatic& s, uint64_t k) { return s.key < k; });
    return at != statics.end() && at->key == key ? &*at : nullptr;
  }
};

struct NatPlan {
  // One that maps nothing.
  [[nodiscard]] static std::shared_ptr<const NatPlan> nothing() {
    static const auto kNothing = std::make_shared<const NatPlan>();
    return kNothing;
  }

  // By (attachment, address).
  struct AddressEntry {
    uint64_t key = 0;
    PublicAddressId id{};
  };
  [[nodiscard]] static uint64_t address_key(AttachmentId attachment, be32 address) {
    return (uint64_t{attachment.value()} + 1) << 32 | address.raw();
  }

  uint64_t serial = 0;  // counts plans
  unsigned workers = 1;
  KeyedTable<AddressEntry> addresses{{}};
  // By the address alone: a public address wherever it is (hairpin, spoofed sources).
  KeyedTable<AddressEntry> anywhere{{}};
  AddressFilter anywhere_filter;
  std::vector<PublicAddress> public_addresses;  // by PublicAddressId; those that are gone are empty
  std::vector<NatPool> pools;                   // by NatPoolId
  std::vector<PortSpace> spaces;                // by PortSpaceId
  KeyedTable<StaticMapping> statics{{}};
  bool any_statics = false;
  std::vector<OneToOne6> one_to_one6;               // sorted by key()
  CowArray<std::shared_ptr<const NatRules>> rules;  // by CompartmentId

  [[nodiscard]] const PublicAddress* at(AttachmentId attachment, be32 address) const {
    const AddressEntry* entry = addresses.find(address_key(attachment, address));
    return entry == nullptr ? nullptr : &public_addresses[entry->id.value()];
  }
  [[nodiscard]] const PublicAddress* find(be32 address) const {
    if (!anywhere_filter.may_hold(address)) return nullptr;
    const AddressEntry* entry = anywhere.find(uint64_t{1} << 32 | address.raw());
    return entry == nullptr ? nullptr : &public_addresses[entry->id.value()];
  }
  [[nodiscard]] const StaticMapping* static_at(be32 address, uint8_t protocol, be16 port) const {
    return any_statics ? statics.find(StaticMapping::key_of(address, protocol, port)) : nullptr;
  }
  // The place in one_to_one6, or nothing.
  [[nodiscard]] std::optional<uint32_t> find6(AttachmentId attachment,
                                              const wire::Address6& address) const {
    const auto wanted = std::pair(attachment.value(), address);
    const auto at = std::lower_bound(one_to_one6.begin(), one_to_one6.end(), wanted,
                                     [](const OneToOne6& a, const auto& b) { return a.key() < b; });
    if (at == one_to_one6.end() || at->key() != wanted) return std::nullopt;
    return static_cast<uint32_t>(at - one_to_one6.begin());
  }
  [[nodiscard]] const NatRules* rules_of(CompartmentId id) const { return rules[id.value()].get(); }

  // The worker that owns what an inside address opens.
  [[nodiscard]] unsigned owner_of_inside(const NatRules& domain, be32 inside) const {
    if (workers == 1) return 0;
    uint64_t mix = (domain.owner_seed ^ inside.raw()) * 0x9e3779b97f4a7c15;
    mix = (mix ^ mix >> 32) * 0xd6e8feb86659fd93;
    return static_cast<unsigned>((mix >> 32) * workers >> 32);
  }
  // The worker that owns a port of a space.
  [[nodiscard]] unsigned owner_of_port(const PortSpace& space, uint16_t port) const {
    return port / space.block_ports % workers;
  }
};

}  // namespace hnv
