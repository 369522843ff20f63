// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "compartments/route_table.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;
using CaPrefix = Prefix<Space::customer>;

CaPrefix prefix(const std::string& text) { return CaPrefix::parse(text).value(); }
Ca address(const std::string& text) { return Ca::parse(text).value(); }
RouteHop via(const std::string& text) { return SubnetViaHop{address(text), SubnetId(0)}; }

RouteCandidate candidate(const std::string& text, RouteSource source, uint32_t metric,
                         const RouteHop& hop, uint32_t origin = 0, uint64_t installed = 0) {
  return {prefix(text), source, RouteOrigin(origin), metric, hop, Instant{installed}};
}

TEST(RouteTable, TellsOnlyWhatChangesTheBestRoute) {
  RouteTable table;
  const auto fixed = candidate("10.0.0.0/8", RouteSource::static_route, 256, via("10.0.0.1"));
  const auto first = table.put(fixed);
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->before);
  EXPECT_EQ(first->after, fixed);
  EXPECT_TRUE(first->hop_changed());

  const auto learnt = candidate("10.0.0.0/8", RouteSource::ebgp, 0, via("10.0.0.2"));
  EXPECT_FALSE(table.put(learnt)) << "worse: nothing changes";
  EXPECT_EQ(table.prefixes(), 1U);
  EXPECT_EQ(table.candidates(), 2U);

  const auto second = table.remove(fixed.prefix, RouteSource::static_route, RouteOrigin(0));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->before, fixed);
  EXPECT_EQ(second->after, learnt);

  auto dearer = learnt;
  dearer.metric = 5;
  const auto third = table.put(dearer);
  ASSERT_TRUE(third);
  EXPECT_FALSE(third->hop_changed());

  EXPECT_FALSE(table.remove(fixed.prefix, RouteSource::static_route, RouteOrigin(0)));
  const auto last = table.remove(fixed.prefix, RouteSource::ebgp, RouteOrigin(0));
  ASSERT_TRUE(last);
  EXPECT_FALSE(last->after);
  EXPECT_EQ(table.prefixes(), 0U);
  EXPECT_EQ(table.best(fixed.prefix), nullptr);
}

TEST(RouteTable, AnEqualOfferKeepsTheAge) {
  RouteTable table;
  auto offer = candidate("10.0.0.0/8", RouteSource::ebgp, 1, via("10.0.0.1"), 3, 100);
  EXPECT_TRUE(table.put(offer));
  offer.installed_at = Instant{200};
  EXPECT_FALSE(table.put(offer));
  EXPECT_EQ(table.best(offer.prefix)->installed_at, Instant{100});
  offer.metric = 2;
  EXPECT_TRUE(table.put(offer));
  EXPECT_EQ(table.best(offer.prefix)->installed_at, Instant{200});
}

TEST(RouteTable, ExplainsEachCandidate) {
  RouteTable table;
  const std::string p = "10.1.0.0/16";
  // From worst to best; each is put before what beats it.
  (void)table.put(candidate(p, RouteSource::ibgp, 0, via("10.0.0.1")));
  (void)table.put(candidate(p, RouteSource::static_route, 20, via("10.0.0.9"), 2));
  (void)table.put(candidate(p, RouteSource::static_route, 10, via("10.0.0.8"), 1));
  (void)table.put(candidate(p, RouteSource::static_route, 10, via("10.0.0.7"), 0));
  const auto all = table.explain(prefix(p));
  ASSERT_EQ(all.size(), 4U);
  EXPECT_TRUE(all[0].best);
  EXPECT_TRUE(all[1].best);
  EXPECT_FALSE(all[2].best);
  EXPECT_EQ(all[0].candidate.hop, via("10.0.0.7"));
  for (const size_t i : {size_t{0}, size_t{1}}) {
    EXPECT_EQ(all[i].reason,
              "Best: it shares the load with 1 other of equal preference and metric.");
  }
  EXPECT_EQ(all[2].reason, "Not best: its metric 20 is higher than 10, with equal preference.");
  EXPECT_EQ(all[3].reason, "Not best: its preference 200 (ibgp) is higher than 3 (static).");
  EXPECT_EQ(all[3].preference, 200U);
  EXPECT_TRUE(table.explain(prefix("10.1.0.0/17")).empty());

  RouteTable one;
  (void)one.put(candidate(p, RouteSource::local, 0, LocalHop{}));
  EXPECT_EQ(one.explain(prefix(p))[0].reason, "Best: it is the only candidate.");
}

