// SPDX-License-Identifier: Apache-2.0
#include "vpn/offered_algorithms.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hnv {
namespace {

constexpr size_t kMostProposals = 64;
constexpr size_t kMostWords = 32;  // of one proposal

struct Word {
  std::string_view charon, configured, ike, esp;  // the last two empty: the API has none
};
constexpr Word kEncryption[] = {{"3DES_CBC", "3des", "DES3", "DES3"},
                                {"AES_CBC_128", "aes128", "AES128", "AES128"},
                                {"AES_CBC_192", "aes192", "AES192", "AES192"},
                                {"AES_CBC_256", "aes256", "AES256", "AES256"},
                                {"AES_GCM_16_128", "aes128gcm16", "GCMAES128", "GCMAES128"},
                                {"AES_GCM_16_192", "aes192gcm16", "", "GCMAES192"},
                                {"AES_GCM_16_256", "aes256gcm16", "GCMAES256", "GCMAES256"},
                                {"CHACHA20_POLY1305", "chacha20poly1305", "", "CHACHA20POLY1305"}};
constexpr Word kIntegrity[] = {{"HMAC_SHA1_96", "sha1", "SHA1", "SHA196"},
                               {"HMAC_SHA2_256_128", "sha256", "SHA256", "SHA256128"},
                               {"HMAC_SHA2_384_192", "sha384", "SHA384", "SHA384192"},
                               {"HMAC_SHA2_512_256", "sha512", "", "SHA512256"},
                               {"PRF_HMAC_SHA1", "prfsha1", "SHA1", ""},
                               {"PRF_HMAC_SHA2_256", "prfsha256", "SHA256", ""},
                               {"PRF_HMAC_SHA2_384", "prfsha384", "SHA384", ""}};
constexpr Word kGroups[] = {{"MODP_1024", "modp1024", "Group2", "PFS2"},
                            {"MODP_2048", "modp2048", "Group14", "PFS2048"},
                            {"ECP_256", "ecp256", "ECP256", "ECP256"},
                            {"ECP_384", "ecp384", "ECP384", "ECP384"}};

std::string_view find_word(OfferedFor protocol, OfferedPart part, std::string_view word) {
  const auto in = [&](const auto& table) -> std::string_view {
    for (const Word& one : table) {
      if (one.charon == word) return protocol == OfferedFor::ike ? one.ike : one.esp;
    }
    return {};
  };
  switch (part) {
    case OfferedPart::encryption:
      return in(kEncryption);
    case OfferedPart::integrity:
      return in(kIntegrity);
    case OfferedPart::group:
      return in(kGroups);
  }
  return {};
}

void take_word(std::string_view word, OfferedProposal& out) {
  if (word.empty() || word == "EXT_SEQ" || word == "NO_EXT_SEQ") return;
  const auto begins = [word](std::string_view with) { return word.starts_with(with); };
  std::vector<std::string>* list = &out.encryption;
  if (begins("HMAC_") || begins("AES_XCBC") || begins("AES_CMAC") || begins("PRF_")) {
    list = &out.integrity;
  } else if (begins("MODP_") || begins("ECP_") || begins("CURVE_") || begins("NTRU_")) {
    list = &out.groups;
  }
  list->emplace_back(word);
}

// A hash is said twice in IKE, for integrity and for the derivation of keys; where there is the
// first, it speaks for both.
void drop_derivation(OfferedProposal& out) {
  const auto derivation = [](const std::string& word) { return word.starts_with("PRF_"); };
  if (!std::all_of(out.integrity.begin(), out.integrity.end(), derivation)) {
    std::erase_if(out.integrity, derivation);
  }
}

std::string_view take_until(std::string_view& text, std::string_view end) {
  const size_t at = text.find(end);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == text.npos ? text.size() : at + end.size());
  return part;
}

bool meet(const std::vector<std::string>& a, const std::vector<std::string>& b, OfferedFor protocol,
          OfferedPart part) {
  if (a.empty() && b.empty()) return true;
  return std::any_of(a.begin(), a.end(), [&](const std::string& one) {
    return std::any_of(b.begin(), b.end(), [&](const std::string& other) {
      return api_word(protocol, part, one) == api_word(protocol, part, other);
    });
  });
}

std::vector<OfferedPart> differences(const OfferedProposal& a, const OfferedProposal& b) {
  std::vector<OfferedPart> out;
  for (const auto part : {OfferedPart::encryption, OfferedPart::integrity, OfferedPart::group}) {
    if (!meet(a.of(part), b.of(part), a.protocol, part)) out.push_back(part);
  }
  return out;
}

}  // namespace

