// SPDX-License-Identifier: Apache-2.0
//
// Which sequence numbers of an inbound SA have been seen (RFC 4303 §3.4.3), as a ring of blocks
// that is never shifted (RFC 6479): the window slides by clearing the blocks that it enters.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace hnv {

// Threads: the worker's that owns the SA.
class ReplayWindow {
 public:
  static constexpr uint32_t kLargest = 4096;  // packets
  static constexpr uint32_t kSmallest = 64;

  enum class Verdict : uint8_t { fresh, replayed, too_old };

  // `packets` is rounded up to a multiple of 64 within the bounds; 0: nothing is checked.
  explicit ReplayWindow(uint32_t packets = kSmallest)
      : size_(packets == 0
                  ? 0
                  : std::clamp((packets + kBits - 1) / kBits * kBits, kSmallest, kLargest)) {}

  // Asked before a packet is authenticated: 0 is no number (§3.3.3).
  [[nodiscard]] Verdict check(uint64_t sequence) const {
    if (size_ == 0) return Verdict::fresh;
    if (sequence > top_) return Verdict::fresh;
    if (sequence == 0 || top_ - sequence >= size_) return Verdict::too_old;
    return (block(sequence) >> sequence % kBits & 1) != 0 ? Verdict::replayed : Verdict::fresh;
  }
  // It is authentic. False: it has been accepted since it was checked.
  bool accept(uint64_t sequence) {
    if (check(sequence) != Verdict::fresh) return false;
    if (sequence > top_) {
      const uint64_t first = top_ / kBits + 1;
      const uint64_t last = sequence / kBits;
      // All of the ring when the jump is that far.
      for (uint64_t i = last - std::min(last - first + 1, uint64_t{kBlocks}) + 1; i <= last; ++i) {
        blocks_[i % kBlocks] = 0;
      }
      top_ = sequence;
    }
    blocks_[sequence / kBits % kBlocks] |= uint64_t{1} << sequence % kBits;
    return true;
  }

  // The highest number that was accepted.
  [[nodiscard]] uint64_t top() const { return top_; }
  [[nodiscard]] uint32_t size() const { return size_; }

  // The whole number of a packet that carries only the lower half of it (RFC 4303 appendix A2): the
  // one that lies in the window or, if none does, ahead of it.
  [[nodiscard]] uint64_t extend(uint32_t low) const {
    const auto top_low = static_cast<uint32_t>(top_);
    const auto high = static_cast<uint32_t>(top_ >> 32);
    const uint32_t window = std::max(size_, 1U);
    uint32_t chosen = high;
    if (top_low >= window - 1) {
      // The window lies in one subspace: what is below it belongs to the next one.
      if (low < top_low - window + 1) chosen = high + 1;
    } else if (low >= top_low - window + 1) {
      // It reaches back into the one before (the subtraction wraps).
      chosen = high - 1;
    }
    return uint64_t{chosen} << 32 | low;
  }

 private:
  static constexpr uint32_t kBits = 64;
  // One more than the largest window fills: the block that the newest number lies in is partly
  // ahead.
  static constexpr uint32_t kBlocks = kLargest / kBits * 2;

  [[nodiscard]] uint64_t block(uint64_t sequence) const {
    return blocks_[sequence / kBits % kBlocks];
  }

  uint64_t top_ = 0;
  uint32_t size_;
  std::array<uint64_t, kBlocks> blocks_{};
};

}  // namespace hnv
