// SPDX-License-Identifier: Apache-2.0
//
// What the packet fuzzers share: the twin tenants' line, one frame at a time, and what must hold
// whatever the frame was. The ledger balances, no buffer is lost, and what leaves in one tenant's
// name (its VSID, its VLAN, its MAC on the shared network) came in in the same tenant's name: read
// off the frames themselves, not asked of the line.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/support/twin_tenants.h"

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

class FuzzWorld {
 public:
  FuzzWorld();
  // Dies when something does not hold.
  void send(unsigned port, Bytes frame);

 private:
  TestDataplane network_;
  TestLine line_;
};

// One for the process: every input meets it as the one before has left it, but for time.
[[nodiscard]] FuzzWorld& fuzz_world();

// Spoils up to three bytes, mends nothing: what the structured fuzzers do at their end.
void spoil(Bytes& frame, Choices& choices);

}  // namespace hnv
