// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "api/replay_cache.h"
#include "tests/api/api_fixture.h"

namespace hnv {
namespace {

using namespace std::chrono_literals;

HttpRequest request(std::string id, std::string body) {
  HttpRequest made;
  made.method = "PUT";
  made.path = "/v1/routingDomains/a";
  made.client_request_id = std::move(id);
  made.body = std::move(body);
  return made;
}

class ReplayCacheTest : public testing::Test {
 protected:
  HttpAnswer ask(const std::string& id, const std::string& body, int status = 200) {
    return cache_.answer(request(id, body), now_, [&] {
      HttpAnswer answer;
      answer.status = status;
      answer.body = std::to_string(++worked_);
      return answer;
    });
  }
  ReplayCache cache_;
  ReplayCache::Clock::time_point now_{};
  int worked_ = 0;
};

TEST_F(ReplayCacheTest, RepeatsTheFirstAnswerForTenMinutes) {
  EXPECT_EQ(ask("a", "x").body, "1");
  now_ += 10min - 1s;
  EXPECT_EQ(ask("a", "x").body, "1");
  now_ += 1s;
  EXPECT_EQ(ask("a", "x").body, "2");
}

TEST_F(ReplayCacheTest, RefusesAnotherRequestUnderTheSameId) {
  ask("a", "x");
  EXPECT_EQ(ask("a", "y").status, 409);
  EXPECT_EQ(worked_, 1);
}

TEST_F(ReplayCacheTest, DoesNotKeepTheServersOwnFailures) {
  EXPECT_EQ(ask("a", "x", 503).status, 503);
  EXPECT_EQ(ask("a", "x", 200).status, 200);
  EXPECT_EQ(ask("a", "x", 400).body, "2");
}

TEST_F(ReplayCacheTest, IsBoundedInEntriesAndBytes) {
  for (size_t i = 0; i < ReplayCache::kMaxEntries + 50; ++i) ask(std::to_string(i), "x");
  EXPECT_EQ(cache_.size(), ReplayCache::kMaxEntries);
  const int before = worked_;
  ask("0", "x");  // the oldest went first
  EXPECT_EQ(worked_, before + 1);
  for (int i = 0; i < 10; ++i) {
    (void)cache_.answer(request("big" + std::to_string(i), ""), now_, [] {
      HttpAnswer answer;
      answer.body = std::string(ReplayCache::kMaxBytes / 4, 'x');
      return answer;
    });
  }
  EXPECT_LE(cache_.size(), 4U);
}

TEST_F(ReplayCacheTest, ARepeatWaitsForTheFirst) {
  std::atomic<bool> release = false;
  std::atomic<bool> started = false;
  std::thread first([&] {
    (void)cache_.answer(request("a", "x"), now_, [&] {
      started = true;
      started.notify_one();
      release.wait(false);
      ++worked_;
      HttpAnswer answer;
      answer.body = "first";
      return answer;
    });
  });
  started.wait(false);
  std::string repeated;
  std::thread second([&] { repeated = ask("a", "x").body; });
  release = true;
  release.notify_one();
  first.join();
  second.join();
  EXPECT_EQ(repeated, "first");
  EXPECT_EQ(worked_, 1);
}

using Replay = ApiFixture;

TEST_F(Replay, WorksOverHttp) {
  const Headers id{{"x-ms-client-request-id", "42"}};
  const auto first = call("PUT", "/v1/routingDomains/a", "{}", id);
  const auto again = call("PUT", "/v1/routingDomains/a", "{}", id);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.headers.at("etag"), "\"1\"");
  EXPECT_EQ(control_.changes(), 1U);
  const auto other = call("PUT", "/v1/routingDomains/a", R"({"description":"x"})", id);
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.code(), "conflict");
}

}  // namespace
}  // namespace hnv
