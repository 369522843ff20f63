// SPDX-License-Identifier: Apache-2.0
//
// The provider addresses that lookup records have just moved away from (live migration). For a
// second after a move, frames of the machine that come from its old host are still good.
//
// Open addressing at half load, filled once: a question costs one place as a rule, whether one
// record moved or ten thousand did. A compartment where nothing moved has no table.
#pragma once

#include <cstddef>
#include <vector>

#include "compartments/address.h"

namespace hnv {

struct MovedRecord {
  IpAddress<Space::customer> customer_address;
  IpAddress<Space::provider> provider_address;  // the one before
  friend bool operator==(const MovedRecord&, const MovedRecord&) = default;
};

// Immutable; read by any thread. Duplicates count once.
class MovedRecords {
 public:
  explicit MovedRecords(const std::vector<MovedRecord>& records);

  [[nodiscard]] bool contains(const MovedRecord& record) const;
  [[nodiscard]] size_t size() const { return records_.size(); }
  [[nodiscard]] const std::vector<MovedRecord>& all() const { return records_; }

 private:
  static constexpr uint32_t kNone = 0xffffffff;

  // The place of the record, or the empty one where it would stand.
  [[nodiscard]] size_t place_of(const MovedRecord& record) const;

  std::vector<MovedRecord> records_;
  std::vector<uint32_t> places_;  // a power of two of indexes into records_
};

}  // namespace hnv
