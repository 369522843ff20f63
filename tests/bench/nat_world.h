// SPDX-License-Identifier: Apache-2.0
//
// A world whose domains go out by NAT, a worker's line, and sessions in it: UDP, one mapping each,
// in turn of the domains and then of their machines. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gateway/line.h"
#include "tests/bench/frames.h"
#include "tests/bench/world.h"
#include "tests/support/random.h"

namespace hnv {

class NatWorld {
 public:
  // Machines of all domains.
  static constexpr unsigned kMachines = 8000;

  // With room for so many sessions; none is open yet. REQUIRES domains <= kMachines, and at most
  // kPorts sessions a domain for a session's inside port to be the only one of its domain.
  NatWorld(unsigned domains, unsigned sessions);

  // Opens the next `count` sessions. The process ends when one is refused.
  void open(unsigned count);
  // Makes present what the sessions need, as the control thread does, opens them all, and goes
  // through them once, as is due after a new plan.
  void open_all();
  // What the control thread would take.
  void take_records();

  // The n-th session; `outside` is known when it is open.
  [[nodiscard]] NatFlow flow(unsigned n) const;
  // A packet of any one of the open sessions into each buffer.
  void fill_out(Packets& packets, unsigned size);
  void fill_back(Packets& packets, unsigned size);

  // It stands still unless told; it never goes back.
  [[nodiscard]] Instant now() const { return now_; }
  void pass_time(Duration duration) { now_ = now_ + duration; }

  [[nodiscard]] Line& line() { return *line_; }
  [[nodiscard]] NatTable& table() { return line_->nat().table; }
  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const NatPlan& plan() const { return *world_.plane().nat; }
  [[nodiscard]] unsigned sessions() const { return static_cast<unsigned>(outside_.size()); }
  // What of the process has become resident since shortly before there was a line.
  [[nodiscard]] uint64_t bytes_taken() const;

 private:
  static constexpr unsigned kPorts = 63999;  // shares no factor with the machines of a domain
  struct Outside {
    be32 address;
    be16 port;
  };
  World world_;
  std::vector<Outside> outside_;             // by session
  uint64_t empty_bytes_ = 0;                 // of the process, before the line
  std::vector<CompartmentId> compartments_;  // by domain
  std::unique_ptr<Line> line_;
  unsigned opened_ = 0;
  Instant now_ = kNow;
  Random random_{7};
};

}  // namespace hnv
