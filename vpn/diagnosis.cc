// SPDX-License-Identifier: Apache-2.0
#include "vpn/diagnosis.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "vpn/charon_config.h"
#include "vpn/offered_algorithms.h"

namespace hnv {
namespace {

using Texts = std::vector<std::string>;

struct Case {
  const TunnelSpec& spec;
  const IkeAttempt& attempt;
  Diagnosis out;

  [[nodiscard]] std::string site() const {
    if (!attempt.remote_host.empty()) return attempt.remote_host;
    return spec.destination_ip_address ? spec.destination_ip_address->to_string() : "the site";
  }
  [[nodiscard]] std::string own() const { return spec.source_ip_address.to_string(); }
  [[nodiscard]] bool nat() const { return attempt.gateway_behind_nat || attempt.site_behind_nat; }
  [[nodiscard]] bool psk() const { return spec.authentication_method == IkeAuthentication::psk; }
  void compare(std::string what, Texts gateway, Texts theirs) {
    out.compared.push_back({std::move(what), std::move(gateway), std::move(theirs)});
  }
  void change(std::string what) { out.what_to_change.push_back(std::move(what)); }
};

Texts one_or_none(const std::string& text) { return text.empty() ? Texts{} : Texts{text}; }

Texts words_of(const std::vector<OfferedProposal>& proposals) {
  Texts out;
  for (const OfferedProposal& one : proposals) out.push_back(api_words(one));
  return out;
}

void compare_identities(Case& c) {
  c.compare("the gateway's identity (localIdentity)", {local_identity(c.spec)},
            one_or_none(c.attempt.asked == "%any" ? std::string() : c.attempt.asked));
  c.compare("the site's identity (remoteIdentity)", {remote_identity(c.spec)},
            one_or_none(c.attempt.claimed));
}

// ---- silence

void no_answer(Case& c) {
  c.out.summary =
      fmt::format("{} {}", c.site(),
                  c.attempt.established ? "was up and fell silent" : "does not answer on UDP 500");
  c.change(fmt::format(
      "destinationIPAddress: is {} the site's address, and does its IKE service run there?",
      c.site()));
  c.change(fmt::format(
      "Let UDP 500 and 4500 pass both ways between {} and {}, on the way and at the site", c.own(),
      c.site()));
  c.change("If the site cannot be reached from outside, set initiate to never and let it begin");
}

void no_answer_to_auth(Case& c) {
  if (c.nat()) {
    c.out.summary = fmt::format(
        "{} answers on UDP 500 but not on UDP 4500, which the NAT in between makes necessary",
        c.site());
    c.change(
        fmt::format("Let UDP 4500 pass both ways between {} and {}: on the NAT in front of {}, and "
                    "on firewalls",
                    c.own(), c.site(), c.attempt.gateway_behind_nat ? "the gateway" : "the site"));
    return;
  }
  c.out.summary = fmt::format("{} answers IKE_SA_INIT but not IKE_AUTH", c.site());
  c.change("Look at the site's log: it drops the request, or its answer is lost");
  c.change("Let large UDP packets and their fragments pass: those with certificates are large");
}

void site_refused(Case& c) {
  c.out.summary = fmt::format("{} refuses, and says only {}", c.site(), c.attempt.detail);
  c.change("Look at the site's log: it knows why it sent that");
}

void setups_limited(Case& c) {
  c.out.summary = fmt::format("too many attempts at once come from {}", c.site());
  c.change("Let the site try less often");
}

// ---- IKE

void ike_version(Case& c) {
  c.out.summary = fmt::format("{} speaks IKEv1; the gateway speaks IKEv2 only", c.site());
  c.compare("IKE version", {"2"}, {"1"});
  c.change("Set the site's connection to IKEv2");
}

Texts say_differences(const NearestProposals& near) {
  Texts out;
  for (const OfferedPart part : near.differ) {
    const auto words = [&](const OfferedProposal& proposal) {
      OfferedProposal only;
      only.protocol = proposal.protocol;
      only.encryption = proposal.of(part);
      std::string text;
      for (const std::string& word : proposal.of(part)) {
        if (!text.empty()) text += " or ";
        text += api_word(proposal.protocol, part, word);
      }
      return text.empty() ? std::string("none") : text;
    };
    out.push_back(fmt::format("{}: the gateway has {}, the site {}",
                              api_property(near.gateway.protocol, part), words(near.gateway),
                              words(near.site)));
  }
  return out;
}

void without_groups(std::vector<OfferedProposal>& proposals) {
  for (OfferedProposal& one : proposals) one.groups.clear();
}

std::vector<OfferedProposal> own_offers(const Case& c, OfferedFor protocol) {
  std::vector<OfferedProposal> out;
  const Texts texts = protocol == OfferedFor::ike ? ike_proposals(c.spec) : esp_proposals(c.spec);
  for (const std::string& text : texts) out.push_back(read_configured(protocol, text));
  return out;
}

// What both sides offer, where both are known, and what that leaves to be changed.
void proposals(Case& c, OfferedFor protocol) {
  auto ours = own_offers(c, protocol);
  auto theirs = read_proposals(c.attempt.site_proposals);
  std::erase_if(theirs, [&](const OfferedProposal& one) { return one.protocol != protocol; });
  // The first ESP SA has the keys of IKE: groups do not count yet.
  if (protocol == OfferedFor::esp && !c.attempt.child_established) {
    without_groups(ours);
    without_groups(theirs);
  }
  const bool ike = protocol == OfferedFor::ike;
  c.compare(ike ? "IKE algorithms (mainMode)" : "ESP algorithms (quickMode)", words_of(ours),
            words_of(theirs));
  const auto near = nearest(ours, theirs);
  if (!near) {
    c.change(fmt::format("Have the site offer one of the gateway's, or set {} to what it has",
                         ike ? "mainMode" : "quickMode"));
    c.change(
        "IKE does not tell what the site would take; when it begins itself, its offer is shown "
        "here");
    return;
  }
  for (std::string& one : say_differences(*near)) c.change(std::move(one));
  if (const std::string settings = settings_for(near->site); !settings.empty()) {
    c.change("To take the site's, set " + settings);
  }
  c.change("Or have the site offer " + api_words(near->gateway));
}

void ike_proposals_differ(Case& c) {
  c.out.summary = fmt::format("no common IKE algorithms with {}", c.site());
  proposals(c, OfferedFor::ike);
  if (c.attempt.began == IkeAttempt::Began::gateway) {
    c.change(fmt::format("A site that has no IKEv2 connection for {} answers the same: has it one?",
                         c.own()));
  }
}

void authentication_refused(Case& c) {
  c.out.summary = fmt::format("{} refuses the gateway's authentication as {}", c.site(),
                              local_identity(c.spec));
  compare_identities(c);
  if (c.psk()) {
    c.change("sharedSecret: is it the same on both sides?");
  } else {
    c.change(
        "certificates.certificate: does the site trust the authority that signed it, and is "
        "it valid?");
  }
  c.change(fmt::format("localIdentity: does the site expect {}?", local_identity(c.spec)));
  c.change(fmt::format("remoteIdentity: does the site call itself {}?", remote_identity(c.spec)));
  c.change("The site's log says which of them it was");
}

void unknown_site(Case& c) {
  c.out.summary = fmt::format("{} began when charon did not have the tunnel", c.site());
  c.change("Nothing, when it comes up with the next attempt");
}

// ---- who is who

void site_address(Case& c) {
  c.out.summary =
      fmt::format("the site comes from {}, not from {}", c.attempt.detail, c.attempt.expected);
  c.compare("the site's address (destinationIPAddress)", {c.attempt.expected}, {c.attempt.detail});
  c.change(fmt::format("Set destinationIPAddress to {}, or leave it out where it changes",
                       c.attempt.detail));
}

void site_identity(Case& c) {
  const std::string claimed = c.attempt.claimed.empty() ? "somebody else" : c.attempt.claimed;
  c.out.summary =
      fmt::format("{} says that it is {}, not {}", c.site(), claimed, remote_identity(c.spec));
  compare_identities(c);
  c.change(fmt::format("Set remoteIdentity to {}", claimed));
  c.change(fmt::format("Or have the site call itself {}", remote_identity(c.spec)));
}

void own_identity(Case& c) {
  c.out.summary = fmt::format("{} wants to talk to {}, not to {}", c.site(), c.attempt.detail,
                              local_identity(c.spec));
  compare_identities(c);
  c.change(fmt::format("Set localIdentity to {}", c.attempt.detail));
  c.change(fmt::format("Or have the site expect {}", local_identity(c.spec)));
}

void authentication_method(Case& c) {
  c.out.summary = fmt::format("{} authenticates itself by {}, not by {}", c.site(),
                              c.attempt.detail, c.attempt.expected);
  c.compare("authenticationMethod", {c.attempt.expected}, {c.attempt.detail});
  c.change(fmt::format("Set authenticationMethod to {}, or the site's to {}",
                       c.psk() ? "Certificate" : "PSK", c.psk() ? "a secret" : "a certificate"));
}

void shared_secret(Case& c) {
  c.out.summary = fmt::format("{} has another secret than the gateway", c.site());
  compare_identities(c);
  c.change("Give the same sharedSecret on both sides");
}

// ---- certificates

void certificate_missing(Case& c) {
  c.out.summary = c.attempt.certificate.empty()
                      ? fmt::format("{} sends no certificate that proves that it is {}", c.site(),
                                    c.attempt.claimed)
                      : fmt::format("the certificate that {} sends does not prove that it is {}",
                                    c.site(), c.attempt.claimed);
  c.compare("the site's certificate", {}, one_or_none(c.attempt.certificate));
  compare_identities(c);
  c.change("Have the site send its certificate, with its identity as subject or subjectAltName");
  c.change("certificates.certificateAuthorities: is the authority that signed it among them?");
}

void own_key_missing(Case& c) {
  c.out.summary = fmt::format("the gateway has no private key for {}", c.attempt.detail);
  c.change("certificates.privateKey: is it the certificate's?");
  c.change("localIdentity: is it a subject or subjectAltName of certificates.certificate?");
}

void certificate_untrusted(Case& c) {
  c.out.summary =
      fmt::format("nobody whom the gateway trusts has signed {}'s certificate", c.site());
  c.compare("the authority (certificates.certificateAuthorities)", one_or_none(c.attempt.expected),
            one_or_none(c.attempt.issuer));
  c.compare("the site's certificate", {},
            one_or_none(c.attempt.certificate.empty() ? c.attempt.detail : c.attempt.certificate));
  c.change(
      "Add the authority that signed the site's certificate to "
      "certificates.certificateAuthorities");
  c.change("Or give the site a certificate of an authority that is there");
}

void certificate_expired(Case& c) {
  const bool authority = c.attempt.expected == "issuer";
  c.out.summary = fmt::format("{} of {} is valid from {}",
                              authority ? "the certificate of the authority" : "the certificate",
                              c.site(), c.attempt.detail);
  c.compare("the site's certificate", {}, one_or_none(c.attempt.certificate));
  c.change(authority ? "Renew the authority, here (certificates.certificateAuthorities) and there"
                     : "Give the site a certificate that is valid now");
  c.change("Are the clocks of both sides right?");
}

void certificate_revoked(Case& c) {
  c.out.summary =
      fmt::format("the certificate of {} was revoked on {}", c.site(), c.attempt.detail);
  c.compare("the site's certificate", {}, one_or_none(c.attempt.certificate));
  c.change("Give the site another certificate");
  c.change(
      "Or, where it was revoked in error, push a list without it in "
      "certificates.revocationLists");
}

void revocation_unknown(Case& c) {
  c.out.summary = fmt::format("whether {}'s certificate was revoked is not known", c.site());
  c.change("Push a current list of its authority in certificates.revocationLists");
  c.change("Or set certificates.revocation to ifUri or off");
}

// ---- ESP

void esp_proposals_differ(Case& c) {
  c.out.summary = fmt::format("no common ESP algorithms with {}", c.site());
  proposals(c, OfferedFor::esp);
}

void forward_secrecy(Case& c) {
  c.out.summary = fmt::format(
      "new keys cannot be agreed on with {}: perfect forward secrecy is not the same on both sides",
      c.site());
  proposals(c, OfferedFor::esp);
  c.change("quickMode.perfectForwardSecrecy: the site's group, or None where it has none");
}

Texts selectors_of(const std::vector<VpnTrafficSelector>& selectors) {
  if (selectors.empty()) return {"everything"};
  Texts out;
  for (const VpnTrafficSelector& one : selectors) {
    std::string text =
        fmt::format("{} to {}", one.ip_address_start.to_string(), one.ip_address_end.to_string());
    if (one.protocol_id != 0) {
      text += fmt::format(", protocol {}, ports {} to {}", one.protocol_id, one.port_start,
                          one.port_end);
    }
    out.push_back(std::move(text));
  }
  return out;
}

void traffic_selectors(Case& c) {
  c.out.summary = fmt::format("no common traffic selectors with {}", c.site());
  c.compare("the tenant's side (localVpnTrafficSelector)",
            selectors_of(c.spec.local_traffic_selectors), one_or_none(c.attempt.our_selectors));
  c.compare("the site's side (remoteVpnTrafficSelector)",
            selectors_of(c.spec.remote_traffic_selectors), one_or_none(c.attempt.site_selectors));
  c.change(
      "Have the networks of both sides overlap: set localVpnTrafficSelector and "
      "remoteVpnTrafficSelector as the site has them the other way round, or leave them out");
  if (c.attempt.began == IkeAttempt::Began::gateway) {
    c.change("IKE does not tell what the site would take; when it begins itself, it is shown here");
  }
}

void refused_here(Case& c) {
  c.out.summary = "the gateway could not take the security association";
  c.change("The gateway's log says why");
}

using Say = void (*)(Case&);
constexpr std::pair<TunnelFault, Say> kSayings[] = {
    {TunnelFault::no_answer, no_answer},
    {TunnelFault::no_answer_to_auth, no_answer_to_auth},
    {TunnelFault::site_refused, site_refused},
    {TunnelFault::setups_limited, setups_limited},
    {TunnelFault::ike_version, ike_version},
    {TunnelFault::ike_proposals, ike_proposals_differ},
    {TunnelFault::authentication_refused, authentication_refused},
    {TunnelFault::unknown_site, unknown_site},
    {TunnelFault::esp_proposals, esp_proposals_differ},
    {TunnelFault::perfect_forward_secrecy, forward_secrecy},
    {TunnelFault::traffic_selectors, traffic_selectors},
    {TunnelFault::refused_here, refused_here},
    {TunnelFault::certificate_missing, certificate_missing},
    {TunnelFault::own_key_missing, own_key_missing},
    {TunnelFault::site_address, site_address},
    {TunnelFault::site_identity, site_identity},
    {TunnelFault::own_identity, own_identity},
    {TunnelFault::authentication_method, authentication_method},
    {TunnelFault::shared_secret, shared_secret},
    {TunnelFault::revocation_unknown, revocation_unknown},
    {TunnelFault::certificate_untrusted, certificate_untrusted},
    {TunnelFault::certificate_expired, certificate_expired},
    {TunnelFault::certificate_revoked, certificate_revoked},
};

}  // namespace

Diagnosis diagnose(const TunnelSpec& spec, const IkeAttempt& attempt) {
  Case c{spec, attempt, {}};
  for (const auto& [fault, say] : kSayings) {
    if (fault == attempt.fault) say(c);
  }
  return std::move(c.out);
}

Diagnosis diagnose(const StrangerFault& fault) {
  Diagnosis out;
  const std::string& who = fault.remote_address;
  const std::string called =
      fault.claimed.empty() ? std::string() : fmt::format(", as {}", fault.claimed);
  switch (fault.fault) {
    case TunnelFault::garbage:
      out.summary = fmt::format("{} and perhaps others send what is no IKE to UDP 500", who);
      out.what_to_change = {"Nothing: it is dropped"};
      return out;
    case TunnelFault::setups_limited:
      out.summary = fmt::format("more attempts at once come from {} than are taken", who);
      out.what_to_change = {"Nothing, where no site of yours is there", "Let sites try less often"};
      return out;
    case TunnelFault::ike_version:
      out.summary = fmt::format("{} speaks IKEv1 with {}", who, fault.local_address);
      out.what_to_change = {"Set the site to IKEv2, where it is one of yours"};
      return out;
    case TunnelFault::ike_proposals:
      out.summary = fmt::format("{} has no IKE algorithms in common with the tunnels of {}", who,
                                fault.local_address);
      break;
    default:
      out.summary = fmt::format("{} asks {} for a tunnel{}, and there is none for it", who,
                                fault.local_address, called);
  }
  if (fault.possible > 1) {
    out.what_to_change.push_back(fmt::format(
        "{} tunnels may have been meant: give each of them an identity (remoteIdentity)",
        fault.possible));
  } else {
    out.what_to_change.emplace_back(
        "Make a network connection with this sourceIPAddress, destinationIPAddress and "
        "remoteIdentity, where it is a site of yours");
  }
  return out;
}

}  // namespace hnv
