// SPDX-License-Identifier: Apache-2.0
//
// What one worker keeps of NAT, entry by entry.
//
//   NatSession   a flow: an inside endpoint and a remote one; one cache line
//   NatMapping   an inside endpoint and the public one that stands for it, whoever the remote is
//                (RFC 4787 REQ-1); its sessions hold it
//   NatHost      an inside address: its public address (paired pooling, REQ-2), its blocks of ports
//
// Addresses and ports lie in them as they do in packets.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "compartments/byte_order.h"
#include "compartments/clock.h"
#include "compartments/secret_hash.h"
#include "nat/nat_plan.h"
#include "nat/transport.h"

namespace hnv {

// Time of NAT: units of 2^27 ns, some 134 ms. Wraps after 18 years.
using NatTick = uint32_t;
[[nodiscard]] constexpr NatTick nat_tick(Instant now) {
  return static_cast<NatTick>(now.nanoseconds >> 27);
}
[[nodiscard]] constexpr NatTick nat_ticks(uint32_t seconds) {
  return static_cast<NatTick>((uint64_t{seconds} * 1'000'000'000 + (1U << 27) - 1) >> 27);
}
[[nodiscard]] constexpr double nat_seconds(NatTick ticks) {
  return static_cast<double>(ticks) * (1U << 27) / 1e9;
}

// What a session has seen; of TCP by RFC 9293's flags.
namespace seen {
inline constexpr uint8_t kSynOut = 1;  // SYN, or anything at all: the side has spoken
inline constexpr uint8_t kSynIn = 2;
inline constexpr uint8_t kFinOut = 4;
inline constexpr uint8_t kFinIn = 8;
inline constexpr uint8_t kReset = 16;
inline constexpr uint8_t kCarries = 32;  // a segment without SYN after both had spoken
inline constexpr uint8_t kUsed = 64;     // the entry is one
inline constexpr uint8_t kStatic = 128;  // of a static mapping
inline constexpr uint8_t kBothFins = kFinOut | kFinIn;
inline constexpr uint8_t kBothSyns = kSynOut | kSynIn;
}  // namespace seen

enum class NatPhase : uint8_t { opening, established, closing, reset, open };

[[nodiscard]] constexpr NatPhase phase_of(uint8_t protocol, uint8_t state) {
  if (protocol != wire::ip_protocol::kTcp) return NatPhase::open;
  if ((state & seen::kReset) != 0) return NatPhase::reset;
  if ((state & seen::kBothFins) == seen::kBothFins) return NatPhase::closing;
  return (state & seen::kCarries) != 0 ? NatPhase::established : NatPhase::opening;
}

// The state after a TCP segment. A reset is not believed for good: if the connection goes on, it
// was not one (RFC 7857 §2.2); a SYN after the end begins a new connection (RFC 6191).
[[nodiscard]] constexpr uint8_t after_segment(uint8_t state, uint8_t flags, bool outbound) {
  const uint8_t kept = state & (seen::kUsed | seen::kStatic);
  const uint8_t spoken = outbound ? seen::kSynOut : seen::kSynIn;
  if ((flags & wire::tcp_flag::kRst) != 0) return state | seen::kReset;
  if ((flags & wire::tcp_flag::kSyn) != 0) {
    const NatPhase phase = phase_of(wire::ip_protocol::kTcp, state);
    const bool anew = (flags & wire::tcp_flag::kAck) == 0 &&
                      (phase == NatPhase::reset || phase == NatPhase::closing);
    return static_cast<uint8_t>((anew ? kept : state) | spoken);
  }
  state = static_cast<uint8_t>((state & ~seen::kReset) | spoken);
  if ((state & seen::kBothSyns) == seen::kBothSyns) state |= seen::kCarries;
  if ((flags & wire::tcp_flag::kFin) != 0) state |= outbound ? seen::kFinOut : seen::kFinIn;
  return state;
}

// Whether a segment from inside prolongs its session, that was in `state` (RFC 4787 REQ-6). A reset
// does not (RFC 7857 §7), or strangers outside could keep a port open by what they make us refuse;
// but the end of an established connection still has its four minutes (§2.3).
[[nodiscard]] constexpr bool outbound_refreshes(uint8_t state, uint8_t flags) {
  return (flags & wire::tcp_flag::kRst) == 0 ||
         phase_of(wire::ip_protocol::kTcp, state) == NatPhase::established;
}
// Whether a packet from outside does (REQ-6): only where somebody inside has agreed to be reached.
[[nodiscard]] constexpr bool inbound_refreshes(uint8_t protocol, uint8_t state) {
  return (state & seen::kStatic) != 0 ||
         (protocol == wire::ip_protocol::kTcp && (state & seen::kSynOut) != 0);
}

[[nodiscard]] constexpr uint32_t timeout_of(const NatTimeouts& timeouts, uint8_t protocol,
                                            uint8_t state) {
  if (protocol == wire::ip_protocol::kUdp) return timeouts.udp;
  if (protocol == wire::ip_protocol::kIcmp) return timeouts.icmp;
  return phase_of(protocol, state) == NatPhase::established ? timeouts.tcp_established
                                                            : timeouts.tcp_transitory;
}

// A flow as a packet from inside shows it.
struct InsideFlow {
  be32 inside, remote;
  be16 inside_port, remote_port;  // ICMP: the identifier, 0
  uint8_t protocol = 0;
  CompartmentId compartment{};

  // The same in words, as a packet's header and a NatSession have them: `addresses` as they lie in
  // the header, `ports` too.
  [[nodiscard]] static uint64_t hash_of(uint64_t addresses, uint32_t ports, uint32_t compartment,
                                        uint8_t protocol) {
    return secret_hash(addresses, uint64_t{ports} << 32 | compartment, 2 | uint64_t{protocol} << 8);
  }
  [[nodiscard]] uint64_t hash() const {
    return hash_of(uint64_t{inside.raw()} | uint64_t{remote.raw()} << 32,
                   join_ports(inside_port, remote_port), compartment.value(), protocol);
  }
};
// A flow as a packet from outside shows it.
struct OutsideFlow {
  be32 address, remote;
  be16 port, remote_port;
  uint8_t protocol = 0;

  [[nodiscard]] static uint64_t hash_of(uint64_t addresses, uint32_t ports, uint8_t protocol) {
    return secret_hash(addresses, ports, 3 | uint64_t{protocol} << 8);
  }
  [[nodiscard]] uint64_t hash() const {
    return hash_of(uint64_t{remote.raw()} | uint64_t{address.raw()} << 32,
                   join_ports(remote_port, port), protocol);
  }
};

struct alignas(64) NatSession {
  be32 inside, remote;
  uint32_t compartment = 0;
  be16 inside_port, remote_port;
  be32 outside;
  be16 outside_port;
  uint8_t protocol = 0;
  uint8_t state = 0;      // seen::
  NatTick last_used = 0;  // free entries: the next free one
  NatTick started = 0;
  uint32_t rules = 0;  // NatRules::serial that it was checked under
  uint32_t mapping = 0;
  uint64_t out_bytes = 0, in_bytes = 0;
  uint32_t out_packets = 0;  // modulo 2^32
  uint32_t in_packets : 31 = 0;
  uint32_t by_remote : 1 = 0;  // NatTable finds it by its remote address, too

  [[nodiscard]] bool used() const { return (state & seen::kUsed) != 0; }
  [[nodiscard]] bool is(const InsideFlow& flow) const {
    return inside.raw() == flow.inside.raw() && remote.raw() == flow.remote.raw() &&
           compartment == flow.compartment.value() && inside_port.raw() == flow.inside_port.raw() &&
           remote_port.raw() == flow.remote_port.raw() && protocol == flow.protocol && used();
  }
  // For words, see InsideFlow::hash_of.
  [[nodiscard]] bool is_inside(uint64_t addresses, uint32_t ports, uint32_t place,
                               uint8_t carried) const {
    std::array<uint64_t, 2> mine;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    std::memcpy(mine.data(), this, sizeof mine);
    return mine[0] == addresses && mine[1] == (uint64_t{ports} << 32 | place) &&
           protocol == carried && used();
  }
  [[nodiscard]] bool is_outside(uint64_t addresses, uint32_t ports, uint8_t carried) const {
    return (uint64_t{remote.raw()} | uint64_t{outside.raw()} << 32) == addresses &&
           join_ports(remote_port, outside_port) == ports && protocol == carried && used();
  }
  [[nodiscard]] bool is(const OutsideFlow& flow) const {
    return outside.raw() == flow.address.raw() && remote.raw() == flow.remote.raw() &&
           outside_port.raw() == flow.port.raw() && remote_port.raw() == flow.remote_port.raw() &&
           protocol == flow.protocol && used();
  }
  [[nodiscard]] InsideFlow inside_flow() const {
    return {.inside = inside,
            .remote = remote,
            .inside_port = inside_port,
            .remote_port = remote_port,
            .protocol = protocol,
            .compartment = CompartmentId(compartment)};
  }
  [[nodiscard]] OutsideFlow outside_flow() const {
    return {.address = outside,
            .remote = remote,
            .port = outside_port,
            .remote_port = remote_port,
            .protocol = protocol};
  }
};
static_assert(sizeof(NatSession) == 64);

// An endpoint inside.
struct InsideEndpoint {
  be32 inside;
  be16 port;
  uint8_t protocol = 0;
  CompartmentId compartment{};
  [[nodiscard]] uint64_t hash() const {
    return secret_hash(inside.raw(),
                       uint64_t{port.raw()} | uint64_t{compartment.value() << 8 | protocol} << 32,
                       4);
  }
};
// A public endpoint.
struct PublicEndpoint {
  be32 address;
  be16 port;
  uint8_t protocol = 0;
  [[nodiscard]] uint64_t hash() const {
    return secret_hash(address.raw(), uint64_t{port.raw()} | uint64_t{protocol} << 32, 5);
  }
};

struct alignas(32) NatMapping {
  be32 inside, outside;
  uint32_t compartment = 0;
  be16 inside_port, outside_port;
  uint32_t host = 0;
  uint32_t sessions = 0;    // that hold it; 0: it rests
  NatTick rests_since = 0;  // free entries: the next free one
  uint16_t space = 0;       // PortSpaceId; of static mappings none
  uint8_t protocol = 0;
  uint8_t used : 1 = 0;
  uint8_t is_static : 1 = 0;  // the port is no block's
  uint8_t replaced : 1 = 0;   // the rules have changed: its sessions end, and it opens no new ones

  [[nodiscard]] InsideEndpoint inside_endpoint() const {
    return {.inside = inside,
            .port = inside_port,
            .protocol = protocol,
            .compartment = CompartmentId(compartment)};
  }
  [[nodiscard]] PublicEndpoint public_endpoint() const {
    return {.address = outside, .port = outside_port, .protocol = protocol};
  }
  [[nodiscard]] bool is(const InsideEndpoint& endpoint) const {
    return used != 0 && inside.raw() == endpoint.inside.raw() &&
           compartment == endpoint.compartment.value() &&
           inside_port.raw() == endpoint.port.raw() && protocol == endpoint.protocol;
  }
  [[nodiscard]] bool is(const PublicEndpoint& endpoint) const {
    return used != 0 && outside.raw() == endpoint.address.raw() &&
           outside_port.raw() == endpoint.port.raw() && protocol == endpoint.protocol;
  }
};
static_assert(sizeof(NatMapping) == 32);

struct NatHost {
  be32 inside;
  uint32_t compartment = 0;
  be32 outside;              // its public address; 0: none yet
  uint32_t space = 0;        // PortSpaceId, of that address
  uint32_t first_block = 0;  // its blocks, linked; kNone: none
  uint32_t sessions = 0;
  uint32_t mappings = 0;  // that have a port of a block, resting ones too
  uint32_t used = 0;      // free entries: see next_free
  uint32_t next_free = 0;
  [[nodiscard]] static uint64_t hash(CompartmentId compartment, be32 inside) {
    return secret_hash(inside.raw(), compartment.value(), 6);
  }
};

}  // namespace hnv
