// SPDX-License-Identifier: Apache-2.0
//
// Workers as threads of their own (and under TSan): each receives flows that are the others' as
// well, the control thread publishes and frees Dataplanes all the while, and every frame leaves by
// one worker. Nothing is lost, reordered or looked at by two; the ledger balances.
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/published.h"
#include "tests/gateway/line_cases.h"
#include "tests/support/test_workers.h"

namespace hnv {

class TestControl {
 public:
  [[nodiscard]] static ControlToken token() { return {}; }
};

namespace {

constexpr unsigned kWorkers = 3;
constexpr unsigned kFlows = 48;                      // of each receiver
constexpr uint16_t kPackets = 300;                   // of each flow
constexpr uint64_t kInFlight = Handoffs::kRing / 2;  // so that no ring is ever full
constexpr uint64_t kAll = uint64_t{kWorkers} * kFlows * kPackets;

Bytes numbered(unsigned receiver, unsigned flow, uint16_t number) {
  const Tenant& tenant = kTwins[flow % 2];
  return from_vm(tenant,
                 Frame(ip("10.0.1.11", "10.0.1.12").with([&](IpLayer& l) { l.id = number; })) /
                     udp(static_cast<uint16_t>(1000 + 1000 * receiver + flow), 2000))
      .bytes();
}

struct Seen {
  uint32_t vsid;
  uint16_t port;
  uint16_t number;
};

class ThreadedWorkers {
 public:
  ThreadedWorkers()
      : network_(twin_dataplane(kWorkers)),
        handoffs_(kWorkers),
        rcu_(kWorkers),
        published_(rcu_, network_->root()) {
    for (unsigned w = 0; w < kWorkers; ++w) {
      lines_.push_back(std::make_unique<Line>(w, 2, kWorkers));
      lines_[w]->set_sender(kFabricPort, 0);
      mbufs_.push_back(std::make_unique<FakeMbufs>(kFlows * kPackets, FakeMbufs::Reuse::never));
    }
  }

  // Publishes until the workers have nothing left.
  void run() {
    std::vector<std::thread> threads;
    for (unsigned w = 0; w < kWorkers; ++w) threads.emplace_back([this, w] { work(w); });
    uint64_t publishes = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (sent_.load(std::memory_order_relaxed) < kAll && std::chrono::steady_clock::now() < end) {
      network_->change({{"routingDomains/contoso/customerRoutes/turning",
                         ++publishes % 2 == 1
                             ? R"({"destinationPrefix":"198.51.100.0/24","nextHop":"10.0.0.77"})"
                             : ""}});
      published_.publish(network_->root(), TestControl::token());
      published_.sweep(TestControl::token());
      std::this_thread::yield();
    }
    stop_.store(true, std::memory_order_release);
    for (std::thread& thread : threads) thread.join();
    published_.sweep(TestControl::token());
  }

  [[nodiscard]] const std::vector<Seen>& seen() const { return seen_; }
  [[nodiscard]] Line& line(unsigned w) { return *lines_[w]; }
  [[nodiscard]] Handoffs& handoffs() { return handoffs_; }
  [[nodiscard]] size_t in_use() const {
    size_t sum = 0;
    for (const auto& pool : mbufs_) sum += pool->in_use();
    return sum;
  }

 private:
  void work(unsigned w) {
    WorkerRcu rcu(rcu_, w);
    Exchange exchange(handoffs_, w);
    Line& line = *lines_[w];
    unsigned next = 0;  // of kFlows * kPackets, flow by flow in turn
    while (!stop_.load(std::memory_order_acquire)) {
      const unsigned taken = exchange.take_in(line);
      const unsigned received = receive(w, line, next);
      exchange.send_out(line);
      line.run(published_.read(rcu.token()), Instant{1'000'000'000});
      take_sent(w, line);
      exchange.send_out(line);
      rcu.quiescent();
      if (taken + received == 0) {
        rcu.offline();
        handoffs_.rest(w, std::chrono::microseconds(200));
        rcu.online();
      }
    }
  }

  unsigned receive(unsigned w, Line& line, unsigned& next) {
    // Relaxed, like every count here: what is tested must not be helped to its order.
    if (received_.load(std::memory_order_relaxed) >
        sent_.load(std::memory_order_relaxed) + kInFlight) {
      return 0;
    }
    std::array<rte_mbuf*, kVector> burst{};
    unsigned count = 0;
    for (; count < line.room() && count < 32 && next < kFlows * kPackets; ++count, ++next) {
      burst[count] =
          mbufs_[w]->take(numbered(w, next % kFlows, static_cast<uint16_t>(next / kFlows)));
    }
    received_.fetch_add(count, std::memory_order_relaxed);
    line.receive_spread(burst.data(), count, PortId(kFabricPort));
    return count;
  }

  void take_sent(unsigned w, Line& line) {
    Line::Outbox& box = line.outbox(kFabricPort);
    if (box.count == 0) return;
    for (unsigned i = 0; i < box.count; ++i) {
      const uint8_t* at = bytes_of(*box.packets[i]).data();
      ASSERT_EQ(w, 0U) << "only worker 0 sends";
      seen_.push_back({reinterpret_cast<const wire::Gre*>(at + 34)->key.value() >> 8,
                       reinterpret_cast<const wire::Ports*>(at + 76)->source.value(),
                       reinterpret_cast<const wire::Ipv4*>(at + 56)->id.value()});
      rte_pktmbuf_free(box.packets[i]);
    }
    line.sent(kFabricPort, box.count);
    sent_.store(seen_.size(), std::memory_order_relaxed);
  }

  std::unique_ptr<TestDataplane> network_;
  std::vector<std::unique_ptr<FakeMbufs>> mbufs_;
  Handoffs handoffs_;
  Rcu rcu_;
  Published<Dataplane> published_;
  std::vector<std::unique_ptr<Line>> lines_;
  std::vector<Seen> seen_;  // worker 0's
  std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> sent_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace

TEST(HandoffThreads, LoseAndReorderNothing) {
  ThreadedWorkers workers;
  workers.run();
  EXPECT_EQ(workers.seen().size(), kAll);
  std::array<std::array<uint16_t, kFlows>, kWorkers> next{};
  for (const Seen& s : workers.seen()) {
    const unsigned receiver = (s.port - 1000U) / 1000;
    const unsigned flow = s.port % 1000U;
    ASSERT_EQ(s.vsid, kTwins[flow % 2].web);
    ASSERT_EQ(s.number, (next[receiver][flow])++) << "port " << s.port;
  }
  uint64_t in = 0;
  uint64_t out = 0;
  for (unsigned w = 0; w < kWorkers; ++w) {
    const WorkerCounters& counters = workers.line(w).counters();
    EXPECT_TRUE(sum(counters, workers.line(w).held()).balanced()) << w;
    EXPECT_GT(counters.stations[size_t(Stage::enter_nvgre)].packets.value(), kFlows * kPackets / 2U)
        << "each worker does its share";
    in += counters.handed_in.value();
    out += counters.handed_out.value();
  }
  EXPECT_EQ(in, out);
  EXPECT_EQ(workers.handoffs().waiting(), 0U);
  EXPECT_EQ(workers.in_use(), 0U);
}

}  // namespace hnv
