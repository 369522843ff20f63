// SPDX-License-Identifier: Apache-2.0
#include "compartments/customer_map.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <immintrin.h>
#include <new>
#include <stdexcept>
#include <sys/random.h>
#include <utility>

#include "compartments/scratch.h"

namespace hnv {
namespace {

constexpr unsigned kVector = 64;
constexpr unsigned kTagMask = 0x7fffffff;  // the 31 tags of a page's first line, without meta

// The secret of this process, drawn before main: who knows it could fill one page with chosen keys.
const std::array<uint64_t, 4> kHashSecret = [] {
  std::array<uint64_t, 4> secret{};
  if (getrandom(secret.data(), sizeof secret, 0) != sizeof secret) {
    throw std::runtime_error("the operating system gave no random bytes (getrandom)");
  }
  return secret;
}();

struct Product {
  uint64_t low, high;
};
Product multiply(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return {static_cast<uint64_t>(product), static_cast<uint64_t>(product >> 64)};
}

// Two keyed products. The first is NH (Black et al., UMAC, 1999): over the choice of the secret,
// two keys collide in its 128 bits with probability 2^-64 at most; the second spreads it over all
// bits.
uint64_t hash_of(const CaKey& key) {
  const Product nh = multiply(key.words()[0] + kHashSecret[0], key.words()[1] + kHashSecret[1]);
  const Product spread = multiply(nh.low ^ kHashSecret[2] ^ static_cast<uint64_t>(key.family()),
                                  nh.high ^ kHashSecret[3]);
  return spread.low ^ spread.high;
}

// The directory takes the top bits of the hash, the tag the lowest. 0 marks an unused place.
uint16_t tag_of(uint64_t hash) {
  const auto low = static_cast<uint16_t>(hash);
  return low == 0 ? uint16_t{1} : low;
}

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

bool holds(const CustomerRecord& record, const CaKey& key) {
  std::array<uint64_t, 2> words;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::memcpy(words.data(), record.ca.data(), sizeof words);
  return words[0] == key.words()[0] && words[1] == key.words()[1] &&
         record.ca_family == key.family();
}

}  // namespace

uint64_t secret_hash(const CaKey& key) { return hash_of(key); }

// ---- Reading.

const CustomerMap::Page CustomerMap::kEmptyPage{};

struct CustomerMapWalk {
  using Page = CustomerMap::Page;

  // Of a vector. Each loop fetches what the next one reads.
  template <Matches kMatches>
  [[gnu::always_inline]] static inline void bulk(const CustomerMap::Reader* const* readers,
                                                 const CaKey* keys, const CustomerRecord** out,
                                                 unsigned n) {
    assert(n <= kVector);
    Scratch<const Page* const*, kVector> slots;
    Scratch<const Page*, kVector> pages;
    Scratch<uint32_t, kVector> masks;
    Scratch<uint16_t, kVector> tags;
    for (unsigned i = 0; i < n; ++i) {
      const uint64_t hash = hash_of(keys[i]);
      tags[i] = tag_of(hash);
      slots[i] = readers[i]->slot_of(hash);
      __builtin_prefetch(slots[i]);
    }
    for (unsigned i = 0; i < n; ++i) {
      pages[i] = *slots[i];
      __builtin_prefetch(pages[i]);
    }
    for (unsigned i = 0; i < n; ++i) {
      masks[i] = kMatches(pages[i], tags[i]);
      // Without a match the line behind the tags is fetched in vain, which costs less than a
      // branch.
      __builtin_prefetch(pages[i]->records() + (std::countr_zero(masks[i]) & 31));
    }
    for (unsigned i = 0; i < n; ++i) out[i] = verify(*pages[i], masks[i], keys[i]);
  }
  static void avx2(const CustomerMap::Reader* const* readers, const CaKey* keys,
                   const CustomerRecord** out, unsigned n) {
    bulk<matches_avx2>(readers, keys, out, n);
  }
  [[gnu::target("avx512f,avx512bw")]] static void avx512(const CustomerMap::Reader* const* readers,
                                                         const CaKey* keys,
                                                         const CustomerRecord** out, unsigned n) {
    bulk<matches_avx512>(readers, keys, out, n);
  }

