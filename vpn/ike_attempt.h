// SPDX-License-Identifier: Apache-2.0
//
// What is known of one attempt to bring a tunnel up: one IKE SA of charon's, whoever began it. It
// is filled from charon's log, line by line, and holds at most 32 lines. A value; no threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compartments/clock.h"
#include "compartments/enum_names.h"
#include "vpn/ike_log.h"

namespace hnv {

// What kept it from coming up. In the order of how much each says: of two the later one is kept.
enum class TunnelFault : uint8_t {
  none,
  no_answer,                // to IKE_SA_INIT
  no_answer_to_auth,        // to what follows it
  site_refused,             // by a notification that says nothing more
  setups_limited,           // too many at once from one address
  garbage,                  // no IKE at all, or none that can be read
  ike_version,              // the site speaks IKEv1
  ike_proposals,            // no common algorithms
  authentication_refused,   // by the site
  unknown_site,             // there is no tunnel for it
  esp_proposals,            //
  perfect_forward_secrecy,  // found at the first new keys
  traffic_selectors,        //
  refused_here,             // the gateway could not take the SA
  certificate_missing,      // or unusable: nothing that the site sent proves who it is
  own_key_missing,          //
  site_address,             // it comes from elsewhere
  site_identity,            // the site is not who it should be
  own_identity,             // the site wants another than us
  authentication_method,    //
  shared_secret,            //
  revocation_unknown,       //
  certificate_untrusted,    //
  certificate_expired,      //
  certificate_revoked,      //
};
inline constexpr Names<TunnelFault, 25> kTunnelFaultNames{
    {{"none", TunnelFault::none},
     {"noAnswer", TunnelFault::no_answer},
     {"noAnswerToAuthentication", TunnelFault::no_answer_to_auth},
     {"siteRefused", TunnelFault::site_refused},
     {"setupsLimited", TunnelFault::setups_limited},
     {"garbage", TunnelFault::garbage},
     {"ikeVersion", TunnelFault::ike_version},
     {"ikeProposals", TunnelFault::ike_proposals},
     {"authenticationRefused", TunnelFault::authentication_refused},
     {"unknownSite", TunnelFault::unknown_site},
     {"espProposals", TunnelFault::esp_proposals},
     {"perfectForwardSecrecy", TunnelFault::perfect_forward_secrecy},
     {"trafficSelectors", TunnelFault::traffic_selectors},
     {"refusedHere", TunnelFault::refused_here},
     {"certificateMissing", TunnelFault::certificate_missing},
     {"ownKeyMissing", TunnelFault::own_key_missing},
     {"siteAddress", TunnelFault::site_address},
     {"siteIdentity", TunnelFault::site_identity},
     {"ownIdentity", TunnelFault::own_identity},
     {"authenticationMethod", TunnelFault::authentication_method},
     {"sharedSecret", TunnelFault::shared_secret},
     {"revocationUnknown", TunnelFault::revocation_unknown},
     {"certificateUntrusted", TunnelFault::certificate_untrusted},
     {"certificateExpired", TunnelFault::certificate_expired},
     {"certificateRevoked", TunnelFault::certificate_revoked}}};

struct IkeAttempt {
  enum class Began : uint8_t { unknown, gateway, site };
  struct Line {
    Instant at;
    std::string text;  // printable
  };
  static constexpr size_t kMostLines = 32;
  static constexpr size_t kMostBytes = 1024;  // of a line, and of whatever is kept of one

  uint32_t ike_sa = 0;  // charon's number
  Began began = Began::unknown;
  std::string local_host, remote_host;
  std::string asked, claimed;      // the identities that the site named: ours, its own
  bool init_answered = false;      // IKE_SA_INIT, by either side
  bool established = false;        // the IKE SA
  bool child_established = false;  // the first ESP SA
  bool gateway_behind_nat = false, site_behind_nat = false;
  std::string site_proposals, own_proposals;  // charon's words, when both were compared
  std::string our_selectors, site_selectors;  // that the site asked for
  std::string certificate;                    // the subject that the site sent
  std::string issuer;                         // whom nobody here knows
  TunnelFault fault = TunnelFault::none;
  std::string detail, expected;  // of the fault: what was seen, what would be right
  Instant found;                 // when
  std::vector<Line> lines;       // the last ones

  // One line of this IKE SA. True: the fault is another one now.
  [[nodiscard]] bool take(std::string_view group, std::string_view text, Instant now);

 private:
  bool take_fact(const IkeSaid& said, Instant now);
  bool take_progress(const IkeSaid& said);
  bool take_authentication(const IkeSaid& said, Instant now);
  bool take_certificate(const IkeSaid& said, Instant now);
  bool take_child(const IkeSaid& said, Instant now);
  bool take_silence(const IkeSaid& said, Instant now);
  bool set(TunnelFault what, Instant now, std::string_view seen = {}, std::string_view right = {});
};

// Clipped, and without what could move a terminal's cursor: a stranger may have chosen it.
[[nodiscard]] std::string shown(std::string_view text);

}  // namespace hnv