TEST(RouteTable, EqualCandidatesOfOneSourceShareTheLoad) {
  const std::string p = "10.1.0.0/16";
  const RouteHop first = via("10.0.0.1");
  const RouteHop second = ConnectionViaHop{address("10.0.0.2"), ConnectionId(0)};
  const RouteCandidate base = candidate(p, RouteSource::static_route, 10, first, 0);
  struct Case {
    const char* name;
    RouteCandidate other;
    RouteHops hops;
  };
  const Case cases[] = {
      {"equal", candidate(p, RouteSource::static_route, 10, second, 1), {first, second}},
      {"dearer", candidate(p, RouteSource::static_route, 11, second, 1), {first}},
      {"cheaper", candidate(p, RouteSource::static_route, 9, second, 1), {second}},
      {"another source of equal preference",
       candidate(p, RouteSource::network_connection, 10, second, 1),
       {first}},
      {"the same next hop twice", candidate(p, RouteSource::static_route, 10, first, 1), {first}},
      {"on-link is not shared",
       candidate(p, RouteSource::static_route, 10, SubnetHop{SubnetId(1)}, 1),
       {SubnetHop{SubnetId(1)}}},
  };
  for (const Case& c : cases) {
    RouteTable table;
    (void)table.put(base);
    (void)table.put(c.other);
    RouteHops expected = c.hops;
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(table.choice(prefix(p))->ways.first, expected) << c.name;
  }
  RouteTable many;
  for (uint32_t i = 0; i < 20; ++i) {
    const RouteHop hop = SubnetViaHop{Ca(CaAddress(0x0a000000 + i)), SubnetId(0)};
    (void)many.put(candidate(p, RouteSource::static_route, 10, hop, i));
  }
  EXPECT_EQ(many.choice(prefix(p))->ways.first.size(), kMaxSharing);
  EXPECT_EQ(many.explain(prefix(p))[16].reason, "Not best: 16 others share the load already.");
  EXPECT_FALSE(many.choice(prefix("10.1.0.0/17")));
}

