// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "vpn/ipsec_plan.h"

namespace hnv {
namespace {

constexpr Instant kBegin{10'000'000'000};

// How many packets of `bytes` pass in `time`, offered far too often, evenly.
uint64_t passed(TokenBucket& bucket, const TunnelRate& rate, uint32_t bytes, Duration time,
                unsigned offered) {
  uint64_t count = 0;
  for (unsigned i = 0; i < offered; ++i) {
    const Instant now = kBegin + time / offered * i;
    count += bucket.take(rate, bytes, now) ? 1 : 0;
  }
  return count;
}

TEST(TokenBucket, PassesTheBurstAtOnceAndThenTheRate) {
  TokenBucket bucket;
  const TunnelRate rate(5'120, 64'000);
  unsigned burst = 0;
  while (bucket.take(rate, 1'000, kBegin)) ++burst;
  EXPECT_EQ(burst, 64U);
  // 5,120 kbit/s are 640 packets of 1,000 bytes a second.
  const uint64_t count = passed(bucket, rate, 1'000, std::chrono::seconds(1), 100'000);
  EXPECT_GE(count, 639U);
  EXPECT_LE(count, 641U);
}

TEST(TokenBucket, KeepsHighRatesWithinAPercent) {
  TokenBucket bucket;
  const TunnelRate rate(10'000'000, 64'000);  // 10 Gbit/s: 6.25 packets of 200 bytes a microsecond
  const uint64_t count = passed(bucket, rate, 200, std::chrono::milliseconds(1), 1'000'000);
  EXPECT_NEAR(static_cast<double>(count), 6'250 + 320, 66);
}

TEST(TokenBucket, LetsAPacketThroughThatIsLargerThanTheBurst) {
  TokenBucket bucket;
  const TunnelRate rate(5'120, 0);
  EXPECT_TRUE(bucket.take(rate, 9'000, kBegin));
  EXPECT_FALSE(bucket.take(rate, 9'000, kBegin));
}

TEST(TokenBucket, WithoutALimitPassesEverything) {
  TokenBucket bucket;
  const TunnelRate rate(0, 64'000);
  EXPECT_EQ(passed(bucket, rate, 9'000, std::chrono::milliseconds(1), 10'000), 10'000U);
}

TEST(VpnAddresses, AreThoseOfTheirNetworkOnly) {
  const auto v4 = *IpAddress<Space::external>::parse("203.0.113.1");
  const auto v6 = *IpAddress<Space::external>::parse("2001:db8::1");
  const VpnAddresses addresses({{AttachmentId(3), v4}, {AttachmentId(3), v6}});
  EXPECT_TRUE(addresses.contains(AttachmentId(3), be32{0xcb007101}));
  EXPECT_FALSE(addresses.contains(AttachmentId(4), be32{0xcb007101}));
  EXPECT_FALSE(addresses.contains(AttachmentId(3), be32{0xcb007102}));
  EXPECT_TRUE(addresses.contains(AttachmentId(3), v6.bytes()));
  EXPECT_FALSE(addresses.contains(AttachmentId(4), v6.bytes()));
  EXPECT_FALSE(VpnAddresses().contains(AttachmentId(3), be32{0xcb007101}));
}

}  // namespace
}  // namespace hnv
