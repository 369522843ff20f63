// SPDX-License-Identifier: Apache-2.0
//
// Changes of FIBs: of both families, in both encodings and across the switch between them, against
// a sorted list of routes that is asked one prefix length after the other.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "tests/support/fib_families.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

using CaPrefix = Prefix<Space::customer>;
using Ca = IpAddress<Space::customer>;

struct V4 : Ipv4Fib {
  // Clustered in a few bits and in one /12, so that prefixes nest and blocks grow.
  static Ca random_address(Random& random) {
    const uint32_t wild = random();
    switch (random() % 8) {
      case 0:
        return CaAddress(wild);
      case 1:
        return CaAddress((wild & 0x00030303) | 0xc0a80000);
      case 2:
        return CaAddress(wild | 0xffffff00);
      default:
        return CaAddress((wild & 0x000fffff) | 0x0a000000);
    }
  }
};

struct V6 : Ipv6Fib {
  static Ca random_address(Random& random) {
    CaAddress6::Bytes bytes{0x20, 0x01, 0x0d, 0xb8};
    const bool host = random() % 2 == 0;
    for (size_t i = host ? 8 : 4; i < 16; ++i) {
      bytes[i] = static_cast<uint8_t>(random() & (i % 4 == 0 ? 0x11 : 0xff));
    }
    if (random() % 16 == 0) bytes.fill(static_cast<uint8_t>(random()));
    return CaAddress6(bytes);
  }
};

template <class V>
class FibChangeTest : public testing::Test {
 public:
  using Route = typename V::Route;
  using Table = typename V::Table;
  using Asked = typename V::Asked;

  [[nodiscard]] CaPrefix random_prefix() {
    const Ca address = V::random_address(random_);
    const unsigned bits = address.bits();
    // Mostly the long half, now and then anything.
    const unsigned length = random_() % 8 == 0 ? random_() % (bits + 1)
                                               : bits - random_() % (address.is_v4() ? 14 : 80);
    return {address, static_cast<uint8_t>(length)};
  }

  [[nodiscard]] HopId naive(const Ca& address) const {
    for (int length = address.bits(); length >= 0; --length) {
      if (lengths_[static_cast<size_t>(length)] == 0) continue;
      const auto found = model_.find(CaPrefix(address, static_cast<uint8_t>(length)));
      if (found != model_.end()) return found->second;
    }
    return {};
  }

  [[nodiscard]] RoutesIn<Route> routes_in() const {
    return [this](const CaPrefix& block) {
      std::vector<Route> inside;
      for (auto at = model_.lower_bound(block); at != model_.end() && block.overlaps(at->first);
           ++at) {
        if (at->first.length() >= block.length()) inside.push_back(V::route(at->first, at->second));
      }
      return inside;
    };
  }

  // Some puts, replacements and removals; the prefixes are in `touched_`.
  std::vector<FibChange> change(size_t count, bool growing) {
    std::map<CaPrefix, std::optional<HopId>> changes;
    for (size_t i = 0; i < count; ++i) {
      const bool known = !known_.empty() && random_() % 8 < (growing ? 2U : 7U);
      const size_t at = known ? random_() % known_.size() : 0;
      const CaPrefix prefix = known ? known_[at] : random_prefix();
      if (known && random_() % 4 != 0) {
        if (model_.erase(prefix) != 0) --lengths_[prefix.length()];
        known_[at] = known_.back();
        known_.pop_back();
        changes[prefix] = std::nullopt;
      } else {
        const HopId hop = random_() % 16 == 0 ? HopId() : HopId(random_() % 40);
        if (model_.insert_or_assign(prefix, hop).second) {
          ++lengths_[prefix.length()];
          known_.push_back(prefix);
        }
        changes[prefix] = hop;
      }
    }
    std::vector<FibChange> result;
    touched_.clear();
    for (const auto& [prefix, hop] : changes) {
      result.push_back({prefix, hop});
      touched_.push_back(prefix);
    }
    return result;
  }

  // The ends of the prefixes (or of `most` of them, at random) and what lies beside them, and
  // addresses at random.
  [[nodiscard]] std::vector<Ca> questions(const std::vector<CaPrefix>& prefixes,
                                          size_t most = SIZE_MAX) {
    std::vector<Ca> result;
    for (size_t i = 0; i < std::min(most, prefixes.size()); ++i) {
      const CaPrefix& prefix =
          prefixes.size() <= most ? prefixes[i] : prefixes[random_() % prefixes.size()];
      const Ca first = prefix.address();
      const Ca last = filled(first, prefix.length());
      for (const Ca& a : {stepped(first, -1), first, last, stepped(last, 1)}) result.push_back(a);
    }
    for (int i = 0; i < 200; ++i) result.push_back(V::random_address(random_));
    return result;
  }

  void expect_equal(const Table& table, const std::vector<Ca>& asked,
                    const std::vector<HopId>& expected) {
    std::array<const typename V::Root*, 64> tables{};
    tables.fill(V::root(table));
    std::array<Asked, 64> vector{};
    for (size_t at = 0; at < asked.size(); at += 64) {
      const auto n = static_cast<unsigned>(std::min<size_t>(64, asked.size() - at));
      for (unsigned i = 0; i < n; ++i) vector[i] = V::asked(asked[at + i]);
      for (const FibVariant variant : {FibVariant::scalar, FibVariant::avx2, FibVariant::avx512}) {
        const auto bulk = V::kVariantOf(variant);
        if (bulk == nullptr) continue;
        std::array<HopId, 64> hops{};
        bulk(tables.data(), vector.data(), hops.data(), n);
        for (unsigned i = 0; i < n; ++i) {
          ASSERT_EQ(hops[i], expected[at + i]) << asked[at + i].to_string() << " " << int(variant);
        }
      }
      for (unsigned i = 0; i < n; ++i) ASSERT_EQ(table.lookup(vector[i]), expected[at + i]);
    }
  }
  [[nodiscard]] std::vector<HopId> naive_of(const std::vector<Ca>& asked) const {
    std::vector<HopId> result;
    result.reserve(asked.size());
    for (const Ca& a : asked) result.push_back(naive(a));
    return result;
  }

