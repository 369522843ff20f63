// SPDX-License-Identifier: Apache-2.0
//
// Every queue has one worker, and every worker one way to send, whatever a port offers.
#include <set>

#include <gtest/gtest.h>

#include "gateway/port_queues.h"

namespace hnv {
namespace {

QueueCounts wanted(const char* device, QueueFacts facts, unsigned workers) {
  return queues_wanted({.name = "p", .device = device, .mtu = 1500}, facts, workers);
}

}  // namespace

TEST(PortQueues, ANicGetsAPairForEachWorkerIfItSpreads) {
  const char* nic = "0000:03:00.0";
  const auto all = wanted(nic, {.most_rx = 64, .most_tx = 64, .spreads = true}, 4);
  EXPECT_EQ(all.rx, 4);
  EXPECT_EQ(all.tx, 4);
  const auto few = wanted(nic, {.most_rx = 2, .most_tx = 8, .spreads = true}, 4);
  EXPECT_EQ(few.rx, 2);
  EXPECT_EQ(few.tx, 4);
  const auto dull = wanted(nic, {.most_rx = 64, .most_tx = 64, .spreads = false}, 4);
  EXPECT_EQ(dull.rx, 1) << "what it does not share out would all come by the first queue";
  EXPECT_EQ(dull.tx, 4);
  EXPECT_EQ(wanted(nic, {.most_rx = 64, .most_tx = 64, .spreads = true}, 1).rx, 1);
}

TEST(PortQueues, NoQueueThatGetsFramesIsLeftUnread) {
  EXPECT_EQ(wanted("net_af_packet0,iface=x,qpairs=4", {.most_rx = 4, .most_tx = 4}, 2).rx, 4);
  EXPECT_EQ(wanted("net_ring0", {.most_rx = 16, .most_tx = 16}, 1).rx, 16);
}

TEST(PortQueues, OnePairWhereTheOtherSideChooses) {
  for (const char* device : {"net_tap0,iface=x", "net_memif0"}) {
    const auto counts = wanted(device, {.most_rx = 16, .most_tx = 16, .spreads = true}, 4);
    EXPECT_EQ(counts.rx, 1) << device;
    EXPECT_EQ(counts.tx, 1) << device;
  }
}

TEST(PortQueues, ADriverThatSaysNothingHasOnePair) {
  const auto counts = wanted("0000:03:00.0", {.most_rx = 0, .most_tx = 0, .spreads = true}, 4);
  EXPECT_EQ(counts.rx, 1);
  EXPECT_EQ(counts.tx, 1);
}

TEST(PortQueues, EachQueueHasOneWorker) {
  for (uint16_t workers = 1; workers <= 5; ++workers) {
    for (unsigned port = 0; port < 6; ++port) {
      for (uint16_t rx = 1; rx <= 8; ++rx) {
        for (uint16_t tx = 1; tx <= workers; ++tx) {
          std::set<uint16_t> received;
          std::set<uint16_t> sent;
          unsigned reads = 0;
          for (unsigned w = 0; w < workers; ++w) {
            const QueueShare share = share_of(port, {.rx = rx, .tx = tx}, w, workers);
            received.insert(share.receives.begin(), share.receives.end());
            reads += static_cast<unsigned>(share.receives.size());
            EXPECT_EQ(share.spreads, rx < workers);
            ASSERT_LT(share.sender, workers);
            if (share.sender == w) {
              EXPECT_TRUE(sent.insert(share.sends).second) << "two workers on one queue";
            }
            // Whom it hands frames to does send them, by a queue of its own.
            const QueueShare theirs = share_of(port, {.rx = rx, .tx = tx}, share.sender, workers);
            EXPECT_EQ(theirs.sender, share.sender);
            EXPECT_LT(theirs.sends, tx);
          }
          EXPECT_EQ(received.size(), rx);
          EXPECT_EQ(reads, rx);
          EXPECT_EQ(sent.size(), tx);
        }
      }
    }
  }
}

TEST(PortQueues, PortsWithOneQueueHaveDifferentWorkers) {
  EXPECT_EQ(share_of(0, {}, 0, 2).receives.size(), 1U);
  EXPECT_EQ(share_of(1, {}, 0, 2).receives.size(), 0U);
  EXPECT_EQ(share_of(1, {}, 1, 2).receives.size(), 1U);
}

}  // namespace hnv
