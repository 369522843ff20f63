// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/fib.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr std::array kVariants{FibVariant::scalar, FibVariant::avx2, FibVariant::avx512};

Route4 route(const std::string& prefix, uint32_t hop) {
  const auto p = Prefix<Space::customer>::parse(prefix);
  EXPECT_TRUE(p) << prefix;
  return {p->address().v4(), p->length(), HopId(hop)};
}

uint32_t address(const std::string& text) { return address_text::parse4(text).value(); }

bool in_order(const Route4& a, const Route4& b) {
  return std::pair(a.network, a.length) < std::pair(b.network, b.length);
}

std::shared_ptr<const Fib4> build(std::vector<Route4> routes) {
  std::sort(routes.begin(), routes.end(), in_order);
  return Fib4::build(routes);
}

// The obvious thing: one map a prefix length, asked from the longest.
class NaiveTable {
 public:
  void put(const Route4& r) { lengths_[r.length][r.network.value()] = r.hop; }
  void erase(const Route4& r) { lengths_[r.length].erase(r.network.value()); }
  [[nodiscard]] HopId lookup(uint32_t a) const {
    for (unsigned length = 33; length-- > 0;) {
      const auto found = lengths_[length].find(a & mask(length));
      if (found != lengths_[length].end()) return found->second;
    }
    return {};
  }
  [[nodiscard]] std::vector<Route4> routes() const {
    std::vector<Route4> result;
    for (uint8_t length = 0; length <= 32; ++length) {
      for (const auto& [network, hop] : lengths_[length]) {
        result.push_back({CaAddress(network), length, hop});
      }
    }
    return result;
  }
  [[nodiscard]] static uint32_t mask(unsigned length) {
    return length == 0 ? 0 : UINT32_MAX << (32 - length);
  }

 private:
  std::array<std::map<uint32_t, HopId>, 33> lengths_;
};

Route4 random_route(Random& random) {
  // Clustered in a few bits, so that prefixes nest and touch; all lengths, both ends of the space.
  const auto length = static_cast<uint8_t>(random() % 33);
  uint32_t network = random();
  if (random() % 4 == 0) network |= 0xffffff00;
  if (random() % 4 == 0) network &= 0x000000ff;
  if (random() % 2 == 0) network = (network & 0x00030303) | 0x0a000000;
  return {CaAddress(network & NaiveTable::mask(length)), length, HopId(random() % 50)};
}