 protected:
  static Ca of_bytes(const Ca& like, const std::array<uint8_t, 16>& bytes) {
    if (!like.is_v4()) return CaAddress6(bytes);
    return CaAddress(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
                     uint32_t{bytes[3]});
  }
  static Ca filled(const Ca& first, unsigned length) {
    auto bytes = first.bytes();
    for (unsigned bit = length; bit < first.bits(); ++bit) {
      bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | 0x80 >> bit % 8);
    }
    return of_bytes(first, bytes);
  }
  static Ca stepped(const Ca& a, int step) {  // wraps around
    auto bytes = a.bytes();
    for (size_t i = a.bits() / 8; i-- > 0;) {
      bytes[i] = static_cast<uint8_t>(bytes[i] + step);
      if (bytes[i] != (step > 0 ? 0x00 : 0xff)) break;
    }
    return of_bytes(a, bytes);
  }

  Random random_{23};
  std::map<CaPrefix, HopId> model_;
  std::array<size_t, 129> lengths_{};
  std::vector<CaPrefix> known_;
  std::vector<CaPrefix> touched_;
};

using Families = testing::Types<V4, V6>;
TYPED_TEST_SUITE(FibChangeTest, Families);

TYPED_TEST(FibChangeTest, ChurnAcrossTheSizesEqualsTheNaiveTable) {
  std::shared_ptr<const typename TypeParam::Table> table = TypeParam::Table::build({});
  unsigned switches = 0;
  for (const size_t target : {size_t{200}, size_t{4500}, size_t{300}, size_t{4000}, size_t{0}}) {
    const bool growing = this->known_.size() < target;
    bool reached = false;
    // Thither in steps of any size, then to and fro.
    for (int round = 0, left = 20; left > 0; ++round, left -= reached ? 1 : 0) {
      ASSERT_LT(round, 4000);
      const size_t size = this->known_.size();
      reached = reached || (growing ? size >= target : size <= target);
      const size_t some = size / 40 + 1;
      const size_t count = this->random_() % 4 == 0 ? 1 : this->random_() % some + 1;
      const auto changes = this->change(count, reached ? this->random_() % 2 == 0 : growing);
      const bool was_large = table->large();
      const auto asked = this->questions(this->touched_);
      table = table->with(changes, this->routes_in());
      switches += was_large != table->large() ? 1 : 0;
      this->expect_equal(*table, asked, this->naive_of(asked));
      if (this->HasFatalFailure()) return;
    }
    // All prefixes at once.
    const auto asked = this->questions(this->known_);
    this->expect_equal(*table, asked, this->naive_of(asked));
    const auto fresh =
        TypeParam::Table::build(this->routes_in()({asked[0].is_v4() ? Ca() : CaAddress6(), 0}));
    this->expect_equal(*fresh, asked, this->naive_of(asked));
    if (this->HasFatalFailure()) return;
  }
  EXPECT_GE(switches, 4U) << "large and small again, twice";
}

// Workers still read the table before while the next one is made and published.
TYPED_TEST(FibChangeTest, TheTableBeforeStaysAsItWas) {
  std::shared_ptr<const typename TypeParam::Table> table = TypeParam::Table::build({});
  while (this->known_.size() < 5000) {
    table = table->with(this->change(500, true), this->routes_in());
  }
  ASSERT_TRUE(table->large());
  struct Kept {
    std::shared_ptr<const typename TypeParam::Table> table;
    std::vector<Ca> asked;
    std::vector<HopId> expected;
  };
  std::vector<Kept> kept;
  for (int round = 0; round < 20; ++round) {
    const auto asked = this->questions(this->known_, 300);
    kept.push_back({table, asked, this->naive_of(asked)});
    table = table->with(this->change(50, false), this->routes_in());
  }
  // In an order of their own: what two of them share must live as long as either.
  for (size_t i = 0; i < kept.size(); ++i) std::swap(kept[i], kept[this->random_() % kept.size()]);
  while (!kept.empty()) {
    this->expect_equal(*kept.back().table, kept.back().asked, kept.back().expected);
    if (this->HasFatalFailure()) return;
    kept.pop_back();
  }
}

// A default route, and one that covers half of everything, in a large table.
TYPED_TEST(FibChangeTest, WideRoutesChange) {
  std::shared_ptr<const typename TypeParam::Table> table = TypeParam::Table::build({});
  while (this->known_.size() < 5000) {
    table = table->with(this->change(500, true), this->routes_in());
  }
  for (const uint8_t length : std::array<uint8_t, 8>{0, 1, 11, 12, 13, 17, 18, 19}) {
    const CaPrefix prefix(TypeParam::random_address(this->random_), length);
    for (const std::optional<HopId> hop : {std::optional(HopId(77)), std::optional(HopId()),
                                           std::optional(HopId(78)), std::optional<HopId>()}) {
      if (this->model_.erase(prefix) != 0) --this->lengths_[length];
      if (hop) {
        this->model_[prefix] = *hop;
        ++this->lengths_[length];
      }
      table = table->with({{prefix, hop}}, this->routes_in());
      const auto asked = this->questions(this->known_, 300);
      this->expect_equal(*table, asked, this->naive_of(asked));
      if (this->HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace hnv
