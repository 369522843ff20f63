// SPDX-License-Identifier: Apache-2.0
//
// Packet headers as they lie on the wire. Every struct has alignment 1, so a pointer into a packet
// may be used as it is once the length has been checked.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "compartments/address.h"
#include "compartments/byte_order.h"

namespace hnv::wire {

struct Mac {
  uint8_t byte[6] = {};

  [[nodiscard]] static Mac of(const MacAddress& address) {
    Mac mac{};
    std::memcpy(mac.byte, address.bytes().data(), sizeof mac.byte);
    return mac;
  }
  [[nodiscard]] MacAddress address() const {
    MacAddress::Bytes bytes{};
    std::memcpy(bytes.data(), byte, sizeof byte);
    return MacAddress(bytes);
  }
  // The six bytes as a number, for keys and comparisons: the first byte is the lowest. In two
  // loads: a copy of six bytes into eight would wait for its own stores.
  [[nodiscard]] uint64_t key() const {
    uint32_t low = 0;
    uint16_t high = 0;
    std::memcpy(&low, byte, sizeof low);
    std::memcpy(&high, byte + sizeof low, sizeof high);
    return low | uint64_t{high} << 32;
  }
  [[nodiscard]] bool multicast() const { return (byte[0] & 1) != 0; }
};

[[nodiscard]] inline uint64_t mac_key(const MacAddress& address) { return Mac::of(address).key(); }

inline constexpr uint64_t kBroadcastMac = 0xffffffffffff;

struct Ethernet {
  Mac destination;
  Mac source;
  be16 type;
};
struct VlanTag {  // follows the two MAC addresses; IEEE 802.1Q
  be16 tpid;
  be16 tci;
};

namespace ether_type {
inline constexpr be16 kIpv4{0x0800};
inline constexpr be16 kArp{0x0806};
inline constexpr be16 kVlan{0x8100};
inline constexpr be16 kServiceVlan{0x88a8};
inline constexpr be16 kIpv6{0x86dd};
}  // namespace ether_type

namespace ip_protocol {
inline constexpr uint8_t kIcmp = 1;
inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kGre = 47;
inline constexpr uint8_t kEsp = 50;
inline constexpr uint8_t kIcmpV6 = 58;
inline constexpr uint8_t kNone = 59;  // RFC 8200 §4.7: nothing follows
// Extension headers (RFC 8200 §4.1, RFC 4302, RFC 7401, RFC 5533).
inline constexpr uint8_t kHopByHop = 0;
inline constexpr uint8_t kRouting = 43;
inline constexpr uint8_t kFragment = 44;
inline constexpr uint8_t kAuthentication = 51;
inline constexpr uint8_t kDestinationOptions = 60;
inline constexpr uint8_t kMobility = 135;
inline constexpr uint8_t kHip = 139;
inline constexpr uint8_t kShim6 = 140;
}  // namespace ip_protocol

struct Ipv4 {  // RFC 791
  uint8_t version_ihl = 0;
  uint8_t tos = 0;
  be16 total_length;
  be16 id;
  be16 fragment;  // flags and offset
  uint8_t ttl = 0;
  uint8_t protocol = 0;
  be16 checksum;
  be32 source;
  be32 destination;

  [[nodiscard]] unsigned header_bytes() const { return (version_ihl & 0x0fU) * 4; }
  [[nodiscard]] bool dont_fragment() const { return (fragment.value() & 0x4000) != 0; }
  [[nodiscard]] bool is_fragment() const { return (fragment.value() & 0x3fff) != 0; }
  [[nodiscard]] bool is_later_fragment() const { return (fragment.value() & 0x1fff) != 0; }
};
inline constexpr uint16_t kDontFragment = 0x4000;

using Address6 = std::array<uint8_t, 16>;  // network order

struct Ipv6 {  // RFC 8200 §3
  be32 version_class_flow;
  be16 payload_length;  // behind this header
  uint8_t next_header = 0;
  uint8_t hop_limit = 0;
  Address6 source{};
  Address6 destination{};

  [[nodiscard]] unsigned version() const { return version_class_flow.value() >> 28; }
  [[nodiscard]] uint8_t traffic_class() const {
    return static_cast<uint8_t>(version_class_flow.value() >> 20);
  }
  void set_traffic_class(uint8_t value) {
    version_class_flow = be32{(version_class_flow.value() & 0xf00fffffU) | uint32_t{value} << 20};
  }
  [[nodiscard]] uint32_t total_length() const { return 40U + payload_length.value(); }
};
inline constexpr uint32_t kIpv6Version = 0x60000000;

struct Ipv6Extension {  // the beginning that extension headers have in common
  uint8_t next_header = 0;
  uint8_t length = 0;  // in units of 8 bytes, without the first; AH: of 4 bytes, less 2
};
struct Ipv6Fragment {  // RFC 8200 §4.5
  uint8_t next_header = 0;
  uint8_t reserved = 0;
  be16 offset;  // 13 bits, reserved 2, more
  be32 id;

