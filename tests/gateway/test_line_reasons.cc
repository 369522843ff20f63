// SPDX-License-Identifier: Apache-2.0
//
// Every reason to drop has a case that produces exactly it: in the tables, or in a test of its own
// where a frame alone cannot bring it about. A new reason without a case fails here.
#include <set>

#include <gtest/gtest.h>

#include "tests/gateway/line_cases.h"

namespace hnv {

TEST(DropReason, EachHasACase) {
  using enum DropReason;
  std::set<DropReason> seen = {
      frame_segmented,      // Classify.RefusesAFrameInSeveralBuffers
      compartment_gone,     // Respond.AnAnswerToARemovedCompartmentEndsAsGone
      next_hop_gone,        // Hold.DropsWhatWaitedForARecordThatIsGone
      next_hop_failed,      // Hold.DropsWhatWaitedForAHostThatDoesNotAnswer
      next_hop_queue_full,  // Hold.IsBoundedForANextHop
      no_headroom,          // Leave.NeedsHeadroom
      punt_queue_full,      // Punt.CountsWhatControlDoesNotTake
      tx_full,              // Tx.CountsWhatThePortDoesNotTake
      draining,             // Hold.DrainsAtTheEnd
      handoff_full,         // Handoff.CountsWhatTheRingDoesNotTake
      handoff_loop,         // Handoff.EndsWhenWorkersDoNotAgree
      neighbor_limit,       // Inject.KnowsThatNoNextHopCouldBeHad
      ecn_congestion,       // Rfc6040.HandsCongestionMarksOn
      route_unreachable,    // Route.TellsThatARouteIsUnreachable
      fragment_no_buffer,   // Rfc1812.FragmentsWholeOrNotAtAll
  };
  for (const auto& table : all_case_tables()) {
    for (const LineCase& c : table) {
      if (c.drop) seen.insert(*c.drop);
    }
  }
  for (size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (to_string(reason).starts_with("nat_")) continue;  // tests/nat has them
    EXPECT_TRUE(seen.contains(reason)) << to_string(reason) << " has no case";
  }
}

TEST(DropReason, EachHasANameAndASentence) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    EXPECT_TRUE(names.insert(to_string(reason)).second);
    EXPECT_FALSE(explain(reason).empty());
  }
}

}  // namespace hnv
