// SPDX-License-Identifier: Apache-2.0
#include "vpn/ike_log.h"

#include <optional>

namespace hnv {
namespace {

// `%` is a gap that is remembered, `*` one that is not; each reaches to the next of what follows,
// the last one as far as it can.
struct Row {
  std::string_view pattern;
  IkeFact fact;
};

constexpr Row kRows[] = {
    {"initiating IKE_SA *[*] to %", IkeFact::begun},
    {"received packet: from %[%] to %[%] (*", IkeFact::packet},
    {"parsed IKE_SA_INIT request *", IkeFact::init_request},
    {"parsed IKE_SA_INIT response *", IkeFact::init_answered},
    {"parsed ID_PROT request *", IkeFact::ikev1},
    {"parsed AGGRESSIVE request *", IkeFact::ikev1},
    {"retransmit % of request with message ID %", IkeFact::retransmit},
    {"giving up after * retransmits", IkeFact::gave_up},
    {"IKE_SA *[*] established between *", IkeFact::established},
    {"CHILD_SA *{*} established with SPIs *", IkeFact::child_established},
    {"received proposals: %", IkeFact::received_proposals},
    {"configured proposals: %", IkeFact::configured_proposals},
    {"received proposals unacceptable", IkeFact::ike_proposals},
    {"no acceptable proposal found", IkeFact::child_proposals},
    {"received % notify error", IkeFact::refused},
    {"received % notify, no CHILD_SA built", IkeFact::child_refused},
    {"traffic selectors % === % unacceptable", IkeFact::selectors},
    {"no acceptable traffic selectors found", IkeFact::narrowed_to_nothing},
    {"looking for peer configs matching %[%]...%[%]", IkeFact::asked_for},
    {"no matching peer config found", IkeFact::no_config},
    {"no IKE config found for %...%, sending *", IkeFact::no_addresses},
    {"selected peer config '%'", IkeFact::config_chosen},
    {"received IDr %, but require %", IkeFact::own_identity},
    {"tried % shared key* for '%' - '%', but MAC mismatched", IkeFact::mac_mismatch},
    {"no shared key found for '%' - '%'", IkeFact::no_secret},
    {"authentication of '%' with * successful", IkeFact::authenticated},
    {"no trusted * public key found for '%'", IkeFact::no_trusted_key},
    {"no private key found for '%'", IkeFact::no_private_key},
    {"received end entity cert \"%\"", IkeFact::certificate},
    {"% certificate invalid (valid from % to %)", IkeFact::certificate_time},
    {"no issuer certificate found for \"%\"", IkeFact::certificate_issuer},
    {"  issuer is \"%\"", IkeFact::issuer_name},
    {"  self-signed certificate \"%\" is not trusted", IkeFact::self_signed},
    {"certificate was revoked on %, reason: %", IkeFact::revoked},
    {"constraint check failed: peer not authenticated by CA '%'", IkeFact::wrong_authority},
    {"constraint check failed: identity '%' required *", IkeFact::wrong_identity},
    {"constraint check failed: RULE_CRL_VALIDATION is %, but requires at least %",
     IkeFact::revocation_unknown},
    {"constraint requires % authentication, but % was used", IkeFact::wrong_method},
    {"local host is behind NAT, sending keep alives", IkeFact::gateway_behind_nat},
    {"remote host is behind NAT", IkeFact::site_behind_nat},
    {"requested DH group % not contained in any of our proposals", IkeFact::group_not_ours},
    {"unable to install *IPsec SA (SAD) in kernel", IkeFact::not_installed},
    {"ignoring IKE_SA setup from %, per-IP half-open IKE_SA limit of *", IkeFact::half_open_limit},
    {"received invalid IKE header from % - ignored", IkeFact::garbage},
    {"received unsupported IKE version * from %, sending *", IkeFact::garbage},
};

size_t next_gap(std::string_view pattern) { return pattern.find_first_of("%*"); }

std::optional<IkeSaid> match(const Row& row, std::string_view text) {
  IkeSaid said{row.fact, {}};
  size_t found = 0;
  std::string_view pattern = row.pattern;
  size_t gap = next_gap(pattern);
  if (gap == pattern.npos) return text == pattern ? std::optional(said) : std::nullopt;
  if (!text.starts_with(pattern.substr(0, gap))) return std::nullopt;
  text.remove_prefix(gap);
  pattern.remove_prefix(gap);
  while (!pattern.empty()) {
    const bool kept = pattern.front() == '%';
    pattern.remove_prefix(1);
    gap = next_gap(pattern);
    const std::string_view literal = pattern.substr(0, gap);
    size_t end = text.size();
    if (gap != pattern.npos) {
      end = text.find(literal);
    } else if (!literal.empty()) {
      end = text.ends_with(literal) ? text.size() - literal.size() : text.npos;
    }
    if (end == text.npos) return std::nullopt;
    if (kept && found < said.gaps.size()) said.gaps[found++] = text.substr(0, end);
    text.remove_prefix(end + literal.size());
    pattern.remove_prefix(literal.size());
  }
  return said;
}

}  // namespace

IkeSaid read_ike_log(std::string_view text) {
  for (const Row& row : kRows) {
    if (auto said = match(row, text)) return *said;
  }
  return {};
}

}  // namespace hnv
