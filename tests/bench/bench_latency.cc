// SPDX-License-Identifier: Apache-2.0
//
// How long a packet is on its way through a loaded worker. Two processors: one is the generator's,
// an open loop that counts from the time at which a packet was *to be* sent, so that what waits for
// a late generator or a full ring is in the figure; the other is a worker of the product
// (gateway/worker.cc) on a port of two rings. 4,000 compartments, NVGRE to NVGRE.
//
//   latency/maximum     what the two together carry: the loads are parts of it
//   latency/load:P      p50_us, p99_us, p999_us from the intended time to the generator's
//   reception;
//                       breath_p999_us is the time that a breath with packets took
//
// Where a processor was somebody else's for more than 20 µs, that slice of time and its neighbours
// do not count; `discarded` says their share.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eal.h>

#include "tests/bench/frames.h"
#include "tests/bench/team.h"
#include "tests/bench/world.h"

namespace hnv {
namespace {

constexpr unsigned kOutstanding = 512;  // at most: what piles up has to go again
constexpr unsigned kBurst = 32;
constexpr unsigned kRounds = 6;       // at least, and
constexpr unsigned kMostRounds = 40;  // at most, until there is enough
constexpr double kSeconds = 0.4;      // a round
constexpr size_t kEnough = 500;       // clean slices of 100 µs in all
constexpr unsigned kAhead = 8;        // buffers fetched before they are written
constexpr std::array<unsigned, 3> kLoads{10, 50, 90};

// Latencies in ticks, to 100 µs; what is longer is that.
class Histogram {
 public:
  void add(uint64_t ticks) { ++counts_[std::min<uint64_t>(ticks / kWidth, counts_.size() - 1)]; }
  [[nodiscard]] double quantile(double share) const {
    uint64_t all = 0;
    for (const uint64_t count : counts_) all += count;
    uint64_t below = 0;
    size_t i = 0;
    for (; i + 1 < counts_.size(); ++i) {
      below += counts_[i];
      if (static_cast<double>(below) >= share * static_cast<double>(all)) break;
    }
    return static_cast<double>((i + 1) * kWidth);
  }

 private:
  static constexpr uint64_t kWidth = 8;
  std::vector<uint64_t> counts_ = std::vector<uint64_t>(260'000 / kWidth);
};

// A round: every packet's time, in the order in which they were sent and came back.
struct Sent {
  struct Packet {
    uint64_t due;
    uint32_t late;  // ticks from then until it was back
  };
  uint64_t begin = 0;
  uint64_t end = 0;
  std::vector<Packet> packets{};
};

class Bench {
 public:
  explicit Bench(const World& world)
      : world_(world),
        frames_(make_frames(world, Path::nvgre_to_nvgre, 64)),
        there_(make_ring()),
        back_(make_ring()),
        port_({there_}, {back_}) {
    for (auto& mbuf : mbufs_) {
      mbuf = rte_pktmbuf_alloc(&packet_pool());
      if (mbuf == nullptr) stop("too few packet buffers");
    }
    port_.on_reception(0, &Bench::look, this);
    for (unsigned round = 0; round < kMostRounds && !measured(); ++round) measure_maximum();
    if (!measured()) return;
    for (unsigned round = 0; round < kMostRounds && (round < kRounds || !complete()); ++round) {
      for (size_t load = 0; load < kLoads.size(); ++load) measure(load);
    }
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    for (rte_mbuf* mbuf : mbufs_) rte_pktmbuf_free(mbuf);
  }

  // Whether the processors were ours often enough to know the maximum.
  [[nodiscard]] bool measured() const { return packets_.size() >= kEnough; }
  // Packets a tick at most.
  [[nodiscard]] double per_tick() const { return per_tick_; }
  [[nodiscard]] const Histogram& latencies(size_t load) const { return latencies_[load]; }
  [[nodiscard]] size_t clean(size_t load) const { return clean_[load]; }
  [[nodiscard]] double discarded(size_t load) const {
    return 1 - static_cast<double>(clean_[load]) * BreathClock::kTicks / ticks_[load];
  }
  [[nodiscard]] double breath(size_t load) const { return breaths_[load]; }

