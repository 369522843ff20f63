// SPDX-License-Identifier: Apache-2.0
//
// A persistent array. A value is an immutable snapshot; changing an element makes a new snapshot
// that shares every chunk that was not touched. Copying a snapshot copies one shared_ptr.
//
//   snapshot ── root ─┬─ owners: one shared_ptr a chunk (what keeps the chunks alive)
//                     └─ table:  one raw pointer a chunk, and one more to a chunk of defaults
//
// A reader needs only the table: array[i] is two loads and no reference count. An index that was
// never set, however large, reads a default element, by clamping to the table's last entry instead
// of by a branch.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace hnv {

// Threads: a snapshot may be read by any number of threads; the thread that drops the last copy
// frees what only it held. REQUIRES a default-constructible, copyable T; T may be over-aligned.
// Cost of a change: each touched chunk once, and size() / kChunk pointers twice.
template <class T, size_t kChunk = 64>
class CowArray {
  static_assert(std::has_single_bit(kChunk));
  struct Chunk {
    std::array<T, kChunk> elements{};
  };

 public:
  CowArray() = default;

  [[nodiscard]] const T& operator[](size_t i) const {
    return table_[std::min(i / kChunk, chunks_)]->elements[i % kChunk];
  }
  // For a worker that prefetches: where element i lies.
  [[nodiscard]] const T* address(size_t i) const { return &(*this)[i]; }
  // One more than the highest index ever set.
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t bytes() const {
    return chunks_ * (sizeof(Chunk) + sizeof(std::shared_ptr<Chunk>) + sizeof(uintptr_t));
  }

  // This array with element i replaced. Grows as needed.
  [[nodiscard]] CowArray with(size_t i, const T& value) const {
    Editor editor(*this);
    editor.set(i, value);
    return std::move(editor).finish();
  }

  // Several changes at once; each touched chunk is copied once. One thread; not reused after
  // finish().
  class Editor {
   public:
    explicit Editor(const CowArray& base)
        : size_(base.size_), owners_(base.root_ ? base.root_->owners : Owners{}) {
      mine_.resize(owners_.size());
    }

    [[nodiscard]] const T& operator[](size_t i) const {
      const size_t chunk = i / kChunk;
      return (chunk < owners_.size() ? owners_[chunk].get() : &kDefaults)->elements[i % kChunk];
    }
    // Element i, to be written in place. The reference holds until finish().
    [[nodiscard]] T& edit(size_t i) {
      const size_t chunk = i / kChunk;
      size_ = std::max(size_, i + 1);
      while (owners_.size() <= chunk) {
        mine_.push_back(std::make_shared<Chunk>());
        owners_.push_back(mine_.back());
      }
      if (!mine_[chunk]) {
        mine_[chunk] = std::make_shared<Chunk>(*owners_[chunk]);
        owners_[chunk] = mine_[chunk];
      }
      return mine_[chunk]->elements[i % kChunk];
    }
    void set(size_t i, const T& value) { edit(i) = value; }
    [[nodiscard]] size_t size() const { return size_; }

    [[nodiscard]] CowArray finish() && {
      CowArray result;
      if (owners_.empty()) return result;
      auto root = std::make_shared<Root>();
      root->table.reserve(owners_.size() + 1);
      for (const auto& chunk : owners_) root->table.push_back(chunk.get());
      root->table.push_back(&kDefaults);
      root->owners = std::move(owners_);
      result.table_ = root->table.data();
      result.chunks_ = root->owners.size();
      result.size_ = size_;
      result.root_ = std::move(root);
      return result;
    }

   private:
    size_t size_;
    std::vector<std::shared_ptr<const Chunk>> owners_;
    std::vector<std::shared_ptr<Chunk>> mine_;  // by chunk; null while it is still shared
  };

 private:
  using Owners = std::vector<std::shared_ptr<const Chunk>>;
  struct Root {
    Owners owners;
    std::vector<const Chunk*> table;
  };

  inline static const Chunk kDefaults{};
  inline static const Chunk* const kEmptyTable[1] = {&kDefaults};

  const Chunk* const* table_ = kEmptyTable;
  size_t chunks_ = 0;
  size_t size_ = 0;
  std::shared_ptr<const Root> root_;
};

}  // namespace hnv
