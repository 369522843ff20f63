// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "api/json_decode.h"
#include "api/json_readers.h"

namespace hnv {
namespace {

TEST(ParseJson, TakesStrictJsonOnly) {
  for (const auto* good : {"{}", "[]", "7", R"("a")", R"({"a":{"b":[1,2,{"c":null}]}})", " {} "}) {
    EXPECT_TRUE(parse_json(good)) << good;
  }
  for (const auto* bad : {"", "{", "{,}", "{'a':1}", "{} {}", "{\"a\":1,}", "nul", "\"\xff\"",
                          "1e999", "// note\n{}"}) {
    const auto parsed = parse_json(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_value);
    EXPECT_EQ(parsed.error().message.find("json.exception"), std::string::npos);
  }
}

TEST(ParseJson, BoundsTheNesting) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth)));
  EXPECT_FALSE(parse_json(nested(kMaxJsonDepth + 1)));
  EXPECT_FALSE(parse_json(nested(1'000'000)));
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));
}

TEST(ParseJson, RefusesAPropertyGivenTwice) {
  EXPECT_FALSE(parse_json(R"({"a":1,"a":2})"));
  EXPECT_FALSE(parse_json(R"([{"x":{"a":1,"a":1}}])"));
  EXPECT_TRUE(parse_json(R"([{"a":1},{"a":2}])"));
  EXPECT_TRUE(parse_json(R"({"a":{"a":1},"b":{"a":1}})"));
}

TEST(Place, SpellsPointersAsRfc6901) {
  const Place body;
  const Place routes(body, "routes");
  const Place third(routes, size_t{2});
  const Place odd(third, "a/b~c");
  EXPECT_EQ(body.pointer(), "");
  EXPECT_EQ(third.pointer(), "/routes/2");
  EXPECT_EQ(odd.pointer(), "/routes/2/a~1b~0c");
}

TEST(Faults, AreBoundedAndTheHeadRepeatsTheFirst) {
  Faults faults;
  for (int i = 0; i < 1000; ++i) faults.invalid(Place{}, std::to_string(i));
  const Error error = std::move(faults).to_error();
  EXPECT_EQ(error.message, "0");
  EXPECT_EQ(error.details.size(), Faults::kMax);
}

TEST(ObjectReader, TakesNullAsAbsent) {
  const Json json = Json::parse(R"({"a":null})");
  Faults faults;
  const Place body;
  ObjectReader in(body, json, faults);
  std::optional<uint16_t> a;
  in.optional("a", a, kMtuReader);
  in.finish();
  EXPECT_FALSE(a);
  EXPECT_TRUE(faults.empty());
}

TEST(WholeNumber, TakesWhatItsRangeSays) {
  const WholeNumber number{1, 10};
  for (const auto* good : {"1", "10"}) {
    Faults faults;
    uint32_t out = 0;
    number(Place{}, Json::parse(good), faults, out);
    EXPECT_TRUE(faults.empty()) << good;
  }
  for (const auto* bad : {"0", "11", "-1", "1.0", "\"5\"", "true", "18446744073709551616", "[]"}) {
    Faults faults;
    uint32_t out = 7;
    number(Place{}, Json::parse(bad), faults, out);
    EXPECT_EQ(faults.count(), 1U) << bad;
    EXPECT_EQ(out, 7U) << bad;
  }
}

TEST(HostAddress, RefusesWhatNoHostCanOwn) {
  using Address = InterfaceAddress<Space::provider>;
  for (const auto* good : {"10.0.0.1/24", "10.0.0.0/31", "10.0.0.1/31", "10.0.0.7/32"}) {
    Faults faults;
    Address out;
    kHostAddressReader(Place{}, Json(good), faults, out);
    EXPECT_TRUE(faults.empty()) << good;
    EXPECT_EQ(out.to_string(), good);
  }
  for (const auto* bad :
       {"10.0.0.0/24", "10.0.0.255/24", "0.0.0.0/0", "10.0.0.1/0", "127.0.0.1/8", "224.0.0.5/24",
        "255.255.255.255/32", "10.0.0.1", "10.0.0.1/33", "10.0.0.01/24", "x"}) {
    Faults faults;
    Address out;
    kHostAddressReader(Place{}, Json(bad), faults, out);
    EXPECT_EQ(faults.count(), 1U) << bad;
  }
}

}  // namespace
}  // namespace hnv
