// SPDX-License-Identifier: Apache-2.0
#include "compartments/router_advertisement.h"

#include <cassert>
#include <cstring>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"

namespace hnv {
namespace {

constexpr uint8_t kNdHopLimit = 255;  // §6.1.2
constexpr uint8_t kHostsHopLimit = 64;
constexpr uint8_t kManaged = 0x80;
constexpr uint8_t kOtherConfig = 0x40;
constexpr uint8_t kOnLink = 0x80;
constexpr uint8_t kAutonomous = 0x40;

struct Message {
  uint8_t type = wire::icmp6::kRouterAdvertisement;
  uint8_t code = 0;
  be16 checksum{};
  uint8_t hop_limit = kHostsHopLimit;
  uint8_t flags = 0;
  be16 router_lifetime{};
  be32 reachable_time{};  // zero: unspecified by this router
  be32 retransmit_timer{};
};
static_assert(sizeof(Message) == 16);

struct MtuOption {  // §4.6.4
  uint8_t type = 5;
  uint8_t length = 1;
  be16 reserved{};
  be32 mtu{};
};
static_assert(sizeof(MtuOption) == 8);

struct PrefixOption {  // §4.6.2
  uint8_t type = 3;
  uint8_t length = 4;
  uint8_t prefix_length = 0;
  uint8_t flags = 0;
  be32 valid_lifetime{};
  be32 preferred_lifetime{};
  be32 reserved{};
  wire::Address6 prefix{};
};
static_assert(sizeof(PrefixOption) == 32);

template <class Part>
void write(uint8_t*& at, const Part& part) {
  std::memcpy(at, &part, sizeof part);
  at += sizeof part;
}

}  // namespace

std::vector<uint8_t> packet_of(const RouterAdvertisement& advertisement,
                               const wire::Address6& destination) {
  assert(advertisement.prefixes.size() <= RouterAdvertisement::kMaxPrefixes);
  const bool tells_mtu = advertisement.mtu != 0;
  std::vector<uint8_t> packet(sizeof(wire::Ipv6) + sizeof(Message) + sizeof(wire::LinkLayerOption) +
                              (tells_mtu ? sizeof(MtuOption) : 0) +
                              advertisement.prefixes.size() * sizeof(PrefixOption));
  uint8_t* at = packet.data() + sizeof(wire::Ipv6);
  write(at, Message{.flags = static_cast<uint8_t>((advertisement.managed ? kManaged : 0) |
                                                  (advertisement.other_config ? kOtherConfig : 0)),
                    .router_lifetime = be16{advertisement.router_lifetime}});
  write(at, wire::LinkLayerOption{
                .type = wire::kSourceLinkLayer, .length = 1, .mac = advertisement.mac});
  if (tells_mtu) write(at, MtuOption{.mtu = be32{advertisement.mtu}});
  for (const auto& one : advertisement.prefixes) {
    write(at, PrefixOption{.prefix_length = one.length,
                           .flags = static_cast<uint8_t>((one.on_link ? kOnLink : 0) |
                                                         (one.autonomous ? kAutonomous : 0)),
                           .valid_lifetime = be32{one.valid_lifetime},
                           .preferred_lifetime = be32{one.preferred_lifetime},
                           .prefix = one.prefix});
  }
  const auto bytes = static_cast<uint16_t>(packet.size() - sizeof(wire::Ipv6));
  const wire::Ipv6 ip{.version_class_flow = be32{wire::kIpv6Version},
                      .payload_length = be16{bytes},
                      .next_header = wire::ip_protocol::kIcmpV6,
                      .hop_limit = kNdHopLimit,
                      .source = link_local_of(advertisement.mac),
                      .destination = destination};
  std::memcpy(packet.data(), &ip, sizeof ip);
  auto* message = reinterpret_cast<Message*>(packet.data() + sizeof ip);
  message->checksum = be16::from_raw(static_cast<uint16_t>(~checksum_fold(
      checksum_sum6(ip.source, ip.destination, wire::ip_protocol::kIcmpV6, message, bytes))));
  return packet;
}

RouterAdvertisement final_of(const RouterAdvertisement& advertisement) {
  RouterAdvertisement last;
  last.mac = advertisement.mac;
  return last;
}

}  // namespace hnv
