// SPDX-License-Identifier: Apache-2.0
//
// A line of charon's log (VICI's event `log`) as what it says of an attempt to agree. The lines are
// those of strongSwan 5.9.8 to 5.9.11, the only releases that IkeControl speaks to; what is not
// known here is `other`, and costs a diagnosis, nothing else.
//
// A line begins with words that charon chose, so nobody outside can make one of another kind. What
// stands at a pattern's gaps may be a stranger's (identities, proposals): it is shown, never
// trusted.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hnv {

enum class IkeFact : uint8_t {
  other,
  begun,                 // by us: to whom
  packet,                // from address, port, to address, port
  init_request,          // IKE_SA_INIT of a site
  init_answered,         // IKE_SA_INIT of ours
  ikev1,                 // a message of that
  retransmit,            // which time, message ID
  gave_up,               //
  established,           // the IKE SA
  child_established,     //
  received_proposals,    //
  configured_proposals,  //
  ike_proposals,         // none of a site's is ours
  child_proposals,       // likewise for ESP
  refused,               // our IKE_SA_INIT or IKE_AUTH, by which notification
  child_refused,         // our ESP SA, by which notification
  selectors,             // of our side, of the site's: neither is ours
  narrowed_to_nothing,   // the site's choice of selectors is none of ours
  asked_for,             // our address, identity; the site's address, identity
  no_config,             // no tunnel with these identities
  no_addresses,          // no tunnel between these addresses: ours, the site's
  config_chosen,         // by its name
  own_identity,          // asked for, configured
  mac_mismatch,          // with how many secrets; our identity, the site's
  no_secret,             // our identity, the site's
  authenticated,         // the site's identity
  no_trusted_key,        // the site's identity
  no_private_key,        // our identity
  certificate,           // of the site: its subject
  certificate_time,      // which, valid from, to
  certificate_issuer,    // nobody knows whose it is: subject
  issuer_name,           // said after that
  self_signed,           // and not trusted: subject
  revoked,               // when, why
  wrong_authority,       // not vouched for by: the authority
  wrong_identity,        // required
  revocation_unknown,    // what is known, what is required
  wrong_method,          // required, used
  gateway_behind_nat,    //
  site_behind_nat,       //
  group_not_ours,        // a group that the site wants for ESP's keys
  not_installed,         // the gateway refused the SA
  half_open_limit,       // address
  garbage,               // address
};

struct IkeSaid {
  IkeFact fact = IkeFact::other;
  std::array<std::string_view, 4> gaps;  // within the text, in the order above
};

// Pure and bounded by the text's length.
[[nodiscard]] IkeSaid read_ike_log(std::string_view text);

}  // namespace hnv
