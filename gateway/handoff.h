// SPDX-License-Identifier: Apache-2.0
//
// From worker to worker: one bounded ring for every ordered pair, so each has one producer and one
// consumer and nobody ever waits. What a ring holds is nobody's: handed out by one worker, not yet
// handed in by the other.
//
// A worker that sleeps is woken by whoever hands it something. The wake-up can be missed (the two
// look at each other without a fence, which every burst would pay for): then the packet waits until
// the sleep ends by itself, kLongestSleep of worker.cc at most.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/clock.h"
#include "compartments/line/stage.h"
#include "compartments/spsc_ring.h"

namespace hnv {

struct Handed {
  rte_mbuf* mbuf = nullptr;
  // Where it goes on. classify: the frame as received on mbuf->port. route: an IP packet of the
  // compartment that its SideNote names. tx: a whole frame for mbuf->port.
  Stage at = Stage::classify;
  uint8_t handoffs = 0;  // PacketSlot::handoffs
  // At classify, what the worker before has found out (PacketSlot).
  bool hairpin = false;
  bool ports_known = false;
  uint32_t ports = 0;
};
static_assert(sizeof(Handed) <= 24);

class Handoffs {
 public:
  static constexpr unsigned kRing = 2048;
  using Ring = SpscRing<Handed, kRing>;

  explicit Handoffs(unsigned workers);

  [[nodiscard]] unsigned workers() const { return workers_; }
  // REQUIRES from != to. `from` pushes, `to` pops.
  [[nodiscard]] Ring& ring(unsigned from, unsigned to) { return *rings_[from * workers_ + to]; }
  // Packets in all rings, and in those toward one worker; from any thread, of the moment.
  [[nodiscard]] uint64_t waiting() const;
  [[nodiscard]] uint64_t waiting_for(unsigned worker) const;

  // On the worker's own thread: until woken, or `longest` has passed, or something waits already.
  void rest(unsigned worker, Duration longest);
  // From any thread. A system call only when the worker does sleep.
  void wake(unsigned worker);

 private:
  struct alignas(64) Sleeper {
    std::atomic<uint32_t> asleep{0};
  };
  unsigned workers_;
  std::vector<std::unique_ptr<Ring>> rings_;  // by from * workers + to; none from one to itself
  std::unique_ptr<Sleeper[]> sleepers_;
};

}  // namespace hnv
