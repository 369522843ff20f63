// SPDX-License-Identifier: Apache-2.0
//
// Flattening, the first half of building any FIB: from nested prefixes to neighbouring ranges of
// one answer each.
#pragma once

#include <utility>
#include <vector>

#include "compartments/ids.h"

namespace hnv {

template <class Address>
struct FibRange {
  Address last;  // inclusive; the first is one behind the range before
  HopId hop;
};

// One sweep over prefixes that are sorted, outermost first. Those that the sweep is inside of are
// open; what lies between two events belongs to the innermost. REQUIRES an unsigned Address.
template <class Address>
class FibFlattener {
 public:
  // Covers the addresses first..last; where no prefix is, the answer is `outside`.
  FibFlattener(Address first, Address last, HopId outside) : next_(first) {
    open_.push_back({last, outside});
  }

  // The next prefix. REQUIRES it within the covered addresses, and behind or inside its
  // predecessors.
  void enter(Address first, Address last, HopId hop) {
    while (open_.back().last < first) close_innermost();
    if (first > next_) emit(first - 1, open_.back().hop);
    open_.push_back({last, hop});
  }

  // The ranges; neighbours of one answer are one.
  [[nodiscard]] std::vector<FibRange<Address>> finish() && {
    while (!open_.empty()) close_innermost();
    return std::move(ranges_);
  }

 private:
  void close_innermost() {
    const FibRange<Address> inner = open_.back();
    open_.pop_back();
    if (!complete_ && inner.last >= next_) emit(inner.last, inner.hop);
  }
  // The addresses from next_ to `last` lead to `hop`.
  void emit(Address last, HopId hop) {
    if (!ranges_.empty() && ranges_.back().hop == hop) {
      ranges_.back().last = last;
    } else {
      ranges_.push_back({last, hop});
    }
    next_ = last + 1;
    complete_ = next_ == 0;
  }

  std::vector<FibRange<Address>> ranges_;
  std::vector<FibRange<Address>> open_;
  Address next_;           // the first address that no range covers yet
  bool complete_ = false;  // the last address there is was covered
};

}  // namespace hnv
