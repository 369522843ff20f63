// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

// RFC 1071 §4.1, word by word.
uint16_t folded_step_by_step(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

TEST(Checksum, FoldsAsRfc1071) {
  const uint64_t edges[] = {0, 1, 0xfffe, 0xffff, 0x10000, 0xffff0000, 0xfffffffe, 0xffffffff};
  for (const uint64_t low : edges) {
    for (const uint64_t high : edges) {
      const uint64_t sum = high << 32 | low;
      EXPECT_EQ(checksum_fold(sum), folded_step_by_step(sum)) << std::hex << sum;
    }
  }
  Random random(5);
  for (int i = 0; i < 100000; ++i) {
    const uint64_t sum = (uint64_t{random()} << 32 | random()) >> random() % 64;
    ASSERT_EQ(checksum_fold(sum), folded_step_by_step(sum)) << std::hex << sum;
  }
}

TEST(Checksum, OfTheExampleOfRfc1071) {
  constexpr uint8_t kWords[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum_of(kWords, sizeof kWords).value(), 0x220d);
}

}  // namespace
}  // namespace hnv
