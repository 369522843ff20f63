// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <rte_ethdev.h>
#include <rte_pause.h>

namespace hnv {
namespace {

// Empty breaths before the first sleep, then sleeps that grow: a loaded gateway never sleeps, an
// idle one wakes a thousand times a second. A packet that arrives meanwhile, or whose wake-up was
// missed (gateway/handoff.h), waits for kLongestSleep at most, and the kernel's timer slack.
constexpr unsigned kSpins = 200;
constexpr Duration kShortestSleep = std::chrono::microseconds(20);
constexpr Duration kLongestSleep = std::chrono::microseconds(500);

}  // namespace

Instant worker_clock() {
  // Not the processor's counter: its zero, and what DPDK takes for its frequency, are not those of
  // the clock by which others of this process, and charon, count.
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant{static_cast<uint64_t>(std::chrono::duration_cast<Duration>(since).count())};
}

Worker::Worker(Config config, Rcu& rcu, const Published<Dataplane>& published, Handoffs& handoffs)
    : config_(std::move(config)),
      rcu_(rcu),
      published_(published),
      handoffs_(handoffs),
      line_(config_.worker, static_cast<unsigned>(config_.ports.size()), handoffs.workers(),
            config_.nat_sessions, config_.shaped_packets),
      exchange_(handoffs, config_.worker) {
  for (unsigned port = 0; port < config_.ports.size(); ++port) {
    line_.set_sender(port, config_.ports[port].queues.sender);
  }
}

// Ports in turn, so that a flooded one does not starve the others.
unsigned Worker::take_in() {
  unsigned taken = 0;
  while (line_.room() > 0) {
    rte_mbuf* mbuf = nullptr;
    if (to_inject_.pop(&mbuf, 1) == 0) break;
    line_.inject(mbuf);
    ++taken;
  }
  taken += exchange_.take_in(line_);
  const auto ports = static_cast<unsigned>(config_.ports.size());
  for (unsigned i = 0; i < ports; ++i) taken += receive((first_port_ + i) % ports);
  if (ports > 0) first_port_ = (first_port_ + 1) % ports;
  return taken;
}

unsigned Worker::receive(unsigned port) {
  const PortPart& part = config_.ports[port];
  unsigned taken = 0;
  for (const uint16_t queue : part.queues.receives) {
    const unsigned room = line_.room();
    if (room == 0) break;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled up to count
    std::array<rte_mbuf*, kVector> packets;
    const unsigned count =
        rte_eth_rx_burst(part.port, queue, packets.data(), static_cast<uint16_t>(room));
    taken += count;
    for (unsigned p = 0; p < count; ++p) rte_prefetch0(rte_pktmbuf_mtod(packets[p], void*));
    if (part.queues.spreads) {
      // The inner headers begin on the second line.
      for (unsigned p = 0; p < count; ++p) {
        rte_prefetch0(rte_pktmbuf_mtod_offset(packets[p], void*, 64));
      }
      line_.receive_spread(packets.data(), count, PortId(port));
      exchange_.send_out(line_);
    } else {
      for (unsigned p = 0; p < count; ++p) line_.receive(packets[p], PortId(port));
    }
  }
  return taken;
}

void Worker::send_out() {
  for (unsigned port = 0; port < config_.ports.size(); ++port) {
    Line::Outbox& box = line_.outbox(port);
    if (box.count == 0) continue;
    const PortPart& part = config_.ports[port];
    const unsigned sent = rte_eth_tx_burst(part.port, part.queues.sends, box.packets.data(),
                                           static_cast<uint16_t>(box.count));
    line_.sent(port, sent);
  }
  exchange_.send_out(line_);
  Line::Outbox& punts = line_.punts();
  if (punts.count > 0) line_.punted(punted_.push(punts.packets.data(), punts.count));
}

unsigned Worker::breathe(WorkerRcu& rcu) {
  const unsigned held_before = static_cast<unsigned>(line_.held());
  const unsigned taken = take_in();
  // Only now: see the head of worker.h.
  const Dataplane& plane = published_.read(rcu.token());
  const Instant now = worker_clock();
  if (taken > 0 || held_before > 0) {
    line_.set_punts_waiting(static_cast<unsigned>(punted_.size()));
    line_.run(plane, now);
  } else {
    line_.tend(plane, now);
  }
  send_out();
  line_.counters().breaths.add();
  if (taken == 0) line_.counters().idle_breaths.add();
  answer_picture();
  rcu.quiescent();
  return taken;
}

void Worker::rest(WorkerRcu& rcu, unsigned& idle) {
  ++idle;
  if (config_.busy_poll || idle < kSpins) {
    rte_pause();
    return;
  }
  line_.counters().sleeps.add();
  rcu.offline();
  handoffs_.rest(config_.worker, std::min(kLongestSleep, kShortestSleep * (idle / kSpins)));
  rcu.online();
}

void Worker::run() {
  WorkerRcu rcu(rcu_, config_.worker);
  unsigned idle = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    if (breathe(rcu) > 0) {
      idle = 0;
    } else {
      rest(rcu, idle);
    }
  }
  line_.drain();
  answer_picture();
}

void Worker::answer_picture() {
  const uint64_t asked = picture_asked_.load(std::memory_order_acquire);
  if (picture_given_.load(std::memory_order_relaxed) == asked) return;
  picture_.counters = line_.counters();
  picture_.held = line_.held();
  picture_.fresh = true;
  picture_given_.store(asked, std::memory_order_release);
}

WorkerPicture Worker::picture(Duration patience) {
  const std::scoped_lock lock(picture_mutex_);
  const uint64_t mine = picture_asked_.load(std::memory_order_relaxed) + 1;
  // An earlier picture that came too late may still be in the making: it is safe to look only when
  // the worker has answered this very question.
  picture_asked_.store(mine, std::memory_order_release);
  const auto end = std::chrono::steady_clock::now() + patience;
  while (picture_given_.load(std::memory_order_acquire) != mine) {
    if (std::chrono::steady_clock::now() > end) {
      last_picture_.fresh = false;
      return last_picture_;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  last_picture_ = picture_;
  return last_picture_;
}

}  // namespace hnv
