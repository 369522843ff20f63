// SPDX-License-Identifier: Apache-2.0
#include "compartments/neighbor_discovery.h"

#include <cstring>

#include "compartments/checksum.h"

namespace hnv {
namespace {

constexpr uint8_t kNdHopLimit = 255;
constexpr uint32_t kRouterSolicitationBytes = 8;

// The IPv6 header of an ND message of `bytes` bytes.
wire::Ipv6 header(const wire::Address6& source, const wire::Address6& destination, uint32_t bytes) {
  return {.version_class_flow = be32{wire::kIpv6Version},
          .payload_length = be16{static_cast<uint16_t>(bytes)},
          .next_header = wire::ip_protocol::kIcmpV6,
          .hop_limit = kNdHopLimit,
          .source = source,
          .destination = destination};
}

be16 checksum(const wire::Ipv6& ip, const uint8_t* message) {
  return be16::from_raw(static_cast<uint16_t>(~checksum_fold(checksum_sum6(
      ip.source, ip.destination, wire::ip_protocol::kIcmpV6, message, ip.payload_length.value()))));
}

// §4.6: a length of zero spoils the packet; options that are not known are skipped.
bool read_options(const uint8_t* at, const uint8_t* end, NdMessage& out) {
  while (at != end) {
    if (end - at < 8) return false;
    const ptrdiff_t bytes = ptrdiff_t{at[1]} * 8;
    if (bytes == 0 || bytes > end - at) return false;
    const auto& option = *reinterpret_cast<const wire::LinkLayerOption*>(at);
    if (option.length == 1 && !option.mac.multicast()) {
      if (option.type == wire::kSourceLinkLayer) out.source_mac = option.mac;
      if (option.type == wire::kTargetLinkLayer) out.target_mac = option.mac;
    }
    at += bytes;
  }
  return true;
}

// What §7.1.1, §7.1.2 and §6.1.1 ask beyond what all messages have in common.
bool addresses_right(const wire::Ipv6& ip, const NdMessage& message) {
  const bool unspecified = is_unspecified6(ip.source);
  if (ip.source[0] == 0xff) return false;
  switch (message.type) {
    case wire::icmp6::kRouterSolicitation:
      return !(unspecified && message.source_mac);
    case wire::icmp6::kNeighborSolicitation:
      if (is_multicast6(message.target)) return false;
      if (unspecified) {
        return !message.source_mac && ip.destination == solicited_node_of(message.target);
      }
      return true;
    case wire::icmp6::kNeighborAdvertisement:
      if (is_multicast6(message.target) || unspecified) return false;
      return !(is_multicast6(ip.destination) && (message.flags & wire::kNdSolicited) != 0);
    default:
      return false;
  }
}

}  // namespace

std::optional<NdMessage> read_nd(const wire::Ipv6& ip, uint32_t offset) {
  const auto* start = reinterpret_cast<const uint8_t*>(&ip);
  const uint32_t bytes = ip.total_length() - offset;
  const auto& icmp = *reinterpret_cast<const wire::Icmp*>(start + offset);
  if (ip.hop_limit != kNdHopLimit || icmp.code != 0) return std::nullopt;
  const bool router = icmp.type == wire::icmp6::kRouterSolicitation;
  const uint32_t fixed = router ? kRouterSolicitationBytes : sizeof(wire::NeighborMessage);
  if (bytes < fixed) return std::nullopt;
  const uint64_t sum =
      checksum_sum6(ip.source, ip.destination, wire::ip_protocol::kIcmpV6, &icmp, bytes);
  if (checksum_fold(sum) != 0xffff) return std::nullopt;
  NdMessage message{.type = icmp.type};
  if (!router) {
    const auto& body = *reinterpret_cast<const wire::NeighborMessage*>(start + offset);
    message.target = body.target;
    if (icmp.type == wire::icmp6::kNeighborAdvertisement) message.flags = body.flags.value();
  }
  if (!read_options(start + offset + fixed, start + ip.total_length(), message) ||
      !addresses_right(ip, message)) {
    return std::nullopt;
  }
  return message;
}

uint32_t write_solicitation(uint8_t* at, const NdSolicitation& ask) {
  const bool option = !is_unspecified6(ask.source);
  const uint32_t bytes =
      sizeof(wire::NeighborMessage) + (option ? sizeof(wire::LinkLayerOption) : 0);
  auto& ip = *reinterpret_cast<wire::Ipv6*>(at);
  ip = header(ask.source, ask.probe ? ask.target : solicited_node_of(ask.target), bytes);
  auto& message = *reinterpret_cast<wire::NeighborMessage*>(at + sizeof(wire::Ipv6));
  message = {.type = wire::icmp6::kNeighborSolicitation,
             .code = 0,
             .checksum = be16{0},
             .flags = be32{0},
             .target = ask.target};
  if (option) {
    *reinterpret_cast<wire::LinkLayerOption*>(&message + 1) = {
        .type = wire::kSourceLinkLayer, .length = 1, .mac = ask.source_mac};
  }
  message.checksum = checksum(ip, at + sizeof(wire::Ipv6));
  return static_cast<uint32_t>(sizeof(wire::Ipv6)) + bytes;
}

void write_advertisement(uint8_t* at, const NdAdvertisement& answer) {
  const bool unspecified = is_unspecified6(answer.asker);
  auto& ip = *reinterpret_cast<wire::Ipv6*>(at);
  ip = header(answer.target, unspecified ? kAllNodes : answer.asker,
              kNdBytes - static_cast<uint32_t>(sizeof(wire::Ipv6)));
  auto& message = *reinterpret_cast<wire::NeighborMessage*>(at + sizeof(wire::Ipv6));
  message = {.type = wire::icmp6::kNeighborAdvertisement,
             .code = 0,
             .checksum = be16{0},
             .flags = be32{answer.flags | (unspecified ? 0 : wire::kNdSolicited)},
             .target = answer.target};
  *reinterpret_cast<wire::LinkLayerOption*>(&message + 1) = {
      .type = wire::kTargetLinkLayer, .length = 1, .mac = answer.own_mac};
  message.checksum = checksum(ip, at + sizeof(wire::Ipv6));
}

}  // namespace hnv
