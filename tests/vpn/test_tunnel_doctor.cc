// SPDX-License-Identifier: Apache-2.0
//
// charon's lines as 5.9.8 writes them; that it still does is tests/netns/test_tunnel_doctor.py's.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/vpn/tunnels.h"
#include "vpn/diagnosis.h"
#include "vpn/ike_log.h"
#include "vpn/offered_algorithms.h"
#include "vpn/tunnel_doctor.h"

namespace hnv {
namespace {

using Texts = std::vector<std::string>;

TEST(IkeLog, FindsWhatALineSays) {
  const IkeSaid said =
      read_ike_log("looking for peer configs matching 203.0.113.1[%any]...198.51.100.2[a.example]");
  EXPECT_EQ(said.fact, IkeFact::asked_for);
  EXPECT_EQ(said.gaps[0], "203.0.113.1");
  EXPECT_EQ(said.gaps[1], "%any");
  EXPECT_EQ(said.gaps[2], "198.51.100.2");
  EXPECT_EQ(said.gaps[3], "a.example");
  EXPECT_EQ(read_ike_log("received NO_PROPOSAL_CHOSEN notify error").gaps[0], "NO_PROPOSAL_CHOSEN");
  EXPECT_EQ(read_ike_log("received TS_UNACCEPTABLE notify, no CHILD_SA built").fact,
            IkeFact::child_refused);
  EXPECT_EQ(read_ike_log("retransmit 2 of request with message ID 1").gaps[1], "1");
}

TEST(IkeLog, ALineIsOneOfCharonsOwnFromItsBeginningToItsEnd) {
  EXPECT_EQ(read_ike_log("").fact, IkeFact::other);
  EXPECT_EQ(read_ike_log("no matching peer config found, or so").fact, IkeFact::other);
  // A site may call itself what it likes: the line stays what it is.
  const IkeSaid said = read_ike_log(
      "tried 1 shared key for 'gw' - 'no matching peer config found', but MAC mismatched");
  EXPECT_EQ(said.fact, IkeFact::mac_mismatch);
  EXPECT_EQ(said.gaps[2], "no matching peer config found");
  EXPECT_EQ(read_ike_log("authentication of 'gw' (myself) with pre-shared key").fact,
            IkeFact::other);
}

TEST(OfferedAlgorithms, SaysTheNearestDifferenceInTheApisWords) {
  const auto ours = read_proposals(
      "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384, "
      "IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048");
  const auto theirs = read_proposals(
      "IKE:3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024, "
      "IKE:AES_CBC_128/AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1024");
  const auto near = nearest(ours, theirs);
  ASSERT_TRUE(near);
  EXPECT_EQ(near->differ, std::vector{OfferedPart::group});
  EXPECT_EQ(api_words(near->gateway), "AES256, SHA256, Group14");
  EXPECT_EQ(api_words(near->site), "AES128 or AES256, SHA256, Group2");
  EXPECT_EQ(settings_for(near->site),
            "mainMode.encryptionAlgorithm AES128, mainMode.integrityAlgorithm SHA256, "
            "mainMode.diffieHellmanGroup Group2");
}

TEST(OfferedAlgorithms, ReadsWhatWeConfigureAsWhatCharonLogs) {
  EXPECT_EQ(api_words(read_configured(OfferedFor::ike, "aes256gcm16-prfsha384-ecp384")),
            "GCMAES256, SHA384, ECP384");
  EXPECT_EQ(api_words(read_configured(OfferedFor::esp, "chacha20poly1305-ecp384-esn-noesn")),
            "CHACHA20POLY1305, ECP384");
  EXPECT_EQ(api_words(read_configured(OfferedFor::esp, "3des-sha256-modp2048")),
            "DES3, SHA256128, PFS2048");
}

TEST(OfferedAlgorithms, WhatTheApiHasNoWordForCannotBeSet) {
  const auto theirs =
      read_proposals("IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519");
  ASSERT_EQ(theirs.size(), 1U);
  EXPECT_EQ(settings_for(theirs[0]), "");
  EXPECT_EQ(api_words(theirs[0]), "AES256, SHA256, CURVE_25519");
}

TEST(OfferedAlgorithms, AStrangersListIsReadToABound) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "IKE:AES_CBC_256/MODP_2048, ";
  EXPECT_EQ(read_proposals(text).size(), 64U);
}

// A tunnel 7 to 198.51.100.10, and what charon says of it.
struct TunnelDoctorTest : testing::Test {
  TunnelDoctorTest() { doctor.set(7, spec); }

