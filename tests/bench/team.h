// SPDX-License-Identifier: Apache-2.0
//
// Real workers on real threads, breathing as in the gateway, on a port whose wire is a ring. What
// stands between two receptions is the whole of a breath: taking in, the line, sending, handing
// over. BreathClock measures exactly that, on the worker's own thread, from DPDK's rx callback.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "compartments/published.h"
#include "gateway/handoff.h"
#include "gateway/worker.h"
#include "tests/bench/frames.h"

namespace hnv {

// The control thread's rights, for a benchmark in its place.
class TestControl {
 public:
  [[nodiscard]] static ControlToken token() { return {}; }
};

// Longer than this between two receptions: the processor was somebody else's.
constexpr uint64_t kPreempted = 52'000;  // TSC ticks, 20 µs at 2.6 GHz

// What a loop did and when, in slices of 100 µs: a worker's breaths, or a benchmark's own rounds.
// Written by the loop's thread; read after its end.
class alignas(64) BreathClock {
 public:
  static constexpr unsigned kSliceBits = 18;                         // of TSC ticks
  static constexpr size_t kSlices = size_t{1} << (36 - kSliceBits);  // 26 seconds
  static constexpr double kTicks = static_cast<double>(1U << kSliceBits);

  BreathClock();
  // At a reception; `count` packets came. What was received before has been dealt with.
  void breath(uint64_t now, unsigned count);
  // After what the benchmark itself had to do there since `breath`: its time does not count.
  void resume(uint64_t now);

  struct Slice {
    uint32_t packets = 0;
    uint32_t renewing = 0;  // ticks of the benchmark's own
    bool preempted = false;
  };
  // How often it was preempted; from any thread.
  [[nodiscard]] uint64_t gaps() const { return gaps_.load(std::memory_order_relaxed); }
  // The slice of a moment. What lies outside of the recording counts as preempted.
  [[nodiscard]] const Slice& at(uint64_t tick) const;
  // The breaths with packets, in ticks: `share` of them took no longer.
  [[nodiscard]] double quantile(double share) const;

 private:
  static constexpr uint64_t kLength = 128;
  Slice* slice(uint64_t tick);

  uint64_t first_;
  uint64_t since_ = 0;
  uint64_t received_at_ = 0;
  unsigned in_breath_ = 0;
  std::atomic<uint64_t> gaps_{0};
  std::vector<Slice> slices_;
  std::vector<uint64_t> lengths_;  // by kLength
};

// Of [begin, end): the slices in which, right before which, and `recovery` slices after which none
// of these was preempted.
[[nodiscard]] std::vector<uint64_t> clean_slices(const std::vector<const BreathClock*>& clocks,
                                                 uint64_t begin, uint64_t end,
                                                 unsigned recovery = 4);

// A port over rings, one of each for a queue.
class RingPort {
 public:
  RingPort(const std::vector<rte_ring*>& rx, const std::vector<rte_ring*>& tx);
  RingPort(const RingPort&) = delete;
  RingPort& operator=(const RingPort&) = delete;
  ~RingPort();
  void on_reception(uint16_t queue, rte_rx_callback_fn call, void* argument);
  [[nodiscard]] uint16_t id() const { return id_; }

 private:
  struct Callback {
    uint16_t queue;
    const rte_eth_rxtx_callback* handle;
  };
  uint16_t id_ = 0;
  std::vector<Callback> callbacks_;
};

[[nodiscard]] rte_ring* make_ring();
// What is left in it goes back to the pool.
void empty_ring(rte_ring* ring);

// A port that never runs dry: what a worker sends comes back to it with the next frame's headers.
class EndlessPort {
 public:
  static constexpr unsigned kPackets = 1000;  // a queue

  EndlessPort(uint16_t queues, const std::vector<Frame>& frames);
  EndlessPort(const EndlessPort&) = delete;
  EndlessPort& operator=(const EndlessPort&) = delete;
  ~EndlessPort();
  [[nodiscard]] uint16_t id() const { return port_->id(); }
  // By queue. After the workers' end.
  [[nodiscard]] std::vector<const BreathClock*> clocks() const;

 private:
  struct alignas(64) Queue {
    const std::vector<Frame>* frames = nullptr;
    size_t next = 0;
    rte_ring* ring = nullptr;
    BreathClock clock;
  };
  static uint16_t renew(uint16_t port, uint16_t queue, rte_mbuf* packets[], uint16_t count,
                        uint16_t most, void* argument);

  std::vector<Queue> queues_;
  std::unique_ptr<RingPort> port_;
};

// Workers 0..n-1 on lcores 1..n, from construction to stop(); kLcores says where those are.
class Team {
 public:
  static constexpr const char* kLcores = "0@0,1@1,2@0";  // main, first and second worker
  enum class Spreading : uint8_t { by_port, in_software };

  Team(uint16_t workers, Spreading spreading, uint16_t port, const Dataplane& plane);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team() { stop(); }

  void publish(const Dataplane& plane);
  // Frees what is free. Apart from publish: in the gateway another thread does most of it.
  void sweep() { published_.sweep(TestControl::token()); }
  // Until every worker has begun a breath after now.
  void wait_for_breaths();
  // Ends the process when a packet was lost, or when a ledger does not balance.
  void stop();

 private:
  Rcu rcu_;
  Published<Dataplane> published_;
  Handoffs handoffs_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Waits, in real time: measurements take some.
void pass(Duration duration);

}  // namespace hnv
