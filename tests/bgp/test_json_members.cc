// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/json_members.h"

namespace hnv {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

Members members_of(std::string_view json, size_t piece, size_t most = SIZE_MAX) {
  Members out;
  JsonMembers members("routes", [&](std::string_view name, std::string_view value) {
    out.emplace_back(name, value);
    return out.size() < most;
  });
  for (size_t at = 0; at < json.size(); at += piece) {
    if (!members.feed(json.substr(at, piece))) break;
  }
  return out;
}

// bgpd 8.4.4's form.
constexpr std::string_view kTable = R"({
 "vrfId": 1,
 "peers":{"routes":{"no":1}},
 "routes": { "10.0.0.0/24": [{"path":"routes","a":"}],{\"","b":["x",{}]}]
,"10.1.0.0/16": {"n":1}
,"::/0": 7 }, "after":{"no":2}  } 
)";

TEST(JsonMembers, AreTheObjectsAndNobodyElses) {
  const Members expected = {{"10.0.0.0/24", R"( [{"path":"routes","a":"}],{\"","b":["x",{}]}]
)"},
                            {"10.1.0.0/16", " {\"n\":1}\n"},
                            {"::/0", " 7 "}};
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, kTable.size()}) {
    EXPECT_EQ(members_of(kTable, piece), expected) << piece;
  }
}

TEST(JsonMembers, OfAnEmptyObjectThereAreNone) {
  EXPECT_TRUE(members_of(R"({ "routes": {  }  } )", 3).empty());
  EXPECT_TRUE(members_of(R"({"warning":"View/Vrf is unknown"})", 3).empty());
  EXPECT_TRUE(members_of("]]}}\"\\", 1).empty());
}

TEST(JsonMembers, EndWhenThereAreEnough) { EXPECT_EQ(members_of(kTable, 5, 2).size(), 2U); }

TEST(JsonMembers, OneThatHasNoEndIsRefused) {
  JsonMembers members("routes", [](std::string_view, std::string_view) { return true; });
  ASSERT_TRUE(members.feed(R"({"routes":{"x":")"));
  const std::string piece(JsonMembers::kLongest / 4, 'x');
  int fed = 0;
  while (fed < 10 && members.feed(piece)) ++fed;
  EXPECT_EQ(fed, 3);
}

}  // namespace
}  // namespace hnv
