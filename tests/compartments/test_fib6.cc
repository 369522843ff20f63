// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/fib6.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr std::array kVariants{FibVariant::scalar, FibVariant::avx2, FibVariant::avx512};
constexpr uint32_t kNone = HopId::kNone;

CaAddress6 address(const std::string& text) {
  return CaAddress6(address_text::parse6(text).value());
}

Route6 route(const std::string& prefix, uint32_t hop) {
  const auto p = Prefix<Space::customer>::parse(prefix);
  EXPECT_TRUE(p) << prefix;
  return {p->address().v6(), p->length(), HopId(hop)};
}

CaAddress6 masked(const CaAddress6& a, uint8_t length) {
  return Prefix<Space::customer>(a, length).address().v6();
}
CaAddress6 last_of(const Route6& r) {
  auto bytes = r.network.bytes();
  for (unsigned bit = r.length; bit < 128; ++bit) {
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | 0x80 >> bit % 8);
  }
  return CaAddress6(bytes);
}
// The neighbour above or below; wraps around.
CaAddress6 stepped(const CaAddress6& a, int step) {
  auto bytes = a.bytes();
  for (size_t i = 16; i-- > 0;) {
    bytes[i] = static_cast<uint8_t>(bytes[i] + step);
    if (bytes[i] != (step > 0 ? 0x00 : 0xff)) break;
  }
  return CaAddress6(bytes);
}

// The obvious thing: one map a prefix length, asked from the longest.
class NaiveTable {
 public:
  void put(const Route6& r) { lengths_[r.length][r.network] = r.hop; }
  void erase(const Route6& r) { lengths_[r.length].erase(r.network); }
  [[nodiscard]] HopId lookup(const CaAddress6& a) const {
    for (unsigned length = 129; length-- > 0;) {
      if (lengths_[length].empty()) continue;
      const auto found = lengths_[length].find(masked(a, static_cast<uint8_t>(length)));
      if (found != lengths_[length].end()) return found->second;
    }
    return {};
  }
  [[nodiscard]] std::vector<Route6> routes() const {
    std::vector<Route6> result;
    for (unsigned length = 0; length <= 128; ++length) {
      for (const auto& [network, hop] : lengths_[length]) {
        result.push_back({network, static_cast<uint8_t>(length), hop});
      }
    }
    std::sort(result.begin(), result.end());
    return result;
  }

 private:
  std::array<std::map<CaAddress6, HopId>, 129> lengths_;
};

CaAddress6 random_address(Random& random) {
  // Clustered in a few bits of both halves, so that prefixes nest and touch; also both ends of the
  // space.
  std::array<uint8_t, 16> bytes{};
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  if (random() % 4 != 0) {
    for (size_t i = 0; i < 16; ++i)
      bytes[i] = static_cast<uint8_t>(bytes[i] & (i % 8 < 6 ? 0 : 0x13));
  }
  if (random() % 8 == 0) bytes.fill(0xff);
  if (random() % 8 == 0) std::fill(bytes.begin() + 8, bytes.end(), 0xff);
  return CaAddress6(bytes);
}

Route6 random_route(Random& random) {
  constexpr std::array<uint8_t, 8> kUsual{48, 56, 63, 64, 65, 127, 128, 128};
  const auto length =
      static_cast<uint8_t>(random() % 2 == 0 ? kUsual[random() % kUsual.size()] : random() % 129);
  return {masked(random_address(random), length), length, HopId(random() % 50)};
}