  [[nodiscard]] bool later() const { return (offset.value() & 0xfff8) != 0; }
};

struct Gre {  // RFC 2784, 2890; for NVGRE RFC 7637 §3.2
  be16 flags;
  be16 protocol;
  be32 key;  // VSID << 8 | FlowID
};
inline constexpr be16 kTransparentEthernet{0x6558};

struct Arp {  // RFC 826, Ethernet and IPv4
  be16 hardware_type;
  be16 protocol_type;
  uint8_t hardware_bytes = 0;
  uint8_t protocol_bytes = 0;
  be16 operation;
  Mac sender_mac;
  be32 sender_ip;
  Mac target_mac;
  be32 target_ip;

  [[nodiscard]] bool well_formed() const {
    return hardware_type == be16{1} && protocol_type == ether_type::kIpv4 && hardware_bytes == 6 &&
           protocol_bytes == 4;
  }
};
inline constexpr be16 kArpRequest{1};
inline constexpr be16 kArpReply{2};

struct Icmp {  // RFC 792
  uint8_t type = 0;
  uint8_t code = 0;
  be16 checksum;
  be16 word0;  // identifier; unused in errors
  be16 word1;  // sequence; next-hop MTU in "fragmentation needed" (RFC 1191)
};

namespace icmp6 {  // RFC 4443, 4861, 2710, 3810
inline constexpr uint8_t kUnreachable = 1;
inline constexpr uint8_t kPacketTooBig = 2;
inline constexpr uint8_t kTimeExceeded = 3;
inline constexpr uint8_t kParameterProblem = 4;
inline constexpr uint8_t kFirstInformational = 128;
inline constexpr uint8_t kEchoRequest = 128;
inline constexpr uint8_t kEchoReply = 129;
inline constexpr uint8_t kListenerQuery = 130;
inline constexpr uint8_t kListenerReport = 131;
inline constexpr uint8_t kListenerDone = 132;
inline constexpr uint8_t kRouterSolicitation = 133;
inline constexpr uint8_t kRouterAdvertisement = 134;
inline constexpr uint8_t kNeighborSolicitation = 135;
inline constexpr uint8_t kNeighborAdvertisement = 136;
inline constexpr uint8_t kRedirect = 137;
inline constexpr uint8_t kListenerReport2 = 143;
}  // namespace icmp6

struct NeighborMessage {  // solicitation and advertisement (RFC 4861 §4.3, §4.4); options follow
  uint8_t type = 0;
  uint8_t code = 0;
  be16 checksum;
  be32 flags;
  Address6 target{};
};
inline constexpr uint32_t kNdRouter = 0x80000000;
inline constexpr uint32_t kNdSolicited = 0x40000000;
inline constexpr uint32_t kNdOverride = 0x20000000;

struct LinkLayerOption {  // RFC 4861 §4.6.1, for Ethernet
  uint8_t type = 0;
  uint8_t length = 1;  // in units of 8 bytes
  Mac mac;
};
inline constexpr uint8_t kSourceLinkLayer = 1;
inline constexpr uint8_t kTargetLinkLayer = 2;

struct Ports {  // the first four bytes of TCP, UDP, UDP-Lite, DCCP and SCTP
  be16 source;
  be16 destination;
};

static_assert(sizeof(Ethernet) == 14 && sizeof(VlanTag) == 4 && sizeof(Ipv4) == 20);
static_assert(sizeof(Ipv6) == 40 && sizeof(Ipv6Fragment) == 8 && sizeof(NeighborMessage) == 24);
static_assert(alignof(Ipv6) == 1 && sizeof(LinkLayerOption) == 8);
static_assert(sizeof(Gre) == 8 && sizeof(Arp) == 28 && sizeof(Icmp) == 8 && alignof(Arp) == 1);

// What NVGRE adds to the inner IP packet as IP MTU counts it: outer IP, GRE, inner Ethernet.
inline constexpr unsigned kNvgreOverIpv4 = sizeof(Ipv4) + sizeof(Gre) + sizeof(Ethernet);
inline constexpr unsigned kNvgreOverIpv6 = sizeof(Ipv6) + sizeof(Gre) + sizeof(Ethernet);
static_assert(kNvgreOverIpv4 == 42 && kNvgreOverIpv6 == 62);

// The FlowID is the last byte of the GRE key, which follows an outer IP header without options.
inline constexpr uint8_t kFlowIdBehindIpv4 = sizeof(Ipv4) + sizeof(Gre) - 1;
inline constexpr uint8_t kFlowIdBehindIpv6 = sizeof(Ipv6) + sizeof(Gre) - 1;

}  // namespace hnv::wire
