// SPDX-License-Identifier: Apache-2.0
//
// Random changes, good and bad, over few names so that they clash often. After each: the indexes
// are what the resources say; the generation before is untouched; and the resources are those of a
// naive model, a map by path that takes what the real one took. What was stored loads to the same.
#include <map>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/resource_json.h"
#include "gateway/store.h"
#include "tests/gateway/model_fixture.h"

namespace hnv {
namespace {

class RandomChange {
 public:
  explicit RandomChange(unsigned seed) : random_(seed) {}

  [[nodiscard]] unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  // Method and path are owned by the caller's deque-free strings: a body of its own each time.
  struct Text {
    std::string method, path, body;
  };
  Text next() {
    const std::string domain = fmt::format("/v1/routingDomains/d{}", below(3));
    const std::string subnet = fmt::format("{}/virtualSubnets/s{}", domain, below(4));
    const std::string method = below(3) == 0 ? "DELETE" : "PUT";
    switch (below(8)) {
      case 0:
        return {method, fmt::format("/v1/providerNetworks/p{}", below(3)), provider_network()};
      case 1:
        return {method, fmt::format("/v1/externalNetworks/e{}", below(2)),
                fmt::format(R"({{"port":"wan0","vlanId":{}}})", below(4))};
      case 2:
        return {method, domain, fmt::format(R"({{"limits":{{"routes":{}}}}})", 2 + below(4))};
      case 3:
      case 4:
        return {method, subnet, virtual_subnet()};
      case 5: {
        const std::string ca = fmt::format("10.{}.0.{}", below(4), 4 + below(3));
        return {method, fmt::format("{}/lookupRecords/{}", subnet, ca), record(ca)};
      }
      case 6:
        return {method, fmt::format("{}/customerRoutes/r{}", domain, below(4)), route()};
      default:
        return {method, fmt::format("{}/networkConnections/c{}", domain, below(2)), connection()};
    }
  }

 private:
  std::string provider_network() {
    return fmt::format(
        R"({{"port":"fabric0","vlanId":{},"providerAddresses":["192.0.2.{}/24"{}]}})", below(4),
        1 + below(2), below(2) == 0 ? "" : R"(,"198.51.100.1/24")");
  }
  std::string virtual_subnet() {
    const std::string vsid =
        below(2) == 0 ? "" : fmt::format(R"("virtualSubnetId":{},)", 4096 + below(6));
    return fmt::format(
        R"({{{}"addressPrefixes":["10.{}.0.0/{}"],"kind":"{}","router":"{}","providerNetwork":"p{}"}})",
        vsid, below(4), below(4) == 0 ? 25 : 24, below(2) == 0 ? "vm" : "gateway",
        below(3) == 0 ? "gateway" : "distributed", below(3));
  }
  std::string record(const std::string& ca) {
    return fmt::format(
        R"({{"customerAddress":"{}","providerAddress":"{}.{}","macAddress":"02:00:5e:00:00:04"}})",
        ca, below(3) == 0 ? "198.51.100" : "192.0.2", 1 + below(4));
  }
  std::string route() {
    const std::string prefix = fmt::format("172.{}.0.0/16", 20 + below(3));
    if (below(2) == 0) {
      return fmt::format(R"({{"destinationPrefix":"{}","networkConnection":"c{}"}})", prefix,
                         below(2));
    }
    return fmt::format(R"({{"destinationPrefix":"{}","nextHop":"10.{}.0.{}"}})", prefix, below(4),
                       1 + below(5));
  }
  std::string connection() {
    const std::string where = below(2) == 0 ? fmt::format(R"("externalNetwork":"e{}")", below(2))
                                            : fmt::format(R"("port":"wan0","vlanId":{})", below(4));
    return fmt::format(
        R"({{"connectionType":"L3","l3Configuration":{{{},"ipAddresses":["10.{}.0.9/24"],
            "peerIPAddresses":["10.{}.0.1"]}},"routes":[{{"destinationPrefix":"0.0.0.0/0"}}]}})",
        where, 2 + below(4), 2 + below(4));
  }

  std::mt19937 random_;
};

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
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelRandom, ::testing::Values(1U, 2U, 3U, 4U));

}  // namespace
}  // namespace hnv
