// SPDX-License-Identifier: Apache-2.0
#include "vpn/ike_attempt.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace hnv {
namespace {

constexpr unsigned kSilence = 2;  // retransmissions: 5 s without an answer

std::optional<unsigned> number_in(std::string_view text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

// What an operator wants to read of an attempt: not every packet, nor what keeps it alive.
bool worth_showing(std::string_view group, std::string_view text) {
  const auto has = [text](std::string_view what) { return text.find(what) != text.npos; };
  if (group == "ENC") {
    return has("IKE_SA_INIT") || has("IKE_AUTH") || has("CREATE_CHILD_SA") || has("ID_PROT") ||
           has("AGGRESSIVE");
  }
  if (group != "IKE" && group != "CFG" && group != "CHD") return false;
  return !has("DPD") && !has("keep alive");
}

}  // namespace

std::string shown(std::string_view text) {
  const bool long_one = text.size() > IkeAttempt::kMostBytes;
  std::string out(text.substr(0, IkeAttempt::kMostBytes));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (long_one) out += "...";
  return out;
}

bool IkeAttempt::set(TunnelFault what, Instant now, std::string_view seen, std::string_view right) {
  if (what < fault) return false;
  const bool other = what != fault;
  fault = what;
  found = now;
  if (!seen.empty() || other) detail = shown(seen);
  if (!right.empty() || other) expected = shown(right);
  return other;
}

bool IkeAttempt::take(std::string_view group, std::string_view text, Instant now) {
  if (worth_showing(group, text)) {
    if (lines.size() >= kMostLines) lines.erase(lines.begin());
    lines.push_back({now, shown(text)});
  }
  return take_fact(read_ike_log(text), now);
}

bool IkeAttempt::take_fact(const IkeSaid& said, Instant now) {
  if (said.fact == IkeFact::other) return false;
  if (take_progress(said)) return false;
  return take_authentication(said, now) || take_certificate(said, now) || take_child(said, now) ||
         take_silence(said, now);
}

// True: it was no fault.
bool IkeAttempt::take_progress(const IkeSaid& said) {
  const auto answered = [this] {
    init_answered = true;
    if (fault == TunnelFault::no_answer) fault = TunnelFault::none;
  };
  switch (said.fact) {
    case IkeFact::begun:
      began = Began::gateway;
      established = child_established = false;
      remote_host = shown(said.gaps[0]);
      return true;
    case IkeFact::packet:
      remote_host = shown(said.gaps[0]);
      local_host = shown(said.gaps[2]);
      return true;
    case IkeFact::init_request:
      began = Began::site;
      answered();
      return true;
    case IkeFact::init_answered:
      answered();
      return true;
    case IkeFact::established:
      established = true;
      if (fault == TunnelFault::no_answer_to_auth) fault = TunnelFault::none;
      return true;
    case IkeFact::child_established:
      child_established = true;
      return true;
    case IkeFact::received_proposals:
      site_proposals = shown(said.gaps[0]);
      return true;
    case IkeFact::configured_proposals:
      own_proposals = shown(said.gaps[0]);
      return true;
    case IkeFact::asked_for:
      asked = shown(said.gaps[1]);
      claimed = shown(said.gaps[3]);
      return true;
    case IkeFact::authenticated:
      claimed = shown(said.gaps[0]);
      return true;
    case IkeFact::gateway_behind_nat:
      gateway_behind_nat = true;
      return true;
    case IkeFact::site_behind_nat:
      site_behind_nat = true;
      return true;
    case IkeFact::certificate:
      certificate = shown(said.gaps[0]);
      return true;
    case IkeFact::issuer_name:
      issuer = shown(said.gaps[0]);
      return true;
    default:
      return false;
  }
}

bool IkeAttempt::take_authentication(const IkeSaid& said, Instant now) {
  switch (said.fact) {
    case IkeFact::ikev1:
      began = Began::site;
      return set(TunnelFault::ike_version, now);
    case IkeFact::ike_proposals:
      return set(TunnelFault::ike_proposals, now);
    case IkeFact::no_addresses:
      local_host = shown(said.gaps[0]);
      remote_host = shown(said.gaps[1]);
      // A site that speaks IKEv1 finds no tunnel either.
      return fault == TunnelFault::ike_version ? false : set(TunnelFault::unknown_site, now);
    case IkeFact::no_config:
      return set(TunnelFault::unknown_site, now, claimed);
    case IkeFact::own_identity:
      return set(TunnelFault::own_identity, now, said.gaps[0], said.gaps[1]);
    case IkeFact::mac_mismatch:
      claimed = shown(said.gaps[2]);
      return set(TunnelFault::shared_secret, now, claimed);
    case IkeFact::no_secret:
      claimed = shown(said.gaps[1]);
      return set(TunnelFault::site_identity, now, claimed);
    case IkeFact::wrong_identity:
      return set(TunnelFault::site_identity, now, claimed, said.gaps[0]);
    case IkeFact::wrong_method:
      return set(TunnelFault::authentication_method, now, said.gaps[1], said.gaps[0]);
    case IkeFact::refused:
      if (said.gaps[0] == "NO_PROPOSAL_CHOSEN") return set(TunnelFault::ike_proposals, now);
      if (said.gaps[0] == "INVALID_MAJOR_VERSION") return set(TunnelFault::ike_version, now);
      if (said.gaps[0] == "AUTHENTICATION_FAILED") {
        return set(TunnelFault::authentication_refused, now);
      }
      return set(TunnelFault::site_refused, now, said.gaps[0]);
    default:
      return false;
  }
}

bool IkeAttempt::take_certificate(const IkeSaid& said, Instant now) {
  switch (said.fact) {
    case IkeFact::no_trusted_key:
      claimed = shown(said.gaps[0]);
      return set(TunnelFault::certificate_missing, now, claimed);
    case IkeFact::no_private_key:
      return set(TunnelFault::own_key_missing, now, said.gaps[0]);
    case IkeFact::certificate_time:
      return set(TunnelFault::certificate_expired, now,
                 std::string(said.gaps[1]) + " to " + std::string(said.gaps[2]), said.gaps[0]);
    case IkeFact::certificate_issuer:
    case IkeFact::self_signed:
      return set(TunnelFault::certificate_untrusted, now, said.gaps[0]);
    case IkeFact::wrong_authority:
      return set(TunnelFault::certificate_untrusted, now, certificate, said.gaps[0]);
    case IkeFact::revoked:
      return set(TunnelFault::certificate_revoked, now, said.gaps[0], said.gaps[1]);
    case IkeFact::revocation_unknown:
      return set(TunnelFault::revocation_unknown, now, said.gaps[0], said.gaps[1]);
    default:
      return false;
  }
}

bool IkeAttempt::take_child(const IkeSaid& said, Instant now) {
  // Algorithms that were good once, without a key exchange, are not what is refused later.
  const auto proposals =
      child_established ? TunnelFault::perfect_forward_secrecy : TunnelFault::esp_proposals;
  switch (said.fact) {
    case IkeFact::child_proposals:
      return set(site_proposals.starts_with("IKE") ? TunnelFault::ike_proposals : proposals, now);
    case IkeFact::child_refused:
      if (said.gaps[0] == "NO_PROPOSAL_CHOSEN") return set(proposals, now);
      if (said.gaps[0] == "TS_UNACCEPTABLE") return set(TunnelFault::traffic_selectors, now);
      return set(TunnelFault::site_refused, now, said.gaps[0]);
    case IkeFact::group_not_ours:
      return set(TunnelFault::perfect_forward_secrecy, now, said.gaps[0]);
    case IkeFact::selectors:
      our_selectors = shown(said.gaps[0]);
      site_selectors = shown(said.gaps[1]);
      return set(TunnelFault::traffic_selectors, now);
    case IkeFact::narrowed_to_nothing:
      return set(TunnelFault::traffic_selectors, now);
    case IkeFact::not_installed:
      return set(TunnelFault::refused_here, now);
    default:
      return false;
  }
}

bool IkeAttempt::take_silence(const IkeSaid& said, Instant now) {
  const bool further = init_answered || established;
  const auto silence = further ? TunnelFault::no_answer_to_auth : TunnelFault::no_answer;
  if (said.fact == IkeFact::gave_up) return set(silence, now);
  if (said.fact != IkeFact::retransmit || established) return false;
  const auto times = number_in(said.gaps[0]);
  return times && *times >= kSilence && set(silence, now);
}

}  // namespace hnv