TEST(RouteTable, FindsNextHopsThroughOtherRoutes) {
  const auto recursive = [](const std::string& a) { return RouteHop(RecursiveHop{address(a)}); };
  const SubnetId subnet(3);
  RouteTable table;
  const auto put = [&](const std::string& p, const RouteHop& hop, uint32_t origin = 0) {
    (void)table.put(candidate(p, RouteSource::static_route, 1, hop, origin));
  };
  put("10.0.0.0/24", SubnetHop{subnet});
  put("10.0.0.1/32", LocalHop{});
  put("10.1.0.0/24", via("10.0.0.7"));
  put("10.2.0.0/24", recursive("10.1.0.9"));
  put("10.3.0.0/24", via("10.0.0.8"), 0);
  put("10.3.0.0/24", via("10.0.0.9"), 1);
  put("10.4.0.0/24", recursive("10.5.0.1"));
  put("10.5.0.0/24", recursive("10.4.0.1"));
  put("10.6.0.0/24", recursive("10.6.0.1"));
  for (int i = 0; i < 10; ++i) {  // 20.0 through 20.1 through … 20.9, which is on-link
    const auto net = [](int n) { return fmt::format("20.{}.0.", n); };
    put(net(i) + "0/24", i == 9 ? RouteHop(SubnetHop{subnet}) : recursive(net(i + 1) + "1"));
  }
  struct Case {
    const char* via;
    RouteHops hops;
    const char* how;
  };
  const auto on_link = [&](const char* a) { return RouteHop(SubnetViaHop{address(a), subnet}); };
  const Case cases[] = {
      {"10.0.0.5", {on_link("10.0.0.5")}, "through 10.0.0.0/24"},
      {"10.1.0.5", {via("10.0.0.7")}, "through 10.1.0.0/24"},
      {"10.2.0.5", {via("10.0.0.7")}, "through 10.2.0.0/24, 10.1.0.0/24"},
      {"10.3.0.5", {via("10.0.0.8"), via("10.0.0.9")}, "through 10.3.0.0/24"},
      {"20.2.0.5",
       {on_link("20.9.0.1")},
       "through 20.2.0.0/24, 20.3.0.0/24, 20.4.0.0/24, 20.5.0.0/24, 20.6.0.0/24, 20.7.0.0/24, "
       "20.8.0.0/24, 20.9.0.0/24"},
      {"20.1.0.5", {}, "20.9.0.1 is more than 8 routes away"},
      {"10.4.0.5", {}, "10.4.0.1 leads back to 10.4.0.0/24"},
      {"10.6.0.5", {}, "10.6.0.1 leads back to 10.6.0.0/24"},
      {"10.0.0.1", {}, "10.0.0.1 is local"},
      {"30.0.0.1", {}, "30.0.0.1 has no route"},
  };
  for (const Case& c : cases) {
    const Resolution found = table.resolve({{recursive(c.via)}, {}});
    EXPECT_EQ(found.hops, c.hops) << c.via;
    EXPECT_EQ(found.how, c.how);
  }
  EXPECT_EQ(table.resolve({{via("30.0.0.1")}, {}}).how, "") << "nothing to find";
  EXPECT_EQ(table.explain(prefix("10.2.0.0/24"))[0].reason,
            "Best: it is the only candidate. Its next hop is found through 10.1.0.0/24.");
  EXPECT_EQ(table.explain(prefix("10.4.0.0/24"))[0].reason,
            "Best: it is the only candidate. Its next hop is unresolved: 10.5.0.1 leads back to "
            "10.5.0.0/24.");
}

RouteHop behind(const std::string& router, uint32_t connection = 0) {
  return ConnectionViaHop{address(router), ConnectionId(connection)};
}

// What may fail has the next ones behind it, up to the first that cannot fail.
TEST(RouteTable, OrdersTheWaysOfAPrefix) {
  const std::string p = "10.1.0.0/16";
  const RouteHop a = behind("192.0.2.1");
  const RouteHop b = behind("192.0.2.2");
  const RouteHop c = behind("192.0.2.3");
  const RouteHop d = behind("192.0.2.4");
  const RouteHop e = behind("192.0.2.5");
  const RouteHop sure = via("10.0.0.1");
  struct Case {
    const char* name;
    std::vector<RouteCandidate> candidates;
    RouteWays ways;
  };
  const auto one = [&](const RouteHop& hop, uint32_t metric, uint32_t origin,
                       RouteSource source = RouteSource::static_route) {
    return candidate(p, source, metric, hop, origin);
  };
  const Case cases[] = {
      {"one alone", {one(a, 1, 0)}, {{a}, {}}},
      {"two metrics", {one(b, 2, 1), one(a, 1, 0)}, {{a}, {{b}}}},
      {"shared, then shared",
       {one(a, 1, 0), one(b, 1, 1), one(c, 2, 2), one(d, 2, 3)},
       {{a, b}, {{c, d}}}},
      {"another source of equal metric",
       {one(a, 1, 0), one(b, 1, 0, RouteSource::ebgp)},
       {{a}, {{b}}}},
      {"the same next hop again is no other way",
       {one(a, 1, 0), one(a, 2, 1), one(b, 3, 2), one(a, 3, 3)},
       {{a}, {{b}}}},
      {"nothing stands by for what cannot fail", {one(sure, 1, 0), one(a, 2, 1)}, {{sure}, {}}},
      {"nothing behind what cannot fail",
       {one(a, 1, 0), one(sure, 2, 1), one(b, 3, 2)},
       {{a}, {{sure}}}},
      {"a member that cannot fail is enough",
       {one(a, 1, 0), one(sure, 1, 1), one(b, 2, 2)},
       {{sure, a}, {}}},
      {"four at most",
       {one(a, 1, 0), one(b, 2, 1), one(c, 3, 2), one(d, 4, 3), one(e, 5, 4)},
       {{a}, {{b}, {c}, {d}}}},
      {"found through others may fail",
       {one(RecursiveHop{address("20.0.0.1")}, 1, 0), one(sure, 2, 1)},
       {{RecursiveHop{address("20.0.0.1")}}, {{sure}}}},
  };
  for (const Case& test : cases) {
    RouteTable table;
    for (const RouteCandidate& offered : test.candidates) (void)table.put(offered);
    EXPECT_EQ(table.choice(prefix(p))->ways, test.ways) << test.name;
  }
}

