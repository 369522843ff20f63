// SPDX-License-Identifier: Apache-2.0
#include "gateway/terminate.h"

#include <cstring>
#include <optional>

#include "compartments/ip6_checks.h"
#include "compartments/terminated.h"

namespace hnv {
namespace {

using Out = Exit<Stage::route>;
using Address = Terminated::Address;

constexpr be16 kBgp{179};
constexpr be16 kBfdSingleHop{3784};
constexpr be16 kBfdMultihop{4784};
constexpr uint8_t kFarthest = 255;
constexpr uint32_t kTcpHeader = 20;
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kIcmpHeader = sizeof(wire::Icmp);

Address bytes_of(be32 address) {
  Address bytes{};
  std::memcpy(bytes.data(), &address, sizeof address);
  return bytes;
}

struct Ends {
  Family family = Family::ipv4;
  Address source{}, destination{};
  uint8_t ttl = 0;
};

Ends ends_of(Packet<Side::inside> packet) {
  if (packet.slot().family == Family::ipv4) {
    const auto& ip = packet.at<wire::Ipv4>(0);
    return {Family::ipv4, bytes_of(ip.source), bytes_of(ip.destination), ip.ttl};
  }
  const auto& ip = packet.at<wire::Ipv6>(0);
  return {Family::ipv6, ip.source, ip.destination, ip.hop_limit};
}

// The client's port is its own choice.
bool is_bgp(const wire::Ports& ports) { return ports.source == kBgp || ports.destination == kBgp; }

// RFC 792, RFC 4443 §2.1: of errors, the ones that TCP takes a hint from.
bool is_icmp_error(uint8_t protocol, uint8_t type) {
  if (protocol == wire::ip_protocol::kIcmp) return type == 3 || type == 11 || type == 12;
  return protocol == wire::ip_protocol::kIcmpV6 && type >= 1 && type <= 4;
}

// Of an ICMP error, the segment that it quotes, when that is BGP's and of the address the error
// came to.
std::optional<Ends> quoted_bgp(Packet<Side::inside> packet, const UpperPart& upper,
                               const Ends& error) {
  const uint32_t quote = upper.at + kIcmpHeader;
  const uint32_t bytes = upper.bytes - kIcmpHeader;
  Ends quoted{.family = error.family};
  uint32_t ports = 0;
  if (error.family == Family::ipv4) {
    if (bytes < sizeof(wire::Ipv4)) return std::nullopt;
    const auto& ip = packet.at<wire::Ipv4>(quote);
    if (ip.protocol != wire::ip_protocol::kTcp || ip.is_later_fragment()) return std::nullopt;
    ports = ip.header_bytes();
    quoted.source = bytes_of(ip.source);
    quoted.destination = bytes_of(ip.destination);
  } else {
    if (bytes < sizeof(wire::Ipv6)) return std::nullopt;
    const auto& ip = packet.at<wire::Ipv6>(quote);
    if (ip.next_header != wire::ip_protocol::kTcp) return std::nullopt;
    ports = sizeof(wire::Ipv6);
    quoted.source = ip.source;
    quoted.destination = ip.destination;
  }
  if (bytes < ports + sizeof(wire::Ports) || !is_bgp(packet.at<wire::Ports>(quote + ports)) ||
      quoted.source != error.destination) {
    return std::nullopt;
  }
  return quoted;
}

// Which service the packet asks for.
std::optional<TerminatedService> service_of(Packet<Side::inside> packet, const UpperPart& upper) {
  if (upper.protocol == wire::ip_protocol::kTcp) {
    if (upper.bytes < kTcpHeader || !is_bgp(packet.at<wire::Ports>(upper.at))) return std::nullopt;
    return TerminatedService::bgp;
  }
  if (upper.protocol != wire::ip_protocol::kUdp || upper.bytes < kUdpHeader) return std::nullopt;
  const be16 port = packet.at<wire::Ports>(upper.at).destination;
  if (port == kBfdSingleHop) return TerminatedService::bfd_single_hop;
  if (port == kBfdMultihop) return TerminatedService::bfd_multihop;
  return std::nullopt;
}

// RFC 5082 §3, and RFC 5881 §5 for BFD over a single hop.
uint8_t min_ttl_of(const Terminated::Entry& entry) {
  return entry.service == TerminatedService::bfd_single_hop ? kFarthest : entry.min_ttl;
}

void punt(Packet<Side::inside> packet, const Terminated& terminated, const Terminated::Entry& entry,
          const PuntGate& gate, Out out) {
  if (!terminated.admit(entry, out.worker(), gate.waiting, gate.now)) {
    return out.drop(packet, DropReason::terminated_rate);
  }
  packet.slot().punt_for = PuntFor::terminated;
  out.punt(packet);
}

}  // namespace

bool terminate(Packet<Side::inside> packet, const UpperPart& upper, const PuntGate& gate,
               Exit<Stage::route> out) {
  const Terminated* terminated = packet.slot().compartment->terminated.get();
  if (terminated == nullptr) return false;
  const Ends ends = ends_of(packet);
  const Terminated::Entry* entry = nullptr;
  if (const auto service = service_of(packet, upper)) {
    entry = terminated->find(*service, ends.family, ends.source, ends.destination);
    // What has come farther than the peer is cannot be the peer's. Before its meter, which is the
    // peer's.
    if (entry != nullptr && ends.ttl < min_ttl_of(*entry)) {
      out.drop(packet, DropReason::terminated_ttl);
      return true;
    }
  } else if (upper.bytes >= kIcmpHeader &&
             is_icmp_error(upper.protocol, packet.at<wire::Icmp>(upper.at).type)) {
    if (const auto quoted = quoted_bgp(packet, upper, ends)) {
      entry = terminated->find(TerminatedService::bgp, ends.family, quoted->destination,
                               quoted->source);
    }
  }
  if (entry == nullptr) return false;
  punt(packet, *terminated, *entry, gate, out);
  return true;
}

}  // namespace hnv
