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
