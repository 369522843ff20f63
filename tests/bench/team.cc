// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/team.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <x86intrin.h>

#include <fmt/format.h>
#include <rte_eth_ring.h>
#include <rte_launch.h>

namespace hnv {
namespace {

constexpr unsigned kRingSize = 4096;

int run_worker(void* worker) {
  static_cast<Worker*>(worker)->run();
  return 0;
}

}  // namespace

BreathClock::BreathClock()
    : first_(__rdtsc() >> kSliceBits << kSliceBits),
      slices_(kSlices),
      lengths_(kPreempted / kLength + 1) {}

BreathClock::Slice* BreathClock::slice(uint64_t tick) {
  const uint64_t index = (tick - first_) >> kSliceBits;
  return index < slices_.size() ? &slices_[index] : nullptr;
}

const BreathClock::Slice& BreathClock::at(uint64_t tick) const {
  static const Slice kUnknown{.packets = 0, .renewing = 0, .preempted = true};
  const uint64_t index = (tick - first_) >> kSliceBits;
  return tick >= first_ && index < slices_.size() ? slices_[index] : kUnknown;
}

void BreathClock::breath(uint64_t now, unsigned count) {
  const uint64_t since = since_ == 0 ? now : since_;
  if (now - since < kPreempted) {
    if (Slice* here = slice(now)) here->packets += in_breath_;
    if (in_breath_ > 0) ++lengths_[(now - since) / kLength];
  } else {
    gaps_.store(gaps_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    for (uint64_t tick = since; tick < now + (1U << kSliceBits); tick += 1U << kSliceBits) {
      if (Slice* lost = slice(tick)) lost->preempted = true;
    }
  }
  since_ = now;
  received_at_ = now;
  in_breath_ = count;
}

void BreathClock::resume(uint64_t now) {
  since_ = now;
  Slice* here = slice(now);
  if (here == nullptr) return;
  if (now - received_at_ >= kPreempted) here->preempted = true;
  here->renewing += static_cast<uint32_t>(now - received_at_);
}

double BreathClock::quantile(double share) const {
  const uint64_t all = std::accumulate(lengths_.begin(), lengths_.end(), uint64_t{0});
  uint64_t below = 0;
  for (size_t i = 0; i < lengths_.size(); ++i) {
    below += lengths_[i];
    if (static_cast<double>(below) >= share * static_cast<double>(all)) {
      return static_cast<double>((i + 1) * kLength);
    }
  }
  return static_cast<double>(kPreempted);
}

std::vector<uint64_t> clean_slices(const std::vector<const BreathClock*>& clocks, uint64_t begin,
                                   uint64_t end, unsigned recovery) {
  constexpr uint64_t kSlice = uint64_t{1} << BreathClock::kSliceBits;
  std::vector<uint64_t> clean;
  uint64_t disturbed_until = 0;
  const auto preempted = [&](uint64_t tick) {
    return std::any_of(clocks.begin(), clocks.end(),
                       [&](const BreathClock* clock) { return clock->at(tick).preempted; });
  };
  // All clocks share one grid. The first and the last slice may be of something else in part.
  for (uint64_t tick = (begin / kSlice + 1) * kSlice; tick + kSlice <= end; tick += kSlice) {
    if (preempted(tick)) {
      disturbed_until = tick + (1 + recovery) * kSlice;
    }
    // Nor what was still on its way when it came to that.
    if (tick >= disturbed_until && !preempted(tick + kSlice)) clean.push_back(tick);
  }
  return clean;
}

rte_ring* make_ring() {
  static unsigned made = 0;
  rte_ring* ring = rte_ring_create(fmt::format("bench{}", made++).c_str(), kRingSize, 0,
                                   RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr) stop("no memory for a ring");
  return ring;
}

void empty_ring(rte_ring* ring) {
  void* mbuf = nullptr;
  while (rte_ring_dequeue(ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
}

RingPort::RingPort(const std::vector<rte_ring*>& rx, const std::vector<rte_ring*>& tx) {
  static unsigned made = 0;
  const int made_as = rte_eth_from_rings(fmt::format("bench{}", made++).c_str(), rx.data(),
                                         static_cast<unsigned>(rx.size()), tx.data(),
                                         static_cast<unsigned>(tx.size()), 0);
  if (made_as < 0) stop("DPDK makes no port of rings");
  id_ = static_cast<uint16_t>(made_as);
  const rte_eth_conf plain{};
  const auto rx_queues = static_cast<uint16_t>(rx.size());
  const auto tx_queues = static_cast<uint16_t>(tx.size());
  bool good = rte_eth_dev_configure(id_, rx_queues, tx_queues, &plain) == 0;
  for (uint16_t q = 0; q < rx_queues; ++q) {
    good = good && rte_eth_rx_queue_setup(id_, q, kRingSize, 0, nullptr, &packet_pool()) == 0;
  }
  for (uint16_t q = 0; q < tx_queues; ++q) {
    good = good && rte_eth_tx_queue_setup(id_, q, kRingSize, 0, nullptr) == 0;
  }
  if (!good || rte_eth_dev_start(id_) != 0) stop("a port of rings does not start");
}

RingPort::~RingPort() {
  rte_eth_dev_stop(id_);
  for (const Callback& c : callbacks_) rte_eth_remove_rx_callback(id_, c.queue, c.handle);
  rte_eth_dev_close(id_);
}

void RingPort::on_reception(uint16_t queue, rte_rx_callback_fn call, void* argument) {
  callbacks_.push_back({queue, rte_eth_add_rx_callback(id_, queue, call, argument)});
  if (callbacks_.back().handle == nullptr) stop("DPDK was built without rx callbacks");
}

EndlessPort::EndlessPort(uint16_t queues, const std::vector<Frame>& frames) : queues_(queues) {
  std::vector<rte_ring*> rings;
  for (uint16_t q = 0; q < queues; ++q) {
    queues_[q].frames = &frames;
    queues_[q].next = frames.size() / queues * q;
    queues_[q].ring = make_ring();
    rings.push_back(queues_[q].ring);
    for (unsigned i = 0; i < kPackets; ++i) {
      rte_mbuf* mbuf = rte_pktmbuf_alloc(&packet_pool());
      if (mbuf == nullptr) stop("too few packet buffers");
      rte_ring_enqueue(rings.back(), mbuf);
    }
  }
  port_ = std::make_unique<RingPort>(rings, rings);
  for (uint16_t q = 0; q < queues; ++q) port_->on_reception(q, &EndlessPort::renew, &queues_[q]);
}

EndlessPort::~EndlessPort() {
  port_.reset();
  for (const Queue& queue : queues_) {
    empty_ring(queue.ring);
    rte_ring_free(queue.ring);
  }
}

std::vector<const BreathClock*> EndlessPort::clocks() const {
  std::vector<const BreathClock*> all;
  for (const Queue& queue : queues_) all.push_back(&queue.clock);
  return all;
}

uint16_t EndlessPort::renew(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t count, uint16_t,
                            void* argument) {
  Queue& queue = *static_cast<Queue*>(argument);
  queue.clock.breath(__rdtsc(), count);
  for (unsigned i = 0; i < count; ++i) {
    restore(packets[i], (*queue.frames)[queue.next]);
    if (++queue.next == queue.frames->size()) queue.next = 0;
  }
  queue.clock.resume(__rdtsc());
  return count;
}

Team::Team(uint16_t workers, Spreading spreading, uint16_t port, const Dataplane& plane)
    : rcu_(workers),
      published_(rcu_, std::make_shared<const Dataplane>(plane)),
      handoffs_(workers) {
  for (uint16_t w = 0; w < workers; ++w) {
    Worker::Config config{.worker = w, .lcore = w + 1U, .busy_poll = true};
    config.ports.push_back({port,
                            {.receives = {w},
                             .sender = w,
                             .sends = w,
                             .spreads = spreading == Spreading::in_software}});
    workers_.push_back(std::make_unique<Worker>(std::move(config), rcu_, published_, handoffs_));
  }
  for (unsigned w = 0; w < workers; ++w) {
    if (rte_eal_remote_launch(run_worker, workers_[w].get(), w + 1) != 0)
      hnv::stop("an lcore is busy");
  }
}

void Team::publish(const Dataplane& plane) {
  published_.publish(std::make_shared<const Dataplane>(plane), TestControl::token());
}

void Team::wait_for_breaths() {
  for (auto& worker : workers_) {
    // The one that is under way may have read what was there before.
    const uint64_t wanted = worker->breaths() + 2;
    while (worker->breaths() < wanted) _mm_pause();
  }
}

void Team::stop() {
  if (workers_.empty()) return;
  for (auto& worker : workers_) worker->stop();
  rte_eal_mp_wait_lcore();
  uint64_t dropped = 0;
  bool balanced = true;
  for (auto& worker : workers_) {
    const WorkerPicture last = worker->final_picture();
    for (const auto& drop : last.counters.drops) dropped += drop.value();
    balanced = balanced && sum(last.counters, last.held).balanced();
  }
  if (dropped > 0 || !balanced) {
    hnv::stop(fmt::format("{} packets were lost, the ledger {}", dropped,
                          balanced ? "balances" : "does not balance"));
  }
  for (auto& worker : workers_) worker->drain_handed();
  workers_.clear();
  sweep();
}

void pass(Duration duration) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, duration, [] { return false; });
}

}  // namespace hnv