  // The candidate that the bits of `mask` name and whose key is right. Two tags of a page are equal
  // by chance once in 65,535, so the loop runs once.
  static const CustomerRecord* verify(const Page& page, unsigned mask, const CaKey& key) {
    for (; mask != 0; mask &= mask - 1) {
      const CustomerRecord* record = page.records() + std::countr_zero(mask);
      if (holds(*record, key)) return record;
    }
    return nullptr;
  }

  static const CustomerRecord* find(const Page& page, uint64_t hash, const CaKey& key) {
    return verify(page, matches_avx2(&page, tag_of(hash)), key);
  }

  // ---- Changing pages in place, for the editor.

  static std::shared_ptr<Page> new_page(unsigned records, unsigned depth) {
    const auto log_lines = static_cast<unsigned>(std::bit_width(std::max(records, 1U)));
    void* memory = ::operator new (sizeof(Page) << log_lines, std::align_val_t{alignof(Page)});
    auto* page = new (memory) Page;
    page->meta = static_cast<uint16_t>(log_lines << 5 | depth << 8);
    return {page, [](Page* old) { ::operator delete (old, std::align_val_t{alignof(Page)}); }};
  }
  static void append(Page& page, uint16_t tag, const CustomerRecord& record) {
    assert(page.count() < page.capacity());
    page.tags[page.count()] = tag;
    new (page.records() + page.count()) CustomerRecord(record);
    ++page.meta;
  }
  static void remove(Page& page, unsigned i) {
    const unsigned last = page.count() - 1;
    page.tags[i] = page.tags[last];
    page.records()[i] = page.records()[last];
    page.tags[last] = 0;
    --page.meta;
  }
};

const CustomerRecord* CustomerMap::find(const CaKey& key) const {
  const uint64_t hash = hash_of(key);
  return CustomerMapWalk::find(**slot_of(hash), hash, key);
}

FindBulk find_variant(FindVariant variant) {
  switch (variant) {
    case FindVariant::avx2:
      return CustomerMapWalk::avx2;
    case FindVariant::avx512:
      __builtin_cpu_init();
      if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0) {
        return CustomerMapWalk::avx512;
      }
      return nullptr;
  }
  return nullptr;
}

namespace {
const FindBulk kFastestBulk = [] {
  const FindBulk wide = find_variant(FindVariant::avx512);
  return wide != nullptr ? wide : find_variant(FindVariant::avx2);
}();
}  // namespace

void find_bulk(const CustomerMap::Reader* const* readers, const CaKey* keys,
               const CustomerRecord** out, unsigned n) {
  kFastestBulk(readers, keys, out, n);
}

size_t CustomerMap::bytes() const {
  constexpr size_t kPageOwner = 48;  // a shared_ptr's control block, as the heap rounds it
  size_t total = sizeof *this + large_.capacity() * sizeof(void*) + owners_.bytes();
  const size_t slots = size_t{1} << (63 - shift_);
  for (size_t slot = 0; slot < slots; slot += slots >> directory_[slot]->depth()) {
    total += (sizeof(Page) << directory_[slot]->log_lines()) + kPageOwner;
  }
  return total;
}

// ---- Changing.

CustomerMap::Editor::Editor(const CustomerMap& base)
    : depth_(63 - base.shift_),
      size_(base.size_),
      pages_(base.pages_),
      directory_(base.directory_, base.directory_ + (size_t{1} << depth_)),
      owners_(base.owners_) {}

const CustomerRecord* CustomerMap::Editor::find(const CaKey& key) const {
  const uint64_t hash = hash_of(key);
  return CustomerMapWalk::find(*directory_[slot_of(hash)], hash, key);
}

void CustomerMap::Editor::put(const CustomerRecord& record) {
  const CaKey key = record.key();
  const uint64_t hash = hash_of(key);
  const Page* page = directory_[slot_of(hash)];
  if (const CustomerRecord* old = CustomerMapWalk::find(*page, hash, key)) {
    const auto i = old - page->records();
    own_page(slot_of(hash), page->count()).records()[i] = record;
    return;
  }
  while (directory_[slot_of(hash)]->count() == Page::kTags) split(slot_of(hash));
  const size_t slot = slot_of(hash);
  CustomerMapWalk::append(own_page(slot, directory_[slot]->count() + 1), tag_of(hash), record);
  ++size_;
}

bool CustomerMap::Editor::erase(const CaKey& key) {
  const uint64_t hash = hash_of(key);
  const size_t slot = slot_of(hash);
  const Page* page = directory_[slot];
  const CustomerRecord* old = CustomerMapWalk::find(*page, hash, key);
  if (old == nullptr) return false;
  const auto i = static_cast<unsigned>(old - page->records());
  CustomerMapWalk::remove(own_page(slot, page->count()), i);
  --size_;
  return true;
}

