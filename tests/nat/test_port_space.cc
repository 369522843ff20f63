// SPDX-License-Identifier: Apache-2.0
//
// The ports of public addresses, beside a model that counts them one by one.
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "nat/port_space.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr std::array<PortSet, 3> kSets{PortSet::tcp, PortSet::udp, PortSet::icmp};
constexpr PortRange kAll{1, 65'535};

// A pool of `addresses` with a space each.
NatPlan plan_of(unsigned addresses, PortRange range, uint16_t block_ports, uint32_t domains,
                unsigned workers) {
  NatPlan plan;
  plan.workers = workers;
  NatPool pool;
  pool.range = range;
  pool.block_ports = block_ports;
  pool.stamp = 1;
  pool.domains = domains;
  for (uint32_t i = 0; i < addresses; ++i) {
    const PortSpace space{.id = PortSpaceId(i),
                          .stamp = 1,
                          .pool = NatPoolId(0),
                          .range = range,
                          .block_ports = block_ports};
    plan.spaces.push_back(space);
    pool.members.push_back({PublicAddressId(i), space});
  }
  plan.pools.push_back(pool);
  return plan;
}

// Every port that a worker gives of one space to one domain that has the pool for itself.
std::multiset<uint16_t> all_ports(const NatPlan& plan, unsigned worker, PortSet set) {
  PortSpaces ports(worker);
  std::multiset<uint16_t> out;
  const PortSpace& space = plan.spaces[0];
  for (;;) {
    const uint32_t block = ports.take_block(plan, space, kAll, CompartmentId(0));
    if (block == PortSpaces::kNone) return out;
    while (const auto port = ports.take_port(space, block, kAll, set, 0)) out.insert(*port);
  }
}

TEST(PortSpaces, WorkersGiveEveryPortOfTheRangeOnceAndNoOther) {
  for (const PortRange range : {PortRange{1024, 65'535}, {1030, 2047}, {4000, 4000}, {1, 129}}) {
    for (const uint16_t block_ports : {uint16_t{64}, uint16_t{16}}) {
      // So many blocks fit in a space.
      if (range.size() / block_ports >= PortSpaces::kBlocksPerSpace) continue;
      for (const unsigned workers : {1U, 3U}) {
        const NatPlan plan = plan_of(1, range, block_ports, 1, workers);
        std::multiset<uint16_t> given;
        for (unsigned worker = 0; worker < workers; ++worker) {
          for (const uint16_t port : all_ports(plan, worker, PortSet::udp)) {
            EXPECT_EQ(plan.owner_of_port(plan.spaces[0], port), worker);
            given.insert(port);
          }
        }
        ASSERT_EQ(given.size(), range.size()) << workers << " workers";
        uint16_t expected = range.first;
        for (const uint16_t port : given) ASSERT_EQ(port, expected++);
      }
    }
  }
}

TEST(PortSpaces, TheSamePortOfEachSet) {
  const NatPlan plan = plan_of(1, {5000, 5000}, 64, 1, 1);
  PortSpaces ports(0);
  const uint32_t block = ports.take_block(plan, plan.spaces[0], kAll, CompartmentId(0));
  for (const PortSet set : kSets) {
    EXPECT_EQ(ports.take_port(plan.spaces[0], block, kAll, set, 1), 5000);
    EXPECT_EQ(ports.take_port(plan.spaces[0], block, kAll, set, 1), std::nullopt);
  }
  EXPECT_EQ(ports.ports_in_use(NatPoolId(0)), 3U);
}

TEST(PortSpaces, KeepParityAsLongAsThereIsSome) {
  const NatPlan plan = plan_of(1, {2048, 2111}, 64, 1, 1);
  PortSpaces ports(0);
  const uint32_t block = ports.take_block(plan, plan.spaces[0], kAll, CompartmentId(0));
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(*ports.take_port(plan.spaces[0], block, kAll, PortSet::udp, 33'333) % 2, 1);
  }
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(*ports.take_port(plan.spaces[0], block, kAll, PortSet::udp, 33'333) % 2, 0);
  }
}

TEST(PortSpaces, ARuleGetsItsPartOfARangeOnly) {
  const NatPlan plan = plan_of(1, {1024, 4095}, 64, 1, 1);
  const PortRange part{2000, 2100};  // within three blocks, none of them whole
  PortSpaces ports(0);
  std::set<uint16_t> given;
  for (;;) {
    const uint32_t block = ports.take_block(plan, plan.spaces[0], part, CompartmentId(0));
    if (block == PortSpaces::kNone) break;
    while (const auto port = ports.take_port(plan.spaces[0], block, part, PortSet::tcp, 0)) {
      given.insert(*port);
    }
  }
  EXPECT_EQ(given.size(), 101U);
  EXPECT_EQ(*given.begin(), 2000);
  EXPECT_EQ(*given.rbegin(), 2100);
}

TEST(PortSpaces, WhatWasRestoredIsTakenAndNothingElse) {
  const NatPlan plan = plan_of(1, {1024, 4095}, 64, 1, 2);
  const PortSpace& space = plan.spaces[0];
  PortSpaces ports(0);
  constexpr uint16_t kMine = 2050;     // block 32
  constexpr uint16_t kOthers = 2114;   // block 33 is worker 1's
  constexpr uint16_t kOutside = 4096;  // of the range
  EXPECT_EQ(ports.take_this_block(plan, space, kOthers, CompartmentId(0)), PortSpaces::kNone);
  EXPECT_EQ(ports.take_this_block(plan, space, kOutside, CompartmentId(0)), PortSpaces::kNone);
  const uint32_t block = ports.take_this_block(plan, space, kMine, CompartmentId(0));
  ASSERT_EQ(block, PortSpaces::block_of(space, kMine));
  EXPECT_EQ(ports.take_this_block(plan, space, kMine, CompartmentId(1)), PortSpaces::kNone);
  EXPECT_TRUE(ports.take_this(space, block, PortSet::tcp, kMine));
  EXPECT_FALSE(ports.take_this(space, block, PortSet::tcp, kMine));
  for (int i = 0; i < 63; ++i) {
    EXPECT_NE(ports.take_port(space, block, kAll, PortSet::tcp, kMine), kMine);
  }
}

// An address that left its pool and came back is another space with the same number.
TEST(PortSpaces, ANewSpaceUnderAnOldNumberIsFree) {
  NatPlan plan = plan_of(1, {1024, 2047}, 64, 1, 1);
  PortSpaces ports(0);
  while (ports.take_block(plan, plan.spaces[0], kAll, CompartmentId(0)) != PortSpaces::kNone) {
  }
  EXPECT_EQ(ports.free_blocks(plan, plan.spaces[0]), 0U);
  plan.spaces[0].stamp = 2;
  EXPECT_EQ(ports.free_blocks(plan, plan.spaces[0]), 16U);
}

// Blocks and ports that were given, one by one; and who may have another.
class Model {
 public:
  Model(const NatPlan& plan, uint32_t domains)
      : plan_(plan), given_(domains), spaces_(plan.spaces.size()) {
    for (const PortSpace& space : plan.spaces) {
      blocks_ += space.range.last / space.block_ports - space.range.first / space.block_ports + 1;
    }
  }

  // Half of the blocks is kept for the domains, the same number for each.
  [[nodiscard]] bool may_take(uint32_t domain) const {
    const uint32_t share = blocks_ / (2 * static_cast<uint32_t>(given_.size()));
    uint32_t all = 0;
    uint32_t kept = 0;
    for (const uint32_t given : given_) {
      all += given;
      kept += share - std::min(share, given);
    }
    return all < blocks_ && (given_[domain] < share || blocks_ - all > kept);
  }
  [[nodiscard]] bool full(uint32_t space) const {
    const PortSpace& one = plan_.spaces[space];
    return spaces_[space] ==
           one.range.last / one.block_ports - uint32_t{one.range.first} / one.block_ports + 1;
  }
  void count(uint32_t domain, uint32_t space, int by) {
    given_[domain] += static_cast<uint32_t>(by);
    spaces_[space] += static_cast<uint32_t>(by);
  }
  [[nodiscard]] uint32_t given() const {
    uint32_t all = 0;
    for (const uint32_t given : given_) all += given;
    return all;
  }

 private:
  const NatPlan& plan_;
  std::vector<uint32_t> given_;   // blocks, by domain
  std::vector<uint32_t> spaces_;  // likewise, by space
  uint32_t blocks_ = 0;
};

struct Held {
  uint32_t block = 0;
  uint32_t domain = 0;
  uint32_t space = 0;
  std::array<std::set<uint16_t>, 3> ports{};
};

class Churn {
 public:
  Churn(unsigned addresses, uint32_t domains, uint64_t seed)
      : plan_(plan_of(addresses, {1000, 3000}, 64, domains, 1)),
        domains_(domains),
        model_(plan_, domains),
        random_(seed) {}

  void run(unsigned steps) {
    for (unsigned i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
      // More is taken than given back: it comes to the limits.
      const uint32_t what = random_.below(8);
      if (what < 3) {
        take_block();
      } else if (what < 5) {
        give_back();
      } else if (what < 7) {
        take_port();
      } else {
        free_port();
      }
      ASSERT_EQ(ports_.blocks_in_use(NatPoolId(0)), model_.given());
      ASSERT_EQ(ports_.ports_in_use(NatPoolId(0)), ports_given_);
    }
  }

  [[nodiscard]] uint32_t refused() const { return refused_; }

 private:
  void take_block() {
    // The first domain wants most: it comes to its limit, the others to their shares.
    const auto domain = static_cast<uint32_t>(random_.below(3) != 0 ? 0 : random_.below(domains_));
    const auto space = static_cast<uint32_t>(random_.below(plan_.spaces.size()));
    const uint32_t block =
        ports_.take_block(plan_, plan_.spaces[space], kAll, CompartmentId(domain));
    ASSERT_EQ(block != PortSpaces::kNone, model_.may_take(domain) && !model_.full(space));
    if (block == PortSpaces::kNone) {
      ++refused_;
      return;
    }
    for (const Held& one : held_) ASSERT_NE(one.block, block) << "given twice";
    held_.push_back({block, domain, space});
    model_.count(domain, space, 1);
  }
  void give_back() {
    if (held_.empty()) return;
    const size_t which = random_.below(held_.size());
    Held& one = held_[which];
    for (const PortSet set : kSets) {
      for (const uint16_t port : one.ports[static_cast<size_t>(set)]) {
        ports_.free_port(plan_.spaces[one.space], set, port);
        --ports_given_;
      }
    }
    ASSERT_EQ(ports_.block(one.block).mappings, 0);
    ports_.give_back(plan_, plan_.spaces[one.space], one.block, CompartmentId(one.domain));
    model_.count(one.domain, one.space, -1);
    std::swap(one, held_.back());
    held_.pop_back();
  }
  void take_port() {
    if (held_.empty()) return;
    Held& one = held_[random_.below(held_.size())];
    const PortSpace& space = plan_.spaces[one.space];
    const PortSet set = kSets[random_.below(3)];
    auto& mine = one.ports[static_cast<size_t>(set)];
    const auto port =
        ports_.take_port(space, one.block, kAll, set, static_cast<uint16_t>(random_.below(65'536)));
    const uint32_t first = PortSpaces::first_port_of(space, one.block);
    const uint32_t last = std::min<uint32_t>(first + 63, space.range.last);
    const uint32_t usable = last - std::max<uint32_t>(first, space.range.first) + 1;
    ASSERT_EQ(port.has_value(), mine.size() < usable);
    if (!port) return;
    ASSERT_TRUE(space.range.contains(*port) && *port >= first && *port <= last) << *port;
    ASSERT_TRUE(mine.insert(*port).second) << *port << " was given twice";
    ++ports_given_;
  }
  void free_port() {
    if (held_.empty()) return;
    Held& one = held_[random_.below(held_.size())];
    const PortSet set = kSets[random_.below(3)];
    auto& mine = one.ports[static_cast<size_t>(set)];
    if (mine.empty()) return;
    ports_.free_port(plan_.spaces[one.space], set, *mine.begin());
    mine.erase(mine.begin());
    --ports_given_;
  }

  NatPlan plan_;
  uint32_t domains_;
  Model model_;
  PortSpaces ports_{0};
  std::vector<Held> held_;
  uint32_t ports_given_ = 0;
  uint32_t refused_ = 0;
  Random random_;
};

TEST(PortSpaces, RandomChurnGivesWhatAModelGives) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    Churn churn(1 + static_cast<unsigned>(seed % 3), 1 + static_cast<uint32_t>(seed), seed);
    churn.run(20'000);
    EXPECT_GT(churn.refused(), 100U) << "it never came to a limit";
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace hnv
