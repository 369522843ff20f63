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
      terminated_ttl,       // TerminatedLine.RefusesWhatIsNotAPeersAndTheTwins
      terminated_rate,      // TerminatedLine.AFloodInOneDomainCostsTheOtherNothing
      route_unreachable,    // Route.TellsThatARouteIsUnreachable
      fragment_no_buffer,   // Rfc1812.FragmentsWholeOrNotAtAll
      // NAT's, in tests/nat:
      nat_spoofed,           // NatDoors.DropWhatNobodyAskedFor
      nat_bad_header,        // NatRefusals.PortZeroAndPacketsCutShort
      nat_ip_option,         // NatRefusals.OptionsThatShouldNotTravel
      nat_no_session,        // NatDoors.DropWhatNobodyAskedFor
      nat_filtered,          // Rfc4787.Req8_FiltersAsConfigured
      nat_unsolicited_syn,   // Rfc5382.Req4_AnswersAnUnsolicitedSynAfterSixSeconds
      nat_icmp_unmatched,    // Rfc5508.Req4_TranslatesErrorsFromOutside
      nat_fragment_lost,     // Rfc4787.Req14_IsNotBlockedByFragmentsThatWait
      nat_no_rule,           // NatRefusals.NoRuleForTheSource
      nat_protocol,          // Rfc6888.Req1_SharesAddressesOnlyForProtocolsItKnows
      nat_no_port,           // Rfc6888.Req11_RefusesVisiblyAndEvictsNothing
      nat_domain_limit,      // Rfc6888.Req5_LimitsStateOfASubscriberAndOfADomain
      nat_address_limit,     // the same
      nat_port_limit,        // Rfc6888.Req4_LimitsPortsOfASubscriber
      nat_rate_limit,        // the same
      nat_table_full,        // NatRefusals.FullTable
      nat_hairpin_off,       // NatRefusals.HairpinOff
      nat_no_outside_route,  // NatRefusals.NoRouteOutside
      // IPsec's, in tests/vpn:
      ipsec_short,               // EnterIpsec.SurvivesEveryCut
      ipsec_unknown_spi,         // EnterIpsec.KnowsAnSaByItsWholeSpiAtItsAddressOfItsNetworkOnly
      ipsec_replayed,            // EnterIpsec.TakesEachNumberOnceWithinItsWindow
      ipsec_bad_icv,             // EnterIpsec.DropsEachFaultUnderItsReason
      ipsec_bad_padding,         // the same
      ipsec_next_header,         // the same
      ipsec_source_not_routed,   // the same
      ipsec_policy_mismatch,     // EnterIpsec.DropsWhatTheSelectorsDoNotCover, LeaveIpsec
      ipsec_tunnel_gone,         // LeaveIpsec.EndsWithItsTunnel
      ipsec_no_sa,               // LeaveIpsec.RefusesWhileTheTunnelIsDown
      ipsec_sequence_exhausted,  // LeaveIpsec.StopsWhenTheNumbersAreUsedUp
      ipsec_rate_limited,        // LeaveIpsec.ShapesToTheRate, EnterIpsec
      ipsec_queue_delay,         // Shaper.TellsAFlowToSlowDown
      ipsec_no_outside_route,    // LeaveIpsec.RefusesWhereTheNetworkHasNoRoute
  };
  for (const auto& table : all_case_tables()) {
    for (const LineCase& c : table) {
      if (c.drop) seen.insert(*c.drop);
    }
  }
  for (size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
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
