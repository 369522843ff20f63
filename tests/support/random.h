// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hnv {

// Repeatable numbers for tests and benchmarks: a Weyl sequence through a 64-bit mixer.
class Random {
 public:
  explicit constexpr Random(uint64_t seed) : state_(seed) {}
  constexpr uint32_t operator()() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return static_cast<uint32_t>(z >> 32);
  }
  // 0..n-1, or 0 when n is 0.
  constexpr uint32_t below(uint64_t n) { return static_cast<uint32_t>(operator()() * n >> 32); }

 private:
  uint64_t state_;
};

}  // namespace hnv