CustomerMap::Page& CustomerMap::Editor::own_page(size_t slot, unsigned records) {
  const Page* page = directory_[slot];
  if (mine_.contains(page) && page->capacity() >= records) {
    return const_cast<Page&>(*page);  // made by this editor, and not yet shown to anybody
  }
  const auto copy = CustomerMapWalk::new_page(records, page->depth());
  const uint16_t own_meta = copy->meta;
  copy->tags = page->tags;
  copy->meta = static_cast<uint16_t>(own_meta | page->count());
  std::uninitialized_copy_n(page->records(), page->count(), copy->records());
  Page& result = *copy;
  const size_t run = size_t{1} << (depth_ - page->depth());
  place(slot & ~(run - 1), copy);
  return result;
}

void CustomerMap::Editor::place(size_t first, const std::shared_ptr<Page>& page) {
  mine_.erase(directory_[first]);
  mine_.insert(page.get());
  const size_t run = size_t{1} << (depth_ - page->depth());
  for (size_t slot = first; slot < first + run; ++slot) {
    directory_[slot] = page.get();
    owners_.set(slot, page);
  }
}

// Divides a page by the first bit of the hash that its slots do not have in common.
void CustomerMap::Editor::split(size_t slot) {
  const unsigned depth = directory_[slot]->depth();
  if (depth == depth_) {
    double_directory();
    slot *= 2;
  }
  const size_t run = size_t{1} << (depth_ - depth);
  const size_t first = slot & ~(run - 1);
  const Page& old = *directory_[first];

  std::array<uint64_t, Page::kTags> hashes{};
  unsigned upper = 0;
  const auto is_upper = [depth](uint64_t hash) { return (hash >> (63 - depth) & 1) != 0; };
  for (unsigned i = 0; i < old.count(); ++i) {
    hashes[i] = hash_of(old.records()[i].key());
    upper += is_upper(hashes[i]) ? 1 : 0;
  }
  const auto low = CustomerMapWalk::new_page(old.count() - upper, depth + 1);
  const auto high = CustomerMapWalk::new_page(upper, depth + 1);
  for (unsigned i = 0; i < old.count(); ++i) {
    CustomerMapWalk::append(is_upper(hashes[i]) ? *high : *low, old.tags[i], old.records()[i]);
  }
  // `old` dies with its last slot.
  place(first, low);
  place(first + run / 2, high);
  ++pages_;
}

void CustomerMap::Editor::double_directory() {
  if (depth_ == kMaxDepth) {
    throw std::length_error("customer map: the hash does not tell its keys apart");
  }
  Pages::Editor owners{Pages()};
  std::vector<const Page*> directory(directory_.size() * 2);
  for (size_t slot = 0; slot < directory.size(); ++slot) {
    directory[slot] = directory_[slot / 2];
    owners.set(slot, owners_[slot / 2]);
  }
  directory_ = std::move(directory);
  owners_ = std::move(owners);
  ++depth_;
}

// Pages never merge; a map that has lost most of its records is built anew.
void CustomerMap::Editor::rebuild() {
  Editor fresh{CustomerMap()};
  for (size_t slot = 0; slot < directory_.size();) {
    const Page& page = *directory_[slot];
    for (unsigned i = 0; i < page.count(); ++i) fresh.put(page.records()[i]);
    slot += directory_.size() >> page.depth();
  }
  *this = std::move(fresh);
}

std::shared_ptr<const CustomerMap> CustomerMap::Editor::finish() && {
  constexpr size_t kFewRecords = 4;  // a page, on average; after building there are about 21
  if (pages_ > 1 && size_ < pages_ * kFewRecords) rebuild();
  auto map = std::make_shared<CustomerMap>();
  map->shift_ = 63 - depth_;
  map->size_ = static_cast<uint32_t>(size_);
  map->pages_ = pages_;
  map->owners_ = std::move(owners_).finish();
  if (directory_.size() <= kInlineSlots) {
    std::copy(directory_.begin(), directory_.end(), map->inline_.begin());
  } else {
    map->large_ = std::move(directory_);
    map->directory_ = map->large_.data();
  }
  return map;
}

}  // namespace hnv
