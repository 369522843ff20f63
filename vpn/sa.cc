// SPDX-License-Identifier: Apache-2.0
#include "vpn/sa.h"

#include <cstring>
#include <utility>

#include "compartments/checksum.h"
#include "compartments/ecn.h"
#include "compartments/wire.h"
#include "vpn/selectors.h"

namespace hnv {
namespace {

constexpr uint8_t kTimeToLive = 64;
constexpr uint8_t kDscpMask = 0xfc;

void put(uint8_t* at, uint16_t value) {
  const be16 wire{value};
  std::memcpy(at, &wire, sizeof wire);
}

uint8_t write_ipv4(const SaSpec& spec, uint8_t* at) {
  wire::Ipv4 ip;
  ip.version_ihl = 0x45;
  ip.ttl = kTimeToLive;
  ip.protocol = spec.encapsulation == SaEncapsulation::udp ? wire::ip_protocol::kUdp
                                                           : wire::ip_protocol::kEsp;
  ip.source = be32{spec.source.address.v4().value()};
  ip.destination = be32{spec.destination.address.v4().value()};
  std::memcpy(at, &ip, sizeof ip);
  return sizeof ip;
}

uint8_t write_ipv6(const SaSpec& spec, uint8_t* at) {
  wire::Ipv6 ip;
  ip.version_class_flow = be32{wire::kIpv6Version};
  ip.next_header = spec.encapsulation == SaEncapsulation::udp ? wire::ip_protocol::kUdp
                                                              : wire::ip_protocol::kEsp;
  ip.hop_limit = kTimeToLive;
  ip.source = spec.source.address.bytes();
  ip.destination = spec.destination.address.bytes();
  std::memcpy(at, &ip, sizeof ip);
  return sizeof ip;
}

}  // namespace

std::shared_ptr<const Sa> make_sa(uint64_t uid, SaSpec spec, std::shared_ptr<SaState> state) {
  auto sa = std::make_shared<Sa>();
  const bool outbound = spec.direction == SaDirection::outbound;
  sa->state = state.get();
  sa->state_owner = std::move(state);
  sa->uid = uid;
  sa->if_id = spec.if_id;
  sa->spi = spec.spi;
  sa->local = outbound ? spec.source.address : spec.destination.address;
  sa->format = esp_format_of(spec.cipher, spec.integrity);
  sa->outer_ipv6 = !spec.destination.address.is_v4();
  sa->udp = spec.encapsulation == SaEncapsulation::udp;
  sa->copy_df = spec.copy_df;
  sa->copy_ecn = spec.copy_ecn;
  sa->class_bits =
      static_cast<uint8_t>((spec.copy_ecn ? kEcnMask : 0) | (spec.copy_dscp ? kDscpMask : 0));
  sa->extended = spec.sequence == SaSequence::extended;
  sa->random_iv = spec.integrity != SaIntegrity::none;
  sa->covers_all_ipv4 = covers_all(spec, Family::ipv4);
  sa->covers_all_ipv6 = covers_all(spec, Family::ipv6);
  uint8_t* at = sa->header.data();
  at += sa->outer_ipv6 ? write_ipv6(spec, at) : write_ipv4(spec, at);
  if (!sa->outer_ipv6) {
    sa->header_sum = checksum_fold(checksum_sum(sa->header.data(), sizeof(wire::Ipv4)));
  }
  if (sa->udp) {
    put(at, spec.source.port);
    put(at + 2, spec.destination.port);
    at += 8;
  }
  sa->esp_at = static_cast<uint8_t>(at - sa->header.data());
  const be32 spi{spec.spi};
  std::memcpy(at, &spi, sizeof spi);
  sa->spec = std::move(spec);
  return sa;
}

}  // namespace hnv
