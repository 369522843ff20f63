// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace hnv {

// A count with one writer and any readers: plain loads and stores in machine code, no lock prefix.
class Counter {
 public:
  Counter() = default;
  Counter(const Counter& other) : value_(other.value()) {}
  Counter& operator=(const Counter& other) {
    value_.store(other.value(), std::memory_order_relaxed);
    return *this;
  }
  Counter(Counter&& other) noexcept : value_(other.value()) {}
  Counter& operator=(Counter&& other) noexcept { return *this = other; }
  ~Counter() = default;

  [[gnu::always_inline]] void add(uint64_t n = 1) {
    value_.store(value() + n, std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace hnv
