// SPDX-License-Identifier: Apache-2.0
#include "compartments/moved_records.h"

#include <bit>

#include "compartments/customer_map.h"

namespace hnv {

MovedRecords::MovedRecords(const std::vector<MovedRecord>& records)
    : places_(std::bit_ceil(2 * records.size() + 2), kNone) {
  records_.reserve(records.size());
  for (const MovedRecord& record : records) {
    uint32_t& place = places_[place_of(record)];
    if (place != kNone) continue;
    place = static_cast<uint32_t>(records_.size());
    records_.push_back(record);
  }
}

// Few addresses of one machine are in its past second, so the customer address is hash enough.
size_t MovedRecords::place_of(const MovedRecord& record) const {
  const size_t mask = places_.size() - 1;
  size_t at = secret_hash(CaKey(record.customer_address)) & mask;
  while (places_[at] != kNone && !(records_[places_[at]] == record)) at = (at + 1) & mask;
  return at;
}

bool MovedRecords::contains(const MovedRecord& record) const {
  return places_[place_of(record)] != kNone;
}

}  // namespace hnv
