// SPDX-License-Identifier: Apache-2.0
//
// Group commit, with a store that the test holds up and lets go.
#include <atomic>
#include <chrono>
#include <poll.h>
#include <semaphore>

#include <gtest/gtest.h>

#include "gateway/transaction.h"
#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

using Answer = ChangeQueue::Answer;

// Commits when told to, with the result it is told.
class HeldStore final : public Store {
 public:
  Result<LoadedState> load() override { return LoadedState{}; }
  Result<void> commit(const std::vector<StoreWrite>& writes, uint64_t generation) override {
    started_.release();
    go_.acquire();
    ++commits;
    rows += writes.size();
    last_generation = generation;
    if (full) return fail(ErrorCode::insufficient_storage, "the disk is full");
    return {};
  }

  void wait_for_commit() { started_.acquire(); }
  void let_go() { go_.release(); }

  std::atomic<size_t> commits = 0, rows = 0;
  std::atomic<uint64_t> last_generation = 0;
  std::atomic<bool> full = false;

 private:
  std::counting_semaphore<> started_{0}, go_{0};
};

class Transaction : public ::testing::Test {
 protected:
  Transaction()
      : queue(
            base, store, kTestPorts, test_choices(),
            [this](const ModelPtr& before, const ModelPtr& after,
                   const std::vector<Touched>& touched) { return compile(before, after, touched); },
            [this] {
              ++pauses;
              during_pause = queue.current();
            }) {}

  Result<ChangeQueue::Publish> compile(const ModelPtr& before, const ModelPtr& after,
                                       const std::vector<Touched>& touched) {
    EXPECT_EQ(differences(*before, *after), touched);
    ++compiled;
    if (compile_fails) return fail(ErrorCode::internal, "no room in the dataplane");
    return [this, after] { published = after; };
  }

