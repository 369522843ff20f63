// SPDX-License-Identifier: Apache-2.0
//
// A frame, field by field, and two frames side by side: what a failing case prints.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tests/support/fake_mbufs.h"

namespace hnv {

struct Field {
  std::string name;   // "outer.ip.ttl"
  std::string value;  // "64"
};

// Never fails: what cannot be taken apart is hexadecimal.
[[nodiscard]] std::vector<Field> fields_of(std::span<const uint8_t> frame);

// Both frames' fields, one a line, '!' where they differ. Empty when the frames are equal.
[[nodiscard]] std::string difference(std::span<const uint8_t> expected,
                                     std::span<const uint8_t> actual);

}  // namespace hnv