TEST(RouteTable, TakesTheFirstWayThatWorks) {
  const RouteHop a = behind("192.0.2.1");
  const RouteHop b = behind("192.0.2.2");
  const RouteHop c = behind("192.0.2.3");
  const RouteHop far = RecursiveHop{address("20.0.0.1")};
  RouteTable table;
  const RouteWays ways{{a, b}, {{c}, {far}}};
  const auto expect = [&](const RouteHops& hops, size_t way, bool works) {
    const Resolution found = table.resolve(ways);
    EXPECT_EQ(found.hops, hops);
    EXPECT_EQ(found.way, way);
    EXPECT_EQ(found.works, works);
    EXPECT_EQ(found.all, (RouteHops{a, b, c})) << "those that stand by and those that fail too";
  };
  expect({a, b}, 0, true);
  table.fail(a);
  expect({b}, 0, true);
  table.fail(b);
  expect({c}, 1, true);
  table.fail(c);
  expect({a, b}, 0, false);  // 20.0.0.1 has no route
  // Through another route, whose own next hop stands by for one that fails.
  (void)table.put(candidate("20.0.0.0/8", RouteSource::static_route, 1, a, 0));
  expect({a, b}, 0, false);
  (void)table.put(candidate("20.0.0.0/8", RouteSource::static_route, 2, via("10.0.0.1"), 1));
  EXPECT_EQ(table.resolve(ways).hops, (RouteHops{via("10.0.0.1")}));
  EXPECT_EQ(table.resolve(ways).way, 2U);
  EXPECT_EQ(table.resolve(ways).how, "through 20.0.0.0/8");
  table.recover(a);
  EXPECT_EQ(table.resolve(ways).hops, (RouteHops{a}));
  // On-link behind a connection is a next hop of its own.
  (void)table.put(
      candidate("30.0.0.0/8", RouteSource::connected, 0, ConnectionHop{ConnectionId(1)}));
  const RouteWays on_link{{RecursiveHop{address("30.0.0.7")}}, {{b}}};
  EXPECT_EQ(table.resolve(on_link).hops, (RouteHops{behind("30.0.0.7", 1)}));
  table.fail(behind("30.0.0.7", 1));
  EXPECT_FALSE(table.resolve(on_link).works) << "b has failed too";
  table.recover(b);
  EXPECT_EQ(table.resolve(on_link).hops, (RouteHops{b}));
  table.recover_all();
  EXPECT_EQ(table.resolve(on_link).hops, (RouteHops{behind("30.0.0.7", 1)}));
}