  std::future<Answer> post(const std::vector<Request>& requests) {
    return queue.post(change_of(requests));
  }
  // Steps once something is due.
  void step() {
    pollfd wake{queue.wake_fd(), POLLIN, 0};
    ASSERT_EQ(poll(&wake, 1, 10'000), 1) << "nothing became due";
    queue.step();
  }
  // Lets the commit in flight end, and steps.
  void finish() {
    store.wait_for_commit();
    store.let_go();
    step();
  }
  static bool answered(const std::future<Answer>& answer) {
    return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  const ModelPtr base = base_model();
  HeldStore store;
  ModelPtr published;
  int compiled = 0;
  size_t pauses = 0;
  ModelPtr during_pause;
  bool compile_fails = false;
  ChangeQueue queue;
};

const Request kDomainA{"PUT", "/v1/routingDomains/a"};
const Request kDomainB{"PUT", "/v1/routingDomains/b"};
const Request kRefused{"DELETE", "/v1/routingDomains/contoso"};
const Request kNothing{"DELETE", "/v1/routingDomains/nothing"};

TEST_F(Transaction, AnswersOnlyWhenStoredAndPublished) {
  auto answer = post({kDomainA});
  step();
  store.wait_for_commit();
  EXPECT_FALSE(answered(answer));
  EXPECT_EQ(published, nullptr);
  EXPECT_EQ(queue.current(), base);
  store.let_go();
  step();
  ASSERT_TRUE(answered(answer));
  const auto applied = answer.get();
  ASSERT_TRUE(applied.has_value());
  EXPECT_EQ(applied->generation, base->generation() + 1);
  EXPECT_EQ(published, queue.current());
  EXPECT_NE(published->domain("a"), nullptr);
}

// Once while it is applied and once while the difference is taken, for each record.
TEST_F(Transaction, PausesBetweenTheStepsOfALongChange) {
  constexpr size_t kRecords = 200;
  std::vector<std::string> texts;
  texts.reserve(2 * kRecords);
  std::vector<Request> requests;
  for (size_t i = 0; i < kRecords; ++i) {
    const std::string ca = "10.0.0." + std::to_string(20 + i);
    texts.push_back("/v1/routingDomains/contoso/virtualSubnets/web/lookupRecords/" + ca);
    texts.push_back(R"({"customerAddress":")" + ca +
                    R"(","providerAddress":"192.0.2.30","macAddress":"02:00:5e:00:00:04"})");
    requests.push_back({"PUT", texts[2 * i], texts[2 * i + 1]});
  }
  auto answer = post(requests);
  step();
  ASSERT_FALSE(answered(answer)) << answer.get().error().error.message;
  EXPECT_GE(pauses, 2 * kRecords);
  EXPECT_EQ(during_pause, base);
  finish();
  EXPECT_TRUE(answer.get().has_value());
}

TEST_F(Transaction, WhatWaitsSharesTheNextCommit) {
  auto first = post({kDomainA});
  step();
  auto second = post({kDomainB});
  auto refused = post({kRefused});
  auto third = post({{"PUT", "/v1/routingDomains/c"}});
  queue.step();  // a commit is in flight: nothing starts
  EXPECT_EQ(compiled, 1);
  finish();
  EXPECT_TRUE(answered(first));
  EXPECT_FALSE(answered(second));
  finish();
  EXPECT_EQ(store.commits, 2U);
  EXPECT_EQ(compiled, 2);
  EXPECT_TRUE(second.get().has_value());
  EXPECT_EQ(refused.get().error().error.code, ErrorCode::conflict);
  EXPECT_EQ(third.get()->generation, base->generation() + 3);
  EXPECT_EQ(store.last_generation, base->generation() + 3);
  EXPECT_EQ(published->generation(), base->generation() + 3);
}

TEST_F(Transaction, FullDiskChangesNothing) {
  store.full = true;
  auto answer = post({kDomainA});
  step();
  finish();
  EXPECT_EQ(answer.get().error().error.code, ErrorCode::insufficient_storage);
  EXPECT_EQ(queue.current(), base);
  EXPECT_EQ(published, nullptr);
  store.full = false;  // and the next one starts from there
  auto again = post({kDomainA});
  step();
  finish();
  EXPECT_EQ(again.get()->generation, base->generation() + 1);
}

TEST_F(Transaction, FailureToCompileChangesNothing) {
  compile_fails = true;
  auto answer = post({kDomainA});
  step();
  ASSERT_TRUE(answered(answer));
  EXPECT_EQ(answer.get().error().error.code, ErrorCode::internal);
  EXPECT_EQ(queue.current(), base);
  EXPECT_EQ(store.commits, 0U);
}

TEST_F(Transaction, WhatChangesNothingIsAnsweredAtOnce) {
  auto nothing = post({kNothing});
  auto refused = post({kRefused});
  step();
  ASSERT_TRUE(answered(nothing));
  EXPECT_EQ(nothing.get()->items.at(0).outcome, Outcome::already_absent);
  EXPECT_FALSE(refused.get().has_value());
  EXPECT_EQ(store.commits, 0U);
  EXPECT_EQ(compiled, 0);
}

TEST_F(Transaction, StopFinishesWhatIsInFlightAndRefusesTheRest) {
  auto in_flight = post({kDomainA});
  step();
  store.wait_for_commit();
  auto waiting = post({kDomainB});
  store.let_go();
  queue.stop();
  EXPECT_TRUE(in_flight.get().has_value());
  EXPECT_NE(published->domain("a"), nullptr);
  EXPECT_EQ(waiting.get().error().error.code, ErrorCode::unavailable);
  EXPECT_EQ(queue.submit(change_of({kDomainB})).error().error.code, ErrorCode::unavailable);
}

TEST_F(Transaction, ManyThreadsEachGetTheirAnswer) {
  constexpr size_t kThreads = 8;
  constexpr size_t kChanges = 50;
  std::atomic<size_t> done = 0;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < kChanges; ++i) {
        const std::string path = "/v1/routingDomains/t" + std::to_string(t);
        const std::string body = R"({"description":")" + std::to_string(i) + R"("})";
        const auto answer = queue.submit(change_of({{"PUT", path, body}}));
        EXPECT_TRUE(answer.has_value());
        EXPECT_GE(queue.current()->generation(), answer->generation);
      }
      ++done;
    });
  }
  for (size_t i = 0; i < kThreads * kChanges + kThreads; ++i) store.let_go();
  while (done < kThreads) {
    pollfd wake{queue.wake_fd(), POLLIN, 0};
    poll(&wake, 1, 10);
    queue.step();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(queue.current()->generation(), base->generation() + kThreads * kChanges);
  EXPECT_LE(store.commits, kThreads * kChanges);
}

}  // namespace
}  // namespace hnv
