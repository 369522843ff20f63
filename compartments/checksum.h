// SPDX-License-Identifier: Apache-2.0
//
// The internet checksum (RFC 1071), in the processor's byte order throughout: sums of raw 16-bit
// words, so that no byte is swapped. An incremental change follows RFC 1624.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "compartments/wire.h"

namespace hnv {

[[nodiscard]] constexpr uint16_t checksum_fold(uint64_t sum) {
  const auto upper = static_cast<uint32_t>(sum >> 32);
  uint32_t half = static_cast<uint32_t>(sum) + upper;
  half += half < upper ? 1 : 0;
  // Both halves of the word added, in its upper one: the lower one's carry is the end-around carry.
  return static_cast<uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// The sum of `bytes` bytes, an odd last one padded with zero. Not folded, not complemented.
[[nodiscard]] inline uint64_t checksum_sum(const void* start, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(start);
  uint64_t sum = 0;
  for (; bytes >= 4; bytes -= 4, at += 4) {
    uint32_t word = 0;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  uint32_t tail = 0;
  std::memcpy(&tail, at, bytes);
  return sum + tail;
}

// The sum of an IPv4 header without options.
[[nodiscard, gnu::always_inline]] inline uint64_t checksum_sum(const wire::Ipv4& header) {
  uint64_t low = 0;
  uint64_t middle = 0;
  uint32_t high = 0;
  const auto* at = reinterpret_cast<const uint8_t*>(&header);
  std::memcpy(&low, at, 8);
  std::memcpy(&middle, at + 8, 8);
  std::memcpy(&high, at + 16, 4);
  return (low & 0xffffffff) + (low >> 32) + (middle & 0xffffffff) + (middle >> 32) + high;
}

[[nodiscard]] inline be16 checksum_of(const void* start, size_t bytes) {
  return be16::from_raw(static_cast<uint16_t>(~checksum_fold(checksum_sum(start, bytes))));
}

// True when a received IPv4 header's checksum is right. REQUIRES header_bytes() readable bytes.
[[nodiscard, gnu::always_inline]] inline bool checksum_right(const wire::Ipv4& header) {
  const unsigned bytes = header.header_bytes();
  const uint64_t sum = bytes == sizeof header ? checksum_sum(header) : checksum_sum(&header, bytes);
  return checksum_fold(sum) == 0xffff;
}

inline void set_checksum(wire::Ipv4& header) {
  header.checksum = be16{0};
  header.checksum = checksum_of(&header, header.header_bytes());
}

// The sum over an upper-layer packet and its pseudo header (RFC 8200 §8.1). `bytes` are those of
// the upper layer; its own checksum is among them.
[[nodiscard]] inline uint64_t checksum_sum6(const wire::Address6& source,
                                            const wire::Address6& destination, uint8_t protocol,
                                            const void* upper, uint32_t bytes) {
  return checksum_sum(source.data(), source.size()) +
         checksum_sum(destination.data(), destination.size()) + be32{bytes}.raw() +
         be32{protocol}.raw() + checksum_sum(upper, bytes);
}

// Another traffic class, checksum kept right (RFC 1624, equation 3). The class is the second byte
// of its word.
inline void set_tos(wire::Ipv4& header, uint8_t tos) {
  const uint32_t sum = static_cast<uint16_t>(~header.checksum.raw()) +
                       static_cast<uint16_t>(~(uint32_t{header.tos} << 8)) + (uint32_t{tos} << 8);
  header.checksum = be16::from_raw(static_cast<uint16_t>(~checksum_fold(sum)));
  header.tos = tos;
}

// One hop less, checksum kept right (RFC 1141: the high byte of the word loses one, so the
// complemented sum gains 0x0100 in network order, which is 1 in the low byte as we load it).
inline void decrement_ttl(wire::Ipv4& header) {
  --header.ttl;
  const uint32_t sum = uint32_t{header.checksum.raw()} + 1;
  header.checksum = be16::from_raw(static_cast<uint16_t>(sum + (sum >> 16)));
}
// Takes a decrement back, to the bit: of the two zeros of one's complement a sender writes 0x0000.
inline void increment_ttl(wire::Ipv4& header) {
  ++header.ttl;
  const uint32_t sum = uint32_t{header.checksum.raw()} + 0xfffe;
  const auto folded = static_cast<uint16_t>(sum + (sum >> 16));
  header.checksum = be16::from_raw(folded == 0xffff ? uint16_t{0} : folded);
}

}  // namespace hnv
