// SPDX-License-Identifier: Apache-2.0
#include "compartments/line/answer.h"

#include <algorithm>
#include <utility>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"
#include "compartments/ip_checks.h"

namespace hnv {
namespace {

constexpr uint8_t kOwnTtl = 64;
// RFC 1812 §4.3.2.5: errors carry precedence 6 (internetwork control).
constexpr uint8_t kErrorTos = 0xc0;
constexpr uint16_t kErrorBytes = 576;

bool is_icmp_error(uint8_t type) {
  // RFC 792 and 1256: unreachable, source quench, redirect, time exceeded, parameter problem.
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

}  // namespace

void make_arp_reply(wire::Arp& arp, const wire::Mac& own_mac) {
  const be32 own_ip = arp.target_ip;
  arp.operation = wire::kArpReply;
  arp.target_mac = arp.sender_mac;
  arp.target_ip = arp.sender_ip;
  arp.sender_mac = own_mac;
  arp.sender_ip = own_ip;
}

void make_echo_reply(wire::Ipv4& ip) {
  auto& icmp = *reinterpret_cast<wire::Icmp*>(reinterpret_cast<uint8_t*>(&ip) + ip.header_bytes());
  std::swap(ip.source, ip.destination);
  ip.ttl = kOwnTtl;
  set_checksum(ip);
  // Type 8 becomes 0: RFC 1624. A request that was damaged on its way stays recognisably so.
  icmp.type = 0;
  const uint32_t sum = uint32_t{icmp.checksum.raw()} + 8;
  icmp.checksum = be16::from_raw(static_cast<uint16_t>(sum + (sum >> 16)));
}

bool may_send_icmp_error(const rte_mbuf& mbuf) {
  const auto& ip = *rte_pktmbuf_mtod(&mbuf, const wire::Ipv4*);
  if (ip.is_later_fragment() || is_martian_source(ip.source.value()) ||
      is_martian_destination(ip.destination.value())) {
    return false;
  }
  if (ip.protocol != wire::ip_protocol::kIcmp) return true;
  if (ip.total_length.value() < ip.header_bytes() + sizeof(wire::Icmp)) return false;
  const auto* icmp = rte_pktmbuf_mtod_offset(&mbuf, const wire::Icmp*, ip.header_bytes());
  return !is_icmp_error(icmp->type);
}

bool make_icmp_error(rte_mbuf& mbuf, const IcmpError& error, uint32_t source) {
  constexpr uint16_t kHeaders = sizeof(wire::Ipv4) + sizeof(wire::Icmp);
  if (rte_pktmbuf_headroom(&mbuf) < kHeaders) return false;
  const auto quote = std::min<uint16_t>(mbuf.data_len, kErrorBytes - kHeaders);
  const be32 target = rte_pktmbuf_mtod(&mbuf, const wire::Ipv4*)->source;
  rte_pktmbuf_trim(&mbuf, static_cast<uint16_t>(mbuf.data_len - quote));
  auto* start = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(&mbuf, kHeaders));

  auto& ip = *reinterpret_cast<wire::Ipv4*>(start);
  ip = wire::Ipv4{.version_ihl = 0x45,
                  .tos = kErrorTos,
                  .total_length = be16{mbuf.data_len},
                  .id = be16{0},
                  .fragment = be16{0},
                  .ttl = kOwnTtl,
                  .protocol = wire::ip_protocol::kIcmp,
                  .checksum = be16{0},
                  .source = be32{source},
                  .destination = target};
  set_checksum(ip);
  auto& icmp = *reinterpret_cast<wire::Icmp*>(start + sizeof(wire::Ipv4));
  icmp = wire::Icmp{.type = error.type,
                    .code = error.code,
                    .checksum = be16{0},
                    .word0 = be16{0},
                    .word1 = be16{error.mtu}};
  icmp.checksum = checksum_of(&icmp, sizeof(wire::Icmp) + quote);
  return true;
}

void make_echo_reply6(wire::Ipv6& ip, uint32_t offset) {
  auto& icmp = *reinterpret_cast<wire::Icmp*>(reinterpret_cast<uint8_t*>(&ip) + offset);
  std::swap(ip.source, ip.destination);
  ip.hop_limit = kOwnTtl;
  // Type 128 becomes 129, and the pseudo header's sum does not change: RFC 1624. A request that was
  // damaged on its way stays recognisably so.
  icmp.type = wire::icmp6::kEchoReply;
  const uint32_t sum = uint32_t{icmp.checksum.raw()} + 0xfffe;
  icmp.checksum = be16::from_raw(static_cast<uint16_t>(sum + (sum >> 16)));
}

bool may_send_icmp6_error(const rte_mbuf& mbuf) {
  const auto& ip = *rte_pktmbuf_mtod(&mbuf, const wire::Ipv6*);
  if (is_martian_source6(ip.source) || is_martian_destination6(ip.destination)) return false;
  const Upper6 upper = upper_layer_of(ip);
  if (!upper.whole) return false;
  if (upper.protocol != wire::ip_protocol::kIcmpV6) return true;
  // Of a later fragment nobody can say what it is a part of.
  if (upper.later_fragment || ip.total_length() < upper.offset + sizeof(wire::Icmp)) return false;
  const auto* icmp = rte_pktmbuf_mtod_offset(&mbuf, const wire::Icmp*, upper.offset);
  return icmp->type >= wire::icmp6::kFirstInformational && icmp->type != wire::icmp6::kRedirect;
}

bool make_icmp6_error(rte_mbuf& mbuf, const IcmpError& error, const wire::Address6& source) {
  constexpr uint16_t kHeaders = sizeof(wire::Ipv6) + sizeof(wire::Icmp);
  constexpr uint16_t kErrorBytes6 = 1280;
  if (rte_pktmbuf_headroom(&mbuf) < kHeaders) return false;
  const auto quote = std::min<uint16_t>(mbuf.data_len, kErrorBytes6 - kHeaders);
  const wire::Address6 target = rte_pktmbuf_mtod(&mbuf, const wire::Ipv6*)->source;
  rte_pktmbuf_trim(&mbuf, static_cast<uint16_t>(mbuf.data_len - quote));
  auto* start = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(&mbuf, kHeaders));
  const auto payload = static_cast<uint16_t>(sizeof(wire::Icmp) + quote);
  auto& ip = *reinterpret_cast<wire::Ipv6*>(start);
  ip = wire::Ipv6{.version_class_flow = be32{wire::kIpv6Version},
                  .payload_length = be16{payload},
                  .next_header = wire::ip_protocol::kIcmpV6,
                  .hop_limit = kOwnTtl,
                  .source = source,
                  .destination = target};
  auto& icmp = *reinterpret_cast<wire::Icmp*>(start + sizeof(wire::Ipv6));
  icmp = wire::Icmp{.type = error.type,
                    .code = error.code,
                    .checksum = be16{0},
                    .word0 = be16{0},
                    .word1 = be16{error.mtu}};
  icmp.checksum = be16::from_raw(static_cast<uint16_t>(
      ~checksum_fold(checksum_sum6(source, target, wire::ip_protocol::kIcmpV6, &icmp, payload))));
  return true;
}

}  // namespace hnv
