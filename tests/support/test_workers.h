// SPDX-License-Identifier: Apache-2.0
//
// Several workers over one TestDataplane with the twin tenants, breathing in turn on one thread:
// every Line with its Exchange, as worker.cc has them, and the ports' queues given to workers as a
// test likes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/exchange.h"
#include "tests/support/twin_tenants.h"

namespace hnv {

class TestWorkers {
 public:
  // Every port's only transmit queue belongs to worker (port + 1) % workers.
  explicit TestWorkers(unsigned workers);

  // A burst of a port that `worker` receives and shares out.
  void receive(unsigned worker, unsigned port, const std::vector<Bytes>& frames);
  // A turn of every worker; what was sent.
  std::vector<Sent> turn();
  // Turns until nothing moves any more.
  std::vector<Sent> settle();
  // From worker to worker, not yet looked at.
  void hand(unsigned from, unsigned to, const Handed& handed);

  [[nodiscard]] Line& line(unsigned worker) { return *lines_[worker]; }
  [[nodiscard]] unsigned workers() const { return static_cast<unsigned>(lines_.size()); }
  [[nodiscard]] Handoffs& handoffs() { return handoffs_; }
  [[nodiscard]] FakeMbufs& mbufs() { return mbufs_; }
  [[nodiscard]] TestDataplane& network() { return *network_; }
  // Summed over the workers.
  [[nodiscard]] uint64_t drops(DropReason reason) const;
  [[nodiscard]] uint64_t sum_of(Counter WorkerCounters::*counter) const;
  // Every worker's ledger, what the rings hold, the buffers. What is wrong, or "".
  [[nodiscard]] std::string fault() const;

 private:
  std::unique_ptr<TestDataplane> network_;
  FakeMbufs mbufs_;
  Handoffs handoffs_;
  std::vector<std::unique_ptr<Line>> lines_;
  std::vector<Exchange> exchanges_;
};

}  // namespace hnv
