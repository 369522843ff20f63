// SPDX-License-Identifier: Apache-2.0
//
// IPsec as the workers read it: tunnels as operators asked for them, compiled
// (gateway/compile_ipsec.cc), and the security associations that IKE has made (SaDatabase). A part
// of the Dataplane.
//
//   is_vpn_address   (attachment, address) → do IKE and ESP end here?
//   tunnels          by TunnelId; IKE knows a tunnel as if_id = TunnelId.value() + 1
//   sas              by the index in an inbound SPI, and by if_id
//
// In its compartment a tunnel is a ConnectionView, with its counters, its source validation and the
// source of its ICMP errors; routes lead there by HopKind::ipsec.
//
// Each tunnel has one worker that encrypts and decrypts for it: sequence numbers, windows and rates
// have one writer. What comes up elsewhere is handed over.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compartments/address.h"
#include "compartments/byte_order.h"
#include "compartments/compartment_view.h"
#include "compartments/counter.h"
#include "compartments/cow_array.h"
#include "compartments/ids.h"
#include "compartments/keyed_table.h"
#include "compartments/line/drop_reason.h"
#include "compartments/wire.h"
#include "vpn/codel.h"
#include "vpn/sa_database.h"
#include "vpn/tunnel_rate.h"

namespace hnv {

// One worker's counts for one tunnel of what did not pass. What did is in ConnectionView::counters,
// in inner IP packets and bytes. Written by that worker, read by anybody.
struct alignas(64) TunnelCounters {
  static constexpr auto kFirst = static_cast<size_t>(DropReason::ipsec_short);
  static constexpr auto kLast = static_cast<size_t>(DropReason::ipsec_no_outside_route);

  Counter in_dropped, out_dropped;            // for whatever reason
  Counter in_rate_limited, out_rate_limited;  // among them
  Counter in_marked, out_marked;              // passed, with a congestion mark for the rate
  std::array<Counter, kLast - kFirst + 1> drops;

  // Counts a reason; only those of the IPsec doors are told apart.
  void count(DropReason reason) {
    const size_t place = static_cast<size_t>(reason) - kFirst;
    if (place < drops.size()) drops[place].add();
  }
  // REQUIRES a reason of the IPsec doors.
  [[nodiscard]] const Counter& of(DropReason reason) const {
    return drops[static_cast<size_t>(reason) - kFirst];
  }
};

// One direction's packets in time, across all views of the tunnel; one line. Owner: the tunnel's
// worker; leaves_at, delay: any thread. See vpn/shaper.h.
class alignas(64) ShapedWay {
 public:
  TokenBucket bucket;
  Codel codel;

  // When the last packet that had to wait may leave.
  [[nodiscard]] Instant leaves_at() const { return {leaves_at_.load(std::memory_order_relaxed)}; }
  void set_leaves_at(Instant when) {
    leaves_at_.store(when.nanoseconds, std::memory_order_relaxed);
  }
  // That was so long ago that it has left, however late its worker was: nothing can be overtaken.
  [[nodiscard]] bool settled(Instant now) const { return now >= leaves_at() + kSettle; }
  // Of a packet that comes now.
  [[nodiscard]] Duration delay(Instant now) const {
    return std::max(Duration::zero(), leaves_at() - now);
  }

 private:
  static constexpr Duration kSettle = std::chrono::seconds(1);
  std::atomic<uint64_t> leaves_at_{0};
};
static_assert(sizeof(ShapedWay) == 64);

// What changes with a tunnel's packets, across all its views. Owner: the tunnel's worker.
struct TunnelMeters {
  ShapedWay outbound, inbound;
  uint64_t asked_at = 0;  // nanoseconds: when a packet last asked for the tunnel
  uint32_t waiting = 0;   // packets that wait for it

  [[nodiscard]] ShapedWay& way(SaDirection direction) {
    return direction == SaDirection::outbound ? outbound : inbound;
  }
};

struct alignas(64) TunnelView {
  TunnelId id{};
  CompartmentId compartment{};
  uint64_t compartment_uid = 0;
  ConnectionId connection{};   // in that compartment
  OutsideNetworkId network{};  // on which its source address is, and its site is reached
  unsigned worker = 0;         // that owns it
  // The largest inner packet, whatever the SA and the external network leave; 65535: no more than
  // they say.
  uint16_t largest_inner = 0xffff;
  SourceValidation source_validation = SourceValidation::strict;
  bool on_demand = false;  // a packet for it starts it
  TunnelRate outbound;
  TunnelMeters* meters = nullptr;         // of meters_owner
  ConnectionCounters* traffic = nullptr;  // by worker: those of its ConnectionView
  // Here ends the line that all packets touch.
  TunnelRate inbound;
  TunnelCounters* drops = nullptr;  // by worker

  // Slow path and owners of what the pointers above name.
  uint64_t uid = 0;  // distinguishes it from an earlier tunnel with this id
  std::string name;  // "DOMAIN/networkConnections/NAME"
  std::shared_ptr<TunnelMeters> meters_owner;
  std::shared_ptr<ConnectionCounters[]> traffic_owner;
  std::shared_ptr<TunnelCounters[]> drops_owner;

  [[nodiscard]] uint32_t if_id() const { return id.value() + 1; }
  [[nodiscard]] const TunnelRate& rate(SaDirection direction) const {
    return direction == SaDirection::outbound ? outbound : inbound;
  }
};

// An address of ours on an external network at which tunnels end.
struct VpnAddress {
  AttachmentId attachment{};
  IpAddress<Space::external> address;
  friend auto operator<=>(const VpnAddress&, const VpnAddress&) = default;
};

class VpnAddresses {
 public:
  VpnAddresses() = default;
  explicit VpnAddresses(const std::vector<VpnAddress>& all);

  [[nodiscard]] bool empty() const { return empty_; }
  [[nodiscard]] bool contains(AttachmentId attachment, be32 address) const {
    return !empty_ && ipv4_.find(key(attachment, address)) != nullptr;
  }
  [[nodiscard]] bool contains(AttachmentId attachment, const wire::Address6& address) const {
    return !empty_ &&
           std::binary_search(ipv6_.begin(), ipv6_.end(), std::pair(attachment.value(), address));
  }

 private:
  struct Entry {
    uint64_t key = 0;
    uint64_t unused = 0;
  };
  [[nodiscard]] static uint64_t key(AttachmentId attachment, be32 address) {
    return (uint64_t{attachment.value()} + 1) << 32 | address.raw();
  }

  bool empty_ = true;
  KeyedTable<Entry> ipv4_{{}};
  std::vector<std::pair<uint32_t, wire::Address6>> ipv6_;  // sorted
};

struct IpsecPlan {
  // One without tunnels.
  [[nodiscard]] static std::shared_ptr<const IpsecPlan> nothing() {
    static const auto kNothing = std::make_shared<const IpsecPlan>();
    return kNothing;
  }

  uint64_t serial = 0;  // counts plans; with every change of tunnels or SAs
  VpnAddresses addresses;
  CowArray<std::shared_ptr<const TunnelView>> tunnels;  // by TunnelId; null: none
  SaTable sas;

  // Null: none.
  [[nodiscard]] const TunnelView* tunnel_of(const Sa& sa) const {
    return tunnels[sa.if_id - 1].get();
  }
};

}  // namespace hnv
