// SPDX-License-Identifier: Apache-2.0
//
// Random changes, good and bad, over few names so that they clash often. After each: the indexes
// are what the resources say; the generation before is untouched; and the resources are those of a
// naive model, a map by path that takes what the real one took. What was stored loads to the same.
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/resource_json.h"
#include "gateway/store.h"
#include "tests/gateway/model_fixture.h"
#include "tests/gateway/random_change.h"

namespace hnv {
namespace {

using Naive = std::map<std::string, uint64_t>;  // path, etag

Naive naive_of(const Model& model) {
  Naive naive;
  for (const auto& resource : all_resources(model)) {
    naive.emplace(resource_path(resource.key), resource.etag);
  }
  return naive;
}

// The change as a map would take it. Records go with their subnet.
void take(Naive& naive, const std::vector<RandomChange::Text>& texts, const Applied& applied) {
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto& item = applied.items[i];
    if (item.resource) {
      naive[texts[i].path] = item.resource->etag;
    } else if (item.outcome == Outcome::deleted) {
      naive.erase(texts[i].path);
      const std::string below = texts[i].path + "/";
      for (auto at = naive.lower_bound(below);
           at != naive.end() && at->first.compare(0, below.size(), below) == 0;) {
        at = naive.erase(at);
      }
    }
  }
}

void expect_loads_the_same(const ModelPtr& model) {
  const auto loaded =
      restore(model->generation(), all_resources(*model), kTestPorts, test_choices());
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  EXPECT_EQ(naive_of(**loaded), naive_of(*model));
  EXPECT_EQ(index_fault(**loaded), "");
}

class ModelRandom : public ::testing::TestWithParam<unsigned> {};

TEST_P(ModelRandom, AgreesWithANaiveModel) {
  RandomChange random(GetParam());
  const auto choices = test_choices();
  ModelPtr model = std::make_shared<Model>();
  Naive naive;
  size_t taken = 0;
  size_t nats = 0;  // taken changes that left a NAT or pool behind
  for (int step = 0; step < 3000; ++step) {
    std::vector<RandomChange::Text> texts(1 + (random.below(4) == 0 ? random.below(3) : 0));
    std::vector<Request> requests;
    for (auto& text : texts) {
      text = random.next();
      requests.push_back({text.method, text.path, text.body});
    }
    const auto done = apply(model, change_of(requests), kTestPorts, choices);
    if (!done) {
      ASSERT_FALSE(done.error().error.message.empty());
      continue;
    }
    ++taken;
    for (const auto& item : done->applied.items) {
      nats += item.resource && (std::holds_alternative<NatKey>(item.resource->key) ||
                                std::holds_alternative<PublicAddressPoolKey>(item.resource->key))
                  ? 1U
                  : 0U;
    }
    take(naive, texts, done->applied);
    const Naive before = naive_of(*model);
    ASSERT_EQ(index_fault(*done->next), "") << texts[0].method << " " << texts[0].path;
    ASSERT_EQ(naive_of(*done->next), naive) << texts[0].method << " " << texts[0].path;
    ASSERT_EQ(naive_of(*model), before);
    ASSERT_EQ(store_writes(*model, *done->next).empty(), done->next == model || before == naive);
    model = done->next;
    if (step % 100 == 0) expect_loads_the_same(model);
  }
  expect_loads_the_same(model);
  EXPECT_GT(taken, 500U);
  EXPECT_GT(nats, 50U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelRandom, ::testing::Values(1U, 2U, 3U, 4U));

}  // namespace
}  // namespace hnv
