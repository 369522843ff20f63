// SPDX-License-Identifier: Apache-2.0
#include "compartments/record_lookup.h"

#include <cassert>
#include <immintrin.h>

namespace hnv {
namespace {

constexpr unsigned kTagMask = 0x7fffffff;  // the 31 tags of a page's first line, without meta

// Bit i is set when tag i of the line is `tag`.
using Matches = unsigned (*)(const void* line, uint16_t tag);

[[gnu::always_inline]] inline unsigned matches_avx2(const void* line, uint16_t tag) {
  const __m256i wanted = _mm256_set1_epi16(static_cast<int16_t>(tag));
  const auto* halves = static_cast<const __m256i*>(line);
  const __m256i low = _mm256_cmpeq_epi16(_mm256_load_si256(halves), wanted);
  const __m256i high = _mm256_cmpeq_epi16(_mm256_load_si256(halves + 1), wanted);
  // The pack works in 128-bit lanes; the permutation puts its quarters back in order.
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
  return static_cast<unsigned>(_mm256_movemask_epi8(packed)) & kTagMask;
}

[[gnu::target("avx512f,avx512bw")]] inline unsigned matches_avx512(const void* line, uint16_t tag) {
  const __m512i wanted = _mm512_set1_epi16(static_cast<int16_t>(tag));
  return _mm512_cmpeq_epi16_mask(_mm512_load_si512(line), wanted) & kTagMask;
}

}  // namespace

struct RecordLookupWalk {
  template <Matches kMatches>
  [[gnu::always_inline]] static inline void settle(RecordLookup& lookup) {
    Scratch<const CustomerMap::Page*, RecordLookup::kVector> pages;
    for (unsigned j = 0; j < lookup.many_; ++j) {
      pages[j] = *lookup.slots_[j];
      __builtin_prefetch(pages[j]);
    }
    for (unsigned j = 0; j < lookup.many_; ++j) {
      const unsigned mask = kMatches(pages[j], lookup.tags_[j]);
      const CustomerRecord* record = pages[j]->records() + (std::countr_zero(mask) & 31);
      lookup.candidates_[lookup.asked_[j]] = mask == 0 ? nullptr : record;
      // Without a match the line behind the tags is fetched in vain, which costs less than a
      // branch.
      __builtin_prefetch(record);
    }
  }
  static void avx2(RecordLookup& lookup) { settle<matches_avx2>(lookup); }
  [[gnu::target("avx512f,avx512bw")]] static void avx512(RecordLookup& lookup) {
    settle<matches_avx512>(lookup);
  }
  [[nodiscard]] static bool has_avx512() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
  }
};

void (*const RecordLookup::kSettle)(RecordLookup&) = RecordLookupWalk::has_avx512()
                                                         ? RecordLookupWalk::avx512
                                                         : RecordLookupWalk::avx2;

bool RecordLookup::settle(Variant variant) {
  if (variant == Variant::avx512 && !RecordLookupWalk::has_avx512()) return false;
  variant == Variant::avx512 ? RecordLookupWalk::avx512(*this) : RecordLookupWalk::avx2(*this);
  return true;
}

void find_bulk(const CustomerMap::Reader* const* readers, const CaKey* keys,
               const CustomerRecord** out, unsigned n) {
  assert(n <= RecordLookup::kVector);
  RecordLookup lookup;
  for (unsigned i = 0; i < n; ++i) lookup.ask(i, *readers[i], keys[i]);
  lookup.settle();
  for (unsigned i = 0; i < n; ++i) out[i] = lookup.answer(i, *readers[i], keys[i]);
}

}  // namespace hnv
