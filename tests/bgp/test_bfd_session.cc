// SPDX-License-Identifier: Apache-2.0
//
// BFD's state machine and its times, RFC 5880 §6, with the clock moved by hand.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/bfd_session.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;
using enum BfdState;

constexpr Instant kBegin{1'000'000'000'000};
constexpr uint32_t kOurs = 11, kTheirs = 22;

BfdPacket theirs(BfdState state, uint32_t transmit_us = 300'000, uint32_t receive_us = 300'000) {
  return {.state = state,
          .multiplier = 3,
          .my_discriminator = kTheirs,
          .your_discriminator = kOurs,
          .desired_min_transmit = transmit_us,
          .required_min_receive = receive_us};
}

BfdSession in_state(BfdState state, const BfdTimers& timers = {}) {
  BfdSession session(kOurs, timers, 1, kBegin);
  if (state == init) (void)session.receive(theirs(down), kBegin);
  if (state == up) (void)session.receive(theirs(init), kBegin);
  EXPECT_EQ(session.state(), state);
  return session;
}

// Ends the poll sequence that being up begins with.
BfdSession settled(const BfdTimers& timers = {}, uint32_t transmit_us = 300'000,
                   uint32_t receive_us = 300'000) {
  BfdSession session = in_state(up, timers);
  BfdPacket packet = theirs(up, transmit_us, receive_us);
  packet.final = true;
  (void)session.receive(packet, kBegin);
  return session;
}

TEST(BfdSession, MovesAsRfc5880Section6_2Says) {
  struct Case {
    BfdState from, received, to;
    BfdDiagnostic why;
  };
  constexpr auto kNone = BfdDiagnostic::none;
  constexpr auto kSignaled = BfdDiagnostic::neighbor_signaled_down;
  const Case cases[] = {
      {down, admin_down, down, kNone},
      {down, down, init, kNone},
      {down, init, up, kNone},
      {down, up, down, kNone},
      {init, admin_down, down, kSignaled},
      {init, down, init, kNone},
      {init, init, up, kNone},
      {init, up, up, kNone},
      {up, admin_down, down, kSignaled},
      {up, down, down, kSignaled},
      {up, init, up, kNone},
      {up, up, up, kNone},
  };
  for (const Case& c : cases) {
    BfdSession session = in_state(c.from);
    (void)session.receive(theirs(c.received), kBegin);
    const std::string name = std::to_string(static_cast<int>(c.from)) + " " +
                             std::to_string(static_cast<int>(c.received));
    EXPECT_EQ(session.state(), c.to) << name;
    EXPECT_EQ(session.diagnostic(), c.why) << name;
  }
}

TEST(BfdSession, BeginsSlowlyAndSaysSo) {
  BfdSession session(kOurs, {.min_transmit = 50ms, .min_receive = 50ms}, 1, kBegin);
  const auto first = session.step(kBegin);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->state, down);
  EXPECT_EQ(first->your_discriminator, 0U);
  EXPECT_EQ(first->my_discriminator, kOurs);
  EXPECT_EQ(first->desired_min_transmit, 1'000'000U);
  EXPECT_EQ(first->required_min_receive, 50'000U);
  EXPECT_EQ(first->required_min_echo, 0U);
  EXPECT_FALSE(first->poll);
  EXPECT_FALSE(session.step(kBegin + 749ms));
  EXPECT_TRUE(session.step(kBegin + 1s));
}