// The first and last address of every prefix and their neighbours: where an answer may change.
std::vector<CaAddress6> edges(const std::vector<Route6>& routes) {
  std::vector<CaAddress6> result{address("::"), address("7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                                 address("8000::"),
                                 address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")};
  for (const Route6& r : routes) {
    for (const CaAddress6& a : {r.network, last_of(r)}) {
      result.insert(result.end(), {stepped(a, -1), a, stepped(a, 1)});
    }
  }
  return result;
}

void expect_same(const Fib6& table, const NaiveTable& model, const std::vector<CaAddress6>& asked) {
  std::array<const Fib6*, 64> tables{};
  tables.fill(&table);
  for (size_t at = 0; at < asked.size(); at += 64) {
    const auto n = static_cast<unsigned>(std::min<size_t>(64, asked.size() - at));
    for (const FibVariant variant : kVariants) {
      const Fib6LookupBulk bulk = fib6_variant(variant);
      if (bulk == nullptr) continue;
      std::array<HopId, 64> hops{};
      bulk(tables.data(), &asked[at], hops.data(), n);
      for (unsigned i = 0; i < n; ++i) {
        ASSERT_EQ(hops[i].value(), model.lookup(asked[at + i]).value())
            << address_text::format6(asked[at + i].bytes()) << " variant " << int(variant);
      }
    }
    for (unsigned i = 0; i < n; ++i) {
      ASSERT_EQ(table.lookup(asked[at + i]), model.lookup(asked[at + i]));
    }
  }
}

struct Case {
  const char* name;
  std::vector<Route6> routes;
  std::vector<std::pair<const char*, uint32_t>> expected;  // kNone: no route
};

TEST(Fib6, AnswersWithTheLongestPrefix) {
  const char* const end = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const Case cases[] = {
      {"empty", {}, {{"::", kNone}, {"2001:db8::1", kNone}, {end, kNone}}},
      {"default only", {route("::/0", 1)}, {{"::", 1}, {"8000::", 1}, {end, 1}}},
      {"host routes at both ends",
       {route("::/128", 1), route("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 2)},
       {{"::", 1}, {"::1", kNone}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", kNone}, {end, 2}}},
      {"nested, same start",
       {route("2001:db8::/32", 1), route("2001:db8::/64", 2), route("2001:db8::/128", 3)},
       {{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", kNone},
        {"2001:db8::", 3},
        {"2001:db8::1", 2},
        {"2001:db8::ffff:ffff:ffff:ffff", 2},
        {"2001:db8:0:1::", 1},
        {"2001:db9::", kNone}}},
      {"longer than /64 in neighbouring networks",
       {route("2001:db8::/48", 1), route("2001:db8:0:1:8000::/65", 2),
        route("2001:db8:0:2::/127", 3)},
       {{"2001:db8:0:1:7fff:ffff:ffff:ffff", 1},
        {"2001:db8:0:1:8000::", 2},
        {"2001:db8:0:1:ffff:ffff:ffff:ffff", 2},
        {"2001:db8:0:2::", 3},
        {"2001:db8:0:2::1", 3},
        {"2001:db8:0:2::2", 1},
        {"2001:db8:0:3::", 1}}},
      {"a hole in a route",
       {route("fd00::/8", 1), route("fd00:1::/32", kNone)},
       {{"fd00::1", 1}, {"fd00:1::1", kNone}, {"fd00:2::", 1}}},
  };
  for (const Case& c : cases) {
    const auto table = Fib6::build(c.routes);
    for (const auto& [text, hop] : c.expected) {
      EXPECT_EQ(table->lookup(address(text)).value(), hop) << c.name << ": " << text;
    }
  }
}

// Every table size around those where a leaf or a level is added, in either half of the address.
TEST(Fib6, IsRightAtEveryDepth) {
  for (const size_t byte : {size_t{7}, size_t{15}}) {
    for (const unsigned hosts : {2U, 3U, 23U, 24U, 191U, 192U, 193U, 1535U, 1536U, 1537U, 9000U}) {
      NaiveTable model;
      std::vector<CaAddress6> asked;
      for (unsigned i = 0; i < hosts; ++i) {
        auto bytes = address("2001:db8::").bytes();
        bytes[byte - 1] = static_cast<uint8_t>(2 * i >> 8);
        bytes[byte - 2] = static_cast<uint8_t>(2 * i >> 16);
        bytes[byte] = static_cast<uint8_t>(2 * i);
        const CaAddress6 a(bytes);
        model.put({a, static_cast<uint8_t>(8 * byte + 8), HopId(i)});
        asked.insert(asked.end(), {stepped(a, -1), a, stepped(a, 1)});
      }
      const auto table = Fib6::build(model.routes());
      EXPECT_EQ(table->large(), hosts > 2047);
      if (!table->large()) {
        EXPECT_EQ(table->ranges(), 2 * hosts + 1);
      }
      expect_same(*table, model, asked);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Fib6, ChurnEqualsTheNaiveTable) {
  Random random(7);
  for (const size_t target : {size_t{3}, size_t{30}, size_t{300}, size_t{3000}}) {
    NaiveTable model;
    std::vector<Route6> known;
    for (int round = 0; round < 8; ++round) {
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
      for (int i = 0; i < 500; ++i) asked.push_back(random_address(random));
      expect_same(*Fib6::build(model.routes()), model, asked);
      if (HasFatalFailure()) return;
    }
  }
}

// One vector over tables of every depth, and every vector length.
TEST(Fib6, BulkMixesTables) {
  Random random(11);
  std::array<NaiveTable, 64> models;
  std::vector<std::shared_ptr<const Fib6>> tables;
  constexpr std::array<size_t, 5> kRoutes{0, 1, 10, 100, 1000};
  for (unsigned i = 0; i < 64; ++i) {
    for (size_t n = 0; n < kRoutes[i % kRoutes.size()]; ++n) models[i].put(random_route(random));
    tables.push_back(Fib6::build(models[i].routes()));
  }
  for (unsigned n = 0; n <= 64; ++n) {
    std::array<const Fib6*, 64> asked_tables{};
    std::array<CaAddress6, 64> asked{};
    std::array<unsigned, 64> which{};
    for (unsigned i = 0; i < n; ++i) {
      which[i] = random() % 64;
      asked_tables[i] = tables[which[i]].get();
      asked[i] = random_route(random).network;
    }
    for (const FibVariant variant : kVariants) {
      if (fib6_variant(variant) == nullptr) continue;
      std::array<HopId, 64> hops;
      hops.fill(HopId(0xdead));
      fib6_variant(variant)(asked_tables.data(), asked.data(), hops.data(), n);
      for (unsigned i = 0; i < n; ++i) {
        ASSERT_EQ(hops[i], models[which[i]].lookup(asked[i])) << n << " " << i;
      }
      for (unsigned i = n; i < 64; ++i) ASSERT_EQ(hops[i], HopId(0xdead)) << "wrote behind n";
    }
  }
}

}  // namespace
}  // namespace hnv
