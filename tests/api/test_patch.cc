// SPDX-License-Identifier: Apache-2.0
//
// PATCH of a resource: a merge of what is given into what there is.
#include "tests/api/api_fixture.h"

namespace hnv {
namespace {

constexpr const char* kRouter = "/v1/routingDomains/contoso/bgpRouter";
constexpr const char* kPeer = "/v1/routingDomains/contoso/bgpPeers/site";

class Patch : public ApiFixture {
 protected:
  Patch() {
    EXPECT_EQ(call("PUT", "/v1/routingDomains/contoso", "{}").status, 201);
    EXPECT_EQ(call("PUT", kRouter, R"({"asNumber":65001,"routerId":"10.0.0.1",
                                       "dampening":{"reuse":800,"suppress":3000}})")
                  .status,
              201);
    EXPECT_EQ(call("PUT", kPeer, R"({"peerIpAddress":"172.16.0.1","asNumber":65010,
                                     "password":"swordfish","weight":7,"bfd":{"multiplier":5}})")
                  .status,
              201);
  }
  Json get(const char* path) { return call("GET", path).json(); }
  Json patched(const char* path, const char* body) {
    const Reply reply = call("PATCH", path, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  std::string secret() {
    const auto peer = control_.config()->find(BgpPeerKey{"contoso", "site"});
    const auto& password = std::get<BgpPeerSpec>(peer->spec).password;
    return password ? std::string(password->reveal_text()) : "absent";
  }
};

TEST_F(Patch, ChangesWhatIsGivenAndNothingElse) {
  Json expected = get(kPeer);
  const Json answer =
      patched(kPeer, R"({"maxAllowedPrefix":5,"bfd":{"minReceiveMilliseconds":100}})");
  expected["maxAllowedPrefix"] = 5;
  expected["bfd"]["minReceiveMilliseconds"] = 100;
  expected["etag"] = answer["etag"];
  expected["passwordSet"] = false;  // the fake is no model, which keeps what is not said
  EXPECT_EQ(answer, expected);
  EXPECT_EQ(get(kPeer), expected);
}

TEST_F(Patch, NullTakesAway) {
  EXPECT_FALSE(patched(kRouter, R"({"dampening":null})").contains("dampening"));
  EXPECT_FALSE(patched(kPeer, R"({"bfd":null,"localIPAddress":null})").contains("bfd"));
}

// The fake keeps a spec as it is decoded: absent is what the model keeps the old one for.
TEST_F(Patch, ASecretThatIsNotNamedIsLeftToTheModel) {
  EXPECT_EQ(secret(), "swordfish");
  (void)patched(kPeer, R"({"weight":8})");
  EXPECT_EQ(secret(), "absent");
  (void)patched(kPeer, R"({"password":"marlin"})");
  EXPECT_EQ(secret(), "marlin");
  (void)patched(kPeer, R"({"password":null})");
  EXPECT_EQ(secret(), "");
}

TEST_F(Patch, TheAsNumberByItsOtherName) {
  EXPECT_EQ(patched(kRouter, R"({"extAsNumber":"0.65002"})")["asNumber"], 65002);
}

TEST_F(Patch, IsJudgedAsTheWhole) {
  EXPECT_EQ(call("PATCH", kPeer, R"({"colour":"red"})").status, 400);
  EXPECT_EQ(call("PATCH", kRouter, R"({"dampening":{"reuse":4000}})").status, 400)
      << "above suppress";
  EXPECT_EQ(call("PATCH", kRouter, R"({"routerId":null})").status, 400);
  EXPECT_EQ(call("PATCH", kRouter, "[]").status, 400);
  EXPECT_EQ(call("PATCH", kRouter, "{").status, 400);
  EXPECT_EQ(call("PATCH", "/v1/routingDomains/contoso/bgpPeers/none", "{}").status, 404);
  EXPECT_EQ(call("PATCH", "/v1/routingDomains/contoso", "{}").status, 405);
}

TEST_F(Patch, KeepsToItsPrecondition) {
  const std::string etag = get(kPeer)["etag"];
  EXPECT_EQ(call("PATCH", kPeer, R"({"weight":8})", {{"If-Match", "\"4711\""}}).status, 412);
  EXPECT_EQ(get(kPeer)["weight"], 7);
  EXPECT_EQ(call("PATCH", kPeer, R"({"weight":8})", {{"If-Match", "\"" + etag + "\""}}).status,
            200);
  EXPECT_EQ(call("PATCH", kPeer, R"({"weight":9})", {{"If-Match", "\"" + etag + "\""}}).status,
            412);
}

TEST_F(Patch, WhatAnotherChangedMeanwhileStays) {
  int others = 0;
  control_.before_apply([&] {
    if (others++ != 0) return;
    Change change;
    auto peer = *control_.config()->find(BgpPeerKey{"contoso", "site"});
    std::get<BgpPeerSpec>(peer.spec).max_allowed_prefix = 77;
    change.operations.emplace_back(Put{peer.key, peer.spec, {}});
    ASSERT_TRUE(control_.apply(std::move(change)));
  });
  const Json answer = patched(kPeer, R"({"weight":8})");
  EXPECT_EQ(answer["weight"], 8);
  EXPECT_EQ(answer["maxAllowedPrefix"], 77);
  EXPECT_GE(others, 3) << "the first try was refused";
}

}  // namespace
}  // namespace hnv
