// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>

namespace hnv {

// An array for one pass over a vector of packets: its items are not made until they are assigned,
// since making 64 of them for every vector costs as much as a lookup.
template <class T, size_t kItems>
class Scratch {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  Scratch() {}  // NOLINT(modernize-use-equals-default,cppcoreguidelines-pro-type-member-init)
  [[nodiscard]] T& operator[](size_t i) { return items_[i]; }
  [[nodiscard]] const T& operator[](size_t i) const { return items_[i]; }
  [[nodiscard]] T* data() { return items_; }

 private:
  union {
    T items_[kItems];
  };
};

}  // namespace hnv
