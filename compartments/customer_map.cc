// SPDX-License-Identifier: Apache-2.0
#include "compartments/customer_map.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <new>
#include <stdexcept>
#include <utility>

namespace hnv {
// ---- Reading.

const CustomerMap::Page CustomerMap::kEmptyPage{};

struct CustomerMapWalk {
  using Page = CustomerMap::Page;

  static const CustomerRecord* find(const Page& page, uint64_t hash, const CaKey& key) {
    const uint16_t tag = CustomerMap::tag_of(hash);
    for (unsigned i = 0; i < page.count(); ++i) {
      if (page.tags[i] == tag && page.records()[i].holds(key)) return &page.records()[i];
    }
    return nullptr;
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
  const uint64_t hash = secret_hash(key);
  return CustomerMapWalk::find(**slot_of(hash), hash, key);
}

const CustomerRecord* CustomerMap::Reader::find(const CaKey& key) const {
  const uint64_t hash = secret_hash(key);
  return CustomerMapWalk::find(**slot_of(hash), hash, key);
}

CustomerMap::Reader CustomerMap::reader() const {
  Reader reader;
  reader.shift_ = shift_;
  if (shift_ != kOnePage) {
    reader.directory_ = directory_;
    return reader;
  }
  const Page& page = *directory_[0];
  reader.page_ = &page;
  if (page.count() > kFew) return reader;
  for (unsigned i = 0; i < page.count(); ++i) {
    reader.few_tags_ |= few_tag_of(page.tags[i]) << 8 * i;
  }
  return reader;
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
  const uint64_t hash = secret_hash(key);
  return CustomerMapWalk::find(*directory_[slot_of(hash)], hash, key);
}

void CustomerMap::Editor::put(const CustomerRecord& record) {
  const CaKey key = record.key();
  const uint64_t hash = secret_hash(key);
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
  const uint64_t hash = secret_hash(key);
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
    hashes[i] = secret_hash(old.records()[i].key());
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
