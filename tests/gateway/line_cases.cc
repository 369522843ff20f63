// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/line_cases.h"

#include <gtest/gtest.h>

#include "tests/support/frame_text.h"

namespace hnv {
namespace {

void expect_sent(const LineCase& c, const Tenant& tenant, const std::vector<Sent>& sent) {
  if (c.out == nullptr) {
    EXPECT_TRUE(sent.empty()) << "sent: " << difference({}, sent.front().frame);
    return;
  }
  const Bytes expected = c.out(tenant).bytes();
  ASSERT_EQ(sent.size(), 1U) << "expected:\n" << difference(expected, {});
  EXPECT_EQ(sent[0].port, c.out_port);
  EXPECT_EQ(difference(expected, sent[0].frame), "");
}

void run_case(const LineCase& c, TestLine& line, const Tenant& tenant, const Tenant& twin) {
  SCOPED_TRACE(std::string(c.name) + ", " + tenant.name);
  line.network().clock().advance(std::chrono::seconds(10));  // full rate limits
  const WorkerCounters before = line.line().counters();
  const auto twin_before = picture(line.network().counters(twin.name));
  const auto sent = line.run(c.port, c.in(tenant));
  expect_sent(c, tenant, sent);
  EXPECT_EQ(moved_drops(before, line.line().counters()),
            c.drop ? std::string(to_string(*c.drop)) + ": 1" : "");
  EXPECT_EQ(picture(line.network().counters(twin.name)), twin_before) << "the twin has counted it";
  EXPECT_EQ(line.fault(), "");
}

}  // namespace

void run_cases(std::span<const LineCase> cases) {
  TestLine line;
  for (const LineCase& c : cases) {
    run_case(c, line, kContoso, kFabrikam);
    run_case(c, line, kFabrikam, kContoso);
  }
}

std::vector<std::span<const LineCase>> all_case_tables() {
  return {classify_cases(), outside_answer_cases(), gre_cases(),   inner_cases(),  source_cases(),
          l3_cases(),       route_cases(),          leave_cases(), answer_cases(), ipv6_cases(),
          nd_cases(),       icmp6_cases()};
}

}  // namespace hnv
