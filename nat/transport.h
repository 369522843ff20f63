// SPDX-License-Identifier: Apache-2.0
//
// The transport header behind an IPv4 header: what NAT tells flows apart by, and how it is
// rewritten. Pure functions on bytes; they trust nothing behind the IP header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compartments/byte_order.h"
#include "compartments/checksum.h"
#include "compartments/wire.h"

namespace hnv {

namespace wire {
struct Tcp {  // RFC 9293 §3.1
  be16 source;
  be16 destination;
  be32 sequence;
  be32 acknowledgment;
  uint8_t data_offset = 0;  // upper half, in units of 4 bytes
  uint8_t flags = 0;
  be16 window;
  be16 checksum;
  be16 urgent;
};
namespace tcp_flag {
inline constexpr uint8_t kFin = 1;
inline constexpr uint8_t kSyn = 2;
inline constexpr uint8_t kRst = 4;
inline constexpr uint8_t kAck = 16;
}  // namespace tcp_flag
struct Udp {  // RFC 768
  be16 source;
  be16 destination;
  be16 length;
  be16 checksum;
};
static_assert(sizeof(Tcp) == 20 && sizeof(Udp) == 8);
}  // namespace wire

enum class TransportKind : uint8_t {
  ports,           // TCP or UDP
  icmp_query,      // a request or a reply; both ports are its identifier
  icmp_error,      // quotes another packet
  later_fragment,  // no transport header: see the first one
  other,           // a protocol without ports that NAT could share an address by
  bad,             // cut short, port 0, or unknown ICMP
};

struct Transport {
  TransportKind kind = TransportKind::bad;
  uint8_t protocol = 0;
  bool fragment = false;   // first or later
  bool from_asker = true;  // ICMP queries: a request, not a reply
  uint16_t offset = 0;     // of the transport header, from the IP header
  uint16_t bytes = 0;      // from there to the packet's end
  be16 source_port;
  be16 destination_port;
};

// Both ports as wire::Ports lies in memory.
[[nodiscard]] constexpr uint32_t join_ports(be16 source, be16 destination) {
  return source.raw() | uint32_t{destination.raw()} << 16;
}
[[nodiscard]] constexpr wire::Ports split_ports(uint32_t ports) {
  return {be16::from_raw(static_cast<uint16_t>(ports)),
          be16::from_raw(static_cast<uint16_t>(ports >> 16))};
}

// REQUIRES a header that ipv4_header_fits, in `ip.total_length` readable bytes.
// Into a fresh `transport`, where it is to stay: it is written by members and soon read.
void read_transport(const wire::Ipv4& ip, Transport& transport);
[[nodiscard]] inline Transport read_transport(const wire::Ipv4& ip) {
  Transport transport;
  read_transport(ip, transport);
  return transport;
}

// An IP option that should not travel on (RFC 7126 §4: source routes, record route, timestamps and
// what is obsolete). False for headers without options, and for those that hold only others.
[[nodiscard]] bool has_harmful_option(const wire::Ipv4& ip);

// The words of a checksum that change: RFC 1624 in one sum. Whatever is replaced is told; `apply`
// makes an old checksum the new one.
class ChecksumChange {
 public:
  void replace(be32 before, be32 after) {
    sum_ += uint64_t{static_cast<uint32_t>(~before.raw())} + after.raw();
  }
  void replace(be16 before, be16 after) {
    sum_ += uint64_t{static_cast<uint16_t>(~before.raw())} + after.raw();
  }
  void replace(const wire::Address6& before, const wire::Address6& after);
  [[nodiscard]] be16 apply(be16 checksum) const {
    const uint64_t sum = sum_ + static_cast<uint16_t>(~checksum.raw());
    return be16::from_raw(static_cast<uint16_t>(~checksum_fold(sum)));
  }
  // UDP's: zero means there is none, and one that comes out as zero is written as ones.
  [[nodiscard]] be16 apply_udp(be16 checksum) const {
    if (checksum.raw() == 0) return checksum;
    const be16 changed = apply(checksum);
    return changed.raw() == 0 ? be16{0xffff} : changed;
  }

