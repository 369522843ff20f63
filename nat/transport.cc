// SPDX-License-Identifier: Apache-2.0
#include "nat/transport.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "compartments/checksum.h"
#include "compartments/ip_checks.h"

namespace hnv {
namespace {

constexpr uint8_t kDccp = 33;
constexpr uint8_t kUdpLite = 136;

uint8_t* start_of(wire::Ipv4& ip) { return reinterpret_cast<uint8_t*>(&ip); }
const uint8_t* start_of(const wire::Ipv4& ip) { return reinterpret_cast<const uint8_t*>(&ip); }

template <class Header>
const Header& at(const wire::Ipv4& ip, uint32_t offset) {
  return *reinterpret_cast<const Header*>(start_of(ip) + offset);
}
template <class Header>
Header& at(wire::Ipv4& ip, uint32_t offset) {
  return *reinterpret_cast<Header*>(start_of(ip) + offset);
}

// RFC 792, 950: what asks, what answers, what reports.
TransportKind kind_of_icmp(uint8_t type, bool& from_asker) {
  switch (type) {
    case 8:
    case 13:
    case 15:
    case 17:
      from_asker = true;
      return TransportKind::icmp_query;
    case 0:
    case 14:
    case 16:
    case 18:
      from_asker = false;
      return TransportKind::icmp_query;
    case 3:
    case 11:
    case 12:
      return TransportKind::icmp_error;
    default:  // source quench (RFC 6633), redirects, router discovery: not for other networks
      return TransportKind::bad;
  }
}

void read_icmp(const wire::Ipv4& ip, Transport& transport) {
  if (transport.bytes < sizeof(wire::Icmp)) return;
  const auto& icmp = at<wire::Icmp>(ip, transport.offset);
  transport.kind = kind_of_icmp(icmp.type, transport.from_asker);
  if (transport.kind == TransportKind::icmp_query) {
    transport.source_port = icmp.word0;
    transport.destination_port = icmp.word0;
  }
}

void read_ports(const wire::Ipv4& ip, Transport& transport) {
  // RFC 1858 §3: a first fragment too small for the header that filters look at is an attack.
  const size_t least =
      transport.protocol == wire::ip_protocol::kTcp ? sizeof(wire::Tcp) : sizeof(wire::Udp);
  if (transport.bytes < least) return;
  const auto& ports = at<wire::Ports>(ip, transport.offset);
  transport.source_port = ports.source;
  transport.destination_port = ports.destination;
  if (ports.source.raw() == 0 || ports.destination.raw() == 0) return;
  transport.kind = TransportKind::ports;
}

// Where a protocol has a checksum that covers the pseudo header; 0: nowhere.
uint16_t checksum_offset(uint8_t protocol) {
  switch (protocol) {
    case wire::ip_protocol::kTcp:
      return offsetof(wire::Tcp, checksum);
    case wire::ip_protocol::kUdp:
    case kUdpLite:
    case kDccp:
      return offsetof(wire::Udp, checksum);
    default:
      return 0;
  }
}

// Endpoint and checksums of a packet of which the first `bytes` of the transport header are there.
struct Endpoint {
  wire::Ipv4& ip;
  uint8_t protocol;
  uint32_t offset;
  uint32_t bytes;
  bool has_ports;  // TCP, UDP: two ports; ICMP queries: an identifier
};

// Returns what an enclosing checksum has to know of: everything that changed.
ChecksumChange rewrite(const Endpoint& e, Side4 side, be32 address, be16 port) {
  ChecksumChange outer;  // of all that is changed
  ChecksumChange of_ip;
  be32& field = side == Side4::source ? e.ip.source : e.ip.destination;
  of_ip.replace(field, address);
  outer.replace(field, address);
  const be16 header_before = e.ip.checksum;
  e.ip.checksum = of_ip.apply(header_before);
  outer.replace(header_before, e.ip.checksum);

  ChecksumChange of_transport;
  const bool icmp = e.protocol == wire::ip_protocol::kIcmp;
  if (!icmp) of_transport.replace(field, address);
  field = address;
  if (e.has_ports) {
    auto& ports = at<wire::Ports>(e.ip, e.offset);
    be16& place = icmp ? at<wire::Icmp>(e.ip, e.offset).word0
                       : (side == Side4::source ? ports.source : ports.destination);
    of_transport.replace(place, port);
    outer.replace(place, port);
    place = port;
  }
  const uint32_t where =
      icmp && e.has_ports ? offsetof(wire::Icmp, checksum) : checksum_offset(e.protocol);
  if (where == 0 || e.bytes < where + sizeof(be16)) return outer;
  be16& checksum = at<be16>(e.ip, e.offset + where);
  const be16 before = checksum;
  checksum = e.protocol == wire::ip_protocol::kUdp ? of_transport.apply_udp(before)
                                                   : of_transport.apply(before);
  outer.replace(before, checksum);
  return outer;
}

}  // namespace

void ChecksumChange::replace(const wire::Address6& before, const wire::Address6& after) {
  for (size_t i = 0; i < before.size(); i += 4) {
    uint32_t was = 0;
    uint32_t is = 0;
    std::memcpy(&was, before.data() + i, sizeof was);
    std::memcpy(&is, after.data() + i, sizeof is);
    replace(be32::from_raw(was), be32::from_raw(is));
  }
}

void read_transport(const wire::Ipv4& ip, Transport& transport) {
  transport.protocol = ip.protocol;
  transport.offset = static_cast<uint16_t>(ip.header_bytes());
  transport.bytes = static_cast<uint16_t>(ip.total_length.value() - transport.offset);
  transport.fragment = ip.is_fragment();
  if (ip.is_later_fragment()) {
    // RFC 1858 §4: one that would lie over the first one's TCP flags.
    const bool overlaps =
        ip.protocol == wire::ip_protocol::kTcp && (ip.fragment.value() & 0x1fff) == 1;
    transport.kind = overlaps ? TransportKind::bad : TransportKind::later_fragment;
  } else if (ip.protocol == wire::ip_protocol::kTcp || ip.protocol == wire::ip_protocol::kUdp) {
    read_ports(ip, transport);
  } else if (ip.protocol == wire::ip_protocol::kIcmp) {
    read_icmp(ip, transport);
  } else {
    transport.kind = TransportKind::other;
  }
}

bool has_harmful_option(const wire::Ipv4& ip) {
  const uint32_t end = ip.header_bytes();
  for (uint32_t i = sizeof(wire::Ipv4); i < end;) {
    const uint8_t type = at<uint8_t>(ip, i);
    switch (type) {
      case 0:  // end of list
        return false;
      case 1:  // no operation
        ++i;
        continue;
      case 7:    // record route
      case 11:   // MTU probe
      case 12:   // MTU reply
      case 68:   // timestamp
      case 82:   // traceroute
      case 131:  // loose source route
      case 136:  // stream id
      case 137:  // strict source route
        return true;
      default:
        break;
    }
    if (i + 1 >= end) return true;
    const uint8_t length = at<uint8_t>(ip, i + 1);
    if (length < 2 || i + length > end) return true;
    i += length;
  }
  return false;
}

void rewrite_endpoint(wire::Ipv4& ip, const Transport& transport, Side4 side, be32 address,
                      be16 port) {
  const bool has_ports =
      transport.kind == TransportKind::ports || transport.kind == TransportKind::icmp_query;
  const bool headless = transport.kind == TransportKind::later_fragment;
  (void)rewrite({.ip = ip,
                 .protocol = transport.protocol,
                 .offset = transport.offset,
                 .bytes = headless ? 0U : transport.bytes,
                 .has_ports = has_ports},
                side, address, port);
}

void set_identification(wire::Ipv4& ip, be16 id) {
  ChecksumChange change;
  change.replace(ip.id, id);
  ip.id = id;
  ip.checksum = change.apply(ip.checksum);
}

bool read_quoted(wire::Ipv4& ip, const Transport& transport, Quoted& quoted) {
  constexpr uint32_t kLeast = 8;  // RFC 792: that much of the transport header is always quoted
  const uint32_t start = transport.offset + static_cast<uint32_t>(sizeof(wire::Icmp));
  const uint32_t there = transport.bytes - static_cast<uint32_t>(sizeof(wire::Icmp));
  if (transport.bytes < sizeof(wire::Icmp) + sizeof(wire::Ipv4)) return false;
  auto& inner = at<wire::Ipv4>(ip, start);
  const uint32_t header = inner.header_bytes();
  if (inner.version_ihl >> 4 != 4 || header < sizeof(wire::Ipv4) || there < header + kLeast ||
      inner.is_later_fragment()) {
    return false;
  }
  if (!transport.fragment &&
      checksum_fold(checksum_sum(start_of(ip) + transport.offset, transport.bytes)) != 0xffff) {
    return false;
  }
  if (!checksum_right(inner)) return false;
  quoted.ip = &inner;
  quoted.protocol = inner.protocol;
  quoted.bytes = static_cast<uint16_t>(there - header);
  if (inner.protocol == wire::ip_protocol::kIcmp) {
    const auto& icmp = at<wire::Icmp>(inner, header);
    bool from_asker = false;
    if (kind_of_icmp(icmp.type, from_asker) != TransportKind::icmp_query) return false;
    quoted.source_port = icmp.word0;
    quoted.destination_port = icmp.word0;
    return true;
  }
  const auto& ports = at<wire::Ports>(inner, header);
  quoted.source_port = ports.source;
  quoted.destination_port = ports.destination;
  return true;
}

void rewrite_quoted(wire::Ipv4& ip, const Transport& error, const Quoted& quoted, Side4 side,
                    be32 address, be16 port) {
  const bool has_ports = quoted.protocol == wire::ip_protocol::kTcp ||
                         quoted.protocol == wire::ip_protocol::kUdp ||
                         quoted.protocol == wire::ip_protocol::kIcmp;
  const ChecksumChange change = rewrite({.ip = *quoted.ip,
                                         .protocol = quoted.protocol,
                                         .offset = quoted.ip->header_bytes(),
                                         .bytes = quoted.bytes,
                                         .has_ports = has_ports},
                                        side, address, port);
  be16& checksum = at<wire::Icmp>(ip, error.offset).checksum;
  checksum = change.apply(checksum);
}

void clamp_mss(wire::Ipv4& ip, const Transport& transport, uint16_t largest) {
  constexpr uint8_t kMss = 2;
  auto& tcp = at<wire::Tcp>(ip, transport.offset);
  const uint32_t header = std::min<uint32_t>((tcp.data_offset >> 4) * 4U, transport.bytes);
  for (uint32_t i = sizeof(wire::Tcp); i + 1 < header;) {
    const uint8_t kind = at<uint8_t>(ip, transport.offset + i);
    if (kind == 0) return;
    if (kind == 1) {
      ++i;
      continue;
    }
    const uint8_t length = at<uint8_t>(ip, transport.offset + i + 1);
    if (length < 2 || i + length > header) return;
    if (kind == kMss && length == 4) {
      // The option may begin at an odd place: its two bytes then lie in two words of the sum.
      auto& mss = at<be16>(ip, transport.offset + i + 2);
      if (mss.value() <= largest) return;
      ChecksumChange change;
      const be16 lower{largest};
      if ((i & 1) == 0) {
        change.replace(mss, lower);
      } else {
        change.replace(be16{static_cast<uint16_t>(__builtin_bswap16(mss.value()))},
                       be16{static_cast<uint16_t>(__builtin_bswap16(largest))});
      }
      mss = lower;
      tcp.checksum = change.apply(tcp.checksum);
      return;
    }
    i += length;
  }
}

}  // namespace hnv
