// SPDX-License-Identifier: Apache-2.0
//
// The bootstrap file: which processors it may name, and what it says about those it may not.
#include <gtest/gtest.h>

#include "gateway/bootstrap.h"

namespace hnv {
namespace {

// "" when it is accepted, else "POINTER MESSAGE" of the first fault.
std::string fault_of_file(const std::string& lcores, const std::string& more = "") {
  const auto parsed = parse_bootstrap(R"({"lcores":)" + lcores + more +
                                      R"(,"ports":[{"name":"p","device":"net_null0"}]})");
  if (parsed) return "";
  const Error& error = parsed.error();
  if (error.details.empty()) return error.target + " " + error.message;
  return error.details[0].target + " " + error.details[0].message;
}

// With a section more.
auto parse(const std::string& more) {
  return parse_bootstrap(R"({"ports":[{"name":"a","device":"net_null0"}])" + more + "}");
}

TEST(Bootstrap, IpsecIsOffUntilItsSectionIsThere) {
  EXPECT_FALSE(parse("")->ipsec);
  ASSERT_TRUE(parse(R"(,"ipsec":{})")->ipsec);
  EXPECT_EQ(parse(R"(,"ipsec":{})")->ipsec->charon, "/usr/sbin/charon-systemd");
  const auto given = parse(R"(,"ipsec":{"charon":"/opt/charon","user":"ike","folder":"/run/ike"})");
  ASSERT_TRUE(given);
  EXPECT_EQ(given->ipsec->user, "ike");
  EXPECT_EQ(given->ipsec->folder, "/run/ike");
  const auto wrong = parse(R"(,"ipsec":{"charon":"charon","users":"x"})");
  ASSERT_FALSE(wrong);
  ASSERT_EQ(wrong.error().details.size(), 2U);
  EXPECT_EQ(wrong.error().details[0].target, "/ipsec/charon");
  EXPECT_EQ(wrong.error().details[1].target, "/ipsec/users");
}

TEST(Bootstrap, RunsBgpdOnlyWhereItIsAskedTo) {
  EXPECT_FALSE(parse("")->bgp);
  ASSERT_TRUE(parse(R"(,"bgp":{})")->bgp);
  EXPECT_EQ(parse(R"(,"bgp":{})")->bgp->bgpd, "/usr/lib/frr/bgpd");
  EXPECT_EQ(parse(R"(,"bgp":{})")->bgp->processes, 1U);
  const auto given =
      parse(R"(,"bgp":{"bgpd":"/opt/bgpd","user":"frr","folder":"/run/b","processes":8})");
  ASSERT_TRUE(given);
  EXPECT_EQ(given->bgp->user, "frr");
  EXPECT_EQ(given->bgp->processes, 8U);
  const auto wrong = parse(R"(,"bgp":{"bgpd":"bgpd","processes":17,"users":"x"})");
  ASSERT_FALSE(wrong);
  ASSERT_EQ(wrong.error().details.size(), 3U);
  EXPECT_EQ(wrong.error().details[1].target, "/bgp/processes");
}

}  // namespace

TEST(Bootstrap, TakesOneToThirtyTwoWorkers) {
  EXPECT_EQ(fault_of_file(R"({"workers":[1]})"), "");
  EXPECT_EQ(fault_of_file(R"({"workers":[1,2,5,3]})"), "");
  std::string many;
  for (int i = 1; i <= 33; ++i) many += (i > 1 ? "," : "") + std::to_string(i);
  EXPECT_NE(fault_of_file(R"({"workers":[)" + many + "]}").find("/lcores/workers"),
            std::string::npos);
  EXPECT_EQ(fault_of_file(R"({"workers":[]})"), "/lcores/workers must name at least one lcore");
}

TEST(Bootstrap, GivesNoProcessorTwoWorkers) {
  EXPECT_EQ(fault_of_file(R"({"workers":[1,2,1]})"),
            "/lcores/workers names lcore 1 twice: one worker each");
}

TEST(Bootstrap, LetsAWorkerThatSleepsShareTheControlThreadsProcessor) {
  EXPECT_EQ(fault_of_file(R"({"control":0,"workers":[0,1]})"), "");
  EXPECT_EQ(fault_of_file(R"({"control":0,"workers":[0,1]})", R"(,"busyPoll":true)"),
            "/lcores the control lcore 0 cannot be a worker's as well while busyPoll is on");
}

}  // namespace hnv