 private:
  uint64_t sum_ = 0;
};

enum class Side4 : uint8_t { source, destination };

// Gives a packet another source, or destination: address, port (of those that have one), and every
// checksum that covers them. Later fragments have only the address; so have protocols without
// ports, whose own checksum follows where it covers the address (RFC 768, 9293, 3828, 4340).
void rewrite_endpoint(wire::Ipv4& ip, const Transport& transport, Side4 side, be32 address,
                      be16 port);

// Nearly every packet: TCP or UDP, whole, without options, with both ports.
[[nodiscard]] inline bool is_plain(const wire::Ipv4& ip) {
  if (ip.version_ihl != 0x45 || ip.is_fragment()) return false;
  const bool tcp = ip.protocol == wire::ip_protocol::kTcp;
  const size_t least = sizeof ip + (tcp ? sizeof(wire::Tcp) : sizeof(wire::Udp));
  const auto& ports = *reinterpret_cast<const wire::Ports*>(&ip + 1);
  return (tcp || ip.protocol == wire::ip_protocol::kUdp) && ip.total_length.value() >= least &&
         ports.source.raw() != 0 && ports.destination.raw() != 0;
}
// Its endpoints: both addresses, and both ports (as join_ports), as they lie there.
[[nodiscard]] inline uint64_t addresses_of(const wire::Ipv4& ip) {
  uint64_t addresses = 0;
  std::memcpy(&addresses, &ip.source, sizeof addresses);
  return addresses;
}
[[nodiscard]] inline uint32_t ports_of_plain(const wire::Ipv4& ip) {
  uint32_t ports = 0;
  std::memcpy(&ports, &ip + 1, sizeof ports);
  return ports;
}
[[nodiscard]] inline wire::Tcp& tcp_of_plain(wire::Ipv4& ip) {
  return *reinterpret_cast<wire::Tcp*>(&ip + 1);
}
// rewrite_endpoint of such a packet.
inline void rewrite_plain(wire::Ipv4& ip, Side4 side, be32 address, be16 port) {
  auto& ports = *reinterpret_cast<wire::Ports*>(&ip + 1);
  be32& old_address = side == Side4::source ? ip.source : ip.destination;
  be16& old_port = side == Side4::source ? ports.source : ports.destination;
  ChecksumChange change;
  change.replace(old_address, address);
  ip.checksum = change.apply(ip.checksum);
  change.replace(old_port, port);
  old_address = address;
  old_port = port;
  if (ip.protocol == wire::ip_protocol::kTcp) {
    be16& checksum = tcp_of_plain(ip).checksum;
    checksum = change.apply(checksum);
  } else {
    be16& checksum = reinterpret_cast<wire::Udp*>(&ip + 1)->checksum;
    checksum = change.apply_udp(checksum);
  }
}

// Another Identification (RFC 791); the header's checksum follows.
void set_identification(wire::Ipv4& ip, be16 id);

// The packet that an ICMP error quotes: as much of it as there is.
struct Quoted {
  wire::Ipv4* ip = nullptr;
  uint8_t protocol = 0;
  be16 source_port;  // of ICMP queries: the identifier, on both sides
  be16 destination_port;
  uint16_t bytes = 0;  // of the transport header that are there; 8 at least
};
// Of the error whose ICMP header is `transport`. False: nothing usable is quoted, or the error's
// own checksum is wrong, or that of the IP header it quotes (RFC 5508 REQ-3).
[[nodiscard]] bool read_quoted(wire::Ipv4& ip, const Transport& transport, Quoted& quoted);
// Rewrites an endpoint of the quoted packet, and the error's checksum with it.
void rewrite_quoted(wire::Ipv4& ip, const Transport& error, const Quoted& quoted, Side4 side,
                    be32 address, be16 port);

// The largest TCP segment in packets of `mtu` bytes. REQUIRES mtu >= 40.
[[nodiscard]] constexpr uint16_t mss_of(uint16_t mtu) {
  return static_cast<uint16_t>(mtu - sizeof(wire::Ipv4) - sizeof(wire::Tcp));
}
// Lowers the MSS of a TCP SYN to `largest` (RFC 6691), or leaves it. Nothing is added where the
// option is missing.
void clamp_mss(wire::Ipv4& ip, const Transport& transport, uint16_t largest);

}  // namespace hnv