// The first and last address of every prefix and their neighbours: where an answer may change.
std::vector<uint32_t> edges(const std::vector<Route4>& routes) {
  std::vector<uint32_t> result{0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (const Route4& r : routes) {
    const uint32_t first = r.network.value();
    const uint32_t last = first | ~NaiveTable::mask(r.length);
    for (const uint32_t a : {first - 1, first, first + 1, last - 1, last, last + 1}) {
      result.push_back(a);
    }
  }
  return result;
}

void expect_same(const Fib4& table, const NaiveTable& model, const std::vector<uint32_t>& asked) {
  std::array<const FibRoot*, 64> tables{};
  tables.fill(&table.root());
  for (size_t at = 0; at < asked.size(); at += 64) {
    const auto n = static_cast<unsigned>(std::min<size_t>(64, asked.size() - at));
    for (const FibVariant variant : kVariants) {
      const FibLookupBulk bulk = fib_variant(variant);
      if (bulk == nullptr) continue;
      std::array<HopId, 64> hops{};
      bulk(tables.data(), &asked[at], hops.data(), n);
      for (unsigned i = 0; i < n; ++i) {
        ASSERT_EQ(hops[i].value(), model.lookup(asked[at + i]).value())
            << address_text::format4(asked[at + i]) << " variant " << int(variant);
      }
    }
    for (unsigned i = 0; i < n; ++i) {
      ASSERT_EQ(table.lookup(asked[at + i]), model.lookup(asked[at + i]));
    }
  }
}

struct Case {
  const char* name;
  std::vector<Route4> routes;
  std::vector<std::pair<const char*, uint32_t>> expected;  // kNone: no route
};

TEST(Fib4, AnswersWithTheLongestPrefix) {
  constexpr uint32_t kNone = HopId::kNone;
  const Case cases[] = {
      {"empty", {}, {{"0.0.0.0", kNone}, {"10.0.0.1", kNone}, {"255.255.255.255", kNone}}},
      {"default only",
       {route("0.0.0.0/0", 1)},
       {{"0.0.0.0", 1}, {"127.255.255.255", 1}, {"128.0.0.0", 1}, {"255.255.255.255", 1}}},
      {"host routes at both ends",
       {route("0.0.0.0/32", 1), route("255.255.255.255/32", 2)},
       {{"0.0.0.0", 1}, {"0.0.0.1", kNone}, {"255.255.255.254", kNone}, {"255.255.255.255", 2}}},
      {"nested, same start",
       {route("10.0.0.0/8", 1), route("10.0.0.0/16", 2), route("10.0.0.0/32", 3)},
       {{"9.255.255.255", kNone},
        {"10.0.0.0", 3},
        {"10.0.0.1", 2},
        {"10.0.255.255", 2},
        {"10.1.0.0", 1},
        {"10.255.255.255", 1},
        {"11.0.0.0", kNone}}},
      {"nested, same end",
       {route("10.0.0.0/8", 1), route("10.255.0.0/16", 2), route("10.255.255.255/32", 3)},
       {{"10.254.255.255", 1}, {"10.255.0.0", 2}, {"10.255.255.255", 3}, {"11.0.0.0", kNone}}},
      {"neighbours",
       {route("192.168.0.0/25", 1), route("192.168.0.128/25", 2)},
       {{"192.168.0.127", 1}, {"192.168.0.128", 2}, {"192.168.1.0", kNone}}},
      {"a hole in a route",
       {route("10.0.0.0/8", 1), route("10.1.0.0/16", kNone)},
       {{"10.0.255.255", 1}, {"10.1.0.0", kNone}, {"10.2.0.0", 1}}},
  };
  for (const Case& c : cases) {
    const auto table = build(c.routes);
    for (const auto& [text, hop] : c.expected) {
      EXPECT_EQ(table->lookup(address(text)).value(), hop) << c.name << ": " << text;
    }
  }
}

TEST(Fib4, MergesNeighboursOfOneAnswer) {
  EXPECT_EQ(build({})->ranges(), 1U);
  EXPECT_EQ(build({route("0.0.0.0/0", 1), route("10.0.0.0/8", 1)})->ranges(), 1U);
  EXPECT_EQ(build({route("10.0.0.0/9", 1), route("10.128.0.0/9", 1)})->ranges(), 3U);
}

// Every table size around those where a leaf or a level is added.
TEST(Fib4, IsRightAtEveryDepth) {
  for (const unsigned hosts :
       {7U, 8U, 127U, 128U, 129U, 2046U, 2047U, 2048U, 2049U, 10000U, 40000U}) {
    NaiveTable model;
    std::vector<uint32_t> asked{0, 0xffffffff};
    for (unsigned i = 0; i < hosts; ++i) {
      const uint32_t a = 0x0a000000 + 2 * i;
      model.put({CaAddress(a), 32, HopId(i)});
      asked.insert(asked.end(), {a - 1, a, a + 1});
    }
    const auto table = Fib4::build(model.routes());
    EXPECT_EQ(table->large(), hosts > 2047);
    if (!table->large()) {
      EXPECT_EQ(table->ranges(), 2 * hosts + 1);
    }
    expect_same(*table, model, asked);
  }
}

// Few ranges, but building them anew would look at every route.
TEST(Fib4, IsLargeWithManyRoutesOfOneAnswer) {
  for (const unsigned hosts : {8192U, 8193U}) {
    NaiveTable model;
    for (unsigned i = 0; i < hosts; ++i) model.put({CaAddress(0x0a000000 + i), 32, HopId(1)});
    const auto table = Fib4::build(model.routes());
    EXPECT_EQ(table->large(), hosts > 8192);
    expect_same(*table, model, {0x09ffffff, 0x0a000000, 0x0a001fff, 0x0a002000, 0x0a002001});
  }
}

TEST(Fib4, ChurnEqualsTheNaiveTable) {
  Random random(7);
  for (const size_t target : {size_t{3}, size_t{30}, size_t{300}, size_t{3000}}) {
    NaiveTable model;
    std::vector<Route4> known;
    for (int round = 0; round < 12; ++round) {
      for (size_t i = 0; i < target / 4 + 1; ++i) {
        known.push_back(random_route(random));
        model.put(known.back());
      }
      while (known.size() > target) {
        const size_t i = random() % known.size();
        model.erase(known[i]);
        known[i] = known.back();
        known.pop_back();
      }
      auto asked = edges(known);
      for (int i = 0; i < 1000; ++i) asked.push_back(random());
      expect_same(*build(model.routes()), model, asked);
      if (HasFatalFailure()) return;
    }
  }
}

// One vector over tables of every depth, and every vector length.
TEST(Fib4, BulkMixesTables) {
  Random random(11);
  std::array<NaiveTable, 64> models;
  std::vector<std::shared_ptr<const Fib4>> tables;
  constexpr std::array<size_t, 6> kRoutes{0, 1, 10, 100, 1000, 5000};
  for (unsigned i = 0; i < 64; ++i) {
    for (size_t n = 0; n < kRoutes[i % kRoutes.size()]; ++n) models[i].put(random_route(random));
    tables.push_back(build(models[i].routes()));
  }
  for (unsigned n = 0; n <= 64; ++n) {
    std::array<const FibRoot*, 64> asked_tables{};
    std::array<uint32_t, 64> asked{};
    std::array<unsigned, 64> which{};
    for (unsigned i = 0; i < n; ++i) {
      which[i] = random() % 64;
      asked_tables[i] = &tables[which[i]]->root();
      asked[i] = random_route(random).network.value();
    }
    for (const FibVariant variant : kVariants) {
      if (fib_variant(variant) == nullptr) continue;
      std::array<HopId, 64> hops;
      hops.fill(HopId(0xdead));
      fib_variant(variant)(asked_tables.data(), asked.data(), hops.data(), n);
      for (unsigned i = 0; i < n; ++i) {
        ASSERT_EQ(hops[i], models[which[i]].lookup(asked[i])) << n << " " << i;
      }
      for (unsigned i = n; i < 64; ++i) ASSERT_EQ(hops[i], HopId(0xdead)) << "wrote behind n";
    }
  }
}

TEST(Fib4, StaysWithin32BytesARouteForATenant) {
  Random random(3);
  NaiveTable model;
  model.put(route("0.0.0.0/0", 0));
  while (model.routes().size() < 100) {
    const auto length = static_cast<uint8_t>(random() % 10 < 6 ? 24 : 16 + random() % 17);
    const uint32_t network = 0x0a000000 | (random() & 0xffffff);
    model.put({CaAddress(network & NaiveTable::mask(length)), length, HopId(random() % 20)});
  }
  EXPECT_LE(build(model.routes())->bytes(), 3200U);
}

}  // namespace
}  // namespace hnv
