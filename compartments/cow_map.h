// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace hnv {

namespace cow_map_internal {

// A counted reference to a T that may be shared by maps in different threads. A T that only one
// reference holds may be changed in place; the acquire in `unique` pairs with the release of
// whoever let go of it last (the same contract as Rust's Arc::get_mut).
template <class T>
class Shared {
 public:
  Shared() = default;
  template <class... Args>
  static Shared make(Args&&... args) {
    Shared made;
    made.counted_ = new Counted{{1}, T(std::forward<Args>(args)...)};
    return made;
  }
  Shared(const Shared& other) noexcept : counted_(other.counted_) {
    if (counted_ != nullptr) counted_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Shared(Shared&& other) noexcept : counted_(std::exchange(other.counted_, nullptr)) {}
  // NOLINTNEXTLINE(bugprone-unhandled-self-assignment): goes through a copy
  Shared& operator=(const Shared& other) noexcept { return *this = Shared(other); }
  Shared& operator=(Shared&& other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Shared() {
    if (counted_ != nullptr && counted_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete counted_;
    }
  }

  explicit operator bool() const { return counted_ != nullptr; }
  const T& operator*() const { return counted_->value; }
  const T* operator->() const { return &counted_->value; }
  [[nodiscard]] bool same(const Shared& other) const { return counted_ == other.counted_; }
  // The value for changing: copied first when anyone else holds it. REQUIRES a value.
  T& edit() {
    if (counted_->references.load(std::memory_order_acquire) != 1) *this = make(counted_->value);
    return counted_->value;
  }

 private:
  struct Counted {
    std::atomic<uint32_t> references;
    T value;
  };
  Counted* counted_ = nullptr;
};

}  // namespace cow_map_internal

// An ordered map that is cheap to copy: a sorted list of chunks of at most kChunk items, shared
// between copies. A copy costs one count. The first change after a copy copies the list of chunks
// (8 bytes a chunk) and the one chunk it touches; further changes of the same chunk are made in
// place. So a bulk edit is a loop, and each chunk it touches is copied once.
//
// Lookups are two binary searches. Iteration is in the order of keys. K and V are copied with their
// chunk: keep them small, or point to something immutable.
//
// Thread-safety: that of a value (of int, say). Copies are independent, also in other threads.
// References and iterators stay valid until their map is changed or destroyed.
template <class K, class V>
class CowMap {
 public:
  static constexpr size_t kChunk = 128;

  using Item = std::pair<K, V>;

 private:
  using Items = std::vector<Item>;  // sorted, never empty, at most kChunk
  using Chunk = cow_map_internal::Shared<Items>;
  using Chunks = std::vector<Chunk>;
  struct List {
    Chunks chunks;  // never empty
    size_t size = 0;
  };

 public:
  class const_iterator {  // NOLINT(readability-identifier-naming): the standard's name
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = const Item*;
    using reference = const Item&;

    const_iterator() = default;
    reference operator*() const { return (*(*chunks_)[chunk_])[item_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++item_ == (*chunks_)[chunk_]->size()) {
        ++chunk_;
        item_ = 0;
      }
      return *this;
    }
    const_iterator operator++(int) {
      auto before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const const_iterator& a, const const_iterator& b) {
      return a.chunk_ == b.chunk_ && a.item_ == b.item_;
    }

   private:
    friend class CowMap;
    const_iterator(const Chunks* chunks, size_t chunk, size_t item)
        : chunks_(chunks), chunk_(chunk), item_(item) {}
    const Chunks* chunks_ = nullptr;
    size_t chunk_ = 0;
    size_t item_ = 0;
  };

  [[nodiscard]] size_t size() const { return list_ ? list_->size : 0; }
  [[nodiscard]] bool empty() const { return !list_; }
  [[nodiscard]] const_iterator begin() const { return at(0, 0); }
  [[nodiscard]] const_iterator end() const { return at(list_ ? list_->chunks.size() : 0, 0); }

  // The value of `key`, or nullptr.
  template <class Key>
  [[nodiscard]] const V* find(const Key& key) const {
    const auto found = lower_bound(key);
    return found != end() && !(key < found->first) ? &found->second : nullptr;
  }
  template <class Key>
  [[nodiscard]] bool contains(const Key& key) const {
    return find(key) != nullptr;
  }

  // The first item whose key is not less than `key`.
  template <class Key>
  [[nodiscard]] const_iterator lower_bound(const Key& key) const {
    if (!list_) return end();
    const size_t chunk = chunk_of(key);
    const Items& items = *list_->chunks[chunk];
    const size_t item = position(items, key);
    return item == items.size() ? at(chunk + 1, 0) : at(chunk, item);
  }
  // The last item whose key is not greater than `key`, or nullptr.
  template <class Key>
  [[nodiscard]] const Item* floor(const Key& key) const {
    if (!list_) return nullptr;
    const Items& items = *list_->chunks[chunk_of(key)];
    const auto after =
        std::upper_bound(items.begin(), items.end(), key,
                         [](const Key& wanted, const Item& i) { return wanted < i.first; });
    return after == items.begin() ? nullptr : &*std::prev(after);
  }

