// SPDX-License-Identifier: Apache-2.0
//
// One worker's side of the handoff: between its Line and the rings from and to the others. Lives on
// the worker's thread.
#pragma once

#include "gateway/handoff.h"
#include "gateway/line.h"

namespace hnv {

class Exchange {
 public:
  Exchange(Handoffs& handoffs, unsigned worker) : handoffs_(handoffs), worker_(worker) {}

  // What others handed over, from each in turn, into the line; returns how many. A quarter of the
  // line's room stays for its own ports: neither of the two starves the other.
  unsigned take_in(Line& line);
  // The line's boxes into the rings; wakes whom it hands something.
  void send_out(Line& line);
  // After the last breath of every worker: what came too late is counted as handed in and dropped.
  void drain(Line& line);

 private:
  Handoffs& handoffs_;
  unsigned worker_;
  unsigned first_ = 0;  // round robin
};

}  // namespace hnv
