// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>

namespace hnv {

// A big-endian integer as it lies in a packet: no conversion happens by accident. `value()` is host
// order; construction from host order is explicit. Alignment is 1, so wire structs need no packing.
template <class Int>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  explicit constexpr BigEndian(Int host_order) { *this = from_host(host_order); }

  [[nodiscard]] constexpr Int value() const {
    Int raw = std::bit_cast<Int>(bytes_);
    return swap(raw);
  }
  // The bytes as the processor loads them, for checksums and templates.
  [[nodiscard]] constexpr Int raw() const { return std::bit_cast<Int>(bytes_); }
  [[nodiscard]] static constexpr BigEndian from_raw(Int raw) {
    BigEndian result;
    result.bytes_ = std::bit_cast<Bytes>(raw);
    return result;
  }
  friend constexpr bool operator==(const BigEndian&, const BigEndian&) = default;

 private:
  struct Bytes {
    unsigned char byte[sizeof(Int)];
    friend constexpr bool operator==(const Bytes&, const Bytes&) = default;
  };
  static constexpr Int swap(Int v) {
    static_assert(std::endian::native == std::endian::little);
    if constexpr (sizeof(Int) == 2) return static_cast<Int>(__builtin_bswap16(v));
    if constexpr (sizeof(Int) == 4) return static_cast<Int>(__builtin_bswap32(v));
    if constexpr (sizeof(Int) == 8) return static_cast<Int>(__builtin_bswap64(v));
  }
  static constexpr BigEndian from_host(Int v) { return from_raw(swap(v)); }

  Bytes bytes_{};
};

using be16 = BigEndian<uint16_t>;  // NOLINT(readability-identifier-naming)
using be32 = BigEndian<uint32_t>;  // NOLINT(readability-identifier-naming)
using be64 = BigEndian<uint64_t>;  // NOLINT(readability-identifier-naming)
static_assert(sizeof(be32) == 4 && alignof(be32) == 1);

}  // namespace hnv
