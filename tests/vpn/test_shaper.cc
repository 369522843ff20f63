// SPDX-License-Identifier: Apache-2.0
//
// The queues behind the rates, by themselves: tunnels without a network, in time that a test moves.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "tests/support/fake_mbufs.h"
#include "tests/support/random.h"
#include "vpn/ipsec_worker.h"
#include "vpn/tunnel_spec.h"

namespace hnv {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kBreath = microseconds(500);  // as long as a worker sleeps
constexpr auto kOut = SaDirection::outbound;

TunnelRate with_default_burst(uint32_t kilobits) {
  return {kilobits, burst_bytes(std::nullopt, kilobits)};
}

// An IP header; its packet id says which packet it is.
Bytes packet(uint32_t bytes, uint16_t id, uint8_t tos = 0) {
  Bytes out(bytes, 0x61);
  auto& ip = *reinterpret_cast<wire::Ipv4*>(out.data());
  ip = {};
  ip.version_ihl = 0x45;
  ip.tos = tos;
  ip.total_length = be16{static_cast<uint16_t>(bytes)};
  ip.id = be16{id};
  ip.protocol = wire::ip_protocol::kUdp;
  set_checksum(ip);
  return out;
}
Bytes packet6(uint32_t bytes, uint8_t traffic_class) {
  Bytes out(bytes, 0x61);
  out[0] = 0x60;
  reinterpret_cast<wire::Ipv6*>(out.data())->set_traffic_class(traffic_class);
  return out;
}

class Shaped {
 public:
  explicit Shaped(unsigned tunnels, const TunnelRate& rate, uint32_t packets = Shaper::kPackets)
      : mbufs_(packets + 64), mine_(std::make_unique<IpsecWorker>(packets)) {
    for (unsigned i = 0; i < tunnels; ++i) put_tunnel(i, i + 1, rate);
    publish();
  }
  ~Shaped() {
    drain_ipsec(*mine_, counters_);
    EXPECT_EQ(mbufs_.in_use(), 0U) << "a buffer was lost";
  }
  Shaped(const Shaped&) = delete;
  Shaped& operator=(const Shaped&) = delete;
  Shaped(Shaped&&) = delete;
  Shaped& operator=(Shaped&&) = delete;

  void put_tunnel(unsigned id, uint64_t uid, const TunnelRate& rate, uint64_t domain = 1) {
    auto view = std::make_shared<TunnelView>();
    const auto before = id < tunnels_.size() ? tunnels_[id] : nullptr;
    view->id = TunnelId(id);
    view->uid = uid;
    view->compartment_uid = domain;
    view->outbound = view->inbound = rate;
    const bool same = before != nullptr && before->uid == uid;
    view->meters_owner = same ? before->meters_owner : std::make_shared<TunnelMeters>();
    view->traffic_owner = same ? before->traffic_owner
                               : std::shared_ptr<ConnectionCounters[]>(new ConnectionCounters[1]);
    view->drops_owner =
        same ? before->drops_owner : std::shared_ptr<TunnelCounters[]>(new TunnelCounters[1]);
    view->meters = view->meters_owner.get();
    view->traffic = view->traffic_owner.get();
    view->drops = view->drops_owner.get();
    tunnels_ = tunnels_.with(id, view);
  }
  void remove_tunnel(unsigned id) { tunnels_ = tunnels_.with(id, nullptr); }
  void publish() {
    auto plan = std::make_shared<IpsecPlan>();
    plan->serial = ++serial_;
    plan->tunnels = tunnels_;
    plan_ = plan;
  }

