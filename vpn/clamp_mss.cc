// SPDX-License-Identifier: Apache-2.0
#include "vpn/clamp_mss.h"

#include <algorithm>
#include <cstring>

#include "compartments/checksum.h"
#include "compartments/ip6_checks.h"

namespace hnv {
namespace {

constexpr uint32_t kTcp = 20;  // bytes of the header without options
constexpr uint32_t kDataOffset = 12;
constexpr uint32_t kFlags = 13;
constexpr uint32_t kChecksum = 16;
constexpr uint8_t kSyn = 2;

uint16_t read16(const uint8_t* at) {
  be16 value;
  std::memcpy(&value, at, sizeof value);
  return value.value();
}
void write16(uint8_t* at, uint16_t value) {
  const be16 wire{value};
  std::memcpy(at, &wire, sizeof wire);
}

// RFC 1624, equation 3. An option at an odd place lies in two words of the sum: their bytes change
// places in it.
void replace(uint8_t* tcp, uint32_t place, uint16_t value) {
  const bool odd = (place & 1) != 0;
  const auto as_summed = [odd](uint16_t v) { return odd ? __builtin_bswap16(v) : v; };
  const uint32_t sum = static_cast<uint16_t>(~read16(tcp + kChecksum)) +
                       static_cast<uint16_t>(~as_summed(read16(tcp + place))) +
                       uint32_t{as_summed(value)};
  write16(tcp + place, value);
  write16(tcp + kChecksum, static_cast<uint16_t>(~checksum_fold(sum)));
}

void clamp(uint8_t* tcp, uint32_t bytes, uint16_t largest) {
  constexpr uint8_t kEnd = 0;
  constexpr uint8_t kNothing = 1;
  constexpr uint8_t kMss = 2;
  if (bytes < kTcp || (tcp[kFlags] & kSyn) == 0) return;
  const uint32_t header = std::min<uint32_t>((tcp[kDataOffset] >> 4) * 4U, bytes);
  for (uint32_t i = kTcp; i + 1 < header;) {
    if (tcp[i] == kEnd) return;
    if (tcp[i] == kNothing) {
      ++i;
      continue;
    }
    const uint8_t length = tcp[i + 1];
    if (length < 2 || i + length > header) return;
    if (tcp[i] == kMss && length == 4) {
      if (read16(tcp + i + 2) > largest) replace(tcp, i + 2, largest);
      return;
    }
    i += length;
  }
}

}  // namespace

void clamp_mss(wire::Ipv4& ip, uint16_t mtu) {
  if (ip.protocol != wire::ip_protocol::kTcp || ip.is_later_fragment() || mtu <= 40) return;
  clamp(reinterpret_cast<uint8_t*>(&ip) + ip.header_bytes(),
        ip.total_length.value() - ip.header_bytes(), static_cast<uint16_t>(mtu - 40));
}

void clamp_mss(wire::Ipv6& ip, uint16_t mtu) {
  const Upper6 upper = upper_layer_of(ip);
  if (upper.protocol != wire::ip_protocol::kTcp || !upper.whole || upper.later_fragment ||
      mtu <= 60) {
    return;
  }
  clamp(reinterpret_cast<uint8_t*>(&ip) + upper.offset, ip.total_length() - upper.offset,
        static_cast<uint16_t>(mtu - 60));
}

}  // namespace hnv