TEST(RouteTable, SaysWhichNextHopDoesNotAnswer) {
  const std::string p = "10.1.0.0/16";
  const RouteHop a = behind("192.0.2.1");
  const RouteHop b = behind("192.0.2.2");
  const RouteHop c = behind("192.0.2.3");
  RouteTable table;
  constexpr auto kStatic = RouteSource::static_route;
  (void)table.put(candidate(p, kStatic, 1, a, 0));
  (void)table.put(candidate(p, kStatic, 1, b, 1));
  (void)table.put(candidate(p, kStatic, 2, c, 2));
  (void)table.put(candidate(p, kStatic, 3, RecursiveHop{address("20.0.0.1")}, 3));
  struct Row {
    bool best;
    const char* reason;
  };
  const auto expect = [&](const char* when, const std::vector<Row>& rows) {
    const auto all = table.explain(prefix(p));
    ASSERT_EQ(all.size(), rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(all[i].best, rows[i].best) << when << ", candidate " << i;
      EXPECT_EQ(all[i].reason, rows[i].reason) << when << ", candidate " << i;
    }
  };
  const char* shared = "Best: it shares the load with 1 other of equal preference and metric.";
  const char* dearer = "Not best: its metric 2 is higher than 1, with equal preference.";
  const char* far =
      "Not best: its metric 3 is higher than 1, with equal preference. Its next hop is unresolved: "
      "20.0.0.1 has no route.";
  const char* silent = "Not used while there is another. Its next hop does not answer.";
  expect("all answer", {{true, shared}, {true, shared}, {false, dearer}, {false, far}});
  table.fail(a);
  expect("one is silent", {{false, silent},
                           {true, "Best: the others of equal preference and metric do not work."},
                           {false, dearer},
                           {false, far}});
  table.fail(b);
  expect("both are", {{false, silent},
                      {false, silent},
                      {true, "Best of those whose next hop is in working order."},
                      {false,
                       "Not best: its metric 3 is higher than 2, with equal preference. Its next "
                       "hop is unresolved: 20.0.0.1 has no route."}});
  table.fail(c);
  const std::string lost = std::string(shared) + " Its next hop does not answer.";
  expect("all are", {{true, lost.c_str()},
                     {true, lost.c_str()},
                     {false,
                      "Not best: its metric 2 is higher than 1, with equal preference. Its "
                      "next hop does not answer."},
                     {false, far}});
}

TEST(RouteTable, OrdersNextHops) {
  const RouteHop ordered[] = {SubnetHop{SubnetId(1)}, via("10.0.0.9"),
                              ConnectionViaHop{address("10.0.0.10"), ConnectionId(0)},
                              via("2001:db8::1")};
  for (size_t i = 0; i + 1 < std::size(ordered); ++i) {
    RouteTable table;
    (void)table.put(candidate("0.0.0.0/0", RouteSource::static_route, 1, ordered[i + 1], 0));
    (void)table.put(candidate("0.0.0.0/0", RouteSource::static_route, 1, ordered[i], 1));
    EXPECT_EQ(table.best(prefix("0.0.0.0/0"))->hop, ordered[i]) << i;
  }
}

TEST(RouteTable, EqualOffersOfTwoOriginsAreStable) {
  RouteTable table;
  (void)table.put(candidate("0.0.0.0/0", RouteSource::static_route, 1, via("10.0.0.1"), 7));
  EXPECT_TRUE(table.put(candidate("0.0.0.0/0", RouteSource::static_route, 1, via("10.0.0.1"), 5)));
  EXPECT_EQ(table.best(prefix("0.0.0.0/0"))->origin, RouteOrigin(5));
  EXPECT_EQ(table.explain(prefix("0.0.0.0/0"))[1].reason,
            "Not best: its static origin is higher than the other, with everything else equal.");
}

TEST(RouteTable, NewPreferencesAreDeltas) {
  RouteTable table;
  (void)table.put(candidate("10.0.0.0/8", RouteSource::static_route, 1, via("10.0.0.1")));
  (void)table.put(candidate("10.0.0.0/8", RouteSource::ebgp, 1, via("10.0.0.2")));
  (void)table.put(candidate("11.0.0.0/8", RouteSource::static_route, 1, via("10.0.0.1")));
  RoutePreferences preferences;
  preferences.ebgp = 2;
  const auto deltas = table.set_preferences(preferences);
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_EQ(deltas[0].before->source, RouteSource::static_route);
  EXPECT_EQ(deltas[0].after->source, RouteSource::ebgp);
  EXPECT_TRUE(table.set_preferences(preferences).empty());
}

TEST(RouteTable, FindsTheLongestMatch) {
  RouteTable table;
  for (const char* p : {"0.0.0.0/0", "10.0.0.0/8", "10.0.0.7/32", "2001:db8::/32", "::/0"}) {
    (void)table.put(candidate(p, RouteSource::static_route, 1, via("10.0.0.1")));
  }
  const auto match = [&](const std::string& a) {
    return table.longest_match(address(a))->prefix.to_string();
  };
  EXPECT_EQ(match("10.0.0.7"), "10.0.0.7/32");
  EXPECT_EQ(match("10.0.0.8"), "10.0.0.0/8");
  EXPECT_EQ(match("255.255.255.255"), "0.0.0.0/0");
  EXPECT_EQ(match("2001:db8::1"), "2001:db8::/32");
  EXPECT_EQ(match("2001:db9::1"), "::/0");
  EXPECT_EQ(RouteTable().longest_match(address("10.0.0.1")), nullptr);
}

