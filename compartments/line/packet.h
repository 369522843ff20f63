// SPDX-License-Identifier: Apache-2.0
//
// A packet on the line. What is known of it lies in a PacketSlot, two cache lines in the worker's
// own array (never in the mbuf, whose lines are cold); Packet<Side> is a typed handle to a slot.
// Only the Exit of an enter door makes a Packet<inside> out of a Packet<outside>, only the Exit of
// a leave door the reverse: that is how the compiler keeps undecapsulated packets out of `route`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

#include "compartments/compartment_view.h"
#include "compartments/line/stage.h"

namespace hnv {

// By which door a packet came in; for ICMP errors, reverse path checks and counters.
enum class Ingress : uint8_t {
  outside,
  nvgre,
  l3,
  self,  // made here: its TTL is not lowered, and nobody is told what becomes of it
  nat,
  ipsec,
  session,  // out of a session that ends here: as self, but errors about it go back to that
};

// Made by the gateway itself.
[[nodiscard]] constexpr bool is_ours(Ingress ingress) {
  return ingress == Ingress::self || ingress == Ingress::session;
}

// For whom a packet is at `punt`.
enum class PuntFor : uint8_t {
  resolver,    // the control thread's: ARP and ND, and what waits for a neighbour
  charon,      // IKE
  terminated,  // BGP of its compartment, as an IP packet
};

// What `respond` is to write.
enum class Answer : uint8_t {
  none,
  arp_reply_outside,  // the mbuf begins with the Ethernet header of a request on an outside network
  echo_reply_outside,  // likewise, an ICMP echo request to an outside address
  nd_reply_outside,    // likewise, a neighbour solicitation
  arp_reply_nvgre,     // the mbuf begins with the inner Ethernet header
  nd_reply_nvgre,      // likewise
  echo_reply_inside,   // the mbuf begins with the inner IP header, as for all below
  icmp_error,
  fragment,  // cut to icmp_mtu; the pieces are routed again
};

// The bytes of the packet are [data, data + bytes). Stations move these two; the mbuf learns of it
// when the packet leaves the line or is handed to `respond` (store()).
struct alignas(64) PacketSlot {
  rte_mbuf* mbuf = nullptr;
  uint8_t* data = nullptr;
  const CompartmentView* compartment = nullptr;
  uint32_t bytes = 0;
  uint32_t destination = 0;   // inner IPv4, host order: the next hop's CA once routed
  uint32_t outer_source = 0;  // outer IPv4, host order; enter_nvgre and ARP answers
  uint16_t l2_bytes = 0;      // outside: Ethernet header and tag in front of the IP header
  uint16_t inner = 0;         // what a leave door has put in front of the inner IP header
  AttachmentId attachment{};  // where it came in
  SubnetId in_subnet{};       // by which virtual subnet it came in
  SubnetId subnet{};          // into which it leaves
  NextHopId next_hop{};       // outside, after a leave door
  Ingress ingress = Ingress::outside;
  bool ttl_decremented = false;
  bool inside = false;
  bool complete_frame = false;   // at rewrite: the mbuf is a whole frame for mbuf->port
  Family family = Family::ipv4;  // of the IP header that counts here: the outer one, then the inner
  // At enter_nvgre: where the inner Ethernet header is; at enter_ipsec: where the ESP header is.
  uint16_t inner_at = 0;
  // From here on what NVGRE to NVGRE does not need.
  ConnectionId in_connection{};  // by which L3 or IPsec connection it came in
  ConnectionId connection{};     // by which it leaves
  Answer answer = Answer::none;
  uint8_t icmp_type = 0, icmp_code = 0;  // Answer::icmp_error
  bool was_held = false;                 // it has waited for its next hop
  uint16_t icmp_mtu = 0;                 // also Answer::fragment
  uint8_t owner = 0;                     // at handoff: the worker that gets it
  uint8_t handoffs = 0;                  // how often a station has handed it over
  PuntFor punt_for = PuntFor::resolver;  // at punt
  bool ports_known = false;              // at enter_nat: a fragment, whose datagram has these:
  uint32_t ports = 0;                    // source and destination as wire::Ports lies in memory
  uint32_t public_address = 0;           // at enter_nat: the PublicAddressId it is for
  // Inner IPv6, once routed: the next hop's CA, in the packet or in its Hop.
  const wire::Address6* next_hop6 = nullptr;

  // A packet as it arrives: what its mbuf says, and nothing else is known.
  void load(rte_mbuf* from);
  // The mbuf says what the slot says. REQUIRES a single segment.
  void store() const {
    mbuf->data_off = static_cast<uint16_t>(data - static_cast<uint8_t*>(mbuf->buf_addr));
    mbuf->data_len = static_cast<uint16_t>(bytes);
    mbuf->pkt_len = bytes;
  }
  // REQUIRES count <= bytes.
  void strip(uint32_t count) {
    data += count;
    bytes -= count;
  }
  // Room for `count` more bytes in front; null, and nothing changed, when there is none.
  [[nodiscard]] uint8_t* prepend(uint32_t count) {
    if (data - static_cast<uint8_t*>(mbuf->buf_addr) < static_cast<ptrdiff_t>(count)) [[unlikely]] {
      return nullptr;
    }
    data -= count;
    bytes += count;
    return data;
  }
};
static_assert(sizeof(PacketSlot) == 128);

inline constexpr PacketSlot kFreshSlot{};
inline void PacketSlot::load(rte_mbuf* from) {
  // Copied as it lies there: made member by member, the lines would be read again before they are
  // written.
  std::memcpy(static_cast<void*>(this), &kFreshSlot, sizeof *this);
  mbuf = from;
  data = rte_pktmbuf_mtod(from, uint8_t*);
  bytes = from->data_len;
}

template <Side S>
class Packet {
 public:
  explicit Packet(PacketSlot& slot) : slot_(&slot) {}
  [[nodiscard]] rte_mbuf* mbuf() const { return slot_->mbuf; }
  [[nodiscard]] PacketSlot& slot() const { return *slot_; }
  template <class Header>
  [[nodiscard]] Header& at(uint32_t offset) const {
    return *reinterpret_cast<Header*>(slot_->data + offset);
  }
  [[nodiscard]] uint32_t bytes() const { return slot_->bytes; }

 private:
  PacketSlot* slot_;
};

// Up to kVector packets that are at the same station, in order of arrival.
inline constexpr unsigned kVector = 64;

template <Side S>
class Burst {
 public:
  Burst(PacketSlot* const* slots, unsigned count) : slots_(slots), count_(count) {}
  [[nodiscard]] unsigned size() const { return count_; }
  [[nodiscard]] Packet<S> operator[](unsigned i) const { return Packet<S>(*slots_[i]); }

  class Iterator {
   public:
    explicit Iterator(PacketSlot* const* at) : at_(at) {}
    Packet<S> operator*() const { return Packet<S>(**at_); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    PacketSlot* const* at_;
  };
  [[nodiscard]] Iterator begin() const { return Iterator(slots_); }
  [[nodiscard]] Iterator end() const { return Iterator(slots_ + count_); }

 private:
  PacketSlot* const* slots_;
  unsigned count_;
};

}  // namespace hnv
