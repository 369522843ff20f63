// SPDX-License-Identifier: Apache-2.0
//
// A long random run through the whole line: every frame of the case tables, of both tenants, most
// of them spoiled, in breaths of every size, now and then with full queues behind. The ledger must
// balance and every buffer be accounted for at every check, and memory must not grow.
//
//   HNV_SOAK_PACKETS=100000000 hnv_test_line --gtest_filter='Soak.*'
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr uint64_t kPackets = 2'000'000;  // unless HNV_SOAK_PACKETS says otherwise
constexpr uint64_t kBreathsBetweenChecks = 256;
constexpr size_t kGrowth = size_t{4} << 20;  // what the heap's and the kernel's rounding may take

// A sanitizer keeps what was freed; leaks it finds by itself.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

uint64_t wanted_packets() {
  const char* asked = std::getenv("HNV_SOAK_PACKETS");
  return asked == nullptr ? kPackets : std::strtoull(asked, nullptr, 10);
}

size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t size = 0;
  size_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

std::vector<Sent> all_frames() {
  std::vector<Sent> frames;
  for (const auto& table : all_case_tables()) {
    for (const LineCase& c : table) {
      for (const Tenant& tenant : kTwins) frames.push_back({c.port, c.in(tenant).bytes()});
    }
  }
  return frames;
}

// Up to three bytes, mostly of the headers; now and then the end is missing, or more is there.
void spoil(Bytes& frame, Random& random) {
  for (unsigned i = random() % 4; i > 0 && !frame.empty(); --i) {
    const size_t within = random() % 4 == 0 ? frame.size() : std::min<size_t>(frame.size(), 96);
    frame[random() % within] = static_cast<uint8_t>(random());
  }
  if (random() % 32 == 0) frame.resize(random() % 2000);
}

TEST(Soak, TheLedgerBalancesAndNothingGrows) {
  TestDataplane network(twin_ports());
  network.change(twin_requests());
  network.answer_all();
  TestLine line(network);
  const std::vector<Sent> frames = all_frames();
  Random random(2026);
  const uint64_t packets = wanted_packets();
  uint64_t sent = 0;
  uint64_t breaths = 0;
  size_t resident = 0;
  for (uint64_t done = 0; done < packets; ++breaths) {
    const unsigned burst = std::min(line.line().room(), 1 + random() % kVector);
    for (unsigned i = 0; i < burst; ++i) {
      Sent frame = frames[random() % frames.size()];
      if (random() % 4 != 0) spoil(frame.frame, random);
      line.receive(frame.port, frame.frame);
    }
    done += burst;
    const unsigned taken = random() % 16 == 0 ? random() % kVector : kVector;
    sent += line.breathe_taking(taken).size();
    line.punts().clear();
    line.notes().clear();
    network.clock().advance(std::chrono::milliseconds(random() % 3));
    if (breaths % kBreathsBetweenChecks == 0) {
      ASSERT_EQ(line.fault(), "") << "after " << done << " packets";
      if (resident == 0 && done > packets / 10) resident = resident_bytes();
    }
  }
  EXPECT_TRUE(kSanitized || resident_bytes() <= resident + kGrowth) << resident;
  for (unsigned i = 0; i < 100 && line.line().held() != 0; ++i) (void)line.breathe();
  EXPECT_EQ(line.fault(), "");
  const auto& drops = line.line().counters().drops;
  const auto reasons = std::count_if(drops.begin(), drops.end(),
                                     [](const Counter& count) { return count.value() != 0; });
  EXPECT_GE(sent, packets / 10);
  EXPECT_GE(reasons, 40);
  std::printf("%lu packets in %lu breaths, %lu sent, %ld drop reasons\n", packets, breaths, sent,
              static_cast<long>(reasons));
}

}  // namespace
}  // namespace hnv