TEST(BfdSession, SpeedsUpByAPollSequenceWhenItIsUp) {
  BfdSession session(kOurs, {.min_transmit = 50ms, .min_receive = 50ms}, 1, kBegin);
  (void)session.step(kBegin);
  EXPECT_FALSE(session.receive(theirs(init, 50'000, 50'000), kBegin + 10ms));
  EXPECT_EQ(session.due(), kBegin + 10ms);  // the change is told at once
  const auto told = session.step(kBegin + 10ms);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->state, up);
  EXPECT_TRUE(told->poll);
  EXPECT_FALSE(told->final);
  EXPECT_EQ(told->desired_min_transmit, 50'000U);
  EXPECT_EQ(told->your_discriminator, kTheirs);
  EXPECT_EQ(session.transmit_interval(), 50ms);
  BfdPacket final = theirs(up, 50'000, 50'000);
  final.final = true;
  (void)session.receive(final, kBegin + 20ms);
  const auto next = session.step(kBegin + 70ms);
  ASSERT_TRUE(next);
  EXPECT_FALSE(next->poll);
  EXPECT_EQ(session.detection_time(), 150ms);
}

TEST(BfdSession, AnswersAPollAtOnce) {
  BfdSession session = in_state(up);
  BfdPacket poll = theirs(up);
  poll.poll = true;
  const auto answer = session.receive(poll, kBegin);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->final);
  EXPECT_FALSE(answer->poll);  // though a sequence of its own is under way
  EXPECT_EQ(answer->state, up);
  EXPECT_FALSE(session.receive(theirs(up), kBegin));
}

TEST(BfdSession, GoesDownWhenTheDetectionTimeHasPassed) {
  for (const BfdState state : {init, up}) {
    BfdSession session = in_state(state);
    (void)session.receive(theirs(state == init ? down : up), kBegin);
    // Theirs is the multiplier, the slower of both the interval.
    EXPECT_EQ(session.detection_time(), 900ms);
    (void)session.step(kBegin + 899'999'999ns);
    EXPECT_EQ(session.state(), state);
    EXPECT_LE(session.due(), kBegin + 900ms);
    const auto told = session.step(kBegin + 900ms);
    EXPECT_EQ(session.state(), down);
    EXPECT_EQ(session.diagnostic(), BfdDiagnostic::detection_time_expired);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->state, down);
    EXPECT_EQ(told->diagnostic, BfdDiagnostic::detection_time_expired);
    EXPECT_EQ(told->your_discriminator, 0U);  // §6.8.1
    EXPECT_EQ(told->desired_min_transmit, 1'000'000U);
    EXPECT_FALSE(told->poll);
  }
}

TEST(BfdSession, EveryPacketBeginsTheDetectionTimeAnew) {
  BfdSession session = settled();
  Instant now = kBegin;
  for (int i = 0; i < 20; ++i) {
    now = now + 899ms;
    (void)session.step(now);
    ASSERT_EQ(session.state(), up) << i;
    (void)session.receive(theirs(up), now);
  }
}

TEST(BfdSession, TheOtherSidesTimesCount) {
  const BfdTimers fast{.min_transmit = 50ms, .min_receive = 50ms, .multiplier = 3};
  EXPECT_EQ(settled(fast, 200'000, 400'000).detection_time(), 600ms);
  EXPECT_EQ(settled(fast, 200'000, 400'000).transmit_interval(), 400ms);
  EXPECT_EQ(settled(fast, 10'000, 10'000).detection_time(), 150ms);
  EXPECT_EQ(settled(fast, 10'000, 10'000).transmit_interval(), 50ms);
}

