// SPDX-License-Identifier: Apache-2.0
#include "gateway/exchange.h"

#include <array>

#include <rte_prefetch.h>

namespace hnv {

unsigned Exchange::take_in(Line& line) {
  const unsigned workers = handoffs_.workers();
  if (workers <= 1) return 0;
  const unsigned room = line.room();
  unsigned left = room - room / 4;
  unsigned taken = 0;
  for (unsigned i = 0; i < workers && left > 0; ++i) {
    const unsigned from = (first_ + i) % workers;
    if (from == worker_) continue;
    std::array<Handed, kVector> packets;
    const unsigned count = handoffs_.ring(from, worker_).pop(packets.data(), left);
    // The lines come from the other processor's cache: all are on their way before one is needed.
    for (unsigned p = 0; p < count; ++p) rte_prefetch0(packets[p].mbuf);
    for (unsigned p = 0; p < count; ++p) {
      rte_prefetch0(rte_pktmbuf_mtod(packets[p].mbuf, void*));
      line.hand_in(packets[p]);
    }
    left -= count;
    taken += count;
  }
  first_ = (first_ + 1) % workers;
  return taken;
}

void Exchange::send_out(Line& line) {
  for (unsigned to = 0; to < handoffs_.workers(); ++to) {
    if (to == worker_) continue;
    Line::Handbox& box = line.handbox(to);
    if (box.count == 0) continue;
    line.handed(to, handoffs_.ring(worker_, to).push(box.packets.data(), box.count));
    handoffs_.wake(to);
  }
}

void Exchange::drain(Line& line) {
  for (unsigned from = 0; from < handoffs_.workers(); ++from) {
    if (from == worker_) continue;
    Handed handed;
    while (handoffs_.ring(from, worker_).pop(&handed, 1) == 1) line.drain(handed);
  }
}

}  // namespace hnv
