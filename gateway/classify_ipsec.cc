// SPDX-License-Identifier: Apache-2.0
//
// What comes to a VPN address, of both families:
//
//   ESP; UDP 4500 | ESP                       → enter_ipsec
//   UDP 500 | IKE; UDP 4500 | four zeros, IKE → punt, for charon
//   fragments of UDP                          → punt: charon's kernel puts IKE together again
//   UDP 4500 | 0xff                           → consumed
//
// All else is what it would be at any other address.
#include "gateway/stations.h"

namespace hnv {
namespace {

using Out = Exit<Stage::classify>;

constexpr be16 kIke{500};
constexpr be16 kIkeOrEsp{4500};
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kEspHeader = 8;
constexpr uint8_t kKeepalive = 0xff;

void to_charon(Packet<Side::outside> packet, Out out) {
  packet.slot().punt_for = PuntFor::charon;
  out.punt(packet);
}

void to_door(Packet<Side::outside> packet, uint32_t esp, uint32_t bytes, Out out) {
  if (bytes < kEspHeader) return out.drop(packet, DropReason::ipsec_short);
  packet.slot().inner_at = static_cast<uint16_t>(esp);
  out.to<Stage::enter_ipsec>(packet);
}

// RFC 3948 §2: four zero bytes where an SPI would be say IKE; a single 0xff keeps a NAT open.
void classify_encapsulated(Packet<Side::outside> packet, uint32_t at, uint32_t bytes, Out out) {
  if (bytes == 1 && packet.at<uint8_t>(at) == kKeepalive) {
    return out.consume(packet, ConsumeReason::nat_keepalive);
  }
  if (bytes >= sizeof(be32) && packet.at<be32>(at).raw() == 0) return to_charon(packet, out);
  to_door(packet, at, bytes, out);
}

}  // namespace

bool classify_ipsec(Packet<Side::outside> packet, const IpsecCandidate& candidate,
                    Exit<Stage::classify> out) {
  const uint32_t at = candidate.at;
  if (candidate.protocol == wire::ip_protocol::kEsp) {
    if (candidate.fragment) {
      out.drop(packet, DropReason::outer_fragment);
    } else {
      to_door(packet, at, candidate.bytes, out);
    }
    return true;
  }
  if (candidate.protocol != wire::ip_protocol::kUdp) return false;
  if (candidate.fragment) {
    to_charon(packet, out);
    return true;
  }
  if (candidate.bytes < kUdpHeader) return false;
  const be16 port = packet.at<wire::Ports>(at).destination;
  if (port == kIke) {
    to_charon(packet, out);
    return true;
  }
  if (port != kIkeOrEsp) return false;
  classify_encapsulated(packet, at + kUdpHeader, candidate.bytes - kUdpHeader, out);
  return true;
}

}  // namespace hnv
