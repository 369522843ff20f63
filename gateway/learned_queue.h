// SPDX-License-Identifier: Apache-2.0
//
// One domain's learned routes that wait to be compiled. They are kept by the part of the address
// space that they lie in, and leave part by part: neighbours change the same pieces of the route
// table and the FIB, so a full table costs a third of what it does in the order of its arrival.
//
// Threads: its owner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "gateway/compile.h"

namespace hnv {

class LearnedQueue {
 public:
  void push(LearnedRoute route);
  // At most `most` of those that wait, ordered by prefix, each prefix once with its last word; what
  // was pushed for a prefix later leaves later. No part waits for more than all others once.
  // REQUIRES most > 0.
  [[nodiscard]] std::vector<LearnedRoute> take(size_t most);

  [[nodiscard]] size_t size() const { return size_; }  // a prefix as often as it was pushed
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  struct Part {
    std::vector<LearnedRoute> routes;
    size_t from = 0;  // what stands before was taken
  };
  std::map<uint32_t, Part> parts_;
  uint32_t next_part_ = 0;
  size_t size_ = 0;
};

}  // namespace hnv
