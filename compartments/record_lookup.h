// SPDX-License-Identifier: Apache-2.0
//
// CustomerMap::find for a vector of packets, in passes that the caller's own loops carry:
//
//   ask(i)      for each: hashes the key, fetches what is read next
//   settle()    once: the steps between, for those whose map is not small
//   answer(i)   for each: the record, or null
//
// The memory accesses of all packets overlap. A domain of few records has their tags in its Reader,
// and `ask` fetches the record itself.
#pragma once

#include <bit>
#include <cstdint>

#include "compartments/customer_map.h"
#include "compartments/scratch.h"

namespace hnv {

class RecordLookup {
 public:
  static constexpr unsigned kVector = 64;

  // REQUIRES i < kVector, each i once.
  [[gnu::always_inline]] void ask(unsigned i, const CustomerMap::Reader& reader, const CaKey& key) {
    const uint64_t hash = secret_hash(key);
    const uint16_t tag = CustomerMap::tag_of(hash);
    // The lowest byte that equals the tag, if any: the zero among the differences.
    constexpr uint64_t kOnes = 0x0101010101010101;
    const uint64_t differs = reader.few_tags_ ^ CustomerMap::few_tag_of(tag) * kOnes;
    const uint64_t zeros = (differs - kOnes) & ~differs & (kOnes << 7);
    const auto place = static_cast<unsigned>(std::countr_zero(zeros)) >> 3;
    // Which shape a map has cannot be foreseen where domains are small and large: no branches.
    const CustomerRecord* record = zeros == 0 ? nullptr : reader.page()->records() + place;
    candidates_[i] = record;
    __builtin_prefetch(zeros == 0 ? static_cast<const void*>(&reader) : record);
    tags_[many_] = tag;
    slots_[many_] = reader.slot_of(hash);
    asked_[many_] = static_cast<uint8_t>(i);
    __builtin_prefetch(slots_[many_]);
    many_ += reader.few_tags_ == 0 ? 1 : 0;
  }
  void settle() {
    if (many_ != 0) kSettle(*this);
  }
  // What `ask(i, reader, key)` was about.
  [[nodiscard, gnu::always_inline]] const CustomerRecord* answer(unsigned i,
                                                                 const CustomerMap::Reader& reader,
                                                                 const CaKey& key) const {
    const CustomerRecord* record = candidates_[i];
    if (record == nullptr || record->holds(key)) [[likely]] {
      return record;
    }
    return reader.find(key);  // another record has the same tag
  }

  // The variants of `settle`, for tests that compare them.
  enum class Variant : uint8_t { avx2, avx512 };
  // False, and nothing done: not on this processor.
  [[nodiscard]] bool settle(Variant variant);

 private:
  friend struct RecordLookupWalk;
  static void (*const kSettle)(RecordLookup&);

  Scratch<const CustomerRecord*, kVector> candidates_;  // the first whose tag is right
  // Those whose map is not small.
  unsigned many_ = 0;
  Scratch<const CustomerMap::Page* const*, kVector + 1> slots_;
  Scratch<uint16_t, kVector + 1> tags_;
  Scratch<uint8_t, kVector + 1> asked_;
};

}  // namespace hnv
