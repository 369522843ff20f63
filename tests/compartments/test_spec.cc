// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "compartments/spec.h"

namespace hnv {
namespace {

TEST(RecordId, ReadsAndWritesText) {
  for (const char* text :
       {"10.0.0.7", "2001:db8::7", "wildcard-v4", "wildcard-v6", "l2-02:00:00:00:00:01"}) {
    const auto id = parse_record_id(text);
    ASSERT_TRUE(id) << text;
    EXPECT_EQ(to_string(*id), text);
  }
  EXPECT_TRUE(std::holds_alternative<WildcardV6>(*parse_record_id("wildcard-v6")));
  EXPECT_TRUE(std::holds_alternative<MacAddress>(*parse_record_id("l2-02-00-00-00-00-01")));
}

TEST(RecordId, RefusesOtherText) {
  for (const char* text : {"", "wildcard", "wildcard-v5", "Wildcard-v4", "l2-", "l2", "l2-10.0.0.1",
                           "02:00:00:00:00:01", "10.0.0.7/32", "vm1"}) {
    EXPECT_FALSE(parse_record_id(text)) << text;
  }
}

}  // namespace
}  // namespace hnv