 private:
  static uint16_t look(uint16_t, uint16_t, rte_mbuf**, uint16_t count, uint16_t, void* bench) {
    static_cast<Bench*>(bench)->worker_->breath(__rdtsc(), count);
    return count;
  }
  [[nodiscard]] bool complete() const {
    return *std::min_element(clean_.begin(), clean_.end()) >= kEnough;
  }

  unsigned send_due(uint64_t now, uint64_t end);
  unsigned take_back(Sent& into);
  void skip_what_piled_up(uint64_t now);
  Sent round(double gap);
  void measure_maximum();
  void measure(size_t load);

  const World& world_;
  std::vector<Frame> frames_;
  size_t next_frame_ = 0;
  rte_ring* there_;
  rte_ring* back_;
  RingPort port_;
  std::array<rte_mbuf*, kOutstanding> mbufs_{};
  std::unique_ptr<BreathClock> worker_;  // of the round
  std::unique_ptr<BreathClock> generator_;
  std::vector<double> packets_;  // in a clean slice, as many as possible outstanding
  double per_tick_ = 0;
  double gap_ = 0;  // between two packets, in ticks
  double next_due_ = 0;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  uint64_t gaps_ = 0;  // of both processors, as known
  std::array<uint64_t, kOutstanding> due_{};
  std::array<Histogram, kLoads.size()> latencies_{};
  std::array<size_t, kLoads.size()> clean_{};
  std::array<double, kLoads.size()> ticks_{};
  std::array<double, kLoads.size()> breaths_{};  // the longest but for one in a thousand
};

unsigned Bench::send_due(uint64_t now, uint64_t end) {
  if (now >= end) return 0;
  std::array<void*, kBurst> burst{};
  unsigned due = 0;
  for (; due < kBurst; ++due) {
    const uint64_t packet = sent_ + due;
    if (packet - received_ >= kOutstanding || next_due_ > static_cast<double>(now)) break;
    rte_mbuf* mbuf = mbufs_[packet % kOutstanding];
    rte_mbuf* ahead = mbufs_[(packet + kAhead) % kOutstanding];
    __builtin_prefetch(static_cast<uint8_t*>(ahead->buf_addr) + RTE_PKTMBUF_HEADROOM, 1);
    __builtin_prefetch(static_cast<uint8_t*>(ahead->buf_addr) + RTE_PKTMBUF_HEADROOM + 64, 1);
    restore(mbuf, frames_[next_frame_]);
    if (++next_frame_ == frames_.size()) next_frame_ = 0;
    due_[packet % kOutstanding] = static_cast<uint64_t>(next_due_);
    next_due_ += gap_;
    burst[due] = mbuf;
  }
  return due == 0 ? 0 : rte_ring_sp_enqueue_burst(there_, burst.data(), due, nullptr);
}

unsigned Bench::take_back(Sent& into) {
  std::array<void*, kVector> burst{};
  const unsigned count = rte_ring_sc_dequeue_burst(back_, burst.data(), kVector, nullptr);
  const uint64_t now = __rdtsc();
  for (unsigned i = 0; i < count; ++i) {
    const uint64_t at = (received_ + i) % kOutstanding;
    if (burst[i] != mbufs_[at]) stop("a packet was lost or overtaken");
    const uint64_t late = now - std::min(now, due_[at]);
    into.packets.push_back({due_[at], static_cast<uint32_t>(std::min<uint64_t>(late, UINT32_MAX))});
  }
  return count;
}

// After a processor was away: what was to be sent meanwhile never is, since that time does not
// count, and on a busy machine the rest would never be seen without a backlog. Without a gap
// nothing is ever skipped.
void Bench::skip_what_piled_up(uint64_t now) {
  const uint64_t gaps = generator_->gaps() + worker_->gaps();
  if (gaps == gaps_) return;
  gaps_ = gaps;
  next_due_ = std::max(next_due_, static_cast<double>(now));
}

// With a worker that is there for this round.
Sent Bench::round(double gap) {
  worker_ = std::make_unique<BreathClock>();
  generator_ = std::make_unique<BreathClock>();
  Team team(1, Team::Spreading::by_port, port_.id(), world_.plane());
  team.wait_for_breaths();
  const auto hz = static_cast<double>(rte_get_tsc_hz());
  Sent all;
  all.packets.reserve(static_cast<size_t>(kSeconds * hz / std::max(gap, 20.0)) + kOutstanding);
  all.begin = __rdtsc();
  all.end = all.begin + static_cast<uint64_t>(kSeconds * hz);
  gap_ = gap;
  next_due_ = static_cast<double>(all.begin);
  uint64_t now = all.begin;
  while (now < all.end || received_ < sent_) {
    if (now > all.end + static_cast<uint64_t>(hz)) stop("packets do not come back");
    sent_ += send_due(now, all.end);
    const unsigned count = take_back(all);
    received_ += count;
    now = __rdtsc();
    generator_->breath(now, count);
    skip_what_piled_up(now);
  }
  team.stop();
  return all;
}

void Bench::measure_maximum() {
  const Sent sent = round(1);
  for (const uint64_t tick :
       clean_slices({worker_.get(), generator_.get()}, sent.begin, sent.end)) {
    packets_.push_back(generator_->at(tick).packets);
  }
  if (packets_.empty()) return;
  std::nth_element(packets_.begin(), packets_.begin() + static_cast<long>(packets_.size() / 2),
                   packets_.end());
  per_tick_ = packets_[packets_.size() / 2] / BreathClock::kTicks;
}

void Bench::measure(size_t load) {
  const Sent sent = round(100 / (per_tick_ * kLoads[load]));
  // What may have piled up goes at the rate that is left.
  const double backlog = kOutstanding / (per_tick_ * (100 - kLoads[load]) / 100);
  const std::vector<uint64_t> clean =
      clean_slices({worker_.get(), generator_.get()}, sent.begin, sent.end,
                   2 + static_cast<unsigned>(backlog / BreathClock::kTicks));
  clean_[load] += clean.size();
  ticks_[load] += static_cast<double>(sent.end - sent.begin);
  breaths_[load] = std::max(breaths_[load], worker_->quantile(0.999));
  size_t at = 0;
  for (const Sent::Packet& packet : sent.packets) {
    const uint64_t slice = packet.due >> BreathClock::kSliceBits << BreathClock::kSliceBits;
    while (at < clean.size() && clean[at] < slice) ++at;
    if (at < clean.size() && clean[at] == slice) latencies_[load].add(packet.late);
  }
}

const Bench& measured() {
  static const World kWorld({4000, 8000});
  static const Bench kBench(kWorld);
  return kBench;
}

void run_maximum(benchmark::State& state) {
  const Bench& bench = measured();
  if (!bench.measured()) {
    state.SkipWithError("the processors were somebody else's nearly all the time");
    return;
  }
  for (auto unused : state) {
    (void)unused;
    state.SetIterationTime(kSeconds * kRounds);
  }
  state.counters["tsc_per_packet"] = 1 / bench.per_tick();
  state.counters["mpps"] = bench.per_tick() * static_cast<double>(rte_get_tsc_hz()) / 1e6;
}

void run_load(benchmark::State& state, size_t load) {
  const Bench& bench = measured();
  if (!bench.measured() || bench.clean(load) < kEnough) {
    state.SkipWithError("the processors were somebody else's nearly all the time");
    return;
  }
  for (auto unused : state) {
    (void)unused;
    state.SetIterationTime(kSeconds * kRounds);
  }
  const double tick_us = 1e6 / static_cast<double>(rte_get_tsc_hz());
  state.counters["mpps"] = bench.per_tick() * kLoads[load] / 100 / tick_us;
  state.counters["p50_us"] = bench.latencies(load).quantile(0.5) * tick_us;
  state.counters["p99_us"] = bench.latencies(load).quantile(0.99) * tick_us;
  state.counters["p999_us"] = bench.latencies(load).quantile(0.999) * tick_us;
  state.counters["breath_p999_us"] = bench.breath(load) * tick_us;
  state.counters["discarded"] = bench.discarded(load);
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  hnv::start_eal("hnv_bench_latency", hnv::Team::kLcores, 64);
  benchmark::Initialize(&argc, argv);
  benchmark::RegisterBenchmark("latency/maximum", hnv::run_maximum)->UseManualTime()->Iterations(1);
  for (size_t i = 0; i < hnv::kLoads.size(); ++i) {
    benchmark::RegisterBenchmark(fmt::format("latency/load:{}", hnv::kLoads[i]).c_str(),
                                 hnv::run_load, i)
        ->UseManualTime()
        ->Iterations(1);
  }
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
