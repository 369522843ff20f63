// SPDX-License-Identifier: Apache-2.0
//
// Fragments at the NAT doors (RFC 4787 REQ-14). Only the first one of a datagram has ports; the
// others go where it went. Those that come before it wait for it, few and not for long; nothing is
// put together.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/byte_order.h"
#include "compartments/clock.h"
#include "compartments/line/reentry.h"
#include "compartments/secret_hash.h"

namespace hnv {

// Which datagram, as its fragments say (RFC 791 §3.2), and where they were seen.
struct DatagramKey {
  be32 source, destination;
  be16 id;
  uint8_t protocol = 0;
  uint32_t place = 0;  // a compartment's id, or an attachment's and the top bit

  [[nodiscard]] static constexpr uint32_t outside(AttachmentId attachment) {
    return attachment.value() | 0x80000000;
  }
  [[nodiscard]] uint64_t hash() const {
    return secret_hash(uint64_t{source.raw()} | uint64_t{destination.raw()} << 32,
                       uint64_t{place} << 32 | uint64_t{protocol} << 16 | id.raw(), 11);
  }
  [[nodiscard]] bool is(const DatagramKey& other) const {
    return source.raw() == other.source.raw() && destination.raw() == other.destination.raw() &&
           id.raw() == other.id.raw() && protocol == other.protocol && place == other.place;
  }
};

// Threads: the worker's.
class FragmentTable {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(10);
  static constexpr unsigned kHeldEach = 8;  // of a datagram, before its first one has come
  static constexpr unsigned kHeldInAll = 512;
  static constexpr unsigned kBuckets = 256;
  static constexpr unsigned kWays = 4;  // datagrams a bucket

  FragmentTable() : entries_(size_t{kBuckets} * kWays) {}

  // What its first fragment has told of a datagram.
  struct Known {
    uint32_t ports = 0;  // as wire::Ports lies in memory
    be16 id;             // the Identification that all of its fragments get, where they get another
  };
  // Absent: the first one has not come.
  [[nodiscard]] std::optional<Known> find_known(const DatagramKey& key, Instant now) const;
  // The first one has come. Those that waited come back by `reentry`.
  // What finds no room there is dropped: drop(mbuf).
  template <class Drop>
  void learn(const DatagramKey& key, const Known& known, Instant now, ReentryQueue& reentry,
             Drop&& drop);
  // A later one waits, as it is to come back. False: too many do.
  [[nodiscard]] bool hold(const DatagramKey& key, const Reentry& fragment, Instant now);
  // Gives up what has waited too long: drop(mbuf). Cheap when nothing waits.
  template <class Drop>
  void expire(Instant now, Drop&& drop);
  template <class Drop>
  void clear(Drop&& drop) {
    expire(Instant{UINT64_MAX}, drop);
  }
  [[nodiscard]] unsigned held() const { return held_; }

 private:
  struct Entry {
    DatagramKey key;
    Instant until{};  // 0: free
    std::optional<Known> known{};
    unsigned count = 0;
    std::array<Reentry, kHeldEach> waiting{};
  };
  [[nodiscard]] const Entry* find(const DatagramKey& key, Instant now) const;
  // The datagram's entry, a new one if need be; null: all that it could have hold fragments.
  [[nodiscard]] Entry* enter(const DatagramKey& key, Instant now);
  // The same for a datagram whose first fragment is here: what waits for another one's makes room
  // (RFC 4787 REQ-14a).
  template <class Drop>
  [[nodiscard]] Entry& enter_first(const DatagramKey& key, Instant now, Drop& drop);
  template <class Drop>
  void give_up(Entry& entry, Drop& drop);

  std::vector<Entry> entries_;
  unsigned held_ = 0;
  Instant looked_at_{};
};

inline const FragmentTable::Entry* FragmentTable::find(const DatagramKey& key, Instant now) const {
  const size_t first = key.hash() % kBuckets * kWays;
  for (size_t i = first; i < first + kWays; ++i) {
    if (entries_[i].until > now && entries_[i].key.is(key)) return &entries_[i];
  }
  return nullptr;
}

inline FragmentTable::Entry* FragmentTable::enter(const DatagramKey& key, Instant now) {
  if (const Entry* known = find(key, now); known != nullptr) {
    return &entries_[static_cast<size_t>(known - entries_.data())];
  }
  // Free, or the one that has the least left to live and holds nothing.
  Entry* best = nullptr;
  const size_t first = key.hash() % kBuckets * kWays;
  for (size_t i = first; i < first + kWays; ++i) {
    Entry& entry = entries_[i];
    if (entry.count == 0 && (best == nullptr || entry.until < best->until)) best = &entry;
  }
  if (best == nullptr) return nullptr;
  best->key = key;
  best->until = now + kPatience;
  best->known.reset();
  return best;
}

inline std::optional<FragmentTable::Known> FragmentTable::find_known(const DatagramKey& key,
                                                                     Instant now) const {
  const Entry* entry = find(key, now);
  return entry == nullptr ? std::nullopt : entry->known;
}

inline bool FragmentTable::hold(const DatagramKey& key, const Reentry& fragment, Instant now) {
  if (held_ >= kHeldInAll) return false;
  Entry* entry = enter(key, now);
  if (entry == nullptr || entry->count == kHeldEach) return false;
  entry->waiting[entry->count++] = fragment;
  ++held_;
  return true;
}

template <class Drop>
void FragmentTable::give_up(Entry& entry, Drop& drop) {
  for (unsigned i = 0; i < entry.count; ++i) drop(entry.waiting[i].mbuf);
  held_ -= entry.count;
  entry.count = 0;
  entry.until = {};
}

template <class Drop>
FragmentTable::Entry& FragmentTable::enter_first(const DatagramKey& key, Instant now, Drop& drop) {
  if (Entry* entry = enter(key, now); entry != nullptr) return *entry;
  Entry* const ways = &entries_[key.hash() % kBuckets * kWays];
  give_up(*std::min_element(ways, ways + kWays,
                            [](const Entry& a, const Entry& b) { return a.until < b.until; }),
          drop);
  return *enter(key, now);
}

template <class Drop>
void FragmentTable::learn(const DatagramKey& key, const Known& known, Instant now,
                          ReentryQueue& reentry, Drop&& drop) {
  Entry& entry = enter_first(key, now, drop);
  entry.known = known;
  for (unsigned i = 0; i < entry.count; ++i) {
    if (reentry.room() > kVector) {
      reentry.push(entry.waiting[i]);
    } else {
      drop(entry.waiting[i].mbuf);
    }
  }
  held_ -= entry.count;
  entry.count = 0;
}

template <class Drop>
void FragmentTable::expire(Instant now, Drop&& drop) {
  if (held_ == 0 || now < looked_at_ + std::chrono::seconds(1)) return;
  looked_at_ = now;
  for (Entry& entry : entries_) {
    if (entry.count != 0 && entry.until <= now) give_up(entry, drop);
  }
}

}  // namespace hnv
