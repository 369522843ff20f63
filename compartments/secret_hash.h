// SPDX-License-Identifier: Apache-2.0
//
// A hash of customer addresses and of flows, keyed by secret numbers of this process: tenants
// choose their addresses, and who chooses keys must not choose their hashes. Not linear. (A CRC is
// linear: two keys that collide under one seed collide under every seed.)
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "compartments/address.h"

namespace hnv {

// A customer address as a key: 16 bytes in network order (IPv4 in the first four) and the family.
class CaKey {
 public:
  constexpr CaKey() = default;
  explicit constexpr CaKey(CaAddress a) : words_{__builtin_bswap32(a.value()), 0} {}
  explicit CaKey(const IpAddress<Space::customer>& a) : CaKey(a.bytes(), a.family()) {}
  CaKey(const std::array<uint8_t, 16>& network_order, Family family) : family_(family) {
    std::memcpy(words_.data(), network_order.data(), sizeof words_);
  }
  [[nodiscard]] constexpr const std::array<uint64_t, 2>& words() const { return words_; }
  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] IpAddress<Space::customer> address() const {
    std::array<uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), words_.data(), sizeof words_);
    if (family_ == Family::ipv6) return CaAddress6(bytes);
    return CaAddress(__builtin_bswap32(static_cast<uint32_t>(words_[0])));
  }
  friend constexpr bool operator==(const CaKey&, const CaKey&) = default;

 private:
  std::array<uint64_t, 2> words_{};
  Family family_ = Family::ipv4;
};

// The secret of this process, drawn before main.
extern const std::array<uint64_t, 4> kHashSecret;

// Two keyed products. The first is NH (Black et al., UMAC, 1999): over the choice of the secret,
// two keys collide in its 128 bits with probability 2^-64 at most; the second spreads it over all
// bits. `kind` keeps keys apart that mean different things.
[[nodiscard, gnu::always_inline]] inline uint64_t secret_hash(uint64_t a, uint64_t b,
                                                              uint64_t kind) {
  using Wide = unsigned __int128;
  const Wide nh = Wide{a + kHashSecret[0]} * static_cast<uint64_t>(b + kHashSecret[1]);
  const uint64_t low = static_cast<uint64_t>(nh) ^ kHashSecret[2] ^ kind;
  const Wide spread = Wide{low} * (static_cast<uint64_t>(nh >> 64) ^ kHashSecret[3]);
  return static_cast<uint64_t>(spread) ^ static_cast<uint64_t>(spread >> 64);
}
[[nodiscard, gnu::always_inline]] inline uint64_t secret_hash(const CaKey& key) {
  return secret_hash(key.words()[0], key.words()[1], static_cast<uint64_t>(key.family()));
}

}  // namespace hnv