TEST(BfdSession, ChangesItsTimesAsSection6_8_3Says) {
  // Slower to send and sooner to doubt: only after the other side has heard.
  BfdSession session = settled();
  session.set({.min_transmit = 500ms, .min_receive = 100ms, .multiplier = 5}, kBegin);
  EXPECT_EQ(session.transmit_interval(), 300ms);
  EXPECT_EQ(session.detection_time(), 900ms);
  const auto poll = session.step(kBegin);
  ASSERT_TRUE(poll);
  EXPECT_TRUE(poll->poll);
  EXPECT_EQ(poll->desired_min_transmit, 500'000U);
  EXPECT_EQ(poll->required_min_receive, 100'000U);
  EXPECT_EQ(poll->multiplier, 5);
  BfdPacket final = theirs(up, 100'000, 100'000);
  final.final = true;
  (void)session.receive(final, kBegin);
  EXPECT_EQ(session.transmit_interval(), 500ms);
  EXPECT_EQ(session.detection_time(), 300ms);
  // Faster to send and slower to doubt: at once.
  session.set({.min_transmit = 100ms, .min_receive = 500ms, .multiplier = 5}, kBegin);
  EXPECT_EQ(session.transmit_interval(), 100ms);
  EXPECT_EQ(session.detection_time(), 1500ms);
  EXPECT_EQ(session.state(), up);
}

TEST(BfdSession, SendsWithinItsJitter) {
  BfdSession session = settled({.min_transmit = 100ms, .min_receive = 100ms}, 100'000, 100'000);
  Instant now = kBegin;
  (void)session.step(now);
  Duration least = 1h, most{0};
  for (int i = 0; i < 1000; ++i) {
    (void)session.receive(theirs(up, 100'000, 100'000), now);
    const Instant due = session.due();
    EXPECT_FALSE(session.step(due - 1ns));
    ASSERT_TRUE(session.step(due));
    least = std::min(least, due - now);
    most = std::max(most, due - now);
    now = due;
  }
  EXPECT_GE(least, 75ms);
  EXPECT_LE(most, 100ms);
  EXPECT_LT(least, 80ms);  // and it does jitter
  EXPECT_GT(most, 95ms);
}

TEST(BfdSession, IsSilentTowardOneThatWantsNoPacketsOrIsInDemandMode) {
  BfdSession wants_none = settled({}, 300'000, 0);
  EXPECT_FALSE(wants_none.step(kBegin + 500ms));
  EXPECT_EQ(wants_none.due(), kBegin + 900ms);  // but it listens

  BfdSession demand = settled();
  BfdPacket packet = theirs(up);
  packet.demand = true;
  (void)demand.receive(packet, kBegin + 100ms);
  EXPECT_FALSE(demand.step(kBegin + 800ms));
  // A poll sequence is sent nevertheless.
  demand.set({.min_transmit = 200ms, .min_receive = 200ms}, kBegin + 800ms);
  const auto poll = demand.step(kBegin + 800ms);
  ASSERT_TRUE(poll);
  EXPECT_TRUE(poll->poll);
}

TEST(BfdSession, SaysFarewell) {
  const BfdPacket last = in_state(up).farewell();
  EXPECT_EQ(last.state, admin_down);
  EXPECT_EQ(last.diagnostic, BfdDiagnostic::administratively_down);
  EXPECT_FALSE(last.poll);
  EXPECT_EQ(last.your_discriminator, kTheirs);
}

// Two of them over a wire that loses nothing, then everything, then nothing again.
TEST(BfdSession, TwoOfThemFindEachOtherAndNoticeALoss) {
  const BfdTimers timers{.min_transmit = 50ms, .min_receive = 50ms};
  BfdSession a(1, timers, 7, kBegin), b(2, timers, 9, kBegin);
  Instant now = kBegin;
  const auto run = [&](Duration duration, bool connected) {
    for (const Instant end = now + duration; now < end; now = now + 1ms) {
      for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
        const auto packet = from->step(now);
        if (!packet || !connected) continue;
        const auto answer = to->receive(*packet, now);
        if (!answer) continue;
        EXPECT_FALSE(from->receive(*answer, now));
      }
    }
  };
  run(3s, true);
  EXPECT_EQ(a.state(), up);
  EXPECT_EQ(b.state(), up);
  EXPECT_EQ(a.detection_time(), 150ms);
  EXPECT_EQ(a.transmit_interval(), 50ms);
  run(100ms, false);
  EXPECT_EQ(a.state(), up);
  run(52ms, false);
  EXPECT_EQ(a.state(), down);
  EXPECT_EQ(b.state(), down);
  run(3s, true);
  EXPECT_EQ(a.state(), up);
  EXPECT_EQ(b.state(), up);
}

}  // namespace
}  // namespace hnv
