// SPDX-License-Identifier: Apache-2.0
//
// From a customer address to its lookup record, for one compartment.
//
// Persistent extendible hashing. The top bits of a key's hash choose a directory slot, the slot
// names a page, and a page is 2^k cache lines: one of 16-bit tags, then one line a record.
//
//   directory ──▶ page: [ 31 tags, meta ] [ record ] [ record ] …
//
// Pages have room for 1, 3, 7, 15 or 31 records, so that small domains cost little.
//
// A lookup therefore touches a directory slot, a line of tags and the record: three dependent
// loads, which RecordLookup overlaps over a vector. A map of one page needs no directory: its
// Reader, which lies in the CompartmentView, names the page. Up to seven records need no line of
// tags either: the Reader holds a byte of each tag. A directory of up to four slots lies in the
// map's own line. A change copies one page (grown or split in two when it is full) and the
// directory's pointers; everything else is shared with the map before.
//
// The hash is keyed by a secret of this process (secret_hash.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_set>
#include <vector>

#include "compartments/address.h"
#include "compartments/cow_array.h"
#include "compartments/ids.h"
#include "compartments/secret_hash.h"

namespace hnv {

enum class RecordType : uint8_t {
  none,  // no record at all
  static_record,
  dynamic,
  gateway_wildcard,
  l2_only,
  neighbor,  // an ARP or ND neighbour of an L3 connection
  own,       // one of the gateway's own addresses: nobody else may have it as a source
};

// What a worker needs to send to a customer address: exactly one line.
struct alignas(64) CustomerRecord {
  std::array<uint8_t, 16> ca{};  // network order; IPv4 in the first four bytes, the rest zero
  std::array<uint8_t, 16> pa{};  // likewise
  MacAddress mac;
  uint16_t header_sum = 0;  // the part of the outer header's checksum that the record determines
  NextHopId next_hop;       // where frames to `pa` go, on the outside network
  SubnetId subnet;          // the virtual subnet that holds `ca`
  LinkId link;              // the provider network that `pa` is on
  RecordType type = RecordType::none;
  Family ca_family = Family::ipv4;
  Family pa_family = Family::ipv4;
  uint8_t flags = 0;  // the owner's
  std::array<uint32_t, 2> spare{};

  [[nodiscard]] CaKey key() const { return {ca, ca_family}; }
  [[nodiscard]] bool holds(const CaKey& wanted) const { return key() == wanted; }
  void set_ca(const IpAddress<Space::customer>& a) {
    ca = a.bytes();
    ca_family = a.family();
  }
  void set_pa(const IpAddress<Space::provider>& a) {
    pa = a.bytes();
    pa_family = a.family();
  }
  // REQUIRES pa_family ipv4. Host order.
  [[nodiscard]] PaAddress pa4() const {
    return PaAddress(uint32_t{pa[0]} << 24 | uint32_t{pa[1]} << 16 | uint32_t{pa[2]} << 8 | pa[3]);
  }
  [[nodiscard]] IpAddress<Space::provider> provider_address() const {
    if (pa_family == Family::ipv4) return pa4();
    return PaAddress6(pa);
  }
  friend bool operator==(const CustomerRecord&, const CustomerRecord&) = default;
};
static_assert(sizeof(CustomerRecord) == 64);

// Immutable. Threads: read by any; the thread that drops the last shared_ptr frees what only this
// map held. A record's address holds as long as its map lives.
class alignas(64) CustomerMap {
 public:
  class Editor;
  class Reader;

  CustomerMap() = default;  // empty
  CustomerMap(const CustomerMap&) = delete;
  CustomerMap(CustomerMap&&) = delete;
  CustomerMap& operator=(const CustomerMap&) = delete;
  CustomerMap& operator=(CustomerMap&&) = delete;
  ~CustomerMap() = default;

  [[nodiscard]] const CustomerRecord* find(const CaKey& key) const;  // null: no record
  // What RecordLookup looks through. Holds as long as the map lives.
  [[nodiscard]] Reader reader() const;

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t bytes() const;  // of everything it holds, shared or not
  // Calls visit(const CustomerRecord&) for each record, in no useful order.
  template <class Visit>
  void for_each(Visit visit) const;

 private:
  friend struct CustomerMapWalk;
  friend struct RecordLookupWalk;
  friend class RecordLookup;

  // The directory takes the top bits of the hash, the tag the lowest. 0 marks an unused place.
  [[nodiscard]] static uint16_t tag_of(uint64_t hash) {
    const auto low = static_cast<uint16_t>(hash);
    return low == 0 ? uint16_t{1} : low;
  }
  // Of the tag of one record of few: a byte, 0 for no record here as well.
  static constexpr unsigned kFew = 7;
  [[nodiscard]] static uint64_t few_tag_of(uint16_t tag) {
    const uint64_t low = tag & 0xff;
    return low + (low == 0 ? 1 : 0);
  }

