// SPDX-License-Identifier: Apache-2.0
//
// What one side offers in IKE, read from charon's words ("IKE:AES_CBC_256/HMAC_SHA2_256_128/
// PRF_HMAC_SHA2_256/MODP_2048, …") and said in those of the API ("AES256, SHA256, Group14"); and
// how two offers differ. Pure. A site's text is a stranger's: what is read of it is bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hnv {

enum class OfferedPart : uint8_t { encryption, integrity, group };
enum class OfferedFor : uint8_t { ike, esp };

// One proposal: of every part those that would do; none: the part is not used.
struct OfferedProposal {
  OfferedFor protocol = OfferedFor::ike;
  std::vector<std::string> encryption, integrity, groups;  // in charon's words
  [[nodiscard]] const std::vector<std::string>& of(OfferedPart part) const;
};

// At most 64 proposals are read.
[[nodiscard]] std::vector<OfferedProposal> read_proposals(std::string_view text);
// One as charon's configuration has it: "aes256gcm16-prfsha384-ecp384" (charon_config.h).
[[nodiscard]] OfferedProposal read_configured(OfferedFor protocol, std::string_view text);

// A property's value of the API, or charon's word where the API has none for it.
[[nodiscard]] std::string api_word(OfferedFor protocol, OfferedPart part, std::string_view word);
[[nodiscard]] bool has_api_word(OfferedFor protocol, OfferedPart part, std::string_view word);
// "AES256, SHA256 or SHA384, Group14"
[[nodiscard]] std::string api_words(const OfferedProposal& proposal);
// "mainMode.diffieHellmanGroup"
[[nodiscard]] std::string_view api_property(OfferedFor protocol, OfferedPart part);

// The two proposals, one of each side, that are nearest to each other, and what of them differs.
struct NearestProposals {
  OfferedProposal gateway, site;
  std::vector<OfferedPart> differ;
};
// Nothing: one side offers nothing for the protocol.
[[nodiscard]] std::optional<NearestProposals> nearest(const std::vector<OfferedProposal>& gateway,
                                                      const std::vector<OfferedProposal>& site);

// The properties that would make the gateway offer just this; empty when the API cannot say it.
[[nodiscard]] std::string settings_for(const OfferedProposal& proposal);

}  // namespace hnv
