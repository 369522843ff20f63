// SPDX-License-Identifier: Apache-2.0
//
// What charon is told: its configuration file, and each tunnel as VICI commands. Pure. Tunnels are
// loaded by deltas: a change of one sends commands for that one, and a change that charon does not
// see (rates) sends none. After a restart charon has nothing, and everything() loads all.
//
// What keeps tenants apart (each of these was a hole until it was closed; tests/netns proves it):
// a shared secret belongs to the remote identity only, never to the local one; a tunnel with
// certificates names the authorities that may vouch for its site; identities are checked by
// TunnelIdentities before anything comes here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vpn/tunnel_spec.h"
#include "vpn/vici_codec.h"

namespace hnv {

// The versions of strongSwan whose interface the plugin knows (vpn/charon/charon_abi.h). Nothing is
// loaded into another one.
[[nodiscard]] bool supported_charon(std::string_view version);

struct CharonFiles {
  std::string vici_socket;  // absolute paths
  std::string sa_socket;
  std::string log;  // empty: standard error
};
// strongswan.conf. Sources of each key: facts of the feasibility study, strongswan.conf(5).
[[nodiscard]] std::string strongswan_conf(const CharonFiles& files);

// The names of a tunnel's connection and child in charon: "t7". Unique, and nothing of a tenant's.
[[nodiscard]] std::string charon_name(uint32_t if_id);
[[nodiscard]] std::optional<uint32_t> if_id_of(std::string_view charon_name);

// The proposals of a tunnel as charon writes them, the preferred first.
[[nodiscard]] std::vector<std::string> ike_proposals(const TunnelSpec& spec);
[[nodiscard]] std::vector<std::string> esp_proposals(const TunnelSpec& spec);

struct CharonCommand {
  std::string name;
  ViciSection message;
  // Whose key the answer's `id` names (load-key); told to CharonConfig::key_loaded.
  std::optional<uint32_t> key_of;
};

class CharonConfig {
 public:
  // A tunnel as it shall be from now on. REQUIRES check(spec).empty(). Replacing one ends what was
  // up with the old one when charon has to see the change.
  [[nodiscard]] std::vector<CharonCommand> set(uint32_t if_id, const TunnelSpec& spec);
  [[nodiscard]] std::vector<CharonCommand> remove(uint32_t if_id);
  // All of them, for a charon that has none.
  [[nodiscard]] std::vector<CharonCommand> everything();
  void key_loaded(uint32_t if_id, std::string key_id);

  // To start, end or rekey one by hand. charon answers `initiate` at once and goes on by itself.
  [[nodiscard]] static CharonCommand initiate(uint32_t if_id);
  [[nodiscard]] static CharonCommand terminate(uint32_t if_id);
  // One IKE SA of a site that does not answer: without waiting for its agreement.
  [[nodiscard]] static CharonCommand abandon(uint32_t ike_sa);
  [[nodiscard]] static CharonCommand rekey(uint32_t if_id);

  [[nodiscard]] const TunnelSpec* find(uint32_t if_id) const;
  [[nodiscard]] const std::map<uint32_t, TunnelSpec>& tunnels() const { return tunnels_; }

 private:
  std::map<uint32_t, TunnelSpec> tunnels_;
  std::map<uint32_t, std::string> key_ids_;
};

// The message of load-conn; for tests too.
[[nodiscard]] ViciSection connection_message(uint32_t if_id, const TunnelSpec& spec);

}  // namespace hnv
