// SPDX-License-Identifier: Apache-2.0
//
// The packet trace: which way packets of one flow of one domain take, station by station. Off, it
// costs the one branch in Exit. On, the worker writes a record of every move of a matching packet
// into a bounded ring; the control thread makes text of them. After `limit` records it is silent.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "api/state.h"
#include "compartments/clock.h"
#include "compartments/line/exit.h"
#include "compartments/spsc_ring.h"

namespace hnv {

struct TraceRecord {
  Instant at;
  Stage from = Stage::classify;
  Stage to = Stage::tx;
  DropReason reason = DropReason::frame_short;
  bool dropped = false;
  uint8_t protocol = 0;
  uint16_t source_port = 0, destination_port = 0;
  uint16_t bytes = 0;  // IP total length
  IpAddress<Space::customer> source{}, destination{};
  uint32_t vsid = 0;  // by which it came in; 0: another door
};

// What a filter looks for, with the domain resolved.
struct TraceMatch {
  uint64_t compartment_uid = 0;
  std::optional<IpAddress<Space::customer>> source{}, destination{};
  std::optional<uint8_t> protocol{};
  std::optional<uint16_t> source_port{}, destination_port{};
};

// One worker's side.
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor): it is final
class WorkerTrace final : public Tracer {
 public:
  WorkerTrace(const TraceMatch& match, uint32_t limit) : match_(match), left_(limit) {}

  void set_now(Instant now) { now_ = now; }
  void moved(Stage from, Stage to, const PacketSlot& slot) override;
  void dropped(Stage from, DropReason reason, const PacketSlot& slot) override;

  [[nodiscard]] SpscRing<TraceRecord, 4096>& ring() { return ring_; }
  [[nodiscard]] uint64_t missed() const { return missed_.value(); }

 private:
  void note(TraceRecord record, const PacketSlot& slot);

  TraceMatch match_;
  uint32_t left_;
  Instant now_;
  Counter missed_;
  SpscRing<TraceRecord, 4096> ring_;
};

// All workers'. Lives as long as a Dataplane names it.
class PacketTrace {
 public:
  PacketTrace(const TraceMatch& match, uint32_t limit, unsigned workers) {
    for (unsigned i = 0; i < workers; ++i) {
      workers_.push_back(std::make_unique<WorkerTrace>(match, limit));
    }
  }
  [[nodiscard]] WorkerTrace& worker(unsigned i) { return *workers_[i]; }
  [[nodiscard]] unsigned workers() const { return static_cast<unsigned>(workers_.size()); }

 private:
  std::vector<std::unique_ptr<WorkerTrace>> workers_;
};

[[nodiscard]] TraceEvent to_event(const TraceRecord& record, unsigned worker, Instant begin);

}  // namespace hnv
