// SPDX-License-Identifier: Apache-2.0
//
// Changes of forwarding tables, small and large ones of both families, against a map that is asked
// one prefix length after the other. Every variant of the lookup must say the same.
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "compartments/fib.h"
#include "compartments/fib6.h"
#include "tests/fuzz/choices.h"
#include "tests/support/fib_families.h"

namespace hnv {
namespace {

using CaPrefix = Prefix<Space::customer>;
using Ca = IpAddress<Space::customer>;

void require(bool condition) {
  if (!condition) std::abort();
}

struct V4 : Ipv4Fib {
  static Ca address(Choices& c) {
    const uint32_t low = uint32_t{c.word()} << 16 | c.word();
    return c.one_in(4) ? CaAddress(low) : CaAddress(0x0a000000 | (low & 0x000f3f3f));
  }
  static Ca numbered(uint32_t i) { return CaAddress(0x0a000000 + (i << 8)); }
};

struct V6 : Ipv6Fib {
  static Ca address(Choices& c) {
    CaAddress6::Bytes bytes{0x20, 0x01, 0x0d, 0xb8};
    for (const size_t i : {4U, 5U, 6U, 7U, 8U, 15U}) bytes[i] = c.byte();
    if (c.one_in(8)) bytes.fill(c.byte());
    return CaAddress6(bytes);
  }
  static Ca numbered(uint32_t i) {
    return CaAddress6(
        {0x20, 0x01, 0x0d, 0xb8, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)});
  }
};

template <class V>
class Tables {
 public:
  // `routes` of a length of their own, neighbours with different hops: 5,000 make a large table.
  explicit Tables(uint32_t routes) {
    for (uint32_t i = 0; i < routes; ++i) {
      model_[CaPrefix(V::numbered(i), V::kBits == 32 ? 24 : 56)] = HopId(2 * (i % 97));
    }
    table_ = V::Table::build(routes_in({V::numbered(0), 0}));
    require(table_->large() == (routes >= 5000));
  }

  void change(Choices& c) {
    std::map<CaPrefix, FibChange> changes;
    for (unsigned i = 1 + c.byte() % 4U; i > 0; --i) {
      const CaPrefix prefix(V::address(c), static_cast<uint8_t>(c.byte() % (V::kBits + 1U)));
      FibChange change{prefix, std::nullopt};
      if (!c.one_in(3)) change.hop = c.one_in(8) ? HopId() : HopId(c.byte());
      changes.insert_or_assign(prefix, change);
      edges_.push_back(prefix);
    }
    std::vector<FibChange> list;
    for (const auto& [prefix, change] : changes) {
      if (change.hop) {
        model_[prefix] = *change.hop;
      } else {
        model_.erase(prefix);
      }
      list.push_back(change);
    }
    table_ = table_->with(list, [this](const CaPrefix& block) { return routes_in(block); });
  }

  void check(Choices& c) const {
    std::vector<Ca> addresses;
    for (const CaPrefix& prefix : edges_) addresses.push_back(prefix.address());
    for (unsigned i = 0; i < 8; ++i) addresses.push_back(V::address(c));
    if (addresses.size() > 64) addresses.resize(64);
    const auto n = static_cast<unsigned>(addresses.size());
    std::array<const typename V::Root*, 64> roots{};
    std::array<typename V::Asked, 64> asked{};
    for (unsigned i = 0; i < n; ++i) {
      roots[i] = V::root(*table_);
      asked[i] = V::asked(addresses[i]);
    }
    for (const auto variant : {FibVariant::scalar, FibVariant::avx2, FibVariant::avx512}) {
      const auto bulk = V::kVariantOf(variant);
      if (bulk == nullptr) continue;
      std::array<HopId, 64> hops{};
      bulk(roots.data(), asked.data(), hops.data(), n);
      for (unsigned i = 0; i < n; ++i) require(hops[i] == naive(addresses[i]));
    }
    for (unsigned i = 0; i < n; ++i) require(table_->lookup(asked[i]) == naive(addresses[i]));
  }

 private:
  [[nodiscard]] HopId naive(const Ca& address) const {
    for (int length = V::kBits; length >= 0; --length) {
      const auto at = model_.find(CaPrefix(address, static_cast<uint8_t>(length)));
      if (at != model_.end()) return at->second;
    }
    return {};
  }
  [[nodiscard]] std::vector<typename V::Route> routes_in(const CaPrefix& block) const {
    std::vector<typename V::Route> routes;
    for (auto at = model_.lower_bound(block); at != model_.end(); ++at) {
      if (!block.contains(at->first.address())) break;
      if (at->first.length() >= block.length()) routes.push_back(V::route(at->first, at->second));
    }
    return routes;
  }

  std::map<CaPrefix, HopId> model_;
  std::shared_ptr<const typename V::Table> table_;
  std::vector<CaPrefix> edges_;
};

template <class V>
void run(Choices& c) {
  static const Tables<V> kSmall(0);
  static const Tables<V> kBorder(2040);
  static const Tables<V> kLarge(5000);
  const Tables<V>* const bases[] = {&kSmall, &kSmall, &kSmall, &kBorder, &kLarge};
  Tables<V> tables = *c.among(bases);
  for (unsigned i = 1 + c.byte() % 6U; i > 0; --i) {
    tables.change(c);
    tables.check(c);
  }
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  using namespace hnv;
  Choices c(data, size);
  if (c.one_in(2)) {
    run<V4>(c);
  } else {
    run<V6>(c);
  }
  return 0;
}
