// SPDX-License-Identifier: Apache-2.0
//
// One IPsec security association as IKE negotiated it: what the ESP transform is made from. Pure
// values; the keys are shared by all copies and wiped with the last.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "compartments/address.h"
#include "compartments/clock.h"
#include "compartments/secret_bytes.h"

namespace hnv {

enum class SaDirection : uint8_t { inbound, outbound };
enum class SaCipher : uint8_t {
  aes_gcm,            // RFC 4106, ICV of 16 bytes; key of 16, 24 or 32 bytes
  chacha20_poly1305,  // RFC 7634; key of 32 bytes
  aes_cbc,            // RFC 3602; key of 16, 24 or 32 bytes
  triple_des_cbc,     // RFC 2451; key of 24 bytes (rras-legacy)
};
enum class SaIntegrity : uint8_t {
  none,             // the cipher authenticates itself
  hmac_sha1_96,     // RFC 2404 (rras-legacy); key of 20 bytes
  hmac_sha256_128,  // RFC 4868; 32 bytes
  hmac_sha384_192,  // 48 bytes
  hmac_sha512_256,  // 64 bytes
};
enum class SaEncapsulation : uint8_t { none, udp };    // RFC 3948
enum class SaSequence : uint8_t { bits32, extended };  // RFC 4303 §2.2.1

[[nodiscard]] std::string_view to_string(SaCipher cipher);
[[nodiscard]] std::string_view to_string(SaIntegrity integrity);

struct SaEndpoint {
  IpAddress<Space::external> address;
  uint16_t port = 0;  // of UDP encapsulation; 0, 500 or 4500 without it
  friend bool operator==(const SaEndpoint&, const SaEndpoint&) = default;
};

// What may pass on one side of the tunnel (RFC 7296 §3.13.1): both ends of each range are included.
struct SaSelector {
  IpAddress<Space::customer> from;
  IpAddress<Space::customer> to;  // of from's family
  uint8_t protocol = 0;           // 0: any
  uint16_t from_port = 0;
  uint16_t to_port = 65535;
  friend bool operator==(const SaSelector&, const SaSelector&) = default;
};

struct SaKeys {
  SecretBytes encryption;  // without the salt
  SecretBytes salt;        // 4 bytes for aes_gcm and chacha20_poly1305, else empty
  SecretBytes integrity;   // empty with SaIntegrity::none
};

// 0 means none in each.
struct SaVolumes {
  uint64_t soft_bytes = 0;
  uint64_t hard_bytes = 0;
  uint64_t soft_packets = 0;
  uint64_t hard_packets = 0;
};

struct SaSpec {
  SaDirection direction = SaDirection::inbound;
  uint32_t spi = 0;    // host order; inbound: the low bits are SaTable's index
  uint32_t if_id = 0;  // which tunnel
  SaEndpoint source;   // of the outer packets
  SaEndpoint destination;
  SaEncapsulation encapsulation = SaEncapsulation::none;
  SaCipher cipher = SaCipher::aes_gcm;
  SaIntegrity integrity = SaIntegrity::none;
  SaSequence sequence = SaSequence::bits32;
  uint32_t replay_window = 0;  // packets; inbound
  bool copy_df = false;        // of the inner header into the outer
  bool copy_ecn = true;        // RFC 6040
  bool copy_dscp = false;      // RFC 2983: outbound, into the outer header
  SaVolumes volumes;
  // As the packets go: outbound, source selectors are the tenant's and destination ones the site's.
  std::vector<SaSelector> source_selectors;
  std::vector<SaSelector> destination_selectors;
  std::shared_ptr<const SaKeys> keys;  // never null in an SaTable
};

// What an SA carried so far; counted by the dataplane.
struct SaUse {
  uint64_t bytes = 0;  // of inner packets
  uint64_t packets = 0;
  Instant last;
};

}  // namespace hnv
