// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace hnv {

// Address space of the operating system; pages come, zeroed, when they are touched.
// Throws std::bad_alloc.
[[nodiscard]] void* reserve_pages(size_t bytes);
void release_pages(void* start, size_t bytes) noexcept;
// Makes the pages of [start, start + bytes) present, without changing what they hold; from any
// thread. Nothing happens where the kernel cannot.
void populate_pages(void* start, size_t bytes) noexcept;

// An array as large as it may ever become, of which only what is used takes memory. It never moves:
// a worker grows what it owns without allocating. Zero bytes must be a valid T.
template <class T>
class ReservedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit ReservedArray(size_t capacity)
      : elements_(static_cast<T*>(reserve_pages(capacity * sizeof(T)))), capacity_(capacity) {}
  ReservedArray(const ReservedArray&) = delete;
  ReservedArray& operator=(const ReservedArray&) = delete;
  ReservedArray(ReservedArray&& other) noexcept
      : elements_(std::exchange(other.elements_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  ReservedArray& operator=(ReservedArray&& other) noexcept {
    std::swap(elements_, other.elements_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~ReservedArray() {
    if (elements_ != nullptr) release_pages(elements_, capacity_ * sizeof(T));
  }

  [[nodiscard]] T& operator[](size_t i) {
    assert(i < capacity_);
    return elements_[i];
  }
  [[nodiscard]] const T& operator[](size_t i) const {
    assert(i < capacity_);
    return elements_[i];
  }
  [[nodiscard]] size_t capacity() const { return capacity_; }
  // See populate_pages. REQUIRES first + count <= capacity().
  void populate(size_t first, size_t count) const {
    populate_pages(elements_ + first, count * sizeof(T));
  }

 private:
  T* elements_;
  size_t capacity_;
};

}  // namespace hnv
