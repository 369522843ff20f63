// SPDX-License-Identifier: Apache-2.0
//
// A worker: one thread on one lcore that breathes. A breath is: what other workers handed over, rx,
// read the Dataplane (after both, so that what arrives after a change was acknowledged meets the
// change), the line, tx, handoffs, punts, the quiescent state. A worker that finds nothing to do
// sleeps, longer the longer it was idle, with its RCU thread offline; who hands it something wakes
// it. `busyPoll` switches sleeping off.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/clock.h"
#include "compartments/published.h"
#include "compartments/spsc_ring.h"
#include "gateway/dataplane.h"
#include "gateway/exchange.h"
#include "gateway/line.h"
#include "gateway/port_queues.h"

namespace hnv {

// The clock of the workers and of the control thread: CLOCK_MONOTONIC.
[[nodiscard]] Instant worker_clock();

// A consistent copy of a worker's counters, taken between two breaths.
struct WorkerPicture {
  WorkerCounters counters;
  uint64_t held = 0;
  bool fresh = false;  // false: the worker did not answer in time; the last picture
};

class Worker {
 public:
  struct PortPart {
    uint16_t port = 0;  // DPDK's id
    QueueShare queues;
  };
  struct Config {
    unsigned worker = 0;            // 0..n-1
    unsigned lcore = 0;             // the processor, as configured
    std::vector<PortPart> ports{};  // by PortId
    bool busy_poll = false;
    uint32_t nat_sessions = Line::kFewSessions;  // at most
    uint32_t shaped_packets = Shaper::kPackets;  // at most, that wait for their tunnels' rates
  };
  static constexpr unsigned kRing = 1024;
  using Ring = SpscRing<rte_mbuf*, kRing>;

  Worker(Config config, Rcu& rcu, const Published<Dataplane>& published, Handoffs& handoffs);

  // The loop; returns after stop(), with everything drained.
  void run();
  // After run() of every worker has returned: drops what came too late.
  void drain_handed() { exchange_.drain(line_); }
  // From any thread.
  void stop() { stop_.store(true, std::memory_order_release); }

  // The control thread's ends of the two rings.
  [[nodiscard]] Ring& punted() { return punted_; }
  [[nodiscard]] Ring& to_inject() { return to_inject_; }

  // For what NatTable lets other threads do; all of it while run() is not under way.
  [[nodiscard]] NatTable& nat() { return line_.nat().table; }
  [[nodiscard]] const NatTable& nat() const { return line_.nat().table; }
  // From one other thread at a time; the one before must be done.
  void ask_nat(NatRequest* request) {
    line_.nat().request.store(request, std::memory_order_release);
  }
  // The control thread's end of what it tells of tunnels.
  [[nodiscard]] IpsecNotices& ipsec_notices() { return line_.ipsec().notices; }
  // From any thread but the worker's: waits for the end of a breath, at most `patience`.
  [[nodiscard]] WorkerPicture picture(Duration patience);
  // REQUIRES that run() has returned.
  [[nodiscard]] WorkerPicture final_picture() { return {line_.counters(), line_.held(), true}; }
  [[nodiscard]] const Config& config() const { return config_; }
  // From any thread: moves with every breath, the next at most a sleep away.
  [[nodiscard]] uint64_t breaths() { return line_.counters().breaths.value(); }

 private:
  unsigned breathe(WorkerRcu& rcu);
  unsigned take_in();
  unsigned receive(unsigned port);
  void send_out();
  void answer_picture();
  void rest(WorkerRcu& rcu, unsigned& idle);

  Config config_;
  Rcu& rcu_;
  const Published<Dataplane>& published_;
  Handoffs& handoffs_;
  Line line_;
  Exchange exchange_;
  unsigned first_port_ = 0;  // round robin
  Ring punted_;
  Ring to_inject_;
  std::atomic<bool> stop_{false};

  // A picture is asked for by raising `asked`; the worker copies and raises `given` to it.
  std::mutex picture_mutex_;  // among those who ask; the worker never takes it
  std::atomic<uint64_t> picture_asked_{0};
  std::atomic<uint64_t> picture_given_{0};
  WorkerPicture picture_;
  WorkerPicture last_picture_;
};

}  // namespace hnv