  // Whether the key is new.
  bool insert_or_assign(K key, V value) {
    if (!list_) {
      Items first;
      first.emplace_back(std::move(key), std::move(value));
      list_ = SharedList::make(List{{Chunk::make(std::move(first))}, 1});
      return true;
    }
    const size_t chunk = chunk_of(key);
    List& list = list_.edit();
    Items& items = list.chunks[chunk].edit();
    const size_t item = position(items, key);
    if (item < items.size() && !(key < items[item].first)) {
      items[item].second = std::move(value);
      return false;
    }
    items.emplace(items.begin() + static_cast<std::ptrdiff_t>(item), std::move(key),
                  std::move(value));
    ++list.size;
    if (items.size() > kChunk) split(list.chunks, chunk);
    return true;
  }

  // Whether the key was there. A miss copies nothing.
  template <class Key>
  bool erase(const Key& key) {
    if (!contains(key)) return false;
    if (size() == 1) {
      list_ = {};
      return true;
    }
    const size_t chunk = chunk_of(key);
    List& list = list_.edit();
    Items& items = list.chunks[chunk].edit();
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(position(items, key)));
    --list.size;
    join(list.chunks, chunk);
    return true;
  }

  // Calls `differs(key, const V* before, const V* after)` in the order of keys for every key whose
  // value is not the same in both (nullptr: not there). Skips chunks that both maps share, so that
  // the cost is that of what was touched.
  template <class Differs>
  static void difference(const CowMap& before, const CowMap& after, Differs&& differs) {
    if (before.list_.same(after.list_)) return;
    auto a = before.begin();
    auto b = after.begin();
    const auto a_end = before.end();
    const auto b_end = after.end();
    while (a != a_end || b != b_end) {
      if (a != a_end && b != b_end && skip_shared(a, b)) continue;
      if (b == b_end || (a != a_end && a->first < b->first)) {
        differs(a->first, &a->second, static_cast<const V*>(nullptr));
        ++a;
      } else if (a == a_end || b->first < a->first) {
        differs(b->first, static_cast<const V*>(nullptr), &b->second);
        ++b;
      } else {
        if (!(a->second == b->second)) differs(a->first, &a->second, &b->second);
        ++a;
        ++b;
      }
    }
  }

  friend bool operator==(const CowMap& a, const CowMap& b) {
    return a.list_.same(b.list_) ||
           (a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()));
  }

 private:
  using SharedList = cow_map_internal::Shared<List>;

  [[nodiscard]] const_iterator at(size_t chunk, size_t item) const {
    return {list_ ? &list_->chunks : nullptr, chunk, item};
  }

  // The chunk that holds `key` if any does: the last one that does not begin behind it.
  template <class Key>
  [[nodiscard]] size_t chunk_of(const Key& key) const {
    const Chunks& chunks = list_->chunks;
    const auto behind = std::upper_bound(
        chunks.begin(), chunks.end(), key,
        [](const Key& wanted, const Chunk& c) { return wanted < c->front().first; });
    return behind == chunks.begin() ? 0 : static_cast<size_t>(behind - chunks.begin()) - 1;
  }
  template <class Key>
  [[nodiscard]] static size_t position(const Items& items, const Key& key) {
    const auto found =
        std::lower_bound(items.begin(), items.end(), key,
                         [](const Item& i, const Key& wanted) { return i.first < wanted; });
    return static_cast<size_t>(found - items.begin());
  }

  // An overfull chunk becomes two. What is filled in ascending order stays full behind the tip.
  static void split(Chunks& chunks, size_t chunk) {
    Items& items = chunks[chunk].edit();
    const bool ascending = chunk + 1 == chunks.size();
    const auto middle =
        items.begin() + static_cast<std::ptrdiff_t>(ascending ? kChunk - kChunk / 8 : kChunk / 2);
    Items upper(std::make_move_iterator(middle), std::make_move_iterator(items.end()));
    items.erase(middle, items.end());
    chunks.insert(chunks.begin() + static_cast<std::ptrdiff_t>(chunk) + 1,
                  Chunk::make(std::move(upper)));
  }

  // After an erasure: an empty chunk goes; a sparse one joins its successor where both fit well.
  static void join(Chunks& chunks, size_t chunk) {
    const auto here = chunks.begin() + static_cast<std::ptrdiff_t>(chunk);
    if (chunks[chunk]->empty()) {
      chunks.erase(here);
    } else if (chunk + 1 < chunks.size() &&
               chunks[chunk]->size() + chunks[chunk + 1]->size() <= kChunk / 2) {
      const Items& next = *chunks[chunk + 1];
      Items& items = chunks[chunk].edit();
      items.insert(items.end(), next.begin(), next.end());
      chunks.erase(here + 1);
    }
  }

  // Moves both iterators over a chunk that both are about to enter and that is one and the same.
  static bool skip_shared(const_iterator& a, const_iterator& b) {
    if (a.item_ != 0 || b.item_ != 0) return false;
    if (!(*a.chunks_)[a.chunk_].same((*b.chunks_)[b.chunk_])) return false;
    ++a.chunk_;
    ++b.chunk_;
    return true;
  }

  SharedList list_;  // absent when the map is empty
};

}  // namespace hnv