// ---- Against a list that is searched from end to end.

auto rank(const RouteCandidate& c) {
  return std::tuple(preference_of(c.source, {}), c.metric, via_of(c.hop), c.source, c.origin);
}

class NaiveRoutes {
 public:
  void put(const RouteCandidate& c) {
    remove(c.prefix, c.source, c.origin);
    all_.push_back(c);
  }
  void remove(const CaPrefix& p, RouteSource source, RouteOrigin origin) {
    std::erase_if(all_, [&](const RouteCandidate& c) {
      return c.prefix == p && c.source == source && c.origin == origin;
    });
  }
  [[nodiscard]] std::optional<RouteCandidate> best(const CaPrefix& p) const {
    std::optional<RouteCandidate> best;
    for (const RouteCandidate& c : all_) {
      if (c.prefix == p && (!best || rank(c) < rank(*best))) best = c;
    }
    return best;
  }
  [[nodiscard]] std::optional<CaPrefix> longest(const Ca& a) const {
    std::optional<CaPrefix> longest;
    for (const RouteCandidate& c : all_) {
      if (c.prefix.contains(a) && (!longest || c.prefix.length() > longest->length())) {
        longest = c.prefix;
      }
    }
    return longest;
  }
  [[nodiscard]] size_t size() const { return all_.size(); }

 private:
  std::vector<RouteCandidate> all_;
};

RouteCandidate random_candidate(Random& random) {
  const auto length = static_cast<uint8_t>(random() % 33);
  const CaAddress network(0x0a000000 | (random() & 0x03000003));
  return {CaPrefix(Ca(network), length),
          static_cast<RouteSource>(random() % 7),
          RouteOrigin(random() % 3),
          random() % 3,
          SubnetViaHop{Ca(CaAddress(0x0a000000 + random() % 4)), SubnetId(0)},
          Instant{random()}};
}

TEST(RouteTable, ChurnEqualsTheNaiveList) {
  Random random(13);
  RouteTable table;
  NaiveRoutes model;
  std::vector<RouteCandidate> known;
  for (int step = 0; step < 4000; ++step) {
    const bool growing = known.size() < 300 || random() % 2 == 0;
    const RouteCandidate c = growing ? random_candidate(random) : known[random() % known.size()];
    const auto before = model.best(c.prefix);
    std::optional<RouteDelta> delta;
    if (growing) {
      known.push_back(c);
      delta = table.put(c);
      model.put(c);
    } else {
      delta = table.remove(c.prefix, c.source, c.origin);
      model.remove(c.prefix, c.source, c.origin);
    }
    const auto after = model.best(c.prefix);
    const RouteCandidate* best = table.best(c.prefix);
    ASSERT_EQ(best != nullptr, after.has_value());
    ASSERT_EQ(table.candidates(), model.size());
    const auto sans_age = [](std::optional<RouteCandidate> r) {
      if (r) r->installed_at = Instant{};
      return r;
    };
    if (best != nullptr) {
      ASSERT_EQ(sans_age(*best), sans_age(after));
    }
    ASSERT_EQ(delta.has_value(), sans_age(before) != sans_age(after));
    if (delta) {
      ASSERT_EQ(sans_age(delta->before), sans_age(before));
      ASSERT_EQ(sans_age(delta->after), sans_age(after));
    }
    const Ca asked = CaAddress(0x0a000000 | (random() & 0x03000003));
    const RouteCandidate* match = table.longest_match(asked);
    ASSERT_EQ(match == nullptr ? std::nullopt : std::optional(match->prefix), model.longest(asked));
  }
  std::vector<CaPrefix> order;
  table.for_each_best([&](const RouteCandidate& c) { order.push_back(c.prefix); });
  EXPECT_EQ(order.size(), table.prefixes());
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(std::adjacent_find(order.begin(), order.end()), order.end());
}

}  // namespace
}  // namespace hnv