const std::vector<std::string>& OfferedProposal::of(OfferedPart part) const {
  switch (part) {
    case OfferedPart::encryption:
      return encryption;
    case OfferedPart::integrity:
      return integrity;
    case OfferedPart::group:
      break;
  }
  return groups;
}

std::vector<OfferedProposal> read_proposals(std::string_view text) {
  std::vector<OfferedProposal> out;
  while (!text.empty() && out.size() < kMostProposals) {
    std::string_view one = take_until(text, ", ");
    const std::string_view protocol = take_until(one, ":");
    OfferedProposal proposal;
    if (protocol == "ESP") {
      proposal.protocol = OfferedFor::esp;
    } else if (protocol != "IKE") {
      continue;
    }
    for (size_t words = 0; !one.empty() && words < kMostWords; ++words) {
      take_word(take_until(one, "/"), proposal);
    }
    drop_derivation(proposal);
    out.push_back(std::move(proposal));
  }
  return out;
}

OfferedProposal read_configured(OfferedFor protocol, std::string_view text) {
  OfferedProposal out;
  out.protocol = protocol;
  while (!text.empty()) {
    const std::string_view word = take_until(text, "-");
    const auto known = [&](const auto& table, std::vector<std::string>& list) {
      for (const Word& one : table) {
        if (one.configured == word) list.emplace_back(one.charon);
      }
    };
    known(kEncryption, out.encryption);
    known(kIntegrity, out.integrity);
    known(kGroups, out.groups);
  }
  drop_derivation(out);
  return out;
}

bool has_api_word(OfferedFor protocol, OfferedPart part, std::string_view word) {
  return !find_word(protocol, part, word).empty();
}

std::string api_word(OfferedFor protocol, OfferedPart part, std::string_view word) {
  const std::string_view known = find_word(protocol, part, word);
  return std::string(known.empty() ? word : known);
}

std::string_view api_property(OfferedFor protocol, OfferedPart part) {
  const bool ike = protocol == OfferedFor::ike;
  switch (part) {
    case OfferedPart::encryption:
      return ike ? "mainMode.encryptionAlgorithm" : "quickMode.cipherTransformationConstant";
    case OfferedPart::integrity:
      return ike ? "mainMode.integrityAlgorithm" : "quickMode.authenticationTransformationConstant";
    case OfferedPart::group:
      break;
  }
  return ike ? "mainMode.diffieHellmanGroup" : "quickMode.perfectForwardSecrecy";
}

std::string api_words(const OfferedProposal& proposal) {
  std::vector<std::string> parts;
  for (const auto part : {OfferedPart::encryption, OfferedPart::integrity, OfferedPart::group}) {
    std::vector<std::string> words;
    for (const std::string& word : proposal.of(part)) {
      words.push_back(api_word(proposal.protocol, part, word));
    }
    if (!words.empty()) parts.push_back(fmt::format("{}", fmt::join(words, " or ")));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::optional<NearestProposals> nearest(const std::vector<OfferedProposal>& gateway,
                                        const std::vector<OfferedProposal>& site) {
  std::optional<NearestProposals> best;
  for (const OfferedProposal& ours : gateway) {
    for (const OfferedProposal& theirs : site) {
      if (ours.protocol != theirs.protocol) continue;
      auto differ = differences(ours, theirs);
      if (best && best->differ.size() <= differ.size()) continue;
      best = NearestProposals{ours, theirs, std::move(differ)};
    }
  }
  return best;
}

std::string settings_for(const OfferedProposal& proposal) {
  std::vector<std::string> parts;
  for (const auto part : {OfferedPart::encryption, OfferedPart::integrity, OfferedPart::group}) {
    const auto& words = proposal.of(part);
    if (words.empty()) {
      // Only forward secrecy can be switched off by name; a combined cipher has no integrity.
      if (part == OfferedPart::group && proposal.protocol == OfferedFor::esp) {
        parts.push_back(fmt::format("{} None", api_property(proposal.protocol, part)));
      }
      continue;
    }
    const auto known = std::find_if(words.begin(), words.end(), [&](const std::string& word) {
      return has_api_word(proposal.protocol, part, word);
    });
    if (known == words.end()) return {};
    parts.push_back(fmt::format("{} {}", api_property(proposal.protocol, part),
                                api_word(proposal.protocol, part, *known)));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace hnv
