// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/support/fake_mbufs.h"

namespace hnv {

// Bytes that decide: what is missing reads as zero.
class Choices {
 public:
  Choices(const uint8_t* bytes, size_t size) : at_(bytes), left_(size) {}
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }
  uint16_t word() { return static_cast<uint16_t>(byte() << 8 | byte()); }
  [[nodiscard]] bool one_in(unsigned n) { return byte() % n == n - 1; }
  template <class T, size_t N>
  const T& among(const T (&values)[N]) {
    return values[byte() % N];
  }
  Bytes rest(size_t most) {
    const size_t n = most < left_ ? most : left_;
    Bytes out(at_, at_ + n);
    at_ += n;
    left_ -= n;
    return out;
  }

 private:
  const uint8_t* at_;
  size_t left_;
};

}  // namespace hnv