  void hear(uint32_t number, const std::string& connection, const Texts& lines) {
    for (const std::string& line : lines) {
      clock.advance(std::chrono::milliseconds(1));
      doctor.heard({"IKE", connection, number, line}, clock.now());
    }
  }
  void site_begins(uint32_t number, const std::string& from, const Texts& then) {
    hear(number, "(unnamed)",
         {"received packet: from " + from + "[500] to " + own + "[500] (464 bytes)",
          "parsed IKE_SA_INIT request 0 [ SA KE No ]"});
    hear(number, "(unnamed)", then);
  }
  [[nodiscard]] TunnelFault fault(uint32_t if_id = 7) const {
    const IkeAttempt* attempt = doctor.fault_of(if_id);
    return attempt == nullptr ? TunnelFault::none : attempt->fault;
  }
  [[nodiscard]] Texts changes() const {
    const IkeAttempt* attempt = doctor.fault_of(7);
    return attempt == nullptr ? Texts{} : diagnose(spec, *attempt).what_to_change;
  }
  static TunnelSpec tunnel(const std::string& identity) {
    TunnelSpec out = psk_tunnel();
    out.remote_identity = identity;
    return out;
  }

  ManualClock clock;
  TunnelSpec spec = tunnel("site7.example");
  std::string own = spec.source_ip_address.to_string();
  std::string site = spec.destination_ip_address->to_string();
  TunnelDoctor doctor;
};

TEST_F(TunnelDoctorTest, SilenceIsOneFaultBeforeTheFirstAnswerAndAnotherAfterIt) {
  hear(1, "t7",
       {"initiating IKE_SA t7[1] to " + site, "retransmit 1 of request with message ID 0"});
  EXPECT_EQ(fault(), TunnelFault::none);
  hear(1, "t7", {"retransmit 2 of request with message ID 0"});
  EXPECT_EQ(fault(), TunnelFault::no_answer);
  EXPECT_EQ(doctor.take_new_faults(), std::set<uint32_t>{7});
  hear(1, "t7", {"parsed IKE_SA_INIT response 0 [ SA KE No ]"});
  EXPECT_EQ(fault(), TunnelFault::none);
  hear(1, "t7", {"remote host is behind NAT", "retransmit 2 of request with message ID 1"});
  EXPECT_EQ(fault(), TunnelFault::no_answer_to_auth);
  EXPECT_NE(diagnose(spec, *doctor.fault_of(7)).summary.find("NAT"), std::string::npos);
}

TEST_F(TunnelDoctorTest, ASiteThatFailsBeforeItHasANameIsKnownByItsAddress) {
  site_begins(4, site,
              {"received proposals: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1024",
               "configured proposals: IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384",
               "received proposals unacceptable"});
  EXPECT_EQ(fault(), TunnelFault::ike_proposals);
  ASSERT_FALSE(changes().empty());
  EXPECT_EQ(changes()[0], "mainMode.diffieHellmanGroup: the gateway has ECP256, the site Group2");
  EXPECT_TRUE(doctor.strangers().empty());
}

TEST_F(TunnelDoctorTest, OfSeveralTunnelsToOneAddressNoneIsBlamed) {
  doctor.set(8, tunnel("site8.example"));
  site_begins(4, site, {"received proposals unacceptable"});
  EXPECT_EQ(fault(7), TunnelFault::none);
  EXPECT_EQ(fault(8), TunnelFault::none);
  ASSERT_EQ(doctor.strangers().size(), 1U);
  EXPECT_EQ(doctor.strangers().front().possible, 2U);
  // The one that is up is not meant.
  doctor.came_up(8);
  site_begins(5, site, {"received proposals unacceptable"});
  EXPECT_EQ(fault(7), TunnelFault::ike_proposals);
}

TEST_F(TunnelDoctorTest, TellsWhichIdentityWasWrong) {
  const auto asks = [&](uint32_t number, const std::string& from, const std::string& asked,
                        const std::string& claimed) {
    site_begins(number, from,
                {"looking for peer configs matching " + own + "[" + asked + "]..." + from + "[" +
                     claimed + "]",
                 "no matching peer config found"});
  };
  asks(1, site, "%any", "other.example");
  EXPECT_EQ(fault(), TunnelFault::site_identity);
  EXPECT_EQ(changes()[0], "Set remoteIdentity to other.example");
  asks(2, site, "gw.example", "SITE7.example");
  EXPECT_EQ(fault(), TunnelFault::own_identity);
  EXPECT_EQ(changes()[0], "Set localIdentity to gw.example");
  asks(3, "192.0.2.77", own, "site7.example");
  EXPECT_EQ(fault(), TunnelFault::site_address);
  EXPECT_EQ(changes()[0],
            "Set destinationIPAddress to 192.0.2.77, or leave it out where it changes");
  asks(4, "192.0.2.77", own, "nobody.example");
  ASSERT_EQ(doctor.strangers().size(), 1U);
  EXPECT_EQ(doctor.strangers().front().claimed, "nobody.example");
}

TEST_F(TunnelDoctorTest, WhatSaysMoreIsKeptAndIsOverWhenTheTunnelIsUp) {
  site_begins(1, site, {});
  hear(1, "t7", {"tried 1 shared key for '" + own + "' - 'site7.example', but MAC mismatched"});
  EXPECT_EQ(fault(), TunnelFault::shared_secret);
  hear(2, "t7",
       {"initiating IKE_SA t7[2] to " + site, "received AUTHENTICATION_FAILED notify error"});
  EXPECT_EQ(fault(), TunnelFault::shared_secret);
  clock.advance(std::chrono::minutes(6));
  hear(3, "t7",
       {"initiating IKE_SA t7[3] to " + site, "received AUTHENTICATION_FAILED notify error"});
  EXPECT_EQ(fault(), TunnelFault::authentication_refused);
  doctor.came_up(7);
  EXPECT_EQ(fault(), TunnelFault::none);
  // Somebody else's attempt is no fault of a tunnel that is up.
  site_begins(4, site, {"received proposals unacceptable"});
  EXPECT_EQ(fault(), TunnelFault::none);
}

TEST_F(TunnelDoctorTest, KeysThatCannotBeRenewedAreAFaultOfATunnelThatIsUp) {
  hear(1, "t7",
       {"initiating IKE_SA t7[1] to " + site, "IKE_SA t7[1] established between a[b]...c[d]",
        "CHILD_SA t7{1} established with SPIs 1_i 2_o and TS a === b"});
  doctor.came_up(7);
  hear(1, "t7", {"received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"});
  EXPECT_EQ(fault(), TunnelFault::perfect_forward_secrecy);
  doctor.came_up(7);  // it is rekeyed
  EXPECT_EQ(fault(), TunnelFault::none);
}

TEST_F(TunnelDoctorTest, AChangedTunnelBeginsAnew) {
  hear(1, "t7", {"received AUTHENTICATION_FAILED notify error"});
  EXPECT_EQ(fault(), TunnelFault::authentication_refused);
  doctor.set(7, spec);
  EXPECT_EQ(fault(), TunnelFault::none);
  EXPECT_EQ(doctor.last_of(7), nullptr);
}

TEST_F(TunnelDoctorTest, StrangersFillNothing) {
  for (unsigned i = 0; i < 10'000; ++i) {
    clock.advance(std::chrono::milliseconds(30));
    site_begins(
        100 + i, "192.0.2." + std::to_string(i % 256),
        {"looking for peer configs matching " + own + "[%any]...x[n" + std::to_string(i) + "]",
         "no matching peer config found"});
    doctor.heard({"NET", "", 0, "received invalid IKE header from 192.0.2.9 - ignored"},
                 clock.now());
  }
  EXPECT_EQ(doctor.strangers().size(), TunnelDoctor::kMostStrangers);
  EXPECT_EQ(fault(), TunnelFault::none);
}

TEST_F(TunnelDoctorTest, AStrangersWordsCannotMoveATerminalsCursor) {
  EXPECT_EQ(shown("a\x1b[2Jb\n\xff"), "a?[2Jb??");
  EXPECT_EQ(shown(std::string(5000, 'a')).size(), IkeAttempt::kMostBytes + 3);
  for (unsigned i = 0; i < 100; ++i) hear(1, "t7", {"authentication of 'x' with y successful"});
  EXPECT_EQ(doctor.last_of(7)->lines.size(), IkeAttempt::kMostLines);
}

TEST(Diagnosis, EveryFaultHasASentenceAndSomethingToChange) {
  const TunnelSpec spec = psk_tunnel();
  for (const auto& [name, fault] : kTunnelFaultNames) {
    if (fault == TunnelFault::none || fault == TunnelFault::garbage) continue;
    IkeAttempt attempt;
    attempt.fault = fault;
    const Diagnosis said = diagnose(spec, attempt);
    EXPECT_FALSE(said.summary.empty()) << name;
    EXPECT_FALSE(said.what_to_change.empty()) << name;
    StrangerFault stranger;
    stranger.fault = fault;
    EXPECT_FALSE(diagnose(stranger).summary.empty()) << name;
  }
}

}  // namespace
}  // namespace hnv
