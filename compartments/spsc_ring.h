// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace hnv {

// A bounded ring from one thread to one other. Neither side waits or allocates.
template <class T, size_t kCapacity>
class SpscRing {
  static_assert((kCapacity & (kCapacity - 1)) == 0, "a power of two");

 public:
  // The producer's side: as many of the `count` as fit; returns how many.
  unsigned push(const T* items, unsigned count) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    const size_t room = kCapacity - (tail - head_.load(std::memory_order_acquire));
    if (count > room) count = static_cast<unsigned>(room);
    for (unsigned i = 0; i < count; ++i) items_[(tail + i) & (kCapacity - 1)] = items[i];
    tail_.store(tail + count, std::memory_order_release);
    return count;
  }
  // The consumer's side: up to `count`; returns how many.
  unsigned pop(T* items, unsigned count) {
    const size_t head = head_.load(std::memory_order_relaxed);
    const size_t available = tail_.load(std::memory_order_acquire) - head;
    if (count > available) count = static_cast<unsigned>(available);
    for (unsigned i = 0; i < count; ++i) items[i] = items_[(head + i) & (kCapacity - 1)];
    head_.store(head + count, std::memory_order_release);
    return count;
  }
  // Approximate from any other thread.
  [[nodiscard]] size_t size() const {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool empty() const { return size() == 0; }

 private:
  alignas(64) std::atomic<size_t> head_{0};
  alignas(64) std::atomic<size_t> tail_{0};
  alignas(64) std::array<T, kCapacity> items_{};
};

}  // namespace hnv
