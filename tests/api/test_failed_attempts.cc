// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "api/failed_attempts.h"

namespace hnv {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kNoWait = seconds(0);

class FailedAttemptsTest : public testing::Test {
 protected:
  void fail(const std::string& address, int times) {
    for (int i = 0; i < times; ++i) attempts_.failed(address, now_);
  }
  seconds wait(const std::string& address) { return attempts_.wait_of(address, now_); }

  FailedAttempts attempts_;
  FailedAttempts::Clock::time_point now_{hours(1)};
};

TEST_F(FailedAttemptsTest, TenAtOnceThenOneEverySixSeconds) {
  fail("192.0.2.1", 9);
  EXPECT_EQ(wait("192.0.2.1"), kNoWait);
  fail("192.0.2.1", 1);
  EXPECT_EQ(wait("192.0.2.1"), seconds(6));
  now_ += milliseconds(5500);
  EXPECT_EQ(wait("192.0.2.1"), seconds(1)) << "never less than what it is";
  now_ += milliseconds(500);
  EXPECT_EQ(wait("192.0.2.1"), kNoWait);
  fail("192.0.2.1", 1);
  EXPECT_EQ(wait("192.0.2.1"), seconds(6));
}

TEST_F(FailedAttemptsTest, AreForgottenAfterAMinute) {
  fail("192.0.2.1", 10);
  now_ += seconds(60);
  fail("192.0.2.1", 9);
  EXPECT_EQ(wait("192.0.2.1"), kNoWait);
}

TEST_F(FailedAttemptsTest, CountByAddressAndBySiteOfIpv6) {
  fail("192.0.2.1", 10);
  EXPECT_EQ(wait("192.0.2.2"), kNoWait);
  for (int i = 0; i < 10; ++i) fail("2001:db8:0:1::" + std::to_string(i + 1), 1);
  EXPECT_GT(wait("2001:db8:0:1:ffff::1"), kNoWait);
  EXPECT_EQ(wait("2001:db8:0:2::1"), kNoWait);
  fail("fe80::1%eth0", 10);
  EXPECT_GT(wait("fe80::2%eth0"), kNoWait);
  // What a socket for both families calls IPv4 callers.
  fail("::ffff:192.0.2.7", 10);
  EXPECT_GT(wait("::ffff:192.0.2.7"), kNoWait);
  EXPECT_EQ(wait("::ffff:192.0.2.8"), kNoWait);
}

TEST_F(FailedAttemptsTest, RemembersTheGuiltiest) {
  fail("192.0.2.1", 10);
  const auto other = [](size_t i) {
    return "10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256);
  };
  for (size_t i = 0; i < 3 * FailedAttempts::kClients; ++i) fail(other(i), 1);
  EXPECT_GT(wait("192.0.2.1"), kNoWait);
}

}  // namespace
}  // namespace hnv