  // 2^k lines. The records 0..count-1 are in use and tag i belongs to record i.
  struct alignas(64) Page {
    static constexpr unsigned kTags = 31;
    std::array<uint16_t, kTags> tags{};  // never 0 for a record in use, 0 behind the last one
    uint16_t meta = 0;                   // count | log2(lines) << 5 | local depth << 8

    [[nodiscard]] unsigned count() const { return meta & 31U; }
    [[nodiscard]] unsigned log_lines() const { return meta >> 5 & 7U; }
    [[nodiscard]] unsigned depth() const { return meta >> 8; }
    [[nodiscard]] unsigned capacity() const { return (1U << log_lines()) - 1; }
    [[nodiscard]] const CustomerRecord* records() const {
      return reinterpret_cast<const CustomerRecord*>(this + 1);
    }
    [[nodiscard]] CustomerRecord* records() { return reinterpret_cast<CustomerRecord*>(this + 1); }
  };
  static_assert(sizeof(Page) == 64);
  static const Page kEmptyPage;                            // of no capacity and no depth
  using Pages = CowArray<std::shared_ptr<const Page>, 8>;  // by directory slot

  static constexpr unsigned kInlineSlots = 4;
  [[nodiscard]] const Page* const* slot_of(uint64_t hash) const {
    return &directory_[hash >> 1 >> shift_];
  }
  static constexpr uint32_t kOnePage = 63;  // shift_ of a directory of one slot

  // The line that a lookup reads.
  std::array<const Page*, kInlineSlots> inline_{&kEmptyPage};
  const Page* const* directory_ = inline_.data();  // 2^depth slots: inline_ or large_
  uint32_t shift_ = kOnePage;                      // 63 - depth
  uint32_t size_ = 0;
  size_t pages_ = 1;  // distinct ones
  // The line that only changes touch.
  alignas(64) Pages owners_;
  std::vector<const Page*> large_;
};

// The 24 bytes of a map that a lookup begins with, to be kept where they are at hand.
class CustomerMap::Reader {
 public:
  // Of an empty map.
  Reader() : page_(&kEmptyPage) {}  // NOLINT(cppcoreguidelines-pro-type-member-init): a union
  [[nodiscard]] const CustomerRecord* find(const CaKey& key) const;

 private:
  friend class CustomerMap;
  friend class RecordLookup;
  // REQUIRES one page.
  [[nodiscard]] const Page* page() const { return page_; }
  [[nodiscard]] const Page* const* slot_of(uint64_t hash) const {
    // Which of the two cannot be foreseen where domains are small and large: chosen, not branched.
    const Page* const* slot = directory_ + (hash >> 1 >> shift_);
    return shift_ == kOnePage ? &page_ : slot;
  }

  union {
    const Page* page_;
    const Page* const* directory_;
  };
  uint64_t few_tags_ = 0;  // of a page of at most kFew records, a byte each; 0: there are more
  uint32_t shift_ = kOnePage;
};

// What a map has for each of n keys, or null: RecordLookup without passes of one's own. REQUIRES
// n <= 64 and no null reader.
void find_bulk(const CustomerMap::Reader* const* readers, const CaKey* keys,
               const CustomerRecord** out, unsigned n);

// Several changes to a map; each touched page is copied once. One thread; not reused after
// finish().
class CustomerMap::Editor {
 public:
  explicit Editor(const CustomerMap& base);

  // Inserts the record, or replaces the one with the same key.
  void put(const CustomerRecord& record);
  // False when there was none.
  bool erase(const CaKey& key);
  // As find(); the pointer holds until the next change.
  [[nodiscard]] const CustomerRecord* find(const CaKey& key) const;
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::shared_ptr<const CustomerMap> finish() &&;

 private:
  // Only a broken hash gets here: 31 keys of which 24 bits of the hash agree.
  static constexpr unsigned kMaxDepth = 24;

  [[nodiscard]] size_t slot_of(uint64_t hash) const { return hash >> 1 >> (63 - depth_); }
  // The page at the slot, made this editor's own and roomy enough for `records`.
  [[nodiscard]] Page& own_page(size_t slot, unsigned records);
  // Puts the page into the 2^(depth_ - page depth) slots from `first` on.
  void place(size_t first, const std::shared_ptr<Page>& page);
  void split(size_t slot);
  void double_directory();
  void rebuild();

  unsigned depth_;
  size_t size_;
  size_t pages_;
  std::vector<const Page*> directory_;
  Pages::Editor owners_;
  std::unordered_set<const Page*> mine_;  // pages made by this editor
};

template <class Visit>
void CustomerMap::for_each(Visit visit) const {
  const size_t slots = size_t{1} << (63 - shift_);
  for (size_t slot = 0; slot < slots;) {
    const Page& page = *directory_[slot];
    for (unsigned i = 0; i < page.count(); ++i) visit(page.records()[i]);
    slot += slots >> page.depth();  // a page owns a run of neighbouring slots
  }
}

}  // namespace hnv