  enum class Went : uint8_t { on, waits, dropped, delayed };  // delayed: dropped by CoDel
  // As a door does it, and `tx` behind it. The packet carries its tunnel's number.
  Went offer(unsigned id, const Bytes& bytes, SaDirection direction = kOut) {
    return offer_through({id}, bytes, direction);
  }
  // The doors of several tunnels.
  Went offer_through(const std::vector<unsigned>& ids, const Bytes& bytes,
                     SaDirection direction = kOut) {
    const unsigned id = ids.back();
    PacketSlot slot;
    slot.load(mbufs_.take(bytes));
    slot.family = bytes[0] >> 4 == 4 ? Family::ipv4 : Family::ipv6;
    slot.bytes = static_cast<uint32_t>(bytes.size());
    set_departure(*slot.mbuf, {});
    std::memcpy(slot.data + kTunnelAt, &id, sizeof id);
    for (const unsigned door : ids) {
      const TunnelView& tunnel = *tunnels_[door];
      ShapedWay& way = tunnel.meters->way(direction);
      if (Shaper::passes(tunnel.rate(direction), way, slot, now_)) continue;
      const auto verdict = mine_->shaper.shape(tunnel, direction, slot, 0, now_);
      if (verdict == Shaper::Verdict::goes) continue;
      rte_pktmbuf_free(slot.mbuf);
      return verdict == Shaper::Verdict::too_much ? Went::dropped : Went::delayed;
    }
    if (departure_of(*slot.mbuf).meter != 0) return park(slot.mbuf, id);
    passed_[id] += bytes.size();
    rte_pktmbuf_free(slot.mbuf);
    return Went::on;
  }
  struct Out {
    unsigned tunnel;
    uint16_t id;
    Bytes bytes;
  };
  std::vector<Out> breathe(Duration after = kBreath, unsigned room = kVector) {
    now_ = now_ + after;
    std::vector<Shaper::Leaving> released(kVector);
    const unsigned count = mine_->shaper.release(released.data(), room, *plan_, now_);
    EXPECT_LE(count, room);
    std::vector<Out> out;
    for (unsigned i = 0; i < count; ++i) {
      const auto bytes = bytes_of(*released[i].mbuf);
      const auto& ip = *reinterpret_cast<const wire::Ipv4*>(bytes.data());
      unsigned tunnel = 0;
      std::memcpy(&tunnel, bytes.data() + kTunnelAt, sizeof tunnel);
      EXPECT_EQ(released[i].port, kPort);
      if (released[i].gone) {
        ++gone_;
      } else {
        out.push_back({tunnel, ip.id.value(), Bytes(bytes.begin(), bytes.end())});
        passed_[tunnel] += bytes.size();
      }
      rte_pktmbuf_free(released[i].mbuf);
    }
    return out;
  }

  [[nodiscard]] uint64_t passed(unsigned tunnel) { return passed_[tunnel]; }
  [[nodiscard]] Shaper& shaper() { return mine_->shaper; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] ShapedWay& way(unsigned id) { return tunnels_[id]->meters->outbound; }
  [[nodiscard]] TunnelCounters& counts(unsigned id) { return tunnels_[id]->drops[0]; }
  [[nodiscard]] uint64_t gone() const { return gone_; }

 private:
  static constexpr size_t kTunnelAt = 40;  // behind any IP header
  static constexpr uint16_t kPort = 3;

  Went park(rte_mbuf* mbuf, unsigned id) {
    mbuf->port = kPort;
    const uint32_t bytes = rte_pktmbuf_pkt_len(mbuf);
    const Shaper::Parked parked = mine_->shaper.park(*mbuf, *plan_, now_);
    if (parked == Shaper::Parked::waits) return Went::waits;
    rte_pktmbuf_free(mbuf);
    if (parked != Shaper::Parked::goes) return Went::dropped;
    passed_[id] += bytes;
    return Went::on;
  }

  FakeMbufs mbufs_;
  std::unique_ptr<IpsecWorker> mine_;
  WorkerCounters counters_;
  CowArray<std::shared_ptr<const TunnelView>> tunnels_;
  std::shared_ptr<const IpsecPlan> plan_;
  uint64_t serial_ = 0;
  uint64_t gone_ = 0;
  std::map<unsigned, uint64_t> passed_;
  Instant now_{1'000'000'000'000};
};

TEST(Shaper, IsExactToAPercentOverTenSecondsFromTheFirstPacketOn) {
  for (const uint32_t kilobits : {5'120U, 20'480U}) {
    for (const uint32_t size : {64U, 200U, 576U, 1'500U}) {
      Shaped net(1, with_default_burst(kilobits));
      const Bytes bytes = packet(size, 1);
      const double rate = kilobits * 125.0;  // bytes a second
      double offered = 0;
      for (unsigned breath = 0; breath < 20'000; ++breath) {
        for (offered += rate * 1.3 * 0.0005; offered >= size; offered -= size) net.offer(0, bytes);
        net.breathe();
      }
      EXPECT_NEAR(static_cast<double>(net.passed(0)), rate * 10, rate * 0.1)
          << kilobits << " kbit/s, packets of " << size;
    }
  }
}

TEST(Shaper, KeepsHighRates) {
  Shaped net(1, with_default_burst(1'000'000));
  const Bytes bytes = packet(1'500, 1);
  const double rate = 125e6;
  double offered = 0;
  for (unsigned breath = 0; breath < 20'000; ++breath) {  // a second
    for (offered += rate * 1.3 * 0.00005; offered >= 1'500; offered -= 1'500) net.offer(0, bytes);
    net.breathe(microseconds(50));
  }
  // What was free to go at once, a twentieth of a second, and the second.
  EXPECT_NEAR(static_cast<double>(net.passed(0)), rate * 1.05, rate * 0.01);
}

TEST(Shaper, LosesNothingWhenItsWorkerIsLate) {
  Shaped net(1, TunnelRate(100'000, 10'000));  // the least burst: less than a breath here carries
  const Bytes bytes = packet(1'000, 1);
  const auto second = [&] {
    const uint64_t before = net.passed(0);
    for (unsigned breath = 0; breath < 500; ++breath) {
      for (unsigned i = 0; i < 40; ++i) net.offer(0, bytes);
      net.breathe(milliseconds(2));
    }
    return static_cast<double>(net.passed(0) - before);
  };
  second();
  EXPECT_NEAR(second(), 12.5e6, 12.5e4);
}

TEST(Shaper, WhoeverSendsNobodyWaitsLongerThanFortyMilliseconds) {
  Shaped net(1, with_default_burst(5'120));
  std::deque<Instant> since;
  Duration longest{};
  uint64_t dropped = 0;
  std::map<uint16_t, Instant> entered;
  uint16_t id = 0;
  for (unsigned breath = 0; breath < 10'000; ++breath) {
    for (unsigned i = 0; i < 3; ++i) {
      const auto went = net.offer(0, packet(1'000, ++id));
      if (went == Shaped::Went::waits) entered[id] = net.now();
      dropped += went == Shaped::Went::waits || went == Shaped::Went::on ? 0 : 1;
    }
    for (const auto& out : net.breathe())
      longest = std::max(longest, net.now() - entered.at(out.id));
  }
  EXPECT_GT(dropped, 1'000U);
  EXPECT_LE(longest, milliseconds(41)) << "40, and a breath";
  EXPECT_GT(longest, milliseconds(30)) << "the queue was full at first";
}

// A sender that doubles, then adds a packet a round trip, and halves when one is lost or marked.
struct Flow {
  static constexpr uint32_t kSize = 1'400;
  double window = 10, threshold = 1e9;
  unsigned in_flight = 0;
  Instant quiet_until{};
  std::deque<Instant> acknowledged;  // when

  void lost(Instant now, Duration round_trip) {
    if (now < quiet_until) return;
    quiet_until = now + round_trip;
    threshold = window = std::max(2.0, window / 2);
  }
  void step(Instant now) {
    for (; !acknowledged.empty() && acknowledged.front() <= now; acknowledged.pop_front()) {
      --in_flight;
      window += window < threshold ? 1 : 1 / window;
    }
  }
};

struct Outcome {
  double share;    // of the rate, over the last 25 of 30 s
  double delay99;  // milliseconds in the queue
  uint64_t lost, marked;
};

Outcome run_flow(Duration round_trip, uint8_t tos) {
  Shaped net(1, with_default_burst(5'120));
  Flow flow;
  std::map<uint16_t, Instant> entered;
  std::vector<double> delays;
  uint16_t id = 0;
  uint64_t at_five = 0;
  uint64_t lost = 0;
  for (unsigned breath = 0; breath < 60'000; ++breath) {
    if (breath == 10'000) at_five = net.passed(0);
    flow.step(net.now());
    while (flow.in_flight < static_cast<unsigned>(flow.window)) {
      const auto went = net.offer(0, packet(Flow::kSize, ++id, tos));
      if (went == Shaped::Went::dropped || went == Shaped::Went::delayed) {
        ++lost;
        flow.lost(net.now(), round_trip);
        break;
      }
      ++flow.in_flight;
      if (went == Shaped::Went::on) flow.acknowledged.push_back(net.now() + round_trip);
      entered[id] = net.now();
    }
    for (const auto& out : net.breathe()) {
      delays.push_back(static_cast<double>((net.now() - entered.at(out.id)).count()) / 1e6);
      flow.acknowledged.push_back(net.now() + round_trip);
      if ((out.bytes[1] & 3) == 3) flow.lost(net.now(), round_trip);
    }
  }
  std::sort(delays.begin(), delays.end());
  const double rate = 5'120 * 125.0;
  return {.share = static_cast<double>(net.passed(0) - at_five) / (rate * 25),
          .delay99 = delays[delays.size() * 99 / 100],
          .lost = lost,
          .marked = net.counts(0).out_marked.value()};
}

TEST(Shaper, TellsAFlowToSlowDown) {
  for (const auto round_trip : {milliseconds(2), milliseconds(20)}) {
    const Outcome seen = run_flow(round_trip, 0);
    EXPECT_GT(seen.share, 0.95) << round_trip.count() << " ms";
    EXPECT_LT(seen.share, 1.01);
    EXPECT_LT(seen.delay99, 42) << round_trip.count() << " ms";
    EXPECT_GT(seen.lost, 5U);
    EXPECT_EQ(seen.marked, 0U);
  }
}

TEST(Shaper, MarksInsteadOfDroppingWhereTheSenderKnowsEcn) {
  const Outcome seen = run_flow(milliseconds(20), 2);
  EXPECT_GT(seen.share, 0.95);
  EXPECT_LT(seen.delay99, 42);
  EXPECT_GT(seen.marked, 5U);
  EXPECT_LT(seen.lost, 40U) << "only what the queue had no room for, at the start";
}

// Waits of `breaths` breaths in a queue that CoDel has had enough of; the packets that came out.
std::vector<Shaped::Out> standing_queue(Shaped& net, const Bytes& bytes, unsigned breaths) {
  std::vector<Shaped::Out> all;
  for (unsigned breath = 0; breath < breaths || net.shaper().held() > 0; ++breath) {
    if (breath < breaths) {
      EXPECT_NE(net.offer(0, bytes), Shaped::Went::delayed) << "marked instead";
    }
    for (auto& out : net.breathe()) all.push_back(std::move(out));
  }
  return all;
}

TEST(Shaper, MarksBothFamiliesAndLeavesTheirChecksumsRight) {
  for (const uint8_t ect : {uint8_t{1}, uint8_t{2}}) {
    Shaped v4(1, with_default_burst(5'120));
    unsigned marked = 0;
    for (const auto& out : standing_queue(v4, packet(1'000, 7, 0xb8 | ect), 2'000)) {
      const auto& ip = *reinterpret_cast<const wire::Ipv4*>(out.bytes.data());
      ASSERT_TRUE(ip.tos == (0xb8 | ect) || ip.tos == 0xbb) << unsigned{ip.tos};
      EXPECT_EQ(checksum_of(out.bytes.data(), 20).value(), 0);
      marked += ip.tos == 0xbb ? 1 : 0;
    }
    EXPECT_GT(marked, 5U);
    EXPECT_EQ(v4.counts(0).out_marked.value(), marked);
    Shaped v6(1, with_default_burst(5'120));
    marked = 0;
    for (const auto& out : standing_queue(v6, packet6(940, 0xb8 | ect), 2'000)) {
      const auto& ip = *reinterpret_cast<const wire::Ipv6*>(out.bytes.data());
      marked += ip.traffic_class() == 0xbb ? 1 : 0;
    }
    EXPECT_GT(marked, 5U);
  }
}

TEST(Shaper, KeepsEachTunnelsOrderAndServesThemInTurn) {
  constexpr unsigned kTunnels = 5;
  Shaped net(kTunnels, TunnelRate(50'000, 2'000));
  std::vector<uint16_t> next(kTunnels, 1), seen(kTunnels, 0);
  std::vector<unsigned> came(kTunnels, 0);
  for (unsigned breath = 0; breath < 3'000; ++breath) {
    for (unsigned t = 0; t < kTunnels; ++t) {
      while (net.offer(t, packet(500, next[t])) == Shaped::Went::on) {
        ASSERT_TRUE(seen[t] + 1U >= next[t] || came[t] == 0);
        seen[t] = next[t]++;
      }
      ++next[t];
    }
    // Too little room for all that is due, now and then.
    for (const auto& out : net.breathe(microseconds(100), breath % 3 == 0 ? 1 : 8)) {
      EXPECT_GT(out.id, seen[out.tunnel]);
      seen[out.tunnel] = out.id;
      ++came[out.tunnel];
    }
  }
  const auto [least, most] = std::minmax_element(came.begin(), came.end());
  EXPECT_GT(*least, 500U);
  EXPECT_LT(*most - *least, 20U);
}

TEST(Shaper, AFloodOfOneTunnelLeavesRoomForTheOthers) {
  Shaped net(3, TunnelRate(1'000'000, 10'000), 1'024);
  unsigned waits = 0;
  while (net.offer(0, packet(1'400, 1)) != Shaped::Went::dropped) ++waits;
  EXPECT_LT(waits, 1'024U / 8) << "a ninth of the places, and its burst";
  unsigned second = 0;
  while (net.offer(1, packet(1'400, 1)) != Shaped::Went::dropped) ++second;
  EXPECT_GT(second, 90U);
  EXPECT_EQ(net.offer(2, packet(1'400, 1)), Shaped::Went::on) << "its bucket is full";
}

TEST(Shaper, TwoThousandFloodedTunnelsEachHaveTheirRateOfOneWorkersPlaces) {
  constexpr unsigned kTunnels = 2'000;
  Shaped net(kTunnels + 1, TunnelRate(800, 2'000));  // 100 packets of 1,000 bytes a second
  Random random(3);
  const Bytes bytes = packet(1'000, 1);
  for (unsigned breath = 0; breath < 10'000; ++breath) {  // a second
    for (unsigned i = 0; i < 80; ++i) net.offer(random.below(kTunnels), bytes);
    ASSERT_LE(net.shaper().held(), Shaper::kPackets);
    net.breathe(microseconds(100));
  }
  for (unsigned t = 0; t < kTunnels; ++t) {
    ASSERT_NEAR(static_cast<double>(net.passed(t)), 102'000, 3'000) << t;
  }
  EXPECT_EQ(net.offer(kTunnels, packet(1'000, 1)), Shaped::Went::on);
  EXPECT_EQ(net.offer(kTunnels, packet(1'000, 1)), Shaped::Went::on);
  EXPECT_EQ(net.offer(kTunnels, packet(1'000, 1)), Shaped::Went::waits)
      << "there is a place for it";
}

TEST(Shaper, WhatWaitsKeepsItsTimeWhenTheRateChangesAndNothingOvertakesIt) {
  Shaped net(1, TunnelRate(64, 2'000));  // a packet of 1,000 bytes in 125 ms
  for (uint16_t id = 1; id <= 12; ++id) net.offer(0, packet(1'000, id));
  EXPECT_EQ(net.shaper().held(), 10U);
  EXPECT_EQ(net.way(0).delay(net.now()), milliseconds(1'250));
  net.put_tunnel(0, 1, TunnelRate(8'000, 2'000));  // in a millisecond
  net.publish();
  EXPECT_EQ(net.offer(0, packet(1'000, 13)), Shaped::Went::waits);
  EXPECT_EQ(net.offer(0, packet(1'000, 14)), Shaped::Went::waits);
  uint16_t next = 3;
  for (unsigned breath = 0; breath < 2'502; ++breath) {  // 1,251 ms
    for (const auto& out : net.breathe()) EXPECT_EQ(out.id, next++);
  }
  EXPECT_EQ(next, 15U);
  EXPECT_EQ(net.way(0).delay(net.now()), Duration::zero());
  // The new rate from there on.
  net.breathe(milliseconds(10));
  EXPECT_EQ(net.offer(0, packet(1'000, 15)), Shaped::Went::on);
  EXPECT_EQ(net.offer(0, packet(1'000, 16)), Shaped::Went::on);
  EXPECT_EQ(net.offer(0, packet(1'000, 17)), Shaped::Went::waits);
  EXPECT_EQ(net.way(0).delay(net.now()), milliseconds(1));
}

TEST(Shaper, WithoutALimitEverythingLeavesInItsOrder) {
  Shaped net(1, TunnelRate(64, 2'000));
  for (uint16_t id = 1; id <= 4; ++id) net.offer(0, packet(1'000, id));
  net.put_tunnel(0, 1, TunnelRate());
  net.publish();
  EXPECT_EQ(net.offer(0, packet(1'000, 5)), Shaped::Went::waits) << "it must not overtake";
  const auto out = net.breathe(milliseconds(251));
  ASSERT_EQ(out.size(), 3U);
  for (uint16_t i = 0; i < 3; ++i) EXPECT_EQ(out[i].id, 3 + i);
  EXPECT_EQ(net.offer(0, packet(1'000, 6)), Shaped::Went::on);
}

TEST(Shaper, NothingOvertakesWhatIsDueButHasHadNoRoomYet) {
  Shaped net(1, TunnelRate(8'000, 2'000));
  for (uint16_t id = 1; id <= 12; ++id) net.offer(0, packet(1'000, id));
  EXPECT_EQ(net.breathe(milliseconds(20), 1).size(), 1U);  // all ten are due
  EXPECT_EQ(net.offer(0, packet(1'000, 13)), Shaped::Went::waits);
  uint16_t next = 4;
  for (const auto& out : net.breathe()) EXPECT_EQ(out.id, next++);
  EXPECT_EQ(next, 14U);
}

TEST(Shaper, EndsWithItsTunnelAndItsDomain) {
  Shaped net(3, TunnelRate(64, 2'000));
  for (unsigned t = 0; t < 3; ++t) {
    for (uint16_t id = 1; id <= 4; ++id) net.offer(t, packet(1'000, id));
  }
  net.remove_tunnel(0);
  net.put_tunnel(1, 77, TunnelRate(64, 2'000), 5);  // another domain's
  net.publish();
  for (const auto& out : net.breathe(milliseconds(300))) EXPECT_EQ(out.tunnel, 2U);
  EXPECT_EQ(net.gone(), 4U);
  EXPECT_EQ(net.shaper().held(), 0U);
  EXPECT_EQ(net.counts(1).out_dropped.value(), 0U) << "the new one's";
  EXPECT_EQ(net.offer(1, packet(1'000, 1)), Shaped::Went::on);
}

TEST(Shaper, FromTunnelToTunnelItLeavesAsTheSlowerOneSays) {
  Shaped net(2, TunnelRate(64, 2'000));
  net.put_tunnel(1, 2, TunnelRate(8'000, 2'000));
  net.publish();
  for (uint16_t id = 1; id <= 3; ++id) net.offer_through({0, 1}, packet(1'000, id));
  EXPECT_EQ(net.shaper().held(), 1U);
  EXPECT_TRUE(net.breathe(milliseconds(124)).empty());
  EXPECT_EQ(net.breathe(milliseconds(2)).size(), 1U);
}

TEST(Shaper, HasAQueueForEachDirection) {
  Shaped net(1, TunnelRate(64, 2'000));
  for (const auto direction : {SaDirection::outbound, SaDirection::inbound}) {
    EXPECT_EQ(net.offer(0, packet(1'000, 1), direction), Shaped::Went::on);
    EXPECT_EQ(net.offer(0, packet(1'000, 2), direction), Shaped::Went::on);
    EXPECT_EQ(net.offer(0, packet(1'000, 3), direction), Shaped::Went::waits);
  }
  EXPECT_EQ(net.shaper().held(), 2U);
  net.breathe(milliseconds(126));
  EXPECT_EQ(net.shaper().held(), 0U);
}

}  // namespace
}  // namespace hnv
